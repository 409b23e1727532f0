"""`amili-arm doctor`: what works, what does not, and the setting that is the cause."""

from __future__ import annotations

import base64
import json
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import trustme

TOKEN = json.dumps({"access_token": "a-token", "expires_in": 3600}).encode()
PAGE = b"<html><body>Welcome</body></html>"
CUSTOMERS = b'{"customers": [], "summary": {"totalCount": 0}}'


class Answer(SimpleNamespace):
    """What a server answers to every request of a method."""

    def __init__(self, status: int = 200, body: bytes = CUSTOMERS, kind: str = "application/json", **headers: str) -> None:
        super().__init__(status=status, body=body, kind=kind, headers={name.replace("_", "-"): text for name, text in headers.items()})


@pytest.fixture
def answer() -> Iterator[Callable[..., Any]]:
    """Starts a server on a port of its own; gives its settings, and counts the requests."""
    started: list[ThreadingHTTPServer] = []

    def begin(get: Answer | None = None, post: Answer | None = None, context: ssl.SSLContext | None = None) -> Any:
        answers = {"GET": get or Answer(), "POST": post or Answer(body=TOKEN)}
        seen: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def date_time_string(self, timestamp: float | None = None) -> str:
                return answers[self.command].headers.get("Date") or super().date_time_string(timestamp)

            def answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                seen.append(f"{self.command} {self.path}")
                told = answers[self.command]
                self.send_response(told.status)
                for name, text in {"Content-Type": told.kind, "Content-Length": str(len(told.body)), **told.headers}.items():
                    if name != "Date":
                        self.send_header(name, text)
                self.end_headers()
                self.wfile.write(told.body)

            do_GET = do_POST = answer  # noqa: N815 - as the base class calls them

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None:
                pass

        server = Server(("127.0.0.1", 0), Handler)
        started.append(server)
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        origin = f"http{'s' if context is not None else ''}://127.0.0.1:{server.server_port}"
        env = {
            "AMILI_ARM_BASE_URL": f"{origin}/arm/v1",
            "AMILI_ARM_CLIENT_NO": "2218",
            "AMILI_ARM_IDENTITY_URL": f"{origin}/identity",
            "AMILI_ARM_CLIENT_ID": "id",
            "AMILI_ARM_CLIENT_SECRET": "very-secret-word",
        }
        return SimpleNamespace(env=env, seen=seen, origin=origin)

    yield begin
    for server in started:
        server.shutdown()
        server.server_close()


@pytest.fixture
def doctor(call: Callable[..., Any]) -> Callable[..., Any]:
    """Calls `doctor`; gives its steps by their names."""

    def run(env: dict[str, str], *arguments: object) -> Any:
        result = call("doctor", "--json", *arguments, env=env)
        told = json.loads(result.stdout)
        assert "very-secret-word" not in result.output
        assert told["ok"] is (result.exit_code == 0)
        steps = {step["name"]: step for step in told["steps"]}
        return SimpleNamespace(code=result.exit_code, steps=steps, settings=told["settings"], stderr=result.stderr)

    return run


def states(told: Any) -> list[str]:
    return [step["state"] for step in told.steps.values()]


def closed_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


# --- what works -----------------------------------------------------------------------------------------------------------


def test_all_works(doctor, call, served):
    told = doctor(served.env)
    assert (told.code, states(told)) == (0, ["ok"] * 4)
    assert list(told.steps) == ["settings", "token", "read", "clock"]
    assert told.settings["connection.client_secret"] == {"value": "***", "origin": "environment", "place": "AMILI_ARM_CLIENT_SECRET"}
    assert served.ask(lambda sandbox: [seen.method for seen in sandbox.recent if "/identity" not in seen.path]) == ["GET"]

    shown = call("doctor", env=served.env)
    assert "  client_no = 2218 (AMILI_ARM_CLIENT_NO)" in shown.stdout
    assert f"ok       token: from {served.env['AMILI_ARM_IDENTITY_URL']}" in shown.stdout


def test_a_token_that_was_given(doctor, answer):
    server = answer()
    env = {name: server.env[name] for name in ("AMILI_ARM_BASE_URL", "AMILI_ARM_CLIENT_NO")}
    told = doctor({**env, "AMILI_ARM_TOKEN": "very-secret-word"})
    assert told.steps["token"]["text"] == "given in token (AMILI_ARM_TOKEN); none was fetched"
    assert (told.code, len(server.seen)) == (0, 1)


def test_a_secret_in_a_keyring_is_not_missing(doctor, answer, monkeypatch):
    keyring, errors = ModuleType("keyring"), ModuleType("keyring.errors")
    keyring.get_password, keyring.errors = lambda *_: "very-secret-word", errors
    errors.KeyringError = errors.NoKeyringError = OSError
    monkeypatch.setitem(sys.modules, "keyring", keyring)
    monkeypatch.setitem(sys.modules, "keyring.errors", errors)
    server = answer()
    env = {name: server.env[name] for name in ("AMILI_ARM_BASE_URL", "AMILI_ARM_CLIENT_NO")}
    told = doctor({**env, "AMILI_ARM_TOKEN_KEYRING": "arm:token"})
    assert told.steps["token"]["text"] == "given in token_keyring (AMILI_ARM_TOKEN_KEYRING); none was fetched"
    assert list(told.settings) == ["connection.base_url", "connection.client_no", "connection.token_keyring"]


