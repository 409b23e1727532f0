"""JSON: encoders and decoders, built once; money, dates and blanks; and tolerant reading, so that one odd record does not cost the others.

Money is written as JSON numbers and read into `Decimal` without passing through float. msgspec would write NaN and Infinity as null
(float) or as bare words (Decimal); both are found and refused here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from functools import cache
from itertools import islice, repeat
from types import UnionType
from typing import Any, Final, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import UNSET, Raw, Struct

from .errors import RecordError
from .unreadable import UnreadableRecord

__all__ = [
    "DecimalFound",
    "DecodeFailure",
    "as_far_as_possible",
    "encode_all",
    "encode_finite",
    "encode_lines",
    "encode_one",
    "encode_value",
    "json_object",
    "json_value",
    "read_input",
    "read_record",
    "read_records",
    "record_writer",
    "split_list",
    "what_was_read",
]

RecordT = TypeVar("RecordT", bound=Struct)
InputT = TypeVar("InputT", bound=Struct)

# Numbers with a fraction come as Decimal, losslessly.
_VALUES: Final = msgspec.json.Decoder(float_hook=Decimal)
_RAW_OBJECT: Final = msgspec.json.Decoder(dict[str, Raw])
_RAW: Final = msgspec.json.Decoder(Raw)
_RAW_LIST: Final = msgspec.json.Decoder(list[Raw])

# msgspec's ValidationError is a DecodeError; bytes that are no UTF-8 and endless integers raise a ValueError, deep nesting a
# RecursionError, a number beyond Decimal an ArithmeticError.
DecodeFailure: Final = (msgspec.DecodeError, ValueError, ArithmeticError, RecursionError)

_UNREADABLE: Final = object()

_AT_ONCE: Final = 100
"""Values that are encoded in one go, where they are looked at first."""


# --- writing ----------------------------------------------------------------------------------------------------------


def encode_one(record: object, cls: type[Struct], *, sort: bool = False) -> bytes:
    """The JSON object of one record, encoded once; with `sort` its keys are sorted (bytes stay as they are).

    Raises:
        RecordError: it is no `cls`, mapping or JSON object in bytes, or holds what JSON can't: NaN, Infinity, odd types. The message
            names the path of each fault, never a value.
    """
    if isinstance(record, (bytes, bytearray)):
        try:
            _RAW_OBJECT.decode(record)
            # msgspec passes over texts that it does not have to build.
            record.decode()
        except DecodeFailure as exc:
            raise RecordError(f"$: not one JSON object ({_reason(exc)})") from None
        return bytes(record)
    if not isinstance(record, (cls, Mapping)):
        raise RecordError(f"$: a {type(record).__name__} is no {cls.__name__}, no mapping and no bytes of a JSON object")
    return encode_value(record if isinstance(record, (Struct, dict)) else dict(record), sort=sort)


def encode_value(value: object, *, sort: bool = False) -> bytes:
    """Any JSON value, encoded once; with `sort` the keys of objects are sorted.

    Raises:
        RecordError: it holds what JSON can't: NaN, Infinity, odd types. The message names the path of each fault, never a value.
    """
    text = b""
    try:
        text = _encode_sorted(value) if sort else ENCODER.encode(value)
        faults = [] if _is_clean(text) else _faults(value)
    except Exception as exc:  # an object of the caller's may raise anything while it is read
        faults = _faults(value) or [f"$: {_reason(exc)}"]
    if faults:
        raise RecordError("; ".join(faults))
    return text


def _encode_sorted(value: object) -> bytes:
    try:
        return _SORTED.encode(value)
    except TypeError:
        # Only texts can be sorted. Other names, such as numbers, are texts once they are written.
        return _SORTED.encode(_VALUES.decode(ENCODER.encode(value)))


def encode_finite(values: list[Any], are_finite: Callable[[list[Any]], bool], *, decimals: bool) -> bytes | None:
    """Encodes as `encode_all`, without a search for NaN: None unless `are_finite` says that all numbers are finite."""
    encoder = ENCODER if decimals else _NO_DECIMAL
    buffer = bytearray()
    parts: list[bytes] = []
    # A few at a time: looked at and written while the processor has them at hand, into memory that is used again.
    for start in range(0, len(values), _AT_ONCE):
        part = values[start : start + _AT_ONCE]
        if not are_finite(part):
            return None
        encoder.encode_into(part, buffer)
        with memoryview(buffer) as view:
            parts.append(bytes(view[1:-1]))
    return b",".join(parts)


def encode_all(values: list[Any], *, decimals: bool) -> bytes | None:
    """The texts of many values with commas between them; None where one of them may hold what JSON can't.

    msgspec writes NaN and Infinity as null (float) or as bare words (Decimal). To search a text for three words costs more than to
    write it. So it is written by an encoder that stops at the first Decimal: without one, only null has to be looked for; with one,
    reading the text again finds bare words, and Decimals as names, which msgspec writes without quotation marks.

    Args:
        values: the values.
        decimals: whether there may be Decimals among them.

    Raises:
        DecimalFound: there is a Decimal all the same.
    """
    text = (ENCODER if decimals else _NO_DECIMAL).encode(values)
    if decimals and not _is_json(text):
        return None
    # A None is null too, and may be in every record: it costs a look at each value, not a text of its own.
    return text[1:-1] if b"null" not in text or all(map(_is_finite, values)) else None


def encode_lines(values: list[Any], *, decimals: bool, finite: bool = False) -> tuple[bytes, Sequence[bytes | Raw]] | None:
    """Encodes as `encode_all`, with sorted keys, and also returns the text of each value."""
    lines: Sequence[bytes | Raw]
    if decimals and not finite:
        text = _SORTED.encode(values)
        try:
            # To look for the bounds of the texts is to look for what spoils them.
            lines = _RAW_LIST.decode(text)
        except DecodeFailure:
            return None
        text = text[1:-1]
    else:
        # One by one: to cut one text of all into lines again costs more than the calls.
        lines = list(map((_SORTED if decimals else _SORTED_NO_DECIMAL).encode, values))
        text = b",".join(lines)
    if finite or b"null" not in text:
        return text, lines
    return (text, lines) if all(map(_is_finite, values)) else None


_AS_READ: Final = b'{"(as read)":'


def as_far_as_possible(record: object) -> bytes:
    """The JSON text of what can't be sent, for a person to look at: what JSON has no word for is null or a text, bytes are a text.

    It stands in an object of its own, so that it is not mistaken for a record; `what_was_read` gives it back.
    """
    return b"%b%b}" % (_AS_READ, _as_far_as_possible(record))


def what_was_read(text: bytes) -> bytes | None:
    """Returns what `as_far_as_possible` made of a record that can't be sent; None where the text is a record."""
    return text[len(_AS_READ) : -1] if text.startswith(_AS_READ) else None


