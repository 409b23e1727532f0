"""Customers that did not make it, and their documents, which are not sent into a sure failure."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ..bulk.chunking import as_key
from ..bulk.observers import RunObserver
from ..bulk.outcomes import BatchOutcome, Outcome, success_states
from ..errors import ArmError

if TYPE_CHECKING:
    import sqlite3

__all__ = ["BlockedDocuments", "FailedCustomers"]

_IN_MEMORY: Final = 100_000
_AT_ONCE: Final = 500


class FailedCustomers(RunObserver):
    """Watches a run of customers and remembers the numbers of those that did not make it.

    The last record of a customer in the source decides: a success after a failure takes it off. A hundred thousand numbers are kept
    in memory, all further ones in a temporary file without a name, which is gone when the process is.

    Args:
        accepted_is_enough: whether `accepted` counts as having made it, as in a run with `results="accepted"`.

    Attributes:
        nameless: records without a number that did not make it: no document can name them.
        complete: whether the source was read to its end; if not, there may be customers that nobody knows of.
    """

    def __init__(self, *, accepted_is_enough: bool = False) -> None:
        self.nameless = 0
        self.complete = False
        self._success_states = success_states(accepted_is_enough=accepted_is_enough)
        # By number, without case: the place of the record in the source.
        self._few: dict[str, int] = {}
        self._rest: _Rest | None = None
        self._most = _IN_MEMORY

    def __len__(self) -> int:
        return len(self._few) + (len(self._rest) if self._rest is not None else 0)

    async def begin(self) -> None:
        """The source was not read to its end yet."""
        self.complete = False

    async def end(self, *, complete: bool) -> None:
        """The run is over."""
        self.complete = complete

    def on_settled(self, outcome: BatchOutcome) -> None:
        """Takes in the final state of customers."""
        if not outcome.exceptions and outcome.common.state in self._success_states:
            if self._few or self._rest is not None:
                self._take_off(_named(outcome.keys, outcome.indexes))
            return
        made: dict[str, int] = {}
        lost: dict[str, int] = {}
        for position, (key, index) in enumerate(zip(outcome.keys, outcome.indexes, strict=True)):
            well = outcome.exceptions.get(position, outcome.common).state in self._success_states
            if key is None:
                self.nameless += not well
                continue
            # The last one in the source decides, here too.
            name = key.casefold()
            now, before = (made, lost) if well else (lost, made)
            if index >= max(now.get(name, -1), before.get(name, -1)):
                before.pop(name, None)
                now[name] = index
        if self._few or self._rest is not None:
            self._take_off(made)
        self._put_on(lost)

    def _take_off(self, made: Mapping[str, int]) -> None:
        for name in self._few.keys() & made.keys():
            if self._few[name] < made[name]:
                del self._few[name]
        if self._rest is not None:
            self._rest.take_off(made)

    def _put_on(self, lost: Mapping[str, int]) -> None:
        further: dict[str, int] = {}
        for name, index in lost.items():
            if name in self._few:
                self._few[name] = max(self._few[name], index)
            elif len(self._few) < self._most and self._rest is None:
                self._few[name] = index
            else:
                further[name] = index
        if further:
            self._rest = self._rest or _Rest()
            self._rest.put_on(further)

    def among(self, names: Iterable[str]) -> set[str]:
        """Those of these numbers, in lower case, whose customers did not make it.

        Raises:
            ArmError: the temporary file can't be read.
        """
        wanted = set(names)
        return wanted & self._few.keys() | (self._rest.among(wanted) if self._rest is not None else set())


def _named(keys: Sequence[str | None], indexes: Sequence[int]) -> dict[str, int]:
    return {key.casefold(): index for key, index in zip(keys, indexes, strict=True) if key is not None}


class _Rest:
    """Numbers in a temporary database without a name; a full disk loses nothing: what can't be written stays in memory."""

    def __init__(self) -> None:
        import sqlite3  # noqa: PLC0415 - only where there are very many

        self._fault = sqlite3.Error
        self._memory: dict[str, int] = {}
        self._length = 0
        self._database: sqlite3.Connection | None = None
        try:
            self._database = _temporary()
        except sqlite3.Error:
            return
        weakref.finalize(self, self._database.close)

    def __len__(self) -> int:
        return self._length + len(self._memory)

    def put_on(self, lost: Mapping[str, int]) -> None:
        rows = [(_bytes(name), index) for name, index in lost.items()]
        if self._database is not None:
            try:
                with self._database as database:
                    before = database.total_changes
                    database.executemany("INSERT OR IGNORE INTO failed VALUES (?, ?)", rows)
                    self._length += database.total_changes - before
                    database.executemany("UPDATE failed SET place = max(place, ?2) WHERE name = ?1", rows)
            except self._fault:
                self._length = self._counted()
            else:
                return
        self._memory.update({name: max(index, self._memory.get(name, -1)) for name, index in lost.items()})

    def _counted(self) -> int:
        try:
            return int(self._database.execute("SELECT count(*) FROM failed").fetchone()[0]) if self._database is not None else 0
        except self._fault:
            return self._length

    def take_off(self, made: Mapping[str, int]) -> None:
        for name in self._memory.keys() & made.keys():
            if self._memory[name] < made[name]:
                del self._memory[name]
        if self._database is not None:
            rows = [(_bytes(name), index) for name, index in made.items()]
            try:
                with self._database as database:
                    before = database.total_changes
                    database.executemany("DELETE FROM failed WHERE name = ? AND place < ?", rows)
                    self._length -= database.total_changes - before
            except self._fault:
                # It stays blocked: rather a document that waits for the next night than one that goes astray.
                return

    def among(self, names: set[str]) -> set[str]:
        found = names & self._memory.keys()
        if self._database is None:
            return found
        left = iter(names)
        try:
            while some := {_bytes(name): name for name in islice(left, _AT_ONCE)}:
                marks = ",".join("?" * len(some))
                rows = self._database.execute(f"SELECT name FROM failed WHERE name IN ({marks})", list(some))  # noqa: S608 - marks only
                found |= {some[row[0]] for row in rows}
        except self._fault as exc:
            raise ArmError(f"the temporary list of customers that did not make it can't be read: {exc}") from None
        return found


