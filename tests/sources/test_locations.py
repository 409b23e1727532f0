"""Where a source is: a path, a URL, a folder of Parquet files, here or far away."""

from __future__ import annotations

import builtins
import gzip
import io
import json
import os
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from amili_arm_async import ArmClient, ConfigurationError, SourceError, open_records
from amili_arm_async.sandbox import Sandbox
from amili_arm_async.sources.locations import locate

from ..support.sandbox_runs import quick

SECRET = "hunter2"


def rows(table):
    table.begin()
    found = []
    for block in table.blocks():
        found += zip(*block.columns, strict=True)
    table.close()
    return table.names, found


@pytest.fixture
def parquet():
    """Makes the content of a Parquet file."""
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")

    def make(**columns):
        file = io.BytesIO()
        pq.write_table(pa.table(columns), file)
        return file.getvalue()

    return make


@pytest.fixture
def memory():
    """The file system in memory of fsspec, empty."""
    fsspec = pytest.importorskip("fsspec")
    system = fsspec.filesystem("memory")
    system.store.clear()
    yield system
    system.store.clear()


class Handler(BaseHTTPRequestHandler):
    """A web server as simple as they come: no parts of files, and no folders."""

    def do_GET(self):
        path = self.path.partition("?")[0]
        self.server.asked.append(path)
        content = self.server.files.get(path)
        status = self.server.status if content is None else 200
        self.send_response(status)
        self.send_header("Content-Length", str(len(content or b"") + (1000 if path == "/short" else 0)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content or b"")

    do_HEAD = do_GET  # noqa: N815 - the name that the class wants

    def log_message(self, *_):
        pass


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    pytest.importorskip("fsspec")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as found:
        found.files, found.asked, found.status = {}, [], 404
        thread = threading.Thread(target=found.serve_forever)
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def url_of(server, path, *, secrets=False):
    user, query = (f"user:{SECRET}@", f"?sig={SECRET}#{SECRET}") if secrets else ("", "")
    return f"http://{user}127.0.0.1:{server.server_address[1]}{path}{query}"


# --- here -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["customers.csv", "-", "/data/x y.csv", "C://x", "a:b", "x/://y"])
def test_a_path_is_a_path(path):
    assert locate(path) == (path, path, None, None)


def test_a_url_of_a_file_here_is_a_path(tmp_path):
    assert locate("file:///data/%C3%A5%20b.csv").path == "/data/å b.csv"
    assert locate("FILE://localhost/data/a.csv").path == "/data/a.csv"
    with pytest.raises(SourceError, match="three slashes"):
        locate("file://data/a.csv")


def test_a_folder_is_a_table_of_its_parts_in_the_order_of_their_names(tmp_path, parquet):
    for name, number in (("part-2.parquet", "2"), ("part-1.parquet", "1"), ("more/part-0", "3")):
        path = tmp_path / "customers" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(parquet(customerNo=[number]))
    for name in ("_SUCCESS", "_metadata", ".part-1.parquet.crc", "_temporary/part-9", "customers_$folder$"):
        path = tmp_path / "customers" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    for given in (str(tmp_path / "customers"), f"{tmp_path}/customers/", (tmp_path / "customers").as_uri()):
        location = locate(given)
        assert location.file is None
        assert rows(location.table) == (["customerNo"], [("3",), ("1",), ("2",)])


def test_a_folder_of_partitions_has_their_columns(tmp_path, parquet):
    for kind in ("IN", "CN"):
        folder = tmp_path / f"documentType={kind}"
        folder.mkdir()
        (folder / "a.parquet").write_bytes(parquet(documentNo=[kind.lower()]))
    assert rows(locate(str(tmp_path)).table) == (["documentNo", "documentType"], [("cn", "CN"), ("in", "IN")])


def test_a_folder_with_something_else_in_it_is_refused(tmp_path, parquet):
    with pytest.raises(SourceError, match="a folder without a Parquet file"):
        rows(locate(str(tmp_path)).table)
    (tmp_path / "a.parquet").write_bytes(parquet(customerNo=["1"]))
    (tmp_path / "b.csv").write_bytes(b"customerNo\n2\n")
    with pytest.raises(SourceError, match=r"b\.csv: it is not a valid Parquet file"):
        rows(locate(str(tmp_path)).table)


# --- far away ----------------------------------------------------------------------------------------------------------------------


def test_a_file_is_fetched_when_it_is_read_and_can_be_read_again(memory):
    memory.pipe("/data/customers.csv", b"customerNo\n1\n")
    location = locate("memory://data/customers.csv")
    assert (location.name, location.path, location.table) == ("memory://data/customers.csv", "", None)
    file = location.file
    assert (file.seekable(), file.tell(), file.name) == (True, 0, location.name)
    with pytest.raises(io.UnsupportedOperation):
        file.fileno()
    memory.pipe("/data/customers.csv", b"customerNo\n2\n")
    assert file.read(4) == b"cust"
    memory.pipe("/data/customers.csv", b"customerNo\n3\n")
    assert file.read() == b"omerNo\n2\n"
    assert file.seek(0) == 0
    assert file.read() == b"customerNo\n2\n"
    mode = os.fstat(file.fileno())
    assert (mode.st_nlink, mode.st_mode & 0o077) == (0, 0)
    file.close()
    assert file.closed


def test_a_file_of_a_web_server_is_fetched_by_one_request(server):
    content = b"customerNo\n" + b"".join(b"%d\n" % number for number in range(400_000))
    server.files["/customers.csv"] = content
    file = locate(url_of(server, "/customers.csv", secrets=True)).file
    assert file.read() == content
    file.close()


def test_a_folder_far_away_is_a_table_of_its_parts(memory, parquet):
    memory.pipe("/data/customers/type=b/part-1", parquet(customerNo=["2"]))
    memory.pipe("/data/customers/type=a/part-1", parquet(customerNo=["1"]))
    memory.pipe("/data/customers/_SUCCESS", b"")
    location = locate("memory://data/customers/")
    assert rows(location.table) == (["customerNo", "type"], [("1", "a"), ("2", "b")])
    with pytest.raises(SourceError, match="a folder without a Parquet file"):
        rows(locate("memory://data/others/").table)


def test_a_file_that_is_not_there_is_named(memory):
    with pytest.raises(OSError, match="it is not there"):
        locate("memory://data/customers.csv").file.read()


def test_a_web_server_has_no_folders(server):
    with pytest.raises(SourceError, match="a web server lists no folder: give the URL of a file"):
        locate(url_of(server, "/customers/"))


@pytest.mark.parametrize(
    ("url", "name"),
    [
        (f"https://user:{SECRET}@host:8443/a/b.csv?sig={SECRET}#{SECRET}", "https://host:8443/a/b.csv"),
        (f"https://{SECRET}@host/a.csv", "https://host/a.csv"),
        (f"s3://key:{SECRET}@bucket/a.csv?versionId=1", "s3://bucket/a.csv"),
        (f"abfs://container@account.dfs.core.windows.net/a.csv?{SECRET}", "abfs://container@account.dfs.core.windows.net/a.csv"),
        (f"abfs://container:{SECRET}@account.dfs.core.windows.net/a.csv", "abfs://account.dfs.core.windows.net/a.csv"),
        ("memory://a/b.csv", "memory://a/b.csv"),
    ],
)
def test_a_name_holds_no_secret(url, name):
    from amili_arm_async.sources.remote import shown_url

    assert shown_url(url) == name


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/nothing", 404, "the server answered 404"),
        ("/nothing", 403, "the server answered 403"),
        ("/nothing", 503, "the server answered 503"),
        ("/short", 200, "ContentLengthError|ClientPayloadError"),
    ],
)
def test_no_error_of_a_web_server_shows_a_secret(server, path, status, message):
    server.status = status
    server.files["/short"] = b"customerNo\n1\n"
    location = locate(url_of(server, path, secrets=True))
    with pytest.raises(OSError, match=message) as raised:
        location.file.read()
    shown = [str(raised.value), repr(raised.value), location.name, repr(location.file)]
    assert [text for text in shown if SECRET in text] == []
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__
    location.file.close()


