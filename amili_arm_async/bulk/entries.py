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

__all__ = ["Entries", "find_entries", "meaning", "said", "word"]

_LISTS: Final = ("customers", "documents", "results", "items", "records", "entries", "details")
_WORDS: Final = ("status", "result", "resultType")

Saying: TypeAlias = tuple[object, ...]


def word(value: object) -> str | None:
    """A text that is not blank."""
    return value if isinstance(value, str) and value.strip() else None


def said(fields: Mapping[str, Any]) -> list[str]:
    """The words that tell what became of a batch or a record."""
    return [text.strip() for name in _WORDS if (text := word(fields.get(name))) is not None]


def meaning(spoken: Sequence[str], words: BatchWords) -> BatchOutcomeWord:
    """What all words together say: something to come wins, an unknown word spoils the rest, `result` is narrower than `status`."""
    meanings = [words.meaning(one) for one in spoken]
    if "pending" in meanings:
        return "pending"
    if not meanings or None in meanings:
        return "unrecognised"
    if "failed" in meanings:
        return "failed"
    return "partial" if "partial" in meanings else "succeeded"


def find_entries(fields: Mapping[str, Any], key_names: Sequence[str]) -> list[dict[str, Any]]:
    """The list of what is said of single records: under a usual name, else any list whose objects name a record."""
    lists = {name: value for name, value in fields.items() if isinstance(value, list) and value}
    for name in [*_LISTS, *lists]:
        items = lists.get(name, [])
        plain = set(map(type, items)) == {dict}
        objects = items if plain else [item for item in items if isinstance(item, dict)]
        if objects and (name in _LISTS or any(key in objects[0] for key in key_names)):
            # An item that is no object says nothing, but it keeps its place.
            return items if plain else [item if isinstance(item, dict) else {} for item in items]
    for value in fields.values():
        if isinstance(value, dict) and (found := find_entries(value, key_names)):
            return found
    return []


class Entries:
    """The entries of one result, as they came.

    Args:
        items: the entries.
        words: what the words mean.
        key_names: the fields that may name a record in an entry.

    Attributes:
        outcomes: what their words mean, each meaning once.
    """

    __slots__ = ("_items", "_key_names", "_sayings", "_words", "outcomes")

    def __init__(self, items: list[dict[str, Any]], words: BatchWords, key_names: Sequence[str]) -> None:
        self._items = items
        self._words = words
        self._key_names = key_names
        self._sayings = _sayings(items)
        said_once = self.all() if self._sayings is None else map(self._entry_of, self._sayings)
        self.outcomes: set[BatchOutcomeWord] = {entry.outcome for entry in said_once}

    def __len__(self) -> int:
        return len(self._items)

    def all(self) -> tuple[BatchEntry, ...]:
        """An object for each."""
        return tuple([self._entry(item) for item in self._items])

    def _entry(self, fields: Mapping[str, Any]) -> BatchEntry:
        key = next((found for name in self._key_names if (found := as_key(fields.get(name))) is not None), None)
        spoken = said(fields)
        return BatchEntry(key, meaning(spoken, self._words), "/".join(spoken), word(fields.get("message")))

    def _entry_of(self, saying: Saying) -> BatchEntry:
        return self._entry(dict(zip(_WORDS, saying, strict=True)))

    def that_differ(self, keys: Sequence[str | None]) -> dict[int, BatchEntry] | None:
        """The entries of records that did not succeed, by the place of the record; an entry stands at the place -1 where all say
        the same as it, and not that they succeeded.

        None where it is not as plain as that: each record has a key and one entry, some succeeded or all say the same, and no entry
        is of anything else.
        """
        differ = {saying for saying in self._sayings or () if self._entry_of(saying).outcome != "succeeded"}
        if self._sayings is None or (differ and len(self._sayings) > 1 and len(differ) == len(self._sayings)):
            return None
        places = self._places(keys)
        if places is None:
            return None
        if not differ:
            return {}
        if len(self._sayings) == 1:
            same = self._entry_of(next(iter(self._sayings)))
            return {-1: same} if same.outcome != "failed" else None
        column = list(zip(*[_column(self._items, name) for name in _WORDS], strict=True))
        return {place: self._entry(self._items[at]) for place, at in enumerate(places) if column[at] in differ}

    def _places(self, keys: Sequence[str | None]) -> Sequence[int] | None:
        """The place of the entry of each record, where each has a key and exactly one entry, and each entry is of one."""
        if len(keys) != len(self._items):
            return None
        try:
            # Where each entry has the first of the fields that may name its record, that is the one that does.
            names = list(map(str.strip, _column(self._items, self._key_names[0])))
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


def _column(items: list[dict[str, Any]], name: str) -> Iterator[Any]:
    # No line of Python for each entry: that would cost more than to read it.
    return map(dict.get, items, repeat(name))


def _sayings(items: list[dict[str, Any]]) -> set[Saying] | None:
    """What the entries say, each thing once; None where words are lists or objects."""
    try:
        distinct = [set(_column(items, name)) for name in _WORDS]
        if all(len(values) == 1 for values in distinct):
            return {tuple([values.pop() for values in distinct])}
        return set(zip(*[_column(items, name) for name in _WORDS], strict=True))
    except TypeError:
        return None
