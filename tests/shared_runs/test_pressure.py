"""What runs in several processes know together of the server: how long it asks to wait, how much it bears, failures, who asks it again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amili_arm_async import ArmClient, BulkError, BulkOptions
from amili_arm_async.bulk import pressure
from amili_arm_async.bulk.limits import AdaptiveConcurrency
from amili_arm_async.bulk.slots import share_of
from amili_arm_async.database.url import DatabaseUrl
from amili_arm_async.postgres.pressure import Account, Beat, PartCount, PressureTable, Shared
from amili_arm_async.postgres.schema import prepare_schema
from amili_arm_async.sandbox import Fault, Sandbox
from amili_arm_async.transport import Transport

from ..support.postgres import Server, pooled
from ..support.sandbox_runs import awaited, client_of, invoices, quick, until
from .samples import PARTS, RUN_ID, own
from .test_processes import Workers

SOON = 0.05

ACCOUNT = Account("https://arm.example/arm/v1", 2218)


# --- shares ---------------------------------------------------------------------------------------------------------------

WANTS = st.dictionaries(st.sampled_from("abcdefghij"), st.integers(0, 40), min_size=1)


@given(wants=WANTS, total=st.floats(0, 300), turn=st.integers(0, 1000))
def test_shares_add_up_to_the_total_and_nobody_is_favoured(wants: dict[str, int], total: float, turn: int) -> None:
    shares = {me: share_of(me, wants, total, turn) for me in wants}
    assert sum(shares.values()) == max(1, int(total))
    if total >= len(wants):
        assert min(shares.values()) >= 1
    else:
        assert max(shares.values()) <= 1 or sum(map(bool, wants.values())) < total
    for one, share in shares.items():
        for other, more in shares.items():
            # Who gets less by more than a remainder has what it wants.
            assert share >= more - 1 or share == 0 or share >= wants[one] or shares[other] <= max(1, wants[other])
            if min(wants[one], wants[other]) >= max(shares.values()) and total >= len(wants):
                assert abs(share - more) <= 1


@given(
    wants=st.dictionaries(st.sampled_from("abcdefghij"), st.integers(1, 40), min_size=2), total=st.integers(1, 8), turn=st.integers(0, 99)
)
def test_where_there_is_less_than_one_for_each_all_have_their_turn(wants: dict[str, int], total: int, turn: int) -> None:
    had = {me for me in wants for later in range(len(wants)) if share_of(me, wants, total, turn + later)}
    assert had == set(wants)


def test_a_limited_run_learns_nothing_and_backs_off_from_its_share() -> None:
    changed: list[int] = []
    concurrency = AdaptiveConcurrency(None, lambda: 100.0, lambda: changed.append(concurrency.limit))
    concurrency.limit_to(4, together=True)
    for _ in range(200):
        concurrency.on_accepted(0.01)
    assert (concurrency.limit, concurrency.own_limit) == (4, 8)
    concurrency.back_off()
    assert (concurrency.limit, concurrency.own_limit) == (2, 2)
    concurrency.limit_to(0, together=True)
    assert concurrency.limit == 0
    concurrency.limit_to(None, together=True)
    assert concurrency.limit == 2
    assert changed == [4, 2, 0, 2]


# --- the row --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def row(database: str, postgres: Server) -> Iterator[Any]:
    """Makes members of an account, by name; their beats are far apart."""
    prepare_schema(DatabaseUrl(database), "journal")
    with contextlib.ExitStack() as members:

        def member(name: str, account: Account = ACCOUNT, beat: float = 60.0) -> PressureTable:
            table = PressureTable(DatabaseUrl(database), account, name, beat)
            table.enter()
            members.callback(table.leave, Beat())
            return table

        yield member


def told(member: PressureTable, **beat: Any) -> Shared:
    found = member.beat(Beat(**beat))
    assert found is not None
    return found


def test_the_longest_wait_holds_all_and_no_clock_but_that_of_the_database_counts(row: Any, postgres: Server) -> None:
    one, other, stranger = row("a"), row("b"), row("c", Account(ACCOUNT.base_url, 2219))
    assert told(one).held == 0
    assert 29 < told(one, held=30.0).held <= 30
    assert 29 < told(other, held=5.0).held <= 30
    assert 99 < told(other, held=100.0).held <= 100
    assert 99 < told(one).held <= 100
    assert told(stranger).held == 0
    # The clock of the database was set back.
    postgres.execute("UPDATE amili_arm.pressure SET held_until = held_until + 1e6, beaten = beaten + 1e6")
    assert told(one).held == 0


def test_too_much_anywhere_lowers_the_total_once_until_all_know(row: Any, postgres: Server) -> None:
    one, other = row("a"), row("b")

    def later(beats: float) -> None:
        postgres.execute(f"UPDATE amili_arm.pressure SET lowered = lowered - {beats * 60}")

    assert told(one, wants=8, uses=8).total is None
    assert told(other, wants=8, uses=8, overloaded=True).total == 8, "nobody knew of the others"
    assert told(one, wants=8, uses=8, overloaded=True).total == 8
    later(2)
    assert told(one, wants=8, uses=8, overloaded=True).total == 6, "it is still far too much"
    later(4)
    postgres.execute("UPDATE amili_arm.pressure SET beaten = beaten - 1")
    assert 6.4 < (told(one, wants=8, uses=8).total or 0) <= 0.95 * 8, "it comes back soon"
    postgres.execute("UPDATE amili_arm.pressure SET beaten = beaten - 30")
    assert told(one, wants=8, uses=8).total == pytest.approx(0.95 * 8), "but not to what was too much"
    later(10)
    postgres.execute("UPDATE amili_arm.pressure SET beaten = beaten - 10")
    assert 10 < (told(one, wants=8, uses=4).total or 0) < 14, "it is tried again"
    assert told(one, wants=8, uses=2, overloaded=True).total == 0.95 * 10, "only what was sent at once counts"
    later(4)
    assert told(one, wants=8, uses=2, overloaded=True, is_paced=True).total == 0.95 * 10, "now and then, a wait is enough"
    for _ in range(6):
        later(2)
        least = told(one, wants=8, uses=8, overloaded=True, is_paced=True).total
    assert least == 4
    for _ in range(9):
        later(2)
        least = told(one, wants=8, uses=8, overloaded=True).total
    assert least == 1
    # After a night, nothing of it is left.
    postgres.execute("UPDATE amili_arm.pressure SET beaten = beaten - 90000")
    assert told(one).total is None


def test_who_misses_beats_or_leaves_does_not_count(row: Any, postgres: Server) -> None:
    one, other, third = row("a"), row("b"), row("c")
    for member in (one, other, third):
        found = told(member, wants=3)
    assert {name: member.wants for name, member in found.members.items()} == {"a": 3, "b": 3, "c": 3}
    other.leave(Beat())
    late = "jsonb_set(members, '{c,until}', to_jsonb(extract(epoch FROM clock_timestamp())::float8 - 1))"
    postgres.execute(f"UPDATE amili_arm.pressure SET members = {late}")
    assert told(one, wants=3).members.keys() == {"a"}
    assert told(third, wants=3).members.keys() == {"a", "c"}, "it comes back with its next beat"


def test_one_asks_the_server_for_all_until_it_has_answered_since(row: Any, postgres: Server) -> None:
    one, other, customers = row("a"), row("b"), row("c")
    found = told(one, may_probe=True, finds_unknown=True)
    assert (found.is_unanswered, found.prober) == (True, "a")
    assert told(customers).prober == "a"
    # Another unknown outcome: an answer from before does not count.
    assert told(other, may_probe=True, finds_unknown=True).prober == "a"
    assert told(one, may_probe=True, answered=3600.0).is_unanswered
    # Whoever leaves or dies is replaced by one that sends documents.
    one.leave(Beat())
    assert told(customers).prober is None
    assert told(other, may_probe=True).prober == "b"
    found = told(other, may_probe=True, answered=0.0)
    assert (found.is_unanswered, found.prober) == (False, None)


def test_failures_of_a_part_are_those_of_its_last_attempt_until_nobody_goes_on(row: Any, postgres: Server) -> None:
    def part(number: int, name: str) -> PressureTable:
        made: PressureTable = row(name, msgspec.structs.replace(ACCOUNT, part=PartCount(RUN_ID, "documents.create_batch", number)))
        return made

    one, other = part(0, "a"), part(1, "b")
    assert told(one, counts=True, failures=3, settled=10).failures == 0
    found = told(other, counts=True, failures=4, settled=20)
    assert (found.failures, found.settled) == (3, 10)
    again = part(0, "c")
    assert again.enter() == (7, 30)
    assert told(again, failures=0, settled=0).failures == 4
    assert told(other, counts=True, failures=4, settled=20).failures == 3, "what does not count leaves what was"
    assert told(again, counts=True, failures=1, settled=1).failures == 4
    assert told(other, counts=True, failures=4, settled=20).failures == 1
    elsewhere = msgspec.structs.replace(ACCOUNT, base_url="https://elsewhere", part=PartCount(RUN_ID, "documents.create_batch", 2))
    assert row("e", elsewhere).enter() == (0, 0), "an address knows nothing of another one"
    postgres.execute("UPDATE amili_arm.failures SET seen = seen - 1000")
    assert part(2, "d").enter() == (0, 0)


def test_beats_go_through_pgbouncer(row: Any, postgres: Server) -> None:
    one = row("a")
    with pooled(postgres) as url:
        other = PressureTable(DatabaseUrl(url), ACCOUNT, "b", 60.0)
        other.enter()
        assert told(other, held=100.0).members.keys() == {"b"}
        assert told(one).held > 90
        assert told(other).members.keys() == {"a", "b"}
        other.leave(Beat())
    assert told(one).members.keys() == {"a"}


def test_a_row_that_is_gone_is_made_again(row: Any, postgres: Server) -> None:
    one = row("a")
    postgres.execute("DELETE FROM amili_arm.pressure")
    assert one.beat(Beat()) is None
    one.enter()
    assert told(one).members.keys() == {"a"}


# --- runs -----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pressure, "BEAT", SOON)


@pytest.fixture
async def other(sandbox: Sandbox) -> AsyncIterator[ArmClient]:
    async with client_of(sandbox) as arm:
        yield arm


@contextlib.asynccontextmanager
async def going_on(run: Any) -> AsyncIterator[asyncio.Task[Any]]:
    """A run in the background; what is left of it is cancelled."""
    task = asyncio.create_task(awaited(run))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def on_account(database: str, run_id: str, **settings: Any) -> BulkOptions:
    return quick(**{"journal": database, "run_id": run_id, "max_records": 1, "patience": 600.0, **settings})


@pytest.mark.usefixtures("quickly")
async def test_a_retry_after_that_one_process_got_holds_another_run_of_the_account(
    arm: ArmClient, other: ArmClient, sandbox: Sandbox, database: str
) -> None:
    """The other run is another one, without parts."""
    goes_on, trouble = asyncio.Event(), asyncio.Queue[str]()

    async def source() -> AsyncIterator[dict[str, Any]]:
        yield invoices(1)[0]
        await goes_on.wait()
        for document in invoices(3, start=1):
            yield document

    def progress(found: Any) -> None:
        if found.trouble is not None:
            trouble.put_nowait(found.trouble)

    held = other.documents.create_many(source(), options=on_account(database, "held", on_progress=progress))
    async with going_on(held):
        await until(lambda: sandbox.documents.total_taken == 1)
        sandbox.inject(Fault.status(429, retry_after=300), method="POST")
        async with going_on(arm.documents.create_many(invoices(1, start=10), options=on_account(database, "seen"))):
            assert await asyncio.wait_for(trouble.get(), 10) == "told_another_process_to_wait"
            goes_on.set()
            await until(lambda: held.report.totals.records_read == 4)
            # A third process, which begins now, is held too.
            late = other.for_client(2218).documents.create_many(invoices(1, start=20), options=on_account(database, "late"))
            async with going_on(late):
                await until(lambda: late.report.totals.records_read == 1)
                assert sandbox.documents.total_taken == 1
    assert 295 < held.report.held_by_others <= 301


@pytest.mark.usefixtures("quickly")
async def test_runs_get_their_share_and_a_429_anywhere_lowers_it(
    arm: ArmClient, other: ArmClient, sandbox: Sandbox, database: str, postgres: Server
) -> None:
    sandbox.inject(Fault.latency(0.3), method="POST", times=None)
    prepare_schema(DatabaseUrl(database), "journal")
    runs = [
        client.documents.create_many(invoices(400, start), options=on_account(database, name, concurrency=8))
        for client, name, start in ((arm, "a", 0), (other, "b", 400))
    ]

    def limits() -> list[int]:
        return [run._runner._workers.concurrency.limit for run in runs]

    async with going_on(runs[0]), going_on(runs[1]):
        await until(lambda: sandbox.documents.total_taken > 16)
        assert limits() == [8, 8]
        sandbox.inject(Fault.status(429), method="POST")
        await until(lambda: sum(limits()) <= 8)
        # As if many more were there: they have to take turns.
        postgres.execute("UPDATE amili_arm.pressure SET total = 1, peak = 1, lowered = extract(epoch FROM clock_timestamp())")
        await until(lambda: sorted(limits()) == [0, 1])
        waiting = limits().index(0)
        await until(lambda: limits()[waiting] == 1)


@pytest.mark.usefixtures("quickly")
async def test_failures_of_all_parts_count_together_and_a_retry_of_the_engine_does_not_start_again(
    arm: ArmClient, other: ArmClient, sandbox: Sandbox, database: str
) -> None:
    for document in own(0):
        sandbox.reject_record(document["documentNo"])
    goes_on = asyncio.Event()

    async def slow() -> AsyncIterator[dict[str, Any]]:
        yield own(1)[0]
        await goes_on.wait()
        for document in own(1)[1:]:
            yield document

    options = quick(max_records=1, stop_after_failures=6, concurrency=1)
    async with (
        arm.documents.shared_run(database, run_id=RUN_ID, parts=PARTS, options=options) as first,
        other.documents.shared_run(database, run_id=RUN_ID, parts=PARTS, options=options) as second,
    ):
        stopped = second.send_part(1, slow())
        async with going_on(stopped) as task:
            await until(lambda: sandbox.documents.total_taken == 1)
            with pytest.raises(BulkError, match=r"6 of .* did not succeed"):
                await first.send_part(0, own(0))
            with pytest.raises(BulkError, match="of all parts of the run did not succeed, and stop_after_failures is 6"):
                await asyncio.wait_for(asyncio.shield(task), 10)
        before = sandbox.documents.total_taken
        for part in (0, 2):
            with pytest.raises(BulkError, match="stop_after_failures is 6"):
                await second.send_part(part, own(part))
        assert sandbox.documents.total_taken == before
    # The operator says how much more is all right.
    more = quick(max_records=1, stop_after_failures=1000)
    async with arm.documents.shared_run(database, run_id=RUN_ID, parts=PARTS, options=more) as run:
        assert (await run.send_part(2, own(2))).ok


@pytest.mark.usefixtures("quickly")
async def test_after_an_unknown_outcome_one_process_asks_and_the_others_wait(
    arm: ArmClient, other: ArmClient, sandbox: Sandbox, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Transport] = []
    ask = Transport.ask

    async def noted(self: Transport, request: Any, **settings: Any) -> Any:
        if "customers" in request.path:
            asked.append(self)
        return await ask(self, request, **settings)

    monkeypatch.setattr(Transport, "ask", noted)
    goes_on = asyncio.Event()

    async def source() -> AsyncIterator[dict[str, Any]]:
        yield invoices(1)[0]
        await goes_on.wait()
        for document in invoices(3, start=1):
            yield document

    waiting = other.documents.create_many(source(), options=on_account(database, "waits"))
    control = waiting._runner._control
    async with going_on(waiting) as task:
        await until(lambda: sandbox.documents.total_taken == 1)
        sandbox.inject(Fault.status(502), method="POST")
        sandbox.inject(Fault.status(503), method="GET", path="/customers", times=None)
        asking = arm.documents.create_many(invoices(2, start=10), options=on_account(database, "asks", concurrency=1))
        async with going_on(asking) as first:
            await until(lambda: not control.may_send)
            goes_on.set()
            await until(lambda: waiting.report.totals.records_read == 4 and len(asked) > 3)
            assert sandbox.documents.total_taken == 1
            assert set(asked) == {arm._context.transport}
            # Whoever asks dies: another one does in its place.
            first.cancel()
            await until(lambda: other._context.transport in asked)
        sandbox.clear_faults()
        report = await asyncio.wait_for(task, 10)
    assert report.counts["succeeded"] == 4


@pytest.mark.usefixtures("quickly")
async def test_a_row_that_nobody_lets_go_holds_no_run(arm: ArmClient, sandbox: Sandbox, database: str, log_records: Any) -> None:
    prepare_schema(DatabaseUrl(database), "journal")
    with psycopg.connect(database) as frozen:
        frozen.execute("LOCK TABLE amili_arm.pressure")
        report = await arm.documents.create_many(invoices(20), options=on_account(database, "goes on"))
    assert report.ok
    assert sum("what other processes see" in record.getMessage() for record in log_records) == 1


@pytest.fixture
async def workers(database: str, sandbox: Sandbox) -> AsyncIterator[Workers]:
    made = Workers(database, sandbox)
    yield made
    await made.end()


async def test_processes_share_what_the_server_said(arm: ArmClient, sandbox: Sandbox, database: str, workers: Workers) -> None:
    """One process is told to wait for long, and another one, which is never told, sends nothing."""
    sandbox.inject(Fault.status(429, retry_after=120), method="POST")
    async with arm.documents.shared_run(database, run_id=RUN_ID, parts=PARTS, options=quick(patience=600.0)) as run:
        waits = run.send_part(0, own(0))
        async with going_on(waits):
            gate = arm._pressure.gate
            await until(lambda: gate.remaining > 0)
            said = await (await workers.start(part=1, patience=30.0)).result()
    assert "the server accepted nothing for 30 s" in said["error"]
    assert said["counts"] == {"not_sent": len(own(1))}
    assert sandbox.documents.total_taken == 0
