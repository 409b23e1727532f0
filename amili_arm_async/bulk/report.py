"""The report and the progress of a bulk run. No I/O but the spool, no clock but the one it is given."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import msgspec

from ..config import check_int
from ..errors import BulkError, ConfigurationError, counted
from .observers import RunObserver
from .outcomes import STATES, BatchOutcome, Outcome, RecordOutcome, State, success_states
from .spool import Spool

__all__ = ["BatchLog", "BatchSummary", "BulkReport", "Expectation", "Progress", "SettleWait", "Totals", "expectation_of"]


SYNC: Final = 0.5
"""The share of the customers in the state of a sync that are expected in the source, by default."""


class Expectation:
    """What a source is expected to hold, and what it holds.

    Attributes:
        at_least: a number of records, or a share of the customers that are in the state of a sync.
        records: number of records read.
        known: number of customers in the state before the sync.
        seen: number of those that are in the source.
    """

    def __init__(self, at_least: int | float) -> None:
        self.at_least = at_least
        self.records = 0
        self.known = 0
        self.seen = 0

    @property
    def is_share(self) -> bool:
        """Whether customers of the state are counted, and not records."""
        return isinstance(self.at_least, float)

    @property
    def expected(self) -> int:
        """The number of records or customers that are expected."""
        return math.ceil(round(self.at_least * self.known, 6)) if self.is_share else int(self.at_least)

    @property
    def found(self) -> int:
        """The number of records or customers that were found."""
        return self.seen if self.is_share else self.records

    @property
    def shortfall(self) -> str | None:
        """A sentence that fewer were found than expected; else None."""
        if self.found >= self.expected:
            return None
        if self.is_share:
            return (
                f"the source holds {counted(self.records, 'record')}, and of the {counted(self.known, 'customer')} in the state"
                f" {self.seen:,}: at least {self.expected:,} ({self}) are expected, so no customer is forgotten. Check whether the export"
                " is complete; if it is, pass at_least=0 (--at-least 0)"
            )
        are = "is" if self.expected == 1 else "are"
        return (
            f"the source holds {counted(self.records, 'record')}, and at least {self.expected:,} {are} expected. Check whether the export"
            " is complete; if it is, expect fewer"
        )

    def __str__(self) -> str:
        return f"{self.at_least * 100:g}%" if self.is_share else str(self.at_least)

    def as_json(self) -> dict[str, str | int]:
        """Returns what was expected and found, for JSON.

        Returns:
            A mapping of plain values.
        """
        return {"at_least": str(self), "expected": self.expected, "found": self.found}


def expectation_of(at_least: int | float | None, *, has_state: bool) -> Expectation | None:
    """Checks `at_least`, and makes the expectation of a run.

    Args:
        at_least: the number of records, or a share of the customers in the state; None: half of them in a sync, nothing else.
        has_state: whether the run is a sync.

    Returns:
        The expectation, or None where nothing is expected.

    Raises:
        ConfigurationError: `at_least` is neither a number nor a share, or a share where there is no state.
    """
    if at_least is None:
        return Expectation(SYNC) if has_state else None
    if not isinstance(at_least, float):
        check_int("at_least", at_least, least=0)
    elif not has_state:
        raise ConfigurationError("at_least as a share needs a state, whose customers it counts: without one, give a number of records")
    elif not 0 <= at_least <= 1:
        raise ConfigurationError("at_least as a share must be from 0 to 1; as a number of records, an integer")
    return Expectation(at_least)


class BatchSummary(msgspec.Struct, frozen=True, array_like=True):
    """One line about a batch.

    Attributes:
        number: the number of the batch, from 1; the parts of a split batch share it.
        batch_uuid: its batchUuid, or None where it was not accepted. With it `arm.batches.get()` reads the result.
        first_index: the index of its first record in the source.
        records: the number of its records.
        attempts: how often it was sent.
        state: the state of most of its records.
    """

    number: int
    batch_uuid: str | None
    first_index: int
    records: int
    attempts: int
    state: State


class _Row(msgspec.Struct, array_like=True):
    """Records that did not succeed, and why: one row for all records of a batch with the same outcome."""

    state: State
    reason: str
    message: str | None
    indexes: list[int]
    keys: list[str | None]


class BatchLog:
    """The batches of a run, in the order in which they ended: `len()` is their number, iterating gives a `BatchSummary` for each."""

    def __init__(self, spool: Spool[BatchSummary]) -> None:
        self._spool = spool

    def __len__(self) -> int:
        return len(self._spool)

    def __iter__(self) -> Iterator[BatchSummary]:
        return iter(self._spool)

    def __repr__(self) -> str:
        return f"<{counted(len(self), 'batch')}>"


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over a run. In a dry run, what would be sent counts as sent.

    Attributes:
        records_read: records read from the source.
        records_known: the length of the source, or None where it has none.
        batches_sent: batches, parts of split ones included, that were sent at least once.
        requests: requests that carried records, repeats included.
        bytes_sent: bytes of their bodies as they were sent: compressed, where that was asked for.
        polls: polls for batch results.
    """

    records_read: int = 0
    records_known: int | None = None
    batches_sent: int = 0
    requests: int = 0
    bytes_sent: int = 0
    polls: int = 0


