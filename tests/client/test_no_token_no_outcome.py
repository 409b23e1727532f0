"""Whatever goes wrong while a token is fetched says nothing about what was asked for: no look-up takes it for "not there"."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trustme

from amili_arm_async import (
    ArmClient,
    AuthenticationError,
    BulkError,
    BulkOptions,
    ClientCredentials,
    ConfigurationError,
    NotFoundError,
    NotSentError,
    RetryPolicy,
    UnauthorizedError,
)

from ..support.http_server import HttpServer, Request, reply

TOKEN = "a-token-of-a-test-1234567890"

SECRET = "hunter2-the-secret"
QUICK = RetryPolicy(attempts=2, base_delay=0.001, max_delay=0.01)
DOCUMENT = {"documentNo": "1"}


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
    return port


class Service:
    """The API and the identity service in one; `tokens` are the answers of the latter, the last one for ever."""

    def __init__(self, *tokens: bytes) -> None:
        self.tokens = [*tokens, reply(200, {"access_token": TOKEN, "expires_in": 3600})][: max(1, len(tokens))]
        self.api: HttpServer | None = None

    async def __call__(self, request: Request) -> bool:
        body = await request.body()
        if request.path == "/token":
            request.send(self.tokens.pop(0) if len(self.tokens) > 1 else self.tokens[0])
        elif request.method == "POST":
            assert self.api is not None
            self.api.take(body)
            request.send(reply(202, {"batchUuid": f"u{len(self.api.asked)}"}))
        elif "batches" in request.path:
            request.send(reply(200, {"status": "PROCESSED", "result": "SUCCESS"}))
        else:
            request.send(reply(404))
        return True


def credentials(address: str) -> ClientCredentials:
    return ClientCredentials(client_id="id", client_secret=SECRET, identity_url=address)


def client(address: str, auth: Any, **settings: Any) -> ArmClient:
    return ArmClient(2218, **{"auth": auth, "base_url": f"{address}/arm/v1", "retry": QUICK, **settings})


Calls = dict[str, Callable[[ArmClient], Awaitable[object]]]


async def get_many(arm: ArmClient) -> object:
    async with arm.customers.get_many(["7", "8"]) as found:
        return [one async for one in found]


CALLS: Calls = {
    "customers.get": lambda arm: arm.customers.get("7"),
    "documents.get": lambda arm: arm.documents.get("7"),
    "get_many": get_many,
    "list": lambda arm: arm.customers.list().collect(),
    "batches.get": lambda arm: arm.batches.get("u"),
    "batches.wait": lambda arm: arm.batches.wait("u"),
    "documents.create": lambda arm: arm.documents.create(DOCUMENT),
    "request": lambda arm: arm.request("GET", "whatever"),
    "identity.token": lambda arm: arm.identity.token(),
}


async def own_function() -> str:
    raise NotFoundError(404, operation="GET the vault")


async def broken_function() -> str:
    raise KeyError(SECRET)


ANSWERS = {
    "404": (reply(404), "answered 404"),
    "401": (reply(401), "answered 401"),
    "403": (reply(403), "answered 403"),
    "500": (reply(500), "answered 500"),
    "302": (reply(302, None, "Location: http://127.0.0.1:1/"), "answered 302"),
    "HTML": (reply(200, b"<html>we are back soon</html>"), "no access_token"),
    "another body": (reply(200, {"token": "x"}), "no access_token"),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "can't get a token from"),
}


# `identity.token` gives what the service answers, where that can be read.
ANSWERED = [(what, call) for what in ANSWERS for call in CALLS if call != "identity.token" or what not in {"HTML", "another body"}]


@pytest.mark.parametrize(("what", "call"), ANSWERED)
async def test_no_call_takes_the_answer_of_the_identity_service_for_its_own(what: str, call: str) -> None:
    answer, words = ANSWERS[what]
    async with HttpServer(Service(answer)) as api, client(api.origin, credentials(api.origin)) as arm:
        with pytest.raises(AuthenticationError, match=words) as raised:
            await CALLS[call](arm)
    assert isinstance(raised.value, NotSentError)
    assert f"{api.origin}/token" in str(raised.value)
    assert {path for _, path in api.asked} == {"/token"}


@pytest.mark.parametrize("call", [name for name in CALLS if name != "identity.token"])
@pytest.mark.parametrize("function", [own_function, broken_function])
async def test_what_a_function_of_the_callers_raises_is_no_answer_either(function: Any, call: str) -> None:
    async with HttpServer(Service()) as api, client(api.origin, function) as arm:
        with pytest.raises(AuthenticationError, match="auth=") as raised:
            await CALLS[call](arm)
    assert raised.value.__cause__ is not None
    assert SECRET not in str(raised.value)
    assert api.asked == []


# --- causes in plain words ----------------------------------------------------------------------------------------------------


@asynccontextmanager
async def tls(*, other_name: bool = False) -> AsyncIterator[tuple[HttpServer, ssl.SSLContext]]:
    """A server whose certificate the context trusts."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("elsewhere.example" if other_name else "127.0.0.1").configure_cert(context)
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    service = Service()
    async with HttpServer(service, context) as api:
        service.api = api
        yield api, trust


