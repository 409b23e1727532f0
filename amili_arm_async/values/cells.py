"""Pure: what one cell is, by the field and by what the column was. These rules are the truth; `columns` only applies them sooner."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, Final, TypeAlias

from msgspec import UNSET

from .dates import YEARS, YEARS_OF_BIRTH, read_date
from .fields import Field
from .forms import FORMS, Form
from .numbers import LARGEST, MOST_DIGITS, TOO_MANY_DIGITS, read_decimal, read_integer, read_typed_number, whole_text
from .outcome import NOTHING, Outcome, refused
from .texts import BLANKS, TextRules, separate_items, value_fault

__all__ = ["PENDING", "TYPED", "Rule", "rule_of", "whole_number", "years_of"]

Rule: TypeAlias = Callable[[Any], Outcome]
"""Takes a cell that is not None."""

PENDING: Final = "pending"
"""The code of a text that needs a look at other cells of its row."""

TYPED: Final = frozenset(("integer", "decimal", "float"))
"""Origins of numbers, none of which has two meanings."""

_WORDS: Final[dict[str, bool]] = {
    **dict.fromkeys(("ja", "true", "1", "yes", "sann", "1.0"), True),
    **dict.fromkeys(("nei", "false", "0", "no", "usann", "0.0"), False),
}
_NO_BOOLEAN: Final = refused("boolean", "not a boolean: true, ja or 1, or false, nei or 0")
_NO_WHOLE: Final = refused("number", "not a whole number")
_TOO_LARGE: Final = refused("out_of_range", f"a whole number that not every program can hold exactly: {LARGEST} at the most")
_NO_TEXT: Final = {
    "boolean": refused("wrong_type", "not a text, but true or false"),
    "date": refused("wrong_type", "not a text, but a date: make it a text first"),
    "instant": refused("wrong_type", "not a text, but a moment: make it a text first"),
}
_ROUNDED: Final = refused("number_as_identifier", "not a text, but a number with decimals or of too many digits: write the column as text")


def rule_of(field: Field, origin: str, decimal_sign: str | None = None, clear: str | None = None) -> Rule:
    """Returns what tells what a cell is.

    Args:
        field: of the column.
        origin: what the column was.
        decimal_sign: of its numbers: `,` or `.`; None where only a form with one meaning is read, `""` where the column contradicts itself.
        clear: a text that clears the field.
    """
    if origin == "json":
        return _json_rule(field)
    if field.type == "text":
        return _text_rule(field, origin, clear)
    return _texts_rule(field, origin, clear) if field.type == "texts" else _value_rule(field, origin, decimal_sign, clear)


def years_of(field: Field) -> tuple[int, int]:
    """Returns the first and the last year that are right in a field."""
    return YEARS_OF_BIRTH if field.path in {"dateOfBirth", "yearOfBirth"} else YEARS


# --- texts ------------------------------------------------------------------------------------------------------------------


def _text_rule(field: Field, origin: str, clear: str | None) -> Rule:
    read = _from_origin(TextRules(field, clear).read, origin)
    form = FORMS.get(field.path)
    return read if form is None else _with_form(read, form)


def _with_form(read: Rule, form: Form) -> Rule:
    def rule(cell: Any) -> Outcome:
        outcome = read(cell)
        if outcome.code is None and outcome.value and not form.is_usual(outcome.value):
            return Outcome(outcome.value, PENDING)
        return outcome

    return rule


def _from_origin(read: Rule, origin: str) -> Rule:
    """The rule for what was no text."""
    if origin in _NO_TEXT:
        return lambda cell: _NO_TEXT[origin] if cell else NOTHING
    if origin not in {"float", "decimal"}:
        return read

    def rule(cell: Any) -> Outcome:
        # A column of whole numbers with gaps becomes one of floats in many tools. A float of more digits was rounded.
        whole = whole_text(cell) if cell else ""
        is_rounded = whole is None or (origin == "float" and abs(int(whole or 0)) > LARGEST)
        return _ROUNDED if is_rounded else read(whole)

    return rule


def _texts_rule(field: Field, origin: str, clear: str | None) -> Rule:
    read = _from_origin(TextRules(field).read, origin)

    def rule(cell: Any) -> Outcome:
        if not isinstance(cell, str):
            return _read_items(read, [item for item in cell if item is not None])
        if clear is not None and cell.strip(BLANKS) == clear:
            return Outcome([])
        outcome = _read_items(read, separate_items(cell))
        # One text alone is the same list, and takes less memory.
        return outcome._replace(value=outcome.value[0]) if outcome.value and len(outcome.value) == 1 else outcome

    return rule


def _read_items(read: Rule, items: Iterable[Any]) -> Outcome:
    values, warning = [], NOTHING
    for item in items:
        if not isinstance(item, str):
            return refused("wrong_type", "a list with something else than texts")
        outcome = read(item)
        if outcome.value is not UNSET:
            values.append(outcome.value)
            warning = warning if outcome.code is None or warning.code is not None else outcome
        elif outcome.code is not None:
            return outcome
    return Outcome(values, warning.code, warning.message) if values else NOTHING


# --- other values -------------------------------------------------------------------------------------------------------------


def _value_rule(field: Field, origin: str, decimal_sign: str | None, clear: str | None) -> Rule:
    read = _reader(field, origin, decimal_sign)

    def rule(cell: Any) -> Outcome:
        text = cell.strip(BLANKS)
        if not text:
            return NOTHING
        if text == clear:
            return (
                Outcome("") if field.type == "date" else refused("wrong_type", f"a field of type {field.type} can't be cleared by a blank")
            )
        outcome = read(text)
        # NaN is a number there, and no word.
        return outcome if outcome.code is None or origin in TYPED else value_fault(text) or outcome

    return rule


def _reader(field: Field, origin: str, decimal_sign: str | None) -> Callable[[str], Outcome]:
    years, is_whole = years_of(field), field.type == "integer"

    def read_number(text: str) -> Outcome:
        if origin in TYPED:
            return read_typed_number(text, whole=is_whole)
        return read_integer(text, decimal_sign) if is_whole else read_decimal(text, decimal_sign)

    if field.type == "date":
        return lambda text: read_date(text, years)
    if field.type == "boolean":
        return _read_boolean
    return (lambda text: _in_years(read_number(text), years)) if field.path == "yearOfBirth" else read_number


def _read_boolean(text: str) -> Outcome:
    value = _WORDS.get(text.casefold())
    return _NO_BOOLEAN if value is None else Outcome(value)


def _in_years(outcome: Outcome, years: tuple[int, int]) -> Outcome:
    if outcome.code is None and not years[0] <= outcome.value <= years[1]:
        return refused("out_of_range", f"a year outside {years[0]} to {years[1]}")
    return outcome


# --- values of JSON -----------------------------------------------------------------------------------------------------------


def _json_rule(field: Field) -> Rule:
    """The rule for a value of JSON: its texts are judged as those of tables; a blank text or list is one that clears the field."""
    if field.type == "text":
        return _json_text_rule(field)
    if field.type == "texts":
        return _json_texts_rule(field)
    return {"integer": _json_integer(field), "decimal": _json_decimal, "boolean": _json_boolean, "date": _json_date(field)}[field.type]


def _wrong_type(what: str) -> Outcome:
    return refused("wrong_type", f"not {what}")


def _json_text_rule(field: Field) -> Rule:
    rules = TextRules(field, strip=False)
    form = FORMS.get(field.path)
    read = rules.read if form is None else _with_form(rules.read, form)

    def rule(cell: Any) -> Outcome:
        if not isinstance(cell, str):
            return _wrong_type("a text")
        outcome = read(cell)
        if outcome is NOTHING:
            return Outcome(cell) if not cell or not rules.strips else _ONLY_BLANKS
        return (rules.blanks_fault(cell) or outcome) if outcome.value is not UNSET else outcome

    return rule


_ONLY_BLANKS: Final = refused("null_word", "a text of blanks alone: give a value, or null; an empty text clears the field")


def _json_texts_rule(field: Field) -> Rule:
    rules = TextRules(field, strip=False)

    def rule(cell: Any) -> Outcome:
        if not isinstance(cell, list) or not all(isinstance(item, str) for item in cell):
            return _wrong_type("a list of texts")
        values, warning = [], NOTHING
        for item in cell:
            outcome = rules.read(item)
            if outcome.value is UNSET and outcome.code is not None:
                return outcome
            values.append(item if outcome.value is UNSET else outcome.value)
            warning = outcome if outcome.code is not None else warning
        return Outcome(cell if values == cell else values, warning.code, warning.message)

    return rule


def _json_integer(field: Field) -> Rule:
    def rule(cell: Any) -> Outcome:
        if isinstance(cell, bool) or not isinstance(cell, (int, float, Decimal)):
            return _wrong_type("a whole number")
        outcome = whole_number(cell)
        return _in_years(outcome, years_of(field)) if field.path == "yearOfBirth" else outcome

    return rule


def whole_number(value: float | Decimal) -> Outcome:
    """Returns a whole number, of which 14.0 is one too."""
    if not -LARGEST <= value <= LARGEST:
        return _TOO_LARGE
    return Outcome(int(value)) if value == int(value) else _NO_WHOLE


def _json_decimal(cell: Any) -> Outcome:
    if isinstance(cell, bool) or not isinstance(cell, (int, float, Decimal)):
        return _wrong_type("a number")
    if isinstance(cell, int):
        # Python writes no whole number of several thousand digits.
        return Outcome(cell) if abs(cell) < 10**MOST_DIGITS else TOO_MANY_DIGITS
    fault = read_typed_number(str(cell), whole=False)
    return fault if fault.code is not None else Outcome(cell)


def _json_boolean(cell: Any) -> Outcome:
    return Outcome(cell) if isinstance(cell, bool) else _wrong_type("true or false")


def _json_date(field: Field) -> Rule:
    read = _value_rule(field, "text", None, None)

    def rule(cell: Any) -> Outcome:
        if not isinstance(cell, str):
            return _wrong_type("a date as YYYY-MM-DD")
        outcome = read(cell)
        return outcome if outcome is not NOTHING else _ONLY_BLANKS if cell else Outcome("")

    return rule
