"""A run on a stale journal, which does not know all that was sent: each document is looked up before it may leave."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

import anyio

from .. import log
from ..config import Reconcile
from ..transport import Transport
from .chunking import Batch
from .course import RunControl
from .job import RunSpec
from .journal.run_journal import RunJournal
from .look_ups import ABSENT, CONFLICT, FOUND, LookUpProofs, LookUps
from .number_forms import form_of
from .settling import Settling, settle_time
from .states import Outcome

__all__ = ["LookUpFirst"]

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

    def __init__(self, job: RunSpec, transport: Transport, journal: RunJournal, course: RunControl) -> None:
        self._job = job
        self._transport = transport
        self._course = course
        self._since = journal.stale_since
        self._unknowns = journal.unknowns
        self._settings = job.options.reconcile if isinstance(job.options.reconcile, Reconcile) else Reconcile()
        self._places = asyncio.Semaphore(self._settings.concurrency)
        self._look_ups = LookUps(job, transport, course)
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
                if self._course.reason is None:
                    found[position] = await self._look_ups.look_up(key, texts[position])

        async with anyio.create_task_group() as looking:
            for position, key in enumerate(batch.keys):
                if key is not None and position not in elsewhere:
                    looking.start_soon(look, position, key)
        if self._course.reason is not None:
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
        settling = Settling(self._job, self._transport, settle_time(self._settings.settle, deadline, await self._unknowns.slowest()))
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
