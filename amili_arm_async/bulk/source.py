"""Reads records from what the caller gave: any iterable or async iterable, a few at a time, and forgets none of them."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping, Sized
from itertools import islice
from typing import Any

from ..errors import ConfigurationError
from ..models.base import Model

__all__ = ["Source"]


class Source:
    """A source of records, read once from its beginning to its end.

    Attributes:
        known_length: number of its records, or None where it has no length.
        failure: what it raised, or None.
        ended: True when there is nothing more to read.
    """

    def __init__(self, records: Iterable[Any] | AsyncIterable[Any]) -> None:
        if isinstance(records, (str, bytes, bytearray, Mapping, Model)):
            raise ConfigurationError(f"a {type(records).__name__} is one record, or none: give an iterable of records")
        if not isinstance(records, (Iterable, AsyncIterable)):
            raise ConfigurationError(f"records must be an iterable or an async iterable, not {type(records).__name__}")
        self.known_length = len(records) if isinstance(records, Sized) else None
        self.failure: Exception | None = None
        self.ended = False
        self._records = records
        self._plain: Iterator[Any] | None = None
        self._async: AsyncIterator[Any] | None = None

    async def read(self, number: int, into: list[Any]) -> None:
        """Appends up to `number` records to `into`; fewer only at the end. What was read before a failure is there too."""
        if self.ended:
            return
        before = len(into)
        try:
            if self._plain is None and self._async is None:
                self._open()
            if self._plain is not None:
                # Unlike list(...), this keeps what came before the source raised.
                into.extend(islice(self._plain, number))
            elif self._async is not None:
                async for record in self._async:
                    into.append(record)
                    if len(into) - before >= number:
                        break
        except Exception as failure:
            self.failure = failure
        self.ended = len(into) - before < number

    def _open(self) -> None:
        if isinstance(self._records, AsyncIterable):
            self._async = aiter(self._records)
        else:
            self._plain = iter(self._records)

    def rest(self) -> Iterator[Any]:
        """What a source with a length still has; nothing of one without: it might never end."""
        if self.known_length is None or self.ended or self._async is not None:
            return iter(())
        if self._plain is None:
            self._open()
        return self._plain or iter(())
