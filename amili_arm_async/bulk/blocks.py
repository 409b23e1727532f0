"""Pure: records that a source of this library has made together, with what it knows of them, so that nothing is worked out twice."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Protocol, TypeAlias

from ..unreadable import UnreadableRecord

__all__ = ["BlockJudge", "BlockSource", "JudgedTexts", "RecordBlock"]

BlockJudge: TypeAlias = Callable[[Sequence[int]], Mapping[int, bytes | UnreadableRecord]]
"""Applies rules to the records at some positions of a block, in ascending order; returns what those records are instead, which are not to
be sent as they are."""


class JudgedTexts(dict[int, bytes | UnreadableRecord]):
    """What a judge returns that has read every record.

    Attributes:
        names: where each of the others is one object of known fields, each once and with a value of its type, what each record that was
            judged has in the field that is its key. None: that is not certain.
    """

    names: Sequence[str | None] | None = None


class RecordBlock(list[bytes | UnreadableRecord]):
    """Records that follow each other, as JSON texts, and those between them that can't be read.

    Args:
        records: the texts.
        keys: the key of each record, None where it has none. None instead of them: they were not read.
        is_canonical: whether each text is one object of known fields in the order of their names, each once and with a value of its type,
            as the codec writes it.
        judge: the rules that were not applied yet: takes positions, and returns what those records are instead, which are not to be sent.
            None: all were.
        has_decimals: whether one of the texts may have a number with a fraction or an exponent.

    Attributes:
        judged: the positions of the records to which they were applied, while there are others.
        names_are_right: whether the rules have shown that each text is one object of known fields, each once and with a value of its type,
            in whatever order; then there are keys.
    """

    __slots__ = ("has_decimals", "is_canonical", "judge", "judged", "keys", "names_are_right")

    def __init__(
        self,
        records: Iterable[bytes | UnreadableRecord],
        keys: Sequence[str | None] | None,
        *,
        is_canonical: bool,
        judge: BlockJudge | None = None,
        has_decimals: bool = True,
    ) -> None:
        super().__init__(records)
        self.keys = keys
        self.is_canonical = is_canonical
        self.judge = judge
        self.has_decimals = has_decimals
        self.judged = set[int]()
        self.names_are_right = False

    def apply_rules(self, positions: Sequence[int] | None = None) -> list[int]:
        """Applies the rules that were not applied yet, to each record once, and puts what comes of it into the block.

        Args:
            positions: of the records, in ascending order; None: all.

        Returns:
            The positions of the records that are not what they were.
        """
        if self.judge is None:
            return []
        places = range(len(self)) if positions is None else positions
        left = [place for place in places if place not in self.judged] if self.judged else places
        found = self.judge(left) if left else {}
        for place, record in found.items():
            self[place] = record
        if len(self.judged) + len(left) == len(self):
            self.judge = None
            if not self.judged and isinstance(found, JudgedTexts) and found.names is not None:
                self.keys, self.names_are_right = found.names, True
        else:
            self.judged.update(left)
        return list(found)

    def part(self, start: int, stop: int) -> RecordBlock:
        """Returns records that follow each other.

        Args:
            start: the position of the first of them.
            stop: the position behind the last.

        Returns:
            A block of them; the block itself where they are all.
        """
        if start == 0 and stop >= len(self):
            return self
        keys = self.keys[start:stop] if self.keys is not None else None
        part = self._like(self[start:stop], keys, _moved(self.judge, start))
        part.judged = {place - start for place in self.judged if start <= place < stop}
        part.names_are_right = self.names_are_right
        return part

    def only(self, positions: Sequence[int]) -> RecordBlock:
        """Returns some records, to which all rules were applied.

        Args:
            positions: of these records, in ascending order.

        Returns:
            A block of them; the block itself where they are all.
        """
        if len(positions) == len(self):
            return self
        keys = [self.keys[place] for place in positions] if self.keys is not None else None
        some = self._like([self[place] for place in positions], keys)
        some.names_are_right = self.names_are_right
        return some

    def _like(
        self, records: Iterable[bytes | UnreadableRecord], keys: Sequence[str | None] | None, judge: BlockJudge | None = None
    ) -> RecordBlock:
        return RecordBlock(records, keys, is_canonical=self.is_canonical, judge=judge, has_decimals=self.has_decimals)

    def is_like(self, other: RecordBlock) -> bool:
        """Returns whether another block can be joined with this one.

        Args:
            other: the block.

        Returns:
            Whether as much is known of it.
        """
        return self.is_canonical == other.is_canonical and (self.keys is None) == (other.keys is None)

    def joined_with(self, others: Sequence[RecordBlock]) -> RecordBlock:
        """Returns this block and those that follow it as one.

        Args:
            others: the blocks behind it, all like this one.

        Returns:
            A block of all records; the block itself where there are no others.
        """
        if not others:
            return self
        blocks = [self, *others]
        keys = [key for block in blocks for key in block.keys or ()] if self.keys is not None else None
        starts = list(accumulate(map(len, blocks), initial=0))
        judge = _all_judges(blocks, starts) if any(block.judge is not None for block in blocks) else None
        whole = self._like([record for block in blocks for record in block], keys, judge)
        whole.names_are_right = all(block.names_are_right for block in blocks)
        whole.has_decimals = any(block.has_decimals for block in blocks)
        whole.judged = {start + place for block, start in zip(blocks, starts, strict=False) for place in block.judged}
        return whole


def _moved(judge: BlockJudge | None, by: int) -> BlockJudge | None:
    if judge is None or not by:
        return judge
    return lambda places: {place - by: record for place, record in judge([place + by for place in places]).items()}


def _all_judges(blocks: Sequence[RecordBlock], starts: Sequence[int]) -> BlockJudge:
    judges = [(block.judge, start, start + len(block)) for block, start in zip(blocks, starts, strict=False)]

    def judge(places: Sequence[int]) -> Mapping[int, bytes | UnreadableRecord]:
        found: dict[int, bytes | UnreadableRecord] = {}
        for own, start, stop in judges:
            theirs = [place - start for place in places if start <= place < stop]
            if own is not None and theirs:
                found.update({start + place: record for place, record in own(theirs).items()})
        return found

    return judge


class BlockSource(Protocol):
    """A source that gives blocks. It derives from `FreshRecords`, by which a run knows it.

    Attributes:
        rules: names the version of the rules and the options by which its records are judged: equal texts of two sources with equal `rules`
            are judged equally. It is asked for once the first block was given.
    """

    rules: str

    def blocks(self) -> AsyncGenerator[RecordBlock]:
        """Gives the blocks; once. Raises SourceError."""
        ...
