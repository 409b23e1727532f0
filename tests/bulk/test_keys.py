"""The key gate: batches with a key in common wait for each other in the order of the source, and nobody else waits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amili_arm_async.bulk.keys import KeySerializer, KeyTicket

from ..support.examples import many

pytestmark = pytest.mark.quick

KEYS = st.lists(st.none() | st.sampled_from(["1", "2", "3", "a", "A", "ß", "ss", "Σ", "ς"]), min_size=1, max_size=5)
STEPS = st.lists(st.tuples(KEYS, st.integers(0, 5)), max_size=25)


@many(200)
@given(STEPS)
def test_a_batch_waits_for_all_earlier_ones_with_a_key_in_common_and_for_no_other(steps) -> None:
    gate = KeySerializer()
    under_way: list[tuple[KeyTicket, set[str], int]] = []
    for keys, leaves in steps:
        folded = {key.casefold() for key in keys if key is not None}
        made, before = gate.enter(keys)
        assert before == [other for other, theirs, _ in under_way if folded & theirs]
        assert made.repeats == (len(folded) < sum(key is not None for key in keys))
        under_way.append((made, folded, len(keys)))
        for _ in range(min(leaves, len(under_way))):
            gone, _, records = under_way.pop(leaves % len(under_way))
            gate.settle(gone, records)
            assert gone.left.is_set()
        assert not any(other.left.is_set() for other, _, _ in under_way)


def test_a_batch_leaves_when_the_last_of_its_parts_is_settled() -> None:
    gate = KeySerializer()
    made, _ = gate.enter(["1", "2", "3"])
    gate.settle(made, 2)
    assert not made.left.is_set()
    assert gate.enter(["3"])[1] == [made]
    gate.settle(made, 1)
    assert made.left.is_set()


def test_a_key_held_twice_is_free_when_both_have_left_in_any_order() -> None:
    gate = KeySerializer()
    first, _ = gate.enter(["1"])
    second, _ = gate.enter(["1"])
    gate.settle(first, 1)
    third, before = gate.enter(["1"])
    assert before == [second]
    gate.settle(third, 1)
    gate.settle(second, 1)
    assert gate.enter(["1"])[1] == []


def test_records_without_keys_wait_for_nobody() -> None:
    gate = KeySerializer()
    gate.enter([None, None])
    made, before = gate.enter([None])
    assert before == []
    assert not made.repeats


def test_keys_with_a_nul_are_compared_without_case_too() -> None:
    gate = KeySerializer()
    made, _ = gate.enter(["a\0b"])
    assert gate.enter(["A\0B"])[1] == [made]


def test_abandoned_nobody_waits_any_more() -> None:
    gate = KeySerializer()
    passes = [gate.enter(["1"])[0] for _ in range(3)]
    gate.abandon()
    assert all(made.left.is_set() for made in passes)
