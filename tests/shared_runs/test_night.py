"""A night in parts: one process sends the customers, the documents of all parts wait for that, and are blocked where theirs failed."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from amili_arm_async import ArmClient, ArmError, BulkError, ConfigurationError, Reconcile, part_of
from amili_arm_async.nightly import shared_customers
from amili_arm_async.nightly.customers_gate import CustomersGate
from amili_arm_async.nightly.run import NightlyReport
from amili_arm_async.postgres.worker import PostgresWorker
from amili_arm_async.sandbox import Fault, Sandbox

from ..support.postgres import Server
from ..support.sandbox_runs import customers, plan, quick, until, writes
from .samples import PARTS, RUN_ID

CUSTOMERS = customers(40)
DOCUMENTS: list[dict[str, Any]] = [
    {
        "documentNo": f"D{number:04}",
        "documentType": "IN",
        "customerNo": f"{number % 40:03}",
        "currency": "NOK",
        "currencyAmounts": {"inclVat": number + 1},
    }
    for number in range(80)
]
REFUSED = {"003", "017"}


def night(arm: ArmClient, database: str, part: int, **more: Any) -> Any:
    options = quick(max_records=10, journal=database, run_id=RUN_ID)
    given = {"customers": CUSTOMERS, "documents": DOCUMENTS, "customer_options": options, "document_options": options, **more}
    return arm.nightly(**given, parts=PARTS, part=part)


async def awaited(run: Any) -> NightlyReport:
    report: NightlyReport = await run
    return report


async def merged(arm: ArmClient, database: str) -> Any:
    async with arm.documents.shared_run(database, run_id=RUN_ID, parts=PARTS) as run:
        return await run.report()


def counts(report: Any) -> dict[str, int]:
    return {state: number for state, number in report.counts.items() if number}


def taken(sandbox: Sandbox) -> Counter[int]:
    return Counter(sandbox.documents.taken(document["documentNo"]) for document in DOCUMENTS)


@pytest.fixture
def refusing(sandbox: Sandbox) -> Sandbox:
    for number in REFUSED:
        sandbox.reject_record(number, kind="customers")
    return sandbox


async def assert_the_night_is_right(arm: ArmClient, sandbox: Sandbox, database: str) -> None:
    assert taken(sandbox) == {1: 76, 0: 4}
    report = await merged(arm, database)
    customers, documents = report.to_schema().parts
    assert (customers.name, customers.counts) == ("customers", {"succeeded": 38, "failed": 2})
    assert {reason.state: reason.count for reason in customers.reasons} == {"failed": 2}
    assert report.counts == {"succeeded": 76, "blocked": 4}
    (currency,) = documents.money.currencies
    server = sum(place + 1 for place in range(80) if f"{place % 40:03}" not in REFUSED)
    assert Decimal(currency.states["succeeded"].total) == server
    assert documents.money.adds_up
    assert not report.ok
    assert report.error is None
    assert report.summary() == "customers: 38 succeeded, 2 failed; documents: 76 succeeded, 4 blocked"


@pytest.mark.parametrize("at_once", [True, False])
async def test_documents_of_every_part_are_gated_by_all_customers(arm: ArmClient, refusing: Sandbox, database: str, at_once: bool) -> None:
    nights = [night(arm, database, part) for part in range(PARTS)]
    if at_once:
        reports = await asyncio.gather(*map(awaited, nights))
    else:
        # With fewer processes than parts, none waits for one that was not started.
        reports = [await one for one in nights]
    assert sum(report.customers is not None for report in reports) == 1
    assert sum(report.documents.counts["blocked"] for report in reports) == 4
    for report in reports:
        assert report.money.adds_up
        assert report.documents.counts["other_part"] == 80 - sum(one.read.count for one in report.money.currencies)
        assert not report.not_begun
    await assert_the_night_is_right(arm, refusing, database)


async def test_a_night_that_is_repeated_sends_what_failed(arm: ArmClient, refusing: Sandbox, database: str) -> None:
    for part in range(PARTS):
        await night(arm, database, part)
    before = writes(refusing)
    refusing._ledger().rejects.clear()
    reports = [await night(arm, database, part) for part in range(PARTS)]
    assert [report.customers is not None for report in reports] == [True, False, False, False]
    assert counts(reports[0].customers) == {"succeeded": 2, "done_before": 38}
    assert sum(report.documents.counts["succeeded"] for report in reports) == 4
    assert taken(refusing) == {1: 80}
    assert writes(refusing) > before
    report = await merged(arm, database)
    assert report.ok
    assert report.summary() == "customers: 40 succeeded; documents: 80 succeeded"


# --- who sends the customers ----------------------------------------------------------------------------------------------


class Paused:
    """Customers that are there, but not yet all of them."""

    def __init__(self) -> None:
        self.is_read = asyncio.Event()
        self.goes_on = asyncio.Event()
        self.error: Exception | None = None

    async def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        self.is_read.set()
        await self.goes_on.wait()
        if self.error is not None:
            raise self.error
        for one in CUSTOMERS:
            yield one


@pytest.fixture
async def two(arm: ArmClient, database: str, caplog: pytest.LogCaptureFixture) -> AsyncIterator[tuple[Paused, Any, Any]]:
    """The customers that a process is sending, its task, and that of a process which waits for it."""
    caplog.set_level(logging.INFO)
    source = Paused()
    first = asyncio.create_task(awaited(night(arm, database, 0, customers=source)))
    await source.is_read.wait()
    second = asyncio.create_task(awaited(night(arm, database, 1)))
    await until(lambda: "another process sends the customers" in caplog.text)
    yield source, first, second
    for task in (first, second):
        task.cancel()
        await asyncio.wait([task])


async def test_the_documents_wait_for_the_customers(two: tuple[Paused, Any, Any], sandbox: Sandbox) -> None:
    source, first, second = two
    assert sandbox.documents.total_taken == 0
    source.goes_on.set()
    reports = [await first, await second]
    assert [report.customers is not None for report in reports] == [True, False]
    assert all(report.ok for report in reports)


async def test_a_process_that_can_not_send_the_customers_ends_those_that_wait(
    two: tuple[Paused, Any, Any], arm: ArmClient, sandbox: Sandbox, database: str
) -> None:
    source, first, second = two
    source.error = OSError("the export broke off")
    source.goes_on.set()
    with pytest.raises(BulkError):
        await first
    with pytest.raises(ArmError, match="another process could not send the customers"):
        await second
    assert sandbox.documents.total_taken == 0
    for part in range(PARTS):
        await night(arm, database, part)
    assert (await merged(arm, database)).ok


async def test_a_process_that_is_stopped_leaves_its_turn_to_another(two: tuple[Paused, Any, Any], sandbox: Sandbox) -> None:
    _, first, second = two
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    report = await second
    assert report.ok
    assert counts(report.customers) == {"succeeded": 40}
    assert sandbox.documents.total_taken == report.documents.counts["succeeded"]


async def test_who_waits_can_be_cancelled(two: tuple[Paused, Any, Any], sandbox: Sandbox) -> None:
    source, first, second = two
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    source.goes_on.set()
    assert (await first).ok


async def test_the_state_tells_what_changed_and_who_is_gone(arm: ArmClient, sandbox: Sandbox, database: str) -> None:
    state = {"state": database, "customer_options": quick(max_records=10)}
    gone = [*CUSTOMERS, {"customerNo": "999", "name": "Gone"}]
    await arm.customers.sync(gone, state=database, options=quick())
    changed = [{**CUSTOMERS[0], "name": "New"}, *CUSTOMERS[1:]]
    reports = [await night(arm, database, part, customers=changed, **state) for part in range(PARTS)]
    assert (reports[0].sync.changed, reports[0].sync.unchanged, reports[0].sync.gone) == (1, 39, 1)
    report = await merged(arm, database)
    customers, _ = report.to_schema().parts
    assert (customers.sync.changed, customers.sync.gone, customers.counts) == (1, 1, {"succeeded": 1, "unchanged": 39})
    assert report.ok


async def test_a_night_without_customers_waits_for_none(arm: ArmClient, sandbox: Sandbox, database: str) -> None:
    for part in range(PARTS):
        assert (await night(arm, database, part, customers=None, customer_options=None)).ok
    report = await merged(arm, database)
    assert report.summary() == "80 succeeded"
    assert taken(sandbox) == {1: 80}


async def test_the_report_of_a_night_whose_customers_failed_says_so(arm: ArmClient, sandbox: Sandbox, database: str) -> None:
    plan(sandbox, [Fault.status(403)] * 20, path="customers/batches")
    with pytest.raises(BulkError):
        await night(arm, database, 0)
    report = await merged(arm, database)
    assert not report.ok
    assert report.error.startswith("the customers were not sent to their end (")
    assert report.to_schema().not_begun == ["customers"]


# --- who ends half-way ----------------------------------------------------------------------------------------------------


async def test_failures_of_a_sending_that_did_not_come_to_its_end_do_not_count(
    arm: ArmClient, refusing: Sandbox, database: str, postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_customers, "_AT_ONCE", 1)
    with monkeypatch.context() as patch:
        # It ends when it has written who failed, and not yet that all were sent.
        patch.setattr(PostgresWorker, "call_urgent", ended)
        with pytest.raises(asyncio.CancelledError):
            await night(arm, database, 0, customer_options=quick(max_records=10))
    assert postgres.execute("SELECT count(*) FROM amili_arm.failed_customers") == [(2,)]
    refusing._ledger().rejects.clear()
    reports = [await night(arm, database, part) for part in range(PARTS)]
    assert [counts(report.customers) for report in reports[:1]] == [{"succeeded": 40}]
    assert sum(report.documents.counts["succeeded"] for report in reports) == 80
    assert postgres.execute("SELECT count(*) FROM amili_arm.failed_customers") == [(0,)]
    assert (await merged(arm, database)).ok


async def ended(*_: Any) -> None:
    """The process is ended here: nothing more is written, not even why."""
    raise asyncio.CancelledError


# --- the gate is what the database knows -----------------------------------------------------------------------------------


def without_customers(arm: ArmClient, database: str, part: int) -> Any:
    return night(arm, database, part, customers=None, customer_options=None)


async def test_a_process_without_customers_blocks_the_same_documents(arm: ArmClient, refusing: Sandbox, database: str) -> None:
    reports = [await night(arm, database, 0), *[await without_customers(arm, database, part) for part in range(1, PARTS)]]
    assert [report.not_begun for report in reports] == [()] * PARTS
    await assert_the_night_is_right(arm, refusing, database)


async def test_a_part_that_is_sent_again_by_itself_blocks_the_same_documents(arm: ArmClient, refusing: Sandbox, database: str) -> None:
    for part in range(PARTS):
        await night(arm, database, part)
    async with arm.documents.shared_run(database, run_id=RUN_ID, parts=PARTS, options=quick(max_records=10)) as run:
        for part in range(PARTS):
            assert (await run.send_part(part, DOCUMENTS, pass_over=True)).counts["succeeded"] == 0
    await assert_the_night_is_right(arm, refusing, database)


async def test_a_process_without_customers_waits_for_them(
    two: tuple[Paused, Any, Any], arm: ArmClient, sandbox: Sandbox, database: str
) -> None:
    source, first, second = two
    third = asyncio.create_task(awaited(without_customers(arm, database, 2)))
    begun = asyncio.create_task(parts_sent(arm, database, 3))
    with pytest.raises(ArmError, match="were not sent to their end, so no documents are sent: send them first"):
        await begun
    assert (third.done(), sandbox.documents.total_taken) == (False, 0)
    source.goes_on.set()
    assert [(await task).ok for task in (first, second, third)] == [True] * 3


async def parts_sent(arm: ArmClient, database: str, part: int) -> Any:
    async with arm.documents.shared_run(database, run_id=RUN_ID, parts=PARTS, options=quick(max_records=10)) as run:
        return await run.send_part(part, DOCUMENTS, pass_over=True)


async def test_a_process_without_customers_ends_where_nobody_sends_them(
    two: tuple[Paused, Any, Any], arm: ArmClient, sandbox: Sandbox, database: str
) -> None:
    _, first, second = two
    for task in (second, first):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    with pytest.raises(ArmError, match="were not sent to their end, so no documents are sent: send them first"):
        await without_customers(arm, database, 2)
    assert sandbox.documents.total_taken == 0


async def test_customers_come_too_late_where_documents_were_begun_without(arm: ArmClient, sandbox: Sandbox, database: str) -> None:
    await without_customers(arm, database, 1)
    taken_before = sandbox.documents.total_taken
    with pytest.raises(ConfigurationError, match=r"were begun without customers.* by themselves, or with another run_id"):
        await night(arm, database, 0)
    assert (sandbox.customers.total_taken, sandbox.documents.total_taken) == (0, taken_before)
    for part in range(PARTS):
        await without_customers(arm, database, part)
    assert (await merged(arm, database)).ok


async def test_a_report_that_is_read_first_begins_nothing(arm: ArmClient, sandbox: Sandbox, database: str) -> None:
    await merged(arm, database)
    for part in range(PARTS):
        await night(arm, database, part)
    assert (await merged(arm, database)).ok


async def test_a_part_and_its_customers_that_begin_at_once_agree(
    arm: ArmClient, sandbox: Sandbox, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The part without customers has begun, and asks then: the other one comes in between, and sees that.
    asked, goes_on = asyncio.Event(), asyncio.Event()
    begin_journal = CustomersGate.begin_journal

    async def paused(self: CustomersGate, journal: Any) -> None:
        asked.set()
        await goes_on.wait()
        await begin_journal(self, journal)

    monkeypatch.setattr(CustomersGate, "begin_journal", paused)
    first = asyncio.create_task(parts_sent(arm, database, 1))
    await asked.wait()
    with pytest.raises(ConfigurationError, match="were begun without customers"):
        await night(arm, database, 0)
    goes_on.set()
    assert (await first).counts["blocked"] == 0


@pytest.mark.parametrize("by_part", [True, False])
async def test_what_is_absent_is_not_sent_again_where_its_customer_failed_since(
    arm: ArmClient, sandbox: Sandbox, database: str, by_part: bool
) -> None:
    lost = DOCUMENTS[3]
    part = part_of(lost["documentNo"], PARTS)
    # Another number of the same form proves that look-ups work.
    found = next(one for one in DOCUMENTS if one is not lost and part_of(one["documentNo"], PARTS) == part)
    options = quick(journal=database, run_id=RUN_ID, deadline=0.05)
    given = {"customer_options": quick(), "document_options": options}
    await night(arm, database, part, **given, documents=[found])
    plan(sandbox, [Fault.reset_before()])
    assert (await night(arm, database, part, **given, documents=[found, lost])).documents.counts["unknown"] == 1

    async def reconcile() -> Any:
        how = {"settle": 0.06, "resend_absent": True}
        if not by_part:
            return await arm.documents.reconcile(database, run_id=RUN_ID, options=quick(deadline=0.05), **how)
        own = replace(options, reconcile=Reconcile(**how))
        async with arm.documents.shared_run(database, run_id=RUN_ID, parts=PARTS, options=own) as run:
            return await run.send_part(part, [found, lost])

    sandbox.reject_record("003", kind="customers")
    await night(arm, database, part, **given, documents=[found, lost])
    (failure,) = (await reconcile()).failures()
    assert (failure.state, failure.reason) == ("unknown", "absent")
    if not by_part:
        assert "customer 003 did not succeed. So it is not sent again" in failure.message
    assert sandbox.documents.taken(lost["documentNo"]) == 0
    sandbox._ledger().rejects.clear()
    await night(arm, database, part, **given, documents=[found, lost])
    await reconcile()
    assert sandbox.documents.taken(lost["documentNo"]) == 1


# --- wrong use ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"part": None}, "belong together"),
        ({"part": 4}, "part must be"),
        ({"parts": 0}, "parts must be"),
        ({"documents": None}, "for documents"),
        ({"document_options": None}, "journal in PostgreSQL"),
        ({"document_options": quick(journal="a.sqlite", run_id="1")}, "journal in PostgreSQL"),
        ({"state": "state.sqlite"}, "state must"),
        ({"customer_options": quick(journal="a.sqlite", run_id="1")}, "customer_options.journal must"),
        ({"customer_options": quick(limit=5)}, "limit"),
        ({"document_options": quick(limit=5, journal="postgresql://127.0.0.1/a", run_id="1"), "customers": None}, "limit"),
        ({"at_least_documents": 5}, "at_least_documents"),
    ],
)
async def test_what_can_not_be_done_in_parts(arm: ArmClient, more: dict[str, Any], said: str) -> None:
    options = quick(journal="postgresql://127.0.0.1/a", run_id="1")
    given = {"customers": [], "documents": [], "document_options": options, "parts": 4, "part": 1, **more}
    with pytest.raises(ConfigurationError, match=said):
        arm.nightly(**given)
