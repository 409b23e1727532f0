"""Customers that did not succeed, and their documents, which are not sent because they would fail."""

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

_MEMORY_LIMIT: Final = 100_000
_PER_STATEMENT: Final = 500


class FailedCustomers(RunObserver):
    """Observes a run of customers and remembers the numbers of those that did not succeed.

    The last record of a customer in the source decides: a success after a failure removes it. A hundred thousand numbers are kept in
    memory, further ones in a temporary file without a name, which is gone when the process is.

    Args:
        accepted_is_enough: whether `accepted` counts as success, as in a run with `results="accepted"`.

    Attributes:
        nameless: how many records without a number did not succeed: no document can refer to them.
        complete: whether the source was read to its end, or as far as the run was limited to; if not, there may be further customers.
    """

    def __init__(self, *, accepted_is_enough: bool = False) -> None:
        self.nameless = 0
        self.complete = False
        self._success_states = success_states(accepted_is_enough=accepted_is_enough)
        # By number, without case: the index of the record in the source.
        self._memory: dict[str, int] = {}
        self._overflow: _Overflow | None = None
        self._memory_limit = _MEMORY_LIMIT

    def __len__(self) -> int:
        return len(self._memory) + (len(self._overflow) if self._overflow is not None else 0)

    async def begin(self) -> None:
        """Starts: the source has not been read to its end."""
        self.complete = False

    async def end(self, *, complete: bool) -> None:
        """Notes whether the source was read to its end."""
        self.complete = complete

    def on_settled(self, outcome: BatchOutcome) -> None:
        """Records the final state of customers."""
        if not outcome.exceptions and outcome.common.state in self._success_states:
            if self._memory or self._overflow is not None:
                self._remove(_by_number(outcome.keys, outcome.indexes))
            return
        succeeded: dict[str, int] = {}
        failed: dict[str, int] = {}
        for position, (key, index) in enumerate(zip(outcome.keys, outcome.indexes, strict=True)):
            is_success = outcome.exceptions.get(position, outcome.common).state in self._success_states
            if key is None:
                self.nameless += not is_success
                continue
            # Within a batch, too, the last record in the source decides.
            name = key.casefold()
            now, before = (succeeded, failed) if is_success else (failed, succeeded)
            if index >= max(now.get(name, -1), before.get(name, -1)):
                before.pop(name, None)
                now[name] = index
        if self._memory or self._overflow is not None:
            self._remove(succeeded)
        self._add(failed)

    def _remove(self, succeeded: Mapping[str, int]) -> None:
        for name in self._memory.keys() & succeeded.keys():
            if self._memory[name] < succeeded[name]:
                del self._memory[name]
        if self._overflow is not None:
            self._overflow.remove(succeeded)

    def _add(self, failed: Mapping[str, int]) -> None:
        overflow: dict[str, int] = {}
        for name, index in failed.items():
            if name in self._memory:
                self._memory[name] = max(self._memory[name], index)
            elif len(self._memory) < self._memory_limit and self._overflow is None:
                self._memory[name] = index
            else:
                overflow[name] = index
        if overflow:
            self._overflow = self._overflow or _Overflow()
            self._overflow.add(overflow)

    def names(self) -> Iterator[str]:
        """Gives the numbers of the customers that did not succeed, in lower case.

        Raises:
            ArmError: the temporary file can't be read.
        """
        yield from self._memory
        if self._overflow is not None:
            yield from self._overflow.names()

    def restore(self, names: Iterable[str]) -> None:
        """Takes in the numbers that another process found; its source was read to its end.

        Args:
            names: as `names` gave them.
        """
        left = iter(names)
        while some := dict.fromkeys(islice(left, _PER_STATEMENT), 0):
            self._add(some)
        self.complete = True

    def among(self, names: Iterable[str]) -> set[str]:
        """Returns those of the given customers that did not succeed.

        Args:
            names: their numbers in lower case.

        Returns:
            The numbers of those that did not succeed.

        Raises:
            ArmError: the temporary file can't be read.
        """
        wanted = set(names)
        return wanted & self._memory.keys() | (self._overflow.among(wanted) if self._overflow is not None else set())


def _by_number(keys: Sequence[str | None], indexes: Sequence[int]) -> dict[str, int]:
    return {key.casefold(): index for key, index in zip(keys, indexes, strict=True) if key is not None}


