"""What is known of one try to send a request: while it is under way, and when it has ended."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import ArmError
from .retry import Fate
from .wire import Response

__all__ = ["Delivery", "Try"]


class Delivery:
    """Whether bytes of a request may have been taken; there for the caller even when a try is cancelled.

    Attributes:
        started: a byte of the try under way may have left, and no answer proves yet that it was not taken.
        doubtful: a try has ended so, or with success.
    """

    __slots__ = ("doubtful", "started")

    def __init__(self) -> None:
        self.started = False
        self.doubtful = False

    @property
    def may_be_taken(self) -> bool:
        """Whether nobody can say that it was not taken."""
        return self.started or self.doubtful

    def settle(self, fate: Fate) -> None:
        """The try under way ended, and this is proved about it."""
        # A success counts as well: until somebody has taken note of it, it must not look like nothing.
        self.doubtful = self.doubtful or fate in {Fate.DOUBTFUL, Fate.DONE}
        self.started = False


@dataclass(frozen=True, slots=True)
class Try:
    """What became of one try.

    Attributes:
        fate: what is proved.
        response: the answer, or None where there was none.
        reason: in a few words, without data.
        retry_after: the seconds that the server asks to wait, or None.
        fatal: an error that no further try can better (the token service refuses, the client is closed), or None.
    """

    fate: Fate
    reason: str
    response: Response | None = None
    retry_after: float | None = None
    fatal: ArmError | None = None

    @property
    def status(self) -> int | None:
        """The status of the answer, or None."""
        return self.response.status if self.response is not None else None
