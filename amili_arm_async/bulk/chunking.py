"""Pure: cuts records into batches, lazily, by number and by their true bytes.

Records that nobody can change are encoded in slices, many at a time, because that is cheapest; a slice that does not fit, or that holds
a bad record, is encoded again one by one. So no record is encoded more than twice, and what is read ahead of a full batch stays small.
A record that may be changed as soon as the next one is read is encoded at once.
"""

from __future__ import annotations

import re
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from operator import attrgetter
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import UnsetType

from .. import codec
from ..errors import RecordError
from ..models.base import Input
from ..models.documents import Document
from ..unreadable import UnreadableRecord
from .canonical import is_plain
from .field_names import FieldNameError, check_mapping
from .fingerprints import Fingerprinter, as_key, prints_of_lines
from .finite import FINITE_CHECKS
from .outcomes import BatchOutcome, Outcome

__all__ = ["Batch", "Chunker", "Invalid", "RecordType", "as_key", "split_json_objects"]

_RAW_LIST: Final = msgspec.json.Decoder(list[msgspec.Raw])

_BRACES: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}]')
"""Texts, to be passed over, and braces."""


def split_json_objects(body: bytes) -> list[bytes]:
    """The JSON texts in `a,b,c`, each an object, as they stand there.

    Raises:
        one of `codec.DecodeFailure`: there are no such texts.
    """
    try:
        return [bytes(item) for item in _RAW_LIST.decode(b"[" + body + b"]")]
    except codec.DecodeFailure:
        # A Decimal that is NaN where a text belongs is a bare word in a document. The records around it are still to be told apart.
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
"""Records that are encoded together at the most."""

FIRST_SLICE: Final = 32
"""Records of the first slice, when nothing is known yet of their size."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Records that are sent together, encoded.

    Attributes:
        number: from 1; the parts of a split batch share it.
        indexes: the place of each record in the source.
        keys: the key of each record, or None.
        pieces: the JSON texts of the records; between two pieces belongs a comma.
        size: bytes of them with the commas.
        prints: the print of each record, where a journal needs them.
    """

    number: int
    indexes: Sequence[int]
    keys: Sequence[str | None]
    pieces: tuple[bytes, ...]
    size: int
    prints: Sequence[int] = ()

    def __len__(self) -> int:
        return len(self.indexes)

    def texts(self) -> list[bytes]:
        """The JSON text of each record."""
        return split_json_objects(b",".join(self.pieces))

    def halves(self) -> tuple[Batch, Batch]:
        """The batch in two parts, in order; it has two records or more."""
        texts = self.texts()
        middle = (len(texts) + 1) // 2
        return self._part(texts, range(middle)), self._part(texts, range(middle, len(texts)))

    def only(self, places: Sequence[int]) -> Batch:
        """The batch with only the records at these places, in the order of `places`."""
        # As many places are not the same places: they may be in another order.
        return self if list(places) == list(range(len(self))) else self._part(self.texts(), places)

    def _part(self, texts: list[bytes], places: Sequence[int]) -> Batch:
        piece = b",".join([texts[place] for place in places])
        if isinstance(places, range) and places.step == 1:
            indexes, keys = self.indexes[places.start : places.stop], self.keys[places.start : places.stop]
        else:
            indexes, keys = array("q", [self.indexes[place] for place in places]), [self.keys[place] for place in places]
        prints = array("I", [self.prints[place] for place in places]) if self.prints else ()
        return Batch(self.number, indexes, keys, (piece,), len(piece), prints)


class Invalid(NamedTuple):
    """A record that can't be sent.

    Attributes:
        outcome: of it alone.
        payload: its text as far as it can be written, where that was asked for.
        is_unreadable: whether its source could not read it.
    """

    outcome: BatchOutcome
    payload: bytes | None
    is_unreadable: bool = False


