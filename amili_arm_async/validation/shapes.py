"""Pure: walks a record beside the types of its Struct, and names everything that is not of its type, not only the first.

The types are those of the Structs that are sent (`Customer`, `Document`): one table, kept in one place. A value is JSON that was parsed
(numbers with a fraction as Decimal), or what the caller gave where that can't be written as JSON.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from difflib import get_close_matches
from functools import cache, lru_cache
from types import NoneType
from typing import Any, Final, NamedTuple, get_args, get_origin, get_type_hints

from msgspec import UNSET, Struct, UnsetType

from ..bulk.field_names import right_name
from ..codec import type_options
from ..models.base import Input
from ..models.customers import Customer, CustomerRecord
from ..values.cells import whole_number
from ..values.findings import WHOLE, CellFault
from ..values.texts import CONTROL_CHARACTERS

__all__ = ["plain", "shape_faults", "well_typed"]

"""The path of a fault of a whole record."""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_LARGEST: Final = 2**53
"""The largest number with a fraction that is compared with the whole one."""

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
    options = type_options(kind)
    (option,) = [each for each in options if each not in (NoneType, UnsetType)]
    if get_origin(option) is list:
        return _Shape("list", items=_shape(get_args(option)[0]))
    if isinstance(option, type) and issubclass(option, Input):
        return _Shape("object", cls=option)
    return _LEAVES[option]


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


def shape_faults(value: Mapping[Any, Any], cls: type[Input], path: str = "") -> Iterator[CellFault]:
    """Gives what is not of its type in an object, and what has no right name. What is wrong with values of the right type is in columns.

    Args:
        value: the object.
        cls: the Struct with its fields.
        path: of the object in its record; blank for the record itself.
    """
    shapes = _shapes(cls)
    for name, item in value.items():
        shape = shapes.get(name)
        if not isinstance(name, str):
            yield CellFault("not_encodable", path or WHOLE, f"a {type(name).__name__} can't be a name")
        elif (right := right_name(name, cls)) is not None:
            yield CellFault("misnamed_field", _below(path, name), f"did you mean {right}?")
        elif shape is None:
            yield CellFault("unknown_field", _below(path, name), _unknown(name, cls))
            yield from _anything(item, _below(path, name))
        elif item is not None:
            yield from _faults(item, shape, _below(path, name))


def _below(path: str, name: str) -> str:
    return f"{path}.{_shown(name)}" if path else _shown(name)


def _faults(value: Any, shape: _Shape, path: str) -> Iterator[CellFault]:
    if shape.items is not None:
        if not isinstance(value, list):
            yield CellFault("wrong_type", path, f"not a list but {_kind(value)}")
        else:
            for place, item in enumerate(value):
                yield from _faults(item, shape.items, f"{path}[{place}]")
    elif shape.cls is not None:
        if not isinstance(value, Mapping):
            yield CellFault("wrong_type", path, f"not an object but {_kind(value)}")
        else:
            yield from shape_faults(value, shape.cls, path)
    elif shape.kind == "anything":
        # A text is judged with others like it.
        if not isinstance(value, str) or not _can_be_encoded(value):
            yield from _anything(value, path)
    elif _is_not_finite(value):
        yield CellFault("not_finite", path, "NaN or Infinity is no number in JSON")
    elif shape.kind == "whole number" and isinstance(value, (float, Decimal)) and (outcome := whole_number(value)).code is not None:
        yield CellFault(outcome.code, path, outcome.message)
    elif not _fits(value, shape.kind):
        yield CellFault("wrong_type", path, f"not {_a(shape.kind)} but {_kind(value)}")
    elif isinstance(value, str) and not _can_be_encoded(value):
        yield CellFault("not_encodable", path, "text with half a surrogate pair")


def _is_not_finite(value: object) -> bool:
    """Whether a value is NaN or Infinity; a Decimal that is too large for a float is not."""
    return not value.is_finite() if isinstance(value, Decimal) else isinstance(value, float) and not math.isfinite(value)


def _fits(value: Any, kind: str) -> bool:
    if kind in {"text", "date"}:
        return isinstance(value, str) or (kind == "date" and isinstance(value, date) and not isinstance(value, datetime))
    if kind == "true or false":
        return isinstance(value, bool)
    if not isinstance(value, (int, float, Decimal)) or isinstance(value, bool):
        return False
    # 14.0 is a whole number in JSON.
    return kind == "number" or isinstance(value, int) or (-_LARGEST <= value <= _LARGEST and value == int(value))


def _can_be_encoded(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _anything(value: Any, path: str) -> Iterator[CellFault]:
    """The faults of a value whose type no page shows."""
    if isinstance(value, str):
        if not _can_be_encoded(value):
            yield CellFault("not_encodable", path, "text with half a surrogate pair")
        if _CONTROL.search(value):
            yield CellFault("control_characters", path, CONTROL_CHARACTERS)
    elif _is_not_finite(value):
        yield CellFault("not_finite", path, "NaN or Infinity is no number in JSON")
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _anything(item, _below(path, str(key)))
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from _anything(item, f"{path}[{place}]")


# --- what is left of a record ---------------------------------------------------------------------------------------------


def well_typed(value: Mapping[Any, Any], cls: type[Input]) -> dict[str, Any]:
    """Returns the fields of an object whose values are of their types: what `values.json_columns` takes. In lists, each keeps its place."""
    found: dict[str, Any] = {}
    for name, shape in _shapes(cls).items():
        item = value.get(name)
        if item is not None and (kept := _well_typed(item, shape)) is not None:
            found[name] = kept
    return found


def _well_typed(value: Any, shape: _Shape) -> Any:
    if shape.items is not None:
        return [_in_its_place(item, shape.items) for item in value] if isinstance(value, list) else None
    if shape.cls is not None:
        return well_typed(value, shape.cls) if isinstance(value, Mapping) else None
    if shape.kind == "anything":
        return value
    if _is_not_finite(value) or not _fits(value, shape.kind):
        return None
    if shape.kind == "whole number":
        return int(value)
    if isinstance(value, float):
        return None
    if isinstance(value, str):
        return value if _can_be_encoded(value) else None
    return value.isoformat() if isinstance(value, date) else value


def _in_its_place(item: Any, shape: _Shape) -> Any:
    kept = _well_typed(item, shape)
    return ({} if shape.cls is not None else "" if shape.kind == "text" else None) if kept is None else kept


# --- words ----------------------------------------------------------------------------------------------------------------


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
