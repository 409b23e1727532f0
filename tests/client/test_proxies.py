"""Proxies: which one is used for what, and what is said where one fails; nothing of its credentials anywhere."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import ssl
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
import trustme

from amili_arm_async import ArmClient, AuthenticationError, ClientCredentials, ConfigurationError, NotSentError, RetryPolicy, Timeout
from amili_arm_async.proxies import PROXY_VARIABLES, Proxies, bypasses, proxies_of

from ..support.http_server import HttpServer, Request, closed_port, reply

pytestmark = pytest.mark.quick

PASSWORD = "hunter2-of-the-proxy"
HOST = "api.example"
ONCE = RetryPolicy(attempts=1)


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)


class Gateway:
    """A proxy: it connects each CONNECT to one server, whatever host was asked for."""

    def __init__(self, port: int, *, status: int = 200) -> None:
        self.port = port
        self.status = status
        self.asked: list[str] = []
        self.credentials: list[str] = []

    async def __call__(self, request: Request) -> bool:
        self.asked.append(f"{request.method} {request.target}")
        given = request.headers.get("proxy-authorization", " ").partition(" ")[2]
        self.credentials.append(base64.b64decode(given).decode())
        if self.status != 200:
            request.send(reply(self.status))
            return False
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        request.send(b"HTTP/1.1 200 Connected\r\n\r\n")
        try:
            await asyncio.gather(pumped(request.reader, writer), pumped(reader, request.writer))
        finally:
            writer.transport.abort()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
        return False


async def pumped(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def answer(request: Request) -> bool:
    await request.body()
    if request.path == "/token":
        request.send(reply(200, {"access_token": "a-token"}))
    else:
        request.send(reply(200, {"customers": [{"customerNo": "7"}], "summary": {}}))
    return True


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
async def api(authority: trustme.CA) -> AsyncIterator[HttpServer]:
    """The API, over TLS, as `api.example` and `auth.example`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(HOST, "auth.example").configure_cert(context)
    async with HttpServer(answer, context=context) as server:
        yield server


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Any) -> str:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


def client(**more: Any) -> ArmClient:
    return ArmClient(2218, **{"auth": "token", "base_url": f"https://{HOST}", "retry": ONCE, **more})


# --- which one ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["argument", *PROXY_VARIABLES[:4]])
async def test_the_api_and_the_identity_service_are_reached_through_the_proxy(
    api: HttpServer, ca_file: str, monkeypatch: pytest.MonkeyPatch, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    gateway = Gateway(api.port)
    async with HttpServer(gateway) as proxy:
        url = f"http://me:{PASSWORD.replace('-', '%2D')}@127.0.0.1:{proxy.port}"
        given = {"proxy": url} if how == "argument" else {}
        if not given:
            # Without a scheme, as curl takes it.
            monkeypatch.setenv(how, url.removeprefix("http://") if how == "https_proxy" else url)
        auth = ClientCredentials(client_id="id", client_secret="hidden", identity_url="https://auth.example")
        async with client(auth=auth, ca_file=ca_file, **given) as arm:
            # The environment is read once.
            monkeypatch.delenv(how, raising=False)
            assert (await arm.customers.get("7")).customer_no == "7"
            assert PASSWORD not in repr(arm) + repr(arm._context.transport._connections._proxies)
    assert gateway.asked == ["CONNECT auth.example:443", f"CONNECT {HOST}:443"]
    assert gateway.credentials == [f"me:{PASSWORD}"] * 2
    assert "hunter2" not in caplog.text


async def test_this_machine_is_never_reached_through_a_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{closed_port()}")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{closed_port()}")
    async with HttpServer(answer) as api, client(base_url=api.base_url) as arm:
        await arm.customers.get("7")


