"""What happens in a story of a shared run, as data: drawn from a seed, kept as JSON, and made smaller."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from .service import BLIND, FAULTS
from .shrinking import fewer_acts_and_faults

__all__ = ["DATABASE_FAULTS", "SharedAct", "SharedPlan", "draw", "smaller"]

DATABASE_FAULTS = ("database_refuses", "cut_before", "cut_between", "cut_after", "answer_late", "arrives_late", "never_arrives")
"""What may go wrong on the way to the database and back."""


@dataclass(frozen=True)
class SharedAct:
    """What a person does, or what happens.

    Attributes:
        what: `worker` sends parts; `report` reads the merged report; `restart` and `stall`: the database is killed, or stopped; `jump`: a
            clock does; `off`: a machine goes off without a word; `promote`: a standby is promoted that lacks the last `seconds`.
        at: when, in seconds.
        seconds: how long the database is away, or how far a clock jumps.
        host: the machine.
        clock: which clock jumps: `wall`, `boot`, `service`, or that of the `database`.
        parts: which parts a worker sends, one after the other.
        order: how its source is ordered: a seed; 0: as it is.
        pass_over: whether it reads the whole source.
        listed: whether its source is a list; else a generator.
        kill_at, cancel_at, freeze_at: the turn of its loop before which it is killed, cancelled or frozen.
        freeze_for: for how many seconds.
        kill_exchange, freeze_exchange: likewise, after so many messages to the database, each on its way.
        freeze_answer: likewise, when so many answers of the database have come: what was recorded is, and has not left.
        reconcile: whether what is unknown is looked up.
        resend: whether what is absent is sent again.
        accepted: whether it ends when all is accepted.
        patience: how long it waits for the database.
    """

    what: str
    at: float = 0.0
    seconds: float = 0.0
    host: int = 0
    clock: str = "wall"
    parts: tuple[int, ...] = (0,)
    order: int = 0
    pass_over: bool = True
    listed: bool = True
    kill_at: int | None = None
    cancel_at: int | None = None
    freeze_at: int | None = None
    freeze_for: float = 0.0
    kill_exchange: int | None = None
    freeze_exchange: int | None = None
    freeze_answer: int | None = None
    reconcile: bool = False
    resend: bool = False
    patience: float = 120.0

    def __str__(self) -> str:
        return " ".join([self.what, *(f"{name} {value}" for name, value in _unusual(self).items())])


_USUAL = SharedAct("")
_SAYS_NOTHING = {"worker", "at", "seconds", "host", "clock", "parts", "freeze_for", "patience"}
"""What each story has, and what says nothing without something else."""


def _unusual(act: SharedAct) -> dict[str, Any]:
    values = {one.name: getattr(act, one.name) for one in fields(SharedAct) if one.name != "what"}
    return {name: value for name, value in values.items() if value != getattr(_USUAL, name)}


@dataclass(frozen=True)
class SharedPlan:
    """The story of one seed.

    Attributes:
        seed: decides what is not written here.
        acts: what people do and what happens, each at its time.
        faults: what may go wrong at the service, at the database and on the way.
        odds: how often it does.
        documents: how many documents there are.
        parts: of the run.
        lease: seconds for which a part is owned.
        batch: records of a batch.
        concurrency: batches at once of a worker.
        only: of the moments in which a fault may strike, the numbers of those in which one does; None: any, by the odds.
    """

    seed: int
    acts: tuple[SharedAct, ...]
    faults: tuple[str, ...]
    odds: float
    documents: int = 12
    parts: int = 2
    lease: float = 10.0
    batch: int = 3
    concurrency: int = 3
    only: tuple[int, ...] | None = None
    branch: None = None
    kind: str = "shared"

    @property
    def features(self) -> frozenset[str]:
        """What is in it: faults that may strike, and what is special about an act."""
        acts = {name for act in self.acts for name in (act.what, *_unusual(act)) if name not in _SAYS_NOTHING}
        return frozenset(self.faults) | acts

    def to_dict(self) -> dict[str, Any]:
        """Returns it as JSON has it; acts without what is as usual."""
        return {**asdict(self), "acts": [{"what": act.what, **_unusual(act)} for act in self.acts]}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> SharedPlan:
        """Reads what `to_dict` returned."""
        acts = tuple(SharedAct(**{**act, **({"parts": tuple(act["parts"])} if "parts" in act else {})}) for act in value["acts"])
        only = tuple(value["only"]) if value.get("only") is not None else None
        return cls(**{**value, "acts": acts, "faults": tuple(value["faults"]), "only": only})


_ODD = (
    "kill",
    "cancel",
    "freeze",
    "kill_exchange",
    "freeze_exchange",
    "freeze_answer",
    "reconcile",
    "restart",
    "stall",
    "jump",
    "off",
    "foreign",
    "report",
)
_RARE = ("promote",)
"""What may be odd about a story. Each draws some of it."""

_EVENTS = ("restart", "stall", "jump", "jump", "off", "report", "promote")
"""Those that are acts of their own."""


def draw(seed: int) -> SharedPlan:
    """Draws the story of a seed."""
    rng = random.Random(f"{seed}/shared")
    share = rng.choice((0.0, 0.1, 0.3, 0.5))
    odd = frozenset([*(kind for kind in _ODD if rng.random() < 0.4), *(kind for kind in _RARE if rng.random() < 0.15)])
    faults = tuple(fault for fault in (*FAULTS, *DATABASE_FAULTS) if rng.random() < share) or (rng.choice(DATABASE_FAULTS),)
    parts, lease = rng.choice((1, 1, 1, 2, 4)), rng.choice((2.0, 2.0, 10.0, 10.0, 60.0))
    span = rng.choice((0.3, 3.0, lease))
    acts = [_draw_worker(rng, odd, parts, lease, span) for _ in range(rng.choice((1, 2, 2, 3, 4)))]
    # Others come as long as one is frozen.
    frozen = [act for act in acts if (act.freeze_at, act.freeze_exchange, act.freeze_answer) != (None, None, None)]
    calm = odd - {"freeze", "freeze_exchange", "freeze_answer"}
    for act in frozen[:2]:
        rival = _draw_worker(rng, calm, parts, lease, span)
        rival = replace(rival, at=act.at + rng.random() ** 2 * act.freeze_for, parts=act.parts, patience=120.0)
        # It may find that what was about to be sent is absent.
        acts.append(replace(rival, reconcile=True, resend=True, kill_at=None) if rng.random() < 0.4 else rival)
    acts += [_draw_event(rng, what, lease, span) for what in _EVENTS if what in odd]
    return SharedPlan(
        seed,
        tuple(sorted(acts, key=lambda act: act.at)),
        (*faults, *((BLIND,) if rng.random() < 0.05 else ())),
        rng.choice((0.02, 0.1, 0.3)),
        rng.choice((4, 8, 12, 12)),
        parts,
        lease,
        rng.choice((1, 2, 3, 5)),
        rng.choice((1, 2, 3, 8)),
    )


def _draw_worker(rng: random.Random, odd: frozenset[str], parts: int, lease: float, span: float) -> SharedAct:
    def is_odd(kind: str, odds: float) -> bool:
        # The same draws whatever is odd.
        return rng.random() < odds and kind in odd

    def turn(mean: float) -> int:
        return int(rng.expovariate(1 / mean)) + 2

    first = rng.randrange(parts)
    return SharedAct(
        "worker",
        at=rng.choice((0.0, rng.random() * span)),
        host=rng.randrange(3),
        parts=(*range(first, parts), *range(first)) if rng.random() < 0.6 else (first,),
        order=rng.randrange(1, 1000) if rng.random() < 0.5 else 0,
        pass_over=rng.random() < 0.5 or is_odd("foreign", 0.2),
        listed=rng.random() < 0.7,
        kill_at=turn(80) if is_odd("kill", 0.6) else None,
        cancel_at=turn(80) if is_odd("cancel", 0.4) else None,
        freeze_at=turn(60) if is_odd("freeze", 0.7) else None,
        freeze_for=lease * rng.choice((0.5, 1.5, 3.0)) + rng.choice((0.0, 0.0, 31.0, 300.0)),
        kill_exchange=turn(15) if is_odd("kill_exchange", 0.6) else None,
        freeze_exchange=turn(12) if is_odd("freeze_exchange", 0.6) else None,
        freeze_answer=turn(12) if is_odd("freeze_answer", 0.6) else None,
        reconcile=is_odd("reconcile", 0.5),
        resend=rng.random() < 0.5,
        patience=rng.choice((5.0, 120.0)),
    )


def _draw_event(rng: random.Random, what: str, lease: float, span: float) -> SharedAct:
    seconds = rng.choice((0.2, 3.0, lease * 0.7, lease * 1.5))
    if what == "jump":
        seconds = rng.choice((1, -1)) * rng.choice((1.0, lease / 2, lease * 2, 4000.0))
    clocks = ("wall", "wall", "boot", "service", "database")
    return SharedAct(what, at=rng.random() * span * 1.5, seconds=seconds, host=rng.randrange(3), clock=rng.choice(clocks))


# --- shrinking ----------------------------------------------------------------------------------------------------------------


def smaller(plan: SharedPlan) -> Iterator[SharedPlan]:
    """Gives stories that are a little smaller."""
    yield from fewer_acts_and_faults(plan)
    acts = plan.acts
    for place, act in enumerate(acts):
        # All happens at its time: one that begins at another is another story.
        for name in sorted(_unusual(act).keys() - {"at", "seconds", "parts"}):
            simpler = replace(act, **{name: getattr(_USUAL, name)})
            yield replace(plan, acts=(*acts[:place], simpler, *acts[place + 1 :]))
    if plan.parts > 1:
        fewer = tuple(replace(act, parts=(0,)) for act in acts)
        yield replace(plan, parts=1, acts=fewer)
    if plan.documents > 2:
        yield replace(plan, documents=plan.documents // 2)
    if plan.concurrency > 1:
        yield replace(plan, concurrency=1)
