"""The same run once more: what was done is not done again, whatever the source looks like now, and the rest is sent."""

import asyncio
import json
import random

import msgspec
import pytest

from amili_arm_async import BulkError, Document
from amili_arm_async.sandbox import Fault

from ..support.sandbox_runs import (
    awaited,
    bare_invoices,
    bodies,
    ends_after,
    invoice,
    invoices,
    plan,
    questions,
    quick,
    send,
    slowly,
    snapshot,
    the_run,
    until,
    writes,
)

HALF = {"max_records": 3, "concurrency": 1, "run_id": "2026-11-20"}


async def half_done(arm, sandbox, journal, records):
    """A first attempt at 12 records: 3 succeeded, 3 rejected, 3 unknown (and taken), 3 were not sent."""
    plan(sandbox, [None, Fault.status(400), Fault.reset_after(), Fault.status(403)])
    ended = await send(arm, records, journal=journal, raises=BulkError, **HALF)
    assert ended.counts == {"succeeded": 3, "rejected": 3, "unknown": 3, "not_sent": 3}
    await sandbox.settled()


def full(numbered):
    """12 documents with fields of every sort."""
    return [
        invoice(
            f"D{index:03}" if numbered else None,
            index,
            emailAddress=["kari@example.com", "ola@example.com"],
            customCodes=[{"name": "a", "code": index}, {"name": "b", "code": None}],
            documentLines=[{"lineNo": 1, "lineText": "Strøm, «natt»" if index % 2 else "power", "price": 7}, {"lineNo": 2, "quantity": 3}],
            dueDate="2026-12-01",
            ledgerNote="",
            **({"distribution": None} if index % 3 == 2 else {}),
        )
        for index in range(12)
    ]


def other_order(record):
    """A mapping with its keys in another order, also those within it."""
    if isinstance(record, dict):
        return {name: other_order(value) for name, value in reversed(record.items())}
    return [other_order(item) for item in record] if isinstance(record, list) else record


def as_struct(record):
    return msgspec.convert(record, Document)


def as_bytes(record):
    return json.dumps(other_order(record), indent=2).encode()


def as_plain_bytes(record):
    return json.dumps(record, ensure_ascii=False).encode()


def as_compact_bytes(record):
    return json.dumps(record, separators=(",", ":")).encode()


def mixed(record):
    number = record["currencyAmounts"]["exclVat"]
    return [as_bytes, as_struct, other_order, as_compact_bytes, as_plain_bytes][number % 5](record)


SHAPES = {
    "the same": lambda records: records,
    "backwards": lambda records: records[::-1],
    "shuffled": lambda records: random.Random(7).sample(records, len(records)),
    "keys in another order": lambda records: [other_order(record) for record in records],
    "structs": lambda records: [as_struct(record) for record in records],
    "bytes": lambda records: [as_bytes(record) for record in records],
    "plain bytes": lambda records: [as_plain_bytes(record) for record in records],
    "compact bytes": lambda records: [as_compact_bytes(record) for record in records],
    "mixed and shuffled": lambda records: random.Random(3).sample([mixed(record) for record in records], len(records)),
    "a generator": lambda records: (record for record in records),
    "an async generator": slowly,
}


@pytest.mark.parametrize("numbered", [True, False], ids=["numbered", "bare"])
@pytest.mark.parametrize("shape", SHAPES)
async def test_what_was_done_is_done_whatever_the_source_looks_like(arm, sandbox, journal, shape, numbered):
    records = full(numbered)
    await half_done(arm, sandbox, journal, records)

    ended = await send(arm, SHAPES[shape](records), journal=journal, **HALF)

    assert ended.counts == {"done_before": 3, "unknown": 3, "succeeded": 6}
    assert not list(sandbox.documents.doubles())
    assert all(sandbox.documents.taken(record) == 1 for record in records)
    if numbered:
        assert {one.key for one in ended.failures.values()} == {"D006", "D007", "D008"}
    assert ended.report.left_behind == {}


