"""`BulkOptions.limit`: the first records of a source, and nothing beyond."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from amili_arm_async import ArmClient, BulkError, BulkOptions, ConfigurationError
from amili_arm_async.sandbox import Fault, Sandbox
from amili_arm_async.sources.records import open_records

QUICK = BulkOptions(poll_first=0.0, poll_max=0.05)


def customers(number, first=0):
    return [{"customerNo": str(place), "name": "Kari"} for place in range(first, first + number)]


async def as_async(records):
    for record in records:
        yield record


@pytest.fixture
async def sandbox():
    async with Sandbox(process_delay=0.0, require_customers=False) as running:
        yield running


@pytest.fixture
async def arm(sandbox):
    async with ArmClient(2218, auth=sandbox.token, base_url=sandbox.base_url) as client:
        yield client


def file_of(records, tmp_path, name="customers.csv"):
    path = tmp_path / name
    path.write_text("customerNo,name\n" + "".join(f"{one['customerNo']},{one['name']}\n" for one in records))
    return open_records(str(path))


@pytest.mark.parametrize("limit", [1, 1000, 2500])
@pytest.mark.parametrize("kind", ["list", "generator", "async", "file"])
async def test_the_first_records_are_sent_and_no_other(arm, sandbox, tmp_path, limit, kind):
    records = customers(2600)
    sources = {"list": lambda: records, "generator": lambda: iter(records), "async": lambda: as_async(records)}
    source = sources[kind]() if kind in sources else file_of(records, tmp_path)
    report = await arm.customers.create_many(source, options=replace(QUICK, limit=limit))
    assert {one.key for one in sandbox.customers} == {one["customerNo"] for one in records[:limit]}
    assert (report.counts["succeeded"], report.totals.records_read) == (limit, limit)
    assert (report.limited_to, report.source_exhausted, report.ok) == (limit, False, True)
    assert report.summary() == f"{limit} succeeded; limited to the first {limit:,} records: nothing beyond them was read"
    report.raise_for_failures()


@pytest.mark.parametrize("kind", ["generator", "async", "file"])
async def test_a_source_with_fewer_records_is_whole(arm, tmp_path, kind):
    records = customers(5)
    source = {"generator": iter(records), "async": as_async(records)}.get(kind) or file_of(records, tmp_path)
    report = await arm.customers.create_many(source, options=replace(QUICK, limit=6), at_least=7)
    assert (report.limited_to, report.source_exhausted) == (None, True)
    assert "holds 5 records" in report.shortfall


async def test_less_than_at_least_is_no_shortfall_where_the_rest_was_not_read(arm):
    report = await arm.customers.create_many(iter(customers(50)), options=replace(QUICK, limit=5), at_least=40)
    assert (report.shortfall, report.ok) == (None, True)


async def test_what_is_beyond_is_not_taken_from_the_source(arm):
    source = iter(customers(50))
    await arm.customers.create_many(source, options=replace(QUICK, limit=5))
    assert next(source)["customerNo"] == "5"


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="only Linux says which files are open")
@pytest.mark.parametrize("end", ["limit", "left", "failure"])
async def test_a_file_that_is_not_read_to_its_end_is_closed(arm, sandbox, tmp_path, end):
    source = file_of(customers(20_000), tmp_path)
    options = replace(QUICK, limit=5) if end == "limit" else replace(QUICK, max_records=5)
    if end == "failure":
        sandbox.inject(Fault.status(403), path="*/customers/batches", times=100)
        with pytest.raises(BulkError):
            await arm.customers.create_many(source, options=options)
    elif end == "left":
        async with arm.customers.create_many(source, options=options) as run:
            async for _ in run:
                break
    else:
        await arm.customers.create_many(source, options=options)
    assert not [one for one in Path("/proc/self/fd").iterdir() if one.exists() and one.resolve() == tmp_path / "customers.csv"]


async def test_the_same_run_without_a_limit_sends_the_rest(arm, sandbox, tmp_path):
    records = [{"documentNo": str(place), "documentType": "IN", "customerNo": "1"} for place in range(30)]
    run = {"journal": tmp_path / "journal.sqlite", "run_id": "night"}
    first = await arm.documents.create_many(records, options=replace(QUICK, limit=10, **run))
    assert (first.counts["succeeded"], first.left_behind) == (10, {})
    again = await arm.documents.create_many(records, options=replace(QUICK, limit=12, **run))
    assert (again.counts["done_before"], again.counts["succeeded"], again.left_behind) == (10, 2, {})
    rest = await arm.documents.create_many(records, options=replace(QUICK, **run))
    assert (rest.counts["done_before"], rest.counts["succeeded"]) == (12, 18)
    assert (rest.limited_to, rest.source_exhausted) == (None, True)
    assert sandbox.documents.total_taken == 30


async def test_a_sync_takes_nobody_for_gone(arm, tmp_path):
    state = tmp_path / "state.sqlite"
    await arm.customers.sync(customers(20), state=state, options=QUICK)
    changed = [{**one, "name": "Ola"} for one in customers(20)]
    limited = await arm.customers.sync(changed, state=state, options=replace(QUICK, limit=5))
    assert (limited.changed, limited.gone, limited.ok, list(limited.gone_keys())) == (5, None, True, [])
    assert "limited to the first 5 records" in limited.summary()
    with pytest.raises(ConfigurationError, match="no customer is forgotten: limited to the first 5"):
        await limited.forget(["7"])
    whole = await arm.customers.sync(changed, state=state, options=QUICK)
    assert (whole.changed, whole.unchanged, whole.gone) == (15, 5, 0)


async def test_a_night_blocks_no_document_of_a_customer_beyond(arm, sandbox):
    sandbox.reject_record("1", kind="customers")
    documents = [{"documentNo": str(place), "documentType": "IN", "customerNo": str(place)} for place in range(20)]
    options = {"customer_options": replace(QUICK, limit=3), "document_options": replace(QUICK, limit=5)}
    report = await arm.nightly(customers=customers(20), documents=documents[::-1], **options)
    assert report.documents.counts["blocked"] == 0
    assert report.documents.counts["succeeded"] == 5
    again = await arm.nightly(customers=customers(20), documents=documents, **options)
    assert again.documents.counts["blocked"] == 1
    assert (again.documents.counts["succeeded"], again.ok, again.source_exhausted) == (4, False, False)
    assert [part["limited_to"] for part in again.to_dict()["parts"]] == [3, 5]


@pytest.mark.parametrize("limit", [0, -1, 1.5, "5", True])
def test_a_limit_is_a_number_of_records(limit):
    with pytest.raises(ConfigurationError, match=r"BulkOptions\.limit"):
        BulkOptions(limit=limit)
