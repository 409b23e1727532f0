"""Faults that the product once had, or might have: each a patch that takes a mend out. The simulation must find them."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import textwrap
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

from amili_arm_async import attempts, clock, connections, retry, transport
from amili_arm_async.bulk import (
    chunking,
    control,
    delivery,
    in_flight,
    limits,
    lookups,
    number_forms,
    polling,
    reconcile,
    results,
    run,
    runner,
    source,
    workers,
)
from amili_arm_async.bulk.chunking import Batch
from amili_arm_async.bulk.journal import matching
from amili_arm_async.bulk.journal.sqlite import contents, find_run, in_order, index, journal, mark, other_runs, store
from amili_arm_async.bulk.journal.sqlite import inspect as inspect_journal
from amili_arm_async.bulk.outcomes import Outcome
from amili_arm_async.errors import ArmError
from amili_arm_async.retry import Proof

__all__ = ["MUTANTS", "NEEDS", "edited", "mutant", "mutated", "needs"]

Patches = list[tuple[Any, str, Any]]
MUTANTS: dict[str, Callable[[], Patches]] = {}
"""By name, what returns the patches: the owner, the name and the value."""


NEEDS: dict[str, frozenset[str]] = {}
"""What must be in a story that can find a mutant: others are passed over."""


def mutant(make: Callable[[], Patches]) -> Callable[[], Patches]:
    """Registers a function that returns patches; its docstring says what is wrong with them."""
    MUTANTS[make.__name__] = make
    return make


def needs(*features: str) -> Callable[[Callable[[], Patches]], Callable[[], Patches]]:
    """Says what must be in a story that can find the mutant."""

    def register(make: Callable[[], Patches]) -> Callable[[], Patches]:
        NEEDS[make.__name__] = frozenset(features)
        return make

    return register


@contextlib.contextmanager
def mutated(name: str) -> Iterator[None]:
    """Within it the product has the fault of that name."""
    with contextlib.ExitStack() as stack:
        for owner, attribute, value in MUTANTS[name]():
            stack.enter_context(mock.patch.object(owner, attribute, value, create=not hasattr(owner, attribute)))
        yield


def edited(owner: Any, name: str, old: str, new: str) -> tuple[Any, str, Any]:
    """Returns the patch of a function with another text in one place, as somebody might change it."""
    function = inspect.getattr_static(owner, name)
    is_static = isinstance(function, staticmethod)
    function = function.__func__ if is_static else function
    text = textwrap.dedent(inspect.getsource(function)).replace("@staticmethod\n", "")
    if text.count(old) != 1:
        raise LookupError(f"{name} has {text.count(old)} times {old!r}: the mutant must be written anew")
    made: dict[str, Any] = {}
    exec(f"from __future__ import annotations\n{text.replace(old, new)}", function.__globals__, made)
    return owner, name, staticmethod(made[name]) if is_static else made[name]


# --- connections ------------------------------------------------------------------------------------------------------------


@mutant
def no_batch_can_be_written() -> Patches:
    """No batch can be written to the journal, so that each run ends with an error: as with Python 3.11.2, once."""

    def fail(*_: Any) -> None:
        raise OverflowError("Python int too large to convert to C int")

    return [(store.RunStore, "_write_body", fail)]


@mutant
def early_answer_keeps_its_connection() -> Patches:
    """A connection whose answer came before its request had left is used again."""

    def feed_data(self: Any, data: Any, size: int = 0) -> None:
        message, payload = data
        if self.exchange is not None and message.code >= 200:
            if self.exchange.answered:
                self.force_close()
            else:
                self._answer = payload
                self.exchange.answer_comes(self.transport)
        super(connections._Watched, self).feed_data(data, size)

    return [(connections._Watched, "feed_data", feed_data), (connections, "_leaves_doubt", lambda *_: False)]


@mutant
def a_cancelled_close_leaves_sessions() -> Patches:
    """A client that is cancelled while it closes leaves the other connections open."""

    async def close(self: Any) -> None:
        sessions, self._own = self._own, {}
        for session in sessions.values():
            await session.close()

    return [(connections.Connections, "close", close)]


@mutant
def an_answer_in_doubt_keeps_its_connection() -> Patches:
    """A connection is used again whose answer does not tell what became of the batch: the real answer may still follow."""
    return [(connections, "_leaves_doubt", lambda *_: False)]


@mutant
def idle_bytes_are_an_answer() -> Patches:
    """Bytes that arrive on an idle connection are taken for the answer to the next request."""

    def data_received(self: Any, data: bytes) -> None:
        super(connections._Watched, self).data_received(data)

    return [(connections._Watched, "data_received", data_received), (connections._Watched, "has_more", lambda self: False)]


# --- delivery: what an attempt proves ---------------------------------------------------------------------------------------


@mutant
def no_answer_is_not_sent() -> Patches:
    """A request without an answer counts as one that was never sent."""
    real = attempts.evaluate

    def evaluate(*arguments: Any) -> Any:
        attempt = real(*arguments)
        is_silent = attempt.response is None and attempt.proof is Proof.AMBIGUOUS
        return attempts.Attempt(Proof.NOT_SENT, attempt.reason, error=attempt.error) if is_silent else attempt

    return [(transport, "evaluate", evaluate)]


@mutant
def ambiguous_is_repeated() -> Patches:
    """Documents are sent again where it is not known whether they were accepted."""

    def action_after(self: Any, attempt: Any) -> str:
        return retry.after_batch(attempt.proof, safe=True, status=attempt.status)

    return [(delivery.BatchSender, "_action_after", action_after)]


@mutant
def a_5xx_proves_that_nothing_was_taken() -> Patches:
    """Any 5xx counts as a refusal."""
    not_taken = {5: retry._OTHERS[5]._replace(proof=Proof.NOT_TAKEN)}
    return [(retry, "_OTHERS", {**retry._OTHERS, **not_taken})]


@mutant
def a_cut_answer_is_a_refusal() -> Patches:
    """A 2xx whose body was cut off counts as a refusal."""
    real = attempts.evaluate

    def evaluate(request: Any, result: Any, *arguments: Any) -> Any:
        attempt = real(request, result, *arguments)
        is_cut = attempt.reason == "answer cut off" and not request.endpoint.is_read
        return attempts.Attempt(Proof.NOT_SENT, attempt.reason) if is_cut else attempt

    return [(transport, "evaluate", evaluate)]


@mutant
def a_repeated_uuid_is_believed() -> Patches:
    """A batchUuid that another batch has counts as that of this batch, too."""

    def accepted(self: Any, connection: Any, id: int, batch_uuid: str, now: Any, *, is_first: bool) -> bool:
        update = "UPDATE batches SET state = 'open', uuid = ?, accepted = ?, accepted_boot = ?, accepted_service = ? WHERE id = ?"
        connection.execute(update, (batch_uuid, now.wall, now.boot, now.service, id))
        return True

    return [(limits.BatchUuids, "register", lambda *_: True), (store.RunStore, "accepted", accepted)]


@mutant
def a_cancelled_run_names_all_as_not_sent() -> Patches:
    """What was on the wire when a run was cancelled is `not_sent`."""
    return [(in_flight.BatchTracker, "stopped", staticmethod(lambda _, reason: reason))]


@mutant
def halves_are_the_same_half() -> Patches:
    """A batch that is too large is sent as its first half, twice."""

    def halves(self: Batch) -> tuple[Batch, Batch]:
        middle = (len(self) + 1) // 2
        first = self.only(range(middle))
        return first, self.only(range(len(self) - middle)) if len(self) - middle else first

    return [(Batch, "halves", halves)]


@needs("narrow", "order", "resend_absent")
@mutant
def as_many_records_are_the_same_records() -> Patches:
    """Some records of a batch in another order are taken for the batch as it is: indexes, keys and texts no longer belong together."""
    real = Batch.only
    return [(Batch, "only", lambda self, positions: self if len(positions) == len(self) else real(self, positions))]


# --- the journal ------------------------------------------------------------------------------------------------------------


@mutant
def the_intent_is_not_on_the_disk() -> Patches:
    """The first byte leaves before it is written down that it will."""

    async def before_send(self: Any, in_flight: Any) -> Any:
        self._put(
            lambda connection: self._store.before_send(
                connection, in_flight.row, in_flight.batch, in_flight.attempts + 1, self._stamp(), was_ambiguous=in_flight.was_ambiguous
            )
        )
        return {}

    return [(journal.SqliteRunJournal, "before_send", before_send)]


@mutant
def crashed_is_not_sent() -> Patches:
    """What was being sent when a process was killed counts as not sent."""
    return [(store, "CRASHED", Outcome("not_sent", "crashed", "the process ended"))]


@mutant
def a_resume_forgets_what_was_sent() -> Patches:
    """A resumed run deletes what is unknown, too."""
    real = store.RunStore._forget_unsent

    def forget(self: Any, connection: Any) -> None:
        connection.execute("UPDATE batches SET tries = 0, sent = NULL WHERE state = 'settled' AND final = 'unknown'")
        real(self, connection)

    return [(store.RunStore, "_forget_unsent", forget)]


@mutant
def all_that_was_read_was_done_before() -> Patches:
    """A resumed run takes each batch of the source for one that succeeded."""
    return [(in_order.DoneInOrder, "claim", lambda self, batch: True)]


@mutant
def in_order_whatever_the_content() -> Patches:
    """A resumed run compares only how many records there are, and not which."""

    def claim(self: Any, batch: Any) -> bool:
        if self._at == len(self._names) and not self._load():
            return False
        if len(self._names) - self._at < len(batch):
            return False
        self._claimed.setdefault(self._batch, []).extend(in_order._ranges(batch.indexes))
        self._at += len(batch)
        return True

    return [(in_order.DoneInOrder, "claim", claim)]


@mutant
def unknown_is_sent_again() -> Patches:
    """A resumed run sends again what may be with the server."""
    return [(matching, "ENTRY_MAY_BE_ON_SERVER", matching.ENTRY_MAY_BE_ON_SERVER - {"unknown"})]


@mutant
def accepted_is_sent_again() -> Patches:
    """A resumed run sends again what was accepted and has no result."""
    return [(matching, "ENTRY_MAY_BE_ON_SERVER", matching.ENTRY_MAY_BE_ON_SERVER - {"accepted", "open"})]


@mutant
def a_repeated_number_is_sent() -> Patches:
    """A documentNo that comes twice in a source is sent twice."""
    real = matching.decide_document

    def decide(entries: Any, content: int, place: int, *, numbered: bool) -> Any:
        return real([entry for entry in entries if entry.claimed is None], content, place, numbered=numbered)

    return [(store, "decide_document", decide)]


@mutant
def another_content_is_the_same_document() -> Patches:
    """A document with the number of one that was sent is taken for it, whatever it says."""
    real = matching.decide_document

    def decide(entries: Any, content: int, place: int, *, numbered: bool) -> Any:
        for entry in entries:
            entry.content = content
        return real(entries, content, place, numbered=numbered)

    return [(store, "decide_document", decide)]


@mutant
def equal_documents_are_one() -> Patches:
    """Documents without a number that say the same are claimed by one entry of the journal."""

    def claim(entry: Any, place: int) -> Any:
        return entry

    return [(matching, "_claim", claim)]


@mutant
def numbers_of_other_runs_are_ignored() -> Patches:
    """A document that another run of the journal has sent is sent again."""
    return [(other_runs.OtherRuns, "find", lambda *_: {})]


@mutant
def numbers_are_compared_with_their_case() -> Patches:
    """`d1` and `D1` are two numbers."""
    return [
        (index, "keyed_name", lambda key: f"key {key}"),
        (in_order, "keyed_names", lambda keys: [f"key {key}" for key in keys if key is not None]),
        (journal, "without_case", lambda keys: [key for key in keys if key is not None]),
    ]


@mutant
def an_old_journal_is_believed() -> Patches:
    """A journal that was put back from a copy is taken for one that is up to date."""
    return [(mark, "_why", lambda *_: None)]


@needs("restore")
@mutant
def the_mark_is_written_once() -> Patches:
    """The mark beside a journal does not say how often documents were sent since."""

    def intent(self: Any, connection: Any, now: Any) -> None:
        connection.execute("UPDATE file SET intents = intents + 1, sent = ?, boot = ?, boot_id = ?, service = ?", now)

    return [(mark.JournalMark, "intent", intent)]


@mutant
def a_stale_journal_looks_nothing_up() -> Patches:
    """On a stale journal what was found is sent all the same."""

    async def outcomes(*_: Any) -> dict[int, Outcome]:
        return {}

    return [(reconcile.StaleJournalCheck, "outcomes", outcomes)]


@needs("narrow", "order", "resend_absent")
@mutant
def a_resend_has_the_places_of_others() -> Patches:
    """Documents that are resent after the source changed its order have the indexes of others."""
    real = store.RunStore.enter_again

    def enter_again(self: Any, connection: Any, *, old: int, new: int, records: Any) -> Any:
        mixed = list(zip((place for place, _ in records), sorted(position for _, position in records), strict=True))
        return real(self, connection, old=old, new=new, records=mixed)

    return [(store.RunStore, "enter_again", enter_again)]


# --- results ----------------------------------------------------------------------------------------------------------------


@mutant
def failed_counts_as_done() -> Patches:
    """A record whose result is a failure succeeded."""
    real = results.Reading._outcome_of

    def outcome_of(self: Any, entry: Any) -> Outcome:
        found = real(self, entry)
        return Outcome("succeeded") if found.state == "failed" else found

    return [(results.Reading, "_outcome_of", outcome_of)]


@mutant
def one_failure_fails_all() -> Patches:
    """A batch with a failed record failed as a whole."""
    real = results.Reading.outcomes

    def outcomes(self: Any, keys: Any, **settings: Any) -> Any:
        common, others = real(self, keys, **settings)
        failed = [one for one in others.values() if one.state == "failed"]
        return (failed[0], {}) if failed else (common, others)

    return [(results.Reading, "outcomes", outcomes)]


@mutant
def a_result_that_is_gone_is_a_failure() -> Patches:
    """A batch whose result is gone failed, so its records may be sent again."""
    real = polling.Poller._evaluate

    def evaluate(self: Any, batch: Any, attempt: Any) -> Any:
        found = real(self, batch, attempt)
        return (Outcome("failed", "gone"), {}) if found is not None and found[0].reason == "result_gone" else found

    return [(polling.Poller, "_evaluate", evaluate)]


@mutant
def an_odd_result_is_a_success() -> Patches:
    """A batch whose result has an unknown word succeeded."""
    return [(polling, "_unrecognised", lambda _: Outcome("succeeded"))]


# --- look-ups ---------------------------------------------------------------------------------------------------------------


@mutant
def absent_without_a_proof() -> Patches:
    """That a document is not found is believed, though no document of such a number is ever found."""

    async def missing(*_: Any) -> set[Any]:
        return set()

    return [(lookups.LookUpProofs, "missing", missing)]


@needs("narrow", "look_up_fails", "resend_absent")
@mutant
def a_look_up_that_fails_is_absent() -> Patches:
    """A look-up that is not answered counts as one that found nothing."""
    return [(lookups, "NOT_LOOKED_UP", lookups.ABSENT)]


@mutant
def some_absent_are_all_absent() -> Patches:
    """A batch is sent again where only some of its documents are not found."""
    return [(reconcile, "all", any), (reconcile, "_no_less", lambda outcome, _: outcome)]


@mutant
def nothing_settles() -> Patches:
    """Documents are looked up at once, before they could appear."""
    return [(lookups.Settling, "left", lambda *_: 0.0)]


@needs("jump", "resend_absent")
@mutant
def the_wall_clock_alone() -> Patches:
    """The time to settle is measured by the wall clock, which anybody can set."""
    return [(clock.Stamp, "passed", lambda self, now: max(0.0, now.wall - self.wall))]


@needs("changed", "restore")
@mutant
def any_content_is_the_document() -> Patches:
    """A document that is found under the number is taken for the one that was sent, whatever it says."""
    return [(lookups, "same_content", lambda *_: True)]


@mutant
def what_was_not_compared_is_not_sent() -> Patches:
    """What a resumed run did not compare with its journal is `not_sent`, whatever an earlier attempt did."""
    return [(in_flight, "_NOT_COMPARED", Outcome("not_sent", "journal", "the journal failed"))]


@mutant
def other_content_under_a_sent_number_is_not_sent() -> Patches:
    """A document that had no turn is `not_sent`, though an earlier attempt sent its number with other content."""
    return [(contents, "OTHER_CONTENT", Outcome("not_sent", "stopped"))]


@mutant
def what_a_stale_journal_does_not_know_is_not_sent() -> Patches:
    """A document that had no turn is `not_sent`, though the journal does not know all that was sent with it."""
    return [(in_flight, "_STALE", Outcome("not_sent", "stopped"))]


@mutant
def results_of_an_earlier_attempt_are_not_read() -> Patches:
    """A resumed run does not ask for the results of batches that an earlier attempt left open."""

    async def reopen(self: Any) -> None:
        pass

    return [(runner.BulkRunner, "_reopen", reopen)]


@mutant
def an_outcome_is_told_twice() -> Patches:
    """The program gets each outcome twice."""
    real = in_flight.OutcomeQueue.put

    def put(self: Any, outcome: Any) -> None:
        real(self, outcome)
        real(self, outcome)

    return [(in_flight.OutcomeQueue, "put", put)]


@mutant
def a_look_up_finds_nothing() -> Patches:
    """A document that a look-up finds is taken for one that is absent, and sent again where that is allowed."""
    return [(lookups, "FOUND", lookups.ABSENT)]


@mutant
def a_batch_is_too_large() -> Patches:
    """A batch may have one record more than allowed."""
    real = chunking.Chunker.__init__

    def init(self: Any, *arguments: Any, **settings: Any) -> None:
        real(self, *arguments, **{**settings, "max_records": settings["max_records"] + 1})

    return [(chunking.Chunker, "__init__", init)]


@mutant
def a_failed_journal_knows_all_batch_uuids() -> Patches:
    """An answer whose batchUuid the journal can't compare is believed."""
    real = delivery.BatchSender._is_first

    async def is_first(self: Any, in_flight: Any, receipt: Any) -> bool:
        try:
            return await real(self, in_flight, receipt)
        except ArmError as exc:
            self._control.stop_for_journal(exc)
            return True

    return [(delivery.BatchSender, "_is_first", is_first)]


