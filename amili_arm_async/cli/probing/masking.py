"""What a reply looks like without what is in it: for a bug report. Pure.

What stays: the shape, names of fields, how long a text is and which signs it has, the words that tell of a status, and the numbers
that a list says of itself. What goes: every letter and every digit of everything else.
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from ... import codec

__all__ = ["field_name", "is_word", "mask", "masked_body", "masked_headers", "masked_text"]

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,40}", re.ASCII)
_WORD: Final = re.compile(r"[A-Z][A-Z_-]{0,30}", re.ASCII)
_WORD_FIELD: Final = re.compile(r"(\w*[a-z])?(status|result|type)", re.IGNORECASE | re.ASCII)
_PERSONAL: Final = re.compile(
    "name|address|mail|phone|mobile|ssn|birth|person|contact|message|text|note|reference|bank|owner|debtor|city|country", re.IGNORECASE
)
"""Fields that hold, or hold in them, what tells of a person: no word below them is a status."""

_KEPT_SIGNS: Final = frozenset(string.punctuation + " \t\r\n")
_DEEPEST: Final = 60
_SHOWN_TEXT: Final = 200

_KEPT_HEADERS: Final = re.compile(
    r"content-(type|length|encoding|language)|date|retry-after|allow|(x-)?rate-?limit[a-z-]*|(x-)?(request|correlation|trace|transaction)-?id"
    r"|traceparent"
)
_PLAIN: Final = re.compile(r"[A-Za-z0-9 .,:;=/+*\"_-]{0,200}", re.ASCII)


def masked_text(text: str) -> str:
    """As long as it was: digits are 0, whatever is no plain sign is x."""
    return "".join(sign if sign in _KEPT_SIGNS else "0" if sign.isdecimal() else "x" for sign in text)


def field_name(name: str) -> str:
    """The name of a field as it is, where it looks like one; else it may be data."""
    return name if _NAME.fullmatch(name) else masked_text(name)


def is_word(text: str) -> bool:
    """Whether a text looks like a word of a status: short, and all in upper case."""
    return _WORD.fullmatch(text) is not None


def mask(value: Any) -> Any:
    """The same value without its data."""
    return _mask(value, keep_words=True, keep_numbers=False, depth=0)


def _mask(value: Any, *, keep_words: bool, keep_numbers: bool, depth: int) -> Any:
    if depth > _DEEPEST:
        return "..."
    if isinstance(value, Mapping):
        return _mask_object(value, keep_words=keep_words, keep_numbers=keep_numbers, depth=depth)
    if isinstance(value, list):
        return [_mask(item, keep_words=keep_words, keep_numbers=False, depth=depth + 1) for item in value]
    if isinstance(value, str):
        return masked_text(value)
    if value is None or isinstance(value, bool) or keep_numbers:
        return value
    return Decimal("0.0") if isinstance(value, Decimal) else 0.0 if isinstance(value, float) else 0


def _mask_object(value: Mapping[str, Any], *, keep_words: bool, keep_numbers: bool, depth: int) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, item in value.items():
        shown = field_name(name)
        while shown in made:
            # Two names that look alike when they are masked are two all the same.
            shown += "_"
        words = keep_words and not _PERSONAL.search(name)
        if words and isinstance(item, str) and _WORD_FIELD.fullmatch(name) and is_word(item):
            made[shown] = item
        else:
            # Only the numbers that stand in the summary itself: what it may hold in it is no number of the list.
            numbers = (depth == 0 and name == "summary") or (keep_numbers and not isinstance(item, Mapping))
            made[shown] = _mask(item, keep_words=words, keep_numbers=numbers, depth=depth + 1)
    return made


def masked_body(body: bytes) -> Any:
    """What is saved of a body: the masked JSON; of anything else how long it is and how it begins, masked too."""
    if not body:
        return None
    value = codec.json_value(body)
    if value is None and body.strip() != b"null":
        return {"no_json": masked_text(body.decode("utf-8", "replace")[:_SHOWN_TEXT]), "bytes": len(body)}
    return mask(value)


def masked_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers that tell of the service, as they are; of the others only that they are there."""
    shown = {}
    for name, value in headers.items():
        kept = _KEPT_HEADERS.fullmatch(name.lower()) and _PLAIN.fullmatch(value)
        shown[name] = value if kept else "(not shown)"
    return shown
