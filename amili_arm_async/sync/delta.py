"""Observes a sync: filters out the customers that have not changed since they were last sent with success, and updates the state.

A customer is unsettled when the outcome of something that was sent for it is unknown: the server may still process it, also after
something newer. The next sync sends such a customer again, even if it succeeded. If that sends the same content, with a clear outcome, the
customer is settled; if it sends something newer, the sync after that sends it once more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ..bulk.blocks import RecordBlock
from ..bulk.chunking import RecordType
from ..bulk.observers import RunObserver
from ..bulk.outcomes import NOT_ON_SERVER, SUCCESS, UNCERTAIN, BatchOutcome, Outcome, State
from ..bulk.report import Expectation
from .digests import RecordDigests
from .state import Found, JournalUse, StateRow, SyncState, Unsettled, missing_keys, names_of

if TYPE_CHECKING:
    from ..bulk.journal.protocol import RunJournal

__all__ = ["Delta"]

_UNCHANGED: Final = Outcome("unchanged")

_NEW: Final = 0
_CHANGED: Final = 1
_SAME: Final = 2
_INDEX: Final = 8


class _Outgoing(NamedTuple):
    """A record that is to be sent, by its position in a slice."""

    position: int
    name: bytes
    found: int
    digest: bytes | None
    unsettled: Unsettled | None

    def to_bytes(self, first: int) -> bytes:
        """Returns it as bytes, which take less memory: there may be very many."""
        return (first + self.position).to_bytes(_INDEX, "big") + bytes((self.found,)) + (self.digest or b"")


class _EarlierRecords:
    """Earlier records of a customer that has a later one: those under way by index, and the digest of the last that succeeded."""

    __slots__ = ("succeeded", "under_way")

    def __init__(self) -> None:
        self.under_way: dict[bytes, bytes] = {}
        self.succeeded: tuple[int, bytes] | None = None


class _StateChanges:
    """What is written to the state for some outcomes."""

    __slots__ = ("rows", "settled", "unsettled")

    def __init__(self) -> None:
        self.rows: tuple[list[StateRow], list[StateRow]] = [], []
        self.settled: list[bytes] = []
        self.unsettled: list[tuple[bytes, bytes | None]] = []


class Delta(RunObserver):
    """The observer of one sync.

    Args:
        state: not open yet.
        kind: what the records are.
        full: whether unchanged customers are sent too.
        expectation: learns how many of the customers in the state the source has.
        rules: returns the rules by which the records are judged; it is called once records were read.
        is_limited: returns whether reading ended at the limit of the run: then nobody is gone.

    Attributes:
        without_key: records that succeeded and have no number.
        gone: customers in the state that the source does not have; None where the source was not read to its end, or a record in it has
            no number that could be read.
        is_gone_hidden: whether it is only the number of a record that is missing to know who is gone.
    """

    reads_texts = True

    def __init__(
        self,
        state: SyncState,
        kind: RecordType,
        *,
        full: bool,
        expectation: Expectation,
        rules: Callable[[], str] = str,
        is_limited: Callable[[], bool] = bool,
    ) -> None:
        self.without_key = 0
        self.gone: int | None = None
        self.is_gone_hidden = False
        # Whether a record could not be read as far as its number: it may be of any customer in the state.
        self._is_any_unnamed = False
        self._counts: Counter[int] = Counter()
        self._state = state
        self._expectation = expectation
        self._full = full
        self._rules_of_source = rules
        self._is_limited = is_limited
        # Of the source, once records were read.
        self._rules: str | None = None
        self._digests = RecordDigests(kind)
        # A bit for each number of a customer in the state.
        self._seen = bytearray()
        # By name, the last record in flight, encoded.
        self._under_way: dict[bytes, bytes] = {}
        self._earlier: dict[bytes, _EarlierRecords] = {}
        # Of names that are under way: who was unsettled before, and for whom something may be processed late now.
        self._unsettled: dict[bytes, Unsettled] = {}
        self._ambiguous: set[bytes] = set()
        # Who was settled in this sync: until the next one, something else that is sent is sent before it is known what comes late.
        self._settled: dict[bytes, Unsettled] = {}
        # Names that are being looked up: what is settled for them meanwhile is not written to the state.
        self._filtering: frozenset[bytes | None] = frozenset()
        self._filtered: tuple[int, list[_Outgoing]] | None = None

    @property
    def new(self) -> int:
        """Records that succeeded and were not in the state."""
        return self._counts[_NEW]

    @property
    def changed(self) -> int:
        """Records that succeeded and were in the state with other content."""
        return self._counts[_CHANGED]

    @property
    def same(self) -> int:
        """Records that succeeded and were in the state with the same content."""
        return self._counts[_SAME]

    def gone_keys(self) -> Iterator[str]:
        """Gives the numbers of the customers that are gone, read from the state."""
        if self.gone:
            yield from missing_keys(self._state.path, bytes(self._seen), self._state.next)

    @property
    def path(self) -> str:
        """The path of the state."""
        return self._state.path

    # --- the run ----------------------------------------------------------------------------------------------------------

    async def begin(self) -> None:
        await self._state.open()
        self._seen = bytearray((self._state.next >> 3) + 1)
        self._expectation.known = self._state.rows

    async def begin_journal(self, journal: RunJournal) -> None:
        """Lets the journal say only what is still so: what an earlier attempt sent counts where no other sync came between."""
        attempt, last = journal.attempt, self._state.journal
        goes_on = last is not None and last.attempt == attempt.previous
        first = last.first_batch if last is not None and goes_on else attempt.first_batch
        await journal.count_latest(first)
        await self._state.use_journal(JournalUse(attempt.token, first))

    async def filter(self, records: Sequence[Any], first: int) -> Mapping[int, Outcome]:
        self._filtered = None
        self._rules = self._rules_of_source()
        if isinstance(records, RecordBlock) and self._rules != self._state.rules:
            records.apply_rules()
        keys, digests = self._digests.of(records)
        names = names_of(keys)
        self._filtering = frozenset(names)
        wanted = names
        if len(self._filtering) < len(names) or None in self._filtering:
            wanted = [name for name in dict.fromkeys(names) if name is not None]
        found = await self._state.find(wanted)  # type: ignore[arg-type]
        self._mark_seen(found.numbers)
        outgoing, unchanged, outdated = self._compare(names, digests, found)
        if isinstance(records, RecordBlock):
            # What goes on is judged now: it may become what was sent before.
            others = records.apply_rules([one.position for one in outgoing])
            for position, digest in zip(others, self._digests.of([records[position] for position in others])[1], strict=True):
                digests[position] = digest
            if others:
                outgoing, unchanged, outdated = self._compare(names, digests, found)
        if outdated:
            await self._state.invalidate(outdated)
        self._filtered = first, outgoing
        return dict.fromkeys(unchanged, _UNCHANGED)

    async def before_send(self) -> None:
        await self._state.confirm()

    def _mark_seen(self, numbers: Sequence[int]) -> None:
        if not numbers:
            return
        seen, low, high = self._seen, min(numbers), max(numbers)
        if high - low + 1 == len(numbers) and high < self._state.next:
            # They follow each other.
            begin, end = low >> 3, (high >> 3) + 1
            before = int.from_bytes(seen[begin:end], "little")
            after = before | ((1 << len(numbers)) - 1) << (low & 7)
            seen[begin:end] = after.to_bytes(end - begin, "little")
            self._expectation.seen += (before ^ after).bit_count()
            return
        for number in numbers:
            if number < self._state.next and not seen[number >> 3] & 1 << (number & 7):
                seen[number >> 3] |= 1 << (number & 7)
                self._expectation.seen += 1

    def _compare(
        self, names: Sequence[bytes | None], digests: Sequence[bytes | None], found: Found
    ) -> tuple[list[_Outgoing], Sequence[int], list[bytes]]:
        """Returns what is to be sent, what has not changed, and whose digest in the state is outdated once that is sent.

        While something is under way for a customer, the state has no digest for it: whatever comes next is sent.
        """
        if not self._full and not found.unsettled and found.names == names and found.digests == digests and None not in digests:
            return [], range(len(names)), []
        known = dict(zip(found.names, found.digests, strict=True))
        # Once something of this slice is to be sent for a customer, what the state has is not the latest.
        ahead: set[bytes] = set()
        outgoing: list[_Outgoing] = []
        unchanged: list[int] = []
        outdated: list[bytes] = []
        for position, (name, digest) in enumerate(zip(names, digests, strict=True)):
            if name is None:
                continue
            before = known.get(name)
            late = found.unsettled.get(name)
            is_same = before is not None and before == digest and late is None
            if is_same and not self._full and name not in ahead:
                unchanged.append(position)
                continue
            if before is not None and not is_same:
                outdated.append(name)
            kind = _NEW if name not in known else _SAME if is_same and name not in ahead else _CHANGED
            outgoing.append(_Outgoing(position, name, kind, digest, late))
            ahead.add(name)
        return outgoing, unchanged, outdated

    def on_read(self, records: Sequence[Any], first: int) -> None:
        filtered, self._filtered = self._filtered, None
        self._filtering = frozenset()
        if filtered is None or filtered[0] != first:
            return
        for one in filtered[1]:
            before = self._under_way.get(one.name)
            if before is not None:
                self._earlier.setdefault(one.name, _EarlierRecords()).under_way[before[:_INDEX]] = before
            elif (unsettled := one.unsettled or self._settled.get(one.name)) is not None:
                self._unsettled.setdefault(one.name, unsettled)
            self._under_way[one.name] = one.to_bytes(first)

    def on_settled(self, outcome: BatchOutcome) -> None:
        if outcome.common == _UNCHANGED and not outcome.exceptions:
            return
        changes = _StateChanges()
        names = names_of(outcome.keys)
        for position, (index, key, name) in enumerate(zip(outcome.indexes, outcome.keys, names, strict=True)):
            state, reason, _ = outcome.exceptions.get(position, outcome.common)
            # A field that is there twice may be the number, of which only one is the key.
            self._is_any_unnamed |= state == "invalid" and (key is None or name is None or reason == "duplicate_field")
            if key is None or name is None:
                self.without_key += state in SUCCESS
                continue
            if outcome.was_ambiguous or state in UNCERTAIN:
                self._ambiguous.add(name)
            settled = self._settle(name, index, state)
            if settled is not None and name in self._filtering:
                # What is being looked up decides. What may be processed late is not the content of that.
                if name in self._ambiguous:
                    self._unsettled[name] = Unsettled(None, self._state.sync)
                    # A run that ends before it was looked up says no more of it.
                    changes.unsettled.append((name, None))
            elif settled is not None:
                found, digest, last = settled
                if digest is not None and found != _SAME:
                    changes.rows[found].append(StateRow(key, name, digest))
                self._settle_late(name, last, changes, is_sent=state in SUCCESS and outcome.attempts > 0)
        if changes.rows[_NEW] or changes.rows[_CHANGED] or changes.settled or changes.unsettled:
            self._state.save(*changes.rows, changes.settled, changes.unsettled)

    def _settle(self, name: bytes, index: int, state: State) -> tuple[int, bytes | None, bytes | None] | None:
        """Records the final state of a record. For the last one of a customer that is settled, returns three things; for any other, None.

        That is the last one in the source, unless it can't be sent, or the run ends before its turn: then an earlier one is still under
        way.

        Returns:
            Whether what succeeded is new, changed or what the state has; its digest, or None where nothing succeeded; and the digest of
            what was sent last, or None where that is not known.
        """
        at = index.to_bytes(_INDEX, "big")
        earlier = self._earlier.get(name)
        outgoing = self._under_way.get(name, b"")
        if outgoing.startswith(at):
            if earlier is not None and earlier.under_way:
                self._under_way[name] = earlier.under_way.pop(max(earlier.under_way))
            else:
                del self._under_way[name]
        else:
            outgoing = earlier.under_way.pop(at, b"") if earlier is not None else b""
        if not outgoing:
            # The run ended before it was compared, and the journal knows that it succeeded.
            self._counts[_CHANGED] += state in SUCCESS and state != _UNCHANGED.state
            return None
        found, digest = outgoing[_INDEX], outgoing[_INDEX + 1 :]
        succeeded = state in SUCCESS
        self._counts[found] += succeeded
        if name in self._under_way:
            # The one that is settled last decides; until then only this is remembered.
            assert earlier is not None
            if state not in NOT_ON_SERVER:
                earlier.succeeded = (_CHANGED if found == _SAME else found, digest) if succeeded and digest else None
            return None
        before = self._earlier.pop(name).succeeded if earlier is not None else None
        if succeeded:
            # What has not changed is in the state, unless something else was sent before it.
            return found, digest or None, digest or None
        last = digest or None if earlier is None else None
        if before is None or state not in NOT_ON_SERVER:
            return _SAME, None, last
        return before[0], before[1], last

    def _settle_late(self, name: bytes, digest: bytes | None, changes: _StateChanges, *, is_sent: bool) -> None:
        """Decides after the last record of a customer whether something may still be processed late.

        Args:
            name: the customer number as it is compared.
            digest: of what was sent last.
            changes: what is written to the state; the decision is added to it.
            is_sent: whether the last record was sent, with success.
        """
        before = self._unsettled.pop(name, None)
        if name in self._ambiguous:
            self._ambiguous.discard(name)
            # Something else than what was sent last may be processed late, and also after what the next sync sends.
            is_other = before is not None and before.digest != digest and not is_sent
            changes.unsettled.append((name, None if is_other else digest))
        elif before is not None and is_sent:
            if digest is not None and digest == before.digest and before.sync < self._state.sync:
                changes.settled.append(name)
                self._settled[name] = before
            else:
                changes.unsettled.append((name, digest))

    async def end(self, *, complete: bool) -> None:
        rules = self._rules if self._rules is not None else self._state.rules
        is_whole = complete and not self._is_limited()
        # Customers beyond the limit are in the state as they were judged before.
        await self._state.close(rules=rules if is_whole or (complete and rules == self._state.rules) else None)
        self.is_gone_hidden = is_whole and self._is_any_unnamed
        if is_whole and not self._is_any_unnamed:
            self.gone = self._state.rows - self._expectation.seen
