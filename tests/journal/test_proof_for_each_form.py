"""Sending again what is not found: a proof that look-ups work counts for numbers of its own form, and only for them."""

from __future__ import annotations

import pytest

from amili_arm_async import Reconcile
from amili_arm_async.bulk.journal.sqlite import reconcile_store as unknowns

from ..support.gateway import Gateway
from ..support.http_server import Answer
from ..support.sandbox_runs import invoice, outcome_of, quick, send, the_run

RUN = {"run_id": "night"}
SENDS_AGAIN = Reconcile(settle=0.06, resend_absent=True)
WAYS = pytest.mark.parametrize("way", ["in the run", "in the next run", "alone"])

GATEWAYS = {
    "an encoded slash": (lambda raw: "%2F" in raw, "2026/{:04}", "2026{:04}"),
    "a dot": (lambda raw: "." in raw, "2026.{:04}", "2026-{:04}"),
    "what is not ASCII": (lambda raw: "%C3" in raw, "ÅR-{:04}", "AR-{:04}"),
    "a blank": (lambda raw: "%20" in raw, "AR {:04}", "AR{:04}"),
    "lower case": (lambda raw: raw.lower() == raw, "br{:04}", "AR{:04}"),
    "letters": (lambda raw: not raw.isdigit(), "AR{:04}", "9{:05}"),
    "digits alone": (lambda raw: raw.isdigit(), "1{:04}", "AR{:04}"),
    "what is long": (lambda raw: len(raw) > 8, "A{:08}", "A{:04}"),
    "a zero in front": (lambda raw: raw.startswith("0"), "0{:04}", "1{:04}"),
}
EACH_GATEWAY = pytest.mark.parametrize("name", GATEWAYS)


async def night(gateway, journal, numbers, way, *, settings=SENDS_AGAIN):
    """A run of batches of two, and a reconcile that sends again, in one of three ways."""
    source = [invoice(number, place) for place, number in enumerate(numbers)]
    options = {"journal": journal, "max_records": 2, "concurrency": 1, "deadline": 0.05, **RUN}
    async with gateway.client() as arm:
        if way == "in the run":
            return await send(arm, source, reconcile=settings, **options)
        await send(arm, source, **options)
        if way == "in the next run":
            return await send(arm, source, reconcile=settings, **options)
        return outcome_of(await arm.documents.reconcile(journal, settle=0.06, resend_absent=True, options=quick(deadline=0.05)))


@WAYS
@EACH_GATEWAY
async def test_nothing_is_sent_twice_behind_a_gateway_that_does_not_know_some_addresses(journal, caplog, name, way):
    """Plain numbers are found, so look-ups work; of the others a batch was taken, and its answer was lost."""
    hides, hidden, plain = GATEWAYS[name]
    numbers = [*(plain.format(n) for n in range(4)), *(hidden.format(n) for n in range(4))]
    async with Gateway(hides_number=hides, faults=["ok", "taken_reset", "taken_reset", "taken_reset"]) as gateway:
        outcome = await night(gateway, journal, numbers, way)

    assert not gateway.doubles
    assert len(gateway.writes) == 4
    assert outcome.reasons == {"unknown/absent": 4}
    assert all("such a form" in failure.message for failure in outcome.failures.values())
    assert "no document with a number of this form is found" in caplog.text
    assert (await the_run(journal)).counts == {"succeeded": 4, "unknown": 4}


@WAYS
@EACH_GATEWAY
async def test_with_a_proof_for_the_form_it_is_sent_once(journal, name, way):
    """The same numbers before a gateway that lets them through: what was lost goes out again, what was taken is found."""
    _, hidden, plain = GATEWAYS[name]
    numbers = [*(plain.format(n) for n in range(4)), *(hidden.format(n) for n in range(4))]
    async with Gateway(faults=["ok", "body_reset", "ok", "body_reset"]) as gateway:
        outcome = await night(gateway, journal, numbers, way)

    assert not outcome.failures
    assert gateway.taken == dict.fromkeys(numbers, 1)
    assert len(gateway.writes) == 6