async def test_a_proxy_that_was_given_is_used_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    async with HttpServer(answer) as api, HttpServer(answer) as proxy:
        async with client(base_url=api.base_url, proxy=proxy.origin) as arm:
            await arm.customers.get("7")
        assert proxy.asked == [("GET", f"{api.base_url}/clients/2218/customers/7")]
        assert api.asked == []


async def test_none_is_no_proxy_and_a_session_has_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://127.0.0.1:1")
    for more in ({"proxy": None}, {"proxy": "http://127.0.0.1:1"}):
        async with client(**more):
            pass
    async with aiohttp.ClientSession() as session, client(session=session):
        pass
    with pytest.raises(ConfigurationError, match=r"HTTPS_PROXY must be an address .* a SOCKS proxy can't be used"):
        client()
    client(base_url="http://127.0.0.1:1")


async def test_netrc_is_not_read(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With aiohttp's `trust_env`, an entry that fits replaces the token of each request."""
    netrc = tmp_path / "netrc"
    netrc.write_text("default login me password other\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    seen: list[str] = []

    async def note(request: Request) -> bool:
        seen.append(request.headers["authorization"])
        return await answer(request)

    async with HttpServer(note) as api, client(base_url=api.base_url) as arm:
        await arm.customers.get("7")
    assert seen == ["Bearer token"]


def test_which_variable_counts() -> None:
    def shown(**variables: str) -> str | None:
        return proxies_of(variables).shown

    assert shown() is None
    assert shown(HTTPS_PROXY="http://a:1", https_proxy="http://b:1") == "http://b:1"
    assert shown(HTTPS_PROXY="http://a:1", https_proxy=" ") == "http://a:1"
    assert shown(ALL_PROXY="http://a:1", HTTPS_PROXY="b:1") == "http://b:1"
    assert shown(HTTP_PROXY="http://a:1", http_proxy="http://a:1") is None
    assert shown(https_proxy="http://u:p@[::1]:8080") == "http://[::1]:8080"
    assert proxies_of({"https_proxy": "http://a:1", "no_proxy": "", "NO_PROXY": HOST}).of(f"https://{HOST}/arm") is None


@pytest.mark.parametrize(
    ("no_proxy", "host", "expected"),
    [
        ("", HOST, False),
        (HOST, HOST, True),
        ("EXAMPLE", HOST, True),
        (".example", HOST, True),
        ("*.example", HOST, True),
        ("pi.example", HOST, False),
        ("xample", HOST, False),
        (f"x.{HOST}", HOST, False),
        ("a.no, api.example", HOST, True),
        ("a.no api.example", HOST, True),
        ("*", HOST, True),
        (f"{HOST}:443", HOST, True),
        (f"{HOST}:8443", HOST, False),
        ("example.", HOST, True),
        (",, ,", HOST, False),
        (".", HOST, False),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3:443", "10.1.2.3", True),
        ("10.1.2.3:80", "10.1.2.3", False),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.1/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.0.0.0/8", "10.example", False),
        ("0.1.2.3", "10.1.2.3", False),
        ("fd00::/8", "fd12::1", True),
        ("[fd12::1]", "fd12::1", True),
        ("[fd12::1]:443", "fd12::1", True),
        ("[fd12::1]:80", "fd12::1", False),
        ("fd12::1", "fd12:0:0::1", True),
        ("blåbær.no", "www.xn--blbr-roah.no", True),
    ],
)
def test_the_rules_of_no_proxy(no_proxy: str, host: str, expected: bool) -> None:
    assert bypasses(no_proxy, host, 443) is expected


def test_names_of_this_machine_are_loopback_too() -> None:
    proxies = proxies_of({"https_proxy": "http://a:1"})
    for host in ("localhost", "127.0.0.2", "[::1]", "api.localhost", "localhost."):
        assert proxies.of(f"https://{host}/arm") is None
    assert proxies.of(f"https://{HOST}") == "http://a:1"


# --- what goes wrong ------------------------------------------------------------------------------------------------------------


async def closes(request: Request) -> bool:
    return False


async def hangs(request: Request) -> bool:
    await request.gone()
    return False


WRONG: list[tuple[Any, str]] = [
    (407, "the proxy answered 407: http://127.0.0.1:PORT wants a user name and a password, or refuses those given"),
    (403, f"the proxy answered 403: http://127.0.0.1:PORT does not allow connections to https://{HOST}"),
    (502, f"the proxy answered 502: http://127.0.0.1:PORT can't reach https://{HOST}"),
    (404, "the proxy answered 404: check that proxy names a proxy"),
    (closes, f"the proxy http://127.0.0.1:PORT gave no connection to https://{HOST}"),
    (hangs, f"the proxy http://127.0.0.1:PORT gave no connection to https://{HOST} (no answer in time)"),
    (None, "no connection to the proxy 127.0.0.1:PORT: check proxy"),
]


@pytest.mark.parametrize(("what", "words"), WRONG)
async def test_what_a_proxy_does_wrong_is_said_and_nothing_has_left(what: Any, words: str) -> None:
    handle: Callable[[Request], Awaitable[bool]] = Gateway(0, status=what) if isinstance(what, int) else what or closes
    async with contextlib.AsyncExitStack() as stack:
        port = (await stack.enter_async_context(HttpServer(handle))).port if what is not None else closed_port()
        url = f"http://me:{PASSWORD}@127.0.0.1:{port}"
        timeout = Timeout(connect=0.1)
        auth = ClientCredentials(client_id="id", client_secret="hidden", identity_url=f"https://{HOST}")
        for call, given, error in (
            (lambda arm: arm.documents.create({"documentNo": "1"}), "token", NotSentError),
            (lambda arm: arm.customers.get("7"), "token", NotSentError),
            (lambda arm: arm.customers.get("7"), auth, AuthenticationError),
        ):
            async with client(proxy=url, timeout=timeout, auth=given) as arm:
                with pytest.raises(error) as raised:
                    await call(arm)
            shown = "".join(traceback.format_exception(raised.value)) + repr(raised.value) + repr(raised.value.__cause__)
            assert words.replace("PORT", str(port)) in shown
            assert "hunter2" not in shown


async def test_the_certificate_of_a_proxy_is_told_from_that_of_the_server(authority: trustme.CA, ca_file: str) -> None:
    other, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    other.issue_cert("127.0.0.1").configure_cert(context)
    async with HttpServer(Gateway(0), context=context) as proxy, client(proxy=proxy.origin, ca_file=ca_file) as arm:
        with pytest.raises(NotSentError, match=f"the certificate of https://127.0.0.1:{proxy.port} is not trusted"):
            await arm.documents.create({"documentNo": "1"})


@pytest.mark.parametrize(("base_url", "words"), [(f"https://{HOST}", "as ca_file"), ("https://other.example", "another name than")])
async def test_a_certificate_behind_a_proxy_that_is_not_trusted(api: HttpServer, ca_file: str, base_url: str, words: str) -> None:
    async with HttpServer(Gateway(api.port)) as proxy:
        trust = {} if base_url.endswith(HOST) else {"ca_file": ca_file}
        async with client(proxy=proxy.origin, base_url=base_url, **trust) as arm:
            with pytest.raises(NotSentError, match=rf"the certificate of {base_url} is not trusted .*{words}"):
                await arm.documents.create({"documentNo": "1"})


@pytest.mark.parametrize("url", [f"ftp://me:{PASSWORD}@h", f"me:{PASSWORD}@h:1", f"http://me:{PASSWORD}@", f"http://me:{PASSWORD}@h:x", 5])
def test_an_address_that_can_not_be_used_is_not_repeated(url: Any) -> None:
    with pytest.raises(ConfigurationError, match="proxy must be an address") as raised:
        client(proxy=url)
    assert "hunter2" not in str(raised.value)
    assert "hunter2" not in repr(Proxies(url) if isinstance(url, str) else "")
