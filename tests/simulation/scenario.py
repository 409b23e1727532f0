"""Tells a story in a world of its own, holds it against the books of the service, and shrinks it where something is wrong."""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from amili_arm_async import (
    ArmClient,
    ArmError,
    BatchOutcome,
    BulkOptions,
    BulkReport,
    ClientCredentials,
    Limits,
    Reconcile,
    RecordOutcome,
    prune_journal,
    wire,
)
from amili_arm_async.bulk import in_flight
from amili_arm_async.bulk.journal.inspect import JournalRun
from amili_arm_async.bulk.journal.replay.engine import Replay
from amili_arm_async.bulk.journal.sqlite import store
from amili_arm_async.bulk.outcomes import SUCCESS, Outcome, success_states
from amili_arm_async.bulk.run import BulkRun
from amili_arm_async.models.batches import BatchResult
from amili_arm_async.nightly.money import MoneyObserver
from amili_arm_async.wire import Response

from .base_story import BaseStory, MachineStoppedError, Result, run_in_a_world
from .books import (
    a_batch_given_up,
    another_batch_uuid,
    money_is_lost,
    read_runs,
    seen_since,
    total_of,
    unknown_with_uuid,
    what_a_journal_lost,
    what_a_journal_says_otherwise,
    what_a_report_says_of_its_source,
    what_has_two_rows,
    what_is_taken_out,
    what_is_there_twice,
)
from .drawing import RUN, Act, Scenario, draw, read_case
from .machine import Machine, read, write
from .service import BAD_DOCUMENT, BLIND, BLIND_TO_BLANKS, BLIND_TO_LONG, BLIND_TO_SLASHES, OLD_TOKENS, Service, is_bad, name_of
from .shrinking import fewer_acts_and_faults
from .world import SECOND, EndlessError, Process, World

__all__ = ["Act", "Result", "Scenario", "draw", "read_case", "run_scenario", "smaller"]

_LOOKED_UP = 3
"""Of so many stories and branches, one ends with a reconcile."""

_MORNINGS = 5
"""Runs of everything after which nothing is left to be sent: a result that comes late may show that a document failed."""

_MOST_BRANCHES = 12
_BRANCHES_OFF = 0.6
"""How many commits of a story, at the most, are moments from which another story branches off; and which share of all may be one."""

_POWER_CUTS = 0.3
"""Of so many branches, the power is cut: what was not flushed to the disk is lost, too."""

_BRANCHES_WITH_AN_ACT = 0.33
_FEW_BYTES = 200
_AHEAD = 5
"""So many batches more than are sent at once may be in memory: what is read next, and what is being cut and written down."""

_MOST_SECONDS = 10_000.0
"""Seconds of the world that a process takes at the most: more than its patience, its deadline and its time to settle together."""

_PATIENT = 200.0
"""Seconds after a batch was accepted in which nobody is out of patience: that is 300 seconds, less the longest wait."""

_LAST_RUNS = 4
"""Of so many stories and branches, one has a last run after one in which everything succeeded."""

_SHORT_MORNINGS = 6
"""Of so many branches, one has more than one run after it: most of what can go wrong shows in the first."""


@dataclass
class _Begun:
    """A process with what it was given."""

    act: Act
    process: Process
    source: list[dict[str, Any]]
    made: list[BulkReport]
    told: list[BatchOutcome]
    """What the program was told one by one in the last run."""
    taken: Counter[str] | None = None
    """The books of the service at its end: what comes later, it need not know."""
    money: MoneyObserver | None = None
    run: BulkRun | None = None
    is_whole: bool = False
    """Whether it came to its end without an error."""
    writes: int | None = None
    """How many writes there may be in all at its end; None: any number."""
    is_beside_replay: bool = False
    is_twice: bool = False
    """Whether another process sends the same run at the same time: the one that ends last writes the lines of both."""
    has_letter: bool = False
    """Whether its last run has written its dead letter."""
    others: list[_Begun] = field(default_factory=list)
    """What the same process does at the same time, with the same client."""


class _RaisedError(Exception):
    """What a program raises."""


# --- running ----------------------------------------------------------------------------------------------------------------


def run_scenario(scenario: Scenario, *, keep_log: bool = False, branches: bool = True) -> Result:
    """Runs a story in a world of its own, and those that branch off from it."""
    kept_bytes = mock.patch.object(store, "KEPT_BYTES", 0 if scenario.forgets else store.KEPT_BYTES)
    waiting = mock.patch.object(in_flight, "WAITING", 2 if scenario.naps else in_flight.WAITING)
    with kept_bytes, waiting:
        return run_in_a_world(scenario, Service, partial(_Story, scenario), keep_log=keep_log, branches=branches)


