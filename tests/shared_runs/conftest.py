"""A sandbox for each test of shared runs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

import pytest
from typer.testing import CliRunner

from amili_arm_async import ArmClient, BulkOptions
from amili_arm_async.cli.app import app
from amili_arm_async.sandbox import Sandbox

from ..support.sandbox_runs import client_of


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(process_delay=0.0, require_customers=False, seed=1) as sandbox:
        yield sandbox


@pytest.fixture
async def arm(sandbox: Sandbox) -> AsyncIterator[ArmClient]:
    async with client_of(sandbox) as arm:
        yield arm


@pytest.fixture
def server() -> Iterator[Sandbox]:
    """A sandbox for programs that have no event loop."""
    with Sandbox(process_delay=0.0, require_customers=False, seed=1) as sandbox:
        yield sandbox


@pytest.fixture
def call(server: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Calls the command line, which asks often for results."""
    monkeypatch.setattr("amili_arm_async.cli.options.BulkOptions", partial(BulkOptions, poll_first=0.01, poll_max=0.05))
    environment = {"AMILI_ARM_BASE_URL": server.base_url, "AMILI_ARM_TOKEN": server.token, "AMILI_ARM_CLIENT_NO": "2218"}

    def call(*arguments: object) -> Any:
        return CliRunner().invoke(app, list(map(str, arguments)), env=environment)

    return call
