"""Where each operation is served: the paths of the library's table, or others, for a service that differs from it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from .. import endpoints

LISTS: Final = frozenset({name for name in endpoints.OPERATIONS if name.endswith(".list")} | {"codes.get", "insights.adb_intervals"})
"""The operations that answer with a named list."""
_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
_VARIABLE: Final = re.compile(r"\{(\w+)\}")


class Route(NamedTuple):
    """A method and a path template below /arm/v1, with its leading slash."""

    method: str
    path: str

    def fill(self, **values: object) -> str:
        """Returns the path with its variables filled in."""
        return self.path.format(**values)


def routes(paths: Mapping[str, str]) -> dict[str, Route]:
    """Returns the route of every operation; `paths` are the changes: `path` or `METHOD path` by operation name.

    A `ValueError`: an unknown operation, other variables than the operation has, or two operations in one place.
    """
    found = {name: _route(row, paths.get(name, row.path)) for name, row in endpoints.OPERATIONS.items()}
    unknown = sorted(set(paths) - set(found))
    if unknown:
        raise ValueError(f"paths: no such operation: {', '.join(unknown)}")
    places: dict[tuple[str, str], str] = {}
    for name, route in found.items():
        other = places.setdefault((route.method, _VARIABLE.sub("{}", route.path)), name)
        if other != name:
            raise ValueError(f"paths: {name} and {other} can't both be {route.method} {route.path}")
    return found


def _route(row: endpoints.Endpoint, given: str) -> Route:
    """Returns the route of an operation at a path that was given for it."""
    first, _, rest = given.strip().partition(" ")
    method, path = (first, rest) if rest else (row.method, first)
    path = "/" + path.strip().strip("/")
    if method not in _METHODS:
        raise ValueError(f"paths: {row.name}: {method!r} is none of {', '.join(_METHODS)}")
    if set(_VARIABLE.findall(path)) != set(_VARIABLE.findall(row.path)):
        raise ValueError(f"paths: {row.name} needs the variables of {row.path}, and no others")
    return Route(method, path)
