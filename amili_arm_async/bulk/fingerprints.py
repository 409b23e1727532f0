"""Pure: what makes two records the same, whatever the order of their keys: fingerprints, and identities.

A fingerprint is 32 bits of a text with sorted keys. It is only compared with that of another record with the same key, and never searched
for, so 32 bits are enough. A document without a number is identified by its content: by 128 bits of a text in which numbers are
normalised too.
"""

from __future__ import annotations

import contextlib
import hashlib
from array import array
from collections.abc import Callable, Sequence
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
    "fingerprints_of_sorted",
    "folded",
    "keyed_name",
    "keyed_names",
    "may_have_duplicate_names",
]

_SORTED: Final = msgspec.json.Encoder(decimal_format="number", order="deterministic")
_PLAIN: Final = (str, int, bool, Decimal, date)


def fingerprints_of_sorted(lines: Sequence[bytes | msgspec.Raw]) -> array[int]:
    """Makes the fingerprints of JSON texts with sorted keys.

    Args:
        lines: the texts.

    Returns:
        The fingerprint of each text.
    """
    return array("I", map(crc32, lines))


class Fingerprinter:
    """Makes the fingerprints of JSON texts, in whatever order their keys are.

    Args:
        cls: the Struct of the records: its fields are sorted without reading their values. A text with other fields is read as a whole,
            which takes three times as long.

    Attributes:
        names: checks the field names of many mappings at once.
    """

    def __init__(self, cls: type[Input]) -> None:
        self._cls = cls
        self.names = FieldNames(cls)

    @cached_property
    def _known(self) -> msgspec.json.Decoder[msgspec.Struct]:
        # Only a run with a journal needs it, and it costs as much as the import of a module.
        return msgspec.json.Decoder(_skeleton(self._cls), float_hook=Decimal)

    @cached_property
    def _plain(self) -> msgspec.json.Decoder[msgspec.Struct]:
        return msgspec.json.Decoder(_skeleton(self._cls, texts=True), float_hook=Decimal)

    def of_all(self, texts: list[bytes], whole: bytes, key_of: Callable[[Any], Any]) -> tuple[list[Any], array[int]] | None:
        """Makes the fingerprints of many texts at once, and reads their keys.

        Args:
            texts: JSON objects in UTF-8.
            whole: all of them, with commas between them.
            key_of: reads the attribute of a Struct of the records that is the key.

        Returns:
            The values of the keys, and the fingerprints that `of` gives; None where a text has to be checked on its own: it has other
            fields than the API's pages show, or values of other types, or a field name may occur twice.
        """
        try:
            records = list(map(self._plain.decode, texts))
        except codec.DecodeFailure:
            return None
        lines = list(map(_SORTED.encode, records))
        # No text has fewer names than what was written of it: where all together have as many, each of them has.
        if may_have_duplicate_names(whole, b",".join(lines)):
            return None
        return list(map(key_of, records)), fingerprints_of_sorted(lines)

    def of(self, text: bytes) -> int:
        """Makes the fingerprint of one text.

        Args:
            text: a JSON object.

        Returns:
            The fingerprint.

        Raises:
            FieldNameError: a field name occurs twice in an object, or differs from the API's only by case.
        """
        for decoder in (self._plain, self._known):
            # With a backslash, the same string can be written in several ways: it has to be read.
            if decoder is self._known and b"\\" in text:
                break
            with contextlib.suppress(*codec.DecodeFailure):
                written = _SORTED.encode(decoder.decode(text))
                if may_have_duplicate_names(text, written):
                    check_text(text, self._cls)
                return crc32(written)
        value = codec.json_value(text)
        try:
            written = _SORTED.encode(value) if value is not None else text
        except (*codec.DecodeFailure, msgspec.MsgspecError):
            # What can't be read or written again is only equal to itself.
            return crc32(text)
        if isinstance(value, dict) and (may_have_duplicate_names(text, written) or self.names.may_be_misnamed(value)):
            check_text(text, self._cls)
        return crc32(written)


