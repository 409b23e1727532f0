"""What becomes of standard output and error changes neither what is sent nor the exit code of a command that sends.

Oracle: what the sandbox received from the same command with whole outputs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from amili_arm_async.sandbox import Fault
from tests.cli.conftest import ROOT, Served
from tests.cli.starter import BROKEN

pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full and fork")

STREAMS = ("stdout", "stderr", "both")
CASES = [(stream, how) for stream in STREAMS for how in BROKEN]


def with_cases(names: Sequence[str]) -> list[Any]:
    """Each name with each stream and with each way to break it; the proofs have all three together."""
    return [
        pytest.param(
            *(name, stream, how),
            id=f"{name}-{stream}, {how}",
            marks=[] if (STREAMS.index(stream) + BROKEN.index(how) + number) % 3 == 0 else pytest.mark.proof,
        )
        for number, name in enumerate(names)
        for stream, how in CASES
    ]


_NUMBERS = count(5001)


@dataclass
class Ended:
    """How a run ended.

    Attributes:
        code: its exit code.
        out: what it wrote to standard output, where that was whole.
        err: what it wrote to standard error, where that was whole.
    """

    code: int
    out: str
    err: str


class Starter:
    """Runs commands against one sandbox."""

    def __init__(self, served: Served, folder: Path) -> None:
        self.served, self.folder = served, folder
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.cli.starter"],
            cwd=ROOT,
            env={**{name: value for name, value in os.environ.items() if not name.startswith("AMILI_ARM_")}, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: object, client: int, stream: str = "", how: str = "") -> Ended:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        files = {name: self.folder / f"{client}.{name}" for name in ("stdout", "stderr")}
        for path in files.values():
            path.unlink(missing_ok=True)
        order: dict[str, Any] = {name: how if stream in {name, "both"} else str(path) for name, path in files.items()}
        order |= {"arguments": [str(one) for one in arguments], "folder": str(self.folder)}
        order["env"] = {**self.served.env, "AMILI_ARM_CLIENT_NO": str(client), "XDG_CONFIG_HOME": str(self.folder), "COLUMNS": "80"}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        return Ended(code, *(path.read_text() if path.exists() else "" for path in files.values()))

    def received(self, client: int) -> list[int]:
        """How often each record was delivered, and each document asked for."""
        return self.served.ask(
            lambda sandbox: [
                view.delivered(str(number), client) for view in (sandbox.customers, sandbox.documents) for number in range(1, 9)
            ]
        )

    def close(self) -> None:
        self._process.communicate(timeout=10)


@pytest.fixture(scope="module")
def starter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Starter]:
    served = Served()
    folder = tmp_path_factory.mktemp("outputs")
    (folder / "customers.csv").write_text(
        "customerNo,name\n" + "".join(f"{number},Ola\n" for number in range(1, 6)) + "#REF!,refused\n", encoding="utf-8"
    )
    (folder / "clean.csv").write_text("customerNo,name\n1,Ola\n", encoding="utf-8")
    rows = [f"{number},{1 + number % 5},2026-11-20,2026-12-20,IN,100.00" for number in range(1, 6)]
    (folder / "documents.csv").write_text(
        "documentNo,customerNo,documentDate,dueDate,documentType,currencyAmounts.inclVat\n"
        + "\n".join([*rows, "7,1,no date,,IN,1"])
        + "\n",
        encoding="utf-8",
    )
    starter = Starter(served, folder)
    try:
        yield starter
    finally:
        starter.close()
        served.close()


def _client(starter: Starter) -> int:
    """Returns a client number of its own, whose customers exist."""
    client = next(_NUMBERS)
    starter.served.ask(lambda sandbox: sandbox.customers.seed([{"customerNo": str(one), "name": "Ola"} for one in range(1, 9)], client))
    return client


def _nothing(starter: Starter, client: int) -> list[object]:
    return []


def _letters(starter: Starter, client: int) -> list[object]:
    """A dead letter whose records were refused."""
    starter.served.ask(lambda sandbox: sandbox.inject(Fault.status(400), path="*/customers/batches"))
    ended = starter.run("push", "customers", "customers.csv", "--dead-letter", f"{client}.jsonl", client=client)
    assert ended.code == 1
    return [f"{client}.jsonl"]


def _journal(starter: Starter, client: int) -> list[object]:
    """A journal with documents whose outcome is unknown."""
    starter.served.ask(lambda sandbox: sandbox.inject(Fault.reset_after(), path="*/documents/batches"))
    ended = starter.run("push", "documents", "documents.csv", "--journal", f"{client}.db", "--run-id", "one", client=client)
    assert ended.code == 1
    return [f"{client}.db", "--settle", "0"]


SENDING: dict[str, tuple[list[object], Callable[[Starter, int], list[object]], int]] = {
    "push customers": (["push", "customers", "customers.csv"], _nothing, 1),
    "push documents": (["push", "documents", "documents.csv", "--journal", "CLIENT.db", "--run-id", "one"], _nothing, 1),
    "push clean": (["push", "customers", "clean.csv", "--check-first"], _nothing, 0),
    "sync": (["sync", "customers.csv", "--state", "CLIENT.state"], _nothing, 1),
    "nightly": (
        [
            "nightly",
            "--customers",
            "customers.csv",
            "--documents",
            "documents.csv",
            "--journal",
            "CLIENT.db",
            "--run-id",
            "1",
            "--html",
            "CLIENT.html",
        ],
        _nothing,
        1,
    ),
    "reconcile": (["reconcile"], _journal, 0),
    "replay": (["replay"], _letters, 1),
}
_WHOLE: dict[tuple[str, bool], tuple[list[int], Ended]] = {}


def _send(starter: Starter, name: str, as_json: bool, stream: str = "", how: str = "") -> tuple[list[int], Ended]:
    words, prepare, _ = SENDING[name]
    client = _client(starter)
    given = [str(word).replace("CLIENT", str(client)) for word in words]
    more = [*prepare(starter, client), *(["--json"] if as_json else [])]
    ended = starter.run(*given, *more, client=client, stream=stream, how=how)
    return starter.received(client), ended


@pytest.mark.parametrize(("name", "stream", "how"), with_cases([*SENDING]))
def test_a_command_that_sends_sends_the_same_and_ends_the_same(starter, name, stream, how):
    as_json = stream != "stderr"
    if (name, as_json) not in _WHOLE:
        _WHOLE[name, as_json] = _send(starter, name, as_json)
    sent, whole = _WHOLE[name, as_json]
    assert whole.code == SENDING[name][2], whole
    assert any(sent)
    received, ended = _send(starter, name, as_json, stream, how)
    assert (received, ended.code) == (sent, whole.code)
    if stream == "stdout":
        assert "Traceback" not in ended.err
        (told,) = [line for line in ended.err.splitlines() if "standard output" in line]
        assert told.startswith("amili-arm: standard output can't be written: ")
    else:
        assert (ended.err, ended.out if stream == "both" else "") == ("", "")


TELLING = {
    "check": (["check", "customers", "clean.csv", "--json"], 1),
    "pull": (["pull", "customers"], 141),
    "fields": (["fields", "customers"], 141),
    "help": (["--help"], 141),
}


@pytest.mark.parametrize(("name", "stream", "how"), with_cases([*TELLING]))
def test_a_command_whose_result_is_its_output_fails_where_that_cannot_be_written(starter, name, stream, how):
    words, of_a_dead_pipe = TELLING[name]
    client = next(_NUMBERS)
    starter.served.ask(lambda sandbox: sandbox.customers.seed([{"customerNo": "1", "name": "Ola"}], client))
    ended = starter.run(*words, client=client, stream=stream, how=how)
    if stream == "stderr":
        assert ended.code == 0
        assert ended.out
    else:
        assert ended.code == (of_a_dead_pipe if how == "dead pipe" else 1)
        assert "Traceback" not in ended.err
        assert ("standard output can't be written" in ended.err) == (stream == "stdout" and ended.code == 1)


def test_a_journal_never_becomes_standard_error(starter):
    # The lowest free descriptor is 2 where that is closed.
    client = _client(starter)
    words = ["push", "documents", "documents.csv", "--journal", f"{client}.db", "--run-id", "one"]
    assert starter.run(*words, client=client, stream="both", how="closed").code == 1
    (run,) = json.loads(starter.run("status", f"{client}.db", "--json", client=client).out)["runs"]
    assert run["counts"]["succeeded"] == 5


@pytest.mark.parametrize("redirection", ["2>&-", "<&- >&- 2>&-"])
def test_streams_that_the_shell_has_closed(starter, redirection):
    client = next(_NUMBERS)
    words = f"{sys.executable} -m amili_arm_async.cli push customers customers.csv --json {redirection}"
    env = {**os.environ, **starter.served.env, "AMILI_ARM_CLIENT_NO": str(client), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["sh", "-c", words], cwd=starter.folder, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert starter.received(client)[:5] == [1] * 5
    assert "Traceback" not in done.stderr
