"""Pure: what the journal says of a record that the source yields: send it, it was done, it is still open, or it may not be sent.

The rules are those of a multiset. Each record of the journal is claimed by one record of the source at the most; of equal ones, the one
that came furthest is claimed first, so that it makes no difference in which order the source yields them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from ..chunking import Batch
from ..outcomes import MAY_BE_ON_SERVER, REPEATED, Outcome

__all__ = ["ENTRY_MAY_BE_ON_SERVER", "Decision", "ResumeDecisions", "ResumeEntry", "decide_customer", "decide_document", "furthest"]

EntryState: TypeAlias = Literal["succeeded", "open", "accepted", "unknown", "failed", "rejected", "current"]

_ORDER: Final = ("succeeded", "open", "accepted", "unknown", "rejected", "failed")
"""Of equal records, which one is claimed first."""

ENTRY_MAY_BE_ON_SERVER: Final = MAY_BE_ON_SERVER | {"open"}
_TAKEN: Final = ENTRY_MAY_BE_ON_SERVER - {"unknown"}


_OTHER_CONTENT: Final = Outcome(
    "invalid",
    "conflicts_with_journal",
    "an earlier attempt of this run sent this documentNo with other content, or written otherwise and its text is not kept any more",
)


@dataclass(slots=True, eq=False)
class ResumeEntry:
    """A record in the journal.

    Attributes:
        row: its place in the index, or None where it is not there yet.
        state: what became of it; `current`: it was cut in this attempt.
        content: its print.
        batch, position: where it is in the journal.
        claimed: the place in the source of the record that it stands for in this attempt, or None.
        overtaken: another one with its key was sent after it, and would have come before it (customers).
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
    """What is to be done with a record of the source.

    Attributes:
        send: whether it is sent.
        taken: the record of the journal that speaks for it, where it is not sent.
        conflict: why it may not be sent, or None.
        supersedes: records of the journal that it takes the place of.
        overtakes: records of the journal that are not the newest any more when it is sent.
        after: batches that must be settled before it is sent.
    """

    send: bool
    taken: ResumeEntry | None = None
    conflict: Outcome | None = None
    supersedes: list[ResumeEntry] = field(default_factory=list)
    overtakes: list[ResumeEntry] = field(default_factory=list)
    after: list[int] = field(default_factory=list)


@dataclass(slots=True)
class ResumeDecisions:
    """What was decided for the records of a batch.

    Attributes:
        send: positions of those that are sent.
        part: the batch with only those; None where there are none.
        taken: by position, the record of the journal that speaks for it.
        conflicts: by position, why it may not be sent.
        after: batches of earlier attempts that must be settled first.
        elsewhere: positions in `part` of documents that another run has sent: they won't leave.
    """

    send: list[int] = field(default_factory=list)
    part: Batch | None = None
    taken: dict[int, ResumeEntry] = field(default_factory=dict)
    conflicts: dict[int, Outcome] = field(default_factory=dict)
    after: set[int] = field(default_factory=set)
    elsewhere: frozenset[int] = frozenset()


def decide_document(entries: list[ResumeEntry], content: int, place: int, *, numbered: bool) -> Decision:
    """A document: what may be there already is never sent again.

    Args:
        entries: the records of the journal with the same identity; changed by what is decided.
        content: its print.
        place: its place in the source.
        numbered: whether its identity is its number; else it is its content.
    """
    if numbered and any(entry.claimed is not None for entry in entries):
        return Decision(send=False, conflict=REPEATED)
    free = [entry for entry in entries if entry.claimed is None]
    there = [entry for entry in free if entry.state in ENTRY_MAY_BE_ON_SERVER]
    if numbered and there:
        same = [entry for entry in there if entry.content == content]
        if not same:
            return Decision(send=False, conflict=_OTHER_CONTENT)
        there = same
    if there:
        return Decision(send=False, taken=_claim(furthest(there), place))
    return Decision(send=True, supersedes=[_claim(entry, place) for entry in (free if numbered else free[:1])])


def decide_customer(entries: list[ResumeEntry], content: int, place: int) -> Decision:
    """A customer: not sent where the same content was taken, and nothing else with its number went out after that."""
    free = [entry for entry in entries if entry.claimed is None]
    equal = [entry for entry in free if entry.content == content]
    settled = [entry for entry in equal if entry.state in _TAKEN and not entry.overtaken]
    if settled:
        return Decision(send=False, taken=_claim(furthest(settled), place))
    replaced = equal[:1] or [entry for entry in free if entry.state not in _TAKEN][:1]
    # What goes out again now wins over all that is not yet claimed, so comes later in the source: that has to go out again too.
    overtakes = [entry for entry in free if entry not in replaced]
    for entry in overtakes:
        entry.overtaken = True
    after = sorted({entry.batch for entry in entries if entry.state in {"open", "accepted"}})
    return Decision(send=True, supersedes=[_claim(entry, place) for entry in replaced], overtakes=overtakes, after=after)


def furthest(entries: list[ResumeEntry]) -> ResumeEntry:
    """Of equal records, the one that came furthest."""
    return min(entries, key=lambda entry: _ORDER.index(entry.state))


def _claim(entry: ResumeEntry, place: int) -> ResumeEntry:
    entry.claimed = place
    return entry
