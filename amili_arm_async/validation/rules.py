"""Pure: what holds for the fields of a record together, and for the form of each: whole columns of records at a time.

Each rule takes what it needs only where that is of the right type; what is not has been named already.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from decimal import Context, Decimal, Inexact, localcontext
from itertools import accumulate
from operator import add, sub
from typing import Any, Final, NamedTuple

from ..values.fields import LINES, RecordKind, fields_of
from ..values.findings import CellFault
from ..values.formats import format_faults, has_format, is_date, organization_faults
from ..values.json_judge import with_line

__all__ = ["AMOUNTS", "Columns", "faults_together", "form_faults"]

# Amounts are exact; what is far beyond all money gives no error but Infinity.
_EXACT: Final = Context(prec=200, traps=[])
AMOUNTS: Final = "currencyAmounts"
_AMOUNTS: Final = ("exclVat", "vat", "inclVat")
_NUMBERS: Final = frozenset({int, Decimal})

_UNLIKE: Final = "exclVat and vat don't make inclVat"
_NO_SUM: Final = "not the sum of the lines"


_KEYS: Final[Mapping[RecordKind, Sequence[str]]] = {"customers": ["customerNo"], "documents": ["customerNo", "documentNo"]}
_MISSING: Final[Mapping[RecordKind, Mapping[str, CellFault]]] = {
    "customers": {"customerNo": CellFault("missing", "customerNo", "missing: it names the customer")},
    "documents": {
        "customerNo": CellFault("missing", "customerNo", "missing: nobody would be billed"),
        "documentType": CellFault("missing", "documentType", "missing"),
        "documentNo": CellFault("no_document_no", "documentNo", "missing: an unknown outcome could not be looked up"),
    },
}


class Columns(NamedTuple):
    """Records by column.

    Attributes:
        number: of the records.
        header: by path, the columns of fields that occur; a text or a list that is not true is no value, a number is None or UNSET then.
        lines: by path, those of the lines of documents.
        offsets: where the lines of each record begin, and the end of the last: one more than there are records.
    """

    number: int
    header: Mapping[str, Sequence[Any]]
    lines: Mapping[str, Sequence[Any]]
    offsets: Sequence[int]


def form_faults(kind: RecordKind, columns: Columns) -> Iterator[tuple[int, CellFault]]:
    """Gives the values that don't have the form of their field, with their rows.

    Args:
        kind: what the records are.
        columns: their columns.
    """
    fields = fields_of(kind)
    for path, column in columns.header.items():
        if has_format(field := fields[path]):
            yield from format_faults(field, column)
    if kind == "customers":
        countries = _column(columns, "postalAddress.countryCode")
        for path, scheme in (("organizationNo", "organizationNoScheme"), ("parentOrganizationNo", "")):
            if path in columns.header:
                yield from organization_faults(path, columns.header[path], _column(columns, scheme), countries)
    for path in _KEYS[kind]:
        odd = CellFault("odd_key", path, "white space around it, or characters that can't be printed")
        yield from ((row, odd) for row in _odd_keys(_column(columns, path)))


def faults_together(kind: RecordKind, columns: Columns) -> Iterator[tuple[int, CellFault]]:
    """Gives what is missing, and the values that don't agree, with their rows.

    Args:
        kind: what the records are.
        columns: their columns.
    """
    for path, fault in _MISSING[kind].items():
        column = _column(columns, path)
        if not all(column) or not all(map(str.strip, column)):
            yield from ((row, fault) for row, text in enumerate(column) if not text or not text.strip())
    if kind == "documents":
        early = CellFault("due_before_date", "dueDate", "before documentDate")
        for row, (issued, due) in enumerate(zip(_column(columns, "documentDate"), _column(columns, "dueDate"), strict=True)):
            if issued and due and due < issued and is_date(issued) and is_date(due):
                yield row, early
        yield from _amount_faults(columns)


def _column(columns: Columns, path: str) -> Sequence[Any]:
    return columns.header.get(path) or (None,) * columns.number


def _odd_keys(column: Sequence[Any]) -> list[int]:
    """The rows of keys that have something around them or in them that is invisible."""
    given = list(filter(None, column))
    if "".join(given).isprintable() and list(map(str.strip, given)) == given:
        return []
    return [row for row, key in enumerate(column) if key and key.strip() and (key.strip() != key or not key.isprintable())]


# --- amounts --------------------------------------------------------------------------------------------------------------


def _amount_faults(columns: Columns) -> Iterator[tuple[int, CellFault]]:
    header = [columns.header.get(f"{AMOUNTS}.{name}") for name in _AMOUNTS]
    lines = [columns.lines.get(f"{LINES}.{AMOUNTS}.{name}") for name in _AMOUNTS]
    with localcontext(_EXACT):
        found = [(row, CellFault("amounts", AMOUNTS, _UNLIKE)) for row in _not_adding_up(header)]
        of_line = CellFault("amounts", f"{LINES}.{AMOUNTS}", _UNLIKE)
        for line in _not_adding_up(lines):
            row = bisect_right(columns.offsets, line) - 1
            found.append((row, with_line(of_line, line - columns.offsets[row])))
        if any(header) and any(lines):
            given = _lines_with_amounts(columns, lines)
            for name, totals, parts in zip(_AMOUNTS, header, lines, strict=True):
                if totals and parts:
                    fault = CellFault("lines", f"{AMOUNTS}.{name}", _NO_SUM)
                    found += [(row, fault) for row in _not_the_sum(totals, *_chosen(parts, columns.offsets, given))]
    yield from found


def _is_number(value: object) -> bool:
    return type(value) in _NUMBERS


def _not_adding_up(amounts: Sequence[Sequence[Any] | None]) -> list[int]:
    """The rows in which the three amounts are given and don't agree."""
    excl, vat, incl = amounts
    if not excl or not vat or not incl:
        return []
    if {*map(type, excl), *map(type, vat), *map(type, incl)} <= _NUMBERS:
        totals = list(map(add, excl, vat))
        return [] if totals == list(incl) else [row for row, total in enumerate(totals) if total != incl[row]]
    every = enumerate(zip(excl, vat, incl, strict=True))
    return [row for row, three in every if all(map(_is_number, three)) and Decimal(three[0]) + three[1] != three[2]]