@mutant
def a_second_cancellation_leaves_the_run() -> Patches:
    """A program that takes the outcomes one by one and is cancelled twice leaves the run behind."""

    async def wait_for(task: Any, *, is_cancelled: bool) -> None:
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if not task.done():
                task.cancel()
                await asyncio.wait([task])
            if asyncio.current_task().cancelling():  # type: ignore[union-attr]
                raise

    return [(run, "_wait_for", wait_for)]


# --- a line that is left out, a check that is turned round ------------------------------------------------------------------


@mutant
def what_is_not_recorded_leaves() -> Patches:
    """A request leaves also where its intent could not be recorded."""
    return [edited(transport.Transport, "_attempt", "if not await starts():", "if not await starts() and False:")]


@mutant
def a_failed_journal_lets_all_leave() -> Patches:
    """Where the intent can't be recorded, the batch is sent all the same."""
    return [edited(delivery.BatchSender, "_record_intent", "self._control.stop_for_journal(exc)\n        return False", "return True")]


@mutant
def a_number_of_this_source_is_not_noted() -> Patches:
    """A resumed run does not note which numbers it has sent."""
    return [edited(store.RunStore, "decide", "found[name].append(entry)", "pass")]


@needs("together")
@mutant
def neither_of_two_runs_sends() -> Patches:
    """What another run sends is not hidden from it: each of two runs leaves it to the other."""
    old = 'connection.executemany("INSERT INTO superseded VALUES (?, ?) ON CONFLICT DO NOTHING", [(id, position) for position in sent])'
    return [edited(store.RunStore, "enter", old, "pass")]


