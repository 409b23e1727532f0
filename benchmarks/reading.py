"""How much more processor time does a list of full customers take than to read its pages and to decode them by hand into the same Structs?
And how much sooner are its 17 pages there with `prefetch(8)`, when each answer takes 50 ms?
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import aiohttp
import msgspec

from amili_arm_async import ArmClient, CustomerRecord
from amili_arm_async.models.base import PageSummary

from .measure import ROUNDS, Row, in_turns, ratio
from .records import PAGE_SIZE, PAGES
from .sink import sink
from .table import show

LATENCY = 0.05


class _Page(msgspec.Struct):
    summary: PageSummary
    customers: list[CustomerRecord]


_DECODER = msgspec.json.Decoder(_Page)


async def _by_hand(address: str) -> int:
    url, headers, seen = f"{address}/clients/2218/customers", {"Authorization": "Bearer token"}, 0
    query = {"pagesize": str(PAGE_SIZE)}
    async with aiohttp.ClientSession() as session:
        while True:
            async with session.get(url, params=query, headers=headers) as answer:
                answer.raise_for_status()
                page = _DECODER.decode(await answer.read())
            for _ in page.customers:
                seen += 1
            if not page.summary.next_page:
                return seen
            query = {"query": str(page.summary.query_id), "pageno": page.summary.next_page.rpartition("=")[2]}


async def _records(address: str) -> int:
    async with ArmClient(2218, auth="token", base_url=address) as arm:
        seen = 0
        async for _ in arm.customers.list(page_size=PAGE_SIZE):
            seen += 1
        return seen


async def _pages(address: str) -> int:
    async with ArmClient(2218, auth="token", base_url=address) as arm:
        seen = 0
        async for page in arm.customers.list(page_size=PAGE_SIZE).pages():
            for _ in page.items:
                seen += 1
        return seen


async def _prefetched(address: str) -> int:
    async with ArmClient(2218, auth="token", base_url=address) as arm, arm.customers.list(page_size=PAGE_SIZE).prefetch(8) as records:
        seen = 0
        async for _ in records:
            seen += 1
        return seen


def _run(way: Callable[[str], Coroutine[Any, Any, int]], address: str) -> Callable[[], int]:
    return lambda: asyncio.run(way(address))


def measure(*, quick: bool = False) -> list[Row]:
    """Two rows for the processor, one for the wall."""
    count = PAGES * PAGE_SIZE
    rounds = 3 if quick else ROUNDS
    ways = {"records": _records, "pages": _pages, "by hand": _by_hand, "prefetched": _prefetched}
    with sink() as address:
        assert all(asyncio.run(way(address)) == count for way in ways.values())
        taken = in_turns({name: _run(way, address) for name, way in ways.items()}, rounds)
    with sink(LATENCY) as address:
        clocked = in_turns({name: _run(ways[name], address) for name in ("prefetched", "records")}, rounds, time.perf_counter)
    unit = 1e6 / count
    theirs = taken["by hand"] * unit
    text = f"read {PAGES} pages of {PAGE_SIZE:,} customers"
    return [
        ratio(f"{text}, record by record, beside read and decode by hand", taken["records"] * unit, theirs, "us a record", 1.1),
        ratio(f"{text}, page by page, beside read and decode by hand", taken["pages"] * unit, theirs, "us a record", 1.1),
        ratio(f"{text}, prefetch(8), beside read and decode by hand", taken["prefetched"] * unit, theirs, "us a record"),
        ratio(
            f"{text}, wall at {LATENCY * 1000:.0f} ms, prefetch(8) beside the plain walk",
            clocked["prefetched"],
            clocked["records"],
            "s",
            0.333,
        ),
    ]


if __name__ == "__main__":
    show(measure())