@asynccontextmanager
async def listening(talk: Callable[[socket.socket], None]) -> AsyncIterator[int]:
    """A server in a thread, on a plain socket: it talks, and then reads what comes until the other side has closed."""

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                connection.settimeout(10)
                talk(connection)
                while connection.recv(65_536):
                    pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving_it = asyncio.create_task(asyncio.to_thread(serve))
        try:
            yield listener.getsockname()[1]
        finally:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            await serving_it


@asynccontextmanager
async def trouble(what: str) -> AsyncIterator[tuple[str, dict[str, Any], str]]:
    """An address that can't be reached, the settings to reach it with, and the words for it."""
    if what == "certificate":
        async with tls() as (api, _):
            yield api.origin, {}, "certificate .* is not trusted"
    elif what == "other name":
        async with tls(other_name=True) as (api, trust):
            yield api.origin, {"ssl": trust}, "certificate .* is not trusted .*127.0.0.1"
    elif what.startswith("client certificate"):
        authority = trustme.CA()
        context, trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
        authority.issue_cert("127.0.0.1").configure_cert(context)
        authority.configure_trust(context)
        authority.configure_trust(trust)
        context.verify_mode = ssl.CERT_REQUIRED
        if what.endswith("1.2"):
            context.maximum_version = ssl.TLSVersion.TLSv1_2

        def shake(connection: socket.socket) -> None:
            secure = context.wrap_socket(connection.dup(), server_side=True, do_handshake_on_connect=False)
            with secure, contextlib.suppress(ssl.SSLError):
                secure.do_handshake()

        async with listening(shake) as port:
            yield f"https://127.0.0.1:{port}", {"ssl": trust}, "client certificate"
    elif what == "port":
        yield f"http://127.0.0.1:{closed_port()}", {}, "was refused"
    elif what == "host name":
        yield "https://no-such-host.invalid", {}, "host name no-such-host.invalid was not found"
    elif what == "plain http":
        async with listening(lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as port:
            yield f"https://127.0.0.1:{port}", {}, "TLS handshake"
    elif what == "proxy's port":
        yield "https://api.example", {"proxy": f"http://me:{SECRET}@127.0.0.1:{closed_port()}"}, "no connection to the proxy 127.0.0.1"
    else:

        async def refuse(request: Request) -> bool:
            request.send(reply(407))
            return False

        async with HttpServer(refuse) as api:
            yield "https://api.example", {"proxy": f"http://me:{SECRET}@127.0.0.1:{api.port}"}, "the proxy answered 407"


CLIENT_CERTIFICATE = ["client certificate, TLS 1.2", "client certificate, TLS 1.3"]
TROUBLES = [
    "certificate",
    "other name",
    "client certificate, TLS 1.2",
    "client certificate, TLS 1.3",
    "port",
    "host name",
    "plain http",
    "proxy's port",
    "proxy",
]


@pytest.mark.parametrize("what", TROUBLES)
async def test_each_cause_is_named_where_the_identity_service_can_not_be_reached(what: str) -> None:
    async with trouble(what) as (address, settings, words), client("http://127.0.0.1:1", credentials(address), **settings) as arm:
        with pytest.raises(AuthenticationError, match=words) as raised:
            await arm.customers.get("7")
    _check_cause(raised.value)
    assert f"{address}/token" in str(raised.value)


@pytest.mark.parametrize("what", TROUBLES)
async def test_each_cause_is_named_where_the_api_can_not_be_reached(what: str) -> None:
    async with trouble(what) as (address, settings, words), client(address, TOKEN, **settings) as arm:
        with pytest.raises(NotSentError, match=words) as raised:
            await arm.documents.create(DOCUMENT)
    _check_cause(raised.value)


def _check_cause(error: BaseException) -> None:
    assert isinstance(error.__cause__, OSError)
    shown = "".join(traceback.format_exception(error)) + repr(error) + repr(error.__cause__)
    assert SECRET not in shown
    assert TOKEN not in shown


# --- bulk runs ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "what",
    [
        "certificate",
        "client certificate, TLS 1.2",
        "client certificate, TLS 1.3",
        "port",
        "host name",
        "plain http",
        "proxy's port",
        "proxy",
    ],
)
async def test_a_run_that_never_had_a_token_ends_at_once(what: str) -> None:
    async with trouble(what) as (address, settings, words), client("http://127.0.0.1:1", credentials(address), **settings) as arm:
        async with asyncio.timeout(20):
            with pytest.raises(BulkError, match=words) as raised:
                await arm.documents.create_many([DOCUMENT], options=BulkOptions(patience=1000))
    assert isinstance(raised.value.__cause__, AuthenticationError)
    assert raised.value.report.counts["not_sent"] == 1
    (record,) = [record for batch in raised.value.report.batches for record in getattr(batch, "failures", ())] or [None]
    assert record is None or record.reason == "no_token"