@mutant
def what_is_withheld_has_no_identity() -> Patches:
    """Of a document without number that a stale journal does not let leave, the row of an earlier attempt stays, too."""
    return [edited(store.RunStore, "_enter_withheld", "self._names_without_key(batch.keys, batch.texts)", "{}")]


@mutant
def what_was_sent_again_is_not_replaced() -> Patches:
    """A document that is sent again is in the journal twice."""
    return [(store.RunStore, "_supersede", staticmethod(lambda connection, replaced: None))]


@mutant
def an_outcome_is_not_recorded() -> Patches:
    """The outcome of a batch is in the report, and not in the journal."""
    return [(journal.SqliteRunJournal, "settled", lambda *_: None)]


@mutant
def pending_is_final() -> Patches:
    """A batch whose result is still to come is done."""
    return [edited(polling.Poller, "_read", "if batch.last.is_final:", "if True:")]


@needs("narrow", "other_result", "record_fails")
@mutant
def a_list_that_is_too_short_is_of_all() -> Patches:
    """Where a list of successes does not say whose they are, fewer of them than records are a success of all."""
    return [edited(results.Reading, "_rest", "short |= complete and 0 < len(speaking) < records", "pass")]


@mutant
def results_are_of_the_next_record() -> Patches:
    """What a result says of a record is taken for what it says of the next one."""
    real = results.Reading.outcomes

    def outcomes(self: Any, keys: Any, **settings: Any) -> Any:
        common, others = real(self, keys, **settings)
        return common, {(position + 1) % max(1, len(keys)): one for position, one in others.items()}

    return [(results.Reading, "outcomes", outcomes)]


