"""Records that are JSON as columns: each value stands in the column of its field, in the row of its record."""

from __future__ import annotations

import json
from decimal import Decimal

import msgspec
import pytest

from amili_arm_async.values.json_columns import JsonColumns

pytestmark = pytest.mark.quick


def read(kind, *records, strict=True):
    columns = JsonColumns(kind, strict=strict)
    return columns, columns.columns([columns.decode(json.dumps(record).encode()) for record in records])


def given(fields, columns):
    return {field.path: list(column) for field, column in zip(fields, columns, strict=True) if any(value is not None for value in column)}


def test_fields_and_groups_are_columns():
    columns, found = read(
        "customers",
        {"customerNo": "1", "dueDays": 14, "postalAddress": {"cityName": "Oslo"}},
        {},
        {"customerNo": "3", "vatLiable": True, "dateOfBirth": "", "postalAddress": None, "limitAmount": 1.10},
    )
    assert given(columns.fields, found.header) == {
        "customerNo": ["1", None, "3"],
        "dateOfBirth": [None, None, ""],
        "dueDays": [14, None, None],
        "limitAmount": [None, None, Decimal("1.1")],
        "postalAddress.cityName": ["Oslo", None, None],
        "vatLiable": [None, None, True],
    }
    assert (found.items, found.lines, found.offsets) == ([], [], [0, 0, 0, 0])


def test_items_of_lists_know_their_records():
    _, found = read("customers", {"arRules": ["a", "b"]}, {"arRules": []}, {"arRules": None}, {"arRules": ["c"], "naceCodes": []})
    (column,) = found.items
    assert (column.field.path, column.field.type, column.items) == ("arRules", "text", ["a", "b", "c"])
    assert [column.place(item) for item in range(3)] == [(0, "arRules[0]"), (0, "arRules[1]"), (3, "arRules[0]")]
    with pytest.raises(IndexError):
        column.place(3)


@pytest.mark.parametrize(
    "rules",
    [
        [["a"], None, ["b"]],
        [["a"], ["b"], ["c", "d"]],
        [["a"], [], ["b"]],
        [["a"], [""], ["b"]],
        [["a", "b"], ["c"]],
    ],
)
def test_lists_of_one_text_are_read_as_other_lists_are(rules):
    columns = JsonColumns("customers")
    before = columns.read([b'{"arRules":["x"]}'])
    assert before is not None
    assert before.items[0].place(0) == (0, "arRules[0]")
    found = columns.read([json.dumps({"arRules": items}).encode() for items in rules])
    assert found is not None
    (column,) = found.items
    assert [[items] if isinstance(items, str) else items for items in column.lists] == rules
    places = [(row, f"arRules[{place}]", item) for row, items in enumerate(rules) for place, item in enumerate(items or ())]
    assert [(*column.place(place), item) for place, item in enumerate(column.items)] == places


def test_lines_of_all_documents_are_columns():
    lines = [{"lineNo": 1, "price": 2.5}, {"currencyAmounts": {"vat": 1}}]
    columns, found = read("documents", {"documentLines": lines}, {}, {"documentLines": [{"lineText": "x"}]}, {"documentLines": []})
    assert found.offsets == [0, 2, 2, 3, 3]
    assert given(columns.line_fields, found.lines) == {
        "documentLines.currencyAmounts.vat": [None, 1, None],
        "documentLines.lineNo": [1, None, None],
        "documentLines.lineText": [None, None, "x"],
        "documentLines.price": [Decimal("2.5"), None, None],
    }


@pytest.mark.parametrize("kind", ["customers", "documents"])
def test_no_records_have_no_rows(kind):
    _, found = read(kind)
    assert {len(column) for column in found.header} == {0}
    assert (found.items, found.lines, found.offsets) == ([], [], [0])


def test_another_field_can_be_passed_over():
    with pytest.raises(msgspec.ValidationError):
        read("customers", {"customerNo": "1", "x": 1})
    columns, found = read("customers", {"customerNo": "1", "x": 1, "postalAddress": {"y": 2}}, strict=False)
    assert given(columns.fields, found.header) == {"customerNo": ["1"]}
