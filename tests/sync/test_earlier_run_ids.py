"""A sync with a journal that comes back to an earlier run id: what the journal says counts only where no other sync came between."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing

import pytest

from amili_arm_async import BulkError

from ..support.sandbox_fixtures import quick
from .conftest import numbers


@pytest.fixture
def journal(tmp_path):
    """Options of a run with a journal, by its run id."""
    return lambda run_id: {"journal": tmp_path / "journal.sqlite", "run_id": run_id}


@pytest.fixture
def lose_digests(state, request):
    """Makes the state what a kill leaves: it does not know any more what was sent."""

    def lose():
        if str(state).startswith("postgresql:"):
            request.getfixturevalue("postgres").execute("UPDATE amili_arm.state_customers SET digest = NULL")
        else:
            with closing(sqlite3.connect(state)) as connection, connection:
                connection.execute("UPDATE customers SET digest = NULL")

    return lose


def named(name):
    return [{"customerNo": str(number), "name": name} for number in range(5)]


def names(sandbox):
    return {sandbox.customers.get(str(number))["name"] for number in range(5)}


def counts(report):
    return {state: number for state, number in report.counts.items() if number}


async def test_a_content_that_comes_back_is_sent_again(sync, sandbox, journal) -> None:
    for run_id, name in (("1", "A"), ("2", "B"), ("1", "A")):
        report = await sync(named(name), **journal(run_id))
        assert counts(report.bulk) == {"succeeded": 5}
        assert names(sandbox) == {name}
    assert numbers(await sync(named("A"))) == (0, 0, 5, 0, 0)
    assert numbers(await sync(named("B"))) == (0, 5, 0, 0, 0)


async def test_what_ended_in_the_middle_is_not_sent_twice(sync, sandbox, journal, lose_digests) -> None:
    await sync(named("A"), **journal("1"))
    lose_digests()
    for _ in range(2):
        report = await sync(named("A"), **journal("1"))
        lose_digests()
        assert counts(report.bulk) == {"done_before": 5}
    assert sandbox.customers.total_delivered == 5


@pytest.mark.parametrize("others", ["another run", "no journal", "the same run without a state", "another state"])
async def test_whatever_came_between_the_rest_is_sent(others, arm, sync, sandbox, journal, lose_digests, tmp_path) -> None:
    await sync(named("A"), **journal("1"))
    if others == "another run":
        await sync(named("B"), **journal("2"))
    elif others == "no journal":
        await sync(named("B"))
    elif others == "the same run without a state":
        await arm.customers.create_many(named("B"), options=quick(**journal("1")))
    else:
        await sync(named("B"), state=tmp_path / "another.sqlite", **journal("1"))
    lose_digests()
    report = await sync(named("A"), **journal("1"))
    assert counts(report.bulk) == {"succeeded": 5}
    assert names(sandbox) == {"A"}
    # From now on, what it sends is done, and what it sent before the other one is not.
    lose_digests()
    assert counts((await sync(named("A"), **journal("1"))).bulk) == {"done_before": 5}
    assert sandbox.customers.total_delivered == 15


async def test_what_was_sent_before_the_other_one_never_counts_again(sync, sandbox, journal, lose_digests) -> None:
    await sync(named("A"), **journal("1"))
    await sync(named("B"), **journal("2"))
    # It ends before it comes to the last two.
    report = await sync(named("A"), limit=3, **journal("1"))
    assert counts(report.bulk) == {"succeeded": 3}
    lose_digests()
    report = await sync(named("A"), **journal("1"))
    assert counts(report.bulk) == {"done_before": 3, "succeeded": 2}
    assert names(sandbox) == {"A"}


async def test_a_new_state_does_not_know_what_came_between(sync, sandbox, journal, tmp_path) -> None:
    await sync(named("A"), **journal("1"))
    await sync(named("B"), **journal("2"))
    report = await sync(named("A"), state=tmp_path / "new.sqlite", **journal("1"))
    assert counts(report.bulk) == {"succeeded": 5}
    assert names(sandbox) == {"A"}


async def test_an_older_copy_of_the_journal_counts_for_nothing(sync, sandbox, journal, lose_digests) -> None:
    path = journal("1")["journal"]
    await sync(named("A"), **journal("1"))
    shutil.copy(path, f"{path}-copy")
    await sync(named("B"), **journal("1"))
    lose_digests()
    for end in ("-wal", "-shm"):
        path.with_name(path.name + end).unlink(missing_ok=True)
    shutil.copy(f"{path}-copy", path)
    assert counts((await sync(named("A"), **journal("1"))).bulk) == {"succeeded": 5}
    assert names(sandbox) == {"A"}


async def test_customers_without_a_number_are_not_sent_twice(sync, sandbox, journal) -> None:
    source = [*named("A"), {"name": "without number"}]
    await sync(source, **journal("1"))
    await sync(named("B"), **journal("2"))
    report = await sync(source, **journal("1"))
    assert report.bulk.counts["succeeded"] == 5
    assert names(sandbox) == {"A"}


async def test_a_run_that_ends_before_its_turn_claims_nothing(sync, sandbox, journal) -> None:
    def raises():
        yield from named("A")
        raise OSError

    await sync(named("A"), **journal("1"))
    await sync(named("B"), **journal("1"))
    run = sync(raises(), **journal("1"))
    with pytest.raises(BulkError):
        await run
    assert not run.report.bulk.counts["done_before"]
    assert numbers(await sync(named("A")))[4] == 0
    assert names(sandbox) == {"A"}


async def test_a_night_that_comes_back_leaves_no_customer_behind(arm, sandbox, tmp_path) -> None:
    for run_id, name in (("1", "A"), ("2", "B"), ("1", "A")):
        kept = quick(journal=tmp_path / "journal.sqlite", run_id=run_id)
        report = await arm.nightly(
            customers=named(name), documents=[], state=tmp_path / "state", customer_options=kept, document_options=kept
        )
        assert counts(report.customers) == {"succeeded": 5}
        assert names(sandbox) == {name}


async def test_only_the_latest_of_two_records_of_a_customer_counts(sync, sandbox, journal, lose_digests) -> None:
    await sync([*named("A"), *named("B")], **journal("1"))
    lose_digests()
    # The source has only the older one now.
    report = await sync(named("A"), **journal("1"))
    assert counts(report.bulk) == {"succeeded": 5}
    assert names(sandbox) == {"A"}
    lose_digests()
    # Whatever order they are in, what was sent last is what counts.
    assert counts((await sync(named("A"), **journal("1"))).bulk) == {"done_before": 5}
    await sync([*named("A"), *named("B")], **journal("1"))
    assert names(sandbox) == {"B"}
    assert numbers(await sync(named("B"))) == (0, 0, 5, 0, 0)
