"""The body of GET batch is on no public page: whatever it turns out to be, only what the server says is called `succeeded` or `failed`."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from amili_arm_async import ArmClient, BatchWords

from ..support.faulty_api import Batch, FaultyServer, by_record
from ..support.faulty_runs import check, document, ends, make_client, options, records, run_to_end
from ..support.http_server import Answer

Say = Callable[[FaultyServer, Batch], Answer]


def overall(http: int = 200, **words: Any) -> Say:
    """No entries; all words together."""
    return lambda server, batch: Answer(http, {**words, "batchUuid": batch.uuid})


def entries(
    change: Callable[[list[dict[str, Any]]], list[Any]] = lambda made: made,
    *,
    http: int = 200,
    name: str | None = None,
    fail: Callable[[int], bool] = lambda number: number % 4 == 3,
    words: tuple[str, str] = ("SUCCESS", "FAILED"),
    top: dict[str, Any] | None = None,
) -> Say:
    """An entry for each record, changed before it is given."""

    def say(server: FaultyServer, batch: Batch) -> Answer:
        made = []
        for number, record in enumerate(batch.records):
            bad = fail(number)
            made.append({server.key_name(record): server.key(record), "status": "PROCESSED", "result": words[bad]})
        for entry in (given := change(made)):
            key = str(entry.get("customerNo", entry.get("documentNo"))) if isinstance(entry, dict) else ""
            known = {"success": server.said_succeeded, "failed": server.said_failed}
            if isinstance(entry, dict) and str(entry.get("result", "")).lower() in known:
                known[entry["result"].lower()].add(key)
        fields = {"status": "PROCESSED", "result": "PARTIAL" if any(map(fail, range(len(made)))) else "SUCCESS"} if top is None else top
        return Answer(http, {**fields, name or batch.kind: given})

    return say


def reverse(made: list[Any]) -> list[Any]:
    return made[::-1]


MIXED = {"succeeded": 8, "failed": 2}
CASES: dict[str, tuple[Say, dict[str, int]]] = {
    "all_well": (entries(fail=lambda _: False), {"succeeded": 10}),
    "some_failed": (entries(), MIXED),
    "some_failed_206": (entries(http=206), MIXED),
    "all_failed": (entries(fail=lambda _: True, top={"status": "PROCESSED", "result": "FAILED"}), {"failed": 10}),
    "words_in_lower_case": (entries(words=("success", "failed"), top={"status": "processed", "result": "partial"}), MIXED),
    "another_order": (entries(reverse), MIXED),
    "another_name": (entries(name="somethingElse"), MIXED),
    "nested": (
        lambda s, b: Answer(200, {"status": "PROCESSED", "data": json.loads(entries()(s, b).data().partition(b"\r\n\r\n")[2])}),
        MIXED,
    ),
    "keys_in_upper_case": (entries(lambda made: [{**e, "customerNo": e["customerNo"].upper()} for e in made]), MIXED),
    "fewer": (entries(lambda made: made[:3]), {"succeeded": 6, "accepted": 4}),
    "only_the_bad_ones": (entries(lambda made: made[3:4]), {"failed": 2, "accepted": 8}),
    "without_keys": (entries(lambda made: [{"result": e["result"]} for e in made]), {"accepted": 10}),
    "no_objects": (entries(lambda made: ["x", 1, None, *made]), MIXED),
    "foreign_keys": (entries(lambda made: [{**e, "customerNo": "other"} for e in made]), {"accepted": 10}),
    "unknown_words": (entries(words=("KLAR", "FAILED")), {"accepted": 8, "failed": 2}),
    "unknown_overall": (entries(top={"status": "FERDIG"}), {"accepted": 8, "failed": 2}),
    "no_overall": (entries(top={}), MIXED),
    "overall_success": (overall(status="PROCESSED", result="SUCCESS"), {"succeeded": 10}),
    "overall_failed": (overall(result="FAILED", message="no"), {"failed": 10}),
    "overall_partial": (overall(result="PARTIAL"), {"accepted": 10}),
    "overall_success_206": (overall(206, result="SUCCESS"), {"accepted": 10}),
    "overall_unknown": (overall(status="FERDIG", result="BRA"), {"accepted": 10}),
    "success_and_unknown": (overall(status="FERDIG", result="SUCCESS"), {"accepted": 10}),
    "no_words": (overall(), {"accepted": 10}),
    "words_are_numbers": (overall(status=3, result=["SUCCESS"]), {"accepted": 10}),
    "empty": (lambda *_: Answer(200), {"accepted": 10}),
    "garbage": (lambda *_: Answer(200, b"\xff{"), {"accepted": 10}),
    "text": (lambda *_: Answer(200, "SUCCESS"), {"accepted": 10}),
    "gone": (lambda *_: Answer(404, {}), {"accepted": 10}),
    "not_acceptable": (lambda *_: Answer(406, {}), {"accepted": 10}),
    "forbidden": (lambda *_: Answer(403, {}), {"accepted": 10}),
    "moved": (lambda *_: Answer(301, {}, (("Location", "{elsewhere}/x"),)), {"accepted": 10}),
    "pending_for_ever": (lambda *_: Answer(202, {"status": "NOT-PROCESSED"}), {"accepted": 10}),
    "202_that_says_success": (lambda *_: Answer(202, {"result": "SUCCESS"}), {"accepted": 10}),
    "pending_with_200": (overall(status="NOT-PROCESSED", result="PENDING"), {"accepted": 10}),
    "errors_for_ever": (lambda *_: Answer(500, {}), {"accepted": 10}),
    "cut_for_ever": (lambda *_: Answer(200, {"result": "SUCCESS"}, missing=5), {"accepted": 10}),
    "deep": (lambda *_: Answer(200, b'{"a":' * 300 + b"1" + b"}" * 300), {"accepted": 10}),
    "very_deep": (lambda *_: Answer(200, b'{"a":' * 100_000 + b"1" + b"}" * 100_000), {"accepted": 10}),
    "a_huge_number": (lambda *_: Answer(200, b'{"status":"FERDIG","n":1e99999999999999999999}'), {"accepted": 10}),
    "a_long_number": (lambda *_: Answer(200, b'{"status":"FERDIG","customers":[{"customerNo":' + b"9" * 6000 + b"}]}"), {"accepted": 10}),
}
WAITS_LONG = {"pending_for_ever", "202_that_says_success", "pending_with_200", "errors_for_ever", "cut_for_ever", "moved"}


@pytest.mark.parametrize("case", CASES)
async def test_each_shape(server: FaultyServer, arm: ArmClient, case: str) -> None:
    say, expected = CASES[case]
    if case.startswith("overall_success"):
        server.said_succeeded.update(f"k{n}" for n in range(10))
    if case == "overall_failed":
        server.said_failed.update(f"k{n}" for n in range(10))
    if case == "keys_in_upper_case":
        server.said_failed.update({"k3", "k8"})
        server.said_succeeded.update(f"k{n}" for n in range(10))
    server.answer_result = lambda batch: say(server, batch)
    made = options(deadline=0.1 if case in WAITS_LONG else 5.0)
    report, error = await run_to_end(arm.customers.create_many(records("customers", 10), options=made))
    assert error is None
    check(report, server)
    assert {state: count for state, count in report.counts.items() if count} == expected
    assert all(failure.reason for failure in report.failures() if failure.state == "accepted")


@pytest.mark.parametrize("depth", range(400, 1100, 100))
async def test_any_depth_is_read_or_is_not(server: FaultyServer, arm: ArmClient, depth: int) -> None:
    server.answer_result = lambda _: Answer(200, b'{"status":"SUCCESS","a":' + b'{"a":' * depth + b"1" + b"}" * depth + b"}")
    server.said_succeeded.update(f"k{n}" for n in range(10))
    report, error = await run_to_end(arm.customers.create_many(records("customers", 10), options=options()))
    assert error is None
    check(report, server)


async def test_words_of_the_callers_own(server: FaultyServer) -> None:
    words = BatchWords(pending={"venter"}, succeeded={"bra"}, failed={"feil"}, partial={"delvis"})
    async with make_client(server, batch_words=words) as arm:
        server.answer_result = lambda batch: Answer(200, {"status": "Venter" if batch.asked < 3 else "BRA"})
        server.said_succeeded.update(f"k{n}" for n in range(10))
        report, _ = await run_to_end(arm.customers.create_many(records("customers", 10), options=options()))
        check(report, server)
        assert report.counts["succeeded"] == 10
    await server.all_closed()


async def test_an_entry_too_many_that_says_failed_is_not_lost(server: FaultyServer, arm: ArmClient) -> None:
    """Two entries for one record, of which one says that it failed: then it did not simply succeed."""
    server.answer_result = lambda batch: Answer(
        200,
        {
            "status": "PROCESSED",
            "result": "PARTIAL",
            "customers": [{"customerNo": server.key(r), "result": word} for r in batch.records for word in ("SUCCESS", "FAILED")],
        },
    )
    report, _ = await run_to_end(arm.customers.create_many(records("customers", 5), options=options()))
    assert not report.counts["succeeded"]


async def test_equal_keys_by_occurrence(server: FaultyServer, arm: ArmClient) -> None:
    def result(batch: Batch) -> Answer:
        seen: Counter[str] = Counter()
        made = []
        for record in batch.records:
            key = server.key(record)
            seen[key] += 1
            made.append({"customerNo": key, "result": "FAILED" if seen[key] == 2 else "SUCCESS"})
        # The order among different keys changes, that among equal ones does not.
        return Answer(200, {"result": "PARTIAL", "customers": sorted(made, key=lambda entry: entry["customerNo"])})

    server.answer_result = result
    items = [{"customerNo": key, "name": "x"} for key in ("b", "a", "b", "a", "c")]
    report, _ = await run_to_end(arm.customers.create_many(items, options=options(max_records=10)))
    assert {failure.index: failure.state for failure in report.failures()} == {2: "failed", 3: "failed"}


async def test_documents_without_a_number_in_the_order_they_were_sent(server: FaultyServer, arm: ArmClient) -> None:
    items: list[Any] = [{"documentType": "IN", "customerNo": "1"} for _ in range(4)]
    words = ["SUCCESS", "FAILED", "SUCCESS", "FAILED"]
    server.answer_result = lambda _: Answer(200, {"result": "PARTIAL", "documents": [{"result": word} for word in words]})
    report, _ = await run_to_end(arm.documents.create_many(items, options=options(max_records=10)))
    assert {failure.index: failure.state for failure in report.failures()} == {1: "failed", 3: "failed"}
    assert all(failure.key is None for failure in report.failures())


async def test_documents_without_a_number_where_the_order_is_plainly_another(server: FaultyServer, arm: ArmClient) -> None:
    """The keys show that the entries stand in another order: then a position says nothing of a record without key."""
    items = [document("A", 1), {"documentType": "IN", "customerNo": "1"}, {"documentType": "IN", "customerNo": "2"}]
    made = [
        {"documentNo": "900002", "result": "FAILED"},
        {"documentNo": "A", "result": "SUCCESS"},
        {"documentNo": "900001", "result": "SUCCESS"},
    ]
    server.answer_result = lambda _: Answer(200, {"result": "PARTIAL", "documents": made})
    report, _ = await run_to_end(arm.documents.create_many(items, options=options(max_records=10)))
    states = {failure.index: failure.state for failure in report.failures()}
    assert states == {1: "accepted", 2: "accepted"}


async def test_a_failure_of_the_whole_batch_with_a_list_that_names_nobody(server: FaultyServer, arm: ArmClient) -> None:
    server.answer_result = lambda _: Answer(
        200, {"status": "PROCESSED", "result": "FAILED", "details": [{"message": "the file is broken"}]}
    )
    server.said_failed.update(f"k{n}" for n in range(10))
    report, _ = await run_to_end(arm.customers.create_many(records("customers", 10), options=options()))
    check(report, server)
    assert report.counts["failed"] == 10


async def test_a_bare_list_of_entries(server: FaultyServer, arm: ArmClient) -> None:
    def result(batch: Batch) -> Answer:
        made = [{"customerNo": server.key(r), "status": "PROCESSED", "result": "FAILED"} for r in batch.records]
        server.said_failed.update(server.key(r) for r in batch.records)
        return Answer(200, made)

    server.answer_result = result
    report, _ = await run_to_end(arm.customers.create_many(records("customers", 10), options=options()))
    check(report, server)
    assert report.counts["failed"] == 10


@pytest.mark.parametrize("uuid", ["..", ".", "a/../../b", "a b?c#d", "%2e%2e", "å", "x" * 5000])
async def test_an_odd_batch_uuid(server: FaultyServer, arm: ArmClient, uuid: str) -> None:
    """Whatever the server names a batch, it costs no other batch, and no question leaves the path of batches."""
    take = server.accept

    def odd(seen: Any) -> Answer:
        answer = take(seen)
        if len(server.batches) == 1:
            server.batches[uuid] = next(iter(server.batches.values()))
            return Answer(202, {**answer.body, "batchUuid": uuid})
        return answer

    server.accept = odd
    report, error = await run_to_end(arm.documents.create_many(records("documents", 30), options=options()))
    assert error is None
    check(report, server)
    assert report.counts["succeeded"] >= 25
    assert all(seen.what.startswith(("batches/", "documents/batches", "customers")) for seen in server.seen)


@pytest.mark.parametrize(
    "body", [b'{"batchUuid":"x","n":1e99999999999999999999}', b'{"batchUuid":' + b"[" * 100_000, b'{"batchUuid":' + b"9" * 6000 + b"}"]
)
async def test_a_202_that_is_hard_to_read(server: FaultyServer, arm: ArmClient, body: bytes) -> None:
    take = server.accept

    def odd(seen: Any) -> Answer:
        answer = take(seen)
        return Answer(202, body) if len(server.batches) == 1 else answer

    server.accept = odd
    report, error = await run_to_end(arm.documents.create_many(records("documents", 30), options=options(concurrency=1)))
    assert error is None
    check(report, server)
    assert report.counts["succeeded"] == 25


@pytest.mark.parametrize("seed", range(10))
async def test_any_result_at_random(server: FaultyServer, arm: ArmClient, seed: int) -> None:
    """Whatever is mixed into the results, nothing is called what the server did not say."""
    rng = random.Random(seed)

    def change(made: list[dict[str, Any]]) -> list[Any]:
        made = [entry for entry in made if rng.random() < 0.9]
        if rng.random() < 0.5:
            rng.shuffle(made)
        return [dict(entry, result=rng.choice(["SUCCESS", "FAILED", "WHAT"])) for entry in made]

    def result(batch: Batch) -> Answer:
        chance = rng.random()
        if chance < 0.3:
            return rng.choice([Answer(500), Answer(202), Answer(200, {"x": 1}, missing=4), Answer(429)])
        return entries(change, http=rng.choice([200, 206]))(server, batch)

    server.answer_result = result
    report, error = await run_to_end(arm.documents.create_many(records("documents", 60), options=options(deadline=0.5)))
    assert error is None
    check(report, server)


@pytest.mark.parametrize("what", ["get", "wait", "wait_many"])
async def test_results_asked_for_one_by_one(server: FaultyServer, arm: ArmClient, what: str) -> None:
    receipts = [await arm.customers.create_batch(records("customers", 3, start=n)) for n in (0, 3, 6)]
    uuids = [receipt.batch_uuid for receipt in receipts]
    server.answer_result = lambda batch: (
        Answer(202, {"status": "NOT-PROCESSED"}) if batch.asked < 3 and what != "get" else by_record(server, batch)
    )
    if what == "get":
        results = [await arm.batches.get(uuid) for uuid in uuids]
    elif what == "wait":
        results = [await ends(arm.batches.wait(uuid, poll_first=0.001)) for uuid in uuids]
    else:
        async with arm.batches.wait_many(uuids, poll_first=0.001) as found:
            results = [result async for result in found]
    assert {result.batch_uuid for result in results} == set(uuids)
    assert all(result.is_final and result.outcome == "succeeded" and len(result.entries) == 3 for result in results)


async def test_wait_many_left_early_asks_no_more(server: FaultyServer, arm: ArmClient) -> None:
    receipts = [await arm.customers.create_batch(records("customers", 1, start=n)) for n in range(20)]
    server.answer_result = lambda batch: Answer(200, {"result": "SUCCESS"}) if batch.uuid == receipts[0].batch_uuid else Answer(202, {})
    async with arm.batches.wait_many((receipt.batch_uuid for receipt in receipts), poll_first=0.001) as found:
        async for result in found:
            assert result.outcome == "succeeded"
            break
    asked = len(server.seen)
    await arm.aclose()
    await server.all_closed()
    assert len(server.seen) == asked