def _lines_with_amounts(columns: Columns, lines: Sequence[Sequence[Any] | None]) -> list[bool] | None:
    """For each line, whether it counts: one without amounts does not if it is only text. None: all count."""
    kinds = columns.lines.get(f"{LINES}.lineType")
    if not kinds:
        return None
    texts = {kind for kind in set(kinds) if kind and kind.upper() == "TXT"}
    if not texts:
        return None
    given = [column for column in lines if column]
    return [kind not in texts or any(_is_number(column[line]) for column in given) for line, kind in enumerate(kinds)]


def _chosen(parts: Sequence[Any], offsets: Sequence[int], given: list[bool] | None) -> tuple[Sequence[Any], Sequence[int]]:
    """The lines that count, and where those of each document begin."""
    if given is None:
        return parts, offsets
    before = [0, *accumulate(given)]
    return [part for part, counts in zip(parts, given, strict=True) if counts], [before[offset] for offset in offsets]


def _not_the_sum(totals: Sequence[Any], parts: Sequence[Any], offsets: Sequence[int]) -> list[int]:
    """The rows whose total is not the sum of the lines, where there are lines and all of them are numbers."""
    context = localcontext(_EXACT)
    with context as exact:
        unknown: set[int] = set()
        if not set(map(type, parts)) <= _NUMBERS:
            unknown = {bisect_right(offsets, line) - 1 for line, part in enumerate(parts) if not _is_number(part)}
            parts = [part if _is_number(part) else 0 for part in parts]
        before = list(accumulate(parts, initial=Decimal()))
        bounds = [before[offset] for offset in offsets]
        sums = list(map(sub, bounds[1:], bounds))
        if not exact.flags[Inexact] and sums == list(totals):
            return []
        wrong = [
            row
            for row, total in enumerate(totals)
            if _is_number(total) and row not in unknown and offsets[row] < offsets[row + 1] and (exact.flags[Inexact] or sums[row] != total)
        ]
        return [row for row in wrong if sum(parts[offsets[row] : offsets[row + 1]], Decimal()) != totals[row]]