@mutant
def a_part_has_the_first_indexes() -> Patches:
    """Some records of a batch get the indexes of its first ones."""
    real = Batch.only

    def only(self: Batch, positions: Any) -> Batch:
        part = real(self, positions)
        return Batch(part.number, self.indexes[: len(part)], part.keys, part.pieces, part.size, part.fingerprints)

    return [(Batch, "only", only)]


@needs("bare", "cached_answer")
@mutant
def a_batch_uuid_is_not_remembered() -> Patches:
    """Without a journal, a batchUuid that another batch has is believed."""
    return [(limits.BatchUuids, "register", lambda *_: True)]


@needs("narrow", "cancel_on_commit", "cached_answer")
@mutant
def a_cancelled_run_believes_a_batch_uuid() -> Patches:
    """A run that is cancelled before the journal has compared a batchUuid calls its batch accepted."""
    real = delivery.BatchSender._is_first

    async def is_first(self: Any, batch: Any, receipt: Any) -> bool:
        batch.receipt = receipt
        found = await real(self, batch, receipt)
        batch.receipt = receipt if found else None
        return found

    class Open:
        def __init__(self, **_: Any) -> None:
            pass

        def __enter__(self) -> None:
            pass

        def __exit__(self, *_: object) -> None:
            pass

    fake = mock.Mock(wraps=delivery.anyio, CancelScope=Open)
    return [(delivery.BatchSender, "_is_first", is_first), (delivery, "anyio", fake)]


