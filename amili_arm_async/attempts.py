"""One attempt to send a request: the evidence that is collected while it is under way, and what that proves when it has ended."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from .endpoints import Endpoint
from .errors import ArmError, ConfigurationError, Lasting, NotSentError, OutcomeUnknownError, ResponseError, StatusError
from .retry import Proof, StatusRule, proof_of_status, retry_after_seconds, rule_of
from .wire import Request, Response, to_error

__all__ = ["Attempt", "DeliveryEvidence", "SendFailure", "evaluate", "no_answer"]


class SendFailure(Struct, frozen=True):
    """Why a request got no response.

    Attributes:
        reason: a short description, as it stands in reports.
        text: what happened, where, and what to do about it; free of data, tokens and secrets.
        lasting: whether the cause lasts.
        is_closed_port: the connection was refused: no process listens at the address.
        is_ours: the cause is a mistake in the program or its settings, not the network.
        cause: the exception that was raised, without anything that may hold a secret; or None.
    """

    reason: str
    text: str
    lasting: Lasting = "no"
    is_closed_port: bool = False
    is_ours: bool = False
    cause: BaseException | None = None


def _never() -> bool:
    return False


class DeliveryEvidence:
    """Whether the server may have received a request. It stays readable for the caller when an attempt is cancelled.

    Attributes:
        started: the current attempt may have sent a byte, and no response yet proves that the server did not process it.
        was_ambiguous: an earlier attempt ended ambiguously, or with success.
        body_sent: the current attempt had sent its whole body when the response began to arrive.
        early_answer_counts: a response that arrived before the whole body was sent is known to answer this request: its connection was
            new, or was closed before the rest of the body could be sent.
        waits_for: what the current attempt waits for before it is sent, for messages; blank where it waits for nothing.
        sent: how often the request was sent.
        is_late: returns whether its body may not begin to leave any more.
    """

    __slots__ = ("body_sent", "early_answer_counts", "is_late", "sent", "started", "waits_for", "was_ambiguous")

    def __init__(self) -> None:
        self.started = False
        self.was_ambiguous = False
        self.body_sent = True
        self.early_answer_counts = True
        self.waits_for = ""
        self.sent = 0
        self.is_late: Callable[[], bool] = _never

    @property
    def is_ambiguous(self) -> bool:
        """Whether the server may have processed the request, as far as this client knows."""
        return self.started or self.was_ambiguous

    def settle(self, proof: Proof) -> None:
        """Ends the current attempt.

        Args:
            proof: what is proved about it.
        """
        # A success counts as well: until the caller has recorded it, it must not look as if nothing was sent.
        self.was_ambiguous = self.was_ambiguous or proof in {Proof.AMBIGUOUS, Proof.DONE}
        self.started = False


class Attempt(Struct, frozen=True):
    """The outcome of one attempt.

    Attributes:
        proof: what is proved about it.
        reason: a short description, without data.
        response: the response, or None.
        retry_after: the seconds that the server asks to wait, or None.
        fatal: an error that no further attempt can fix (the token service refuses, the client is closed), or None.
        error: the error of an attempt without a response, where more is known than `reason`; or None.
        lasting: whether the cause lasts: `"perhaps"` ends a run that never got a response.
        send_failure: why there is no response to a request that was on its way; or None.
    """

    proof: Proof
    reason: str
    response: Response | None = None
    retry_after: float | None = None
    fatal: ArmError | None = None
    error: ArmError | None = None
    lasting: Lasting = "no"
    send_failure: SendFailure | None = None

    @property
    def description(self) -> str:
        """What happened, as far as it is known, for messages."""
        return str(self.error) if self.error is not None else self.reason

    @property
    def status(self) -> int | None:
        """The HTTP status of the response, or None."""
        return self.response.status if self.response is not None else None

    @property
    def rule(self) -> StatusRule | None:
        """The row of the table of statuses for the response, or None."""
        return rule_of(self.response.status) if self.response is not None else None

    @property
    def is_overload(self) -> bool:
        """Whether the response asks for fewer requests (429, 503)."""
        return self.response is not None and rule_of(self.response.status).is_overload

    def status_error(self, endpoint: Endpoint) -> StatusError | None:
        """Returns the error for the status of the response.

        Args:
            endpoint: the operation that was called.

        Returns:
            The error; None where there was no response, or a success that could not be read.
        """
        if self.response is None or rule_of(self.response.status).call == "return":
            return None
        ambiguous = self.proof is Proof.AMBIGUOUS and not endpoint.safe
        return to_error(self.response, endpoint, self.retry_after, ambiguous=ambiguous)


def evaluate(request: Request, result: Response | SendFailure, delivery: DeliveryEvidence, now: float) -> Attempt:
    """Returns what a response, or the lack of one, proves.

    Args:
        request: what was sent.
        result: the response, or why there is none.
        delivery: the evidence that the connection collected.
        now: Unix time, for a `Retry-After` that is a date.
    """
    if isinstance(result, SendFailure):
        return _without_response(request, result, delivery)
    proof = proof_of_status(result.status)
    if proof is Proof.DONE and not result.complete:
        return Attempt(Proof.AMBIGUOUS, "answer too large" if result.is_too_large else "answer cut off", result)
    if proof is Proof.DONE and not delivery.body_sent:
        # The server can't have read the whole request, so this is a response to something else.
        return Attempt(Proof.AMBIGUOUS, "answered too early", result)
    wait = retry_after_seconds(result.headers.get("retry-after"), now)
    if proof is Proof.NOT_TAKEN and not delivery.body_sent and not delivery.early_answer_counts:
        return Attempt(Proof.AMBIGUOUS, "answered too early", result, wait)
    return Attempt(proof, str(result.status), result, wait)


def _without_response(request: Request, failure: SendFailure, delivery: DeliveryEvidence) -> Attempt:
    proof = Proof.AMBIGUOUS if delivery.started else Proof.NOT_SENT
    error: ArmError = no_answer(request, delivery.started, failure.text, lasting=failure.lasting == "yes")
    if failure.is_ours and (proof is Proof.NOT_SENT or request.endpoint.safe):
        error = ConfigurationError(f"{request.endpoint.operation}: {failure.text}")
    error.__cause__ = failure.cause
    fatal = error if failure.is_ours or failure.lasting == "yes" else None
    return Attempt(proof, failure.reason, fatal=fatal, error=error, lasting=failure.lasting, send_failure=failure)


def no_answer(request: Request, started: bool, reason: str, *, lasting: bool = False) -> ArmError:
    """Returns the error for a request that got no response.

    Args:
        request: what was sent, or was to be sent.
        started: whether a byte of it may have been sent.
        reason: what happened.
        lasting: whether another attempt is no help.
    """
    operation = request.endpoint.operation
    if not started:
        return NotSentError(f"{operation}: nothing was sent ({reason})" + ("" if lasting else ": it may be tried again"))
    if request.endpoint.is_read:
        return ResponseError(f"{operation}: no answer ({reason}): nothing was changed" + ("" if lasting else ", it may be tried again"))
    again = "it is harmless to repeat" if request.endpoint.safe else "look the record up before you send it again"
    return OutcomeUnknownError(f"{operation}: no answer ({reason}): it may have been done; {again}")
