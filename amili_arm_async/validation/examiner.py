"""Pure: records as they would be sent, looked at by column: the key of each, and its faults.

Nearly all records are JSON of the right types. They are read together, and their columns are judged. A record that can't be read so is
walked through on its own, which names what is not of its type; what is left of it is judged with the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import islice
from types import NoneType
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from .. import codec
from ..bulk.canonical import as_key
from ..bulk.field_names import mistakes_in
from ..bulk.fingerprints import may_have_duplicate_names
from ..bulk.plain_records import converted, has_plain_values
from ..errors import RecordError
from ..sources.encode import RecordEncoder
from ..sources.json_faults import fault_of
from ..sources.judged import JudgedBlock, JudgedLines
from ..unreadable import UnreadableRecord
from ..values.fields import KEYS, MODELS, Field, RecordKind
from ..values.findings import WHOLE, CellFault
from ..values.json_columns import JsonColumns, RecordColumns, json_struct
from ..values.json_judge import JsonJudge
from .rules import AMOUNTS, Columns, faults_together, form_faults
from .shapes import plain, shape_faults, well_typed

__all__ = ["Checked", "Examiner"]

_VALUES: Final = msgspec.json.Decoder(float_hook=Decimal)
_MAX_FAULTS: Final = 100
"""Faults of one record that are named at the most: a record with more is of another kind."""

_LONGEST_NUMBER: Final = 96
"""Bytes of a number or a boolean of a table, at the most."""

_AROUND: Final = 8
"""Bytes around a name and a value, or around an object, at the most."""

_NUMBER: Final = frozenset({int, Decimal, NoneType, UnsetType})
_NOTHING: Final = frozenset({NoneType, UnsetType})
_PLAIN: Final = frozenset({str, int, Decimal, bool, NoneType})
_NOT_ENCODABLE: Final = frozenset({"not_encodable", "not_finite", "wrong_type"})


class Checked(NamedTuple):
    """What was seen of records that follow each other.

    Attributes:
        keys: of each, its number, as it is compared but for case; None without.
        owners: of each document, the number of its customer; None without. Empty for customers.
        faults: by position, what is wrong.
    """

    keys: Sequence[str | None]
    owners: Sequence[str | None]
    faults: Mapping[int, list[CellFault]]


class _Walked(NamedTuple):
    """What was seen of a record on its own.

    Attributes:
        value: the object; empty where there is none.
        faults: what is wrong with it.
        rest: what is left of it to be judged; None where nothing is.
    """

    value: Mapping[str, Any]
    faults: list[CellFault]
    rest: Any = None


class Examiner:
    """Looks at records of one kind.

    Args:
        kind: what the records are.
        max_bytes: bytes of a record at the most; None: any number.
    """

    def __init__(self, kind: RecordKind, max_bytes: int | None) -> None:
        self._kind: RecordKind = kind
        self._cls = MODELS[kind]
        self._wire_key = KEYS[kind]
        self._max_bytes = max_bytes
        self._json = JsonColumns(kind)
        self._with_nulls = msgspec.json.Decoder(json_struct(self._cls, nulls=True), float_hook=Decimal).decode
        self._judge = JsonJudge(kind, self._json)
        self._numbers = [place for place, field in enumerate(self._json.fields) if field.type == "decimal"]
        self._line_numbers = [place for place, field in enumerate(self._json.line_fields) if field.type == "decimal"]

    def plain(self, record: Any) -> Any:
        """Returns a record as one that can be looked at: of another library's objects and values, what JSON has for them."""
        if type(record) is bytes:
            return record
        try:
            return record if type(record) in {dict, self._cls} and has_plain_values(record) else converted(record, self._cls)[0]
        except Exception:  # what an object of the caller's raises while it is read; the walk names it
            return record

    def snapshot(self, record: Any) -> bytes | _Walked:
        """Returns what is checked of a record, which may be changed from then on."""
        text = self._text(record)
        return text if text is not None else self._walk(record)

    def check(self, records: Sequence[Any], *, carefully: bool = False) -> Checked:
        """Returns what is seen of records.

        Args:
            records: each a record, or a `snapshot` of it.
            carefully: whether each is walked through, which finds the same.
        """
        texts = self._texts(records)
        if not carefully and (at_once := self._read_at_once(texts)) is not None:
            faults: dict[int, list[CellFault]] = {}
            self._judge_columns(at_once, range(len(records)), faults)
            return self._checked(len(records), at_once, range(len(records)), {}, faults)
        read: list[Any] = [None] * len(records) if carefully else self._read(records, texts)
        walked = {position: self._walk(records[position]) for position, one in enumerate(read) if one is None}
        for position, one in walked.items():
            read[position] = one.rest
        # Those that are left; where all are, a row is a position.
        rows = range(len(read)) if None not in read else [position for position, one in enumerate(read) if one is not None]
        kept = read if len(rows) == len(read) else [one for one in read if one is not None]
        columns = self._json.columns(kept)
        odd = {rows[row] for row in self._odd_rows(columns)}.difference(walked)
        if odd:
            for position in odd:
                walked[position] = self._walk(records[position])
                kept[rows.index(position)] = walked[position].rest or self._json.struct()
            columns = self._json.columns(kept)
        faults = {position: one.faults for position, one in walked.items() if one.faults}
        self._judge_columns(columns, rows, faults)
        return self._checked(len(records), columns, rows, walked, faults)

    def check_judged(self, block: JudgedBlock) -> Checked:
        """Returns what is seen of records of a table, which were judged when they were read."""
        refused = {one.before + number: one.record for number, one in enumerate(block.refused)}
        count = len(block.keys) + len(refused)
        rows = range(count) if not refused else [position for position in range(count) if position not in refused]
        faults = {rows[row]: list(found) for row, found in block.warned.items()}
        faults |= {position: self._walk(record).faults for position, record in refused.items()}
        header, lines = _of_table(block.fields, block.columns), block.lines
        of_lines = _of_table(lines.fields, lines.columns) if lines is not None else {}
        offsets = lines.offsets if lines is not None else [0] * (len(rows) + 1)
        self._look_at(Columns(len(rows), header, of_lines, offsets), rows, faults)
        for row, size in self._too_large(block):
            faults[rows[row]] = [self._size_fault(size)]
        owners = _keys(header.get("customerNo") or (None,) * len(rows)) if self._kind == "documents" else ()
        if not refused:
            return Checked(block.keys, owners, faults)
        keys: list[str | None] = [None] * count
        for position, key in zip(rows, block.keys, strict=True):
            keys[position] = key
        for position, record in refused.items():
            keys[position] = _key(record.get(self._wire_key))
        of_rows = iter(owners)
        every = [None if position in refused else next(of_rows) for position in range(count)] if owners else ()
        return Checked(keys, every, faults)

    def _too_large(self, block: JudgedBlock) -> Iterator[tuple[int, int]]:
        """Gives the rows that are too large for a request, with their sizes."""
        of_lines = block.lines if block.lines is not None else JudgedLines((), (), ())
        most = _most_bytes(block.fields, block.columns) + _most_bytes(of_lines.fields, of_lines.columns)
        if self._max_bytes is None or most <= self._max_bytes:
            return
        encoder = RecordEncoder(block.fields, of_lines.fields)
        texts = encoder.texts(block.columns, of_lines.columns, of_lines.offsets)
        yield from ((row, len(text)) for row, text in enumerate(texts) if len(text) > self._max_bytes)

    # --- reading ----------------------------------------------------------------------------------------------------------

    def _texts(self, records: Sequence[Any]) -> Sequence[bytes | None]:
        """The JSON text of each record; None where it has none, or where it is not certain."""
        kinds = set(map(type, records))
        if kinds <= {bytes}:
            return records
        if kinds in ({self._cls}, {dict}):
            try:
                lines = codec.encode_lines(list(records), decimals=True)
            except Exception:  # what an object of the caller's raises while it is read
                lines = None
            if lines is not None:
                return list(map(bytes, lines[1]))
        return list(map(self._text, records))

    def _text(self, record: Any) -> bytes | None:
        if type(record) is bytes:
            return record
        if isinstance(record, (bytearray, _Walked, UnreadableRecord)):
            return bytes(record) if isinstance(record, bytearray) else None
        try:
            return codec.encode_one(record, self._cls)
        except Exception:  # what an object of the caller's raises while it is read; the walk names it
            return None

    def _read_at_once(self, texts: Sequence[bytes | None]) -> RecordColumns | None:
        """The columns of the records, where it is certain that none needs a walk."""
        if set(map(type, texts)) != {bytes} or (self._max_bytes is not None and max(map(len, texts)) > self._max_bytes):  # type: ignore[arg-type]
            return None
        columns = self._json.read(texts)  # type: ignore[arg-type]
        return columns if columns is not None and not self._odd_rows(columns) else None

    def _read(self, records: Sequence[Any], texts: Sequence[bytes | None]) -> list[Any]:
        """The record in each text; None where it needs a walk."""
        try:
            read: list[Any] = list(map(self._json.decode, texts))  # type: ignore[arg-type]
        except (TypeError, *codec.DecodeFailure):
            read = [self._read_one(text) for text in texts]
        if self._max_bytes is not None:
            for position, text in enumerate(texts):
                if text is not None and len(text) > self._max_bytes:
                    read[position] = None
        for position in self._with_duplicate_names(texts, read):
            if isinstance(records[position], (bytes, bytearray)):
                read[position] = None
        return read

    def _read_one(self, text: bytes | None) -> Any:
        try:
            return self._json.decode(text) if text is not None else None
        except codec.DecodeFailure:
            return None

    def _with_duplicate_names(self, texts: Sequence[bytes | None], read: Sequence[Any]) -> Iterator[int]:
        """Gives the positions of texts in which a name may occur twice in an object."""
        rows = range(len(read)) if None not in read else [position for position, one in enumerate(read) if one is not None]
        given: list[bytes] = [texts[row] for row in rows]  # type: ignore[misc]
        written = list(map(codec.ENCODER.encode, [read[row] for row in rows]))
        if list(map(len, given)) == list(map(len, written)):
            return
        # With a backslash, a colon can be written in another way. Without, no text has fewer of them than the same written again.
        together = b"".join(given)
        if b"\\" not in together and together.count(b":") == b"".join(written).count(b":"):
            return
        for row, text, again in zip(rows, given, written, strict=True):
            # A null that was not written again is no name that occurs twice.
            if may_have_duplicate_names(text, again) and may_have_duplicate_names(text, codec.ENCODER.encode(self._with_nulls(text))):
                yield row

    def _odd_rows(self, columns: RecordColumns) -> set[int]:
        """The rows of records with a value in them that was read whatever it is."""
        odd: set[int] = set()
        for place in self._numbers:
            column = columns.header[place]
            if not set(map(type, column)) <= _NUMBER:
                odd.update(row for row, value in enumerate(column) if type(value) not in _NUMBER)
        for items in columns.items:
            if not set(map(type, items.items)) <= _PLAIN:
                odd.update(items.place(place)[0] for place, item in enumerate(items.items) if type(item) not in _PLAIN)
        for place in self._line_numbers if columns.lines else ():
            column = columns.lines[place]
            if not set(map(type, column)) <= _NUMBER:
                odd.update(columns.row_of(line) for line, value in enumerate(column) if type(value) not in _NUMBER)
        return odd

    # --- judging ----------------------------------------------------------------------------------------------------------

    def _judge_columns(self, columns: RecordColumns, rows: Sequence[int], faults: dict[int, list[CellFault]]) -> None:
        """Adds what is wrong with values to the faults of the records."""
        judged = self._judge.read(columns)
        for by_row in (judged.refused, judged.warned):
            for row, found in by_row.items():
                _add(faults, rows[row], found)
        header = _given(self._json.fields, columns.header)
        header |= {items.field.path: items.lists for items in columns.items}
        lines = _given(self._json.line_fields, columns.lines)
        self._look_at(Columns(columns.number, header, lines, columns.offsets), rows, faults)

    def _look_at(self, columns: Columns, rows: Sequence[int], faults: dict[int, list[CellFault]]) -> None:
        """Adds what a check finds in records that were judged."""
        for row, fault in form_faults(self._kind, columns):
            before = faults.get(rows[row], ())
            # Where the rules of value have named the place, what they say is what a run says.
            if not any(fault.path == other.path for other in before):
                _add(faults, rows[row], [fault])
        for row, fault in faults_together(self._kind, columns):
            # What is there and of the wrong type is not missing.
            if not any(fault.path == other.path and other.code in _NOT_ENCODABLE for other in faults.get(rows[row], ())):
                _add(faults, rows[row], [fault])
        for position, every in faults.items():
            if len(every) > _MAX_FAULTS:
                faults[position] = every[:_MAX_FAULTS]

    def _checked(
        self, count: int, columns: RecordColumns, rows: Sequence[int], walked: Mapping[int, _Walked], faults: dict[int, list[CellFault]]
    ) -> Checked:
        names = [self._wire_key] if self._kind == "customers" else [self._wire_key, "customerNo"]
        found: list[Sequence[str | None]] = []
        for name in names:
            column = columns.header[next(place for place, field in enumerate(self._json.fields) if field.path == name)]
            keys = _keys(column or (None,) * columns.number)
            if walked:
                by_position = dict(zip(rows, keys, strict=True)) | {at: _key(one.value.get(name)) for at, one in walked.items()}
                keys = [by_position[position] for position in range(count)]
            found.append(keys)
        return Checked(found[0], found[1] if len(found) > 1 else (), faults)

    # --- one record -------------------------------------------------------------------------------------------------------

    def _walk(self, record: Any) -> _Walked:
        """What is seen of a record in which something is odd."""
        if isinstance(record, _Walked):
            return record
        if isinstance(record, UnreadableRecord):
            return _Walked(record, [CellFault(*fault) for fault in record.faults] or [CellFault("not_readable", WHOLE, record.fault)])
        try:
            value = self._value(record)
            if isinstance(value, CellFault):
                return _Walked({}, [value])
            if self._max_bytes is not None and (size := self._size(record)) > self._max_bytes:
                # It can't be sent, whatever else there is.
                return _Walked(value, [self._size_fault(size)])
            faults = [*_duplicate_names(record, value, self._cls), *islice(shape_faults(value, self._cls), _MAX_FAULTS)]
            faults += self._encoding_faults(record, faults)
            return _Walked(value, faults, msgspec.convert(well_typed(value, self._cls), self._json.struct))
        except Exception as exc:  # what a mapping of the caller's raises while it is read, or what holds itself
            return _Walked({}, [CellFault("not_encodable", WHOLE, f"can't be read ({type(exc).__name__})")])

    def _value(self, record: object) -> Mapping[str, Any] | CellFault:
        """The JSON object of a record, or why there is none."""
        if isinstance(record, (bytes, bytearray)):
            if self._max_bytes is not None and len(record) > self._max_bytes and not record.strip(b"\0"):
                return CellFault("too_large", WHOLE, f"more than {self._max_bytes} bytes")
            return _parsed(bytes(record))
        if not isinstance(record, (self._cls, Mapping)):
            return CellFault("not_object", WHOLE, f"a {type(record).__name__} is no {self._cls.__name__}, no mapping and no bytes")
        try:
            return _parsed(codec.encode_one(record, self._cls))
        except RecordError:
            value = plain(record)
            assert isinstance(value, dict)
            return value

    def _size(self, record: Any) -> int:
        if isinstance(record, (bytes, bytearray)):
            return len(record)
        try:
            return len(codec.encode_one(record, self._cls))
        except RecordError:
            return 0

    def _size_fault(self, size: int) -> CellFault:
        return CellFault("too_large", WHOLE, f"{size} bytes alone; {self._max_bytes} at the most")

    def _encoding_faults(self, record: object, faults: list[CellFault]) -> list[CellFault]:
        """That a record can't be written, where none of its faults says so."""
        if isinstance(record, (bytes, bytearray)) or any(found.code in _NOT_ENCODABLE for found in faults):
            return []
        try:
            codec.encode_one(record, self._cls)
        except RecordError as exc:
            return [CellFault("not_encodable", WHOLE, str(exc))]
        return []


