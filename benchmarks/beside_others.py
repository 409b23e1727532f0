"""How much processor time does a bulk run of customers take beside what people would use instead?

Beside it: the best loop by hand (aiohttp and msgspec, nothing kept); httpx and pydantic by hand, with gather and a semaphore, a window of
batches at a time; and the clients that openapi-python-client and OpenAPI Generator (python, asyncio) make of `peers/openapi.json`, used
in the same way. All send the same customers in batches of 1000, 8 at once; that they do is looked at first.

Each runs in a process and in an environment of its own, and they take turns. All start from the same mappings, and make of them, before
the clock starts, the objects that they send: Structs, or models of their own. So what it costs to make the records is in no figure; what
is measured is to make batches of them, to turn these into bytes, to send them and to read the answers. The objects that were made are
hidden from the garbage collector in all of them, which spares most what has the most objects.

A peer that can't be installed, generated or run is left out, and its row says why. "Dearer" is how many times the library's figure.
"""

import json
import pickle
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from .measure import Row, in_turns, ratio
from .peers.environment import PEERS, ROOT, LeftOutError, Peer, command
from .peers.witness import same, witness
from .records import customer
from .sink import sink
from .table import show

CUSTOMERS = 50_000
ROUNDS = 7
UNIT = "us a record"
TIMES_DEARER = {"httpx_pydantic": 5, "httpx_pydantic_json": 5, "openapi_python_client": 9, "openapi_generator": 20}


class Running:
    """A peer at work: tells it to send, and adds up the processor time that it tells."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.versions: dict[str, str] = self._answer()
        self.seconds = 0.0

    def send(self, address: str) -> None:
        """All records, once."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{address}\n")
        self._process.stdin.flush()
        self.seconds += self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        if not (line := self._process.stdout.readline()):
            raise LeftOutError("it ended too early; what it said is above")
        return json.loads(line)


@contextmanager
def _running(peer: Peer, path: Path) -> Iterator[Running]:
    arguments, variables = command(peer)
    with subprocess.Popen(
        [*arguments, str(path)], cwd=ROOT, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Running(process)
        finally:
            process.communicate()


def _at_work(stack: ExitStack, records: list[dict[str, Any]]) -> tuple[dict[str, Running], dict[str, str]]:
    """The peers that send what they should, and why the others are left out."""
    path = Path(stack.enter_context(tempfile.TemporaryDirectory()), "records")
    path.write_bytes(pickle.dumps(records))
    at_work: dict[str, Running] = {}
    left_out: dict[str, str] = {}
    for peer in PEERS:
        try:
            running = stack.enter_context(_running(peer, path))
            with witness() as (address, bodies):
                running.send(address)
            if not same(bodies, records):
                raise LeftOutError("it does not send the same records")
        except LeftOutError as error:
            if not peer.packages:
                raise
            left_out[peer.name] = str(error)
        else:
            at_work[peer.name] = running
    return at_work, left_out


def measure() -> list[Row]:
    """A row for each peer."""
    with ExitStack() as stack:
        at_work, left_out = _at_work(stack, [customer(number) for number in range(CUSTOMERS)])
        address = stack.enter_context(sink())
        runs = {name: lambda running=running: running.send(address) for name, running in at_work.items()}
        taken = in_turns(runs, ROUNDS, lambda: sum(running.seconds for running in at_work.values()))
    each = {name: seconds * 1e6 / CUSTOMERS for name, seconds in taken.items()}
    ours = each["library"]
    rows: list[Row] = []
    for peer in PEERS[1:]:
        text = f"send customers, beside {peer.told}"
        if peer.name in left_out:
            rows.append(Row(text, ours, float("nan"), UNIT, f"left out: {left_out[peer.name]}"))
        elif not peer.packages:
            rows.append(ratio(text, ours, each[peer.name], UNIT, 1.25))
        else:
            versions = ", ".join(map(" ".join, at_work[peer.name].versions.items()))
            times = each[peer.name] / ours
            budget = TIMES_DEARER[peer.name]
            rows.append(Row(f"{text} ({versions})", ours, each[peer.name], UNIT, f"{times:.1f} x less", times, budget, least=True))
    return rows


if __name__ == "__main__":
    show(measure())
