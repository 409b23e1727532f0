"""What a run writes into a journal in PostgreSQL, where that differs from SQLite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ....clock import Stamp
from ....postgres.connection import TIMELINE, PostgresConnection
from ....postgres.lease import is_owned
from ....postgres.worker import Later
from ....sqlite.file import temporary_database
from ...record_amounts import RecordAmounts
from ..protocol import StaleSince
from ..sqlite.index import Index
from ..sqlite.mark import stale_since
from ..sqlite.other_runs import OtherRuns
from ..sqlite.queries import packed
from ..sqlite.store import OpenedRun, RunStore, row_of_records

if TYPE_CHECKING:
    import sqlite3

    from ....sqlite.guard import FileGuard
    from ...chunking import Batch
    from ...outcomes import Outcome
    from ...parts import PartOfRun
    from ..run_key import RunKey

__all__ = ["WORD", "PostgresRunStore", "ServerMark", "amounts_in", "note_change", "why_stale"]

WORD: Final = "journal"
"""What error messages call it."""

_CHANGE: Final = f"""INSERT INTO accounts (operation, client_no, base_url, changes) VALUES (?, ?, ?, 1)
ON CONFLICT (operation, client_no, base_url) DO UPDATE SET changes = accounts.changes + 1 RETURNING changes, {TIMELINE}"""  # noqa: S608 - our own words
_CHANGE_OF_UNNAMED: Final = _CHANGE.replace(f", {TIMELINE}", ", NULL")

_ACCEPTED: Final = """WITH others AS (
    SELECT batches.id FROM batches JOIN runs ON runs.id = batches.id >> 32
    WHERE uuid IS NOT NULL AND lower(trim(uuid)) = lower(trim(?)) AND batches.id <> ? AND client_no = ? AND base_url = ?
), shared AS (
    UPDATE batches SET shared = 1 WHERE id IN (SELECT id FROM others)
), opened AS (
    UPDATE batches SET state = 'open', uuid = ?, accepted = ?, accepted_boot = ?, accepted_service = ?
    WHERE id = ? AND ? AND NOT EXISTS (SELECT 1 FROM others) RETURNING 1
) SELECT EXISTS (SELECT 1 FROM opened)"""

_RECORDED: Final = "an earlier run found it stale"
_OTHER_SERVER: Final = (
    "its database is another one than when it was last written, or on another timeline: a standby was promoted, or a backup restored, "
    "which may lack the last commits"
)


_AMOUNTS: Final = msgspec.msgpack.Decoder(RecordAmounts)


def amounts_in(connection: PostgresConnection, batch: int) -> RecordAmounts | None:
    """Reads the money of the documents of a batch.

    Args:
        connection: to the database.
        batch: the id of the batch.

    Returns:
        Their money; None where the journal does not have it.
    """
    row = connection.execute("SELECT amounts FROM records WHERE batch = ?", (batch,)).fetchone()
    return _AMOUNTS.decode(row[0]) if row is not None and row[0] is not None else None


def note_change(connection: PostgresConnection, operation: str, client_no: int, base_url: str) -> int:
    """Locks what all runs of an operation, a client number and an address share, until the end of the transaction: so of two transactions
    that enter documents, the second one sees what the first one entered.

    Args:
        connection: in a transaction.
        operation: the operation.
        client_no: the client number.
        base_url: the address.

    Returns:
        In how many transactions that was done.

    Raises:
        JournalError: the database is not the one that it was when the connection was opened.
    """
    query = _CHANGE if connection.server is not None else _CHANGE_OF_UNNAMED
    account = operation, client_no, base_url
    # Once it is locked, nobody else changes it in this transaction.
    changes, timeline = connection.once(account, lambda: connection.execute_alike(query, account).fetchone())
    if connection.server is not None and not connection.server.endswith(f":{timeline}"):
        # Behind a pooler, a promotion is not seen as a lost connection.
        raise connection.lost()
    return int(changes)


class PostgresRunStore(RunStore):
    """A run in a journal in PostgreSQL. See `RunStore`.

    Attributes:
        part: the part of a shared run that it is, or None; set before it is used.
    """

    __slots__ = ("_table", "part")

    part: PartOfRun | None

    _table: sqlite3.Connection | None

    def begin(self, connection: Any, *, deadline: float, now: Stamp, process: int) -> OpenedRun:
        """Opens the run, which this process owns. See `RunStore`.

        Args:
            connection: to the database.
            deadline: of this attempt, in seconds.
            now: the current time.
            process: the id of this process.

        Returns:
            The run.
        """
        self._table = None
        if not self.key.safe:
            self._note(connection)
        return super().begin(connection, deadline=deadline, now=now, process=process)

    def enter(self, connection: Any, id: int, batch: Batch, contents: Sequence[str] | None = None) -> None:
        """Enters a batch that is going to be sent, unless it is there already. See `RunStore`.

        Args:
            connection: to the database.
            id: the id of the batch.
            batch: the batch.
            contents: the identities of its records without key, in order, if they are known.
        """
        is_new = id not in self.entered
        super().enter(connection, id, batch, contents)
        if is_new and self.other_runs is None and not self.key.safe:
            self._note(connection)

    def _enter_withheld(
        self, connection: Any, id: int, batch: Batch, said: Mapping[int, Outcome], looked_up: Stamp | None, *, keep_body: bool
    ) -> None:
        super()._enter_withheld(connection, id, batch, said, looked_up, keep_body=keep_body)
        self._note(connection)

    def accepted(self, connection: Any, id: int, batch_uuid: str, now: Stamp, *, is_first: bool) -> Any:
        """Records that the server accepted a batch, in one statement. See `RunStore`.

        Args:
            connection: to the database.
            id: the id of the batch.
            batch_uuid: its batchUuid.
            now: the current time.
            is_first: False if this client got the same batchUuid before.

        Returns:
            What tells whether the batchUuid is unique, before the transaction ends.
        """
        others = batch_uuid, id, self.key.client_no, self.key.base_url
        sent = connection.execute_alike(_ACCEPTED, (*others, batch_uuid, now.wall, now.boot, now.service, id, is_first))
        return Later(lambda: bool(sent.fetchone()[0]))

    def release(self) -> None:
        """Closes all files."""
        super().release()
        table = getattr(self, "_table", None)
        if table is not None:
            table.close()

    @property
    def ends_run(self) -> bool:
        """Whether this attempt ends the run when its source is read to the end: a replay has only some of its records."""
        return self.has_source and self.reads_all

    def _note(self, connection: PostgresConnection) -> int:
        return note_change(connection, self.key.operation, self.key.client_no, self.key.base_url)

    def _take(self, earlier: int) -> None:
        """Does nothing: the part of the run was taken when the connection was opened."""

    def _make_other_runs(self) -> OtherRuns:
        return _OtherRuns(self.path, self.key, self.id, self.index_wanted, self.part)

    def _make_mark(self) -> ServerMark:
        return ServerMark()

    def _new_index(self, connection: Any) -> Index:
        if self._table is None:
            # In a file of this process: it belongs to no transaction of the database.
            self._table = temporary_database("")
            self._table.execute("BEGIN")
        return Index(connection, self._table, self._reader(connection))

    def sender_of(self, connection: Any, batch: int) -> str | None:
        """Returns who may still be about to send a batch of an earlier attempt. See `RunStore`."""
        found: str | None = connection.execute("SELECT sender FROM batches WHERE id = ?", (batch,)).fetchone()[0]
        return found

    def _check_owner(self, connection: Any) -> None:
        """Does nothing: each transaction begins with that."""

    def _enter_records(
        self,
        connection: Any,
        id: int,
        keys: Sequence[str | None],
        prints: Sequence[int],
        names: Mapping[str, str],
        indexes: Sequence[int],
        amounts: RecordAmounts | None,
    ) -> None:
        # Summed up, too: the report of a run needs those of single documents only where they have several states.
        kept = amounts.encoded() if amounts is not None else (None, None)
        row = (*row_of_records(id, keys, prints, names, indexes), *kept)
        connection.execute("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)

    def _amounts_in(self, connection: Any, batch: int) -> RecordAmounts | None:
        return amounts_in(connection, batch)

    def _write_body(self, connection: Any, id: int, batch: Batch) -> None:
        # For the database, taking the text in costs more than all else: compressed, it is a tenth of it, also on the network.
        connection.execute("INSERT INTO bodies VALUES (?, ?)", (id, packed(batch.pieces)))


class _OtherRuns(OtherRuns):
    """The other runs of a journal in PostgreSQL."""

    def __init__(self, path: str, key: RunKey, run: int, index_wanted: Any, part: PartOfRun | None) -> None:
        super().__init__(path, key, run, index_wanted)
        self._part = part
        self._account = (key.operation, key.client_no, key.base_url)

    def _has_changed(self, connection: Any) -> bool:
        changes = note_change(connection, *self._account)
        has_changed, self._version = changes not in {self._version, self._version + 1} or self._version < 0, changes
        return has_changed

    def _is_sibling(self, run_id: str) -> bool:
        return self._part is not None and self._part.is_sibling(run_id)

    def _is_running(self, connection: Any, run: int) -> bool:
        return is_owned(connection, run)


class ServerMark:
    """Reveals a journal whose database is another one than when it was last written. See `Mark`."""

    def __init__(self) -> None:
        self.stale: list[StaleSince] = []
        self.reason: str | None = None

    def begin(self, connection: Any, *, now: Stamp, deadline: float) -> None:
        """Finds out whether the journal is stale, and records that in it.

        Args:
            connection: to the database.
            now: the current time.
            deadline: of the run, in seconds.
        """
        server, longest = connection.execute("SELECT server, deadline FROM journal FOR UPDATE").fetchone()
        # A run may be older than what the row of the journal says.
        (of_run,) = connection.execute("SELECT server FROM runs WHERE id = ?", (connection.fence.run,)).fetchone()
        longest = max(longest, deadline)
        self.reason = _OTHER_SERVER if _is_other(server, connection) or _is_other(of_run, connection) else None
        if self.reason is not None:
            # When it lost commits, and when documents were sent that it does not know, is not known.
            connection.execute("INSERT INTO stale VALUES (?, ?, ?, ?, ?)", (*now, longest))
        connection.execute("UPDATE journal SET deadline = ?, server = coalesce(?, server)", (longest, connection.server))
        connection.execute("UPDATE runs SET server = coalesce(?, server) WHERE id = ?", (connection.server, connection.fence.run))
        self.stale = stale_since(connection)
        self.reason = self.reason or (_RECORDED if self.stale else None)

    def intent(self, connection: Any, now: Stamp) -> None:
        """Does nothing: the fence counts what is written."""

    def committed(self, connection: Any, guard: FileGuard) -> None:
        """Does nothing: there is no file."""

    def close(self) -> None:
        """Does nothing: there is no file."""


def why_stale(connection: Any) -> str | None:
    """Tells why a journal is stale, without changing anything.

    Args:
        connection: to the database, identified.

    Returns:
        The reason, in words; None if it is not stale.
    """
    (server,) = connection.execute("SELECT server FROM journal").fetchone()
    return _OTHER_SERVER if _is_other(server, connection) else _RECORDED if stale_since(connection) else None


def _is_other(server: str | None, connection: PostgresConnection) -> bool:
    return server is not None and connection.server is not None and server != connection.server
