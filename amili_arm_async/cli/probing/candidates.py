"""Other spellings of a path that no page shows, to be tried with GET where the one that this library assumes is not there. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ...endpoints import OPERATIONS, Endpoint

__all__ = ["ASKED", "candidates", "single_of"]

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
