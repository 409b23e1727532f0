"""Blocks of records go through a run as the same records would one by one, and nothing is done twice to them."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amili_arm_async import BulkError, Customer, codec
from amili_arm_async.bulk.blocks import RecordBlock
from amili_arm_async.bulk.chunking import Batch, Chunker, RecordType
from amili_arm_async.bulk.fingerprints import Fingerprinter
from amili_arm_async.bulk.outcomes import BatchOutcome, Outcome
from amili_arm_async.unreadable import UnreadableRecord
from amili_arm_async.wire import Envelope

from ..support.block_source import BlockRecords
from ..support.examples import many
from ..support.sandbox_fixtures import customers, quick
from .test_observers import Sieve, agrees, run_of

KIND = RecordType(Customer, "customer_no")
ENVELOPE = Envelope.of("customers", "TestUser")
SORTED = msgspec.json.Encoder(decimal_format="number", order="deterministic")

MAPPINGS = st.fixed_dictionaries(
    {"customerNo": st.sampled_from(["1", " 2", "æ3", "4\u00a0", "55555"]) | st.none()},
    optional={"name": st.text(max_size=30), "dueDays": st.integers(0, 99), "discountRate": st.decimals(0, 9, places=2)},
)
BAD = st.builds(lambda number: UnreadableRecord("line 1: bad", {"customerNo": number}), st.sampled_from(["7", None]))
RECORDS = st.lists(st.one_of(MAPPINGS, MAPPINGS, BAD), max_size=120)


def block_of(records: Sequence[Any], *, is_canonical: bool = True) -> RecordBlock:
    texts = [record if isinstance(record, (bytes, UnreadableRecord)) else SORTED.encode(record) for record in records]
    return RecordBlock(texts, [record.get("customerNo") for record in records], is_canonical=is_canonical)


def cut(
    blocks: Sequence[RecordBlock], max_records: int, max_bytes: int, *, require_key: bool = False
) -> tuple[list[Batch], list[BatchOutcome]]:
    made = Chunker(KIND, overhead=ENVELOPE.size, max_records=max_records, max_bytes=max_bytes, fingerprints=True, require_key=require_key)
    batches: list[Batch] = []
    for block in blocks:
        made.feed_block(block)
        while (batch := made.take()) is not None:
            batches.append(batch)
    while (batch := made.finish()) is not None:
        batches.append(batch)
    assert made.read == sum(map(len, blocks))
    return batches, [refused.outcome for refused in made.take_invalid()]


def told(batches: Sequence[Batch], refused: Sequence[BatchOutcome]) -> dict[int, Any]:
    """By index, what became of each record."""
    found: dict[int, Any] = {}
    for batch in batches:
        for index, key, text, fingerprint in zip(batch.indexes, batch.keys, batch.texts(), batch.fingerprints, strict=True):
            assert index not in found
            found[index] = key, text, fingerprint
    for outcome in refused:
        for one in outcome:
            assert one.index not in found
            found[one.index] = one.key, one.state, one.reason, one.message
    return found


@many(150)
@given(RECORDS, st.lists(st.integers(1, 50), min_size=1, max_size=6), st.integers(1, 60), st.integers(256, 3000), st.booleans())
def test_a_canonical_block_is_cut_into_the_records_that_its_texts_are(records, sizes, max_records, max_bytes, require_key) -> None:
    blocks, left = [], list(records)
    for size in sizes * 120:
        if left:
            blocks.append(block_of(left[:size]))
            del left[:size]
    batches, refused = cut(blocks, max_records, max_bytes, require_key=require_key)
    plain = [block_of(records, is_canonical=False)]
    assert told(batches, refused) == told(*cut(plain, max_records, max_bytes, require_key=require_key))
    for batch in batches:
        assert 1 <= len(batch) <= max_records
        assert ENVELOPE.size + batch.size <= max_bytes
        assert batch.size == len(b",".join(batch.pieces))
        assert list(batch.fingerprints) == [Fingerprinter(Customer).of(text) for text in batch.texts()]


def test_a_batch_of_a_block_is_as_full_as_it_can_be() -> None:
    texts = [b'{"customerNo":"%d"}' % number for number in range(100, 400)]
    block = RecordBlock(texts, [str(number) for number in range(100, 400)], is_canonical=True)
    size = len(texts[0])
    room = 40 * (size + 1) - 1
    batches, refused = cut([block], 1000, ENVELOPE.size + room)
    assert not refused
    assert [len(batch) for batch in batches] == [40] * 7 + [20]
    assert {batch.size for batch in batches[:-1]} == {room}
    batches, _ = cut([block], 7, 1_000_000)
    assert [len(batch) for batch in batches] == [7] * 42 + [6]


def test_a_broken_text_costs_only_itself() -> None:
    texts = [b'{"customerNo":"1"}', b"{", b'{"customerNo":"3","customerNo":"4"}', b'{"customerNo":"5"}']
    batches, refused = cut([RecordBlock(texts, None, is_canonical=False)], 1000, 10_000)
    assert [list(batch.indexes) for batch in batches] == [[0, 3]]
    assert [list(outcome.indexes) for outcome in refused] == [[1], [2]]


# --- rules that are applied later -----------------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.data())
def test_rules_are_applied_once_to_each_record_however_blocks_are_joined_and_parted(sizes, data) -> None:
    asked: list[bytes] = []

    def block(number: int, size: int) -> RecordBlock:
        texts = [b"%d-%d" % (number, place) for place in range(size)]

        def judge(places: Sequence[int]) -> Mapping[int, bytes]:
            asked.extend(texts[place] for place in places)
            return {place: texts[place] + b"!" for place in places if place % 2}

        return RecordBlock(texts, [None] * size, is_canonical=True, judge=judge)

    blocks = [block(number, size) for number, size in enumerate(sizes)]
    for one in blocks:
        one.apply_rules(sorted(data.draw(st.sets(st.integers(0, len(one) - 1)))))
    whole = blocks[0].joined_with(blocks[1:])
    middle = data.draw(st.integers(0, len(whole)))
    parts = [whole.part(0, middle), whole.part(middle, len(whole))]
    for part in parts:
        if part:
            part.apply_rules(sorted(data.draw(st.sets(st.integers(0, len(part) - 1)))))
        part.apply_rules()
        part.apply_rules()
        assert part.judge is None
    every = [b"%d-%d" % (number, place) for number, size in enumerate(sizes) for place in range(size)]
    assert sorted(asked) == sorted(every)
    ends = [text + b"!" if int(text.split(b"-")[1]) % 2 else text for text in every]
    assert [*parts[0], *parts[1]] == ends
    assert list(whole.only(range(0, len(whole), 2)).keys or ()) == [None] * len(range(0, len(whole), 2))


def refuse_or_rewrite(text: bytes) -> bytes | UnreadableRecord | None:
    value = json.loads(text)
    number = int(value["customerNo"])
    if number % 10 == 3:
        return UnreadableRecord(f"record {number}: refused", {"customerNo": str(number)})
    return text.replace(b"Customer", b"Rewritten") if number % 10 == 7 else None


class BlockSieve(Sieve):
    """Reads records of blocks."""

    async def filter(self, records: Sequence[Any], first: int) -> Mapping[int, Outcome]:
        return await super().filter([as_mapping(record) for record in records], first)

    def on_read(self, records: Sequence[Any], first: int) -> None:
        super().on_read([as_mapping(record) for record in records], first)


def as_mapping(record: Any) -> Mapping[str, Any]:
    return codec.json_object(record) or {} if isinstance(record, bytes) else record


@pytest.mark.parametrize("is_text", [False, True])
@pytest.mark.parametrize("size", [1, 7, 250, 5000])
@pytest.mark.parametrize("is_observed", [False, True])
async def test_what_goes_on_is_judged_and_what_does_not_is_not(is_text, size, is_observed, arm, sandbox) -> None:
    records = [json.dumps(one).encode() for one in customers(2100)] if is_text else list(customers(2100))
    source = BlockRecords(records, size=size, judge=refuse_or_rewrite)
    sieve = BlockSieve(turns=1)
    observers = (sieve,) if is_observed else ()
    options = quick(max_records=100)
    report = await arm.customers._bulk.run("customers.create_batch", source, options=options, user_id=None, observers=observers)
    went_on = [number for number in range(2100) if not is_observed or number % 3 == 0]
    refused = [number for number in went_on if number % 10 == 3]
    assert [json.loads(text)["customerNo"] for text in source.judged] == [str(number) for number in went_on]
    assert sorted((one.index, one.key, one.message) for one in report.failures()) == [
        (number, str(number), f"record {number}: refused") for number in refused
    ]
    assert report.counts["succeeded"] == len(sandbox.customers) == len(went_on) - len(refused)
    assert report.counts["unchanged"] == 2100 - len(went_on)
    for number in set(went_on) - set(refused):
        word = "Rewritten" if number % 10 == 7 else "Customer"
        assert (sandbox.customers.get(str(number)) or {})["name"] == f"{word} {number}"
    if is_observed:
        assert agrees(report, sieve)


# --- whatever ends the run ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_observed", [False, True])
async def test_a_source_of_blocks_that_raises(is_observed, arm) -> None:
    source = BlockRecords(list(customers(3000)), size=250, fails_at=1250, judge=refuse_or_rewrite)
    sieve = BlockSieve()
    observers = (sieve,) if is_observed else ()
    with pytest.raises(BulkError) as caught:
        await arm.customers._bulk.run("customers.create_batch", source, options=quick(), user_id=None, observers=observers)
    report = caught.value.report
    assert report.totals.records_read == sum(report.counts.values()) == 1250
    assert not report.source_exhausted
    if is_observed:
        assert agrees(report, sieve)


async def test_an_observer_that_can_not_go_on_ends_the_run_and_the_blocks_are_named(arm) -> None:
    source = BlockRecords(list(customers(4000)), size=300, judge=refuse_or_rewrite)
    sieve = BlockSieve(fails_at=1500)
    with pytest.raises(BulkError) as caught:
        await run_of(arm, source, sieve)
    assert caught.value.report.totals.records_read == 4000
    assert caught.value.report.source_exhausted
    assert len(source.judged) == len(set(source.judged))
    assert agrees(caught.value.report, sieve)


@pytest.mark.parametrize("turns", [*range(1, 60, 4), 100, 200, 400])
async def test_cancellation_at_any_moment(turns, arm) -> None:
    sieve = BlockSieve(turns=2)
    source = BlockRecords(list(customers(3000)), size=170, turns=1, judge=refuse_or_rewrite)
    run = run_of(arm, source, sieve, quick(max_records=50))
    task = asyncio.ensure_future(run._whole())
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert len(source.judged) == len(set(source.judged))
    assert agrees(run.report, sieve)


async def test_a_block_that_comes_late_is_sent_before_the_next_one_is_there(arm, sandbox) -> None:
    source = BlockRecords(list(customers(20)), size=10)
    arrived = asyncio.Event()
    whole = source.blocks

    async def blocks() -> Any:
        async for number, block in _counted(whole()):
            if number:
                await arrived.wait()
            yield block

    source.blocks = blocks  # type: ignore[method-assign]
    run = arm.customers.create_many(source, options=quick())
    async with run:
        async for outcome in run:
            assert len(outcome) == 10
            arrived.set()
    assert len(sandbox.customers) == 20


async def _counted(blocks: Any) -> Any:
    number = 0
    async for block in blocks:
        yield number, block
        number += 1
