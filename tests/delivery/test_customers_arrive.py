"""Customers: they arrive through every fault that ends, and an older version never overtakes a newer one."""

from __future__ import annotations

import asyncio
import random
from math import ceil, log2
from typing import Any

import pytest

from amili_arm_async import ArmClient

from ..support.faulty_api import FaultyServer, RandomFaults, by_record
from ..support.faulty_runs import check, customer, in_form, options, records, run_to_end
from ..support.http_server import Answer
from ..support.wire_faults import WRITE_FAULTS

REFUSES = {"400", "406", "411", "414", "422", "431"}
ENDS_THE_RUN = {"403", "404", "405", "415", "301", "307", "308", "302", "303", "taken_302", "taken_303"}
TOKENS = {"401", "early_401"}
"""The client of these tests has one token."""
PASSES = sorted(set(WRITE_FAULTS) - REFUSES - ENDS_THE_RUN - TOKENS)
QUICK = [fault for fault in PASSES if WRITE_FAULTS[fault].ends != "stall"]
# 413 at random is no fault that ends: the ceiling that it teaches stays.
AT_RANDOM = [fault for fault in QUICK if fault not in {"409", "taken_409", "413", "early_413", "then_another"}]


@pytest.mark.parametrize("fault", PASSES)
async def test_they_arrive_through_one_fault(server: FaultyServer, arm: ArmClient, fault: str) -> None:
    server.faults.append(fault)
    report, error = await run_to_end(arm.customers.create_many(records("customers", 12), options=options(concurrency=2)))
    check(report, server)
    assert error is None
    assert report.counts["succeeded"] == 12


@pytest.mark.parametrize("fault", QUICK)
async def test_they_arrive_through_a_bad_minute(server: FaultyServer, arm: ArmClient, fault: str) -> None:
    server.faults.extend([fault] * 10)
    report, error = await run_to_end(arm.customers.update_many(records("customers", 40), options=options()))
    check(report, server)
    assert error is None
    assert report.counts["succeeded"] == 40
    assert {seen.method for seen in server.writes} == {"PUT"}


@pytest.mark.parametrize("seed", range(8))
async def test_they_arrive_through_faults_at_random(server: FaultyServer, arm: ArmClient, seed: int) -> None:
    server.random_faults = RandomFaults(seed, AT_RANDOM)
    server.answer_read = reads_fail(seed)
    form = ("list", "generator", "async")[seed % 3]
    many = arm.customers.create_many if seed % 2 else arm.customers.update_many
    report, error = await run_to_end(many(in_form(records("customers", 150), form), options=options()))
    check(report, server)
    assert error is None
    assert report.counts["succeeded"] == 150


def reads_fail(seed: int) -> Any:
    """Every third or so question for a result fails, at first."""
    rng = random.Random(seed)
    left = [20]

    def answer(_: object) -> Answer | str | None:
        if left[0] and rng.random() < 0.3:
            left[0] -= 1
            return rng.choice(
                ["reset", Answer(500), Answer(202, {"status": "NOT-PROCESSED"}), Answer(200, {"x": 1}, missing=9), Answer(429)]
            )
        return None

    return answer


async def test_connections_that_are_reset_at_once(server: FaultyServer, arm: ArmClient) -> None:
    server.refuse_connections = 5
    report, error = await run_to_end(arm.customers.create_many(records("customers", 30), options=options()))
    check(report, server)
    assert error is None
    assert report.counts["succeeded"] == 30


