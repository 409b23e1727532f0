"""What happens in one world, as data: drawn from a seed, run, held against the service's books, and shrunk where something is wrong."""

from __future__ import annotations

import asyncio
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from amili_arm_async import ArmClient, ArmError, BulkOptions, BulkReport, ClientCredentials, Reconcile

from .graveyard import bury, stories
from .machine import Machine
from .network import Network
from .service import FAULTS, Service, name_of
from .world import DeadlockError, EndlessError, Process, World

__all__ = ["Act", "Result", "Scenario", "draw", "run_scenario", "shrink"]

_MEMORY = "/dev/shm"
RUN = "2026-11-20"


@dataclass(frozen=True)
class Act:
    """What a person does.

    Attributes:
        what: sends the documents, looks up those that are unknown, or changes the machine.
        kill_at: the turn of its loop before which the process is killed; None: it lives.
        cancel_at: the turn before which it is cancelled.
        order: how the source is ordered: a seed; 0: as it is.
        documents: how many of the documents are in the source.
        run_id: the name of the run.
        reconcile: whether the run looks up what is unknown at its end.
        resend_absent: whether documents that are absent are resent.
        jump: seconds by which a clock jumps.
        clock: which clock.
        at: when it jumps, in seconds after the act begins.
    """

    what: Literal["send", "reconcile", "jump", "wait", "copy", "restore"]
    kill_at: int | None = None
    cancel_at: int | None = None
    order: int = 0
    documents: int = 12
    run_id: str = RUN
    reconcile: bool = False
    resend_absent: bool = False
    jump: float = 0.0
    clock: Literal["wall", "boot", "service"] = "wall"


@dataclass(frozen=True)
class Scenario:
    """The story of one seed.

    Attributes:
        seed: decides what is not written here.
        acts: what people do, one after the other.
        faults: what may go wrong.
        odds: how often it does.
        documents: how many documents there are.
        unnumbered: how many of them have no number; some of these say the same.
        batch: records of a batch.
        concurrency: batches at once.
    """

    seed: int
    acts: tuple[Act, ...]
    faults: tuple[str, ...]
    odds: float
    documents: int = 12
    unnumbered: int = 0
    batch: int = 3
    concurrency: int = 3

    def to_dict(self) -> dict[str, Any]:
        """Returns it as JSON has it; acts without what is as usual."""
        usual = asdict(Act("send"))
        acts = [{name: value for name, value in asdict(act).items() if name == "what" or value != usual[name]} for act in self.acts]
        return {**asdict(self), "acts": acts}

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> Scenario:
        """Reads what `to_dict` returned."""
        return cls(**{**value, "acts": tuple(Act(**act) for act in value["acts"]), "faults": tuple(value["faults"])})


@dataclass
class Result:
    """What came of it.

    Attributes:
        violations: what must not be, each with the name of the rule in front.
        trace: a hash of all that happened.
        log: the lines of the story, if they were kept.
        service: with its books.
        states: how often records ended in which state and reason.
    """

    violations: list[str]
    trace: str
    log: list[str]
    service: Service
    states: Counter[tuple[str, str | None]] = field(default_factory=Counter)


