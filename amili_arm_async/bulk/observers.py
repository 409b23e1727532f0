"""Those who watch a run: they see each record when it is read and each final state, and may take records out before they are cut."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .outcomes import BatchOutcome, Outcome

__all__ = ["RunObserver"]


class RunObserver:
    """Watches one run; every method may be left as it is.

    For each record of the source, whatever ends the run: `on_read` sees it once, and then `on_settled` gets its final state once.

    Attributes:
        reads_texts: whether it reads ready bytes as a whole: then the names in them are looked at before they are sent.
    """

    reads_texts = False

    async def begin(self) -> None:
        """Before anything is read. What it raises ends the run before it begins."""

    async def filter(self, records: Sequence[Any], first: int) -> Mapping[int, Outcome]:
        """The final states of those records that are not to be sent, by their place in `records`.

        It changes nothing: a run that ends while it waits gives these records another end. What it raises, an `ArmError`, ends the run.

        Args:
            records: as the source gave them.
            first: the index of the first of them in the source.
        """
        return {}

    def on_read(self, records: Sequence[Any], first: int) -> None:
        """These records go on, to be sent or named: right after `filter`, where that was asked. Must not raise."""

    def on_accepted(self, records: int, seconds: float) -> None:
        """A batch of so many records was taken, so many seconds after its first byte left. Must not raise."""

    def on_settled(self, outcome: BatchOutcome) -> None:
        """The final state of some records. Must not raise, nor wait."""

    async def end(self, *, complete: bool) -> None:
        """After the last final state; `complete` where the source was read to its end. Raises `ArmError`."""
