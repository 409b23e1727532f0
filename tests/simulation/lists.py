"""What a list of the service gives page by page, and what may be odd about it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["CAP", "LIST_FAULTS", "ODD_LISTS", "page_of"]

LIST_FAULTS = (
    "list_fails",
    "list_cut",
    "page_repeated",
    "page_lost",
    "query_expired",
    "record_lost",
    "no_next_page",
    "odd_link",
    "link_back",
)
"""What may go wrong with a page. After each of them the list may end with an error."""

ODD_LISTS = ("holes", "unannounced", "odd records", "empty without end", "without end", "capped")
"""What may be odd about a whole list. All but the last two are given whole."""

_HOLES = 2
"""Empty pages after the first one, in a list that has holes."""

CAP = 8
"""Records of a list that is capped, at the most."""

_WITHOUT_END = frozenset({"empty without end", "without end"})


def page_of(records: Sequence[dict[str, Any]], number: int, size: int, query: str, fault: str | None, odd: str) -> dict[str, Any]:
    """Returns a page.

    Args:
        records: of the whole list.
        number: of the page, from 1.
        size: records on a page.
        query: the name of the query.
        fault: what goes wrong, one of `LIST_FAULTS`.
        odd: what is odd about the list: `holes`, empty pages after the first one; `unannounced`, it does not say how long it is; `odd
            records`, some have fields of another type; `empty without end`, unannounced, and empty pages follow the last one; `without
            end`, pages with other records do; `capped`, it has no more records than it may give, and says how many that are.
    """
    records = records[: CAP if odd == "capped" else None]
    full = max(1, -(-len(records) // size))
    holes = _HOLES if odd == "holes" and full > 1 else 0
    pages = full + holes
    shown = number - 1 if fault == "page_repeated" and number > 1 else number + 1 if fault == "page_lost" else number
    if shown > 1:
        shown -= holes
    items = list(records[(shown - 1) * size : shown * size]) if shown > 1 or number == 1 or not holes else []
    if odd == "without end" and number > pages:
        items = [{"customerNo": f"X{number}-{place}"} for place in range(size)]
    if odd == "odd records":
        items = [{**one, "name": 7, "accountNo": {}} if place % 2 else one for place, one in enumerate(items)]
    summary = {
        "pageNo": number,
        "currentPageSize": len(items),
        "pageSizeLimit": size,
        "nextPage": _link(number, pages, size, query, fault, odd),
        "queryId": query,
    }
    if odd not in {"unannounced", "empty without end"}:
        summary |= {"totalPages": pages, "totalCount": len(records)}
    if odd == "capped":
        summary["maximumCount"] = CAP
    return {"summary": summary, "customers": items[1:] if fault == "record_lost" else items}


def _link(number: int, pages: int, size: int, query: str, fault: str | None, odd: str) -> Any:
    if fault == "no_next_page" or (number >= pages and odd not in _WITHOUT_END):
        return None
    if fault == "odd_link":
        return ({"pageNo": number + 1}, number + 1, "the next one")[number % 3]
    return f"/arm/clients/2218/customers?query={query}&pageno={number if fault == 'link_back' else number + 1}&pagesize={size}"
