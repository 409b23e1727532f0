"""Records to send: those of the samples on the public pages, with other values for each number; the same for the same number, always.

A customer is about 0.75 kB of JSON, a document with three lines about 1.2 kB.
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
