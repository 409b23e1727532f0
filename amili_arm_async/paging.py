"""Lists: the walk over the pages of a query, one after the other or side by side.

The first answer names the query (`queryId`) and links to the next page; further pages are asked for by `query` and `pageno` alone
(https://docs.amili.dev/get-a-list-of-customers-3942679e0). What a list's last page has as `nextPage` is on no public page: absent,
null and blank all end the walk.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from functools import cache
from types import TracebackType
from typing import Any, Generic, TypeAlias, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from . import codec, log
from .config import check_int
from .endpoints import Endpoint
from .errors import ConfigurationError, ResponseError, TruncatedListError
from .models.base import PageSummary, Record
from .models.json_records import JsonRecord
from .wire import Response, link_query, list_in

__all__ = ["Page", "Pager", "Prefetched", "Query"]

RecordT = TypeVar("RecordT", bound=Record | JsonRecord)

Query: TypeAlias = tuple[tuple[str, str], ...]
FetchPage: TypeAlias = Callable[[Query], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Page(Generic[RecordT]):
    """One page of a list.

    Attributes:
        summary: what the list says of itself.
        items: the records.
        request_id: the request id of the answer, or None.
    """

    summary: PageSummary
    items: list[RecordT] = field(repr=False)
    request_id: str | None = None


class Pager(Generic[RecordT]):
    """A list. Iterating gives every record of every page; nothing is sent before that.

    Each of its ways begins a query of its own: iterating twice asks twice.

    Raises, while it is walked:
        TruncatedListError: after the last record, where the list reached the cap of its endpoint.
        ResponseError: a page can't be read, or the links go round in a circle.
        StatusError, NotSentError: as every call.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        cls: type[RecordT],
        fetch: FetchPage,
        query: Query,
        *,
        may_be_truncated: bool,
    ) -> None:
        self._endpoint = endpoint
        self._cls = cls
        self._fetch = fetch
        self._query = query
        self._may_be_truncated = may_be_truncated

    async def __aiter__(self) -> AsyncIterator[RecordT]:
        async for page in self.pages():
            for record in page.items:
                yield record

    async def pages(self) -> AsyncIterator[Page[RecordT]]:
        """The pages, one after the other."""
        walk = _Walk(self._endpoint, check_cap=not self._may_be_truncated)
        query: Query | None = self._query
        while query is not None:
            # The answer is kept until the next one is there: to give its memory back to the system each time, and to take it again,
            # costs a sixth of the reading.
            response = await self._fetch(query)
            page = self._read(response)
            yield page
            query = walk.after(page)
        walk.finish()

    async def first(self) -> Page[RecordT]:
        """The first page alone."""
        return await self.page(self._query)

    async def collect(self) -> list[RecordT]:
        """All records in one list."""
        return [record async for record in self]

    def prefetch(self, pages: int = 4) -> Prefetched[RecordT]:
        """The same records in the same order, up to `pages` further pages fetched side by side.

        A context manager, so that nothing goes on behind your back when you leave the loop early:
        `async with pager.prefetch(8) as records: async for record in records: ...`
        """
        check_int("prefetch(pages)", pages, least=1)
        walk = _Walk(self._endpoint, check_cap=not self._may_be_truncated)
        return Prefetched(self.page, self._query, walk, pages)

    async def page(self, query: Query) -> Page[RecordT]:
        """The page that `query` asks for."""
        return self._read(await self._fetch(query))

    def _read(self, response: Response) -> Page[RecordT]:
        try:
            # The two kinds of records are read in ways of their own, and no type checker follows that.
            read: Callable[..., Page[RecordT]] = _read_json if issubclass(self._cls, JsonRecord) else _read_page
            return read(response, self._endpoint, self._cls)
        except codec.DecodeFailure:
            pass
        raise ResponseError(f"{self._endpoint.operation}: a page with status {response.status} can't be read")


