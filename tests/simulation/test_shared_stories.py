"""Stories of shared runs in the suite: some of them, the cases that once failed, and some mutants. Without PostgreSQL they are skipped."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("psycopg", reason="psycopg is not installed")

from ..support.postgres import Server
from . import kinds, shared_bulk, shared_server
from .__main__ import main
from .graveyard import stories
from .mutants import mutated
from .shared_mutants import FOUND_SOON
from .shared_plan import draw
from .shared_server import served
from .shared_story import run_shared
from .versions import same_turns

CASES = sorted((Path(__file__).parent / "cases" / "shared").glob("*.json"))
# Where a rule of the simulation was wrong, nothing can be taken out again.
MENDED = [case for case in CASES if kinds.read_case(case)[1]]


@pytest.fixture(autouse=True)
def database_of_stories(postgres: Server) -> Iterator[None]:
    """Stories are told with the server of the suite."""
    with served(postgres):
        yield


def violations(seeds: range) -> dict[int, list[str]]:
    with stories():
        return {seed: result.violations for seed in seeds if (result := run_shared(draw(seed))).violations}


def test_a_story_has_no_violation():
    assert not violations(range(1))


@pytest.mark.proof
def test_some_stories_have_no_violation():
    assert not violations(range(1, 30))


@pytest.mark.proof
def test_a_seed_decides_everything():
    with stories():
        first = [run_shared(draw(seed)).trace for seed in range(4)]
        again = [run_shared(draw(seed)).trace for seed in (3, 2, 1, 0)]

    assert again[::-1] == first
    assert len(set(first)) == len(first)


def test_a_story_is_the_same_as_json():
    for seed in range(20):
        plan = draw(seed)
        assert kinds.read(json.loads(json.dumps(plan.to_dict()))) == plan


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_what_once_failed_is_mended(case):
    assert kinds.run(kinds.read_case(case)[0]).violations == []


@pytest.mark.parametrize("case", MENDED, ids=lambda case: case.stem)
@same_turns
def test_without_its_mend_it_fails_again(case):
    plan, mutant = kinds.read_case(case)
    with mutated(mutant):
        assert kinds.run(plan).violations


@pytest.mark.parametrize("mutant", FOUND_SOON)
def test_a_mutant_is_found(mutant):
    with mutated(mutant):
        assert any(violations(range(seed, seed + 1)) for seed in range(6))


def test_without_postgres_nothing_is_told(monkeypatch, capsys):
    def nothing() -> None:
        pytest.skip("PostgreSQL is not installed")

    monkeypatch.setattr(shared_server, "running", nothing)
    monkeypatch.setattr(sys, "argv", ["simulation", "--kind", "shared", "--seeds", "1"])

    assert main() == 0
    assert "skipped" in capsys.readouterr().out


@pytest.mark.proof
@pytest.mark.parametrize(("mutant", "found"), [(None, 0), ("crashed_is_not_sent", 1)])
def test_many_documents_are_sent_once(monkeypatch, mutant, found):
    monkeypatch.setattr(sys, "argv", ["shared_bulk", "--documents", "1000", "--parts", "8", "--batch", "20", "--harm", "0.95"])

    with mutated(mutant) if mutant is not None else contextlib.nullcontext():
        assert shared_bulk.main() == found
