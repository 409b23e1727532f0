"""One request with its limits, its token, its retries and its log.

Two ways in: `send` for a single call (tries again, raises errors) and `attempt` for the bulk sender (one try, returns what is proved).
Both, and the token itself, go out through one place, `_once`, and through nothing else.
"""

from __future__ import annotations

import asyncio
import os
import ssl as ssl_module
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from msgspec import structs

from . import clock, log, wire
from .attempts import Attempt, DeliveryEvidence, evaluate, no_answer
from .auth import ClientCredentials, Secret, TokenSource, check_token, describe
from .config import Limits, RetryPolicy, Timeout
from .connections import Connections
from .endpoints import TOKEN_SERVICE
from .errors import (
    ArmError,
    AuthenticationError,
    ConfigurationError,
    Lasting,
    NotSentError,
    OutcomeUnknownError,
    ResponseError,
    StatusError,
)
from .retry import Proof, backoff, is_transient, may_repeat, retry_delay
from .wire import Request, Response, to_error

if TYPE_CHECKING:
    import aiohttp

__all__ = ["ByteLimiter", "Transport"]


class ByteLimiter:
    """So many bytes at once, first come first served; what is larger than the whole budget goes alone."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._used = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def held(self, amount: int) -> AsyncIterator[None]:
        """Holds `amount` bytes of the budget; nothing is held for no bytes."""
        if not amount:
            yield
            return
        await self.take(amount)
        try:
            yield
        finally:
            self.give(amount)

    async def take(self, amount: int) -> None:
        if not self._waiting and self._fits(amount):
            self._used += amount
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((amount, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give(amount)
            else:
                self._waiting = deque(entry for entry in self._waiting if entry[1] is not turn)
                self._wake()
            raise

    def give(self, amount: int) -> None:
        self._used -= amount
        self._wake()

    def _fits(self, amount: int) -> bool:
        return self._used == 0 or self._used + amount <= self._size

    def _wake(self) -> None:
        while self._waiting and self._fits(self._waiting[0][0]):
            amount, turn = self._waiting.popleft()
            if not turn.done():
                self._used += amount
                turn.set_result(None)


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
        self._connections = Connections(session=session, limits=limits, ssl=ssl, proxy=proxy)
        self._home: tuple[asyncio.AbstractEventLoop, int] | None = None
        self._slots = asyncio.Semaphore(limits.connections)
        self._budget = ByteLimiter(limits.bytes_in_flight)
        self._closed = False
        self.service_clock = clock.ServiceClock()

    @property
    def credentials(self) -> ClientCredentials | None:
        """The credentials of this client, where its tokens come from some."""
        return self._auth if isinstance(self._auth, ClientCredentials) else None

    def settle(self) -> None:
        """Makes the running event loop the home of this client, or finds that it is.

        Raises:
            ConfigurationError: the client belongs to another event loop or process, or is closed.
        """
        if self._closed:
            raise ConfigurationError("the client is closed")
        here = asyncio.get_running_loop(), os.getpid()
        if self._home is None:
            self._home = here
            if isinstance(self._auth, ClientCredentials):
                self._auth.attach(self.post_form, here[0])
        elif self._home != here:
            what = "event loop" if self._home[1] == here[1] else "process"
            raise ConfigurationError(
                f"the client belongs to the {what} in which it was first used, and this is another one: make a client, with"
                " `async with`, in each event loop that uses one"
            )

    async def close(self) -> None:
        """Closes the connections that were made here; a session that was brought stays open."""
        if self._closed:
            return
        if self._home is not None:
            self.settle()
        self._closed = True
        if isinstance(self._auth, ClientCredentials):
            self._auth.detach(self.post_form)
        await self._connections.close()

    # --- a single call --------------------------------------------------------------------------------------------------

    async def send(self, request: Request, *, timeout: Timeout | None = None, retry: RetryPolicy | None = None) -> Response:
        """Sends a request, again where that is harmless, and gives its 2xx.

        Raises:
            StatusError: the server said no.
            NotSentError: nothing left, or it was not taken, and the tries are used up.
            OutcomeUnknownError: it may have been done.
            ResponseError: an answer that can't be read, or none to a read.
            ConfigurationError: the client is closed, or belongs to another event loop or process.
        """
        self.settle()
        timeout = timeout or self.timeout
        policy = retry or self.retry
        delivery = DeliveryEvidence()
        try:
            async with clock.TimeLimit(timeout.total):
                return await self._persist(request, timeout, policy, delivery)
        except TimeoutError:
            pass
        raise no_answer(request, delivery.is_ambiguous, f"no answer within {timeout.total} s")

    async def _persist(self, request: Request, timeout: Timeout, policy: RetryPolicy, delivery: DeliveryEvidence) -> Response:
        attempt = 0
        while True:
            attempt += 1
            tried = await self._exchange(request, timeout, delivery, _always)
            assert tried is not None
            if tried.fatal is not None and not (delivery.is_ambiguous and tried.proof is Proof.NOT_SENT and not request.endpoint.safe):
                raise tried.fatal
            if tried.proof is Proof.DONE and tried.response is not None:
                return replace(tried.response, attempts=attempt)
            delay = retry_delay(policy, attempt, tried.retry_after)
            last = attempt >= policy.attempts or (tried.retry_after is not None and delay > policy.max_delay) or _is_settled(tried.error)
            # Another try would only bring it again.
            last = last or (tried.response is not None and tried.response.is_too_large)
            if last or not may_repeat(tried.proof, safe=request.endpoint.safe, status=tried.status):
                break
            log.info("retry", operation=request.endpoint.operation, attempt=attempt, reason=tried.reason, delay=round(delay, 3))
            await clock.sleep(delay)
        error = tried.status_error(request.endpoint)
        if error is not None:
            raise error
        if tried.error is not None and not (delivery.is_ambiguous and tried.proof is Proof.NOT_SENT):
            raise tried.error
        # An earlier try may have been taken.
        raise no_answer(request, delivery.is_ambiguous, tried.reason) from tried.error

    # --- one try --------------------------------------------------------------------------------------------------------

    async def ask(self, request: Request, *, timeout: Timeout) -> Attempt:
        """Sends a read once and says what is proved.

        Raises:
            ConfigurationError: it is no read: a write has to say when it begins to leave.
        """
        if request.endpoint.method != "GET":
            raise ConfigurationError(f"only reads are asked for: {request.endpoint.operation}")
        tried = await self.attempt(request, timeout=timeout, delivery=DeliveryEvidence(), starts=_always)
        assert tried is not None
        return tried

    async def attempt(
        self, request: Request, *, timeout: Timeout, delivery: DeliveryEvidence, starts: Callable[[], Awaitable[bool]]
    ) -> Attempt | None:
        """Sends a request once (once more with a fresh token where the first was refused) and says what is proved.

        Only cancellation comes out as an exception; `delivery` tells then whether a byte may have left. `starts` is asked when all is
        ready, after any waiting; where it says no, nothing is sent and there is no answer. `timeout.total` counts for all of it.
        """
        try:
            self.settle()
        except ConfigurationError as exc:
            return Attempt(Proof.NOT_SENT, "client closed" if self._closed else "settings", fatal=exc, error=exc, lasting="yes")
        try:
            async with clock.TimeLimit(timeout.total):
                return await self._exchange(request, timeout, delivery, starts)
        except TimeoutError:
            proof = Proof.AMBIGUOUS if delivery.started else Proof.NOT_SENT
            delivery.settle(proof)
            return Attempt(proof, "time-out")

    async def _exchange(
        self, request: Request, timeout: Timeout, delivery: DeliveryEvidence, starts: Callable[[], Awaitable[bool]]
    ) -> Attempt | None:
        async with self._budget.held(request.held), self._slots:
            if request.base is not None:
                return await self._once(request, None, timeout, delivery) if await starts() else None
            token = await self._token()
            if isinstance(token, Attempt):
                return token
            if not await starts():
                return None
            tried = await self._once(request, token, timeout, delivery)
            if tried.status != 401 or tried.proof is not Proof.NOT_TAKEN:
                return tried
            # Not taken, so it may go again: once, and only with another token.
            self._auth.invalidate(token.reveal())
            fresh = await self._token()
            if isinstance(fresh, Attempt):
                # There was a token a moment ago: so its address is right.
                return structs.replace(fresh, lasting="no") if fresh.lasting == "perhaps" else fresh
            if fresh == token:
                return tried
            return await self._once(request, fresh, timeout, delivery) if await starts() else None

    async def _token(self) -> Secret | Attempt:
        """A token, or why there is none; without one nothing is sent, and nothing is known of what was asked for."""
        try:
            return Secret(check_token(await self._auth.acquire()))
        except ConfigurationError as exc:
            return Attempt(Proof.NOT_SENT, "no token", fatal=exc, error=exc, lasting="yes")
        except AuthenticationError as exc:
            error = exc
        except Exception as exc:  # the caller's own function may raise anything
            error = _of_source(exc, self._auth)
        return Attempt(Proof.NOT_SENT, "no token", fatal=error if error.lasting == "yes" else None, error=error, lasting=error.lasting)

    async def _once(self, request: Request, token: Secret | None, timeout: Timeout, delivery: DeliveryEvidence) -> Attempt:
        """The one place where a request leaves."""
        started, asked = clock.monotonic(), clock.steady_time()
        # As late as this: while it waited for its turn the client may have been closed.
        if self._closed:
            closed = ConfigurationError("the client is closed")
            return Attempt(Proof.NOT_SENT, "client closed", fatal=closed, error=closed, lasting="yes")
        heard = await self._connections.send(
            request, f"{request.base or self.base_url}/{request.path}", token, timeout=timeout, delivery=delivery
        )
        response = heard if isinstance(heard, Response) else None
        if response is not None:
            if request.base is None:
                self.service_clock.note(response.headers.get("date"), asked, clock.steady_time())
            heard = response = wire.quotable(response, request, token.reveal() if token is not None else None)
        tried = evaluate(request, heard, delivery, clock.unix_time())
        delivery.settle(tried.proof)
        log.debug(
            "request",
            operation=request.endpoint.operation,
            status=tried.status,
            outcome=tried.proof.value,
            reason=tried.reason,
            bytes=request.size,
            request_id=response.request_id if response is not None else None,
            elapsed=round(clock.monotonic() - started, 4),
        )
        return tried

    # --- the identity service -------------------------------------------------------------------------------------------

    async def post_form(self, url: str, form: Mapping[str, str | Secret]) -> bytes:
        """Posts a form without a token, once, and gives the body of a 2xx. It holds no slot of the limits.

        Raises:
            AuthenticationError: there is no such answer; it says whether that lasts.
            ConfigurationError: the client is closed, or belongs to another event loop or process.
        """
        self.settle()
        base, _, path = url.rpartition("/")
        # In one go, so that no local shows a secret in a traceback.
        form_request = wire.form(
            TOKEN_SERVICE, base, {name: value.reveal() if isinstance(value, Secret) else value for name, value in form.items()}
        )
        request = structs.replace(form_request, path=path)
        tried = await self._once(request, None, self.timeout, DeliveryEvidence())
        response = tried.response
        if response is not None and tried.proof is Proof.DONE:
            return response.body
        if isinstance(tried.fatal, ConfigurationError):
            raise tried.fatal
        if response is None or response.status < 300:
            raise _unreached(url, tried)
        cause = to_error(response, TOKEN_SERVICE, tried.retry_after)
        lasting: Lasting = "no" if is_transient(response.status) else "perhaps" if response.status == 404 else "yes"
        raise AuthenticationError(f"no token from {url}: {_said(cause)}", status=response.status, lasting=lasting) from cause

    async def post_form_again(self, url: str, form: Mapping[str, str | Secret]) -> bytes:
        """As `post_form`, and again where that may help, as `retry` says."""
        attempt = 0
        while True:
            attempt += 1
            try:
                return await self.post_form(url, form)
            except AuthenticationError as exc:
                if attempt >= self.retry.attempts or exc.lasting == "yes" or _is_settled(exc):
                    raise
            await clock.sleep(backoff(self.retry, attempt))


def _unreached(url: str, tried: Attempt) -> AuthenticationError:
    """The error of a token call that got no answer, or one that broke off."""
    text = tried.reason
    lasting: Lasting = tried.lasting
    if tried.send_failure is not None:
        # Nothing listens there while a service is deployed; at the API itself that is waited for in any case.
        text = tried.send_failure.text
        lasting = "perhaps" if tried.send_failure.is_closed_port else lasting
    error = AuthenticationError(f"no token from {url}: {text}", status=tried.status, lasting=lasting)
    error.__cause__ = tried.send_failure.cause if tried.send_failure is not None else None
    return error


def _said(cause: StatusError) -> str:
    """What the identity service answered, and the remedy."""
    remedies = {
        400: "check client_id and client_secret",
        401: "check client_id and client_secret",
        403: "check client_id and what it is allowed",
        404: "check identity_url",
    }
    named = f" (request id {cause.request_id})" if cause.request_id is not None else ""
    remedy = remedies.get(cause.status) or ("try again later" if is_transient(cause.status) else "check identity_url")
    return f"it answered {cause.status}{named}: {remedy}"


def _of_source(failure: Exception, source: TokenSource) -> AuthenticationError:
    """The error for whatever a token source of the caller's raised."""
    status = failure.status if isinstance(failure, StatusError) else None
    passes = is_transient(status) if status is not None else isinstance(failure, (NotSentError, ResponseError, OutcomeUnknownError))
    text = f"no token: {describe(source)} raised {type(failure).__name__}"
    words = f" ({failure})" if isinstance(failure, ArmError) else ""
    error = AuthenticationError(text + words, status=status, lasting="no" if passes else "perhaps")
    # What aiohttp raises may hold the headers of a request.
    error.__cause__ = ConnectionError(type(failure).__name__) if type(failure).__module__.startswith("aiohttp") else failure
    return error


def _is_settled(failure: ArmError | None) -> bool:
    """Whether a single call is not tried again: there was an answer, or a mistake, and it would be the same again."""
    if not isinstance(failure, AuthenticationError) or failure.lasting == "no":
        return False
    return failure.status is not None or not isinstance(failure.__cause__, OSError)


async def _always() -> bool:
    return True
