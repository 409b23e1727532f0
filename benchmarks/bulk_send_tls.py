"""How much more processor time does a bulk run take over TLS than the best loops by hand: one that writes each body in pieces of 256 kB,
and one that hands aiohttp one `bytes`, as everybody does at first?
"""

import asyncio

from .bulk_send import KINDS, with_library
from .by_hand import Pieces, by_hand
from .measure import ROUNDS, Row, in_turns, ratio
from .sink import serve
from .table import show


def measure(*, quick: bool = False) -> list[Row]:
    """Two rows for each kind of record."""
    rows: list[Row] = []
    with serve(tls=True) as served:
        for items, _, structs, all_of_them, at_once in KINDS:
            count = all_of_them // 4 if quick else all_of_them
            to = served.address, items, list(structs(count)), at_once
            taken = in_turns(
                {
                    "library": lambda: asyncio.run(with_library(*to, trust=served.trust)),  # noqa: B023 - run at once
                    "pieces": lambda: asyncio.run(by_hand(*to, trust=served.trust, payload=Pieces)),  # noqa: B023
                    "bytes": lambda: asyncio.run(by_hand(*to, trust=served.trust)),  # noqa: B023
                },
                3 if quick else ROUNDS,
            )
            unit = 1e6 / count
            for other, text, budget in (("pieces", "writes in pieces", 1.15), ("bytes", "hands over one bytes", 1.0)):
                question = f"send {items} over TLS, beside a loop that {text}"
                rows.append(ratio(question, taken["library"] * unit, taken[other] * unit, "us a record", budget))
    return rows


if __name__ == "__main__":
    show(measure())
