"""Pure: finds field names that can only be a mistake: they differ from the API's only by case, or occur twice in one object.

It is not known which of two equal names a server reads, or whether it takes `documentno` for `documentNo`; so it would not be known later
which document was sent. Such a record is refused. Other unknown names are not: the API may have more fields than its pages show.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from functools import cache
from types import NoneType
from typing import Any, Final, get_args, get_origin, get_type_hints

from msgspec import UnsetType

from ..codec import type_options
from ..models.base import Input

__all__ = [
    "FieldNameError",
    "FieldNames",
    "check_mapping",
    "check_text",
    "date_attributes",
    "kinds_of",
    "mistakes_in",
    "object_attributes",
    "right_name",
]

_MOST_OTHERS: Final = 1000


class FieldNameError(Exception):
    """A field name is a mistake; the message has its path and what to do.

    Args:
        code: `misnamed_field` or `duplicate_field`.
        message: the path and what to do.

    Attributes:
        code: `misnamed_field` or `duplicate_field`.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@cache
def kinds_of(cls: type[Input]) -> Mapping[str, Any]:
    """Returns the type of each field of a Struct, by its name in JSON.

    Args:
        cls: the Struct.

    Returns:
        A type, a `list[...]` of one, or a Struct, by name.
    """
    hints = get_type_hints(cls)
    kinds: dict[str, Any] = {}
    for name, wire in zip(cls.__struct_fields__, cls.__struct_encode_fields__, strict=True):
        options = type_options(hints[name])
        (kinds[wire],) = [option for option in options if option not in (NoneType, UnsetType)]
    return kinds


@cache
def _objects_of(cls: type[Input]) -> Mapping[str, type[Input]]:
    """Returns the fields of `cls` that hold an object, or a list of objects, whose fields are known."""
    inner = {wire: get_args(kind)[0] if get_origin(kind) is list else kind for wire, kind in kinds_of(cls).items()}
    return {wire: kind for wire, kind in inner.items() if isinstance(kind, type) and issubclass(kind, Input)}


@cache
def date_attributes(cls: type[Input]) -> tuple[str, ...]:
    """Returns the attributes of a Struct that are dates; those in it have none.

    Args:
        cls: the Struct.
    """
    kinds = kinds_of(cls)
    return tuple(name for name, wire in zip(cls.__struct_fields__, cls.__struct_encode_fields__, strict=True) if kinds[wire] is date)


@cache
def object_attributes(cls: type[Input]) -> Mapping[str, type[Input]]:
    """Returns the attributes of a Struct that hold an object, or a list of objects, whose fields are known, with the Struct of each.

    Args:
        cls: the Struct.
    """
    objects = _objects_of(cls)
    return {name: objects[wire] for name, wire in zip(cls.__struct_fields__, cls.__struct_encode_fields__, strict=True) if wire in objects}


@cache
def _by_folded(cls: type[Input]) -> Mapping[str, str]:
    """Returns the API's names by what a mistaken name is taken for: one in another case, or that of the Struct's attribute."""
    attributes = zip(cls.__struct_fields__, cls.__struct_encode_fields__, strict=True)
    return {**{name.casefold(): wire for name, wire in attributes}, **{wire.casefold(): wire for wire in kinds_of(cls)}}


def right_name(name: object, cls: type[Input]) -> str | None:
    """Returns the API's name from which a name differs only by case, or whose attribute has that name, such as `customer_no`.

    Args:
        name: the name.
        cls: the Struct of the object.

    Returns:
        The right name; None where the name is right, or another one.
    """
    if not isinstance(name, str) or name in kinds_of(cls):
        return None
    return _by_folded(cls).get(name.casefold())


# --- one record -----------------------------------------------------------------------------------------------------------


def check_mapping(record: Mapping[Any, Any], cls: type[Input]) -> None:
    """Checks the field names of a mapping, at any depth whose fields are known.

    Args:
        record: the record.
        cls: its Struct.

    Raises:
        FieldNameError: a name differs from the API's only by case.
    """
    for code, path, message in _mistakes(record, cls, "$"):
        raise FieldNameError(code, f"{path}: {message}")


def check_text(text: bytes, cls: type[Input]) -> None:
    """Checks the field names of a JSON text, in which a name may occur twice too. A text that can't be read passes.

    Args:
        text: the text of the record.
        cls: its Struct.

    Raises:
        FieldNameError: a name differs from the API's only by case, or occurs twice.
    """
    for code, path, message in mistakes_in(text, cls):
        raise FieldNameError(code, f"{path}: {message}")


def mistakes_in(text: bytes, cls: type[Input]) -> Iterator[tuple[str, str, str]]:
    """Finds the field names of a JSON text that can only be a mistake.

    Args:
        text: the text of the record.
        cls: its Struct.

    Yields:
        The code, the path and what to do, for each name.
    """
    try:
        record = json.loads(text, object_pairs_hook=_object)
    except (ValueError, RecursionError):
        return
    if isinstance(record, dict):
        yield from _mistakes(record, cls, "$")


