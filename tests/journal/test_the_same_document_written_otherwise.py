"""One run_id, and the source writes its documents otherwise the second time: each reaches the server once, and is told as done before."""

from __future__ import annotations

import json
import unicodedata
from collections import OrderedDict
from datetime import date
from decimal import Decimal

import pytest

from amili_arm_async import BulkError, Document, Reconcile
from amili_arm_async.bulk.journal.sqlite import store as rows
from amili_arm_async.models.base import CurrencyAmounts
from amili_arm_async.sandbox import Fault

from ..support.sandbox_runs import plan, send, slowly, the_run, writes

RUN = {"run_id": "2026-11-20"}


def document(number="17", **more):
    named = {"documentNo": number} if number is not None else {}
    return {**named, "documentType": "IN", "customerNo": "1", "currencyAmounts": {"exclVat": Decimal("12.50")}, **more}


def amounts(text):
    return lambda number: document(number, currencyAmounts={"exclVat": text})


def as_text(made, **settings):
    return lambda number: json.dumps(made(number), default=float, **settings).encode()


DECOMPOSED = unicodedata.normalize("NFD", "Blåbær på Ås")

# Two ways to write one document, each made for a number or for none.
PAIRS = {
    "null and absent": (lambda number: document(number, kid=None), document),
    "blank and absent": (lambda number: document(number, kid=""), document),
    "blank and null": (lambda number: document(number, kid=""), lambda number: document(number, kid=None)),
    "an empty list and absent": (lambda number: document(number, attachmentFiles=[]), document),
    "an empty object and absent": (lambda number: document(number, distribution={}), document),
    "blanks in an object and absent": (lambda number: document(number, distribution={"type": "", "einvoiceCode": None}), document),
    "a number as text": (amounts("12.50"), document),
    "a text as number": (lambda number: document(number, customerNo=1), document),
    "a text as number with a fraction": (
        lambda number: document(number, sellerReference=5.0),
        lambda number: document(number, sellerReference="5"),
    ),
    "outer blanks": (lambda number: document(number, ledgerNote=" Kari "), lambda number: document(number, ledgerNote="Kari")),
    "NFC and NFD": (lambda number: document(number, ledgerNote=DECOMPOSED), lambda number: document(number, ledgerNote="Blåbær på Ås")),
    "12.50 and 12.5": (document, amounts(12.5)),
    "12.50 and 1.25e1": (document, amounts(Decimal("1.25E1"))),
    "0 and -0": (amounts(0), amounts(-0.0)),
    "12 and 12.0": (amounts(12), amounts(12.0)),
    "escapes": (as_text(lambda number: document(number, ledgerNote="Å")), lambda number: document(number, ledgerNote="Å")),
    "white space": (as_text(document, indent=2), document),
    "order of the keys": (lambda number: dict(reversed(document(number).items())), document),
    "a date and a text": (
        lambda number: document(number, dueDate=date(2026, 11, 20)),
        lambda number: document(number, dueDate="2026-11-20"),
    ),
    "a Struct and a mapping": (
        lambda number: Document(
            document_no=number,
            document_type="IN",
            customer_no="1",
            kid="",
            currency_amounts=CurrencyAmounts(excl_vat=Decimal("12.5")),
        ),
        document,
    ),
}

NUMBERS = {
    "an integer": 17,
    "a Decimal": Decimal(17),
    "outer blanks": " 17 ",
    "bytes": b'{"documentNo":17.0,"documentType":"IN","customerNo":"1","currencyAmounts":{"exclVat":12.50}}',
}


def taken(sandbox):
    return sandbox.documents.total_taken


