"""Auto postings: sets of debit and credit entries to the ledgers, based on one event."""

from __future__ import annotations

from ..codec import json_value
from ..config import RetryPolicy, Timeout
from ..models.json_records import AutoPostingReply, says_validate_only
from .caller import JsonBody, RequestContext

__all__ = ["AutoPostings"]


class AutoPostings:
    """`arm.auto_postings`.

    Raises as every call: `NotSentError`, `OutcomeUnknownError`, `ResponseError`, `StatusError` and its subclasses,
    `ConfigurationError`.
    """

    def __init__(self, caller: RequestContext) -> None:
        self._caller = caller

    async def create(
        self,
        method: str,
        postings: JsonBody,
        *,
        user_id: str | None = None,
        timeout: Timeout | None = None,
        retry: RetryPolicy | None = None,
    ) -> AutoPostingReply:
        """Performs a set of one or more auto postings, all or nothing. Never repeated after a doubtful outcome (`OutcomeUnknownError`).

        A 2xx alone does not say that anything was posted: look at `is_rejected`, `batch_rejected` and `validate_only` of the reply.

        Args:
            method: the auto posting method, a part of the path; its values are on no public page.
            postings: the body, by the API's own names; its fields are on no public page. With the option `validateOnly` on at least one
                posting, more than that one may only be validated.
            user_id, timeout, retry: for this call.

        Raises:
            StatusError: rejected with an error status; what was said of each posting is in its `body`.

        https://docs.amili.dev/post-create-one-or-more-auto-postings-3942671e0
        """
        reply = await self._caller.write(
            "auto_postings.create",
            postings,
            AutoPostingReply,
            user_id=user_id or self._caller.user_id,
            timeout=timeout,
            retry=retry,
            path={"autopostingmethod": method},
        )
        reply.validate_only = says_validate_only(json_value(bytes(postings)) if isinstance(postings, (bytes, bytearray)) else postings)
        return reply
