"""Customers. Creating and updating are upserts ("If a customer already exists, it will be updated"), so they may be repeated."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, Iterable, Mapping
from typing import Any, Final

from ..bulk.chunking import RecordType
from ..bulk.limits import SharedLimits
from ..bulk.report import expectation_of
from ..bulk.run import BulkRun
from ..config import BulkOptions, RetryPolicy, Timeout
from ..errors import NotFoundError
from ..models.batches import BatchReceipt, Receipt
from ..models.customers import Customer, CustomerRecord
from ..paging import Pager
from ..sync.run import SyncRun
from ..validation.run import CheckRun
from .base import RequestContext, check_list
from .bulk import BulkWrites
from .concurrent import ConcurrentMap

__all__ = ["KIND", "CustomerSource", "Customers"]

CustomerSource = Customer | Mapping[str, Any] | bytes

KIND: Final = RecordType(Customer, "customer_no")


class Customers:
    """`arm.customers`. A record to send is a `Customer`, a mapping with the API's own names, or bytes of one JSON object.

    Every method takes `timeout=` and `retry=` of its own. Raises, beside what is said of a method: `NotSentError` (try again),
    `OutcomeUnknownError` (it may have been done), `ResponseError`, `StatusError` and its subclasses, `RecordError` (the record
    can't be sent), `ConfigurationError` (the call is wrong).
    """

    def __init__(self, context: RequestContext, shared_limits: SharedLimits) -> None:
        self._context = context
        self._bulk: BulkWrites[Customer] = BulkWrites(context, shared_limits, KIND)

    async def create(
        self, customer: CustomerSource, *, user_id: str | None = None, timeout: Timeout | None = None, retry: RetryPolicy | None = None
    ) -> Receipt:
        """Creates a customer, or updates it where it exists. Validated and stored at once.

        https://docs.amili.dev/post-create-one-customer-3942680e0
        """
        return await self._context.write_one("customers.create", customer, Customer, user_id=user_id, timeout=timeout, retry=retry)

    async def update(
        self, customer: CustomerSource, *, user_id: str | None = None, timeout: Timeout | None = None, retry: RetryPolicy | None = None
    ) -> Receipt:
        """Updates a customer. Missing or null keeps what is stored, blank clears it; the postal address changes as a group.

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
        """One customer by number. Raises `NotFoundError` where there is none.

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
        """Deletes a customer; only one that has no documents or AR items (else `UnprocessableError`). Not repeated when in doubt.

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
        """The customers that meet all criteria; iterating gives every record of every page.

        Args:
            customer_no, account_no, organization_no, name, customer_category: criteria.
            expand, options: as the API has them; their values are on no public page.
            maximum_count: the most records to give, 1 to 10,000; where it is given, a list that reaches it is no error.
            query: id of an earlier query, to walk its pages again.
            page_no: the page to begin with.
            page_size: records a page, 5 to 1000; the API's default is 100.
            user_id: who asks.
            language: `Accept-Language`.
            allow_truncated: True where a part is enough: a list that hits the cap of 10,000, or gives less than it announces, is no error.

        Raises:
            TruncatedListError: after the last record, where the list reached the cap or gave fewer records than it announced.

        https://docs.amili.dev/get-a-list-of-customers-3942679e0
        """
        check_list(self._context.endpoints["customers.list"], maximum_count=maximum_count, page_size=page_size, page_no=page_no)
        parameters = {
            "customerno": customer_no,
            "accountno": account_no,
            "organizationno": organization_no,
            "name": name,
            "customercategory": customer_category,
            "expand": expand,
            "options": options,
            "maximumcount": maximum_count,
            "query": query,
            "pageno": page_no,
            "pagesize": page_size,
            "userid": user_id or self._context.user_id,
        }
        return self._context.pager(
            "customers.list",
            CustomerRecord,
            parameters,
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
        """Many customers by number, `concurrency` at once, in the order of the numbers; None where the server says 404.

        `async with arm.customers.get_many(numbers) as found: async for number, record in found: ...`
        """

        async def one(number: str) -> tuple[str, CustomerRecord | None]:
            try:
                return number, await self.get(number, user_id=user_id, language=language, timeout=timeout, retry=retry)
            except NotFoundError:
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
        """Creates or updates customers in one batch call. Stored, and processed later: `arm.batches.wait(receipt.batch_uuid)`.

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
        """Updates customers in one batch call; otherwise as `create_batch`.

        https://docs.amili.dev/put-update-a-batch-of-customers-3942677e0
        """
        return await self._bulk.batch("customers.update_batch", customers, user_id=user_id, timeout=timeout, retry=retry)

    def check(
        self,
        customers: Iterable[CustomerSource] | AsyncIterable[CustomerSource],
        *,
        limit: int = 1000,
        max_bytes: int = 1_000_000,
    ) -> CheckRun:
        """Reads all customers and names every fault of every one; nothing is sent, and the network is not used. Awaited, it gives a
        `CheckReport`. docs/check.md has all that is looked at.

        Args:
            customers: as for `create_many`: any iterable or async iterable, of any length.
            limit: faults that are kept; more are counted.
            max_bytes: as `BulkOptions.max_bytes`.

        Raises:
            CheckError: the source raised; its `report` has what was found until then.
        """
        return self._bulk.check("customers.create_batch", customers, limit=limit, max_bytes=max_bytes)

    def create_many(
        self,
        customers: Iterable[CustomerSource] | AsyncIterable[CustomerSource],
        *,
        options: BulkOptions | None = None,
        user_id: str | None = None,
        timeout: Timeout | None = None,
        retry: RetryPolicy | None = None,
        at_least: int | None = None,
    ) -> BulkRun:
        """Creates or updates any number of customers, cut into batches and sent side by side; see `BulkRun`.

        Where the source is read to its end and holds fewer records than `at_least`, all of it was sent, `report.shortfall` says so, and
        `report.raise_for_failures()` raises.
        """
        expectation = expectation_of(at_least, has_state=False)
        return self._bulk.run(
            "customers.create_batch", customers, options=options, user_id=user_id, timeout=timeout, retry=retry, expectation=expectation
        )

    def update_many(
        self,
        customers: Iterable[CustomerSource] | AsyncIterable[CustomerSource],
        *,
        options: BulkOptions | None = None,
        user_id: str | None = None,
        timeout: Timeout | None = None,
        retry: RetryPolicy | None = None,
        at_least: int | None = None,
    ) -> BulkRun:
        """Updates any number of customers; otherwise as `create_many`."""
        expectation = expectation_of(at_least, has_state=False)
        return self._bulk.run(
            "customers.update_batch", customers, options=options, user_id=user_id, timeout=timeout, retry=retry, expectation=expectation
        )

    def sync(
        self,
        source: Iterable[CustomerSource] | AsyncIterable[CustomerSource],
        *,
        state: str | os.PathLike[str],
        full: bool = False,
        at_least: int | float | None = None,
        options: BulkOptions | None = None,
        user_id: str | None = None,
        timeout: Timeout | None = None,
        retry: RetryPolicy | None = None,
    ) -> SyncRun:
        """Creates or updates those customers that changed since they were last sent with success; see `SyncRun`.

        The source holds all customers. Whole records are sent: the postal address changes as a group. Those that are gone from the source
        are reported, and nothing else is done about them.

        Args:
            source: the customers.
            state: a file that keeps a digest for each customer; made where there is none. One for each client number and address.
            full: send those too that did not change.
            at_least: how much the source holds at the least, where it is whole: a share of the customers in the state, a float from 0 to
                1, or a number of records, an integer. With less, what was read is sent, `shortfall` says so, `raise_for_failures()`
                raises, and `forget` refuses. Default None: 0.5; 0 takes any source for whole.
            options: of the bulk run; `results="accepted"` is refused.
            user_id, timeout, retry: as for `create_many`.
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
