"""The thin sections: what they take and give is mostly on no public page, so it is mappings with the API's own names."""

from __future__ import annotations

from typing import Unpack

from ..codec import json_value
from ..config import RetryPolicy, Timeout
from ..errors import RecordError
from ..models.json_records import AutoPostingReply, GlItem, JsonRecord, PaymentReservation, Reply, reservation_faults, says_validate_only
from ..paging import Pager
from .base import JsonBody, ListOptions, Parameters, RequestContext, listed

__all__ = [
    "Actions",
    "AutoPostings",
    "ClientConfigs",
    "Codes",
    "DocumentBundles",
    "GlItems",
    "GlMovements",
    "Health",
    "Insights",
    "LogItems",
    "PaymentReservations",
]


class Actions:
    """`arm.actions`. The two paths are inferred.

    Raises as every call: `NotSentError`, `OutcomeUnknownError`, `ResponseError`, `StatusError` and its subclasses,
    `ConfigurationError`.
    """

    def __init__(self, context: RequestContext) -> None:
        self._context = context

    async def create(
        self,
        action: JsonBody,
        *,
        user_id: str | None = None,
        timeout: Timeout | None = None,
        retry: RetryPolicy | None = None,
    ) -> Reply:
        """Creates an action.

        No public page shows what it takes and answers: both are mappings with the API's own names. It is never repeated when the outcome
        is unknown.

        Args:
            action: a mapping with the API's own names, or bytes of JSON.
            user_id: the user id that this call names. Default: the client's.
            timeout: time-outs of this call. Default: the client's.
            retry: retries of this call. Default: the client's.

        Returns:
            The response as it came.

        Raises:
            RecordError: the body can't be sent; nothing was sent.
            OutcomeUnknownError: it may have been accepted: look it up before you repeat it.

        https://docs.amili.dev/ (Actions, "POST (create) an action")
        """
        return await self._context.write(
            "actions.create", action, Reply, user_id=user_id or self._context.user_id, timeout=timeout, retry=retry
        )

    async def create_report(
        self,
        action: JsonBody,
        *,
        user_id: str | None = None,
        timeout: Timeout | None = None,
        retry: RetryPolicy | None = None,
    ) -> Reply:
        """Creates a reports action, which generates a report.

        No public page shows what it takes and answers: both are mappings with the API's own names. It is never repeated when the outcome
        is unknown.

        Args:
            action: a mapping with the API's own names, or bytes of JSON.
            user_id: the user id that this call names. Default: the client's.
            timeout: time-outs of this call. Default: the client's.
            retry: retries of this call. Default: the client's.

        Returns:
            The response as it came.

        Raises:
            RecordError: the body can't be sent; nothing was sent.
            OutcomeUnknownError: it may have been accepted: look it up before you repeat it.

        https://docs.amili.dev/post-create-a-reports-actiongenerate-a-report-4205259e0
        """
        return await self._context.write(
            "actions.create_report", action, Reply, user_id=user_id or self._context.user_id, timeout=timeout, retry=retry
        )


class AutoPostings:
    """`arm.auto_postings`.

    Raises as every call: `NotSentError`, `OutcomeUnknownError`, `ResponseError`, `StatusError` and its subclasses,
    `ConfigurationError`.
    """

    def __init__(self, context: RequestContext) -> None:
        self._context = context

    async def create(
        self,
        method: str,
        postings: JsonBody,
        *,
        user_id: str | None = None,
        timeout: Timeout | None = None,
        retry: RetryPolicy | None = None,
    ) -> AutoPostingReply:
        """Performs a set of auto postings: all or none. It is never repeated when the outcome is unknown.

        A 2xx alone does not say that anything was posted: look at `is_rejected`, `batch_rejected` and `validate_only` of the reply.

        Args:
            method: the auto posting method, a part of the path; its values are on no public page.
            postings: the body with the API's own names; its fields are on no public page. With the option `validateOnly` on at least one
                posting, others may be validated only, too.
            user_id: the user id that this call names. Default: the client's.
            timeout: time-outs of this call. Default: the client's.
            retry: retries of this call. Default: the client's.

        Returns:
            What was posted, and what was rejected.

        Raises:
            RecordError: the body can't be sent; nothing was sent.
            StatusError: rejected with an error status; what the server says of each posting is in its `body`.
            OutcomeUnknownError: it may have been accepted: look it up before you repeat it.

        https://docs.amili.dev/post-create-one-or-more-auto-postings-3942671e0
        """
        reply = await self._context.write(
            "auto_postings.create",
            postings,
            AutoPostingReply,
            user_id=user_id or self._context.user_id,
            timeout=timeout,
            retry=retry,
            path={"autopostingmethod": method},
        )
        reply.validate_only = says_validate_only(json_value(bytes(postings)) if isinstance(postings, (bytes, bytearray)) else postings)
        return reply


