"""Pure: the meaning of a document, in whatever way it is written: two texts with the same meaning make the same bill.

Null, blank and absent are the same; so are numbers that are written otherwise, or as a text where a number belongs and the other way
round, a day and its midnight without a zone, and texts but for white space and signs of no width around them and for their form in Unicode.
Case counts, and so does order in a list.
For customers none of this holds: there a blank clears what is stored.
"""

from __future__ import annotations

import contextlib
import re
import unicodedata
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any, Final, get_args, get_origin

from msgspec import UNSET, Raw

from .. import codec
from ..errors import RecordError
from ..models.base import Input
from ..models.documents import Document
from .field_names import kinds_of
from .plain_records import plain_value

__all__ = ["as_key", "is_plain", "meaning_of_document", "plain_text", "shortest"]

_LARGEST_EXPONENT: Final = 400
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]{1,1000}(?:\.[0-9]{0,1000})?|\.[0-9]{1,1000})(?:[eE][+-]?[0-9]{1,4})?")
_MIDNIGHT: Final = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]00:00(?::00(?:\.0{1,9})?)?")
"""A day as a table has it that knows only times; one with a zone may be another day elsewhere."""

_SPACES: Final = (
    "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f"
    "\u3000"
)
_UNSEEN: Final = "\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff"
"""Characters without width: spreadsheets and web pages leave them around what is copied."""

_KEY_TYPES: Final = frozenset({str, int})
_SOME_UNSEEN: Final = re.compile(f"[{_UNSEEN}]")


def is_plain(text: str) -> bool:
    """Returns whether a text is already in the form in which it is compared. Fast.

    Args:
        text: a text without white space.

    Returns:
        False also where that is not certain.
    """
    return text.isascii() or (unicodedata.is_normalized("NFC", text) and _SOME_UNSEEN.search(text) is None)


def plain_text(text: str) -> str:
    """Returns a text as it is compared: without white space and characters of no width around it, in Unicode's form NFC.

    Args:
        text: the text.

    Returns:
        The normalised text.
    """
    return text.strip() if text.isascii() else unicodedata.normalize("NFC", text).strip(_SPACES + _UNSEEN)


def shortest(number: Decimal) -> Decimal | int:
    """Returns the same number without trailing zeros, and without losing a digit.

    Args:
        number: the number.

    Returns:
        An integer where it is one.
    """
    sign, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    significant = list(digits)
    while len(significant) > 1 and significant[-1] == 0:
        significant.pop()
        exponent += 1
    if not any(significant):
        return 0
    short = Decimal((sign, tuple(significant), exponent))
    return int(short) if 0 <= exponent < _LARGEST_EXPONENT else short


def as_key(value: object) -> str | None:
    """Returns the key of a record as text: 123, "123", " 123 ", 123.0 and Decimal("123") are one key. It is the one that is sent, so a date
    or an integer of numpy has one, too.

    Args:
        value: the value of the key field.

    Returns:
        The key; None where the value is none, such as 12.5.
    """
    if value is None or value is UNSET:
        return None
    if isinstance(value, Raw):
        value = codec.json_value(bytes(value))
    elif type(value) not in _KEY_TYPES:
        # An enum, a number of numpy or a class of one's own writes itself otherwise than it is sent.
        value = plain_value(value)
    if isinstance(value, str):
        return plain_text(value) or None
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return _digits(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float):
        value = Decimal(repr(value))
    if not isinstance(value, Decimal) or not value.is_finite():
        return None
    number = shortest(value)
    return _digits(number) if isinstance(number, int) else None


def _digits(number: Decimal | int) -> str | None:
    try:
        return str(number)
    except ValueError:
        # Python writes no integer of more than some thousand digits.
        return None


def meaning_of_document(text: bytes) -> bytes:
    """Writes a document in one form for all texts with the same meaning, without its number.

    Args:
        text: the JSON text of the document.

    Returns:
        The normalised text; the same text where it can't be read: that is only equal to itself.
    """
    value = codec.json_object(text)
    if value is not None:
        with contextlib.suppress(RecordError, RecursionError):
            meant = _object(value, Document)
            if as_key(value.get("documentNo")) is not None:
                meant.pop("documentNo", None)
            return codec.encode_value(meant, sort=True)
    return text


def _object(value: Mapping[str, Any], cls: type[Input] | None) -> dict[str, Any]:
    kinds: Mapping[str, Any] = kinds_of(cls) if cls is not None else {}
    found: dict[str, Any] = {}
    for name, item in value.items():
        meant = _meant(item, kinds.get(name))
        if meant is not None:
            found[name] = meant
    return found


def _meant(value: Any, kind: Any) -> Any:
    """Returns the meaning of a value; None where it has none."""
    if isinstance(value, dict):
        return _object(value, kind if isinstance(kind, type) and issubclass(kind, Input) else None) or None
    if isinstance(value, list):
        inner = get_args(kind)[0] if get_origin(kind) is list else None
        return [_meant(item, inner) for item in value] or None
    if isinstance(value, str):
        return _text(plain_text(value), kind) if value else None
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        number = shortest(value) if isinstance(value, Decimal) else value
        return _digits(number) if kind is str or kind is date else number
    return value


def _text(text: str, kind: Any) -> Any:
    if kind in (Decimal, int) and _NUMBER.fullmatch(text):
        with contextlib.suppress(ArithmeticError):
            return shortest(Decimal(text))
    if kind is date and (day := _MIDNIGHT.fullmatch(text)) is not None:
        return day[1]
    return text or None
