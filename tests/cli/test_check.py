"""`amili-arm check` and `amili-arm push --check-first`: every fault by its line, and nothing sent."""

from __future__ import annotations

import json
import os
import signal
import subprocess

import pytest

from amili_arm_async.validation.run import CheckRun

GOOD = b'{"customerNo": "1", "name": "Kari"}'
BAD = b'{"customerNo": "2", "currency": "kr"}'


@pytest.fixture
def file(tmp_path):
    def write(*lines, name="records.jsonl"):
        path = tmp_path / name
        path.write_bytes(b"".join(line + b"\n" for line in lines))
        return path

    return write


def document(number, owner):
    return json.dumps({"documentType": "IN", "customerNo": owner, "documentNo": number}).encode()


def test_a_clean_file(call, file):
    result = call("check", "customers", file(GOOD))
    assert (result.exit_code, result.stdout) == (0, "")
    assert "checked 1 record: 0 errors, 0 warnings" in result.stderr


def test_faults_are_named_by_their_lines(call, file):
    result = call("check", "customers", file(GOOD, b"", BAD, b"{", b'{"customerNo": "1", "language": "nor"}'))
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "line 3, key 2: error currency: $.currency: not a currency code of ISO 4217",
        "line 4: error not_json: $: an object that does not end: the line was cut off, or a brace or a quotation mark is missing",
        "line 5, key 1: warning language: $.language: not two letters",
        "line 5, key 1: error duplicate: $.customerNo: the same as that of an earlier record (line 1)",
    ]
    assert "checked 4 records: 3 errors, 1 warning" in result.stderr


def test_blank_lines_are_counted(call, file):
    result = call("check", "customers", file(b"customerNo;name", b"1;A", b"", b";;", name="k.csv"))
    assert "amili-arm: skipped 2 blank lines\namili-arm: checked 1 record: 0 errors" in result.stderr
    assert "blank" not in call("check", "customers", file(b"customerNo;name", b"1;A", name="k.csv")).stderr


def test_the_report_for_a_program(call, file):
    result = call("check", "customers", file(GOOD, BAD, BAD), "--json", "--max-findings", 1)
    assert result.exit_code == 1
    said = json.loads(result.stdout)
    assert (said["ok"], said["complete"], said["records"], said["errors"], said["warnings"]) == (False, True, 3, 3, 0)
    assert said["counts"] == {"currency": 2, "duplicate": 1}
    assert said["more"] == {"currency": 1, "duplicate": 1}
    assert said["faults"] == [
        {
            "index": 1, "line": 2, "key": "2", "severity": "error", "code": "currency", "path": "$.currency",
            "message": "not a currency code of ISO 4217",
        }
    ]  # fmt: skip


def test_what_was_not_named_is_counted(call, file):
    result = call("check", "customers", file(BAD, BAD), "--max-findings", 0)
    assert result.stdout == ""
    assert "2 more of currency" in result.stderr


def test_warnings_alone_are_no_failure(call, file):
    assert call("check", "customers", file(b'{"customerNo": "1", "language": "nor"}')).exit_code == 0


def test_a_line_that_is_too_long(call, file):
    result = call(
        "check", "customers", file(GOOD, b'{"customerNo": "3", "name": "' + b"x" * 2000 + b'"}', b"?"), "--max-bytes", 1000, "--json"
    )
    said = [(fault["line"], fault["code"]) for fault in json.loads(result.stdout)["faults"]]
    assert said == [(2, "too_large"), (3, "not_json")]


def test_documents_for_unknown_customers(call, file):
    customers = file(GOOD, b"not json", b"[]", name="customers.jsonl")
    result = call("check", "documents", file(document("8", "1"), document("9", "7")), "--customers", customers)
    assert result.exit_code == 1
    assert result.stdout.startswith("line 2, key 9: error unknown_customer: $.customerNo:")


@pytest.mark.parametrize(
    "arguments",
    [["customers", "{file}", "--customers", "{file}"], ["documents", "-", "--customers", "-"], ["customers", "/nowhere/at/all"]],
)
def test_wrong_use(call, file, arguments):
    path = file(GOOD)
    result = call("check", *[argument.format(file=path) for argument in arguments])
    assert result.exit_code == 2
    assert result.stderr.startswith("amili-arm: ")


