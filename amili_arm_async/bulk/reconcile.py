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
from .chunking import Batch, split_json_objects
from .control import RunControl
from .delivery import BatchSender
from .in_flight import BatchTracker
from .journal.sqlite.journal import RunJournal
from .journal.sqlite.queries import UnknownRow
from .lookups import ABSENT, CONFLICT, FOUND, NOT_LOOKED_UP, LookUpProofs, LookUps, Settling, judge_accepted, settle_time
from .number_forms import NumberForm, form_of
from .outcomes import Outcome
from .spec import RunSpec

__all__ = ["LookUpFirst", "Reconciler"]

_NEWEST: Final = 2**62
"""More than the id of any batch."""

_STALE: Final = "the journal is older than what was sent with it, or a copy"
_ADOPT: Final = "Where the file was moved on purpose, say `amili-arm adopt` and its path"


class LookUpFirst:
    """Decides what of a batch may leave.

    Args:
        job: the run.
        transport: the connections.
        journal: is stale.
        course: whether the run goes on.
    """

    def __init__(self, spec: RunSpec, transport: Transport, journal: RunJournal, control: RunControl) -> None:
        self._spec = spec
        self._transport = transport
        self._control = control
        self._since = journal.stale_since
        self._unknowns = journal.unknowns
        self._settings = spec.options.reconcile if isinstance(spec.options.reconcile, Reconcile) else Reconcile()
        self._places = asyncio.Semaphore(self._settings.concurrency)
        self._look_ups = LookUps(spec, transport, control)
        self._settling: Settling | None = None
        self._proofs: LookUpProofs | None = None

    async def verdicts(self, batch: Batch, elsewhere: frozenset[int]) -> dict[int, Outcome] | None:
        """By position, what becomes of the records of a batch that may not leave; None where the run stops. Those that won't leave in any
        case, since another run has sent them, are passed over.

        Raises:
            JournalError: the journal can't be read.
        """
        if self._settling is None:
            self._settling = await self._begin()
        texts = batch.texts()
        found: dict[int, Outcome] = {}

        async def look(position: int, key: str) -> None:
            async with self._places:
                if self._control.reason is None:
                    found[position] = await self._look_ups.look_up(key, texts[position])

        async with anyio.create_task_group() as looking:
            for position, key in enumerate(batch.keys):
                if key is not None and position not in elsewhere:
                    looking.start_soon(look, position, key)
        if self._control.reason is not None:
            return None
        verdicts = {position: verdict for position, verdict in found.items() if verdict in (FOUND, CONFLICT)}
        absent = [position for position, verdict in found.items() if verdict is ABSENT]
        verdicts |= await self._absent(batch, absent)
        for position, key in enumerate(batch.keys):
            if key is None:
                verdicts[position] = _unsure(f"it has no number, so it can't be looked up. {_ADOPT}")
            elif position in found and position not in verdicts and found[position] is not ABSENT:
                verdicts[position] = _unsure("the look-up was not answered. Run again with the same run id")
        log.info("batch looked up before it may leave", records=len(batch), may_leave=len(batch) - len(verdicts))
        return dict(sorted(verdicts.items()))

    async def _begin(self) -> Settling:
        deadline = max([await self._unknowns.deadline(), *(since.deadline for since in self._since)])
        settling = Settling(self._spec, self._transport, settle_time(self._settings.settle, deadline, await self._unknowns.slowest()))
        await settling.ask_for_the_time()
        return settling

    async def _absent(self, batch: Batch, absent: list[int]) -> dict[int, Outcome]:
        """By position, why documents that are not found may not leave all the same."""
        assert self._settling is not None
        last = max((since.sent for since in self._since), key=self._settling.left)
        if not absent or self._settling.left(last) > 0.0:
            return {position: _unsure(f"{self._settling.when(last)}. {_ADOPT}") for position in absent}
        forms = {position: form_of(batch.keys[position] or "") for position in absent}
        missing = await self._all_proofs(self._settling).missing(forms.values())
        return {
            position: _unsure(f"it is not found, and no document whose number has such a form is found: {form}. {_ADOPT}")
            for position, form in forms.items()
            if form in missing
        }

    def _all_proofs(self, settling: Settling) -> LookUpProofs:
        if self._proofs is None:
            settled = partial(self._unknowns.candidates, near=_NEWEST, is_settled=lambda sent: settling.left(sent) <= 0.0, of_all_runs=True)
            self._proofs = LookUpProofs(self._look_ups, settled)
        return self._proofs


def _unsure(why: str) -> Outcome:
    return Outcome("unknown", "stale_journal", f"{_STALE}; {why}")


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
        spec: RunSpec,
        transport: Transport,
        journal: RunJournal,
        tracker: BatchTracker,
        control: RunControl,
        deliverer: BatchSender,
        adopt: Callable[[int], Awaitable[None]],
    ) -> None:
        self._spec = spec
        self._transport = transport
        self._tracker = tracker
        self._control = control
        self._deliverer = deliverer
        self._adopt = adopt
        self._unknowns = journal.unknowns
        self._stale = journal.stale_since
        self._settings = spec.options.reconcile if isinstance(spec.options.reconcile, Reconcile) else Reconcile()
        self._places = asyncio.Semaphore(self._settings.concurrency)
        self._look_ups = LookUps(spec, transport, control)
        # Batches of which nothing is there, and the forms of their numbers.
        self._absent: dict[int, frozenset[NumberForm]] = {}

    async def run(self) -> None:
        """Looks up every such document that has a number, and sends again what may be."""
        try:
            batches = await self._unknowns.batches()
            settling = Settling(self._spec, self._transport, await self._settle_time())
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
            self._control.stop_for_journal(exc)

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
            return self._control.reason is None
        # A stale journal does not know when a document left last.
        stamps = [row.sent, *(since.sent for since in self._stale if self._settings.resend_absent)]
        while self._control.reason is None and (left := max(map(settling.left, stamps))) > 0:
            why = settling.why(max(stamps, key=settling.left))
            log.info(why, delay=round(left))
            self._tracker.report_progress(why)
            await clock.wait(self._control.stopping, left)
        return self._control.reason is None

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
            self._tracker.publish(outcome)

    async def _look_up(self, row: UnknownRow) -> dict[int, Outcome]:
        """What the look-ups of a batch say, by position; of what has no number, nothing."""
        found: dict[int, Outcome] = {}
        if row.body is None:
            # Nothing to compare with.
            return found
        texts = split_json_objects(row.body)

        async def look(position: int, key: str) -> None:
            async with self._places:
                if self._control.reason is None:
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
            if self._control.reason is not None:
                return
            if without := forms & missing:
                await self._stay_absent(number, without)
            elif (found := await self._unknowns.again(number)) is not None:
                live, _ = self._tracker.enter(*found)
                await self._deliverer.deliver(live)

    async def _stay_absent(self, number: int, without: frozenset[NumberForm]) -> None:
        """Says why a batch is not sent again."""
        forms = "; ".join(sorted(map(str, without)))
        log.warning("nothing is sent again of a batch: nothing proves that look-ups of such numbers work", forms=forms)
        text = f"the look-up did not find it, and no document whose number has such a form is found: {forms}. So it is not sent again"
        row = await self._unknowns.read(number)
        verdicts = {place: Outcome("unknown", "absent", text) if one.reason == "absent" else one for place, one in row.unknown.items()}
        for outcome in self._unknowns.looked_up(row, verdicts, frozenset()):
            self._tracker.publish(outcome)


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
