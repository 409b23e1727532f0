"""Pure: the place of every record of a file, kept in hardly any memory."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

__all__ = ["LineNumbers"]

_BLOCK: Final = 256


class LineNumbers:
    """The line of each record, by blocks of records: its first line, and the steps from line to line, which are one number where they are
    all the same, and one byte each where they are small."""

    def __init__(self) -> None:
        self._first = array("q")
        self._steps: list[int | bytes | array[int]] = []
        self._open: list[int] = []

    def extend(self, lines: Sequence[int]) -> None:
        """The next records are on these lines."""
        self._open += lines
        whole = len(self._open) - len(self._open) % _BLOCK
        for start in range(0, whole, _BLOCK):
            self._keep(self._open[start : start + _BLOCK])
        del self._open[:whole]

    def _keep(self, lines: list[int]) -> None:
        self._first.append(lines[0])
        step = lines[1] - lines[0]
        if step > 0 and lines == list(range(lines[0], lines[-1] + 1, step)):
            self._steps.append(step)
            return
        steps = [after - before for before, after in pairwise(lines)]
        self._steps.append(bytes(steps) if min(steps) >= 0 and max(steps) < 256 else array("q", steps))

    def __len__(self) -> int:
        return len(self._steps) * _BLOCK + len(self._open)

    def __getitem__(self, index: int) -> int:
        """The line of the record at `index`, from 0; lines count from 1."""
        block, place = divmod(index, _BLOCK)
        if block == len(self._steps):
            return self._open[place]
        steps = self._steps[block]
        return self._first[block] + (steps * place if isinstance(steps, int) else sum(steps[:place]))