@pytest.mark.parametrize("number", ["17", None], ids=["numbered", "unnumbered"])
@pytest.mark.parametrize("turned", [False, True], ids=["", "the other way round"])
@pytest.mark.parametrize("pair", PAIRS)
async def test_it_is_sent_once(arm, sandbox, journal, pair, number, turned):
    one, other = PAIRS[pair][::-1] if turned else PAIRS[pair]
    assert (await send(arm, [one(number)], journal=journal, **RUN)).counts == {"succeeded": 1}
    outcome = await send(arm, [other(number)], journal=journal, **RUN)
    assert outcome.counts == {"done_before": 1}
    assert (taken(sandbox), writes(sandbox)) == (1, 1)


@pytest.mark.parametrize("turned", [False, True], ids=["", "the other way round"])
@pytest.mark.parametrize("way", NUMBERS)
async def test_a_number_written_otherwise(arm, sandbox, journal, way, turned):
    written = NUMBERS[way] if isinstance(NUMBERS[way], bytes) else document(NUMBERS[way])
    pair = [document("17"), written][:: -1 if turned else 1]
    assert (await send(arm, pair[:1], journal=journal, **RUN)).counts == {"succeeded": 1}
    assert (await send(arm, pair[1:], journal=journal, **RUN)).counts == {"done_before": 1}
    assert writes(sandbox) == 1


@pytest.mark.parametrize("way", NUMBERS)
@pytest.mark.parametrize("with_journal", [True, False], ids=["journal", "no journal"])
async def test_a_number_twice_in_one_source(arm, sandbox, journal, way, with_journal):
    written = NUMBERS[way] if isinstance(NUMBERS[way], bytes) else document(NUMBERS[way])
    kept = {"journal": journal, **RUN} if with_journal else {}
    outcome = await send(arm, [document("17"), document("3"), written], **kept)
    assert outcome.counts == {"succeeded": 2, "invalid": 1}
    assert outcome.failures[2].key == "17"
    assert taken(sandbox) == 2


@pytest.mark.parametrize("number", ["17", None], ids=["numbered", "unnumbered"])
@pytest.mark.parametrize("before", ["accepted", "unknown"])
async def test_what_may_be_there_is_known_again(arm, sandbox, journal, number, before):
    if before == "unknown":
        plan(sandbox, [Fault.status(500)])
    first = await send(arm, [document(number)], journal=journal, results="accepted", **RUN)
    assert first.counts == {before: 1}
    outcome = await send(arm, [document(number, kid="", currencyAmounts={"exclVat": "12.5"})], journal=journal, results="accepted", **RUN)
    assert outcome.counts == {before: 1}
    assert writes(sandbox) == 1


OTHER = {
    "amount": document(currencyAmounts={"exclVat": Decimal("12.51")}),
    "zero is an amount": document(currencyAmounts={"exclVat": Decimal("12.5"), "vat": 0}),
    "a line": document(documentLines=[{"lineNo": 1}]),
    "order of lines": document(documentLines=[{"lineNo": 2}, {"lineNo": 1}]),
    "text": document(ledgerNote="kari"),
}


@pytest.mark.parametrize("way", OTHER)
async def test_another_bill_is_another_document(arm, sandbox, journal, way):
    before = document(documentLines=[{"lineNo": 1}, {"lineNo": 2}]) if way == "order of lines" else document()
    before = document(ledgerNote="Kari") if way == "text" else before
    bare = [{name: value for name, value in record.items() if name != "documentNo"} for record in (before, OTHER[way])]
    await send(arm, [before, bare[0]], journal=journal, **RUN)
    outcome = await send(arm, [OTHER[way], bare[1]], journal=journal, **RUN)
    assert outcome.counts == {"invalid": 1, "succeeded": 1}
    assert outcome.failures[0].reason == "conflicts_with_journal"


