"""JSON is read many records at a time, and what is found is what is found record by record."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amili_arm_async.sources.json_records import JsonRecords
from amili_arm_async.sources.json_texts import FoundTexts
from amili_arm_async.sources.record_blocks import RecordWarnings
from amili_arm_async.unreadable import UnreadableRecord

from ..support.examples import many

pytestmark = pytest.mark.quick

NAMES = ("customerNo", "name", "dateOfBirth", "dueDays", "limitAmount", "vatLiable", "arRules", "postalAddress", "cityName", "other")
VALUES = st.sampled_from(
    [None, "", "1", "a:b", '":', "Null", "#REF!", "2026-01-02", "20.11.2026", "4,79E+09", 0, 14, 1.5, 10**400, 1e300, True, [], ["x"]]
)


def objects(names, values):
    pairs = st.lists(st.tuples(st.sampled_from(names), values), max_size=4)
    colons = st.sampled_from([":", ":", ":", " :", ": "])
    return st.builds(lambda pairs, colon: "{" + ",".join(f"{json.dumps(name)}{colon}{value}" for name, value in pairs) + "}", pairs, colons)


PLAIN = VALUES.map(json.dumps)
CUSTOMERS = objects(NAMES, PLAIN | objects(NAMES, PLAIN))
LINES = st.lists(objects(("lineNo", "price", "lineText", "currencyAmounts"), PLAIN), max_size=3).map(lambda lines: f"[{','.join(lines)}]")
DOCUMENTS = objects(("documentNo", "customerNo", "documentDate", "kid", "documentLines"), PLAIN | LINES)


def judged(kind, texts, *, singly):
    records = JsonRecords(kind, warnings := RecordWarnings())
    if singly:
        records._expected.read = lambda _: None
    found = []
    for start in range(0, len(texts), 3):
        for placed in records.blocks(FoundTexts(list(range(start + 1, len(texts) + 1))[:3], texts[start : start + 3])):
            placed.records.apply_rules()
            found += [(one.fault, one.faults) if isinstance(one, UnreadableRecord) else one for one in placed.records]
            if placed.records.names_are_right:
                assert placed.records.keys == [
                    json.loads(texts[number - 1]).get("customerNo" if kind == "customers" else "documentNo") or None
                    for number in placed.numbers
                ]
    return found, warnings.counts, warnings.first


@given(st.data(), st.sampled_from(["customers", "documents"]))
@many(300)
def test_many_at_a_time_are_as_each_alone(data, kind):
    texts = [text.encode() for text in data.draw(st.lists(CUSTOMERS if kind == "customers" else DOCUMENTS, max_size=9))]
    assert judged(kind, texts, singly=False) == judged(kind, texts, singly=True)


def test_what_occurs_later_is_read_at_once_too():
    records = JsonRecords("customers", RecordWarnings())
    for text in (
        b'{"customerNo":"1"}',
        b'{"customerNo":"2","name":"a:b"}',
        b'{"name" :"x","customerNo":"3"}',
        b'{"limitAmount":null,"name":null}',
    ):
        (placed,) = records.blocks(FoundTexts([1], [text]))
        assert placed.records.apply_rules() == []
        assert placed.records.names_are_right


@pytest.mark.parametrize(
    "text", [b'{"name":"a","name":"b"}', b'{"name":"a","name" :"b"}', b'{"postalAddress":{"cityName":"a","cityName":"b"}}']
)
def test_a_name_that_occurs_twice_is_found(text):
    (placed,) = JsonRecords("customers", RecordWarnings()).blocks(FoundTexts([1, 2], [b'{"name":"c"}', text]))
    assert placed.records.apply_rules() == [1]
    assert not placed.records.names_are_right


def test_a_number_with_more_digits_than_money_has_is_refused():
    numbers = ["1e400", "-1e30", "1" * 31, "1e-400", "1e99999", "1" * 31 + ".5"]
    texts = [f'{{"customerNo":"{place}","limitAmount":{number}}}'.encode() for place, number in enumerate(numbers)]
    for singly in (True, False):
        found, _, _ = judged("customers", texts, singly=singly)
        assert [[fault.code for fault in faults] for _, faults in found] == [["out_of_range"]] * len(numbers)


def test_a_number_with_as_many_digits_as_money_may_have_is_sent_as_it_stands():
    numbers = ["9" * 29, "-999999999999999999999999999999", "0.000000000000000000000000000001", "1e29", "0e0"]
    texts = [f'{{"customerNo":"{place}","limitAmount":{number}}}'.encode() for place, number in enumerate(numbers)]
    found, warnings, _ = judged("customers", texts, singly=False)
    assert found == texts
    assert not warnings
