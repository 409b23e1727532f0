"""The bad server, a client on it, and the check that a test leaves no task and no socket behind."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncIterator

import pytest_asyncio

from amili_arm_async import ArmClient

from .faulty_api import FaultyServer
from .faulty_runs import make_client


def sockets() -> int:
    """Sockets that this process has open."""
    count = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            count += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
        except OSError:
            continue
    return count


@pytest_asyncio.fixture
async def nothing_left() -> AsyncIterator[None]:
    """Fails a test that leaves a task or a socket."""
    before = sockets() if os.path.isdir("/proc/self/fd") else 0
    yield
    # One turn of the loop: what was cancelled or closed last ends in it.
    for _ in range(3):
        await asyncio.sleep(0)
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    gc.collect()
    assert not tasks
    if os.path.isdir("/proc/self/fd"):
        assert sockets() <= before


@pytest_asyncio.fixture
async def server(nothing_left: None) -> AsyncIterator[FaultyServer]:
    """A server that does what the test says, and takes everything until then."""
    async with FaultyServer() as running:
        yield running


@pytest_asyncio.fixture
async def arm(server: FaultyServer) -> AsyncIterator[ArmClient]:
    """A quick client on it."""
    async with make_client(server) as client:
        yield client
    server.release()
    await server.all_closed()
