"""HTML elements with escaped text, and the format of numbers, money and times on the page. Pure."""

from __future__ import annotations

import html
import unicodedata
from datetime import datetime, tzinfo
from typing import Final, NamedTuple

__all__ = [
    "WHOLE_PAGE",
    "Markup",
    "Scope",
    "bytes_text",
    "clock_text",
    "duration",
    "element",
    "identifier",
    "join",
    "money",
    "number",
    "percent",
    "plural",
    "spaced",
]

_VOID: Final = frozenset({"meta", "link", "br", "rect", "line", "polyline", "circle", "path"})
_SPACE: Final = "\u202f"
"""A narrow no-break space."""


class Markup(str):
    """Text that is markup; any other text is escaped."""

    __slots__ = ()


class Scope(NamedTuple):
    """Where on a page a report stands: a page may hold those of several client numbers.

    Attributes:
        prefix: what the ids of its elements begin with.
        level: level of its largest headings.
    """

    prefix: str = ""
    level: int = 2

    def id(self, name: str) -> str:
        """Returns the id of an element.

        Args:
            name: the name of the element within the report.

        Returns:
            An id that no other report of the page has.
        """
        return self.prefix + name

    def heading(self, *children: str, name: str | None = None, below: int = 0) -> Markup:
        """Returns a heading.

        Args:
            *children: what it says.
            name: see `id`; None: it has no id.
            below: levels below the largest headings of the report.

        Returns:
            The heading.
        """
        return element(f"h{self.level + below}", *children, id=self.id(name) if name is not None else None)


WHOLE_PAGE: Final = Scope()
"""The scope of a report that has the page for itself."""


def element(name: str, /, *children: str, **attributes: str | int | float | bool | None) -> Markup:
    """Returns an element.

    Args:
        name: of the element.
        *children: escaped unless they are markup.
        **attributes: `class_` becomes `class`, and `_` becomes `-`; True is an attribute without value, None and False omit it.

    Returns:
        The element.
    """
    parts = [name]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        attribute = key.rstrip("_").replace("_", "-")
        parts.append(attribute if value is True else f'{attribute}="{_escaped(_short(value) if isinstance(value, float) else str(value))}"')
    opening = " ".join(parts)
    if name in _VOID:
        return Markup(f"<{opening}/>" if name in {"rect", "line", "polyline", "circle", "path"} else f"<{opening}>")
    return Markup(f"<{opening}>{join(*children)}</{name}>")


def join(*children: str) -> Markup:
    """Joins markup and text.

    Args:
        *children: escaped unless they are markup.

    Returns:
        All of them in a row.
    """
    return Markup("".join(child if isinstance(child, Markup) else _escaped(child) for child in children))


def identifier(text: str) -> Markup:
    """Returns an identifier from outside, isolated from the text around it.

    Args:
        text: the identifier.

    Returns:
        A `code` element.
    """
    return element("code", element("bdi", text))


def _escaped(text: str) -> str:
    return html.escape("".join(map(_visible, text)) if not text.isprintable() else text, quote=True)


def _visible(sign: str) -> str:
    """Replaces control characters, half surrogates and changes of text direction."""
    if sign in "\n\u202f\u2009\u00a0":
        return sign
    return "\ufffd" if unicodedata.category(sign) in {"Cc", "Cf", "Cs"} else sign


def _short(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def number(value: int) -> str:
    """Formats an integer in groups of three digits.

    Args:
        value: the integer.

    Returns:
        Such as `1 000`.
    """
    return f"{value:,}".replace(",", _SPACE)


def plural(count: int, word: str) -> str:
    """Formats a number with its noun.

    Args:
        count: the number.
        word: the noun in the singular.

    Returns:
        Such as `1 record` or `2 records`.
    """
    return f"{number(count)} {word}{'' if count == 1 else 's' if not word.endswith('ch') else 'es'}"


def money(text: str) -> str:
    """Formats an amount in groups of three digits, with all its decimals, at least two.

    Args:
        text: the amount as decimal text.

    Returns:
        Such as `1 000.00`.
    """
    sign, digits = ("\u2212", text[1:]) if text.startswith("-") else ("", text)
    whole, _, fraction = digits.partition(".")
    whole = whole.lstrip("0") or "0"
    first = len(whole) % 3 or 3
    groups = [whole[:first], *(whole[at : at + 3] for at in range(first, len(whole), 3))]
    return f"{sign}{_SPACE.join(groups)}.{fraction.ljust(2, '0')}"


def percent(part: int, whole: int) -> str:
    """Formats a share to a tenth of a per cent; 0 and 100 are only nothing and all.

    Args:
        part: the count.
        whole: of which it is a share.

    Returns:
        Such as `12.3 %`.
    """
    if not whole or part in {0, whole}:
        return f"{100 if part else 0}{_SPACE}%"
    # In integers, so that ten million records are not rounded.
    tenths = (part * 2000 + whole) // (2 * whole)
    if tenths < 1:
        return f"<{_SPACE}0.1{_SPACE}%"
    if tenths >= 1000 and part < whole:
        return f">{_SPACE}99.9{_SPACE}%"
    return f"{number(tenths // 10)}.{tenths % 10}{_SPACE}%"


def duration(seconds: float) -> str:
    """Formats a duration.

    Args:
        seconds: the duration.

    Returns:
        Such as `1.5 s`, `3 min 20 s` or `2 h 5 min`.
    """
    if seconds < 60:
        return f"{_short(round(seconds, 1 if seconds >= 1 else 2))}{_SPACE}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{number(hours)}{_SPACE}h {minutes}{_SPACE}min"
    return f"{minutes}{_SPACE}min {rest}{_SPACE}s"


def bytes_text(size: int) -> str:
    """Formats a number of bytes.

    Args:
        size: in bytes.

    Returns:
        Such as `1.5 MB` (10**6 bytes).
    """
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= factor:
            return f"{number(size // factor)}.{size % factor * 10 // factor}{_SPACE}{unit}"
    return f"{size}{_SPACE}bytes"


def spaced(text: str) -> str:
    """Returns a text of the page for a terminal: with usual spaces.

    Args:
        text: the text.

    Returns:
        The same without narrow spaces.
    """
    return text.replace(_SPACE, " ")


def clock_text(instant: datetime, zone: tzinfo | None) -> str:
    """Formats a time with its UTC offset.

    Args:
        instant: the time.
        zone: time zone; None is that of this machine.

    Returns:
        Such as `21 November 2026, 02:00:03 +01:00`.
    """
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
