"""Stories of customers in the suite: some of each kind, and the cases that once failed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from . import kinds
from .customer_mutants import KIND_OF
from .graveyard import stories
from .mutants import mutated
from .versions import same_turns

CASES = sorted((Path(__file__).parent / "cases" / "customers").glob("*.json"))
# Where a rule of the simulation was wrong, nothing can be taken out again.
MENDED = [case for case in CASES if kinds.read_case(case)[1]]
KINDS = [kind for kind in kinds.KINDS if kind != "documents"]

FOUND_SOON = ("the_state_is_written_before_the_result", "unknown_is_kept", "a_part_of_the_digest_is_compared")
"""Mutants that are found with few seeds; `python -m tests.simulation --mutants` looks for all."""


@pytest.mark.proof
@pytest.mark.parametrize("kind", KINDS)
def test_some_stories_have_no_violation(kind):
    with stories():
        found = {seed: result.violations for seed in range(10) if (result := kinds.run(kinds.draw(seed, kind))).violations}

    assert not found


@pytest.mark.proof
@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_decides_everything(kind):
    with stories():
        first = [kinds.run(kinds.draw(seed, kind)).trace for seed in range(3)]
        again = [kinds.run(kinds.draw(seed, kind)).trace for seed in (2, 1, 0)]

    assert again[::-1] == first


@pytest.mark.parametrize("kind", KINDS)
def test_a_story_is_the_same_as_json(kind):
    for seed in range(20):
        plan = kinds.draw(seed, kind)
        assert kinds.read(json.loads(json.dumps(plan.to_dict()))) == plan


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_what_once_failed_is_mended(case):
    # A case is shrunk to the story, or the branch, that failed.
    assert kinds.run(kinds.read_case(case)[0], branches=False).violations == []


@pytest.mark.parametrize("case", MENDED, ids=lambda case: case.stem)
@same_turns
def test_without_its_mend_it_fails_again(case):
    plan, mutant = kinds.read_case(case)
    with mutated(mutant):
        assert kinds.run(plan, branches=False).violations


@pytest.mark.parametrize("mutant", FOUND_SOON)
def test_a_mutant_is_found(mutant):
    with stories(), mutated(mutant):
        assert any(kinds.run(kinds.draw(seed, KIND_OF[mutant])).violations for seed in range(20))


def test_every_kind_has_its_turn():
    assert {getattr(kinds.draw(seed), "kind", "documents") for seed in range(60)} == set(kinds.KINDS)
