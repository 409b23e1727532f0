"""Faults of shared runs that the product might have. Stories of that kind must find them."""

from __future__ import annotations

import asyncio
import math
from typing import Any

from amili_arm_async import clock
from amili_arm_async.bulk import delivery
from amili_arm_async.bulk.journal.postgres import journal, shared_reading, store
from amili_arm_async.bulk.part_filter import PartFilter
from amili_arm_async.postgres import connection, lease, owner, worker
from amili_arm_async.resources import shared_run

from .customer_mutants import KIND_OF, mutant_of
from .mutants import Patches, edited, needs

__all__ = ["FOUND_SOON", "KIND_OF"]

FOUND_SOON = ("the_intent_is_written_later", "documents_of_other_parts_are_sent")
"""Mutants that are found with few seeds; `python -m tests.simulation --mutants --kind shared` looks for all."""

_FENCED = "AND epoch = ? AND writes = ?"


def _fence(other: str) -> Patches:
    assert connection._FENCE.count(_FENCED) == 1
    return [(connection, "_FENCE", connection._FENCE.replace(_FENCED, other))]


@mutant_of("shared")
def a_fence_compares_nothing() -> Patches:
    """Whoever sends a part prolongs its lease and writes, whether it owns it or not."""
    return _fence("AND epoch >= 0 * ? AND writes >= 0 * ?")


@mutant_of("shared")
def a_part_of_another_is_given_back() -> Patches:
    """Whoever ends gives back a part that another process owns in the same epoch, once a standby was promoted."""
    _, name, give_back = edited(lease, "give_back", " AND owner = ?", " AND owner <> ? || owner")
    return [(worker, name, give_back)]


@needs("freeze_answer")
@mutant_of("shared")
def a_fence_has_no_epoch() -> Patches:
    """An owner whose lease was taken over goes on where its successor has written as often."""
    return _fence("AND epoch >= 0 * ? AND writes = ?")


@needs("cut_after")
@mutant_of("shared")
def a_fence_does_not_count() -> Patches:
    """A transaction whose commit got no answer is done again though it was committed."""
    return _fence("AND epoch = ? AND writes >= 0 * ?")


@mutant_of("shared")
def a_transaction_has_no_fence() -> Patches:
    """What is written is not tied to the part."""
    real = connection.PostgresConnection.begin
    return [(connection.PostgresConnection, "begin", lambda self, *, fenced=True, reads=False: real(self, fenced=False, reads=reads))]


@mutant_of("shared")
def a_takeover_keeps_the_epoch() -> Patches:
    """Who takes a part over has the epoch of the owner before."""
    return [(lease, "_TAKE", lease._TAKE.replace("epoch = epoch + 1", "epoch = epoch"))]


@mutant_of("shared")
def a_lease_is_not_waited_for() -> Patches:
    """A part is taken over from an owner that goes on."""
    _, _, take = edited(lease, "take", "is_free = owner is None or left <= 0 or is_dead(owner)", "is_free = True")
    return [(journal, "take", take)]


@needs("jump")
@mutant_of("shared")
def a_lease_is_compared_with_the_wall_clock() -> Patches:
    """Whether a lease has ended is told by the clock of this machine."""
    real = lease._read

    def read(at: Any, run: int, part: int) -> Any:
        found, epoch, writes, _ = real(at, run, part)
        with at.transaction():
            query = "SELECT coalesce(extract(epoch FROM lease_until)::float8, 0) FROM parts WHERE run = ? AND part = ?"
            (until,) = at.execute(query, (run, part)).fetchone()
        return found, epoch, writes, until - clock.unix_time()

    return [(lease, "_read", read)]


@mutant_of("shared")
def a_process_of_another_machine_is_dead() -> Patches:
    """A process that is not on this machine counts as one that has ended."""
    _, _, is_dead = edited(owner, "is_dead", " or owner.space != _space()", "")
    return [(lease, "is_dead", is_dead)]


@needs("cut_after")
@mutant_of("shared")
def a_lost_commit_is_believed_absent() -> Patches:
    """A commit without an answer counts as one that was not done: what is to be recorded is recorded as not sent."""
    return [edited(connection.PostgresConnection, "_fence_failed", "if may_be_committed and row", "if False and row")]


@needs("cut_before")
@mutant_of("shared")
def a_commit_without_an_answer_was_done() -> Patches:
    """A commit counts as done where the connection was lost before its answer came."""
    return [
        edited(
            connection.PostgresConnection,
            "_send",
            "failure = exc\n    else:\n        return\n    since",
            "failure = exc\n        if commits and passes(exc):\n            return\n    else:\n        return\n    since",
        )
    ]


@needs("cut_before")
@mutant_of("shared")
def what_was_written_is_not_repeated() -> Patches:
    """A transaction goes on over another connection without what it wrote over the lost one."""
    return [edited(connection.PostgresConnection, "_exchange", "if self._written and not self._has_begun:", "if False:")]


@mutant_of("shared")
def the_intent_is_written_later() -> Patches:
    """A batch leaves while it is being recorded that it is about to."""

    async def record_intent(self: Any, in_flight: Any) -> bool:
        if not self._control.may_send:
            return False
        writing = asyncio.ensure_future(self._recorder.before_send(in_flight))
        writing.add_done_callback(lambda done: done.cancelled() or done.exception())
        return True

    return [(delivery.BatchSender, "_record_intent", record_intent)]


@needs("freeze_answer", "reconcile", "resend")
@mutant_of("shared")
def nobody_may_still_send() -> Patches:
    """What is absent is sent again though a frozen process may be about to send it, and an intent does not grow old."""
    return [(store.PostgresRunStore, "sender_of", lambda *_, **__: None), (delivery, "_LATE", math.inf)]


@mutant_of("shared")
def a_record_that_was_superseded_counts() -> Patches:
    """The merged report counts what was sent again twice."""
    return [
        edited(shared_reading, "_counts", " if place not in gone", ""),
        (shared_reading, "_SIMPLE", "exceptions IS NULL"),
    ]


@mutant_of("shared")
def the_money_of_the_first_attempt_is_reported() -> Patches:
    """The merged report has the sums of the first attempt that read its source to the end."""
    return [edited(shared_run, "_totals", "complete[-1] if", "complete[0] if")]


@mutant_of("shared")
def documents_of_other_parts_are_sent() -> Patches:
    """A worker that reads the whole source sends all of it."""

    async def passes_nothing_over(*_: Any) -> dict[int, Any]:
        return {}

    return [(PartFilter, "filter", passes_nothing_over), (journal, "refuse_foreign", lambda *_: None)]


@needs("promote")
@mutant_of("shared")
def the_first_run_says_which_database_it_is() -> Patches:
    """Nobody has noted which database it is before the first run begins: a standby that has the tables alone is not noticed."""
    from .shared_postgres import RealDatabase

    real = RealDatabase.clean

    def clean(self: Any) -> None:
        real(self)
        self.admin.execute("UPDATE amili_arm.journal SET server = NULL")

    return [(RealDatabase, "clean", clean)]


@needs("promote")
@mutant_of("shared")
def a_promoted_standby_is_not_noticed() -> Patches:
    """A database with another timeline than before is not noticed."""
    return [(store, "_is_other", lambda *_: False)]
