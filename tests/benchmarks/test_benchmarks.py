"""The sinks of the benchmarks read whole bodies before they answer, and every question can be asked. Nothing is timed here."""

import asyncio
import importlib
import json
import select
import socket
import ssl
from urllib.request import Request, urlopen

import pytest

pytest.importorskip("trustme")

from amili_arm_async import ArmClient, open_records
from benchmarks import nginx
from benchmarks.__main__ import QUESTIONS
from benchmarks.by_hand import ENCODER
from benchmarks.files import WRITERS, write_file
from benchmarks.measure import Row, ratio
from benchmarks.peers import script
from benchmarks.peers.witness import witness
from benchmarks.records import PAGE_SIZE, PAGES, customer, documents
from benchmarks.sink import Served, serve
from benchmarks.table import write
from benchmarks.tables import work

BODY = b'{"customers":[{"customerNo":"500000"}],"x":"' + b"x" * 3_000_000 + b'"}'
HEAD = b"POST /arm/v1/clients/2218/customers/batches HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(BODY)
SINKS = [
    pytest.param(bundled, tls, id=f"{'bundled' if bundled else 'nginx'}-{'tls' if tls else 'plain'}")
    for bundled in (True, False)
    for tls in (False, True)
    if bundled or nginx.find()
]


def connect(served: Served) -> socket.socket:
    port = int(served.address.split(":")[2].split("/")[0])
    plain = socket.create_connection(("127.0.0.1", port), timeout=30)
    return plain if served.trust is None else served.trust.wrap_socket(plain, server_hostname="127.0.0.1")


def answered(sock: socket.socket) -> bool:
    """Whether an answer is there; over TLS there may be bytes that are none, such as session tickets."""
    sock.settimeout(0)
    try:
        return bool(select.select([sock], [], [], 0)[0]) and bool(sock.recv(1))
    except (BlockingIOError, ssl.SSLWantReadError):
        return False
    finally:
        sock.settimeout(30)


def get(served: Served, path: str) -> dict:
    with urlopen(f"{served.address}/clients/2218/{path}", context=served.trust, timeout=30) as answer:
        return json.load(answer)


@pytest.mark.parametrize(("bundled", "tls"), SINKS)
def test_a_sink_reads_the_whole_body_before_it_answers(bundled, tls) -> None:
    with serve(bundled=bundled, tls=tls) as served, connect(served) as slow, connect(served) as other:
        slow.sendall(HEAD + BODY[:-1])
        # It serves one after the other: when this one has its answer, the first could have had one.
        other.sendall(HEAD + BODY)
        assert other.recv(12) == b"HTTP/1.1 202"
        assert not answered(slow)
        slow.sendall(BODY[-1:])
        assert slow.recv(12) == b"HTTP/1.1 202"
    assert served.received == 2 * len(HEAD + BODY)


@pytest.mark.parametrize(("bundled", "tls"), SINKS)
def test_a_sink_knows_results_customers_and_pages(bundled, tls) -> None:
    with serve(bundled=bundled, tls=tls) as served:
        url = f"{served.address}/clients/2218/customers/batches"
        with urlopen(Request(url, data=BODY, method="PUT"), context=served.trust, timeout=30) as answer:
            assert answer.status == 202
            uuid = json.load(answer)["batchUuid"]
        assert get(served, f"batches/{uuid}") == {"status": "PROCESSED", "result": "SUCCESS"}
        assert get(served, "customers/500000")["customerNo"] == "500000"
        first, last = get(served, "customers?pagesize=1000"), get(served, f"customers?query=x&pageno={PAGES}")
        assert len(first["customers"]) == len(last["customers"]) == PAGE_SIZE
        assert first["summary"]["nextPage"].endswith("pageno=2")
        assert "nextPage" not in last["summary"]


