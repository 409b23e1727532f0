"""A sandbox for each test of shared runs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from amili_arm_async import ArmClient
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
