"""AR items: the items of the accounts receivable ledger."""

from __future__ import annotations

from typing import Unpack

from ..config import RetryPolicy, Timeout
from ..models.json_records import ArItem, Reply
from ..paging import Pager
from .base import JsonBody, ListOptions, Parameters, RequestContext, listed

__all__ = ["ArItems"]


class ArItems:
    """`arm.ar_items`. Their fields are on no public page: items are mappings, and their money is `Decimal`; see `ArItem` for
    debit and credit, open and closed.

    Raises as every call: `NotSentError`, `OutcomeUnknownError`, `ResponseError`, `StatusError` and its subclasses,
    `ConfigurationError`.
    """

    def __init__(self, context: RequestContext) -> None:
        self._context = context

    def list(self, *, parameters: Parameters | None = None, **options: Unpack[ListOptions]) -> Pager[ArItem]:
        """The AR items; at most 10,000 for one query, at most 1000 on a page.

        Args:
            parameters: criteria by the API's own names, all lower case; no public page shows them.
            options: `maximum_count`, `query`, `page_no`, `page_size`, `user_id`, `language`, `allow_truncated`, `timeout`, `retry`: as
                `arm.customers.list`.

        https://docs.amili.dev/get-a-list-of-ar-items-3942665e0
        """
        return listed(self._context, "ar_items.list", ArItem, parameters, **options)

    async def get(
        self,
        ar_item_id: int | str,
        *,
        expand: str | None = None,
        user_id: str | None = None,
        language: str | None = None,
        timeout: Timeout | None = None,
        retry: RetryPolicy | None = None,
    ) -> ArItem:
        """One AR item by its id. Raises `NotFoundError` where there is none.

        `expand` is as the API has it; its values are on no public page.

        https://docs.amili.dev/get-one-ar-item-3942664e0
        """
        return await self._context.read_item(
            "ar_items.get",
            ArItem,
            "arItemId",
            query={"expand": expand, "userid": user_id or self._context.user_id},
            language=language,
            timeout=timeout,
            retry=retry,
            path={"aritemid": ar_item_id},
        )

    async def update(
        self, item: JsonBody, *, user_id: str | None = None, timeout: Timeout | None = None, retry: RetryPolicy | None = None
    ) -> Reply:
        """Updates details on an existing AR item. "Can also be used to create a credit note for an existing invoice or interest note".

        Which fields do either is on no public page, so it takes a mapping by the API's own names and answers one as it came. Because it
        may make a credit note, it is never repeated after a doubtful outcome (`OutcomeUnknownError`). `user_id` is only sent
        where it is given here: the page shows no query.

        Raises:
            UnprocessableError, BadRequestError, NotFoundError: as the page lists them.

        https://docs.amili.dev/put-update-ar-item-details-3942666e0
        """
        return await self._context.write("ar_items.update", item, Reply, user_id=user_id, timeout=timeout, retry=retry)
