"""The lines of documents from a table of their own, found by the number of their document, in whatever order, in little memory."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import compress, groupby
from operator import itemgetter
from typing import Any, Final

import msgspec

from ..errors import SourceError
from ..unreadable import UnreadableRecord
from ..values.fields import KEYS, Field
from ..values.findings import WHOLE, CellFault
from ..values.judge import Origin, ReadingOptions
from ..values.rows import NO_VALUES, RowRules
from .documents import is_blank
from .judged import JudgedBlock, JudgedLines, RefusedRecord
from .mapping import FieldMap, MappedColumn
from .refusals import Refusals, Said
from .table import BrokenRow, TableBlock
from .table_inputs import Step, TableInput
from .table_records import FoundLines, SignProofs, compared_keys, keys_in_broken

__all__ = ["LinesTable"]

_KEY: Final = KEYS["documents"]
_AT_ONCE: Final = 500
_MOST_LINES: Final = 100_000

_TABLES: Final = """
CREATE TABLE runs (run INTEGER PRIMARY KEY, key TEXT NOT NULL, rows BLOB NOT NULL);
CREATE TABLE faults (key TEXT NOT NULL, words TEXT NOT NULL, code TEXT NOT NULL);
CREATE TABLE named (number INTEGER NOT NULL, code TEXT NOT NULL, words TEXT NOT NULL, as_read BLOB NOT NULL);
"""


class _Run(msgspec.Struct, array_like=True, gc=False):
    """Rows with the same number that follow each other."""

    numbers: list[int]
    columns: list[list[Any]]


class LinesTable:
    """The lines of documents. Its rows are kept in a temporary database, which has no name and which only this user can read.

    Args:
        source: where its blocks come from.
        fields: what the caller says of its columns.
        options: how its cells are read.
        can_prove: whether its numbers tell which sign stands before decimals.
        name: of the file, for messages.
        optional: whether lines without a document, and documents without lines, are in order.

    Attributes:
        columns: of the table, without the number of the document.
        origins: of these columns.
        options: how their cells are read; right once all was read.
        refusals: names what is wrong with a line.
    """

    def __init__(
        self, source: TableInput, fields: FieldMap, *, options: ReadingOptions, can_prove: bool, name: str, optional: bool
    ) -> None:
        self.columns: list[MappedColumn] = []
        self.origins: list[Origin] = []
        self.options = options
        self.refusals = Refusals(source.table.unit, _KEY, (), name)
        self._source = source
        self._fields = fields
        self._name = name
        self._optional = optional
        self._can_prove = can_prove and options.decimal_sign is None
        self._proofs: SignProofs | None = None
        self._begun = False
        # A database without a name is a temporary file that SQLite removes when it is opened.
        self._database = sqlite3.connect("", check_same_thread=False, isolation_level=None)
        self._database.executescript(_TABLES)
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(_Run).decode
        self._used = bytearray()
        self._last_key: str | None = None
        self._broken: BrokenRow | None = None

    def close(self) -> None:
        """Gives the room on the disk back."""
        self._database.close()

    # --- reading ------------------------------------------------------------------------------------------------------------

    def take(self, step: Step) -> None:
        """Takes in the next rows; to be called in a thread. Raises SourceError."""
        blocks = step()
        table = self._source.table
        if not self._begun:
            if not table.names:
                return
            self._begin()
        try:
            self._database.execute("BEGIN")
            for block in blocks:
                self._add(block)
            self._database.execute("COMMIT")
        except sqlite3.Error as exc:
            raise SourceError(f"its lines can't be put on the disk ({exc})") from exc

    def _begin(self) -> None:
        table = self._source.table
        found = self._fields.of(table.names, table.line_paths, table.lists)
        self._key_column = next(one for one in found.columns if one.field.path == _KEY)
        self._key = self._key_column.position
        self.columns = [one for one in found.columns if one.field.path != _KEY]
        if not self.columns:
            raise SourceError("no column is a field of the lines of documents")
        self.origins = [table.origins[one.position] for one in self.columns]
        self.refusals = Refusals(table.unit, _KEY, found.columns, self._name)
        self._proofs = SignProofs(found.columns, table.origins) if self._can_prove else None
        self._given = found.columns
        self._repeated = found.repeated
        by_position = {one.position: one.field for one in found.columns}
        self._row_rules = RowRules("documents", table.names, [by_position.get(place) for place in range(len(table.names))])
        self._source.select({one.name for one in found.columns} | set(found.repeated.values()))
        self._begun = True

    def _add(self, block: TableBlock) -> None:
        """Takes in the rows of a block, and the broken ones between them."""
        columns = [block.columns[one.position] for one in self.columns]
        keys = compared_keys(block.columns[self._key])
        if self._proofs is not None:
            self._proofs.add(block.columns)
        apart = self._apart(block, keys)
        for key, number in (keys_in_broken(block, self._key_column) if block.broken else {}).items():
            self._put_fault(key, f"{self.refusals.place(number)} can't be read, and may be one of its lines")
        begin = 0
        for at, broken in apart:
            self._add_runs(keys, columns, block.numbers, begin, at)
            if broken is None:
                begin = at + 1
            else:
                begin = at + (broken.before < 0)
                self._name_broken(broken)
        self._add_runs(keys, columns, block.numbers, begin, len(keys))

    def _apart(self, block: TableBlock, keys: Sequence[str | None]) -> list[tuple[int, BrokenRow | None]]:
        """The rows that are not kept, by where they stand: broken ones, lines without a number (`before` is -1), and what is no line."""
        apart: list[tuple[int, BrokenRow | None]] = [(broken.before, broken._replace(before=0)) for broken in block.broken]
        no_records = self._row_rules.find(block.columns)
        unnumbered = [row for row, key in enumerate(keys) if key is None]
        no_records |= {row: NO_VALUES for row in unnumbered if all(is_blank(block.columns[one.position][row]) for one in self._given)}
        repeated = {row for place in self._repeated for row, cell in enumerate(block.columns[place]) if cell and str(cell).strip()}
        for row, key in enumerate(keys):
            if row in no_records:
                self._put_named(block.numbers[row], no_records[row], self._as_read(block, row))
                apart.append((row, None))
            elif key is None or row in repeated:
                fault = f"a line without {_KEY}: give it the number of its document" if key is None else "a column is named twice"
                apart.append((row, BrokenRow(-1, block.numbers[row], fault, self._as_read(block, row))))
        return sorted(apart, key=itemgetter(0)) if apart else apart

    def _as_read(self, block: TableBlock, row: int) -> dict[str, Any]:
        return {one.name: block.columns[one.position][row] for one in self.columns}

    def _add_runs(self, keys: Sequence[str | None], columns: Sequence[Sequence[Any]], numbers: Sequence[int], begin: int, end: int) -> None:
        if begin >= end:
            return
        rows: list[tuple[str, bytes]] = []
        for key, some in groupby(range(begin, end), keys.__getitem__):
            first, *rest = some
            last = rest[-1] + 1 if rest else first + 1
            assert key is not None
            rows.append((key, self._encode(_Run(list(numbers[first:last]), [list(column[first:last]) for column in columns]))))
        if self._broken is not None:
            self._put_beside(rows[0][0], self._broken, "before")
            self._broken = None
        self._database.executemany("INSERT INTO runs (key, rows) VALUES (?, ?)", rows)
        self._last_key = rows[-1][0]

    def _name_broken(self, broken: BrokenRow) -> None:
        """A row that may be a line of the document before it or after it: these are not sent without it."""
        self._put_named(broken.number, CellFault(broken.code, WHOLE, broken.fault), broken.as_read)
        if self._last_key is not None:
            self._put_beside(self._last_key, broken, "after")
            self._last_key = None
        self._broken = broken

    def _put_beside(self, key: str, broken: BrokenRow, where: str) -> None:
        self._put_fault(key, f"{self.refusals.place(broken.number)} {where} its lines can't be read, and may be one of them")

    def _put_fault(self, key: str, words: str) -> None:
        self._database.execute("INSERT INTO faults VALUES (?, ?, ?)", (key, words, "broken_neighbour"))

    def _put_named(self, number: int, fault: CellFault, as_read: Any) -> None:
        words = self.refusals.words(number, fault)
        self._database.execute("INSERT INTO named VALUES (?, ?, ?, ?)", (number, fault.code, words, self._encode(as_read)))

    def end(self) -> None:
        """Makes the lines ready to be found; to be called in a thread. Raises SourceError."""
        if not self._begun:
            raise SourceError("it has no header")
        if self._proofs is not None:
            self.options = replace(self.options, proved=self._proofs.proved())
        try:
            self._database.execute("CREATE INDEX by_key ON runs (key)")
            self._database.execute("CREATE INDEX faults_by_key ON faults (key)")
            (count,) = self._database.execute("SELECT max(run) FROM runs").fetchone()
        except sqlite3.Error as exc:
            raise SourceError(f"its lines can't be put on the disk ({exc})") from exc
        self._used = bytearray(((count or 0) >> 3) + 1)

    # --- finding ------------------------------------------------------------------------------------------------------------

    def lines_of(self, keys: Sequence[str | None]) -> FoundLines:
        """Returns the lines of the documents with these keys, as they are compared."""
        runs: dict[str, list[_Run]] = {}
        faults: dict[str, list[Said]] = {}
        wanted = list(dict.fromkeys([key for key in keys if key is not None]))
        for start in range(0, len(wanted), _AT_ONCE):
            some = wanted[start : start + _AT_ONCE]
            marks = ",".join("?" * len(some))
            for run, key, rows in self._database.execute(f"SELECT run, key, rows FROM runs WHERE key IN ({marks}) ORDER BY run", some):  # noqa: S608
                runs.setdefault(key, []).append(self._decode(rows))
                self._used[run >> 3] |= 1 << (run & 7)
            for key, words, code in self._database.execute(f"SELECT key, words, code FROM faults WHERE key IN ({marks})", some):  # noqa: S608
                faults.setdefault(key, []).append((words, CellFault(code, WHOLE, words)))
        return self._joined(keys, runs, faults)

    def _joined(self, keys: Sequence[str | None], runs: dict[str, list[_Run]], faults: dict[str, list[Said]]) -> FoundLines:
        columns: list[list[Any]] = [[] for _ in self.columns]
        numbers: list[int] = []
        offsets = [0]
        said: dict[int, list[Said]] = {}
        for row, key in enumerate(keys):
            found = runs.get(key, ()) if key is not None else ()
            for run in found:
                # A number alone is no line: so a database joins documents without lines.
                given = [any(not is_blank(cell) for cell in cells) for cells in zip(*run.columns, strict=True)]
                numbers += compress(run.numbers, given)
                for column, cells in zip(columns, run.columns, strict=True):
                    column.extend(compress(cells, given))
            offsets.append(len(numbers))
            if key is not None and key in faults:
                said[row] = list(faults[key])
            elif offsets[-1] == offsets[-2] and not self._optional:
                remedy = "let documents have no lines (lines_optional=True, --lines-optional), or add them"
                words = f"no line in {self._name} has its {_KEY}: {remedy}"
                said[row] = [(words, CellFault("no_lines", WHOLE, words))]
            elif offsets[-1] - offsets[-2] > _MOST_LINES:
                words = f"it has more than {_MOST_LINES} lines in {self._name}"
                said[row] = [(words, CellFault("too_large", WHOLE, words))]
        return FoundLines(columns, offsets, numbers, said)

    # --- what is left -------------------------------------------------------------------------------------------------------

    def left(self, fields: Sequence[Field], line_fields: Sequence[Field]) -> Iterator[JudgedBlock]:
        """Gives the rows that are in no document, named; their numbers are below zero, as they are of another file."""
        found: list[RefusedRecord] = []
        for one in self._left():
            found.append(one)
            if len(found) == _AT_ONCE:
                yield _block(fields, line_fields, found)
                found = []
        if found:
            yield _block(fields, line_fields, found)

    def _left(self) -> Iterator[RefusedRecord]:
        with closing(self._database.execute("SELECT number, code, words, as_read FROM named ORDER BY rowid")) as rows:
            for number, code, words, as_read in rows:
                said = words, CellFault(code, WHOLE, words)
                yield RefusedRecord(0, -number, self.refusals.refused([said], None, msgspec.msgpack.decode(as_read)))
        if self._optional:
            return
        names = [one.name for one in self.columns]
        fault = CellFault(
            "no_document",
            _KEY,
            f"no document has this {_KEY}: add it, or let lines have no document (lines_optional=True, --lines-optional)",
        )
        with closing(self._database.execute("SELECT run, key, rows FROM runs ORDER BY run")) as runs:
            for run, key, rows in runs:
                if self._used[run >> 3] & 1 << (run & 7):
                    continue
                made = self._decode(rows)
                for at, number in enumerate(made.numbers):
                    as_read = {name: column[at] for name, column in zip(names, made.columns, strict=True)}
                    yield RefusedRecord(0, -number, self._unmatched(number, fault, key, as_read))

    def _unmatched(self, number: int, fault: CellFault, key: str, as_read: dict[str, Any]) -> UnreadableRecord:
        return self.refusals.refused([self.refusals.said(number, fault)], key, as_read)


def _block(fields: Sequence[Field], line_fields: Sequence[Field], found: Sequence[RefusedRecord]) -> JudgedBlock:
    lines = JudgedLines(line_fields, [[] for _ in line_fields], [0])
    return JudgedBlock(fields, [[] for _ in fields], [], [], {}, found, lines)
