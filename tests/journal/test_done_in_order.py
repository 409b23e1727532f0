"""Records that succeeded before are recognised in the order of the journal, and what is decided is what the index would have said."""

from __future__ import annotations

import contextlib
from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amili_arm_async.bulk.chunking import Batch
from amili_arm_async.bulk.fingerprints import fingerprints_of_sorted
from amili_arm_async.bulk.journal.matching import ResumeDecisions
from amili_arm_async.bulk.journal.newer_records import NewerRecords
from amili_arm_async.bulk.journal.run_key import RunKey
from amili_arm_async.bulk.journal.sqlite.schema import open_journal
from amili_arm_async.bulk.journal.sqlite.store import RunStore
from amili_arm_async.bulk.outcomes import Outcome
from amili_arm_async.clock import Stamp

from ..support.examples import many
from ..support.sandbox_fixtures import documents, quick

NOW = Stamp(1.0)
Record = tuple[str | None, int]
"""The number of a document, and what it says."""


def batch_of(number: int, records: Sequence[Record], indexes: Sequence[int]) -> Batch:
    texts = [b'{"documentNo":"%s","ledgerNote":"%d"}' % ((key or "").encode(), content) for key, content in records]
    body = b",".join(texts)
    return Batch(number, indexes, [key for key, _ in records], (body,), len(body), fingerprints_of_sorted(texts))


def batches_of(records: Sequence[Record], size: int, gap: int = 0) -> Iterator[Batch]:
    """Cuts records into batches; where there is a gap, one place in the source is skipped behind so many records."""
    places = [place + (place // gap if gap else 0) for place in range(len(records))]
    for number, start in enumerate(range(0, len(records), size), 1):
        some = places[start : start + size]
        indexes = array("q", some) if gap else range(some[0], some[-1] + 1)
        yield batch_of(number, records[start : start + size], indexes)


class Night:
    """A run that was attempted once, and its next attempt."""

    def __init__(self, first: Sequence[Record], size: int, states: Mapping[int, Outcome], *, safe: bool) -> None:
        self.connection = open_journal("")
        key = RunKey("night", "customers.create_batch" if safe else "documents.create_batch", 2218, "https://localhost/", safe)
        store = RunStore(key, "", True)
        self.next = store.begin(self.connection, deadline=60, now=NOW, process=1).next_batch
        for batch in batches_of(first, size):
            store.enter(self.connection, self.next, batch)
            store.before_send(self.connection, self.next, batch, 1, NOW, was_ambiguous=False)
            apart = {place: states[index] for place, index in enumerate(batch.indexes) if index in states}
            done = Outcome("succeeded")
            store.settle(self.connection, self.next, done, apart, tries=1, status=None, now=NOW, keep_body=True)
            self.next += 1
        self.store = RunStore(key, "", True)
        self.next = self.store.begin(self.connection, deadline=60, now=NOW, process=1).next_batch

    def decide(self, batch: Batch) -> ResumeDecisions:
        self.next += 1
        return self.store.decide(self.connection, self.next - 1, batch)


def told(batch: Batch, decisions: ResumeDecisions) -> Any:
    """What becomes of each record, but for which of equal ones it is."""
    if decisions.all_done:
        return dict.fromkeys(range(len(batch)), "succeeded")
    said: dict[int, Any] = dict.fromkeys(decisions.send, "sent")
    said |= {place: entry.state for place, entry in decisions.taken.items()}
    return said | {place: outcome.reason for place, outcome in decisions.conflicts.items()}


NUMBERS = st.sampled_from([f"D{number}" for number in range(12)] + [None])
SOURCES = st.lists(st.tuples(NUMBERS, st.integers(0, 1)), max_size=12)
STATES = st.sampled_from([Outcome("failed", "x"), Outcome("accepted", "unmapped"), Outcome("unknown", "504")])


@many(300)
@given(
    st.integers(0, 12),
    st.dictionaries(st.integers(0, 11), STATES, max_size=1),
    st.integers(1, 5),
    st.integers(1, 5),
    st.sampled_from([0, 1, 3]),
    SOURCES,
    st.integers(0, 12),
    st.booleans(),
)
def test_what_is_decided_is_what_the_index_says(count, states, size, again, gap, others, cut, safe) -> None:
    first: list[Record] = [(f"D{number}", 0) for number in range(count)]
    # The same source as before, up to some place; then anything.
    source = [*first[:cut], *others]
    quickly, carefully = (Night(first, size, states, safe=safe) for _ in range(2))
    if carefully.store.in_order is not None:
        carefully.store._index_earlier(carefully.connection)
    for batch in batches_of(source, again, gap):
        assert told(batch, quickly.decide(batch)) == told(batch, carefully.decide(batch))
    assert quickly.store.left_behind(quickly.connection) == carefully.store.left_behind(carefully.connection)
    states_of: list[Any] = []
    for night in (quickly, carefully):
        with closing(NewerRecords(())) as newer:
            found = night.store.unsuccessful(night.connection, frozenset({"succeeded"}), newer)
            states_of.append([(one.keys, dict(one.indexes), one.outcome) for one in found])
        night.connection.close()
    assert states_of[0] == states_of[1]


def test_the_same_source_needs_no_index_and_a_repeated_number_builds_it() -> None:
    first: list[Record] = [(f"D{number}", 0) for number in range(100)]
    night = Night(first, 30, {}, safe=False)
    for batch in batches_of(first, 40):
        assert night.decide(batch).all_done
    assert night.store.index is None
    assert night.store.left_behind(night.connection) == {}
    decisions = night.decide(batch_of(9, [("D7", 0), ("New", 0)], range(100, 102)))
    assert decisions.conflicts[0].reason == "document_no_repeated"
    assert decisions.send == [1]
    night.connection.close()


def test_places_that_do_not_follow_each_other_take_no_memory() -> None:
    first: list[Record] = [(f"D{number}", 0) for number in range(1000)]
    night = Night(first, 500, {}, safe=False)
    (batch,) = batches_of(first, 1000, gap=1)
    decisions = night.decide(batch)
    assert not decisions.all_done
    assert len(decisions.taken) == 1000
    night.connection.close()


@pytest.mark.parametrize("change", ["nothing", "shorter", "longer", "other content", "turned"])
@pytest.mark.parametrize("max_records", [100, 70])
async def test_a_second_night(change: Literal["nothing"], max_records, arm, sandbox, journal) -> None:
    options = quick(journal=journal, run_id="night", max_records=100)
    await arm.documents.create_many(documents(1000), options=options)
    source = list(documents(1000))
    expected = {"done_before": 1000}
    if change == "shorter":
        source, expected = source[:750], {"done_before": 750}
    elif change == "longer":
        source, expected = list(documents(1100)), {"done_before": 1000, "succeeded": 100}
    elif change == "other content":
        source[555] = {**source[555], "ledgerNote": "another"}
        expected = {"done_before": 999, "invalid": 1}
    elif change == "turned":
        source.reverse()
    options = quick(journal=journal, run_id="night", max_records=max_records)
    with contextlib.closing(sandbox.documents.doubles()) as doubles:
        report = await arm.documents.create_many(source, options=options)
        assert {state: number for state, number in report.counts.items() if number} == expected
        assert report.left_behind == {}
        assert list(doubles) == []
