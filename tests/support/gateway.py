"""An API behind a gateway of which a test says what it does not let through, with a clock of its own. On this machine."""

from __future__ import annotations

import contextlib
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

from aiohttp import web

from amili_arm_async import ArmClient, clock

from .sandbox_runs import QUICK

__all__ = ["Gateway", "serving"]


@dataclass
class Gateway:
    """What it does, and what it saw.

    Attributes:
        hides: whether the look-up of a number, as it stands in the address, is answered 404 by the gateway, whatever is behind it.
        page: the body of that 404, and its content type.
        fates: of the batches in their order: `ok`, `lost` (nothing was taken, and no answer) or `taken` (all was, and no answer).
        date: gives the `Date` of an answer as Unix time, or None for none.
        taken: how often each document was taken.
        asked: the look-ups, as they stand in the address.
        documents: what is there, by number.
        on: called with what just happened: `batch read`, `batch taken`, or `looked up`, before that is answered.
    """

    hides: Callable[[str], bool] = lambda _: False
    page: tuple[bytes, str] = (b'{"message": "no such document"}', "application/json")
    fates: list[str] = field(default_factory=list)
    date: Callable[[], float | None] = clock.unix_time
    taken: Counter[str] = field(default_factory=Counter)
    asked: list[str] = field(default_factory=list)
    documents: dict[str, dict[str, Any]] = field(default_factory=dict)
    on: Callable[[str], None] = lambda _: None
    batches: int = 0
    base_url: str = ""

    @property
    def doubles(self) -> dict[str, int]:
        """The documents that were taken more than once."""
        return {number: times for number, times in self.taken.items() if times > 1}

    def client(self) -> ArmClient:
        """A client of it."""
        return ArmClient(2218, auth="token", base_url=self.base_url, retry=QUICK)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answers any request."""
        response = await self._answer(request)
        seconds = self.date()
        # The server writes its own, unless there is one.
        response.headers["Date"] = formatdate(seconds, usegmt=True) if seconds is not None else ""
        return response

    async def _answer(self, request: web.Request) -> web.Response:
        path = request.raw_path.partition("?")[0]
        if request.method == "POST":
            return await self._batch(request)
        if "/batches/" in path:
            return web.json_response({"status": "PROCESSED", "result": "OK"})
        found = re.search(r"/documents/(.*)$", path)
        if found is None:
            return web.json_response({"customers": []})
        self.asked.append(found[1])
        self.on("looked up")
        number = request.path.rpartition("/documents/")[2]
        if self.hides(found[1]) or number not in self.documents:
            hidden = self.hides(found[1])
            return web.Response(status=404, body=self.page[0] if hidden else b'{"message": "none"}', content_type=self.page[1])
        return web.json_response(self.documents[number])

    async def _batch(self, request: web.Request) -> web.Response:
        records = json.loads(await request.read())["documents"]
        fate = self.fates[self.batches] if self.batches < len(self.fates) else "ok"
        self.batches += 1
        self.on("batch read")
        if fate != "lost":
            self.taken.update(record["documentNo"] for record in records)
            self.documents.update({record["documentNo"]: record for record in records})
            self.on("batch taken")
        if fate != "ok":
            assert request.transport is not None
            request.transport.abort()
        return web.json_response({"batchUuid": f"batch-{self.batches}", "status": "PENDING"}, status=202)


@contextlib.asynccontextmanager
async def serving(gateway: Gateway) -> AsyncIterator[Gateway]:
    """Serves on a free port of this machine."""
    application = web.Application()
    application.router.add_route("*", "/{tail:.*}", gateway.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        gateway.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}/arm/v1"
        yield gateway
    finally:
        await runner.cleanup()
