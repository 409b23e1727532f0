"""Lines of several runs in one dead letter: of a customer the newest wins, and no document is billed twice."""

import pytest

from amili_arm_async.sandbox import Fault

from .test_replay import Letters, customer, document, letters, name_of

__all__ = ["Letters", "letters"]

CUSTOMERS = "customers/batches"


def fail_twice(letters: Letters) -> None:
    letters.fail(Fault.status(400), path=CUSTOMERS, times=2)
    letters.push(customer(2, name="old"), kind="customers", run_id="monday")
    letters.push(customer(2, name="new"), kind="customers", run_id="tuesday")


def marks(letters: Letters) -> list[object]:
    return [line.get("overtaken") for line in letters.lines]


# --- customers ------------------------------------------------------------------------------------------------------------


def test_a_replay_that_is_killed_before_it_writes_the_file(letters) -> None:
    fail_twice(letters)
    letters.fail(Fault.status(400), path=CUSTOMERS)
    before = letters.path.read_bytes()
    assert letters.replay() == 1
    letters.path.write_bytes(before)
    letters.replay()
    assert name_of(letters, "2") == "new"


def test_the_newer_run_goes_on_without_the_file(letters) -> None:
    fail_twice(letters)
    before = letters.path.read_bytes()
    letters.push(customer(2, name="new"), kind="customers", run_id="tuesday")
    letters.path.write_bytes(before)
    letters.replay()
    assert name_of(letters, "2") == "new"


def test_what_an_attempt_sent_before_it_ended_early_is_not_newer_than_later_lines(letters) -> None:
    letters.fail(Fault.status(403), path=CUSTOMERS, times=None, skip=1)
    letters.one_by_one(customer(2, name="old"), customer(3), kind="customers", run_id="monday")
    letters.served.ask(lambda sandbox: sandbox.clear_faults())
    letters.fail(Fault.status(400), path=CUSTOMERS)
    letters.push(customer(2, name="new"), kind="customers", run_id="tuesday")
    letters.push(customer(2, name="old"), customer(3), kind="customers", run_id="monday")
    assert marks(letters) == [None]
    letters.replay()
    assert name_of(letters, "2") == "new"


def test_what_was_only_accepted_and_failed_marks_nothing(letters) -> None:
    letters.fail(Fault.status(400), path=CUSTOMERS)
    letters.push(customer(2, name="old"), kind="customers", run_id="monday")
    letters.served.ask(lambda sandbox: (sandbox.reject_record("2", kind="customers"), sandbox.hold_processing()))
    letters.push(customer(2, name="new"), kind="customers", run_id="tuesday", more=["--deadline", 0.01])
    letters.served.ask(lambda sandbox: sandbox.release_processing())
    letters.edit(lambda line: line.pop("overtaken", None))
    letters.replay()
    assert marks(letters) == [None, None]


def test_a_customer_whose_number_was_corrected_is_sent(letters) -> None:
    letters.fail(Fault.status(400), path=CUSTOMERS)
    letters.push(customer(2, name="x"), kind="customers")
    letters.edit(lambda line: line["payload"].update(customerNo="20"))
    letters.push(customer(2, name="y"), kind="customers", run_id="one")
    letters.replay()
    assert (name_of(letters, "2"), name_of(letters, "20")) == ("y", "x")


@pytest.mark.parametrize("run_id", ["one", None])
@pytest.mark.parametrize(
    "rest",
    [
        b'"x\xff":1',
        b'"message":"\xff"',
        b'"\\ud800":1',
        b'"payload":1e99999',
        b'"payload":{"customerNo":1e99999999999999999999}',
        b'"payload":[1]',
    ],
)
def test_a_line_that_no_run_of_this_library_wrote_stays_as_it_is(letters, rest, run_id) -> None:
    fail_twice(letters)
    line = letters.path.read_bytes().splitlines()[0].replace(b'"payload"', rest + b',"was"')
    letters.path.write_bytes(line + b"\n")
    letters.served.ask(lambda sandbox: sandbox.reject_record("3", kind="customers"))
    pushed = letters.push(customer(4), customer(3), kind="customers", run_id=run_id)
    assert pushed.exit_code == 1
    assert letters.path.read_bytes().splitlines()[0] == line
    assert len(letters.path.read_bytes().splitlines()) == 2


# --- documents ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("runs", [[None, "one"], ["one", None], [None, None], ["one", "two"]])
def test_a_number_in_lines_of_two_runs_is_billed_once(letters, runs) -> None:
    letters.fail(Fault.status(400), times=2)
    for run_id in runs:
        letters.push(document(7), run_id=run_id)
    for _ in range(3):
        letters.replay()
    assert letters.taken("7") == [1]


def test_a_number_in_lines_of_two_journals_is_billed_once(letters) -> None:
    letters.fail(Fault.status(400), times=2)
    letters.push(document(7), run_id="one")
    letters.journal = letters.path.with_name("other.sqlite")
    letters.push(document(7), run_id="one")
    for _ in range(3):
        letters.replay()
    assert letters.taken("7") == [1]


def test_what_was_pushed_again_without_the_journal_is_not_replayed(letters) -> None:
    letters.fail(Fault.status(400))
    letters.push(document(7), run_id="one")
    letters.push(document(7))
    assert marks(letters) == [True]
    letters.replay()
    assert letters.taken("7") == [1]


def test_a_document_whose_number_was_corrected_is_sent(letters) -> None:
    letters.fail(Fault.status(400))
    letters.push(document(7))
    letters.edit(lambda line: line["payload"].update(documentNo="70"))
    letters.push(document(7), run_id="one")
    letters.replay()
    assert letters.taken("7", "70") == [1, 1]


# --- both in one file -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kinds", [["customers", "documents"], ["documents", "customers"]])
def test_a_customer_and_a_document_with_one_number_are_not_each_other(letters, kinds) -> None:
    letters.fail(Fault.status(400), path=CUSTOMERS)
    letters.fail(Fault.status(400), path="documents/batches")
    for kind in kinds:
        letters.push(customer(7) if kind == "customers" else document(7), kind=kind)
    letters.fail(Fault.status(400), path=CUSTOMERS)
    assert letters.replay() == 1
    assert [line["operation"] for line in letters.lines] == ["customers.create_batch"]
    assert marks(letters) == [None]
    assert letters.replay() == 0
    assert (name_of(letters, "7"), letters.taken("7")) == (customer(7)["name"], [1])
