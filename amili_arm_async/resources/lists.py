"""What all lists ask of their arguments, and the lists whose criteria are on no public page."""

from __future__ import annotations

from typing import TypedDict, TypeVar

from ..config import RetryPolicy, Timeout, check_int
from ..endpoints import Endpoint
from ..models.base import Record
from ..models.json_records import JsonRecord
from ..paging import Pager
from .caller import Parameters, RequestContext

__all__ = ["ListOptions", "check_list", "listed"]

ListedT = TypeVar("ListedT", bound=Record | JsonRecord)


class ListOptions(TypedDict, total=False):
    """What every list takes, beside its criteria.

    Attributes:
        maximum_count: the most records to give; where it is given, a list that reaches it is no error.
        query: id of an earlier query, to walk its pages again.
        page_no: the page to begin with.
        page_size: records a page, at least 5; the API's default is 100.
        user_id: who asks.
        language: `Accept-Language`.
        allow_truncated: True where a part is enough: a list that hits its cap, or gives less than it announces, is no error.
        timeout, retry: for each page.
    """

    maximum_count: int | None
    query: str | None
    page_no: int | None
    page_size: int | None
    user_id: str | None
    language: str | None
    allow_truncated: bool
    timeout: Timeout | None
    retry: RetryPolicy | None


def check_list(endpoint: Endpoint, *, maximum_count: int | None, page_size: int | None, page_no: int | None) -> None:
    """Refuses what the API would silently change, before anything is sent.

    Raises:
        ConfigurationError: the reason is in the message.
    """
    # Every entity has caps of its own: where no page shows them, only the server knows.
    capped = endpoint.cap > 0
    if page_size is not None:
        why = "the API takes 10 for anything below 5" + (" and caps at 1000" if capped else "") + ", and would not say so"
        check_int("page_size", page_size, least=5, most=1000 if capped else None, why=why)
    if maximum_count is not None:
        why = f"{endpoint.cap:,} is the upper limit of the API" if capped else ""
        check_int("maximum_count", maximum_count, least=1, most=endpoint.cap or None, why=why)
    if page_no is not None:
        check_int("page_no", page_no, least=1)


def listed(
    caller: RequestContext,
    name: str,
    cls: type[ListedT],
    parameters: Parameters | None,
    *,
    maximum_count: int | None = None,
    query: str | None = None,
    page_no: int | None = None,
    page_size: int | None = None,
    user_id: str | None = None,
    language: str | None = None,
    allow_truncated: bool = False,
    timeout: Timeout | None = None,
    retry: RetryPolicy | None = None,
) -> Pager[ListedT]:
    """The pager of a list whose criteria are on no public page."""
    check_list(caller.endpoints[name], maximum_count=maximum_count, page_size=page_size, page_no=page_no)
    return caller.pager(
        name,
        cls,
        {
            **(parameters or {}),
            "maximumcount": maximum_count,
            "query": query,
            "pageno": page_no,
            "pagesize": page_size,
            "userid": user_id or caller.user_id,
        },
        may_be_truncated=allow_truncated or maximum_count is not None,
        language=language,
        timeout=timeout,
        retry=retry,
    )
