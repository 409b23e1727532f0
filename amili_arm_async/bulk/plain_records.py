"""Pure: turns records and values of other libraries into what JSON has: pydantic models, dataclasses, values of pandas and numpy, enums.

What is sure is converted; what is not is refused with its path. None of these libraries is imported: their objects are known by what they
offer.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from functools import cache
from itertools import chain
from typing import Any, Final, get_args, get_origin

from msgspec import UNSET, Struct, UnsetType, to_builtins

from .. import codec
from ..errors import RecordError
from ..models.base import Input
from ..unreadable import UnreadableRecord
from .field_names import kinds_of

__all__ = ["all_have_plain_values", "converted", "encode_record", "has_plain_values", "plain_record", "plain_value"]

_AS_THEY_ARE: Final = frozenset({str, int, float, bool, type(None), UnsetType, Decimal, date})
"""Types of values that JSON has a word for, or that msgspec writes as a date or a number."""

_BYTES: Final = (bytes, bytearray, memoryview)
_MOST_FAULTS: Final = 10
_MISSING: Final = object()
"""A value that pandas calls missing: the field is left out."""


def encode_record(record: object, cls: type[Input], *, sort: bool = False) -> bytes:
    """Returns the JSON object of one record of any kind.

    Args:
        record: a Struct, a mapping, a pydantic model, a dataclass, or bytes of a JSON object.
        cls: the Struct of its type.
        sort: whether the names are sorted; bytes stay as they are.

    Raises:
        RecordError: it can't be sent; the message has the path of each fault, never a value.
    """
    return codec.encode_one(plain_record(record, cls), cls, sort=sort)


def plain_record(record: Any, cls: type[Input]) -> Any:
    """Returns a record as one that can be encoded: bytes and what can't be read as they are, all else as a Struct or a dict.

    A field that is None is left out of a model or a dataclass: both mean that its value stays as it is. Their attributes may have the names
    of those of the Struct, such as `customer_no`.

    Args:
        record: the record.
        cls: the Struct of its type.

    Raises:
        RecordError: it is no record, or a value can't be converted for sure; the message has the path of each fault, never a value.
    """
    plain, faults = converted(record, cls)
    if faults:
        raise RecordError("; ".join(faults[:_MOST_FAULTS]))
    return plain


def converted(record: Any, cls: type[Input]) -> tuple[Any, list[str]]:
    """Returns what `plain_record` does, and the faults; a value that can't be converted for sure is one that has the fault in JSON too.

    Args:
        record: the record.
        cls: the Struct of its type.

    Raises:
        RecordError: it is no record.
    """
    if isinstance(record, (bytes, bytearray, UnreadableRecord)):
        return record, []
    if type(record).__name__ == "Series" and hasattr(record, "to_frame"):
        raise RecordError("$: a row of a frame, in which whole numbers may have become numbers with decimals: give the frame itself")
    faults: list[str] = []
    try:
        if (isinstance(record, cls) or type(record) is dict) and has_plain_values(record):
            fault = _key_fault(record, cls)
            return record, [fault] if fault is not None else []
        members = _members(record) if isinstance(record, cls) or not isinstance(record, Struct) else None
        if members is None:
            raise RecordError(f"$: a {type(record).__name__} is no {cls.__name__}, no mapping and no bytes of a JSON object")
        plain = _object(members, cls, "$", faults, is_class=not isinstance(record, Mapping))
        fault = _key_fault(plain, cls)
        return plain, [*faults, fault] if fault is not None and fault not in faults else faults
    except RecursionError:
        raise RecordError("$: nested too deep, or holds itself") from None


def has_plain_values(value: Any) -> bool:
    """Returns whether a value, and all that is in it, can be encoded as it is.

    Args:
        value: the value.
    """
    kind = type(value)
    if kind in _AS_THEY_ARE:
        return True
    items: Iterable[Any]
    if kind is dict:
        items = value.values()
    elif kind is list or kind is tuple:
        items = value
    elif isinstance(value, Input):
        items = [getattr(value, name) for name in value.__struct_fields__]
    else:
        return False
    # It runs for each record: most hold hardly anything that has to be looked into.
    return _AS_THEY_ARE.issuperset(map(type, items)) or all(map(has_plain_values, items))


_CONTAINERS: Final = frozenset({dict, list, tuple})
_DEEPEST: Final = 6
_MOST_IN_ONE: Final = 100


def all_have_plain_values(records: Sequence[dict[Any, Any]]) -> bool:
    """Returns whether all that is in many mappings can be encoded as it is, for sure: a level of all of them at a time.

    Args:
        records: the mappings.
    """
    level: list[Any] = list(records)
    for _ in range(_DEEPEST):
        dicts = [one for one in level if type(one) is dict]
        lists = [one for one in level if type(one) is not dict]
        items = [*chain.from_iterable(map(dict.values, dicts)), *chain.from_iterable(lists)]
        kinds = set(map(type, items)) - _AS_THEY_ARE
        if not kinds:
            return True
        level = [item for item in items if type(item) in kinds]
        # What is deep, or in itself, is looked at one by one.
        if not kinds <= _CONTAINERS or len(level) > _MOST_IN_ONE * len(records):
            return False
    return False


@cache
def _key_names() -> Mapping[type[Input], str]:
    from ..values.fields import KEYS, MODELS  # noqa: PLC0415 - only for records that are looked at one by one

    return {MODELS[kind]: name for kind, name in KEYS.items()}


def _key_fault(record: Any, cls: type[Input]) -> str | None:
    """Returns what is wrong with the key of a record, whichever way it is encoded: one with decimals was a whole number once."""
    if (name := _key_names().get(cls)) is None:
        return None
    key = record.get(name) if isinstance(record, dict) else getattr(record, cls.__struct_fields__[cls.__struct_encode_fields__.index(name)])
    if isinstance(key, _BYTES):
        # msgspec would write another text for them.
        return f"$.{name}: bytes, and not a text: decode them"
    return f"$.{name}: {_NO_TEXT}" if _has_decimals(key) else None


# --- objects --------------------------------------------------------------------------------------------------------------


def _members(value: Any) -> Iterable[tuple[Any, Any]] | None:
    """Returns the names and values of an object; None where it is none. Those of a class come without what is not given."""
    if isinstance(value, Mapping):
        return value.items()
    if isinstance(value, Struct):
        names = zip(value.__struct_fields__, value.__struct_encode_fields__, strict=True)
        return [(wire, item) for name, wire in names if (item := getattr(value, name)) is not UNSET]
    names_of = _reader_of(type(value))  # type: ignore[arg-type]
    return None if names_of is None else [(name, item) for name, item in names_of(value) if item is not None and item is not UNSET]


@cache
def _reader_of(cls: type[Any]) -> Callable[[Any], Iterable[tuple[str, Any]]] | None:
    """Returns what reads the names and values of the instances of a class."""
    if hasattr(cls, "model_fields") and hasattr(cls, "model_dump"):
        return lambda model: model.model_dump(by_alias=True).items()
    if dataclasses.is_dataclass(cls):
        names = [field.name for field in dataclasses.fields(cls)]
    elif (attributes := getattr(cls, "__attrs_attrs__", None)) is not None:
        names = [attribute.name for attribute in attributes]
    else:
        return None
    return lambda instance: [(name, getattr(instance, name)) for name in names]


def _object(members: Iterable[tuple[Any, Any]], cls: type[Input] | None, path: str, faults: list[str], *, is_class: bool) -> dict[Any, Any]:
    """Returns an object as a dict. In one of a class, a name may be that of the Struct's attribute."""
    kinds = kinds_of(cls) if cls is not None else {}
    attributes = _attributes(cls) if cls is not None and is_class else {}
    plain: dict[Any, Any] = {}
    for given, item in members:
        name = attributes.get(given, given) if isinstance(given, str) else given
        name = str.__str__(name) if isinstance(name, str) else name
        place = f"{path}.{str(name)[:60]}"
        if name in plain:
            faults.append(f"{place}: it is given twice: leave one out")
        value = _value(item, kinds.get(name), place, faults, is_class=is_class)
        if value is not _MISSING:
            plain[name] = value
    return plain


