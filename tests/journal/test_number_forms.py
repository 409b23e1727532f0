"""What was seen with one number holds for numbers of the same form alone."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amili_arm_async.bulk.number_forms import form_of

pytestmark = pytest.mark.quick

NUMBERS = st.text(st.sampled_from(string.ascii_letters + string.digits + "/-. %åÅ#_"), min_size=1, max_size=12)


@pytest.mark.parametrize(
    ("proof", "number"),
    [
        ("2026/0001", "2026/0002"),
        ("2026/00010", "2026/0002"),
        ("D000", "D1"),
        ("1", "0"),
        ("INV-2026-0001", "CN-1"),
        ("ÅR-00001", "ÅR-12"),
        ("001", "007"),
    ],
)
def test_one_of_the_same_form_speaks_for_the_other(proof: str, number: str) -> None:
    assert form_of(proof).covers(form_of(number))


@pytest.mark.parametrize(
    ("proof", "number"),
    [
        ("20260001", "2026/0001"),
        ("2026-0001", "2026/0001"),
        ("2026/0001", "2026-0001"),
        ("2026-00/01", "2026/0001"),
        ("2026.0001", "20260001"),
        ("AR-0001", "ÅR-0001"),
        ("ÅR-0001", "ØR-0001"),
        ("A0001", "a0001"),
        ("AB001", "Ab001"),
        ("10001", "A0001"),
        ("A0001", "10001"),
        ("ABCDE", "A0001"),
        ("1001", "10012"),
        ("1001", "0012"),
        ("A/B/C", "A//BC"),
        ("A/BC", "ABC/"),
        ("A.BC", ".ABC"),
        ("A%2FB", "A%B"),
        ("A%2FB", "A/B"),
        ("A B", "A+B"),
        ("A\u030a1", "Å1"),
        ("2026/0001", "20/26/001"),
        ("20/26/001", "2026/0001"),
        ("A\\BCDE", "A\\B\\C"),
    ],
)
def test_one_of_another_form_does_not(proof: str, number: str) -> None:
    assert not form_of(proof).covers(form_of(number))


ALIKE = st.text(st.sampled_from("A1/"), min_size=1, max_size=4)


@given(ALIKE | NUMBERS, ALIKE)
def test_it_needs_the_same_signs_the_same_kinds_of_letters_and_no_fewer_characters(one: str, other: str) -> None:
    if not form_of(one).covers(form_of(other)):
        return
    signs = [{sign for sign in number if not (sign.isascii() and sign.isalnum())} for number in (one, other)]
    assert signs[0] == signs[1]
    assert len(one) >= len(other)
    assert any(sign.isdigit() for sign in one) == any(sign.isdigit() for sign in other)
    for letters in (string.ascii_uppercase, string.ascii_lowercase):
        assert bool(set(one) & set(letters)) == bool(set(other) & set(letters))


@given(NUMBERS)
def test_each_number_speaks_for_itself(number: str) -> None:
    assert form_of(number).covers(form_of(number))
    assert str(len(number)) in str(form_of(number))


@given(st.lists(NUMBERS, min_size=3, max_size=3))
def test_it_is_transitive(numbers: list[str]) -> None:
    one, two, three = map(form_of, numbers)
    if one.covers(two) and two.covers(three):
        assert one.covers(three)
