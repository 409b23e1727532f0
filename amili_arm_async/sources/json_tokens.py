"""Pure: patterns of JSON in bytes: strings, and objects whose brackets match. What is between them is not looked at."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

__all__ = ["OBJECT", "STRING", "body_pattern", "tail_pattern", "value_pattern"]

# A group that `*+` repeats is atomic: before Python 3.11.5, one in which the search goes back may match something else
# (https://github.com/python/cpython/issues/106052).

STRING: Final = rb'"(?:(?>[^"\\\n]++|\\[^\n]))*+"'
"""A string; it does not go on behind a line end."""

_LEVELS: Final = 5
"""Lists and groups within each other: a document has lines, these have amounts, and some more are allowed for. The pattern doubles with
each; deeper ones are found bracket by bracket."""


def _inner(levels: int) -> bytes:
    inner = rb'[^"{}\[\]]++|' + STRING
    if levels:
        below = _inner(levels - 1)
        inner += rb"|\{(?:(?>" + below + rb"))*+\}|\[(?:(?>" + below + rb"))*+\]"
    return inner


OBJECT: Final = re.compile(rb"\{(?:(?>" + _inner(_LEVELS) + rb"))*+\}")

_VALUE: Final = STRING + rb"|\[(?:(?>" + _inner(_LEVELS) + rb"))*+\]|" + OBJECT.pattern + rb'|[^\s"{}\[\],:]++'
_MEMBER: Final = STRING + rb"\s*+:\s*+(?:" + _VALUE + rb")\s*+"

# To compile these takes as long as to import a large module, and JSON lines need none of them.


@cache
def value_pattern() -> re.Pattern[bytes]:
    """Returns the pattern of any value."""
    return re.compile(_VALUE)


@cache
def body_pattern() -> re.Pattern[bytes]:
    """Returns the pattern of the beginning of a body of the API, as far as the first record in its list."""
    return re.compile(rb"\{\s*+(?:(?>(?!\"(?:customers|documents)\")" + _MEMBER + rb',\s*+))*+"(?:customers|documents)"\s*+:\s*+\[')


@cache
def tail_pattern() -> re.Pattern[bytes]:
    """Returns the pattern of what is behind the list of such a body."""
    return re.compile(rb"\s*+(?:(?>,\s*+" + _MEMBER + rb"))*+\}")
