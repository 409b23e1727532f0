"""Why a record or a file can't be read stands in every report that names it, in every format, and never with a value."""

from __future__ import annotations

import csv
import gzip
import io
import json

import pytest

SECRET = "4711-hemmelig"
CUSTOMERS = f"customerNo;name;dueDays\n1;A;14\n2;B;{SECRET}\n3;C\n"
WHY = {"2": "line 3, column dueDays: not a number such as 1 234,50 or 1234.50", None: "line 4: 2 cells, and the header has 3"}
HEADER = "customerNo;naem;limitAmount\n1;A;5\n"
WHY_NOT = "naem"


@pytest.fixture
def write(tmp_path):
    def make(content, name="customers.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return make


def reasons(told):
    return {example["key"]: example["message"] for reason in told["reasons"] for example in reason["examples"]}


@pytest.mark.parametrize("command", [["push", "customers"], ["sync"], ["push", "customers", "--concurrency", "1"]])
def test_push_and_sync_in_json(call, served, write, tmp_path, command):
    state = ["--state", tmp_path / "state.sqlite"] if command == ["sync"] else []
    result = call(*command, write(CUSTOMERS), *state, "--json", env=served.env)
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert reasons(told) == WHY
    assert sum(reason["count"] for reason in told["reasons"] if reason["state"] == "invalid") == 2
    assert {example["line"] for reason in told["reasons"] for example in reason["examples"]} == {3, 4}
    assert told["error"] is None
    assert SECRET not in result.output


@pytest.mark.parametrize("command", [["push", "customers"], ["sync"]])
def test_push_and_sync_of_a_file_that_can_not_be_read(call, served, write, tmp_path, command):
    state = ["--state", tmp_path / "state.sqlite"] if command == ["sync"] else []
    result = call(*command, write(HEADER), *state, "--json", env=served.env)
    assert result.exit_code == 1
    assert WHY_NOT in result.stderr
    assert WHY_NOT in json.loads(result.stdout)["error"]


def test_every_report_of_a_night(call, served, write, tmp_path):
    report, page, failures, letters = (tmp_path / name for name in ("r.json", "r.html", "f.csv", "dead.jsonl"))
    asked = ["--report", report, "--html", page, "--failures", failures, "--dead-letter-customers", letters]
    result = call("nightly", "--customers", write(CUSTOMERS), *asked, "--json", env=served.env)
    assert result.exit_code == 1
    assert reasons(json.loads(result.stdout)["parts"][0]) == WHY
    assert reasons(json.loads(report.read_text())["parts"][0]) == WHY
    assert all(why in page.read_text() for why in WHY.values())
    rows = list(csv.DictReader(io.StringIO(failures.read_text("utf-8-sig")), delimiter=";"))
    assert {row["key"] or None: row["message"] for row in rows} == WHY
    assert {line["key"]: line["message"] for line in map(json.loads, letters.read_text().splitlines())} == WHY
    again, table = tmp_path / "again.html", tmp_path / "again.csv"
    assert call("report", report, "--html", again, "--csv", table).exit_code == 0
    assert all(why in again.read_text() and why in table.read_text("utf-8-sig") for why in WHY.values())
    for path in (report, page, failures, again, table):
        assert SECRET not in path.read_text("utf-8-sig")
    assert SECRET not in result.output


def test_a_night_that_a_file_ends(call, served, write, tmp_path):
    report, page = tmp_path / "r.json", tmp_path / "r.html"
    result = call("nightly", "--customers", write(HEADER), "--report", report, "--html", page, "--json", env=served.env)
    assert result.exit_code == 1
    for text in (result.stderr, json.loads(result.stdout)["error"], json.loads(report.read_text())["error"], page.read_text()):
        assert WHY_NOT in text


# --- check ----------------------------------------------------------------------------------------------------------------


def test_check_names_what_ends_a_file_as_an_error(call, write):
    path = write(HEADER)
    result = call("check", "customers", path)
    assert result.exit_code == 1
    assert WHY_NOT in result.stdout
    assert f"error source_error: {path}: 1 column is no field of customers" in result.stdout
    assert "1 error," in result.stderr
    told = json.loads(call("check", "customers", path, "--json").stdout)
    assert (told["ok"], told["complete"], told["errors"], told["counts"]) == (False, False, 1, {"source_error": 1})
    (fault,) = told["faults"]
    assert (fault["code"], fault["severity"], fault["line"], fault["key"]) == ("source_error", "error", None, None)
    assert WHY_NOT in fault["message"]


def test_check_names_it_beside_what_was_found_before(call, write):
    packed = gzip.compress("".join(f'{{"customerNo":"{number}","currency":"x"}}\n' for number in range(5000)).encode())
    result = call("check", "customers", write(packed[: len(packed) // 2], "c.jsonl.gz"), "--json", "--max-findings", 3)
    told = json.loads(result.stdout)
    assert result.exit_code == 1
    assert told["counts"]["source_error"] == 1
    assert told["counts"]["currency"] == told["records"] > 0
    (fault,) = [fault for fault in told["faults"] if fault["code"] == "source_error"]
    assert f"{told['records']:,} records were read before it" in fault["message"]


def test_check_of_documents_whose_customers_can_not_be_read(call, write):
    documents = write('{"documentNo":"1","customerNo":"1","documentType":"IN"}\n', "d.jsonl")
    told = json.loads(call("check", "documents", documents, "--customers", write(HEADER), "--json").stdout)
    assert told["errors"] == 1
    assert "the source of the customers" in told["faults"][0]["message"]
    assert WHY_NOT in told["faults"][0]["message"]


def test_check_first_names_it_and_sends_nothing(call, served, write):
    path = write(HEADER)
    for command in (["push", "customers", path], ["nightly", "--customers", path]):
        result = call(*command, "--check-first", "--json", env=served.env)
        assert result.exit_code == 1
        assert f"nothing was sent: {path}: " in result.stderr
        assert WHY_NOT in result.stderr
        told = json.loads(result.stdout)
        (check,) = [told["check"]] if "check" in told else told["checks"]
        assert (check["errors"], check["counts"]) == (1, {"source_error": 1})
        assert WHY_NOT in check["faults"][0]["message"]
    assert served.ask(lambda sandbox: len(sandbox.customers)) == 0