class _Overflow:
    """Numbers in a temporary database without a name. A full disk loses nothing: what can't be written stays in memory."""

    def __init__(self) -> None:
        import sqlite3  # noqa: PLC0415 - only where there are very many

        self._sqlite_error = sqlite3.Error
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

    def add(self, failed: Mapping[str, int]) -> None:
        rows = [(_bytes(name), index) for name, index in failed.items()]
        if self._database is not None:
            try:
                with self._database as database:
                    before = database.total_changes
                    database.executemany("INSERT OR IGNORE INTO failed VALUES (?, ?)", rows)
                    self._length += database.total_changes - before
                    database.executemany("UPDATE failed SET place = max(place, ?2) WHERE name = ?1", rows)
            except self._sqlite_error:
                self._length = self._counted()
            else:
                return
        self._memory.update({name: max(index, self._memory.get(name, -1)) for name, index in failed.items()})

    def _counted(self) -> int:
        try:
            return int(self._database.execute("SELECT count(*) FROM failed").fetchone()[0]) if self._database is not None else 0
        except self._sqlite_error:
            return self._length

    def remove(self, succeeded: Mapping[str, int]) -> None:
        for name in self._memory.keys() & succeeded.keys():
            if self._memory[name] < succeeded[name]:
                del self._memory[name]
        if self._database is not None:
            rows = [(_bytes(name), index) for name, index in succeeded.items()]
            try:
                with self._database as database:
                    before = database.total_changes
                    database.executemany("DELETE FROM failed WHERE name = ? AND place < ?", rows)
                    self._length -= database.total_changes - before
            except self._sqlite_error:
                # It stays blocked: better a document that waits for the next night than one that is lost.
                return

    def names(self) -> Iterator[str]:
        yield from self._memory
        if self._database is None:
            return
        last = b""
        try:
            while rows := self._database.execute(
                "SELECT name FROM failed WHERE name > ? ORDER BY name LIMIT ?", (last, _PER_STATEMENT)
            ).fetchall():
                yield from (name.decode("utf-8", "surrogatepass") for (name,) in rows)
                last = rows[-1][0]
        except self._sqlite_error as exc:
            raise _unreadable(exc) from None

    def among(self, names: set[str]) -> set[str]:
        found = names & self._memory.keys()
        if self._database is None:
            return found
        left = iter(names)
        try:
            while some := {_bytes(name): name for name in islice(left, _PER_STATEMENT)}:
                marks = ",".join("?" * len(some))
                rows = self._database.execute(f"SELECT name FROM failed WHERE name IN ({marks})", list(some))  # noqa: S608 - marks only
                found |= {some[row[0]] for row in rows}
        except self._sqlite_error as exc:
            raise _unreadable(exc) from None
        return found


def _unreadable(error: Exception) -> ArmError:
    return ArmError(f"the temporary list of customers that did not succeed can't be read: {error}")


def _temporary() -> sqlite3.Connection:
    import sqlite3  # noqa: PLC0415

    # A database without a name is a file that SQLite deletes as soon as it has created it; only some of its pages are in memory.
    database = sqlite3.connect("", check_same_thread=False)
    database.execute("PRAGMA cache_size = -4000")
    database.execute("PRAGMA journal_mode = MEMORY")
    database.execute("CREATE TABLE failed (name BLOB PRIMARY KEY, place INTEGER NOT NULL) WITHOUT ROWID")
    return database


def _bytes(name: str) -> bytes:
    # A key may hold half a surrogate pair.
    return name.encode("utf-8", "surrogatepass")


class BlockedDocuments(RunObserver):
    """Filters the documents of customers that did not succeed out of a run: they are `blocked`, reason `customer_failed`.

    A document without a `customerNo`, or one that can't be read, passes.

    Args:
        failed: the observer of the run of the customers, which is over.
    """

    def __init__(self, failed: FailedCustomers) -> None:
        self._failed = failed

    async def filter(self, records: Sequence[Any], first: int) -> Mapping[int, Outcome]:
        """Returns the outcome of each document whose customer did not succeed, by its position in `records`."""
        if not len(self._failed):
            return {}
        named = [key.casefold() if key is not None else None for key in _customers_of(records)]
        found = self._failed.among(name for name in named if name is not None)
        if not found:
            return {}
        keys = list(_customers_of(records))
        return {position: _outcome(keys[position]) for position, name in enumerate(named) if name in found}


def _outcome(key: str | None) -> Outcome:
    return Outcome("blocked", "customer_failed", f"customer {key} did not succeed")


class _Document(msgspec.Struct, rename="camel"):
    customer_no: Any = None


_DOCUMENT: Final = msgspec.json.Decoder(_Document, float_hook=Decimal)


def _customers_of(records: Sequence[Any]) -> Iterator[str | None]:
    """Gives the customer number of each document; None where it has none."""
    for record in records:
        try:
            if isinstance(record, (bytes, bytearray)):
                number = _DOCUMENT.decode(record).customer_no
            elif isinstance(record, Mapping):
                number = record.get("customerNo")
            else:
                number = getattr(record, "customer_no", None)
        except Exception:  # an object of the caller's may raise anything while it is read; the chunker says what is wrong with it
            number = None
        yield as_key(number)
