"""What the runs of an account share, in whatever process they are, while their journal is in PostgreSQL.

A run beats every few seconds: it tells what it saw of the server, and learns what the others saw. Until the next beat, it keeps to that
by itself. Where the database is away, a run keeps to what it learned last, and after some missed beats it goes on as if it was alone:
whether anything may be sent at all is for the journal to say.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final, Literal

from anyio import to_thread
from msgspec import structs

from .. import clock, log
from ..postgres.pressure import Account, Beat, PartCount, PressureTable, Shared
from .parts import part_of_name
from .slots import TURN, share_of

if TYPE_CHECKING:
    from ..database.url import DatabaseUrl
    from .control import RunControl
    from .delivery import BatchSender
    from .in_flight import BatchTracker
    from .limits import AdaptiveConcurrency, RetryAfterGate
    from .spec import RunSpec

__all__ = ["BEAT", "SharedPressure"]

BEAT: Final = 2.0
"""Seconds between two beats."""

_SOONER: Final = 8
"""After a part of a beat, there may be another one: where the server said something that all must know, or a run waits for another one."""

_ALONE: Final = 5
"""Beats without an answer of the database after which a run goes on as if it was alone."""

_LAST: Final = 2.0
"""Seconds that the last beat may take: then the others find out by themselves."""


class SharedPressure:
    """Takes part for one run.

    Args:
        url: of the database.
        spec: the run.
        base_url: the address that it sends to.
        gate: is held where another process was told to wait.
        control: is told of what happened to other processes.
        tracker: knows how many records failed.
        concurrency: is limited to the share of the run.
        sender: knows how much is sent at once, and asks the server for all.
        beat: seconds between two beats.

    Attributes:
        held: seconds for which an answer to another process held this run.
    """

    def __init__(
        self,
        url: DatabaseUrl,
        spec: RunSpec,
        base_url: str,
        *,
        gate: RetryAfterGate,
        control: RunControl,
        tracker: BatchTracker,
        concurrency: AdaptiveConcurrency,
        sender: BatchSender,
        beat: float,
    ) -> None:
        named = part_of_name(spec.options.run_id or "")
        part = PartCount(named[0], spec.endpoint.name, named[1]) if named is not None else None
        self.held = 0.0
        self._me = secrets.token_hex(6)
        self._table = PressureTable(url, Account(base_url, spec.client_no, part), self._me, beat)
        self._beat = beat
        self._sends_documents = not spec.endpoint.safe
        self._gate = gate
        self._control = control
        self._tracker = tracker
        self._concurrency = concurrency
        self._sender = sender
        self._start_soon: Callable[..., object] | None = None
        self._news = asyncio.Event()
        self._beating = asyncio.Lock()
        self._beaten = clock.monotonic()
        self._tried = 0.0
        self._is_away = False
        self._is_entered = False
        self._counts = False
        self._last: Shared | None = None
        # What the others do not know yet.
        self._overloaded = False
        self._is_paced = False
        self._finds_unknown = False
        self._answered: float | None = None

    # --- the life of a run ------------------------------------------------------------------------------------------------

    async def begin(self) -> None:
        """Joins the others, before anything is sent. It may change that the run is stopped."""
        self._gate.on_asked.add(self._news.set)
        await self._exchange()
        # The failures for which a run is stopped at once are those of an earlier attempt: they stay.
        self._counts = self._control.reason is None

    async def run(self, start_soon: Callable[..., object]) -> None:
        """Beats until it is cancelled.

        Args:
            start_soon: starts a task for the server to be asked.
        """
        self._start_soon = start_soon
        while True:
            # The first time, what was learned at the beginning is acted on.
            self._act_on_unanswered()
            waits = self._last is not None and self._last.is_unanswered
            await clock.wait(self._news, self._beat / (_SOONER if waits else 1))
            await clock.sleep(self._beat / _SOONER - (clock.monotonic() - self._tried))
            await self._exchange()

    async def end(self) -> None:
        """Tells the others that the run is over."""
        self._gate.on_asked.discard(self._news.set)
        limit = clock.TimeLimit(_LAST)
        try:
            async with limit:
                await to_thread.run_sync(self._table.leave, self._report(), abandon_on_cancel=True)
        except TimeoutError:
            log.info("the pressure of other processes is not known: the database is away")

    # --- what happens to the run ------------------------------------------------------------------------------------------

    def overloaded(self, *, is_paced: bool) -> None:
        """Takes note that the server said "too much" to this run.

        Args:
            is_paced: whether it said how long to wait.
        """
        self._is_paced = is_paced and (self._is_paced or not self._overloaded)
        self._overloaded = True
        self._news.set()

    def found_unknown(self) -> None:
        """Takes note that this run does not know what became of a batch of documents."""
        self._finds_unknown = True
        self._news.set()

    async def after_unknown(self) -> Literal["ask", "wait", "go on"]:
        """Returns what to do after this or another run found an unknown outcome: of all runs, one asks the server, and the others wait."""
        if self._finds_unknown:
            await self._exchange()
        last = self._last
        if not self._is_away and last is not None and not last.is_unanswered:
            return "go on"
        return "ask" if last is None or last.prober in {self._me, None} else "wait"

    async def is_answered(self, began: float) -> bool:
        """Takes note that the server answered.

        Args:
            began: when it was asked, by the monotonic clock.

        Returns:
            Whether documents may be sent again: no other run has found an unknown outcome since.
        """
        self._answered = began
        await self._exchange()
        if self._is_away:
            self._finds_unknown = False
            return True
        return self._last is None or not self._last.is_unanswered

    @property
    def soon(self) -> float:
        """Seconds after which there may be news of another run that asks the server."""
        return self._beat / _SOONER

    # --- beats ------------------------------------------------------------------------------------------------------------

    def _report(self) -> Beat:
        """What the others have to know; what they are told is forgotten only when they know it."""
        failures, settled = self._tracker.failures
        asked = self._gate.asked
        return Beat(
            wants=self._sender.wanted if self._is_entered else self._concurrency.wanted,
            uses=self._sender.most_at_once,
            held=asked if asked > 0 else None,
            overloaded=self._overloaded,
            is_paced=self._is_paced,
            finds_unknown=self._finds_unknown,
            answered=clock.monotonic() - self._answered if self._answered is not None else None,
            may_probe=self._sends_documents,
            counts=self._counts,
            failures=failures,
            settled=settled,
        )

    async def _exchange(self) -> None:
        async with self._beating:
            self._news.clear()
            beat = self._report()
            answered, self._tried = self._answered, clock.monotonic()
            self._overloaded = False
            self._sender.begin_count()
            try:
                found = await to_thread.run_sync(partial(self._in_thread, beat), abandon_on_cancel=True)
            except Exception as exc:  # whatever it is: nothing is sent or not sent because of it
                self._overloaded = self._overloaded or beat.overloaded
                self._note_away(exc)
            else:
                self._finds_unknown = self._finds_unknown and not beat.finds_unknown
                self._answered = None if self._answered == answered else self._answered
                self._beaten, self._is_away = clock.monotonic(), False
                self._keep_to(found, beat.wants)

    def _in_thread(self, beat: Beat) -> Shared:
        earlier: tuple[int, int] | None = None
        found: Shared | None = None
        if self._is_entered:
            found = self._table.beat(beat)
        if found is None:
            # Failures of an earlier attempt at this part count until this one begins.
            earlier = self._table.enter()
            found = self._table.beat(beat)
        assert found is not None
        if not self._is_entered and earlier is not None:
            found = structs.replace(found, failures=earlier[0], settled=earlier[1])
        self._is_entered = True
        return found

    def _note_away(self, failure: Exception) -> None:
        if not self._is_away:
            self._is_away = True
            log.warning(
                "what other processes see of the server is not known: this one goes on as if it was alone", error=type(failure).__name__
            )
        if clock.monotonic() - self._beaten > self._beat * _ALONE:
            self._last = None
            self._concurrency.limit_to(None, together=False)

    def _keep_to(self, found: Shared, wants: int) -> None:
        """Keeps to what all know."""
        self._last = found
        longer = found.held - self._gate.remaining
        if longer > self._beat / _SOONER:
            self.held += longer
            log.info("held by an answer to another process", delay=round(found.held, 3))
            self._tracker.report_progress("told_another_process_to_wait")
        if found.held:
            self._gate.hold(found.held)
        self._concurrency.limit_to(self._share(found, wants), together=len(found.members) > 1)
        self._tracker.add_failures_elsewhere(found.failures, found.settled)
        self._act_on_unanswered()

    def _share(self, found: Shared, wants: int) -> int | None:
        others = {name: member.wants for name, member in found.members.items() if name != self._me}
        if found.total is None or not others:
            return None
        turn = int(found.now / (self._beat * TURN))
        return share_of(self._me, {**others, self._me: wants}, found.total, turn)

    def _act_on_unanswered(self) -> None:
        """Where another run found an unknown outcome, no documents are sent until the server was asked, by that run or this one."""
        is_unanswered = self._last is not None and self._last.is_unanswered
        if self._start_soon is not None and self._sends_documents and is_unanswered and self._control.begin_check():
            self._start_soon(self._sender.wait_for_answer)
