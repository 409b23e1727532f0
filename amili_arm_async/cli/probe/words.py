"""Words that `BatchWords` does not know: where they probably belong. Pure."""

from __future__ import annotations

import re
from typing import Final, Literal, TypeAlias

from ...config import BatchWords
from .masking import is_word, masked_text

__all__ = ["Sort", "can_be_shown", "guess", "shown"]

Sort: TypeAlias = Literal["pending", "succeeded", "failed", "partial"]

_STEMS: Final[tuple[tuple[Sort, tuple[str, ...]], ...]] = (
    ("partial", ("part", "delvis", "mixed")),
    ("failed", ("fail", "err", "reject", "invalid", "abort", "cancel", "refus", "denied", "feil", "avvis", "avbr", "ugyldig")),
    ("pending", ("pend", "wait", "queue", "progress", "processing", "running", "start", "accept", "receiv", "vent", "mottatt")),
)
"""How the parts of a word begin; the first that fits tells. Norwegian ones too."""

_SUCCESS: Final = re.compile(
    "succe(ss|ssful|ssfully|eded)|suksess|vellykket|ok|done|completed?|finished|processed|created|updated|ferdig|fullført|behandlet|godkjent"
)
_NOT: Final = frozenset({"not", "no", "non", "never", "ikke", "un"})
_LONGEST: Final = 40
_LETTERS: Final = re.compile(r"[A-Za-z][A-Za-z_-]{0,30}", re.ASCII)


def guess(word: str, status: int | None) -> Sort | None:
    """Where a word probably belongs that came with this status: by the status where that tells, else by its looks, else nobody knows."""
    if status == 202:
        return "pending"
    parts = re.split("[-_]", word.casefold())
    for sort, stems in _STEMS:
        if any(part.startswith(stems) for part in parts):
            return sort
    # To be wrong here would be to lose a record without a word: it must be a whole part, and nothing may deny it.
    if not _NOT.intersection(parts) and any(map(_SUCCESS.fullmatch, parts)):
        return "succeeded"
    return "partial" if status == 206 else None


def can_be_shown(word: str, words: BatchWords) -> bool:
    """Whether a text can only be the word of a status, and nothing of a person."""
    plain = _LETTERS.fullmatch(word) is not None
    return is_word(word) or words.meaning(word) is not None or (plain and guess(word, None) is not None)


def shown(word: str, words: BatchWords) -> str:
    """A word as it is, where it can only be that of a status; else masked."""
    return word if can_be_shown(word, words) else masked_text(word[:_LONGEST])
