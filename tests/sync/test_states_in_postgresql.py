"""What holds for a state in PostgreSQL alone: several in one database, by name; connections that are cut; documents checked against it."""

from __future__ import annotations

import pytest

from amili_arm_async import BulkError, JournalError
from amili_arm_async.postgres.connection import PostgresConnection
from amili_arm_async.sync.state import SyncState, has_state, known_keys

from ..support.sandbox_fixtures import customers
from .conftest import numbers


@pytest.fixture
def state(database):
    """Where the state is."""
    return database


async def test_a_database_holds_states_by_name(sync, arm, database) -> None:
    for client_no in (2218, 2219):
        assert numbers(await sync(customers(5), arm=arm.for_client(client_no), state=f"{database}#{client_no}")) == (5, 0, 0, 0, 0)
    assert numbers(await sync(customers(5), state=f"{database}#2218")) == (0, 0, 5, 0, 0)
    assert has_state(f"{database}#2219")
    assert not has_state(database)
    with pytest.raises(JournalError, match="there is no sync state at postgresql://"):
        list(known_keys(database))


async def test_documents_are_checked_against_a_state_in_a_database(sync, arm, database) -> None:
    await sync(customers(3), state=database)
    invoices = [{"documentNo": str(index), "documentType": "IN", "customerNo": str(index)} for index in range(5)]
    report = await arm.documents.check(invoices, state=database)
    assert sorted(finding.key for finding in report.faults if finding.code == "unknown_customer") == ["3", "4"]


async def test_connections_that_are_cut_lose_nothing(sync, sandbox, postgres, database) -> None:
    async def source():
        for number, record in enumerate(customers(2000)):
            if number % 300 == 200:
                postgres.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'amili-arm'")
            yield record

    assert numbers(await sync(source(), max_records=50)) == (2000, 0, 0, 0, 0)
    assert numbers(await sync(customers(2000))) == (0, 0, 2000, 0, 0)
    assert sandbox.customers.total_delivered == 2000


async def test_who_is_forgotten_and_deleted_comes_back_as_new(sync, sandbox, arm, tmp_path) -> None:
    kept = {"journal": tmp_path / "journal.sqlite", "run_id": "customers"}
    await sync(customers(3), **kept)
    report = await sync(customers(2), **kept)
    assert await report.forget(report.gone_keys()) == 1
    await arm.customers.delete("2")
    assert numbers(await sync(customers(3), **kept)) == (1, 0, 2, 0, 0)
    assert sandbox.customers.get("2")["name"] == "Customer 2"


async def test_a_sync_that_has_lost_its_state_sends_nothing_more(sync, sandbox, postgres, database, monkeypatch) -> None:
    confirm, asked = SyncState.confirm, []

    async def taken_over(state):
        asked.append(sandbox.customers.total_taken)
        if len(asked) == 3:
            # As another process does, while this one is frozen.
            postgres.execute("UPDATE amili_arm.parts SET epoch = epoch + 1")
        await confirm(state)

    monkeypatch.setattr(SyncState, "confirm", taken_over)
    monkeypatch.setattr(PostgresConnection, "may_be_lost", True)
    with pytest.raises(BulkError) as caught:
        await sync(customers(60), max_records=10, concurrency=1)
    assert isinstance(caught.value.__cause__, JournalError)
    assert caught.value.report.counts["not_sent"] == 40
    assert sandbox.customers.total_taken == 20
