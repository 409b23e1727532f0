"""Pure: names of fields that can only be a slip: written in another case than the API's, or twice in one object.

Nobody knows which of two equal names a server takes, or whether it takes `documentno` for `documentNo`; so nobody could tell later which
document was sent. Such a record is refused. Other names that are not known here are not: the API may have more fields than its pages show.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from types import NoneType, UnionType
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

from msgspec import UnsetType

from ..models.base import Input

__all__ = ["FieldNameError", "FieldNames", "check_mapping", "check_text", "kinds_of", "right_name", "slips_in"]

_MOST_OTHERS: Final = 1000


class FieldNameError(Exception):
    """A name of a field is a slip; the message names the path and the remedy.

    Attributes:
        code: `misnamed_field` or `duplicate_field`.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@cache
def kinds_of(cls: type[Input]) -> Mapping[str, Any]:
    """What each field of `cls` holds, by its name on the wire: a type, `list[...]` of one, or a class of fields."""
    hints = get_type_hints(cls)
    kinds: dict[str, Any] = {}
    for name, wire in zip(cls.__struct_fields__, cls.__struct_encode_fields__, strict=True):
        options = get_args(hints[name]) if get_origin(hints[name]) in {Union, UnionType} else (hints[name],)
        (kinds[wire],) = [option for option in options if option not in (NoneType, UnsetType)]
    return kinds


@cache
def _objects_of(cls: type[Input]) -> Mapping[str, type[Input]]:
    """The fields of `cls` that hold an object, or a list of objects, whose fields are known."""
    inner = {wire: get_args(kind)[0] if get_origin(kind) is list else kind for wire, kind in kinds_of(cls).items()}
    return {wire: kind for wire, kind in inner.items() if isinstance(kind, type) and issubclass(kind, Input)}


@cache
def _by_folded(cls: type[Input]) -> Mapping[str, str]:
    return {wire.casefold(): wire for wire in kinds_of(cls)}


def right_name(name: object, cls: type[Input]) -> str | None:
    """The API's name of which `name` differs only by case; None where it is a right name, or another one."""
    if not isinstance(name, str) or name in kinds_of(cls):
        return None
    return _by_folded(cls).get(name.casefold())


# --- one record -----------------------------------------------------------------------------------------------------------


def check_mapping(record: Mapping[Any, Any], cls: type[Input]) -> None:
    """Refuses a record in which a name is misspelt by its case, at any depth whose fields are known.

    Raises:
        FieldNameError: there is one.
    """
    for code, path, message in _slips(record, cls, "$"):
        raise FieldNameError(code, f"{path}: {message}")


def check_text(text: bytes, cls: type[Input]) -> None:
    """As `check_mapping`, for a JSON text, in which a name may stand twice too. What can't be read is not this module's business.

    Raises:
        FieldNameError: there is such a name.
    """
    for code, path, message in slips_in(text, cls):
        raise FieldNameError(code, f"{path}: {message}")


def slips_in(text: bytes, cls: type[Input]) -> Iterator[tuple[str, str, str]]:
    """The code, the path and the remedy of each name in a JSON text that can only be a slip."""
    try:
        record = json.loads(text, object_pairs_hook=_object)
    except (ValueError, RecursionError):
        return
    if isinstance(record, dict):
        yield from _slips(record, cls, "$")


class _WithDoubles(dict[str, Any]):
    """An object in which a name stood twice."""

    __slots__ = ("doubled",)
    doubled: str


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) == len(pairs):
        return made
    marked, seen = _WithDoubles(made), set[str]()
    marked.doubled = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
    return marked


def _slips(value: Any, cls: type[Input] | None, path: str) -> Iterator[tuple[str, str, str]]:
    if isinstance(value, Mapping):
        if isinstance(value, _WithDoubles):
            yield "duplicate_field", f"{path}.{_shown(value.doubled)}", "it stands twice in one object: leave one out"
        inner = _objects_of(cls) if cls is not None else {}
        for name, item in value.items():
            if cls is not None and (right := right_name(name, cls)) is not None:
                yield "misnamed_field", f"{path}.{_shown(name)}", f"did you mean {right}?"
            if isinstance(item, (Mapping, list, tuple)):
                yield from _slips(item, inner.get(name), f"{path}.{_shown(name)}")
    elif isinstance(value, (list, tuple)):
        for place, item in enumerate(value):
            if isinstance(item, (Mapping, list, tuple)):
                yield from _slips(item, cls, f"{path}[{place}]")


def _shown(name: object) -> str:
    return str(name)[:60]


# --- many at once ---------------------------------------------------------------------------------------------------------


class FieldNames:
    """Looks at the names in many mappings at once.

    Args:
        cls: what the records are.
    """

    def __init__(self, cls: type[Input]) -> None:
        self._cls = cls
        classes = list(_classes(cls))
        self._fine: set[Any] = set().union(*map(kinds_of, classes))
        self._folded = {name.casefold() for name in self._fine}
        self._most = len(self._fine) + _MOST_OTHERS
        self._are_fine = _looking(cls, self._fine)

    def any_may_be_misnamed(self, records: Sequence[dict[Any, Any]]) -> bool:
        """Whether a name in one of them, at any depth whose fields are known, may be a slip: then each is looked at by itself."""
        found: set[Any] = set().union(*records)
        found |= _names_in(records, self._cls)
        others = found - self._fine
        if any(isinstance(name, str) and name.casefold() in self._folded for name in others):
            return True
        if len(self._fine) < self._most:
            self._fine |= others
        return False

    def may_be_misnamed(self, record: dict[Any, Any]) -> bool:
        """Whether a name in one record may be a slip."""
        return not self._are_fine(record) and self.any_may_be_misnamed([record])


def _looking(cls: type[Input], fine: set[Any]) -> Callable[[dict[Any, Any]], bool]:
    """A function that tells whether all names in a mapping, at any depth whose fields are known, are among those that are fine."""
    # It looks at each record by itself: every attribute that need not be looked up is time.
    is_fine, nested = fine.issuperset, [(name, _looking(inner, fine)) for name, inner in _objects_of(cls).items()]

    def look(value: dict[Any, Any]) -> bool:
        if not is_fine(value):
            return False
        for name, look_inside in nested:
            if name in value:
                item = value[name]
                kind = type(item)
                if kind is dict:
                    if not look_inside(item):
                        return False
                elif kind is list or kind is tuple:
                    for one in item:
                        if type(one) is dict and not look_inside(one):
                            return False
        return True

    return look


def _classes(cls: type[Input]) -> Iterator[type[Input]]:
    yield cls
    for inner in _objects_of(cls).values():
        yield from _classes(inner)


def _names_in(objects: Sequence[Mapping[Any, Any]], cls: type[Input]) -> set[Any]:
    """The names in the objects in these objects, at all depths whose fields are known."""
    found: set[Any] = set()
    for name, inner in _objects_of(cls).items():
        values = [one[name] for one in objects if name in one]
        kinds = set(map(type, values))
        if not kinds <= {dict}:
            values = [item for value in values for item in (value if isinstance(value, (list, tuple)) else (value,))]
            kinds = set(map(type, values))
        dicts = values if kinds == {dict} else [value for value in values if isinstance(value, Mapping)]
        if dicts:
            found = found.union(*dicts)
            found |= _names_in(dicts, inner)
    return found
