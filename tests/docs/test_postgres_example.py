"""examples/postgres.py against a real PostgreSQL, in a cluster that is thrown away; skipped where its programs or psycopg are not."""

from __future__ import annotations

import glob
import importlib.util
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import tracemalloc
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from amili_arm_async import ArmClient
from amili_arm_async.sandbox import Sandbox

EXAMPLE = Path(__file__).parents[2] / "examples" / "postgres.py"


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
    """The example as a module."""
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    spec = importlib.util.spec_from_file_location("postgres_example", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "postgres_example", module)
    spec.loader.exec_module(module)
    return module


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


async def test_every_row_arrives(example, conninfo):
    await fill(conninfo, 2500)
    async with Sandbox(process_delay=0.0) as sandbox, ArmClient(2218, auth=sandbox.token, base_url=sandbox.base_url) as arm:
        report = await arm.customers.create_many(example.customers(conninfo))
        assert report.counts["succeeded"] == 2500
        stored = sandbox.customers.get("000001")
        assert (stored["name"], stored["limitAmount"]) == ("Åse 1", Decimal("12345678.05"))
        assert stored["postalAddress"]["postalCode"] == "0010"
        assert sandbox.customers.get("000002")["emailAddressDocument"] == ["2@example.no"]


async def test_memory_does_not_grow_with_the_table(example, conninfo):
    await fill(conninfo, 30_000)
    tracemalloc.start()
    try:
        count = 0
        async for _ in example.customers(conninfo):
            count += 1
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
    assert count == 30_000
