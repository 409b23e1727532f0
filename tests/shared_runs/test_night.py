"""A night in parts: one process sends the customers, the documents of all parts wait for that, and are blocked where theirs failed."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

from amili_arm_async import ArmClient, ArmError, BulkError, ConfigurationError
from amili_arm_async.nightly.run import NightlyReport
from amili_arm_async.sandbox import Fault, Sandbox

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
