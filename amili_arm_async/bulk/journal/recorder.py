"""The interface that a run reports its progress to (`Recorder`), and its implementation without a journal (`NullRecorder`)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ..chunking import Batch, Invalid
from ..outcomes import REPEATED, BatchOutcome, Outcome, State
from .repeats import Repeats

if TYPE_CHECKING:
    from ...errors import ArmError
    from ..in_flight import InFlightBatch

__all__ = ["NullRecorder", "Recorder", "SendDecision"]


class SendDecision(NamedTuple):
    """Which records of a batch are to be sent.

    Attributes:
        batch: the records to send, or None if there are none.
        row: the id of that batch in the journal; 0 without a journal.
        outcomes: the outcomes of the other records.
        after: events to wait for before the batch is sent.
    """

    batch: Batch | None
    row: int
    outcomes: Sequence[BatchOutcome]
    after: Sequence[asyncio.Event]


class Recorder(Protocol):
    """Receives every step of a run, in the event loop of the run.

    Durable means: on the disk, so that it survives the end of the process and of the machine. What is not durable when a method returns is
    written soon, in the order of the calls; it is durable with the next durable step, or at the end. A method that is not asynchronous
    never waits and never raises. If its step can't be written, `failure` is set and the next asynchronous method raises it.
    """

    @property
    def failure(self) -> ArmError | None:
        """What made the recorder unusable, or None."""
        ...

    @property
    def is_resumed(self) -> bool:
        """Whether the journal holds records of earlier attempts of the run."""
        ...

    @property
    def is_stale(self) -> bool:
        """Whether documents may have been sent that the journal does not know of."""
        ...

    @property
    def batches_ahead(self) -> int:
        """How many batches more than may be in flight are prepared meanwhile, because it takes time to record them."""
        ...

    @property
    def keeps_payloads(self) -> bool:
        """Whether the payloads of records that don't succeed are kept (for a dead letter file)."""
        ...

    async def begin(self) -> None:
        """Opens the recorder; called once, before anything else. The run is durable when it returns.

        Raises:
            JournalError: the journal or the dead letter file can't be used, or the run is in progress elsewhere.
            ConfigurationError: the run was begun against another address.
        """
        ...

    async def end(self, *, complete: bool) -> dict[State, int]:
        """Closes the recorder; called once, after everything else, also where `begin` raised. All is durable when it returns.

        Args:
            complete: whether the source was read to its end and nothing stopped the run.

        Returns:
            The number of records by state, `accepted` and `unknown` only, that earlier attempts of the run sent and the source did not
            yield this time; empty where the source was not read to its end.

        Raises:
            JournalError: something could not be written.
        """
        ...

    async def decide(self, batch: Batch) -> SendDecision | None:
        """Decides which records of a batch are sent. Called once for each batch of the source, in order, one at a time.

        Args:
            batch: the batch as the chunker cut it.

        Returns:
            The decision, of which nothing is durable; None if the run stopped first.

        Raises:
            JournalError: the journal can't be used any more.
        """
        ...

    async def before_send(self, in_flight: InFlightBatch) -> Mapping[int, Outcome]:
        """Records the intent to send a batch; called before each attempt, before the first byte. For a batch that must not be sent twice,
        the intent is durable when it returns.

        Args:
            in_flight: the batch.

        Returns:
            By position, the outcomes of records that must not be sent, because another run has sent them. Then no intent is recorded: the
            caller removes them (`remove_records`) and asks again. Empty where the batch may be sent.

        Raises:
            JournalError: the intent can't be recorded: the batch must not be sent.
        """
        ...

    def remove_records(self, in_flight: InFlightBatch, rest: Sequence[int], part: Batch | None, outcome: BatchOutcome) -> None:
        """Records that records were removed from a batch because of what `before_send` returned.

        Args:
            in_flight: the batch as it was; its `row` is set to that of what is left.
            rest: the positions of the records that are left.
            part: the batch of those, or None if none is left.
            outcome: the outcome of those that were removed.
        """
        ...

    def requeue(self, in_flight: InFlightBatch) -> None:
        """Records that the server provably did not accept an attempt, and that the batch waits for its next one; where an earlier attempt
        may have been accepted, nothing changes.

        Args:
            in_flight: the batch.
        """
        ...

    def split(self, in_flight: InFlightBatch, parts: Sequence[InFlightBatch]) -> None:
        """Replaces a batch by its parts, because the server did not accept an attempt; where an earlier attempt may have been accepted,
        that is true of the parts, too.

        Args:
            in_flight: the batch.
            parts: its parts; their `row` is set.
        """
        ...

    async def accepted(self, in_flight: InFlightBatch, batch_uuid: str, *, is_first: bool) -> bool:
        """The server accepted a batch; called right after the 202. For a batch that must not be sent twice, the batchUuid is durable when
        it returns.

        Args:
            in_flight: the batch.
            batch_uuid: the batchUuid of the 202.
            is_first: False if this client got the same batchUuid before: then the receipt proves nothing.

        Returns:
            Whether no other batch, of this client or in the journal, has the batchUuid. Where False, only that is recorded.

        Raises:
            JournalError: it can't be recorded. The batch was accepted all the same.
        """
        ...

    def settled(self, in_flight: InFlightBatch, outcome: Outcome, exceptions: Mapping[int, Outcome]) -> None:
        """Records the outcome of a batch. Called once for each batch that was decided to be sent, or for each of its parts.

        Args:
            in_flight: the batch.
            outcome: the outcome of all its records but the exceptions.
            exceptions: by position, the outcomes that differ.
        """
        ...

    def not_sent(self, indexes: Sequence[int], keys: Sequence[str | None], outcome: Outcome, body: bytes | None) -> None:
        """Records the outcome of records that were never in a batch that was sent.

        Args:
            indexes: their indexes in the source.
            keys: their keys.
            outcome: the outcome of all of them.
            body: their JSON, comma-separated, or None if there is none.
        """
        ...

    def invalid(self, refused: Invalid) -> None:
        """Records the outcome of a record that can't be sent: it could not be read or encoded, or is too large.

        Args:
            refused: the record.
        """
        ...

    def defer(self, in_flight: InFlightBatch, outcome: BatchOutcome) -> bool:
        """Called after `settled`: defers the outcome where a look-up at the end of the run may tell more.

        Args:
            in_flight: the batch.
            outcome: its outcome.

        Returns:
            Whether it is deferred: then the caller reports nothing; `release_deferred` or the look-up yields it later.
        """
        ...

    def release_deferred(self) -> Iterator[BatchOutcome]:
        """Yields the outcomes that are still deferred, as far as they are known; from now on none is deferred."""
        ...

    async def wait_for_backlog(self) -> None:
        """Waits while too much is still to be written, which is in memory until then.

        Raises:
            JournalError: the journal can't be used any more.
        """
        ...

    async def earlier_outcomes(
        self, indexes: Sequence[int], keys: Sequence[str | None], texts: Sequence[bytes], prints: Sequence[int]
    ) -> Mapping[int, Outcome | None]:
        """Looks up records that this attempt will not send: what earlier attempts of the run did with them.

        Args:
            indexes: their indexes in the source.
            keys: their keys.
            texts: their JSON; may be empty where all have keys.
            prints: their fingerprints; may be empty, then a key is enough.

        Returns:
            By place, the outcomes of those that the server has or may have; None where it follows later, with that of the batch of an
                earlier attempt; `invalid` where it has their number from another document.

        Raises:
            JournalError: the journal can't be used any more.
        """
        ...


