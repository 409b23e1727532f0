"""Reads records from any iterable or async iterable, a few at a time, and loses none of them.

A record is what it was when it was read: code of the caller that runs between two reads may change it (a dict that is filled again, a list
that several records share). So each record is handed over before the next one is read, unless nothing can change it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping, Sized
from itertools import islice
from typing import Any, Final, Protocol, cast

from .. import clock
from ..errors import ConfigurationError, SourceError
from ..models.base import Model
from .blocks import BlockSource, RecordBlock

__all__ = ["STRETCH", "Collected", "FreshRecords", "Intake", "SomeRecords", "Source"]

STRETCH: Final = 0.03
"""Seconds of reading after which the event loop gets a turn."""

_QUICK: Final = 0.001
"""Seconds that a record takes, at the most, where the clock is read for one record in four."""


class FreshRecords:
    """A source of this library, whose records are new objects that nothing else refers to. It may be a `BlockSource` too.

    Attributes:
        ends: whether it has an end for sure, as a file has and a pipe may not have.
    """

    ends = False


class SomeRecords:
    """A source of some records of an earlier attempt of the run: what the journal says of others, which are not sent again, stays."""

    async def check(self, indexes: Iterable[int]) -> None:
        """Checks right before some of its records leave whether they may still be sent. Every record may, unless this is overridden.

        Args:
            indexes: their places in the source.

        Raises:
            ArmError: one of them must not be sent any more: the run stops.
        """


class Intake(Protocol):
    """Takes in what a source gives."""

    @property
    def append(self) -> Callable[[Any], object]:
        """Takes in a record that may change as soon as the next one is read. Must not raise."""
        ...

    def hold(self, record: Any, /) -> object:
        """Takes in a record that can't change.

        Args:
            record: the record.
        """

    def feed(self, records: list[Any], /) -> object:
        """Takes in records that did not change since they were read, and won't before the next turn of the event loop.

        Args:
            records: the records.
        """

    def feed_block(self, block: RecordBlock, /) -> object:
        """Takes in records that a source of this library has made together: all of them, also where fewer were wanted.

        Args:
            block: the records; nothing else refers to it.
        """


class Collected(list[Any]):
    """Takes in records as they are: for what can't change, such as customer numbers."""

    def hold(self, record: Any) -> None:
        """Takes in a record."""
        self.append(record)

    def feed(self, records: list[Any]) -> None:
        """Takes in records."""
        self.extend(records)

    def feed_block(self, block: RecordBlock) -> None:
        """Takes in the records of a block."""
        self.extend(block)


