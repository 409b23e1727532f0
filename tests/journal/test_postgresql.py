"""A journal in PostgreSQL: its roles and tables, who owns a run, and a database that goes away, comes back, or is another one."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import psycopg
import pytest

from amili_arm_async import BulkError, BulkOptions, ConfigurationError, JournalError, adopt_journal, prune_journal, read_journal
from amili_arm_async.bulk.journal.inspect import stale_reason
from amili_arm_async.bulk.journal.postgres import journal as journals
from amili_arm_async.database.url import DatabaseUrl, database_url
from amili_arm_async.postgres import connection as connections
from amili_arm_async.postgres.schema import VERSION, prepare_schema
from amili_arm_async.sandbox import Fault

from ..support.cutting_proxy import cutting
from ..support.postgres import pooled, standby_of
from ..support.sandbox_runs import invoices, lines_of, send, the_run, until

RUN = {"run_id": "2026-11-20", "max_records": 3}


# --- its address ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://arm:geheim@db/arm",
        "postgres://arm:geheim@db:5433,db2/arm?sslmode=verify-full",
        "postgresql://db/arm?user=arm&password=geheim&sslpassword=geheim",
        "POSTGRESQL://arm:ge/he@im:geheim@db/arm",
        "postgresql://arm:geheim/x@db/arm",
        "postgresql://arm:%geheim@db/arm?PASSWORD=geheim",
        "postgresql://arm:geheim?x@db/arm",
        "postgresql://arm:x?geheim@db/arm",
        "postgresql://arm:1234?geheim@db/arm",
        "postgresql://arm:geheim?a=b@db/arm",
        "postgresql://arm:geheim/x?y@db/arm",
        "postgresql://arm:geheim",
        "postgresql://db/arm?pass%77ord=geheim",
        "postgresql://db/arm;password=geheim",
    ],
)
def test_no_text_shows_the_password_of_a_database(url):
    found = database_url(url)
    assert found is not None
    assert "geheim" in found.conninfo
    options = BulkOptions(journal=url, run_id="2026-11-20")
    for shown in (str(found), repr(found), f"{found}", f"{options.journal}", repr(options)):
        assert "geheim" not in shown


@pytest.mark.parametrize(
    "place",
    ["host=db password=geheim", "jdbc:postgresql://db/arm?password=geheim", " postgresql://arm:geheim@db", "postgresql:/arm:geheim@db"],
)
def test_what_is_nearly_the_url_of_a_database_is_no_file(place):
    with pytest.raises(ConfigurationError, match=r"a URL of PostgreSQL: postgresql://host/database") as caught:
        BulkOptions(journal=place, run_id="1")
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["postgresql://arm@[::1]:5432/arm", "postgresql://a:1,b:2/arm?user=x@y", "postgresql:///arm", "postgresql://"]
)
def test_what_has_no_password_is_shown_whole(url):
    assert str(database_url(url)) == url


async def test_an_error_shows_no_password(arm):
    url = "postgresql://arm:geh%zzeim@127.0.0.1:1/arm"
    with pytest.raises(ConfigurationError, match="write special characters") as caught:
        await send(arm, invoices(1), journal=url, **RUN)
    assert "geh" not in "".join(map(str, (caught.value, caught.value.__cause__)))
    with pytest.raises(JournalError, match=r"postgresql://arm@127\.0\.0\.1:1/arm can't be used: connection failed") as refused:
        await send(arm, invoices(1), journal="postgresql://arm:geheim@127.0.0.1:1/arm", **RUN)
    assert "geheim" not in "".join(map(str, (refused.value, refused.value.__cause__)))


async def test_a_dead_letter_shows_no_password(arm, database, folder):
    journal = database.replace("arm@", "arm:geheim@")
    await send(arm, [*invoices(2), *invoices(1)], journal=journal, dead_letter=folder / "dead.jsonl", **RUN)
    assert {line["journal"] for line in lines_of(folder / "dead.jsonl")} == {database}


async def test_the_commands_that_settle_the_rest_show_no_password(arm, sandbox, database):
    journal = database.replace("arm@", "arm:geheim@")
    sandbox.inject(Fault.status(502), operation="documents.create_batch")
    await send(arm, invoices(1), journal=journal, **RUN)
    for words in (("status", journal), ("reconcile", journal, "--settle", "0")):
        command = [sys.executable, "-m", "amili_arm_async.cli", *words]
        ran = await asyncio.to_thread(subprocess.run, command, env={**os.environ, **sandbox.environ}, capture_output=True, text=True)
        said = ran.stdout + ran.stderr
        assert f"reconcile {database}" in said
        assert "geheim" not in said


def test_other_databases_and_other_types_are_refused(folder):
    with pytest.raises(ConfigurationError, match=r"begins with mysql://"):
        BulkOptions(journal="mysql://arm:geheim@db/arm", run_id="1")
    with pytest.raises(ConfigurationError, match="must be a str"):
        BulkOptions(journal=folder.__class__("postgresql://db/arm"), run_id="1")


# --- its tables -----------------------------------------------------------------------------------------------------------


def test_many_processes_make_the_tables_at_once(database):
    with ThreadPoolExecutor(8) as pool:
        changed = list(pool.map(lambda _: prepare_schema(DatabaseUrl(database), "journal"), range(8)))
    assert any(changed)
    assert not prepare_schema(DatabaseUrl(database), "journal")


async def test_a_role_without_rights_on_the_schema(arm, postgres, database):
    postgres.execute("DROP ROLE IF EXISTS sender; CREATE ROLE sender LOGIN; REVOKE CREATE ON DATABASE postgres FROM sender")
    sender = postgres.url(role="sender")
    with pytest.raises(JournalError, match="run `amili-arm migrate`"):
        await send(arm, invoices(3), journal=sender, **RUN)
    prepare_schema(DatabaseUrl(database), "journal")
    with pytest.raises(JournalError, match="grant this one USAGE"):
        await send(arm, invoices(3), journal=sender, **RUN)
    postgres.execute("GRANT USAGE ON SCHEMA amili_arm TO sender")
    postgres.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA amili_arm TO sender")
    assert (await send(arm, invoices(3), journal=sender, **RUN)).counts == {"succeeded": 3}
    postgres.execute("DROP OWNED BY sender; DROP ROLE sender")


async def test_tables_of_a_newer_version_are_refused(arm, postgres, database):
    prepare_schema(DatabaseUrl(database), "journal")
    postgres.execute(f"UPDATE amili_arm.journal SET version = {VERSION + 1}")
    for use in (send(arm, invoices(3), journal=database, **RUN), read_journal(database)):
        with pytest.raises(JournalError, match="from a newer version of this library"):
            await use


async def test_a_database_that_no_run_has_used(database):
    with pytest.raises(JournalError, match="no run has used this database yet"):
        await read_journal(database)


# --- who owns a run -------------------------------------------------------------------------------------------------------


async def test_a_run_that_was_taken_over_sends_nothing_more(arm, sandbox, postgres, database):
    async def source():
        yield from_first
        await until(lambda: sandbox.documents.total_taken == 1)
        postgres.execute("UPDATE amili_arm.parts SET epoch = epoch + 1, writes = 0")
        for record in invoices(9, start=1):
            yield record

    (from_first,) = invoices(1)
    outcome = await send(arm, source(), journal=database, run_id="2026-11-20", max_records=1, raises=BulkError)
    assert isinstance(outcome.error.__cause__, JournalError)
    assert "taken over" in str(outcome.error.__cause__)
    assert sandbox.documents.total_taken == 1
    assert outcome.report.counts["not_sent"] == outcome.report.totals.records_read - 1


def held(sandbox, database):
    """A process that goes on with a run, and has sent one document."""
    arguments = [sys.executable, "-m", "tests.journal.holder", sandbox.base_url, sandbox.token, database, RUN["run_id"]]
    process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ})
    assert process.stdout is not None
    assert process.stdout.readline() == "running\n"
    return process


async def ended(process):
    process.send_signal(signal.SIGKILL)
    await asyncio.to_thread(process.wait)
    process.stdin.close()
    process.stdout.close()


async def test_a_process_that_was_killed_here_is_taken_over_at_once(arm, sandbox, database):
    process = await asyncio.to_thread(held, sandbox, database)
    await ended(process)
    outcome = await send(arm, invoices(6), journal=database, **RUN)
    assert sum(outcome.counts.values()) == 6
    assert not list(sandbox.documents.doubles())


async def test_a_process_elsewhere_is_taken_over_once_its_lease_has_ended(arm, sandbox, postgres, database):
    process = await asyncio.to_thread(held, sandbox, database)
    await ended(process)
    # As if it had run on another machine, where nobody knows whether it still does.
    postgres.execute('UPDATE amili_arm.parts SET owner = replace(owner, \'"space":"\', \'"space":"elsewhere \')')
    postgres.execute("UPDATE amili_arm.parts SET lease_until = clock_timestamp() + interval '1 second'")
    assert (await the_run(database)).running
    outcome = await send(arm, invoices(6), journal=database, **RUN)
    assert sum(outcome.counts.values()) == 6
    assert not list(sandbox.documents.doubles())


async def test_a_process_elsewhere_that_renews_its_lease_is_left_alone(arm, sandbox, postgres, database):
    process = await asyncio.to_thread(held, sandbox, database)
    try:
        postgres.execute('UPDATE amili_arm.parts SET owner = replace(owner, \'"space":"\', \'"space":"elsewhere \')')

        async def beat():
            while True:
                await asyncio.sleep(0.1)
                postgres.execute("UPDATE amili_arm.parts SET writes = writes + 1")

        beating = asyncio.create_task(beat())
        with pytest.raises(JournalError, match="already in progress in process"):
            await send(arm, invoices(6), journal=database, **RUN)
        beating.cancel()
    finally:
        await ended(process)


# --- a database that goes away --------------------------------------------------------------------------------------------


async def test_a_run_survives_connections_that_are_cut(arm, sandbox, postgres, database):
    async def source():
        for number, record in enumerate(invoices(60)):
            if number % 7 == 5:
                postgres.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'amili-arm'")
            yield record

    outcome = await send(arm, source(), journal=database, patience=60, **RUN)
    assert outcome.counts == {"succeeded": 60}
    assert not list(sandbox.documents.doubles())
    assert (await the_run(database)).counts == {"succeeded": 60}


@pytest.mark.proof
@pytest.mark.parametrize("place", ["before", "after"])
async def test_a_commit_without_an_answer(arm, sandbox, postgres, database, place):
    commits = count()

    async def source():
        for record in invoices(3):
            yield record
        proxy.choose = lambda: place if next(commits) % 2 == 0 else None
        for record in invoices(27, start=3):
            yield record
        await until(lambda: proxy.cuts[place] > 2)
        for record in invoices(9, start=30):
            yield record

    with cutting(postgres.port) as proxy:
        journal = database.replace(f":{postgres.port}/", f":{proxy.port}/")
        # The first transactions make the tables and the run: they are not fenced yet.
        await send(arm, invoices(3), journal=journal, **RUN)
        outcome = await send(arm, source(), journal=journal, patience=60, **RUN)
    assert outcome.counts == {"done_before": 3, "succeeded": 36}
    assert (await the_run(database)).counts == {"succeeded": 39}
    assert not list(sandbox.documents.doubles())


async def test_a_transaction_with_an_intent_begins_with_the_fence_and_takes_few_exchanges(arm, database, monkeypatch):
    transactions, real = [], connections.PostgresConnection._together

    def together(self, statements):
        texts = [sent.text for sent in statements]
        if texts[0].startswith("BEGIN"):
            transactions.append([])
        transactions[-1].append(texts)
        return real(self, statements)

    monkeypatch.setattr(connections.PostgresConnection, "_together", together)
    await send(arm, invoices(30), journal=database, resend_known=True, **RUN)
    intents = [exchanges for exchanges in transactions if any("SET state = 'sending'" in text for texts in exchanges for text in texts)]
    # Other work may be done along in the same transaction, with exchanges of its own.
    assert min(len(exchanges) for exchanges in intents) <= 3
    for exchanges in intents:
        assert "set_config('synchronous_commit', 'on', true)" in exchanges[0][1]
        assert "WITH fence" in exchanges[0][2]
        assert exchanges[-1][-1] == "COMMIT"


async def test_many_batches_of_another_run_are_read_in_few_exchanges(arm, sandbox, database, monkeypatch):
    exchanges, real = [], connections.PostgresConnection._together

    def together(self, statements):
        exchanges.append(statements)
        return real(self, statements)

    records = invoices(600)
    # The numbers of each batch of the one run lie between those of all its others.
    await send(arm, [record for start in range(60) for record in records[start::60]], journal=database, run_id="one", max_records=10)
    monkeypatch.setattr(connections.PostgresConnection, "_together", together)
    outcome = await send(arm, records, journal=database, run_id="two", max_records=300)
    assert outcome.counts == {"invalid": 600}
    assert len(exchanges) < 60, "one for each batch of the other run, or more"


async def test_the_text_of_a_batch_is_kept_compressed_and_comes_back_as_it_was(arm, sandbox, postgres, database, folder):
    sandbox.inject(Fault.reset_before(), method="POST", times=None)
    letter = folder / "failed.jsonl"
    records = [*invoices(300), b"\0zlib is no JSON"]
    outcome = await send(arm, records, journal=database, dead_letter=letter, **{**RUN, "max_records": 300})
    assert outcome.counts == {"unknown": 300, "invalid": 1}
    lines = lines_of(letter)
    assert [line["payload"] for line in lines[:300]] == records[:300]
    assert "zlib is no JSON" in str(lines[300])
    ((size,),) = postgres.execute("SELECT max(length(body)) FROM amili_arm.bodies")
    assert size < len(json.dumps(records[:300])) / 4


async def test_a_database_that_does_not_come_back(arm, sandbox, postgres, database):
    stopped = False

    async def source():
        nonlocal stopped
        for number, record in enumerate(invoices(60)):
            if number == 30:
                await asyncio.to_thread(postgres.stop, "immediate")
                stopped = True
            yield record

    try:
        outcome = await send(arm, source(), journal=database, patience=0.5, concurrency=2, raises=BulkError, **RUN)
    finally:
        assert stopped
        await asyncio.to_thread(postgres.start)
    assert "Nothing more is sent; run again with the same run id" in str(outcome.error.__cause__)
    sent = sandbox.documents.total_taken
    assert outcome.report.counts["not_sent"] == outcome.report.totals.records_read - sent
    again = await send(arm, invoices(60), journal=database, **RUN)
    assert sum(again.counts.values()) == 60
    assert not list(sandbox.documents.doubles())
    assert sandbox.documents.total_taken == again.counts["succeeded"] + sent


async def test_a_database_that_crashes_and_comes_back(arm, sandbox, postgres, database):
    async def source():
        for number, record in enumerate(invoices(60)):
            if number in {20, 40}:
                await asyncio.to_thread(postgres.stop, "immediate")
                await asyncio.to_thread(postgres.start)
            yield record

    outcome = await send(arm, source(), journal=database, patience=60, **RUN)
    assert outcome.counts == {"succeeded": 60}
    assert not list(sandbox.documents.doubles())


async def test_behind_a_pooler_that_gives_each_transaction_another_connection(arm, sandbox, postgres, database):
    with pooled(postgres) as url:
        runs = [send(arm, invoices(60), journal=url, run_id=name, max_records=5) for name in ("one", "other")]
        both = await asyncio.gather(*runs)
        assert sum(outcome.counts.get("succeeded", 0) for outcome in both) == sandbox.documents.total_taken == 60
        again = await send(arm, invoices(60)[::-1], journal=url, run_id="one", max_records=5)
        assert set(again.counts) <= {"done_before", "invalid"}
        assert {run.run_id for run in await read_journal(url)} == {"one", "other"}
        assert await prune_journal(url, older_than=0, with_failures=True) == 2
    assert len(postgres.execute("SELECT 1 FROM pg_stat_activity WHERE application_name = 'amili-arm'")) <= 2


@pytest.mark.proof
async def test_a_database_that_hangs(arm, sandbox, postgres, database, monkeypatch):
    monkeypatch.setattr(connections, "_LONGEST", 1 / 30)

    async def source():
        for number, record in enumerate(invoices(30)):
            if number == 15:
                backends = postgres.execute("SELECT pid FROM pg_stat_activity WHERE application_name = 'amili-arm'")
                stopped.extend([int((postgres.data / "postmaster.pid").read_text().split()[0]), *(pid for (pid,) in backends)])
                for process in stopped:
                    os.kill(process, signal.SIGSTOP)
            yield record

    stopped = []
    try:
        outcome = await send(arm, source(), journal=f"{database}?connect_timeout=2", patience=0.5, raises=BulkError, **RUN)
    finally:
        for process in stopped:
            os.kill(process, signal.SIGCONT)
    assert "can't be used" in str(outcome.error.__cause__)
    assert outcome.report.counts["not_sent"] == outcome.report.totals.records_read - sandbox.documents.total_taken


@contextlib.contextmanager
def frozen_in_an_exchange(database, statement):
    """Somebody who holds locks, and whose exchange with the database is not whole."""
    connection = psycopg.connect(database, autocommit=True)
    try:
        raw = connection.pgconn
        raw.enter_pipeline_mode()
        for part in ("BEGIN", statement):
            raw.send_query_params(part.encode(), None)
        raw.send_flush_request()
        raw.flush()
        results = [raw.get_result() for _ in range(3)]
        assert results[2].command_status == b"UPDATE 1"
        yield raw.backend_pid
    finally:
        connection.close()


@pytest.mark.parametrize("table", ["accounts", "parts"])
async def test_a_process_that_is_frozen_in_an_exchange_holds_no_lock_for_good(arm, sandbox, postgres, database, monkeypatch, table):
    monkeypatch.setattr(journals, "LEASE", 1.0)
    await send(arm, invoices(3), journal=database, **RUN)
    column = {"accounts": "changes", "parts": "part"}[table]
    with frozen_in_an_exchange(database, f"UPDATE amili_arm.{table} SET {column} = {column}") as backend:
        outcome = await send(arm, invoices(9), journal=database, patience=60, **RUN)
        assert not postgres.execute(f"SELECT 1 FROM pg_stat_activity WHERE pid = {backend}")
    assert outcome.counts == {"done_before": 3, "succeeded": 6}
    assert not list(sandbox.documents.doubles())


# --- another database -----------------------------------------------------------------------------------------------------


async def test_a_database_on_another_timeline_is_looked_up_before_anything_is_sent(arm, sandbox, postgres, database):
    await send(arm, invoices(6), journal=database, **RUN)
    # As after a standby was promoted that lacks the last commits.
    postgres.execute("UPDATE amili_arm.journal SET server = server || '0'")
    postgres.execute(
        "DELETE FROM amili_arm.runs; DELETE FROM amili_arm.batches; DELETE FROM amili_arm.records; DELETE FROM amili_arm.bodies"
    )
    outcome = await send(arm, invoices(9), journal=database, **RUN)
    assert outcome.report.stale_journal
    assert outcome.counts == {"done_before": 6, "unknown": 3}
    assert sandbox.documents.total_taken == 6
    assert "standby was promoted" in (await adopt_journal(database) or "") or await adopt_journal(database) is None
    assert (await send(arm, invoices(9), journal=database, **RUN)).counts == {"done_before": 6, "succeeded": 3}


async def test_a_run_that_was_begun_on_another_timeline_is_looked_up(arm, sandbox, postgres, database):
    await send(arm, invoices(6), journal=database, **RUN)
    await send(arm, invoices(3, start=6), journal=database, run_id="a run that saw no other")
    # The row of the journal may be lost with the last commits, too.
    postgres.execute("UPDATE amili_arm.runs SET server = server || '0' WHERE run_id = '2026-11-20'")
    postgres.execute("DELETE FROM amili_arm.batches; DELETE FROM amili_arm.records; DELETE FROM amili_arm.bodies")
    outcome = await send(arm, invoices(6), journal=database, **RUN)
    assert outcome.report.stale_journal
    assert outcome.counts == {"done_before": 6}
    assert sandbox.documents.total_taken == 9


async def test_a_standby_that_lags_is_promoted(arm, sandbox, postgres, database):
    records = invoices(9)
    await send(arm, records[:3], journal=database, **RUN)
    with standby_of(postgres) as promoted:
        # It has the first three; what follows is in no log that it gets.
        await send(arm, records[:6], journal=database, **RUN)
        await asyncio.to_thread(promoted.promote)
        for run_id in (RUN["run_id"], "a new run"):
            outcome = await send(arm, records, journal=promoted.url(), run_id=run_id, max_records=3)
            assert outcome.report.stale_journal
            assert outcome.report.counts["succeeded"] == 0
        assert sandbox.documents.total_taken == 6
        assert await stale_reason(promoted.url()) is not None
        await adopt_journal(promoted.url())
        outcome = await send(arm, records, journal=promoted.url(), **RUN)
    assert outcome.counts == {"done_before": 6, "succeeded": 3}
    assert not list(sandbox.documents.doubles())


async def test_a_standby_that_has_the_tables_alone_is_promoted(arm, sandbox, postgres, database):
    records = invoices(6)
    await asyncio.to_thread(prepare_schema, DatabaseUrl(database), "journal")
    with standby_of(postgres) as promoted:
        await send(arm, records[:3], journal=database, **RUN)
        await asyncio.to_thread(promoted.promote)
        outcome = await send(arm, records, journal=promoted.url(), **RUN)
        assert outcome.report.stale_journal
        assert outcome.report.counts["succeeded"] == 0
    assert sandbox.documents.total_taken == 3


async def test_a_database_that_loses_commits_in_mid_run_ends_it(arm, sandbox, postgres, database):
    async def source():
        for number, record in enumerate(invoices(9)):
            if number == 6:
                await until(lambda: sandbox.documents.total_taken == 6)
                postgres.execute("UPDATE amili_arm.parts SET writes = writes - 2")
            yield record

    outcome = await send(arm, source(), journal=database, raises=BulkError, **RUN)
    assert "has lost what it had committed" in str(outcome.error.__cause__)
    assert sandbox.documents.total_taken == 6


async def test_nothing_leaves_while_a_synchronous_standby_does_not_answer(arm, sandbox, postgres, database):
    def wait_for_standby(name):
        postgres.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{name}'")
        postgres.execute("SELECT pg_reload_conf()")

    async def source():
        for number, record in enumerate(invoices(9)):
            if number == 6:
                await until(lambda: sandbox.documents.total_taken == 6)
                wait_for_standby("away")
            yield record

    waits = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    try:
        run = asyncio.create_task(send(arm, source(), journal=database, patience=60, **RUN))
        await until(lambda: run.done() or postgres.execute(waits))
        assert not run.done()
        assert sandbox.documents.total_delivered == 6
    finally:
        wait_for_standby("")
    assert (await run).counts == {"succeeded": 9}
    assert not list(sandbox.documents.doubles())


def test_the_lease_outlives_what_it_must():
    assert connections.BEAT < connections.STATEMENT < connections.LEASE
