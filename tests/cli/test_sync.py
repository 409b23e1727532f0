"""`amili-arm sync`."""

from __future__ import annotations

import functools
import json

import pytest

from amili_arm_async import BulkOptions


@pytest.fixture
def night(served, call, tmp_path, monkeypatch):
    """Syncs these customers from a file; gives the exit code, the report and what was said."""
    from amili_arm_async.cli import sync

    monkeypatch.setattr(sync, "BulkOptions", functools.partial(BulkOptions, poll_first=0.01))

    def run(customers, *arguments):
        file = tmp_path / "customers.jsonl"
        file.write_text("".join(f"{json.dumps(customer)}\n" for customer in customers))
        result = call("sync", file, "--state", tmp_path / "state.sqlite", "--json", *arguments, env=served.env)
        return result.exit_code, json.loads(result.stdout) if result.stdout else {}, result.stderr

    return run


def some(*numbers, name="x"):
    return [{"customerNo": str(number), "name": name} for number in numbers]


def test_only_what_changed_is_sent(night, served) -> None:
    code, told, _ = night(some(*range(10)))
    assert (code, told["sync"]) == (0, {"new": 10, "changed": 0, "unchanged": 0, "failed": 0, "gone": 0, "without_key": 0})
    code, told, _ = night([*some(*range(8)), *some(8, name="y")])
    assert (code, told["ok"], told["counts"]["unchanged"], told["requests"]) == (0, True, 8, 1)
    assert told["sync"] == {"new": 0, "changed": 1, "unchanged": 8, "failed": 0, "gone": 1, "without_key": 0}
    assert served.ask(lambda sandbox: sandbox.customers.total_delivered) == 11


def test_gone_is_forgotten_only_when_asked(night) -> None:
    night(some(1, 2, 3))
    assert night(some(1))[1]["sync"]["gone"] == 2
    assert night(some(1), "--forget-gone", "--at-least", "0")[1]["forgotten"] == 2
    assert night(some(1))[1]["sync"]["gone"] == 0


def test_nobody_is_forgotten_where_a_record_has_no_number_that_can_be_read(night, call, served, tmp_path) -> None:
    night(some(1, 2, 3))
    file = tmp_path / "broken.jsonl"
    file.write_text('{"customerNo":"1","name":"x"}\n{"customerNo":"2","name":\n')
    run = ("sync", file, "--state", tmp_path / "state.sqlite", "--at-least", "0", "--forget-gone")
    result = call(*run, env=served.env)
    assert result.exit_code == 1
    said = " ".join(result.stderr.split())
    assert "who is gone from the source is not known, since a record in it has no number that can be read, so nobody is forgotten" in said
    told = json.loads(call(*run, "--json", env=served.env).stdout)
    assert (told["sync"]["gone"], told["forgotten"]) == (None, 0)
    assert night(some(1, 2))[1]["sync"]["gone"] == 1


def test_full_sends_all(night, served) -> None:
    night(some(1, 2))
    code, told, _ = night(some(1, 2), "--full")
    assert (code, told["counts"]["succeeded"]) == (0, 2)


def test_a_line_that_fails_is_named_and_the_code_is_1(night, served) -> None:
    served.ask(lambda sandbox: sandbox.reject_record("2", kind="customers"))
    code, told, said = night(some(1, 2))
    assert (code, told["sync"]["failed"]) == (1, 1)
    assert "line 2, key 2: failed" in said


def test_a_table_for_people(night, served, call, tmp_path) -> None:
    night(some(1, 2))
    result = call("sync", tmp_path / "customers.jsonl", "--state", tmp_path / "state.sqlite", env=served.env)
    assert result.exit_code == 0
    assert "gone from the source" in result.stderr
    assert "unchanged" in result.stderr


def test_a_foreign_state_is_left_untouched(night, tmp_path) -> None:
    (tmp_path / "state.sqlite").write_text("mine")
    code, _, said = night(some(1))
    assert code == 1
    assert "is not a sync state of this library" in said
    assert (tmp_path / "state.sqlite").read_text() == "mine"
