"""Customers in a journal: sent again when the outcome is unknown, and never an older content after a newer one."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import strategies as st

from amili_arm_async import BulkError, Customer
from amili_arm_async.sandbox import Fault

from ..support.examples import many
from ..support.sandbox_runs import (
    awaited,
    customer,
    customers,
    ends_after,
    new_client_no,
    plan,
    questions,
    quick,
    read_journal,
    send,
    the_run,
    until,
    writes,
)

RUN = {"kind": "customers", "run_id": "2026-11-20"}
POSTS = {"path": "customers/batches"}


async def test_what_was_taken_is_done_and_the_rest_is_sent(arm, sandbox, journal):
    records = customers(12)
    plan(sandbox, [None, Fault.status(400), Fault.status(403)], **POSTS)
    first = await send(arm, records, journal=journal, max_records=3, concurrency=1, bisect="off", raises=BulkError, **RUN)
    assert first.counts["succeeded"] == 3
    assert first.counts["rejected"] == 3

    outcome = await send(arm, records, journal=journal, **RUN)

    assert outcome.counts == {"done_before": 3, "succeeded": 9}
    assert {one.taken for one in sandbox.customers} == {1}


async def test_other_kinds_and_orders_of_the_same_customers(arm, sandbox, journal):
    await send(arm, customers(6), journal=journal, **RUN)
    source = [
        Customer(name="Kari 5", customer_no="005"),
        {"name": "Kari 4", "customerNo": "004"},
        b'{"name": "Kari 3",\n "customerNo": "003"}',
        *customers(3),
    ]
    outcome = await send(arm, source, journal=journal, **RUN)
    assert outcome.counts == {"done_before": 6}
    assert writes(sandbox) == 1


async def test_the_last_of_several_records_of_a_customer_is_the_last_at_the_server_whatever_their_order(arm, sandbox, journal):
    first, second, third = (customers(1, name)[0] for name in ("Kari", "Ola", "Per"))
    others = customers(4)[1:]
    await send(arm, [first, second, *others, third], journal=journal, max_records=2, concurrency=1, **RUN)
    assert sandbox.customers.get("000")["name"] == "Per 0"

    source = [second, *others, third, first]
    outcome = await send(arm, source, journal=journal, max_records=2, concurrency=1, **RUN)
    assert outcome.counts == {"done_before": 5, "succeeded": 1}
    assert sandbox.customers.get("000")["name"] == "Kari 0"
    again = await send(arm, source, journal=journal, **RUN)
    assert again.counts == {"done_before": 6}


async def test_changed_content_is_sent_again(arm, sandbox, journal):
    await send(arm, customers(5), journal=journal, **RUN)

    outcome = await send(arm, [*customers(2, "Ola"), *customers(5)[2:]], journal=journal, **RUN)

    assert outcome.counts == {"succeeded": 2, "done_before": 3}
    assert [sandbox.customers.get(f"{n:03}")["name"] for n in range(5)] == ["Ola 0", "Ola 1", "Kari 2", "Kari 3", "Kari 4"]


async def test_content_that_changes_back(arm, sandbox, journal):
    for name in ("Kari", "Ola", "Kari", "Kari"):
        outcome = await send(arm, customers(2, name), journal=journal, **RUN)
    assert sandbox.customers.get("000")["name"] == "Kari 0"
    assert outcome.counts == {"done_before": 2}


async def test_without_run_id_each_run_is_a_new_one(arm, sandbox, journal):
    for _ in range(2):
        outcome = await send(arm, customers(3), kind="customers", journal=journal)
        assert outcome.counts == {"succeeded": 3}
    assert {one.taken for one in sandbox.customers} == {2}
    runs = await read_journal(journal)
    assert len({run.run_id for run in runs}) == len(runs) == 2
    assert all(run.is_finished and run.counts == {"succeeded": 3} for run in runs)


async def test_created_and_updated_are_two_runs(arm, sandbox, journal):
    await send(arm, customers(3), journal=journal, **RUN)
    outcome = await send(arm, customers(3, "Ola"), update=True, journal=journal, **RUN)
    again = await send(arm, customers(3, "Ola"), update=True, journal=journal, **RUN)

    assert outcome.counts == {"succeeded": 3}
    assert again.counts == {"done_before": 3}
    assert {run.operation for run in await read_journal(journal)} == {"customers.create_batch", "customers.update_batch"}


@pytest.mark.parametrize(
    "fault", [Fault.status(500), Fault.reset_after(), Fault.reset_before(), Fault.cut(), Fault.no_uuid(), Fault.status(503)]
)
async def test_what_is_unknown_is_sent_again_at_once(arm, sandbox, journal, fault):
    plan(sandbox, [None, fault], **POSTS)
    outcome = await send(arm, customers(9), journal=journal, max_records=3, **RUN)
    assert outcome.counts == {"succeeded": 9}
    assert (await the_run(journal)).counts == {"succeeded": 9}
    assert (await send(arm, customers(9), journal=journal, **RUN)).counts == {"done_before": 9}


async def test_customers_without_a_number_go_by_their_content(arm, sandbox, journal):
    source = [{"name": "a"}, {"name": "b"}, {"name": "a"}]
    first = await send(arm, source, journal=journal, max_records=1, **RUN)
    assert first.counts == {"failed": 3}, "the sandbox wants a number"
    again = await send(arm, source, journal=journal, **RUN)
    assert again.counts == {"failed": 3}


async def test_the_same_key_several_times(arm, sandbox, journal):
    source = [customer("1", "a"), customer("2", "x"), customer("1", "b"), customer("1", "b"), customer("1", "a"), customer("2", "y")]
    first = await send(arm, source, journal=journal, max_records=1, **RUN)
    assert first.counts == {"succeeded": 6}
    sent = writes(sandbox)

    outcome = await send(arm, source, journal=journal, max_records=2, **RUN)

    assert outcome.counts == {"done_before": 6}
    assert writes(sandbox) == sent
    assert [sandbox.customers.get(key)["name"] for key in "12"] == ["a", "y"]


async def test_an_older_version_that_goes_out_again_takes_the_newer_one_with_it(arm, sandbox, journal):
    source = [customer("1", "old"), customer("1", "new")]
    plan(sandbox, [Fault.status(400)], **POSTS)
    first = await send(arm, source, journal=journal, max_records=1, **RUN)
    assert first.counts == {"rejected": 1, "succeeded": 1}

    outcome = await send(arm, source, journal=journal, max_records=1, **RUN)

    assert outcome.counts == {"succeeded": 2}
    assert sandbox.customers.get("1")["name"] == "new"


async def test_also_when_the_attempt_between_was_cut_off(arm, sandbox, journal):
    source = [customer("1", "old"), customer("1", "new")]
    plan(sandbox, [Fault.status(400)], **POSTS)
    await send(arm, source, journal=journal, max_records=1, **RUN)
    cut_off = await send(arm, slow_end(source[:1], sandbox), journal=journal, max_records=1, raises=BulkError, **RUN)
    assert cut_off.counts == {"succeeded": 1}
    assert sandbox.customers.get("1")["name"] == "old"

    await send(arm, source, journal=journal, max_records=1, **RUN)

    assert sandbox.customers.get("1")["name"] == "new"


async def slow_end(records, sandbox):
    """Raises when all of it has been sent."""
    before = sandbox.customers.total_taken
    for record in records:
        yield record
    await until(lambda: sandbox.customers.total_taken == before + len(records))
    raise LookupError


async def test_an_open_batch_with_other_content_is_waited_for(arm, sandbox, journal):
    sandbox.hold_processing()
    await send(arm, [customer("1", "old"), customer("2", "x")], journal=journal, results="accepted", **RUN)
    asked = questions(sandbox)

    task = asyncio.create_task(awaited(arm.customers.create_many([customer("1", "new"), customer("3", "y")], options=options(journal))))
    await until(lambda: questions(sandbox) >= asked + 5)
    assert sandbox.customers.taken("1") == 1, "the newer one must not be under way beside the older one"

    sandbox.release_processing()
    report = await task
    assert report.counts["succeeded"] == 2
    assert sandbox.customers.get("1")["name"] == "new"


async def test_an_open_batch_with_the_same_content_speaks_for_it(arm, sandbox, journal):
    sandbox.hold_processing()
    await send(arm, customers(4), journal=journal, results="accepted", max_records=2, **RUN)
    task = asyncio.create_task(awaited(arm.customers.create_many(customers(5), options=options(journal))))
    await until(lambda: sandbox.customers.taken("004"))
    sandbox.release_processing()

    report = await task
    assert report.counts["done_before"] == 4
    assert report.counts["succeeded"] == 1
    assert {one.taken for one in sandbox.customers} == {1}


def options(journal, **settings):
    return quick(journal=journal, run_id=RUN["run_id"], **settings)


# --- the last version of each key wins, whatever happened before ----------------------------------------------------------

VERSIONS = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 2)), min_size=1, max_size=8)
FATES = {
    "ok": None,
    "rejected": Fault.status(400),
    "lost": Fault.reset_before(),
    "error": Fault.status(500),
    "taken, and an error": Fault.status(500, taken=True),
    "cut": Fault.cut(),
    "forbidden": Fault.status(403),
}


@given(
    source=VERSIONS,
    attempts=st.lists(
        st.tuples(
            st.lists(st.sampled_from(sorted(FATES)), max_size=6),
            st.one_of(st.none(), st.integers(0, 7)),
            st.integers(1, 3),
            st.sampled_from(["wait", "wait", "accepted"]),
        ),
        min_size=1,
        max_size=4,
    ),
)
@example(source=[("a", 0), ("a", 1)], attempts=[(["rejected"], None, 1, "wait"), ([], 1, 1, "wait")])
@many(40, in_suite=15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
async def test_the_last_version_of_each_key_wins(arm, sandbox, folder: Path, source, attempts):
    client_no = new_client_no()
    own = arm.for_client(client_no)
    journal = folder / f"{client_no}.sqlite"
    records = [customer(key, str(version)) for key, version in source]

    for fates, stop, size, results in attempts:
        plan(sandbox, [FATES[fate] for fate in fates], **POSTS)
        given_now = records if stop is None else ends_after(records[:stop])
        run = own.customers.create_many(given_now, options=options(journal, max_records=size, results=results, concurrency=2, bisect="off"))
        with contextlib.suppress(*([BulkError] if stop is not None or "forbidden" in fates else [])):
            await run
        assert sum(run.report.counts.values()) == run.report.totals.records_read
        sandbox.clear_faults()

    report = await own.customers.create_many(records, options=options(journal, max_records=2))
    assert report.counts["succeeded"] + report.counts["done_before"] == len(records)
    last = dict(source)
    found = {key: record["name"] for key in last if (record := sandbox.customers.get(key, client_no))}
    assert found == {key: str(version) for key, version in last.items()}

    sent = writes(sandbox)
    again = await own.customers.create_many(records, options=options(journal))
    assert again.counts["done_before"] == len(records)
    assert writes(sandbox) == sent
