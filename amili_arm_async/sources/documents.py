"""Pure: rows of a table, each a line of a document, put together as documents; and which documents' rows do not stand together."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import accumulate, chain, compress, repeat
from operator import itemgetter, ne, sub
from typing import Any, Final, TypeAlias

from msgspec import UNSET, Raw

from ..bulk.canonical import as_key, is_plain
from ..bulk.key_hashes import KeyHashes, repeats
from ..values.fields import KEYS, Field
from ..values.findings import WHOLE, CellFault
from ..values.rows import NO_RECORD
from .judged import JudgedBlock, JudgedLines, RefusedRecord
from .refusals import Refusals, Said
from .table import BrokenRow

__all__ = ["DocumentRows", "LinesOfRows", "RunCounter", "TableRows", "TornDocuments", "is_blank", "keys_of", "without_rows"]

MOST_ROWS: Final = 100_000
"""Rows of a document: each is an object here, however short its text."""

_MOST_BROKEN: Final = 1000
_MOST_FAULTS: Final = 100
_MOST_KEPT: Final = 100_000
"""Numbers in broken rows that are kept."""

_BESIDE: Final = "broken_neighbour"
"""The code of a document beside a row that may be a line of it."""

_BrokenRows: TypeAlias = dict[int, list[BrokenRow]]
"""By the position of a document."""


def keys_of(values: Sequence[Any]) -> list[str | None]:
    """Returns values of the field that identifies a record as keys.

    Args:
        values: texts, or UNSET.
    """
    try:
        text = "".join(values)
    except TypeError:
        text = " "
    # Without white space, a text is the only part of itself.
    if all(values) and text.split() == [text] and is_plain(text):
        return list(values)
    return [as_key(value) if value is not UNSET else None for value in values]


@dataclass(slots=True)
class TableRows:
    """Rows of a table that were judged.

    Attributes:
        columns: the values of the fields of the records.
        lines: the values of the fields of their lines.
        cells: all that stood in the rows, by the names of the header.
        keys: the number of the record as it is compared, None where the cell is blank.
        numbers: the line or row of each.
        refused: by row, why it can't be sent.
        warned: by row, what is odd.
        runs: where rows come together, the number of the run that each is in, None where the number of the record is blank.
        broken: rows that are in no column.
    """

    columns: list[list[Any]]
    lines: list[list[Any]]
    cells: dict[str, list[Any]]
    keys: list[str | None]
    numbers: list[int]
    refused: dict[int, list[CellFault]]
    warned: dict[int, list[CellFault]]
    runs: list[int | None] = field(default_factory=list)
    broken: list[BrokenRow] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.numbers)

    def extend(self, other: TableRows) -> None:
        """Appends rows."""
        base = len(self)
        for mine, theirs in zip(self._lists(), other._lists(), strict=True):
            mine.extend(theirs)
        self.refused.update({base + row: faults for row, faults in other.refused.items()})
        self.warned.update({base + row: faults for row, faults in other.warned.items()})
        self.broken += [broken._replace(before=base + broken.before) for broken in other.broken]

    def drop(self, count: int) -> None:
        """Removes the first rows, with the broken ones up to there."""
        for mine in self._lists():
            del mine[:count]
        self.refused = {row - count: faults for row, faults in self.refused.items() if row >= count}
        self.warned = {row - count: faults for row, faults in self.warned.items() if row >= count}
        self.broken = [broken._replace(before=broken.before - count) for broken in self.broken if broken.before > count]

    def keep_first(self) -> None:
        """Removes all rows but the first; the broken ones stay, before it or behind it."""
        count = len(self)
        for mine in self._lists():
            del mine[1:]
        self.refused = {row: faults for row, faults in self.refused.items() if not row}
        self.warned = {row: faults for row, faults in self.warned.items() if not row}
        self.broken = [broken._replace(before=int(broken.before >= count)) for broken in self.broken]

    def as_read(self, row: int) -> dict[str, Any]:
        """Returns what stood in a row."""
        return {name: column[row] for name, column in self.cells.items()}

    def _lists(self) -> list[list[Any]]:
        return [*self.columns, *self.lines, *self.cells.values(), self.keys, self.numbers, self.runs]


def without_rows(
    rows: TableRows, refusals: Refusals, fields: Sequence[Field], key: int | None, lines: LinesOfRows | None = None
) -> JudgedBlock:
    """Returns rows as records, each its own.

    Args:
        rows: the rows.
        refusals: names those that can't be sent.
        fields: of the columns.
        key: the position of the field that identifies a record.
        lines: of documents.
    """
    numbers, columns = rows.numbers, rows.columns
    bad = sorted(rows.refused.keys() | lines.refused.keys()) if lines is not None else sorted(rows.refused)
    if not bad and not rows.broken:
        keys = keys_of(columns[key]) if key is not None else [None] * len(numbers)
        return JudgedBlock(fields, columns, keys, numbers, rows.warned, (), lines.judged if lines is not None else None)
    refused = [(broken.before, 0, broken.number, _unreadable(broken, refusals)) for broken in rows.broken]
    for row in bad:
        faults = [refusals.said(numbers[row], fault) for fault in rows.refused.get(row, ())]
        if lines is not None and not any(fault.code == NO_RECORD for _, fault in faults):
            faults += lines.refused.get(row, ())
        refused.append((row, 1, numbers[row], refusals.refused(faults, _key_text(rows, row, key), rows.as_read(row))))
    refused.sort(key=lambda one: one[:2])
    records = [RefusedRecord(row - bisect_left(bad, row), number, record) for row, _, number, record in refused]
    gone = set(bad)
    places = [row for row in range(len(numbers)) if row not in gone]
    columns = [[column[row] for row in places] for column in columns]
    keys = keys_of(columns[key]) if key is not None else [None] * len(places)
    warned = {at: rows.warned[row] for at, row in enumerate(places) if row in rows.warned}
    judged = lines.of(places) if lines is not None else None
    return JudgedBlock(fields, columns, keys, [numbers[row] for row in places], warned, records, judged)


@dataclass(slots=True)
class LinesOfRows:
    """The lines of documents that are not in rows of their own.

    Attributes:
        judged: the lines of all rows.
        refused: by row, what is wrong with its lines.
    """

    judged: JudgedLines
    refused: Mapping[int, Sequence[Said]]

    def of(self, rows: Sequence[int]) -> JudgedLines:
        """Returns the lines of some rows."""
        fields, columns, offsets = self.judged
        places = [line for row in rows for line in range(offsets[row], offsets[row + 1])]
        counts = [offsets[row + 1] - offsets[row] for row in rows]
        return JudgedLines(fields, [[column[line] for line in places] for column in columns], [0, *accumulate(counts)])


def _unreadable(broken: BrokenRow, refusals: Refusals) -> Any:
    return refusals.refused([refusals.said(broken.number, CellFault(broken.code, WHOLE, broken.fault))], None, broken.as_read)


def _key_text(rows: TableRows, row: int, key: int | None) -> str | None:
    """The number of a record that is refused, unless that is what is wrong with it."""
    value = rows.columns[key][row] if key is not None else UNSET
    return as_key(value) if value is not UNSET else None


# --- rows that stand together ---------------------------------------------------------------------------------------------


class RunCounter:
    """Counts runs: rows with the same number that follow each other."""

    def __init__(self) -> None:
        self.count = 0
        self._last: str | None = None

    def starts(self, keys: Sequence[str | None]) -> list[bool]:
        """Returns for the next rows whether each begins a run, and counts these."""
        if not keys:
            return []
        found = list(map(ne, keys, chain([self._last], keys)))
        if None in keys:
            found = [begins and key is not None for begins, key in zip(found, keys, strict=True)]
        self._last = keys[-1]
        self.count += sum(found)
        return found


class TornDocuments:
    """Finds the documents whose rows do not stand together, by the keys of all rows, in little memory (see `KeyHashes`).

    Args:
        rows_are_whole: whether each row is a document: then these are the rows that have the number of another one.

    Attributes:
        in_broken: the keys that broken rows seem to have, wherever they stand, with the places of these rows.
    """

    def __init__(self, *, rows_are_whole: bool = False) -> None:
        self._rows_are_whole = rows_are_whole
        self._runs = RunCounter()
        self._hashes = KeyHashes(keep_keys=True)
        self._torn: bytearray | None = None
        self.in_broken: dict[str, int] = {}

    def add_broken(self, keys: Mapping[str, int]) -> None:
        """Takes in the keys that broken rows seem to have, with the places of these rows; of very many, the first."""
        if len(self.in_broken) < _MOST_KEPT:
            self.in_broken |= keys

    def add(self, keys: Sequence[str | None]) -> None:
        """Takes in the keys of the next rows, as they are compared."""
        if self._rows_are_whole:
            numbered = list(filter(None, keys))
            self._runs.count += len(numbered)
            self._hashes.add(numbered)
        else:
            self._hashes.add(list(compress(keys, self._runs.starts(keys))))

    def find(self) -> Iterator[None]:
        """Compares the keys, a part at a time."""
        torn: bytearray | None = None
        for found in repeats(self._hashes):
            if found is not None:
                torn = torn or bytearray((self._runs.count >> 3) + 1)
                (later, _), earlier = found
                for run in (later, earlier):
                    torn[run >> 3] |= 1 << (run & 7)
            yield None
        self._torn = torn
        self.close()

    def __contains__(self, run: int) -> bool:
        return self._torn is not None and run >> 3 < len(self._torn) and bool(self._torn[run >> 3] & 1 << (run & 7))

    @property
    def any(self) -> bool:
        """Whether there are such documents."""
        return self._torn is not None

    def close(self) -> None:
        """Gives the room on the disk back."""
        self._hashes.close()


# --- documents ------------------------------------------------------------------------------------------------------------


class DocumentRows:
    """Makes documents of rows.

    A document is a run of rows with the same number. A row that could not be split into cells, or that has a line and no number, may be a
    line of the document before it or after it: those are not sent without it.

    Args:
        refusals: names the documents that can't be sent.
        fields: of the columns of the documents.
        line_fields: of the columns of the lines.
        line_names: the names of the columns of the lines. Fields behind these have the same value in every line, and make no line.
        longest: bytes of a document at the most.
        torn: the documents whose rows do not stand together.
    """

    def __init__(
        self,
        refusals: Refusals,
        fields: Sequence[Field],
        line_fields: Sequence[Field],
        *,
        line_names: Sequence[str],
        longest: int,
        torn: TornDocuments | None,
    ) -> None:
        self._refusals = refusals
        self._fields = fields
        self._line_fields = line_fields
        self._line_names = line_names
        self._given = len(line_names)
        self._longest = longest
        self._torn = torn
        self._key = next(position for position, one in enumerate(fields) if one.path == KEYS["documents"])
        self._runs = RunCounter()
        self._rows: TableRows | None = None
        self._starts: list[int] = []
        # The run of each document under way, None where it has no number.
        self._run_of: list[int | None] = []
        self._last_run: int | None = None
        # Of the first document under way, whose other rows are not kept.
        self._carried: list[Said] = []
        # Before that, a row that may be a line of it.
        self._broken_before: BrokenRow | None = None
        self._size = 0
        self._is_too_long = False

    def add(self, rows: TableRows) -> JudgedBlock | None:
        """Takes in rows, and returns the documents that are whole with them; None where there are none."""
        # As all rows are counted when the table is looked at whole.
        first = self._runs.count - 1
        counts = accumulate(self._runs.starts(rows.keys), initial=first)
        next(counts)
        rows.runs = [run if key is not None else None for run, key in zip(counts, rows.keys, strict=True)]
        rows = self._assigned(rows)
        base = len(self._rows) if self._rows is not None else 0
        self._begin_documents(rows.runs, base)
        if self._rows is None:
            self._rows = rows
        else:
            self._rows.extend(rows)
        if len(self._starts) > 1:
            return self._take(self._starts.pop())
        if base and len(rows):
            self._bound(rows)
        return self._broken_so_far() if self._is_too_long or len(self._rows.broken) > _MOST_BROKEN else None

    def end(self) -> JudgedBlock | None:
        """Returns the documents that are whole when nothing follows."""
        return self._take(len(self._rows)) if self._rows is not None and (len(self._rows) or self._rows.broken) else None

    def _assigned(self, rows: TableRows) -> TableRows:
        """Rows that are no records are taken out, and those that have a line and no number: it is unknown whose line it is."""
        gone = {row: fault for row, found in rows.refused.items() for fault in found if fault.code == NO_RECORD}
        if None in rows.keys:
            fault = CellFault("not_readable", WHOLE, f"a line without {KEYS['documents']}: give it the number of its document")
            lines = [rows.cells[name] for name in self._line_names]
            unnumbered = [row for row, key in enumerate(rows.keys) if key is None and row not in gone]
            gone |= {row: fault for row in unnumbered if any(not is_blank(column[row]) for column in lines)}
        if not gone:
            return rows
        lost = sorted(gone)
        broken = [
            BrokenRow(row - at, rows.numbers[row], gone[row].message, rows.as_read(row), gone[row].code) for at, row in enumerate(lost)
        ]
        broken += [one._replace(before=one.before - bisect_left(lost, one.before)) for one in rows.broken]
        kept = [row not in gone for row in range(len(rows))]
        new = {row: at for at, row in enumerate(compress(range(len(rows)), kept))}
        return TableRows(
            [list(compress(column, kept)) for column in rows.columns],
            [list(compress(column, kept)) for column in rows.lines],
            {name: list(compress(column, kept)) for name, column in rows.cells.items()},
            list(compress(rows.keys, kept)),
            list(compress(rows.numbers, kept)),
            {new[row]: faults for row, faults in rows.refused.items() if row in new},
            {new[row]: faults for row, faults in rows.warned.items() if row in new},
            list(compress(rows.runs, kept)),
            sorted(broken, key=lambda one: (one.before, one.number)),
        )

    def _begin_documents(self, runs: Sequence[int | None], base: int) -> None:
        last = self._last_run
        for row, run in enumerate(runs, base):
            if run is None or run != last or not row:
                self._starts.append(row)
                self._run_of.append(run)
            last = run
        self._last_run = last

    def _bound(self, rows: TableRows) -> None:
        """Keeps little of a document that has become too long."""
        assert self._rows is not None
        self._size += sum(len(cell) for column in rows.cells.values() for cell in column if cell)
        whole = self._rows
        if not self._is_too_long and (len(whole) > MOST_ROWS or self._size > self._longest):
            most = f"{self._longest} bytes" if self._size > self._longest else f"{MOST_ROWS} rows"
            too_large = CellFault("too_large", WHOLE, f"the document has more than {most}")
            self._carried.insert(0, self._refusals.said(whole.numbers[min(MOST_ROWS, len(whole) - 1)], too_large))
            self._is_too_long = True
        if self._is_too_long:
            said = self._refusals.said
            self._carried += [said(whole.numbers[row], fault) for row, faults in whole.refused.items() if row for fault in faults]
            del self._carried[_MOST_FAULTS:]
            whole.keep_first()

    def _broken_so_far(self) -> JudgedBlock | None:
        """Returns rows that can't be read before the document under way is whole, which is not sent because of them. The last one stays: it
        may be a line of the next document."""
        rows = self._rows
        assert rows is not None
        behind = (place for place, one in enumerate(rows.broken) if one.code != NO_RECORD and one.before >= len(rows))
        last = max(behind, default=len(rows.broken))
        given = rows.broken[:last] + rows.broken[last + 1 :]
        if not given:
            return None
        rows.broken = rows.broken[last : last + 1]
        first = next((one for one in given if one.code != NO_RECORD), None)
        if first is not None and len(rows) and not any(fault.code == _BESIDE for _, fault in self._carried):
            self._carried.append(self._may_be_a_line(first.number, rows.numbers[0]))
        records = [RefusedRecord(0, one.number, _unreadable(one, self._refusals)) for one in given]
        lines = JudgedLines(self._line_fields, [[] for _ in self._line_fields], [0])
        return JudgedBlock(self._fields, [[] for _ in self._fields], [], [], {}, records, lines)

    def _take(self, cut: int) -> JudgedBlock:
        """The documents of the first rows."""
        rows, starts = self._rows, self._starts
        assert rows is not None
        count = len(starts)
        sizes = list(map(sub, [*starts[1:], cut], starts))
        owner = list(chain.from_iterable(map(repeat, range(count), sizes)))
        faults: dict[int, list[Said]] = {}
        if self._carried:
            faults[0] = self._carried
        self._add_torn(faults, owner)
        if self._broken_before is not None and count:
            faults.setdefault(0, []).append(self._beside(self._broken_before, "before", 0))
            self._broken_before = None
        alone, within = self._add_broken(faults, cut)
        for row, found in rows.refused.items():
            if row < cut:
                faults.setdefault(owner[row], []).extend([self._refusals.said(rows.numbers[row], fault) for fault in found])
        if count < cut:
            self._add_differences(faults, owner, cut)
        self._add_broken_elsewhere(faults)
        block = self._block(owner, cut, faults, alone, within)
        self._forget(cut, alone)
        return block

    def _forget(self, cut: int, alone: _BrokenRows) -> None:
        assert self._rows is not None
        later = len(self._rows) > cut
        self._starts, self._run_of = [0] if later else [], self._run_of[len(self._starts) :]
        self._rows.drop(cut)
        self._size, self._is_too_long, self._carried = 0, False, []
        if last := [broken for broken in alone.get(-1, ()) if broken.code != NO_RECORD]:
            # What stands before the next document may be a line of it.
            self._broken_before = last[-1]

    def _add_torn(self, faults: dict[int, list[Said]], owner: Sequence[int]) -> None:
        if self._torn is None or not self._torn.any:
            return
        assert self._rows is not None
        for at in range(len(self._starts)):
            run = self._run_of[at]
            if run is not None and run in self._torn:
                numbers = [number for number, document in zip(self._rows.numbers, owner, strict=False) if document == at]
                torn = CellFault("not_together", KEYS["documents"], self._torn_words(numbers))
                faults.setdefault(at, []).append(self._refusals.said(numbers[0], torn))

    def _torn_words(self, numbers: Sequence[int]) -> str:
        unit = self._refusals.unit
        rest = f" ({_listed(unit, numbers)} too)" if len(numbers) > 1 else ""
        return f"the {unit}s of this document do not stand together{rest}: sort the file by {KEYS['documents']}"

    def _add_broken(self, faults: dict[int, list[Said]], cut: int) -> tuple[_BrokenRows, _BrokenRows]:
        """Says of each document what is broken in it or beside it, and returns the broken rows that are in none, by the document before
        which they stand, -1 behind the last; and those that are within one, by that document."""
        assert self._rows is not None
        alone: _BrokenRows = {}
        within: _BrokenRows = {}
        starts, count = self._starts, len(self._starts)
        for broken in self._rows.broken:
            if broken.before > cut:
                break
            at = bisect_right(starts, broken.before) - 1 if broken.before < cut else count
            if at == count or starts[at] == broken.before:
                alone.setdefault(at if at < count else -1, []).append(broken)
            else:
                within.setdefault(at, []).append(broken)
        for at, every in within.items():
            if some := [broken for broken in every if broken.code != NO_RECORD]:
                faults.setdefault(at, []).append(self._may_be_a_line(some[0].number, self._rows.numbers[starts[at]]))
        for at, every in alone.items():
            if not (some := [broken for broken in every if broken.code != NO_RECORD]):
                continue
            if at != 0 and count:
                before = at - 1 if at > 0 else count - 1
                faults.setdefault(before, []).append(self._beside(some[0], "after", before))
            if at >= 0:
                faults.setdefault(at, []).append(self._beside(some[-1], "before", at))
        return alone, within

    def _add_broken_elsewhere(self, faults: dict[int, list[Said]]) -> None:
        """A broken row that is not beside a document may be a line of it still."""
        if self._torn is None or not self._torn.in_broken:
            return
        assert self._rows is not None
        rows, in_broken = self._rows, self._torn.in_broken
        for at, start in enumerate(self._starts):
            key = rows.keys[start]
            if at not in faults and key is not None and (number := in_broken.get(key)) is not None:
                faults[at] = [self._may_be_a_line(number, rows.numbers[start])]

    def _add_differences(self, faults: dict[int, list[Said]], owner: Sequence[int], cut: int) -> None:
        """The fields of a document must be the same in all its rows, or blank in the later ones."""
        assert self._rows is not None
        rows, starts, unit = self._rows, self._starts, self._refusals.unit
        firsts_of, all_of = _getter(starts), _getter(owner)
        for one, column in zip(self._fields, rows.columns, strict=True):
            given = column[:cut] if cut < len(column) else column
            expected = all_of(firsts_of(given))
            if given == expected:
                continue
            for row, (value, first) in enumerate(zip(given, expected, strict=True)):
                if value is not UNSET and value != first and not _are_equal(value, first):
                    at = owner[row]
                    differs = f"not as on {unit} {rows.numbers[starts[at]]}, the first of the document: give the same in all its {unit}s"
                    faults.setdefault(at, []).append(self._refusals.said(rows.numbers[row], CellFault("rows_differ", one.path, differs)))

    def _may_be_a_line(self, broken: int, number: int) -> Said:
        """What is said of the document that begins at `number` where a row that can't be read may be a line of it."""
        words = f"{self._refusals.unit} {broken} can't be read, and may be a line of it"
        return self._refusals.said(number, CellFault(_BESIDE, WHOLE, words))

    def _beside(self, broken: BrokenRow, where: str, at: int) -> Said:
        """What is said of a document beside a row that may be a line of it."""
        assert self._rows is not None
        words = f"{self._refusals.unit} {broken.number} {where} it can't be read, and may be a line of it"
        return self._refusals.said(self._rows.numbers[self._starts[at]], CellFault(_BESIDE, WHOLE, words))

    def _block(self, owner: Sequence[int], cut: int, faults: dict[int, list[Said]], alone: _BrokenRows, within: _BrokenRows) -> JudgedBlock:
        assert self._rows is not None
        rows, starts = self._rows, self._starts
        bad = sorted(faults)
        refused: list[tuple[int, int, int, Any]] = []
        for at, some in alone.items():
            place = at if at >= 0 else len(starts)
            refused += [(place, 0, broken.number, _unreadable(broken, self._refusals)) for broken in some]
        for at, some in within.items():
            refused += [(at, 2, broken.number, _unreadable(broken, self._refusals)) for broken in some]
        bounds = [*starts, cut]
        for at in bad:
            begin, end = bounds[at], bounds[at + 1]
            as_read = [rows.as_read(row) for row in range(begin, min(end, begin + 1000))]
            refused.append((at, 1, rows.numbers[begin], self._refusals.refused(faults[at], _key_text(rows, begin, self._key), as_read)))
        refused.sort(key=lambda one: one[:2])
        # What stands behind a document that is sent is before the next one.
        places = [at + 1 if order == 2 and at not in faults else at for at, order, _, _ in refused]
        records = [
            RefusedRecord(at - bisect_left(bad, at), number, record) for at, (_, _, number, record) in zip(places, refused, strict=True)
        ]
        good = [at for at in range(len(starts)) if at not in faults] if bad else range(len(starts))
        first = [starts[at] for at in good]
        columns = list(map(_getter(first), rows.columns))
        lines = self._lines(owner, cut, good, faults)
        new = {at: place for place, at in enumerate(good)}
        warned: dict[int, list[CellFault]] = {}
        for row, found in rows.warned.items():
            if row < cut and owner[row] in new:
                warned.setdefault(new[owner[row]], []).extend(found)
        return JudgedBlock(self._fields, columns, keys_of(columns[self._key]), [rows.numbers[row] for row in first], warned, records, lines)

    def _lines(self, owner: Sequence[int], cut: int, good: Sequence[int], bad: dict[int, Any]) -> JudgedLines:
        assert self._rows is not None
        columns = [column[:cut] for column in self._rows.lines]
        given = columns[: self._given]
        kept = [at not in bad for at in owner] if bad else None
        if not any(UNSET not in column for column in given):
            nothing = (UNSET,) * len(given)
            is_line = [row != nothing for row in zip(*given, strict=True)]
            kept = is_line if kept is None else [both and line for both, line in zip(kept, is_line, strict=True)]
        counts = [0] * len(self._starts)
        for at in owner if kept is None else compress(owner, kept):
            counts[at] += 1
        if kept is not None:
            columns = [list(compress(column, kept)) for column in columns]
        return JudgedLines(self._line_fields, columns, [0, *accumulate([counts[at] for at in good])])


def _getter(places: Sequence[int]) -> Callable[[Sequence[Any]], list[Any]]:
    """Takes what is at some places of a list."""
    if len(places) < 2:
        return lambda column: [column[place] for place in places]
    get = itemgetter(*places)
    return lambda column: list(get(column))


def _listed(unit: str, numbers: Sequence[int]) -> str:
    if numbers[-1] - numbers[0] == len(numbers) - 1:
        return f"{unit}s {numbers[0]} to {numbers[-1]}"
    return f"{unit}s {', '.join(map(str, numbers[:20]))}{' ...' if len(numbers) > 20 else ''}"


def _are_equal(value: Any, other: Any) -> bool:
    """Whether two numbers are the same, in other digits."""
    return isinstance(value, Raw) and isinstance(other, Raw) and Decimal(bytes(value).decode()) == Decimal(bytes(other).decode())


def is_blank(cell: Any) -> bool:
    """Returns whether nothing stands in a cell."""
    return cell is None or (not cell.strip() if isinstance(cell, str) else not cell)
