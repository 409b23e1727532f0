"""Pure: the money of a run as it is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ..bulk.outcomes import State

__all__ = ["CurrencyTotals", "MoneySum", "MoneyTotals"]


@dataclass(frozen=True, slots=True)
class MoneySum:
    """Documents and their money.

    Attributes:
        count: number of the documents, those without a total among them.
        total: sum of their totals, exact, in the main unit of the currency; None where none of them has a total.
    """

    count: int = 0
    total: Decimal | None = None


@dataclass(frozen=True, slots=True)
class CurrencyTotals:
    """The documents of one currency.

    Attributes:
        currency: three letters; None for the documents whose `currency` is missing or no three letters: their totals are summed up too,
            whatever they may be in.
        read: those that were read.
        states: those that ended in each final state; only states that occur.
    """

    currency: str | None
    read: MoneySum
    states: Mapping[State, MoneySum]


@dataclass(frozen=True, slots=True)
class MoneyTotals:
    """The money of a run.

    Attributes:
        currencies: the currencies by name; None is the last.
        without_total: documents that have no total, in the header or by their lines.
        without_currency: documents that have no currency.
        made_from_lines: documents whose total was made by adding up their lines, because the header has none.
        adds_up: whether count and money of what was read are those of all final states, for each currency: both are summed up by
            themselves and then compared, and the counts with the report's, where there is one. False while records are under way.
    """

    currencies: tuple[CurrencyTotals, ...]
    without_total: int
    without_currency: int
    made_from_lines: int
    adds_up: bool

    def as_json(self) -> dict[str, Any]:
        """Returns the totals as they are in the JSON report.

        Returns:
            A mapping of plain values; money is text with two decimals, or as many as it needs.
        """
        return {
            "currencies": [
                {
                    "currency": totals.currency,
                    "read": _as_json(totals.read),
                    "states": {state: _as_json(total) for state, total in totals.states.items()},
                }
                for totals in self.currencies
            ],
            "without_total": self.without_total,
            "without_currency": self.without_currency,
            "made_from_lines": self.made_from_lines,
            "adds_up": self.adds_up,
        }


def _as_json(of: MoneySum) -> dict[str, Any]:
    return {"count": of.count, "total": None if of.total is None else format(of.total, "f")}
