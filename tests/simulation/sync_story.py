"""Stories of `customers.sync`: what its state says must be true of the service, whatever happened, since the next sync omits it."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter, defaultdict
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

from amili_arm_async import ArmClient, ConfigurationError, JournalError
from amili_arm_async.resources.bulk import CUSTOMERS
from amili_arm_async.sync.digests import RecordDigests
from amili_arm_async.sync.run import SyncReport

from .customer_source import FORMS, given_as
from .plan import Act, Plan
from .registry import FAULTS, Version, customer_name, text_of
from .story import Begun, Story

__all__ = ["ODD", "SyncStory", "draw", "draw_act"]

_digests_of = RecordDigests.of
"""As it is before a mutant changes it."""

_LAST_SYNCS = 3
"""Of so many branches, one ends with syncs that send nothing, the last of them in another form; every story does."""

ODD = (
    "kill", "cancel", "order", "edits", "gone", "part", "repeats", "again", "cased", "broken", "slow", "respelled", "freeze", "disk",
    "power", "beside", "jump", "journal",
)  # fmt: skip
"""What may be odd about an act. Each story draws some of them, and has those often."""


def draw(seed: int) -> Plan:
    """Draws the story of a seed."""
    drawn, forgotten, unnamed = _draw(seed), random.Random(f"{seed}/forgotten"), random.Random(f"{seed}/unnamed")
    several = random.Random(f"{seed}/several")
    if several.random() < 0.12:
        return _several(several, drawn)
    if forgotten.random() < 0.04:
        # Customers are forgotten, and come back in the same run.
        usual = Act("sync", journal=True, run_id="run 1", form=forgotten.choice(FORMS), edits=forgotten.choice((0, 1)))
        leave = replace(usual, gone=forgotten.choice((1, 2, 3)), forget=True)
        return replace(drawn, acts=(usual, leave, usual), faults=drawn.faults[:1], branch=None)
    if unnamed.random() < 0.1:
        acts = (
            replace(act, unnamed=unnamed.randrange(1, 1000)) if act.what == "sync" and unnamed.random() < 0.5 else act for act in drawn.acts
        )
        return replace(drawn, acts=tuple(acts))
    return drawn


def _several(rng: random.Random, drawn: Plan) -> Plan:
    """Makes a story of customers that come several times, or are forgotten, while something of them may be processed late."""
    unheard, again = rng.choice(("reset_after", "silence_after", "status_after", "cut_answer", "no_uuid")), 2 * drawn.seed + 2
    usual, which = Act("sync", form="dicts"), rng.choice(("the last fails", "slow", "forgotten"))
    if which == "the last fails":
        # Then one record of each, twice.
        twice = replace(usual, edits=1, again=again - rng.choice((0, 1)))
        acts = (twice, replace(usual, edits=rng.choice((0, 1))), usual)
        faults, odds, batch = (unheard, "late_processing", "record_fails"), rng.choice((0.3, 0.5)), rng.choice((1, 2))
    elif which == "slow":
        # What is settled comes once more in the same sync, after that.
        acts = (replace(usual, form="slow", edits=1, again=again, repeats=drawn.seed + 1), usual)
        faults, odds, batch = (unheard, "late_processing"), rng.choice((0.3, 0.6)), 1
    else:
        # Something was sent before they were forgotten, and something else twice when they are back.
        back = replace(usual, edits=2)
        acts = (replace(usual, edits=1), replace(usual, edits=1, gone=3, forget=True), back, back)
        faults, odds, batch = (unheard, "late_processing"), 0.4, drawn.batch
    return replace(drawn, acts=acts, faults=faults, odds=odds, batch=batch, customers=8, branch=None)


def _draw(seed: int) -> Plan:
    rng = random.Random(f"{seed}/sync")
    share = rng.choice((0.1, 0.3, 0.6))
    customers = rng.choice((4, 8, 12, 12, 24))
    odd = frozenset(kind for kind in ODD if rng.random() < 0.35)
    acts: list[Act] = []
    comes_back = rng.random() < 0.25
    for _ in range(rng.choice((1, 2, 2, 3, 4)) if not comes_back else rng.choice((3, 4, 5))):
        what = rng.choices(("sync", "jump", "wait", "copy", "restore"), (70, 4, 5, 8, 8))[0]
        act = draw_act(rng, what, customers, odd)
        if what == "sync":
            touched = act.form == "dicts" and rng.random() < 0.3
            act = replace(act, touched=touched, at_least=rng.choice((0.0, 0.0, 0.5, 0.75, 1.0)), dry=rng.random() < 0.07)
        if comes_back and what == "sync":
            # Two runs and two contents, in turns: each run id comes back with what it had, or with the other content.
            act = replace(act, journal=rng.random() < 0.9, run_id=f"run {rng.choice((1, 1, 2))}", gone=0, size=1000)
            act = replace(act, edits=rng.choice((1, 2)))
            if rng.random() < 0.4:
                act = replace(act, kill_at=int(rng.expovariate(1 / 60)) + 20, power_cut=rng.random() < 0.5)
        acts.append(act)
    faults = tuple(fault for fault in FAULTS if rng.random() < share)
    odds, batch, concurrency = rng.choice((0.02, 0.1, 0.3, 0.6)), rng.choice((1, 2, 3, 5)), rng.choice((1, 2, 3, 8))
    drawn = Plan("sync", seed, tuple(acts), faults, odds, customers, batch, concurrency, slow_disk=rng.random() < 0.2)
    if rng.random() >= NARROW:
        return drawn
    which = rng.random()
    if which < 0.3:
        # What is processed late overwrites other content that was sent meanwhile.
        unheard = rng.choice(("reset_after", "silence_after", "status_after", "cut_answer", "no_uuid"))
        usual = Act("sync", form=rng.choice(("dicts", "slow")), again=rng.choice((0, 0, seed + 1)))
        acts = [replace(usual, edits=edits) for edits in rng.choice(((1, 2), (1, 2, 2), (1, 2, 1), (1, 2, 3), (1, 1, 2)))]
        acts[1] = replace(acts[1], gone=rng.choice((0, 3)), again=0)
        if rng.random() < 0.5:
            # What is unknown is one of several of a customer; then comes one of them alone.
            first = replace(usual, edits=1, again=2 * seed + rng.choice((1, 2)), repeats=rng.choice((0, seed + 1)))
            first = replace(first, cancel_at=rng.choice((None, None, rng.randrange(30, 150))))
            acts = [first, *(replace(usual, edits=1, again=0) for _ in range(2))]
        return replace(drawn, acts=tuple(acts), faults=(unheard, "late_processing"), odds=rng.choice((0.3, 0.6)))
    if which < 0.5:
        # Customers who come and go, while all goes well.
        usual = Act("sync", forget=True, cased=rng.choice((0, 1)), at_least=rng.choice((0.0, 0.5, 0.75)))
        acts = [replace(usual, gone=gone, form=rng.choice(FORMS)) for gone in rng.sample((1, 2, 3), 3)]
        return replace(drawn, acts=tuple(acts), faults=(), customers=24)
    if which < 0.65:
        # What a run has sent before comes first, and something else after it; then the power is cut, and the run goes on with the first.
        first = Act("sync", journal=True, run_id="run 1", edits=1)
        twice = replace(first, again=2 * seed + 2, full=True, kill_at=int(rng.expovariate(1 / 60)) + 30, power_cut=True)
        return replace(drawn, acts=(first, twice, first), faults=())
    if which < 0.75:
        # A batch that may have been accepted is split, and the process ends before its parts are sent; so does the next one, early.
        first = Act("sync", journal=True, run_id="run 1", edits=1, again=2 * seed + 2, kill_at=int(rng.expovariate(1 / 60)) + 40)
        early = replace(first, kill_at=None, cancel_at=int(rng.expovariate(1 / 20)) + 10)
        return replace(drawn, acts=(first, early), faults=("status_after", "proved_refusal"), odds=0.6, batch=rng.choice((3, 5)))
    first, *others = come_back(rng, Act("sync", journal=True, run_id="run 1"))
    if len(others) == 3 and rng.random() < 0.5:
        # The other content is sent without a journal.
        first, *others = others[1], replace(others[0], journal=False), first
    return replace(drawn, acts=(first, *others), faults=faults[:2])


NARROW = 0.2
"""How many stories have nothing but what together leads to a place that others hardly ever reach."""


def come_back(rng: random.Random, act: Act) -> tuple[Act, ...]:
    """Draws acts in which a run comes back with what it had first, after something else was sent: in the same run before the power was cut,
    or in another one before the run was killed, or was cancelled before it had sent the first again."""
    first, other = replace(act, edits=1), replace(act, edits=2)
    kill_at = int(rng.expovariate(1 / 60)) + 15
    if rng.random() < 0.5:
        return first, replace(other, kill_at=kill_at, power_cut=True), first
    cut = replace(first, kill_at=kill_at) if rng.random() < 0.7 else replace(first, cancel_at=rng.randrange(30, 150))
    return first, replace(other, run_id="run 2"), cut, first


def draw_act(rng: random.Random, what: str, customers: int, odd: frozenset[str]) -> Act:
    """Draws an act: what may happen to any job, and its source."""

    def happens(kind: str, odds: float) -> bool:
        # The same draws whatever is odd in this story.
        return rng.random() < odds and kind in odd

    clock = rng.choice(("wall", "boot", "service"))
    jump = rng.choice((1, -1)) * rng.choice((5.0, 100.0, 4000.0, 100_000.0))
    if what in {"jump", "wait"}:
        return Act(what, jump=jump, clock=clock)
    if what in {"copy", "restore"}:
        return Act(what)
    return Act(
        what,
        kill_at=int(rng.expovariate(1 / 60)) + 2 if happens("kill", 0.7) else None,
        cancel_at=int(rng.expovariate(1 / 60)) + 2 if happens("cancel", 0.4) else None,
        freeze_at=int(rng.expovariate(1 / 40)) + 2 if happens("freeze", 0.5) else None,
        freeze_for=rng.choice((1.0, 50.0, 1000.0)),
        disk_fails_at=rng.randrange(1, 12) if happens("disk", 0.4) else None,
        disk_fails=rng.choice(("full", "before", "after")),
        power_cut=happens("power", 0.7),
        beside=happens("beside", 0.4),
        jump=jump if happens("jump", 0.5) else 0.0,
        clock=clock,
        at=rng.choice((0.1, 1.0, 60.0)),
        form="slow" if happens("slow", 0.6) else rng.choice(FORMS),
        order=rng.randrange(1, 1000) if happens("order", 0.6) else 0,
        edits=rng.randrange(1, 4) if happens("edits", 0.8) else 0,
        gone=rng.randrange(1, 4) if happens("gone", 0.5) else 0,
        size=max(1, customers // 2) if happens("part", 0.4) else 1000,
        repeats=rng.randrange(1, 1000) if happens("repeats", 0.5) else 0,
        again=rng.randrange(1, 1000) if happens("again", 0.5) else 0,
        cased=rng.randrange(1, 1000) if happens("cased", 0.5) else 0,
        broken=rng.randrange(1, 1000) if happens("broken", 0.5) else 0,
        respelled=happens("respelled", 0.5),
        full=rng.random() < 0.1,
        limit=rng.randrange(1, customers + 1) if rng.random() < 0.1 else 0,
        journal=happens("journal", 0.6),
        run_id=f"run {rng.randrange(1, 4)}",
        forget=rng.random() < 0.3,
    )


class SyncStory(Story):
    """One state, and the syncs that use it."""

    files: ClassVar[tuple[str, ...]] = ("state", "journal")
    memory: ClassVar[tuple[str, ...]] = ("_stale", "_known", "_late", "_forgotten")

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._digests = RecordDigests(CUSTOMERS)
        self._stale: dict[bytes, bytes] = {}
        # What the state had before the last job: each customer with its digest, and those who were not settled.
        self._known: dict[bytes, bytes | None] = {}
        # How the number of each customer was written in a source. Where it is there twice, the last one may not have been sent.
        self._spelled: defaultdict[str, set[str]] = defaultdict(set)
        self._late: frozenset[bytes] = frozenset()
        # Who was forgotten and is not sent since, with the process that forgot it.
        self._forgotten: dict[str, int] = {}

    async def main(self, arm: ArmClient, begun: Begun) -> None:
        act = begun.act
        for record in begun.source:
            self._spelled[customer_name(record)].add(str(record.get("customerNo")))
        journal = {"journal": self.folder / "journal", "run_id": act.run_id} if act.journal else {}
        run = arm.customers.sync(
            begun.source if act.touched else given_as(act.form, begun.source),
            state=self.folder / "state",
            full=act.full,
            at_least=act.at_least,
            options=self.options(act, **journal),
        )
        begun.made.append(run.report)
        if act.touched:
            self._touch(begun.source)
        report = await run
        if act.forget:
            gone = list(report.gone_keys())
            begun.made.append((gone, None))
            with contextlib.suppress(ConfigurationError):
                begun.made[-1] = gone, await report.forget(gone)

    @staticmethod
    def _touch(source: list[dict[str, Any]]) -> None:
        """Changes the records of a list, one after the other, while they are compared and sent."""
        loop = asyncio.get_running_loop()
        for place, record in enumerate(source):
            loop.call_later(0.003 * (place + 1), partial(record.update, name=f"Touched {place}"))

    def before(self, act: Act) -> None:
        known, late = self.rows("state", "SELECT name, digest FROM customers", "SELECT name FROM unsettled")
        self._known, self._late = dict(known), frozenset(row[0] for row in late)

    # --- what must be true ----------------------------------------------------------------------------------------------------

    def after(self, begun: Begun) -> None:
        if not begun.made:
            return
        report: SyncReport = begun.made[0]
        self.is_true(report.bulk, begun)
        parts = {name: getattr(report, name) for name in ("new", "changed", "unchanged", "without_key", "failed")}
        if sum(parts.values()) != report.bulk.totals.records_read:
            self.violate("sums", f"{parts} for {report.bulk.totals.records_read} records")
        if begun.act.beside:
            self._one_at_a_time(begun)
        if isinstance(begun.failure, JournalError) and "in use" in str(begun.failure) and self.service.sent[begun.process.pid]:
            self.violate("refused", "a sync that was refused has sent something")
        if begun.is_cut or begun.act.beside:
            return
        if not begun.act.dry:
            self._comes_back(begun, report)
        self._gone(begun, report)
        self._is_enough(begun, report)
        if begun.act.dry:
            return
        self._last_is_there(begun, report)
        self._is_counted(begun, report)

    def _is_counted(self, begun: Begun, report: SyncReport) -> None:
        """Those who are new were not in the state, and those who were not settled are sent."""
        act, failed = begun.act, {failure.index for failure in report.bulk.failures()}
        good = [record for index, record in enumerate(begun.source[: report.bulk.totals.records_read]) if index not in failed]
        if not (act.repeats or act.again):
            new = [customer_name(record) for record in good if customer_name(record).encode() not in self._known]
            if report.new != len(new):
                self.violate("new", f"{report.new} are said to be new, and {new} are")
        if act.journal or act.touched:
            # An earlier attempt of the run may have sent them.
            return
        sent = self.service.sent[begun.process.pid]
        if left := [text_of(one) for one in good if customer_name(one).encode() in self._late and not sent[text_of(one)]]:
            self.violate("late", f"{left} are not sent, and something of these customers may be processed late")

    def _comes_back(self, begun: Begun, report: SyncReport) -> None:
        """Who was forgotten and is in the source again is sent."""
        failed = {failure.index for failure in report.bulk.failures()}
        records = begun.source[: report.bulk.totals.records_read]
        for name in {customer_name(record) for index, record in enumerate(records) if index not in failed} & self._forgotten.keys():
            if not any(one.process.pid > self._forgotten[name] for one in self.service.versions[name]):
                self.violate("comes back", f"{name} was forgotten, and is not sent though it is in the source again")
        for name in {customer_name(record) for record in records}:
            self._forgotten = {one: pid for one, pid in self._forgotten.items() if one != name}

    def _last_is_there(self, begun: Begun, report: SyncReport) -> None:
        """The service has the last record of a customer that succeeded or has not changed, unless something may still be processed late."""
        if begun.act.touched:
            return
        failed = {failure.index for failure in report.bulk.failures()}
        records = begun.source[: report.bulk.totals.records_read]
        claims = self._claims()
        unsettled = {row[0] for row in self.rows("state", "SELECT name FROM unsettled")[0]}
        for name, index in {customer_name(record): index for index, record in enumerate(records)}.items():
            last = self.service.at_last(name)
            is_so = last is not None and text_of(last.record) == text_of(records[index])
            if is_so or index in failed or name.encode() in unsettled or claims.get(name.encode()) == self.digest(records[index]):
                # What the state claims is held against the service after each act.
                continue
            self.violate("last", f"{text_of(records[index])} is done, and the service has {last and text_of(last.record)}")

    def _is_enough(self, begun: Begun, report: SyncReport) -> None:
        """Where the source has too few of those in the state, the report says so, and nobody is forgotten."""
        there = {customer_name(record).encode() for record in begun.source}
        is_short = len(self._known.keys() & there) < begun.act.at_least * len(self._known)
        is_whole = report.source_exhausted and report.bulk.limited_to is None
        if (report.shortfall is not None) != (is_short and is_whole):
            self.violate("shortfall", f"{report.shortfall!r}, and {len(self._known.keys() & there)} of {len(self._known)} are there")
        may_forget = report.shortfall is None and report.bulk.limited_to is None and not begun.act.dry
        if len(begun.made) > 1 and (begun.made[1][1] is None) == may_forget:
            self.violate("shortfall", f"{begun.made[1][1]} were forgotten, and {report.shortfall!r}, {report.bulk.limit_in_words()!r}")

    def _one_at_a_time(self, begun: Begun) -> None:
        """Of two syncs at once one is refused, or begins when the other one has ended."""
        times: dict[int, list[float]] = {}
        for versions in self.service.versions.values():
            for one in versions:
                if one.process.pid in {begun.process.pid, begun.process.pid + 1}:
                    times.setdefault(one.process.pid, []).append(one.taken_at)
        if len(times) == 2 and max(map(min, times.values())) < min(map(max, times.values())):
            self.violate("one at a time", "two syncs used the state at the same time")

    def _gone(self, begun: Begun, report: SyncReport) -> None:
        """Those who are gone are those in the state who are not in the source. A record without a readable number may be of any."""
        there = {customer_name(record).encode() for record in begun.source}
        is_known = report.bulk.source_exhausted and all("customerNo" in record for record in begun.source)
        gone = sorted(self._known.keys() - there) if is_known else None
        if report.gone != (len(gone) if gone is not None else None):
            self.violate("gone", f"{report.gone} are said to be gone, and {gone} are")
        if gone is None and len(begun.made) > 1 and begun.made[1][0]:
            self.violate("gone", f"{begun.made[1][0]} are said to be gone, and that is not known")
        if len(begun.made) < 2 or gone is None:
            return
        keys, forgotten = begun.made[1]
        if sorted(key.casefold().encode() for key in keys) != gone or forgotten not in {None, len(gone)}:
            self.violate("gone", f"{keys} are said to be gone, {forgotten} were forgotten, and {gone} are gone")
        for key in keys:
            if key not in self._spelled[key.casefold()]:
                self.violate("gone", f"{key} is said to be gone, and is written {sorted(self._spelled[key.casefold()])}")
        if forgotten is None:
            return
        left = {row[0] for row in self.rows("state", "SELECT name FROM customers")[0]}
        if left & set(gone) or self._known.keys() - set(gone) - left:
            self.violate("gone", f"{sorted(left)} are left, and {gone} were forgotten")
        self._forgotten = {**self._forgotten, **{name.decode(): begun.process.pid for name in gone}}

    def restored(self) -> None:
        # An older copy does not know what was sent since, as the documentation says: until it is sent again.
        self._stale = {name: digest for name, digest in self._claims().items() if not self._is_so(name, digest)}
        self._forgotten = {}

    def _claims(self) -> dict[bytes, bytes]:
        """What the state says that the service has, so that a sync of the same would send nothing."""
        late, rows = self.rows("state", "SELECT name FROM unsettled", "SELECT name, digest FROM customers")
        unsettled = {row[0] for row in late}
        return {name: digest for name, digest in rows if digest is not None and name not in unsettled}

    def digest(self, record: dict[str, Any]) -> bytes | None:
        """The digest of a record."""
        return _digests_of(self._digests, [record])[1][0]

    def _is_so(self, name: bytes, digest: bytes) -> bool:
        last = self.service.at_last(name.decode())
        if last is None:
            return False
        if self.digest(last.record) == digest:
            return True
        return self._came_late(self.service.versions[name.decode()], last, digest)

    def _came_late(self, versions: list[Version], last: Version, digest: bytes) -> bool:
        """Whether what is last was on its way when its process was killed or could not write its state, and what the state has was sent
        later: nobody can know of that, as the documentation says."""
        later = [one for one in versions if one.taken_at > last.taken_at and self.digest(one.record) == digest]
        was_lost = last.process.was_killed or last.process.disk_fails_at is not None
        return was_lost and any(one.taken_at < last.done_at for one in later)

    def check(self) -> None:
        for name, digest in self._claims().items():
            if self._stale.get(name) == digest:
                continue
            self._stale.pop(name, None)
            if not self._is_so(name, digest):
                last = self.service.at_last(name.decode())
                self.violate("state", f"it claims something of {name.decode()} that the service has not: {last and text_of(last.record)}")

    def morning(self) -> None:
        act = Act("sync")
        for _ in range(5):
            writes = self.service.writes
            begun = self.do(act)[0]
            if self.violations:
                return
            if begun.is_cut or not begun.made[0].ok:
                self.violate("all is sent", f"{begun.failure!r}, {begun.made[0].summary() if begun.made else ''}")
                return
            if self.service.writes == writes or (self._is_quick and len(self._claims()) >= self.plan.customers):
                break
        else:
            self.violate("nothing again", "a sync after a sync of everything sends something")
        self._is_there(begun)
        if self._is_quick:
            return
        writes, form = self.service.writes, FORMS[self.plan.seed % len(FORMS)]
        self.do(Act("sync", order=7, respelled=True, form=form))
        if self.service.writes != writes:
            self.violate("nothing again", f"a sync of the same, in another order and written otherwise as {form}, sends something")

    @property
    def _is_quick(self) -> bool:
        return self.branch is not None and self.branch % _LAST_SYNCS > 0

    def _is_there(self, begun: Begun) -> None:
        """The service has what the source has."""
        wanted = {customer_name(record): text_of(record) for record in begun.source}
        states = Counter[str]()
        for name, text in wanted.items():
            last = self.service.at_last(name)
            if last is not None and text_of(last.record) == text:
                continue
            digest = self._claims().get(name.encode())
            if digest is not None and (self._stale.get(name.encode()) == digest or self._is_so(name.encode(), digest)):
                continue
            states[name] += 1
        if states:
            self.violate("all is there", f"{sorted(states)} are otherwise at the service")
