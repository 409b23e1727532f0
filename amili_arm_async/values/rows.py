"""Pure: rows that tools add to a table and that are no records: the header again, underlines, sums, and what ends a listing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from .fields import KEYS, Field, RecordKind
from .judge import CellFault
from .texts import BLANKS

__all__ = ["RowRules"]

_UNDERLINE: Final = re.compile(r"[-=_*+~.#\u2013\u2014\u2500\u2550 ]{2,}")
_SUM: Final = re.compile(
    r"(?:(?:del|mellom|slutt|total)?sum(?:mer)?|(?:sub|grand[ -]?)?totals?|totalt|total ?sum|totaler?|i alt|ialt|til ?sammen|summe|gesamt|"
    r"summa|yhteens\u00e4|avstemming|saldo)(?:\s+(?:total|totalt|alle|all|kunder|fakturaer|bel\u00f8p))?\s*[:=]?",
    re.IGNORECASE,
)
_NUMBER: Final = re.compile(r"[-+\u2212(]?[0-9][0-9.,'\s\u00a0\u202f]*[-)]?(?:\s*(?:kr|nok|stk|,-|%))?\.?|0", re.IGNORECASE)
_COUNT: Final = re.compile(
    r"\(?[0-9][0-9.,\s]*\s*(?:rows?|row\(s\)|rader|rad|records?|record\(s\)|poster|linjer|linje|lines?|kunder|fakturaer|"
    r"customers|invoices|documents|dokumenter|elements?)(?:\s+(?:affected|selected|returned|fetched|processed|in set|exported|"
    r"written|found|total|p\u00e5virket|ber\u00f8rt|valgt|hentet|eksportert|funnet|i alt|totalt)\b.*)?\)?\s*\.?"
    r"|\(?(?:antall|number of|total|count|row ?count|rows?|rader|records?|poster|linjer)[^0-9:=]{0,40}[:=]\s*[0-9][0-9.,\s]*\)?\.?"
    r"|(?:side|page)\s+[0-9]+(?:\s*(?:av|of|/)\s*[0-9]+)?",
    re.IGNORECASE,
)
_END: Final = re.compile(
    r"[-=*#<\s]*(?:end|slutt|eof|end of (?:file|report|data|list|listing|export|output|table)|slutt p\u00e5 \w+|query (?:ok|complete).*|"
    r"(?:completion time|fullf\u00f8ringstid|printed|utskrevet|skrevet ut|generert|generated|exported|"
    r"eksportert|report generated)\b.*[0-9].*)"
    r"[-=*#>\s.]*",
    re.IGNORECASE,
)
_ODD_KEY: Final = re.compile(r"[^0-9\0]+|[^\0]*[\s(:=][^\0]*")

_HEADER: Final = "the header again, and no record: leave it out"
_IS_UNDERLINE: Final = "a line drawn under others, and no record: leave it out"
_IS_SUM: Final = "a sum of other rows, and no record: leave it out"
_IS_END: Final = "what a tool writes at the end of a list, and no record: leave it out"
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
        keys = [place for wanted in (KEYS[kind], "customerNo") for place, path in enumerate(paths) if path == wanted]
        self._key = keys[0] if keys else 0

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
                faults[row] = CellFault("no_record", "", message)
        return faults

    def _suspects(self, keys: Sequence[Any]) -> Sequence[int]:
        """The rows whose key is not surely one."""
        given = list(filter(None, keys))
        if len(given) == len(keys) and all(map(str.__instancecheck__, given)):
            joined = "".join(given)
            if joined.isascii() and joined.isdigit():
                return ()
        return [row for row, key in enumerate(keys) if not key or not isinstance(key, str) or self._is_suspect(key)]

    def _is_suspect(self, key: str) -> bool:
        return key.strip(BLANKS).casefold() in self._all_names or _ODD_KEY.fullmatch(key) is not None

    def message(self, cells: Sequence[Any]) -> str | None:
        """Returns why a row is no record; None where it may be one."""
        texts = [cell.strip(BLANKS) if isinstance(cell, str) else "" for cell in cells]
        given = [(place, text) for place, text in enumerate(texts) if text]
        if not given or any(cell and not isinstance(cell, str) for cell in cells):
            return None
        if self._is_header(given):
            return _HEADER
        if all(_UNDERLINE.fullmatch(text) for _, text in given):
            return _IS_UNDERLINE
        first, others = given[0][1], [text for _, text in given[1:]]
        if first.strip("\x1a") == "" and not others:
            return _IS_CTRL_Z
        key = texts[self._key]
        if not key or key == first:
            if _SUM.fullmatch(first) and all(_NUMBER.fullmatch(text) for text in others):
                return _IS_SUM
            if not others and (_COUNT.fullmatch(first) or _END.fullmatch(first)):
                return _IS_END
            if _COUNT.fullmatch(" ".join([first, *others])) and len(others) == 1 and _NUMBER.fullmatch(others[0]):
                return _IS_END
        return None

    def _is_header(self, given: Sequence[tuple[int, str]]) -> bool:
        own = [place for place, text in given if text.casefold() in self._names[place]]
        if self._key in own:
            return True
        return len(given) > 1 and all(text.casefold() in self._all_names for _, text in given)
