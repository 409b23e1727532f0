"""Records for the crash tests, made from a seed: numbered, unnumbered and equal ones, in another order and form for each attempt."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .accounts import in_form

__all__ = ["Source"]

_WORDS = ("Strøm i august", "Leie, bolig 12", 'Kabel "5 m"', "Fiber", "Renovasjon", "Årsavgift\u00a02026")


@dataclass(frozen=True)
class Source:
    """What one run is to send.

    Attributes:
        kind: `documents` or `customers`.
        seed: makes the records.
        count: number of the records.
        numbered: share of the documents that have a number.
        forms: whether Structs, mappings and bytes are mixed.
    """

    kind: str
    seed: int
    count: int
    numbered: float = 0.6
    forms: bool = True

    def records(self) -> list[dict[str, Any]]:
        """All records, in the order in which they were thought of."""
        rng = random.Random(f"records {self.kind} {self.seed}")
        if self.kind == "customers":
            # A few come twice: the later one counts.
            return [_customer(rng, number if rng.random() < 0.95 else rng.randrange(number + 1)) for number in range(self.count)]
        records: list[dict[str, Any]] = []
        while len(records) < self.count:
            record = _document(rng)
            if rng.random() < self.numbered:
                records.append({**record, "documentNo": f"D{len(records):05}"})
            else:
                records += [record] * min(rng.choice([1, 1, 1, 2, 3]), self.count - len(records))
        return records

    def order(self, attempt: int, share: float = 1.0) -> list[int]:
        """The places of the records that an attempt yields, in its order: a share of the documents shuffled, customers as they are."""
        rng = random.Random(f"order {self.seed} {attempt}")
        places = list(range(round(self.count * share)))
        if self.kind == "documents" and attempt:
            rng.shuffle(places)
        return places

    def yielded(self, places: Sequence[int], attempt: int) -> list[Any]:
        """These records as the attempt yields them: keys in another order, and in another form."""
        rng = random.Random(f"forms {self.seed} {attempt}")
        records = self.records()
        return [in_form(self.kind, records[place], rng.randrange(3) if self.forms else 1, rng) for place in places]


def _document(rng: random.Random) -> dict[str, Any]:
    price = rng.choice([100, 99.5, 1234.56, 0.1, 12.0, 7e2])
    record: dict[str, Any] = {
        "documentType": "IN",
        "customerNo": str(rng.randrange(1, 30)),
        "documentDate": "2026-11-20",
        "customerMessage": rng.choice(_WORDS),
        "currencyAmounts": {"exclVat": price, "vat": 0, "inclVat": price},
        "documentLines": [
            {
                "lineNo": line + 1,
                "lineType": "PLH",
                "articleName": rng.choice(_WORDS),
                "quantity": rng.choice([1, 2.5, 10]),
                "price": price,
            }
            for line in range(rng.randrange(3))
        ],
    }
    if rng.random() < 0.3:
        record["emailAddress"] = ["kari@example.com"]
    return record


def _customer(rng: random.Random, number: int) -> dict[str, Any]:
    return {
        "customerNo": f"C{number:05}",
        "name": rng.choice(_WORDS),
        "dueDays": rng.randrange(30),
        "customerMessage": f"{rng.random()}",
    }
