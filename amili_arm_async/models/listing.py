"""What records, answers and pages share: a `repr` without personal data that says how to see the rest, `to_dict` and `show`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from typing import Any, Final

from msgspec import UNSET, Struct

__all__ = ["Listed", "brief", "plain", "print_listing"]


def brief(value: object, shown: Iterable[tuple[str, Any]], hint: str) -> str:
    """The `repr` of an object: what identifies it, and how to see the rest."""
    words = [type(value).__name__, *(f"{name}={item!r}" for name, item in shown), f"({hint})"]
    return f"<{' '.join(words)}>"


def counted(number: int) -> str:
    """How many fields there are, and how to see them."""
    return "no fields" if number == 0 else f"{number} field{'s' if number > 1 else ''}; show() to see {'them' if number > 1 else 'it'}"


class Listed:
    """An answer that is a dataclass: fields without `repr=True` may be personal data."""

    __slots__ = ()

    def __repr__(self) -> str:
        shown = ((one.name, getattr(self, one.name)) for one in fields(self) if one.repr)  # type: ignore[arg-type]
        return brief(self, [(name, value) for name, value in shown if value is not None], "show() to see all")

    def to_dict(self) -> dict[str, Any]:
        """Returns everything in it, with dates as `datetime.date` and numbers with a fraction as `Decimal`.

        Returns:
            A new dictionary by the names of the attributes; records in it by the API's own names.
        """
        return {one.name: plain(getattr(self, one.name)) for one in fields(self)}  # type: ignore[arg-type]

    def show(self) -> None:
        """Prints everything in it, personal data included, one field a line."""
        print_listing(self)


def plain(value: Any) -> Any:
    """Returns a value made of dicts, lists and values that are neither."""
    if isinstance(value, Struct):
        return _plain_struct(value)
    if isinstance(value, Listed):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


_MORE: Final = ("other", "unread")
"""Fields of records that hold values by their names on the wire: of fields that the record has not, or could not read."""


def _plain_struct(record: Struct) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, wire in zip(record.__struct_fields__, record.__struct_encode_fields__, strict=True):
        value = getattr(record, name)
        if value is not UNSET and name not in _MORE:
            found[wire] = plain(value)
    for name in _MORE:
        for wire, value in (getattr(record, name, None) or {}).items():
            if found.get(wire) is None:
                found[wire] = plain(value)
    return found


def print_listing(value: object) -> None:
    """Prints the fields of a value, one a line."""
    print(type(value).__name__, *_lines(value, "  "), sep="\n")  # noqa: T201 - what it is for


def _lines(value: object, indent: str) -> Iterator[str]:
    items = [(str(name), item) for name, item in _items(value) if item is not None and item is not UNSET and item != {}]
    width = max((len(name) for name, item in items if not _is_deep(item)), default=0)
    if not items:
        yield f"{indent}(no fields)"
    for name, item in items:
        if _is_deep(item):
            yield f"{indent}{_text(name)}:"
            yield from _lines(item, indent + "  ")
        else:
            yield f"{indent}{_text(name):<{width}}  {_text(item)}"


def _items(value: object) -> Iterable[tuple[object, Any]]:
    if isinstance(value, Struct):
        secret = getattr(value, "_secret", ())
        return [(name, "(secret)" if name in secret else getattr(value, name)) for name in value.__struct_fields__]
    if isinstance(value, Listed):
        return [(one.name, getattr(value, one.name)) for one in fields(value)]  # type: ignore[arg-type]
    if isinstance(value, Mapping):
        return value.items()
    return enumerate(value, 1) if isinstance(value, (list, tuple)) else [("value", value)]


def _is_deep(value: object) -> bool:
    if isinstance(value, (list, tuple)):
        return any(isinstance(item, (Struct, Listed, Mapping, list, tuple)) for item in value)
    return isinstance(value, (Struct, Listed, Mapping))


def _text(value: object) -> str:
    """A value on one line: what could steer a terminal is escaped."""
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_text, value)) or "[]"
    text = value if isinstance(value, str) else str(value)
    return text if text and text.isprintable() else repr(text)
