"""`reconcile` says until when it waits and why, ends cleanly on Ctrl-C, and goes on with the wait when it is started again."""

from __future__ import annotations

import os
import re
import signal
import sys
from datetime import timedelta

import pytest

from amili_arm_async.bulk.report import SettleWait
from amili_arm_async.cli.settling import waiting_line, waiting_lines
from amili_arm_async.sandbox import Fault

from .conftest import WAIT
from .test_process import read_terminal

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals and terminals of POSIX")
UNTIL = re.compile(r"looked up at (\d\d:\d\d:\d\d)")


@pytest.fixture
def served(serve):
    return serve(require_customers=False)


@pytest.fixture
def journal(served, call, tmp_path):
    """A journal of a run in which it is not known of two documents whether they were accepted."""
    served.ask(lambda sandbox: sandbox.inject(Fault.reset_after(), method="POST", path="documents/batches"))
    source, journal = tmp_path / "invoices.jsonl", tmp_path / "night.sqlite"
    source.write_text("".join(f'{{"documentNo": "D{number}", "documentType": "IN", "customerNo": "1"}}\n' for number in (1, 2)))
    result = call("push", "documents", source, "--journal", journal, "--run-id", "november", env=served.env)
    assert result.exit_code == 1
    return journal


def until(said: str) -> timedelta:
    found = UNTIL.search(said)
    assert found is not None, said
    hours, minutes, seconds = map(int, found[1].split(":"))
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)


@posix
def test_it_says_until_when_and_why_and_goes_on_with_the_wait(start, served, journal):
    said = []
    for _ in range(2):
        process = start("reconcile", journal, env=served.env)
        line = process.stderr.readline().decode()
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=WAIT)
        assert process.returncode == 130
        assert b"Traceback" not in rest
        assert b"interrupted" in rest
        said.append(line)
    for words in (
        "2 documents of run november are looked up at",
        "1 h 6 min after sending",
        "--settle",
        "counted from when they were sent",
    ):
        assert words in said[0]
    assert (until(said[1]) - until(said[0])) % timedelta(days=1) < timedelta(seconds=30)


@posix
def test_a_terminal_shows_a_countdown(start, served, journal):
    ours, theirs = os.openpty()
    process = start("reconcile", journal, env={**served.env, "COLUMNS": "80", "TERM": "xterm"}, stderr=theirs)
    os.close(theirs)
    shown = b""
    while b"the same command continues" not in shown:
        shown += os.read(ours, 65536)
    process.send_signal(signal.SIGINT)
    read_terminal(ours)
    os.close(ours)
    assert process.wait(WAIT) == 130
    assert re.search(rb"1:0[56]:\d\d left: 2 documents of run november are looked up at \d\d:\d\d:\d\d", shown)


def test_settle_0_looks_at_once(call, served, journal):
    result = call("reconcile", journal, "--settle", 0, env=served.env)
    assert result.exit_code == 0
    assert "looked up at" not in result.stderr


def wait(*clocks, cause="counted from when they were sent", documents=2):
    return SettleWait("november", documents, 1_780_000_000.0, 3500.0, 3960.0, clocks, cause)


def test_with_fewer_than_two_clocks_it_says_what_a_person_can_do() -> None:
    few = wait(
        "the clock of this machine", cause="fewer than two clocks can tell when they were sent, so the full time is waited from now on"
    )
    for text in (waiting_line(few), waiting_lines(few)):
        assert "ewer than two clocks can tell when they were sent" in text
        assert "If you know that the time has passed, --settle 0 looks at once" in text
    assert "1 document of run november is looked up" in waiting_line(wait("a", "b", documents=1))


def test_the_lines_fit_a_terminal() -> None:
    for one in (wait("the clock of this machine", "its boot clock", "the clock of the service"), wait("the clock of this machine")):
        assert max(map(len, waiting_lines(one).splitlines())) <= 78