def _as_far_as_possible(record: object) -> bytes:
    if isinstance(record, (bytes, bytearray)):
        return ENCODER.encode(bytes(record).decode("utf-8", "backslashreplace"))
    record = record.as_read if isinstance(record, UnreadableRecord) else record
    try:
        whole = dict(record) if isinstance(record, Mapping) else record
        text = msgspec.json.Encoder(enc_hook=repr, decimal_format="number").encode(whole)
        # A Decimal that is NaN is a bare word then; as a text it can be written.
        return text if _is_json(text) else msgspec.json.Encoder(enc_hook=repr).encode(whole)
    except Exception:  # an object of the caller's may raise anything while it is read
        return ENCODER.encode(None)


def record_writer(
    are_finite: Callable[[Sequence[Any]], bool], parts_are_plain: Callable[[list[Any]], bool], *, decimals: bool, sort: bool
) -> Callable[[Any], bytes | None]:
    """A function that writes a Struct or a dict: it gives the text, or None where the record needs a closer look by `encode_one`.

    Args:
        are_finite: whether all numbers of some Structs are known to be finite, and their dates and objects plain; it may raise what a
            Struct that is not as usual makes it.
        parts_are_plain: whether the dates of some Structs have no time, and their objects are of the API's classes.
        decimals: whether there may be Decimals among the values.
        sort: whether the keys are sorted.
    """
    # Every attribute that need not be looked up for each record is time.
    with_decimals = (_SORTED if sort else ENCODER).encode_into
    encode_into = with_decimals if decimals else (_SORTED_NO_DECIMAL if sort else _NO_DECIMAL).encode_into
    # Memory that is used again: the text is copied out of it once its length is known.
    buffer = bytearray(1024)

    def write(record: Any) -> bytes | None:
        nonlocal encode_into, decimals
        try:
            encode_into(record, buffer)
            text = bytes(buffer)
            if type(record) is not dict:
                if are_finite((record,)):
                    return text
                if not parts_are_plain([record]):
                    return None
            if (b"null" in text and not _is_finite(record)) or (decimals and not _is_json(text)):
                return None
        except DecimalFound:
            # From now on they are reckoned with.
            encode_into, decimals = with_decimals, True
            return None
        except Exception:  # the slow path says why
            return None
        return text

    return write


