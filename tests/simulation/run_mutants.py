"""Faults of runs of documents: in what the runs of a client share, how long they wait, when a run is complete, and what a result says."""

from __future__ import annotations

from amili_arm_async.bulk import delivery, in_flight, keys, limits, polling, results, run, runner
from amili_arm_async.bulk.journal import repeats
from amili_arm_async.bulk.journal.replay import letters
from amili_arm_async.bulk.journal.sqlite import contents, journal, store

from .mutants import Patches, edited, mutant, needs

# --- what the runs of a client share ----------------------------------------------------------------------------------------


@mutant
def who_leaves_keeps_the_slots() -> Patches:
    """Batches whose result is not awaited any more keep their slot among the open batches of the client."""
    return [edited(polling.Poller, "close", "        batch.slot.close()\n", "")]


@mutant
def who_is_cancelled_keeps_a_slot() -> Patches:
    """Who is cancelled while it waits for a slot keeps the one that it has just got."""
    return [edited(limits.SharedLimits, "open_slot", "        _give_back(slots, acquired)\n        raise", "        raise")]


@needs("swapped_result")
@mutant
def the_first_batch_owns_a_batch_uuid() -> Patches:
    """A batchUuid that comes twice is still that of the first batch."""
    return [edited(limits.BatchUuids, "register", "        self._shared.add(name)\n", "")]


# --- what it was asked to wait --------------------------------------------------------------------------------------------------


@needs("asked_to_wait")
@mutant
def others_do_not_wait() -> Patches:
    """A `Retry-After` holds the batch that got it, and no other one."""
    return [edited(delivery.BatchSender, "_slow_down", "if attempt.retry_after is not None:", "if False:")]


@needs("asked_to_wait", "narrow")
@mutant
def the_last_request_to_wait_counts() -> Patches:
    """A shorter `Retry-After` ends a longer one."""
    return [edited(limits.RetryAfterGate, "hold", "max(before, now + seconds)", "now + seconds")]


# --- programs that take outcomes one by one ---------------------------------------------------------------------------------------


@needs("naps", "streamed")
@mutant
def what_is_taken_makes_no_room() -> Patches:
    """Whoever waits for room for outcomes is not woken when one is taken."""
    return [edited(in_flight.OutcomeQueue, "take", "    self._changed.set()\n", "")]


@needs("streamed", "leaves")
@mutant
def a_program_that_raises_early_does_not_leave() -> Patches:
    """An error of the program before it takes the first outcome does not stop the run."""
    return [edited(run.BulkRun, "__aexit__", "elif self._iterated or kind is not None:", "elif self._iterated:")]


# --- which run is complete --------------------------------------------------------------------------------------------------------


@needs("limit")
@mutant
def a_part_completes_a_run() -> Patches:
    """A run of a part of its source is complete in the journal."""
    return [edited(runner.BulkRunner, "_close", "complete=is_complete and not self._source.is_limited", "complete=is_complete")]


@needs("reconcile")
@mutant
def a_reconcile_completes_a_run() -> Patches:
    """A run that was cut off is complete after a reconcile, which reads no source."""
    return [edited(journal.SqliteRunJournal, "end", "if complete and self._reads_source:", "if complete:")]


@needs("replay")
@mutant
def a_replay_completes_a_run() -> Patches:
    """A run that was cut off is complete after a replay of some of its records."""
    return [(store.RunStore, "ends_run", property(lambda self: self.has_source))]


@needs("replay", "beside")
@mutant
def a_replay_writes_what_it_read() -> Patches:
    """A replay writes the dead letter as it was when it was opened: what another run has written meanwhile is lost."""
    return [edited(letters.DeadLetterFile, "rewrite", "in _lines(now):", "in self.lines():")]


# --- records and results ------------------------------------------------------------------------------------------------------------


@needs("swapped")
@mutant
def other_letters_are_another_number() -> Patches:
    """Numbers that differ in case alone are those of two documents, where no index is needed."""
    other = edited(keys, "without_case", "text.casefold()", "text")[2]
    return [(owner, "without_case", other) for owner in (keys, repeats, journal)]


@needs("broken")
@mutant
def what_was_sent_before_and_is_invalid_is_not_sent() -> Patches:
    """At the end of a resumed run that stopped, a document that can't be sent any more is called not sent."""
    return [edited(in_flight.BatchTracker, "name_invalid", " or self._recorder.is_resumed", "")]


@needs("bad_document", "bisect")
@mutant
def one_refused_document_is_enough() -> Patches:
    """Once one document of a batch was found that is refused alone, all of the next part that is refused is rejected."""
    return [edited(delivery.BatchSender, "_refused_for_its_data", "bisection.bad == bisection.records and", "bisection.bad >= 1 and")]


@needs("poll_odd")
@mutant
def unknown_words_count_at_once() -> Patches:
    """One answer to a poll with words that are not known ends the waiting."""
    return [edited(polling.Poller, "_read", "if batch.last_words == words:", "if words:")]


@needs("late_intake")
@mutant
def a_batch_was_sent_when_it_began_to_leave() -> Patches:
    """The time to settle begins when an unknown batch began to leave, not when that ended."""
    return [edited(store.RunStore, "settle", "AND state = 'sending'\"", "AND state = 'queued'\"")]


@needs("odd_result", "record_fails")
@mutant
def of_two_entries_the_better_counts() -> Patches:
    """Of two entries for one record, the one that succeeded counts."""
    return [edited(results, "_one_each", 'entry.outcome != "failed"', 'entry.outcome == "failed"')]


@needs("odd_result", "record_fails")
@mutant
def entries_of_customers_count() -> Patches:
    """A result with entries of customers counts for documents."""
    return [edited(results.Reading, "outcomes", "if self.is_of_others:", "if False:")]


@needs("changed", "dead_letter")
@mutant
def what_is_too_large_now_is_hidden() -> Patches:
    """A document that is too large now, and was sent before with other content, has no line in the dead letter."""
    _, name, hide = edited(contents, "hide_unsent", "batch not in too_large and any(", "any(")
    return [(store, name, hide)]