class RecordType:
    """What is sent in a run: the Struct, and the field that names a record, as attribute and on the wire.

    Attributes:
        finite_check: whether Structs are known to hold only finite numbers; it may raise AttributeError and TypeError.
        has_decimals: whether nearly every record holds Decimals.
    """

    def __init__(self, cls: type[Input], attribute: str) -> None:
        self.cls = cls
        self.wire_key = dict(zip(cls.__struct_fields__, cls.__struct_encode_fields__, strict=True))[attribute]
        self.attribute = attribute
        self.attribute_of = attrgetter(attribute)
        # Decoding only this field checks the syntax of the whole object on the way.
        named = msgspec.defstruct("Named", [("key", Any, msgspec.field(default=None, name=self.wire_key))])
        self._named = msgspec.json.Decoder(named, float_hook=Decimal)
        self.prints = Fingerprinter(cls)
        self.finite_check: Callable[[Iterable[Any]], bool] = FINITE_CHECKS.get(cls, lambda _: False)
        self.has_decimals = cls is Document

    def are_finite(self, records: list[Any]) -> bool:
        """Whether Structs of this kind are known to hold only finite numbers."""
        try:
            return self.finite_check(records)
        except (AttributeError, TypeError):
            return False

    def keys_of(self, records: list[Any], kind: type) -> list[str | None] | None:
        """The key of each record, where all are Structs of this kind, dicts or bytes; None where one needs a closer look.

        Raises:
            one of `codec.DecodeFailure`: bytes that are no JSON object.
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
        if kind is self.cls and not _KEY_TYPES.issuperset(map(type, found)):
            return None
        return list(map(as_key, found))

    def key_of(self, record: Any) -> str | None:
        """The key of a record; None where it has none that is text or a number."""
        if isinstance(record, (bytes, bytearray)):
            key = getattr(self._named.decode(record), "key", None)
        elif isinstance(record, Mapping):
            key = record.get(self.wire_key)
        else:
            key = self.attribute_of(record) if isinstance(record, self.cls) else None
        return as_key(key)


_KEY: Final = attrgetter("key")
_KEY_TYPES: Final = frozenset({str, int, float, Decimal, UnsetType})


def _are_keys(values: list[Any]) -> bool:
    """Whether all are texts that are keys as they stand. Quick; False also where that is not sure."""
    try:
        text = "".join(values)
    except TypeError:
        return False
    # Without white space, a text is the only part of itself.
    return all(values) and text.split() == [text] and is_plain(text)


class Chunker:
    """Takes records in, gives batches out: what is read comes out once, in order, as part of a batch or as invalid.

    Args:
        kind: what is sent.
        overhead: bytes of what stands around the records of a batch.
        max_records: records in a batch at the most.
        max_bytes: bytes of a whole body at the most.
        prints: whether each record gets a print; then the keys of its text are sorted.
        reads_texts: whether the names in ready bytes are looked at, as they are where there are prints; those in mappings always are.
        require_key: whether a record without key is invalid.
        keep_invalid: whether the text of what is invalid is kept, as far as it can be written.
    """

    def __init__(
        self,
        kind: RecordType,
        *,
        overhead: int,
        max_records: int,
        max_bytes: int,
        prints: bool = False,
        reads_texts: bool = False,
        require_key: bool = False,
        keep_invalid: bool = False,
    ) -> None:
        self._kind = kind
        self._makes_prints = prints
        self._reads_texts = reads_texts
        self._require_key = require_key
        self._keep_invalid = keep_invalid
        self._overhead = overhead
        self._max_records = max_records
        self._most = max_bytes - overhead
        # The ceiling may be lowered by what the server says; a record alone is measured by what was asked for.
        self._alone = self._most
        self._read = 0
        self._number = 0
        self._average = 0.0
        self._decimals = kind.has_decimals
        # Since the last flush: records that nobody can change, or the texts of records and what names them; never both.
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
        self._prints = array("I")

    @property
    def read(self) -> int:
        """Records taken in so far."""
        return self._read + len(self._held) + len(self._texts)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing that a batch could be made of."""
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
        """From now on, batches of at most `max_bytes`: the server refused larger ones."""
        self._most = max(min(self._most, max_bytes - self._overhead), 1)

    @property
    def append(self) -> Callable[[Any], None]:
        """Takes in a record that may be changed as soon as the next one is read: it is encoded at once."""
        if self._append_one is None:
            self._append_one = self._appending()
        return self._append_one

    def _appending(self) -> Callable[[Any], None]:
        # Every attribute that need not be looked up for each record is time.
        cls, attribute_of, wire_key = self._kind.cls, self._kind.attribute_of, self._kind.wire_key
        held, texts, names, may_slip_in = self._held, self._texts, self._names, self._kind.prints.names.may_slip_in
        write = codec.record_writer(self._kind.finite_check, decimals=self._kind.has_decimals, sort=self._makes_prints)

        def append(record: Any) -> None:
            kind: type = type(record)
            if kind is bytes:
                self.hold(record)
                return
            if held:
                self._flush()
            if kind is cls:
                # A Struct with anything else for a number is not made as it should be.
                if (text := write(record)) is not None and type(name := attribute_of(record)) in _KEY_TYPES:
                    texts.append(text)
                    names.append(name)
                    return
            elif kind is dict and (text := write(record)) is not None and not may_slip_in(record):
                texts.append(text)
                names.append(record.get(wire_key))
                return
            self._flush()
            self._take_one(self._read, record)
            self._read += 1

        return append

    def hold(self, record: Any) -> None:
        """Takes in a record that nobody can change: it is encoded with others."""
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
        prints = prints_of_lines(texts) if self._makes_prints else ()
        text = b",".join(texts)
        if self._has_room(len(texts), len(text)) and not (self._require_key and None in keys):
            self._append(text, indexes, keys, prints)
        else:
            for place, index in enumerate(indexes):
                self._place(index, keys[place], texts[place], prints[place : place + 1])
        if self._is_full():
            self._close()

    def feed(self, records: list[Any], indexes: Sequence[int] | None = None) -> None:
        """Takes in records that do not change meanwhile: those that follow, or those at these places of the source, where those between
        them are passed over."""
        self._flush()
        if not records:
            return
        if indexes is None:
            indexes = range(self._read, self._read + len(records))
        self._read = indexes[-1] + 1
        whole = self._encode_all(records)
        if whole is not None and self._has_room(len(records), len(whole[0])):
            text, keys, prints = whole
            self._append(text, indexes, keys, prints)
        else:
            for index, record in zip(indexes, records, strict=True):
                self._take_one(index, record)
        if self._is_full():
            self._close()

    def take(self) -> Batch | None:
        """The next full batch, or None."""
        self._flush()
        return self._ready.popleft() if self._ready else None

    def finish(self) -> Batch | None:
        """The next batch, full or not, or None: there is nothing left."""
        self._flush()
        if not self._ready and self._keys:
            self._close()
        return self.take()

    def take_invalid(self) -> list[Invalid]:
        """The records that can't be sent, since the last time."""
        invalid, self._invalid = self._invalid, []
        return invalid

    def pass_over(self, read: int) -> None:
        """So many records of the source were read, those that were not fed among them."""
        self._read = max(self._read, read)

    # --- encoding -------------------------------------------------------------------------------------------------------

    def _encode_all(self, records: list[Any]) -> tuple[bytes, list[str | None], Sequence[int]] | None:
        """The texts of all records, joined by commas, their keys and prints; None where one of them needs a closer look."""
        kinds = set(map(type, records))
        kind = kinds.pop()
        if kinds or kind not in {bytes, dict, self._kind.cls}:
            return None
        try:
            keys = self._kind.keys_of(records, kind)
            if keys is None or (self._require_key and None in keys):
                return None
            if kind is dict and self._kind.prints.names.may_slip(records):
                return None
            if kind is bytes:
                text = b",".join(records)
                # msgspec passes over texts that it does not have to build.
                text.decode()
                return text, keys, self._prints_of_texts(records)
            written = self._write_lines(records, kind) if self._makes_prints else self._write_all(records, kind)
            return None if written is None else (written[0], keys, written[1])
        except codec.DecimalFound:
            # From now on they are reckoned with.
            self._decimals = True
        except Exception:  # the closer look tells which record it is, and why
            return None
        return None

    def _write_all(self, records: list[Any], kind: type) -> tuple[bytes, Sequence[int]] | None:
        text = None
        if kind is not dict:
            text = codec.encode_finite(records, self._kind.are_finite, decimals=self._kind.has_decimals)
        if text is None:
            text = codec.encode_all(records, decimals=self._decimals)
        return None if text is None else (text, ())

    def _write_lines(self, records: list[Any], kind: type) -> tuple[bytes, Sequence[int]] | None:
        finite = kind is not dict and self._kind.are_finite(records)
        decimals = self._kind.has_decimals if finite else self._decimals
        written = codec.encode_lines(records, decimals=decimals, finite=finite)
        return None if written is None else (written[0], prints_of_lines(written[1]))

    def _prints_of_texts(self, texts: list[bytes]) -> Sequence[int]:
        """The prints of texts, which also shows whether the names in them are right."""
        if not (self._makes_prints or self._reads_texts):
            return ()
        prints = array("I", map(self._kind.prints.of, texts))
        return prints if self._makes_prints else ()

    def _take_one(self, index: int, record: Any) -> None:
        key: str | None = None
        try:
            key = self._kind.key_of(record)
            text = codec.encode_one(record, self._kind.cls, sort=self._makes_prints)
            is_text = isinstance(record, (bytes, bytearray))
            if isinstance(record, Mapping):
                check_mapping(record, self._kind.cls)
            # A text that was written here has its keys sorted; bytes have them as they came.
            prints = self._prints_of_texts([text]) if is_text else prints_of_lines([text])
        except FieldNameError as exc:
            self._refuse_record(index, key, record, Outcome("invalid", exc.code, str(exc)))
            return
        except RecordError as exc:
            self._refuse_record(index, key, record, Outcome("invalid", "not_encodable", str(exc)))
            return
        except Exception as exc:  # also what a mapping of the caller's raises when it is asked for its key
            reason = "not one JSON object" if isinstance(exc, codec.DecodeFailure) else type(exc).__name__
            reason = "nested too deep" if isinstance(exc, RecursionError) else reason
            self._refuse_record(index, key, record, Outcome("invalid", "not_encodable", f"$: {reason}"))
            return
        # A text that was written here has its keys sorted; bytes have them as they came.
        prints = self._prints_of_texts([text]) if isinstance(record, (bytes, bytearray)) else prints_of_lines([text])
        self._place(index, key, text, prints)

    def _place(self, index: int, key: str | None, text: bytes, prints: Sequence[int]) -> None:
        """Takes in the text of one record."""
        if len(text) > self._alone:
            size, most = len(text) + self._overhead, self._alone + self._overhead
            too_large = Outcome("invalid", "too_large", f"$: {size} bytes alone in a batch; max_bytes is {most}")
            self._refuse(index, key, text, too_large)
            return
        if key is None and self._require_key:
            missing = Outcome("invalid", "no_document_no", f"$.{self._kind.wire_key}: missing, and it is required")
            self._refuse(index, key, text, missing)
            return
        if self._keys and not self._fits(len(text)):
            self._close()
        self._append(text, range(index, index + 1), [key], prints)
        if self._is_full():
            self._close()

    def _refuse_record(self, index: int, key: str | None, record: Any, verdict: Outcome) -> None:
        payload = codec.as_far_as_possible(record) if self._keep_invalid else None
        is_unreadable = isinstance(record, (bytes, bytearray, UnreadableRecord))
        self._refuse(index, key, payload, verdict, is_unreadable=is_unreadable)

    def _refuse(self, index: int, key: str | None, payload: bytes | None, verdict: Outcome, *, is_unreadable: bool = False) -> None:
        outcome = BatchOutcome(0, None, 0, None, range(index, index + 1), [key], verdict)
        self._invalid.append(Invalid(outcome, payload if self._keep_invalid else None, is_unreadable))

    # --- the batch under way --------------------------------------------------------------------------------------------

    def _has_room(self, number: int, length: int) -> bool:
        """Whether so many records, together of this length, fit into the batch under way."""
        return len(self._keys) + number <= self._max_records and self._fits(length)

    def _fits(self, length: int) -> bool:
        return self._size + length + (1 if self._pieces else 0) <= self._most

    def _is_full(self) -> bool:
        count = len(self._keys)
        # A batch with room for hardly anything more is full: to find the record that still fits would cost a second encoding.
        return count >= self._max_records or (count > 0 and self._most - self._size < self._average * max(1.0, count * 0.02))

    def _append(self, text: bytes, indexes: Sequence[int], keys: list[str | None], prints: Sequence[int]) -> None:
        average = len(text) / len(keys) + 1
        self._average = average if not self._average else 0.7 * self._average + 0.3 * average
        self._size += len(text) + (1 if self._pieces else 0)
        self._pieces.append(text)
        self._keys += keys
        if self._makes_prints:
            self._prints.extend(prints)
        self._indexes = _joined(self._indexes, indexes) if self._indexes else indexes

    def _close(self) -> None:
        if self._keys:
            self._number += 1
            prints = self._prints if self._makes_prints else ()
            self._ready.append(Batch(self._number, self._indexes, self._keys, tuple(self._pieces), self._size, prints))
        self._begin()


def _joined(indexes: Sequence[int], more: Sequence[int]) -> Sequence[int]:
    if isinstance(indexes, range) and isinstance(more, range) and indexes.stop == more.start:
        return range(indexes.start, more.stop)
    return array("q", [*indexes, *more])
