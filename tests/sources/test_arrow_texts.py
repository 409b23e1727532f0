"""Columns of Arrow as texts: one spelling for each type, at the end of a slice as at its beginning."""

from __future__ import annotations

import struct
import uuid
from datetime import date, datetime, time, timedelta
from decimal import Decimal

import pytest

pa = pytest.importorskip("pyarrow")
pc = pytest.importorskip("pyarrow.compute")

from amili_arm_async.sources.arrow_texts import UnsupportedTypeError, text_reader  # noqa: E402 - it needs pyarrow


def read(array):
    """The origin and the texts of an array; a slice of it gives a slice of the texts."""
    reader = text_reader(array.type)
    texts = reader.read(array)
    for start in range(len(array)):
        assert reader.read(array.slice(start, 2)) == texts[start : start + 2]
    assert reader.read(array.slice(0, 0)) == []
    return reader.origin, texts


def halves(*numbers):
    return pa.Array.from_buffers(pa.float16(), len(numbers), [None, pa.py_buffer(struct.pack(f"{len(numbers)}e", *numbers))])


MIDNIGHT = datetime(2026, 11, 20)  # noqa: DTZ001 - without a zone


@pytest.mark.parametrize(
    ("array", "origin", "texts"),
    [
        (pa.array(["a", None, "", " b "]), "text", ["a", None, "", " b "]),
        (pa.array(["a", None], pa.large_string()), "text", ["a", None]),
        (pa.array(["a", None], pa.string_view()), "text", ["a", None]),
        (pa.nulls(3), "text", [None, None, None]),
        (pa.array([1, None, -2], pa.int8()), "integer", ["1", None, "-2"]),
        (pa.array([2**64 - 1], pa.uint64()), "integer", [str(2**64 - 1)]),
        (pa.array([True, None, False]), "boolean", ["true", None, "false"]),
        (pa.array([time(13, 5)], pa.time32("s")), "text", ["13:05:00"]),
        # Decimals: exact, with all digits, and whole numbers where there are no decimal places.
        (pa.array([Decimal("12.50"), None], pa.decimal128(12, 2)), "decimal", ["12.50", None]),
        (pa.array([Decimal("12.50")], pa.decimal256(70, 2)), "decimal", ["12.50"]),
        (pa.array([Decimal("0.00000001"), Decimal("0E-8"), None], pa.decimal128(20, 8)), "decimal", ["0.00000001", "0.00000000", None]),
        (pa.array([Decimal(1200), Decimal(0), None], pa.decimal128(20, -2)), "integer", ["1200", "0", None]),
        (pa.array([Decimal(10**37)], pa.decimal128(38, 0)), "integer", [str(10**37)]),
        # Floats: the shortest digits of their own precision, a decimal point always, no exponent.
        (pa.array([12.0, 12.5, 0.1, None, -0.0]), "float", ["12.0", "12.5", "0.1", None, "-0.0"]),
        (
            pa.array([1e10, 1e22, 1e-7, 123456789012345680.0]),
            "float",
            ["10000000000.0", f"1{'0' * 22}.0", "0.0000001", "123456789012345680.0"],
        ),
        (pa.array([0.1, 1e10, 16777216.0], pa.float32()), "float", ["0.1", "10000000000.0", "16777216.0"]),
        (halves(0.1, 1.0, 2047.0, 0.0), "float", ["0.1", "1.0", "2047.0", "0.0"]),
        (pa.array([float("nan"), float("inf"), float("-inf")]), "float", ["NaN", "Infinity", "-Infinity"]),
        # Dates: those with a time of day show it.
        (pa.array([date(2026, 11, 20), None]), "date", ["2026-11-20", None]),
        (pa.array([2932897], pa.int32()).cast(pa.date32()), "date", ["10000-01-01"]),
        (pa.array([0, 20000 * 86_400_000]).cast(pa.date64()), "date", ["1970-01-01", "2024-10-04"]),
        (pa.array([3_600_000, 86_400_000]).cast(pa.timestamp("ms")).view(pa.date64()), "date", ["1970-01-01 01:00:00", "1970-01-02"]),
        (pa.array([MIDNIGHT, None], pa.timestamp("s")), "date", ["2026-11-20 00:00:00", None]),
        (pa.array([MIDNIGHT, None], pa.timestamp("us")), "date", ["2026-11-20 00:00:00", None]),
        (pa.array([MIDNIGHT, None], pa.timestamp("ns")), "date", ["2026-11-20 00:00:00", None]),
        # Instants: in their own zone, summer and winter.
        (
            pa.array([1795129200, 1750000000, None], pa.timestamp("s", tz="Europe/Oslo")),
            "instant",
            ["2026-11-20T00:00:00+01:00", "2025-06-15T17:06:40+02:00", None],
        ),
        (pa.array([1795129200000], pa.timestamp("ms", tz="UTC")), "instant", ["2026-11-19T23:00:00+00:00"]),
        (pa.array([1795129200], pa.timestamp("s", tz="Etc/UTC")), "instant", ["2026-11-19T23:00:00+00:00"]),
        (pa.array([1795129200], pa.timestamp("s", tz="-03:30")), "instant", ["2026-11-19T19:30:00-03:30"]),
        (pa.array([1795129200 * 10**9], pa.timestamp("ns", tz="+0530")), "instant", ["2026-11-20T04:30:00+05:30"]),
        (pa.array([-3 * 10**9], pa.timestamp("s", tz="Europe/Amsterdam")), "instant", ["1874-12-07T18:59:32+00:19:32"]),
        # Types of types.
        (pa.array(["a", "b", None, "a"]).dictionary_encode(), "text", ["a", "b", None, "a"]),
        (pa.array([7, None, 7]).dictionary_encode(), "integer", ["7", None, "7"]),
        (
            pa.DictionaryArray.from_arrays(pa.array([0, 1, None], pa.uint32()), pa.array(["a", "b"], pa.string_view())),
            "text",
            ["a", "b", None],
        ),
        (pc.run_end_encode(pa.array(["a", "a", "b", None])), "text", ["a", "a", "b", None]),
        (pa.array([["a", "b"], [], None, ["c"]]), "text", [["a", "b"], [], None, ["c"]]),
        (pa.array([["a", None, "b"], [None]]), "text", [["a", "b"], []]),
        (pa.array([[1.0], None], pa.large_list(pa.float64())), "float", [["1.0"], None]),
        (pa.array([["a"], None, [], ["b", "c"]], pa.list_view(pa.string())), "text", [["a"], None, [], ["b", "c"]]),
        (pa.array([["a", "b"], None, ["c", "d"]], pa.list_(pa.string(), 2)), "text", [["a", "b"], None, ["c", "d"]]),
        (pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1, 0, None], pa.int8())), "boolean", ["true", "false", None]),
        (
            pa.ExtensionArray.from_storage(pa.opaque(pa.string(), "numeric", "PostgreSQL"), pa.array(["12.50", None])),
            "decimal",
            ["12.50", None],
        ),
        (pa.ExtensionArray.from_storage(pa.opaque(pa.string(), "inet", "PostgreSQL"), pa.array(["::1"])), "text", ["::1"]),
        (pa.ExtensionArray.from_storage(pa.json_(), pa.array(["{}"])), "text", ["{}"]),
        (
            pa.ExtensionArray.from_storage(pa.uuid(), pa.array([uuid.UUID(int=5).bytes, None], pa.binary(16))),
            "text",
            ["00000000-0000-0000-0000-000000000005", None],
        ),
    ],
    ids=lambda value: str(value.type)[:60] if isinstance(value, pa.Array) else "",
)
def test_each_type_has_one_spelling(array, origin, texts):
    assert read(array) == (origin, texts)