def test_standard_input(start):
    process = start("check", "customers", "-", stdin=subprocess.PIPE)
    said, _ = process.communicate(GOOD + b"\n" + BAD + b"\n", 30)
    assert process.returncode == 1
    assert said.startswith(b"line 2, key 2: error currency")


# --- push ---------------------------------------------------------------------------------------------------------------


def taken(served):
    return served.ask(lambda sandbox: sandbox.customers.total_delivered + sandbox.documents.total_delivered)


def test_a_push_sends_what_was_checked(push, file, served):
    result = push("customers", file(GOOD, b'{"customerNo": "3", "language": "nor"}'), "--check-first", "--json")
    assert result.exit_code == 0
    said = json.loads(result.stdout)
    assert (said["records"], said["check"]["warnings"], said["check"]["ok"]) == (2, 1, True)
    assert served.ask(lambda sandbox: sandbox.customers.total_taken) == 2


def test_with_one_error_nothing_is_sent(push, file, served):
    result = push("customers", file(GOOD, BAD), "--check-first")
    assert result.exit_code == 1
    assert "nothing was sent: the check found errors" in result.stderr
    assert "line 2, key 2: error currency" in result.stderr
    assert taken(served) == 0


def test_with_one_error_nothing_is_sent_and_a_program_is_told(push, file, served):
    result = push("documents", file(document("1", "")), "--check-first", "--json")
    assert result.exit_code == 1
    said = json.loads(result.stdout)
    assert said["ok"] is False
    assert said["check"]["counts"] == {"missing": 1}
    assert taken(served) == 0


def test_a_file_that_changes_while_it_is_checked_is_not_sent(push, file, served, monkeypatch):
    path = file(GOOD)
    whole = CheckRun.__await__

    def change(run):
        report = yield from whole(run)
        with path.open("ab") as opened:
            opened.write(GOOD)
        return report

    monkeypatch.setattr(CheckRun, "__await__", change)
    result = push("customers", path, "--check-first")
    assert result.exit_code == 1
    assert "changed while it was checked" in result.stderr
    assert taken(served) == 0


def test_standard_input_can_not_be_checked_first(start, served, file):
    for stdin in (subprocess.PIPE, file(GOOD).open("rb")):
        process = start("push", "customers", "-", "--check-first", stdin=stdin, env=served.env)
        _, said = process.communicate(timeout=30)
        assert process.returncode == 2
        assert b"--check-first" in said
        if stdin != subprocess.PIPE:
            stdin.close()
    assert taken(served) == 0


def test_a_pipe_can_not_be_checked_first(push, served, tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = os.open(path, os.O_RDWR)
    try:
        assert push("customers", path, "--check-first").exit_code == 2
    finally:
        os.close(writer)
    assert taken(served) == 0


def test_a_signal_ends_it_and_what_was_found_is_told(start):
    process = start("check", "customers", "-", "--max-findings", 9, stdin=subprocess.PIPE)
    # More than a pipe holds: when it is written, some of it was read.
    process.stdin.write(b"".join(b'{"customerNo": "%d", "currency": "kr"}\n' % number for number in range(5000)))
    process.stdin.flush()
    process.send_signal(signal.SIGINT)
    process.wait(30)
    said, told = process.stdout.read(), process.stderr.read()
    assert process.returncode == 130
    assert b" (line 1, key 0; line 2, key 1; " in said
    assert b"error currency" in said
    assert b"and not all were read" in told


def test_customers_of_a_state_are_known(call, file, served, tmp_path):
    state = tmp_path / "state.sqlite"
    assert call("sync", file('{"customerNo": "Å9", "name": "x"}'.encode()), "--state", state, "--quiet", env=served.env).exit_code == 0
    invoices = file(document("1", "å9"), document("2", "8"), name="invoices.jsonl")
    result = call("check", "documents", invoices, "--state", state)
    assert result.exit_code == 1
    assert [line.partition(":")[0] for line in result.stdout.splitlines()] == ["line 2, key 2"]
    assert call("check", "customers", invoices, "--state", state).exit_code == 2
    assert call("check", "documents", invoices, "--state", tmp_path / "none").exit_code == 1
