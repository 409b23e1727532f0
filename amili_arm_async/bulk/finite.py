"""Pure: checks whether Structs hold only finite numbers, dates that are days, and objects of the API's classes, by the types of the fields.

msgspec writes NaN and Infinity as null or as bare words. To search the text for them costs as much as to write it; to check the few fields
that hold numbers costs a fraction of that. Fields of text are not checked: a type checker does that. Whatever is unusual makes the answer
False: then the text is searched after all, which also finds what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import date
from decimal import Decimal
from typing import Any, Final, TypeGuard, get_args, get_origin

from msgspec import UNSET

from ..models.base import Input
from .field_names import kinds_of

__all__ = ["finite_check"]

_SELDOM: Final = frozenset({"stop_debt_collection_until", "stop_interest_calc_until", "stop_reminder_until", "year_of_birth"})
"""Attributes that few records have: they are checked one by one only where not all of them are missing."""


def finite_check(cls: type[Input], *, decimals: bool) -> Callable[[Iterable[Any]], bool]:
    """Makes the function that checks whether Structs hold only finite numbers, dates without a time, and objects of the API's classes.

    It is made as text, since it runs for every record that is sent: each value is checked in its place, without a call.

    Args:
        cls: their class.
        decimals: whether there may be Decimals. Where there are hardly any, False for one that has some lets all others be written by an
            encoder that need not look for them.

    Returns:
        The function. It returns False, or raises AttributeError or TypeError, where that is not certain.
    """
    names: dict[str, Any] = {"UNSET": UNSET, "date": date, "int": int, "type": type}
    loop = _loop(cls, "one", "records", names, decimals=decimals)
    # Names of its own are found quicker than those of a module.
    own = ", ".join(f"{name}={name}" for name in names)
    exec("\n".join([f"def are_finite(records, {own}):", *loop, "    return True"]), names)  # noqa: S102 - of our own names alone
    check: Callable[[Iterable[Any]], bool] = names["are_finite"]
    return check


def _loop(cls: type[Input], one: str, of: str, names: dict[str, Any], *, decimals: bool, depth: int = 1) -> Iterator[str]:
    """Gives the lines that check each Struct of an iterable, and the Structs in its lists; the classes in them are added to the names."""
    margin = "    " * depth
    conditions = list(_conditions(cls, one, names, decimals=decimals))
    if depth > 1:
        names[cls.__name__] = cls
        conditions.insert(0, f"type({one}) is {cls.__name__}")
    yield f"{margin}for {one} in {of}:"
    yield f"{margin}    if not ({' and '.join(conditions) or 'True'}): return False"
    for attribute, kind in zip(cls.__struct_fields__, kinds_of(cls).values(), strict=True):
        if get_origin(kind) is list and _is_struct(inner := get_args(kind)[0]):
            yield f"{margin}    if (items := {one}.{attribute}) is not UNSET:"
            yield from _loop(inner, f"{one}_{attribute}", "items", names, decimals=decimals, depth=depth + 2)


def _conditions(cls: type[Input], one: str, names: dict[str, Any], *, decimals: bool) -> Iterator[str]:
    """Gives the conditions for one Struct."""
    unset: list[str] = []
    seldom: dict[str, str] = {}
    for attribute, kind in zip(cls.__struct_fields__, kinds_of(cls).values(), strict=True):
        value = f"{one}.{attribute}"
        items = get_args(kind)[0] if get_origin(kind) is list else None
        if kind in {int, date}:
            check = f"(type(found := {value}) is {kind.__name__} or found is UNSET)"
            if attribute in _SELDOM:
                seldom[value] = check
            else:
                yield check
        elif kind is Decimal and decimals:
            yield f"((found := {value}) is UNSET or found.is_finite())"
        elif kind in {Decimal, Any} or items in {int, Decimal, Any}:
            unset.append(value)
        elif _is_struct(kind):
            # Another class may have other names, which msgspec would write.
            inner, names[kind.__name__] = f"{one}_{attribute}", kind
            checks = [f"type({inner} := {value}) is {kind.__name__}", *_conditions(kind, inner, names, decimals=decimals)]
            yield f"({' and '.join(checks)} or {inner} is UNSET)"
    if unset:
        yield " is ".join([*unset, "UNSET"])
    if seldom:
        yield f"({' is '.join([*seldom, 'UNSET'])} or {' and '.join(seldom.values())})"


def _is_struct(kind: Any) -> TypeGuard[type[Input]]:
    return isinstance(kind, type) and issubclass(kind, Input)
