"""The thread that does all work on a database of PostgreSQL."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ..database.worker import DatabaseWorker, Work
from ..errors import ArmError
from .connection import BEAT, Patience, PostgresConnection
from .driver import broken
from .lease import give_back

if TYPE_CHECKING:
    from ..database.url import DatabaseUrl
    from .owner import Owner

__all__ = ["Later", "PostgresWorker"]


class Later(NamedTuple):
    """What work returns whose result is read after all work of its transaction was done: so the statements of all are sent together.

    Attributes:
        read: reads it.
    """

    read: Callable[[], Any]


_ALONG: Final = 250_000


class PostgresWorker(DatabaseWorker):
    """Does work on a connection that no other thread uses, each piece in a fenced transaction.

    Args:
        url: of the database, for error messages.
        open: opens the connection and takes what this process owns.
        closed: called in the thread once the connection is closed, for whatever reason.
        word: what error messages call what is kept there.
        patience: how long to wait for a database that is away.
    """

    along = _ALONG

    def __init__(
        self,
        url: DatabaseUrl,
        open: Callable[[], tuple[PostgresConnection, Owner | None]],
        closed: Callable[[], None],
        word: str,
        patience: Patience,
    ) -> None:
        super().__init__(closed)
        self._url = url
        self._word = word
        self._open = open
        self._patience = patience
        self._owner: Owner | None = None
        self._connection: PostgresConnection | None = None

    @property
    def may_be_lost(self) -> bool:  # type: ignore[override]
        """See `DatabaseWorker`."""
        return self.failure is not None or (self._connection is not None and self._connection.may_be_lost)

    def finish(self) -> None:
        """Makes the thread do the remaining work, close the connection and end; it waits for no database that is away any more."""
        super().finish()
        self._patience.end()

    def _connect(self) -> PostgresConnection:
        connection, self._owner = self._open()
        self.idle = connection.lease * BEAT
        self._connection = connection
        return connection

    def _disconnect(self, connection: PostgresConnection) -> None:
        if self._owner is not None:
            # Where the database is away, the lease ends by itself.
            with contextlib.suppress(Exception):
                give_back(connection, self._owner)
        connection.close()

    def _error(self, failure: Exception) -> ArmError:
        return failure if isinstance(failure, ArmError) else broken(self._url, failure, self._word)

    def _transact(self, durable: bool, works: list[Work], connection: PostgresConnection) -> list[Any]:
        if works[0].alone:
            return [work.do(connection) for work in works]
        with connection.transaction():
            results = [work.do(connection) for work in works]
            return [result.read() if isinstance(result, Later) else result for result in results]

    def _beat(self, connection: PostgresConnection) -> None:
        if connection.fence is not None:
            connection.beat()
