"""A started sandbox, and a plain aiohttp session that calls it: the rest of the library is not used here."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import pytest_asyncio

from amili_arm_async.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


class RequestContext:
    """Calls one sandbox as client 2218, and reads every answer whole."""

    def __init__(self, sandbox: Sandbox, session: aiohttp.ClientSession, client_no: int = 2218) -> None:
        self.sandbox = sandbox
        self.session = session
        self.client_no = client_no

    async def __call__(self, method: str, path: str, value: Any = None, *, token: str | None = None, **options: Any) -> tuple[int, Any]:
        """Send a request below the client's path and return the status and the decoded body."""
        status, _, body = await self.raw(method, path, value, token=token, **options)
        return status, json.loads(body)

    async def raw(self, method: str, path: str, value: Any = None, *, token: str | None = None, **options: Any) -> tuple[int, Any, bytes]:
        """The same, with the headers and the body as it came."""
        if value is not None:
            body = value if isinstance(value, bytes) else json.dumps(value).encode()
            options["data"] = io.BytesIO(body)  # aiohttp warns of large bodies that are bytes
        headers = {"Authorization": f"Bearer {self.sandbox.token if token is None else token}"}
        url = path if path.startswith("http") else f"{self.sandbox.base_url}/clients/{self.client_no}/{path}"
        async with self.session.request(method, url, headers=headers, allow_redirects=False, **options) as response:
            return response.status, response.headers, await response.read()

    async def batch(self, kind: str, *records: Any, method: str = "POST") -> Any:
        """Send a batch, have it processed, and return the answer of GET batch: (status, body)."""
        status, accepted = await self(method, f"{kind}/batches", {kind: list(records)})
        assert status == 202
        await self.sandbox.process_now()
        return await self("GET", accepted["getResult"])

    @staticmethod
    def customer(number: str, **more: Any) -> dict[str, Any]:
        """A customer with a name."""
        return {"customerNo": number, "name": f"Customer {number}", **more}

    @staticmethod
    def document(number: str | None, owner: str = "1", **more: Any) -> dict[str, Any]:
        """A document, without documentNo if ``number`` is None."""
        numbered = {} if number is None else {"documentNo": number}
        return {"documentType": "IN", "customerNo": owner, **numbered, **more}


@pytest_asyncio.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """A sandbox with the default options, which processes batches only when it is told to."""
    async with Sandbox() as running:
        running.hold_processing()
        yield running


@pytest_asyncio.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """A session whose requests end after ten seconds at the latest."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as open_session:
        yield open_session


@pytest.fixture
def calling(session: aiohttp.ClientSession) -> Callable[[Sandbox], RequestContext]:
    """Makes the caller of any sandbox."""
    return lambda sandbox: RequestContext(sandbox, session)


@pytest.fixture
def call(sandbox: Sandbox, calling: Callable[[Sandbox], RequestContext]) -> RequestContext:
    """The caller of ``sandbox``."""
    return calling(sandbox)
