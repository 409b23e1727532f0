"""Every code of a fault: a record that has it, at its path, and one beside it that is clean."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from amili_arm_async import CurrencyAmounts, Customer, Document, DocumentLine, PostalAddress, UnreadableRecord
from amili_arm_async.values.findings import SEVERITIES

pytestmark = pytest.mark.quick

SAMPLES = Path(__file__).parents[1] / "samples"
CUSTOMER = {"customerNo": "1", "name": "Kari Nordmann"}
DOCUMENT = {"documentType": "IN", "customerNo": "1", "documentNo": "9"}


def customer(**more):
    return {**CUSTOMER, **more}


def document(**more):
    return {**DOCUMENT, **more}


def text(record, **more):
    return json.dumps({**record, **more}).encode()


def amounts(excl, vat, incl):
    return {"exclVat": excl, "vat": vat, "inclVat": incl}


def lines(*each):
    return [{"lineNo": number, "lineType": "PLH", "currencyAmounts": one} for number, one in enumerate(each, 1)]


LOOP: dict = {}
LOOP["customerNo"] = LOOP

CASES = [
    # code, kind, path, a record that has it, one that does not
    ("not_json", "customers", "$", b"{", text(CUSTOMER)),
    ("not_json", "customers", "$", b'{"limitAmount": NaN}', text(CUSTOMER, limitAmount=1)),
    ("not_json", "customers", "$", b'{"limitAmount": 1e99999999999999999999}', text(CUSTOMER, limitAmount=1e10)),
    ("not_json", "customers", "$", b'{"name": ' + b"[" * 100_000, text(CUSTOMER)),
    ("not_json", "customers", "$", b'{"customerNo": "1", "name": "\\ud800"}', b'{"customerNo": "1", "name": "\\ud83d\\ude00"}'),
    ("not_readable", "customers", "$", UnreadableRecord("row 3: no date"), text(CUSTOMER)),
    ("not_object", "customers", "$", b"[1]", text(CUSTOMER)),
    ("not_object", "customers", "$", 17, CUSTOMER),
    ("not_object", "customers", "$", Document(document_no="1"), Customer(customer_no="1")),
    ("not_utf8", "customers", "$", b'{"customerNo": "1", "name": "\xc5se"}', b'{"customerNo": "1", "name": "\xc3\x85se"}'),
    ("not_finite", "customers", "$.limitAmount", customer(limitAmount=float("nan")), customer(limitAmount=1.5)),
    ("not_finite", "customers", "$.limitAmount", Customer(customer_no="1", limit_amount=Decimal("NaN")), Customer(customer_no="1")),
    ("not_finite", "documents", "$.customCodes[0].a", document(customCodes=[{"a": float("inf")}]), document(customCodes=[{"a": 1}])),
    ("not_finite", "customers", "$.other", customer(other=Decimal("Infinity")), CUSTOMER),
    ("not_encodable", "customers", "$.name", customer(name="\ud800"), customer(name="\U0001f600")),
    ("not_encodable", "customers", "$.customerNo", customer(customerNo="\ud800"), CUSTOMER),
    ("not_encodable", "customers", "$", {**CUSTOMER, (1, 2): "x"}, CUSTOMER),
    ("not_encodable", "customers", "$", LOOP, CUSTOMER),
    ("not_encodable", "documents", "$", document(customCodes=[object()]), document(customCodes=["a"])),
    ("wrong_type", "customers", "$.name", customer(name=5), customer(name="5")),
    ("wrong_type", "customers", "$.name", customer(name=object()), CUSTOMER),
    ("wrong_type", "customers", "$.customerNo", customer(customerNo=1), CUSTOMER),
    ("wrong_type", "customers", "$.dueDays", customer(dueDays="14"), customer(dueDays=14)),
    ("number", "customers", "$.dueDays", customer(dueDays=14.5), customer(dueDays=None)),
    ("number", "customers", "$.dueDays", text(CUSTOMER, dueDays=14.5), text(CUSTOMER, dueDays=14.0)),
    ("wrong_type", "customers", "$.dueDays", customer(dueDays=True), customer(dueDays=0)),
    ("wrong_type", "customers", "$.vatLiable", customer(vatLiable=1), customer(vatLiable=True)),
    ("wrong_type", "customers", "$.limitAmount", customer(limitAmount="1.50"), customer(limitAmount=1.5)),
    ("wrong_type", "customers", "$.arRules", customer(arRules="NoBalFwd"), customer(arRules=["NoBalFwd"])),
    ("wrong_type", "customers", "$.arRules[1]", customer(arRules=["a", None]), customer(arRules=[])),
    ("wrong_type", "customers", "$.postalAddress", customer(postalAddress="Oslo"), customer(postalAddress={"cityName": "Oslo"})),
    ("wrong_type", "customers", "$.postalAddress.postalCode", customer(postalAddress={"postalCode": 150}), customer(postalAddress={})),
    ("wrong_type", "customers", "$.dateOfBirth", customer(dateOfBirth=19900101), customer(dateOfBirth=date(1990, 1, 1))),
    (
        "wrong_type",
        "documents",
        "$.documentLines[0].price",
        document(documentLines=[{"price": "1"}]),
        document(documentLines=[{"price": 1}]),
    ),
    ("wrong_type", "documents", "$.documentLines[0]", document(documentLines=["x"]), document(documentLines=[])),
    ("wrong_type", "documents", "$.currencyAmounts.vat", document(currencyAmounts=amounts(1, "1", 2)), DOCUMENT),
    ("missing", "customers", "$.customerNo", {"name": "Kari"}, CUSTOMER),
    ("missing", "customers", "$.customerNo", customer(customerNo=" "), CUSTOMER),
    ("missing", "customers", "$.customerNo", Customer(name="Kari"), Customer(customer_no="1")),
    ("missing", "documents", "$.customerNo", document(customerNo=None), DOCUMENT),
    ("missing", "documents", "$.documentType", document(documentType=""), DOCUMENT),
    ("no_document_no", "documents", "$.documentNo", document(documentNo=""), DOCUMENT),
    ("misnamed_field", "customers", "$.CustomerNo", customer(CustomerNo="1"), CUSTOMER),
    ("misnamed_field", "customers", "$.postalAddress.cityname", customer(postalAddress={"cityname": "Oslo"}), CUSTOMER),
    ("misnamed_field", "documents", "$.documentLines[1].LineNo", document(documentLines=[{}, {"LineNo": 1}]), document()),
    ("misnamed_field", "documents", "$.documentno", b'{"documentno": "9", "documentType": "IN", "customerNo": "1"}', document()),
    ("duplicate_field", "customers", "$.name", b'{"customerNo":"1","name":"Kari","name":"Kari"}', text(CUSTOMER)),
    ("duplicate_field", "customers", "$.name", b'{"customerNo": "1", "name": "", "name": "Kari"}', text(CUSTOMER)),
    (
        "duplicate_field",
        "documents",
        "$.documentLines[0].lineNo",
        text(document(documentLines=[{"lineNo": 1}])).replace(b'"lineNo"', b'"lineNo": 2, "lineNo"'),
        text(document(documentLines=[{"lineNo": 1, "lineText": 'a "b": c'}])),
    ),
    ("unknown_field", "customers", "$.custmerNo", customer(custmerNo="1"), CUSTOMER),
    ("unknown_field", "customers", "$.balanceTotal", customer(balanceTotal=1), CUSTOMER),
    (
        "unknown_field",
        "documents",
        "$.documentLines[0].pris",
        document(documentLines=[{"pris": 1}]),
        document(documentLines=[{"price": 1}]),
    ),
    ("date", "customers", "$.dateOfBirth", customer(dateOfBirth="1990-02-30"), customer(dateOfBirth="1992-02-29")),
    ("date", "customers", "$.stopReminderUntil", customer(stopReminderUntil="31.12.2026"), customer(stopReminderUntil="")),
    ("date", "customers", "$.dateOfBirth", customer(dateOfBirth="19900101"), Customer(customer_no="1", date_of_birth="")),
    (
        "instant",
        "customers",
        "$.dateOfBirth",
        customer(dateOfBirth=datetime(1990, 1, 1, tzinfo=UTC)),
        Customer(customer_no="1", date_of_birth=date(1990, 1, 1)),
    ),
    ("time_of_day", "documents", "$.dueDate", document(dueDate="2026-12-01T12:30:00"), document(dueDate="2026-12-01")),
    ("date", "documents", "$.dueDate", document(dueDate="2026-12-01T00:00"), document(dueDate="")),
    ("out_of_range", "documents", "$.dueDate", document(dueDate="0026-12-01"), document(dueDate="2099-12-31")),
    ("out_of_range", "customers", "$.yearOfBirth", customer(yearOfBirth=19), customer(yearOfBirth=1990)),
    ("number_as_identifier", "customers", "$.customerNo", customer(customerNo="10001.0"), customer(customerNo="10001")),
    (
        "number_as_identifier",
        "documents",
        "$.documentLines[1].articleNo",
        document(documentLines=[{"articleNo": "7"}, {"articleNo": "7.0"}]),
        document(documentLines=[{"articleNo": "7"}, {"articleNo": "7.1a"}]),
    ),
    ("shortened_number", "documents", "$.documentNo", document(documentNo="4,79E+09"), document(documentNo="5E12")),
    ("formula", "documents", "$.sellerReference", document(sellerReference="=A1+B2"), document(sellerReference="A1+B2")),
    ("error_word", "customers", "$.postalAddress.cityName", customer(postalAddress={"cityName": "#REF!"}), customer(name="#1")),
    ("null_word", "customers", "$.phoneNo", customer(phoneNo="NULL"), customer(phoneNo="")),
    ("null_word", "customers", "$.naceCodes[1]", customer(naceCodes=["1", "nan"]), customer(naceCodes=["1"])),
    ("possible_null_word", "customers", "$.name", customer(name="Null"), customer(name="Nulland")),
    (
        "lost_zeros",
        "customers",
        "$.postalAddress.postalCode",
        customer(postalAddress={"postalCode": "150", "countryCode": "NO"}),
        customer(postalAddress={"postalCode": "150", "countryCode": "IS"}),
    ),
    (
        "possible_lost_zeros",
        "customers",
        "$.postalAddress.postalCode",
        customer(postalAddress={"postalCode": "150"}),
        customer(postalAddress={"postalCode": "0150"}),
    ),
    ("wrongly_decoded", "customers", "$.name", customer(name="Troms\u00c3\u00b8 AS"), customer(name="Troms\u00f8 AS")),
    ("invisible_characters", "customers", "$.customerNo", customer(customerNo="1\u200b"), customer(customerNo="\u00e5-1 b")),
    ("date", "documents", "$.dueDate", document(dueDate="2026-13-01"), document(dueDate="2026-12-01")),
    (
        "due_before_date",
        "documents",
        "$.dueDate",
        document(documentDate="2026-02-02", dueDate="2026-02-01"),
        document(dueDate="2026-02-01"),
    ),
    ("currency", "customers", "$.currency", customer(currency="NOR"), customer(currency="nok")),
    ("currency", "documents", "$.currency", document(currency="kr"), document(currency="EUR")),
    (
        "country",
        "customers",
        "$.postalAddress.countryCode",
        customer(postalAddress={"countryCode": "NOR"}),
        customer(postalAddress={"countryCode": "no"}),
    ),
    ("country", "customers", "$.ssnCountry", customer(ssnCountry="XX"), customer(ssnCountry="SE")),
    ("language", "customers", "$.language", customer(language="nor"), customer(language="nn")),
    (
        "email",
        "customers",
        "$.emailAddressDocument[1]",
        customer(emailAddressDocument=["a@b.no", "a@b"]),
        customer(emailAddressDocument=["å@b.no", ""]),
    ),
    ("email", "customers", "$.secondaryEmailAddress[0]", customer(secondaryEmailAddress=["a b@c.no"]), customer(secondaryEmailAddress=[])),
    ("email", "documents", "$.emailAddress[0]", document(emailAddress=["@b.no"]), document(emailAddress=["a.b+c@d-e.co.no"])),
    (
        "several_addresses",
        "documents",
        "$.emailAddress[1]",
        document(emailAddress=["", "a@b.no;c@d.no"]),
        document(emailAddress=["a@b.no"]),
    ),
    ("organization_no", "customers", "$.organizationNo", customer(organizationNo="984842253"), customer(organizationNo="984842252")),
    (
        "organization_no",
        "customers",
        "$.organizationNo",
        customer(organizationNo="12", organizationNoScheme="0192"),
        customer(organizationNo="12"),
    ),
    (
        "organization_no",
        "customers",
        "$.organizationNo",
        customer(organizationNo="984842253", postalAddress={"countryCode": "no"}),
        customer(organizationNo="984842253", postalAddress={"countryCode": "SE"}),
    ),
    (
        "organization_no",
        "customers",
        "$.parentOrganizationNo",
        customer(parentOrganizationNo="984842253"),
        customer(parentOrganizationNo=""),
    ),
    (
        "organization_no",
        "customers",
        "$.organizationNo",
        customer(organizationNo="984842253"),
        customer(organizationNo="984842253", organizationNoScheme="0007"),
    ),
    ("kid", "documents", "$.kid", document(kid="12 34"), document(kid="")),
    ("kid", "documents", "$.kid", document(kid="1" * 26), document(kid="18")),
    ("kid", "documents", "$.kid", document(kid="1"), document(kid="0" * 25)),
    # 234567 and 3: by modulus 10. 12345678 and 5: by modulus 11. 000019: a remainder of ten.
    ("kid_check_digit", "documents", "$.kid", document(kid="2345675"), document(kid="2345676")),
    ("kid_check_digit", "documents", "$.kid", document(kid="123456784"), document(kid="123456785")),
    ("kid_check_digit", "documents", "$.kid", document(kid="16-"), document(kid="6-")),
    ("amounts", "documents", "$.currencyAmounts", document(currencyAmounts=amounts(1, 2, 4)), document(currencyAmounts=amounts(1, 2, 3))),
    (
        "amounts",
        "documents",
        "$.currencyAmounts",
        document(currencyAmounts=amounts(0.1, 0.2, 0.31)),
        document(currencyAmounts=amounts(0.1, 0.2, 0.3)),
    ),
    (
        "amounts",
        "documents",
        "$.currencyAmounts",
        document(currencyAmounts=amounts(1, 2, Decimal("1e500000"))),
        document(currencyAmounts={"vat": 1}),
    ),
    (
        "amounts",
        "documents",
        "$.documentLines[1].currencyAmounts",
        document(documentLines=lines(amounts(1, 0, 1), amounts(1, 0, 2))),
        document(documentLines=lines(amounts(1, 0, 1), {"vat": 3})),
    ),
    (
        "lines",
        "documents",
        "$.currencyAmounts.exclVat",
        document(currencyAmounts={"exclVat": 3}, documentLines=lines(amounts(1, 0, 1), amounts(1, 0, 1))),
        document(currencyAmounts=amounts(2, 0, 2), documentLines=[*lines(amounts(1, 0, 1), amounts(1, 0, 1)), {"lineType": "txt"}]),
    ),
    (
        "lines",
        "documents",
        "$.currencyAmounts.vat",
        document(currencyAmounts=amounts(2, 1, 3), documentLines=lines(amounts(2, Decimal("0.99"), Decimal("2.99")), {"vat": 0})),
        # A line with a price and without amounts: nobody knows what it adds.
        document(currencyAmounts=amounts(2, 1, 3), documentLines=[*lines(amounts(1, 0, 1)), {"lineType": "PLH", "price": 1}]),
    ),
    ("control_characters", "customers", "$.name", customer(name="Kari\x00"), CUSTOMER),
    ("control_characters", "customers", "$.name", text(CUSTOMER, name="a\nb"), text(CUSTOMER, name='a\\nb "c"')),
    ("control_characters", "customers", "$.name", customer(name="a\x85b"), customer(name="£5 \u00ad")),
    ("control_characters", "customers", "$.name", customer(name="a\x7fb"), customer(customerMessage="a\r\n\tb")),
    ("control_characters", "documents", "$.documentLines[0].lineText", document(documentLines=[{"lineText": "\x1b[2J"}]), DOCUMENT),
    ("odd_key", "customers", "$.customerNo", customer(customerNo=" 1"), CUSTOMER),
    ("invisible_characters", "documents", "$.documentNo", document(documentNo="9\u00a0"), DOCUMENT),
    ("odd_key", "documents", "$.customerNo", document(customerNo="1 "), DOCUMENT),
    ("too_large", "customers", "$", customer(name="x" * 1_000_000), customer(name="x" * 999_900)),
    ("too_large", "customers", "$", text(CUSTOMER, name="x" * 1_000_000), CUSTOMER),
]
IDS = [f"{code}-{number}" for number, (code, *_) in enumerate(CASES)]


@pytest.mark.parametrize(("code", "kind", "path", "bad", "good"), CASES, ids=IDS)
async def test_a_fault_is_named_with_its_place(check, code, kind, path, bad, good):
    report = await check(kind, bad)
    assert (code, path) in {(fault.code, fault.path) for fault in report.faults}
    assert {fault.index for fault in report.faults} == {0}
    assert all(fault.severity == SEVERITIES[fault.code] for fault in report.faults)
    assert report.ok == (report.errors == 0)


@pytest.mark.parametrize(("code", "kind", "path", "bad", "good"), CASES, ids=IDS)
async def test_a_record_without_it_is_clean(check, code, kind, path, bad, good):
    report = await check(kind, good)
    assert report.faults == []
    assert report.ok


async def test_the_same_key_twice_names_both_places(check):
    report = await check("customers", customer(customerNo="Å1"), customer(customerNo="2"), text(CUSTOMER, customerNo="å1"))
    (fault,) = report.faults
    assert (fault.code, fault.index, fault.earlier, fault.key, fault.path) == ("duplicate", 2, 0, "å1", "$.customerNo")


async def test_a_document_for_nobody(check):
    records = [document(customerNo="1"), document(documentNo="10", customerNo="7")]
    report = await check("documents", *records, customers=["1", "2"])
    (fault,) = report.faults
    assert (fault.code, fault.index, fault.key, fault.path) == ("unknown_customer", 1, "10", "$.customerNo")
    assert (await check("documents", *records)).faults == []
    assert (await check("documents", *records, customers=["7", "1"])).faults == []
    assert (await check("documents", *records, customers=[])).counts == {"unknown_customer": 2}


def test_every_code_has_a_case():
    of_sources = {"duplicate", "unknown_customer", "source_error"}
    of_tables = {"boolean", "no_record", "number", "repeated_column", "two_meanings"}
    of_tables |= {"broken_neighbour", "no_document", "no_lines", "not_together", "rows_differ"}
    assert {code for code, *_ in CASES} | of_sources | of_tables == set(SEVERITIES)


async def test_all_faults_of_a_record_are_named_and_not_only_the_first(check):
    bad = customer(customerNo="", currency="x", dateOfBirth="x", dueDays="x", arRules=[1, 2], postalAddress={"cityName": 1, "land": 2})
    report = await check("customers", bad)
    found = {fault.path for fault in report.faults}
    assert found == {
        "$.customerNo", "$.currency", "$.dateOfBirth", "$.dueDays", "$.arRules[0]", "$.arRules[1]",
        "$.postalAddress.cityName", "$.postalAddress.land",
    }  # fmt: skip


async def test_a_record_in_any_form_has_the_same_faults(check):
    def faults(report):
        return sorted((fault.code, fault.path, fault.message, fault.key) for fault in report.faults)

    bad = {"documentNo": "9", "currency": "KR", "dueDate": "", "documentLines": [{"currencyAmounts": amounts(1, 2, 4)}]}
    made = Document(
        document_no="9",
        currency="KR",
        due_date="",
        document_lines=[DocumentLine(currency_amounts=CurrencyAmounts(excl_vat=Decimal(1), vat=Decimal(2), incl_vat=Decimal(4)))],
    )
    of_bytes, of_mapping, of_struct = [faults(await check("documents", one)) for one in (text(bad), bad, made)]
    assert of_bytes == of_mapping == of_struct
    assert {code for code, *_ in of_bytes} == {"missing", "currency", "amounts"}


@pytest.mark.parametrize("number", [1, 1.5, True, [], {}])
async def test_a_number_of_the_wrong_type_is_not_missing_too(check, number):
    report = await check("documents", document(customerNo=number, documentNo=number))
    assert [(fault.code, fault.path) for fault in report.faults] == [("wrong_type", "$.customerNo"), ("wrong_type", "$.documentNo")]


async def test_no_message_holds_a_value(check):
    secret = "Geheim12345"
    bad = customer(
        name=[secret], currency=secret, dateOfBirth=secret, language=secret, ssnCountry=secret, emailAddressDocument=[secret, {secret: 1}],
        postalAddress={"countryCode": secret}, dueDays=secret, organizationNo=secret, organizationNoScheme="0192",
    )  # fmt: skip
    records = [bad, text(bad), json.dumps(bad).encode()[:-1], {**bad, "other": object()}]
    report = await check("customers", *records)
    assert report.errors > 20
    assert secret not in repr(report.faults)
    assert secret not in repr(report)


async def test_what_a_mapping_raises_is_a_fault_of_its_own(check):
    class Odd(dict):
        def items(self):
            raise RuntimeError("secret")

        def __iter__(self):
            raise RuntimeError("secret")

    class Reads:
        pass

    report = await check("customers", CUSTOMER, Odd(CUSTOMER), Reads(), customer(customerNo="2"))
    assert {fault.index for fault in report.faults} <= {1, 2}
    assert "secret" not in repr(report.faults)
    assert report.records_read == 4


async def test_a_null_is_no_fault_beside_others(check):
    report = await check("customers", customer(name=None, currency="kr", postalAddress={"cityName": None}, dateOfBirth=None, arRules=None))
    assert report.counts == {"currency": 1}


async def test_what_has_the_wrong_type_is_named_where_a_record_can_not_be_written(check):
    odd = customer(dateOfBirth=datetime(1990, 1, 1, tzinfo=UTC), stopReminderUntil=date(1990, 1, 1), name=object())
    report = await check("customers", odd)
    assert {(fault.code, fault.path) for fault in report.faults} == {("instant", "$.dateOfBirth"), ("wrong_type", "$.name")}


async def test_amounts_beyond_all_money_are_only_wrong(check):
    report = await check("documents", document(currencyAmounts=amounts(Decimal("1e999999999"), 1, 1)))
    assert report.counts == {"amounts": 1, "out_of_range": 1}


async def test_a_text_line_does_not_hide_that_the_others_are_wrong(check):
    each = [*lines(amounts(1, 0, 1)), {"lineType": "txt", "lineText": "hello"}]
    report = await check("documents", document(currencyAmounts=amounts(2, 0, 2), documentLines=each))
    assert [fault.path for fault in report.faults] == ["$.currencyAmounts.exclVat", "$.currencyAmounts.inclVat"]


@pytest.mark.parametrize("name", ["price", "quantity", "volume"])
async def test_a_number_of_a_line_is_a_number(check, name):
    report = await check("documents", document(documentLines=[{name: 1}, {name: "1"}]))
    assert [(fault.code, fault.path) for fault in report.faults] == [("wrong_type", f"$.documentLines[1].{name}")]


async def test_a_name_that_is_nearly_right_is_suggested(check):
    report = await check("customers", customer(CustomerNO="1", adressLine1="x"), {"customerNo": "5", "postalAddress": {"adressLine1": "x"}})
    said = {fault.path: fault.message for fault in report.faults}
    assert said["$.CustomerNO"].endswith("did you mean customerNo?")
    assert said["$.postalAddress.adressLine1"].endswith("did you mean addressLine1?")
    assert "did you mean" not in said["$.adressLine1"]


# --- the pages' own examples ----------------------------------------------------------------------------------------------


def sample(name, field):
    return json.loads((SAMPLES / f"{name}.json").read_text())[field]


@pytest.mark.parametrize("name", ["customers_batch_post.request", "customers_batch_put.request"])
async def test_the_customers_of_the_pages_have_no_errors(check, name):
    report = await check("customers", *sample(name, "customers"))
    assert report.ok
    # The second one's organisation number is 987654321, which nobody can have.
    assert {(fault.code, fault.index, fault.path) for fault in report.faults} <= {("organization_no", 1, "$.organizationNo")}


async def test_the_documents_of_the_pages_have_no_errors(check):
    report = await check("documents", *sample("documents_batch_post.request", "documents"))
    assert report.ok
    assert [(fault.code, fault.index, fault.path) for fault in report.faults] == [
        # Its last digit is 6; by modulus 10 it is 1, by modulus 11 it is 4.
        ("kid_check_digit", 0, "$.kid"),
        ("amounts", 0, "$.documentLines[1].currencyAmounts"),
        ("lines", 0, "$.currencyAmounts.vat"),
        ("no_document_no", 1, "$.documentNo"),
    ]


async def test_a_struct_of_a_struct_is_walked_too(check):
    report = await check("customers", Customer(customer_no="1", postal_address=PostalAddress(country_code="Norge", postal_code=150)))
    assert {fault.path for fault in report.faults} == {"$.postalAddress.countryCode", "$.postalAddress.postalCode"}
