"""What a document says of its money: in any form the same, never guessed, and nothing in it can raise."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from enum import Enum
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amili_arm_async import CurrencyAmounts, Document, DocumentLine
from amili_arm_async.bulk.plain_records import encode_record
from amili_arm_async.codec import encode_one
from amili_arm_async.nightly.amounts import DocumentAmounts as Amounts
from amili_arm_async.nightly.amounts import currency_of, headers_of, read_amounts

pytestmark = pytest.mark.quick

PAID = {"currencyAmounts": {"inclVat": 250}}
TEXT = {"lineType": "TXT", "lineText": "thank you"}


def in_forms(record: dict[str, Any]) -> list[Any]:
    text = msgspec.json.encode(record)
    return [record, text, bytearray(text), msgspec.convert(record, Document, strict=False)]


@pytest.mark.parametrize(
    ("record", "reading"),
    [
        ({"currency": "NOK", "currencyAmounts": {"inclVat": 6500}}, Amounts("NOK", Decimal(6500))),
        ({"currency": " nok ", "currencyAmounts": {"inclVat": "-12.5"}}, Amounts("NOK", Decimal("-12.5"))),
        ({"currencyAmounts": {"inclVat": 0}}, Amounts(None, Decimal(0))),
        ({"currency": "kroner", "currencyAmounts": {"inclVat": 1}, "documentLines": [PAID]}, Amounts(None, Decimal(1))),
        ({"currency": "NOK"}, Amounts("NOK")),
        ({"currency": "NOK", "currencyAmounts": None, "documentLines": None}, Amounts("NOK")),
        ({"currency": "NOK", "documentLines": []}, Amounts("NOK")),
        ({"currency": "NOK", "documentLines": [TEXT]}, Amounts("NOK")),
        ({"currency": "NOK", "documentLines": [PAID, TEXT, PAID]}, Amounts("NOK", Decimal(500), True)),
        ({"currency": "NOK", "currencyAmounts": {"exclVat": 7}, "documentLines": [PAID]}, Amounts("NOK", Decimal(250), True)),
        ({"currency": "NOK", "documentLines": [{**PAID, "lineType": "TXT"}]}, Amounts("NOK", Decimal(250), True)),
        ({"currency": "NOK", "documentLines": [PAID, {"lineType": "PLH", "price": 10}]}, Amounts("NOK")),
        ({"currency": "NOK", "documentLines": [PAID, {"lineType": "TXT", "price": 10}]}, Amounts("NOK")),
        (
            {"currency": "NOK", "documentLines": [PAID, {"lineType": "TXT", "price": 0, "quantity": 1}]},
            Amounts("NOK", Decimal(250), True),
        ),
        ({"currency": "NOK", "documentLines": [PAID, {"lineType": "PLH", "quantity": 2}]}, Amounts("NOK")),
        ({"currency": "NOK", "documentLines": [PAID, {"currencyAmounts": {"exclVat": 2}}]}, Amounts("NOK")),
        ({"currency": "NOK", "documentLines": [PAID, {"currencyAmounts": {"vat": 2}}]}, Amounts("NOK")),
        (
            {"currency": "NOK", "documentLines": [PAID, {"lineText": "no type, and nothing to pay"}]},
            Amounts("NOK", Decimal(250), True),
        ),
    ],
)
def test_a_document_says_the_same_in_every_form(record, reading) -> None:
    assert [read_amounts(form) for form in in_forms(record)] == [reading] * 4


class Wicked(Mapping[str, Any]):
    def __getitem__(self, key: str) -> Any:
        raise RuntimeError("wicked")

    def __iter__(self) -> Any:
        raise RuntimeError("wicked")

    def __len__(self) -> int:
        return 1


ODD: list[Any] = [
    "12,50",
    "1 000",
    "1_000",
    "NaN",
    "Infinity",
    "١٢",
    "1e99999",
    True,
    [],
    {},
    float("nan"),
    float("inf"),
    Decimal("NaN"),
    Decimal("sNaN"),
    Decimal("1E+999999999"),
    Decimal("1E-999999999"),
    10**400,
    "9" * 5000,
]


@pytest.mark.parametrize("amount", ODD, ids=lambda value: repr(value)[:20])
def test_what_is_no_amount_is_no_total_and_none_is_made_up(amount) -> None:
    lines = [{"currencyAmounts": {"inclVat": 1}}]
    assert read_amounts({"currency": "NOK", "currencyAmounts": {"inclVat": amount}, "documentLines": lines}) == Amounts("NOK")
    assert read_amounts({"currency": "NOK", "documentLines": [*lines, {"currencyAmounts": {"inclVat": amount}}]}) == Amounts("NOK")
    made = Document(currency="NOK", document_lines=[DocumentLine(currency_amounts=CurrencyAmounts(incl_vat=amount))])
    assert read_amounts(made) == Amounts("NOK")


@pytest.mark.parametrize(
    "record",
    [None, 7, "{}", b"", b"{", b"\xff", b"[]", b"[" * 100_000, object(), Wicked(), Document],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_document_says_nothing(record) -> None:
    assert read_amounts(record) == Amounts()


def test_a_mapping_that_raises_late_has_its_currency() -> None:
    assert read_amounts({"currency": "SEK", "currencyAmounts": Wicked()}) == Amounts("SEK")
    assert read_amounts({"currency": "SEK", "documentLines": [Wicked()]}) == Amounts("SEK")


def test_amounts_are_what_would_be_sent() -> None:
    assert read_amounts({"currencyAmounts": {"inclVat": 0.1}}).total == Decimal("0.1")
    exact = b'{"currencyAmounts":{"inclVat":12345678901234567890.123456789012345678}}'
    assert read_amounts(exact).total == Decimal("12345678901234567890.123456789012345678")


class Fee(float, Enum):
    LOW = 12.5


class Money(Decimal, Enum):
    LOW = "12.5"


class Currency(Enum):
    NOK = "NOK"


class Shown(float):
    def __repr__(self) -> str:
        return "much"


@pytest.mark.parametrize(
    "amount", [Fee.LOW, Money.LOW, np.float64(12.5), np.float32(12.5), Shown(12.5)], ids=lambda value: type(value).__name__
)
def test_amounts_of_other_classes_are_what_would_be_sent(amount: Any) -> None:
    record = {"currency": Currency.NOK, "currencyAmounts": {"inclVat": amount}}
    assert json.loads(encode_record(record, Document)) == {"currency": "NOK", "currencyAmounts": {"inclVat": 12.5}}
    assert read_amounts(record) == Amounts("NOK", Decimal("12.5"))
    assert read_amounts({"currency": "NOK", "documentLines": [{"currencyAmounts": {"inclVat": amount}}]}) == Amounts(
        "NOK", Decimal("12.5"), True
    )


@given(st.text(max_size=5))
def test_a_currency_is_three_letters(text) -> None:
    found = currency_of(text)
    assert found is None or (len(found) == 3 and found.isascii() and found.isupper() and found == text.strip().upper())


HEADERS = st.lists(
    st.tuples(st.sampled_from(["NOK", "sek", None]), st.decimals(-(10**9), 10**9, places=2) | st.none() | st.integers(-9, 9)),
    min_size=1,
    max_size=6,
)


@given(HEADERS, st.sampled_from([0, 1, 2]))
def test_many_at_once_are_read_as_one_by_one_or_not_at_all(drawn, form) -> None:
    made = [
        Document(currency=currency, currency_amounts=CurrencyAmounts(incl_vat=total) if total is not None else None)
        for currency, total in drawn
    ]
    texts = [encode_one(document, Document) for document in made]
    records = [made, texts, [msgspec.json.decode(text, type=dict) for text in texts]][form]
    headers = headers_of(records)
    if headers is not None:
        names, totals = headers
        assert [Amounts(currency_of(name), total) for name, total in zip(names, totals, strict=True)] == [
            read_amounts(record) for record in records
        ]
    else:
        assert form == 0 or any(total is None for _, total in drawn)
