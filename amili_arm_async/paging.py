"""Lists: reads the pages of a query, one after the other or several at once.

The first response names the query (`queryId`) and links to the next page; further pages are fetched by `query` and `pageno` alone
(https://docs.amili.dev/get-a-list-of-customers-3942679e0). No public page shows what the last page has as `nextPage`: absent, null and
blank all end the list, and so does an empty page after the last one. The number of records is compared with the most that the list
announced, so that a part never passes for the whole. No page says either whether a query is a snapshot: where the numbers show that a list
changed while it was read, nothing is given twice, and nothing is left out, without an error.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from functools import cache, partial
from types import TracebackType
from typing import Any, Final, Generic, TypeAlias, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from . import codec, log
from .config import check_int
from .endpoints import Endpoint
from .errors import ConfigurationError, ResponseError, TruncatedListError
from .models.base import PageSummary, Record
from .models.json_records import JsonRecord
from .models.listing import Listed
from .wire import Response, link_query, list_in

__all__ = ["Page", "Pager", "Prefetched", "Query"]

RecordT = TypeVar("RecordT", bound=Record | JsonRecord | bytes)

Query: TypeAlias = tuple[tuple[str, str], ...]
FetchPage: TypeAlias = Callable[[Query], Awaitable[Response]]

_EMPTY_PAGES: Final = 3
"""Empty pages in a row that end a walk, though the last of them links to a further page."""
_TRACE: Final = msgspec.json.Encoder()
_MARGIN: Final = 10
"""Pages that are read after a list has given all that it announced: it may grow while it is walked."""
_MOST_PAGES: Final = 1_000_000
"""Pages of one walk at the most, for a list that announces nothing."""


@dataclass(frozen=True, slots=True, repr=False)
class Page(Listed, Generic[RecordT]):
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
    """A list of records. Iterating gives every record of every page; nothing is sent before that.

    Each method, and each iteration, begins a query of its own: iterating twice asks twice.

    Raises:
        TruncatedListError: while it is walked: after the last record, where the list reached the cap of its endpoint, gave fewer
            records than it announced, or left out a page.
        ResponseError: a page can't be read, the links go round in a circle, the list does not end where it says that it does, or a page
            holds the records of an earlier one again, or one of them.
        StatusError: as every call.
        NotSentError: as every call.
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
        # The kinds of records are read in ways of their own, and no type checker follows that.
        self._read_page: Callable[..., Page[RecordT]] = _read_json if issubclass(cls, JsonRecord) else _read_page

    def __repr__(self) -> str:
        return f"<Pager of {self._endpoint.name}: `async for` gives its records, `await` .first() or .collect()>"

    async def __aiter__(self) -> AsyncIterator[RecordT]:
        async for page in self.pages():
            for record in page.items:
                yield record

    async def pages(self) -> AsyncIterator[Page[RecordT]]:
        """Fetches the pages one after the other.

        Yields:
            A page: its summary and its records.
        """
        walk = _Walk(self._endpoint, self._query, may_be_truncated=self._may_be_truncated)
        query: Query | None = self._query
        while query is not None:
            # The answer is kept until the next one is there: to give its memory back to the system each time, and to take it again,
            # costs a sixth of the reading.
            response = await self._fetch(query)
            page = self._read(response)
            walk.read(page)
            yield page
            query = walk.after(page)
        walk.finish()

    async def first(self) -> Page[RecordT]:
        """Fetches the first page only.

        Returns:
            The page: its summary and its records.
        """
        return await self.page(self._query)

    async def collect(self) -> list[RecordT]:
        """Fetches all pages.

        Returns:
            All records, in order.
        """
        return [record async for record in self]

    def raw(self) -> Pager[bytes]:
        """Returns each record as the JSON text that the API wrote, not parsed into a record: unknown fields, the order of the fields and
        the digits of numbers stay as they came.

        Returns:
            The same list of JSON texts, each `bytes` of one JSON object: `async for text in arm.customers.list().raw(): ...`
        """
        is_json = issubclass(self._cls, JsonRecord)
        pager = Pager(self._endpoint, bytes, self._fetch, self._query, may_be_truncated=self._may_be_truncated)
        pager._read_page = _read_raw_json if is_json else _read_raw
        return pager

    def prefetch(self, pages: int = 4) -> Prefetched[RecordT]:
        """Returns the same records in the same order, and fetches further pages concurrently.

        It is a context manager, so that no request is left when you leave the loop early:
        `async with pager.prefetch(8) as records: async for record in records: ...`

        Args:
            pages: the maximum number of pages to fetch ahead. Default 4.

        Returns:
            A context manager; what it gives is iterated with `async for`.

        Raises:
            ConfigurationError: `pages` is less than 1.
        """
        check_int("prefetch(pages)", pages, least=1)
        walk = _Walk(self._endpoint, self._query, may_be_truncated=self._may_be_truncated)
        return Prefetched(self.page, self._query, walk, pages)

    async def page(self, query: Query) -> Page[RecordT]:
        """Fetches one page.

        Args:
            query: the parameters of the request.

        Returns:
            The page: its summary and its records.
        """
        return self._read(await self._fetch(query))

    def _read(self, response: Response) -> Page[RecordT]:
        try:
            return self._read_page(response, self._endpoint, self._cls)
        except codec.DecodeFailure:
            pass
        raise ResponseError(f"{self._endpoint.operation}: a page with status {response.status} can't be read")


