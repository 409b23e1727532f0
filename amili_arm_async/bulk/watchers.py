"""Those who watch a run: they see each record when it is read and each final state, and may take records out before they are cut."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .states import BatchOutcome, Verdict

__all__ = ["Watcher"]


class Watcher:
    """Watches one run; every method may be left as it is.

    For each record of the source, whatever ends the run: `look` sees it once, and then `told` gets its final state once.

    Attributes:
        reads_texts: whether it reads ready bytes as a whole: then the names in them are looked at before they are sent.
    """

    reads_texts = False

    async def begin(self) -> None:
        """Before anything is read. What it raises ends the run before it begins."""

    async def sift(self, records: Sequence[Any], first: int) -> Mapping[int, Verdict]:
        """The final states of those records that are not to be sent, by their place in `records`.

        It changes nothing: a run that ends while it waits gives these records another end. What it raises, an `ArmError`, ends the run.

        Args:
            records: as the source gave them.
            first: the index of the first of them in the source.
        """
        return {}

    def look(self, records: Sequence[Any], first: int) -> None:
        """These records go on, to be sent or named: right after `sift`, where that was asked. Must not raise."""

    def accepted(self, records: int, seconds: float) -> None:
        """A batch of so many records was taken, so many seconds after its first byte left. Must not raise."""

    def told(self, outcome: BatchOutcome) -> None:
        """The final state of some records. Must not raise, nor wait."""

    async def end(self, *, complete: bool) -> None:
        """After the last final state; `complete` where the source was read to its end. Raises `ArmError`."""
