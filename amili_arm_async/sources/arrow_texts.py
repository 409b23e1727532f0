"""Columns of Arrow as texts, each type in one spelling, by casts of whole columns.

The rules of value judge texts, so that a number or a date means the same in every format. Only with pyarrow.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence
from decimal import Decimal
from itertools import accumulate
from typing import Any, Final, NamedTuple, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from ..values.judge import Origin

__all__ = ["TextReader", "UnsupportedTypeError", "is_list", "text_reader"]

Texts: TypeAlias = "list[str | None]"

_BYTES: Final = "bytes have no meaning of their own: make it a text, with its encoding"
_UTC: Final = frozenset({"UTC", "Etc/UTC", "Z", "+00:00"})
_FIXED: Final = re.compile(r"([+-])([0-9]{2}):?([0-9]{2})")
"""A time zone that is a distance from UTC."""
_UNITS: Final = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_EXACT_SCALE: Final = 6
"""Decimal places up to which Arrow writes a decimal without an exponent."""


class UnsupportedTypeError(Exception):
    """A type that can't be text; the message is the remedy."""


class TextReader(NamedTuple):
    """Makes texts of the arrays of one type.

    Attributes:
        origin: what the type is.
        read: makes texts of an array, None where it is null; lists of texts where the type is a list. Raises what pyarrow raises, and
            ValueError.
    """

    origin: Origin
    read: Callable[[Any], list[Any]]


def text_reader(kind: Any) -> TextReader:
    """Returns what makes texts of the arrays of a type of Arrow. Raises UnsupportedTypeError."""
    if is_list(kind):
        values = _reader_of_values(kind.value_type)
        return TextReader(values.origin, _ListReader(values.read))
    return _reader_of_values(kind)


def is_list(kind: Any) -> bool:
    """Tells whether a type is a list, of whatever kind."""
    types = pa.types
    is_view = types.is_list_view(kind) or types.is_large_list_view(kind)
    return bool(is_view or types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _reader_of_values(kind: Any) -> TextReader:
    types = pa.types
    if types.is_dictionary(kind):
        values = _reader_of_values(kind.value_type)
        return TextReader(values.origin, _DictionaryReader(values.read))
    if types.is_run_end_encoded(kind):
        values = _reader_of_values(kind.value_type)
        return TextReader(values.origin, lambda array: values.read(pc.call_function("run_end_decode", [array])))
    if isinstance(kind, pa.BaseExtensionType):
        return _reader_of_extension(kind)
    for holds, origin, read in _READERS:
        if holds(kind):
            return TextReader(origin, read)
    if types.is_decimal(kind):
        return TextReader("decimal" if kind.scale > 0 else "integer", _cast if 0 <= kind.scale <= _EXACT_SCALE else _decimals)
    if types.is_timestamp(kind):
        if kind.tz is None:
            return TextReader("date", _timestamps)
        if kind.tz not in _UTC and not _FIXED.fullmatch(kind.tz):
            _check_zone(kind.tz)
        return TextReader("instant", _instants)
    raise UnsupportedTypeError(next((remedy for holds, remedy in _REMEDIES if holds(kind)), _BYTES))


def _reader_of_extension(kind: Any) -> TextReader:
    name = kind.extension_name
    if name == "arrow.uuid":
        return TextReader("text", lambda array: [None if value is None else str(value) for value in array.to_pylist()])
    if name == "arrow.bool8":
        return TextReader("boolean", lambda array: _cast(array.storage.cast(pa.bool_())))
    if name == "arrow.opaque" and pa.types.is_string(kind.storage_type):
        # So ADBC gives types of PostgreSQL that Arrow does not have: NUMERIC, with all its digits.
        return TextReader("decimal" if kind.type_name == "numeric" else "text", lambda array: _texts(array.storage))
    if name == "arrow.json":
        values = _reader_of_values(kind.storage_type)
        return TextReader(values.origin, lambda array: values.read(array.storage))
    raise UnsupportedTypeError("make it a text or a number")


def _check_zone(name: str) -> None:
    try:
        pc.call_function("local_timestamp", [pa.array([0], pa.timestamp("s", tz=name))])
    except pa.ArrowInvalid:
        raise UnsupportedTypeError("its time zone is not known on this system: make it a date, or convert it to UTC") from None


# --- single types -------------------------------------------------------------------------------------------------------


def _texts(array: Any) -> Texts:
    found: Texts = array.to_pylist()
    return found


def _nothing(array: Any) -> Texts:
    return [None] * len(array)


def _cast(array: Any) -> Texts:
    return _texts(array.cast(pa.string()))


def _decimals(array: Any) -> Texts:
    """Arrow writes `1.2E+3` and `1E-8`: all digits instead."""
    return [text if text is None or "E" not in text else format(Decimal(text), "f") for text in _cast(array)]


def _floats(array: Any) -> Texts:
    """The shortest digits that mean the number in its own precision, with a decimal point always, and without an exponent."""
    return [text if text is None or ("." in text and "e" not in text) else _float(text) for text in _cast(array)]


def _float(text: str) -> str:
    if text.strip("-").isalpha():
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}.get(text, text)
    plain = format(Decimal(text), "f") if "e" in text else text
    return plain if "." in plain else f"{plain}.0"


def _half_floats(array: Any) -> Texts:
    return [None if value is None else _half_float(value) for value in array.cast(pa.float32()).to_pylist()]


