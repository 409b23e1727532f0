"""Customers. Creating and updating are upserts ("If a customer already exists, it will be updated"), so they may be repeated."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ..bulk.limits import SharedLimits
from ..config import BulkOptions, RetryPolicy, Timeout
from ..errors import NotFoundError
from ..models.base import PydanticModel
from ..models.batches import BatchReceipt, Receipt
from ..models.customers import Customer, CustomerRecord
from ..paging import Pager
from ..wire import is_web_page
from .base import Parameters, RequestContext, check_list, query_of
from .concurrent import ConcurrentMap

if TYPE_CHECKING:
    from ..bulk.run import BulkRun
    from ..sources.arrow import ArrowStream
    from ..sync.run import SyncRun
    from ..validation.run import CheckRun
    from .bulk import BulkWrites

__all__ = ["CustomerSource", "Customers"]

CustomerSource = Customer | Mapping[str, Any] | PydanticModel | bytes


class Customers:
    """`arm.customers`. A record to send is a `Customer`, a mapping with the API's own names, a pydantic model or
    dataclass whose names are those of the API or of `Customer`, or bytes of one JSON object.

    Every method takes `timeout=` and `retry=` of its own. Raises, beside what is said of a method: `NotSentError` (try again),
    `OutcomeUnknownError` (it may have been done), `ResponseError`, `StatusError` and its subclasses, `RecordError` (the record
    can't be sent), `ConfigurationError` (the call is wrong).
    """

    def __init__(self, context: RequestContext, shared_limits: SharedLimits) -> None:
        self._context = context
        self._shared_limits = shared_limits

    @property
    def _bulk(self) -> BulkWrites[Customer]:
        # What only writes of many records need is loaded with the first of them.
        from .bulk import CUSTOMERS, BulkWrites  # noqa: PLC0415

        return BulkWrites(self._context, self._shared_limits, CUSTOMERS)

    async def create(
        self, customer: CustomerSource, *, user_id: str | None = None, timeout: Timeout | None = None, retry: RetryPolicy | None = None
    ) -> Receipt:
        """Creates a customer, or updates it if it exists. It is validated and stored at once.

        Args:
            customer: a `Customer`, a mapping, a pydantic model, a dataclass, or bytes of one JSON object.
            user_id: the user id that this call names. Default: the client's.
            timeout: time-outs of this call. Default: the client's.
            retry: retries of this call. Default: the client's.

        Returns:
            What the server says about it.

        Raises:
            RecordError: the record can't be sent; nothing was sent.

        https://docs.amili.dev/post-create-one-customer-3942680e0
        """
        return await self._context.write_one("customers.create", customer, Customer, user_id=user_id, timeout=timeout, retry=retry)

    async def update(
        self, customer: CustomerSource, *, user_id: str | None = None, timeout: Timeout | None = None, retry: RetryPolicy | None = None
    ) -> Receipt:
        """Updates a customer.

        A field that is missing or null keeps its value; a blank one is cleared. The postal address changes as a group.

        Args:
            customer: a `Customer`, a mapping, a pydantic model, a dataclass, or bytes of one JSON object.
            user_id: the user id that this call names. Default: the client's.
            timeout: time-outs of this call. Default: the client's.
            retry: retries of this call. Default: the client's.

        Returns:
            What the server says about it.

        Raises:
            RecordError: the record can't be sent; nothing was sent.

        https://docs.amili.dev/put-update-one-customer-3942678e0
        """
        return await self._context.write_one("customers.update", customer, Customer, user_id=user_id, timeout=timeout, retry=retry)

    async def get(
        self,
        customer_no: str,
        *,
        user_id: str | None = None,
        language: str | None = None,
        timeout: Timeout | None = None,
        retry: RetryPolicy | None = None,
    ) -> CustomerRecord:
        """Fetches a customer by number.

        Args:
            customer_no: the number; case does not matter.
            user_id: the user id that this call names. Default: the client's.
            language: `Accept-Language` of this call. Default: the client's.
            timeout: time-outs of this call. Default: the client's.
            retry: retries of this call. Default: the client's.

        Returns:
            The customer.

        Raises:
            NotFoundError: there is no such customer.

        https://docs.amili.dev/get-one-customer-3942674e0
        """
        record, _ = await self._context.read_one(
            "customers.get",
            CustomerRecord,
            "customerNo",
            query={"userid": user_id or self._context.user_id},
            language=language,
            timeout=timeout,
            retry=retry,
            path={"customerno": customer_no},
        )
        return record

    async def delete(
        self, customer_no: str, *, user_id: str | None = None, timeout: Timeout | None = None, retry: RetryPolicy | None = None
    ) -> Receipt:
        """Deletes a customer that has no documents or AR items. It is not repeated when the outcome is unknown.

        Args:
            customer_no: the number.
            user_id: the user id that this call names. Default: the client's.
            timeout: time-outs of this call. Default: the client's.
            retry: retries of this call. Default: the client's.

        Returns:
            What the server says about it.

        Raises:
            UnprocessableError: it has documents or AR items.
            NotFoundError: there is no such customer.
            OutcomeUnknownError: it may have been deleted: look it up.

        https://docs.amili.dev/delete-a-customer-3942675e0
        """
        return await self._context.write_one(
            "customers.delete", None, Customer, user_id=user_id, timeout=timeout, retry=retry, path={"customerno": customer_no}
        )

    def list(
        self,
        *,
        customer_no: str | None = None,
        account_no: int | str | None = None,
        organization_no: str | None = None,
        name: str | None = None,
        customer_category: str | None = None,
        expand: str | None = None,
        options: str | None = None,
        parameters: Parameters | None = None,
        maximum_count: int | None = None,
        query: str | None = None,
        page_no: int | None = None,
        page_size: int | None = None,
        user_id: str | None = None,
        language: str | None = None,
        allow_truncated: bool = False,
        timeout: Timeout | None = None,
        retry: RetryPolicy | None = None,
    ) -> Pager[CustomerRecord]:
        """Lists the customers that meet all criteria. Iterating the result gives every record of every page.

        Args:
            customer_no: only the customer with this number.
            account_no: only the one with this account number in the AR ledger.
            organization_no: only those with this organisation number.
            name: only those with this name; how the API compares names is on no public page.
            customer_category: only those of this category, for example `"CONS"`.
            expand: as the API has it; its values are on no public page.
            options: as the API has it; its values are on no public page.
            parameters: further criteria by the API's own names, all lower case.
            maximum_count: the maximum number of records to return, 1 to 10,000. A list that reaches this number is no
                error then. Default None: all.
            query: the id of an earlier query, to read its pages again.
            page_no: the page to begin with. Default: the first.
            page_size: records on a page, 5 to 1000. Default: the API's, 100.
            user_id: the user id that this call names. Default: the client's.
            language: `Accept-Language` of this call. Default: the client's.
            allow_truncated: True: a list that reaches the cap of 10,000, or gives fewer records than it announces, is no error. Default
                False.
            timeout: time-outs of this call. Default: the client's.
            retry: retries of this call. Default: the client's.

        Returns:
            The list; nothing is sent before you iterate it.

        Raises:
            TruncatedListError: after the last record: the list reached the cap, or gave fewer records than it announced.
            ConfigurationError: an argument is out of its range.

        https://docs.amili.dev/get-a-list-of-customers-3942679e0
        """
        check_list(self._context.endpoints["customers.list"], maximum_count=maximum_count, page_size=page_size, page_no=page_no)
        criteria = query_of(
            parameters,
            {"maximumcount": maximum_count, "query": query, "pageno": page_no, "pagesize": page_size},
            user_id=user_id or self._context.user_id,
            customerno=customer_no,
            accountno=account_no,
            organizationno=organization_no,
            name=name,
            customercategory=customer_category,
            expand=expand,
            options=options,
        )
        return self._context.pager(
            "customers.list",
            CustomerRecord,
            criteria,
            may_be_truncated=allow_truncated or maximum_count is not None,
            language=language,
            timeout=timeout,
            retry=retry,
        )

    def get_many(
        self,
        numbers: Iterable[str] | AsyncIterable[str],
        *,
        concurrency: int = 8,
        user_id: str | None = None,
        language: str | None = None,
        timeout: Timeout | None = None,
        retry: RetryPolicy | None = None,
    ) -> ConcurrentMap[str, tuple[str, CustomerRecord | None]]:
        """Fetches many customers by number, several at once. It goes past the cap of 10,000 of a list.

        `async with arm.customers.get_many(numbers) as found: async for number, record in found: ...`

        Args:
            numbers: any iterable or async iterable, of any length.
            concurrency: the number of concurrent requests. Default 8.
            user_id: the user id that this call names. Default: the client's.
            language: `Accept-Language` of this call. Default: the client's.
            timeout: time-outs of this call. Default: the client's.
            retry: retries of this call. Default: the client's.

        Returns:
            A context manager. Iterating it gives each number with its customer, in the order of the numbers; None for a customer that
            does not exist.

        Raises:
            ConfigurationError: `concurrency` is less than 1.
            NotFoundError: while it is iterated: the answer is a 404 web page, which does not come from the API and proves nothing.
        """

        async def one(number: str) -> tuple[str, CustomerRecord | None]:
            try:
                return number, await self.get(number, user_id=user_id, language=language, timeout=timeout, retry=retry)
            except NotFoundError as exc:
                if is_web_page(exc):
                    raise
                return number, None

        return ConcurrentMap(numbers, one, at_once=concurrency, ordered=True)

    async def create_batch(
        self,
        customers: Iterable[CustomerSource],
        *,
        user_id: str | None = None,
        timeout: Timeout | None = None,
        retry: RetryPolicy | None = None,
    ) -> BatchReceipt:
        """Creates or updates customers in one request. They are stored, and processed later.

        `arm.batches.wait(receipt.batch_uuid)` gives the result.

        Args:
            customers: the customers of the batch.
            user_id: the user id that this call names. Default: the client's.
            timeout: time-outs of this call. Default: the client's.
            retry: retries of this call. Default: the client's.

        Returns:
            The `batchUuid` of the batch.

        Raises:
            RecordError: a record can't be sent; the message has its position. Nothing was sent.
            ConfigurationError: there is no record.

        https://docs.amili.dev (Customers, "POST (create) a batch of customers")
        """
        return await self._bulk.batch("customers.create_batch", customers, user_id=user_id, timeout=timeout, retry=retry)

    async def update_batch(
        self,
        customers: Iterable[CustomerSource],
        *,
        user_id: str | None = None,
        timeout: Timeout | None = None,
        retry: RetryPolicy | None = None,
    ) -> BatchReceipt:
        """Updates customers in one request; otherwise as `create_batch`.

        Args:
            customers: the customers of the batch.
            user_id: the user id that this call names. Default: the client's.
            timeout: time-outs of this call. Default: the client's.
            retry: retries of this call. Default: the client's.

        Returns:
            The `batchUuid` of the batch.

        Raises:
            RecordError: a record can't be sent; the message has its position. Nothing was sent.
            ConfigurationError: there is no record.

        https://docs.amili.dev/put-update-a-batch-of-customers-3942677e0
        """
        return await self._bulk.batch("customers.update_batch", customers, user_id=user_id, timeout=timeout, retry=retry)

    def check(
        self,
        customers: Iterable[CustomerSource] | AsyncIterable[CustomerSource] | ArrowStream,
        *,
        max_findings: int = 1000,
        max_bytes: int = 1_000_000,
    ) -> CheckRun:
        """Checks all customers and names every problem of each. It sends nothing and does not use the network.

        docs/check.md lists what is checked.

        Args:
            customers: any iterable or async iterable, or a table that supports the Arrow stream protocol, of any length. It is read as
                needed.
            max_findings: how many findings are kept; further ones are only counted. Default 1000.
            max_bytes: the largest body, in bytes, as `BulkOptions.max_bytes`. Default 1,000,000.

        Returns:
            The check: await it for a `CheckReport`.

        Raises:
            CheckError: while it is awaited: the source raised; `report` has what was found before.
        """
        return self._bulk.check("customers.create_batch", customers, max_findings=max_findings, max_bytes=max_bytes)

    def create_many(
        self,
        customers: Iterable[CustomerSource] | AsyncIterable[CustomerSource] | ArrowStream,
        *,
        options: BulkOptions | None = None,
        user_id: str | None = None,
        timeout: Timeout | None = None,
        retry: RetryPolicy | None = None,
        at_least: int | None = None,
    ) -> BulkRun:
        """Creates or updates any number of customers, in batches, several at once.

        Args:
            customers: any iterable or async iterable, or a table that supports the Arrow stream protocol, of any length. It is read as
                needed.
            options: how it makes batches, sends them and waits. Default: `BulkOptions()`.
            user_id: the user id that each batch names. Default: the client's.
            timeout: time-outs of each request. Default: the client's.
            retry: retries of each request. Default: the client's.
            at_least: the minimum number of records in a complete source. With fewer, all that was read is sent,
                `report.shortfall` says so, and `report.raise_for_failures()` raises. Default None: any number.

        Returns:
            The run: await it for a `BulkReport`, or enter it and iterate the outcome of each batch.

        Raises:
            ConfigurationError: the options contradict each other.
            BulkError: while it is awaited: the run could not continue; `report` says what became of each record.
        """
        return self._bulk.run(
            "customers.create_batch", customers, options=options, user_id=user_id, timeout=timeout, retry=retry, at_least=at_least
        )

    def update_many(
        self,
        customers: Iterable[CustomerSource] | AsyncIterable[CustomerSource] | ArrowStream,
        *,
        options: BulkOptions | None = None,
        user_id: str | None = None,
        timeout: Timeout | None = None,
        retry: RetryPolicy | None = None,
        at_least: int | None = None,
    ) -> BulkRun:
        """Updates any number of customers; otherwise as `create_many`.

        Args:
            customers: any iterable or async iterable, or a table that supports the Arrow stream protocol, of any length. It is read as
                needed.
            options: how it makes batches, sends them and waits. Default: `BulkOptions()`.
            user_id: the user id that each batch names. Default: the client's.
            timeout: time-outs of each request. Default: the client's.
            retry: retries of each request. Default: the client's.
            at_least: the minimum number of records in a complete source. With fewer, all that was read is sent,
                `report.shortfall` says so, and `report.raise_for_failures()` raises. Default None: any number.

        Returns:
            The run, as from `create_many`.

        Raises:
            ConfigurationError: the options contradict each other.
            BulkError: while it is awaited: the run could not continue; `report` says what became of each record.
        """
        return self._bulk.run(
            "customers.update_batch", customers, options=options, user_id=user_id, timeout=timeout, retry=retry, at_least=at_least
        )

    def sync(
        self,
        source: Iterable[CustomerSource] | AsyncIterable[CustomerSource] | ArrowStream,
        *,
        state: str | os.PathLike[str],
        full: bool = False,
        at_least: int | float | None = None,
        options: BulkOptions | None = None,
        user_id: str | None = None,
        timeout: Timeout | None = None,
        retry: RetryPolicy | None = None,
    ) -> SyncRun:
        """Creates or updates the customers that have changed since they were last sent with success.

        The source holds all customers. Whole records are sent: the postal address changes as a group. Customers that are gone from the
        source are reported, and nothing else is done about them.

        Args:
            source: all customers: any iterable or async iterable, or a table that supports the Arrow stream protocol, of any length.
            state: the path of a file that keeps a digest of each customer, one file for each client number and address. It is created if
                there is none.
            full: True: also send unchanged customers. Default False.
            at_least: how much the source holds when it is complete: a share of the customers in the state, a float from 0 to 1, or a
                number of records, an integer. With less, what was read is sent, `shortfall` says so, `raise_for_failures()` raises, and
                `forget` refuses. Default None: 0.5. 0 accepts any source as complete.
            options: of the bulk run; `results="accepted"` is refused.
            user_id: the user id that each batch names. Default: the client's.
            timeout: time-outs of each request. Default: the client's.
            retry: retries of each request. Default: the client's.

        Returns:
            The run: await it for a `SyncReport`, or enter it and iterate the outcome of each batch.

        Raises:
            ConfigurationError: the options contradict each other, or no state can be kept on this system.
            JournalError: while it is awaited: the state can't be used, or another sync uses it.
            BulkError: while it is awaited: the run could not continue.
        """
        return self._bulk.sync(
            "customers.create_batch",
            source,
            state,
            full=full,
            at_least=at_least,
            options=options,
            user_id=user_id,
            timeout=timeout,
            retry=retry,
        )
