"""Stories of shared runs: workers on several machines send the parts of one run, whose journal is in a PostgreSQL.

They are killed, frozen past their lease and cancelled; machines go off without a word; clocks jump; the database is killed or stopped, and
connections to it are cut before and after a commit. In the morning all parts are sent to their end, and the merged report is held against
the books of the service.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from typing import Any
from unittest import mock

from amili_arm_async import ArmClient, ArmError, BulkOptions, BulkReport, Reconcile, clock, codec, part_of
from amili_arm_async.bulk.outcomes import SUCCESS
from amili_arm_async.database import worker
from amili_arm_async.postgres import connection, owner, pressure, schema
from amili_arm_async.resources.shared_run import SharedReport

from .base_story import BaseStory, Result, run_in_a_world
from .books import total_of
from .machine import Machine
from .network import Network
from .service import BLIND, Service, name_of
from .shared_database import URL, Commit, Database
from .shared_plan import SharedAct, SharedPlan
from .shared_threads import Threads
from .world import Process, World

__all__ = ["run_shared", "shared_machine"]

RUN = "2026-11-20"
_CLIENT = 2218

_MORNINGS = 6
"""Times that everything is sent, after which nothing is left to be sent."""

_LOOKED_UP = 2
"""Of so many stories, one looks up what is unknown in the morning."""

_AGAIN, _BESIDE = 3, 5
"""Of so many stories, one sends everything until nothing is sent any more; and in one, two workers do it at once."""

_DATABASE_ODDS = 0.4
"""How much rarer a fault of the database is than one of the service: there are more messages."""

_LOST = "has lost what it had committed"
"""What the library says of a database that was set back."""

_SECOND = 1_000_000_000

_MAY_BE_TAKEN = "state <> 'queued' AND (state <> 'settled' OR final NOT IN ('not_sent', 'rejected', 'invalid') OR exceptions IS NOT NULL)"


# --- the world of it --------------------------------------------------------------------------------------------------------------


class SharedService(Service):
    """The service, which knows who sent what.

    Attributes:
        sent: by process, how often it had a document taken.
        on_taken: called with the documents that are taken, and who sent them.
    """

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.sent: dict[int, Counter[str]] = {}
        self.on_taken: Callable[[list[dict[str, Any]], Process], object] = lambda *_: None
        self._sender: Process | None = None

    def _write(self, connection: Any, request: Any) -> None:
        self._sender = connection.process
        super()._write(connection, request)

    def _take(self, request: Any) -> str:
        uuid = super()._take(request)
        sender = self._sender
        assert sender is not None
        batch = self.batches[uuid]
        taken = [record for position, record in enumerate(batch.records) if position not in batch.failed]
        self.sent.setdefault(sender.pid, Counter()).update(map(name_of, taken))
        self.on_taken(batch.records, sender)
        return uuid

    def strikes_database(self, *faults: str) -> str | None:
        """Returns a fault of the database that strikes now, or None."""
        odds, self.odds = self.odds, self.odds * _DATABASE_ODDS
        try:
            return self.strikes(*faults)
        finally:
            self.odds = odds


class SharedMachine(Machine):
    """Several machines with threads, and a database that all of them use."""

    def __init__(self, world: World, network: Network, database: Database) -> None:
        super().__init__(world, network)
        self.database = database
        self.threads = database.threads
        self.boots: Counter[int] = Counter()
        self._tokens: dict[int, set[str]] = {}

    @contextlib.contextmanager
    def under(self) -> Iterator[None]:
        """Patches the names through which the library reaches the outside."""
        database, threads = self.database, self.threads
        patches: list[tuple[Any, str, Any]] = [
            (connection, "connect", database.connect),
            (connection, "pipeline", lambda raw: raw.pipeline()),
            (connection, "Event", threads.event),
            (schema, "connect", database.connect),
            (pressure, "connect", database.connect),
            (pressure, "load", database.loaded),
            (pressure, "Lock", threads.lock),
            (worker, "Thread", threads.thread),
            (worker, "Condition", threads.condition),
            (owner, "_OURS", self),
            (owner, "_space", lambda: f"{self.boot_id} namespace"),
            (owner, "_started", self._started),
            (owner, "socket", self),
            (clock, "boot_id", lambda: self.boot_id),
        ]
        with super().under(), contextlib.ExitStack() as stack:
            for where, name, value in patches:
                stack.enter_context(mock.patch.object(where, name, value))
            try:
                yield
            finally:
                threads.end()
                database.close()

    async def _run_sync(self, function: Callable[..., Any], *arguments: Any, **settings: Any) -> Any:
        return await self.threads.run_sync(function, *arguments, **settings)

    def held_by(self, process: Process) -> dict[str, int]:
        """What a process that has ended still holds."""
        open_sessions = sum(session.process is process for session in self.database.sessions)
        return {**super().held_by(process), "threads": self.threads.of(process), "sessions of the database": open_sessions}

    # --- who is who -----------------------------------------------------------------------------------------------------------

    @property
    def host(self) -> int:
        """The machine of the process that runs now."""
        assert self.world.current is not None
        return self.world.current.host

    @property
    def boot_id(self) -> str:
        """Names the start of that machine."""
        return f"machine {self.host}, start {self.boots[self.host]}"

    def gethostname(self) -> str:
        """As `socket.gethostname`."""
        return f"machine-{self.host}"

    def _started(self, pid: int) -> int | None:
        """When a process was started, as far as this machine knows it."""
        return pid if any(process.pid == pid and process.host == self.host for process in self.world.processes) else None

    # The tokens of the attempts of a process are in a set of the program.
    def add(self, token: str) -> None:
        """As a set."""
        self._ours.add(token)

    def discard(self, token: str) -> None:
        """As a set."""
        self._ours.discard(token)

    def __contains__(self, token: str) -> bool:
        return token in self._ours

    @property
    def _ours(self) -> set[str]:
        assert self.world.current is not None
        return self._tokens.setdefault(self.world.current.pid, set())


@dataclass
class _Begun:
    """A process with what it was given, and what it shows."""

    act: SharedAct
    process: Process
    source: list[dict[str, Any]]
    made: list[tuple[int, BulkReport, list[dict[str, Any]]]] = field(default_factory=list)
    told: SharedReport | None = None
    failures: list[Any] = field(default_factory=list)
    done_at: int | None = None
    taken: Counter[str] | None = None
    is_looked_at: bool = False
    is_whole: bool = False
    exchanges: int = 0
    answers: int = 0


class SharedStory(BaseStory):
    """One story."""

    def __init__(self, plan: SharedPlan, world: World, service: SharedService, machine: SharedMachine) -> None:
        super().__init__(world)
        self.plan = plan
        self.service = service
        self.machine = machine
        self.database = machine.database
        self.documents = [
            {
                "documentNo": f"D{number:03}",
                "documentType": "IN",
                "customerNo": str(number % 3),
                "currencyCode": "NOK",
                "currencyAmounts": {"inclVat": total_of(number)},
            }
            for number in range(plan.documents)
        ]
        self._begun: dict[int, _Begun] = {}
        self._pending = 0
        self.takeovers = 0
        # What the processes before this one were about to send may be lost with the database.
        self._lost_before = 0
        service.on_taken = self._taken
        self.database.on_commit = self._committed
        self.database.before_take = self._is_free
        self.database.on_exchange = self._exchanged
        self.database.on_answer = self._answered

    def run(self) -> None:
        """Does all acts, and what people do the next morning."""
        self._day()
        if not self.violations:
            self._morning()

    def _day(self) -> None:
        for act in self.plan.acts:
            self._pending += 1
            self.world.after(act.at, partial(self._happens, act))
            if act.what == "promote":
                self.world.after(max(0.0, act.at - act.seconds), self.database.keep)
        self._pass(lambda: not self._pending)

    def _pass(self, is_over: Callable[[], bool]) -> None:
        """Lets time pass until all processes have ended."""
        self.world.run(lambda: self._all_are_done() and is_over())
        self._nothing_twice()

    def _all_are_done(self) -> bool:
        """Whether all processes have ended, and were looked at; called after each step."""
        is_over = True
        for begun in self._begun.values():
            if begun.is_looked_at:
                continue
            is_over = False
            if not begun.process.is_done:
                continue
            if begun.done_at is None:
                begun.done_at, begun.taken = self.world.now, self.service.taken.copy()
                # What it leaves to its threads is done soon, and later where the database does not answer.
                for seconds in (0.0, 1.0, 400.0):
                    self.world.after(seconds, lambda: None)
            waits = 400 if any(self._holds(begun).values()) else 1
            if begun.process.was_killed or self.world.now >= max(begun.done_at, begun.process.frozen_until) + waits * _SECOND:
                begun.is_looked_at = True
                if not begun.process.was_killed:
                    self._ended(begun)
        return is_over

    def _holds(self, begun: _Begun) -> dict[str, int]:
        return {**self.machine.held_by(begun.process), "tasks": len(_tasks(begun.process))}

    # --- what happens -----------------------------------------------------------------------------------------------------------

    def _happens(self, act: SharedAct) -> None:
        self._pending -= 1
        self.world.note(f"act: {act}")
        if act.what == "restart":
            self.database.restart(act.seconds)
        elif act.what == "stall":
            self.database.stall(act.seconds)
        elif act.what == "promote":
            self.database.promote()
            self._lost_before = self.world.next_pid
        elif act.what == "jump":
            where: Any = self.database if act.clock == "database" else self.world
            name = "ahead" if act.clock == "database" else act.clock
            setattr(where, name, getattr(where, name) + act.seconds)
        elif act.what == "off":
            self._goes_off(act.host)
        else:
            self.start(act)

    def _goes_off(self, host: int) -> None:
        self.machine.boots[host] += 1
        for process in list(self.world.processes):
            if process.host == host and not process.is_done:
                process.is_silent = True
                process.kill()

    def start(self, act: SharedAct) -> _Begun:
        """Starts a process."""
        places = list(range(len(self.documents)))
        if act.order:
            random.Random(act.order).shuffle(places)
        begun = _Begun(act, None, [self.documents[place] for place in places])  # type: ignore[arg-type]
        process = begun.process = self.world.start(lambda: self._main(begun), act.what)
        process.host = act.host
        process.kill_at, process.cancel_at = act.kill_at, act.cancel_at
        process.freeze_at, process.freeze_for = act.freeze_at, act.freeze_for
        self._begun[process.pid] = begun
        return begun

    async def _main(self, begun: _Begun) -> None:
        act = begun.act
        others = {"reconcile": Reconcile(resend_absent=act.resend)} if act.reconcile else {}
        options = BulkOptions(
            max_records=self.plan.batch,
            concurrency=self.plan.concurrency,
            deadline=120.0,
            patience=act.patience,
            journal=URL,
            run_id=RUN,
            **others,  # type: ignore[arg-type]
        )
        async with (
            ArmClient(_CLIENT, auth="token", base_url="http://127.0.0.1:80/arm") as arm,
            arm.documents.shared_run(URL, run_id=RUN, parts=self.plan.parts, lease=self.plan.lease, options=options) as run,
        ):
            if act.what == "report":
                begun.told = await run.report()
                begun.failures = [failure async for failure in run.failures()]
                return
            for part in act.parts:
                source = self._source_of(begun, part)
                given: Any = source if act.listed else iter(source)
                this = run.send_part(part, given, pass_over=act.pass_over)
                begun.made.append((part, this.report, source))
                await this
        begun.is_whole = True

    def _source_of(self, begun: _Begun, part: int) -> Any:
        """The documents that a worker is given for a part."""
        if begun.act.pass_over:
            return begun.source
        return [record for record in begun.source if part_of(record["documentNo"], self.plan.parts) == part]

    def _exchanged(self, process: Process) -> None:
        """A process has sent something to the database."""
        begun = self._begun[process.pid]
        begun.exchanges += 1
        if begun.exchanges == begun.act.kill_exchange:
            process.kill()
        elif begun.exchanges == begun.act.freeze_exchange:
            self._freeze(process, begun.act.freeze_for)

    def _answered(self, process: Process) -> None:
        """An answer of the database has come."""
        begun = self._begun[process.pid]
        begun.answers += 1
        if begun.answers == begun.act.freeze_answer:
            self._freeze(process, begun.act.freeze_for)

    def _freeze(self, process: Process, seconds: float) -> None:
        process.frozen_until = self.world.now + int(seconds * _SECOND)
        self.world.note(f"{process} is stopped for {seconds:g} s")

    # --- what must be true at each moment ---------------------------------------------------------------------------------------

    def _nothing_twice(self) -> None:
        for name, number in self.service.taken.items():
            if number > 1:
                self.violate("taken twice", f"{name}: {number} times")

    def _taken(self, records: list[dict[str, Any]], sender: Process) -> None:
        """What is taken is in the journal as something that may have been."""
        rows = self.database.rows(f"SELECT keys FROM amili_arm.records JOIN amili_arm.batches ON id = batch WHERE {_MAY_BE_TAKEN}")
        known = {str(key).casefold() for (keys,) in rows for key in codec.json_value(keys)}
        if sender.pid < self._lost_before:
            return
        if lost := [number for record in records if (number := record["documentNo"]).casefold() not in known]:
            self.violate("intent", f"{sender} sent {lost}, and the journal does not know it")

    def _owners(self, run: int, part: int) -> tuple[int, Any, float | None, int] | None:
        query = "SELECT epoch, owner, extract(epoch FROM lease_until)::float8, writes FROM amili_arm.parts WHERE run = %s AND part = %s"
        rows = self.database.rows(query, (run, part))
        return (rows[0][0], json.loads(rows[0][1]) if rows[0][1] else None, *rows[0][2:]) if rows else None

    def _committed(self, commit: Commit) -> None:
        """Nothing is written but by the owner of the part."""
        if commit.fence is None:
            if any(_writes(text) for text in commit.texts) and not any(text.startswith("UPDATE parts SET owner") for text in commit.texts):
                self.violate("fencing", f"{commit.process} writes without being the owner: {commit.texts}")
            return
        run, part, epoch = commit.fence
        found = self._owners(run, part)
        is_given_back = any(text.startswith("UPDATE parts SET owner = NULL") for text in commit.texts)
        if is_given_back:
            return
        if found is None or found[0] != epoch or found[1] is None or found[1]["process"] != commit.process.pid:
            self.violate("fencing", f"{commit.process} writes in epoch {epoch}, and the part is owned by {found}")

    def _is_free(self, process: Process, values: Sequence[Any]) -> None:
        """A part is taken over only where nobody owns it any more."""
        run, part, epoch, writes = values[2:6]
        found = self._owners(run, part)
        if found is None or (found[0], found[3]) != (epoch, writes) or found[1] is None:
            # It takes nothing: its owner has written meanwhile, or somebody else was faster.
            return
        named, until = found[1], found[2] or 0.0
        self.takeovers += 1
        is_alive = any(one.pid == named["process"] for one in self.world.processes)
        is_seen_dead = not is_alive and named["host"] == f"machine-{process.host}"
        if until > self.database.unix_time + 0.001 and not is_seen_dead:
            self.violate(
                "lease",
                f"{process} takes a part from process {named['process']}, which owns it for {until - self.database.unix_time:.1f} s",
            )

    # --- what must be true at the end of a process -------------------------------------------------------------------------------

    def _ended(self, begun: _Begun) -> None:
        process = begun.process
        for what, number in self._holds(begun).items():
            if number:
                self.violate("left behind", f"{number} {what}")
        process.end()
        task = process.task
        assert task is not None
        failure = None if task.cancelled() else task.exception()
        self.world.note(f"{process} ended {'cancelled' if task.cancelled() else 'well' if failure is None else f'with {failure!r}'}")
        if failure is not None and not isinstance(failure, ArmError):
            self.violate("errors", f"{type(failure).__name__}: {failure}")
        if not self._lost_before and _LOST in str(failure):
            self.violate("commits", f"{process} ended with {failure!r}, and the database has lost nothing")
        for part, report, source in begun.made:
            self._is_true(begun, part, report, source)
        if begun.told is not None and failure is None:
            self._is_consistent(begun)

    def _is_true(self, begun: _Begun, part: int, report: BulkReport, source: list[dict[str, Any]]) -> None:
        """Holds the report of a part against the books."""
        self.world.note(f"{begun.process} reports of part {part}: {report.summary()}")
        read = report.totals.records_read
        if sum(report.counts.values()) != read or read > len(source) or (begun.is_whole and read != len(source)):
            self.violate("sums", f"{dict(report.counts)} for {read} of {len(source)} records")
        named = list(report.failures())
        failures = {failure.index: failure for failure in named}
        counted = read - sum(report.counts[state] for state in SUCCESS)
        if len(failures) != len(named) or len(named) != counted:
            self.violate("named once", f"{len(failures)} records in {len(named)} names, and {counted} are counted")
        sent = self.service.sent.get(begun.process.pid, Counter())
        assert begun.taken is not None
        claimed = 0
        for index, document in enumerate(source[:read]):
            name, number = name_of(document), document["documentNo"]
            if part_of(number, self.plan.parts) != part:
                continue
            failure = failures.get(index)
            if failure is None:
                claimed += 1
                if not begun.taken[name] and report.source_exhausted:
                    self.violate("contradiction", f"{number} is done, and was never taken")
            elif failure.key != number:
                self.violate("index", f"record {index} is {number}, and named {failure.key}")
            elif failure.state in {"not_sent", "rejected", "invalid"} and sent[name]:
                self.violate("contradiction", f"{number} is {failure.state}, and this process had it taken")

    def _is_consistent(self, begun: _Begun) -> None:
        """A merged report names each record once, also while parts are being sent; and what it says was so when it was read."""
        report = begun.told
        assert report is not None
        named = Counter(failure.key for failure in begun.failures)
        if twice := [key for key, number in named.items() if number > 1]:
            self.violate("named once", f"{twice} are named more than once in the merged report")
        if sum(report.counts.values()) > len(self.documents):
            self.violate("sums", f"{dict(report.counts)} of {len(self.documents)} documents")
        if report.counts.get("succeeded", 0) > sum(self.service.taken.values()):
            self.violate("contradiction", f"{dict(report.counts)}, and {sum(self.service.taken.values())} were taken")

    # --- the morning --------------------------------------------------------------------------------------------------------------

    def _morning(self) -> None:
        """All is well, and all parts are sent until nothing is left; then the merged report is read."""
        self.service.is_well = True
        self.world.wall = self.world.boot = self.world.service = self.database.ahead = 0.0
        morning = self.world.now + 10_000 * _SECOND
        self.world.after(10_000.0, lambda: None)
        self.world.run(lambda: self.world.now >= morning)
        seed = self.plan.seed
        looks, is_again, is_beside = seed % _LOOKED_UP == 0, seed % _AGAIN == 0, seed % _BESIDE == 0
        parts = tuple(range(self.plan.parts))
        everything = SharedAct("worker", host=1, parts=parts, reconcile=looks, resend=looks)
        beside = replace(everything, host=2, parts=parts[::-1], order=7, pass_over=False)
        for _ in range(_MORNINGS if is_again else 1):
            writes = self.service.writes
            begun = [self.start(act) for act in ([everything, beside] if is_beside else [everything])]
            self._pass(lambda: True)
            for one in begun:
                if not self.violations and not one.is_whole:
                    assert one.process.task is not None
                    self.violate("all is sent", f"{one.process} ended with {one.process.task.exception()!r} though all is well")
            if self.violations:
                return
            if self.service.writes == writes:
                break
        else:
            if is_again:
                self.violate("nothing again", f"the same run sends something {_MORNINGS} times")
                return
        told = self.start(SharedAct("report", host=0))
        self._pass(lambda: True)
        if not self.violations and told.told is not None:
            self._is_the_truth(told.told, told.failures, looks=looks)

    def _is_the_truth(self, report: SharedReport, failures: list[Any], *, looks: bool) -> None:
        """Holds the merged report against the books of the service."""
        counts = Counter({state: number for state, number in report.counts.items() if number})
        self.world.note(f"the merged report: {report.summary()}")
        self.states.update((failure.state, failure.reason) for failure in failures)
        if counts.total() != len(self.documents):
            self.violate("sums", f"{dict(counts)} of {len(self.documents)} documents")
        named = {failure.key: failure for failure in failures}
        told = Counter(failure.state for failure in failures)
        if told != Counter({state: number for state, number in counts.items() if state not in SUCCESS}):
            self.violate("named once", f"{dict(told)} are named, and {dict(counts)} are counted")
        if report.done != tuple(range(self.plan.parts)):
            self.violate("all is sent", f"only the parts {report.done} are done: {report.error}")
        money: Counter[str] = Counter()
        for document in self.documents:
            failure = named.get(document["documentNo"])
            state = failure.state if failure is not None else "succeeded"
            money[state] += int(document["currencyAmounts"]["inclVat"])
            self._is_said_rightly(document, state, failure.reason if failure is not None else None, looks=looks)
        self._is_all_money(report, counts, money)

    def _is_said_rightly(self, document: dict[str, Any], state: str, reason: str | None, *, looks: bool) -> None:
        number, was_taken = document["documentNo"], self.service.taken[name_of(document)] > 0
        if state in SUCCESS and not was_taken:
            self.violate("contradiction", f"{number} is done, and was never taken")
        elif state in {"failed", "rejected", "not_sent", "invalid"} and was_taken:
            self.violate("contradiction", f"{number} is {state}, and was taken")
        elif state in {"not_sent", "rejected", "invalid"}:
            self.violate("all is sent", f"{number} is {state} ({reason}) though the service is well")
        elif state == "unknown" and was_taken and looks and BLIND not in self.plan.faults:
            self.violate("all is found", f"{number} was taken, and is {state} ({reason})")

    def _is_all_money(self, report: SharedReport, counts: Counter[str], expected: Counter[str]) -> None:
        """The money of each state is that of the documents that are named with it."""
        found: Counter[str] = Counter()
        numbers: Counter[str] = Counter()
        for part in report.to_schema().parts:
            for currency in part.money.currencies if part.money is not None else ():
                for state, amount in currency.states.items():
                    numbers[state] += amount.count
                    found[state] += int(Decimal(amount.total or 0))
            if part.money is not None and not part.money.adds_up:
                self.violate("money", "it does not add up")
        if +numbers != counts or +found != +expected:
            self.violate("money", f"of {dict(numbers)}: {dict(found)}; the documents are {dict(counts)}: {dict(expected)}")


def _tasks(process: Process) -> list[asyncio.Task[Any]]:
    return [task for task in process.loop.made if task is not process.task and not task.done()]


def _writes(text: str) -> bool:
    return any(f"{verb} {table}" in text for verb in ("INSERT INTO", "UPDATE", "DELETE FROM") for table in ("batches", "records", "bodies"))


def shared_machine(world: World, network: Network, service: SharedService) -> SharedMachine:
    """Makes the machines of a story, and their database."""
    return SharedMachine(world, network, Database(world, Threads(world), service.strikes_database))


def run_shared(plan: SharedPlan, *, keep_log: bool = False) -> Result:
    """Runs a story in a world of its own."""
    story_of = lambda world, service, machine, _: SharedStory(plan, world, service, machine)  # noqa: E731
    return run_in_a_world(plan, SharedService, story_of, keep_log=keep_log, machine_of=shared_machine)
