"""Pure: HTML elements whose texts can't become markup, and numbers, money and times as the page writes them."""

from __future__ import annotations

import html
import unicodedata
from datetime import datetime, tzinfo
from typing import Final

__all__ = ["Markup", "bytes_text", "clock_text", "duration", "element", "identifier", "join", "money", "number", "percent", "plural"]

_VOID: Final = frozenset({"meta", "link", "br", "rect", "line", "polyline", "circle", "path"})
_SPACE: Final = "\u202f"
"""A narrow space that does not break."""


class Markup(str):
    """Text that is markup already; every other text is escaped."""

    __slots__ = ()


def element(name: str, /, *children: str, **attributes: str | int | float | bool | None) -> Markup:
    """An element. `class_` is class, `_` in a name is `-`; True gives an attribute without value, None and False none."""
    made = [name]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        said = key.rstrip("_").replace("_", "-")
        made.append(said if value is True else f'{said}="{_escaped(_short(value) if isinstance(value, float) else str(value))}"')
    opening = " ".join(made)
    if name in _VOID:
        return Markup(f"<{opening}/>" if name in {"rect", "line", "polyline", "circle", "path"} else f"<{opening}>")
    return Markup(f"<{opening}>{join(*children)}</{name}>")


def join(*children: str) -> Markup:
    """All of them, one after the other; what is not markup is escaped."""
    return Markup("".join(child if isinstance(child, Markup) else _escaped(child) for child in children))


def identifier(text: str) -> Markup:
    """A text from outside, apart from what is around it."""
    return element("code", element("bdi", text))


def _escaped(text: str) -> str:
    return html.escape("".join(map(_visible, text)) if not text.isprintable() else text, quote=True)


def _visible(sign: str) -> str:
    """Controls, half surrogates and what turns the direction of writing are shown as what they are: odd."""
    if sign in "\n\u202f\u2009\u00a0":
        return sign
    return "\ufffd" if unicodedata.category(sign) in {"Cc", "Cf", "Cs"} else sign


def _short(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def number(value: int) -> str:
    """A whole number in groups of three."""
    return f"{value:,}".replace(",", _SPACE)


def plural(count: int, word: str) -> str:
    """A number and its word: 1 record, 2 records."""
    return f"{number(count)} {word}{'' if count == 1 else 's' if not word.endswith('ch') else 'es'}"


def money(text: str) -> str:
    """An amount in groups of three, with all the digits that it has after the point, two at the least."""
    sign, digits = ("\u2212", text[1:]) if text.startswith("-") else ("", text)
    whole, _, fraction = digits.partition(".")
    whole = whole.lstrip("0") or "0"
    first = len(whole) % 3 or 3
    groups = [whole[:first], *(whole[at : at + 3] for at in range(first, len(whole), 3))]
    return f"{sign}{_SPACE.join(groups)}.{fraction.ljust(2, '0')}"


def percent(part: int, whole: int) -> str:
    """A share to a tenth; 0 and 100 only where it is nothing and all."""
    if not whole or part in {0, whole}:
        return f"{100 if part else 0}{_SPACE}%"
    # In whole numbers: ten million records are no reason to round.
    tenths = (part * 2000 + whole) // (2 * whole)
    if tenths < 1:
        return f"<{_SPACE}0.1{_SPACE}%"
    if tenths >= 1000 and part < whole:
        return f">{_SPACE}99.9{_SPACE}%"
    return f"{number(tenths // 10)}.{tenths % 10}{_SPACE}%"


def duration(seconds: float) -> str:
    """A length of time, to what matters of it."""
    if seconds < 60:
        return f"{_short(round(seconds, 1 if seconds >= 1 else 2))}{_SPACE}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{number(hours)}{_SPACE}h {minutes}{_SPACE}min"
    return f"{minutes}{_SPACE}min {rest}{_SPACE}s"


def bytes_text(size: int) -> str:
    """A number of bytes in the unit that fits."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= factor:
            return f"{number(size // factor)}.{size % factor * 10 // factor}{_SPACE}{unit}"
    return f"{size}{_SPACE}bytes"


def clock_text(instant: datetime, zone: tzinfo | None) -> str:
    """A moment in a zone, None is that of this machine, with its offset."""
    local = instant.astimezone(zone)
    offset = local.strftime("%z")
    return f"{local.day} {_MONTHS[local.month - 1]} {local.year}, {local:%H:%M:%S} {offset[:3]}:{offset[3:5]}"


_MONTHS: Final = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
