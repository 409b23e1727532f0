"""The token service, and who may call what."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from amili_arm_async.sandbox import Fault, Sandbox

pytestmark = pytest.mark.quick

if TYPE_CHECKING:
    from collections.abc import Callable

    import aiohttp


async def ask(session: aiohttp.ClientSession, sandbox: Sandbox, **changes: str) -> tuple[int, Any]:
    """Ask for a token."""
    form = {
        "grant_type": "client_credentials",
        "client_id": sandbox.client_id,
        "client_secret": sandbox.client_secret,
        **changes,
    }
    async with session.post(f"{sandbox.identity_url}/token", data=form) as response:
        return response.status, await response.json()


async def test_a_token_has_the_fields_of_the_page_and_opens_the_api(sandbox: Sandbox, session: aiohttp.ClientSession, call: Any) -> None:
    status, granted = await ask(session, sandbox)

    assert status == 200
    assert set(granted) == {
        "access_token",
        "token_type",
        "not_before",
        "expires_in",
        "expires_on",
        "resource",
    }
    assert granted["token_type"] == "Bearer"
    assert granted["expires_in"] == 3600
    assert granted["expires_on"] - granted["not_before"] == 3600
    assert abs(granted["not_before"] - time.time()) < 60
    assert (await call("GET", "customers", token=granted["access_token"]))[0] == 200
    assert sandbox.token_requests == 1


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"client_secret": "wrong"}, 401),
        ({"client_id": "wrong"}, 401),
        ({"grant_type": "password"}, 400),
    ],
)
async def test_wrong_credentials_get_no_token(
    sandbox: Sandbox, session: aiohttp.ClientSession, changes: dict[str, str], status: int
) -> None:
    answered, body = await ask(session, sandbox, **changes)

    assert answered == status
    assert "access_token" not in body


async def test_calls_without_a_good_token_are_answered_401(sandbox: Sandbox, session: aiohttp.ClientSession) -> None:
    url = f"{sandbox.base_url}/clients/2218/customers"
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {sandbox.token}"}):
        async with session.get(url, headers=headers) as response:
            assert response.status == 401
            assert response.headers["X-Request-Id"]
            assert (await response.json())["message"]


async def test_revoked_tokens_are_bad_and_new_ones_are_good(sandbox: Sandbox, call: Any) -> None:
    old = sandbox.token
    assert sandbox.token == old

    sandbox.revoke_tokens()

    assert (await call("GET", "customers", token=old))[0] == 401
    assert (await call("GET", "customers", token=sandbox.token))[0] == 200


async def test_tokens_expire(session: aiohttp.ClientSession, calling: Callable[[Sandbox], Any]) -> None:
    async with Sandbox(token_lifetime=1e-9) as sandbox:
        _, granted = await ask(session, sandbox)
        assert (await calling(sandbox)("GET", "customers", token=granted["access_token"]))[0] == 401


async def test_a_refused_call_delivers_and_takes_nothing_in(sandbox: Sandbox, call: Any) -> None:
    waiting = sandbox.inject(Fault.status(503))

    status, _ = await call("POST", "customers", call.customer("1"), token="wrong")

    assert status == 401
    assert (sandbox.customers.delivered("1"), sandbox.customers.taken("1")) == (1, 0)
    assert waiting.fired == 0, "a call that is denied uses up no fault"


async def test_only_the_given_clients_exist(calling: Callable[[Sandbox], Any]) -> None:
    async with Sandbox(clients=[2218]) as sandbox:
        call = calling(sandbox)
        assert (await call("GET", "customers"))[0] == 200
        call.client_no = 2219
        assert (await call("GET", "customers"))[0] == 403


async def test_each_client_has_its_own_ledger(sandbox: Sandbox, call: Any) -> None:
    await call("POST", "customers", call.customer("1", phoneNo="18"))
    call.client_no = 2219
    assert (await call("GET", "customers/1"))[0] == 404
    await call("POST", "customers", call.customer("1", phoneNo="19"))

    assert (await call("GET", "customers/1"))[1]["phoneNo"] == "19"
    assert len(sandbox.customers) == 2
    assert sandbox.customers.taken("1") == 2
    assert sandbox.customers.taken("1", client_no=2219) == 1


async def test_unknown_paths_and_wrong_methods_are_answered_in_json(sandbox: Sandbox, call: Any) -> None:
    status, body = await call("GET", "nothing/here")
    assert (status, body["status"]) == (404, "ERROR")
    assert (await call("GET", f"{sandbox.base_url}/healthy"))[0] == 404
    assert (await call("GET", "nothing/here", token="wrong"))[0] == 401
    status, headers, _ = await call.raw("DELETE", "customers")
    assert status == 405
    assert headers["Allow"] == "GET,POST,PUT"
    assert sandbox.requests["GET *"] == 3
    assert sandbox.requests["DELETE *"] == 1
