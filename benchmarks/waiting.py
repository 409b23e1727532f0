"""What does it cost to wait for the results? The same bulk run with `results="wait"` beside one with `"accepted"`, where the result of each
batch has an entry for each record, so that every record is judged by what is said of itself.
"""

import asyncio
from typing import Any, Literal

from amili_arm_async import ArmClient, BulkOptions

from .bulk_send import CUSTOMERS, DOCUMENTS
from .measure import ROUNDS, Row, in_turns, ratio
from .records import customers, documents
from .sink import sink
from .table import show


async def _send(address: str, items: str, records: list[Any], results: Literal["wait", "accepted"]) -> None:
    # Batches of 1000 records each, whatever their size: that many entries a result of the sink has.
    options = BulkOptions(results=results, max_records=1000, max_bytes=4_000_000, concurrency=8, poll_first=0.05, poll_max=0.05)
    async with ArmClient(2218, auth="token", base_url=address, user_id="benchmark") as arm:
        report = await getattr(arm, items).create_many(records, options=options)
    assert report.counts["succeeded" if results == "wait" else "accepted"] == len(records)


def measure(*, quick: bool = False) -> list[Row]:
    """A row for customers, and one for documents."""
    rows: list[Row] = []
    with sink(entries=True) as address:
        for items, structs, all_of_them in (("customers", customers, CUSTOMERS), ("documents", documents, DOCUMENTS)):
            count = all_of_them // 4 if quick else all_of_them
            records: list[Any] = list(structs(count))
            taken = in_turns(
                {
                    "wait": lambda: asyncio.run(_send(address, items, records, "wait")),  # noqa: B023 - run at once
                    "accepted": lambda: asyncio.run(_send(address, items, records, "accepted")),  # noqa: B023
                },
                3 if quick else ROUNDS,
            )
            unit = 1e6 / count
            question = f"{items}, an entry for each in the result: waited for, beside accepted"
            rows.append(ratio(question, taken["wait"] * unit, taken["accepted"] * unit, "us a record", 1.5))
    return rows


if __name__ == "__main__":
    show(measure())
