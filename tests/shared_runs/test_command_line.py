"""`amili-arm push --parts N --part K`, `status`, `reconcile` and `report` of a run in parts."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from amili_arm_async.sandbox import Fault, Sandbox

from ..support.postgres import Server
from ..support.sandbox_runs import plan
from .samples import DOCUMENTS, own


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "documents.jsonl"
    path.write_text("".join(json.dumps(document) + "\n" for document in [*DOCUMENTS, {"documentType": "IN", "customerNo": "1"}]))
    return path


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


# --- a night --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path, server: Sandbox) -> tuple[Path, Path]:
    server.reject_record("2", kind="customers")
    customers, documents = tmp_path / "customers.jsonl", tmp_path / "documents.jsonl"
    customers.write_text("".join(json.dumps({"customerNo": str(number), "name": "Kari"}) + "\n" for number in range(6)))
    documents.write_text(
        "".join(json.dumps({**document, "customerNo": str(number % 6)}) + "\n" for number, document in enumerate(DOCUMENTS))
    )
    return customers, documents


def nightly(call: Any, files: tuple[Path, Path], database: str, part: int, *more: object) -> Any:
    given = ("--customers", files[0], "--documents", files[1], "--journal", database, "--run-id", "2026-11-20")
    return call("nightly", *given, "--parts", 4, "--part", part, "--max-records", 5, *more)


def test_each_part_of_a_night(call: Any, files: tuple[Path, Path], database: str, server: Sandbox, tmp_path: Path) -> None:
    results = [nightly(call, files, database, part, "--json", "--html", tmp_path / f"{part}.html") for part in range(4)]
    reports = [json.loads(result.stdout) for result in results]
    assert [[part["name"] for part in report["parts"]] for report in reports] == [["customers", "documents"], *[["documents"]] * 3]
    assert [report["not_begun"] for report in reports] == [[]] * 4
    assert all(report["parts"][-1]["money"]["adds_up"] for report in reports)
    assert {report["parts"][-1]["read"] for report in reports} == {60}
    assert sum(report["parts"][-1]["counts"]["blocked"] for report in reports) == 10
    assert server.documents.total_taken == 50
    page = tmp_path / "report.html"
    made = call("report", database, "--run-id", "2026-11-20", "--html", page, "--json")
    report = json.loads(made.stdout)
    assert [part["counts"] for part in report["parts"]] == [{"succeeded": 5, "failed": 1}, {"succeeded": 50, "blocked": 10}]
    assert (report["error"], report["ok"]) == (None, False)
    assert "customers" in page.read_text("utf-8")
    assert "customers │ 5 succeeded, 1 failed" in _in_one_line(call("status", database).stdout)
    (night,) = json.loads(call("status", database, "--json").stdout)["nights"]
    assert (night["run_id"], night["sent"], night["running"], night["counts"]["failed"]) == ("2026-11-20", True, False, 1)
    assert night["base_url"] == server.base_url


def test_the_status_of_a_night_whose_customers_could_not_be_sent(
    call: Any, files: tuple[Path, Path], database: str, server: Sandbox
) -> None:
    plan(server, [Fault.status(403)] * 20, path="customers/batches")
    assert nightly(call, files, database, 0).exit_code == 1
    assert re.search(r"2026-11-20: customers .*the customers were not sent to their end \(", _in_one_line(call("status", database).stdout))
    assert call("status", database, "--client-no", 7).stdout == "The journal holds no run.\n"
    (night,) = json.loads(call("status", database, "--json").stdout)["nights"]
    assert (night["sent"], night["counts"], night["error"] is None) == (False, None, False)


def _in_one_line(text: str) -> str:
    return " ".join(text.split())


def test_a_night_in_parts_keeps_its_state_in_the_database(call: Any, files: tuple[Path, Path], database: str, tmp_path: Path) -> None:
    result = nightly(call, files, database, 1, "--state", tmp_path / "state.sqlite")
    assert (result.exit_code, "in PostgreSQL" in " ".join(result.stderr.split())) == (2, True)
    results = [nightly(call, files, database, part, "--state", database, "--json") for part in (0, 0, 1)]
    syncs = [json.loads(result.stdout)["parts"][0]["sync"] for result in results]
    assert [(sync["new"], sync["unchanged"], sync["failed"]) if sync is not None else None for sync in syncs] == [
        (5, 0, 1),
        (0, 5, 1),
        None,
    ]


@pytest.mark.parametrize("option", [["--limit", "5"], ["--dry-run"], ["--at-least-documents", "5"]])
def test_what_can_not_be_done_with_a_part_of_a_night(call: Any, files: tuple[Path, Path], database: str, option: list[str]) -> None:
    result = nightly(call, files, database, 1, *option)
    assert (result.exit_code, option[0] in result.stderr) == (2, True)


def test_what_is_pruned_of_a_night(call: Any, files: tuple[Path, Path], database: str, postgres: Server) -> None:
    said = [nightly(call, files, database, part).stderr for part in range(4)]
    assert ["customers: sent by another process" in one for one in said] == [False, True, True, True]
    tables = ("nights", "failed_customers", "reports")
    rows = f"SELECT {', '.join(f'(SELECT count(*) FROM amili_arm.{table})' for table in tables)}"
    assert postgres.execute(rows) == [(1, 1, 4)]
    assert call("prune", database, "--older-than-days", 0, "--run-id", "2026-11-20", "--with-failures").exit_code == 0
    assert postgres.execute(rows) == [(0, 0, 0)]
