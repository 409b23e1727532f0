"""Models and codec: exact out, tolerant in, and no personal data in any `repr`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET
from rich.console import Console
from rich.pretty import Pretty

import amili_arm_async
from amili_arm_async import (
    CurrencyAmounts,
    Customer,
    CustomerRecord,
    Distribution,
    Document,
    DocumentLine,
    DocumentRecord,
    PageSummary,
    PostalAddress,
    RecordError,
    codec,
)
from amili_arm_async.models.base import Input, Record

from ..support.records import strict_loads

pytestmark = pytest.mark.quick

STRUCTS = [
    value
    for name in amili_arm_async.__all__
    if isinstance(value := getattr(amili_arm_async, name), type) and issubclass(value, (Input, Record))
]


def sent(record: Input) -> Any:
    return strict_loads(codec.encode_one(record, type(record)))


def customer(**fields: Any) -> CustomerRecord:
    return codec.read_record(json.dumps(fields).encode(), CustomerRecord)


def items_of(body: bytes, name: str) -> list[bytes]:
    return [
        bytes(item) for item in msgspec.json.decode(msgspec.json.decode(body, type=dict[str, msgspec.Raw])[name], type=list[msgspec.Raw])
    ]


# --- the samples of the pages -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "items", "cls"),
    [
        ("customers_batch_post", "customers", Customer),
        ("customers_batch_put", "customers", Customer),
        ("documents_batch_post", "documents", Document),
    ],
)
def test_each_request_sample_goes_through_the_structs_unchanged(name, items, cls, sample) -> None:
    texts = items_of(sample(f"{name}.request"), items)
    assert texts
    for text in texts:
        assert sent(codec.read_input(text, cls)) == strict_loads(text)


@pytest.mark.parametrize(
    ("name", "items", "cls"), [("customers_batch_post", "customers", Customer), ("documents_batch_post", "documents", Document)]
)
def test_each_field_of_a_request_sample_is_a_typed_attribute(name, items, cls, sample) -> None:
    for text in items_of(sample(f"{name}.request"), items):
        record = codec.read_input(text, cls)
        assert sum(getattr(record, field) is not UNSET for field in cls.__struct_fields__) == len(json.loads(text))


def test_every_value_of_the_list_sample_can_be_read(sample) -> None:
    texts = items_of(sample("customers_list.response"), "customers")
    for text, record in zip(texts, codec.read_records(b"[" + b",".join(texts) + b"]", CustomerRecord), strict=True):
        assert record.unread is None
        assert as_read(record) == strict_loads(text)


def test_the_summary_of_the_list_sample_is_read(sample) -> None:
    text = msgspec.json.decode(sample("customers_list.response"), type=dict[str, msgspec.Raw])["summary"]
    assert as_read(codec.read_record(text, PageSummary)) == strict_loads(bytes(text))


def as_read(value: Any) -> Any:
    """A record as JSON, what is None left out: the other way round, for comparison."""
    if isinstance(value, Record):
        names = zip(value.__struct_fields__, value.__struct_encode_fields__, strict=True)
        return {wire: as_read(item) for name, wire in names if (item := getattr(value, name)) is not None}
    if isinstance(value, list):
        return [as_read(item) for item in value]
    return value.isoformat() if isinstance(value, date) else value


ONLY_THE_SERVICE_SETS = {
    "clientNo",
    "accountNo",
    "postalReturnStatus",
    "postalReturnDate",
    "usingLanguage",
    "registrationStatusCode",
    "registrationStatusDate",
    "postalAddressChanged",
    "customerKid",
    "balanceTotal",
}


def test_to_input_sends_what_was_there_and_nothing_else(sample) -> None:
    for text in items_of(sample("customers_list.response"), "customers"):
        record = codec.read_record(text, CustomerRecord)
        expected = {name: value for name, value in strict_loads(text).items() if name not in ONLY_THE_SERVICE_SETS}
        assert sent(record.to_input()) == expected


def test_to_input_of_a_document_sends_what_was_there_and_nothing_else(sample) -> None:
    for text in items_of(sample("documents_batch_post.request"), "documents"):
        record = codec.read_record(text, DocumentRecord)
        assert sent(record.to_input()) == strict_loads(text)


def test_to_input_is_a_record_to_change_of_its_own() -> None:
    record = customer(customerNo="7", postalAddress={"cityName": "Oslo"}, arRules=["NoBalFwd"])
    changed = record.to_input()
    changed.name = "New"
    changed.postal_address.city_name = "Bergen"
    changed.ar_rules.append("X")
    assert (record.name, record.postal_address.city_name, record.ar_rules) == (None, "Oslo", ["NoBalFwd"])
    assert sent(changed) == {"customerNo": "7", "name": "New", "postalAddress": {"cityName": "Bergen"}, "arRules": ["NoBalFwd", "X"]}


def test_to_input_of_an_empty_record_sends_nothing() -> None:
    assert sent(CustomerRecord().to_input()) == {}
    assert sent(DocumentRecord().to_input()) == {}


# --- what is sent -------------------------------------------------------------------------------------------------------------


def test_what_is_not_given_is_not_sent_and_none_and_blanks_are() -> None:
    assert sent(Customer(customer_no="7")) == {"customerNo": "7"}
    given = Customer(name=None, phone_no="", ar_rules=[], date_of_birth="", vat_liable=False, due_days=0, limit_amount=Decimal(0))
    assert sent(given) == {
        "name": None,
        "phoneNo": "",
        "arRules": [],
        "dateOfBirth": "",
        "vatLiable": False,
        "dueDays": 0,
        "limitAmount": 0,
    }


@pytest.mark.parametrize("name", ["date_of_birth", "stop_reminder_until", "stop_debt_collection_until", "stop_interest_calc_until"])
def test_a_date_can_be_cleared_and_the_blank_survives_a_file(name) -> None:
    wire = dict(zip(Customer.__struct_fields__, Customer.__struct_encode_fields__, strict=True))[name]
    text = codec.encode_one(Customer(**{"customer_no": "7", name: ""}), Customer)
    assert strict_loads(text) == {"customerNo": "7", wire: ""}
    assert getattr(codec.read_input(text, Customer), name) == ""
    assert codec.encode_one(codec.read_input(text, Customer), Customer) == text


def test_dates_are_sent_as_the_pages_write_them() -> None:
    assert sent(Customer(date_of_birth=date(1999, 1, 2))) == {"dateOfBirth": "1999-01-02"}


@pytest.mark.parametrize(
    "text", ["0", "0.00", "-0.01", "12345678901234567890.123456789012345678", "0.1", "99999999999999999999999999", "1E+2", "1E-30", "5.50"]
)
def test_money_is_a_number_and_exact_to_the_last_digit(text) -> None:
    body = codec.encode_one(Customer(limit_amount=Decimal(text)), Customer)
    assert body == b'{"limitAmount":' + text.encode() + b"}"
    assert str(codec.read_input(body, Customer).limit_amount) == text
    assert str(codec.read_record(body, CustomerRecord).limit_amount) == text


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_any_decimal_comes_back_as_it_was(value) -> None:
    for record in (Customer(limit_amount=value), {"limitAmount": value}):
        body = codec.encode_one(record, Customer)
        strict_loads(body)
        assert str(codec.read_record(body, CustomerRecord).limit_amount) == str(value)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf"), Decimal("NaN"), Decimal("sNaN"), Decimal("-Infinity")])
@pytest.mark.parametrize(
    ("make", "path"),
    [
        (lambda bad: Customer(limit_amount=bad), "$.limitAmount"),
        (lambda bad: Customer(due_days=bad), "$.dueDays"),
        (lambda bad: Customer(postal_address=PostalAddress(city_name=bad)), "$.postalAddress.cityName"),
        (lambda bad: {"limitAmount": bad}, "$.limitAmount"),
        (lambda bad: {"a": {"b": [0, bad]}}, "$.a.b[1]"),
        (lambda bad: {"a": Customer(discount_rate=bad)}, "$.a.discountRate"),
        (lambda bad: {"a": (bad,)}, "$.a[0]"),
    ],
    ids=["money", "another field", "inside a Struct", "a mapping", "inside a mapping", "a Struct in a mapping", "a tuple"],
)
def test_nan_and_infinity_are_refused_wherever_they_are_and_the_place_is_named(bad, make, path) -> None:
    with pytest.raises(RecordError) as raised:
        codec.encode_one(make(bad), Customer)
    assert str(raised.value) == f"{path}: NaN or Infinity is no number in JSON"


@dataclass
class Holder:
    """A dataclass of the caller's: msgspec writes it as an object."""

    value: Any


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), Decimal("NaN"), Decimal("Infinity")])
@pytest.mark.parametrize("hold", [lambda bad: {bad}, lambda bad: frozenset({bad}), Holder, lambda bad: [Holder([bad])]])
def test_nan_does_not_slip_out_in_a_container_of_another_kind(hold, bad) -> None:
    with pytest.raises(RecordError):
        codec.encode_one({"a": hold(bad)}, Customer)


