"""The mark beside a journal, which shows a journal that is older than what was last written, or a copy: a stale one.

A journal can be put back from a backup, copied, removed and made anew, or lose its log; from within it nothing shows that. So each time
documents are about to leave, the mark gets the name of the journal's file, its place on the disk, and the number of such times; the journal
itself holds the same name and number. A journal that is behind its mark, or has another name or place than the mark says, or sent documents
and has no mark, does not know all that was sent.

The journal may be ahead of its mark: a crash may come between the two. The mark is on the disk from when it is made; later it is written
without waiting for the disk. A power cut can take it back to an earlier state, never the journal, so it is still no further than that.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import stat
from typing import Final, NamedTuple

import msgspec

from .... import clock
from ....clock import Stamp
from ....files import sync_folder
from ....sqlite.guard import FileGuard
from ..protocol import StaleSince

__all__ = ["SCHEMA", "JournalMark", "adopt", "stale_since", "why_stale"]

SCHEMA: Final = """
-- One row. name: of this file, at random; intents: how often documents were about to leave; deadline: the longest of a run of documents;
-- the others: when the last were about to leave, by the clocks of a Stamp. The mark beside the file says the same.
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
-- Rows where this file does not know all that was sent: when something of that may have left last, and how long its results may take.
CREATE TABLE stale (sent REAL NOT NULL, boot REAL, boot_id TEXT, service REAL, deadline REAL NOT NULL);
"""

_SIZE: Final = 512
"""Bytes of a mark: never more than a sector, so that a power cut leaves the old one or the new one."""


class _Mark(msgspec.Struct):
    """What a mark says.

    Attributes:
        name, intents, deadline, sent: as in the table `file`.
        device, inode: of the journal.
        own: inode of the mark, which shows a copy of it.
        boot_id: names the start of the machine at which it was written.
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


class JournalMark:
    """The mark of a journal during a run of documents.

    Args:
        path: of the journal.

    Attributes:
        stale: of a stale journal, when documents may have left of which it does not know; else empty.
        reason: why it is stale, or None.
        is_due: whether it has to be written after the next commit.
    """

    def __init__(self, path: str) -> None:
        self.stale: list[StaleSince] = []
        self.reason: str | None = None
        self.is_due = False
        self._path = path
        self._fd: int | None = None
        self._place = (0, 0, 0)

    def begin(self, connection: sqlite3.Connection, *, now: Stamp, deadline: float) -> None:
        """A run begins: finds out whether the journal is stale, and keeps that in it. Within a transaction."""
        connection.execute("UPDATE file SET deadline = max(deadline, ?)", (deadline,))
        file, mark = _file_of(connection), _read(self._path)
        reason = _why(self._path, file, mark)
        if reason is not None:
            since = [StaleSince(now, file.deadline)]
            if isinstance(mark, _Mark):
                # It is not known what of the mark's journal is in this one, nor what of this one is in that.
                since = [StaleSince(mark.sent, max(mark.deadline, file.deadline))]
                since += [StaleSince(file.sent, file.deadline)] if file.sent is not None and file.name != mark.name else []
            connection.executemany("INSERT INTO stale VALUES (?, ?, ?, ?, ?)", [(*one.sent, one.deadline) for one in since])
            # Whoever puts the same old file here once more is seen, too.
            connection.execute("UPDATE file SET name = ?", (secrets.token_hex(16),))
        self.stale = stale_since(connection)
        self.reason = reason or (_RECORDED if self.stale else None)
        self.is_due = True

    def intent(self, connection: sqlite3.Connection, now: Stamp) -> None:
        """Documents are about to leave. Within the transaction that says which."""
        connection.execute("UPDATE file SET intents = intents + 1, sent = ?, boot = ?, boot_id = ?, service = ?", now)
        self.is_due = True

    def committed(self, connection: sqlite3.Connection, guard: FileGuard) -> None:
        """What was begun, or is about to leave, is on the disk: the mark is written.

        Raises:
            OSError: it can't be.
        """
        if not self.is_due:
            return
        # Nobody else writes meanwhile: a mark never goes back.
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
        """Closes its file."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


_NO_MARK: Final = "documents were sent with it, and there is no mark beside it: it was moved, or the mark was removed"
_NO_GOOD_MARK: Final = "the mark beside it can't be read, or is a copy"
_OTHER_FILE: Final = "the mark beside it is that of another file: it is a copy or was made anew, or the mark is not its own"
_RECORDED: Final = "an earlier run found it so"


def _why(path: str, file: _File, mark: _Mark | bool) -> str | None:
    """Why a journal does not know all that was sent, or None. `mark`: False where there is none, True where it says nothing."""
    if mark is False:
        return _NO_MARK if file.intents else None
    if mark is True:
        return _NO_GOOD_MARK
    status = os.stat(path)  # noqa: PTH116 - a text, not a Path
    # The number of a device may be another one after each start of the machine.
    same_device = mark.boot_id != clock.boot_id() or mark.device == status.st_dev
    if mark.name != file.name or mark.inode != status.st_ino or not same_device:
        return _OTHER_FILE
    if mark.intents > file.intents:
        return f"it is older than its mark: documents left {mark.intents} times, and it knows of {file.intents}"
    return None


def why_stale(connection: sqlite3.Connection, path: str) -> str | None:
    """Why a journal is stale, or None. Nothing is changed."""
    file = _file_of(connection)
    return _why(path, file, _read(path)) or (_RECORDED if stale_since(connection) else None)


def stale_since(connection: sqlite3.Connection) -> list[StaleSince]:
    """When documents may have left of which a journal does not know; empty where it is not known to be stale."""
    rows = connection.execute("SELECT sent, boot, boot_id, service, deadline FROM stale")
    return [StaleSince(Stamp(*sent), deadline) for *sent, deadline in rows]


def adopt(connection: sqlite3.Connection) -> None:
    """Takes a journal for the right one from now on, whatever its mark says. Within a transaction; after that, `committed` of a
    `JournalMark` whose mark is due writes it."""
    connection.execute("DELETE FROM stale")
    connection.execute("UPDATE file SET name = ?", (secrets.token_hex(16),))


# --- the file ---------------------------------------------------------------------------------------------------------------


def _file_of(connection: sqlite3.Connection) -> _File:
    name, intents, deadline, *sent = connection.execute("SELECT name, intents, deadline, sent, boot, boot_id, service FROM file").fetchone()
    return _File(name, intents, deadline, Stamp(*sent) if sent[0] is not None else None)


def _read(path: str) -> _Mark | bool:
    """The mark beside a journal; False where there is none, True where it can't be read or is a copy.

    Raises:
        OSError: it is there, and may not be read.
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