class ClientConfigs:
    """`arm.client_configs`. Both paths are inferred.

    Raises as every call: `NotSentError`, `OutcomeUnknownError`, `ResponseError`, `StatusError` and its subclasses,
    `ConfigurationError`.
    """

    def __init__(self, context: RequestContext) -> None:
        self._context = context

    def list(self, *, parameters: Parameters | None = None, **options: Unpack[ListOptions]) -> Pager[JsonRecord]:
        """Lists the client config values. No public page shows what they hold: mappings, as they came.

        Args:
            parameters: criteria by the API's own names, all lower case; no public page shows them.
            **options: `maximum_count`, `query`, `page_no`, `page_size`, `user_id`, `language`, `allow_truncated`, `timeout`, `retry`, as
                in `arm.customers.list`.

        Returns:
            The list; nothing is sent before you iterate it.

        Raises:
            TruncatedListError: after the last record: the list reached the cap, or gave fewer records than it announced.
            ConfigurationError: an argument is out of its range.

        https://docs.amili.dev/ (ClientConfigs, "GET a list of client config values")
        """
        return listed(self._context, "client_configs.list", JsonRecord, parameters, **options)

    async def get(
        self,
        key: str,
        *,
        parameters: Parameters | None = None,
        language: str | None = None,
        timeout: Timeout | None = None,
        retry: RetryPolicy | None = None,
    ) -> Reply:
        """Fetches the values of one client config key.

        No public page shows the response: it is a mapping, as it came.

        Args:
            key: the key.
            parameters: query parameters by the API's own names, all lower case; no public page shows them.
            language: `Accept-Language` of this call. Default: the client's.
            timeout: time-outs of this call. Default: the client's.
            retry: retries of this call. Default: the client's.

        Returns:
            The response as it came.

        Raises:
            NotFoundError: there is no such key.

        https://docs.amili.dev/get-values-for-one-client-config-key-4205266e0
        """
        return await self._context.read(
            "client_configs.get", query=parameters, language=language, timeout=timeout, retry=retry, path={"key": key}
        )


class Codes:
    """`arm.codes`. The path is inferred.

    Raises as every call: `NotSentError`, `OutcomeUnknownError`, `ResponseError`, `StatusError` and its subclasses,
    `ConfigurationError`.
    """

    def __init__(self, context: RequestContext) -> None:
        self._context = context

    async def get(
        self,
        *,
        parameters: Parameters | None = None,
        language: str | None = None,
        timeout: Timeout | None = None,
        retry: RetryPolicy | None = None,
    ) -> Reply:
        """Fetches the ARM system code values.

        No public page shows the response: it is a mapping, as it came.

        Args:
            parameters: query parameters by the API's own names, all lower case; no public page shows them.
            language: `Accept-Language` of this call. Default: the client's.
            timeout: time-outs of this call. Default: the client's.
            retry: retries of this call. Default: the client's.

        Returns:
            The response as it came.

        https://docs.amili.dev/ (Codes, "GET ARM system code values")
        """
        return await self._context.read("codes.get", query=parameters, language=language, timeout=timeout, retry=retry)


