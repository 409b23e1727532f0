"""Whatever is given: a check never raises, its quick look never misses what the walk finds, and what is clean is taken."""

from __future__ import annotations

import asyncio
import json
from datetime import date
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amili_arm_async import ArmClient, BulkOptions, ClientCredentials, Customer, Document
from amili_arm_async.cli import generate
from amili_arm_async.sandbox import Sandbox
from amili_arm_async.validation.examiner import Examiner
from amili_arm_async.values.fields import MODELS
from amili_arm_async.values.findings import SEVERITIES

KINDS = ["customers", "documents"]
NAMES = sorted(
    {*Customer.__struct_encode_fields__, *Document.__struct_encode_fields__}
    | {"lineType", "price", "exclVat", "vat", "inclVat", "cityName", "x"}
)

plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9)
texts = ["", "1", " 1", "NOK", "nok", "NO", "no", "IN", "2026-02-28", "2026-02-30", "2345676", "a@b.no", "a\nb"]
likely = st.sampled_from([*texts, 0, 1, 1.5, True, None, [], [""], {}])
names = st.sampled_from(NAMES)
values = st.recursive(
    plain | likely, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names | st.text(max_size=4), inner, max_size=6)
)
hashable = st.sampled_from([float("nan"), float("inf"), Decimal("NaN"), Decimal("1e999999"), b"x", date(2026, 1, 1), "\ud800", (1,)])
odd = hashable | st.builds(object) | st.sets(st.integers(), max_size=2)
anything = st.recursive(values | odd, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names | hashable, inner, max_size=4))
whole = {"customerNo": "1", "documentNo": "2", "documentType": "IN"}
own = {cls: {name: whole[name] for name in cls.__struct_encode_fields__ if name in whole} for cls in (Customer, Document)}
records = st.dictionaries(names, values, max_size=8)


@pytest.mark.parametrize("kind", KINDS)
@given(record=anything)
def test_nothing_that_is_given_makes_it_raise(kind, record):
    seen = Examiner(kind, 1000).check([record])
    assert {found.code for found in seen.faults.get(0, ())} <= set(SEVERITIES)
    assert seen.faults or isinstance(record, dict)


@pytest.mark.parametrize("kind", KINDS)
@given(text=st.binary(max_size=30) | values.map(lambda value: json.dumps(value).encode()))
def test_no_bytes_make_it_raise(kind, text):
    seen = Examiner(kind, None).check([text])
    assert {found.code for found in seen.faults.get(0, ())} <= set(SEVERITIES)


@pytest.mark.parametrize("kind", KINDS)
@given(given=st.lists(records, max_size=5))
@settings(max_examples=50)
def test_records_are_judged_by_column_as_each_is_on_its_own(kind, given):
    cls = MODELS[kind]
    known = [{name: value for name, value in record.items() if name in cls.__struct_encode_fields__} for record in given]
    for some in (given, [own[cls] | record for record in given], [record | own[cls] for record in known]):
        agree(Examiner(kind, 10_000), some)


def agree(examiner, records):
    texts = [json.dumps(record).encode() for record in records]
    together = examiner.check(texts)
    assert in_order(examiner.check(texts, carefully=True)) == in_order(together)
    assert in_order(examiner.check(records)) == in_order(together)
    assert in_order(examiner.check([examiner.snapshot(record) for record in records])) == in_order(together)
    alone = [examiner.check([text]) for text in texts]
    assert [one.keys[0] for one in alone] == list(together.keys)
    assert [one.owners[0] for one in alone if one.owners] == list(together.owners)
    assert {position: one.faults[0] for position, one in enumerate(alone) if one.faults} == together.faults


def in_order(checked):
    return list(checked.keys), list(checked.owners), {position: sorted(faults) for position, faults in checked.faults.items()}


# --- clean is taken -------------------------------------------------------------------------------------------------------

some_dates = st.sampled_from(["2026-01-01", "2024-02-29", "", "2026-02-29", None])
amount = st.integers(0, 10**6) | st.decimals(0, 10**6, places=2)
customers = st.fixed_dictionaries(
    {"customerNo": st.text("Åa1- ", min_size=1, max_size=4) | st.text(min_size=1, max_size=3), "name": st.just("Kari")},
    optional={
        "postalAddress": st.fixed_dictionaries(
            {}, optional={"countryCode": st.sampled_from(["NO", "se", "X"]), "cityName": st.text(max_size=9)}
        ),
        "dateOfBirth": some_dates,
        "currency": st.sampled_from(["NOK", "EUR", "", "kr"]),
        "limitAmount": amount | st.just("1"),
        "dueDays": st.integers() | st.none(),
        "emailAddressDocument": st.lists(st.emails() | st.text(max_size=4), max_size=2),
        "customerMessage": st.text(max_size=20),
        "organizationNo": st.sampled_from(["984842252", "987654321", ""]),
    },
)
documents = st.fixed_dictionaries(
    {
        "documentType": st.sampled_from(["IN", "IN", " "]),
        "customerNo": st.just("1"),
        "documentNo": st.text("Åa1- ", min_size=1, max_size=4),
    },
    optional={
        "documentDate": some_dates,
        "dueDate": some_dates,
        "kid": st.sampled_from(["2345676", "", "1"]),
        "currencyAmounts": st.builds(lambda one, two: {"exclVat": one, "vat": two, "inclVat": one + two}, amount, amount),
        "customCodes": st.lists(values, max_size=2),
        "documentLines": st.lists(
            st.fixed_dictionaries({"lineType": st.just("TXT")}, optional={"price": amount, "lineText": st.text(max_size=9)}), max_size=2
        ),
    },
)


async def taken(kind, given):
    """How many of the records a check finds nothing in, and how many of those the sandbox took."""
    async with Sandbox(process_delay=0.0) as sandbox:
        auth = ClientCredentials(client_id=sandbox.client_id, client_secret=sandbox.client_secret, identity_url=sandbox.identity_url)
        async with ArmClient(2218, auth=auth, base_url=sandbox.base_url) as arm:
            await arm.customers.create(Customer(customer_no="1", name="Kari"))
            section = getattr(arm, kind)
            clean, keys = [], set()
            for record in given:
                report = await section.check([record])
                key = str(record["customerNo" if kind == "customers" else "documentNo"]).casefold()
                if not report.counts and key not in keys:
                    keys.add(key)
                    clean.append(record)
            assert (await section.check(clean)).counts == {}
            report = await section.create_many(clean, options=BulkOptions(poll_first=0.01))
            return len(clean), report.counts["succeeded"]


@pytest.mark.parametrize(("kind", "source"), [("customers", customers), ("documents", documents)])
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_a_record_in_which_nothing_is_found_is_taken(kind, source, data):
    clean, succeeded = asyncio.run(taken(kind, data.draw(st.lists(source, min_size=5, max_size=15))))
    assert clean == succeeded


@pytest.mark.parametrize("seed", range(3))
async def test_generated_records_are_clean(check, seed):
    encode = msgspec.json.Encoder(decimal_format="number").encode
    for kind, made in (("customers", generate.customers(seed, 500)), ("documents", generate.documents(seed, 500, 500))):
        structs = list(made)
        assert (await check(kind, *structs)).counts == {}
        assert (await check(kind, *map(encode, structs))).counts == {}
