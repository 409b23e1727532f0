"""The name of a file need not be UTF-8: it is read and written, and where it stands in JSON it is escaped."""

from __future__ import annotations

import json
import os
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere all names are Unicode")

ODD = os.fsdecode(b"odd\xff")
GOOD = '{"documentNo": "1", "documentType": "IN", "customerNo": "1", "dueDate": "%s"}\n'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.jsonl").write_text(GOOD % "2026-01-01")
    (tmp_path / "bad.jsonl").write_text(GOOD % "no day")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("push", "documents", ODD, "--no-journal"), 2),
        (("push", "documents", "good.jsonl", "--no-journal", "--lines", ODD), 2),
        (("sync", "good.jsonl", "--state", f"none/{ODD}"), 2),
        (("nightly", "--documents", "good.jsonl", "--no-journal", "--report", f"none/{ODD}"), 2),
        (("reconcile", ODD), 2),
        (("replay", ODD), 2),
    ],
    ids=lambda value: " ".join(value).replace(ODD, "ODD") if isinstance(value, tuple) else "",
)
def test_the_report_of_on_end(call, served, folder, arguments, code):
    result = call(*arguments, "--json", "--on-end", "cat > report.json", env=served.env)
    report = json.loads((folder / "report.json").read_text())
    assert (result.exit_code, report["exit_code"]) == (code, code)
    assert r"odd\udcff" in report["error"]


def test_doctor(call, served):
    result = call("doctor", "--json", "--base-url", f"https://{ODD}", env=served.env)
    assert result.exit_code == 1
    assert not json.loads(result.stdout)["ok"]


def test_a_user_that_is_no_text(call, served, folder):
    result = call("push", "documents", "good.jsonl", "--no-journal", "--user-id", ODD, env=served.env)
    assert result.exit_code == 2
    assert "user" in result.stderr
    assert "surrogate" in result.stderr


def test_a_dead_letter_file_names_no_journal_that_it_can_not_name(call, served, folder):
    result = call("push", "documents", "bad.jsonl", "--journal", ODD, "--run-id", "a", "--dead-letter", "dead", env=served.env)
    assert result.exit_code == 1
    assert "so its path must be UTF-8" in " ".join(result.stderr.split())


def test_a_dead_letter_file_whose_journal_could_not_be_named(call, served, folder):
    call("push", "documents", "bad.jsonl", "--no-journal", "--dead-letter", "dead", env=served.env)
    os.rename("dead", ODD)
    result = call("replay", ODD, env=served.env)
    assert result.exit_code == 2
    assert "move or rename the file" in " ".join(result.stderr.split())
