"""The schema of the night's report, and how its parts are built. Pure.

Every other form, JSON, HTML and CSV, is made from `ReportSchema`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Final, Literal, Protocol, TypeAlias

import msgspec
from msgspec import Meta, Struct

from ..bulk.outcomes import STATES, SUCCESS, RecordOutcome, State, safe_message
from ..bulk.reasons import cause_of, explain
from ..errors import ConfigurationError

if TYPE_CHECKING:
    from ..bulk.report import BulkReport
    from ..bulk.report import Expectation as BulkExpectation
    from ..sync.run import SyncReport
    from .money import MoneySum, MoneyTotals

__all__ = [
    "FORMAT",
    "Amount",
    "AtRisk",
    "Bucket",
    "Command",
    "CurrencyMoney",
    "Example",
    "Expectation",
    "FirstFailure",
    "Instant",
    "LineOf",
    "Money",
    "Part",
    "PartName",
    "Reason",
    "ReportSchema",
    "Seconds",
    "Sync",
    "Timeline",
    "check_instants",
    "first_failures",
    "format_of",
    "money_at_risk",
    "money_of",
    "part_of",
    "read_report",
    "reasons_of",
]

FORMAT: Final = "amili-arm report 1"
"""The name and number of the format."""

_REASONS: Final = 50
"""Reasons that a part names; all further records are counted in one more, the last."""

_EXAMPLES: Final = 10
"""Records that a reason names."""

_FIRST: Final = 10
"""Failures that are named as the first."""

_DISTINCT: Final = 2000
"""Reasons that are counted separately: a server may give each record a reason of its own."""

_LONGEST_REASON: Final = 200
_LONGEST_MESSAGE: Final = 500

PartName: TypeAlias = Literal["customers", "documents"]

LineOf: TypeAlias = Callable[[int], int | None]
"""Gives the line of a record in its file, from 1, by its index in the source; None where it has no line."""

Count: TypeAlias = Annotated[int, Meta(ge=0)]
# Bounded, so that no clock arithmetic can run over.
Seconds: TypeAlias = Annotated[float, Meta(ge=0, le=1e9)]
Milliseconds: TypeAlias = Annotated[float, Meta(ge=0, le=1e12)]
MoneyText: TypeAlias = Annotated[str, Meta(pattern=r"^-?[0-9]{1,100}(\.[0-9]{1,100})?\Z")]
Instant: TypeAlias = Annotated[datetime, Meta(tz=True)]


class Sync(Struct, frozen=True):
    """What a delta sync found.

    Attributes:
        new: records that were never sent before.
        changed: records whose content is not what was sent last.
        unchanged: records equal to what was last sent with success; not sent.
        failed: new or changed records that did not succeed.
        gone: records that were sent once and are no longer in the source; they are never deleted automatically. None: not known, since the
            source was not read to its end, or a record in it has no number that can be read.
    """

    new: Count
    changed: Count
    unchanged: Count
    failed: Count
    gone: Count | None


class Amount(Struct, frozen=True):
    """Number and sum of some documents.

    Attributes:
        count: number of documents.
        total: their sum in the main unit of the currency, as text with its exact digits; None where none of them has a total.
    """

    count: Count
    total: MoneyText | None


class CurrencyMoney(Struct, frozen=True):
    """The money of one currency.

    Attributes:
        currency: its code, or None for documents without one.
        read: what was read.
        states: the same by final state; states that did not occur may be missing.
    """

    currency: str | None
    read: Amount
    states: dict[State, Amount]


class Money(Struct, frozen=True):
    """The money of a part.

    Attributes:
        currencies: per currency.
        without_total: number of documents that have no total, nor lines that make one.
        without_currency: number of documents without a currency.
        made_from_lines: number of documents whose total was made by adding up their lines.
        adds_up: whether the sums of all final states are those of what was read, in each currency.
    """

    currencies: list[CurrencyMoney]
    without_total: Count
    without_currency: Count
    made_from_lines: Count
    adds_up: bool


class Example(Struct, frozen=True):
    """One record of a group of failures.

    Attributes:
        index: its place in the source, from 0.
        line: its line in the file, from 1, or None.
        key: its customerNo or documentNo, or None.
        message: what this library says of it, for example why it can't be read; None where only the server spoke.
    """

    index: Count
    line: Count | None
    key: str | None
    message: str | None = None


class Reason(Struct, frozen=True):
    """Failures with the same state and reason.

    Attributes:
        state: their final state; "other" for the records of all reasons beyond the first fifty.
        reason: a short code or an HTTP status; may be empty.
        count: number of records.
        examples: the first of them, ten at most; none of "other".
        cause: what the server's message is about, where that is known: "no_such_customer", "no_such_record" or "duplicate"; else empty.
        meaning: the reason in plain words.
        remedy: what to do about it.
        command: the command that settles these records, for a shell; None where there is none.
        needs_fix: whether something is to be fixed before the command: the records in the source, or the cause that the remedy names.
    """

    state: State | Literal["other"]
    reason: str
    count: Count
    examples: list[Example]
    cause: str = ""
    meaning: str = ""
    remedy: str = ""
    command: str | None = None
    needs_fix: bool = False


class AtRisk(Struct, frozen=True):
    """The documents of one state and currency that did not succeed.

    Attributes:
        state: their final state.
        currency: its code, or None for documents without one.
        count: number of documents.
        total: their sum, as text with its exact digits; None where none of them has a total.
    """

    state: State
    currency: str | None
    count: Count
    total: MoneyText | None


class FirstFailure(Struct, frozen=True):
    """One of the first records that failed.

    Attributes:
        part: "customers" or "documents".
        file: the source, or None where it is not a file.
        line: its line there, from 1, or None.
        index: its place in the source, from 0.
        key: its customerNo or documentNo, or None.
        state: its final state.
        reason: a short code or an HTTP status; may be empty.
        meaning: the reason in plain words.
    """

    part: PartName
    file: str | None
    line: Count | None
    index: Count
    key: str | None
    state: State
    reason: str
    meaning: str


class Command(Struct, frozen=True):
    """A command that settles failures of the night.

    Attributes:
        does: "reconcile", "run again" or "replay".
        command: the command line, for a POSIX shell, ready to run.
        settles: what it settles, in words.
    """

    does: Literal["reconcile", "run again", "replay"]
    command: str
    settles: str


class Bucket(Struct, frozen=True):
    """One slice of the timeline.

    Attributes:
        settled: records that got their final state in it.
        failed: those of them that did not succeed.
        accepted: records that the server took in it.
        latency_ms: milliseconds until a batch was taken: the median, and what 95 of 100 stayed below; None without a batch.
    """

    settled: Count
    failed: Count
    accepted: Count
    latency_ms: tuple[Milliseconds, Milliseconds] | None


class Timeline(Struct, frozen=True):
    """How a part went over time.

    Attributes:
        seconds: width of a bucket.
        buckets: from the beginning of the part on.
    """

    seconds: Annotated[float, Meta(gt=0, le=1e9)]
    buckets: Annotated[list[Bucket], Meta(max_length=5000)]


class Expectation(Struct, frozen=True):
    """What a source was expected to hold.

    Attributes:
        at_least: as it was asked for: a number of records, or a share of the customers that are known, in percent.
        expected: how many that is.
        found: how many there were.
    """

    at_least: str
    expected: Count
    found: Count


class Part(Struct, frozen=True):
    """One bulk run of the night.

    Attributes:
        name: "customers" or "documents".
        operation: what was called, for example "customers.create_batch".
        read: records read from the source.
        counts: number of records by final state.
        results_awaited: whether the run waited for the results of its batches; else `accepted` is a success.
        batches: batches sent.
        requests: requests sent, those for results among them.
        bytes_sent: bytes of all bodies.
        elapsed: seconds.
        sync: what the delta sync found, or None.
        money: the sums, or None.
        reasons: failures by state and reason, largest first.
        timeline: throughput and latency over time, or None.
        failures_file: name of the file that has all failures, or None.
        source_exhausted: whether the source was read to its end.
        not_read: records of the source that were not read, or None where their number is not known.
        expectation: what its source was expected to hold at the least, or None.
        shortfall: says that it holds less, or None.
        limited_to: the number of records that the run was limited to, where it read as many; else None.
        held_by_others: seconds for which an answer to another process, a `Retry-After`, held the run; of a run in parts, the longest of
            them.
    """

    name: PartName
    operation: str
    read: Count
    counts: dict[State, Count]
    results_awaited: bool
    batches: Count
    requests: Count
    bytes_sent: Count
    elapsed: Seconds
    sync: Sync | None
    money: Money | None
    reasons: list[Reason]
    timeline: Timeline | None
    failures_file: str | None
    source_exhausted: bool
    not_read: Count | None
    expectation: Expectation | None
    shortfall: str | None
    limited_to: Count | None = None
    held_by_others: Seconds = 0.0


class ReportSchema(Struct, frozen=True):
    """What happened in a night.

    Attributes:
        format: the name and number of this format.
        started: when it began, with its offset.
        ended: when it ended; None where it had not when this was written.
        elapsed: seconds.
        client_no: the client number.
        base_url: the address of the API.
        run_id: the name of the run, or None.
        ok: whether every record succeeded, every source was complete, and the money adds up.
        error: what ended it early, or None.
        interrupted: whether that was a signal or a cancellation: nothing has to be fixed for it.
        parts: the bulk runs, in their order.
        source_exhausted: whether every source was read to its end.
        not_begun: parts that were planned and not started: none of their records was read.
        dry_run: whether nothing was sent, and the parts say what would be.
        money_at_risk: count and sum of the documents that did not succeed, by currency and state.
        first_failures: the first records that failed, ten at most.
        files: the paths of the night: sources, state, journal, dead letters, reports.
        commands: the commands that settle what is left, in their order.
        settle: seconds from sending after which a reconcile looks a document up; None where there is no journal.
    """

    format: Literal["amili-arm report 1"]
    started: Instant
    ended: Instant | None
    elapsed: Seconds
    client_no: int
    base_url: str
    run_id: str | None
    ok: bool
    error: str | None
    parts: list[Part]
    source_exhausted: bool
    not_begun: list[PartName]
    money_at_risk: list[AtRisk] = []
    first_failures: list[FirstFailure] = []
    files: dict[str, str] = {}
    commands: list[Command] = []
    settle: Seconds | None = None
    dry_run: bool = False
    interrupted: bool = False


# --- building -----------------------------------------------------------------------------------------------------------


def part_of(
    name: PartName,
    operation: str,
    report: BulkReport,
    *,
    money: MoneyTotals | None = None,
    timeline: Timeline | None = None,
    sync: SyncReport | None = None,
    failures_file: str | None = None,
    line_of: LineOf | None = None,
) -> Part:
    """Builds one part of the report.

    Args:
        name: which part it is.
        operation: what was sent, for example `"documents.create_batch"`.
        report: the report of its bulk run; its failures are read once.
        money: the totals of the run, or None.
        timeline: throughput and latency of the run, or None.
        sync: what the delta sync found, or None.
        failures_file: name of the file that lists all failures, or None.
        line_of: gives the line of a record in its file, or None.

    Returns:
        The part.
    """
    totals = report.totals
    return Part(
        name=name,
        operation=operation,
        read=totals.records_read,
        counts=dict(report.counts),
        results_awaited=report.results_awaited,
        batches=len(report.batches),
        requests=totals.requests,
        bytes_sent=totals.bytes_sent,
        elapsed=report.elapsed,
        sync=_sync(sync) if sync is not None else None,
        money=money_of(money) if money is not None else None,
        reasons=reasons_of(report, line_of, name),
        timeline=timeline,
        failures_file=failures_file,
        source_exhausted=report.source_exhausted,
        not_read=report.not_read,
        expectation=_expectation(report.expectation) if report.expectation is not None else None,
        shortfall=report.shortfall,
        limited_to=report.limited_to,
        held_by_others=round(report.held_by_others, 3),
    )


def _expectation(expectation: BulkExpectation) -> Expectation:
    return Expectation(str(expectation), expectation.expected, expectation.found)


def _sync(sync: SyncReport) -> Sync:
    # Whether a record without a number was sent before is not known: it counts as new.
    return Sync(sync.new + sync.without_key, sync.changed, sync.unchanged, sync.failed, sync.gone)


def money_of(totals: MoneyTotals) -> Money:
    """Returns the money of a run as the report holds it.

    Args:
        totals: of the run.
    """
    return Money(
        currencies=[
            CurrencyMoney(one.currency, _amount(one.read), {state: _amount(part) for state, part in one.states.items()})
            for one in totals.currencies
        ],
        without_total=totals.without_total,
        without_currency=totals.without_currency,
        made_from_lines=totals.made_from_lines,
        adds_up=totals.adds_up,
    )


def _amount(total: MoneySum) -> Amount:
    return Amount(total.count, None if total.total is None else format(total.total, "f"))


def money_at_risk(parts: list[Part]) -> list[AtRisk]:
    """Returns count and sum of the documents that did not succeed.

    Args:
        parts: of the night.

    Returns:
        By currency, and in each by state: what may bill twice first.
    """
    found: list[AtRisk] = []
    for part in parts:
        at_risk: list[State] = [state for state in STATES if state not in SUCCESS and (state != "accepted" or part.results_awaited)]
        # What may be on the server, and is not known to be, comes first.
        at_risk.sort(key=lambda state: state != "unknown")
        for currency in part.money.currencies if part.money is not None else ():
            for state in at_risk:
                amount = currency.states.get(state)
                if amount is not None and amount.count:
                    found.append(AtRisk(state, currency.currency, amount.count, amount.total))
    return found


def first_failures(parts: list[Part], files: Mapping[str, str]) -> list[FirstFailure]:
    """Returns the first records that failed, from the examples of the reasons.

    Args:
        parts: of the night.
        files: the sources by part.

    Returns:
        Ten at most, in the order of the sources.
    """
    found = [
        FirstFailure(part.name, files.get(part.name), one.line, one.index, one.key, reason.state, reason.reason, reason.meaning)
        for part in parts
        for reason in part.reasons
        if reason.state != "other"
        for one in reason.examples
    ]
    names = [part.name for part in parts]
    return sorted(found, key=lambda one: (names.index(one.part), one.index))[:_FIRST]


class Failing(Protocol):
    """What has records that did not succeed."""

    def failures(self) -> Iterator[RecordOutcome]:
        """Yields them."""
        ...


def reasons_of(report: Failing, line_of: LineOf | None = None, kind: PartName = "documents") -> list[Reason]:
    """Groups the failures of a run by state and reason, in bounded memory.

    At most fifty groups, the largest first, with ten examples each; all further failures are counted in one more, the last, with the
    state "other" and no examples. The messages are those of this library only: the server's may hold personal data.

    Args:
        report: the report of the run; its failures are read once, one by one.
        line_of: gives the line of a record in its file, or None.
        kind: what the records are.

    Returns:
        The groups; groups of the same size stand in the order in which they first occurred.
    """
    counts: Counter[tuple[State, str, str]] = Counter()
    examples: dict[tuple[State, str, str], list[RecordOutcome]] = {}
    others = 0
    for record in report.failures():
        cause = cause_of(record.state, record.reason, record.message)
        group = record.state, _short(record.reason, _LONGEST_REASON), cause
        if group not in counts and len(counts) >= _DISTINCT:
            others += 1
            continue
        counts[group] += 1
        named = examples.setdefault(group, [])
        if len(named) < _EXAMPLES:
            named.append(record)
    largest = counts.most_common(_REASONS)
    others += counts.total() - sum(count for _, count in largest)
    reasons = [
        Reason(
            state,
            reason,
            count,
            [_example(one, line_of) for one in examples[state, reason, cause]],
            cause,
            *explain(state, reason, kind, cause),
        )
        for (state, reason, cause), count in largest
    ]
    return [*reasons, Reason("other", "", others, [], "", *explain("other", ""))] if others else reasons


def _example(record: RecordOutcome, line_of: LineOf | None) -> Example:
    message = safe_message(record)
    return Example(
        record.index,
        line_of(record.index) if line_of is not None else None,
        record.key,
        _short(message, _LONGEST_MESSAGE) if message is not None else None,
    )


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


# --- reading ------------------------------------------------------------------------------------------------------------


_DECODER: Final = msgspec.json.Decoder(ReportSchema)


class _Head(Struct):
    format: str | None = None


def read_report(data: bytes) -> ReportSchema:
    """Reads a report from JSON. Unknown fields are ignored.

    Args:
        data: the JSON text, as `NightlyReport.to_dict` and `amili-arm nightly --report` write it.

    Returns:
        The report.

    Raises:
        ConfigurationError: it is not a report of this format; the message has the JSON path of what is wrong.
    """
    try:
        if (name := format_of(data)) != FORMAT:
            found = "it has no format" if name is None else f"its format is {name[:80]!a}"
            raise ConfigurationError(f"not a report that this version reads: {found}; expected {FORMAT!r}")
        report = _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise ConfigurationError(f"not a report: {exc}") from exc
    check_instants(report)
    return report


def format_of(data: bytes) -> str | None:
    """Reads the format of a report.

    Args:
        data: the JSON text.

    Returns:
        Its name and number, or None.

    Raises:
        ConfigurationError: it is not JSON.
    """
    try:
        return msgspec.json.decode(data, type=_Head).format
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise ConfigurationError(f"not a report: {exc}") from exc


class _Dated(Protocol):
    @property
    def started(self) -> datetime: ...
    @property
    def ended(self) -> datetime | None: ...


def check_instants(report: _Dated, path: str = "$") -> None:
    """Refuses times that can't be converted to another zone, since they are at the edge of the calendar.

    Args:
        report: the report.
        path: its JSON path, for the message.

    Raises:
        ConfigurationError: one is.
    """
    for name, instant in (("started", report.started), ("ended", report.ended)):
        if instant is not None and not 1970 <= instant.year <= 9990:
            raise ConfigurationError(f"not a report: the year of {path}.{name} is not between 1970 and 9990")
