"""`BulkOptions.dry_run`: the report that a run would make, without the network, and without a trace."""

from __future__ import annotations

import asyncio
import random
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from amili_arm_async import ArmClient, BulkOptions, ConfigurationError, JournalError
from amili_arm_async.sandbox import Fault, Sandbox

QUICK = BulkOptions(poll_first=0.0, poll_max=0.05, max_records=7)
NOT_SENT = ("unchanged", "done_before", "invalid", "blocked", "not_sent", "unknown")


def customer(number, name="Kari"):
    return {"customerNo": str(number), "name": name}


def document(number, customer_no=1, **more):
    return {"documentNo": str(number), "documentType": "IN", "customerNo": str(customer_no), **more}


def dry(options):
    return replace(options, dry_run=True)


def folder_as_it_is(folder: Path):
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_ino) for path in folder.iterdir()}


def not_sent(report):
    return {state: report.counts[state] for state in NOT_SENT}


def sent(report):
    return sum(report.counts[state] for state in ("succeeded", "failed", "accepted", "rejected"))


async def no_token():
    raise AssertionError("a dry run asked for a token")


@pytest.fixture
async def sandbox():
    async with Sandbox(process_delay=0.0, require_customers=False) as running:
        yield running


@pytest.fixture
async def arm(sandbox):
    async with ArmClient(2218, auth=sandbox.token, base_url=sandbox.base_url) as client:
        yield client


@pytest.fixture
async def offline(sandbox):
    """A client of the same address that can't send anything."""
    async with ArmClient(2218, auth=no_token, base_url=sandbox.base_url) as client:
        yield client
    assert sandbox.token_requests == 0


# --- customers and documents ----------------------------------------------------------------------------------------------


async def test_nothing_is_sent_and_the_report_says_what_would_be(offline, sandbox):
    records = [*map(customer, range(20)), {"customerNo": "x", "creditLimit": float("nan")}]
    report = await offline.customers.create_many(records, options=dry(QUICK))
    assert report.counts["would_be_sent"] == 20
    assert report.counts["invalid"] == 1
    assert (report.dry_run, report.ok, report.failed_records) == (True, False, 1)
    assert (report.totals.batches_sent, report.totals.records_read) == (3, 21)
    assert report.summary() == "1 invalid, 20 would_be_sent; dry run, nothing was sent"
    assert sandbox.requests == {}

    fine = await offline.customers.create_many(records[:20], options=dry(QUICK))
    assert (fine.ok, fine.failed_records) == (True, 0)
    fine.raise_for_failures()


async def test_the_bytes_are_those_that_would_be_sent(arm, offline):
    records = [customer(number) for number in range(50)]
    rehearsed = await offline.customers.create_many(records, options=dry(QUICK))
    real = await arm.customers.create_many(records, options=QUICK)
    assert rehearsed.totals.bytes_sent == real.totals.bytes_sent
    assert rehearsed.totals.batches_sent == real.totals.batches_sent


async def test_without_a_journal_a_repeated_number_is_found(arm, offline):
    records = [*map(document, range(20)), document(3)]
    rehearsed = await offline.documents.create_many(records, options=dry(QUICK))
    real = await arm.documents.create_many(records, options=QUICK)
    assert not_sent(rehearsed) == not_sent(real)
    assert rehearsed.counts["would_be_sent"] == real.counts["succeeded"] == 20


@pytest.mark.parametrize("seed", range(8))
async def test_what_a_journal_keeps_from_being_sent_is_told_before(arm, offline, sandbox, tmp_path, seed):
    rnd = random.Random(seed)
    journal = tmp_path / "journal.sqlite"

    def some(number):
        places = rnd.choices(range(40), k=number)
        return [document(place, kid=str(rnd.choice([1, 1, 1, 2]))) for place in places] + [{"documentType": float("nan")}]

    for run_id in rnd.choices(["one", "two"], k=3):
        await arm.documents.create_many(some(25), options=replace(QUICK, journal=journal, run_id=run_id))
    records, options = some(30), replace(QUICK, journal=journal, run_id=rnd.choice(["one", "two", "three"]))
    before, taken = folder_as_it_is(tmp_path), sandbox.documents.total_delivered
    rehearsed = await offline.documents.create_many(records, options=dry(options))
    assert folder_as_it_is(tmp_path) == before
    assert sandbox.documents.total_delivered == taken
    real = await arm.documents.create_many(records, options=options)
    assert not_sent(rehearsed) == not_sent(real)
    assert rehearsed.counts["would_be_sent"] == sent(real)
    reasons = [sorted((one.index, one.reason) for one in report.failures()) for report in (rehearsed, real)]
    assert reasons[0] == reasons[1]