@pytest.mark.parametrize("what", ["certificate", *CLIENT_CERTIFICATE, "host name", "plain http", "proxy"])
async def test_a_run_that_never_reached_the_api_ends_at_once(what: str) -> None:
    async with trouble(what) as (address, settings, words), client(address, TOKEN, **settings) as arm, asyncio.timeout(20):
        with pytest.raises(BulkError, match=words) as raised:
            await arm.documents.create_many([DOCUMENT], options=BulkOptions(patience=1000))
    assert raised.value.report.counts["not_sent"] == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404])
async def test_a_run_whose_first_token_is_refused_ends_at_once(status: int) -> None:
    async with HttpServer(Service(reply(status))) as api, client(api.origin, credentials(api.origin)) as arm, asyncio.timeout(20):
        with pytest.raises(BulkError, match=f"answered {status}"):
            await arm.documents.create_many([DOCUMENT], options=BulkOptions(patience=1000))
    assert len(api.asked) == 1


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503])
async def test_a_token_that_comes_later_is_waited_for(status: int) -> None:
    service = Service(reply(status), reply(200, {"access_token": TOKEN}))
    async with HttpServer(service) as api, client(api.origin, credentials(api.origin)) as arm, asyncio.timeout(20):
        service.api = api
        report = await arm.documents.create_many([DOCUMENT], options=BulkOptions(results="accepted"))
    assert report.counts["accepted"] == 1


SHORT = reply(200, {"access_token": TOKEN, "expires_in": 0.001})


@pytest.mark.parametrize("answer", [reply(404), reply(200, b"<html>")], ids=["404", "HTML"])
async def test_what_flickers_during_a_deployment_is_waited_for_once_there_was_a_token(answer: bytes) -> None:
    service = Service(SHORT, answer, answer, reply(200, {"access_token": TOKEN}))
    async with HttpServer(service) as api, client(api.origin, credentials(api.origin)) as arm, asyncio.timeout(20):
        service.api = api
        records = [{"documentNo": str(number)} for number in range(4)]
        report = await arm.documents.create_many(records, options=BulkOptions(max_records=1, concurrency=1, results="accepted"))
    assert report.counts["accepted"] == 4
    assert max(api.taken.values()) == 1


