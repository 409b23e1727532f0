"""Pure: reads a batch result: what it says about the batch and about each of its records.

The public pages do not show the body of GET batch (https://docs.amili.dev/get-one-batch-3942681e0 lists only the codes 200, 202, 206,
400, 403, 404 and 406). So its shape is read with tolerance, and its meaning strictly: what is not clear is `accepted`, never a success and
never a failure. Whatever in the body reports a failure counts more than the status of the whole.
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
from ..retry import rule_of
from .chunking import as_key
from .failure_evidence import Evidence, Item, gather, parts_of
from .outcomes import ACCEPTED, BatchReader, Outcome, RecordOutcome
from .result_entries import Entries, entry_of, find_list, is_of_another_kind, meaning, objects_in, status_words, word
from .result_names import RecordNames

__all__ = ["KEY_NAMES", "BatchRules", "Outcomes", "Reading", "most_bytes", "read_all", "read_result", "with_deadline"]

KEY_NAMES: Final = ("documentNo", "customerNo")
"""The fields that may hold the key of a record in a batch result, the more specific one first."""

_MOST_ANSWER: Final = 64_000_000
_WHOLE: Final = frozenset(
    {"summary", "data", "result", "results", "batch", "batchresult", "batchstatus", "response", "body", "payload", "job"}
)
"""Objects whose status words are those of the whole too, without case."""
_DEEPEST: Final = 3


def most_bytes(records: int) -> int:
    """Returns the size of the largest result that is read.

    Args:
        records: the number of records of the batch.

    Returns:
        The size in bytes.
    """
    return min(_MOST_ANSWER, 1_000_000 + 16_000 * records)


def _holds_too_much(body: bytes, records: int | None) -> bool:
    """Returns whether a result holds more values than one of so many records can: each takes memory, and blocks the event loop."""
    most = 2_000_000 if records is None else 20_000 + 200 * records
    if len(body) <= 2 * most or _count_values(body) <= most:
        return False
    if body.count(b'"') > 4 * most:
        return True
    # Some of these characters are in strings, which are left out.
    plain = body.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2]
    return _count_values(b"".join(plain)) > most


def _count_values(text: bytes) -> int:
    """Counts the characters that begin a value, which is fast."""
    return sum(map(text.count, (b",", b"{", b"[")))


def read_result(batch_uuid: str, status: int, body: bytes, words: BatchWords, key_names: Sequence[str] = KEY_NAMES) -> BatchResult:
    """Reads the result of a batch; see `read_all`.

    Args:
        batch_uuid: the batchUuid.
        status: the HTTP status: 200, 202 or 206.
        body: the raw body.
        words: what the status words mean.
        key_names: the fields that may hold the key of a record.

    Returns:
        The result.
    """
    return read_all(batch_uuid, status, body, words, key_names).result


def read_all(batch_uuid: str, status: int, body: bytes, words: BatchWords, key_names: Sequence[str], records: int | None = None) -> Reading:
    """Reads the result of a batch, with what it says about each record.

    The result keeps only the body: its entries are read out of it when they are needed.

    Args:
        batch_uuid: the batchUuid.
        status: the HTTP status: 200, 202 or 206; 202 always means that the batch is still to be processed.
        body: the raw body.
        words: what the status words mean.
        key_names: the fields that may hold the key of a record.
        records: the number of records of the batch, where it is known.

    Returns:
        The result that was read.
    """
    is_too_large = _holds_too_much(body, records)
    parsed = _parse(b"" if is_too_large else body, words, key_names)
    whole, entries, evidence = parsed.whole, parsed.entries, parsed.evidence
    evidence.reports_failure |= any(_listed(item, "succeeded", key_names, words).outcome == "failed" for item in evidence.succeeded)
    found_words = [text for fields in whole for text in status_words(fields)]
    outcome: BatchOutcomeWord = "pending" if rule_of(status).poll == "pending" else meaning(found_words, words)
    if outcome == "unrecognised" and not found_words:
        # There is no status of the whole: then the entries and the lists count.
        listed: set[BatchOutcomeWord] = {"partial"} if evidence.failed else set()
        outcome = _meaning_of_all(entries.outcomes | listed | ({"succeeded"} if evidence.succeeded else set()))
    elif outcome in {"succeeded", "done"} and (evidence.reports_failure or entries.outcomes & {"failed", "partial"}):
        outcome = "partial"
    top = (_first(whole, name) for name in ("status", "result", "message"))
    result = BatchResult(batch_uuid, status, outcome, next(top), next(top), next(top), (), body)
    if len(entries) or evidence.failed or evidence.succeeded:
        put_off(result, partial(_entries, body, words, key_names), pending="pending" in entries.outcomes)
    return Reading(
        result,
        entries,
        evidence,
        words,
        key_names,
        is_silent=not found_words,
        is_too_large=is_too_large,
        is_of_others=parsed.is_of_others,
    )


def _first(whole: list[dict[str, Any]], name: str) -> str | None:
    return next((text for fields in whole if (text := word(fields.get(name))) is not None), None)


class _Parsed(Struct, frozen=True):
    whole: list[dict[str, Any]]
    entries: Entries
    evidence: Evidence
    is_of_others: bool


def _parse(body: bytes, words: BatchWords, key_names: Sequence[str]) -> _Parsed:
    value = codec.json_value(body)
    # A list at the top can only be the entries.
    fields = value if isinstance(value, dict) else {"results": value} if isinstance(value, list) else {}
    whole = list(_whole(fields, _DEEPEST))
    found = find_list(fields, key_names)
    entries = Entries(objects_in(found), words, key_names)
    # Entries without a key are read like anything else in the body.
    have_keys = entries.name_records
    evidence = gather(fields, found if found and have_keys else None, words, whole)
    return _Parsed(whole, entries, evidence, not have_keys and is_of_another_kind(whole, found, key_names))


def _whole(fields: dict[str, Any], depth: int) -> Iterator[dict[str, Any]]:
    """Gives the objects whose status words are those of the whole."""
    yield fields
    for name, value in fields.items() if depth else ():
        if isinstance(value, dict) and "".join(parts_of(name)) in _WHOLE:
            yield from _whole(value, depth - 1)


def _entries(body: bytes, words: BatchWords, key_names: Sequence[str]) -> tuple[BatchEntry, ...]:
    parsed = _parse(body, words, key_names)
    entries, evidence = parsed.entries, parsed.evidence
    successes = [_listed(item, "succeeded", key_names, words) for item in evidence.succeeded]
    return *entries.all(), *successes, *(_listed(item, "failed", key_names, words) for item in evidence.failed)


def _listed(item: Item, outcome: BatchOutcomeWord, key_names: Sequence[str], words: BatchWords) -> BatchEntry:
    """Returns the entry of an item of a list of failures or successes."""
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
_DONE: Final = Outcome("accepted", "unmapped", "the batch is done, and its result does not say whether it succeeded")
_SHARED: Final = Outcome("accepted", "unmapped", "another batch was given the same batchUuid, and the result does not name this record")
_OF_OTHERS: Final = Outcome("accepted", "unmapped", "the batch result is that of a batch of other records")
_UNRECOGNISED: Final = Outcome("accepted", "unrecognised", "the batch result uses words that BatchWords does not know")
_TOO_LARGE: Final = Outcome("accepted", "unrecognised", "the batch result is too large for a batch of so many records")
_NOT_REPORTED: Final = Outcome("accepted", "unmapped", "batch_reader does not say what became of this record")
_SUCCEEDED: Final = Outcome("succeeded")
_LATE: Final = Outcome("accepted", "deadline", "the record was not processed in time")

Outcomes: TypeAlias = tuple[Outcome, dict[int, Outcome]]
"""The outcome for all records of a batch, and by position those that differ."""


class Reading(Struct, frozen=True):
    """A result that was read.

    Attributes:
        result: what it says about the whole.
        entries: what it says about single records.
        evidence: what it says beside both.
        words: what the status words mean.
        key_names: the fields that may hold the key of a record.
        is_silent: whether it has no status word for the whole.
        is_too_large: whether it was not read because it holds too much.
        is_of_others: whether it is that of a batch of another kind of record: an answer may name a batch that is not its own.
    """

    result: BatchResult
    entries: Entries
    evidence: Evidence
    words: BatchWords
    key_names: Sequence[str]
    is_silent: bool
    is_too_large: bool
    is_of_others: bool

    @property
    def names_records(self) -> bool:
        """Whether it says anything about single records."""
        return bool(len(self.entries) or self.evidence.failed or self.evidence.succeeded)

    def outcomes(self, keys: Sequence[str | None], *, complete: bool = True, shared: bool = False) -> Outcomes:
        """Returns the outcomes of records, where the result is final or no longer awaited.

        Args:
            keys: the keys of the records, in the order in which they were sent.
            complete: whether these are all records of the batch, in their order; else an index or a count means nothing.
            shared: whether another batch has the same batchUuid; then only what names a record counts.

        Returns:
            The common outcome, and by position those that differ.
        """
        if self.is_too_large:
            return _TOO_LARGE, {}
        if self.is_of_others:
            return _OF_OTHERS, {}
        if self.result.outcome == "pending":
            return Outcome("accepted", "deadline", "the batch was not processed in time"), {}
        clear = self.result.outcome != "unrecognised"
        if clear and not self.evidence.failed and (differ := self.entries.exceptions_by_position(keys)) is not None:
            found = {position: self._outcome_of(entry) for position, entry in differ.items()}
            return found.pop(-1, _SUCCEEDED), found
        outcomes = self._one_by_one(keys, clear=clear, complete=complete and not shared, shared=shared)
        common = _SUCCEEDED if _SUCCEEDED in outcomes else outcomes[0]
        return common, {position: outcome for position, outcome in enumerate(outcomes) if outcome is not common and outcome != common}

    # --- one by one -------------------------------------------------------------------------------------------------------

    def _one_by_one(self, keys: Sequence[str | None], *, clear: bool, complete: bool, shared: bool) -> list[Outcome]:
        names = RecordNames(keys, self.key_names, complete=complete)
        entries = self.entries.all()
        by_position = not shared and len(entries) == len(keys) and None in keys
        have_keys = any(entry.key is not None for entry in entries) or by_position
        matched = _match(entries, keys, by_position=by_position) if have_keys else [None] * len(keys)
        failures = self.evidence.failed if have_keys else [*self.evidence.failed, *self._failed_entries()]
        found = names.of(failures, self.evidence.succeeded)
        failed = {position: self._failure(item) for item, positions in found for position in positions}
        listed = self._listed(names)
        names_some = have_keys or bool(listed)
        rest = _SHARED if shared else self._rest(len(keys), clear=clear, complete=complete, names_some=names_some, named=bool(failed))
        # Entries that say "done" leave it to the status of the whole, where they are of all records and nothing reports a failure.
        all_done = have_keys and None not in matched and not shared and self.entries.outcomes <= {"succeeded", "done"}
        done = self._rest(len(keys), clear=clear, complete=complete, names_some=False, named=bool(failed)) if all_done else rest
        outcomes: list[Outcome] = []
        for position, entry in enumerate(matched):
            if position in failed or (entry is not None and entry.outcome == "failed"):
                outcomes.append(failed[position] if entry is None or entry.outcome != "failed" else self._outcome_of(entry))
            elif entry is not None and entry.outcome != "done":
                outcomes.append(self._outcome_of(entry) if clear or entry.outcome != "succeeded" else _UNRECOGNISED)
            else:
                outcomes.append(listed.get(position, rest if entry is None else done))
        return outcomes

    def _failed_entries(self) -> list[Item]:
        """Returns the failed entries: without a key, they may name a record by its position."""
        return [
            Item(fields, "entries", may_name=False)
            for fields, entry in zip(self.entries.items, self.entries.all(), strict=True)
            if entry.outcome == "failed"
        ]

    def _listed(self, names: RecordNames) -> dict[int, Outcome]:
        """Returns the outcomes of the records that a list of successes names."""
        found: dict[int, Outcome] = {}
        for item, positions in names.of(self.evidence.succeeded, self.evidence.failed):
            entry = _listed(item, "succeeded", self.key_names, self.words)
            for position in positions:
                found[position] = (
                    self._outcome_of(entry) if self.result.outcome != "unrecognised" or entry.outcome == "failed" else _UNRECOGNISED
                )
        return found

    def _rest(self, records: int, *, clear: bool, complete: bool, names_some: bool, named: bool) -> Outcome:
        """Returns the outcome of records about which only the whole says something."""
        result, evidence = self.result, self.evidence
        if not clear:
            return _UNMAPPED if self.is_silent and len(self.entries) else _UNRECOGNISED
        if names_some or self.is_silent:
            return _UNMAPPED
        few, many = evidence.least_successes, evidence.most_failures
        if result.outcome == "failed":
            # All failed, unless something reports a success.
            some = named or bool(few) or (many is not None and 0 < many < records) or (not complete and many is not None)
            return _UNMAPPED if some else Outcome("failed", result.result or result.status or "failed", self._message())
        if result.outcome == "done":
            return _DONE
        speaking = [entry for entry in self.entries.all() if entry.words]
        contradicted = any(entry.outcome not in {"succeeded", "done"} for entry in speaking)
        short = few is not None and (few < records if complete else many is None)
        # A list of fewer successes than records leaves some out, also where it does not say whose they are.
        short |= complete and 0 < len(speaking) < records
        sure = result.outcome == "succeeded" and rule_of(result.http_status).poll != "partial" and not contradicted and not short
        return _SUCCEEDED if sure else _UNMAPPED

    def _message(self) -> str | None:
        """Returns the message of a failure of the whole."""
        items = (item.value for item in self.evidence.failed)
        return self.result.message or next((text for one in items if (text := _failure_message(one, self.words)) is not None), None)

    def _failure(self, item: Item) -> Outcome:
        entry = _listed(item, "failed", self.key_names, self.words)
        return Outcome("failed", self._reason(entry), _failure_message(item.value, self.words))

    def _outcome_of(self, entry: BatchEntry) -> Outcome:
        if entry.outcome == "failed":
            return Outcome("failed", self._reason(entry), entry.message)
        if entry.outcome == "succeeded":
            return _SUCCEEDED
        if entry.outcome == "done":
            return _DONE
        return _LATE if entry.outcome == "pending" else _UNRECOGNISED

    def _reason(self, entry: BatchEntry) -> str:
        """Returns the status words of a failure; "failed" where they do not report one."""
        reports = entry.words and any(self.words.meaning(one) in {"failed", "partial"} for one in entry.words.split("/"))
        return entry.words if reports else "failed"


def _failure_message(value: object, words: BatchWords) -> str | None:
    return entry_of({**value, "errors": value.get("errors")}, None, words).message if isinstance(value, dict) else None


def _match(entries: Sequence[BatchEntry], keys: Sequence[str | None], *, by_position: bool) -> list[BatchEntry | None]:
    """Returns the entry of each record: by key, equal keys by occurrence; records without key by position, if the counts match."""
    folded = [key.casefold() if key is not None else None for key in keys]
    named = [entry.key.casefold() if entry.key is not None else None for entry in entries]
    in_order = len(named) == len(folded) and all(key is None or key == name for key, name in zip(folded, named, strict=True))
    if in_order and (by_position or None not in folded):
        # All keys are in order, so the position counts for records without key too.
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
    """Returns as many entries as there are records with this key, the last first; where there are more, failures count."""
    if len(entries) > records:
        entries = sorted(entries, key=lambda entry: entry.outcome != "failed")[:records]
    return entries[::-1]


# --- the caller's own reader --------------------------------------------------------------------------------------------------

_PENDING: Final = "pending"
"""The reason by which a reader says that the outcome of a record is still to come."""


def with_deadline(read: Outcomes) -> Outcomes | None:
    """Returns the outcomes of a reader as they count at the deadline.

    Args:
        read: what the reader returned.

    Returns:
        The outcomes; None where none of them is pending.
    """
    common, others = read
    if not any(one.state == "accepted" and one.reason == _PENDING for one in (common, *others.values())):
        return None
    late = {position: _LATE if one.reason == _PENDING else one for position, one in others.items()}
    return (_LATE if common.reason == _PENDING else common), late


def _checked(outcome: RecordOutcome) -> Outcome:
    """Returns an outcome of the caller's reader; what may be looked up later gets a reason of this library."""
    if outcome.state == "succeeded":
        return _SUCCEEDED
    if outcome.state == "failed":
        return Outcome("failed", outcome.reason or "failed", outcome.message)
    return Outcome("accepted", _PENDING) if outcome.reason == _PENDING else _NOT_REPORTED


