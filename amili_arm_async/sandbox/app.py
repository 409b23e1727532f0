"""The web application: every request is counted, authorised, hit by a fault or answered here."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import urllib.parse
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

from aiohttp import web

from . import bodies, encodings, operations, other_operations, processing, wire
from .operations import ApiRequest, ApiResponse, Operation, Operations, refusal, reply
from .response_style import ResponseStyle

if TYPE_CHECKING:
    from .faults import Fault, FaultPlan
    from .settings import SandboxSettings
    from .tokens import Tokens

ARM_PATH = "/arm/v1"
IDENTITY_PATH = "/identity"
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclasses.dataclass(frozen=True, slots=True)
class SeenRequest:
    """One request as it came.

    `path` is the whole path, still percent-encoded. `connection` numbers the connections that carried a
    request, from 1. `body_bytes` is the size of the body as it came over the wire if it was read whole, else 0.
    `status` is the answer's, or None where none was sent.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    connection: int
    body_bytes: int
    status: int | None


class App:
    """Serves the table of operations over HTTP, with the faults that were injected."""

    def __init__(self, settings: SandboxSettings, operations: Operations, tokens: Tokens, plan: FaultPlan) -> None:
        self.requests: Counter[str] = Counter()
        self.recent: deque[SeenRequest] = deque(maxlen=1000)
        self.connections = 0
        self.in_flight = 0
        self.peak_in_flight = 0
        self._settings = settings
        self._operations = operations
        self._tokens = tokens
        self._plan = plan
        self._style = ResponseStyle(settings).style
        self._closing = asyncio.Event()
        self._numbers: dict[int, tuple[object, int]] = {}

    def application(self) -> web.Application:
        """Returns the application that the server runs."""
        app = web.Application(middlewares=[self._outermost])
        for operation in (*operations.OPERATIONS, *other_operations.OPERATIONS):
            route = self._operations.routes[operation.name]
            path = route.path.replace("{clientno}", r"{clientno:\d{1,9}}")
            app.router.add_route(route.method, ARM_PATH + path, self._handler(operation, f"{route.method} {route.path}"))
        for method, name in (("POST", "token"), ("POST", "refresh"), ("POST", "verify"), ("GET", "health")):
            app.router.add_route(method, f"{IDENTITY_PATH}/{name}", self._identity(method, name))
        return app

    def close(self) -> None:
        """Lets go of every request that hangs or is held up."""
        self._closing.set()

    # -- the ways in

    @web.middleware
    async def _outermost(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Notes the request, and turns aiohttp's own refusals (unknown path, wrong method) into JSON."""
        connection = self._connection(request)
        self.in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
        response: web.StreamResponse | None = None
        try:
            response = await handler(request)
        except web.HTTPException as error:
            response = wire.response(self._style(self._lost(request, error)))
            return response
        else:
            return response
        finally:
            self.in_flight -= 1
            self._note(request, response, connection)

    def _handler(self, operation: Operation, counted_as: str) -> _Handler:
        """Returns the handler of one operation."""

        async def handle(request: web.Request) -> web.StreamResponse:
            self.requests[counted_as] += 1
            client_no = _client(request)
            denied = None if client_no is None else self._denied(request, client_no)
            # A request that is denied meets no fault: an expired token should not use up what a test laid
            # out.
            held, fault = (0.0, None) if denied else self._plan.draw(request.method, _below(request.path), operation.name)

            def answer(body: bytes) -> ApiResponse:
                return self._operate(operation, request, body, denied or wire.refused(fault))

            return await self._serve(request, held, fault, answer)

        return handle

    def _identity(self, method: str, name: str) -> _Handler:
        """Returns the handler of one call of the identity service."""

        async def handle(request: web.Request) -> web.StreamResponse:
            self.requests[f"{method} {IDENTITY_PATH}/{name}"] += 1
            held, fault = self._plan.draw(method, request.path)

            def answer(body: bytes) -> ApiResponse:
                form = dict(urllib.parse.parse_qsl(body.decode("utf-8", "replace")))
                answered = reply(*self._tokens.answer(name, form))
                return wire.refused(fault) or answered

            return await self._serve(request, held, fault, answer)

        return handle

    async def _serve(
        self, request: web.Request, held: float, fault: Fault | None, answer: Callable[[bytes], ApiResponse]
    ) -> web.StreamResponse:
        """Reads the body, makes the answer and sends it, each as far as the fault lets it."""
        if held:
            await self._pause(held)
        if fault is not None and fault.kind == "reset_before":
            return await wire.drop(request, graceful=fault.graceful)
        try:
            body = await wire.read(request, self._settings.max_body_bytes)
        except ConnectionError:
            return await wire.drop(request, graceful=True)
        except web.RequestPayloadError:
            return wire.response(self._style(refusal(400, "the body can't be read")))
        if body is not None:
            request[wire.BODY_BYTES] = len(body)
        plain = self._plain(request, body)
        if isinstance(plain, ApiResponse):
            return wire.response(self._style(plain))
        made = answer(plain)
        if fault is not None and fault.kind in ("hang_before", "hang_after"):
            await self._closing.wait()
            return await wire.drop(request, graceful=False)
        return await wire.send(request, made, fault, self._style)

    def _operate(self, operation: Operation, request: web.Request, body: bytes, refused: ApiResponse | None) -> ApiResponse:
        """Answers one ARM call whose body is here, and counts what was delivered and taken. Does not wait."""
        call = ApiRequest(
            client_no=_client(request) or 0,
            root=f"{request.scheme}://{request.host}{ARM_PATH}",
            address=f"{request.scheme}://{request.host}{request.rel_url.raw_path}",
            params=request.match_info,
            query=request.query,
            body=body,
        )
        fault: str | None = None
        try:
            bodies.read(self._operations, operation, call)
        except ValueError as error:
            fault = str(error)
        if refused is not None:
            answer = refused
        elif fault is not None:
            answer = refusal(400, fault)
        else:
            try:
                answer = bodies.answer(self._operations, operation, call)
            except (RecursionError, processing.TooDeep):
                answer = refusal(400, "a record is nested too deep")
        bodies.count(self._operations, operation, call, taken=answer.taken)
        return answer

    # -- small helpers

    def _plain(self, request: web.Request, body: bytes | None) -> bytes | ApiResponse:
        """Returns a body without its compression, or the answer to one that is not taken; None is one that is too large."""
        limit = self._settings.max_body_bytes
        encoding = request.headers.get("Content-Encoding", "").strip().lower()
        if body is not None and encoding:
            if encoding not in self._settings.content_encodings:
                return refusal(415, f"the content encoding {encoding!r} is not taken")
            try:
                body = encodings.plain(body, encoding, limit)
            except LookupError:
                return refusal(415, f"the content encoding {encoding!r} can't be read here")
            except ValueError as error:
                return refusal(400, str(error))
        return refusal(413, f"the body is larger than {limit} bytes") if body is None else body

    def _denied(self, request: web.Request, client_no: int | None) -> ApiResponse | None:
        """Returns the 401 or 403 that a call gets for who it is, or None."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not self._tokens.is_good(token.strip()):
            denied = refusal(401, "the token is missing or not valid")
            denied.headers["WWW-Authenticate"] = "Bearer"
            return denied
        allowed = self._settings.clients
        if client_no is not None and allowed is not None and client_no not in allowed:
            return refusal(403, "no access to this client")
        return None

    def _lost(self, request: web.Request, error: web.HTTPException) -> ApiResponse:
        """Returns the answer for a path that does not exist (404) or a method it does not have (405)."""
        self.requests[f"{request.method} *"] += 1
        denied = self._denied(request, None) if request.path.startswith(ARM_PATH) else None
        if denied is not None:
            return denied
        answer = refusal(error.status, error.reason)
        if "Allow" in error.headers:
            answer.headers["Allow"] = error.headers["Allow"]
        return answer

    async def _pause(self, seconds: float) -> None:
        """Waits, but not longer than the sandbox is open."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closing.wait()

    def _connection(self, request: web.Request) -> int:
        """Returns the number of the connection a request came over."""
        if request.transport is None:
            return 0
        # Not by a weak reference: neither aiohttp's protocol nor, under TLS, uvloop's transport can have one.
        place, peer = id(request.protocol), request.transport.get_extra_info("peername")
        known, number = self._numbers.get(place, (None, 0))
        if not number or known != peer:
            self.connections += 1
            number = self.connections
            self._numbers[place] = (peer, number)
        return number

    def _note(self, request: web.Request, response: web.StreamResponse | None, connection: int) -> None:
        """Remembers a request among the recent ones."""
        answered = None if response is None or request.get(wire.DROPPED) else response.status
        self.recent.append(
            SeenRequest(
                method=request.method,
                path=request.rel_url.raw_path,
                query=dict(request.query),
                headers=dict(request.headers),
                connection=connection,
                body_bytes=request.get(wire.BODY_BYTES, 0),
                status=answered,
            )
        )


def _client(request: web.Request) -> int | None:
    """Returns the number of the client a call is for, or None where it is for none."""
    number = request.match_info.get("clientno")
    return None if number is None else int(number)


def _below(path: str) -> str:
    return path.removeprefix(ARM_PATH)