def _read_page(response: Response, endpoint: Endpoint, cls: type[Record]) -> Page[Any]:
    try:
        body = _decoder(endpoint.items, cls).decode(response.body)
    except codec.DecodeFailure:
        # Something odd is in it; it costs no more than itself.
        return _read_parts(response, endpoint, cls)
    if body.summary is UNSET and body.items is UNSET:
        raise msgspec.DecodeError("neither a summary nor a list of records")
    return Page(PageSummary() if body.summary is UNSET else body.summary, body.items or [], response.request_id)


@cache
def _decoder(items: str, cls: type[Record]) -> msgspec.json.Decoder[Any]:
    """Reads a page as a whole, where all of it is as expected: its records are in the list `items`."""
    records = (list[cls] | UnsetType | None, msgspec.field(default=UNSET, name=items))  # type: ignore[valid-type]
    body = msgspec.defstruct("Body", [("summary", PageSummary | UnsetType, UNSET), ("items", *records)], gc=False)
    return msgspec.json.Decoder(body)


def _read_parts(response: Response, endpoint: Endpoint, cls: type[Record]) -> Page[Any]:
    parts = msgspec.json.decode(response.body, type=dict[str, msgspec.Raw])
    if "summary" not in parts and endpoint.items not in parts:
        raise msgspec.DecodeError("neither a summary nor a list of records")
    summary = codec.read_record(parts["summary"], PageSummary) if "summary" in parts else PageSummary()
    raw = parts.get(endpoint.items)
    items = codec.read_records(raw, cls) if raw is not None and bytes(raw) != b"null" else []
    return Page(summary, items, response.request_id)


def _read_json(response: Response, endpoint: Endpoint, cls: type[JsonRecord]) -> Page[Any]:
    """A page of records whose fields, and so the shape of the list too, are on no public page."""
    value = codec.json_value(response.body)
    items = list_in(value, endpoint.items)
    if items is None:
        raise msgspec.DecodeError("no list of records")
    said = value.get("summary") if isinstance(value, dict) else None
    summary = codec.read_value(said, PageSummary) if said is not None else PageSummary()
    return Page(summary, [cls(item) for item in items], response.request_id)


class _Walk:
    """What a walk knows so far: what comes next, whether it goes in a circle, whether the list was cut off at its cap."""

    def __init__(self, endpoint: Endpoint, *, check_cap: bool) -> None:
        self._endpoint = endpoint
        self._check_cap = check_cap
        self._seen: set[int] = set()
        self._records = 0
        self._total = 0
        self._cap = endpoint.cap

    def after(self, page: Page[Any]) -> Query | None:
        """The query of the page after `page`, or None where that was the last."""
        summary = page.summary
        self._records += len(page.items)
        self._total = max(self._total, summary.total_count or 0)
        if summary.maximum_count is not None and summary.maximum_count > 0:
            self._cap = summary.maximum_count
        query = self._next(summary)
        log.debug("page", operation=self._endpoint.operation, page=summary.page_no, records=len(page.items))
        if query is None:
            if (summary.page_no or 0) < (summary.total_pages or 0):
                # Said, and not raised: the page alone decides where a list ends.
                log.warning("list ended early", operation=self._endpoint.operation, page=summary.page_no, total_pages=summary.total_pages)
            return None
        if hash(query) in self._seen:
            raise ResponseError(f"{self._endpoint.operation}: nextPage leads back to a page that was already read")
        self._seen.add(hash(query))
        return query

    def _next(self, summary: PageSummary) -> Query | None:
        """The query in the link to the next page; a link that leads nowhere must not end the list in silence."""
        odd = summary.unread is not None and "nextPage" in summary.unread
        if not odd and not (summary.next_page or "").strip():
            return None
        query = None if odd else link_query(summary.next_page or "")
        if query is None:
            raise ResponseError(f"{self._endpoint.operation}: nextPage is no link to a further page, so the rest can't be read")
        return query

    def finish(self) -> None:
        """Raises where the list was cut off at its cap."""
        count = max(self._records, self._total)
        if self._check_cap and self._cap and count >= self._cap:
            raise TruncatedListError(total_count=count, cap=self._cap)


