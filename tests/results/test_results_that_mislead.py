"""Results that say success and name a failure beside it, results that only a reader of the caller's understands, results without end."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import tracemalloc
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from amili_arm_async import ArmClient, BatchWords, BulkError, BulkReport, ConfigurationError, RecordOutcome, ResponseError

from ..support.faulty_api import FaultyServer
from ..support.faulty_runs import check, document, ends, make_client, options, records, run_to_end
from ..support.http_server import Answer

OK = {"status": "PROCESSED", "result": "OK"}


# --- evidence against ---------------------------------------------------------------------------------------------------------


def a_list_of_numbers(keys: list[str]) -> dict[str, Any]:
    return {**OK, "failed": keys[1:2]}


def an_index(_: list[str]) -> dict[str, Any]:
    return {**OK, "errors": [{"index": 1}]}


def parted(keys: list[str]) -> dict[str, Any]:
    made = [{"documentNo": key} for key in keys if key != keys[1]]
    data = {"status": "SUCCESS", "succeeded": made, "failed": [{"documentNo": keys[1], "message": "no"}]}
    return {"summary": {"status": "SUCCESS"}, "data": data}


@pytest.mark.parametrize(
    ("body", "others"),
    [
        (a_list_of_numbers, "unmapped"),
        (an_index, "unmapped"),
        (lambda keys: {**OK, "data": {"errors": {keys[1]: "name is missing"}}}, "unmapped"),
        (parted, "succeeded"),
    ],
)
async def test_a_record_that_a_result_names_as_failed_is_failed(
    server: FaultyServer, arm: ArmClient, body: Callable[[list[str]], Any], others: str
) -> None:
    server.answer_result = lambda batch: Answer(200, body([server.key(record) for record in batch.records]))
    outcomes = []
    async with arm.documents.create_many(records("documents", 20), options=options()) as run:
        outcomes = [outcome async for batch in run for outcome in batch]
    assert len(outcomes) == 20
    for outcome in outcomes:
        said = outcome.reason if outcome.state == "accepted" else outcome.state
        assert said == ("failed" if outcome.index % 5 == 1 else others)


@pytest.mark.parametrize(
    "more", [{"noOfErrors": 1}, {"numberRecordsFailed": 1}, {"summary": {"failed": 1}}, {"message": "Processed with 1 error(s)"}]
)
async def test_what_a_result_counts_as_failed_leaves_nothing_succeeded(server: FaultyServer, arm: ArmClient, more: dict[str, Any]) -> None:
    server.answer_result = lambda _: Answer(200, {**OK, **more})
    report, error = await run_to_end(arm.documents.create_many(records("documents", 10), options=options()))
    assert error is None
    assert {(one.state, one.reason) for one in report.failures()} == {("accepted", "unmapped")}
    assert len(list(report.failures())) == 10


@pytest.mark.parametrize("status", ["PROCESSED", "FAILED"])
@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("documents", lambda entries: {"customers": entries("customerNo")}),
        ("documents", lambda entries: {"data": {"customers": entries("customerNo")}}),
        ("customers", lambda entries: {"documents": entries("documentNo")}),
        ("customers", lambda entries: {"results": entries("documentNo")}),
    ],
)
async def test_the_result_of_a_batch_of_another_kind_says_nothing(
    server: FaultyServer, arm: ArmClient, kind: str, body: Callable[..., Any], status: str
) -> None:
    """An answer may name a batch that is not its own, which has as many records."""

    def answer(batch: Any) -> Answer:
        entries = lambda key: [{key: f"x{number}", "status": status} for number in range(len(batch.records))]  # noqa: E731
        return Answer(200, {**OK, "status": status, **body(entries)})

    server.answer_result = answer
    many = arm.documents.create_many if kind == "documents" else arm.customers.create_many
    report = await many(records(kind, 20), options=options())
    assert {(failure.state, failure.reason) for failure in report.failures()} == {("accepted", "unmapped")}
    assert report.counts["accepted"] == 20


async def test_done_without_a_word_of_success_ends_the_waiting_and_is_no_success(server: FaultyServer, arm: ArmClient) -> None:
    server.answer_result = lambda _: Answer(200, {"status": "PROCESSED", "result": None})
    report, _ = await run_to_end(arm.documents.create_many(records("documents", 10), options=options()))
    assert {(one.state, one.reason) for one in report.failures()} == {("accepted", "unmapped")}
    assert [batch.asked for batch in server.batches.values()] == [1, 1]
    async with make_client(server, batch_words=BatchWords(succeeded={"PROCESSED"})) as other:
        report, _ = await run_to_end(other.documents.create_many(records("documents", 10, start=10), options=options()))
        assert report.counts["succeeded"] == 10


# --- a reader of the caller's ---------------------------------------------------------------------------------------------------


def reads_rows(status: int, body: bytes, keys: Sequence[str | None]) -> list[RecordOutcome] | None:
    value = json.loads(body)
    if "rows" not in value:
        return None
    return [
        RecordOutcome(n, key, "succeeded" if row == "+" else "failed", "", None)
        for n, (key, row) in enumerate(zip(keys, value["rows"], strict=True))
    ]


async def test_a_reader_of_the_callers_comes_first(server: FaultyServer) -> None:
    asked: list[tuple[int, tuple[str | None, ...]]] = []

    def reader(status: int, body: bytes, keys: Sequence[str | None]) -> list[RecordOutcome] | None:
        asked.append((status, tuple(keys)))
        return reads_rows(status, body, keys)

    async with make_client(server, batch_reader=reader) as arm:
        server.answer_result = lambda batch: Answer(200 if batch.asked > 1 else 202, {"state": "x", "rows": "+-+++"})
        report, _ = await run_to_end(arm.documents.create_many(records("documents", 10), options=options()))
    assert {one.index: one.state for one in report.failures()} == {1: "failed", 6: "failed"}
    # A 202 means that it is still to come, whatever its body says.
    assert sorted(asked) == [(200, tuple(f"k{n}" for n in range(start, start + 5))) for start in (0, 5)]


async def test_where_the_reader_says_nothing_the_rules_decide(server: FaultyServer) -> None:
    async with make_client(server, batch_reader=reads_rows) as arm:
        report, error = await run_to_end(arm.documents.create_many(records("documents", 10), options=options()))
        assert error is None
        check(report, server)
        assert report.counts["succeeded"] == 10


def raises(*_: Any) -> Any:
    raise KeyError("kari@example.no")


async def waits(*_: Any) -> Any:
    return []


@pytest.mark.parametrize(
    "reader",
    [
        raises,
        waits,
        lambda *_: [],
        lambda *_: "succeeded",
        lambda *_: True,
        lambda _, __, keys: ["succeeded"] * len(keys),
        lambda _, __, keys: [RecordOutcome(0, None, "succeeded")] * (len(keys) + 1),
        lambda _, __, keys: [RecordOutcome(0, None, "done_before")] * len(keys),
        lambda _, __, keys: [RecordOutcome(0, key, "succeeded") for key in reversed(keys)],
    ],
)
async def test_a_reader_that_fails_makes_nothing_succeeded(server: FaultyServer, reader: Any, caplog: pytest.LogCaptureFixture) -> None:
    async with make_client(server, batch_reader=reader) as arm:
        report, error = await run_to_end(arm.documents.create_many(records("documents", 10), options=options()))
    assert error is None
    assert {(one.state, one.reason) for one in report.failures()} == {("accepted", "unrecognised")}
    assert len(list(report.failures())) == 10
    assert "batch_reader" in caplog.text
    assert "kari" not in caplog.text


async def test_what_a_reader_calls_pending_is_asked_for_again(server: FaultyServer) -> None:
    def reader(status: int, body: bytes, keys: Sequence[str | None]) -> list[RecordOutcome]:
        pending = json.loads(body)["left"] > 0
        return [RecordOutcome(n, key, "accepted" if pending else "succeeded", "pending" if pending else "") for n, key in enumerate(keys)]

    async with make_client(server, batch_reader=reader) as arm:
        server.answer_result = lambda batch: Answer(200, {"left": 4 - batch.asked})
        report, _ = await run_to_end(arm.documents.create_many(records("documents", 5), options=options()))
        assert report.counts["succeeded"] == 5
        server.answer_result = lambda batch: Answer(200, {"left": 1})
        report, _ = await run_to_end(arm.documents.create_many(records("documents", 5, start=5), options=options(deadline=0.05)))
        assert {(one.state, one.reason) for one in report.failures()} == {("accepted", "deadline")}


def test_a_reader_must_be_a_function() -> None:
    with pytest.raises(ConfigurationError, match="batch_reader must be a function"):
        ArmClient(2218, auth="t", base_url="https://api.example", batch_reader="x")  # type: ignore[arg-type]


# --- results without end ----------------------------------------------------------------------------------------------------------


def huge(size: int) -> bytes:
    return json.dumps({**OK, "padding": "x" * size}).encode()


async def test_a_result_larger_than_it_can_be_is_read_once_and_not_to_its_end(server: FaultyServer, arm: ArmClient) -> None:
    server.answer_result = lambda _: Answer(200, huge(1_100_000))
    tracemalloc.start()
    try:
        report, error = await run_to_end(arm.documents.create_many(records("documents", 4), options=options()))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert error is None
    assert {(one.state, one.reason) for one in report.failures()} == {("accepted", "unrecognised")}
    assert [batch.asked for batch in server.batches.values()] == [1]
    assert peak < 20_000_000


async def test_a_result_within_the_bound_is_read(server: FaultyServer, arm: ArmClient) -> None:
    server.answer_result = lambda _: Answer(200, huge(1_000_000))
    report, _ = await run_to_end(arm.documents.create_many(records("documents", 4), options=options()))
    assert report.counts["succeeded"] == 4


@pytest.mark.parametrize(
    "body",
    [
        b'{"status":"OK","documents":[' + b"{}," * 330_000 + b"{}]}",
        b'{"status":"OK","x":[' + b"1.5," * 250_000 + b"1]}",
        b'{"status":"OK","x":' + b"[" * 500_000 + b"]" * 500_000 + b"}",
    ],
)
async def test_a_result_of_more_values_than_it_can_have_is_not_read(server: FaultyServer, arm: ArmClient, body: bytes) -> None:
    server.answer_result = lambda _: Answer(200, body)
    report, _ = await run_to_end(arm.documents.create_many(records("documents", 4), options=options()))
    assert {(one.state, one.reason) for one in report.failures()} == {("accepted", "unrecognised")}
    assert [batch.asked for batch in server.batches.values()] == [1]


async def test_a_single_result_has_a_bound_too_and_is_not_asked_for_again(
    server: FaultyServer, arm: ArmClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    receipt = await arm.documents.create_batch(records("documents", 2))
    build = arm.batches._context.request
    server.answer_result = lambda _: Answer(200, huge(100_000))
    assert (await arm.batches.get(receipt.batch_uuid)).outcome == "succeeded"
    monkeypatch.setattr(
        "amili_arm_async.resources.base.RequestContext.request", lambda _, *a, **k: structs.replace(build(*a, **k), most=50_000)
    )
    asked = server.batches[receipt.batch_uuid].asked
    for call in (arm.batches.get, arm.batches.wait):
        with pytest.raises(ResponseError, match="answer too large"):
            await ends(call(receipt.batch_uuid))
    assert server.batches[receipt.batch_uuid].asked == asked + 2


# --- the same batchUuid twice -------------------------------------------------------------------------------------------------------


def cache(server: FaultyServer, *, let_through: int = 1, change: Callable[[str], str] = lambda uuid: uuid) -> None:
    """From now on each write of a batch but the first ones is answered from a cache: the server never sees it."""
    take, cached = server.accept, []

    def answered(seen: Any) -> Answer:
        if len(cached) < let_through:
            cached.append(take(seen))
            return cached[-1]
        answer = cached[-1]
        return Answer(202, {**answer.body, "batchUuid": change(answer.body["batchUuid"])})

    server.accept = answered


@pytest.mark.parametrize("change", [lambda uuid: uuid, str.upper, lambda uuid: f" {uuid} "])
async def test_a_batch_uuid_of_another_batch_makes_the_later_one_unknown(
    server: FaultyServer, arm: ArmClient, change: Callable[[str], str]
) -> None:
    cache(server, change=change)
    report, error = await run_to_end(arm.documents.create_many(records("documents", 50), options=options(concurrency=1)))
    assert error is None
    check(report, server)
    assert sum(server.taken.values()) == 5
    assert {state: number for state, number in report.counts.items() if number} == {"succeeded": 5, "unknown": 45}
    assert {one.reason for one in report.failures()} == {"batch_uuid_repeated"}


async def test_the_earlier_one_counts_only_what_names_its_records(server: FaultyServer, arm: ArmClient) -> None:
    cache(server)
    # The result comes once the second batch was answered with the same name.
    server.answer_result = lambda batch: Answer(200, OK) if len(server.writes) > 1 else Answer(202, {})
    report, _ = await run_to_end(arm.documents.create_many(records("documents", 10), options=options(concurrency=1)))
    assert {one.index: (one.state, one.reason) for one in report.failures()} == {
        **dict.fromkeys(range(5), ("accepted", "unmapped")),
        **dict.fromkeys(range(5, 10), ("unknown", "batch_uuid_repeated")),
    }


async def test_a_reader_is_not_asked_about_a_batch_uuid_of_two_batches(server: FaultyServer) -> None:
    cache(server)
    server.answer_result = lambda batch: Answer(200, OK) if len(server.writes) > 1 else Answer(202, {})
    async with make_client(server, batch_reader=lambda _, __, keys: [RecordOutcome(0, None, "succeeded") for _ in keys]) as arm:
        report, _ = await run_to_end(arm.documents.create_many(records("documents", 10), options=options(concurrency=1)))
    assert not report.counts["succeeded"]


async def test_runs_of_one_client_know_of_each_other(server: FaultyServer, arm: ArmClient) -> None:
    first, _ = await run_to_end(arm.documents.create_many(records("documents", 5), options=options()))
    uuid = next(iter(server.batches))
    server.accept = lambda seen: Answer(202, {"batchUuid": uuid})
    view = arm.for_client(2218)
    second, _ = await run_to_end(view.documents.create_many(records("documents", 5, start=5), options=options()))
    assert (first.counts["succeeded"], second.counts["unknown"]) == (5, 5)
    assert {one.reason for one in second.failures()} == {"batch_uuid_repeated"}


async def test_customers_are_sent_again_a_few_times(server: FaultyServer, arm: ArmClient) -> None:
    take = server.accept
    uuids: list[str] = []

    def sometimes(seen: Any) -> Answer:
        # Each second answer comes from the cache.
        if uuids and len(server.writes) % 2 == 0:
            return Answer(202, {"batchUuid": uuids[-1]})
        answer = take(seen)
        uuids.append(answer.body["batchUuid"])
        return answer

    server.accept = sometimes
    report, error = await run_to_end(arm.customers.create_many(records("customers", 20), options=options(concurrency=1)))
    assert error is None
    check(report, server)
    assert report.counts["unknown"] == 0
    assert len(server.batches) == 4


async def test_customers_that_only_a_cache_answers_for_are_unknown_in_the_end(server: FaultyServer, arm: ArmClient) -> None:
    cache(server)
    report, error = await run_to_end(arm.customers.create_many(records("customers", 10), options=options(concurrency=1)))
    assert error is None
    assert {one.index: (one.state, one.reason) for one in report.failures() if one.index >= 5} == dict.fromkeys(
        range(5, 10), ("unknown", "batch_uuid_repeated")
    )
    assert len(server.writes) == 1 + 5


async def test_a_view_on_another_client_has_names_of_its_own(server: FaultyServer, arm: ArmClient) -> None:
    await run_to_end(arm.documents.create_many(records("documents", 5), options=options()))
    uuid = next(iter(server.batches))
    server.accept = lambda seen: Answer(202, {"batchUuid": uuid})
    report, _ = await run_to_end(arm.for_client(7).documents.create_many([document("k9")], options=options(results="accepted")))
    assert report.counts["accepted"] == 1


async def test_a_journal_knows_the_batch_uuids_of_its_other_runs(server: FaultyServer, tmp_path: Path) -> None:
    journal, letters = tmp_path / "j.sqlite", tmp_path / "dead.jsonl"

    async def run(run_id: str, start: int, **more: Any) -> BulkReport:
        # A new client each time, as in a new process.
        made = options(journal=journal, run_id=run_id, dead_letter=letters, **more)
        async with make_client(server) as arm:
            report, error = await run_to_end(arm.documents.create_many(records("documents", 5, start=start), options=made))
        assert error is None
        return report

    server.answer_result = lambda _: Answer(200, OK)
    first = await run("a", 0, results="accepted")
    assert first.counts["accepted"] == 5
    (uuid,) = server.batches
    take = server.accept
    server.accept = lambda seen: Answer(202, {"batchUuid": uuid.upper()})
    second = await run("b", 5)
    assert {(one.state, one.reason) for one in second.failures()} == {("unknown", "batch_uuid_repeated")}
    server.accept = take
    # The first one may not count the word for the whole any more.
    again = await run("a", 0)
    assert {(one.state, one.reason) for one in again.failures()} == {("accepted", "unmapped")}
    # What leads to no result of its own is named by no batchUuid.
    assert [json.loads(line)["batch_uuid"] for line in letters.read_text().splitlines()] == [None] * 10
    # And what may or may not have been taken is not sent again.
    await run("b", 5)
    assert sum(server.taken.values()) == 5
    assert len(server.writes) == 2


async def test_a_batch_that_is_asked_for_again_is_no_other_batch(server: FaultyServer, arm: ArmClient, tmp_path: Path) -> None:
    """The same client goes on with its own run: the batchUuid is the same, and so is the batch."""
    server.answer_result = lambda _: Answer(202, {})
    made = options(journal=tmp_path / "j.sqlite", run_id="a", deadline=0.02)
    report, _ = await run_to_end(arm.documents.create_many(records("documents", 5), options=made))
    assert report.counts["accepted"] == 5
    server.answer_result = lambda _: Answer(200, OK)
    report, _ = await run_to_end(arm.documents.create_many(records("documents", 5), options=made))
    assert report.counts["done_before"] == 5


@pytest.mark.parametrize("what", ["documents", "customers"])
async def test_a_journal_that_fails_can_not_say_whether_a_batch_uuid_is_new(server: FaultyServer, tmp_path: Path, what: str) -> None:
    journal = tmp_path / "j.sqlite"

    async def run(run_id: str, start: int) -> tuple[BulkReport, BaseException | None]:
        async with make_client(server) as arm:
            made = options(journal=journal, run_id=run_id)
            return await run_to_end(getattr(arm, what).create_many(records(what, 5, start=start), options=made))

    first, _ = await run("a", 0)
    assert first.counts["succeeded"] == 5
    (uuid,) = server.batches
    server.answer_result = lambda _: Answer(200, OK)

    def answered(seen: Any) -> Answer:
        for side in ("", "-wal", "-shm"):
            journal.with_name(journal.name + side).unlink(missing_ok=True)
        return Answer(202, {"batchUuid": uuid})

    server.accept = answered
    second, error = await run("b", 5)
    assert isinstance(error, BulkError)
    assert {(one.state, one.reason) for one in second.failures()} == {("unknown", "journal")}
    assert second.counts["unknown"] == 5


async def test_a_run_that_is_cancelled_hears_first_whether_a_batch_uuid_is_new(server: FaultyServer, tmp_path: Path) -> None:
    journal = tmp_path / "j.sqlite"
    made = partial(options, journal=journal, results="accepted")
    async with make_client(server) as arm:
        await arm.documents.create_many(records("documents", 5), options=made(run_id="a"))
    (uuid,) = server.batches
    other = sqlite3.connect(journal, isolation_level=None)
    with closing(other):

        def answered(seen: Any) -> Answer:
            other.execute("BEGIN IMMEDIATE")
            asyncio.get_running_loop().call_later(0.05, task.cancel)
            asyncio.get_running_loop().call_later(0.1, other.execute, "ROLLBACK")
            return Answer(202, {"batchUuid": uuid})

        server.accept = answered
        async with make_client(server) as arm:
            run = arm.documents.create_many(records("documents", 5, start=5), options=made(run_id="b"))

            async def awaited() -> None:
                await run

            task = asyncio.create_task(awaited())
            with pytest.raises(asyncio.CancelledError):
                await ends(task)
    assert {(one.state, one.reason) for one in run.report.failures()} == {("unknown", "batch_uuid_repeated")}
