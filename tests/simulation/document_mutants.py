"""More faults of runs of documents: in what is read, cut, reported, looked up and replayed."""

from __future__ import annotations

from amili_arm_async import auth, retry
from amili_arm_async.bulk import (
    chunking,
    control,
    delivery,
    failure_evidence,
    in_flight,
    lookups,
    polling,
    reader,
    reconcile,
    result_entries,
    result_names,
    results,
    run,
    runner,
)
from amili_arm_async.bulk.journal import dead_letter, matching, repeats
from amili_arm_async.bulk.journal.replay import engine, lines, plan
from amili_arm_async.bulk.journal.sqlite import contents, find_run, inspect, journal, other_runs, reconcile_store, sent_numbers, store
from amili_arm_async.nightly import money

from .mutants import Patches, edited, mutant, needs

__all__ = ["FOUND_SOON"]

FOUND_SOON = ("what_is_invalid_is_not_named", "an_invalid_record_moves_the_indexes", "the_envelope_does_not_count")
"""Mutants that are found with few seeds; `python -m tests.simulation --mutants` looks for all."""

# --- when something leaves --------------------------------------------------------------------------------------------------


@mutant
def what_is_written_late_is_not_seen() -> Patches:
    """A run does not see a batch of another one that was written after batches with larger ids."""
    return [edited(other_runs.OtherRuns, "_read_new", "{batch for batch in missing if is_running and batch > last - _NEWEST}", "set()")]


@mutant
def what_cant_be_sent_was_not_sent() -> Patches:
    """A record that can't be sent is called not sent at the end of a run, though an earlier attempt sent something with its number."""
    return [edited(in_flight.BatchTracker, "name_invalid", " or self._recorder.is_resumed", "")]


@mutant
def an_old_intent_is_good_enough() -> Patches:
    """A batch leaves however long ago it was recorded as about to be sent."""
    return [(delivery, "_is_late", lambda _: False)]


@needs("probe_fails")
@mutant
def a_probe_that_fails_is_an_answer() -> Patches:
    """After an unknown outcome, an answer of an overloaded service is as good as any."""
    old = 'elif attempt.rule is not None and attempt.rule.probe == "answered":'
    return [edited(control.RunControl, "wait_for_answer", old, "elif attempt.rule is not None:")]


@needs("old_tokens")
@mutant
def a_token_that_was_refused_stays() -> Patches:
    """A token that was refused is used again."""
    return [(auth.ClientCredentials, "invalidate", lambda self, token: None)]


@needs("elsewhere")
@mutant
def a_run_may_go_to_another_address() -> Patches:
    """A run that was begun against one address goes on against another one."""
    owner, name, found = edited(find_run, "find_run", "if row[2] != name.base_url:", "if False:")
    return [(owner, name, found), (store, name, found)]


# --- what is read and cut ---------------------------------------------------------------------------------------------------


@mutant
def what_is_invalid_is_not_named() -> Patches:
    """A record that can't be sent is in no count."""
    return [edited(in_flight.BatchTracker, "refuse", "self.report.add(invalid.outcome)", "pass")]


@mutant
def a_record_that_is_too_large_is_dropped() -> Patches:
    """A record that is too large for any batch is left out."""
    return [edited(chunking.Chunker, "_add_text", "self._refuse(index, key, text, too_large)", "pass")]


@mutant
def an_invalid_record_moves_the_indexes() -> Patches:
    """A record that can't be sent leaves no gap in the indexes of those around it."""
    return [edited(chunking, "_joined", "indexes.stop == more.start", "True")]


@mutant
def the_envelope_does_not_count() -> Patches:
    """What stands around the records does not count for the size of a batch."""
    return [edited(chunking.Chunker, "__init__", "self._most = max_bytes - overhead", "self._most = max_bytes")]


@mutant
def what_cant_be_sent_is_waited_for() -> Patches:
    """Where a slow source has given only what can't be sent, the reader asks again and again whether it has waited long enough."""
    return [edited(reader.Reader, "next_batch", "self._after_read()", "pass")]


@needs("stop_after")
@mutant
def failures_are_never_too_many() -> Patches:
    """A run goes on however many of its records fail."""
    return [(in_flight.BatchTracker, "_check_failures", lambda self: None)]


# --- reports, dead letters, money -------------------------------------------------------------------------------------------


@mutant
def a_source_that_was_cut_was_read() -> Patches:
    """A report says that the source was read to its end, whatever ended the run."""
    old = "self._report.source_exhausted = self._source.exhausted"
    return [edited(runner.BulkRunner, "_close", old, "self._report.source_exhausted = True")]


