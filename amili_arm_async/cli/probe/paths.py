"""Whether the paths are where this library thinks they are. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ...endpoints import OPERATIONS, Endpoint
from .evidence import Evidence, Exchange, Judged, mismatch, right, why_not_seen

__all__ = ["ASKED", "answer_of", "candidates", "judge_path", "others", "path_that_answered", "single_of"]

ASKED: Final = tuple(
    row for row in OPERATIONS.values() if row.method == "GET" and not row.documented and "{" not in row.path.replace("{clientno}", "")
)
"""What can be asked for without knowing the number of anything, and at a path that no page shows."""

_CLIENT: Final = "clients/{clientno}/"
_MOST: Final = 5

_WORDS: Final = {
    "clientconfigs": ("client", "configs"),
    "documentbundles": ("document", "bundles"),
    "glmovements": ("gl", "movements"),
    "latestclosed": ("latest", "closed"),
    "adbintervals": ("adb", "intervals"),
    "logitems": ("log", "items"),
}
"""The words that a part of a path is made of, where they are several."""

_NO_PLURAL: Final = frozenset({"health", "insights", "latestclosed"})

_OTHERS: Final = {"gl_movements.latest_closed": (f"{_CLIENT}glmovements/latest",), "health.check": ("healthcheck", "health-check")}


def candidates(endpoint: Endpoint) -> tuple[str, ...]:
    """A few other spellings of its path, the likeliest first."""
    found = dict.fromkeys(path for path in _spellings(endpoint) if path != endpoint.path)
    return tuple(found)[:_MOST]


def _spellings(endpoint: Endpoint) -> Iterator[str]:
    has_client = endpoint.path.startswith(_CLIENT)
    parts = endpoint.path.removeprefix(_CLIENT).split("/")
    before = _CLIENT if has_client else ""
    yield before + "/".join(map(_kebab, parts))
    yield before + "/".join(map(_camel, parts))
    yield ("" if has_client else _CLIENT) + "/".join(parts)
    yield before + "/".join(map(_other_number, parts))
    yield from _OTHERS.get(endpoint.name, ())
    if len(parts) > 1:
        yield before + parts[-1]


def _kebab(part: str) -> str:
    return "-".join(_WORDS.get(part, (part,)))


def _camel(part: str) -> str:
    first, *others = _WORDS.get(part, (part,))
    return first + "".join(map(str.capitalize, others))


def _other_number(part: str) -> str:
    """One where it was many, many where it was one."""
    if part in _NO_PLURAL:
        return part
    return part.removesuffix("s") if part.endswith("s") else part + "s"


def single_of(name: str) -> Endpoint | None:
    """The operation that gets one of what the list `name` has, where its path is inferred too."""
    row = OPERATIONS.get(name.removesuffix(".list") + ".get") if name.endswith(".list") else None
    return row if row is not None and not row.documented else None


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