class NullRecorder:
    """The recorder of a run without a journal: keeps only documentNos, to find repeated ones. See `Recorder` for the methods.

    Args:
        safe: whether sending a record twice does no harm.
    """

    failure: ArmError | None = None
    keeps_payloads = False
    is_resumed = is_stale = False
    batches_ahead = 0

    def __init__(self, *, safe: bool) -> None:
        self._safe = safe
        self._repeats: Repeats | None = None

    async def begin(self) -> None:
        """Opens the temporary file of documentNos."""
        if not self._safe:
            self._repeats = Repeats()

    async def end(self, *, complete: bool) -> dict[State, int]:
        """Closes that file.

        Args:
            complete: makes no difference.

        Returns:
            An empty mapping.
        """
        if self._repeats is not None:
            self._repeats.close()
        return {}

    async def decide(self, batch: Batch) -> SendDecision:
        """Decides to send all records but documents whose documentNo was in the run before.

        Args:
            batch: the batch.

        Returns:
            The decision.

        Raises:
            JournalError: the temporary file can't be written.
        """
        repeated = await self._repeats.find(batch.keys) if self._repeats is not None else ()
        if not repeated:
            return SendDecision(batch, 0, (), ())
        indexes, keys = [batch.indexes[place] for place in repeated], [batch.keys[place] for place in repeated]
        gone = frozenset(repeated)
        rest = [place for place in range(len(batch)) if place not in gone]
        outcome = BatchOutcome(batch.number, None, 0, None, indexes, keys, REPEATED)
        return SendDecision(batch.only(rest) if rest else None, 0, [outcome], ())

    async def before_send(self, in_flight: InFlightBatch) -> Mapping[int, Outcome]:
        """Records nothing.

        Args:
            in_flight: the batch.

        Returns:
            An empty mapping: all of it may be sent.
        """
        return {}

    def remove_records(self, in_flight: InFlightBatch, rest: Sequence[int], part: Batch | None, outcome: BatchOutcome) -> None:
        """Records nothing."""

    def requeue(self, in_flight: InFlightBatch) -> None:
        """Records nothing."""

    def split(self, in_flight: InFlightBatch, parts: Sequence[InFlightBatch]) -> None:
        """Records nothing."""

    async def accepted(self, in_flight: InFlightBatch, batch_uuid: str, *, is_first: bool) -> bool:
        """Records nothing.

        Args:
            in_flight: the batch.
            batch_uuid: its batchUuid.
            is_first: what the client knows.

        Returns:
            `is_first`: nothing else is known of other batches.
        """
        return is_first

    def settled(self, in_flight: InFlightBatch, outcome: Outcome, exceptions: Mapping[int, Outcome]) -> None:
        """Records nothing."""

    def not_sent(self, indexes: Sequence[int], keys: Sequence[str | None], outcome: Outcome, body: bytes | None) -> None:
        """Records nothing."""

    def invalid(self, refused: Invalid) -> None:
        """Records nothing."""

    def defer(self, in_flight: InFlightBatch, outcome: BatchOutcome) -> bool:
        """Defers nothing: without a journal nothing is looked up.

        Args:
            in_flight: the batch.
            outcome: its outcome.

        Returns:
            False.
        """
        return False

    def release_deferred(self) -> Iterator[BatchOutcome]:
        """Yields nothing."""
        return iter(())

    async def wait_for_backlog(self) -> None:
        """Returns at once."""

    async def earlier_outcomes(
        self, indexes: Sequence[int], keys: Sequence[str | None], texts: Sequence[bytes], prints: Sequence[int]
    ) -> Mapping[int, Outcome | None]:
        """Returns an empty mapping: nothing is known of earlier attempts."""
        return {}
