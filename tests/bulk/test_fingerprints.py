"""What a document says does not depend on how it is written; and what says something else has another name."""

from __future__ import annotations

import json
import random
import unicodedata
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from amili_arm_async import CurrencyAmounts, Customer, Document, DocumentLine
from amili_arm_async.bulk.chunking import RecordType, as_key
from amili_arm_async.bulk.field_names import FieldNameError, FieldNames, check_mapping, check_text
from amili_arm_async.bulk.fingerprints import Fingerprinter, content_name
from amili_arm_async.codec import ENCODER

pytestmark = pytest.mark.quick


def name(text: bytes | dict[str, Any]) -> str:
    return content_name(text if isinstance(text, bytes) else ENCODER.encode(text), document=True)


BASE = {
    "documentType": "IN",
    "customerNo": "17",
    "documentDate": "2026-11-20",
    "customerMessage": "Blåbær Å",
    "currencyAmounts": {"exclVat": Decimal("10.00"), "inclVat": Decimal("12.50")},
    "emailAddress": ["a@b.no"],
    "documentLines": [{"lineNo": 1, "price": Decimal("12.5"), "lineText": "Kam"}, {"lineNo": 2, "quantity": 3}],
}


def changed(**more: Any) -> dict[str, Any]:
    return {**BASE, **more}


SAME = {
    "null": changed(kid=None, dueDate=None),
    "blank": changed(kid="", dueDate=" ", language="\t"),
    "empty": changed(attachmentFiles=[], distribution={}, einvoiceAddress={"address": "", "operator": None}),
    "text in a number field": changed(currencyAmounts={"exclVat": "10", "inclVat": " 12.50 "}),
    "number in a text field": changed(customerNo=17),
    "decimal in a text field": changed(customerNo=17.0),
    "outer blanks": changed(customerNo=" 17", customerMessage="Blåbær Å\u00a0"),
    "NFD": changed(customerMessage=unicodedata.normalize("NFD", "Blåbær Å")),
    "Angstrom sign": changed(customerMessage="Blåbær \u212b"),
    "other decimals": changed(currencyAmounts={"exclVat": 1e1, "inclVat": Decimal("1.250E1"), "vat": None}),
    "a date": changed(documentDate=date(2026, 11, 20)),
    "other order": dict(reversed(BASE.items())),
    "escapes": json.dumps(changed(currencyAmounts={"exclVat": 10, "inclVat": 12.5}), default=float).encode(),
    "spaces": json.dumps(changed(), default=float, ensure_ascii=False, indent=1).encode(),
    "blank in a line": changed(
        documentLines=[{"lineNo": "1", "price": "12.50", "lineText": "Kam ", "volume": None}, {"lineNo": 2.0, "quantity": "3"}]
    ),
}


@pytest.mark.parametrize("way", SAME)
def test_the_same_document_written_otherwise(way):
    assert name(SAME[way]) == name(BASE)


def test_a_struct_and_a_mapping():
    made = Document(
        document_type="IN",
        customer_no="17",
        document_date=date(2026, 11, 20),
        customer_message="Blåbær Å",
        purchase_order_id="",
        kid=None,
        currency_amounts=CurrencyAmounts(excl_vat=Decimal(10), incl_vat=Decimal("12.5")),
        email_address=["a@b.no"],
        document_lines=[DocumentLine(line_no=1, price=Decimal("12.50"), line_text="Kam"), DocumentLine(line_no=2, quantity=Decimal(3))],
    )
    assert name(ENCODER.encode(made)) == name(BASE)


OTHER = {
    "amount": changed(currencyAmounts={"exclVat": 10, "inclVat": Decimal("12.51")}),
    "amount in the last digit": changed(currencyAmounts={"exclVat": 10, "inclVat": Decimal("12.50000000000000000000000001")}),
    "sign": changed(currencyAmounts={"exclVat": 10, "inclVat": Decimal("-12.50")}),
    "a line more": changed(documentLines=[*BASE["documentLines"], {"lineNo": 3}]),
    "a line less": changed(documentLines=BASE["documentLines"][:1]),
    "order of lines": changed(documentLines=BASE["documentLines"][::-1]),
    "text": changed(customerMessage="Blåbær"),
    "case of a text": changed(customerMessage="blåbær å"),
    "inner blanks": changed(customerMessage="Blåbær  Å"),
    "zeros of a number that is a text": changed(customerNo="017"),
    "a text that looks like a number": changed(customerNo="17.0"),
    "zero is not blank": changed(currencyAmounts={"exclVat": 10, "inclVat": Decimal("12.5"), "vat": 0}),
    "another field": changed(note="x"),
    "one address more": changed(emailAddress=["a@b.no", "c@d.no"]),
}


@pytest.mark.parametrize("way", OTHER)
def test_another_document(way):
    assert name(OTHER[way]) != name(BASE)