@pytest.mark.parametrize("first", ["structs", "bytes", "plain bytes", "compact bytes", "keys in another order"])
@pytest.mark.parametrize("numbered", [True, False], ids=["numbered", "bare"])
async def test_the_first_attempt_may_have_had_another_kind_too(arm, sandbox, journal, first, numbered):
    records = full(numbered)
    await half_done(arm, sandbox, journal, SHAPES[first](records))

    ended = await send(arm, records, journal=journal, **HALF)

    assert ended.counts == {"done_before": 3, "unknown": 3, "succeeded": 6}
    assert not list(sandbox.documents.doubles())


@pytest.mark.parametrize("kind", ["documents", "customers"])
async def test_a_further_run_after_success_sends_nothing(arm, sandbox, journal, kind):
    records = [*invoices(20), *bare_invoices(5)] if kind == "documents" else [{"customerNo": str(n), "name": "x"} for n in range(25)]
    await send(arm, records, kind=kind, journal=journal, run_id="r", max_records=4)
    sandbox.recent.clear()

    for source in (records, records[::-1]):
        ended = await send(arm, source, kind=kind, journal=journal, run_id="r", max_records=7)
        assert ended.counts == {"done_before": 25}
        assert ended.report.totals.requests == ended.report.totals.batches_sent == ended.report.totals.bytes_sent == 0
    assert bodies(sandbox) == 0


async def test_a_source_that_has_grown(arm, sandbox, journal):
    await half_done(arm, sandbox, journal, invoices(12))

    grown = [*invoices(2, start=500), *invoices(12), *invoices(5, start=12), *bare_invoices(2)]
    ended = await send(arm, grown, journal=journal, **HALF)

    assert ended.counts == {"done_before": 3, "unknown": 3, "succeeded": 15}
    assert not list(sandbox.documents.doubles())
    assert len(sandbox.documents) == 21


async def test_a_source_that_has_shrunk_leaves_behind_what_may_be_with_the_server(arm, sandbox, journal):
    records = invoices(12)
    await half_done(arm, sandbox, journal, records)

    ended = await send(arm, records[:1] + records[8:], journal=journal, **HALF)

    assert ended.counts == {"done_before": 1, "unknown": 1, "succeeded": 3}
    assert ended.report.left_behind == {"unknown": 2}, "done and rejected ones are no loss"


async def test_left_behind_is_named_for_accepted_ones_too(arm, sandbox, journal):
    await send(arm, invoices(6), journal=journal, run_id="r", max_records=2, results="accepted")

    ended = await send(arm, invoices(2), journal=journal, run_id="r", results="accepted")

    assert ended.counts == {"accepted": 2}
    assert ended.report.left_behind == {"accepted": 4}


async def test_what_was_left_behind_and_turns_out_well_is_not_left_behind(arm, sandbox, journal):
    await send(arm, invoices(6), journal=journal, run_id="r", max_records=2, results="accepted")
    await sandbox.settled()

    ended = await send(arm, invoices(2), journal=journal, run_id="r")

    assert ended.counts == {"done_before": 2}
    assert ended.report.left_behind == {}


async def test_a_run_that_is_cut_off_calls_nothing_left_behind(arm, sandbox, journal):
    records = invoices(12)
    await half_done(arm, sandbox, journal, records)

    ended = await send(arm, ends_after(records[:1]), journal=journal, raises=BulkError, **HALF)

    assert ended.report.left_behind == {}, "the rest may have come yet"


@pytest.mark.parametrize("kept", ["plain", "async"])
async def test_a_source_that_raises_each_night_a_little_later(arm, sandbox, journal, kept):
    records = [*invoices(10), *bare_invoices(4)]
    for count in (1, 3, 4, 9, 9, 13):
        source = ends_after(records[:count])
        ended = await send(
            arm, source if kept == "plain" else slowly(source), journal=journal, run_id="r", max_records=2, concurrency=2, raises=BulkError
        )
        assert isinstance(ended.error.__cause__, LookupError)
        assert ended.report.totals.records_read == count

    ended = await send(arm, records, journal=journal, run_id="r", max_records=2)

    assert not ended.failures
    assert not list(sandbox.documents.doubles())
    assert len(sandbox.documents) == 14


