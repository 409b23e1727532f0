"""A source that is empty, or broke off, is sent as far as it goes, and never passes for the whole."""

from __future__ import annotations

import math

import pytest

from amili_arm_async import BulkError, ConfigurationError

from ..support.sandbox_fixtures import customers, documents
from .conftest import numbers


@pytest.mark.parametrize("left", [0, 1, 4])
async def test_less_than_half_of_the_customers_in_the_state_is_no_success(left, sync, sandbox) -> None:
    await sync(customers(10))
    report = await sync([*customers(left), {"customerNo": "new", "name": "x"}])
    # What is there was sent.
    assert numbers(report) == (1, 0, left, 0, 0)
    assert report.gone == 10 - left
    assert report.shortfall is not None
    assert f"of the 10 customers in the state {left}: at least 5 (50%) are expected" in report.shortfall
    assert "--at-least 0" in report.shortfall
    assert report.shortfall == report.bulk.shortfall
    with pytest.raises(BulkError, match="at least 5"):
        report.raise_for_failures()
    # Nobody is forgotten, and the next night that is whole is as if nothing had been.
    with pytest.raises(ConfigurationError, match="no customer is forgotten"):
        await report.forget(report.gone_keys())
    assert numbers(await sync(customers(10))) == (0, 0, 10, 0, 0)


async def test_half_of_them_is_enough(sync) -> None:
    await sync(customers(10))
    report = await sync(customers(5))
    assert (report.shortfall, report.gone) == (None, 5)
    report.raise_for_failures()
    assert await report.forget(report.gone_keys()) == 5


async def test_an_empty_source_of_an_empty_state_is_well(sync) -> None:
    report = await sync([])
    assert (report.shortfall, report.gone) == (None, 0)


async def test_as_many_others_are_no_whole_source(sync) -> None:
    await sync(customers(10))
    assert (await sync(customers(10, start=100))).shortfall is not None


@pytest.mark.parametrize(("at_least", "left", "short"), [
    (0, 0, False), (0.0, 0, False), (1, 1, False), (3, 2, True), (3, 3, False), (0.9, 8, True), (0.9, 9, False),
    (1.0, 9, True), (1.0, 10, False),
])  # fmt: skip
async def test_how_much_is_enough_can_be_said(at_least, left, short, arm, state, sync) -> None:
    await sync(customers(10))
    report = await arm.customers.sync(customers(left), state=state, at_least=at_least)
    assert (report.shortfall is not None) is short
    assert report.bulk.expectation.expected == (math.ceil(at_least * 10) if isinstance(at_least, float) else at_least)


@pytest.mark.parametrize("wrong", [-1, 1.5, -0.1, float("nan"), "50%", True])
async def test_what_is_neither_a_number_nor_a_share_is_refused_before_anything_is_sent(wrong, arm, state, sandbox) -> None:
    with pytest.raises(ConfigurationError, match="at_least"):
        arm.customers.sync(customers(1), state=state, at_least=wrong)
    with pytest.raises(ConfigurationError, match="at_least"):
        arm.customers.create_many(customers(1), at_least=wrong)
    assert len(sandbox.customers) == 0


async def test_a_source_that_raises_is_told_by_that_alone(sync) -> None:
    await sync(customers(10))

    def source():
        yield from customers(2)
        raise OSError

    run = sync(source())
    with pytest.raises(BulkError):
        await run
    assert (run.report.shortfall, run.report.gone) == (None, None)


async def test_records_that_can_not_be_read_are_no_customers_that_are_there(sync) -> None:
    await sync(customers(10))
    report = await sync([*customers(4), *({"customerNo": str(number), "name": {1}} for number in range(20, 30))])
    assert report.failed == 10
    assert report.shortfall is not None


@pytest.mark.usefixtures("prompt_results")
async def test_any_run_can_expect_a_number(arm, sandbox) -> None:
    for run, kind in (
        (arm.customers.create_many(customers(2), at_least=3), sandbox.customers),
        (arm.customers.update_many(iter(customers(2)), at_least=3), sandbox.customers),
        (arm.documents.create_many(documents(2), at_least=3), sandbox.documents),
    ):
        report = await run
        assert len(kind) == 2
        assert report.failed_records == 0
        assert "the source holds 2 records, and at least 3 are expected" in report.shortfall
        with pytest.raises(BulkError, match="at least 3"):
            report.raise_for_failures()
    report = await arm.customers.create_many(customers(3), at_least=3)
    assert report.shortfall is None
    with pytest.raises(ConfigurationError, match="at_least as a share needs a state"):
        arm.documents.create_many(documents(2), at_least=0.5)


@pytest.mark.usefixtures("prompt_results")
async def test_a_night_with_too_little_is_not_ok_and_sends_what_is_there(arm, state, sandbox) -> None:
    assert (await arm.nightly(customers=customers(10), documents=documents(2), state=state)).ok
    report = await arm.nightly(customers=customers(2), documents=documents(4, start=2), state=state, at_least_documents=5)
    assert not report.ok
    assert (report.error, report.failed_records) == (None, 0)
    assert set(report.shortfalls) == {"customers", "documents"}
    assert len(sandbox.documents) == 6
    with pytest.raises(BulkError, match="at least 5"):
        report.raise_for_failures()
    told = report.to_dict()
    assert told["ok"] is False
    assert [part["expectation"] for part in told["parts"]] == [
        {"at_least": "50%", "expected": 5, "found": 2},
        {"at_least": "5", "expected": 5, "found": 4},
    ]
    assert [part["shortfall"] for part in told["parts"]] == list(report.shortfalls.values())
    assert (await arm.nightly(customers=customers(2), state=state, at_least_customers=0)).ok


async def test_a_share_for_a_night_needs_a_state(arm) -> None:
    for wrong in ({"at_least_customers": 0.5}, {"at_least_documents": 0.5}):
        with pytest.raises(ConfigurationError, match="at_least as a share needs a state"):
            arm.nightly(customers=customers(1), documents=documents(1), **wrong)
