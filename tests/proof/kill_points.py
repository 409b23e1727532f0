"""Where the process is killed: named points of the send path, patched from outside; each statement of SQL, or exchange with PostgreSQL;
each turn of the loop.

The library has no hooks for this. A point names a function of the library; where that is gone or is called no more, the point is not
reached, and the test that wanted it fails and says so.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import inspect
import os
import signal
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["ONLY_IN_A_FILE", "POINTS", "Point", "arm_kill", "find"]

LIBRARY = "amili_arm_async"


@dataclass(frozen=True)
class Point:
    """A place in the library.

    Attributes:
        says: where that is in the life of a batch, in words.
        function: module and qualified name below the library.
        when: before the function is called, after it has returned, or inside a body that is being written.
        phase: whether a first attempt passes there, only one that goes on, or one that reconciles.
    """

    says: str
    function: str
    when: Literal["before", "after", "first byte", "half", "sent"] = "before"
    phase: Literal["first", "resume", "reconcile"] = "first"

    @property
    def once(self) -> bool:
        """Whether a run passes there no more than once."""
        return self.function.endswith((".begin", ".end", "sync_folder", "Reconciler.run"))


_JOURNAL = "bulk.journal.sqlite.journal:SqliteRunJournal"
_STORE = "bulk.journal.sqlite.store:RunStore"
_BODY = "connections:_Body.write"

POINTS: dict[str, Point] = {
    "journal_made": Point("the file of the journal is there, its name is not on the disk yet", "sqlite.file:sync_folder"),
    "opening": Point("before the journal is opened", f"{_JOURNAL}.begin"),
    "opened_uncommitted": Point("the run is in the journal, not committed", f"{_STORE}.begin", "after"),
    "opened": Point("the journal is open", f"{_JOURNAL}.begin", "after"),
    "cut": Point("a batch is cut and not in the journal", f"{_JOURNAL}.decide"),
    "entered": Point("a batch is in the journal, nothing is meant to be sent yet", f"{_JOURNAL}.decide", "after"),
    "before_intent": Point("before the intent to send is written", f"{_JOURNAL}.before_send"),
    "intent_uncommitted": Point("the intent is written and not committed", f"{_STORE}.before_send", "after"),
    "intent_unmarked": Point(
        "the intent is durable, the mark beside the journal is not written", "bulk.journal.sqlite.store:RunStore.committed"
    ),
    "intent_marked": Point("the mark is written, nobody knows of that", "bulk.journal.sqlite.store:RunStore.committed", "after"),
    "intent_durable": Point("the intent is durable, no byte has left", f"{_JOURNAL}.before_send", "after"),
    "before_first_byte": Point("connected, no byte of the body has left", _BODY),
    "first_byte": Point("the headers and one byte of the body have left", _BODY, "first byte"),
    "half_body": Point("half of the body has left", _BODY, "half"),
    "body_sent": Point("the whole body has left", _BODY, "sent"),
    "answered": Point("the 202 came, the batchUuid is not written", f"{_JOURNAL}.accepted"),
    "uuid_uncommitted": Point("the batchUuid is written and not committed", f"{_STORE}.accepted", "after"),
    "uuid_durable": Point("the batchUuid is durable", f"{_JOURNAL}.accepted", "after"),
    "polling": Point("before a question for the result", "bulk.polling:Poller._ask"),
    "polled": Point("the answer with the result came", "bulk.polling:Poller._ask", "after"),
    "result_known": Point("the result is known and not written", f"{_JOURNAL}.settled"),
    "result_uncommitted": Point("the result is written and not committed", f"{_STORE}.settle", "after"),
    "ending": Point("all is settled, the journal is not closed", f"{_JOURNAL}.end"),
    "end_uncommitted": Point("the end of the run is written and not committed", f"{_STORE}.end", "after"),
    "ended": Point("the journal is closed, the report is not given", f"{_JOURNAL}.end", "after"),
    "resume_opening": Point("going on: before the journal is opened", f"{_JOURNAL}.begin", phase="resume"),
    "resume_uncommitted": Point("going on: what was on the wire is unknown now, not committed", f"{_STORE}.begin", "after", "resume"),
    "resume_opened": Point("going on: the journal is open", f"{_JOURNAL}.begin", "after", "resume"),
    "resume_claimed": Point("going on: it is decided what of a batch is sent", f"{_STORE}.decide", "after", "resume"),
    "resume_intent": Point("going on: the intent is durable, no byte has left", f"{_JOURNAL}.before_send", "after", "resume"),
    "resume_body_sent": Point("going on: the whole body has left", _BODY, "sent", "resume"),
    "reconcile_begins": Point("before anything is looked up", "bulk.reconcile:Reconciler.run", phase="reconcile"),
    "looking_up": Point("before a document is looked up", "bulk.lookups:LookUps.look_up", phase="reconcile"),
    "looked_up": Point("the look-up of a document was answered", "bulk.lookups:LookUps.look_up", "after", "reconcile"),
    "batch_looked_up": Point(
        "a batch is looked up, that is not written", "bulk.journal.sqlite.reconcile_store:SqliteReconcileStore.looked_up", phase="reconcile"
    ),
    "absent_known": Point(
        "what is absent is known, it is not entered to be sent",
        "bulk.journal.sqlite.reconcile_store:SqliteReconcileStore.enter_again",
        phase="reconcile",
    ),
    "absent_entered": Point(
        "what is absent is entered to be sent", "bulk.journal.sqlite.reconcile_store:SqliteReconcileStore.enter_again", "after", "reconcile"
    ),
    "resume_poll": Point(
        "going on: the result of an earlier batch is known and not written", f"{_JOURNAL}.settle_open_batch", phase="resume"
    ),
}


ONLY_IN_A_FILE = frozenset({"journal_made", "intent_unmarked", "intent_marked", "uuid_uncommitted"})
"""Points that a run with a journal in PostgreSQL does not pass."""


def arm_kill(kill: dict[str, Any] | None) -> None:
    """Arms one kill: `{"point": name, "count": n}`, `{"sql": n, "when": "before" | "after"}`, `{"exchange": n, "when": ...}` or
    `{"turn": n}`.

    With `"slow_disk": seconds` each commit takes that long. With `"stop": True` a kill at a point is none: the process stands still there.
    """
    if kill is None:
        return
    if "slow_disk" in kill:
        _patch_sql(lambda statement: time.sleep(kill["slow_disk"]) if statement == "COMMIT" else None)
    if "point" in kill:
        point = POINTS[kill["point"]]
        _patch(point, _Countdown(kill.get("count", 1), signal.SIGSTOP if kill.get("stop") else signal.SIGKILL))
    elif "sql" in kill:
        countdown = _Countdown(kill["sql"])
        if kill["when"] == "before":
            _patch_sql(lambda _: countdown())
        else:
            _patch_sql(lambda _: None, lambda _: countdown())
    elif "exchange" in kill:
        point = Point("", "postgres.connection:PostgresConnection._together", kill["when"])
        _patch(point, _Countdown(kill["exchange"]))
    else:
        _patch_loop(_Countdown(kill["turn"]))


class _Countdown:
    """Kills this process when it is called for the n-th time, or gives it another signal."""

    def __init__(self, count: int, number: int = signal.SIGKILL) -> None:
        self.left = count
        self.number = number

    def due(self) -> bool:
        """Whether this is the n-th time."""
        self.left -= 1
        return self.left == 0

    def die(self) -> None:
        """Ends this process as power loss would, as far as a process can tell."""
        os.kill(os.getpid(), self.number)

    def __call__(self) -> None:
        if self.due():
            self.die()


def find(point: Point) -> tuple[Any, str]:
    """The class or module that has the function of a point, and its name there."""
    module, _, name = point.function.partition(":")
    owner: Any = importlib.import_module(f"{LIBRARY}.{module}")
    *path, last = name.split(".")
    for part in path:
        owner = getattr(owner, part)
    return owner, last


def _patch(point: Point, kill: _Countdown) -> None:
    owner, last = find(point)
    original = inspect.getattr_static(owner, last)
    is_static = isinstance(original, staticmethod)
    function = original.__func__ if is_static else original
    wrapped = _wrap_body(function, kill, point.when) if point.when in {"first byte", "half", "sent"} else _wrap(function, kill, point.when)
    setattr(owner, last, staticmethod(wrapped) if is_static else wrapped)


def _wrap(function: Callable[..., Any], kill: _Countdown, when: str) -> Callable[..., Any]:
    @functools.wraps(function)
    async def waiting(*arguments: Any, **named: Any) -> Any:
        if when == "before":
            kill()
        result = await function(*arguments, **named)
        if when == "after":
            kill()
        return result

    @functools.wraps(function)
    def plain(*arguments: Any, **named: Any) -> Any:
        if when == "before":
            kill()
        result = function(*arguments, **named)
        if when == "after":
            kill()
        return result

    return waiting if inspect.iscoroutinefunction(function) else plain


def _wrap_body(function: Callable[..., Any], kill: _Countdown, when: str) -> Callable[..., Any]:
    """For the function that writes a body to `writer`: kills when a part of it has left, which is what draining waits for."""

    async def write(self: Any, writer: Any) -> None:
        if self.decode().startswith("grant_type="):
            # The form for a token is no batch.
            await function(self, writer)
            return
        if when == "sent":
            await function(self, writer)
            if kill.due():
                await _flush(writer)
                kill.die()
            return
        if not kill.due():
            await function(self, writer)
            return
        pieces: list[bytes] = []

        class Collects:
            transport = writer.transport

            async def write(self, piece: Any) -> None:
                pieces.append(bytes(piece))

        await function(self, Collects())
        body = b"".join(pieces)
        await writer.write(body[:1] if when == "first byte" else body[: len(body) // 2])
        await _flush(writer)
        kill.die()

    return write


async def _flush(writer: Any) -> None:
    """Waits until all that was written is in the hands of the kernel."""
    await writer.drain()
    while writer.transport.get_write_buffer_size():
        await asyncio.sleep(0)


def _patch_sql(before: Callable[[str], object], after: Callable[[str], object] = lambda _: None) -> None:
    """Calls these with each statement, before and after it is done."""

    def told(name: str) -> Callable[..., Any]:
        original = getattr(sqlite3.Connection, name)

        def call(self: sqlite3.Connection, *arguments: Any) -> Any:
            statement = arguments[0] if arguments else "COMMIT"
            before(statement)
            result = original(self, *arguments)
            after(statement)
            return result

        return call

    names = ("execute", "executemany", "executescript", "commit")
    connection = type("Connection", (sqlite3.Connection,), {name: told(name) for name in names})
    connect = sqlite3.connect
    sqlite3.connect = lambda *arguments, **named: connect(*arguments, **{"factory": connection, **named})  # type: ignore[assignment]


def _patch_loop(kill: _Countdown) -> None:
    run_once = asyncio.BaseEventLoop._run_once  # type: ignore[attr-defined]

    def counted(self: Any) -> None:
        kill()
        run_once(self)

    asyncio.BaseEventLoop._run_once = counted  # type: ignore[attr-defined]
