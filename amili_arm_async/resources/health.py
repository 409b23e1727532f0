"""Health of the API."""

from __future__ import annotations

from ..config import RetryPolicy, Timeout
from ..models.json_records import Reply
from .caller import Parameters, RequestContext

__all__ = ["Health"]


class Health:
    """`arm.health`. The path is inferred, and not below a client number.

    Raises as every call: `NotSentError`, `OutcomeUnknownError`, `ResponseError`, `StatusError` and its subclasses,
    `ConfigurationError`.
    """

    def __init__(self, caller: RequestContext) -> None:
        self._caller = caller

    async def check(
        self,
        *,
        parameters: Parameters | None = None,
        language: str | None = None,
        timeout: Timeout | None = None,
        retry: RetryPolicy | None = None,
    ) -> Reply:
        """Checks the API's health.

        What it answers is on no public page: a mapping, as it came. `parameters` are query parameters by the API's own names.

        https://docs.amili.dev/ (Health, "Check API health")
        """
        return await self._caller.read("health.check", query=parameters, language=language, timeout=timeout, retry=retry)
