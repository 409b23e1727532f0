"""The simulation in the suite: some stories, the cases that once failed, and that one seed decides everything."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .graveyard import stories
from .mutants import mutated
from .scenario import Scenario, draw, read_case, run_scenario

CASES = sorted((Path(__file__).parent / "cases").glob("*.json"))
ROOT = Path(__file__).parents[2]


def traces(seeds: range) -> list[str]:
    with stories():
        return [run_scenario(draw(seed)).trace for seed in seeds]


def test_some_stories_have_no_violation():
    with stories():
        found = {seed: result.violations for seed in range(60) if (result := run_scenario(draw(seed))).violations}

    assert not found


def test_a_seed_decides_everything_in_any_order_and_process():
    script = "from tests.simulation.test_simulation import traces; print(*traces(range(8)))"
    environment = {**os.environ, "PYTHONHASHSEED": "12345"}
    command = [sys.executable, "-c", script]
    other = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=120)

    first = traces(range(8))
    backwards = traces(range(7, -1, -1))[::-1]

    assert backwards == first
    assert other.stdout.split() == first
    assert len(set(first)) == len(first)
    # Nothing is said about what killed processes leave behind.
    assert other.stderr == ""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_what_once_failed_is_mended(case):
    assert run_scenario(read_case(case)[0]).violations == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
@pytest.mark.skipif(
    sys.version_info[:2] != (3, 11), reason="a story counts turns of the loop, which are others in another version of Python"
)
def test_without_its_mend_it_fails_again(case):
    scenario, mutant = read_case(case)
    with mutated(mutant):
        assert run_scenario(scenario).violations


def test_a_story_is_the_same_as_json():
    for seed in range(20):
        scenario = draw(seed)
        assert Scenario.from_dict(json.loads(json.dumps(scenario.to_dict()))) == scenario
