"""The part of a report document: reasons in bounded memory, the largest first, and nothing of what a server's words may hold."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amili_arm_async import BatchOutcome, BulkReport, CurrencyAmounts, Document, clock
from amili_arm_async.bulk.outcomes import STATES, Outcome
from amili_arm_async.nightly import report as nightly_report
from amili_arm_async.nightly.money import MoneyObserver
from amili_arm_async.nightly.report import Part, part_of
from amili_arm_async.nightly.timeline import TimelineObserver

from ..support.sandbox_fixtures import quick

pytestmark = pytest.mark.quick


def reasons_of(*args: Any) -> list[dict[str, Any]]:
    reasons: list[dict[str, Any]] = msgspec.to_builtins(nightly_report.reasons_of(*args))
    return reasons


def report_of(outcomes: list[Outcome]) -> BulkReport:
    report = BulkReport(records_known=None, accepted_is_enough=False, now=clock.monotonic)
    for index, outcome in enumerate(outcomes):
        report.add(BatchOutcome(1, None, 0, None, [index], [f"k{index}"], outcome))
        report.tally.records_read += 1
    return report


REASONS = st.lists(st.tuples(st.sampled_from(STATES), st.integers(0, 70)), max_size=300)


@given(REASONS)
def test_every_failure_is_in_one_group(drawn) -> None:
    outcomes = [Outcome(state, str(reason), "it was Kari Nordmann") for state, reason in drawn]
    rows = reasons_of(report_of(outcomes), lambda index: index + 1)
    lost = [
        outcome for outcome in outcomes if outcome.state not in {"succeeded", "unchanged", "done_before", "would_be_sent", "other_part"}
    ]
    counts = Counter((outcome.state, outcome.reason) for outcome in lost)
    assert sum(row["count"] for row in rows) == len(lost)
    named = [row for row in rows if row["state"] != "other"]
    assert [row["count"] for row in named] == sorted(counts.values(), reverse=True)[:50]
    assert all(counts[row["state"], row["reason"]] == row["count"] for row in named)
    assert (len(rows) > len(named)) is (len(counts) > 50)
    for row in named:
        places = [place for place, outcome in enumerate(outcomes) if (outcome.state, outcome.reason) == (row["state"], row["reason"])]
        message = None if row["state"] in {"failed", "rejected", "not_sent"} else "it was Kari Nordmann"
        assert row["examples"] == [{"index": place, "line": place + 1, "key": f"k{place}", "message": message} for place in places[:10]]


def test_a_reason_for_each_record_fits_in_memory(monkeypatch) -> None:
    monkeypatch.setattr(nightly_report, "_DISTINCT", 60)
    outcomes = [Outcome("failed", f"{number}" + "x" * 1000) for number in range(500)]
    rows = reasons_of(report_of([*outcomes, *outcomes[:1]]))
    assert len(rows) == 51
    assert rows[0]["count"] == 2
    assert {"state": "other", "reason": "", "count": 501 - 51, "examples": []}.items() <= rows[-1].items()
    assert max(len(row["reason"]) for row in rows) == 200


def test_nothing_failed() -> None:
    assert reasons_of(report_of([Outcome("succeeded")] * 3)) == []


async def test_a_part_of_a_run(arm, sandbox) -> None:
    sandbox.reject_record("D1", kind="documents")
    source = [
        Document(
            document_no=f"D{number}",
            document_type="IN",
            customer_no="1",
            currency="NOK",
            currency_amounts=CurrencyAmounts(incl_vat=Decimal("1.10")),
        )
        for number in range(5)
    ]
    money, timeline = MoneyObserver(), TimelineObserver(lambda: 0.0)
    report = await arm.documents._bulk.run(
        "documents.create_batch", source, options=quick(), user_id=None, timeout=None, retry=None, observers=(money, timeline)
    )
    built = part_of(
        "documents", "documents.create_batch", report, money=money.totals(report), timeline=timeline.timeline(), failures_file="f.csv"
    )
    part = msgspec.json.decode(msgspec.json.encode(built))
    assert msgspec.convert(part, type=Part) == built
    assert {name: part[name] for name in ("name", "operation", "read", "batches", "requests", "sync", "failures_file")} == {
        "name": "documents",
        "operation": "documents.create_batch",
        "read": 5,
        "batches": 1,
        "requests": 1,
        "sync": None,
        "failures_file": "f.csv",
    }
    assert part["counts"] == {**dict.fromkeys(STATES, 0), "succeeded": 4, "failed": 1}
    assert part["bytes_sent"] > 100
    assert part["elapsed"] > 0
    assert part["money"]["currencies"][0]["states"]["succeeded"] == {"count": 4, "total": "4.40"}
    assert part["money"]["adds_up"] is True
    assert [(row["state"], row["count"], row["examples"]) for row in part["reasons"]] == [
        ("failed", 1, [{"index": 1, "line": None, "key": "D1", "message": None}])
    ]
    assert sum(bucket["settled"] for bucket in part["timeline"]["buckets"]) == 5


def test_a_part_without_those_who_watch() -> None:
    part = part_of("customers", "customers.create_batch", report_of([Outcome("failed")]))
    assert (part.money, part.timeline, part.sync) == (None, None, None)


def test_a_report_with_more_reasons_than_it_names_can_be_read_again() -> None:
    part = part_of("customers", "customers.create_batch", report_of([Outcome("failed", str(number)) for number in range(60)]))
    assert (part.reasons[-1].state, part.reasons[-1].count, part.reasons[-1].examples) == ("other", 10, [])
    assert msgspec.json.decode(msgspec.json.encode(part), type=Part) == part
    assert "lists every record" in part.reasons[-1].remedy


def test_a_part_says_whether_results_were_awaited() -> None:
    for accepted_is_enough in (False, True):
        report = BulkReport(records_known=None, accepted_is_enough=accepted_is_enough, now=clock.monotonic)
        assert part_of("documents", "documents.create_batch", report).results_awaited is not accepted_is_enough