def test_a_server_that_can_not_be_reached_is_named(server):
    server.server_close()
    with pytest.raises(OSError, match=r"Errno 5.*ClientConnectorError"):
        locate(url_of(server, "/customers.csv")).file.read()


def test_a_package_that_is_missing_is_named(monkeypatch):
    pytest.importorskip("fsspec")
    for url, message in (("nope://a/b.csv", "nope:// is no protocol that fsspec knows"), ("dvc://a/b", "dvc:// needs a package .*dvc")):
        with pytest.raises(SourceError, match=message):
            locate(url)
    real = builtins.__import__

    def importing(name, *arguments):
        if name.startswith("fsspec"):
            raise ImportError(name)
        return real(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", importing)
    with pytest.raises(SourceError, match=r"pip install 'amili-arm-async\[remote\]'"):
        locate("s3://bucket/customers.csv")


def test_a_path_of_this_machine_needs_no_package(tmp_path: Path, monkeypatch):
    real = builtins.__import__

    def importing(name, *arguments):
        assert not name.startswith("fsspec")
        return real(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", importing)
    assert locate(str(tmp_path / "a.csv")).path


async def test_records_of_a_url_and_of_a_folder(memory, parquet, tmp_path):
    memory.pipe("/in/customers.csv", b"customerNo;limitAmount\n1;12.000\n2;5,5\n")
    records = open_records("memory://in/customers.csv")
    assert [(record["customerNo"], str(record["limitAmount"])) async for record in records] == [("1", "12000"), ("2", "5.5")]
    assert (records.name, records.place(1)) == ("memory://in/customers.csv", "line 3")
    folder = tmp_path / "parts"
    folder.mkdir()
    (folder / "b.parquet").write_bytes(parquet(**{"documentNo": ["1"], "documentLines.lineNo": [3]}))
    (folder / "a.parquet").write_bytes(parquet(**{"documentNo": ["1", "2"], "documentLines.lineNo": [1, 1]}))
    found = [record async for record in open_records(folder, "documents")]
    # What stands in several parts is looked at whole.
    assert [isinstance(record, dict) for record in found] == [False, True, False]


CUSTOMERS = b"customerNo;name\n1;Kari\n2;Ola\n"


async def test_every_place_gives_the_records(memory, server, parquet, tmp_path: Path):
    pytest.importorskip("pyarrow")
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "1.parquet").write_bytes(parquet(customerNo=["1"], name=["Kari"]))
    (tmp_path / "parts" / "2.parquet").write_bytes(parquet(customerNo=["2"], name=["Ola"]))
    memory.pipe("/nightly/customers.csv.gz", gzip.compress(CUSTOMERS))
    memory.pipe("/parts/1.parquet", parquet(customerNo=["1", "2"], name=["Kari", "Ola"]))
    memory.pipe("/nightly/customers.jsonl", b'{"customerNo":"1","name":"Kari"}\n{"customerNo":"2","name":"Ola"}\n')
    server.files["/customers.csv"] = CUSTOMERS
    places = [
        tmp_path / "parts",
        "memory://nightly/customers.csv.gz",
        "memory://nightly/customers.jsonl",
        "memory://parts/1.parquet",
        "memory://parts/",
        f"http://127.0.0.1:{server.server_port}/customers.csv?token={SECRET}",
    ]
    for place in places:
        async with open_records(place) as records:
            found = [record if isinstance(record, dict) else json.loads(record) async for record in records]
        assert found == [{"customerNo": "1", "name": "Kari"}, {"customerNo": "2", "name": "Ola"}], place
        assert SECRET not in repr(records)


async def test_a_number_with_two_meanings_is_proved_by_a_file_far_away(memory):
    header = "documentNo;documentType;currencyAmounts.inclVat\n"
    memory.pipe("/documents.csv", f"{header}1;IN;12.000\n2;IN;1,5\n".encode())
    async with open_records("memory://documents.csv", "documents") as records:
        assert [str(record["currencyAmounts"]["inclVat"]) async for record in records] == ["12000", "1.5"]


async def test_a_frame_is_a_source_of_every_write():
    pa = pytest.importorskip("pyarrow")
    frame = pa.table({"customerNo": ["1", "2"], "name": ["Kari", "Ola"]})
    async with Sandbox(process_delay=0.0) as sandbox, ArmClient(2218, auth=sandbox.token, base_url=sandbox.base_url) as arm:
        assert (await arm.customers.check(frame)).ok
        assert (await arm.customers.create_many(frame, options=quick())).counts["succeeded"] == 2
        assert (await arm.customers.update_many(frame.to_batches()[0], options=quick())).counts["succeeded"] == 2
        with tempfile.TemporaryDirectory() as folder:
            state = Path(folder, "state.sqlite")
            assert (await arm.customers.sync(frame, state=state, options=quick())).new == 2
            assert (await arm.customers.sync(frame, state=state, options=quick())).unchanged == 2
        invoices = pa.table({"documentNo": ["1"], "documentType": ["IN"], "customerNo": ["1"]})
        assert (await arm.documents.create_many(invoices, options=quick())).counts["succeeded"] == 1
        with pytest.raises(ConfigurationError, match="give a table"):
            await arm.customers.create_many(frame["name"])
