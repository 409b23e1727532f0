"""What does a sync cost that sends one customer in a hundred? Processor time of the whole run on top of encoding all records once; and how
many bytes of the state a customer takes, with numbers of 6 to 20 digits, sent for the first time in order and shuffled.

The figures are net of making the records. The state is in the page cache, and nothing else runs beside it.
"""

import asyncio
import os
import random
import tempfile
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import msgspec

from amili_arm_async import ArmClient, BulkOptions, Customer
from amili_arm_async.sync.state import StateRow as Kept
from amili_arm_async.sync.state import SyncState, name_of

from .measure import Row, in_turns
from .records import customer, lines
from .sink import sink
from .table import show

CUSTOMERS = 200_000
KEPT = 3_000_000
ROUNDS = 5
MOST_TIME = 6.0
MOST_BYTES = 100


def _night(address: str, records: list[Any], state: Path) -> None:
    async def send() -> None:
        options = BulkOptions(poll_first=0.05, poll_max=0.05)
        async with ArmClient(2218, auth="token", base_url=address, user_id="benchmark") as arm:
            (await arm.customers.sync(records, state=state, options=options)).raise_for_failures()

    asyncio.run(send())


def _time(address: str, kind: str, nights: tuple[list[Any], list[Any]], rounds: int) -> Row:
    encoder = msgspec.json.Encoder(decimal_format="number")
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder, "customers.sqlite")
        _night(address, nights[0], state)
        coming = cycle((nights[1], nights[0]))
        taken = in_turns(
            {"sync": lambda: _night(address, next(coming), state), "encoding": lambda: encoder.encode(nights[0])},
            rounds,
        )
    unit = 1e6 / len(nights[0])
    ours, beside = taken["sync"] * unit, taken["encoding"] * unit
    text = f"sync of {len(nights[0]):,} customers, {kind}, 1 % changed, beside encoding all"
    return Row(text, ours, beside, "us a record", f"+{ours - beside:.2f}", ours - beside, MOST_TIME)


def _numbers(count: int, *, shuffled: bool) -> Iterator[str]:
    """Customer numbers of 6 to 20 digits, each once."""
    rng = random.Random(1)
    places = list(range(count))
    if shuffled:
        rng.shuffle(places)
    for place in places:
        text = f"{place:07}"
        yield text[1:] if place < 1_000_000 and place % 15 == 0 else text.ljust(7 + place % 14, "5")


def _size(count: int, *, shuffled: bool) -> Row:
    async def fill(path: Path) -> None:
        state = SyncState(path, "https://localhost/", 2218)
        await state.open()
        rows: list[Kept] = []
        for key in _numbers(count, shuffled=shuffled):
            rows.append(Kept(key, name_of(key), os.urandom(12)))
            if len(rows) == 1000:
                # As a sync does it: it looks up before it sends.
                await state.find([row.name for row in rows])
                state.save(rows, ())
                rows = []
        state.save(rows, ())
        await state.close()

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "customers.sqlite")
        asyncio.run(fill(path))
        size = sum(file.stat().st_size for file in Path(folder).iterdir()) / count
    order = "shuffled" if shuffled else "in order"
    return Row(f"state of {count:,} customers, {order}, beside its aim", size, MOST_BYTES, "B", f"{size:.0f} B", size, MOST_BYTES)


def measure(*, quick: bool = False) -> list[Row]:
    """A row for each kind of record, and for each order."""
    rounds, count, kept = (2, CUSTOMERS // 10, KEPT // 30) if quick else (ROUNDS, CUSTOMERS, KEPT)
    mappings = [customer(number) for number in range(count)]
    others = [{**one, "name": "Another"} if number % 100 == 0 else one for number, one in enumerate(mappings)]
    kinds: dict[str, tuple[list[Any], list[Any]]] = {
        "Structs": (msgspec.convert(mappings, list[Customer]), msgspec.convert(others, list[Customer])),
        "mappings": (mappings, others),
        "ready bytes": (lines(mappings), lines(others)),
    }
    with sink() as address:
        rows = [_time(address, kind, nights, rounds) for kind, nights in kinds.items()]
    return [*rows, *[_size(kept, shuffled=shuffled) for shuffled in (False, True)]]


if __name__ == "__main__":
    show(measure())