class DocumentBundles:
    """`arm.document_bundles`. Both paths are inferred.

    Raises as every call: `NotSentError`, `OutcomeUnknownError`, `ResponseError`, `StatusError` and its subclasses,
    `ConfigurationError`.
    """

    def __init__(self, context: RequestContext) -> None:
        self._context = context

    def list(self, *, parameters: Parameters | None = None, **options: Unpack[ListOptions]) -> Pager[JsonRecord]:
        """Lists the document bundles. No public page shows what they hold: mappings, as they came.

        Args:
            parameters: criteria by the API's own names, all lower case; no public page shows them.
            **options: `maximum_count`, `query`, `page_no`, `page_size`, `user_id`, `language`, `allow_truncated`, `timeout`, `retry`, as
                in `arm.customers.list`.

        Returns:
            The list; nothing is sent before you iterate it.

        Raises:
            TruncatedListError: after the last record: the list reached the cap, or gave fewer records than it announced.
            ConfigurationError: an argument is out of its range.

        https://docs.amili.dev/ (DocumentBundles, "GET a list of document bundles")
        """
        return listed(self._context, "document_bundles.list", JsonRecord, parameters, **options)

    async def get(
        self,
        document_bundle_id: int | str,
        *,
        parameters: Parameters | None = None,
        language: str | None = None,
        timeout: Timeout | None = None,
        retry: RetryPolicy | None = None,
    ) -> Reply:
        """Fetches a document bundle by id.

        No public page shows the response: it is a mapping, as it came.

        Args:
            document_bundle_id: the id.
            parameters: query parameters by the API's own names, all lower case; no public page shows them.
            language: `Accept-Language` of this call. Default: the client's.
            timeout: time-outs of this call. Default: the client's.
            retry: retries of this call. Default: the client's.

        Returns:
            The response as it came.

        Raises:
            NotFoundError: there is no such bundle.

        https://docs.amili.dev/get-one-document-bundle-4205276e0
        """
        return await self._context.read(
            "document_bundles.get",
            query=parameters,
            language=language,
            timeout=timeout,
            retry=retry,
            path={"documentbundleid": document_bundle_id},
        )


class GlItems:
    """`arm.gl_items`. Their fields are on no public page: items are mappings, and their money is `Decimal`.

    Raises as every call: `NotSentError`, `OutcomeUnknownError`, `ResponseError`, `StatusError` and its subclasses,
    `ConfigurationError`.
    """

    def __init__(self, context: RequestContext) -> None:
        self._context = context

    def list(self, *, parameters: Parameters | None = None, **options: Unpack[ListOptions]) -> Pager[GlItem]:
        """Lists the GL items: at most 10,000 in one query, at most 1000 on a page.

        Args:
            parameters: criteria by the API's own names, all lower case; no public page shows them.
            **options: `maximum_count`, `query`, `page_no`, `page_size`, `user_id`, `language`, `allow_truncated`, `timeout`, `retry`, as
                in `arm.customers.list`.

        Returns:
            The list; nothing is sent before you iterate it.

        Raises:
            TruncatedListError: after the last record: the list reached the cap, or gave fewer records than it announced.
            ConfigurationError: an argument is out of its range.

        https://docs.amili.dev/get-a-list-of-gl-items-3942673e0
        """
        return listed(self._context, "gl_items.list", GlItem, parameters, **options)

    async def get(
        self,
        gl_item_id: int | str,
        *,
        language: str | None = None,
        timeout: Timeout | None = None,
        retry: RetryPolicy | None = None,
    ) -> GlItem:
        """Fetches a GL item by id.

        Args:
            gl_item_id: the id.
            language: `Accept-Language` of this call. Default: the client's.
            timeout: time-outs of this call. Default: the client's.
            retry: retries of this call. Default: the client's.

        Returns:
            The item: a mapping whose money is `Decimal`.

        Raises:
            NotFoundError: there is no such item.

        https://docs.amili.dev/get-one-gl-item-3942672e0
        """
        return await self._context.read_item(
            "gl_items.get",
            GlItem,
            "glItemId",
            query={},
            language=language,
            timeout=timeout,
            retry=retry,
            path={"glitemid": gl_item_id},
        )


