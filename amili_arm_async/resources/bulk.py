"""Writes of many records: batches, bulk runs, syncs, checks and reconciles, for customers and documents."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from msgspec import Struct

from .. import clock
from ..bulk.chunking import RecordType
from ..bulk.journal.factory import new_run_id, run_journal, runs_of
from ..bulk.limits import SharedLimits
from ..bulk.observers import RunObserver
from ..bulk.parts import part_of_name
from ..bulk.plain_records import encode_record
from ..bulk.report import BulkReport, Expectation, expectation_of
from ..bulk.run import BulkRun
from ..bulk.source import Source
from ..bulk.spec import RunSpec
from ..config import BulkOptions, Reconcile, RetryPolicy, Timeout
from ..database.url import database_url
from ..endpoints import OPERATIONS
from ..errors import ConfigurationError, RecordError
from ..files import JobFile, check_distinct
from ..models.base import Input
from ..models.batches import BatchReceipt
from ..models.customers import Customer
from ..models.documents import Document
from ..sources.arrow import ArrowStream, as_source
from ..sync.run import SyncRun
from ..wire import Envelope, Request
from .base import RequestContext, SourceRecord

if TYPE_CHECKING:
    from ..bulk.journal.protocol import RunJournal
    from ..bulk.journal.run_key import RunKey
    from ..bulk.parts import PartOfRun
    from ..nightly.customers_gate import CustomersGate
    from ..validation.run import CheckRun
    from ..values.fields import RecordKind

__all__ = ["CUSTOMERS", "DOCUMENTS", "BulkWrites", "files_of"]

InputT = TypeVar("InputT", bound=Input)

CUSTOMERS: Final = RecordType(Customer, "customer_no")
DOCUMENTS: Final = RecordType(Document, "document_no")


class BulkWrites(Struct, Generic[InputT], frozen=True):
    """Writes many records of one type.

    Attributes:
        context: the client number, the user and the transport.
        shared_limits: what all runs of the client share.
        record_type: the type of the records.
    """

    context: RequestContext
    shared_limits: SharedLimits
    record_type: RecordType

    @property
    def _kind(self) -> RecordKind:
        return "documents" if self.record_type.cls is Document else "customers"

    async def batch(
        self,
        name: str,
        records: Iterable[SourceRecord],
        *,
        user_id: str | None,
        timeout: Timeout | None,
        retry: RetryPolicy | None,
    ) -> BatchReceipt:
        """Sends records in one request.

        Args:
            name: the operation.
            records: the records; one at least.
            user_id: the user in whose name they are sent, or None for that of the client.
            timeout: the time-outs, or None for those of the client.
            retry: how a failed request is repeated, or None as the client does.

        Returns:
            The receipt, with the batchUuid.

        Raises:
            ConfigurationError: `records` is no list of records, or empty.
            RecordError: a record can't be encoded; the message names it.
        """
        if isinstance(records, (str, bytes, bytearray, Input)) or not isinstance(records, Iterable):
            raise ConfigurationError(f"records must be a list of records, not {type(records).__name__}")
        texts: list[bytes] = []
        for number, record in enumerate(records):
            try:
                texts.append(encode_record(record, self.record_type.cls))
            except RecordError as exc:
                raise RecordError(f"record {number}: {exc}") from None
        if not texts:
            raise ConfigurationError("a batch needs at least one record")
        return await self.context.write_batch(name, texts, user_id=user_id, timeout=timeout, retry=retry)

    def run(
        self,
        name: str,
        records: Iterable[SourceRecord] | AsyncIterable[SourceRecord] | ArrowStream | Source,
        *,
        options: BulkOptions | None,
        user_id: str | None,
        timeout: Timeout | None = None,
        retry: RetryPolicy | None = None,
        observers: Sequence[RunObserver] = (),
        at_least: int | None = None,
        expectation: Expectation | None = None,
        part: PartOfRun | None = None,
    ) -> BulkRun:
        """Makes a bulk run over any number of records.

        Args:
            name: the operation.
            records: an iterable or async iterable of records, or a table that supports the Arrow stream protocol, or a source made of one.
            options: the options of the run.
            user_id: the user in whose name they are sent, or None for that of the client.
            timeout: the time-outs of each request, or None for those of the client.
            retry: how failed requests are repeated, or None as the client does.
            observers: observe the run.
            at_least: the least number of records that the source holds, or None for any number.
            expectation: what the source is expected to hold, where it is more than that number.
            part: the part of a shared run that it is; None: it is a whole run.

        Returns:
            The run, which has not begun.

        Raises:
            ConfigurationError: the options make no sense for the operation, or name one file twice.
        """
        options = options or BulkOptions()
        self.check_options(name, options)
        if options.dry_run:
            # It looks nothing up, and writes no file.
            options = replace(options, reconcile=False, dead_letter=None)
        check_distinct(files_of(options))
        source = records if isinstance(records, Source) else Source(as_source(records, self._kind), limit=options.limit)
        accepted_is_enough = options.results == "accepted"
        # A replay sends records of a part that another process sent.
        if source.is_part and (gate := self._gate(name, options.journal, options.run_id)) is not None:
            observers = [*observers, gate]
        report = BulkReport(
            records_known=source.known_length,
            accepted_is_enough=accepted_is_enough,
            now=clock.monotonic,
            observers=observers,
            expectation=expectation or expectation_of(at_least, has_state=False),
            dry_run=options.dry_run,
        )
        journal = self._journal(name, options, part=part, reads_all=not source.is_part)
        return self._run(name, source, options, journal, report, user_id=user_id, timeout=timeout, retry=retry)

    def check(
        self,
        name: str,
        records: Iterable[SourceRecord] | AsyncIterable[SourceRecord] | ArrowStream,
        *,
        max_findings: int,
        max_bytes: int,
        customers: Iterable[str] | AsyncIterable[str] | None = None,
    ) -> CheckRun:
        """Makes a check of any number of records.

        Args:
            name: the operation that would send them.
            records: an iterable or async iterable of records, or a table that supports the Arrow stream protocol.
            max_findings: how many findings are kept.
            max_bytes: the largest size of a whole body, in bytes.
            customers: the numbers of the customers that documents may refer to, or None.

        Returns:
            The check, which has not begun.
        """
        from ..validation.run import CheckRun  # noqa: PLC0415 - only few programs need it

        envelope = Envelope.of(self.context.request(name).endpoint.items, self.context.user_id)
        return CheckRun(
            self._kind, as_source(records, self._kind), max_findings=max_findings, max_bytes=max_bytes - envelope.size, customers=customers
        )

    def sync(
        self,
        name: str,
        records: Iterable[SourceRecord] | AsyncIterable[SourceRecord] | ArrowStream,
        state: str | os.PathLike[str],
        *,
        full: bool,
        at_least: int | float | None,
        options: BulkOptions | None,
        user_id: str | None,
        timeout: Timeout | None = None,
        retry: RetryPolicy | None = None,
        observers: Sequence[RunObserver] = (),
    ) -> SyncRun:
        """Makes a bulk run that sends only what changed since the last one.

        Args:
            name: the operation.
            records: an iterable or async iterable of records, or a table that supports the Arrow stream protocol.
            state: the path of the state, which knows what was sent last.
            full: whether unchanged records are sent too.
            at_least: what the source is expected to hold: a number of records, or a share of the customers in the state.
            options: the options of the run.
            user_id: the user in whose name they are sent, or None for that of the client.
            timeout: the time-outs of each request, or None for those of the client.
            retry: how failed requests are repeated, or None as the client does.
            observers: observe the run.

        Returns:
            The sync, which has not begun.

        Raises:
            ConfigurationError: the options make no sense for a sync.
        """
        if options is not None and options.results == "accepted":
            raise ConfigurationError(
                'a sync needs the results: with results="accepted" no success is known, and everything would be sent each time'
            )
        # SQLite is only loaded where there is a state.
        try:
            from ..sync.delta import Delta  # noqa: PLC0415
            from ..sync.state import state_at  # noqa: PLC0415
        except ImportError as exc:  # pragma: no cover - Windows has no fcntl
            raise ConfigurationError(f"a sync state can't be kept on this system: {exc}") from exc

        check_distinct([*state_file(state), *files_of(options)])
        source = Source(as_source(records, self._kind), limit=options.limit if options is not None else None)
        given = options or BulkOptions()
        sync_state = state_at(
            state, self.context.transport.base_url, self.context.client_no, dry_run=given.dry_run, patience=given.patience
        )
        expectation = expectation_of(at_least, has_state=True)
        assert expectation is not None
        delta = Delta(
            sync_state,
            self.record_type,
            full=full,
            expectation=expectation,
            rules=lambda: source.rules,
            is_limited=lambda: source.is_limited,
        )
        run = self.run(
            name,
            source,
            options=options,
            user_id=user_id,
            timeout=timeout,
            retry=retry,
            observers=(delta, *observers),
            expectation=expectation,
        )
        return SyncRun(run, delta)

    async def reconcile(
        self,
        name: str,
        path: str | os.PathLike[str],
        run_id: str | None,
        settings: Reconcile,
        *,
        options: BulkOptions | None,
        user_id: str | None,
        timeout: Timeout | None,
        retry: RetryPolicy | None,
    ) -> BulkReport:
        """Settles what is open in the runs of a journal.

        Args:
            name: the operation of the runs.
            path: the path of the journal.
            run_id: the run, or None for all runs with open records.
            settings: how to reconcile.
            options: the options of the runs.
            user_id: the user in whose name documents are sent again, or None for that of the client.
            timeout: the time-outs of each request, or None for those of the client.
            retry: how failed requests are repeated, or None as the client does.

        Returns:
            The report of all runs together.

        Raises:
            JournalError: the journal can't be used.
        """
        if options is not None and options.dry_run:
            raise ConfigurationError("dry_run is for runs that read a source: a reconcile only looks up, unless resend_absent=True")
        runs = await runs_of(path, name, self.context.client_no, run_id)
        # Documents of a night in parts are sent again only where their customers have not failed since.
        gates = [self._gate(name, path, found) for found, _ in runs] if settings.resend_absent else []
        gate = next(filter(None, gates), None)
        report = BulkReport(records_known=None, accepted_is_enough=False, now=clock.monotonic, observers=[gate] if gate is not None else ())
        # There is no source, so nothing of it is left.
        report.source_exhausted = True
        with self.context.transport.instrumentation.job("reconcile"):
            for found, deadline in runs:
                run_options = replace(
                    options or BulkOptions(), journal=path, run_id=found, reconcile=settings, deadline=deadline, results="wait"
                )
                journal = self._journal(name, run_options, reads_source=False)
                if gate is not None:
                    gate.key = self._key_of_whole(name, found)
                await self._run(name, Source(()), run_options, journal, report, user_id=user_id, timeout=timeout, retry=retry)
        return report

    def _run(
        self,
        name: str,
        source: Source,
        options: BulkOptions,
        journal: RunJournal | None,
        report: BulkReport,
        *,
        user_id: str | None,
        timeout: Timeout | None,
        retry: RetryPolicy | None,
    ) -> BulkRun:
        context = self.context
        request = context.request(name)
        spec = RunSpec(
            client_no=context.client_no,
            record_type=self.record_type,
            request=request,
            envelope=Envelope.of(request.endpoint.items, user_id if user_id is not None else context.user_id),
            poll=self._poll,
            look_up=self._look_up,
            probe=context.probe(),
            options=options,
            rules=context.rules,
            timeout=(timeout or context.transport.timeout).for_job(),
            retry=retry or context.transport.retry,
        )
        return BulkRun(spec, source, context.transport, self.shared_limits, journal, report)

    @staticmethod
    def check_options(name: str, options: BulkOptions) -> None:
        """Refuses options that make no sense for what is written.

        Args:
            name: the operation.
            options: the options of a run.

        Raises:
            ConfigurationError: they make no sense for the operation.
        """
        if OPERATIONS[name].safe:
            if options.reconcile or options.require_document_no or options.resend_known:
                raise ConfigurationError(
                    "reconcile, require_document_no and resend_known are for documents; customers can simply be sent again"
                )
        elif options.journal is not None and options.run_id is None:
            raise ConfigurationError(
                "a journal of documents needs a run_id, for example the date of the night: the same run_id goes on where the run was "
                "and never sends a document twice; another one is a new run"
            )

    def _journal(
        self, name: str, options: BulkOptions, *, reads_source: bool = True, reads_all: bool = True, part: PartOfRun | None = None
    ) -> RunJournal | None:
        """The journal of a run: in its file or database, or a temporary one where only a dead letter has to be written."""
        run = self.run_key(name, options.run_id if options.run_id is not None else new_run_id())
        return run_journal(run, options, self.context.transport.service_clock, reads_source=reads_source, reads_all=reads_all, part=part)

    def _gate(self, name: str, journal: str | os.PathLike[str] | None, run_id: str | None) -> CustomersGate | None:
        """What blocks documents of customers that did not succeed; None where a run is no part of a run in parts."""
        key = self._key_of_whole(name, run_id)
        url = database_url(journal)
        if key is None or url is None:
            return None
        from ..nightly.customers_gate import CustomersGate  # noqa: PLC0415 - needs psycopg

        return CustomersGate(url, key)

    def _key_of_whole(self, name: str, run_id: str | None) -> RunKey | None:
        """The key of the run in parts that a run of documents is a part of; None where it is none."""
        part = part_of_name(run_id) if run_id is not None and not OPERATIONS[name].safe else None
        return self.run_key(name, part[0]) if part is not None else None

    def run_key(self, name: str, run_id: str) -> RunKey:
        """Returns what identifies a run in a journal.

        Args:
            name: the operation.
            run_id: the name of the run.
        """
        from ..bulk.journal.run_key import RunKey  # noqa: PLC0415 - only runs need it

        context = self.context
        return RunKey(run_id, name, context.client_no, context.transport.base_url, OPERATIONS[name].safe)

    def _poll(self, batch_uuid: str) -> Request:
        return self.context.request("batches.get", path={"batchuuid": batch_uuid})

    def _look_up(self, document_no: str) -> Request:
        query = {"userid": self.context.user_id}
        return self.context.request("documents.get", query=query, path={"documentno": document_no})


def state_file(state: str | os.PathLike[str] | None) -> list[JobFile]:
    """Lists the file of a state.

    Args:
        state: the path of the state, or the URL of a database, or None.

    Returns:
        The file, where it is one.
    """
    return [JobFile("state", state, "state")] if state is not None and database_url(state) is None else []


def files_of(options: BulkOptions | None, of: str = "") -> list[JobFile]:
    """Lists the files that the options of a run name.

    Args:
        options: the options, or None.
        of: a prefix of the names of the files in errors.

    Returns:
        The journal and the dead letter, where they are given.
    """
    if options is None:
        return []
    has_file = options.journal is not None and database_url(options.journal) is None
    journal = [JobFile(f"{of}journal", options.journal, "journal")] if has_file and options.journal is not None else []
    dead_letter = [JobFile(f"{of}dead_letter", options.dead_letter, "dead letter")] if options.dead_letter is not None else []
    return journal + dead_letter
