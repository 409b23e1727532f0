"""Pure: patterns of JSON in bytes: strings, and objects whose brackets match. What is between them is not looked at."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["BODY", "OBJECT", "STRING", "TAIL", "VALUE"]

STRING: Final = rb'"(?:[^"\\\n]++|\\[^\n])*+"'
"""A string; it does not go on behind a line end."""

_LEVELS: Final = 5
"""Lists and groups within each other: a document has lines, these have amounts, and some more are allowed for. The pattern doubles with
each; deeper ones are found bracket by bracket."""


def _inner(levels: int) -> bytes:
    inner = rb'[^"{}\[\]]++|' + STRING
    if levels:
        below = _inner(levels - 1)
        inner += rb"|\{(?:" + below + rb")*+\}|\[(?:" + below + rb")*+\]"
    return inner


OBJECT: Final = re.compile(rb"\{(?:" + _inner(_LEVELS) + rb")*+\}")
VALUE: Final = re.compile(STRING + rb"|\[(?:" + _inner(_LEVELS) + rb")*+\]|" + OBJECT.pattern + rb'|[^\s"{}\[\],:]++')

_MEMBER: Final = STRING + rb"\s*+:\s*+(?:" + VALUE.pattern + rb")\s*+"

BODY: Final = re.compile(rb"\{\s*+(?:(?!\"(?:customers|documents)\")" + _MEMBER + rb',\s*+)*+"(?:customers|documents)"\s*+:\s*+\[')
"""The beginning of a body of the API, as far as the first record in its list."""

TAIL: Final = re.compile(rb"\s*+(?:,\s*+" + _MEMBER + rb")*+\}")
"""What is behind the list of such a body."""
