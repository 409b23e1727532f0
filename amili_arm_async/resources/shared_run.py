"""`SharedRun`: one run of documents on many machines, whose journal is in PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Final

import msgspec
from anyio import to_thread

from .. import clock
from ..bulk.journal.postgres import shared, shared_reading
from ..bulk.journal.postgres.shared_reading import PartSummary
from ..bulk.observers import RunObserver
from ..bulk.outcomes import RecordOutcome, State, success_states
from ..bulk.part_filter import PartCheck, PartFilter
from ..bulk.parts import MOST_PARTS, PartHash, PartOfRun, part_run_id
from ..bulk.report import BulkReport
from ..bulk.run import BulkRun
from ..config import BulkOptions, RetryPolicy, Timeout, check_int, check_number
from ..errors import ConfigurationError
from ..nightly.customers_gate import CustomersGate
from ..nightly.money import MoneyObserver
from ..nightly.report import ReportSchema, money_of, reasons_of
from ..nightly.shared_customers import customers_in
from ..nightly.shared_report import PartSums, PartTotals, shared_report
from ..nightly.timeline import TimelineObserver
from ..sources.arrow import ArrowStream

if TYPE_CHECKING:
    from ..bulk.journal.run_key import RunKey
    from ..database.url import DatabaseUrl
    from .base import SourceRecord
    from .bulk import BulkWrites

__all__ = ["OPERATION", "SharedReport", "SharedRun", "read_shared_report"]

OPERATION: Final = "documents.create_batch"

_AT_ONCE: Final = 1000

_SUMS: Final = msgspec.json.Decoder(PartSums)

LEAST_LEASE: Final = 1.0


class SharedReport:
    """The report over all parts of a shared run, as the journal knows them at that time.

    Attributes:
        run_id: the name of the run.
        parts: the number of its parts.
        done: the parts that were sent completely.
    """

    def __init__(self, schema: ReportSchema, parts: int, done: tuple[int, ...]) -> None:
        self.run_id = schema.run_id
        self.parts = parts
        self.done = done
        self._schema = schema

    @property
    def counts(self) -> Mapping[State, int]:
        """Number of documents by final state, of all parts."""
        return MappingProxyType(self._schema.parts[-1].counts)

    @property
    def ok(self) -> bool:
        """Whether all parts are done, and every record succeeded: of a night, the customers too."""
        return self._schema.ok

    @property
    def error(self) -> str | None:
        """Which parts are not done yet, in words, and whether the customers of a night are not; None where all are."""
        return self._schema.error

    @property
    def held_by_others(self) -> float:
        """Seconds for which an answer to another process, a `Retry-After`, held an attempt at a part: those of the longest."""
        return self._schema.parts[-1].held_by_others

    def summary(self) -> str:
        """Says the counts in one line, for a person, and which parts are missing.

        Returns:
            For example `"98 succeeded, 2 failed"`.
        """
        said = [_in_words(part.counts) for part in self._schema.parts]
        if len(said) > 1:
            said = [f"{part.name}: {words}" for part, words in zip(self._schema.parts, said, strict=True)]
        return "; ".join([*said, self.error] if self.error is not None else said)

    def to_schema(self) -> ReportSchema:
        """Returns the report as typed objects, of which the HTML page is made.

        Returns:
            The report as it was when it was read.
        """
        return self._schema

    def to_dict(self) -> dict[str, Any]:
        """Returns the report as a JSON object, of the same form as that of a night: `amili-arm report` makes a page of it.

        Returns:
            The report as dicts, lists, texts and numbers; times in ISO 8601, money as text. It holds no personal data except document
            numbers.
        """
        report: dict[str, Any] = msgspec.to_builtins(self._schema)
        return report

    def __repr__(self) -> str:
        return f"<SharedReport: {self.summary()}>"


class SharedRun:
    """A run of documents in parts, each of which any process on any machine may send: see docs/shared_runs.md.

    Made by `arm.documents.shared_run(...)`; enter it before it is used: `async with ... as run`.

    Attributes:
        run_id: the name of the run.
        parts: the number of its parts.
    """

    def __init__(
        self,
        bulk: BulkWrites[Any],
        journal: DatabaseUrl,
        *,
        run_id: str,
        parts: int,
        lease: float,
        options: BulkOptions | None,
        user_id: str | None,
        timeout: Timeout | None,
        retry: RetryPolicy | None,
    ) -> None:
        check_int("parts", parts, least=1, most=MOST_PARTS)
        check_number("lease", lease, least=LEAST_LEASE)
        options = options or BulkOptions()
        for name, allowed in {"journal": journal, "run_id": run_id, "dry_run": None, "limit": None}.items():
            if getattr(options, name) not in (None, False, allowed):
                raise ConfigurationError(
                    f"the options of a shared run can't have another {name}" if allowed else f"a shared run has no {name}"
                )
        self.run_id = run_id
        self.parts = parts
        self._bulk = bulk
        self._url = journal
        self._lease = lease
        # It checks the run id, too.
        self._options = replace(options, journal=journal, run_id=run_id, require_document_no=True)
        bulk.check_options(OPERATION, self._options)
        self._how: dict[str, Any] = {"user_id": user_id, "timeout": timeout, "retry": retry}
        self._key = bulk.run_key(OPERATION, run_id)
        self._hash: PartHash | None = None

    async def __aenter__(self) -> SharedRun:
        self._hash = await to_thread.run_sync(shared.enter, self._url, self._key, self.parts)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._hash = None

    def send_part(
        self,
        part: int,
        records: Iterable[SourceRecord] | AsyncIterable[SourceRecord] | ArrowStream,
        *,
        pass_over: bool = False,
    ) -> BulkRun:
        """Sends the documents of one part. What an earlier attempt at the part sent, by whatever process, is not sent again.

        Where the run has customers, as a night in parts does, documents of those that did not succeed are `blocked`.

        Where another process is sending the part, this one waits until that has ended, or until its lease has. Then it goes on where the
        other one stopped.

        Args:
            part: which part, from 0.
            records: any iterable or async iterable, or a table that speaks Arrow, of any length.
            pass_over: whether records of other parts are passed over, and counted as `other_part`: so a worker can read the whole source.
                Default False: they are refused. In a list or tuple, that is seen before anything is sent; in what can be read only once,
                when it is read: then nothing more is sent.

        Returns:
            The run of the part: await it for its `BulkReport`, or enter it and iterate the outcome of each batch.

        Raises:
            ConfigurationError: there is no such part, or the shared run was not entered.
            RecordError: while it is awaited: a list holds a document of another part; nothing was sent.
            BulkError: while it is awaited: the run could not go on; a document of another part was read, or another process has taken the
                part over.
            JournalError: while it is awaited: the journal can't be used.
            ArmError: while it is awaited: the run has customers, which were not sent to their end; nothing was sent.
        """
        return self._run_part(part, records, MoneyObserver(), TimelineObserver(clock.monotonic), pass_over=pass_over)

    def _run_part(
        self,
        part: int,
        records: Iterable[SourceRecord] | AsyncIterable[SourceRecord] | ArrowStream,
        money: MoneyObserver,
        timeline: TimelineObserver,
        filters: Sequence[RunObserver] = (),
        *,
        pass_over: bool,
        customers: Callable[[], int] | None = None,
    ) -> BulkRun:
        """Makes the run of a part.

        Args:
            part: which.
            records: its documents, or all.
            money: observes the documents of the part; the journal keeps what it finds.
            timeline: likewise.
            filters: observers that take further documents out.
            pass_over: whether records of other parts are passed over.
            customers: returns which sending of the night's customers it relies on, where `filters` block the documents of those that did
                not succeed. None: they are blocked as the database says.
        """
        if self._hash is None:
            raise ConfigurationError("enter the shared run first: async with arm.documents.shared_run(...) as run: ...")
        check_int("part", part, least=0, most=self.parts - 1)
        observers: list[RunObserver] = [money, timeline]
        if pass_over:
            observers = [PartFilter(self._bulk.record_type, self._hash, part, observers)]
        elif isinstance(records, (list, tuple)):
            observers = [PartCheck(self._bulk.record_type, self._hash, part, records), *observers]
        gate = CustomersGate(self._url, self._key if customers is None else None)
        observers += [*filters, gate]
        times = customers if customers is not None else lambda: gate.times
        run: BulkRun

        def report(_: bool) -> bytes:
            return msgspec.json.encode(_sums(run.report, money, timeline, times()))

        options = replace(self._options, run_id=part_run_id(self.run_id, part, self.parts))
        of_run = PartOfRun(self.run_id, part, self._hash, self._lease, report, money.amounts_of)
        run = self._bulk.run(OPERATION, records, options=options, observers=observers, part=of_run, **self._how)
        return run

    async def report(self) -> SharedReport:
        """Adds up what the journal knows of all parts: also while they are being sent, and from any machine.

        Returns:
            The report.

        Raises:
            JournalError: the journal can't be used.
        """
        awaited = self._options.results == "wait"
        return await to_thread.run_sync(partial(read_shared_report, self._url, self._key, self.parts, results_awaited=awaited))

    def _failures(self) -> Iterator[RecordOutcome]:
        success = success_states(accepted_is_enough=self._options.results == "accepted")
        return shared_reading.failures(self._url, self._key, success)

    async def failures(self) -> AsyncIterator[RecordOutcome]:
        """Gives every record of all parts that did not succeed, part by part, as the journal knows them. They are read as you iterate.

        Yields:
            Index, key, state, reason and message of each; the index is its place in the source of the worker that sent it.

        Raises:
            JournalError: the journal can't be used.
        """
        found = self._failures()
        while some := await to_thread.run_sync(partial(_next, found)):
            for one in some:
                yield one


def read_shared_report(url: DatabaseUrl, key: RunKey, parts: int, *, results_awaited: bool = True) -> SharedReport:
    """Reads the report over all parts of a shared run from its journal; of a night, with that of the customers. It blocks.

    Args:
        url: of the database.
        key: the whole run.
        parts: the number of its parts.
        results_awaited: whether it waits for results; else `accepted` is a success.

    Returns:
        The report.

    Raises:
        JournalError: there is no such run, or the database can't be used.
    """
    success = success_states(accepted_is_enough=not results_awaited)
    # All as of one moment: else a part that is sent meanwhile would have the counts of one, and the reasons of another.
    with shared_reading.snapshot(url) as journal:
        totals = {one.part: _totals(one) for one in shared_reading.read(journal, url, key)}
        reasons = reasons_of(_Failures(lambda: shared_reading.failures_in(journal, url, key, success)))
        customers = customers_in(journal, key)
    schema = shared_report(
        totals,
        parts=parts,
        reasons=reasons,
        now=clock.unix_time(),
        operation=key.operation,
        client_no=key.client_no,
        base_url=key.base_url,
        run_id=key.run_id,
        results_awaited=results_awaited,
        customers=customers,
    )
    done = tuple(part for part, one in totals.items() if one.ended is not None and one.complete is not None)
    return SharedReport(schema, parts, done)


def _in_words(counts: Mapping[State, int]) -> str:
    return ", ".join(f"{number} {state}" for state, number in counts.items() if number) or "no records"


class _Failures:
    def __init__(self, read: Any) -> None:
        self.failures = read


def _next(found: Iterator[RecordOutcome]) -> list[RecordOutcome]:
    return list(islice(found, _AT_ONCE))


def _sums(report: BulkReport, money: MoneyObserver, timeline: TimelineObserver, customers: int) -> PartSums:
    now, totals = clock.unix_time(), report.totals
    return PartSums(
        began=now - report.elapsed,
        ended=now,
        read=totals.records_read - report.counts["other_part"],
        batches=totals.batches_sent,
        requests=totals.requests,
        bytes_sent=totals.bytes_sent,
        money=money_of(money.totals()),
        width=timeline.width,
        intervals=timeline.intervals,
        customers=customers,
        held_by_others=report.held_by_others,
    )


def _totals(summary: PartSummary) -> PartTotals:
    attempts = [_SUMS.decode(attempt.report) for attempt in summary.reports]
    complete = [(attempt.attempt, sums) for attempt, sums in zip(summary.reports, attempts, strict=True) if attempt.is_complete]
    number, last = complete[-1] if complete else (0, None)
    return PartTotals(
        summary.started,
        summary.ended,
        summary.counts,
        summary.money,
        summary.without_amount,
        attempts,
        last,
        is_latest=number == summary.attempts,
    )