@pytest.mark.parametrize("name", [Decimal("1.5"), Decimal("NaN"), 1, 1.5, float("nan"), date(2026, 1, 1), None, True, b"x", ("a",)])
@pytest.mark.parametrize("hold", [lambda name: {name: 1}, lambda name: {"a": [{name: 1}]}])
def test_a_name_that_is_no_text_is_refused_or_sent_as_text(hold, name) -> None:
    try:
        text = codec.encode_one(hold(name), Customer)
    except RecordError:
        return
    strict_loads(text)


@pytest.mark.parametrize("value", [Decimal("1E+400"), Decimal("-1E+6144"), 10**400])
def test_a_number_that_no_float_can_hold_is_still_a_number(value) -> None:
    for record in ({"a": value}, {"a": value, "b": None}):
        assert strict_loads(codec.encode_one(record, Customer))["a"] == value


def test_all_faults_of_a_record_are_named_up_to_ten_and_no_value() -> None:
    record = {f"f{number}": float("nan") for number in range(30)}
    with pytest.raises(RecordError) as raised:
        codec.encode_one({"ssn": "01019921717", **record}, Customer)
    assert str(raised.value).count("NaN or Infinity") == 10
    assert "01019921717" not in str(raised.value)


@pytest.mark.parametrize(
    "record",
    [None, 5, "text", ["a"], object(), Document(), CustomerRecord(), {"a": object()}, {"a": {1: 2, "b": object()}}, {"a": "\ud800"}],
)
def test_what_is_no_record_is_refused_without_its_value(record) -> None:
    with pytest.raises(RecordError, match=r"^\$"):
        codec.encode_one(record, Customer)


