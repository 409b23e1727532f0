"""The digest of a record is that of its content, however it is written."""

from __future__ import annotations

import hashlib
import json
from collections import UserDict
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amili_arm_async import Customer, codec, open_records
from amili_arm_async.bulk.blocks import RecordBlock
from amili_arm_async.bulk.chunking import RecordType, as_key
from amili_arm_async.bulk.fingerprints import canonical
from amili_arm_async.sync.digests import SIZE, RecordDigests
from amili_arm_async.sync.state import name_of, names_of
from amili_arm_async.unreadable import UnreadableRecord

from ..support.examples import many

pytestmark = pytest.mark.quick

KIND = RecordType(Customer, "customer_no")


def digests(*records):
    """Each by itself, and all together, with what was met before and without."""
    together = RecordDigests(KIND).of(records)[1]
    alone = [RecordDigests(KIND).of([record])[1][0] for record in records]
    assert together == alone
    return together


SAME = [
    [
        Customer(customer_no="1", name="Åse", discount_rate=Decimal("5.50"), limit_amount=Decimal(200), date_of_birth=date(1990, 1, 2)),
        {"name": "Åse", "customerNo": "1", "limitAmount": 2e2, "discountRate": 5.5, "dateOfBirth": "1990-01-02"},
        {"name": "Åse", "customerNo": "1", "limitAmount": 200, "discountRate": Decimal("5.5000"), "dateOfBirth": date(1990, 1, 2)},
        b'{"limitAmount":200.0, "discountRate":55e-1, "name":"\\u00c5se","dateOfBirth":"1990-01-02","customerNo":"1"}',
        UserDict({"name": "Åse", "customerNo": "1", "limitAmount": 200, "discountRate": 5.5, "dateOfBirth": "1990-01-02"}),
    ],
    [{"customerNo": "1", "x": [1.0, {"b": 0, "a": -0.0}]}, {"x": [1, {"a": 0.0, "b": 0}], "customerNo": "1"}],
    [Customer(customer_no="1", name=None), {"customerNo": "1", "name": None}, b'{"name":null,"customerNo":"1"}'],
]


@dataclass
class Person:
    customer_no: Any


@pytest.mark.parametrize("record", [{"customerNo": date(2026, 1, 1)}, Person("2026-01-01"), Person(date(2026, 1, 1))], ids=repr)
def test_the_key_is_the_one_that_is_sent(record) -> None:
    keys, same = RecordDigests(KIND).of([record, {"customerNo": "2026-01-01"}])
    assert list(keys) == ["2026-01-01"] * 2
    assert same[0] == same[1]


@pytest.mark.parametrize("records", SAME)
def test_the_same_content(records) -> None:
    assert len(set(digests(*records))) == 1
    for first in records:
        for second in records:
            assert len(set(RecordDigests(KIND).of([first, second])[1])) == 1


def test_other_content() -> None:
    base = {"customerNo": "1", "name": "a", "dueDays": 1}
    others = [{**base, "name": "A"}, {**base, "dueDays": "1"}, {**base, "dueDays": True}, {**base, "name": ""}, {**base, "name": None}]
    others += [{"customerNo": "1", "name": "a"}, {**base, "dueDays": 1.5}, {**base, "dueDays": 15}, {**base, "x": []}]
    assert len(set(digests(base, *others))) == len(others) + 1


@pytest.mark.parametrize(
    "bad", [{"customerNo": "1", "a": float("nan")}, {"customerNo": "1", "a": object()}, b"{", b"[]", b"{},{}", b"\xff", 5, None]
)
def test_what_can_not_be_sent_has_none_and_spoils_no_other(bad) -> None:
    good = {"customerNo": "1", "a": None}
    assert RecordDigests(KIND).of([good, bad, good])[1] == [*RecordDigests(KIND).of([good])[1], None, *RecordDigests(KIND).of([good])[1]]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=5), VALUES, max_size=4))
def test_a_mapping_in_another_order_and_its_text_are_the_same(record) -> None:
    # What can't be a text can't be sent.
    try:
        text = msgspec.json.encode(record)
    except UnicodeEncodeError:
        return
    turned = dict(reversed(record.items()))
    assert len(set(digests(record, turned, text))) == 1


# --- texts and blocks -----------------------------------------------------------------------------------------------------

