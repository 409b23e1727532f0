"""A story of customers while it happens: the acts of its plan, the processes that they start, and what must be true after each."""

from __future__ import annotations

import json
import os
import random
import re
import sqlite3
from collections import Counter
from contextlib import closing
from copy import copy
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

from amili_arm_async import ArmClient, ArmError, BulkOptions, BulkReport, ClientCredentials
from amili_arm_async.bulk.outcomes import SUCCESS

from .base_story import BaseStory, MachineStoppedError, Result, run_in_a_world, tasks_of
from .customer_source import customers_of
from .machine import Machine, read, write
from .plan import Act, Plan
from .registry import CustomerService, customer_name, text_of
from .world import Process, World

__all__ = ["HIDE_RESULTS", "Begun", "Story", "run_story"]

_MOST_BRANCHES = 6
_BRANCHES_OFF = 0.1
"""How many commits of a story, at the most, and how often, are moments from which another story branches off."""

_SLOW_DISK = 50.0
"""How many times longer a transaction takes on a slow disk."""

_BRANCHES_WITH_AN_ACT = 0.5
"""How often a branch goes on with what was done when the machine stopped; else the morning comes at once."""


@dataclass
class Begun:
    """A process with what it was given.

    Attributes:
        act: what it does.
        process: the process.
        source: the records that it was given.
        made: what it shows to who started it: reports, and what came of calls.
        is_cut: whether it ended by an error, or was cancelled.
        failure: what it raised.
    """

    act: Act
    process: Process
    source: list[dict[str, Any]]
    made: list[Any] = field(default_factory=list)
    is_cut: bool = False
    failure: BaseException | None = None


