"""`amili-arm push --parts N --part K`, `status`, `reconcile` and `report` of a run in parts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from amili_arm_async.cli.app import app
from amili_arm_async.sandbox import Sandbox

from .samples import DOCUMENTS, own


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "documents.jsonl"
    path.write_text("".join(json.dumps(document) + "\n" for document in [*DOCUMENTS, {"documentType": "IN", "customerNo": "1"}]))
    return path


@pytest.fixture
def call(server: Sandbox) -> Any:
    environment = {"AMILI_ARM_BASE_URL": server.base_url, "AMILI_ARM_TOKEN": server.token, "AMILI_ARM_CLIENT_NO": "2218"}

    def call(*arguments: object) -> Any:
        return CliRunner().invoke(app, list(map(str, arguments)), env=environment)

    return call


def pushed(call: Any, file: Path, database: str, part: int, *more: str) -> Any:
    journal = ("--journal", database, "--run-id", "2026-11-20")
    return call("push", "documents", file, *journal, "--parts", 4, "--part", part, "--max-records", 5, "--json", *more)


def test_each_part_is_pushed_from_the_whole_file(call: Any, file: Path, database: str, server: Sandbox, tmp_path: Path) -> None:
    results = [pushed(call, file, database, part) for part in range(4)]
    assert [result.exit_code for result in results] == [1, 0, 0, 0], results[1].output
    reports = [json.loads(result.stdout) for result in results]
    assert [report["counts"]["succeeded"] for report in reports] == [len(own(part)) for part in range(4)]
    assert [report["counts"]["other_part"] for report in reports] == [61 - len(own(part)) - (part == 0) for part in range(4)]
    assert {report["records"] for report in reports} == {61}
    assert server.documents.total_taken == 60
    said = call("status", database)
    assert "4 of 4 done" in said.stdout
    assert "60" in said.stdout
    runs = json.loads(call("status", database, "--json").stdout)["runs"]
    assert sorted(run["shared_run"]["part"] for run in runs) == [0, 1, 2, 3]
    page, csv = tmp_path / "report.html", tmp_path / "failures.csv"
    made = call("report", database, "--run-id", "2026-11-20", "--html", page, "--csv", csv, "--json")
    assert made.exit_code == 0, made.output
    report = json.loads(made.stdout)
    assert report["parts"][0]["counts"] == {"succeeded": 60, "invalid": 1}
    assert report["run_id"] == "2026-11-20"
    assert "2026-11-20" in page.read_text("utf-8")
    assert "no_document_no" in csv.read_text("utf-8-sig")


def test_a_part_that_is_pushed_again_sends_nothing(call: Any, file: Path, database: str, server: Sandbox) -> None:
    for _ in range(2):
        result = pushed(call, file, database, 1)
    assert json.loads(result.stdout)["counts"]["done_before"] == len(own(1)) == server.documents.total_taken
    assert "1 of 4 done, 3 not begun" in call("status", database).stdout
    missing = json.loads(call("report", database, "--run-id", "2026-11-20", "--json").stdout)
    assert missing["error"] == "1 of 4 parts are done; not done: 0, 2, 3"


def test_reconcile_takes_the_name_of_the_whole_run(call: Any, file: Path, database: str) -> None:
    pushed(call, file, database, 1)
    result = call("reconcile", database, "--run-id", "2026-11-20", "--json")
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--parts", "4"], "belong together"),
        (["--part", "4"], "belong together"),
        (["--parts", "4", "--part", "4"], "--part must be from 0 to 3"),
        (["--parts", "4", "--part", "1", "--limit", "5"], "--limit"),
        (["--parts", "4", "--part", "1", "--dry-run"], "--dry-run"),
        (["--parts", "4", "--part", "1", "--at-least", "5"], "--at-least"),
        (["--parts", "8", "--part", "1"], "begun with 4 parts"),
    ],
)
def test_wrong_use(call: Any, file: Path, database: str, more: list[str], said: str) -> None:
    if said.startswith("begun"):
        pushed(call, file, database, 1)
    result = call("push", "documents", file, "--journal", database, "--run-id", "2026-11-20", *more)
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())


def test_parts_need_a_database(call: Any, file: Path, tmp_path: Path) -> None:
    journal = ("--journal", tmp_path / "nightly.sqlite", "--run-id", "2026-11-20")
    result = call("push", "documents", file, *journal, "--parts", 4, "--part", 1)
    assert (result.exit_code, "PostgreSQL" in result.stderr) == (2, True)
    result = call("push", "customers", file, *journal, "--parts", 4, "--part", 1)
    assert (result.exit_code, "one process" in result.stderr) == (2, True)


def test_a_report_of_no_such_run(call: Any, file: Path, database: str) -> None:
    pushed(call, file, database, 1, "--results", "accepted")
    result = call("report", database, "--run-id", "2026-11-21", "--json")
    assert (result.exit_code, "no run '2026-11-21' in parts" in " ".join(result.stderr.split())) == (1, True)
    result = call("report", database, "--json")
    assert (result.exit_code, "--run-id" in result.stderr) == (2, True)
