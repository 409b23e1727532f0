"""Faults of syncs, nights and lists that the product once had, or might have. The stories of their kind must find them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from amili_arm_async import paging
from amili_arm_async.bulk import delivery, in_flight, keys, reader, report, results, workers
from amili_arm_async.bulk.journal import dead_letter, deferred, matching
from amili_arm_async.bulk.journal.replay import engine, lines
from amili_arm_async.bulk.journal.sqlite import contents, in_order, journal, queries, replay, store
from amili_arm_async.bulk.outcomes import NOT_ON_SERVER, SUCCESS
from amili_arm_async.bulk.runner import BulkRunner
from amili_arm_async.nightly import blocked, customer_numbers, money, timeline
from amili_arm_async.nightly import run as nightly
from amili_arm_async.resources import bulk, concurrent, customers
from amili_arm_async.sync import delta, state
from amili_arm_async.sync import run as sync

from .mutants import Patches, edited, mutant, needs

__all__ = ["KIND_OF"]

KIND_OF: dict[str, str] = {}
"""The kind of the stories that must find a mutant; documents, where it is not in here."""


def mutant_of(kind: str) -> Callable[[Callable[[], Patches]], Callable[[], Patches]]:
    """Registers a mutant of a kind of stories."""

    def register(make: Callable[[], Patches]) -> Callable[[], Patches]:
        KIND_OF[make.__name__] = kind
        return mutant(make)

    return register


# --- syncs: faults that the stories found -----------------------------------------------------------------------------------


@mutant_of("sync")
def what_failed_in_the_end_was_never_there() -> Patches:
    """Of a batch that failed after an attempt that may have been accepted, a later attempt of the run believes that nothing is there."""
    overtake = edited(matching, "overtake_older", ' or entry.state == "ambiguous"', "")[2]
    return [(owner, "overtake_older", overtake) for owner in (store, contents)]


@mutant_of("sync")
@needs("again", "journal")
def the_same_may_have_come_again() -> Patches:
    """Where a run sends A, B and A again of a customer, the first A counts as done, though the last one may never come."""
    overtake = edited(matching, "overtake_older", "later.add(entry.content)", "later = later or {entry.content}")[2]
    return [(owner, "overtake_older", overtake) for owner in (store, contents)]


@mutant_of("sync")
@needs("forget", "journal")
def who_is_forgotten_was_done_before() -> Patches:
    """A customer who is forgotten and comes back in a run with the same journal and run id is not sent."""
    counts = 'connection.execute("UPDATE owner SET attempt = NULL, first_batch = NULL")'
    return [edited(state, "forget", counts, "pass")]


@mutant_of("sync")
@needs("unnamed", "gone")
def an_unreadable_record_is_of_nobody() -> Patches:
    """Customers are named as gone though a record of the source can't be read as far as its number."""
    return [edited(delta.Delta, "end", "is_whole and not self._is_any_unnamed", "is_whole")]


@mutant_of("sync")
@needs("narrow", "status_after", "proved_refusal")
def the_parts_of_what_may_be_there_are_new() -> Patches:
    """After the machine stopped, parts of a batch count as not sent, though the whole batch may have been accepted before it was split."""
    return [edited(store.RunStore, "split", "if may_be_sent:", "if False:")]


@mutant_of("sync")
def the_last_in_the_source_decides() -> Patches:
    """Where the last record of a customer is settled first, since it can't be sent, what becomes of those before it is not counted."""

    def settle(self: Any, name: bytes, index: int, state_: Any) -> Any:
        at = index.to_bytes(delta._INDEX, "big")
        last, earlier = self._under_way.get(name, b""), self._earlier.get(name)
        is_last = last.startswith(at)
        outgoing = last if is_last else earlier.under_way.pop(at, None) if earlier is not None else None
        if outgoing is None:
            return None
        found, digest = outgoing[delta._INDEX], outgoing[delta._INDEX + 1 :]
        self._counts[found] += state_ in SUCCESS
        if not is_last:
            if state_ not in NOT_ON_SERVER:
                earlier.succeeded = (found, digest) if state_ in SUCCESS and digest else None
            return None
        del self._under_way[name]
        before = self._earlier.pop(name).succeeded if earlier is not None else None
        if state_ in SUCCESS:
            return found, digest or None, digest or None
        if before is None or state_ not in NOT_ON_SERVER:
            return delta._SAME, None, digest or None
        return before[0], before[1], digest or None

    return [(delta.Delta, "_settle", settle)]


@mutant_of("sync")
def a_cancelled_close_leaves_the_state_open() -> Patches:
    """A run that is cancelled while its journal is closed does not end its observers."""
    real_end, real_close = BulkRunner._end_observers, BulkRunner._close

    async def end_observers(self: Any, *, complete: bool) -> None:
        if not getattr(self, "_is_cut", False):
            await real_end(self, complete=complete)

    async def close(self: Any) -> None:
        recorder_end = self._recorder.end

        async def end(**settings: Any) -> Any:
            self._is_cut = True
            left = await recorder_end(**settings)
            self._is_cut = False
            return left

        self._recorder.end = end
        await real_close(self)

    return [(BulkRunner, "_end_observers", end_observers), (BulkRunner, "_close", close)]