# Numbers as nobody should write them are numbers too.
NUMBERS = st.sampled_from(
    ["0", "-0", "14", "14.0", "1e2", "1E+2", "12.50", "-0.0", "5e-1", "1e400", "123456789012345678901234567890", "0.1000", "2.0e0"]
)
TEXTS = st.text(max_size=5).map(json.dumps) | st.sampled_from(['"5.5"', '"1990-01-02"', '""', '"\\u00c5"', '"\\/"', '":.5"'])
ODD = NUMBERS | TEXTS | st.sampled_from(["null", "true", "[]", '["a",1.50]', '{"b":1,"a":[2.0]}', "{}"])
NAMES = st.sampled_from(
    ["customerNo", "name", "discountRate", "dueDays", "dateOfBirth", "vatLiable", "arRules", "postalAddress", "distribution", "x", "Name"]
)
GROUP = st.lists(st.tuples(st.sampled_from(["cityName", "postalCode", "einvoiceCode", "x"]), ODD), max_size=3)


def _object(pairs: list[tuple[str, str]]) -> str:
    return "{" + ",".join(f'"{name}" : {value}' for name, value in pairs) + "}"


LINES = st.one_of(
    st.lists(st.tuples(NAMES, ODD | GROUP.map(_object)), max_size=5).map(_object),
    st.dictionaries(NAMES, TEXTS | GROUP.map(_object), max_size=5).map(lambda found: _object(list(found.items()))),
    st.sampled_from(["{", "[]", '{"name":"a"}{}', "", '{"customerNo":"7"}', "null"]),
).map(str.encode)


def the_long_way(text: bytes) -> bytes | None:
    """The digest of a text that is read as JSON of any kind, and written with sorted keys and one form of numbers."""
    value = codec.json_object(text)
    if value is None:
        return None
    return hashlib.blake2b(canonical(codec.encode_value(value, sort=True)), digest_size=SIZE).digest()


@many(500)
@given(st.lists(LINES, min_size=1, max_size=8))
def test_the_quick_way_and_the_long_way_agree_whatever_is_in_a_text(lines) -> None:
    keys, found = RecordDigests(KIND).of(lines)
    assert found == [the_long_way(line) for line in lines]
    for key, line in zip(keys, lines, strict=True):
        value = codec.json_object(line)
        assert key == (None if value is None else as_key(value.get("customerNo")))


# An integer that is zero has no sign.
RAW_NUMBERS = NUMBERS.filter(lambda text: text != "-0").map(lambda text: msgspec.Raw(text.encode()))
CANONICAL = st.fixed_dictionaries(
    {},
    optional={
        "customerNo": st.sampled_from(["1", "discountRate", '"discountRate":1.50', ':.5"', "a@b.no"]),
        "discountRate": RAW_NUMBERS | st.none(),
        "dueDays": st.integers(0, 99),
        "limitAmount": RAW_NUMBERS,
        "name": st.text(max_size=5),
        "postalAddress": st.fixed_dictionaries({"cityName": st.text(max_size=5)}),
    },
)


@many(300)
@given(st.lists(CANONICAL, min_size=1, max_size=6), st.sets(st.integers(0, 5)))
def test_those_of_a_canonical_block_are_those_of_its_texts(records, bad) -> None:
    try:
        texts = [msgspec.json.encode(record, order="deterministic") for record in records]
    except UnicodeEncodeError:
        return
    block: list[Any] = list(texts)
    for place in bad & set(range(len(texts))):
        block[place] = UnreadableRecord("line 1: bad", {"customerNo": "9"})
    keys = [str(place) for place in range(len(texts))]
    found = RecordDigests(KIND).of(RecordBlock(block, keys, is_canonical=True))
    assert found[1] == [None if isinstance(one, UnreadableRecord) else the_long_way(one) for one in block]
    assert [key for place, key in enumerate(found[0]) if place not in bad] == [key for place, key in enumerate(keys) if place not in bad]


@given(st.lists(st.none() | st.text(min_size=1), min_size=1))
def test_names_of_many_are_those_of_each(keys) -> None:
    assert list(names_of(keys)) == [None if key is None else name_of(key) for key in keys]


@pytest.mark.parametrize("column", ["discountRate", "dueDays"])
async def test_a_table_with_decimals_and_its_texts_have_the_same_digests(column, tmp_path) -> None:
    path = tmp_path / "customers.csv"
    path.write_text(
        f"customerNo;name;{column}\n1;Kari;7.50\n2;Ola;8.00\n" if column == "discountRate" else "customerNo;name;dueDays\n1;Kari;7\n"
    )
    blocks = [block async for block in open_records(path).blocks()]
    assert [block.has_decimals for block in blocks] == [column == "discountRate"]
    for block in blocks:
        assert RecordDigests(KIND).of(block)[1] == [the_long_way(text) for text in block]
