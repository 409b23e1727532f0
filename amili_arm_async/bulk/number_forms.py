"""Pure: the form of a number, for what holds for some numbers and not for others, such as whether a gateway passes on the look-up.

A number is a part of the address of its look-up. A gateway may know the address of `1001` and answer 404 to `2026%2F0001`, to dots, to
`%C3%85`, to lower case or to what is too long. So what was seen with one number holds for numbers of the same form alone.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

__all__ = ["Candidates", "NumberForm", "form_of"]

# What looks like percent-encoding is a sign of its own: somebody may decode it twice.
_SIGNS: Final = re.compile(r"(?:%[0-9A-Fa-f]{2}|[^0-9A-Za-z])+")
# A number of digits alone that begins with a zero may be taken for the one without it.
_FIRST: Final = re.compile(r"[^0-9A-Za-z]|0(?=[0-9]+\Z)")
_LAST: Final = re.compile(r"[^0-9A-Za-z]\Z")
_SLASH: Final = re.compile(r"/|\\|%2F|%5C", re.IGNORECASE)
_KINDS: Final = (("digits", re.compile(r"[0-9]")), ("upper case", re.compile(r"[A-Z]")), ("lower case", re.compile(r"[a-z]")))


class NumberForm(NamedTuple):
    """The form of a number; only the letters of ASCII are letters here.

    Attributes:
        signs: what it holds beside letters and digits; signs side by side are one.
        kinds: which of digits, upper case and lower case it holds.
        ends: its first and last character where they are signs, and the zero before other digits; else empty texts.
        slashes: how many it holds: a gateway that decodes them sees so many parts more in the path.
        length: its characters.
    """

    signs: frozenset[str]
    kinds: frozenset[str]
    ends: tuple[str, ...]
    slashes: int
    length: int

    @property
    def kind(self) -> tuple[object, ...]:
        """All but the length."""
        return self[:-1]

    def covers(self, other: NumberForm) -> bool:
        """Whether what was seen with a number of this form holds for one of the other: the same but for the length, and no shorter."""
        return self.kind == other.kind and self.length >= other.length

    def __str__(self) -> str:
        parts = [*sorted(self.kinds), *(ascii(sign) for sign in sorted(self.signs))]
        return f"{self.length} characters of {', '.join(parts)}"


def form_of(number: str) -> NumberForm:
    """The form of a number."""
    signs = frozenset(_SIGNS.findall(number))
    kinds = frozenset(name for name, pattern in _KINDS if pattern.search(number))
    ends = (_FIRST.match(number), _LAST.search(number))
    return NumberForm(signs, kinds, tuple(found[0] if found else "" for found in ends), len(_SLASH.findall(number)), len(number))


class Candidates(NamedTuple):
    """Numbers of one kind of form whose documents should be there: those that `succeeded` must be, those that were `accepted` may be."""

    succeeded: list[str]
    accepted: list[str]