# --- syncs: the state -------------------------------------------------------------------------------------------------------


@mutant_of("sync")
def the_old_digest_stays() -> Patches:
    """The digest of what the service had before is not removed before something new is sent."""

    async def invalidate(self: Any, names: Sequence[bytes]) -> None:
        pass

    return [(state.SyncState, "invalidate", invalidate)]


@mutant_of("sync")
def the_old_digest_is_removed_later() -> Patches:
    """Something new may be sent before the removal of the old digest is on the disk."""

    async def invalidate(self: Any, names: Sequence[bytes]) -> None:
        self._open_thread.put(lambda connection: state._invalidate(connection, names))

    return [(state.SyncState, "invalidate", invalidate)]


@mutant_of("sync")
def the_state_is_written_before_the_result() -> Patches:
    """What is read counts as sent with success."""
    real = delta.Delta.on_read

    def on_read(self: Any, records: Sequence[Any], first: int) -> None:
        outgoing = self._filtered[1] if self._filtered is not None else []
        rows = [state.StateRow(one.name.decode(), one.name, one.digest) for one in outgoing if one.digest]
        self._state.save(rows, [])
        real(self, records, first)

    return [(delta.Delta, "on_read", on_read)]


@mutant_of("sync")
def failed_is_kept() -> Patches:
    """A customer that failed counts as sent with success."""
    return [(delta, "SUCCESS", SUCCESS | {"failed"})]


@mutant_of("sync")
def unknown_is_kept() -> Patches:
    """A customer of which nothing is known counts as sent with success."""
    return [(delta, "SUCCESS", SUCCESS | {"unknown", "accepted"})]


@mutant_of("sync")
def nothing_comes_late() -> Patches:
    """A customer is settled though something may be processed after what succeeded."""
    return [(delta.Delta, "_settle_late", lambda *_, **__: None)]


@mutant_of("sync")
def settled_by_anything() -> Patches:
    """A customer that is unsettled is settled by whatever is sent next."""
    real = delta.Delta._settle_late

    def settle_late(self: Any, name: bytes, digest: Any, changes: Any, *, is_sent: bool) -> None:
        before = self._unsettled.get(name)
        if before is not None and is_sent and name not in self._ambiguous:
            del self._unsettled[name]
            changes.settled.append(name)
        else:
            real(self, name, digest, changes, is_sent=is_sent)

    return [(delta.Delta, "_settle_late", settle_late)]


@mutant_of("sync")
def the_first_record_decides() -> Patches:
    """Of two records of a customer the state keeps the first that succeeded."""
    real = delta.Delta._settle

    def settle(self: Any, name: bytes, index: int, state_: Any) -> Any:
        earlier = self._earlier.get(name)
        found = real(self, name, index, state_)
        if found is not None and earlier is not None and earlier.succeeded is not None:
            return earlier.succeeded[0], earlier.succeeded[1], found[2]
        return found

    return [(delta.Delta, "_settle", settle)]


@mutant_of("sync")
def a_part_of_the_digest_is_compared() -> Patches:
    """Two records of a customer are the same if their numbers and names are."""
    from amili_arm_async.sync.digests import RecordDigests

    real = RecordDigests.of

    def of(self: Any, records: Sequence[Any]) -> Any:
        keys, digests = real(self, records)
        return keys, [bytes(12) if digest is not None else None for digest in digests]

    return [(RecordDigests, "of", of)]


@mutant_of("sync")
def the_spelling_of_numbers_counts() -> Patches:
    """A customer whose numbers are written otherwise has changed, though nothing of it has."""
    from amili_arm_async.sync import digests

    return [(digests, "_may_have_fraction", lambda _: False)]


@mutant_of("sync")
def a_limit_makes_the_rest_gone() -> Patches:
    """Customers beyond the limit count as gone."""
    real = delta.Delta.end

    async def end(self: Any, *, complete: bool) -> None:
        self._is_limited = lambda: False
        await real(self, complete=complete)

    return [(delta.Delta, "end", end)]


@mutant_of("sync")
def a_part_makes_the_rest_gone() -> Patches:
    """Customers that a run did not come to count as gone."""
    real = delta.Delta.end

    async def end(self: Any, *, complete: bool) -> None:
        await real(self, complete=complete)
        self.gone = self._state.rows - self._expectation.seen

    return [(delta.Delta, "end", end)]


@mutant_of("sync")
def unchanged_are_not_seen() -> Patches:
    """Customers that did not change count as gone where they do not follow each other in the state."""
    real = delta.Delta._mark_seen

    def mark_seen(self: Any, numbers: Sequence[int]) -> None:
        if numbers and max(numbers) - min(numbers) + 1 == len(numbers):
            real(self, numbers)

    return [(delta.Delta, "_mark_seen", mark_seen)]


