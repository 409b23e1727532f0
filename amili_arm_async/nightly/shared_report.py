"""What a part of a shared run has counted and summed up, and the report over all parts, which is made by adding them up. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from itertools import chain

from msgspec import Struct
from msgspec.structs import replace

from ..bulk.outcomes import STATES, SUCCESS, State
from ..bulk.record_amounts import AmountSum, added
from .report import (
    FORMAT,
    Amount,
    CurrencyMoney,
    Money,
    Part,
    PartName,
    Reason,
    ReportSchema,
    Timeline,
    first_failures,
    money_at_risk,
)
from .timeline import MOST_INTERVALS, Interval

__all__ = ["CustomersOfNight", "PartSums", "PartTotals", "customers_report", "shared_report"]


class PartSums(Struct, frozen=True):
    """What an attempt at a part has counted and summed up, without records of other parts.

    Attributes:
        began, ended: Unix times.
        read: records that it read.
        batches, requests, bytes_sent: what it sent.
        money: the sums of its documents.
        width: seconds of an interval.
        intervals: how it went.
        customers: which sending of the night's customers it relied on; 0 where it is no night, or has no customers.
        held_by_others: seconds for which an answer to another process held it.
    """

    began: float
    ended: float
    read: int
    batches: int
    requests: int
    bytes_sent: int
    money: Money
    width: float
    intervals: list[Interval]
    customers: int = 0
    held_by_others: float = 0.0


class CustomersOfNight(Struct, frozen=True):
    """What is known of the customers of a night in parts.

    Attributes:
        started: Unix time at which the night began.
        report: of the last time that they were sent to their end; None before.
        error: why they could not be sent, the last time; None where they were sent since, or nothing went wrong yet.
        running: whether a process is sending them.
    """

    started: float
    report: Part | None
    error: str | None
    running: bool = False

    @property
    def not_sent(self) -> str | None:
        """That they were not sent to their end yet, in words; None where they were."""
        if self.report is not None:
            return None
        return f"the customers were not sent to their end{f' ({self.error})' if self.error else ''}"


class PartTotals(Struct, frozen=True):
    """A part of a shared run, as its report needs it.

    Attributes:
        started, ended: Unix times; `ended` is None where its source was not sent completely.
        counts: number of records by state, as the journal has them.
        money: of these records by state, one sum for each currency.
        without_amount: number of records whose money the journal does not have.
        attempts: what each attempt has counted, in their order.
        complete: what the last attempt has counted that read its source to the end, or None.
        is_latest: whether nothing has changed its records since that attempt.
    """

    started: float
    ended: float | None
    counts: Mapping[State, int]
    money: Mapping[State, Sequence[AmountSum]]
    without_amount: int
    attempts: Sequence[PartSums]
    complete: PartSums | None
    is_latest: bool


def _money_of(parts: Sequence[PartTotals], *, is_whole: bool) -> Money:
    """Adds up the money of all records, each in the state that it has in the journal now, whichever attempt sent it."""
    states: dict[State, dict[str | None, AmountSum]] = {
        state: added(chain.from_iterable(part.money.get(state, ()) for part in parts)) for state in STATES
    }
    read = added(chain.from_iterable(sums.values() for sums in states.values()))
    currencies: list[CurrencyMoney] = []
    for currency in sorted(read, key=lambda name: (name is None, name or "")):
        ended: dict[State, Amount] = {state: _amount(sums[currency]) for state, sums in states.items() if currency in sums}
        currencies.append(CurrencyMoney(currency, _amount(read[currency]), ended))
    return Money(
        currencies,
        without_total=sum(one.count - one.with_total for one in read.values()),
        without_currency=read[None].count if None in read else 0,
        made_from_lines=sum(one.from_lines for one in read.values()),
        adds_up=is_whole and all(map(_adds_up, parts)),
    )


def _amount(found: AmountSum) -> Amount:
    return Amount(found.count, found.total if found.with_total else None)


def _adds_up(part: PartTotals) -> bool:
    """Returns whether what the journal has of a part is what the last attempt that read its source to the end has summed up by itself.

    An attempt that read other documents than earlier ones, as with the micro-batches of a stream, is compared with nothing. So is one
    since which a replay may have sent other amounts.
    """
    if part.complete is None or not part.complete.money.adds_up or part.without_amount:
        return False
    if not part.is_latest or part.complete.read != sum(part.counts.values()):
        return True
    read = {one.currency: (one.read.count, Decimal(one.read.total or 0)) for one in part.complete.money.currencies if one.read.count}
    kept = added(chain.from_iterable(part.money.values()))
    return read == {currency: (one.count, Decimal(one.total)) for currency, one in kept.items()}


def _timeline(attempts: Sequence[PartSums], began: float, ended: float) -> Timeline | None:
    if not attempts:
        return None
    width = max(attempt.width for attempt in attempts)
    while (ended - began) >= width * MOST_INTERVALS:
        width *= 2
    intervals: list[Interval] = []
    for attempt in attempts:
        for number, interval in enumerate(attempt.intervals):
            place = max(0, int((attempt.began - began + number * attempt.width) / width))
            intervals.extend(Interval() for _ in range(place + 1 - len(intervals)))
            intervals[place].merge(interval)
    return Timeline(width, [interval.to_report() for interval in intervals])


def shared_report(
    totals: Mapping[int, PartTotals],
    *,
    parts: int,
    reasons: list[Reason],
    now: float,
    operation: str,
    client_no: int,
    base_url: str,
    run_id: str,
    results_awaited: bool,
    customers: CustomersOfNight | None = None,
) -> ReportSchema:
    """Adds up the parts of a shared run.

    Args:
        totals: the parts that were begun.
        parts: the number of all parts.
        reasons: of the failures.
        now: Unix time.
        operation: what the run does.
        client_no: its client number.
        base_url: the address that it sends to.
        run_id: its name.
        results_awaited: whether it waits for results.
        customers: of a night that has customers, what is known of them; else None.

    Returns:
        The report, of the same form as that of a night with one process.
    """
    done = [part for part, one in totals.items() if one.ended is not None and one.complete is not None]
    are_done = len(done) == parts
    attempts = [attempt for one in totals.values() for attempt in one.attempts]
    began = min([one.started for one in totals.values()] + [attempt.began for attempt in attempts], default=now)
    last = max((attempt.ended for attempt in attempts), default=now) if are_done else now
    documents = _documents(totals, attempts, (began, last), operation, reasons, is_whole=are_done, results_awaited=results_awaited)
    named = [documents]
    error = None if are_done else _missing(parts, done)
    started = began
    not_begun: list[PartName] = []
    if customers is not None:
        started = min(began, customers.started)
        if customers.report is not None:
            named = [_over_all_attempts(customers.report), documents]
        else:
            not_begun.append("customers")
            error = "; ".join(filter(None, [customers.not_sent, error]))
    is_whole = error is None
    return ReportSchema(
        format=FORMAT,
        started=_local_time(started),
        ended=_local_time(last) if is_whole else None,
        elapsed=round(max(0.0, last - started), 3),
        client_no=client_no,
        base_url=base_url,
        run_id=run_id,
        ok=is_whole and all(map(_is_ok, named)),
        error=error,
        parts=named,
        source_exhausted=is_whole,
        not_begun=not_begun,
        money_at_risk=money_at_risk(named),
        first_failures=first_failures(named, {}),
    )


def customers_report(customers: CustomersOfNight, *, now: float, client_no: int, base_url: str, run_id: str) -> ReportSchema:
    """Returns the report of a night in parts that has no documents yet.

    Args:
        customers: what is known of them.
        now: Unix time.
        client_no: its client number.
        base_url: the address that it sends to.
        run_id: its name.
    """
    named = [_over_all_attempts(customers.report)] if customers.report is not None else []
    ended = customers.started + named[0].elapsed if named else now
    return ReportSchema(
        format=FORMAT,
        started=_local_time(customers.started),
        ended=_local_time(ended) if named else None,
        elapsed=round(max(0.0, ended - customers.started), 3),
        client_no=client_no,
        base_url=base_url,
        run_id=run_id,
        ok=bool(named) and all(map(_is_ok, named)),
        error=customers.not_sent,
        parts=named,
        source_exhausted=bool(named),
        not_begun=[] if named else ["customers"],
        money_at_risk=[],
        first_failures=first_failures(named, {}),
    )


def _documents(
    totals: Mapping[int, PartTotals],
    attempts: Sequence[PartSums],
    times: tuple[float, float],
    operation: str,
    reasons: list[Reason],
    *,
    is_whole: bool,
    results_awaited: bool,
) -> Part:
    counts: Counter[State] = Counter()
    for one in totals.values():
        counts.update(one.counts)
    began, last = times
    return Part(
        name="documents",
        operation=operation,
        read=counts.total(),
        counts={state: counts[state] for state in STATES if counts[state]},
        results_awaited=results_awaited,
        batches=sum(attempt.batches for attempt in attempts),
        requests=sum(attempt.requests for attempt in attempts),
        bytes_sent=sum(attempt.bytes_sent for attempt in attempts),
        elapsed=round(max(0.0, last - began), 3),
        sync=None,
        money=_money_of(list(totals.values()), is_whole=is_whole),
        reasons=reasons,
        timeline=_timeline(attempts, began, max([began, *(attempt.ended for attempt in attempts)])),
        failures_file=None,
        source_exhausted=is_whole,
        not_read=0 if is_whole else None,
        expectation=None,
        shortfall=None,
        held_by_others=round(max((attempt.held_by_others for attempt in attempts), default=0.0), 3),
    )


def _is_ok(part: Part) -> bool:
    success = SUCCESS if part.results_awaited else SUCCESS | {"accepted"}
    if part.shortfall is not None or (part.money is not None and not part.money.adds_up):
        return False
    return part.counts.keys() <= success | {state for state, number in part.counts.items() if not number}


def _over_all_attempts(customers: Part) -> Part:
    """Returns the report of the customers as that of all attempts: what an earlier one sent has succeeded."""
    counts = Counter(customers.counts)
    counts["succeeded"] += counts.pop("done_before", 0)
    return replace(customers, counts={state: number for state, number in counts.items() if number})


def _missing(parts: int, done: Sequence[int]) -> str:
    missing = sorted(set(range(parts)) - set(done))
    named = ", ".join(map(str, missing[:20])) + (", ..." if len(missing) > 20 else "")
    return f"{len(done)} of {parts} parts are done; not done: {named}"


def _local_time(seconds: float) -> datetime:
    return datetime.fromtimestamp(round(seconds, 3), UTC).astimezone()