class Source:
    """A source of records, which is read once.

    Args:
        records: an iterable or async iterable of records.
        limit: the most records that are read; None: all.

    Attributes:
        known_length: the number of its records, or None where it has no length.
        failure: what it raised, or None.
        ended: whether there is nothing more to read.
        exhausted: whether it was read to its end; False where it raised, or where reading was interrupted or limited.
        is_limited: whether reading ended because the limit was reached; whether there are more records is not known then.
        ends: whether it has an end for sure.
        is_fresh: whether only this library refers to its records.
        is_async: whether reading may wait.
        gives_blocks: whether records come in blocks.
        is_part: whether it has only some records of an earlier attempt.
        hurried: set by a reader that waits: reading returns after the next record or block.
    """

    def __init__(self, records: Iterable[Any] | AsyncIterable[Any], *, limit: int | None = None) -> None:
        if isinstance(records, (str, bytes, bytearray, Mapping, Model)) or hasattr(type(records), "model_dump"):
            raise ConfigurationError(f"a {type(records).__name__} is one record, or none: give an iterable of records")
        self.is_fresh = isinstance(records, FreshRecords)
        self.is_part = isinstance(records, SomeRecords)
        self.gives_blocks = self.is_fresh and hasattr(records, "blocks")
        if not self.gives_blocks and not isinstance(records, (Iterable, AsyncIterable)):
            raise ConfigurationError(f"records must be an iterable or an async iterable, not {type(records).__name__}")
        self.known_length = len(records) if isinstance(records, Sized) else None
        self.failure: Exception | None = None
        self.ended = False
        self.exhausted = False
        self.is_limited = False
        self._limit = limit
        self.is_async = self.gives_blocks or isinstance(records, AsyncIterable)
        self.ends = self.known_length is not None or (isinstance(records, FreshRecords) and records.ends)
        # No code of the caller runs while one of these is iterated.
        self._count = 0
        self._is_plain = type(records) in {list, tuple}
        self._records = records
        self.hurried = False
        self._seldom = 0
        self._sync: Iterator[Any] | None = None
        self._async: AsyncIterator[Any] | None = None
        self._blocks: AsyncGenerator[RecordBlock] | None = None

    @property
    def rules(self) -> str:
        """The rules by which the records were judged (see `BlockSource`); empty where there are none. Known once records were read."""
        return self._block_source.rules if self.gives_blocks else ""

    @property
    def _block_source(self) -> BlockSource:
        return cast("BlockSource", self._records)

    async def check(self, indexes: Iterable[int]) -> None:
        """Checks right before some records leave whether they may still be sent. See `SomeRecords`.

        Args:
            indexes: their places.

        Raises:
            ArmError: one of them must not be sent any more.
        """
        if isinstance(self._records, SomeRecords):
            await self._records.check(indexes)

    async def close(self) -> None:
        """Closes what a source of this library has open, where it was not read to its end. What is the caller's stays open."""
        if self._blocks is not None:
            # All that was read is known already.
            with contextlib.suppress(Exception):
                await self._blocks.aclose()

    async def read(self, number: int, into: Intake) -> None:
        """Reads records: fewer at the end, and where other tasks need their turn; more where the last block has more. What was read before
        a failure or a cancellation was handed over.

        Args:
            number: how many records are wanted.
            into: takes in the records.
        """
        if self.ended:
            return
        if self._limit is not None:
            number = min(number, self._limit - self._count)
        try:
            if self.gives_blocks:
                self.exhausted = await self._read_blocks(number, into)
            else:
                self.exhausted = await self._read_async(number, into) if self.is_async else self._read_sync(number, into)
            self.is_limited = not self.exhausted and self._count == self._limit
            self.ended = self.exhausted or self.is_limited
        except Exception as exc:
            self.failure = exc
            self.ended = True
        except asyncio.CancelledError as cut:
            self.ended = True
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # This task was not cancelled: the source was, by what it waits for, which is a failure like any other.
            self.failure = SourceError("the source raised CancelledError: something that it waits for was cancelled")
            self.failure.__cause__ = cut
        except BaseException:
            # The end of an interrupted iterator means nothing.
            self.ended = True
            raise

    def _read_sync(self, number: int, into: Intake) -> bool:
        """Reads, and returns whether there is nothing more."""
        if self._sync is None:
            assert isinstance(self._records, Iterable)
            self._sync = iter(self._records)
        if self._is_plain:
            records = list(islice(self._sync, number))
            self._count += len(records)
            if records:
                into.feed(records)
            return self._count >= len(self._records)  # type: ignore[arg-type]
        take = into.hold if self.is_fresh else into.append
        now, begin, count, seldom = clock.monotonic, clock.monotonic(), 0, self._seldom
        until = begin + STRETCH
        for count, record in enumerate(islice(self._sync, number), 1):
            take(record)
            if not count & seldom and now() > until:
                self._count += count
                self._seldom = 0
                return False
        self._count += count
        self._seldom = self._how_seldom(count, begin)
        return count < number

    async def _read_async(self, number: int, into: Intake) -> bool:
        """Reads, and returns whether there is nothing more."""
        if self._async is None:
            assert isinstance(self._records, AsyncIterable)
            self._async = aiter(self._records)
        take = into.hold if self.is_fresh else into.append
        now, begin, count, seldom = clock.monotonic, clock.monotonic(), 0, self._seldom
        until = begin + STRETCH
        async for record in self._async:
            take(record)
            count += 1
            if not count & seldom and now() > until:
                self._count += count
                self._seldom = 0
                return False
            if count == number or self.hurried:
                self._count += count
                self._seldom = self._how_seldom(count, begin)
                return False
        return True

    async def _read_blocks(self, number: int, into: Intake) -> bool:
        """Reads, and returns whether there is nothing more."""
        if self._blocks is None:
            self._blocks = self._block_source.blocks()
        until = clock.monotonic() + STRETCH
        async for block in self._blocks:
            left = self._limit - self._count if self._limit is not None else len(block)
            if left < len(block):
                block = block.part(0, left)  # noqa: PLW2901 - the rest is not read
            self._count += len(block)
            into.feed_block(block)
            number -= len(block)
            if number <= 0 or (self.hurried and block) or clock.monotonic() > until:
                return False
        return True

    @staticmethod
    def _how_seldom(count: int, begin: float) -> int:
        """Returns how seldom the clock is read, which costs time too: for one record in four where they come fast."""
        return 3 if clock.monotonic() - begin < count * _QUICK else 0
