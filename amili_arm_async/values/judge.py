"""Pure: the cells of a block of rows as values of their fields, whole columns at a time, with what is wrong about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from .cells import PENDING
from .columns import ColumnReader
from .fields import Field, RecordKind
from .findings import SEVERITIES, CellFault
from .forms import FORMS, Form, Neighbours
from .outcome import Outcome

__all__ = ["VERSION", "Judge", "JudgedRows", "Origin", "ReadingOptions"]

VERSION = 1
"""Of the rules. A sync judges all its records again where they were judged by another version."""

Origin: TypeAlias = Literal["text", "integer", "decimal", "float", "date", "instant", "boolean", "json"]
"""What a column was before its cells became texts. Only numbers of `text` can have two meanings. `json`: the cells are values of JSON
(str, int, Decimal, bool, list), None or UNSET where absent."""

_TEXTS: Final[tuple[Origin, ...]] = ("text",)


@dataclass(frozen=True, slots=True)
class ReadingOptions:
    """How cells are read.

    Attributes:
        decimal_sign: `","` or `"."` in all columns of numbers. None: only numbers with one meaning are read, unless
            `proved` has the column.
        proved: the decimal sign of single fields, by path, where cells of the column prove it; `""` where they contradict each other.
        clear: a cell with this text clears its field. None: no such text.
    """

    decimal_sign: Literal[",", "."] | None = None
    proved: Mapping[str, str] | None = None
    clear: str | None = None


class JudgedRows(NamedTuple):
    """The values of a block of rows.

    Attributes:
        columns: in the order of the fields, one value for each row, as it is encoded: str (dates in ISO form too), int, bool,
            msgspec.Raw (a decimal number, in its JSON form); for a list of texts list of str, or str for a list of one; `UNSET` where the
            cell is blank or refused. Of a column of JSON that stays as it is, the very sequence that was given; in another, what is None or
            blank stays so.
        refused: by row, why it can't be sent.
        warned: by row, what is odd about it; it is sent.
        needs_number_sign: whether a cell was refused only because its number has two meanings.
    """

    columns: list[list[Any]]
    refused: dict[int, list[CellFault]]
    warned: dict[int, list[CellFault]]
    needs_number_sign: bool


class Judge:
    """Reads blocks of rows of one table.

    What was once judged is not judged again: texts that come again and again are kept, in bounded memory.

    Args:
        kind: what the records are.
        fields: one for each column.
        origins: what each column was; None: all were texts.
        options: how cells are read.
    """

    def __init__(
        self,
        kind: RecordKind,
        fields: Sequence[Field],
        *,
        origins: Sequence[Origin] | None = None,
        options: ReadingOptions = ReadingOptions(),
    ) -> None:
        known = origins or _TEXTS * len(fields)
        self._paths = [field.path for field in fields]
        signs = [options.decimal_sign or (options.proved or {}).get(path) for path in self._paths]
        self._readers = [ColumnReader(field, origin, sign, options.clear) for field, origin, sign in zip(fields, known, signs, strict=True)]
        places = {path: place for place, path in enumerate(self._paths)}
        self._forms = [(places[path], _Beside(form, places)) for path, form in FORMS.items() if path in places]

    def read(self, columns: Sequence[Sequence[Any]]) -> JudgedRows:
        """Returns the values of some rows.

        Args:
            columns: in the order of the fields, the cells of the rows: texts as they stand (blanks around them are not part of the value),
                None where there is none.

        Returns:
            The values, and what is wrong.
        """
        values: list[list[Any]] = []
        found: list[tuple[int, int, Outcome]] = []
        pending: dict[int, set[int]] = {}
        for place, (reader, column) in enumerate(zip(self._readers, columns, strict=True)):
            read, odd = reader.read(column)
            values.append(read)
            for row, outcome in odd:
                if outcome.code == PENDING:
                    pending.setdefault(place, set()).add(row)
                else:
                    found.append((place, row, outcome))
        for place, beside in self._forms:
            rows = pending.get(place, set()) | beside.rows_elsewhere(values)
            if rows:
                values[place] = list(values[place])
            for row in sorted(rows):
                if isinstance(text := values[place][row], str) and text:
                    outcome = beside.read(text, row, values)
                    values[place][row] = outcome.value
                    if outcome.code is not None:
                        found.append((place, row, outcome))
        return self._judged(values, found)

    def _judged(self, values: list[list[Any]], found: list[tuple[int, int, Outcome]]) -> JudgedRows:
        refused: dict[int, list[CellFault]] = {}
        warned: dict[int, list[CellFault]] = {}
        needs_number_sign = False
        for place, row, (_, code, message) in sorted(found, key=itemgetter(1, 0)):
            assert code is not None
            needs_number_sign = needs_number_sign or code == "two_meanings"
            rows = refused if SEVERITIES[code] == "error" else warned
            rows.setdefault(row, []).append(CellFault(code, self._paths[place], message))
        return JudgedRows(values, refused, warned, needs_number_sign)


class _Beside:
    """The columns that tell what a number is."""

    def __init__(self, form: Form, places: Mapping[str, int]) -> None:
        self._form = form
        self._countries = [places[path] for path in form.country_paths if path in places]
        self._scheme = places.get(form.scheme_path or "")

    def rows_elsewhere(self, values: Sequence[Sequence[Any]]) -> set[int]:
        """The rows of countries where every number needs a look."""
        if not self._form.elsewhere or not self._countries:
            return set()
        rows: set[int] = set()
        for place in self._countries:
            countries = {text for text in set(values[place]) if isinstance(text, str) and text.upper() in self._form.elsewhere}
            if countries:
                rows.update(row for row, text in enumerate(values[place]) if text in countries)
        return rows

    def read(self, text: str, row: int, values: Sequence[Sequence[Any]]) -> Outcome:
        """What a number is in its row."""
        told = [country.upper() for place in self._countries if isinstance(country := values[place][row], str) and country]
        scheme = values[self._scheme][row] if self._scheme is not None else None
        return self._form.read(text, Neighbours(told[0] if told else "", scheme if isinstance(scheme, str) else ""))
