"""What is generated: the same for the same seed, and right in itself."""

from __future__ import annotations

import itertools
from decimal import ROUND_HALF_UP, Decimal
from random import Random

import pytest

from amili_arm_async import CurrencyAmounts, codec
from amili_arm_async.cli import generate

pytestmark = pytest.mark.quick

ORE = Decimal("0.01")


def texts(records):
    return [codec.ENCODER.encode(record) for record in records]


def test_the_same_seed_gives_the_same_and_another_gives_others():
    assert texts(generate.customers(1, 50)) == texts(generate.customers(1, 50))
    assert texts(generate.documents(1, 50, 50)) == texts(generate.documents(1, 50, 50))
    assert texts(generate.customers(1, 50)) != texts(generate.customers(2, 50))
    assert texts(generate.documents(1, 50, 50)) != texts(generate.documents(2, 50, 50))


def test_a_customer_can_be_made_again_by_its_number():
    all_of_them = list(generate.customers(7, 100))
    for made in all_of_them:
        assert texts([generate.customer(7, generate.place_of(made.customer_no))]) == texts([made])


def test_records_are_made_one_at_a_time():
    assert len(list(itertools.islice(generate.customers(1, 10**15), 3))) == 3
    assert len(list(itertools.islice(generate.documents(1, 10**15, 5), 3))) == 3


def test_every_number_is_there_once():
    assert len({made.customer_no for made in generate.customers(1, 2000)}) == 2000
    assert len({made.document_no for made in generate.documents(1, 2000, 10)}) == 2000


def test_documents_go_to_the_customers():
    known = {made.customer_no for made in generate.customers(3, 20)}
    assert {made.customer_no for made in generate.documents(3, 1000, 20)} == known


def test_lines_add_up_to_the_ore():
    counts = set()
    for made in generate.documents(1, 500, 10):
        counts.add(len(made.document_lines))
        net = vat = gross = Decimal()
        for line in made.document_lines:
            amounts = line.currency_amounts
            assert amounts.excl_vat == (line.quantity * line.price).quantize(ORE, ROUND_HALF_UP)
            assert amounts.vat == (amounts.excl_vat * 25 / 100).quantize(ORE, ROUND_HALF_UP)
            assert amounts.incl_vat == amounts.excl_vat + amounts.vat
            net, vat, gross = net + amounts.excl_vat, vat + amounts.vat, gross + amounts.incl_vat
        assert texts([made.currency_amounts]) == texts([CurrencyAmounts(excl_vat=net, vat=vat, incl_vat=gross)])
        assert net > 0
        assert made.due_date > made.document_date
    assert counts == {1, 2, 3, 4}


def test_amounts_are_written_with_ore_at_the_most():
    for made in generate.documents(1, 200, 10):
        for amounts in [made.currency_amounts, *(line.currency_amounts for line in made.document_lines)]:
            assert all(amount == amount.quantize(ORE) for amount in (amounts.excl_vat, amounts.vat, amounts.incl_vat))


@pytest.mark.parametrize(("digits", "check"), [("7992739871", 3), ("12345678", 2), ("411111111111111", 1), ("0", 0), ("9", 1)])
def test_the_check_digit_of_a_kid(digits, check):
    # 79927398713 and 4111111111111111 are the well-known examples of modulus 10.
    assert generate.kid_check_digit(digits) == check


def test_every_kid_passes_its_check_and_none_with_a_wrong_digit():
    for made in generate.documents(1, 200, 10):
        assert made.kid[:-1] == made.customer_no + made.document_no
        assert int(made.kid[-1]) == generate.kid_check_digit(made.kid[:-1])
        # Modulus 10 finds every single wrong digit.
        wrong = str((int(made.kid[3]) + 1) % 10)
        changed = made.kid[:3] + wrong + made.kid[4:]
        assert int(changed[-1]) != generate.kid_check_digit(changed[:-1])


def test_organisation_numbers_have_their_check_digit():
    chance = Random(1)
    for _ in range(500):
        number = generate.organization_no(chance)
        assert len(number) == 9
        assert number.startswith("3")
        assert sum(int(digit) * weight for digit, weight in zip(number, (3, 2, 7, 6, 5, 4, 3, 2, 1), strict=True)) % 11 == 0


def test_mail_goes_to_nobody():
    for made in (*generate.customers(1, 300), *generate.documents(1, 300, 10)):
        for address in getattr(made, "email_address_document", None) or made.email_address:
            assert address.endswith("@example.com")
            assert address.isascii()
            assert address == address.lower()


def test_some_customers_are_persons_and_some_are_companies():
    made = list(generate.customers(1, 400))
    companies = [one for one in made if one.customer_category == "BUS"]
    assert 50 < len(companies) < 150
    assert all(one.organization_no for one in companies)
    assert {one.language for one in made} == {"no", "nn", "en"}
