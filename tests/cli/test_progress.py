"""Progress: a bar with states and the time left on a terminal, a line of JSON for each batch elsewhere, and nothing where that is asked."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import types
from datetime import datetime

import pytest
from rich.console import Console

from amili_arm_async import clock
from amili_arm_async.bulk.outcomes import STATES, BatchOutcome, Outcome
from amili_arm_async.bulk.report import Progress, Totals
from amili_arm_async.cli import progress
from amili_arm_async.cli.progress import Rate
from amili_arm_async.cli.runner import BatchLines, on_progress
from amili_arm_async.sandbox import Fault

from .conftest import WAIT, wait_until
from .test_process import read_terminal

posix = pytest.mark.skipif(sys.platform == "win32", reason="terminals of POSIX")
NAME = "Kari Nordmann"


def customers(first, last):
    return b"".join(json.dumps({"customerNo": f"key{number}", "name": NAME}).encode() + b"\n" for number in range(first, last + 1))


def lines_of(err):
    """The lines of JSON, and the others."""
    lines = err.decode().splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")], [line for line in lines if not line.startswith("{")]


# --- in a pipe --------------------------------------------------------------------------------------------------------------------


def test_a_line_for_each_batch(start, served):
    served.ask(lambda sandbox: sandbox.inject(Fault.status(400), path="customers/batches", times=1, skip=1))
    process = start(
        "push", "customers", "-", "--results", "accepted", "--max-records", 10, "--concurrency", 1, "--bisect", "off", "--json",
        env=served.env, stdin=subprocess.PIPE,
    )  # fmt: skip
    out, err = process.communicate(customers(1, 15) + b"broken\n" + customers(16, 30), timeout=WAIT)
    assert process.returncode == 1
    told = json.loads(out)
    lines, others = lines_of(err)
    assert [(line["event"], line["task"], line["batch"], line["records"]) for line in lines] == [
        ("batch", "create customers", 1, 10),
        ("batch", "create customers", 2, 10),
        ("batch", "create customers", 3, 10),
    ]
    assert [line["counts"] for line in lines] == [{"accepted": 10}, {"rejected": 10}, {"accepted": 10}]
    assert [line["batch_uuid"] is None for line in lines] == [False, True, False]
    # The broken line was in no batch, and is counted all the same.
    assert lines[-1]["settled"] == told["records"] == 31
    for line in lines:
        assert datetime.fromisoformat(line["time"]).utcoffset() is not None
        assert "key" not in json.dumps(line)
        assert NAME not in json.dumps(line)
    assert all(line.startswith(("line ", "10 records: rejected ", "(--server", "amili-arm")) for line in others)


def test_quiet_tells_nothing_while_it_goes_on(start, served):
    process = start("push", "customers", "-", "--results", "accepted", "--json", "-q", env=served.env, stdin=subprocess.PIPE)
    out, err = process.communicate(customers(1, 3) + b"broken\n", timeout=WAIT)
    assert json.loads(out)["counts"]["accepted"] == 3
    # What did not succeed is named all the same.
    assert err.startswith(b"line 4: invalid")
    assert [line.split(b":")[0] for line in err.splitlines()] == [b"line 4", b"amili-arm"]


def test_a_run_that_waits_says_so_once(start, served):
    served.ask(lambda sandbox: sandbox.inject(Fault.status(503, retry_after=1), path="customers/batches", times=1))
    process = start("push", "customers", "-", "--results", "accepted", "--json", env=served.env, stdin=subprocess.PIPE)
    _, err = process.communicate(customers(1, 3), timeout=WAIT)
    assert process.returncode == 0
    lines, _ = lines_of(err)
    assert [line["event"] for line in lines] == ["waiting", "batch"]
    assert lines[0]["trouble"] == "503"


def test_whoever_does_not_read_the_lines_does_not_end_the_run(start, served):
    process = start(
        "push", "customers", "-", "--results", "accepted", "--max-records", 1, "--json", env=served.env, stdin=subprocess.PIPE
    )  # fmt: skip
    process.stderr.close()
    process.stdin.write(customers(1, 50))
    process.stdin.close()
    assert json.loads(process.stdout.read())["counts"]["accepted"] == 50
    assert process.wait(WAIT) == 0


def outcome(number, count, state, exceptions=None):
    return BatchOutcome(number, "a\x1bb" if number else None, 1, None, range(count), [None] * count, Outcome(state), exceptions or {})


def test_the_lines_count_what_was_in_no_batch(capsys, monkeypatch):
    monkeypatch.setattr(clock, "unix_time", lambda: 0.0)
    lines = BatchLines("send")
    lines.on_settled(outcome(0, 3, "invalid"))
    lines.on_settled(outcome(7, 5, "succeeded", {1: Outcome("failed")}))
    for trouble in (None, "429", "429", None, "429"):
        lines.waiting(trouble)
    out, err = capsys.readouterr()
    assert out == ""
    assert list(map(json.loads, err.splitlines())) == [
        {
            "time": "1970-01-01T00:00:00.000+00:00",
            "event": "batch",
            "task": "send",
            "batch": 7,
            "batch_uuid": "a?b",
            "records": 5,
            "counts": {"succeeded": 4, "failed": 1},
            "settled": 8,
        },
        *[{"time": "1970-01-01T00:00:00.000+00:00", "event": "waiting", "task": "send", "trouble": "429", "settled": 8}] * 2,
    ]


# --- rate and time left -----------------------------------------------------------------------------------------------------------


def test_the_pace_is_that_of_the_last_half_minute():
    pace = Rate(100.0)
    assert (pace.rate(100.0), pace.left(100.0, 1000)) == (0.0, None)
    for second in range(1, 101):
        pace.add(100.0 + second, second * 10 if second <= 50 else 500 + (second - 50) * 2)
    assert pace.rate(200.0) == pytest.approx(2.0, rel=0.1)
    assert pace.left(200.0, 700.0) == pytest.approx(50.0, rel=0.1)
    # While none comes it falls, and the time that is left grows.
    assert pace.rate(260.0) < 1.0
    assert pace.left(200.0, 10) == 0.0


def test_the_pace_keeps_little_however_often_it_is_told():
    pace = Rate(0.0)
    for step in range(100_000):
        pace.add(step / 1000, step)
    assert len(pace._seen) < 40
    assert pace.rate(99.999) == pytest.approx(1000, rel=0.01)


def test_how_many_records_there_are_is_estimated_from_what_is_read():
    seen = []
    tell = on_progress(lambda done, text, estimate=None: seen.append((done, text, estimate)), share_read=lambda: 0.25)
    counts = dict.fromkeys(STATES, 0) | {"succeeded": 900, "failed": 2}
    tell(Progress(counts, Totals(records_read=2000), settled=902, open_batches=1, elapsed=1.0, trouble="503"))
    assert seen == [(902, "waiting for the server (503), succeeded 900, failed 2, open batches: 1", 8000)]


class Terminal:
    """A console that is written to, at a time that a test says."""

    def __init__(self, monkeypatch, total):
        self.now = 0.0
        # Rich takes its own time for the bar itself; only the numbers are looked at.
        monkeypatch.setattr(progress, "clock", types.SimpleNamespace(monotonic=lambda: self.now))
        self.bar = progress._Bar("send", total)

    @property
    def text(self):
        console = Console(width=100, file=io.StringIO())
        console.print(self.bar.get_renderable())
        return console.file.getvalue()


@posix
def test_what_a_bar_says(monkeypatch):
    known = Terminal(monkeypatch, 400)
    assert "0/400  0/s  0:00:00" in known.text
    known.now = 10.0
    known.bar.show(100, "succeeded 99, failed 1")
    assert "100/400  10/s  0:00:10  0:00:30 left" in known.text
    assert "\n  succeeded 99, failed 1" in known.text
    known.now = 20.0
    assert "100/400  5/s  0:00:20  0:01:00 left" in known.text
    known.bar.end()
    assert known.text.rstrip().endswith("100/400  5/s  0:00:20")


@posix
def test_what_a_bar_says_of_a_file_whose_records_nobody_counted(monkeypatch):
    shown = Terminal(monkeypatch, None)
    shown.now = 10.0
    shown.bar.show(1000, "")
    assert "1,000 records  100/s  0:00:10\n" in shown.text
    shown.bar.show(1000, "", 361_000.5)
    assert "1,000 of about 361,000  100/s  0:00:10  1:00:00 left" in shown.text
    # An estimate that proves too small.
    shown.bar.show(3000, "", 2000.0)
    assert "3,000 of about 3,000  300/s  0:00:10  0:00:00 left" in shown.text
    shown.bar.end()
    assert "3,000 records  300/s  0:00:10\n" in shown.text


# --- on a terminal ----------------------------------------------------------------------------------------------------------------


@posix
def test_a_file_on_a_terminal_shows_states_and_time_left(start, served, monkeypatch, tmp_path):
    import pty

    monkeypatch.setenv("TERM", "xterm")
    path = tmp_path / "records"
    path.write_bytes(customers(1, 20_000) + b"broken\n" + customers(20_001, 40_000))
    # The last batch is not answered before the screen was looked at.
    served.ask(lambda sandbox: sandbox.inject(Fault.status(503, retry_after=1), path="customers/batches", times=3, skip=30))
    ours, theirs = pty.openpty()
    process = start("push", "customers", path, "--results", "accepted", "--json", env=served.env, stderr=theirs)
    os.close(theirs)
    shown = read_terminal(ours).decode()
    os.close(ours)
    assert process.wait(WAIT) == 1
    assert json.loads(process.stdout.read())["counts"]["accepted"] == 40_000
    assert re.search(r"[\d,]+ of about [\d,]+ +[\d,]+/s +0:00:\d\d +\d:\d\d:\d\d left", shown)
    assert re.search(r"accepted [\d,]+, invalid 1", shown)
    assert "40,001 records" in shown
    assert '"event"' not in shown
    assert "key1 " not in shown


@posix
def test_quiet_shows_nothing_on_a_terminal(start, served, monkeypatch):
    import pty

    monkeypatch.setenv("TERM", "xterm")
    ours, theirs = pty.openpty()
    process = start("push", "customers", "-", "-q", "--results", "accepted", "--json", env=served.env, stdin=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    process.stdin.write(customers(1, 30))
    process.stdin.close()
    shown = read_terminal(ours)
    os.close(ours)
    assert (process.wait(WAIT), shown) == (0, b"")


@posix
def test_a_replay_tells_of_its_batches(start, call, served, tmp_path):
    path, letters = tmp_path / "records", tmp_path / "letters"
    path.write_bytes(customers(1, 4))
    served.ask(lambda sandbox: sandbox.inject(Fault.status(400), path="customers/batches", times=1))
    call("push", "customers", path, "--bisect", "off", "--results", "accepted", "--dead-letter", letters, env=served.env)
    process = start("replay", letters, "--json", "--max-records", 2, env=served.env)
    out, err = process.communicate(timeout=WAIT)
    assert json.loads(out)["succeeded"] == 4
    lines, _ = lines_of(err)
    assert [(line["task"], line["records"], line["counts"]) for line in lines] == [("replay", 2, {"succeeded": 2})] * 2
    wait_until(served, lambda sandbox: sandbox.customers.total_taken == 4)
