"""The database is away while a process waits for another one: it waits for the database too, as the other one does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from amili_arm_async import ArmClient, JournalError
from amili_arm_async.database.url import DatabaseUrl
from amili_arm_async.postgres import lease
from amili_arm_async.postgres.connection import Fence, Patience, PostgresConnection
from amili_arm_async.postgres.schema import prepare_schema

from ..support.postgres import Server
from ..support.sandbox_runs import customers, quick, until
from .samples import DOCUMENTS, RUN_ID, own

PART = 2
NUMBER = len(own(PART))


class Paused:
    """Records that are there, but not yet all of them."""

    def __init__(self, records: list[dict[str, Any]]) -> None:
        self.is_read = asyncio.Event()
        self.goes_on = asyncio.Event()
        self._records = records

    async def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        self.is_read.set()
        await self.goes_on.wait()
        for one in self._records:
            yield one


class Sending:
    """What two processes send: the first one waits for its source, and the second one for the first."""

    word: str
    """Of the log: the second one waits."""

    records: list[dict[str, Any]]

    def __init__(self, arm: ArmClient, url: str) -> None:
        self._arm = arm
        self._url = url

    async def send(self, source: Any) -> Any:
        """Sends as one process does; returns the number of documents by state."""
        raise NotImplementedError


class SendingPart(Sending):
    word = "has this part of the run"
    records = own(PART)

    async def send(self, source: Any) -> Any:
        async with self._arm.documents.shared_run(self._url, run_id=RUN_ID, parts=4, options=quick()) as run:
            return (await run.send_part(PART, source)).counts


class SendingNight(Sending):
    word = "another process sends the customers"
    records = customers(4)

    async def send(self, source: Any) -> Any:
        options = quick(journal=self._url, run_id=RUN_ID)
        night = self._arm.nightly(
            customers=self.customers_of(source), documents=DOCUMENTS, customer_options=quick(), document_options=options, parts=4, part=PART
        )
        report = (await night).documents
        assert report is not None
        return report.counts

    def customers_of(self, source: Any) -> Any:
        """Returns the customers that a process is called with."""
        return source


class SendingNightWithout(SendingNight):
    """The second process was called without customers."""

    def customers_of(self, source: Any) -> Any:
        return source if isinstance(source, Paused) else None


class Two:
    """Two processes that send the same: tasks of this one."""

    def __init__(self, sending: Sending) -> None:
        self.source = Paused(sending.records)
        self.first = asyncio.create_task(sending.send(self.source))
        self._sending = sending
        self.second: asyncio.Task[Any]

    async def begin(self, log: pytest.LogCaptureFixture) -> None:
        await self.source.is_read.wait()
        self.second = asyncio.create_task(self._sending.send(self._sending.records))
        await until(lambda: self._sending.word in log.text)

    async def counts(self) -> list[int]:
        """Lets both end; returns how many documents the first one sent, and how many the second one did not have to."""
        self.source.goes_on.set()
        first, second = await self.first, await self.second
        return [first["succeeded"], second["succeeded"] + second["done_before"]]

    async def end(self) -> None:
        for task in (self.first, self.second):
            task.cancel()
            await asyncio.wait([task])


@pytest.fixture
async def begin(arm: ArmClient, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Callable[..., Any]]:
    """Starts two processes that send the same."""
    caplog.set_level(logging.INFO)
    begun: list[Two] = []

    async def make(kind: type[Sending], url: str) -> Two:
        begun.append(Two(kind(arm, url)))
        await begun[-1].begin(caplog)
        return begun[-1]

    yield make
    for two in begun:
        await two.end()


KINDS = pytest.mark.parametrize("kind", [SendingPart, SendingNight, SendingNightWithout])


@KINDS
async def test_a_restart_ends_neither_who_sends_nor_who_waits(begin: Any, database: str, postgres: Server, kind: type[Sending]) -> None:
    two = await begin(kind, database)
    await asyncio.to_thread(postgres.stop, "immediate")
    await asyncio.to_thread(postgres.start)
    assert await two.counts() == [NUMBER, NUMBER]


@KINDS
async def test_who_waits_is_cancelled_while_the_database_is_away(
    begin: Any, database: str, postgres: Server, monkeypatch: pytest.MonkeyPatch, kind: type[Sending]
) -> None:
    two = await begin(kind, database)
    attempts: list[PostgresConnection] = []
    reconnect = PostgresConnection._reconnect

    def noted(self: PostgresConnection) -> None:
        attempts.append(self)
        reconnect(self)

    monkeypatch.setattr(PostgresConnection, "_reconnect", noted)
    await asyncio.to_thread(postgres.stop, "immediate")
    try:
        await until(lambda: bool(attempts))
        two.second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await two.second
    finally:
        await asyncio.to_thread(postgres.start)
    two.source.goes_on.set()
    assert (await two.first)["succeeded"] == NUMBER


@KINDS
async def test_who_waits_ends_at_once_where_the_database_refuses_it(
    begin: Any, database: str, postgres: Server, kind: type[Sending]
) -> None:
    postgres.execute("DROP ROLE IF EXISTS worker; CREATE ROLE worker SUPERUSER LOGIN")
    two = await begin(kind, postgres.url(role="worker"))
    postgres.execute("ALTER ROLE worker NOLOGIN; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'worker'")
    with pytest.raises(JournalError, match="not permitted to log in") as caught:
        await two.second
    assert "waited" not in str(caught.value)


@KINDS
async def test_a_lease_that_could_not_be_renewed_is_waited_for(
    begin: Any, database: str, postgres: Server, monkeypatch: pytest.MonkeyPatch, kind: type[Sending]
) -> None:
    two = await begin(kind, database)
    looks: list[float] = []
    with_grace = lease._with_grace

    def noted(connection: PostgresConnection, left: float) -> float:
        looks.append(left)
        return with_grace(connection, left)

    # As after an outage that was longer than the lease: the owner goes on within seconds, and the lease has ended.
    postgres.execute(
        "UPDATE amili_arm.parts SET lease_until = lease_until - interval '1 hour';"
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'amili-arm'"
    )
    monkeypatch.setattr(lease, "_with_grace", noted)
    await until(lambda: len(looks) > 1)
    assert await two.counts() == [NUMBER, NUMBER]


def test_a_turn_is_taken_once_where_the_answer_to_that_was_lost(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import psycopg

    url = DatabaseUrl(database)
    prepare_schema(url, "journal")
    connection = PostgresConnection(url, "journal", patience=Patience(10.0))
    update, lost = lease._update, [psycopg.OperationalError("the connection is lost")]

    def committed(*arguments: Any, **more: Any) -> Any:
        found = update(*arguments, **more)
        if lost:
            raise JournalError("the journal can't be used") from lost.pop()
        return found

    monkeypatch.setattr(lease, "_update", committed)
    owner = lease.try_take(connection, 1, 0, token="a")
    assert owner is not None
    assert connection.fence == Fence(1, 0, epoch=1, writes=0)
    connection.beat()
    lease.give_back(connection, owner)
    connection.close()
