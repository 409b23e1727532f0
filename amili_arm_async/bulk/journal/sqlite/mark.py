"""The mark: a small file beside a journal that reveals a stale journal, one that is out of date or a copy.

A journal can be restored from a backup, copied, deleted and recreated, or lose its log; nothing inside it shows that. So each time
documents are about to be sent, the mark records the name of the journal file (a random one, stored inside it), its device and inode, and
the number of such times. The journal holds the same name and number. A journal is stale if it is behind its mark, if its name or inode
differs from the mark, or if it sent documents and has no mark: it may not know everything that was sent.

The journal may be ahead of its mark, since a crash can come between the two writes. A new mark is flushed to the disk; later updates are
not. A power cut can take the mark back to an earlier state, but never the journal, so the journal is still not behind its mark.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import stat
from typing import Final, NamedTuple, Protocol

import msgspec

from .... import clock
from ....clock import Stamp
from ....files import sync_folder
from ....sqlite.guard import FileGuard
from ..protocol import StaleSince

__all__ = ["SCHEMA", "JournalMark", "Mark", "adopt", "stale_since", "why_stale"]

SCHEMA: Final = """
-- One row. name: of this file, random; intents: how often documents were about to be sent; deadline: the longest of a run of documents;
-- the others: when that was last, by the clocks of a Stamp. The mark beside the file holds the same.
CREATE TABLE file (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    name TEXT NOT NULL,
    intents INTEGER NOT NULL DEFAULT 0,
    deadline REAL NOT NULL DEFAULT 0,
    sent REAL,
    boot REAL,
    boot_id TEXT,
    service REAL
);
INSERT INTO file (id, name) VALUES (1, lower(hex(randomblob(16))));
-- Has rows if this file may not know everything that was sent: when the last of that may have been sent, and how long its results may take.
CREATE TABLE stale (sent REAL NOT NULL, boot REAL, boot_id TEXT, service REAL, deadline REAL NOT NULL);
"""

_SIZE: Final = 512
"""Bytes of a mark: at most a disk sector, so that a power cut leaves either the old mark or the new one."""


class _Mark(msgspec.Struct):
    """The contents of a mark.

    Attributes:
        name, intents, deadline, sent: as in the table `file`.
        device, inode: of the journal.
        own: inode of the mark itself, which reveals a copy of it.
        boot_id: identifies the boot of the machine during which it was written.
    """

    name: str
    intents: int
    deadline: float
    sent: Stamp
    device: int
    inode: int
    own: int
    boot_id: str | None


_DECODER: Final = msgspec.json.Decoder(_Mark)


class _File(NamedTuple):
    """The row of the table `file`."""

    name: str
    intents: int
    deadline: float
    sent: Stamp | None


class Mark(Protocol):
    """What reveals a journal that may not know everything that was sent.

    Attributes:
        stale: of a stale journal, when documents that it does not know may have been sent; else empty.
        reason: why it is stale, or None.
    """

    stale: list[StaleSince]
    reason: str | None

    def begin(self, connection: sqlite3.Connection, *, now: Stamp, deadline: float) -> None:
        """Finds out whether the journal is stale, and records that in it. Called within a transaction, when a run begins.

        Args:
            connection: of the journal.
            now: the current time.
            deadline: of the run, in seconds.
        """
        ...

    def intent(self, connection: sqlite3.Connection, now: Stamp) -> None:
        """Records that documents are about to be sent. Called within the transaction that records which.

        Args:
            connection: of the journal.
            now: the current time.
        """
        ...

    def committed(self, connection: sqlite3.Connection, guard: FileGuard) -> None:
        """Called after each commit, before anybody learns of it.

        Args:
            connection: of the journal.
            guard: watches the files of the journal.
        """
        ...

    def close(self) -> None:
        """Releases what it holds."""
        ...


class JournalMark:
    """The mark of a journal during a run of documents.

    Args:
        path: of the journal.
        original: of the journal that it is a copy of, whose mark counts then; None: it is no copy.

    Attributes:
        stale: of a stale journal, when documents that it does not know may have been sent; else empty.
        reason: why it is stale, or None.
        is_due: whether the mark must be written after the next commit.
    """

    def __init__(self, path: str, original: str | None = None) -> None:
        self.stale: list[StaleSince] = []
        self.reason: str | None = None
        self.is_due = False
        self._path = path
        self._original = original if original is not None else path
        self._fd: int | None = None
        self._place = (0, 0, 0)

    def begin(self, connection: sqlite3.Connection, *, now: Stamp, deadline: float) -> None:
        """Finds out whether the journal is stale, and records that in it. Call it within a transaction, when a run begins.

        Args:
            connection: of the journal.
            now: the current time.
            deadline: of the run, in seconds.

        Raises:
            OSError: the mark exists and can't be read.
        """
        connection.execute("UPDATE file SET deadline = max(deadline, ?)", (deadline,))
        file, mark = _file_of(connection), _read(self._original)
        reason = _why(self._original, file, mark)
        if reason is not None:
            since = [StaleSince(now, file.deadline)]
            if isinstance(mark, _Mark):
                # How much this journal and that of the mark have in common is not known.
                since = [StaleSince(mark.sent, max(mark.deadline, file.deadline))]
                since += [StaleSince(file.sent, file.deadline)] if file.sent is not None and file.name != mark.name else []
            connection.executemany("INSERT INTO stale VALUES (?, ?, ?, ?, ?)", [(*one.sent, one.deadline) for one in since])
            # A new name, so that restoring the same old file once more is noticed, too.
            connection.execute("UPDATE file SET name = ?", (secrets.token_hex(16),))
        self.stale = stale_since(connection)
        self.reason = reason or (_RECORDED if self.stale else None)
        self.is_due = True

    def intent(self, connection: sqlite3.Connection, now: Stamp) -> None:
        """Records that documents are about to be sent. Call it within the transaction that records which.

        Args:
            connection: of the journal.
            now: the current time.
        """
        connection.execute("UPDATE file SET intents = intents + 1, sent = ?, boot = ?, boot_id = ?, service = ?", now)
        self.is_due = True

    def committed(self, connection: sqlite3.Connection, guard: FileGuard) -> None:
        """Writes the mark if it is due. Call it after each commit.

        Args:
            connection: of the journal.
            guard: watches the mark from its first write on.

        Raises:
            OSError: the mark can't be written.
        """
        if not self.is_due:
            return
        # The write lock keeps other processes from writing the mark meanwhile: a mark never goes back.
        connection.execute("BEGIN IMMEDIATE")
        try:
            file, is_new = _file_of(connection), self._fd is None
            if self._fd is None:
                self._fd = os.open(f"{self._path}-mark", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
                status = os.stat(self._path)  # noqa: PTH116 - a text, not a Path
                self._place = (status.st_dev, status.st_ino, os.fstat(self._fd).st_ino)
            sent = file.sent if file.sent is not None else clock.stamp()
            mark = _Mark(file.name, file.intents, file.deadline, sent, *self._place, clock.boot_id())
            os.pwrite(self._fd, msgspec.json.encode(mark).ljust(_SIZE - 1) + b"\n", 0)
            if is_new:
                os.fsync(self._fd)
                sync_folder(self._path)
                guard.watch(f"{self._path}-mark")
        finally:
            connection.execute("ROLLBACK")
        self.is_due = False

    def close(self) -> None:
        """Closes the file of the mark."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