@mutant_of("sync")
def a_second_sync_is_not_refused() -> Patches:
    """Two syncs use one state at the same time."""

    class Open:
        def release(self) -> None:
            pass

    return [(state, "_lock", lambda *_: Open()), (state.SyncState, "_refuse_used", lambda _: None)]


@mutant_of("sync")
def forget_forgets_all() -> Patches:
    """Whoever is forgotten, the state is empty afterwards."""

    def forget(path: str, keys: Any) -> int:
        return real(path, [*keys, *state.known_keys(path)])

    real = state.forget
    return [(state, "forget", forget)]


@mutant_of("customers")
def lines_of_a_customer_go_two_ways() -> Patches:
    """A replay sends some lines of a customer through the journal of their run, and others through its own, whichever is newer."""
    return [(lines, "_SAME_WAY", "UPDATE lines SET action = action WHERE grp = :grp AND FALSE")]


@needs("forget", "late_processing")
@mutant_of("sync")
def who_is_forgotten_is_settled() -> Patches:
    """A customer who is forgotten and comes back is settled, though something that was sent before may be processed late."""
    left = 'connection.executemany("DELETE FROM unsettled WHERE name = ?", [(name,) for name in some])'
    commit = 'connection.execute("COMMIT")'
    return [edited(state, "forget", commit, f"{left}; {commit}")]


@mutant_of("sync")
def a_slice_is_compared_alone() -> Patches:
    """What is sent for a customer in this slice does not count for its next record in it."""
    real = delta.Delta._compare

    def compare(self: Any, names: Sequence[Any], digests: Sequence[Any], found: Any) -> Any:
        outgoing, unchanged, outdated = real(self, names, digests, found)
        known: Mapping[bytes, Any] = dict(zip(found.names, found.digests, strict=True))
        same = [one.position for one in outgoing if one.digest is not None and known.get(one.name) == one.digest and not self._full]
        return [one for one in outgoing if one.position not in same], [*unchanged, *same], outdated

    return [(delta.Delta, "_compare", compare)]


@mutant_of("sync")
def an_earlier_run_id_is_believed() -> Patches:
    """What a journal says counts though other syncs came between."""

    real = store.RunStore.count_latest
    return [(store.RunStore, "count_latest", lambda self, connection, batch: real(self, connection, 0))]


@mutant_of("sync")
def anything_in_the_journal_counts() -> Patches:
    """What succeeded in a run counts, though the run sent something else for the customer later."""
    return [(store, "overtake_older", lambda _: None), (contents, "overtake_older", lambda _: None)]


@mutant_of("sync")
def one_attempt_is_enough_to_be_believed() -> Patches:
    """Where other syncs came between, the next attempt of a run does not count what it sent before them, and the one after it does."""
    real = state.SyncState.use_journal

    async def use_journal(self: Any, use: Any) -> None:
        await real(self, use._replace(first_batch=0))

    return [(state.SyncState, "use_journal", use_journal)]


@mutant_of("sync")
def a_sync_sends_before_it_is_written() -> Patches:
    """A sync may send something that its journal never hears of."""

    async def count_latest(self: Any, batch: int) -> None:
        await self._call(lambda connection: self._store.count_latest(connection, batch))

    return [(journal.SqliteRunJournal, "count_latest", count_latest)]


@mutant_of("sync")
def what_was_overtaken_was_done_before() -> Patches:
    """A run that ends early says of a customer that it is done, though it was sent with other content since."""
    real = contents.decide_unsent

    def decide_unsent(index: Any, *arguments: Any) -> Any:
        class Index:
            def find(self, names: Any) -> Any:
                found = index.find(names)
                for entries in found.values():
                    for entry in entries:
                        entry.overtaken = False
                return found

            save = index.save

        return real(Index(), *arguments)

    return [(store, "decide_unsent", decide_unsent)]


@mutant_of("sync")
def a_range_of_customers_is_cut_off() -> Patches:
    """Where few of many customers in the state are looked up, the last of them are not found."""
    return [edited(state.SyncState, "_rows_between", "most + 1)", "most)")]


@mutant_of("sync")
def a_sync_without_a_journal_leaves_the_attempt() -> Patches:
    """What a run has sent counts, though a sync without a journal came after it."""
    begins = "values = (*self._owner, self.next, self.sync, clock.unix_time())\n"
    leaves = "    if owner is not None:\n        connection.execute('UPDATE owner SET syncs = ?', (self.sync,))\n        return\n"
    return [edited(state.SyncState, "_take_over", begins, begins + leaves)]


@mutant_of("sync")
def nothing_comes_late_after_one_sync() -> Patches:
    """A customer that the next sync does not send is settled."""
    return [edited(state.SyncState, "_take_over", "(self.sync - LATE_SYNCS,)", "(self.sync - 1,)")]


@needs("narrow", "late_processing")
@mutant_of("sync")
def what_failed_settles() -> Patches:
    """A customer that is unsettled is settled by the same content, though it failed."""
    return [edited(delta.Delta, "_settle_late", "elif before is not None and is_sent:", "elif before is not None:")]


