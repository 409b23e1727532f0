"""One connection to a database of PostgreSQL, with statements written as for SQLite, and transactions that survive a lost connection.

A process owns a part of a run by a row with its epoch and a lease. Each transaction begins with one statement that changes this row where
the epoch is still its own: so what follows is written by the owner or by nobody. The row counts these transactions, too. Where a
connection is lost, the count tells whether the transaction was committed; if not, its statements are repeated in a new one. Where the
count is behind, commits were lost, as when a standby that lagged was promoted: then nothing more is written.

Nothing is kept in the session, so that a pooler may give every transaction another connection: no prepared statements, no settings but
those of a transaction, no temporary tables, no locks but those of a transaction.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import count
from threading import Event
from typing import TYPE_CHECKING, Any, Final

import msgspec

from .. import clock, log
from ..errors import JournalError
from .driver import broken, connect, passes

if TYPE_CHECKING:
    from ..database.url import DatabaseUrl

__all__ = ["BEAT", "LEASE", "STATEMENT", "TIMELINE", "Fence", "Patience", "PostgresConnection"]

LEASE: Final = 60.0
"""Seconds for which a process owns a part of a run after each of its transactions, by the clock of the database."""

BEAT: Final = 1 / 6
"""The share of a lease after which it is renewed where there was no transaction."""

STATEMENT: Final = 1 / 2
"""The share of a lease that a statement may take."""

_LONGEST: Final = 1.5
"""How much longer than a statement may take its answer is waited for: a server that hangs ends no statement."""

_LOCK: Final = 10.0

_DELAYS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0)
"""Seconds to wait before each attempt to connect again; the last one repeats."""

_SETTINGS: Final = (
    "SET LOCAL search_path TO amili_arm, pg_temp; SET LOCAL lock_timeout TO {lock}; SET LOCAL statement_timeout TO {statement};"
    # A process that was stopped must not hold its locks for good.
    " SET LOCAL idle_in_transaction_session_timeout TO {lease}"
)
_WRITING: Final = f"BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL synchronous_commit TO on; {_SETTINGS}"
_READING: Final = f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {_SETTINGS}"

_FENCE: Final = """UPDATE parts SET writes = writes + 1, lease_until = clock_timestamp() + %s * interval '1 second'
WHERE run = %s AND part = %s AND epoch = %s AND writes = %s"""

TIMELINE: Final = "substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)"
"""Grows by one with each promotion of a standby, and each restored backup."""

_VALUES: Final = re.compile(r"(.*\bVALUES )(\([?, ]*\))(.*)", re.DOTALL)
_ROWS_AT_ONCE: Final = 1000

_ESCAPED: Final = re.compile("\ue000[\ue001\ue002]")


class Patience:
    """How long to wait for a database that is away; may be changed by another thread while somebody waits.

    Args:
        seconds: how long.

    Attributes:
        seconds: how long.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._is_over = Event()

    def end(self) -> None:
        """Ends all waiting, now and later."""
        self._is_over.set()

    def wait(self, seconds: float) -> bool:
        """Waits; returns False where waiting was ended.

        Args:
            seconds: how long.
        """
        return not self._is_over.wait(seconds)


class Fence(msgspec.Struct):
    """A part of a run that this process owns.

    Attributes:
        run, part: which.
        epoch: counts its owners.
        writes: counts the transactions of this epoch.
    """

    run: int
    part: int
    epoch: int
    writes: int


