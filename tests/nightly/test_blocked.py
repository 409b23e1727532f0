"""Customers that did not succeed, and their documents: never delivered, while those of everybody else are."""

from __future__ import annotations

import asyncio
import sqlite3
import tracemalloc
from array import array
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

import numpy as np
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amili_arm_async import ArmError, BatchOutcome, BulkError, Document, Reconcile
from amili_arm_async.bulk.outcomes import STATES, Outcome
from amili_arm_async.nightly import customer_numbers
from amili_arm_async.nightly.blocked import BlockedDocuments, FailedCustomers
from amili_arm_async.sandbox import Fault

from ..support import sandbox_runs
from ..support.cutting_observer import Cutting
from ..support.sandbox_fixtures import customers, quick
from ..support.sandbox_runs import lines_of, the_run, until

SUCCESS = {"succeeded", "unchanged", "done_before", "would_be_sent", "other_part"}


def settle(failed: FailedCustomers, keys: list[str | None], states: list[str], first: int = 0) -> None:
    outcomes = [Outcome(state) for state in states]
    exceptions = {place: outcome for place, outcome in enumerate(outcomes) if outcome != outcomes[0]}
    failed.on_settled(BatchOutcome(1, None, 1, None, range(first, first + len(keys)), keys, outcomes[0], exceptions))


@pytest.fixture(params=[100_000, 2, 0], ids=["in memory", "both", "in a file"])
def most(request) -> int:
    return request.param


def failed_of(most: int, **settings: Any) -> FailedCustomers:
    failed = FailedCustomers(**settings)
    failed._failed._most_in_memory = most
    return failed


NUMBERS = ["a", "A", "b", "C", "c", "\ud800", "ß", "SS", None]
CUSTOMERS = st.lists(st.tuples(st.sampled_from(NUMBERS), st.sampled_from(STATES)), max_size=30)


@given(CUSTOMERS, st.lists(st.integers(1, 8), max_size=8), st.sampled_from([0, 1, 2, 100]), st.booleans())
def test_the_last_record_of_a_customer_decides(drawn, sizes, most, accepted_is_enough) -> None:
    failed = failed_of(most, accepted_is_enough=accepted_is_enough)
    first = 0
    for size in [*sizes, len(drawn) or 1]:
        some = drawn[first : first + size]
        if some:
            settle(failed, [key for key, _ in some], [state for _, state in some], first)
        first += len(some)
    well = SUCCESS | ({"accepted"} if accepted_is_enough else set())
    last = {key.casefold(): state for key, state in drawn if key is not None}
    expected = {key for key, state in last.items() if state not in well}
    assert failed.among({key.casefold() for key in NUMBERS if key is not None} | {"nobody"}) == expected
    assert len(failed) == len(expected)
    assert failed.nameless == sum(key is None and state not in well for key, state in drawn)


def test_an_earlier_record_that_ends_later_does_not_take_a_later_one_off(most) -> None:
    failed = failed_of(most)
    settle(failed, ["x", "y", "z"], ["invalid"] * 3, first=10)
    settle(failed, ["X", "y", "z"], ["succeeded"] * 3, first=0)
    assert failed.among({"x", "y", "z"}) == {"x", "y", "z"}
    settle(failed, ["X"], ["succeeded"], first=20)
    assert failed.among({"x", "y", "z"}) == {"y", "z"}


class Resumed:
    """A journal of a run that was begun before."""

    is_resumed = True


async def resumed(most: int) -> FailedCustomers:
    failed = failed_of(most)
    await failed.begin_journal(Resumed())
    failed._succeeded._most_in_memory = most
    return failed


async def test_in_a_resumed_run_an_older_record_that_fails_later_blocks_nothing(most) -> None:
    failed = await resumed(most)
    settle(failed, ["x", "y", "z"], ["done_before"] * 3, first=10)
    settle(failed, ["v", "w"], ["failed", "done_before"], first=13)
    settle(failed, ["X", "y", "w"], ["failed", "failed", "succeeded"], first=0)
    settle(failed, ["Z"], ["failed"], first=20)
    assert failed.among({"v", "w", "x", "y", "z"}) == {"v", "z"}


