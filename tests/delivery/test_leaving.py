"""A run that is left, broken off or cancelled at any moment: the report is right, and nothing goes on behind the caller's back."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from amili_arm_async import ArmClient, BulkError, BulkOptions, Limits

from ..support.faulty_api import FaultyServer, RandomFaults
from ..support.faulty_runs import check, check_once, customer, ends, in_form, make_client, options, records, run_to_end
from ..support.http_server import Answer
from ..support.wire_faults import WHOLE_BODY, WireFault

FAULTS_THEN = ["taken_reset", "half_reset", "drops", "taken_500", "429", "null_uuid", "cut_body", "503_wait", "408", "head_reset"]


class BoomError(Exception):
    """An error of the caller's."""


@pytest.mark.parametrize("what", ["customers", "documents"])
@pytest.mark.parametrize("results", ["wait", "accepted"])
@pytest.mark.parametrize("how", ["break", "error", "cancel"])
async def test_leaving_the_loop(server: FaultyServer, arm: ArmClient, what: str, results: str, how: str) -> None:
    made = options(results=results, max_records=3)
    run = getattr(arm, what).create_many(in_form(records(what, 300), "generator"), options=made)

    async def program() -> None:
        count = 0
        async with run:
            async for outcome in run:
                count += len(outcome)
                if count >= 30:
                    if how == "break":
                        break
                    if how == "error":
                        raise BoomError
                    asyncio.current_task().cancel()  # type: ignore[union-attr]
                    await asyncio.sleep(0)

    expected = {"break": None, "error": BoomError, "cancel": asyncio.CancelledError}[how]
    if expected is None:
        await ends(program())
    else:
        with pytest.raises(expected):
            await ends(program())
    check(run.report, server, accepted_is_enough=results == "accepted")
    check_once(server)
    assert run.report.totals.records_read < 300
    writes = len(server.writes)
    server.release()
    await arm.aclose()
    await server.all_closed()
    assert len(server.writes) == writes


@pytest.mark.parametrize("what", ["customers", "documents"])
@pytest.mark.parametrize("seed", range(14))
async def test_cancelled_at_a_moment_that_the_server_chooses(server: FaultyServer, arm: ArmClient, what: str, seed: int) -> None:
    rng = random.Random(seed)
    server.random_faults = RandomFaults(seed, FAULTS_THEN)
    task: asyncio.Task[Any]
    moment, turns = rng.randrange(1, 25), rng.randrange(0, 12)

    def at(_: object) -> None:
        if len(server.writes) == moment:
            later(turns)

    def later(left: int) -> None:
        if left:
            asyncio.get_running_loop().call_soon(later, left - 1)
        else:
            task.cancel()

    server.on_write = at
    made = options(max_records=rng.choice([1, 4]), results=rng.choice(["wait", "accepted"]), concurrency=rng.choice([1, 4, 8]))
    run = getattr(arm, what).create_many(in_form(records(what, 200), rng.choice(["list", "generator", "async"])), options=made)

    async def awaited() -> None:
        await run

    async def entered() -> None:
        async with run:
            async for _ in run:
                await asyncio.sleep(0)

    task = asyncio.create_task(rng.choice([awaited, entered])())
    with pytest.raises(asyncio.CancelledError):
        await ends(task)
    check(run.report, server, accepted_is_enough=made.results == "accepted")
    if what == "documents":
        check_once(server)
    assert not [other for other in asyncio.all_tasks() if "BulkRunner" in repr(other.get_coro())]


@pytest.mark.parametrize("how", ["twice", "many times", "scope"])
@pytest.mark.parametrize("where", ["in the loop", "at the end"])
async def test_no_task_is_left_however_often_it_is_cancelled(server: FaultyServer, arm: ArmClient, how: str, where: str) -> None:
    """A scope of anyio cancels at each turn of the loop."""
    server.answer_result = lambda _: Answer(202, {})
    run = arm.documents.create_many(in_form(records("documents", 20), "async"), options=options(max_records=1))
    scope = anyio.CancelScope()
    done = []

    async def program() -> None:
        with scope:
            async with run:
                if where == "in the loop":
                    async for _ in run:
                        pass
        done.append(scope.cancelled_caught)

    def cancel(times: int) -> None:
        task.cancel()
        if times > 1:
            asyncio.get_running_loop().call_soon(cancel, times - 1)

    task = asyncio.create_task(program())
    while len(server.writes) < 3 and not task.done():
        await asyncio.sleep(0)
    if how == "scope":
        scope.cancel()
        await ends(task)
        assert done == [True]
    else:
        cancel({"twice": 2, "many times": 30}[how])
        with pytest.raises(asyncio.CancelledError):
            await ends(task)
    assert not [other for other in asyncio.all_tasks() if "BulkRunner" in repr(other.get_coro())]
    check(run.report, server)
    check_once(server)


