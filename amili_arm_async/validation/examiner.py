"""Pure: one record after the other, looked at as it would be sent: its key, and its faults."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from itertools import chain
from typing import Any, Final, NamedTuple

import msgspec

from .. import codec
from ..bulk.chunking import as_key
from ..bulk.field_names import mistakes_in
from ..bulk.fingerprints import may_have_duplicate_names
from ..errors import RecordError
from ..models.base import Input
from ..models.documents import Document
from ..unreadable import UnreadableRecord
from ..values.findings import Found
from .fast_path import IS_CLEAN, may_hold_control
from .rules import RULES
from .shapes import fast_struct, plain, shape_faults

__all__ = ["Checked", "Examiner"]

_VALUES: Final = msgspec.json.Decoder(float_hook=Decimal)
_MAX_FAULTS: Final = 100
"""Faults of one record that are named at the most: a record with more is of another kind."""


class Checked(NamedTuple):
    """What was seen of a record.

    Attributes:
        key: its number, as it is compared but for case; None without.
        owner: of a document, the number of its customer; None without.
        faults: what is wrong.
    """

    key: str | None
    owner: str | None
    faults: list[Found]


class Examiner:
    """Looks at records of one kind.

    Args:
        cls: `Customer` or `Document`.
        wire_key: the field that names a record.
        most: bytes of a record at the most; None: any number.
    """

    def __init__(self, cls: type[Input], wire_key: str, max_bytes: int | None) -> None:
        self._cls = cls
        self._wire_key = wire_key
        self._attribute = dict(zip(cls.__struct_encode_fields__, cls.__struct_fields__, strict=True))[wire_key]
        self._has_owner = cls is Document
        self._max_bytes = max_bytes
        self._decode = msgspec.json.Decoder(fast_struct(cls), float_hook=Decimal).decode
        self._is_clean = IS_CLEAN[cls]
        self._rules = RULES[cls]

    def check(self, records: Iterable[Any]) -> list[Checked]:
        """What is seen of each record."""
        results: list[Checked] = []
        nothing: list[Found] = []
        longest = self._max_bytes if self._max_bytes is not None else float("inf")
        for record in records:
            try:
                text = record if type(record) is bytes else codec.encode_one(record, self._cls)
                if len(text) <= longest and not may_hold_control(text):
                    one: Any = self._decode(text)
                    if self._is_clean(one) and (text is not record or not may_have_duplicate_names(text, codec.ENCODER.encode(one))):
                        results.append(Checked(getattr(one, self._attribute), one.customer_no if self._has_owner else None, nothing))
                        continue
            except (RecordError, *codec.DecodeFailure):
                # Whatever it is: the walk finds it and gives it its name.
                pass
            results.append(self.check_slow(record))
        return results

    def check_slow(self, record: object) -> Checked:
        """What is seen of a record in which something is odd."""
        try:
            value = self._value(record)
            if isinstance(value, Found):
                return Checked(None, None, [value])
            faults = []
            if self._max_bytes is not None and (size := _size(record, self._cls)) > self._max_bytes:
                # It can't be sent, whatever else there is.
                faults = [Found("too_large", "$", f"{size} bytes alone; {self._max_bytes} at the most")]
            else:
                for found in chain(_duplicate_names(record, value, self._cls), shape_faults(value, self._cls), self._rules(value)):
                    faults.append(found)
                    if len(faults) == _MAX_FAULTS:
                        break
                faults += self._encoding_faults(record, faults)
            return Checked(_key(value, self._wire_key), _key(value, "customerNo") if self._has_owner else None, faults)
        except Exception as exc:  # what a mapping of the caller's raises while it is read, or what holds itself
            return Checked(None, None, [Found("not_encodable", "$", f"can't be read ({type(exc).__name__})")])

    def _value(self, record: object) -> Mapping[str, Any] | Found:
        """The JSON object of a record, or why there is none."""
        if isinstance(record, (bytes, bytearray)):
            if self._max_bytes is not None and len(record) > self._max_bytes and not record.strip(b"\0"):
                return Found("too_large", "$", f"more than {self._max_bytes} bytes")
            return _parsed(bytes(record))
        if isinstance(record, UnreadableRecord):
            return Found("not_readable", "$", record.fault)
        if not isinstance(record, (self._cls, Mapping)):
            return Found("not_object", "$", f"a {type(record).__name__} is no {self._cls.__name__}, no mapping and no bytes")
        try:
            return _parsed(codec.encode_one(record, self._cls))
        except RecordError:
            value = plain(record)
            assert isinstance(value, dict)
            return value

    def _encoding_faults(self, record: object, faults: list[Found]) -> list[Found]:
        """That a record can't be written, where none of its faults says so."""
        if isinstance(record, (bytes, bytearray)) or any(found.code in _NOT_ENCODABLE for found in faults):
            return []
        try:
            codec.encode_one(record, self._cls)
        except RecordError as exc:
            return [Found("not_encodable", "$", str(exc))]
        return []


def _duplicate_names(record: object, value: Mapping[str, Any], cls: type[Input]) -> Iterator[Found]:
    """That a name stands twice in an object of a text, whose value has each once."""
    if isinstance(record, (bytes, bytearray)) and may_have_duplicate_names(bytes(record), codec.ENCODER.encode(value)):
        for code, path, message in mistakes_in(bytes(record), cls):
            if code == "duplicate_field":
                yield Found(code, path, message)


_NOT_ENCODABLE: Final = frozenset({"not_encodable", "not_finite", "wrong_type"})


def _size(record: Any, cls: type[Input]) -> int:
    if isinstance(record, (bytes, bytearray)):
        return len(record)
    try:
        return len(codec.encode_one(record, cls))
    except RecordError:
        return 0


def _parsed(text: bytes) -> Mapping[str, Any] | Found:
    try:
        text.decode()
    except UnicodeDecodeError as exc:
        return Found("not_utf8", "$", f"not UTF-8 at byte {exc.start}")
    try:
        value = _VALUES.decode(text)
    except codec.DecodeFailure as exc:
        # What msgspec says names bytes and places, never values.
        reason = str(exc) if isinstance(exc, msgspec.DecodeError) else "a number or a nesting beyond all bounds"
        return Found("not_json", "$", reason)
    return value if isinstance(value, dict) else Found("not_object", "$", "not an object")


def _key(value: Mapping[str, Any], name: str) -> str | None:
    key = as_key(value.get(name))
    try:
        return key if key is None or key.encode() else None
    except UnicodeEncodeError:
        # It is a fault of its own, and can't be compared or shown.
        return None
