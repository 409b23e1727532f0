"""Finds out what became of documents whose fate nobody knows, and of those that were accepted and that the result of their batch does not
explain: each that has a number is looked up, after a time to settle."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Final

import anyio

from .. import clock, log
from ..config import Reconcile
from ..errors import ArmError
from ..transport import Transport
from .account import BatchTracker
from .course import RunControl
from .delivery import BatchSender
from .job import RunSpec
from .journal.reads import UnknownRow
from .journal.run_journal import RunJournal
from .look_ups import ABSENT, CONFLICT, FOUND, NOT_LOOKED_UP, LookUpProofs, LookUps, judge_accepted
from .number_forms import NumberForm, form_of
from .settling import Settling, settle_time
from .states import Outcome
from .texts import split_json_objects

__all__ = ["Reconciler"]

_BATCH_TAKEN: Final = Outcome("unknown", "batch_taken", "not found, but others of its batch were: the batch was taken")

_TELLING: Final = frozenset({"key_conflict", "batch_taken"})
"""What an earlier look-up found, and this one may have missed."""


class Reconciler:
    """Settles the unknown and the unexplained documents of a run, batch by batch.

    Args:
        job: the run.
        transport: the connections.
        journal: knows what was sent.
        account: takes in what becomes of each record.
        course: whether the run goes on.
        deliverer: sends again what is to be sent again.
        adopt: where there is no source, takes the records of a batch for one.
    """

    def __init__(
        self,
        job: RunSpec,
        transport: Transport,
        journal: RunJournal,
        account: BatchTracker,
        course: RunControl,
        deliverer: BatchSender,
        adopt: Callable[[int], Awaitable[None]],
    ) -> None:
        self._job = job
        self._transport = transport
        self._account = account
        self._course = course
        self._deliverer = deliverer
        self._adopt = adopt
        self._unknowns = journal.unknowns
        self._stale = journal.stale_since
        self._settings = job.options.reconcile if isinstance(job.options.reconcile, Reconcile) else Reconcile()
        self._places = asyncio.Semaphore(self._settings.concurrency)
        self._look_ups = LookUps(job, transport, course)
        # Batches of which nothing is there, and the forms of their numbers.
        self._absent: dict[int, frozenset[NumberForm]] = {}

    async def run(self) -> None:
        """Looks up every such document that has a number, and sends again what may be."""
        try:
            batches = await self._unknowns.batches()
            settling = Settling(self._job, self._transport, await self._settle_time())
            if batches:
                await settling.ask_for_the_time()
            for number in batches:
                await self._adopt(number)
                row = await self._unknowns.read(number)
                if not await self._settled(settling, row):
                    return
                await self._look_up_batch(row)
            await self._send_absent_again(settling)
        except ArmError as exc:
            self._course.stop_for_journal(exc)

    async def _settle_time(self) -> float:
        """Seconds from the last try after which what is not there won't come any more."""
        settle = self._settings.settle
        if settle is not None and not self._settings.resend_absent:
            return settle
        # Not that of this attempt alone: an earlier one may have given its batches more time.
        deadline = max([await self._unknowns.deadline(), *(since.deadline for since in self._stale)])
        return settle_time(settle, deadline, await self._unknowns.slowest())

    async def _settled(self, settling: Settling, row: UnknownRow) -> bool:
        """Waits until the time to settle of a batch has passed; False where the run stops. What was processed need not settle."""
        if not row.unknown and all(verdict.reason == "unmapped" for verdict in row.accepted.values()):
            return self._course.reason is None
        # A stale journal does not know when a document left last.
        stamps = [row.sent, *(since.sent for since in self._stale if self._settings.resend_absent)]
        while self._course.reason is None and (left := max(map(settling.left, stamps))) > 0:
            why = settling.why(max(stamps, key=settling.left))
            log.info(why, delay=round(left))
            self._account.tell_progress(why)
            await clock.wait(self._course.stopping, left)
        return self._course.reason is None

    # --- one batch --------------------------------------------------------------------------------------------------------

    async def _look_up_batch(self, row: UnknownRow) -> None:
        """Looks up the documents of a batch."""
        found = await self._look_up(row)
        unknown = {position: found[position] for position in row.unknown if position in found}
        told = any(one.reason in _TELLING for one in row.unknown.values())
        if told or row.has_taken or any(verdict in (FOUND, CONFLICT) for verdict in unknown.values()):
            unknown = {position: _no_less(verdict, row.unknown[position]) for position, verdict in unknown.items()}
        accepted = {position: judge_accepted(found[position], before) for position, before in row.accepted.items() if position in found}
        verdicts = {**row.unknown, **row.accepted, **unknown, **accepted}
        log.info("batch reconciled", records=len(verdicts), counts=_counted(verdicts))
        # Each of its numbers must have been answered now, and none ever otherwise: one that was not may be the sibling that is there.
        sure = bool(unknown) and all(verdict is ABSENT for verdict in unknown.values())
        may_go = sure and self._settings.resend_absent and row.batch_uuid is None and not _is_success(row.status)
        if may_go:
            self._absent[row.id] = frozenset(form_of(row.keys[position] or "") for position in unknown)
        for outcome in self._unknowns.looked_up(row, verdicts, frozenset(unknown) if may_go else frozenset()):
            self._account.tell(outcome)

    async def _look_up(self, row: UnknownRow) -> dict[int, Outcome]:
        """What the look-ups of a batch say, by position; of what has no number, nothing."""
        found: dict[int, Outcome] = {}
        if row.body is None:
            # Nothing to compare with.
            return found
        texts = split_json_objects(row.body)

        async def look(position: int, key: str) -> None:
            async with self._places:
                if self._course.reason is None:
                    found[position] = await self._look_ups.look_up(key, texts[position])

        async with anyio.create_task_group() as looking:
            for position in sorted({*row.unknown, *row.accepted}):
                if (key := row.keys[position]) is not None:
                    looking.start_soon(look, position, key)
        return dict(sorted(found.items()))

    # --- what is sent again -----------------------------------------------------------------------------------------------

    async def _send_absent_again(self, settling: Settling) -> None:
        """Sends the batches of which nothing is there, where it is proved for each of their numbers that a look-up would find it."""
        if not self._absent:
            return
        candidates = partial(self._unknowns.candidates, near=next(iter(self._absent)), is_settled=lambda sent: settling.left(sent) <= 0.0)
        proofs = LookUpProofs(self._look_ups, candidates)
        missing = await proofs.missing(form for forms in self._absent.values() for form in forms)
        for number, forms in self._absent.items():
            if self._course.reason is not None:
                return
            if without := forms & missing:
                await self._stay_absent(number, without)
            elif (found := await self._unknowns.again(number)) is not None:
                live, _ = self._account.enter(*found)
                await self._deliverer.deliver(live)

    async def _stay_absent(self, number: int, without: frozenset[NumberForm]) -> None:
        """Says why a batch is not sent again."""
        forms = "; ".join(sorted(map(str, without)))
        log.warning("nothing is sent again of a batch: nothing proves that look-ups of such numbers work", forms=forms)
        text = f"the look-up did not find it, and no document whose number has such a form is found: {forms}. So it is not sent again"
        row = await self._unknowns.read(number)
        verdicts = {place: Outcome("unknown", "absent", text) if one.reason == "absent" else one for place, one in row.unknown.items()}
        for outcome in self._unknowns.looked_up(row, verdicts, frozenset()):
            self._account.tell(outcome)


def _no_less(verdict: Outcome, before: Outcome) -> Outcome:
    """The verdict for a document of a batch that was taken: what an earlier look-up found is not forgotten where this one found less."""
    if verdict.reason in {ABSENT.reason, NOT_LOOKED_UP.reason} and before.reason == CONFLICT.reason:
        return before
    if verdict.reason == NOT_LOOKED_UP.reason and before.reason == _BATCH_TAKEN.reason:
        return before
    return _BATCH_TAKEN if verdict is ABSENT else verdict


def _is_success(status: int | None) -> bool:
    return status is not None and 200 <= status < 300


def _counted(verdicts: Mapping[int, Outcome]) -> str:
    words: Sequence[str] = sorted({verdict.reason or verdict.state for verdict in verdicts.values()})
    return ", ".join(f"{sum((verdict.reason or verdict.state) == word for verdict in verdicts.values())} {word}" for word in words)
