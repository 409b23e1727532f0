"""A client that no test lets near a network, and a check of a few records."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from amili_arm_async import ArmClient, CheckReport


@pytest.fixture
def arm() -> ArmClient:
    """Nobody listens there: a check that sent anything would fail."""
    return ArmClient(2218, auth="token", base_url="http://127.0.0.1:9")


@pytest.fixture
def check(arm: ArmClient) -> Callable[..., Awaitable[CheckReport]]:
    """Checks records of a kind."""

    async def run(kind: str, *records: Any, **settings: Any) -> CheckReport:
        return await getattr(arm, kind).check(list(records), **settings)

    return run
