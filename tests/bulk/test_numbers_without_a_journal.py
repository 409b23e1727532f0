"""Without a journal, too, the same documentNo in one source is sent once: exactly, and in memory that does not grow with the source."""

from __future__ import annotations

import random
import tracemalloc

import pytest

from amili_arm_async import BulkError, JournalError
from amili_arm_async.bulk.journal import repeats
from amili_arm_async.bulk.journal.repeats import Repeats
from amili_arm_async.sandbox import Fault, Sandbox

from ..support.sandbox_runs import client_of, customers, invoice, invoices, plan, send


@pytest.fixture
async def sandbox():
    async with Sandbox(process_delay=0.0, require_customers=False, seed=1) as sandbox:
        yield sandbox


@pytest.fixture
async def arm(sandbox):
    async with client_of(sandbox) as arm:
        yield arm


@pytest.mark.parametrize("settings", [{}, {"results": "accepted"}, {"bisect": "all"}, {"letter": True}], ids=str)
@pytest.mark.parametrize("most", [1, 4, 1000])
async def test_a_number_that_comes_again_is_sent_once(arm, sandbox, tmp_path, settings, most):
    source = [
        *invoices(5),
        invoice("d003", 3),
        invoice(" D001", 99),
        *invoices(10, start=10),
        invoice("D012", 12),
        invoice(None),
        invoice(None),
    ]
    settings = dict(settings)
    if settings.pop("letter", False):
        settings["dead_letter"] = tmp_path / "failed.jsonl"
    outcome = await send(arm, source, max_records=most, **settings)
    failed = {index: (one.state, one.reason) for index, one in outcome.failures.items() if one.state == "invalid"}
    assert failed == dict.fromkeys((5, 6, 17), ("invalid", "document_no_repeated"))
    assert {one.taken for one in sandbox.documents if one.key.startswith("d")} == {1}


async def test_one_that_was_not_sent_is_not_in_the_way_of_the_next(arm, sandbox):
    source = [{**invoice("D1"), "price": float("nan")}, {**invoice("D2"), "text": "x" * 3000}, invoice("D1"), invoice("D2"), invoice("D1")]
    outcome = await send(arm, source, max_bytes=2000)
    assert [outcome.failures[place].reason if place in outcome.failures else "" for place in range(5)] == [
        "not_encodable",
        "too_large",
        "",
        "",
        "document_no_repeated",
    ]
    assert not list(sandbox.documents.doubles())


async def test_one_that_was_refused_is_in_the_way(arm, sandbox):
    """It went out: what comes after it can't know what becomes of it."""
    plan(sandbox, [Fault.status(400)])
    outcome = await send(arm, [invoice("D1"), invoice("D1")], max_records=1, concurrency=1)
    assert outcome.reasons == {"rejected/400": 1, "invalid/document_no_repeated": 1}


async def test_customers_are_sent_as_often_as_they_come(arm, sandbox):
    assert (await send(arm, [*customers(3), *customers(3)], kind="customers")).counts == {"succeeded": 6}


@pytest.mark.parametrize("seed", range(5))
async def test_in_whatever_order(seed):
    rng = random.Random(seed)
    numbers = list(range(3000))
    if seed % 2:
        rng.shuffle(numbers)
    source = [f"A{number}" if number % 3 else f"b{number:06}" for number in numbers]
    for _ in range(rng.randrange(40)):
        source.insert(rng.randrange(len(source)), rng.choice(source).swapcase())
    found, seen, expected = [], set(), []
    made = Repeats()
    place = 0
    while place < len(source):
        some = source[place : place + rng.randrange(1, 200)]
        found += [place + position for position in await made.find(some)]
        place += len(some)
    made.close()
    for position, key in enumerate(source):
        if key.casefold() in seen:
            expected.append(position)
        seen.add(key.casefold())
    assert found == expected


@pytest.mark.proof
async def test_far_apart_and_in_flat_memory(monkeypatch):
    made = Repeats()
    tracemalloc.start()
    try:
        for first in range(0, 500_000, 1000):
            assert await made.find([f"{number:08}" for number in range(first, first + 1000)]) == []
            if first == 100_000:
                before, _ = tracemalloc.get_traced_memory()
        after, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 1_000_000
    assert most < 8_000_000
    assert await made.find(["00499999", "00500000", "00000007", "00500000"]) == [0, 2, 3]
    assert await made.find(["00000000", None, "00500001"]) == [0]
    made.close()


async def test_a_disk_without_room_ends_the_run_with_every_record_named(arm, sandbox, monkeypatch):
    class Full:
        def write(self, _):
            raise OSError(28, "No space left on device")

        def close(self):
            pass

    monkeypatch.setattr(repeats.tempfile, "SpooledTemporaryFile", lambda **_: Full())
    outcome = await send(arm, invoices(5), raises=BulkError)
    assert isinstance(outcome.error.__cause__, JournalError)
    assert "TMPDIR" in str(outcome.error)
    assert outcome.counts == {"not_sent": 5}
    assert sandbox.documents.total_delivered == 0
