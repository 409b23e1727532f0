"""`amili-arm pull customers`: a list as JSON lines."""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from ..client import ArmClient
from ..errors import ArmError
from ..paging import Pager
from .progress import Show

__all__ = ["Pull", "Write"]

_BLOCK: Final = 65_536

Write: TypeAlias = Callable[[bytes], Awaitable[None]]


@dataclass
class Pull:
    """One pull of the customers that meet all criteria.

    Each line is the JSON text of a record as the API wrote it: fields that this library does not know, the order of the fields and
    the digits of numbers are as they came. (A `CustomerRecord` would leave out what it does not know.) Only line ends between the
    parts of a record become blanks, since a line holds one record.

    Attributes:
        arm: the client; it is closed at the end.
        pager: the list.
        prefetch: pages that are fetched concurrently; 0 fetches one after the other.
        read: records so far.
    """

    arm: ArmClient
    pager: Pager[bytes]
    prefetch: int = 4
    read: int = 0

    async def run(self, write: Write, show: Show | None) -> None:
        """Writes every record of every page.

        Raises:
            TruncatedListError: after the last record, where the list reached the cap or gave fewer records than it announced.
            ArmError: it could not be read to its end; what was read is written.
            OSError: it could not be written.
        """
        async with self.arm:
            if not self.prefetch:
                await self._copy(self.pager, write, show)
                return
            async with self.pager.prefetch(self.prefetch) as records:
                await self._copy(records, write, show)

    async def _copy(self, records: AsyncIterable[bytes], write: Write, show: Show | None) -> None:
        waiting = bytearray()
        try:
            async for record in records:
                waiting += _one_line(record)
                self.read += 1
                if len(waiting) >= _BLOCK:
                    await write(bytes(waiting))
                    waiting.clear()
                    if show is not None:
                        show(self.read, "")
        except ArmError:
            await write(bytes(waiting))
            raise
        await write(bytes(waiting))
        if show is not None:
            show(self.read, "")


def _one_line(text: bytes) -> bytes:
    # A line end within a text would be no JSON, and the page would not have been read.
    return text.replace(b"\n", b" ").replace(b"\r", b" ") + b"\n"
