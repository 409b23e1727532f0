"""What a batch result says: of the batch, and of each of its records. Pure.

The public pages do not show the body of GET batch (https://docs.amili.dev/get-one-batch-3942681e0 lists only the codes 200, 202, 206,
400, 403, 404 and 406). So it is read with tolerance for its shape, and with none for its meaning: what is not clearly said is `accepted`,
never a success and never a failure.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from typing import Any, Final

from .. import codec
from ..config import BatchWords
from ..models.batches import BatchEntry, BatchOutcomeWord, BatchResult, put_off
from .entries import Entries, find_entries, meaning, said, word
from .states import Verdict

__all__ = ["KEY_NAMES", "judge_records", "read_all", "read_result"]

KEY_NAMES: Final = ("documentNo", "customerNo")
"""The fields that may name a record in a batch result, the narrower first."""


def read_result(batch_uuid: str, status: int, body: bytes, words: BatchWords, key_names: Sequence[str] = KEY_NAMES) -> BatchResult:
    """What GET batch answered with 200, 202 or 206; see `read_all`."""
    return read_all(batch_uuid, status, body, words, key_names)[0]


def read_all(batch_uuid: str, status: int, body: bytes, words: BatchWords, key_names: Sequence[str]) -> tuple[BatchResult, Entries]:
    """What GET batch answered with 200, 202 or 206, and its entries to judge records by.

    The result keeps the body alone: its own entries are read out of it when somebody looks at them.

    Args:
        batch_uuid: the batch.
        status: the HTTP status; 202 always means that it is still to be processed.
        body: the raw body.
        words: what the words mean.
        key_names: the fields that may name a record in an entry.
    """
    fields = _fields(body)
    entries = Entries(find_entries(fields, key_names), words, key_names)
    spoken = said(fields)
    outcome: BatchOutcomeWord = "pending" if status == 202 else meaning(spoken, words)
    if outcome == "unrecognised" and not spoken:
        # Nothing is said of the whole: then the entries speak for it.
        outcome = _meaning_of_all(entries.outcomes)
    top = word(fields.get("status")), word(fields.get("result")), word(fields.get("message"))
    result = BatchResult(batch_uuid, status, outcome, *top, (), body)
    if len(entries):
        put_off(result, partial(_entries, body, words, key_names), pending="pending" in entries.outcomes)
    return result, entries


def _fields(body: bytes) -> dict[str, Any]:
    value = codec.json_value(body)
    # A list alone can only be the entries.
    return value if isinstance(value, dict) else {"results": value} if isinstance(value, list) else {}


def _entries(body: bytes, words: BatchWords, key_names: Sequence[str]) -> tuple[BatchEntry, ...]:
    return Entries(find_entries(_fields(body), key_names), words, key_names).all()


def _meaning_of_all(meanings: AbstractSet[BatchOutcomeWord]) -> BatchOutcomeWord:
    if not meanings or "unrecognised" in meanings:
        return "unrecognised"
    if "pending" in meanings:
        return "pending"
    if meanings == {"succeeded"}:
        return "succeeded"
    return "failed" if meanings == {"failed"} else "partial"


# --- record by record ---------------------------------------------------------------------------------------------------

_UNMAPPED: Final = Verdict("accepted", "unmapped", "the batch result does not say what became of this record")
_UNRECOGNISED: Final = Verdict("accepted", "unrecognised", "the batch result uses words that BatchWords does not know")
_SUCCEEDED: Final = Verdict("succeeded")


def judge_records(result: BatchResult, keys: Sequence[str | None], entries: Entries | None = None) -> tuple[Verdict, dict[int, Verdict]]:
    """What a result that is not waited for any longer says of the records with these keys, in the order in which they were sent;
    `entries` are what it was read with, where they are still there: then it need not be looked at record by record.

    Returns:
        the verdict for all, and by position those that differ.
    """
    overall = result.outcome
    if overall == "pending":
        return Verdict("accepted", "deadline", "the batch was not processed in time"), {}
    clear = overall in {"succeeded", "failed", "partial"}
    differ = entries.that_differ(keys) if entries is not None and clear else None
    if differ is not None:
        verdicts_by_place = {place: _verdict(entry, clear=clear) for place, entry in differ.items()}
        return verdicts_by_place.pop(-1, _SUCCEEDED), verdicts_by_place
    if not _speaks_of_records(result.entries, keys):
        # Where nothing was said of the whole but by such a list, nothing is said.
        silent = bool(result.entries) and result.status is None and result.result is None
        return (_UNMAPPED if silent else _without_entries(result)), {}
    found = _match(result.entries, keys)
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
