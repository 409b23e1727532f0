"""The part of a document: one for all ways to write its number, the same everywhere and always, and about as many in each."""

from __future__ import annotations

import os
import subprocess
import sys
import unicodedata
from collections import Counter
from decimal import Decimal
from enum import Enum
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amili_arm_async import ConfigurationError, RecordError, part_of
from amili_arm_async.bulk.fingerprints import as_key, keyed_name, keyed_names
from amili_arm_async.bulk.parts import MOST_PARTS, PartHash

pytestmark = pytest.mark.quick

TEXTS = st.text(st.characters(), min_size=1, max_size=12)
NUMBERS = TEXTS.filter(lambda text: as_key(text) is not None)
PARTS = st.integers(1, MOST_PARTS)


@given(NUMBERS, PARTS)
def test_a_part_is_one_of_the_parts(number: str, parts: int) -> None:
    assert part_of(number, parts) in range(parts)


@given(TEXTS, TEXTS, PARTS)
def test_what_the_journal_takes_for_one_number_is_in_one_part(one: str, other: str, parts: int) -> None:
    keys = as_key(one), as_key(other)
    if keys[0] is not None and keys[1] is not None and keyed_name(keys[0]) == keyed_name(keys[1]):
        assert part_of(one, parts) == part_of(other, parts)


@given(NUMBERS, PARTS, st.sampled_from(["", " ", "\t", "\u200b", "\ufeff", "\u00a0"]))
def test_case_white_space_and_the_form_in_unicode_change_no_part(number: str, parts: int, space: str) -> None:
    part = part_of(number, parts)
    assert part_of(f"{space}{number}{space}", parts) == part
    assert part_of(unicodedata.normalize("NFC", number), parts) == part
    if number.isascii():
        assert part_of(number.upper(), parts) == part_of(number.lower(), parts) == part


@given(st.integers(-(10**20), 10**20), PARTS)
def test_a_number_is_the_same_as_text_and_as_decimal(number: int, parts: int) -> None:
    others = [str(number), Decimal(number), Decimal(f"{number}.0"), f" {number} "]
    assert {part_of(other, parts) for other in others} == {part_of(number, parts)}


class Number(int, Enum):
    FIRST = 1001


def test_a_number_of_an_enum_is_the_one_that_is_sent() -> None:
    assert part_of(Number.FIRST, 10_000) == part_of(1001, 10_000)


@given(st.lists(st.none() | NUMBERS | st.sampled_from(["a\0b", "\0", "Straße"]), max_size=8), PARTS)
def test_many_at_once_are_in_the_parts_of_each(numbers: list[str | None], parts: int) -> None:
    keys = [as_key(number) for number in numbers]
    expected = [part_of(key, parts) if key is not None else 0 for key in keys]
    assert PartHash(parts).of_keys(keys) == expected
    assert len(keyed_names(keys)) == sum(key is not None for key in keys)


@pytest.mark.parametrize(
    ("number", "part"), [("1001", 33), ("F-2026/0001", 50), ("ÅRSFAKTURA 7", 40), (88776655, 61), ("x" * 300, 36), ("a\0b", 5)]
)
def test_a_number_stays_in_its_part(number: str | int, part: int) -> None:
    """A run that an older version has begun is resumed: if this test fails, `HASH_VERSION` has to change."""
    assert part_of(number, 64) == part


def test_a_database_can_compute_it() -> None:
    digits = sha256(b"amili-arm-1=" + b"F-2026/0001".lower()).hexdigest()[:8]
    assert int(digits, 16) % 64 == part_of("F-2026/0001", 64)


def test_every_process_computes_the_same() -> None:
    program = "from amili_arm_async import part_of; print([part_of(f'no-{n}', 64) for n in range(50)])"
    lines = {
        subprocess.run(
            [sys.executable, "-c", program], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert lines == {f"{[part_of(f'no-{n}', 64) for n in range(50)]}\n"}


@pytest.mark.parametrize("write", [str, lambda n: f"F-{n:08}", lambda n: f"2026/{n * 10}"])
def test_consecutive_numbers_fill_all_parts_alike(write: Any) -> None:
    found = Counter(PartHash(16).of_keys([write(n) for n in range(16_000)]))
    assert len(found) == 16
    assert 850 < min(found.values()) <= max(found.values()) < 1150


@pytest.mark.parametrize("number", [None, "", "  ", "\u200b", True, 12.5, Decimal("NaN"), b"1001"])
def test_what_is_no_number_of_a_document_is_in_no_part(number: Any) -> None:
    with pytest.raises(RecordError, match="documentNo"):
        part_of(number, 64)


@pytest.mark.parametrize("parts", [0, -1, MOST_PARTS + 1, 2.0, "64", None, True])
def test_the_number_of_parts_is_a_whole_number(parts: Any) -> None:
    with pytest.raises(ConfigurationError, match="parts"):
        part_of("1001", parts)
