"""The examples of databases against real ones: a PostgreSQL that is thrown away, SQLite, DuckDB; skipped where their packages are not."""

from __future__ import annotations

import asyncio
import glob
import importlib.util
import os
import pwd
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import tracemalloc
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest

from amili_arm_async import ArmClient
from amili_arm_async.sandbox import Sandbox

from .stage import variables

EXAMPLES = Path(__file__).parents[2] / "examples"


def program(name: str) -> str:
    """A program of PostgreSQL; Debian keeps them out of the path."""
    found = shutil.which(name) or next(iter(sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"), reverse=True)), None)
    if found is None:
        pytest.skip(f"{name} of PostgreSQL is not installed")
    return found


@pytest.fixture
def conninfo() -> Iterator[str]:
    """A PostgreSQL on a socket of its own."""
    initdb, pg_ctl = program("initdb"), program("pg_ctl")
    user: dict[str, object] = {}
    # The path of a socket has 107 bytes at the most, and pytest's directories are only for who runs it.
    root = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))
    if os.geteuid() == 0:
        # PostgreSQL refuses to run as root.
        nobody = pwd.getpwnam("nobody")
        os.chown(root, nobody.pw_uid, nobody.pw_gid)
        user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}

    def run(*arguments: str) -> None:
        subprocess.run(arguments, check=True, cwd=root, stdout=subprocess.DEVNULL, timeout=120, env={**os.environ, "LC_ALL": "C"}, **user)

    data = str(root / "data")
    try:
        run(initdb, "--auth=trust", "--username=arm", "--no-sync", "--encoding=UTF8", "--pgdata", data)
        run(pg_ctl, "start", "--wait", "--pgdata", data, "--log", str(root / "log"), "--options", f"-k {root} -c listen_addresses= -F")
        try:
            yield f"host={root} user=arm dbname=postgres"
        finally:
            run(pg_ctl, "stop", "--wait", "--mode=immediate", "--pgdata", data)
    finally:
        shutil.rmtree(root)


@pytest.fixture
def example(monkeypatch):
    """Gives an example as a module."""

    def load(name, *packages):
        for package in packages:
            pytest.importorskip(package, reason=f"{package} is not installed")
        spec = importlib.util.spec_from_file_location(f"{name}_example", EXAMPLES / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, f"{name}_example", module)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture
async def sandbox(monkeypatch):
    """A sandbox that `ArmClient.from_env` finds."""
    async with Sandbox(process_delay=0.0) as found:
        for name, value in variables(found).items():
            monkeypatch.setenv(name, value)
        yield found


async def fill(conninfo: str, number: int) -> None:
    import psycopg

    async with await psycopg.AsyncConnection.connect(conninfo) as connection:
        await connection.execute(
            "CREATE TABLE customers (customer_no text PRIMARY KEY, name text, email text, city text, postal_code text, "
            "credit_limit numeric(12, 2))"
        )
        await connection.execute(
            "INSERT INTO customers SELECT to_char(n, 'FM000000'), 'Åse ' || n, CASE WHEN n %% 2 = 0 THEN n || '@example.no' END, "
            "'Tromsø', '0010', CASE WHEN n = 1 THEN 12345678.05 END FROM generate_series(1, %s) AS n",
            (number,),
        )


def check_customers(sandbox):
    stored = sandbox.customers.get("000001")
    assert (stored["name"], stored["limitAmount"]) == ("Åse 1", Decimal("12345678.05"))
    assert stored["postalAddress"] == {**stored["postalAddress"], "cityName": "Tromsø", "postalCode": "0010"}


async def test_psycopg(example, conninfo, sandbox, capsys):
    postgres = example("postgres", "psycopg")
    await fill(conninfo, 2500)
    assert await postgres.main(conninfo) == 0
    assert "2500" in capsys.readouterr().out
    check_customers(sandbox)
    assert sandbox.customers.get("000002")["emailAddressDocument"] == ["2@example.no"]


@pytest.mark.proof
async def test_memory_of_psycopg_does_not_grow_with_the_table(example, conninfo):
    postgres = example("postgres", "psycopg")
    await fill(conninfo, 30_000)
    tracemalloc.start()
    try:
        count = 0
        async for _ in postgres.customers(conninfo):
            count += 1
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
    assert count == 30_000


def url_of(conninfo, driver):
    host, user, name = (part.partition("=")[2] for part in conninfo.split())
    return f"{driver}://{user}@/{name}?host={host}"


async def test_adbc(example, conninfo, sandbox, capsys):
    adbc = example("adbc_to_arm", "adbc_driver_postgresql", "pyarrow")
    await fill(conninfo, 2500)
    assert await adbc.main(url_of(conninfo, "postgresql")) == 0
    assert "2500" in capsys.readouterr().out
    check_customers(sandbox)
    assert sandbox.customers.get("000002")["emailAddressDocument"] == ["2@example.no"]


async def test_sqlalchemy_with_postgresql(example, conninfo, sandbox, capsys):
    sqlalchemy = example("sqlalchemy_to_arm", "sqlalchemy", "psycopg")
    await fill(conninfo, 2500)
    assert await sqlalchemy.main(url_of(conninfo, "postgresql+psycopg")) == 0
    assert "2500" in capsys.readouterr().out
    check_customers(sandbox)


