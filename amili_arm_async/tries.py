"""What is known of one try to send a request: while it is under way, and when it has ended."""

from __future__ import annotations

from msgspec import Struct

from .endpoints import Endpoint
from .errors import ArmError, NotSentError, OutcomeUnknownError, ResponseError, StatusError
from .retry import Fate, fate_of_status, retry_after_seconds
from .wire import Request, Response, to_error

__all__ = ["Delivery", "Try", "judge", "no_answer"]


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


class Try(Struct, frozen=True):
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

    def error_of(self, endpoint: Endpoint) -> StatusError | None:
        """The error of the answer; None where there was none, or a success that could not be read."""
        if self.response is None or self.response.status < 300:
            return None
        doubtful = self.fate is Fate.DOUBTFUL and not endpoint.safe
        return to_error(self.response, endpoint, self.retry_after, doubtful=doubtful)


def judge(response: Response | None, reason: str, delivery: Delivery, now: float) -> Try:
    """What is proved by an answer, or by the lack of one; `now` is Unix time."""
    if response is None:
        return Try(Fate.DOUBTFUL if delivery.started else Fate.NOT_SENT, reason)
    fate = fate_of_status(response.status)
    if fate is Fate.DONE and not response.complete:
        return Try(Fate.DOUBTFUL, "answer cut off", response)
    wait = retry_after_seconds(response.headers.get("retry-after"), now)
    return Try(fate, str(response.status), response, wait)


def no_answer(request: Request, started: bool, reason: str) -> ArmError:
    """The error of a request that got no answer; `started` where a byte of it may have left."""
    operation = request.endpoint.operation
    if not started:
        return NotSentError(f"{operation}: nothing was sent ({reason}): it may be tried again")
    if request.endpoint.method == "GET":
        return ResponseError(f"{operation}: no answer ({reason}): nothing was changed, it may be tried again")
    again = "it is harmless to repeat" if request.endpoint.safe else "look the record up before you send it again"
    return OutcomeUnknownError(f"{operation}: no answer ({reason}): it may have been done; {again}")
