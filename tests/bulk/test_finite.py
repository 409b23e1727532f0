"""Structs hold only finite numbers: each field that is a number, at any depth, is looked at."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from amili_arm_async import CurrencyAmounts, Customer, Distribution, Document, DocumentLine
from amili_arm_async.bulk.finite import finite_check

pytestmark = pytest.mark.quick

AMOUNTS = {"excl_vat": Decimal("1.5"), "vat": Decimal("-0"), "incl_vat": Decimal("1E+5")}


def document(**more):
    lines = [
        DocumentLine(),
        DocumentLine(line_no=1, price=Decimal(1), quantity=Decimal(2), volume=Decimal(3), currency_amounts=CurrencyAmounts(**AMOUNTS)),
    ]
    given = {"distribution": Distribution(einvoice_code=2), "currency_amounts": CurrencyAmounts(**AMOUNTS), "document_lines": lines}
    return Document(**(given | more))


def customer(**more):
    return Customer(**({"due_days": 14, "year_of_birth": 1990, "distribution": Distribution(einvoice_code=0)} | more))


def surely_finite(record):
    check = finite_check(type(record), decimals=type(record) is Document)
    try:
        return check([type(record)(), record])
    except (AttributeError, TypeError):
        return False


def numbers_in(one):
    """The places of all numbers."""
    for name in one.__struct_fields__:
        value = getattr(one, name)
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, msgspec.Struct):
                yield from numbers_in(inner)
        if isinstance(value, (int, Decimal)):
            yield one, name


@pytest.mark.parametrize("make", [customer, document])
def test_numbers_that_are_finite(make):
    assert surely_finite(make())


@pytest.mark.parametrize("make", [customer, document])
@pytest.mark.parametrize("number", [Decimal("NaN"), Decimal("Infinity"), float("nan"), float("inf"), None, "1"])
def test_any_number_that_is_not(make, number):
    count = len(list(numbers_in(make())))
    assert count == {customer: 3, document: 11}[make]
    for place in range(count):
        record = make()
        one, name = list(numbers_in(record))[place]
        setattr(one, name, number)
        assert not surely_finite(record)


@pytest.mark.parametrize("name", ["attachment_files", "attachment_codes", "custom_codes"])
def test_what_may_hold_anything_is_not_certain(name):
    assert not surely_finite(document(**{name: []}))


def test_a_customer_with_a_decimal_is_not_certain():
    assert not surely_finite(customer(limit_amount=Decimal(1)))
