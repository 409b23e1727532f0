"""A part of a list never passes for the whole, and no walk goes on for ever, whatever the server says of its pages."""

from __future__ import annotations

from typing import Any

import pytest

from amili_arm_async import ArmClient, Pager, ResponseError, TruncatedListError

from ..support.faulty_api import FaultyServer, Seen
from ..support.faulty_runs import ends
from ..support.http_server import Answer

SIZE, COUNT, PAGES = 5, 28, 6
ALL = [str(number) for number in range(COUNT)]
WAYS = pytest.mark.parametrize("how", ["walk", "pages", "prefetch(1)", "prefetch(8)"])


class Customers:
    """A list of 28 in pages of 5. `links` tells which pages link to the next one, `change` what a page says otherwise."""

    def __init__(self, server: FaultyServer) -> None:
        self.asked: list[int] = []
        self.links = lambda page: page < PAGES
        self.items = lambda page: ALL[(page - 1) * SIZE : page * SIZE]
        self.change: Any = lambda page: {}
        self.name = "customers"
        server.answer_read = self.answer

    def answer(self, seen: Seen) -> Answer:
        page = int(seen.query.get("pageno", "1"))
        self.asked.append(page)
        summary = {"pageNo": page, "pageSizeLimit": SIZE, "totalPages": PAGES, "totalCount": COUNT, "maximumCount": 10_000, "queryId": "Q"}
        if self.links(page):
            summary["nextPage"] = f"?query=Q&pageno={page + 1}"
        summary = {name: value for name, value in {**summary, **self.change(page)}.items() if value is not None}
        return Answer(200, {"summary": summary, self.name: [{"customerNo": number} for number in self.items(page)]})


@pytest.fixture
def customers(server: FaultyServer) -> Customers:
    return Customers(server)


async def walk(pager: Pager[Any], how: str, into: list[str]) -> list[str]:
    async def program() -> None:
        if how == "walk":
            async for record in pager:
                into.append(record.customer_no)  # noqa: PERF401
        elif how == "pages":
            async for page in pager.pages():
                into.extend(record.customer_no for record in page.items)
        else:
            async with pager.prefetch(int(how[9:-1])) as records:
                async for record in records:
                    into.append(record.customer_no)  # noqa: PERF401

    await ends(program())
    return into


@WAYS
async def test_a_missing_link_is_an_error_after_the_last_record(customers: Customers, arm: ArmClient, how: str) -> None:
    customers.links = lambda _: False
    given: list[str] = []
    with pytest.raises(TruncatedListError, match="gave 5 of the 28 records that it announced") as raised:
        await walk(arm.customers.list(), how, given)
    assert given == ALL[:5]
    assert (raised.value.given, raised.value.total_count, raised.value.is_short) == (5, 28, True)
    with pytest.raises(TruncatedListError):
        await ends(arm.customers.list().collect())


