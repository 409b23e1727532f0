"""Lists in pages: a request with filters makes a query; its pages are asked for by id and page number."""

from __future__ import annotations

import array
import dataclasses
import secrets
from typing import TYPE_CHECKING, Any

from . import processing
from .store import QueryRow, Store

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .settings import Kind, Settings

_FOLDED = ("customerno", "organizationno", "name", "customercategory", "documentno")


@dataclasses.dataclass(frozen=True, slots=True)
class ListRequest:
    """One request for a page.

    ``name`` is the name of the list in the answer, ``address`` the address of the list as the client wrote it,
    ``query`` the parameters.
    """

    kind: Kind
    name: str
    client_no: int
    address: str
    query: Mapping[str, str]


def answer(store: Store, settings: Settings, request: ListRequest) -> dict[str, Any] | None:
    """Return the body of a page, None for an unknown query; ``ValueError`` names a bad parameter.

    A page after the last one is empty: the pages don't say what becomes of it.
    """
    page_no = _number(request.query, "pageno", 1) or 1
    wanted = request.query.get("query", "")
    found = store.query(request.client_no, request.kind, wanted) if wanted else _search(store, settings, request)
    if found is None:
        return None
    ids = array.array("q", found.ids)
    start = (page_no - 1) * found.size
    rows = store.page(request.kind, ids[start : start + found.size])
    records = [_show(request, *row) for row in rows]
    return {
        "summary": _summary(settings, request, found, page_no, len(ids), len(records)),
        request.name: records,
    }


def _search(store: Store, settings: Settings, request: ListRequest) -> QueryRow:
    """Run a new query and remember what it found."""
    size = processing.page_size(_number(request.query, "pagesize", None), settings.page_size_cap)
    asked = _number(request.query, "maximumcount", None)
    maximum = settings.list_cap if asked is None else max(1, min(asked, settings.list_cap))
    filters: dict[str, str | int] = {name: processing.fold(request.query[name]) for name in _FOLDED if request.query.get(name)}
    account = _number(request.query, "accountno", None)
    if account is not None:
        filters["accountno"] = account
    ids, total = store.select(request.kind, request.client_no, filters, maximum, count=settings.total_count == "all")
    query_id = processing.batch_id(secrets.token_bytes(16))
    row = QueryRow(query_id, request.client_no, request.kind, size, maximum, total, ids.tobytes())
    store.add_query(row)
    return row


def _summary(settings: Settings, request: ListRequest, found: QueryRow, page_no: int, held: int, shown: int) -> dict[str, Any]:
    """Return a page's summary, its keys in the order of the pages' sample."""
    pages = max(1, -(-held // found.size))
    link = f"{request.address}?query={found.id}&pageno="
    summary: dict[str, Any] = {
        "pageNo": page_no,
        "currentPageSize": shown,
        "pageSizeLimit": found.size,
        "totalPages": pages,
        "totalCount": found.total if settings.total_count == "all" else held,
        "maximumCount": found.maximum,
    }
    if page_no < pages:
        summary["nextPage"] = f"{link}{page_no + 1}"
    elif settings.next_page_end != "absent":
        summary["nextPage"] = None if settings.next_page_end == "null" else ""
    summary["lastPage"] = f"{link}{pages}"
    summary["queryId"] = found.id
    return summary


def _show(request: ListRequest, account: int, number: str, data: bytes) -> dict[str, Any]:
    record = processing.decode_object(data)
    if request.kind == "customers":
        return processing.show_customer(record, request.client_no, account)
    return processing.show_document(record, request.client_no, number)


def _number(query: Mapping[str, str], name: str, default: int | None) -> int | None:
    """Return a whole number among the parameters, or ``default`` if it is missing or blank."""
    given = query.get(name, "")
    if not given:
        return default
    try:
        value = int(given)
    except ValueError:
        raise ValueError(f"{name} must be a whole number") from None
    if name == "pageno" and value < 1:
        raise ValueError("pageno must be at least 1")
    return value