def _given(fields: Sequence[Field], columns: Sequence[Sequence[Any]]) -> dict[str, Sequence[Any]]:
    """The columns in which there is a value. A zero is one."""
    found = {}
    for field, column in zip(fields, columns, strict=False):
        if any(column) or (field.type == "decimal" and not set(map(type, column)) <= _NOTHING):
            found[field.path] = column
    return found


def _of_table(fields: Sequence[Field], columns: Sequence[Sequence[Any]]) -> dict[str, Sequence[Any]]:
    """The columns of a table in which there is a value, with amounts as numbers."""
    found = _given(fields, columns)
    for field in fields:
        if field.path in found and AMOUNTS in field.names:
            found[field.path] = _numbers(found[field.path])
    return found


def _numbers(column: Sequence[Any]) -> Sequence[Any]:
    given = [value for value in column if value is not UNSET]
    numbers = _VALUES.decode(codec.ENCODER.encode(given))
    if len(given) == len(column):
        return numbers  # type: ignore[no-any-return]
    left = iter(numbers)
    return [value if value is UNSET else next(left) for value in column]


def _most_bytes(fields: Sequence[Field], columns: Sequence[Sequence[Any]]) -> int:
    """How many bytes all records have together, at the most."""
    size = _AROUND * len(columns[0]) if columns else 0
    for field, column in zip(fields, columns, strict=True):
        size += (len(field.path) + _AROUND) * len(column)
        if field.type in {"text", "date", "texts"}:
            try:
                # A character of a text has six bytes at the most.
                size += 6 * len("".join(column))
            except TypeError:
                # Some are absent, or lists.
                given = list(filter(None, column))
                size += len(codec.ENCODER.encode(given)) if field.type == "texts" else 6 * len("".join(given))
        else:
            size += _LONGEST_NUMBER * len(column)
    return size


