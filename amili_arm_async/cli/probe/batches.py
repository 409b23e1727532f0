"""What GET batch says, read as a bulk run reads it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import Any, Final

from ... import wire
from ...bulk.result_entries import find_entries, status_words
from ...bulk.results import KEY_NAMES, Reading, read_all
from ...config import BatchWords
from ...models.batches import BatchOutcomeWord, BatchResult
from .evidence import Evidence, Exchange, Judged, mismatch, not_seen, right, why_not_seen
from .lists import names
from .masking import field_name
from .words import Sort, guess, shown

__all__ = [
    "BATCHES",
    "POLLS",
    "done_words",
    "is_settled",
    "judge_course",
    "judge_entries",
    "judge_entry_fields",
    "judge_receipt",
    "judge_status",
    "judge_words",
    "outcome_of",
    "unknown_shape",
    "unknown_words",
]

BATCHES: Final = "batches.get"
"""What the replies for batches of the caller's are kept under."""
POLLS: Final = "batches.get/polls"
"""The same for the batch that was sent."""

_WORDS: Final = BatchWords()
_RESULTS: Final = frozenset({200, 202, 206})
_DEEPEST: Final = 4


def _results(evidence: Evidence) -> list[Exchange]:
    """Every reply that tells of a batch; of the one that was sent, the last."""
    last = evidence.last(POLLS)
    return [heard for heard in [*evidence.all(BATCHES), *([last] if last is not None else [])] if heard.status in _RESULTS]


def _read(heard: Exchange) -> BatchResult:
    return _reading(heard).result


def _reading(heard: Exchange) -> Reading:
    return read_all("", heard.status or 0, heard.body, _WORDS, KEY_NAMES)


def outcome_of(heard: Exchange) -> BatchOutcomeWord | None:
    """What a reply says of the batch as a whole, or None."""
    return _read(heard).outcome if heard.is_success and heard.status in _RESULTS else None


def is_settled(heard: Exchange) -> bool:
    """Whether there is nothing more to come."""
    return heard.is_success and heard.status != 202 and _read(heard).outcome != "pending"


def _why_none(evidence: Evidence) -> Judged:
    asked = [*evidence.all(BATCHES), *evidence.all(POLLS)]
    return why_not_seen(asked[-1] if asked else None, evidence.ended or "no batch was named, and none was sent")


def judge_status(evidence: Evidence) -> Judged:
    """The statuses, and what the words that come with them mean."""
    asked = evidence.all(BATCHES) + evidence.all(POLLS)
    told = [heard for heard in asked if heard.status is not None and heard.status not in {401, 403, 429, 503}]
    if not told:
        return _why_none(evidence)
    seen, fits = [], True
    for heard in told:
        meaning = _read(heard).outcome if heard.status in _RESULTS else "nothing"
        seen.append(f"{heard.status} ({meaning})")
        spoken = status_words(heard.fields())
        pending = bool(spoken) and all(_WORDS.meaning(word) == "pending" for word in spoken)
        # Words that say "to come" in a 200 are no more than slow; a 202 whose words say that all is done is never read.
        fits = fits and (heard.status in {200, 206, 404, 406} or (heard.status == 202 and (pending or not spoken or not _known(spoken))))
    shown_once = ", ".join(dict.fromkeys(seen))
    return right(shown_once) if fits else mismatch(shown_once)


def _known(spoken: list[str]) -> bool:
    return all(_WORDS.meaning(word) is not None for word in spoken)


def judge_course(evidence: Evidence) -> Judged:
    """How the replies for the batch that was sent went on, from the first to the last."""
    polls = evidence.all(POLLS)
    if not polls:
        return why_not_seen(None, evidence.ended or "nothing was sent")
    steps = [f"{heard.status if heard.status is not None else heard.reason} {'/'.join(_shown(heard.fields()))}".strip() for heard in polls]
    parts = []
    for step, group in groupby(steps):
        times = len(list(group))
        parts.append(f"{step} ({times} x)" if times > 1 else step)
    seen = ", then ".join(parts)
    if polls[-1].status == 403:
        return why_not_seen(polls[-1])
    return right(seen) if is_settled(polls[-1]) else mismatch(f"{seen}; it did not end") if polls[-1].is_success else not_seen(seen)


def _shown(fields: Mapping[str, Any]) -> list[str]:
    return [shown(word, _WORDS) for word in status_words(fields)]


# --- words --------------------------------------------------------------------------------------------------------------


def _replies_with_words(evidence: Evidence) -> list[Exchange]:
    receipt = evidence.first("customers.create_batch")
    return [*([receipt] if receipt is not None else []), *evidence.all(BATCHES), *evidence.all(POLLS)]


def unknown_words(evidence: Evidence) -> dict[str, Sort | None]:
    """The words that `BatchWords` does not know, as they may be shown, and where they probably belong."""
    found: dict[str, Sort | None] = {}
    for heard in _replies_with_words(evidence):
        if not heard.is_success:
            continue
        entries = find_entries(_fields(heard), KEY_NAMES)
        spoken = [*status_words(heard.fields()), *(word for entry in entries for word in status_words(entry))]
        for word in dict.fromkeys(spoken):
            if _WORDS.meaning(word) is None:
                sort = guess(word, heard.status) or _by_the_record(evidence, heard)
                found[shown(word, _WORDS)] = found.get(shown(word, _WORDS)) or sort
    return found


