"""`--on-end`: run whatever ended the run, with the report, and without a say in the exit code."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys

import pytest

from amili_arm_async.cli import on_end, runner
from amili_arm_async.cli.monitoring import RunMonitor
from amili_arm_async.sandbox import Fault

from .conftest import COMMAND, WAIT, wait_for, wait_until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a shell and signals of POSIX")

GOOD = '{"customerNo": "1", "name": "Kari"}\n'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.jsonl").write_text(GOOD)
    (tmp_path / "bad.jsonl").write_text(GOOD + "broken\n")
    return tmp_path


HOOK = 'cat > report.json; env > variables; echo "$AMILI_ARM_SUMMARY" > summary'


def told(folder):
    """The report that the command got, and its environment."""
    pairs = (line.partition("=") for line in (folder / "variables").read_text().splitlines())
    return json.loads((folder / "report.json").read_text()), {name: value for name, _, value in pairs}


@pytest.mark.parametrize(
    ("arguments", "code", "outcome", "error"),
    [
        (("push", "customers", "good.jsonl"), 0, "ok", None),
        (("push", "customers", "bad.jsonl"), 1, "failed", None),
        (("push", "customers", "nothing.jsonl"), 2, "usage_error", "nothing.jsonl can't be read"),
        (("push", "customers", "good.jsonl", "--base-url", "nonsense"), 2, "usage_error", "--base-url"),
        (("push", "customers", "good.jsonl", "--concurrency", "x"), 2, "usage_error", "--concurrency"),
        (("push",), 2, "usage_error", "KIND"),
        (("sync", "good.jsonl", "--state", "state.sqlite"), 0, "ok", None),
        (("nightly", "--customers", "bad.jsonl"), 1, "failed", None),
        (("nightly",), 2, "usage_error", "--customers"),
        (("reconcile", "journal"), 2, "usage_error", "no file journal"),
        (("replay", "dead"), 2, "usage_error", "no file dead"),
    ],
)
def test_it_is_run_whatever_ended_the_run(call, served, folder, arguments, code, outcome, error):
    result = call(*arguments, "--on-end", HOOK, env={**served.env, "AMILI_ARM_SYNC_AT_LEAST": "0"})
    assert result.exit_code == code, result.output
    report, variables = told(folder)
    assert (report["command"], report["outcome"], report["exit_code"], report["ok"]) == (arguments[0], outcome, code, not code)
    assert error is None or error in report["error"]
    assert (variables["AMILI_ARM_OUTCOME"], variables["AMILI_ARM_EXIT_CODE"]) == (outcome, str(code))
    assert variables["AMILI_ARM_COMMAND"] == arguments[0]
    assert variables["AMILI_ARM_SUMMARY"] == report["summary"] == (folder / "summary").read_text().strip()
    assert "Kari" not in (folder / "report.json").read_text()


@pytest.mark.parametrize("wrong", [(), ("--limit", "x"), ("--no-such-option",), ("--concurrency", "0"), ("another.jsonl",)])
def test_a_dry_run_tells_nobody_however_it_ends(call, served, folder, wrong):
    result = call("push", "customers", "good.jsonl", "--dry-run", "--on-end", HOOK, "--metrics", "run.prom", *wrong, env=served.env)
    assert result.exit_code == (2 if wrong else 0)
    assert {path.name for path in folder.iterdir()} == {"good.jsonl", "bad.jsonl"}


def test_it_gets_the_report_of_json(call, served, folder):
    result = call("push", "customers", "bad.jsonl", "--json", "--on-end", HOOK, env=served.env)
    printed, (report, _) = json.loads(result.stdout), told(folder)
    assert printed.items() <= report.items()
    assert report["summary"] == "amili-arm push (client 2218): failed, exit code 1; 1 succeeded, 1 invalid"


def test_it_stands_in_the_settings(call, served, folder):
    (folder / "amili-arm.toml").write_text("[push]\non_end = 'touch by-file'\n")
    assert call("push", "customers", "good.jsonl", env=served.env).exit_code == 0
    assert (folder / "by-file").exists()
    call("push", "customers", "good.jsonl", "--on-end", "", env={**served.env, "AMILI_ARM_PUSH_ON_END": "touch by-variable"})
    assert not (folder / "by-variable").exists()
    # Also where the command line is wrong, and where the settings are.
    (folder / "by-file").unlink()
    assert call("push", "customers", env=served.env).exit_code == 2
    assert (folder / "by-file").exists()
    (folder / "amili-arm.toml").write_text("[push]\nnonsense = 1\n")
    assert call("push", "customers", "good.jsonl", "--on-end", HOOK, env=served.env).exit_code == 2
    assert "nonsense" in told(folder)[0]["error"]


def test_help_runs_nothing(call, folder):
    assert call("push", "--on-end", "touch ran", "--help").exit_code == 0
    assert not (folder / "ran").exists()


@pytest.mark.parametrize(
    ("command", "line"),
    [("exit 3", "failed with exit code 3"), ("kill -9 $$", "killed by signal 9"), ("no-such-program", "failed with exit code 127")],
)
def test_its_failure_gives_one_line_and_no_exit_code(start, served, folder, command, line):
    process = start("push", "customers", "good.jsonl", "--json", "--on-end", f"echo to standard error; {command}", env=served.env)
    out, err = process.communicate(timeout=WAIT)
    assert process.returncode == 0
    assert json.loads(out)["ok"]
    assert b"to standard error\n" in err
    assert err.decode().count("--on-end") == 1
    assert line in err.decode()


@pytest.mark.parametrize("redirected", ["2>&-", "2> >(exec <&-; true)"])
def test_it_does_its_work_where_standard_error_is_gone(served, folder, redirected):
    words = [*COMMAND, "push", "customers", "good.jsonl", "--on-end", "echo one && echo two && touch done"]
    ran = subprocess.run(["bash", "-c", f"{shlex.join(words)} {redirected}"], env={**os.environ, **served.env}, timeout=WAIT, check=False)
    assert ran.returncode == 0
    assert (folder / "done").exists()


def test_what_takes_too_long_is_ended_with_its_children(folder, capsys):
    # Neither the shell nor its child goes at the first sign.
    command = "trap '' TERM; sh -c 'trap \"\" TERM; echo $$ > child; sleep 600' & sleep 600; sleep 600"
    on_end._AFTER_TERMINATE, before = 0.2, on_end._AFTER_TERMINATE
    try:
        on_end.run_on_end(command, b"{}", {}, most=1.0)
    finally:
        on_end._AFTER_TERMINATE = before
    assert capsys.readouterr().err == "amili-arm: --on-end: the command was stopped: it did not end within 1 s\n"
    wait_for(lambda: has_ended(int((folder / "child").read_text())))


def has_ended(pid):
    """A killed process may stay a while until init reads its end."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_a_large_report_that_nobody_reads(folder, capsys):
    on_end.run_on_end("exec <&-; true", b"x" * 1_000_000, {})
    assert capsys.readouterr().err == ""