class _Story(BaseStory):
    def __init__(self, scenario: Scenario, world: World, service: Service, machine: Machine, folder: Path) -> None:
        super().__init__(world)
        self.scenario = scenario
        self.service = service
        service.knows_senders = not any(act.what in {"restore", "prune", "replay"} for act in scenario.acts)
        self.machine = machine
        self.folder = folder
        self.documents = list(_documents(scenario))
        # By run, how often each document was in a source at the most.
        self.given: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.copies: dict[str, bytes] = {}
        self.was_restored = False
        # By run, the documents that succeeded, as a run has said that came to its end.
        self.succeeded: defaultdict[str, set[str]] = defaultdict(set)
        # After a replay or a prune, the journal does not have all of it.
        self.is_elsewhere = any(act.bare for act in scenario.acts)
        self.boots = 1
        self._branches = world.stream("branches")
        machine.on_commit = self._committed
        self._max_bytes = scenario.max_bytes or BulkOptions().max_bytes
        # How many runs have a part in it.
        self.runs = len({RUN, *(name or RUN for act in scenario.acts for name in (act.run_id, act.beside, act.together))})
        # Of two attempts of a run in one process, one may send what the other one did not; which ended first, nobody sees.
        self.runs += any(act.together == act.run_id for act in scenario.acts)
        # Runs that are sent twice at the same time: the one that had ended first may be looked at last.
        at_once = [(act.run_id, act.beside, act.together) for act in scenario.acts]
        self._sent_at_once = {run_id for run_ids in at_once for run_id in run_ids if run_ids.count(run_id) > 1}
        # What has the number of another document is invalid, and that one is in the journal.
        self._is_all_in_one_run = self.runs == 1 and not any(act.changed for act in scenario.acts)
        self._may_stop = 0
        self._until = 0
        machine.on_work = self._working
        # The lines of the dead letter after the last act.
        self._lines: Counter[bytes] = Counter()
        self._since: dict[bytes, int] = {}
        # By process, after how many more commits it is cancelled, and whether that is before the last of them.
        self._cancels: dict[Process, tuple[int, bool]] = {}
        # What is removed later can't be put back as the same file, which its mark knows: nothing branches off before.
        self._removals = sum(act.takes_away is not None for act in scenario.acts)
        # SQLite may make a journal of the log that is left: what it has is then a run of its own.
        self._is_removed = self._removals > 0

    def run(self) -> None:
        """Does all acts, and what people do the next morning."""
        try:
            for act in self.scenario.acts:
                self._do(act)
                if self.violations:
                    return
        except MachineStoppedError:
            self.branch_off(self.moments.pop())
        else:
            if not any(act.bare for act in self.scenario.acts):
                self._morning()

    # --- branches -------------------------------------------------------------------------------------------------------------

    def _committed(self) -> None:
        """Cancels who is to be cancelled at this commit, and keeps some of the moments in which a machine may stop."""
        self._count_down(before=False)
        if self.service.is_well or self.branch is not None or self._removals:
            return
        if self.scenario.branch is not None:
            if self.machine.commits == self.scenario.branch:
                self.moments.append(self._moment())
                raise MachineStoppedError
        elif self._branches.random() < _BRANCHES_OFF:
            # Each of them is as likely to be kept.
            self._may_stop += 1
            if len(self.moments) < _MOST_BRANCHES:
                self.moments.append(self._moment())
            elif (place := self._branches.randrange(self._may_stop)) < _MOST_BRANCHES:
                self.moments[place] = self._moment()

    def _working(self) -> None:
        """Cancels who is to be cancelled before the commit that is about to begin."""
        self._count_down(before=True)

    def _count_down(self, *, before: bool) -> None:
        """Cancels a process at a commit, before it learns of it, and once more at a later one."""
        process = self.world.current
        left, is_before = self._cancels.get(process, (0, not before)) if process is not None else (0, not before)
        if process is None or is_before is not before or process.task is None:
            return
        self._cancels[process] = left - 1, before
        if left == 1:
            self.world.note(f"{process} is cancelled at a commit")
            process.task.cancel()
            if process.cancel_again is not None and process.cancel_at is None:
                self._cancels[process], process.cancel_again = (process.cancel_again, before), None

    def _moment(self) -> dict[str, Any]:
        return {
            "world": self.world.kept(),
            "service": self.service.kept(),
            "files": {name: read(f"{self.folder}/{name}") for name in os.listdir(self.folder) if not name.endswith("-shm")},
            "flushed": dict(self.machine.flushed),
            "commits": self.machine.commits,
            "scopes": self.machine.scopes_made,
            "connections": self.machine.network.opened,
            "given": {run: names.copy() for run, names in self.given.items()},
            "succeeded": {run: names.copy() for run, names in self.succeeded.items()},
            "story": (self.copies, self.was_restored, self.is_elsewhere, self.boots),
        }

    def branch_off(self, moment: dict[str, Any]) -> None:
        """Goes on from a moment in which the machine stopped, whatever came later."""
        self.world.back_to(moment["world"])
        self.service.back_to(moment["service"])
        self.machine.close_dead()
        self.machine.scopes_made, self.machine.network.opened = moment["scopes"], moment["connections"]
        self.given = defaultdict(Counter, {run: names.copy() for run, names in moment["given"].items()})
        self.succeeded = defaultdict(set, {run: names.copy() for run, names in moment["succeeded"].items()})
        self.copies, self.was_restored, self.is_elsewhere, self.boots = moment["story"]
        self._put_back(moment["files"])
        self._lines = self._read_lines()
        self._since = seen_since(self._lines, self._since, self.service.taken)
        self.branch = moment["commits"]
        self.machine.keeps_flushed = False
        self.world.note(f"the processes are killed after commit {self.branch}, and what was on the way is lost")
        chance = random.Random(f"{self.scenario.seed}/{self.branch}")
        if chance.random() < _POWER_CUTS:
            self._lose_unflushed(moment["flushed"])
        self._journal_lost_nothing()
        if chance.random() < _BRANCHES_WITH_AN_ACT:
            order = chance.randrange(1, 1000) if chance.random() < 0.5 else 0
            looks, resends = chance.random() < 0.5, chance.random() < 0.6
            self._do(Act("send", order=order, documents=self.scenario.documents, reconcile=looks, resend_absent=resends))
        if not self.violations:
            self._morning()

    def _morning(self) -> None:
        """What people do the next morning: once more with a service that is well, and sometimes they look up what is unknown."""
        self._everything()
        if not self.violations and self.branch is None and self.scenario.seed % _LOOKED_UP == 0:
            report = self._do(Act("send", documents=self.scenario.documents, reconcile=True, resend_absent=True))
            if report is not None:
                self._all_is_found(report)

    def _everything(self) -> None:
        self.service.is_well = True
        self.machine.keeps_flushed = False
        self.world.wall = self.world.boot = self.world.service = 0.0
        # What is on the way comes before the morning, and not while people look it up.
        morning = self.world.now + 10_000 * 1_000_000_000
        self.world.after(10_000.0, lambda: None)
        self.world.run(lambda: self.world.now >= morning)
        looks = self.branch is not None and (self.scenario.seed + self.branch) % _LOOKED_UP == 0
        everything = Act("send", documents=self.scenario.documents, reconcile=looks, resend_absent=looks)
        was_whole = False
        for _ in range(_MORNINGS):
            writes = self.service.writes
            report = self._do(everything)
            if report is not None:
                self._all_is_sent(report)
                self._nothing_is_lost(report)
                if looks:
                    self._all_is_found(report)
            if report is not None and self.service.writes == writes:
                self._all_is_known(report)
            if self.violations or self.service.writes == writes or (self.branch or 0) % _SHORT_MORNINGS:
                return
            if was_whole:
                self.violate("nothing again", "a run after one in which everything succeeded sends something")
            if report is not None:
                self._all_is_known(report)
            was_whole = report is not None and all(state in SUCCESS for state, number in report.counts.items() if number)
            if was_whole and (self.scenario.seed if self.branch is None else self.branch) % _LAST_RUNS:
                return
        self.violate("nothing again", f"the same run sends something {_MORNINGS} times")

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
            self.is_elsewhere |= act.what in {"replay", "prune"}
            return self._process(act)
        return None

    def _process(self, act: Act) -> BulkReport | None:
        alone = replace(act, kill_at=None, cancel_at=None, cancel_on_commit=None, power_cut=False, together=None, takes_away=None)
        calm = replace(alone, run_id=act.beside or act.run_id)
        if act.what == "replay":
            calm = replace(calm, what="send", dead_letter=True, documents=self.scenario.documents)
        if act.other:
            calm = _otherwise(calm, act.other)
        both = [act] if act.beside is None else [act, calm]
        self.service.deadline = act.deadline
        self._until = self.world.now + int((_MOST_SECONDS + act.freeze_for) * SECOND)
        ended = self._ended_runs(act)
        begun = [self._start(one) for one in both]
        begun[-1].is_beside_replay = act.what == "replay" and act.beside is not None
        for one in begun:
            one.is_twice = act.beside == act.run_id
        if act.jump:
            self.world.after(act.at, lambda: setattr(self.world, act.clock, getattr(self.world, act.clock) + act.jump))
        if act.takes_away is not None:
            self.world.after(act.at, partial(self._take_away, act.takes_away))
        self.world.run(partial(self._are_done, list(begun)))
        self._nothing_twice()
        if act.power_cut and begun[0].process.was_killed:
            self._power_cut(begun[0].process)
        if any(one.process.was_killed for one in begun):
            self._journal_lost_nothing()
        else:
            self._each_has_one_row(act)
        found = [self._ended(one) for one in begun if not one.process.was_killed]
        self._left_to_each_other([run for one in begun if not one.process.was_killed for run in (one, *one.others)])
        self._keeps_lines(act)
        self._ends_no_run(begun[0], ended)
        return found[0] if found else None

    def _are_done(self, begun: list[_Begun]) -> bool:
        """Whether all have ended; called after each step. Those that have are taken out."""
        if begun and self.world.now > self._until:
            raise EndlessError
        for one in begun:
            if one.process.is_done:
                begun.remove(one)
                one.taken = self.service.taken.copy()
                for other in one.others:
                    other.taken = one.taken
                break
        return not begun

    def _start(self, act: Act) -> _Begun:
        begun = self._begin(act)
        process = begun.process = self.world.start(lambda: self._main(begun), act.what)
        process.kill_at, process.cancel_at, process.cancel_again = act.kill_at, act.cancel_at, act.cancel_again
        if act.cancel_on_commit is not None:
            self._cancels[process] = act.cancel_on_commit, act.cancel_before
        process.freeze_at, process.freeze_for = act.freeze_at, act.freeze_for
        process.disk_fails_at, process.disk_fails = act.disk_fails_at, act.disk_fails
        process.keeps_images = act.power_cut and act.beside is None
        for other in begun.others:
            other.process = process
        return begun

    def _begin(self, act: Act) -> _Begun:
        source = self._source(act)
        if act.what == "send":
            self.given[act.run_id] |= Counter(map(name_of, source))
        begun = _Begun(act, None, source, [], [])  # type: ignore[arg-type]
        if act.together is not None:
            other = replace(act, run_id=act.together, together=None, dead_letter=False, again=False)
            begun.others.append(self._begin(_otherwise(other, act.other + 1) if act.other else other))
        return begun

    def _ended(self, begun: _Begun) -> BulkReport | None:
        """Looks at a process that came to its end."""
        act, process = begun.act, begun.process
        self.let_end(process, lambda: any(self.machine.held_by(process).values()))
        self.look_for_what_is_left(process, self.machine)
        process.end()
        task = process.task
        assert task is not None
        failure = None if task.cancelled() else task.exception()
        if failure is not None and not isinstance(failure, ArmError) and not (act.what == "replay" and isinstance(failure, OSError)):
            self.violate("errors", f"{type(failure).__name__}: {failure}")
        if failure is not None and self.service.is_well and not (self.was_restored or self.is_elsewhere):
            self.violate("all is sent", f"{failure!r} though the service is well")
        self._accepted_is_known()
        if self.service.siblings and not (self.was_restored or self.is_elsewhere or self.runs > 1 or self.boots > 1):
            self.violate("sibling", f"{self.service.siblings} are sent again, and others of their batch were found")
        for one in (begun, *begun.others):
            self._reported(one)
        if self.service.hasty:
            self.violate("outage", self.service.hasty[0])
        if self.service.impatient and not any(act.freeze_at is not None for act in self.scenario.acts):
            self.violate("asked to wait", self.service.impatient[0])
        if begun.writes is not None and self.service.writes > begun.writes and act.beside is None and act.together is None:
            self.violate("raised", f"{self.service.writes - begun.writes} batches began after the program had raised")
        if self.service.most_records > self.scenario.batch:
            self.violate("limits", f"{self.service.most_records} records in a batch")
        if self.service.most_bytes > self._max_bytes:
            self.violate("limits", f"{self.service.most_bytes} bytes in a batch, and {self._max_bytes} are allowed")
        if self.service.elsewhere:
            self.violate("elsewhere", f"{self.service.elsewhere} writes of a run went to another address than before")
        is_good = failure is None and not task.cancelled() and begun.is_whole
        return begun.made[-1] if begun.made and is_good and act.leaves is None else None

    def _reported(self, begun: _Begun) -> None:
        """Holds what a run shows against the books."""
        act, made = begun.act, begun.made
        if not made:
            return
        is_cut = not begun.is_whole or (act.streamed and act.leaves is not None)
        self.world.note(f"{begun.process} reports {made[-1].summary()}{', and was cut short' if is_cut else ''}")
        if act.what != "send":
            return
        self._gives_up_in_time(begun)
        self._is_true(begun, made[-1], is_cut)
        if act.streamed:
            self._was_told(begun, made[-1], is_cut)
        # One that was cut may have written it all the same.
        is_plain = act.disk_fails_at is None and act.cancel_again is None and act.takes_away is None and not act.again
        is_plain = is_plain and act.leaves is None and not any(failure.reason == "journal" for failure in made[-1].failures())
        if begun.is_beside_replay:
            if begun.has_letter:
                self._has_its_lines(act, made[-1])
        elif act.dead_letter and not begun.is_twice and (not is_cut or (is_plain and begun.has_letter)):
            self._is_true_dead_letter(act, made[-1], begun.source)

    def _gives_up_in_time(self, begun: _Begun) -> None:
        """A run whose token is refused asks for another one, and ends only where that is refused, too."""
        reason = begun.run._runner._control.reason if begun.run is not None else None
        is_only_old = OLD_TOKENS in self.scenario.faults and "proved_refusal" not in self.scenario.faults
        if is_only_old and reason is not None and reason.reason == "401" and len(self.service.refused_tokens[begun.process.pid]) < 2:
            self.violate("gives up", "the run ended because one token was refused")

    def _source(self, act: Act) -> list[dict[str, Any]]:
        """The documents as a person gives them this time."""
        places = list(range(min(act.documents, len(self.documents))))
        if act.order:
            random.Random(act.order).shuffle(places)
        found = [self.documents[place] for place in places]
        found += [_swapped(document) if self.scenario.swapped else document for document in found[: self.scenario.repeats]]
        broken = {name_of(document) for document in self.documents[: act.broken] if "documentNo" in document}
        if broken:
            found = [{**document, "Kid": ""} if name_of(document) in broken else document for document in found]
        # Without a number it would be another document.
        changed = {name_of(document) for document in self.documents[: act.changed] if "documentNo" in document}
        if changed:
            found = [{**document, "yourReference": "changed"} if name_of(document) in changed else document for document in found]
        # The order of its fields alone makes no other text.
        more: dict[str, Any] = {"ledgerNote": None} if self.scenario.forgets else {}
        return [{**_respelled(document), **more} for document in found] if act.respelled else found

    async def _main(self, begun: _Begun) -> None:
        act = begun.act
        auth: Any = "token"
        if not self.scenario.token:
            auth = ClientCredentials(client_id="client", client_secret="secret", identity_url="http://127.0.0.1:80/identity")
        limits = Limits(open_batches=act.open_batches) if act.open_batches is not None else Limits()
        limits = replace(limits, bytes_in_flight=_FEW_BYTES) if act.few_bytes else limits
        base_url = f"http://127.0.0.1:80/{'elsewhere' if act.elsewhere else 'arm'}"
        async with ArmClient(2218, auth=auth, base_url=base_url, limits=limits) as arm, self._gives_back(arm, limits):
            if act.what == "reconcile":
                options = self._options(act, journal=False)
                begun.made.append(
                    await arm.documents.reconcile(
                        self.folder / "journal", run_id=act.run_id, resend_absent=act.resend_absent, options=options
                    )
                )
            elif act.what == "prune":
                await prune_journal(self.folder / "journal", older_than=0.0)
            elif act.what == "replay":
                await self._replay(arm, act)
            else:
                if act.again:
                    with suppress(ArmError):
                        await self._send(arm, begun)
                await self._send_all(arm, begun)
            begun.is_whole = True

    @asynccontextmanager
    async def _gives_back(self, arm: ArmClient, limits: Limits) -> AsyncIterator[None]:
        """Whatever ended the runs of a client, all that they shared is free again: another run of it would wait for ever."""
        process = self.world.current
        try:
            yield
        finally:
            in_bytes, slots = arm._context.transport._bytes, arm._pressure._slots
            if process is not None and process.is_alive:
                if in_bytes._used or in_bytes._waiting:
                    self.violate("left behind", f"{in_bytes._used} bytes in flight")
                if slots._value != limits.open_batches:
                    self.violate("left behind", f"{limits.open_batches - slots._value} slots of open batches")

    async def _send_all(self, arm: ArmClient, begun: _Begun) -> None:
        """Sends the documents, and at the same time those of other runs of the same program."""
        if not begun.others:
            await self._send(arm, begun)
            return
        sends = (self._send(arm, one) for one in (begun, *begun.others))
        for failure in await asyncio.gather(*sends, return_exceptions=True):
            if failure is not None:
                raise failure

    async def _send(self, arm: ArmClient, begun: _Begun) -> None:
        act, options = begun.act, self._options(begun.act, journal=not begun.act.bare)
        given = self._counted(begun) if act.given_as == "generator" else _given(begun.source, act)
        begun.told.clear()
        begun.is_whole = begun.has_letter = False
        if not act.money:
            run = arm.documents.create_many(given, options=options)
        else:
            begun.money = MoneyObserver()
            run = arm.documents._bulk.run("documents.create_batch", given, options=options, user_id=None, observers=[begun.money])
        begun.run = run
        begun.made.append(run.report)
        self._watch(run, begun)
        if act.streamed:
            with suppress(_RaisedError):
                await self._stream(run, begun)
        else:
            await run
        begun.is_whole = True

    async def _stream(self, run: BulkRun, begun: _Begun) -> None:
        """Takes the outcomes one by one."""
        act = begun.act
        async with run:
            if act.leaves == 0:
                # What is under way may come to its end.
                begun.writes = self.service.writes + self.scenario.concurrency
                raise _RaisedError
            async for outcome in run:
                begun.told.append(outcome)
                if act.leaves is not None and len(begun.told) >= act.leaves:
                    break
                if self.scenario.naps:
                    await asyncio.sleep(1.0)

    def _watch(self, run: BulkRun, begun: _Begun) -> None:
        """Tells the service when a run does not know what became of a batch: no other one may begin before a read is answered."""
        pid = begun.process.pid
        self.service.trusts(pid)
        self._watch_patience(run, begun)
        self._watch_letter(run, begun)
        if begun.act.freeze_at is not None or begun.act.together is not None or begun.others:
            # A process that is stopped learns late of what came before; another run of the same process knows nothing of it.
            return
        tracker, tally = run._runner._tracker, run.report.tally
        settle = tracker.settle

        def watched(in_flight: Any, common: Any, *rest: Any) -> None:
            settle(in_flight, common, *rest)
            if common.state == "unknown" and run._runner._control.reason is None:
                self.service.doubts(pid, lambda: tally.requests)

        setattr(tracker, "settle", watched)  # noqa: B010 - mypy takes a method for what it is

    def _watch_patience(self, run: BulkRun, begun: _Begun) -> None:
        """Holds it against a run when it is out of patience soon after something was accepted."""
        if begun.act.freeze_at is not None or "overload" in self.scenario.faults:
            # An overloaded service may ask for a longer wait.
            return
        control, accepted, stop = run._runner._control, run.report.accepted, run._runner._control.stop
        since = [-_PATIENT]

        def noted(records: int, seconds: float) -> None:
            since[0] = self.world.seconds
            accepted(records, seconds)

        def stopped(reason: Outcome, cause: Exception | None = None) -> None:
            if reason.reason == "patience" and control.reason is None and self.world.seconds - since[0] < _PATIENT:
                self.violate("patience", f"it is over {self.world.seconds - since[0]:.0f} s after a batch was accepted")
            stop(reason, cause)

        setattr(run.report, "accepted", noted)  # noqa: B010 - mypy takes a method for what it is
        setattr(control, "stop", stopped)  # noqa: B010

    def _watch_letter(self, run: BulkRun, begun: _Begun) -> None:
        """Takes note of when the dead letter is written."""
        if (journal := run._runner._journal) is None:
            return
        write_dead_letter = journal._write_dead_letter

        def written(*given: Any) -> None:
            write_dead_letter(*given)
            begun.has_letter = True

        setattr(journal, "_write_dead_letter", written)  # noqa: B010 - mypy takes a method for what it is

    def _counted(self, begun: _Begun) -> Iterator[dict[str, Any]]:
        """The source as a generator, which counts how many of its records the run has in memory."""
        most = (self.scenario.concurrency + _AHEAD) * self.scenario.batch
        begun.run = None
        for number, document in enumerate(begun.source):
            if begun.run is not None and not begun.act.reconcile:
                opened = sum(batch.records for batch in begun.run._runner._poller._batches)
                if (ahead := number - sum(begun.run.report.counts.values()) - opened) > most:
                    self.violate("memory", f"{ahead} records are in memory, and {most} are enough")
            yield document

    async def _replay(self, arm: ArmClient, act: Act) -> None:
        path = self.folder / "dead_letter"
        if not path.exists():
            return
        options = BulkOptions(
            max_records=self.scenario.batch,
            max_bytes=self._max_bytes,
            concurrency=self.scenario.concurrency,
            deadline=120.0,
            patience=300.0,
        )
        client = ReplayingClient(arm)
        settle = None if act.resend_absent else 0.0
        reconcile = Reconcile(settle=settle, resend_absent=act.resend_absent)
        with closing(Replay(client, str(path), options, reconcile, unknown_fields=None, max_named=10)) as replay:
            replay.prepare()
            await replay.run()
            replay.finish()

    def _options(self, act: Act, *, journal: bool) -> BulkOptions:
        settings: dict[str, Any] = {"journal": self.folder / "journal", "run_id": act.run_id} if journal else {}
        if journal and act.reconcile:
            # Who sends again has to wait for longer than the deadline.
            settle = act.settle if not act.resend_absent or (act.settle or 0.0) > act.deadline else None
            settings["reconcile"] = Reconcile(settle=settle, resend_absent=act.resend_absent)
        if journal and act.dead_letter:
            settings["dead_letter"] = self.folder / "dead_letter"
        return BulkOptions(
            max_records=self.scenario.batch,
            concurrency=self.scenario.concurrency,
            deadline=act.deadline,
            patience=300.0,
            results=act.results,
            bisect=act.bisect,
            compression=act.compression,
            limit=act.limit if act.what == "send" else None,
            stop_after_failures=act.stop_after,
            max_bytes=self._max_bytes,
            **settings,
        )

    def _read_lines(self) -> Counter[bytes]:
        path = self.folder / "dead_letter"
        return Counter(path.read_bytes().splitlines()) if path.exists() else Counter()

    def _keeps_lines(self, act: Act) -> None:
        """A dead letter keeps the lines of other runs, and a replay takes out only what the service has."""
        before, self._lines = self._lines, self._read_lines()
        since, self._since = self._since, seen_since(self._lines, self._since, self.service.taken)
        if act.what == "replay":
            if lost := what_is_taken_out(before, self._lines, self.service.taken, since):
                self.violate("replay", f"{lost} were taken out of the dead letter, and the service has not taken them")
            return
        mine = {act.run_id, act.beside, act.together}
        if lost_lines := [line for line in before - self._lines if json.loads(line)["run_id"] not in mine]:
            self.violate("dead letter", f"{len(lost_lines)} lines of other runs are gone")

    # --- the disk -------------------------------------------------------------------------------------------------------------

    def _files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted(self.folder.iterdir()) if path.name.startswith("journal")}

    def _put_back(self, files: dict[str, bytes]) -> None:
        """Makes the files what they were; each is the same one, since the mark of a journal knows its inode."""
        for path in list(self.folder.iterdir()):
            if path.name not in files:
                path.unlink()
        for name, content in files.items():
            write(self.folder / name, content)

    def _take_away(self, what: str) -> None:
        """Somebody removes a file of the journal, whoever uses it."""
        self._removals -= 1
        suffixes = {"file": ("",), "wal": ("-wal",), "both": ("", "-wal", "-shm")}[what]
        paths = [path for suffix in suffixes if (path := self.folder / f"journal{suffix}").exists()]
        if paths:
            self.was_restored = True
            self.world.note(f"somebody removes {', '.join(path.name for path in paths)}")
        for path in paths:
            path.unlink()

    def _power_cut(self, process: Process) -> None:
        """The machine is off and on again: of the files of a process that died with it, an image since the last flush is left."""
        self.machine.close_dead()
        if image := process.after_power_cut():
            for path, content in image.items():
                write(Path(path), content)
            for suffix in ("-wal", "-shm"):
                if f"{self.folder / 'journal'}{suffix}" not in image:
                    Path(f"{self.folder / 'journal'}{suffix}").unlink(missing_ok=True)
        self._boot()

    def _lose_unflushed(self, flushed: dict[str, bytes]) -> None:
        """The power was cut: of the journal is left what it was when it was last flushed."""
        if not flushed:
            return
        for name in ("journal", "journal-wal"):
            path = self.folder / name
            if (content := flushed.get(str(path))) is not None:
                write(path, content)
            else:
                path.unlink(missing_ok=True)
        self._boot()

    def _boot(self) -> None:
        """The machine is on again."""
        self.boots += 1
        self.world.boot_id = f"boot-{self.boots}"
        self.world.boot = -self.world.seconds
        self.world.note("the power was cut")

    def _restore(self) -> None:
        """Puts the copy of the journal back, without the mark: an older file with the mark of a newer one."""
        if not self.copies:
            return
        self.machine.close_dead()
        self.was_restored = True
        for name, content in self.copies.items():
            if not name.endswith("-mark"):
                write(self.folder / name, content)
        for path in sorted(self.folder.iterdir()):
            if path.name not in self.copies and path.name in {"journal-wal", "journal-shm"}:
                path.unlink()

    # --- what must be true ----------------------------------------------------------------------------------------------------

    def _nothing_twice(self) -> None:
        # Another run knows documents of other runs by their numbers alone, as the documentation says.
        there = sum(self.given.values(), Counter[str]())
        for name, number in self.service.taken.items():
            most = 1 if name.startswith("number ") else there[name]
            if number > most:
                self.violate("taken twice", f"{name}: {number} times, and {most} are in the sources")

    def _accepted_is_known(self) -> None:
        """In the journal no batch is unknown that has a batchUuid: its result could be asked for."""
        if not self.is_elsewhere and not self.violations and (what := unknown_with_uuid(self.folder / "journal")):
            self.violate("journal", f"{what} batches have a batchUuid, and are unknown")

    def _journal_lost_nothing(self) -> list[JournalRun]:
        """Whatever ended a process, the journal knows of each document that was taken. Returns its runs."""
        if self.was_restored or self.is_elsewhere or self.violations:
            return []
        runs = read_runs(self.folder / "journal")
        if self._is_all_in_one_run:
            for run in runs:
                if what := what_is_there_twice(run, sum(self.given[run.run_id].values())):
                    self.violate("journal", what)
        lost = what_a_journal_lost(runs, self.service.taken)
        if lost is not None:
            self.violate("journal", lost)
        return runs

    def _is_true(self, begun: _Begun, report: BulkReport, is_cut: bool) -> None:
        """Holds a report against the books."""
        source, read = begun.source, report.totals.records_read
        if sum(report.counts.values()) != read:
            self.violate("sums", f"{dict(report.counts)} for {read} records")
        wanted = min(len(source), begun.act.limit or len(source))
        if read > wanted or (not is_cut and read != wanted):
            self.violate("sums", f"{read} of {wanted} records read")
        named = list(report.failures())
        failures = {failure.index: failure for failure in named}
        success = success_states(accepted_is_enough=begun.act.results == "accepted")
        counted = read - sum(report.counts[state] for state in success)
        if len(failures) != len(named) or len(named) != counted:
            self.violate("named once", f"{len(failures)} records in {len(named)} names, and {counted} are counted")
        self.states.update((failure.state, failure.reason) for failure in named)
        states = {index: failure.state for index, failure in failures.items()}
        if begun.money is not None:
            for what in money_is_lost(begun.money.totals(report), read, source, states, success):
                self.violate("money", what)
        # What the source has no longer, and what never left, is left behind in no report.
        if not is_cut and self._is_all_in_one_run and not begun.act.limit:
            # What can't be sent this time has a row beside the earlier one.
            is_all = Counter(map(name_of, source)) == self.given[begun.act.run_id] and not begun.act.broken
            for run in self._journal_lost_nothing():
                if run.run_id == begun.act.run_id and (what := what_a_journal_says_otherwise(run, report, is_all=is_all)):
                    self.violate("counts", what)
        if begun.is_whole and not is_cut:
            left = sorted({failure.reason for failure in named if failure.state == "not_sent"} - {"patience"})
            if left:
                self.violate("not sent", f"a run that came to its end left some because of {left}")
        self._is_true_of_the_whole(begun, report, wanted)
        self._forgets_nothing(begun, [failures.get(index) for index in range(read)], is_cut)
        self._contradicts(begun, [failures.get(index) for index in range(read)])

    def _each_has_one_row(self, act: Act) -> None:
        """After an act in which nobody was killed, the journal of a run has each record once."""
        knows = self._is_all_in_one_run and not (self.was_restored or self.is_elsewhere or self._is_removed or self.violations)
        # A run that is cut off may not compare what it names with what was there before.
        is_plain = act.disk_fails_at is None and act.limit is None and act.cancel_again is None and act.given_as != "raises"
        for run in read_runs(self.folder / "journal") if knows and is_plain else ():
            if what := what_has_two_rows(run, sum(self.given[run.run_id].values())):
                self.violate("rows", what)

    def _is_true_of_the_whole(self, begun: _Begun, report: BulkReport, wanted: int) -> None:
        """Holds what a report says of its source and its batches against both."""
        # Whoever leaves a run has stopped it, and does not wait for the rest.
        stays = begun.act.leaves is None
        stop_after = begun.act.stop_after if begun.is_whole and stays else None
        is_list = begun.act.given_as == "list" and stays
        said = what_a_report_says_of_its_source(report, wanted, is_list=is_list, stop_after=stop_after)
        if said is not None:
            self.violate("source", said)
        knows = not (self.was_restored or self.is_elsewhere) and not self.service.struck["extra_answer"]
        if knows and (other := another_batch_uuid(report, begun.source, self.service.batches)):
            self.violate("batchUuid", other)
        # Other forms of a result may say that it comes too late.
        is_plain = not self.service.struck["other_result"] + self.service.struck["rare_result"]
        if begun.is_whole and stays and is_plain:
            given_up = a_batch_given_up(report, self.service.batches, begun.act.deadline, self.world.seconds)
            if given_up is not None:
                self.violate("deadline", given_up)

    def _forgets_nothing(self, begun: _Begun, failures: list[RecordOutcome | None], is_cut: bool) -> None:
        """What succeeded once is not less in a later attempt of the run."""
        act, known = begun.act, self.succeeded[begun.act.run_id]
        if self.was_restored or self.is_elsewhere or act.bare or act.run_id in self._sent_at_once:
            return
        names = [name_of(document) for document in begun.source]
        for failure, name in zip(failures, names, strict=False):
            # Where the journal can't be asked, that is said.
            is_less = failure is not None and failure.state in {"accepted", "unknown", "not_sent", "failed"} and failure.reason != "journal"
            if failure is not None and is_less and name in known:
                self.violate("forgotten", f"{name} had succeeded, and is {failure.state} ({failure.reason})")
        if not is_cut and act.results == "wait" and act.disk_fails_at is None:
            known |= {
                name
                for failure, name in zip(failures, names, strict=False)
                if failure is None and name.startswith("number ") and names.count(name) == 1
            }

    def _contradicts(self, begun: _Begun, failures: list[RecordOutcome | None]) -> None:
        """Compares what became of each record with what the service took; None: it succeeded."""
        claimed: Counter[str] = Counter()
        for index, (failure, document) in enumerate(zip(failures, begun.source, strict=False)):
            name = name_of(document)
            if failure is None:
                claimed[name] += 1
                self._says_the_same(name, document)
            elif str(failure.key).casefold() != str(document.get("documentNo")).strip().casefold():
                self.violate("index", f"record {index} is {document.get('documentNo')}, and named {failure.key}")
            elif failure.state == "invalid" and not self._may_be_invalid(failure, document):
                self.violate("contradiction", f"{name} is invalid ({failure.reason}), and can be sent")
            elif failure.state in {"not_sent", "rejected"} and self.runs == 1 and not self._is_removed:
                self._not_taken(begun, failure.state, name)
            elif failure.state == "failed" and name not in self.service.failed:
                self.violate("contradiction", f"{name} is failed, and the service says nothing of that")
            elif failure.reason == "key_conflict" and not self._may_conflict(name, document):
                self.violate("contradiction", f"{name} is said to have other content at the service")
            elif failure.state == "accepted" and not self._may_be_accepted(name):
                self.violate("contradiction", f"{name} is accepted, and was never taken")
            if failure is not None:
                self._is_early(begun, failure, name)
        for name, number in claimed.items():
            # Of what is only accepted, the result may say later that it failed.
            is_open = begun.act.results == "accepted" and name in self.service.failed
            if self.service.taken[name] < number and not is_open and not self._may_be_of_another:
                self.violate("contradiction", f"{name} succeeded {number} times, and was taken {self.service.taken[name]} times")

    @property
    def _may_be_of_another(self) -> bool:
        """Whether a result without names may be that of another batch: an extra answer names one of which its sender heard nothing."""
        struck = self.service.struck
        return struck["extra_answer"] > 0 and struck["other_result"] + struck["rare_result"] > 0

    def _may_be_invalid(self, failure: RecordOutcome, document: dict[str, Any]) -> bool:
        if failure.reason == "too_large":
            # With what is around it.
            return len(json.dumps(document, separators=(",", ":"))) + 16 > self._max_bytes
        return failure.reason in _EARLIER or "Kid" in document

    def _may_conflict(self, name: str, document: dict[str, Any]) -> bool:
        there = self.service.bodies.get(name)
        # What is looked up may have been sent by an earlier attempt.
        is_changed = any(act.changed for act in self.scenario.acts)
        return there is not None and (is_changed or not _is_the_same(there, document))

    def _is_early(self, begun: _Begun, failure: RecordOutcome, name: str) -> None:
        """Compares what became of a document with what could be known then."""
        if failure.reason == "result_gone" and not (self.service.is_gone(name) or self.service.struck["extra_answer"]):
            self.violate("contradiction", f"the result of {name} is gone, and was asked for but once")
        if failure.reason == "unrecognised" and not self._may_be_unrecognised(name):
            self.violate("contradiction", f"the result of {name} is called unrecognised after one poll with other words")
        if failure.state == "rejected" and not self._may_be_rejected(begun, name):
            self.violate("contradiction", f"{name} is rejected, and the service would take it alone")

    def _may_be_unrecognised(self, name: str) -> bool:
        """Words that say nothing count only where they come again."""
        if not {"other_result", "rare_result", "odd_result", "swapped_result"}.isdisjoint(self.scenario.faults):
            return True
        of_it = [batch for batch in self.service.batches.values() if name in map(name_of, batch.records)]
        return not of_it or any(batch.odd > 1 or self.world.seconds >= batch.taken_at + self.service.deadline for batch in of_it)

    def _may_be_rejected(self, begun: _Begun, name: str) -> bool:
        """Who lets a batch be split until the document is found rejects no other one."""
        refuses = {"bad_data", "proved_refusal"}.intersection(self.scenario.faults)
        return begun.act.bisect != "all" or bool(refuses) or BAD_DOCUMENT not in self.scenario.faults or is_bad(name)

    def _may_be_accepted(self, name: str) -> bool:
        # An extra answer may name a batch of which its sender heard nothing: nobody could tell.
        return self.service.taken[name] > 0 or name in self.service.failed or self.service.struck["extra_answer"] > 0

    def _was_told(self, begun: _Begun, report: BulkReport, is_cut: bool) -> None:
        """Compares what the program was told with the report: each record once, and none is missing where the run came to its end."""
        states: dict[int, str] = {}
        for outcome in begun.told:
            for position, index in enumerate(outcome.indexes):
                if index in states:
                    self.violate("told once", f"record {index} was told twice")
                states[index] = outcome.exceptions.get(position, outcome.common).state
        failures = {failure.index: failure.state for failure in report.failures()}
        success = success_states(accepted_is_enough=begun.act.results == "accepted")
        for index, state in states.items():
            if failures.get(index, state) != state or (index not in failures and state not in success):
                self.violate("told once", f"record {index} was told as {state}, and is {failures.get(index, 'a success')}")
        if not is_cut and len(states) != report.totals.records_read:
            self.violate("told once", f"{len(states)} of {report.totals.records_read} records were told")

    def _says_the_same(self, name: str, document: dict[str, Any]) -> None:
        """Holds the content of a document that succeeded against what was taken."""
        taken = self.service.bodies.get(name)
        if taken is not None and not _is_the_same(taken, document):
            self.violate("content", f"{name} succeeded with other content than was taken")

    def _is_true_dead_letter(self, act: Act, report: BulkReport, source: list[dict[str, Any]]) -> None:
        """Holds the lines of a dead letter against the source and the report."""
        lines = [json.loads(line) for line in (self.folder / "dead_letter").read_bytes().splitlines()]
        lines = [line for line in lines if line["run_id"] == act.run_id]
        failures = {failure.index: failure for failure in report.failures()}
        for line in lines:
            index, payload = line["index"], line["payload"]
            if index is None:
                # An earlier attempt sent it, and it is not in this source.
                continue
            number = source[index].get("documentNo")
            if str(line["key"]).casefold() != str(number).strip().casefold():
                self.violate("dead letter", f"line of record {index} has the key {line['key']}, and the record {number}")
            elif payload is not None and name_of(payload) != name_of(source[index]):
                self.violate("dead letter", f"line of record {index} has the payload of {name_of(payload)}")
            elif index not in failures or failures[index].state != line["state"]:
                said = failures[index].state if index in failures else "a success"
                self.violate("dead letter", f"record {index} is {said}, and its line says {line['state']}")
        places = Counter(line["index"] for line in lines if line["index"] is not None)
        if missing := sorted(set(failures) - set(places)):
            self.violate("dead letter", f"records {missing} did not succeed, and have no line")
        if twice := [place for place, number in places.items() if number > 1]:
            self.violate("dead letter", f"records {twice} have several lines")

    def _has_its_lines(self, act: Act, report: BulkReport) -> None:
        """What a run writes while a replay changes the same dead letter is in it, but for what the replay has sent."""
        lines = (json.loads(line) for line in (self.folder / "dead_letter").read_bytes().splitlines())
        keys = {str(line["key"]).casefold() for line in lines if line["run_id"] == act.run_id}
        named = {str(failure.key).casefold() for failure in report.failures() if failure.key is not None}
        if lost := sorted(key for key in named - keys if not self.service.taken[f"number {key}"]):
            self.violate("dead letter", f"{lost} did not succeed, and the replay has removed their lines")

    def _ended_runs(self, act: Act) -> frozenset[str] | None:
        """The runs that are complete in the journal, where it is known what that means after this act."""
        at_once = act.together is not None or act.again or act.beside is not None
        if at_once or act.bare or self.was_restored or self._is_removed or act.what == "prune":
            return None
        return frozenset(run.run_id for run in read_runs(self.folder / "journal") if run.ended is not None)

    def _ends_no_run(self, begun: _Begun, before: frozenset[str] | None) -> None:
        """Only a run that reads all of its source completes itself in the journal."""
        act = begun.act
        is_limited = act.what == "send" and act.limit is not None and act.limit < len(begun.source)
        if before is None or self.violations or (act.what == "send" and act.given_as != "raises" and not is_limited):
            return
        known = before - {act.run_id} if is_limited and begun.is_whole else before
        if ended := sorted(run.run_id for run in read_runs(self.folder / "journal") if run.ended is not None and run.run_id not in known):
            self.violate("ended", f"{ended} are complete after {act.what}{' of a part' if is_limited else ''}")

    def _not_taken(self, begun: _Begun, state: str, name: str) -> None:
        assert begun.taken is not None
        if begun.taken[name] and sum(name_of(document) == name for document in begun.source) == 1:
            self.violate("contradiction", f"{name} is {state}, and was taken")

    def _all_is_sent(self, report: BulkReport) -> None:
        """With a service that is well, nothing that may be sent is left."""
        left = {
            failure.state
            for failure in report.failures()
            if failure.state not in _LEFT and failure.reason not in _EARLIER and not self.was_restored
        }
        if left:
            self.violate("all is sent", f"{dict(report.counts)}")

    def _nothing_is_lost(self, report: BulkReport) -> None:
        """A document that is left to another run was taken, or that run says that it may have been."""
        left = [failure for failure in report.failures() if failure.reason == "sent_in_run"]
        names = {f"number {failure.key}".casefold() for failure in left}
        lost = [name for name in names if not self.service.taken[name] and name not in self.service.failed]
        if lost and not (self.was_restored or self.is_elsewhere):
            known = sum(run.counts.get(state, 0) for run in read_runs(self.folder / "journal") for state in ("unknown", "accepted"))
            if not known:
                self.violate("lost", f"{lost} are left to another run, and no run has sent them")

    def _left_to_each_other(self, begun: list[_Begun]) -> None:
        """Of two runs at the same time, one sends a document. Two processes may have the same run."""
        if self.was_restored or self.is_elsewhere:
            return
        left: defaultdict[str, set[str]] = defaultdict(set)
        for one in begun:
            for failure in one.made[-1].failures() if one.made else ():
                if failure.reason == "sent_in_run":
                    left[str(failure.key).casefold()].add(one.act.run_id)
        # One that failed in a run may have been sent by another one after that.
        if lost := sorted(number for number, runs in left.items() if len(runs) > 1 and not self.service.taken[f"number {number}"]):
            self.violate("lost", f"{lost} are left by each of two runs to the other")

    def _all_is_known(self, report: BulkReport) -> None:
        """With a service that is well, each result is read that there is."""
        if early := [failure.key for failure in report.failures() if (failure.state, failure.reason) in _EARLY]:
            self.violate("all is known", f"{early} have a result, and are accepted")

    def _all_is_found(self, report: BulkReport) -> None:
        """With a service that is well, a look-up finds each document that was taken and has a number."""
        if {BLIND, BLIND_TO_BLANKS, BLIND_TO_LONG, BLIND_TO_SLASHES}.intersection(self.scenario.faults):
            return
        for failure in report.failures():
            was_taken = failure.key is not None and self.service.taken[f"number {failure.key}".casefold()]
            if failure.state in {"unknown", "accepted"} and was_taken and failure.reason not in _OTHERS:
                self.violate("all is found", f"{failure.key} was taken, and is {failure.state} ({failure.reason})")


