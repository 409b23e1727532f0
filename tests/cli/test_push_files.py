"""`amili-arm push` of CSV and Parquet, optionally compressed: what arrives, and how rows that did not succeed are named."""

from __future__ import annotations

import gzip
import json
from decimal import Decimal

import pytest

from .conftest import wait_until


def stored(served, key, kind="customers"):
    """What the sandbox has, once it processed the batch."""
    wait_until(served, lambda sandbox: getattr(sandbox, kind).get(key))
    return served.ask(lambda sandbox: getattr(sandbox, kind).get(key))


@pytest.fixture
def write(tmp_path):
    def make(content, name="records"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return make


def test_csv_arrives_and_its_faults_are_named_by_line(push, write, served):
    path = write("customerNo;name;limitAmount\r\n001;Åse;1 234,50\r\n\r\n2;B;x\r\n3;C\r\n4;D;\r\n".encode("cp1252"))
    result = push("customers", path, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["counts"]["accepted"] == 2
    assert "line 4, key 2: invalid (number) column limitAmount: not a number" in result.stderr
    assert "line 5: invalid (not_readable) 2 cells, and the header has 3" in result.stderr
    found = stored(served, "001")
    assert (found["name"], found["limitAmount"]) == ("Åse", Decimal("1234.50"))


def test_documents_with_their_lines_compressed(push, write, served):
    push("customers", write("customerNo;name\n1;A"))
    content = "documentNo,customerNo,documentType,documentLines.lineNo,documentLines.price\n10,1,IN,1,2.50\n10,1,IN,2,5\n"
    assert push("documents", write(gzip.compress(content.encode()))).exit_code == 0
    assert [line["price"] for line in stored(served, "10", "documents")["documentLines"]] == [Decimal("2.50"), Decimal(5)]


def test_parquet(push, write, served):
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    path = write(b"")
    pq.write_table(pa.table({"customerNo": ["1", "2"], "name": ["A", "B"], "dueDays": [14.0, 1.5]}), path)
    result = push("customers", path)
    assert result.exit_code == 1
    assert "row 2, key 2: invalid (number) column dueDays: not a whole number" in result.stderr
    assert stored(served, "1")["dueDays"] == 14


def test_what_the_file_is_can_be_told(push, write, served):
    path = write("customerNo\tsaldo\tname\tinformalName\n1\t2\tA\t-\n".encode("utf-16-le"))
    told = ["--format", "csv", "--delimiter", "tab", "--encoding", "utf-16-le", "--clear", "-", "--extra-columns"]
    assert push("customers", path, *told).exit_code == 0
    assert stored(served, "1")["informalName"] == ""


def test_a_file_that_is_cut_off_ends_the_run_and_says_how_far_it_came(push, write, served):
    # Stored, not pressed: so a part of it holds records.
    packed = gzip.compress(b"".join(b"%s\n" % json.dumps({"customerNo": str(number)}).encode() for number in range(100)), 0)
    result = push("customers", write(packed[:-30]), "--json")
    assert result.exit_code == 1
    said = json.loads(result.stdout)
    assert said["ok"] is False
    assert said["records"] == sum(said["counts"].values()) == 98
    assert "was cut off; 98 records were read before it, up to line 98" in result.stderr


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("customerNo;Nmae\n1;A", "--column Nmae=name"),
        ("<html><body>", "HTML page"),
        (b"PK\x03\x04xl/", "save it as CSV"),
    ],
)
def test_a_file_that_is_no_input_says_why(push, write, served, content, words):
    result = push("customers", write(content))
    assert result.exit_code == 1
    assert words in " ".join(result.stderr.split())
    assert served.ask(lambda sandbox: sandbox.customers.total_delivered) == 0


def test_a_dead_letter_keeps_what_stood_in_a_row_that_could_not_be_read(push, write, tmp_path):
    letters = tmp_path / "dead.jsonl"
    push("customers", write("customerNo;dueDays\n1;x\n2\n"), "--dead-letter", letters)
    kept = [json.loads(line) for line in letters.read_text().splitlines()]
    assert [(line["payload"], line["as_read"]) for line in kept] == [(None, {"customerNo": "1", "dueDays": "x"}), (None, "2")]


@pytest.mark.parametrize("option", [["--encoding", "ebcdic"], ["--delimiter", ";;"], ["--format", "xml"]])
def test_wrong_use(push, write, option):
    assert push("customers", write("customerNo\n1"), *option).exit_code == 2
