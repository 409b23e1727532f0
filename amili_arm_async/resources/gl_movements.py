"""GL movements: movements and balances of the general ledger."""

from __future__ import annotations

from typing import Unpack

from ..config import RetryPolicy, Timeout
from ..models.json_records import JsonRecord, Reply
from ..paging import Pager
from .caller import Parameters, RequestContext
from .lists import ListOptions, listed

__all__ = ["GlMovements"]


class GlMovements:
    """`arm.gl_movements`. Both paths are inferred.

    Raises as every call: `NotSentError`, `OutcomeUnknownError`, `ResponseError`, `StatusError` and its subclasses,
    `ConfigurationError`.
    """

    def __init__(self, caller: RequestContext) -> None:
        self._caller = caller

    async def latest_closed(
        self,
        *,
        parameters: Parameters | None = None,
        language: str | None = None,
        timeout: Timeout | None = None,
        retry: RetryPolicy | None = None,
    ) -> Reply:
        """Movement and balance for the latest closed GL year and period.

        What it answers is on no public page: a mapping, as it came. `parameters` are query parameters by the API's own names.

        https://docs.amili.dev/get-movementbalance-for-the-latest-closed-gl-yearperiod-4205286e0
        """
        return await self._caller.read("gl_movements.latest_closed", query=parameters, language=language, timeout=timeout, retry=retry)

    def list(self, *, parameters: Parameters | None = None, **options: Unpack[ListOptions]) -> Pager[JsonRecord]:
        """The GL movements and balances. What they hold is on no public page: mappings, as they came.

        Args:
            parameters: criteria by the API's own names, all lower case; no public page shows them.
            options: `maximum_count`, `query`, `page_no`, `page_size`, `user_id`, `language`, `allow_truncated`, `timeout`, `retry`: as
                `arm.customers.list`.

        https://docs.amili.dev/get-a-list-of-gl-movementsbalances-4205287e0
        """
        return listed(self._caller, "gl_movements.list", JsonRecord, parameters, **options)