def _half_float(value: float) -> str:
    text = ""
    for digits in range(1, 6):
        text = f"{value:.{digits}g}"
        try:
            if struct.pack("e", float(text)) == struct.pack("e", value):
                break
        except OverflowError:  # rounded up, beyond the largest
            continue
    return _float(text)


def _dates(array: Any) -> Texts:
    texts = _cast(array)
    if "<" in "".join(filter(None, texts)):
        # Arrow writes "<value out of range: ...>".
        raise ValueError
    return texts


def _dates_of_milliseconds(array: Any) -> Texts:
    """They may hold a time of day, which a cast to text leaves out."""
    texts = _timestamps(array.cast(pa.timestamp("ms")))
    return [text if text is None else text.removesuffix(" 00:00:00") for text in texts]


def _timestamps(array: Any) -> Texts:
    try:
        return _dates(array.cast(pa.timestamp("s")))
    except pa.ArrowInvalid:  # one has a fraction of a second; the others look as they do without it
        return [text and text.rstrip("0").rstrip(".") for text in _dates(array)]


def _instants(array: Any) -> Texts:
    """In their own time zone, so that the day can be seen: `2026-11-20T00:00:00+01:00`. A cast costs several times as much."""
    unit = array.type.unit
    utc = array.cast(pa.timestamp(unit))
    local = _local(array, utc)
    offsets = pc.call_function("subtract", [local.cast(pa.int64()), utc.cast(pa.int64())]).to_pylist()
    suffixes = {offset: _offset(offset, unit) for offset in set(offsets) if offset is not None}
    texts = zip(_timestamps(local), offsets, strict=True)
    return [None if text is None else text.replace(" ", "T") + suffixes[offset] for text, offset in texts]


def _local(array: Any, utc: Any) -> Any:
    """The timestamps on the clocks of their zone. Not every version of pyarrow knows zones that are a distance from UTC."""
    zone = array.type.tz
    if zone in _UTC:
        return utc
    fixed = _FIXED.fullmatch(zone)
    if fixed is None:
        return pc.call_function("local_timestamp", [array])
    minutes = int(f"{fixed[1]}1") * (60 * int(fixed[2]) + int(fixed[3]))
    shift = pa.scalar(minutes * 60 * _UNITS[array.type.unit], pa.int64())
    return pc.call_function("add", [utc.cast(pa.int64()), shift]).cast(utc.type)


def _offset(difference: int, unit: str) -> str:
    seconds = difference // _UNITS[unit]
    hours, rest = divmod(abs(seconds), 3600)
    minutes, rest = divmod(rest, 60)
    return f"{'-' if seconds < 0 else '+'}{hours:02}:{minutes:02}" + (f":{rest:02}" if rest else "")


_READERS: Final[Sequence[tuple[Callable[[Any], bool], Origin, Callable[[Any], Texts]]]] = (
    (pa.types.is_string, "text", _texts),
    (pa.types.is_large_string, "text", _texts),
    (pa.types.is_string_view, "text", _texts),
    (pa.types.is_integer, "integer", _cast),
    (pa.types.is_float16, "float", _half_floats),
    (pa.types.is_floating, "float", _floats),
    (pa.types.is_boolean, "boolean", _cast),
    (pa.types.is_date32, "date", _dates),
    (pa.types.is_date64, "date", _dates_of_milliseconds),
    (pa.types.is_time, "text", _cast),
    (pa.types.is_null, "text", _nothing),
)


_REMEDIES: Final[Sequence[tuple[Callable[[Any], bool], str]]] = (
    (pa.types.is_map, "make it a struct with a field for each key"),
    (pa.types.is_struct, "a struct is read at the top of a table and in a list of lines: make the column flat"),
    (is_list, "a list of lists has no meaning here: make it a list of texts"),
    (pa.types.is_union, "give it one type"),
    (pa.types.is_duration, "make it a number or a text"),
    (pa.types.is_interval, "make it a number or a text"),
)


# --- types of types -----------------------------------------------------------------------------------------------------


class _DictionaryReader:
    """Makes texts of dictionary-encoded arrays. Slices of one array share their dictionary, which may be large: it is prepared once."""

    def __init__(self, read: Callable[[Any], list[Any]]) -> None:
        self._read = read
        self._dictionary: Any = None
        self._values: Any = None

    def __call__(self, array: Any) -> list[Any]:
        dictionary = array.dictionary
        if self._dictionary is None or not _is_same(dictionary, self._dictionary):
            # Arrow can't take from a view of texts.
            values = dictionary.cast(pa.large_string()) if pa.types.is_string_view(dictionary.type) else dictionary
            self._dictionary, self._values = dictionary, values
        return self._read(self._values.take(array.indices))


def _is_same(one: Any, other: Any) -> bool:
    """Whether two arrays are the same memory. Both are held, so that the memory of neither can be used again."""
    return len(one) == len(other) and one.offset == other.offset and _addresses(one) == _addresses(other)


def _addresses(array: Any) -> list[int | None]:
    return [buffer and buffer.address for buffer in array.buffers()]


class _ListReader:
    """Makes lists of texts; what is null in a list is not part of it."""

    def __init__(self, read: Callable[[Any], list[Any]]) -> None:
        self._read = read

    def __call__(self, array: Any) -> list[list[str] | None]:
        texts = self._read(array.flatten())
        lengths = pc.call_function("list_value_length", [array]).to_pylist()
        ends = accumulate([length or 0 for length in lengths])
        found = [None if length is None else texts[end - length : end] for length, end in zip(lengths, ends, strict=True)]
        if None in texts:
            return [None if cell is None else [text for text in cell if text is not None] for cell in found]
        return found
