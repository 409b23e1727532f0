"""The connections: the only importer of aiohttp's client. One request goes out, and what is known of it comes back.

How it is known that nothing left: aiohttp keeps the headers back until the first piece of the body, and every write goes out through
`_Body`, which notes when it is asked for that piece. What fails before has not left. A body is given out once: when aiohttp
(or a middleware of a session that was brought) tries to send it again automatically, it gets nothing.

How a response is matched to its request: a connection that received unsolicited bytes is closed, and nothing is sent on it; and
it is noted how much of the body had left when the answer began to come. On a session that was brought, whose connections can't be
watched, everything that decides whether an invoice is sent uses a new connection.
"""

from __future__ import annotations

import asyncio
import select
import ssl as ssl_module
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing
from contextvars import ContextVar
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import aiohttp
from aiohttp.client_proto import ResponseHandler
from yarl import URL

from . import clock
from .attempts import DeliveryEvidence, SendFailure
from .auth import Secret
from .config import Limits, Timeout
from .endpoints import Endpoint
from .errors import ConfigurationError, proxy_hint
from .proxies import Proxies
from .retry import Proof, proof_of_status, rule_of
from .uploads import pieces
from .wire import Request, Response, batch_receipt

if TYPE_CHECKING:
    from aiohttp.abc import AbstractStreamWriter
    from aiohttp.client_reqrep import ClientRequest
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

try:
    import fcntl
    import termios
except ImportError:  # Windows
    fcntl = termios = None  # type: ignore[assignment]

__all__ = ["Connections"]

FRESH_FOR: Final = 2.0
"""Seconds that a connection may have been idle for an unsafe write: a stale one is the commonest way to an unknown outcome."""


class _SentError(Exception):
    """A body was asked for a second time."""


class _LateError(Exception):
    """A body was asked for when it might not begin to leave any more."""


class _UnaskedError(aiohttp.ClientConnectionError):
    """A new connection had bytes before anything was asked on it."""


class _Exchange:
    """One request and its answer, as the connection sees them.

    Attributes:
        body: the body, or None.
        alarm: ends the exchange where it takes too long.
        delivery: what is proved.
        is_watched: its connection is one of ours.
        is_reused: its connection was used before.
        answered: the answer has begun to come.
        can_be_cut: then, some of the body was still here, so that it can be kept from leaving.
        response: the answer as far as it was read.
        leaves_doubt: the answer does not tell what became of the request, so another one may follow it.
    """

    def __init__(self, request: Request, timeout: Timeout, delivery: DeliveryEvidence, *, has_body: bool) -> None:
        self.delivery = delivery
        self.alarm = clock.Alarm(timeout.exchange_seconds)
        # A function and not the alarm: what a body holds can be copied, as tests with a session of their own do.
        self.body = _Body(request, delivery, lambda: self.alarm.renew(), stall=timeout.read) if has_body else None  # noqa: PLW0108
        self.is_watched = False
        self.is_reused = False
        self.answered = False
        self.can_be_cut = False
        self.response: Response | None = None
        self.leaves_doubt = False

    @property
    def asked(self) -> bool:
        """Whether a byte of the request may have left."""
        return self.body is None or self.body.given

    def answer_comes(self, transport: asyncio.Transport | None) -> None:
        """The answer begins to come over `transport`."""
        self.answered = True
        if self.body is not None:
            self.can_be_cut = not self.body.handed or transport is None or bool(transport.get_write_buffer_size())
            # The answer to the whole of a request acknowledges all of it.
            self.delivery.body_sent = not self.can_be_cut and not _unacknowledged(transport)
            self.delivery.early_answer_counts = not self.is_reused

    def end(self) -> Response | None:
        """The answer. Neither it nor the body is kept: the connection keeps the exchange until its next one."""
        heard, self.response, self.body = self.response, None, None
        return heard


_EXCHANGE: ContextVar[_Exchange] = ContextVar("exchange")


