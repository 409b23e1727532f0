"""What a batch result says of single records: found in any shape, and read at once where all is in its usual place. Pure.

There is an entry for each record of each batch, so an object and a look at each of them would cost more than to send the record.
Instead they are read in columns: how many different things are said, and whether the keys are those of the records.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any, Final, TypeAlias

from ..config import BatchWords
from ..models.batches import BatchEntry, BatchOutcomeWord
from .chunking import as_key
from .failure_evidence import WORD_NAMES, any_reports_failure, meaning_of, message_of, reports_failure

__all__ = ["Entries", "entry_of", "find_entries", "find_list", "meaning", "objects_in", "said", "word"]

_LISTS: Final = ("customers", "documents", "results", "items", "records", "entries", "details")
_DEEPEST: Final = 8

Saying: TypeAlias = tuple[object, ...]


def word(value: object) -> str | None:
    """A text that is not blank."""
    return value if isinstance(value, str) and value.strip() else None


def said(fields: Mapping[str, Any]) -> list[str]:
    """The words that tell what became of a batch or a record."""
    return [text.strip() for name in WORD_NAMES if (text := word(fields.get(name))) is not None]


def meaning(spoken: Sequence[str], words: BatchWords) -> BatchOutcomeWord:
    """What all words together say: something to come wins, an unknown word spoils the rest, a failure beats a success, and that it is
    done says the least."""
    meanings = [words.meaning(one) for one in spoken]
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
    """The list of what is said of single records: under a usual name, else any list whose objects name a record; not one whose name
    tells of failures or successes, which says more than its items do."""
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


def objects_in(items: list[Any]) -> list[dict[str, Any]]:
    """The items of a list; one that is no object says nothing, but it keeps its place."""
    return items if set(map(type, items)) <= {dict} else [item if isinstance(item, dict) else {} for item in items]


def find_entries(fields: Mapping[str, Any], key_names: Sequence[str]) -> list[dict[str, Any]]:
    """The entries of single records; empty where there is no list of them."""
    return objects_in(find_list(fields, key_names))


class Entries:
    """The entries of one result, as they came.

    Args:
        items: the entries.
        words: what the words mean.
        key_names: the fields that may name a record in an entry.

    Attributes:
        items: the entries.
        outcomes: what they mean, each meaning once.
    """

    __slots__ = ("_all", "_key_names", "_sayings", "_words", "items", "outcomes")

    def __init__(self, items: list[dict[str, Any]], words: BatchWords, key_names: Sequence[str]) -> None:
        self.items = items
        self._words = words
        self._key_names = key_names
        self._all: tuple[BatchEntry, ...] | None = None
        # Where an entry has something against its record, each is looked at.
        self._sayings = None if any_reports_failure(items, words) else _sayings(items)
        said_once = self.all() if self._sayings is None else map(self._entry_of, self._sayings)
        self.outcomes: set[BatchOutcomeWord] = {entry.outcome for entry in said_once}

    def __len__(self) -> int:
        return len(self.items)

    @property
    def name_records(self) -> bool:
        """Whether one of them names a record."""
        return any(as_key(item.get(name)) is not None for item in self.items for name in self._key_names)

    def all(self) -> tuple[BatchEntry, ...]:
        """An object for each."""
        if self._all is None:
            self._all = tuple([self._entry(item) for item in self.items])
        return self._all

    def _entry(self, fields: Mapping[str, Any]) -> BatchEntry:
        key = next((found for name in self._key_names if (found := as_key(fields.get(name))) is not None), None)
        return entry_of(fields, key, self._words)

    def _entry_of(self, saying: Saying) -> BatchEntry:
        return self._entry(dict(zip(WORD_NAMES, saying, strict=True)))

    def exceptions_by_position(self, keys: Sequence[str | None]) -> dict[int, BatchEntry] | None:
        """The entries of records that did not succeed, by the place of the record; an entry stands at the place -1 where all say
        the same as it, and not that they succeeded.

        None where it is not as plain as that: each record has a key and one entry, some succeeded or all say the same, and no entry
        is of anything else.
        """
        differ = {saying for saying in self._sayings or () if self._entry_of(saying).outcome != "succeeded"}
        if self._sayings is None or "done" in self.outcomes or (differ and len(self._sayings) > 1 and len(differ) == len(self._sayings)):
            return None
        places = self._places(keys)
        if places is None:
            return None
        if not differ:
            return {}
        if len(self._sayings) == 1:
            same = self._entry_of(next(iter(self._sayings)))
            return {-1: same} if same.outcome != "failed" else None
        column = list(zip(*[_column(self.items, name) for name in WORD_NAMES], strict=True))
        return {place: self._entry(self.items[at]) for place, at in enumerate(places) if column[at] in differ}

    def _places(self, keys: Sequence[str | None]) -> Sequence[int] | None:
        """The place of the entry of each record, where each has a key and exactly one entry, and each entry is of one."""
        if len(keys) != len(self.items):
            return None
        try:
            # Where each entry has the first of the fields that may name its record, that is the one that does.
            names = list(map(str.strip, _column(self.items, self._key_names[0])))
            if "" in names:
                return None
            if names == keys:
                return range(len(names))
            names, wanted = list(map(str.casefold, names)), list(map(str.casefold, keys))  # type: ignore[arg-type]
        except TypeError:
            # A record without a key, or a key that is no text.
            return None
        if names == wanted:
            return range(len(names))
        at = dict(zip(names, range(len(names)), strict=True))
        if len(at) < len(names) or at.keys() != set(wanted):
            return None
        return [at[key] for key in wanted]


def entry_of(fields: Mapping[str, Any], key: str | None, words: BatchWords) -> BatchEntry:
    """What an object says of the record `key`: what it has against the record counts more than its words."""
    spoken = said(fields)
    outcome: BatchOutcomeWord = "failed" if reports_failure(fields, words) else meaning(spoken, words)
    message = word(fields.get("message")) if outcome == "succeeded" else message_of(fields)
    return BatchEntry(key, outcome, "/".join(spoken), message)


def _column(items: list[dict[str, Any]], name: str) -> Iterator[Any]:
    # No line of Python for each entry: that would cost more than to read it.
    return map(dict.get, items, repeat(name))


def _sayings(items: list[dict[str, Any]]) -> set[Saying] | None:
    """What the entries say, each thing once; None where words are lists or objects."""
    try:
        distinct = [set(_column(items, name)) for name in WORD_NAMES]
        if all(len(values) == 1 for values in distinct):
            return {tuple([values.pop() for values in distinct])}
        return set(zip(*[_column(items, name) for name in WORD_NAMES], strict=True))
    except TypeError:
        return None
