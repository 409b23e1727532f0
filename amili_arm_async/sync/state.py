"""The state of a delta sync: for each customer the digest of what was last sent with success, in one SQLite file.

A row without a digest is a customer whose content on the server is not known: something new was sent, and no result reports success. Each
row has a number, so that one bit for each customer is enough to know which customers a source has.

A second table has the customers that are unsettled: the outcome of something that was sent for them is unknown, so the server may
process it at any time, also after something newer. The next sync sends them again, even if they succeeded.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import anyio
from anyio import to_thread

from .. import clock, codec
from ..bulk.fingerprints import folded
from ..database.url import database_url
from ..database.worker import DatabaseWorker
from ..errors import ArmError, ConfigurationError, JournalError
from ..sqlite.file import FileFormat, broken, check, connect, open_file, path_of
from ..sqlite.guard import FileGuard
from ..sqlite.lock import RunLock, is_locked, lock
from ..sqlite.snapshot import Snapshot
from ..sqlite.worker import SqliteWorker

__all__ = [
    "LATE_SYNCS",
    "Found",
    "JournalUse",
    "StateRow",
    "SyncState",
    "Unsettled",
    "as_stored",
    "forget",
    "known_keys",
    "missing_keys",
    "name_of",
    "names_of",
    "state_at",
]

_FORMAT: Final = FileFormat(
    "sync state",
    0x41524D73,  # "ARMs"
    4,
    4096,  # a night changes few rows, here and there
    """