class Story(BaseStory):
    """One story. A kind of story says what a process does, and what must be true.

    Args:
        plan: what happens.
        world: the world.
        service: the service.
        machine: the machine.
        folder: where its files are.
    """

    files: ClassVar[tuple[str, ...]] = ()
    """Names of the files that `copy` copies."""

    memory: ClassVar[tuple[str, ...]] = ()
    """Names of what else of a story of this kind belongs to a moment: sets and mappings whose values never change."""

    def __init__(self, plan: Plan, world: World, service: CustomerService, machine: Machine, folder: Path) -> None:
        super().__init__(world)
        self.plan = plan
        self.service = service
        self.machine = machine
        self.folder = folder
        self.copies: dict[str, bytes] = {}
        self.boots = 1
        # What the last job does.
        self._act = Act("")
        # What was read of the files since the last step of the world.
        self._read: tuple[int, dict[tuple[str, str], list[Any]]] = (0, {})
        self._branches = world.stream("branches")
        machine.slowness = _SLOW_DISK if plan.slow_disk else 1.0
        machine.on_commit = self._committed
        # Nothing here asks for it.
        machine.keeps_flushed = False

    # --- what a kind of story has of its own --------------------------------------------------------------------------------

    async def main(self, arm: ArmClient, begun: Begun) -> None:
        """What a process does."""
        raise NotImplementedError

    def before(self, act: Act) -> None:
        """Called before processes start."""

    def after(self, begun: Begun) -> None:
        """Called when a process has come to its end."""

    def check(self) -> None:
        """Called after each act, whatever ended its processes."""

    def restored(self) -> None:
        """Called when the files of a copy were put back."""

    def morning(self) -> None:
        """What is done at last, with a service that is well."""

    def run(self) -> None:
        """Does all acts, then what people do the next morning."""
        try:
            for act in self.plan.acts:
                self.do(act)
                if self.violations:
                    return
        except MachineStoppedError:
            self.branch_off(self.moments.pop())
        else:
            self._morning()

    def _morning(self) -> None:
        self.service.is_well = True
        self.world.wall = self.world.boot = self.world.service = 0.0
        # What is on the way comes before the morning.
        morning = self.world.now + 10_000 * 1_000_000_000
        self.world.after(10_000.0, lambda: None)
        self.world.run(lambda: self.world.now >= morning)
        self.morning()

    # --- branches -------------------------------------------------------------------------------------------------------------

    def _committed(self) -> None:
        """Keeps some of the moments in which a machine may stop."""
        if self.service.is_well or self.branch is not None:
            return
        if self.plan.branch is not None:
            if self.machine.commits == self.plan.branch:
                self.moments.append(self._moment())
                raise MachineStoppedError
        elif len(self.moments) < _MOST_BRANCHES and self._branches.random() < _BRANCHES_OFF:
            self.moments.append(self._moment())

    def _moment(self) -> dict[str, Any]:
        return {
            "world": self.world.kept(),
            "service": self.service.kept(),
            "files": {name: read(f"{self.folder}/{name}") for name in os.listdir(self.folder) if not name.endswith("-shm")},
            "commits": self.machine.commits,
            "scopes": self.machine.scopes_made,
            "connections": self.machine.network.opened,
            "alive": list(self.world.processes),
            "story": {name: copy(getattr(self, name)) for name in ("copies", "boots", "_act", *self.memory)},
        }

    def branch_off(self, moment: dict[str, Any]) -> None:
        """Goes on from a moment in which the machine stopped, whatever came later."""
        self.world.back_to(moment["world"])
        self.service.back_to(moment["service"])
        self.machine.close_dead()
        self.machine.scopes_made, self.machine.network.opened = moment["scopes"], moment["connections"]
        # Later moments are told first, and who is alive now was alive earlier, or not begun.
        for process in moment["alive"]:
            process.was_killed = True
        for name, value in moment["story"].items():
            setattr(self, name, copy(value))
        for path in list(self.folder.iterdir()):
            if path.name not in moment["files"]:
                path.unlink()
        for name, content in moment["files"].items():
            self._put(self.folder / name, content)
        self.branch = moment["commits"]
        self.world.note(f"the processes are killed after commit {self.branch}, and what was on the way is lost")
        self.check()
        if not self.violations and random.Random(f"{self.plan.seed}/{self.branch}").random() < _BRANCHES_WITH_AN_ACT:
            self.do(replace(self._act, kill_at=None, power_cut=False, beside=False, **_WITHOUT_HARM))  # type: ignore[arg-type]
        if not self.violations:
            self._morning()

    # --- acts -----------------------------------------------------------------------------------------------------------------

    def pause(self, seconds: float) -> None:
        """Lets time pass."""
        self.world.now += int(seconds * 1e9)

    def do(self, act: Act) -> list[Begun]:
        """Does one act, and returns its processes."""
        self.world.note(f"act: {act}")
        if act.what == "wait":
            self.pause(abs(act.jump))
        elif act.what == "jump":
            self._jump(act)
        elif act.what == "copy":
            self.copies = {name: (self.folder / name).read_bytes() for name in self._there()}
        elif act.what == "restore":
            if self.copies:
                self._restore()
        else:
            return self._processes(act)
        return []

    def _jump(self, act: Act) -> None:
        setattr(self.world, act.clock, getattr(self.world, act.clock) + act.jump)

    def _processes(self, act: Act) -> list[Begun]:
        self.service.catch_up()
        self._act = act
        self.before(act)
        written = self._contents() if act.dry else {}
        both = [act, replace(act, beside=False, kill_at=None, power_cut=False, **_WITHOUT_HARM)] if act.beside else [act]  # type: ignore[arg-type]
        begun = [self._start(one, keeps_images=act.power_cut and not act.beside and not act.dry) for one in both]
        if act.jump:
            self.world.after(act.at, lambda: self._jump(act))
        self.world.run(lambda: all(one.process.is_done for one in begun))
        if act.power_cut and begun[0].process.was_killed:
            self._power_cut(begun[0].process)
        for one in begun:
            if not one.process.was_killed:
                self._ended(one)
                self.after(one)
        self.pause(1)
        if not any(one.process.was_killed for one in begun):
            # What is under way is processed before people come back, as the documentation takes for granted.
            self.pause(max(0.0, self.service.busy_until - self.world.seconds) + 60)
        self.machine.close_dead()
        if act.dry:
            self._is_dry(begun, written)
        self.check()
        return begun

    def _is_dry(self, begun: list[Begun], written: dict[str, list[str]]) -> None:
        """A dry run sends nothing, and writes nothing."""
        for one in begun:
            if sent := sorted(self.service.sent[one.process.pid]):
                self.violate("dry run", f"it has sent {sent}")
        if changed := [name for name, lines in self._contents().items() if written.get(name) != lines]:
            self.violate("dry run", f"it has written into {changed}")

    def _contents(self) -> dict[str, list[str]]:
        """What each file has, as SQL."""
        found: dict[str, list[str]] = {}
        for name in self.files:
            if (self.folder / name).exists():
                with closing(sqlite3.connect(f"{(self.folder / name).as_uri()}?mode=ro", uri=True)) as connection:
                    found[name] = list(connection.iterdump())
        return found

    def _start(self, act: Act, *, keeps_images: bool) -> Begun:
        begun = Begun(act, None, customers_of(self.plan, act))  # type: ignore[arg-type]

        async def main() -> None:
            auth = ClientCredentials(client_id="client", client_secret="secret", identity_url="http://127.0.0.1:80/identity")
            async with ArmClient(2218, auth=auth, base_url="http://127.0.0.1:80/arm") as arm:
                await self.main(arm, begun)

        process = begun.process = self.world.start(main, act.what)
        process.kill_at, process.cancel_at = act.kill_at, act.cancel_at
        process.freeze_at, process.freeze_for = act.freeze_at, act.freeze_for
        process.disk_fails_at, process.disk_fails = act.disk_fails_at, act.disk_fails
        process.keeps_images = keeps_images
        return begun

    def _ended(self, begun: Begun) -> None:
        """Looks at a process that came to its end."""
        process = begun.process
        # A generator that nobody reads on is closed by a task.
        self.let_end(process, lambda: any(self.machine.held_by(process).values()) or bool(tasks_of(process)))
        self.look_for_what_is_left(process, self.machine)
        process.end()
        task = process.task
        assert task is not None
        begun.failure = None if task.cancelled() else task.exception()
        begun.is_cut = task.cancelled() or begun.failure is not None
        how = f"{process} ended: {begun.failure!r}" if begun.is_cut else f"{process} ended well"
        # The names of temporary folders are drawn, also that of the copy that a dry run makes of a file.
        self.world.note(re.sub(r"/\S*/amili-arm-\w+", "", how.replace(str(self.folder), "")))
        if begun.failure is not None and not isinstance(begun.failure, ArmError):
            self.violate("errors", f"{type(begun.failure).__name__}: {begun.failure}")

    # --- the disk -------------------------------------------------------------------------------------------------------------

    def _there(self) -> list[str]:
        wanted = [f"{name}{end}" for name in self.files for end in ("", "-wal")]
        return [name for name in wanted if (self.folder / name).exists()]

    def _put(self, path: Path, content: bytes) -> None:
        self._read = (0, {})
        write(path, content)

    def _power_cut(self, process: Process) -> None:
        """The machine is off and on again: of the files of a process that died with it, an image since the last flush is left."""
        self.machine.close_dead()
        image = process.after_power_cut()
        for path, content in image.items():
            self._put(Path(path), content)
            if not path.endswith("-wal"):
                Path(f"{path}-shm").unlink(missing_ok=True)
                if f"{path}-wal" not in image:
                    Path(f"{path}-wal").unlink(missing_ok=True)
        self.boots += 1
        self.world.boot_id = f"boot-{self.boots}"
        self.world.boot = -self.world.seconds
        self.world.note("the power was cut")

    def _restore(self) -> None:
        """Puts the copies back, but not what is beside them: older files with the marks of newer ones."""
        self.machine.close_dead()
        for name in self.files:
            for end in ("-wal", "-shm"):
                (self.folder / f"{name}{end}").unlink(missing_ok=True)
        for name, content in self.copies.items():
            self._put(self.folder / name, content)
        self.restored()

    def rows(self, name: str, *queries: str) -> list[list[Any]]:
        """Reads a file of the story, and returns the rows of each query; nothing where there is none. Between two steps nothing changes."""
        if self._read[0] != self.world.steps:
            self._read = (self.world.steps, {})
        there = self._read[1]
        if any((name, query) not in there for query in queries):
            there.update({(name, query): rows for query, rows in zip(queries, self._rows(name, queries), strict=True)})
        return [there[name, query] for query in queries]

    def _rows(self, name: str, queries: tuple[str, ...]) -> list[list[Any]]:
        path = self.folder / name
        if not path.exists():
            return [[] for _ in queries]
        connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
        try:
            return [connection.execute(query).fetchall() for query in queries]
        except sqlite3.OperationalError as exc:
            self.violate("files", f"{name}: {exc}")
            return [[] for _ in queries]
        finally:
            connection.close()

    # --- reports --------------------------------------------------------------------------------------------------------------

    def options(self, act: Act, **others: Any) -> BulkOptions:
        """The options of a run."""
        return BulkOptions(
            max_records=self.plan.batch,
            concurrency=self.plan.concurrency,
            deadline=120.0,
            patience=300.0,
            limit=act.limit or None,
            dry_run=act.dry,
            stop_after_failures=act.stop_after or None,
            **others,
        )

    def is_true(self, report: BulkReport, begun: Begun, *, key: str = "customerNo") -> None:
        """Holds the report of a run of customers against the books."""
        source, read = begun.source, report.totals.records_read
        if sum(report.counts.values()) != read:
            self.violate("sums", f"{dict(report.counts)} for {read} records")
        most = min(begun.act.limit or len(source), len(source))
        if not begun.is_cut and read != most:
            self.violate("sums", f"{read} of {most} records read")
        named = list(report.failures())
        self.states.update((failure.state, failure.reason) for failure in named)
        failures = {failure.index: failure for failure in named}
        counted = read - sum(report.counts[state] for state in SUCCESS)
        if len(failures) != len(named) or len(named) != counted:
            self.violate("named once", f"{len(failures)} records in {len(named)} names, and {counted} are counted")
        for index, failure in failures.items():
            number = source[index].get(key)
            if str(failure.key).casefold() != str(number).casefold():
                self.violate("index", f"record {index} is {number}, and named {failure.key}")
        is_good = report.source_exhausted or report.limited_to is not None
        if report.ok != (is_good and not failures and report.shortfall is None):
            self.violate("ok", f"the report says {report.ok}: {report.summary()}")
        if key == "customerNo" and not begun.act.dry:
            self._contradicts(report, begun, failures)
            self._one_after_the_other(begun)

    def _one_after_the_other(self, begun: Begun) -> None:
        """What is sent for a customer waits for the result of what was sent before: an older record must not overtake a newer one."""
        if not HIDE_RESULTS.isdisjoint(self.service.struck) or begun.act.freeze_at is not None:
            # Who was stopped may not have heard what it was told.
            return
        for name in {customer_name(record) for record in begun.source}:
            mine = [one for one in self.service.versions[name] if one.process is begun.process]
            for place, (before, after) in enumerate(pairwise(mine)):
                # A batch that is sent once more has what it had.
                is_newer = all(text_of(after.record) != text_of(one.record) for one in mine[: place + 1])
                if is_newer and before.is_heard and before.taken_at < after.taken_at < before.done_at:
                    self.violate("one after the other", f"{text_of(after.record)} is sent, and {text_of(before.record)} is processed still")

    def _contradicts(self, report: BulkReport, begun: Begun, failures: dict[int, Any]) -> None:
        """Compares states with what came of these customers at the service."""
        if begun.act.touched:
            # What was sent is no longer in the source.
            return
        sent = self.service.sent[begun.process.pid]
        # With a journal the result of an earlier process may come only now; and an extra answer may name the batch of one.
        is_of_any = begun.act.journal or self.service.struck["extra_answer"]
        refused = self.service.refused[begun.process.pid].union(*self.service.refused.values() if is_of_any else ())
        times = Counter(text_of(record) for record in begun.source)
        for index, failure in failures.items():
            record = begun.source[index]
            name, text = customer_name(record), text_of(record)
            if failure.state in {"not_sent", "rejected", "invalid"} and sent[text] and times[text] == 1:
                self.violate("contradiction", f"{name} is {failure.state}, and was taken")
            elif failure.state == "failed" and text not in refused:
                self.violate("contradiction", f"{name} is failed, and the service says nothing of that")
        states = [failures[index].state if index in failures else None for index in range(report.totals.records_read)]
        if not report.counts["unchanged"] and not report.counts["done_before"]:
            claimed = Counter(text_of(begun.source[index]) for index, state in enumerate(states) if state is None)
            for text, number in claimed.items():
                # The result of another batch says no more than the number of the customer.
                is_of_another = self.service.struck["extra_answer"] and self.service.versions[customer_name(json.loads(text))]
                if sent[text] < number and not is_of_another:
                    self.violate("contradiction", f"{text} succeeded {number} times, and was taken {sent[text]} times")


HIDE_RESULTS = frozenset({"poll_odd", "result_gone"})
"""Faults after which a record has its last state, though it is not processed."""

_WITHOUT_HARM = {"cancel_at": None, "disk_fails_at": None}


def run_story(cls: type[Story], plan: Plan, *, keep_log: bool = False, branches: bool = True) -> Result:
    """Runs a story in a world of its own, and those that branch off from it."""
    return run_in_a_world(plan, CustomerService, partial(cls, plan), keep_log=keep_log, branches=branches)