@mutant
def the_rest_of_a_list_is_not_named() -> Patches:
    """Where a failure ends a run, what it did not read of a list has no state."""
    return [edited(reader.Reader, "stop", "self._reads_on = reads_on and self._source.ends", "self._reads_on = False")]


@needs("dead_letter")
@mutant
def lines_of_other_runs_are_lost() -> Patches:
    """A dead letter has the lines of the last run alone."""
    return [edited(dead_letter.DeadLetter, "_others", "if not line.startswith(self._head):", "if False:")]


@needs("money")
@mutant
def all_money_is_of_one_currency() -> Patches:
    """The totals of documents that are read together are of the currency of the first."""
    return [edited(money.MoneyObserver, "on_read", "numbers[0] if alike else numbers", "numbers[0]")]


@needs("replay", "dead_letter")
@mutant
def a_replay_takes_out_all_that_it_sent() -> Patches:
    """A replay takes out each line that it sent, whatever became of it."""
    old = "self.table.mark_left(numbers[failure.index], Outcome(failure.state, failure.reason, failure.message))"
    return [edited(engine.Replay, "_take_report", old, "pass")]


# --- look-ups and results ---------------------------------------------------------------------------------------------------


@needs("narrow", "look_up_blind_to_long")
@mutant
def a_short_number_proves_for_long_ones() -> Patches:
    """That a short number is found proves that longer ones would be."""
    old = "{form for form in forms if form.length > self._proved.get(form.kind, 0)}"
    return [edited(lookups.LookUpProofs, "missing", old, "{form for form in forms if not self._proved.get(form.kind, 0)}")]


@needs("narrow", "look_up_blind_to_blanks")
@mutant
def another_spelling_is_as_good() -> Patches:
    """A number that was sent with a blank, and is not found without it, is absent."""
    return [(lookups, "is_written", lambda *_, **__: True)]


@needs("result_gone")
@mutant
def a_result_that_was_not_there_once_is_gone() -> Patches:
    """A result that is not there when it is first asked for is gone."""
    return [edited(polling.Poller, "_evaluate", "if batch.gone > 1 else None", "if batch.gone > 0 else None")]


@needs("results_away")
@mutant
def a_deadline_is_never_over() -> Patches:
    """A result is waited for however long it takes."""
    return [edited(polling.Poller, "_poll", "if outcomes is None and now - batch.accepted_at >= self._options.deadline:", "if False:")]


@needs("rare_result", "record_fails")
@mutant
def entries_are_in_the_order_of_the_records() -> Patches:
    """Entries in another order than the records are taken for those at their places."""
    return [edited(result_entries.Entries, "_positions", "return [at[key] for key in wanted]", "return range(len(names))")]


@needs("narrow", "rare_result", "record_fails")
@mutant
def a_failure_of_some_is_one_of_all() -> Patches:
    """A batch of which a result says FAILED, and that one record failed, failed as a whole."""
    return [edited(results.Reading, "_rest", "some = named or", "some = False and named or")]


@needs("narrow", "rare_result", "record_fails")
@mutant
def a_sentence_says_nothing() -> Patches:
    """A message that some of the records were processed says nothing against a word of success."""
    return [edited(failure_evidence._Walk, "_message", "or names_failure(text)", "")]


@needs("rare_result", "record_fails")
@mutant
def a_failure_is_of_the_next_index() -> Patches:
    """A failure that names its record by an index from 0 is that of the next one."""
    return [edited(result_names.RecordNames, "_at", "return [position]", "return [(position + 1) % self._records]")]


# --- what is there before a record leaves -----------------------------------------------------------------------------------


@needs("run_id", "restore")
@mutant
def what_another_run_has_queued_stays_in_the_batch() -> Patches:
    """On a stale journal, what another run has queued is not looked up, and stays in the batch: it is sent where that one gives it up."""
    old = "looked_up = {**looked_up, **decisions.elsewhere} if looked_up is not None else None"
    return [edited(journal.SqliteRunJournal, "decide", old, "pass")]


@needs("resend_absent")
@mutant
def what_is_sent_again_is_there_before_it_leaves() -> Patches:
    """A batch that is to be sent again is in the journal beside the one that it replaces, until it leaves."""
    new = "self.resends.add(new); self.enter(connection, new, batch)"
    return [edited(store.RunStore, "enter_again", "self.resends.add(new)", new)]


