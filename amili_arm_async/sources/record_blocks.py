"""Pure: judged records as blocks of JSON texts, with their places and with what is odd about them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from ..bulk.blocks import RecordBlock
from ..unreadable import UnreadableRecord
from ..values.findings import WHOLE, CellFault
from .encode import RecordEncoder
from .judged import JudgedBlock
from .refusals import Refusals

__all__ = ["PlacedBlock", "RecordWarning", "RecordWarnings", "TextMaker"]

_MOST: Final = 1000
"""Records of a block."""

_MOST_WARNINGS: Final = 100


class RecordWarning(NamedTuple):
    """Something odd about a record, which is sent.

    Attributes:
        place: of the record.
        code: what kind of warning.
        path: of the field.
        message: for a person, with the name of the column; without the value.
    """

    place: str
    code: str
    path: str
    message: str


class RecordWarnings:
    """What is odd about the records of a source.

    Attributes:
        counts: how many warnings there are of each code.
        first: the first hundred.
    """

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.first: list[RecordWarning] = []

    def __len__(self) -> int:
        return sum(self.counts.values())

    def __repr__(self) -> str:
        return f"<RecordWarnings: {self.counts}>"

    def add(self, number: int, fault: CellFault, refusals: Refusals) -> None:
        """Takes note of one.

        Args:
            number: of the line or row.
            fault: what is odd.
            refusals: names the place and the column.
        """
        self.counts[fault.code] = self.counts.get(fault.code, 0) + 1
        if len(self.first) < _MOST_WARNINGS:
            words = refusals.column(fault.path).removeprefix(", ")
            message = f"{words}: {fault.message}" if words else fault.message
            self.first.append(RecordWarning(refusals.place(number), fault.code, fault.path, message))


class PlacedBlock(NamedTuple):
    """Records with their places.

    Attributes:
        records: the block.
        numbers: the line or row of each.
    """

    records: RecordBlock
    numbers: Sequence[int]


class TextMaker:
    """Writes judged records of one table as JSON.

    Args:
        encoder: writes them.
        refusals: names those that can't be written.
        warnings: takes note of what is odd.
        longest: bytes of a document with lines at the most.
    """

    def __init__(self, encoder: RecordEncoder, refusals: Refusals, warnings: RecordWarnings, longest: int) -> None:
        self._encoder = encoder
        self._refusals = refusals
        self._warnings = warnings
        self._longest = longest

    def blocks(self, judged: Iterable[JudgedBlock]) -> Iterator[PlacedBlock]:
        """Gives the records in blocks of about a thousand."""
        records: list[bytes | UnreadableRecord] = []
        keys: list[str | None] = []
        numbers: list[int] = []
        for block in judged:
            self._add(block, records, keys, numbers)
            while len(records) >= _MOST:
                yield self._placed(records[:_MOST], keys[:_MOST], numbers[:_MOST])
                del records[:_MOST], keys[:_MOST], numbers[:_MOST]
        if records:
            yield self._placed(records, keys, numbers)

    def _placed(self, records: list[bytes | UnreadableRecord], keys: list[str | None], numbers: list[int]) -> PlacedBlock:
        return PlacedBlock(RecordBlock(records, keys, is_canonical=True, has_decimals=self._encoder.has_decimals), numbers)

    def _add(self, block: JudgedBlock, records: list[bytes | UnreadableRecord], keys: list[str | None], numbers: list[int]) -> None:
        texts = self._texts(block)
        for at, faults in block.warned.items():
            for fault in faults:
                self._warnings.add(block.numbers[at], fault, self._refusals)
        begin = 0
        for refused in block.refused:
            records += texts[begin : refused.before]
            keys += block.keys[begin : refused.before]
            numbers += block.numbers[begin : refused.before]
            records.append(refused.record)
            keys.append(self._refusals.key_of(refused.record))
            numbers.append(refused.number)
            begin = refused.before
        records += texts[begin:]
        keys += block.keys[begin:]
        numbers += block.numbers[begin:]

    def _texts(self, block: JudgedBlock) -> Sequence[bytes | UnreadableRecord]:
        lines = block.lines
        try:
            if lines is None:
                return self._encoder.texts(block.columns)
            texts = self._encoder.texts(block.columns, lines.columns, lines.offsets)
        except ValueError:
            # A text that is none in UTF-8 costs its own record.
            return [self._alone(block, at) for at in range(len(block.keys))]
        if texts and max(map(len, texts)) > self._longest:
            return [text if len(text) <= self._longest else self._too_large(block, at) for at, text in enumerate(texts)]
        return texts

    def _alone(self, block: JudgedBlock, at: int) -> bytes | UnreadableRecord:
        columns = [[column[at]] for column in block.columns]
        try:
            if block.lines is None:
                return self._encoder.texts(columns)[0]
            begin, end = block.lines.offsets[at : at + 2]
            return self._encoder.texts(columns, [column[begin:end] for column in block.lines.columns], [0, end - begin])[0]
        except ValueError:
            return self._refused(block, at, CellFault("not_encodable", WHOLE, "text with half a surrogate pair, which is no UTF-8"))

    def _too_large(self, block: JudgedBlock, at: int) -> UnreadableRecord:
        return self._refused(block, at, CellFault("too_large", WHOLE, f"the document has more than {self._longest} bytes"))

    def _refused(self, block: JudgedBlock, at: int, fault: CellFault) -> UnreadableRecord:
        return self._refusals.refused([self._refusals.said(block.numbers[at], fault)], block.keys[at], None)
