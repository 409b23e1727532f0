"""`--metrics`: a file that the node exporter reads, during the run and at its end."""

from __future__ import annotations

import json
import os
import signal
import sys

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

from amili_arm_async.cli.metrics import FAMILIES, MetricsFile, RunNumbers
from amili_arm_async.sandbox import Fault

from .conftest import WAIT, wait_for, wait_until

CUSTOMER = '{"customerNo": "%d", "name": "Kari Nordmann"}\n'
DOCUMENT = (
    '{"documentNo": "%d", "customerNo": "%d", "documentDate": "2026-11-01", "dueDate": "2026-12-01", "documentType": "IN",'
    ' "currency": "%s", "currencyAmounts": {"inclVat": 100.50}}\n'
)
LAST = "amili_arm_last_success_timestamp_seconds"


def read(path):
    """The samples by name and labels; both parsers read the file."""
    text = path.read_text()
    families = list(prometheus(text))
    assert {family.name for family in open_metrics(text)} == {family.name for family in families} <= set(FAMILIES)
    assert all(family.type == "gauge" and family.documentation for family in families)
    return {(sample.name, *sorted(sample.labels.items())): sample.value for family in families for sample in family.samples}


def value(found, name, **labels):
    return found[name, *sorted({"client_no": "2218", **labels}.items())]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.jsonl").write_text(CUSTOMER % 1)
    (tmp_path / "bad.jsonl").write_text(CUSTOMER % 1 + "broken\n")
    return tmp_path


def test_a_night(call, served, folder):
    (folder / "customers.jsonl").write_text(CUSTOMER % 1 + CUSTOMER % 2 + "broken\n")
    (folder / "documents.jsonl").write_text("".join(DOCUMENT % (n, n, "NOK" if n < 3 else "EUR") for n in (1, 2, 3, 4)) + "broken\n")
    before = os.umask(0o077)
    try:
        files = ("--customers", "customers.jsonl", "--documents", "documents.jsonl", "--no-journal")
        result = call("nightly", *files, "--metrics", "m.prom", env=served.env)
    finally:
        os.umask(before)
    assert result.exit_code == 1
    found = read(folder / "m.prom")
    of_run, customers, documents = (
        {"command": "nightly"},
        {"command": "nightly", "kind": "customers"},
        {"command": "nightly", "kind": "documents"},
    )
    assert value(found, "amili_arm_run_exit_code", **of_run) == 1
    assert value(found, "amili_arm_run_in_progress", **of_run) == 0
    assert value(found, "amili_arm_run_records", state="succeeded", **customers) == 2
    assert value(found, "amili_arm_run_records", state="invalid", **customers) == 1
    assert value(found, "amili_arm_run_read_records", **documents) == 5
    assert value(found, "amili_arm_unknown_records", **documents) == 0
    assert value(found, "amili_arm_run_money_at_risk", state="unknown", currency="NOK", **documents) == 0
    assert value(found, "amili_arm_run_end_timestamp_seconds", **of_run) >= value(found, "amili_arm_run_start_timestamp_seconds", **of_run)
    assert all(name != LAST for name, *_ in found)
    if sys.platform != "win32":
        assert (folder / "m.prom").stat().st_mode & 0o777 == 0o644
    assert [path.name for path in folder.glob("m.prom*")] == ["m.prom"]
    assert "Kari" not in (folder / "m.prom").read_text()


def test_the_last_success_stays_when_a_run_fails(call, served, folder):
    def push(file, **labels):
        call("push", "customers", file, "--metrics", "m.prom", env=served.env)
        return read(folder / "m.prom")

    success = value(push("good.jsonl"), LAST, command="push")
    failed = push("bad.jsonl")
    assert value(failed, LAST, command="push") == success
    assert value(failed, "amili_arm_run_exit_code", command="push") == 1
    refused = push("nothing.jsonl")
    assert value(refused, LAST, command="push") == success
    assert value(refused, "amili_arm_run_exit_code", command="push") == 2
    # How many are unknown is not settled by a run that did not begin; what it sent is none of its own.
    assert value(refused, "amili_arm_unknown_records", command="push", kind="customers") == 0
    assert all(name != "amili_arm_run_records" for name, *_ in refused)
    assert value(push("good.jsonl"), LAST, command="push") > success


