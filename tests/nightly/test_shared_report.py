"""The report over all parts of a run: what it says of its customers, and of what held its parts. No database."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from amili_arm_async.bulk.record_amounts import AmountSum
from amili_arm_async.cli.html_report.page import render_page
from amili_arm_async.nightly.report import Amount, CurrencyMoney, Money, ReportSchema
from amili_arm_async.nightly.shared_report import CustomersOfNight, PartSums, PartTotals, shared_report
from amili_arm_async.resources.shared_run import SharedReport

pytestmark = pytest.mark.quick


def part(totals: dict[str, Any] | None = None, read: dict[str | None, tuple[int, str]] | None = None, **more: Any) -> PartTotals:
    """A part of which the journal has `totals`, and whose last attempt has summed up what is in `read`, by currency."""
    currencies = [CurrencyMoney(currency, Amount(*amount), {}) for currency, amount in (read or {}).items()]
    adds_up = more.pop("adds_up", True)
    money = Money(currencies, without_total=0, without_currency=0, made_from_lines=0, adds_up=adds_up)
    number = sum(count for count, _ in (read or {}).values())
    sums = PartSums(1.0, 2.0, read=number, batches=0, requests=0, bytes_sent=0, money=money, width=1.0, intervals=[], **more)
    kept = PartTotals(1.0, 2.0, {}, {}, 0, [sums], sums, is_latest=True)
    return replace(kept, **totals) if totals is not None else kept


def report(totals: dict[int, PartTotals], customers: CustomersOfNight | None = None) -> ReportSchema:
    return shared_report(
        totals,
        parts=2,
        reasons=[],
        now=3.0,
        operation="documents.create_batch",
        client_no=1,
        base_url="https://h",
        run_id="1",
        results_awaited=True,
        customers=customers,
    )


@pytest.mark.parametrize(
    ("done", "error", "said"),
    [
        ([0, 1], None, "the customers were not sent to their end"),
        ([0, 1], "no token", "the customers were not sent to their end (no token)"),
        ([0], None, "the customers were not sent to their end; 1 of 2 parts are done; not done: 1"),
    ],
)
def test_customers_that_were_not_sent_to_their_end(done: list[int], error: str | None, said: str) -> None:
    found = report({number: part() for number in done}, CustomersOfNight(0.5, None, error))
    assert (found.ok, found.error, found.not_begun) == (False, said, ["customers"])


FIVE = {"counts": {"succeeded": 2}, "money": {"succeeded": [AmountSum("NOK", 2, 2, 0, "5.00")]}}


@pytest.mark.parametrize(
    ("totals", "read", "more", "adds_up"),
    [
        ({}, {"NOK": (2, "5.00")}, {}, True),
        ({}, {"NOK": (2, "5")}, {}, True),
        ({}, {"NOK": (2, "6.00")}, {}, False),
        ({}, {"SEK": (2, "5.00")}, {}, False),
        ({}, {"NOK": (1, "2.00"), None: (1, "3.00")}, {}, False),
        # It read other documents than the earlier ones.
        ({}, {"NOK": (1, "3.00")}, {}, True),
        # A replay came after it.
        ({"is_latest": False}, {"NOK": (2, "6.00")}, {}, True),
        ({}, {"NOK": (2, "5.00")}, {"adds_up": False}, False),
        ({"without_amount": 1}, {"NOK": (2, "5.00")}, {}, False),
    ],
)
def test_a_report_whose_money_does_not_add_up_is_not_ok(totals: Any, read: Any, more: dict[str, Any], adds_up: bool) -> None:
    found = report({0: part({**FIVE, **totals}, read, **more), 1: part()})
    money = found.parts[0].money
    assert money is not None
    assert (found.ok, money.adds_up) == (adds_up, adds_up)
    assert money.currencies == [CurrencyMoney("NOK", Amount(2, "5.00"), {"succeeded": Amount(2, "5.00")})]


def test_how_long_an_answer_to_another_process_held_the_parts() -> None:
    found = report({0: part(held_by_others=12.5), 1: part(held_by_others=2.0)})
    assert SharedReport(found, 2, (0, 1)).held_by_others == 12.5
    held = "the service told another process to wait"
    assert held in render_page(found)
    assert held not in render_page(report({0: part(), 1: part()}))
