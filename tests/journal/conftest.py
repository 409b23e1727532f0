"""A sandbox, a client that waits for nothing longer than it must, and a place for a journal.

`AMILI_ARM_TEST_JOURNAL=postgresql python -m pytest tests/journal tests/sync` does them over PostgreSQL; those that need a file are skipped.
"""

import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from amili_arm_async import ArmClient
from amili_arm_async.sandbox import Sandbox

from ..support.postgres import place_of_test
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
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory, where there is such a thing: here nobody wants to know how long a disk takes."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory, prefix="amili-arm-") as made:
        yield Path(made)


@pytest.fixture
def journal(folder: Path, request: pytest.FixtureRequest) -> Path | str:
    return place_of_test(request, folder / "nightly.sqlite")
