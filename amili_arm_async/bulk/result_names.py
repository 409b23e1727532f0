"""Pure: finds the records that an item of a batch result names: by key, by a path, or by a position that clearly is one."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from .chunking import as_key
from .failure_evidence import Item, parts_of

__all__ = ["RecordNames"]

_KEYS: Final = (
    *("key", "id", "number", "no", "recordNo", "recordId", "recordKey", "record"),
    *("reference", "ref", "identifier", "externalId", "nummer"),
)
_KEYS_OF: Final[Mapping[str, Sequence[str]]] = {
    "customerNo": ("customerNumber", "customerId", "kundenr", "kundenummer", "customer"),
    "documentNo": ("documentNumber", "documentId", "invoiceNo", "invoiceNumber", "dokumentnr", "fakturanr", "fakturanummer", "document"),
}
"""Other names of the key field; these count only where they hold the key of a record."""

_INDEXES: Final = frozenset({"index", "indexes", "indices", "idx"})
_POSITIONS: Final = frozenset(
    {"position", "positions", "pos", "row", "rows", "line", "lines", "rad", "linje", "sequence", "seq", "ordinal"}
)
_PATH: Final = re.compile(r"(?:customers|documents|records|items)(?:\[(\d{1,9})\]|[./](\d{1,9})(?![\w.]*@))")
_PATHS: Final = ("path", "pointer", "instancePath", "location", "field", "property", "key", "source")


class RecordNames:
    """Finds the records of a batch by what a result calls them.

    Args:
        keys: the keys of the records, in the order in which they were sent.
        key_names: the fields that may hold the key of a record.
        complete: whether these are all records of the batch: else a position means nothing.
    """

    def __init__(self, keys: Sequence[str | None], key_names: Sequence[str], *, complete: bool) -> None:
        self._records = len(keys) if complete else 0
        self._key_names = key_names
        self._others = [*_KEYS, *(other for name in key_names for other in _KEYS_OF.get(name, ()))]
        self._positions: defaultdict[str, list[int]] = defaultdict(list)
        for position, key in enumerate(keys):
            if key is not None:
                self._positions[key.strip().casefold()].append(position)

    def of(self, items: Sequence[Item], others: Sequence[Item] = ()) -> Iterator[tuple[Item, list[int]]]:
        """Finds the records that items name.

        Args:
            items: the items of a list.
            others: the items of the other list (failures, successes): they show what its numbers are.

        Yields:
            Each item that names records, with the positions of the records.
        """
        first = self._first_position(items, others)
        numbers_are_positions = self._numbers_are_positions([*items, *others])
        for item in items:
            if isinstance(item.value, dict):
                positions = self._of_object(item.value, first)
            elif numbers_are_positions and _is_number(item.value):
                positions = self._at(item.value)
            else:
                positions = self._of_key(item.value) if item.may_name else []
            if positions:
                yield item, positions

    def _of_key(self, value: object) -> list[int]:
        key = as_key(value)
        return self._positions.get(key.casefold(), []) if key is not None else []

    def _at(self, position: int) -> list[int]:
        return [position] if 0 <= position < self._records else []

    def _of_object(self, fields: Mapping[str, Any], first: int | None) -> list[int]:
        for one in (fields, *(value for value in fields.values() if isinstance(value, dict))):
            if any(as_key(one.get(name)) is not None for name in self._key_names):
                # It has a key: if that is none of these records, it names none.
                return next((positions for name in self._key_names if (positions := self._of_key(one.get(name)))), [])
        for name in self._others:
            if positions := self._of_key(fields.get(name)):
                return positions
        for name in _PATHS:
            value = fields.get(name)
            if isinstance(value, str) and (match := _PATH.search(value)):
                return self._at(int(match.group(1) or match.group(2)))
        number = _position_in(fields)
        return self._at(number - first) if number is not None and first is not None else []

    def _first_position(self, items: Sequence[Item], others: Sequence[Item]) -> int | None:
        """Returns the number of the first record where items have positions: an index begins with 0, a row may begin with 1."""
        found = [(name, value) for item in (*items, *others) if isinstance(item.value, dict) for name, value in _positions_in(item.value)]
        if not found or not self._records:
            return None
        numbers = {value for _, value in found}
        if 0 in numbers:
            return 0 if max(numbers) < self._records else None
        if self._records in numbers and max(numbers) == self._records:
            return 1
        is_index = all(_INDEXES & set(parts_of(name)) for name, _ in found)
        return 0 if is_index and max(numbers) < self._records else None

    def _numbers_are_positions(self, items: Sequence[Item]) -> bool:
        """Returns whether plain numbers are positions and not keys: by the name of the list, or by a zero that is no key."""
        numbers = [item for item in items if _is_number(item.value) and item.may_name]
        if not numbers or not all(0 <= item.value < self._records for item in numbers):
            return False
        if any(_INDEXES & set(parts_of(item.name)) for item in numbers):
            return True
        return any(item.value == 0 for item in numbers) and not self._positions.get("0")


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _positions_in(fields: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    for name, value in fields.items():
        if _is_number(value) and set(parts_of(name)) & (_INDEXES | _POSITIONS):
            yield name, value


def _position_in(fields: Mapping[str, Any]) -> int | None:
    return next((value for _, value in _positions_in(fields)), None)
