"""`amili-arm pull customers`: a list as JSON lines."""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias, cast

import msgspec

from ..client import ArmClient
from ..endpoints import OPERATIONS
from ..errors import ArmError
from ..models.base import Record
from ..paging import Pager, Query
from ..resources.base import check_list
from ..wire import Response, query_pairs
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
        criteria: the parameters of the list, by the API's own names.
        allow_truncated: whether a list that reaches the cap is no error.
        language: `Accept-Language`, or None.
        prefetch: pages that are fetched side by side; 0 fetches one after the other.
        read: records so far.
    """

    arm: ArmClient
    criteria: Mapping[str, str | int | None]
    allow_truncated: bool = False
    language: str | None = None
    prefetch: int = 4
    read: int = 0

    def __post_init__(self) -> None:
        numbers = {name: cast("int | None", self.criteria.get(name)) for name in ("maximumcount", "pagesize", "pageno")}
        check_list(
            OPERATIONS["customers.list"],
            maximum_count=numbers["maximumcount"],
            page_size=numbers["pagesize"],
            page_no=numbers["pageno"],
        )

    async def run(self, write: Write, show: Show | None) -> None:
        """Writes every record of every page.

        Raises:
            TruncatedListError: after the last record, where the list reached the cap or gave fewer records than it announced.
            ArmError: it could not be read to its end; what was read is written.
            OSError: it could not be written.
        """
        async with self.arm:
            pager = self._pager()
            if not self.prefetch:
                await self._copy(pager, write, show)
                return
            async with pager.prefetch(self.prefetch) as records:
                await self._copy(records, write, show)

    def _pager(self) -> Pager[Record]:
        may_be_truncated = self.allow_truncated or self.criteria.get("maximumcount") is not None
        # Not the records but their texts: the pager only hands on what it is told to read.
        kind = cast("type[Record]", msgspec.Raw)
        return Pager(OPERATIONS["customers.list"], kind, self._fetch, query_pairs(self.criteria), may_be_truncated=may_be_truncated)

    async def _fetch(self, query: Query) -> Response:
        return await self.arm.request("GET", "customers", params=dict(query), language=self.language)

    async def _copy(self, records: AsyncIterable[Record], write: Write, show: Show | None) -> None:
        waiting = bytearray()
        try:
            async for record in records:
                waiting += _one_line(bytes(cast("msgspec.Raw", record)))
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
