"""A sandbox is asked from any thread, serves from one of its own, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import trustme

from amili_arm_async import ArmError, OutcomeUnknownError, Timeout
from amili_arm_async.sandbox import Fault, Sandbox

from ..docs.pages import ROOT


def sockets() -> set[str]:
    return {os.readlink(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{number}")}


async def look_up(sandbox: Sandbox, number: str = "1", **settings: Any) -> Any:
    async with sandbox.client(**settings) as arm:
        return (await arm.customers.get(number)).name


def test_its_repr_says_where_it_is() -> None:
    with Sandbox() as sandbox:
        assert repr(sandbox) == f"<Sandbox at {sandbox.base_url}>"
    assert repr(sandbox) == "<Sandbox, not running>"


def test_a_thread_of_its_own_ends_with_its_block() -> None:
    threads, open_before = threading.enumerate(), sockets()
    for failure in (None, RuntimeError("the test fails")):
        try:
            with Sandbox() as sandbox:
                sandbox.customers.seed([{"customerNo": "1", "name": "Kari"}])
                assert asyncio.run(look_up(sandbox)) == "Kari"
                sandbox.inject(Fault.hang_before(), times=None)
                waiting = socket.create_connection(("127.0.0.1", int(sandbox.origin.rpartition(":")[2])))
                if failure is not None:
                    raise failure
        except RuntimeError as error:
            assert error is failure  # noqa: PT017
        waiting.close()
        with pytest.raises(RuntimeError, match="not running"):
            sandbox.base_url  # noqa: B018
    assert threading.enumerate() == threads
    assert sockets() == open_before


def test_many_threads_ask_while_clients_send() -> None:
    def prepare(place: int) -> int:
        numbers = range(place * 100, place * 100 + 100)
        sandbox.customers.seed({"customerNo": str(number), "name": "Kari"} for number in numbers)
        for number in numbers:
            sandbox.reject_record(str(number + 100_000))
            sandbox.inject(Fault.latency(0.0), path=f"customers/{number}")
        return sum(len(sandbox.recent) >= 0 and str(number) in sandbox.customers for number in numbers)

    async def ask(place: int) -> int:
        async with sandbox.client() as arm:
            return len([await arm.customers.list(page_size=5).first() for _ in range(20)])

    with Sandbox() as sandbox, ThreadPoolExecutor(8) as threads:
        found = threads.map(prepare, range(8))
        asked = threads.map(lambda place: asyncio.run(ask(place)), range(4))
        assert list(found) == [100] * 8
        assert list(asked) == [20] * 4
        assert len(sandbox.customers) == 800
        assert sandbox.requests["GET /clients/{clientno}/customers"] == 80
        assert len({record.key for record in sandbox.customers}) == 0  # nothing was delivered


async def test_another_thread_asks_a_sandbox_of_this_loop(sandbox: Sandbox) -> None:
    def ask() -> tuple[int, str | None]:
        sandbox.customers.seed([{"customerNo": "1", "name": "Kari"}])
        sandbox.process_now()
        return len(sandbox.customers), asyncio.run(look_up(sandbox))

    assert await asyncio.to_thread(ask) == (1, "Kari")


async def test_a_loop_awaits_what_another_thread_does() -> None:
    with Sandbox() as sandbox:
        sandbox.hold_processing()
        async with sandbox.client() as arm:
            await arm.customers.create_batch([{"customerNo": "1", "name": "Kari"}])
        settled = asyncio.ensure_future(sandbox.settled())
        await asyncio.sleep(0)
        assert not settled.done()
        sandbox.release_processing()
        await settled
        assert sandbox.customers.stored("1") == 1
        with pytest.raises(RuntimeError, match="end of its `with` block"):
            await sandbox.close()


def test_a_reset_keeps_the_address_and_nothing_else() -> None:
    with Sandbox(seed=1) as sandbox:
        address, token = sandbox.base_url, sandbox.token
        sandbox.customers.seed([{"customerNo": "1", "name": "Kari"}])
        sandbox.inject(Fault.status(500), times=None)
        sandbox.process_delay = 9.0
        early = socket.create_connection(("127.0.0.1", int(sandbox.origin.rpartition(":")[2])))
        sandbox.reset()
        assert early.recv(1) == b""
        early.close()
        assert (sandbox.base_url, len(sandbox.customers), sandbox.process_delay) == (address, 0, 0.05)
        assert sandbox.token != token
        sandbox.customers.seed([{"customerNo": "1", "name": "Kari"}])
        assert asyncio.run(look_up(sandbox)) == "Kari"
        with pytest.raises(ArmError):
            asyncio.run(look_up(sandbox, auth=token))


def test_the_command_line_finds_the_sandbox_by_its_environment() -> None:
    with Sandbox() as sandbox:
        sandbox.customers.seed([{"customerNo": "1", "name": "Kari"}])
        command = [sys.executable, "-m", "amili_arm_async.cli", "pull", "customers"]
        environment = {**os.environ, **sandbox.environ, "PYTHONPATH": str(ROOT)}
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert '"name":"Kari"' in ran.stdout, ran.stderr


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_tls(loop: str) -> None:
    module = pytest.importorskip(loop)
    authority = trustme.CA()
    server, client = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(client)

    async def ask() -> None:
        async with Sandbox(ssl_context=server, process_delay=0.0) as sandbox, sandbox.client(ssl=client, timeout=Timeout(read=1)) as arm:
            sandbox.customers.seed([{"customerNo": "1", "name": "Kari"}])
            assert (await arm.customers.get("1")).name == "Kari"
            for number, fault in enumerate((Fault.reset_after(), Fault.cut(), Fault.hang_after())):
                sandbox.inject(fault, operation="documents.create")
                with pytest.raises(OutcomeUnknownError):
                    await arm.documents.create({"documentNo": str(number), "documentType": "IN", "customerNo": "1"})
                assert sandbox.documents.taken(str(number)) == 1
            assert sandbox.connections > 3
            async with sandbox.client() as stranger:
                with pytest.raises(ArmError, match="not trusted"):
                    await stranger.customers.get("1")

    module.run(ask())
