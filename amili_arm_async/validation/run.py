"""A check from its beginning to its end: reads the source, a few records at a time, and reports what it finds. No network."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Generator, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from .. import clock
from ..bulk.blocks import RecordBlock
from ..bulk.chunking import as_key
from ..bulk.source import Collected, Source
from ..errors import CheckError, ConfigurationError, SourceError
from ..models.base import Input
from ..models.documents import Document
from ..values.findings import Found
from .report import CheckReport

if TYPE_CHECKING:
    from .examiner import Checked, Examiner

__all__ = ["CheckRun"]

_SLICE: Final = 200
"""Records that are looked at before others get a turn of the event loop: some milliseconds."""


class CheckRun:
    """A check of a whole source, under way: `report = await arm.documents.check(source)`. Nothing is sent.

    Memory stays the same however long the source is, its keys included: they are compared on the disk (see `keys`).

    Attributes:
        report: the `CheckReport`, right at any time; after an error or a cancellation it has what was found until then.
        on_progress: called now and then with the number of records read; None for no calls.
    """

    def __init__(
        self,
        cls: type[Input],
        wire_key: str,
        records: Iterable[Any] | AsyncIterable[Any],
        *,
        limit: int,
        max_bytes: int | None,
        customers: Iterable[str] | AsyncIterable[str] | None = None,
    ) -> None:
        # Only a check needs these: what they make once would be made at every import.
        from ..bulk.key_hashes import KeyHashes  # noqa: PLC0415
        from .examiner import Examiner  # noqa: PLC0415

        if limit < 0:
            raise ConfigurationError(f"limit must be 0 or more, not {limit}")
        if max_bytes is not None and max_bytes < 1:
            raise ConfigurationError("max_bytes leaves no room for a record")
        self.report = CheckReport(limit)
        self.on_progress: Callable[[int], object] | None = None
        self._path = f"$.{wire_key}"
        self._examiner = Examiner(cls, wire_key, max_bytes)
        self._has_owner = cls is Document
        self._source = Source(records)
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
            self._note_what_is_not_checked()
            if self._known is not None:
                await self._read_known(self._known)
            await self._read()
            await self._compare()
        finally:
            for hashes in (self._keys, self._owners, self._others):
                hashes.close()
        if self._source.failure is not None:
            raise self._error("the source of the records", self._source.failure)
        self.report.complete = True
        return self.report

    def _note_what_is_not_checked(self) -> None:
        from .formats import checks_organizations  # noqa: PLC0415

        if not self._has_owner and not checks_organizations():
            self.report.not_checked.append(
                'the check digits of organisation numbers: python-stdnum is not installed (pip install "amili-arm-async[numbers]")'
            )

    def _error(self, what: str, failure: Exception) -> CheckError:
        # What the caller's own source says may hold anything: only what this library says is quoted.
        read = self.report.records_read
        text = f"{what} raised {type(failure).__name__} after {read} records"
        if isinstance(failure, SourceError):
            text = f"{what} can't be read to its end: {failure}"
            self.report.add(read, None, Found("source_error", "$", text))
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
                if results := buffer.results():
                    self._take(results)
            if self.on_progress is not None:
                self.on_progress(self.report.records_read)
            await clock.turn()

    def _take(self, results: list[Checked]) -> None:
        first = self.report.records_read
        self.report.records_read += len(results)
        for index, one in enumerate(results, first):
            for found in one.faults:
                self.report.add(index, one.key, found)
        keys = [one.key for one in results]
        self._keys.add(keys)
        if self._known is not None:
            self._owners.add([one.owner for one in results], keys)

    async def _compare(self) -> None:
        for found in self._repeated():
            await self._record(found)
        if self._known is not None:
            for missing in self._unknown():
                await self._record(missing)

    async def _record(self, found: tuple[int, str | None, Found, int | None] | None) -> None:
        if found is None:
            await clock.turn()
        else:
            index, key, fault, earlier = found
            self.report.add(index, key, fault, earlier)

    def _repeated(self) -> Iterator[tuple[int, str | None, Found, int | None] | None]:
        from ..bulk.key_hashes import repeats  # noqa: PLC0415

        for found in repeats(self._keys):
            if found is None:
                yield None
            else:
                (index, key), earlier = found
                yield index, key, Found("duplicate", self._path, "the same as that of an earlier record"), earlier

    def _unknown(self) -> Iterator[tuple[int, str | None, Found, int | None] | None]:
        from ..bulk.key_hashes import absent  # noqa: PLC0415

        for found in absent(self._owners, self._others):
            if found is None:
                yield None
            else:
                index, key, owner = found
                yield index, key, Found("unknown_customer", "$.customerNo", f"customer {owner} is not among the customers"), None


class _CheckingBuffer:
    """Looks at records: at once, where the next one may be the same object, filled again."""

    def __init__(self, examiner: Examiner) -> None:
        self._examiner = examiner
        self._results: list[Checked] = []
        self._held: list[Any] = []

    def append(self, record: Any) -> None:
        """A record that may be changed as soon as the next one is read."""
        self._results += self._examiner.check((record,))

    def hold(self, record: Any) -> None:
        """A record that can't change."""
        self._held.append(record)

    def feed(self, records: list[Any]) -> None:
        """Records of a list."""
        self._results += self._examiner.check(records)

    def feed_block(self, block: RecordBlock) -> None:
        """Records of a block."""
        self._held += block

    def results(self) -> list[Checked]:
        """What was seen of all of them, in their order."""
        return self._results + self._examiner.check(self._held)
