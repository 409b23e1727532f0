"""What does compression cost and save? The same bulk run with compressed bodies beside one without: processor time, and bytes on the wire.

The records are alike, as invoices of one sender are, but made by a rule: real ones are less alike, and become less small. So each is sent
with a random part too, `with noise`: between the two lies what is real. zstd is only measured where it is there.
"""

import asyncio
import random
from collections.abc import Callable
from functools import partial

from amili_arm_async import ArmClient, BulkOptions
from amili_arm_async.compression import Compression, has_zstd

from .measure import Row, in_turns, ratio
from .records import customer, document, lines
from .sink import sink
from .table import show

CUSTOMERS = 50_000
DOCUMENTS = 20_000
ROUNDS = 7
NOISE = 100
"""Random bytes in a record `with noise`: as hexadecimal digits they are twice as many, and can be halved at the most."""


async def send(address: str, items: str, records: list[bytes], compression: Compression | None) -> int:
    """One bulk run; gives the bytes that it sent."""
    options = BulkOptions(results="accepted", compression=compression)
    async with ArmClient(2218, auth="token", base_url=address, user_id="benchmark") as arm:
        report = await getattr(arm, items).create_many(records, options=options)
    report.raise_for_failures()
    return report.totals.bytes_sent


def _noisy(texts: list[bytes]) -> list[bytes]:
    """The records with a field of random digits, always the same ones."""
    chance = random.Random(1)
    return [b'{"x":"%b",%b' % (chance.randbytes(NOISE).hex().encode(), text[1:]) for text in texts]


def _questions(address: str, items: str, kind: str, records: list[bytes], rounds: int) -> list[Row]:
    encodings: list[Compression | None] = [None, "gzip", "zstd"] if has_zstd() else [None, "gzip"]

    def run(encoding: Compression | None) -> Callable[[], int]:
        return lambda: asyncio.run(send(address, items, records, encoding))

    taken = in_turns({str(encoding): run(encoding) for encoding in encodings}, rounds)
    sent = {str(encoding): run(encoding)() for encoding in encodings}
    unit = 1e6 / len(records)
    rows: list[Row] = []
    for encoding in encodings[1:]:
        question = partial("{0}, {1}: {2} beside none, {3}".format, items, kind, encoding)
        rows.append(ratio(question("processor time"), taken[str(encoding)] * unit, taken["None"] * unit, "us a record"))
        rows.append(ratio(question("on the wire"), sent[str(encoding)] / len(records), sent["None"] / len(records), "B a record"))
    return rows


def measure(*, quick: bool = False) -> list[Row]:
    """Rows for each kind of record, and each way to compress."""
    rows: list[Row] = []
    with sink() as address:
        for items, one, count in (("customers", customer, CUSTOMERS), ("documents", document, DOCUMENTS)):
            texts = lines([one(number) for number in range(count // 4 if quick else count)])
            for kind, records in (("as they are", texts), ("with noise", _noisy(texts))):
                rows += _questions(address, items, kind, records, 2 if quick else ROUNDS)
    return rows


if __name__ == "__main__":
    show(measure())