class DecimalFound(Exception):  # noqa: N818 - it is no error
    """The values hold a Decimal."""


def _find_decimal(_: Decimal) -> str:
    raise DecimalFound


ENCODER: Final = msgspec.json.Encoder(decimal_format="number")
_NO_DECIMAL: Final = msgspec.json.Encoder(decimal_format=_find_decimal)
# "deterministic" sorts the keys of dicts; the fields of our Structs stand in their order already.
_SORTED: Final = msgspec.json.Encoder(decimal_format="number", order="deterministic")
_SORTED_NO_DECIMAL: Final = msgspec.json.Encoder(decimal_format=_find_decimal, order="deterministic")


def _is_json(text: bytes) -> bool:
    try:
        _RAW.decode(text)
    except DecodeFailure:
        return False
    return True


def _is_clean(text: bytes) -> bool:
    """Tells whether nothing in a text from `ENCODER` can have been NaN or Infinity, or have spoiled it."""
    return b"null" not in text and _is_json(text)


_FINITE: Final = frozenset({str, int, bool, type(None), msgspec.UnsetType, date})


def _is_finite(value: object) -> bool:
    """Tells whether a value holds no NaN or Infinity; fast for text, integers and None."""
    kind = type(value)
    if kind in _FINITE:
        return True
    if kind is float:
        return math.isfinite(value)  # type: ignore[arg-type]
    if kind is dict:
        return all(map(_is_finite, value.values()))  # type: ignore[attr-defined]
    if kind is list:
        return all(map(_is_finite, value))  # type: ignore[call-overload]
    if isinstance(value, Struct):
        values = map(getattr, repeat(value), value.__struct_fields__)
        return all(map(_is_finite, [item for item in values if type(item) not in _FINITE]))
    # What is None in an object of another class may have to be left out.
    return isinstance(value, (Decimal, date)) and _leaf_fault(value) is None


def _faults(record: object, limit: int = 10) -> list[str]:
    try:
        return list(islice(_walk(record, "$"), limit))
    except RecursionError:
        return ["$: nested too deep, or holds itself"]


def _reason(failure: Exception) -> str:
    # What msgspec writes of types and places is safe; a UnicodeError quotes the data.
    return "not UTF-8" if isinstance(failure, UnicodeError) else str(failure).partition("\n")[0][:200]


def _walk(value: object, path: str) -> Iterator[str]:
    """Gives the faults of a value and of everything in it."""
    if isinstance(value, Struct):
        for name, wire in zip(value.__struct_fields__, value.__struct_encode_fields__, strict=True):
            yield from _walk(getattr(value, name), f"{path}.{wire}")
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, (str, int)):
                yield f"{path}: a {type(key).__name__} can't be a name"
            else:
                yield from _walk(item, f"{path}.{key}")
    elif isinstance(value, (list, tuple, set, frozenset)):
        for number, item in enumerate(value):
            yield from _walk(item, f"{path}[{number}]")
    elif (fault := _leaf_fault(value)) is not None:
        yield f"{path}: {fault}"


def _leaf_fault(value: object) -> str | None:
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return "text with half a surrogate pair"
    elif isinstance(value, (float, Decimal)):
        finite = value.is_finite() if isinstance(value, Decimal) else math.isfinite(value)
        return None if finite else "NaN or Infinity is no number in JSON"
    elif value is not None and value is not UNSET and not isinstance(value, (bool, int, date)):
        return _odd_fault(value)
    return None


def _odd_fault(value: object) -> str | None:
    """Returns the fault of a value that is not JSON, unless msgspec can encode it, as a UUID or a dataclass."""
    try:
        plain = msgspec.to_builtins(value, builtin_types=(Decimal,))
    except Exception:  # an object of the caller's may raise anything while it is read
        return f"a {type(value).__name__} can't be sent"
    return next(iter(_faults(plain, 1)), None) if isinstance(plain, (dict, list)) else None


# --- reading ----------------------------------------------------------------------------------------------------------


def json_value(body: bytes) -> Any:
    """Parses a JSON body, numbers with a fraction as `Decimal`; None where it is empty or not JSON."""
    try:
        return _VALUES.decode(body) if body else None
    except DecodeFailure:
        return None


def json_object(body: bytes) -> dict[str, Any] | None:
    """Parses a body as a JSON object; None where it is none."""
    value = json_value(body)
    return value if isinstance(value, dict) else None