async def test_cancelled_while_the_loop_lags_behind(server: FaultyServer, arm: ArmClient) -> None:
    """Outcomes wait to be taken, also those of records that could not be sent."""
    taken = asyncio.Event()
    run = arm.customers.create_many([{"customerNo": f"k{n}", "name": float("nan")} for n in range(60)], options=options())

    async def program() -> None:
        async with run:
            async for _ in run:
                taken.set()
                await asyncio.Event().wait()

    task = asyncio.create_task(program())
    await ends(taken.wait())
    for _ in range(20):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ends(task)
    check(run.report, server)


@pytest.mark.parametrize("how", ["break", "refused", "cancel"])
async def test_a_source_that_waits_does_not_keep_a_run_that_has_stopped(server: FaultyServer, arm: ArmClient, how: str) -> None:
    """A queue-fed source has nothing to give for an hour; the run was left, or can't go on."""
    never = asyncio.Event()
    closed = asyncio.Event()

    async def source() -> AsyncIterator[Any]:
        try:
            for number in range(10):
                yield customer(f"k{number}", number)
            await never.wait()
            yield customer("k10")
        finally:
            closed.set()

    if how == "refused":
        server.decide = lambda _: "403"
    run = arm.customers.create_many(source(), options=options())

    async def program() -> None:
        async with run:
            async for _ in run:
                if how == "break":
                    break
                if how == "cancel":
                    asyncio.current_task().cancel()  # type: ignore[union-attr]
                    await asyncio.sleep(0)

    try:
        await ends(program(), 3)
    except BulkError:
        assert how == "refused"
    except asyncio.CancelledError:
        assert how == "cancel"
    check(run.report, server)
    await ends(closed.wait(), 1)


@pytest.mark.parametrize("what", ["customers", "documents"])
async def test_two_runs_at_once_on_one_client(server: FaultyServer, arm: ArmClient, what: str) -> None:
    server.random_faults = RandomFaults(5, FAULTS_THEN, most=25)
    made = options(max_records=4)
    first = arm.customers.create_many(records("customers", 150, start=1000), options=made)
    second = getattr(arm, what).create_many(in_form(records(what, 150), "async"), options=made)
    (one, error), (two, other) = await asyncio.gather(run_to_end(first), run_to_end(second))
    assert error is None
    assert other is None
    check(one, server, start=1000)
    check(two, server)
    if what == "documents":
        assert not [key for key, count in server.taken.items() if count > 1 and int(key[1:]) < 1000]
    assert one.counts["succeeded"] == 150


async def test_a_run_inside_the_loop_of_another(server: FaultyServer) -> None:
    """for each batch of customers that succeeded, their documents: one client, few places for open batches."""
    async with make_client(server, limits=Limits(open_batches=4)) as arm:
        made = options(max_records=1, concurrency=4)
        customers = arm.customers.create_many(records("customers", 60), options=made)

        async def program() -> int:
            count = 0
            async with customers as run:
                async for outcome in run:
                    for _ in outcome:
                        report = await arm.documents.create_many(records("documents", 1, start=1000 + count), options=made)
                        assert report.counts["succeeded"] == 1
                        count += 1
            return count

        assert await ends(program(), 10) == 60
    check(customers.report, server)
    await server.all_closed()


@pytest.mark.parametrize("form", ["list", "generator", "async"])
@pytest.mark.parametrize("what", ["customers", "documents"])
async def test_a_source_that_raises(server: FaultyServer, arm: ArmClient, form: str, what: str) -> None:
    server.random_faults = RandomFaults(3, FAULTS_THEN, most=5)

    class Raising(list):  # type: ignore[type-arg]
        def __iter__(self) -> Any:
            yield from records(what, 77)
            raise BoomError("Ola Nordmann 01017012345")

    async def waiting() -> AsyncIterator[Any]:
        for item in Raising():
            yield item

    source = {"list": Raising([0] * 100), "generator": iter(Raising()), "async": waiting()}[form]
    run = getattr(arm, what).create_many(source, options=options())
    report, error = await run_to_end(run)
    assert error is not None
    assert isinstance(error.__cause__, BoomError)
    assert "Nordmann" not in str(error)
    assert report.totals.records_read == 77
    check(report, server)
    check_once(server) if what == "documents" else None


async def test_a_list_that_raises_after_the_run_has_ended(server: FaultyServer, arm: ArmClient) -> None:
    """The rest of a source with a length is named; where it can't be read, the report is there all the same."""
    server.decide = lambda _: "403"

    class Raising(list):  # type: ignore[type-arg]
        def __iter__(self) -> Any:
            yield from records("customers", 300)
            raise BoomError

    run = arm.customers.create_many(Raising([0] * 400), options=options())
    report, error = await run_to_end(run)
    assert error is not None
    check(report, server)
    assert report.totals.records_read >= 20


@pytest.mark.parametrize("status", ["403", "404", "405", "415", "301", "307", "308"])
@pytest.mark.parametrize("what", ["customers", "documents"])
async def test_refusals_that_are_about_the_call_end_the_run(server: FaultyServer, arm: ArmClient, status: str, what: str) -> None:
    server.decide = lambda seen: status if len(server.writes) > 10 else "ok"
    report, error = await run_to_end(getattr(arm, what).create_many(records(what, 200), options=options()))
    assert error is not None
    assert report.totals.records_read == 200
    check(report, server)
    assert report.counts["not_sent"] >= 140
    assert report.counts["succeeded"] == 50
    assert len(server.writes) < 20