class GlMovements:
    """`arm.gl_movements`. Both paths are inferred.

    Raises as every call: `NotSentError`, `OutcomeUnknownError`, `ResponseError`, `StatusError` and its subclasses,
    `ConfigurationError`.
    """

    def __init__(self, context: RequestContext) -> None:
        self._context = context

    async def latest_closed(
        self,
        *,
        parameters: Parameters | None = None,
        language: str | None = None,
        timeout: Timeout | None = None,
        retry: RetryPolicy | None = None,
    ) -> Reply:
        """Fetches movement and balance of the latest closed GL year and period.

        No public page shows the response: it is a mapping, as it came.

        Args:
            parameters: query parameters by the API's own names, all lower case; no public page shows them.
            language: `Accept-Language` of this call. Default: the client's.
            timeout: time-outs of this call. Default: the client's.
            retry: retries of this call. Default: the client's.

        Returns:
            The response as it came.

        https://docs.amili.dev/get-movementbalance-for-the-latest-closed-gl-yearperiod-4205286e0
        """
        return await self._context.read("gl_movements.latest_closed", query=parameters, language=language, timeout=timeout, retry=retry)

    def list(self, *, parameters: Parameters | None = None, **options: Unpack[ListOptions]) -> Pager[JsonRecord]:
        """Lists the GL movements and balances. No public page shows what they hold: mappings, as they came.

        Args:
            parameters: criteria by the API's own names, all lower case; no public page shows them.
            **options: `maximum_count`, `query`, `page_no`, `page_size`, `user_id`, `language`, `allow_truncated`, `timeout`, `retry`, as
                in `arm.customers.list`.

        Returns:
            The list; nothing is sent before you iterate it.

        Raises:
            TruncatedListError: after the last record: the list reached the cap, or gave fewer records than it announced.
            ConfigurationError: an argument is out of its range.

        https://docs.amili.dev/get-a-list-of-gl-movementsbalances-4205287e0
        """
        return listed(self._context, "gl_movements.list", JsonRecord, parameters, **options)


class Health:
    """`arm.health`. The path is inferred, and not below a client number.

    Raises as every call: `NotSentError`, `OutcomeUnknownError`, `ResponseError`, `StatusError` and its subclasses,
    `ConfigurationError`.
    """

    def __init__(self, context: RequestContext) -> None:
        self._context = context

    async def check(
        self,
        *,
        parameters: Parameters | None = None,
        language: str | None = None,
        timeout: Timeout | None = None,
        retry: RetryPolicy | None = None,
    ) -> Reply:
        """Checks the health of the API.

        No public page shows the response: it is a mapping, as it came.

        Args:
            parameters: query parameters by the API's own names, all lower case; no public page shows them.
            language: `Accept-Language` of this call. Default: the client's.
            timeout: time-outs of this call. Default: the client's.
            retry: retries of this call. Default: the client's.

        Returns:
            The response as it came.

        Raises:
            StatusError: the API is not well.

        https://docs.amili.dev/ (Health, "Check API health")
        """
        return await self._context.read("health.check", query=parameters, language=language, timeout=timeout, retry=retry)


class Insights:
    """`arm.insights`. The path is inferred.

    Raises as every call: `NotSentError`, `OutcomeUnknownError`, `ResponseError`, `StatusError` and its subclasses,
    `ConfigurationError`.
    """

    def __init__(self, context: RequestContext) -> None:
        self._context = context

    def adb_intervals(self, *, parameters: Parameters | None = None, **options: Unpack[ListOptions]) -> Pager[JsonRecord]:
        """Lists the ADB (age distributed balance) intervals: mappings, as they came. No public page shows what they hold.

        Args:
            parameters: criteria by the API's own names, all lower case; no public page shows them.
            **options: `maximum_count`, `query`, `page_no`, `page_size`, `user_id`, `language`, `allow_truncated`, `timeout`, `retry`, as
                in `arm.customers.list`.

        Returns:
            The list; nothing is sent before you iterate it.

        Raises:
            TruncatedListError: after the last record: the list reached the cap, or gave fewer records than it announced.
            ConfigurationError: an argument is out of its range.

        https://docs.amili.dev/get-a-list-of-adb-intervals-4205288e0
        """
        return listed(self._context, "insights.adb_intervals", JsonRecord, parameters, **options)


