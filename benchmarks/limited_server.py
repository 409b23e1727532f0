"""A server that takes batches at a fixed rate, or so many at once, and answers 429 to what is more: `python -m benchmarks.limited_server`
prints the port it listens on, serves until its standard input ends, and then prints what it took and refused, as JSON.
"""

import argparse
import asyncio
import json
import sys
import time
from itertools import count

from aiohttp import web

from .server import ACCEPTED

_NUMBERS = count()


class Limited:
    """What the server takes.

    Args:
        rate: batches a second; a second's worth may come at once. What is more is told to come back in a second.
        at_once: batches at once; what is more is told nothing but 429.
        takes: seconds that a batch takes.
    """

    def __init__(self, rate: float | None, at_once: int | None, takes: float) -> None:
        self._rate, self._at_once, self._takes = rate, at_once, takes
        self._left, self._filled = rate or 0.0, time.monotonic()
        self._open = 0
        self.taken: list[float] = []
        self.refused = 0

    def _is_too_much(self) -> bool:
        if self._rate is not None:
            now = time.monotonic()
            self._left, self._filled = min(self._rate, self._left + (now - self._filled) * self._rate), now
            if self._left < 1:
                return True
            self._left -= 1
        return self._at_once is not None and self._open >= self._at_once

    async def post(self, request: web.Request) -> web.Response:
        """Takes a batch, or refuses it."""
        if self._is_too_much():
            await request.read()
            self.refused += 1
            return web.json_response({}, status=429, headers={"Retry-After": "1"} if self._rate is not None else {})
        self._open += 1
        try:
            await request.read()
            await asyncio.sleep(self._takes)
        finally:
            self._open -= 1
        self.taken.append(time.monotonic())
        return web.Response(status=202, text=ACCEPTED.format(f"{next(_NUMBERS):022}"), content_type="application/json")


async def _serve(limited: Limited) -> None:
    app = web.Application(client_max_size=1 << 30)
    app.router.add_post("/{path:.*}", limited.post)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    print(
        json.dumps({"taken": len(limited.taken), "seconds": limited.taken[-1] - limited.taken[0], "refused": limited.refused}), flush=True
    )


def main() -> None:
    """Serves."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, help="batches a second")
    parser.add_argument("--at-once", type=int, help="batches at once")
    parser.add_argument("--takes", type=float, default=0.05, help="seconds that a batch takes")
    given = parser.parse_args()
    asyncio.run(_serve(Limited(given.rate, given.at_once, given.takes)))


if __name__ == "__main__":
    main()