class _WithDuplicates(dict[str, Any]):
    """An object in which a name occurred twice."""

    __slots__ = ("duplicate",)
    duplicate: str


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) == len(pairs):
        return made
    marked, seen = _WithDuplicates(made), set[str]()
    marked.duplicate = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
    return marked


def _mistakes(value: Any, cls: type[Input] | None, path: str) -> Iterator[tuple[str, str, str]]:
    if isinstance(value, Mapping):
        if isinstance(value, _WithDuplicates):
            yield "duplicate_field", f"{path}.{_shown(value.duplicate)}", "it occurs twice in one object: leave one out"
        inner = _objects_of(cls) if cls is not None else {}
        for name, item in value.items():
            if cls is not None and (right := right_name(name, cls)) is not None:
                yield "misnamed_field", f"{path}.{_shown(name)}", f"did you mean {right}?"
            if isinstance(item, (Mapping, list, tuple)):
                yield from _mistakes(item, inner.get(name), f"{path}.{_shown(name)}")
    elif isinstance(value, (list, tuple)):
        for position, item in enumerate(value):
            if isinstance(item, (Mapping, list, tuple)):
                yield from _mistakes(item, cls, f"{path}[{position}]")


def _shown(name: object) -> str:
    return str(name)[:60]


# --- many at once ---------------------------------------------------------------------------------------------------------


class FieldNames:
    """Checks the field names of many mappings at once.

    Args:
        cls: the Struct of the records.
    """

    def __init__(self, cls: type[Input]) -> None:
        self._cls = cls
        classes = list(_classes(cls))
        self._known: set[Any] = set().union(*map(kinds_of, classes))
        self._folded = {name for one in classes for name in _by_folded(one)}
        self._dates = [wire for wire, kind in kinds_of(cls).items() if kind is date]
        self._most = len(self._known) + _MOST_OTHERS
        self._are_known = _checker(cls, self._known, self._dates)

    def any_may_be_misnamed(self, records: Sequence[dict[Any, Any]]) -> bool:
        """Returns whether a name, at any depth whose fields are known, may be a mistake, or an object or date is not as JSON has it: then
        each record is checked on its own.

        Args:
            records: the records.

        Returns:
            False where all names are right for sure.
        """
        found: set[Any] = set().union(*records)
        if any(name in found and not _DAYS.issuperset([type(one.get(name)) for one in records]) for name in self._dates):
            return True
        inner = _names_in(records, self._cls)
        if inner is None:
            return True
        found |= inner
        others = found - self._known
        if any(isinstance(name, str) and name.casefold() in self._folded for name in others):
            return True
        if len(self._known) < self._most:
            self._known |= others
        return False

    def may_be_misnamed(self, record: dict[Any, Any]) -> bool:
        """Returns whether a name in one record may be a mistake.

        Args:
            record: the record.

        Returns:
            False where all names are right for sure.
        """
        return not self._are_known(record) and self.any_may_be_misnamed([record])


def _checker(cls: type[Input], known: set[Any], dates: Sequence[str] = ()) -> Callable[[dict[Any, Any]], bool]:  # noqa: C901
    """Returns a function that checks whether all names in a mapping, at any depth whose fields are known, are among the known ones, and the
    objects in it and its dates are as JSON has them."""
    # It runs for each record: local variables, and no further function, since a look-up and a call cost time.
    is_known, nested = known.issuperset, [(name, _checker(inner, known)) for name, inner in _objects_of(cls).items()]

    def check(value: dict[Any, Any]) -> bool:
        if not is_known(value):
            return False
        for name in dates:
            if name in value and type(value[name]) not in _DAYS:
                return False
        for name, check_inside in nested:
            if name in value:
                item = value[name]
                kind = type(item)
                if kind is dict:
                    if not check_inside(item):
                        return False
                elif kind is list or kind is tuple:
                    for one in item:
                        if not check_inside(one) if type(one) is dict else type(one) not in _NO_OBJECTS:
                            return False
                elif kind not in _NO_OBJECTS:
                    return False
        return True

    return check


def _classes(cls: type[Input]) -> Iterator[type[Input]]:
    yield cls
    for inner in _objects_of(cls).values():
        yield from _classes(inner)


def _names_in(objects: Sequence[Mapping[Any, Any]], cls: type[Input]) -> set[Any] | None:
    """Returns the names in the objects in these objects, at all depths whose fields are known; None where there is an object of a class."""
    found: set[Any] = set()
    for name, inner in _objects_of(cls).items():
        values = [one[name] for one in objects if name in one]
        kinds = set(map(type, values))
        if not kinds <= {dict}:
            values = [item for value in values for item in (value if isinstance(value, (list, tuple)) else (value,))]
            kinds = set(map(type, values))
        if not kinds - {dict} <= _NO_OBJECTS:
            return None
        dicts = values if kinds == {dict} else [value for value in values if type(value) is dict]
        if dicts:
            names = _names_in(dicts, inner)
            if names is None:
                return None
            found = found.union(names, *dicts)
    return found


_DAYS: Final = frozenset({date, str, NoneType, UnsetType})
_NO_OBJECTS: Final = frozenset({str, int, float, bool, NoneType, UnsetType})
