"""Documents (invoices). Nothing says that a document may be sent twice, so none ever is when the outcome of a try is not known."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping
from typing import Any, Final

from ..bulk.chunking import RecordType
from ..bulk.limits import SharedLimits
from ..bulk.report import BulkReport, expectation_of
from ..bulk.run import BulkRun
from ..codec import json_object
from ..config import BulkOptions, Reconcile, RetryPolicy, Timeout
from ..models.batches import BatchReceipt, Receipt
from ..models.documents import Document, DocumentRecord
from ..paging import Pager
from ..validation.run import CheckRun
from .base import Parameters, RequestContext, listed
from .bulk import BulkWrites

__all__ = ["KIND", "DocumentSource", "Documents"]

DocumentSource = Document | Mapping[str, Any] | bytes

KIND: Final = RecordType(Document, "document_no")


class Documents:
    """`arm.documents`. A record to send is a `Document`, a mapping with the API's own names, or bytes of one JSON object.

    Every method takes `timeout=` and `retry=` of its own. Raises, beside what is said of a method: `NotSentError` (try again),
    `OutcomeUnknownError` (it may have been created: look it up by its number before you send it again), `StatusError` and its
    subclasses, `RecordError` (the record can't be sent), `ConfigurationError` (the call is wrong).
    """

    def __init__(self, context: RequestContext, shared_limits: SharedLimits) -> None:
        self._context = context
        self._bulk: BulkWrites[Document] = BulkWrites(context, shared_limits, KIND)

    async def create(
        self, document: DocumentSource, *, user_id: str | None = None, timeout: Timeout | None = None, retry: RetryPolicy | None = None
    ) -> Receipt:
        """Creates a document. Validated and created at once. Sent again only where it is proved that it was not taken.

        https://docs.amili.dev/post-create-one-document-3942669e0
        """
        return await self._context.write_one("documents.create", document, Document, user_id=user_id, timeout=timeout, retry=retry)

    async def get(
        self,
        document_no: str,
        *,
        expand: str | None = None,
        user_id: str | None = None,
        language: str | None = None,
        timeout: Timeout | None = None,
        retry: RetryPolicy | None = None,
    ) -> DocumentRecord:
        """One document by number. Raises `NotFoundError` where there is none. What the answer holds is on no public page: see `other`.

        https://docs.amili.dev/get-one-document-3942667e0
        """
        record, text = await self._context.read_one(
            "documents.get",
            DocumentRecord,
            "documentNo",
            query={"expand": expand, "userid": user_id or self._context.user_id},
            language=language,
            timeout=timeout,
            retry=retry,
            path={"documentno": document_no},
        )
        known = set(DocumentRecord.__struct_encode_fields__)
        record.other = {name: value for name, value in (json_object(text) or {}).items() if name not in known}
        return record

    def list(
        self,
        *,
        maximum_count: int | None = None,
        query: str | None = None,
        page_no: int | None = None,
        page_size: int | None = None,
        user_id: str | None = None,
        language: str | None = None,
        parameters: Parameters | None = None,
        allow_truncated: bool = False,
        timeout: Timeout | None = None,
        retry: RetryPolicy | None = None,
    ) -> Pager[DocumentRecord]:
        """The documents. Path, criteria and cap are on no public page: the path is inferred, the paging as for customers.

        Args:
            maximum_count, query, page_no, page_size, user_id, language, allow_truncated: as `arm.customers.list`.
            parameters: criteria, by the API's own names, for example `{"customerno": "543210"}`.

        Raises:
            TruncatedListError: after the last record, where the list reached the cap or gave fewer records than it announced.

        https://docs.amili.dev/get-a-list-of-documents-3942670e0
        """
        return listed(
            self._context,
            "documents.list",
            DocumentRecord,
            parameters,
            maximum_count=maximum_count,
            query=query,
            page_no=page_no,
            page_size=page_size,
            user_id=user_id,
            language=language,
            allow_truncated=allow_truncated,
            timeout=timeout,
            retry=retry,
        )

    async def create_batch(
        self,
        documents: Iterable[DocumentSource],
        *,
        user_id: str | None = None,
        timeout: Timeout | None = None,
        retry: RetryPolicy | None = None,
    ) -> BatchReceipt:
        """Creates documents in one batch call. Stored, and processed later: `arm.batches.wait(receipt.batch_uuid)`.

        https://docs.amili.dev/post-create-a-batch-of-documents-3942668e0
        """
        return await self._bulk.batch("documents.create_batch", documents, user_id=user_id, timeout=timeout, retry=retry)

    def check(
        self,
        documents: Iterable[DocumentSource] | AsyncIterable[DocumentSource],
        *,
        customers: Iterable[str] | AsyncIterable[str] | None = None,
        state: str | os.PathLike[str] | None = None,
        limit: int = 1000,
        max_bytes: int = 1_000_000,
    ) -> CheckRun:
        """Reads all documents and names every fault of every one; nothing is sent, and the network is not used. Awaited, it gives a
        `CheckReport`. docs/check.md has all that is looked at.

        Args:
            documents: as for `create_many`: any iterable or async iterable, of any length.
            customers: the numbers of all customers that there will be. Where they are given, a document for another customer is an error
                (`unknown_customer`). Of each number 8 bytes are kept, on the disk.
            state: the state of `customers.sync`, whose customers are known too.
            limit: faults that are kept; more are counted.
            max_bytes: as `BulkOptions.max_bytes`.

        Raises:
            CheckError: the source raised; its `report` has what was found until then.
        """
        known = _known(customers, state) if state is not None else customers
        return self._bulk.check("documents.create_batch", documents, limit=limit, max_bytes=max_bytes, customers=known)

    def create_many(
        self,
        documents: Iterable[DocumentSource] | AsyncIterable[DocumentSource],
        *,
        options: BulkOptions | None = None,
        user_id: str | None = None,
        timeout: Timeout | None = None,
        retry: RetryPolicy | None = None,
        at_least: int | None = None,
    ) -> BulkRun:
        """Creates any number of documents, cut into batches and sent side by side; see `BulkRun`. A batch whose fate is not known is
        never sent again: its documents end as `unknown`. A documentNo that comes twice is sent once: the second document is `invalid`,
        reason `document_no_repeated`. Without a journal nothing is known of other calls: the same documents in a second call are sent
        again. `at_least` is as for `customers.create_many`."""
        expectation = expectation_of(at_least, has_state=False)
        return self._bulk.run(
            "documents.create_batch", documents, options=options, user_id=user_id, timeout=timeout, retry=retry, expectation=expectation
        )

    async def reconcile(
        self,
        journal: str | os.PathLike[str],
        *,
        run_id: str | None = None,
        settle: float | None = None,
        resend_absent: bool = False,
        concurrency: int = 4,
        options: BulkOptions | None = None,
        user_id: str | None = None,
        timeout: Timeout | None = None,
        retry: RetryPolicy | None = None,
    ) -> BulkReport:
        """Finds out what became of the documents of a journal whose fate is open; its source is not needed.

        Batches that were accepted are asked for their result. Each `unknown` document that has a number is looked up, when `settle`
        seconds have passed since it was sent. Found with the same content: `succeeded`. Else it stays `unknown`, and the reason says
        why: `key_conflict` (found with other content), `absent`, `batch_taken` (absent, but others of its batch are there),
        `not_looked_up`. An `accepted` document that its result does not explain (`unmapped`, `unrecognised`, `result_gone`) is looked
        up too: found with the same content it is `succeeded`; else it stays `accepted` and is never sent again. All of it is in the
        journal: a reconcile that is cut off can be begun again.

        Args:
            journal: path of the journal.
            run_id: the run; None takes every run of documents of this client number.
            settle: seconds. Two clocks at least must say that they have passed, of the wall clock, the boot clock of this machine and
                the `Date` of the service; where they can't, it is waited anew. Default: the run's `deadline`, or the slowest batch of
                the run where that was longer, and a tenth more.
            resend_absent: send again what has a number, was not found, has no sibling of its batch that was found, and whose answer
                was no 2xx. Then `settle` must be longer than the run's deadline. A batch is only sent again where for each of its
                numbers a document of the run is found whose number has the same form: else look-ups of such numbers may not work.
            concurrency: documents looked up side by side.
            options: for what is sent again and for the waiting for results; but the deadline is the run's own.

        Returns:
            a report of the documents whose fate was open, in the order in which they were sent.

        Raises:
            JournalError: the journal can't be used, has no such run, or somebody is running it.
            ConfigurationError: `settle` is too short to send again.
            BulkError: the run could not go on.

        https://docs.amili.dev/get-one-document-3942667e0
        """
        settings = Reconcile(settle=settle, resend_absent=resend_absent, concurrency=concurrency)
        return await self._bulk.reconcile(
            "documents.create_batch",
            journal,
            run_id,
            settings,
            options=options,
            user_id=user_id,
            timeout=timeout,
            retry=retry,
        )


async def _known(customers: Iterable[str] | AsyncIterable[str] | None, state: str | os.PathLike[str]) -> AsyncIterator[str]:
    """The numbers of customers that were given, and those of a state."""
    from ..sync.state import kept  # noqa: PLC0415 - SQLite is only loaded where there is a state

    if isinstance(customers, AsyncIterable):
        async for number in customers:
            yield number
    else:
        for number in customers or ():
            yield number
    for number in kept(state):
        yield number