def _is_the_same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two documents have the same content, however that and their numbers are spelled."""
    return one == other or name_of({**one, "documentNo": ""}) == name_of({**other, "documentNo": ""})


class ReplayingClient:
    """What a replay needs of a client; see `ReplayClient`."""

    def __init__(self, arm: ArmClient) -> None:
        self._arm = arm
        self.base_url = "http://127.0.0.1/arm"
        self.client_no = arm.client_no
        self.rules = arm._context.rules

    def results(self, batch_uuids: Iterable[str]) -> AbstractAsyncContextManager[AsyncIterator[BatchResult]]:
        return self._arm.batches.wait_many(batch_uuids, deadline=120.0)

    async def get_document(self, number: str) -> Response:
        return await self._arm.request("GET", f"documents/{wire.segment('documentNo', number)}")

    async def begin(self, operation: str, payloads: AsyncIterable[bytes], options: BulkOptions, part: object) -> BulkRun:
        assert (operation, part) == ("documents.create_batch", None)
        return self._arm.documents.create_many(payloads, options=options)

    async def send(self, run: BulkRun, on_settled: Callable[[BatchOutcome], None]) -> None:
        async with run:
            async for outcome in run:
                on_settled(outcome)

    def on_progress(self, done: int) -> None:
        pass


_OTHERS = {"key_conflict", "sent_in_run"}
_EARLY = {("accepted", "not_awaited"), ("accepted", "deadline")}
_LEFT = {"unknown", "accepted", "failed", "invalid"}
"""What stays though the service is well: what can't be sent, or may not be sent again."""
_EARLIER = {"document_no_repeated", "sent_in_run", "conflicts_with_journal"}
"""Why a document is not sent though the service is well: it has its number from another one."""


