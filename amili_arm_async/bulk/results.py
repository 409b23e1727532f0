"""What a batch result says: of the batch, and of each of its records. Pure.

The public pages do not show the body of GET batch (https://docs.amili.dev/get-one-batch-3942681e0 lists only the codes 200, 202, 206,
400, 403, 404 and 406). So it is read with tolerance for its shape, and with none for its meaning: what is not clearly said is `accepted`,
never a success and never a failure. Whatever in the body speaks against a record or the batch beats the word for the whole.
"""

from __future__ import annotations

import inspect
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from typing import Any, Final, TypeAlias

from msgspec import Struct

from .. import codec, log
from ..config import BatchWords
from ..models.batches import BatchEntry, BatchOutcomeWord, BatchResult, put_off
from .chunking import as_key
from .failure_evidence import Evidence, Item, gather, parts_of
from .outcomes import ACCEPTED, BatchReader, Outcome, RecordOutcome
from .result_entries import Entries, entry_of, find_list, meaning, objects_in, said, word
from .result_names import Names

__all__ = ["KEY_NAMES", "BatchRules", "Outcomes", "Reading", "most_bytes", "read_all", "read_result", "with_deadline"]

KEY_NAMES: Final = ("documentNo", "customerNo")
"""The fields that may name a record in a batch result, the narrower first."""

_MOST_ANSWER: Final = 64_000_000
_WHOLE: Final = frozenset(
    {"summary", "data", "result", "results", "batch", "batchresult", "batchstatus", "response", "body", "payload", "job"}
)
"""Objects whose words are those for the whole too, without case."""
_DEEPEST: Final = 3


def most_bytes(records: int) -> int:
    """The largest result that is read, for a batch of so many records."""
    return min(_MOST_ANSWER, 1_000_000 + 16_000 * records)


def _holds_too_much(body: bytes, records: int | None) -> bool:
    """Whether a result holds more values than one of so many records can: each takes memory, and time in which nothing else happens."""
    most = 2_000_000 if records is None else 20_000 + 200 * records
    if len(body) <= 2 * most or _count_values(body) <= most:
        return False
    if body.count(b'"') > 4 * most:
        return True
    # Some of these signs are in texts: those are taken out.
    plain = body.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2]
    return _count_values(b"".join(plain)) > most


def _count_values(text: bytes) -> int:
    """The signs that begin a value: a count takes no time."""
    return sum(map(text.count, (b",", b"{", b"[")))


def read_result(batch_uuid: str, status: int, body: bytes, words: BatchWords, key_names: Sequence[str] = KEY_NAMES) -> BatchResult:
    """What GET batch answered with 200, 202 or 206; see `read_all`."""
    return read_all(batch_uuid, status, body, words, key_names).result


def read_all(batch_uuid: str, status: int, body: bytes, words: BatchWords, key_names: Sequence[str], records: int | None = None) -> Reading:
    """What GET batch answered with 200, 202 or 206, to judge records by.

    The result keeps the body alone: its own entries are read out of it when somebody looks at them.

    Args:
        batch_uuid: the batch.
        status: the HTTP status; 202 always means that it is still to be processed.
        body: the raw body.
        words: what the words mean.
        key_names: the fields that may name a record in an entry.
        records: how many records the batch has, where that is known.
    """
    is_too_large = _holds_too_much(body, records)
    parsed = _parse(b"" if is_too_large else body, words, key_names)
    whole, entries, evidence = parsed
    evidence.against |= any(_listed(item, "succeeded", key_names, words).outcome == "failed" for item in evidence.succeeded)
    spoken = [text for fields in whole for text in said(fields)]
    outcome: BatchOutcomeWord = "pending" if status == 202 else meaning(spoken, words)
    if outcome == "unrecognised" and not spoken:
        # Nothing is said of the whole: then the entries and the lists speak for it.
        listed: set[BatchOutcomeWord] = {"partial"} if evidence.failed else set()
        outcome = _meaning_of_all(entries.outcomes | listed | ({"succeeded"} if evidence.succeeded else set()))
    elif outcome in {"succeeded", "done"} and (evidence.against or entries.outcomes & {"failed", "partial"}):
        outcome = "partial"
    top = (_first(whole, name) for name in ("status", "result", "message"))
    result = BatchResult(batch_uuid, status, outcome, next(top), next(top), next(top), (), body)
    if len(entries) or evidence.failed or evidence.succeeded:
        put_off(result, partial(_entries, body, words, key_names), pending="pending" in entries.outcomes)
    return Reading(result, entries, evidence, words, key_names, is_silent=not spoken, is_too_large=is_too_large)