# --- properties -----------------------------------------------------------------------------------------------------------

TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=8)
NUMBERS = st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-(10**9), max_value=10**9) | st.integers(-(10**12), 10**12)
AMOUNTS = st.fixed_dictionaries({}, optional={"exclVat": NUMBERS, "vat": NUMBERS, "inclVat": NUMBERS})
LINES = st.fixed_dictionaries({}, optional={"lineNo": st.integers(0, 99), "lineText": TEXTS, "price": NUMBERS, "currencyAmounts": AMOUNTS})
DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "customerNo": TEXTS,
        "customerMessage": TEXTS,
        "currency": TEXTS,
        "currencyAmounts": AMOUNTS,
        "documentLines": st.lists(LINES.filter(bool), max_size=3),
        "emailAddress": st.lists(TEXTS, max_size=2),
        "odd": st.dictionaries(TEXTS.map(lambda text: f"x{text}"), TEXTS, max_size=2),
    },
)


def rewritten(value: Any, chance: random.Random, *, key: str = "") -> Any:
    """The same, written otherwise at random."""
    if isinstance(value, dict):
        items = [(name, rewritten(item, chance, key=name)) for name, item in value.items()]
        blanks = {"kid": None, "language": "", "attachmentCodes": [], "distribution": {"type": " "}, "seller": {}}
        if key in {"", "documentLines"}:
            items += [(name, blank) for name, blank in blanks.items() if chance.random() < 0.3]
        chance.shuffle(items)
        return dict(items)
    if isinstance(value, list):
        return [rewritten(item, chance, key=key) for item in value]
    if isinstance(value, str):
        text = unicodedata.normalize(chance.choice(["NFC", "NFD"]), value)
        return chance.choice(["", " ", "\t"]) + text + chance.choice(["", " ", "\u00a0"])
    if isinstance(value, (int, Decimal)):
        number = Decimal(value)
        return chance.choice([number, number.quantize(Decimal("1.00000")), str(number), f" {number:f} "])
    return value


@given(DOCUMENTS, st.integers())
def test_the_same_meaning_has_the_same_name(value, seed):
    assert name(rewritten(value, random.Random(seed))) == name(value)


def said(value: Any) -> Any:
    """What a document of these strategies says, in a way of its own."""
    if isinstance(value, dict):
        return {key: found for key, item in value.items() if (found := said(item)) not in (None, {}, [])}
    if isinstance(value, list):
        return [said(item) for item in value]
    return unicodedata.normalize("NFC", value).strip() or None if isinstance(value, str) else Decimal(value)


@given(DOCUMENTS, DOCUMENTS)
def test_another_meaning_has_another_name(value, other):
    assume(said(value) != said(other))
    assert name(value) != name(other)


# --- numbers that name a record -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [123, "123", " 123 ", 123.0, Decimal(123), Decimal("123.00"), Decimal("1.23E+2"), "\u00a0123\n"])
def test_one_number_in_many_ways(value):
    assert as_key(value) == "123"
    kind = RecordType(Document, "document_no")
    # Each record whose key has decimals is checked on its own.
    may_be_a_key = not isinstance(value, float | Decimal)
    plain = [value] if isinstance(value, str) else [value, str(value).encode()]
    for written in plain:
        record = {"documentNo": written} if not isinstance(written, bytes) else b'{"documentNo":%s}' % written
        assert kind.key_of(record) == "123"
        if may_be_a_key or isinstance(written, bytes):
            assert kind.keys_of([record], type(record)) == ["123"]
    struct = Document(document_no=value)
    assert kind.key_of(struct) == "123"
    assert kind.keys_of([struct, struct], Document) == (["123", "123"] if may_be_a_key else None)


def test_composed_and_decomposed():
    number = unicodedata.normalize("NFD", "Å1")
    assert as_key(number) == "Å1"
    assert RecordType(Customer, "customer_no").keys_of([{"customerNo": number}], dict) == ["Å1"]


@pytest.mark.parametrize("value", [12.5, Decimal("0.1"), float("nan"), float("inf"), Decimal("NaN"), True, None, [], " "])
def test_no_number(value):
    assert as_key(value) is None


# --- names of fields --------------------------------------------------------------------------------------------------------

SLIPS = [
    (Document, {"documentno": "1"}, "$.documentno: did you mean documentNo?"),
    (Document, {"DocumentNo": "1", "documentNo": "1"}, "$.DocumentNo: did you mean documentNo?"),
    (Document, {"currencyAmounts": {"inclvat": 1}}, "$.currencyAmounts.inclvat: did you mean inclVat?"),
    (
        Document,
        {"documentLines": [{"lineNo": 1}, {"currencyAmounts": {"VAT": 1}}]},
        "$.documentLines[1].currencyAmounts.VAT: did you mean vat?",
    ),
    (Customer, {"customerNo": "1", "postalAddress": {"PostalCode": "0150"}}, "$.postalAddress.PostalCode: did you mean postalCode?"),
]


