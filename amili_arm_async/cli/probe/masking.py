"""Masks personal data: the words that may be shown, and the files in which masked replies are saved."""

from __future__ import annotations

import os
import re
import string
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import msgspec

from ... import codec
from ...config import BatchWords
from ...errors import ConfigurationError
from ...files import followed
from .evidence import Exchange

__all__ = [
    "ReplyFiles",
    "WordSet",
    "can_be_shown",
    "field_name",
    "guess_word_set",
    "is_word",
    "mask",
    "masked_body",
    "masked_headers",
    "masked_text",
    "shown_word",
]


_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,40}", re.ASCII)
_WORD: Final = re.compile(r"[A-Z][A-Z_-]{0,30}", re.ASCII)
_WORD_FIELD: Final = re.compile(r"(\w*[a-z])?(status|result|type)", re.IGNORECASE | re.ASCII)
_PERSONAL: Final = re.compile(
    "name|address|mail|phone|mobile|ssn|birth|person|contact|message|text|note|reference|bank|owner|debtor|city|country", re.IGNORECASE
)
"""Fields with personal data in them or below them: no word there is a status."""

_KEPT_SIGNS: Final = frozenset(string.punctuation + " \t\r\n")
_DEEPEST: Final = 60
_SHOWN_TEXT: Final = 200

_KEPT_HEADERS: Final = re.compile(
    r"content-(type|length|encoding|language)|date|retry-after|allow|(x-)?rate-?limit[a-z-]*|(x-)?(request|correlation|trace|transaction)-?id"
    r"|traceparent"
)
_PLAIN: Final = re.compile(r"[A-Za-z0-9 .,:;=/+*\"_-]{0,200}", re.ASCII)


def masked_text(text: str) -> str:
    """Returns a text of the same length: digits become 0, and everything but punctuation and spaces becomes x."""
    return "".join(sign if sign in _KEPT_SIGNS else "0" if sign.isdecimal() else "x" for sign in text)


def field_name(name: str) -> str:
    """Returns a field name, masked unless it looks like one: it may be data."""
    return name if _NAME.fullmatch(name) else masked_text(name)


def is_word(text: str) -> bool:
    """Returns whether a text looks like a status word: short, and all in upper case."""
    return _WORD.fullmatch(text) is not None


def mask(value: Any) -> Any:
    """Returns the same JSON value with its data masked."""
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
    masked: dict[str, Any] = {}
    for name, item in value.items():
        shown = field_name(name)
        while shown in masked:
            # Two names may be equal when they are masked.
            shown += "_"
        words = keep_words and not _PERSONAL.search(name)
        if words and isinstance(item, str) and _WORD_FIELD.fullmatch(name) and is_word(item):
            masked[shown] = item
        else:
            # Only the numbers that stand in the summary itself: what it may hold in it is no number of the list.
            numbers = (depth == 0 and name == "summary") or (keep_numbers and not isinstance(item, Mapping))
            masked[shown] = _mask(item, keep_words=words, keep_numbers=numbers, depth=depth + 1)
    return masked


def masked_body(body: bytes) -> Any:
    """Returns a body as it is saved: masked JSON; of anything else its length and its masked beginning."""
    if not body:
        return None
    value = codec.json_value(body)
    if value is None and body.strip() != b"null":
        return {"no_json": masked_text(body.decode("utf-8", "replace")[:_SHOWN_TEXT]), "bytes": len(body)}
    return mask(value)


