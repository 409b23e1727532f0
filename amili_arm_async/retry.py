"""Pure: the one table of HTTP statuses. What a status proves, and what each kind of call does about it; whether and when to retry.

The one rule: a request of an unsafe endpoint is sent again only where it is proved that the server did not process the first one.

To add or change a rule, change `_RULES`: no other module of the library compares statuses to decide anything (a test holds that).
"""

from __future__ import annotations

import enum
import random
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final, Literal, NamedTuple, TypeAlias

from .config import RetryPolicy
from .errors import Lasting

__all__ = [
    "BatchAction",
    "Proof",
    "StatusRule",
    "after_batch",
    "backoff",
    "is_transient",
    "may_repeat",
    "needs_new_token",
    "proof_of_status",
    "retry_after_seconds",
    "retry_delay",
    "rule_of",
]


class Proof(enum.Enum):
    """What is proved about one attempt."""

    DONE = "done"
    """The server answered with a 2xx."""
    NOT_SENT = "not sent"
    """Nothing was sent: there was no connection, or no byte of the body left."""
    NOT_TAKEN = "not taken"
    """The status proves that the server did not process it."""
    AMBIGUOUS = "ambiguous"
    """It was sent, at least in part; whether it was processed is not known."""


SingleCall: TypeAlias = Literal["return", "repeat", "refresh", "raise"]
"""`return`: the call succeeded. `repeat`: another attempt may succeed. `refresh`: get a new token and send once more. `raise`: another
attempt would get the same response."""

BatchAction: TypeAlias = Literal["accept", "repeat", "bisect", "split", "reject", "stop", "redirect", "unknown"]
"""`accept`: the batch was accepted. `repeat`: send it again where that is safe, else its records are unknown. `bisect`: one of its records
may be bad: look for it by halves. `split`: it is too large: send it in halves. `reject`: its records are rejected. `stop`: no change of the
data helps: the run ends. `redirect`: the base address is wrong: the run ends, whatever is proved. `unknown`: it is not sent again, and its
records are unknown."""

Poll: TypeAlias = Literal["read", "pending", "partial", "wait", "gone", "stop"]
"""`read`: it is the result. `pending`: it is one, and says that the batch is still to be processed. `partial`: it is one, and says that not
all records succeeded. `wait`: ask again later. `gone`: the server has no such result. `stop`: the run ends."""

Probe: TypeAlias = Literal["answered", "wait"]
"""`answered`: the service is up. `wait`: ask again later."""

LookUp: TypeAlias = Literal["read", "absent", "no_answer", "stop"]
"""`read`: it is the document. `absent`: there is none. `no_answer`: it says nothing about the document. `stop`: every look-up would get the
same response: the run ends."""


class StatusRule(NamedTuple):
    """One row of the table: what a status proves, and what to do about it.

    Attributes:
        proof: what the status line alone proves.
        call: what a single call does.
        batch: what a bulk write does, where `proof` holds; see `after_batch`.
        poll: what a question for a batch result does.
        probe: what a read does that asks whether the service is up again.
        look_up: what the look-up of a document does.
        identity: whether the cause lasts, where the token service answers so.
        proxy: whether the cause lasts, where a proxy answers so to CONNECT.
        is_overload: the service asks for fewer requests: concurrency goes down, and a `Retry-After` holds for all requests of a client.
        is_no_path: the path may be wrong; said as a hint where the path is inferred.
        is_unsupported_body: the body may have been compressed in vain; said as a hint.
    """

    proof: Proof
    call: SingleCall
    batch: BatchAction
    poll: Poll
    probe: Probe
    look_up: LookUp
    identity: Lasting
    proxy: Lasting
    is_overload: bool = False
    is_no_path: bool = False
    is_unsupported_body: bool = False


_DONE, _NOT_TAKEN, _AMBIGUOUS = Proof.DONE, Proof.NOT_TAKEN, Proof.AMBIGUOUS