def test_fractions_of_a_second_are_shown():
    assert read(pa.array([1500, 0], pa.timestamp("ms")))[1] == ["1970-01-01 00:00:01.5", "1970-01-01 00:00:00"]
    assert read(pa.array([1], pa.timestamp("ns")))[1] == ["1970-01-01 00:00:00.000000001"]
    assert read(pa.array([1500], pa.timestamp("ms", tz="UTC")))[1] == ["1970-01-01T00:00:01.5+00:00"]


def test_a_list_below_a_null_is_no_part_of_any_row():
    array = pa.ListArray.from_arrays(pa.array([0, 2, 3]), pa.array(["a", "b", "c"]), mask=pa.array([True, False]))
    assert read(array)[1] == [None, ["c"]]


def test_dictionaries_that_change_from_array_to_array_are_told_apart():
    reader = text_reader(pa.dictionary(pa.int32(), pa.string()))
    for values in (["a", "b"], ["c", "d"], ["a", "b"], ["b", "a"]):
        assert reader.read(pa.DictionaryArray.from_arrays(pa.array([1, 0], pa.int32()), pa.array(values))) == values[::-1]
    shared = pa.array(["x", "y", "z"])
    for start in range(2):
        part = pa.DictionaryArray.from_arrays(pa.array([1, 0], pa.int32()), shared.slice(start, 2))
        assert reader.read(part) == ["xyz"[start + 1], "xyz"[start]]


@pytest.mark.parametrize(
    ("kind", "remedy"),
    [
        (pa.binary(), "make it a text"),
        (pa.large_binary(), "make it a text"),
        (pa.binary(8), "make it a text"),
        (pa.binary_view(), "make it a text"),
        (pa.duration("s"), "a number or a text"),
        (pa.month_day_nano_interval(), "a number or a text"),
        (pa.map_(pa.string(), pa.string()), "a struct with a field for each key"),
        (pa.list_(pa.map_(pa.string(), pa.string())), "a struct with a field for each key"),
        (pa.list_(pa.list_(pa.string())), "a list of texts"),
        (pa.list_(pa.duration("s")), "a number or a text"),
        (pa.sparse_union([pa.field("a", pa.int8())]), "one type"),
        (pa.opaque(pa.binary(), "bignum", "DuckDB"), "a text or a number"),
        (pa.timestamp("s", tz="Mars/Olympus"), "its time zone is not known"),
        (pa.dictionary(pa.int8(), pa.binary()), "make it a text"),
    ],
    ids=str,
)
def test_what_can_be_no_text_has_a_remedy(kind, remedy):
    with pytest.raises(UnsupportedTypeError, match=remedy):
        text_reader(kind)


@pytest.mark.parametrize("array", [pa.array([2**31 - 1], pa.int32()).cast(pa.date32()), pa.array([2**63 - 1], pa.timestamp("us"))], ids=str)
def test_a_date_out_of_any_range_is_no_text(array):
    with pytest.raises(ValueError, match=r"^$"):
        text_reader(array.type).read(array)


def test_a_duration_is_no_number():
    with pytest.raises(UnsupportedTypeError):
        text_reader(pa.array([timedelta(1)]).type)
