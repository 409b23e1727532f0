"""The commands as processes: standard input, terminals, Ctrl-C, and a machine without the extra."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from amili_arm_async import __version__
from amili_arm_async.cli.runner import GRACE
from amili_arm_async.sandbox import Fault

from .conftest import COMMAND, WAIT, wait_for, wait_until

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals and terminals of POSIX")


def customer(number):
    return json.dumps({"customerNo": str(number), "name": "Kari"}).encode() + b"\n"


def run(*arguments, env=None, stdin=b""):
    return subprocess.run(
        [*COMMAND, *arguments], input=stdin, capture_output=True, env={**os.environ, **(env or {})}, timeout=WAIT, check=False
    )


# --- use ------------------------------------------------------------------------------------------------------------------


def test_version_and_help(call):
    assert run("--version").stdout.decode().strip() == f"amili-arm {__version__}"
    assert run("nothing").returncode == 2
    assert call("--help").exit_code == 0
    assert call().exit_code == 2


def test_a_command_imports_no_server_and_looks_for_no_garbage_in_what_it_imports(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "import gc, sys\n"
        "from amili_arm_async.cli import main\n"
        "before = gc.get_freeze_count()\n"
        "sys.argv[1:] = ['--version']\n"
        "try:\n    main()\n"
        "except SystemExit:\n    assert gc.isenabled() and gc.get_freeze_count() > before + 10_000\n"
        "    assert 'aiohttp.web' not in sys.modules\n"
    )
    ended = subprocess.run([sys.executable, str(program)], capture_output=True, timeout=WAIT, check=False)
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_without_the_extra_it_says_how_to_install_it(tmp_path):
    for name in ("typer", "rich"):
        program = f"import sys; sys.modules[{name!r}] = None; from amili_arm_async.cli import main; main()"
        ended = subprocess.run([sys.executable, "-c", program, "demo"], capture_output=True, timeout=WAIT, check=False)
        assert ended.returncode == 2
        assert b'pip install "amili-arm-async[cli]"' in ended.stderr
        assert b"Traceback" not in ended.stderr


# --- standard input -------------------------------------------------------------------------------------------------------


def test_standard_input(served):
    ended = run(
        "push", "customers", "-", "--results", "accepted", "--json", "--quiet", env=served.env, stdin=customer(1) + b"\n" + customer(2)
    )
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["counts"]["accepted"] == 2
    assert ended.stdout.count(b"\n") == 1
    assert ended.stderr == b""


def test_standard_input_that_is_a_file(served, start, tmp_path):
    path = tmp_path / "records"
    path.write_bytes(customer(1) + b"broken\n" + customer(2))
    with open(path, "rb") as file:
        process = start("push", "customers", "-", "--results", "accepted", env=served.env, stdin=file)
        out, err = process.communicate(timeout=WAIT)
    assert (process.returncode, out) == (1, b"")
    assert b"line 2: invalid" in err


def test_much_through_a_pipe_arrives_in_order(served):
    lines = b"".join(customer(number) if number % 1000 else b"broken\n" for number in range(1, 20_001))
    ended = run("push", "customers", "-", "--results", "accepted", "--json", env=served.env, stdin=lines)
    assert ended.returncode == 1
    assert json.loads(ended.stdout)["counts"]["accepted"] == 19_980
    (line,) = [line for line in ended.stderr.decode().splitlines() if line.startswith("20 records: ")]
    assert re.findall(r"line (\d+)", line) == [str(number) for number in range(1000, 10_001, 1000)]
    assert served.ask(lambda sandbox: sandbox.customers.total_taken) == 19_980


# --- terminals ------------------------------------------------------------------------------------------------------------


def read_terminal(fd):
    """All that is written to a terminal until its other side is closed."""
    shown = b""
    while True:
        try:
            piece = os.read(fd, 65536)
        except OSError:
            return shown
        if not piece:
            return shown
        shown += piece


@posix
@pytest.mark.parametrize("on_terminal", [True, False])
def test_a_bar_on_a_terminal_and_none_in_a_pipe(start, monkeypatch, on_terminal):
    import pty

    monkeypatch.setenv("TERM", "xterm")
    # Whoever forces colours into a pipe does not want a bar in it.
    monkeypatch.setenv("FORCE_COLOR", "1")
    ours, theirs = pty.openpty()
    process = start("demo", "--customers", 50, "--documents", 60, "--json", stderr=theirs if on_terminal else subprocess.PIPE)
    os.close(theirs)
    shown = read_terminal(ours)
    os.close(ours)
    out, err = process.communicate(timeout=WAIT)
    assert process.returncode == 0
    assert out.count(b"\n") == 1
    if on_terminal:
        for words in (b"customers", b"50/50", b"60/60", b"read back"):
            assert words in shown
    else:
        assert (shown, err) == (b"", b"")


@posix
def test_push_shows_a_spinner_with_the_number(start, served, monkeypatch):
    import pty

    monkeypatch.setenv("TERM", "xterm")
    ours, theirs = pty.openpty()
    process = start("push", "customers", "-", "--results", "accepted", env=served.env, stdin=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    process.stdin.write(b"".join(customer(number) for number in range(1, 1201)))
    process.stdin.close()
    shown = read_terminal(ours)
    os.close(ours)
    assert process.wait(WAIT) == 0
    assert b"1,200 records" in shown


@posix
def test_lines_end_between_words_on_a_terminal(start, served, tmp_path):
    import fcntl
    import pty
    import struct
    import termios

    (tmp_path / "customers.jsonl").write_bytes(customer(1) + b"broken\n" * 20)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = start("push", "customers", tmp_path / "customers.jsonl", "--quiet", env=served.env, stderr=theirs)
    os.close(theirs)
    lines = read_terminal(ours).decode().splitlines()
    os.close(ours)
    assert process.wait(WAIT) == 1
    assert max(map(len, lines)) <= 80
    assert " ".join(map(str.strip, lines)).count("line 7; ") == 1
    assert lines[-1].startswith("  ")


# --- Ctrl-C ---------------------------------------------------------------------------------------------------------------


@pytest.mark.proof
@posix
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_while_standard_input_says_nothing(start, served, number, code):
    process = start("push", "customers", "-", "--results", "accepted", "--max-records", 2, "--json", env=served.env, stdin=subprocess.PIPE)
    process.stdin.write(b"".join(customer(number) for number in range(1, 100)))
    process.stdin.flush()
    wait_until(served, lambda sandbox: sandbox.customers.total_taken >= 2)
    process.send_signal(number)
    assert process.wait(WAIT) == code
    out, err = process.stdout.read(), process.stderr.read()
    told = json.loads(out)
    assert told["ok"] is False
    assert sum(told["counts"].values()) == told["records"]
    # The batches on the wire were let end.
    assert told["counts"]["unknown"] == 0
    assert told["counts"]["accepted"] == served.ask(lambda sandbox: sandbox.customers.total_taken)
    assert b"Traceback" not in err
    assert b"interrupted" in err


@pytest.mark.proof
@posix
@pytest.mark.parametrize(("first", "second", "code"), [("SIGINT", "SIGINT", 130), ("SIGTERM", "SIGINT", 130), ("SIGINT", "SIGTERM", 143)])
def test_a_second_signal_cuts_off_what_is_on_the_wire(start, served, first, second, code):
    served.ask(lambda sandbox: sandbox.inject(Fault.hang_after(), times=None))
    process = start("push", "customers", "-", "--results", "accepted", "--json", env=served.env, stdin=subprocess.PIPE)
    process.stdin.write(customer(1) + customer(2))
    process.stdin.close()
    wait_until(served, lambda sandbox: sandbox.customers.total_taken == 2)
    process.send_signal(signal.Signals[first])
    assert b"Ctrl-C again" in process.stderr.readline()
    process.send_signal(signal.Signals[second])
    assert process.wait(GRACE - 1) == code
    assert json.loads(process.stdout.read())["counts"]["unknown"] == 2
    err = process.stderr.read()
    assert b"line 1, key 1: unknown (cut_off)" in err
    assert b"Traceback" not in err
    assert b"never retrieved" not in err


@pytest.mark.proof
@posix
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_one_signal_is_enough_where_the_server_hangs(start, served, number, code):
    served.ask(lambda sandbox: sandbox.inject(Fault.hang_before(), times=None))
    process = start("push", "documents", "-", "--no-journal", "--json", "--grace", 0.1, env=served.env, stdin=subprocess.PIPE)
    process.stdin.write(b'{"documentType":"IN","customerNo":"1","documentNo":"7"}\n')
    process.stdin.close()
    wait_until(served, lambda sandbox: sandbox.in_flight == 1)
    process.send_signal(number)
    assert process.wait(WAIT) == code
    told = json.loads(process.stdout.read())
    assert (told["counts"]["unknown"], told["records"]) == (1, 1)
    assert b"Traceback" not in process.stderr.read()


@pytest.mark.proof
@pytest.mark.skipif(sys.platform != "linux", reason="a pipe that holds little")
def test_a_third_signal_ends_at_once(start, served):
    """Nothing that the process still does, here telling of its failures to a reader who does not read, keeps it."""
    import fcntl

    def writes():
        """Whether the process waits for room in the pipe; where the system does not tell what it waits for, whether it waits."""
        place = Path(f"/proc/{process.pid}")
        waits = (place / "stat").read_text().rpartition(")")[2].split()[0] == "S"
        return waits and ("pipe" in (found := (place / "wchan").read_text()) or found in {"", "0"})

    served.ask(lambda sandbox: sandbox.inject(Fault.hang_after(), times=None))
    ours, theirs = os.pipe()
    process = start("push", "customers", "-", "--results", "accepted", env=served.env, stdin=subprocess.PIPE, stderr=theirs)
    process.stdin.write(customer(1) + customer(2))
    process.stdin.close()
    wait_until(served, lambda sandbox: sandbox.customers.total_taken == 2)
    process.send_signal(signal.SIGINT)
    with open(ours, "rb", buffering=0) as told, open(theirs, "wb", buffering=0) as pipe:
        assert b"Ctrl-C again" in told.readline()
        pipe.write(b"x" * fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ))
        process.send_signal(signal.SIGINT)
        wait_for(writes)
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT) == 143


@pytest.mark.proof
@posix
def test_whoever_ignores_ctrl_c_is_let_do_so(start, served):
    # As a job in the background of a script does.
    process = start(
        "push", "customers", "-", "--results", "accepted", "--max-records", 1, env=served.env, stdin=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )  # fmt: skip
    process.stdin.write(b"".join(customer(number) for number in range(1, 100)))
    process.stdin.flush()
    wait_until(served, lambda sandbox: sandbox.customers.total_taken > 0)
    process.send_signal(signal.SIGINT)
    process.stdin.write(customer(100))
    process.stdin.close()
    assert process.wait(WAIT) == 0
    assert served.ask(lambda sandbox: sandbox.customers.total_taken) == 100


@pytest.mark.proof
@posix
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_in_a_demo(start, number, code):
    import pty

    ours, theirs = pty.openpty()
    process = start("demo", "--customers", 10_000_000, "--json", stderr=theirs, env={"TERM": "xterm"})
    os.close(theirs)
    shown = b""
    while not re.search(rb"[1-9]\d*000/10000000", shown):
        shown += os.read(ours, 65536)
    process.send_signal(number)
    shown = read_terminal(ours)
    os.close(ours)
    assert process.wait(WAIT) == code
    told = json.loads(process.stdout.read())
    assert told["ok"] is False
    assert 0 < sum(told["customers"].values()) < 10_000_000
    assert told["documents"] == {}
    assert b"Traceback" not in shown


# --- sandbox --------------------------------------------------------------------------------------------------------------


@pytest.mark.proof
@posix
def test_a_sandbox_runs_until_ctrl_c_and_says_how_to_reach_it(start):
    process = start("sandbox", "--port", 0)
    lines = []
    while "Ctrl-C" not in (line := process.stdout.readline().decode()):
        assert line, process.stderr.read()
        lines.append(line.rstrip())
    exports = dict(re.fullmatch(r"export (AMILI_ARM_\w+)=(\S+)", line).groups() for line in lines if line.startswith("export"))
    sent = ["push", "customers", "-", "--results", "accepted"]
    assert run(*sent, env=exports, stdin=customer(1)).returncode == 0
    token = next(line.split()[-1] for line in lines if "token" in line)
    by_token = {name: exports[name] for name in ("AMILI_ARM_BASE_URL", "AMILI_ARM_CLIENT_NO")} | {"AMILI_ARM_TOKEN": token}
    assert run(*sent, env=by_token, stdin=customer(1)).returncode == 0
    port = exports["AMILI_ARM_BASE_URL"].split(":")[2].partition("/")[0]
    taken = run("sandbox", "--port", port)
    assert taken.returncode == 2
    assert b"can't listen" in taken.stderr
    process.send_signal(signal.SIGINT)
    assert process.wait(WAIT) == 0


@pytest.mark.proof
@posix
def test_sigterm_ends_a_sandbox_too(start):
    process = start("sandbox", "--port", 0)
    while b"Ctrl-C" not in (line := process.stdout.readline()):
        assert line, process.stderr.read()
    process.send_signal(signal.SIGTERM)
    assert process.wait(WAIT) == 0
    assert process.stderr.read() == b""
