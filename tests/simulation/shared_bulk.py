"""A large shared run in the world of the stories: `python -m tests.simulation.shared_bulk --documents 1000000 --parts 64`.

Documents are generated, and the service keeps one byte for each: how often it was taken. Some workers send parts at the same time. They are
killed, or frozen past their lease while a rival sends the part, and started again; the service and the way to the database have faults. In
the end what is unknown is looked up, and the merged report is held against the books. It needs PostgreSQL.
"""

from __future__ import annotations

import argparse
import gzip
import random
import resource
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any
from unittest import mock

import msgspec

from amili_arm_async.bulk.outcomes import SUCCESS
from amili_arm_async.bulk.parts import PartHash

from . import world as of_world
from .base_story import make_world
from .graveyard import bury, stories
from .service import Batch
from .shared_plan import SharedAct, SharedPlan
from .shared_server import with_database
from .shared_story import SharedMachine, SharedService, SharedStory, _Begun, shared_machine
from .world import Process, World

__all__ = ["main"]

_FAULTS = (
    *("refused", "reset_before", "reset_in_body", "reset_after", "silence_before", "silence_after", "slow_answer", "status_before"),
    *("status_after", "proved_refusal", "cut_answer", "no_uuid", "poll_fails", "result_gone", "slow_processing", "look_up_fails"),
    *("database_refuses", "cut_before", "cut_between", "cut_after", "answer_late", "arrives_late", "never_arrives"),
)
_AT_ONCE = 10_000


class _Number(msgspec.Struct):
    documentNo: str  # noqa: N815 - as in the API


class _Body(msgspec.Struct):
    documents: list[_Number]


_BODY = msgspec.json.Decoder(_Body)


def _document(number: int) -> dict[str, Any]:
    return {
        "documentNo": f"D{number:08}",
        "documentType": "IN",
        "customerNo": str(number % 1000),
        "currencyCode": "NOK",
        "currencyAmounts": {"inclVat": number % 997 + 1},
    }


class _BulkService(SharedService):
    """The service, whose books have one byte for each document."""

    def __init__(self, world: World, documents: int) -> None:
        super().__init__(world)
        self.times = bytearray(documents)

    def _take(self, request: Any) -> str:
        body = gzip.decompress(request.body) if request.headers.get("content-encoding") == "gzip" else request.body
        for one in _BODY.decode(body).documents:
            self.times[int(one.documentNo[1:])] += 1
        uuid = f"{self._uuids.getrandbits(64):016x}-{len(self.batches)}"
        processing = self._rng.random() * (90 if self.strikes("slow_processing") else 2)
        self.batches[uuid] = Batch(uuid, [], self.world.seconds, self.world.seconds + processing)
        return uuid

    def _result(self, batch: Batch) -> Any:
        return {"batchUuid": batch.uuid, "status": "SUCCEEDED"}

    def _look_up(self, connection: Any, number: str) -> None:
        if self.strikes("look_up_fails"):
            self._answer(connection, 503, {})
        elif self.times[int(number[1:])]:
            self._answer(connection, 200, _document(int(number[1:])))
        else:
            self._answer(connection, 404, {"message": "no such document"})


