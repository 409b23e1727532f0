"""A sync of blocks: what has not changed is judged again only by other rules; what is kept is the digest of what was sent."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amili_arm_async import BulkError, Customer
from amili_arm_async.bulk.chunking import RecordType
from amili_arm_async.bulk.report import Expectation
from amili_arm_async.sync.delta import Delta
from amili_arm_async.sync.state import Found, StateRow, SyncState, Unsettled, name_of
from amili_arm_async.unreadable import UnreadableRecord

from ..support.block_source import BlockRecords
from ..support.examples import many
from ..support.postgres import value_in
from .conftest import numbers


def texts(count: int, name: str = "Customer") -> list[bytes]:
    return [json.dumps({"name": f"{name} {number}", "customerNo": str(number)}).encode() for number in range(count)]


def shout(text: bytes) -> bytes | UnreadableRecord | None:
    """Rewrites one in ten, refuses one in a hundred."""
    number = int(json.loads(text)["customerNo"])
    if number % 100 == 3:
        return UnreadableRecord(f"record {number}: refused", {"customerNo": str(number)})
    return text.replace(b"Customer", b"CUSTOMER") if number % 10 == 7 else None


def rules_in(state: Any) -> str | None:
    found: str | None = value_in(state, "SELECT rules FROM owner", "SELECT rules FROM amili_arm.states")
    return found


@pytest.mark.parametrize("size", [1, 130, 5000])
async def test_what_has_not_changed_is_not_judged_again(size, sync, state, sandbox) -> None:
    first = BlockRecords(texts(1500), size=size, judge=shout)
    assert numbers(await sync(first)) == (1485, 0, 0, 0, 15)
    assert len(first.judged) == 1500
    assert rules_in(state) == "1"
    again = BlockRecords(texts(1500), size=size, judge=shout)
    before = sandbox.customers.total_delivered
    assert numbers(await sync(again)) == (0, 0, 1485, 0, 15)
    assert sandbox.customers.total_delivered == before
    # Those that are refused, and those that were not sent as they stand in the source.
    assert [int(json.loads(text)["customerNo"]) for text in again.judged] == [
        number for number in range(1500) if number % 100 == 3 or number % 10 == 7
    ]


async def test_other_rules_judge_everything_again(sync, state, sandbox) -> None:
    await sync(BlockRecords(texts(1500), judge=lambda _: None, rules="1"))
    source = BlockRecords(texts(1500), judge=shout, rules="2")
    assert numbers(await sync(source)) == (0, 150, 1335, 0, 15)
    assert len(source.judged) == 1500
    assert rules_in(state) == "2"
    assert (sandbox.customers.get("7") or {})["name"] == "CUSTOMER 7"


async def test_a_sync_that_did_not_come_to_its_end_leaves_no_rules(sync, state) -> None:
    await sync(BlockRecords(texts(1500), judge=shout))
    with pytest.raises(BulkError):
        await sync(BlockRecords(texts(1500), judge=shout, fails_at=700))
    assert rules_in(state) is None
    again = BlockRecords(texts(1500), judge=shout)
    assert numbers(await sync(again)) == (0, 0, 1485, 0, 15)
    assert len(again.judged) == 1500
    assert rules_in(state) == "1"


async def test_records_of_the_program_are_judged_by_no_rules(sync, state) -> None:
    plain = [json.loads(text) for text in texts(300)]
    await sync(plain)
    assert rules_in(state) == ""
    source = BlockRecords(texts(300), judge=lambda _: None)
    assert numbers(await sync(source)) == (0, 0, 300, 0, 0)
    assert len(source.judged) == 300
    assert numbers(await sync(BlockRecords(plain))) == (0, 0, 300, 0, 0)


@pytest.mark.parametrize("order", ["sorted", "shuffled", "numeric"])
async def test_any_order_of_the_source_finds_each_customer(order, sync) -> None:
    records = [{"customerNo": str(number), "name": "a"} for number in range(1, 4000)]
    if order == "shuffled":
        random.Random(1).shuffle(records)
    if order == "sorted":
        records.sort(key=lambda record: record["customerNo"])
    assert numbers(await sync(BlockRecords(records)))[0] == 3999
    # Half of them, some with other content, some new ones, and some twice.
    some = [{**one, "name": "b"} if int(one["customerNo"]) % 50 == 0 else one for one in records[::2]]
    some += [{"customerNo": f"n{number}", "name": "a"} for number in range(100)]
    changed = sum(one["name"] == "b" for one in some)
    report = await sync(BlockRecords([*some, *records[:10:2]]))
    again = sum(int(one["customerNo"]) % 50 == 0 for one in records[:10:2])
    assert numbers(report) == (100, changed + again, len(some) - 100 - changed + 5 - again, 0, 0)
    assert report.gone == 3999 - len(records[::2])
    assert sorted(report.gone_keys()) == sorted(one["customerNo"] for one in records[1::2])


@pytest.mark.needs_file
@pytest.mark.parametrize("keys", [["a\0b", "c", "\0"], ["\ud800", "x"], ["Å", "å2", "ß"], ["1"], [str(number) for number in range(3000)]])
async def test_all_look_ups_find_the_same(keys, state) -> None:
    kept = SyncState(state, "https://localhost/", 2218)
    await kept.open()
    others = [f"other{number}" for number in range(50)]
    kept.save([StateRow(key, name_of(key), bytes(12)) for key in [*keys, *others]], ())
    wanted = [name_of(key) for key in [*keys[::2], "not there"]]
    expected = sorted(name_of(key) for key in keys[::2])
    for listed in (0, 5):
        kept._listed = listed
        for names in (wanted, sorted(wanted), wanted[::-1]):
            found = await kept.find(names)
            assert sorted(found.names) == expected
            assert len(found.names) == len(found.numbers) == len(found.digests) == len(set(found.numbers))
    await kept.close()


NAMES = st.sampled_from([b"1", b"2", b"3", b"4", b"5"])
DIGESTS = st.sampled_from([b"a" * 12, b"b" * 12, None])


@many(300)
@given(st.lists(st.tuples(NAMES, DIGESTS), max_size=8), st.dictionaries(NAMES, DIGESTS, max_size=5), st.sets(NAMES), st.booleans())
def test_the_quick_comparison_says_what_the_long_one_does(records, known, late, full) -> None:
    names, digests = [name for name, _ in records], [digest for _, digest in records]
    there = sorted(set(known) & set(names))
    unsettled = {name: Unsettled(None, 1) for name in late & set(there)}
    found = Found(there, list(range(len(there))), [known[name] for name in there], unsettled)
    state = SyncState("x", "https://localhost/", 1)
    delta = Delta(state, RecordType(Customer, "customer_no"), full=full, expectation=Expectation(0))
    outgoing, unchanged, outdated = delta._compare(names, digests, found)
    # In another order the quick one is never taken.
    turned = Found(there[::-1], list(range(len(there)))[::-1], [known[name] for name in there[::-1]], unsettled)
    again = delta._compare(names, digests, turned if len(there) > 1 else found)
    assert (outgoing, list(unchanged), outdated) == (again[0], list(again[1]), again[2])


@given(st.lists(st.lists(st.integers(1, 90), unique=True, min_size=1, max_size=20), max_size=6), st.integers(1, 90))
def test_every_number_is_seen_once(lots, end) -> None:
    state = SyncState("x", "https://localhost/", 1)
    state.next = end
    expectation = Expectation(0)
    delta = Delta(state, RecordType(Customer, "customer_no"), full=False, expectation=expectation)
    delta._seen = bytearray((end >> 3) + 1)
    lots = [*lots, *[list(range(min(lot), min(lot) + len(lot))) for lot in lots]]
    for lot in lots:
        delta._mark_seen(lot)
    seen = {number for lot in lots for number in lot if number < end}
    assert expectation.seen == len(seen)
    assert {number for number in range(end) if delta._seen[number >> 3] & 1 << (number & 7)} == seen
