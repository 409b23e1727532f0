"""`amili-arm doctor`: checks the settings, one token, one read and the clock, and says what is wrong with each."""

from __future__ import annotations

import base64
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, TypeAlias

import typer

from .. import clock, codec, wire
from ..attempts import Attempt
from ..client import ArmClient
from ..config import RetryPolicy, Timeout
from ..environment import secret_of
from ..errors import ArmError, ConfigurationError, StatusError
from ..proxies import Proxies
from ..retry import Proof
from . import output
from .command import OUTPUT, command
from .config import shown_value, value_in_words
from .options import ConnectionOptions
from .runner import run_to_end
from .settings import Settings, current_file
from .settings_schema import KNOWN
from .signals import SignalHandler
from .wording import in_options

__all__ = ["Checkup", "Step", "doctor"]

StepState: TypeAlias = Literal["ok", "failed", "skipped"]

_SECONDS: Final = 5.0
"""Most seconds for a connection, and for a response."""

_QUICK: Final = Timeout(connect=_SECONDS, read=_SECONDS, exchange=_SECONDS, total=2 * _SECONDS)

_CLOCK_OFF: Final = 30.0
"""Seconds that the clock of this machine may differ from that of the service."""

_NOT_VALID_NOW: Final = (9, 10)
_OTHER_NAME: Final = (62, 64)
"""OpenSSL's codes of a certificate: not valid yet or expired; of another host or address."""

_WANTED: Final = ("connection.base_url", "connection.client_no")
_IDENTITY: Final = ("connection.identity_url", "connection.client_id", "connection.client_secret")
_PROXY_HEADERS: Final = ("via", "proxy-agent", "x-squid-error", "x-cache")

_TOKEN_REMEDIES: Final[Mapping[int, tuple[str, ...]]] = {
    400: ("client_id", "client_secret"),
    401: ("client_id", "client_secret"),
    403: ("client_id",),
}
"""By status of the identity service, the settings that may be wrong; for all others, its address."""


@command
def doctor(
    connection: ConnectionOptions,
    as_json: Annotated[
        bool, typer.Option("--json", rich_help_panel=OUTPUT, help="Print the result as one line of JSON on standard output.")
    ] = False,
) -> None:
    """Checks that the command line reaches the service: the settings, one token, one read, and the clock.

    It says for each step whether it works, what is wrong, and what to do. It only reads, and never waits long.

    Exit code 0: all steps work; 1: one failed.
    """
    checkup = Checkup()
    client = checkup.check_settings(connection)
    code = 0
    if client is not None:
        with SignalHandler() as signals:
            code = run_to_end(checkup.run(client), signals)
    if as_json:
        output.print_json(checkup.as_json())
    else:
        checkup.print_lines()
    raise typer.Exit(code or (0 if checkup.ok else 1))


@dataclass(frozen=True, slots=True)
class Step:
    """One step, and how it went.

    Attributes:
        name: `settings`, `token`, `read` or `clock`.
        state: how it went.
        text: what was found, or why it failed.
        remedy: what to do; None where nothing is to be done, or the text says it.
        seconds: how long it took; None where nothing was sent.
    """

    name: str
    state: StepState
    text: str
    remedy: str | None = None
    seconds: float | None = None


