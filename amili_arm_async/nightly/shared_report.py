"""What a part of a shared run has counted and summed up, and the report over all parts, which is made by adding them up. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from itertools import chain

from msgspec import Struct
from msgspec.structs import replace

from ..bulk.outcomes import STATES, SUCCESS, State
from .amounts import EXACT
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
        attempts: what each attempt has counted, in their order.
        complete: what the last attempt has counted that read its source to the end, or None.
    """

    started: float
    ended: float | None
    counts: Mapping[State, int]
    attempts: Sequence[PartSums]
    complete: PartSums | None


def _sums_of(part: PartTotals) -> tuple[int, Money] | None:
    """Returns how many documents a part has, and their money: of its last complete attempt, if that has read as many as the journal has.

    Where each attempt read other documents, as with the micro-batches of a stream, it is what all attempts have settled.
    """
    if part.complete is None:
        return None
    last = _as_one_attempt(part.complete.money)
    if _count_of(last).total() == sum(part.counts.values()):
        return part.complete.read, last
    settled = _added_money([_without_before(attempt.money) for attempt in part.attempts], is_whole=True)
    adds_up = settled.adds_up and _count_of(settled) == Counter({state: number for state, number in part.counts.items() if number})
    return sum(part.counts.values()), replace(settled, adds_up=adds_up)


def _count_of(money: Money) -> Counter[State]:
    found: Counter[State] = Counter()
    for one in money.currencies:
        found.update({state: amount.count for state, amount in one.states.items() if amount.count})
    return found


def _without_before(money: Money) -> Money:
    """Returns the sums of an attempt without what an earlier one sent."""
    found: list[CurrencyMoney] = []
    for one in money.currencies:
        states = dict(one.states)
        states.pop("done_before", None)
        found.append(CurrencyMoney(one.currency, _added(states.values()), states))
    return replace(money, currencies=[one for one in found if one.states])


def _as_one_attempt(money: Money) -> Money:
    """Returns the sums of an attempt as those of its part: what an earlier attempt sent has succeeded."""
    found: list[CurrencyMoney] = []
    for one in money.currencies:
        states = dict(one.states)
        if (before := states.pop("done_before", None)) is not None:
            states["succeeded"] = _added([before, *([states["succeeded"]] if "succeeded" in states else [])])
        found.append(CurrencyMoney(one.currency, one.read, states))
    return replace(money, currencies=found)


def _added(amounts: Iterable[Amount]) -> Amount:
    count, total = 0, None
    for one in amounts:
        count += one.count
        if one.total is not None:
            total = EXACT.add(total or Decimal(0), Decimal(one.total))
    return Amount(count, format(total, "f") if total is not None else None)


def _added_money(parts: Sequence[Money], *, is_whole: bool) -> Money:
    found: dict[str | None, list[CurrencyMoney]] = {}
    for one in chain.from_iterable(money.currencies for money in parts):
        found.setdefault(one.currency, []).append(one)
    currencies = []
    for currency, some in sorted(found.items(), key=lambda item: (item[0] is None, item[0] or "")):
        states: dict[State, list[Amount]] = {}
        for one in some:
            for state, amount in one.states.items():
                states.setdefault(state, []).append(amount)
        currencies.append(
            CurrencyMoney(currency, _added(one.read for one in some), {state: _added(those) for state, those in states.items()})
        )
    return Money(
        currencies,
        sum(money.without_total for money in parts),
        sum(money.without_currency for money in parts),
        sum(money.made_from_lines for money in parts),
        is_whole and all(money.adds_up for money in parts),
    )


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
    sums = [found for one in totals.values() if (found := _sums_of(one)) is not None]
    began, last = times
    return Part(
        name="documents",
        operation=operation,
        read=sum(read for read, _ in sums),
        counts={state: counts[state] for state in STATES if counts[state]},
        results_awaited=results_awaited,
        batches=sum(attempt.batches for attempt in attempts),
        requests=sum(attempt.requests for attempt in attempts),
        bytes_sent=sum(attempt.bytes_sent for attempt in attempts),
        elapsed=round(max(0.0, last - began), 3),
        sync=None,
        money=_added_money([money for _, money in sums], is_whole=is_whole),
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
    return part.shortfall is None and part.counts.keys() <= success | {state for state, number in part.counts.items() if not number}


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