@pytest.mark.parametrize(("cls", "record", "message"), SLIPS, ids=[message for _, _, message in SLIPS])
def test_a_name_in_another_case(cls, record, message):
    for check in (
        lambda: check_mapping(record, cls),
        lambda: check_text(ENCODER.encode(record), cls),
        lambda: Fingerprinter(cls).of(ENCODER.encode(record)),
    ):
        with pytest.raises(FieldNameError) as raised:
            check()
        assert (raised.value.code, str(raised.value)) == ("misnamed_field", message)
    for place in (0, 5):
        records = [{"documentNo": "1"}] * place + [record] + [{"documentNo": "1"}] * 5
        assert FieldNames(cls).any_may_be_misnamed(records)
    assert FieldNames(cls).any_may_be_misnamed([{}] * 200 + [record])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"documentNo":"1","documentNo":"2"}', "$.documentNo: it occurs twice in one object: leave one out"),
        (b'{ "documentNo" : "" , "documentNo" : "2" }', "$.documentNo: it occurs twice in one object: leave one out"),
        (b'{"documentNo":"1","\\u0064ocumentNo":"1"}', "$.documentNo: it occurs twice in one object: leave one out"),
        (
            b'{"documentLines":[{},{"currencyAmounts":{"vat":1,"vat":1}}]}',
            "$.documentLines[1].currencyAmounts.vat: it occurs twice in one object: leave one out",
        ),
        (b'{"odd":{"a":[{"b":1,"b":2}]}}', "$.odd.a[0].b: it occurs twice in one object: leave one out"),
        (b'{"customCodes":[{"b":1,"b":2}]}', "$.customCodes[0].b: it occurs twice in one object: leave one out"),
        (b'{"ledgerNote":"\\u003a","kid":"1","kid":"1"}', "$.kid: it occurs twice in one object: leave one out"),
        (b'{"ledgerNote":"a \\"b\\": c","kid":"1","kid":"1"}', "$.kid: it occurs twice in one object: leave one out"),
    ],
)
def test_a_name_twice(text, message):
    for check in (check_text, lambda text, cls: Fingerprinter(cls).of(text)):
        with pytest.raises(FieldNameError) as raised:
            check(text, Document)
        assert (raised.value.code, str(raised.value)) == ("duplicate_field", message)


@pytest.mark.parametrize(
    "record",
    [
        {"documentNo": "1", "note": "documentNo", "Extra": 1, "ledgerNote": '"kid": "1", "kid": "2"'},
        {"documentLines": [{"lineNo": 1}, {"lineNo": 2}], "customCodes": [{"VAT": 1}, "VAT"]},
        {"odd": {"DocumentNo": "1"}, 5: 6},
        BASE,
    ],
)
def test_names_that_are_no_slip(record):
    check_mapping(record, Document)
    assert not FieldNames(Document).any_may_be_misnamed([record] * 40)
    for text in (ENCODER.encode(record), json.dumps(msgspec.to_builtins(record, str_keys=True), default=str, indent=2).encode()):
        check_text(text, Document)
        Fingerprinter(Document).of(text)


def as_texts(value: Any, *, ascii_only: bool, indent: int | None) -> bytes:
    return json.dumps(value, default=float, ensure_ascii=ascii_only, indent=indent).encode()


@given(st.lists(st.tuples(DOCUMENTS, st.booleans(), st.sampled_from([None, 1]), st.booleans()), min_size=1, max_size=4), st.integers())
def test_many_texts_at_once_are_read_as_each_alone(made, seed):
    chance = random.Random(seed)
    record_type = RecordType(Document, "document_no")
    values = [{"documentNo": f"N{place}", **rewritten(value, chance)} if way[2] else value for place, (value, *way) in enumerate(made)]
    texts = [as_texts(value, ascii_only=way[0], indent=way[1]) for value, (_, *way) in zip(values, made, strict=True)]
    read = record_type.read_plain(texts, b",".join(texts))
    if read is not None:
        keys, fingerprints = read
        assert keys == [record_type.key_of(text) for text in texts]
        assert list(fingerprints) == [record_type.fingerprinter.of(text) for text in texts]


@pytest.mark.parametrize(
    "odd", ['{"kid":"1","kid":"1"}', '{"Kid":"1"}', '{"kid":1}', '{"note":"x"}', '{"ledgerNote":"\\u003a","kid":"1","kid":"1"}']
)
def test_a_text_with_an_odd_field_is_not_read_with_others(odd):
    record_type = RecordType(Document, "document_no")
    texts = [b'{"documentNo":"1"}', odd.encode(), b'{ "documentNo" : "2" }']
    assert record_type.read_plain(texts, b",".join(texts)) is None
    assert record_type.read_plain(texts[::2], b",".join(texts[::2])) is not None
