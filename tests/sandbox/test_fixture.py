"""The fixture `arm_sandbox` in the tests of a user: with and without a loop, in each way to run tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ..docs.pages import ROOT

PLAIN = """
import asyncio, multiprocessing, os, threading, unittest

import pytest
from amili_arm_async import ArmClient, NotFoundError, RetryPolicy
from amili_arm_async.sandbox import Fault, Sandbox

ADDRESSES = set()


async def name_of(client, number):
    async with client as arm:
        return (await arm.customers.get(number)).name


@pytest.fixture
def owe(arm_sandbox, monkeypatch):
    arm_sandbox.customers.seed([{"customerNo": "1", "name": "Owe Armstrong"}])
    for name, value in arm_sandbox.environ.items():
        monkeypatch.setenv(name, value)


def test_a_loop_of_its_own(arm_sandbox, owe):
    ADDRESSES.add(arm_sandbox.base_url)
    assert asyncio.run(name_of(arm_sandbox.client(), "1")) == "Owe Armstrong"
    assert asyncio.run(name_of(ArmClient.from_env(), "1")) == "Owe Armstrong"
    assert arm_sandbox.requests["GET /clients/{clientno}/customers/{customerno}"] == 2
    arm_sandbox.inject(Fault.status(500), times=None)
    arm_sandbox.hold_processing()
    arm_sandbox.process_delay = 60


def test_nothing_of_the_test_before_is_left(arm_sandbox):
    ADDRESSES.add(arm_sandbox.base_url)
    assert len(ADDRESSES) == 1
    with pytest.raises(NotFoundError):
        asyncio.run(name_of(arm_sandbox.client(), "1"))
    assert (len(arm_sandbox.customers), arm_sandbox.process_delay, arm_sandbox.open_batches) == (0, 0.05, 0)
    assert sum(arm_sandbox.requests.values()) == len(arm_sandbox.recent) == 2


def test_a_batch_in_plain_code(arm_sandbox, owe):
    async def send():
        async with arm_sandbox.client() as arm:
            return (await arm.customers.create_batch([{"customerNo": "2", "name": "Kari"}])).batch_uuid

    arm_sandbox.hold_processing()
    asyncio.run(send())
    assert arm_sandbox.open_batches == 1
    arm_sandbox.process_now()
    arm_sandbox.settled()
    assert arm_sandbox.customers.get("2")["name"] == "Kari"


def test_fastapi(arm_sandbox, owe):
    from contextlib import asynccontextmanager
    from fastapi import FastAPI
    from fastapi.testclient import TestClient

    @asynccontextmanager
    async def lifespan(app):
        async with ArmClient.from_env(retry=RetryPolicy(attempts=1)) as app.state.arm:
            yield

    app = FastAPI(lifespan=lifespan)

    @app.get("/{number}")
    async def view(number: str):
        return (await app.state.arm.customers.get(number)).name

    with TestClient(app, raise_server_exceptions=False) as service:
        assert service.get("/1").json() == "Owe Armstrong"
        arm_sandbox.inject(Fault.status(503), operation="customers.get")
        assert service.get("/1").status_code == 500


def test_django(arm_sandbox, owe):
    import django
    from django.conf import settings
    from django.http import JsonResponse
    from django.test import AsyncClient, Client
    from django.urls import path

    async def look_up(request, number):
        return JsonResponse({"name": await name_of(ArmClient.from_env(), number)})

    def look_up_in_plain_code(request, number):
        return JsonResponse({"name": asyncio.run(name_of(ArmClient.from_env(), number))})

    class Urls:
        urlpatterns = [path("a/<number>", look_up), path("p/<number>", look_up_in_plain_code)]

    settings.configure(ROOT_URLCONF=Urls, ALLOWED_HOSTS=["*"], SECRET_KEY="x")
    django.setup()
    assert Client().get("/a/1").json() == Client().get("/p/1").json() == {"name": "Owe Armstrong"}

    async def ask():
        return (await AsyncClient().get("/a/1")).json()

    assert asyncio.run(ask()) == {"name": "Owe Armstrong"}


class TestWithUnittest(unittest.TestCase):
    def setUp(self):
        self.sandbox = self.enterContext(Sandbox(process_delay=0.0))

    def test_a_look_up(self):
        self.sandbox.customers.seed([{"customerNo": "1", "name": "Kari"}])
        self.assertEqual(asyncio.run(name_of(self.sandbox.client(), "1")), "Kari")


