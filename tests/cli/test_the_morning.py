"""The morning after a night with failures, from its reports alone: every command on the page is run as it stands."""

from __future__ import annotations

import html
import json
import os
import re
import shlex
import subprocess
import sys

import pytest

from amili_arm_async.nightly.report import read_report
from amili_arm_async.sandbox import Fault

from .conftest import ROOT, WAIT

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the commands are for a POSIX shell")

COMMAND = re.compile(r'<pre tabindex="0"><code>(.*?)</code></pre>', re.DOTALL)


def customers(*numbers):
    return "".join(json.dumps({"customerNo": str(number), "name": "Kari"}) + "\n" for number in numbers)


def invoice(number, owner, amount="10.10", **more):
    record = {"documentNo": number, "documentType": "IN", "customerNo": str(owner), "currency": "NOK", **more}
    return json.dumps(record)[:-1] + f', "currencyAmounts": {{"inclVat": {amount}}}}}\n'


class Shell:
    """A shell as a person has it in the morning: in another folder, with the settings of the night in its environment."""

    def __init__(self, folder, env) -> None:
        program = folder / "bin" / "amili-arm"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m amili_arm_async.cli "$@"\n')
        program.chmod(0o755)
        self.env = {**os.environ, **env, "PATH": f"{program.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
        self.folder = folder

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["/bin/sh", "-c", command], cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=4 * WAIT, check=False
        )
        assert "Traceback" not in done.stderr
        return done


@pytest.fixture
def shell(served, tmp_path) -> Shell:
    return Shell(tmp_path, served.env)


@pytest.fixture
def folder(tmp_path):
    """The folder of the night; a shell has to quote its name."""
    made = tmp_path / "Kari's night & day"
    made.mkdir()
    return made


NIGHT = (
    "amili-arm nightly --customers customers.jsonl --documents invoices.jsonl --state state.sqlite"
    " --dead-letter-documents documents.failed.jsonl --deadline 2 --max-records 2 --concurrency 1"
    " --report night.json --html night.html --failures failures.csv"
)


RESUMABLE = ("--journal", "night.sqlite", "--run-id", "'2026-11-20 a'")


def on_the_page(folder) -> list[str]:
    """The commands of the page, in their order, each once."""
    found = COMMAND.findall((folder / "night.html").read_text("utf-8"))
    return list(dict.fromkeys(html.unescape(re.sub("<[^>]*>", "", command)) for command in found))


def report_of(folder):
    return read_report((folder / "night.json").read_bytes())


def failed(folder):
    return {(part.name, reason.state, reason.cause): reason.count for part in report_of(folder).parts for reason in part.reasons}


def accept_all(sandbox) -> None:
    """From now on nothing is rejected."""
    sandbox._ledger().rejects.clear()


def night(folder, *more: str) -> str:
    return f"cd {shlex.quote(str(folder))} && {NIGHT} {' '.join(more)}"


