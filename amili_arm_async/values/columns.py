"""Pure: readers of whole columns. Each gives for every cell what the rule of `cells` gives for it alone, only sooner.

Cells that come again and again are looked up. Where nearly all are different, a screen over all of them at once says that none is odd.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from decimal import Clamped, Context, Decimal, DecimalException, Inexact, Overflow, Subnormal
from typing import Any, Final, TypeAlias, cast

import msgspec
from msgspec import UNSET, Raw, UnsetType

from .cells import TYPED, Rule, rule_of, years_of
from .fields import Field
from .forms import FORMS, Form
from .numbers import LARGEST, MOST_DIGITS
from .outcome import NOTHING, Outcome
from .texts import TextRules

__all__ = ["ColumnReader", "OddRows"]

OddRows: TypeAlias = Iterable[tuple[int, Outcome]]
"""Rows whose cells have a fault, or need a look at other cells of the row."""

Screen: TypeAlias = Callable[[Sequence[Any]], "list[Any] | None"]
"""Returns the values of a column where surely nothing is odd about any of its cells."""

_DEAR: Final = 16
"""How much more a new cell costs than a screen does."""

_MOST_KEPT: Final = 4096
"""Different cells of a column that are kept, with their values, from one block to the next."""

_RAWS: Final = msgspec.json.Decoder(list[Raw])
_ZEROS: Final = bytes.maketrans(b"123456789", b"000000000")
# What a `++` repeats is atomic: see sources/json_tokens.py.
_WITH_GROUPS: Final = re.compile(r"(?:(?>-?(?:[0-9]{1,3}(?:(?> [0-9]{3}))++|[0-9]++)(?:[.,][0-9]++)?\0))++")
_OF_NUMBERS: Final = b"0123456789-."
_LONGEST_NUMBER: Final = MOST_DIGITS
_BEYOND: Final = 10**MOST_DIGITS
_SURELY_PLAUSIBLE: Final = Context(prec=MOST_DIGITS, Emax=MOST_DIGITS - 1, Emin=-MOST_DIGITS, traps=[Overflow, Subnormal, Inexact, Clamped])
"""In which numbers are the same as they are, where they have neither more digits than money may have, nor many zeros behind the point."""

_ABSENT: Final[tuple[type, ...]] = (type(None), UnsetType)
_JSON_TYPES: Final[dict[str, set[type]]] = {
    "integer": {int, *_ABSENT},
    "decimal": {int, float, Decimal, *_ABSENT},
    "boolean": {bool, *_ABSENT},
    "text": {str, *_ABSENT},
    "date": {str, *_ABSENT},
    "texts": {list, *_ABSENT},
}


class _Known(dict[Any, Any]):
    """The values of cells; of a new one, the value is found when it is asked for.

    Attributes:
        odd: what is wrong with those that have a fault.
        is_same: whether every value is its cell.
    """

    def __init__(self, rule: Rule, blanks: dict[Any, Any]) -> None:
        super().__init__(blanks)
        self._rule = rule
        self._blanks = blanks
        self._not_same = frozenset(cell for cell, value in blanks.items() if value is not cell)
        self.odd: dict[Any, Outcome] = {}
        self.is_same = True

    def __missing__(self, cell: Any) -> Any:
        value, code, _ = outcome = self._rule(cell)
        self[cell] = value
        if code is not None:
            self.odd[cell] = outcome
        elif self.is_same and value != cell:
            self.is_same = False
        return value

    def stands_apart(self, cells: set[Any]) -> bool:
        """Whether one of these cells, which are known, has a fault, or is blank and its value is another."""
        return not self._not_same.isdisjoint(cells) or not self.odd.keys().isdisjoint(cells)

    def forget(self) -> None:
        """Makes room."""
        self.clear()
        self.update(self._blanks)
        self.odd.clear()
        self.is_same = True


class ColumnReader:
    """Reads one column of a table, block by block.

    Args:
        field: what it holds.
        origin: what it was.
        decimal_sign: of its numbers; see `cells.rule_of`.
        clear: a text that clears the field.
    """

    def __init__(self, field: Field, origin: str, decimal_sign: str | None, clear: str | None) -> None:
        self._rule = rule_of(field, origin, decimal_sign, clear)
        self._is_json = origin == "json"
        self._known = _Known(self._rule, {None: None, UNSET: UNSET, "": ""} if self._is_json else {None: UNSET, "": UNSET})
        self._is_looked_up = not self._is_json or field.type in {"text", "date"}
        self.screen = _json_screen(field) if self._is_json else _screen_of(field, origin, decimal_sign, clear)
        # Of a column with many different cells, none are looked up that the screen finds in order.
        self._is_varied = not self._is_looked_up
        # Whether the last block had the same cell in all rows.
        self._is_constant = False

    def read(self, column: Sequence[Any]) -> tuple[list[Any], OddRows]:
        """Returns the values of a block, and the rows with odd cells; of values of JSON that all stay as they are, the same list."""
        if self._is_varied and self.screen is not None and (values := self.screen(column)) is not None:
            return values, ()
        if self._is_looked_up:
            try:
                return self._look_up(column)
            except TypeError:
                # A list in a cell.
                self._is_varied = True
        return self.read_each(column)

    def _look_up(self, column: Sequence[Any]) -> tuple[list[Any], OddRows]:
        known = self._known
        if len(known) > _MOST_KEPT:
            known.forget()
        different = self._different(column)
        if known.is_same and known.keys() >= different and not known.stands_apart(different):
            self._is_varied = False
            return cast("list[Any]", column) if self._is_json else _as_list(column), ()
        before = len(known)
        values = list(map(known.__getitem__, column))
        # What is new costs much more to read than to be looked up.
        self._is_varied = (len(known) - before) * _DEAR > len(column)
        odd = known.odd
        if odd and not odd.keys().isdisjoint(column):
            return values, [(row, odd[cell]) for row, cell in enumerate(column) if cell in odd]
        if self._is_json and known.is_same:
            return cast("list[Any]", column), ()
        return values, ()

    def _different(self, column: Sequence[Any]) -> set[Any]:
        """The cells of a block, each once."""
        # To compare cells takes less time than to make a set of them.
        if self._is_constant and column and column.count(column[0]) == len(column):
            return {column[0]}
        different = set(column)
        self._is_constant = len(different) == 1
        return different

    def read_each(self, column: Sequence[Any]) -> tuple[list[Any], OddRows]:
        """Returns the same as `read`, cell by cell."""
        absent = Outcome(None if self._is_json else UNSET)
        outcomes = [absent if cell is None else NOTHING if cell is UNSET else self._rule(cell) for cell in column]
        return [outcome.value for outcome in outcomes], [(row, found) for row, found in enumerate(outcomes) if found.code is not None]


# --- screens ----------------------------------------------------------------------------------------------------------------


def _screen_of(field: Field, origin: str, decimal_sign: str | None, clear: str | None) -> Screen | None:
    if field.type == "text":
        return _text_screen(field, clear) if origin in {"text", "integer"} else None
    if field.type == "texts":
        return _texts_screen(field, clear) if origin in {"text", "integer"} else None
    if field.type == "date":
        return _date_screen(years_of(field), clear)
    return _decimal_screen(origin, decimal_sign, clear) if field.type == "decimal" else None


def _text_screen(field: Field, clear: str | None) -> Screen:
    are_plain = TextRules(field, clear).are_plain
    form = FORMS.get(field.path)

    def screen(column: Sequence[Any]) -> list[Any] | None:
        given = column if all(column) else list(filter(None, column))
        if given and not (are_plain(given) if form is None else _are_usual(given, form, clear)):
            return None
        return _as_list(column) if len(given) == len(column) else [cell or UNSET for cell in column]

    return screen


def _are_usual(cells: Sequence[str], form: Form, clear: str | None) -> bool:
    joined = "".join(cells)
    return (
        joined.isascii()
        and joined.isdigit()
        and len(joined) == form.usual_length * len(cells)
        and max(map(len, cells)) == form.usual_length
        and clear not in cells
    )


def _texts_screen(field: Field, clear: str | None) -> Screen:
    are_plain = TextRules(field, clear).are_plain

    def screen(column: Sequence[Any]) -> list[Any] | None:
        given = list(filter(None, column))
        types = set(map(type, given))
        if types == {list}:
            return [cell or UNSET for cell in column] if _are_plain_items(given, are_plain) else None
        if given and (types != {str} or not are_plain(given)):
            return None
        return _as_list(column) if len(given) == len(column) else [cell or UNSET for cell in column]

    return screen


def _are_plain_items(lists: Sequence[list[Any]], are_plain: Callable[[Sequence[str]], bool]) -> bool:
    items = [item for items in lists for item in items]
    return set(map(type, items)) == {str} and all(items) and are_plain(items)


def _date_screen(years: tuple[int, int], clear: str | None) -> Screen:
    are_days = _day_order(years)

    def screen(column: Sequence[Any]) -> list[Any] | None:
        given = column if all(column) else list(filter(None, column))
        if given and (clear in given or not are_days(given)):
            return None
        return _as_list(column) if len(given) == len(column) else [cell or UNSET for cell in column]

    return screen


def _day_order(years: tuple[int, int]) -> Callable[[Sequence[Any]], bool]:
    """Whether texts are days of some years in their ISO form."""
    first, end = f"{years[0]}-", f"{years[1] + 1}-"

    def are_days(given: Sequence[Any]) -> bool:
        try:
            msgspec.convert(given, list[date])
        except (msgspec.ValidationError, UnicodeEncodeError):
            return False
        return first <= min(given) and max(given) < end and max(map(len, given)) == 10

    return are_days


def _decimal_screen(origin: str, decimal_sign: str | None, clear: str | None) -> Screen:
    def screen(column: Sequence[Any]) -> list[Any] | None:
        given = column if all(column) else list(filter(None, column))
        joined = "\0".join(given).replace("\u00a0", " ")
        if clear in given or not joined.isascii():
            return None
        if " " in joined:
            if origin in TYPED or _WITH_GROUPS.fullmatch(f"{joined}\0") is None:
                return None
            joined = joined.replace(" ", "")
        if origin not in TYPED:
            if "," in joined:
                if "." in joined or decimal_sign == ".":
                    return None
                joined = joined.replace(",", ".")
            elif decimal_sign == "," and "." in joined:
                return None
            if not decimal_sign and b".000\0" in f"{joined}\0".encode().translate(_ZEROS):
                return None
        return _raws(joined, given, column)

    return screen


def _raws(joined: str, given: Sequence[str], column: Sequence[Any]) -> list[Any] | None:
    """Numbers, as they stand, where they are written as in JSON."""
    text = joined.encode()
    if text.translate(None, _OF_NUMBERS).strip(b"\0") or b"-0" in text or max(map(len, given), default=0) > _LONGEST_NUMBER:
        return None
    try:
        raws = _RAWS.decode(b"[%b]" % text.replace(b"\0", b","))
    except msgspec.DecodeError:
        return None
    if len(raws) != len(given):
        return None
    if len(given) == len(column):
        return raws
    left = iter(raws)
    return [next(left) if cell else UNSET for cell in column]


def _as_list(column: Sequence[Any]) -> list[Any]:
    return column if isinstance(column, list) else list(column)


def _json_screen(field: Field) -> Screen:
    """A screen that finds values of JSON in order as they stand."""
    if field.type == "decimal":
        return _json_decimals
    types, are_in_order = _JSON_TYPES[field.type], _json_order(field)
    is_in_order_by_type = field.type == "boolean"
    # Of numbers, a zero is a value.
    has_blanks = field.type in {"text", "texts", "date"}
    # What looks whether they are in order raises an error where they are none.
    are_texts = field.type in {"text", "date"}

    def screen(column: Sequence[Any]) -> list[Any] | None:
        if are_texts and column and all(column):
            try:
                return cast("list[Any]", column) if are_in_order(column) else None
            except (AttributeError, TypeError):
                return None
        if not set(map(type, column)) <= types:
            return None
        if is_in_order_by_type:
            return cast("list[Any]", column)
        given = list(filter(None, column)) if has_blanks else [cell for cell in column if cell or cell == 0]
        return cast("list[Any]", column) if not given or are_in_order(given) else None

    return screen


def _json_decimals(column: Sequence[Any]) -> list[Any] | None:
    """A screen that finds numbers of JSON in order as they stand."""
    types = set(map(type, column))
    if not types <= _JSON_TYPES["decimal"]:
        return None
    decimals, whole, floats = (_of_type(column, types, kind) for kind in (Decimal, int, float))
    try:
        # It takes half the time that two comparisons take.
        deque(map(_SURELY_PLAUSIBLE.plus, decimals), maxlen=0)
    except DecimalException:
        return None
    are_plausible = (
        all(map(Decimal.is_finite, decimals))
        and (not whole or (min(whole) > -_BEYOND and max(whole) < _BEYOND))
        # Floats with decimals that are far behind the point, or none at all, are looked at one by one.
        and (not floats or (min(map(abs, floats)) > 1 / _BEYOND and sum(map(abs, floats)) < _BEYOND))
    )
    return cast("list[Any]", column) if are_plausible else None


def _of_type(column: Sequence[Any], types: set[type], kind: type) -> Sequence[Any]:
    if kind not in types:
        return ()
    return column if len(types) == 1 else [cell for cell in column if type(cell) is kind]


def _json_order(field: Field) -> Callable[[Sequence[Any]], bool]:
    """Whether values of the right type, none of them blank, are in order."""
    if field.type in {"text", "texts"}:
        are_plain, form = TextRules(field, strip=False).are_plain, FORMS.get(field.path)
        if field.type == "texts":
            return lambda given: _are_plain_items(given, are_plain)
        return are_plain if form is None else lambda given: _are_usual(given, form, None)
    if field.type == "date":
        return _day_order(years_of(field))
    if field.type == "integer":
        low, high = years_of(field) if field.path == "yearOfBirth" else (-LARGEST, LARGEST)
        return lambda given: bool(low <= min(given) and max(given) <= high)
    return lambda given: True