def _first(whole: list[dict[str, Any]], name: str) -> str | None:
    return next((text for fields in whole if (text := word(fields.get(name))) is not None), None)


class _Parsed(Struct, frozen=True):
    whole: list[dict[str, Any]]
    entries: Entries
    evidence: Evidence

    def __iter__(self) -> Iterator[Any]:
        return iter((self.whole, self.entries, self.evidence))


def _parse(body: bytes, words: BatchWords, key_names: Sequence[str]) -> _Parsed:
    value = codec.json_value(body)
    # A list alone can only be the entries.
    fields = value if isinstance(value, dict) else {"results": value} if isinstance(value, list) else {}
    whole = list(_whole(fields, _DEEPEST))
    found = find_list(fields, key_names)
    entries = Entries(objects_in(found), words, key_names)
    # Entries that name no record are seen as anything else in the body.
    evidence = gather(fields, found if found and entries.name_records else None, words, whole)
    return _Parsed(whole, entries, evidence)


def _whole(fields: dict[str, Any], depth: int) -> Iterator[dict[str, Any]]:
    """The objects whose words are those for the whole."""
    yield fields
    for name, value in fields.items() if depth else ():
        if isinstance(value, dict) and "".join(parts_of(name)) in _WHOLE:
            yield from _whole(value, depth - 1)


def _entries(body: bytes, words: BatchWords, key_names: Sequence[str]) -> tuple[BatchEntry, ...]:
    _, entries, evidence = _parse(body, words, key_names)
    made = [_listed(item, "succeeded", key_names, words) for item in evidence.succeeded]
    return *entries.all(), *made, *(_listed(item, "failed", key_names, words) for item in evidence.failed)


def _listed(item: Item, outcome: BatchOutcomeWord, key_names: Sequence[str], words: BatchWords) -> BatchEntry:
    """The entry for an item of a list of failures or successes."""
    if not isinstance(item.value, dict):
        return BatchEntry(as_key(item.value) if item.may_name else None, outcome, "", None)
    key = next((found for name in (*key_names, "key") if (found := as_key(item.value.get(name))) is not None), None)
    entry = entry_of(item.value, key, words)
    if outcome == "succeeded" and (entry.words or entry.outcome == "failed") and entry.outcome != "done":
        outcome = entry.outcome
    return BatchEntry(key, outcome, entry.words, entry.message)


def _meaning_of_all(meanings: AbstractSet[BatchOutcomeWord]) -> BatchOutcomeWord:
    if not meanings or "unrecognised" in meanings:
        return "unrecognised"
    if "pending" in meanings:
        return "pending"
    return next(iter(meanings)) if len(meanings) == 1 else "partial"


# --- record by record ---------------------------------------------------------------------------------------------------

_UNMAPPED: Final = Outcome("accepted", "unmapped", "the batch result does not say what became of this record")
_DONE: Final = Outcome("accepted", "unmapped", "the batch is done, and no word of success says how it ended")
_SHARED: Final = Outcome("accepted", "unmapped", "another batch was given the same batchUuid, and the result does not name this record")
_UNRECOGNISED: Final = Outcome("accepted", "unrecognised", "the batch result uses words that BatchWords does not know")
_TOO_LARGE: Final = Outcome("accepted", "unrecognised", "the batch result is larger than a result of so many records can be")
_UNTOLD: Final = Outcome("accepted", "unmapped", "batch_reader does not say what became of this record")
_SUCCEEDED: Final = Outcome("succeeded")
_LATE: Final = Outcome("accepted", "deadline", "the record was not processed in time")

Outcomes: TypeAlias = tuple[Outcome, dict[int, Outcome]]
"""The outcome for all records of a batch, and by position those that differ."""


