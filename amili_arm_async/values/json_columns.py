"""Pure: records that are JSON as columns of their fields, for rules that look at whole columns."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from functools import cache, lru_cache
from itertools import accumulate
from types import NoneType
from typing import Any, Final, NamedTuple, TypeAlias, get_args, get_origin, get_type_hints

import msgspec
from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import astuple

from .. import codec
from ..codec import type_options
from ..models.base import Input
from .fields import LINES, MODELS, Field, RecordKind, fields_of

__all__ = ["ItemColumn", "JsonColumns", "RecordColumns", "json_struct"]

_TYPES: Final[Mapping[Any, Any]] = {str: str, date: str, int: int, bool: bool}

_Names: TypeAlias = frozenset[tuple[str, ...]]

_COLONS_APART: Final = (b" :", b"\t:", b"\r:", b"\n:")
_LOOKED_AT: Final = 16
"""Records whose fields are those that are expected in all of them."""

_TUPLES: Final = 64
"""Records of which there is a tuple at a time."""

_MOST_TRIES: Final = 16
"""How often records with further fields change what is expected."""


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
        (kind,) = [each for each in type_options(hints[name]) if each not in (NoneType, UnsetType)]
        read = _type(kind, strict, nulls) | None
        field = msgspec.field(default=UNSET if nulls else None, name=wire)
        fields.append((name, read | UnsetType if nulls else read, field))
    return msgspec.defstruct(f"{cls.__name__}Json", fields, forbid_unknown_fields=strict, omit_defaults=True, gc=False)


class _OneText(Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    """A list of one text. Lists of Python would keep the garbage collector busy."""

    text: str


@lru_cache(maxsize=64)
def _struct_of(cls: type[Input], names: _Names, above: tuple[str, ...] = (), *, single: bool = False) -> type[Struct]:
    """What `json_struct` returns that tells a null from nothing, with some of the fields only: it has less to look at.

    Args:
        cls: `Customer`, `Document` or a part of them.
        names: of the fields, each with the names around it.
        above: the names around `cls`.
        single: whether lists of texts are read that hold one text, and no others.
    """
    hints = get_type_hints(cls)
    fields: list[tuple[str, Any, Any]] = []
    for name, wire in zip(cls.__struct_fields__, cls.__struct_encode_fields__, strict=True):
        if (*above, wire) in names:
            (kind,) = [each for each in type_options(hints[name]) if each not in (NoneType, UnsetType)]
            is_list = get_origin(kind) is list
            item = get_args(kind)[0] if is_list else kind
            is_object = isinstance(item, type) and issubclass(item, Input)
            read = _struct_of(item, names, (*above, wire), single=single) if is_object else _TYPES.get(item, Any)
            if is_list:
                read = _OneText if single and read is str else list[read]  # type: ignore[valid-type]
            read = read | None | UnsetType
            fields.append((name, read, msgspec.field(default=UNSET, name=wire)))
    return msgspec.defstruct(f"{cls.__name__}Some", fields, forbid_unknown_fields=True, omit_defaults=True, gc=False)


def _names_in(value: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The names in an object, and in those in it, each with the names around it."""
    for name, inner in value.items() if isinstance(value, dict) else ():
        yield (*above, name)
        for item in inner if isinstance(inner, list) else [inner]:
            yield from _names_in(item, (*above, name))


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
        lists: the list of each record, or a text for a list of one, or what is not true.
        items: of all lists.
    """

    field: Field
    lists: Sequence[Any]
    items: list[Any]

    def place(self, item: int) -> tuple[int, str]:
        """Returns the row of an item, and its path with its place in the list."""
        for row, items in enumerate(self.lists):
            if items:
                number = 1 if isinstance(items, str) else len(items)
                if item < number:
                    return row, f"{self.field.path}[{item}]"
                item -= number
        raise IndexError(item)


class RecordColumns(NamedTuple):
    """Records by column.

    Attributes:
        number: of the records.
        header: one column for each of `JsonColumns.fields`: the values as JSON has them, None or UNSET where there are none. A column
            without a value may be empty.
        items: the fields that hold lists of texts, those that occur.
        lines: one column for each of `JsonColumns.line_fields`, as in `header`, with all lines of all documents; empty without any line.
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
        exact: whether numbers with a fraction must keep their digits in what `read` returns.

    Attributes:
        struct: the class of what is read.
        decode: reads one text; raises one of `codec.DecodeFailure` where a value is not of the type of its field.
        fields: of the header, without those that hold lists.
        line_fields: of the lines.
    """

    def __init__(self, kind: RecordKind, *, strict: bool = True, exact: bool = True) -> None:
        every = fields_of(kind).values()
        self._cls = MODELS[kind]
        self.struct = json_struct(self._cls, strict=strict)
        self.decode = msgspec.json.Decoder(self.struct, float_hook=Decimal).decode
        self.fields = [field for field in every if not field.in_lines and field.type != "texts"]
        self.line_fields = [field for field in every if field.in_lines]
        self._lists = [replace(field, type="text") for field in every if not field.in_lines and field.type == "texts"]
        self._float_hook = Decimal if exact else None
        # The fields that are expected, and what reads texts with no others.
        self._expected: _Names = frozenset()
        self._decode_expected: Callable[[bytes], Any] | None = None
        # Whether lists of texts are expected to hold one text each.
        self._single = True
        self._tries = 0

    def read(self, texts: Sequence[bytes]) -> RecordColumns | None:
        """Returns the columns of texts; None where it is not certain that each can be read, and that no name occurs twice in an object.

        Args:
            texts: the texts, in UTF-8.
        """
        records = self._read_expected(texts)
        if records is None:
            return None
        columns, names = self._columns_of(records, type(records[0]))
        whole = b"".join(texts)
        # Each name has its colon, and a string may have more: where there are no more than values, no name occurs twice.
        if whole.count(b":") == names:
            return columns
        # Where no colon stands apart from the name before it, those in strings need not be counted.
        return columns if whole.count(b'":') == names and not any(blank in whole for blank in _COLONS_APART) else None

    def _read_expected(self, texts: Sequence[bytes]) -> list[Any] | None:
        """The records, where none has other fields than are expected."""
        if not texts:
            return None
        for _ in range(2):
            try:
                if self._decode_expected is not None:
                    return list(map(self._decode_expected, texts))
            except codec.DecodeFailure:
                pass
            if self._tries == _MOST_TRIES or not self._expect(texts):
                return None
        return None

    def _expect(self, texts: Sequence[bytes]) -> bool:
        """Takes note of the fields of some of the texts; returns whether there are more of them than before."""
        self._tries += 1
        try:
            found = {names for text in texts[:_LOOKED_AT] for names in _names_in(msgspec.json.decode(text))}
        except codec.DecodeFailure:
            return False
        if found <= self._expected:
            if not self._single:
                return False
            self._single = False
        self._expected |= found
        struct = _struct_of(self._cls, self._expected, single=self._single)
        self._decode_expected = msgspec.json.Decoder(struct, float_hook=self._float_hook).decode
        return True

    def columns(self, records: Sequence[Any]) -> RecordColumns:
        """Returns the columns of records that `decode` has read."""
        return self._columns_of(records, self.struct)[0]

    def _columns_of(self, records: Sequence[Any], cls: type[Struct]) -> tuple[RecordColumns, int]:
        """The columns, and how many fields have a value, those that hold objects too."""
        by_name = _columns(records, cls)
        of_items = [(field, column) for field in self._lists if any(column := by_name.get(field.names, ()))]
        items = [_items_of(field, column) for field, column in of_items]
        lists = by_name.get((LINES,), ())
        lines = _flat(lists)
        found: dict[tuple[str, ...], Sequence[Any]] = _columns(lines, type(lines[0])) if lines else {}
        of_lines = [found.get(field.names, ()) for field in self.line_fields] if lines else []
        offsets = [0, *accumulate([len(each) if each else 0 for each in lists])] if lines else [0] * (len(records) + 1)
        header = [by_name.get(field.names, ()) for field in self.fields]
        number = sum(map(_count_given, (*by_name.values(), *found.values())))
        return RecordColumns(len(records), header, items, of_lines, offsets), number


def _items_of(field: Field, column: Sequence[Any]) -> ItemColumn:
    if _OneText in set(map(type, column)):
        texts = [one.text if one else one for one in column]
        given = list(filter(None, texts))
        if len(given) == sum(map(bool, column)):
            return ItemColumn(field, texts, given)
        # A blank text would be no list.
        column = [[one.text] if one else one for one in column]
    return ItemColumn(field, column, _flat(column))


def _count_given(column: Sequence[Any]) -> int:
    """How many values are there, nulls among them."""
    # What a Decimal is equal to takes long to find out.
    return len(column) if all(column) else len(column) - list(map(type, column)).count(UnsetType)


def _flat(lists: Iterable[Any]) -> list[Any]:
    return [item for items in lists if items for item in items]


def _columns(records: Sequence[Any], cls: type[Struct]) -> dict[tuple[str, ...], Sequence[Any]]:
    """The columns of Structs of one class by their names on the wire; those of groups too."""
    found: dict[tuple[str, ...], Sequence[Any]] = {}
    groups, nothing = _groups(cls), (None,) * len(records)
    columns = _by_field(records, cls)
    for wire, column in zip(cls.__struct_encode_fields__, columns, strict=True):
        group = groups.get(wire)
        found[wire,] = column
        if group is None:
            continue
        if any(column):
            empty = group()
            inner = _columns([one or empty for one in column], group)
            found |= {(wire, *names): values for names, values in inner.items()}
        else:
            found |= {(wire, *names): nothing for names in _names(group)}
    return found


def _by_field(records: Sequence[Any], cls: type[Struct]) -> list[list[Any]]:
    """The values of each field of Structs of one class."""
    columns: list[list[Any]] = [[] for _ in cls.__struct_fields__]
    # So few tuples are gone again before the garbage collector looks for them.
    for start in range(0, len(records), _TUPLES):
        for column, part in zip(columns, zip(*map(astuple, records[start : start + _TUPLES]), strict=True), strict=True):
            column.extend(part)
    return columns


@cache
def _groups(cls: type[Struct]) -> Mapping[str, type[Struct]]:
    """The fields that hold an object, with its Struct."""
    hints = get_type_hints(cls)
    named = zip(cls.__struct_fields__, cls.__struct_encode_fields__, strict=True)
    return {
        wire: option
        for name, wire in named
        for option in type_options(hints[name])
        if isinstance(option, type) and issubclass(option, Struct) and option is not _OneText
    }


@cache
def _names(cls: type[Struct]) -> list[tuple[str, ...]]:
    return list(_columns((), cls))