def test_a_token_that_has_expired(doctor, answer):
    server = answer(get=Answer(401, b"{}"))
    claims = base64.urlsafe_b64encode(b'{"exp": 1700000000}').decode().rstrip("=")
    told = doctor({**server.env, "AMILI_ARM_CLIENT_ID": "", "AMILI_ARM_CLIENT_SECRET": "", "AMILI_ARM_TOKEN": f"e30.{claims}.x"})
    assert told.steps["token"]["text"] == "the token that was given expired at 2023-11-14 22:13:20 UTC"
    assert "token (AMILI_ARM_TOKEN)" in told.steps["token"]["remedy"]
    assert told.code == 1


# --- settings -------------------------------------------------------------------------------------------------------------


def test_a_setting_is_missing(doctor):
    told = doctor({"AMILI_ARM_BASE_URL": "https://127.0.0.1/arm/v1"})
    assert "AMILI_ARM_CLIENT_NO" in told.steps["settings"]["text"]
    assert states(told) == ["failed", "skipped", "skipped", "skipped"]
    assert told.settings["connection.client_no"]["value"] is None


@pytest.mark.parametrize(
    ("text", "words"),
    [(None, "No such file"), ("[connection\n", "is not TOML"), ("[connection]\nclient_number = 1\n", "did you mean 'client_no'")],
)
def test_a_settings_file_that_is_no_good(doctor, tmp_path, text, words):
    path = tmp_path / "arm.toml"
    if text is not None:
        path.write_text(text)
    told = doctor({}, "--config", path)
    assert str(path) in told.steps["settings"]["text"]
    assert words in told.steps["settings"]["text"]
    assert told.code == 1


def test_a_secret_file_that_is_missing(doctor, served, tmp_path):
    path = tmp_path / "secret"
    told = doctor({**served.env, "AMILI_ARM_CLIENT_SECRET": "", "AMILI_ARM_CLIENT_SECRET_FILE": str(path)})
    assert f"AMILI_ARM_CLIENT_SECRET_FILE: {path} can't be read: No such file" in told.steps["settings"]["text"]


def test_a_variable_that_is_no_setting_is_named(doctor, served):
    assert "AMILI_ARM_CLIENTNO" in doctor({**served.env, "AMILI_ARM_CLIENTNO": "1"}).stderr


# --- the identity service -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("post", "text", "remedy"),
    [
        (Answer(404, PAGE, "text/html"), "answered 404", "identity_url (AMILI_ARM_IDENTITY_URL)"),
        (Answer(200, PAGE, "text/html"), "no access_token", "identity_url (AMILI_ARM_IDENTITY_URL)"),
        (Answer(401, b"{}"), "answered 401", "client_id (AMILI_ARM_CLIENT_ID) and client_secret (AMILI_ARM_CLIENT_SECRET)"),
        (Answer(400, b"{}"), "answered 400", "client_id (AMILI_ARM_CLIENT_ID)"),
        (Answer(403, b"{}"), "answered 403", "client_id (AMILI_ARM_CLIENT_ID)"),
        (Answer(302, b"", Location="https://elsewhere.example/"), "answered 302", "identity_url (AMILI_ARM_IDENTITY_URL)"),
        (Answer(503, b""), "answered 503", "try again later"),
    ],
    ids=lambda one: str(one.status) if isinstance(one, Answer) else None,
)
def test_the_identity_service_refuses(doctor, answer, post, text, remedy):
    server = answer(post=post)
    told = doctor(server.env)
    assert text in told.steps["token"]["text"]
    assert remedy in told.steps["token"]["remedy"]
    assert states(told) == ["ok", "failed", "skipped", "skipped"]
    assert len(server.seen) == 1, "nothing is tried twice"


def test_nothing_listens_at_the_identity_service(doctor, answer):
    port = closed_port()
    told = doctor({**answer().env, "AMILI_ARM_IDENTITY_URL": f"http://127.0.0.1:{port}/identity"})
    assert f"127.0.0.1:{port} was refused" in told.steps["token"]["text"]
    assert told.steps["token"]["remedy"] == "Check host and port in identity_url (AMILI_ARM_IDENTITY_URL)"


def test_there_is_no_such_identity_host(doctor, answer):
    told = doctor({**answer().env, "AMILI_ARM_IDENTITY_URL": "https://identity.invalid"})
    assert "identity.invalid was not found" in told.steps["token"]["text"]
    assert "Check the host in identity_url" in told.steps["token"]["remedy"]


