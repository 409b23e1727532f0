"""A run that goes wrong wholesale ends; documents without a number are refused where they may not be."""

from __future__ import annotations

import pytest

from amili_arm_async import ArmError, BulkError, Document
from amili_arm_async.sandbox import Fault

from ..support.sandbox_runs import bare_invoices, customers, invoice, invoices, lines_of, plan, send, the_run, writes

RUN = {"run_id": "2026-11-20"}
SMALL = {"max_records": 2, "concurrency": 1}


@pytest.mark.parametrize("with_journal", [True, False], ids=["journal", "no journal"])
@pytest.mark.parametrize("what", ["rejected", "failed", "unknown", "invalid"])
async def test_so_many_failures_end_the_run(arm, sandbox, journal, what, with_journal):
    records = invoices(200)
    if what == "rejected":
        sandbox.inject(Fault.status(400), method="POST", times=None)
    elif what == "failed":
        for record in records:
            sandbox.reject_record(record["documentNo"])
    elif what == "unknown":
        sandbox.inject(Fault.status(500), method="POST", times=None)
    else:
        records = [{**record, "x": float("nan")} for record in records]
    settings = {"journal": journal, **RUN} if with_journal else {}

    outcome = await send(arm, records, stop_after_failures=6, raises=BulkError, **SMALL, **settings)

    assert isinstance(outcome.error.__cause__, ArmError)
    assert "stop_after_failures" in str(outcome.error)
    assert outcome.report.counts[what] >= 6
    assert outcome.report.counts[what] + outcome.report.counts["accepted"] < 100
    rest = {one.reason for one in outcome.failures.values() if one.state == "not_sent"}
    assert rest == {"too_many_failures"}
    assert outcome.report.totals.records_read == 200, "the rest of a list is named"
    if with_journal:
        assert (await the_run(journal)).ended is None


async def test_fewer_failures_end_nothing(arm, sandbox):
    for number in range(5):
        sandbox.reject_record(f"D{number:03}")
    outcome = await send(arm, invoices(50), stop_after_failures=6, **SMALL)
    assert outcome.counts == {"failed": 5, "succeeded": 45}


async def test_all_kinds_of_failures_count_together(arm, sandbox):
    plan(sandbox, [Fault.status(400), Fault.status(500)])
    sandbox.reject_record("D050")
    source = [invoice("BAD", float("nan")), *invoices(100)]
    outcome = await send(arm, source, stop_after_failures=6, raises=BulkError, **SMALL)
    counts = outcome.report.counts
    assert (counts["invalid"], counts["rejected"], counts["unknown"], counts["failed"]) == (1, 2, 2, 1)


async def test_what_did_not_fail_does_not_count(arm, sandbox):
    """Accepted, and not sent for another reason."""
    sandbox.hold_processing()
    outcome = await send(arm, invoices(20), stop_after_failures=1, results="accepted", **SMALL)
    assert outcome.counts == {"accepted": 20}
    sandbox.inject(Fault.status(403), method="POST", times=None)
    outcome = await send(arm, invoices(20), stop_after_failures=1, raises=BulkError, **SMALL)
    assert "stop_after_failures" not in str(outcome.error)


@pytest.mark.parametrize(("every", "share", "ends"), [(4, 0.2, True), (4, 0.3, False), (10, 0.05, True), (10, 0.15, False)])
async def test_a_share_counts_from_the_hundredth_on(arm, sandbox, every, share, ends):
    records = customers(400)
    for record in records[::every]:
        sandbox.reject_record(record["customerNo"])
    outcome = await send(
        arm, records, kind="customers", stop_after_failures=share, raises=BulkError if ends else (), max_records=10, concurrency=1
    )
    settled = sum(number for state, number in outcome.counts.items() if state not in {"not_sent", "accepted"})
    if ends:
        assert 100 <= settled < 400
        assert {one.reason for one in outcome.failures.values() if one.state == "not_sent"} == {"too_many_failures"}
    else:
        assert settled == 400


async def test_a_few_at_the_beginning_are_no_share(arm, sandbox):
    for number in range(20):
        sandbox.reject_record(f"{number:03}")
    outcome = await send(arm, customers(300), kind="customers", stop_after_failures=0.5, **SMALL)
    assert outcome.counts == {"failed": 20, "succeeded": 280}


async def test_what_an_earlier_attempt_left_unknown_counts_too(arm, sandbox, journal):
    plan(sandbox, [Fault.status(500), Fault.status(500)])
    await send(arm, invoices(4), journal=journal, **SMALL, **RUN)
    outcome = await send(arm, invoices(30), journal=journal, stop_after_failures=4, raises=BulkError, **SMALL, **RUN)
    assert outcome.report.counts["unknown"] == 4


async def test_the_next_attempt_sends_the_rest(arm, sandbox, journal, folder):
    letter = folder / "failed.jsonl"
    refuses = sandbox.inject(Fault.status(400), method="POST", times=None)
    options = {"journal": journal, "dead_letter": letter, "stop_after_failures": 4, **SMALL, **RUN}
    first = await send(arm, invoices(40), raises=BulkError, **options)
    assert refuses.fired
    assert {line["index"]: (line["state"], line["reason"]) for line in lines_of(letter)} == {
        index: (one.state, one.reason) for index, one in first.failures.items()
    }
    sandbox.clear_faults()
    outcome = await send(arm, invoices(40), **options)
    assert outcome.counts == {"succeeded": 40}
    assert not list(sandbox.documents.doubles())
    assert lines_of(letter) == []


# --- documents without a number --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("with_journal", [True, False], ids=["journal", "no journal"])
async def test_a_document_without_number_is_invalid_where_one_is_required(arm, sandbox, journal, folder, with_journal):
    letter = folder / "failed.jsonl"
    source = [
        *invoices(3),
        *bare_invoices(1),
        Document(document_type="IN", customer_no="1"),
        b'{"documentType": "IN", "customerNo": "1"}',
        {**invoice(None), "documentNo": "  "},
        {**invoice(None), "documentNo": None},
        Document(document_no="", customer_no="1"),
        invoice("D9"),
    ]
    settings = {"journal": journal, **RUN} if with_journal else {}
    outcome = await send(arm, source, require_document_no=True, dead_letter=letter, **settings)

    assert outcome.counts == {"succeeded": 4, "invalid": 6}
    assert outcome.reasons == {"invalid/no_document_no": 6}
    assert set(outcome.failures) == set(range(3, 9))
    assert all("documentNo" in one.message for one in outcome.failures.values())
    assert sandbox.documents.total_delivered == 4
    payloads = {line["index"]: line["payload"] for line in lines_of(letter)}
    assert payloads[3] == bare_invoices(1)[0]
    assert payloads[4] == payloads[5] == {"documentType": "IN", "customerNo": "1"}

    if with_journal:
        outcome = await send(arm, source, journal=journal, **RUN)
        assert outcome.counts == {"done_before": 4, "succeeded": 5, "failed": 1}, "the last but one has no documentType"


async def test_without_that_they_are_sent(arm, sandbox):
    assert (await send(arm, bare_invoices(3))).counts == {"succeeded": 3}
    assert writes(sandbox) == 1