async def test_batches_may_be_cut_otherwise_the_next_time(arm, sandbox, journal):
    records = [*invoices(32), *bare_invoices(10)]
    plan(sandbox, [None, Fault.reset_after(), Fault.status(422), None, Fault.status(502)])
    first = await send(arm, records, journal=journal, run_id="r", max_records=7, concurrency=1)
    assert first.counts == {"succeeded": 21, "unknown": 14, "rejected": 7}

    for size in (1, 40, 3):
        ended = await send(arm, records, journal=journal, run_id="r", max_records=size)
    assert ended.counts == {"done_before": 28, "unknown": 14}
    assert not list(sandbox.documents.doubles())


async def test_a_batch_that_was_split_is_known_by_its_parts(arm, sandbox, journal):
    records = invoices(16)
    sandbox.poison_record("D005")
    first = await send(arm, records, journal=journal, run_id="r", max_records=8, bisect="all", concurrency=1)
    assert first.counts == {"succeeded": 15, "rejected": 1}
    assert (await the_run(journal)).counts == {"succeeded": 15, "rejected": 1}

    ended = await send(arm, records, journal=journal, run_id="r", max_records=5, bisect="all")

    assert ended.counts == {"done_before": 15, "rejected": 1}
    assert ended.failures[5].key == "D005"
    assert not list(sandbox.documents.doubles())


async def test_a_batch_that_was_too_large_is_known_by_its_halves(arm, sandbox, journal):
    sandbox.inject(Fault.status(413), method="POST", times=2)
    records = [*invoices(10), *bare_invoices(6)]
    plan(sandbox, [None, Fault.reset_after()])
    first = await send(arm, records, journal=journal, run_id="r", concurrency=1)
    assert first.counts["unknown"] > 0
    assert first.counts["succeeded"] + first.counts["unknown"] == 16

    ended = await send(arm, records, journal=journal, run_id="r")

    assert ended.counts == {"done_before": first.counts["succeeded"], "unknown": first.counts["unknown"]}
    assert not list(sandbox.documents.doubles())


async def test_what_failed_is_sent_again(arm, sandbox, journal):
    sandbox.reject_record("D001")
    for _ in range(3):
        ended = await send(arm, invoices(3), journal=journal, run_id="r", max_records=1)
        assert ended.report.counts["failed"] == 1
        assert ended.failures[1].state == "failed"
    assert ended.counts == {"done_before": 2, "failed": 1}
    assert [sandbox.documents.taken(f"D{n:03}") for n in range(3)] == [1, 3, 1]
    assert sandbox.documents.stored("D001") == 0


async def test_what_was_not_sent_is_sent_the_next_time(arm, sandbox, journal):
    forbidden = sandbox.inject(Fault.status(403), method="POST", times=None)
    ended = await send(arm, invoices(100), journal=journal, run_id="r", max_records=10, raises=BulkError)
    assert ended.counts == {"not_sent": 100}
    assert forbidden.fired

    sandbox.clear_faults()
    ended = await send(arm, invoices(100), journal=journal, run_id="r", max_records=10)
    assert ended.counts == {"succeeded": 100}
    assert not list(sandbox.documents.doubles())


async def test_each_unknown_is_named_each_time(arm, sandbox, journal):
    plan(sandbox, [Fault.status(500), None, Fault.reset_before()])
    first = await send(arm, invoices(8), journal=journal, run_id="r", max_records=2, concurrency=1)
    again = await send(arm, invoices(8), journal=journal, run_id="r", max_records=3)

    said = {index: (one.key, one.state, one.reason) for index, one in first.failures.items()}
    assert {index: (one.key, one.state, one.reason) for index, one in again.failures.items()} == said
    assert len(said) == 4
    assert writes(sandbox) == 4


async def test_outcomes_of_a_resumed_run_come_out_of_the_loop_too(arm, sandbox, journal):
    await half_done(arm, sandbox, journal, invoices(12))
    run = arm.documents.create_many(invoices(12), options=quick(journal=journal, **HALF))
    seen = {}
    async with run:
        async for outcome in run:
            seen |= {record.index: record.state for record in outcome}

    assert seen == dict.fromkeys(range(3), "done_before") | dict.fromkeys(range(6, 9), "unknown") | dict.fromkeys(
        (3, 4, 5, 9, 10, 11), "succeeded"
    )


