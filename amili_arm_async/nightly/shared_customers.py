"""The customers of a night in parts: one process sends all of them, and the documents of every part wait for that.

Which process is a row in the journal's database, with an owner, an epoch and a lease, as for a part of a run. When they were sent to their
end, those that did not succeed are in the database, too, so that every part blocks the documents of all of them.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import anyio
import msgspec

from .. import log
from ..bulk.journal.postgres.shared import is_begun
from ..bulk.journal.postgres.store import note_change
from ..errors import ArmError, ConfigurationError
from ..postgres.connection import BEAT, LEASE, Patience, PostgresConnection
from ..postgres.lease import give_back, is_owned, try_take
from ..postgres.schema import prepare_schema
from ..postgres.worker import PostgresWorker
from .blocked import FailedCustomers
from .report import Part
from .shared_report import CustomersOfNight, PartSums

if TYPE_CHECKING:
    from ..bulk.journal.run_key import RunKey
    from ..database.url import DatabaseUrl
    from ..postgres.owner import Owner

__all__ = [
    "SharedCustomers",
    "check_customers",
    "customers_in",
    "failed_customers",
    "read_customers",
    "read_nights",
    "times_sent",
]

_WORD: Final = "journal"

_LOOK: Final = 0.5
"""Seconds between two looks at what another process does."""

_AT_ONCE: Final = 10_000

_PART: Final = 1
"""Of the row that says who sends the customers. Part 0 of a negative run is a state."""

_OF_PART: Final = """SELECT report FROM reports JOIN runs ON runs.id = run
WHERE runs.run_id = ? AND operation = ? AND client_no = ? AND complete ORDER BY attempt DESC LIMIT 1"""


class _Night(NamedTuple):
    """A row of `nights`.

    Attributes:
        id: of the row.
        sent: how often the customers were sent to their end.
        epoch: of the process that did it the last time.
        failed: how often they could not be.
        error: why, the last time.
    """

    id: int
    sent: int
    epoch: int
    failed: int
    error: str | None


class SharedCustomers:
    """Waits until the customers of a night in parts were sent, or until it is the turn of this process to send them.

    They are sent anew where this part was sent to its end before: the night is repeated then, to send what failed.

    ```python
    async with customers:
        if customers.failed is None:
            ...  # send them
            await customers.sent(failed, report)
    ```

    Args:
        url: of the database.
        key: of the documents of the night.
        part_name: the name of this part in the journal.
        patience: seconds to wait for a database that is away.
        lease: seconds for which this process has its turn after each sign of life.
        used: how often they had been sent when this night was begun or repeated; None: as this part of the run has recorded.
        may_send: whether this process can send them; else it only waits for the one that does.

    Attributes:
        failed: the customers that did not succeed; None while it is the turn of this process to send them.
        times: how often the customers were sent to their end, so far.
    """

    def __init__(
        self,
        url: DatabaseUrl,
        *,
        key: RunKey,
        part_name: str,
        patience: float,
        lease: float = LEASE,
        used: int | None = None,
        may_send: bool = True,
    ) -> None:
        self.failed: FailedCustomers | None = None
        self.times = 0
        self._url = url
        self._key = key
        self._part = (part_name, key.operation, key.client_no)
        self._patience = Patience(patience)
        self._lease = lease
        self._used = used
        self._may_send = may_send
        self._night: _Night | None = None
        self._thread: PostgresWorker | None = None

    async def __aenter__(self) -> SharedCustomers:
        thread = PostgresWorker(self._url, self._open, lambda: None, _WORD, self._patience)
        try:
            await thread.start()
        except BaseException:
            # It may be waiting for another process.
            thread.finish()
            raise
        self._thread = thread
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        thread, self._thread = self._thread, None
        assert thread is not None
        # A signal does not keep other processes from sending them; what they would meet, too, does.
        if self.failed is None and isinstance(error, ArmError) and thread.failure is None:
            thread.put_urgent(partial(self._write_failure, text=str(error)))
        with anyio.CancelScope(shield=True):
            await thread.close()

    async def sent(self, failed: FailedCustomers, report: Part) -> None:
        """Records that the customers were sent to their end: from now on, the documents of all parts may be.

        Args:
            failed: those that did not succeed.
            report: of the customers.

        Raises:
            JournalError: the database can't be used any more, or another process has taken over.
        """
        assert self._thread is not None
        names = failed.names()
        while some := list(islice(names, _AT_ONCE)):
            await self._thread.call(partial(self._write_names, names=some))
        await self._thread.call_urgent(partial(self._write_end, report=msgspec.json.encode(report)))
        self.failed = failed

    # --- in the thread ----------------------------------------------------------------------------------------------------

    def _open(self) -> tuple[PostgresConnection, Owner | None]:
        prepare_schema(self._url, _WORD)
        connection = PostgresConnection(self._url, _WORD, patience=self._patience, lease=self._lease)
        try:
            connection.identify()
            return connection, self._wait(connection)
        except BaseException:
            connection.close()
            raise

    def _wait(self, connection: PostgresConnection) -> Owner | None:
        """Returns the name of this process where it has its turn; None where the customers were sent."""
        patiently, read = connection.patiently, partial(self._read, connection)
        patiently(partial(self._enter, connection))
        used, first = patiently(partial(self._times_used, connection)), patiently(read)
        has_told = False
        while True:
            night = patiently(read)
            if night.sent > used:
                patiently(partial(self._take_in, connection))
                return None
            if night.failed > first.failed:
                raise ArmError(f"another process could not send the customers, so no documents are sent: {night.error}")
            owner = self._take_turn(connection, night)
            if owner is not None and self._read(connection) == night:
                self._night, self.times = night, night.sent + 1
                return owner
            if owner is not None:
                # Another one was faster, and has ended.
                give_back(connection, owner)
                continue
            if not has_told:
                has_told = True
                log.info("another process sends the customers of this night: this one waits for that")
            if not self._patience.wait(min(_LOOK, self._lease * BEAT)):
                raise ArmError("the wait for the customers was ended")

    def _take_turn(self, connection: PostgresConnection, night: _Night) -> Owner | None:
        """Returns the name of this process where nobody sends the customers now; None where it has to wait."""
        if self._may_send:
            return try_take(connection, -night.id, _PART, token=secrets.token_hex(8))
        is_sent = connection.patiently(partial(is_owned, connection, -night.id, _PART))
        if not is_sent and connection.patiently(partial(self._read, connection)) == night:
            raise _not_sent(self._key, night)
        return None

    def _enter(self, connection: PostgresConnection) -> None:
        """Notes that the night has customers, before its first document can be sent."""
        key = self._key
        with connection.transaction():
            if _find(connection, key) is not None:
                return
            # Whoever begins a part locks it, too: of the two, the second one sees the first.
            note_change(connection, key.operation, key.client_no, key.base_url)
            if is_begun(connection, key):
                raise ConfigurationError(
                    f"the documents of the run {key.run_id!r} of this journal were begun without customers, so some may have been sent "
                    "already: send the customers by themselves, or with another run_id"
                )
            values = (key.run_id, key.client_no, key.base_url)
            statement = "INSERT INTO nights (run_id, client_no, base_url, started) VALUES (?, ?, ?, extract(epoch FROM clock_timestamp()))"
            connection.execute(f"{statement} ON CONFLICT DO NOTHING", values)

    def _times_used(self, connection: PostgresConnection) -> int:
        """Returns which sending of the customers this part relied on when it was sent to its end; 0 where it was not yet."""
        if self._used is not None:
            return self._used
        row = connection.execute(_OF_PART, self._part).fetchone()
        return msgspec.json.decode(row[0], type=PartSums).customers if row is not None else 0

    def _read(self, connection: PostgresConnection) -> _Night:
        night = _find(connection, self._key)
        assert night is not None
        return night

    def _take_in(self, connection: PostgresConnection) -> None:
        """Reads the customers that did not succeed."""
        failed = FailedCustomers()
        # A later sending removes those of an earlier one: all are read as they are at one time.
        with connection.transaction(reads=True):
            night = self._read(connection)
            failed.restore(_names(connection, night))
        self.failed, self.times = failed, night.sent

    def _write_names(self, connection: Any, names: list[str]) -> None:
        # They are written in many transactions, and count when that of the end is committed: until then, they are those of an epoch that
        # no reader asks for, also where this process dies and another one sends the customers.
        assert self._night is not None
        rows = [name.encode("utf-8", "surrogatepass") for name in names]
        statement = "INSERT INTO failed_customers (night, epoch, name) SELECT ?, ?, unnest(?::bytea[]) ON CONFLICT DO NOTHING"
        connection.execute(statement, (self._night.id, connection.fence.epoch, rows))

    def _write_end(self, connection: Any, report: bytes) -> None:
        assert self._night is not None
        night, epoch = self._night.id, connection.fence.epoch
        connection.execute("DELETE FROM failed_customers WHERE night = ? AND epoch <> ?", (night, epoch))
        values = (self.times, epoch, report, night)
        connection.execute("UPDATE nights SET sent = ?, epoch = ?, error = NULL, report = ? WHERE id = ?", values)

    def _write_failure(self, connection: Any, text: str) -> None:
        assert self._night is not None
        connection.execute("UPDATE nights SET failed = failed + 1, error = ? WHERE id = ?", (text, self._night.id))


def _find(connection: PostgresConnection, key: RunKey) -> _Night | None:
    """Finds a night in parts that has customers."""
    query = "SELECT base_url, id, sent, epoch, failed, error FROM nights WHERE run_id = ? AND client_no = ?"
    row = connection.execute(query, (key.run_id, key.client_no)).fetchone()
    if row is None:
        return None
    base_url, *rest = row
    if base_url != key.base_url:
        raise ConfigurationError(
            f"the customers of the run {key.run_id!r} of this journal were sent with base_url {base_url}, and now base_url is "
            f"{key.base_url}: use another run_id or another journal"
        )
    return _Night(*rest)


def _names(connection: PostgresConnection, night: _Night) -> Iterator[str]:
    last = b""
    query = "SELECT name FROM failed_customers WHERE night = ? AND epoch = ? AND name > ? ORDER BY name LIMIT ?"
    while rows := connection.execute(query, (night.id, night.epoch, last, _AT_ONCE)).fetchall():
        yield from (bytes(name).decode("utf-8", "surrogatepass") for (name,) in rows)
        last = bytes(rows[-1][0])


def times_sent(url: DatabaseUrl, key: RunKey) -> int | None:
    """Returns how often the customers of a night in parts were sent to their end; None where no night of this name sends customers.

    Args:
        url: of the database.
        key: of the documents of the night.

    Raises:
        ConfigurationError: they were sent to another address.
        JournalError: the database can't be used.
    """
    with closing(PostgresConnection(url, _WORD)) as connection:
        night = _find(connection, key)
    return night.sent if night is not None else None


def failed_customers(url: DatabaseUrl, key: RunKey) -> tuple[FailedCustomers, int] | None:
    """Reads the customers of a night in parts that did not succeed when they were sent last. It blocks.

    Args:
        url: of the database.
        key: of the documents of the night.

    Returns:
        These customers, and how often they were sent to their end; None where no night of this name sends customers.

    Raises:
        ArmError: they were not sent to their end yet.
        ConfigurationError: they were sent to another address.
        JournalError: the database can't be used.
    """
    failed = FailedCustomers()
    with closing(PostgresConnection(url, _WORD)) as connection, connection.transaction(reads=True):
        night = _find(connection, key)
        if night is None:
            return None
        if not night.sent:
            raise _not_sent(key, night)
        failed.restore(_names(connection, night))
    return failed, night.sent


def check_customers(url: DatabaseUrl, key: RunKey) -> None:
    """Refuses to send documents whose customers were not sent to their end yet. It blocks.

    Args:
        url: of the database.
        key: of the documents of the night.

    Raises:
        ArmError: they were not.
        ConfigurationError: they were sent to another address.
        JournalError: the database can't be used.
    """
    with closing(PostgresConnection(url, _WORD)) as connection:
        night = _find(connection, key)
    if night is not None and not night.sent:
        raise _not_sent(key, night)


def _not_sent(key: RunKey, night: _Night) -> ArmError:
    why = f" ({night.error})" if night.error else ""
    return ArmError(f"the customers of the run {key.run_id!r} were not sent to their end{why}, so no documents are sent: send them first")


def read_customers(url: DatabaseUrl, key: RunKey) -> CustomersOfNight | None:
    """Reads what is known of the customers of a night in parts. It blocks.

    Args:
        url: of the database.
        key: of the documents of the night.

    Returns:
        What is known; None where no night of this name sends customers.

    Raises:
        ConfigurationError: they were sent to another address.
        JournalError: the database can't be used.
    """
    with closing(PostgresConnection(url, _WORD)) as connection:
        return customers_in(connection, key)


def customers_in(connection: PostgresConnection, key: RunKey) -> CustomersOfNight | None:
    """Reads what is known of the customers of a night in parts, for who reads more in the same transaction. See `read_customers`.

    Args:
        connection: to the database.
        key: of the documents of the night.

    Returns:
        What is known; None where no night of this name sends customers.

    Raises:
        ConfigurationError: they were sent to another address.
    """
    if _find(connection, key) is None:
        return None
    name = (key.run_id, key.client_no, key.base_url)
    return _read_nights(connection, " WHERE run_id = ? AND client_no = ? AND base_url = ?", name).get(name)


def read_nights(url: DatabaseUrl) -> dict[tuple[str, int, str], CustomersOfNight]:
    """Reads what is known of the customers of all nights in parts. It blocks.

    Args:
        url: of the database.

    Returns:
        What is known, by the name of the night, the client number and the address; the oldest night first.

    Raises:
        JournalError: the database can't be used.
    """
    with closing(PostgresConnection(url, _WORD)) as connection:
        return _read_nights(connection)


def _read_nights(
    connection: PostgresConnection, where: str = "", parameters: tuple[object, ...] = ()
) -> dict[tuple[str, int, str], CustomersOfNight]:
    query = f"SELECT run_id, client_no, base_url, id, started, report, error FROM nights{where} ORDER BY id"  # noqa: S608 - our own words
    return {
        (run_id, client_no, base_url): CustomersOfNight(
            started, msgspec.json.decode(report, type=Part) if report is not None else None, error, is_owned(connection, -night, _PART)
        )
        for run_id, client_no, base_url, night, started, report, error in connection.execute(query, parameters).fetchall()
    }