def may_have_duplicate_names(text: bytes, written: bytes) -> bool:
    """Returns whether a field name may occur twice in an object.

    Args:
        text: the JSON text as it came.
        written: the same written again, with each name once.

    Returns:
        False where no name occurs twice for sure.
    """
    # Each name has its colon; those in strings are the same in both, unless they are escaped.
    return len(text) != len(written) and (text.count(b":") != written.count(b":") or b"\\u003" in text)


@cache
def _skeleton(cls: type[Input], *, texts: bool = False) -> type[msgspec.Struct]:
    """Returns a Struct with the fields of `cls` that keeps their values as they are, but for objects whose fields are known too.

    With `texts`, what is a text by its type has to be one: to keep that costs half.
    """
    hints = get_type_hints(cls)
    fields: list[tuple[str, Any, Any]] = []
    for name, wire in zip(cls.__struct_fields__, cls.__struct_encode_fields__, strict=True):
        kind = next(option for option in get_args(hints[name]) if option not in (NoneType, msgspec.UnsetType))
        fields.append((name, _kept(kind, texts=texts) | msgspec.UnsetType, msgspec.field(default=msgspec.UNSET, name=wire)))
    return msgspec.defstruct(f"{cls.__name__}Skeleton", fields, forbid_unknown_fields=True, gc=False)


def _kept(kind: Any, *, texts: bool) -> Any:
    """Returns the type to read a value with: strings and numbers as they are, containers piece by piece."""
    if texts and kind in (str, date):
        return str | None
    if get_origin(kind) is list:
        return list[_kept(get_args(kind)[0], texts=texts)]  # type: ignore[misc]
    if isinstance(kind, type) and issubclass(kind, Input):
        return _skeleton(kind, texts=texts)
    return msgspec.Raw if kind in _PLAIN else Any


def folded(key: str) -> str:
    """Returns a key as it is compared: "Data values are not case-sensitive" (https://docs.amili.dev/about-355476m0).

    Args:
        key: the key.

    Returns:
        The key without case.
    """
    return key.casefold()


def keyed_name(key: str) -> str:
    """Returns the identity of a record with a key.

    Args:
        key: the key.

    Returns:
        The identity, by which the journal finds the record.
    """
    name = folded(key)
    # SQLite ends a text at the first NUL.
    return "=" + name if "\0" not in name else "0" + hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()


def keyed_names(keys: Sequence[str | None]) -> list[str]:
    """Returns the identities of records: `keyed_name` of all at once, which costs a tenth.

    Args:
        keys: their keys, or None.

    Returns:
        The identities, without those of records that have no key.
    """
    given = [key for key in keys if key is not None] if None in keys else keys
    text = folded("\0".join(given))  # type: ignore[arg-type]
    if text.count("\0") >= len(given):
        return [keyed_name(key) for key in given if key is not None]
    return ("=" + text.replace("\0", "\0=")).split("\0")


def content_name(text: bytes, *, document: bool) -> str:
    """Returns the identity of a record without a key.

    Args:
        text: its JSON text.
        document: whether it is a document, which is identified by its meaning; a customer is by its text with sorted keys and normalised
            numbers.

    Returns:
        The identity, by which the journal finds the record.
    """
    return "#" + (content_digest(text) if document else hashlib.sha256(canonical(text)).digest()[:16]).hex()


def content_digest(text: bytes) -> bytes:
    """Returns a digest of the meaning of a document without its number, in whatever way it is written.

    Args:
        text: its JSON text.

    Returns:
        16 bytes.
    """
    return hashlib.sha256(meaning_of_document(text)).digest()[:16]


def canonical(text: bytes) -> bytes:
    """Writes a JSON text with sorted keys and normalised numbers.

    Args:
        text: the text.

    Returns:
        The normalised text; the same text where it can't be read.
    """
    # What can't be read or written again is only equal to itself.
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
