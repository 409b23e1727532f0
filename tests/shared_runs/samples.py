"""The documents of the shared runs in these tests."""

from __future__ import annotations

from typing import Any

from amili_arm_async import part_of

__all__ = ["DOCUMENTS", "PARTS", "RUN_ID", "own"]

PARTS = 4
RUN_ID = "2026-11-20"

DOCUMENTS: list[dict[str, Any]] = [
    {
        "documentNo": f"D{number:04}",
        "documentType": "IN",
        "customerNo": "1",
        "currency": "NOK",
        "currencyAmounts": {"inclVat": number + 1},
    }
    for number in range(60)
]


def own(part: int) -> list[dict[str, Any]]:
    """The documents of a part."""
    return [document for document in DOCUMENTS if part_of(document["documentNo"], PARTS) == part]
