"""Pure: which faults and injections can't work, each told when it is made and with the nearest name that can be meant."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Final

from .routes import Route

__all__ = ["check_fault", "check_number", "check_target", "one_of"]

_FIELDS: Final[Mapping[str, Collection[str]]] = {
    "latency": ("seconds",),
    "status": ("code", "body", "headers", "taken"),
    "redirect": ("code", "headers"),
    "reset_before": ("graceful",),
    "reset_after": ("graceful",),
    "hang_before": (),
    "hang_after": (),
    "cut": (),
    "garbage": ("body",),
    "no_uuid": (),
    "close_idle": ("seconds",),
}
"""The kinds of faults, and the fields of `Fault` that each of them has."""

_REDIRECTS: Final = (301, 302, 303, 307, 308)
_WITHOUT_BODY: Final = (204, 205, 304)
_FRAMING: Final = ("content-length", "transfer-encoding")
IDENTITY: Final = (
    Route("POST", "/identity/token"),
    Route("POST", "/identity/refresh"),
    Route("POST", "/identity/verify"),
    Route("GET", "/identity/health"),
)


def one_of(what: str, given: object, known: Iterable[str]) -> None:
    """Refuses what is none of the known names, and names the nearest."""
    names = list(known)
    if given not in names:
        near = get_close_matches(str(given).casefold(), [name.casefold() for name in names], 1, 0.5)
        meant = next((name for name in names if near and name.casefold() == near[0]), None)
        hint = f"did you mean {meant!r}?" if meant else f"there are {', '.join(names)}"
        raise ValueError(f"{what}: there is no {given!r}; {hint}")


def check_number(name: str, value: Any, least: float, *, whole: bool = False) -> None:
    """Refuses what is no finite number of at least `least`."""
    right = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
    if not right or not math.isfinite(value) or value < least:
        raise ValueError(f"{name} must be {'an integer' if whole else 'a number'} of at least {least:g}, not {value!r}")


def check_fault(kind: str, fields: Mapping[str, Any], changed: Collection[str]) -> None:
    """Refuses a fault that can't happen.

    Args:
        kind: what happens.
        fields: the other fields of the fault.
        changed: the names of those that are not as they are by default.
    """
    one_of("the kind of a fault", kind, _FIELDS)
    extra = sorted(set(changed) - set(_FIELDS[kind]))
    if extra:
        raise ValueError(f"a fault {kind!r} has no {', '.join(extra)}")
    check_number("seconds", fields["seconds"], 0)
    if fields["body"] is not None and not isinstance(fields["body"], bytes):
        raise ValueError(f"body must be bytes, not {type(fields['body']).__name__}")
    if kind in ("status", "redirect"):
        _check_response(kind, fields["code"], fields["headers"], has_body=bool(fields["body"]))


def _check_response(kind: str, code: Any, headers: Mapping[str, str], *, has_body: bool) -> None:
    right = isinstance(code, int) and not isinstance(code, bool)
    if kind == "redirect" and (not right or code not in _REDIRECTS):
        raise ValueError(f"a redirect has one of the statuses {', '.join(map(str, _REDIRECTS))}, not {code!r}")
    if not right or not 200 <= code <= 599:
        raise ValueError(f"the status of a response is an integer from 200 to 599, not {code!r}")
    if code in _WITHOUT_BODY and has_body:
        raise ValueError(f"a response with status {code} has no body")
    for name, value in headers.items():
        if not isinstance(value, str) or not re.fullmatch(r"[!#$%&'*+\-.^_`|~\w]+", name, re.ASCII) or re.search(r"[\r\n\0]", value):
            raise ValueError(f"the header {name!r} can't be sent: a name without blanks, and a text of one line")
        if name.lower() in _FRAMING:
            raise ValueError(f"the header {name!r} is set by the server, from the body; Fault.cut() ends an answer too early")
    if kind == "redirect" and not headers.get("Location"):
        raise ValueError("a redirect needs the address that it leads to")


def check_target(method: str | None, path: str | None, operation: str | None, routes: Mapping[str, Route]) -> None:
    """Refuses an injection that can hit no request.

    Args:
        method: the method of the requests, or None.
        path: a part of their path, or a pattern, or None.
        operation: the name of an operation, or None.
        routes: where each operation is served.
    """
    if method is not None:
        one_of("method", method.upper(), sorted({route.method for route in (*routes.values(), *IDENTITY)}))
    if operation is not None:
        one_of("operation", operation, routes)
        if method is not None or path is not None:
            raise ValueError("give either an operation, or a method and a path")
    if path is None:
        return
    served = [route for route in (*routes.values(), *IDENTITY) if method is None or route.method == method.upper()]
    # Unknown paths and methods are answered too, with 404 and 405: so without a path of the API's own, nothing is known.
    if not any(_may_meet(path, route.path) for route in served):
        names = {_below_client(route.path) for route in served}
        near = get_close_matches(path.strip("/"), sorted(names), 1, 0.5)
        hint = f"; did you mean {near[0]!r}?" if near else ", nor has the identity service"
        raise ValueError(f"no operation{f' with {method.upper()}' if method else ''} has the path {path!r}{hint}")


def _below_client(path: str) -> str:
    return path.removeprefix("/clients/{clientno}").strip("/")


def _may_meet(part: str, template: str) -> bool:
    """Whether a part of a path, or a pattern, can be met in the paths of a template."""
    if re.search(r"[*?\[]", part):
        words = [word for word in re.findall(r"[a-z]{4,}", part) if word not in template]
        return not words or "{" in template.replace("{clientno}", "")
    wanted, there = part.split("/"), template.split("/")
    if len(wanted) == 1:
        return any(part in one if "{" not in one else _fits(part, one) and bool(re.search(r"\d", part)) for one in there)
    return any(_meets(wanted, there[start:]) for start in range(len(there) - len(wanted) + 1))


def _meets(wanted: list[str], there: list[str]) -> bool:
    """Whether segments can be met from here on: the end of one, some whole ones, and the beginning of one."""
    last = len(wanted) - 1
    for place, (given, one) in enumerate(zip(wanted, there, strict=False)):
        if "{" in one:
            if not _fits(given, one):
                return False
        elif not (one.endswith(given) if place == 0 else one.startswith(given) if place == last else one == given):
            return False
    return True


def _fits(given: str, variable: str) -> bool:
    return given.isdigit() or not given if variable == "{clientno}" else True