class LogItems:
    """`arm.log_items`. Both paths are inferred.

    Raises as every call: `NotSentError`, `OutcomeUnknownError`, `ResponseError`, `StatusError` and its subclasses,
    `ConfigurationError`.
    """

    def __init__(self, context: RequestContext) -> None:
        self._context = context

    def list(self, *, parameters: Parameters | None = None, **options: Unpack[ListOptions]) -> Pager[JsonRecord]:
        """Lists the log items. No public page shows what they hold: mappings, as they came.

        Args:
            parameters: criteria by the API's own names, all lower case; no public page shows them.
            **options: `maximum_count`, `query`, `page_no`, `page_size`, `user_id`, `language`, `allow_truncated`, `timeout`, `retry`, as
                in `arm.customers.list`.

        Returns:
            The list; nothing is sent before you iterate it.

        Raises:
            TruncatedListError: after the last record: the list reached the cap, or gave fewer records than it announced.
            ConfigurationError: an argument is out of its range.

        https://docs.amili.dev/get-a-list-of-log-items-4205290e0
        """
        return listed(self._context, "log_items.list", JsonRecord, parameters, **options)

    async def get(
        self,
        log_item_id: int | str,
        *,
        parameters: Parameters | None = None,
        language: str | None = None,
        timeout: Timeout | None = None,
        retry: RetryPolicy | None = None,
    ) -> Reply:
        """Fetches a log item by id.

        No public page shows the response: it is a mapping, as it came.

        Args:
            log_item_id: the id.
            parameters: query parameters by the API's own names, all lower case; no public page shows them.
            language: `Accept-Language` of this call. Default: the client's.
            timeout: time-outs of this call. Default: the client's.
            retry: retries of this call. Default: the client's.

        Returns:
            The response as it came.

        Raises:
            NotFoundError: there is no such item.

        https://docs.amili.dev/ (LogItems, "GET one log item")
        """
        return await self._context.read(
            "log_items.get", query=parameters, language=language, timeout=timeout, retry=retry, path={"logitemid": log_item_id}
        )


class PaymentReservations:
    """`arm.payment_reservations`.

    Raises as every call: `NotSentError`, `OutcomeUnknownError`, `ResponseError`, `StatusError` and its subclasses,
    `ConfigurationError`.
    """

    def __init__(self, context: RequestContext) -> None:
        self._context = context

    async def create(
        self,
        reservation: PaymentReservation | JsonBody,
        *,
        user_id: str | None = None,
        timeout: Timeout | None = None,
        retry: RetryPolicy | None = None,
    ) -> Reply:
        """Creates a payment reservation for the AR item of a document, or for a customer.

        Its `paymentId` is yours; none is made here. The reservation is never repeated when the outcome is unknown. No public page shows
        the response: it is a mapping, as it came.

        Args:
            reservation: a `PaymentReservation`, a mapping with the API's own names, or bytes of JSON.
            user_id: the user id that this call names. Default: the client's.
            timeout: time-outs of this call. Default: the client's.
            retry: retries of this call. Default: the client's.

        Returns:
            The response as it came.

        Raises:
            RecordError: it has no `paymentId`, or names neither a document nor a customer; nothing was sent.
            OutcomeUnknownError: it may have been accepted: look it up before you repeat it.

        https://docs.amili.dev/creates-a-new-payment-reservation-3942682e0
        """
        body = reservation.to_mapping() if isinstance(reservation, PaymentReservation) else reservation
        faults = reservation_faults(json_value(bytes(body)) if isinstance(body, (bytes, bytearray)) else body)
        if faults:
            raise RecordError("; ".join(faults))
        return await self._context.write(
            "payment_reservations.create", body, Reply, user_id=user_id or self._context.user_id, timeout=timeout, retry=retry
        )
