"""The same records as a frame of each library give the same on the server, in the state of a sync and in a check; memory stays flat."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from amili_arm_async import ArmClient, open_records
from amili_arm_async.sandbox import Sandbox

pa = pytest.importorskip("pyarrow")

ROOT = Path(__file__).parents[2]

CUSTOMERS = [
    {
        "customerNo": f"{number:06}",
        "name": f"Åse {number}",
        "emailAddressDocument": [f"{number}@example.no", "post@example.no"] if number % 3 else None,
        "postalAddress": {"addressLine1": f"Storgata {number}", "postalCode": "0150", "cityName": "Oslo", "countryCode": "NO"},
        # A column of integers with gaps is one of floats in pandas.
        "dueDays": 14 if number % 2 else None,
        "limitAmount": Decimal(number) / 4 + Decimal("0.10"),
        "vatLiable": number % 5 == 0,
        "stopReminderUntil": date(2026, 11, 1 + number % 30) if number % 7 else None,
    }
    for number in range(500)
]

DOCUMENTS = [
    {
        "documentNo": f"{number:08}",
        "documentType": "IN",
        "customerNo": f"{number:06}",
        "documentDate": date(2026, 11, 1 + number % 30),
        "currency": "NOK",
        "currencyAmounts": {"exclVat": Decimal("100.00"), "vat": Decimal("25.00"), "inclVat": Decimal("125.00")},
        "documentLines": [
            {"lineNo": line, "lineText": f"Kam {line}", "quantity": Decimal("0.5"), "price": Decimal("200.00") / count}
            for line in range(1, count + 1)
        ],
    }
    for number in range(500)
    for count in (1 + number % 2,)
]


def pyarrow_table(records):
    return pa.Table.from_pylist(records)


def pyarrow_reader(records):
    table = pyarrow_table(records)
    return pa.RecordBatchReader.from_batches(table.schema, iter(table.to_batches(max_chunksize=70)))


def polars_frame(records):
    return pytest.importorskip("polars").DataFrame(records, infer_schema_length=None)


def pandas_frame(records):
    return pytest.importorskip("pandas").DataFrame(records)


def duckdb_relation(records):
    return pytest.importorskip("duckdb").from_arrow(pyarrow_table(records))


FRAMES = [pyarrow_table, pyarrow_reader, polars_frame, pandas_frame, duckdb_relation]

each_frame = pytest.mark.parametrize("frame", FRAMES, ids=lambda make: make.__name__)


def rows(records):
    """Records as mappings, of which nothing is read but what they are."""
    return [{name: value for name, value in record.items() if value is not None} for record in records]


@pytest.fixture
async def arm(prompt_results):
    async with Sandbox(process_delay=0.0) as sandbox, ArmClient(2218, auth=sandbox.token, base_url=sandbox.base_url) as client:
        client.sandbox = sandbox
        yield client


def stored(view, records, key):
    """What the server has, without the numbers that it gives itself."""
    of_server = {"accountNo", "customerKid"}
    return [{name: value for name, value in view.get(record[key]).items() if name not in of_server} for record in records]


@each_frame
async def test_customers_are_the_same_on_the_server(frame, arm):
    assert (await arm.customers.create_many(rows(CUSTOMERS))).counts["succeeded"] == 500
    wanted = stored(arm.sandbox.customers, CUSTOMERS, "customerNo")
    async with Sandbox(process_delay=0.0) as sandbox, ArmClient(2218, auth=sandbox.token, base_url=sandbox.base_url) as other:
        assert (await other.customers.create_many(frame(CUSTOMERS))).counts["succeeded"] == 500
        assert stored(sandbox.customers, CUSTOMERS, "customerNo") == wanted
        changed = [{"customerNo": record["customerNo"], "name": f"Bo {record['customerNo']}"} for record in CUSTOMERS]
        assert (await other.customers.update_many(frame(changed))).counts["succeeded"] == 500
        assert [record["name"] for record in stored(sandbox.customers, CUSTOMERS, "customerNo")] == [record["name"] for record in changed]


@each_frame
async def test_documents_with_their_lines_are_the_same_on_the_server(frame, arm):
    (await arm.customers.create_many(rows(CUSTOMERS))).raise_for_failures()
    assert (await arm.documents.create_many(rows(DOCUMENTS))).counts["succeeded"] == 500
    wanted = stored(arm.sandbox.documents, DOCUMENTS, "documentNo")
    async with Sandbox(process_delay=0.0) as sandbox, ArmClient(2218, auth=sandbox.token, base_url=sandbox.base_url) as other:
        (await other.customers.create_many(rows(CUSTOMERS))).raise_for_failures()
        assert (await other.documents.create_many(frame(DOCUMENTS))).counts["succeeded"] == 500
        assert stored(sandbox.documents, DOCUMENTS, "documentNo") == wanted
        assert [len(record["documentLines"]) for record in wanted[:2]] == [1, 2]


async def test_a_sync_finds_nothing_changed_whatever_the_frame(arm, tmp_path):
    state = tmp_path / "state.sqlite"
    assert (await arm.customers.sync(rows(CUSTOMERS), state=state)).new == 500
    for frame in FRAMES:
        try:
            given = frame(CUSTOMERS)
        except pytest.skip.Exception:
            continue
        assert (await arm.customers.sync(given, state=state)).unchanged == 500, frame.__name__
    changed = [{**record, "name": "Bo"} if record["customerNo"] == "000007" else record for record in CUSTOMERS]
    assert (await arm.customers.sync(pyarrow_table(changed), state=state)).changed == 1


@each_frame
async def test_a_check_finds_the_same(frame, arm):
    assert (await arm.customers.check(frame(CUSTOMERS))).counts == {}
    assert (await arm.documents.check(frame(DOCUMENTS))).counts == {}
    customers = [dict(record) for record in CUSTOMERS]
    customers[3] |= {"postalAddress": {**customers[3]["postalAddress"], "postalCode": "150"}}
    customers[5] |= {"name": "#REF!"}
    customers[6] |= {"name": "NULL"}
    report = await arm.customers.check(frame(customers))
    assert (report.records_read, report.complete) == (500, True)
    assert report.counts == {"lost_zeros": 1, "error_word": 1, "possible_null_word": 1}
    run = await arm.customers.create_many(frame(customers))
    assert (run.counts["succeeded"], run.counts["invalid"]) == (498, 2)
    assert [failure.index for failure in run.failures()] == [3, 5]


@pytest.mark.parametrize("library", ["pandas", "polars"])
async def test_a_number_that_was_a_text_is_refused_where_its_zeros_show_it(library, tmp_path):
    """What these libraries make of a CSV file, unless told that its columns are texts."""
    module = pytest.importorskip(library)
    path = tmp_path / "customers.csv"
    path.write_text("customerNo,name,postalAddress.postalCode,postalAddress.countryCode\n101,Åse,0150,NO\n", "utf-8")
    as_texts = {"pandas": {"dtype": str}, "polars": {"infer_schema": False}}[library]
    for options, is_read in ((as_texts, True), ({}, False)):
        async with open_records(module.read_csv(str(path), **options), "customers") as records:
            (record,) = [record async for record in records]
        assert isinstance(record, dict) == is_read, options
        if is_read:
            assert record["postalAddress"]["postalCode"] == "0150"
        else:
            assert "write the column as text" in record.fault


CHILD = '''
import asyncio, resource, sys
import pyarrow as pa, pyarrow.compute as pc
from amili_arm_async import open_records

def table(start, count):
    numbers = pa.array(range(start, start + count)).cast(pa.string())
    names = pc.binary_join_element_wise("Kunde", numbers, " ")
    return pa.table({"customerNo": numbers, "name": names, "dueDays": pa.repeat(14, count)})

def made(library, count):
    # Not of lists of Python, whose memory would be free for what is measured.
    if library == "pyarrow":
        return table(0, count)
    if library == "reader":
        batches = (table(start, 1000).to_batches()[0] for start in range(0, count, 1000))
        return pa.RecordBatchReader.from_batches(table(0, 1).schema, batches)
    if library == "polars":
        import polars
        return polars.from_arrow(table(0, count))
    if library == "pandas":
        return table(0, count).to_pandas()
    import duckdb
    query = """SELECT range::VARCHAR AS "customerNo", 'Kunde ' || repeat('x', 200) AS name, 14 AS "dueDays" FROM range(%d)"""
    duckdb.execute("SET threads = 1")
    # It draws on standard output when a query takes long.
    duckdb.execute("SET enable_progress_bar = false")
    return duckdb.sql(query % count)

async def read(source):
    count = 0
    async with open_records(source, "customers") as records:
        async for block in records.blocks():
            count += len(block)
    return count

# What is loaded, and what is kept for the next time, is there before it is measured.
asyncio.run(read(made(sys.argv[1], 3000)))
source = made(sys.argv[1], 300_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert asyncio.run(read(source)) == 300_000
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
'''


@pytest.mark.proof
@pytest.mark.parametrize("library", ["pyarrow", "reader", "polars", "pandas", "duckdb"])
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss has another unit elsewhere")
def test_memory_does_not_grow_with_the_frame(library):
    if library in {"polars", "pandas", "duckdb"}:
        pytest.importorskip(library)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run([sys.executable, "-c", CHILD, library], env=environment, capture_output=True, text=True, timeout=50, check=False)
    assert ran.returncode == 0, ran.stderr
    # kB. The records themselves would be 30,000 more; a relation of DuckDB in the batches of its own stream, 65,000.
    assert int(ran.stdout) < 25_000