@needs("restore")
@mutant
def a_result_that_comes_meanwhile_is_not_seen() -> Patches:
    """Where a stale journal does not let records leave, the result of what an earlier attempt sent may arrive unseen."""
    # As `edited` finds it: without the indent of the class.
    kept = """\
        if part is not None and withheld:
            row, part = await self._keep_back(row, part, looked_up)
"""
    read = """\
        # As the last: a result that arrives later finds what waits for it.
        earlier = await self._outcomes(decisions)
"""
    return [edited(journal.SqliteRunJournal, "decide", kept + read, read + kept)]


@needs("narrow", "cancel_on_commit", "resend_absent")
@mutant
def a_cancelled_reconcile_does_not_wait() -> Patches:
    """A reconcile that is cancelled while the journal records a batchUuid calls its batch unknown."""
    started = "async with anyio.create_task_group() as group:\n        group.start_soon(reconciler.run)"
    return [edited(runner.BulkRunner, "_reconcile", started, "await reconciler.run()")]


@needs("cancel_again")
@mutant
def the_rest_is_forgotten() -> Patches:
    """Records that had no turn when a run ended are not named."""
    return [edited(runner.BulkRunner, "_close", "self._tracker.not_sent(batch, reason, is_compared=False)", "pass")]


@needs("cached_answer")
@mutant
def a_power_cut_takes_the_batch_uuid() -> Patches:
    """The batchUuid of documents is not on the disk when their batch counts as accepted."""
    return [edited(journal.SqliteRunJournal, "accepted", " if self._key.safe else self._thread.call_urgent", "")]


