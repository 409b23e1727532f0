"""Pure: checks whether Structs hold only finite numbers, dates that are days, and objects of the API's classes, by the types of the fields.

msgspec writes NaN and Infinity as null or as bare words. To search the text for them costs as much as to write it; to check the few fields
that hold numbers costs a fraction of that. Fields of text are not checked: a type checker does that. Whatever is unusual makes the answer
False: then the text is searched after all, which also finds what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date
from decimal import Decimal
from typing import Any, TypeGuard, get_args, get_origin

from msgspec import UNSET

from ..models.base import Input
from .field_names import kinds_of

__all__ = ["finite_check"]

_CHECK = """
def are_finite(records):
    for one in records:
        if not ({condition}):
            return False
    return True
"""


def finite_check(cls: type[Input], *, decimals: bool, knows_class: bool = True) -> Callable[[Iterable[Any]], bool]:
    """Makes the function that checks whether Structs hold only finite numbers, and dates without a time.

    It is made as text, since it runs for every record that is sent: each value is checked in its place, without a call.

    Args:
        cls: their class.
        decimals: whether there may be Decimals. Where there are hardly any, False for one that has some lets all others be written by an
            encoder that need not look for them.
        knows_class: whether they are known to be of this class; else the function checks it.

    Returns:
        The function. It returns False, or raises AttributeError or TypeError, where that is not certain.
    """
    names: dict[str, Any] = {"UNSET": UNSET, "date": date, "one_class": cls}
    conditions = [*(() if knows_class else ("type(one) is one_class",)), _condition(cls, "one", names, decimals=decimals) or "True"]
    exec(_CHECK.format(condition=" and ".join(conditions)), names)  # noqa: S102 - of our own names alone
    check: Callable[[Iterable[Any]], bool] = names["are_finite"]
    return check


def _condition(cls: type[Input], one: str, names: dict[str, Any], *, decimals: bool) -> str:
    """The condition for one Struct; functions for lists of Structs are added to the names."""
    conditions: list[str] = []
    for attribute, kind in zip(cls.__struct_fields__, kinds_of(cls).values(), strict=True):
        value = f"{one}.{attribute}"
        items = get_args(kind)[0] if get_origin(kind) is list else None
        if kind is int:
            conditions.append(f"(type({value}) is int or {value} is UNSET)")
        elif kind is date:
            conditions.append(f"((day := {value}) is UNSET or type(day) is date)")
        elif kind is Decimal and decimals:
            conditions.append(f"({value} is UNSET or {value}.is_finite())")
        elif kind in {Decimal, Any} or items in {int, Decimal, Any}:
            conditions.append(f"{value} is UNSET")
        elif _is_struct(kind):
            # Another class may have other names: msgspec would write them.
            inner, names[kind.__name__] = f"{one}_{attribute}", kind
            found = _condition(kind, inner, names, decimals=decimals)
            checks = " and ".join([f"type({inner}) is {kind.__name__}", *([found] if found else [])])
            conditions.append(f"(({inner} := {value}) is UNSET or ({checks}))")
        elif _is_struct(items):
            names[f"check_{attribute}"] = finite_check(items, decimals=decimals, knows_class=False)
            conditions.append(f"({value} is UNSET or check_{attribute}({value}))")
    return f"({' and '.join(conditions)})" if conditions else ""


def _is_struct(kind: Any) -> TypeGuard[type[Input]]:
    return isinstance(kind, type) and issubclass(kind, Input)
