"""Pure: the report document: what happened in a night, as one JSON object from which every other form is made."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct

from ..bulk.outcomes import State
from ..errors import ConfigurationError
from .report_parts import FORMAT

__all__ = ["Amount", "Bucket", "CurrencyMoney", "Example", "Expectation", "Money", "Part", "Reason", "ReportSchema", "Sync", "Timeline"]
__all__ += ["FORMAT", "read_report"]

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
        failed: new or changed records that did not make it.
        gone: records that were sent once and are not in the source any more; never deleted by itself.
    """

    new: Count
    changed: Count
    unchanged: Count
    failed: Count
    gone: Count


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
        states: what became of it, by final state; states that did not occur may be left out.
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
        state: their final state.
        reason: a short code or an HTTP status; may be empty.
        count: number of records.
        examples: some of them.
    """

    state: State
    reason: str
    count: Count
    examples: list[Example]


class Bucket(Struct, frozen=True):
    """One slice of the timeline.

    Attributes:
        settled: records that got their final state in it.
        failed: those among them that did not make it.
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
        not_read: records of the source that were not read, or None where nobody knows how many.
        expectation: what its source was expected to hold at the least, or None.
        shortfall: in words, that it holds less, or None.
    """

    name: Literal["customers", "documents"]
    operation: str
    read: Count
    counts: dict[State, Count]
    batches: Count
    requests: Count
    bytes_sent: Count
    elapsed: Seconds
    sync: Sync | None
    money: Money | None
    reasons: list[Reason]
    timeline: Timeline | None
    failures_file: str | None
    source_exhausted: bool = True
    not_read: Count | None = None
    expectation: Expectation | None = None
    shortfall: str | None = None


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
        ok: whether all is well.
        error: what ended it early, or None.
        parts: the bulk runs, in their order.
        source_exhausted: whether every source was read to its end.
        not_begun: parts that were planned and not begun: none of their records was read.
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
    source_exhausted: bool = True
    not_begun: list[Literal["customers", "documents"]] = []


_DECODER: Final = msgspec.json.Decoder(ReportSchema)


class _Head(Struct):
    format: str | None = None


def read_report(data: bytes) -> ReportSchema:
    """Reads a report document; fields that it does not know are passed over.

    Raises:
        ConfigurationError: it is none, or it is broken; the message has the path of the fault.
    """
    try:
        head = msgspec.json.decode(data, type=_Head)
        if head.format != FORMAT:
            said = "has no format" if head.format is None else f"is of the format {head.format[:80]!a}"
            raise ConfigurationError(f"not a report that this version reads: it {said}; expected {FORMAT!r}")
        document = _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise ConfigurationError(f"not a report: {exc}") from exc
    for name, instant in (("started", document.started), ("ended", document.ended)):
        # At the edge of the calendar no other zone can be told.
        if instant is not None and not 1970 <= instant.year <= 9990:
            raise ConfigurationError(f"not a report: the year of $.{name} is not between 1970 and 9990")
    return document