class Reading(Struct, frozen=True):
    """A result that was read, to judge records by.

    Attributes:
        result: what it says of the whole.
        entries: what it says of single records.
        evidence: what it says beside both.
        words: what the words mean.
        key_names: the fields that may name a record.
        is_silent: whether no word is said of the whole.
        is_too_large: whether it was not read, since it holds too much.
    """

    result: BatchResult
    entries: Entries
    evidence: Evidence
    words: BatchWords
    key_names: Sequence[str]
    is_silent: bool
    is_too_large: bool

    @property
    def names_records(self) -> bool:
        """Whether it says anything of single records."""
        return bool(len(self.entries) or self.evidence.failed or self.evidence.succeeded)

    def outcomes(self, keys: Sequence[str | None], *, complete: bool = True, shared: bool = False) -> Outcomes:
        """What a result that is not waited for any longer says of the records with these keys, in the order in which they were sent.

        Args:
            keys: of the records.
            complete: whether these are known to be all records of the batch, in their order; else an index and a count tell nothing.
            shared: whether another batch has the same batchUuid; then only what names a record counts.

        Returns:
            the outcome for all, and by position those that differ.
        """
        if self.is_too_large:
            return _TOO_LARGE, {}
        if self.result.outcome == "pending":
            return Outcome("accepted", "deadline", "the batch was not processed in time"), {}
        clear = self.result.outcome != "unrecognised"
        if clear and not self.evidence.failed and (differ := self.entries.exceptions_by_position(keys)) is not None:
            found = {place: self._verdict(entry) for place, entry in differ.items()}
            return found.pop(-1, _SUCCEEDED), found
        outcomes = self._one_by_one(keys, clear=clear, complete=complete and not shared, shared=shared)
        common = _SUCCEEDED if _SUCCEEDED in outcomes else outcomes[0]
        return common, {place: outcome for place, outcome in enumerate(outcomes) if outcome is not common and outcome != common}

    # --- one by one -------------------------------------------------------------------------------------------------------

    def _one_by_one(self, keys: Sequence[str | None], *, clear: bool, complete: bool, shared: bool) -> list[Outcome]:
        names = Names(keys, self.key_names, complete=complete)
        entries = self.entries.all()
        by_place = not shared and len(entries) == len(keys) and None in keys
        speak = any(entry.key is not None for entry in entries) or by_place
        own = _match(entries, keys, by_place=by_place) if speak else [None] * len(keys)
        failures = self.evidence.failed if speak else [*self.evidence.failed, *self._failed_entries()]
        failed = {place: self._failure(item) for item, places in names.of(failures, self.evidence.succeeded) for place in places}
        listed = self._listed(names)
        told = speak or bool(listed)
        rest = _SHARED if shared else self._rest(len(keys), clear=clear, complete=complete, told=told, named=bool(failed))
        # Entries that say "done" leave it to the word for the whole, where they are of all records and nothing is against it.
        all_done = speak and None not in own and not shared and self.entries.outcomes <= {"succeeded", "done"}
        done = self._rest(len(keys), clear=clear, complete=complete, told=False, named=bool(failed)) if all_done else rest
        outcomes: list[Outcome] = []
        for place, entry in enumerate(own):
            if place in failed or (entry is not None and entry.outcome == "failed"):
                outcomes.append(failed[place] if entry is None or entry.outcome != "failed" else self._verdict(entry))
            elif entry is not None and entry.outcome != "done":
                outcomes.append(self._verdict(entry) if clear or entry.outcome != "succeeded" else _UNRECOGNISED)
            else:
                outcomes.append(listed.get(place, rest if entry is None else done))
        return outcomes

    def _failed_entries(self) -> list[Item]:
        """Entries that name no record by its key: those that failed may name it by its place."""
        return [
            Item(fields, "entries", may_name=False)
            for fields, entry in zip(self.entries.items, self.entries.all(), strict=True)
            if entry.outcome == "failed"
        ]

    def _listed(self, names: Names) -> dict[int, Outcome]:
        """The records that a list of successes names."""
        found: dict[int, Outcome] = {}
        for item, places in names.of(self.evidence.succeeded, self.evidence.failed):
            entry = _listed(item, "succeeded", self.key_names, self.words)
            for place in places:
                found[place] = self._verdict(entry) if self.result.outcome != "unrecognised" or entry.outcome == "failed" else _UNRECOGNISED
        return found

    def _rest(self, records: int, *, clear: bool, complete: bool, told: bool, named: bool) -> Outcome:
        """What becomes of records that nothing speaks of but the word for the whole."""
        result, evidence = self.result, self.evidence
        if not clear:
            return _UNMAPPED if self.is_silent and len(self.entries) else _UNRECOGNISED
        if told or self.is_silent:
            return _UNMAPPED
        few, many = evidence.least_successes, evidence.most_failures
        if result.outcome == "failed":
            # All failed, unless something says that some did not.
            some = named or bool(few) or (many is not None and 0 < many < records) or (not complete and many is not None)
            return _UNMAPPED if some else Outcome("failed", result.result or result.status or "failed", self._message())
        if result.outcome == "done":
            return _DONE
        contradicted = any(entry.outcome not in {"succeeded", "done"} and entry.words for entry in self.entries.all())
        short = few is not None and (few < records if complete else many is None)
        sure = result.outcome == "succeeded" and result.http_status != 206 and not contradicted and not short
        return _SUCCEEDED if sure else _UNMAPPED

    def _message(self) -> str | None:
        """The message to a failure of the whole."""
        items = (item.value for item in self.evidence.failed)
        return self.result.message or next((text for one in items if (text := _failure_message(one, self.words)) is not None), None)

    def _failure(self, item: Item) -> Outcome:
        entry = _listed(item, "failed", self.key_names, self.words)
        return Outcome("failed", self._reason(entry), _failure_message(item.value, self.words))

    def _verdict(self, entry: BatchEntry) -> Outcome:
        if entry.outcome == "failed":
            return Outcome("failed", self._reason(entry), entry.message)
        if entry.outcome == "succeeded":
            return _SUCCEEDED
        if entry.outcome == "done":
            return _DONE
        return _LATE if entry.outcome == "pending" else _UNRECOGNISED

    def _reason(self, entry: BatchEntry) -> str:
        """The words of a failure; where they tell of none, that it is one."""
        told = entry.words and any(self.words.meaning(one) in {"failed", "partial"} for one in entry.words.split("/"))
        return entry.words if told else "failed"


