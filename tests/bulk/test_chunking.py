"""The chunker: what it reads comes out once, in order, in batches under both limits or as invalid."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amili_arm_async import Customer, Document, RecordError, codec
from amili_arm_async.bulk.chunking import Batch, Chunker, RecordType, as_key
from amili_arm_async.bulk.outcomes import BatchOutcome
from amili_arm_async.wire import Envelope

from ..support.examples import many
from ..support.records import INVALID, SOURCES, Row, as_json, key_in, mappings, strict_loads

CUSTOMERS = RecordType(Customer, "customer_no")
ENVELOPE = Envelope.of("customers", "TestUser")

LIMITS = st.tuples(st.integers(1, 60), st.integers(256, 3000))


def make_chunker(max_records: int = 1000, max_bytes: int = 1_000_000) -> Chunker:
    return Chunker(CUSTOMERS, overhead=ENVELOPE.size, max_records=max_records, max_bytes=max_bytes)


def cut(records: list[Any], max_records: int, max_bytes: int, slices: list[int] | None = None) -> tuple[list[Batch], list[BatchOutcome]]:
    """All batches and all invalid records; fed as the chunker wishes, or in slices of these sizes."""
    made, batches, left = make_chunker(max_records, max_bytes), [], list(records)
    sizes = iter(slices or [])
    while left:
        wanted = made.wanted
        assert 1 <= wanted <= max_records
        number = next(sizes, wanted)
        made.feed(left[:number])
        del left[:number]
        while (batch := made.take()) is not None:
            batches.append(batch)
    while (batch := made.finish()) is not None:
        batches.append(batch)
    assert made.read == len(records)
    return batches, [refused.outcome for refused in made.take_invalid()]


def body_of(batch: Batch) -> bytes:
    return ENVELOPE.head + b",".join(batch.pieces) + ENVELOPE.tail


def items_of(batch: Batch) -> list[Any]:
    value = strict_loads(body_of(batch))
    assert value["metadata"] == {"userId": "TestUser"}
    return value["customers"]


# --- the promise ----------------------------------------------------------------------------------------------------------


@many(250)
@given(SOURCES, LIMITS, st.none() | st.lists(st.integers(1, 70), max_size=8))
def test_every_record_comes_out_once_and_in_order(records, limits, slices) -> None:
    batches, invalid = cut(records, *limits, slices)
    sent = [index for batch in batches for index in batch.indexes]
    refused = [index for outcome in invalid for index in outcome.indexes]
    assert sent == sorted(sent)
    assert refused == sorted(refused)
    assert sorted(sent + refused) == list(range(len(records)))


@many(250)
@given(SOURCES, LIMITS, st.none() | st.lists(st.integers(1, 70), max_size=8))
def test_every_batch_is_json_under_both_limits(records, limits, slices) -> None:
    max_records, max_bytes = limits
    batches, _ = cut(records, *limits, slices)
    for batch in batches:
        assert 1 <= len(batch) <= max_records
        assert len(body_of(batch)) <= max_bytes
        assert batch.size == len(b",".join(batch.pieces))
        assert len(items_of(batch)) == len(batch) == len(batch.keys)
    assert [batch.number for batch in batches] == list(range(1, len(batches) + 1))


@many(250)
@given(SOURCES, LIMITS, st.none() | st.lists(st.integers(1, 70), max_size=8))
def test_what_is_in_a_batch_is_the_record_and_nothing_else(records, limits, slices) -> None:
    batches, _ = cut(records, *limits, slices)
    for batch in batches:
        for index, item in zip(batch.indexes, items_of(batch), strict=True):
            assert item == as_json(records[index])


@many(250)
@given(SOURCES, LIMITS, st.none() | st.lists(st.integers(1, 70), max_size=8))
def test_a_record_is_invalid_only_where_json_has_no_word_for_it_or_it_is_too_large_alone(records, limits, slices) -> None:
    _, invalid = cut(records, *limits, slices)
    for outcome in invalid:
        (index,) = outcome.indexes
        assert outcome.common.state == "invalid"
        assert outcome.common.message.startswith("$")
        if outcome.common.reason == "too_large":
            assert len(codec.encode_one(records[index], Customer)) + ENVELOPE.size > limits[1]
        else:
            assert outcome.common.reason == "not_encodable"
            # A key with decimals was a whole number once.
            assert as_json(records[index]) is INVALID or isinstance(records[index]["customerNo"], float | Decimal)


@many(250)
@given(SOURCES, LIMITS)
def test_the_key_of_a_record_depends_on_the_record_alone(records, limits) -> None:
    batches, _ = cut(records, *limits)
    for batch in batches:
        assert list(batch.keys) == [key_in(as_json(records[index])) for index in batch.indexes]


@given(st.lists(mappings(), max_size=40), LIMITS, st.lists(st.integers(1, 70), max_size=8))
def test_no_record_is_encoded_more_than_twice(records, limits, slices) -> None:
    counted: Counter[int] = Counter()

    class Counting:
        def __init__(self, real: Any) -> None:
            self.real = real

        def encode(self, value: Any) -> bytes:
            counted.update(map(id, value if isinstance(value, list) else [value]))
            return self.real.encode(value)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(codec, "ENCODER", Counting(codec.ENCODER))
        patch.setattr(codec, "_NO_DECIMAL", Counting(codec._NO_DECIMAL))
        batches, invalid = cut(records, *limits, slices)
        for batch in batches:
            if len(batch) > 1:
                batch.halves()
    times_given = Counter(map(id, records))
    assert all(counted[record] <= 2 * number for record, number in times_given.items())
    assert sum(map(len, batches)) + len(invalid) == len(records)


def test_no_mapping_of_the_callers_is_read_more_than_twice() -> None:
    class CountingRow(Row):
        reads = 0

        def __iter__(self):
            self.reads += 1
            return super().__iter__()

    rows = [CountingRow({"customerNo": str(number), "name": "x" * (number % 90)}) for number in range(300)]
    batches, _ = cut(rows, 7, 500)
    assert sum(map(len, batches)) == 300
    assert max(row.reads for row in rows) <= 2


# --- halves and ceilings ----------------------------------------------------------------------------------------------------


@given(SOURCES, LIMITS)
def test_halves_conserve_records_keys_and_order(records, limits) -> None:
    for batch in cut(records, *limits)[0]:
        if len(batch) < 2:
            continue
        left, right = batch.halves()
        assert 0 <= len(left) - len(right) <= 1
        assert [*left.indexes, *right.indexes] == list(batch.indexes)
        assert [*left.keys, *right.keys] == list(batch.keys)
        assert items_of(left) + items_of(right) == items_of(batch)
        assert left.number == right.number == batch.number
        assert all(half.size == len(b",".join(half.pieces)) for half in (left, right))


@given(st.integers(2, 40))
def test_halving_again_and_again_ends_at_each_record_once(number) -> None:
    (batch,), _ = cut([{"customerNo": str(index)} for index in range(number)], 1000, 100_000)
    parts = [batch]
    while any(len(part) > 1 for part in parts):
        parts = [half for part in parts for half in (part.halves() if len(part) > 1 else (part,))]
    assert [items_of(part)[0]["customerNo"] for part in parts] == [str(index) for index in range(number)]


@given(st.lists(st.integers(0, 300), min_size=1, max_size=80), st.integers(256, 1200))
def test_a_lowered_ceiling_holds_for_every_batch_begun_after_it(sizes, ceiling) -> None:
    made = make_chunker(max_bytes=4000)
    made.feed([{"customerNo": "first"}])
    assert made.finish() is not None
    made.lower(ceiling)
    records = [{"customerNo": str(index), "name": "x" * size} for index, size in enumerate(sizes)]
    batches = []
    while records:
        wanted = made.wanted
        made.feed(records[:wanted])
        del records[:wanted]
    while (batch := made.finish()) is not None:
        batches.append(batch)
    assert all(len(body_of(batch)) <= ceiling for batch in batches if len(batch) > 1)
    assert sum(map(len, batches)) == len(sizes)
    assert not made.take_invalid()


def test_a_ceiling_is_never_raised() -> None:
    made = make_chunker(max_bytes=1000)
    made.lower(300)
    made.lower(5000)
    made.feed([{"name": "x" * 100} for _ in range(10)])
    batches = []
    while (batch := made.finish()) is not None:
        batches.append(batch)
    assert len(batches) > 3
    assert all(len(body_of(batch)) <= 300 for batch in batches)


def test_a_record_over_a_learnt_ceiling_goes_alone_and_is_not_invalid() -> None:
    made = make_chunker(max_bytes=1000)
    made.lower(300)
    made.feed([{"customerNo": "1"}, {"customerNo": "2", "name": "x" * 600}, {"customerNo": "3"}])
    batches = [made.finish(), made.finish(), made.finish()]
    assert [list(batch.keys) for batch in batches if batch] == [["1"], ["2"], ["3"]]
    assert not made.take_invalid()


@pytest.mark.parametrize("slices", [None, [1, 1]], ids=["at once", "one after another"])
def test_max_bytes_counts_the_envelope_and_the_comma_to_the_byte(slices) -> None:
    # A batch with less room than its records have taken so far is full.
    records = [{"name": "a"}, {"name": "b" * 900}]
    exact = ENVELOPE.size + len(b",".join(msgspec.json.encode(record) for record in records))
    assert [len(batch) for batch in cut(records, 10, exact, slices)[0]] == [2]
    assert [len(batch) for batch in cut(records, 10, exact - 1, slices)[0]] == [1, 1]


def test_a_record_too_large_alone_names_its_bytes_and_does_not_stop_the_rest() -> None:
    batches, (refused,) = cut([{"customerNo": "1"}, {"customerNo": "2", "name": "x" * 400}, {"customerNo": "3"}], 10, 300)
    assert [list(batch.keys) for batch in batches] == [["1", "3"]]
    assert [list(batch.indexes) for batch in batches] == [[0, 2]]
    assert (list(refused.indexes), list(refused.keys), refused.common.reason) == ([1], ["2"], "too_large")


# --- what is refused --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [float("nan"), float("inf"), Decimal("NaN"), Decimal("sNaN"), Decimal("-Infinity")])
@pytest.mark.parametrize(
    "make",
    [
        lambda bad: Customer(customer_no="2", limit_amount=bad),
        lambda bad: Customer(customer_no="2", discount_rate=bad),
        lambda bad: Customer(customer_no="2", due_days=bad),
        lambda bad: {"customerNo": "2", "limitAmount": bad},
        lambda bad: {"customerNo": "2", "a": [{"b": bad}]},
        lambda bad: Row({"customerNo": "2", "limitAmount": bad}),
    ],
    ids=["limit_amount", "discount_rate", "due_days", "mapping", "nested", "row"],
)
def test_nan_and_infinity_never_leave_and_do_not_cost_their_neighbours(make, value) -> None:
    good = make(5)
    batches, (refused,) = cut([good, make(value), good], 10, 10_000)
    assert [list(batch.indexes) for batch in batches] == [[0, 2]]
    assert list(refused.indexes) == [1]
    assert list(refused.keys) == ["2"]


@pytest.mark.parametrize("value", [Decimal("NaN"), float("nan")])
def test_nan_in_a_line_of_a_document_never_leaves(value) -> None:
    from amili_arm_async import CurrencyAmounts, DocumentLine

    made = Chunker(RecordType(Document, "document_no"), overhead=20, max_records=10, max_bytes=10_000)
    line = DocumentLine(currency_amounts=CurrencyAmounts(vat=value))
    made.feed([Document(document_no="1"), Document(document_no="2", document_lines=[line])])
    assert list(made.finish().keys) == ["1"]
    (refused,) = (invalid.outcome for invalid in made.take_invalid())
    assert refused.common.message == "$.documentLines[0].currencyAmounts.vat: NaN or Infinity is no number in JSON"


@pytest.mark.parametrize("text", [b'{"name":"\xff"}', b'{"\xff":1}', b'{"customerNo":"\xc3"}', b'{"a":["\xed\xa0\x80"]}', b'{"a":"\n"}'])
def test_bytes_that_would_spoil_a_whole_batch_are_refused_alone(text) -> None:
    batches, (refused,) = cut([b'{"customerNo":"1"}', text, b'{"customerNo":"3"}'], 10, 10_000)
    assert [list(batch.indexes) for batch in batches] == [[0, 2]]
    assert list(refused.indexes) == [1]
    items_of(batches[0])


def test_the_reason_names_the_path_and_never_the_value() -> None:
    bad = {"customerNo": "1", "ssn": "01019921717", "a": [1, {"b": float("nan")}], "c": object()}
    _, (refused,) = cut([bad], 10, 10_000)
    assert refused.common.message == "$.a[1].b: NaN or Infinity is no number in JSON; $.c: a object can't be sent"


def test_a_null_beside_it_does_not_change_whether_a_value_can_be_sent() -> None:
    from datetime import time
    from uuid import UUID

    for value in (UUID(int=7), time(12, 0), b"raw", {1}, {1: "a"}):
        alone = cut([{"a": value}], 10, 10_000)[1]
        beside = cut([{"a": value, "b": None}], 10, 10_000)[1]
        assert len(alone) == len(beside), type(value)


def test_invalid_records_are_given_once() -> None:
    made = make_chunker()
    made.feed([object()])
    assert len(made.take_invalid()) == 1
    assert made.take_invalid() == []
    assert made.finish() is None


def test_nothing_fed_gives_nothing() -> None:
    made = make_chunker()
    made.feed([])
    assert made.take() is None
    assert made.finish() is None
    assert made.read == 0


# --- keys -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "key"),
    [
        ("7", "7"),
        (" 7 ", "7"),
        ("", None),
        ("  ", None),
        (7, "7"),
        (0, "0"),
        (True, None),
        (None, None),
        (7.5, None),
        ({}, None),
        (["7"], None),
    ],
)
def test_a_key_is_text_or_an_integer(value, key) -> None:
    assert as_key(value) == key


@pytest.mark.parametrize(
    "make", [lambda key: {"customerNo": key}, lambda key: Customer(customer_no=key), lambda key: Row({"customerNo": key})]
)
def test_a_kind_finds_the_key_of_every_kind_of_record(make) -> None:
    assert CUSTOMERS.key_of(make(" 7 ")) == "7"
    assert CUSTOMERS.key_of(make(12)) == "12"


def test_a_kind_finds_the_key_in_bytes_and_none_in_what_has_none() -> None:
    assert CUSTOMERS.key_of(b'{"name":"x","customerNo":"7"}') == "7"
    assert CUSTOMERS.key_of(b"{}") is None
    assert CUSTOMERS.key_of(Customer()) is None
    with pytest.raises(RecordError, match="a Document is no Customer"):
        CUSTOMERS.key_of(Document(customer_no="7"))
