"""What is pruned of shared runs and nights: a run as a whole with its customers, or nothing of it, and no other run."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from amili_arm_async import (
    ArmClient,
    ConfigurationError,
    JournalError,
    prune_journal,
    read_journal,
)
from amili_arm_async.bulk.journal.postgres import prune
from amili_arm_async.database.url import database_url
from amili_arm_async.resources.bulk import CUSTOMERS, BulkWrites
from amili_arm_async.resources.shared_night import night_of_customers
from amili_arm_async.sandbox import Fault, Sandbox

from ..support.postgres import Server
from ..support.sandbox_runs import invoice, plan, quick, send, until
from .samples import DOCUMENTS, PARTS, RUN_ID, own

ALL = {"older_than": 0.0, "unfinished": True, "with_failures": True}

Kept = list[tuple[str, str, dict[str, int], list[str]]]


def shared(arm: ArmClient, database: str, run_id: str = RUN_ID) -> Any:
    return arm.documents.shared_run(database, run_id=run_id, parts=PARTS, options=quick())


async def send_parts(arm: ArmClient, database: str, *parts: int, run_id: str = RUN_ID) -> None:
    async with shared(arm, database, run_id) as run:
        for part in parts:
            await run.send_part(part, own(part))


async def pruned(database: str, **more: Any) -> tuple[int, Kept]:
    kept: Kept = []
    number = await prune_journal(
        database,
        **{"older_than": 0.0, **more},
        on_kept=lambda run, why: kept.append((run.run_id, run.operation.partition(".")[0], dict(run.counts), list(why))),
    )
    return number, kept


async def left(database: str) -> list[str]:
    return [run.run_id for run in await read_journal(database)]


def rows(postgres: Server, *tables: str) -> dict[str, int]:
    counts = ", ".join(f"(SELECT count(*) FROM amili_arm.{table})" for table in tables)
    return {table: int(number) for table, number in zip(tables, postgres.execute(f"SELECT {counts}")[0], strict=True)}


# --- a shared run ---------------------------------------------------------------------------------------------------------


async def test_what_keeps_a_part_keeps_all_of_them(arm: ArmClient, sandbox: Sandbox, database: str) -> None:
    number = own(1)[0]["documentNo"]
    sandbox.reject_record(number, "no such district")
    await send_parts(arm, database, *range(PARTS))
    counts = {"succeeded": len(DOCUMENTS) - 1, "failed": 1}
    assert await pruned(database) == (0, [(RUN_ID, "documents", counts, ["failures"])])
    async with shared(arm, database) as run:
        assert (await run.report()).counts == counts
        assert [failure.key async for failure in run.failures()] == [number]
    sandbox._ledger().rejects.clear()
    await send_parts(arm, database, *range(PARTS))
    async with shared(arm, database) as run:
        assert (await run.report()).ok
    assert {sandbox.documents.taken(document["documentNo"]) for document in DOCUMENTS if document["documentNo"] != number} == {1}


async def test_a_run_is_removed_with_all_its_parts(arm: ArmClient, sandbox: Sandbox, database: str, postgres: Server) -> None:
    await send_parts(arm, database, *range(PARTS))
    assert await pruned(database) == (1, [])
    assert await left(database) == []
    tables = ("batches", "records", "bodies", "reports", "failures")
    assert rows(postgres, *tables) == dict.fromkeys(tables, 0)
    text = rf"the run '{RUN_ID}' \(documents.create_batch\) of .* was pruned on"
    with pytest.raises(JournalError, match=text):
        await send_parts(arm, database, 0)
    with pytest.raises(JournalError, match=text):
        await send(arm, DOCUMENTS[:1], journal=database, run_id=RUN_ID)
    with pytest.raises(JournalError, match=text):
        await arm.documents.reconcile(database, run_id=RUN_ID, settle=0)
    # Its numbers are still known.
    again = await send(arm, DOCUMENTS[:1], journal=database, run_id="another run")
    assert again.counts["invalid"] == 1
    assert sandbox.documents.total_taken == len(DOCUMENTS)
    assert await pruned(database, run_id=RUN_ID) == (0, [])


async def test_a_run_is_unfinished_while_a_part_was_not_begun(arm: ArmClient, database: str) -> None:
    await send_parts(arm, database, 0, 2, 3)
    counts = {"succeeded": sum(len(own(part)) for part in (0, 2, 3))}
    assert await pruned(database) == (0, [(RUN_ID, "documents", counts, ["unfinished"])])
    assert await pruned(database, older_than=86_400.0) == (0, [(RUN_ID, "documents", counts, ["unfinished", "recent"])])
    async with shared(arm, database, "never begun"):
        pass
    await send_parts(arm, database, 1)
    assert await pruned(database) == (1, [("never begun", "documents", {}, ["unfinished"])])
    assert await pruned(database, unfinished=True) == (1, [])


async def test_no_part_is_removed_while_one_is_being_sent(arm: ArmClient, database: str) -> None:
    is_read, goes_on = asyncio.Event(), asyncio.Event()

    async def source() -> Any:
        is_read.set()
        await goes_on.wait()
        for document in own(3):
            yield document

    await send_parts(arm, database, 0, 1, 2)
    async with shared(arm, database) as run:
        task = asyncio.ensure_future(run.send_part(3, source()))
        await is_read.wait()
        number, kept = await pruned(database, **ALL)
        assert (number, [(run_id, why) for run_id, _, _, why in kept]) == (0, [(RUN_ID, ["running"])])
        goes_on.set()
        await task
        assert (await run.report()).ok
    assert await pruned(database) == (1, [])


async def test_a_part_that_is_begun_while_its_run_is_removed_sends_nothing(
    arm: ArmClient, sandbox: Sandbox, database: str, postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    await send_parts(arm, database, 0, 1, 2)
    loop, remove = asyncio.get_running_loop(), prune._remove
    begun: list[Any] = []

    def is_waiting() -> bool:
        return bool(postgres.execute("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"))

    def begin_and_remove(*arguments: Any) -> None:
        begun.append(asyncio.run_coroutine_threadsafe(begin(), loop))
        asyncio.run_coroutine_threadsafe(until(is_waiting), loop).result()
        remove(*arguments)

    async with shared(arm, database) as run:

        async def begin() -> None:
            await run.send_part(3, own(3))

        monkeypatch.setattr(prune, "_remove", begin_and_remove)
        assert await pruned(database, **ALL) == (1, [])
        with pytest.raises(JournalError, match="was pruned on"):
            await asyncio.wrap_future(begun[0])
    assert sandbox.documents.total_taken == len(DOCUMENTS) - len(own(3))
    assert await left(database) == []


async def test_two_that_prune_at_the_same_time_remove_a_run_once(
    arm: ArmClient, database: str, postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    await send_customers(arm, database, "night")
    await send_parts(arm, database, *range(PARTS))
    await send(arm, [invoice("B-1", 7)], journal=database, run_id="single")
    locked = prune._lock
    meanwhile: list[tuple[int, Kept]] = []
    loop = asyncio.get_running_loop()

    def prune_and_lock(*arguments: Any) -> bool:
        monkeypatch.setattr(prune, "_lock", locked)
        meanwhile.append(asyncio.run_coroutine_threadsafe(pruned(database, **ALL), loop).result())
        return locked(*arguments)

    monkeypatch.setattr(prune, "_lock", prune_and_lock)
    assert await pruned(database, **ALL) == (0, [])
    assert meanwhile == [(3, [])]
    assert (nights(postgres), await left(database)) == ([], [])


@pytest.mark.parametrize("name", ["2026-11-20 (part of the week)", "2026-11-20 (part 0 of 3)x", "2026-11-20 2"])
async def test_no_other_run_is_removed_with_it(arm: ArmClient, sandbox: Sandbox, database: str, name: str) -> None:
    await send_parts(arm, database, *range(PARTS))
    plan(sandbox, [Fault.reset_after()])
    await send(arm, [invoice("B-1", 7)], journal=database, run_id=name)
    await send_parts(arm, database, 0, run_id="another")
    assert await pruned(database, run_id=RUN_ID, **ALL) == (1, [])
    assert await left(database) == [name, f"another (part 0 of {PARTS})"]
    (run, _) = await read_journal(database)
    assert run.counts == {"unknown": 1}


async def test_a_part_alone_is_not_removed(arm: ArmClient, database: str) -> None:
    await send_parts(arm, database, 0)
    with pytest.raises(ConfigurationError, match=f"is a part of the shared run '{RUN_ID}', which is pruned as a whole"):
        await pruned(database, run_id=f"{RUN_ID} (part 0 of {PARTS})", **ALL)
    assert len(await left(database)) == 1


# --- the customers of a night ---------------------------------------------------------------------------------------------


async def send_customers(arm: ArmClient, database: str, run_id: str, source: Any = None) -> None:
    bulk, url = BulkWrites(arm._context, arm._pressure, CUSTOMERS), database_url(database)
    assert url is not None
    given = source if source is not None else [{"customerNo": "1", "name": "a"}, {"customerNo": "2", "name": "b"}]
    await night_of_customers(bulk, given, url, run_id, used=0, options=quick(), user_id=None, lease=60.0)


def nights(postgres: Server) -> list[str]:
    return [name for (name,) in postgres.execute("SELECT run_id FROM amili_arm.nights ORDER BY id")]


async def test_what_is_known_of_other_nights_stays(arm: ArmClient, sandbox: Sandbox, database: str, postgres: Server) -> None:
    sandbox.reject_record("2", "no such country", kind="customers")
    await send_customers(arm, database, "n1")
    await send_customers(arm, database, "n2")
    assert await pruned(database, run_id="n0", **ALL) == (0, [])
    assert await pruned(database, run_id="n1") == (0, [("n1", "customers", {"succeeded": 1, "failed": 1}, ["failures"])])
    assert nights(postgres) == ["n1", "n2"]
    assert rows(postgres, "failed_customers") == {"failed_customers": 2}
    assert await pruned(database, run_id="n1", **ALL) == (1, [])
    assert nights(postgres) == ["n2"]
    assert rows(postgres, "failed_customers") == {"failed_customers": 1}


@pytest.mark.parametrize(("is_refused", "reasons"), [(True, ["failures"]), (False, [])])
async def test_customers_keep_their_documents(
    arm: ArmClient, sandbox: Sandbox, database: str, postgres: Server, is_refused: bool, reasons: list[str]
) -> None:
    """No document is of the customer that failed: the customers alone are the reason."""
    if is_refused:
        sandbox.reject_record("2", "no such country", kind="customers")
    await send_customers(arm, database, RUN_ID)
    await send_parts(arm, database, *range(PARTS))
    number, kept = await pruned(database)
    assert (number, [why for _, _, _, why in kept]) == (int(not is_refused), [reasons] if reasons else [])
    assert nights(postgres) == ([RUN_ID] if is_refused else [])
    assert len(await left(database)) == (PARTS if is_refused else 0)
    if is_refused:
        assert await pruned(database, with_failures=True) == (1, [])
        assert (nights(postgres), await left(database)) == ([], [])


async def test_what_keeps_the_documents_keeps_the_run_of_their_customers(
    arm: ArmClient, sandbox: Sandbox, database: str, postgres: Server
) -> None:
    async def night() -> None:
        for part in range(PARTS):
            given = [{"customerNo": number, "name": "Kari"} for number in {document["customerNo"] for document in DOCUMENTS}]
            options: Any = dict.fromkeys(("customer_options", "document_options"), quick(journal=database, run_id=RUN_ID))
            await arm.nightly(customers=given, documents=DOCUMENTS, parts=PARTS, part=part, **options)

    sandbox.reject_record(DOCUMENTS[0]["documentNo"], "no such district")
    await night()
    taken = sandbox.documents.total_taken
    number, kept = await pruned(database)
    assert (number, [(operation, why) for _, operation, _, why in kept]) == (0, [("customers", ["night"]), ("documents", ["failures"])])
    sandbox._ledger().rejects.clear()
    await night()
    assert sandbox.documents.total_taken == taken + 1
    assert await pruned(database) == (2, [])
    assert (nights(postgres), await left(database)) == ([], [])


async def test_a_night_whose_customers_were_not_sent_to_their_end_is_unfinished(
    arm: ArmClient, sandbox: Sandbox, database: str, postgres: Server
) -> None:
    sandbox.inject(Fault.status(403), path="customers/batches", times=None)
    with pytest.raises(Exception, match="403"):
        await send_customers(arm, database, RUN_ID)
    assert await pruned(database) == (0, [(RUN_ID, "customers", {}, ["unfinished"])])
    assert await pruned(database, unfinished=True) == (1, [])
    assert nights(postgres) == []


async def test_customers_that_are_being_sent_are_kept(arm: ArmClient, database: str, postgres: Server) -> None:
    is_read, goes_on = asyncio.Event(), asyncio.Event()

    async def source() -> Any:
        is_read.set()
        await goes_on.wait()
        yield {"customerNo": "1", "name": "a"}

    task = asyncio.create_task(send_customers(arm, database, RUN_ID, source()))
    await is_read.wait()
    assert await pruned(database, **ALL) == (0, [(RUN_ID, "customers", {}, ["running"])])
    goes_on.set()
    await task
    assert nights(postgres) == [RUN_ID]


# --- the command line -----------------------------------------------------------------------------------------------------


def test_what_the_commands_say_of_a_run_that_was_removed(call: Any, database: str, server: Sandbox, tmp_path: Path) -> None:
    file = tmp_path / "documents.jsonl"
    file.write_text("".join(json.dumps(document) + "\n" for document in DOCUMENTS))

    def push(part: int) -> Any:
        return call("push", "documents", file, "--journal", database, "--run-id", RUN_ID, "--parts", PARTS, "--part", part)

    for part in range(PARTS):
        assert push(part).exit_code == 0
    result = call("prune", database, "--older-than-days", 0, "--run-id", f"{RUN_ID} (part 1 of {PARTS})")
    assert (result.exit_code, "which is pruned as a whole" in " ".join(result.stderr.split())) == (1, True)
    result = call("prune", database, "--older-than-days", 0, "--run-id", RUN_ID)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "1 run removed\n", "")
    said = [line for line in call("status", database).stdout.splitlines() if "pruned" in line]
    assert len(said) == 1
    assert f": {RUN_ID}: create documents" in said[0]
    told = json.loads(call("status", database, "--json").stdout)
    assert (told["runs"], [run["run_id"] for run in told["pruned"]]) == ([], [RUN_ID])
    for result in (push(0), call("report", database, "--run-id", RUN_ID, "--json")):
        assert (result.exit_code, f"the run '{RUN_ID}' (documents.create_batch)" in " ".join(result.stderr.split())) == (1, True)
        assert "was pruned on" in " ".join(result.stderr.split())
    result = call("prune", database, "--older-than-days", 0, "--run-id", RUN_ID)
    assert f"the run '{RUN_ID}' was pruned before: only its name is left" in " ".join(result.stderr.split())
    assert server.documents.total_taken == len(DOCUMENTS)