class TestInALoop(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        self.own_thread = self.enterContext(Sandbox())
        self.this_loop = await self.enterAsyncContext(Sandbox())

    async def test_a_look_up(self):
        for sandbox in (self.own_thread, self.this_loop):
            sandbox.customers.seed([{"customerNo": "1", "name": "Kari"}])
            self.assertEqual(await name_of(sandbox.client(), "1"), "Kari")
            await sandbox.settled()


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_process_that_forks(arm_sandbox, owe):
    def child(pipe):
        pipe.send(asyncio.run(name_of(arm_sandbox.client(), "1")))
        try:
            len(arm_sandbox.customers)
        except RuntimeError as error:
            pipe.send(str(error))

    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=child, args=(theirs,))
    process.start()
    assert ours.recv() == "Owe Armstrong"
    assert "look at it there" in ours.recv()
    process.join()
    assert process.exitcode == 0
    assert asyncio.run(name_of(arm_sandbox.client(), "1")) == "Owe Armstrong"


def test_one_that_fails(arm_sandbox, owe):
    arm_sandbox.inject(Fault.hang_before(), times=None)

    async def hang():
        async with arm_sandbox.client() as arm:
            task = asyncio.create_task(arm.customers.get("1"))
            while arm_sandbox.in_flight == 0:
                await asyncio.sleep(0)
            task.cancel()
            raise AssertionError("as expected")

    asyncio.run(hang())


def test_the_one_after_it(arm_sandbox, owe):
    assert asyncio.run(name_of(arm_sandbox.client(), "1")) == "Owe Armstrong"
"""

OPTIONS = """
import asyncio
import pytest
from amili_arm_async import ForbiddenError


@pytest.fixture
def arm_sandbox_options():
    return {"clients": [7, 9]}


def test_other_options(arm_sandbox):
    async def ask(client):
        async with client as arm:
            return [record async for record in arm.customers.list()]

    assert arm_sandbox.client_no == 7
    assert asyncio.run(ask(arm_sandbox.client())) == []
    with pytest.raises(ForbiddenError):
        asyncio.run(ask(arm_sandbox.client(8)))
"""

AWAITED = """
import pytest


async def look_up(sandbox):
    sandbox.customers.seed([{"customerNo": "1", "name": "Kari"}])
    sandbox.hold_processing()
    async with sandbox.client() as arm:
        await arm.customers.create_batch([{"customerNo": "2", "name": "Owe"}])
        await sandbox.process_now()
        await sandbox.settled()
        assert [record.name async for record in arm.customers.list()] == ["Kari", "Owe"]
"""
STRICT = (
    AWAITED
    + """
@pytest.mark.asyncio
async def test_strict(arm_sandbox):
    await look_up(arm_sandbox)


@pytest.mark.anyio
async def test_anyio(arm_sandbox):
    await look_up(arm_sandbox)


@pytest.fixture
def anyio_backend():
    return "asyncio"
"""
)
AUTO = (
    AWAITED
    + """
@pytest.mark.parametrize("turn", range(20))
async def test_auto(arm_sandbox, turn):
    assert len(arm_sandbox.customers) == 0
    await look_up(arm_sandbox)
"""
)


HTTPX = "ignore:Using `httpx` with"
"""Newer versions of Starlette would rather have another package; it is the same to us."""


def run(folder: Path, files: dict[str, str], *options: str) -> str:
    """What pytest says of these files, with every warning an error, and with no plugins but ours and those that are asked for."""
    for name, text in files.items():
        (folder / name).write_text(text, "utf-8")
    ours = ["-p", "no:cacheprovider", "-p", "amili_arm_async.sandbox.pytest_plugin"]
    command = [sys.executable, "-X", "dev", "-m", "pytest", "-q", "-W", "error", "-W", HTTPX, *ours, *options, str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ran.stderr == "", ran.stdout + ran.stderr
    return ran.stdout


@pytest.mark.proof
def test_without_any_other_plugin(tmp_path: Path) -> None:
    said = run(tmp_path, {"test_plain.py": PLAIN, "test_options.py": OPTIONS})
    assert "AssertionError: as expected" in said
    assert "1 failed, 10 passed" in said, said


@pytest.mark.proof
@pytest.mark.parametrize(
    ("text", "options", "passed"),
    [
        (STRICT, ["-p", "anyio.pytest_plugin", "-p", "pytest_asyncio.plugin", "-o", "asyncio_mode=strict"], 2),
        (AUTO, ["-p", "pytest_asyncio.plugin", "-o", "asyncio_mode=auto", "-p", "xdist.plugin", "-n2"], 20),
    ],
    ids=["strict and anyio", "auto and xdist"],
)
def test_with_the_plugins_for_async_tests(tmp_path: Path, text: str, options: list[str], passed: int) -> None:
    options = [*options, "-o", "asyncio_default_fixture_loop_scope=function"]
    assert f"\n{passed} passed" in run(tmp_path, {"test_it.py": text}, *options)
