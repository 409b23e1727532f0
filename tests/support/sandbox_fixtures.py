"""A sandbox and a client that waits for nothing longer than it must."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from amili_arm_async import ArmClient, BulkOptions, RetryPolicy, Timeout
from amili_arm_async.sandbox import Sandbox

QUICK = RetryPolicy(attempts=5, base_delay=0.01, max_delay=0.05)


def quick(**settings: Any) -> BulkOptions:
    """Options of a run against a server on this machine."""
    return BulkOptions(**{"poll_first": 0.01, "poll_max": 0.05, "patience": 20.0, "deadline": 20.0, **settings})


def customers(number: int, start: int = 0) -> Iterator[dict[str, Any]]:
    return ({"customerNo": str(index), "name": f"Customer {index}"} for index in range(start, start + number))


def documents(number: int, start: int = 0) -> Iterator[dict[str, Any]]:
    return ({"documentNo": f"D{index}", "documentType": "IN", "customerNo": "1"} for index in range(start, start + number))


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(process_delay=0.0, require_customers=False, seed=1) as sandbox:
        yield sandbox


@pytest.fixture
async def arm(sandbox: Sandbox) -> AsyncIterator[ArmClient]:
    async with ArmClient(2218, auth=sandbox.token, base_url=sandbox.base_url, retry=QUICK, timeout=Timeout(connect=5, read=5)) as arm:
        yield arm