@pytest.mark.parametrize("seed", range(6))
async def test_an_older_version_never_overtakes_a_newer_one(server: FaultyServer, arm: ArmClient, seed: int) -> None:
    rng = random.Random(seed)
    keys = [f"k{rng.randrange(12)}" for _ in range(200)]
    items = [customer(key, number, f"{number}") for number, key in enumerate(keys)]
    server.random_faults = RandomFaults(seed, [*AT_RANDOM, "taken_reset", "taken_reset", "taken_500"])
    most = rng.choice([1, 3, 8])
    report, error = await run_to_end(arm.customers.create_many(items, options=options(max_records=most, concurrency=8)))
    check(report, server, keys=keys)
    assert error is None
    for key, versions in server.versions.items():
        # A batch that is sent again comes whole; so its number must not go back, and the last word is the newest version.
        batches = [int(version) // most for version in versions]
        assert batches == sorted(batches), key
        assert int(versions[-1]) == max(map(int, versions))


@pytest.mark.parametrize("seed", range(6))
async def test_order_holds_where_batches_are_split(server: FaultyServer, arm: ArmClient, seed: int) -> None:
    rng = random.Random(seed)
    keys = [f"k{rng.randrange(6)}" for _ in range(64)]
    keys[rng.randrange(64)] = "bad"
    server.bad = {"bad"}
    server.most_records = 12
    items = [customer(key, number, f"{number}") for number, key in enumerate(keys)]
    report, error = await run_to_end(arm.customers.create_many(items, options=options(max_records=64, concurrency=4)), 8)
    states = check(report, server, keys=keys)
    assert error is None
    assert [keys[index] for index, state in states.items() if state == "rejected"] == ["bad"]
    for versions in server.versions.values():
        numbers = [int(version) for version in versions]
        assert numbers == sorted(numbers)


@pytest.mark.parametrize("position", [0, 500, 999])
@pytest.mark.parametrize("status", ["400", "422"])
async def test_one_bad_record_does_not_cost_its_neighbours(server: FaultyServer, arm: ArmClient, position: int, status: str) -> None:
    server.bad = {f"k{position}"}
    report, error = await run_to_end(arm.customers.create_many(records("customers", 1000), options=options(max_records=1000)))
    states = check(report, server)
    assert error is None
    assert report.counts["succeeded"] == 999
    assert states[position] == "rejected"
    assert len(server.writes) <= 4 * ceil(log2(1000)) + 8


@pytest.mark.parametrize("bad", [2, 7, 20])
async def test_requests_for_each_bad_record(server: FaultyServer, arm: ArmClient, bad: int) -> None:
    rng = random.Random(bad)
    server.bad = {f"k{n}" for n in rng.sample(range(1024), bad)}
    report, _ = await run_to_end(arm.customers.create_many(records("customers", 1024), options=options(max_records=256)))
    check(report, server)
    assert report.counts["rejected"] == bad
    assert report.counts["succeeded"] == 1024 - bad
    assert len(server.writes) <= bad * (4 * log2(256) + 8) + 4


async def test_when_all_is_bad_the_run_is_not_taken_apart(server: FaultyServer, arm: ArmClient) -> None:
    server.bad = {f"k{n}" for n in range(512)}
    report, _ = await run_to_end(arm.customers.create_many(records("customers", 512), options=options(max_records=64, concurrency=1)))
    check(report, server)
    assert report.counts["rejected"] == 512
    assert len(server.writes) <= 2 * 64 + 8


@pytest.mark.parametrize(("by", "most"), [("most_records", 17), ("most_bytes", 700)])
@pytest.mark.parametrize("what", ["customers", "documents"])
async def test_too_large_a_batch_is_halved_and_the_ceiling_is_learnt(
    server: FaultyServer, arm: ArmClient, by: str, most: int, what: str
) -> None:
    setattr(server, by, most)
    many = getattr(arm, what).create_many
    report, error = await run_to_end(many(records(what, 400), options=options(max_records=100)))
    check(report, server)
    assert error is None
    assert report.counts["succeeded"] == 400
    assert max(server.taken.values()) == 1
    refused = sum(seen.fault == "413" for seen in server.writes)
    # Each of the batches that were under way before it was learnt is halved until it fits.
    assert refused <= 4 * 16


@pytest.mark.parametrize("what", ["customers", "documents"])
async def test_one_record_that_is_too_large_is_rejected(server: FaultyServer, arm: ArmClient, what: str) -> None:
    server.most_bytes = 300
    items = records(what, 20)
    items[7] = (
        {**records(what, 8)[7], "customerMessage": "x" * 400}
        if isinstance(items[7], dict)
        else b'{"%s":"k7","documentType":"IN","sellerReference":"%s"}'
        % (b"documentNo" if what == "documents" else b"customerNo", b"x" * 400)
    )
    report, error = await run_to_end(getattr(arm, what).create_many(items, options=options()))
    states = check(report, server)
    assert error is None
    assert states[7] == "rejected"
    assert report.counts["succeeded"] == 19


async def test_a_poison_batch_does_not_end_the_run_while_others_go_well(server: FaultyServer, arm: ArmClient) -> None:
    name = "Somebody whose name the server can't bear"
    # A fault is chosen before the body is there: the poison is told by its size.
    poison = len(b'{"customers":[') + 5 * len(b'{"customerNo":"k0","name":""}' + name.encode()) + 4 + len(b"]}")
    server.decide = lambda seen: "body_reset" if int(seen.headers["content-length"]) == poison else "ok"

    async def source() -> Any:
        for number in range(5):
            yield customer(f"k{number}", 0, name)
        for number in range(5, 400):
            await asyncio.sleep(0.002)
            yield customer(f"k{number}", 1)

    report, error = await run_to_end(arm.customers.create_many(source(), options=options(patience=0.3)))
    states = check(report, server)
    assert {states[n] for n in range(5)} == {"unknown"}
    assert error is None, "the server took other batches all the time"
    assert report.counts["succeeded"] == 395


async def test_what_the_server_says_failed_is_failed(server: FaultyServer, arm: ArmClient) -> None:
    server.answer_result = lambda batch: by_record(server, batch, fail=lambda key: key.endswith("3"))
    report, error = await run_to_end(arm.customers.create_many(records("customers", 100), options=options()))
    states = check(report, server)
    assert error is None
    assert {index for index, state in states.items() if state == "failed"} == set(range(3, 100, 10))
