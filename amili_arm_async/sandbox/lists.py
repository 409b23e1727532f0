"""Paged lists: a request with filters creates a query; its pages are fetched by query id and page number."""

from __future__ import annotations

import array
import dataclasses
import secrets
from typing import TYPE_CHECKING, Any, Final, Protocol

from . import processing
from .contents import without_content
from .store import QueryRow, Store

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .entities import EntityStore
    from .settings import EntityKind, RecordKind, SandboxSettings

_FOLDED = ("customerno", "organizationno", "name", "customercategory", "documentno")
_NO_FILTERS: Final = frozenset({"expand", "maximumcount", "options", "pageno", "pagesize", "query", "userid"})
"""The query parameters that say how to answer and not which records."""
_MOST: Final = 2**63 - 1
"""The largest number that the tables hold."""


class Source(Protocol):
    """Where the records of a list are."""

    @property
    def kind(self) -> str:
        """What the list is of."""
        ...

    def find(self, client_no: int, query: Mapping[str, str], limit: int, *, count: bool) -> tuple[array.array[int], int]:
        """Returns the ids of the first `limit` records that a query means, and their number, or with `count` that of all."""
        ...

    def shown(self, client_no: int, ids: Sequence[int]) -> list[dict[str, Any]]:
        """Returns the records with these ids that still exist, as a list shows them."""
        ...


class LedgerSource:
    """The customers or the documents of the ledger."""

    def __init__(self, kind: RecordKind, store: Store) -> None:
        self.kind: RecordKind = kind
        self._store = store

    def find(self, client_no: int, query: Mapping[str, str], limit: int, *, count: bool) -> tuple[array.array[int], int]:
        """Returns the records with the wanted numbers, names and categories; other parameters have no effect."""
        filters: dict[str, str | int] = {name: processing.fold(query[name]) for name in _FOLDED if query.get(name)}
        account = _number(query, "accountno", None)
        if account is not None:
            filters["accountno"] = max(-1, min(account, _MOST))
        return self._store.select(self.kind, client_no, filters, limit, count=count)

    def shown(self, client_no: int, ids: Sequence[int]) -> list[dict[str, Any]]:
        """Returns the records as GET of one shows them."""
        return [self._show(client_no, *row) for row in self._store.page(self.kind, ids)]

    def _show(self, client_no: int, account: int, number: str, data: bytes) -> dict[str, Any]:
        record = processing.decode_object(data)
        if self.kind == "customers":
            return processing.show_customer(record, client_no, account)
        return processing.show_document(record, client_no, number)


class EntitySource:
    """The records of another kind."""

    def __init__(self, kind: EntityKind, entities: EntityStore) -> None:
        self.kind: EntityKind = kind
        self._entities = entities

    def find(self, client_no: int, query: Mapping[str, str], limit: int, *, count: bool) -> tuple[array.array[int], int]:
        """Returns the records whose fields are equal to the parameters of the same names."""
        wanted = {name.lower(): processing.fold(value) for name, value in query.items() if value and name.lower() not in _NO_FILTERS}
        return self._entities.find(self.kind, client_no, wanted, limit, count=count)

    def shown(self, client_no: int, ids: Sequence[int]) -> list[dict[str, Any]]:
        """Returns the records as they are, files without their content."""
        return [without_content(record) for record in self._entities.page(ids)] if self.kind == "files" else self._entities.page(ids)


@dataclasses.dataclass(frozen=True, slots=True)
class ListRequest:
    """One request for a page.

    `name` is the name of the list in the answer, `address` the address of the list as the client wrote it,
    `query` the parameters.
    """

    source: Source
    name: str
    client_no: int
    address: str
    query: Mapping[str, str]


def answer(store: Store, settings: SandboxSettings, request: ListRequest) -> dict[str, Any] | None:
    """Returns the body of a page, None for an unknown query; `ValueError` names a bad parameter.

    A page after the last one is empty: the pages don't say what becomes of it.
    """
    page_no = _number(request.query, "pageno", 1) or 1
    wanted = request.query.get("query", "")
    found = store.query(request.client_no, request.source.kind, wanted) if wanted else _search(store, settings, request)
    if found is None:
        return None
    ids = array.array("q", found.ids)
    start = (page_no - 1) * found.size
    records = request.source.shown(request.client_no, ids[start : start + found.size])
    return {
        "summary": _summary(settings, request, found, page_no, len(ids), len(records)),
        request.name: records,
    }


def _search(store: Store, settings: SandboxSettings, request: ListRequest) -> QueryRow:
    """Runs a new query and remembers what it found."""
    size = processing.page_size(_number(request.query, "pagesize", None), settings.page_size_cap)
    asked = _number(request.query, "maximumcount", None)
    maximum = settings.list_cap if asked is None else max(1, min(asked, settings.list_cap))
    ids, total = request.source.find(request.client_no, request.query, maximum, count=settings.total_count == "all")
    query_id = processing.batch_id(secrets.token_bytes(16))
    row = QueryRow(query_id, request.client_no, request.source.kind, size, maximum, total, ids.tobytes())
    store.add_query(row)
    return row


def _summary(settings: SandboxSettings, request: ListRequest, found: QueryRow, page_no: int, held: int, shown: int) -> dict[str, Any]:
    """Returns a page's summary, its keys in the order of the pages' sample."""
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


def _number(query: Mapping[str, str], name: str, default: int | None) -> int | None:
    """Returns a whole number among the parameters, or `default` if it is missing or blank."""
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