def split_list(body: bytes, name: str) -> list[bytes]:
    """The JSON texts of the items in the list `name` of the object in `body`, as they stand there; without it, one of `DecodeFailure` or
    KeyError is raised."""
    return [bytes(item) for item in _RAW_LIST.decode(_RAW_OBJECT.decode(body)[name])]


def read_input(body: bytes, cls: type[InputT]) -> InputT:
    """A record to send out of its JSON text; a blank date stays a blank.

    Raises:
        RecordError: it is no such record; the message names the path.
    """
    try:
        record: InputT = _decoder(cls).decode(body)
        return record
    except DecodeFailure as exc:
        value = json_object(body)
        if value is None:
            raise RecordError(f"not one JSON object: {_reason(exc)}") from None
    blanks = {name for name, kind in _fields(cls).items() if value.get(name) == "" and _wants(kind, date)}
    try:
        record = msgspec.convert({name: item for name, item in value.items() if name not in blanks}, cls)
    except msgspec.ValidationError as exc:
        raise RecordError(f"not a {cls.__name__}: {_reason(exc)}") from None
    for name, wire in zip(cls.__struct_fields__, cls.__struct_encode_fields__, strict=True):
        if wire in blanks:
            setattr(record, name, "")
    return record


def read_records(body: bytes | Raw, cls: type[RecordT]) -> list[RecordT]:
    """The records in a JSON list: all at once where all are as expected, else one by one, so that an odd one costs only itself.

    Raises:
        one of `DecodeFailure`: it is no JSON list.
    """
    try:
        records: list[RecordT] = _decoder(list[cls]).decode(body)  # type: ignore[valid-type]
        return records
    except msgspec.ValidationError:
        return [read_record(item, cls) for item in _RAW_LIST.decode(body)]


def read_record(body: bytes | Raw, cls: type[RecordT]) -> RecordT:
    """A record out of its JSON text: a field that can't be read is None, and its value is in `unread`.

    Raises:
        one of `DecodeFailure`: it is no JSON.
    """
    try:
        record: RecordT = _decoder(cls).decode(body)
        return record
    except msgspec.ValidationError:
        return read_value(_VALUES.decode(body), cls)


def read_value(value: Any, cls: type[RecordT]) -> RecordT:
    """Reads a record from a parsed JSON value, field by field.

    What is not an object gives an empty record with the value in `unread`.
    """
    if not isinstance(value, dict):
        return cls(unread={"$": value})
    found: dict[str, Any] = {}
    unread: dict[str, Any] = {}
    for name, wire in zip(cls.__struct_fields__, cls.__struct_encode_fields__, strict=True):
        item = value.get(wire)
        if item is None or name in {"unread", "other"}:
            continue
        read = _read_field(item, _fields(cls)[wire])
        if read is not _UNREADABLE:
            found[name] = read
        elif item != "":
            unread[wire] = item
    return cls(**found, unread=unread or None)


def _read_field(item: Any, kind: Any) -> Any:
    for option in type_options(kind):
        if _is_record(option) and isinstance(item, dict):
            return read_value(item, option)
        nested = get_args(option)
        if get_origin(option) is list and isinstance(item, list) and _is_record(nested[0]):
            return [read_value(each, nested[0]) for each in item]
        if option is str and isinstance(item, (int, Decimal)) and not isinstance(item, bool):
            return str(item)
    try:
        return msgspec.convert(item, kind)
    except msgspec.ValidationError:
        pass
    # A number that came as text is still that number.
    if isinstance(item, str) and (_wants(kind, Decimal) or _wants(kind, int)):
        try:
            return msgspec.convert(item, kind, strict=False)
        except msgspec.ValidationError:
            pass
    return _UNREADABLE


def _is_record(option: Any) -> bool:
    return isinstance(option, type) and issubclass(option, Struct) and "unread" in option.__struct_fields__


@cache
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


@cache
def _fields(cls: type[Struct]) -> dict[str, Any]:
    """Returns the type of each field by its name on the wire."""
    hints = get_type_hints(cls)
    return {wire: hints[name] for name, wire in zip(cls.__struct_fields__, cls.__struct_encode_fields__, strict=True)}


def type_options(kind: Any) -> tuple[Any, ...]:
    """Returns the types that a type hint allows: those of a union, or the type itself.

    Args:
        kind: the type hint.
    """
    return get_args(kind) if get_origin(kind) in {Union, UnionType} else (kind,)


def _wants(kind: Any, option: type) -> bool:
    return option in type_options(kind)
