"""Records to send and to read: those of the samples on the public pages, with other values for each number; the same for the same
number, always.

A customer is about 0.75 kB of JSON, a document with three lines about 1.2 kB, a customer in a list, with all its fields, about 1.6 kB.
"""

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from amili_arm_async import Customer, Document

_NAMES = ("Owe Armstrong", "Bill Lossius", "Åse Ødegård", "Kari Nordmann", "Ola Sæther", "Jan Öberg", "Liv Bakken")
_CITIES = (("0150", "Oslo"), ("5003", "Bergen"), ("7010", "Trondheim"), ("9008", "Tromsø"), ("4006", "Stavanger"))
_EPOCH = date(1950, 1, 1)

PAGES = 17
PAGE_SIZE = 1000


def customer(number: int) -> dict[str, Any]:
    """Customer `number` as a mapping."""
    postal_code, city = _CITIES[number % len(_CITIES)]
    return {
        "customerNo": str(500_000 + number),
        "name": f"{_NAMES[number % len(_NAMES)]} {number}",
        "postalAddress": {
            "addressLine1": "C/O ARMchair industries",
            "addressLine2": f"{number % 997} Arm street",
            "addressLine3": f"Appartment {number % 89}",
            "postalCode": postal_code,
            "cityName": city,
            "countryText": "Norway",
            "countryCode": "NO",
        },
        "customerCategory": "CONS",
        "emailAddressDocument": [f"customer{number}@testarmrest.no"],
        "secondaryEmailAddress": [f"second{number}@testarmrest.no"],
        "phoneNo": str(40_000_000 + number),
        "organizationNo": str(900_000_000 + number),
        "dateOfBirth": (_EPOCH + timedelta(days=number % 20_000)).isoformat(),
        "customerGroupCode": "VIP",
        "language": "no",
        "currency": "NOK",
        "distribution": {"type": "M", "einvoiceCode": number % 3},
        "sellerReference": f"ARMref{number}",
        "buyerReference": "OA",
        "dueDays": 14,
        "vatLiable": number % 2 == 0,
        "arRules": ["NoBalFwd"],
        "naceCodes": ["62.010"],
        "customerMessage": "Thank you for being our customer",
    }


def document(number: int) -> dict[str, Any]:
    """Document `number`, with its lines, as a mapping."""
    day = date(2025, 1, 1) + timedelta(days=number % 365)
    amounts = [Decimal(number * 7 % 99_991) / 100, Decimal(number * 13 % 999_983) / 100]
    return {
        "documentType": "IN",
        "customerNo": str(500_000 + number),
        "documentNo": str(88_000_000 + number),
        "documentDate": day.isoformat(),
        "dueDate": (day + timedelta(days=14)).isoformat(),
        "currency": "NOK",
        "language": "en",
        "kid": f"50022185000{number:010}",
        "marketingMessageCode": "0203",
        "customerMessage": "Happy holidays!",
        "salesOrderId": f"B-{number:07}",
        "purchaseOrderId": "",
        "sellerReference": "C333",
        "buyerReference": "A1982",
        "ledgerNote": "This is a note for the AR ledger",
        "currencyAmounts": _amounts(sum(amounts, Decimal(0))),
        "distribution": {"type": "M", "einvoiceCode": 0},
        "einvoiceAddress": {"address": f"test{number}@armresttest.no", "addressScheme": "", "operator": ""},
        "emailAddress": [f"test{number}@armresttest.no"],
        "documentLines": [
            *(_line(place, "PLH", f"Article {number + place}", amount) for place, amount in enumerate(amounts, 1)),
            {"lineNo": 3, "lineType": "TXT", "lineText": "This is a text line with no amounts"},
        ],
    }


def _line(number: int, kind: str, text: str, amount: Decimal) -> dict[str, Any]:
    return {
        "lineNo": number,
        "lineType": kind,
        "articleNo": "1300",
        "articleName": "Comb",
        "lineText": text,
        "quantityUnit": "kg",
        "quantity": Decimal(1),
        "volumeUnit": "",
        "price": amount,
        "itemGroup1": "500",
        "currencyAmounts": _amounts(amount),
    }


def _amounts(net: Decimal) -> dict[str, Decimal]:
    vat = (net / 4).quantize(Decimal("0.01"))
    return {"exclVat": net, "vat": vat, "inclVat": net + vat}


def customers(count: int) -> Iterator[Customer]:
    """Customers as Structs, made one at a time."""
    return (msgspec.convert(customer(number), Customer) for number in range(count))


def documents(count: int) -> Iterator[Document]:
    """Documents as Structs, made one at a time."""
    return (msgspec.convert(document(number), Document) for number in range(count))


def lines(records: list[Any]) -> list[bytes]:
    """The records as JSON texts."""
    encoder = msgspec.json.Encoder(decimal_format="number")
    return [encoder.encode(record) for record in records]


# --- lists ------------------------------------------------------------------------------------------------------------


def full_customer(number: int) -> dict[str, Any]:
    """Customer `number` as a list gives it: every field has a value."""
    return {
        "clientNo": 2218,
        "accountNo": 500_000 + number,
        **customer(number),
        "postalReturnStatus": 100,
        "postalReturnDate": "2025-01-10",
        "secondaryPhoneNo": str(50_000_000 + number),
        "organizationNoScheme": "0192",
        "yearOfBirth": 1950 + number % 50,
        "ssn": f"{number:011}",
        "ssnCountry": "NO",
        "informalName": "Oa",
        "priceNetOrGross": "B",
        "usingLanguage": "no",
        "distribution": {"type": "H", "einvoiceCode": 90, "peppolEndpointId": "984842252", "peppolEndpointIdScheme": "0192"},
        "bankAccountNo": str(81_500_000_000 + number),
        "stopReminderUntil": "2026-12-31",
        "stopDebtCollectionUntil": "2026-12-31",
        "stopInterestCalcUntil": "2026-12-31",
        "efakturaBlockIds": ["12345678", "23456789", "34567890"],
        "peppolBlockIds": ["987654321", "876543210", "976543210"],
        "digipostBlockIds": ["owe.armstrong#6UY", "bill.lossius#8HM"],
        "districtCodes": ["SE", "SE1"],
        "parentCustomerNo": "652389",
        "parentOrganizationNo": "936796702",
        "discountRate": 5.5,
        "activeStatusWeb": "Passive",
        "limitAmount": 2000,
        "registrationStatusCode": "FICTITIOUS",
        "registrationStatusDate": "2025-03-06",
        "postalAddressChanged": "2014-11-13",
        "customerKid": f"50022185000{number:010}",
        "balanceTotal": number % 10_000 + 0.25,
    }


def one_customer() -> bytes:
    """The answer to GET of one customer."""
    return msgspec.json.encode(full_customer(0))


def page(number: int) -> bytes:
    """Page `number` of a list of customers, the first being 1."""
    link = "https://localhost/arm/v1/clients/2218/customers?query=8NlwdOIM1YLVFApvQFONTw&pageno={}".format
    summary = {
        "pageNo": number,
        "currentPageSize": PAGE_SIZE,
        "pageSizeLimit": PAGE_SIZE,
        "totalPages": PAGES,
        "totalCount": PAGES * PAGE_SIZE,
        "maximumCount": 1_000_000,
        "lastPage": link(PAGES),
        "queryId": "8NlwdOIM1YLVFApvQFONTw",
    }
    if number < PAGES:
        summary["nextPage"] = link(number + 1)
    first = (number - 1) * PAGE_SIZE
    return msgspec.json.encode({"summary": summary, "customers": [full_customer(first + place) for place in range(PAGE_SIZE)]})
