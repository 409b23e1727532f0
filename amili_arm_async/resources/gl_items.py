"""GL items: the items of the general ledger."""

from __future__ import annotations

from typing import Unpack

from ..config import RetryPolicy, Timeout
from ..models.json_records import GlItem
from ..paging import Pager
from .caller import Parameters, RequestContext
from .lists import ListOptions, listed

__all__ = ["GlItems"]


class GlItems:
    """`arm.gl_items`. Their fields are on no public page: items are mappings, and their money is `Decimal`.

    Raises as every call: `NotSentError`, `OutcomeUnknownError`, `ResponseError`, `StatusError` and its subclasses,
    `ConfigurationError`.
    """

    def __init__(self, caller: RequestContext) -> None:
        self._caller = caller

    def list(self, *, parameters: Parameters | None = None, **options: Unpack[ListOptions]) -> Pager[GlItem]:
        """The GL items; at most 10,000 for one query, at most 1000 on a page.

        Args:
            parameters: criteria by the API's own names, all lower case; no public page shows them.
            options: `maximum_count`, `query`, `page_no`, `page_size`, `user_id`, `language`, `allow_truncated`, `timeout`, `retry`: as
                `arm.customers.list`.

        https://docs.amili.dev/get-a-list-of-gl-items-3942673e0
        """
        return listed(self._caller, "gl_items.list", GlItem, parameters, **options)

    async def get(
        self,
        gl_item_id: int | str,
        *,
        language: str | None = None,
        timeout: Timeout | None = None,
        retry: RetryPolicy | None = None,
    ) -> GlItem:
        """One GL item by its id. Raises `NotFoundError` where there is none.

        https://docs.amili.dev/get-one-gl-item-3942672e0
        """
        return await self._caller.read_item(
            "gl_items.get",
            GlItem,
            "glItemId",
            query={},
            language=language,
            timeout=timeout,
            retry=retry,
            path={"glitemid": gl_item_id},
        )
