"""Codes: the values of ARM's system codes."""

from __future__ import annotations

from ..config import RetryPolicy, Timeout
from ..models.json_records import Reply
from .caller import Parameters, RequestContext

__all__ = ["Codes"]


class Codes:
    """`arm.codes`. The path is inferred.

    Raises as every call: `NotSentError`, `OutcomeUnknownError`, `ResponseError`, `StatusError` and its subclasses,
    `ConfigurationError`.
    """

    def __init__(self, caller: RequestContext) -> None:
        self._caller = caller

    async def get(
        self,
        *,
        parameters: Parameters | None = None,
        language: str | None = None,
        timeout: Timeout | None = None,
        retry: RetryPolicy | None = None,
    ) -> Reply:
        """The ARM system code values.

        What it answers is on no public page: a mapping, as it came. `parameters` are query parameters by the API's own names.

        https://docs.amili.dev/ (Codes, "GET ARM system code values")
        """
        return await self._caller.read("codes.get", query=parameters, language=language, timeout=timeout, retry=retry)
