"""What the stories of all kinds share: a world of their own, rules that are violated, branches, and an end in any case."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from .graveyard import bury, stories
from .machine import Machine
from .network import Network
from .service import Service
from .world import SECOND, DeadlockError, EndlessError, Process, World

if TYPE_CHECKING:
    from .drawing import Scenario
    from .plan import Plan
    from .shared_plan import SharedPlan

__all__ = ["BaseStory", "MachineStoppedError", "Result", "make_world", "run_in_a_world", "tasks_of"]

_MEMORY = "/dev/shm"

_ServiceT = TypeVar("_ServiceT", bound=Service)
_MachineT = TypeVar("_MachineT", bound=Machine)


class MachineStoppedError(BaseException):
    """Everything stops: from here on it is a branch."""


@dataclass
class Result:
    """What came of a story.

    Attributes:
        violations: what must not be, each with the name of the rule in front.
        trace: a hash of all that happened.
        log: the lines of the story, if they were kept.
        struck: how often each fault struck.
        states: how often records ended in which state and reason.
        cases: how many stories it was: that of the acts, and one for each commit after which another one branched off.
        branch: the branch in which a rule was violated, or None.
        struck_at: the moments in which a fault struck.
    """

    violations: list[str]
    trace: str
    log: list[str]
    struck: Counter[str]
    states: Counter[tuple[str, str | None]] = field(default_factory=Counter)
    cases: int = 1
    branch: int | None = None
    struck_at: tuple[int, ...] = ()


class BaseStory:
    """A story while it happens.

    Args:
        world: the world.

    Attributes:
        violations: what must not be.
        states: how often records ended in which state and reason.
        moments: those from which another story may still branch off.
        branch: the commit after which this one branched off, or None.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.violations: list[str] = []
        self.states: Counter[tuple[str, str | None]] = Counter()
        self.moments: list[dict[str, Any]] = []
        self.branch: int | None = None

    def run(self) -> None:
        """Does all acts, and what people do the next morning."""
        raise NotImplementedError

    def branch_off(self, moment: dict[str, Any]) -> None:
        """Goes on from a moment in which the machine stopped, whatever came later."""
        raise NotImplementedError

    def violate(self, rule: str, what: str) -> None:
        """Takes note of what must not be."""
        self.violations.append(f"{rule}: {what}")
        self.world.note(f"VIOLATION {rule}: {what}")

    def let_end(self, process: Process, is_left: Callable[[], bool]) -> None:
        """Lets a process whose main task has ended do what that left to others: it is soon done, unless the process is stopped.

        Args:
            process: the process.
            is_left: whether it has anything left.
        """
        world = self.world
        until = world.now + SECOND
        world.after(1.0, lambda: None)
        world.run(lambda: world.now >= max(until, process.frozen_until + SECOND) or not (is_left() or _closes_generators(process)))

    def look_for_what_is_left(self, process: Process, machine: Machine) -> None:
        """Looks for what a process that came to its end has not closed. One that was killed meanwhile closes nothing."""
        if not process.is_alive:
            return
        if tasks := tasks_of(process):
            self.violate("left behind", f"{len(tasks)} tasks, such as {tasks[0].get_name()}")
        for what, number in machine.held_by(process).items():
            if number:
                self.violate("left behind", f"{number} {what}")

    def tell(self, part: Callable[[], None]) -> None:
        """Tells a part of the story, with an end in any case."""
        try:
            part()
        except DeadlockError:
            self.violate("ends", "a process waits for ever")
        except EndlessError:
            self.violate("ends", "a process does not end")


def tasks_of(process: Process) -> list[asyncio.Task[Any]]:
    """The tasks of a process that are not done, but for its main one."""
    # Not what asyncio says: its set has none of the simulated tasks.
    return [task for task in process.loop.made if task is not process.task and not task.done()]


def _closes_generators(process: Process) -> bool:
    """Whether a generator that the program has dropped is being closed: asyncio does that in a task of its own."""
    return any(type(task.get_coro()).__name__ == "async_generator_athrow" for task in tasks_of(process))


def make_world(
    told: Scenario | Plan | SharedPlan,
    service_of: Callable[[World], _ServiceT],
    machine_of: Callable[[World, Network, _ServiceT], _MachineT],
    *,
    keep_log: bool = False,
) -> tuple[World, _ServiceT, _MachineT]:
    """Makes the world of a story, with the faults that may strike in it.

    Args:
        told: the story.
        service_of: makes the service.
        machine_of: makes the machine.
        keep_log: whether the lines of the story are kept.
    """
    world = World(told.seed, keep_log=keep_log)
    service = service_of(world)
    service.enabled, service.odds = frozenset(told.faults), told.odds
    service.only = frozenset(told.only) if told.only is not None else None
    network = Network(world, service)
    network.refuses = lambda: service.strikes("refused") is not None
    return world, service, machine_of(world, network, service)


def _one_machine(world: World, network: Network, _: Service) -> Machine:
    return Machine(world, network)


def run_in_a_world(
    told: Scenario | Plan | SharedPlan,
    service_of: Callable[[World], _ServiceT],
    story_of: Callable[[World, _ServiceT, Any, Path], BaseStory],
    *,
    keep_log: bool,
    branches: bool = False,
    machine_of: Callable[[World, Network, _ServiceT], Machine] = _one_machine,
) -> Result:
    """Runs a story in a world of its own, and those that branch off from it."""
    world, service, machine = make_world(told, service_of, machine_of, keep_log=keep_log)
    folder = Path(tempfile.mkdtemp(dir=_MEMORY if Path(_MEMORY).is_dir() else None, prefix="simulation-"))
    story = story_of(world, service, machine, folder)
    try:
        with stories(), machine.under():
            story.tell(story.run)
            cases = 1
            while branches and story.moments and not story.violations:
                cases += 1
                story.tell(partial(story.branch_off, story.moments.pop()))
    finally:
        shutil.rmtree(folder)
        bury(world, machine, story)
    log, struck_at = world.log or [], tuple(service.struck_at)
    return Result(story.violations, world.trace.hexdigest(), log, service.struck, story.states, cases, story.branch, struck_at)
