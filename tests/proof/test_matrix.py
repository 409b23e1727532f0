"""Every fault at every point x documents and customers x create and update, without and with a journal: the server's truth decides."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from pathlib import Path

import pytest

from amili_arm_async import BulkError

from ..support.wire_faults import POINTS
from .accounts import account_of, check, make_client, quick
from .cases import CASES, MARKED, OPERATIONS, Case, Gets
from .control import Tenant, TenantServer
from .matrix import BATCH, RECORDS, CaseResult, run_case


def compare(outcome: CaseResult, gets: Gets) -> None:
    """What a run told is what the table of cases says."""
    states = ["succeeded" if state == "success" else state for state in outcome.account.states]
    hit = [state for place, state in enumerate(states[:BATCH]) if gets.marked is None or place != MARKED]
    assert len(set(hit)) == 1, "the records of one batch have different states"
    assert hit[0] in gets.states, outcome.account
    if gets.marked is not None:
        assert states[MARKED] == gets.marked
    if gets.reasons and hit[0] == gets.states[0]:
        assert set(outcome.account.reasons[:BATCH]) - {""} <= set(gets.reasons)
    assert len(set(states[BATCH:])) == 1
    assert states[BATCH] in gets.next_batch
    assert (outcome.error is not None) == gets.ends_run, outcome.error
    if gets.repeats is not None:
        assert (len(outcome.truth.writes) - (states[BATCH] != "not_sent") > 1) == gets.repeats
    if gets.deliveries is not None:
        delivered = Counter(key for write in outcome.truth.writes for key in write["keys"])
        assert {delivered[f"k{place}"] for place in range(BATCH) if place != MARKED} == {gets.deliveries}


def compare_next(outcome: CaseResult, first: CaseResult, gets: Gets) -> None:
    """What the next run with the same `run_id` makes of it."""
    assert (outcome.error is not None) == (gets.again == ("not_sent",))
    states = outcome.account.states
    unknown_before = {index for index, state in enumerate(first.account.states) if state == "unknown"}
    unknown = {index for index, state in enumerate(states) if state == "unknown"}
    if gets.again == ("unknown",):
        assert unknown == unknown_before
    elif "unknown" in gets.again:
        assert unknown <= unknown_before
    else:
        assert not {index for index in unknown if index < BATCH}
    counts = Counter(states)
    assert counts["success"] + counts["unknown"] + counts["not_sent"] == RECORDS, counts
    assert bool(counts["not_sent"]) == (gets.again == ("not_sent",))
    done_before = sum(state in {"success", "accepted"} for state in first.account.states)
    assert outcome.account.counts["done_before"] == done_before


@pytest.mark.proof
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_fault(tenant_server: TenantServer, tmp_path: Path, case: Case) -> None:
    """Side by side, so that time-outs cost no more than one: documents and customers, create and update, without and with a journal."""

    async def cell(operation: str, journal: Path | None) -> None:
        gets = case.gets(operation)
        try:
            outcomes = await run_case(tenant_server.tenant(), case, operation, journal)
            compare(outcomes[0], gets)
            if journal is not None:
                compare_next(outcomes[1], outcomes[0], gets)
        except AssertionError as exc:
            exc.add_note(f"{case.name}: {operation}, {'a' if journal is not None else 'no'} journal")
            raise

    cells = [cell(operation, journal) for operation in OPERATIONS for journal in (None, tmp_path / f"{operation}.sqlite")]
    ended = await asyncio.gather(*cells, return_exceptions=True)
    for failure in ended:
        if failure is not None:
            raise failure


def test_every_point_has_faults() -> None:
    counts = Counter(case.fault.point for case in CASES)
    assert set(counts) == set(POINTS)
    assert min(counts.values()) >= 5


@pytest.mark.parametrize("status", ["403", "404", "406", "400"])
@pytest.mark.parametrize("operation", ["customers.create_many", "customers.update_many"])
async def test_an_earlier_delivery_is_not_forgotten(tenant: Tenant, operation: str, status: str) -> None:
    """A second one that is refused proves nothing of the first, whoever made the second: aiohttp repeats PUT by itself."""
    tenant.plan(faults=["ok", "taken_reset", status])
    records = [{"customerNo": f"k{number}", "name": "Somebody"} for number in range(2)]
    async with make_client(tenant) as arm:
        run = getattr(arm.customers, operation.partition(".")[2])(records, options=quick(max_records=1))
        with contextlib.suppress(BulkError):
            await run
    check("customers", records, account_of(run.report, 2), tenant.truth())
    assert run.report.counts["unknown"] == 1