# fmt: off
_RULES: Final[dict[int, StatusRule]] = {
    #               proof       call       batch       poll       probe       look_up      token      proxy
    202: StatusRule(_DONE,      "return",  "accept",   "pending", "answered", "read",      "yes",     "perhaps"),
    206: StatusRule(_DONE,      "return",  "accept",   "partial", "answered", "read",      "yes",     "perhaps"),
    301: StatusRule(_NOT_TAKEN, "raise",   "redirect", "wait",    "answered", "no_answer", "yes",     "perhaps"),
    302: StatusRule(_AMBIGUOUS, "raise",   "redirect", "wait",    "answered", "no_answer", "yes",     "perhaps"),
    303: StatusRule(_AMBIGUOUS, "raise",   "redirect", "wait",    "answered", "no_answer", "yes",     "perhaps"),
    307: StatusRule(_NOT_TAKEN, "raise",   "redirect", "wait",    "answered", "no_answer", "yes",     "perhaps"),
    308: StatusRule(_NOT_TAKEN, "raise",   "redirect", "wait",    "answered", "no_answer", "yes",     "perhaps"),
    400: StatusRule(_NOT_TAKEN, "raise",   "bisect",   "gone",    "answered", "no_answer", "yes",     "perhaps"),
    401: StatusRule(_NOT_TAKEN, "refresh", "stop",     "stop",    "answered", "stop",      "yes",     "perhaps"),
    403: StatusRule(_NOT_TAKEN, "raise",   "stop",     "gone",    "answered", "stop",      "yes",     "perhaps"),
    404: StatusRule(_NOT_TAKEN, "raise",   "stop",     "gone",    "answered", "absent",    "perhaps", "perhaps", is_no_path=True),
    405: StatusRule(_NOT_TAKEN, "raise",   "stop",     "gone",    "answered", "stop",      "yes",     "perhaps", is_no_path=True),
    406: StatusRule(_NOT_TAKEN, "raise",   "reject",   "gone",    "answered", "no_answer", "yes",     "perhaps"),
    407: StatusRule(_AMBIGUOUS, "raise",   "unknown",  "wait",    "answered", "no_answer", "yes",     "yes"),
    408: StatusRule(_AMBIGUOUS, "repeat",  "repeat",   "wait",    "answered", "no_answer", "no",      "no"),
    409: StatusRule(_AMBIGUOUS, "repeat",  "repeat",   "wait",    "answered", "no_answer", "no",      "perhaps"),
    411: StatusRule(_NOT_TAKEN, "raise",   "reject",   "gone",    "answered", "no_answer", "yes",     "perhaps"),
    413: StatusRule(_NOT_TAKEN, "raise",   "split",    "gone",    "answered", "no_answer", "yes",     "perhaps"),
    414: StatusRule(_NOT_TAKEN, "raise",   "reject",   "gone",    "answered", "no_answer", "yes",     "perhaps"),
    415: StatusRule(_NOT_TAKEN, "raise",   "stop",     "gone",    "answered", "no_answer", "yes",     "perhaps", is_unsupported_body=True),
    422: StatusRule(_NOT_TAKEN, "raise",   "bisect",   "gone",    "answered", "no_answer", "yes",     "perhaps"),
    425: StatusRule(_AMBIGUOUS, "repeat",  "repeat",   "wait",    "answered", "no_answer", "no",      "perhaps"),
    429: StatusRule(_NOT_TAKEN, "repeat",  "repeat",   "wait",    "wait",     "no_answer", "no",      "no",      is_overload=True),
    431: StatusRule(_NOT_TAKEN, "raise",   "reject",   "gone",    "answered", "no_answer", "yes",     "perhaps"),
    499: StatusRule(_AMBIGUOUS, "repeat",  "repeat",   "wait",    "answered", "no_answer", "no",      "perhaps"),
    503: StatusRule(_AMBIGUOUS, "repeat",  "repeat",   "wait",    "wait",     "no_answer", "no",      "no",      is_overload=True),
}
"""The statuses that have a rule of their own."""

_OTHERS: Final[dict[int, StatusRule]] = {
    #             proof       call      batch      poll    probe       look_up      token  proxy
    1: StatusRule(_AMBIGUOUS, "repeat", "repeat",  "wait", "answered", "no_answer", "yes", "perhaps"),
    2: StatusRule(_DONE,      "return", "accept",  "read", "answered", "read",      "yes", "perhaps"),
    3: StatusRule(_AMBIGUOUS, "raise",  "unknown", "wait", "answered", "no_answer", "yes", "perhaps"),
    4: StatusRule(_AMBIGUOUS, "raise",  "unknown", "wait", "answered", "no_answer", "yes", "perhaps"),
    5: StatusRule(_AMBIGUOUS, "repeat", "repeat",  "wait", "wait",     "no_answer", "no",  "no"),
}
"""All others, by their first digit."""
# fmt: on


