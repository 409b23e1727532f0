"""Pure: JSON texts as blocks of records: the bytes stay as they are, and the rules are applied where and when a run wants it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import msgspec

from .. import codec
from ..bulk.blocks import JudgedTexts, RecordBlock
from ..bulk.canonical import as_key
from ..bulk.field_names import mistakes_in
from ..bulk.fingerprints import may_have_duplicate_names
from ..unreadable import UnreadableRecord
from ..values.cells import whole_number
from ..values.dates import read_date
from ..values.fields import KEYS, LINES, MODELS, Field, RecordKind, fields_of
from ..values.findings import WHOLE, CellFault
from ..values.json_columns import JsonColumns, RecordColumns
from ..values.json_judge import JsonJudge
from ..values.outcome import Outcome, refused
from .json_faults import fault_of
from .json_texts import FoundTexts
from .record_blocks import PlacedBlock, RecordWarnings
from .refusals import Refusals, Said

__all__ = ["JsonRecords"]

_MOST: Final = 1000
"""Records of a block."""

_ISO_LENGTH: Final = 10

_IS_NO_TEXT: Final = refused("number_as_identifier", "a tool has made a number with decimals of it: write it as a text")


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
        # What most are read with.
        self._expected = JsonColumns(kind, exact=False)
        self._judge = JsonJudge(kind, self._columns)
        self._key = next(place for place, field in enumerate(self._columns.fields) if field.path == KEYS[kind])

    def blocks(self, found: FoundTexts) -> list[PlacedBlock]:
        """Returns records with the numbers of their lines, in blocks."""
        made = []
        for start in range(0, len(found.numbers), _MOST):
            numbers = found.numbers[start : start + _MOST]
            texts = found.records[start : start + _MOST]
            block = RecordBlock(texts, None, is_canonical=False)

            def judge(positions: Sequence[int], texts: list[bytes | UnreadableRecord] = texts, numbers: list[int] = numbers) -> Any:
                return self._judged(positions, texts, numbers)

            block.judge = judge
            made.append(PlacedBlock(block, numbers))
        return made

    def _judged(self, positions: Sequence[int], texts: Sequence[bytes | UnreadableRecord], numbers: Sequence[int]) -> JudgedTexts:
        """What records at some positions are instead of what they were."""
        found = JudgedTexts()
        some = texts if len(positions) == len(texts) else [texts[position] for position in positions]
        if set(map(type, some)) == {bytes} and (by_column := self._expected.read(some)) is not None:  # type: ignore[arg-type]
            self._judge_some(by_column, positions, texts, numbers, found)
            found.names = [name or None for name in by_column.header[self._key]] or [None] * len(positions)
            return found
        return self._judged_singly(positions, texts, numbers, found)

    def _judged_singly(
        self, positions: Sequence[int], texts: Sequence[bytes | UnreadableRecord], numbers: Sequence[int], found: JudgedTexts
    ) -> JudgedTexts:
        strict: list[_Read] = []
        tolerant: list[_Read] = []
        for position in positions:
            text = texts[position]
            if isinstance(text, bytes):
                one = _Read(position, text)
                faults = self._read(one, strict, tolerant)
                if faults:
                    found[position] = self._refused([self._refusals.said(numbers[position], fault) for fault in faults], text)
        for columns, read in ((self._columns, strict), (self._tolerant, tolerant)):
            if read:
                found.update({one.position: one.changed for one in read if one.changed})
                self._judge_some(columns.columns([one.record for one in read]), [one.position for one in read], texts, numbers, found)
        return found

    def _read(self, one: _Read, strict: list[_Read], tolerant: list[_Read]) -> list[CellFault]:
        """Reads a text for the rules; returns what is wrong with its names, or why it is no object."""
        try:
            one.record = self._columns.decode(one.text)
            if not may_have_duplicate_names(one.text, codec.ENCODER.encode(one.record)):
                strict.append(one)
                return []
            into = strict
        except codec.DecodeFailure:
            into = tolerant
        faults = [CellFault(code, path.removeprefix("$."), words) for code, path, words in mistakes_in(one.text, self._cls)]
        if into is tolerant and not faults:
            value = codec.json_object(one.text)
            if value is None:
                return [CellFault("not_json", WHOLE, fault)] if (fault := fault_of(one.text)) is not None else []
            known, faults, is_changed = of_right_types(value, self._kind)
            try:
                one.record = msgspec.convert(known, self._tolerant.struct)
            except codec.DecodeFailure:
                return faults
            if is_changed:
                one.changed = codec.encode_value(value)
        if not faults:
            into.append(one)
        return faults

    def _judge_some(
        self,
        by_column: RecordColumns,
        positions: Sequence[int],
        texts: Sequence[bytes | UnreadableRecord],
        numbers: Sequence[int],
        found: JudgedTexts,
    ) -> None:
        judged = self._judge.read(by_column)
        for row, faults in judged.warned.items():
            for fault in faults:
                self._warnings.add(numbers[positions[row]], fault, self._refusals)
        for row, faults in judged.refused.items():
            position = positions[row]
            said = [self._refusals.said(numbers[position], fault) for fault in faults]
            found[position] = self._refused(said, texts[position])  # type: ignore[arg-type]
        for field, column in zip(self._columns.fields, by_column.header, strict=True):
            if field.type == "date" and not _are_days(column):
                for row, day in enumerate(column):
                    if day and (len(day) != _ISO_LENGTH or day[4] != "-") and row not in judged.refused:
                        position = positions[row]
                        # It is written as the API has days.
                        found[position] = _with_day(found.get(position, texts[position]), field, day)  # type: ignore[arg-type]

    def _refused(self, said: Sequence[Said], text: bytes) -> UnreadableRecord:
        value = codec.json_object(text) or {}
        return self._refusals.refused(said, as_key(value.get(KEYS[self._kind])), value)


@dataclass(slots=True)
class _Read:
    """A text that was read for the rules; `changed` is what is sent instead of it, if anything."""

    position: int
    text: bytes
    record: Any = None
    changed: bytes = b""


def _are_days(column: Sequence[Any]) -> bool:
    """Whether each day has the form of those that the API writes, or is blank. False also where that is not certain."""
    given = list(filter(None, column))
    return not given or ({*map(len, given)} == {_ISO_LENGTH} and "".join(given)[4::_ISO_LENGTH] == "-" * len(given))


def _with_day(text: bytes, field: Field, day: str) -> bytes:
    value = codec.json_object(text)
    assert value is not None
    value[field.path] = read_date(day.strip()).value
    return codec.encode_value(value)


def of_right_types(value: Mapping[str, Any], kind: RecordKind) -> tuple[dict[str, Any], list[CellFault], bool]:
    """Returns the known fields of a record that the rules can judge, what is wrong with numbers that a tool has made, and whether a whole
    number such as 14.0 was replaced in the record by 14. Other types are for the server to judge.

    Args:
        value: the record.
        kind: what it is.
    """
    known: dict[str, Any] = {}
    faults: list[CellFault] = []
    is_changed = False
    lines = value.get(LINES)
    objects = [line if isinstance(line, dict) else {} for line in lines] if isinstance(lines, list) else []
    if objects:
        known[LINES] = [{} for _ in objects]
    for field in fields_of(kind).values():
        for place, (given, into) in enumerate(zip(objects, known[LINES], strict=True) if field.in_lines and objects else [(value, known)]):
            if field.in_lines and not objects:
                continue
            group, found = _at(given, field.names)
            if field.type == "texts" and isinstance(found, list):
                # A blank keeps the place of what is no text.
                found = [item if isinstance(item, str) else "" for item in found]
            elif isinstance(found, Decimal) and (outcome := _of_decimals(found, field)) is not None:
                found = outcome.value
                if outcome.code is None:
                    group[field.names[-1]] = found
                    is_changed = True
                else:
                    path = field.path.replace(LINES, f"{LINES}[{place}]", 1) if field.in_lines else field.path
                    faults.append(CellFault(outcome.code, path, outcome.message))
            if _is_right(found, field):
                _put(into, field.names, found)
    return known, faults, is_changed


def _of_decimals(number: Decimal, field: Field) -> Outcome | None:
    """What a number with decimals is in a field that has none; None where the server is to judge."""
    if field.type == "integer":
        return whole_number(number)
    return _IS_NO_TEXT if field.type == "text" and field.role in {"identifier", "reference"} else None


def _put(into: dict[str, Any], names: Sequence[str], value: Any) -> None:
    for name in names[:-1]:
        into = into.setdefault(name, {})
    into[names[-1]] = value


def _at(value: Any, names: Sequence[str]) -> tuple[Any, Any]:
    """The group that holds a field, and its value; None where there is none."""
    group = None
    for name in names:
        group, value = value, value.get(name) if isinstance(value, dict) else None
    return group, value


def _is_right(value: Any, field: Field) -> bool:
    if field.type in {"text", "date"}:
        return isinstance(value, str)
    if field.type == "texts":
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    if field.type == "boolean":
        return isinstance(value, bool)
    if field.type == "decimal":
        # A text in it has a fault of its own, whatever stands beside it.
        return value is not None
    return isinstance(value, int) and not isinstance(value, bool)