async def test_many_in_another_order_and_grown(arm, sandbox, journal):
    source = [document(number, kid="", ledgerNote=f"Kari {place} ") for place, number in enumerate(["a", None, "b", None, "c", "d"] * 20)]
    source = [{**one, "documentNo": f"{one['documentNo']}{place}"} if "documentNo" in one else one for place, one in enumerate(source)]
    await send(arm, source, journal=journal, max_records=7, **RUN)
    again = [{**one, "ledgerNote": one["ledgerNote"].strip(), "kid": None, "currencyAmounts": {"exclVat": 12.5}} for one in source[::-1]]
    outcome = await send(arm, [*again, document("new")], journal=journal, max_records=11, **RUN)
    assert outcome.counts == {"done_before": len(source), "succeeded": 1}
    assert taken(sandbox) == len(source) + 1


async def test_where_no_text_is_kept_nothing_is_sent(arm, sandbox, journal, monkeypatch):
    monkeypatch.setattr(rows, "KEPT_BYTES", 0)
    await send(arm, [document("1"), document(None)], journal=journal, **RUN)
    outcome = await send(arm, [document("1", kid=""), document(None, kid="")], journal=journal, **RUN)
    assert outcome.counts == {"invalid": 1, "done_before": 1}
    assert "its text was not kept" in outcome.failures[0].message
    assert writes(sandbox) == 1


async def test_text_is_kept_up_to_a_limit_over_all_attempts(arm, sandbox, journal, monkeypatch):
    monkeypatch.setattr(rows, "KEPT_BYTES", 250)
    source = [document(f"{place}") for place in range(9)]
    for end in (3, 6, 9):
        await send(arm, source[:end], journal=journal, max_records=1, concurrency=1, **RUN)
    assert (await the_run(journal)).counts == {"succeeded": 9}
    outcome = await send(arm, [{**one, "kid": ""} for one in source], journal=journal, **RUN)
    assert set(outcome.counts) == {"done_before", "invalid"}
    assert outcome.counts["done_before"] == 3
    assert taken(sandbox) == 9


async def test_a_run_that_stops_names_what_is_done_though_it_is_written_otherwise(arm, sandbox, journal):
    await send(arm, [document("1"), document("2")], journal=journal, **RUN)
    sandbox.inject(Fault.status(403), method="POST", times=None)
    source = slowly([document("0"), document("1", kid=""), document("2", kid=None)])
    outcome = await send(arm, source, journal=journal, max_records=1, concurrency=1, raises=BulkError, **RUN)
    assert outcome.counts.get("not_sent") == 1
    assert outcome.report.counts["invalid"] == 0


@pytest.mark.parametrize("kept", [rows.KEPT_BYTES, 0])
async def test_a_run_that_stops_names_what_is_done_without_a_number(arm, sandbox, journal, monkeypatch, kept):
    """Also where its text was not kept: its content identifies it."""
    monkeypatch.setattr(rows, "KEPT_BYTES", kept)
    source = [document(None, ledgerNote=f"{place}") for place in range(20)]
    await send(arm, source, journal=journal, **RUN)
    sandbox.inject(Fault.status(403), method="POST", times=None)
    again = [document("new"), *({**one, "kid": ""} for one in source)]
    outcome = await send(arm, again, journal=journal, max_records=1, concurrency=1, raises=BulkError, **RUN)
    assert outcome.counts == {"not_sent": 1, "done_before": 20}


@pytest.mark.parametrize("number", [" 17 ", unicodedata.normalize("NFD", "Å17")])
async def test_what_was_sent_under_another_spelling_of_its_number_is_not_sent_again_for_not_being_found(arm, sandbox, journal, number):
    """A server that neither trims nor composes has it under the number as it was written."""
    sandbox.inject(Fault.status(404), method="GET", path="/documents/", times=None)
    plan(sandbox, [Fault.reset_after()])
    settings = Reconcile(settle=0.06, resend_absent=True)
    outcome = await send(arm, [document(number)], journal=journal, deadline=0.05, reconcile=settings, **RUN)
    assert outcome.reasons == {"unknown/not_looked_up": 1}
    assert "another spelling of the number" in outcome.failures[0].message
    assert writes(sandbox) == 1


