"""How much more processor time does a bulk run take than the best loop by hand, which keeps nothing and checks nothing?

The loop: aiohttp and msgspec; 8 workers that pull the next records, encode them all at once, keep only the bytes, and post them. For
ready bytes it checks the syntax of each line and takes its key on the way. All records are made before the clock starts.
"""

import asyncio
from collections.abc import Callable, Iterable
from functools import partial
from itertools import islice
from typing import Any

import aiohttp
import msgspec

from amili_arm_async import ArmClient, BulkOptions

from .measure import Row, in_turns, ratio, show
from .records import customer, customers, document, documents, lines
from .sink import sink

CUSTOMERS = 50_000
DOCUMENTS = 20_000
CONCURRENCY = 8

ENCODER = msgspec.json.Encoder(decimal_format="number")
HEADERS = {"Authorization": "Bearer token", "Content-Type": "application/json"}


# --- by hand ----------------------------------------------------------------------------------------------------------


def _encode(items: str, records: list[Any]) -> bytes:
    return ENCODER.encode({"metadata": {"userId": "benchmark"}, items: records})


class _Named(msgspec.Struct):
    customerNo: str | None = None  # noqa: N815 - the name on the wire
    documentNo: str | None = None  # noqa: N815


_NAMED = msgspec.json.Decoder(_Named)


def _join(items: str, texts: list[bytes]) -> bytes:
    keys = [_NAMED.decode(text) for text in texts]
    assert len(keys) == len(texts)
    return b'{"metadata":{"userId":"benchmark"},"%b":[%b]}' % (items.encode(), b",".join(texts))


async def by_hand(address: str, items: str, records: Iterable[Any], at_once: int) -> None:
    """The loop that a good programmer writes when nothing may go wrong."""
    url = f"{address}/clients/2218/{items}/batch"
    encode = partial(_join if isinstance(next(iter(records)), bytes) else _encode, items)
    source = iter(records)

    async def work(session: aiohttp.ClientSession) -> None:
        while batch := list(islice(source, at_once)):
            body = encode(batch)
            del batch
            async with session.post(url, data=body, headers=HEADERS) as answer:
                answer.raise_for_status()
                await answer.read()

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*[work(session) for _ in range(CONCURRENCY)])


# --- with the library -------------------------------------------------------------------------------------------------


async def with_library(address: str, items: str, records: Iterable[Any], at_once: int) -> None:
    """The same through `create_many`."""
    options = BulkOptions(max_records=at_once, concurrency=CONCURRENCY, results="accepted")
    async with ArmClient(2218, auth="token", base_url=address, user_id="benchmark") as arm:
        report = await getattr(arm, items).create_many(records, options=options)
    report.raise_for_failures()


def _question(address: str, text: str, items: str, records: list[Any], at_once: int) -> Row:
    def run(send: Callable[..., Any]) -> Callable[[], None]:
        return lambda: asyncio.run(send(address, items, records, at_once))

    taken = in_turns({"library": run(with_library), "by hand": run(by_hand)})
    unit = 1e6 / len(records)
    return ratio(text, taken["library"] * unit, taken["by hand"] * unit, "us a record")


def measure() -> list[Row]:
    """A row for each kind of record."""
    rows: list[Row] = []
    with sink() as address:
        for items, one, structs, count, at_once in (
            ("customers", customer, customers, CUSTOMERS, 1000),
            ("documents", document, documents, DOCUMENTS, 500),
        ):
            mappings = [one(number) for number in range(count)]
            for kind, records in (
                ("Structs", list(structs(count))),
                ("mappings", mappings),
                ("ready bytes", lines(mappings)),
            ):
                rows.append(_question(address, f"send {items}, {kind}, beside a loop by hand", items, records, at_once))
    return rows


if __name__ == "__main__":
    show(measure())
