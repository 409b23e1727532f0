"""Pure: rows that tools add to a table and that are no records: the header again, underlines, sums, and what ends a listing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from .fields import KEYS, Field, RecordKind
from .findings import CellFault
from .texts import BLANKS

__all__ = ["NO_RECORD", "NO_VALUES", "RowRules"]

NO_RECORD: Final = "no_record"
"""The code of a row that is no record."""

NO_VALUES: Final = CellFault(NO_RECORD, "", "a row without a value in any field, and no record: leave it out")

# Patterns are compiled when the first row is looked at, which most tables never need.
_UNDERLINE: Final = r"[-=_*+~.#\u2013\u2014\u2500\u2550 ]{2,}"
_TOTAL: Final = (
    r"(?:(?:del|mellom|slutt|total|kontroll)?sum(?:mer)?|(?:sub|grand[ -]?)?totals?|totalt?[ -]?sum|totalt|totaler|i ?alt|til ?sammen|"
    r"summe|gesamt|summa|yhteens\u00e4)"
)
_THINGS: Final = (
    r"(?:rows?|row\(s\)|rad(?:er)?|records?|record\(s\)|post(?:er)?|linjer?|lines?|kunder?|faktura(?:er)?|dokument(?:er)?|customers?|"
    r"invoices?|documents?|elements?)"
)
_DONE: Final = (
    r"(?:affected|selected|returned|fetched|processed|in set|exported|written|found|total|p\u00e5virket|ber\u00f8rt|valgt|hentet|"
    r"eksportert|funnet|skrevet|i alt|totalt)"
)
_AMOUNT: Final = r"[-+\u2212(]?[0-9][0-9.,'\s]*[-)]?(?:\s*(?:kr|nok|stk|,-|%))?\.?"
_COUNT: Final = rf"\(?(?:totalt?\s+|sum\s+)?(?:antall|number of|no\. of|(?:row ?)?count)(?:\s+{_THINGS})?(?:\s+{_DONE})?\s*[:=]*"
_SUM: Final = rf"{_TOTAL}(?:\s+(?:alle?\s+)?(?:{_THINGS}|bel\u00f8p|amount|nok))?\s*[:=]*|{_COUNT}"
_NUMBER_OR_CURRENCY: Final = rf"{_AMOUNT}|[A-Z]{{3}}"
_END: Final = (
    rf"\(?[0-9][0-9.,\s]*\s*{_THINGS}(?:\s+{_DONE}\b.*)?\)?\s*[.!]?"
    rf"|(?:{_COUNT}|{_TOTAL}\s*[:=]*|{_THINGS}(?:\s+{_DONE})?\s*[:=])\s*{_AMOUNT}(?:\s*{_THINGS})?\)?"
    r"|(?:side|page)\s+[0-9]+\s*(?:av|of|/)\s*[0-9]+"
    r"|[-=*#<\s]*(?:end|slutt|eof|the end|end of (?:file|report|data|list|listing|export|output|table)|slutt p\u00e5 \w+|"
    r"query (?:ok|complete).*|(?:completion time|fullf\u00f8ringstid|printed|utskrevet|skrevet ut|generert|generated|exported|eksportert|"
    r"rapport|utskrift|uttrekk|report generated)\b.*[0-9].*)[-=*#>\s.]*"
)
_LABEL: Final = (
    r"(?:utskrift(?:sdato|stidspunkt)?|utskrevet(?: av)?|printed(?: by| on)?|generert(?: av)?|generated(?: by| on)?|eksportert(?: av)?|"
    r"exported(?: by| on)?|rapport(?:dato|navn)?|report(?: date| name)?|kj\u00f8redato|dato|date|kilde|source|periode|period|bruker|user|"
    r"firma|company|klient|utvalg|filter|sortering|kriterier|merknad|note)\s*(?::.*)?"
)
_REMARK: Final = r"[^\W\d_]{2}[\w .,/-]*:\s.*|(?=(?:.*\b[^\W\d_]{2,}\b){2})\S+(?:\s+\S+){2,}"
_BETWEEN_WORDS: Final = " \t\n\r\u00a0\u202f(:="
_NOT_DIGITS: Final = bytes(byte for byte in range(1, 256) if not 48 <= byte <= 57)

_MOST_BESIDE: Final = 2
"""Values beside the label of a remark."""

_HEADER: Final = "the header again, and no record: leave it out"
_IS_UNDERLINE: Final = "a line drawn under others, and no record: leave it out"
_IS_SUM: Final = "a sum of other rows, and no record: leave it out"
_IS_END: Final = "what a tool writes above or below a list, and no record: leave it out"
_IS_CTRL_Z: Final = "a Ctrl-Z, which ends a file in DOS, and no record: leave it out"


class RowRules:
    """Finds the rows of a table that are no records.

    Args:
        kind: what its records are.
        names: of the columns, as the header has them.
        fields: what each column holds; None where it holds no field.
    """

    def __init__(self, kind: RecordKind, names: Sequence[str], fields: Sequence[Field | None]) -> None:
        paths = ["" if field is None else field.path for field in fields]
        self._names = [{name.strip(BLANKS).casefold(), path.casefold()} - {""} for name, path in zip(names, paths, strict=True)]
        self._all_names = frozenset().union(*self._names)
        self._names_with_digits = {name for name in self._all_names if any(map(str.isdigit, name))}
        keys = [place for wanted in (KEYS[kind], "customerNo") for place, path in enumerate(paths) if path == wanted]
        self._key = keys[0] if keys else 0
        # In a line of a document, they may be all that the line has.
        self._amounts = {
            place for place, field in enumerate(fields) if field is not None and field.type == "decimal" and not field.in_lines
        }

    def find(self, columns: Sequence[Sequence[Any]]) -> dict[int, CellFault]:
        """Returns why some rows are no records, by their position.

        Args:
            columns: all of the table, in the order of the header; an empty one is passed over.
        """
        if not columns or not columns[self._key]:
            return {}
        faults = {}
        for row in self._suspects(columns[self._key]):
            if (message := self.message([column[row] if column else None for column in columns])) is not None:
                faults[row] = CellFault(NO_RECORD, "", message)
        return faults

    def _suspects(self, keys: Sequence[Any]) -> Sequence[int]:
        """The rows whose key is not surely one: it is blank, the name of a column, without a digit, or of several words."""
        if None not in keys and self._are_keys(keys):
            return ()
        return [row for row, key in enumerate(keys) if not key or not self._are_keys((key,))]

    def _are_keys(self, keys: Sequence[Any]) -> bool:
        if set(map(type, keys)) != {str}:
            return False
        joined = "\0".join(keys)
        digits = f"\0{joined}\0".encode("utf-8", "replace").translate(None, _NOT_DIGITS)
        if b"\0\0" in digits or digits.count(b"\0") != len(keys) + 1 or any(sign in joined for sign in _BETWEEN_WORDS):
            return False
        return not self._names_with_digits or self._names_with_digits.isdisjoint(joined.casefold().split("\0"))

    def message(self, cells: Sequence[Any]) -> str | None:
        """Returns why a row is no record; None where it may be one."""
        texts = [cell.strip(BLANKS) if isinstance(cell, str) else "" for cell in cells]
        given = [(place, text) for place, text in enumerate(texts) if text]
        if not given or any(cell and not isinstance(cell, str) for cell in cells):
            return None
        if self._is_header(given):
            return _HEADER
        if all(re.fullmatch(_UNDERLINE, text) for _, text in given):
            return _IS_UNDERLINE
        first, others = given[0][1], [text for _, text in given[1:]]
        if first.strip("\x1a") == "" and not others:
            return _IS_CTRL_Z
        key = texts[self._key]
        if key and key != first:
            return None
        if _is(_SUM, first) and all(_is(_NUMBER_OR_CURRENCY, text) for text in others):
            return _IS_SUM
        if not key and all(place in self._amounts and re.fullmatch(_AMOUNT, text) for place, text in given):
            return _IS_SUM
        if len(others) <= _MOST_BESIDE and key and _is(_LABEL, first):
            return _IS_END
        return _IS_END if not others and (_is(_END, first) or (len(texts) > 1 and key and _is(_REMARK, first))) else None

    def message_of_line(self, text: str) -> str | None:
        """Returns why a line that could not be split into the cells of a row is no record; None where it may be one."""
        return self.message([text if place == self._key else None for place in range(max(len(self._names), self._key + 1))])

    def _is_header(self, given: Sequence[tuple[int, str]]) -> bool:
        own = [place for place, text in given if text.casefold() in self._names[place]]
        if self._key in own:
            return True
        return len(given) > 1 and all(text.casefold() in self._all_names for _, text in given)


def _is(pattern: str, text: str) -> bool:
    return re.fullmatch(pattern, text, re.IGNORECASE) is not None