@needs("narrow", "record_lost", "link_back")
@mutant_of("pager")
def a_page_may_come_again_in_part() -> Patches:
    """Only the pages of a list that changed are searched for records of earlier ones."""
    return [edited(paging._Walk, "read", "if changed else ends", "if changed else ()")]


@mutant_of("customers")
def parts_are_newer_than_what_follows_them() -> Patches:
    """In a journal, the parts of a batch that was split come after batches that are later in the source."""
    by_id: Any = lambda *arguments: list(queries.ids(*arguments))  # noqa: E731
    return [(replay, "ids_in_order", by_id), (store, "ids_in_order", by_id)]


@mutant_of("nightly")
def results_of_the_other_kind_count() -> Patches:
    """The result of a batch of customers is taken for that of documents, where it has as many entries."""
    return [(results, "is_of_another_kind", lambda *_: False)]


@mutant_of("sync")
def what_failed_was_the_latest() -> Patches:
    """What was sent last counts as taken after what may be processed late, though it is not known that it was taken."""
    return [edited(delta.Delta, "_settle_late", "None if is_other else digest", "digest")]


@mutant_of("sync")
def what_a_list_is_may_change() -> Patches:
    """The dicts of a list are kept, and not copied, while others are sent."""
    return [(reader._Unread, "feed", reader._Unread._keep)]


@mutant_of("sync")
def somebody_new_is_gone() -> Patches:
    """The first customer that this sync has sent is named as gone."""
    return [edited(delta, "missing_keys", "number < end and", "number <= end and")]


@mutant_of("sync")
def who_was_settled_in_this_sync_is_settled() -> Patches:
    """Something else that follows in the source that settles a customer is not sent once more, though something may come late."""
    return [edited(delta.Delta, "_settle_late", "self._settled[name] = before", "pass")]


@mutant_of("sync")
def what_failed_last_does_not_come_late() -> Patches:
    """Where the last record of a customer failed, only an earlier one that succeeded may be processed late."""
    return [edited(delta.Delta, "on_settled", "self._settle_late(name, last,", "self._settle_late(name, digest or last,")]


@mutant_of("sync")
def a_dry_run_writes_the_state() -> Patches:
    """A dry run of a sync uses the state itself."""
    return [edited(state.SyncState, "_make_thread", "if self._dry_run:", "if False:")]


@mutant_of("sync")
def a_dry_run_sends() -> Patches:
    """A dry run sends what would be sent."""
    return [edited(workers.Workers, "__init__", "if spec.options.dry_run", "if False")]


@mutant_of("sync")
def a_limited_source_has_all() -> Patches:
    """Customers are forgotten after a sync that was limited."""
    return [edited(sync.SyncReport, "forget", "if self.bulk.limited_to is not None:", "if False:")]


@mutant_of("sync")
def who_is_not_known_is_new() -> Patches:
    """A customer of whom the state has no digest counts as new."""
    return [edited(delta.Delta, "_compare", "_NEW if name not in known", "_NEW if before is None")]


@mutant_of("sync")
def what_is_the_same_is_settled() -> Patches:
    """Where all that was read is as the state has it, nothing is sent, though something may be processed late."""
    return [edited(delta.Delta, "_compare", "and not found.unsettled and found.names", "and found.names")]


@mutant_of("sync")
def a_shortfall_is_good() -> Patches:
    """A report is good though its source holds too little."""
    is_read = property(lambda self: (self.source_exhausted or self.limited_to is not None) and not self.failed_records)
    return [(report.BulkReport, "ok", is_read)]


@mutant_of("sync")
@needs("narrow", "late_processing", "record_fails", "again")
def what_failed_last_is_what_comes_late() -> Patches:
    """Where the last record of a customer failed, what may come late of an earlier one counts as that last one."""
    return [edited(delta.Delta, "_settle", "last = digest or None if earlier is None else None", "last = digest or None")]


@mutant_of("sync")
@needs("narrow", "late_processing")
def once_more_in_a_sync_settles() -> Patches:
    """A customer is settled by the same content once more in the sync in which it became unsettled."""
    return [edited(delta.Delta, "_settle_late", "before.sync < self._state.sync", "before.sync <= self._state.sync")]


# --- nights -----------------------------------------------------------------------------------------------------------------


@mutant_of("nightly")
@needs("narrow", "logged", "again", "order", "kill_at", "slow_processing", "record_fails")
def a_success_is_remembered_only_after_a_failure() -> Patches:
    """A night that comes back forgets who succeeded before the first failure, though an older record of theirs may fail later."""
    remembers = "if len(self._failed) or self._succeeded is not None:"
    return [edited(blocked.FailedCustomers, "on_settled", remembers, "if len(self._failed):")]