def test_an_authority_that_is_not_trusted(doctor, answer):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    secure = answer(context=context)
    told = doctor({**answer().env, "AMILI_ARM_IDENTITY_URL": secure.env["AMILI_ARM_IDENTITY_URL"]})
    assert "is not trusted" in told.steps["token"]["text"]
    assert "identity_url (AMILI_ARM_IDENTITY_URL)" in told.steps["token"]["remedy"]

    told = doctor({**answer().env, "AMILI_ARM_BASE_URL": secure.env["AMILI_ARM_BASE_URL"]})
    assert "is not trusted" in told.steps["read"]["text"]
    assert "base_url (AMILI_ARM_BASE_URL)" in told.steps["read"]["remedy"]


@pytest.mark.parametrize(
    ("issued", "remedy"),
    [
        ({"identities": ["other.example"]}, "Check the host in identity_url (AMILI_ARM_IDENTITY_URL)"),
        ({"identities": ["127.0.0.1"], "not_after": datetime(2020, 1, 1, tzinfo=UTC)}, "Check the clock of this machine"),
    ],
)
def test_a_certificate_of_a_trusted_authority_that_does_not_hold(doctor, answer, tmp_path, issued, remedy):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*issued.pop("identities"), **issued).configure_cert(context)
    env = {**answer(context=context).env, "AMILI_ARM_CA_FILE": str(tmp_path / "ca.pem")}
    told = doctor(env)
    assert "is not trusted" in told.steps["token"]["text"]
    assert remedy in told.steps["token"]["remedy"]
    assert "--ca-file" not in told.steps["token"]["remedy"]


@pytest.mark.parametrize("variable", ["AMILI_ARM_PROXY", "HTTPS_PROXY"])
def test_a_proxy_that_is_not_there(doctor, monkeypatch, variable):
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    proxy = f"http://somebody:very-secret-word@127.0.0.1:{closed_port()}"
    env = {"AMILI_ARM_BASE_URL": "https://api.invalid/arm/v1", "AMILI_ARM_IDENTITY_URL": "https://auth.invalid", "AMILI_ARM_CLIENT_NO": "1"}
    told = doctor({**env, "AMILI_ARM_CLIENT_ID": "id", "AMILI_ARM_CLIENT_SECRET": "very-secret-word", variable: proxy})
    assert "proxy" in told.steps["token"]["text"]
    assert f"Check the proxy in {'proxy (AMILI_ARM_PROXY)' if variable == 'AMILI_ARM_PROXY' else variable}" in told.steps["token"]["remedy"]
    assert told.settings["connection.proxy"]["place"] == variable


def test_a_service_that_does_not_speak_tls(doctor, served):
    told = doctor({**served.env, "AMILI_ARM_IDENTITY_URL": served.env["AMILI_ARM_IDENTITY_URL"].replace("http:", "https:")})
    assert "TLS handshake" in told.steps["token"]["text"]
    assert "scheme and port in identity_url" in told.steps["token"]["remedy"]


# --- the API --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("get", "text", "remedy"),
    [
        (Answer(404, b"{}"), "answered 404", "the path of base_url (AMILI_ARM_BASE_URL) and client_no (AMILI_ARM_CLIENT_NO)"),
        (Answer(401, b"{}"), "answered 401", "identity_url (AMILI_ARM_IDENTITY_URL) and base_url"),
        (Answer(403, b"{}"), "answered 403", "client_no (AMILI_ARM_CLIENT_NO)"),
        (Answer(301, b"", Location="https://elsewhere.example/"), "answered 301", "base_url (AMILI_ARM_BASE_URL), its path too"),
        (Answer(200, PAGE, "text/html"), "not with a list of customers in JSON", "base_url (AMILI_ARM_BASE_URL), its path too"),
        (Answer(200, b'{"hello": "there"}'), "not with a list of customers in JSON", "base_url (AMILI_ARM_BASE_URL), its path too"),
        (Answer(502, PAGE, "text/html", Via="1.1 squid"), "(Content-Type: text/html; via: 1.1 squid)", "try again later"),
    ],
    ids=["404", "401", "403", "301", "html", "other", "proxy"],
)
def test_the_service_refuses(doctor, answer, get, text, remedy):
    server = answer(get=get)
    told = doctor(server.env)
    assert text in told.steps["read"]["text"]
    assert remedy in told.steps["read"]["remedy"]
    assert states(told)[1:3] == ["ok", "failed"]
    assert told.code == 1


def test_nothing_listens_at_the_service(doctor, answer):
    told = doctor({**answer().env, "AMILI_ARM_BASE_URL": f"http://127.0.0.1:{closed_port()}/arm/v1"})
    assert "was refused" in told.steps["read"]["text"]
    assert told.steps["read"]["remedy"] == "Check host and port in base_url (AMILI_ARM_BASE_URL)"
    assert told.steps["clock"]["state"] == "skipped"


@pytest.mark.parametrize(("hours", "word"), [(1, "behind"), (-1, "ahead of")])
def test_the_clock_is_off(doctor, answer, hours, word):
    date = format_datetime(datetime.now(UTC) + timedelta(hours=hours), usegmt=True)
    told = doctor(answer(get=Answer(Date=date)).env)
    assert told.steps["read"]["state"] == "ok"
    assert f"s {word} the service's" in told.steps["clock"]["text"]
    assert "3,59" in told.steps["clock"]["text"] or "3,60" in told.steps["clock"]["text"]
    assert told.code == 1