async def test_no_journal_is_made(offline, tmp_path):
    options = replace(QUICK, journal=tmp_path / "journal.sqlite", run_id="night", dead_letter=tmp_path / "dead.jsonl", reconcile=True)
    report = await offline.documents.create_many([document(1), {"documentType": float("nan")}], options=dry(options))
    assert (report.counts["would_be_sent"], report.counts["invalid"]) == (1, 1)
    assert list(tmp_path.iterdir()) == []


async def test_a_journal_in_a_folder_that_is_read_only(arm, offline, tmp_path):
    folder = tmp_path / "journals"
    folder.mkdir()
    options = replace(QUICK, journal=folder / "journal.sqlite", run_id="night")
    await arm.documents.create_many([document(1)], options=options)
    folder.chmod(0o500)
    try:
        before = folder_as_it_is(folder)
        report = await offline.documents.create_many([document(1), document(2)], options=dry(options))
        assert folder_as_it_is(folder) == before
    finally:
        folder.chmod(0o700)
    assert (report.counts["done_before"], report.counts["would_be_sent"]) == (1, 1)
    assert not report.stale_journal


async def test_a_journal_whose_run_is_in_progress(arm, offline, sandbox, tmp_path):
    options = replace(QUICK, journal=tmp_path / "journal.sqlite", run_id="one", max_records=1)
    sandbox.hold_processing()
    run = asyncio.create_task(_whole(arm.documents.create_many(map(document, range(5)), options=options)))
    while sandbox.documents.total_taken < 5:
        await asyncio.sleep(0.01)
    other = await offline.documents.create_many(map(document, range(8)), options=dry(replace(options, run_id="two")))
    assert (other.counts["invalid"], other.counts["would_be_sent"]) == (5, 3)
    assert {one.reason for one in other.failures()} == {"sent_in_run"}
    same = await offline.documents.create_many(map(document, range(8)), options=dry(options))
    assert same.counts["would_be_sent"] == 3
    sandbox.release_processing()
    assert (await run).counts["succeeded"] == 5


async def _whole(run):
    return await run


async def test_results_that_are_open_are_not_asked_for(arm, offline, sandbox, tmp_path):
    options = replace(QUICK, journal=tmp_path / "journal.sqlite", run_id="one")
    await arm.documents.create_many([document(1)], options=replace(options, results="accepted"))
    asked = dict(sandbox.requests)
    report = await offline.documents.create_many([document(1), document(2)], options=dry(options))
    assert (report.counts["accepted"], report.counts["would_be_sent"], report.ok) == (1, 1, False)
    assert dict(sandbox.requests) == asked


async def test_what_is_unknown_stays_so(arm, offline, sandbox, tmp_path):
    options = replace(QUICK, journal=tmp_path / "journal.sqlite", run_id="one")
    sandbox.inject(Fault.reset_after(), path="*/documents/batches")
    await arm.documents.create_many([document(1)], options=options)
    report = await offline.documents.create_many([document(1), document(2)], options=dry(replace(options, reconcile=True)))
    assert (report.counts["unknown"], report.counts["would_be_sent"]) == (1, 1)


async def test_a_journal_that_is_a_copy(arm, offline, tmp_path):
    options = replace(QUICK, journal=tmp_path / "journal.sqlite", run_id="one")
    await arm.documents.create_many([document(1)], options=options)
    shutil.copyfile(tmp_path / "journal.sqlite", tmp_path / "copy.sqlite")
    report = await offline.documents.create_many([document(2)], options=dry(replace(options, journal=tmp_path / "copy.sqlite")))
    assert report.stale_journal