@dataclass
class Checkup:
    """All steps of one checkup.

    Attributes:
        steps: those that were done, in their order.
        settings: what was found; None where the settings can't be read.
    """

    steps: list[Step] = field(default_factory=list)
    settings: Settings | None = None

    # --- the steps --------------------------------------------------------------------------------------------------------

    def check_settings(self, connection: ConnectionOptions) -> ArmClient | None:
        """Checks the settings.

        Args:
            connection: the options that were given.

        Returns:
            A client with these settings; None where they are wrong.
        """
        try:
            self.settings = connection.settings()
            client = self.settings.client(timeout=_QUICK, retry=RetryPolicy(attempts=1))
        except ConfigurationError as exc:
            self.steps.append(Step("settings", "failed", str(exc)))
            self._skip("token", "read", "clock", why="the settings are wrong")
            return None
        file = current_file()
        where = f"settings file {file.path}" if file is not None else "no settings file"
        self.steps.append(
            Step("settings", "ok", f"client number {client.client_no} at {self.settings.value('connection.base_url')}; {where}")
        )
        return client

    async def run(self, client: ArmClient) -> None:
        """Fetches a token, reads once, and compares the clocks.

        Args:
            client: is closed at the end.
        """
        async with client:
            if await self._check_token(client):
                await self._check_read(client)
            else:
                self._skip("read", why="there is no token")
            self._check_clock(client)

    async def _check_token(self, client: ArmClient) -> bool:
        """Fetches a token; returns whether there is one."""
        assert self.settings is not None
        transport = client._context.transport  # noqa: SLF001
        began = clock.monotonic()
        try:
            await transport.fetch_token()
        except ArmError as exc:
            self.steps.append(Step("token", "failed", str(exc), self._token_remedy(exc), _seconds_since(began)))
            return False
        if transport.credentials is not None:
            self.steps.append(Step("token", "ok", f"from {transport.credentials.identity_url}", seconds=_seconds_since(began)))
            return True
        where = self._places("token")
        expires = _expiry_of(secret_of(self.settings.connection(), "token") or "")
        if expires is not None and expires < clock.unix_time():
            text = f"the token that was given expired at {datetime.fromtimestamp(expires, UTC):%Y-%m-%d %H:%M:%S} UTC"
            self.steps.append(Step("token", "failed", text, f"Give a new one in {where}, or client_id and client_secret, which fetch it"))
        else:
            self.steps.append(Step("token", "ok", f"given in {where}; none was fetched"))
        return True

    def _token_remedy(self, error: ArmError) -> str:
        for cause in _causes(error):
            if isinstance(cause, StatusError):
                if cause.status in _TOKEN_REMEDIES:
                    return f"Check {self._places(*_TOKEN_REMEDIES[cause.status])}"
                if cause.status == 429 or cause.status >= 500:
                    return "The identity service failed, or a proxy before it: try again later"
        return self._remedy_without_answer(error, "identity_url") or f"Check {self._places('identity_url')}, its path too"

    async def _check_read(self, client: ArmClient) -> None:
        context = client._context  # noqa: SLF001
        request = context.probe()
        began = clock.monotonic()
        attempt = await context.transport.ask(request, timeout=_QUICK)
        seconds = _seconds_since(began)
        response = attempt.response
        body = response.body if response is not None and attempt.proof is Proof.DONE else None
        if body is not None and wire.list_in(codec.json_value(body), request.endpoint.items) is not None:
            self.steps.append(Step("read", "ok", f"{request.endpoint.operation} was answered {attempt.status}", seconds=seconds))
            return
        error = attempt.status_error(request.endpoint) or attempt.error
        if error is not None:
            text = str(error).removesuffix("; what the server wrote is in .body")
        elif body is not None:
            text = f"{request.endpoint.operation} was answered {attempt.status}, but not with a list of customers in JSON"
        else:
            text = f"{request.endpoint.operation}: {attempt.reason}"
        self.steps.append(Step("read", "failed", text + _sender_of(attempt), self._read_remedy(attempt), seconds))

    def _read_remedy(self, attempt: Attempt) -> str:
        """Says what to do about a read that failed."""
        status = attempt.status
        if status == 401:
            where = self._places(*(("token",) if self._has_token else ("identity_url",)))
            return f"The token is not for this service, or has expired. Check {where} and {self._places('base_url')}, and the clock"
        if status == 403:
            return f"Check {self._places('client_no')}, and that the credentials have permission for it"
        if status == 404:
            return f"Check the path of {self._places('base_url')} and {self._places('client_no')}"
        if status is not None and (status == 429 or status >= 500):
            return "The service failed, or a proxy before it: try again later"
        if attempt.error is not None and (remedy := self._remedy_without_answer(attempt.error, "base_url")):
            return remedy
        return f"Check {self._places('base_url')}, its path too"

    def _remedy_without_answer(self, error: ArmError, address: str) -> str | None:
        """Says what to do where the connection failed; None where that is not why."""
        where = self._places(address)
        # What this library says of a proxy names it.
        if "the proxy " in str(error):
            return f"Check the proxy in {self._proxy_place()}, and whether it lets this address through: {where}"
        if "client certificate" in str(error):
            return f"Give the client certificate of this service with --client-cert and --client-key, or check {where}"
        for cause in _causes(error):
            if isinstance(cause, ssl.SSLCertVerificationError):
                if cause.verify_code in _OTHER_NAME:
                    return f"Check the host in {where}: the certificate is that of another server"
                if cause.verify_code in _NOT_VALID_NOW:
                    return f"Check the clock of this machine; if it is right, whoever runs the server of {where} must renew its certificate"
                return f"Give the certificate of its authority with --ca-file, if you know that it is right; or check the host in {where}"
            if isinstance(cause, ssl.SSLError):
                return f"Check scheme and port in {where}: does TLS answer there?"
            if isinstance(cause, socket.gaierror):
                return f"Check the host in {where}, and the name server of this machine"
            if isinstance(cause, ConnectionRefusedError):
                return f"Check host and port in {where}"
            if isinstance(cause, ConnectionError):
                return f"Check scheme and port in {where}, and whether a firewall is in between, or a proxy is needed"
            if isinstance(cause, TimeoutError):
                return f"Check the host in {where}, and whether a firewall is in between, or a proxy is needed"
        return None

    def _check_clock(self, client: ArmClient) -> None:
        service = client._context.transport.service_clock  # noqa: SLF001
        earliest, latest, now = service.earliest(), service.latest(), clock.unix_time()
        if earliest is None or latest is None:
            self.steps.append(Step("clock", "skipped", "no response of the API had a date"))
            return
        ahead = max(0.0, now - latest) - max(0.0, earliest - now)
        if abs(ahead) <= _CLOCK_OFF:
            self.steps.append(Step("clock", "ok", f"within {max(1, round(abs(ahead)))} s of the service's"))
            return
        text = f"the clock of this machine is {abs(ahead):,.0f} s {'ahead of' if ahead > 0 else 'behind'} the service's"
        self.steps.append(Step("clock", "failed", text, "Set the clock, and keep it right with NTP: tokens and journals rely on it"))

    def _skip(self, *names: str, why: str) -> None:
        self.steps += [Step(name, "skipped", f"not tried: {why}") for name in names]

    # --- settings ---------------------------------------------------------------------------------------------------------

    @property
    def _has_token(self) -> bool:
        return self.settings is not None and any(key in self.settings.found for key in _ways("token"))

    def _places(self, *names: str) -> str:
        """Names settings with where each comes from."""
        assert self.settings is not None
        shown = []
        for name in names:
            key = next((one for one in _ways(name) if one in self.settings.found), None)
            if key is None:
                shown.append(name)
            else:
                found = self.settings.found[key]
                shown.append(f"{key.partition('.')[2]} ({output.plain(found.place or found.origin)})")
        return " and ".join(shown)

    def _proxy_place(self) -> str:
        proxy = self._proxy()
        return proxy.setting if proxy is not None else self._places("proxy")

    def _proxy(self) -> Proxies | None:
        """Returns the proxy that the environment names, where it is used."""
        if self.settings is None:
            return None
        proxy = self.settings.connection(with_secrets=False).get("proxy")
        addresses = [self.settings.value(f"connection.{name}") for name in ("base_url", "identity_url")]
        try:
            is_used = isinstance(proxy, Proxies) and any(proxy.of(address) is not None for address in addresses if address is not None)
        except ConfigurationError:
            is_used = True
        return proxy if is_used else None

    def _shown_settings(self) -> dict[str, dict[str, Any]]:
        """Returns the settings of the connection that were given, and those that are missing; secrets are masked."""
        if self.settings is None:
            return {}
        wanted = {*_WANTED, *(() if self._has_token else _IDENTITY)}
        wanted -= {key for key in wanted if any(way in self.settings.found for way in _ways(key.partition(".")[2])[1:])}
        keys = [key for key in KNOWN if key.startswith("connection.") and (key in wanted or key in self.settings.found)]
        values = {key: self.settings.get(key) for key in keys}
        shown = {key: {"value": shown_value(key, one), "origin": one.origin, "place": one.place} for key, one in values.items()}
        if (proxy := self._proxy()) is not None:
            shown["connection.proxy"] = {"value": proxy.shown, "origin": "environment", "place": proxy.setting}
        return shown

    # --- the result -------------------------------------------------------------------------------------------------------

    @property
    def ok(self) -> bool:
        """Whether no step failed and the service was read."""
        return all(step.state != "failed" for step in self.steps) and any(step.name == "read" for step in self.steps)

    def as_json(self) -> dict[str, Any]:
        """Returns the result for programs.

        Returns:
            A JSON object.
        """
        return {"ok": self.ok, "settings": self._shown_settings(), "steps": [asdict(step) for step in self.steps]}

    def print_lines(self) -> None:
        """Prints the result for people, on standard output."""
        for key, one in self._shown_settings().items():
            value = value_in_words(one["value"]) if one["value"] is not None else "not set"
            typer.echo(f"  {key.partition('.')[2]} = {value} ({output.plain(one['place'] or one['origin'])})")
        for step in self.steps:
            took = f" ({step.seconds:.2f} s)" if step.seconds is not None else ""
            output.say(f"{step.state:7}  {step.name}: {in_options(output.plain(step.text, 2000))}{took}", err=False, indent=" " * 9)
            if step.remedy is not None:
                end = "" if step.remedy.endswith("?") else "."
                output.say(f"         {output.plain(step.remedy, 2000)}{end}", err=False, indent=" " * 9)


def _seconds_since(began: float) -> float:
    return round(clock.monotonic() - began, 3)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yields an error and what led to it."""
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__


def _sender_of(attempt: Attempt) -> str:
    """Says who may have answered in place of the API, where the answer shows it."""
    response = attempt.response
    if response is None:
        return ""
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    shown = [f"{name}: {output.plain(response.headers[name], 80)}" for name in _PROXY_HEADERS if name in response.headers]
    if not shown and (not response.body or "json" in kind):
        return ""
    words = f" ({'; '.join([*([f'Content-Type: {output.plain(kind, 80)}'] if kind else []), *shown])})" if kind or shown else ""
    return f". The answer may not be the API's, but that of a proxy or of another site{words}"


def _ways(name: str) -> tuple[str, ...]:
    """Returns the settings that give a setting or a secret."""
    return f"connection.{name}", f"connection.{name}_file", f"connection.{name}_keyring"


def _expiry_of(token: str) -> float | None:
    """Returns the Unix time at which a JWT expires; None where the token does not say."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = codec.json_object(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        seconds = float(claims["exp"]) if claims is not None else None
        return seconds if seconds is not None and 0 < seconds < 32_503_680_000 else None
    except (ValueError, TypeError, KeyError):
        return None
