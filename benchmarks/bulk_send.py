"""How much more processor time does a bulk run take than the best loop by hand, which keeps nothing and checks nothing?

All records are made before the clock starts. `whole_process` asks the same with records that are made on the way.
"""

import asyncio
import ssl
from collections.abc import Callable, Iterable
from typing import Any

from amili_arm_async import ArmClient, BulkOptions

from .by_hand import CONCURRENCY, by_hand
from .measure import ROUNDS, Row, in_turns, ratio
from .records import customer, customers, document, documents, lines
from .sink import sink
from .table import show

CUSTOMERS = 50_000
DOCUMENTS = 20_000
KINDS = (("customers", customer, customers, CUSTOMERS, 1000), ("documents", document, documents, DOCUMENTS, 500))
BUDGETS = {"Structs": 1.25, "mappings": 1.25, "ready bytes": 1.2}


async def with_library(address: str, items: str, records: Iterable[Any], at_once: int, *, trust: ssl.SSLContext | None = None) -> None:
    """The same as `by_hand`, through `create_many`."""
    options = BulkOptions(max_records=at_once, concurrency=CONCURRENCY, results="accepted")
    async with ArmClient(2218, auth="token", base_url=address, user_id="benchmark", ssl=trust) as arm:
        report = await getattr(arm, items).create_many(records, options=options)
    report.raise_for_failures()


def measure(*, quick: bool = False) -> list[Row]:
    """A row for each kind of record."""
    rows: list[Row] = []
    with sink() as address:
        for items, one, structs, all_of_them, at_once in KINDS:
            count = all_of_them // 4 if quick else all_of_them
            mappings = [one(number) for number in range(count)]
            made: dict[str, list[Any]] = {"Structs": list(structs(count)), "mappings": mappings, "ready bytes": lines(mappings)}
            for kind, records in made.items():
                runs: dict[str, Callable[[], None]] = {
                    "library": lambda: asyncio.run(with_library(address, items, records, at_once)),  # noqa: B023 - run at once
                    "by hand": lambda: asyncio.run(by_hand(address, items, records, at_once)),  # noqa: B023
                }
                taken = in_turns(runs, 3 if quick else ROUNDS)
                unit = 1e6 / count
                question = f"send {items}, {kind}, beside a loop by hand"
                rows.append(ratio(question, taken["library"] * unit, taken["by hand"] * unit, "us a record", BUDGETS[kind]))
    return rows


if __name__ == "__main__":
    show(measure())
