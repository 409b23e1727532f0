"""A client of number 2218 whose requests aioresponses takes, and a look at each."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from aioresponses import aioresponses

from amili_arm_async import ArmClient, RetryPolicy

BASE = "https://api.example.no/arm/v1"


@dataclass(frozen=True)
class Call:
    """One request, as it was handed to aiohttp."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any
    content_type: str | None
    options: dict[str, Any]


class Wire(aioresponses):
    """aioresponses, and the requests it took in their order."""

    @property
    def calls(self) -> list[Call]:
        made = [(method, url, one.kwargs) for (method, url), calls in self.requests.items() for one in calls]
        return [self._call(method, url, kwargs) for method, url, kwargs in made]

    @property
    def call(self) -> Call:
        (only,) = self.calls
        return only

    @staticmethod
    def _call(method: str, url: Any, kwargs: dict[str, Any]) -> Call:
        data = kwargs.get("data")
        text = data.decode() if data is not None else ""
        full = f"{url.scheme}://{url.host}{url.raw_path}"
        assert full.startswith(BASE + "/")
        return Call(
            method,
            full.removeprefix(BASE),
            dict(url.query),
            {name: value for name, value in kwargs["headers"].items() if name != "User-Agent"},
            json.loads(text) if text else None,
            data.content_type if data is not None and text else None,
            kwargs,
        )


@pytest.fixture
def wire(aioresponses_works: None) -> Iterator[Wire]:
    with Wire() as made:
        yield made


@pytest.fixture
def wire_anywhere(aioresponses_works: None) -> Iterator[aioresponses]:
    """For what goes to another service than the API."""
    with aioresponses() as made:
        yield made


@pytest_asyncio.fixture
async def arm() -> AsyncIterator[ArmClient]:
    async with ArmClient(2218, auth="the-token", base_url=BASE, retry=RetryPolicy(attempts=1)) as client:
        yield client
