"""A run of customers whose dead letter could not be written: what it sent marks the lines of other runs in its next attempt."""

from __future__ import annotations

import errno
from contextlib import contextmanager

import pytest

from amili_arm_async.bulk.journal import dead_letter
from amili_arm_async.bulk.journal.replay import letters as replay_letters
from amili_arm_async.sandbox import Fault

from .test_replay import customer, letters_of, name_of

CUSTOMERS = "customers/batches"


@pytest.fixture(params=["file", "postgresql"])
def letters(request, served, call, tmp_path):
    return letters_of(request, served, call, tmp_path)


@pytest.fixture
def full_disk(monkeypatch):
    """While it lasts, the dead letter can't be replaced."""

    @contextmanager
    def fill(owner=dead_letter):
        def full(_):
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(owner.AtomicFile, "keep", full)
            yield

    return fill


def push(letters, name, run_id):
    return letters.push(customer(1, name=name), kind="customers", run_id=run_id)


def marks(letters):
    return [line.get("overtaken") for line in letters.lines]


@pytest.fixture
def monday(letters):
    """Its customer failed, and has a line."""
    letters.fail(Fault.status(400), path=CUSTOMERS)
    assert push(letters, "old", "monday").exit_code == 1


def test_the_next_attempt_marks_the_lines(letters, monday, full_disk) -> None:
    with full_disk():
        assert push(letters, "new", "tuesday").exit_code != 0
    assert marks(letters) == [None]
    assert push(letters, "new", "tuesday").exit_code == 0
    assert marks(letters) == [True]
    assert letters.replay() == 1
    assert name_of(letters, "1") == "new"


def test_so_does_one_after_several(letters, monday, full_disk) -> None:
    with full_disk():
        push(letters, "new", "tuesday")
        push(letters, "new", "tuesday")
    push(letters, "new", "tuesday")
    assert marks(letters) == [True]


def test_what_was_sent_after_the_dead_letter_was_last_written(letters, full_disk) -> None:
    push(letters, "first", "tuesday")
    letters.fail(Fault.status(400), path=CUSTOMERS)
    push(letters, "old", "monday")
    # Nothing is sent, so what Monday says stays the newest.
    push(letters, "first", "tuesday")
    assert marks(letters) == [None]
    with full_disk():
        push(letters, "new", "tuesday")
    push(letters, "new", "tuesday")
    assert marks(letters) == [True]


def test_so_does_one_after_an_attempt_without_a_dead_letter(letters, monday) -> None:
    source = letters.path.with_name("new.json")
    source.write_text('{"customerNo": "1", "name": "new"}')
    pushed = letters._call("push", "customers", source, "--journal", letters.journal, "--run-id", "tuesday", env=letters.served.env)
    assert (pushed.exit_code, marks(letters)) == (0, [None])
    push(letters, "new", "tuesday")
    assert marks(letters) == [True]


def test_a_replay_that_cant_write_the_file_leaves_it_to_the_next_attempt(letters, monday, full_disk) -> None:
    letters.fail(Fault.status(400), path=CUSTOMERS)
    push(letters, "new", "tuesday")
    with full_disk(replay_letters):
        assert letters._call("replay", letters.path, env=letters.served.env).exit_code != 0
    assert name_of(letters, "1") == "new"
    push(letters, "new", "tuesday")
    assert marks(letters) == [True]
    letters.replay()
    assert name_of(letters, "1") == "new"


def test_what_a_replay_sent_is_not_newer_than_later_lines(letters) -> None:
    letters.fail(Fault.status(400), path=CUSTOMERS)
    push(letters, "old", "monday")
    assert letters.replay() == 0
    letters.fail(Fault.status(400), path=CUSTOMERS)
    push(letters, "new", "tuesday")
    push(letters, "old", "monday")
    assert marks(letters) == [None]
    assert letters.replay() == 0
    assert name_of(letters, "1") == "new"