def _read_page(response: Response, endpoint: Endpoint, cls: Any) -> Page[Any]:
    try:
        body = _decoder(endpoint.items, cls).decode(response.body)
    except codec.DecodeFailure:
        # Something odd is in it; it costs no more than itself.
        return _read_parts(response, endpoint, cls)
    if body.summary is UNSET and body.items is UNSET:
        raise msgspec.DecodeError("neither a summary nor a list of records")
    return Page(PageSummary() if body.summary is UNSET else body.summary, body.items or [], response.request_id)


@cache
def _decoder(items: str, cls: Any) -> msgspec.json.Decoder[Any]:
    """Returns a decoder that reads a whole page, if all of it is as expected: its records are in the list `items`."""
    records = (list[cls] | UnsetType | None, msgspec.field(default=UNSET, name=items))
    body = msgspec.defstruct("Body", [("summary", PageSummary | UnsetType, UNSET), ("items", *records)], gc=False)
    return msgspec.json.Decoder(body)


def _read_parts(response: Response, endpoint: Endpoint, cls: Any) -> Page[Any]:
    parts = msgspec.json.decode(response.body, type=dict[str, msgspec.Raw])
    if "summary" not in parts and endpoint.items not in parts:
        raise msgspec.DecodeError("neither a summary nor a list of records")
    summary = codec.read_record(parts["summary"], PageSummary) if "summary" in parts else PageSummary()
    raw = parts.get(endpoint.items)
    items = codec.read_records(raw, cls) if raw is not None and bytes(raw) != b"null" else []
    return Page(summary, items, response.request_id)


def _read_json(response: Response, endpoint: Endpoint, cls: type[JsonRecord]) -> Page[Any]:
    """Reads a page of records whose fields, and so the shape of the list too, are on no public page."""
    value, items = _json_list(response, endpoint)
    return Page(_json_summary(value), [cls(item) for item in items], response.request_id)


def _json_list(response: Response, endpoint: Endpoint) -> tuple[Any, list[Any]]:
    """Returns the parsed answer of such a list, and the list in it."""
    value = codec.json_value(response.body)
    items = list_in(value, endpoint.items)
    if items is None:
        raise msgspec.DecodeError("no list of records")
    return value, items


def _json_summary(value: Any) -> PageSummary:
    summary = value.get("summary") if isinstance(value, dict) else None
    return codec.read_value(summary, PageSummary) if summary is not None else PageSummary()


def _read_raw(response: Response, endpoint: Endpoint, _: type[bytes]) -> Page[bytes]:
    page = _read_page(response, endpoint, msgspec.Raw)
    return Page(page.summary, [bytes(text) for text in page.items], page.request_id)


def _read_raw_json(response: Response, endpoint: Endpoint, _: type[bytes]) -> Page[bytes]:
    value, items = _json_list(response, endpoint)
    text: bytes | msgspec.Raw = response.body
    if isinstance(value, dict):
        # The text of the list that was found; a list that is null or absent has none.
        name = next((name for name, item in value.items() if item is items), None)
        text = msgspec.json.decode(text, type=dict[str, msgspec.Raw])[name] if name is not None else b"[]"
    return Page(_json_summary(value), [bytes(item) for item in msgspec.json.decode(text, type=list[msgspec.Raw])], response.request_id)


