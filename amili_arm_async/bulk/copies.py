"""Pure: a snapshot of a record, whatever its owner does with it later."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from functools import cache
from typing import Any, Final, get_args, get_origin, get_type_hints

import msgspec

from .. import codec
from ..errors import RecordError
from ..models.base import Input
from ..unreadable import UnreadableRecord
from .chunking import RecordType
from .field_names import FieldNameError, check_mapping
from .plain_records import all_have_plain_values, has_plain_values, plain_record

__all__ = ["all_as_plain", "as_plain", "snapshot"]

_FIXED: Final = frozenset({str, int, float, bool, type(None), msgspec.UnsetType, Decimal, date, bytes})
"""Types of immutable values."""


def snapshot(record: Any, record_type: RecordType) -> Any:
    """Takes a snapshot of a record. Never raises.

    Args:
        record: the record as the source gave it.
        record_type: the type of the records.

    Returns:
        The record itself where it can't change, a copy, or its text where it is of another type; an `UnreadableRecord` where it can't be
        sent.
    """
    cls = type(record)
    if cls is bytes:
        return record
    if cls is dict or cls is record_type.cls:
        # Whoever writes it checks what else it may hold.
        with contextlib.suppress(Exception):
            return _copied(record)
    return _written(record, record_type)


def all_as_plain(records: list[Any], record_type: RecordType) -> list[Any]:
    """Returns records as `as_plain` does, many at once.

    Args:
        records: the records, which can't change meanwhile.
        record_type: the type of the records.

    Returns:
        The records.
    """
    kinds = set(map(type, records))
    if kinds == {bytes} or (kinds == {record_type.cls} and record_type.are_finite(records)):
        return records
    if kinds == {dict} and all_have_plain_values(records):
        return records
    return [as_plain(record, record_type) for record in records]


def as_plain(record: Any, record_type: RecordType) -> Any:
    """Returns a record as one that an observer can read: of another library's objects and values, what JSON has for them. Never raises.

    Args:
        record: the record, which can't change meanwhile.
        record_type: the type of the records.

    Returns:
        The record itself where it is plain, another one, or an `UnreadableRecord` where it can't be sent.
    """
    cls = type(record)
    if cls is bytes or (cls is record_type.cls and record_type.parts_are_plain([record])):
        return record
    try:
        return record if cls is dict and has_plain_values(record) else plain_record(record, record_type.cls)
    except Exception:  # what a mapping of the caller's raises while it is read
        return _written(record, record_type)


def _copied(value: Any) -> Any:
    kind = type(value)
    if kind is dict:
        return {name: item if type(item) in _FIXED else _copied(item) for name, item in value.items()}
    if kind is list or kind is tuple:
        return [item if type(item) in _FIXED else _copied(item) for item in value]
    if not issubclass(kind, Input):
        raise TypeError(kind)
    copied = value.__copy__()
    for name in _mutable_fields(kind):
        item = getattr(copied, name)
        if type(item) not in _FIXED:
            setattr(copied, name, _copied(item))
    return copied


@cache
def _mutable_fields(cls: type[Input]) -> tuple[str, ...]:
    """Returns the fields that may hold something mutable, by their types."""
    hints = get_type_hints(cls)
    return tuple(name for name in cls.__struct_fields__ if not _is_fixed(hints[name]))


def _is_fixed(hint: Any) -> bool:
    return all(map(_is_fixed, get_args(hint))) if get_args(hint) and get_origin(hint) not in {list, dict} else hint in _FIXED


def _written(record: Any, record_type: RecordType) -> bytes | UnreadableRecord:
    faults: list[tuple[str, str, str]] = []
    try:
        plain = plain_record(record, record_type.cls)
        if isinstance(plain, Mapping):
            # The names in a text are not checked in every run, those of a mapping are.
            check_mapping(plain, record_type.cls)
        return codec.encode_one(plain, record_type.cls, sort=True)
    except RecordError as exc:
        fault = str(exc)
    except FieldNameError as exc:
        fault = str(exc)
        path, _, message = fault.partition(": ")
        faults.append((exc.code, path, message))
    except Exception as exc:  # what a mapping of the caller's raises while it is read
        fault = f"$: {type(exc).__name__}"
    text = codec.what_was_read(codec.as_far_as_possible(record)) or b"null"
    known = codec.json_object(text) or {}
    with contextlib.suppress(Exception):
        known[record_type.wire_key] = record_type.key_of(record)
    return UnreadableRecord(fault, known, msgspec.Raw(text), faults)
