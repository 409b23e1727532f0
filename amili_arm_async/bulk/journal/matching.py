"""Pure resume rules: whether a record of the source is sent, was sent before, is still open, or must not be sent.

Matching is that of multisets. Each record in the journal is claimed by at most one record of the source. Of equal ones, the one with the
best state is claimed first, so that the order of the source makes no difference, except where it holds a customer several times: the last
one is the last one that is sent.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from ..chunking import Batch
from ..outcomes import MAY_BE_ON_SERVER, REPEATED, Outcome

__all__ = [
    "ENTRY_MAY_BE_ON_SERVER",
    "OTHER_CONTENT",
    "TAKEN",
    "Decision",
    "ResumeDecisions",
    "ResumeEntry",
    "decide_customer",
    "decide_document",
    "furthest",
    "overtake_older",
]

EntryState: TypeAlias = Literal["succeeded", "open", "accepted", "unknown", "failed", "rejected", "ambiguous", "current"]

_ORDER: Final = ("succeeded", "open", "accepted", "unknown", "ambiguous", "rejected", "failed")
"""The states of equal records, in the order in which they are claimed."""

ENTRY_MAY_BE_ON_SERVER: Final = MAY_BE_ON_SERVER | {"open"}
TAKEN: Final = ENTRY_MAY_BE_ON_SERVER - {"unknown"}


OTHER_CONTENT: Final = Outcome(
    "invalid",
    "conflicts_with_journal",
    "an earlier attempt of this run sent this documentNo with other content, or formatted differently and its text was not kept",
)


@dataclass(slots=True, eq=False)
class ResumeEntry:
    """A record in the journal.

    Attributes:
        row: its row in the index, or None if it is not there yet.
        state: its state; `current`: it was cut in this attempt; `ambiguous`: it failed, and an attempt with its batch before that may have
            been accepted.
        content: its fingerprint, or -1 if that is not known.
        batch, position: where it is in the journal.
        claimed: the place in the source of the record that it matches in this attempt, or None.
        overtaken: for a customer, whether another one with its key was sent after it and comes before it in the source; where only the
            latest counts, whether something else was sent after it.
    """

    row: int | None
    state: str
    content: int
    batch: int
    position: int
    claimed: int | None = None
    overtaken: bool = False


@dataclass(slots=True)
class Decision:
    """What to do with a record of the source.

    Attributes:
        send: whether it is sent.
        taken: if it is not sent, the record in the journal that has its outcome.
        conflict: why it must not be sent, or None.
        supersedes: records in the journal that it replaces.
        overtakes: records in the journal that stop being the newest of their key when it is sent.
        after: ids of batches that must be settled before it is sent.
    """

    send: bool
    taken: ResumeEntry | None = None
    conflict: Outcome | None = None
    supersedes: list[ResumeEntry] = field(default_factory=list)
    overtakes: list[ResumeEntry] = field(default_factory=list)
    after: list[int] = field(default_factory=list)


@dataclass(slots=True)
class ResumeDecisions:
    """What to do with the records of a batch.

    Attributes:
        send: positions of those that are sent.
        part: the batch with only those; None if there are none.
        taken: by position, the record in the journal that has the outcome of one that is not sent.
        conflicts: by position, why one must not be sent.
        after: ids of batches of earlier attempts that must be settled first.
        elsewhere: by position in `part`, the outcomes of documents that another run has sent: they will not be sent.
        overtakes: whether one that is sent overtakes a record that may be with the server.
        all_done: whether all records succeeded in an earlier attempt: then nothing else is said of them.
    """

    send: list[int] = field(default_factory=list)
    part: Batch | None = None
    taken: dict[int, ResumeEntry] = field(default_factory=dict)
    conflicts: dict[int, Outcome] = field(default_factory=dict)
    after: set[int] = field(default_factory=set)
    elsewhere: dict[int, Outcome] = field(default_factory=dict)
    overtakes: bool = False
    all_done: bool = False


def decide_document(entries: list[ResumeEntry], content: int, place: int, *, numbered: bool) -> Decision:
    """Decides what to do with a document: one that may be with the server is never sent again.

    Args:
        entries: the records in the journal with the same identity; the decision is recorded in them.
        content: its fingerprint.
        place: its place in the source.
        numbered: whether its identity is its number; else it is its content.

    Returns:
        The decision.
    """
    if numbered and any(entry.claimed is not None for entry in entries):
        return Decision(send=False, conflict=REPEATED)
    free = [entry for entry in entries if entry.claimed is None]
    there = [entry for entry in free if entry.state in ENTRY_MAY_BE_ON_SERVER]
    if numbered and there:
        same = [entry for entry in there if entry.content == content]
        if not same:
            return Decision(send=False, conflict=OTHER_CONTENT)
        there = same
    if there:
        return Decision(send=False, taken=_claim(furthest(there), place))
    return Decision(send=True, supersedes=[_claim(entry, place) for entry in (free if numbered else free[:1])])


def decide_customer(entries: list[ResumeEntry], content: int, place: int) -> Decision:
    """Decides what to do with a customer: it is not sent if the same content was accepted, and nothing else with its number was sent after
    that.

    Args:
        entries: the records in the journal with the same identity; the decision is recorded in them.
        content: its fingerprint.
        place: its place in the source.

    Returns:
        The decision.
    """
    free = [entry for entry in entries if entry.claimed is None]
    equal = [entry for entry in free if entry.content == content]
    settled = [entry for entry in equal if entry.state in TAKEN and not entry.overtaken]
    if settled:
        taken = _claim(furthest(settled), place)
        for entry in free:
            # What was sent before it and comes after it in the source must be sent again, to be the last one at the server, too.
            entry.overtaken |= entry.content != content and (entry.batch, entry.position) < (taken.batch, taken.position)
        return Decision(send=False, taken=taken)
    # What was never sent has no fingerprint. It comes first: no other record is the one of an entry that has another fingerprint.
    others = sorted((entry for entry in free if entry.state not in TAKEN), key=lambda entry: entry.content != -1)
    replaced = equal[:1] or others[:1]
    # What is sent again now overwrites all unclaimed records. Those come later in the source, so they must be sent again, too.
    overtakes = [entry for entry in free if entry not in replaced]
    for entry in overtakes:
        entry.overtaken = True
    after = sorted({entry.batch for entry in entries if entry.state in {"open", "accepted"}})
    return Decision(send=True, supersedes=[_claim(entry, place) for entry in replaced], overtakes=overtakes, after=after)


def overtake_older(entries: list[ResumeEntry]) -> None:
    """Marks as overtaken each customer of whom something else was sent, or may have been sent, later.

    Args:
        entries: the records in the journal with the same identity, the oldest first.
    """
    later: set[int] = set()
    for entry in reversed(entries):
        # Also where the last of them has the same content: whether that one has come may not be known.
        entry.overtaken |= bool(later - {entry.content})
        if entry.state in ENTRY_MAY_BE_ON_SERVER or entry.state == "ambiguous":
            later.add(entry.content)


def furthest(entries: list[ResumeEntry]) -> ResumeEntry:
    """Returns the record with the best state."""
    return min(entries, key=lambda entry: _ORDER.index(entry.state))


def _claim(entry: ResumeEntry, place: int) -> ResumeEntry:
    entry.claimed = place
    return entry
