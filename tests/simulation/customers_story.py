"""Stories of plain customers: runs of creates and updates with and without a journal, single calls, dead letters that are replayed."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Awaitable
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from typing import Any, ClassVar

from amili_arm_async import ArmClient, ArmError, BulkOptions, BulkReport, JournalError, NotSentError, Reconcile, prune_journal
from amili_arm_async.bulk.journal.replay.engine import Replay
from amili_arm_async.bulk.outcomes import FAILURES, SUCCESS
from amili_arm_async.bulk.run import BulkRun

from .customer_source import customers_of, given_as
from .letter_rules import LineName, operation_of, seen_at, too_old, unmarked, wrongly_marked
from .plan import Act, Plan
from .registry import FAULTS, customer_name, text_of
from .scenario import ReplayingClient
from .story import HIDE_RESULTS, Begun, Story
from .sync_story import NARROW, ODD, come_back, draw_act

__all__ = ["CustomersStory", "draw"]

_GONE = ("X001", "X002", "X003")
"""Customers that are deleted, each once: no source has them."""

_SINGLE = 3
"""Customers that are sent by calls of their own, one after the other."""

_LAST_RUNS = 3
"""Of so many branches, one ends with a run that sends nothing; every story does."""


def draw(seed: int) -> Plan:
    """Draws the story of a seed."""
    drawn, rng = _draw(seed), random.Random(f"{seed}/several")
    return rng.choice(_NARROW)(rng, drawn) if rng.random() < _OF_SEVERAL else drawn


_OF_SEVERAL = 0.15
"""How many stories are of dead letters, or of customers that come again in a run: drawn by itself, so that others stay what they are."""


def _draw(seed: int) -> Plan:
    rng = random.Random(f"{seed}/customers")
    share = rng.choice((0.1, 0.3, 0.6))
    customers = rng.choice((4, 8, 12, 12, 24))
    odd = frozenset(kind for kind in ODD if rng.random() < 0.35)
    has_journal, comes_back = rng.random() < 0.8, rng.random() < 0.3
    acts: list[Act] = []
    for _ in range(rng.choice((1, 2, 2, 3, 4)) if not comes_back else rng.choice((3, 4, 5))):
        what = rng.choices(("send", "one", "replay", "jump", "wait", "copy", "restore", "prune", "delete"), (65, 8, 10, 4, 5, 4, 4, 2, 4))[
            0
        ]
        act = draw_act(rng, what, customers, odd)
        own = {
            "journal": has_journal,
            "run_id": f"run {rng.choice((1, 1, 1, 2))}",
            "update": rng.random() < 0.2,
            "dead_letter": rng.random() < 0.4,
            "accepted": rng.random() < 0.1,
            "dry": rng.random() < 0.05 and what == "send",
            "stop_after": rng.choice((1, 2, 4)) if rng.random() < 0.2 else 0,
            "at_least": rng.choice((0.5, 1.0)) if rng.random() < 0.2 else 0.0,
        }
        if comes_back:
            # The same run with two contents, in turns.
            own |= {"edits": rng.choice((1, 2)), "gone": 0, "size": 1000, "repeats": 0, "update": False}
            if rng.random() < 0.4:
                own |= {"kill_at": int(rng.expovariate(1 / 60)) + 20, "power_cut": rng.random() < 0.5}
        acts.append(replace(act, **own, forget=False, full=False) if act.what in {"send", "one", "replay"} else act)  # type: ignore[arg-type]
    faults = tuple(fault for fault in FAULTS if rng.random() < share)
    odds, batch, concurrency = rng.choice((0.02, 0.1, 0.3, 0.6)), rng.choice((1, 2, 3, 5)), rng.choice((1, 2, 3, 8))
    drawn = Plan("customers", seed, tuple(acts), faults, odds, customers, batch, concurrency, slow_disk=rng.random() < 0.2)
    if rng.random() >= NARROW:
        return drawn
    which = rng.random()
    if which < 0.5:
        return _dead_letters(rng, drawn)
    if which < 0.65:
        # A run that was killed is started again with something newer, while what it has sent is processed still.
        first = Act("send", journal=True, run_id="run 1", kill_at=int(rng.expovariate(1 / 60)) + 40)
        return replace(drawn, acts=(first, replace(first, edits=1, kill_at=None)), faults=("slow_processing",), odds=0.6)
    return replace(drawn, acts=come_back(rng, Act("send", journal=True, run_id="run 1")), faults=faults[:2])


def _dead_letters(rng: random.Random, drawn: Plan) -> Plan:
    """Makes a story of records that fail or are refused, and of the dead letter that has them."""
    send = Act("send", journal=rng.random() < 0.8, run_id="run 1", dead_letter=True, edits=1)
    first = replace(
        send, again=rng.choice((0, 1, 2)), repeats=rng.choice((0, 1)), cancel_at=rng.choice((None, None, rng.randrange(30, 150)))
    )
    others = rng.choice(((), (), (replace(send, edits=2, gone=1),), (replace(send, run_id="run 2", edits=2),)))
    acts = (first, *others, Act("replay"), Act(rng.choice(("replay", "prune"))))
    return replace(drawn, acts=acts, faults=("record_fails", "proved_refusal"), odds=rng.choice((0.1, 0.3)), batch=rng.choice((3, 5)))


def _two_runs(rng: random.Random, drawn: Plan) -> Plan:
    """Makes a story of two runs whose lines are in one file: the second one, or a replay, is killed and done again."""
    first = Act("send", journal=True, run_id="run 1", dead_letter=True, edits=1)
    second, replay = replace(first, run_id="run 2", edits=2), Act("replay")
    # Often near the end, where it writes down what it has done.
    kill_at, stop = rng.randrange(30, 120), replace(replay, kill_at=rng.randrange(70, 140))
    acts = rng.choice(
        (
            (first, replace(second, kill_at=kill_at), second, replay),
            (first, second, stop, replay),
            (first, second, stop, second, replay),
        )
    )
    drawn = replace(drawn, faults=("record_fails",), odds=rng.choice((0.2, 0.5)), customers=8)
    which = rng.random()
    # The machine stops at a commit around the end of the last act, which is done again in half of these stories.
    if which < 0.3:
        return replace(drawn, acts=(first, second), batch=3, branch=rng.randrange(17, 27))
    if which < 0.6:
        return replace(drawn, acts=(first, second, replay), odds=0.5, batch=3, branch=rng.randrange(26, 36))
    return replace(drawn, acts=acts, batch=rng.choice((1, 3)))


def _cut_replay(rng: random.Random, drawn: Plan) -> Plan:
    """Makes a story of many lines, and of a replay that is cancelled while it sends them."""
    send = Act("send", journal=rng.random() < 0.5, run_id="run 1", dead_letter=True)
    cut = Act("replay", cancel_at=rng.randrange(20, 100))
    return replace(drawn, acts=(send, cut, Act("replay")), faults=("record_fails",), odds=0.8, batch=1, concurrency=1, customers=12)


def _without_a_journal(rng: random.Random, drawn: Plan) -> Plan:
    """Makes a story of a dead letter without a journal, whose batches have results that say nothing."""
    send = Act("send", dead_letter=True, again=rng.choice((0, rng.randrange(1, 1000))))
    faults = (rng.choice(drawn.faults or ("record_fails",)), "result_gone", "poll_odd")
    return replace(drawn, acts=(send, Act("replay"), Act("replay")), faults=faults, odds=0.3)


def _come_again(rng: random.Random, drawn: Plan) -> Plan:
    """Makes a story of a run that has customers several times, and has something else in between, or them in other orders."""
    act = Act("send", journal=True, run_id="run 1", edits=1, again=2 * drawn.seed + rng.choice((1, 2)))
    drawn = replace(drawn, faults=(), batch=rng.choice((1, 2, 3)), customers=8)
    if rng.random() < 0.4:
        return replace(drawn, acts=tuple(replace(act, order=rng.randrange(1, 1000)) for _ in range(3)))
    return replace(drawn, acts=(act, replace(act, edits=2), act))


def _split(rng: random.Random, drawn: Plan) -> Plan:
    """Makes a story of batches that are sent in parts: with customers who come several times in them, or after one that may be there."""
    send = Act("send", edits=1, journal=rng.random() < 0.5, run_id="run 1", again=rng.choice((0, 2 * rng.randrange(500) + 1)))
    acts = (send, replace(send, edits=2)) if send.again else (send,)
    unheard = rng.choice(("reset_after", "silence_after", "status_after", "cut_answer", "no_uuid"))
    faults = ("proved_refusal", "slow_processing" if send.again else unheard)
    return replace(drawn, acts=acts, faults=faults, odds=rng.choice((0.4, 0.6)), customers=8, batch=rng.choice((3, 5, 8)))


def _thrice(rng: random.Random, drawn: Plan) -> Plan:
    """Makes a story of customers that come three times, with several batches under way."""
    act = Act("send", edits=1, repeats=rng.randrange(1, 500), again=2 * rng.randrange(1, 500) + rng.choice((0, 1)))
    drawn = replace(drawn, acts=(act,), faults=("slow_processing",), odds=0.5, concurrency=8)
    return replace(drawn, customers=rng.choice((4, 8)), batch=rng.choice((1, 2, 3)))


_NARROW = (_two_runs, _cut_replay, _without_a_journal, _come_again, _split, _thrice)


class CustomersStory(Story):
    """Runs with one journal, and calls beside it."""

    files: ClassVar[tuple[str, ...]] = ("journal",)
    memory: ClassVar[tuple[str, ...]] = (
        "_runs", "_is_older", "_is_restored", "_payloads", "_letters", "_told", "_unfinished", "_open", "_since", "_most", "_too_old",
        "_cut_off", "_writers", "_doing",
    )  # fmt: skip

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        # By run, its processes.
        self._runs: dict[tuple[str, bool], tuple[int, ...]] = {}
        # Whether the journal is an older one.
        self._is_older = False
        # What the dead letter had before a replay, and in the lines of which runs.
        self._payloads: dict[str, frozenset[tuple[str, bool]]] = {}
        # The lines of the dead letter before the last job.
        self._letters: tuple[dict[str, Any], ...] = ()
        # The batches that were open in the journal then.
        self._open: frozenset[str] = frozenset()
        # By run, the source of its last process, where that came to its end: what its records say.
        self._told: dict[tuple[str, bool], tuple[str, ...]] = {}
        # The runs that had not ended, and those that have more than successes.
        self._unfinished: frozenset[tuple[Any, ...]] = frozenset()
        # Whether the journal was put back, so that it may not know what a run has sent.
        self._is_restored = False
        # Since when each line of the dead letter is there: after how many records that were taken.
        self._since: dict[LineName, int] = {}
        # By run and customer, how many records of it a source of the run had at the most.
        self._most: dict[tuple[str, bool, str], int] = {}
        # The processes of the last act, if it is a run; and by run without a journal, its process, where that is known.
        self._doing: tuple[int, ...] = ()
        self._writers: dict[tuple[str, str], tuple[int, ...]] = {}
        # What lines say of which a later one has succeeded, before the last replay.
        self._too_old: frozenset[str] = frozenset()
        # By replay that was killed, what its lines said, with their runs.
        self._cut_off: dict[int, dict[str, frozenset[tuple[str, bool]]]] = {}

    async def main(self, arm: ArmClient, begun: Begun) -> None:
        act = begun.act
        if act.what == "one":
            for record in begun.source[:_SINGLE]:
                begun.made.append((record, "cancelled"))
                begun.made[-1] = (record, await _outcome_of(arm.customers.update(record) if act.update else arm.customers.create(record)))
        elif act.what == "delete":
            for number in _GONE:
                begun.made.append((number, "cancelled"))
                begun.made[-1] = (number, await _outcome_of(arm.customers.delete(number)))
        elif act.what == "prune":
            await prune_journal(self.folder / "journal", older_than=0.0)
        elif act.what == "replay":
            await self._replay(arm)
        else:
            settings: dict[str, Any] = {"journal": self.folder / "journal", "run_id": act.run_id} if act.journal else {}
            if act.dead_letter:
                settings["dead_letter"] = self.folder / "dead_letter"
            options = self.options(act, results="accepted" if act.accepted else "wait", **settings)
            send = arm.customers.update_many if act.update else arm.customers.create_many
            run = send(given_as(act.form, begun.source), options=options, at_least=self._expected(act))
            begun.made.append(run.report)
            await run

    def _expected(self, act: Act) -> int:
        return int(act.at_least * self.plan.customers)

    async def _replay(self, arm: ArmClient) -> None:
        path = self.folder / "dead_letter"
        if not path.exists():
            return
        options = BulkOptions(max_records=self.plan.batch, concurrency=self.plan.concurrency, deadline=120.0, patience=300.0)
        with closing(Replay(_Client(arm), str(path), options, Reconcile(settle=0.0), unknown_fields=None, max_named=10)) as replay:
            replay.prepare()
            try:
                await replay.run()
            except (ArmError, asyncio.CancelledError):
                # As the command does when it is interrupted.
                replay.finish()
                raise
            replay.finish()

    def before(self, act: Act) -> None:
        self._doing = ()
        if act.what == "send":
            pids = range(self.world.next_pid, self.world.next_pid + 1 + act.beside)
            # Without a journal each run is one of its own.
            name = act.run_id if act.journal else f"process {pids[0]}"
            self._doing = tuple(pids)
            self._runs = {**self._runs, (name, act.update): (*self._runs.get((name, act.update), ()), *pids)}
            for customer, number in Counter(map(customer_name, customers_of(self.plan, act))).items():
                of_run = (name, act.update, customer)
                self._most[of_run] = max(number, self._most.get(of_run, 0))
            self._told = {run: texts for run, texts in self._told.items() if run != (name, act.update)}
        if act.what in {"replay", "prune"}:
            # A replay goes on with the run, and a run that is pruned can't go on.
            self._is_older = True
        self._open = frozenset(row[0] for row in self.rows("journal", "SELECT uuid FROM batches WHERE state = 'open' AND shared = 0")[0])
        self._unfinished = self._not_done(act.what) if act.what in {"replay", "prune"} else frozenset()
        self._letters = tuple(self._lines())
        lines = [
            ((line["run_id"], line["operation"].startswith("customers.update")), text_of(line["payload"]))
            for line in self._letters
            if line["payload"] is not None
        ]
        self._payloads = {text: frozenset(run for run, other in lines if other == text) for _, text in lines}
        if act.what == "replay":
            path = self.folder / "dead_letter"
            self._too_old = too_old(path) if path.exists() else frozenset()
            self._cut_off[self.world.next_pid] = self._payloads

    def restored(self) -> None:
        self._is_older = self._is_restored = True

    def _not_done(self, what: str) -> frozenset[tuple[Any, ...]]:
        """The runs in the journal that a replay does not end, or that nobody prunes unless told to."""
        if what == "replay":
            return frozenset(self.rows("journal", "SELECT id, run_id FROM runs WHERE ended IS NULL AND pruned IS NULL")[0])
        # Of a batch that was sent again, another one has the outcome.
        failed = "(state IN ('sending', 'open') OR final IN ('failed', 'rejected', 'unknown', 'accepted'))"
        of_run = f"batches.id >> 32 = runs.id AND {failed} AND NOT EXISTS (SELECT 1 FROM superseded WHERE batch = batches.id)"
        return frozenset(
            self.rows("journal", f"SELECT id, run_id FROM runs WHERE pruned IS NULL AND EXISTS (SELECT 1 FROM batches WHERE {of_run})")[0]
        )

    def _lines(self) -> list[dict[str, Any]]:
        path = self.folder / "dead_letter"
        if not path.exists():
            return []
        return [json.loads(line, parse_float=Decimal) for line in path.read_bytes().splitlines()]

    # --- what must be true ----------------------------------------------------------------------------------------------------

    def after(self, begun: Begun) -> None:
        act, sent = begun.act, self.service.sent[begun.process.pid]
        if act.what == "one":
            self._are_true_calls(begun)
        elif act.what == "delete":
            self._is_deleted_once(begun)
        elif act.what == "prune":
            kept = frozenset(self.rows("journal", "SELECT id, run_id FROM runs WHERE pruned IS NULL")[0])
            if lost := sorted(self._unfinished - kept):
                self.violate("prune", f"runs {lost} are pruned, and not all of their records succeeded")
        elif act.what == "replay":
            self._is_replayed(begun)
            if others := sorted(sent.keys() - self._payloads.keys()):
                self.violate("replay", f"it sent what is not in the dead letter: {others}")
        elif act.what == "send" and begun.made:
            self._is_true_run(begun, begun.made[0])
        if act.what == "send" and begun.made and not act.dry:
            self._are_marked(begun, begun.made[0])
        if act.what in {"send", "one"} and (begun.process.pid, "POST" if act.update else "PUT") in self.service.methods:
            self.violate("method", f"customers are sent with the wrong method, and update is {act.update}")

    def check(self) -> None:
        act, lines = self._act, self._lines()
        known = {(run, operation_of(update=update)): pids for (run, update), pids in self._runs.items()}
        # A run without a journal has a name of its own. Of two at once nobody knows which is which.
        new = {(line["run_id"], line["operation"]) for line in lines}.difference(self._writers, known)
        self._writers.update(dict.fromkeys(new, self._doing if len(self._doing) == 1 else ()))
        for wrong in wrongly_marked(lines, self.service.sent, {**self._writers, **known}):
            self.violate("right marks", wrong)
        run = {(act.run_id, operation_of(update=act.update))} if act.what == "send" else set()
        self._since = seen_at(lines, self._since, self.service.taken_records, run)

    def _are_marked(self, begun: Begun, report: BulkReport) -> None:
        """A run with a dead letter that came to its end marks the lines of other runs of which it has sent something newer."""
        act = begun.act
        if not act.dead_letter or act.accepted or act.beside or begun.is_cut or self._is_restored:
            return
        taken = self._last_taken(begun, report)
        run = (act.run_id, operation_of(update=act.update)) if act.journal else None
        for what in unmarked(self._lines(), self._since, run, taken):
            self.violate("marks", what)

    def _last_taken(self, begun: Begun, report: BulkReport) -> dict[str, int]:
        """By customer, when a process of the run has sent last what is the last record in the source, where that succeeded."""
        act, failed = begun.act, {failure.index for failure in report.failures()}
        run, pids = (act.run_id, act.update), self._pids(act, begun.process.pid)
        found: dict[str, int] = {}
        for name, index in {customer_name(one): at for at, one in enumerate(begun.source[: report.totals.records_read])}.items():
            text = text_of(begun.source[index])
            # A replay that was killed has sent what its lines said, and what the run has sent in it counts as the run's.
            replays = {pid for pid, payloads in self._cut_off.items() if act.journal and payloads.get(text) == {run}}
            mine = [one for one in self.service.versions[name] if one.process.pid in replays.union(pids) and text_of(one.record) == text]
            if index not in failed and mine:
                found[name] = max(one.order for one in mine)
        return found

    def _are_true_calls(self, begun: Begun) -> None:
        """What a single call says of its customer is true."""
        sent = self.service.sent[begun.process.pid]
        # An answer to a single call that comes too early is like any other: no batchUuid is missing in it.
        believes = self.service.struck["early_answer"] > 0
        calls = Counter(text_of(record) for record, _ in begun.made)
        for record, said in begun.made:
            text = text_of(record)
            # Of calls with the same content, another one may have sent it.
            was_sent, is_only = sent[text], calls[text] == 1
            if (said == "succeeded" and not was_sent and not believes) or (said == "not sent" and was_sent and is_only):
                self.violate("contradiction", f"{customer_name(record)} is {said}, and was taken {was_sent} times")

    def _is_deleted_once(self, begun: Begun) -> None:
        """A deletion is not repeated where it may have been done, and what a call says of it is true."""
        believes = self.service.struck["early_answer"] > 0
        for number, said in begun.made:
            times = self.service.deleted[begun.process.pid, number]
            if times > 1 or (said == "succeeded" and not times and not believes) or (said == "not sent" and times):
                self.violate("contradiction", f"the deletion of {number} is {said}, and was done {times} times")

    def _is_replayed(self, begun: Begun) -> None:
        """Lines are taken out only where the service has what they say; and nothing older wins over what is newer in its source."""
        self._cut_off = {pid: payloads for pid, payloads in self._cut_off.items() if pid != begun.process.pid}
        for name in {customer_name(json.loads(text)) for text in self._too_old}:
            mine = [text_of(one.record) for one in self.service.versions[name] if one.process is begun.process]
            if mine and mine[-1] in self._too_old:
                self.violate("replay", f"it sent {mine[-1]}, and a later line of the customer has succeeded")
        ended = frozenset(self.rows("journal", "SELECT id, run_id FROM runs WHERE ended IS NOT NULL")[0])
        if ended & self._unfinished:
            self.violate("replay", f"it ended runs whose source was not read to its end: {sorted(ended & self._unfinished)}")
        left = {text_of(line["payload"]) for line in self._lines() if line["payload"] is not None}
        was_less = {text_of(line["payload"]) for line in self._letters if line["state"] not in {"unknown", "accepted"}}
        there = self._payloads.keys() - was_less
        if less := [text for line in self._lines() if line["state"] == "not_sent" and (text := text_of(line["payload"])) in there]:
            self.violate("replay", f"{less} may be with the service, and are now said to be not sent")
        for text in self._payloads.keys() - left:
            versions = self.service.versions[customer_name(json.loads(text))]
            if not any(text_of(one.record) == text for one in versions):
                self.violate("replay", f"{text} was taken out of the dead letter, and the service has not taken it")
        for run, texts in self._told.items():
            names = [customer_name(json.loads(text)) for text in texts]
            pids = {*self._runs[run], begun.process.pid}
            for name in set(names):
                last = texts[len(names) - 1 - names[::-1].index(name)]
                sent = [one for one in self.service.versions[name] if one.process.pid in pids]
                was_last = any(text_of(one.record) == last and one.process.pid != begun.process.pid and one.is_heard for one in sent)
                now = text_of(sent[-1].record) if was_last and sent[-1].process is begun.process else last
                if now != last and now in texts and self._payloads.get(now) == {run}:
                    self.violate("replay", f"it sent {now}, and its run has sent {last}, which is newer")

    def _is_true_run(self, begun: Begun, report: BulkReport) -> None:
        act = begun.act
        if not act.accepted:
            self.is_true(report, begun)
        refused = isinstance(begun.failure, JournalError) and "in progress" in str(begun.failure)
        if refused and self.service.sent[begun.process.pid]:
            self.violate("refused", "a run that was refused has sent something")
        failures = {failure.index: failure for failure in report.failures()}
        self._is_stopped_and_expected(begun, report, failures)
        self._are_kept(act)
        if act.dry:
            return
        if act.journal and not begun.is_cut and not act.beside and report.source_exhausted:
            self._told = {**self._told, (act.run_id, act.update): tuple(map(text_of, begun.source))}
        self._was_taken(begun, report, failures)
        if act.journal:
            self._waits_for_earlier(begun, self._pids(act, begun.process.pid))
        if act.journal and not act.accepted:
            self._is_latest(begun, report, failures)
            if act.dead_letter and not begun.is_cut:
                self._is_true_dead_letter(begun, failures)

    def _is_stopped_and_expected(self, begun: Begun, report: BulkReport, failures: dict[int, Any]) -> None:
        """A run with too many failures ends early; one whose source holds too little says so."""
        if begun.is_cut:
            return
        failed = sum(failure.state in FAILURES for failure in failures.values())
        if failed >= begun.act.stop_after > 0:
            self.violate("stop", f"{failed} records failed, and it went on")
        is_short = len(begun.source) < self._expected(begun.act) and report.limited_to is None
        if (report.shortfall is not None) != is_short:
            self.violate("shortfall", f"{report.shortfall!r}, and {len(begun.source)} of {self._expected(begun.act)} are there")

    def _are_kept(self, act: Act) -> None:
        """The lines of other runs stay in the dead letter."""
        operation = operation_of(update=act.update)
        others = [line for line in self._letters if not act.journal or (line["run_id"], line["operation"]) != (act.run_id, operation)]
        now = self._lines()
        # A line may be marked: something newer was taken.
        if lost := [line["key"] for line in others if line not in now and {**line, "overtaken": True} not in now]:
            self.violate("dead letter", f"lines of other runs are gone: {lost}")

    def _waits_for_earlier(self, begun: Begun, pids: tuple[int, ...]) -> None:
        """What an earlier attempt has sent is waited for, where its journal knows of the batch."""
        act = begun.act
        if not HIDE_RESULTS.isdisjoint(self.service.struck) or act.freeze_at is not None or self._act.beside or act.accepted:
            # A run that ends when all is accepted waits for no result.
            return
        for batch in (self.service.batches[uuid] for uuid in self._open if uuid in self.service.batches):
            for place, record in enumerate(batch.records):
                versions = self.service.versions[customer_name(record)]
                mine = [one for one in versions if one.process is begun.process and text_of(one.record) != text_of(record)]
                is_of_run = any(one.record is record and one.process.pid in pids for one in versions)
                if is_of_run and place not in batch.failed and any(one.taken_at < batch.done_at for one in mine):
                    self.violate("one after the other", f"{customer_name(record)} is sent, and {batch.uuid} is processed still")

    def _pids(self, act: Act, pid: int) -> tuple[int, ...]:
        return self._runs[act.run_id, act.update] if act.journal else (pid,)

    def _was_taken(self, begun: Begun, report: BulkReport, failures: dict[int, Any]) -> None:
        """What succeeded, now or before, was taken from a process of the run."""
        pids = self._pids(begun.act, begun.process.pid)
        for index in range(report.totals.records_read):
            text = text_of(begun.source[index])
            if index not in failures and not self._is_older and not any(self.service.sent[pid][text] for pid in pids):
                self.violate("contradiction", f"{text} succeeded, and no process of its run has sent it")

    def _is_latest(self, begun: Begun, report: BulkReport, failures: dict[int, Any]) -> None:
        """What a run says that is done is what it sent last."""
        if self._is_older or begun.act.beside:
            return
        if any(act.repeats or act.again for act in (*self.plan.acts, begun.act)):
            self._is_last(begun, report, failures)
            return
        pids = self._pids(begun.act, begun.process.pid)
        for index in range(report.totals.records_read):
            record = begun.source[index]
            versions = [one for one in self.service.versions[customer_name(record)] if one.process.pid in pids]
            if index in failures or not versions:
                continue
            last = max(versions, key=lambda one: one.order)
            if text_of(last.record) != text_of(record):
                self.violate("latest", f"{text_of(record)} is done, and {text_of(last.record)} was sent later")

    def _is_last(self, begun: Begun, report: BulkReport, failures: dict[int, Any]) -> None:
        """Of several records of a customer, all of them done, the last one is what the run sent last, where no source of it had more."""
        if begun.is_cut or not report.source_exhausted:
            return
        act, pids = begun.act, self._pids(begun.act, begun.process.pid)
        places: dict[str, list[int]] = {}
        for index, record in enumerate(begun.source):
            places.setdefault(customer_name(record), []).append(index)
        for name, mine in places.items():
            versions = [one for one in self.service.versions[name] if one.process.pid in pids]
            if not versions or not failures.keys().isdisjoint(mine) or len(mine) < self._most[act.run_id, act.update, name]:
                continue
            last, text = max(versions, key=lambda one: one.order), text_of(begun.source[mine[-1]])
            if text_of(last.record) != text:
                self.violate("latest", f"{text} is done, and {text_of(last.record)} was sent later")

    def _is_true_dead_letter(self, begun: Begun, failures: dict[int, Any]) -> None:
        """Holds the lines of a dead letter against the report."""
        lines = [line for line in self._lines() if line["run_id"] == begun.act.run_id]
        lines = [line for line in lines if line["operation"].startswith("customers.update") is begun.act.update]
        places = Counter(line["index"] for line in lines if line["index"] is not None)
        if missing := sorted(set(failures) - set(places)):
            self.violate("dead letter", f"records {missing} did not succeed, and have no line")
        if twice := [place for place, number in places.items() if number > 1]:
            self.violate("dead letter", f"records {twice} have several lines")
        for line in lines:
            index = line["index"]
            if index is None:
                continue
            record = begun.source[index]
            if str(line["key"]).casefold() != customer_name(record):
                self.violate("dead letter", f"line of record {index} has the key {line['key']}, and the record {customer_name(record)}")
            elif line["payload"] is not None and text_of(line["payload"]) != text_of(record):
                self.violate("dead letter", f"line of record {index} has the payload {text_of(line['payload'])}")
            elif index not in failures or failures[index].state != line["state"]:
                said = failures[index].state if index in failures else "a success"
                self.violate("dead letter", f"record {index} is {said}, and its line says {line['state']}")

    def morning(self) -> None:
        # Nothing tracks what comes late: it has come by now.
        self.service.catch_up(with_all=True)
        # With the run id of the story everything that is left is sent, with another one everything.
        run_id = "morning" if self._is_older or self.plan.seed % 2 else "run 1"
        act = Act("send", journal=True, run_id=run_id)
        was_whole = False
        for _ in range(4):
            writes = self.service.writes
            begun = self.do(act)[0]
            if self.violations:
                return
            if begun.is_cut:
                self.violate("all is sent", f"{begun.failure!r}")
                return
            if begun.made[0].ok and (self.service.writes == writes or (self.branch or 0) % _LAST_RUNS):
                break
            if was_whole:
                self.violate("nothing again", "a run after one in which everything succeeded sends something")
                return
            # The result of an earlier batch may show only now that a customer failed.
            was_whole = begun.made[0].ok
        else:
            # An extra answer may name a batch whose result says nothing of these customers: they stay accepted.
            left = {state for state, number in begun.made[0].counts.items() if number} - SUCCESS
            if left != {"accepted"} or not self.service.struck["extra_answer"]:
                self.violate("all is sent", f"{begun.made[0].summary()} after four mornings")
            return
        if run_id != "morning":
            # Other runs and calls may have sent something newer.
            return
        for record in begun.source:
            last = self.service.at_last(customer_name(record))
            if last is None or text_of(last.record) != text_of(record):
                self.violate("all is there", f"{customer_name(record)} is otherwise at the service: {last and text_of(last.record)}")


async def _outcome_of(call: Awaitable[object]) -> str:
    try:
        await call
    except NotSentError:
        return "not sent"
    except ArmError:
        return "unknown"
    return "succeeded"


class _Client(ReplayingClient):
    """What a replay of customers needs of a client."""

    async def begin(self, operation: str, payloads: Any, options: BulkOptions, part: object) -> BulkRun:
        """Begins the run of a group of lines."""
        many = self._arm.customers.update_many if operation == "customers.update_batch" else self._arm.customers.create_many
        return many(payloads, options=options)
