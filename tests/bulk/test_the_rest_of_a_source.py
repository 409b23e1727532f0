"""Whatever ends a run early, a source that has an end is read to it and every record is named; another source is told to be unread."""

from __future__ import annotations

import asyncio
import io
import json
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from amili_arm_async import BulkError, BulkOptions, open_records
from amili_arm_async.cli.html_report.page import render_page
from amili_arm_async.nightly.report import read_report
from amili_arm_async.sandbox import Fault

from ..support.sandbox_fixtures import quick

NUMBER = 3000


def invoice(number: int) -> dict[str, Any]:
    return {
        "documentNo": f"d{number}",
        "documentType": "IN",
        "customerNo": "1",
        "currency": "NOK",
        "currencyAmounts": {"inclVat": number % 7},
    }


def write_lines(path: Path, number: int = NUMBER) -> Path:
    path.write_text("".join(json.dumps(invoice(n)) + "\n" for n in range(number)))
    return path


class Rows:
    """A source with a length that is no list."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __len__(self) -> int:
        return self.number

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return map(invoice, range(self.number))


class AsyncRows(Rows):
    """The same, to be read in a loop."""

    __iter__ = None  # type: ignore[assignment]

    async def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        for number in range(self.number):
            yield invoice(number)


SIZED: dict[str, Callable[[Path], Any]] = {
    "list": lambda _: list(map(invoice, range(NUMBER))),
    "tuple": lambda _: tuple(map(invoice, range(NUMBER))),
    "with a length": lambda _: Rows(NUMBER),
    "async with a length": lambda _: AsyncRows(NUMBER),
    "file": lambda path: open_records(write_lines(path / "in.jsonl"), "documents"),
    "file in memory": lambda path: open_records(io.BytesIO(write_lines(path / "in.jsonl").read_bytes()), "documents"),
}


async def endless() -> AsyncIterator[dict[str, Any]]:
    number = 0
    while True:
        if number % 100 == 0:
            await asyncio.sleep(0)
        yield invoice(number)
        number += 1


def endless_too() -> Iterator[dict[str, Any]]:
    number = 0
    while True:
        yield invoice(number)
        number += 1


def named(report: Any) -> dict[int, tuple[str | None, str, str]]:
    """What the report names, each record once."""
    found = {failure.index: (failure.key, failure.state, failure.reason) for failure in report.failures()}
    assert len(found) == report.failed_records
    assert sum(report.counts.values()) == report.totals.records_read
    return found


async def ended(run: Any) -> Any:
    """The report of a run that could not continue."""
    with pytest.raises(BulkError):
        await asyncio.wait_for(_whole(run), 60)
    return run.report


async def _whole(run: Any) -> None:
    await run


@pytest.mark.parametrize("with_journal", [True, False], ids=["journal", "no journal"])
@pytest.mark.parametrize("source", SIZED)
async def test_after_a_refusal_every_record_of_what_has_an_end_is_named(source, with_journal, arm, sandbox, tmp_path) -> None:
    sandbox.inject(Fault.status(403), method="POST", times=None, skip=2)
    more = {"journal": tmp_path / "j.sqlite", "run_id": "one"} if with_journal else {}
    letters = tmp_path / "dead.jsonl"
    options = quick(max_records=100, concurrency=1, dead_letter=letters, **more)
    report = await ended(arm.documents.create_many(SIZED[source](tmp_path), options=options))
    assert report.totals.records_read == NUMBER
    assert report.counts["succeeded"] == 200
    assert report.counts["not_sent"] == NUMBER - 200
    found = named(report)
    assert sorted(found) == list(range(200, NUMBER))
    assert {(key, state, reason) for key, state, reason in found.values()} == {(f"d{n}", "not_sent", "403") for n in range(200, NUMBER)}
    assert report.source_exhausted
    assert report.not_read == 0
    assert not report.ok
    lines = [json.loads(line) for line in letters.read_text().splitlines()]
    assert sorted(line["index"] for line in lines) == list(range(200, NUMBER))
    assert all(line["payload"] == invoice(line["index"]) for line in lines)


@pytest.mark.parametrize("source", [endless, endless_too])
async def test_a_source_that_may_never_end_is_not_read_on_and_the_report_says_so(source, arm, sandbox) -> None:
    sandbox.inject(Fault.status(403), method="POST", times=None)
    report = await ended(arm.documents.create_many(source(), options=quick(max_records=10)))
    assert named(report)
    assert report.totals.records_read < 2000
    assert not report.source_exhausted
    assert report.not_read is None
    assert not report.ok
    assert "not read to its end" in report.summary()
    assert "not read to its end" in repr(report)
    with pytest.raises(BulkError):
        report.raise_for_failures()


async def test_without_a_failure_it_still_raises_where_not_all_was_read(arm, sandbox) -> None:
    run = arm.documents.create_many(endless(), options=quick(max_records=10))
    async with run:
        async for _ in run:
            break
    assert run.report.failed_records == run.report.counts["not_sent"] + run.report.counts["accepted"]
    assert not run.report.ok
    with pytest.raises(BulkError):
        run.report.raise_for_failures()


async def test_a_source_that_was_left_unread_is_told_by_number_where_it_has_a_length(arm, sandbox) -> None:
    run = arm.documents.create_many(list(map(invoice, range(NUMBER))), options=quick(max_records=10, concurrency=1))
    async with run:
        async for _ in run:
            break
    report = run.report
    assert not report.source_exhausted
    assert report.not_read == NUMBER - report.totals.records_read > 0
    assert f"{report.not_read:,} records of it were not read" in report.summary()


async def test_a_run_that_reads_all_says_so(arm, sandbox) -> None:
    for number in (0, 1, 250):
        for source in (map(invoice, range(number)), list(map(invoice, range(number))), AsyncRows(number)):
            report = await arm.documents.create_many(source, options=quick(max_records=100, resend_known=True))
            assert report.source_exhausted
            assert report.ok
            assert report.not_read == 0
            assert "not read" not in report.summary()
            report.raise_for_failures()


async def test_patience_names_the_rest_of_a_file(arm, sandbox, tmp_path) -> None:
    sandbox.inject(Fault.status(429), method="POST", times=None)
    records = open_records(write_lines(tmp_path / "in.jsonl", 500), "documents")
    report = await ended(arm.documents.create_many(records, options=quick(max_records=10, patience=0.2)))
    assert report.counts["not_sent"] == report.totals.records_read == len(named(report)) == 500
    assert report.source_exhausted


async def test_the_budget_of_failures_names_the_rest_of_a_file(arm, sandbox, tmp_path) -> None:
    sandbox.inject(Fault.status(422), method="POST", times=None)
    records = open_records(write_lines(tmp_path / "in.jsonl", 500), "documents")
    report = await ended(arm.documents.create_many(records, options=quick(max_records=10, concurrency=1, stop_after_failures=20)))
    assert report.totals.records_read == len(named(report)) == 500
    assert report.counts["not_sent"] >= 400
    assert report.source_exhausted


async def test_what_the_rest_of_a_file_holds_that_can_not_be_read_is_invalid(arm, sandbox, tmp_path) -> None:
    sandbox.inject(Fault.status(403), method="POST", times=None)
    path = tmp_path / "in.csv"
    rows = [f"c{number};{'x' if number % 100 == 50 else number % 30}" for number in range(1000)]
    path.write_text("customerNo;dueDays\n" + "\n".join(rows) + "\n")
    report = await ended(arm.customers.create_many(open_records(path), options=quick(max_records=10)))
    found = named(report)
    assert sorted(found) == list(range(1000))
    unreadable = {index for index, (_, state, _) in found.items() if state == "invalid"}
    assert unreadable == set(range(50, 1000, 100))
    assert {state for index, (_, state, _) in found.items() if index not in unreadable} == {"not_sent"}


async def test_the_rest_of_a_file_is_named_as_what_an_earlier_attempt_did(arm, sandbox, tmp_path) -> None:
    path = write_lines(tmp_path / "in.jsonl", 300)
    options = quick(max_records=10, concurrency=1, journal=tmp_path / "j.sqlite", run_id="one")
    assert (await arm.documents.create_many(open_records(path, "documents"), options=options)).ok
    path.write_text(json.dumps(invoice(999)) + "\n" + path.read_text() + json.dumps(invoice(1000)) + "\n")
    sandbox.inject(Fault.status(403), method="POST", times=None)
    report = await ended(arm.documents.create_many(open_records(path, "documents"), options=options))
    assert report.counts["done_before"] == 300
    assert {key for key, _, _ in named(report).values()} == {"d999", "d1000"}
    assert report.source_exhausted


async def test_money_and_report_of_the_night_hold_the_rest(arm, sandbox, tmp_path) -> None:
    sandbox.inject(Fault.status(403), method="POST", path="documents/batches", times=None)
    run = arm.nightly(
        customers=[{"customerNo": "1", "name": "Somebody"}],
        documents=open_records(write_lines(tmp_path / "in.jsonl"), "documents"),
        document_options=BulkOptions(max_records=100),
    )
    with pytest.raises(BulkError):
        await run.run_with(_whole)
    night = run.report
    assert night.documents.totals.records_read == NUMBER
    assert night.money.adds_up
    assert night.money.currencies[0].states["not_sent"].total == Decimal(sum(n % 7 for n in range(NUMBER)))
    assert night.source_exhausted
    assert night.not_begun == ()
    told = night.to_dict()
    assert told["source_exhausted"] is True
    assert told["parts"][1]["not_read"] == 0


async def test_a_part_that_was_not_begun_is_told(arm, sandbox, tmp_path) -> None:
    sandbox.inject(Fault.status(403), method="POST", times=None)
    with open_records(write_lines(tmp_path / "in.jsonl", 10), "documents") as records:
        run = arm.nightly(
            customers=({"customerNo": f"c{number}", "name": "Somebody"} for number in range(5000)),
            documents=records,
            customer_options=BulkOptions(max_records=10),
        )
        with pytest.raises(BulkError):
            await run.run_with(_whole)
    night = run.report
    assert night.not_begun == ("documents",)
    assert not night.source_exhausted
    assert not night.ok
    assert "none of its records was read" in night.summary()
    with pytest.raises(BulkError):
        night.raise_for_failures()
    document = read_report(json.dumps(night.to_dict()).encode())
    assert document.not_begun == ["documents"]
    assert document.source_exhausted is document.parts[0].source_exhausted is document.ok is False
    page = render_page(document)
    assert "not read to its end" in page
    assert "Documents were not started" in page


async def test_a_sync_says_whether_all_was_read(arm, sandbox, tmp_path) -> None:
    sandbox.inject(Fault.status(403), method="POST", times=None)
    run = arm.customers.sync(
        ({"customerNo": f"c{number}", "name": "Somebody"} for number in range(5000)), state=tmp_path / "s", options=quick(max_records=10)
    )
    await ended(run)
    assert not run.report.source_exhausted
    assert not run.report.ok
    assert "not read to its end" in repr(run.report)


async def test_a_source_that_raises_while_its_rest_is_named_is_not_exhausted(arm, sandbox) -> None:
    class Raising(Rows):
        def __iter__(self) -> Iterator[dict[str, Any]]:
            yield from map(invoice, range(2000))
            raise RuntimeError

    sandbox.inject(Fault.status(403), method="POST", times=None)
    report = await ended(arm.documents.create_many(Raising(NUMBER), options=quick(max_records=10)))
    assert report.totals.records_read == len(named(report)) == 2000
    assert not report.source_exhausted
    assert report.not_read == 1000


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89])
@pytest.mark.parametrize("source", ["list", "async with a length", "file"])
async def test_cancelled_while_the_rest_is_named_each_record_is_in_one_place(source, turns, arm, sandbox, tmp_path) -> None:
    sandbox.inject(Fault.status(403), method="POST", times=None)
    options = quick(max_records=100, journal=tmp_path / "j.sqlite", run_id="one", dead_letter=tmp_path / "dead.jsonl")
    run = arm.documents.create_many(SIZED[source](tmp_path), options=options)
    task = asyncio.ensure_future(_whole(run))
    while run.report.counts["not_sent"] == 0 and not task.done():
        await asyncio.sleep(0)
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task], timeout=60)
    assert task.done()
    found = named(run.report)
    assert sorted(found) == list(range(run.report.totals.records_read))
    assert {index: key for index, (key, _, _) in found.items()} == {index: f"d{index}" for index in found}
    # Of what was on the wire, nobody knows.
    assert {state for _, state, _ in found.values()} <= {"not_sent", "unknown"}
    if run.report.source_exhausted or source == "list":
        assert run.report.source_exhausted is (run.report.totals.records_read == NUMBER)
    assert run.report.not_read in ({None, 0} if source == "file" else {NUMBER - run.report.totals.records_read})


@pytest.mark.proof
async def test_a_long_file_is_named_in_bounded_memory(arm, sandbox, tmp_path) -> None:
    sandbox.inject(Fault.status(403), method="POST", times=None)
    peaks = []
    # Both are read in many blocks. How many of these are there at a time depends on who has his turn when.
    for number in (20_000, 80_000):
        records = open_records(write_lines(tmp_path / "in.jsonl", number), "documents")
        options = quick(dead_letter=tmp_path / "dead.jsonl", journal=tmp_path / f"{number}.sqlite", run_id="one")
        tracemalloc.start()
        report = await ended(arm.documents.create_many(records, options=options))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert report.totals.records_read == number
    assert peaks[1] < peaks[0] + 2_000_000