# --- names of fields --------------------------------------------------------------------------------------------------------

SLIPS = {
    "a name in another case": (
        {"documentno": "17", "documentType": "IN", "customerNo": "1"},
        "misnamed_field",
        "$.documentno: did you mean documentNo?",
    ),
    "both": (document("17", DocumentNo="17"), "misnamed_field", "$.DocumentNo: did you mean documentNo?"),
    "in an object": (document("17", currencyAmounts={"exclvat": 5}), "misnamed_field", "$.currencyAmounts.exclvat: did you mean exclVat?"),
}


@pytest.mark.parametrize("written", ["mapping", "bytes"])
@pytest.mark.parametrize("with_journal", [True, False], ids=["journal", "no journal"])
@pytest.mark.parametrize("slip", SLIPS)
async def test_a_name_in_another_case_is_refused(arm, sandbox, journal, slip, with_journal, written):
    record, reason, message = SLIPS[slip]
    source = [document("1"), record if written == "mapping" else json.dumps(record, default=float).encode(), document("2")]
    kept = {"journal": journal, **RUN} if with_journal else {}
    outcome = await send(arm, source, **kept)
    if written == "bytes" and not with_journal:
        assert outcome.counts == {"succeeded": 3}, "nobody reads them"
        return
    assert outcome.counts == {"succeeded": 2, "invalid": 1}
    assert (outcome.failures[1].reason, outcome.failures[1].message) == (reason, message)
    assert taken(sandbox) == 2


@pytest.mark.parametrize("lines", [list, tuple, lambda lines: [OrderedDict(line) for line in lines]], ids=["list", "tuple", "mapping"])
async def test_one_name_in_another_case_deep_in_one_of_many_is_refused(arm, sandbox, lines):
    source = [document(str(number), documentLines=lines([{"lineNo": 1, "quantity": 2}])) for number in range(300)]
    source[157] = document("157", documentLines=lines([{"lineNo": 1}, {"lineNo": 2, "Quantity": 2}]))
    outcome = await send(arm, source)
    assert outcome.counts == {"succeeded": 299, "invalid": 1}
    assert outcome.failures[157].message == "$.documentLines[1].Quantity: did you mean quantity?"


async def test_a_name_twice_is_refused_where_the_text_is_read(arm, sandbox, journal):
    twice = b'{"documentNo":"17","documentNo":"18","documentType":"IN","customerNo":"1"}'
    outcome = await send(arm, [document("1"), twice, json.dumps(document("2"), default=float).encode()], journal=journal, **RUN)
    assert outcome.counts == {"succeeded": 2, "invalid": 1}
    assert (outcome.failures[1].reason, outcome.failures[1].message) == (
        "duplicate_field",
        "$.documentNo: it occurs twice in one object: leave one out",
    )


async def test_customers_too_and_in_a_sync(arm, sandbox, folder):
    source = [{"customerNo": "1", "name": "Kari"}, b'{"customerNo":"2","name":"Ola","name":"Kari"}', {"customerno": "3", "name": "Ola"}]
    outcome = await send(arm, source, kind="customers", journal=folder / "c.sqlite", run_id="one")
    assert outcome.counts == {"succeeded": 1, "invalid": 2}
    outcome = await arm.customers.sync(source, state=folder / "state.sqlite")
    assert {one.reason for one in outcome.bulk.failures()} == {"duplicate_field", "misnamed_field"}


async def test_of_customers_blank_and_absent_are_two(arm, sandbox, journal):
    await send(arm, [{"customerNo": "1", "name": "Kari"}], kind="customers", journal=journal, **RUN)
    for more in ({"phoneNo": ""}, {"emailAddressDocument": []}):
        outcome = await send(arm, [{"customerNo": "1", "name": "Kari", **more}], kind="customers", journal=journal, **RUN)
        assert outcome.counts == {"succeeded": 1}, "a blank clears what is stored"