@cache
def _attributes(cls: type[Input]) -> Mapping[str, str]:
    """Returns the API's names by the names of the attributes."""
    return dict(zip(cls.__struct_fields__, cls.__struct_encode_fields__, strict=True))


# --- values ---------------------------------------------------------------------------------------------------------------


def plain_value(value: object) -> Any:
    """Returns a value as it is encoded where no field says what it should be: such as an integer of numpy as one of Python's.

    Args:
        value: the value.
    """
    return _value(value, None, "$", [], is_class=False)


def _value(value: Any, kind: Any, path: str, faults: list[str], *, is_class: bool) -> Any:
    """Returns a value as JSON has it, or `_MISSING`; what msgspec can't write either stays as it is, and is named when it is encoded."""
    if isinstance(value, Enum):
        value = value.value
    if type(value).__name__ == "ndarray" and value.ndim == 0:
        value = value[()]
    if _is_missing(value):
        return _MISSING
    if isinstance(value, date) or (kind is date and type(value).__name__ == "datetime64"):
        return _day(value, kind, path, faults)
    if type(value) in _AS_THEY_ARE:
        # A program's own values are sent as they are, whatever stands beside them.
        return value
    value = _number_or_text(value)
    if type(value) in _AS_THEY_ARE:
        if kind is str and _has_decimals(value):
            faults.append(f"{path}: {_NO_TEXT}")
        return int(value) if kind is int and _has_decimals(value) and value == value // 1 else value
    inner = get_args(kind)[0] if get_origin(kind) is list else kind
    if isinstance(value, (list, tuple, set, frozenset)) or type(value).__name__ == "ndarray":
        items = [_value(item, inner, f"{path}[{number}]", faults, is_class=is_class) for number, item in enumerate(value)]
        if isinstance(value, (set, frozenset)):
            # Its order is another one in each process, and a document without a number is known again by its content alone.
            items.sort(key=lambda item: (type(item).__name__, item if isinstance(item, (str, int)) else repr(item)))
        return [None if item is _MISSING else item for item in items]
    members = _members(value)
    if members is None:
        return _written(value)
    known = inner if isinstance(inner, type) and issubclass(inner, Input) else None
    return _object(members, known, path, faults, is_class=is_class or not isinstance(value, Mapping))


