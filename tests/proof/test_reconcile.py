"""Reconcile after faults and kills: what the server has is called done, what it has not is named, and nothing is sent a second time."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .accounts import Account, make_client, quick
from .control import Tenant
from .crash import Trial, side_by_side
from .kill_points import POINTS

pytestmark = pytest.mark.proof

MakeTrial = Callable[..., Trial]

RECONCILE = [name for name, point in POINTS.items() if point.phase == "reconcile"]


def looked_up(trial: Trial, **settings: Any) -> Account:
    """A last attempt that looks up what is unknown."""
    options = {"deadline": 0.15, "reconcile": {"settle": 0.2, "concurrency": 3, **settings}}
    return trial.finish(options=options)


def by_number(trial: Trial, account: Account) -> dict[str, tuple[str, str]]:
    """State and reason of each document that has a number."""
    records = trial.source.records()
    rows = zip(trial.places, account.states, account.reasons, strict=True)
    return {number: (state, reason) for place, state, reason in rows if (number := records[place].get("documentNo")) is not None}


def taken(trial: Trial) -> Counter[str]:
    """How often the server took each number."""
    return Counter(line.key for line in trial.tenant.truth().lines if line.key is not None)


def agrees(trial: Trial, account: Account, *absent: str) -> None:
    """Each numbered document that the server took is done; each other one is named, with one of these reasons."""
    there = taken(trial)
    for number, (state, reason) in by_number(trial, account).items():
        message = f"{number} was taken {there[number]} times, and is {state}, {reason}"
        if there[number]:
            # What was sent again may get its result later than this run waits for it.
            assert state == "success" or (state, reason) == ("accepted", "deadline"), trial.story(message)
        else:
            assert (state, reason) in {("unknown", word) for word in absent}, trial.story(message)


def unnumbered_unknown(trial: Trial, account: Account) -> int:
    records = trial.source.records()
    rows = zip(trial.places, account.states, strict=True)
    return sum(state == "unknown" and "documentNo" not in records[place] for place, state in rows)


@pytest.mark.parametrize("point", ["intent_durable", "first_byte", "half_body", "body_sent", "answered"])
def test_after_a_kill(make_trial: MakeTrial, point: str) -> None:
    trial = make_trial("documents", 30)
    trial.kill_at({"point": point, "count": 3}, share=0.8)
    agrees(trial, looked_up(trial), "absent", "batch_taken")


FAULTS = ["taken_reset", "body_reset", "taken_503", "taken_late", "cut_body", "no_uuid", "byte_reset"]


@pytest.mark.parametrize("again", [False, True], ids=["only looked up", "absent ones sent again"])
def test_after_a_fault(make_trial: MakeTrial, again: bool) -> None:
    def program(fault: str) -> None:
        trial = make_trial("documents", 30, read=0.4)
        trial.tenant.plan(faults=["ok", fault, "ok", fault])
        account = looked_up(trial, resend_absent=again)
        agrees(trial, account, "absent")
        if again:
            assert {state for state, _ in by_number(trial, account).values()} <= {"success", "accepted"}, trial.story("not sent again")

    side_by_side(program, FAULTS)


@pytest.mark.parametrize("point", ["first_byte", "half_body", "body_sent", "intent_durable"])
def test_what_is_absent_is_sent_again_when_that_is_asked_for(make_trial: MakeTrial, point: str) -> None:
    # The time to settle is longer than the deadline of any attempt.
    trial = make_trial("documents", 30, options={"deadline": 0.15})
    trial.kill_at({"point": point, "count": 3})
    account = looked_up(trial, resend_absent=True)
    agrees(trial, account)
    # What has no number can't be looked up, and is not sent again.
    assert account.states.count("unknown") == unnumbered_unknown(trial, account)
    again = looked_up(trial, resend_absent=True)
    assert again.counts["done_before"] == again.states.count("success")
    assert not any(again.left_behind.values()), trial.story(f"what was sent again is still unknown: {again.left_behind}")
    assert max(taken(trial).values()) == 1


def test_never_after_a_success_that_could_not_be_read(make_trial: MakeTrial) -> None:
    """The server said 2xx, and shows none of the batch, however long one waits: it is named, and not sent again."""

    def program(fault: str) -> None:
        trial = make_trial("documents", 12)
        numbers = [record["documentNo"] for record in trial.source.records() if "documentNo" in record]
        trial.tenant.plan(faults=[fault], hidden=numbers)
        account = looked_up(trial, resend_absent=True)
        assert max(taken(trial).values()) == 1
        assert ("unknown", "absent") in by_number(trial, account).values()

    side_by_side(program, ["no_uuid", "empty_202", "204", "html_200", "cut_body", "broken_json"])


def test_never_where_a_sibling_is_found(make_trial: MakeTrial) -> None:
    """The server took a batch and shows a part of it: the rest is named, and not sent again."""
    trial = make_trial("documents", 16, numbered=1.0, options={"concurrency": 1})
    trial.tenant.plan(faults=["taken_reset"])
    numbers = [record["documentNo"] for record in trial.source.records()[:4] if "documentNo" in record]
    trial.tenant.plan(hidden=numbers[1:])
    account = looked_up(trial, resend_absent=True)
    found = by_number(trial, account)
    assert found[numbers[0]][0] == "success"
    assert {found[number] for number in numbers[1:]} == {("unknown", "batch_taken")}, trial.story(f"{found}")
    assert max(taken(trial).values()) == 1


def test_a_batch_that_is_processed_late_is_waited_for(make_trial: MakeTrial) -> None:
    trial = make_trial("documents", 16)
    trial.tenant.plan(faults=["taken_reset", "taken_reset"], delay=0.3)
    account = trial.finish(options={"deadline": 0.35, "reconcile": {"settle": 1.2, "resend_absent": True}})
    agrees(trial, account)
    assert max(taken(trial).values()) == 1


def test_other_content_under_the_same_number(make_trial: MakeTrial) -> None:
    trial = make_trial("documents", 16, options={"concurrency": 1})
    first = next(record["documentNo"] for record in trial.source.records() if "documentNo" in record)
    trial.tenant.plan(faults=["taken_reset"], changed={first: {"customerNo": "999"}})
    account = looked_up(trial, resend_absent=True)
    assert by_number(trial, account)[first] == ("unknown", "key_conflict")
    assert max(taken(trial).values()) == 1


def test_a_look_up_that_fails_proves_nothing(make_trial: MakeTrial) -> None:
    """It is never taken for "not there": that would send the invoice a second time."""

    def program(word: str) -> None:
        trial = make_trial("documents", 16)
        trial.tenant.plan(faults=["taken_reset"], look_ups=[word] * 60)
        account = looked_up(trial, resend_absent=True)
        assert max(taken(trial).values()) == 1, trial.story("sent again after a look-up that failed")
        ambiguous = {row for row in by_number(trial, account).values() if row[0] != "success"}
        assert all(row[0] == "unknown" and row[1] != "absent" for row in ambiguous), trial.story(f"{ambiguous}")
        trial.tenant.plan(well=True)
        agrees(trial, looked_up(trial, resend_absent=True))
        assert max(taken(trial).values()) == 1

    side_by_side(program, ["500", "503", "429", "reset", "cut", "broken", "400"])


@pytest.mark.parametrize("point", RECONCILE)
def test_killed_in_reconcile_at(make_trial: MakeTrial, point: str) -> None:
    trial = make_trial("documents", 30)
    trial.tenant.plan(faults=["ok", "taken_reset", "ok", "body_reset", "byte_reset"])
    settings = {"settle": 0.2, "resend_absent": True, "concurrency": 3}
    trial.kill_at({"point": point}, options={"deadline": 0.15, "reconcile": settings})
    account = looked_up(trial, resend_absent=True)
    agrees(trial, account)
    assert max(taken(trial).values()) == 1


def test_sending_again_may_fail_too(make_trial: MakeTrial) -> None:
    trial = make_trial("documents", 16, numbered=1.0, options={"concurrency": 1})
    trial.tenant.plan(faults=["body_reset", "ok", "ok", "ok", "taken_503"])
    account = looked_up(trial, resend_absent=True)
    assert account.states.count("unknown") == 4, trial.story("the second one failed too")
    agrees(trial, looked_up(trial, resend_absent=True))
    assert max(taken(trial).values()) == 1


async def test_what_is_sent_again_is_in_the_journal_once(tenant: Tenant, tmp_path: Path) -> None:
    """Sent again without its source, and unknown again, and once more: each time it is one document, not one for each try."""
    journal = str(tmp_path / "journal")
    records = [{"documentType": "IN", "customerNo": "1", "documentNo": f"D{place}"} for place in range(4)]
    there = {"documentType": "IN", "customerNo": "1", "documentNo": "E0"}
    async with make_client(tenant) as arm:
        # It shows that look-ups work: without it nothing is sent again.
        await arm.documents.create_many([there], options=quick(journal=journal, run_id="night", deadline=0.15))
        tenant.plan(faults=["body_reset", "byte_reset", "body_close"])
        await arm.documents.create_many(records, options=quick(journal=journal, run_id="night", deadline=0.15))
        for attempt in range(4):
            report = await arm.documents.reconcile(journal, settle=0.2, resend_absent=True)
            assert sum(report.counts.values()) == (4 if attempt < 3 else 0), report
    assert Counter(line.key for line in tenant.truth().lines) == Counter(["E0", *(f"D{place}" for place in range(4))])


def test_the_time_to_settle_counts_from_when_it_left(make_trial: MakeTrial) -> None:
    """The intent is written while the batch before it is still on the wire, and that takes its time: the time to settle begins after it."""
    trial = make_trial("documents", 8, numbered=1.0, options={"concurrency": 1})
    # It can be looked up long before the time to settle has ended, and the first one is held for longer than that.
    trial.tenant.plan(faults=["hold 406", "taken_reset"], delay=0.7)
    child = trial.start(options={"deadline": 0.75, "reconcile": {"settle": 2.5, "resend_absent": True}}, read=20)
    trial.tenant.wait(whole=1)
    time.sleep(2.7)
    trial.tenant.release()
    found = child.wait()
    assert found is not None
    assert max(taken(trial).values()) == 1, trial.story("sent again before it could be seen")
    trial.balance(found)
