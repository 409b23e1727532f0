"""A pytest fixture: `arm_sandbox`, a started `Sandbox` for one test.

The installed package registers it automatically (the `pytest11` entry point); without that, say in
`conftest.py`::

    pytest_plugins = ["amili_arm_async.sandbox.pytest_plugin"]

and then, with pytest-asyncio in strict or auto mode::

    @pytest.mark.asyncio
    async def test_lookup(arm_sandbox):
        arm_sandbox.customers.seed([{"customerNo": "543210", "name": "Owe Armstrong"}])
        ...

A test that wants other options makes its own `Sandbox(...)`. Loading the plugin imports neither the server
nor aiohttp, for pytest loads it in every project where the package is installed.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from .server import Sandbox


def _missing() -> None:
    """Says what is missing, to the test that asks and to no other."""
    pytest.fail("the arm_sandbox fixture needs pytest-asyncio: pip install pytest-asyncio", pytrace=False)


async def _started() -> AsyncIterator[Sandbox]:
    """A started sandbox with the default options, closed after the test."""
    from .server import Sandbox  # noqa: PLC0415 - only a test that uses the fixture pays for the server

    async with Sandbox() as sandbox:
        yield sandbox


arm_sandbox: Any
if importlib.util.find_spec("pytest_asyncio") is None:
    # Said when the fixture is used and not now: a project without async tests must still run.
    arm_sandbox = pytest.fixture(name="arm_sandbox")(_missing)
else:
    import pytest_asyncio

    arm_sandbox = pytest_asyncio.fixture(name="arm_sandbox")(_started)
