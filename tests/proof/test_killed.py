"""A real process is killed with SIGKILL and started again until it ends by itself: then the server is asked what it took."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import pytest

from .crash import Trial, random_kill, side_by_side
from .kill_points import POINTS

pytestmark = pytest.mark.proof

KINDS = ["documents", "customers"]
FIRST = [name for name, point in POINTS.items() if point.phase == "first"]
RESUME = [name for name, point in POINTS.items() if point.phase == "resume"]

MakeTrial = Callable[..., Trial]


def end_well(trial: Trial) -> None:
    """The last attempt ends by itself with all accounts balanced, and a further one sends nothing."""
    account = trial.finish()
    successes, unknown = account.states.count("success"), account.states.count("unknown")
    assert successes + unknown == len(account.states), trial.story(f"{account.counts}")
    if trial.source.kind == "customers":
        assert not unknown
        trial.check_customers(trial.tenant.truth())
    # Two batches more than may be on the wire have their intent written down.
    on_the_wire = trial.options["max_records"] * (trial.options["concurrency"] + 2)
    assert unknown <= trial.kills * on_the_wire, trial.story("more is unknown than was on the wire")
    assert not any(account.left_behind.values()), trial.story(f"left behind: {account.left_behind}")
    questions = sum(trial.tenant.truth().batches.values())
    again = trial.finish()
    assert sum(trial.tenant.truth().batches.values()) == questions or trial.source.kind == "customers", trial.story(
        "asked for what was known"
    )
    sent = {key for write in trial.tenant.truth().writes if write["user"] == trial.user for key in write["keys"]}
    # A customer who comes twice in a run may be sent again.
    numbers = Counter(record.get("customerNo") for record in trial.source.records()) if trial.source.kind == "customers" else Counter()
    assert not {key for key in sent if numbers[key] < 2}, trial.story("a further run after success sent something")
    assert again.counts["done_before"] + again.counts["succeeded"] == successes
    assert again.counts["unknown"] == unknown


@pytest.mark.parametrize("point", FIRST)
def test_killed_at(make_trial: MakeTrial, point: str) -> None:
    def program(kind: str) -> None:
        trial = make_trial(kind, 30)
        trial.kill_at({"point": point, "count": 1 if POINTS[point].once else 3}, share=0.7)
        end_well(trial)

    side_by_side(program, KINDS)


@pytest.mark.parametrize("point", RESUME)
def test_killed_when_it_goes_on_at(make_trial: MakeTrial, point: str) -> None:
    def program(kind: str) -> None:
        trial = make_trial(kind, 30)
        trial.kill_at({"point": "uuid_durable", "count": 3}, share=0.7)
        trial.kill_at({"point": point})
        end_well(trial)

    side_by_side(program, KINDS)


@pytest.mark.parametrize("seed", range(10))
def test_killed_at_random(make_trial: MakeTrial, seed: int) -> None:
    def program(kind: str) -> None:
        rng = random.Random(f"{kind} {seed}")
        concurrency, most = rng.choice([1, 3, 6]), rng.choice([2, 5, 9])
        trial = make_trial(kind, 40, seed=seed, options={"concurrency": concurrency, "max_records": most})
        for _ in range(4):
            trial.attempt(kill=random_kill(rng, FIRST + RESUME), share=rng.choice([0.5, 0.8, 1.0]))
        end_well(trial)

    side_by_side(program, KINDS)


@pytest.mark.parametrize("point", ["uuid_durable", "polled", "result_known", "result_uncommitted"])
def test_what_was_answered_is_never_unknown(make_trial: MakeTrial, point: str) -> None:
    """Three batchUuids are durable when the process dies: their batches are asked for, and nothing of them is unknown."""
    trial = make_trial("documents", 30, options={"concurrency": 1})
    trial.kill_at({"point": point, "count": 3})
    account = trial.finish()
    assert account.counts["done_before"] >= 3 * trial.options["max_records"], trial.story("answered, and unknown")


@pytest.mark.parametrize("point", ["body_sent", "answered"])
def test_a_slow_disk_lets_nothing_leave_before_its_intent(make_trial: MakeTrial, point: str) -> None:
    trial = make_trial("documents", 16)
    trial.kill_at({"point": point, "slow_disk": 0.1})
    end_well(trial)
