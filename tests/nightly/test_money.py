"""Money adds up: against a naive sum, over any split into slices and batches, and in real runs that end in any way."""

from __future__ import annotations

import asyncio
import contextlib
import tracemalloc
from array import array
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from decimal import Context, Decimal
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from amili_arm_async import BatchOutcome, BulkError, BulkReport, CurrencyAmounts, Document, DocumentLine, MoneySum, MoneyTotals
from amili_arm_async.bulk.outcomes import STATES, Outcome
from amili_arm_async.bulk.record_amounts import AmountSum, RecordAmounts, added
from amili_arm_async.nightly.amounts import read_amounts
from amili_arm_async.nightly.money import MoneyObserver
from amili_arm_async.nightly.report import part_of
from amili_arm_async.sandbox import Fault

from ..support.cutting_observer import Cutting
from ..support.sandbox_fixtures import quick

WIDE = Context(prec=3000)

AMOUNTS = (
    st.decimals(-(10**7), 10**7, places=2)
    | st.decimals(-(10**30), 10**30, places=12)
    | st.integers(-(2**70), 2**70)
    | st.floats(-1e9, 1e9)
    | st.sampled_from(
        [Decimal("-922337203685477.5808"), Decimal("922337203685477.5808"), Decimal("1E+900"), Decimal("1E-900"), "12.50", "x", None]
    )
)
CURRENCIES = st.sampled_from(["NOK", "NOK", "NOK", "nok", "SEK", None, "", 7])


def document_of(currency: Any, total: Any, form: int) -> Any:
    line = {"currencyAmounts": {"inclVat": total}}
    struct = Document(currency=currency, currency_amounts=CurrencyAmounts(incl_vat=total))
    from_lines = Document(currency=currency, document_lines=[DocumentLine(currency_amounts=CurrencyAmounts(incl_vat=total))] * 2)
    text = msgspec.json.Encoder(decimal_format="number").encode({"currency": currency, "documentLines": [line]}) if form == 4 else b""
    return [struct, {"currency": currency, **line}, from_lines, {"currency": currency}, text, b"{"][form]


DOCUMENTS = st.builds(document_of, CURRENCIES, AMOUNTS, st.sampled_from([0, 0, 0, 1, 2, 3, 4, 5]))


def naive(pairs: list[tuple[Any, str]]) -> dict[str | None, dict[str, tuple[int, Decimal | None]]]:
    """Count and sum by currency, for `read` and for each state."""
    groups: dict[Any, list[Decimal | None]] = defaultdict(list)
    for record, state in pairs:
        reading = read_amounts(record)
        groups[reading.currency, "read"].append(reading.total)
        groups[reading.currency, state].append(reading.total)
    result: dict[str | None, dict[str, tuple[int, Decimal | None]]] = defaultdict(dict)
    for (currency, name), totals in groups.items():
        total = None
        for one in totals:
            if one is not None:
                total = WIDE.add(total if total is not None else Decimal(0), one)
        result[currency][name] = len(totals), total
    return dict(result)


def amounts_of(totals: MoneyTotals) -> dict[str | None, dict[str, tuple[int, Decimal | None]]]:
    return {
        of.currency: {"read": (of.read.count, of.read.total), **{state: (end.count, end.total) for state, end in of.states.items()}}
        for of in totals.currencies
    }


def cut(items: list[Any], sizes: list[int]) -> list[list[Any]]:
    parts, left = [], list(items)
    for size in sizes:
        parts.append(left[:size])
        left = left[size:]
    return [part for part in [*parts, left] if part]