class _Walk:
    """The state of reading a list: what comes next, whether the links go in a circle, and whether it gave what it announced.

    Args:
        endpoint: of the list.
        query: of the first page.
        may_be_truncated: whether a part of the list is enough.
    """

    def __init__(self, endpoint: Endpoint, query: Query, *, may_be_truncated: bool) -> None:
        self._endpoint = endpoint
        self._first = query
        self._may_be_truncated = may_be_truncated
        self._seen_queries: set[int] = set()
        self._seen_pages: dict[int, int] = {}
        self._pages = 0
        self._number: int = 0
        self._records = 0
        # Records on the pages before the one that the walk began with.
        self._skipped = 0
        self._empty_in_a_row = 0
        self._pages_too_many = 0
        # From the latest page that has them: a list may change while it is read.
        self._total: int | None = None
        # The most that a page announced: of a list that shrinks, a record may be passed over.
        self._most = 0
        # Hashes of the first and the last record of each page: where records are pushed to later pages, each of these holds a last one
        # again, and a first page that is answered once more holds its first one.
        self._ends: set[int | None] = set()
        self._total_pages: int | None = None
        # The page that was due and the number of the one that came, where that was a later one.
        self._left_out: tuple[int, int] | None = None
        self._cap = endpoint.cap

    def read(self, page: Page[Any]) -> None:
        """Counts a page before its records are given.

        Raises:
            ResponseError: its records are those of an earlier page.
        """
        summary, begin = page.summary, _page_number(self._first) or 1
        following = self._number + 1 if self._pages else begin
        self._pages += 1
        self._number = summary.page_no if summary.page_no is not None and summary.page_no > 0 else begin + self._pages - 1
        if self._number > following:
            self._left_out = self._left_out or (following, self._number)
        if page.items and (trace := _trace(page.items)) is not None:
            earlier = self._seen_pages.setdefault(trace, self._pages)
            if earlier != self._pages:
                raise ResponseError(
                    f"{self._endpoint.operation}: page {begin + self._pages - 1} holds the records of page {begin + earlier - 1} again,"
                    " so the rest of the list can't be read"
                )
        if self._pages == 1:
            # A page that links to a further one is full; otherwise the size of the pages before it is not known.
            full = len(page.items) if (summary.next_page or "").strip() else summary.total_count or 0
            self._skipped = (begin - 1) * (max(summary.page_size_limit or 0, 0) or full)
        ends = {end for item in (*page.items[:1], *page.items[-1:]) if (end := _trace_of(item)) is not None}
        changed = self._changed(summary)
        # To look at each record of each page would take as long as to read them.
        if not self._ends.isdisjoint(map(_trace_of, page.items) if changed else ends):
            why = "the list changed while it was read: " if changed else ""
            raise ResponseError(
                f"{self._endpoint.operation}: {why}page {begin + self._pages - 1} holds a record of an earlier page again, so records may"
                " be given twice, or left out. List again"
            )
        self._ends |= ends
        self._records += len(page.items)
        self._empty_in_a_row = 0 if page.items else self._empty_in_a_row + 1
        self._total = summary.total_count if summary.total_count is not None else self._total
        self._most = max(self._most, self._total or 0)
        self._total_pages = summary.total_pages if summary.total_pages is not None else self._total_pages
        if summary.maximum_count is not None and summary.maximum_count > 0:
            self._cap = summary.maximum_count
        log.debug("page", operation=self._endpoint.operation, page=summary.page_no, records=len(page.items))

    def _changed(self, summary: PageSummary) -> bool:
        """Tells whether a page announces another number of records than the one before it."""
        return summary.total_count is not None and self._total is not None and summary.total_count != self._total

    def after(self, page: Page[Any]) -> Query | None:
        """Returns the query of the page after `page`, or None at the end of the list.

        Raises:
            ResponseError: the link can't be followed, or leads on and on.
        """
        query = self._next(page.summary)
        if query is None or self._is_over():
            unannounced = self._total is None and self._total_pages is None
            if self._number < (self._total_pages or 0) or (query is not None and unannounced):
                log.warning("list ended early", operation=self._endpoint.operation, page=self._number, total_pages=self._total_pages)
            return None
        if hash(query) in self._seen_queries:
            raise ResponseError(f"{self._endpoint.operation}: nextPage leads back to a page that was already read")
        self._seen_queries.add(hash(query))
        self._pages_too_many += self._has_all()
        if self._pages_too_many > _MARGIN or self._pages >= _MOST_PAGES:
            raise ResponseError(
                f"{self._endpoint.operation}: the list does not end: page {self._number} links to a further one, after"
                f" {self._records:,} records (it announced {_said(self._total)} records on {_said(self._total_pages)} pages)"
            )
        return query

    def _next(self, summary: PageSummary) -> Query | None:
        """Returns the query in the link to the next page. A link that leads nowhere must not end the list silently."""
        odd = summary.unread is not None and "nextPage" in summary.unread
        if not odd and not (summary.next_page or "").strip():
            return None
        query = None if odd else link_query(summary.next_page or "")
        if query is None:
            raise ResponseError(f"{self._endpoint.operation}: nextPage is no link to a further page, so the rest can't be read")
        return query

    def _is_over(self) -> bool:
        """Tells whether empty pages end the list, wherever the last one links to."""
        after_the_last = self._total_pages is not None and self._number > self._total_pages >= 0
        return self._empty_in_a_row >= _EMPTY_PAGES or (self._empty_in_a_row > 0 and after_the_last)

    def _has_all(self) -> bool:
        """Tells whether everything that the list announces has been read, if it announces anything."""
        records, pages = self._total if (self._total or 0) > 0 else self._cap, self._total_pages or 0
        enough = self._skipped + self._records >= records if records else True
        return bool(records or pages > 0) and enough and self._number >= pages

    def finish(self) -> None:
        """Ends the list: checks that it was complete.

        Raises:
            TruncatedListError: the list was cut off at its cap, gave less than it announced, or left out a page.
        """
        failure = self._truncated()
        if failure is None:
            return
        if not self._may_be_truncated:
            raise failure
        if failure.is_short:
            log.warning("list is not whole", operation=self._endpoint.operation, records=failure.given, announced=failure.total_count)

    def _truncated(self) -> TruncatedListError | None:
        read = self._skipped + self._records
        announced = min(self._most, self._cap or self._most)
        count = max(self._total or 0, read)
        failure = partial(TruncatedListError, total_count=count, cap=self._cap, given=self._records)
        if read < announced:
            return failure(expected=announced - self._skipped)
        # A list that gave more than it announced at any time did not count its records: only its pages tell whether it is whole.
        is_counted = self._total is not None and self._most >= read
        if not is_counted and self._number < (self._total_pages or 0):
            return failure(pages=(self._number, self._total_pages or 0))
        if not is_counted and self._left_out is not None:
            return failure(left_out=self._left_out)
        return failure() if self._cap and count >= self._cap else None


