"""`amili-arm replay` of lines whose journal is not where they say: what a replay that was killed has sent is not sent again."""

from __future__ import annotations

import pytest

from amili_arm_async.sandbox import Fault

from .conftest import WAIT, wait_until
from .test_replay import Letters, customer, document


@pytest.fixture
def letters(served, call, tmp_path):
    return Letters(served, call, tmp_path / "failed.jsonl")


def remove(folder, beginning):
    for path in folder.glob(f"{beginning}*"):
        path.unlink()


def move(folder, beginning):
    (folder / "elsewhere").mkdir()
    for path in folder.glob(f"{beginning}*"):
        path.rename(folder / "elsewhere" / path.name)


def killed_when_all_is_taken(letters, start, *records):
    """A replay sends all lines and is killed before it knows that."""
    letters.fail(Fault.hang_after())
    before = letters.served.ask(lambda sandbox: sandbox.documents.total_taken)
    process = start("replay", letters.path, env=letters.served.env)
    wait_until(letters.served, lambda sandbox: sandbox.documents.total_taken == before + len(records))
    process.kill()
    process.wait(WAIT)


@pytest.mark.proof
@pytest.mark.parametrize("lose", [remove, move])
@pytest.mark.parametrize("run_id", ["one", None])
def test_nothing_is_sent_when_the_journal_went_after_a_replay_that_was_killed(letters, start, run_id, lose):
    records = [document(1), document(2), document(), document()]
    letters.fail(Fault.status(400))
    letters.push(*records, run_id=run_id)
    killed_when_all_is_taken(letters, start, *records)
    journal = letters.journal if run_id else letters.own_journal
    lose(letters.path.parent, journal.name)
    for _ in range(2):
        assert letters.replay() == 1
        assert letters.told["left"] == {"rejected": 4}
        assert f"4 lines left in the file: there is no journal {journal} any more" in letters.stderr
    assert letters.taken("1", "2", document()) == [1, 1, 2]


def test_lines_that_come_later_do_not_stand_in_for_an_own_journal_that_is_gone(letters, start):
    letters.fail(Fault.status(400))
    letters.push(document(1), document())
    killed_when_all_is_taken(letters, start, document(1), document())
    remove(letters.path.parent, letters.own_journal.name)
    letters.fail(Fault.status(400))
    letters.push(document(3))
    assert letters.replay() == 1
    assert letters.told["succeeded"] == 1
    assert letters.taken("1", document(), "3") == [1, 1, 1]


def test_a_letter_that_is_moved_without_its_own_journal_finds_it(letters, start):
    letters.fail(Fault.status(400))
    letters.push(document(1), document())
    killed_when_all_is_taken(letters, start, document(1), document())
    letters.path = letters.path.rename(letters.path.with_name("moved.jsonl"))
    letters.replay()
    assert letters.taken("1", document()) == [1, 1]


def test_customers_are_sent_all_the_same(letters):
    letters.fail(Fault.status(400), path="customers/batches")
    letters.push(customer(7), kind="customers", run_id="one")
    remove(letters.path.parent, letters.journal.name)
    assert letters.replay() == 0


def test_an_own_journal_that_can_not_be_used_keeps_all_back(letters):
    letters.fail(Fault.status(400))
    letters.push(document(1))
    letters.own_journal.write_text("a letter")
    before = letters.path.read_bytes()
    result = letters._call("replay", letters.path, env=letters.served.env)
    assert result.exit_code == 1
    assert "nothing was sent: " in result.stderr
    assert letters.path.read_bytes() == before
    assert letters.taken("1") == [0]