@given(
    st.lists(st.tuples(DOCUMENTS, st.sampled_from(STATES)), max_size=40),
    st.lists(st.integers(1, 25), max_size=8),
    st.lists(st.integers(1, 25), max_size=8),
    st.randoms(use_true_random=False),
)
@example([(document_of("NOK", Decimal("0.01"), 0), "failed")] * 40, [40], [3, 20], Random(1))
def test_sums_are_those_of_a_naive_sum(pairs, slices, batches, chance) -> None:
    money = MoneyObserver()
    first = 0
    for part in cut([record for record, _ in pairs], slices):
        money.on_read(part, first)
        first += len(part)
    assert money.totals().adds_up is (not pairs)
    order = list(range(len(pairs)))
    if chance.random() < 0.5:
        chance.shuffle(order)
    for number, indexes in enumerate(cut(order, batches)):
        outcomes = [Outcome(pairs[index][1]) for index in indexes]
        common = chance.choice(outcomes)
        exceptions = {place: outcome for place, outcome in enumerate(outcomes) if outcome != common}
        money.on_settled(BatchOutcome(number, None, 1, None, array("q", indexes), [None] * len(indexes), common, exceptions))
    totals = money.totals()
    readings = [read_amounts(record) for record, _ in pairs]
    assert amounts_of(totals) == naive(pairs)
    assert totals.adds_up
    assert totals.without_total == sum(reading.total is None for reading in readings)
    assert totals.without_currency == sum(reading.currency is None for reading in readings)
    assert totals.made_from_lines == sum(reading.from_lines for reading in readings)
    assert money._slices == {}
    assert money._firsts == []


def as_naive(sums: Iterable[AmountSum]) -> dict[str | None, tuple[int, Decimal | None]]:
    return {one.currency: (one.count, Decimal(one.total) if one.with_total else None) for one in added(sums).values()}


