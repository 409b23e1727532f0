"""Pure: JSON texts as blocks of records: the bytes stay as they are, and the rules are applied where and when a run wants it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from .. import codec
from ..bulk.blocks import RecordBlock
from ..bulk.canonical import as_key
from ..bulk.field_names import mistakes_in
from ..bulk.fingerprints import may_have_duplicate_names
from ..unreadable import UnreadableRecord
from ..values.fields import KEYS, MODELS, RecordKind
from ..values.json_columns import JsonColumns
from ..values.json_judge import JsonJudge
from ..values.judge import CellFault
from .record_blocks import PlacedBlock, RecordWarnings
from .refusals import Refusals, Said

__all__ = ["JsonRecords"]

_MOST: Final = 1000
"""Records of a block."""


class JsonRecords:
    """Makes blocks of JSON texts.

    Args:
        kind: what the records are.
        warnings: takes note of what is odd.
    """

    def __init__(self, kind: RecordKind, warnings: RecordWarnings) -> None:
        self._kind: RecordKind = kind
        self._cls = MODELS[kind]
        self._warnings = warnings
        self._refusals = Refusals("line", KEYS[kind], ())
        self._columns = JsonColumns(kind)
        # What a record with further fields is read with.
        self._tolerant = JsonColumns(kind, strict=False)
        self._judge = JsonJudge(kind, self._columns)

    def blocks(self, found: Sequence[tuple[int, bytes | UnreadableRecord]]) -> list[PlacedBlock]:
        """Returns records with the numbers of their lines, in blocks."""
        made = []
        for start in range(0, len(found), _MOST):
            part = found[start : start + _MOST]
            numbers = [number for number, _ in part]
            block = RecordBlock([record for _, record in part], None, is_canonical=False)
            texts = list(block)

            def judge(positions: Sequence[int], texts: list[bytes | UnreadableRecord] = texts, numbers: list[int] = numbers) -> Any:
                return self._judged(positions, texts, numbers)

            block.judge = judge
            made.append(PlacedBlock(block, numbers))
        return made

    def _judged(
        self, positions: Sequence[int], texts: Sequence[bytes | UnreadableRecord], numbers: Sequence[int]
    ) -> Mapping[int, bytes | UnreadableRecord]:
        """What records at some positions are instead of what they were."""
        found: dict[int, bytes | UnreadableRecord] = {}
        strict: list[tuple[int, Any]] = []
        tolerant: list[tuple[int, Any]] = []
        for position in positions:
            text = texts[position]
            if isinstance(text, bytes):
                self._read(position, text, numbers[position], strict, tolerant, found)
        for columns, some in ((self._columns, strict), (self._tolerant, tolerant)):
            if some:
                self._judge_some(columns, some, texts, numbers, found)
        return found

    def _read(
        self,
        position: int,
        text: bytes,
        number: int,
        strict: list[tuple[int, Any]],
        tolerant: list[tuple[int, Any]],
        found: dict[int, bytes | UnreadableRecord],
    ) -> None:
        """Reads a text for the rules, or finds its names wrong; what can't be read is the business of who encodes it."""
        for columns, into in ((self._columns, strict), (self._tolerant, tolerant)):
            try:
                record = columns.decode(text)
            except codec.DecodeFailure:
                continue
            if into is tolerant or may_have_duplicate_names(text, codec.ENCODER.encode(record)):
                said = [
                    self._refusals.said(number, CellFault(code, path.removeprefix("$."), words))
                    for code, path, words in self._mistakes(text)
                ]
                if said:
                    found[position] = self._refused(said, text)
                    return
            into.append((position, record))
            return

    def _mistakes(self, text: bytes) -> list[tuple[str, str, str]]:
        return list(mistakes_in(text, self._cls))

    def _judge_some(
        self,
        columns: JsonColumns,
        some: Sequence[tuple[int, Any]],
        texts: Sequence[bytes | UnreadableRecord],
        numbers: Sequence[int],
        found: dict[int, bytes | UnreadableRecord],
    ) -> None:
        judged = self._judge.read(columns.columns([record for _, record in some]))
        for row, faults in judged.warned.items():
            for fault in faults:
                self._warnings.add(numbers[some[row][0]], fault, self._refusals)
        for row, faults in judged.refused.items():
            position, text = some[row][0], texts[some[row][0]]
            assert isinstance(text, bytes)
            found[position] = self._refused([self._refusals.said(numbers[position], fault) for fault in faults], text)

    def _refused(self, said: Sequence[Said], text: bytes) -> UnreadableRecord:
        value = codec.json_object(text) or {}
        return self._refusals.refused(said, as_key(value.get(KEYS[self._kind])), value)
