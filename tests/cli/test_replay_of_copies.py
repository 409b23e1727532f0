"""`amili-arm replay` of a file that was put together from copies: the same line twice is one record."""

from __future__ import annotations

import pytest

from amili_arm_async.sandbox import Fault

from .test_replay import Letters, document


@pytest.fixture
def letters(served, call, tmp_path):
    return Letters(served, call, tmp_path / "failed.jsonl")


@pytest.mark.parametrize("run_id", ["one", None])
def test_the_same_line_twice_is_sent_once(letters, run_id):
    letters.fail(Fault.status(400))
    letters.push(document(1), document(ledgerNote="a"), document(ledgerNote="b"), run_id=run_id)
    text = letters.path.read_bytes()
    letters.path.write_bytes(text + text + text)
    assert letters.replay() == 0
    assert letters.told["lines"] == letters.told["succeeded"] == 3
    assert "6 lines were in the file twice" in letters.stderr
    assert letters.taken("1", document(ledgerNote="a"), document(ledgerNote="b")) == [1, 1, 1]


@pytest.mark.parametrize("run_id", ["one", None])
def test_equal_documents_of_one_source_are_as_many_as_there_were(letters, run_id):
    letters.fail(Fault.status(400))
    letters.push(document(), document(), document(), run_id=run_id)
    assert letters.replay() == 0
    assert letters.taken(document()) == [3]


def test_equal_documents_of_two_runs_are_two(letters):
    for _ in range(2):
        letters.fail(Fault.status(400))
        letters.push(document())
    assert letters.replay() == 0
    assert letters.taken(document()) == [2]


def test_lines_without_a_place_are_no_copies(letters):
    letters.fail(Fault.status(400))
    letters.push(document(), document())
    letters.edit(lambda line: line.update(index=None))
    assert letters.replay() == 0
    assert letters.taken(document()) == [2]


def test_a_file_that_is_put_back_sends_nothing_again(letters):
    records = [document(1), document(), document(), document(ledgerNote="a")]
    letters.fail(Fault.status(400))
    letters.push(*records)
    before = letters.path.read_bytes()
    assert letters.replay() == 0
    letters.path.write_bytes(before)
    # Those without a number stay, since they may have been sent.
    assert letters.replay() == 1
    assert letters.states == [(None, "rejected", "equal_sent")] * 3
    assert letters.taken("1", document(), document(ledgerNote="a")) == [1, 2, 1]


def test_a_file_that_is_put_back_sends_what_was_not_taken(letters):
    letters.fail(Fault.status(400))
    letters.push(document(1), document(), document())
    before = letters.path.read_bytes()
    letters.fail(Fault.status(400), times=None)
    assert letters.replay() == 1
    letters.served.ask(lambda sandbox: sandbox.clear_faults())
    letters.path.write_bytes(before)
    assert letters.replay() == 0
    assert letters.taken("1", document()) == [1, 2]