async def test_a_file_that_is_no_journal_is_named(offline, tmp_path):
    path = tmp_path / "journal.sqlite"
    path.write_bytes(b"no journal at all" * 100)
    with pytest.raises(JournalError, match=f"{path} is not a journal"):
        await offline.documents.create_many([document(1)], options=dry(replace(QUICK, journal=path, run_id="one")))
    assert path.read_bytes() == b"no journal at all" * 100


# --- sync and night -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
async def test_a_sync_tells_who_would_be_sent(arm, offline, sandbox, tmp_path, seed):
    rnd = random.Random(seed)
    state = tmp_path / "state.sqlite"

    def some():
        return [customer(number, rnd.choice(["Kari", "Ola"])) for number in rnd.sample(range(40), 30)]

    if seed:
        await arm.customers.sync(some(), state=state, options=QUICK)
    records = some()
    before, asked = folder_as_it_is(tmp_path), dict(sandbox.requests)
    rehearsed = await offline.customers.sync(records, state=state, options=dry(QUICK))
    assert (folder_as_it_is(tmp_path), dict(sandbox.requests)) == (before, asked)
    with pytest.raises(ConfigurationError, match="dry run"):
        await rehearsed.forget(["1"])
    assert "dry run" in rehearsed.summary()
    real = await arm.customers.sync(records, state=state, options=QUICK)
    assert (rehearsed.new, rehearsed.changed, rehearsed.unchanged, rehearsed.gone) == (real.new, real.changed, real.unchanged, real.gone)
    assert rehearsed.bulk.counts["would_be_sent"] == real.bulk.counts["succeeded"]


async def test_a_state_that_another_sync_uses(arm, offline, sandbox, tmp_path):
    state = tmp_path / "state.sqlite"
    await arm.customers.sync(map(customer, range(5)), state=state, options=QUICK)
    sandbox.hold_processing()
    run = asyncio.create_task(_whole(arm.customers.sync(map(customer, range(9)), state=state, options=QUICK)))
    while sandbox.open_batches < 1:
        await asyncio.sleep(0.01)
    report = await offline.customers.sync(map(customer, range(9)), state=state, options=dry(QUICK))
    assert (report.bulk.counts["unchanged"], report.bulk.counts["would_be_sent"]) == (5, 4)
    sandbox.release_processing()
    assert (await run).new == 4


async def test_a_night(arm, offline, sandbox, tmp_path):
    customers = [*map(customer, range(10)), {"customerNo": "10", "creditLimit": float("nan")}]
    documents = [document(number, customer_no=number, documentAmount=100) for number in range(11)]
    plan = {
        "state": tmp_path / "state.sqlite",
        "customer_options": QUICK,
        "document_options": replace(QUICK, journal=tmp_path / "journal.sqlite", run_id="night"),
    }
    dry_plan = {**plan, "customer_options": dry(plan["customer_options"]), "document_options": dry(plan["document_options"])}
    rehearsed = await offline.nightly(customers=customers, documents=documents, **dry_plan)
    assert list(tmp_path.iterdir()) == []
    assert sandbox.requests == {}
    real = await arm.nightly(customers=customers, documents=documents, **plan)
    for name in ("customers", "documents"):
        assert not_sent(getattr(rehearsed, name)) == not_sent(getattr(real, name))
    assert rehearsed.documents.counts["blocked"] == 1
    assert rehearsed.documents.counts["would_be_sent"] == 10
    assert rehearsed.money.adds_up
    assert (rehearsed.to_dict()["dry_run"], real.to_dict()["dry_run"]) == (True, False)


async def test_a_night_is_dry_as_a_whole(arm):
    with pytest.raises(ConfigurationError, match="dry_run=True"):
        arm.nightly(customers=[], documents=[], document_options=dry(QUICK))


async def test_a_reconcile_is_never_dry(arm, tmp_path):
    with pytest.raises(ConfigurationError, match="dry_run"):
        await arm.documents.reconcile(tmp_path / "journal.sqlite", options=dry(QUICK))
