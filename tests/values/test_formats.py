"""The form of texts, whole columns at a time: each value is judged as it is alone, and check digits as python-stdnum does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET
from stdnum.no import orgnr

from amili_arm_async.values.check_digits import bad_kids, bad_organization_numbers
from amili_arm_async.values.fields import fields_of
from amili_arm_async.values.formats import format_faults, has_format, organization_faults

pytestmark = pytest.mark.quick

KID = fields_of("documents")["kid"]
FIELDS = [field for kind in ("customers", "documents") for field in fields_of(kind).values() if has_format(field)]
digits = st.text("0123456789", min_size=9, max_size=9)
kids = st.text("0123456789", min_size=1, max_size=24).flatmap(lambda start: st.sampled_from("0123456789-").map(lambda end: start + end))
likely = st.sampled_from(
    [
        "NO",
        "no",
        "XX",
        "NOK",
        "kr",
        "nb",
        "n1",
        "2026-02-28",
        "2026-02-30",
        "20260228",
        "a@b.no",
        "å@b.no",
        "a@b",
        "a@b.no\n",
        "18",
        "1-",
        "²3",
    ]
)
cells = st.sampled_from([None, UNSET, ""]) | likely | kids | st.text(max_size=5)


def right_by_10(kid):
    twice = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(kid))] if kid[-1] != "-" else [1]
    return sum(digit // 10 + digit % 10 for digit in twice) % 10 == 0


def right_by_11(kid):
    total = sum(int(digit) * (2 + place % 6) for place, digit in enumerate(reversed(kid[:-1])))
    return "0123456789-"[-total % 11] == kid[-1]


def completed(start):
    """The number with its right last digit by modulus 10."""
    return next(start + digit for digit in "0123456789" if right_by_10(start + digit))


@given(st.lists(kids | kids.map(lambda kid: completed(kid[:-1])), max_size=20))
def test_kids_are_judged_together_as_alone(column):
    alone = [row for row, kid in enumerate(column) if not (right_by_10(kid) or right_by_11(kid))]
    assert bad_kids(column) == alone


@given(st.lists(digits, max_size=20))
def test_organisation_numbers_are_judged_as_python_stdnum_does(column):
    assert bad_organization_numbers(column) == [row for row, number in enumerate(column) if not orgnr.is_valid(number)]


def test_every_last_digit_of_an_organisation_number():
    column = [f"{start}{last}" for start in ("98484225", "00000000", "99999999", "12345678") for last in range(10)]
    assert bad_organization_numbers(column) == [row for row, number in enumerate(column) if orgnr.checksum(number)]
    assert "984842252" not in {column[row] for row in bad_organization_numbers(column)}


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.path)
@given(data=st.data())
def test_a_column_is_judged_as_its_values_are_alone(field, data):
    column = data.draw(st.lists(st.lists(cells.filter(lambda cell: isinstance(cell, str)), max_size=3) if field.type == "texts" else cells))
    alone = [(row, fault) for row, cell in enumerate(column) for _, fault in format_faults(field, [cell])]
    assert sorted(format_faults(field, column)) == sorted(alone)


def test_a_column_of_kids_of_many_lengths_and_forms():
    column = ["2345676", "2345675", None, "123456785", "", "16-", "6-", "1", "1" * 26, "12 34", "0" * 25, UNSET, "²3"]
    found = {row: fault.code for row, fault in format_faults(KID, column)}
    assert found == {1: "kid_check_digit", 5: "kid_check_digit", 7: "kid", 8: "kid", 9: "kid", 12: "kid"}


ADDRESSES = [
    "a.b+c@d-e.co.no",
    "å@b.no",
    "a@b",
    "a b@c.no",
    "a@b.no;c@d.no",
    "a@b.no\n",
    "@b.no",
    "a@b..no",
    "x" * 64 + "@b.no",
    "x" * 65 + "@b.no",
]


@given(st.lists(st.text("ab1@@..+-_ \n,å", max_size=12) | st.sampled_from(["a@b.no", "a.b@c.no", *ADDRESSES]), max_size=5))
def test_an_address_has_one_at_sign_and_a_host_with_a_dot(column):
    expected = [row for row, text in enumerate(column) if text and not _is_address(text)]
    assert [row for row, _ in format_faults(fields_of("customers")["emailAddressDocument"], column)] == expected


def _is_address(text):
    name, _, host = text.partition("@")
    labels = host.split(".")
    return 0 < len(name) <= 64 and len(labels) > 1 and all(labels) and not any(odd in text for odd in " \n,") and "@" not in host


def test_an_address_in_a_list_is_named_by_its_place():
    field = fields_of("customers")["emailAddressDocument"]
    found = [(row, fault.path) for row, fault in format_faults(field, [["a@b.no", "a@b"], UNSET, [], ADDRESSES])]
    assert found == [(0, "emailAddressDocument[1]"), *((3, f"emailAddressDocument[{place}]") for place in (2, 3, 4, 5, 6, 7, 9))]


@pytest.mark.parametrize(
    ("number", "scheme", "country", "is_odd"),
    [
        ("984842252", None, None, False),
        ("984842253", None, None, True),
        ("984842253", "", "", True),
        ("984842253", "0192", "no", True),
        ("984842253", "0007", None, False),
        ("984842253", None, "SE", False),
        ("12", "0192", None, True),
        ("12", None, "NO", False),
        ("98484225²", "0192", None, True),
        ("", "0192", "NO", False),
        (UNSET, UNSET, UNSET, False),
    ],
)
def test_an_organisation_number_where_it_should_be_norwegian(number, scheme, country, is_odd):
    column = ["984842252", number]
    found = [row for row, _ in organization_faults("organizationNo", column, [None, scheme], [None, country])]
    assert found == ([1] if is_odd else [])
