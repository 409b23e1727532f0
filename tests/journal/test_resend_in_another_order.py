"""What is sent again after the source came in another order: every index, key, payload and sum is that of the record that it is told of."""

from __future__ import annotations

import json
from array import array
from collections import defaultdict
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amili_arm_async import Reconcile
from amili_arm_async.bulk.chunking import Batch
from amili_arm_async.nightly.money import MoneyObserver
from amili_arm_async.sandbox import Fault

from ..support.sandbox_runs import lines_of, outcome_of, plan, quick, send

RUN = {"run_id": "2026-11-20"}
AGAIN = Reconcile(settle=0.06, resend_absent=True)
COUNT = 12


def priced(place):
    """Each document has an amount of its own, so that no sum is right by chance."""
    number = f"D{place:03}"
    return {
        "documentNo": number,
        "documentType": "IN",
        "customerNo": "1",
        "currency": "NOK",
        "currencyAmounts": {"exclVat": 3**place, "inclVat": 3**place},
    }


ORDERS = {
    "as before": list,
    "reversed": lambda source: source[::-1],
    "shuffled": lambda source: [source[place * 5 % COUNT] for place in range(COUNT)],
    "grown": lambda source: [priced(place) for place in range(20, 15, -1)] + source[::-1] + [priced(30)],
    "grown in between": lambda source: [one for place, record in enumerate(source[::-1]) for one in (record, priced(40 + place))],
    "shrunk": lambda source: source[7:2:-1],
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("written", ["mappings", "bytes"])
async def test_each_record_is_told_as_itself(arm, sandbox, folder, journal, order, written):
    letter = folder / "failed.jsonl"
    source = [priced(place) for place in range(COUNT)]
    plan(sandbox, [None, Fault.reset_before(), Fault.reset_before()])
    options = {"journal": journal, "dead_letter": letter, "deadline": 0.05, "max_records": 4, "concurrency": 1, **RUN}
    first = await send(arm, source, **options)
    assert first.report.counts["unknown"] == 8

    again = ORDERS[order](source)
    for number in ("D005", "D010", "D007"):
        sandbox.reject_record(number, f"no {number}")
    money = MoneyObserver()
    records = again if written == "mappings" else [json.dumps(record).encode() for record in again]
    run = arm.documents._bulk.run(
        "documents.create_batch",
        records,
        options=quick(reconcile=AGAIN, **options),
        user_id=None,
        timeout=None,
        retry=None,
        observers=(money,),
    )
    report = await run
    outcome = outcome_of(report)

    assert not list(sandbox.documents.doubles())
    numbers = [record["documentNo"] for record in again]
    assert {one.key for one in outcome.failures.values()} == {"D005", "D010", "D007"} & set(numbers)
    for index, one in outcome.failures.items():
        assert (numbers[index], one.state, one.message) == (one.key, "failed", f"no {one.key}")
    lines = [line for line in lines_of(letter) if line["index"] is not None]
    assert {line["index"]: line["key"] for line in lines} == {index: one.key for index, one in outcome.failures.items()}
    assert all(line["payload"] == again[line["index"]] for line in lines)

    # What the server has, by its own count.
    sums = defaultdict(Decimal)
    for record in again:
        taken = sandbox.documents.taken(record["documentNo"])
        state = "failed" if record["documentNo"] in {"D005", "D010", "D007"} else "succeeded" if taken else "unknown"
        sums[state] += record["currencyAmounts"]["inclVat"]
    (totals,) = money.totals(report).currencies
    found = {state: total.total for state, total in totals.states.items()}
    found["succeeded"] = found.get("succeeded", Decimal(0)) + found.pop("done_before", Decimal(0))
    assert {state: total for state, total in found.items() if total} == {state: total for state, total in sums.items() if total}
    assert money.totals(report).adds_up


async def test_without_a_source_a_line_has_no_index(arm, sandbox, folder, journal):
    letter = folder / "failed.jsonl"
    plan(sandbox, [None, Fault.reset_before()])
    await send(arm, [priced(place) for place in range(8)], journal=journal, deadline=0.05, max_records=4, concurrency=1, **RUN)
    sandbox.reject_record("D006")
    report = await arm.documents.reconcile(journal, settle=0.06, resend_absent=True, options=quick(dead_letter=letter))
    assert outcome_of(report).counts == {"succeeded": 3, "failed": 1}
    assert [(line["index"], line["key"], line["payload"]) for line in lines_of(letter)] == [(None, "D006", priced(6))]


@given(st.integers(0, 6).flatmap(lambda count: st.tuples(st.just(count), st.lists(st.integers(0, max(count - 1, 0)), unique=True))))
def test_a_part_of_a_batch_has_the_records_that_were_asked_for(drawn):
    count, places = drawn
    places = [place for place in places if place < count]
    texts = [b'{"n":%d}' % place for place in range(count)]
    body = b",".join(texts)
    batch = Batch(1, range(10, 10 + count), [str(place) for place in range(count)], (body,), len(body), array("I", range(count)))
    part = batch.only(places)
    assert list(part.indexes) == [10 + place for place in places]
    assert list(part.keys) == [str(place) for place in places]
    assert part.texts() == [texts[place] for place in places]
    assert list(part.fingerprints) == places
    assert batch.only(range(count)) is batch
