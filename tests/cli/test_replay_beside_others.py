"""A replay beside others that write its file: what they have sent, changed or taken out since it was read is not sent."""

import json

import pytest

from amili_arm_async.sandbox import Fault

from .conftest import WAIT, wait_until
from .test_replay import Letters, customer, document, letters, name_of

__all__ = ["Letters", "letters"]

CUSTOMERS = "customers/batches"


@pytest.fixture
def waiting(letters, start):
    """Begins a replay whose first group waits for its result, and returns what ends it."""

    def begin():
        letters.served.ask(lambda sandbox: sandbox.hold_processing())
        process = start("replay", letters.path, "--json", env=letters.served.env)
        wait_until(letters.served, lambda sandbox: sandbox.open_batches == 1)

        def end():
            letters.served.ask(lambda sandbox: sandbox.release_processing())
            output, errors = process.communicate(timeout=WAIT)
            letters.told, letters.stderr = json.loads(output), errors.decode()
            return process.returncode

        return end

    letters.fail(Fault.status(400), path=CUSTOMERS)
    letters.push(customer(9), kind="customers", run_id="first")
    return begin


def push_elsewhere(letters: Letters, *records: object, kind: str = "documents") -> None:
    letters.journal = letters.path.with_name("other.sqlite")
    assert letters.push(*records, kind=kind, run_id="other", more=["--results", "accepted"]).exit_code == 0


@pytest.mark.parametrize("run_id", ["one", None])
def test_a_document_that_another_run_sends_meanwhile_is_billed_once(letters, waiting, run_id) -> None:
    letters.fail(Fault.status(400))
    letters.push(document(7), run_id=run_id)
    end = waiting()
    push_elsewhere(letters, document(7))
    assert end() == 1
    assert letters.taken("7") == [1]
    assert letters.told["left"] == {"rejected": 1}
    assert [(line["key"], line["overtaken"]) for line in letters.lines] == [("7", True)]
    assert "another run has sent, or may have sent, a document with this number" in letters.stderr


def test_a_customer_of_whom_another_run_sends_a_newer_record_meanwhile_stays_new(letters, waiting) -> None:
    letters.fail(Fault.status(400), path=CUSTOMERS)
    letters.push(customer(2, name="old"), kind="customers", run_id="one")
    end = waiting()
    push_elsewhere(letters, customer(2, name="new"), kind="customers")
    assert end() == 1
    assert name_of(letters, "2") == "new"
    assert [(line["key"], line["overtaken"]) for line in letters.lines] == [("2", True)]
    assert "a later record of this customer was taken" in letters.stderr


@pytest.mark.parametrize("change", ["deleted", "corrected"])
def test_a_line_that_somebody_changes_meanwhile_is_not_sent(letters, waiting, change) -> None:
    letters.fail(Fault.status(400))
    letters.push(document(7), document(8), run_id="one")
    end = waiting()
    lines = letters.path.read_bytes().splitlines(keepends=True)
    kept = [] if change == "deleted" else [lines[-1].replace(b'"IN"', b'"CN"')]
    letters.path.write_bytes(b"".join([*lines[:-1], *kept]))
    assert end() == 1
    assert letters.taken("7", "8") == [1, 0]
    assert letters.path.read_bytes() == b"".join(kept)
    assert letters.told == {"lines": 3, "succeeded": 2, "left": {}, "gone": 1, "broken": 0, "refused": 0, "ok": False}
    assert "1 line gone: others have changed them or taken them out" in letters.stderr


def test_of_equal_lines_as_many_are_sent_as_are_left(letters, waiting) -> None:
    letters.fail(Fault.status(400))
    letters.push(document(7), run_id="one")
    letters.edit(lambda line: line.update(index=None))
    line = letters.path.read_bytes().splitlines(keepends=True)[-1]
    letters.path.write_bytes(letters.path.read_bytes() + line)
    end = waiting()
    letters.path.write_bytes(letters.path.read_bytes().removesuffix(line))
    assert end() == 1
    assert (letters.told["succeeded"], letters.told["gone"]) == (2, 1)
    assert letters.lines == []


def test_a_file_that_is_taken_away_meanwhile_is_not_sent(letters, waiting) -> None:
    letters.fail(Fault.status(400))
    letters.push(document(7), run_id="one")
    end = waiting()
    aside = letters.path.rename(letters.path.with_name("aside"))
    with pytest.raises(json.JSONDecodeError):
        end()
    assert letters.taken("7") == [0]
    aside.rename(letters.path)
    assert letters.replay() == 0
    assert letters.taken("7") == [1]


def test_a_batch_that_waits_for_its_turn_does_not_leave(letters, start) -> None:
    letters.fail(Fault.status(400))
    letters.push(document(7), document(8), document(9), run_id="one")
    letters.fail(Fault.latency(4.0))
    process = start("replay", letters.path, "--max-records", 1, "--concurrency", 1, env=letters.served.env)
    wait_until(letters.served, lambda sandbox: sandbox.in_flight)
    push_elsewhere(letters, document(8))
    _, errors = process.communicate(timeout=WAIT)
    assert process.returncode == 1
    assert b"start the replay again" in errors
    assert letters.taken("7", "8", "9") == [1, 1, 0]
    letters.replay()
    assert letters.taken("7", "8", "9") == [1, 1, 1]
    assert [(line["key"], line["overtaken"]) for line in letters.lines] == [("8", True)]
