"""Pure: the money of documents, as the journal of a shared run keeps it beside their keys."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow
from typing import Final

import msgspec
from msgspec import Struct

__all__ = ["EXACT", "MOST_DIGITS", "NO_TOTAL", "SCALE", "AmountSum", "RecordAmounts", "added", "with_cents"]

MOST_DIGITS: Final = 1000
"""Of an amount, on each side of the decimal point."""

EXACT: Final = Context(prec=5 * MOST_DIGITS, Emax=10 * MOST_DIGITS, Emin=-10 * MOST_DIGITS, traps=[Inexact, InvalidOperation, Overflow])
"""Calculates with as many digits as any sum here can have, and raises rather than round."""

SCALE: Final = Decimal(10_000)
"""Amounts are kept as whole numbers of ten-thousandths."""

NO_TOTAL: Final = -(2**63)
"""In the place of the amount of a document that has none."""

_CENT: Final = Decimal("0.01")


def with_cents(total: Decimal) -> Decimal:
    """Returns an amount with two decimals at least, and no zeros after them.

    Args:
        total: the amount.
    """
    total = EXACT.normalize(total)
    return EXACT.quantize(total, _CENT) if int(total.as_tuple().exponent) > -2 else total


class AmountSum(Struct, frozen=True, array_like=True):
    """Documents of one currency, and their money.

    Attributes:
        currency: three letters, or None.
        count: number of the documents.
        with_total: how many of them have a total.
        from_lines: how many of these totals were made by adding up lines.
        total: the sum of the totals, as text.
    """

    currency: str | None
    count: int
    with_total: int
    from_lines: int
    total: str


class RecordAmounts(Struct, frozen=True, array_like=True):
    """The money of some documents, one after the other.

    Attributes:
        totals: eight bytes for each, in ten-thousandths; `NO_TOTAL` where it has none, 0 where it is in `odd`.
        currencies: their currencies; None for none.
        which: two bytes for each, which of the currencies it has; empty if all have the first.
        odd: by position, totals that are too large or have too many decimals, as texts.
        from_lines: the positions of those whose total was made by adding up lines.
    """

    totals: bytes
    currencies: Sequence[str | None]
    which: bytes = b""
    odd: Mapping[int, str] = {}
    from_lines: Sequence[int] = ()

    def __len__(self) -> int:
        return len(self.totals) // 8

    def only(self, positions: Sequence[int]) -> RecordAmounts:
        """Picks documents.

        Args:
            positions: their positions.

        Returns:
            Their money, in the order of `positions`.
        """
        totals, which, from_lines = array("q", self.totals), array("H", self.which), frozenset(self.from_lines)
        return RecordAmounts(
            array("q", [totals[at] for at in positions]).tobytes(),
            self.currencies,
            array("H", [which[at] for at in positions]).tobytes() if which else b"",
            {number: self.odd[at] for number, at in enumerate(positions) if at in self.odd} if self.odd else {},
            [number for number, at in enumerate(positions) if at in from_lines],
        )

    def sums(self, positions: Iterable[int] | None = None) -> list[AmountSum]:
        """Adds up the money of documents, by currency.

        Args:
            positions: which; None: all.

        Returns:
            The sums.
        """
        chosen = list(range(len(self)) if positions is None else positions)
        totals, which, from_lines = array("q", self.totals), array("H", self.which), frozenset(self.from_lines)
        by_currency: dict[int, list[int]] = {} if which or not chosen else {0: chosen}
        for at in chosen if which else ():
            by_currency.setdefault(which[at], []).append(at)
        return [self._sum_of(self.currencies[number], some, totals, from_lines) for number, some in by_currency.items()]

    def _sum_of(self, currency: str | None, places: Sequence[int], totals: array[int], from_lines: frozenset[int]) -> AmountSum:
        found: Sequence[int]
        found = totals if len(places) == len(totals) else [totals[at] for at in places]
        if without := found.count(NO_TOTAL):
            found = [total for total in found if total != NO_TOTAL]
        total = EXACT.divide(Decimal(sum(found)), SCALE)
        for at in places if self.odd else ():
            if at in self.odd:
                total = EXACT.add(total, Decimal(self.odd[at]))
        return AmountSum(currency, len(places), len(places) - without, len(from_lines.intersection(places)), format(with_cents(total), "f"))

    def encoded(self) -> tuple[str, bytes]:
        """Returns the sums and the money of each document, as a journal keeps them."""
        return msgspec.json.encode(self.sums()).decode(), msgspec.msgpack.encode(self)


def added(sums: Iterable[AmountSum]) -> dict[str | None, AmountSum]:
    """Adds up sums.

    Args:
        sums: the sums.

    Returns:
        One for each currency.
    """
    found: dict[str | None, AmountSum] = {}
    for one in sums:
        other = found.get(one.currency)
        if other is not None:
            total = format(with_cents(EXACT.add(Decimal(other.total), Decimal(one.total))), "f")
            numbers = other.count + one.count, other.with_total + one.with_total, other.from_lines + one.from_lines
            one = AmountSum(one.currency, *numbers, total)  # noqa: PLW2901 - it is the same sum
        found[one.currency] = one
    return found
