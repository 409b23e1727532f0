"""Pure: the final states of a record with the rules for each of them, and the outcome of a batch.

The outcome of a batch is kept as one outcome for all of its records and the exceptions, not as an object for each record.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal, NamedTuple, TypeAlias

from ..models.batches import BatchResult

__all__ = [
    "ACCEPTED",
    "FAILURES",
    "MAY_BE_ON_SERVER",
    "NOT_EXPLAINED",
    "NOT_ON_SERVER",
    "OPEN",
    "REPEATED",
    "STATES",
    "STATE_RULES",
    "SUCCESS",
    "UNCERTAIN",
    "WITHOUT_ANSWER",
    "BatchOutcome",
    "BatchReader",
    "Outcome",
    "RecordOutcome",
    "State",
    "StateRule",
    "can_be_looked_up",
    "is_from_server",
    "safe_message",
    "success_states",
]

State: TypeAlias = Literal[
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
    "would_be_sent",
    "other_part",
]


class StateRule(NamedTuple):
    """What holds for the records that end in a state.

    Attributes:
        success: whether the state is a success; `not_awaited`: only in a run that does not wait for results.
        on_server: whether the server has the record.
        meaning: one sentence about how the record ended.
        advice: what a person does about it.
        is_accepted: whether the state proves that the server accepted the batch of the record.
        is_failure: whether the state counts as a failure of a run that goes wrong as a whole (`stop_after_failures`).
        is_open: whether the state may change when the run is resumed with the same source.
        server_message: whether the message is from the server, and so may hold personal data; a set: only with these reasons.
        look_up: whether a look-up of the document may find out more than is known; a set: only with these reasons.
    """

    success: Literal["yes", "not_awaited", "no"]
    on_server: Literal["yes", "maybe", "no"]
    meaning: str
    advice: str
    is_accepted: bool = False
    is_failure: bool = False
    is_open: bool = False
    server_message: bool | frozenset[str] = False
    look_up: bool | frozenset[str] = False


NOT_EXPLAINED: Final = ("unmapped", "unrecognised", "result_gone", "key_conflict")
"""Reasons of `accepted` where another poll for the result can't find out more."""

STATE_RULES: Final[Mapping[State, StateRule]] = MappingProxyType(
    {
        "succeeded": StateRule(
            success="yes",
            on_server="yes",
            meaning="the batch was processed, and the server reported success for this record",
            advice="Nothing to do.",
            is_accepted=True,
        ),
        "failed": StateRule(
            success="no",
            on_server="no",
            meaning="the batch was processed, and the server reported failure for this record",
            advice="Fix the record by what the server says about it (--server-messages shows it), and send it again.",
            is_accepted=True,
            is_failure=True,
            server_message=True,
        ),
        "accepted": StateRule(
            success="not_awaited",
            on_server="yes",
            meaning="the server accepted the batch; more is not known",
            advice="The server has it: don't send it again. Run the same job with the same run id, or reconcile, to ask for the result.",
            is_accepted=True,
            is_open=True,
            server_message=frozenset({"unrecognised"}),
            look_up=frozenset(NOT_EXPLAINED),
        ),
        "rejected": StateRule(
            success="no",
            on_server="no",
            meaning="the answer proves that it was not accepted, and it won't be as it is",
            advice="Fix the record by what the server says about it (--server-messages shows it), and send it again: it was not accepted.",
            is_failure=True,
            server_message=True,
        ),
        "invalid": StateRule(
            success="no",
            on_server="no",
            meaning="never sent: it can't be written as JSON, is too large alone, or breaks a rule",
            advice="Fix the record in the source: it was never sent. The check before sending names the path of each error.",
            is_failure=True,
        ),
        "unknown": StateRule(
            success="no",
            on_server="maybe",
            meaning="sent, at least in part; whether it was accepted is not known",
            advice="Reconcile before it is sent again: it may have been accepted, and a document that is sent twice bills twice.",
            is_failure=True,
            is_open=True,
            look_up=True,
        ),
        "unchanged": StateRule(
            success="yes",
            on_server="yes",
            meaning="never sent: equal to what was last sent with success",
            advice="Nothing to do: the server has it already.",
        ),
        "done_before": StateRule(
            success="yes",
            on_server="yes",
            meaning="never sent: the journal proves that an earlier attempt of this run succeeded",
            advice="Nothing to do: an earlier attempt of this run sent it.",
        ),
        "blocked": StateRule(
            success="no",
            on_server="no",
            meaning="never sent: its customer did not succeed",
            advice="Fix its customer first; then run the same job with the same run id, and the document follows.",
        ),
        "not_sent": StateRule(
            success="no",
            on_server="no",
            meaning="not sent, or provably not accepted until the run gave up, or the run stopped before its turn",
            advice="Run the same job with the same run id: it was not accepted, and the next attempt sends it.",
            is_open=True,
        ),
        "would_be_sent": StateRule(
            success="yes",
            on_server="no",
            meaning="never sent: in a dry run, a record that a run would send",
            advice="Nothing was sent: run the same command without --dry-run (dry_run=True) to send it.",
        ),
        "other_part": StateRule(
            success="yes",
            on_server="maybe",
            meaning="passed over: it belongs to another part of a shared run",
            advice="Nothing to do here: the worker of its part sends it.",
        ),
    }
)
"""The one table of final states: each record that was read ends in exactly one of them."""

