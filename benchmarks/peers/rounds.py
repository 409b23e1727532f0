"""What all peers do alike: read the records, send when told to, say how much processor time it took. Needs nothing but Python."""

import asyncio
import gc
import json
import pickle
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

CLIENT_NO = 2218
USER_ID = "benchmark"
TOKEN = "token"
RECORDS = 1000
"""Records in a batch."""
CONCURRENCY = 8
"""Batches at once."""


def serve(
    packages: Sequence[str],
    model: Callable[[dict[str, Any]], Any],
    send: Callable[[str, list[Any]], Coroutine[Any, Any, None]],
) -> None:
    """Speaks with `benchmarks.beside_others` through standard input and output, until the input ends."""
    # A pickle, since it keeps texts that records share as one object, as they are where the library is measured alone.
    made = [model(record) for record in pickle.loads(Path(sys.argv[1]).read_bytes())]
    # As in `measure.in_turns`: the garbage collector need not look at what was made before the clock.
    gc.collect()
    gc.freeze()
    print(json.dumps({name: version(name) for name in packages}), flush=True)
    for line in sys.stdin:
        gc.collect()
        begin = time.process_time()
        asyncio.run(send(line.strip(), made))
        print(json.dumps(time.process_time() - begin), flush=True)


async def bounded(post: Callable[[list[Any]], Awaitable[None]], made: list[Any]) -> None:
    """Gathers `post` over all batches, a window at a time, with a semaphore: so that no more than a window is ever in memory."""
    semaphore = asyncio.Semaphore(CONCURRENCY)

    async def one(start: int) -> None:
        async with semaphore:
            await post(made[start : start + RECORDS])

    window = 2 * CONCURRENCY * RECORDS
    for first in range(0, len(made), window):
        await asyncio.gather(*[one(start) for start in range(first, min(first + window, len(made)), RECORDS)])
