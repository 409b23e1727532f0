"""Pure: what makes two records the same, whatever the order of their keys: a print to compare contents, a name for what has no number.

A print is 32 bits of a text with sorted keys. It is only ever compared with that of another record with the same key, never searched
for, so 32 bits are enough. A document without number has nothing but its content: it is named by 128 bits of a text in which numbers
are normalised as well.
"""

from __future__ import annotations

import contextlib
import hashlib
from array import array
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from functools import cache, cached_property
from types import NoneType
from typing import Any, Final, get_args, get_origin, get_type_hints
from zlib import crc32

import msgspec

from .. import codec
from ..errors import RecordError
from ..models.base import Input
from .canonical import as_key, meaning_of_document, shortest
from .field_names import FieldNames, check_text

__all__ = [
    "Fingerprinter",
    "as_key",
    "canonical",
    "content_digest",
    "content_name",
    "folded",
    "keyed_name",
    "keyed_names",
    "may_have_duplicate_names",
    "prints_of_lines",
]

_SORTED: Final = msgspec.json.Encoder(decimal_format="number", order="deterministic")
_PLAIN: Final = (str, int, bool, Decimal, date)


def prints_of_lines(lines: Sequence[bytes | msgspec.Raw]) -> array[int]:
    """The prints of texts whose keys are sorted already."""
    return array("I", map(crc32, lines))


class Fingerprinter:
    """Makes prints of JSON texts, in whatever order their keys are.

    Args:
        cls: what the records are: its fields are put in order without looking into their values. A text with other fields is read as
            a whole, which takes three times as long.
    """

    def __init__(self, cls: type[Input]) -> None:
        self._cls = cls
        self.names = FieldNames(cls)

    @cached_property
    def _known(self) -> msgspec.json.Decoder[msgspec.Struct]:
        # Only a run with a journal needs it, and it costs as much as to import a module.
        return msgspec.json.Decoder(_skeleton(self._cls), float_hook=Decimal)

    def of(self, text: bytes) -> int:
        """The print of a text.

        Raises:
            FieldNameError: a name stands twice in an object, or is written in another case than the API's.
        """
        # With a backslash, the same text can be written in several ways.
        if b"\\" not in text:
            with contextlib.suppress(*codec.DecodeFailure):
                written = _SORTED.encode(self._known.decode(text))
                if may_have_duplicate_names(text, written):
                    check_text(text, self._cls)
                return crc32(written)
        value = codec.json_value(text)
        try:
            written = _SORTED.encode(value) if value is not None else text
        except (*codec.DecodeFailure, msgspec.MsgspecError):
            # What can't be read again, or written, is only equal to itself.
            return crc32(text)
        if isinstance(value, dict) and (may_have_duplicate_names(text, written) or self.names.may_slip_in(value)):
            check_text(text, self._cls)
        return crc32(written)


def may_have_duplicate_names(text: bytes, written: bytes) -> bool:
    """Whether a name may stand twice in an object of `text`, of which `written` has each once."""
    # Each name has its colon; those in texts are the same in both.
    return len(text) != len(written) and text.count(b":") != written.count(b":")


@cache
def _skeleton(cls: type[Input]) -> type[msgspec.Struct]:
    """A Struct with the fields of `cls`, their values left as they are, but for objects whose fields are known too."""
    hints = get_type_hints(cls)
    fields: list[tuple[str, Any, Any]] = []
    for name, wire in zip(cls.__struct_fields__, cls.__struct_encode_fields__, strict=True):
        kind = next(option for option in get_args(hints[name]) if option not in (NoneType, msgspec.UnsetType))
        fields.append((name, _kept(kind) | msgspec.UnsetType, msgspec.field(default=msgspec.UNSET, name=wire)))
    return msgspec.defstruct(f"{cls.__name__}Skeleton", fields, forbid_unknown_fields=True, gc=False)


def _kept(kind: Any) -> Any:
    """How a value is read so that only its notation is lost: a text or a number as it stands, what holds others piece by piece."""
    if get_origin(kind) is list:
        return list[_kept(get_args(kind)[0])]  # type: ignore[misc]
    if isinstance(kind, type) and issubclass(kind, Input):
        return _skeleton(kind)
    return msgspec.Raw if kind in _PLAIN else Any


def folded(key: str) -> str:
    """A key as it is compared: "Data values are not case-sensitive" (https://docs.amili.dev/about-355476m0)."""
    return key.casefold()


def keyed_name(key: str) -> str:
    """The identity of a record with a key."""
    name = folded(key)
    # SQLite ends a text at its first NUL.
    return "=" + name if "\0" not in name else "0" + hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()


def keyed_names(keys: Sequence[str | None]) -> list[str]:
    """The identities of records with these keys, without those that have none: `keyed_name` of all at once, which costs a tenth."""
    given = [key for key in keys if key is not None] if None in keys else keys
    text = folded("\0".join(given))  # type: ignore[arg-type]
    if text.count("\0") >= len(given):
        return [keyed_name(key) for key in given if key is not None]
    return ("=" + text.replace("\0", "\0=")).split("\0")


def content_name(text: bytes, *, document: bool) -> str:
    """The identity of a record without a key: of what a document says, or of a customer's text with sorted keys and normalised numbers."""
    return "#" + (content_digest(text) if document else hashlib.sha256(canonical(text)).digest()[:16]).hex()


def content_digest(text: bytes) -> bytes:
    """16 bytes of what a document says but for its number, whatever way it is written."""
    return hashlib.sha256(meaning_of_document(text)).digest()[:16]


def canonical(text: bytes) -> bytes:
    """The text with sorted keys and normalised numbers."""
    # What can't be read again, or written, is only equal to itself.
    if (value := codec.json_value(text)) is not None:
        with contextlib.suppress(RecordError, RecursionError):
            return codec.encode_value(_normalised(value), sort=True)
    return text


def _normalised(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _normalised(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_normalised(item) for item in value]
    if isinstance(value, Decimal):
        return shortest(value)
    return value
