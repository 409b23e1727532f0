"""The dead letter file: a line for each record that did not succeed, with all that is needed to fix it and to send it again."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import stat
from decimal import Decimal
from types import MappingProxyType

import pytest

from amili_arm_async import BulkError, ConfigurationError, CurrencyAmounts, Document, JournalError, Reconcile
from amili_arm_async.bulk.journal import dead_letter
from amili_arm_async.sandbox import Fault

from ..support.postgres import DatabasePlace
from ..support.sandbox_runs import (
    awaited,
    bare_invoices,
    customer,
    customers,
    ends_after,
    invoice,
    invoices,
    lines_of,
    plan,
    quick,
    send,
    until,
    writes,
)

RUN = {"run_id": "2026-11-20"}
FIELDS = [
    "operation",
    "client_no",
    "base_url",
    "run_id",
    "journal",
    "index",
    "key",
    "state",
    "reason",
    "message",
    "attempts",
    "batch_uuid",
    "payload",
]


def place_of(journal):
    return str(journal if isinstance(journal, DatabasePlace) else journal.resolve())


@pytest.fixture
def letter(folder):
    return folder / "failed.jsonl"


async def test_all_made_it(arm, journal, letter):
    ended = await send(arm, invoices(3), journal=journal, dead_letter=letter, **RUN)
    assert ended.counts == {"succeeded": 3}
    assert letter.read_bytes() == b""


async def test_what_a_line_holds(arm, sandbox, journal, letter):
    sandbox.reject_record("D001", "ukjent bydel «Ås»")
    await send(arm, invoices(3), journal=journal, dead_letter=letter, **RUN)

    (line,) = lines_of(letter)
    uuid = line.pop("batch_uuid")
    assert line == {
        "operation": "documents.create_batch",
        "client_no": 2218,
        "base_url": sandbox.base_url,
        "run_id": "2026-11-20",
        "journal": place_of(journal),
        "index": 1,
        "key": "D001",
        "state": "failed",
        "reason": line["reason"],
        "message": "ukjent bydel «Ås»",
        "attempts": 1,
        "payload": invoices(3)[1],
    }
    assert (await arm.batches.get(uuid)).outcome == "partial"


@pytest.mark.parametrize("with_journal", [True, False], ids=["journal", "no journal"])
async def test_every_kind_of_failure_has_its_payload(arm, sandbox, journal, letter, with_journal):
    source = [
        invoice("OK", 1),
        invoice("FAILED", 2),
        invoice("NAN", float("nan"), ledgerNote="Ærlig"),
        b'{"documentNo": "BROKEN", \xff\xfe',
        Document(document_no="LARGE", customer_message="x" * 3000),
        5,
        invoice("REJECTED", 7),
        b'{\n "documentNo": "UNKNOWN",\n "customerNo": "1", "currencyAmounts": {"exclVat": 8.50} }',
        Document(document_no="ERROR", currency_amounts=CurrencyAmounts(excl_vat=Decimal("9.90"))),
        invoice("DENIED", Decimal("10.10")),
    ]
    sandbox.reject_record("FAILED")
    sandbox.poison_record("REJECTED")
    run = arm.documents.create_many(
        source,
        options=quick(
            dead_letter=letter, max_records=1, max_bytes=2000, concurrency=1, **({"journal": journal, **RUN} if with_journal else {})
        ),
    )
    faults = {4: Fault.reset_after(), 5: Fault.status(502), 6: Fault.status(403)}
    plan(sandbox, [faults.get(place) for place in range(1, 7)])
    with pytest.raises(BulkError):
        await run
    assert writes(sandbox) == 6

    lines = {line["index"]: line for line in lines_of(letter)}
    broken = {2, 3, 5}
    assert all(list(line) == [*FIELDS, *(["as_read"] if place in broken else [])] for place, line in lines.items())
    assert all(line["payload"] is None for line in lines.values() if "as_read" in line), "it is nothing to send"
    found = {
        line["key"]: (line["state"], line["reason"], line["as_read"] if "as_read" in line else line["payload"])
        for line in lines.values()
        if line["key"]
    }
    assert set(found) == {"FAILED", "NAN", "LARGE", "REJECTED", "UNKNOWN", "ERROR", "DENIED"}
    assert found["FAILED"][0] == "failed"
    assert found["FAILED"][2] == invoice("FAILED", 2)
    assert found["NAN"] == ("invalid", "not_encodable", invoice("NAN", None, ledgerNote="Ærlig"))
    assert found["LARGE"] == ("invalid", "too_large", {"documentNo": "LARGE", "customerMessage": "x" * 3000})
    assert found["REJECTED"][:2] == ("rejected", "400")
    assert found["REJECTED"][2] == invoice("REJECTED", 7)
    unknown = {found[key][0] for key in ("UNKNOWN", "ERROR", "DENIED")}
    assert unknown == {"unknown", "not_sent"}
    assert found["UNKNOWN"][2] == {"documentNo": "UNKNOWN", "customerNo": "1", "currencyAmounts": {"exclVat": 8.5}}
    assert found["ERROR"][2] == {"documentNo": "ERROR", "currencyAmounts": {"exclVat": 9.9}}
    assert found["DENIED"][2] == invoice("DENIED", 10.1)
    assert (lines[3]["state"], lines[3]["reason"]) == ("invalid", "not_encodable")
    assert lines[3]["as_read"].startswith('{"documentNo": "BROKEN"')
    assert (lines[5]["state"], lines[5]["key"]) == ("invalid", None)
    assert {line["run_id"] == RUN["run_id"] for line in lines.values()} == {with_journal}
    assert {line["journal"] for line in lines.values()} == {place_of(journal) if with_journal else None}


async def test_money_keeps_its_digits(arm, sandbox, letter):
    sandbox.inject(Fault.status(400), method="POST", times=None)
    source = [
        invoice("D1", Decimal("12.50")),
        invoice("D2", Decimal("0.1000")),
        b'{"documentNo":"D3","x":1e2,"y":123456789012345678901234567890.10}',
    ]
    await send(arm, source, dead_letter=letter, max_records=1)
    text = letter.read_text()
    assert '"exclVat":12.50' in text
    assert '"exclVat":0.1000' in text
    assert '"x":1e2,"y":123456789012345678901234567890.10' in text


AS_SENT = {"currencyAmounts": {"exclVat": Decimal("12.50")}, "customerNo": "1", "documentNo": "X", "documentType": "IN"}
REST = {
    "structs": Document(document_no="X", document_type="IN", customer_no="1", currency_amounts=CurrencyAmounts(excl_vat=Decimal("12.50"))),
    "mappings": AS_SENT,
    "bytes": b' {"documentNo":"X",\n"documentType":"IN", "customerNo":"1","currencyAmounts":{"exclVat":12.50}}',
    "other mappings": MappingProxyType(AS_SENT),
}


@pytest.mark.parametrize("kind", REST)
async def test_the_rest_of_a_list_is_there_as_it_would_have_been_sent(arm, sandbox, journal, letter, kind):
    sandbox.inject(Fault.status(403), method="POST", times=None)
    source = [*invoices(60), REST[kind]]
    ended = await send(arm, source, journal=journal, dead_letter=letter, max_records=2, concurrency=1, raises=BulkError, **RUN)
    assert ended.counts == {"not_sent": 61}

    lines = lines_of(letter)
    assert sorted(line["index"] for line in lines) == list(range(61))
    assert {line["state"] for line in lines} == {"not_sent"}
    last = next(line for line in lines if line["index"] == 60)
    assert last["payload"] == {**AS_SENT, "currencyAmounts": {"exclVat": 12.5}}
    assert last["key"] == "X"
    assert b'"exclVat":12.50' in letter.read_bytes()

    sandbox.clear_faults()
    payloads = [json.dumps(line["payload"]).encode() if line["index"] < 60 else REST["bytes"] for line in lines]
    assert (await send(arm, payloads, journal=journal, **RUN)).counts == {"succeeded": 61}
    again = await send(arm, source, journal=journal, **RUN)
    assert again.counts == {"done_before": 61}, "what was sent from the dead letter is what the source holds"


async def test_a_list_of_broken_things_that_was_not_sent(arm, sandbox, letter):
    sandbox.inject(Fault.status(403), method="POST", times=None)
    source = [
        *customers(40),
        {"customerNo": "N", "limitAmount": float("nan")},
        b"\xff",
        {"customerNo": "O", "x": object()},
        None,
        {(1, 5): 2},
    ]
    ended = await send(arm, source, kind="customers", dead_letter=letter, max_records=2, concurrency=1, raises=BulkError)
    lines = {line["index"]: line for line in lines_of(letter)}
    assert set(lines) == set(range(ended.report.totals.records_read)) == set(range(45))
    assert lines[40]["as_read"] == {"customerNo": "N", "limitAmount": None}
    assert all((line["payload"] is None) == ("as_read" in line) == (index >= 40) for index, line in lines.items())


async def test_what_ends_the_run_does_not_matter(arm, sandbox, journal, letter):
    sandbox.inject(Fault.hang_after(), method="POST", skip=1)
    run = arm.documents.create_many(invoices(6), options=quick(journal=journal, dead_letter=letter, max_records=2, concurrency=1, **RUN))
    task = asyncio.create_task(awaited(run))
    await until(lambda: sandbox.documents.total_taken == 4)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    lines = lines_of(letter)
    assert {(line["index"], line["state"]) for line in lines} == {(one.index, one.state) for one in run.report.failures()}
    assert all(line["payload"] == invoice(f"D{line['index']:03}", line["index"]) for line in lines)
    assert {"unknown", "not_sent"} <= {line["state"] for line in lines}


@pytest.mark.parametrize("way", ["left", "source raised"])
async def test_other_ends(arm, sandbox, letter, way):
    sandbox.inject(Fault.status(400), method="POST")
    records = customers(500)
    source = ends_after(records) if way == "source raised" else records
    run = arm.customers.create_many(source, options=quick(dead_letter=letter, max_records=2, bisect="off"))
    with contextlib.suppress(BulkError):
        async with run:
            if way == "left":
                async for _ in run:
                    break
    ended = {(one.index, one.state, one.reason) for one in run.report.failures()}
    assert {"rejected"} <= {state for _, state, _ in ended}
    lines = lines_of(letter)
    assert {(line["index"], line["state"], line["reason"]) for line in lines} == ended
    assert all(line["payload"] == records[line["index"]] for line in lines)


@pytest.mark.parametrize("results", ["wait", "accepted"])
async def test_accepted_is_in_it_only_where_more_was_wanted(arm, sandbox, journal, letter, results):
    sandbox.hold_processing()
    ended = await send(arm, invoices(4), journal=journal, dead_letter=letter, results=results, deadline=0.03, max_records=2, **RUN)
    assert ended.counts == {"accepted": 4}
    lines = lines_of(letter)
    assert [line["state"] for line in lines] == ["accepted"] * (4 if results == "wait" else 0)
    assert all(line["batch_uuid"] and line["payload"] for line in lines)


async def test_a_later_attempt_takes_its_place(arm, sandbox, journal, letter):
    plan(sandbox, [None, Fault.status(400), Fault.reset_after()])
    sandbox.reject_record("D000")
    options = {"journal": journal, "dead_letter": letter, "max_records": 2, "concurrency": 1, **RUN}
    await send(arm, invoices(6), **options)
    assert sorted(line["state"] for line in lines_of(letter)) == ["failed", "rejected", "rejected", "unknown", "unknown"]

    await send(arm, invoices(6)[::-1], **options)
    lines = lines_of(letter)
    assert sorted(line["state"] for line in lines) == ["failed", "unknown", "unknown"]
    assert {line["key"]: line["payload"] for line in lines} == {line["key"]: invoice(line["key"], int(line["key"][1:])) for line in lines}
    assert {line["key"]: line["index"] for line in lines} == {line["key"]: 5 - int(line["key"][1:]) for line in lines}, (
        "places of this time"
    )

    await sandbox.settled()
    await send(arm, invoices(6), reconcile=Reconcile(settle=0), **options)
    assert [line["state"] for line in lines_of(letter)] == ["failed"]


async def test_what_the_source_does_not_yield_any_more_has_no_index(arm, sandbox, journal, letter):
    plan(sandbox, [Fault.status(500)])
    options = {"journal": journal, "dead_letter": letter, "max_records": 2, "concurrency": 1, **RUN}
    await send(arm, invoices(4), **options)
    await send(arm, invoices(2, start=80), **options)
    lines = lines_of(letter)
    assert [(line["state"], line["index"]) for line in lines] == [("unknown", None)] * 2
    assert [line["payload"] for line in lines] in ([invoice("D000", 0), invoice("D001", 1)], [invoice("D002", 2), invoice("D003", 3)])


async def test_lines_of_other_runs_stay(arm, sandbox, journal, letter):
    letter.write_bytes(b'{"written":"by hand"}\nno json at all')
    sandbox.inject(Fault.status(400), method="POST", times=None)
    for run_id in ("one", "two", "one"):
        await send(arm, invoices(2), journal=journal, dead_letter=letter, run_id=run_id)
    await send(arm, customers(1), kind="customers", journal=journal, dead_letter=letter, run_id="one")
    await send(arm.for_client(2219), invoices(1), journal=journal, dead_letter=letter, run_id="one")

    text = letter.read_bytes()
    assert text.startswith(b'{"written":"by hand"}\nno json at all\n')
    lines = [json.loads(line) for line in text.splitlines()[2:]]
    assert sorted((line["operation"][:9], line["client_no"], line["run_id"], line["index"]) for line in lines) == [
        ("customers", 2218, "one", 0),
        ("documents", 2218, "one", 0),
        ("documents", 2218, "one", 1),
        ("documents", 2218, "two", 0),
        ("documents", 2218, "two", 1),
        ("documents", 2219, "one", 0),
    ]
    sandbox.clear_faults()
    await send(arm, invoices(2), journal=journal, dead_letter=letter, run_id="one")
    assert len(letter.read_bytes().splitlines()) == 6, "only its own lines are gone"


async def test_without_a_journal_each_run_adds_its_lines(arm, sandbox, letter):
    sandbox.inject(Fault.status(400), method="POST", times=None)
    for number in (1, 2):
        await send(arm, [customer("1", "Kari")], kind="customers", dead_letter=letter)
        assert len(lines_of(letter)) == number
    assert len({line["run_id"] for line in lines_of(letter)}) == 2


async def test_two_runs_that_end_at_once_keep_each_other_s_lines(arm, sandbox, journal, letter):
    sandbox.inject(Fault.status(400), method="POST", times=None)
    await asyncio.gather(
        *(send(arm, invoices(5, start=5 * n), journal=journal, dead_letter=letter, run_id=str(n), max_records=2) for n in range(8))
    )
    assert sorted((line["run_id"], line["index"]) for line in lines_of(letter)) == [(str(n), index) for n in range(8) for index in range(5)]


async def test_any_text_survives(arm, sandbox, letter):
    texts = ["æøå ÆØÅ", "日本語", "👩‍👩‍👧", "\u2028\u2029", '"\\/', "\t\r\n", "\u0000\u001f", "</script>"]
    sandbox.inject(Fault.status(400, body=json.dumps({"message": "«nei» \n 👎"}).encode()), method="POST", times=None)
    source = [customer(str(n), text) for n, text in enumerate(texts)]
    source.append(json.dumps({"customerNo": "e", "name": "Ærlig 👍"}).encode())
    source.append('{"customerNo": "u",\r\n\t"name": "Ærlig 👍"}'.encode())
    await send(arm, source, kind="customers", dead_letter=letter, max_records=3, bisect="off")

    lines = lines_of(letter)
    assert [line["payload"]["name"] for line in sorted(lines, key=lambda line: line["index"])] == [*texts, "Ærlig 👍", "Ærlig 👍"]
    assert {line["message"] for line in lines} == {"«nei» \n 👎"}
    assert letter.read_bytes().count(b"\n") == 10


async def test_half_a_surrogate_pair(arm, sandbox, journal, letter):
    broken = customer("\ud800", "Kari \udfff")
    await send(arm, [broken, customer("2", "Ola")], kind="customers", journal=journal, dead_letter=letter, **RUN)
    (line,) = lines_of(letter)
    assert (line["index"], line["state"]) == (0, "invalid")


async def test_half_a_surrogate_pair_in_a_name(arm, sandbox, journal, letter):
    broken = {**invoice("BAD"), "x\ud800": float("nan")}
    for done in ("succeeded", "done_before"):
        ended = await send(arm, [broken, *invoices(2)], journal=journal, dead_letter=letter, **RUN)
        assert ended.counts == {"invalid": 1, done: 2}
        assert [line["key"] for line in lines_of(letter)] == ["BAD"]


@pytest.mark.parametrize("side", ["", "-wal", "-shm", "-lock"])
async def test_the_journal_itself_is_no_dead_letter(arm, sandbox, journal, side):
    await send(arm, invoices(1), journal=journal, **RUN)
    before = journal.read_bytes()
    with pytest.raises(ConfigurationError):
        await send(arm, invoices(2), journal=journal, dead_letter=f"{journal}{side}", **RUN)
    assert journal.read_bytes() == before
    assert writes(sandbox) == 1


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
async def test_only_the_user_may_read_it(arm, sandbox, letter, umask):
    sandbox.inject(Fault.status(400), method="POST", times=None)
    before = os.umask(umask)
    try:
        await send(arm, customers(1), kind="customers", dead_letter=letter)
    finally:
        os.umask(before)
    assert stat.S_IMODE(letter.stat().st_mode) == 0o600
    assert [path.name for path in letter.parent.iterdir()] == ["failed.jsonl"], "and nothing is left beside it"


async def test_a_file_that_others_could_read_is_closed(arm, sandbox, letter):
    letter.write_text("")
    letter.chmod(0o644)
    sandbox.inject(Fault.status(400), method="POST", times=None)
    await send(arm, customers(1), kind="customers", dead_letter=letter)
    assert stat.S_IMODE(letter.stat().st_mode) == 0o600


async def test_a_link_stays_a_link(arm, sandbox, folder, letter):
    link = folder / "link.jsonl"
    link.symlink_to(letter)
    sandbox.inject(Fault.status(400), method="POST", times=None)
    await send(arm, customers(1), kind="customers", dead_letter=link)
    assert link.is_symlink()
    assert len(lines_of(letter)) == 1


@pytest.mark.parametrize("place", ["a directory", "no directory", "below a file", "a pipe", "a device"])
@pytest.mark.parametrize("with_journal", [True, False], ids=["journal", "no journal"])
async def test_a_place_that_can_t_be_written_is_refused_before_anything_is_sent(arm, sandbox, journal, folder, place, with_journal):
    path = folder / "place"
    if place == "a directory":
        path.mkdir()
    elif place == "no directory":
        path = path / "failed.jsonl"
    elif place == "below a file":
        path.write_text("")
        path = path / "failed.jsonl"
    elif place == "a pipe":
        os.mkfifo(path)
    else:
        path = folder / "null"
        path.symlink_to("/dev/full")
    before = sorted(folder.iterdir())

    with pytest.raises(JournalError, match="dead letter"):
        await send(arm, invoices(2), dead_letter=path, **({"journal": journal, **RUN} if with_journal else {}))

    assert writes(sandbox) == 0
    assert sorted(folder.iterdir()) == before, "and no journal was begun"


async def test_a_replaced_file_is_whole_at_any_time(arm, sandbox, journal, letter):
    """Who looks while it is written sees what was there before."""
    sandbox.inject(Fault.status(400), method="POST", times=None)
    await send(arm, invoices(50), journal=journal, dead_letter=letter, max_records=5, **RUN)
    seen = set()
    task = asyncio.create_task(awaited(arm.documents.create_many(invoices(60), options=quick(journal=journal, dead_letter=letter, **RUN))))
    while not task.done():
        seen.add(len(lines_of(letter)))
        await asyncio.sleep(0)
    await task
    assert seen <= {50, 60}
    assert len(lines_of(letter)) == 60


async def test_what_of_bare_documents_is_unknown_has_its_payload(arm, sandbox, journal, letter):
    plan(sandbox, [Fault.reset_after()])
    await send(arm, bare_invoices(2), journal=journal, dead_letter=letter, **RUN)
    assert [(line["key"], line["payload"]) for line in lines_of(letter)] == [(None, record) for record in bare_invoices(2)]


@pytest.mark.parametrize("kind", ["documents", "customers"])
async def test_what_another_run_writes_while_this_one_waits_for_the_file_is_marked(
    arm, sandbox, folder, journal, letter, monkeypatch, kind
):
    older, newer = (invoices(1), invoices(1)) if kind == "documents" else (customers(1, "old"), customers(1, "new"))
    plan(sandbox, [Fault.status(400)], path=f"{kind}/batches")
    await send(arm, older, kind=kind, journal=folder / "other.sqlite", run_id="other", dead_letter=letter)
    written = letter.read_bytes()
    letter.write_bytes(b"")
    alone = dead_letter.alone

    @contextlib.contextmanager
    def after_the_other(path):
        with alone(path):
            letter.write_bytes(written)
            yield

    monkeypatch.setattr(dead_letter, "alone", after_the_other)
    await send(arm, newer, kind=kind, journal=journal, dead_letter=letter, **RUN)
    assert [(line["run_id"], line["overtaken"]) for line in lines_of(letter)] == [("other", True)]
