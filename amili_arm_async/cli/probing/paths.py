"""Whether the paths are where this library thinks they are. Pure."""

from __future__ import annotations

from ...endpoints import Endpoint
from .evidence import Evidence, Exchange, Judged, mismatch, right, why_not_seen

__all__ = ["answer_of", "judge_path", "others", "path_that_answered"]

_GONE = frozenset({404, 405})


def others(name: str) -> str:
    """What the replies at other spellings of the path of `name` are kept under."""
    return f"{name}/others"


def is_elsewhere(heard: Exchange) -> bool:
    """Whether a reply says that there is nothing at this path."""
    return heard.status in _GONE


def answers(heard: Exchange) -> bool:
    """Whether another spelling answered: a page for everything that is not there, with a 200, does not count."""
    return heard.is_success and (not heard.body or heard.value() is not None)


def path_that_answered(evidence: Evidence, name: str) -> str | None:
    """The other spelling that answered, or None."""
    return next((heard.template for heard in evidence.all(others(name)) if answers(heard)), None)


def answer_of(evidence: Evidence, name: str) -> Exchange | None:
    """The reply to the operation `name`, wherever it was found."""
    return next((heard for heard in evidence.all(others(name)) if answers(heard)), evidence.first(name))


def judge_path(evidence: Evidence, endpoint: Endpoint) -> Judged:
    """Whether it is there."""
    heard = evidence.first(endpoint.name)
    if heard is not None and heard.is_success:
        return right(str(heard.status))
    if heard is None or not is_elsewhere(heard):
        return why_not_seen(heard, evidence.ended)
    found = path_that_answered(evidence, endpoint.name)
    if found is not None:
        return mismatch(f"{heard.status}; it is at {found}")
    tried = len(evidence.all(others(endpoint.name)))
    return mismatch(f"{heard.status}; none of {tried} other spellings answered" if tried else str(heard.status))
