"""AR items: the items of the accounts receivable ledger."""

from __future__ import annotations

from typing import Unpack

from ..config import RetryPolicy, Timeout
from ..models.json_records import ArItem, Reply
from ..paging import Pager
from .base import JsonBody, ListOptions, Parameters, RequestContext, listed

__all__ = ["ArItems"]


class ArItems:
    """`arm.ar_items`. Their fields are on no public page: items are mappings, and their money is `Decimal`; see `ArItem` for
    debit and credit, open and closed.

    Raises as every call: `NotSentError`, `OutcomeUnknownError`, `ResponseError`, `StatusError` and its subclasses,
    `ConfigurationError`.
    """

    def __init__(self, context: RequestContext) -> None:
        self._context = context

    def list(self, *, parameters: Parameters | None = None, **options: Unpack[ListOptions]) -> Pager[ArItem]:
        """Lists the AR items: at most 10,000 in one query, at most 1000 on a page.

        Args:
            parameters: criteria by the API's own names, all lower case; no public page shows them.
            **options: `maximum_count`, `query`, `page_no`, `page_size`, `user_id`, `language`, `allow_truncated`, `timeout`, `retry`, as
                in `arm.customers.list`.

        Returns:
            The list; nothing is sent before you iterate it.

        Raises:
            TruncatedListError: after the last record: the list reached the cap, or gave fewer records than it announced.
            ConfigurationError: an argument is out of its range.

        https://docs.amili.dev/get-a-list-of-ar-items-3942665e0
        """
        return listed(self._context, "ar_items.list", ArItem, parameters, **options)

    async def get(
        self,
        ar_item_id: int | str,
        *,
        expand: str | None = None,
        user_id: str | None = None,
        language: str | None = None,
        timeout: Timeout | None = None,
        retry: RetryPolicy | None = None,
    ) -> ArItem:
        """Fetches an AR item by id.

        Args:
            ar_item_id: the id.
            expand: as the API has it; its values are on no public page.
            user_id: the user id that this call names. Default: the client's.
            language: `Accept-Language` of this call. Default: the client's.
            timeout: time-outs of this call. Default: the client's.
            retry: retries of this call. Default: the client's.

        Returns:
            The item: a mapping whose money is `Decimal`.

        Raises:
            NotFoundError: there is no such item.

        https://docs.amili.dev/get-one-ar-item-3942664e0
        """
        return await self._context.read_item(
            "ar_items.get",
            ArItem,
            "arItemId",
            query={"expand": expand, "userid": user_id or self._context.user_id},
            language=language,
            timeout=timeout,
            retry=retry,
            path={"aritemid": ar_item_id},
        )

    async def update(
        self, item: JsonBody, *, user_id: str | None = None, timeout: Timeout | None = None, retry: RetryPolicy | None = None
    ) -> Reply:
        """Updates details of an AR item, or makes a credit note for an invoice or interest note.

        No public page shows which fields do which: it takes a mapping with the API's own names and returns the response as it came. Since
        it may make a credit note, it is never repeated when the outcome is unknown.

        Args:
            item: a mapping with the API's own names, or bytes of JSON.
            user_id: the user id that this call names. Default None: none, since the vendor's page shows no query.
            timeout: time-outs of this call. Default: the client's.
            retry: retries of this call. Default: the client's.

        Returns:
            The response as it came.

        Raises:
            RecordError: the body can't be sent; nothing was sent.
            UnprocessableError: the vendor's page lists it.
            BadRequestError: the vendor's page lists it.
            NotFoundError: the vendor's page lists it.
            OutcomeUnknownError: it may have been accepted: look it up before you repeat it.

        https://docs.amili.dev/put-update-ar-item-details-3942666e0
        """
        return await self._context.write("ar_items.update", item, Reply, user_id=user_id, timeout=timeout, retry=retry)
