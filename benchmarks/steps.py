"""What does each step of a bulk run cost beside msgspec's encoding of the same Structs? It shows where the rest of `bulk_send` goes.

Each step goes over all batches in turn, so that a batch is no longer at hand in the processor when it is looked at again.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from amili_arm_async import Customer, Document
from amili_arm_async.bulk.chunking import RecordType
from amili_arm_async.bulk.keys import KeySerializer
from amili_arm_async.codec import ENCODER

from .measure import ROUNDS, Row, in_turns, ratio
from .records import customers, documents, lines
from .table import show

BATCHES = 20
KINDS = (("customers", Customer, "customer_no", customers, 1000), ("documents", Document, "document_no", documents, 500))
ANY = msgspec.json.Decoder(msgspec.Raw)


async def _pass_the_gate(keys: list[list[str | None]]) -> None:
    gate = KeySerializer()
    for some in keys:
        made, _ = gate.enter(some)
        gate.settle(made, len(some))


def _steps(kind: RecordType, batches: list[list[Any]]) -> dict[str, Callable[[], object]]:
    texts = [ENCODER.encode(batch) for batch in batches]
    singles = [lines(batch) for batch in batches]
    keys = [[kind.key_of(record) for record in batch] for batch in batches]
    return {
        "encode": lambda: [ENCODER.encode(batch) for batch in batches],
        "Structs: look at the fields that are numbers": lambda: [kind.are_finite(batch) for batch in batches],
        "mappings: look for null in the text": lambda: [b"null" in text for text in texts],
        "mappings with Decimals: see that the text is JSON": lambda: [ANY.decode(text) for text in texts],
        "Structs: take the keys": lambda: [kind.keys_of(batch, kind.cls) for batch in batches],
        "bytes: check each text and take its key": lambda: [kind.keys_of(batch, bytes) for batch in singles],
        "bytes: see that the text is UTF-8": lambda: [text.decode() for text in texts],
        "the gate for equal keys": lambda: asyncio.run(_pass_the_gate(keys)),
    }


def measure(*, quick: bool = False) -> list[Row]:
    """A row for each step."""
    rows: list[Row] = []
    for items, cls, attribute, make, at_once in KINDS:
        made = list(make(BATCHES * at_once))
        batches = [made[start : start + at_once] for start in range(0, len(made), at_once)]
        taken = in_turns(_steps(RecordType(cls, attribute), batches), 3 if quick else ROUNDS)
        unit = 1e6 / len(made)
        encode = taken.pop("encode")
        rows += [ratio(f"{items}, {step}, beside encoding", each * unit, encode * unit, "us a record") for step, each in taken.items()]
    return rows


if __name__ == "__main__":
    show(measure())
