"""Client configs: the settings of a client number at Amili."""

from __future__ import annotations

from typing import Unpack

from ..config import RetryPolicy, Timeout
from ..models.json_records import JsonRecord, Reply
from ..paging import Pager
from .caller import Parameters, RequestContext
from .lists import ListOptions, listed

__all__ = ["ClientConfigs"]


class ClientConfigs:
    """`arm.client_configs`. Both paths are inferred.

    Raises as every call: `NotSentError`, `OutcomeUnknownError`, `ResponseError`, `StatusError` and its subclasses,
    `ConfigurationError`.
    """

    def __init__(self, caller: RequestContext) -> None:
        self._caller = caller

    def list(self, *, parameters: Parameters | None = None, **options: Unpack[ListOptions]) -> Pager[JsonRecord]:
        """The client config values. What they hold is on no public page: mappings, as they came.

        Args:
            parameters: criteria by the API's own names, all lower case; no public page shows them.
            options: `maximum_count`, `query`, `page_no`, `page_size`, `user_id`, `language`, `allow_truncated`, `timeout`, `retry`: as
                `arm.customers.list`.

        https://docs.amili.dev/ (ClientConfigs, "GET a list of client config values")
        """
        return listed(self._caller, "client_configs.list", JsonRecord, parameters, **options)

    async def get(
        self,
        key: str,
        *,
        parameters: Parameters | None = None,
        language: str | None = None,
        timeout: Timeout | None = None,
        retry: RetryPolicy | None = None,
    ) -> Reply:
        """The values for one client config key. Raises `NotFoundError` where there is none.

        What it answers is on no public page: a mapping, as it came. `parameters` are query parameters by the API's own names.

        https://docs.amili.dev/get-values-for-one-client-config-key-4205266e0
        """
        return await self._caller.read(
            "client_configs.get", query=parameters, language=language, timeout=timeout, retry=retry, path={"key": key}
        )