async def test_sqlalchemy_with_sqlite(example, tmp_path, sandbox, capsys):
    sqlalchemy = example("sqlalchemy_to_arm", "sqlalchemy")
    with closing(sqlite3.connect(tmp_path / "billing.db")) as connection:
        connection.execute("CREATE TABLE customers (customer_no, name, email, city, postal_code, credit_limit NUMERIC)")
        connection.executemany(
            "INSERT INTO customers VALUES (?, ?, NULL, 'Tromsø', '0010', ?)",
            ((f"{number:06}", f"Åse {number}", 12345678.05 if number == 1 else None) for number in range(1, 2501)),
        )
        connection.commit()
    assert await sqlalchemy.main(f"sqlite:///{tmp_path}/billing.db") == 0
    assert "2500" in capsys.readouterr().out
    check_customers(sandbox)


TABLES = """
CREATE TABLE fakturaer (
    fakturanr VARCHAR(20) PRIMARY KEY, kundenr VARCHAR(20), dato DATE, forfall DATE,
    netto NUMERIC(14, 2), mva NUMERIC(14, 2), brutto NUMERIC(14, 2)
);
CREATE TABLE linjer (fakturanr VARCHAR(20), linjenr INTEGER, tekst VARCHAR(80), antall NUMERIC(14, 3), pris NUMERIC(14, 2))
"""


def fill_invoices(url, count):
    """Invoices of two lines; the last one has a date that can't be meant."""
    import sqlalchemy

    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        for table in TABLES.split(";"):
            connection.exec_driver_sql(table)
        for number in range(1, count + 1):
            year = 1026 if number == count else 2026
            connection.exec_driver_sql(
                f"INSERT INTO fakturaer VALUES ('{number:08}', '{number:06}', '{year}-11-20', '2026-12-04', 100.10, 25.03, 125.13)"
            )
            connection.exec_driver_sql(
                f"INSERT INTO linjer VALUES ('{number:08}', 2, 'Børste', 1, 60.10), ('{number:08}', 1, 'Kam', 0.5, 80.00)"
            )
    engine.dispose()


async def check_invoices(example, url, tmp_path, sandbox, capsys, count=1200):
    await asyncio.to_thread(fill_invoices, url, count)
    async with ArmClient.from_env() as arm:
        customers = ({"customerNo": f"{number:06}", "name": "Kari"} for number in range(1, count + 1))
        (await arm.customers.create_many(customers)).raise_for_failures()
    given = (url, str(tmp_path / "nightly.sqlite"), "2026-11-20")
    assert await example.main(*given) == 1
    shown = capsys.readouterr()
    assert f"invoice {count:08}: invalid: row {2 * count - 1}, column dato (documentDate): " in shown.err
    stored = sandbox.documents.get("00000001")
    assert (stored["currencyAmounts"]["inclVat"], stored["dueDate"]) == (Decimal("125.13"), "2026-12-04")
    lines = [(line["lineNo"], line["lineText"], line["quantity"], line["price"]) for line in stored["documentLines"]]
    assert lines == [(1, "Kam", Decimal("0.5"), 80), (2, "Børste", 1, Decimal("60.1"))]
    # The same run again sends nothing.
    assert await example.main(*given) == 1
    assert str(count - 1) in capsys.readouterr().out
    assert sandbox.documents.get(f"{count:08}") is None


@pytest.mark.filterwarnings("ignore:.*support Decimal objects natively")
async def test_documents_of_sqlalchemy_with_sqlite(example, tmp_path, sandbox, capsys):
    documents = example("sqlalchemy_documents", "sqlalchemy", "pyarrow")
    await check_invoices(documents, f"sqlite:///{tmp_path}/billing.db", tmp_path, sandbox, capsys)


async def test_documents_of_sqlalchemy_with_postgresql(example, conninfo, tmp_path, sandbox, capsys):
    documents = example("sqlalchemy_documents", "sqlalchemy", "psycopg", "pyarrow")
    await check_invoices(documents, url_of(conninfo, "postgresql+psycopg"), tmp_path, sandbox, capsys)


@pytest.mark.proof
async def test_memory_of_sqlalchemy_does_not_grow_with_the_table(example, conninfo):
    sqlalchemy = example("sqlalchemy_to_arm", "sqlalchemy", "psycopg")
    await fill(conninfo, 30_000)
    tracemalloc.start()
    try:
        count = 0
        async for _ in sqlalchemy.customers(url_of(conninfo, "postgresql+psycopg")):
            count += 1
        assert tracemalloc.get_traced_memory()[1] < 15_000_000
    finally:
        tracemalloc.stop()
    assert count == 30_000


async def test_duckdb(example, tmp_path, sandbox, capsys):
    duckdb = example("duckdb_to_arm", "duckdb", "pyarrow")

    def write(name, start, city="Tromsø"):
        rows = [
            f"{number:06};Åse {number};{city};0010;14;{'12345678,05' if number == 1 else ''}\n" for number in range(start, start + 1000)
        ]
        (tmp_path / name).write_text("Kundenr;Navn;Poststed;Postnr;Frist;Kredittgrense\n" + "".join(rows), "utf-8")

    write("a.csv", 1)
    write("b.csv", 1001)
    given = (str(tmp_path / "*.csv"), str(tmp_path / "customers.state"))
    assert await duckdb.main(*given) == 0
    assert "2000" in capsys.readouterr().out
    check_customers(sandbox)
    write("b.csv", 1001, city="Bodø")
    assert await duckdb.main(*given) == 0
    assert "1000" in capsys.readouterr().out
    assert sandbox.customers.get("001001")["postalAddress"]["cityName"] == "Bodø"
