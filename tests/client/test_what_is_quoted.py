"""Nothing that a service sends back puts a secret, the token or the number of a person into a message, a repr or a line of the log."""

from __future__ import annotations

import logging
import traceback
from typing import Any

import pytest

from amili_arm_async import ArmClient, ArmError, AuthenticationError, BulkError, BulkOptions, ClientCredentials, RetryPolicy

from ..support.http_server import HttpServer, Request, reply

pytestmark = pytest.mark.quick

TOKEN = "a-token-of-a-test-1234567890"

SECRET = "s3cr3t"
PERSON = "01019921717"
ONCE = RetryPolicy(attempts=1)
ECHOES = ["X-Request-Id", "Request-Id", "X-Correlation-Id", "traceparent", "Location", "Retry-After", "Server", "WWW-Authenticate"]


def shown(error: BaseException, records: list[logging.LogRecord]) -> str:
    """All that a person may see of it."""
    parts, found = [], error
    while found is not None:
        parts += [str(found), repr(found), str(found.args)]
        found = found.__cause__ or found.__context__  # type: ignore[assignment]
    return "\n".join([*parts, *traceback.format_exception(error), *(str(vars(record)) for record in records)])


@pytest.mark.parametrize("status", [200, 302, 400, 401, 404, 429, 500])
@pytest.mark.parametrize("name", ECHOES)
async def test_an_identity_service_that_repeats_the_secret(name: str, status: int, log_records: list[logging.LogRecord]) -> None:
    async def answer(request: Request) -> bool:
        form = (await request.body()).decode()
        assert SECRET in form
        line = f"HTTP/1.1 {status} {form}\r\n{name}: {form}\r\nContent-Length: {len(form)}\r\n\r\n{form}"
        request.send(line.encode())
        return True

    async with HttpServer(answer) as api:
        auth = ClientCredentials(client_id="the-id", client_secret=SECRET, identity_url=api.origin)
        async with ArmClient(2218, auth=auth, base_url=api.base_url, retry=ONCE) as arm:
            with pytest.raises(AuthenticationError) as raised:
                await arm.customers.get(PERSON)
            with pytest.raises(BulkError) as ended:
                await arm.documents.create_many([{"documentNo": "1"}], options=BulkOptions(patience=0.01))
    for error in (raised.value, ended.value):
        told = shown(error, log_records)
        assert SECRET not in told
        assert PERSON not in told


@pytest.mark.parametrize("value", [SECRET, f"id-{SECRET}-7", f"{SECRET}"])
async def test_a_request_id_that_holds_the_secret_is_not_quoted(value: str, log_records: list[logging.LogRecord]) -> None:
    async def answer(request: Request) -> bool:
        await request.body()
        request.send(reply(401, None, f"X-Request-Id: {value}"))
        return True

    async with HttpServer(answer) as api:
        auth = ClientCredentials(client_id="the-id", client_secret=SECRET, identity_url=api.origin)
        async with ArmClient(2218, auth=auth, base_url=api.base_url, retry=ONCE) as arm:
            with pytest.raises(AuthenticationError) as raised:
                await arm.customers.get("7")
    assert SECRET not in shown(raised.value, log_records)


@pytest.mark.parametrize("status", [200, 202, 400, 401, 404, 409, 500])
@pytest.mark.parametrize("name", ECHOES)
async def test_an_api_that_repeats_the_token_and_the_number(name: str, status: int, log_records: list[logging.LogRecord]) -> None:
    async def answer(request: Request) -> bool:
        await request.body()
        said = f"{request.headers['authorization']} {request.path}"
        request.send(reply(status, said.encode(), f"{name}: {said}"))
        return True

    async with HttpServer(answer) as api, ArmClient(2218, auth=TOKEN, base_url=api.base_url, retry=ONCE) as arm:
        for call in (lambda: arm.customers.get(PERSON), lambda: arm.documents.create({"documentNo": PERSON})):
            with pytest.raises(ArmError) as raised:
                await call()
            told = shown(raised.value, log_records)
            assert TOKEN not in told
            assert PERSON not in told
            assert TOKEN not in str(getattr(raised.value, "body", ""))


@pytest.mark.parametrize("value", [TOKEN, f"a-{TOKEN}", PERSON, f"req {PERSON}", "010199-21717", "x" * 500, "a|b;c", "\x7f", "é"])
async def test_a_request_id_of_the_api_is_quoted_only_where_it_is_short_and_plain(value: str, log_records: list[logging.LogRecord]) -> None:
    async def answer(request: Request) -> bool:
        request.send(b"HTTP/1.1 404 None\r\nContent-Length: 0\r\nX-Request-Id: " + value.encode() + b"\r\n\r\n")
        return True

    async with HttpServer(answer) as api, ArmClient(2218, auth=TOKEN, base_url=api.base_url, retry=ONCE) as arm:
        with pytest.raises(ArmError) as raised:
            await arm.customers.get("7")
    assert getattr(raised.value, "request_id", None) is None
    assert value not in shown(raised.value, log_records)


@pytest.mark.parametrize("value", ["8f14e45f-ceea-467f-a0e6-1d7b3a6c0b11", "req_7Hk2", "Root=1-67891233-abcdef012345678912345678", "0HMVD"])
async def test_a_plain_request_id_is_quoted(value: str) -> None:
    async def answer(request: Request) -> bool:
        request.send(reply(404, None, f"X-Request-Id: {value}"))
        return True

    async with HttpServer(answer) as api, ArmClient(2218, auth=TOKEN, base_url=api.base_url, retry=ONCE) as arm:
        with pytest.raises(ArmError, match="request id") as raised:
            await arm.customers.get("7")
    assert getattr(raised.value, "request_id", None) == value


LIFETIMES = [b"9" * 400, b"1e999", b"-" + b"9" * 400, b'"nan"', b'"Infinity"', b"-1", b'"soon"', b"[]", b'"' + b"9" * 5000 + b'"']


def issuing(lifetime: bytes) -> Any:
    """An identity service and an API in one."""

    async def answer(request: Request) -> bool:
        await request.body()
        if request.path == "/token":
            request.send(reply(200, b'{"access_token":"' + TOKEN.encode() + b'","expires_in":' + lifetime + b"}"))
        else:
            request.send(reply(200, {"customerNo": "7"}))
        return True

    return HttpServer(answer)


@pytest.mark.parametrize("lifetime", LIFETIMES, ids=range(len(LIFETIMES)))
async def test_any_lifetime_gives_a_token(lifetime: bytes) -> None:
    async with issuing(lifetime) as api:
        auth = ClientCredentials(client_id="the-id", client_secret=SECRET, identity_url=api.origin)
        async with ArmClient(2218, auth=auth, base_url=api.base_url, retry=ONCE) as arm:
            for _ in range(2):
                assert (await arm.customers.get("7")).customer_no == "7"
    assert [path for _, path in api.asked].count("/token") == 1


@pytest.mark.parametrize("lifetime", [b"9" * 5000, b"NaN"], ids=["5000 digits", "NaN"])
async def test_a_lifetime_that_is_no_json_is_told_without_it(lifetime: bytes) -> None:
    async with issuing(lifetime) as api:
        auth = ClientCredentials(client_id="the-id", client_secret=SECRET, identity_url=api.origin)
        async with ArmClient(2218, auth=auth, base_url=api.base_url, retry=ONCE) as arm:
            with pytest.raises(AuthenticationError) as raised:
                await arm.customers.get("7")
    assert lifetime.decode() not in shown(raised.value, [])
