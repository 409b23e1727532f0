"""The commands of a report as a shell reads them, whatever is in the names of files and in the options."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest
from typer.main import get_command

from amili_arm_async.cli.app import app
from amili_arm_async.cli.report_commands import Invocation, _given, _quoted

from ..support import report_samples as samples
from ..support.report_samples import counts, document, part, reason

pytestmark = pytest.mark.quick
BASH = shutil.which("bash")


@pytest.mark.skipif(BASH is None, reason="no bash is installed")
@pytest.mark.parametrize(
    "word", ["plain", "", "it's", "a b", "$(id)", "`id`", "-x", "new\nline", "tab\t", "\u202eright", "\udcff", "æ", "!x", "\\x41"]
)
def test_a_shell_reads_each_word_as_it_is(word) -> None:
    done = subprocess.run([str(BASH), "-c", f"printf %s {_quoted(word)}"], capture_output=True, check=True)
    assert done.stdout == word.encode("utf-8", "surrogateescape")


def of(*states_and_reasons, run_id="r", journal="night.sqlite", name="documents", **more):
    reasons = [reason(state, code, 1, ["1"]) for state, code in states_and_reasons]
    value = document(part(name, 1, counts=counts(failed=1), reasons=reasons, batches=1), ok=False, **more)
    letters = (("documents", "failed.jsonl"),)
    made = Invocation("/srv", ("amili-arm",), ("nightly", "--x"), ("--client-no", "1"), journal, run_id, letters)
    return made.add_to(samples.read(value))


@pytest.mark.parametrize(
    ("state", "code", "command"),
    [
        ("unknown", "502", "amili-arm reconcile night.sqlite --run-id r --client-no 1"),
        ("unknown", "absent", "amili-arm reconcile night.sqlite --run-id r --resend-absent --client-no 1"),
        ("unknown", "sent_in_run", "amili-arm reconcile night.sqlite --client-no 1"),
        ("unknown", "stale_journal", "amili-arm nightly --x"),
        ("accepted", "deadline", "amili-arm reconcile night.sqlite --run-id r --client-no 1"),
        ("failed", "FAILED", "amili-arm nightly --x"),
        ("not_sent", "patience", "amili-arm nightly --x"),
        ("blocked", "customer_failed", "amili-arm nightly --x"),
    ],
)
def test_the_command_of_each_reason(state, code, command) -> None:
    schema = of((state, code))
    assert schema.parts[0].reasons[0].command == f"cd /srv && {command}"
    assert f"cd /srv && {command}" in [one.command for one in schema.commands]


@pytest.mark.parametrize("code", ["batch_taken", "key_conflict"])
def test_what_no_command_settles_has_none(code) -> None:
    schema = of(("unknown", code))
    assert schema.parts[0].reasons[0].command is None
    assert schema.commands == []


def test_an_unknown_customer_is_sent_again() -> None:
    assert of(("unknown", "502"), name="customers").parts[0].reasons[0].command == "cd /srv && amili-arm nightly --x"


def test_without_a_journal_no_command_sends_documents_twice() -> None:
    schema = of(("failed", "FAILED"), ("unknown", "502"), journal=None, run_id=None)
    assert [one.command for one in schema.parts[0].reasons] == ["cd /srv && amili-arm replay failed.jsonl --client-no 1"] * 2
    assert {one.does for one in schema.commands} == {"replay"}


@pytest.mark.parametrize(("journal", "does"), [("night.sqlite", {"run again"}), (None, {"replay"})])
def test_blocked_documents_are_replayed_only_where_the_night_can_not_be_run_again(journal, does) -> None:
    assert {one.does for one in of(("blocked", "customer_failed"), journal=journal).commands} == does


def test_options_are_given_as_on_the_command_line_without_secrets(monkeypatch) -> None:
    monkeypatch.chdir(Path(__file__).parent)
    night = get_command(app).commands["nightly"]
    words = "--customers https://me:pass@host/x.csv?sig=1 --documents d.csv --no-journal --full --format csv"
    words += " --set-customers a=b --set-customers c=d"
    context = night.make_context("nightly", [*words.split(), "--on-end", "curl secret"], resilient_parsing=False)
    given = list(_given(context))
    assert "pass" not in " ".join(given)
    assert "sig" not in " ".join(given)
    assert "secret" not in " ".join(given)
    for pair in (["--documents", "d.csv"], ["--set-customers", "a=b"], ["--set-customers", "c=d"], ["--format", "csv"]):
        assert any(given[at : at + 2] == pair for at in range(len(given)))
    assert {"--no-journal", "--full"} <= set(given)
    assert msgspec.json.encode(given)
