"""Pure: what a batch result says about single records: found in any shape, and read at once where all is in its usual place.

There is an entry for each record of each batch, so to build and check an object for each would cost more than to send the record.
Instead they are read in columns: how many different entries there are, and whether the keys are those of the records.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any, Final, TypeAlias

from ..config import BatchWords
from ..models.batches import BatchEntry, BatchOutcomeWord
from .chunking import as_key
from .failure_evidence import WORD_NAMES, any_reports_failure, meaning_of, message_of, reports_failure

__all__ = ["Entries", "entry_of", "find_entries", "find_list", "is_of_another_kind", "meaning", "objects_in", "status_words", "word"]

_LISTS: Final = ("customers", "documents", "results", "items", "records", "entries", "details")
_KINDS: Final = {"customerNo": "customers", "documentNo": "documents"}
_DEEPEST: Final = 8

WordRow: TypeAlias = tuple[object, ...]


def word(value: object) -> str | None:
    """Returns a value where it is a text that is not blank.

    Args:
        value: any value.

    Returns:
        The text, or None.
    """
    return value if isinstance(value, str) and value.strip() else None


def status_words(fields: Mapping[str, Any]) -> list[str]:
    """Returns the status words of a batch or a record.

    Args:
        fields: an object of the result.

    Returns:
        The words, without blanks around them.
    """
    return [text.strip() for name in WORD_NAMES if (text := word(fields.get(name))) is not None]


def meaning(found: Sequence[str], words: BatchWords) -> BatchOutcomeWord:
    """Returns what several status words mean together: pending first, then an unknown word, a failure, a success, and last "done".

    Args:
        found: the words.
        words: what each of them means.

    Returns:
        Their meaning.
    """
    meanings = [words.meaning(one) for one in found]
    if "pending" in meanings:
        return "pending"
    if not meanings or None in meanings:
        return "unrecognised"
    if "failed" in meanings:
        return "failed"
    if "partial" in meanings:
        return "partial"
    return "succeeded" if "succeeded" in meanings else "done"


def find_list(fields: Mapping[str, Any], key_names: Sequence[str], depth: int = _DEEPEST) -> list[Any]:
    """Finds the list of entries.

    Args:
        fields: an object of the result.
        key_names: the fields that may hold the key of a record.
        depth: how deep to search.

    Returns:
        The list under a usual name, else any list whose objects name a record. Not one whose name reports failures or successes, which
        says more than its items do. Empty where there is none.
    """
    lists = {
        name: value for name, value in fields.items() if isinstance(value, list) and value and meaning_of(name) in {"other", "message"}
    }
    for name in [*_LISTS, *lists]:
        items = lists.get(name, [])
        first = next((item for item in items if isinstance(item, dict) and item), None)
        if first is not None and (name in _LISTS or any(key in first for key in key_names)):
            return items
    for name, value in fields.items() if depth else ():
        if isinstance(value, dict) and meaning_of(name) in {"other", "message"} and (found := find_list(value, key_names, depth - 1)):
            return found
    return []


def is_of_another_kind(whole: Sequence[Mapping[str, Any]], items: Sequence[object], key_names: Sequence[str]) -> bool:
    """Returns whether the entries of a result are those of customers where documents were sent, or the other way round.

    Args:
        whole: the objects that may hold the list of entries.
        items: the entries as they came, none of which has the key of a record.
        key_names: the fields that may hold the key of a record.

    Returns:
        Whether they are. A document has a customerNo, too, so that alone shows nothing.
    """
    others = [kind for key, kind in _KINDS.items() if key not in key_names]
    if any(fields.get(kind) is items for fields in whole for kind in others):
        return True
    return "documents" in others and any(isinstance(item, dict) and as_key(item.get("documentNo")) is not None for item in items)


def objects_in(items: list[Any]) -> list[dict[str, Any]]:
    """Returns the items of a list; one that is no object becomes an empty one, so that positions stay.

    Args:
        items: the list.

    Returns:
        As many objects.
    """
    return items if set(map(type, items)) <= {dict} else [item if isinstance(item, dict) else {} for item in items]


def find_entries(fields: Mapping[str, Any], key_names: Sequence[str]) -> list[dict[str, Any]]:
    """Finds the entries of single records.

    Args:
        fields: the body of the result.
        key_names: the fields that may hold the key of a record.

    Returns:
        The entries; empty where there is no list of them.
    """
    return objects_in(find_list(fields, key_names))


class Entries:
    """The entries of one result.

    Args:
        items: the entries as they came.
        words: what the status words mean.
        key_names: the fields that may hold the key of a record.

    Attributes:
        items: the entries as they came.
        outcomes: the set of their meanings.
    """

    __slots__ = ("_all", "_key_names", "_word_rows", "_words", "items", "outcomes")

    def __init__(self, items: list[dict[str, Any]], words: BatchWords, key_names: Sequence[str]) -> None:
        self.items = items
        self._words = words
        self._key_names = key_names
        self._all: tuple[BatchEntry, ...] | None = None
        # Where an entry reports a failure by other fields, each is read.
        self._word_rows = None if any_reports_failure(items, words) else _word_rows(items)
        distinct = self.all() if self._word_rows is None else map(self._entry_of, self._word_rows)
        self.outcomes: set[BatchOutcomeWord] = {entry.outcome for entry in distinct}

    def __len__(self) -> int:
        return len(self.items)

    @property
    def name_records(self) -> bool:
        """Whether one of them has a key."""
        return any(as_key(item.get(name)) is not None for item in self.items for name in self._key_names)

    def all(self) -> tuple[BatchEntry, ...]:
        """Returns an object for each entry."""
        if self._all is None:
            self._all = tuple([self._entry(item) for item in self.items])
        return self._all

    def _entry(self, fields: Mapping[str, Any]) -> BatchEntry:
        key = next((found for name in self._key_names if (found := as_key(fields.get(name))) is not None), None)
        return entry_of(fields, key, self._words)

    def _entry_of(self, row: WordRow) -> BatchEntry:
        return self._entry(dict(zip(WORD_NAMES, row, strict=True)))

    def exceptions_by_position(self, keys: Sequence[str | None]) -> dict[int, BatchEntry] | None:
        """Returns the entries of records that did not succeed, where the entries are in the usual form.

        That is: each record has a key and one entry, some succeeded or all entries say the same, and no entry is of anything else.

        Args:
            keys: the keys of the records.

        Returns:
            The entries by position; at -1 one that stands for all, where all say the same and did not succeed. None where the entries are
            not in that form.
        """
        differ = {row for row in self._word_rows or () if self._entry_of(row).outcome != "succeeded"}
        if (
            self._word_rows is None
            or "done" in self.outcomes
            or (differ and len(self._word_rows) > 1 and len(differ) == len(self._word_rows))
        ):
            return None
        positions = self._positions(keys)
        if positions is None:
            return None
        if not differ:
            return {}
        if len(self._word_rows) == 1:
            same = self._entry_of(next(iter(self._word_rows)))
            return {-1: same} if same.outcome != "failed" else None
        column = list(zip(*[_column(self.items, name) for name in WORD_NAMES], strict=True))
        return {position: self._entry(self.items[at]) for position, at in enumerate(positions) if column[at] in differ}

    def _positions(self, keys: Sequence[str | None]) -> Sequence[int] | None:
        """Returns the position of the entry of each record, where each has a key and exactly one entry, and each entry is of one."""
        if len(keys) != len(self.items):
            return None
        try:
            # Where each entry has the first of the key fields, that one is the key.
            names = list(map(str.strip, _column(self.items, self._key_names[0])))
            if "" in names:
                return None
            if names == keys:
                return range(len(names))
            names, wanted = list(map(str.casefold, names)), list(map(str.casefold, keys))  # type: ignore[arg-type]
        except TypeError:
            # A record has no key, or a key is no text.
            return None
        if names == wanted:
            return range(len(names))
        at = dict(zip(names, range(len(names)), strict=True))
        if len(at) < len(names) or at.keys() != set(wanted):
            return None
        return [at[key] for key in wanted]


def entry_of(fields: Mapping[str, Any], key: str | None, words: BatchWords) -> BatchEntry:
    """Reads what an object says about a record: a failure in other fields counts more than its status words.

    Args:
        fields: the object.
        key: the key of the record, or None.
        words: what the status words mean.

    Returns:
        The entry.
    """
    found = status_words(fields)
    outcome: BatchOutcomeWord = "failed" if reports_failure(fields, words) else meaning(found, words)
    message = word(fields.get("message")) if outcome == "succeeded" else message_of(fields)
    return BatchEntry(key, outcome, "/".join(found), message)


def _column(items: list[dict[str, Any]], name: str) -> Iterator[Any]:
    # No line of Python for each entry: that would cost more than to decode it.
    return map(dict.get, items, repeat(name))


def _word_rows(items: list[dict[str, Any]]) -> set[WordRow] | None:
    """Returns the distinct status words of the entries; None where words are lists or objects."""
    try:
        distinct = [set(_column(items, name)) for name in WORD_NAMES]
        if all(len(values) == 1 for values in distinct):
            return {tuple([values.pop() for values in distinct])}
        return set(zip(*[_column(items, name) for name in WORD_NAMES], strict=True))
    except TypeError:
        return None
