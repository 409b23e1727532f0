"""Controls a run: what stops it, what it waits for, and how long its patience lasts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from .. import clock
from ..attempts import Attempt
from ..config import RetryPolicy
from ..endpoints import Endpoint
from ..errors import ArmError, AuthenticationError, NotSentError
from ..retry import Proof, retry_delay
from .limits import RetryAfterGate
from .outcomes import Outcome

if TYPE_CHECKING:
    from .in_flight import InFlightBatch
    from .pressure import SharedPressure

__all__ = ["RunControl", "reason_of"]


class RunControl:
    """The state that all workers of a run check before they send.

    Args:
        gate: until when nothing may be sent, shared with the other runs of the client.
        patience: seconds for which the server may accept nothing before the run ends.
        retry: how the waits grow.
        endpoint: the endpoint of the batches, for errors.
        stopped: called once, when the run stops.

    Attributes:
        reason: the outcome of what is not sent any more, or None while the run continues.
        cause: the error that ended the run, or None.
        stopping: set when the run stops.
    """

    def __init__(
        self, *, gate: RetryAfterGate, patience: float, retry: RetryPolicy, endpoint: Endpoint, stopped: Callable[[], None]
    ) -> None:
        self.reason: Outcome | None = None
        self.cause: Exception | None = None
        self.stopping = asyncio.Event()
        self._gate = gate
        self._patience = patience
        self._retry = retry
        self._endpoint = endpoint
        self._stopped = stopped
        self._trouble_since: float | None = None
        self._has_token = False
        self._was_answered = False
        self._answers = asyncio.Event()
        self._answers.set()

    # --- stopping ---------------------------------------------------------------------------------------------------------

    def stop(self, reason: Outcome, cause: Exception | None = None) -> None:
        """Stops the run: nothing more is sent. The first call counts.

        Args:
            reason: the outcome of what is not sent any more.
            cause: the error that ends the run, or None.
        """
        if self.reason is None:
            self.reason = reason
            self.cause = cause
            self.stopping.set()
            self._answers.set()
            self._stopped()

    def record_attempt(self, attempt: Attempt) -> None:
        """Takes note of how far an attempt came.

        Args:
            attempt: the attempt.
        """
        self._was_answered = self._was_answered or attempt.response is not None
        # Without a token nothing is sent.
        self._has_token = self._has_token or attempt.response is not None or attempt.send_failure is not None

    def is_hopeless(self, attempt: Attempt) -> bool:
        """Returns whether no further attempt of this run can succeed.

        That is so at once where the failure is permanent, and where the address looks wrong and has not answered in this run. What worked
        before is waited for: addresses may vanish for a moment during a deployment.

        Args:
            attempt: the attempt that failed.

        Returns:
            Whether the run has to end.
        """
        self.record_attempt(attempt)
        if attempt.lasting == "perhaps":
            return not (self._has_token if isinstance(attempt.error, AuthenticationError) else self._was_answered)
        return attempt.fatal is not None

    def stop_for(self, attempt: Attempt, endpoint: Endpoint) -> None:
        """Stops the run for a failure of the call, and not of its data.

        Args:
            attempt: the attempt that failed.
            endpoint: what was called.
        """
        error = attempt.fatal or attempt.status_error(endpoint) or attempt.error or NotSentError(attempt.reason)
        self.stop(Outcome("not_sent", reason_of(attempt), str(error)), error)

    def stop_for_journal(self, failure: Exception) -> None:
        """Stops the run because a step can't be recorded: what is not recorded is not sent.

        Args:
            failure: the error of the journal.
        """
        self.stop(Outcome("not_sent", "journal", str(failure)), failure)

    def _out_of_patience(self, attempt: Attempt | None) -> None:
        last = attempt.description if attempt is not None else "it asks for a longer wait"
        text = f"the server accepted nothing for {self._patience:g} s ({last})"
        error: ArmError | None = attempt.status_error(self._endpoint) if attempt is not None else None
        if error is None:
            error = NotSentError(text + ": run it again later, or allow more patience")
            error.__cause__ = attempt.error if attempt is not None else None
        self.stop(Outcome("not_sent", "patience", text), error)

    # --- waiting ----------------------------------------------------------------------------------------------------------

    @property
    def may_send(self) -> bool:
        """Whether a batch may be sent now."""
        return self.reason is None and not self._gate.remaining and self._answers.is_set()

    async def wait_to_send(self) -> bool:
        """Waits until a batch may be sent.

        Returns:
            False when no batch is sent any more.
        """
        while self.reason is None and not self.may_send:
            if self._gate.remaining:
                await self._sleep(self._gate.remaining, None)
            else:
                await self._answers.wait()
        return self.reason is None

    def is_answered(self) -> None:
        """Takes note that the server gave an answer that is not "later": the trouble, if any, is over."""
        self._trouble_since = None

    def patience_left(self, in_flight: InFlightBatch | None = None) -> float:
        """Returns the seconds that are left of the patience.

        Args:
            in_flight: the batch, or None for the run as a whole.

        Returns:
            The seconds; below 0 when they are over.
        """
        since = self._trouble_since if in_flight is None else in_flight.trouble_since
        return self._patience - (clock.monotonic() - since if since is not None else 0.0)

    async def pause(self, in_flight: InFlightBatch, attempt: Attempt) -> bool:
        """Waits before the next attempt of a batch.

        Args:
            in_flight: the batch.
            attempt: the attempt that failed.

        Returns:
            False where the patience with this batch is over.
        """
        now = clock.monotonic()
        in_flight.failures += 1
        in_flight.trouble_since = now if in_flight.trouble_since is None else in_flight.trouble_since
        delay = retry_delay(self._retry, in_flight.failures, attempt.retry_after)
        if now - in_flight.trouble_since + delay <= self._patience:
            await self._sleep(delay, attempt)
            return True
        if now - (self._trouble_since or now) + delay > self._patience:
            self._out_of_patience(attempt)
        return False

    async def _sleep(self, seconds: float, attempt: Attempt | None) -> None:
        """Sleeps while the run continues; ends it where its patience does not last as long."""
        now = clock.monotonic()
        self._trouble_since = now if self._trouble_since is None else self._trouble_since
        if now - self._trouble_since + seconds > self._patience:
            self._out_of_patience(attempt)
        else:
            await clock.wait(self.stopping, seconds)

    # --- after an unknown outcome -----------------------------------------------------------------------------------------

    def begin_check(self) -> bool:
        """Takes note that an unsafe batch has an unknown outcome: no new one may start.

        Returns:
            True for the one caller who has to call `wait_for_answer`.
        """
        first = self._answers.is_set() and self.reason is None
        if first:
            self._answers.clear()
        return first

    async def wait_for_answer(
        self, probe: Callable[[], Awaitable[Attempt]], endpoint: Endpoint, pressure: SharedPressure | None = None
    ) -> None:
        """Repeats a cheap read until it is answered: an outage costs the batches in flight, not the night.

        Args:
            probe: reads once.
            endpoint: what it reads, for errors.
            pressure: knows of other processes, of which one reads for all; or None.
        """
        failures = 0
        while self.reason is None:
            what = await pressure.after_unknown() if pressure is not None else "ask"
            if what == "go on":
                self.is_answered()
                break
            if pressure is not None and what == "wait":
                await self._sleep(pressure.soon, None)
                continue
            began = clock.monotonic()
            attempt = await probe()
            if self.is_hopeless(attempt):
                self.stop_for(attempt, endpoint)
            elif attempt.rule is not None and attempt.rule.probe == "answered":
                self.is_answered()
                if pressure is None or await pressure.is_answered(began):
                    break
            else:
                failures += 1
                await self._sleep(retry_delay(self._retry, failures, attempt.retry_after), attempt)
        self._answers.set()


def reason_of(attempt: Attempt) -> str:
    """Returns the short reason of a failed attempt.

    Args:
        attempt: the attempt.

    Returns:
        The HTTP status, or what happened, without blanks.
    """
    if attempt.status is not None and attempt.proof is not Proof.DONE:
        return str(attempt.status)
    return attempt.reason.replace(" ", "_").replace("-", "")
