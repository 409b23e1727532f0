"""Actions: what they are is on no public page but for their names."""

from __future__ import annotations

from ..config import RetryPolicy, Timeout
from ..models.json_records import Reply
from .caller import JsonBody, RequestContext

__all__ = ["Actions"]


class Actions:
    """`arm.actions`. The two paths are inferred.

    Raises as every call: `NotSentError`, `OutcomeUnknownError`, `ResponseError`, `StatusError` and its subclasses,
    `ConfigurationError`.
    """

    def __init__(self, caller: RequestContext) -> None:
        self._caller = caller

    async def create(
        self,
        action: JsonBody,
        *,
        user_id: str | None = None,
        timeout: Timeout | None = None,
        retry: RetryPolicy | None = None,
    ) -> Reply:
        """Creates an action.

        What it takes and answers is on no public page: a mapping by the API's own names, and a mapping as it came. Never repeated
        after a doubtful outcome (`OutcomeUnknownError`).

        https://docs.amili.dev/ (Actions, "POST (create) an action")
        """
        return await self._caller.write(
            "actions.create", action, Reply, user_id=user_id or self._caller.user_id, timeout=timeout, retry=retry
        )

    async def create_report(
        self,
        action: JsonBody,
        *,
        user_id: str | None = None,
        timeout: Timeout | None = None,
        retry: RetryPolicy | None = None,
    ) -> Reply:
        """Creates a reports action: generates a report.

        What it takes and answers is on no public page: a mapping by the API's own names, and a mapping as it came. Never repeated
        after a doubtful outcome (`OutcomeUnknownError`).

        https://docs.amili.dev/post-create-a-reports-actiongenerate-a-report-4205259e0
        """
        return await self._caller.write(
            "actions.create_report", action, Reply, user_id=user_id or self._caller.user_id, timeout=timeout, retry=retry
        )
