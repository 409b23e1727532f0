"""Pure: records that are JSON as columns of their fields, for rules that look at whole columns."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from functools import cache
from itertools import accumulate
from types import NoneType, UnionType
from typing import Any, Final, NamedTuple, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import astuple

from ..models.base import Input
from .fields import LINES, MODELS, Field, RecordKind, fields_of

__all__ = ["ItemColumn", "JsonColumns", "RecordColumns", "json_struct"]

_TYPES: Final[Mapping[Any, Any]] = {str: str, date: str, int: int, bool: bool}


@cache
def json_struct(cls: type[Input], *, strict: bool = True, nulls: bool = False) -> type[Struct]:
    """Returns a Struct with the fields of `cls`, in their order, that reads each as it stands in JSON.

    Days stay texts, so that blank ones can be read. Numbers may be anything: a Decimal would be read out of a text too.

    Args:
        cls: `Customer`, `Document` or a part of them.
        strict: whether a text with another field can't be read.
        nulls: whether a null is told from a field that is not there; otherwise both are None, and not written.
    """
    hints = get_type_hints(cls)
    fields: list[tuple[str, Any, Any]] = []
    for name, wire in zip(cls.__struct_fields__, cls.__struct_encode_fields__, strict=True):
        (kind,) = [each for each in _options(hints[name]) if each not in (NoneType, UnsetType)]
        read = _type(kind, strict, nulls) | None
        field = msgspec.field(default=UNSET if nulls else None, name=wire)
        fields.append((name, read | UnsetType if nulls else read, field))
    return msgspec.defstruct(f"{cls.__name__}Json", fields, forbid_unknown_fields=strict, omit_defaults=True, gc=False)


def _options(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in {Union, UnionType} else (hint,)


def _type(kind: Any, strict: bool, nulls: bool) -> Any:
    if get_origin(kind) is list:
        return list[_type(get_args(kind)[0], strict, nulls)]  # type: ignore[misc]
    if isinstance(kind, type) and issubclass(kind, Input):
        return json_struct(kind, strict=strict, nulls=nulls)
    return _TYPES.get(kind, Any)


class ItemColumn(NamedTuple):
    """The items of a field that holds a list of texts, of all records.

    Attributes:
        field: of the items: a text.
        lists: the list of each record, or what is not true.
        items: of all lists.
    """

    field: Field
    lists: Sequence[Any]
    items: list[Any]

    def place(self, item: int) -> tuple[int, str]:
        """Returns the row of an item, and its path with its place in the list."""
        for row, items in enumerate(self.lists):
            if items:
                if item < len(items):
                    return row, f"{self.field.path}[{item}]"
                item -= len(items)
        raise IndexError(item)


class RecordColumns(NamedTuple):
    """Records by column.

    Attributes:
        number: of the records.
        header: one column for each of `JsonColumns.fields`: the values as JSON has them, None where there are none.
        items: the fields that hold lists of texts, those that occur.
        lines: one column for each of `JsonColumns.line_fields`, with all lines of all documents; empty without any line.
        offsets: where the lines of each record begin, and the end of the last: one more than there are records.
    """

    number: int
    header: list[Sequence[Any]]
    items: list[ItemColumn]
    lines: list[Sequence[Any]]
    offsets: Sequence[int]

    def row_of(self, line: int) -> int:
        """Returns the row of the document of a line."""
        return bisect_right(self.offsets, line) - 1


class JsonColumns:
    """Reads JSON texts of records of one kind, and takes their columns.

    Args:
        kind: what the records are.
        strict: whether a text with a field that the pages don't show can't be read.

    Attributes:
        struct: the class of what is read.
        decode: reads one text; raises one of `codec.DecodeFailure` where a value is not of the type of its field.
        fields: of the header, without those that hold lists.
        line_fields: of the lines.
    """

    def __init__(self, kind: RecordKind, *, strict: bool = True) -> None:
        every = fields_of(kind).values()
        self.struct = json_struct(MODELS[kind], strict=strict)
        self.decode = msgspec.json.Decoder(self.struct, float_hook=Decimal).decode
        self.fields = [field for field in every if not field.in_lines and field.type != "texts"]
        self.line_fields = [field for field in every if field.in_lines]
        self._lists = [replace(field, type="text") for field in every if not field.in_lines and field.type == "texts"]

    def columns(self, records: Sequence[Any]) -> RecordColumns:
        """Returns the columns of records that `decode` has read."""
        by_name = _columns(records, self.struct)
        items = [ItemColumn(field, by_name[field.names], _flat(by_name[field.names])) for field in self._lists if any(by_name[field.names])]
        lists = by_name.get((LINES,), ())
        lines = _flat(lists)
        of_lines: list[Sequence[Any]] = []
        if lines:
            found = _columns(lines, type(lines[0]))
            of_lines = [found[field.names] for field in self.line_fields]
        offsets = [0, *accumulate([len(each) if each else 0 for each in lists])] if lines else [0] * (len(records) + 1)
        return RecordColumns(len(records), [by_name[field.names] for field in self.fields], items, of_lines, offsets)


def _flat(lists: Iterable[Any]) -> list[Any]:
    return [item for items in lists if items for item in items]


def _columns(records: Sequence[Any], cls: type[Struct]) -> dict[tuple[str, ...], Sequence[Any]]:
    """The columns of Structs of one class by their names on the wire; those of groups too."""
    found: dict[tuple[str, ...], Sequence[Any]] = {}
    groups, nothing = _groups(cls), (None,) * len(records)
    columns = list(zip(*map(astuple, records), strict=True)) or [()] * len(cls.__struct_fields__)
    for wire, column in zip(cls.__struct_encode_fields__, columns, strict=True):
        group = groups.get(wire)
        if group is None:
            found[wire,] = column
        elif any(column):
            empty = group()
            inner = _columns([one or empty for one in column], group)
            found |= {(wire, *names): values for names, values in inner.items()}
        else:
            found |= {(wire, *names): nothing for names in _names(group)}
    return found


@cache
def _groups(cls: type[Struct]) -> Mapping[str, type[Struct]]:
    """The fields that hold an object, with its Struct."""
    hints = get_type_hints(cls)
    named = zip(cls.__struct_fields__, cls.__struct_encode_fields__, strict=True)
    return {
        wire: option for name, wire in named for option in _options(hints[name]) if isinstance(option, type) and issubclass(option, Struct)
    }


@cache
def _names(cls: type[Struct]) -> list[tuple[str, ...]]:
    return list(_columns((), cls))
