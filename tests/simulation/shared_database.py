"""The database of a world: a real PostgreSQL, reached over connections that are cut, delayed and hang, by the clock of the world.

What the library sends is sent to the real server in one moment of the world, and the answer arrives later. A statement that would wait
for a lock is undone, with all that was sent together with it, and tried again when another transaction has ended: as if it had arrived
then. Time-outs, the end of sessions and the clock of the server are those of the world.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import psycopg

from amili_arm_async.database.url import DatabaseUrl
from amili_arm_async.postgres import connection as of_library

from .machine import EPOCH
from .shared_postgres import LOCK_WAIT, Copy, RealDatabase, pipelined

if TYPE_CHECKING:
    from .shared_threads import SimThread, Threads
    from .world import Process, World

__all__ = ["URL", "Commit", "Database"]

URL = "postgresql://arm@database.example/simulation"
"""Where the library is told that the journal is."""

_CONNECT = 10.0
"""Seconds that the library waits for a connection."""

_CLOCK = "clock_timestamp()"
_OTHER_CLOCKS = re.compile(r"\bnow\(\)|\bcurrent_timestamp\b|\b(?:statement|transaction)_timestamp\(\)", re.IGNORECASE)
_SETTING = re.compile(r"set_config\('(lock_timeout|statement_timeout|idle_in_transaction_session_timeout)', '(\d+)ms', true\)")
_ENDS_FROZEN = "pg_terminate_backend"
_FENCE = "WITH fence AS"


# --- what a statement becomes -------------------------------------------------------------------------------------------------


class _Answer:
    """The cursor that the library is given."""

    def __init__(self) -> None:
        self.description: object = None
        self._rows: list[tuple[Any, ...]] = []

    def came(self, rows: list[tuple[Any, ...]] | None) -> None:
        """It has arrived."""
        self.description, self._rows = (None if rows is None else ()), rows or []

    def fetchone(self) -> tuple[Any, ...] | None:
        """As psycopg."""
        return self._rows.pop(0) if self._rows else None

    def fetchall(self) -> list[tuple[Any, ...]]:
        """As psycopg."""
        rows, self._rows = self._rows, []
        return rows

    def nextset(self) -> bool:
        """As psycopg: of several statements in one, only the last one has an answer here."""
        return False

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return iter(self.fetchall())


@dataclass
class _Statement:
    """A statement of the library, and what came of it."""

    text: str
    values: Any = None
    is_simple: bool = False
    answer: _Answer = field(default_factory=_Answer)


@cache
def _has_own_clock(text: str) -> bool:
    """Whether a statement asks what time it is."""
    if _OTHER_CLOCKS.search(text):
        raise AssertionError(f"the simulation does not know this clock: {text}")
    return _CLOCK in text


def _without_time(found: re.Match[str]) -> str:
    return f"set_config('{found[1]}', '{LOCK_WAIT if found[1] == 'lock_timeout' else '0'}', true)"


@dataclass(frozen=True)
class Commit:
    """A transaction that was committed.

    Attributes:
        process: whose it was.
        fence: the run, part and epoch that it claimed to own, or None.
        texts: its statements.
    """

    process: Process
    fence: tuple[int, int, int] | None
    texts: tuple[str, ...]


# --- the database in the world ------------------------------------------------------------------------------------------------


class Database:
    """The database of one world.

    Args:
        world: the world.
        threads: its threads.
        strikes: returns one of these faults, or None.

    Attributes:
        ahead: seconds that its clock is ahead.
        timeline: grows when a standby is promoted.
        on_commit: called after each transaction that was committed.
        before_take: called before a statement that takes a part over: with the process and the values.
        on_exchange, on_answer: called when a process has sent something, and when its answer has come.
    """

    def __init__(self, world: World, threads: Threads, strikes: Callable[..., str | None]) -> None:
        self.world = world
        self.threads = threads
        self.strikes = strikes
        self.real = RealDatabase.of(_getpid())
        self.real.clean()
        self.ahead = 0.0
        self.timeline = 1
        self.on_commit: Callable[[Commit], object] = lambda _: None
        self.before_take: Callable[[Process, Sequence[Any]], object] = lambda *_: None
        self.on_exchange: Callable[[Process], object] = lambda _: None
        self.on_answer: Callable[[Process], object] = lambda _: None
        self.sessions: list[Session] = []
        self.away_until = self.stalled_until = 0
        self._standby: Copy | None = None
        self._opened = 0
        self._waiting: list[Callable[[], None]] = []
        self._rng = world.stream("database")

    def latency(self) -> float:
        """How long a message takes."""
        return 0.0002 + self._rng.random() ** 3 * 0.01

    def lag(self) -> float:
        """How long a message takes that is very late: longer than a lease, sometimes."""
        return self._rng.choice((1.0, 10.0, 70.0)) * (0.5 + self._rng.random())

    @property
    def unix_time(self) -> float:
        """What time it is by its clock."""
        return EPOCH + self.world.seconds + self.ahead

    # --- in place of names of the library -------------------------------------------------------------------------------------

    def connect(self, url: DatabaseUrl, longest: float = 45.0, name: str = "amili-arm") -> SimConnection:
        """In place of `driver.connect`; called in a thread."""
        assert str.__str__(url) == URL, url
        thread = self.threads.current
        assert thread is not None, "only threads use the database"
        # There, and back.
        thread.wait(self.latency() + self.latency())
        if self.world.now < self.away_until or self.strikes("database_refuses"):
            raise psycopg.OperationalError("connection failed: Connection refused")
        if self.world.now < self.stalled_until:
            thread.wait(_CONNECT)
            raise psycopg.errors.ConnectionTimeout("connection timeout expired")
        self._opened += 1
        session = Session(self, self._opened, thread.process)
        self.sessions.append(session)
        return SimConnection(self, session, longest, thread.process)

    def loaded(self) -> Any:
        """In place of `load` in `pressure`."""
        return _SimpleDriver

    # --- what happens to the server -------------------------------------------------------------------------------------------

    def restart(self, seconds: float) -> None:
        """Kills the server; it is away for some time."""
        self.world.note(f"database: it is killed, and away for {seconds:g} s")
        self.away_until = max(self.away_until, self.world.now + int(seconds * 1e9))
        for session in list(self.sessions):
            session.end(psycopg.OperationalError("server closed the connection unexpectedly"))

    def keep(self) -> None:
        """A standby has all that is committed, and gets nothing of what follows."""
        self._standby = self.real.copy()

    def promote(self) -> None:
        """The server is lost, and the standby takes its place."""
        if self._standby is None:
            return
        self.world.note("database: it is lost, and a standby is promoted that lags")
        self.timeline += 1
        for session in list(self.sessions):
            session.end(psycopg.OperationalError("server closed the connection unexpectedly"))
        self.real.restore(self._standby)

    def stall(self, seconds: float) -> None:
        """Stops the server for some time: what arrives meanwhile is done then."""
        self.world.note(f"database: it is stopped for {seconds:g} s")
        self.stalled_until = max(self.stalled_until, self.world.now + int(seconds * 1e9))

    def end_frozen(self, seconds: float, asks: Session) -> int:
        """Ends sessions that have been idle in a transaction for some time, as an administrator may."""
        ended = 0
        for session in list(self.sessions):
            if session is not asks and session.is_idle_in_transaction and self.world.now - session.used > seconds * 1e9:
                session.end(psycopg.errors.AdminShutdown("terminating connection due to administrator command"))
                ended += 1
        return ended

    def wait_for_locks(self, again: Callable[[], None]) -> None:
        """Something has to wait until another transaction has ended."""
        self._waiting.append(again)

    def transaction_ended(self) -> None:
        """Locks were released."""
        waiting, self._waiting = self._waiting, []
        for again in waiting:
            self.world.after(self._rng.random() * 0.001, again)

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        """What is committed, for those who check it."""
        return self.real.admin.execute(query, values).fetchall()  # type: ignore[no-any-return]

    def close(self) -> None:
        """Ends everything."""
        for session in list(self.sessions):
            session.end(psycopg.OperationalError("the world is over"))


class Session:
    """A process of the server, for one connection.

    Attributes:
        used: when it last did something.
        failure: why it was ended, or None.
    """

    def __init__(self, database: Database, number: int, process: Process) -> None:
        self.database = database
        self.number = number
        self.process = process
        self.failure: Exception | None = None
        self._raw: Any = database.real.take()
        self._queue: list[_Exchange | None] = []
        self._current: _Exchange | None = None
        self._arrival = 0
        self.used = 0
        self._idle_limit = self._lock_limit = 0.0
        self._fence: tuple[int, int, int] | None = None
        self._texts: list[str] = []

    def __str__(self) -> str:
        return f"session {self.number} of {self.process}"

    @property
    def is_in_transaction(self) -> bool:
        """Whether it has one open."""
        return self._raw is not None and self._raw.info.transaction_status != psycopg.pq.TransactionStatus.IDLE

    @property
    def is_idle_in_transaction(self) -> bool:
        """Whether it waits for its client, and has one open."""
        return self._current is None and self.is_in_transaction

    # --- from the client --------------------------------------------------------------------------------------------------------

    def send(self, exchange: _Exchange | None, lag: float = 0.0) -> None:
        """The client sends something; None: it closes the connection. All arrives in order."""
        world = self.database.world
        self._arrival = max(self._arrival + 1, world.now + int((self.database.latency() + lag) * 1e9))
        world.after((self._arrival - world.now) / 1e9, partial(self._arrive, exchange))

    def _arrive(self, exchange: _Exchange | None) -> None:
        self._queue.append(exchange)
        self._go_on()

    def _go_on(self) -> None:
        world, stalled = self.database.world, self.database.stalled_until
        if world.now < stalled:
            world.after((stalled - world.now) / 1e9, self._go_on)
            return
        while self._queue and self._current is None:
            exchange = self._queue.pop(0)
            if exchange is None:
                self.end(psycopg.OperationalError("the connection is closed"))
                return
            if self.failure is not None:
                exchange.fails(self.failure, is_lost=True)
            elif exchange.fault == "cut_before":
                self._cut(exchange)
            else:
                self._current = exchange
                exchange.begun = world.now
                self._try()

    def _cut(self, exchange: _Exchange) -> None:
        failure = psycopg.OperationalError("server closed the connection unexpectedly")
        self.end(failure)
        exchange.fails(failure, is_lost=True)

    def _try(self) -> None:
        exchange = self._current
        if exchange is None:
            return
        world = self.database.world
        waited = (world.now - exchange.begun) / 1e9
        is_last = exchange.limit is not None and waited >= exchange.limit
        try:
            rows = self._execute(exchange, is_protected=not is_last)
        except psycopg.errors.LockNotAvailable as exc:
            if is_last:
                # One that is simple has a time-out for the whole statement alone.
                timeout = psycopg.errors.QueryCanceled("canceling statement due to statement timeout")
                self._done(exchange, timeout if exchange.is_simple else exc)
                return
            if not waited:
                world.note(f"database: {self} waits for a lock")
                limit = exchange.limit = exchange.limit or self._lock_limit or 10.0
                world.after(limit + 0.001, partial(self._try_if, exchange))
            self.database.wait_for_locks(partial(self._try_if, exchange))
        except psycopg.Error as exc:
            self._done(exchange, exc)
        else:
            self._done(exchange, rows)

    def _try_if(self, exchange: _Exchange) -> None:
        if self._current is exchange:
            self._try()

    # --- on the real server -----------------------------------------------------------------------------------------------------

    def _execute(self, exchange: _Exchange, *, is_protected: bool) -> list[Any]:
        """Does it; where that would wait for a lock, all is as before, unless it is not protected."""
        statements = exchange.statements
        if exchange.fault == "cut_between":
            statements = statements[: exchange.kept]
        if exchange.is_simple:
            return [self._simple(statements[0])]
        if _ENDS_FROZEN in statements[0].text:
            return [[(True,)] * self.database.end_frozen(statements[0].values[0], self)]
        self._observe(statements)
        was_open = self.is_in_transaction
        is_within = was_open and is_protected and self._raw.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS
        sent = [(self._text_of(one), one.values) for one in statements]
        if is_within:
            is_end = statements[-1].text in {"COMMIT", "ROLLBACK"}
            sent = [("SAVEPOINT simulation", None), *sent, *([] if is_end else [("RELEASE SAVEPOINT simulation", None)])]
        try:
            rows = pipelined(self._raw, sent)
        except psycopg.errors.LockNotAvailable:
            if is_within:
                self._raw.execute("ROLLBACK TO SAVEPOINT simulation")
                self._raw.execute("RELEASE SAVEPOINT simulation")
            elif is_protected and self.is_in_transaction:
                self._raw.execute("ROLLBACK")
            raise
        if is_within:
            rows = rows[1 : len(statements) + 1]
        self._committed(statements)
        return rows

    def _simple(self, statement: _Statement) -> list[Any] | None:
        """Does several statements in one message."""
        cursor = psycopg.ClientCursor(self._raw)
        cursor.execute(self._text_of(statement), statement.values)
        while cursor.nextset():
            pass
        return cursor.fetchall() if cursor.description is not None else None

    def _text_of(self, statement: _Statement) -> str:
        """The statement with the clock and the time-outs of the world."""
        text = statement.text
        if _has_own_clock(text):
            at = datetime.fromtimestamp(self.database.unix_time, UTC).isoformat(sep=" ")
            text = text.replace(_CLOCK, f"'{at}'::timestamptz")
        if of_library.TIMELINE in text:
            text = text.replace(of_library.TIMELINE, f"'{self.database.timeline:08X}'")
        if "set_config(" in text:
            limits = {name: int(value) / 1000 for name, value in _SETTING.findall(text)}
            self._lock_limit = limits.get("lock_timeout", 0.0)
            self._idle_limit = limits.get("idle_in_transaction_session_timeout", 0.0)
            # The real ones would count the time of this machine.
            text = _SETTING.sub(lambda found: f"set_config('{found[1]}', '{LOCK_WAIT if found[1] == 'lock_timeout' else '0'}', true)", text)
        return text

    def _observe(self, statements: list[_Statement]) -> None:
        for one in statements:
            if one.text.startswith("UPDATE parts SET owner = %s, epoch"):
                self.database.before_take(self.process, one.values)

    def _committed(self, statements: list[_Statement]) -> None:
        """Notes what a transaction did, and says so once it is committed."""
        for one in statements:
            if one.text.startswith("BEGIN"):
                self._fence, self._texts = None, []
            elif one.text.startswith(_FENCE):
                self._fence = one.values[1], one.values[2], one.values[3]
            elif one.text == "COMMIT":
                self.database.on_commit(Commit(self.process, self._fence, tuple(self._texts)))
            else:
                self._texts.append(one.text)

    def _done(self, exchange: _Exchange, found: Any) -> None:
        """Something was done, or failed: the answer leaves."""
        self._current = None
        self.used = self.database.world.now
        if exchange.fault in {"cut_after", "cut_between"}:
            self._cut(exchange)
            return
        if isinstance(found, Exception):
            exchange.fails(found, is_lost=False)
        else:
            exchange.succeeds(found)
        if not self.is_in_transaction:
            self.database.transaction_ended()
        elif self._idle_limit:
            self.database.world.after(self._idle_limit, partial(self._end_idle, self.used))
        self._go_on()

    def _end_idle(self, used: int) -> None:
        if self.used == used and self.is_idle_in_transaction:
            self.database.world.note(f"database: {self} is idle in a transaction for too long")
            self.end(psycopg.errors.IdleInTransactionSessionTimeout("terminating connection due to idle-in-transaction timeout"))

    def end(self, failure: Exception) -> None:
        """Ends it: what it had not committed is undone."""
        if self._raw is None:
            return
        self.failure = failure
        self.database.sessions.remove(self)
        raw, self._raw = self._raw, None
        self.database.real.give_back(raw)
        exchange, self._current = self._current, None
        if exchange is not None:
            exchange.fails(failure, is_lost=True)
        self.database.transaction_ended()
        self._go_on()


@dataclass
class _Exchange:
    """Statements that are sent together, on their way to the server and back.

    Attributes:
        fault: what goes wrong.
        kept: how many of the statements arrive where it is cut between.
        begun: when the server began with it.
        limit: seconds that it may wait for a lock; None: as the session.
    """

    database: Database
    thread: SimThread
    statements: list[_Statement]
    fault: str | None
    kept: int = 0
    begun: int = 0
    limit: float | None = None
    is_abandoned: bool = False
    is_lost: bool = False
    failure: Exception | None = None
    rows: list[Any] = field(default_factory=list)

    @property
    def is_simple(self) -> bool:
        """Whether it is one message with several statements."""
        return self.statements[0].is_simple

    def fails(self, failure: Exception, *, is_lost: bool) -> None:
        """It failed, or the connection is lost."""
        self.failure, self.is_lost = failure, is_lost
        self._answer()

    def succeeds(self, rows: list[Any]) -> None:
        """It was done."""
        self.rows = rows
        self._answer()

    def _answer(self) -> None:
        lag = self.database.lag() if self.fault == "answer_late" else 0.0
        if not self.is_abandoned:
            self.thread.wake(self.database.latency() + lag)


class SimConnection:
    """What the library takes for a connection of psycopg.

    Attributes:
        longest: seconds after which a statement without an answer ends the connection.
        closed: whether it is closed.
    """

    def __init__(self, database: Database, session: Session, longest: float, process: Process) -> None:
        self.longest = longest
        self.closed = False
        self._database = database
        self._session = session
        self._process = process
        self._together: list[_Statement] | None = None
        process.on_death.append(self._client_died)

    @property
    def process(self) -> Process:
        """Whose it is."""
        return self._process

    def execute(self, text: str, values: Any = None, *, binary: bool | None = None) -> _Answer:
        """As psycopg."""
        return self.send(_Statement(text, values))

    def send(self, statement: _Statement) -> _Answer:
        """Sends a statement now, or with the others of a pipeline."""
        if self._together is not None:
            self._together.append(statement)
        else:
            self._exchange([statement])
        return statement.answer

    @contextlib.contextmanager
    def pipeline(self) -> Iterator[None]:
        """As psycopg."""
        self._together = []
        try:
            yield
        finally:
            statements, self._together = self._together, None
            if statements:
                self._exchange(statements)

    def _exchange(self, statements: list[_Statement]) -> None:
        if self.closed:
            raise psycopg.OperationalError("the connection is closed")
        database, thread = self._database, self._database.threads.current
        assert thread is not None, "only threads use the database"
        assert thread.process is self._process
        fault = database.strikes("cut_before", "cut_between", "cut_after", "answer_late", "arrives_late", "never_arrives")
        kept = int(database._rng.random() * len(statements))
        exchange = _Exchange(database, thread, statements, "cut_before" if fault == "cut_between" and not kept else fault, kept)
        if exchange.is_simple:
            exchange.limit = statements[0].values["longest"] / 1000
        if fault != "never_arrives":
            self._session.send(exchange, database.lag() if fault == "arrives_late" else 0.0)
        database.on_exchange(self._process)
        if not thread.wait(self.longest):
            exchange.is_abandoned = True
            self.close()
            raise psycopg.OperationalError(f"the server has not answered for {self.longest:.0f} s")
        database.on_answer(self._process)
        if exchange.is_lost:
            self.close()
        if exchange.failure is not None:
            raise exchange.failure
        for statement, rows in zip(statements, exchange.rows, strict=True):
            statement.answer.came(rows)

    def close(self) -> None:
        """As psycopg."""
        if not self.closed:
            self.closed = True
            self._session.send(None)

    def _client_died(self) -> None:
        # Of a machine that is off, the server hears nothing.
        if not self._process.is_silent:
            self.close()

    def __enter__(self) -> SimConnection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _SimpleCursor:
    """What the library takes for a cursor that sends values in the text."""

    def __init__(self, connection: SimConnection) -> None:
        self._connection = connection

    def execute(self, text: str, values: Mapping[str, Any]) -> _Answer:
        """As psycopg."""
        return self._connection.send(_Statement(text, values, is_simple=True))


class _SimpleDriver:
    """What the library takes for psycopg where it only makes such cursors."""

    ClientCursor = _SimpleCursor


_getpid = os.getpid
"""That of this program, whatever stands in its place in a story."""
