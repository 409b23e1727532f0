"""Looks up documents whose outcome is unknown, or that were accepted and not explained by the result of their batch.

Each document with a number is looked up, after a time to settle.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Final

from .. import clock, log
from ..clock import Stamp
from ..config import Reconcile
from ..errors import ArmError, StatusError
from ..retry import Proof, proof_of_status
from ..transport import Transport
from ..wire import Response
from .chunking import Batch, split_json_objects
from .control import RunControl
from .delivery import BatchSender
from .in_flight import BatchTracker
from .journal.protocol import RunJournal, UnknownBatch
from .lookups import ABSENT, CONFLICT, FOUND, NOT_LOOKED_UP, LookUpProofs, LookUps, Settling, accepted_after_look_up, settle_time
from .number_forms import NumberForm, form_of
from .observers import RunObserver
from .outcomes import Outcome
from .report import SettleWait
from .spec import RunSpec

__all__ = ["Reconciler", "StaleJournalCheck"]

_NEWEST: Final = 2**62
"""Larger than any batch id."""

_FRESH: Final = 1.0
"""Seconds since its look-ups began in which a batch is sent again without others: somebody else may have sent its documents meanwhile. A
look-up and a request may take as long, so that a shorter time would prevent little more."""

_STALE: Final = "the journal is out of date, or a copy"
_ADOPT: Final = "If the file was moved on purpose, run `amili-arm adopt` with its path"

_BATCH_TAKEN: Final = Outcome("unknown", "batch_taken", "not found, but others of its batch were: the batch was accepted")

_MAY_BE_SENT: Final = (
    "not found, but {} was about to send it, and is not known to have ended: so it is not sent again. Once you know that no earlier "
    "process runs any more, run `amili-arm adopt` with the URL of the journal, and reconcile again"
)

_PROVES_TAKEN: Final = frozenset({CONFLICT.reason, _BATCH_TAKEN.reason})
"""Reasons from an earlier look-up which show that a batch was accepted, even if this look-up does not show it."""


class _LookUpWork:
    """Common parts of the look-ups on a stale journal and at the end of a run.

    Args:
        spec: the run.
        transport: the connections.
        journal: the journal of the run, which is open.
        control: whether the run continues.
    """

    def __init__(self, spec: RunSpec, transport: Transport, journal: RunJournal, control: RunControl) -> None:
        self._spec = spec
        self._transport = transport
        self._control = control
        self._store = journal.reconcile_store
        self._stale_since = journal.stale_since
        self._settings = spec.options.reconcile if isinstance(spec.options.reconcile, Reconcile) else Reconcile()
        self._look_ups = LookUps(
            self._get, concurrency=self._settings.concurrency, is_stopped=lambda: control.reason is not None, on_refused=self._stop
        )

    async def _get(self, number: str) -> Response:
        return await self._transport.send(self._spec.look_up(number), timeout=self._spec.timeout, retry=self._spec.retry)

    def _stop(self, error: ArmError) -> None:
        reason = str(error.status) if isinstance(error, StatusError) else "no_token"
        self._control.stop(Outcome("not_sent", reason, str(error)), error)

    async def _settle_time(self) -> float:
        """Returns the seconds from the last attempt after which a document that is absent will not appear any more."""
        # Not the deadline of this attempt alone: an earlier one may have given its batches more time.
        deadline = max([await self._store.deadline(), *(since.deadline for since in self._stale_since)])
        return settle_time(self._settings.settle, deadline, await self._store.slowest())

    def _proofs(self, settling: Settling, near: int, *, of_all_runs: bool = False) -> LookUpProofs:
        def is_settled(sent: Stamp) -> bool:
            return settling.left(sent) <= 0.0

        return LookUpProofs(self._look_ups, partial(self._store.candidates, near=near, is_settled=is_settled, of_all_runs=of_all_runs))


class StaleJournalCheck(_LookUpWork):
    """On a stale journal, decides which documents of a batch may be sent: only those that are proved to be absent.

    Args:
        spec: the run.
        transport: the connections.
        journal: the stale journal, which is open.
        control: whether the run continues.
    """

    _settling: Settling | None = None
    _all_proofs: LookUpProofs | None = None

    async def outcomes(self, batch: Batch, sent_elsewhere: frozenset[int]) -> dict[int, Outcome] | None:
        """Looks up the documents of a batch before it may be sent.

        Args:
            batch: the batch.
            sent_elsewhere: positions of documents that are not sent in any case, because another run has sent them: they are skipped.

        Returns:
            By position, the outcomes of the documents that may not be sent; None where the run stops.

        Raises:
            JournalError: the journal can't be read.
        """
        if self._settling is None:
            self._settling = Settling(self._spec, self._transport, await self._settle_time())
            await self._settling.ask_for_the_time()
        texts = batch.texts()
        found = await self._look_ups.look_up_all(
            (position, key, texts[position])
            for position, key in enumerate(batch.keys)
            if key is not None and position not in sent_elsewhere
        )
        if self._control.reason is not None:
            return None
        outcomes = {position: outcome for position, outcome in found.items() if outcome in (FOUND, CONFLICT)}
        absent = [position for position, outcome in found.items() if outcome is ABSENT]
        outcomes |= await self._absent(batch, absent, self._settling)
        for position, key in enumerate(batch.keys):
            if key is None:
                outcomes[position] = _stale(f"it has no number, so it can't be looked up. {_ADOPT}")
            elif position in found and position not in outcomes and found[position] is not ABSENT:
                outcomes[position] = _stale("the look-up was not answered. Run again with the same run id")
        log.info("batch looked up before it is sent", records=len(batch), may_be_sent=len(batch) - len(outcomes))
        return dict(sorted(outcomes.items()))

    async def _absent(self, batch: Batch, absent: list[int], settling: Settling) -> dict[int, Outcome]:
        """Returns by position why documents that were not found must not be sent all the same."""
        last = max((since.sent for since in self._stale_since), key=settling.left)
        if not absent or settling.left(last) > 0.0:
            return {position: _stale(f"{settling.when(last)}. {_ADOPT}") for position in absent}
        if self._all_proofs is None:
            self._all_proofs = self._proofs(settling, _NEWEST, of_all_runs=True)
        forms = {position: form_of(batch.keys[position] or "") for position in absent}
        missing = await self._all_proofs.missing(forms.values())
        return {
            position: _stale(f"it is not found, and no document with a number of this form is found: {form}. {_ADOPT}")
            for position, form in forms.items()
            if form in missing
        }


def _stale(why: str) -> Outcome:
    return Outcome("unknown", "stale_journal", f"{_STALE}; {why}")


class Reconciler(_LookUpWork):
    """Looks up the unknown and the unexplained documents of a run, batch by batch, and records their outcomes.

    Args:
        spec: the run.
        transport: the connections.
        journal: the journal of the run, which is open.
        tracker: receives the outcome of each record.
        control: whether the run continues.
        sender: sends batches again.
        adopt: makes the records of a batch take the place of a source, if the run has none; called with the id of the batch.
        observers: of the run: what they would not let leave now is not sent again either.
    """

    def __init__(
        self,
        spec: RunSpec,
        transport: Transport,
        journal: RunJournal,
        tracker: BatchTracker,
        control: RunControl,
        sender: BatchSender,
        adopt: Callable[[int], Awaitable[None]],
        observers: Sequence[RunObserver],
    ) -> None:
        super().__init__(spec, transport, journal, control)
        self._tracker = tracker
        self._sender = sender
        self._adopt = adopt
        self._observers = observers
        # Batches that are absent as a whole: the forms of their numbers, and when their look-ups began.
        self._absent: dict[int, tuple[frozenset[NumberForm], float]] = {}
        self._waiting: int | None = None

    async def run(self) -> None:
        """Looks up every such document that has a number, and sends absent ones again where that is allowed.

        A failure of the journal, or a refused look-up, stops the run; nothing is raised.
        """
        try:
            batches = await self._store.batches()
            settle = self._settings.settle
            only_looks = settle is not None and not self._settings.resend_absent
            settling = Settling(self._spec, self._transport, settle if only_looks and settle is not None else await self._settle_time())
            if batches:
                await settling.ask_for_the_time()
                # A wait that is interrupted goes on when it is started again.
                await self._store.note_time(batches, clock.stamp(self._transport.service_clock.latest()))
            for number in batches:
                await self._adopt(number)
                batch = await self._store.read(number)
                if not await self._wait_until_settled(settling, batch):
                    return
                await self._reconcile_batch(batch)
            await self._send_absent_again(settling)
        except ArmError as exc:
            self._control.stop_for_journal(exc)

    async def _wait_until_settled(self, settling: Settling, batch: UnknownBatch) -> bool:
        """Waits until the time to settle of a batch has passed; False if the run stops. A batch that was processed does not wait."""
        if not batch.unknown and all(outcome.reason == "unmapped" for outcome in batch.accepted.values()):
            return self._control.reason is None
        # A stale journal does not know when a document was sent last.
        stamps = [batch.sent, *(since.sent for since in self._stale_since if self._settings.resend_absent)]
        while self._control.reason is None and (left := max(map(settling.left, stamps))) > 0:
            if self._waiting is None:
                self._waiting = await self._store.number_of_documents()
            wait = settling.wait_for(max(stamps, key=settling.left), self._waiting)
            why = _in_words(wait)
            log.info(why, delay=round(left))
            self._tracker.report_progress(why, wait)
            await clock.wait(self._control.stopping, left)
        return self._control.reason is None

    async def _reconcile_batch(self, batch: UnknownBatch) -> None:
        """Looks up the documents of a batch."""
        began = clock.steady_time()
        found = await self._look_up(batch)
        unknown = {position: found[position] for position in batch.unknown if position in found}
        proved_before = any(outcome.reason in _PROVES_TAKEN for outcome in batch.unknown.values())
        if proved_before or batch.was_accepted or any(outcome in (FOUND, CONFLICT) for outcome in unknown.values()):
            unknown = {position: _no_less(outcome, batch.unknown[position]) for position, outcome in unknown.items()}
        accepted = {
            position: accepted_after_look_up(found[position], before) for position, before in batch.accepted.items() if position in found
        }
        outcomes = {**batch.unknown, **batch.accepted, **unknown, **accepted}
        log.info("batch reconciled", records=len(outcomes), counts=_summary(outcomes))
        # Every number must be answered as absent, now and in earlier look-ups: an unanswered one may exist, and would prove that the batch
        # was accepted.
        is_absent = bool(unknown) and all(outcome is ABSENT for outcome in unknown.values())
        was_success = batch.status is not None and proof_of_status(batch.status) is Proof.DONE
        may_resend = is_absent and self._settings.resend_absent and batch.batch_uuid is None and not was_success
        if may_resend and (sender := await self._store.sender_of(batch.id)) is not None:
            may_resend = False
            unknown = dict.fromkeys(unknown, Outcome("unknown", "absent", _MAY_BE_SENT.format(sender)))
            outcomes |= unknown
        if may_resend:
            self._absent[batch.id] = frozenset(form_of(batch.keys[position] or "") for position in unknown), began
        for outcome in self._store.looked_up(batch, outcomes, frozenset(unknown) if may_resend else frozenset()):
            self._tracker.publish(outcome)

    async def _look_up(self, batch: UnknownBatch) -> dict[int, Outcome]:
        """Returns what the look-ups of a batch found, by position; nothing for what has no number."""
        if batch.body is None:
            # The text was not kept: there is nothing to compare with.
            return {}
        texts = split_json_objects(batch.body)
        positions = sorted({*batch.unknown, *batch.accepted})
        return await self._look_ups.look_up_all(
            (position, key, texts[position]) for position in positions if (key := batch.keys[position]) is not None
        )

    async def _send_absent_again(self, settling: Settling) -> None:
        """Sends the absent batches again, if it is proved for each form of their numbers that look-ups work."""
        if not self._absent:
            return
        proofs = self._proofs(settling, next(iter(self._absent)))
        missing = await proofs.missing(form for forms, _ in self._absent.values() for form in forms)
        for number, (forms, _) in list(self._absent.items()):
            if self._control.reason is not None:
                return
            if (why := _without_proof(forms & missing) or await self._why_blocked(number)) is not None:
                await self._leave_absent(number, why)
            elif await self._is_still_absent(number) and (found := await self._store.enter_again(number)) is not None:
                in_flight, _ = self._tracker.enter(*found)
                in_flight.before = ABSENT
                await self._sender.deliver(in_flight)

    async def _is_still_absent(self, number: int) -> bool:
        """Looks the documents of a batch up again where that was not just now."""
        _, began = self._absent[number]
        if clock.steady_time() - began > _FRESH:
            del self._absent[number]
            await self._reconcile_batch(await self._store.read(number))
        return number in self._absent and self._control.reason is None

    async def _why_blocked(self, number: int) -> str | None:
        """Returns why a batch must not be sent again, though it is absent: what a document of it depends on has failed since then."""
        if not self._observers:
            return None
        batch = await self._store.read(number)
        texts = split_json_objects(batch.body) if batch.body is not None else []
        records = [texts[position] for position in self._store.waiting(number)] if texts else []
        for observer in self._observers if records else ():
            for outcome in (await observer.filter(records, 0)).values():
                why = outcome.message or outcome.reason
                return f"the look-up did not find it, and its batch can't be sent now: {why}. So it is not sent again"
        return None

    async def _leave_absent(self, number: int, why: str) -> None:
        """Records and logs why a batch is not sent again."""
        log.warning("a batch is not sent again", why=why)
        batch = await self._store.read(number)
        outcomes = {place: Outcome("unknown", "absent", why) if one.reason == "absent" else one for place, one in batch.unknown.items()}
        for outcome in self._store.looked_up(batch, outcomes, frozenset()):
            self._tracker.publish(outcome)


def _without_proof(without: frozenset[NumberForm]) -> str | None:
    """Returns why documents with numbers of these forms are not sent again: no look-up proves that such numbers can be found."""
    if not without:
        return None
    forms = "; ".join(sorted(map(str, without)))
    return f"the look-up did not find it, and no document with a number of such a form is found: {forms}. So it is not sent again"


def _in_words(wait: SettleWait) -> str:
    # Rounded up to the second.
    until = datetime.fromtimestamp(math.ceil(wait.until), UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return f"waiting until {until} before documents are looked up: the time to settle is {wait.settle:g} s, {wait.cause}"


def _no_less(outcome: Outcome, before: Outcome) -> Outcome:
    """Returns the outcome of a document whose batch was accepted: what an earlier look-up found is kept if this one found less."""
    if outcome.reason in {ABSENT.reason, NOT_LOOKED_UP.reason} and before.reason == CONFLICT.reason:
        return before
    if outcome.reason == NOT_LOOKED_UP.reason and before.reason == _BATCH_TAKEN.reason:
        return before
    return _BATCH_TAKEN if outcome is ABSENT else outcome


def _summary(outcomes: Mapping[int, Outcome]) -> str:
    counts = Counter(outcome.reason or outcome.state for outcome in outcomes.values())
    return ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items()))
