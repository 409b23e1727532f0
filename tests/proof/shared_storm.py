"""The life of one shared run, by hand: `python -m tests.proof.shared_storm --stories 20 --seed 7`.

Each story is a run in parts, whose journal is in a PostgreSQL that is made for it. Workers send parts at random, twins of one part at once.
They are killed with SIGKILL at named points, at exchanges with the database and when the server has seen a write; they are frozen with
SIGSTOP at a named point until two rivals have sent the part, and then wake up. The database is killed and starts again, in the middle of
what they do. A proxy cuts connections at a commit: before the database has it, or before its answer arrives; or PgBouncer is between.
The server commits faults. In the end each part is sent twice more, and the merged report is held against the server's log: no document
was taken twice, each is named, and what is called done was taken. Ends with status 1 where that does not hold, and prints the story.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from amili_arm_async import part_of
from amili_arm_async.resources.shared_run import SharedReport

from ..support.cutting_proxy import cutting
from ..support.ledger import identity_of
from ..support.postgres import Server, pooled, running
from .accounts import check_once, make_client
from .control import Tenant, serving
from .crash import OPTIONS
from .fork_server import Child, ForkServer, fork_server
from .kill_points import ONLY_IN_A_FILE, POINTS
from .killer import FAULTS, POLLS
from .sources import Source

__all__ = ["FREEZING_POINTS", "SharedStory", "Summary", "main"]

RUN_ID = "2026-11-20"
LEASE = 1.0
LONGEST = 60.0

KILLING_POINTS = [name for name, point in POINTS.items() if point.phase != "reconcile" and name not in ONLY_IN_A_FILE]
FREEZING_POINTS = [
    *("before_intent", "intent_uncommitted", "intent_durable", "before_first_byte", "first_byte", "half_body", "body_sent"),
    *("answered", "uuid_durable", "polling", "polled", "result_known", "result_uncommitted", "ending", "end_uncommitted"),
]
"""Where a first attempt passes for sure."""


@dataclass
class Summary:
    """What came of all stories."""

    stories: int = 0
    documents: int = 0
    workers: int = 0
    takeovers: int = 0
    events: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)
    failures: int = 0

    def lines(self) -> list[str]:
        """For a person."""
        rows = {"stories": self.stories, "documents": self.documents, "workers": self.workers, "owners of parts": self.takeovers}
        rows |= {"faults of the server": self.faults.total(), "taken twice, or told wrongly": self.failures}
        lines = [f"{name:<32}{number:>8}" for name, number in rows.items()]
        for name, counted in (("events", self.events), ("last report, by state", self.states)):
            lines.append(f"{name}: {', '.join(f'{word} {count}' for word, count in sorted(counted.items()))}")
        return lines


def _knows_a_success(server: Server) -> bool:
    """Whether a journal knows of a document that succeeded."""
    ((has_tables,),) = server.execute("SELECT to_regclass('amili_arm.batches') IS NOT NULL")
    return has_tables and bool(server.execute("SELECT 1 FROM amili_arm.batches WHERE final = 'succeeded' LIMIT 1"))


class SharedStory:
    """One shared run, its documents, and what was done to it.

    Args:
        tenant, forks, postgres: where it sends to, what starts the workers, and where the journal is.
        seed: decides everything that is not the network's.
        summary: counts what happened.
        count: of the documents; None: the seed decides.
    """

    def __init__(
        self, tenant: Tenant, forks: ForkServer, postgres: Server, seed: int, summary: Summary, *, count: int | None = None
    ) -> None:
        self.rng = random.Random(f"shared story {seed}")
        self.parts = self.rng.choice([1, 2, 4])
        few = self.rng.choice([30, 60])
        self.source = Source("documents", seed, count or few, 1.0)
        self.records = self.source.records()
        self.tenant = tenant
        self.postgres = postgres
        self.url = postgres.url()
        self.summary = summary
        self._forks = forks
        self._attempts = 0
        self.log = [f"story {seed}: {len(self.records)} documents in {self.parts} parts"]

    # --- workers ----------------------------------------------------------------------------------------------------------

    def start(self, part: int, kill: dict[str, Any] | None = None, **options: Any) -> Child:
        """Starts a worker for a part."""
        self._attempts += 1
        self.summary.workers += 1
        options = {**OPTIONS, "patience": 20.0, "journal": self.url, "run_id": RUN_ID, **options}
        self.log.append(f"worker {self._attempts}: part {part}, {kill}")
        return self._forks.start(
            {
                "source": vars(self.source),
                "places": self.source.order(self._attempts),
                "attempt": self._attempts,
                "operation": "documents.create_many",
                "client": self.tenant.client,
                "base_url": self.tenant.base_url,
                "identity_url": self.tenant.identity_url,
                "user": f"attempt-{self._attempts}",
                "options": options,
                "kill": kill,
                "read": 1.0,
                "shared": {"part": part, "parts": self.parts, "lease": LEASE},
            }
        )

    def ended(self, child: Child) -> dict[str, Any] | None:
        """What a worker told in the end; None where it was killed."""
        try:
            found = child.wait()
        except AssertionError as exc:
            raise AssertionError("\n".join([str(exc), *self.log])) from exc
        self.log.append("  killed" if found is None else f"  {found['ended']}: {found.get('counts')} {found.get('text', '')}")
        self.is_true(found is None or found["ended"] in {"report", "BulkError", "JournalError"}, f"{found}")
        return found

    def any_part(self) -> int:
        """A part."""
        return self.rng.randrange(self.parts)

    # --- what happens -----------------------------------------------------------------------------------------------------

    def a_worker_is_killed(self) -> None:
        """At a point, at an exchange with the database, or when the server has seen a write."""
        how = self.rng.random()
        if how < 0.5:
            kill: dict[str, Any] = {"point": self.rng.choice(KILLING_POINTS), "count": self.rng.choice([1, 1, 2, 3])}
        elif how < 0.8:
            kill = {"exchange": self.rng.randrange(1, 25), "when": self.rng.choice(["before", "after"])}
        else:
            before = len(self.tenant.truth(peek=True).writes)
            child = self.start(self.any_part())
            if self.tenant.wait(writes=before + self.rng.randrange(1, 4), unless=child.pid) is not None:
                child.kill()
            self.ended(child)
            return
        self.ended(self.start(self.any_part(), kill))

    def a_worker_is_frozen(self, point: str | None = None, count: int = 1) -> bool:
        """It stands still at a point, two rivals send the part, and it wakes up; returns whether it was frozen."""
        part = self.any_part()
        frozen = self.start(part, {"point": point or self.rng.choice(FREEZING_POINTS), "count": count, "stop": True})
        if not frozen.stops():
            self.ended(frozen)
            return False
        rivals = [self.start(part) for _ in range(2)]
        told = [self.ended(rival) for rival in rivals]
        self.is_true(any(found is not None and found["ended"] == "report" for found in told), "no rival came to an end")
        frozen.wake_up()
        self.ended(frozen)
        return True

    def twins(self) -> None:
        """Two workers for one part, and one for another part."""
        part = self.any_part()
        for child in [self.start(part), self.start(part), self.start(self.any_part())]:
            self.ended(child)

    def the_database_is_killed(self) -> None:
        """While two workers send."""
        before = len(self.tenant.truth(peek=True).writes)
        children = [self.start(self.any_part()), self.start(self.any_part())]
        self.tenant.wait(writes=before + 1, unless=children[0].pid)
        self.postgres.stop("immediate")
        self.postgres.start()
        for child in children:
            self.ended(child)

    def a_standby_is_promoted(self, standby: Server, *, cut: Callable[[], None], switch: Callable[[], None]) -> int:
        """While workers send all parts.

        Args:
            standby: it lags: it gets nothing more once `cut` was called.
            cut: cuts it off.
            switch: called once it is promoted.

        Returns:
            How many documents were taken of which it knows nothing.
        """
        before = len(self.tenant.truth(peek=True).writes)
        # What was lost is looked up once the time to settle has passed, which is a little longer than this.
        children = [self.start(part, deadline=2.0) for part in range(self.parts)]
        self.tenant.wait(writes=before + 3, unless=children[0].pid)
        until = time.monotonic() + LONGEST
        # Without one, nothing would prove that look-ups work, and what they do not find would stay unknown.
        while not _knows_a_success(standby):
            self.is_true(time.monotonic() < until, "the standby learns of no success")
        cut()
        self.tenant.wait(writes=len(self.tenant.truth(peek=True).writes) + 4, unless=children[0].pid)
        self.postgres.stop("immediate")
        standby.promote()
        switch()
        self.postgres = standby
        for child in children:
            self.ended(child)
        known = standby.execute(
            "SELECT coalesce(sum(records), 0) FROM amili_arm.batches JOIN amili_arm.runs ON runs.id = batches.id >> 32"
            f" WHERE state <> 'queued' AND client_no = {self.tenant.client}"
        )
        return sum(line.is_success for line in self.tenant.truth().lines) - int(known[0][0])

    def is_looked_up(self) -> None:
        """Sends each part until what could still appear has appeared, or is proved absent and was sent."""
        for part in range(self.parts):
            until = time.monotonic() + LONGEST
            while True:
                found = self.ended(self.start(part, deadline=0.5))
                self.is_true(found is not None and found["ended"] == "report", "a part does not end after a standby was promoted")
                assert found is not None
                if all(reason != "stale_journal" for *_, reason in found["failures"]):
                    break
                self.is_true(time.monotonic() < until, "what was lost is never looked up")

    def tell(self) -> None:
        """Does it all."""
        rng = self.rng
        with ExitStack() as stack:
            way = rng.choice(["direct", "proxy", "proxy", "pgbouncer"])
            proxy = None
            if way == "proxy":
                proxy = stack.enter_context(cutting(self.postgres.port))
                self.url = self.url.replace(f":{self.postgres.port}/", f":{proxy.port}/")
                proxy.choose = lambda: rng.choice(["before", "after"]) if rng.random() < 0.1 else None
            elif way == "pgbouncer":
                self.url = stack.enter_context(pooled(self.postgres))
            self.log.append(f"  the way to the database: {way}")
            if rng.random() < 0.7:
                rate = rng.choice([0.1, 0.3])
                self.tenant.plan(random_faults={"seed": self.log[0], "rate": rate, "most": 12, "faults": FAULTS, "polls": POLLS}, lag=0.05)
            self.tenant.plan(delay=rng.choice([0.0, 0.05]))
            happenings = [self.a_worker_is_killed, self.a_worker_is_killed, self.a_worker_is_frozen, self.twins]
            happenings += [self.the_database_is_killed] if way != "pgbouncer" else []
            for _ in range(rng.randrange(3, 7)):
                happening = rng.choice(happenings)
                happening()
                self.summary.events[happening.__name__.replace("_", " ")] += 1
                self.check_once()
            if proxy is not None:
                proxy.choose = lambda: None
                self.summary.events.update({f"cut {place} a commit": number for place, number in proxy.cuts.items()})
            self.finish()

    # --- what must be true ------------------------------------------------------------------------------------------------

    def is_true(self, claim: object, otherwise: str) -> None:
        """Ends the story where a claim does not hold."""
        if not claim:
            raise AssertionError("\n".join([otherwise, *self.log]))

    def check_once(self) -> None:
        """No document was taken twice."""
        try:
            check_once(self.records, self.tenant.truth())
        except AssertionError as exc:
            raise AssertionError("\n".join([str(exc), *self.log])) from exc

    def finish(self) -> None:
        """Sends every part to its end, and again; then the report must be what the server knows."""
        self.tenant.plan(well=True)
        for _ in range(2):
            for child in [self.start(part) for part in range(self.parts)]:
                found = self.ended(child)
                self.is_true(found is not None and found["ended"] == "report", "a part that is left alone does not end")
            writes = len(self.tenant.truth().writes)
        for part in range(self.parts):
            self.ended(self.start(part))
        self.is_true(len(self.tenant.truth().writes) == writes, "all is sent, and something is sent again")
        self.check_once()
        report, failures = asyncio.run(self._report())
        self.check_report(report, failures)
        self.check_database()
        self.summary.states.update({state: number for state, number in report.counts.items() if number})
        self.summary.faults.update(write["fault"] for write in self.tenant.truth().writes if write["fault"] != "ok")
        self.summary.documents += len(self.records)
        self.summary.stories += 1

    async def _report(self) -> tuple[SharedReport, list[Any]]:
        async with make_client(self.tenant) as arm, arm.documents.shared_run(self.url, run_id=RUN_ID, parts=self.parts) as run:
            return await run.report(), [failure async for failure in run.failures()]

    def check_report(self, report: SharedReport, failures: list[Any]) -> None:
        """Each document is in one state, and none that the server contradicts."""
        counts = {state: number for state, number in report.counts.items() if number}
        self.is_true(sum(counts.values()) == len(self.records), f"{counts} are not {len(self.records)} documents")
        named = {failure.key: failure.state for failure in failures}
        self.is_true(len(named) == len(failures), "a document is named twice")
        silent = {"succeeded", "done_before"}
        self.is_true(
            Counter(named.values()) == {state: number for state, number in counts.items() if state not in silent},
            f"the names and the counts differ: {Counter(named.values())}, {counts}",
        )
        self.is_true(set(counts) <= {*silent, "unknown", "accepted", "failed", "rejected"}, f"something was not sent: {counts}")
        truth = self.tenant.truth()
        taken = Counter(line.identity for line in truth.lines if line.is_success)
        for record in self.records:
            number = taken[identity_of("documents", record)]
            state = named.get(record["documentNo"], "succeeded")
            self.is_true(state != "succeeded" or number == 1, f"{record['documentNo']} is called done, and was not taken")
            self.is_true(state != "rejected" or number == 0, f"{record['documentNo']} is called rejected, and was taken")
        money = [part.money for part in report.to_schema().parts if part.money is not None]
        summed = Counter(dict.fromkeys(counts, 0))
        for one in money:
            for currency in one.currencies:
                summed.update({state: amount.count for state, amount in currency.states.items()})
        self.is_true({state: number for state, number in summed.items() if number} == counts, f"money is of {summed}, not of {counts}")

    def check_database(self) -> None:
        """Each document is in its part, and each intent belongs to an epoch that there was."""
        query = (
            "SELECT run_id, epoch, attempts FROM amili_arm.parts JOIN amili_arm.runs ON runs.id = run"
            f" WHERE client_no = {self.tenant.client}"
        )
        for run_id, epoch, attempts in self.postgres.execute(query):
            self.summary.takeovers += epoch
            self.is_true(epoch >= attempts, f"{run_id} was begun {attempts} times, in {epoch} epochs")
        sent: dict[str, set[int]] = {}
        for record in self.records:
            number = record["documentNo"]
            sent.setdefault(number, set()).add(part_of(number, self.parts))
        self.is_true(all(len(found) == 1 for found in sent.values()), "a document is in two parts")


@contextmanager
def everything(folder: Path) -> Iterator[tuple[Any, ForkServer, Server]]:
    """A server, what starts workers, and a database."""
    with serving(folder) as server, fork_server(folder) as forks, running() as postgres:
        yield server, forks, postgres


def main() -> int:
    """Tells stories."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stories", type=int, default=20, help="how many at the most (default 20)")
    parser.add_argument("--seed", type=int, default=7, help="of the first; each has the next one (default 7)")
    parser.add_argument("--seconds", type=float, default=3600.0, help="begin no story after so many seconds (default 3600)")
    arguments = parser.parse_args()
    summary, started = Summary(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="shared-storm-") as name, everything(Path(name)) as (server, forks, postgres):
        for seed in range(arguments.seed, arguments.seed + arguments.stories):
            if time.monotonic() - started > arguments.seconds:
                break
            try:
                SharedStory(server.tenant(), forks, postgres, seed, summary).tell()
            except Exception as exc:
                summary.failures += 1
                print(f"FAILED: python -m tests.proof.shared_storm --stories 1 --seed {seed}\n{exc!r:.80}\n{exc}\n", flush=True)
    print("\n".join(summary.lines()))
    print(f"{time.monotonic() - started:.0f} s")
    return 1 if summary.failures else 0


if __name__ == "__main__":
    sys.exit(main())
