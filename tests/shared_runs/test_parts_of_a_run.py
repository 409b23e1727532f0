"""A run in parts: what is sent, what is refused, what is passed over, and the report over all parts."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

from amili_arm_async import ArmClient, BulkError, BulkOptions, ConfigurationError, JournalError, RecordError, part_of
from amili_arm_async.sandbox import Fault, Sandbox

from ..support.postgres import Server, standby_of
from ..support.sandbox_runs import invoice, plan, quick, send, writes

PARTS = 4


def documents(count: int) -> list[dict[str, Any]]:
    return [invoice(f"D{number:04}", 5, currency="NOK", lineNo=1) | {"currencyAmounts": {"inclVat": number + 1}} for number in range(count)]


def own(records: list[dict[str, Any]], part: int) -> list[dict[str, Any]]:
    return [record for record in records if part_of(record["documentNo"], PARTS) == part]


def shared(arm: ArmClient, database: str, run_id: str = "2026-11-20", parts: int = PARTS, **settings: Any) -> Any:
    return arm.documents.shared_run(database, run_id=run_id, parts=parts, options=quick(**{"max_records": 5, **settings}))


def nothing(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name != "lineNo"}


RECORDS = [nothing(record) for record in documents(60)]


async def test_each_part_is_sent_once_and_the_report_adds_up(arm: ArmClient, sandbox: Sandbox, database: str) -> None:
    for part in range(PARTS):
        async with shared(arm, database) as run:
            report = await run.send_part(part, own(RECORDS, part))
            assert report.counts["succeeded"] == len(own(RECORDS, part))
    async with shared(arm, database) as run:
        merged = await run.report()
        assert [failure async for failure in run.failures()] == []
    assert merged.ok
    assert merged.counts == {"succeeded": 60}
    (part_report,) = merged.to_schema().parts
    assert part_report.read == 60
    assert part_report.money is not None
    assert part_report.money.adds_up
    (currency,) = part_report.money.currencies
    assert (currency.currency, Decimal(currency.states["succeeded"].total or 0)) == ("NOK", sum(range(1, 61)))
    assert part_report.timeline is not None
    assert sum(bucket.settled for bucket in part_report.timeline.buckets) == 60
    assert sandbox.documents.total_taken == 60


async def test_a_part_that_was_sent_is_done_before(arm: ArmClient, sandbox: Sandbox, database: str) -> None:
    mine = own(RECORDS, 2)
    async with shared(arm, database) as run:
        first = await run.send_part(2, mine)
        second = await run.send_part(2, mine[::-1])
        merged = await run.report()
    assert first.counts["succeeded"] == second.counts["done_before"] == len(mine) == sandbox.documents.total_taken
    assert merged.counts == {"succeeded": len(mine)}
    assert merged.done == (2,)
    assert not merged.ok
    assert merged.error == "1 of 4 parts are done; not done: 0, 1, 3"
    assert merged.to_schema().parts[0].money.currencies[0].states.keys() == {"succeeded"}


@pytest.mark.parametrize("cuts", [[7], [7, 3, 12], [1, 14]])
async def test_attempts_that_each_read_other_documents_add_up(arm: ArmClient, sandbox: Sandbox, database: str, cuts: list[int]) -> None:
    """As the micro-batches of a stream do; then its checkpoint is lost, and it is cut in another way."""
    mine = own(RECORDS, 2)
    async with shared(arm, database) as run:
        for cut in cuts:
            for some in (mine[:cut], mine[cut:]):
                await run.send_part(2, some)
        merged = await run.report()
    assert sandbox.documents.total_taken == len(mine)
    assert merged.counts == {"succeeded": len(mine)}
    part = merged.to_schema().parts[0]
    (currency,) = part.money.currencies
    assert (part.read, currency.read.count, currency.states.keys()) == (len(mine), len(mine), {"succeeded"})
    assert Decimal(currency.states["succeeded"].total) == sum(record["currencyAmounts"]["inclVat"] for record in mine)


async def test_a_list_with_a_document_of_another_part_is_refused_before_anything_is_sent(
    arm: ArmClient, sandbox: Sandbox, database: str
) -> None:
    foreign = own(RECORDS, 3)[0]
    async with shared(arm, database) as run:
        with pytest.raises(RecordError, match=r"index 10 .* belongs to part 3 of 4, and was given as one of part 1") as caught:
            await run.send_part(1, [*own(RECORDS, 1)[:10], foreign])
    assert foreign["documentNo"] not in str(caught.value)
    assert writes(sandbox) == 0


async def test_a_stream_with_a_document_of_another_part_stops_where_it_is_read(arm: ArmClient, sandbox: Sandbox, database: str) -> None:
    async def source() -> AsyncIterator[dict[str, Any]]:
        for record in [*own(RECORDS, 1)[:3], own(RECORDS, 3)[0], *own(RECORDS, 1)[3:]]:
            yield record

    async with shared(arm, database) as run:
        bulk = run.send_part(1, source())
        with pytest.raises(BulkError) as caught:
            await bulk
    assert isinstance(caught.value.__cause__, RecordError)
    assert sandbox.documents.total_taken == 0
    assert bulk.report.counts["not_sent"] >= 4


async def test_documents_of_other_parts_are_passed_over_and_counted(arm: ArmClient, sandbox: Sandbox, database: str) -> None:
    records = [*RECORDS, invoice(None, 7)]
    async with shared(arm, database) as run:
        reports = [await run.send_part(part, iter(records), pass_over=True) for part in range(PARTS)]
        merged = await run.report()
        failures = [failure async for failure in run.failures()]
    sizes = [len(own(RECORDS, part)) for part in range(PARTS)]
    assert [report.counts["succeeded"] for report in reports] == sizes
    assert [report.counts["other_part"] for report in reports] == [61 - sizes[0] - 1, *(61 - size for size in sizes[1:])]
    assert [report.counts["invalid"] for report in reports] == [1, 0, 0, 0]
    assert merged.counts == {"succeeded": 60, "invalid": 1}
    assert [(failure.index, failure.key, failure.reason) for failure in failures] == [(60, None, "no_document_no")]
    (part_report,) = merged.to_schema().parts
    assert part_report.read == 61
    assert part_report.money is not None
    assert part_report.money.adds_up
    assert {one.currency: Decimal(one.read.total or 0) for one in part_report.money.currencies} == {"NOK": sum(range(1, 61)), None: 0}
    assert sandbox.documents.total_taken == 60


async def test_what_fails_is_in_the_report_over_all(arm: ArmClient, sandbox: Sandbox, database: str) -> None:
    plan(sandbox, [Fault.status(400)])
    async with shared(arm, database) as run:
        for part in range(PARTS):
            await run.send_part(part, own(RECORDS, part))
        merged = await run.report()
        failures = [failure async for failure in run.failures()]
    assert merged.counts == {"rejected": 5, "succeeded": 55}
    assert Counter(failure.state for failure in failures) == {"rejected": 5}
    (reason,) = merged.to_schema().parts[0].reasons
    assert (reason.state, reason.count) == ("rejected", 5)
    assert merged.to_dict()["money_at_risk"][0]["count"] == 5


async def test_a_part_that_ends_early_names_its_own_documents_only(arm: ArmClient, sandbox: Sandbox, database: str) -> None:
    records = [nothing(record) for record in documents(6000)]
    mine = len(own(records, 1))
    plan(sandbox, [None, *[Fault.status(403)] * 8])
    async with shared(arm, database, concurrency=1, max_records=50) as run:
        with pytest.raises(BulkError):
            await run.send_part(1, records, pass_over=True)
        assert (await run.report()).counts == {"succeeded": 50, "not_sent": mine - 50}
        sandbox.clear_faults()
        await run.send_part(1, records, pass_over=True)
        assert (await run.report()).counts == {"succeeded": mine}


async def test_another_number_of_parts_is_refused(arm: ArmClient, database: str) -> None:
    async with shared(arm, database):
        pass
    with pytest.raises(ConfigurationError, match="begun with 4 parts, and now parts is 8"):
        async with shared(arm, database, parts=8):
            pass
    async with shared(arm, database, run_id="2026-11-21", parts=8):
        pass


async def test_another_rule_of_what_is_in_a_part_is_refused(arm: ArmClient, sandbox: Sandbox, database: str, postgres: Server) -> None:
    async with shared(arm, database):
        pass
    postgres.execute("UPDATE amili_arm.shared_runs SET hash_version = hash_version + 1")
    with pytest.raises(JournalError, match="another version of the library, which puts numbers into other parts"):
        async with shared(arm, database):
            pass
    # The key that a run was begun with counts, whatever this version would take.
    postgres.execute("UPDATE amili_arm.shared_runs SET hash_version = hash_version - 1, hash_key = 'another'")
    async with shared(arm, database) as run:
        reports = [await run.send_part(part, RECORDS, pass_over=True) for part in range(PARTS)]
    assert [report.counts["succeeded"] for report in reports] != [len(own(RECORDS, part)) for part in range(PARTS)]
    assert sandbox.documents.total_taken == 60


@pytest.mark.proof
async def test_after_a_standby_was_promoted_every_part_is_looked_up(
    arm: ArmClient, sandbox: Sandbox, database: str, postgres: Server
) -> None:
    async with shared(arm, database) as run:
        await run.send_part(0, own(RECORDS, 0))
    others = [{**record, "documentNo": f"E{place}"} for place, record in enumerate(RECORDS[:8])]
    with standby_of(postgres) as promoted:
        # What follows is lost with the old server: a part, and a whole run.
        async with shared(arm, database) as run:
            await run.send_part(1, own(RECORDS, 1))
        async with shared(arm, database, run_id="lost") as run:
            for part in range(PARTS):
                await run.send_part(part, others, pass_over=True)
        before = sandbox.documents.total_taken
        await asyncio.to_thread(promoted.promote)
        async with shared(arm, promoted.url()) as run:
            reports = [await run.send_part(part, own(RECORDS, part)) for part in range(PARTS)]
        assert [report.counts["done_before"] for report in reports[:2]] == [len(own(RECORDS, part)) for part in (0, 1)]
        async with shared(arm, promoted.url(), run_id="lost") as run:
            again = [await run.send_part(part, others, pass_over=True) for part in range(PARTS)]
        assert sum(report.counts["done_before"] for report in again) == len(others)
    assert before == len(own(RECORDS, 0)) + len(own(RECORDS, 1)) + len(others)
    assert list(sandbox.documents.doubles()) == []


async def test_a_run_is_either_shared_or_not(arm: ArmClient, sandbox: Sandbox, database: str) -> None:
    async with shared(arm, database):
        pass
    with pytest.raises(ConfigurationError, match="begun with 4 parts"):
        await send(arm, RECORDS, journal=database, run_id="2026-11-20")
    with pytest.raises(ConfigurationError, match="form of a part"):
        await send(arm, RECORDS, journal=database, run_id="2026-11-20 (part 1 of 4)")
    await send(arm, RECORDS[:5], journal=database, run_id="2026-11-21")
    with pytest.raises(ConfigurationError, match="begun without parts"):
        async with shared(arm, database, run_id="2026-11-21"):
            pass
    assert sandbox.documents.total_taken == 5


async def test_what_another_run_has_sent_is_not_sent_in_a_part(arm: ArmClient, sandbox: Sandbox, database: str) -> None:
    await send(arm, RECORDS[:5], journal=database, run_id="2026-11-19")
    async with shared(arm, database) as run:
        for part in range(PARTS):
            await run.send_part(part, own(RECORDS, part))
        merged = await run.report()
    assert merged.counts == {"succeeded": 55, "invalid": 5}
    assert sandbox.documents.total_taken == 60


@pytest.mark.parametrize("part", [-1, 4, 1.0, None, "1"])
async def test_there_are_so_many_parts(arm: ArmClient, database: str, part: Any) -> None:
    async with shared(arm, database) as run:
        with pytest.raises(ConfigurationError, match="part"):
            run.send_part(part, [])


async def test_settings_that_cannot_work_are_refused(arm: ArmClient, database: str, tmp_path: Any) -> None:
    with pytest.raises(ConfigurationError, match="PostgreSQL"):
        arm.documents.shared_run(str(tmp_path / "nightly.sqlite"), run_id="1", parts=4)
    for settings in ({"journal": database, "run_id": "2"}, {"journal": "a.sqlite", "run_id": "1"}, {"limit": 3}, {"dry_run": True}):
        with pytest.raises(ConfigurationError, match="a shared run"):
            arm.documents.shared_run(database, run_id="1", parts=4, options=BulkOptions(**settings))
    with pytest.raises(ConfigurationError, match="parts"):
        arm.documents.shared_run(database, run_id="1", parts=0)
    with pytest.raises(ConfigurationError, match="lease"):
        arm.documents.shared_run(database, run_id="1", parts=1, lease=0.1)
    with pytest.raises(ConfigurationError, match="enter the shared run"):
        shared(arm, database).send_part(0, [])


async def test_a_report_of_a_run_that_was_never_begun(arm: ArmClient, database: str) -> None:
    async with shared(arm, database) as run:
        merged = await run.report()
    assert merged.counts == {}
    assert not merged.ok
    with pytest.raises(JournalError, match="no run"):
        await shared(arm, database, run_id="other").report()
