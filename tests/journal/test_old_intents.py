"""A batch of documents leaves soon after its intent was recorded, or the intent is recorded again: its process may have been suspended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from amili_arm_async import ArmClient, BulkError, JournalError, clock, connections
from amili_arm_async.bulk.journal.sqlite.store import RunStore
from amili_arm_async.sandbox import Sandbox

from ..support.sandbox_runs import invoices, send, writes


@pytest.fixture(params=["unix_time", "boot_time"])
def suspended(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds by which one clock of this machine is ahead; appending to it lets time pass."""
    passed, real = [0.0], getattr(clock, request.param)
    monkeypatch.setattr(clock, request.param, lambda: real() + sum(passed))
    return passed


def after_each_intent(monkeypatch: pytest.MonkeyPatch, do: Any) -> list[int]:
    """Calls `do` with the number of each intent once it is recorded; returns the batches of the intents."""
    recorded: list[int] = []
    before_send = RunStore.before_send

    def record(store: RunStore, *arguments: Any, **more: Any) -> Any:
        found = before_send(store, *arguments, **more)
        recorded.append(more["id"])
        do(len(recorded))
        return found

    monkeypatch.setattr(RunStore, "before_send", record)
    return recorded


async def test_an_old_intent_is_recorded_again(
    arm: ArmClient, sandbox: Sandbox, journal: Path, monkeypatch: pytest.MonkeyPatch, suspended: list[float]
) -> None:
    recorded = after_each_intent(monkeypatch, lambda number: suspended.append(31.0 if number == 1 else 0.0))
    ended = await send(arm, invoices(3), journal=journal, run_id="2026-11-20")
    assert ended.counts == {"succeeded": 3}
    assert len(recorded) == 2
    assert len(set(recorded)) == 1
    assert writes(sandbox) == 1


async def test_a_fresh_intent_is_recorded_once(
    arm: ArmClient, sandbox: Sandbox, journal: Path, monkeypatch: pytest.MonkeyPatch, suspended: list[float]
) -> None:
    recorded = after_each_intent(monkeypatch, lambda _: suspended.append(29.0))
    ended = await send(arm, invoices(3), journal=journal, run_id="2026-11-20")
    assert ended.counts == {"succeeded": 3}
    assert len(recorded) == 1


async def test_a_batch_that_is_late_when_it_is_connected_does_not_leave_before_it_is_recorded_again(
    arm: ArmClient, sandbox: Sandbox, journal: Path, monkeypatch: pytest.MonkeyPatch, suspended: list[float]
) -> None:
    recorded = after_each_intent(monkeypatch, lambda _: None)
    connect = connections._Connector.connect

    async def slowly(self: Any, request: Any, **more: Any) -> Any:
        connection = await connect(self, request, **more)
        if request.method == "POST" and len(suspended) == 1:
            suspended.append(31.0)
        return connection

    monkeypatch.setattr(connections._Connector, "connect", slowly)
    ended = await send(arm, invoices(3), journal=journal, run_id="2026-11-20")
    assert ended.counts == {"succeeded": 3}
    assert len(suspended) == 2
    assert len(recorded) == 2
    assert writes(sandbox) == 1


@pytest.mark.needs_file
async def test_a_process_that_lost_its_run_while_it_was_suspended_sends_nothing(
    arm: ArmClient, sandbox: Sandbox, journal: Path, monkeypatch: pytest.MonkeyPatch, suspended: list[float]
) -> None:
    before_send = RunStore.before_send

    def record(store: RunStore, connection: Any, **more: Any) -> Any:
        found = before_send(store, connection, **more)
        suspended.append(31.0)
        # What another process does when it takes the run over.
        connection.execute("UPDATE runs SET token = 'another'")
        return found

    monkeypatch.setattr(RunStore, "before_send", record)
    ended = await send(arm, invoices(3), journal=journal, run_id="2026-11-20", raises=BulkError)
    assert isinstance(ended.error.__cause__, JournalError)
    assert writes(sandbox) == 0
    assert ended.counts == {"not_sent": 3}