def test_secrets_of_the_settings_are_not_in_its_environment(call, served, folder):
    env = dict(served.env)
    (folder / "secret").write_text(env.pop("AMILI_ARM_CLIENT_SECRET"))
    env["AMILI_ARM_CLIENT_SECRET_FILE"] = str(folder / "secret")
    call("push", "customers", "bad.jsonl", "--on-end", HOOK, env=env)
    for name in ("variables", "report.json"):
        assert "sandbox-secret" not in (folder / name).read_text()


@pytest.mark.proof
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_after_a_signal(start, served, folder, number):
    served.ask(lambda sandbox: sandbox.inject(Fault.hang_after(), times=None))
    process = start("push", "customers", "good.jsonl", "--grace", "0", "--on-end", HOOK, env=served.env)
    wait_until(served, lambda sandbox: sandbox.customers.total_taken)
    process.send_signal(number)
    process.communicate(timeout=WAIT)
    assert process.returncode == 128 + number
    report, variables = told(folder)
    assert (report["outcome"], variables["AMILI_ARM_EXIT_CODE"]) == ("interrupted", str(128 + number))


def open_pipe(path):
    """Opens it for writing, if somebody reads it."""
    try:
        return os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return None


def test_a_signal_before_the_work(start, served, folder):
    os.mkfifo(folder / "pipe")
    process = start("push", "customers", "pipe", "--on-end", HOOK, env=served.env)
    writer = wait_for(lambda: open_pipe(folder / "pipe"))
    process.terminate()
    _, err = process.communicate(timeout=WAIT)
    os.close(writer)
    assert process.returncode == 143, err
    assert b"--on-end" not in err
    assert told(folder)[0]["exit_code"] == 143


def test_a_signal_when_all_is_ready_for_the_work(call, served, folder, monkeypatch):
    monkeypatch.setattr(RunMonitor, "begin", lambda *_: signal.raise_signal(signal.SIGTERM))
    assert call("push", "customers", "good.jsonl", "--on-end", HOOK, env=served.env).exit_code == 143
    assert told(folder)[0]["outcome"] == "interrupted"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("arguments", [("push", "customers", "good.jsonl"), ("sync", "good.jsonl", "--state", "state.sqlite")])
def test_a_signal_while_the_report_is_printed(call, served, folder, monkeypatch, number, arguments):
    """The work went well, and the command did not."""
    monkeypatch.setattr(runner, "print_json", lambda _: signal.raise_signal(number))
    result = call(*arguments, "--json", "--on-end", HOOK, env={**served.env, "AMILI_ARM_SYNC_AT_LEAST": "0"})
    report, variables = told(folder)
    assert (report["ok"], report["outcome"], report["exit_code"]) == (False, "interrupted", 128 + number)
    assert variables["AMILI_ARM_EXIT_CODE"] == str(128 + number)
    assert result.exit_code == 128 + number


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_just_before_it_is_run(call, served, folder, monkeypatch, number):
    open_error = on_end._standard_error

    def opened_slowly():
        signal.raise_signal(number)
        return open_error()

    monkeypatch.setattr(on_end, "_standard_error", opened_slowly)
    assert call("push", "customers", "good.jsonl", "--on-end", HOOK, env=served.env).exit_code == 0
    assert told(folder)[0]["ok"]


@pytest.mark.proof
def test_ctrl_c_ends_it(start, served, folder):
    process = start("push", "customers", "good.jsonl", "--json", "--on-end", "touch began; sleep 600", env=served.env)
    wait_for((folder / "began").exists)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=WAIT)
    assert (process.returncode, json.loads(out)["ok"]) == (0, True)
    assert b"--on-end: the command was stopped by a signal" in err
