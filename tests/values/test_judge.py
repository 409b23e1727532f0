"""What a cell of each kind becomes, and why it is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from amili_arm_async.values.fields import fields_of
from amili_arm_async.values.findings import SEVERITIES
from amili_arm_async.values.judge import Judge, ReadingOptions
from amili_arm_async.values.numbers import combine_proofs, meaning, number_proofs

from ..support.examples import many

pytestmark = pytest.mark.quick

FIELDS = dict(fields_of("customers"))


def one(cells, origin="text", **options):
    """The value of the first cell, and the code of its fault."""
    judge = Judge("customers", [FIELDS[path] for path in cells], origins=[origin] * len(cells), options=ReadingOptions(**options))
    rows = judge.read([[cell] for cell in cells.values()])
    faults = [*rows.refused.get(0, ()), *rows.warned.get(0, ())]
    for fault in faults:
        assert all(cell is None or len(str(cell)) < 4 or str(cell) not in fault.message for cell in cells.values())
        assert (fault in rows.refused.get(0, ())) == (SEVERITIES[fault.code] == "error")
    value = rows.columns[0][0]
    return bytes(value).decode() if isinstance(value, Raw) else value, faults[0].code if faults else None


READ = [
    ("limitAmount", "1.234,50", "1234.50"),
    ("limitAmount", "1,234.50", "1234.50"),
    ("limitAmount", "1.234.567", "1234567"),
    ("limitAmount", "-0,50", "-0.50"),
    ("limitAmount", "+5", "5"),
    ("limitAmount", "007", "7"),
    ("limitAmount", ",5", "0.5"),
    ("limitAmount", "0.125", "0.125"),
    ("limitAmount", "1234.567", "1234.567"),
    ("limitAmount", "\u22121\u00a0234,5", "-1234.5"),
    ("limitAmount", "1\u202f234 ", "1234"),
    ("limitAmount", "1'234.50", "1234.50"),
    ("dueDays", "14.0", 14),
    ("dueDays", "14,0", 14),
    ("dateOfBirth", "20.11.1984 00:00", "1984-11-20"),
    ("dateOfBirth", "1984-11-20T00:00:00.000", "1984-11-20"),
    ("dateOfBirth", "1984-11-20T00:00:00+01:00", "1984-11-20"),
    ("customerNo", "5E12", "5E12"),
    ("phoneNo", "+4790012345", "+4790012345"),
    ("name", "1,23E+09", "1,23E+09"),
    ("organizationNo", "NO 923 609 016 MVA", "923609016"),
    ("naceCodes", "62.0", "62.0"),
    ("postalAddress.countryCode", "NA", "NA"),
    ("vatLiable", "SANN", True),
]


@pytest.mark.parametrize(("path", "cell", "value"), READ)
def test_what_has_one_meaning_is_read(path, cell, value):
    assert one({path: cell}) == (value, None)


REFUSED = [
    *(("limitAmount", cell, "two_meanings") for cell in ("12.000", "1,234", "-12.000")),
    *(("limitAmount", cell, "number") for cell in ("12 34", "kr 100", "NOK 100", "100,-", "25 %", "(100)", "100-", "1,23,456", "x")),
    ("limitAmount", "1E+05", "shortened_number"),
    *((path, "20.11.2026\u200b", "invisible_characters") for path in ("dateOfBirth", "limitAmount", "vatLiable")),
    *((path, "1\0002", "control_characters") for path in ("dateOfBirth", "limitAmount", "dueDays")),
    *(
        ("name", name, "wrongly_decoded")
        for name in ("\u00c3\u2013berg", "M\u00ef\u00bf\u00bdller", "Bj\u251c\u00a9rn", "Bj\u221a\u220frn")
    ),
    *(("customerNo", word, "null_word") for word in ("pd.NA", "DBNull", "-NaN")),
    ("dueDays", "14.000", "two_meanings"),
    ("dueDays", "14.5", "number"),
    ("dueDays", "9007199254740993", "out_of_range"),
    *(("customerNo", cell, "number_as_identifier") for cell in ("10001.0", "10001,00")),
    *(("buyerReference", cell, "shortened_number") for cell in ("4,79E+09", "4.79e9", "5E+12")),
    *((path, '="00123"', "formula") for path in ("customerNo", "name", "postalAddress.cityName", "limitAmount")),
    *(
        (path, cell, "error_word")
        for cell in ("#N/A", "#I/T", "#REF!", "#NAVN?", "#####")
        for path in ("name", "customerNo", "limitAmount")
    ),
    *((path, cell, "null_word") for cell in ("NULL", r"\N", "nan", "None", "<NA>") for path in ("customerNo", "dateOfBirth", "dueDays")),
    *((path, "null", "null_word") for path in ("postalAddress.addressLine2", "emailAddressDocument", "customerGroupCode")),
    *(("emailAddressDocument", cell, "several_addresses") for cell in ("a@x.no; b@x.no", "a@x.no,b@x.no", "a@x.no b@x.no")),
    ("dateOfBirth", "1984-11-20 12:30", "time_of_day"),
    *(("dateOfBirth", cell, "instant") for cell in ("1984-11-20T00:00:00Z", "1984-11-19T23:00:00+00:00", "1984-11-20T10:00:00+01:00")),
    *(("dateOfBirth", cell, "date") for cell in ("20/11/1984", "11/20/1984", "20.11.84", "46346", "31.02.1984", "0000-00-00")),
    *(("stopReminderUntil", cell, "out_of_range") for cell in ("9999-12-31", "1850-01-01")),
    *((path, cell, "control_characters") for cell in ("a\0b", "\x1a", "a\x85", "a\x7f", "a\tb") for path in ("name", "customerNo")),
    ("name", "a\ud83d", "not_encodable"),
    *(("name", cell, "wrongly_decoded") for cell in ("Bj\ufffdrn", "Bj\u00c3\u00b8rn")),
    ("customerNo", "1\u200b2", "invisible_characters"),
    ("organizationNoScheme", "192", "lost_zeros"),
]


@pytest.mark.parametrize(("path", "cell", "code"), REFUSED)
def test_what_a_tool_has_made_is_refused(path, cell, code):
    assert one({path: cell})[1] == code


@pytest.mark.parametrize(("country", "code"), [("NO", "lost_zeros"), ("", "possible_lost_zeros"), ("IS", None)])
def test_lost_zeros_depend_on_the_country(country, code):
    assert one({"postalAddress.postalCode": "150", "postalAddress.countryCode": country})[1] == code
    assert one({"ssn": "1018512345", "ssnCountry": country})[1] == code
    assert one({"organizationNo": "92360901", "postalAddress.countryCode": country})[1] == code


def test_a_word_for_nothing_in_a_name_is_told():
    assert one({"name": "Null"}) == ("Null", "possible_null_word")


def test_the_decimal_sign_is_told_or_proved():
    assert one({"limitAmount": "12.000"}, decimal_sign=",") == ("12000", None)
    assert one({"limitAmount": "12.000"}, decimal_sign=".") == ("12.000", None)
    assert one({"limitAmount": "12.000"}, proved={"limitAmount": ","}) == ("12000", None)
    assert one({"limitAmount": "12.000"}, proved={"limitAmount": ""})[1] == "two_meanings"
    assert one({"limitAmount": "1.234,50"}, decimal_sign=".")[1] == "number"
    assert one({"limitAmount": "12.000"}, origin="decimal") == ("12.000", None)
    assert one({"customerNo": "10001.0"}, origin="float") == ("10001", None)


NUMBERS = st.lists(st.sampled_from(["0", "00", "1", "12", "123", ".", ",", ".000", ",123", " ", "-", "x", "\u00a0"]), max_size=5).map(
    "".join
)


@many(500)
@given(st.lists(NUMBERS | st.none(), max_size=5))
def test_a_column_proves_what_its_numbers_prove(cells):
    proved = {mark for cell in cells if cell and (mark := meaning(cell.strip())) in {",", "."}}
    assert number_proofs(cells) == proved
    assert combine_proofs([number_proofs([cell]) for cell in cells]) == {0: None, 1: next(iter(proved), None), 2: ""}[len(proved)]