def rule_of(status: int) -> StatusRule:
    """Returns the row of the table for an HTTP status."""
    return _RULES.get(status) or _OTHERS[min(max(status // 100, 1), 5)]


def proof_of_status(status: int) -> Proof:
    """Returns what the status line proves, whatever the body says and whether it arrived whole."""
    return rule_of(status).proof


def is_transient(status: int) -> bool:
    """Returns whether the same request may well get another response a little later."""
    return rule_of(status).identity == "no"


def may_repeat(proof: Proof, *, safe: bool, status: int | None) -> bool:
    """Returns whether the same request may be sent again, and another response is likely.

    Args:
        proof: what is proved about the last attempt; a response that came too early proves less than its status does.
        safe: whether its endpoint is safe to repeat.
        status: the status of the response, or None where there was none.
    """
    if proof is Proof.NOT_SENT:
        return True
    if proof is Proof.DONE:
        return False
    if status is None:
        return safe
    rule = rule_of(status)
    if proof is Proof.NOT_TAKEN:
        return rule.call == "repeat"
    # Also repeated: a success that could not be read, and a refusal that arrived before the request was sent, so can't answer it.
    return safe and (rule.call in {"return", "repeat"} or rule.proof is Proof.NOT_TAKEN)


def needs_new_token(proof: Proof, status: int | None) -> bool:
    """Returns whether the request may be sent once more, and only with another token.

    Args:
        proof: what is proved about the attempt.
        status: the status of the response, or None where there was none.
    """
    return proof is Proof.NOT_TAKEN and status is not None and rule_of(status).call == "refresh"


def after_batch(proof: Proof, *, safe: bool, status: int | None) -> BatchAction:
    """Returns what a bulk write does with a batch that was not accepted; never `accept` or `redirect`.

    Args:
        proof: what is proved about the attempt; a 2xx that can't be read is `AMBIGUOUS`.
        safe: whether the batch may be sent again though the server may have processed it.
        status: the status of the response, or None where there was none.
    """
    rule = rule_of(status) if status is not None else None
    if rule is not None and rule.batch == "redirect":
        return "stop"
    if proof is Proof.NOT_TAKEN and rule is not None and rule.batch not in {"accept", "repeat"}:
        return rule.batch
    return "repeat" if may_repeat(proof, safe=safe, status=status) else "unknown"


def backoff(policy: RetryPolicy, failures: int) -> float:
    """Returns the seconds to wait after `failures` failures in a row: doubles up to `max_delay`, with random jitter down to half.

    Args:
        policy: gives the first delay and the longest one.
        failures: at least 1.
    """
    ceiling = min(policy.max_delay, policy.base_delay * 2.0 ** min(failures - 1, 60))
    return ceiling * (0.5 + 0.5 * random.random())  # noqa: S311 - jitter, no secret


def retry_delay(policy: RetryPolicy, failures: int, retry_after: float | None) -> float:
    """Returns the seconds to wait before the next attempt: what the server asks for, but at least the first delay; else the backoff.

    Args:
        policy: gives the first delay and the longest one.
        failures: failures in a row, at least 1.
        retry_after: the seconds that the server asks to wait, or None.
    """
    return backoff(policy, failures) if retry_after is None else max(retry_after, backoff(policy, 1))


def retry_after_seconds(value: str | None, now: float) -> float | None:
    """Returns the seconds that a `Retry-After` header asks for, at most a day; None where it holds neither a number nor a date.

    Args:
        value: the header, or None.
        now: Unix time, for a date.
    """
    if value is None:
        return None
    value = value.strip()
    try:
        seconds = float(value)
    except ValueError:
        try:
            date = parsedate_to_datetime(value)
            # A date without a zone is in UTC (RFC 9110), not in the zone of this machine.
            seconds = (date if date.tzinfo is not None else date.replace(tzinfo=UTC)).timestamp() - now
        except (ValueError, TypeError, OverflowError):
            return None
    # Not "nan", and no longer than a day: a header must not make a program sleep for ever.
    return min(max(seconds, 0.0), 86_400.0) if seconds == seconds else None