_NO_MARK: Final = "documents were sent with it, and it has no -mark file beside it: it was moved, or the mark was removed"
_NO_GOOD_MARK: Final = "its -mark file can't be read, or is a copy"
_OTHER_FILE: Final = "its -mark file belongs to another journal: the journal was copied or recreated, or the mark was replaced"
_RECORDED: Final = "an earlier run found it stale"


def _why(path: str, file: _File, mark: _Mark | bool) -> str | None:
    """Returns why a journal may not know everything that was sent, or None. `mark`: False if there is none, True if it is unusable."""
    if mark is False:
        return _NO_MARK if file.intents else None
    if mark is True:
        return _NO_GOOD_MARK
    try:
        status = os.stat(path)  # noqa: PTH116 - a text, not a Path
    except FileNotFoundError:
        # Of a journal that is not there, only the copy is.
        return _OTHER_FILE
    # Device numbers may change with each boot.
    same_device = mark.boot_id != clock.boot_id() or mark.device == status.st_dev
    if mark.name != file.name or mark.inode != status.st_ino or not same_device:
        return _OTHER_FILE
    if mark.intents > file.intents:
        return f"it is older than its -mark file: documents were sent {mark.intents} times, and it knows of {file.intents}"
    return None


def why_stale(connection: sqlite3.Connection, path: str) -> str | None:
    """Tells why a journal is stale, without changing anything.

    Args:
        connection: of the journal.
        path: of the journal.

    Returns:
        The reason, in words; None if it is not stale.

    Raises:
        OSError: the mark exists and can't be read.
    """
    file = _file_of(connection)
    return _why(path, file, _read(path)) or (_RECORDED if stale_since(connection) else None)


def stale_since(connection: sqlite3.Connection) -> list[StaleSince]:
    """Reads when documents that the journal does not know may have been sent.

    Args:
        connection: of the journal.

    Returns:
        The times, with the deadlines of their results; empty if the journal is not known to be stale.
    """
    rows = connection.execute("SELECT sent, boot, boot_id, service, deadline FROM stale")
    return [StaleSince(Stamp(*sent), deadline) for *sent, deadline in rows]


def adopt(connection: sqlite3.Connection) -> None:
    """Makes a journal count as up to date from now on, whatever its mark says.

    Call it within a transaction. Afterwards set `is_due` of a `JournalMark` and call its `committed`, which writes the new mark.

    Args:
        connection: of the journal.
    """
    connection.execute("DELETE FROM stale")
    connection.execute("UPDATE file SET name = ?", (secrets.token_hex(16),))


# --- the file ---------------------------------------------------------------------------------------------------------------


def _file_of(connection: sqlite3.Connection) -> _File:
    name, intents, deadline, *sent = connection.execute("SELECT name, intents, deadline, sent, boot, boot_id, service FROM file").fetchone()
    return _File(name, intents, deadline, Stamp(*sent) if sent[0] is not None else None)


def _read(path: str) -> _Mark | bool:
    """Returns the mark beside a journal; False if there is none, True if it is unreadable or a copy.

    Raises:
        OSError: it exists and can't be opened.
    """
    try:
        fd = os.open(f"{path}-mark", os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        status, text = os.fstat(fd), os.pread(fd, 2 * _SIZE, 0)
    finally:
        os.close(fd)
    try:
        mark = _DECODER.decode(text)
    except (msgspec.MsgspecError, ValueError):
        return True
    return mark if stat.S_ISREG(status.st_mode) and mark.own == status.st_ino else True