@pytest.mark.proof
def test_many_are_kept_in_a_file_and_not_in_memory() -> None:
    failed = FailedCustomers()
    failed._failed._most_in_memory = 1000
    tracemalloc.start()
    try:
        for first in range(0, 50_000, 1000):
            settle(failed, [f"customer {number}" for number in range(first, first + 1000)], ["failed"] * 1000, first)
        used = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert used < 1_000_000
    assert len(failed) == 50_000
    assert failed.among(f"customer {number}" for number in range(49_000, 51_000)) == {
        f"customer {number}" for number in range(49_000, 50_000)
    }


class Full:
    """A database on a full disk."""

    total_changes = 0

    def __enter__(self) -> Full:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def executemany(self, *_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    execute = executemany

    def close(self) -> None:
        return


def test_a_full_disk_loses_nothing(monkeypatch) -> None:
    monkeypatch.setattr(customer_numbers, "_temporary", Full)
    failed = failed_of(0)
    settle(failed, ["a", "b"], ["failed", "unknown"])
    settle(failed, ["A"], ["succeeded"], first=5)
    assert len(failed) == 1
    with pytest.raises(ArmError, match="can't be read"):
        failed.among({"b"})


async def test_on_a_full_disk_a_customer_stays_blocked(monkeypatch) -> None:
    failed = await resumed(0)
    with monkeypatch.context() as patch:
        patch.setattr(customer_numbers, "_temporary", Full)
        settle(failed, ["a"], ["done_before"], first=1)
    settle(failed, ["a"], ["failed"], first=0)
    assert failed.among({"a"}) == {"a"}


def test_no_temporary_file_can_be_made(monkeypatch) -> None:
    def refused() -> sqlite3.Connection:
        raise sqlite3.OperationalError("unable to open database file")

    monkeypatch.setattr(customer_numbers, "_temporary", refused)
    failed = failed_of(0)
    settle(failed, ["a", "b"], ["failed", "unknown"])
    settle(failed, ["A"], ["succeeded"], first=5)
    assert failed.among({"a", "b"}) == {"b"}


class Wicked(dict[str, Any]):
    def get(self, *_: Any) -> Any:
        raise RuntimeError("wicked")


async def test_documents_are_named_in_any_form(most) -> None:
    failed = failed_of(most)
    settle(failed, ["4711", "Æ1", "17"], ["failed"] * 3)
    records = [
        Document(customer_no="4711"),
        {"customerNo": " æ1 "},
        {"customerNo": 17},
        b'{"lines": [{"customerNo": "1"}], "customerNo": "4711"}',
        bytearray(b'{"customerNo": "\xc3\x861"}'),
        Document(customer_no="4712"),
        Document(),
        {},
        {"customerNo": None},
        {"customerNo": ["4711"]},
        b'{"customerNo": "4711"',
        b"\xff",
        None,
        Wicked(customerNo="4711"),
    ]
    outcomes = await BlockedDocuments(failed).filter(records, 0)
    named = {place: (outcome.state, outcome.reason) for place, outcome in outcomes.items()}
    assert named == dict.fromkeys(range(5), ("blocked", "customer_failed"))
    assert outcomes[0].message == "customer 4711 did not succeed"
    assert outcomes[1].message == "customer æ1 did not succeed"


@dataclass
class Invoice:
    customerNo: Any  # noqa: N815 - as in JSON


class Model(pydantic.BaseModel):
    customer: str = pydantic.Field(serialization_alias="customerNo")


async def test_the_customer_of_a_document_is_the_one_that_is_sent(most) -> None:
    failed = failed_of(most)
    settle(failed, ["7", "2026-01-01", str(UUID(int=5))], ["failed"] * 3)
    records = [
        {"customerNo": np.int64(7)},
        {"customerNo": date(2026, 1, 1)},
        {"customerNo": UUID(int=5)},
        Invoice("7"),
        Invoice(np.int64(7)),
        Model(customer="7"),
        Invoice("8"),
    ]
    outcomes = await BlockedDocuments(failed).filter(records, 0)
    assert set(outcomes) == set(range(6))


class Untouchable:
    def __getattribute__(self, name: str) -> Any:
        raise AssertionError("it was looked at")


async def test_documents_are_not_even_looked_at_where_every_customer_made_it() -> None:
    failed = FailedCustomers()
    settle(failed, ["1", "2"], ["succeeded", "unchanged"])
    assert await BlockedDocuments(failed).filter([Untouchable()], 0) == {}


# --- runs ---------------------------------------------------------------------------------------------------------------


def run_of(room: Any, operation: str, source: Any, *watchers: Any, **settings: Any):
    return room._bulk.run(operation, source, options=quick(**settings), user_id=None, timeout=None, retry=None, observers=watchers)


def invoices(number: int, customers: int) -> list[Any]:
    made: list[Any] = [{"documentNo": f"D{index}", "documentType": "IN", "customerNo": str(index % customers)} for index in range(number)]
    made[1::3] = [Document(document_no=one["documentNo"], document_type="IN", customer_no=one["customerNo"]) for one in made[1::3]]
    return made


async def test_documents_of_customers_that_did_not_make_it_are_never_delivered(most, arm, sandbox) -> None:
    source = list(customers(300))
    source[7] = {**source[7], "name": float("nan")}
    sandbox.reject_record("42", kind="customers")
    sandbox.reject_record("43", kind="customers")
    failed = failed_of(most)
    await run_of(arm.customers, "customers.create_batch", source, failed, max_records=40)
    assert failed.complete
    report = await run_of(arm.documents, "documents.create_batch", invoices(900, 300), BlockedDocuments(failed), max_records=40)
    expected = {number for number in range(900) if number % 300 in {7, 42, 43}}
    for number in range(900):
        assert sandbox.documents.delivered(f"D{number}") == (0 if number in expected else 1)
    assert {state: number for state, number in report.counts.items() if number} == {"blocked": 9, "succeeded": 891}
    assert {(failure.index, failure.key, failure.reason) for failure in report.failures()} == {
        (number, f"D{number}", "customer_failed") for number in expected
    }


async def test_a_customer_that_failed_first_and_made_it_later_is_billed(arm, sandbox) -> None:
    source = [{"customerNo": "1", "name": float("nan")}, *customers(100, 1)]
    failed = FailedCustomers()
    report = await run_of(arm.customers, "customers.create_batch", source, failed, max_records=10)
    assert report.counts["invalid"] == 1
    assert len(failed) == 0
    await run_of(arm.documents, "documents.create_batch", invoices(1, 1) + invoices(2, 2)[1:], BlockedDocuments(failed))
    assert sandbox.documents.delivered("D1") == 1


@pytest.mark.parametrize("settled", [1, 200, 500, 900])
async def test_a_run_of_customers_that_was_cut_off_blocks_all_that_did_not_make_it(settled, arm) -> None:
    failed, cutting = FailedCustomers(), Cutting(settled)
    run = run_of(arm.customers, "customers.create_batch", customers(1000), cutting, failed, max_records=20)
    cutting.task = asyncio.ensure_future(run._whole())
    with pytest.raises(asyncio.CancelledError):
        await cutting.task
    assert failed.complete is False
    assert len(failed) == run.report.failed_records
    read = run.report.totals.records_read
    report = await run_of(arm.documents, "documents.create_batch", invoices(1000, 1000)[:read], BlockedDocuments(failed))
    assert report.counts["blocked"] == run.report.failed_records


async def test_customers_on_a_connection_that_is_reset_and_refused(arm, sandbox) -> None:
    sandbox.inject(Fault.status(403), times=None)
    failed = FailedCustomers()
    with pytest.raises(BulkError):
        await run_of(arm.customers, "customers.create_batch", list(customers(500)), failed, max_records=50)
    sandbox.clear_faults()
    assert failed.among(map(str, range(500))) == set(map(str, range(500)))
    report = await run_of(arm.documents, "documents.create_batch", invoices(500, 600), BlockedDocuments(failed))
    assert report.counts["blocked"] == 500
    assert sandbox.documents.total_delivered == 0


async def test_what_comes_of_an_older_record_in_the_next_attempt_blocks_nothing(arm, sandbox, tmp_path) -> None:
    def settings(**more: Any) -> Any:
        run = {"journal": tmp_path / "journal", "run_id": "night"}
        return quick(max_records=1, concurrency=1, deadline=0.3, poll_first=0.01, poll_max=0.05, **run, **more)

    def is_accepted(progress: Any) -> None:
        if progress.counts.get("accepted"):
            sandbox.clear_faults()
            sandbox._ledger().rejects.clear()

    source = [{"customerNo": "1", "name": "old"}, {"customerNo": "1", "name": "new"}]
    sandbox.reject_record("1", kind="customers")
    sandbox.inject(Fault.status(503), path="batches/", times=None)
    await arm.customers.create_many(source, options=settings(on_progress=is_accepted))
    assert sandbox.customers.get("1")["name"] == "new"
    bill = [{"documentNo": "D1", "documentType": "IN", "customerNo": "1"}]
    report = await arm.nightly(customers=source, documents=bill, customer_options=settings(), document_options=quick())
    assert {failure.state for failure in report.customers.failures()} == {"failed"}
    assert report.documents.counts["succeeded"] == 1


async def test_where_results_are_not_waited_for_accepted_is_enough(arm) -> None:
    strict, lenient = FailedCustomers(), FailedCustomers(accepted_is_enough=True)
    await run_of(arm.customers, "customers.create_batch", customers(50), strict, lenient, results="accepted")
    assert (len(strict), len(lenient)) == (50, 0)


@pytest.mark.parametrize("number", [900, 1])
async def test_what_an_earlier_attempt_sent_has_the_result_that_comes_during_the_run(number, arm, sandbox, tmp_path) -> None:
    settings = {"journal": tmp_path / "journal", "run_id": "night", "max_records": 40}
    sandbox.hold_processing()
    await run_of(arm.documents, "documents.create_batch", invoices(number, 3), results="accepted", **settings)
    failed = FailedCustomers()
    settle(failed, ["0", "1", "2"], ["failed", "succeeded", "failed"])
    run = run_of(arm.documents, "documents.create_batch", invoices(number + 6, 3), BlockedDocuments(failed), **settings)
    task = asyncio.ensure_future(run._whole())
    await until(lambda: run.report.totals.records_read == number + 6)
    sandbox.release_processing()
    await task
    assert {state: number for state, number in run.report.counts.items() if number} == {"done_before": number, "blocked": 4, "succeeded": 2}


@pytest.mark.parametrize("is_there", [True, False])
async def test_what_an_earlier_attempt_may_have_sent_is_looked_up_and_not_sent_again(is_there, arm, sandbox, tmp_path) -> None:
    settings = {"journal": tmp_path / "journal", "run_id": "night", "max_records": 3, "concurrency": 1, "deadline": 0.4}
    sandbox.inject(Fault.reset_after() if is_there else Fault.reset_before(), method="POST", skip=1)
    report = await run_of(arm.documents, "documents.create_batch", invoices(6, 3), **settings)
    assert report.counts["unknown"] == 3
    failed = FailedCustomers()
    settle(failed, ["0", "1", "2"], ["failed", "succeeded", "failed"])
    again = {**settings, "reconcile": Reconcile(settle=0.5, resend_absent=True)}
    report = await run_of(arm.documents, "documents.create_batch", invoices(6, 3), BlockedDocuments(failed), **again)
    counts = {state: number for state, number in report.counts.items() if number}
    assert counts == ({"done_before": 6} if is_there else {"done_before": 3, "unknown": 2, "succeeded": 1})
    assert {failure.reason for failure in report.failures()} <= {"absent"}
    assert sandbox.documents.total_taken == (6 if is_there else 4)


# --- what is blocked in a run that goes on ------------------------------------------------------------------------------------


def blocks_customer_1() -> BlockedDocuments:
    failed = FailedCustomers()
    settle(failed, ["1"], ["failed"])
    return BlockedDocuments(failed)


@pytest.mark.parametrize("documents", [sandbox_runs.invoices(2), sandbox_runs.bare_invoices(2)], ids=["numbered", "unnumbered"])
@pytest.mark.parametrize("is_written", [True, False], ids=["dead letter", "no dead letter"])
async def test_what_failed_before_and_is_blocked_now_has_one_row_and_one_line(is_written, documents, arm, sandbox, tmp_path) -> None:
    letter = tmp_path / "failed.jsonl"
    settings = {"journal": tmp_path / "journal", "run_id": "night", "dead_letter": letter if is_written else None}
    sandbox.inject(Fault.status(400), method="POST", times=1)
    report = await run_of(arm.documents, "documents.create_batch", documents, **settings)
    assert report.counts["rejected"] == 2
    for _ in range(2):
        report = await run_of(arm.documents, "documents.create_batch", documents, blocks_customer_1(), **settings)
        assert report.counts["blocked"] == 2
        assert (await the_run(tmp_path / "journal")).counts == {"blocked": 2}
        if is_written:
            assert [(line["index"], line["state"]) for line in lines_of(letter)] == [(0, "blocked"), (1, "blocked")]


async def test_other_content_under_a_number_that_was_sent_is_a_conflict_though_it_is_blocked(arm, sandbox, tmp_path) -> None:
    settings = {"journal": tmp_path / "journal", "run_id": "night", "dead_letter": tmp_path / "failed.jsonl"}
    await run_of(arm.documents, "documents.create_batch", sandbox_runs.invoices(2), **settings)
    changed = [*sandbox_runs.invoices(1), sandbox_runs.invoice("D001", 999)]
    for _ in range(2):
        report = await run_of(arm.documents, "documents.create_batch", changed, blocks_customer_1(), **settings)
        assert {state: number for state, number in report.counts.items() if number} == {"done_before": 1, "invalid": 1}
        [line] = lines_of(tmp_path / "failed.jsonl")
        assert (line["index"], line["state"], line["reason"], line["payload"]) == (1, "invalid", "conflicts_with_journal", changed[1])
        assert (await the_run(tmp_path / "journal")).counts == {"succeeded": 2, "invalid": 1}
    assert sandbox.documents.total_taken == 2


@pytest.mark.parametrize("documents", [sandbox_runs.invoices(2), sandbox_runs.bare_invoices(2)], ids=["numbered", "unnumbered"])
async def test_what_was_sent_is_done_before_though_it_is_blocked_and_written_otherwise(documents, arm, tmp_path) -> None:
    settings = {"journal": tmp_path / "journal", "run_id": "night"}
    await run_of(arm.documents, "documents.create_batch", documents, **settings)
    again = [dict(reversed({**document, "ledgerNote": None}.items())) for document in documents]
    report = await run_of(arm.documents, "documents.create_batch", again, blocks_customer_1(), **settings)
    assert report.counts["done_before"] == 2


async def test_a_list_that_can_not_be_read_ends_the_run_and_nothing_is_sent(monkeypatch, arm, sandbox) -> None:
    monkeypatch.setattr(customer_numbers, "_temporary", Full)
    failed = failed_of(0)
    settle(failed, ["1"], ["failed"])
    with pytest.raises(BulkError, match="can't be read"):
        await run_of(arm.documents, "documents.create_batch", invoices(10, 3), BlockedDocuments(failed))
    assert sandbox.documents.total_delivered == 0


def test_indexes_may_have_gaps() -> None:
    failed = FailedCustomers()
    failed.on_settled(BatchOutcome(1, None, 1, None, array("q", [3, 9]), ["a", "A"], Outcome("failed"), {1: Outcome("succeeded")}))
    assert len(failed) == 0
