"""The night: customers first, then their documents, and one report over all, whatever ends it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from amili_arm_async import ArmClient, BulkError, BulkOptions, ConfigurationError
from amili_arm_async.cli.html_report.summary import next_steps
from amili_arm_async.errors import InterruptedRunError
from amili_arm_async.sandbox import Fault, Sandbox

from ..support.sandbox_fixtures import QUICK, customers, quick

pytestmark = pytest.mark.quick


def invoices(number: int, owners: int = 50) -> Iterator[dict[str, Any]]:
    return (
        {
            "documentNo": f"D{index}",
            "documentType": "IN",
            "customerNo": str(index % owners),
            "currency": "NOK" if index % 3 else "SEK",
            "currencyAmounts": {"inclVat": Decimal(index) / 100},
        }
        for index in range(number)
    )


def night(arm: ArmClient, **given: Any):
    options = {"customer_options": quick(), "document_options": quick(), **given}
    return arm.nightly(**options)


def balances(report: Any) -> bool:
    """Whether records and money of all final states add up to what was read, reckoned once more."""
    for part in report.parts:
        assert sum(part.report.counts.values()) == part.report.totals.records_read
    for currency in report.money.currencies if report.money is not None else ():
        assert sum(one.count for one in currency.states.values()) == currency.read.count
        assert sum(one.total or 0 for one in currency.states.values()) == (currency.read.total or 0)
    return report.money is None or report.money.adds_up


async def test_documents_in_a_journal_need_a_run_id_before_customers_are_sent(arm, sandbox, tmp_path) -> None:
    with pytest.raises(ConfigurationError, match="run_id"):
        await night(arm, customers=customers(3), documents=invoices(3), document_options=quick(journal=tmp_path / "journal.sqlite"))
    assert len(sandbox.customers) == 0


async def test_a_night_without_trouble(arm, sandbox) -> None:
    report = await night(arm, customers=customers(1200), documents=invoices(2500))
    assert report.ok
    assert balances(report)
    assert (report.customers.counts["succeeded"], report.documents.counts["succeeded"]) == (1200, 2500)
    assert {one.currency: one.read.total for one in report.money.currencies} == {
        "NOK": sum(Decimal(index) for index in range(2500) if index % 3) / 100,
        "SEK": sum(Decimal(index) for index in range(0, 2500, 3)) / 100,
    }
    report.raise_for_failures()
    # The first invoice arrived after the last customer.
    paths = [one.path.rpartition("/clients/2218/")[2] for one in sandbox.recent if one.method == "POST"]
    assert paths == sorted(paths)


async def test_documents_of_customers_that_did_not_make_it_are_named_and_not_sent(arm, sandbox) -> None:
    sandbox.reject_record("7", kind="customers")
    source = [*customers(50), {"customerNo": "8", "name": float("nan")}]
    report = await night(arm, customers=source, documents=invoices(500))
    assert not report.ok
    assert balances(report)
    blocked = [failure for failure in report.documents.failures() if failure.state == "blocked"]
    assert {int(failure.key[1:]) % 50 for failure in blocked} == {7, 8}
    assert len(blocked) == 20
    assert all(sandbox.documents.delivered(failure.key) == 0 for failure in blocked)
    assert {failure.reason for failure in blocked} == {"customer_failed"}
    with pytest.raises(BulkError):
        report.raise_for_failures()


async def test_a_customer_that_made_it_in_the_end_has_its_documents_sent(arm, sandbox) -> None:
    source = [{"customerNo": "1", "name": float("nan")}, {"customerNo": "1", "name": "Owe"}]
    report = await night(arm, customers=source, documents=invoices(10, owners=2))
    assert report.documents.counts["blocked"] == 0


async def test_where_customers_can_not_be_brought_to_their_end_no_document_is_sent(arm, sandbox) -> None:
    sandbox.inject(Fault.status(403), times=None)
    run = night(arm, customers=list(customers(3000)), documents=invoices(10))
    with pytest.raises(BulkError):
        await run
    assert run.report.customers.counts["not_sent"] == 3000
    assert run.report.documents is None
    assert "403" in run.report.error
    assert not run.report.ok
    assert sandbox.documents.total_delivered == 0
    assert json.loads(json.dumps(run.report.to_dict()))["error"] == run.report.error


async def test_a_part_that_was_left_early_ends_the_night(arm, sandbox) -> None:
    async def leave(run: Any) -> None:
        async with run:
            async for _ in run:
                break

    run = night(arm, customers=customers(5000), documents=invoices(10), customer_options=quick(max_records=10))
    with pytest.raises(Exception, match="not brought to their end"):
        await run.run_with(leave)
    assert run.report.documents is None
    assert balances(run.report)


@pytest.mark.parametrize("turns", [1, 10, 50, 150, 300, 600])
async def test_cancellation_at_any_moment(turns, arm) -> None:
    run = night(arm, customers=customers(800), documents=invoices(800), customer_options=quick(max_records=50))
    task = asyncio.ensure_future(run.run_with(_await))
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        assert not run.report.ok
        assert (run.report.error, run.report.interrupted) == ("it was interrupted", True)
    if run.report.parts:
        balances(run.report)


async def _await(run: Any) -> None:
    await run


@pytest.mark.parametrize("raised", [InterruptedRunError(), KeyboardInterrupt(), SystemExit(143)])
async def test_a_signal_is_no_fault_to_fix(raised, arm, tmp_path) -> None:
    async def send(run: Any) -> None:
        async with run:
            raise raised

    options = quick(journal=tmp_path / "journal.sqlite", run_id="x")
    run = night(arm, customers=customers(5), documents=invoices(5), document_options=options)
    with pytest.raises(type(raised)):
        await run.run_with(send)
    said = "it was interrupted: the same run id goes on where it stopped"
    assert (run.report.error, run.report.interrupted) == (said, True)
    steps = [step.text for step in next_steps(run.report.to_schema())]
    assert "The run was interrupted: nothing has to be fixed for that." in steps
    assert steps[-1].startswith("Then run the same job again with the same run id, x")
    assert not any("Error" in step or "Fix" in step for step in steps)


async def test_an_error_of_the_program_is_named(arm) -> None:
    async def send(run: Any) -> None:
        async with run:
            raise ValueError("secret")

    run = night(arm, customers=customers(5), documents=invoices(5))
    with pytest.raises(ValueError, match="secret"):
        await run.run_with(send)
    assert (run.report.error, run.report.interrupted) == ("an error of the program that runs it (ValueError)", False)


async def test_a_night_that_was_cut_off_goes_on(arm, sandbox, tmp_path) -> None:
    options = quick(journal=tmp_path / "night.sqlite", run_id="2026-11-21", max_records=100)
    sandbox.inject(Fault.status(403), path="documents/batches", skip=3, times=None)
    with pytest.raises(BulkError):
        await night(arm, customers=customers(50), documents=invoices(1000), document_options=options)
    sandbox.clear_faults()
    report = await night(arm, customers=customers(50), documents=invoices(1000), document_options=options)
    assert report.ok
    assert balances(report)
    assert report.documents.counts["done_before"] > 0
    assert len(sandbox.documents) == 1000
    assert not list(sandbox.documents.doubles())
    assert report.to_dict()["run_id"] == "2026-11-21"


async def test_unknown_documents_are_in_the_sums(arm, sandbox) -> None:
    sandbox.inject(Fault.reset_after(), path="documents/batches", times=1)
    report = await night(arm, documents=invoices(3000, owners=1))
    assert report.documents.counts["unknown"] == 1000
    assert balances(report)
    assert not report.ok


async def test_only_one_of_the_two(arm, sandbox) -> None:
    report = await night(arm, customers=customers(3))
    assert (report.ok, report.documents, report.money) == (True, None, None)
    report = await night(arm, documents=invoices(3, owners=1))
    assert (report.ok, report.customers) == (True, None)
    report = await night(arm, customers=[], documents=[])
    assert report.ok
    assert report.summary() == "customers: no records; documents: no records"


async def test_what_makes_no_sense_is_refused(arm) -> None:
    with pytest.raises(ConfigurationError, match="customers, documents or both"):
        arm.nightly()
    with pytest.raises(ConfigurationError, match="must be 'wait'"):
        arm.nightly(customers=[], customer_options=BulkOptions(results="accepted"))
    run = night(arm, customers=[])
    await run
    with pytest.raises(ConfigurationError, match="once"):
        await run


async def test_two_clients_have_their_own_nights() -> None:
    async with Sandbox(process_delay=0.0) as sandbox, ArmClient(1, auth=sandbox.token, base_url=sandbox.base_url, retry=QUICK) as arm:
        reports = await asyncio.gather(
            *(night(arm.for_client(number), customers=customers(50), documents=invoices(200)).run_with(_await) for number in (1, 2))
        )
        assert [report.to_dict()["client_no"] for report in reports] == [1, 2]
        assert all(report.ok for report in reports)
        assert sandbox.documents.total_taken == 400