@WAYS
@pytest.mark.parametrize("enough", [{"allow_truncated": True}, {"maximum_count": 28}])
async def test_a_part_is_enough_where_that_was_said_and_the_log_tells_of_it(
    customers: Customers, arm: ArmClient, how: str, enough: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    customers.links = lambda _: False
    assert await walk(arm.customers.list(**enough), how, []) == ALL[:5]
    assert "list is not whole" in caplog.messages


@WAYS
async def test_the_least_of_total_and_maximum_is_what_is_announced(customers: Customers, arm: ArmClient, how: str) -> None:
    customers.change = lambda _: {"totalCount": 500, "maximumCount": COUNT + 1}
    with pytest.raises(TruncatedListError, match="gave 28 of the 29 records"):
        await walk(arm.customers.list(), how, [])
    customers.change = lambda _: {"totalCount": 500, "maximumCount": COUNT}
    with pytest.raises(TruncatedListError, match="at most 28: there may be more") as raised:
        await walk(arm.customers.list(), how, [])
    assert not raised.value.is_short


@WAYS
async def test_pages_that_are_missing_are_an_error_where_no_total_is_told(customers: Customers, arm: ArmClient, how: str) -> None:
    customers.links = lambda page: page < 2
    customers.change = lambda _: {"totalCount": None}
    with pytest.raises(TruncatedListError, match="ended on page 2 of 6, after 10 records"):
        await walk(arm.customers.list(), how, [])


@WAYS
@pytest.mark.parametrize("pages", [None, PAGES])
async def test_a_page_that_is_left_out_is_an_error_where_no_total_is_told(
    customers: Customers, arm: ArmClient, how: str, pages: int | None
) -> None:
    """A link leads over a page, or another page is answered than the one that was asked for."""
    customers.items = lambda page: ALL[(page - 1 + (page > 2)) * SIZE : (page + (page > 2)) * SIZE]
    customers.links = lambda page: page < PAGES - 1
    customers.change = lambda page: {"totalCount": None, "totalPages": pages, "pageNo": page + (page > 2)}
    given: list[str] = []
    with pytest.raises(TruncatedListError, match="page 4 of the list came where page 3 was due") as raised:
        await walk(arm.customers.list(), how, given)
    assert raised.value.is_short
    assert given == [*ALL[: 2 * SIZE], *ALL[3 * SIZE :]]
    assert await walk(arm.customers.list(allow_truncated=True), how, []) == given


TOO_SMALL = pytest.mark.parametrize(
    "total",
    [
        lambda _: 0,
        lambda _: -1,
        lambda _: SIZE,
        # Only the first page has one; or each page that of what was given so far, but the last one.
        lambda page: 7 if page == 1 else None,
        lambda page: SIZE * (page - 1),
    ],
    ids=["0", "-1", "one page", "at first", "so far"],
)


@WAYS
@TOO_SMALL
@pytest.mark.parametrize("pages", [None, PAGES, 1])
async def test_a_total_that_is_less_than_what_was_given_proves_nothing(
    customers: Customers, arm: ArmClient, how: str, total: Any, pages: int | None
) -> None:
    customers.change = lambda page: {"totalCount": total(page), "totalPages": pages}
    assert await walk(arm.customers.list(), how, []) == ALL
    assert await walk(arm.customers.list(page_no=3), how, []) == ALL[10:]


@WAYS
@TOO_SMALL
async def test_a_page_that_is_left_out_is_an_error_whatever_total_is_told(
    customers: Customers, arm: ArmClient, how: str, total: Any
) -> None:
    customers.items = lambda page: ALL[(page - 1 + (page > 2)) * SIZE : (page + (page > 2)) * SIZE]
    customers.links = lambda page: page < PAGES - 1
    customers.change = lambda page: {"totalCount": total(page), "pageNo": page + (page > 2)}
    given: list[str] = []
    with pytest.raises(TruncatedListError, match="page 4 of the list came where page 3 was due") as raised:
        await walk(arm.customers.list(), how, given)
    assert (raised.value.is_short, raised.value.total_count) == (True, len(given))
    assert await walk(arm.customers.list(allow_truncated=True), how, []) == given


@WAYS
@TOO_SMALL
async def test_pages_that_are_missing_are_an_error_whatever_total_is_told(
    customers: Customers, arm: ArmClient, how: str, total: Any
) -> None:
    customers.links = lambda page: page < 3
    customers.change = lambda page: {"totalCount": total(page)}
    with pytest.raises(TruncatedListError, match="ended on page 3 of 6, after 15 records"):
        await walk(arm.customers.list(), how, [])
    with pytest.raises(TruncatedListError, match="ended on page 3 of 6, after 5 records"):
        await walk(arm.customers.list(page_no=3), how, [])


@WAYS
async def test_page_numbers_of_a_list_that_gives_all_that_it_announces_are_not_looked_at(
    customers: Customers, arm: ArmClient, how: str
) -> None:
    customers.change = lambda page: {"pageNo": page * SIZE}
    assert await walk(arm.customers.list(), how, []) == ALL


@WAYS
async def test_a_list_that_announces_nothing_ends_where_its_links_end(customers: Customers, arm: ArmClient, how: str) -> None:
    customers.change = lambda _: {"totalCount": None, "totalPages": None, "maximumCount": None, "pageNo": None}
    assert await walk(arm.customers.list(), how, []) == ALL


@WAYS
async def test_a_list_that_grew_at_its_end_is_whole(customers: Customers, arm: ArmClient, how: str) -> None:
    customers.change = lambda page: {"totalCount": COUNT - 3 * (PAGES - page)}
    assert await walk(arm.customers.list(), how, []) == ALL


@WAYS
async def test_a_list_that_shrank_may_have_passed_one_over(customers: Customers, arm: ArmClient, how: str) -> None:
    """One of the first page was deleted before page 2 was asked for: what began page 2 is on page 1 now, which was read before."""
    now = ALL[1:]
    customers.items = lambda page: (ALL if page == 1 else now)[(page - 1) * SIZE : page * SIZE]
    customers.change = lambda page: {"totalCount": COUNT - (page > 1)}
    given: list[str] = []
    with pytest.raises(TruncatedListError, match="gave 27 of the 28 records that it announced"):
        await walk(arm.customers.list(), how, given)
    assert given == [*ALL[:5], *ALL[6:]]


@WAYS
@pytest.mark.parametrize("more", [1, 3, SIZE, SIZE + 2])
async def test_what_an_inserted_record_pushes_to_the_next_page_is_not_given_twice(
    customers: Customers, arm: ArmClient, how: str, more: int
) -> None:
    now = [*[f"new {number}" for number in range(more)], *ALL]
    customers.items = lambda page: (ALL if page < 3 else now)[(page - 1) * SIZE : page * SIZE]
    customers.change = lambda page: {"totalCount": COUNT + more * (page >= 3)}
    given: list[str] = []
    with pytest.raises(ResponseError, match=r"changed while it was read: page 3 holds a record of an earlier page again|of page 2 again"):
        await walk(arm.customers.list(), how, given)
    assert given == ALL[:10]


@WAYS
async def test_a_first_page_that_is_answered_again_after_an_insertion_is_not_given_twice(
    customers: Customers, arm: ArmClient, how: str
) -> None:
    now = ["new", *ALL]
    customers.items = lambda page: ALL[:SIZE] if page == 1 else now[:SIZE] if page == 2 else now[(page - 1) * SIZE : page * SIZE]
    customers.change = lambda page: {"totalCount": COUNT + (page > 1)}
    given: list[str] = []
    with pytest.raises(ResponseError, match="changed while it was read: page 2 holds a record of an earlier page again"):
        await walk(arm.customers.list(), how, given)
    assert given == ALL[:SIZE]


@WAYS
async def test_a_page_that_is_answered_again_after_a_deletion_is_not_given_twice(customers: Customers, arm: ArmClient, how: str) -> None:
    customers.items = lambda page: ALL[:SIZE] if page == 1 else ALL[1 : SIZE + 1]
    customers.change = lambda page: {"totalCount": COUNT - (page > 1)}
    given: list[str] = []
    with pytest.raises(ResponseError, match="changed while it was read: page 2 holds a record of an earlier page again"):
        await walk(arm.customers.list(), how, given)
    assert given == ALL[:SIZE]


@WAYS
@pytest.mark.parametrize("again", [ALL[1:SIZE], ALL[: SIZE - 1]])
async def test_a_page_that_comes_again_in_part_is_not_given_twice(customers: Customers, arm: ArmClient, how: str, again: list[str]) -> None:
    customers.items = lambda page: again if page == 2 else ALL[(page - 1) * SIZE : page * SIZE]
    given: list[str] = []
    with pytest.raises(ResponseError, match=": page 2 holds a record of an earlier page again"):
        await walk(arm.customers.list(), how, given)
    assert given == ALL[:SIZE]


@WAYS
async def test_a_walk_that_begins_later_is_not_told_to_be_short(customers: Customers, arm: ArmClient, how: str) -> None:
    assert await walk(arm.customers.list(page_no=3), how, []) == ALL[10:]
    assert await walk(arm.customers.list(page_no=6), how, []) == ALL[25:]
    customers.change = lambda _: {"pageSizeLimit": None}
    assert await walk(arm.customers.list(page_no=3), how, []) == ALL[10:]
    assert await walk(arm.customers.list(page_no=6), how, []) == ALL[25:]
    customers.links = lambda page: page < 4
    with pytest.raises(TruncatedListError, match="gave 10 of the 18 records"):
        await walk(arm.customers.list(page_no=3), how, [])


@WAYS
@pytest.mark.parametrize(
    "silent", [(), ("totalPages",), ("totalPages", "totalCount"), ("totalPages", "totalCount", "pageNo", "maximumCount")]
)
async def test_a_link_that_is_always_there_ends_in_empty_pages(
    customers: Customers, arm: ArmClient, how: str, silent: tuple[str, ...]
) -> None:
    customers.links = lambda _: True
    customers.change = lambda _: dict.fromkeys(silent)
    assert await walk(arm.customers.list(), how, []) == ALL
    assert max(customers.asked) <= (PAGES + 1 if not silent else PAGES + 3) + (8 if how == "prefetch(8)" else 0)


@WAYS
@pytest.mark.parametrize("silent", [(), ("totalPages",), ("totalPages", "totalCount")])
async def test_one_empty_page_does_not_end_a_list(customers: Customers, arm: ArmClient, how: str, silent: tuple[str, ...]) -> None:
    pages = [ALL[:5], [], ALL[5:10], [], [], ALL[10:]]
    customers.items = lambda page: pages[page - 1]
    customers.change = lambda _: dict.fromkeys(silent)
    assert await walk(arm.customers.list(), how, []) == ALL


@WAYS
async def test_three_empty_pages_end_a_list_and_what_is_missing_is_told(customers: Customers, arm: ArmClient, how: str) -> None:
    customers.links = lambda _: True
    customers.items = lambda page: ALL[:5] if page == 1 else []
    with pytest.raises(TruncatedListError, match="gave 5 of the 28"):
        await walk(arm.customers.list(), how, [])
    assert max(customers.asked) <= 4 + 8


@WAYS
@pytest.mark.parametrize(
    "silent", [(), ("totalPages",), ("totalPages", "totalCount"), ("totalPages", "totalCount", "pageNo", "maximumCount")]
)
@pytest.mark.parametrize("period", [1, 3])
async def test_pages_that_repeat_are_an_error_and_their_records_are_given_once(
    customers: Customers, arm: ArmClient, how: str, silent: tuple[str, ...], period: int
) -> None:
    """The links change, the records do not."""
    customers.links = lambda _: True
    customers.items = lambda page: ALL[(page - 1) % period * SIZE :][:SIZE]
    customers.change = lambda _: dict.fromkeys(silent)
    given: list[str] = []
    with pytest.raises(ResponseError, match=f"page {period + 1} holds the records of page 1 again"):
        await walk(arm.customers.list(), how, given)
    assert given == ALL[: SIZE * period]


@WAYS
@pytest.mark.parametrize("silent", [(), ("totalPages",), ("totalCount",), ("pageNo",)])
async def test_a_list_that_makes_up_records_for_ever_is_an_error(
    customers: Customers, arm: ArmClient, how: str, silent: tuple[str, ...]
) -> None:
    customers.links = lambda _: True
    customers.items = lambda page: [f"{page}-{place}" for place in range(SIZE)]
    # Where no total is told, the cap bounds it.
    customers.change = lambda _: {"maximumCount": 28, **dict.fromkeys(silent)}
    with pytest.raises(ResponseError, match="the list does not end"):
        await walk(arm.customers.list(), how, [])
    assert max(customers.asked) <= PAGES + 11 + 8


@WAYS
async def test_lists_of_records_of_any_shape_are_checked_too(customers: Customers, arm: ArmClient, how: str) -> None:
    customers.name = "arItems"
    customers.links = lambda _: False

    async def program() -> int:
        count = 0
        if how.startswith("prefetch"):
            async with arm.ar_items.list().prefetch(8) as records:
                async for _ in records:
                    count += 1
        else:
            async for page in arm.ar_items.list().pages():
                count += len(page.items)
        return count

    with pytest.raises(TruncatedListError, match="gave 5 of the 28"):
        await ends(program())
    customers.links = lambda _: True
    customers.items = lambda _: ALL[:5]
    with pytest.raises(ResponseError, match="page 2 holds the records of page 1 again"):
        await ends(program())
    customers.name = "documents"
    customers.links = lambda _: False
    with pytest.raises(TruncatedListError):
        await ends(arm.documents.list().collect())
