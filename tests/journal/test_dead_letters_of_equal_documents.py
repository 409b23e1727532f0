"""Records that had no turn are in the dead letter with their place, also where the journal knows equal ones or their number."""

from __future__ import annotations

import asyncio

import pytest

from amili_arm_async import BulkError
from amili_arm_async.bulk.journal.sqlite.journal import SqliteRunJournal
from amili_arm_async.sandbox import Fault

from ..support.sandbox_runs import bare_invoices, invoice, lines_of, plan, send

RUN = {"run_id": "2026-11-20"}


def states_of(letter) -> dict[int | None, str]:
    lines = lines_of(letter)
    assert len({line["index"] for line in lines}) == len(lines)
    return {line["index"]: line["state"] for line in lines}


async def ends(arm, source, **options):
    """Sends one document at a time until the server answers 404; gives the counts of the run that ended."""
    with pytest.raises(BulkError) as caught:
        await send(arm, source, max_records=1, concurrency=1, **options, **RUN)
    return {state: number for state, number in caught.value.report.counts.items() if number}


async def test_an_equal_document_that_is_new_in_the_source_and_had_no_turn(arm, sandbox, journal, folder) -> None:
    letter = folder / "failed.jsonl"
    (known,) = bare_invoices(1)
    await send(arm, [known], journal=journal, dead_letter=letter, **RUN)
    plan(sandbox, [Fault.status(404)])
    counts = await ends(arm, [known, invoice("D1"), known, known], journal=journal, dead_letter=letter)
    assert counts == {"done_before": 1, "not_sent": 3}
    assert states_of(letter) == {1: "not_sent", 2: "not_sent", 3: "not_sent"}


async def test_one_that_was_refused_before_and_had_no_turn_is_there_once(arm, sandbox, journal, folder) -> None:
    letter = folder / "failed.jsonl"
    (known,) = bare_invoices(1)
    plan(sandbox, [None, Fault.status(404)])
    await ends(arm, [known, known], journal=journal, dead_letter=letter)
    assert states_of(letter) == {1: "not_sent"}
    plan(sandbox, [Fault.status(404)])
    counts = await ends(arm, [known, invoice("D1"), known], journal=journal, dead_letter=letter)
    assert counts == {"done_before": 1, "not_sent": 2}
    assert states_of(letter) == {1: "not_sent", 2: "not_sent"}


async def test_a_number_whose_content_changed_and_that_had_no_turn(arm, sandbox, journal, folder) -> None:
    letter = folder / "failed.jsonl"
    await send(arm, [invoice("D0")], journal=journal, dead_letter=letter, **RUN)
    plan(sandbox, [Fault.status(404)])
    others = [invoice(f"D{number}") for number in range(1, 10)]
    source = [*others, {**invoice("D0"), "customerMessage": "another"}]
    counts = await ends(arm, source, journal=journal, dead_letter=letter)
    # The journal knows that its number was sent with other content: no turn changes that.
    assert counts == {"not_sent": 9, "invalid": 1}
    assert states_of(letter) == {**dict.fromkeys(range(9), "not_sent"), 9: "invalid"}


async def test_a_document_that_another_run_sent_and_whose_batch_had_no_turn(arm, sandbox, journal, folder, monkeypatch) -> None:
    letter = folder / "failed.jsonl"
    await send(arm, [invoice("D1")], journal=journal, run_id="another")
    plan(sandbox, [Fault.status(404)])
    stopped, decide, stop = asyncio.Event(), SqliteRunJournal.decide, SqliteRunJournal.stop_waiting

    async def decide_until_the_run_stops(self, batch):
        decision = await decide(self, batch)
        if batch.keys == ["D1"]:
            await stopped.wait()
        return decision

    def stop_waiting(self) -> None:
        stop(self)
        stopped.set()

    monkeypatch.setattr(SqliteRunJournal, "decide", decide_until_the_run_stops)
    monkeypatch.setattr(SqliteRunJournal, "stop_waiting", stop_waiting)
    counts = await ends(arm, [invoice("D0"), invoice("D1"), invoice("D2")], journal=journal, dead_letter=letter)
    assert counts == {"not_sent": 3}
    assert states_of(letter) == dict.fromkeys(range(3), "not_sent")


async def test_a_result_that_comes_after_the_run_was_stopped(arm, sandbox, journal, folder, monkeypatch) -> None:
    letter = folder / "failed.jsonl"
    sandbox.hold_processing()
    await send(arm, [invoice("D0")], journal=journal, dead_letter=letter, deadline=0.03, **RUN)
    read = SqliteRunJournal._outcomes

    async def read_while_the_run_stops(self, decisions):
        self.stop_waiting()
        outcomes = await read(self, decisions)
        sandbox.release_processing()
        return outcomes

    monkeypatch.setattr(SqliteRunJournal, "_outcomes", read_while_the_run_stops)
    ended = await send(arm, [invoice("D0")], journal=journal, dead_letter=letter, **RUN)
    assert ended.counts == {"done_before": 1}
    assert lines_of(letter) == []