CREATE TABLE owner (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    base_url TEXT NOT NULL,
    client_no INTEGER NOT NULL,
    next INTEGER NOT NULL,
    syncs INTEGER NOT NULL,
    written REAL NOT NULL,
    -- With a journal: which attempt of a run the last sync was, and the id of the first batch in the journal that says what the server has:
    -- before that one, another sync came between.
    attempt TEXT,
    first_batch INTEGER,
    -- By which rules the records of the last sync were judged; NULL while a sync runs, and where it did not come to its end.
    rules TEXT
);
-- name: the customer number as it is compared; shown: NULL where it was written like that, 1 in capitals, else as it was written.
CREATE TABLE customers (name BLOB PRIMARY KEY, number INTEGER NOT NULL, digest BLOB, shown) WITHOUT ROWID;
-- Customers to whom something was sent that may be processed at any time. sync: which sync was the last that left them so. digest: of what
-- it sent last.
CREATE TABLE unsettled (name BLOB PRIMARY KEY, digest BLOB, sync INTEGER NOT NULL) WITHOUT ROWID;
""",
    "Move it away: the next sync makes a new one, and sends everything once. An old copy does not know what was sent since",
    "in another form. Begin a new one, which sends everything once",
)

_PER_STATEMENT: Final = 500
"""Customers looked up in one statement: older versions of SQLite take no more than 999 parameters."""

_MARKS: Final = ", ".join("?" * _PER_STATEMENT)
_FIND: Final = f"SELECT name, number, digest FROM customers WHERE name IN ({_MARKS})"  # noqa: S608 - question marks
_FIND_BETWEEN: Final = "SELECT name, number, digest FROM customers WHERE name BETWEEN ? AND ? ORDER BY name LIMIT ?"
_FIND_LISTED: Final = (
    "SELECT name, number, digest FROM json_each(?) CROSS JOIN customers ON name = CAST(value AS BLOB) ORDER BY json_each.id"
)
_FIND_UNSETTLED: Final = f"SELECT name, digest, sync FROM unsettled WHERE name IN ({_MARKS})"  # noqa: S608 - question marks

_SPARSE: Final = 2
"""How many customers for each that is wanted are read at the most, where they are next to each other in the state."""

_LISTED_AFTER: Final = 16
"""Look-ups that are not tried as one range after one that held too many customers: the source is in another order."""

LATE_SYNCS: Final = 100
"""Syncs after which nothing is processed late any more."""

_DURABLE_EVERY: Final = 3.0
"""Seconds after which what was written is flushed to disk."""

_ROW: Final = 60
"""The approximate size of a row in bytes."""


class Found(NamedTuple):
    """What the state has of some customers, each once.

    Attributes:
        names: those that are in the state.
        numbers: the number of each.
        digests: the digest of each; None where the content on the server is not known.
        unsettled: those of them that are unsettled.
    """

    names: Sequence[bytes] = ()
    numbers: Sequence[int] = ()
    digests: Sequence[bytes | None] = ()
    unsettled: Mapping[bytes, Unsettled] = MappingProxyType({})


class Unsettled(NamedTuple):
    """A customer for whom something may be processed late: the digest of what was sent last, and the number of the sync that sent it."""

    digest: bytes | None
    sync: int


class JournalUse(NamedTuple):
    """What a sync has of a journal.

    Attributes:
        attempt: the token of the attempt that it is.
        first_batch: the id of the first batch that counts: since then, no other sync has used the state.
    """

    attempt: str
    first_batch: int


class StateRow(NamedTuple):
    """A customer that was sent with success."""

    key: str
    name: bytes
    digest: bytes


def name_of(key: str) -> bytes:
    """Returns a customer number as it is compared and stored.

    Args:
        key: the customer number.

    Returns:
        The number without case, in UTF-8.
    """
    return folded(key).encode("utf-8", "surrogatepass")


def names_of(keys: Sequence[str | None]) -> Sequence[bytes | None]:
    """Returns many customer numbers as they are compared and stored, all at once where that is possible.

    Args:
        keys: the customer numbers, or None.

    Returns:
        The names; None where there is no number.
    """
    try:
        text = "\0".join(keys)  # type: ignore[arg-type]
    except TypeError:
        return [name_of(key) if key is not None else None for key in keys]
    if text.count("\0") >= len(keys):
        # One of them holds the separator.
        return [name_of(key) for key in keys if key is not None]
    return name_of(text).split(b"\0")


class SyncState:
    """The state, open for one sync.

    Args:
        path: the path of the file.
        base_url: the address of the service.
        client_no: the client number whose customers they are.
        dry_run: whether a copy is used in place of the file.

    Attributes:
        rows: customers in it when it was opened.
        next: the number of the next new customer when it was opened.
        sync: the number of this sync.
        rules: the rules by which the records were judged whose digests it has; None where they are not known.
        journal: what the last sync had of a journal, or None.
    """

    def __init__(self, path: str | os.PathLike[str], base_url: str, client_no: int, *, dry_run: bool = False) -> None:
        self.path = self._place_of(path)
        self._dry_run = dry_run
        self._snapshot: Snapshot | None = None
        # The file that is read and written.
        self._file = self.path
        self.rows = 0
        self.next = 1
        self.sync = 1
        self.rules: str | None = None
        self.journal: JournalUse | None = None
        self._owner = (base_url, client_no)
        self._thread: DatabaseWorker | None = None
        self._lock: RunLock | None = None
        self._number = 1
        self._durable_at = 0.0
        # Look-ups that are not tried as one range.
        self._listed = 0

    async def open(self) -> None:
        """Opens the file, and creates it if there is none.

        Raises:
            JournalError: it can't be used, or another sync uses it.
            ConfigurationError: it is of another client number or address.
        """
        thread = await self._make_thread()
        try:
            await thread.start()
        except BaseException as exc:
            # Whoever cancels this and starts again must not find the file still in use.
            with anyio.CancelScope(shield=True):
                await thread.close()
            if self._snapshot is not None:
                self._snapshot.close()
                if isinstance(exc, JournalError):
                    raise self._snapshot.named(exc) from exc.__cause__
            raise
        self._thread = thread
        self._durable_at = clock.monotonic()

    async def use_journal(self, use: JournalUse) -> None:
        """Records what this sync has of a journal. It is on disk when this returns.

        Args:
            use: which attempt of a run this sync is, and what of the journal counts.

        Raises:
            JournalError: it can't be written.
        """
        await self._open_thread.call_urgent(partial(self._use_journal, use=use))

    async def find(self, names: Sequence[bytes]) -> Found:
        """Looks up customers; whatever was given to `save` before is included.

        Args:
            names: their numbers as they are compared, each once.

        Returns:
            What is known of those that are in the state: in the order of `names`, where that is the order in the state.
        """
        return await self._open_thread.call(partial(self._find, names=names)) if names else Found()

    async def invalidate(self, names: Sequence[bytes]) -> None:
        """Drops the digests of customers before something new is sent for them. It is on disk when this returns.

        Args:
            names: their numbers as they are compared; `find` has been called for the same ones.
        """
        # So all that was put before is done.
        await self._open_thread.call_urgent(partial(self._invalidate, names=names))

    async def confirm(self) -> None:
        """Makes sure, before something is sent, that this sync still owns the state where another one may have taken it over.

        Raises:
            JournalError: another one has, or the database can't be asked.
        """
        thread = self._thread
        if thread is not None and thread.may_be_lost:
            await thread.call_urgent(lambda connection: connection.execute("SELECT 1"))

    def save(
        self,
        new: Sequence[StateRow],
        changed: Sequence[StateRow],
        settled: Sequence[bytes] = (),
        unsettled: Sequence[tuple[bytes, bytes | None]] = (),
    ) -> None:
        """Writes what was settled: soon, and to disk within seconds.

        Args:
            new: customers that succeeded and were not in the state.
            changed: customers that succeeded and were in it.
            settled: customers that are settled again.
            unsettled: customers that are not, each with the digest of what was sent last.
        """
        if self._thread is None:
            return
        size = _ROW * (len(new) + len(changed) + len(settled) + len(unsettled))
        self._thread.put(partial(self._save, new=new, changed=changed, settled=settled, unsettled=unsettled), size=size)
        if clock.monotonic() - self._durable_at > _DURABLE_EVERY:
            self._durable_at = clock.monotonic()
            self._thread.put_urgent(self._touch)

    async def close(self, *, rules: str | None = None) -> None:
        """Writes everything to disk, and closes the file.

        Args:
            rules: the rules by which its records were judged, all of them; None where the sync did not come to its end.

        Raises:
            JournalError: something could not be written.
        """
        thread, self._thread = self._thread, None
        if thread is None:
            return
        try:
            await thread.call(lambda _: None)
            await thread.call_urgent(partial(self._end, rules=rules))
        except ArmError:
            # The lock on the state must be released also where writing failed: the caller may sync again at once.
            await thread.close()
            raise
        finally:
            thread.finish()
            if self._snapshot is not None:
                # What is open may be removed, and nothing in it counts any more.
                self._snapshot.close()
        await thread.close()

    @property
    def _open_thread(self) -> DatabaseWorker:
        assert self._thread is not None
        return self._thread

    # What differs where the state is not a file: see `sync.postgres_state`.

    @staticmethod
    def _place_of(path: str | os.PathLike[str]) -> str:
        return path_of(path)

    async def _make_thread(self) -> DatabaseWorker:
        if self._dry_run:
            self._snapshot = await to_thread.run_sync(Snapshot, self.path, _FORMAT.word)
            self._file = self._snapshot.path
        return SqliteWorker(self._file, self._open, self._release, _FORMAT.word)

    # --- in the thread ----------------------------------------------------------------------------------------------------

    def _open(self, guard: FileGuard) -> sqlite3.Connection:
        connection = open_file(self._file, _FORMAT, look=lambda _: self._refuse_used(), guard=guard)
        try:
            self._lock = _lock(self._file)
            self._take_over(connection)
        except BaseException:
            connection.close()
            self._release()
            raise
        return connection

    def _refuse_used(self) -> None:
        if is_locked(self._file, 1):
            raise _used(self.path)

    def _take_over(self, connection: sqlite3.Connection) -> None:
        self.rows = connection.execute("SELECT count(*) FROM customers").fetchone()[0]
        query = "SELECT base_url, client_no, next, syncs, rules, attempt, first_batch FROM owner"
        owner = connection.execute(query).fetchone()
        if owner is not None and owner[:2] != self._owner and self.rows:
            base_url, client_no = self._owner
            raise ConfigurationError(
                f"the sync state {self.path} is of client {owner[1]} at {owner[0]}, and this is client {client_no} at {base_url}: "
                "give each its own state"
            )
        self.next = self._number = owner[2] if owner is not None else 1
        self.sync = owner[3] + 1 if owner is not None else 1
        self.rules = owner[4] if owner is not None else None
        self.journal = JournalUse(*owner[5:]) if owner is not None and owner[5] is not None else None
        values = (*self._owner, self.next, self.sync, clock.unix_time())
        # Until this sync says that it has a journal, nothing says what of one counts.
        connection.execute("REPLACE INTO owner VALUES (1, ?, ?, ?, ?, ?, NULL, NULL, NULL)", values)
        connection.execute("DELETE FROM unsettled WHERE sync < ?", (self.sync - LATE_SYNCS,))

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _find(self, connection: sqlite3.Connection, names: Sequence[bytes]) -> Found:
        rows = self._rows_between(connection, names)
        if rows is None:
            rows = self._listed_rows(connection, names)
        found = Found()
        if rows:
            there, numbers, digests = map(list, zip(*rows, strict=True))
            found = Found(there, numbers, digests)
        unsettled = {name: Unsettled(digest, sync) for name, digest, sync in self._unsettled_rows(connection, names)}
        return found._replace(unsettled=unsettled) if unsettled else found

    def _listed_rows(self, connection: sqlite3.Connection, names: Sequence[bytes]) -> list[Any]:
        return _rows_listed(connection, names)

    def _unsettled_rows(self, connection: sqlite3.Connection, names: Sequence[bytes]) -> Iterable[Any]:
        # There hardly ever is one.
        is_any = connection.execute("SELECT EXISTS (SELECT 1 FROM unsettled)").fetchone()[0]
        return _by_marks(connection, _FIND_UNSETTLED, names) if is_any else ()

    def _rows_in_range(self, connection: sqlite3.Connection, least: bytes, greatest: bytes, most: int) -> list[Any]:
        return connection.execute(_FIND_BETWEEN, (least, greatest, most)).fetchall()

    def _rows_between(self, connection: sqlite3.Connection, names: Sequence[bytes]) -> list[Any] | None:
        """Reads customers that are next to each other in the state, as they are where the source is in the order of their numbers: that
        takes half the time of looking for each. None where there are too many others between them."""
        if self._listed:
            self._listed -= 1
            return None
        most = _SPARSE * len(names)
        rows = self._rows_in_range(connection, min(names), max(names), most + 1)
        if len(rows) > most:
            self._listed = _LISTED_AFTER
            return None
        if len(rows) == len(names) and rows[0][0] == names[0] and [row[0] for row in rows] == names:
            return rows
        wanted = set(names)
        return [row for row in rows if row[0] in wanted]

    def _save(
        self,
        connection: sqlite3.Connection,
        new: Sequence[StateRow],
        changed: Sequence[StateRow],
        settled: Sequence[bytes],
        unsettled: Sequence[tuple[bytes, bytes | None]],
    ) -> None:
        connection.executemany("DELETE FROM unsettled WHERE name = ?", [(name,) for name in settled])
        connection.executemany("REPLACE INTO unsettled VALUES (?, ?, ?)", [(name, digest, self.sync) for name, digest in unsettled])
        changes = [(row.digest, as_stored(row), row.name) for row in changed]
        connection.executemany("UPDATE customers SET digest = ?, shown = ? WHERE name = ?", changes)
        if new:
            numbered = self._numbered(new)
            connection.executemany(
                "INSERT INTO customers VALUES (?, ?, ?, ?)"
                " ON CONFLICT (name) DO UPDATE SET digest = excluded.digest, shown = excluded.shown",
                numbered,
            )
            connection.execute("UPDATE owner SET next = ?", (self._number,))

    def _numbered(self, new: Sequence[StateRow]) -> list[tuple[bytes, int, bytes, str | int | None]]:
        """Gives customers that are new a number each; returns name, number, digest, and how the number is shown."""
        first = self._number
        self._number += len(new)
        return [(row.name, number, row.digest, as_stored(row)) for number, row in enumerate(sorted(new, key=_name), first)]

    def _invalidate(self, connection: sqlite3.Connection, names: Sequence[bytes]) -> None:
        connection.executemany("UPDATE customers SET digest = NULL WHERE name = ?", [(name,) for name in names])

    def _use_journal(self, connection: sqlite3.Connection, use: JournalUse) -> None:
        connection.execute("UPDATE owner SET attempt = ?, first_batch = ?", use)

    def _end(self, connection: sqlite3.Connection, rules: str | None) -> None:
        connection.execute("UPDATE owner SET written = ?, rules = ?", (clock.unix_time(), rules))

    def _touch(self, connection: sqlite3.Connection) -> None:
        """Writes something: then it is on disk when this is done, and all that was written before it."""
        connection.execute("UPDATE owner SET written = ?", (clock.unix_time(),))


def has_state(place: str) -> bool:
    """Returns whether there is a state.

    Args:
        place: the path of a file, or the URL of a database.

    Raises:
        JournalError: the database can't be used.
    """
    if (url := database_url(place)) is None:
        return Path(place).exists()
    from .postgres_state import has_state as is_there  # noqa: PLC0415 - needs psycopg

    return is_there(url)


def state_at(place: str | os.PathLike[str], base_url: str, client_no: int, *, dry_run: bool = False, patience: float = 0.0) -> SyncState:
    """Returns a state, which is not open yet.

    Args:
        place: the path of a file, or the URL of a database.
        base_url: the address of the service.
        client_no: the client number whose customers they are.
        dry_run: whether nothing is written.
        patience: seconds to wait for a database that is away.

    Raises:
        ConfigurationError: it is a database that can't be used.
    """
    if (url := database_url(place)) is None:
        return SyncState(place, base_url, client_no, dry_run=dry_run)
    from .postgres_state import PostgresSyncState  # noqa: PLC0415 - needs psycopg

    return PostgresSyncState(url, base_url, client_no, dry_run=dry_run, patience=patience)


def _name(row: StateRow) -> bytes:
    return row.name


def _lock(path: str) -> RunLock:
    try:
        taken = lock(path, 1)
    except OSError as exc:
        raise broken(path, exc, _FORMAT.word) from exc
    if taken is None:
        raise _used(path)
    return taken


def _used(path: str) -> JournalError:
    return JournalError(f"the sync state {path} is in use by another sync: wait for its end")


def as_stored(row: StateRow) -> str | int | None:
    """Returns how the number of a customer is kept beside its name: None where it was written like that, 1 in capitals, else the number.

    Args:
        row: the customer.
    """
    folded_key = folded(row.key)
    if folded_key == row.key:
        return None
    # Takes no byte in the file, unlike the text.
    return 1 if folded_key.upper() == row.key else row.key.encode("utf-8", "backslashreplace").decode()


def _as_shown(name: bytes, shown: str | int | None) -> str:
    text = name.decode("utf-8", "backslashreplace")
    return text if shown is None else text.upper() if shown == 1 else str(shown)


def _rows_listed(connection: sqlite3.Connection, names: Sequence[bytes]) -> list[Any]:
    try:
        text = b"\0".join(names).decode()
    except UnicodeDecodeError:
        # Half a surrogate pair, which JSON can't have.
        return list(_by_marks(connection, _FIND, names))
    if text.count("\0") >= len(names):
        # SQLite ends a text at a NUL.
        return list(_by_marks(connection, _FIND, names))
    return connection.execute(_FIND_LISTED, (codec.ENCODER.encode(text.split("\0")).decode(),)).fetchall()


def _by_marks(connection: sqlite3.Connection, statement: str, names: Sequence[bytes]) -> Iterator[Any]:
    for start in range(0, len(names), _PER_STATEMENT):
        some = names[start : start + _PER_STATEMENT]
        # Always the same statement: SQLite has it ready.
        yield from connection.execute(statement, [*some, *[some[0]] * (_PER_STATEMENT - len(some))])


# --- those who are gone -----------------------------------------------------------------------------------------------


def missing_keys(path: str, seen: bytes, end: int) -> Iterator[str]:
    """Reads the customers that a source does not have, a few at a time, in the order in which their numbers are compared.

    Args:
        path: the path of the state.
        seen: a bit for each row number, set where the source has the customer.
        end: the end of the row numbers that count.

    Yields:
        The customer numbers.

    Raises:
        JournalError: the state is not there any more, or can't be read.
    """
    for name, number, shown in _walk(path):
        if number < end and not seen[number >> 3] & 1 << (number & 7):
            yield _as_shown(name, shown)


def known_keys(path: str | os.PathLike[str], *, leaves_no_file: bool = False) -> Iterator[str]:
    """Reads the numbers of all customers in the state, a few at a time, in the order in which they are compared.

    Args:
        path: the path of the state.
        leaves_no_file: whether to read a copy, because reading the state itself may leave files beside it.

    Returns:
        An iterator of customer numbers.

    Raises:
        JournalError: the state is not there, or can't be read.
    """
    if (url := database_url(path)) is not None:
        return (_as_shown(name, shown) for name, _, shown in _walk(url))
    if leaves_no_file:
        return _known_keys_of_copy(path_of(path))
    return (_as_shown(name, shown) for name, _, shown in _walk(path_of(path)))


def _known_keys_of_copy(path: str) -> Iterator[str]:
    with contextlib.closing(Snapshot(path, _FORMAT.word)) as copy:
        yield from (_as_shown(name, shown) for name, _, shown in _walk(copy.path))


def _walk(path: str) -> Iterator[tuple[bytes, int, str | int | None]]:
    if (url := database_url(path)) is not None:
        from .postgres_state import walk  # noqa: PLC0415 - needs psycopg

        yield from walk(url)
        return
    last = b""
    try:
        check(path, _FORMAT)
        with contextlib.closing(connect(path, "ro")) as connection:
            while rows := connection.execute(
                "SELECT name, number, shown FROM customers WHERE name > ? ORDER BY name LIMIT 1000", (last,)
            ).fetchall():
                yield from rows
                last = rows[-1][0]
    except (sqlite3.Error, OSError) as exc:
        raise broken(path, exc, _FORMAT.word) from exc


def forget(path: str, keys: Iterable[str]) -> int:
    """Removes customers from the state. Unsettled ones stay unsettled: what was sent may still be processed after they have come back.

    Args:
        path: the path of the state.
        keys: the customer numbers.

    Returns:
        How many of them were in the state.

    Raises:
        JournalError: the state can't be written, or a sync uses it.
    """
    if (url := database_url(path)) is not None:
        from .postgres_state import forget as forget_there  # noqa: PLC0415 - needs psycopg

        return forget_there(url, keys)
    path = path_of(path)
    done = 0
    taken = _lock(path)
    try:
        with contextlib.closing(open_file(path, _FORMAT, create=False)) as connection:
            names = (name_of(key) for key in keys)
            while some := list(islice(names, 1000)):
                connection.execute("BEGIN IMMEDIATE")
                done += connection.executemany("DELETE FROM customers WHERE name = ?", [(name,) for name in some]).rowcount
                # Whoever comes back is new: what a journal says of them does not count any more.
                connection.execute("UPDATE owner SET attempt = NULL, first_batch = NULL")
                connection.execute("COMMIT")
    except sqlite3.Error as exc:
        raise broken(path, exc, _FORMAT.word) from exc
    finally:
        taken.release()
    return done
