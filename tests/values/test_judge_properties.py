"""Columns as a whole are judged as their cells are one by one."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Raw

from amili_arm_async.values.columns import ColumnReader
from amili_arm_async.values.fields import fields_of

from ..support.examples import many

pytestmark = pytest.mark.quick

FIELDS = [*fields_of("customers").values(), *fields_of("documents").values()]
PIECES = [
    *("0", "1", "12", "123", "000", "1234", "923609016", "14.0", "12.000", "1,5", "-0", "+5", "007", ".", ",", "-", "e9", "E+09", "4,79"),
    *(
        "NULL",
        "nan",
        "n/a",
        "#REF!",
        "#I/T",
        "#",
        "=A1",
        "'1",
        "a@b.no",
        ";",
        "|",
        "@",
        "Ola",
        "Åse",
        "\u00c3\u00b8",
        "\ufffd",
        "\ufeff",
        "\u200b",
    ),
    *(" ", "\u00a0", "\u202f", "\t", "\n", "\0", "\x1a", "\x85", "\x7f", "\ud83d", "\u2212", "%", "kr", "(", ")", "NO", "MVA", "ja", "nei"),
    *("2026-11-20", "20.11.2026", " 00:00", "T00:00:00", "Z", "+01:00", "20/11/2026", "46346", "1899-12-30", "0192", "150"),
]
CELLS = st.lists(st.sampled_from(PIECES), max_size=3).map("".join) | st.none() | st.text(max_size=6)
SIGNS = st.sampled_from([None, ",", ".", ""])
ORIGINS = st.sampled_from(["text", "integer", "decimal", "float", "date", "instant", "boolean"])


def plain(values):
    return [bytes(value) if isinstance(value, Raw) else value for value in values]


def same_as_each(reader, cells):
    expected, odd = reader.read_each(cells)
    for _ in range(2):
        values, found = reader.read(cells)
        assert plain(values) == plain(expected)
        assert list(found) == odd
    if reader.screen is not None and (values := reader.screen(cells)) is not None:
        assert odd == []
        assert plain(values) == plain(expected)


@many(600)
@given(
    st.sampled_from(FIELDS), ORIGINS, st.sampled_from([None, ",", ".", ""]), st.sampled_from([None, "-", "1"]), st.lists(CELLS, max_size=4)
)
def test_a_column_of_texts(field, origin, sign, clear, cells):
    same_as_each(ColumnReader(field, origin, sign, clear), cells)


@many(500)
@given(st.sampled_from([field for field in FIELDS if field.type == "texts"]), st.lists(st.lists(CELLS, max_size=3) | st.none(), max_size=4))
def test_a_column_of_lists(field, cells):
    same_as_each(ColumnReader(field, "text", None, None), cells)


LONG_DECIMALS = st.builds(lambda digits, power: Decimal(f"{digits}e{power}"), st.integers(-(10**40), 10**40), st.integers(-99, 40))
"""Some have more digits than money has, or many zeros behind the point."""

VALUES = CELLS | st.integers() | st.decimals(allow_nan=False, allow_infinity=False) | st.booleans() | st.lists(CELLS, max_size=2)


@many(600)
@given(st.sampled_from(FIELDS), st.data())
def test_a_column_of_values_of_json(field, data):
    kinds = {
        "text": CELLS,
        "date": CELLS,
        "integer": st.integers(),
        "decimal": st.integers() | st.floats(allow_nan=False) | st.decimals(allow_nan=False) | LONG_DECIMALS,
    }
    kinds |= {"boolean": st.booleans(), "texts": st.lists(st.text(max_size=3), max_size=2)}
    cells = data.draw(st.lists(kinds[field.type] | st.sampled_from([None, UNSET]), max_size=4) | st.lists(VALUES, max_size=4))
    same_as_each(ColumnReader(field, "json", None, None), cells)


ORDINARY = {
    "text": st.from_regex(r"[A-ZÅa-zø0-9]{1,8}( [a-zæ]{1,5})?", fullmatch=True),
    "texts": st.from_regex(r"[a-z0-9]{1,8}@[a-z]{1,5}\.no", fullmatch=True),
    "decimal": st.from_regex(r"-?[1-9][0-9]{0,5}([.,][0-9]{1,4})?", fullmatch=True),
    "integer": st.from_regex(r"[0-9]{1,4}", fullmatch=True),
    "date": st.dates().map(str),
    "boolean": st.sampled_from(["ja", "NEI", "1"]),
}


@many(600)
@given(st.sampled_from(FIELDS), SIGNS, st.data())
def test_a_column_of_ordinary_cells(field, sign, data):
    cells = data.draw(st.lists(ORDINARY[field.type] | st.sampled_from([None, ""]), max_size=5))
    same_as_each(ColumnReader(field, "text", sign, None), cells)


def test_screens_pass_what_is_ordinary():
    cells = {"text": "Åse Ødegård AS", "texts": "a@b.no", "decimal": "1234.50", "date": "2026-11-20"}
    forms = {"postalAddress.postalCode": "0150", "organizationNo": "923609016", "ssn": "01018512345", "bankAccountNo": "12345678901"}
    forms |= {"parentOrganizationNo": "923609016", "distribution.peppolEndpointId": "923609016", "organizationNoScheme": "0192"}
    forms |= {"distribution.peppolEndpointIdScheme": "0192"}
    for field in FIELDS:
        if field.type in cells:
            cell = forms.get(field.path, "a@b.no" if field.role == "email" else cells[field.type])
            reader = ColumnReader(field, "text", None, None)
            wanted = cell.encode() if field.type == "decimal" else cell
            assert plain(reader.screen([cell, None])) == [wanted, UNSET], field.path