@needs("resend_absent", "reconcile", "dead_letter")
@mutant
def what_was_to_be_sent_again_is_in_no_row() -> Patches:
    """Where a run is cut off before what is absent leaves again, that is not sent, and what it was to replace hides it."""
    _, name, hide = edited(contents, "hide_unsent", "[entry for entry in earlier if entry.position not in gone(entry.batch)]", "earlier")
    old = "in_flight.before if in_flight.before is not None and not in_flight.attempts else reason"
    return [(store, name, hide), edited(in_flight.BatchTracker, "stopped", old, "reason")]


@mutant
def a_number_has_a_row_of_its_own() -> Patches:
    """A document that could not be compared has a row beside the earlier one with its number."""
    _, name, hide = edited(contents, "hide_unsent", 'is_one = not name.startswith("#")', "is_one = False")
    return [(store, name, hide)]


@needs("forgets", "respelled")
@mutant
def what_has_no_number_is_compared_by_its_text() -> Patches:
    """A document without a number that succeeded, and is written otherwise, is not known again where its text was not kept."""
    _, name, decide = edited(contents, "decide_unsent", "not prints or keys[place] is None", "not prints")
    return [(store, name, decide)]


@needs("respelled", "dead_letter")
@mutant
def what_was_compared_conflicts_with_itself() -> Patches:
    """A document that is written otherwise, and was compared before its run was cut off, has other content than itself."""
    _, name, decide = edited(contents, "decide_unsent", "is_known or entry.claimed is not None or", "is_known or")
    return [(store, name, decide)]


# --- where drawn stories hardly ever go: see narrow.py ----------------------------------------------------------------------


@needs("changed", "stop_after")
@mutant
def a_conflict_of_the_rest_is_not_written() -> Patches:
    """Where a run has stopped, a conflict of what had no turn is in its report, and not in its journal and its dead letter."""
    return [edited(in_flight.BatchTracker, "name", 'outcome.state == "invalid"', 'outcome.state == "blocked"')]


@needs("narrow", "silence_before")
@mutant
def trouble_is_never_over() -> Patches:
    """The patience of a run is counted from its first trouble on, though batches were accepted since."""
    return [edited(control.RunControl, "is_answered", "self._trouble_since = None", "pass")]


@needs("bare")
@mutant
def what_comes_twice_in_a_batch_is_sent_twice() -> Patches:
    """Without a journal, a number that comes twice in one batch is sent twice."""
    return [edited(repeats.Repeats, "_find", "        known.add(name)\n", "")]


@needs("narrow", "odd_status_after")
@mutant
def a_499_proves_that_nothing_was_taken() -> Patches:
    """A 499 counts as a refusal."""
    return [(retry, "_RULES", {**retry._RULES, 499: retry._RULES[499]._replace(proof=retry.Proof.NOT_TAKEN)})]


@needs("narrow", "look_up_blind_to_long", "record_fails")
@mutant
def one_form_that_is_found_is_enough() -> Patches:
    """A batch is sent again where numbers of one of its forms are found, whatever others it has."""
    old = "_without_proof(forms & missing)"
    return [edited(reconcile.Reconciler, "_send_absent_again", old, "_without_proof(missing if forms <= missing else frozenset())")]


@needs("narrow", "deadline", "settle", "resend_absent")
@mutant
def a_short_time_to_settle_counts() -> Patches:
    """A time to settle that is shorter than the deadline of an earlier attempt counts, also where absent documents are sent again."""
    _, name, settle = edited(lookups, "settle_time", "settle is not None and settle > deadline", "settle is not None")
    return [(reconcile, name, settle)]


@needs("narrow", "deadline", "look_up_lags")
@mutant
def the_last_deadline_counts() -> Patches:
    """The deadline of the last attempt counts, also where an earlier one gave more time."""
    return [edited(store.RunStore, "begin", "CASE WHEN deadline < ? THEN ? ELSE deadline END", "coalesce(?, ?)")]


@needs("restore", "resend_absent", "silence_before", "look_up_lags")
@mutant
def a_stale_journal_knows_its_attempts() -> Patches:
    """On a stale journal, what is absent is sent again when the attempt that it knows has settled, and not the one that it does not."""
    old = "if self._settings.resend_absent)]"
    return [edited(reconcile.Reconciler, "_wait_until_settled", old, "if not self._settings.resend_absent)]")]


@needs("restore", "look_up_lags")
@mutant
def the_earliest_stale_time_counts() -> Patches:
    """Of several times at which a stale journal may have been used, the earliest one counts."""
    return [edited(reconcile.StaleJournalCheck, "_absent", "max((since.sent for", "min((since.sent for")]


# --- what is written late, or by half ---------------------------------------------------------------------------------------