@pytest.mark.parametrize(
    ("items", "name", "records"), [("customers", "customerNo", [customer(7)]), ("documents", "documentNo", list(documents(9))[7:])]
)
def test_a_result_can_have_an_entry_for_each_record(items, name, records) -> None:
    with serve(entries=True) as served:
        body = ENCODER.encode({items: records})
        with urlopen(Request(f"{served.address}/clients/2218/{items}/batches", data=body), timeout=30) as answer:
            uuid = json.load(answer)["batchUuid"]
        entries = get(served, f"batches/{uuid}")["results"]
    first = int(json.loads(body)[items][0][name])
    assert [entry[name] for entry in entries] == [str(first + place) for place in range(1000)]


@pytest.mark.parametrize("name", QUESTIONS)
def test_every_question_is_stated_and_can_be_asked(name) -> None:
    question = importlib.import_module(f"benchmarks.{name}")
    assert "?" in question.__doc__
    assert callable(question.measure)


def test_a_budget_is_met_or_not() -> None:
    assert ratio("q", 12, 10, "us", 1.25).met is True
    assert ratio("q", 13, 10, "us", 1.25).met is False
    assert ratio("q", 80, 100, "k/s", 0.9, least=True).met is False
    assert ratio("q", 95, 100, "k/s", 0.9, least=True).met is True
    assert ratio("q", 95, 100, "k/s").met is None


def test_the_results_say_what_is_not_met(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("benchmarks.table.FOLDER", tmp_path)
    (tmp_path / "NOTES.md").write_text("## Notes\n")
    write([Row("a question", 2.0, 1.0, "us", "2.00 x", 2.0, 1.25)], "2026-01-01", "python -m benchmarks --write")
    text = (tmp_path / "RESULTS.md").read_text()
    assert "| a question | 2.00 | 1.00 | us | 2.00 x | <= 1.25 | NOT MET |" in text
    assert text.endswith("## Notes\n")
    assert "2026-01-01 by `python -m benchmarks --write`" in text


def records_in(bodies: list[bytes], kind: str) -> list[dict]:
    return sorted(
        (record for body in bodies for record in json.loads(body)[kind]),
        key=lambda record: record["documentNo" if kind == "documents" else "customerNo"],
    )


def as_texts(value: object) -> object:
    """What is the same however a script and the library write it: texts, and a list of one text as that text."""
    if isinstance(value, dict):
        return {name: as_texts(each) for name, each in value.items()}
    if isinstance(value, list):
        return as_texts(value[0]) if len(value) == 1 else [as_texts(each) for each in value]
    if isinstance(value, bool):
        return str(value).lower()
    try:
        return str(float(value))
    except ValueError:
        return value


@pytest.mark.parametrize("form", WRITERS)
@pytest.mark.parametrize(("kind", "code"), [("customers", "organization_no"), ("documents", "kid_check_digit")])
async def test_the_files_are_right_and_a_third_of_the_faulty_ones_is_warned_of(tmp_path, kind, code, form) -> None:
    if form == "parquet":
        pytest.importorskip("pyarrow")
    if kind == "customers":
        pytest.importorskip("stdnum")
    async with ArmClient(1, auth="token", base_url="http://127.0.0.1:1/arm/v1", user_id="x") as arm:
        clean = await getattr(arm, kind).check(open_records(write_file(tmp_path, kind, form, 60), kind))
        faulty = await getattr(arm, kind).check(open_records(write_file(tmp_path, kind, form, 60, faulty=True), kind))
    assert clean.ok
    assert (clean.records_read, clean.counts) == (60, {})
    assert faulty.ok
    assert list(faulty.counts) == [code]
    assert 15 <= faulty.counts[code] <= 20


@pytest.mark.parametrize("form", ["csv", "jsonl"])
@pytest.mark.parametrize("kind", ["customers", "documents"])
def test_the_script_sends_the_records_that_the_library_sends(tmp_path, kind, form) -> None:
    path = str(write_file(tmp_path, kind, form, 20))
    with witness() as (address, by_script):
        asyncio.run(script.send(address, kind, path))
    with witness() as (address, by_library):
        asyncio.run(work("send", address, kind, open_records(path, kind), ""))
    assert len(records_in(by_script, kind)) == 20
    assert as_texts(records_in(by_script, kind)) == as_texts(records_in(by_library, kind))