@mutant_of("nightly")
def a_night_with_a_shortfall_is_good() -> Patches:
    """A night is good though a source holds too little."""
    real: Any = nightly.NightlyReport.ok.fget  # type: ignore[attr-defined]

    class WithoutShortfalls:
        shortfalls: ClassVar[dict[str, str]] = {}

        def __init__(self, found: Any) -> None:
            self._report = found

        def __getattr__(self, name: str) -> Any:
            return getattr(self._report, name)

    return [(nightly.NightlyReport, "ok", property(lambda self: real(WithoutShortfalls(self))))]


@mutant_of("nightly")
@needs("narrow", "thrice")
def an_older_failure_stays_in_the_file() -> Patches:
    """Of very many customers that did not succeed, those in the file keep the place of their first failure, and not of their last."""
    return [edited(customer_numbers._Overflow, "add", "max(place, ?2)", "min(place, ?2)")]


@mutant_of("nightly")
def those_who_were_not_read_do_not_count() -> Patches:
    """Documents are sent though the customers were left before the last of them was read."""
    return [edited(nightly.NightlyRun, "_send_customers", "if not failed.complete and self._documents is not None:", "if False:")]


@mutant_of("nightly")
def who_is_in_the_file_did_not_fail() -> Patches:
    """Of very many customers that did not succeed, only those in memory block their documents."""
    return [edited(customer_numbers.CustomerNumbers, "places", "found | self._overflow.places(wanted)", "found")]


@mutant_of("nightly")
def what_was_sent_is_blocked() -> Patches:
    """A document that an earlier night has sent is said to be blocked."""
    return [edited(in_flight.BatchTracker, "with_earlier", 'if outcome.state == "blocked"]', "if False]")]


@mutant_of("nightly")
def what_is_blocked_waits_for_nothing() -> Patches:
    """Of a blocked document that an earlier attempt sent, a run says what was known when it was read, whatever it learns later."""
    return [
        edited(journal.SqliteRunJournal, "earlier_outcomes", "self._defer(indexes, keys, decisions, found, may_be_sent=False)", "found")
    ]


@mutant_of("nightly")
@needs("reconcile", "resend")
def what_is_blocked_is_sent_where_it_is_absent() -> Patches:
    """A reconcile sends documents again that are blocked by now."""
    return [edited(deferred.DeferredOutcomes, "settle", "held if records.may_be_sent or not are_sent else frozenset()", "held")]


@mutant_of("nightly")
def what_is_blocked_is_not_written() -> Patches:
    """The journal has no row of a document that is blocked."""
    return [edited(in_flight, "_is_new", 'outcome.state == "blocked" or', "")]


@mutant_of("nightly")
def all_currencies_are_one() -> Patches:
    """The sum of a currency is that of all documents of a batch."""
    return [edited(money.MoneyObserver, "_settle", "if other == number]", "]")]


@mutant_of("nightly")
def a_night_does_not_say_why_it_ended() -> Patches:
    """The report of a night that ended early says nothing of that."""
    return [edited(nightly.NightlyRun, "run_with", "self._progress.error = ", "_ = ")]


@mutant_of("nightly")
def half_of_the_timeline_is_dropped() -> Patches:
    """A night that takes long has not all records in its timeline."""
    return [edited(timeline.TimelineObserver, "_halve", "bucket.merge(neighbour)", "pass")]


@mutant_of("nightly")
def nothing_is_blocked() -> Patches:
    """Documents of customers that did not succeed are sent."""

    async def block_none(self: Any, records: Sequence[Any], first: int) -> Mapping[int, Any]:
        return {}

    return [(blocked.BlockedDocuments, "filter", block_none)]


@mutant_of("nightly")
def the_case_of_a_number_decides() -> Patches:
    """A document is blocked only where it spells the number of its customer as the customer does, in lower case."""
    return [(blocked.FailedCustomers, "among", lambda self, names: {name for name in names if name.upper() in set(self.names())})]


@mutant_of("nightly")
def only_failed_blocks() -> Patches:
    """A customer that is unknown or was not sent counts as one that succeeded."""
    return [(blocked, "success_states", lambda **_: SUCCESS | {"unknown", "accepted", "not_sent"})]


@mutant_of("nightly")
def all_documents_are_blocked() -> Patches:
    """One customer that did not succeed blocks all documents."""
    return [(blocked.FailedCustomers, "among", lambda self, names: set(names))]


@mutant_of("nightly")
def documents_come_first() -> Patches:
    """Documents are sent before it is known what became of their customers."""

    async def run_parts(self: Any, send: Any) -> None:
        failed = blocked.FailedCustomers()
        if self._documents is not None:
            money = nightly.MoneyObserver()
            await send(self._start("documents", self._documents, money, [money, blocked.BlockedDocuments(failed)]))
        if self._customers is not None:
            await send(self._start("customers", self._customers, None, [failed]))

    return [(nightly.NightlyRun, "_run_parts", run_parts)]


@mutant_of("nightly")
def a_success_before_a_failure_counts() -> Patches:
    """The documents of a customer are sent whose last record did not succeed, since an earlier one is settled after it."""
    return [edited(customer_numbers.CustomerNumbers, "remove", "if self._memory[name] < older_than[name]:", "if True:")]


