"""Pure: the columns of a table: which field each one is, by the Struct of what is read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from types import UnionType
from typing import Any, Final, Literal, TypeAlias, Union, get_args, get_origin, get_type_hints

from msgspec import Struct

from ..errors import SourceError
from ..models.customers import Customer
from ..models.documents import Document
from .values import CellError, Leaf, from_text, from_value

__all__ = ["KEYS", "LINES", "Column", "SourceKind", "convert", "known_names", "map_columns", "tree_of"]

SourceKind: TypeAlias = Literal["customers", "documents"]

KEYS: Final[dict[SourceKind, str]] = {"customers": "customerNo", "documents": "documentNo"}
"""The field that names a record."""

LINES: Final = "documentLines"
"""The field whose columns make each row one line of a document."""

Tree: TypeAlias = "dict[str, Leaf | Tree | list[Tree]]"
"""The fields of a Struct: leaves, groups, and lists of groups."""

_NUMBERS: Final = re.compile(r".*No|kid|ssn|postalCode")
_LEAVES: Final[dict[Any, Leaf]] = {str: "text", int: "integer", Decimal: "decimal", date: "date", bool: "boolean"}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        name: as the header has it.
        path: the names on the wire, from the outermost; below `documentLines` in a column of lines.
        shape: what it holds.
        in_lines: whether it belongs to the line of a document that the row is.
    """

    name: str
    path: tuple[str, ...]
    shape: Leaf | Tree | list[Tree]
    in_lines: bool

    def read(self, text: str, clear: str | None) -> Any:
        """The value of a cell that is not blank. Raises CellError."""
        shape = self.shape
        assert isinstance(shape, str)
        if text != clear:
            return from_text(shape, text)
        if shape == "texts":
            return []
        if shape in {"text", "number_as_text", "date"}:
            return ""
        raise CellError(f"a field of type {shape} can't be cleared by a blank")


@cache
def tree_of(cls: type[Struct]) -> Tree:
    """The fields of a Struct by their names on the wire."""
    hints = get_type_hints(cls)
    wires = zip(cls.__struct_fields__, cls.__struct_encode_fields__, strict=True)
    return {wire: _shape(wire, hints[name]) for name, wire in wires}


def _shape(wire: str, hint: Any) -> Leaf | Tree | list[Tree]:
    options = get_args(hint) if get_origin(hint) in {Union, UnionType} else (hint,)
    for option in options:
        if option in _LEAVES:
            leaf = _LEAVES[option]
            return "number_as_text" if leaf == "text" and _NUMBERS.fullmatch(wire) else leaf
        if isinstance(option, type) and issubclass(option, Struct) and option.__struct_fields__:
            return tree_of(option)
        if get_origin(option) is list:
            (item,) = get_args(option)
            return [tree_of(item)] if isinstance(item, type) and issubclass(item, Struct) else "texts"
    raise AssertionError(wire)


def map_columns(names: Sequence[str], kind: SourceKind, *, nested: bool = False, extra: bool = False) -> list[Column | None]:
    """The columns with these names; None for one that is passed over.

    Args:
        names: of the header.
        kind: what is read.
        nested: whether a column may hold a whole group.
        extra: whether columns that are no field are passed over.

    Raises:
        SourceError: a name is missing, there twice, or no field.
    """
    tree = tree_of(Customer if kind == "customers" else Document)
    found: list[Column | None] = []
    seen: dict[str, int] = {}
    for number, name in enumerate(names, 1):
        if not name:
            raise SourceError(f"column {number} has no name: give it one, or remove the column (a header that ends in a delimiter has one)")
        column = _column(name, tree, nested=nested)
        if column is None and not extra:
            raise SourceError(f"column {number}: {_shown(name)} is no field of {kind}{_nearest(name, tree)}")
        if (before := seen.get(name)) is not None:
            raise SourceError(f"column {number}: {_shown(name)} is there already, as column {before}")
        seen[name] = number
        found.append(column)
    for name, number in seen.items():
        if group := next((other for other in seen if other.startswith(f"{name}.")), None):
            raise SourceError(f"column {seen[group]}: {_shown(group)} is a part of column {number}, {_shown(name)}")
    if not any(found):
        raise SourceError(f"no column is a field of {kind}")
    return found


def _column(name: str, tree: Tree, *, nested: bool) -> Column | None:
    path = tuple(name.split("."))
    shape: Leaf | Tree | list[Tree] = tree
    for part in path:
        if isinstance(shape, list):
            (shape,) = shape
        if not isinstance(shape, dict) or part not in shape:
            return None
        shape = shape[part]
    if not nested and not isinstance(shape, str):
        return None
    in_lines = path[0] == LINES and len(path) > 1
    return Column(name, path[1:] if in_lines else path, shape, in_lines)


def _nearest(name: str, tree: Tree) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 - only where something is wrong

    known = {leaf.casefold(): leaf for leaf in _leaves(tree)}
    near = [full for full in known if name.casefold() in {full, full.rpartition(".")[2]}][:1]
    near = near or get_close_matches(name[:100].casefold(), known, 1)
    hint = f"; did you mean {known[near[0]]}? Otherwise" if near else ":"
    return f"{hint} remove it, or let extra columns be passed over"


@cache
def known_names(kind: SourceKind) -> frozenset[str]:
    """The names that the header of a table may have."""
    return frozenset(_leaves(tree_of(Customer if kind == "customers" else Document)))


def _leaves(tree: Tree, before: str = "") -> list[str]:
    names = []
    for name, shape in tree.items():
        inner = shape[0] if isinstance(shape, list) else shape
        names += _leaves(inner, f"{before}{name}.") if isinstance(inner, dict) else [before + name]
    return names


def _shown(name: str) -> str:
    """A name of a header, for a message."""
    plain = "".join([letter if letter.isprintable() else "?" for letter in name])
    return f'"{plain[:60]}{"..." if len(plain) > 60 else ""}"'


def convert(shape: Leaf | Tree | list[Tree], value: Any, path: str, faults: list[str], extra: bool) -> Any:
    """A value of Parquet as JSON has it; None where it is not given. Each fault is appended to `faults`, with its path."""
    if value is None or value == "":
        return None
    if isinstance(shape, str):
        try:
            return from_value(shape, value)
        except CellError as exc:
            faults.append(f"column {path}: {exc}")
            return None
    if isinstance(shape, list):
        if not isinstance(value, list):
            faults.append(f"column {path}: not a list, but a {type(value).__name__}")
            return None
        return [convert(shape[0], item, f"{path}[{place}]", faults, extra) or {} for place, item in enumerate(value)]
    if not isinstance(value, dict):
        faults.append(f"column {path}: not a group of fields, but a {type(value).__name__}")
        return None
    group = {}
    for name, item in value.items():
        if name not in shape:
            if not extra:
                faults.append(f"column {path}: {_shown(str(name))} is none of its fields")
        elif (found := convert(shape[name], item, f"{path}.{name}", faults, extra)) is not None:
            group[name] = found
    return group or None
