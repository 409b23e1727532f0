"""Which record of the source is which record of the journal: conflicts, and equal documents without a number as multisets."""

from __future__ import annotations

import contextlib
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from amili_arm_async import BulkError
from amili_arm_async.sandbox import Fault

from ..support.examples import many
from ..support.sandbox_runs import FAULTS, UNKNOWN, bodies, invoice, invoices, new_client_no, plan, quick, send, the_run, writes

RUN = {"run_id": "2026-11-20"}


# --- conflicts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", ["succeeded", "accepted", "unknown"])
async def test_other_content_of_what_may_be_there_is_never_sent(arm, sandbox, journal, before):
    if before == "unknown":
        plan(sandbox, [Fault.status(500)])
    await send(arm, [invoice("D1", 5)], journal=journal, results="accepted" if before == "accepted" else "wait", **RUN)
    sandbox.recent.clear()

    outcome = await send(arm, [invoice("D1", 6), invoice("D2", 6)], journal=journal, **RUN)

    assert outcome.counts == {"invalid": 1, "succeeded": 1}
    failure = outcome.failures[0]
    assert (failure.index, failure.key, failure.reason) == (0, "D1", "conflicts_with_journal")
    assert failure.message
    assert bodies(sandbox) == 1
    assert outcome.report.left_behind == ({"unknown": 1} if before == "unknown" else {}), "the one before still stands"


@pytest.mark.parametrize("before", ["failed", "rejected", "not_sent"])
async def test_mended_content_is_sent_after_what_was_not_taken(arm, sandbox, journal, before):
    raises = ()
    if before == "failed":
        sandbox.inject(Fault.garbage(b'{"status":"PROCESSED","result":"FAILED"}'), method="GET", path="/batches/")
    elif before == "rejected":
        plan(sandbox, [Fault.status(422)])
    else:
        plan(sandbox, [Fault.status(403)])
        raises = BulkError
    first = await send(arm, [invoice("D1", 5)], journal=journal, raises=raises, **RUN)
    assert first.counts == {before: 1}

    fixed = [invoice("D1", 6)]
    assert (await send(arm, fixed, journal=journal, **RUN)).counts == {"succeeded": 1}
    assert (await send(arm, fixed, journal=journal, **RUN)).counts == {"done_before": 1}
    assert (await send(arm, [invoice("D1", 5)], journal=journal, **RUN)).counts == {"invalid": 1}, "now the fixed one stands"


async def test_a_number_twice_in_one_run_is_sent_once(arm, sandbox, journal):
    source = [*invoices(5), invoice("d003", 3), invoice("D001", 99), *invoices(10, start=10), invoice("D012", 12)]
    outcome = await send(arm, source, journal=journal, max_records=4, **RUN)

    assert outcome.counts == {"succeeded": 15, "invalid": 3}
    assert {index: one.reason for index, one in outcome.failures.items()} == dict.fromkeys((5, 6, 17), "document_no_repeated")
    assert not list(sandbox.documents.doubles())

    again = await send(arm, source[::-1], journal=journal, max_records=5, **RUN)
    assert again.counts == {"done_before": 15, "invalid": 3}
    assert sandbox.documents.total_taken == 15


async def test_a_number_twice_in_one_batch(arm, sandbox, journal):
    outcome = await send(arm, [invoice("D1"), invoice("D1"), invoice("D2")], journal=journal, **RUN)
    assert outcome.counts == {"succeeded": 2, "invalid": 1}
    assert outcome.state(1) == "invalid"
    assert sandbox.documents.taken("D1") == 1


async def test_what_was_invalid_stands_in_nobody_s_way(arm, sandbox, journal):
    bad = invoice("D1", float("nan"))
    source = [bad, invoice("D0"), invoice("D9"), invoice("D1"), invoice("D5")]
    outcome = await send(arm, source, journal=journal, max_records=2, **RUN)
    assert outcome.counts == {"succeeded": 4, "invalid": 1}

    again = await send(arm, source, journal=journal, max_records=3, **RUN)
    assert again.counts == {"done_before": 4, "invalid": 1}
    assert again.failures[0].reason == "not_encodable"


async def test_blanks_around_a_number_do_not_count(arm, sandbox, journal):
    await send(arm, [invoice("D1")], journal=journal, **RUN)
    outcome = await send(arm, [invoice(" D1 ")], journal=journal, **RUN)
    assert not outcome.report.counts["succeeded"], "it would be the same document a second time"
    assert writes(sandbox) == 1


async def test_a_blank_number_is_none(arm, sandbox, journal):
    source = [invoice(""), invoice("  "), invoice("")]
    outcome = await send(arm, source, journal=journal, max_records=1, **RUN)
    assert outcome.counts == {"succeeded": 3}
    again = await send(arm, source[::-1], journal=journal, **RUN)
    assert again.counts == {"done_before": 3}


