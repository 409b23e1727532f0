"""The simulation in the suite: some stories, the cases that once failed, and that one seed decides everything."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from . import document_mutants
from .__main__ import main
from .explore import explore
from .graveyard import stories
from .kinds import shrink
from .mutant_search import written
from .mutants import MUTANTS, mutated
from .scenario import Scenario, draw, read_case, run_scenario
from .versions import same_turns

CASES = sorted((Path(__file__).parent / "cases").glob("*.json"))
# Where a rule of the simulation was wrong, nothing can be taken out again.
MENDED = [case for case in CASES if read_case(case)[1]]
ROOT = Path(__file__).parents[2]

FOUND_SOON = (
    "crashed_is_not_sent",
    "failed_counts_as_done",
    "equal_documents_are_one",
    "numbers_of_other_runs_are_ignored",
    "no_answer_is_not_sent",
    *document_mutants.FOUND_SOON,
)
"""Mutants that are found with few seeds; `python -m tests.simulation --mutants` looks for all."""


def traces(seeds: range) -> list[str]:
    with stories():
        return [run_scenario(draw(seed)).trace for seed in seeds]


@pytest.mark.proof
def test_some_stories_have_no_violation():
    with stories():
        found = {seed: result.violations for seed in range(15) if (result := run_scenario(draw(seed))).violations}

    assert not found


@pytest.mark.proof
def test_a_seed_decides_everything_in_any_order_and_process():
    script = "from tests.simulation.test_simulation import traces; print(*traces(range(5)))"
    environment = {**os.environ, "PYTHONHASHSEED": "12345"}
    command = [sys.executable, "-c", script]
    other = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=120)

    first = traces(range(5))
    backwards = traces(range(4, -1, -1))[::-1]

    assert backwards == first
    assert other.stdout.split() == first
    assert len(set(first)) == len(first)
    # Nothing is said about what killed processes leave behind.
    assert other.stderr == ""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_what_once_failed_is_mended(case):
    # A case is shrunk to the story, or the branch, that failed.
    assert run_scenario(read_case(case)[0], branches=False).violations == []


@pytest.mark.parametrize("case", MENDED, ids=lambda case: case.stem)
@same_turns
def test_without_its_mend_it_fails_again(case):
    scenario, mutant = read_case(case)
    with mutated(mutant):
        assert run_scenario(scenario, branches=False).violations


@pytest.mark.parametrize("mutant", FOUND_SOON)
def test_a_known_fault_is_found(mutant):
    with stories(), mutated(mutant):
        assert any(run_scenario(draw(seed)).violations for seed in range(100))


def test_each_mutant_was_looked_for():
    assert written().keys() == MUTANTS.keys(), "python -m tests.simulation --mutants --mutant NAME --write"


def test_a_branch_is_the_same_story_alone():
    with stories(), mutated("unknown_is_sent_again"):
        found = next((seed, result) for seed in range(100) if (result := run_scenario(draw(seed))).branch is not None and result.violations)
        seed, result = found
        alone = run_scenario(replace(draw(seed), branch=result.branch))

    assert alone.violations == result.violations
    assert alone.trace == result.trace


@pytest.mark.proof
def test_a_story_is_shrunk_to_the_fault_that_matters():
    with stories(), mutated("unknown_is_sent_again"):
        seed = next(seed for seed in range(100) if run_scenario(draw(seed), branches=False).violations)
        small = shrink(draw(seed), lambda one: bool(run_scenario(one, branches=False).violations))

        assert run_scenario(small, branches=False).violations
        assert len(small.acts) <= 1
        assert len(small.only or ()) <= 1


@pytest.mark.proof
def test_what_was_seen_steers_the_choice_of_seeds_and_is_counted():
    first = explore(draw, run_scenario, first=0, number=6, workers=2, until=None)
    again = explore(draw, run_scenario, first=0, number=6, workers=2, until=None)

    assert first == again
    assert first.done == 6
    assert first.cases > 6
    assert first.states
    assert sum(first.pairs.values()) > sum(first.features.values())
    assert first.promise(replace(draw(0), faults=())) < first.promise(draw(0)) or not draw(0).faults


def test_a_run_ends_after_so_many_cases(capsys, monkeypatch):
    monkeypatch.setattr("tests.simulation.explore._AT_ONCE", 1)
    monkeypatch.setattr(sys, "argv", ["simulation", "--cases", "2", "--workers", "1"])

    assert main() == 0

    told = re.search(r"(\d+) stories with (\d+) cases", capsys.readouterr().out)
    assert told is not None
    assert int(told[1]) < 5
    assert int(told[2]) >= 2


def test_a_run_says_what_failed_and_how_to_tell_it(capsys, monkeypatch):
    stories_of = ["--kind", "documents", "--seeds", "2", "--workers", "1"]
    monkeypatch.setattr(sys, "argv", ["simulation", *stories_of, "--mutant", "a_batch_is_too_large"])

    assert main() == 1

    told = capsys.readouterr().out
    command = re.search(r"FAILED: python -m tests.simulation --seed (\d+)(?: --branch (\d+))? --kind documents --shrink  # limits", told)
    assert command is not None
    assert f"--- seed {command[1]}, shrunk ---" in told
    assert "pairs of them in one story: " in told


def test_a_story_is_the_same_as_json():
    for seed in range(20):
        scenario = draw(seed)
        assert Scenario.from_dict(json.loads(json.dumps(scenario.to_dict()))) == scenario
