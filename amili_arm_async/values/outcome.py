"""Pure: what was found out about one cell."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from msgspec import UNSET

__all__ = ["NOTHING", "Outcome", "refused"]


class Outcome(NamedTuple):
    """What a cell is.

    Attributes:
        value: as it is encoded; UNSET where the cell is blank or refused.
        code: what kind of fault, or None.
        message: what is wrong and what to do, for a person.
    """

    value: Any
    code: str | None = None
    message: str = ""


NOTHING: Final = Outcome(UNSET)


def refused(code: str, message: str) -> Outcome:
    """Returns the outcome of a cell that is refused."""
    return Outcome(UNSET, code, message)
