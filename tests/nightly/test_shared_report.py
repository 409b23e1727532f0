"""The report over all parts of a run: what it says of its customers, and of what held its parts. No database."""

from __future__ import annotations

from typing import Any

import pytest

from amili_arm_async.cli.html_report.page import render_page
from amili_arm_async.nightly.report import Money, ReportSchema
from amili_arm_async.nightly.shared_report import CustomersOfNight, PartSums, PartTotals, shared_report
from amili_arm_async.resources.shared_run import SharedReport

pytestmark = pytest.mark.quick


def part(**more: Any) -> PartTotals:
    money = Money([], without_total=0, without_currency=0, made_from_lines=0, adds_up=True)
    sums = PartSums(1.0, 2.0, read=0, batches=0, requests=0, bytes_sent=0, money=money, width=1.0, intervals=[], **more)
    return PartTotals(1.0, 2.0, {}, [sums], sums)


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


def test_how_long_an_answer_to_another_process_held_the_parts() -> None:
    found = report({0: part(held_by_others=12.5), 1: part(held_by_others=2.0)})
    assert SharedReport(found, 2, (0, 1)).held_by_others == 12.5
    held = "the service told another process to wait"
    assert held in render_page(found)
    assert held not in render_page(report({0: part(), 1: part()}))