class BatchRules(Struct, frozen=True):
    """How the results of a client are read.

    Attributes:
        words: what the status words mean.
        reader: the caller's own reader, which comes first, or None.
    """

    words: BatchWords
    reader: BatchReader | None = None

    def ask_reader(self, status: int, body: bytes, keys_of: Callable[[], Sequence[str | None]]) -> Outcomes | None:
        """Calls the caller's own reader.

        Args:
            status: the HTTP status.
            body: the raw body.
            keys_of: returns the keys of the records.

        Returns:
            Its outcomes; None where there is no reader, or the rules decide.
        """
        if self.reader is None or rule_of(status).poll == "pending":
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
        outcomes = [_checked(outcome) for outcome in answer]
        common = outcomes[0] if outcomes else _UNMAPPED
        return common, {position: outcome for position, outcome in enumerate(outcomes) if outcome != common}

    @staticmethod
    def _misread(what: str) -> Outcomes:
        log.warning("batch_reader failed: the outcome of its records is not known", reason=what)
        return Outcome("accepted", "unrecognised", f"batch_reader {what}"), {}

    def read_some(self, result: BatchResult, keys: Sequence[str | None], key_names: Sequence[str]) -> Outcomes:
        """Reads what a result says about some records of its batch.

        Args:
            result: the result.
            keys: the keys of the records.
            key_names: the fields that may hold the key of a record.

        Returns:
            The common outcome, and by position those that differ.
        """
        if (read := self.ask_reader(result.http_status, result.body, lambda: keys)) is not None:
            return read
        reading = read_all(result.batch_uuid, result.http_status, result.body, self.words, key_names)
        return reading.outcomes(keys, complete=False)
