"""A record has the outcome and the bytes that it has alone: whatever stands beside it, and however its source is read."""

from __future__ import annotations

import dataclasses
import enum
import json
import uuid
from collections import OrderedDict
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from amili_arm_async import Customer, Document
from amili_arm_async.bulk.chunking import Chunker, RecordType
from amili_arm_async.bulk.copies import as_plain, snapshot
from amili_arm_async.resources.bulk import CUSTOMERS, DOCUMENTS


class Field(str, enum.Enum):  # noqa: UP042 - its text by `str` is another one than its value
    NAME = "name"


@dataclasses.dataclass
class Address:
    address_line1: str | None = None
    address_line2: str | None = None


@dataclasses.dataclass
class Line:
    quantity: Any = None
    line_text: Any = None


def taken_in(record: Any, kind: RecordType) -> Iterator[tuple[str, Chunker]]:
    """Gives chunkers that have taken in a record first, in every way that a run has."""
    other = b'{"%b":"other"}' % kind.wire_key.encode()
    for journal in (False, True):

        def chunker(*, reads_texts: bool = False, journal: bool = journal) -> Chunker:
            return Chunker(kind, overhead=0, max_records=100, max_bytes=100_000, fingerprints=journal, reads_texts=reads_texts)

        ways = {name: chunker() for name in ("alone", "beside others", "from a generator", "from another thread")}
        ways["alone"].feed([record])
        ways["beside others"].feed([record, other])
        ways["from a generator"].append(record)
        ways["from another thread"].hold(snapshot(record, kind))
        observed = ways["observed"] = chunker(reads_texts=True)
        observed.feed([as_plain(record, kind)])
        observed_lazily = ways["observed, from a generator"] = chunker(reads_texts=True)
        observed_lazily.feed([as_plain(snapshot(record, kind), kind)])
        yield from ((f"{name}, {'with' if journal else 'without'} a journal", one) for name, one in ways.items())


def outcome(chunker: Chunker) -> tuple[str, str | None, Any]:
    batch = chunker.finish()
    for invalid in chunker.take_invalid():
        return invalid.outcome.common.reason, invalid.outcome.keys[0], None
    assert batch is not None
    return "sent", batch.keys[0], json.loads(batch.texts()[0])


@pytest.mark.parametrize(
    ("record", "wanted"),
    [
        (Customer(customer_no="1", postal_address=Address("Gata 1")), {"postalAddress": {"addressLine1": "Gata 1"}}),  # type: ignore[arg-type]
        (Customer(customer_no="1", postal_address=Address("a", "b")), {"postalAddress": {"addressLine1": "a", "addressLine2": "b"}}),  # type: ignore[arg-type]
        (Document(document_no="1", document_lines=[Line(2)]), {"documentLines": [{"quantity": 2}]}),  # type: ignore[list-item]
        (Document(document_no="1", document_lines=[Line(2, 5)]), {"documentLines": [{"quantity": 2, "lineText": 5}]}),  # type: ignore[list-item]
        ({"customerNo": "1", "more": Address("Gata 1")}, {"more": {"address_line1": "Gata 1"}}),
        ({"customerNo": "1", "more": [Address("Gata 1")]}, {"more": [{"address_line1": "Gata 1"}]}),
        ({"customerNo": "1", "more": datetime(2026, 1, 2, tzinfo=UTC)}, {"more": "2026-01-02T00:00:00Z"}),
        ({"customerNo": "1", "more": {1: None, "two": 2}}, {"more": {"1": None, "two": 2}}),
        ({"customerNo": "1", Field.NAME: "Ola", "dateOfBirth": datetime(1980, 1, 2)}, {"name": "Ola", "dateOfBirth": "1980-01-02"}),  # noqa: DTZ001
        (Customer(customer_no="1", name=None), {"name": None}),
    ],
    ids=repr,
)
def test_the_same_bytes(record: Any, wanted: dict[str, Any]) -> None:
    kind = DOCUMENTS if isinstance(record, Document) else CUSTOMERS
    for way, chunker in taken_in(record, kind):
        assert (way, *outcome(chunker)) == (way, "sent", "1", {kind.wire_key: "1", **wanted})


@pytest.mark.parametrize("name", [uuid.UUID(int=1), date(2026, 1, 2)], ids=["UUID", "date"])
def test_the_same_key(name: Any) -> None:
    for way, chunker in taken_in({"documentNo": name}, DOCUMENTS):
        assert (way, *outcome(chunker)) == (way, "sent", str(name), {"documentNo": str(name)})


@pytest.mark.parametrize("number", [b"1", np.float64(1.0), 1.0, Decimal("1.0")], ids=repr)
def test_the_same_refusal_of_a_key(number: Any) -> None:
    for record in ({"documentNo": number}, Document(document_no=number)):
        for way, chunker in taken_in(record, DOCUMENTS):
            chunker.finish()
            (invalid,) = chunker.take_invalid()
            assert (way, invalid.outcome.common.reason) == (way, "not_encodable")
            assert (invalid.outcome.common.message or "").startswith("$.documentNo: ")


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (OrderedDict(customerNo="1", postaladdress={}), "misnamed_field"),
        (MappingProxyType({"documentNo": "1", "kID": "2"}), "misnamed_field"),
    ],
    ids=repr,
)
def test_the_same_refusal(record: Any, reason: str) -> None:
    kind = DOCUMENTS if "documentNo" in repr(record) else CUSTOMERS
    for way, chunker in taken_in(record, kind):
        assert (way, *outcome(chunker)) == (way, reason, "1", None)
