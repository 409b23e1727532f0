"""What systemd is told, over real datagram sockets."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys

import pytest

from amili_arm_async.cli.systemd import SystemdNotifier
from amili_arm_async.sandbox import Fault

from .conftest import WAIT

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="systemd")


class Systemd:
    """The side of systemd."""

    def __init__(self, address):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.settimeout(WAIT)
        self.heard = []

    def wait_for(self, text):
        while not any(text in line for line in self.heard):
            self.heard += self.socket.recv(4096).decode().splitlines()

    def drain(self):
        self.socket.setblocking(False)
        try:
            while True:
                self.heard += self.socket.recv(4096).decode().splitlines()
        except BlockingIOError:
            return self.heard


@pytest.fixture(params=["path", "abstract"])
def systemd(request, tmp_path, monkeypatch):
    name = str(tmp_path / "notify") if request.param == "path" else f"amili-arm-test-{os.getpid()}"
    listening = Systemd(name if request.param == "path" else "\0" + name)
    monkeypatch.setenv("NOTIFY_SOCKET", name if request.param == "path" else "@" + name)
    with listening.socket:
        yield listening


@pytest.fixture
def records(tmp_path):
    path = tmp_path / "customers.jsonl"
    path.write_text('{"customerNo": "1", "name": "Kari"}\nbroken\n')
    return path


def test_a_run_from_its_begin_to_its_end(systemd, call, served, records):
    assert call("push", "customers", records, env=served.env).exit_code == 1
    heard = systemd.drain()
    assert heard[0] == "READY=1"
    status = [line for line in heard if line.startswith("STATUS=")]
    assert status[-1] == "STATUS=amili-arm push (client 2218): failed, exit code 1; 1 succeeded, 1 invalid"
    assert "STOPPING=1" in heard
    assert "WATCHDOG=1" not in heard


@pytest.mark.parametrize("arguments", [("push", "customers", "nothing.jsonl"), ("push", "--help"), ("status", "nothing")])
def test_what_does_not_begin_says_nothing(systemd, call, served, arguments):
    call(*arguments, env=served.env)
    assert systemd.drain() == []


def test_signs_of_life_and_a_graceful_stop(systemd, start, served, records):
    served.ask(lambda sandbox: sandbox.inject(Fault.hang_after(), times=None))
    env = {**served.env, "WATCHDOG_USEC": "40000"}
    process = start("push", "customers", records, "--grace", "2", "--on-end", "env > variables", env=env, cwd=records.parent)
    systemd.wait_for("WATCHDOG=1")
    systemd.heard.clear()
    # They go on while nothing else happens.
    systemd.wait_for("WATCHDOG=1")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=WAIT)
    assert process.returncode == 143
    heard = systemd.drain()
    assert "STOPPING=1" in heard
    assert int(re.search(r"EXTEND_TIMEOUT_USEC=(\d+)", "\n".join(heard))[1]) > 32e6
    assert not re.search("NOTIFY_SOCKET|WATCHDOG", (records.parent / "variables").read_text())


def test_a_process_that_stands_still_gives_no_sign(systemd, start, served, records):
    served.ask(lambda sandbox: sandbox.inject(Fault.hang_after(), times=None))
    process = start("push", "customers", records, env={**served.env, "WATCHDOG_USEC": "40000"})
    systemd.wait_for("WATCHDOG=1")
    process.send_signal(signal.SIGSTOP)
    os.waitpid(process.pid, os.WUNTRACED)
    systemd.drain()
    systemd.heard.clear()
    assert systemd.drain() == []


def test_the_sandbox_as_a_service(systemd, start):
    process = start("sandbox", "--port", 0, env={"WATCHDOG_USEC": "2000000"})
    systemd.wait_for("STATUS=the sandbox serves http://127.0.0.1:")
    assert systemd.heard[0] == "READY=1"
    process.send_signal(signal.SIGINT)
    assert process.wait(WAIT) == 0


@pytest.mark.parametrize("address", ["", "relative", "vsock:2:1", "/nobody/listens", "@nobody", "/" + "x" * 200, "/a\0b"])
def test_nobody_who_listens_is_no_error(address):
    notifier = SystemdNotifier({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "10"})
    notifier.ready()
    notifier.status("æøå \udc80")
    notifier.alive()
    notifier.stopping(1.0)


def test_a_status_is_one_line(systemd):
    SystemdNotifier(os.environ).status("a\nREADY=1\r\n b")
    assert systemd.drain() == ["STATUS=a READY=1 b"]


def test_a_full_queue_does_not_block(systemd):
    notifier = SystemdNotifier(os.environ)
    for number in range(3000):
        notifier.status(str(number))
    assert len(systemd.drain()) < 3000


@pytest.mark.parametrize(
    ("variables", "seconds"),
    [({"WATCHDOG_USEC": "10000000"}, 10.0), ({"WATCHDOG_USEC": "x"}, None), ({"WATCHDOG_USEC": "0"}, None), ({}, None)]
    + [({"WATCHDOG_USEC": "10000000", "WATCHDOG_PID": pid}, seconds) for pid, seconds in ((str(os.getpid()), 10.0), ("1", None))],
)
def test_the_watchdog_that_is_meant_for_this_process(variables, seconds):
    assert SystemdNotifier({"NOTIFY_SOCKET": "/run/notify", **variables}).watchdog == seconds
    assert SystemdNotifier(variables).watchdog is None
