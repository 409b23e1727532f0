"""Generates customers and invoices such as Norwegian companies send. Pure.

Each record depends on its seed and its index only, so that a million of them need no memory, and any of them can be generated again
to compare it with what was read back. Organisation numbers have their check digit and begin with 3, as the numbers of Norway's
synthetic test population do; e-mail goes to example.com, which is reserved.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from ..models.base import CurrencyAmounts
from ..models.customers import Customer, Distribution, PostalAddress
from ..models.documents import Document, DocumentLine

__all__ = ["customer", "customer_no", "customers", "document", "documents", "kid_check_digit", "organization_no", "place_of"]

_FIRST_CUSTOMER: Final = 1_000_001
_FIRST_DOCUMENT: Final = 80_000_001
_FIRST_DAY: Final = date(2026, 1, 2)
_VAT: Final = Decimal("0.25")
_ORE: Final = Decimal("0.01")

_FIRST_NAMES: Final = (
    "Anne", "Astrid", "Bjørn", "Camilla", "Eirik", "Espen", "Fatima", "Frode", "Gunnar", "Håkon", "Hilde", "Ingrid", "Ivar", "Jørgen",
    "Kari", "Kjell", "Lars", "Liv", "Magnus", "Marit", "Mohammed", "Nina", "Odd", "Ola", "Per", "Ragnhild", "Sigrid", "Solveig",
    "Stian", "Sunniva", "Terje", "Tone", "Trygve", "Unni", "Vegard", "Åse",
)  # fmt: skip
_LAST_NAMES: Final = (
    "Aasen", "Andersen", "Bakken", "Berg", "Bråthen", "Dahl", "Eide", "Fjeld", "Hagen", "Halvorsen", "Hansen", "Haugen", "Iversen",
    "Johansen", "Kristoffersen", "Larsen", "Lien", "Lunde", "Moen", "Myhre", "Nguyen", "Nilsen", "Olsen", "Pedersen", "Rasmussen",
    "Solberg", "Strand", "Sæther", "Tangen", "Vik", "Ødegård", "Østby",
)  # fmt: skip
_STREETS: Final = (
    "Bjørkelia", "Brugata", "Elveveien", "Fjordgata", "Granstien", "Industriveien", "Kirkegata", "Kongens gate", "Lyngveien",
    "Møllebakken", "Nordre gate", "Prestegårdsveien", "Skolegata", "Solbakken", "Storgata", "Strandgata", "Sørlia", "Torggata",
    "Øvre Slottsgate", "Åsveien",
)  # fmt: skip
_PLACES: Final = (
    ("0150", "Oslo"), ("0366", "Oslo"), ("0655", "Oslo"), ("1337", "Sandvika"), ("1606", "Fredrikstad"), ("2004", "Lillestrøm"),
    ("2317", "Hamar"), ("2609", "Lillehammer"), ("3044", "Drammen"), ("3110", "Tønsberg"), ("3717", "Skien"), ("4006", "Stavanger"),
    ("4611", "Kristiansand S"), ("5003", "Bergen"), ("5527", "Haugesund"), ("6002", "Ålesund"), ("6413", "Molde"), ("7011", "Trondheim"),
    ("7713", "Steinkjer"), ("8006", "Bodø"), ("9008", "Tromsø"), ("9510", "Alta"), ("9170", "Longyearbyen"),
)  # fmt: skip
_TRADES: Final = ("Bygg", "Consulting", "Eiendom", "Elektro", "Fisk", "Maskin", "Regnskap", "Rør", "Sjømat", "Trelast", "Transport")
_ARTICLES: Final = (
    # number, name, unit, parts of a unit that are sold alone, the most parts on a line, and the bounds of a unit's price in øre
    ("1300", "Bredbånd 500/500", "mnd", 1, 12, 49900, 89900),
    ("1410", "Mobilabonnement", "mnd", 1, 12, 19900, 59900),
    ("2100", "Strøm, spotpris", "kWh", 100, 250_000, 38, 214),
    ("2110", "Nettleie, energiledd", "kWh", 100, 250_000, 21, 49),
    ("2120", "Nettleie, fastledd", "mnd", 1, 3, 12500, 47500),
    ("3050", "Konsulentbistand", "t", 2, 75, 95000, 165000),
    ("3400", "Renovasjon", "stk", 1, 4, 21000, 39900),
    ("4200", "Serviceavtale", "mnd", 1, 12, 9900, 129900),
    ("5001", "Gebyr", "stk", 1, 2, 3500, 7900),
)
_ASCII: Final = str.maketrans({"æ": "ae", "ø": "o", "å": "a", " ": "."})


def customer_no(place: int) -> str:
    """Returns the number of a customer by its index, from 0."""
    return str(_FIRST_CUSTOMER + place)


def place_of(number: str) -> int:
    """Returns the index of a customer by its number."""
    return int(number) - _FIRST_CUSTOMER


def customers(seed: int, count: int) -> Iterator[Customer]:
    """Yields `count` customers."""
    return (customer(seed, place) for place in range(count))


def documents(seed: int, count: int, customer_count: int) -> Iterator[Document]:
    """Yields `count` invoices to the first `customer_count` customers."""
    return (document(seed, place, customer_count) for place in range(count))


def customer(seed: int, place: int) -> Customer:
    """Returns the customer with an index: three of four are persons, the others companies."""
    chance = _chance(seed, "customer", place)
    number = customer_no(place)
    first, last = chance.choice(_FIRST_NAMES), chance.choice(_LAST_NAMES)
    postal_code, city = chance.choice(_PLACES)
    address = PostalAddress(
        address_line1=f"{chance.choice(_STREETS)} {chance.randrange(1, 180)}{chance.choice(('', '', '', 'A', 'B'))}",
        postal_code=postal_code,
        city_name=city,
        country_text="Norge",
        country_code="NO",
    )
    record = Customer(
        customer_no=number,
        name=f"{first} {last}",
        postal_address=address,
        customer_category="CONS",
        email_address_document=[f"{first}.{last}.{number}@example.com".lower().translate(_ASCII)],
        language=chance.choices(("no", "nn", "en"), (80, 12, 8))[0],
        currency="NOK",
        distribution=_distribution(chance),
        due_days=14,
    )
    if chance.random() < 0.25:
        record.name = f"{last} {chance.choice(_TRADES)} {chance.choice(('AS', 'AS', 'AS', 'ANS', 'DA'))}"
        record.customer_category = "BUS"
        record.organization_no = organization_no(chance)
        record.organization_no_scheme = "0192"
        record.email_address_document = [f"faktura.{number}@example.com"]
        record.due_days = 30
    return record


def document(seed: int, place: int, customer_count: int) -> Document:
    """Returns the invoice with an index, to one of the first `customer_count` customers; its lines add up to its amounts exactly."""
    chance = _chance(seed, "document", place)
    owner = customer_no(chance.randrange(customer_count))
    number = str(_FIRST_DOCUMENT + place)
    issued = _FIRST_DAY + timedelta(days=chance.randrange(28))
    lines = [_line(chance, line_no) for line_no in range(1, chance.randint(1, 4) + 1)]
    reference = owner + number
    return Document(
        document_type="IN",
        customer_no=owner,
        document_no=number,
        document_date=issued,
        due_date=issued + timedelta(days=14),
        currency="NOK",
        language=chance.choices(("no", "nn", "en"), (80, 12, 8))[0],
        kid=f"{reference}{kid_check_digit(reference)}",
        currency_amounts=_sum([amounts for line in lines if isinstance(amounts := line.currency_amounts, CurrencyAmounts)]),
        distribution=_distribution(chance),
        email_address=[f"faktura.{owner}@example.com"],
        document_lines=lines,
    )


def kid_check_digit(digits: str) -> int:
    """Returns the modulus 10 check digit of a KID: every second digit from the right counts twice, by its digit sum."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 - place % 2)
        total += value if value < 10 else value - 9
    return -total % 10


