"""Observers of a run: they see each record when it is read and each final state, and may take records out before they are sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .outcomes import BatchOutcome, Outcome

if TYPE_CHECKING:
    from .journal.protocol import RunJournal

__all__ = ["RunObserver"]


class RunObserver:
    """Observes one run; the methods do nothing by default.

    For each record of the source, whatever ends the run: `on_read` sees it once, and then `on_settled` gets its final state once.

    Attributes:
        reads_texts: whether it reads ready bytes as a whole: then the field names in them are checked before they are sent.
    """

    reads_texts = False

    async def begin(self) -> None:
        """Runs before anything is read. What it raises ends the run before it begins."""

    async def begin_journal(self, journal: RunJournal) -> None:
        """Runs once the journal of the run is open, before anything is read; not where the run has none. What it raises ends the run.

        Args:
            journal: the journal.
        """

    async def filter(self, records: Sequence[Any], first: int) -> Mapping[int, Outcome]:
        """Chooses the records that are not to be sent.

        It changes nothing: a run that ends while it waits gives these records another state. An `ArmError` that it raises ends the run.

        Args:
            records: as the source gave them.
            first: the index of the first of them in the source.

        Returns:
            The outcome of each record that is not to be sent, by its position in `records`.
        """
        return {}

    def on_read(self, records: Sequence[Any], first: int) -> None:
        """Sees records that go on, to be sent or named: right after `filter`, where that was asked. Must not raise.

        Args:
            records: as the source gave them.
            first: the index of the first of them in the source.
        """

    async def before_send(self) -> None:
        """Runs right before a batch of customers leaves. An `ArmError` that it raises ends the run, and the batch is not sent."""

    def on_accepted(self, records: int, seconds: float) -> None:
        """Learns that the server accepted a batch. Must not raise.

        Args:
            records: how many records it holds.
            seconds: from its first byte to the response.
        """

    def on_settled(self, outcome: BatchOutcome) -> None:
        """Learns the final state of some records. Must not raise or wait.

        Args:
            outcome: the records and what became of each.
        """

    async def end(self, *, complete: bool) -> None:
        """Runs after the last final state. It may raise an `ArmError`.

        Args:
            complete: whether the source was read to its end, or as far as the run was limited to, and nothing stopped the run.
        """