@mutant
@needs("given_as")
def a_record_is_what_it_is_later() -> Patches:
    """A record is encoded when its batch is cut, and not as it was when it was read."""
    return [edited(source.Source, "_read_sync", "into.hold if self.is_fresh else into.append", "into.hold")]


@mutant
@needs("prune")
def a_pruned_run_begins_anew() -> Patches:
    """The name of a run that was pruned can be used again."""
    begun = 'connection.execute("UPDATE runs SET pruned = NULL WHERE id = ?", (row[0],))'
    _, _, again = edited(find_run, "find_run", "raise pruned_error(path, name.run_id, name.operation, row[3])", begun)
    return [(find_run, "find_run", again), (store, "find_run", again)]


@mutant
@needs("prune", "run_id")
def a_pruned_run_leaves_no_numbers() -> Patches:
    """Other runs learn nothing of what a pruned run has sent."""
    return [(inspect_journal, "keep_numbers", lambda *_: None)]


@mutant
@needs("look_up_blind_to_slashes")
def a_proof_for_one_form_is_one_for_all() -> Patches:
    """That documents of one form of numbers are found proves that those of others are."""
    return [(number_forms.NumberForm, "kind", property(lambda _: ()))]


# --- as a colleague might write it by mistake -----------------------------------------------------------------------------------


