"""`SyncRun` and `SyncReport`: a delta sync as its caller sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..bulk.outcomes import BatchOutcome
from ..bulk.report import BulkReport
from ..bulk.run import BulkRun
from ..errors import ConfigurationError

if TYPE_CHECKING:
    from .delta import Delta

__all__ = ["SyncReport", "SyncRun"]


class SyncReport:
    """What a sync found and what became of it. `new + changed + unchanged + without_key + failed` is the number of records read.

    Attributes:
        bulk: the report of the bulk run: every state, every failure.
    """

    def __init__(self, bulk: BulkReport, delta: Delta) -> None:
        self.bulk = bulk
        self._delta = delta

    @property
    def new(self) -> int:
        """Records sent successfully that the state did not have."""
        return self._delta.new

    @property
    def changed(self) -> int:
        """Records sent successfully whose content in the state was different, or not known."""
        return self._delta.changed

    @property
    def unchanged(self) -> int:
        """Records that are the same as when they were last sent successfully; they were sent again only with `full=True`."""
        return self.bulk.counts["unchanged"] + self._delta.same

    @property
    def without_key(self) -> int:
        """Records sent successfully that have no number: the state can't record them, so they are sent each time."""
        return self._delta.without_key

    @property
    def failed(self) -> int:
        """Records that did not succeed, new or changed: `bulk.failures()` names them. They are sent again next time."""
        return self.bulk.failed_records

    @property
    def source_exhausted(self) -> bool:
        """Whether the source was read to its end; see `BulkReport.source_exhausted`."""
        return self.bulk.source_exhausted

    @property
    def ok(self) -> bool:
        """Whether the source was read to its end and holds what was expected, and every record succeeded."""
        return self.bulk.ok

    @property
    def gone(self) -> int | None:
        """Customers in the state that the source does not have. None where that is not known: the source was not read to its end, or a
        record in it can't be read as far as its number (`gone_unknown`).

        If there is a `shortfall`, they may only be missing from the export: `forget` refuses them.
        """
        return self._delta.gone

    @property
    def gone_unknown(self) -> str | None:
        """A sentence that nobody is named as gone, since a record that can't be read as far as its number may be of any customer; otherwise
        None. `bulk.failures()` names the record; after the next run without such a record, it is known who is gone."""
        if not self._delta.is_gone_hidden:
            return None
        return "who is gone from the source is not known, since a record in it has no number that can be read"

    def gone_keys(self) -> Iterator[str]:
        """Returns the numbers of the customers that are gone, read from the state a few at a time. It deletes nothing. Where `gone` is
        None, there are none.

        Returns:
            An iterator of customer numbers.

        Raises:
            JournalError: the state can't be read.
        """
        return self._delta.gone_keys()

    async def forget(self, keys: Iterable[str]) -> int:
        """Removes customers from the state; nothing is sent. A customer that comes again is new then. If something that was sent for it may
        still be processed, the state remembers that: such a customer is sent once more after a success.

        Args:
            keys: their numbers, for example `report.gone_keys()`.

        Returns:
            How many of them were in the state.

        Raises:
            ConfigurationError: there is a `shortfall`: an export that broke off looks the same as customers that are gone. Or the
                run was limited, so that not all customers were read, or it was a dry run.
            JournalError: the state can't be written, or another sync uses it.
        """
        if self.shortfall is not None:
            raise ConfigurationError(f"no customer is forgotten: {self.shortfall}")
        if self.bulk.dry_run:
            raise ConfigurationError("no customer is forgotten: this was a dry run")
        if self.bulk.limited_to is not None:
            raise ConfigurationError(f"no customer is forgotten: {self.bulk.limit_in_words()}")
        from anyio import to_thread  # noqa: PLC0415

        from .state import forget  # noqa: PLC0415 - SQLite is only loaded where there is a state

        return await to_thread.run_sync(forget, self._delta.path, keys)

    @property
    def shortfall(self) -> str | None:
        """A sentence that the source holds fewer of the customers in the state than `at_least`; otherwise None. What was read was sent."""
        return self.bulk.shortfall

    def raise_for_failures(self) -> None:
        """Raises an error unless the sync is `ok`.

        Raises:
            BulkError: a record did not succeed, the source was not read to its end, or there is a `shortfall`.
        """
        self.bulk.raise_for_failures()

    def summary(self) -> str:
        """Returns the numbers in one line for people.

        Returns:
            For example `"3 new, 2 changed, 95 unchanged"`.
        """
        numbers = {"new": self.new, "changed": self.changed, "unchanged": self.unchanged, "without number": self.without_key}
        numbers |= {"failed": self.failed, "gone": self.gone or 0}
        said = ", ".join(f"{number} {word}" for word, number in numbers.items() if number) or "no records"
        rest = self.bulk.rest_in_words() or self.bulk.limit_in_words() or self.shortfall or self.gone_unknown
        return "; ".join(part for part in (said, "dry run, nothing was sent" if self.bulk.dry_run else "", rest) if part)

    def __repr__(self) -> str:
        return f"<SyncReport: {self.summary()}>"


class SyncRun:
    """A sync: awaited it gives the `SyncReport`, entered it gives the outcome of each batch as it settles; otherwise as `BulkRun`.

    Attributes:
        report: correct at any time, whatever ended the run.
        bulk: the bulk run.
    """

    def __init__(self, bulk: BulkRun, delta: Delta) -> None:
        self.bulk = bulk
        self.report = SyncReport(bulk.report, delta)

    def __repr__(self) -> str:
        return f"<SyncRun: {self.report.summary()}>"

    def __await__(self) -> Generator[Any, None, SyncReport]:
        yield from self.bulk.__await__()
        return self.report

    async def __aenter__(self) -> SyncRun:
        await self.bulk.__aenter__()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.bulk.__aexit__(kind, error, trace)

    def __aiter__(self) -> AsyncIterator[BatchOutcome]:
        return self.bulk.__aiter__()
