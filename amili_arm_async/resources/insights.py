"""Insights."""

from __future__ import annotations

from typing import Unpack

from ..models.json_records import JsonRecord
from ..paging import Pager
from .caller import Parameters, RequestContext
from .lists import ListOptions, listed

__all__ = ["Insights"]


class Insights:
    """`arm.insights`. The path is inferred.

    Raises as every call: `NotSentError`, `OutcomeUnknownError`, `ResponseError`, `StatusError` and its subclasses,
    `ConfigurationError`.
    """

    def __init__(self, caller: RequestContext) -> None:
        self._caller = caller

    def adb_intervals(self, *, parameters: Parameters | None = None, **options: Unpack[ListOptions]) -> Pager[JsonRecord]:
        """The ADB (age distributed balance) intervals. What they hold is on no public page: mappings, as they came.

        Args:
            parameters: criteria by the API's own names, all lower case; no public page shows them.
            options: `maximum_count`, `query`, `page_no`, `page_size`, `user_id`, `language`, `allow_truncated`, `timeout`, `retry`: as
                `arm.customers.list`.

        https://docs.amili.dev/get-a-list-of-adb-intervals-4205288e0
        """
        return listed(self._caller, "insights.adb_intervals", JsonRecord, parameters, **options)
