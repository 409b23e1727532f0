"""Lists: every record of every page, once and in order, one page after the other or side by side."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amili_arm_async import ConfigurationError, CustomerRecord, Pager, Response, ResponseError, TruncatedListError
from amili_arm_async.codec import DecodeFailure
from amili_arm_async.endpoints import OPERATIONS
from amili_arm_async.paging import _read_page, _read_parts

from ..support.examples import many

pytestmark = pytest.mark.quick

ENDPOINT = OPERATIONS["customers.list"]
FIRST = (("name", "x"), ("pagesize", "5"))


class Server:
    """A list of so many pages; `gates` hold back pages, `fetched` tells which were asked for, `ended` which were answered."""

    def __init__(self, pages: int, *, per_page: int = 2, **summary: Any) -> None:
        self.pages, self.per_page, self.summary = pages, per_page, summary
        self.fetched: list[int] = []
        self.ended: list[int] = []
        self.cancelled: list[int] = []
        self.at_once = self.most_at_once = 0
        self.gates: dict[int, asyncio.Event] = {}
        self.bodies: dict[int, Any] = {}
        self.links: dict[int, Any] = {}
        self.asked: dict[int, asyncio.Event] = {}

    def pager(self, *, may_be_truncated: bool = False) -> Pager[CustomerRecord]:
        return Pager(ENDPOINT, CustomerRecord, self.fetch, FIRST, may_be_truncated=may_be_truncated)

    async def fetch(self, query: tuple[tuple[str, str], ...]) -> Response:
        number = 1 if query == FIRST else int(dict(query)["pageno"])
        assert query == FIRST or query == (("query", "8Nl"), ("pageno", str(number)))
        self.fetched.append(number)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.was_asked(number).set()
        try:
            if number in self.gates:
                await self.gates[number].wait()
            else:
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.cancelled.append(number)
            raise
        finally:
            self.at_once -= 1
        self.ended.append(number)
        body = self.bodies.get(number, self.body(number))
        if isinstance(body, Exception):
            raise body
        return Response(200, {"x-request-id": f"r-{number}"}, body if isinstance(body, bytes) else json.dumps(body).encode())

    def was_asked(self, number: int) -> asyncio.Event:
        return self.asked.setdefault(number, asyncio.Event())

    def body(self, number: int) -> dict[str, Any]:
        link = self.link(number + 1) if number < self.pages else None
        summary = {"pageNo": number, "totalPages": self.pages, "totalCount": self.pages * self.per_page, "maximumCount": 10_000}
        summary |= {"nextPage": self.links.get(number, link), "queryId": "8Nl", **self.summary}
        first = (number - 1) * self.per_page
        return {"summary": summary, "customers": [{"customerNo": str(first + place)} for place in range(self.per_page)]}

    def link(self, number: int) -> str:
        return f"https://api.staging.amili.no/arm/v1/clients/2218/customers?query=8Nl&pageno={number}"

    @property
    def numbers(self) -> list[str]:
        return [str(number) for number in range(self.pages * self.per_page)]


async def walk(pager: Pager[CustomerRecord], prefetch: int | None = None, into: list[str | None] | None = None) -> list[str | None]:
    seen = [] if into is None else into
    if prefetch is None:
        async for record in pager:
            seen.append(record.customer_no)
    else:
        async with pager.prefetch(prefetch) as records:
            async for record in records:
                seen.append(record.customer_no)
    return seen


WAYS = pytest.mark.parametrize("ahead", [None, 1, 3, 50], ids=["plain", "prefetch(1)", "prefetch(3)", "prefetch(50)"])


def stray_tasks() -> set[asyncio.Task[Any]]:
    return asyncio.all_tasks() - {asyncio.current_task()}


# --- the walk -----------------------------------------------------------------------------------------------------------------


@WAYS
@given(pages=st.integers(1, 12), per_page=st.integers(1, 4))
def test_every_record_of_every_page_once_and_in_order(ahead, pages, per_page) -> None:
    async def run() -> None:
        server = Server(pages, per_page=per_page)
        assert await walk(server.pager(), ahead) == server.numbers
        assert sorted(server.fetched) == list(range(1, pages + 1))
        assert server.most_at_once <= (ahead or 1)
        assert not stray_tasks()

    asyncio.run(run())


async def test_nothing_is_sent_before_it_is_walked() -> None:
    server = Server(2)
    pager = server.pager()
    pager.prefetch(2)
    pager.pages()
    assert server.fetched == []


async def test_pages_have_a_summary_items_and_a_request_id() -> None:
    server = Server(3)
    pages = [page async for page in server.pager().pages()]
    assert [(page.summary.page_no, len(page.items), page.request_id) for page in pages] == [(1, 2, "r-1"), (2, 2, "r-2"), (3, 2, "r-3")]
    assert pages[0].summary.query_id == "8Nl"


async def test_first_is_one_request_and_collect_is_all() -> None:
    server = Server(3)
    page = await server.pager().first()
    assert ([record.customer_no for record in page.items], server.fetched) == (["0", "1"], [1])
    assert [record.customer_no for record in await server.pager().collect()] == server.numbers


async def test_pages_are_asked_for_one_at_a_time_and_only_when_wanted() -> None:
    server = Server(5)
    async for record in server.pager():
        if record.customer_no == "2":
            break
    assert server.fetched == [1, 2]


async def test_iterating_twice_asks_twice() -> None:
    server = Server(2)
    pager = server.pager()
    assert await walk(pager) == await walk(pager)
    assert server.fetched == [1, 2, 1, 2]


@WAYS
@pytest.mark.parametrize("link", [None, "", " "])
async def test_a_next_page_that_is_null_or_blank_ends_the_list(link, ahead) -> None:
    server = Server(5)
    server.links[2] = link
    seen: list[str | None] = []
    with pytest.raises(TruncatedListError, match="4 of the 10 records"):
        await walk(server.pager(), ahead, seen)
    assert seen == server.numbers[:4]


@WAYS
@pytest.mark.parametrize("link", ["https://h/no-query", "https://h/no-query?", "http://[bad?pageno=2", {}, ["x"], True])
async def test_a_next_page_that_leads_nowhere_is_an_error_and_no_silent_end(link, ahead) -> None:
    server = Server(5)
    server.links[2] = link
    seen: list[str | None] = []
    with pytest.raises(ResponseError, match="nextPage"):
        await walk(server.pager(), ahead, seen)
    assert seen == server.numbers[:4]


@WAYS
async def test_a_next_page_that_is_absent_ends_the_list(ahead) -> None:
    server = Server(2)
    server.bodies[2] = server.body(2)
    del server.bodies[2]["summary"]["nextPage"]
    assert await walk(server.pager(), ahead) == server.numbers


@WAYS
async def test_a_link_to_another_host_is_followed_on_our_own_origin(ahead) -> None:
    server = Server(2)
    server.links[1] = "https://evil.example/steal?query=8Nl&pageno=2"
    assert await walk(server.pager(), ahead) == server.numbers


@WAYS
@pytest.mark.parametrize("target", [2, 3])
async def test_links_that_go_in_a_circle_end_in_an_error(target, ahead) -> None:
    server = Server(5)
    server.links[3] = server.link(target)
    seen: list[str | None] = []
    with pytest.raises(ResponseError, match="already read"):
        await walk(server.pager(), ahead, seen)
    assert len(server.fetched) < 20
    assert seen[:4] == server.numbers[:4]


@WAYS
async def test_a_page_whose_link_goes_in_a_circle_still_gives_its_records(ahead) -> None:
    server = Server(3)
    server.links[3] = server.link(3)
    seen: list[str | None] = []
    with pytest.raises(ResponseError):
        await walk(server.pager(), ahead, seen)
    assert seen == server.numbers


@WAYS
@pytest.mark.parametrize("body", [{"customers": []}, {"summary": {}, "customers": []}, {"summary": {"totalCount": 0}, "customers": None}])
async def test_a_list_of_nobody_is_empty(body, ahead) -> None:
    server = Server(1)
    server.bodies[1] = body
    assert await walk(server.pager(), ahead) == []


@WAYS
@pytest.mark.parametrize("body", [{}, {"message": "please try again"}])
async def test_a_further_page_that_is_no_page_is_an_error_and_no_silent_end(body, ahead) -> None:
    server = Server(3)
    server.bodies[2] = body
    with pytest.raises(ResponseError):
        await walk(server.pager(), ahead)


@WAYS
@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"null", b"\xff", b'{"customers":{}}', b'{"summary":{},"customers":"x"}', b'{"customers":[{}']
)
async def test_a_page_that_cannot_be_read_is_an_error_and_no_end(body, ahead) -> None:
    server = Server(3)
    server.bodies[2] = body
    seen: list[str | None] = []
    with pytest.raises(ResponseError):
        await walk(server.pager(), ahead, seen)
    assert seen == server.numbers[:2]


@WAYS
async def test_an_odd_summary_costs_no_record(ahead) -> None:
    server = Server(2, totalPages="two", totalCount=None, maximumCount="x", pageNo=[])
    assert await walk(server.pager(), ahead) == server.numbers


@WAYS
async def test_an_odd_record_costs_no_other(ahead) -> None:
    server = Server(2)
    server.bodies[1] = server.body(1)
    server.bodies[1]["customers"].insert(1, {"customerNo": "odd", "dueDays": "soon"})
    assert await walk(server.pager(), ahead) == ["0", "odd", "1", "2", "3"]


@WAYS
async def test_a_list_that_ends_before_its_last_page_is_logged(ahead, log_records) -> None:
    server = Server(5)
    server.links[2] = None
    with pytest.raises(TruncatedListError):
        await walk(server.pager(), ahead)
    assert [(record.page, record.total_pages) for record in log_records if record.levelname == "WARNING"] == [(2, 5)]


# --- caps -----------------------------------------------------------------------------------------------------------------------


@WAYS
async def test_a_list_that_reaches_the_cap_raises_after_its_last_record(ahead) -> None:
    server = Server(3, totalCount=10_000)
    seen: list[str | None] = []
    with pytest.raises(TruncatedListError) as raised:
        await walk(server.pager(), ahead, seen)
    assert seen == server.numbers
    assert (raised.value.total_count, raised.value.cap) == (10_000, 10_000)


@WAYS
async def test_below_the_cap_nothing_is_raised(ahead) -> None:
    server = Server(3, maximumCount=7)
    assert await walk(server.pager(), ahead) == server.numbers


@WAYS
async def test_a_part_is_enough_where_that_was_said(ahead) -> None:
    server = Server(3, totalCount=10_000)
    assert await walk(server.pager(may_be_truncated=True), ahead) == server.numbers


@WAYS
async def test_the_cap_that_the_answer_tells_counts(ahead) -> None:
    with pytest.raises(TruncatedListError, match="at most 6"):
        await walk(Server(3, maximumCount=6).pager(), ahead)


@WAYS
async def test_records_are_counted_where_no_total_is_told(ahead) -> None:
    with pytest.raises(TruncatedListError):
        await walk(Server(3, totalCount=None, maximumCount=6).pager(), ahead)


async def test_leaving_before_the_end_raises_nothing() -> None:
    async for _ in Server(3, totalCount=10_000).pager():
        break


# --- side by side -----------------------------------------------------------------------------------------------------------------


async def test_later_pages_are_fetched_side_by_side_and_order_is_kept() -> None:
    server = Server(6)
    server.gates = {number: asyncio.Event() for number in range(2, 7)}
    reader = asyncio.create_task(walk(server.pager(), 3))
    for number in (2, 3, 4):
        await server.was_asked(number).wait()
    assert 5 not in server.asked
    for number in (4, 3):
        server.gates[number].set()
    server.gates[2].set()
    for number in (6, 5):
        await server.was_asked(number).wait()
        server.gates[number].set()
    assert await reader == server.numbers
    assert server.most_at_once <= 3
    assert server.ended.index(4) < server.ended.index(2) or server.ended.index(3) < server.ended.index(2)


async def test_leaving_early_cancels_what_is_under_way_and_leaves_nothing_behind() -> None:
    server = Server(9)
    server.gates = {number: asyncio.Event() for number in range(3, 10)}
    async with server.pager().prefetch(4) as records:
        async for record in records:
            if record.customer_no == "2":
                await server.was_asked(5).wait()
                break
    assert not stray_tasks()
    assert server.cancelled
    assert sorted(server.cancelled + server.ended) == sorted(server.fetched)
    assert max(server.fetched) <= 6


async def test_an_error_in_the_loop_comes_out_and_leaves_nothing_behind() -> None:
    server = Server(9)
    with pytest.raises(ZeroDivisionError):
        async with server.pager().prefetch(4) as records:
            async for _ in records:
                raise ZeroDivisionError
    assert not stray_tasks()


async def test_cancellation_comes_out_and_leaves_nothing_behind() -> None:
    server = Server(9)
    server.gates = {2: asyncio.Event()}
    reader = asyncio.create_task(walk(server.pager(), 4))
    await server.was_asked(3).wait()
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert not stray_tasks()
    assert 2 in server.cancelled


async def test_the_error_of_a_page_comes_out_in_its_place() -> None:
    server = Server(6)
    server.bodies[4] = ConnectionError("down")
    server.gates = {2: asyncio.Event()}
    seen: list[str | None] = []
    reader = asyncio.create_task(walk(server.pager(), 5, seen))
    await server.was_asked(4).wait()
    server.gates[2].set()
    with pytest.raises(ConnectionError):
        await reader
    assert seen == server.numbers[:6]
    assert not stray_tasks()


async def test_pages_that_the_list_does_not_have_are_of_no_interest() -> None:
    server = Server(3, totalPages=9)
    for number in range(4, 10):
        server.bodies[number] = ConnectionError("no such page")
    assert await walk(server.pager(), 6) == server.numbers
    assert not stray_tasks()


async def test_links_that_skip_pages_are_obeyed() -> None:
    server = Server(6)
    server.links = {2: server.link(4), 4: server.link(6)}
    seen: list[str | None] = []
    with pytest.raises(TruncatedListError, match="8 of the 12 records"):
        await walk(server.pager(), 4, seen)
    assert seen == ["0", "1", "2", "3", "6", "7", "10", "11"]


@pytest.mark.parametrize("total", [None, 0, 1, 2, 1_000_000])
async def test_the_links_and_not_the_total_decide_where_a_list_ends(total) -> None:
    server = Server(5, totalPages=total)
    assert await walk(server.pager(), 4) == server.numbers
    assert max(server.fetched) <= 5 + 4


async def test_it_is_to_be_entered_first_and_once() -> None:
    prefetched = Server(2).pager().prefetch(2)
    with pytest.raises(ConfigurationError, match="enter it first"):
        prefetched.__aiter__()
    async with prefetched as records:
        with pytest.raises(ConfigurationError, match="once"):
            await prefetched.__aenter__()
        assert [record.customer_no async for record in records] == ["0", "1", "2", "3"]
        assert [record async for record in records] == []
    with pytest.raises(ConfigurationError, match="once"):
        await prefetched.__aenter__()


@pytest.mark.parametrize("pages", [0, -1, 1.5, "2", True])
def test_how_many_pages_ahead_is_a_positive_integer(pages) -> None:
    with pytest.raises(ConfigurationError, match="prefetch"):
        Server(1).pager().prefetch(pages)


# --- as a whole, and in parts ---------------------------------------------------------------------------------------------------

VALUES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3), st.just([]), st.just({}))
NAMES = st.sampled_from(["customerNo", "name", "dueDays", "limitAmount", "dateOfBirth", "postalAddress", "(unread)", "x"])
ITEMS = st.lists(st.dictionaries(NAMES, VALUES, max_size=3) | VALUES, max_size=3)
SUMMARIES = st.dictionaries(st.sampled_from(["pageNo", "nextPage", "queryId", "totalCount", "x"]), VALUES, max_size=4)
BODIES = st.fixed_dictionaries({}, optional={"summary": SUMMARIES | VALUES, "customers": ITEMS | VALUES, "x": VALUES})


def page_of(read: Any, body: bytes) -> Any:
    try:
        page = read(Response(200, {"x-request-id": "r"}, body), ENDPOINT, CustomerRecord)
    except DecodeFailure:
        return None
    return page.summary, page.items, page.request_id


@many(500)
@given(BODIES.map(json.dumps) | st.lists(st.sampled_from(['{"', 'summary":', 'customers":', "{}", "[]", "null", ',"', "}"])).map("".join))
def test_a_page_read_as_a_whole_is_the_page_read_in_parts(text) -> None:
    assert page_of(_read_page, text.encode()) == page_of(_read_parts, text.encode())


def test_a_page_that_is_as_it_should_be_is_read_once(monkeypatch) -> None:
    monkeypatch.setattr("amili_arm_async.paging._read_parts", None)
    body = json.dumps(Server(2).body(1)).encode()
    assert page_of(_read_page, body)[1] == [CustomerRecord(customer_no="0"), CustomerRecord(customer_no="1")]
