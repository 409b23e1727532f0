"""One request on the wire: the only importer of aiohttp's client, with limits, auth, retries and log.

Two ways in: `send` for a single call (tries again, raises errors) and `attempt` for the bulk sender (one try, returns what is proved).

How it is known that nothing left: aiohttp keeps the headers back until the first piece of the body, and every write goes out through
`_Body`, which notes when it is asked for that piece. What fails before has not left. A body is given out once: when aiohttp
(or a middleware of a session that was brought) tries to send it again by itself, it gets nothing.
"""

from __future__ import annotations

import asyncio
import ssl as ssl_module
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from yarl import URL

from . import clock, log
from .auth import ClientCredentials, Secret, TokenSource, check_token
from .bodies import pieces
from .budget import Budget
from .config import Limits, RetryPolicy, Timeout
from .endpoints import TOKEN_SERVICE
from .errors import ArmError, ConfigurationError, NotSentError
from .retry import Fate, back_off, is_transient, may_repeat, pause, retry_after_seconds
from .tries import Delivery, Try, judge, no_answer
from .wire import Request, Response, to_error

__all__ = ["Transport"]

MOST_BYTES: Final = 64_000_000
"""The largest answer that is read."""

FRESH_FOR: Final = 2.0
"""Seconds that a connection may have been idle for an unsafe write: a stale one is the commonest way to an unknown outcome."""


class _SentError(Exception):
    """A body was asked for a second time."""


class _Body(aiohttp.payload.Payload):
    """A body in pieces that notes when it begins to leave, and gives up when the server takes no more."""

    def __init__(self, request: Request, delivery: Delivery, *, stall: float) -> None:
        super().__init__(request.body, content_type=request.content_type)
        self._size = request.size
        self._delivery = delivery
        self._given = False
        self._stall = stall

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The body as text, without the files in it."""
        return b"".join(piece for piece in self._value if isinstance(piece, bytes)).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Writes all pieces; each must be taken within the read time-out."""
        if self._given:
            raise _SentError
        self._given = self._delivery.started = True
        async with clock.Alarm(self._stall) as alarm, aclosing(pieces(self._value)) as parts:
            async for part in parts:
                await writer.write(part)
                alarm.renew()


