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
import math
import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from functools import cache
from itertools import count
from threading import Event
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from .. import clock, log
from ..errors import ArmError, JournalError
from .driver import broken, connect, first_failure, is_refused, passes, pipeline

if TYPE_CHECKING:
    from ..database.url import DatabaseUrl

ResultT = TypeVar("ResultT")

__all__ = ["BEAT", "LEASE", "LOCKED", "STATEMENT", "TIMELINE", "Fence", "Patience", "PostgresConnection", "server_of"]

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

_WRITING: Final = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
_READING: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_SETTINGS: Final = "SELECT set_config('search_path', 'amili_arm, pg_temp', true), {settings}"

_FENCE: Final = """WITH fence AS (
    UPDATE parts SET writes = writes + 1, lease_until = clock_timestamp() + ? * interval '1 second'
    WHERE run = ? AND part = ? AND epoch = ? AND writes = ? RETURNING 1
) SELECT 1 / count(*) FROM fence"""
"""Fails where it changes no row: so what was sent together with it changes nothing either."""

_DIVISION_BY_ZERO: Final = "22012"

_END_FROZEN: Final = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND usename = current_user AND wait_event = 'ClientRead'
    AND state_change < clock_timestamp() - %s * interval '1 second'
    AND pid IN (SELECT pid FROM pg_locks JOIN pg_class ON pg_class.oid = relation WHERE relnamespace = to_regnamespace('amili_arm'))"""

LOCKED: Final = "55P03"
"""The state of an error: another transaction holds a lock for too long."""

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
        patience: how long a fenced transaction, or what is done patiently, waits for a database that is away.
        lease: seconds for which a part is owned after each transaction.
        statement: seconds that a statement may take. Default: half of the lease.

    Attributes:
        fence: what every transaction changes first; None: nothing.
        lease: seconds for which a part is owned after each transaction.
        reconnected: when it was connected again after it was lost, by the monotonic clock; minus infinity where it was not lost.
        server: which database it is, once `identify` was called: its system identifier and its timeline; None where it does not tell.
    """

    def __init__(
        self, url: DatabaseUrl, word: str, *, patience: Patience | None = None, lease: float = LEASE, statement: float | None = None
    ) -> None:
        self.fence: Fence | None = None
        self.server: str | None = None
        self._owned = clock.stamp()
        self._url = url
        self._word = word
        self._patience = patience if patience is not None else Patience(0.0)
        self._is_fenced = self._reads = False
        self.lease = lease
        self.reconnected = -math.inf
        statement = statement if statement is not None else lease * STATEMENT
        self._settings = _settings(statement, lease)
        self._longest = statement * _LONGEST
        self._beaten = clock.monotonic()
        # A transaction is open as soon as it is wanted, and has begun once the database was told.
        self._is_open = self._has_begun = False
        # The statements of the transaction that wait to be sent together, and those that were sent and wrote something.
        self._waiting: list[_Statement] = []
        self._written: list[_Statement] = []
        # What the transaction has locked; see `once`.
        self._locked: dict[Hashable, Any] = {}
        try:
            self._raw = connect(url, self._longest)
        except Exception as exc:
            if isinstance(exc, ValueError):
                raise
            raise broken(url, exc, word) from exc

    # --- statements -------------------------------------------------------------------------------------------------------

    def execute(self, statement: str, values: Sequence[Any] = ()) -> Any:
        """Executes a statement; outside of a transaction, in one of its own.

        In a transaction it is sent when its answer is read, or with a later statement whose answer is read, or with the commit.

        Args:
            statement: SQL with a question mark for each value.
            values: the values.

        Returns:
            A cursor with all rows of the answer.
        """
        if not self._is_open:
            return self._alone(statement, values)
        sent = _Statement(statement, values, self)
        self._waiting.append(sent)
        return sent

    def execute_alike(self, statement: str, values: Sequence[Any] = ()) -> Any:
        """Executes a statement whose answer depends on what others wrote: where the transaction is repeated, it must be the same.

        Args:
            statement: SQL that returns one row.
            values: the values.

        Returns:
            A cursor with that row; it must be read before the commit.
        """
        assert self._is_open
        sent = self.execute(statement, values)
        sent.is_alike = True
        return sent

    def once(self, what: Hashable, do: Callable[[], ResultT]) -> ResultT:
        """Does something the first time in a transaction.

        Args:
            what: names it.
            do: does it.

        Returns:
            What it returned the first time.
        """
        if what not in self._locked:
            self._locked[what] = do()
        found: ResultT = self._locked[what]
        return found

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
        if self.fence is not None and self._is_beat_due:
            self.beat()
        self.begin(fenced=False)
        try:
            cursor = self.execute(statement, values)
            self.commit()
        except BaseException:
            self.rollback()
            raise
        return cursor

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
        """
        self._forget()
        self._is_open = True
        self._is_fenced = fenced and self.fence is not None and not reads
        self._reads = reads

    def commit(self, *, beats: bool = False) -> None:
        """Commits the transaction: it is durable when this returns. One without statements is sent only to renew the lease.

        Args:
            beats: whether to renew the lease in any case.

        Raises:
            JournalError: it can't be committed, or it is not known whether it was; or this process owns the run no longer, or the database
                lost what it had committed.
        """
        is_wanted = self._has_begun or bool(self._waiting) or beats or (self._is_fenced and self._is_beat_due)
        before = clock.stamp()
        if is_wanted:
            self._send(commits=True)
        self._is_open = False
        if is_wanted and self._is_fenced and self.fence is not None:
            self.fence.writes += 1
            self._beaten = clock.monotonic()
            self._owned = before

    @property
    def may_be_lost(self) -> bool:
        """Whether another process may own by now what this one owned: it has not renewed its lease for half of it."""
        return self.fence is not None and self._owned.at_most(clock.stamp()) > self.lease / 2

    @property
    def _is_beat_due(self) -> bool:
        return clock.monotonic() - self._beaten > self.lease * BEAT

    def rollback(self) -> None:
        """Undoes the transaction, if one is open; never raises."""
        self._is_open = False
        if self._has_begun:
            self._undo()

    def _undo(self) -> None:
        self._has_begun = False
        with contextlib.suppress(Exception):
            if not self._raw.closed:
                self._raw.execute("ROLLBACK")

    def _forget(self) -> None:
        self._waiting.clear()
        self._written.clear()
        self._locked.clear()

    def beat(self) -> None:
        """Renews the lease.

        Raises:
            JournalError: this process owns the run no longer.
        """
        self.begin()
        try:
            self.commit(beats=True)
        except BaseException:
            self.rollback()
            raise

    def identify(self) -> None:
        """Finds out which database it is; from now on another one is refused, as after a standby was promoted."""
        try:
            self.server = server_of(self._raw)
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

    # --- what is sent -----------------------------------------------------------------------------------------------------

    def send(self) -> None:
        """Sends what waits to be sent, and waits for the answers.

        Raises:
            JournalError: this process owns the run no longer, or the database lost what it had committed, or can't be used.
        """
        self._send(commits=False)

    def _send(self, *, commits: bool) -> None:
        """Sends what waits to be sent; where the connection is lost, waits for another one and brings the transaction to where it was."""
        try:
            self._exchange(commits=commits)
        except Exception as exc:  # whatever it is, it is judged below
            failure = exc
        else:
            return
        since = clock.monotonic()
        for number in count():
            if getattr(failure, "sqlstate", None) == LOCKED:
                self._end_frozen()
            if not isinstance(failure, JournalError) and not self._is_fenced and self.fence is None:
                # Only its caller knows whether it may be repeated: see `patiently`.
                raise broken(self._url, failure, self._word) from failure
            self._wait_for_database(failure, since, number)
            try:
                self._reconnect()
                self._exchange(commits=commits, may_be_committed=commits)
            except Exception as exc:  # whatever it is, it is judged above
                failure = exc
            else:
                return

    def patiently(self, do: Callable[[], ResultT]) -> ResultT:
        """Does something that may be repeated as a whole, such as a look at what another process does.

        Where the connection is lost meanwhile, it waits for the database as a fenced transaction does, and does all of it again. Where the
        connection is fenced, its transactions wait by themselves.

        Args:
            do: does it; the transaction in which it writes changes nothing more where it was committed before.

        Returns:
            What it returned.

        Raises:
            JournalError: the database can't be used.
            Exception: what `do` raised.
        """
        try:
            return do()
        except JournalError as exc:
            if self.fence is not None:
                raise
            failure = _cause_of(exc)
        since = clock.monotonic()
        for number in count():
            self._wait_for_database(failure, since, number)
            try:
                self._reconnect()
                return do()
            except Exception as exc:  # whatever it is, it is judged above
                failure = _cause_of(exc)
        raise AssertionError

    def _wait_for_database(self, failure: Exception, since: float, number: int) -> None:
        """Waits before the next attempt to connect, unless the failure does not pass, or patience is over: then it raises.

        Args:
            failure: what was raised.
            since: when the connection was lost.
            number: of the attempts so far.
        """
        if isinstance(failure, ArmError):
            raise failure
        if not passes(failure) or is_refused(failure):
            raise broken(self._url, failure, self._word) from failure
        waited = clock.monotonic() - since
        if waited >= self._patience.seconds or not self._patience.wait(_DELAYS[min(number, len(_DELAYS) - 1)]):
            hint = f"This process waited {waited:.0f} s for it. Nothing more is sent; run again with the same run id"
            raise broken(self._url, failure, self._word, hint if self._patience.seconds else "") from failure

    def _end_frozen(self) -> None:
        """Ends transactions whose processes have sent nothing for the time of a lease.

        What waits for the rest of an exchange has no time-out of its own before PostgreSQL 17: it would hold its locks for as long as a
        process is frozen.
        """
        self._undo()
        with contextlib.suppress(Exception):
            self._raw.execute(_END_FROZEN, (self.lease,))

    def _reconnect(self) -> None:
        # What is left of the old connection may hold locks until the server notices.
        self.close()
        self._has_begun = False
        self._raw = connect(self._url, self._longest)
        if self.server is not None and server_of(self._raw) != self.server:
            raise self.lost()
        self.reconnected = clock.monotonic()

    def _exchange(self, *, commits: bool, may_be_committed: bool = False) -> None:
        try:
            if self._written and not self._has_begun:
                self._repeat()
            opening, last = self._opening(), [_Statement("COMMIT")] if commits else []
            cursors = self._together([*opening, *self._waiting, *last])
        except Exception as exc:
            if getattr(exc, "sqlstate", None) != _DIVISION_BY_ZERO:
                raise
            self._fence_failed(may_be_committed=may_be_committed)
        else:
            for sent, cursor in zip(self._waiting, cursors[len(opening) :], strict=False):
                sent.answered(cursor)
        self._has_begun = not commits
        self._written += [sent for sent in self._waiting if sent.writes]
        self._waiting.clear()

    def _opening(self) -> list[_Statement]:
        if self._has_begun:
            return []
        opening = [_Statement(_READING if self._reads else _WRITING), _Statement(self._settings)]
        if self._is_fenced:
            assert self.fence is not None
            opening.append(_Statement(_FENCE, (self.lease, *msgspec.structs.astuple(self.fence))))
        return opening

    def _repeat(self) -> None:
        """Sends again what the transaction wrote before the connection was lost."""
        opening = self._opening()
        cursors = self._together([*opening, *self._written])
        self._has_begun = True
        for sent, cursor in zip(self._written, cursors[len(opening) :], strict=True):
            if sent.is_alike and cursor.fetchone() != sent.row:
                raise JournalError(
                    f"the connection to {self._url} was lost while another run wrote there, so that what was about to be recorded is "
                    "outdated. Nothing more is sent; run again with the same run id"
                )

    def _together(self, statements: list[_Statement]) -> list[Any]:
        """Sends statements at once, and then waits for all answers: where one fails, the next ones do nothing."""
        failure: BaseException | None = None
        cursors: list[Any] = []
        try:
            with pipeline(self._raw):
                try:
                    for sent in statements:
                        values = [_escaped(value) for value in sent.values]
                        cursor = self._raw.execute(_translated(sent.text), values, binary=True)
                        cursors.append(cursor)
                except Exception as exc:  # whatever it is, the answers must be read
                    failure = exc
        except Exception as exc:
            failure = failure or first_failure(exc)
        if failure is not None:
            self._has_begun = self._has_begun or bool(statements)
            raise failure
        return cursors

    def _fence_failed(self, *, may_be_committed: bool) -> None:
        """Does nothing where the fence fails because the same transaction was committed before; else raises why it does."""
        assert self.fence is not None
        self._undo()
        query = "SELECT epoch, writes FROM amili_arm.parts WHERE run = %s AND part = %s"
        row = self._raw.execute(query, (self.fence.run, self.fence.part)).fetchone()
        if may_be_committed and row == (self.fence.epoch, self.fence.writes + 1):
            return
        if row is not None and row[0] > self.fence.epoch:
            error = JournalError(
                f"another process has taken over what this one was doing with the {self._word} {self._url}: nothing more is sent from "
                "here. Was this process, or its machine, suspended?"
            )
            error.taken_over = True
            raise error
        raise self.lost()

    def lost(self) -> JournalError:
        """Returns the error for a database that may not know all that it had committed."""
        return JournalError(
            f"the database of the {self._word} {self._url} has lost what it had committed: was a standby promoted, or a backup restored? "
            "Nothing more is sent. Run again with the same run id: what it does not know is looked up"
        )


def _cause_of(failure: Exception) -> Exception:
    """Returns the failure of the database that an error tells of, or the error."""
    cause = failure.__cause__
    return cause if isinstance(failure, JournalError) and isinstance(cause, Exception) else failure


def server_of(raw: Any) -> str:
    """Returns which database it is: its system identifier and its timeline.

    Args:
        raw: a connection of psycopg.

    Raises:
        psycopg.Error: the role may not read that, or the database can't be used.
    """
    # The timeline of the last checkpoint may be that before a promotion; that of the log is not.
    row = raw.execute(f"SELECT system_identifier::text, {TIMELINE} FROM pg_control_system()").fetchone()  # noqa: S608 - our own words
    assert row is not None
    return f"{row[0]}:{row[1]}"


class _Statement:
    """A statement, and a cursor for its answer."""

    __slots__ = ("_connection", "_cursor", "is_alike", "row", "text", "values")

    def __init__(self, text: str, values: Sequence[Any] = (), connection: PostgresConnection | None = None) -> None:
        self.text = text
        self.values = values
        # Whether its answer must be the same where it is repeated, and that answer.
        self.is_alike = False
        self.row: tuple[Any, ...] | None = None
        self._connection = connection
        self._cursor: Any = None

    @property
    def writes(self) -> bool:
        """Whether it changes or locks anything."""
        return not self.text.startswith("SELECT") or self.text.endswith("FOR UPDATE")

    def answered(self, cursor: Any) -> None:
        """Keeps its answer.

        Args:
            cursor: of psycopg.
        """
        self._cursor, self._connection = cursor, None
        if self.is_alike:
            self.row = cursor.fetchone()

    def _answer(self) -> Any:
        if self._connection is not None:
            self._connection.send()
        return self._cursor

    @property
    def rowcount(self) -> int:
        """The number of rows that were changed or returned."""
        return int(self._answer().rowcount)

    def fetchone(self) -> tuple[Any, ...] | None:
        """Returns the next row, or None; where the answer must be the same, always its only row."""
        row = self._answer().fetchone() if not self.is_alike else self._answer() and self.row
        return _unescaped(row) if row is not None else None

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Returns all rows that are left."""
        return list(map(_unescaped, self._answer().fetchall()))

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        """Yields the rows that are left."""
        return map(_unescaped, self._answer())


def _settings(statement: float, lease: float) -> str:
    """Returns the statement that makes the settings of a transaction: those of a session break behind a pooler."""
    limits = {
        # Before that of the statement: then it is known why.
        "lock_timeout": min(_LOCK, statement / 2),
        "statement_timeout": statement,
        # A process that was stopped must not hold its locks for good.
        "idle_in_transaction_session_timeout": lease,
    }
    texts = {"synchronous_commit": "on", **{name: f"{int(seconds * 1000)}ms" for name, seconds in limits.items()}}
    return _SETTINGS.format(settings=", ".join(f"set_config('{name}', '{text}', true)" for name, text in texts.items()))


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
