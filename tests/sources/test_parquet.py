"""Parquet as records."""

from __future__ import annotations

import builtins
import gzip
import io
import tracemalloc
from datetime import date, datetime
from decimal import Decimal

import pytest

from amili_arm_async import SourceError, UnreadableRecord, open_records

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


def written(columns, **options):
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file, **options)
    return file.getvalue()


async def read(content, kind="customers", **options):
    records = open_records(io.BytesIO(content), kind, **options)
    found = [record async for record in records]
    return [(records.place(index), record.fault if isinstance(record, UnreadableRecord) else record) for index, record in enumerate(found)]


COLUMNS = {
    "customerNo": ["007", "8"],
    "postalAddress": [{"cityName": "Bø", "postalCode": None}, None],
    "distribution.einvoiceCode": pa.array([2, None], pa.int8()),
    "emailAddressDocument": [["a@b.no", "c@d.no"], []],
    "limitAmount": pa.array([Decimal("12.50"), None], pa.decimal128(12, 2)),
    "discountRate": [5.1, None],
    "dateOfBirth": pa.array([date(1984, 5, 17), None]),
    "stopReminderUntil": pa.array([datetime(2026, 11, 20), None], pa.timestamp("ns")),  # noqa: DTZ001 - Parquet has them without
    "vatLiable": [True, None],
    "organizationNo": pa.array([971524960, None], pa.int64()),
    "ssn": [1.0, None],
}
FIRST = {
    "customerNo": "007",
    "postalAddress": {"cityName": "Bø"},
    "distribution": {"einvoiceCode": 2},
    "emailAddressDocument": ["a@b.no", "c@d.no"],
    "limitAmount": Decimal("12.50"),
    "discountRate": Decimal("5.1"),
    "dateOfBirth": "1984-05-17",
    "stopReminderUntil": "2026-11-20",
    "vatLiable": True,
    "organizationNo": "971524960",
    "ssn": "1",
}


async def test_customers(tmp_path):
    content = written(COLUMNS, row_group_size=1)
    expected = [("row 1", FIRST), ("row 2", {"customerNo": "8"})]
    assert await read(content) == expected
    assert await read(gzip.compress(content)) == expected
    path = tmp_path / "customers.parquet"
    path.write_bytes(content)
    async with open_records(path) as records:
        assert [record async for record in records] == [record for _, record in expected]


async def test_documents_with_lists_of_lines_and_with_rows_of_lines():
    lines = [[{"lineNo": 1, "currencyAmounts": {"vat": Decimal("1.25")}}, {"lineNo": 2, "currencyAmounts": None}]]
    expected = {"documentNo": "1", "documentLines": [{"lineNo": 1, "currencyAmounts": {"vat": Decimal("1.25")}}, {"lineNo": 2}]}
    assert await read(written({"documentNo": ["1"], "documentLines": lines}), "documents") == [("row 1", expected)]
    flat = {"documentNo": [1, 1], "documentLines.lineNo": [1, 2], "documentLines.currencyAmounts.vat": [Decimal("1.25"), None]}
    assert await read(written(flat), "documents") == [("row 1", expected)]


async def test_values_of_other_types_cost_their_row():
    found = await read(written({"customerNo": ["1", "2"], "dueDays": [1.5, 2.0], "limitAmount": [1.0, float("nan")]}))
    assert found == [
        ("row 1", "row 1, column dueDays: not a whole number"),
        ("row 2", "row 2, column limitAmount: NaN or Infinity is no number: leave the cell blank where there is none"),
    ]
    with pytest.raises(SourceError, match=r'"postalAddress.city" \(did you mean postalAddress.cityName\?\)'):
        await read(written({"customerNo": ["1"], "postalAddress": [{"city": "Bø"}]}))
    ((_, fault),) = await read(written({"customerNo": ["1"], "dueDays": [True], "name": [True]}))
    assert fault.count("column") == 2


async def test_names_of_columns_with_blanks_around_them():
    content = written({" customerNo": ["1"], "Navn ": ["A"], "postalAddress": [{" cityName ": "Oslo"}]})
    assert await read(content, columns={"Navn": "name"}) == [
        ("row 1", {"customerNo": "1", "name": "A", "postalAddress": {"cityName": "Oslo"}})
    ]


@pytest.mark.parametrize("field", ["customerNo", "name", "limitAmount", "vatLiable"])
async def test_a_list_in_a_field_of_one_value(field):
    content = written({"customerNo": ["1"], field: [["1"]]})
    with pytest.raises(SourceError, match=f'column "{field}" holds lists, and {field} has one value'):
        await read(content)
    lists = {"documentNo": ["1"], "documentLines": [[{"lineText": ["a"]}]]}
    with pytest.raises(SourceError, match=r"documentLines\.lineText has one value"):
        await read(written(lists), "documents")


async def test_a_row_without_a_value_is_no_record():
    content = written({"customerNo": ["1", None, "3"], "name": ["A", "", "C"], "vatLiable": [True, None, None]})
    found = await read(content)
    assert [(place, isinstance(record, str)) for place, record in found] == [("row 1", False), ("row 2", True), ("row 3", False)]
    assert "without a value" in found[1][1]
    lines = written({"documentNo": ["7", None, "7", "8"], "documentLines.lineNo": [1, None, 2, 1]})
    found = await read(lines, "documents")
    # No part of the document around it is sent.
    assert [(place, isinstance(record, str)) for place, record in found] == [
        *(("row 1", True), ("row 2", True), ("row 3", True), ("row 4", False))
    ]


async def test_columns_that_are_no_field():
    content = written({"customerNo": ["1"], "saldo": [5]})
    with pytest.raises(SourceError, match='1 column is no field of customers: column 2, "saldo"'):
        await read(content)
    assert await read(content, extra_columns=True) == [("row 1", {"customerNo": "1"})]


async def test_a_file_that_is_damaged_says_how_far_it_came():
    content = bytearray(written({"customerNo": [str(number) for number in range(30)]}, row_group_size=10, compression="gzip"))
    with pytest.raises(SourceError, match=r"not a valid Parquet file before its first row"):
        await read(bytes(content[:-50]))
    place = pq.ParquetFile(io.BytesIO(content)).metadata.row_group(1).column(0).file_offset
    start = pq.ParquetFile(io.BytesIO(content)).metadata.row_group(1).column(0).dictionary_page_offset or place
    content[start : start + 40] = bytes(40)
    records = open_records(io.BytesIO(content))
    found = []
    with pytest.raises(SourceError, match=r"after row 10 .*10 records were read before it, up to row 10"):
        async for record in records:
            found.append(record)  # noqa: PERF401 - what came before the error is wanted
    assert [record["customerNo"] for record in found] == [str(number) for number in range(10)]


async def test_without_pyarrow_it_is_said_what_to_install(monkeypatch):
    content, real = written({"customerNo": ["1"]}), builtins.__import__

    def importing(name, *arguments):
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", importing)
    with pytest.raises(SourceError, match=r"pip install 'amili-arm-async\[arrow\]'"):
        await read(content)


async def test_memory_does_not_grow_with_the_file(tmp_path):
    path = tmp_path / "file"
    numbers = list(map(str, range(40_000)))
    pq.write_table(pa.table({"customerNo": numbers, "name": numbers, "dueDays": [14] * 40_000}), path, row_group_size=20_000)
    tracemalloc.start()
    try:
        async with open_records(path) as records:
            count = 0
            async for _ in records:
                count += 1
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()
    assert count == 40_000