class Transport:
    """The connections, the token and the limits of one client and its views.

    Args:
        base_url: address below which all paths are.
        auth: where tokens come from.
        session: a session that was brought, never closed here; or None.
        timeout, retry, limits: the client's settings.
        ssl, proxy: for the sessions that are made here.

    Attributes:
        service_clock: what time it is by the `Date` of the answers of the API.
    """

    def __init__(
        self,
        base_url: str,
        *,
        auth: TokenSource,
        session: aiohttp.ClientSession | None,
        timeout: Timeout,
        retry: RetryPolicy,
        limits: Limits,
        ssl: ssl_module.SSLContext | None,
        proxy: str | None,
    ) -> None:
        self.base_url = base_url
        self.timeout = timeout
        self.retry = retry
        self.limits = limits
        self._auth = auth
        self._brought = session
        self._ssl = ssl
        self._proxy = proxy
        self._own: dict[str, aiohttp.ClientSession] = {}
        self._slots = asyncio.Semaphore(limits.connections)
        self._budget = Budget(limits.bytes_in_flight)
        self._closed = False
        self.service_clock = clock.ServiceClock()
        if isinstance(auth, ClientCredentials):
            auth.attach(self.post_form)

    @property
    def credentials(self) -> ClientCredentials | None:
        """The credentials of this client, where its tokens come from some."""
        return self._auth if isinstance(self._auth, ClientCredentials) else None

    async def close(self) -> None:
        """Closes the connections that were made here; a session that was brought stays open."""
        self._closed = True
        if isinstance(self._auth, ClientCredentials):
            self._auth.detach(self.post_form)
        sessions, self._own = self._own, {}
        for session in sessions.values():
            await session.close()

    # --- a single call --------------------------------------------------------------------------------------------------

    async def send(self, request: Request, *, timeout: Timeout | None = None, retry: RetryPolicy | None = None) -> Response:
        """Sends a request, again where that is harmless, and gives its 2xx.

        Raises:
            StatusError: the server said no.
            NotSentError: nothing left, or it was not taken, and the tries are used up.
            OutcomeUnknownError: it may have been done.
            ResponseError: an answer that can't be read, or none to a read.
        """
        timeout = timeout or self.timeout
        policy = retry or self.retry
        delivery = Delivery()
        try:
            async with clock.TimeLimit(timeout.total):
                return await self._persist(request, timeout, policy, delivery)
        except TimeoutError:
            pass
        raise no_answer(request, delivery.may_be_taken, f"no answer within {timeout.total} s")

    async def _persist(self, request: Request, timeout: Timeout, policy: RetryPolicy, delivery: Delivery) -> Response:
        attempt = 0
        while True:
            attempt += 1
            tried = await self._exchange(request, timeout, delivery, _always)
            assert tried is not None
            if tried.fatal is not None:
                raise tried.fatal
            if tried.fate is Fate.DONE and tried.response is not None:
                return replace(tried.response, attempts=attempt)
            delay = pause(policy, attempt, tried.retry_after)
            last = attempt >= policy.attempts or (tried.retry_after is not None and delay > policy.max_delay)
            if last or not may_repeat(tried.fate, safe=request.endpoint.safe, status=tried.status):
                break
            log.info("retry", operation=request.endpoint.operation, attempt=attempt, reason=tried.reason, delay=round(delay, 3))
            await clock.sleep(delay)
        error = tried.error_of(request.endpoint)
        if error is not None:
            raise error
        raise no_answer(request, delivery.may_be_taken, tried.reason)

    # --- one try --------------------------------------------------------------------------------------------------------

    async def ask(self, request: Request, *, timeout: Timeout) -> Try:
        """Sends a request once and says what is proved; for reads."""
        tried = await self.attempt(request, timeout=timeout, delivery=Delivery(), starts=_always)
        assert tried is not None
        return tried

    async def attempt(self, request: Request, *, timeout: Timeout, delivery: Delivery, starts: Callable[[], Awaitable[bool]]) -> Try | None:
        """Sends a request once (once more with a fresh token where the first was refused) and says what is proved.

        Only cancellation comes out as an exception; `delivery` tells then whether a byte may have left. `starts` is asked when all is
        ready, after any waiting; where it says no, nothing is sent and there is no answer. `timeout.total` counts for all of it.
        """
        try:
            async with clock.TimeLimit(timeout.total):
                return await self._exchange(request, timeout, delivery, starts)
        except TimeoutError:
            fate = Fate.DOUBTFUL if delivery.started else Fate.NOT_SENT
            delivery.settle(fate)
            return Try(fate, "time-out")

    async def _exchange(self, request: Request, timeout: Timeout, delivery: Delivery, starts: Callable[[], Awaitable[bool]]) -> Try | None:
        async with self._budget.held(request.held), self._slots:
            if request.base is not None:
                return await self._once(request, None, timeout, delivery) if await starts() else None
            token = await self._token()
            if isinstance(token, Try):
                return token
            if not await starts():
                return None
            tried = await self._once(request, token, timeout, delivery)
            if tried.status != 401:
                return tried
            # Not taken, so it may go again: once, and only with another token.
            self._auth.invalidate(token.reveal())
            fresh = await self._token()
            if isinstance(fresh, Try):
                return fresh
            if fresh == token:
                return tried
            return await self._once(request, fresh, timeout, delivery) if await starts() else None

    async def _token(self) -> Secret | Try:
        """A token, or why there is none; without one nothing is sent."""
        try:
            return Secret(check_token(await self._auth.acquire()))
        except ArmError as failure:
            status = getattr(failure, "status", None)
            passing = isinstance(failure, NotSentError) or (isinstance(status, int) and is_transient(status))
            return Try(Fate.NOT_SENT, "no token", fatal=None if passing else failure)
        except Exception as failure:  # the caller's own function may raise anything
            error = ConfigurationError(f"the function given as auth= raised {type(failure).__name__}")
            error.__cause__ = failure
            return Try(Fate.NOT_SENT, "no token", fatal=error)

    async def _once(self, request: Request, token: Secret | None, timeout: Timeout, delivery: Delivery) -> Try:
        started, asked = clock.monotonic(), clock.steady_time()
        session = self._session_for(request)
        if session is None:
            return Try(Fate.NOT_SENT, "client closed", fatal=ConfigurationError("the client is closed"))
        safe = request.endpoint.safe
        body: _Body | None = None
        if request.body or not safe:
            body = _Body(request, delivery, stall=timeout.read)
        # Where no body of ours tells when something leaves, it may have left at once.
        delivery.started = body is None or self._is_opaque
        if not safe:
            # One turn of the loop, so that a connection that the server has just closed is seen to be closed and is not used.
            await clock.turn()
        response: Response | None = None
        reason = ""
        try:
            async with session.request(
                request.endpoint.method,
                self._address(request),
                headers=_headers(request, token),
                data=body,
                allow_redirects=False,
                raise_for_status=False,
                timeout=self._client_timeout(timeout),
                **self._route(),
            ) as answer:
                if request.base is None:
                    self.service_clock.note(answer.headers.get("Date"), asked, clock.steady_time())
                response = await _read(answer)
        except Exception as failure:  # whatever a session that was brought may raise: the proof is in `delivery`, not in the type
            reason = _name(failure)
            if isinstance(failure, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)):
                delivery.started = delivery.started and body is not None
            elif self._brought is not None:
                delivery.started = True
            if isinstance(failure, RuntimeError) and session.closed:
                return Try(Fate.NOT_SENT, reason, fatal=ConfigurationError("the session that was given is closed"))
        tried = judge(response, reason, delivery, clock.unix_time())
        delivery.settle(tried.fate)
        log.debug(
            "request",
            operation=request.endpoint.operation,
            status=tried.status,
            outcome=tried.fate.value,
            reason=tried.reason,
            bytes=request.size,
            request_id=response.request_id if response is not None else None,
            elapsed=round(clock.monotonic() - started, 4),
        )
        return tried

    @property
    def _is_opaque(self) -> bool:
        """Whether a session that was brought has middlewares: they may send another body than ours, and more than once."""
        return bool(getattr(self._brought, "_middlewares", ()))

    def _address(self, request: Request) -> URL:
        # `encoded`: yarl would decode what it thinks needs no encoding, and so change a path.
        return URL(f"{request.base or self.base_url}/{request.path}", encoded=True).with_query(list(request.query) or None)

    def _route(self) -> dict[str, Any]:
        route: dict[str, Any] = {}
        if self._proxy is not None:
            route["proxy"] = self._proxy
        if self._ssl is not None:
            route["ssl"] = self._ssl
        return route

    def _client_timeout(self, timeout: Timeout) -> aiohttp.ClientTimeout:
        # `connect` counts the wait for a place in the pool too: our own pool is never short of places, a brought one may be.
        connect = timeout.connect if self._brought is None else None
        return aiohttp.ClientTimeout(total=None, connect=connect, sock_connect=timeout.connect, sock_read=timeout.read)

    def _session_for(self, request: Request) -> aiohttp.ClientSession | None:
        """The session that was brought; else one for what is safe, one for unsafe writes, whose connections are never stale, and
        one that uses each connection once, for the methods that aiohttp would send again by itself."""
        if self._closed:
            return None
        if self._brought is not None:
            return self._brought
        if request.endpoint.safe:
            return self._own_session("safe")
        return self._own_session("once" if request.endpoint.method in {"PUT", "DELETE"} else "unsafe")

    def _own_session(self, kind: str) -> aiohttp.ClientSession:
        if kind not in self._own:
            if kind == "once":
                connector = aiohttp.TCPConnector(limit=self.limits.connections, force_close=True)
            else:
                idle = FRESH_FOR if kind == "unsafe" else 15.0
                connector = aiohttp.TCPConnector(limit=self.limits.connections, keepalive_timeout=idle)
            self._own[kind] = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": "amili-arm-async"},
            )
        return self._own[kind]

    # --- the identity service -------------------------------------------------------------------------------------------

    async def post_form(self, url: str, form: Mapping[str, str | Secret]) -> bytes:
        """Posts a form without a token, again where that may help, and gives the body of a 2xx. It holds no slot of the limits."""
        attempt = 0
        while True:
            attempt += 1
            response, reason = await self._post_form_once(url, form)
            if response is not None and 200 <= response.status < 300 and response.complete:
                return response.body
            refused = response is not None and response.status >= 300 and not is_transient(response.status)
            if attempt >= self.retry.attempts or refused:
                break
            await clock.sleep(back_off(self.retry, attempt))
        if response is None or response.status < 300:
            raise NotSentError(f"the identity service gave no answer ({reason}): check identity_url, then try again")
        wait = retry_after_seconds(response.headers.get("retry-after"), clock.unix_time())
        raise to_error(response, TOKEN_SERVICE, wait)

    async def _post_form_once(self, url: str, form: Mapping[str, str | Secret]) -> tuple[Response | None, str]:
        session = self._brought or (None if self._closed else self._own_session("safe"))
        if session is None:
            raise ConfigurationError("the client is closed")
        try:
            async with session.post(
                url,
                data={name: value.reveal() if isinstance(value, Secret) else value for name, value in form.items()},
                allow_redirects=False,
                raise_for_status=False,
                timeout=self._client_timeout(self.timeout),
                **self._route(),
            ) as answer:
                response = await _read(answer)
                return response, "" if response.complete else "answer cut off"
        except Exception as failure:  # whatever a session that was brought may raise
            return None, _name(failure)


async def _always() -> bool:
    return True


def _headers(request: Request, token: Secret | None) -> dict[str, str]:
    headers = {"Accept": request.accept}
    if token is not None:
        headers["Authorization"] = f"Bearer {token.reveal()}"
    if request.language is not None:
        headers["Accept-Language"] = request.language
    if request.encoding is not None:
        headers["Content-Encoding"] = request.encoding
    return headers


async def _read(answer: aiohttp.ClientResponse) -> Response:
    """The answer with its body as far as it came: the status counts even where the body breaks off."""
    headers = {name.lower(): value for name, value in answer.headers.items()}
    parts: list[bytes] = []
    size = 0
    complete = True
    try:
        async for part in answer.content.iter_any():
            size += len(part)
            if size > MOST_BYTES:
                complete = False
                break
            parts.append(part)
    except (aiohttp.ClientError, OSError):  # TimeoutError is an OSError
        complete = False
    return Response(answer.status, headers, b"".join(parts), complete)


def _name(failure: Exception) -> str:
    """What happened, without the data an exception may carry."""
    if isinstance(failure, TimeoutError):
        return "connect time-out" if isinstance(failure, aiohttp.ConnectionTimeoutError) else "time-out"
    return type(failure).__name__