class _Body(aiohttp.payload.Payload):
    """A body in pieces that notes when it begins to leave, and gives up when the server takes no more."""

    def __init__(self, request: Request, delivery: DeliveryEvidence, progress: Callable[[], None], *, stall: float) -> None:
        super().__init__(request.body, content_type=request.content_type)
        self._size = request.size
        self._delivery = delivery
        self._progress = progress
        self._stall = stall
        self.given = False
        self.handed = False

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The body as text, without the files in it."""
        return b"".join(piece for piece in self._value if isinstance(piece, bytes)).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Writes all pieces; each must be taken within the read time-out."""
        if self.given:
            raise _SentError
        if writer.transport is None or writer.transport.is_closing():
            # So nothing has left, and nothing does.
            raise aiohttp.ClientConnectionResetError("closed before anything was sent")
        if self._delivery.is_late():
            # To connect may take long, and the process may have been suspended.
            raise _LateError
        self.given = self._delivery.started = True
        async with clock.Alarm(self._stall) as alarm, aclosing(pieces(self._value)) as parts:
            async for part in parts:
                await writer.write(part)
                alarm.renew()
                self._progress()
        self.handed = True


class _Watched(ResponseHandler):
    """A connection that is closed as soon as something comes that was not asked for, and that notes when an answer begins to come."""

    exchange: _Exchange | None = None
    _answer: aiohttp.StreamReader | None = None

    def begin(self, exchange: _Exchange) -> None:
        """The next request goes over this connection."""
        exchange.is_watched, exchange.is_reused, exchange.answered = True, self.exchange is not None, False
        self.exchange, self._answer = exchange, None

    def has_more(self) -> bool:
        """Whether something came after the last answer; to be asked once, before the next request."""
        if self.should_close or self.transport is None or self.transport.is_closing():
            return True
        if self.exchange is not None and self.exchange.leaves_doubt:
            # What comes next on it would be taken for the answer to the next request.
            return True
        if self._parser is not None:
            # What came in one piece with the answer is in its parser, which is not used again: at its end it says so.
            try:
                if self._parser.feed_eof() is not None:
                    return True
            except Exception:  # it broke off in the middle of something
                return True
        if self.exchange is None and self.transport.get_extra_info("ssl_object") is not None:
            # TLS itself says something after the handshake.
            return False
        return _has_bytes(self.transport.get_extra_info("socket").fileno())

    def data_received(self, data: bytes) -> None:
        """Bytes came. Before the first request they belong to a proxy, or are found by the one who wants to send."""
        exchange = self.exchange
        if exchange is not None and data and (not exchange.asked or (self._answer is not None and self._answer.is_eof())):
            self.force_close()
            if self.transport is not None:
                self.transport.abort()
            return
        super().data_received(data)
        if exchange is not None and exchange.is_reused and exchange.can_be_cut and self.transport is not None:
            # It may be the answer to an earlier request. What is still here never leaves: so this request can't have been taken.
            exchange.delivery.early_answer_counts = True
            self.transport.abort()

    def feed_data(self, data: Any, size: int = 0) -> None:
        """An answer begins to come."""
        message, payload = data
        if self.exchange is not None and message.code >= 200:
            if self.exchange.answered:
                self.force_close()
            else:
                self._answer = payload
                self.exchange.answer_comes(self.transport)
                if not self.exchange.delivery.body_sent:
                    # The answer to the whole request may still follow: it must not be taken for that to the next one.
                    self.force_close()
        super().feed_data(data, size)

    def _on_read_timeout(self) -> None:
        # When the process was stopped, the loop sees that the time is over before it sees what came meanwhile.
        if self._read_timeout_handle is not None and clock.is_late(self._read_timeout_handle.when()):
            self._reschedule_timeout()
        else:
            super()._on_read_timeout()