async def test_an_empty_source_goes_on_with_a_run(arm, sandbox, journal):
    await half_done(arm, sandbox, journal, invoices(12))

    ended = await send(arm, [], journal=journal, **HALF)

    assert ended.counts == {}
    assert ended.report.left_behind == {"unknown": 3}


async def test_another_run_id_sends_again_what_has_no_number(arm, sandbox, journal):
    source = [*invoices(3), *bare_invoices(2)]
    assert (await send(arm, source, journal=journal, run_id="one")).counts == {"succeeded": 5}
    assert (await send(arm, source, journal=journal, run_id="two")).counts == {"succeeded": 2, "invalid": 3}
    assert {sandbox.documents.taken(record) for record in invoices(3)} == {1}


async def test_a_key_may_hold_any_letter(arm, sandbox, journal):
    keys = ["é", "ß", "😀", 'q"\\', "İ", "a b", "%", "x" * 300, "=", "#", "?0", "a'b", "null", "0"]
    records = [invoice(key, n) for n, key in enumerate(keys)]
    first = await send(arm, records, journal=journal, run_id="r", max_records=3)
    assert first.counts == {"succeeded": len(keys)}

    ended = await send(arm, records[::-1], journal=journal, run_id="r", max_records=4)
    assert ended.counts == {"done_before": len(keys)}


async def test_a_key_with_a_nul(arm, sandbox, journal):
    records = [invoice(key, n) for n, key in enumerate(["a\0b", "a", "a\0c", "\0", "a\0"])]
    first = await send(arm, records, journal=journal, run_id="r", max_records=2)

    ended = await send(arm, records[::-1], journal=journal, run_id="r", max_records=3)

    assert first.counts == {"succeeded": 5}
    assert ended.counts == {"done_before": 5}


@pytest.mark.parametrize("taken", [True, False], ids=["taken", "not taken"])
async def test_what_was_on_the_wire_when_the_process_died(arm, sandbox, journal, folder, taken):
    """The journal as it is on the disk while a batch is on the wire: its outcome is unknown, so it is never sent again."""
    sandbox.inject(Fault.hang_after() if taken else Fault.hang_before(), method="POST", skip=1, times=None)
    records = [*invoices(5), *bare_invoices(3)]
    task = asyncio.create_task(
        awaited(arm.documents.create_many(records, options=quick(journal=journal, run_id="r", max_records=2, concurrency=1)))
    )
    await until(lambda: sandbox.in_flight and sandbox.documents.total_delivered >= 4 and questions(sandbox))
    copy = folder / "copy.sqlite"
    snapshot(journal, copy)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    sandbox.clear_faults()

    ended = await send(arm, records[::-1], journal=copy, run_id="r")

    assert set(ended.reasons) == {"unknown/crashed"}
    assert 2 <= ended.report.counts["unknown"] <= 4, "what was on the wire, and what was about to leave"
    assert ended.report.counts["done_before"] == 2
    assert not list(sandbox.documents.doubles())
    assert {batch.reason for batch in (await the_run(copy)).unknown_batches} == {"crashed"}


async def test_customers_that_were_on_the_wire_when_the_process_died(arm, sandbox, journal, folder):
    sandbox.inject(Fault.hang_after(), method="POST", skip=1, times=None)
    records = [{"customerNo": str(number), "name": "Kari"} for number in range(8)]
    task = asyncio.create_task(
        awaited(arm.customers.create_many(records, options=quick(journal=journal, run_id="r", max_records=2, concurrency=1)))
    )
    await until(lambda: sandbox.in_flight and sandbox.customers.total_delivered >= 4)
    copy = folder / "copy.sqlite"
    snapshot(journal, copy)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    sandbox.clear_faults()

    ended = await send(arm, records, kind="customers", journal=copy, run_id="r")

    # The journal may not have known yet that the first batch succeeded: customers are then sent again.
    assert set(ended.counts) <= {"done_before", "succeeded"}
    assert ended.counts["succeeded"] >= 6
    assert len(sandbox.customers) == 8
