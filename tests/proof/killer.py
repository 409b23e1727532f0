"""The long proof, by hand: `python -m tests.proof.killer --kills 300 --seed 7`.

Runs are made at random, with faults of the server, and killed with SIGKILL at named points, statements of SQL, turns of the loop and
moments that the server chooses; the server is killed now and then too. Each run is started again until it ends by itself; then the
server's log decides. All on this machine, in a temporary folder. It ends with status 1 where anything did not balance, and prints what
is needed to do that again. With `--journal postgresql` the journal is in a PostgreSQL that is made for it.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..support.ledger import read_lines
from ..support.postgres import running
from ..support.wire_faults import WIRE_FAULTS
from .control import TenantServer, serving
from .crash import OPTIONS, Trial, named, random_kill
from .fork_server import ForkServer, fork_server
from .kill_points import POINTS
from .sources import Source

__all__ = ["Summary", "main", "run_trial"]

WIRE = [name for name in WIRE_FAULTS if name not in {"ok", "refused", "connect_stalls", "tls_fails", "accept_reset", "accept_close"}]
FAULTS = [name for name in WIRE if not name.startswith(("token", "poll"))]
POLLS = ["404", "500", "429", "reset", "stall", "cut", "broken", "word", "206", "left_out", "202"]
RECONCILE = {"settle": 0.2, "concurrency": 3}
MOST_ATTEMPTS = 60


@dataclass
class Summary:
    """What came of all trials."""

    trials: int = 0
    records: Counter[str] = field(default_factory=Counter)
    kills: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    final: Counter[str] = field(default_factory=Counter)
    attempts: int = 0
    server_kills: int = 0
    failures: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """A table for a person."""
        rows = [("trials", self.trials), ("attempts", self.attempts), ("kills of the process", self.kills.total())]
        rows += [("kills of the server", self.server_kills), ("faults committed", self.faults.total())]
        rows += [("kinds of fault", len(self.faults)), ("documents", self.records["documents"]), ("customers", self.records["customers"])]
        rows += [(f"documents that ended as {state}", number) for state, number in sorted(self.final.items())]
        rows += [("documents taken twice, or records lost", len(self.failures))]
        width = max(len(name) for name, _ in rows)
        lines = [f"{name:<{width}}  {number:>7}" for name, number in rows]
        lines += ["", "kills by where:"]
        lines += [f"  {where:<{width - 2}}  {number:>7}" for where, number in sorted(self.kills.items())]
        if self.missed:
            lines += ["", "kills that came too late, the run had ended:"]
            lines += [f"  {where:<{width - 2}}  {number:>7}" for where, number in sorted(self.missed.items())]
        return lines


WORDS = {"sql": "a statement of SQL", "exchange": "an exchange with PostgreSQL", "turn": "a turn of the loop", "outside": "from outside"}


def _where(kill: dict[str, Any]) -> str:
    return kill.get("point") or next(word for name, word in WORDS.items() if name in kill)


def _options(rng: random.Random, kind: str) -> dict[str, Any]:
    options = {
        **OPTIONS,
        "concurrency": rng.choice([1, 2, 4, 8]),
        "max_records": rng.choice([1, 3, 5, 10, 20]),
        "bisect": rng.choice(["safe", "all", "off"]),
        "results": rng.choice(["wait", "wait", "accepted"]),
        "deadline": rng.choice([0.3, 10.0]),
    }
    if kind == "customers":
        options["results"] = "wait"
    return options


def run_trial(
    server: TenantServer,
    forks: ForkServer,
    folder: Path,
    seed: int,
    summary: Summary,
    *,
    most_kills: int,
    server_dies: bool,
    database: str | None = None,
) -> None:
    """One run, killed and started again until it ends by itself; its journal is a file in the folder, or in the database."""
    rng = random.Random(f"trial {seed}")
    kind = rng.choice(["documents", "documents", "documents", "customers"])
    source = Source(kind, seed, rng.choice([20, 60, 150]), numbered=rng.choice([0.0, 0.6, 1.0]))
    operation = f"{kind}.{rng.choice(['create_many', 'update_many'] if kind == 'customers' else ['create_many'])}"
    journal = database or folder / f"journal-{seed}.sqlite"
    trial = Trial(server.tenant(), forks, source, journal, operation, _options(rng, kind))
    trial.read = 0.4
    trial.log.append(f"trial {seed}, {operation}")
    if rng.random() < 0.7:
        rate = rng.choice([0.05, 0.2, 0.4])
        trial.tenant.plan(
            random_faults={"seed": f"{seed}", "rate": rate, "most": 40, "faults": FAULTS, "polls": POLLS}, lag=rng.choice([0.0, 0.05])
        )
    if rng.random() < 0.3:
        trial.tenant.plan(delay=rng.choice([0.02, 0.1]))
    for _ in range(rng.randrange(1, most_kills + 1)):
        _one_kill(trial, rng, summary)
    if server_dies and rng.random() < 0.3:
        child = trial.start()
        trial.tenant.wait(writes=1, unless=child.pid)
        server.kill()
        server.start()
        summary.server_kills += 1
        child.wait()
    _until_it_ends(trial, rng, summary)


def _one_kill(trial: Trial, rng: random.Random, summary: Summary) -> None:
    share = rng.choice([0.4, 0.7, 1.0])
    if rng.random() < 0.3:
        before = len(trial.tenant.truth(peek=True).writes)
        kill: dict[str, Any] = {"outside": rng.randrange(1, 6)}
        child = trial.start(share=share)
        try:
            trial.tenant.wait(writes=before + kill["outside"], unless=child.pid)
        finally:
            child.kill()
        killed = child.wait() is None
        trial.log.append(f"  {kill}: {'killed' if killed else 'it had ended'}")
    else:
        points = [name for name, point in POINTS.items() if point.phase != "reconcile" or trial.source.kind == "documents"]
        kill = random_kill(rng, points, is_file=isinstance(trial.journal, Path))
        options = None
        if "point" in kill and POINTS[kill["point"]].phase == "reconcile":
            options = {"deadline": 0.15, "results": "wait", "reconcile": dict(RECONCILE, resend_absent=rng.random() < 0.5)}
        killed = trial.attempt(kill=kill, share=share, options=options) is None
    summary.attempts += 1
    (summary.kills if killed else summary.missed)[_where(kill)] += 1


def _until_it_ends(trial: Trial, rng: random.Random, summary: Summary) -> None:
    """Starts it until nothing but `unknown` and what is done is left, with one of the ends that the face has; then all must balance."""
    for _ in range(MOST_ATTEMPTS):
        found = trial.attempt()
        summary.attempts += 1
        assert found is not None
        assert found["ended"] in {"report", "BulkError"}, trial.story(found.get("traceback", str(found)))
        account = trial.balance(found)
        if found["ended"] == "report" and set(account.states) <= {"success", "unknown", "accepted"}:
            break
    else:
        raise AssertionError(trial.story("it does not end"))
    assert not any(account.left_behind.values()), trial.story(f"{account.left_behind}")
    trial.tenant.plan(well=True)
    account = trial.finish(options={"results": "wait", "deadline": 10.0})
    assert set(account.states) <= {"success", "unknown"}, trial.story(named(account))
    if trial.source.kind == "customers":
        assert set(account.states) <= {"success"}, trial.story(named(account))
        trial.check_customers(trial.tenant.truth())
    elif rng.random() < 0.5:
        account = reconciled(trial, rng)
    summary.faults.update(write["fault"] for write in trial.tenant.truth().writes if write["fault"] != "ok")
    summary.records[trial.source.kind] += trial.source.count
    if trial.source.kind == "documents":
        summary.final.update(account.states)


def reconciled(trial: Trial, rng: random.Random) -> Any:
    """A last attempt that looks up what is unknown: what has a number is done or named as absent, as the server knows."""
    again = rng.random() < 0.5
    settings = dict(RECONCILE, resend_absent=again)
    account = trial.finish(options={"results": "wait", "deadline": 0.15, "reconcile": settings})
    taken = Counter(line.identity for line in trial.tenant.truth().lines)
    records = trial.source.records()
    for place, state, reason in zip(trial.places, account.states, account.reasons, strict=True):
        number = records[place].get("documentNo")
        if number is not None and state == "unknown":
            there = any(identity.key == number for identity in taken)
            assert not there, trial.story(f"{number} was taken, and reconcile says {reason}")
            assert reason in {"absent", "batch_taken"}, trial.story(f"{number}: {reason}")
    return account


@contextmanager
def noted(summary: Summary, how: str, seed: int) -> Iterator[None]:
    """Prints what failed, with what is needed to do it again, and goes on."""
    try:
        yield
    except Exception as exc:
        summary.failures.append(f"{exc}")
        print(f"FAILED: python -m tests.proof.killer {how} --seed {seed}\n{exc!r:.80}\n{exc}\n", flush=True)


def sweep(server: TenantServer, forks: ForkServer, folder: Path, seed: int, summary: Summary) -> None:
    """Kills a small run before and after each statement of SQL, in its first attempt and in the one that goes on, until none is left."""
    for kind in ("documents", "customers"):
        for first in (True, False):
            for when in ("before", "after"):
                number, reached = 0, True
                while reached:
                    number += 1
                    options = dict(OPTIONS, concurrency=2)
                    journal = folder / f"sweep-{kind}-{first}-{when}-{number}.sqlite"
                    trial = Trial(server.tenant(), forks, Source(kind, seed, 14), journal, f"{kind}.create_many", options)
                    with noted(summary, "--sweep", seed):
                        if not first:
                            trial.kill_at({"point": "uuid_durable", "count": 2}, share=0.8)
                        reached = trial.attempt(kill={"sql": number, "when": when}) is None
                        _until_it_ends(trial, random.Random(seed), summary)
                    summary.kills[f"each statement of SQL, {'first attempt' if first else 'going on'}"] += reached
                    summary.attempts += 2
                    summary.trials += 1


def main() -> int:
    """Runs trials until there were so many kills."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=300, help="kills of the process in all (default 300)")
    parser.add_argument("--seed", type=int, default=7, help="of the first trial; each has the next one (default 7)")
    parser.add_argument("--most-kills", type=int, default=6, help="kills in one trial at the most (default 6)")
    parser.add_argument("--only", action="store_true", help="only the trial with this seed")
    parser.add_argument("--sweep", action="store_true", help="kill at each statement of SQL instead, one after the other")
    parser.add_argument("--keep-server", action="store_true", help="do not kill the server")
    parser.add_argument("--journal", choices=["sqlite", "postgresql"], default="sqlite", help="where the journal is (default sqlite)")
    arguments = parser.parse_args()
    summary, seed, started = Summary(), arguments.seed, time.monotonic()
    with ExitStack() as stack:
        name = stack.enter_context(tempfile.TemporaryDirectory(prefix="proof-"))
        server, forks = stack.enter_context(serving(Path(name))), stack.enter_context(fork_server(Path(name)))
        database = stack.enter_context(running()).url() if arguments.journal == "postgresql" else None
        settings = {"most_kills": arguments.most_kills, "server_dies": not arguments.keep_server, "database": database}
        if arguments.sweep:
            sweep(server, forks, Path(name), seed, summary)
        while not summary.trials or (summary.kills.total() < arguments.kills and not arguments.only and not arguments.sweep):
            with noted(summary, f"--journal {arguments.journal} --only", seed):
                run_trial(server, forks, Path(name), seed, summary, **settings)
            summary.trials += 1
            seed += 1
            if sys.stderr.isatty():
                print(f"\r{summary.kills.total()} kills", end="", file=sys.stderr, flush=True)
        lines = sum(1 for _ in read_lines(server.ledger))
    print("\n".join(summary.lines()))
    print(f"\n{lines} records in the server's log, {time.monotonic() - started:.0f} s")
    return 1 if summary.failures else 0


if __name__ == "__main__":
    sys.exit(main())