STATES: Final[tuple[State, ...]] = tuple(STATE_RULES)
"""Every final state, in the order in which they are shown."""


def _states(holds: Callable[[StateRule], bool]) -> frozenset[State]:
    return frozenset(state for state, rule in STATE_RULES.items() if holds(rule))


SUCCESS: Final = _states(lambda rule: rule.success == "yes")
"""The states of success; in a run that does not wait for results, `accepted` is one too: see `success_states`."""

ACCEPTED: Final = _states(lambda rule: rule.is_accepted)
"""The states that prove that the server accepted the batch."""

FAILURES: Final = _states(lambda rule: rule.is_failure)
"""The states that count as failures of a run that goes wrong as a whole."""

OPEN: Final = _states(lambda rule: rule.is_open)
"""The states that may change when the run is resumed with the same source."""

MAY_BE_ON_SERVER: Final = _states(lambda rule: rule.on_server != "no")
"""The states of records that the server has, or may have."""

NOT_ON_SERVER: Final = _states(lambda rule: rule.on_server == "no")
"""The states of records that the server does not have."""

WITHOUT_ANSWER: Final = _states(lambda rule: rule.on_server == "no" and not rule.server_message)
"""States of records that the server does not have, and of which it has said nothing."""

UNCERTAIN: Final = MAY_BE_ON_SERVER - SUCCESS
"""The states of records that the server has, or may have, without proof of success."""

_SUCCESS_NOT_AWAITED: Final = _states(lambda rule: rule.success != "no")


def success_states(*, accepted_is_enough: bool) -> frozenset[State]:
    """Returns the states that count as success in a run.

    Args:
        accepted_is_enough: whether the run does not wait for results (`results="accepted"`).

    Returns:
        The states.
    """
    return _SUCCESS_NOT_AWAITED if accepted_is_enough else SUCCESS


def _holds_for(rule: bool | frozenset[str], reason: str | None) -> bool:
    return rule if isinstance(rule, bool) else reason in rule


def is_from_server(state: str, reason: str | None) -> bool:
    """Returns whether the server wrote the message of a record; else this library wrote it, and it holds no value of the record.

    Args:
        state: the state of the record; one that is not known counts as one with a message of the library.
        reason: its reason.

    Returns:
        True where the message is the server's and may hold personal data.
    """
    rule = STATE_RULES.get(state)  # type: ignore[call-overload]
    return rule is not None and _holds_for(rule.server_message, reason)