@needs("narrow", "freeze_at", "kill_at")
@mutant
def a_refusal_is_written_later() -> Patches:
    """That an attempt was refused may be written after the intent of the next one."""
    old = "self._put if self._key.safe and not self._only_latest else self._put_urgent"
    return [edited(journal.SqliteRunJournal, "requeue", old, "self._put")]


@needs("narrow", "bad_data")
@mutant
def a_split_is_written_later() -> Patches:
    """That a batch was split may be written after the intents of its parts."""
    return [edited(journal.SqliteRunJournal, "split", "self._put if self._key.safe else self._put_urgent", "self._put")]


@needs("narrow", "record_fails")
@mutant
def one_replaces_all_that_are_equal() -> Patches:
    """A document without a number replaces all equal ones that were not taken."""
    owner, name, decide = edited(matching, "decide_document", "(free if numbered else free[:1])", "free")
    return [(owner, name, decide), (store, name, decide)]


@needs("prune", "run_id")
@mutant
def kept_numbers_are_in_the_wrong_order() -> Patches:
    """The numbers that a pruned run leaves are in the wrong order, and not all of them are found."""
    old = "ORDER BY length(name), name"
    owner, name, keep = edited(sent_numbers, "keep_numbers", old, "ORDER BY length(name), name DESC")
    return [(owner, name, keep), (inspect, name, keep)]


@needs("dead_letter", "bad_data")
@mutant
def what_was_sent_again_has_two_lines() -> Patches:
    """A record that failed and was sent again has a line in the dead letter for each time."""
    return [edited(dead_letter.DeadLetter, "_lines_of", " or position in batch.replaced", "")]


@needs("replay", "takes_away")
@mutant
def a_replay_needs_no_journal() -> Patches:
    """A replay sends documents whose journal is gone."""
    old = 'return "stay" if letter.is_document and group.journal is not None else "adopt"'
    return [
        edited(plan, "_action", old, 'return "adopt"'),
        edited(plan.ReplayPlan, "make", "elif group.is_document and group.journal is not None:", "elif False:"),
    ]


# --- who is cancelled -------------------------------------------------------------------------------------------------------


@needs("narrow", "cancel_on_commit")
@mutant
def a_202_is_recorded_unshielded() -> Patches:
    """A run that is cancelled between a 202 and its record does not wait for that."""
    return [edited(delivery.BatchSender, "_is_first", "CancelScope(shield=True)", "CancelScope(shield=False)")]


@needs("narrow", "streamed", "cancel_at")
@mutant
def a_program_that_is_cancelled_does_not_wait() -> Patches:
    """A program that is cancelled while it leaves a run does not wait until that has ended."""
    return [edited(run, "_wait_for", "await asyncio.gather(task, return_exceptions=True)", "await asyncio.sleep(0)")]


@needs("narrow", "cancel_on_commit", "resend_absent")
@mutant
def what_is_sent_again_is_taken_out_too_early() -> Patches:
    """The records of a batch that is sent again are taken out before it is written down: a cancellation meanwhile loses them."""
    return [edited(reconcile_store.SqliteReconcileStore, "enter_again", "self._deferred.of(batch)", "self._deferred.take(batch)")]


@needs("narrow", "cancel_at")
@mutant
def a_cancelled_begin_keeps_the_lock() -> Patches:
    """A run that is cancelled while it begins keeps its lock."""
    return [edited(journal.SqliteRunJournal, "begin", "        thread.finish()\n", "        pass\n")]


@mutant
@needs("narrow", "replay", "record_fails")
def equal_lines_are_not_told_apart() -> Patches:
    """A replay takes the line of one of equal documents for that of another one, which succeeded."""
    return [(lines, "_EQUAL_SENT", "SELECT 1 WHERE :grp = -1")]


@mutant
@needs("narrow", "look_up_fails", "reconcile")
def what_was_taken_in_part_may_be_absent() -> Patches:
    """The rest of a batch of which a document was found in an earlier reconcile is sent again where it is not found."""
    return [edited(reconcile.Reconciler, "_reconcile_batch", "proved_before or batch.was_accepted or any(", "proved_before or any(")]


@mutant
@needs("repeated_uuid", "swapped_result", "slow_processing", "record_fails")
def a_shared_result_goes_by_positions() -> Patches:
    """The result of a batchUuid that two batches have says by its positions what became of the records of both."""
    return [edited(results.Reading, "outcomes", "complete=complete and not shared, shared=shared", "complete=complete, shared=False")]


@mutant
@needs("narrow", "other_result", "record_fails")
def a_later_result_replaces_what_is_known() -> Patches:
    """A result that another attempt reads replaces what an earlier one said of a record."""
    return [edited(journal, "_narrowed", 'if known.state == "accepted" else known', "")]
