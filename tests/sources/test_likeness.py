"""Which field a column may be: names in Norwegian and English, and what the values say against them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amili_arm_async.sources.likeness import propose
from amili_arm_async.values.fields import fields_of

CUSTOMERS = {
    "customerNo": "Kundenr, Kundenummer, KUNDENR., Kunde-nr, kunde_id, customer_id, customer number, CustomerNo, cust no, Debitornr",
    "name": "Navn, Kundenavn, Kundens navn, name, customer name, Firmanavn",
    "postalAddress.addressLine1": "Adresse, Adresse 1, Adresselinje 1, Gateadresse, Postadresse, address, Street",
    "postalAddress.addressLine2": "Adresse 2, Adresse2, adresselinje2, address line 2",
    "postalAddress.postalCode": "Postnr, Postnummer, Postkode, zip, Zip code, postal code, PostalCode",
    "postalAddress.cityName": "Poststed, Sted, city, town",
    "postalAddress.countryCode": "Landkode, country code",
    "organizationNo": "Orgnr, Org.nr., Org nr, Organisasjonsnummer, Organisasjonsnr, organization number, Foretaksnummer",
    "dateOfBirth": "Fødselsdato, Foedselsdato, FODSELSDATO, birth date, Date of birth, Født dato",
    "ssn": "Fødselsnr, Fødselsnummer, Personnummer, SSN",
    "emailAddressDocument": "E-post, Epost, E-postadresse, e-mail, Email, Mail",
    "phoneNo": "Tlf, Tlf., Telefon, Telefonnr, Mobil, Mobilnr, phone, Mobile phone, Phone number",
    "customerGroupCode": "Kundegruppe, Kundegruppekode, customer group",
    "customerCategory": "Kundekategori, category",
    "language": "Språk, Spraak, språkkode, language",
    "currency": "Valuta, Valutakode, currency",
    "sellerReference": "Vår ref, Vår ref., Vår referanse, our reference",
    "buyerReference": "Deres ref, Deres referanse, your ref",
    "limitAmount": "Kredittgrense, credit limit",
    "bankAccountNo": "Bankkonto, Bankkontonr, bank account",
}
DOCUMENTS = {
    "customerNo": "Kundenr, Kundenummer, customer_id, customer number",
    "documentNo": "Fakturanr, Fakturanummer, Bilagsnr, Bilagsnummer, invoice_no, Invoice Number, invoice id, Dokumentnr",
    "documentDate": "Fakturadato, invoice date, Bilagsdato",
    "dueDate": "Forfall, Forfallsdato, due date, Betalingsfrist",
    "currencyAmounts.exclVat": "Beløp eks. mva, Beløp ekskl. MVA, Netto, Nettobeløp, Sum eks mva, Amount excl. VAT, Net amount",
    "currencyAmounts.vat": "MVA, Mva-beløp, Mva, VAT, VAT amount, Moms",
    "currencyAmounts.inclVat": "Sum inkl mva, Brutto, Bruttobeløp, Beløp inkl. mva, total incl. VAT, Beløp inkl. MVA (NOK)",
    "currency": "Valuta, Valutakode, currency",
    "kid": "KID, KID-nummer, Kidnr",
    "sellerReference": "Vår ref",
    "buyerReference": "Deres ref",
    "documentLines.lineNo": "Linjenr, Linjenummer, line no",
    "documentLines.articleNo": "Varenr, Varenummer, Artikkelnr, item no, SKU",
    "documentLines.articleName": "Varenavn, Artikkelnavn, product name",
    "documentLines.lineText": "Varetekst, Linjetekst",
    "documentLines.quantity": "Antall, quantity, Qty",
    "documentLines.price": "Pris, Enhetspris, unit price, price",
    "documentLines.quantityUnit": "Enhet, unit",
    "purchaseOrderId": "Bestillingsnr, purchase order, PO number",
}


HEADERS = [
    # Visma Business, Visma eAccounting, Tripletex, PowerOffice Go, Unimicro, SAP.
    ("customers", "Organisasjonsnr.=organizationNo;Adresselinje 3=postalAddress.addressLine3;Språkkode=language;Selger=;Kontonr=?"),
    (
        "customers",
        (
            "Kundenummer=customerNo;Fakturaadresse 1=postalAddress.addressLine1;Fakturaadresse 2=postalAddress.addressLine2;"
            "Fakturapostnummer=postalAddress.postalCode;Fakturapoststed=postalAddress.cityName;Fakturaland=?;E-post=?;"
            "E-post for faktura=emailAddressDocument;Leveringsadresse=?;Leveringspostnr=?;Leveringssted=?;Mva-nummer=?;Betalingsfrist=?"
        ),
    ),
    (
        "customers",
        (
            "KUNDENR=customerNo;E-POST=?;FAKTURA E-POST=emailAddressDocument;POSTADRESSE - ADRESSELINJE 1=postalAddress.addressLine1;"
            "POSTADRESSE - POSTNUMMER=postalAddress.postalCode;POSTADRESSE - STED=postalAddress.cityName;POSTADRESSE - LAND=?;"
            "FORRETNINGSADRESSE - ADRESSELINJE 1=?;FORRETNINGSADRESSE - POSTNUMMER=?;PRIVATKUNDE=;FORFALL DAGER=dueDays"
        ),
    ),
    (
        "customers",
        (
            "Kundenavn=name;Fornavn=;Etternavn=;Adresse1=postalAddress.addressLine1;Fødselsdato (dd.mm.åååå)=dateOfBirth;"
            "Betalingsbetingelser=?;Postnr og sted=;Opprettet dato=;Mva.pliktig=vatLiable;Reskontrosaldo="
        ),
    ),
    (
        "customers",
        (
            "CustomerNumber=customerNo;OrgNumber=organizationNo;AddressLine1=postalAddress.addressLine1;DefaultEmail=emailAddressDocument;"
            "DefaultCurrencyCode=currency;DateOfBirth=dateOfBirth;SocialSecurityNumber=ssn;VatNumber=?;PeppolAddress=;IsPrivate=;Type=?"
        ),
    ),
    (
        "customers",
        (
            "KUNNR=customerNo;NAME1=name;STRAS=postalAddress.addressLine1;PSTLZ=postalAddress.postalCode;ORT01=postalAddress.cityName;"
            "LAND1=postalAddress.countryCode;STCD1=?;SMTP_ADDR=emailAddressDocument;WAERS=currency;KTOKD="
        ),
    ),
    ("documents", "Bilagsart=documentType;Fakturanr=documentNo;Kundens ordrenr=?;Betalt=;Restbeløp=;Kurs=;Mva-grunnlag=?;Å betale=?"),
    (
        "documents",
        (
            "INVOICE NO=documentNo;ORDER DATE=;DELIVERY DATE=;ORDER LINE - PROD NO=documentLines.articleNo;PAID AMOUNT=;"
            "ORDER LINE - PROD NAME=documentLines.articleName;ORDER LINE - UNIT PRICE=documentLines.price;ORDER LINE - VAT CODE=;Address=?"
        ),
    ),
    ("documents", "Fakturatype=documentType;Ordrereferanse=?;Enhetspris eks. mva.=?;Utestående=;Fakturatekst=?;Type=?;Operator=?"),
    ("documents", "InvoiceNumber=documentNo;PaymentDueDate=dueDate;PaymentID=?;PriceExVat=?;YourReference=buyerReference"),
    ("documents", "VBELN=documentNo;KUNRG=customerNo;FKDAT=documentDate;NETWR=?;POSNR=documentLines.lineNo;MATNR=documentLines.articleNo"),
]
"""Column=field; `?`: only candidates; nothing: no field and no candidate."""


@pytest.mark.parametrize(("kind", "header"), HEADERS)
def test_headers_of_business_systems(kind, header):
    wanted = dict(pair.split("=") for pair in header.split(";"))
    found = {one.name: one.field or ("?" if one.candidates else "") for one in propose(kind, list(wanted), [[] for _ in wanted]).columns}
    assert found == wanted


def guess(name, kind="customers", cells=()):
    (found,) = propose(kind, [name], [cells]).columns
    return found


@pytest.mark.parametrize(
    ("kind", "field", "name"),
    [
        (kind, field, name.strip())
        for kind, fields in (("customers", CUSTOMERS), ("documents", DOCUMENTS))
        for field, names in fields.items()
        for name in names.split(",")
    ],
)
def test_common_names(kind, field, name):
    assert guess(name, kind).field == field


@pytest.mark.parametrize("kind", ["customers", "documents"])
def test_a_field_is_itself(kind):
    for path in fields_of(kind):
        assert guess(path, kind).field == path


@pytest.mark.parametrize(
    ("kind", "name", "candidates"),
    [
        ("documents", "Beløp", {"currencyAmounts.inclVat", "currencyAmounts.exclVat"}),
        ("documents", "amount", {"currencyAmounts.inclVat", "currencyAmounts.exclVat"}),
        ("documents", "Ordrenr", {"salesOrderId", "purchaseOrderId"}),
        ("documents", "Dato", {"documentDate"}),
        ("customers", "Kunde", {"customerNo", "name"}),
        ("customers", "Land", {"postalAddress.countryCode", "postalAddress.countryText"}),
        ("customers", "Kudenummer", {"customerNo"}),
    ],
)
def test_what_is_not_sure_is_said(kind, name, candidates):
    found = guess(name, kind)
    assert found.field is None
    assert set(found.candidates) == candidates
    assert found.reason


@pytest.mark.parametrize("name", ["Saldo", "Ansatte", "Postnr/sted", "", "  ", "æøå", "1", "KID"])
def test_what_is_no_field_is_said(name):
    found = guess(name)
    assert (found.field, found.candidates) == (None, ())
    assert found.reason


def test_the_values_tell_a_country_from_its_code():
    assert guess("Land", cells=["NO", "SE", None]).field == "postalAddress.countryCode"
    assert guess("Land", cells=["Norge", "Sverige"]).field == "postalAddress.countryText"
    assert guess("Land", cells=["NO", "Sverige"]).field is None


def test_values_that_do_not_fit_take_the_field_back():
    found = guess("Forfall", "documents", ["14", "30", "14"])
    assert found.field is None
    assert found.candidates == ("dueDate",)
    assert "14" not in found.reason
    assert guess("Forfall", "documents", ["20.11.2026", "x", "21.11.2026"]).field == "dueDate"


def test_numbers_with_two_meanings_are_told():
    found = propose("documents", ["Fakturanr", "MVA"], [["1"], ["12.000"]])
    assert found.needs_decimal_sign
    assert found.columns[1].field == "currencyAmounts.vat"
    assert not propose("documents", ["Fakturanr", "MVA"], [["1"], ["12.50"]]).needs_decimal_sign


def test_of_two_columns_for_one_field_neither_is_sure():
    first, second = propose("customers", ["E-post", "Mail"], [[], []]).columns
    assert first.field is None
    assert second.candidates == ("emailAddressDocument",)
    assert '"Mail"' in first.reason


def test_a_mobile_number_beside_a_telephone_is_the_second():
    assert [one.field for one in propose("customers", ["Mobil", "Tlf"], [[], []]).columns] == ["secondaryPhoneNo", "phoneNo"]


def amounts(keys, cells):
    names = ["Fakturanr", "Linjenr", "Sum inkl mva"]
    return propose("documents", names, [keys, ["1"] * len(keys), cells]).columns[2]


def test_an_amount_that_differs_within_a_document_is_one_of_the_line():
    assert amounts(["1", "1", "2"], ["10", "20", "30"]).field == "documentLines.currencyAmounts.inclVat"
    assert amounts(["1", "1", "2", "2", "3", "3"], ["10", "10", "20", "20", "5", "5"]).field == "currencyAmounts.inclVat"
    unsure = amounts(["1", "1", "2"], ["10", "10", "30"])
    assert (unsure.field, len(unsure.candidates)) == (None, 2)


def test_a_file_of_lines():
    found = propose("lines", ["Fakturanr", "Varenr", "Netto", "Kundenr"], [[], [], [], []]).columns
    assert [one.field for one in found] == ["documentNo", "documentLines.articleNo", "documentLines.currencyAmounts.exclVat", None]


def test_what_each_record_needs_and_no_column_is():
    assert propose("documents", ["Fakturanr"], [[]]).missing == ["customerNo", "documentType"]


@given(st.text(max_size=30), st.sampled_from(["customers", "documents", "lines"]))
def test_any_name_gets_a_field_or_a_reason(name, kind):
    found = guess(name, kind)
    assert bool(found.field) != bool(found.reason)
    assert all(field in fields_of("customers") or field in fields_of("documents") for field in (found.field, *found.candidates) if field)
