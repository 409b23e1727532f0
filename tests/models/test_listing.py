"""How a person sees a record: `repr` without personal data, `show()`, and `to_dict()` for a table."""

from __future__ import annotations

import copy
import pickle
from datetime import date
from decimal import Decimal

import pytest

from amili_arm_async import (
    ArItem,
    BatchReceipt,
    BatchResult,
    Customer,
    CustomerRecord,
    DocumentRecord,
    JsonRecord,
    Page,
    PageSummary,
    PostalAddress,
    Receipt,
    codec,
)
from amili_arm_async.models.identity import IssuedToken

BODY = b"""{"customerNo": "1", "name": "Owe Armstrong", "limitAmount": 10.50, "dateOfBirth": "1980-02-01", "dueDays": "soon",
"postalAddress": {"cityName": "Oslo"}, "emailAddressDocument": ["a@example.no", "b@example.no"]}"""
ANSWERS = [
    codec.read_record(BODY, CustomerRecord),
    Customer(customer_no="1", name="Owe Armstrong"),
    JsonRecord({"name": "Owe Armstrong"}),
    ArItem({"name": "Owe Armstrong", "amount": 3}),
    Receipt(200, message="Owe Armstrong", body={"name": "Owe Armstrong"}),
    BatchReceipt("u1", message="Owe Armstrong"),
    BatchResult("u1", 200, "failed", message="Owe Armstrong", body=b"Owe Armstrong"),
    Page(PageSummary(page_no=1), [CustomerRecord(name="Owe Armstrong")]),
    IssuedToken(access_token="Owe Armstrong"),
]


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: type(answer).__name__)
def test_the_repr_says_how_to_see_what_it_hides(answer, capsys) -> None:
    assert "Owe Armstrong" not in repr(answer)
    assert "show() to see" in repr(answer)
    assert not hasattr(answer, "_repr_html_")
    answer.show()
    shown = capsys.readouterr().out
    assert shown.startswith(type(answer).__name__ + "\n")
    assert ("Owe Armstrong" in shown) != isinstance(answer, IssuedToken)
    assert "Owe Armstrong" in str(answer.to_dict())


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: type(answer).__name__)
def test_copies_are_equal(answer) -> None:
    assert copy.deepcopy(answer) == answer
    if not isinstance(answer, BatchResult):
        assert pickle.loads(pickle.dumps(answer)) == answer


def test_a_record_that_came_back_has_every_field() -> None:
    found = ANSWERS[0].to_dict()
    assert found["customerNo"] == "1"
    assert (found["limitAmount"], found["dateOfBirth"]) == (Decimal("10.50"), date(1980, 2, 1))
    assert found["dueDays"] == "soon"  # no number, so the field is None, and here is what came
    assert found["postalAddress"]["cityName"] == "Oslo"
    assert found["phoneNo"] is None
    assert not [name for name in found if "(" in name]
    assert CustomerRecord().to_dict().keys() == found.keys()


def test_a_record_to_send_has_what_is_given_and_can_be_sent_as_it_is() -> None:
    customer = Customer(customer_no="1", name=None, phone_no="", postal_address=PostalAddress(city_name="Oslo"))
    assert customer.to_dict() == {"customerNo": "1", "name": None, "phoneNo": "", "postalAddress": {"cityName": "Oslo"}}
    assert codec.encode_one(customer.to_dict(), Customer, sort=True) == codec.encode_one(customer, Customer, sort=True)


def test_what_a_document_has_beside_its_fields_is_there() -> None:
    record = DocumentRecord(document_no="1", other={"status": "OPEN"})
    assert record.to_dict()["status"] == "OPEN"


def test_records_make_a_frame() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.json_normalize([record.to_dict() for record in (ANSWERS[0], CustomerRecord(customer_no="2"))])
    assert list(frame["customerNo"]) == ["1", "2"]
    assert frame["postalAddress.cityName"][0] == "Oslo"


def test_a_listing_has_a_line_for_each_field(capsys) -> None:
    ANSWERS[0].show()
    lines = capsys.readouterr().out.splitlines()
    assert "  customer_no             1" in lines
    assert "    city_name  Oslo" in lines
    assert "  email_address_document  a@example.no, b@example.no" in lines
    assert not [line for line in lines if "phone_no" in line]
    JsonRecord({"lines": [{"no": 1}, {"no": 2}], "text": "\x1b[2J", "none": {}}).show()
    assert capsys.readouterr().out == "JsonRecord\n  lines:\n    1:\n      no  1\n    2:\n      no  2\n  text  '\\x1b[2J'\n"
    Customer().show()
    assert capsys.readouterr().out == "Customer\n  (no fields)\n"