# --- multisets ------------------------------------------------------------------------------------------------------------


async def test_two_equal_documents_without_number_are_two(arm, sandbox, journal):
    source = [invoice(None, 7)] * 3
    outcome = await send(arm, source, journal=journal, max_records=1, **RUN)
    assert outcome.counts == {"succeeded": 3}
    assert sandbox.documents.taken(invoice(None, 7)) == 3

    grown = await send(arm, source * 2, journal=journal, max_records=2, **RUN)
    assert grown.counts == {"done_before": 3, "succeeded": 3}
    assert sandbox.documents.taken(invoice(None, 7)) == 6


@pytest.mark.parametrize("written", [5, 5.0, "5.00", "5e0", "0.5e1"])
async def test_the_form_of_a_number_makes_no_other_document(arm, sandbox, journal, written):
    text = b'{"customerNo":"1","documentType":"IN","currencyAmounts":{"vat":1,"exclVat":%s}}' % str(written).encode()
    await send(arm, [invoice(None, 5)], journal=journal, **RUN)

    outcome = await send(arm, [text, invoice(None, 5.5)], journal=journal, **RUN)

    assert outcome.counts == {"done_before": 1, "succeeded": 1}


async def test_the_states_of_equal_documents_are_given_in_fixed_order(arm, sandbox, journal):
    """One succeeded, one accepted, one unknown, one rejected: which of them the source yields first makes no difference."""
    same = invoice(None, 7)
    await send(arm, [same], journal=journal, **RUN)
    await send(arm, [same] * 2, journal=journal, results="accepted", **RUN)
    plan(sandbox, [Fault.status(500)])
    await send(arm, [same] * 3, journal=journal, results="accepted", **RUN)
    plan(sandbox, [Fault.status(400)])
    outcome = await send(arm, [same] * 4, journal=journal, results="accepted", **RUN)
    assert outcome.counts == {"done_before": 1, "accepted": 1, "unknown": 1, "rejected": 1}

    sent = writes(sandbox)
    for number in (1, 2, 3):
        outcome = await send(arm, [same] * number, journal=journal, results="accepted", **RUN)
        assert outcome.counts == dict.fromkeys(["done_before", "accepted", "unknown"][:number], 1)
    assert writes(sandbox) == sent, "three of them may be there: a shorter source sends none"

    outcome = await send(arm, [same] * 4, journal=journal, **RUN)
    assert outcome.counts == {"done_before": 2, "unknown": 1, "succeeded": 1}


FATES = st.sampled_from(["ok", "ok", *sorted(set(FAULTS) - {"ok", "forbidden"}), "forbidden"])


@given(
    contents=st.lists(st.integers(0, 2), min_size=1, max_size=9),
    attempts=st.lists(st.tuples(st.lists(FATES, max_size=6), st.integers(1, 3), st.randoms(use_true_random=False)), min_size=1, max_size=3),
)
@many(40, in_suite=15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
async def test_no_document_is_taken_more_often_than_the_source_holds_it(arm, sandbox, folder: Path, contents, attempts):
    client_no = new_client_no()
    own = arm.for_client(client_no)
    journal = folder / f"{client_no}.sqlite"
    wanted = Counter(contents)
    ambiguous = 0

    for fates, size, order in [*attempts, ([], 2, None)]:
        source = [invoice(None, content) for content in (order.sample(contents, len(contents)) if order else contents)]
        plan(sandbox, [FAULTS[fate] for fate in fates])
        run = own.documents.create_many(source, options=_options(journal, size))
        with contextlib.suppress(*([BulkError] if "forbidden" in fates else [])):
            await run
        sandbox.clear_faults()
        counts = run.report.counts
        assert sum(counts.values()) == len(contents), "each record is named, also where the run can't go on: the source has a length"
        ambiguous += len(UNKNOWN & set(fates))
        for content, number in wanted.items():
            assert sandbox.documents.taken(invoice(None, content), client_no) <= number

    states = Counter(one.state for one in run.report.failures())
    assert set(states) <= {"unknown"}, "the last attempt met no fault: what is left is unknown"
    assert ambiguous or not states
    successes = len(contents) - states["unknown"]
    taken = {content: sandbox.documents.taken(invoice(None, content), client_no) for content in wanted}
    assert successes <= sum(taken.values()) <= len(contents)
    assert (await the_run(journal)).counts == {
        state: number for state, number in {"succeeded": successes, "unknown": states["unknown"]}.items() if number
    }

    before = writes(sandbox)
    await own.documents.create_many([invoice(None, content) for content in contents[::-1]], options=_options(journal, 1))
    assert writes(sandbox) == before


def _options(journal, size):
    return quick(journal=journal, max_records=size, concurrency=2, **RUN)