def test_a_record_that_holds_itself_is_refused() -> None:
    record: dict[str, Any] = {"customerNo": "7"}
    record["self"] = record
    with pytest.raises(RecordError, match="nested too deep"):
        codec.encode_one(record, Customer)


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"null", b"5", b"{", b'{"a":NaN}', b"{} {}", b"\xef\xbb\xbf{}", b'{"a":"\xff"}', b"\xff\xfe{\x00}\x00"]
)
def test_bytes_that_are_not_one_json_object_are_refused(text) -> None:
    with pytest.raises(RecordError, match="not one JSON object"):
        codec.encode_one(text, Customer)


def test_bytes_are_sent_as_they_are() -> None:
    assert codec.encode_one(b' {"customerNo": "7", "x": 1.10} ', Customer) == b' {"customerNo": "7", "x": 1.10} '
    assert codec.encode_one(bytearray(b'{"a":1}'), Customer) == b'{"a":1}'


@pytest.mark.parametrize("cls", [cls for cls in STRUCTS if issubclass(cls, Input)])
def test_an_empty_struct_sends_an_empty_object(cls) -> None:
    assert sent(cls()) == {}


@pytest.mark.parametrize(
    ("cls", "record"), [(Customer, CustomerRecord), (Document, DocumentRecord), (DocumentLine, None), (CurrencyAmounts, None)]
)
def test_every_field_that_is_sent_comes_back(cls, record) -> None:
    record = record or getattr(amili_arm_async, f"{cls.__name__}Record")
    assert set(cls.__struct_encode_fields__) <= set(record.__struct_encode_fields__)


