"""Pure: walks a record beside the types of its Struct, and names everything that is not of its type, not only the first.

The types are those of the Structs that are sent (`Customer`, `Document`): one table, kept in one place. A value is JSON that was parsed
(numbers with a fraction as Decimal), or what the caller gave where that can't be written as JSON.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from difflib import get_close_matches
from functools import cache, lru_cache
from types import NoneType, UnionType
from typing import Any, Final, NamedTuple, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import UNSET, Struct, UnsetType

from ..bulk.field_names import right_name
from ..models.base import Input
from ..models.customers import Customer, CustomerRecord
from ..values.findings import Found
from .formats import format_fault, has_control, is_date

__all__ = ["fast_struct", "plain", "shape_faults"]

_CLOSE: Final = 0.7
_LONGEST_NAME: Final = 60


class _Shape(NamedTuple):
    """What a value must be: a kind of leaf, a list of `items`, or an object of `cls`."""

    kind: str
    items: _Shape | None = None
    cls: type[Input] | None = None


_LEAVES: Final[Mapping[Any, _Shape]] = {
    str: _Shape("text"),
    int: _Shape("whole number"),
    Decimal: _Shape("number"),
    bool: _Shape("true or false"),
    date: _Shape("date"),
    Any: _Shape("anything"),
}


@cache
def _shapes(cls: type[Input]) -> dict[str, _Shape]:
    """The shape of each field, by its name on the wire."""
    hints = get_type_hints(cls)
    return {wire: _shape(hints[name]) for name, wire in zip(cls.__struct_fields__, cls.__struct_encode_fields__, strict=True)}


def _shape(kind: Any) -> _Shape:
    options = get_args(kind) if get_origin(kind) in {Union, UnionType} else (kind,)
    (option,) = [each for each in options if each not in (NoneType, UnsetType)]
    if get_origin(option) is list:
        return _Shape("list", items=_shape(get_args(option)[0]))
    if isinstance(option, type) and issubclass(option, Input):
        return _Shape("object", cls=option)
    return _LEAVES[option]


# --- the same, to be read quickly -------------------------------------------------------------------------------------


@cache
def fast_struct(cls: type[Input]) -> type[Struct]:
    """A Struct with the fields of `cls` that reads only what is of the right type.

    Null is as good as absent, and is not written. Dates stay texts (so that blank ones can be read), and numbers are Any: a Decimal
    would be read out of a text too. What `float_hook=Decimal` reads there is an int, a Decimal, or wrong.
    """
    shapes = _shapes(cls)
    fields: list[tuple[str, Any, Any]] = [
        (name, _fast_type(shapes[wire]) | None, msgspec.field(default=None, name=wire))
        for name, wire in zip(cls.__struct_fields__, cls.__struct_encode_fields__, strict=True)
    ]
    return msgspec.defstruct(f"Quick{cls.__name__}", fields, forbid_unknown_fields=True, omit_defaults=True, gc=False)


def _fast_type(shape: _Shape) -> Any:
    if shape.items is not None:
        return list[_fast_type(shape.items)]  # type: ignore[misc]
    if shape.cls is not None:
        return fast_struct(shape.cls)
    return {"text": str, "date": str, "whole number": int, "true or false": bool}.get(shape.kind, Any)


# --- the walk ---------------------------------------------------------------------------------------------------------


def plain(record: object) -> object:
    """A record as JSON would have it, where it can't be written as JSON: Structs as dicts of the fields that are given."""
    if isinstance(record, Struct):
        names = zip(record.__struct_fields__, record.__struct_encode_fields__, strict=True)
        return {wire: plain(value) for name, wire in names if (value := getattr(record, name)) is not UNSET}
    if isinstance(record, Mapping):
        return {name: plain(value) for name, value in record.items()}
    if isinstance(record, (list, tuple, set, frozenset)):
        return [plain(item) for item in record]
    return record


def shape_faults(value: Mapping[Any, Any], cls: type[Input], path: str = "$") -> Iterator[Found]:
    """What is wrong with the fields of an object, each on its own."""
    shapes = _shapes(cls)
    for name, item in value.items():
        shape = shapes.get(name)
        if not isinstance(name, str):
            yield Found("not_encodable", path, f"a {type(name).__name__} can't be a name")
        elif (right := right_name(name, cls)) is not None:
            yield Found("misnamed_field", f"{path}.{_shown(name)}", f"did you mean {right}?")
        elif shape is None:
            yield Found("unknown_field", f"{path}.{_shown(name)}", _unknown(name, cls))
            yield from _anything(item, f"{path}.{_shown(name)}", name)
        elif item is not None:
            yield from _faults(item, shape, f"{path}.{name}", name)