class SettleWait(NamedTuple):
    """Why a run waits before it looks up documents whose outcome is not known.

    Attributes:
        run_id: name of the run that sent them, or None.
        documents: how many there are.
        until: Unix time at which they are looked up.
        left: seconds until then.
        settle: seconds after sending in which a document may still appear.
        clocks: the clocks that can tell when they were sent; with fewer than two, the whole time is waited from now on.
        cause: which time is counted, and why, in words.
    """

    run_id: str | None
    documents: int
    until: float
    left: float
    settle: float
    clocks: tuple[str, ...]
    cause: str


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run is, given to `BulkOptions.on_progress`.

    Attributes:
        counts: number of records by final state so far.
        totals: the sums so far.
        settled: number of records that have their final state.
        open_batches: number of accepted batches whose result is still to come.
        elapsed: seconds since the run began.
        trouble: what the run waits for when the server accepts nothing, for example `"connection_refused"` or `"429"`; otherwise None.
        settling: what a reconcile waits for before it looks documents up; else None.
    """

    counts: Mapping[State, int]
    totals: Totals
    settled: int
    open_batches: int
    elapsed: float
    trouble: str | None = None
    settling: SettleWait | None = None


class Tally:
    """The numbers behind `Totals`, while they grow.

    Args:
        records_known: the length of the source, or None.
    """

    def __init__(self, records_known: int | None) -> None:
        self.records_read = 0
        self.records_known = records_known
        self.batches_sent = 0
        self.requests = 0
        self.bytes_sent = 0
        self.polls = 0

    def totals(self) -> Totals:
        """Returns the numbers at this moment.

        Returns:
            A copy that no longer changes.
        """
        return Totals(**vars(self))


def _escaped(text: str | None) -> str | None:
    return text.encode("utf-8", "backslashreplace").decode() if text is not None else None


class BulkReport:
    """What became of every record of a run. It is correct during the run and after it, whatever ended it.

    After the run `sum(report.counts.values())` is the number of records that were read.

    Attributes:
        stale_journal: whether the journal did not know all that was sent with it: each document was looked up before it might leave.
        held_by_others: seconds for which an answer to another process, a `Retry-After`, held this run: see docs/shared_runs.md.
        error: what ended the run early, as a sentence; None if nothing did. A `BulkError` says the same.
        limited_to: the number of records that the run was limited to (`BulkOptions.limit`), where it read as many: whether the source has
            more is not known. Else None.
        dry_run: whether this was a dry run (`BulkOptions.dry_run`): nothing was sent, and `batches` and `totals` are what would be.
    """

    def __init__(
        self,
        *,
        records_known: int | None,
        accepted_is_enough: bool,
        now: Callable[[], float],
        observers: Sequence[RunObserver] = (),
        expectation: Expectation | None = None,
        dry_run: bool = False,
    ) -> None:
        self.dry_run = dry_run
        self.stale_journal = False
        self.held_by_others = 0.0
        self.error: str | None = None
        self.limited_to: int | None = None
        self._expectation = expectation
        self._is_whole = False
        self._now = now
        self._observers = observers
        self._counts: dict[State, int] = dict.fromkeys(STATES, 0)
        self._tally = Tally(records_known)
        self._results_awaited = not accepted_is_enough
        self._success_states = success_states(accepted_is_enough=accepted_is_enough)
        self._failures: Spool[_Row] = Spool(_Row)
        self._batches: Spool[BatchSummary] = Spool(BatchSummary)
        self._left_behind: dict[State, int] = {}
        self._source_exhausted = False
        self._started: float | None = None
        self._ended: float | None = None

    @property
    def counts(self) -> Mapping[State, int]:
        """Number of records by final state; every state is there, most with 0."""
        return MappingProxyType(self._counts)

    @property
    def batches(self) -> BatchLog:
        """The batches: their number, and by iterating their batchUuids."""
        return BatchLog(self._batches)

    @property
    def totals(self) -> Totals:
        """Sums: records read, requests, bytes."""
        return self._tally.totals()

    @property
    def left_behind(self) -> Mapping[State, int]:
        """Number of records by state that an earlier attempt of the run sent, whose outcome is open, and that the source did not yield this
        time. Only with a journal, and only states that occur. They are in no count: this run did not read them."""
        return MappingProxyType(self._left_behind)

    @left_behind.setter
    def left_behind(self, left: Mapping[State, int]) -> None:
        self._left_behind = dict(left)

    @property
    def source_exhausted(self) -> bool:
        """Whether the source was read to its end. Where it was not, because it raised, because the run was limited, interrupted or left, or
        because the run could not continue and the source may never end (a generator), the records that were not read are in no count."""
        return self._source_exhausted

    @source_exhausted.setter
    def source_exhausted(self, exhausted: bool) -> None:
        self._source_exhausted = exhausted

    @property
    def not_read(self) -> int | None:
        """The number of records of the source that were not read; None if it is not known."""
        if self._source_exhausted:
            return 0
        known = self._tally.records_known
        return max(0, known - self._tally.records_read) if known is not None else None

    @property
    def ok(self) -> bool:
        """Whether the source was read to its end, or as far as the run was limited to, holds what was expected, and every record
        succeeded."""
        is_read = self._source_exhausted or self.limited_to is not None
        return is_read and not self.failed_records and self.shortfall is None

    @property
    def elapsed(self) -> float:
        """Seconds from the beginning of the run to its end, or to now."""
        if self._started is None:
            return 0.0
        return (self._now() if self._ended is None else self._ended) - self._started

    @property
    def results_awaited(self) -> bool:
        """Whether the run waits for the results of its batches; else (`results="accepted"`) an `accepted` record is a success."""
        return self._results_awaited

    @property
    def failed_records(self) -> int:
        """Number of records that `failures()` gives."""
        return sum(number for state, number in self._counts.items() if state not in self._success_states)

    def failures(self) -> Iterator[RecordOutcome]:
        """Returns every record that did not succeed, in the order in which they were settled.

        Those are all but `succeeded`, `unchanged`, `done_before`, and `accepted` in a run with `results="accepted"`. They are read from
        disk as you iterate, so that ten million failures need no more memory than ten.

        Returns:
            An iterator of index, key, state, reason and message of each.
        """
        for row in self._failures:
            for index, key in zip(row.indexes, row.keys, strict=True):
                yield RecordOutcome(index, key, row.state, row.reason, row.message)

    @property
    def expectation(self) -> Expectation | None:
        """What the source was expected to hold, at least (`at_least`), and what it holds; None where nothing was expected."""
        return self._expectation

    @property
    def shortfall(self) -> str | None:
        """A sentence that the source was read to its end and holds less than `at_least`; else None. What was read was sent."""
        is_whole = self._is_whole and self.limited_to is None
        return self._expectation.shortfall if is_whole and self._expectation is not None else None

    def raise_for_failures(self) -> None:
        """Raises an error unless the run is `ok`.

        Raises:
            BulkError: a record did not succeed, the source was not read to its end, or it holds less than was expected (`shortfall`).
        """
        if self.failed_records:
            raise BulkError(
                f"{self.failed_records:,} of {counted(self._tally.records_read, 'record')} did not succeed: {self.summary()}", self
            )
        if rest := self.rest_in_words():
            raise BulkError(f"{rest} ({self.summary().partition(';')[0]})", self)
        if self.shortfall is not None:
            raise BulkError(self.shortfall, self)

    def summary(self) -> str:
        """Returns the counts in one line for people, and whether the source was not read to its end.

        Returns:
            For example `"98 succeeded, 2 failed"`.
        """
        counts = ", ".join(f"{number} {state}" for state, number in self._counts.items() if number) or "no records"
        dry_run = "dry run, nothing was sent" if self.dry_run else ""
        return "; ".join(part for part in (counts, dry_run, self.rest_in_words() or self.limit_in_words()) if part)

    def limit_in_words(self) -> str:
        """Returns a sentence that says that the run was limited to the first records of its source.

        Returns:
            A sentence; empty where all of the source was read.
        """
        return f"limited to the first {self.limited_to:,} records: nothing beyond them was read" if self.limited_to is not None else ""

    def rest_in_words(self) -> str:
        """Returns a sentence that says how much of the source was not read.

        Returns:
            A sentence; empty where the source was read to its end, and while the run continues.
        """
        if self._source_exhausted or self._ended is None or self.limited_to is not None:
            return ""
        number = self.not_read
        rest = (
            "how many records it still has is not known"
            if number is None
            else f"{counted(number, 'record')} of it {'was' if number == 1 else 'were'} not read"
        )
        return f"the source was not read to its end: {rest}"

    def __repr__(self) -> str:
        return f"<BulkReport: {self.summary()}>"

    # --- for the run itself -----------------------------------------------------------------------------------------------

    def source_ended(self) -> None:
        """Notes that nothing ended the run early: only then can its source hold less than was expected."""
        self._is_whole = True
        if self._expectation is not None:
            self._expectation.records = self._tally.records_read

    def add(self, outcome: BatchOutcome) -> None:
        """Adds what became of a batch.

        Args:
            outcome: its records and their states.
        """
        for observer in self._observers:
            observer.on_settled(outcome)
        counts = outcome.counts
        for state, number in counts.items():
            self._counts[state] += number
        if outcome.attempts:
            most = max(counts, key=lambda state: counts[state])
            uuid = outcome.batch_uuid
            self._batches.append(BatchSummary(outcome.number, uuid, outcome.indexes[0], len(outcome), outcome.attempts, most))
        if not counts.keys() <= self._success_states:
            self._add_failures(outcome)

    def _add_failures(self, outcome: BatchOutcome) -> None:
        rows: dict[Outcome, _Row] = {}
        for position, (index, key) in enumerate(zip(outcome.indexes, outcome.keys, strict=True)):
            own = outcome.exceptions.get(position, outcome.common)
            if own.state not in self._success_states:
                if own not in rows:
                    rows[own] = _Row(*own, [], [])
                rows[own].indexes.append(index)
                rows[own].keys.append(key)
        for row in rows.values():
            try:
                self._failures.append(row)
            except UnicodeEncodeError:
                # Half a surrogate pair, in an invalid record: it is escaped.
                keys = [_escaped(key) for key in row.keys]
                self._failures.append(_Row(row.state, row.reason, _escaped(row.message), row.indexes, keys))

    @property
    def observers(self) -> Sequence[RunObserver]:
        """The observers of the run."""
        return self._observers

    def on_read(self, records: Sequence[Any], first: int) -> None:
        """Shows records to the observers of the run.

        Args:
            records: as the source gave them.
            first: the index of the first of them in the source.
        """
        for observer in self._observers:
            observer.on_read(records, first)

    def accepted(self, records: int, seconds: float) -> None:
        """Tells the observers of the run that the server accepted a batch.

        Args:
            records: how many records it holds.
            seconds: from its first byte to the response.
        """
        for observer in self._observers:
            observer.on_accepted(records, seconds)

    @property
    def tally(self) -> Tally:
        """The growing numbers behind `totals`."""
        return self._tally

    def progress(self, open_batches: int, trouble: str | None = None, settling: SettleWait | None = None) -> Progress:
        """Returns the progress of the run.

        Args:
            open_batches: batches that are accepted and not yet processed.
            trouble: what the run waits for, in words; None: nothing.
            settling: what a reconcile waits for, or None.

        Returns:
            The counts, totals and times at this moment.
        """
        return Progress(dict(self._counts), self.totals, sum(self._counts.values()), open_batches, self.elapsed, trouble, settling)

    def begin(self) -> None:
        """Starts the clock, unless it is running."""
        self._started = self._now() if self._started is None else self._started

    def end(self) -> None:
        """Stops the clock."""
        self._ended = self._now()