def masked_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Returns the headers; the values of those that may hold personal data are not shown."""
    shown = {}
    for name, value in headers.items():
        kept = _KEPT_HEADERS.fullmatch(name.lower()) and _PLAIN.fullmatch(value)
        shown[name] = value if kept else "(not shown)"
    return shown


_NUMBERS: Final = frozenset({"pageno", "pagesize", "maximumcount"})


class ReplyFiles:
    """Saves a JSON file for each reply, readable by its owner only.

    Args:
        path: a directory that does not exist, or is empty.

    Attributes:
        trouble: why no further reply was written, or "".

    Raises:
        ConfigurationError: it can't be had.
    """

    def __init__(self, path: str) -> None:
        self.trouble = ""
        self._count = 0
        try:
            self._path = Path(followed(path))
            self._path.mkdir(mode=0o700, parents=False, exist_ok=True)
            if next(self._path.iterdir(), None) is not None:
                raise ConfigurationError(f"{path} is not empty: name a directory that does not exist yet")
            self._path.chmod(0o700)
        except OSError as exc:
            raise ConfigurationError(f"{path} can't be used as a directory for the replies: {exc.strerror}") from None

    def keep(self, exchange: Exchange) -> None:
        """Saves a reply.

        Args:
            exchange: the request and its reply.
        """
        if self.trouble:
            return
        self._count += 1
        path = self._path / f"{self._count:03d}-{exchange.operation}.json"
        try:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(msgspec.json.format(codec.ENCODER.encode(_shown(exchange)), indent=2) + b"\n")
        except OSError as exc:
            # A probe that has started reports what it saw, even if its files can't be written.
            self.trouble = f"{self._path} can't be written: {exc.strerror}"


def _shown(exchange: Exchange) -> dict[str, Any]:
    response = exchange.response
    return {
        "operation": exchange.operation,
        "method": exchange.method,
        "path": exchange.template,
        "query": {field_name(name): value if name in _NUMBERS and value.isdecimal() else "(not shown)" for name, value in exchange.query},
        "status": exchange.status,
        "reason": exchange.reason,
        "whole": response.complete if response is not None else None,
        "headers": masked_headers(exchange.headers),
        "body": masked_body(exchange.body),
    }


# --- words of a status --------------------------------------------------------------------------------------------------


WordSet: TypeAlias = Literal["pending", "succeeded", "failed", "partial"]

_STEMS: Final[tuple[tuple[WordSet, tuple[str, ...]], ...]] = (
    ("partial", ("part", "delvis", "mixed")),
    ("failed", ("fail", "err", "reject", "invalid", "abort", "cancel", "refus", "denied", "feil", "avvis", "avbr", "ugyldig")),
    ("pending", ("pend", "wait", "queue", "progress", "processing", "running", "start", "accept", "receiv", "vent", "mottatt")),
)
"""How the parts of English and Norwegian status words begin; the first match counts."""

_SUCCESS: Final = re.compile(
    "succe(ss|ssful|ssfully|eded)|suksess|vellykket|ok|done|completed?|finished|processed|created|updated|ferdig|fullført|behandlet|godkjent"
)
_NOT: Final = frozenset({"not", "no", "non", "never", "ikke", "un"})
_LONGEST: Final = 40
_LETTERS: Final = re.compile(r"[A-Za-z][A-Za-z_-]{0,30}", re.ASCII)


def guess_word_set(word: str, status: int | None) -> WordSet | None:
    """Guesses the set of an unknown word, by the HTTP status or its spelling; None where neither shows it."""
    if status == 202:
        return "pending"
    parts = re.split("[-_]", word.casefold())
    for word_set, stems in _STEMS:
        if any(part.startswith(stems) for part in parts):
            return word_set
    # To be wrong here would be to lose a record without a word: it must be a whole part, and nothing may deny it.
    if not _NOT.intersection(parts) and any(map(_SUCCESS.fullmatch, parts)):
        return "succeeded"
    return "partial" if status == 206 else None


def can_be_shown(word: str, words: BatchWords) -> bool:
    """Returns whether a text can only be a status word, and nothing personal."""
    plain = _LETTERS.fullmatch(word) is not None
    return is_word(word) or words.meaning(word) is not None or (plain and guess_word_set(word, None) is not None)


def shown_word(word: str, words: BatchWords) -> str:
    """Returns a word, masked unless it can only be a status word."""
    return word if can_be_shown(word, words) else masked_text(word[:_LONGEST])