@pytest.mark.parametrize("status", [400, 401, 403])
async def test_credentials_that_are_refused_in_mid_run_end_it(status: int) -> None:
    service = Service(SHORT, reply(status))
    async with HttpServer(service) as api, client(api.origin, credentials(api.origin)) as arm, asyncio.timeout(20):
        service.api = api
        records = [{"documentNo": str(number)} for number in range(4)]
        with pytest.raises(BulkError, match=f"answered {status}") as raised:
            await arm.documents.create_many(records, options=BulkOptions(max_records=1, concurrency=1, results="accepted"))
    counts = raised.value.report.counts
    assert counts["accepted"] == len(api.taken)
    assert counts["accepted"] + counts["not_sent"] == 4


async def test_an_address_that_goes_away_in_mid_run_is_waited_for() -> None:
    """The port of the identity service is closed after the first token of the run, and open again when it is missed."""
    port = 0
    gone: list[asyncio.Server] = []

    async def identity(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if not gone:
            gone.append(servers.pop())
            gone[0].close()
        writer.write(reply(200, {"access_token": TOKEN, "expires_in": 0.001 if not missed else 3600}, "Connection: close"))
        writer.close()

    async def reopen() -> None:
        servers.append(await asyncio.start_server(identity, "127.0.0.1", port))

    def progress(now: Any) -> None:
        if now.trouble is not None and not missed:
            missed.append(asyncio.ensure_future(reopen()))

    missed: list[asyncio.Future[None]] = []
    servers = [await asyncio.start_server(identity, "127.0.0.1", 0)]
    port = servers[0].sockets[0].getsockname()[1]
    service = Service()
    async with HttpServer(service) as api, client(api.origin, credentials(f"http://127.0.0.1:{port}")) as arm, asyncio.timeout(20):
        service.api = api
        options = BulkOptions(max_records=1, concurrency=1, results="accepted", on_progress=progress)
        report = await arm.documents.create_many([{"documentNo": str(number)} for number in range(3)], options=options)
    servers.pop().close()
    assert missed, "else it proves nothing"
    assert report.counts["accepted"] == 3


# --- reconcile and replay -----------------------------------------------------------------------------------------------------


async def test_a_look_up_without_a_token_never_leads_to_a_second_invoice(tmp_path: Any) -> None:
    class Ambiguous(Service):
        async def __call__(self, request: Request) -> bool:
            if request.method == "POST" and request.path != "/token":
                assert self.api is not None
                self.api.take(await request.body())
                return False
            return await super().__call__(request)

    service = Ambiguous()
    async with HttpServer(service) as api:
        service.api = api
        options = BulkOptions(journal=tmp_path / "j.sqlite", run_id="night", patience=0.2)
        async with client(api.origin, TOKEN) as arm:
            report = await arm.documents.create_many([DOCUMENT], options=options)
            assert report.counts["unknown"] == 1
        service.tokens = [reply(404)]
        async with client(api.origin, credentials(api.origin)) as arm:
            with pytest.raises(BulkError) as raised:
                await arm.documents.reconcile(tmp_path / "j.sqlite", run_id="night", settle=0)
        assert isinstance(raised.value.__cause__, AuthenticationError)
        assert raised.value.report.counts["unknown"] == 1
    assert api.taken == {"1": 1}


async def test_a_401_of_the_api_stays_what_it_was() -> None:
    async def refuse(request: Request) -> bool:
        await request.body()
        request.send(reply(401) if request.path != "/token" else reply(200, {"access_token": TOKEN}))
        return True

    async with HttpServer(refuse) as api, client(api.origin, credentials(api.origin)) as arm:
        with pytest.raises(UnauthorizedError):
            await arm.customers.get("7")


@pytest.mark.parametrize(("name", "wrong"), [("proxy", "proxy:3128"), ("proxy", "socks5://p:1"), ("proxy", 7), ("ssl", True), ("ssl", "x")])
def test_a_proxy_and_a_context_that_are_none_are_refused(name: str, wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match=name):
        ArmClient(2218, auth="t", base_url="https://api.example", **{name: wrong})
