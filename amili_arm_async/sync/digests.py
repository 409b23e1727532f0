"""Pure: digests of whole records. Equal content has an equal digest, whether it is a Struct, a mapping or JSON text, and whatever the order
of its keys and the notation of its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, Final

from .. import codec
from ..bulk.chunking import RecordType
from ..bulk.fingerprints import canonical
from ..errors import RecordError

__all__ = ["SIZE", "RecordDigests"]

SIZE: Final = 12
"""Bytes of a digest. It is only compared with that of another record with the same number, never searched for."""

_BARE: Final = bytes.maketrans(b"[,eE", b"::..")
_DIGITS: Final = b"-0123456789"


def _may_have_fraction(text: bytes) -> bool:
    """Tells whether there may be a number that can be written in more than one way. A false alarm, from inside a text, only costs time.

    Without its digits, such a number begins with its decimal point. Looking for that takes a fifth of the time of a regular expression.
    """
    return b":." in text.translate(_BARE, _DIGITS)


class RecordDigests:
    """Makes digests of records.

    Args:
        kind: what the records are.
    """

    def __init__(self, kind: RecordType) -> None:
        self._kind = kind
        self._decimals = kind.has_decimals

    def of(self, records: Sequence[Any]) -> tuple[list[str | None], list[bytes | None]]:
        """Returns the key and the digest of each record.

        Args:
            records: Structs, mappings or JSON texts.

        Returns:
            The keys, None where a record has none; and the digests, None where a record can't be encoded.
        """
        kinds = set(map(type, records))
        if len(kinds) == 1:
            try:
                whole = self._all(list(records), kinds.pop())
            except Exception:  # below, each record is encoded alone, so that one bad record does not cost the others
                whole = None
            if whole is not None:
                return whole
        pairs = [self._one(record) for record in records]
        return [key for key, _ in pairs], [digest for _, digest in pairs]

    def _all(self, records: list[Any], kind: type) -> tuple[list[str | None], list[bytes | None]] | None:
        may_have_floats = kind is dict
        if kind is bytes:
            # Decoding and encoding a text again is faster than sorting the text itself. Fractions are read as Decimal.
            records, kind = list(map(codec.json_value, records)), dict
            if set(map(type, records)) != {dict}:
                return None
        if kind not in {dict, self._kind.cls}:
            return None
        keys, lines = self._kind.keys_of(records, kind), self._lines(records, kind, may_have_floats=may_have_floats)
        return (keys, list(map(_digest, lines))) if keys is not None and lines is not None else None

    def _lines(self, records: list[Any], kind: type, *, may_have_floats: bool) -> Sequence[Any] | None:
        finite = kind is not dict and self._kind.are_finite(records)
        try:
            written = codec.encode_lines(records, decimals=self._decimals, finite=finite)
        except codec.DecimalFound:
            # From now on decimals are expected.
            self._decimals = True
            written = codec.encode_lines(records, decimals=True, finite=finite)
        if written is None:
            return None
        text, lines = written
        if (finite or not may_have_floats) and not self._decimals:
            return lines
        if not _may_have_fraction(text):
            return lines
        return [canonical(bytes(line)) if _may_have_fraction(bytes(line)) else line for line in lines]

    def _one(self, record: Any) -> tuple[str | None, bytes | None]:
        key: str | None = None
        try:
            key = self._kind.key_of(record)
            is_text = isinstance(record, (bytes, bytearray))
            text = codec.encode_one(record, self._kind.cls, sort=True)
            if is_text:
                text = codec.encode_value(codec.json_value(text), sort=True)
            return key, _digest(canonical(text) if _may_have_fraction(text) else text)
        except RecordError:
            return key, None
        except Exception:  # a mapping of the caller's may raise anything while it is read
            return key, None


def _digest(text: Any) -> bytes:
    return blake2b(text, digest_size=SIZE).digest()
