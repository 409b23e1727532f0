"""A check from its beginning to its end: reads the source, a few records at a time, and reports what it finds. No network."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Generator, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, cast

from .. import clock
from ..bulk.blocks import RecordBlock
from ..bulk.chunking import as_key
from ..bulk.source import Collected, FreshRecords, Source
from ..errors import CheckError, ConfigurationError, SourceError, counted
from ..values.fields import KEYS, RecordKind
from ..values.findings import CellFault
from .report import CheckReport

if TYPE_CHECKING:
    from ..sources.judged import JudgedBlock
    from .examiner import Checked, Examiner

__all__ = ["CheckRun"]

_SLICE: Final = 200
"""Records that are looked at before others get a turn of the event loop: some milliseconds."""


class CheckRun:
    """A check of a whole source: `report = await arm.documents.check(source)`. Nothing is sent.

    Memory stays the same however long the source is, its keys included: they are compared on the disk (see `keys`).

    Attributes:
        report: the `CheckReport`, correct at any time; after an error or a cancellation it has what was found until then.
        on_progress: called from time to time with the number of records read; None: not called.
    """

    def __init__(
        self,
        kind: RecordKind,
        records: Iterable[Any] | AsyncIterable[Any],
        *,
        max_findings: int,
        max_bytes: int | None,
        customers: Iterable[str] | AsyncIterable[str] | None = None,
    ) -> None:
        # Only a check needs these: what they make once would be made at every import.
        from ..bulk.key_hashes import KeyHashes  # noqa: PLC0415
        from .examiner import Examiner  # noqa: PLC0415

        if max_findings < 0:
            raise ConfigurationError(f"max_findings must be 0 or more, not {max_findings}")
        if max_bytes is not None and max_bytes < 1:
            raise ConfigurationError("max_bytes leaves no room for a record")
        self.report = CheckReport(max_findings)
        self.on_progress: Callable[[int], object] | None = None
        self._key = KEYS[kind]
        self._examiner = Examiner(kind, max_bytes)
        in_columns = isinstance(records, FreshRecords) and hasattr(records, "judged_blocks")
        self._source = Source(cast("AsyncIterable[Any]", _Judged(records)) if in_columns else records)
        self._refused = 0
        self._known = Source(customers) if customers is not None else None
        self._keys = KeyHashes(keep_keys=True)
        self._owners = KeyHashes(keep_keys=True)
        self._others = KeyHashes(keep_keys=False)
        self._begun = False

    def __await__(self) -> Generator[Any, None, CheckReport]:
        """Does the whole check.

        Raises:
            CheckError: the source raised; the cause is chained, and `report` has what was found until then, this error among it.
        """
        return self._whole().__await__()

    async def _whole(self) -> CheckReport:
        if self._begun:
            raise ConfigurationError("a check can be awaited once: its report is in .report")
        self._begun = True
        try:
            if self._known is not None:
                await self._read_known(self._known)
            await self._read()
            await self._compare()
        finally:
            for hashes in (self._keys, self._owners, self._others):
                hashes.close()
        if self._source.failure is not None:
            raise self._error("the source of the records", self._source.failure)
        if self._refused:
            self.report.not_checked.append(f"anything else in {counted(self._refused, 'record')} of the table that can't be sent")
        self.report.complete = True
        return self.report

    def _error(self, what: str, failure: Exception) -> CheckError:
        # What the caller's own source says may hold anything: only what this library says is quoted.
        read = self.report.records_read
        text = f"{what} raised {type(failure).__name__} after {counted(read, 'record')}"
        if isinstance(failure, SourceError):
            # It names the file.
            text = str(failure) if failure is self._source.failure else f"{what}: {failure}"
            self.report.add(read, None, CellFault("source_error", "$", text))
        made = CheckError(text, self.report)
        made.__cause__ = failure
        return made

    async def _read_known(self, known: Source) -> None:
        while not known.ended:
            numbers = Collected()
            await known.read(_SLICE, numbers)
            self._others.add(list(map(as_key, numbers)))
            await clock.turn()
        if known.failure is not None:
            raise self._error("the source of the customers", known.failure)

    async def _read(self) -> None:
        while not self._source.ended:
            buffer = _CheckingBuffer(self._examiner)
            try:
                await self._source.read(_SLICE, buffer)
            finally:
                # What was read before a cancellation counts too.
                for checked in buffer.results():
                    self._take(checked)
                self._refused += buffer.refused
            if self.on_progress is not None:
                self.on_progress(self.report.records_read)
            await clock.turn()

    def _take(self, checked: Checked) -> None:
        first = self.report.records_read
        self.report.records_read += len(checked.keys)
        for position, faults in sorted(checked.faults.items()):
            for found in faults:
                self.report.add(first + position, checked.keys[position], found)
        self._keys.add(checked.keys)
        if self._known is not None:
            self._owners.add(checked.owners, checked.keys)

    async def _compare(self) -> None:
        for found in self._repeated():
            await self._record(found)
        if self._known is not None:
            for missing in self._unknown():
                await self._record(missing)

    async def _record(self, found: tuple[int, str | None, CellFault, int | None] | None) -> None:
        if found is None:
            await clock.turn()
        else:
            index, key, fault, earlier = found
            self.report.add(index, key, fault, earlier)

    def _repeated(self) -> Iterator[tuple[int, str | None, CellFault, int | None] | None]:
        from ..bulk.key_hashes import repeats  # noqa: PLC0415

        for found in repeats(self._keys):
            if found is None:
                yield None
            else:
                (index, key), earlier = found
                yield index, key, CellFault("duplicate", self._key, "the same as that of an earlier record"), earlier

    def _unknown(self) -> Iterator[tuple[int, str | None, CellFault, int | None] | None]:
        from ..bulk.key_hashes import absent  # noqa: PLC0415

        for found in absent(self._owners, self._others):
            if found is None:
                yield None
            else:
                index, key, owner = found
                yield index, key, CellFault("unknown_customer", "customerNo", f"customer {owner} is not among the customers"), None


class _Judged(FreshRecords):
    """A source that gives its records in columns where it is a table, judged by the rules for tables."""

    rules = ""

    def __init__(self, records: Any) -> None:
        self.ends = records.ends
        # What is read of it is a block all the same.
        self.blocks: Callable[[], AsyncIterator[RecordBlock]] = records.judged_blocks


class _CheckingBuffer:
    """Takes in records: their texts at once, where the next one may be the same object, filled again.

    Attributes:
        refused: how many records of a table were refused when they were read.
    """

    def __init__(self, examiner: Examiner) -> None:
        self.refused = 0
        self._examiner = examiner
        self._records: list[Any] = []
        self._results: list[Checked] = []

    def append(self, record: Any) -> None:
        """Takes in a record that may be changed as soon as the next one is read."""
        self._records.append(self._examiner.snapshot(self._examiner.plain(record)))

    def hold(self, record: Any) -> None:
        """Takes in a record that can't change."""
        self._records.append(record)

    def feed(self, records: list[Any]) -> None:
        """Takes in records of a list."""
        self._records += map(self._examiner.plain, records)

    def feed_block(self, block: RecordBlock | JudgedBlock) -> None:
        """Takes in the records of a block."""
        self._check()
        if isinstance(block, list):
            self._results.append(self._check_json(block))
        else:
            self._results.append(self._examiner.check_judged(block))
            self.refused += len(block.refused)

    def _check_json(self, block: RecordBlock) -> Checked:
        checked = self._examiner.check(block)
        days = [position for position, faults in checked.faults.items() if any(fault.code == "date" for fault in faults)]
        if not days or block.judge is None:
            return checked
        # A day that is written in another form is sent in that of the API.
        faults = dict(checked.faults)
        for position, record in block.judge(days).items():
            if isinstance(record, bytes):
                faults[position] = self._examiner.check([record]).faults.get(0, [])
        return checked._replace(faults=faults)

    def results(self) -> list[Checked]:
        """What was seen of all of them, in their order."""
        self._check()
        return self._results

    def _check(self) -> None:
        if self._records:
            self._results.append(self._examiner.check(self._records))
            self._records = []
