"""Document bundles."""

from __future__ import annotations

from typing import Unpack

from ..config import RetryPolicy, Timeout
from ..models.json_records import JsonRecord, Reply
from ..paging import Pager
from .caller import Parameters, RequestContext
from .lists import ListOptions, listed

__all__ = ["DocumentBundles"]


class DocumentBundles:
    """`arm.document_bundles`. Both paths are inferred.

    Raises as every call: `NotSentError`, `OutcomeUnknownError`, `ResponseError`, `StatusError` and its subclasses,
    `ConfigurationError`.
    """

    def __init__(self, caller: RequestContext) -> None:
        self._caller = caller

    def list(self, *, parameters: Parameters | None = None, **options: Unpack[ListOptions]) -> Pager[JsonRecord]:
        """The document bundles. What they hold is on no public page: mappings, as they came.

        Args:
            parameters: criteria by the API's own names, all lower case; no public page shows them.
            options: `maximum_count`, `query`, `page_no`, `page_size`, `user_id`, `language`, `allow_truncated`, `timeout`, `retry`: as
                `arm.customers.list`.

        https://docs.amili.dev/ (DocumentBundles, "GET a list of document bundles")
        """
        return listed(self._caller, "document_bundles.list", JsonRecord, parameters, **options)

    async def get(
        self,
        document_bundle_id: int | str,
        *,
        parameters: Parameters | None = None,
        language: str | None = None,
        timeout: Timeout | None = None,
        retry: RetryPolicy | None = None,
    ) -> Reply:
        """One document bundle. Raises `NotFoundError` where there is none.

        What it answers is on no public page: a mapping, as it came. `parameters` are query parameters by the API's own names.

        https://docs.amili.dev/get-one-document-bundle-4205276e0
        """
        return await self._caller.read(
            "document_bundles.get",
            query=parameters,
            language=language,
            timeout=timeout,
            retry=retry,
            path={"documentbundleid": document_bundle_id},
        )