@given(st.lists(DOCUMENTS, min_size=1, max_size=40), st.lists(st.integers(1, 25), max_size=8), st.randoms(use_true_random=False))
def test_the_amounts_that_a_journal_keeps_are_those_of_the_documents(documents, slices, chance) -> None:
    money = MoneyObserver()
    first = 0
    for part in cut(documents, slices):
        money.on_read(part, first)
        first += len(part)
    settle(money, chance.sample(range(len(documents)), len(documents) // 4))
    indexes = [index for part in money._slices.values() for index in range(part.first, part.first + len(part.totals))]
    chance.shuffle(indexes)
    kept = money.amounts_of(indexes)
    assert kept is not None
    sums, encoded = kept.encoded()
    assert msgspec.json.decode(sums, type=list[AmountSum]) == kept.sums()
    assert msgspec.msgpack.decode(encoded, type=RecordAmounts) == kept
    places = chance.sample(range(len(indexes)), chance.randrange(len(indexes) + 1))
    chosen = [documents[indexes[place]] for place in places]
    expected = {currency: found["read"] for currency, found in naive([(document, "succeeded") for document in chosen]).items()}
    assert as_naive(kept.sums(places)) == as_naive(kept.only(places).sums()) == expected
    assert sum(one.from_lines for one in kept.only(places).sums()) == sum(read_amounts(document).from_lines for document in chosen)
    assert money.amounts_of([*indexes, len(documents)]) is None


def test_the_amount_that_stands_for_none_is_an_amount_all_the_same() -> None:
    least = Decimal("-922337203685477.5808")
    money = MoneyObserver()
    money.on_read([document_of("NOK", least, 0)], 0)
    settle(money, range(1))
    assert money.totals().currencies[0].states["succeeded"] == MoneySum(1, least)
    assert money.totals().adds_up


def test_a_small_amount_after_a_huge_one_is_not_rounded_away() -> None:
    money = MoneyObserver()
    money.on_read([document_of("NOK", Decimal("1E+100"), 0)], 0)
    money.on_read([document_of("NOK", Decimal("0.01"), 0)], 1)
    settle(money, range(2))
    assert money.totals().currencies[0].read.total == Decimal("1" + "0" * 100 + ".01")
    assert money.totals().adds_up


def settle(money: MoneyObserver, indexes: Any, state: Any = "succeeded") -> None:
    money.on_settled(BatchOutcome(1, None, 1, None, indexes, [None] * len(indexes), Outcome(state)))


def seen(number: int = 10) -> MoneyObserver:
    money = MoneyObserver()
    money.on_read([document_of("NOK", Decimal(place + 1), 0) for place in range(number)], 0)
    return money


def test_it_does_not_add_up_where_a_record_is_told_twice_or_was_never_seen_or_has_no_end() -> None:
    for indexes in (range(9), [*range(9), 8], range(11), [0, 0, *range(2, 10)]):
        money = seen()
        settle(money, indexes)
        assert not money.totals().adds_up
    money = seen()
    settle(money, range(10))
    assert money.totals().adds_up
    settle(money, range(1))
    assert not money.totals().adds_up


def test_it_does_not_add_up_where_one_is_told_twice_for_another_with_as_much_money() -> None:
    for indexes in (range(10), [0, 0, *range(2, 10)]):
        money = MoneyObserver()
        money.on_read([document_of("NOK", Decimal(1), 0)] * 10, 0)
        settle(money, indexes)
        assert money.totals().adds_up is (indexes == range(10))


def test_it_does_not_add_up_where_what_is_kept_is_not_what_was_read() -> None:
    for place, value in ((3, 1), (3, -(2**63))):
        money = seen()
        money._slices[0].totals[place] = value
        settle(money, range(10))
        assert not money.totals().adds_up


@pytest.mark.parametrize("name", ["count", "with_total"])
def test_it_does_not_add_up_where_a_count_is_wrong(name) -> None:
    money = seen()
    settle(money, range(10))
    ended = money._ended["succeeded"][1]
    setattr(ended, name, getattr(ended, name) + 1)
    assert not money.totals().adds_up


def test_it_does_not_add_up_where_the_report_read_more() -> None:
    money = seen()
    settle(money, range(10))
    report = BulkReport(records_known=None, accepted_is_enough=False, now=lambda: 0.0)
    report.add(BatchOutcome(1, None, 1, None, range(10), [None] * 10, Outcome("succeeded")))
    report.tally.records_read = 10
    assert money.totals(report).adds_up
    report.tally.records_read = 11
    assert not money.totals(report).adds_up


def test_it_does_not_add_up_where_money_goes_to_another_currency() -> None:
    money = seen()
    money.on_read([document_of("SEK", Decimal(1), 0)], 10)
    money._slices[0].currencies = 2
    settle(money, range(11))
    assert not money.totals().adds_up


def test_the_totals_stand_in_the_report_as_text() -> None:
    money = MoneyObserver()
    money.on_read([document_of("NOK", Decimal("123.4"), 0), document_of("NOK", Decimal("0.12345"), 0), document_of("SEK", None, 3)], 0)
    money.on_read([b"{", document_of("EUR", 5, 2)], 3)
    settle(money, [0, 2])
    settle(money, [1, 3, 4], "unknown")
    report = BulkReport(records_known=None, accepted_is_enough=False, now=lambda: 0.0)
    assert msgspec.to_builtins(part_of("documents", "", report, money=money.totals()).money) == {
        "currencies": [
            {"currency": "EUR", "read": {"count": 1, "total": "10.00"}, "states": {"unknown": {"count": 1, "total": "10.00"}}},
            {
                "currency": "NOK",
                "read": {"count": 2, "total": "123.52345"},
                "states": {"succeeded": {"count": 1, "total": "123.40"}, "unknown": {"count": 1, "total": "0.12345"}},
            },
            {"currency": "SEK", "read": {"count": 1, "total": None}, "states": {"succeeded": {"count": 1, "total": None}}},
            {"currency": None, "read": {"count": 1, "total": None}, "states": {"unknown": {"count": 1, "total": None}}},
        ],
        "without_total": 2,
        "without_currency": 1,
        "made_from_lines": 1,
        "adds_up": True,
    }


@pytest.mark.proof
def test_memory_of_a_hundred_thousand_documents_under_way() -> None:
    some = [document_of(["NOK", "SEK"][place % 2], Decimal(place), 0) for place in range(500)]
    money = MoneyObserver()
    tracemalloc.start()
    try:
        for first in range(0, 100_000, 500):
            money.on_read(some, first)
        under_way = tracemalloc.get_traced_memory()[0]
        for first in range(0, 100_000, 1000):
            settle(money, range(first, first + 1000))
        left = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert under_way < 16 * 100_000
    assert left < 60_000
    assert money.totals().adds_up


# --- runs ---------------------------------------------------------------------------------------------------------------


def invoices(number: int) -> list[Any]:
    made: list[Any] = []
    for index in range(number):
        total = Decimal(index).scaleb(-2) * (-1) ** index
        made.append(
            Document(
                document_no=f"D{index}",
                document_type="IN",
                customer_no=str(index % 7),
                currency="NOK",
                currency_amounts=CurrencyAmounts(incl_vat=total),
            )
        )
        if index % 11 == 1:
            made[-1] = {"documentNo": f"D{index}", "currency": "SEK", "documentLines": [{"currencyAmounts": {"inclVat": 1.25}}]}
        if index % 97 == 5:
            made[-1] = b'{"documentNo": '
    return made


def run_of(arm, source: Any, *watchers: Any, **settings: Any):
    return arm.documents._bulk.run(
        "documents.create_batch", source, options=quick(**settings), user_id=None, timeout=None, retry=None, observers=watchers
    )


def agrees(money: MoneyObserver, report: Any) -> bool:
    totals = money.totals(report)
    for currency in totals.currencies:
        assert currency.read.count == sum(end.count for end in currency.states.values())
        assert (currency.read.total or 0) == sum(end.total or 0 for end in currency.states.values())
    assert sum(currency.read.count for currency in totals.currencies) == report.totals.records_read
    return totals.adds_up


FAULTS = [
    lambda sandbox: None,
    lambda sandbox: sandbox.inject(Fault.status(500), times=3),
    lambda sandbox: sandbox.inject(Fault.reset_after(), times=2),
    lambda sandbox: sandbox.inject(Fault.reset_before(), times=2),
    lambda sandbox: [sandbox.reject_record(f"D{number}", kind="documents") for number in range(0, 900, 50)],
    lambda sandbox: sandbox.inject(Fault.status(403), times=None),
]


@pytest.mark.parametrize("fault", FAULTS, ids=["none", "500", "reset after", "reset before", "rejected", "403"])
@pytest.mark.parametrize("results", ["wait", "accepted"])
async def test_money_read_is_money_of_all_states_whatever_happens(fault, results, arm, sandbox) -> None:
    fault(sandbox)
    source = invoices(1500)
    money = MoneyObserver()
    run = run_of(arm, source, money, max_records=60, results=results)
    with contextlib.suppress(BulkError):
        await run
    assert agrees(money, run.report)
    assert {of.currency: of.read for of in money.totals().currencies} == {
        currency: MoneySum(*both["read"]) for currency, both in naive([(record, "succeeded") for record in source]).items()
    }


async def test_the_states_have_their_money(arm, sandbox) -> None:
    sandbox.reject_record("D8", kind="documents")
    source = [document_of("NOK", Decimal(2**number), 0) for number in range(10)]
    for number, document in enumerate(source):
        document.document_no, document.customer_no, document.document_type = f"D{number}", "1", "IN"
    source[3].currency_amounts.vat = Decimal("NaN")
    money = MoneyObserver()
    report = await run_of(arm, source, money)
    assert {state: end.total for state, end in money.totals(report).currencies[0].states.items()} == {
        "succeeded": 1023 - 256 - 8,
        "failed": 256,
        "invalid": 8,
    }


async def test_a_source_that_raises(arm) -> None:
    async def source():
        for record in invoices(777):
            yield record
        raise OSError("gone")

    money = MoneyObserver()
    with pytest.raises(BulkError) as caught:
        await run_of(arm, source(), money, max_records=100)
    assert caught.value.report.totals.records_read == 777
    assert agrees(money, caught.value.report)


@pytest.mark.parametrize("turns", [*range(1, 60, 4)])
async def test_cancellation_after_any_turn(turns, arm) -> None:
    money = MoneyObserver()
    run = run_of(arm, invoices(2000), money, max_records=20)
    task = asyncio.ensure_future(run._whole())
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert agrees(money, run.report)


@pytest.mark.parametrize("settled", [1, 100, 500, 1000, 1900])
async def test_cancellation_after_any_record(settled, arm) -> None:
    money, cutting = MoneyObserver(), Cutting(settled)
    run = run_of(arm, invoices(2000), cutting, money, max_records=20)
    cutting.task = asyncio.ensure_future(run._whole())
    with pytest.raises(asyncio.CancelledError):
        await cutting.task
    assert agrees(money, run.report)
    assert run.report.counts["succeeded"] < 1900


async def test_the_counts_of_another_report_do_not_add_up(arm) -> None:
    money, other = MoneyObserver(), MoneyObserver()
    report = await run_of(arm, invoices(20), money)
    await run_of(arm, invoices(20)[:19], other)
    assert money.totals(report).adds_up
    assert not other.totals(report).adds_up
    assert replace(money.totals(report), adds_up=False) != money.totals(report)