def _trace(items: list[Any]) -> int | None:
    """Returns a hash that identifies a page: of three of its records. None where they can't be encoded.

    That is enough: lists change between two pages, but no two pages share these three in the same places.
    """
    chosen = [items[0], items[len(items) // 2], items[-1]]
    try:
        return hash((len(items), *[_TRACE.encode(item.value if isinstance(item, JsonRecord) else item) for item in chosen]))
    except (TypeError, ValueError, RecursionError):  # JSON that msgspec reads and does not write
        return None


def _trace_of(item: Any) -> int | None:
    """Returns a hash that identifies a record; None where it can't be encoded."""
    return _trace([item])


def _said(number: int | None) -> str:
    return "no number of" if number is None else f"{number:,}"


class Prefetched(Generic[RecordT]):
    """The records of a list in order, with later pages fetched concurrently; see `Pager.prefetch`."""

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
        """Ends the list: raises, once, what there is to raise."""
        if self._done:
            return
        self._done = True
        if self._failure is not None:
            raise self._failure
        self._walk.finish()

    async def _turn(self, query: Query) -> None:
        """Returns the page of `query`, and starts to fetch those after it."""
        page = await self._page(query)
        self._walk.read(page)
        self._items.extend(page.items)
        try:
            self._next = self._walk.after(page)
        except ResponseError as exc:
            # Raised when the records of this page are taken.
            self._next, self._failure = None, exc
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
        """Starts to fetch `query` and the pages after it. The links show how a page is fetched: by its number."""
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
        # Their failures are of no interest any more; gathering them keeps asyncio from reporting them as never retrieved.
        await asyncio.gather(*tasks, return_exceptions=True)


async def _call(fetch: Callable[[Query], Awaitable[Page[RecordT]]], query: Query) -> Page[RecordT]:
    return await fetch(query)


def _page_number(query: Query) -> int | None:
    numbers = [value for name, value in query if name == "pageno"]
    return int(numbers[0]) if len(numbers) == 1 and numbers[0].isdecimal() and len(numbers[0]) < 10 else None


def _with_page_number(query: Query, number: int) -> Query:
    return tuple((name, str(number) if name == "pageno" else value) for name, value in query)
