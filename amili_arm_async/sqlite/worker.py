"""The thread that does all work on a file of SQLite."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from typing import Any

from ..database.worker import DatabaseWorker, Work
from ..errors import ArmError
from .file import broken
from .guard import FileGuard

__all__ = ["SqliteWorker"]


class SqliteWorker(DatabaseWorker):
    """Does work on a connection that no other thread uses.

    A failure of the disk or of SQLite is final, and so is a file that was removed or replaced: the current transaction is rolled back, and
    all later work is refused.

    Args:
        path: of the file, for error messages.
        open: opens the connection; called with the `FileGuard` to use as `guard`.
        closed: called in the thread once the connection is closed, for whatever reason.
        word: what error messages call the file.
        committed: called in the thread after each commit, before the callers learn of it.
    """

    def __init__(
        self,
        path: str,
        open: Callable[..., sqlite3.Connection],
        closed: Callable[[], None],
        word: str,
        *,
        committed: Callable[[sqlite3.Connection, FileGuard], None] | None = None,
    ) -> None:
        super().__init__(closed)
        self._word = word
        self._path = path
        self._open = open
        self._guard = FileGuard(path, word)
        self._committed = committed
        # Each statement costs a turn at the GIL, for which a busy event loop can make it wait for some milliseconds.
        self._is_durable: bool | None = None

    def _connect(self) -> sqlite3.Connection:
        return self._open(guard=self._guard)

    def _disconnect(self, connection: sqlite3.Connection) -> None:
        with contextlib.suppress(sqlite3.Error):
            connection.close()

    def _error(self, failure: Exception) -> ArmError:
        return failure if isinstance(failure, ArmError) else broken(self._path, failure, self._word)

    def _transact(self, durable: bool, works: list[Work], connection: sqlite3.Connection) -> list[Any]:
        try:
            if durable is not self._is_durable:
                connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
                self._is_durable = durable
            if not works[0].alone:
                connection.execute("BEGIN IMMEDIATE")
            results = [work.do(connection) for work in works]
            if not works[0].alone:
                connection.execute("COMMIT")
            # A commit to a file that was removed or replaced is lost.
            self._guard.check()
            if self._committed is not None:
                self._committed(connection, self._guard)
        except Exception:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise
        return results