def _add(faults: dict[int, list[CellFault]], position: int, found: Sequence[CellFault]) -> None:
    """Adds faults of a record that are not among those that it has."""
    before = faults.get(position)
    if before is None:
        faults[position] = list(found)
    else:
        known = {fault[:2] for fault in before}
        faults[position] = [*before, *(fault for fault in found if fault[:2] not in known)]


def _duplicate_names(record: object, value: Mapping[str, Any], cls: type) -> Iterator[CellFault]:
    """Gives the names that stand twice in an object of a text, whose value has each once."""
    if isinstance(record, (bytes, bytearray)) and may_have_duplicate_names(bytes(record), codec.ENCODER.encode(value)):
        for code, path, message in mistakes_in(bytes(record), cls):
            if code == "duplicate_field":
                yield CellFault(code, path.removeprefix("$."), message)


def _parsed(text: bytes) -> Mapping[str, Any] | CellFault:
    try:
        text.decode()
    except UnicodeDecodeError as exc:
        return CellFault("not_utf8", WHOLE, f"not UTF-8 at byte {exc.start}")
    try:
        value = _VALUES.decode(text)
    except codec.DecodeFailure as exc:
        is_text = isinstance(exc, msgspec.DecodeError)
        reason = (fault_of(text.strip()) or str(exc)) if is_text else "a number or a nesting beyond all bounds"
        return CellFault("not_json", WHOLE, reason)
    return value if isinstance(value, dict) else CellFault("not_object", WHOLE, "not an object")


def _keys(column: Sequence[Any]) -> Sequence[str | None]:
    """The keys in a column of texts."""
    if all(column):
        joined = "".join(column)
        if joined.isascii() and joined.isprintable() and list(map(str.strip, column)) == list(column):
            return column
    return list(map(_key, column))


def _key(value: object) -> str | None:
    key = as_key(value)
    try:
        return key if key is None or key.encode() else None
    except UnicodeEncodeError:
        # It is a fault of its own, and can't be compared or shown.
        return None
