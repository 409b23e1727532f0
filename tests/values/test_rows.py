"""Rows that tools add to a table are found, and ordinary rows are not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amili_arm_async.values.fields import fields_of
from amili_arm_async.values.rows import RowRules

from ..support.examples import many

pytestmark = pytest.mark.quick

NAMES = ("Kundenr", "Navn", "postalAddress.addressLine1", "Saldo")
PATHS = ("customerNo", "name", "postalAddress.addressLine1", None)
FIELDS = [None if path is None else fields_of("customers")[path] for path in PATHS]
RULES = RowRules("customers", NAMES, FIELDS)


def found(*rows):
    """The positions of the rows that are no records."""
    faults = RULES.find([list(column) for column in zip(*rows, strict=True)])
    assert all(fault.code == "no_record" for fault in faults.values())
    return list(faults)


NO_RECORDS = [
    ("Kundenr", "Navn", "postalAddress.addressLine1", "Saldo"),
    ("customerNo", "name", "postalAddress.addressLine1", "x"),
    (" KUNDENR ", "navn", None, ""),
    ("", "Navn", "", "SALDO"),
    ("Navn", "Kundenr", "", ""),
    ("-----", "-----", "--------", "-----"),
    ("=====", None, None, None),
    ("- - - -", "____", "****", "----"),
    ("Sum", "", "", ""),
    ("SUM:", "", "", "1 250,00"),
    ("", "Totalt", "", "1\u00a0250,00"),
    ("", "", "Delsum:", "-12,50"),
    ("Grand total", "", "", "1.234.567,00 kr"),
    ("Sum kunder", "", "", "3"),
    ("Total", "", "NOK", "5"),
    ("I alt", None, None, "3"),
    ("(3 rows affected)", "", "", ""),
    ("3 rows in set (0.00 sec)", "", "", ""),
    ("3 row(s) selected.", "", "", ""),
    ("3 rader", "", "", ""),
    ("Antall: 3", "", "", ""),
    ("Antall kunder", "3", "", ""),
    ("Rows: 1 234", "", "", ""),
    ("(12 rader)", "", "", ""),
    ("Totalt 3 kunder", "", "", ""),
    ("-- end --", "", "", ""),
    ("*** SLUTT ***", "", "", ""),
    ("End of report", "", "", ""),
    ("Side 1 av 3", "", "", ""),
    ("Completion time: 2026-11-28T20:00:00", "", "", ""),
    ("\x1a", "", "", ""),
    ("", "\x1a", "", ""),
]


@pytest.mark.parametrize("row", NO_RECORDS)
def test_a_row_that_is_no_record(row):
    assert found(row) == [0]
    assert found(("1", "Ola", "", ""), row, ("K-2", "Kari", "", ""), row) == [1, 3]


RECORDS = [
    ("1", "Total AS", "", ""),
    ("1", "Navn", "postalAddress.addressLine1", "Saldo"),
    ("SUM", "Sum Regnskap AS", "Gata 1", "5"),
    ("Total", "Total Energi", "", ""),
    ("SUMMIT", "", "", ""),
    ("K 12", "Sum", "", ""),
    ("3 rows of houses", "Borettslaget", "", ""),
    ("A", "", "", ""),
    ("-", "-", "-", "-"),
    ("", "", "", ""),
    (None, None, None, None),
    ("", "Ola", "Gata 1", ""),
    ("Sluttvik", "End AS", "", ""),
    ("Faktura 12", "", "", "100"),
    ("Post 5", "", "", ""),
    ("Linje 1", "1", "NOK", "20.11.2026"),
    ("Kundenr 5", "Navn", "", ""),
]


@pytest.mark.parametrize("row", RECORDS)
def test_a_row_that_may_be_a_record(row):
    assert found(row) == []
    assert found(("1", "Ola", "", ""), row, ("K-2", "Kari", "", "")) == []


WORDS = st.sampled_from(["Ola", "Sum", "Total AS", "Navn", "5", "12,50", "Gata 1", "-----", "", "Rader 3", "Kundenr"])
KEYS = st.from_regex(r"[A-Z]{0,2}[-/]?[0-9]{1,6}", fullmatch=True)


@many(300)
@given(st.lists(st.tuples(KEYS, WORDS, WORDS, WORDS), min_size=1, max_size=5))
def test_a_row_with_a_number_is_a_record(rows):
    assert found(*rows) == []


CELLS = st.sampled_from([cell for row in [*NO_RECORDS, *RECORDS] for cell in row]) | st.text(max_size=4)


@many(500)
@given(st.lists(st.tuples(CELLS, CELLS, CELLS, CELLS), min_size=1, max_size=5))
def test_a_block_is_judged_as_its_rows_are(rows):
    assert found(*rows) == [place for place, row in enumerate(rows) if RULES.message(row) is not None]


def test_lists_in_cells_and_columns_that_are_not_read():
    assert RULES.find([["Sum", "1"], [["a"], None], [], []]) == {}
    assert RULES.find([[], ["Sum"], [], []]) == {}
    assert RULES.find([]) == {}