# --- what comes back ----------------------------------------------------------------------------------------------------------


def test_unknown_fields_and_words_are_read() -> None:
    record = customer(customerNo="7", brandNew={"a": [1]}, customerCategory="NEW-WORD", activeStatusWeb="", another=None)
    assert (record.customer_no, record.customer_category, record.active_status_web, record.unread) == ("7", "NEW-WORD", "", None)


@pytest.mark.parametrize("blank", ["", None])
def test_a_blank_date_is_none_and_nothing_to_wonder_about(blank) -> None:
    record = customer(customerNo="7", dateOfBirth=blank, stopReminderUntil=blank, name="x")
    assert (record.date_of_birth, record.stop_reminder_until, record.name, record.unread) == (None, None, "x", None)


def test_a_date_of_zero_is_none() -> None:
    record = customer(customerNo="7", dateOfBirth=0, yearOfBirth=0, name="x")
    assert (record.date_of_birth, record.year_of_birth, record.name) == (None, 0, "x")


@pytest.mark.parametrize(
    ("fields", "name", "value"),
    [
        ({"customerNo": 7}, "customer_no", "7"),
        ({"customerNo": 123456789012345678901234567890}, "customer_no", "123456789012345678901234567890"),
        ({"limitAmount": "12.50"}, "limit_amount", Decimal("12.50")),
        ({"dueDays": "10"}, "due_days", 10),
        ({"accountNo": "500002"}, "account_no", 500002),
    ],
)
def test_a_number_as_text_and_a_text_as_number_are_what_they_mean(fields, name, value) -> None:
    record = customer(**fields)
    assert getattr(record, name) == value
    assert type(getattr(record, name)) is type(value)
    assert record.unread is None


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"dateOfBirth": "1999-13-45"}, "date_of_birth"),
        ({"dateOfBirth": {"year": 1999}}, "date_of_birth"),
        ({"dueDays": "soon"}, "due_days"),
        ({"limitAmount": [1]}, "limit_amount"),
        ({"vatLiable": "perhaps"}, "vat_liable"),
        ({"arRules": "NoBalFwd"}, "ar_rules"),
        ({"postalAddress": "Oslo"}, "postal_address"),
        ({"name": {"first": "Owe"}}, "name"),
    ],
)
def test_a_value_of_an_odd_type_is_none_and_kept_beside_and_costs_no_other_field(fields, name) -> None:
    record = customer(customerNo="7", balanceTotal=1000, **fields)
    assert getattr(record, name) is None
    assert record.unread == fields
    assert (record.customer_no, record.balance_total) == ("7", 1000)


def test_an_odd_value_inside_an_object_costs_only_itself() -> None:
    record = customer(
        customerNo="7", distribution={"type": "M", "einvoiceCode": "x"}, postalAddress={"cityName": "Oslo", "postalCode": 1234}
    )
    assert (record.distribution.type, record.distribution.einvoice_code, record.distribution.unread) == ("M", None, {"einvoiceCode": "x"})
    assert (record.postal_address.city_name, record.postal_address.postal_code) == ("Oslo", "1234")


def test_an_odd_line_costs_only_itself() -> None:
    body = b'{"documentNo":"1","documentLines":[{"lineNo":1,"price":0.10},{"lineNo":"x","price":0.20},null,{"lineNo":4}]}'
    record = codec.read_record(body, DocumentRecord)
    assert [line.line_no for line in record.document_lines] == [1, None, None, 4]
    assert [line.price for line in record.document_lines] == [Decimal("0.10"), Decimal("0.20"), None, None]


def test_numbers_stay_exact_in_a_record_with_an_odd_value() -> None:
    body = b'{"dueDays":"x","limitAmount":12345678901234567890.123456789012345678,"balanceTotal":99999999999999999999999999}'
    record = codec.read_record(body, CustomerRecord)
    assert str(record.limit_amount) == "12345678901234567890.123456789012345678"
    assert str(record.balance_total) == "99999999999999999999999999"


