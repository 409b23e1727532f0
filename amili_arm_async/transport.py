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
from typing import TYPE_CHECKING, Final

from msgspec import structs

from . import clock, log, wire
from .attempts import Attempt, DeliveryEvidence, SendFailure, evaluate, no_answer
from .auth import ClientCredentials, Secret, TokenSource, check_token, describe
from .config import DEFAULT, Limits, RetryPolicy, Timeout
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
    token_hint,
)
from .pacing import Pace
from .proxies import Proxies
from .retry import Proof, backoff, is_transient, may_repeat, needs_new_token, retry_delay
from .telemetry.base import Instrumentation, Telemetry, find
from .wire import Request, Response, to_error

if TYPE_CHECKING:
    import aiohttp

__all__ = ["ByteLimiter", "Transport"]

_CLOSED: Final = "the client is closed: make another one, and use it inside its `async with`"
_TOKEN: Final = "a token"  # noqa: S105 - words of a message


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
        ssl, proxies: for the sessions that are made here.
        telemetry: what OpenTelemetry is told; None: nothing.

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
        proxies: Proxies,
        telemetry: Telemetry | None = None,
    ) -> None:
        self.base_url = base_url
        self.timeout = timeout
        self.retry = retry
        self.limits = limits
        self._auth = auth
        self._connections = Connections(session=session, limits=limits, ssl=ssl, proxies=proxies)
        self._home: tuple[asyncio.AbstractEventLoop, int] | None = None
        self._slots = asyncio.Semaphore(limits.connections)
        self._bytes = ByteLimiter(limits.bytes_in_flight)
        self._pace = Pace(limits.requests_per_second) if limits.requests_per_second is not None else None
        self._closed = False
        self.service_clock = clock.ServiceClock()
        self._find_instrumentation = find(telemetry)

    @property
    def instrumentation(self) -> Instrumentation:
        """What is told of what this client does; to be asked for at each call, since a program may begin with OpenTelemetry later."""
        return self._find_instrumentation()

    def held(self, seconds: float) -> None:
        """Takes note that requests are held because of a `Retry-After`.

        Args:
            seconds: how much longer than before.
        """
        self.instrumentation.held(seconds)

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
            raise ConfigurationError(_CLOSED)
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
        """Sends a request, again where that is harmless and may help, and returns the 2xx.

        Args:
            request: what to send.
            timeout: for this call. Default None: that of the client.
            retry: for this call. Default None: that of the client.

        Raises:
            StatusError: the server answered with an error status.
            NotSentError: nothing was sent, or the server did not process it, and no attempt is left.
            OutcomeUnknownError: the server may have processed it.
            ResponseError: a response that can't be read, or none to a read.
            ConfigurationError: the client is closed, or belongs to another event loop or process.
        """
        self.settle()
        with self.instrumentation.call(request.endpoint):
            return await self._send(request, timeout or self.timeout, retry or self.retry)

    async def _send(self, request: Request, timeout: Timeout, policy: RetryPolicy) -> Response:
        """As `send`, in the loop of the client."""
        delivery = DeliveryEvidence()
        attempt: Attempt | None = None
        number = 0
        total = timeout.single_call_seconds
        holds: Callable[[], bool] | None = None
        if timeout.total is DEFAULT and not request.endpoint.safe:
            # Once its first byte has left, only its response says what became of it.
            holds, timeout = (lambda: delivery.started), timeout.within(timeout.read)
        limit = clock.TimeLimit(total, holds)
        try:
            async with limit:
                while True:
                    number += 1
                    attempt = await self._attempt(request, timeout, delivery, _always)
                    assert attempt is not None
                    if attempt.proof is Proof.DONE and attempt.response is not None:
                        return replace(attempt.response, attempts=number)
                    delay = retry_delay(policy, number, attempt.retry_after)
                    if number >= policy.attempts or delay >= limit.left or not _is_worth_a_retry(attempt, request, delay, policy):
                        break
                    if attempt.retry_after is not None:
                        self.held(delay)
                    log.info("retry", operation=request.endpoint.operation, attempt=number, reason=attempt.reason, delay=round(delay, 3))
                    await clock.sleep(delay)
        except TimeoutError:
            assert total is not None
            attempt = self._timed_out(request, delivery, total, attempt)
        raise _error_of(attempt, request, delivery)

    def _timed_out(self, request: Request, delivery: DeliveryEvidence, seconds: float, last: Attempt | None) -> Attempt:
        """The attempt that a single call was at when its time was over; `last` is the one before it."""
        if delivery.waits_for == _TOKEN:
            error: ArmError = AuthenticationError(f"can't get a token: {describe(self._auth)} gave none within {seconds:g} s", lasting="no")
            return Attempt(Proof.NOT_SENT, "no token", error=error)
        before = f"; the attempt before: {last.reason}" if last is not None else ""
        waited = f" while it waited for {delivery.waits_for}" if delivery.waits_for else ""
        reason = f"timed out after {seconds:g} s{waited}{before}"
        proof = Proof.AMBIGUOUS if delivery.started else Proof.NOT_SENT
        return Attempt(proof, reason, error=no_answer(request, delivery.is_ambiguous, reason))

    # --- one attempt ----------------------------------------------------------------------------------------------------

    async def ask(self, request: Request, *, timeout: Timeout) -> Attempt:
        """Sends a read once and returns what is proved.

        Args:
            request: a GET.
            timeout: for this attempt; a `timeout.total` that was given counts for all of it.

        Raises:
            ConfigurationError: it is no read: a write has to say when it begins to leave.
        """
        if not request.endpoint.is_read:
            raise ConfigurationError(f"only reads are asked for: {request.endpoint.operation}")
        attempt = await self.attempt(request, timeout=timeout, delivery=DeliveryEvidence(), starts=_always)
        assert attempt is not None
        return attempt

    async def attempt(
        self, request: Request, *, timeout: Timeout, delivery: DeliveryEvidence, starts: Callable[[], Awaitable[bool]]
    ) -> Attempt | None:
        """Sends a request once (once more with a new token where the first one was refused) and returns what is proved.

        Only cancellation comes out as an exception; `delivery` says then whether a byte may have been sent.

        Args:
            request: what to send.
            timeout: for this attempt; a `timeout.total` that was given counts for all of it.
            delivery: takes in the evidence.
            starts: awaited when all is ready, after any waiting; where it returns False, nothing is sent.

        Returns:
            What is proved; None where `starts` returned False.
        """
        try:
            self.settle()
        except ConfigurationError as exc:
            return Attempt(Proof.NOT_SENT, "client closed" if self._closed else "settings", fatal=exc, error=exc, lasting="yes")
        try:
            async with clock.TimeLimit(timeout.given_total):
                return await self._attempt(request, timeout, delivery, starts)
        except TimeoutError:
            proof = Proof.AMBIGUOUS if delivery.started else Proof.NOT_SENT
            delivery.settle(proof)
            return Attempt(proof, "time-out")

    async def _attempt(
        self, request: Request, timeout: Timeout, delivery: DeliveryEvidence, starts: Callable[[], Awaitable[bool]]
    ) -> Attempt | None:
        """As `attempt`, within the limits of the client, in its event loop, and without a time limit for the whole."""
        delivery.waits_for = "its turn among the requests of this client (Limits)"
        async with self._bytes.held(request.held), self._slots:
            refused: Attempt | None = None
            old_token: Secret | None = None
            while True:
                delivery.waits_for = _TOKEN
                token = await self._token() if request.base is None else None
                if self._pace is not None and request.base is None:
                    delivery.waits_for = "its turn (Limits.requests_per_second)"
                    if await self._pace.turn():
                        # Meanwhile the token may have expired.
                        token = await self._token()
                delivery.waits_for = ""
                if isinstance(token, Attempt):
                    # There was a token a moment ago: so the address of the token service is right.
                    return structs.replace(token, lasting="no") if refused is not None and token.lasting == "perhaps" else token
                if refused is not None and token == old_token:
                    return refused
                if not await starts():
                    return None
                if self._closed:
                    # While the request waited.
                    return self._client_closed()
                attempt = await self._once(request, token, timeout, delivery)
                if token is None or refused is not None or not needs_new_token(attempt.proof, attempt.status):
                    return attempt
                # The server did not process it, so it may be sent again: once, and only with another token.
                self._auth.invalidate(token.reveal())
                refused, old_token = attempt, token

    async def fetch_token(self) -> None:
        """Gets a token, without a retry: the next request uses it.

        Raises:
            AuthenticationError: there is none; the cause is chained.
            ConfigurationError: the settings are wrong, or the client is closed or belongs to another event loop or process.
        """
        self.settle()
        token = await self._token()
        if isinstance(token, Attempt) and token.error is not None:
            raise token.error

    async def _token(self) -> Secret | Attempt:
        """Returns a token, or why there is none; without one nothing is sent, and nothing is known of what was asked for."""
        try:
            return Secret(check_token(await self._auth.acquire()))
        except ConfigurationError as exc:
            return Attempt(Proof.NOT_SENT, "no token", fatal=exc, error=exc, lasting="yes")
        except AuthenticationError as exc:
            error = exc
        except Exception as exc:  # the caller's own function may raise anything
            error = _error_of_source(exc, self._auth)
        return Attempt(Proof.NOT_SENT, "no token", fatal=error if error.lasting == "yes" else None, error=error, lasting=error.lasting)

    async def _once(self, request: Request, token: Secret | None, timeout: Timeout, delivery: DeliveryEvidence) -> Attempt:
        """Sends a request once, and returns what is proved: the only way out."""
        base = request.base or self.base_url
        with self.instrumentation.request(request, base, delivery.sent) as span:
            delivery.sent += 1
            began = clock.monotonic(), clock.steady_time()
            result = await self._connections.send(
                request, f"{base}/{request.path}", token, timeout=timeout, delivery=delivery, headers=span.headers
            )
            attempt = self._conclude(request, token, result, delivery, began)
            span.conclude(attempt)
        return attempt

    @staticmethod
    def _client_closed() -> Attempt:
        """The attempt of a request whose client was closed while it waited for its turn."""
        closed = ConfigurationError(_CLOSED)
        return Attempt(Proof.NOT_SENT, "client closed", fatal=closed, error=closed, lasting="yes")

    def _conclude(
        self,
        request: Request,
        token: Secret | None,
        result: Response | SendFailure,
        delivery: DeliveryEvidence,
        began: tuple[float, float],
    ) -> Attempt:
        """Returns what is proved by the result of a request, and logs it; `began` is when it was sent, by two clocks."""
        response = result if isinstance(result, Response) else None
        if response is not None:
            if request.base is None:
                self.service_clock.note(response.headers.get("date"), began[1], clock.steady_time())
            result = response = wire.quotable(response, request, token.reveal() if token is not None else None)
        attempt = evaluate(request, result, delivery, clock.unix_time())
        delivery.settle(attempt.proof)
        log.debug(
            "request",
            operation=request.endpoint.operation,
            status=attempt.status,
            outcome=attempt.proof.value,
            reason=attempt.reason,
            bytes=request.size,
            request_id=response.request_id if response is not None else None,
            elapsed=round(clock.monotonic() - began[0], 4),
        )
        return attempt

    # --- the identity service -------------------------------------------------------------------------------------------

    async def post_form(self, url: str, form: Mapping[str, str | Secret]) -> bytes:
        """Posts a form without a token, once, and returns the body of a 2xx. It takes no slot of the limits: a call holds one already.

        Args:
            url: the whole address.
            form: the fields by their names.

        Raises:
            AuthenticationError: there was no such response; `lasting` says whether another attempt may help.
            ConfigurationError: the client is closed, or belongs to another event loop or process.
        """
        self.settle()
        base, _, path = url.rpartition("/")
        # In one expression, so that no local variable shows a secret in a traceback.
        form_request = wire.form(
            TOKEN_SERVICE, base, {name: value.reveal() if isinstance(value, Secret) else value for name, value in form.items()}
        )
        request = structs.replace(form_request, path=path)
        attempt = await self._once(request, None, self.timeout, DeliveryEvidence())
        response, rule = attempt.response, attempt.rule
        if response is not None and attempt.proof is Proof.DONE:
            return response.body
        if isinstance(attempt.fatal, ConfigurationError):
            raise attempt.fatal
        if response is None or rule is None or rule.call == "return":
            raise _token_call_failed(url, attempt)
        cause = to_error(response, TOKEN_SERVICE, attempt.retry_after)
        named = f" (request id {cause.request_id})" if cause.request_id is not None else ""
        hint = token_hint(cause.status, is_transient=rule.identity == "no")
        text = f"can't get a token from {url}: it answered {cause.status}{named}: {hint}"
        raise AuthenticationError(text, status=response.status, lasting=rule.identity) from cause

    async def post_form_again(self, url: str, form: Mapping[str, str | Secret]) -> bytes:
        """As `post_form`, with retries as the client's `RetryPolicy` has them.

        Args:
            url: the whole address.
            form: the fields by their names.

        Raises:
            AuthenticationError: no attempt is left, or none helps.
            ConfigurationError: the client is closed, or belongs to another event loop or process.
        """
        number, total = 0, self.timeout.single_call_seconds
        limit = clock.TimeLimit(total)
        try:
            async with limit:
                while True:
                    number += 1
                    try:
                        return await self.post_form(url, form)
                    except AuthenticationError as exc:
                        delay = backoff(self.retry, number)
                        if number >= self.retry.attempts or delay >= limit.left or exc.lasting == "yes" or _is_settled(exc):
                            raise
                    await clock.sleep(delay)
        except TimeoutError:
            raise AuthenticationError(f"can't get a token from {url}: it gave none within {total:g} s", lasting="no") from None