class _BulkStory(SharedStory):
    """A large run, and those who send it."""

    def __init__(
        self, plan: SharedPlan, world: World, service: _BulkService, machine: SharedMachine, documents: int, workers: int, harm: float
    ) -> None:
        super().__init__(plan, world, service, machine)
        self.times = service.times
        self.workers = workers
        self.harm = harm
        self.counted: Counter[str] = Counter()
        hashes = PartHash(plan.parts)
        starts = [*range(0, documents, _AT_ONCE), documents]
        self.part_of = bytearray()
        for first, last in pairwise(starts):
            self.part_of += bytes(hashes.of_keys([f"D{number:08}" for number in range(first, last)]))

    def _of_part(self, part: int) -> Iterator[dict[str, Any]]:
        """The documents of a part."""
        place = self.part_of.find(part)
        while place >= 0:
            yield _document(place)
            place = self.part_of.find(part, place + 1)

    def _source_of(self, begun: _Begun, part: int) -> Any:
        return self._of_part(part)

    def _taken(self, records: list[dict[str, Any]], sender: Process) -> None:
        """Which documents are in the journal is too much to be read each time."""

    def _is_true(self, begun: _Begun, part: int, report: Any, source: Any) -> None:
        read = report.totals.records_read
        if sum(report.counts.values()) != read or (begun.is_whole and read != self.part_of.count(part)):
            self.violate("sums", f"{dict(report.counts)} for {read} of {self.part_of.count(part)} records of part {part}")

    def _is_consistent(self, begun: _Begun) -> None:
        """The one report is read at the end, and held against the books then."""

    def _nothing_twice(self) -> None:
        if max(self.times) > 1:
            self.violate("taken twice", f"{sum(number > 1 for number in self.times)} documents")

    def run(self) -> None:
        """Sends all parts, then looks up what is unknown, and reads the report."""
        chance = random.Random(f"{self.plan.seed}/bulk")
        self._send(chance, self.harm)
        self.service.is_well = True
        self._send(chance, 0.0, reconcile=True, resend=True)
        told = self.start(SharedAct("report"))
        self._pass(lambda: True)
        if told.told is not None:
            self._is_the_truth(told.told, told.failures, looks=True)

    def _send(self, chance: random.Random, harm: float, **settings: Any) -> None:
        """Sends all parts, so many at once; what is killed is started again."""
        waiting, running = deque(range(self.plan.parts)), dict[int, _Begun]()

        def engine() -> None:
            for begun in [one for one in running.values() if one.process.is_done]:
                del running[begun.process.pid]
                if not begun.is_whole:
                    waiting.append(begun.act.parts[0])
            while waiting and len(running) < self.workers:
                self._begin(chance, harm, waiting.popleft(), running, settings)
            if running or waiting:
                self.world.after(1.0, engine)

        engine()
        self._pass(lambda: not running and not waiting)

    def _begin(self, chance: random.Random, harm: float, part: int, running: dict[int, _Begun], settings: dict[str, Any]) -> None:
        act = SharedAct("worker", host=chance.randrange(8), parts=(part,), pass_over=False, listed=False, **settings)
        fate, exchange = chance.random(), chance.randrange(5, 60)
        if fate < harm / 2:
            act = replace(act, kill_exchange=exchange)
            self.counted["killed"] += 1
        elif fate < harm:
            act = replace(act, freeze_exchange=exchange, freeze_for=self.plan.lease * 2.5)
            rival = self.start(replace(act, host=chance.randrange(8), freeze_exchange=None))
            running[rival.process.pid] = rival
            self.counted["frozen"] += 1
        begun = self.start(act)
        running[begun.process.pid] = begun
        self.counted["workers"] += 1

    def _is_the_truth(self, report: Any, failures: list[Any], *, looks: bool) -> None:
        counts = Counter({state: number for state, number in report.counts.items() if number})
        documents = len(self.times)
        if counts.total() != documents or len({failure.key for failure in failures}) != len(failures):
            self.violate("named once", f"{dict(counts)} of {documents} documents, and {len(failures)} names")
        named = {int(failure.key[1:]): failure.state for failure in failures}
        claimed = documents - len(named)
        if claimed != sum(counts[state] for state in SUCCESS):
            self.violate("named once", f"{len(named)} names, and {dict(counts)}")
        lost = sum(not number for place, number in enumerate(self.times) if place not in named)
        if lost:
            self.violate("contradiction", f"{lost} documents are done, and were never taken")
        denied = [place for place, state in named.items() if state != "unknown" and self.times[place]]
        if denied:
            self.violate("contradiction", f"{len(denied)} documents were taken, and the report says otherwise: {denied[:3]}")
        expected = sum(place % 997 + 1 for place in range(documents)) - sum(place % 997 + 1 for place in named)
        money = [part.money for part in report.to_schema().parts if part.money is not None]
        amounts = [(state, amount) for one in money for currency in one.currencies for state, amount in currency.states.items()]
        found = sum(int(float(amount.total or 0)) for state, amount in amounts if state in SUCCESS)
        if found != expected:
            self.violate("money", f"{found} succeeded, and the documents that did have {expected}")
        print(report.summary())


def main() -> int:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--parts", type=int, default=64, help="255 at the most")
    parser.add_argument("--workers", type=int, default=8, help="parts that are sent at once")
    parser.add_argument("--batch", type=int, default=1000, help="documents of a batch")
    parser.add_argument("--harm", type=float, default=0.3, help="of so many workers one is killed or frozen past its lease (default 0.3)")
    parser.add_argument("--odds", type=float, default=0.02, help="how often a fault strikes (default 0.02)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with with_database() as is_there:
        if not is_there:
            print("it needs PostgreSQL and psycopg, which are not installed: skipped")
            return 0
        return _run(arguments)


def _run(arguments: argparse.Namespace) -> int:
    plan = SharedPlan(arguments.seed, (), _FAULTS, arguments.odds, 0, arguments.parts, lease=10.0, batch=arguments.batch, concurrency=4)
    world, service, machine = make_world(plan, lambda world: _BulkService(world, arguments.documents), shared_machine)
    began = time.monotonic()
    story = _BulkStory(plan, world, service, machine, arguments.documents, arguments.workers, arguments.harm)
    # It is as long as it is.
    with stories(), machine.under(), mock.patch.object(of_world, "_MOST_STEPS", sys.maxsize):
        story.tell(story.run)
    bury(world, machine, story)
    passed = time.monotonic() - began
    taken, twice = sum(service.times), sum(number > 1 for number in service.times)
    print(f"{arguments.documents} documents in {arguments.parts} parts: {taken} deliveries, {twice} taken twice")
    print(f"{dict(story.counted)}, {story.takeovers} parts taken over; faults {service.struck.total()}: {dict(service.struck)}")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{world.seconds:.0f} s of the world in {passed:.0f} s; {arguments.documents / passed:.0f} documents a second; {memory:.0f} MiB")
    print(*story.violations or ["nothing is wrong"], sep="\n")
    return 1 if story.violations else 0


if __name__ == "__main__":
    sys.exit(main())
