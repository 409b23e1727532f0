"""Pure: the place of every record of a file, kept in hardly any memory."""

from __future__ import annotations

from array import array
from bisect import bisect_right

__all__ = ["LineNumbers"]


class LineNumbers:
    """The line of each record, kept as runs of records with the same distance from line to line.

    A file without blank lines is one run, and so is one with a blank line after each record.
    """

    def __init__(self) -> None:
        self._indexes = array("q")
        self._lines = array("q")
        self._steps = array("q")
        self._count = 0
        self._last = 0

    def add(self, line: int) -> None:
        """The next record is on `line`."""
        if self._count and line - self._last != self._steps[-1]:
            if self._indexes[-1] == self._count - 1:
                # The second record of a run gives its step.
                self._steps[-1] = line - self._last
            else:
                self._begin(line)
        elif not self._count:
            self._begin(line)
        self._count += 1
        self._last = line

    def _begin(self, line: int) -> None:
        self._indexes.append(self._count)
        self._lines.append(line)
        self._steps.append(1)

    def __len__(self) -> int:
        return self._count

    @property
    def last(self) -> int:
        """The line of the last record, 0 where there is none."""
        return self._last

    def __getitem__(self, index: int) -> int:
        """The line of the record at `index`, from 0; lines count from 1."""
        run = bisect_right(self._indexes, index) - 1
        return self._lines[run] + (index - self._indexes[run]) * self._steps[run]