class Prefetched(Generic[RecordT]):
    """The records of a list, later pages fetched side by side, order kept; see `Pager.prefetch`."""

    def __init__(self, fetch: Callable[[Query], Awaitable[Page[RecordT]]], query: Query, walk: _Walk, ahead: int) -> None:
        self._fetch = fetch
        self._next: Query | None = query
        self._walk = walk
        self._ahead = ahead
        self._tasks: deque[tuple[Query, asyncio.Task[Page[RecordT]]]] = deque()
        self._items: deque[RecordT] = deque()
        self._failure: ResponseError | None = None
        self._open = False
        self._done = False

    async def __aenter__(self) -> Prefetched[RecordT]:
        if self._open or self._done:
            raise ConfigurationError("prefetch() can be entered once; call it again for another walk")
        self._open = True
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._open, self._done = False, True
        self._items.clear()
        await self._cancel()

    def __aiter__(self) -> Prefetched[RecordT]:
        if not self._open:
            raise ConfigurationError("enter it first: async with pager.prefetch(8) as records: ...")
        return self

    async def __anext__(self) -> RecordT:
        while not self._items:
            if self._next is None or not self._open:
                self._finish()
                raise StopAsyncIteration
            await self._turn(self._next)
        return self._items.popleft()

    def _finish(self) -> None:
        """The end of the list: raises once what there is to raise."""
        if self._done:
            return
        self._done = True
        if self._failure is not None:
            raise self._failure
        self._walk.finish()

    async def _turn(self, query: Query) -> None:
        """Takes the page of `query`, and starts those that will follow it."""
        page = await self._page(query)
        self._items.extend(page.items)
        try:
            self._next = self._walk.after(page)
        except ResponseError as failure:
            # Raised when the records of this page are taken.
            self._next, self._failure = None, failure
        if self._next is None:
            await self._cancel()
        else:
            await self._start(self._next, page.summary.total_pages or 0)

    async def _page(self, query: Query) -> Page[RecordT]:
        if self._tasks and self._tasks[0][0] == query:
            # The task stays in the queue while it is awaited, so that leaving now cancels it too.
            page = await asyncio.shield(self._tasks[0][1])
            self._tasks.popleft()
            return page
        await self._cancel()
        return await self._fetch(query)

    async def _start(self, query: Query, total_pages: int) -> None:
        """Sees to it that `query` and the pages after it are under way. The links tell how a page is asked for: by its number."""
        if self._tasks and self._tasks[0][0] != query:
            await self._cancel()
        number = _page_number(query)
        last = max(total_pages, number) if number is not None else 0
        following = [query] if number is None else [_with_page_number(query, n) for n in range(number, min(number + self._ahead, last + 1))]
        for wanted in following[len(self._tasks) :]:
            self._tasks.append((wanted, asyncio.create_task(_call(self._fetch, wanted))))

    async def _cancel(self) -> None:
        tasks = [task for _, task in self._tasks]
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        # Their failures are of no interest any more; gathering them keeps asyncio from complaining that nobody looked.
        await asyncio.gather(*tasks, return_exceptions=True)


async def _call(fetch: Callable[[Query], Awaitable[Page[RecordT]]], query: Query) -> Page[RecordT]:
    return await fetch(query)


def _page_number(query: Query) -> int | None:
    numbers = [value for name, value in query if name == "pageno"]
    return int(numbers[0]) if len(numbers) == 1 and numbers[0].isdecimal() and len(numbers[0]) < 10 else None


def _with_page_number(query: Query, number: int) -> Query:
    return tuple((name, str(number) if name == "pageno" else value) for name, value in query)
