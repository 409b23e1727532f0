"""Workers, leases, the clock of the database and lost commits, in any order: a real PostgreSQL against a model of a few lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from amili_arm_async import JournalError
from amili_arm_async.database.url import DatabaseUrl
from amili_arm_async.postgres.connection import Patience, PostgresConnection
from amili_arm_async.postgres.lease import give_back, try_take
from amili_arm_async.postgres.owner import Owner, release
from amili_arm_async.postgres.schema import prepare_schema

from ..support.cutting_proxy import CuttingProxy, cutting
from ..support.postgres import Server

RUN, PART = 7, 3
WORKERS = st.integers(0, 2)
NUMBERS = st.integers(0, 5)


@dataclass
class Worker:
    """A process, as far as the database knows."""

    connection: PostgresConnection
    owner: Owner
    epoch: int


class Leases(RuleBasedStateMachine):
    """Some processes that want one part of a run."""

    server: Server
    url: str
    proxy: CuttingProxy

    def __init__(self) -> None:
        super().__init__()
        self.server.execute("TRUNCATE amili_arm.parts, amili_arm.batches")
        self.workers: dict[int, Worker] = {}
        self.epoch = 0
        self.holder: int | None = None
        self.is_over = True
        self.intents: dict[int, int] = {}
        self.sent: list[int] = []

    # --- what happens ---------------------------------------------------------------------------------------------

    @rule(number=WORKERS)
    def takes(self, number: int) -> None:
        self.forget(number)
        connection = PostgresConnection(DatabaseUrl(self.url), "journal", patience=Patience(30.0))
        owner = try_take(connection, RUN, PART, token=f"{number} {self.epoch}")
        assert (owner is not None) == self.is_over, "it took what another one has, or not what is free"
        if owner is None:
            connection.close()
            return
        self.epoch += 1
        self.workers[number] = Worker(connection, owner, self.epoch)
        self.holder, self.is_over = number, False

    @precondition(lambda self: self.holder is not None)
    @rule()
    def time_passes(self) -> None:
        self.server.execute("UPDATE amili_arm.parts SET lease_until = clock_timestamp() - interval '1 second'")
        self.is_over = True

    @precondition(lambda self: self.workers)
    @rule(data=st.data(), intent=NUMBERS, cut=st.sampled_from([None, None, "before", "after"]))
    def intends(self, data: st.DataObject, intent: int, cut: str | None) -> None:
        number = data.draw(st.sampled_from(sorted(self.workers)))
        worker = self.workers[number]
        cuts = [cut]
        self.proxy.choose = lambda: cuts.pop() if cuts else None
        try:
            if worker.epoch < self.epoch:
                with pytest.raises(JournalError, match="another process has taken over"):
                    self.write(worker, intent)
                self.forget(number)
                return
            is_new = self.write(worker, intent)
        finally:
            self.proxy.choose = lambda: None
        # What it wrote renewed its lease.
        self.is_over = False
        assert is_new == (intent not in self.intents)
        if is_new:
            self.intents[intent] = worker.epoch
            self.sent.append(intent)

    @staticmethod
    def write(worker: Worker, intent: int) -> bool:
        """Writes an intent, unless it is there; returns whether it was not."""
        query = "INSERT INTO batches (id, attempt, records, state) VALUES (?, ?, 1, '') ON CONFLICT DO NOTHING RETURNING 1"
        with worker.connection.transaction():
            return worker.connection.execute_alike(query, (intent, worker.epoch)).fetchone() is not None

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def dies(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.workers)))
        is_holder = self.workers[number].epoch == self.epoch
        self.forget(number)
        # It is known to have ended: it ran here.
        self.is_over = self.is_over or is_holder

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def gives_back(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.workers)))
        worker = self.workers[number]
        give_back(worker.connection, worker.owner)
        self.is_over = self.is_over or worker.epoch == self.epoch
        self.forget(number)

    def forget(self, number: int) -> None:
        worker = self.workers.pop(number, None)
        if worker is not None:
            release(worker.owner)
            worker.connection.close()
            self.is_over = self.is_over or worker.epoch == self.epoch

    # --- what must be true ----------------------------------------------------------------------------------------

    @invariant()
    def is_as_the_model_says(self) -> None:
        found: list[Any] = self.server.execute("SELECT id, attempt FROM amili_arm.batches")
        assert dict(found) == self.intents, "a write was lost, or done for nobody"
        assert len(self.sent) == len(set(self.sent)), "an intent was sent twice"
        epochs = self.server.execute("SELECT epoch FROM amili_arm.parts")
        assert epochs in ([], [(self.epoch,)]), "an epoch did not grow by one"

    def teardown(self) -> None:
        for number in list(self.workers):
            self.forget(number)


@pytest.mark.proof
@pytest.mark.timeout(240)
def test_no_write_of_an_earlier_owner_is_done_and_none_is_lost(postgres: Server, database: str) -> None:
    prepare_schema(DatabaseUrl(database), "journal")
    with cutting(postgres.port) as proxy:
        url = database.replace(f":{postgres.port}/", f":{proxy.port}/")
        machine = type("LeasesThere", (Leases,), {"server": postgres, "url": url, "proxy": proxy})
        checks = [HealthCheck.too_slow, HealthCheck.filter_too_much]
        chosen = settings(max_examples=10, stateful_step_count=25, deadline=None, suppress_health_check=checks)
        run_state_machine_as_test(machine, settings=chosen)
        assert proxy.cuts["before"]
        assert proxy.cuts["after"]


def test_a_part_that_another_process_owns_in_the_same_epoch_is_not_given_back(postgres: Server, database: str) -> None:
    """So it is where a standby was promoted that lacks the last seconds: both took the part after the same epoch."""
    prepare_schema(DatabaseUrl(database), "journal")
    connections = [PostgresConnection(DatabaseUrl(database), "journal", patience=Patience(30.0)) for _ in range(2)]
    first = try_take(connections[0], RUN, PART, token="first")
    assert first is not None
    postgres.execute("UPDATE amili_arm.parts SET owner = NULL, epoch = epoch - 1, lease_until = NULL")
    second = try_take(connections[1], RUN, PART, token="second")
    assert second is not None

    give_back(connections[0], first)
    assert '"second"' in postgres.execute("SELECT owner FROM amili_arm.parts")[0][0]

    give_back(connections[1], second)
    assert postgres.execute("SELECT owner FROM amili_arm.parts") == [(None,)]
    for connection in connections:
        connection.close()