def _is_worth_a_retry(attempt: Attempt, request: Request, delay: float, policy: RetryPolicy) -> bool:
    """Whether a single call makes another attempt, as far as `policy.attempts` allows it."""
    if attempt.fatal is not None or _is_settled(attempt.error):
        return False
    if attempt.retry_after is not None and delay > policy.max_delay:
        return False
    if attempt.response is not None and attempt.response.is_too_large:
        # The next response would be as large.
        return False
    return may_repeat(attempt.proof, safe=request.endpoint.safe, status=attempt.status)


def _error_of(attempt: Attempt, request: Request, delivery: DeliveryEvidence) -> ArmError:
    """The error of a single call whose last attempt was this one."""
    # The last attempt was not sent, and an earlier one may have been processed.
    was_sent_before = attempt.proof is Proof.NOT_SENT and delivery.is_ambiguous
    if attempt.fatal is not None and not (was_sent_before and not request.endpoint.safe):
        return attempt.fatal
    status_error = attempt.status_error(request.endpoint)
    if status_error is not None:
        return status_error
    if attempt.error is not None and not was_sent_before:
        return attempt.error
    error = no_answer(request, delivery.is_ambiguous, attempt.reason)
    error.__cause__ = attempt.error
    return error


def _token_call_failed(url: str, attempt: Attempt) -> AuthenticationError:
    """The error of a token call that got no response, or one that broke off."""
    text = attempt.reason
    lasting: Lasting = attempt.lasting
    failure = attempt.send_failure
    if failure is not None:
        # While a service is deployed, no process listens there; at the API itself a run waits for that in any case.
        text = failure.text
        lasting = "perhaps" if failure.is_closed_port else lasting
    error = AuthenticationError(f"can't get a token from {url}: {text}", status=attempt.status, lasting=lasting)
    error.__cause__ = failure.cause if failure is not None else None
    return error


def _error_of_source(failure: Exception, source: TokenSource) -> AuthenticationError:
    """The error for whatever a token source of the caller's raised."""
    status = failure.status if isinstance(failure, StatusError) else None
    passes = is_transient(status) if status is not None else isinstance(failure, (NotSentError, ResponseError, OutcomeUnknownError))
    text = f"can't get a token: {describe(source)} raised {type(failure).__name__}"
    details = f" ({failure})" if isinstance(failure, ArmError) else ""
    error = AuthenticationError(text + details, status=status, lasting="no" if passes else "perhaps")
    # What aiohttp raises may hold the headers of a request.
    error.__cause__ = ConnectionError(type(failure).__name__) if type(failure).__module__.startswith("aiohttp") else failure
    return error


def _is_settled(error: ArmError | None) -> bool:
    """Whether a single call makes no further attempt: the token service answered, or the settings are wrong, so nothing would change."""
    if not isinstance(error, AuthenticationError) or error.lasting == "no":
        return False
    return error.status is not None or not isinstance(error.__cause__, OSError)


async def _always() -> bool:
    return True