def _written(value: Any) -> Any:
    """Returns a value as msgspec writes it, such as the text of a UUID; as it is where that is nothing simple."""
    try:
        written = to_builtins(value)
    except Exception:  # an object of the caller's may raise anything while it is read
        return value
    return written if isinstance(written, str) and not isinstance(value, _BYTES) else value


def _is_missing(value: Any) -> bool:
    """Tells whether a value is what pandas and numpy call missing: NA and NaT. A NaN may also be an amount that went wrong."""
    name = type(value).__name__
    return name in {"NAType", "NaTType"} or (name in {"datetime64", "timedelta64"} and str(value) == "NaT")


def _day(value: Any, kind: Any, path: str, faults: list[str]) -> Any:
    """Returns a date, or the text of a moment where no date is wanted."""
    text = str(value) if not isinstance(value, date) else value.isoformat()
    if not isinstance(value, datetime) and isinstance(value, date):
        return date(value.year, value.month, value.day)
    if kind is not date:
        # As msgspec writes it, where no record is looked at.
        return to_builtins(value) if type(value) is datetime else text
    from ..values.dates import YEARS, YEARS_OF_BIRTH, read_date  # noqa: PLC0415 - hardly ever

    read = read_date(text, YEARS_OF_BIRTH if path == "$.dateOfBirth" else YEARS)
    if read.code is not None:
        faults.append(f"{path}: {read.message}")
        return text
    return date.fromisoformat(read.value)


def _number_or_text(value: Any) -> Any:
    """Returns a number or text of a class of its own as one of Python's."""
    kind = type(value)
    if kind in _AS_THEY_ARE:
        return value
    if kind.__module__ == "numpy" and hasattr(value, "dtype") and not hasattr(value, "__len__") and value.dtype.kind != "m":
        if value.dtype.kind == "f" and value.dtype.itemsize < _DOUBLE:
            # Its shortest digits: as a float of twice the size, 0.1 would be 0.10000000149011612.
            return Decimal(str(value))
        item = value.item()
        # numpy gives a moment that Python can't hold, such as one in nanoseconds, as a bare number.
        return _moment(str(value)) if value.dtype.kind == "M" and isinstance(item, int) else item
    if isinstance(value, str):
        return str.__str__(value)
    return next((plain(value) for plain in (int, float, Decimal) if isinstance(value, plain)), value)


def _moment(text: str) -> str:
    """Returns the text of a moment without the zeros at the end of its fraction."""
    return text.rstrip("0").rstrip(".") if "." in text else text


_DOUBLE: Final = 8


def _has_decimals(value: Any) -> bool:
    return isinstance(value, float) or (isinstance(value, Decimal) and value.as_tuple().exponent != 0)


_NO_TEXT: Final = "not a text, but a number with decimals: give it as text"
