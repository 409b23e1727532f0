"""States and outcomes: one outcome for all with exceptions equals one outcome for each."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

import amili_arm_async
from amili_arm_async import BatchOutcome, State
from amili_arm_async.bulk.outcomes import STATE_RULES, STATES, Outcome

pytestmark = pytest.mark.quick

OUTCOMES = st.builds(Outcome, st.sampled_from(STATES), st.sampled_from(["", "400", "deadline"]), st.none() | st.text(max_size=3))


def test_the_states_are_those_of_the_type() -> None:
    assert get_args(State) == STATES
    assert len(set(STATES)) == 12


PACKAGE = Path(amili_arm_async.__file__).parent

OWN_LISTS = {
    "bulk/outcomes.py": "the table",
    "bulk/failure_evidence.py": "these are meanings of the words of a batch result, not final states",
    "bulk/journal/matching.py": "the states of a row of the journal: they hold some that are not final",
    "cli/html_report/sections.py": "the rows that the table of money always shows",
}
"""The modules that may list states, and why."""


def lists_of_states(path: Path) -> Iterator[int]:
    """The lines of a module where at least two states stand in a set, tuple, list, dict or Literal with nothing but states."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Set | ast.Tuple | ast.List | ast.Dict):
            items = node.keys if isinstance(node, ast.Dict) else node.elts
            words = {item.value for item in items if isinstance(item, ast.Constant)}
            if len(items) > 1 and len(words) == len(items) and words <= set(STATES):
                yield node.lineno


def test_only_the_table_lists_states() -> None:
    """A new final state is added in `bulk/outcomes.py` alone: every other module asks the table."""
    paths = [path for path in PACKAGE.rglob("*.py") if "sandbox" not in path.parts]
    found = {path.relative_to(PACKAGE).as_posix(): list(lists_of_states(path)) for path in paths}
    assert {name: lines for name, lines in found.items() if lines and name not in OWN_LISTS} == {}
    assert found["bulk/outcomes.py"]


def test_every_state_says_what_it_means_and_what_to_do() -> None:
    assert [state for state, rule in STATE_RULES.items() if not rule.meaning or not rule.advice] == []


@given(OUTCOMES, st.lists(st.none() | OUTCOMES, min_size=1, max_size=9), st.integers(0, 99))
def test_iterating_and_counting_tell_the_same(common, own, first) -> None:
    exceptions = {place: one for place, one in enumerate(own) if one is not None}
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