@WAYS
async def test_a_proof_must_be_as_long_as_what_it_proves(journal, way):
    numbers = ["A1", "A2", "A10000", "A10001"]
    async with Gateway(faults=["ok", "body_reset"]) as gateway:
        outcome = await night(gateway, journal, numbers, way)
    assert outcome.reasons == {"unknown/absent": 2}
    assert len(gateway.writes) == 2


@WAYS
async def test_a_batch_with_a_form_that_is_not_proved_stays_whole(journal, way):
    """A batch is taken as a whole: where one of its numbers can't be asked for, it may be there, and the others on their way."""
    numbers = ["A001", "A002", "A003", "A/04", "A005", "A006"]
    async with Gateway(hides_number=lambda raw: "%2F" in raw, faults=["ok", "body_reset", "body_reset"]) as gateway:
        outcome = await night(gateway, journal, numbers, way)
    assert {failure.key for failure in outcome.failures.values()} == {"A003", "A/04"}
    assert gateway.taken == dict.fromkeys(["A001", "A002", "A005", "A006"], 1)


@WAYS
@pytest.mark.parametrize("page", [b"<html>404</html>", b"\xef\xbb\xbf <!DOCTYPE html>"], ids=repr)
async def test_a_web_page_is_no_answer_of_the_api(journal, way, page):
    """A proof of the form is there, so that 404 would be believed."""
    hides = {"A003"}
    gateway = Gateway(hides_number=lambda raw: raw in hides, page=(page, "text/html"), faults=["ok", "taken_reset"])
    async with gateway:
        outcome = await night(gateway, journal, ["A001", "A002", "A003", "A004"], way)
    assert outcome.reasons.get("unknown/not_looked_up", 0) + outcome.reasons.get("unknown/batch_taken", 0) == 1
    assert not gateway.doubles


@WAYS
async def test_one_that_must_be_there_and_is_not_refutes_the_others(journal, way):
    """Half of the machines behind the gateway don't know the address."""
    gateway = Gateway(hides_number=lambda raw: raw in {"A0001", "A0002", "A0003", "A0004"}, faults=["ok", "taken_reset", "body_reset"])
    async with gateway:
        outcome = await night(gateway, journal, ["A0001", "A0002", "A0003", "A0004", "A0005", "A0006"], way)
    assert outcome.report.counts["unknown"] == 4
    assert len(gateway.writes) == 3


@WAYS
async def test_another_document_in_the_answer_is_neither_a_proof_nor_a_conflict(journal, way):
    """A gateway that cuts the address at the slash shows the document of another number."""
    gateway = Gateway(faults=["ok", "taken_reset", "taken_reset"])
    shows = Answer(200, invoice("2026", 1))
    gateway.answer_read = lambda seen: shows if "%2F" in seen.request.raw_path else None
    async with gateway:
        outcome = await night(gateway, journal, ["20261", "20262", "2026/1", "2026/2"], way)
    assert outcome.reasons == {"unknown/not_looked_up": 2}
    assert not gateway.doubles


async def test_a_proof_is_found_in_a_large_journal_with_bounded_work(journal, monkeypatch):
    """A form that is rare is found next to what is absent; what would take too long is not looked for."""
    numbers = [*(f"A{n:04}" for n in range(300)), "2026/0001", "2026/0002", "2026/0003", "2026/0004"]
    read: list[int] = []
    keys = unknowns.taken_keys
    monkeypatch.setattr(unknowns, "taken_keys", lambda connection, batches: read.append(len(batches)) or keys(connection, batches))
    async with Gateway(faults=[*["ok"] * 151, "body_reset"]) as gateway:
        outcome = await night(gateway, journal, numbers, "in the run")
        assert not outcome.failures
        assert gateway.taken == dict.fromkeys(numbers, 1)
        monkeypatch.setattr(unknowns, "_MOST_SCANNED", 100)
        read.clear()
        gateway.faults.append("body_reset")
        numbers = ["X.0001", "X.0002"]
        outcome = await night(gateway, journal, numbers, "in the next run")
    assert outcome.reasons == {"unknown/absent": 2}
    assert sum(read) <= 100 // 2 + 20
