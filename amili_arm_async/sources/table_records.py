"""Pure: the blocks of a table as judged records: columns are fields, cells become values, and rows of one document come together."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate, compress
from typing import Any, Final, NamedTuple, Protocol
from unicodedata import normalize

from msgspec import UNSET

from ..errors import SourceError
from ..values.fields import KEYS, LINES, Field
from ..values.findings import WHOLE, CellFault
from ..values.json_judge import with_line
from ..values.judge import Judge, Origin, ReadingOptions
from ..values.numbers import combine_proofs, number_proofs
from ..values.rows import NO_RECORD, NO_VALUES, RowRules
from ..values.texts import BLANKS, SHORTENED, without_marks, word_fault
from ..values.words import DASHES, NULL_WORDS
from .documents import DocumentRows, LinesOfRows, TableRows, TornDocuments, is_blank, without_rows
from .judged import JudgedBlock, JudgedLines
from .mapping import FieldMap, MappedColumn
from .refusals import Refusals, Said
from .table import BrokenRow, NestedLines, Table, TableBlock

__all__ = ["FoundLines", "LinesElsewhere", "SignProofs", "TableRecords", "compared_keys", "keys_in_broken"]

_NUMBERS: Final = frozenset({"integer", "decimal"})
_FLOAT: Final = re.compile(r"\A([+-]?[0-9]+)[.,]0+\Z", re.ASCII)
_WORDS: Final = frozenset(word.casefold() for word in NULL_WORDS | DASHES)
_LONGEST_FOOTER: Final = 200


class FoundLines(NamedTuple):
    """The lines of some documents, from another table.

    Attributes:
        columns: one for each column of the lines.
        offsets: where the lines of each document begin, and the end of the last.
        numbers: the line or row of each line in its table.
        faults: by document, what is wrong with its lines as a whole.
    """

    columns: Sequence[Sequence[Any]]
    offsets: Sequence[int]
    numbers: Sequence[int]
    faults: Mapping[int, list[Said]]


class LinesElsewhere(Protocol):
    """The lines of documents, from another table.

    Attributes:
        columns: of that table.
        origins: of these columns.
        options: how their cells are read.
        refusals: names what is wrong with a line.
    """

    @property
    def columns(self) -> Sequence[MappedColumn]: ...

    @property
    def origins(self) -> Sequence[Origin]: ...

    @property
    def options(self) -> ReadingOptions: ...

    @property
    def refusals(self) -> Refusals: ...

    def lines_of(self, keys: Sequence[str | None]) -> FoundLines:
        """Returns the lines of the documents with these keys, as they are compared."""
        ...

    def left(self, fields: Sequence[Field], line_fields: Sequence[Field]) -> Iterator[JudgedBlock]:
        """Gives the rows that are in no document, named."""
        ...


class SignProofs:
    """Finds the decimal sign of each column of numbers, by all its cells.

    Args:
        columns: those of the table that are fields.
        origins: what each column of the table was.

    Attributes:
        positions: of the columns that are looked at.
    """

    def __init__(self, columns: Iterable[MappedColumn], origins: Sequence[Origin]) -> None:
        self._columns = [one for one in columns if one.field.type in _NUMBERS and origins[one.position] == "text"]
        self.positions = [one.position for one in self._columns]
        self._proofs: dict[str, set[str]] = {one.field.path: set() for one in self._columns}

    def add(self, columns: Sequence[Sequence[Any]]) -> None:
        """Takes in the columns of the next rows."""
        for one in self._columns:
            self._proofs[one.field.path] |= number_proofs(columns[one.position])

    def proved(self) -> dict[str, str]:
        """Returns the sign of each column that proves one; `""` where its cells contradict each other."""
        signs = {path: combine_proofs([proofs]) for path, proofs in self._proofs.items()}
        return {path: sign for path, sign in signs.items() if sign is not None}


def compared_keys(cells: Sequence[Any]) -> list[str | None]:
    """Returns the cells of the column that identifies a record as they are compared; None where one is blank, a word for nothing, or a
    number that a spreadsheet has shortened.

    A row whose number a tool has marked, made one with decimals, or given invisible characters is of the record with that number: none of
    it is sent without it.
    """
    keys = _folded(cells)
    joined = "|".join(filter(None, keys))
    if not joined.isascii():
        keys = [normalize("NFC", key) if key else None for key in keys]
    if "'" in joined or not joined.isprintable():
        keys = [without_marks(key) or None if key else None for key in keys]
    if ".0" in joined or ",0" in joined:
        keys = [_FLOAT.sub(r"\1", key) if key else None for key in keys]
    if any(sign in joined for sign in "#=") or not _WORDS.isdisjoint(keys):
        keys = [None if key is not None and word_fault(cell.strip(BLANKS)) else key for key, cell in zip(keys, cells, strict=True)]
    if "e" in joined:
        keys = [None if key and SHORTENED.fullmatch(key) else key for key in keys]
    return keys


def _folded(cells: Sequence[Any]) -> list[str | None]:
    """Cells without outer blanks and without case; None where one is blank."""
    try:
        joined = "\0".join(cells)
    except TypeError:
        joined = ""
    # Without white space, a text is the only part of itself.
    if joined.isascii() and joined.split() == [joined] and joined.count("\0") == len(cells) - 1:
        folded = joined.lower().split("\0")
        return folded if all(folded) else [key or None for key in folded]  # type: ignore[return-value] # a text is one or None
    return [(cell.strip().casefold() or None) if cell else None for cell in cells]


def keys_in_broken(block: TableBlock, column: MappedColumn) -> dict[str, int]:
    """Returns the keys that the broken rows of a block seem to have, as they are compared, with the places of these rows.

    Args:
        block: the block.
        column: the column that identifies a record.
    """
    found: dict[str, int] = {}
    for broken in block.broken:
        named = broken.as_read.get(column.name) if isinstance(broken.as_read, dict) else None
        cell = broken.cells[column.position] if len(broken.cells) > column.position else named
        if isinstance(cell, str) and (key := compared_keys([cell])[0]) is not None:
            found.setdefault(key, broken.number)
    return found


class TableRecords:
    """Makes records of the blocks of one table.

    Args:
        table: what is known of it.
        fields: what the caller says of its columns.
        options: how its cells are read.
        longest: bytes of a record at the most.
        elsewhere: the lines of documents, where another table has them.

    Attributes:
        is_grouped: whether rows make documents together; known once it began.
        has_torn_documents: whether a pass over the whole table has to find the documents that are in it in several places.
        waits_for_proofs: whether blocks wait until `prove` was called.
        fields: one for each column of the records.
        line_fields: one for each column of the lines.
    """

    def __init__(
        self,
        table: Table,
        fields: FieldMap,
        *,
        options: ReadingOptions,
        longest: int,
        can_prove: bool,
        elsewhere: LinesElsewhere | None = None,
    ) -> None:
        self._table = table
        self._map = fields
        self._options = options
        self._longest = longest
        self._can_prove = can_prove and options.decimal_sign is None
        self._elsewhere = elsewhere
        self._waiting: deque[TableBlock] = deque()
        self._documents: DocumentRows | None = None
        self.torn: TornDocuments | None = None
        # Rows with a number, where each is a document.
        self._numbered = 0
        self.is_grouped = False
        self.waits_for_proofs = False

    def begin(self) -> None:
        """Takes in the header. Raises SourceError where it is wrong."""
        table, kind = self._table, self._map.kind
        found = self._map.of(table.names, table.line_paths, table.lists)
        self.columns = found.columns
        self._repeated = found.repeated
        self._header = [one for one in found.columns if not one.field.in_lines]
        self._flat = [one for one in found.columns if one.field.in_lines]
        self._nested = found.nested
        self.is_grouped = bool(self._flat)
        self._constants = [(field, value) for field, value in self._map.constants if not field.in_lines]
        of_lines = [(field, value) for field, value in self._map.constants if field.in_lines]
        given = self._flat or self._nested
        if self._elsewhere is not None:
            self._refuse_lines_twice(given)
            given = self._elsewhere.columns
        if of_lines and not given:
            self._refuse_constants_without_lines(of_lines[0][0])
        self._line_constants = of_lines
        self.fields = [*(one.field for one in self._header), *(field for field, _ in self._constants)]
        self.line_fields = [*(one.field for one in given), *(field for field, _ in self._line_constants)]
        self._key = next((at for at, field in enumerate(self.fields) if field.path == KEYS[kind]), None)
        self.refusals = Refusals(table.unit, KEYS[kind], [*found.columns, *found.nested])
        self._make_judges()
        by_position = {one.position: one.field for one in found.columns}
        self._row_rules = RowRules(kind, table.names, [by_position.get(position) for position in range(len(table.names))])

    def _refuse_constants_without_lines(self, field: Field) -> None:
        raise SourceError(f"it has no column of lines, in which the constant {field.path} could stand: add one, or leave the constant out")

    def _refuse_lines_twice(self, given: Sequence[MappedColumn]) -> None:
        if given:
            raise SourceError(f"it has lines ({given[0].name}), and another table with lines was given: give them once")
        of_lines = {field.path for field, _ in self._map.constants}
        for one in self._elsewhere.columns if self._elsewhere is not None else ():
            if one.field.path in of_lines:
                raise SourceError(f"the column {one.name} of the lines gives {one.field.path}, which is a constant too: leave one out")
        if not any(one.field.path == KEYS["documents"] for one in self._header):
            raise SourceError(f"no column is {KEYS['documents']}, by which the lines of another table are found")

    @property
    def has_torn_documents(self) -> bool:
        return self.is_grouped or self._elsewhere is not None

    @property
    def wanted(self) -> set[str]:
        """The names of the columns that are read."""
        return {one.name for one in [*self.columns, *self._nested]} | set(self._repeated.values())

    def _make_judges(self) -> None:
        kind, origins = self._map.kind, self._table.origins
        fixed: list[Origin] = ["text" for _ in [*self._constants, *self._line_constants]]
        judged = [*self.fields, *self.line_fields] if self.is_grouped else self.fields
        of_columns: list[Origin] = [origins[one.position] for one in self._header]
        constants = fixed[: len(self._constants)]
        of_lines: list[Origin] = [origins[one.position] for one in self._flat]
        every = of_columns + constants
        if self.is_grouped:
            every += of_lines + fixed[len(self._constants) :]
        self._judge = Judge(kind, judged, origins=every, options=self._options)
        self._line_judge: Judge | None = None
        if not self.is_grouped and self.line_fields:
            other = self._elsewhere
            nested = self._table.line_origins
            given: list[Origin] = [nested[one.position] for one in self._nested]
            given = list(other.origins) if other is not None else given
            every = given + fixed[len(self._constants) :]
            options = other.options if other is not None else self._options
            self._line_judge = Judge(kind, self.line_fields, origins=every, options=options)

    # --- what a pass over the whole table finds -----------------------------------------------------------------------------

    @property
    def compared_columns(self) -> Sequence[int]:
        """The positions of the columns at which `compared` and `compared_in_broken` look."""
        assert self._key is not None
        return [self._header[self._key].position]

    def compared(self, block: TableBlock) -> list[str | None]:
        """Returns the keys of the rows of a block, as they are compared."""
        assert self._key is not None
        return compared_keys(block.columns[self._header[self._key].position])

    def compared_in_broken(self, block: TableBlock) -> dict[str, int]:
        """Returns the keys that the broken rows of a block seem to have, as they are compared, with the places of these rows."""
        assert self._key is not None
        return keys_in_broken(block, self._header[self._key]) if block.broken else {}

    def sign_proofs(self) -> SignProofs:
        """Returns what finds the decimal signs of the columns."""
        return SignProofs(self.columns, self._table.origins)

    def prove(self, proved: Mapping[str, str]) -> None:
        """Takes in the decimal signs that the whole table proves."""
        self._options = replace(self._options, proved=dict(proved))
        self._can_prove = self.waits_for_proofs = False
        self._make_judges()

    # --- blocks -------------------------------------------------------------------------------------------------------------

    def add(self, blocks: Iterable[TableBlock]) -> Iterator[JudgedBlock]:
        """Takes in blocks, and gives the records that are whole with them, unless it has to wait for proofs."""
        self._waiting.extend(blocks)
        while self._waiting:
            rows = self._rows(self._waiting[0])
            if rows is None:
                self.waits_for_proofs = True
                return
            block = self._waiting.popleft()
            found = self._records(rows, block)
            if found is not None:
                yield found

    def end(self) -> Iterator[JudgedBlock]:
        """Gives the records that are whole when nothing follows."""
        if self._documents is not None and (found := self._documents.end()) is not None:
            yield found
        if self._elsewhere is not None:
            yield from self._elsewhere.left(self.fields, self.line_fields)

    def _records(self, rows: TableRows, block: TableBlock) -> JudgedBlock | None:
        if not self.is_grouped:
            return without_rows(rows, self.refusals, self.fields, self._key, self._lines(rows, block.lines))
        if self._documents is None:
            names = [one.name for one in self._flat]
            self._documents = DocumentRows(
                self.refusals, self.fields, self.line_fields, line_names=names, longest=self._longest, torn=self.torn
            )
        return self._documents.add(rows)

    def _rows(self, block: TableBlock) -> TableRows | None:
        """The rows of a block, judged; None where they have to wait for proofs."""
        count = len(block.numbers)
        columns = block.columns
        header = [columns[one.position] for one in self._header]
        flat = [columns[one.position] for one in self._flat]
        constants = [[value] * count for _, value in self._constants]
        of_lines = [[value] * count for _, value in self._line_constants] if self.is_grouped else []
        judged = self._judge.read([*header, *constants, *flat, *of_lines])
        if judged.needs_number_sign and self._can_prove:
            return None
        refused = judged.refused
        no_records = self._row_rules.find(columns)
        if not any(map(all, [*header, *flat])):
            no_records |= self._without_values([*header, *flat], block)
        if no_records:
            # What is wrong with its cells does not matter.
            refused = {**refused, **{row: [fault] for row, fault in no_records.items()}}
        for position, name in self._repeated.items():
            refused = self._without_repeated(columns[position], name, refused)
        width = len(self.fields)
        # Rows that come together are kept: then each column must be a list of its own.
        own = list if self.is_grouped else _listed
        values = [own(column) for column in judged.columns]
        cells = {one.name: own(columns[one.position]) for one in self.columns}
        keys: list[str | None] = self.compared(block) if self.is_grouped or self._elsewhere is not None else [None] * count
        if self._elsewhere is not None:
            refused = self._without_torn(keys, refused)
        rows = TableRows(values[:width], values[width:], cells, keys, list(block.numbers), refused, judged.warned)
        rows.broken = [self._named(broken) for broken in block.broken]
        return rows

    @staticmethod
    def _without_values(columns: Sequence[Sequence[Any]], block: TableBlock) -> dict[int, CellFault]:
        """The rows without any value in a column that is a field."""
        offsets = block.lines.offsets if block.lines is not None else [0] * (len(block.numbers) + 1)
        rows = [row for row in range(len(block.numbers)) if offsets[row] == offsets[row + 1]]
        return {row: NO_VALUES for row in rows if all(is_blank(column[row]) for column in columns)}

    def _named(self, broken: BrokenRow) -> BrokenRow:
        """A line that a tool has written below a table or between its pages is no row of it."""
        text = broken.as_read
        message = self._row_rules.message_of_line(text) if isinstance(text, str) and len(text) <= _LONGEST_FOOTER else None
        return broken if message is None else broken._replace(fault=message, code=NO_RECORD)

    def _without_repeated(self, column: Sequence[Any], name: str, refused: dict[int, list[CellFault]]) -> dict[int, list[CellFault]]:
        """A second column with the same name may only be blank."""
        given = [row for row, cell in enumerate(column) if cell and (not isinstance(cell, str) or cell.strip())]
        if not given:
            return refused
        fault = CellFault("repeated_column", WHOLE, f'two columns are named "{name}", and the second one has a value: remove one of them')
        return {**refused, **{row: [*refused.get(row, ()), fault] for row in given}}

    def _without_torn(self, keys: Sequence[str | None], refused: dict[int, list[CellFault]]) -> dict[int, list[CellFault]]:
        """Whose the lines of another table are is not known where several documents have their number."""
        assert self.torn is not None
        numbered = [row for row, key in enumerate(keys) if key is not None]
        again = [row for at, row in enumerate(numbered, self._numbered) if at in self.torn] if self.torn.any else []
        if self.torn.in_broken:
            again += [row for row in numbered if keys[row] in self.torn.in_broken and row not in again]
        self._numbered += len(numbered)
        if not again:
            return refused
        message = (
            f"another {self._table.unit} has this {KEYS['documents']} too, and whose the lines are is not known: give each document once"
        )
        fault = CellFault("duplicate", KEYS["documents"], message)
        return {**refused, **{row: [*refused.get(row, ()), fault] for row in again}}

    # --- lines --------------------------------------------------------------------------------------------------------------

    def _lines(self, rows: TableRows, nested: NestedLines | None) -> LinesOfRows | None:
        """The lines of the documents of a block, where a row is a document."""
        if self._line_judge is None:
            return None
        if self._elsewhere is not None:
            columns, offsets, numbers, faults = self._elsewhere.lines_of(rows.keys)
        elif nested is None:
            return LinesOfRows(JudgedLines(self.line_fields, [[] for _ in self.line_fields], [0] * (len(rows) + 1)), {})
        else:
            columns, offsets, numbers, faults = [nested.columns[one.position] for one in self._nested], nested.offsets, (), {}
        count = offsets[-1]
        judged = self._line_judge.read([*columns, *([value] * count for _, value in self._line_constants)])
        refused = {row: list(said) for row, said in faults.items()}
        for line, found in judged.refused.items():
            row = bisect_right(offsets, line) - 1
            refused.setdefault(row, []).extend(
                [self._said(rows.numbers[row], line - offsets[row], numbers, line, fault) for fault in found]
            )
        for line, found in judged.warned.items():
            row = bisect_right(offsets, line) - 1
            rows.warned.setdefault(row, []).extend([with_line(fault, line - offsets[row]) for fault in found])
        lines = JudgedLines(self.line_fields, [_listed(column) for column in judged.columns], offsets)
        return LinesOfRows(_without_blanks(lines, len(columns)), refused)

    def _said(self, row: int, place: int, numbers: Sequence[int], line: int, fault: CellFault) -> Said:
        """What is wrong with a line, with its place."""
        if self._elsewhere is not None:
            return self._elsewhere.refusals.words(numbers[line], fault), with_line(fault, place)
        words = f"{self.refusals.place(row)}, line {place + 1} of {LINES}{self.refusals.column(fault.path)}: {fault.message}"
        return words, with_line(fault, place)


def _without_blanks(lines: JudgedLines, given: int) -> JudgedLines:
    """Lines without a value are none: so a database joins documents without lines. Fields behind the given ones have one in every line."""
    fields, columns, offsets = lines
    if not columns or any(UNSET not in column for column in columns[:given]):
        return lines
    nothing = (UNSET,) * given
    is_line = [line != nothing for line in zip(*columns[:given], strict=True)]
    before = [0, *accumulate(is_line)]
    return JudgedLines(fields, [list(compress(column, is_line)) for column in columns], [before[end] for end in offsets])


def _listed(column: Sequence[Any]) -> list[Any]:
    return column if isinstance(column, list) else list(column)
