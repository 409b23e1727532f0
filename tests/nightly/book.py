"""What is sent in a night, and what is true of it, reckoned in whole øre and without the library."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Book"]

NEW = 12
GONE = 5


@dataclass(frozen=True)
class Book:
    """Customers by number from 0 and documents by place from 0, each made from that alone.

    Attributes:
        customers: how many there are in both nights; a hundredth of them changed.
        documents: how many there are tonight, those that are broken included.
    """

    customers: int
    documents: int

    # --- customers --------------------------------------------------------------------------------------------------------

    @property
    def tonight(self) -> range:
        """The customers of tonight."""
        return range(self.customers + NEW)

    @property
    def sent(self) -> set[int]:
        """The customers that must be sent tonight, and no others."""
        return {number for number in self.tonight if self.is_changed(number) or number >= self.customers}

    @property
    def refused(self) -> list[int]:
        """The changed customers that the server refuses."""
        return list(range(7, self.customers, 2000))

    @staticmethod
    def is_changed(number: int) -> bool:
        """Whether a customer is not as it was yesterday."""
        return number % 100 == 7

    def name(self, number: int) -> str:
        """What the customer is called tonight."""
        return f"Åse {'Ny' if self.is_changed(number) else 'Gammel'} {number}"

    def write_customers(self, path: Path, *, yesterday: bool) -> None:
        """Writes all customers of a night. Yesterday there were some who are gone, and not those who are new."""
        gone = range(self.customers + NEW, self.customers + NEW + GONE)
        numbers = [*range(self.customers), *gone] if yesterday else self.tonight
        with path.open("w", encoding="utf-8") as file:
            for number in numbers:
                name = f"Åse Gammel {number}" if yesterday else self.name(number)
                address = f'{{"addressLine1":"Storgata {number % 180}","postalCode":"0150","cityName":"Oslo","countryCode":"NO"}}'
                file.write(f'{{"customerNo":"{number}","name":"{name}","postalAddress":{address},"currency":"NOK","dueDays":14}}\n')

    # --- documents --------------------------------------------------------------------------------------------------------

    def owner(self, place: int) -> int:
        """The customer of a document; some of them are refused."""
        refused = self.refused
        return refused[place // 101 % len(refused)] if place % 101 == 3 else place * 7919 % self.customers

    @staticmethod
    def is_broken(place: int) -> bool:
        """Whether it is no JSON."""
        return place % 991 == 17

    @staticmethod
    def is_rejected(place: int) -> bool:
        """Whether the server does not take it in."""
        return place % 397 == 1

    def currency(self, place: int) -> str | None:
        """Its currency, where it has one."""
        return None if place % 503 == 11 or self.is_broken(place) else ("NOK", "NOK", "SEK", "EUR")[place % 4]

    def is_from_lines(self, place: int) -> bool:
        """Whether only its lines say what it costs."""
        return place % 211 == 9 and not self.is_broken(place) and self.cents(place) is not None

    def cents(self, place: int) -> int | None:
        """Its total in hundredths, where it has one; some are credits."""
        if self.is_broken(place) or place % 307 == 5:
            return None
        cents = place * 104_729 % 10_000_000 + 1
        return -cents if place % 50 == 49 else cents

    def write_documents(self, path: Path) -> None:
        """Writes all documents."""
        with path.open("w", encoding="utf-8") as file:
            file.writelines(self._lines())

    def _lines(self) -> Iterator[str]:
        for place in range(self.documents):
            if self.is_broken(place):
                yield '{"documentNo": half a line\n'
                continue
            currency, cents = self.currency(place), self.cents(place)
            fields = f'"documentNo":"D{place}","documentType":"IN","customerNo":"{self.owner(place)}"'
            fields += f',"currency":"{currency}"' if currency else ""
            if self.is_from_lines(place):
                assert cents is not None
                halves = (cents // 2, cents - cents // 2)
                lines = (f'{{"lineNo":{number},"currencyAmounts":{{"inclVat":{_text(half)}}}}}' for number, half in enumerate(halves, 1))
                fields += f',"documentLines":[{",".join(lines)}]'
            elif cents is not None:
                fields += f',"currencyAmounts":{{"inclVat":{_text(cents)}}}'
            yield f"{{{fields}}}\n"


def _text(cents: int) -> str:
    return f"{'-' if cents < 0 else ''}{abs(cents) // 100}.{abs(cents) % 100:02d}"