def _by_the_record(evidence: Evidence, heard: Exchange) -> Sort | None:
    """A word for the batch that was sent, when its customer was found afterwards, can only tell of a success."""
    written = evidence.last("customers.get/written")
    return "succeeded" if heard is evidence.last(POLLS) and written is not None and written.is_success else None


def done_words(evidence: Evidence) -> list[str]:
    """The words that only say that the batch that was sent is done, where its customer was found afterwards: they may mean success."""
    last = evidence.last(POLLS)
    if last is None or not is_settled(last) or _read(last).outcome != "done" or _by_the_record(evidence, last) is None:
        return []
    return [word for word in dict.fromkeys(status_words(last.fields())) if _WORDS.meaning(word) == "done"]


def judge_words(evidence: Evidence) -> Judged:
    """Whether all words are known."""
    told = [heard for heard in _replies_with_words(evidence) if heard.is_success]
    if not told:
        return _why_none(evidence)
    unknown = unknown_words(evidence)
    if unknown:
        return mismatch(f"unknown: {', '.join(unknown)}")
    spoken = dict.fromkeys(word for heard in told for word in _shown(heard.fields()))
    return right(", ".join(spoken)) if spoken else mismatch("neither status nor result")


# --- entries ------------------------------------------------------------------------------------------------------------


def _fields(heard: Exchange) -> dict[str, Any]:
    value = heard.value()
    return value if isinstance(value, dict) else {"results": value} if isinstance(value, list) else {}


def judge_entries(evidence: Evidence) -> Judged:
    """Where the entries are."""
    done = [heard for heard in _results(evidence) if is_settled(heard)]
    if not done:
        return _why_none(evidence) if not _results(evidence) else not_seen("no batch was done")
    seen = [_entries_seen(heard) for heard in done]
    text = ", ".join(dict.fromkeys(words for words, _ in seen))
    if all(good is None for _, good in seen):
        return not_seen(text)
    return mismatch(text) if any(good is False for _, good in seen) else right(text)


def _entries_seen(heard: Exchange) -> tuple[str, bool | None]:
    """Where they are, and whether the library finds them; None where there are none and none are missed."""
    fields, reading = _fields(heard), _reading(heard)
    if find_entries(fields, KEY_NAMES):
        return _place(fields), True
    if reading.names_records:
        found = dict.fromkeys(item.name for item in (*reading.evidence.succeeded, *reading.evidence.failed))
        return f"in lists of what succeeded and what failed: {names(list(found))}", True
    lists = _lists(fields, _DEEPEST)
    if lists:
        return f"none is found; there are lists: {names(lists)}", False
    whole = _read(heard).outcome
    return (
        ("none, and the success of the whole speaks for all", None) if whole == "succeeded" else (f"none, and the whole is {whole}", False)
    )


def unknown_shape(evidence: Evidence) -> list[str]:
    """The fields of a result that no rule understands; empty where there is none. Words that are not known are another matter."""
    for heard in _results(evidence):
        if not is_settled(heard) or _entries_seen(heard)[1] is not False:
            continue
        if _lists(_fields(heard), _DEEPEST) or (_read(heard).outcome == "unrecognised" and not status_words(heard.fields())):
            return list(_fields(heard))
    return []


def _place(fields: Mapping[str, Any]) -> str:
    """The path of the list that the library takes for the entries."""
    entries = find_entries(fields, KEY_NAMES)
    for name, value in fields.items():
        if isinstance(value, list) and [item for item in value if isinstance(item, dict)] == [item for item in entries if item]:
            return field_name(name)
    for name, value in fields.items():
        if isinstance(value, dict) and find_entries(value, KEY_NAMES) == entries:
            return f"{field_name(name)}.{_place(value)}"
    return "a list"


def _lists(fields: Mapping[str, Any], depth: int) -> list[str]:
    """Names of lists of objects, wherever they are."""
    found = [name for name, value in fields.items() if isinstance(value, list) and any(isinstance(item, dict) for item in value)]
    below = [value for value in fields.values() if isinstance(value, dict)] if depth else []
    return found + [name for value in below for name in _lists(value, depth - 1)]


def judge_entry_fields(evidence: Evidence) -> Judged:
    """Whether each entry names its record, and which of its fields speak."""
    entries = [entry for heard in _results(evidence) if is_settled(heard) for entry in find_entries(_fields(heard), KEY_NAMES)]
    if not entries:
        return not_seen("there are no entries")
    keys = [name for name in KEY_NAMES if any(name in entry for entry in entries)]
    speaking = [name for name in ("status", "result", "resultType") if any(name in entry for entry in entries)]
    more = [name for name in dict.fromkeys(name for entry in entries for name in entry) if name not in {*keys, *speaking}]
    seen = f"named by {names(keys) or 'nothing'}; {names(speaking) or 'nothing'} speak; beside them: {names(more) or 'nothing'}"
    all_named = all(any(entry.get(name) not in (None, "") for name in KEY_NAMES) for entry in entries)
    return right(seen) if all_named and all(map(status_words, entries)) else mismatch(seen)


def judge_receipt(evidence: Evidence) -> Judged:
    """The answer to a batch that was sent."""
    heard = evidence.first("customers.create_batch")
    if heard is None or heard.status is None or heard.status == 403:
        return why_not_seen(heard, evidence.ended or "nothing was sent")
    if not heard.is_success or heard.response is None:
        return mismatch(f"refused with {heard.status}")
    seen = f"{heard.status}: {names(list(heard.fields()))}"
    receipt = wire.batch_receipt(heard.response)
    return right(seen) if receipt is not None and heard.status == 202 else mismatch(seen)
