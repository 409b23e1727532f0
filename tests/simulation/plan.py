"""What happens in a story of customers, as data: drawn from a seed by the module of its kind, kept as JSON, and made smaller."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from .shrinking import fewer_acts_and_faults

__all__ = ["FEW", "Act", "Plan", "smaller"]

FEW = 3
"""Faults of a narrow story, at the most."""


@dataclass(frozen=True)
class Act:
    """What a person does, and what happens to it.

    Attributes:
        what: the job, or what is done to the machine.
        kill_at: the turn of its loop before which the process is killed; None: it lives.
        cancel_at: the turn before which it is cancelled.
        freeze_at: the turn before which it is stopped (SIGSTOP).
        freeze_for: for how many seconds.
        disk_fails_at: the commit from which on the disk fails.
        disk_fails: how: `full`, or an error `before` or `after` the commit is done.
        power_cut: whether a kill is that of the machine: what was not flushed to the disk may be lost.
        beside: whether a second process does the same at the same time.
        jump: seconds by which a clock jumps.
        clock: which clock: `wall`, `boot` or `service`.
        at: when it jumps, in seconds after the process begins.
        form: in what form the source is given.
        order: how it is ordered: a seed; 0: as it is.
        edits: which customers say something else than at first: a seed; 0: none.
        gone: which customers are not in it: a seed; 0: all are.
        size: how many customers there are at the most.
        repeats: which customers are in it twice, first with something else: a seed; 0: none.
        again: which customers come again at its end, with the same or something else: a seed; 0: none.
        cased: which numbers of customers are written in other letters, small or capital: a seed; 0: none.
        broken: which records can't be sent, in forms that hold such: a seed; 0: none.
        unnamed: which records can't be read as far as their number, in forms that hold such: a seed; 0: none.
        touched: whether the program changes the records of its list while they are sent.
        at_least: the share of the customers that is expected: of those in the state, or of all.
        respelled: whether numbers and fields are written otherwise.
        full: whether unchanged customers are sent, too.
        limit: how many records are sent at the most; 0: all.
        journal: whether it has a journal.
        run_id: the name of the run in it.
        forget: whether those who are gone are forgotten afterwards.
        documents: how many documents there are.
        reconcile: whether what is unknown is looked up.
        resend: whether what is absent is sent again.
        page: records on a page.
        ahead: pages that are fetched ahead; 0: one after the other.
        first: the page that a list begins with.
        take: how a list is taken: its `records`, its `pages`, its texts (`raw`) or all at once (`collect`).
        odd: what is odd about a list: see `lists.page_of`.
        leaves: after how many records its reader leaves, or after how many outcomes of its customers a night is left; 0: after the last.
        raises: after how many numbers the program that asks for customers raises; 0: it does not.
        moves: how many customers come or go while they are listed.
        move: what they do: they are `added` at the end, `inserted` anywhere, or `deleted`.
        update: whether customers are updated (PUT) in place of created.
        dead_letter: whether what did not succeed is written to a file.
        accepted: whether a run ends when all is accepted, and reads no results.
        dry: whether nothing is sent, to see what would be.
        stop_after: failures after which a run ends; 0: it goes on.
        thrice: which customers can't be sent, and which come three times, where only the record in the middle can be: a seed; 0: none.
        logged: whether the customers of a night have a journal, too.
        enough: the share of the documents of a night that is expected.
    """

    what: str
    kill_at: int | None = None
    cancel_at: int | None = None
    freeze_at: int | None = None
    freeze_for: float = 0.0
    disk_fails_at: int | None = None
    disk_fails: str = "full"
    power_cut: bool = False
    beside: bool = False
    jump: float = 0.0
    clock: str = "wall"
    at: float = 0.0
    form: str = "dicts"
    order: int = 0
    edits: int = 0
    gone: int = 0
    size: int = 1000
    repeats: int = 0
    again: int = 0
    cased: int = 0
    broken: int = 0
    touched: bool = False
    at_least: float = 0.0
    respelled: bool = False
    full: bool = False
    limit: int = 0
    journal: bool = False
    run_id: str = "2026-11-20"
    forget: bool = False
    documents: int = 0
    reconcile: bool = False
    resend: bool = False
    page: int = 5
    ahead: int = 0
    first: int = 1
    take: str = "records"
    odd: str = ""
    leaves: int = 0
    raises: int = 0
    moves: int = 0
    move: str = "added"
    update: bool = False
    dead_letter: bool = False
    accepted: bool = False
    dry: bool = False
    stop_after: int = 0
    unnamed: int = 0
    thrice: int = 0
    logged: bool = False
    enough: float = 0.0

    def __str__(self) -> str:
        return " ".join([self.what, *(f"{name} {value}" for name, value in _unusual(self).items())])


@dataclass(frozen=True)
class Plan:
    """The story of one seed.

    Attributes:
        kind: the kind of story.
        seed: decides what is not written here.
        acts: what people do, one after the other.
        faults: what may go wrong at the service and on the way.
        odds: how often it does.
        customers: how many there are.
        batch: records of a batch.
        concurrency: batches at once.
        only: of the moments in which a fault may strike, the numbers of those in which one does; None: any, by the odds.
        branch: the commit after which the machine stops, and people go on with the next act; None: all acts are done.
        slow_disk: whether each transaction takes long, so that much happens meanwhile.
    """

    kind: str
    seed: int
    acts: tuple[Act, ...]
    faults: tuple[str, ...]
    odds: float
    customers: int = 12
    batch: int = 3
    concurrency: int = 3
    only: tuple[int, ...] | None = None
    branch: int | None = None
    slow_disk: bool = False

    @property
    def features(self) -> frozenset[str]:
        """What is in it: faults that may strike, and what is special about an act."""
        acts = {name for act in self.acts for name in (act.what, *_unusual(act)) if name not in _SAYS_NOTHING}
        return frozenset(self.faults) | acts | ({"narrow"} if len(self.faults) <= FEW else set())

    def to_dict(self) -> dict[str, Any]:
        """Returns it as JSON has it; acts without what is as usual."""
        return {**asdict(self), "acts": [{"what": act.what, **_unusual(act)} for act in self.acts]}

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> Plan:
        """Reads what `to_dict` returned."""
        only = tuple(value["only"]) if value.get("only") is not None else None
        return cls(**{**value, "acts": tuple(Act(**act) for act in value["acts"]), "faults": tuple(value["faults"]), "only": only})


_USUAL = Act("")

_SAYS_NOTHING = {"sync", "night", "list", "send", "freeze_for", "disk_fails", "clock", "at", "run_id", "page", "documents"}
"""What each story of a kind has, and what says nothing without something else."""


def _unusual(act: Act) -> dict[str, Any]:
    """What of an act is not as usual."""
    values = {one.name: getattr(act, one.name) for one in fields(Act) if one.name != "what"}
    return {name: value for name, value in values.items() if value != getattr(_USUAL, name)}


def smaller(plan: Plan) -> Iterator[Plan]:
    """Gives stories that are a little smaller."""
    yield from fewer_acts_and_faults(plan)
    acts = plan.acts
    for place, act in enumerate(acts):
        for name in _unusual(act):
            simpler = replace(act, **{name: getattr(_USUAL, name)})
            yield replace(plan, acts=(*acts[:place], simpler, *acts[place + 1 :]))
    if plan.customers > 2:
        yield replace(plan, customers=plan.customers // 2)
    if plan.concurrency > 1:
        yield replace(plan, concurrency=1)
