"""The bodies that operations other than those of customers and documents were sent: what a test asks about them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from .. import endpoints
from . import processing
from .serving import on_server

if TYPE_CHECKING:
    from collections.abc import Callable

    from .controls import Call
    from .store import Store

RECORDED_OPERATIONS: Final = (
    "actions.create",
    "actions.create_report",
    "ar_items.update",
    "auto_postings.create",
    "files.upload",
    "payment_reservations.create",
)
"""The operations whose bodies are kept."""
_KEPT: Final = 1000
_SCHEMA = """
CREATE TABLE received (
    operation TEXT NOT NULL, number INTEGER NOT NULL, client INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (operation, number)) WITHOUT ROWID;
"""


class Received:
    """Counts every body, and keeps the last 1000 of each operation that were taken."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sql = store.sql
        self._sql.executescript(_SCHEMA).close()
        self._numbers: Counter[str] = Counter()

    def note(self, operation: str, client: int, body: bytes, *, taken: bool) -> None:
        """Counts one delivery of a body, and one taking if `taken`."""
        self._store.count(operation, client, ("",), taken=taken)
        if taken:
            self._numbers[operation] += 1
            number = self._numbers[operation]
            self._sql.execute("INSERT INTO received VALUES (?, ?, ?, ?)", (operation, number, client, body))
            self._sql.execute("DELETE FROM received WHERE operation = ? AND number <= ?", (operation, number - _KEPT))

    def counts(self, operation: str, client: int | None) -> tuple[int, int]:
        """Returns how many bodies were delivered and taken."""
        return self._store.seen(operation, "", client)

    def bodies(self, operation: str, client: int | None) -> list[Any]:
        """Returns those of the last 1000 taken bodies that are of one client, or all, in the order they were taken."""
        sql = "SELECT body FROM received WHERE operation = ? AND (? IS NULL OR client = ?) ORDER BY number"
        return [processing.decode(row[0]) for row in self._sql.execute(sql, (operation, client, client))]


class ReceivedView:
    """A live view of the bodies that one operation was sent."""

    def __init__(self, operation: str, received: Callable[[], Received], call: Call) -> None:
        if operation not in RECORDED_OPERATIONS:
            what = "no bodies are kept of" if operation in endpoints.OPERATIONS else "no such operation:"
            raise ValueError(f"{what} {operation}; there are {', '.join(RECORDED_OPERATIONS)}")
        self._operation = operation
        self._received = received
        self._call = call

    @on_server
    def delivered(self, client_no: int | None = None) -> int:
        """Returns the number of complete bodies that arrived, whatever the answer was.

        Args:
            client_no: the client number. Default None: all clients together.

        Returns:
            The number of bodies.
        """
        return self._received().counts(self._operation, client_no)[0]

    @on_server
    def taken(self, client_no: int | None = None) -> int:
        """Counts the bodies that were accepted: what they asked for was done.

        Args:
            client_no: the client number. Default None: all clients together.

        Returns:
            The number of bodies.
        """
        return self._received().counts(self._operation, client_no)[1]

    @on_server
    def bodies(self, client_no: int | None = None) -> list[Any]:
        """Returns the bodies that were accepted.

        Args:
            client_no: the client number. Default None: all clients together.

        Returns:
            The parsed bodies in order of arrival, of the last 1000 of this operation.
        """
        return self._received().bodies(self._operation, client_no)