def _failure_message(value: object, words: BatchWords) -> str | None:
    return entry_of({**value, "errors": value.get("errors")}, None, words).message if isinstance(value, dict) else None


def _match(entries: Sequence[BatchEntry], keys: Sequence[str | None], *, by_place: bool) -> list[BatchEntry | None]:
    """The entry of each record: by key, equal keys by occurrence; records without key by position, if the counts match."""
    folded = [key.casefold() if key is not None else None for key in keys]
    named = [entry.key.casefold() if entry.key is not None else None for entry in entries]
    in_place = len(named) == len(folded) and all(key is None or key == name for key, name in zip(folded, named, strict=True))
    if in_place and (by_place or None not in folded):
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


# --- the caller's own reader --------------------------------------------------------------------------------------------------

_PENDING: Final = "pending"
"""The reason by which a reader tells that what became of a record is still to come."""


def with_deadline(read: Outcomes) -> Outcomes | None:
    """What a reader said where something is still to come, as it counts once nobody waits any longer; None where all is there."""
    common, others = read
    if not any(one.state == "accepted" and one.reason == _PENDING for one in (common, *others.values())):
        return None
    late = {place: _LATE if one.reason == _PENDING else one for place, one in others.items()}
    return (_LATE if common.reason == _PENDING else common), late


def _read_verdict(outcome: RecordOutcome) -> Outcome:
    """An outcome of the caller's own reader; what may be looked up later has a reason of this library."""
    if outcome.state == "succeeded":
        return _SUCCEEDED
    if outcome.state == "failed":
        return Outcome("failed", outcome.reason or "failed", outcome.message)
    return Outcome("accepted", _PENDING) if outcome.reason == _PENDING else _UNTOLD


class BatchRules(Struct, frozen=True):
    """How the results of a client are read.

    Attributes:
        words: what the words mean.
        reader: the caller's own reader, which comes first, or None.
    """

    words: BatchWords
    reader: BatchReader | None = None

    def ask_reader(self, status: int, body: bytes, keys_of: Callable[[], Sequence[str | None]]) -> Outcomes | None:
        """What the caller's own reader says; None where it has nothing to say, and the rules decide."""
        if self.reader is None:
            return None
        keys = keys_of()
        try:
            answer: object = self.reader(status, body, keys)
        except Exception as exc:  # the caller's function may raise anything
            return self._misread(f"raised {type(exc).__name__}")
        if answer is None:
            return None
        if inspect.iscoroutine(answer):
            answer.close()
        if not isinstance(answer, Sequence) or isinstance(answer, (str, bytes)) or len(answer) != len(keys):
            return self._misread(f"gave {type(answer).__name__}, and not an outcome for each of {len(keys)} records")
        for outcome, key in zip(answer, keys, strict=True):
            if not isinstance(outcome, RecordOutcome) or outcome.state not in ACCEPTED:
                return self._misread("gave something else than outcomes that are succeeded, failed or accepted")
            if outcome.key is not None and outcome.key != key:
                return self._misread("gave outcomes in another order than the records")
        outcomes = [_read_verdict(outcome) for outcome in answer]
        common = outcomes[0] if outcomes else _UNMAPPED
        return common, {place: outcome for place, outcome in enumerate(outcomes) if outcome != common}

    @staticmethod
    def _misread(what: str) -> Outcomes:
        log.warning("batch_reader failed: the records are accepted, and nothing is known of them", reason=what)
        return Outcome("accepted", "unrecognised", f"batch_reader {what}"), {}

    def judge_some(self, result: BatchResult, keys: Sequence[str | None], key_names: Sequence[str]) -> Outcomes:
        """What a result says of some of the records of its batch."""
        if result.http_status != 202 and (read := self.ask_reader(result.http_status, result.body, lambda: keys)) is not None:
            return read
        reading = read_all(result.batch_uuid, result.http_status, result.body, self.words, key_names)
        return reading.outcomes(keys, complete=False)
