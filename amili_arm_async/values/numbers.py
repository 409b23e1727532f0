"""Pure: numbers as people and tools write them: which sign stands before the decimals, and which between thousands.

A number such as `12.000` has two meanings. It is refused unless an option, or the other numbers of its column, tell which is right.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Final, NamedTuple

from msgspec import Raw

from .outcome import Outcome, refused

__all__ = [
    "LARGEST", "MOST_DIGITS", "TOO_MANY_DIGITS", "Number",
    "combine_proofs", "number_proofs", "read_decimal", "read_integer", "read_typed_number", "whole_text",
]  # fmt: skip

_GROUPING: Final = " '\u00a0\u2007\u2009\u202f\u2019"
"""Between thousands, where it has no other meaning."""

MOST_DIGITS: Final = 30
"""Before the decimals, and of them."""

TOO_MANY_DIGITS: Final = refused("out_of_range", f"a number with more than {MOST_DIGITS} digits")

LARGEST: Final = 2**53 - 1
"""The largest whole number that every reader of JSON holds exactly."""

_BODY: Final = re.compile(rf"([+-]?)[ \u00a0\u202f]*([0-9.,{_GROUPING}]+)", re.ASCII)
_GROUPED: Final = rf"[0-9]{{1,3}}([{_GROUPING}])[0-9]{{3}}(?:\1[0-9]{{3}})*"
_WHOLE: Final = re.compile(rf"[0-9]+|{_GROUPED}", re.ASCII)
_ONE_SIGN: Final = re.compile(rf"(?:[0-9]*|{_GROUPED})([.,])[0-9]+", re.ASCII)
_TWO_MEANINGS: Final = re.compile(r"(?!0+[.,])[0-9]{1,3}[.,][0-9]{3}", re.ASCII)
_COMMA: Final = re.compile(r"[1-9][0-9]{0,2}(?:\.[0-9]{3})+,[0-9]+|[1-9][0-9]{0,2}(?:\.[0-9]{3}){2,}", re.ASCII)
_POINT: Final = re.compile(r"[1-9][0-9]{0,2}(?:,[0-9]{3})+\.[0-9]+|[1-9][0-9]{0,2}(?:,[0-9]{3}){2,}", re.ASCII)
_TYPED: Final = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?", re.ASCII)
_WITHOUT: Final = str.maketrans(dict.fromkeys(_GROUPING + ".,"))

_TO_ONES: Final = str.maketrans("023456789", "111111111")

BOTH: Final = "both"
"""The meaning of a number that has two."""

_SHORTENED: Final = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]+)?[eE][+-]?[0-9]+", re.ASCII)
_BRACKETS: Final = re.compile(r"\(.*[0-9].*\)|.*[0-9]\s*-")
_UNIT: Final = r"(?:[^\W0-9_]+\.?|[$\u20ac\u00a3%])"
_CURRENCY: Final = re.compile(rf"{_UNIT}\s*[-+]?[0-9][0-9.,\s]*-*|[-+]?[0-9][0-9.,\s]*(?:[,.][-\u2013]+|{_UNIT})")
_NO_NUMBER: Final = "not a number such as 1 234,50 or 1234.50"
_TWO: Final = (
    "a number with two meanings: its sign may stand before decimals or between thousands; say which sign stands before decimals "
    "(decimal_sign=, --decimal), or write no sign between thousands"
)
_CONTRADICTION: Final = (
    "a number with two meanings, and the other numbers of the column contradict each other: some have a comma before the decimals, "
    "some a point; write all in one way"
)


class Number(NamedTuple):
    """The digits of a number.

    Attributes:
        sign: `-` or nothing.
        whole: the digits before the decimals, without zeros in front.
        fraction: the decimals, as they stand.
    """

    sign: str
    whole: str
    fraction: str


def meaning(text: str) -> str | None:
    """Returns the sign before the decimals of a number, as far as its form shows it.

    Returns:
        `,` or `.`; `""` where there is neither; `BOTH` where the one sign in it may be either; None where it is no number.
    """
    found = _BODY.fullmatch(text.replace("\u2212", "-"))
    return None if found is None else _meaning(found[2])


def _meaning(body: str) -> str | None:
    if _WHOLE.fullmatch(body):
        return ""
    if found := _ONE_SIGN.fullmatch(body):
        return BOTH if _TWO_MEANINGS.fullmatch(body) else found[2]
    return "," if _COMMA.fullmatch(body) else "." if _POINT.fullmatch(body) else None


def _parse(text: str, decimal_sign: str | None) -> Number | Outcome:
    """The digits of a text.

    Args:
        text: without blanks around it.
        decimal_sign: which it must be; None: as the form shows it; `""`: so too, where the column contradicts itself.
    """
    found = _BODY.fullmatch(text.replace("\u2212", "-"))
    mark = None if found is None else _meaning(found[2])
    if found is None or mark is None:
        return _no_number(text)
    if mark == BOTH:
        if not decimal_sign:
            return refused("two_meanings", _TWO if decimal_sign is None else _CONTRADICTION)
        mark = decimal_sign
    elif decimal_sign and mark not in {"", decimal_sign}:
        return refused("number", f"decimal_sign= (--decimal) or its column says {_NAMES[decimal_sign]}; this number has another sign")
    whole, _, fraction = found[2].partition(mark) if mark else (found[2], "", "")
    whole = whole.translate(_WITHOUT).lstrip("0") or "0"
    if len(whole) > MOST_DIGITS or len(fraction) > MOST_DIGITS:
        return TOO_MANY_DIGITS
    is_zero = whole == "0" and not fraction.strip("0")
    return Number("-" if found[1] == "-" and not is_zero else "", whole, fraction)


_NAMES: Final = {",": "a comma", ".": "a point"}


def _no_number(text: str) -> Outcome:
    if _SHORTENED.fullmatch(text):
        return refused(
            "shortened_number", "a tool has shortened this number: write all its digits (in a spreadsheet, format the column as number)"
        )
    if _BRACKETS.fullmatch(text) and not any(map(str.isalpha, text)) and not text.endswith((",-", ".-")):
        return refused("number", "not a number: the minus of a negative number stands before it, as in -100")
    if _CURRENCY.fullmatch(text):
        return refused("number", "a number with a currency, a unit or a percent sign: write the number alone")
    return refused("number", _NO_NUMBER)


def read_decimal(text: str, decimal_sign: str | None) -> Outcome:
    """Returns a decimal number, as JSON, of a text.

    Args:
        text: without blanks around it.
        decimal_sign: `,` or `.`; None or `""` where only a form with one meaning is read.
    """
    return _as_decimal(_parse(text, decimal_sign))


def read_integer(text: str, decimal_sign: str | None) -> Outcome:
    """Returns a whole number of a text; decimals that are all zeros are no part of it.

    Args:
        text: without blanks around it.
        decimal_sign: `,` or `.`; None or `""` where only a form with one meaning is read.
    """
    return _as_integer(_parse(text, decimal_sign))


def read_typed_number(text: str, *, whole: bool) -> Outcome:
    """Returns a number that was none but in this text: it has one meaning.

    Args:
        text: as Arrow, Python and JSON write numbers.
        whole: whether it must be a whole number.
    """
    number = _typed(text)
    return _as_integer(number) if whole else _as_decimal(number)


def whole_text(text: str) -> str | None:
    """Returns the digits of a whole number that was none but in this text; None where it is no whole number."""
    number = _typed(text)
    if isinstance(number, Outcome) or number.fraction.strip("0"):
        return None
    return number.sign + number.whole


def _typed(text: str) -> Number | Outcome:
    if _TYPED.fullmatch(text) is None:
        if text.lower().lstrip("+-") in {"nan", "inf", "infinity"}:
            return refused("not_finite", "NaN or Infinity is no number: leave the cell blank where there is none")
        return refused("number", "not a number")
    if "e" in text.lower():
        try:
            text = format(Decimal(text), "f") if abs(Decimal(text).adjusted()) <= 2 * MOST_DIGITS else ""
        except InvalidOperation:
            text = ""
    sign, digits = ("-", text[1:]) if text.startswith("-") else ("", text)
    whole, _, fraction = digits.partition(".")
    whole = whole.lstrip("0") or "0"
    if not text or len(whole) > MOST_DIGITS or len(fraction) > 2 * MOST_DIGITS:
        return TOO_MANY_DIGITS
    return Number(sign if whole != "0" or fraction.strip("0") else "", whole, fraction)


def _as_decimal(number: Number | Outcome) -> Outcome:
    if isinstance(number, Outcome):
        return number
    return Outcome(Raw(f"{number.sign}{number.whole}.{number.fraction}" if number.fraction else number.sign + number.whole))


def _as_integer(number: Number | Outcome) -> Outcome:
    if isinstance(number, Outcome):
        return number
    if number.fraction.strip("0"):
        return refused("number", "not a whole number")
    value = int(number.sign + number.whole)
    if abs(value) > LARGEST:
        return refused("out_of_range", "a whole number that not every program can hold exactly: 9007199254740991 at the most")
    return Outcome(value)


# --- what the numbers of a column prove -----------------------------------------------------------------------------------


def number_proofs(cells: Iterable[str | None]) -> set[str]:
    """Returns which signs stand before decimals, as those numbers of a column prove that have one meaning.

    Args:
        cells: of the column, or of a part of it.

    Returns:
        A set of `,` and `.`: empty where nothing is proved, both where the numbers contradict each other.
    """
    given = list(filter(None, cells))
    joined = "\0".join(given)
    if "," not in joined and "." not in joined:
        return set()
    shapes = set(joined.translate(_TO_ONES).split("\0"))
    proved = set(map(_proof_of, shapes))
    if None in proved:
        # Zeros in front may tell what the shape does not.
        proved = {_proof_of(cell, is_shape=False) for cell in set(given)}
    return {mark for mark in proved if mark in {",", "."}}


@lru_cache(1024)
def _proof_of(text: str, *, is_shape: bool = True) -> str | None:
    """The sign that a number proves, or nothing; of a shape, None where it depends on the digits."""
    mark = meaning(text.strip())
    if is_shape and mark != "" and (mark == BOTH or ",111" in text or ".111" in text):
        return None
    return mark if mark in {",", "."} else ""


def combine_proofs(proofs: Iterable[set[str]]) -> str | None:
    """Returns the sign before the decimals of a column, as all its parts prove it.

    Args:
        proofs: of the parts.

    Returns:
        `,` or `.`; None where nothing is proved; `""` where they contradict each other.
    """
    all_proved: set[str] = set().union(*proofs)
    return None if not all_proved else all_proved.pop() if len(all_proved) == 1 else ""