async def test_patience_ends_where_the_server_takes_nothing(server: FaultyServer, arm: ArmClient) -> None:
    server.decide = lambda _: "503_wait"
    for what in ("customers", "documents"):
        run = getattr(arm, what).create_many(records(what, 40), options=options(patience=0.2))
        report, error = await run_to_end(run)
        states = check(report, server)
        if what == "customers":
            assert error is not None
            assert set(states.values()) == {"unknown", "not_sent"}
    check_once(server)


@pytest.mark.parametrize("limit", [{"connections": 1}, {"bytes_in_flight": 200}])
async def test_an_outage_costs_only_the_documents_on_the_wire(server: FaultyServer, limit: dict[str, int]) -> None:
    """After an unknown outcome no new unsafe batch starts before a cheap read is answered; also none that waits at the limits."""
    async with make_client(server, limits=Limits(**limit)) as arm:
        server.faults.append("body_reset")
        report, error = await run_to_end(arm.documents.create_many(records("documents", 50), options=options(concurrency=8)))
        assert error is None
        check(report, server)
        assert report.counts["unknown"] == 5
        assert [seen.what for seen in server.seen[:2]] == ["documents/batches", "customers"]
    await server.all_closed()


@pytest.mark.parametrize("limit", [{"connections": 1}, {"bytes_in_flight": 200}])
async def test_retry_after_holds_also_those_that_wait_at_the_limits(server: FaultyServer, limit: dict[str, int]) -> None:
    async with make_client(server, limits=Limits(**limit)) as arm:
        first: list[float] = []
        early: list[float] = []

        def at(_: object) -> None:
            now = asyncio.get_running_loop().time()
            if not first:
                first.append(now)
            elif now < first[0] + 0.18:
                early.append(now - first[0])

        server.on_write = at
        server.faults.append(WireFault(WHOLE_BODY, "429", answer=Answer(429, {}, (("Retry-After", "0.2"),))))
        report, error = await run_to_end(arm.documents.create_many(records("documents", 50), options=options(concurrency=8)))
        assert error is None
        check(report, server)
        assert not early
    await server.all_closed()


async def test_the_client_is_closed_under_a_run(server: FaultyServer, arm: ArmClient) -> None:
    server.decide = lambda _: "body_stall" if len(server.writes) > 5 else "ok"
    run = arm.documents.create_many(records("documents", 100), options=options())
    task = asyncio.create_task(run_to_end(run))
    reached = asyncio.Event()
    server.on_write = lambda _: reached.set() if len(server.writes) > 7 else None
    await ends(reached.wait())
    await arm.aclose()
    report, error = await ends(task)
    assert error is not None
    check(report, server, accepted_is_enough=False)
    check_once(server)


@pytest.mark.parametrize("retry_after", ["3600", "86400"])
async def test_a_wait_beyond_the_patience_ends_the_run_also_when_all_is_sent(
    server: FaultyServer, arm: ArmClient, retry_after: str
) -> None:
    server.answer_result = lambda _: Answer(429, {}, (("Retry-After", retry_after),))
    run = arm.customers.create_many(records("customers", 10), options=options(patience=0.3, deadline=0.3))
    report, _ = await run_to_end(run, 5)
    states = check(report, server)
    assert set(states.values()) == {"accepted"}


async def test_a_hint_when_to_ask_again_holds_nobody_who_sends(server: FaultyServer, arm: ArmClient) -> None:
    """`Retry-After` on the 202 of GET batch says when the result may be there, and nothing of what may be sent."""
    asked: set[str] = set()

    def result(batch: Any) -> Answer:
        if batch.uuid not in asked:
            asked.add(batch.uuid)
            return Answer(202, {"status": "NOT-PROCESSED"}, (("Retry-After", "60"),))
        return Answer(200, {"status": "PROCESSED", "result": "SUCCESS"})

    server.answer_result = result
    server.said_succeeded.update(f"k{n}" for n in range(100))
    made = options(patience=0.5, concurrency=1, max_records=2)
    report, error = await run_to_end(arm.customers.create_many(records("customers", 100), options=made))
    assert error is None
    check(report, server)
    assert report.counts["succeeded"] == 100


async def test_on_progress_that_raises_costs_nothing(server: FaultyServer, arm: ArmClient) -> None:
    def broken(_: object) -> None:
        raise BoomError

    report, error = await run_to_end(arm.customers.create_many(records("customers", 40), options=options(on_progress=broken)))
    assert error is None
    assert report.counts["succeeded"] == 40


def test_options_that_can_not_work_are_refused() -> None:
    for wrong in ({"max_records": 0}, {"patience": -1}, {"poll_max": 0}, {"bisect": "maybe"}):
        with pytest.raises(ValueError, match="BulkOptions"):
            BulkOptions(**wrong)  # type: ignore[arg-type]
