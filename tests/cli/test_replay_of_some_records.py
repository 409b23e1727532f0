"""What the journal says of a run after a replay of some of its records: what it said of the others, and whether the run was ended."""

from __future__ import annotations

import json
import signal

import pytest

from amili_arm_async.sandbox import Fault

from .conftest import WAIT, wait_for
from .test_replay import customer, document, letters_of


@pytest.fixture(params=["file", "postgresql"])
def letters(request, served, call, tmp_path):
    return letters_of(request, served, call, tmp_path)


@pytest.fixture
def counts(letters, call):
    def read():
        (run,) = json.loads(call("status", letters.journal, "--json").stdout)["runs"]
        return run["ended"] is not None, {state: number for state, number in run["counts"].items() if number}

    return read


@pytest.fixture
def prune(letters, call):
    return lambda: call("prune", letters.journal, "--older-than-days", 0).stdout.splitlines()[0]


def keep_lines(letters, *numbers):
    """Takes the other lines out of the file, and returns them."""
    lines = letters.path.read_bytes().splitlines(keepends=True)
    letters.path.write_bytes(b"".join(lines[number] for number in numbers))
    return b"".join(line for number, line in enumerate(lines) if number not in numbers)


def numberless(number):
    return document(currencyAmounts={"inclVat": number})


KINDS = pytest.mark.parametrize(("kind", "make"), [("documents", document), ("customers", customer), ("documents", numberless)])


# --- what is not sent -----------------------------------------------------------------------------------------------------


def test_what_has_no_number_stays_in_the_journal(letters, counts, prune):
    letters.fail(Fault.status(400))
    more = ["--max-records", 1, "--concurrency", 1, "--require-document-no"]
    letters.push(document(1), document(), document(2), run_id="one", more=more)
    assert counts() == (True, {"succeeded": 1, "rejected": 1, "invalid": 1})
    for _ in range(2):
        assert letters.replay() == 1
        assert counts() == (True, {"succeeded": 2, "invalid": 1})
        assert prune() == "0 runs removed"
    assert letters.push(document(1), document(3), document(2), run_id="one", more=more).exit_code == 0
    assert counts() == (True, {"succeeded": 3})
    assert prune() == "1 run removed"


LARGE = {"documents": {"customerMessage": "x" * 3000}, "customers": {"name": "x" * 3000}}


@KINDS
def test_what_is_too_large_and_in_another_file_stays_in_the_journal(letters, counts, prune, kind, make):
    letters.fail(Fault.status(400), path="/batches")
    sizes = ["--max-bytes", 2000]
    records = [make(2), make(3) | LARGE[kind], make(4) | LARGE[kind]]
    letters.push(*records, kind=kind, run_id="one", more=[*sizes, "--bisect", "off"])
    others = keep_lines(letters, 0)
    assert letters.replay() == 0
    assert counts() == (True, {"succeeded": 1, "invalid": 2})
    assert prune() == "0 runs removed"
    # Too large again, it counts once.
    letters.path.write_bytes(others)
    for _ in range(2):
        assert letters.replay(*sizes) == 1
        assert counts() == (True, {"succeeded": 1, "invalid": 2})
    others = keep_lines(letters, 1)
    assert letters.replay() == 0
    assert counts() == (True, {"succeeded": 2, "invalid": 1})
    letters.path.write_bytes(others)
    assert letters.replay() == 0
    assert counts() == (True, {"succeeded": 3})
    assert prune() == "1 run removed"


def test_a_number_that_is_given_by_hand_takes_the_place_of_none(letters, counts, prune):
    letters.push(document(), document(), document(1), run_id="one", more=["--require-document-no"])
    others = keep_lines(letters, 0)
    letters.edit(lambda line: line.update(payload=document(5)))
    # Refused, it is the one that had no number all the same.
    letters.fail(Fault.status(400))
    assert letters.replay() == 1
    assert counts() == (True, {"succeeded": 1, "rejected": 1, "invalid": 1})
    assert letters.replay() == 0
    assert counts() == (True, {"succeeded": 2, "invalid": 1})
    letters.path.write_bytes(others)
    letters.edit(lambda line: line.update(payload=document(6)))
    assert letters.replay() == 0
    assert counts() == (True, {"succeeded": 3})
    assert letters.taken("1", "5", "6") == [1, 1, 1]
    assert prune() == "1 run removed"


@KINDS
def test_what_was_not_sent_and_is_in_another_file_stays_in_the_journal(letters, counts, prune, kind, make):
    letters.fail(Fault.status(400), path="/batches", times=None)
    more = ["--max-records", 1, "--concurrency", 1, "--stop-after-failures", 1]
    letters.push(*map(make, range(2, 6)), kind=kind, run_id="one", more=more)
    letters.served.ask(lambda sandbox: sandbox.clear_faults())
    is_ended, before = counts()
    assert not is_ended
    assert before["not_sent"] > 1
    states = [state for _, state, _ in letters.states]
    others = keep_lines(letters, states.index("not_sent"))
    assert letters.replay() == 0
    assert counts() == (False, before | {"succeeded": 1, "not_sent": before["not_sent"] - 1})
    letters.path.write_bytes(others)
    assert letters.replay() == 0
    # Only its source tells whether that is all.
    assert counts() == (False, {"succeeded": 4})
    assert prune() == "0 runs removed"
    assert letters.push(*map(make, range(2, 6)), kind=kind, run_id="one").exit_code == 0
    assert prune() == "1 run removed"


# --- replays that are ended -----------------------------------------------------------------------------------------------


@KINDS
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_replay_that_is_ended_early_does_not_cut_off_its_run(letters, start, counts, prune, kind, make, number):
    letters.fail(Fault.status(400), path="/batches")
    letters.push(*map(make, range(2, 6)), kind=kind, run_id="one", more=["--bisect", "off"])
    assert counts() == (True, {"rejected": 4})
    letters.served.ask(lambda sandbox: sandbox.hold_processing())
    more = ["--max-records", 1, "--concurrency", 1, "--grace", 0.1]
    process = start("replay", letters.path, *more, env=letters.served.env)
    wait_for(lambda: counts()[1].get("accepted"))
    process.send_signal(number)
    process.wait(WAIT)
    letters.served.ask(lambda sandbox: sandbox.release_processing())
    is_ended, found = counts()
    assert is_ended
    assert found["accepted"] >= 1
    assert prune() == "0 runs removed"
    # One line, and then the others. What was in flight may stay unknown, and what has no number accepted.
    others = keep_lines(letters, 3)
    letters.replay()
    is_ended, found = counts()
    assert (is_ended, sum(found.values())) == (True, 4)
    letters.path.write_bytes(letters.path.read_bytes() + others)
    letters.replay()
    is_ended, found = counts()
    assert (is_ended, sum(found.values())) == (True, 4)
    assert found.keys() <= {"succeeded", "unknown", "accepted"}
    assert prune() == ("1 run removed" if found == {"succeeded": 4} else "0 runs removed")
