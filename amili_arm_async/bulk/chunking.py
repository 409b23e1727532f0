"""Pure: cuts records into batches, lazily, by their number and their exact size in bytes.

Records that can't change are encoded in slices, many at a time, which is cheapest. A slice that does not fit, or that holds an invalid
record, is encoded again record by record. So no record is encoded more than twice, and little is read ahead of a full batch.
A record that may change as soon as the next one is read is encoded at once.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cached_property
from itertools import accumulate, chain
from operator import attrgetter
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import UnsetType

from .. import codec
from ..errors import RecordError
from ..models.base import Input
from ..models.documents import Document
from ..unreadable import UnreadableRecord
from .blocks import RecordBlock
from .canonical import is_plain
from .field_names import FieldNameError, check_mapping, date_attributes, object_attributes
from .fingerprints import Fingerprinter, as_key, fingerprints_of_sorted
from .finite import finite_check
from .outcomes import BatchOutcome, Outcome
from .plain_records import converted, plain_record
from .record_amounts import RecordAmounts

__all__ = ["Batch", "Chunker", "Invalid", "RecordType", "as_key", "split_json_objects"]

_RAW_LIST: Final = msgspec.json.Decoder(list[msgspec.Raw])

_BRACES: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}]')
"""JSON strings, to be skipped, and braces."""


def split_json_objects(body: bytes) -> list[bytes]:
    """Splits JSON objects that are joined by commas.

    Args:
        body: the objects, joined by commas, without brackets around them.

    Returns:
        The text of each object, byte for byte.

    Raises:
        msgspec.DecodeError, ValueError, RecursionError: the body is no such list (see `codec.DecodeFailure`).
    """
    try:
        return [bytes(item) for item in _RAW_LIST.decode(b"[" + body + b"]")]
    except codec.DecodeFailure:
        # A Decimal NaN in a text field is written as a bare word, which is no JSON. The records around it can still be split.
        texts = _split_objects(body)
        if b",".join(texts) != body:
            raise
        return texts


def _split_objects(body: bytes) -> list[bytes]:
    texts: list[bytes] = []
    begin = depth = 0
    for found in _BRACES.finditer(body):
        depth += {b"{": 1, b"}": -1}.get(found[0], 0)
        if depth == 0 and found[0] == b"}":
            texts.append(body[begin : found.end()])
            begin = found.end() + 1
    return texts


SLICE: Final = 250
"""The largest number of records that are encoded together."""

FIRST_SLICE: Final = 32
"""The number of records in the first slice, when nothing is known about their size."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Records that are sent together, encoded.

    Attributes:
        number: the number of the batch, from 1; the parts of a split batch share it.
        indexes: the index of each record in the source.
        keys: the key of each record, or None.
        pieces: the JSON texts of the records; a comma belongs between two pieces.
        size: the size of the pieces in bytes, with the commas.
        fingerprints: the fingerprint of each record, where a journal needs them; else empty.
        amounts: the money of documents, where a journal keeps it; else None.
    """

    number: int
    indexes: Sequence[int]
    keys: Sequence[str | None]
    pieces: tuple[bytes, ...]
    size: int
    fingerprints: Sequence[int] = ()
    amounts: RecordAmounts | None = None

    def __len__(self) -> int:
        return len(self.indexes)

    def texts(self) -> list[bytes]:
        """Returns the JSON text of each record."""
        return split_json_objects(b",".join(self.pieces))

    def halves(self) -> tuple[Batch, Batch]:
        """Splits the batch, which must have two records or more.

        Returns:
            Both halves, in order.
        """
        texts = self.texts()
        middle = (len(texts) + 1) // 2
        return self._part(texts, range(middle)), self._part(texts, range(middle, len(texts)))

    def only(self, positions: Sequence[int]) -> Batch:
        """Picks records of the batch.

        Args:
            positions: the positions of the records in this batch.

        Returns:
            A batch with these records alone, in the order of `positions`.
        """
        # As many positions are not the same positions: their order may differ.
        return self if list(positions) == list(range(len(self))) else self._part(self.texts(), positions)

    def _part(self, texts: list[bytes], positions: Sequence[int]) -> Batch:
        piece = b",".join([texts[position] for position in positions])
        if isinstance(positions, range) and positions.step == 1:
            indexes, keys = self.indexes[positions.start : positions.stop], self.keys[positions.start : positions.stop]
        else:
            indexes, keys = array("q", [self.indexes[at] for at in positions]), [self.keys[at] for at in positions]
        fingerprints = array("I", [self.fingerprints[at] for at in positions]) if self.fingerprints else ()
        amounts = self.amounts.only(positions) if self.amounts is not None else None
        return Batch(self.number, indexes, keys, (piece,), len(piece), fingerprints, amounts)


class Invalid(NamedTuple):
    """A record that can't be sent.

    Attributes:
        outcome: the outcome of this record alone.
        payload: its text, as far as it can be written; None where it is not kept.
        is_unreadable: whether its source could not read it.
    """

    outcome: BatchOutcome
    payload: bytes | None
    is_unreadable: bool = False


class RecordType:
    """The type of the records of a run, and the field that is their key.

    Args:
        cls: the Struct of a record.
        attribute: the attribute of the Struct that is the key.

    Attributes:
        cls: the Struct.
        attribute: the attribute that is the key.
        wire_key: the name of that field in JSON.
        attribute_of: reads the attribute of a Struct.
        dates_of: reads its attributes that are dates.
        objects_of: reads its attributes that are objects, or lists of them, of a class of the API.
        fingerprinter: makes the fingerprints of records.
        has_decimals: whether nearly every record holds Decimals.
    """

    def __init__(self, cls: type[Input], attribute: str) -> None:
        self.cls = cls
        self.wire_key = dict(zip(cls.__struct_fields__, cls.__struct_encode_fields__, strict=True))[attribute]
        self.attribute = attribute
        self.attribute_of = attrgetter(attribute)
        self.dates_of = attrgetter(*date_attributes(cls))
        self.objects_of = _values_of(object_attributes(cls))
        self._object_types = frozenset({*object_attributes(cls).values(), type(None), UnsetType})
        # To decode this field checks the syntax of the whole object too.
        named = msgspec.defstruct("Named", [("key", Any, msgspec.field(default=None, name=self.wire_key))])
        self._named = msgspec.json.Decoder(named, float_hook=Decimal)
        self.fingerprinter = Fingerprinter(cls)
        self.has_decimals = cls is Document

    @cached_property
    def finite_check(self) -> Callable[[Iterable[Any]], bool]:
        """Returns whether Structs hold only finite numbers, plain dates and objects, for sure; it may raise what a Struct that is not as
        usual makes it."""
        return finite_check(self.cls, decimals=self.has_decimals)

    def are_finite(self, records: list[Any]) -> bool:
        """Returns whether Structs of this type hold only finite numbers, plain dates and objects, for sure.

        Args:
            records: the Structs.

        Returns:
            False also where that is not certain.
        """
        try:
            return self.finite_check(records)
        except (AttributeError, TypeError):
            return False

    def parts_are_plain(self, records: list[Any]) -> bool:
        """Returns whether the dates of Structs of this type are dates, since a datetime is one too, and would be sent with its time; and
        their objects of the API's classes, since those of another class may have other names.

        Args:
            records: the Structs.
        """
        if not _DATE_TYPES.issuperset(map(type, chain.from_iterable(map(self.dates_of, records)))):
            return False
        parts = list(chain.from_iterable(map(self.objects_of, records)))
        if self._object_types.issuperset(map(type, parts)):
            return True
        items = chain.from_iterable(part if type(part) in {list, tuple} else (part,) for part in parts)
        return self._object_types.issuperset(map(type, items))

    def keys_of(self, records: list[Any], kind: type) -> list[str | None] | None:
        """Reads the keys of records of the same type.

        Args:
            records: the records: Structs of this type, dicts or bytes.
            kind: their type.

        Returns:
            The key of each record, or None where a record has to be checked on its own.

        Raises:
            msgspec.DecodeError, ValueError, RecursionError: bytes that are no JSON object (see `codec.DecodeFailure`).
        """
        found: list[Any]
        if kind is bytes:
            found = list(map(_KEY, map(self._named.decode, records)))
        elif kind is dict:
            name = self.wire_key
            found = [record.get(name) for record in records]
        else:
            found = list(map(self.attribute_of, records))
        if _are_keys(found):
            return found
        # A key that is a number with decimals was a whole number once: each such record is checked on its own.
        return list(map(as_key, found)) if kind is bytes or _KEY_TYPES.issuperset(map(type, found)) else None

    @staticmethod
    def plain_keys(keys: Sequence[Any]) -> list[str | None]:
        """Returns keys as they are compared.

        Args:
            keys: what the records have in the field that is their key.

        Returns:
            The keys, None where there is none.
        """
        found = keys if isinstance(keys, list) else list(keys)
        return found if _are_keys(found) else list(map(as_key, found))

    def read_plain(self, texts: list[bytes], whole: bytes) -> tuple[list[str | None], Sequence[int]] | None:
        """Reads the keys and the fingerprints of texts of this type, and checks their field names.

        Args:
            texts: the texts.
            whole: all of them, with commas between them.

        Returns:
            The keys and the fingerprints; None where a text has to be checked on its own.
        """
        read = self.fingerprinter.of_all(texts, whole, self.attribute_of)
        if read is None or (keys := self.plain_keys(read[0])) is None:
            return None
        return keys, read[1]

    def key_of(self, record: Any) -> str | None:
        """Reads the key of one record.

        Args:
            record: a record of any kind that can be sent.

        Returns:
            The key, or None where the record has none that is text or a number.

        Raises:
            RecordError: it is no record.
        """
        if isinstance(record, (bytes, bytearray)):
            key = getattr(self._named.decode(record), "key", None)
        elif isinstance(record, self.cls):
            key = self.attribute_of(record)
        else:
            key = (record if isinstance(record, Mapping) else converted(record, self.cls)[0]).get(self.wire_key)
        return as_key(key)


_KEY: Final = attrgetter("key")
_KEY_TYPES: Final = frozenset({str, int, type(None), UnsetType})
_DATE_TYPES: Final = frozenset({date, str, type(None), UnsetType})


def _values_of(names: Iterable[str]) -> Callable[[Any], tuple[Any, ...]]:
    """Returns what reads attributes of an object, however many they are, as a tuple."""
    readers = [attrgetter(name) for name in names]
    return lambda one: tuple([read(one) for read in readers])


def _are_keys(values: list[Any]) -> bool:
    """Returns whether all are texts that are keys as they are. Fast; False also where that is not certain."""
    try:
        text = "".join(values)
    except TypeError:
        return False
    # Without white space, a text is the only part of itself.
    return all(values) and text.split() == [text] and is_plain(text)


class Chunker:
    """Takes in records and gives batches: each record comes out once, in order, as part of a batch or as invalid.

    Args:
        record_type: the type of the records.
        overhead: the size in bytes of what stands around the records of a batch.
        max_records: the largest number of records in a batch.
        max_bytes: the largest size of a whole body, in bytes.
        fingerprints: whether each record gets a fingerprint; then the keys of its text are sorted.
        reads_texts: whether the field names in ready bytes are checked, as they are with fingerprints; those in mappings always are.
        require_key: whether a record without a key is invalid.
        keep_invalid: whether the text of an invalid record is kept, as far as it can be written.
    """

    def __init__(
        self,
        record_type: RecordType,
        *,
        overhead: int,
        max_records: int,
        max_bytes: int,
        fingerprints: bool = False,
        reads_texts: bool = False,
        require_key: bool = False,
        keep_invalid: bool = False,
    ) -> None:
        self._record_type = record_type
        self._makes_fingerprints = fingerprints
        self._reads_texts = reads_texts
        self._require_key = require_key
        self._keep_invalid = keep_invalid
        self._overhead = overhead
        self._max_records = max_records
        self._most = max_bytes - overhead
        # The server may lower the ceiling of a batch; for a record alone, that of the options counts.
        self._alone = self._most
        self._read = 0
        self._number = 0
        self._average = 0.0
        self._decimals = record_type.has_decimals
        # Since the last flush: records that can't change, or the texts of records and their keys; never both.
        self._held: list[Any] = []
        self._texts: list[bytes] = []
        self._names: list[Any] = []
        self._append_one: Callable[[Any], None] | None = None
        self._ready: deque[Batch] = deque()
        self._invalid: list[Invalid] = []
        self._begin()

    def _begin(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0
        self._indexes: Sequence[int] = range(self._read, self._read)
        self._keys: list[str | None] = []
        self._fingerprints = array("I")

    @property
    def read(self) -> int:
        """The number of records taken in so far."""
        return self._read + len(self._held) + len(self._texts)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left for a batch."""
        return not (self._ready or self._keys or self._held or self._texts)

    @property
    def wanted(self) -> int:
        """How many records to take in next."""
        self._flush()
        if not self._average:
            return min(FIRST_SLICE, self._max_records)
        room = int((self._most - self._size) / self._average)
        return max(1, min(self._max_records - len(self._keys), SLICE, room))

    def lower(self, max_bytes: int) -> None:
        """Lowers the size of the batches from now on: the server refused larger ones.

        Args:
            max_bytes: the largest size of a whole body, in bytes.
        """
        self._most = max(min(self._most, max_bytes - self._overhead), 1)

    @property
    def append(self) -> Callable[[Any], None]:
        """Takes in a record that may change as soon as the next one is read: it is encoded at once."""
        if self._append_one is None:
            self._append_one = self._appending()
        return self._append_one

    def _appending(self) -> Callable[[Any], None]:
        # Local variables: an attribute look-up for each record costs time.
        cls, attribute_of, wire_key = self._record_type.cls, self._record_type.attribute_of, self._record_type.wire_key
        held, texts, names, may_be_misnamed = self._held, self._texts, self._names, self._record_type.fingerprinter.names.may_be_misnamed
        write = codec.record_writer(
            self._record_type.finite_check,
            self._record_type.parts_are_plain,
            decimals=self._record_type.has_decimals,
            sort=self._makes_fingerprints,
        )

        def append(record: Any) -> None:
            kind: type = type(record)
            if kind is bytes:
                self.hold(record)
                return
            if held:
                self._flush()
            if kind is cls:
                # A Struct with another type in the key was not built as its types say.
                if (text := write(record)) is not None and type(name := attribute_of(record)) in _KEY_TYPES:
                    texts.append(text)
                    names.append(name)
                    return
            elif (
                kind is dict
                and (text := write(record)) is not None
                and type(name := record.get(wire_key)) in _KEY_TYPES
                and not may_be_misnamed(record)
            ):
                texts.append(text)
                names.append(name)
                return
            self._flush()
            self._take_one(self._read, record)
            self._read += 1

        return append

    def hold(self, record: Any) -> None:
        """Takes in a record that can't change: it is encoded together with others.

        Args:
            record: the record.
        """
        if self._texts:
            self._flush()
        self._held.append(record)

    def _flush(self) -> None:
        if self._held:
            records = self._held[:]
            self._held.clear()
            self.feed(records)
        elif self._texts:
            texts, keys = self._texts[:], self._names[:] if _are_keys(self._names) else list(map(as_key, self._names))
            self._texts.clear()
            self._names.clear()
            self._feed_texts(texts, keys)

    def _feed_texts(self, texts: list[bytes], keys: list[str | None]) -> None:
        indexes = range(self._read, self._read + len(texts))
        self._read = indexes.stop
        fingerprints = fingerprints_of_sorted(texts) if self._makes_fingerprints else ()
        text = b",".join(texts)
        if self._has_room(len(texts), len(text)) and not (self._require_key and None in keys):
            self._append(text, indexes, keys, fingerprints)
        else:
            for position, index in enumerate(indexes):
                self._add_text(index, keys[position], texts[position], fingerprints[position : position + 1])
        if self._is_full():
            self._close()

    def feed(self, records: list[Any], indexes: Sequence[int] | None = None) -> None:
        """Takes in records that do not change meanwhile.

        Args:
            records: the records.
            indexes: their indexes in the source, where some between them are skipped; None: they follow what was taken in.
        """
        self._flush()
        if not records:
            return
        if indexes is None:
            indexes = range(self._read, self._read + len(records))
        self._read = indexes[-1] + 1
        whole = self._encode_all(records)
        if whole is not None and self._has_room(len(records), len(whole[0])):
            text, keys, fingerprints = whole
            self._append(text, indexes, keys, fingerprints)
        else:
            for index, record in zip(indexes, records, strict=True):
                self._take_one(index, record)
        if self._is_full():
            self._close()

    def feed_block(self, block: RecordBlock, indexes: Sequence[int] | None = None) -> None:
        """Takes in a block, whose records the source has written: what is canonical needs no check.

        Args:
            block: the records. Rules that were not applied yet are applied.
            indexes: their indexes in the source, where some between them are skipped; None: they follow what was taken in.
        """
        self._flush()
        block.apply_rules()
        if indexes is None:
            indexes = range(self._read, self._read + len(block))
        # A fingerprint is that of a text with its fields in order.
        is_right = block.is_canonical or (block.names_are_right and not self._makes_fingerprints)
        keys = self._record_type.plain_keys(block.keys) if is_right and block.keys is not None else None
        others = [] if set(map(type, block)) <= {bytes} else [place for place, record in enumerate(block) if type(record) is not bytes]
        start = 0
        for stop in (*others, len(block)):
            if start < stop and keys is not None:
                self._add_texts(block[start:stop], keys[start:stop], indexes[start:stop])  # type: ignore[arg-type]
            while start < stop and keys is None:
                end = min(stop, start + self.wanted)
                self.feed(block[start:end], indexes[start:end])
                start = end
            if stop < len(block):
                self._take_one(indexes[stop], block[stop])
            start = stop + 1
        if block:
            self._read = indexes[-1] + 1

    def _add_texts(self, texts: list[bytes], keys: list[str | None], indexes: Sequence[int]) -> None:
        """Takes in texts that are known to be right, as many at once as fit into a batch."""
        fingerprints: Sequence[int] = fingerprints_of_sorted(texts) if self._makes_fingerprints else ()
        ends = list(accumulate([len(text) + 1 for text in texts]))
        singly = self._require_key and None in keys
        start = before = 0
        while start < len(texts):
            room = self._most - self._size - (1 if self._pieces else 0)
            fits = bisect_right(ends, before + 1 + room, start)
            stop = start if singly else min(fits, start + self._max_records - len(self._keys))
            if stop <= start:
                stop = start + 1
                self._add_text(indexes[start], keys[start], texts[start], fingerprints[start:stop])
            else:
                self._append(b",".join(texts[start:stop]), indexes[start:stop], keys[start:stop], fingerprints[start:stop])
                if self._is_full():
                    self._close()
            start, before = stop, ends[stop - 1]

    def take(self) -> Batch | None:
        """Returns the next full batch, or None."""
        self._flush()
        return self._ready.popleft() if self._ready else None

    def finish(self) -> Batch | None:
        """Returns the next batch, full or not; None where nothing is left."""
        self._flush()
        if not self._ready and self._keys:
            self._close()
        return self.take()

    def take_invalid(self) -> list[Invalid]:
        """Returns the records that can't be sent, since the last call."""
        invalid, self._invalid = self._invalid, []
        return invalid

    def skip_to(self, read: int) -> None:
        """Takes note of records that were read and not fed.

        Args:
            read: the number of records of the source that were read.
        """
        self._read = max(self._read, read)

    # --- encoding -------------------------------------------------------------------------------------------------------

    def _encode_all(self, records: list[Any]) -> tuple[bytes, list[str | None], Sequence[int]] | None:
        """Returns the joined texts of all records, their keys and fingerprints; None where a record must be checked on its own."""
        kinds = set(map(type, records))
        kind = kinds.pop()
        if kinds or kind not in {bytes, dict, self._record_type.cls}:
            return None
        try:
            if kind is bytes:
                return self._read_all(records)
            keys = self._record_type.keys_of(records, kind)
            if keys is None or (self._require_key and None in keys):
                return None
            if kind is dict and self._record_type.fingerprinter.names.any_may_be_misnamed(records):
                return None
            written = self._write_lines(records, kind) if self._makes_fingerprints else self._write_all(records, kind)
            return None if written is None else (written[0], keys, written[1])
        except codec.DecimalFound:
            # From now on Decimals are expected.
            self._decimals = True
        except Exception:  # the check of each record says which one it is, and why
            return None
        return None

    def _read_all(self, texts: list[bytes]) -> tuple[bytes, list[str | None], Sequence[int]] | None:
        whole = b",".join(texts)
        # msgspec does not check strings that it need not build.
        whole.decode()
        read = self._record_type.read_plain(texts, whole) if self._makes_fingerprints or self._reads_texts else None
        keys = read[0] if read is not None else self._record_type.keys_of(texts, bytes)
        if keys is None or (self._require_key and None in keys):
            return None
        fingerprints = self._fingerprints_of(texts) if read is None else read[1] if self._makes_fingerprints else ()
        return whole, keys, fingerprints

    def _write_all(self, records: list[Any], kind: type) -> tuple[bytes, Sequence[int]] | None:
        text = None
        if kind is not dict:
            text = codec.encode_finite(records, self._record_type.are_finite, decimals=self._record_type.has_decimals)
        if text is None and (kind is dict or self._record_type.parts_are_plain(records)):
            text = codec.encode_all(records, decimals=self._decimals)
        return None if text is None else (text, ())

    def _write_lines(self, records: list[Any], kind: type) -> tuple[bytes, Sequence[int]] | None:
        finite = kind is not dict and self._record_type.are_finite(records)
        if kind is not dict and not finite and not self._record_type.parts_are_plain(records):
            return None
        decimals = self._record_type.has_decimals if finite else self._decimals
        written = codec.encode_lines(records, decimals=decimals, finite=finite)
        return None if written is None else (written[0], fingerprints_of_sorted(written[1]))

    def _fingerprints_of(self, texts: list[bytes]) -> Sequence[int]:
        """Returns the fingerprints of texts; checks the field names in them on the way."""
        if not (self._makes_fingerprints or self._reads_texts):
            return ()
        fingerprints = array("I", map(self._record_type.fingerprinter.of, texts))
        return fingerprints if self._makes_fingerprints else ()

    def _take_one(self, index: int, record: Any) -> None:
        key: str | None = None
        try:
            if isinstance(record, Mapping):
                # It is named where it can't be sent.
                key = self._record_type.key_of(record)
            record = plain_record(record, self._record_type.cls)
            key = self._record_type.key_of(record)
            text = codec.encode_one(record, self._record_type.cls, sort=self._makes_fingerprints)
            is_text = isinstance(record, (bytes, bytearray))
            if isinstance(record, Mapping):
                check_mapping(record, self._record_type.cls)
            # A text that was written here has sorted keys; bytes have them as they came.
            fingerprints = self._fingerprints_of([text]) if is_text else fingerprints_of_sorted([text])
        except FieldNameError as exc:
            self._refuse_record(index, key, record, Outcome("invalid", exc.code, str(exc)))
            return
        except RecordError as exc:
            faults = record.faults if isinstance(record, UnreadableRecord) else ()
            code = faults[0][0] if faults else "not_encodable"
            self._refuse_record(index, key, record, Outcome("invalid", code, str(exc)))
            return
        except Exception as exc:  # a mapping of the caller's may raise anything
            reason = "not one JSON object" if isinstance(exc, codec.DecodeFailure) else type(exc).__name__
            reason = "nested too deep" if isinstance(exc, RecursionError) else reason
            self._refuse_record(index, key, record, Outcome("invalid", "not_encodable", f"$: {reason}"))
            return
        self._add_text(index, key, text, fingerprints)

    def _add_text(self, index: int, key: str | None, text: bytes, fingerprints: Sequence[int]) -> None:
        """Takes in the text of one record."""
        if len(text) > self._alone:
            size, most = len(text) + self._overhead, self._alone + self._overhead
            too_large = Outcome("invalid", "too_large", f"$: {size} bytes alone in a batch; max_bytes is {most}")
            self._refuse(index, key, text, too_large)
            return
        if key is None and self._require_key:
            missing = Outcome("invalid", "no_document_no", f"$.{self._record_type.wire_key}: missing, and it is required")
            self._refuse(index, key, text, missing)
            return
        if self._keys and not self._fits(len(text)):
            self._close()
        self._append(text, range(index, index + 1), [key], fingerprints)
        if self._is_full():
            self._close()

    def _refuse_record(self, index: int, key: str | None, record: Any, reason: Outcome) -> None:
        payload = codec.as_far_as_possible(record) if self._keep_invalid else None
        is_unreadable = isinstance(record, (bytes, bytearray, UnreadableRecord))
        self._refuse(index, key, payload, reason, is_unreadable=is_unreadable)

    def _refuse(self, index: int, key: str | None, payload: bytes | None, reason: Outcome, *, is_unreadable: bool = False) -> None:
        outcome = BatchOutcome(0, None, 0, None, range(index, index + 1), [key], reason)
        self._invalid.append(Invalid(outcome, payload if self._keep_invalid else None, is_unreadable))

    # --- the current batch -----------------------------------------------------------------------------------------------

    def _has_room(self, number: int, length: int) -> bool:
        """Returns whether so many records, together of this length, fit into the current batch."""
        return len(self._keys) + number <= self._max_records and self._fits(length)

    def _fits(self, length: int) -> bool:
        return self._size + length + (1 if self._pieces else 0) <= self._most

    def _is_full(self) -> bool:
        count = len(self._keys)
        # A batch with hardly any room is full: to find a record that still fits would cost a second encoding.
        return count >= self._max_records or (count > 0 and self._most - self._size < self._average * max(1.0, count * 0.02))

    def _append(self, text: bytes, indexes: Sequence[int], keys: list[str | None], fingerprints: Sequence[int]) -> None:
        average = len(text) / len(keys) + 1
        self._average = average if not self._average else 0.7 * self._average + 0.3 * average
        self._size += len(text) + (1 if self._pieces else 0)
        self._pieces.append(text)
        self._keys += keys
        if self._makes_fingerprints:
            self._fingerprints.extend(fingerprints)
        self._indexes = _joined(self._indexes, indexes) if self._indexes else indexes

    def _close(self) -> None:
        if self._keys:
            self._number += 1
            fingerprints = self._fingerprints if self._makes_fingerprints else ()
            self._ready.append(Batch(self._number, self._indexes, self._keys, tuple(self._pieces), self._size, fingerprints))
        self._begin()


def _joined(indexes: Sequence[int], more: Sequence[int]) -> Sequence[int]:
    if isinstance(indexes, range) and isinstance(more, range) and indexes.stop == more.start:
        return range(indexes.start, more.stop)
    return array("q", [*indexes, *more])