def draw(seed: int) -> Scenario:
    """Draws the story of a seed: each has its own subset of the faults, so that some are seen alone and often."""
    rng = random.Random(f"{seed}/scenario")
    share = rng.choice((0.1, 0.3, 0.6))
    documents = rng.choice((4, 8, 12, 12, 12, 24))
    acts: list[Act] = []
    for _ in range(rng.choice((1, 2, 2, 3, 4))):
        what = rng.choices(("send", "reconcile", "jump", "wait", "copy", "restore"), (60, 14, 8, 8, 5, 5))[0]
        acts.append(_act(rng, what, documents))
    return Scenario(
        seed,
        tuple(acts),
        tuple(fault for fault in FAULTS if rng.random() < share),
        rng.choice((0.02, 0.1, 0.3, 0.6)),
        documents,
        rng.choice((0, 0, documents // 3)),
        rng.choice((1, 2, 3, 5)),
        rng.choice((1, 2, 3, 8)),
    )


def _act(rng: random.Random, what: Any, documents: int) -> Act:
    if what in {"copy", "restore"}:
        return Act(what)
    if what in {"jump", "wait"}:
        clock = rng.choice(("wall", "boot", "service"))
        return Act(what, jump=rng.choice((1, -1)) * rng.choice((5.0, 100.0, 4000.0, 100_000.0)), clock=clock)  # type: ignore[arg-type]
    return Act(
        what,
        kill_at=int(rng.expovariate(1 / 60)) + 2 if rng.random() < 0.5 else None,
        cancel_at=int(rng.expovariate(1 / 60)) + 2 if rng.random() < 0.1 else None,
        order=rng.randrange(1, 1000) if rng.random() < 0.3 else 0,
        documents=rng.choice((documents, documents, max(1, documents // 2))),
        reconcile=rng.random() < 0.3,
        resend_absent=rng.random() < 0.4,
    )


# --- running ----------------------------------------------------------------------------------------------------------------


def run_scenario(scenario: Scenario, *, keep_log: bool = False) -> Result:
    """Runs a story in a world of its own."""
    world = World(scenario.seed, keep_log=keep_log)
    service = Service(world)
    service.enabled, service.odds = frozenset(scenario.faults), scenario.odds
    network = Network(world, service)
    network.refuses = lambda: service.strikes("refused") is not None
    machine = Machine(world, network)
    folder = Path(tempfile.mkdtemp(dir=_MEMORY if Path(_MEMORY).is_dir() else None, prefix="simulation-"))
    story = _Story(scenario, world, service, machine, folder)
    try:
        with stories(), machine.under():
            try:
                story.run()
            except DeadlockError:
                story.violate("ends", "a process waits for ever")
            except EndlessError:
                story.violate("ends", "a process does not end")
    finally:
        shutil.rmtree(folder)
        bury(world, machine, network, story)
    return Result(story.violations, world.trace.hexdigest(), world.log or [], service, story.states)


class _Story:
    def __init__(self, scenario: Scenario, world: World, service: Service, machine: Machine, folder: Path) -> None:
        self.scenario = scenario
        self.world = world
        self.service = service
        self.machine = machine
        self.folder = folder
        self.violations: list[str] = []
        self.states: Counter[tuple[str, str | None]] = Counter()
        self.documents = list(_documents(scenario))
        self.copies: dict[str, bytes] = {}
        self.was_restored = False

    def violate(self, rule: str, what: str) -> None:
        """Takes note of what must not be."""
        self.violations.append(f"{rule}: {what}")
        self.world.note(f"VIOLATION {rule}: {what}")

    def run(self) -> None:
        """Does all acts, then what people do the next morning: once more with a service that is well, and a last time."""
        for act in self.scenario.acts:
            self._do(act)
            if self.violations:
                return
        self.service.is_well = True
        self.world.wall = self.world.boot = self.world.service = 0.0
        self.world.now += 10_000 * 1_000_000_000
        everything = Act("send", documents=self.scenario.documents)
        for _ in range(3):
            report = self._do(everything)
            if report is not None:
                self._all_is_sent(report)
            # What failed in the last run is sent again by the next one.
            if report is None or not report.counts["failed"]:
                break
        writes = self.service.writes
        self._do(everything)
        if self.service.writes != writes:
            self.violate("nothing again", "a run after a run of everything sends something")

    # --- acts -----------------------------------------------------------------------------------------------------------------

    def _do(self, act: Act) -> BulkReport | None:
        self.world.note(f"act: {act}")
        if act.what == "wait":
            self.world.now += int(abs(act.jump) * 1e9)
        elif act.what == "jump":
            setattr(self.world, act.clock, getattr(self.world, act.clock) + act.jump)
        elif act.what == "copy":
            self.copies = self._files()
        elif act.what == "restore":
            self._restore()
        else:
            return self._process(act)
        return None

    def _process(self, act: Act) -> BulkReport | None:
        source = [self.documents[place] for place in self._order(act)]
        made: list[BulkReport] = []
        process = self.world.start(lambda: self._main(act, source, made), act.what)
        process.kill_at, process.cancel_at = act.kill_at, act.cancel_at
        self.world.run(lambda: process.is_done)
        self._nothing_twice()
        if process.was_killed:
            return None
        # What a cancelled run leaves to its thread is done soon.
        until = self.world.now + 1_000_000_000
        self.world.after(1.0, lambda: None)
        self.world.run(lambda: self.world.now >= until or not any(self.machine.held_by(process).values()))
        self._left_nothing(process)
        process.end()
        assert process.task is not None
        failure = None if process.task.cancelled() else process.task.exception()
        if failure is not None and not isinstance(failure, ArmError):
            self.violate("errors", f"{type(failure).__name__}: {failure}")
        if made and act.what == "send":
            self._is_true(made[0], source, failure is not None or process.task.cancelled())
        return made[0] if made and failure is None and not process.task.cancelled() else None

    def _order(self, act: Act) -> list[int]:
        places = list(range(min(act.documents, len(self.documents))))
        if act.order:
            random.Random(act.order).shuffle(places)
        return places

    async def _main(self, act: Act, source: list[dict[str, Any]], made: list[BulkReport]) -> None:
        auth = ClientCredentials(client_id="client", client_secret="secret", identity_url="http://127.0.0.1:80/identity")
        async with ArmClient(2218, auth=auth, base_url="http://127.0.0.1:80/arm") as arm:
            if act.what == "reconcile":
                made.append(
                    await arm.documents.reconcile(
                        self.folder / "journal",
                        run_id=act.run_id,
                        resend_absent=act.resend_absent,
                        options=self._options(act, journal=False),
                    )
                )
            else:
                run = arm.documents.create_many(source, options=self._options(act, journal=True))
                made.append(run.report)
                await run

    def _options(self, act: Act, *, journal: bool) -> BulkOptions:
        settings: dict[str, Any] = {"journal": self.folder / "journal", "run_id": act.run_id} if journal else {}
        if journal and act.reconcile:
            settings["reconcile"] = Reconcile(resend_absent=act.resend_absent)
        return BulkOptions(
            max_records=self.scenario.batch, concurrency=self.scenario.concurrency, deadline=120.0, patience=300.0, **settings
        )

    # --- the disk -------------------------------------------------------------------------------------------------------------

    def _files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted(self.folder.iterdir()) if path.name.startswith("journal")}

    def _restore(self) -> None:
        """Puts the copy of the journal back, without the mark: an older file with the mark of a newer one."""
        if not self.copies:
            return
        self.machine.close_dead()
        self.was_restored = True
        for name, content in self.copies.items():
            if not name.endswith("-mark"):
                with (self.folder / name).open("r+b" if (self.folder / name).exists() else "wb") as file:
                    file.truncate()
                    file.write(content)
        for path in list(self.folder.iterdir()):
            if path.name not in self.copies and path.name.endswith(("-wal", "-shm")):
                path.unlink()

    # --- what must be true ----------------------------------------------------------------------------------------------------

    def _nothing_twice(self) -> None:
        there = Counter(name_of(document) for document in self.documents)
        for name, number in self.service.taken.items():
            if number > there[name]:
                self.violate("taken twice", f"{name}: {number} times, and it is {there[name]} times in the source")

    def _is_true(self, report: BulkReport, source: list[dict[str, Any]], is_cut: bool) -> None:
        """Holds a report against the books."""
        if sum(report.counts.values()) != report.totals.records_read:
            self.violate("sums", f"{dict(report.counts)} for {report.totals.records_read} records")
        if not is_cut and report.totals.records_read != len(source):
            self.violate("sums", f"{report.totals.records_read} of {len(source)} records read")
        failures = {failure.index: failure for failure in report.failures()}
        self.states.update((failure.state, failure.reason) for failure in failures.values())
        claimed: Counter[str] = Counter()
        for index in range(report.totals.records_read):
            failure, name = failures.get(index), name_of(source[index])
            if failure is None:
                claimed[name] += 1
            elif failure.key != source[index].get("documentNo"):
                self.violate("index", f"record {index} is {source[index].get('documentNo')}, and named {failure.key}")
            elif failure.state in {"not_sent", "rejected"} and not self.was_restored:
                self._not_taken(failure.state, name, source)
            elif failure.state == "failed" and name not in self.service.failed:
                self.violate("contradiction", f"{name} is failed, and the service says nothing of that")
        for name, number in claimed.items():
            if self.service.taken[name] < number:
                self.violate("contradiction", f"{name} succeeded {number} times, and was taken {self.service.taken[name]} times")

    def _not_taken(self, state: str, name: str, source: list[dict[str, Any]]) -> None:
        if self.service.taken[name] and sum(name_of(document) == name for document in source) == 1:
            self.violate("contradiction", f"{name} is {state}, and was taken")

    def _all_is_sent(self, report: BulkReport) -> None:
        """With a service that is well, nothing that may be sent is left."""
        left = {failure.state for failure in report.failures()} - {"unknown", "accepted", "failed"}
        if left - ({"invalid"} if self.was_restored else set()):
            self.violate("all is sent", f"{dict(report.counts)}")

    def _left_nothing(self, process: Process) -> None:
        tasks = [task for task in asyncio.all_tasks(process.loop) if task is not process.task and not task.done()]
        if tasks:
            self.violate("left behind", f"{len(tasks)} tasks, such as {tasks[0].get_name()}")
        for what, number in self.machine.held_by(process).items():
            if number:
                self.violate("left behind", f"{number} {what}")


def _documents(scenario: Scenario) -> Iterator[dict[str, Any]]:
    numbered = scenario.documents - scenario.unnumbered
    for number in range(scenario.documents):
        record = {"documentType": "IN", "customerNo": str(number % 3)}
        if number < numbered:
            yield {"documentNo": f"D{number:03}", **record}
        else:
            # Every second one says the same as the one before it.
            yield {**record, "customerNo": "9", "yourReference": f"R{(number - numbered) // 2}"}


# --- shrinking --------------------------------------------------------------------------------------------------------------


def shrink(scenario: Scenario, fails: Callable[[Scenario], bool]) -> Scenario:
    """Returns a smaller story that still fails: fewer acts, faults and documents, and acts without what they do not need."""
    changed = True
    while changed:
        changed = False
        for smaller in _smaller(scenario):
            if fails(smaller):
                scenario, changed = smaller, True
                break
    return scenario


def _smaller(scenario: Scenario) -> Iterator[Scenario]:
    acts = scenario.acts
    for place in range(len(acts)):
        yield replace(scenario, acts=acts[:place] + acts[place + 1 :])
    half = len(scenario.faults) // 2
    if half > 1:
        yield replace(scenario, faults=scenario.faults[:half])
        yield replace(scenario, faults=scenario.faults[half:])
    for fault in scenario.faults:
        yield replace(scenario, faults=tuple(other for other in scenario.faults if other != fault))
    for place, act in enumerate(acts):
        for simpler in ({"cancel_at": None}, {"kill_at": None}, {"order": 0}, {"reconcile": False}, {"resend_absent": False}):
            if any(getattr(act, name) != value for name, value in simpler.items()):
                yield replace(scenario, acts=(*acts[:place], replace(act, **simpler), *acts[place + 1 :]))  # type: ignore[arg-type]
    if scenario.unnumbered:
        yield replace(scenario, unnumbered=0)
    if scenario.documents > 2:
        fewer = scenario.documents // 2
        cut = tuple(replace(act, documents=min(act.documents, fewer)) for act in acts)
        yield replace(scenario, documents=fewer, unnumbered=min(scenario.unnumbered, fewer), acts=cut)
    if scenario.concurrency > 1:
        yield replace(scenario, concurrency=1)
