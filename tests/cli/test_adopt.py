"""A journal that was moved or put back from a copy, on the command line: what status, push, replay and adopt say of it and do."""

from __future__ import annotations

import json
import shutil

import pytest

from .test_nightly import invoices


@pytest.fixture
def files(tmp_path):
    (tmp_path / "half").write_text("".join(invoices(*[1] * 40).splitlines(keepends=True)[:20]))
    (tmp_path / "documents").write_text(invoices(*[1] * 40))
    return tmp_path


@pytest.fixture
def push(call, served, files):
    served.ask(lambda sandbox: sandbox.customers.seed([{"customerNo": "1", "name": "Kari"}]))

    def run(source, journal, *more):
        given = ["--journal", files / journal, "--run-id", "monday", *more]
        return call("push", "documents", files / source, *given, env=served.env)

    return run


def said(result):
    return " ".join(result.stderr.split())


def test_a_copy_is_stale_until_it_is_adopted(push, call, served, files):
    assert push("half", "journal").exit_code == 0
    shutil.copy(files / "journal", files / "copy")
    assert push("documents", "journal").exit_code == 0

    status = call("status", files / "copy")
    assert status.exit_code == 0
    assert "this journal is stale: documents were sent with it, and it has no -mark file beside it" in said(status)
    assert "amili-arm adopt" in said(status)
    assert json.loads(call("status", files / "copy", "--json").stdout)["stale"]

    result = push("documents", "copy", "--json")
    told = json.loads(result.stdout)
    assert (result.exit_code, told["ok"], told["stale_journal"]) == (0, True, True)
    assert {state: number for state, number in told["counts"].items() if number} == {"done_before": 40}
    assert "the journal is stale" in said(push("documents", "copy"))
    assert served.ask(lambda sandbox: sandbox.documents.total_taken) == 40

    adopted = call("adopt", files / "copy")
    assert adopted.exit_code == 0
    assert "It was stale" in adopted.stdout
    assert "nothing was changed" in call("adopt", files / "copy").stdout
    assert json.loads(call("status", files / "copy", "--json").stdout)["stale"] is None
    assert json.loads(push("documents", "copy", "--json").stdout)["stale_journal"] is False


def test_what_can_not_be_decided_is_named_with_both_remedies(push, served, files):
    assert push("half", "journal").exit_code == 0
    (files / "journal").unlink()
    result = push("documents", "journal")
    assert result.exit_code == 1
    assert "unknown (stale_journal)" in said(result)
    assert "run again with the same run id after 20" in said(result)
    assert "amili-arm adopt" in said(result)
    assert served.ask(lambda sandbox: sandbox.documents.total_taken) == 20


def test_replay_sends_nothing_of_a_stale_journal_that_was_not_looked_up(push, call, served, files):
    served.ask(lambda sandbox: sandbox.reject_record("D7"))
    assert push("documents", "journal", "--dead-letter", files / "letter").exit_code == 1
    shutil.copy(files / "journal", files / "old")
    shutil.copy(files / "letter", files / "old-letter")
    call("replay", files / "letter", env=served.env)
    taken = served.ask(lambda sandbox: sandbox.documents.taken("D7"))
    (files / "journal").write_bytes((files / "old").read_bytes())
    result = call("replay", files / "old-letter", env=served.env)
    assert result.exit_code == 1
    assert "stale_journal" in said(result)
    assert served.ask(lambda sandbox: sandbox.documents.taken("D7")) == taken


def test_what_was_not_looked_up_stays_in_the_journal_while_a_replay_sends_other_lines(push, call, served, files):
    served.ask(lambda sandbox: [sandbox.reject_record(f"D{number}") for number in (7, 8)])
    assert push("documents", "journal", "--dead-letter", files / "letter").exit_code == 1
    served.ask(lambda sandbox: sandbox._ledger().rejects.clear())
    (files / "journal-mark").unlink()
    assert call("replay", files / "letter", env=served.env).exit_code == 1
    call("adopt", files / "journal")
    lines = (files / "letter").read_text().splitlines(keepends=True)
    for line, left in zip(lines, ({"unknown": 1}, {}), strict=True):
        (files / "letter").write_text(line)
        assert call("replay", files / "letter", env=served.env).exit_code == 0
        (run,) = json.loads(call("status", files / "journal", "--json").stdout)["runs"]
        assert {state: number for state, number in run["counts"].items() if number} == {"succeeded": 40 - len(left), **left}


def test_a_journal_that_is_not_there(call, tmp_path):
    assert call("adopt", tmp_path / "none").exit_code == 2
