"""Documents: whatever the server does, none is taken twice, and none that was taken is called untaken."""

from __future__ import annotations

import pytest

from amili_arm_async import ArmClient

from ..support.faulty_api import FaultyServer, RandomFaults
from ..support.faulty_runs import check, check_once, in_form, options, records, run_to_end
from ..support.wire_faults import WRITE_FAULTS

PROVES_NOT_TAKEN = {"400", "406", "411", "413", "early_413", "414", "422", "431"}
ENDS_THE_RUN = {"403", "404", "405", "415", "301", "307", "308", "302", "303", "taken_302", "taken_303"}
WAITS = {"429", "429_bare", "early_429"}
FINE = {"drops", "then_close", "then_reset", "then_another"}
TOKENS = {"401", "early_401"}
"""The client of these tests has one token."""
AMBIGUOUS = set(WRITE_FAULTS) - PROVES_NOT_TAKEN - ENDS_THE_RUN - WAITS - FINE - TOKENS


@pytest.mark.parametrize("compression", [None, "gzip"])
@pytest.mark.parametrize("fault", sorted(set(WRITE_FAULTS) - TOKENS))
async def test_one_fault(server: FaultyServer, arm: ArmClient, fault: str, compression: str | None) -> None:
    results = "wait" if len(fault) % 2 else "accepted"
    server.faults.append(fault)
    run = arm.documents.create_many(records("documents", 12), options=options(results=results, concurrency=1, compression=compression))
    report, error = await run_to_end(run)
    states = check(report, server, accepted_is_enough=results == "accepted")
    check_once(server)
    good = "succeeded" if results == "wait" else "accepted"
    hit = {states[index] for index in range(5)}
    if fault in FINE | WAITS | {"413", "early_413"}:
        assert hit == {good}
    elif fault in PROVES_NOT_TAKEN:
        assert hit == {"rejected"}
    elif fault in AMBIGUOUS or fault in {"302", "303", "taken_302", "taken_303"}:
        assert hit == {"unknown"}
        assert all(server.delivered[f"k{n}"] <= 1 for n in range(5)), "sent again"
    else:
        assert hit == {"not_sent"}
    assert (error is not None) == (fault in ENDS_THE_RUN)
    later = {states[index] for index in range(5, 12)}
    if fault in {"then_close", "then_reset"}:
        # The next batch may have gone out over the connection that was just closed: its outcome is unknown.
        later.discard("unknown")
    assert later == ({"not_sent"} if fault in ENDS_THE_RUN else {good})


@pytest.mark.parametrize("seed", range(12))
async def test_many_faults_at_random(server: FaultyServer, arm: ArmClient, seed: int) -> None:
    stalls = {name for name, fault in WRITE_FAULTS.items() if fault.ends == "stall"}
    # A 202 to a request that the server never read passes for its answer, whoever waits for it.
    faults = sorted(set(WRITE_FAULTS) - ENDS_THE_RUN - TOKENS - {"then_another"} - (stalls if seed % 3 else set()))
    server.random_faults = RandomFaults(seed, faults)
    form = ("list", "generator", "async")[seed % 3]
    run = arm.documents.create_many(in_form(records("documents", 150), form), options=options(bisect="all" if seed % 2 else "safe"))
    report, error = await run_to_end(run)
    assert error is None
    assert report.totals.records_read == 150
    check(report, server)
    check_once(server)
    assert not report.counts["not_sent"]


async def test_connections_that_are_reset_before_a_byte_is_read_cost_nothing(server: FaultyServer, arm: ArmClient) -> None:
    # Nobody can tell such a reset from one after the body was read, but where it comes before the request is written.
    server.refuse_connections = 2
    report, _ = await run_to_end(arm.documents.create_many(records("documents", 20), options=options(concurrency=1)))
    check(report, server)
    check_once(server)