@pytest.mark.parametrize("odd", [b"null", b"5", b'"text"', b"[]", b"[[]]", b'{"dueDays":{}}', b'{"postalAddress":[1]}', b"{}"])
def test_one_odd_record_never_costs_its_page(odd) -> None:
    records = codec.read_records(b'[{"customerNo":"1","name":"a"},' + odd + b',{"customerNo":"3","limitAmount":0.10}]', CustomerRecord)
    assert [records[0].customer_no, records[2].customer_no] == ["1", "3"]
    assert records[2].limit_amount == Decimal("0.10")
    assert len(records) == 3


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=3), inner, max_size=3)
    ),
    max_leaves=4,
)


@pytest.mark.parametrize("cls", [CustomerRecord, DocumentRecord, PageSummary])
@given(st.data())
def test_no_value_in_any_field_makes_reading_raise(cls, data) -> None:
    names = st.sampled_from(cls.__struct_encode_fields__)
    value = data.draw(
        st.dictionaries(names, JSON | st.dictionaries(st.sampled_from(["cityName", "lineNo", "vat"]), JSON, max_size=2), max_size=4) | JSON
    )
    body = json.dumps(value).encode()
    record = codec.read_record(body, cls)
    assert isinstance(record, cls)
    if isinstance(value, dict):
        read = {
            wire
            for name, wire in zip(cls.__struct_fields__, cls.__struct_encode_fields__, strict=True)
            if getattr(record, name) is not None
        }
        known = {wire for wire in cls.__struct_encode_fields__ if wire.isalnum()}
        lost = {wire for wire, item in value.items() if wire in known and item is not None and item != ""}
        assert lost <= read | set(record.unread or ())
    if cls is not PageSummary and record.unread is None:
        strict_loads(codec.encode_one(record.to_input(), type(record.to_input())))


@pytest.mark.parametrize("body", [b"", b"{", b"<html>", b"\xff", b"[" * 100_000])
def test_what_is_no_json_is_a_decode_failure(body) -> None:
    with pytest.raises(codec.DecodeFailure):
        codec.read_record(body, CustomerRecord)
    with pytest.raises(codec.DecodeFailure):
        codec.read_records(body, CustomerRecord)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"dueDays":"x"}', b'{"customerNo":5}', b'{"dateOfBirth":"soon","ssn":"01019921717"}'])
def test_a_record_to_send_is_read_strictly_and_no_value_is_in_the_message(body) -> None:
    with pytest.raises(RecordError) as raised:
        codec.read_input(body, Customer)
    assert "01019921717" not in str(raised.value)


# --- repr -----------------------------------------------------------------------------------------------------------------------

PERSONAL = "Owe Armstrong"


def filled(cls: type[Any]) -> Any:
    return cls(**{name: PERSONAL for name in cls.__struct_fields__ if name not in {"customer_no", "document_no"}})


@pytest.mark.parametrize("cls", STRUCTS)
def test_no_repr_shows_personal_data(cls) -> None:
    record = filled(cls)
    console = Console(width=200)
    with console.capture() as printed:
        console.print(record)
        console.print(Pretty([record], expand_all=True))
    assert PERSONAL not in repr(record) + str(record) + f"{record}" + printed.get() + repr([record])


def test_the_repr_names_the_record() -> None:
    assert repr(Customer(customer_no="543210", name=PERSONAL)) == "<Customer customer_no='543210' (2 fields; show() to see them)>"
    assert repr(DocumentRecord(document_no="1")).startswith("<DocumentRecord document_no='1' (")
    assert repr(Distribution()) == "<Distribution (no fields)>"


@pytest.mark.parametrize("cls", [cls for cls in STRUCTS if issubclass(cls, Input)])
def test_no_refusal_shows_personal_data(cls) -> None:
    record = filled(cls)
    setattr(record, cls.__struct_fields__[-1], float("nan"))
    with pytest.raises(RecordError) as raised:
        codec.encode_one(record, cls)
    assert PERSONAL not in str(raised.value) + repr(raised.value)
