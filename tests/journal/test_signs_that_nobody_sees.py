"""What a reader of a bill can't see makes no other document: signs of no width, a day as its midnight, a fraction without its zero."""

from __future__ import annotations

from datetime import date, datetime

import pytest

from amili_arm_async.bulk import canonical as meaning

from ..support.sandbox_runs import invoice, send

pytestmark = pytest.mark.quick

UNNUMBERED = {
    "zero width": (invoice(None, customerMessage="Takk"), invoice(None, customerMessage="\u200bTakk\ufeff")),
    "a mark of direction": (invoice(None, kid="123"), invoice(None, kid="\u202a123\u202c")),
    "nothing but zero width": (invoice(None), invoice(None, kid="\u200b")),
    "a day and its midnight": (invoice(None, dueDate=date(2026, 11, 20)), invoice(None, dueDate=datetime(2026, 11, 20))),  # noqa: DTZ001
    "midnight as text": (invoice(None, dueDate="2026-11-20"), invoice(None, dueDate="2026-11-20 00:00:00.000")),
    "a fraction without its zero": (invoice(None, 0.5), invoice(None, ".50")),
}

NUMBERS = {
    "zero width": ("X1", "X1\u200b"),
    "a byte order mark": ("X1", "\ufeffX1"),
    "with blanks": ("X1", "\u200e \u00a0X1 \u2060 "),
}

OTHERS = {
    "zero width within": (invoice(None, kid="12"), invoice(None, kid="1\u200b2")),
    "another time": (invoice(None, dueDate="2026-11-20"), invoice(None, dueDate="2026-11-20T08:00:00")),
    "a zone": (invoice(None, dueDate="2026-11-20"), invoice(None, dueDate="2026-11-20T00:00:00Z")),
    "a point alone": (invoice(None, 0), invoice(None, ".")),
    "leading zeros": (invoice("007"), invoice("7")),
}


async def twice(arm, journal, one, other):
    await send(arm, [one], journal=journal, run_id="one")
    return await send(arm, [other], journal=journal, run_id="one")


@pytest.mark.parametrize("pair", UNNUMBERED.values(), ids=UNNUMBERED)
async def test_the_same_document_is_sent_once(sandbox, arm, tmp_path, pair):
    outcome = await twice(arm, tmp_path / "nightly.sqlite", *pair)
    assert outcome.counts == {"done_before": 1}
    assert sandbox.documents.total_taken == 1


@pytest.mark.parametrize("pair", NUMBERS.values(), ids=NUMBERS)
async def test_the_same_number_is_sent_once(sandbox, arm, tmp_path, pair):
    outcome = await twice(arm, tmp_path / "nightly.sqlite", *map(invoice, pair))
    assert outcome.counts == {"done_before": 1}
    outcome = await send(arm, list(map(invoice, pair)))
    assert outcome.reasons == {"invalid/document_no_repeated": 1}


@pytest.mark.parametrize("pair", OTHERS.values(), ids=OTHERS)
async def test_what_can_be_seen_makes_another_document(sandbox, arm, tmp_path, pair):
    outcome = await twice(arm, tmp_path / "nightly.sqlite", *pair)
    assert outcome.counts == {"succeeded": 1}


def test_every_blank_of_unicode_is_one():
    blanks = {sign for sign in map(chr, range(0x110000)) if sign.isspace()}
    assert {sign for sign in blanks if meaning.plain_text(f"å{sign}") != "å"} == set()