class _Connector(aiohttp.TCPConnector):
    """Gives out only connections on which nothing waits to be read."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._factory: Any = partial(_Watched, loop=asyncio.get_running_loop())

    async def connect(self, req: ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout) -> Connection:
        """A connection for a request."""
        while True:
            connection = await super().connect(req, traces, timeout)
            protocol = connection.protocol
            assert isinstance(protocol, _Watched)
            if not protocol.has_more():
                protocol.begin(_EXCHANGE.get())
                return connection
            connection.close()
            if protocol.exchange is None:
                raise _UnaskedError


def _leaves_doubt(endpoint: Endpoint, answer: Response) -> bool:
    """Whether an answer to a write does not tell what became of it."""
    proof = proof_of_status(answer.status)
    if proof is Proof.DONE:
        return endpoint.path.endswith("/batches") and batch_receipt(answer) is None
    return proof is Proof.AMBIGUOUS and not endpoint.safe


def _unacknowledged(transport: asyncio.Transport | None) -> int:
    """Bytes that were written to a socket and that the other side has not acknowledged; 0 where the system does not tell."""
    if fcntl is None or termios is None or transport is None or sys.platform != "linux":
        return 0
    try:
        told = fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
    except (OSError, ValueError, AttributeError):
        return 0
    return int.from_bytes(told, sys.byteorder)


def _has_bytes(descriptor: int) -> bool:
    """Whether bytes, or the end, have arrived at a socket and are not read yet."""
    if descriptor < 0:
        return True
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(0))
    return bool(select.select([descriptor], [], [], 0)[0])


class Connections:
    """The sessions of one client.

    Args:
        session: a session that was brought, never closed here; or None.
        limits: how many connections there may be.
        ssl, proxies: for the sessions that are made here.
    """

    def __init__(
        self, *, session: aiohttp.ClientSession | None, limits: Limits, ssl: ssl_module.SSLContext | None, proxies: Proxies
    ) -> None:
        self._brought = session
        self._limits = limits
        self._tls: dict[str, Any] = {"ssl": check_context(ssl)} if ssl is not None else {}
        self._proxies = proxies
        self._own: dict[str, aiohttp.ClientSession] = {}
        self._numbers = count(1)

    async def close(self) -> None:
        """Closes the sessions that were made here."""
        while self._own:
            _, session = self._own.popitem()
            try:
                await session.close()
            finally:
                # Where this is cancelled, the others are closed all the same.
                await self.close()

    async def send(
        self,
        request: Request,
        address: str,
        token: Secret | None,
        *,
        timeout: Timeout,
        delivery: DeliveryEvidence,
        headers: Mapping[str, str] | None = None,
    ) -> Response | SendFailure:
        """Sends a request once. Only cancellation comes out as an exception; what is proved is in `delivery`.

        Args:
            request: what is sent.
            address: where to: the whole address without the query, percent-encoded.
            token: the bearer token, or None.
            timeout: its times for connecting, reading and the whole exchange.
            delivery: whether a byte may have left, and what an answer proves.
            headers: further headers, or None.
        """
        safe = request.endpoint.safe
        exchange = _Exchange(request, timeout, delivery, has_body=bool(request.body) or not safe)
        # Without a body of ours that records when bytes leave, they may have left at once.
        delivery.started = exchange.body is None or self._is_opaque
        delivery.body_sent = delivery.early_answer_counts = True
        session: aiohttp.ClientSession | None = None
        before = _EXCHANGE.set(exchange)
        try:
            session = self._session_for(request)
            async with (
                exchange.alarm,
                session.request(
                    request.endpoint.method,
                    # `encoded`: yarl would decode what it thinks needs no encoding, and so change a path.
                    URL(address, encoded=True).with_query(list(request.query) or None),
                    # Made here, so that no local shows the token in a traceback.
                    headers={**_headers(request, token), **self._new_connection_headers(request), **(headers or {})},
                    data=exchange.body,
                    allow_redirects=False,
                    raise_for_status=False,
                    timeout=self._client_timeout(timeout),
                    **self._new_connection(request),
                    **self._route(address),
                ) as answer,
            ):
                self._take_note(exchange, answer, request)
                await _read(answer, exchange, request.most)
        except Exception as exc:  # whatever a session that was brought may raise: the proof is in `delivery`, not in the type
            # The status counts even where the rest did not come in time.
            if exchange.response is not None:
                return exchange.response
            return self._failed(exc, exchange, address, session)
        finally:
            _EXCHANGE.reset(before)
            heard = exchange.end()
        assert heard is not None
        exchange.leaves_doubt = _leaves_doubt(request.endpoint, heard)
        return heard

    # --- what is proved ---------------------------------------------------------------------------------------------------

    @property
    def _is_opaque(self) -> bool:
        """Whether a session that was brought has middlewares: they may send another body than ours, and more than once."""
        return bool(getattr(self._brought, "_middlewares", ()))

    def _take_note(self, exchange: _Exchange, answer: aiohttp.ClientResponse, request: Request) -> None:
        """Notes what is known where the connection is not watched."""
        body = exchange.body
        if exchange.is_watched or body is None:
            return
        # A body that was not asked for: another one was sent, or there is no connection at all (in tests), or the answer came first.
        is_foreign = not body.given and (self._is_opaque or getattr(answer, "_protocol", None) is None)
        exchange.delivery.body_sent = body.handed or is_foreign
        exchange.delivery.early_answer_counts = request.endpoint.needs_new_connection

    def _failed(self, failure: Exception, exchange: _Exchange, address: str, session: aiohttp.ClientSession | None) -> SendFailure:
        """Why there is no answer, and what that proves."""
        delivery, body = exchange.delivery, exchange.body
        if any(isinstance(one, _LateError) for one in _causes(failure)):
            delivery.started = self._is_opaque
            return SendFailure("too late", "it was recorded too long ago as about to be sent")
        trouble = self._trouble_of(failure, address, exchange)
        if session is None or isinstance(failure, _UnaskedError):
            delivery.started = False
        elif isinstance(failure, _NOT_CONNECTED):
            delivery.started = delivery.started and body is not None
        elif trouble.reason == _NO_CLIENT_CERTIFICATE and not exchange.is_reused and not self._is_opaque:
            # The server ended the handshake: it has read nothing of what was sent after our part of it.
            delivery.started = False
        elif self._brought is not None:
            delivery.started = body is None or body.given or self._is_opaque or not trouble.is_ours
        elif (trouble.is_ours or trouble.reason == _NOT_THROUGH) and body is None:
            delivery.started = exchange.is_watched
        return trouble

    def _trouble_of(self, failure: Exception, address: str, exchange: _Exchange) -> SendFailure:
        """What happened, in plain words, and whether it lasts."""
        causes = list(_causes(failure))
        parts = urlsplit(address)
        origin = f"{parts.scheme}://{parts.netloc}"
        if (found := _of_settings(failure)) is not None:
            return found
        proxies = self._proxies if self._proxies.of(address) is not None else Proxies()
        certified = (proxies.shown or origin) if _is_at_proxy(failure, proxies) else origin
        if (found := _of_proxy(failure, proxies, origin) or _of_tls(causes, certified)) is not None:
            return found
        if proxies.shown is not None and not exchange.is_watched and not isinstance(failure, aiohttp.ClientConnectorError):
            what = "no answer in time" if isinstance(failure, TimeoutError) else type(failure).__name__
            text = f"the proxy {proxies.shown} gave no connection to {origin} ({what}): check {proxies.setting}"
            return SendFailure(_NOT_THROUGH, text, cause=_clean(causes[-1]))
        cause = _clean(causes[-1])
        if isinstance(failure, aiohttp.ClientConnectorDNSError):
            text = f"the host name {failure.host} was not found: check the address and the network"
            return SendFailure("host name not found", text, "perhaps", cause=cause)
        if isinstance(failure, aiohttp.ClientConnectorError) and any(isinstance(one, ConnectionRefusedError) for one in causes):
            text = f"the connection to {failure.host}:{failure.port} was refused: nothing listens there, check the address"
            return SendFailure("connection refused", text, is_closed_port=True, cause=cause)
        if isinstance(failure, aiohttp.ClientConnectorError):
            text = f"no connection to {failure.host}:{failure.port} ({failure.os_error.strerror or type(failure.os_error).__name__})"
            return SendFailure("no connection", text, cause=cause)
        if isinstance(failure, TimeoutError):
            reason = "connect time-out" if isinstance(failure, aiohttp.ConnectionTimeoutError) else "time-out"
            return SendFailure(reason, reason, cause=cause)
        if isinstance(failure, aiohttp.ClientResponseError):
            return SendFailure("answer not readable", "the answer can't be read as HTTP", cause=cause)
        if isinstance(failure, (aiohttp.ClientError, OSError)):
            return SendFailure("connection broken", "the connection broke", cause=cause)
        return SendFailure(type(failure).__name__, type(failure).__name__, cause=cause)

    def _route(self, address: str) -> dict[str, Any]:
        """The certificates, and the proxy that an address is reached through."""
        proxy = self._proxies.of(address)
        return {**self._tls, "proxy": proxy} if proxy is not None else self._tls

    # --- sessions ---------------------------------------------------------------------------------------------------------

    def _new_connection(self, request: Request) -> dict[str, Any]:
        """What makes aiohttp use a new connection on a session that was brought."""
        if self._brought is None or not request.endpoint.needs_new_connection:
            return {}
        # Those of a call take the place of those of the session: the last one is the one next to the wire.
        return {"middlewares": (*getattr(self._brought, "_middlewares", ()), self._alone)}

    async def _alone(
        self, request: aiohttp.ClientRequest, send: Callable[[aiohttp.ClientRequest], Awaitable[aiohttp.ClientResponse]]
    ) -> aiohttp.ClientResponse:
        """A middleware: connections are kept apart by the headers for a proxy, so where these are new there is none to be reused."""
        number = f"{id(self):x}-{next(self._numbers)}"
        named: Any = {**(request.proxy_headers or {}), "X-Connection-Number": number}
        request.proxy_headers = named
        return await send(request)

    def _new_connection_headers(self, request: Request) -> dict[str, str]:
        return {"Connection": "close"} if self._new_connection(request) else {}

    def _client_timeout(self, timeout: Timeout) -> aiohttp.ClientTimeout:
        # `connect` counts the wait for a place in the pool too: our own pool is never short of places, a brought one may be.
        connect = timeout.connect if self._brought is None else None
        return aiohttp.ClientTimeout(total=None, connect=connect, sock_connect=timeout.connect, sock_read=timeout.read)

    def _session_for(self, request: Request) -> aiohttp.ClientSession:
        """The session that was brought; else one for what is safe, one for unsafe writes, whose connections are never stale, and
        one that uses each connection once, for the methods that aiohttp resends automatically."""
        if self._brought is not None:
            if self._brought.closed:
                raise ConfigurationError("the session that was given is closed: give one that is open as long as the client")
            if getattr(self._brought, "_loop", None) not in (None, asyncio.get_running_loop()):
                raise ConfigurationError("the session that was given belongs to another event loop: make it in the loop that uses it")
            return self._brought
        if request.endpoint.safe:
            return self._own_session("safe")
        return self._own_session("once" if request.endpoint.method in {"PUT", "DELETE"} else "unsafe")

    def _own_session(self, kind: str) -> aiohttp.ClientSession:
        if kind not in self._own:
            if kind == "once":
                connector = _Connector(limit=self._limits.connections, force_close=True)
            else:
                connector = _Connector(limit=self._limits.connections, keepalive_timeout=FRESH_FOR if kind == "unsafe" else 15.0)
            self._own[kind] = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": "amili-arm-async"},
            )
        return self._own[kind]


def _headers(request: Request, token: Secret | None) -> dict[str, str]:
    headers = {"Accept": request.accept}
    if token is not None:
        headers["Authorization"] = f"Bearer {token.reveal()}"
    if request.language is not None:
        headers["Accept-Language"] = request.language
    if request.encoding is not None:
        headers["Content-Encoding"] = request.encoding
    return headers


def check_context(context: object) -> ssl_module.SSLContext:
    """Refuses what is no context for TLS."""
    if not isinstance(context, ssl_module.SSLContext):
        raise ConfigurationError(f"ssl must be an ssl.SSLContext, not {type(context).__name__}: see ssl.create_default_context()")
    return context


# --- what went wrong ------------------------------------------------------------------------------------------------------

_NOT_CONNECTED: Final = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.ClientHttpProxyError)
"""Failures before there is a connection that a request could go over."""

_NOT_THROUGH: Final = "no connection through the proxy"

_NO_CLIENT_CERTIFICATE: Final = "client certificate refused"

_MISTAKES: Final = (TypeError, ValueError, AttributeError, LookupError, NameError, AssertionError, RuntimeError)
"""What a mistake in a program or its settings raises."""


def _causes(failure: BaseException) -> Iterator[BaseException]:
    """A failure and what led to it."""
    seen: set[int] = set()
    found: BaseException | None = failure
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        yield found
        found = getattr(found, "os_error", None) or getattr(found, "certificate_error", None) or found.__cause__ or found.__context__


def _clean(failure: BaseException) -> BaseException:
    """A failure to be chained: those of aiohttp may hold headers and the credentials of a proxy, and so may what they are chained to."""
    module = type(failure).__module__.partition(".")[0]
    if module not in {"builtins", "ssl", "socket", "asyncio"}:
        return ConnectionError(type(failure).__name__)
    if isinstance(failure, OSError):
        failure.__cause__ = failure.__context__ = None
        return failure.with_traceback(None)
    return type(failure)() if isinstance(failure, TimeoutError) else ConnectionError(type(failure).__name__)


def _of_settings(failure: Exception) -> SendFailure | None:
    """A mistake in the program or its settings, which no wait betters."""
    if isinstance(failure, ConfigurationError):
        return SendFailure("settings", str(failure), "yes", is_ours=True)
    is_of_the_network = isinstance(failure, (aiohttp.ClientError, OSError)) and not isinstance(failure, aiohttp.InvalidURL)
    # uvloop says so where a connection has just been closed.
    if is_of_the_network or not isinstance(failure, _MISTAKES) or "handler is closed" in str(failure):
        return None
    name = type(failure).__name__
    text = f"a mistake in the program or its settings, and no trouble of the network, raised {name}: see the cause"
    return SendFailure(name, text, "yes", is_ours=True, cause=failure)


def _of_proxy(failure: Exception, proxies: Proxies, origin: str) -> SendFailure | None:
    """What went wrong between this machine and its proxy, or between that and the server."""
    if isinstance(failure, aiohttp.ClientHttpProxyError):
        said = f"the proxy answered {failure.status}"
        text = f"{said}: {proxy_hint(failure.status, proxies.shown or '', origin, proxies.setting)}"
        return SendFailure(said, text, rule_of(failure.status).proxy, cause=ConnectionError(said))
    if not isinstance(failure, aiohttp.ClientConnectorError) or (
        not isinstance(failure, aiohttp.ClientProxyConnectionError) and not _is_at_proxy(failure, proxies)
    ):
        return None
    where, cause = f"the proxy {failure.host}:{failure.port}", _clean(failure.os_error)
    if isinstance(failure, aiohttp.ClientConnectorDNSError):
        return SendFailure("proxy not found", f"the host name of {where} was not found: check {proxies.setting}", "perhaps", cause=cause)
    if isinstance(failure, aiohttp.ClientProxyConnectionError):
        return SendFailure("proxy not reached", f"no connection to {where}: check {proxies.setting}", is_closed_port=True, cause=cause)
    return None


def _is_at_proxy(failure: Exception, proxies: Proxies) -> bool:
    """Whether it was the connection to the proxy that failed."""
    return isinstance(failure, aiohttp.ClientConnectorError) and proxies.host is not None and failure.host == proxies.host


_OTHER_NAME: Final = "the server has another name than its address says: check the address"
_CLOCK: Final = "whoever runs the server must renew it; check the clock of this machine too"
_CERTIFICATE_REMEDIES: Final[Mapping[int, str]] = {9: _CLOCK, 10: _CLOCK, 62: _OTHER_NAME, 64: _OTHER_NAME}
"""What to do about a certificate, by OpenSSL's code."""