def _given(source: list[dict[str, Any]], act: Act) -> Any:
    """The source as a program gives it."""
    if act.given_as == "async":
        return _one_by_one(source)
    if act.given_as == "reused":
        return _reused(source)
    return _raising(source) if act.given_as == "raises" else source


def _reused(source: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Gives one dict again and again."""
    given: dict[str, Any] = {}
    amounts: dict[str, Any] = {}
    for document in source:
        given.clear()
        amounts.update(document["currencyAmounts"])
        given.update(document, currencyAmounts=amounts)
        yield given


def _raising(source: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    yield from source[: len(source) * 2 // 3]
    raise ValueError("the source fails")


async def _one_by_one(source: list[dict[str, Any]]) -> AsyncIterator[dict[str, Any]]:
    for number, document in enumerate(source):
        await asyncio.sleep(number % 3 * 0.4)
        yield document


def _documents(scenario: Scenario) -> Iterator[dict[str, Any]]:
    numbered = scenario.documents - scenario.unnumbered
    for number in range(scenario.documents):
        record = {"documentType": "IN", "customerNo": str(number % 3), "currencyCode": "NOK"}
        if scenario.currencies:
            # Documents that say the same are of one currency.
            record |= {"currency": ("NOK", "SEK", "EUR")[(number if number < numbered else (number - numbered) // 2) % 3]}
        if number % 3 == 1 and number // 3 < scenario.invalid:
            # The API's name of that field differs by its case: it would be ignored.
            record |= {"Kid": ""}
        # Some are too large alone, or nearly.
        reference = "x" * 120 if scenario.max_bytes is not None and number % 5 == 2 else ""
        if number < numbered:
            # A field that only the service has says nothing: one that is changed later is there from the first.
            yield {
                "documentNo": _number_of(scenario, number, numbered),
                **record,
                "yourReference": reference,
                "currencyAmounts": {"inclVat": total_of(number)},
            }
        else:
            # Every second one says the same as the one before it.
            pair = (number - numbered) // 2
            yield {**record, "customerNo": "9", "yourReference": f"R{pair}", "currencyAmounts": {"inclVat": total_of(numbered + pair)}}


def _number_of(scenario: Scenario, place: int, numbered: int) -> str:
    if scenario.blanks and place % 2:
        return f" D{place:03}"
    if scenario.lengths and place >= numbered // 2:
        return f"D{place:06}"
    if not scenario.slashes:
        return f"D{place:03}"
    # Whole batches of each form, as one document that is found shows that its batch was taken; and as long as each other, as a number
    # proves nothing for longer ones.
    return f"D/{place:03}" if place < numbered // 2 else f"D{place:04}"


def _otherwise(act: Act, seed: int) -> Act:
    """What another process or run does at the same time, with an order and a source of its own."""
    rng = random.Random(seed)
    return replace(
        act,
        order=seed,
        documents=rng.choice((act.documents, max(1, act.documents // 2))),
        changed=rng.choice((act.changed, act.changed, 0)),
        respelled=rng.random() < 0.3,
        reconcile=rng.random() < 0.4,
        resend_absent=rng.random() < 0.6,
        streamed=rng.random() < 0.3,
        results=rng.choice(("wait", "wait", "accepted")),  # type: ignore[arg-type]
        bisect=rng.choice(("safe", "all")),  # type: ignore[arg-type]
        limit=None,
        stop_after=rng.choice((None, None, 2)),
        given_as=rng.choice(("list", "async", "generator")),  # type: ignore[arg-type]
    )


def _swapped(document: dict[str, Any]) -> dict[str, Any]:
    """The same document with its number in other letters."""
    return {**document, "documentNo": document["documentNo"].swapcase()} if "documentNo" in document else document


def _respelled(document: dict[str, Any]) -> dict[str, Any]:
    """The same document, written otherwise."""
    found = dict(reversed(document.items()))
    if "documentNo" in found:
        found["documentNo"] = found["documentNo"].casefold()
    return found


# --- shrinking --------------------------------------------------------------------------------------------------------------


_SIMPLER: tuple[dict[str, Any], ...] = (
    *(
        {name: None}
        for name in ("cancel_again", "cancel_at", "cancel_on_commit", "kill_at", "freeze_at", "disk_fails_at", "beside", "together")
    ),
    *({name: 0} for name in ("order", "jump", "changed", "other", "broken")),
    *({name: False} for name in ("reconcile", "resend_absent", "respelled", "power_cut", "dead_letter", "money", "elsewhere")),
    {"run_id": RUN},
    {"given_as": "list"},
    {"results": "wait"},
    {"bisect": "safe"},
    *({name: None} for name in ("compression", "limit", "leaves", "takes_away", "open_batches", "settle", "stop_after")),
    *({name: False} for name in ("streamed", "again", "few_bytes")),
    *({name: getattr(Act("send"), name)} for name in ("clock", "at", "freeze_for", "disk_fails", "deadline")),
)
"""What makes an act simpler."""


def smaller(scenario: Scenario) -> Iterator[Scenario]:
    """Gives stories that are a little smaller."""
    yield from fewer_acts_and_faults(scenario)
    acts = scenario.acts
    for place, act in enumerate(acts):
        for simpler in _SIMPLER:
            if any(getattr(act, name) != value for name, value in simpler.items()):
                yield replace(scenario, acts=(*acts[:place], replace(act, **simpler), *acts[place + 1 :]))  # type: ignore[arg-type]
    if scenario.repeats:
        yield replace(scenario, repeats=0)
    plain: tuple[dict[str, Any], ...] = (
        *({name: False} for name in ("slashes", "currencies", "lengths", "blanks", "forgets", "swapped", "naps")),
        {"invalid": 0},
        {"max_bytes": None},
    )
    for simpler in plain:
        if any(getattr(scenario, name) != value for name, value in simpler.items()):
            yield replace(scenario, **simpler)
    if scenario.unnumbered:
        yield replace(scenario, unnumbered=0)
    if scenario.documents > 2:
        fewer = scenario.documents // 2
        cut = tuple(replace(act, documents=min(act.documents, fewer)) for act in acts)
        yield replace(scenario, documents=fewer, unnumbered=min(scenario.unnumbered, fewer), acts=cut)
    if scenario.concurrency > 1:
        yield replace(scenario, concurrency=1)
    if scenario.branch is not None:
        yield replace(scenario, branch=None)
        yield from (replace(scenario, branch=commit) for commit in range(1, scenario.branch))
