"""Pure: what an answer, or the lack of one, proves; whether a request may be sent again, and when.

The one rule: a request of an unsafe endpoint is sent again only where it is proved that it was not taken.
"""

from __future__ import annotations

import enum
import random
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

from .config import RetryPolicy

__all__ = ["MOVED", "Proof", "backoff", "is_transient", "may_repeat", "proof_of_status", "retry_after_seconds", "retry_delay"]


class Proof(enum.Enum):
    """What is proved about one try."""

    DONE = "done"
    """A 2xx."""
    NOT_SENT = "not sent"
    """Nothing of it left: no connection, or no byte of the body."""
    NOT_TAKEN = "not taken"
    """The status proves that it was not taken."""
    AMBIGUOUS = "ambiguous"
    """Bytes left, and nothing proves what became of them."""


_NOT_TAKEN: Final = frozenset({301, 307, 308, 400, 401, 403, 404, 405, 406, 411, 413, 414, 415, 422, 429, 431})

MOVED: Final = frozenset({301, 302, 303, 307, 308})
"""Redirects. None is followed; each says that the base address is wrong."""

# Answers that a later try may better. Other 4xx say the same the next time.
_TRANSIENT: Final = frozenset({408, 409, 425, 429, 499})


def proof_of_status(status: int) -> Proof:
    """What the status line proves, whatever the body says or whether it came whole."""
    if 200 <= status < 300:
        return Proof.DONE
    return Proof.NOT_TAKEN if status in _NOT_TAKEN else Proof.AMBIGUOUS


def is_transient(status: int) -> bool:
    """Whether the same request may well be answered otherwise a little later."""
    return status >= 500 or status in _TRANSIENT


def may_repeat(proof: Proof, *, safe: bool, status: int | None) -> bool:
    """Whether the same request may be sent again, and it makes sense to.

    Args:
        proof: what is proved about the last try.
        safe: whether its endpoint is safe to repeat.
        status: the status of its answer, or None where there was none.
    """
    if proof is Proof.NOT_SENT:
        return True
    if proof is Proof.NOT_TAKEN:
        return status == 429
    # A success that could not be read is worth another try as well.
    # So is what can't have been an answer to this request: a refusal that came before it was sent.
    return proof is Proof.AMBIGUOUS and safe and (status is None or status < 300 or is_transient(status) or status in _NOT_TAKEN)


def backoff(policy: RetryPolicy, failures: int) -> float:
    """Seconds to wait after that many failures in a row: doubles from `base_delay` to `max_delay`, the upper half of it at random."""
    ceiling = min(policy.max_delay, policy.base_delay * 2.0 ** min(failures - 1, 60))
    return ceiling * (0.5 + 0.5 * random.random())  # noqa: S311 - jitter, no secret


def retry_delay(policy: RetryPolicy, failures: int, retry_after: float | None) -> float:
    """Seconds to wait before the next try: what the server asks for, but never nothing; else the back-off."""
    return backoff(policy, failures) if retry_after is None else max(retry_after, backoff(policy, 1))


def retry_after_seconds(value: str | None, now: float) -> float | None:
    """The seconds that a `Retry-After` header asks for: a number, or a date seen from `now` (Unix time); None where it has neither."""
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
    # Not "nan", and no longer than a day: a header is no order to sleep for ever.
    return min(max(seconds, 0.0), 86_400.0) if seconds == seconds else None