def _of_tls(causes: list[BaseException], origin: str) -> SendFailure | None:
    """What TLS said, where it was that."""
    if any(isinstance(one, aiohttp.ServerFingerprintMismatch) for one in causes):
        return SendFailure("certificate not trusted", f"the certificate of {origin} is not the one that was expected", "yes")
    # Some errors of aiohttp are such errors too, without their words.
    said = next((one for one in causes if isinstance(one, ssl_module.SSLError) and not isinstance(one, aiohttp.ClientError)), None)
    if said is None:
        return None
    cause = _clean(said)
    if isinstance(said, ssl_module.SSLCertVerificationError):
        remedy = _CERTIFICATE_REMEDIES.get(said.verify_code, "give the certificate of its authority as ca_file, or check the address")
        text = f"the certificate of {origin} is not trusted ({said.verify_message}): {remedy}"
        return SendFailure("certificate not trusted", text, "yes", cause=cause)
    words = said.reason or ""
    if "ALERT" in words and ("CERTIFICATE" in words or "UNKNOWN_CA" in words):
        text = f"{origin} did not accept the client certificate, or wants one ({words}): give it as client_cert and client_key"
        return SendFailure(_NO_CLIENT_CERTIFICATE, text, "yes", cause=cause)
    if not isinstance(causes[0], aiohttp.ClientConnectorError):
        # After the handshake it is a connection that broke.
        return None
    text = f"the TLS handshake with {origin} failed ({words or type(said).__name__}): check that the address speaks https"
    if "HANDSHAKE_FAILURE" in words:
        text = f"{origin} refused the TLS handshake ({words}): it may want a client certificate (client_cert), or another version of TLS"
    # What the other side refuses in words, or does not speak, it mostly does so the next time.
    lasts = words in {"WRONG_VERSION_NUMBER", "HTTP_REQUEST"} or ("ALERT" in words and "INTERNAL_ERROR" not in words)
    return SendFailure("TLS failed", text, "perhaps" if lasts else "no", cause=cause)


async def _read(answer: aiohttp.ClientResponse, exchange: _Exchange, most: int) -> None:
    """Keeps the answer with its body as far as it came: the status counts even where the body breaks off, or is larger than `most`."""
    headers = {name.lower(): value for name, value in answer.headers.items()}
    exchange.response = Response(answer.status, headers, b"", complete=False)
    parts: list[bytes] = []
    size = 0
    complete = True
    # What is announced as too large is not read at all. To leave the rest unread closes the connection.
    is_too_large = (answer.content_length or 0) > most
    try:
        while not is_too_large and (part := await answer.content.readany()):
            size += len(part)
            is_too_large = size > most
            parts.append(part)
    except (aiohttp.ClientError, OSError):  # TimeoutError is an OSError
        complete = False
    body = b"" if is_too_large else b"".join(parts)
    exchange.response = Response(answer.status, headers, body, complete and not is_too_large, is_too_large=is_too_large)
