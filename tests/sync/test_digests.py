"""The digest of a record is that of its content, however it is written."""

from __future__ import annotations

from collections import UserDict
from datetime import date
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amili_arm_async import Customer
from amili_arm_async.bulk.chunking import RecordType
from amili_arm_async.sync.digests import RecordDigests
from amili_arm_async.sync.state import name_of, names_of

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


@given(st.lists(st.none() | st.text(min_size=1), min_size=1))
def test_names_of_many_are_those_of_each(keys) -> None:
    assert list(names_of(keys)) == [None if key is None else name_of(key) for key in keys]
