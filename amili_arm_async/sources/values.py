"""Pure: the cells of a table as values of a field: what Norwegian spreadsheets write, and what Parquet holds. A fault names no value."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, Literal, TypeAlias

__all__ = ["CellError", "Leaf", "from_text", "from_value"]

Leaf: TypeAlias = Literal["text", "number_as_text", "integer", "decimal", "date", "boolean", "texts"]

SEPARATOR: Final = "|"
"""Between the values of a list in one cell."""

_BLANKS: Final = " \u00a0\u202f"
_INTEGER: Final = re.compile(rf"[+-]?(?:[0-9]{{1,18}}|[0-9]{{1,3}}(?:[{_BLANKS}][0-9]{{3}}){{1,5}})", re.ASCII)
_DECIMAL: Final = re.compile(rf"[+-]?(?:[0-9]{{1,30}}|[0-9]{{1,3}}(?:[{_BLANKS}][0-9]{{3}}){{1,9}})(?:[.,][0-9]{{1,30}})?", re.ASCII)
_SHORTENED: Final = re.compile(r"[0-9](?:[.,][0-9]+)?[eE]\+?[0-9]+", re.ASCII)
_ISO_DATE: Final = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})(?:[T ]00:00(?::00(?:\.0+)?)?)?")
_DATE: Final = re.compile(r"([0-9]{1,2})\.([0-9]{1,2})\.([0-9]{4})")
_WITHOUT: Final = str.maketrans({",": ".", "\u2212": "-", **dict.fromkeys(_BLANKS)})
_WORDS: Final[dict[str, bool]] = {
    **dict.fromkeys(("ja", "true", "1", "yes", "sann"), True),
    **dict.fromkeys(("nei", "false", "0", "no", "usann"), False),
}


class CellError(ValueError):
    """A cell that is not a value of its field; the message says what it should be."""


def from_text(leaf: Leaf, text: str) -> Any:
    """The value of a cell that is text and not blank.

    Raises:
        CellError: it is none.
    """
    return _FROM_TEXT[leaf](text)


def from_value(leaf: Leaf, value: Any) -> Any:
    """The value of a cell that has a type of its own.

    Raises:
        CellError: it is none.
    """
    if isinstance(value, str):
        return from_text(leaf, value)
    return _FROM_VALUE[leaf](value)


# --- text ---------------------------------------------------------------------------------------------------------------


def _number_as_text(text: str) -> str:
    if _SHORTENED.fullmatch(text):
        raise CellError("a spreadsheet has shortened this number: format the column as text, and save it again")
    return text


def _integer(text: str) -> int:
    plain = text.replace("\u2212", "-")
    if not _INTEGER.fullmatch(plain):
        raise CellError("not a whole number")
    return int(plain.translate(_WITHOUT))


def _decimal(text: str) -> Decimal:
    plain = text.replace("\u2212", "-")
    if not _DECIMAL.fullmatch(plain):
        raise CellError("not a number such as 1 234,50 or 1234.50")
    return Decimal(plain.translate(_WITHOUT))


def _date(text: str) -> date:
    try:
        if found := _ISO_DATE.fullmatch(text):
            return date(int(found[1]), int(found[2]), int(found[3]))
        if found := _DATE.fullmatch(text):
            return date(int(found[3]), int(found[2]), int(found[1]))
    except ValueError:
        pass
    raise CellError("not a date: YYYY-MM-DD or DD.MM.YYYY")


def _boolean(text: str) -> bool:
    try:
        return _WORDS[text.casefold()]
    except KeyError:
        raise CellError("not a boolean: true, ja or 1, or false, nei or 0") from None


def _texts(text: str) -> list[str]:
    return [item for part in text.split(SEPARATOR) if (item := part.strip())]


_FROM_TEXT: Final[dict[Leaf, Callable[[str], Any]]] = {
    "text": str,
    "number_as_text": _number_as_text,
    "integer": _integer,
    "decimal": _decimal,
    "date": _date,
    "boolean": _boolean,
    "texts": _texts,
}


# --- values -------------------------------------------------------------------------------------------------------------


def _value_as_text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        # A column of numbers with gaps becomes one of floats in many tools.
        return str(int(value))
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise CellError(f"not a text, but a {type(value).__name__}")


def _value_as_integer(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float | Decimal) and -(2**53) < value < 2**53 and value == int(value):
        return int(value)
    raise CellError(f"not a whole number, but a {type(value).__name__}")


def _value_as_decimal(value: Any) -> Decimal:
    if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
        # The shortest digits that mean this float: those that its writer saw.
        number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
        if number.is_finite():
            return number
    raise CellError(f"not a number, but a {type(value).__name__}" if not isinstance(value, (float, Decimal)) else "NaN or Infinity")


def _value_as_date(value: Any) -> date:
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    raise CellError(f"not a date, but a {type(value).__name__}")


def _value_as_boolean(value: Any) -> bool:
    if isinstance(value, int) and value in {0, 1}:  # True and False are integers too
        return bool(value)
    raise CellError(f"not a boolean, but a {type(value).__name__}")


def _value_as_texts(value: Any) -> list[str]:
    if isinstance(value, list):
        return [item if isinstance(item, str) else _value_as_text(item) for item in value if item is not None]
    raise CellError(f"not a list of texts, but a {type(value).__name__}")


_FROM_VALUE: Final[dict[Leaf, Callable[[Any], Any]]] = {
    "text": _value_as_text,
    "number_as_text": _value_as_text,
    "integer": _value_as_integer,
    "decimal": _value_as_decimal,
    "date": _value_as_date,
    "boolean": _value_as_boolean,
    "texts": _value_as_texts,
}
