"""What takes the place of the delivery in a dry run: batches are recorded and counted as they would be sent, and nothing is sent."""

from __future__ import annotations

from typing import Final

from .. import clock
from ..errors import ArmError
from .control import RunControl
from .delivery import compressed, request_of
from .in_flight import BatchTracker, InFlightBatch
from .journal.recorder import Recorder
from .outcomes import Outcome
from .spec import RunSpec

__all__ = ["DryRunSender"]

_WOULD_BE_SENT: Final = Outcome("would_be_sent")


class DryRunSender:
    """Takes the batches of a dry run, in place of a `BatchSender`.

    Args:
        spec: what would be sent.
        tracker: takes in what becomes of each record.
        control: whether the run continues.
        recorder: the journal, or a copy of it; it knows what other runs have sent.
    """

    def __init__(self, spec: RunSpec, tracker: BatchTracker, control: RunControl, recorder: Recorder) -> None:
        self._spec = spec
        self._tracker = tracker
        self._control = control
        self._recorder = recorder

    def resize(self) -> None:
        """Does nothing: there is no limit."""

    async def deliver(self, in_flight: InFlightBatch) -> None:
        """Counts a batch as one that would be sent, without the records that the journal keeps from being sent.

        Args:
            in_flight: the batch.
        """
        if not await self._record_intent(in_flight):
            if in_flight.batch:
                assert self._control.reason is not None
                self._tracker.settle(in_flight, self._control.reason)
            return
        request = request_of(in_flight.batch, self._spec)
        if self._spec.options.compression is not None:
            request = await compressed(request, self._spec.options.compression)
        tally = self._tracker.report.tally
        tally.batches_sent += 1
        tally.requests += 1
        tally.bytes_sent += request.size
        in_flight.attempts += 1
        self._tracker.settle(in_flight, _WOULD_BE_SENT)
        await clock.turn()

    async def _record_intent(self, in_flight: InFlightBatch) -> bool:
        """Records that a batch would leave; returns False where none of it would."""
        while self._control.reason is None and in_flight.batch:
            try:
                removed = await self._recorder.before_send(in_flight)
            except ArmError as exc:
                self._control.stop_for_journal(exc)
                return False
            if not removed:
                return True
            self._tracker.remove(in_flight, removed)
        return False