def test_every_command_of_the_page_settles_what_it_says(served, shell, folder) -> None:
    served.ask(lambda sandbox: sandbox.reject_record("2", kind="customers"))
    served.ask(lambda sandbox: sandbox.reject_record("D5", "Kari owes too much", kind="documents"))
    # The first batch of documents is accepted, and its answer is lost.
    served.ask(lambda sandbox: sandbox.inject(Fault.reset_after(), method="POST", path="documents/batches"))
    (folder / "customers.jsonl").write_text(customers(1, 2))
    good = invoice("D1", 1) + invoice("D2", 1) + invoice("D3", 2) + invoice("D4", 99) + invoice("D5", 1, "20.00")
    (folder / "invoices.jsonl").write_text(good + invoice("D1", 1))

    done = shell.run(night(folder, *RESUMABLE, "--on-end", "'true https://hooks.example.no/secret-of-the-hook'"))
    assert done.returncode == 1
    assert failed(folder) == {
        ("customers", "failed", ""): 1,
        ("documents", "unknown", ""): 2,
        ("documents", "failed", "no_such_customer"): 1,
        ("documents", "failed", ""): 1,
        ("documents", "blocked", ""): 1,
        ("documents", "invalid", ""): 1,
    }
    page = (folder / "night.html").read_text("utf-8")
    for said in ("no such customer", "two documents in the source have this number", "Fix line 6 of", "its customer did not succeed"):
        assert said in page
    assert "Kari owes" not in page
    assert "secret-of-the-hook" not in page + (folder / "night.json").read_text("utf-8")
    report = report_of(folder)
    at_risk = [(one.state, one.currency, one.count, one.total) for one in report.money_at_risk]
    assert at_risk == [
        ("unknown", "NOK", 2, "20.20"),
        ("failed", "NOK", 2, "30.10"),
        ("invalid", "NOK", 1, "10.10"),
        ("blocked", "NOK", 1, "10.10"),
    ]
    assert [(one.part, one.line, one.key, one.state) for one in report.first_failures][:2] == [
        ("customers", 2, "2", "failed"),
        ("documents", 1, "D1", "unknown"),
    ]
    assert report.files["documents"] == str(folder / "invoices.jsonl")
    assert [command.does for command in report.commands] == ["reconcile", "run again", "replay"]
    reconcile, again, replay = on_the_page(folder)
    assert (reconcile, again, replay) == tuple(command.command for command in report.commands)
    # The terminal ends with the same.
    end = done.stderr[done.stderr.index("money at risk: 6 documents, 70.50 NOK") :]
    assert [line.strip() for line in end.splitlines() if line.startswith("    cd ")] == [reconcile, again, replay]
    assert end.splitlines()[-1] == "amili-arm: reports: night.json, night.html, failures.csv"

    assert shell.run(reconcile).returncode == 0
    served.ask(accept_all)
    (folder / "customers.jsonl").write_text(customers(1, 2, 99))
    (folder / "invoices.jsonl").write_text(good)
    assert shell.run(again).returncode == 0
    assert report_of(folder).ok
    assert report_of(folder).money_at_risk == []
    assert on_the_page(folder) == []
    assert "no document failed, and none is in doubt" in (folder / "night.html").read_text("utf-8")
    assert [served.ask(lambda sandbox, number=number: sandbox.documents.delivered(f"D{number}")) for number in (1, 2, 3)] == [1, 1, 1]


@pytest.fixture
def run_here(served, call, monkeypatch):
    """Runs a command of a report as a shell would, in this process."""

    def run(command: str) -> int:
        folder, words = re.fullmatch("cd (.*?) && amili-arm (.*)", command).groups()
        monkeypatch.chdir(*shlex.split(folder))
        return call(*shlex.split(words), env=served.env).exit_code

    return run


def test_without_a_journal_the_dead_letter_is_replayed_and_the_night_is_not_run_again(served, run_here, folder) -> None:
    served.ask(lambda sandbox: sandbox.reject_record("D2", kind="documents"))
    (folder / "customers.jsonl").write_text(customers(1))
    (folder / "invoices.jsonl").write_text(invoice("D1", 1) + invoice("D2", 1))
    assert run_here(night(folder, "--no-journal")) == 1
    (replay,) = on_the_page(folder)
    assert replay.endswith("replay documents.failed.jsonl")
    served.ask(accept_all)
    assert run_here(replay) == 0
    assert served.ask(lambda sandbox: (sandbox.documents.delivered("D1"), sandbox.documents.delivered("D2"))) == (1, 2)


def test_a_night_that_could_not_go_on_names_its_cause_and_the_command_that_goes_on(served, run_here, folder) -> None:
    served.ask(lambda sandbox: sandbox.inject(Fault.status(403), path="customers", times=None))
    (folder / "customers.jsonl").write_text(customers(1))
    (folder / "invoices.jsonl").write_text(invoice("D1", 1))
    assert run_here(night(folder, *RESUMABLE)) == 1
    (again,) = on_the_page(folder)
    assert "Documents were not started" in (folder / "night.html").read_text("utf-8")
    served.ask(lambda sandbox: sandbox.clear_faults())
    assert run_here(again) == 0
    assert report_of(folder).ok
