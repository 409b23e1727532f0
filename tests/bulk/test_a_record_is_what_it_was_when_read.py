"""A record is what it was when it was read, whatever its owner does with it afterwards."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amili_arm_async import BulkOptions, Customer, Document, PostalAddress
from amili_arm_async.bulk.chunking import Chunker, RecordType
from amili_arm_async.bulk.copies import snapshot
from amili_arm_async.bulk.source import Source

from ..support.examples import many

NUMBER = 50
KIND = RecordType(Customer, "customer_no")


def one_dict() -> Iterator[dict[str, Any]]:
    record: dict[str, Any] = {}
    for number in range(NUMBER):
        record["customerNo"], record["name"] = f"c{number}", f"Name {number}"
        yield record


def two_dicts_in_turn() -> Iterator[dict[str, Any]]:
    records: list[dict[str, Any]] = [{}, {}]
    for number in range(NUMBER):
        record = records[number % 2]
        record.update(customerNo=f"c{number}", name=f"Name {number}")
        yield record


def one_struct() -> Iterator[Customer]:
    record = Customer(customer_no="", postal_address=PostalAddress(city_name=""))
    for number in range(NUMBER):
        record.customer_no, record.name = f"c{number}", f"Name {number}"
        assert isinstance(record.postal_address, PostalAddress)
        record.postal_address.city_name = f"City {number}"
        yield record


def one_address_for_all() -> Iterator[dict[str, Any]]:
    address: dict[str, Any] = {}
    for number in range(NUMBER):
        address["cityName"] = f"City {number}"
        yield {"customerNo": f"c{number}", "name": f"Name {number}", "postalAddress": address}


def one_list_for_all() -> Iterator[dict[str, Any]]:
    codes: list[str] = []
    for number in range(NUMBER):
        codes[:] = [f"D{number}"]
        yield {"customerNo": f"c{number}", "name": f"Name {number}", "districtCodes": codes}


def one_bytearray() -> Iterator[bytearray]:
    record = bytearray()
    for number in range(NUMBER):
        record[:] = json.dumps({"customerNo": f"c{number}", "name": f"Name {number}"}).encode()
        yield record


class Row(Mapping[str, Any]):
    """A row of a cursor, always the same one."""

    def __init__(self) -> None:
        self.values_now: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        return self.values_now[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_now)

    def __len__(self) -> int:
        return len(self.values_now)


def one_mapping() -> Iterator[Row]:
    row = Row()
    for number in range(NUMBER):
        row.values_now = {"customerNo": f"c{number}", "name": f"Name {number}"}
        yield row


class EmptiedList(list[Any]):
    """A list whose iterator empties each item behind itself."""

    def __iter__(self) -> Iterator[Any]:
        for item in super().__iter__():
            yield item
            item.clear()


def emptied_behind_itself() -> EmptiedList:
    return EmptiedList({"customerNo": f"c{number}", "name": f"Name {number}"} for number in range(NUMBER))


SOURCES: list[Callable[[], Any]] = [
    one_dict,
    two_dicts_in_turn,
    one_struct,
    one_address_for_all,
    one_list_for_all,
    one_bytearray,
    one_mapping,
    emptied_behind_itself,
]


async def as_async(source: Any) -> AsyncIterator[Any]:
    for number, record in enumerate(source):
        if number % 7 == 3:
            await asyncio.sleep(0)
        yield record


def texts_of(source: Any) -> list[Any]:
    """What a program sees that looks at each record as soon as it has it."""
    return [json.loads(json.dumps(_plain(record))) for record in source]


def _plain(record: Any) -> Any:
    if isinstance(record, (bytes, bytearray)):
        return json.loads(bytes(record))
    return msgspec.to_builtins(record if isinstance(record, Customer) else dict(record))


async def arrived_as(sandbox: Any, expected: list[Any]) -> bool:
    """Whether the server has each of these customers, with these contents, and took each once."""
    await sandbox.settled()
    for record in expected:
        stored = sandbox.customers.get(record["customerNo"])
        assert stored is not None, record
        for name, value in record.items():
            found = stored[name]
            assert (value.items() <= found.items()) if isinstance(value, dict) else found == value, (record, stored)
    assert sandbox.customers.total_taken == len(expected)
    return True


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("source", SOURCES)
async def test_each_record_is_sent_as_it_was_read(source, is_async, arm, sandbox) -> None:
    expected = texts_of(source())
    given = as_async(source()) if is_async else source()
    report = await arm.customers.create_many(given, options=BulkOptions(max_records=10, poll_first=0.01))
    assert report.counts["succeeded"] == report.totals.records_read == NUMBER
    assert await arrived_as(sandbox, expected)


@pytest.mark.parametrize("source", SOURCES)
async def test_each_record_is_sent_as_it_was_read_with_a_journal(source, arm, sandbox, tmp_path) -> None:
    expected = texts_of(source())
    options = BulkOptions(max_records=10, poll_first=0.01, journal=tmp_path / "j.sqlite", run_id="one")
    report = await arm.customers.create_many(source(), options=options)
    assert report.counts["succeeded"] == NUMBER
    assert await arrived_as(sandbox, expected)


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("source", SOURCES)
async def test_a_sync_sends_and_remembers_each_record_as_it_was_read(source, is_async, arm, sandbox, tmp_path) -> None:
    expected = texts_of(source())
    for again in (False, True):
        given = as_async(source()) if is_async else source()
        report = await arm.customers.sync(given, state=tmp_path / "state.sqlite", options=BulkOptions(max_records=10, poll_first=0.01))
        assert (report.new, report.unchanged) == ((0, NUMBER) if again else (NUMBER, 0))
    assert await arrived_as(sandbox, expected)


@pytest.mark.parametrize("source", SOURCES)
async def test_a_batch_call_sends_each_record_as_it_was_read(source, arm, sandbox) -> None:
    expected = texts_of(source())
    await arm.customers.create_batch(source())
    assert await arrived_as(sandbox, expected)


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("source", SOURCES)
async def test_a_check_sees_each_record_as_it_was_read(source, is_async, arm) -> None:
    report = await arm.customers.check(as_async(source()) if is_async else source())
    assert report.records_read == NUMBER
    assert "duplicate" not in report.counts


def one_document() -> Iterator[dict[str, Any]]:
    record: dict[str, Any] = {"documentType": "IN", "currency": "NOK", "currencyAmounts": {}, "documentLines": [{}]}
    for number in range(NUMBER):
        record.update(documentNo=f"d{number}", customerNo=f"c{number}")
        record["currencyAmounts"]["inclVat"] = Decimal(number)
        record["documentLines"][0]["lineNo"] = number
        yield record


async def test_the_night_counts_money_and_blocks_documents_by_what_was_read(arm, sandbox) -> None:
    sandbox.reject_record("c7")
    night = await arm.nightly(customers=one_dict(), documents=one_document(), document_options=BulkOptions(max_records=10))
    assert night.money is not None
    assert night.money.adds_up
    (nok,) = night.money.currencies
    assert nok.read.total == sum(range(NUMBER))
    assert {failure.key for failure in night.documents.failures()} == {"d7"}
    assert nok.states["blocked"].total == 7


async def test_what_can_not_be_encoded_is_told_as_it_was_read(arm, sandbox, tmp_path) -> None:
    def source() -> Iterator[dict[str, Any]]:
        record: dict[str, Any] = {}
        for number in range(10):
            record.clear()
            record.update(customerNo=f"c{number}", name=float("nan") if number == 4 else "Somebody")
            yield record

    letters = tmp_path / "dead.jsonl"
    report = await arm.customers.create_many(source(), options=BulkOptions(dead_letter=letters))
    (failure,) = report.failures()
    assert (failure.index, failure.key, failure.state) == (4, "c4", "invalid")
    assert "$.name" in str(failure.message)
    assert '"c4"' in letters.read_text()


async def test_a_list_that_is_changed_while_a_sync_looks_things_up_keeps_what_is_sent(arm, sandbox, tmp_path) -> None:
    records = [{"customerNo": f"c{number}", "name": "before"} for number in range(3000)]
    stop = asyncio.Event()

    async def change() -> None:
        version = 0
        while not stop.is_set():
            version += 1
            for record in records:
                record["name"] = f"version {version}"
            await asyncio.sleep(0.001)  # the run gets turns too

    changing = asyncio.create_task(change())
    try:
        await arm.customers.sync(records, state=tmp_path / "s.sqlite", options=BulkOptions(poll_first=0.01))
    finally:
        stop.set()
        await changing
    stored = [{"customerNo": record["customerNo"], "name": sandbox.customers.get(record["customerNo"])["name"]} for record in records]
    report = await arm.customers.sync(stored, state=tmp_path / "s.sqlite", options=BulkOptions(poll_first=0.01))
    assert report.unchanged == 3000, "the state holds what the server has"


# --- pure ---------------------------------------------------------------------------------------------------------------

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.decimals() | st.just({1, 2}) | st.just(object()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def spoil(value: Any) -> None:
    """Changes all that can be changed."""
    if isinstance(value, dict):
        for item in value.values():
            spoil(item)
        value.clear()
    elif isinstance(value, list):
        for item in value:
            spoil(item)
        value.clear()


def cut(records: Any, *, prints: bool) -> tuple[list[Any], list[Any]]:
    chunker = Chunker(KIND, overhead=10, max_records=7, max_bytes=2000, fingerprints=prints, keep_invalid=True)
    source = Source(records)

    async def read() -> None:
        while not source.ended:
            await source.read(chunker.wanted, chunker)

    asyncio.run(read())
    batches = []
    while (batch := chunker.finish()) is not None:
        batches.append((list(batch.indexes), list(batch.keys), json.loads(b"[" + b",".join(batch.pieces) + b"]"), list(batch.fingerprints)))
    return batches, [(list(one.outcome.indexes), one.outcome.keys, one.outcome.common, one.payload) for one in chunker.take_invalid()]


@many(150)
@given(st.lists(st.dictionaries(st.sampled_from(["customerNo", "name", "x"]), VALUES, max_size=3), max_size=30), st.booleans())
def test_a_source_that_spoils_its_records_gives_what_a_list_of_them_gives(records: list[dict[str, Any]], prints: bool) -> None:
    def spoiling() -> Iterator[Any]:
        for record in records:
            made = copy.deepcopy(record)
            yield made
            spoil(made)

    flat = [one for batch in cut(records, prints=prints)[0] for one in zip(*batch[:3], strict=True)]
    spoiled = [one for batch in cut(spoiling(), prints=prints)[0] for one in zip(*batch[:3], strict=True)]
    assert repr(spoiled) == repr(flat)
    assert [one[:3] for one in cut(spoiling(), prints=prints)[1]] == [one[:3] for one in cut(records, prints=prints)[1]]


@given(st.dictionaries(st.sampled_from(["customerNo", "name", "x"]), VALUES, max_size=3))
def test_what_is_kept_does_not_change_with_its_original(record: dict[str, Any]) -> None:
    expected = cut([copy.deepcopy(record)], prints=True)
    made = snapshot(record, KIND)
    spoil(record)
    batches, invalid = cut([made], prints=True)
    assert repr([one[:3] for one in batches]) == repr([one[:3] for one in expected[0]])
    assert [one[:3] for one in invalid] == [one[:3] for one in expected[1]]


def test_a_struct_is_kept_with_all_that_it_holds() -> None:
    record = Document(document_no="d1", document_lines=[])
    made = snapshot(record, RecordType(Document, "document_no"))
    assert isinstance(record.document_lines, list)
    record.document_lines.append(None)  # type: ignore[arg-type]
    assert made.document_lines == []


@pytest.mark.parametrize("prints", [True, False])
@pytest.mark.parametrize("name", ["CustomerNo", "NAME"])
def test_a_name_in_another_case_is_seen_in_what_is_read_one_by_one_too(name: str, prints: bool) -> None:
    records = [{"customerNo": "1", name: "x"} if number == 5 else {"customerNo": str(number), "name": "x"} for number in range(20)]
    expected = [one[:3] for one in cut(records, prints=prints)[1]]
    assert len(expected) == 1
    assert [one[:3] for one in cut(iter(records), prints=prints)[1]] == expected