def _faults(value: Any, shape: _Shape, path: str, name: str) -> Iterator[Found]:
    if shape.items is not None:
        if not isinstance(value, list):
            yield Found("wrong_type", path, f"not a list but {_kind(value)}")
        else:
            for place, item in enumerate(value):
                yield from _faults(item, shape.items, f"{path}[{place}]", name)
    elif shape.cls is not None:
        if not isinstance(value, Mapping):
            yield Found("wrong_type", path, f"not an object but {_kind(value)}")
        else:
            yield from shape_faults(value, shape.cls, path)
    else:
        yield from _leaf(value, shape.kind, path, name)


def _leaf(value: Any, kind: str, path: str, name: str) -> Iterator[Found]:
    if kind == "anything":
        yield from _anything(value, path, name)
    elif _is_not_finite(value):
        yield Found("not_finite", path, "NaN or Infinity is no number in JSON")
    elif not _fits(value, kind):
        yield Found("wrong_type", path, f"not {_a(kind)} but {_kind(value)}")
    elif isinstance(value, str):
        yield from _text(value, path, name)
        if kind == "date" and not is_date(value):
            yield Found("date", path, "not a date that exists, as YYYY-MM-DD")
        elif kind == "text" and (found := format_fault(name, value, path)) is not None:
            yield found


def _is_not_finite(value: object) -> bool:
    """Whether a value is NaN or Infinity; a Decimal that is too large for a float is not."""
    return not value.is_finite() if isinstance(value, Decimal) else isinstance(value, float) and not math.isfinite(value)


def _fits(value: Any, kind: str) -> bool:
    if kind in {"text", "date"}:
        return isinstance(value, str) or (kind == "date" and isinstance(value, date) and not isinstance(value, datetime))
    if kind == "true or false":
        return isinstance(value, bool)
    wanted = int if kind == "whole number" else (int, float, Decimal)
    return isinstance(value, wanted) and not isinstance(value, bool)


def _text(value: str, path: str, name: str) -> Iterator[Found]:
    try:
        value.encode()
    except UnicodeEncodeError:
        yield Found("not_encodable", path, "text with half a surrogate pair")
    if has_control(name, value):
        yield Found("control_characters", path, "text with control characters")


def _anything(value: Any, path: str, name: str) -> Iterator[Found]:
    """The faults of a value whose type no page shows."""
    if isinstance(value, str):
        yield from _text(value, path, name)
    elif _is_not_finite(value):
        yield Found("not_finite", path, "NaN or Infinity is no number in JSON")
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _anything(item, f"{path}.{_shown(str(key))}", name)
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from _anything(item, f"{path}[{place}]", name)


def _a(kind: str) -> str:
    return kind if kind in {"text", "true or false"} else f"a {kind}"


def _kind(value: object) -> str:
    """What a value is, in the words of JSON."""
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, str):
        return "text"
    if isinstance(value, (int, float, Decimal)):
        return "a number"
    if isinstance(value, Mapping):
        return "an object"
    return "null" if value is None else "a list" if isinstance(value, list) else f"a {type(value).__name__}"


def _shown(name: str) -> str:
    """A name that is not ours, in a path: without what a terminal would obey, and not endless."""
    return "".join(sign if sign.isprintable() else "?" for sign in name[:_LONGEST_NAME])


_SET_BY_THE_SERVICE: Final = frozenset(CustomerRecord.__struct_encode_fields__) - frozenset(Customer.__struct_encode_fields__)


@lru_cache(1024)
def _unknown(name: str, cls: type[Input]) -> str:
    names = {known.lower(): known for known in _shapes(cls)}
    close = get_close_matches(name.lower()[:_LONGEST_NAME], names, 1, _CLOSE)
    if cls is Customer and name in _SET_BY_THE_SERVICE:
        return "a field that only the service sets"
    return f"no field that the pages show; did you mean {names[close[0]]}?" if close else "no field that the pages show"
