"""Pure: what a check finds, counted whole and kept up to a limit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter
from typing import Final

from ..errors import CheckError, counted
from ..values.findings import SEVERITIES, CellFault, Severity

__all__ = ["CheckReport", "Finding"]

_PLACE: Final = itemgetter(0, 1)

_KEPT_PER_CODE: Final = 10
"""Faults of a code that are kept even where another code has filled all the room."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault of one record. It holds no value of the record but its key.

    Attributes:
        index: the place of the record in the source, from 0. Of a `source_error`, which is one of the source itself: how many
            records were read before it.
        key: customerNo or documentNo, where the record has one.
        path: the place in the record, for example `$.documentLines[2].price`.
        code: what kind of fault it is, for a program; docs/check.md has them all.
        message: what is wrong, for a person.
        severity: `"error"` or `"warning"`.
        earlier: of a duplicate, the index of the first record with that key; else None.
    """

    index: int
    key: str | None
    path: str
    code: str
    message: str
    severity: Severity
    earlier: int | None = None


class CheckReport:
    """What a check has found so far; correct at any time, also after an error or a cancellation.

    Every fault is counted. The first `max_findings` of them are kept, a `source_error` in any case, and of each code at least ten where
    there are so many, so that a million faults of one kind do not hide the only one of another.

    Attributes:
        records_read: records read from the source.
        not_checked: what could not be checked, and why, in words.
        complete: whether the source was read to its end and everything was looked at.
    """

    def __init__(self, max_findings: int) -> None:
        self.records_read = 0
        self.not_checked: list[str] = []
        self.complete = False
        self._max_findings = max_findings
        self._counts: Counter[str] = Counter()
        # With the number that each had among all: so the faults of a record stay in the order in which they were found.
        self._kept: dict[str, list[tuple[int, int, Finding]]] = {}
        self._found = 0
        self._room = max_findings

    def __repr__(self) -> str:
        """The numbers."""
        return f"CheckReport(records_read={self.records_read}, errors={self.errors}, warnings={self.warnings}, complete={self.complete})"

    @property
    def counts(self) -> dict[str, int]:
        """The number of faults of each code that occurs, the most frequent first."""
        return dict(self._counts.most_common())

    @property
    def errors(self) -> int:
        """The number of faults that are errors."""
        return sum(number for code, number in self._counts.items() if SEVERITIES[code] == "error")

    @property
    def warnings(self) -> int:
        """The number of faults that are warnings."""
        return sum(number for code, number in self._counts.items() if SEVERITIES[code] == "warning")

    @property
    def faults(self) -> list[Finding]:
        """The faults that were kept, in the order of the source."""
        return [fault for _, _, fault in sorted(chain(*self._kept.values()), key=_PLACE)]

    @property
    def more(self) -> dict[str, int]:
        """The number of faults of each code beyond those that were kept."""
        left = {code: number - len(self._kept.get(code, ())) for code, number in self.counts.items()}
        return {code: number for code, number in left.items() if number}

    @property
    def ok(self) -> bool:
        """Whether the whole source was checked and there is no error; warnings don't count."""
        return self.complete and not self.errors

    def raise_for_faults(self) -> None:
        """Raises an error unless the check is `ok`.

        Raises:
            CheckError: there are errors, or not everything was checked.
        """
        if not self.ok:
            codes = ", ".join(f"{code}: {number}" for code, number in self.counts.items() if SEVERITIES[code] == "error")
            raise CheckError(
                f"{counted(self.errors, 'error')} in {counted(self.records_read, 'record')}" + (f" ({codes})" if codes else ""), self
            )

    def add(self, index: int, key: str | None, found: CellFault, earlier: int | None = None) -> None:
        """Counts a finding, and keeps it if there is room.

        Args:
            index: the index of the record in the source, from 0.
            key: its number; None where it has none.
            found: code, path and message; the path of the record itself is `$` or blank.
            earlier: the index of the earlier record that it repeats; None where it repeats none.
        """
        code = found.code
        self._counts[code] += 1
        self._found += 1
        kept = self._kept.setdefault(code, [])
        if not self._room and len(kept) < _KEPT_PER_CODE and self._max_findings:
            fullest = max(self._kept.values(), key=len)
            if len(fullest) > _KEPT_PER_CODE:
                fullest.pop()
                self._room += 1
        # Why the source ended is there in any case: it is said once.
        if self._room or code == "source_error":
            self._room -= bool(self._room)
            path = f"$.{found.path}" if found.path not in {"", "$"} else "$"
            kept.append((index, self._found, Finding(index, key, path, code, found.message, SEVERITIES[code], earlier)))

    def lines(self) -> Iterator[str]:
        """Yields what was not kept and what was not checked, in words for people.

        Yields:
            A line.
        """
        for code, number in self.more.items():
            yield f"{number:,} more of {code}"
        for words in self.not_checked:
            yield f"not checked: {words}"
