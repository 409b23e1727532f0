"""What a batch result says: of the batch, and of each of its records. Pure.

The public pages do not show the body of GET batch (https://docs.amili.dev/get-one-batch-3942681e0 lists only the codes 200, 202, 206,
400, 403, 404 and 406). So it is read with tolerance for its shape, and with none for its meaning: what is not clearly said is `accepted`,
never a success and never a failure.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from .. import codec
from ..config import BatchWords
from ..models.batches import BatchEntry, BatchOutcomeWord, BatchResult
from .chunking import as_key
from .states import Verdict

__all__ = ["KEY_NAMES", "judge_records", "read_result"]

KEY_NAMES: Final = ("documentNo", "customerNo")
"""The fields that may name a record in a batch result, the narrower first."""

_LISTS: Final = ("customers", "documents", "results", "items", "records", "entries", "details")


def read_result(batch_uuid: str, status: int, body: bytes, words: BatchWords, key_names: Sequence[str] = KEY_NAMES) -> BatchResult:
    """What GET batch answered with 200, 202 or 206.

    Args:
        batch_uuid: the batch.
        status: the HTTP status; 202 always means that it is still to be processed.
        body: the raw body.
        words: what the words mean.
        key_names: the fields that may name a record in an entry.
    """
    value = codec.json_value(body)
    # A list alone can only be the entries.
    fields = value if isinstance(value, dict) else {"results": value} if isinstance(value, list) else {}
    entries = tuple(_entry(item, words, key_names) for item in _find_entries(fields, key_names))
    outcome: BatchOutcomeWord = "pending" if status == 202 else _meaning(fields, words)
    if outcome == "unrecognised" and not _said(fields):
        # Nothing is said of the whole: then the entries speak for it.
        outcome = _meaning_of_all(entries)
    return BatchResult(
        batch_uuid,
        status,
        outcome,
        _word(fields.get("status")),
        _word(fields.get("result")),
        _word(fields.get("message")),
        entries,
        body,
    )


def _word(value: object) -> str | None:
    return value if isinstance(value, str) and value.strip() else None


def _said(fields: Mapping[str, Any]) -> list[str]:
    names = ("status", "result", "resultType")
    return [word.strip() for name in names if (word := _word(fields.get(name))) is not None]


def _meaning(fields: Mapping[str, Any], words: BatchWords) -> BatchOutcomeWord:
    """What all words together say: something to come wins, an unknown word spoils the rest, `result` is narrower than `status`."""
    meanings = [words.meaning(word) for word in _said(fields)]
    if "pending" in meanings:
        return "pending"
    if not meanings or None in meanings:
        return "unrecognised"
    if "failed" in meanings:
        return "failed"
    return "partial" if "partial" in meanings else "succeeded"


def _meaning_of_all(entries: Sequence[BatchEntry]) -> BatchOutcomeWord:
    meanings = {entry.outcome for entry in entries}
    if not meanings or "unrecognised" in meanings:
        return "unrecognised"
    if "pending" in meanings:
        return "pending"
    if meanings == {"succeeded"}:
        return "succeeded"
    return "failed" if meanings == {"failed"} else "partial"


def _find_entries(fields: Mapping[str, Any], key_names: Sequence[str]) -> list[dict[str, Any]]:
    """The list of what is said of single records: under a usual name, else any list whose objects name a record."""
    lists = {name: value for name, value in fields.items() if isinstance(value, list) and value}
    for name in [*_LISTS, *lists]:
        items = lists.get(name, [])
        objects = [item for item in items if isinstance(item, dict)]
        if objects and (name in _LISTS or any(key in objects[0] for key in key_names)):
            # An item that is no object says nothing, but it keeps its place.
            return [item if isinstance(item, dict) else {} for item in items]
    for value in fields.values():
        if isinstance(value, dict) and (found := _find_entries(value, key_names)):
            return found
    return []


def _entry(fields: dict[str, Any], words: BatchWords, key_names: Sequence[str]) -> BatchEntry:
    key = next((found for name in key_names if (found := as_key(fields.get(name))) is not None), None)
    return BatchEntry(key, _meaning(fields, words), "/".join(_said(fields)), _word(fields.get("message")))


# --- record by record ---------------------------------------------------------------------------------------------------

_UNMAPPED: Final = Verdict("accepted", "unmapped", "the batch result does not say what became of this record")
_UNRECOGNISED: Final = Verdict("accepted", "unrecognised", "the batch result uses words that BatchWords does not know")
_SUCCEEDED: Final = Verdict("succeeded")


def judge_records(result: BatchResult, keys: Sequence[str | None]) -> tuple[Verdict, dict[int, Verdict]]:
    """What a result that is not waited for any longer says of the records with these keys, in the order in which they were sent.

    Returns:
        the verdict for all, and by position those that differ.
    """
    overall = result.outcome
    if overall == "pending":
        return Verdict("accepted", "deadline", "the batch was not processed in time"), {}
    if not _speaks_of_records(result.entries, keys):
        # Where nothing was said of the whole but by such a list, nothing is said.
        silent = bool(result.entries) and result.status is None and result.result is None
        return (_UNMAPPED if silent else _without_entries(result)), {}
    found = _match(result.entries, keys)
    clear = overall in {"succeeded", "failed", "partial"}
    verdicts = [_UNMAPPED if entry is None else _verdict(entry, clear=clear) for entry in found]
    if not clear:
        verdicts = [_UNRECOGNISED if verdict == _UNMAPPED else verdict for verdict in verdicts]
    common = _SUCCEEDED if _SUCCEEDED in verdicts else verdicts[0]
    return common, {place: verdict for place, verdict in enumerate(verdicts) if verdict is not common and verdict != common}


def _without_entries(result: BatchResult) -> Verdict:
    contradicted = any(entry.outcome != "succeeded" and entry.words for entry in result.entries)
    if result.outcome == "succeeded" and result.http_status != 206 and not contradicted:
        return _SUCCEEDED
    if result.outcome == "failed":
        return Verdict("failed", result.result or result.status or "failed", result.message)
    return _UNRECOGNISED if result.outcome == "unrecognised" else _UNMAPPED


def _verdict(entry: BatchEntry, *, clear: bool) -> Verdict:
    """What an entry says; a success counts only where the words for the whole batch are known too."""
    if entry.outcome == "failed":
        return Verdict("failed", entry.words, entry.message)
    if entry.outcome == "succeeded" and clear:
        return _SUCCEEDED
    if entry.outcome == "pending":
        return Verdict("accepted", "deadline", "the record was not processed in time")
    return _UNRECOGNISED


def _speaks_of_records(entries: Sequence[BatchEntry], keys: Sequence[str | None]) -> bool:
    """Whether the list tells records apart: by key, or by position where no record has a key."""
    return any(entry.key is not None for entry in entries) or (len(entries) == len(keys) and None in keys)


def _match(entries: Sequence[BatchEntry], keys: Sequence[str | None]) -> list[BatchEntry | None]:
    """The entry of each record: by key, equal keys by occurrence; records without key by position, if the counts match."""
    folded = [key.casefold() if key is not None else None for key in keys]
    named = [entry.key.casefold() if entry.key is not None else None for entry in entries]
    if len(named) == len(folded) and all(key is None or key == name for key, name in zip(folded, named, strict=True)):
        # Everything is in its place, so the position speaks for records without key too.
        return list(entries)
    by_key: defaultdict[str, list[BatchEntry]] = defaultdict(list)
    for name, entry in zip(named, entries, strict=True):
        if name is not None:
            by_key[name].append(entry)
    wanted = Counter(key for key in folded if key is not None)
    for key, number in wanted.items():
        by_key[key] = _one_each(by_key[key], number)
    return [by_key[key].pop() if key is not None and by_key[key] else None for key in folded]


def _one_each(entries: list[BatchEntry], records: int) -> list[BatchEntry]:
    """As many entries as there are records with this key, the last first; where there are more, the worst speak."""
    if len(entries) > records:
        entries = sorted(entries, key=lambda entry: entry.outcome != "failed")[:records]
    return entries[::-1]
