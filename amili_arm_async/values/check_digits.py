"""Pure: the check digits of whole columns of numbers.

Numbers of one length are looked at together: the digits at one place of all of them, as bytes, are replaced by what they add to the sum,
and read as one large integer. The sum of these integers has the sum of each number in a byte of its own, since none is above 255.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Final

__all__ = ["bad_kids", "bad_organization_numbers"]

_ORGANIZATION: Final = (3, 2, 7, 6, 5, 4, 3, 2, 1)


def _table(value: Callable[[int], int]) -> bytes:
    """What replaces each digit; all other bytes add nothing."""
    return bytes(48) + bytes(map(value, range(10))) + bytes(198)


_ONCE: Final = _table(lambda digit: digit)
_TWICE: Final = _table(lambda digit: digit * 2 // 10 + digit * 2 % 10)
_IS_BAD_BY_10: Final = bytes(total % 10 != 0 for total in range(256))
_IS_BAD_BY_11: Final = bytes(total % 11 != 0 for total in range(256))
# What stands behind numbers of this sum: a remainder of ten is written as a hyphen.
_LAST_BY_11: Final = bytes(b"0123456789-"[-total % 11] for total in range(256))


@cache
def _times(weight: int) -> bytes:
    return _table(lambda digit: digit * weight % 11)


def bad_organization_numbers(numbers: Sequence[str]) -> list[int]:
    """Returns the positions of the Norwegian organisation numbers whose last digit is wrong.

    Args:
        numbers: of nine digits of ASCII each.
    """
    sums = _sums("".join(numbers).encode(), [_times(weight) for weight in _ORGANIZATION])
    return _marked(sums.translate(_IS_BAD_BY_11))


def bad_kids(kids: Sequence[str]) -> list[int]:
    """Returns the positions of the KIDs whose last digit is right neither by modulus 10 nor by modulus 11.

    Args:
        kids: of 2 to 25 digits of ASCII each, the last of which may be a hyphen.
    """
    bad: list[int] = []
    for positions, same in _by_length(kids):
        left = _bad_by_10(same)
        if left:
            wrong = _bad_by_11([same[position] for position in left])
            bad += [positions[left[position]] for position in wrong]
    return sorted(bad)


def _by_length(texts: Sequence[str]) -> Iterator[tuple[Sequence[int], Sequence[str]]]:
    """The texts of each length, with their positions."""
    lengths = list(map(len, texts))
    for length in sorted(set(lengths)):
        if lengths.count(length) == len(lengths):
            yield range(len(texts)), texts
        else:
            positions = [position for position, one in enumerate(lengths) if one == length]
            yield positions, [texts[position] for position in positions]


def _bad_by_10(kids: Sequence[str]) -> list[int]:
    text, length = "".join(kids).encode(), len(kids[0])
    flags = _sums(text, [_ONCE if (length - place) % 2 else _TWICE for place in range(length)]).translate(_IS_BAD_BY_10)
    last = text[length - 1 :: length]
    return [row for row, sign in enumerate(last) if flags[row] or sign == 45] if b"-" in last else _marked(flags)


def _bad_by_11(kids: Sequence[str]) -> list[int]:
    # The weights are 2 to 7, from the right, again and again.
    text, length = "".join(kids).encode(), len(kids[0])
    sums = _sums(text, [*(_times(2 + (length - 2 - place) % 6) for place in range(length - 1)), bytes(256)])
    wanted, last = sums.translate(_LAST_BY_11), text[length - 1 :: length]
    return [] if wanted == last else [row for row, sign in enumerate(last) if sign != wanted[row]]


def _sums(text: bytes, tables: Sequence[bytes]) -> bytes:
    """The sum of each number, in a byte.

    Args:
        text: the numbers, one behind the other.
        tables: for each place of a number, what its digits add: at most 10.
    """
    total = 0
    for place, table in enumerate(tables):
        total += int.from_bytes(text[place :: len(tables)].translate(table), "big")
    return total.to_bytes(len(text) // len(tables), "big")


def _marked(flags: bytes) -> list[int]:
    return [row for row, flag in enumerate(flags) if flag] if 1 in flags else []