class Outcome(NamedTuple):
    """A final state and why.

    Attributes:
        state: the state.
        reason: a short code or the HTTP status; `""` where the state says all.
        message: a message of the server or of this library; the server's may hold personal data.
    """

    state: State
    reason: str = ""
    message: str | None = None


REPEATED: Final = Outcome("invalid", "document_no_repeated", "two documents of this run have this documentNo: only the first is sent")
"""The outcome of a document with the documentNo of an earlier document of the run."""


def can_be_looked_up(outcome: Outcome) -> bool:
    """Returns whether a look-up may find out more about a document.

    Args:
        outcome: the outcome so far.

    Returns:
        True where the outcome is unknown, or the result of the batch does not explain it.
    """
    return _holds_for(STATE_RULES[outcome.state].look_up, outcome.reason)


@dataclass(frozen=True, slots=True)
class RecordOutcome:
    """What became of one record.

    Attributes:
        index: its index in the source, from 0.
        key: its `customerNo` or `documentNo`, or None where it has none.
        state: its final state.
        reason: why; a short code such as `deadline`, or an HTTP status.
        message: a message, or None; the server's may hold personal data.
    """

    index: int
    key: str | None
    state: State
    reason: str = ""
    message: str | None = field(default=None, repr=False)


def safe_message(record: RecordOutcome) -> str | None:
    """Returns the message of a record where it may stand in any report, because this library wrote it.

    Args:
        record: what became of the record.

    Returns:
        The message; None where it is the server's, and where nothing more was sent: the report says that once, for the whole run.
    """
    return None if record.state == "not_sent" or is_from_server(record.state, record.reason) else record.message


BatchReader: TypeAlias = Callable[[int, bytes, Sequence[str | None]], Sequence[RecordOutcome] | None]
"""Reads a batch result in place of the rules.

`batch_reader(status, body, keys)` gets the HTTP status (200 or 206), the raw body of GET batch, and the key of each record in the order in
which they were sent. It returns an outcome for each record in the same order, or None: then the rules decide. The state of an outcome is
`succeeded`, `failed` or `accepted` (not known; with the reason `pending` the result is polled again). Of a failure, `reason` and `message`
are kept. A `key` that is given must be that of its record. It must be fast: it runs in the event loop."""


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """What became of one batch, or of records that ended together without one.

    Iterating gives a `RecordOutcome` for each record.

    Attributes:
        number: the number of the batch, from 1; the parts of a split batch share it; 0 where the records were in none.
        batch_uuid: its batchUuid, or None where it was not accepted.
        attempts: how often it was sent.
        result: what GET batch answered last, or None.
        indexes: the index of each record in the source.
        keys: the key of each record, or None.
        common: the outcome of all records but the exceptions.
        exceptions: by position in the batch, the outcomes that differ.
        was_ambiguous: whether it is not known of one of its attempts whether the server accepted it: then it may be processed at any time,
            also after what was sent later.
    """

    number: int
    batch_uuid: str | None
    attempts: int
    result: BatchResult | None = field(repr=False)
    indexes: Sequence[int] = field(repr=False)
    keys: Sequence[str | None] = field(repr=False)
    common: Outcome = field(repr=False)
    exceptions: Mapping[int, Outcome] = field(default_factory=dict, repr=False)
    was_ambiguous: bool = False

    def __len__(self) -> int:
        return len(self.indexes)

    @property
    def counts(self) -> dict[State, int]:
        """Number of records by state; only states that occur."""
        counts: Counter[State] = Counter(outcome.state for outcome in self.exceptions.values())
        counts[self.common.state] += len(self.indexes) - len(self.exceptions)
        return {state: number for state, number in counts.items() if number}

    def __iter__(self) -> Iterator[RecordOutcome]:
        for position, (index, key) in enumerate(zip(self.indexes, self.keys, strict=True)):
            outcome = self.exceptions.get(position, self.common)
            yield RecordOutcome(index, key, outcome.state, outcome.reason, outcome.message)