@mutant
def after_an_unknown_all_goes_on() -> Patches:
    """Once an outcome is unknown, other batches are sent before a read was answered."""
    return [edited(control.RunControl, "begin_check", "self._answers.clear()", "pass")]


@mutant
def who_waited_for_a_turn_is_not_held() -> Patches:
    """A batch that waited for its turn is sent though an outcome has become unknown meanwhile."""
    once = edited(delivery.BatchSender, "_record_intent", "if not self._control.may_send:", "if False:")
    return [edited(delivery.BatchSender, "_try", "if not self._control.may_send:", "if False:"), once]


@needs("bad_data")
@mutant
def the_second_half_is_dropped() -> Patches:
    """Of a batch that was split, the first half is sent alone."""
    return [edited(delivery.BatchSender, "_split", "await self.deliver(right, bisection)", "pass")]


@mutant
def what_was_accepted_is_cut_off() -> Patches:
    """A batch that was accepted and whose result a run did not get is unknown, and is never asked for again."""
    return [edited(in_flight.BatchTracker, "close", "if in_flight.receipt is not None:", "if False:")]


@mutant
def a_batch_is_dropped_while_it_is_compared() -> Patches:
    """A batch that the journal is being asked about is not named where the run is cancelled."""
    return [edited(workers.Workers, "end", "return list(self._claiming.values())", "return []")]


@needs("open_batches")
@mutant
def a_slot_is_kept() -> Patches:
    """A batch that is settled still counts as open."""
    return [edited(polling.Poller, "_settle", "batch.slot.close()", "pass")]


@mutant
def what_the_index_says_is_old() -> Patches:
    """Where a result comes while a record is compared, the record has the outcome of before."""
    old = "wanted = [place for place in read_open if decisions.taken[place].batch not in self._open]"
    return [edited(journal.SqliteRunJournal, "_outcomes", old, "wanted = []")]


@needs("run_id")
@mutant
def what_another_run_has_sent_since_is_not_seen() -> Patches:
    """Of another run that goes on, only the numbers are known that it had at first."""
    return [edited(other_runs.OtherRuns, "_refresh", "self._spans.pop(run, None)", "pass")]


@needs("narrow", "other_result", "record_fails")
@mutant
def fewer_successes_are_enough() -> Patches:
    """A result that counts fewer successes than there are records is a success of all."""
    old = "short = few is not None and (few < records if complete else many is None)"
    return [edited(results.Reading, "_rest", old, "short = False")]


@needs("narrow", "other_result", "record_fails")
@mutant
def a_part_is_the_whole() -> Patches:
    """A 206 with a word of success is a success of all."""
    return [edited(results.Reading, "_rest", 'rule_of(result.http_status).poll != "partial" and ', "")]


@needs("narrow", "other_result", "record_fails")
@mutant
def evidence_does_not_count() -> Patches:
    """A count of failures says nothing against a word of success."""
    owner, name, read_all = edited(results, "read_all", "(evidence.reports_failure or entries.outcomes", "(entries.outcomes")
    return [(owner, name, read_all), (polling, name, read_all)]


@needs("narrow", "look_up_odd", "resend_absent")
@mutant
def a_web_page_is_absent() -> Patches:
    """A 404 that is a web page says that there is no document."""
    return [edited(lookups, "not_found_outcome", "return _PAGE if", "return _PAGE if False and")]


@needs("narrow", "look_up_odd", "resend_absent")
@mutant
def any_answer_is_the_document() -> Patches:
    """What a look-up is answered with is the document, whatever its number."""
    return [edited(lookups, "record_in", "_is_same(number,", "True or _is_same(number,")]


@needs("record_fails", "resend_absent")
@mutant
def others_of_the_batch_do_not_count() -> Patches:
    """What is absent is sent again, though others of its batch are known to have been taken."""
    old = "if proved_before or batch.was_accepted or any(outcome in (FOUND, CONFLICT) for outcome in unknown.values()):"
    return [edited(reconcile.Reconciler, "_reconcile_batch", old, "if proved_before:")]
