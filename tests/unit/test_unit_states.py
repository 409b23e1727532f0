"""States and outcomes: one verdict for all and exceptions is the same as one verdict for each."""

from __future__ import annotations

from collections import Counter
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amili_arm_async import BatchOutcome, State
from amili_arm_async.bulk.outcomes import STATES, Outcome

VERDICTS = st.builds(Outcome, st.sampled_from(STATES), st.sampled_from(["", "400", "deadline"]), st.none() | st.text(max_size=3))


def test_the_states_are_those_of_the_type() -> None:
    assert get_args(State) == STATES
    assert len(set(STATES)) == 10


@given(VERDICTS, st.lists(st.none() | VERDICTS, min_size=1, max_size=9), st.integers(0, 99))
def test_iterating_and_counting_tell_the_same(common, own, first) -> None:
    exceptions = {place: verdict for place, verdict in enumerate(own) if verdict is not None}
    keys = [str(place) for place in range(len(own))]
    outcome = BatchOutcome(1, "u", 1, None, range(first, first + len(own)), keys, common, exceptions)
    records = list(outcome)
    assert [record.index for record in records] == list(range(first, first + len(own)))
    assert [(r.state, r.reason, r.message) for r in records] == [exceptions.get(place, common) for place in range(len(own))]
    assert outcome.counts == Counter(record.state for record in records)
    assert len(outcome) == len(records)


def test_no_repr_shows_a_message_or_a_key() -> None:
    outcome = BatchOutcome(1, "u", 1, None, range(1), ["01019921717"], Outcome("failed", "400", "Owe Armstrong has no address"))
    (record,) = outcome
    assert "Armstrong" not in repr(outcome) + repr(record)
    assert "01019921717" not in repr(outcome)


def test_outcomes_are_frozen() -> None:
    (record,) = BatchOutcome(1, None, 0, None, range(1), ["1"], Outcome("invalid"))
    with pytest.raises(AttributeError):
        record.state = "succeeded"
