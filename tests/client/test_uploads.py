"""Files on their way, over real sockets: in pieces, once, and never whole in memory."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from amili_arm_async import ArmClient, ConfigurationError, FileContent, OutcomeUnknownError, RecordError
from amili_arm_async.uploads import body_of, pieces

MB = 1_000_000


@dataclass
class Receiver:
    """Takes uploads; the bodies are kept, or only counted."""

    keeps: bool = True
    bodies: list[bytes] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    tries: int = 0
    address: str = ""

    async def take(self, request: web.Request) -> web.Response:
        self.tries += 1
        self.begun.set()
        await self.go_on.wait()
        parts, size = [], 0
        async for part in request.content.iter_chunked(65_536):
            size += len(part)
            if self.keeps:
                parts.append(part)
        assert request.content_length == size
        self.sizes.append(size)
        self.bodies.append(b"".join(parts))
        return web.json_response({"files": [{"status": 200}]})


@asynccontextmanager
async def receiver(*, keeps: bool = True, waits: bool = False) -> AsyncIterator[tuple[Receiver, ArmClient]]:
    made = Receiver(keeps)
    if not waits:
        made.go_on.set()
    application = web.Application(client_max_size=0)
    application.router.add_post("/arm/clients/2218/files", made.take)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.address = f"http://127.0.0.1:{site.port}/arm"
    try:
        async with ArmClient(2218, auth="t", base_url=made.address) as arm:
            yield made, arm
    finally:
        made.go_on.set()
        await runner.cleanup()


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large.bin"
    path.write_bytes(bytes(range(256)) * 4096 * 20)
    return path


@pytest.mark.parametrize("size", [0, 1, 2, 3, 196_607, 196_608, 196_609, 1_000_001])
async def test_a_file_arrives_as_it_is(size, tmp_path) -> None:
    content = bytes(number % 251 for number in range(size))
    path = tmp_path / "æøå.bin"
    path.write_bytes(content)
    async with receiver() as (server, arm):
        reply = await arm.files.upload({"files": [{"n": 'a"b', "c": FileContent(path)}, {"n": "b", "c": FileContent(content)}]})
        assert [dict(one) for one in reply.files] == [{"status": 200}]
        sent = json.loads(server.bodies[0])
    assert [(one["n"], base64.b64decode(one["c"]) == content) for one in sent["files"]] == [('a"b', True), ("b", True)]


async def test_a_large_file_is_never_whole_in_memory(large) -> None:
    async with receiver(keeps=False) as (server, arm):
        await arm.files.upload({"c": FileContent(b"warm")})
        tracemalloc.start()
        try:
            await arm.files.upload({"c": FileContent(large)})
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert server.sizes[-1] > 25 * MB
    assert peak < 5 * MB


async def test_two_uploads_at_once(large) -> None:
    async with receiver(keeps=False) as (server, arm):
        await asyncio.gather(*(arm.files.upload({"c": FileContent(large)}) for _ in range(3)))
        assert len(set(server.sizes)) == 1
        assert server.tries == 3


async def test_a_file_that_is_not_there_is_refused_before_anything_is_sent(tmp_path) -> None:
    async with receiver() as (server, arm):
        with pytest.raises(RecordError, match="can't be read: No such file"):
            await arm.files.upload({"c": FileContent(tmp_path / "none")})
        with pytest.raises(RecordError, match="can't be read: Is a directory"):
            await arm.files.upload({"c": FileContent(str(tmp_path))})
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(RecordError, match="can't be read: Not a regular file"):
            await arm.files.upload({"c": FileContent(tmp_path / "pipe")})
        assert server.tries == 0


@pytest.mark.parametrize("change", ["shorter", "longer", "gone"])
async def test_a_file_that_changes_on_its_way_is_no_success(change, large) -> None:
    async with receiver(waits=True) as (server, arm):
        # It is opened anew when its turn comes: behind a content that waits until the server reads.
        upload = asyncio.create_task(arm.files.upload({"a": FileContent(b"x" * 20 * MB), "c": FileContent(large)}))
        await server.begun.wait()
        if change == "gone":
            large.unlink()
        else:
            large.write_bytes(b"x" * (10 if change == "shorter" else 40 * MB))
        server.go_on.set()
        with pytest.raises(OutcomeUnknownError):
            await upload
        assert (server.tries, server.sizes) == (1, [])


async def test_an_upload_that_is_cancelled_is_not_sent_again(large) -> None:
    async with receiver(waits=True) as (server, arm):
        upload = asyncio.create_task(arm.files.upload({"c": FileContent(large)}))
        await server.begun.wait()
        upload.cancel()
        with pytest.raises(asyncio.CancelledError):
            await upload
        assert server.tries == 1


@pytest.mark.parametrize("source", [None, 7, ["a"], bytearray(b"x")])
def test_a_content_is_a_path_or_bytes(source) -> None:
    with pytest.raises(ConfigurationError, match="path or bytes"):
        FileContent(source)


def test_a_content_shows_nothing_of_itself() -> None:
    assert repr(FileContent("/home/owe/passport.pdf")) == "FileContent(...)"


async def test_the_length_that_is_announced_is_the_length_that_is_sent() -> None:
    body = body_of({"a": [FileContent(b"x" * size) for size in range(7)], "é": {"b": FileContent(b"y" * 400_000)}}, "it")
    sent = [bytes(part) async for part in pieces(body)]
    assert sum(map(len, sent)) == sum(map(len, body))
    assert json.loads(b"".join(sent))["é"]["b"] == base64.b64encode(b"y" * 400_000).decode()


def test_a_body_that_holds_itself_is_refused() -> None:
    body: dict[str, object] = {}
    body["a"] = body
    with pytest.raises(RecordError, match="nested too deep"):
        body_of(body, "it")
