"""Pure: what makes two records the same, whatever the order of their keys: a print to compare contents, a name for what has no number.

A print is 32 bits of a text with sorted keys. It is only ever compared with that of another record with the same key, never searched
for, so 32 bits are enough. A document without number has nothing but its content: it is named by 128 bits of a text in which numbers
are normalised as well.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final
from zlib import crc32

import msgspec

from .. import codec
from ..errors import RecordError

__all__ = ["content_name", "folded", "keyed_name", "print_of", "prints_of_lines"]

_SORTED: Final = msgspec.json.Encoder(decimal_format="number", order="sorted")
_ANY: Final = msgspec.json.Decoder()
_LARGEST_EXPONENT: Final = 400


def prints_of_lines(lines: Sequence[bytes]) -> array[int]:
    """The prints of texts whose keys are sorted already."""
    return array("I", map(crc32, lines))


def print_of(text: bytes) -> int:
    """The print of the JSON text of a record, in whatever order its keys are."""
    try:
        return crc32(_SORTED.encode(_ANY.decode(text)))
    except (*codec.DecodeFailure, msgspec.MsgspecError):
        # What can't be read again is only equal to itself.
        return crc32(text)


def folded(key: str) -> str:
    """A key as it is compared: "Data values are not case-sensitive" (https://docs.amili.dev/about-355476m0)."""
    return key.casefold()


def keyed_name(key: str) -> str:
    """The identity of a record with a key."""
    return "=" + folded(key)


def content_name(text: bytes) -> str:
    """The identity of a record without a key: of its content, with sorted keys and normalised numbers."""
    value = codec.json_value(text)
    try:
        canonical = codec.encode_value(_normalised(value), sort=True)
    except (RecordError, RecursionError):
        canonical = text
    return "#" + hashlib.sha256(canonical).hexdigest()[:32]


def _normalised(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _normalised(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_normalised(item) for item in value]
    if isinstance(value, Decimal):
        if value == value.to_integral_value() and abs(value.adjusted()) < _LARGEST_EXPONENT:
            return int(value)
        return value.normalize()
    return value
