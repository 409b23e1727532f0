"""Pure: what a source is expected to hold at the least, so that an export that is empty or broke off does not pass for the whole."""

from __future__ import annotations

import math
from typing import Final

from ..config import check_int
from ..errors import ConfigurationError

__all__ = ["Expectation", "expectation_of"]

SYNC: Final = 0.5
"""Of the customers that the state of a sync knows, so much are in the source where nothing else is said."""


class Expectation:
    """What a source is expected to hold.

    Attributes:
        at_least: a number of records, or a share of the customers that are in the state of a sync.
        records: records read.
        known: customers in the state before the sync.
        seen: those of them that are in the source.
    """

    def __init__(self, at_least: int | float) -> None:
        self.at_least = at_least
        self.records = 0
        self.known = 0
        self.seen = 0

    @property
    def is_share(self) -> bool:
        """Whether customers of the state are counted, and not records."""
        return isinstance(self.at_least, float)

    @property
    def expected(self) -> int:
        """How many are expected."""
        return math.ceil(round(self.at_least * self.known, 6)) if self.is_share else int(self.at_least)

    @property
    def found(self) -> int:
        """How many there are."""
        return self.seen if self.is_share else self.records

    @property
    def shortfall(self) -> str | None:
        """In words, that there are fewer; else None."""
        if self.found >= self.expected:
            return None
        if self.is_share:
            return (
                f"the source holds {self.records:,} records, and of the {self.known:,} customers in the state {self.seen:,}: at least"
                f" {self.expected:,} ({self}) are expected, so nobody is forgotten. See whether the export is whole; where it is, say"
                " at_least=0 (--at-least 0)"
            )
        return (
            f"the source holds {self.records:,} records, and at least {self.expected:,} are expected. See whether the export is whole;"
            " where it is, expect fewer"
        )

    def __str__(self) -> str:
        return f"{self.at_least * 100:g}%" if self.is_share else str(self.at_least)

    def as_json(self) -> dict[str, str | int]:
        """For a program."""
        return {"at_least": str(self), "expected": self.expected, "found": self.found}


def expectation_of(at_least: int | float | None, *, has_state: bool) -> Expectation | None:
    """What is expected where this was asked for: of a sync something in any case.

    Raises:
        ConfigurationError: it is neither a number nor a share, or a share and there is no state.
    """
    if at_least is None:
        return Expectation(SYNC) if has_state else None
    if not isinstance(at_least, float):
        check_int("at_least", at_least, least=0)
    elif not has_state:
        raise ConfigurationError("at_least as a share is of the customers in the state of a sync: without one give a number of records")
    elif not 0 <= at_least <= 1:
        raise ConfigurationError("at_least as a share must be from 0 to 1; as a number of records, an integer")
    return Expectation(at_least)
