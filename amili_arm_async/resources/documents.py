"""Documents (invoices). Nothing says that a document may be sent twice, so none is ever resent while its outcome is unknown."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ..bulk.limits import SharedLimits
from ..codec import json_object
from ..config import BulkOptions, Reconcile, RetryPolicy, Timeout
from ..errors import ConfigurationError
from ..models.base import PydanticModel
from ..models.batches import BatchReceipt, Receipt
from ..models.documents import Document, DocumentRecord
from ..paging import Pager
from .base import Parameters, RequestContext, listed

if TYPE_CHECKING:
    from ..bulk.report import BulkReport
    from ..bulk.run import BulkRun
    from ..sources.arrow import ArrowStream
    from ..validation.run import CheckRun
    from .bulk import BulkWrites
    from .shared_run import SharedRun

__all__ = ["DocumentSource", "Documents"]

DocumentSource = Document | Mapping[str, Any] | PydanticModel | bytes


class Documents:
    """`arm.documents`. A record to send is a `Document`, a mapping with the API's own names, a pydantic model or
    dataclass whose names are those of the API or of `Document`, or bytes of one JSON object.

    Every method takes `timeout=` and `retry=` of its own. Raises, beside what is said of a method: `NotSentError` (try again),
    `OutcomeUnknownError` (it may have been created: look it up by its number before you send it again), `StatusError` and its
    subclasses, `RecordError` (the record can't be sent), `ConfigurationError` (the call is wrong).
    """

    def __init__(self, context: RequestContext, shared_limits: SharedLimits) -> None:
        self._context = context
        self._shared_limits = shared_limits

    @property
    def _bulk(self) -> BulkWrites[Document]:
        # What only writes of many records need is loaded with the first of them.
        from .bulk import DOCUMENTS, BulkWrites  # noqa: PLC0415

        return BulkWrites(self._context, self._shared_limits, DOCUMENTS)

    async def create(
        self, document: DocumentSource, *, user_id: str | None = None, timeout: Timeout | None = None, retry: RetryPolicy | None = None
    ) -> Receipt:
        """Creates a document. It is validated and stored at once, and resent only if it was provably not accepted.

        Args:
            document: a `Document`, a mapping, a pydantic model, a dataclass, or bytes of one JSON object.
            user_id: the user id that this call names. Default: the client's.
            timeout: time-outs of this call. Default: the client's.
            retry: retries of this call. Default: the client's.

        Returns:
            What the server says about it.

        Raises:
            RecordError: the record can't be sent; nothing was sent.
            OutcomeUnknownError: it may have been accepted: look it up before you repeat it.

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
        """Fetches a document by number. No public page shows what the response holds: see `DocumentRecord.other`.

        Args:
            document_no: the number; case does not matter.
            expand: as the API has it; its values are on no public page.
            user_id: the user id that this call names. Default: the client's.
            language: `Accept-Language` of this call. Default: the client's.
            timeout: time-outs of this call. Default: the client's.
            retry: retries of this call. Default: the client's.

        Returns:
            The document.

        Raises:
            NotFoundError: there is no such document.

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
        """Lists documents. Iterating the result gives every record of every page.

        The path, the criteria and the cap are on no public page: the path is inferred, and paging is taken to be as for customers.

        Args:
            maximum_count: the maximum number of records to return, 1 to 10,000. A list that reaches this number is no
                error then. Default None: all.
            query: the id of an earlier query, to read its pages again.
            page_no: the page to begin with. Default: the first.
            page_size: records on a page, 5 to 1000. Default: the API's, 100.
            user_id: the user id that this call names. Default: the client's.
            language: `Accept-Language` of this call. Default: the client's.
            parameters: criteria by the API's own names, for example `{"customerno": "543210"}`.
            allow_truncated: True: a list that reaches the cap of 10,000, or gives fewer records than it announces, is no error. Default
                False.
            timeout: time-outs of this call. Default: the client's.
            retry: retries of this call. Default: the client's.

        Returns:
            The list; nothing is sent before you iterate it.

        Raises:
            TruncatedListError: after the last record: the list reached the cap, or gave fewer records than it announced.
            ConfigurationError: an argument is out of its range.

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
        """Creates documents in one request. They are stored, and processed later.

        `arm.batches.wait(receipt.batch_uuid)` gives the result.

        Args:
            documents: the documents of the batch.
            user_id: the user id that this call names. Default: the client's.
            timeout: time-outs of this call. Default: the client's.
            retry: retries of this call. Default: the client's.

        Returns:
            The `batchUuid` of the batch.

        Raises:
            RecordError: a record can't be sent; the message has its position. Nothing was sent.
            ConfigurationError: there is no record.
            OutcomeUnknownError: it may have been accepted: look it up before you repeat it.

        https://docs.amili.dev/post-create-a-batch-of-documents-3942668e0
        """
        return await self._bulk.batch("documents.create_batch", documents, user_id=user_id, timeout=timeout, retry=retry)

    def check(
        self,
        documents: Iterable[DocumentSource] | AsyncIterable[DocumentSource] | ArrowStream,
        *,
        customers: Iterable[str] | AsyncIterable[str] | None = None,
        state: str | os.PathLike[str] | None = None,
        max_findings: int = 1000,
        max_bytes: int = 1_000_000,
    ) -> CheckRun:
        """Checks all documents and names every problem of each. It sends nothing and does not use the network.

        docs/check.md lists what is checked.

        Args:
            documents: any iterable or async iterable, or a table that supports the Arrow stream protocol, of any length.
            customers: the numbers of all customers that will exist. With them, a document for any other customer is an error
                (`unknown_customer`). Each number takes 8 bytes on disk.
            state: the state of `customers.sync`, whose customers exist too.
            max_findings: how many findings are kept; further ones are only counted. Default 1000.
            max_bytes: the largest body, in bytes, as `BulkOptions.max_bytes`. Default 1,000,000.

        Returns:
            The check: await it for a `CheckReport`.

        Raises:
            CheckError: while it is awaited: the source raised; `report` has what was found before.
        """
        known = _known(customers, state) if state is not None else customers
        return self._bulk.check("documents.create_batch", documents, max_findings=max_findings, max_bytes=max_bytes, customers=known)

    def create_many(
        self,
        documents: Iterable[DocumentSource] | AsyncIterable[DocumentSource] | ArrowStream,
        *,
        options: BulkOptions | None = None,
        user_id: str | None = None,
        timeout: Timeout | None = None,
        retry: RetryPolicy | None = None,
        at_least: int | None = None,
    ) -> BulkRun:
        """Creates any number of documents, in batches, several at once.

        A batch whose outcome is unknown is never resent: its documents end as `unknown`. A documentNo that comes twice is sent once; the
        second document is `invalid`, reason `document_no_repeated`.

        Without a journal, nothing is known of other calls: a second call sends the same documents again.

        Args:
            documents: any iterable or async iterable, or a table that supports the Arrow stream protocol, of any length. It is read as
                needed.
            options: how it makes batches, sends them and waits, and the journal. Default: `BulkOptions()`.
            user_id: the user id that each batch names. Default: the client's.
            timeout: time-outs of each request. Default: the client's.
            retry: retries of each request. Default: the client's.
            at_least: the minimum number of records in a complete source. With fewer, all that was read is sent,
                `report.shortfall` says so, and `report.raise_for_failures()` raises. Default None: any number.

        Returns:
            The run: await it for a `BulkReport`, or enter it and iterate the outcome of each batch.

        Raises:
            ConfigurationError: the options contradict each other, or a journal has no `run_id`.
            JournalError: while it is awaited: the journal can't be used, or another process runs the same run.
            BulkError: while it is awaited: the run could not continue; `report` says what became of each record.
        """
        return self._bulk.run(
            "documents.create_batch", documents, options=options, user_id=user_id, timeout=timeout, retry=retry, at_least=at_least
        )

    def shared_run(
        self,
        journal: str,
        *,
        run_id: str,
        parts: int,
        lease: float = 60.0,
        options: BulkOptions | None = None,
        user_id: str | None = None,
        timeout: Timeout | None = None,
        retry: RetryPolicy | None = None,
    ) -> SharedRun:
        """Makes a run of documents that many processes on many machines share: each sends parts of it.

        The journal in PostgreSQL knows who sends which part, and what became of every document. So no document is sent twice, whichever
        process dies, is frozen, or is started a second time: see docs/shared_runs.md.

        Args:
            journal: the URL of the PostgreSQL database.
            run_id: the name of the run, the same in every process.
            parts: the number of parts, the same in every process. A document belongs to part `part_of(number, parts)`.
            lease: seconds for which a process owns its part after each thing that it records; it renews them after a sixth. When they
                have passed, another process may take the part over. Default 60.
            options: how each part cuts, sends and waits; without `limit` and `dry_run`. To `reconcile`, they need the same `journal` and
                `run_id`. A document without a number is `invalid`. Default: `BulkOptions()`.
            user_id: who is named as the user of each batch. Default: the client's.
            timeout: time-outs of each request. Default: the client's.
            retry: retries of each request. Default: the client's.

        Returns:
            The run: `async with ... as run: await run.send_part(7, documents)`.

        Raises:
            ConfigurationError: `journal` is no URL of PostgreSQL, the options can't be used, or, when it is entered, the run was begun with
                another number of parts.
            JournalError: when it is entered: the database can't be used.
        """
        from ..database.url import database_url  # noqa: PLC0415 - only few programs need it

        if (url := database_url(journal)) is None:
            raise ConfigurationError("a shared run needs a journal in PostgreSQL: postgresql://host/database")
        from .shared_run import SharedRun  # noqa: PLC0415

        how: dict[str, Any] = {"options": options, "user_id": user_id, "timeout": timeout, "retry": retry}
        return SharedRun(self._bulk, url, run_id=run_id, parts=parts, lease=lease, **how)

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
        """Finds out what became of the documents in a journal whose outcome is open. It does not need the source.

        Batches that were accepted are asked for their result. Each `unknown` document with a number is looked up once `settle` seconds
        have passed since it was sent. Found with the same content, it is `succeeded`. Otherwise it stays `unknown`, and the reason says
        why: `key_conflict` (found with other content), `absent`, `batch_taken` (absent, but others of its batch are there),
        `not_looked_up`.

        An `accepted` document that its result does not explain (`unmapped`, `unrecognised`, `result_gone`) is looked up too: found with
        the same content it is `succeeded`; otherwise it stays `accepted` and is never resent.

        Each step is in the journal: a reconcile that was interrupted can be started again.

        Args:
            journal: the path of the journal.
            run_id: the run. Default None: every run of documents of this client number.
            settle: seconds since a document was sent before it is looked up. At least two clocks must agree that they have passed: the
                wall clock, the boot clock of this machine, the `Date` of the service; if they can't, it waits again. Default: the run's
                `deadline`, or its slowest batch if that took longer, and a tenth more.
            resend_absent: True: resend a document that has a number and was not found, if no other document of its batch was found and
                its response was no 2xx. Then `settle` must be longer than the run's deadline. A batch is resent only if for each of its
                numbers a document of the run is found whose number has the same form; otherwise look-ups of such numbers may not work.
                Default False.
            concurrency: the number of concurrent look-ups. Default 4.
            options: for what is resent, and for waiting for results; the deadline is always the run's own.
            user_id: who is named as the user of what is resent. Default: the client's.
            timeout: time-outs of each request. Default: the client's.
            retry: retries of each request. Default: the client's.

        Returns:
            A report of the documents whose outcome was open, in the order in which they were sent.

        Raises:
            JournalError: the journal can't be used, has no such run, or another process runs it.
            ConfigurationError: `settle` is too short to resend documents.
            BulkError: the run could not continue.

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
    """Gives the customer numbers that were passed, and those of a state."""
    from ..sync.state import known_keys  # noqa: PLC0415 - SQLite is only loaded where there is a state

    if isinstance(customers, AsyncIterable):
        async for number in customers:
            yield number
    else:
        for number in customers or ():
            yield number
    for number in known_keys(state):
        yield number
