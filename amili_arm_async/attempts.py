"""What is known of one try to send a request: while it is under way, and when it has ended."""

from __future__ import annotations

from msgspec import Struct

from .endpoints import Endpoint
from .errors import ArmError, ConfigurationError, Lasting, NotSentError, OutcomeUnknownError, ResponseError, StatusError
from .retry import Proof, fate_of_status, retry_after_seconds
from .wire import Request, Response, to_error

__all__ = ["Attempt", "DeliveryEvidence", "Trouble", "judge", "no_answer"]


class Trouble(Struct, frozen=True):
    """Why a request got no answer.

    Attributes:
        reason: in a few words, as reports have it.
        text: what happened, where, and the remedy; without data, tokens and secrets.
        lasting: whether it lasts.
        is_closed_port: nobody listens at the address.
        is_ours: it is a mistake in the program or its settings, and no trouble of the network.
        cause: what was raised, without anything that may hold a secret; or None.
    """

    reason: str
    text: str
    lasting: Lasting = "no"
    is_closed_port: bool = False
    is_ours: bool = False
    cause: BaseException | None = None


class DeliveryEvidence:
    """Whether bytes of a request may have been taken; there for the caller even when a try is cancelled.

    Attributes:
        started: a byte of the try under way may have left, and no answer proves yet that it was not taken.
        doubtful: a try has ended so, or with success.
        left: the whole body of the try under way had left when its answer began to come.
        proves: what was answered before the body had left is an answer to this request: its connection had not been used before, or was
            closed before the rest of the body could leave.
    """

    __slots__ = ("doubtful", "left", "proves", "started")

    def __init__(self) -> None:
        self.started = False
        self.doubtful = False
        self.left = True
        self.proves = True

    @property
    def may_be_taken(self) -> bool:
        """Whether nobody can say that it was not taken."""
        return self.started or self.doubtful

    def settle(self, fate: Proof) -> None:
        """The try under way ended, and this is proved about it."""
        # A success counts as well: until somebody has taken note of it, it must not look like nothing.
        self.doubtful = self.doubtful or fate in {Proof.AMBIGUOUS, Proof.DONE}
        self.started = False


class Attempt(Struct, frozen=True):
    """What became of one try.

    Attributes:
        fate: what is proved.
        response: the answer, or None where there was none.
        reason: in a few words, without data.
        retry_after: the seconds that the server asks to wait, or None.
        fatal: an error that no further try can better (the token service refuses, the client is closed), or None.
        failure: the error of a try without an answer, where more is known than `reason`; or None.
        lasting: whether what went wrong lasts: `"perhaps"` ends a run that was never answered.
        trouble: why there is no answer, where the request was on its way; or None.
    """

    fate: Proof
    reason: str
    response: Response | None = None
    retry_after: float | None = None
    fatal: ArmError | None = None
    failure: ArmError | None = None
    lasting: Lasting = "no"
    trouble: Trouble | None = None

    @property
    def words(self) -> str:
        """What happened, as far as it is known, for messages."""
        return str(self.failure) if self.failure is not None else self.reason

    @property
    def status(self) -> int | None:
        """The status of the answer, or None."""
        return self.response.status if self.response is not None else None

    def error_of(self, endpoint: Endpoint) -> StatusError | None:
        """The error of the answer; None where there was none, or a success that could not be read."""
        if self.response is None or self.response.status < 300:
            return None
        doubtful = self.fate is Proof.AMBIGUOUS and not endpoint.safe
        return to_error(self.response, endpoint, self.retry_after, doubtful=doubtful)


def judge(request: Request, heard: Response | Trouble, delivery: DeliveryEvidence, now: float) -> Attempt:
    """What is proved by an answer, or by the lack of one; `now` is Unix time."""
    if isinstance(heard, Trouble):
        return _unanswered(request, heard, delivery)
    fate = fate_of_status(heard.status)
    if fate is Proof.DONE and not heard.complete:
        return Attempt(Proof.AMBIGUOUS, "answer too large" if heard.is_too_large else "answer cut off", heard)
    if fate is Proof.DONE and not delivery.left:
        # Not an answer to this request: nobody can have read it.
        return Attempt(Proof.AMBIGUOUS, "answered too early", heard)
    wait = retry_after_seconds(heard.headers.get("retry-after"), now)
    if fate is Proof.NOT_TAKEN and not delivery.left and not delivery.proves:
        return Attempt(Proof.AMBIGUOUS, "answered too early", heard, wait)
    return Attempt(fate, str(heard.status), heard, wait)


def _unanswered(request: Request, trouble: Trouble, delivery: DeliveryEvidence) -> Attempt:
    fate = Proof.AMBIGUOUS if delivery.started else Proof.NOT_SENT
    failure: ArmError = no_answer(request, delivery.started, trouble.text, lasting=trouble.lasting == "yes")
    if trouble.is_ours and (fate is Proof.NOT_SENT or request.endpoint.safe):
        failure = ConfigurationError(f"{request.endpoint.operation}: {trouble.text}")
    failure.__cause__ = trouble.cause
    fatal = failure if trouble.is_ours or trouble.lasting == "yes" else None
    return Attempt(fate, trouble.reason, fatal=fatal, failure=failure, lasting=trouble.lasting, trouble=trouble)


def no_answer(request: Request, started: bool, reason: str, *, lasting: bool = False) -> ArmError:
    """The error of a request that got no answer; `started` where a byte of it may have left, `lasting` where another try is no help."""
    operation = request.endpoint.operation
    if not started:
        return NotSentError(f"{operation}: nothing was sent ({reason})" + ("" if lasting else ": it may be tried again"))
    if request.endpoint.method == "GET":
        return ResponseError(f"{operation}: no answer ({reason}): nothing was changed" + ("" if lasting else ", it may be tried again"))
    again = "it is harmless to repeat" if request.endpoint.safe else "look the record up before you send it again"
    return OutcomeUnknownError(f"{operation}: no answer ({reason}): it may have been done; {again}")
