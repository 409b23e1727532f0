"""The state of a delta sync in PostgreSQL, where that differs from a file: see `sync.state`.

A database holds any number of states, each with a name: what follows the `#` of its URL. A process owns a state while a sync goes on, by a
lease, as it owns a run of a journal. A dry run reads the state, and neither takes nor writes it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from .. import clock
from ..database.url import DatabaseUrl
from ..database.worker import DatabaseWorker
from ..errors import ConfigurationError, JournalError
from ..postgres.connection import Patience, PostgresConnection
from ..postgres.lease import give_back, take, try_take
from ..postgres.schema import check_schema, prepare_schema
from ..postgres.worker import PostgresWorker
from .state import LATE_SYNCS, JournalUse, StateRow, SyncState, as_stored, name_of

if TYPE_CHECKING:
    from ..postgres.owner import Owner

__all__ = ["PostgresSyncState", "forget", "has_state", "walk"]

_WORD: Final = "sync state"

_UPDATE: Final = """UPDATE state_customers SET digest = changed.digest, shown = changed.shown
FROM unnest(?::bytea[], ?::bytea[], ?::text[]) AS changed (name, digest, shown)
WHERE state = ? AND state_customers.name = changed.name"""

_INSERT: Final = """INSERT INTO state_customers (state, name, number, digest, shown)
SELECT ?, * FROM unnest(?::bytea[], ?::bigint[], ?::bytea[], ?::text[])
ON CONFLICT (state, name) DO UPDATE SET digest = excluded.digest, shown = excluded.shown"""

_UNSETTLE: Final = """INSERT INTO state_unsettled (state, name, digest, sync) SELECT ?, name, digest, ?
FROM unnest(?::bytea[], ?::bytea[]) AS late (name, digest)
ON CONFLICT (state, name) DO UPDATE SET digest = excluded.digest, sync = excluded.sync"""


class PostgresSyncState(SyncState):
    """A state in PostgreSQL, open for one sync. See `SyncState`.

    Args:
        url: of the database.
        base_url: the address of the service.
        client_no: the client number whose customers they are.
        dry_run: whether nothing is written.
        patience: seconds to wait for a database that is away.
    """

    def __init__(self, url: DatabaseUrl, base_url: str, client_no: int, *, dry_run: bool = False, patience: float = 0.0) -> None:
        super().__init__(url, base_url, client_no, dry_run=dry_run)
        self._url = url
        self._patience = Patience(patience)
        self._id = 0

    @staticmethod
    def _place_of(path: str | os.PathLike[str]) -> str:
        assert isinstance(path, DatabaseUrl)
        return path

    async def _make_thread(self) -> DatabaseWorker:
        return PostgresWorker(self._url, self._connect, lambda: None, _WORD, self._patience)

    # --- in the thread ----------------------------------------------------------------------------------------------------

    def _connect(self) -> tuple[PostgresConnection, Owner | None]:
        if self._dry_run:
            return self._connect_to_look()
        prepare_schema(self._url, _WORD)
        connection = PostgresConnection(self._url, _WORD, patience=self._patience)
        try:
            connection.identify()
            with connection.transaction():
                statement = "INSERT INTO states (name, base_url, client_no) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
                connection.execute(statement, (self._url.name, *self._owner))
                (self._id,) = connection.execute("SELECT id FROM states WHERE name = ?", (self._url.name,)).fetchone()
            owner = take(connection, -self._id, 0, token=secrets.token_hex(8), patience=self._patience, refuse=self._used)
            try:
                with connection.transaction():
                    self._take_over(connection)
            except BaseException:
                give_back(connection, owner)
                raise
        except BaseException:
            connection.close()
            raise
        return connection, owner

    def _connect_to_look(self) -> tuple[PostgresConnection, None]:
        check_schema(self._url, _WORD, may_be_missing=True)
        connection = PostgresConnection(self._url, _WORD, patience=self._patience)
        try:
            self._id = _id_of(connection, self._url) or 0
            if self._id:
                with connection.transaction(reads=True):
                    self._read_owner(connection)
        except BaseException:
            connection.close()
            raise
        return connection, None

    def _used(self, owner: Owner) -> JournalError:
        return JournalError(f"the sync state {self._url} is in use by another sync, {owner}: wait for its end")

    def _read_owner(self, connection: Any) -> None:
        self.rows = connection.execute("SELECT count(*) FROM state_customers WHERE state = ?", (self._id,)).fetchone()[0]
        query = "SELECT base_url, client_no, next, syncs, rules, attempt, first_batch FROM states WHERE id = ?"
        base_url, client_no, self.next, syncs, self.rules, attempt, first = connection.execute(query, (self._id,)).fetchone()
        self.journal = JournalUse(attempt, first) if attempt is not None else None
        if (base_url, client_no) != self._owner and self.rows:
            raise ConfigurationError(
                f"the sync state {self._url} is of client {client_no} at {base_url}, and this is client {self._owner[1]} at "
                f"{self._owner[0]}: give each its own state, such as {self._url}#{self._owner[1]}"
            )
        self._number, self.sync = self.next, syncs + 1

    def _take_over(self, connection: Any) -> None:
        self._read_owner(connection)
        values = (*self._owner, self.sync, clock.unix_time(), self._id)
        changes = "base_url = ?, client_no = ?, syncs = ?, written = ?, rules = NULL, attempt = NULL, first_batch = NULL"
        connection.execute(f"UPDATE states SET {changes} WHERE id = ?", values)  # noqa: S608 - our own words
        connection.execute("DELETE FROM state_unsettled WHERE state = ? AND sync < ?", (self._id, self.sync - LATE_SYNCS))

    def _rows_in_range(self, connection: Any, least: bytes, greatest: bytes, most: int) -> list[Any]:
        query = "SELECT name, number, digest FROM state_customers WHERE state = ? AND name BETWEEN ? AND ? ORDER BY name LIMIT ?"
        return list(self._rows(connection, query, least, greatest, most))

    def _listed_rows(self, connection: Any, names: Sequence[bytes]) -> list[Any]:
        query = "SELECT name, number, digest FROM state_customers WHERE state = ? AND name = ANY(?)"
        found = {row[0]: row for row in self._rows(connection, query, list(names))}
        return [found[name] for name in names if name in found]

    def _unsettled_rows(self, connection: Any, names: Sequence[bytes]) -> Iterable[Any]:
        query = "SELECT name, digest, sync FROM state_unsettled WHERE state = ? AND name = ANY(?)"
        return self._rows(connection, query, list(names))

    def _rows(self, connection: Any, query: str, *values: Any) -> Iterable[Any]:
        # A dry run may find no state, nor tables.
        return connection.execute(query, (self._id, *values)) if self._id else ()

    def _save(
        self,
        connection: Any,
        new: Sequence[StateRow],
        changed: Sequence[StateRow],
        settled: Sequence[bytes],
        unsettled: Sequence[tuple[bytes, bytes | None]],
    ) -> None:
        if self._dry_run:
            return
        if settled:
            connection.execute("DELETE FROM state_unsettled WHERE state = ? AND name = ANY(?)", (self._id, list(settled)))
        if unsettled:
            # The last one counts.
            names, digests = map(list, zip(*dict(unsettled).items(), strict=True))
            connection.execute(_UNSETTLE, (self._id, self.sync, names, digests))
        if changed:
            latest = {row.name: row for row in changed}.values()
            columns = zip(*[(row.name, row.digest, _text(as_stored(row))) for row in latest], strict=True)
            connection.execute(_UPDATE, (*map(list, columns), self._id))
        if new:
            rows = {row[0]: row for row in self._numbered(new)}.values()
            columns = zip(*[(name, number, digest, _text(shown)) for name, number, digest, shown in rows], strict=True)
            connection.execute(_INSERT, (self._id, *map(list, columns)))
            connection.execute("UPDATE states SET next = ? WHERE id = ?", (self._number, self._id))

    def _invalidate(self, connection: Any, names: Sequence[bytes]) -> None:
        if not self._dry_run:
            connection.execute("UPDATE state_customers SET digest = NULL WHERE state = ? AND name = ANY(?)", (self._id, list(names)))

    def _use_journal(self, connection: Any, use: JournalUse) -> None:
        if not self._dry_run:
            connection.execute("UPDATE states SET attempt = ?, first_batch = ? WHERE id = ?", (*use, self._id))

    def _end(self, connection: Any, rules: str | None) -> None:
        if not self._dry_run:
            connection.execute("UPDATE states SET written = ?, rules = ? WHERE id = ?", (clock.unix_time(), rules, self._id))

    def _touch(self, connection: Any) -> None:
        """Does nothing: each transaction is durable."""


def _text(shown: str | int | None) -> str | None:
    # No number is stored that is shown as it is compared, so "1" stands for capitals alone.
    return str(shown) if shown is not None else None


def walk(url: DatabaseUrl) -> Iterator[tuple[bytes, int, str | int | None]]:
    """Reads the customers of a state, a few at a time.

    Args:
        url: of the database.

    Yields:
        The name, the row number and how the number is shown, in the order of the names.

    Raises:
        JournalError: the state is not there, or can't be read.
    """
    connection, state = _opened(url)
    try:
        last = b""
        query = "SELECT name, number, shown FROM state_customers WHERE state = ? AND name > ? ORDER BY name LIMIT 1000"
        while rows := connection.execute(query, (state, last)).fetchall():
            yield from ((name, number, 1 if shown == "1" else shown) for name, number, shown in rows)
            last = rows[-1][0]
    finally:
        connection.close()


def forget(url: DatabaseUrl, keys: Iterable[str]) -> int:
    """Removes customers from a state.

    Args:
        url: of the database.
        keys: the customer numbers.

    Returns:
        How many of them were in the state.

    Raises:
        JournalError: the state can't be written, or a sync uses it.
    """
    done = 0
    connection, state = _opened(url)
    try:
        owner = try_take(connection, -state, 0, token=secrets.token_hex(8))
        if owner is None:
            raise JournalError(f"the sync state {url} is in use by another sync: wait for its end")
        try:
            names = (name_of(key) for key in keys)
            while some := list(islice(names, 1000)):
                with connection.transaction():
                    done += connection.execute("DELETE FROM state_customers WHERE state = ? AND name = ANY(?)", (state, some)).rowcount
                    # Whoever comes back is new: what a journal says of them does not count any more.
                    connection.execute("UPDATE states SET attempt = NULL, first_batch = NULL WHERE id = ?", (state,))
        finally:
            give_back(connection, owner)
    finally:
        connection.close()
    return done


def has_state(url: DatabaseUrl) -> bool:
    """Returns whether there is a state.

    Args:
        url: of the database.

    Raises:
        JournalError: the database can't be used.
    """
    check_schema(url, _WORD, may_be_missing=True)
    with contextlib.closing(PostgresConnection(url, _WORD)) as connection:
        return _id_of(connection, url) is not None


def _opened(url: DatabaseUrl) -> tuple[PostgresConnection, int]:
    check_schema(url, _WORD)
    connection = PostgresConnection(url, _WORD)
    state = _id_of(connection, url)
    if state is None:
        connection.close()
        raise JournalError(f"there is no sync state at {url}")
    return connection, state


def _id_of(connection: PostgresConnection, url: DatabaseUrl) -> int | None:
    """Returns the id of a state; None where there is none."""
    if not connection.execute("SELECT to_regclass('states') IS NOT NULL").fetchone()[0]:
        return None
    row = connection.execute("SELECT id FROM states WHERE name = ?", (url.name,)).fetchone()
    return row[0] if row is not None else None
