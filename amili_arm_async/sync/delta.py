"""Watches a sync: takes out the customers that are as they were last sent with success, and keeps in the state what was sent this time.

A customer to whom something was sent of which nobody knows whether it was taken, so that it may be processed after all that follows, is
unsettled: in the next sync he is sent again, though he succeeded. Where that sends what was sent last, without any doubt, he is settled;
where it has something newer to send, the sync after that sends it once more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from ..bulk.chunking import RecordType
from ..bulk.observers import RunObserver
from ..bulk.outcomes import NOT_ON_SERVER, SUCCESS, UNCERTAIN, BatchOutcome, Outcome, State
from ..bulk.report import Expectation
from .digests import RecordDigests
from .state import Known, StateRow, SyncState, Unsettled, gone, names_of

__all__ = ["Delta"]

_UNCHANGED: Final = Outcome("unchanged")

_NEW: Final = 0
_CHANGED: Final = 1
_SAME: Final = 2
_INDEX: Final = 8


class _Going(NamedTuple):
    """A record that goes on, by its place in a slice."""

    place: int
    name: bytes
    found: int
    digest: bytes | None
    unsettled: Unsettled | None

    def packed(self, first: int) -> bytes:
        """In one piece: there may be very many."""
        return (first + self.place).to_bytes(_INDEX, "big") + bytes((self.found,)) + (self.digest or b"")


class _Earlier:
    """Records with a number that went on once more since: those under way by index, and the digest of the last that made it."""

    __slots__ = ("succeeded", "under_way")

    def __init__(self) -> None:
        self.under_way: dict[bytes, bytes] = {}
        self.succeeded: tuple[int, bytes] | None = None


class _Kept:
    """What goes into the state for some outcomes."""

    __slots__ = ("rows", "settled", "unsettled")

    def __init__(self) -> None:
        self.rows: tuple[list[StateRow], list[StateRow]] = [], []
        self.settled: list[bytes] = []
        self.unsettled: list[tuple[bytes, bytes | None]] = []


class Delta(RunObserver):
    """The watcher of one sync.

    Args:
        state: not open yet.
        kind: what the records are.
        full: whether what did not change is sent too.
        may_change: whether others may change a record while it is looked up, as those of a list.
        expectation: learns how many of the customers in the state the source has.

    Attributes:
        without_key: records that made it and have no number.
        gone: customers in the state that the source does not have; None where the run did not come to its end.
    """

    reads_texts = True

    def __init__(self, state: SyncState, kind: RecordType, *, full: bool, expectation: Expectation, may_change: bool = False) -> None:
        self.without_key = 0
        self.gone: int | None = None
        self._found: Counter[int] = Counter()
        self._state = state
        self._expectation = expectation
        self._full = full
        self._may_change = may_change
        self._digests = RecordDigests(kind)
        # A bit for each number of a customer in the state.
        self._seen = bytearray()
        # By name, the last record that is under way, packed.
        self._under_way: dict[bytes, bytes] = {}
        self._earlier: dict[bytes, _Earlier] = {}
        # Of names that are under way: who was unsettled before, and of whom something may be processed late now.
        self._unsettled: dict[bytes, Unsettled] = {}
        self._ambiguous: set[bytes] = set()
        # Names that are being looked up: what is told of them meanwhile is not kept.
        self._sifting: frozenset[bytes | None] = frozenset()
        self._sifted: tuple[int, list[_Going]] | None = None

    @property
    def new(self) -> int:
        """Records that made it and were not in the state."""
        return self._found[_NEW]

    @property
    def changed(self) -> int:
        """Records that made it and were in the state otherwise."""
        return self._found[_CHANGED]

    @property
    def same(self) -> int:
        """Records that made it though they were in the state as they are."""
        return self._found[_SAME]

    def gone_keys(self) -> Iterator[str]:
        """The numbers of those who are gone, read from the state."""
        if self.gone:
            yield from gone(self._state.path, bytes(self._seen), self._state.next)

    @property
    def path(self) -> str:
        """Of the state."""
        return self._state.path

    # --- the run ----------------------------------------------------------------------------------------------------------

    async def begin(self) -> None:
        await self._state.open()
        self._seen = bytearray((self._state.next >> 3) + 1)
        self._expectation.known = self._state.rows

    async def filter(self, records: Sequence[Any], first: int) -> Mapping[int, Outcome]:
        self._sifted = None
        keys, digests = self._digests.of(records)
        names = names_of(keys)
        self._sifting = frozenset(names)
        known, unsettled = await self._state.find([name for name in self._sifting if name is not None])
        self._see(known)
        going, unchanged, doubtful = self._compare(names, digests, known, unsettled)
        if doubtful:
            await self._state.doubt(doubtful)
        self._sifted = first, going
        return dict.fromkeys(unchanged, _UNCHANGED)

    def _see(self, known: Mapping[bytes, Known]) -> None:
        seen, end = self._seen, self._state.next
        for number, _ in known.values():
            if number < end and not seen[number >> 3] & 1 << (number & 7):
                seen[number >> 3] |= 1 << (number & 7)
                self._expectation.seen += 1

    def _compare(
        self,
        names: Sequence[bytes | None],
        digests: Sequence[bytes | None],
        known: Mapping[bytes, Known],
        unsettled: Mapping[bytes, Unsettled],
    ) -> tuple[list[_Going], list[int], list[bytes]]:
        """What goes on, what did not change, and whose digest in the state does not hold any more when that is sent.

        Of whom something else is under way, the state has no digest: whatever comes next is sent.
        """
        # Of whom something goes on in this slice, what the state says won't be the last.
        ahead: set[bytes] = set()
        going: list[_Going] = []
        unchanged: list[int] = []
        doubtful: list[bytes] = []
        for place, (name, digest) in enumerate(zip(names, digests, strict=True)):
            if name is None:
                continue
            before = known.get(name)
            late = unsettled.get(name)
            is_same = before is not None and digest is not None and before.digest == digest and late is None
            if is_same and not self._full and name not in ahead:
                unchanged.append(place)
                continue
            if before is not None and before.digest is not None and not is_same:
                doubtful.append(name)
            found = _NEW if before is None else _SAME if is_same and name not in ahead else _CHANGED
            going.append(_Going(place, name, found, digest, late))
            ahead.add(name)
        return going, unchanged, doubtful

    def on_read(self, records: Sequence[Any], first: int) -> None:
        sifted, self._sifted = self._sifted, None
        self._sifting = frozenset()
        if sifted is None or sifted[0] != first:
            return
        going = sifted[1]
        if self._may_change and going:
            # What is kept is the digest of what is sent.
            _, digests = self._digests.of([records[one.place] for one in going])
            going = [one._replace(digest=digest) for one, digest in zip(going, digests, strict=True)]
        for one in going:
            before = self._under_way.get(one.name)
            if before is not None:
                self._earlier.setdefault(one.name, _Earlier()).under_way[before[:_INDEX]] = before
            elif one.unsettled is not None:
                self._unsettled.setdefault(one.name, one.unsettled)
            self._under_way[one.name] = one.packed(first)

    def on_settled(self, outcome: BatchOutcome) -> None:
        if outcome.common == _UNCHANGED and not outcome.exceptions:
            return
        kept = _Kept()
        names = names_of(outcome.keys)
        for position, (index, key, name) in enumerate(zip(outcome.indexes, outcome.keys, names, strict=True)):
            state = outcome.exceptions.get(position, outcome.common).state
            if key is None or name is None:
                self.without_key += state in SUCCESS
                continue
            if outcome.was_ambiguous or state in UNCERTAIN:
                self._ambiguous.add(name)
            settled = self._settle(name, index, state)
            if settled is not None and name not in self._sifting:
                found, digest, last = settled
                if digest is not None and found != _SAME:
                    kept.rows[found].append(StateRow(key, name, digest))
                self._settle_late(name, digest or last, kept, is_sent=state in SUCCESS and outcome.attempts > 0)
        if kept.rows[_NEW] or kept.rows[_CHANGED] or kept.settled or kept.unsettled:
            self._state.keep(*kept.rows, kept.settled, kept.unsettled)

    def _settle(self, name: bytes, index: int, state: State) -> tuple[int, bytes | None, bytes | None] | None:
        """Takes in the final state of a record. Of the last one of its customer, gives whether what was sent with success is new, changed
        or what the state has; its digest, or None where nothing was; and the digest of this record."""
        at = index.to_bytes(_INDEX, "big")
        last = self._under_way.get(name, b"")
        earlier = self._earlier.get(name)
        is_last = last.startswith(at)
        going = last if is_last else earlier.under_way.pop(at, None) if earlier is not None else None
        if going is None:
            return None
        found, digest = going[_INDEX], going[_INDEX + 1 :]
        succeeded = state in SUCCESS
        self._found[found] += succeeded
        if not is_last:
            # The last one decides; until then only this is remembered.
            assert earlier is not None
            if state not in NOT_ON_SERVER:
                earlier.succeeded = (_CHANGED if found == _SAME else found, digest) if succeeded and digest else None
            return None
        del self._under_way[name]
        before = self._earlier.pop(name).succeeded if earlier is not None else None
        if succeeded:
            # What did not change is in the state, unless something else went out before it.
            return found, digest or None, digest or None
        if before is None or state not in NOT_ON_SERVER:
            return _SAME, None, digest or None
        return before[0], before[1], digest or None

    def _settle_late(self, name: bytes, digest: bytes | None, kept: _Kept, *, is_sent: bool) -> None:
        """Decides, after the last record of a customer, whether something may be processed late; `digest` is of what was sent last."""
        before = self._unsettled.pop(name, None)
        if name in self._ambiguous:
            self._ambiguous.discard(name)
            kept.unsettled.append((name, digest))
        elif before is not None and is_sent:
            if digest is not None and digest == before.digest and before.sync < self._state.sync:
                kept.settled.append(name)
            else:
                kept.unsettled.append((name, digest))

    async def end(self, *, complete: bool) -> None:
        await self._state.close()
        if complete:
            self.gone = self._state.rows - self._expectation.seen