def organization_no(chance: random.Random) -> str:
    """Returns nine digits, the last of which is the modulus 11 check digit."""
    while True:
        digits = f"3{chance.randrange(10**7):07d}"
        check = -sum(int(digit) * weight for digit, weight in zip(digits, (3, 2, 7, 6, 5, 4, 3, 2), strict=True)) % 11
        # A remainder of ten has no digit: such a number is never given out.
        if check < 10:
            return f"{digits}{check}"


def _chance(seed: int, kind: str, place: int) -> random.Random:
    # Made data has nothing to hide: it needs to be the same each time, not secret.
    return random.Random(f"{seed}/{kind}/{place}")  # noqa: S311


def _distribution(chance: random.Random) -> Distribution:
    return Distribution(type=chance.choice(("M", "M", "H")), einvoice_code=chance.choice((0, 0, 2, 90)))


def _line(chance: random.Random, line_no: int) -> DocumentLine:
    article_no, name, unit, parts, most, low, high = chance.choice(_ARTICLES)
    price = Decimal(chance.randint(low, high)) / 100
    quantity = Decimal(chance.randint(1, most)) / parts
    net = (quantity * price).quantize(_ORE, ROUND_HALF_UP)
    vat = (net * _VAT).quantize(_ORE, ROUND_HALF_UP)
    return DocumentLine(
        line_no=line_no,
        line_type="PLH",
        article_no=article_no,
        article_name=name,
        line_text=f"{name}, januar 2026",
        quantity_unit=unit,
        quantity=quantity,
        price=price,
        currency_amounts=CurrencyAmounts(excl_vat=net, vat=vat, incl_vat=net + vat),
    )


def _sum(amounts: list[CurrencyAmounts]) -> CurrencyAmounts:
    def total(name: str) -> Decimal:
        return sum((getattr(amount, name) for amount in amounts), Decimal())

    return CurrencyAmounts(excl_vat=total("excl_vat"), vat=total("vat"), incl_vat=total("incl_vat"))
