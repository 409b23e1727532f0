"""Pure: the form of a document number. What holds for numbers of one form need not hold for others.

A number is a part of the URL of its look-up. A gateway may route `1001` and answer 404 to `2026%2F0001`, to dots, to `%C3%85`, to lower
case or to what is too long. So the proof that look-ups work holds only for numbers of the same form.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

__all__ = ["Candidates", "NumberForm", "form_of"]

# What looks like percent-encoding counts as one symbol: a gateway may decode it twice.
_SYMBOLS: Final = re.compile(r"(?:%[0-9A-Fa-f]{2}|[^0-9A-Za-z])+")
# A number of digits alone that begins with a zero may be taken for the one without it.
_FIRST: Final = re.compile(r"[^0-9A-Za-z]|0(?=[0-9]+\Z)")
_LAST: Final = re.compile(r"[^0-9A-Za-z]\Z")
_SLASH: Final = re.compile(r"/|\\|%2F|%5C", re.IGNORECASE)
_KINDS: Final = (("digits", re.compile(r"[0-9]")), ("upper case", re.compile(r"[A-Z]")), ("lower case", re.compile(r"[a-z]")))


class NumberForm(NamedTuple):
    """The form of a number; only ASCII letters count as letters.

    Attributes:
        symbols: the characters that are no letters or digits; adjacent ones count as one symbol.
        kinds: which of digits, upper case and lower case it holds.
        ends: its first and last character where they are symbols, and a leading zero; else empty texts.
        slashes: the number of slashes: a gateway that decodes them sees as many more segments in the path.
        length: the number of characters.
    """

    symbols: frozenset[str]
    kinds: frozenset[str]
    ends: tuple[str, ...]
    slashes: int
    length: int

    @property
    def kind(self) -> tuple[object, ...]:
        """All but the length."""
        return self[:-1]

    def covers(self, other: NumberForm) -> bool:
        """Returns whether a proof with a number of this form holds for another form: the same but for the length, and no longer.

        Args:
            other: the other form.

        Returns:
            Whether it does.
        """
        return self.kind == other.kind and self.length >= other.length

    def __str__(self) -> str:
        parts = [*sorted(self.kinds), *(ascii(symbol) for symbol in sorted(self.symbols))]
        return f"{self.length} characters of {', '.join(parts)}"


def form_of(number: str) -> NumberForm:
    """Returns the form of a number.

    Args:
        number: the documentNo.

    Returns:
        Its form.
    """
    symbols = frozenset(_SYMBOLS.findall(number))
    kinds = frozenset(name for name, pattern in _KINDS if pattern.search(number))
    ends = (_FIRST.match(number), _LAST.search(number))
    return NumberForm(symbols, kinds, tuple(found[0] if found else "" for found in ends), len(_SLASH.findall(number)), len(number))


class Candidates(NamedTuple):
    """Numbers of one form with which look-ups are proved to work.

    Attributes:
        succeeded: numbers of documents that must be on the server.
        accepted: numbers of documents that may be on the server.
    """

    succeeded: list[str]
    accepted: list[str]