@mutant_of("nightly")
def a_number_that_is_no_text_is_not_blocked() -> Patches:
    """A document is sent whose customer did not succeed, where it has the number as a number."""
    read, text = "yield _DOCUMENT.key_of(record)", 'record["customerNo"] if isinstance(record["customerNo"], str) else None'
    return [edited(blocked, "_customers_of", read, f"yield {text}")]


# --- lists ------------------------------------------------------------------------------------------------------------------


@mutant_of("pager")
def a_short_list_is_whole() -> Patches:
    """A list that gave less than it announced ends without an error."""
    return [(paging._Walk, "_truncated", lambda self: None)]


@mutant_of("pager")
def a_page_may_come_twice() -> Patches:
    """A page that holds the records of an earlier one is taken for another."""
    return [(paging, "_trace", lambda _: None)]


@mutant_of("pager")
def a_page_that_is_gone_ends_the_list() -> Patches:
    """A page that can't be had ends the list."""
    real = paging.Pager.pages

    async def pages(self: Any) -> Any:
        try:
            async for page in real(self):
                yield page
        except paging.ResponseError:
            return

    return [(paging.Pager, "pages", pages), (paging._Walk, "_truncated", lambda self: None)]


@mutant_of("pager")
def the_last_page_is_left_out() -> Patches:
    """A list ends with the page before its last one."""
    real = paging._Walk.after

    def after(self: Any, page: Any) -> Any:
        query = real(self, page)
        is_last = self._total_pages is not None and self._number >= self._total_pages - 1
        if is_last:
            self._may_be_truncated = True
        return None if is_last else query

    return [(paging._Walk, "after", after)]


@mutant_of("pager")
def the_last_total_counts() -> Patches:
    """A list that shrank while it was read is whole, though a record was passed over."""
    real = paging._Walk.read

    def read(self: Any, page: Any) -> None:
        real(self, page)
        self._most = self._total or 0

    return [(paging._Walk, "read", read)]


@mutant_of("pager")
def what_is_pushed_to_the_next_page_is_given_twice() -> Patches:
    """A list that grew while it was read gives a record on two pages."""
    return [(paging._Walk, "_changed", lambda *_: False)]


@mutant_of("pager")
def a_page_that_is_pulled_forward_is_another_one() -> Patches:
    """A page that is answered again, once records before it were deleted, is taken for another one."""
    return [edited(paging._Walk, "_changed", "summary.total_count != self._total", "summary.total_count > self._total")]


@mutant_of("pager")
def a_first_page_is_given_twice() -> Patches:
    """A first page that is answered again, once records were inserted before it, is taken for another one."""
    return [edited(paging._Walk, "read", "(*page.items[:1], *page.items[-1:])", "page.items[-1:]")]


@mutant_of("pager")
def a_page_ahead_is_another_one() -> Patches:
    """Of pages that are fetched ahead, the last one is fetched for all."""
    return [edited(paging.Prefetched, "_start", "_call(self._fetch, wanted)", "_call(self._fetch, following[-1])")]


@mutant_of("pager")
def an_empty_page_ends_the_list() -> Patches:
    """A list ends with its first empty page, and is refused because of what follows that."""
    return [edited(paging._Walk, "_is_over", ">= _EMPTY_PAGES", ">= 1")]


@mutant_of("pager")
def a_link_that_leads_nowhere_ends_the_list() -> Patches:
    """Where a list does not say how long it is, a link that can't be followed ends it."""
    return [edited(paging._Walk, "_next", "if query is None:", "if query is None:\n        return None\n    if not query:")]


@mutant_of("pager")
def pages_follow_for_ever() -> Patches:
    """A list that links to further pages, whatever it announced, is read on and on."""
    return [edited(paging._Walk, "after", "self._pages_too_many > _MARGIN or", "")]


@mutant_of("pager")
def pages_before_the_first_do_not_count() -> Patches:
    """A list that begins with a later page is refused, since it gave less than the whole list has."""
    return [edited(paging._Walk, "read", "self._skipped = (begin - 1) *", "self._skipped = 0 *")]


@mutant_of("pager")
def whoever_leaves_leaves_requests() -> Patches:
    """Pages that are fetched ahead are fetched on, though nobody reads the list any more."""
    return [edited(paging.Prefetched, "__aexit__", "await self._cancel()", "pass")]


@mutant_of("pager")
def any_error_proves_that_there_is_none() -> Patches:
    """A customer that can't be asked for counts as one that there is not."""
    proof = "except NotFoundError as exc:\n            if is_web_page(exc):\n                raise\n"
    return [edited(customers.Customers, "get_many", proof, "except Exception:\n")]


@mutant_of("pager")
def a_web_page_proves_that_there_is_none() -> Patches:
    """A customer counts as one that there is not where a gateway has answered."""
    return [edited(customers.Customers, "get_many", "if is_web_page(exc):", "if False:")]


