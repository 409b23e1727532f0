"""What happens in one world, as data: what people do and what goes wrong. Drawn from a seed, or read from a file."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from .plan import FEW
from .service import (
    BAD_DOCUMENT,
    BLIND,
    BLIND_TO_BLANKS,
    BLIND_TO_LONG,
    BLIND_TO_SLASHES,
    DOCUMENT_FAULTS,
    MORE_FAULTS,
    OLD_TOKENS,
    PROBE_FAILS,
    RESULTS_AWAY,
    SHORT_TOKENS,
)

__all__ = ["OTHER_RUN", "RUN", "Act", "Scenario", "draw", "read_case"]

RUN = "2026-11-20"
OTHER_RUN = "2026-11-21"


@dataclass(frozen=True)
class Act:
    """What a person does.

    Attributes:
        what: sends the documents, looks up those that are unknown, or changes the machine.
        kill_at: the turn of its loop before which the process is killed; None: it lives.
        cancel_at: the turn before which it is cancelled.
        cancel_again: after how many more turns it is cancelled once more; None: it is not.
        cancel_on_commit: the commit of its journal at which it is cancelled, before it learns of it; None: it is not. Then it is cancelled
            once more after `cancel_again` more commits.
        cancel_before: whether that is when the commit is about to begin, and not when it is done.
        order: how the source is ordered: a seed; 0: as it is.
        documents: how many of the documents are in the source.
        run_id: the name of the run.
        reconcile: whether the run looks up what is unknown at its end.
        resend_absent: whether documents that are absent are resent.
        jump: seconds by which a clock jumps; 0: none does.
        clock: which clock.
        at: when it jumps, in seconds after a run begins.
        changed: how many of the documents say something else than at first.
        respelled: whether numbers and fields are written otherwise.
        freeze_at: the turn before which the process is stopped (SIGSTOP); None: it is not.
        freeze_for: seconds for which it is stopped.
        disk_fails_at: the commit from which on the disk fails; None: it does not.
        disk_fails: whether it is full, or an error comes before or after the commit is done.
        power_cut: whether a kill is that of the machine: what was not flushed to the disk may be lost.
        beside: the run id of a second process that sends the same documents at the same time, beside a replay too; None: there is none.
        dead_letter: whether a dead letter is written.
        given_as: whether the source is a list, a generator, an async generator, a generator that raises in the middle, or one that gives
            the same dict each time, changed.
        results: whether the run waits for results.
        bisect: whether a batch that is refused for its data is split.
        compression: of the requests.
        limit: of the records that are read; None: all.
        streamed: whether the program takes the outcomes one by one.
        leaves: after how many of them it leaves; None: it stays. 0: the program raises before it takes the first.
        again: whether the same process runs it once more, with the same client.
        together: the run id of a second run of the same documents, at the same time and with the same client; None: there is none.
        money: whether its money is counted.
        bare: whether it has no journal.
        takes_away: a file that somebody removes `at` seconds after the run begins: that of the journal, its `-wal`, or both.
        open_batches: how many batches may be accepted and not processed at once; None: as many as usual.
        deadline: how long it waits for a result, in seconds.
        stop_after: after how many failures it ends; None: it goes on.
        elsewhere: whether its address is another one.
        settle: the seconds after which a document that is not found is absent, as the program wants it; None: it leaves that to the run.
        broken: how many of the documents with a number can't be sent this time.
        few_bytes: whether hardly any bytes may be on their way at once.
        other: a seed of what the second process or run does otherwise: its order, source and options; 0: it does the same.
    """

    what: Literal["send", "reconcile", "jump", "wait", "copy", "restore", "prune", "replay"]
    kill_at: int | None = None
    cancel_at: int | None = None
    cancel_again: int | None = None
    cancel_on_commit: int | None = None
    cancel_before: bool = False
    order: int = 0
    documents: int = 12
    run_id: str = RUN
    reconcile: bool = False
    resend_absent: bool = False
    jump: float = 0.0
    clock: Literal["wall", "boot", "service"] = "wall"
    at: float = 0.0
    changed: int = 0
    respelled: bool = False
    freeze_at: int | None = None
    freeze_for: float = 0.0
    disk_fails_at: int | None = None
    disk_fails: Literal["full", "before", "after"] = "full"
    power_cut: bool = False
    beside: str | None = None
    dead_letter: bool = False
    given_as: Literal["list", "generator", "async", "raises", "reused"] = "list"
    results: Literal["wait", "accepted"] = "wait"
    bisect: Literal["safe", "all", "off"] = "safe"
    compression: Literal["gzip"] | None = None
    limit: int | None = None
    streamed: bool = False
    leaves: int | None = None
    again: bool = False
    together: str | None = None
    money: bool = False
    bare: bool = False
    takes_away: Literal["file", "wal", "both"] | None = None
    open_batches: int | None = None
    deadline: float = 120.0
    settle: float | None = None
    stop_after: int | None = None
    elsewhere: bool = False
    other: int = 0
    broken: int = 0
    few_bytes: bool = False

    @property
    def features(self) -> Iterator[str]:
        """What is special about it, in a word each."""
        if self.what != "send":
            yield self.what
        yield from (name for name in _FEATURES if getattr(self, name) != _USUAL[name])

    def __str__(self) -> str:
        pointless = {"what", *(name for name, main in _NEEDS.items() if getattr(self, main) == _USUAL[main])}
        said = [(name, getattr(self, name)) for name in _USUAL if name not in pointless and getattr(self, name) != _USUAL[name]]
        return f"{self.what} {', '.join(f'{name} {value}' for name, value in said)}".rstrip()


_USUAL: dict[str, Any] = asdict(Act("send"))

_NEEDS = {
    "clock": "jump",
    "at": "jump",
    "freeze_for": "freeze_at",
    "cancel_before": "cancel_on_commit",
    "disk_fails": "disk_fails_at",
    "power_cut": "kill_at",
    "leaves": "streamed",
}
"""What says nothing without something else."""

_FEATURES = (
    "cancel_at", "cancel_again", "cancel_on_commit", "kill_at", "order", "run_id", "reconcile", "resend_absent", "jump", "changed",
    "respelled", "freeze_at", "disk_fails_at", "power_cut", "beside", "dead_letter", "given_as", "results", "bisect", "compression",
    "limit", "streamed", "leaves", "again", "together", "money", "bare", "takes_away", "open_batches", "deadline", "settle", "stop_after",
    "elsewhere", "other", "broken", "few_bytes",
)  # fmt: skip


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
        repeats: how many come a second time at the end of the source.
        batch: records of a batch.
        concurrency: batches at once.
        only: of the moments in which a fault may strike, the numbers of those in which one does; None: any, by the odds.
        branch: the commit after which the machine stops, and people go on with the next run; None: all acts are done.
        slashes: whether the first half of the numbers have a slash.
        token: whether the program has a token, and asks the identity service for none.
        invalid: how many of the documents can't be sent.
        max_bytes: of a batch.
        currencies: whether the documents are in several currencies.
        lengths: whether the second half of the numbers are longer.
        blanks: whether every second number has a blank in front of it.
        forgets: whether no text is kept of what succeeded.
        swapped: whether what comes a second time in the source has its number in other letters.
        naps: whether a program that takes outcomes one by one sleeps after each, and hardly any may wait for it.
    """

    seed: int
    acts: tuple[Act, ...]
    faults: tuple[str, ...]
    odds: float
    documents: int = 12
    unnumbered: int = 0
    repeats: int = 0
    batch: int = 3
    concurrency: int = 3
    only: tuple[int, ...] | None = None
    branch: int | None = None
    slashes: bool = False
    token: bool = False
    invalid: int = 0
    max_bytes: int | None = None
    currencies: bool = False
    lengths: bool = False
    blanks: bool = False
    forgets: bool = False
    swapped: bool = False
    naps: bool = False

    @property
    def features(self) -> frozenset[str]:
        """What is in it: faults that may strike, and what is special about an act."""
        ways = (("narrow", len(self.faults) <= FEW), ("forgets", self.forgets), ("swapped", self.swapped), ("naps", self.naps))
        more = [name for name, is_so in ways if is_so]
        return frozenset(self.faults).union(more, *(act.features for act in self.acts))

    def to_dict(self) -> dict[str, Any]:
        """Returns it as JSON has it; acts without what is as usual."""
        acts = [{name: value for name, value in asdict(act).items() if name == "what" or value != _USUAL[name]} for act in self.acts]
        return {**asdict(self), "acts": acts}

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> Scenario:
        """Reads what `to_dict` returned."""
        only = tuple(value["only"]) if value.get("only") is not None else None
        return cls(**{**value, "acts": tuple(Act(**act) for act in value["acts"]), "faults": tuple(value["faults"]), "only": only})