class PostgresConnection:
    """A connection that the functions of the journal use like one of SQLite.

    Args:
        url: of the database.
        word: what error messages call what is kept there.
        patience: how long a fenced transaction waits for a database that is away.
        lease: seconds for which a part is owned after each transaction.
        statement: seconds that a statement may take. Default: half of the lease.

    Attributes:
        fence: what every transaction changes first; None: nothing.
        lease: seconds for which a part is owned after each transaction.
        server: which database it is, once `identify` was called: its system identifier and its timeline; None where it does not tell.
    """

    def __init__(
        self, url: DatabaseUrl, word: str, *, patience: Patience | None = None, lease: float = LEASE, statement: float | None = None
    ) -> None:
        self.fence: Fence | None = None
        self.server: str | None = None
        self._url = url
        self._word = word
        self._patience = patience if patience is not None else Patience(0.0)
        self._is_fenced = self._reads = False
        self.lease = lease
        statement = statement if statement is not None else lease * STATEMENT
        self._settings = {"statement": int(statement * 1000), "lock": int(min(_LOCK, statement) * 1000), "lease": int(lease * 1000)}
        self._longest = statement * _LONGEST
        self._beaten = clock.monotonic()
        self._is_open = False
        # The statements of the transaction that wrote something, with the rows that they must return again.
        self._written: list[tuple[str, Sequence[Any], Any]] = []
        try:
            self._raw = connect(url, self._longest)
        except Exception as exc:
            if isinstance(exc, ValueError):
                raise
            raise broken(url, exc, word) from exc

    # --- statements -------------------------------------------------------------------------------------------------------

    def execute(self, statement: str, values: Sequence[Any] = ()) -> Any:
        """Executes a statement; outside of a transaction, in one of its own.

        Args:
            statement: SQL with a question mark for each value.
            values: the values.

        Returns:
            A cursor with all rows of the answer.
        """
        if not self._is_open:
            return self._alone(statement, values)
        cursor = self._repeatedly(statement, values)
        if not statement.startswith("SELECT"):
            self._written.append((statement, values, None))
        return cursor

    def execute_alike(self, statement: str, values: Sequence[Any] = ()) -> Any:
        """Executes a statement whose answer depends on what others wrote: where the transaction is repeated, it must be the same.

        Args:
            statement: SQL that returns one row.
            values: the values.

        Returns:
            That row.
        """
        assert self._is_open
        row = self._repeatedly(statement, values).fetchone()
        self._written.append((statement, values, row))
        return row

    def executemany(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        """Executes a statement for many rows: an INSERT with many at a time.

        Args:
            statement: SQL with a question mark for each value.
            rows: their values.
        """
        rows = list(rows)
        many = _VALUES.fullmatch(statement)
        if many is None:
            for row in rows:
                self.execute(statement, row)
            return
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            some = rows[start : start + _ROWS_AT_ONCE]
            self.execute(f"{many[1]}{', '.join([many[2]] * len(some))}{many[3]}", [value for row in some for value in row])

    def _alone(self, statement: str, values: Sequence[Any]) -> Any:
        if self.fence is not None and clock.monotonic() - self._beaten > self.lease * BEAT:
            self.beat()
        self.begin(fenced=False)
        try:
            cursor = self.execute(statement, values)
            self.commit()
        except BaseException:
            self.rollback()
            raise
        return cursor

    def _repeatedly(self, statement: str, values: Sequence[Any]) -> Any:
        while True:
            try:
                return self._send(statement, values)
            except Exception as exc:
                self._again(exc)

    def _send(self, statement: str, values: Sequence[Any]) -> _Answer | Any:
        cursor = self._raw.execute(_translated(statement), [_escaped(value) for value in values], binary=True)
        return _Answer(cursor)

    # --- transactions -----------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def transaction(self, *, reads: bool = False) -> Iterator[PostgresConnection]:
        """A transaction, which is committed unless something is raised.

        Args:
            reads: whether it only reads, all as of one moment.

        Yields:
            This connection.
        """
        self.begin(reads=reads)
        try:
            yield self
            self.commit()
        except BaseException:
            self.rollback()
            raise

    def begin(self, *, fenced: bool = True, reads: bool = False) -> None:
        """Begins a transaction, with the fence where there is one.

        Args:
            fenced: whether to change the fence.
            reads: whether it only reads, all as of one moment.

        Raises:
            JournalError: this process owns the run no longer, or the database lost what it had committed.
        """
        self._written.clear()
        self._is_open = True
        self._is_fenced = fenced and self.fence is not None and not reads
        self._reads = reads
        try:
            self._begin()
        except Exception as exc:
            self._again(exc)

    def _begin(self) -> None:
        self._raw.execute((_READING if self._reads else _WRITING).format(**self._settings))
        if self._is_fenced:
            assert self.fence is not None
            run, part, epoch, writes = msgspec.structs.astuple(self.fence)
            if self._raw.execute(_FENCE, (self.lease, run, part, epoch, writes)).rowcount != 1:
                raise self._fenced_off()

    def commit(self) -> None:
        """Commits the transaction: it is durable when this returns.

        Raises:
            JournalError: it can't be committed, or it is not known whether it was.
        """
        try:
            self._raw.execute("COMMIT")
        except Exception as exc:
            self._again(exc, committing=True)
        self._is_open = False
        if self._is_fenced and self.fence is not None:
            self.fence.writes += 1
            self._beaten = clock.monotonic()

    def rollback(self) -> None:
        """Undoes the transaction, if one is open; never raises."""
        self._is_open = False
        with contextlib.suppress(Exception):
            if not self._raw.closed:
                self._raw.execute("ROLLBACK")

    def beat(self) -> None:
        """Renews the lease.

        Raises:
            JournalError: this process owns the run no longer.
        """
        with self.transaction():
            pass

    def identify(self) -> None:
        """Finds out which database it is; from now on another one is refused, as after a standby was promoted."""
        try:
            self.server = _server(self._raw)
        except Exception as exc:
            if passes(exc):
                raise broken(self._url, exc, self._word) from exc
            log.warning(
                "the database does not say which one it is: whether a standby was promoted that lacks commits can't be noticed",
                path=str(self._url),
            )

    def close(self) -> None:
        """Closes the connection; never raises."""
        with contextlib.suppress(Exception):
            self._raw.close()

    # --- a database that is away ------------------------------------------------------------------------------------------

    def _again(self, failure: Exception, *, committing: bool = False) -> None:
        """After a failure that may pass: waits, connects, and brings the transaction to where it was; else raises."""
        since = clock.monotonic()
        for number in count():
            if not passes(failure):
                raise failure if isinstance(failure, JournalError) else broken(self._url, failure, self._word) from failure
            if not self._is_fenced and self.fence is None:
                raise broken(self._url, failure, self._word) from failure
            waited = clock.monotonic() - since
            if waited >= self._patience.seconds or not self._patience.wait(_DELAYS[min(number, len(_DELAYS) - 1)]):
                hint = f"This process waited {waited:.0f} s for it. Nothing more is sent; run again with the same run id"
                raise broken(self._url, failure, self._word, hint) from failure
            try:
                self._restart(committing=committing)
            except Exception as exc:  # whatever it is, it is judged above
                failure = exc
            else:
                return

    def _restart(self, *, committing: bool) -> None:
        # What is left of the old connection may hold locks until the server notices.
        self.close()
        self._raw = connect(self._url, self._longest)
        if self.server is not None and _server(self._raw) != self.server:
            raise self.lost()
        try:
            self._begin()
        except _CommittedBefore:
            if not committing:
                raise self.lost() from None
            self._raw.execute("ROLLBACK")
            return
        for statement, values, expected in self._written:
            answer = self._send(statement, values)
            if expected is not None and answer.fetchone() != expected:
                raise JournalError(
                    f"the connection to {self._url} was lost while another run wrote there, so that what was about to be recorded is "
                    "outdated. Nothing more is sent; run again with the same run id"
                )
        if committing:
            self._raw.execute("COMMIT")

    def _fenced_off(self) -> JournalError:
        """Returns why the fence did not hold; raises `_CommittedBefore` where the transaction that begins was committed before."""
        assert self.fence is not None
        query = "SELECT epoch, writes FROM parts WHERE run = %s AND part = %s"
        row = self._raw.execute(query, (self.fence.run, self.fence.part)).fetchone()
        if row == (self.fence.epoch, self.fence.writes + 1):
            raise _CommittedBefore
        if row is not None and row[0] > self.fence.epoch:
            return JournalError(
                f"another process has taken over what this one was doing with the {self._word} {self._url}: nothing more is sent from "
                "here. Was this process, or its machine, suspended?"
            )
        return self.lost()

    def lost(self) -> JournalError:
        """Returns the error for a database that may not know all that it had committed."""
        return JournalError(
            f"the database of the {self._word} {self._url} has lost what it had committed: was a standby promoted, or a backup restored? "
            "Nothing more is sent. Run again with the same run id: what it does not know is looked up"
        )


def _server(raw: Any) -> str:
    # The timeline of the last checkpoint may be that before a promotion; that of the log is not.
    row = raw.execute(f"SELECT system_identifier::text, {TIMELINE} FROM pg_control_system()").fetchone()  # noqa: S608 - our own words
    assert row is not None
    return f"{row[0]}:{row[1]}"


class _CommittedBefore(Exception):  # noqa: N818 - it is no error
    """The transaction that is begun again was committed before."""


class _Answer:
    """The rows of an answer, as they were written."""

    __slots__ = ("_cursor",)

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor

    @property
    def rowcount(self) -> int:
        """The number of rows that were changed or returned."""
        return int(self._cursor.rowcount)

    def fetchone(self) -> tuple[Any, ...] | None:
        """Returns the next row, or None."""
        row = self._cursor.fetchone()
        return _unescaped(row) if row is not None else None

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Returns all rows that are left."""
        return list(map(_unescaped, self._cursor.fetchall()))

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        """Yields the rows that are left."""
        return map(_unescaped, self._cursor)


@cache
def _translated(statement: str) -> str:
    return statement.replace("%", "%%").replace("?", "%s")


def _escaped(value: Any) -> Any:
    """Returns a value as PostgreSQL can keep it: its texts have no NUL."""
    if isinstance(value, list):
        return list(map(_escaped, value))
    if isinstance(value, str) and ("\0" in value or "\ue000" in value):
        return value.replace("\ue000", "\ue000\ue002").replace("\0", "\ue000\ue001")
    return value


def _unescaped(row: tuple[Any, ...]) -> tuple[Any, ...]:
    if any(isinstance(value, str) and "\ue000" in value for value in row):
        return tuple(_ESCAPED.sub(_meant, value) if isinstance(value, str) else value for value in row)
    return row


def _meant(found: re.Match[str]) -> str:
    return "\0" if found[0][1] == "\ue001" else "\ue000"