@mutant_of("pager")
def one_number_more_is_asked_for() -> Patches:
    """More customers are asked for at once than the program wants."""
    return [edited(concurrent.ConcurrentMap, "_read_on", "len(self._tasks) < self._at_once", "len(self._tasks) <= self._at_once")]


@mutant_of("pager")
def a_list_that_is_capped_is_whole() -> Patches:
    """A list that has as many records as the service gives at the most ends without an error."""
    return [edited(paging._Walk, "_truncated", "failure() if self._cap and count >= self._cap else None", "None")]


@mutant_of("pager")
def the_cap_of_a_list_is_not_read() -> Patches:
    """A list is cut off at a cap that its pages say, and ends without an error."""
    return [edited(paging._Walk, "read", "summary.maximum_count is not None and summary.maximum_count > 0", "False")]


@mutant_of("pager")
def a_source_that_raises_has_ended() -> Patches:
    """Where the numbers end with an error, those before it count as all."""
    edit = edited(concurrent.ConcurrentMap, "__anext__", "if self._open and self._source.failure is not None:", "if False:")
    return [edit]


# --- customers --------------------------------------------------------------------------------------------------------------


@mutant_of("customers")
def an_overtaken_customer_is_done() -> Patches:
    """A customer whose content comes back in a run is done, though the run sent something else in between."""
    real = store.decide_customer

    def decide_customer(entries: Any, content: int, place: int) -> Any:
        for entry in entries:
            entry.overtaken = False
        return real(entries, content, place)

    return [(store, "decide_customer", decide_customer)]


@mutant_of("customers")
def an_ambiguous_attempt_is_forgotten() -> Patches:
    """A batch that is no longer sent was not sent, whatever an earlier attempt did."""
    return [edited(in_flight.BatchTracker, "stopped", "if in_flight.delivery.was_ambiguous:", "if False:")]


@mutant_of("customers")
def an_unknown_customer_is_done() -> Patches:
    """A customer that an earlier attempt may have sent is not sent again."""
    return [(matching, "TAKEN", matching.ENTRY_MAY_BE_ON_SERVER)]


@mutant_of("customers")
def the_number_alone_makes_it_done() -> Patches:
    """A customer is done, whatever it says now."""
    real = store.decide_customer

    def decide_customer(entries: Any, content: int, place: int) -> Any:
        return real(entries, entries[0].content if entries else content, place)

    return [(store, "decide_customer", decide_customer), (in_order.DoneInOrder, "claim", lambda *_: False)]


@mutant_of("customers")
def a_failed_customer_is_done() -> Patches:
    """A customer that failed is done in the next attempt."""
    return [(matching, "TAKEN", matching.TAKEN | {"failed"})]


@mutant_of("customers")
def what_was_overtaken_is_not_on_the_disk() -> Patches:
    """That a customer was sent with other content in the same run may be lost in a power cut, and what came before counts again."""
    real = store.RunStore.decide

    def decide(self: Any, connection: Any, id: int, batch: Any) -> Any:
        decisions = real(self, connection, id=id, batch=batch)
        decisions.overtakes = False
        return decisions

    return [(store.RunStore, "decide", decide)]


@mutant_of("nightly")
def unchanged_customers_block() -> Patches:
    """The documents of customers that did not change are blocked."""
    return [(blocked, "success_states", lambda **_: SUCCESS - {"unchanged"})]


@mutant_of("customers")
def small_letters_are_another_customer() -> Patches:
    """Two records of a customer are under way at once, where they spell its number differently."""
    return [edited(keys, "without_case", "folded: str = text.casefold()", "folded: str = text")]


@mutant_of("customers")
def an_older_line_wins() -> Patches:
    """A replay sends a record of which its run has sent something newer."""
    return [(lines, "_OVERTAKEN", lines._OVERTAKEN.replace("later.rowid > entry.rowid", "later.rowid < entry.rowid"))]


@mutant_of("customers")
def what_was_replayed_is_done() -> Patches:
    """A line is taken out of the dead letter, whatever became of its record."""
    return [edited(engine.Replay, "_take_report", "self.table.mark_left(numbers[failure.index]", "(numbers[failure.index]")]


@mutant_of("customers")
def an_open_batch_is_not_waited_for() -> Patches:
    """What is newer is sent while a batch of an earlier attempt of the run is processed still."""
    decide = edited(matching, "decide_customer", 'if entry.state in {"open", "accepted"}})', "if False})")[2]
    return [(store, "decide_customer", decide)]


@mutant_of("customers")
@needs("narrow", "again")
def what_comes_later_in_the_source_is_done() -> Patches:
    """A record of a customer that comes after others of the same customer in the source is done, though it was sent before them."""
    decide = edited(matching, "decide_customer", "entry.overtaken |=", "_ =")[2]
    return [(store, "decide_customer", decide)]


@mutant_of("customers")
@needs("narrow", "again", "proved_refusal")
def the_newer_half_does_not_wait() -> Patches:
    """The second half of a batch that is split does not wait for the first one, which has the same customers."""
    return [edited(delivery.BatchSender, "_split", "if in_flight.key_ticket.repeats:", "if False:")]


