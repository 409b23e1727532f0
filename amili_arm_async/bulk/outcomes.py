"""Pure: the final states of a record, and what became of a batch, kept as one state for all and exceptions, not as an object a record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, TypeAlias

from ..models.batches import BatchResult

__all__ = [
    "NOT_EXPLAINED",
    "REPEATED",
    "STATES",
    "SUCCESS",
    "BatchOutcome",
    "BatchReader",
    "Outcome",
    "RecordOutcome",
    "State",
    "can_be_looked_up",
    "is_from_server",
    "safe_message",
    "success_states",
]

State: TypeAlias = Literal[
    "succeeded", "failed", "accepted", "rejected", "invalid", "unknown", "unchanged", "done_before", "blocked", "not_sent"
]

STATES: Final[tuple[State, ...]] = (
    "succeeded",
    "failed",
    "accepted",
    "rejected",
    "invalid",
    "unknown",
    "unchanged",
    "done_before",
    "blocked",
    "not_sent",
)
"""Every final state; each record that was read ends in exactly one."""

SUCCESS: Final[frozenset[State]] = frozenset({"succeeded", "unchanged", "done_before"})
"""The states of records that made it; where nobody wanted to wait for results, `accepted` is one too."""

_TAKEN: Final[frozenset[State]] = frozenset({"accepted"})


def success_states(*, accepted_is_enough: bool) -> frozenset[State]:
    """The states that count as having made it in a run."""
    return SUCCESS | _TAKEN if accepted_is_enough else SUCCESS


_SERVER_SPEAKS: Final[frozenset[State]] = frozenset({"failed", "rejected"})
"""States whose message the server wrote, which may hold personal data."""


def is_from_server(state: str, reason: str | None) -> bool:
    """Whether the message of a record with this state and reason is the server's; else this library wrote it, and it holds no value."""
    return state in _SERVER_SPEAKS or (state, reason) == ("accepted", "unrecognised")


class Outcome(NamedTuple):
    """A final state and why.

    Attributes:
        state: the state.
        reason: a short code or the HTTP status; `""` where the state says all.
        message: the server's or the library's words; the server's may hold personal data.
    """

    state: State
    reason: str = ""
    message: str | None = None


REPEATED: Final = Outcome("invalid", "document_no_repeated", "its documentNo is in this run already: only the first is sent")
"""The verdict for a document whose number another one of the run has, which comes before it."""

NOT_EXPLAINED: Final = ("unmapped", "unrecognised", "result_gone", "key_conflict")
"""Reasons of `accepted` that no further question for the result betters."""


def can_be_looked_up(verdict: Outcome) -> bool:
    """Whether a look-up may tell more of a document than is known: it is unknown, or the result of its batch does not explain it."""
    return verdict.state == "unknown" or (verdict.state == "accepted" and verdict.reason in NOT_EXPLAINED)


@dataclass(frozen=True, slots=True)
class RecordOutcome:
    """What became of one record.

    Attributes:
        index: its place in the source, from 0.
        key: its `customerNo` or `documentNo`, or None where it has none.
        state: its final state.
        reason: why; a short code such as `deadline`, or an HTTP status.
        message: words to it, where there are any; the server's may hold personal data.
    """

    index: int
    key: str | None
    state: State
    reason: str = ""
    message: str | None = field(default=None, repr=False)


def safe_message(record: RecordOutcome) -> str | None:
    """The words to a record that may stand in any report: those of this library. None where they are the server's.

    Why nothing more was sent is left out too: that is said once, for the whole run.
    """
    return None if record.state == "not_sent" or is_from_server(record.state, record.reason) else record.message


BatchReader: TypeAlias = Callable[[int, bytes, Sequence[str | None]], Sequence[RecordOutcome] | None]
"""Reads what no rule understands: `batch_reader(status, body, keys)` is given the HTTP status (200 or 206) and the raw body of GET batch,
and the key of each record in the order in which they were sent. It returns an outcome for each of them in the same order, `succeeded`,
`failed` or `accepted` (nothing is known; with the reason `pending` it is asked for again), or None: then the rules decide. Of one that
failed, `reason` and `message` are kept. A `key` that is given must be that of its record. It must be quick: it runs in the event loop."""


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """What became of one batch, or of records that ended together without one.

    Iterating gives a `RecordOutcome` for each record.

    Attributes:
        number: number of the batch as it was cut, from 1; parts of a split batch share it.
        batch_uuid: the batch's name on the server, or None where it was not accepted.
        attempts: how often it was sent.
        result: what GET batch answered last, or None.
        indexes: the place of each record in the source.
        keys: the key of each record, or None.
        verdict: the final state of all records but the exceptions.
        exceptions: by position in the batch, the final states that differ.
        was_ambiguous: whether one of the times that it was sent ended so that nobody can say whether it was taken: it may be processed at
            any time, also after what was sent later.
    """

    number: int
    batch_uuid: str | None
    attempts: int
    result: BatchResult | None = field(repr=False)
    indexes: Sequence[int] = field(repr=False)
    keys: Sequence[str | None] = field(repr=False)
    verdict: Outcome = field(repr=False)
    exceptions: Mapping[int, Outcome] = field(default_factory=dict, repr=False)
    was_ambiguous: bool = False

    def __len__(self) -> int:
        return len(self.indexes)

    @property
    def counts(self) -> dict[State, int]:
        """Number of records by state; only states that occur."""
        counts: Counter[State] = Counter(verdict.state for verdict in self.exceptions.values())
        counts[self.verdict.state] += len(self.indexes) - len(self.exceptions)
        return {state: number for state, number in counts.items() if number}

    def __iter__(self) -> Iterator[RecordOutcome]:
        for position, (index, key) in enumerate(zip(self.indexes, self.keys, strict=True)):
            verdict = self.exceptions.get(position, self.verdict)
            yield RecordOutcome(index, key, verdict.state, verdict.reason, verdict.message)
