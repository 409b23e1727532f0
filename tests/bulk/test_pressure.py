"""What the server asks for: less at once, later, smaller, or without the bad record."""

import math

import pytest

from amili_arm_async import ArmClient, BulkError, RateLimitedError
from amili_arm_async.sandbox import Fault, Sandbox

from ..support.sandbox_fixtures import QUICK, customers, documents, quick

BATCHES = "POST /clients/{clientno}/customers/batches"


async def test_retry_after_holds_everyone_and_all_arrive(arm, sandbox):
    sandbox.inject(Fault.status(429, retry_after=0.2), method="POST", times=3)
    report = await arm.documents.create_many(documents(2000), options=quick(max_records=100))

    assert report.counts["succeeded"] == 2000
    assert not list(sandbox.documents.doubles())


async def test_a_retry_after_beyond_patience_ends_the_run(arm, sandbox):
    sandbox.inject(Fault.status(429, retry_after=3600), method="POST", times=None)
    with pytest.raises(BulkError) as caught:
        await arm.documents.create_many(list(documents(2000)), options=quick(max_records=100, patience=5))

    assert isinstance(caught.value.__cause__, RateLimitedError)
    assert caught.value.report.counts["not_sent"] == 2000
    assert sandbox.documents.total_taken == 0


@pytest.mark.parametrize("kind", ["customers", "documents"])
async def test_too_large_is_halved_and_learnt(kind):
    async with (
        Sandbox(process_delay=0.0, require_customers=False, max_body_bytes=20_000) as sandbox,
        ArmClient(2218, auth=sandbox.token, base_url=sandbox.base_url, retry=QUICK) as arm,
    ):
        source, resource = (customers(4000), arm.customers) if kind == "customers" else (documents(4000), arm.documents)
        report = await resource.create_many(source, options=quick(concurrency=2))

        assert report.counts["succeeded"] == 4000
        assert not [record for record in (*sandbox.customers, *sandbox.documents) if record.taken != 1]
        refused = [seen for seen in sandbox.recent if seen.status == 413]
        # Learnt from the first few, not tried again with each batch.
        assert 0 < len(refused) <= 8


async def test_a_single_record_that_is_too_large_is_rejected():
    async with (
        Sandbox(process_delay=0.0, max_body_bytes=1000) as sandbox,
        ArmClient(2218, auth=sandbox.token, base_url=sandbox.base_url, retry=QUICK) as arm,
    ):
        source = [*customers(10), {"customerNo": "big", "name": "x" * 2000}, *customers(10, 20)]
        report = await arm.customers.create_many(source, options=quick())

        assert report.counts["succeeded"] == 20
        assert [(f.index, f.key, f.state, f.reason) for f in report.failures()] == [(10, "big", "rejected", "413")]


@pytest.mark.parametrize("bad", [0, 499, 999])
async def test_one_bad_record_is_found_and_costs_no_neighbour(arm, sandbox, bad):
    sandbox.poison_record(str(bad))
    report = await arm.customers.create_many(customers(1000), options=quick())

    assert report.counts["succeeded"] == 999
    assert [(f.index, f.key, f.state, f.reason) for f in report.failures()] == [(bad, str(bad), "rejected", "400")]
    assert sandbox.requests[BATCHES] <= 4 * math.log2(1000) + 8


async def test_documents_are_taken_apart_only_where_it_was_asked_for(arm, sandbox):
    sandbox.poison_record("D3")
    plain = await arm.documents.create_many(documents(100), options=quick())
    asked = await arm.documents.create_many(documents(100), options=quick(bisect="all"))

    assert plain.counts["rejected"] == 100
    assert asked.counts["rejected"] == 1
    assert asked.counts["succeeded"] == 99
    assert not list(sandbox.documents.doubles())


async def test_when_a_whole_batch_is_bad_there_is_no_more_bisection(arm, sandbox):
    for number in range(400):
        sandbox.poison_record(str(number))
    report = await arm.customers.create_many(customers(400), options=quick(max_records=50, concurrency=1))

    assert report.counts["rejected"] == 400
    # 99 for the first batch, one for each of the others.
    assert sandbox.requests[BATCHES] == 99 + 7


async def test_bisect_off(arm, sandbox):
    sandbox.poison_record("7")
    report = await arm.customers.create_many(customers(100), options=quick(bisect="off", max_records=10))

    assert report.counts["rejected"] == 10
    assert report.counts["succeeded"] == 90


async def test_an_older_version_never_overtakes_a_newer_one(arm, sandbox):
    # The same customer in every batch, each time another name, with faults that shuffle what arrives when.
    sandbox.inject(Fault.status(500), method="POST", probability=0.3, times=20)
    sandbox.inject(Fault.latency(0.02), method="POST", probability=0.3, times=20)
    source = [{"customerNo": "same" if index % 10 == 5 else f"c{index}", "name": f"version {index}"} for index in range(300)]
    report = await arm.customers.create_many(source, options=quick(max_records=10))

    assert report.counts["succeeded"] == 300
    assert sandbox.customers.get("same")["name"] == "version 295"


async def test_equal_keys_in_a_batch_that_is_halved_stay_in_order():
    async with (
        Sandbox(process_delay=0.0, max_batch_records=7) as sandbox,
        ArmClient(2218, auth=sandbox.token, base_url=sandbox.base_url, retry=QUICK) as arm,
    ):
        source = [{"customerNo": "same", "name": f"version {index}"} for index in range(64)]
        report = await arm.customers.create_many(source, options=quick())

        assert report.counts["succeeded"] == 64
        assert sandbox.customers.get("same")["name"] == "version 63"


async def test_concurrent_401s_trigger_one_refresh(sandbox):
    from amili_arm_async import ClientCredentials

    auth = ClientCredentials(client_id=sandbox.client_id, client_secret=sandbox.client_secret, identity_url=sandbox.identity_url)
    async with ArmClient(2218, auth=auth, base_url=sandbox.base_url, retry=QUICK) as arm:
        await arm.customers.list().first()
        before = sandbox.token_requests
        sandbox.revoke_tokens()
        report = await arm.documents.create_many(documents(800), options=quick(max_records=100))

    assert report.counts["succeeded"] == 800
    assert sandbox.token_requests == before + 1
    assert not list(sandbox.documents.doubles())


async def test_progress_tells_what_a_run_waits_for(arm, sandbox):
    sandbox.inject(Fault.status(503), method="POST", times=2)
    seen = []
    report = await arm.customers.create_many(customers(10), options=quick(on_progress=seen.append))

    assert report.counts["succeeded"] == 10
    assert [progress.trouble for progress in seen] == ["503", "503", None]
