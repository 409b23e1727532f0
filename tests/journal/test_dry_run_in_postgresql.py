"""A dry run with a journal in PostgreSQL: it says what a run would do, and leaves no trace in the database."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from typing import Any

import pytest

from amili_arm_async import ArmClient, BulkOptions, BulkReport, ConfigurationError, JournalError
from amili_arm_async.sandbox import Fault, Sandbox

from ..support.postgres import Server
from ..support.sandbox_runs import awaited, invoice, plan, quick, until, writes

NOT_SENT = ("done_before", "invalid", "not_sent", "unknown")
SENT = ("succeeded", "failed", "accepted", "rejected")


async def dry(arm: ArmClient, records: list[Any], options: BulkOptions) -> BulkReport:
    return await arm.documents.create_many(records, options=replace(options, dry_run=True))


def content(postgres: Server) -> list[Any]:
    """All that is in the tables, with the version of each row."""
    tables = [name for (name,) in postgres.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'amili_arm' ORDER BY 1")]
    return [postgres.execute(f"SELECT xmin::text, md5(t::text) FROM amili_arm.{table} t ORDER BY 2") for table in tables]


@pytest.mark.parametrize("seed", range(4))
async def test_what_the_journal_keeps_from_being_sent_is_told_before(
    arm: ArmClient, sandbox: Sandbox, database: str, postgres: Server, seed: int
) -> None:
    rnd = random.Random(seed)
    options = quick(max_records=7, journal=database)

    def some(number: int) -> list[Any]:
        places = rnd.choices(range(40), k=number)
        return [invoice(rnd.choice([f"D{place}", f"D{place}", None]), place) for place in places] + [{"documentType": float("nan")}]

    plan(sandbox, [None, Fault.reset_after(), Fault.status(400)])
    for run_id in rnd.choices(["one", "two"], k=3):
        await arm.documents.create_many(some(25), options=replace(options, run_id=run_id))
    chosen = replace(options, run_id=rnd.choice(["one", "two", "three"]))
    records, before, sent = some(30), content(postgres), writes(sandbox)
    rehearsed = await dry(arm, records, chosen)
    assert (content(postgres), writes(sandbox)) == (before, sent)
    real = await arm.documents.create_many(records, options=chosen)
    assert {state: rehearsed.counts[state] for state in NOT_SENT} == {state: real.counts[state] for state in NOT_SENT}
    assert rehearsed.counts["would_be_sent"] == sum(real.counts[state] for state in SENT)


async def test_a_database_without_tables_stays_so(arm: ArmClient, database: str, postgres: Server) -> None:
    rehearsed = await dry(arm, [invoice("D1")], quick(journal=database, run_id="1"))
    assert rehearsed.counts["would_be_sent"] == 1
    assert content(postgres) == []


async def test_a_role_that_only_reads_can_do_it(arm: ArmClient, database: str, postgres: Server) -> None:
    options = quick(journal=database, run_id="1")
    await arm.documents.create_many([invoice("D1")], options=options)
    postgres.execute("DROP ROLE IF EXISTS reader; CREATE ROLE reader LOGIN; GRANT USAGE ON SCHEMA amili_arm TO reader")
    postgres.execute("GRANT SELECT ON ALL TABLES IN SCHEMA amili_arm TO reader")
    rehearsed = await dry(arm, [invoice("D1"), invoice("D2")], replace(options, journal=postgres.url(role="reader")))
    assert (rehearsed.counts["done_before"], rehearsed.counts["would_be_sent"]) == (1, 1)


async def test_a_run_in_progress_goes_on_and_is_told(
    arm: ArmClient, sandbox: Sandbox, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    options = quick(max_records=2, concurrency=1, journal=database, run_id="1")
    records = [invoice(f"D{number}", number) for number in range(6)]
    hanging = sandbox.inject(Fault.hang_before(), method="POST", path="documents/batches", skip=1)
    going_on = asyncio.create_task(awaited(arm.documents.create_many(records, options=options)))
    await until(lambda: hanging.fired)
    rehearsed = await dry(arm, records, options)
    assert "this run is in progress" in caplog.text
    assert rehearsed.counts["unknown"] >= 2
    assert {failure.reason for failure in rehearsed.failures()} == {"in_progress"}
    going_on.cancel()
    await asyncio.wait([going_on])


async def test_a_stale_journal_says_what_it_would_look_up(
    arm: ArmClient, sandbox: Sandbox, database: str, postgres: Server, caplog: pytest.LogCaptureFixture
) -> None:
    options = quick(journal=database, run_id="1")
    await arm.documents.create_many([invoice("D1")], options=options)
    postgres.execute("UPDATE amili_arm.journal SET server = 'another:00000001'")
    before = content(postgres)
    rehearsed = await dry(arm, [invoice("D1"), invoice("D2")], options)
    assert "the journal is stale" in caplog.text
    assert rehearsed.counts["done_before"] == 1
    assert content(postgres) == before


async def test_what_is_refused(arm: ArmClient, sandbox: Sandbox, database: str) -> None:
    async with arm.documents.shared_run(database, run_id="1", parts=4):
        pass
    with pytest.raises(ConfigurationError, match="begun with 4 parts"):
        await dry(arm, [invoice("D1")], quick(journal=database, run_id="1"))
    with pytest.raises(JournalError, match="can't be used"):
        await dry(arm, [invoice("D1")], quick(journal="postgresql://arm@127.0.0.1:1/x", run_id="1"))
    assert writes(sandbox) == 0
