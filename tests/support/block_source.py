"""A source that gives blocks, as the sources of the library do, of records that the test has made."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any

import msgspec

from amili_arm_async.bulk.blocks import RecordBlock
from amili_arm_async.bulk.source import FreshRecords
from amili_arm_async.unreadable import UnreadableRecord

_SORTED = msgspec.json.Encoder(decimal_format="number", order="deterministic")


class BlockRecords(FreshRecords):
    """Gives mappings, texts and unreadable records in blocks.

    Args:
        records: mappings are written canonically; texts are given as they are, and are not canonical.
        size: records in a block.
        judge: returns what a record is instead, or None where it is as it should be; None: no rules are left to be applied.
        fails_at: raises an error behind so many records.
        turns: turns of the event loop before each block.

    Attributes:
        judged: the texts that were judged, in order.
        rules: of the source.
    """

    ends = True

    def __init__(
        self,
        records: Sequence[Mapping[str, Any] | bytes | UnreadableRecord],
        *,
        size: int = 100,
        judge: Callable[[bytes], bytes | UnreadableRecord | None] | None = None,
        fails_at: int | None = None,
        turns: int = 0,
        rules: str = "1",
        key: str = "customerNo",
    ) -> None:
        self.rules = rules
        self.judged: list[bytes] = []
        self._records = records
        self._size = size
        self._judge = judge
        self._fails_at = fails_at
        self._turns = turns
        self._key = key

    async def blocks(self) -> AsyncGenerator[RecordBlock]:
        for start in range(0, len(self._records), self._size):
            for _ in range(self._turns):
                await asyncio.sleep(0)
            if self._fails_at is not None and start >= self._fails_at:
                raise OSError("gone")
            yield self._block(self._records[start : start + self._size])

    def _block(self, records: Sequence[Any]) -> RecordBlock:
        texts = [record if isinstance(record, (bytes, UnreadableRecord)) else _SORTED.encode(record) for record in records]
        is_canonical = not any(isinstance(record, bytes) for record in records)
        keys = [record.get(self._key) for record in records] if is_canonical else None
        return RecordBlock(texts, keys, is_canonical=is_canonical, judge=self._judging(texts) if self._judge is not None else None)

    def _judging(self, texts: Sequence[Any]) -> Callable[[Sequence[int]], Mapping[int, bytes | UnreadableRecord]]:
        def judge(positions: Sequence[int]) -> Mapping[int, bytes | UnreadableRecord]:
            assert list(positions) == sorted(set(positions))
            assert self._judge is not None
            chosen = {place: texts[place] for place in positions if isinstance(texts[place], bytes)}
            self.judged += chosen.values()
            return {place: found for place, text in chosen.items() if (found := self._judge(text)) is not None}

        return judge
