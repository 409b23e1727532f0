"""Starting, closing, and what is left behind: nothing."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import aiohttp
import pytest

from amili_arm_async.sandbox import Fault, Sandbox


async def test_closing_lets_go_of_requests_that_hang(session: aiohttp.ClientSession) -> None:
    before = asyncio.all_tasks()
    async with Sandbox() as sandbox:
        sandbox.inject(Fault.hang_before(), path="customers")
        sandbox.inject(Fault.hang_after(), path="documents")
        sandbox.inject(Fault.latency(3600.0), path="batches")
        headers = {"Authorization": f"Bearer {sandbox.token}"}
        requests = [
            asyncio.create_task(_ask(session, f"{sandbox.base_url}/clients/1/{path}", headers))
            for path in ("customers", "documents", "batches/x")
        ]
        async with asyncio.timeout(50):
            while sandbox.in_flight < 3:
                await asyncio.sleep(0)
        assert sandbox.peak_in_flight == 3
        async with asyncio.timeout(8):  # far below the minute of aiohttp's own patience
            await sandbox.close()
    results = await asyncio.gather(*requests)
    assert results[:2] == [None, None]
    await session.close()
    while asyncio.all_tasks() - before:
        await asyncio.wait(asyncio.all_tasks() - before, timeout=10)
    assert asyncio.all_tasks() == before


async def _ask(session: aiohttp.ClientSession, url: str, headers: dict[str, str]) -> int | None:
    try:
        async with session.get(url, headers=headers) as response:
            return response.status
    except aiohttp.ClientError:
        return None


async def test_closing_leaves_batches_unprocessed_and_starting_again_is_empty() -> None:
    sandbox = Sandbox()
    await sandbox.start()
    sandbox.customers.seed([{"customerNo": "1", "name": "A"}])
    with pytest.raises(RuntimeError, match="running already"):
        await sandbox.start()
    await sandbox.close()
    await sandbox.close()
    with pytest.raises(RuntimeError, match="not running"):
        len(sandbox.customers)
    with pytest.raises(RuntimeError, match="not running"):
        sandbox.base_url  # noqa: B018
    async with sandbox:
        assert len(sandbox.customers) == 0


async def test_a_port_that_is_taken_leaves_nothing_behind(sandbox: Sandbox) -> None:
    port = int(sandbox.base_url.split(":")[2].split("/")[0])
    second = Sandbox(port=port)
    with pytest.raises(OSError, match="in use"):
        await second.start()
    with pytest.raises(RuntimeError, match="not running"):
        second.base_url  # noqa: B018


async def test_a_client_that_vanishes_in_the_middle_of_its_body(sandbox: Sandbox, call: Any) -> None:
    port = int(sandbox.base_url.split(":")[2].split("/")[0])
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    head = (
        f"POST /arm/v1/clients/2218/customers HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {sandbox.token}\r\nContent-Length: 1000\r\n\r\n"
    )
    writer.write(head.encode() + b'{"customerNo":"1",')
    await writer.drain()
    async with asyncio.timeout(50):
        while sandbox.in_flight == 0:
            await asyncio.sleep(0)
    writer.close()
    async with asyncio.timeout(50):
        while sandbox.in_flight:
            await asyncio.sleep(0)
    assert sandbox.customers.delivered("1") == 0
    assert (await call("POST", "customers", call.customer("1")))[0] == 200


@pytest.mark.parametrize(
    "wrong", [{"token_lifetime": 0.0}, {"max_body_bytes": 0}, {"max_batch_records": 0}, {"list_cap": 0}, {"content_encodings": ["br"]}]
)
def test_options_that_cannot_work_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Sandbox(**wrong)


async def test_the_view_walks_every_record_in_order(sandbox: Sandbox, call: Any) -> None:
    await call("POST", "customers/batches", {"customers": [call.customer(f"{number:04d}") for number in range(2500)]})
    await call("POST", "customers", call.customer("0007"))
    walked = list(sandbox.customers)
    assert [record.key for record in walked] == [f"{number:04d}" for number in range(2500)]
    assert (walked[7].delivered, walked[7].taken, walked[7].stored) == (2, 2, 1)
    assert [record.key for record in sandbox.customers.doubles()] == ["0007"]
    assert (sandbox.customers.total_delivered, sandbox.customers.total_taken) == (2501, 2501)


def test_a_seed_that_breaks_the_rules_is_refused(arm_sandbox: Sandbox) -> None:
    with pytest.raises(ValueError, match="record 1 of the seed: name is missing"):
        arm_sandbox.customers.seed([{"customerNo": "1", "name": "A"}, {"customerNo": "2"}])


async def test_the_fixture_is_a_started_sandbox(arm_sandbox: Sandbox, session: aiohttp.ClientSession) -> None:
    headers = {"Authorization": f"Bearer {arm_sandbox.token}"}
    async with session.get(f"{arm_sandbox.base_url}/clients/2218/customers", headers=headers) as response:
        assert response.status == 200


def _python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_loading_the_plugin_does_not_load_the_server() -> None:
    code = (
        "import sys, amili_arm_async.sandbox.pytest_plugin\n"
        "print('aiohttp.web' in sys.modules, 'amili_arm_async.sandbox.server' in sys.modules)"
    )
    assert _python(code).split()[1] == "False"


def test_the_public_names_are_all_there() -> None:
    import amili_arm_async.sandbox as package

    assert list(package.__all__) == sorted(package.__all__)
    assert all(getattr(package, name) for name in package.__all__)
    assert set(package.__all__) <= set(dir(package))
    with pytest.raises(AttributeError):
        package.nothing  # noqa: B018