def test_what_the_file_says_of_others_stays(call, served, folder):
    call("push", "customers", "good.jsonl", "--metrics", "m.prom", env=served.env)
    call("push", "customers", "bad.jsonl", "--metrics", "m.prom", env={**served.env, "AMILI_ARM_CLIENT_NO": "7"})
    # A run that ended before its client number was known leaves nothing that stays.
    call("push", "customers", "bad.jsonl", "--metrics", "m.prom")
    call("sync", "good.jsonl", "--state", "s.sqlite", "--at-least", "0", "--metrics", "m.prom", env=served.env)
    call("push", "customers", "good.jsonl", "--metrics", "m.prom", env=served.env)
    found = read(folder / "m.prom")
    assert value(found, "amili_arm_run_exit_code", command="push") == 0
    assert value(found, "amili_arm_run_exit_code", command="push", client_no="7") == 1
    assert value(found, "amili_arm_run_exit_code", command="sync") == 0
    assert {dict(labels)["client_no"] for _, *labels in found} == {"2218", "7"}


def test_during_the_run_and_after_a_kill(start, served, folder):
    served.ask(lambda sandbox: sandbox.inject(Fault.hang_after(), times=None))
    process = start("push", "customers", "good.jsonl", "--grace", "0", "--metrics", "m.prom", env=served.env)
    wait_until(served, lambda sandbox: sandbox.customers.total_taken)
    wait_for((folder / "m.prom").exists)
    found = read(folder / "m.prom")
    assert value(found, "amili_arm_run_in_progress", command="push") == 1
    assert not {"amili_arm_run_exit_code", "amili_arm_run_end_timestamp_seconds", LAST} & {name for name, *_ in found}
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=WAIT)


@pytest.mark.skipif(sys.platform == "win32" or not os.geteuid(), reason="root may write everywhere")
def test_a_folder_that_is_closed(call, served, folder):
    (folder / "closed").mkdir(mode=0o500)
    check_unwritable(call, served, "closed/m.prom")


@pytest.mark.parametrize("path", ["nowhere/m.prom", ".", "/dev/full/m.prom", "good.jsonl/m.prom"])
def test_a_file_that_cannot_be_written_is_one_line(call, served, folder, path):
    check_unwritable(call, served, path)


def check_unwritable(call, served, path):
    result = call("push", "customers", "good.jsonl", "--json", "--metrics", path, env=served.env)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["counts"]["succeeded"] == 1
    assert result.stderr.count("--metrics") == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with a name")
def test_a_pipe_is_neither_waited_for_nor_replaced(call, served, folder):
    os.mkfifo("pipe")
    (folder / "link").symlink_to("pipe")
    for path in ("pipe", "link"):
        check_unwritable(call, served, path)
    assert (folder / "pipe").is_fifo()


def test_another_file_is_never_replaced(call, served, folder):
    (folder / "other").write_text("something else\n")
    result = call("push", "customers", "good.jsonl", "--metrics", "other", env=served.env)
    assert (result.exit_code, (folder / "other").read_text()) == (0, "something else\n")
    assert "no file of metrics" in result.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="links")
def test_a_link_that_is_not_followed_is_one_line(call, served, folder):
    (folder / "open").mkdir()
    (folder / "open").chmod(0o777)
    (folder / "open" / "m.prom").symlink_to("elsewhere")
    os.chown(folder / "open", 12345, -1, follow_symlinks=False) if not os.geteuid() else pytest.skip("only root gives files away")
    check_unwritable(call, served, "open/m.prom")


@pytest.mark.parametrize("option", ["--journal", "--dead-letter", "FILE"])
def test_it_is_no_other_file_of_the_job(call, served, folder, option):
    given = [option, "same"] if option != "FILE" else []
    if not given:
        (folder / "same").write_text(CUSTOMER % 1)
    result = call("push", "customers", "same" if not given else "good.jsonl", *given, "--metrics", "same", env=served.env)
    assert result.exit_code == 2
    assert "--metrics (same)" in result.stderr
    assert not given or not (folder / "same").exists()
    assert served.ask(lambda sandbox: sandbox.customers.total_taken) == 0


def test_it_stands_in_the_settings(call, served, folder, monkeypatch):
    monkeypatch.setenv("TEXTFILES", str(folder))
    (folder / "amili-arm.toml").write_text('[push]\nmetrics = "$TEXTFILES/m.prom"\n')
    assert call("push", "customers", "good.jsonl", env=served.env).exit_code == 0
    assert value(read(folder / "m.prom"), LAST, command="push") > 0
    assert call("push", "customers", env=served.env).exit_code == 2
    assert read(folder / "m.prom")["amili_arm_run_exit_code", ("client_no", ""), ("command", "push")] == 2


@pytest.mark.parametrize("text", ["", '# HELP amili_arm_x y.\n\x00\xff garbage {\namili_arm_run_exit_code{command="push"} NaNa\n'])
def test_a_broken_former_file_is_replaced(folder, text):
    (folder / "m.prom").write_text(text)
    file = MetricsFile("m.prom", "push")
    file.write(file.text([RunNumbers(2218, 1.0, 2.0, 0, 0.0, 0, {}, None)]))
    assert value(read(folder / "m.prom"), LAST, command="push") == 2.0
