"""The settings that would make the library right, as Python to paste. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ...config import BatchWords
from .batches import done_words, unknown_shape, unknown_words
from .evidence import Evidence
from .lists import names
from .paths import ASKED, path_that_answered, single_of
from .words import can_be_shown

__all__ = ["NONE", "remedy"]

NONE: Final = "none: all is as assumed"
_SORTS: Final = ("pending", "succeeded", "failed", "partial")


def remedy(evidence: Evidence, *, all_as_assumed: bool) -> str:
    """Arguments for `ArmClient`, line by line."""
    lines = [*_paths(evidence), *_words(evidence), *_reader(evidence)]
    if lines:
        return "\n".join(lines)
    return NONE if all_as_assumed else "none: no setting is for what is otherwise than assumed"


def _paths(evidence: Evidence) -> Iterator[str]:
    rows: list[str] = []
    for row in ASKED:
        found = path_that_answered(evidence, row.name)
        if found is None:
            continue
        rows.append(f'    "{row.name}": "{found}",')
        one = single_of(row.name)
        if one is not None:
            rows.append(f'    "{one.name}": "{found}/{one.path.rpartition("/")[2]}",  # to be confirmed: it follows from the list')
    if rows:
        yield from ("paths={", *rows, "},")


def _words(evidence: Evidence) -> Iterator[str]:
    known = BatchWords()
    unknown = unknown_words(evidence)
    placed = [(word, sort) for word, sort in sorted(unknown.items()) if sort is not None and can_be_shown(word, known)]
    placed += [(word, "succeeded") for word in done_words(evidence)]
    lost = [word for word, sort in sorted(unknown.items()) if sort is None or not can_be_shown(word, known)]
    if placed:
        yield "batch_words=BatchWords(  # to be confirmed by a person: where the words belong is a guess"
        for sort in _SORTS:
            words = [word for word, belongs in placed if belongs == sort]
            if words:
                yield f"    {sort}=BatchWords().{sort} | {{{', '.join(f'{word!r}' for word in words)}}},".replace("'", '"')
        yield "),"
    yield from (f'# "{word}" is in no set of BatchWords, and nothing tells where it belongs: a person must say' for word in lost)


def _reader(evidence: Evidence) -> Iterator[str]:
    fields = unknown_shape(evidence)
    if fields:
        yield f"# the result of a batch has a shape that no rule knows (fields: {names(fields)}): read it yourself"
        yield "batch_reader=lambda status, body, keys: None,  # to be written: an outcome for each key, see docs/probe.md"