@mutant_of("customers")
@needs("narrow", "again", "proved_refusal")
def only_the_first_part_is_waited_for() -> Patches:
    """A batch counts as processed when the first of its parts is."""
    return [edited(in_flight.InFlightBatch, "wait_done", "for part in self.parts:", "for part in self.parts[:1]:")]


@mutant_of("customers")
@needs("narrow", "again", "repeats")
def a_third_record_does_not_wait() -> Patches:
    """Of three records of a customer, the last one does not wait for the second."""
    return [edited(keys.KeySerializer, "_add", "self._more[key] += 1", "pass")]


@mutant_of("customers")
def a_stop_in_a_pause_is_not_seen() -> Patches:
    """A run that stops while its reader gives others their turn waits for ever for more of its source."""
    return [edited(reader.Reader, "next_batch", "then.\n            continue", "then.")]


@mutant_of("customers")
def what_may_be_there_was_not_sent() -> Patches:
    """After a replay that was interrupted, a line says that a record was not sent that the service may have."""
    return [edited(lines.LineTable, "mark_left", "AND NOT (state IN ('unknown', 'accepted') AND ?1 = 'not_sent')", "")]


@mutant_of("customers")
def the_lines_of_other_runs_go() -> Patches:
    """A run that ends writes its lines over those of others."""
    return [edited(dead_letter.DeadLetter, "_others", "if not line.startswith(self._head):", "if False:")]


@mutant_of("customers")
def an_update_creates() -> Patches:
    """Customers that are to be updated are created where there are none."""
    return [edited(customers.Customers, "update_many", '"customers.update_batch"', '"customers.create_batch"')]


@mutant_of("customers")
def nothing_is_expected() -> Patches:
    """A run says nothing of a source that holds too little."""
    return [edited(bulk.BulkWrites, "run", "expectation or expectation_of(at_least, has_state=False)", "expectation")]


@mutant_of("customers")
def too_many_failures_do_not_stop() -> Patches:
    """A run goes on, however many records fail."""
    return [edited(in_flight.BatchTracker, "_check_failures", "if limit is None:", "if True:")]


@mutant_of("customers")
def results_of_one_number_are_exchanged() -> Patches:
    """Of two records of a customer in a batch each has the result of the other one."""
    return [edited(results, "_one_each", "return entries[::-1]", "return entries")]


@mutant_of("customers")
@needs("narrow", "record_fails", "dead_letter", "journal")
def the_end_of_a_run_has_written_its_dead_letter() -> Patches:
    """What an attempt sent marks no line where its end is recorded, and its dead letter is not written."""
    counts = "CASE WHEN ended IS NULL THEN written ELSE attempts END"
    return [edited(store.RunStore, "begin", "SELECT token, written", f"SELECT token, {counts}")]


@mutant_of("customers")
@needs("narrow", "record_fails", "replay", "kill_at")
def a_replay_has_marked_before_it_ends() -> Patches:
    """What a replay sent that was killed marks no line."""
    notes = "self.new_since = written + 1\n    if not self.reads_all:\n        self.note_written(connection)"
    return [edited(store.RunStore, "begin", "self.new_since = written + 1", notes)]


@mutant_of("customers")
@needs("narrow", "record_fails", "dead_letter", "kill_at")
def only_this_attempt_marks_lines() -> Patches:
    """What an attempt sent that was killed marks no line of another run."""
    return [edited(store.RunStore, "newer_records", "since = self.new_since if", "since = self.attempt if")]


@mutant_of("customers")
@needs("narrow", "record_fails", "dead_letter")
def the_first_record_overtakes_nothing() -> Patches:
    """The very first record of a run marks no line of another run."""
    return [edited(dead_letter.DeadLetter, "write", "newer.last(name) >= 0", "newer.last(name) > 0")]


@mutant_of("customers")
@needs("narrow", "record_fails", "replay", "dead_letter", "journal")
def the_journal_of_a_later_line_is_not_asked() -> Patches:
    """An older line is sent though the journal of a later one says that it was taken."""
    asks = lines._LATER_TAKEN.index(" OR EXISTS (")
    return [(lines, "_LATER_TAKEN", lines._LATER_TAKEN[:asks] + "))\n")]


@mutant_of("customers")
@needs("narrow", "poll_odd", "result_gone", "replay")
def what_was_accepted_overtakes_itself() -> Patches:
    """Without a journal, a line is marked as overtaken by its own record."""
    return [edited(store.RunStore, "unsuccessful", "newer.last(keyed_name(key)) > place_of", "newer.last(keyed_name(key)) >= place_of")]


@mutant_of("customers")
@needs("narrow", "again")
def what_is_overtaken_now_still_counts() -> Patches:
    """What is overtaken in this attempt counts as the newest when the source comes to it."""
    return [(store, "decide_customer", edited(matching, "decide_customer", "entry.overtaken = True", "pass")[2])]