def _temporary() -> sqlite3.Connection:
    import sqlite3  # noqa: PLC0415

    # A database without a name is a file that SQLite deletes as it makes it, and of which it keeps only some pages in memory.
    database = sqlite3.connect("", check_same_thread=False)
    database.execute("PRAGMA cache_size = -4000")
    database.execute("PRAGMA journal_mode = MEMORY")
    database.execute("CREATE TABLE failed (name BLOB PRIMARY KEY, place INTEGER NOT NULL) WITHOUT ROWID")
    return database


def _bytes(name: str) -> bytes:
    # A key may hold half a surrogate pair.
    return name.encode("utf-8", "surrogatepass")


class BlockedDocuments(RunObserver):
    """Takes the documents of customers that did not make it out of a run: they are `blocked`, with the reason `customer_failed`.

    A document without a `customerNo`, or one that can't be read, goes on.

    Args:
        failed: has watched the run of the customers, which is over.
    """

    def __init__(self, failed: FailedCustomers) -> None:
        self._failed = failed

    async def filter(self, records: Sequence[Any], first: int) -> Mapping[int, Outcome]:
        """The documents whose customers did not make it."""
        if not len(self._failed):
            return {}
        named = [key.casefold() if key is not None else None for key in _customers_of(records)]
        found = self._failed.among(name for name in named if name is not None)
        if not found:
            return {}
        keys = list(_customers_of(records))
        return {place: _verdict(keys[place]) for place, name in enumerate(named) if name in found}


def _verdict(key: str | None) -> Outcome:
    return Outcome("blocked", "customer_failed", f"customer {key} did not make it")


class _Document(msgspec.Struct, rename="camel"):
    customer_no: Any = None


_DOCUMENT: Final = msgspec.json.Decoder(_Document, float_hook=Decimal)


def _customers_of(records: Sequence[Any]) -> Iterator[str | None]:
    """The customer number of each document; None where it has none."""
    for record in records:
        try:
            if isinstance(record, (bytes, bytearray)):
                number = _DOCUMENT.decode(record).customer_no
            elif isinstance(record, Mapping):
                number = record.get("customerNo")
            else:
                number = getattr(record, "customer_no", None)
        except Exception:  # an object of the caller's may raise anything while it is read; the cutter tells what is wrong with it
            number = None
        yield as_key(number)
