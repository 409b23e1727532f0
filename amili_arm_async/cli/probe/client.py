"""Asks one question after the other, each once, and no more of them than was agreed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from msgspec import structs

from ... import clock, wire
from ...attempts import Attempt, DeliveryEvidence
from ...config import Timeout
from ...endpoints import OPERATIONS, Endpoint
from ...resources.base import RequestContext
from .evidence import Evidence, Exchange

__all__ = ["BudgetExceededError", "ProbeClient", "UnreachableError"]

_IN_A_ROW: Final = 3
"""Questions without an answer, or whose token was refused, after which no further one is asked."""

_WAITS: Final = 10.0
"""Seconds that are waited where the service asks for it; where it asks for more, it is left alone."""


class BudgetExceededError(Exception):
    """No further question is asked; the text says why."""


class UnreachableError(BudgetExceededError):
    """The service can't be reached, or refuses the token."""


class ProbeClient:
    """One request at a time, and none of them twice.

    Args:
        caller: the client number and the connections.
        evidence: where the replies go.
        timeout: for one request.
        most: requests at the most.
        seconds: after so many, no request is begun.
        keep: told of each reply.
    """

    def __init__(
        self, context: RequestContext, evidence: Evidence, *, timeout: Timeout, most: int, seconds: float, keep: Callable[[Exchange], None]
    ) -> None:
        self._context = context
        self._evidence = evidence
        self._timeout = timeout
        self._keep = keep
        self._left = most
        self._end = clock.monotonic() + seconds
        self._unanswered = 0
        self._refused = 0
        self.asked = 0

    @property
    def user_id(self) -> str | None:
        """Who is named as the user, or None."""
        return self._context.user_id

    def allow(self, requests: int, seconds: float) -> None:
        """So many requests more, and so much more time."""
        self._left += requests
        self._end += seconds

    async def get(
        self,
        label: str,
        name: str,
        *,
        template: str | None = None,
        path: Mapping[str, object] | None = None,
        query: Mapping[str, object] | None = None,
    ) -> Exchange:
        """Asks for the operation `name`, at another path where `template` says so."""
        endpoint = OPERATIONS[name]
        if template is not None:
            endpoint = structs.replace(endpoint, path=template)
        return await self._ask(label, endpoint, path or {}, query or {}, (), DeliveryEvidence())

    async def write(self, label: str, name: str, body: tuple[bytes, ...], delivery: DeliveryEvidence) -> Exchange:
        """Sends a body, once; `delivery` tells whether it may have been taken, also where this is cancelled."""
        endpoint = OPERATIONS[name]
        # A batch names the user in its body.
        query = {} if endpoint.items else {"userid": self._context.user_id}
        return await self._ask(label, endpoint, {}, query, body, delivery)

    async def _ask(
        self,
        label: str,
        endpoint: Endpoint,
        path: Mapping[str, object],
        query: Mapping[str, object],
        body: tuple[bytes, ...],
        delivery: DeliveryEvidence,
    ) -> Exchange:
        if self._left <= 0:
            raise BudgetExceededError("the bound on requests was reached")
        if clock.monotonic() >= self._end:
            raise BudgetExceededError("the time was up")
        parameters = {"clientno": self._context.client_no, **path}
        request = wire.build(endpoint, parameters, query=query, language=self._context.language, body=body)
        self._left -= 1
        self.asked += 1
        tried = await self._context.transport.attempt(request, timeout=self._timeout, delivery=delivery, starts=_at_once)
        assert tried is not None
        if tried.fatal is not None:
            raise UnreachableError(str(tried.fatal))
        reply = Exchange(
            endpoint.name, endpoint.method, endpoint.path, request.query, tried.proof, tried.response, tried.reason, tried.retry_after
        )
        self._evidence.add(label, reply)
        self._keep(reply)
        await self._heed(tried)
        return reply

    async def _heed(self, tried: Attempt) -> None:
        """Stops, or waits, where the reply says so."""
        first = self.asked == 1
        if tried.status is None:
            self._unanswered += 1
            if first or self._unanswered >= _IN_A_ROW:
                raise UnreachableError(
                    f"the identity service gave no token: {tried.description}"
                    if tried.reason == "no token"
                    else f"the service gave no answer ({tried.reason})"
                )
            return
        self._unanswered = 0
        self._refused = self._refused + 1 if tried.status == 401 else 0
        if self._refused >= _IN_A_ROW:
            raise BudgetExceededError("the token was refused (401) again and again")
        if tried.status == 401 and first:
            raise UnreachableError(
                "the service refused the token (401): check client_id, client_secret and identity_url, or the token you gave"
            )
        if tried.status == 429 or (tried.status == 503 and tried.retry_after is not None):
            wait = tried.retry_after if tried.retry_after is not None else _WAITS
            if wait > _WAITS:
                raise BudgetExceededError(f"{tried.status}: the service asked to be left alone for {wait:g} s")
            await clock.sleep(wait)


async def _at_once() -> bool:
    return True
