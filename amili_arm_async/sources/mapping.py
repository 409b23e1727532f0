"""Pure: which field each column of a table is, and which fields have the same value in every record."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from ..errors import ConfigurationError, SourceError
from ..values.fields import KEYS, LINES, Field, RecordKind, fields_of
from ..values.judge import Judge, ReadingOptions

if TYPE_CHECKING:
    from .likeness import ColumnGuess

__all__ = ["NO_HEADER", "FieldMap", "MappedColumn", "Part", "TableMap", "field_names", "nearest_field"]

Part: TypeAlias = Literal["records", "lines"]
"""What a table holds: records, or the lines of documents whose other fields are in another table."""

_MOST_NAMED: Final = 20
_LONGEST_NAME: Final = 60

NO_HEADER: Final = "the first row holds values, not the names of columns: put a row with the name of each column before it"
_VALUE: Final = re.compile(r"(?=(\D*\d){3})[-+\d\s.,:/]+|\S+@\S+\.\S+")
"""A number, a date or an e-mail address: no name of a column."""


@dataclass(frozen=True, slots=True)
class MappedColumn:
    """A column that is a field.

    Attributes:
        position: among the columns of the table, or among its `line_paths`.
        name: as the header has it.
        field: which field it is.
    """

    position: int
    name: str
    field: Field


@dataclass(frozen=True, slots=True)
class TableMap:
    """What the columns of a table are.

    Attributes:
        columns: those that are fields, in their order.
        nested: those of the lines that a column holds as a list.
        repeated: for each position whose column has the name of an earlier one, that name: its cells have to be blank.
    """

    columns: Sequence[MappedColumn]
    nested: Sequence[MappedColumn]
    repeated: Mapping[int, str]


class FieldMap:
    """What a caller says of the columns of a table.

    Args:
        kind: what the records are.
        columns: for names of the header, the path of the field that each is.
        constants: for paths of fields, the value that each has in every record.
        extra: whether columns that are no field are passed over.
        part: what the table holds.
        options: how the constants are read.

    Attributes:
        constants: the fields that have the same value in every record, with that value.

    Raises:
        ConfigurationError: a path is no field, a field is given twice, or a constant is no value of its field.
    """

    def __init__(
        self,
        kind: RecordKind,
        columns: Mapping[str, str] | None = None,
        constants: Mapping[str, str] | None = None,
        *,
        extra: bool = False,
        part: Part = "records",
        options: ReadingOptions | None = None,
    ) -> None:
        self.kind: RecordKind = kind
        self.part: Part = part
        self.extra = extra
        self._fields = field_names(kind, part)
        argument = "columns" if part == "records" else "line_columns"
        self._columns = {name.strip(): self._field(path, f"{argument}: {_shown(name)}") for name, path in (columns or {}).items()}
        given: dict[str, str] = {}
        for name, field in self._columns.items():
            if (before := given.setdefault(field.path, name)) != name:
                raise ConfigurationError(f"{argument}: {_shown(before)} and {_shown(name)} are both {field.path}: leave one out")
        self.constants = [(self._field(path, "constants"), value) for path, value in (constants or {}).items()]
        for field, value in self.constants:
            if field.path in given:
                raise ConfigurationError(f"constants: {field.path} is the column {_shown(given[field.path])} too: leave one out")
            if field.path == KEYS[kind]:
                raise ConfigurationError(f"constants: {field.path} is the number of a record, and can't be the same in all")
            self._check_constant(field, value, options or ReadingOptions())

    @property
    def known_names(self) -> frozenset[str]:
        """The names that a header may have."""
        return frozenset(self._fields) | frozenset(self._columns)

    def _field(self, path: str, where: str) -> Field:
        if not isinstance(path, str) or (field := self._fields.get(path.strip())) is None:
            raise ConfigurationError(
                f"{where}: {_shown(str(path))} is no field of {self._whose}{_did_you_mean(str(path), self.kind, self.part)}"
            )
        return field

    def _check_constant(self, field: Field, value: str, options: ReadingOptions) -> None:
        if not isinstance(value, str) or not value.strip():
            raise ConfigurationError(f"constants: {field.path}: give the value as a text, as it would stand in a cell")
        refused = Judge(self.kind, [field], options=options).read([[value]]).refused
        if faults := refused.get(0):
            raise ConfigurationError(f"constants: {field.path}: {faults[0].message}")

    @property
    def _whose(self) -> str:
        return self.kind if self.part == "records" else "the lines of documents"

    # --- the header -------------------------------------------------------------------------------------------------------

    def of(self, names: Sequence[str], line_paths: Sequence[str] = (), lists: Collection[str] = ()) -> TableMap:
        """Returns what the columns of a table are.

        Args:
            names: its header.
            line_paths: the fields of its lines, where a column holds them as a list.
            lists: the names of columns whose cells are lists of texts.

        Raises:
            SourceError: columns are no fields, or not all that is wanted is there.
        """
        found, unknown = self._found(names)
        if not found and self.hold_values(names):
            raise SourceError(NO_HEADER)
        nested = [MappedColumn(position, path, self._fields[path]) for position, path in enumerate(line_paths) if path in self._fields]
        unknown += [(None, path) for path in line_paths if path not in self._fields]
        if missing := [name for name in self._columns if name not in set(map(str.strip, names))]:
            raise SourceError(self._not_there(missing, names))
        if unknown and not self.extra:
            raise SourceError(self._unknown(unknown))
        columns, repeated = self._once(found)
        self._check_whole(columns, nested)
        if one := next((one for one in [*columns, *nested] if one.name in lists and one.field.type != "texts"), None):
            raise SourceError(f"column {_shown(one.name)} holds lists, and {one.field.path} has one value: give each row one value")
        return TableMap(columns, nested, {} if self.extra else repeated)

    def _found(self, names: Sequence[str]) -> tuple[list[MappedColumn], list[tuple[int | None, str]]]:
        found: list[MappedColumn] = []
        unknown: list[tuple[int | None, str]] = []
        for position, name in enumerate(map(str.strip, names)):
            field = self._columns.get(name) or self._fields.get(name)
            if field is not None:
                found.append(MappedColumn(position, name, field))
            elif name:
                unknown.append((position + 1, name))
        return found, unknown

    def _once(self, found: Sequence[MappedColumn]) -> tuple[list[MappedColumn], dict[int, str]]:
        """The first column of each field; and those that repeat its name."""
        first: dict[str, MappedColumn] = {}
        repeated: dict[int, str] = {}
        constant = {field.path for field, _ in self.constants}
        for column in found:
            path = column.field.path
            if path in constant:
                raise SourceError(
                    f"column {column.position + 1}, {_shown(column.name)}, gives {path}, which is a constant too: leave one out"
                )
            before = first.setdefault(path, column)
            if before.name != column.name:
                both = f"columns {before.position + 1}, {_shown(before.name)}, and {column.position + 1}, {_shown(column.name)},"
                raise SourceError(f"{both} are both {path}: keep one of them")
            if before is not column:
                repeated[column.position] = column.name
        return list(first.values()), repeated

    def _check_whole(self, columns: Sequence[MappedColumn], nested: Sequence[MappedColumn]) -> None:
        in_lines = [column for column in columns if column.field.in_lines]
        if nested and in_lines:
            raise SourceError(f"{LINES} is given as a list and as columns too ({_shown(in_lines[0].name)}): keep one of them")
        if not columns:
            raise SourceError(f"no column is a field of {self._whose}: say which field each column is, with {_example([], self.part)}")
        key = KEYS[self.kind]
        if not any(column.field.path == key for column in columns) and (self.kind == "customers" or in_lines or self.part == "lines"):
            hint = _example([("...", key)], self.part)
            raise SourceError(f"no column is {key}, the number of a record: say which column it is, with {hint}")

    def _not_there(self, missing: Sequence[str], names: Sequence[str]) -> str:
        from difflib import get_close_matches  # noqa: PLC0415 - only where something is wrong

        known = {name.strip().casefold(): name.strip() for name in names if name.strip()}
        said = []
        for name in missing[:_MOST_NAMED]:
            near = get_close_matches(name.casefold()[:100], known, 1)
            said.append(_shown(name) + (f" (did you mean {_shown(known[near[0]])}?)" if near else ""))
        are = "this mapped column is" if len(missing) == 1 else "these mapped columns are"
        return f"{are} not in the header: {', '.join(said)}{_more(missing)}"

    def _unknown(self, unknown: Sequence[tuple[int | None, str]]) -> str:
        said: list[str] = []
        pairs: list[tuple[str, str]] = []
        nearest = self._nearest([name for _, name in unknown[:_MOST_NAMED]])
        for (number, name), near in zip(unknown, nearest, strict=False):
            place = f"column {number}, " if number is not None else ""
            said.append(f"{place}{_shown(name)}" + (f" (did you mean {near}?)" if near else ""))
            if near is not None and near not in {path for _, path in pairs}:
                pairs.append((name, near))
        are = "1 column is no field" if len(unknown) == 1 else f"{len(unknown)} columns are no field"
        remedy = f"say which field each is, with {_example(pairs, self.part)}, or pass over them with extra_columns=True (--extra-columns)"
        return f"{are} of {self._whose}: {'; '.join(said)}{_more(unknown)}: {remedy}"

    def _nearest(self, names: Sequence[str]) -> list[str | None]:
        """The field that each name is likely to mean, by what exports call their columns or by its letters."""
        return [guess.field or nearest_field(guess.name, self.kind, self.part) for guess in self._guesses(names)]

    def _guesses(self, names: Sequence[str]) -> Sequence[ColumnGuess]:
        from .likeness import propose  # noqa: PLC0415 - only where something is wrong

        short = [name[:_LONGEST_NAME] for name in names]
        return propose(self.kind if self.part == "records" else "lines", short, [() for _ in short]).columns

    def hold_values(self, names: Sequence[str]) -> bool:
        """Returns whether names of columns must be the values of a record: then no message may show them.

        Args:
            names: the first row of a table.
        """
        values = sum(_VALUE.fullmatch(name.strip()) is not None for name in names)
        return values > 0 and sum(guess.field is not None for guess in self._guesses(names[:_MOST_NAMED])) < values


def _more(every: Sequence[object]) -> str:
    return f" and {len(every) - _MOST_NAMED} more" if len(every) > _MOST_NAMED else ""


def _example(pairs: Sequence[tuple[str, str]], part: Part) -> str:
    """The mapping that is wanted, to be pasted."""
    some = list(pairs) or [("Fakturanr", "documentNo") if part == "lines" else ("Kundenr", "customerNo")]
    mapping = ", ".join([f'{_shown(column)}: "{path}"' for column, path in some])
    name, option = ("line_columns", "--line-column") if part == "lines" else ("columns", "--column")
    words = " ".join([f"{option} {_quoted(f'{_plain(column)}={path}')}" for column, path in some])
    return f"{name}={{{mapping}}} ({words})"


def _quoted(word: str) -> str:
    import shlex  # noqa: PLC0415 - only where something is wrong

    return word if word.isalnum() or all(letter.isalnum() or letter in "=._-" for letter in word) else shlex.quote(word)


@cache
def field_names(kind: RecordKind, part: Part = "records") -> Mapping[str, Field]:
    """Returns the names that columns may have without being mapped, and the field that each is.

    Args:
        kind: what the records are.
        part: what the table holds.
    """
    fields = fields_of(kind)
    if part == "records":
        return fields
    key = KEYS[kind]
    lines = [field for field in fields.values() if field.in_lines]
    return {key: fields[key]} | {field.path: field for field in lines} | {".".join(field.names): field for field in lines}


def nearest_field(name: str, kind: RecordKind, part: Part = "records") -> str | None:
    """Returns the path of the field whose name is most like a name.

    Args:
        name: the name of a column.
        kind: what the records are.
        part: what the table holds.

    Returns:
        None where none is like it.
    """
    from difflib import get_close_matches  # noqa: PLC0415 - only where something is wrong

    known = {path.casefold(): path for path in field_names(kind, part)}
    plain = name.strip().casefold()[:100]
    same = [path for folded, path in known.items() if plain in {folded, folded.rpartition(".")[2]}]
    near = same[:1] or [known[found] for found in get_close_matches(plain, known, 1)]
    return near[0] if near else None


def _did_you_mean(name: str, kind: RecordKind, part: Part) -> str:
    near = nearest_field(name, kind, part)
    return f"; did you mean {near}?" if near else "; amili-arm fields lists them"


def _plain(name: str) -> str:
    plain = "".join([letter if letter.isprintable() else "?" for letter in name])
    return f"{plain[:60]}{'...' if len(plain) > 60 else ''}"


def _shown(name: str) -> str:
    """A name of a header, for a message."""
    return f'"{_plain(name)}"'