def read_case(path: Path) -> tuple[Scenario, str]:
    """Reads a story that once failed from a file: with the name of the mutant with which it fails again."""
    case = json.loads(path.read_text("utf-8"))
    return Scenario.from_dict(case["scenario"]), case["mutant"]


def draw(seed: int) -> Scenario:
    """Draws the story of a seed: each has its own subset of the faults, so that some are seen alone and often."""
    rng = random.Random(f"{seed}/scenario")
    share = rng.choice((0.1, 0.3, 0.6))
    documents = rng.choice((4, 8, 12, 12, 12, 24))
    blind = rng.choices(((), (BLIND,), (BLIND_TO_SLASHES,), (BLIND_TO_LONG,), (BLIND_TO_BLANKS,)), (76, 6, 6, 6, 6))[0]
    tokens = rng.choices(((), (SHORT_TOKENS,), (OLD_TOKENS,)), (84, 8, 8))[0]
    probes = (*((PROBE_FAILS,) if rng.random() < share else ()), *((RESULTS_AWAY,) if rng.random() < 0.05 else ()))
    faults = (*(fault for fault in DOCUMENT_FAULTS if rng.random() < share), *blind, *tokens, *probes)
    # What people and machines do wrong is drawn as the faults are: a story has a few kinds of it, and those often.
    kinds = frozenset(kind for kind in KINDS if rng.random() < 0.3)
    acts: list[Act] = []
    # Without a journal nothing is known of other runs: so there is one.
    is_bare = rng.random() < 0.04
    if is_bare:
        bare = _act(rng, "send", documents, kinds)
        acts.append(replace(bare, bare=True, beside=None, together=None, again=False, dead_letter=False, disk_fails_at=None))
    # A copy that is put back matters only if something was sent before and after.
    is_put_back = not is_bare and rng.random() < 0.1
    if is_put_back:
        first, second, third = (_act(rng, "send", documents, kinds) for _ in range(3))
        copies = [Act("copy"), first] if rng.random() < 0.4 else [first, Act("copy"), second]
        acts += [*copies, Act("restore"), third]
    for _ in range(0 if is_bare or is_put_back else rng.choice((1, 2, 2, 3, 4))):
        what = rng.choices(("send", "reconcile", "jump", "wait", "copy", "restore", "prune", "replay"), (60, 12, 5, 6, 5, 5, 3, 8))[0]
        acts.append(_act(rng, what, documents, kinds))
    drawn = Scenario(
        seed,
        tuple(acts),
        faults,
        rng.choice((0.02, 0.1, 0.3, 0.6)),
        documents,
        documents if is_bare and rng.random() < 0.5 else rng.choice((0, 0, documents // 3)),
        rng.choice((0, 0, 0, 2)),
        # A batch costs about as much with one document as with five.
        max(rng.choice((1, 2, 3, 3, 4, 5, 5, 6)), 3 if documents > 12 else 1),
        rng.choice((1, 2, 3, 8)),
        slashes=BLIND_TO_SLASHES in faults or rng.random() < 0.1,
        token=rng.random() < 0.8 and not {"token_fails", "token_not_found", SHORT_TOKENS, OLD_TOKENS}.intersection(faults),
        invalid=rng.choice((0, 0, 0, 1, 2)),
        max_bytes=rng.choice((None, None, None, 256, 400, 700)),
        currencies=rng.random() < 0.5,
        lengths=BLIND_TO_LONG in faults or rng.random() < 0.1,
        blanks=BLIND_TO_BLANKS in faults or rng.random() < 0.1,
    )
    return _with_more(_with_another(_narrowed(rng, drawn)))


def _narrowed(rng: random.Random, drawn: Scenario) -> Scenario:
    """Makes some stories narrow. Others stay what they are: of those in which a program says how long documents take to appear, some say
    a time between the usual deadline and the long one."""
    chance = rng.random()
    if chance < _NARROW:
        return _narrow(rng, drawn)
    if chance < _NARROW + _OF_FAMILIES:
        # Only now: it needs what is above.
        from .narrow import draw_narrow

        return draw_narrow(drawn)
    more = random.Random(f"{drawn.seed}/settle")
    settles = [130.0 if act.settle is not None and more.random() < _BETWEEN else act.settle for act in drawn.acts]
    return replace(drawn, acts=tuple(replace(act, settle=settle) for act, settle in zip(drawn.acts, settles, strict=True)))


def _with_another(drawn: Scenario) -> Scenario:
    """Lets some second processes and runs do something else than the first, and some journals keep no text: drawn by itself, so that other
    stories stay what they are."""
    rng = random.Random(f"{drawn.seed}/other")
    others = [rng.randrange(1, 1000) if rng.random() < _OTHERWISE else 0 for _ in drawn.acts]
    acts = (replace(act, other=other if act.beside or act.together else 0) for act, other in zip(drawn.acts, others, strict=True))
    return replace(drawn, acts=tuple(acts), forgets=rng.random() < _FORGETS)


def _with_more(drawn: Scenario) -> Scenario:
    """Adds what else may go wrong, drawn by itself, too. A story that is narrow gets no further fault."""
    rng = random.Random(f"{drawn.seed}/more")
    share = rng.choice((0.0, 0.0, 0.1, 0.4))
    more = tuple(fault for fault in MORE_FAULTS if rng.random() < share)
    more += (BAD_DOCUMENT,) if rng.random() < share / 2 else ()
    swapped, naps = rng.random() < 0.3, rng.random() < 0.15
    acts = tuple(_more_of(rng, act) for act in drawn.acts)
    is_narrow = len(drawn.faults) <= FEW
    if rng.random() < _MORE_NARROW:
        return _narrow_of_more(rng, replace(drawn, repeats=0))
    return replace(drawn, acts=acts, faults=drawn.faults if is_narrow else drawn.faults + more, swapped=swapped, naps=naps)


_MORE_NARROW = 0.07
"""How many stories are narrow, and have what is drawn for these alone."""


def _narrow_of_more(rng: random.Random, drawn: Scenario) -> Scenario:
    """Draws a story of: two requests to wait, a batchUuid that two batches have, a batch that is taken late, documents that can't be sent
    any more, results that say little, results that are there in part, or a program that is slow and leaves."""
    send, odds, one_or_two = Act("send", documents=drawn.documents), rng.choice((0.3, 0.6)), rng.choice((1, 2))
    numbered = replace(drawn, odds=odds, batch=one_or_two, unnumbered=0, max_bytes=None)
    which = rng.choice(("waits", "same batchUuid", "late", "broken", "results", "in part", "slow program"))
    if which == "waits":
        return replace(numbered, acts=(replace(send, together=rng.choice((None, OTHER_RUN))),), faults=("asked_to_wait",), concurrency=8)
    if which == "same batchUuid":
        slowly = replace(send, given_as="async", bare=rng.random() < 0.3, open_batches=rng.choice((None, 1)))
        faults = ("repeated_uuid", "swapped_result", "slow_processing", "record_fails")
        return replace(numbered, acts=(slowly,), faults=faults, unnumbered=rng.choice((0, drawn.documents)))
    if which == "late":
        again = replace(send, reconcile=True, resend_absent=True, settle=rng.choice((None, 130.0)))
        return replace(numbered, acts=(send, again), faults=("late_intake", "slow_processing", "look_up_lags"), odds=0.6)
    if which == "broken":
        ended = {"cancel_at": int(rng.expovariate(1 / 60)) + 5} if rng.random() < 0.5 else {"stop_after": 1}
        again = replace(send, broken=rng.randrange(1, drawn.documents + 1), order=rng.choice((0, 1)), **ended)
        return replace(numbered, acts=(send, again), faults=drawn.faults[:1])
    if which == "results":
        return replace(numbered, acts=(send,), faults=("odd_result", "record_fails"), unnumbered=rng.choice((0, drawn.documents)))
    if which == "in part":
        return replace(numbered, acts=(send, replace(send, order=rng.choice((0, 1)))), faults=("partly_done",), odds=0.9, batch=3)
    slow = replace(send, streamed=True, leaves=rng.randrange(5), results=rng.choice(("wait", "accepted")))  # type: ignore[arg-type]
    few = replace(
        slow, few_bytes=rng.random() < 0.5, open_batches=rng.choice((None, 1)), cancel_at=rng.choice((None, rng.randrange(10, 90)))
    )
    return replace(numbered, acts=(few,), faults=rng.choice(((), ("slow_answer",), ("silence_before",))), naps=True)


def _more_of(rng: random.Random, act: Act) -> Act:
    """Lets some acts have what was drawn for none before."""
    raises, broken, beside = rng.random() < 0.2, rng.randrange(1, 5) if rng.random() < 0.08 else 0, rng.random() < 0.3
    if act.what == "replay":
        return replace(act, beside=OTHER_RUN if beside else None)
    if act.what != "send":
        return act
    raises = raises and act.streamed and act.leaves is not None
    return replace(act, leaves=0 if raises else act.leaves, broken=broken, few_bytes=act.open_batches is not None and rng.random() < 0.5)


_OTHERWISE = 0.5
_FORGETS = 0.1
"""How many of the second processes and runs do something else than the first, and of how many stories no text is kept."""


_NARROW = 0.1
_OF_FAMILIES = 0.1
"""How many stories have nothing but what together leads to a place that others hardly ever reach: of those below, and of `narrow.py`."""

_BETWEEN = 0.4
"""How many of those that know how long documents take to appear say something between the usual deadline and the long one."""


def _narrow(rng: random.Random, drawn: Scenario) -> Scenario:
    """Draws such a story: of answers that a cache gives, of a run that is cancelled at a commit or twice, of documents that appear late
    while clocks jump, of what is sent again after a run was pruned, of results of all forms, or of look-ups that say nothing."""
    send = Act("send", documents=drawn.documents)
    odds = rng.choice((0.3, 0.6))
    which = rng.choice(
        (
            "cache",
            "cache without a journal",
            "cancelled twice",
            "cancelled at a commit",
            "clocks",
            "pruned",
            "results",
            "elsewhere",
            "replayed",
            "long",
            "looked up",
        )
    )
    # Slowly: a cache knows only batches whose results were asked for.
    slowly = replace(send, given_as="async")
    if which == "cache without a journal":
        acts = [replace(slowly, bare=True, streamed=rng.random() < 0.5)]
        return replace(
            drawn, acts=tuple(acts), faults=("cached_answer", "repeated_uuid", "other_result"), odds=odds, unnumbered=drawn.documents
        )
    if which == "long":
        # For longer than its patience, with troubles between.
        faults = ("proved_refusal", "silence_before", "slow_answer", "probe_fails")
        return replace(drawn, acts=(send,), faults=faults, odds=0.3, batch=1, concurrency=1)
    if which == "replayed":
        letters = replace(send, dead_letter=True, results=rng.choice(("wait", "accepted")))  # type: ignore[arg-type]
        others = (replace(letters, run_id=OTHER_RUN, documents=max(1, drawn.documents // 2)),) if rng.random() < 0.3 else ()
        acts = (letters, *others, Act("replay", resend_absent=rng.random() < 0.5), Act("replay"))
        faults = ("record_fails", rng.choice(("bad_data", "proved_refusal", "status_after", "slow_processing")), *drawn.faults[:1])
        return replace(drawn, acts=acts, faults=faults, odds=odds)
    if which == "elsewhere":
        return replace(drawn, acts=(send, replace(send, elsewhere=True, order=rng.choice((0, 1)))), faults=drawn.faults[:2])
    if which == "pruned":
        again = replace(send, run_id=rng.choice((RUN, OTHER_RUN)), respelled=rng.random() < 0.3, order=rng.choice((0, 1)))
        return replace(drawn, acts=(send, Act("prune"), again), faults=drawn.faults[:1])
    if which == "cancelled twice":
        again = replace(send, cancel_at=int(rng.expovariate(1 / 60)) + 10, cancel_again=rng.randrange(1, 8), order=rng.choice((0, 1)))
        return replace(drawn, acts=(replace(send, kill_at=int(rng.expovariate(1 / 60)) + 10), again), faults=drawn.faults[:2])
    if which == "looked up":
        # Small batches: one is sent again only where all of it is absent.
        taken = rng.choice(("silence_after", "reset_after", "status_after", "no_uuid"))
        faults = (taken, rng.choice(("look_up_odd", "look_up_fails")), *drawn.faults[:1])
        acts = (send, *(Act("reconcile", resend_absent=True) for _ in range(2)))
        return replace(drawn, acts=acts, faults=faults, odds=odds, unnumbered=0, batch=rng.choice((1, 2)))
    if which == "results":
        acts = [replace(send, reconcile=rng.random() < 0.5, order=rng.choice((0, 1))) for _ in range(2)]
        faults = (rng.choice(("other_result", "rare_result")), "record_fails", *drawn.faults[:1])
        # Entries without a number do not say whose they are.
        unnumbered = rng.choice((drawn.unnumbered, drawn.documents))
        return replace(drawn, acts=tuple(acts), faults=faults, odds=odds, unnumbered=unnumbered)
    if which == "cancelled at a commit":
        again = replace(slowly if rng.random() < 0.5 else send, cancel_on_commit=rng.randrange(4, 30), order=rng.choice((0, 1)))
        again = replace(again, cancel_again=rng.choice((None, 1, 2, 3)), cancel_before=rng.random() < 0.6)
        acts = [replace(slowly, kill_at=int(rng.expovariate(1 / 60)) + 60), again]
        return replace(drawn, acts=tuple(acts), faults=("cached_answer",), odds=odds, batch=rng.choice((1, 2)), repeats=0)
    if which == "cache":
        at, is_cancelled = int(rng.expovariate(1 / 60)) + 20, rng.random() < 0.5
        # One after the other: what was asked for last is not flushed by the next intent.
        slowly = replace(slowly, open_batches=1) if rng.random() < 0.6 else slowly
        stopped = replace(slowly, cancel_at=at) if is_cancelled else replace(slowly, kill_at=at, power_cut=True)
        acts = [stopped, replace(slowly, order=rng.choice((0, 1)), run_id=rng.choice((RUN, RUN, OTHER_RUN)))]
        return replace(drawn, acts=tuple(acts), faults=("cached_answer",), odds=odds, batch=min(drawn.batch, 2))
    jump = rng.choice((1, 1, -1)) * rng.choice((4000.0, 100_000.0))
    clocks = [Act("jump", jump=jump, clock=rng.choice(("wall", "wall", "boot", "service")))]  # type: ignore[arg-type]
    first = replace(send, kill_at=int(rng.expovariate(1 / 60)) + 30 if rng.random() < 0.9 else None, deadline=rng.choice((120.0, 600.0)))
    again = replace(send, what=rng.choice(("send", "reconcile")), reconcile=True, resend_absent=True)  # type: ignore[arg-type]
    taken = rng.choice(("silence_after", "reset_after", "status_after", "no_uuid"))
    faults = ("slow_processing", "look_up_lags", taken)
    return replace(drawn, acts=(first, *clocks, again), faults=faults, odds=odds, unnumbered=0, repeats=0)


KINDS = (
    "kill",
    "cancel",
    "order",
    "run_id",
    "reconcile",
    "jump",
    "changed",
    "respelled",
    "freeze",
    "disk",
    "power",
    "beside",
    "part",
    "program",
    "together",
    "takes_away",
    "commit",
)
"""What may be odd about an act. Each story draws some of them."""


def _act(rng: random.Random, what: Any, documents: int, kinds: frozenset[str]) -> Act:
    def odd(kind: str, odds: float) -> bool:
        # The same draws whatever the kinds are.
        return rng.random() < odds and kind in kinds

    if what in {"copy", "restore", "prune"}:
        return Act(what)
    if what in {"jump", "wait"}:
        clock = rng.choice(("wall", "boot", "service"))
        return Act(what, jump=rng.choice((1, -1)) * rng.choice((5.0, 100.0, 4000.0, 100_000.0)), clock=clock)  # type: ignore[arg-type]
    return Act(
        what,
        kill_at=int(rng.expovariate(1 / 60)) + 2 if odd("kill", 0.7) else None,
        cancel_at=int(rng.expovariate(1 / 60)) + 2 if odd("cancel", 0.4) else None,
        cancel_again=int(rng.expovariate(1 / 5)) + 1 if odd("cancel", 0.4) else None,
        order=rng.randrange(1, 1000) if odd("order", 0.6) else 0,
        documents=max(1, documents // 2) if odd("part", 0.5) else documents,
        run_id=OTHER_RUN if odd("run_id", 0.4) else RUN,
        reconcile=rng.random() < 0.3,
        resend_absent=rng.random() < 0.4,
        jump=rng.choice((1, -1)) * rng.choice((5.0, 100.0, 4000.0)) if odd("jump", 0.5) else 0.0,
        clock=rng.choice(("wall", "boot", "service")),  # type: ignore[arg-type]
        at=rng.choice((0.1, 1.0, 60.0)),
        changed=rng.randrange(1, documents + 1) if odd("changed", 0.4) else 0,
        respelled=odd("respelled", 0.5),
        freeze_at=int(rng.expovariate(1 / 40)) + 2 if odd("freeze", 0.5) else None,
        freeze_for=rng.choice((1.0, 50.0, 1000.0)),
        disk_fails_at=rng.randrange(1, 20) if odd("disk", 0.4) else None,
        disk_fails=rng.choice(("full", "before", "after")),  # type: ignore[arg-type]
        power_cut=odd("power", 0.7),
        beside=rng.choice((RUN, OTHER_RUN)) if what == "send" and odd("beside", 0.4) else None,
        dead_letter=rng.random() < 0.4,
        given_as=rng.choice(("list", "generator", "async", "raises", "reused")) if odd("program", 0.5) else "list",  # type: ignore[arg-type]
        results="accepted" if odd("program", 0.3) else "wait",
        bisect=rng.choice(("all", "off")) if odd("program", 0.5) else "safe",  # type: ignore[arg-type]
        compression="gzip" if odd("program", 0.3) else None,
        limit=rng.randrange(1, documents + 1) if odd("program", 0.2) else None,
        streamed=odd("program", 0.5),
        leaves=rng.randrange(1, 4) if odd("program", 0.2) else None,
        again=odd("program", 0.3),
        together=rng.choice((RUN, OTHER_RUN)) if what == "send" and odd("together", 0.5) else None,
        money=rng.random() < 0.5,
        takes_away=rng.choice(("file", "wal", "both")) if what == "send" and odd("takes_away", 0.3) else None,  # type: ignore[arg-type]
        cancel_on_commit=rng.randrange(1, 25) if odd("commit", 0.4) else None,
        cancel_before=rng.random() < 0.5,
        open_batches=rng.choice((1, 2)) if odd("program", 0.3) else None,
        deadline=600.0 if odd("program", 0.4) else 120.0,
        settle=rng.choice((1.0, 700.0)) if odd("program", 0.3) else None,
        stop_after=rng.randrange(1, 5) if odd("program", 0.2) else None,
    )
