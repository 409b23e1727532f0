"""Lists: every record once and in order, no link followed to another host, and nothing lost in silence."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

import pytest

from amili_arm_async import ArmClient, ArmError, ResponseError, StatusError, TruncatedListError

from ..support.faulty_api import FaultyServer, Seen
from ..support.faulty_runs import ends
from ..support.http_server import Answer

PAGES, SIZE = 28, 5


class List:
    """A list of 28 pages; `link` makes what stands in nextPage."""

    def __init__(self, server: FaultyServer, **summary: Any) -> None:
        self.server = server
        self.summary = summary
        self.pages = PAGES
        self.last: Any = ...
        self.asked: list[int] = []
        self.special: dict[int, Answer | str] = {}
        self.waits: asyncio.Event | None = None
        server.answer_read = self.answer

    def link(self, page: int) -> Any:
        return f"{self.server.base_url}/clients/2218/customers?query=Q&pageno={page}"

    def answer(self, seen: Seen) -> Answer | str | None:
        if seen.what not in {"customers", "documents"}:
            return None
        page = int(seen.query.get("pageno", "1"))
        self.asked.append(page)
        if page in self.special:
            return self.special[page]
        if page > self.pages:
            return Answer(404, {})
        summary = {
            "pageNo": page, "currentPageSize": SIZE, "pageSizeLimit": SIZE, "totalPages": self.pages, "totalCount": self.pages * SIZE,
            "maximumCount": 10000, "queryId": "Q",
        }  # fmt: skip
        if page < self.pages:
            summary["nextPage"] = self.link(page + 1)
        elif self.last is not ...:
            summary["nextPage"] = self.last
        first = (page - 1) * SIZE
        return Answer(
            200, {"summary": {**summary, **self.summary}, seen.what: [{"customerNo": f"k{n}"} for n in range(first, first + SIZE)]}
        )


async def read(arm: ArmClient, how: str, **more: Any) -> list[str | None]:
    pager = arm.customers.list(page_size=5, **more)
    if how == "walk":
        return [record.customer_no async for record in pager]
    if how == "pages":
        return [record.customer_no async for page in pager.pages() for record in page.items]
    if how == "collect":
        return [record.customer_no for record in await pager.collect()]
    async with pager.prefetch(8) as found:
        return [record.customer_no async for record in found]


WAYS = ["walk", "pages", "collect", "prefetch"]
ALL = [f"k{n}" for n in range(PAGES * SIZE)]


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("last", [..., None, "", "   "])
async def test_all_pages_in_order(server: FaultyServer, arm: ArmClient, how: str, last: Any) -> None:
    pages = List(server)
    pages.last = last
    assert await ends(read(arm, how)) == ALL
    assert sorted(pages.asked) == list(range(1, PAGES + 1))
    assert [seen.query for seen in server.seen if "pageno" not in seen.query] == [{"pagesize": "5"}]


LINKS = {
    "another_host": "http://{elsewhere}/arm/v1/clients/2218/customers?query=Q&pageno={page}",
    "another_host_https": "https://evil.example/arm/v1/clients/2218/customers?query=Q&pageno={page}",
    "no_scheme": "//evil.example/arm/v1/clients/2218/customers?query=Q&pageno={page}",
    "userinfo": "http://127.0.0.1:1@evil.example/arm/v1/clients/2218/customers?query=Q&pageno={page}",
    "token_as_userinfo": "http://user:pass@{host}/arm/v1/clients/2218/customers?query=Q&pageno={page}",
    "another_path": "{origin}/admin/delete?query=Q&pageno={page}",
    "another_client": "{origin}/arm/v1/clients/9999/customers?query=Q&pageno={page}",
    "dots": "{origin}/arm/v1/clients/2218/../../../secret?query=Q&pageno={page}",
    "encoded_dots": "{origin}/arm/v1/clients/2218/..%2f..%2fsecret?query=Q&pageno={page}",
    "double_slash": "//evil/..?query=Q&pageno={page}",
    "relative": "customers?query=Q&pageno={page}",
    "query_alone": "?query=Q&pageno={page}",
    "backslashes": "\\\\evil.example\\x?query=Q&pageno={page}",
    "fragment": "{origin}/arm/v1/clients/2218/customers?query=Q&pageno={page}#@evil.example",
    "broken_port": "http://evil.example:99999/x?query=Q&pageno={page}",
    "more_parameters": "{origin}/x?query=Q&pageno={page}&url=" + quote("http://evil.example", safe=""),
}


@pytest.mark.parametrize("how", ["walk", "prefetch"])
@pytest.mark.parametrize("link", LINKS)
async def test_hostile_links_lead_nowhere_else(server: FaultyServer, arm: ArmClient, how: str, link: str) -> None:
    async with FaultyServer() as evil:
        pages = List(server)
        host = server.origin.partition("//")[2]
        elsewhere = evil.origin.partition("//")[2]
        pages.link = lambda page: LINKS[link].format(elsewhere=elsewhere, origin=server.origin, host=host, page=page)
        assert await ends(read(arm, how)) == ALL
        assert not evil.seen
        assert {seen.request.path for seen in server.seen} == {"/arm/v1/clients/2218/customers"}
        assert {seen.headers["authorization"] for seen in server.seen} == {f"Bearer {server.token}"}


@pytest.mark.parametrize("how", ["walk", "prefetch"])
@pytest.mark.parametrize(
    "link",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "http://[::1/x?query=Q&pageno=2",
        "http://127.0.0.1/arm/v1/x",
        7,
        True,
        {"href": "/x?pageno=2"},
        ["?pageno=2"],
    ],
)
async def test_a_link_that_leads_nowhere_does_not_end_the_list_in_silence(
    server: FaultyServer, arm: ArmClient, how: str, link: Any
) -> None:
    """nextPage is there and says that there is more; what it says can't be used: then a part must not look like the whole."""
    List(server, nextPage=link)
    try:
        found = await ends(read(arm, how))
    except ArmError:
        return
    assert found == ALL


@pytest.mark.parametrize("how", ["walk", "prefetch"])
@pytest.mark.parametrize("back_to", [1, 2, 3])
async def test_links_in_a_circle_end(server: FaultyServer, arm: ArmClient, how: str, back_to: int) -> None:
    pages = List(server)
    pages.pages = 3
    pages.last = f"?query=Q&pageno={back_to}"
    with pytest.raises(ResponseError):
        await ends(read(arm, how))
    assert len(pages.asked) <= 16


@pytest.mark.parametrize("how", ["walk", "prefetch"])
@pytest.mark.parametrize("summary", [
    {"totalPages": 10**12}, {"totalPages": 0}, {"totalPages": -5}, {"totalPages": "many"}, {"totalPages": None}, {"totalPages": 1},
    {"pageNo": "x"}, {"totalCount": -1}, {"totalCount": "x"}, {"maximumCount": 0}, {"maximumCount": None}, {"currentPageSize": 10**30}, {"queryId": 5},  # noqa: E501
])  # fmt: skip
async def test_absurd_numbers_change_nothing(server: FaultyServer, arm: ArmClient, how: str, summary: dict[str, Any]) -> None:
    pages = List(server, **summary)
    assert await ends(read(arm, how)) == ALL
    assert len(pages.asked) <= PAGES + 8


@pytest.mark.parametrize("how", ["walk", "prefetch"])
@pytest.mark.parametrize("number", ["99999999999999999999", "-1", "0x2", "٢", "2.0", ""])
async def test_an_absurd_page_number_in_a_link(server: FaultyServer, arm: ArmClient, how: str, number: str) -> None:
    pages = List(server)
    second = pages.answer

    def answer(seen: Seen) -> Any:
        if seen.query.get("query") == "X" or seen.query.get("pageno") == number:
            pages.asked.append(2)
            return Answer(200, {"summary": {"pageNo": 2}, "customers": [{"customerNo": "last"}]})
        return second(seen)

    server.answer_read = answer
    pages.summary = {"totalCount": 6}
    pages.link = lambda _: f"?query=X&pageno={quote(number)}"
    assert await ends(read(arm, how)) == ["k0", "k1", "k2", "k3", "k4", "last"]


@pytest.mark.parametrize("how", ["walk", "prefetch"])
@pytest.mark.parametrize(
    "fault",
    [
        "reset",
        Answer(500, {}),
        Answer(503, {}, (("Retry-After", "0.01"),)),
        Answer(429, {}),
        Answer(200, {"summary": {}}, missing=30),
        Answer(200, b"", missing=5),
    ],
)
async def test_a_page_that_fails_at_first_is_asked_for_again(server: FaultyServer, arm: ArmClient, how: str, fault: Any) -> None:
    pages = List(server)
    normal = pages.answer
    failed: set[str] = set()

    def answer(seen: Seen) -> Any:
        number = seen.query.get("pageno", "1")
        if int(number) % 5 == 2 and number not in failed:
            failed.add(number)
            return fault
        return normal(seen)

    server.answer_read = answer
    assert await ends(read(arm, how)) == ALL


@pytest.mark.parametrize("how", ["walk", "prefetch"])
@pytest.mark.parametrize("page", [1, 28])
@pytest.mark.parametrize(("answer", "error"), [
    (Answer(500, {}), StatusError), (Answer(404, {}), StatusError), (Answer(200, b"\xff\xfe{"), ResponseError), (Answer(200, [1]), ResponseError),  # noqa: E501
    (Answer(200, b""), ResponseError), (Answer(200, {"customers": {"a": 1}}), ResponseError), (Answer(200, {"message": "sorry"}), ResponseError),  # noqa: E501
    (Answer(200, {}, missing=20), ResponseError), (Answer(302, {}, (("Location", "{elsewhere}/x"),)), StatusError), ("reset", ResponseError),  # noqa: E501
])  # fmt: skip
async def test_a_page_that_can_not_be_had_is_an_error(
    server: FaultyServer, arm: ArmClient, how: str, page: int, answer: Any, error: type[ArmError]
) -> None:
    pages = List(server)
    pages.special[page] = answer
    found: list[Any] = []
    with pytest.raises(error) as raised:
        if how == "walk":
            async for record in arm.customers.list(page_size=5):
                found.append(record.customer_no)  # noqa: PERF401
        else:
            async with arm.customers.list(page_size=5).prefetch(8) as records:
                async for record in records:
                    found.append(record.customer_no)  # noqa: PERF401
    assert found == ALL[: (page - 1) * SIZE]
    assert not (isinstance(raised.value, StatusError) and raised.value.status == 200)


async def test_an_odd_record_costs_only_itself(server: FaultyServer, arm: ArmClient) -> None:
    odd: list[Any] = [
        5,
        None,
        "x",
        {"customerNo": 7},
        {"customerNo": "a", "balanceTotal": "1.5", "dueDays": "x", "postalAddress": 3},
        [],
        {},
    ]
    server.answer_read = lambda _: Answer(200, {"summary": {"pageNo": 1}, "customers": odd})
    found = await arm.customers.list().collect()
    assert [record.customer_no for record in found] == [None, None, None, "7", "a", None, None]


def client_tasks(server: FaultyServer) -> list[asyncio.Task[Any]]:
    """The tasks beside the test, without those of the server: one for each connection that asyncio accepts or the server serves."""
    others = asyncio.all_tasks() - {asyncio.current_task()} - server._tasks
    return [task for task in others if not task.get_coro().__qualname__.endswith("._accept_connection2")]  # type: ignore[union-attr]


@pytest.mark.parametrize("when", [0, 7, 139])
@pytest.mark.parametrize("how", ["break", "error", "cancel"])
async def test_leaving_a_prefetch_early_leaves_nothing(server: FaultyServer, arm: ArmClient, when: int, how: str) -> None:
    pages = List(server)
    pages.special[when // SIZE + 4] = "stall"
    pages.special[when // SIZE + 3] = Answer(500, {})

    class BoomError(Exception):
        pass

    async def program() -> None:
        count = 0
        async with arm.customers.list(page_size=5).prefetch(8) as found:
            async for _ in found:
                count += 1
                if count > when:
                    if how == "break":
                        break
                    if how == "error":
                        raise BoomError
                    asyncio.current_task().cancel()  # type: ignore[union-attr]
                    await asyncio.sleep(0)

    try:
        await ends(program())
    except (BoomError, asyncio.CancelledError):
        assert how != "break"
    asked = len(pages.asked)
    assert not client_tasks(server)
    await arm.aclose()
    server.release()
    await server.all_closed()
    assert len(pages.asked) == asked


@pytest.mark.parametrize("how", ["walk", "prefetch"])
@pytest.mark.parametrize(("summary", "truncated"), [
    ({"totalCount": 10_000}, True), ({"totalCount": 25_000}, True), ({"totalCount": 9_999}, True), ({"totalCount": 141}, True), ({"totalCount": 140, "maximumCount": 140}, True),  # noqa: E501
    ({"totalCount": 139, "maximumCount": 140}, True), ({"totalCount": None, "maximumCount": 141}, False), ({"totalCount": 10_000, "maximumCount": 20_000}, True),  # noqa: E501
    ({"totalCount": 10_000, "maximumCount": 0}, True),
])  # fmt: skip
async def test_a_list_that_reached_its_cap(
    server: FaultyServer, arm: ArmClient, how: str, summary: dict[str, Any], truncated: bool
) -> None:
    List(server, **summary)
    if truncated:
        found: list[Any] = []
        with pytest.raises(TruncatedListError):
            if how == "prefetch":
                async with arm.customers.list(page_size=5).prefetch(3) as records:
                    async for record in records:
                        found.append(record.customer_no)  # noqa: PERF401
            elif how == "walk":
                async for record in arm.customers.list(page_size=5):
                    found.append(record.customer_no)  # noqa: PERF401
            else:
                await read(arm, how)
        assert found == (ALL if how in {"prefetch", "walk"} else [])
    else:
        assert await ends(read(arm, how)) == ALL
    assert await ends(read(arm, how, allow_truncated=True)) == ALL
    assert await ends(read(arm, how, maximum_count=10_000)) == ALL


async def test_a_list_left_before_its_cap_is_no_error(server: FaultyServer, arm: ArmClient) -> None:
    List(server, totalCount=10_000)
    async for _ in arm.customers.list(page_size=5):
        break
    assert len((await arm.customers.list(page_size=5).first()).items) == 5


@pytest.mark.parametrize(
    "wrong", [{"page_size": 4}, {"page_size": 1001}, {"page_size": 0}, {"page_size": True}, {"maximum_count": 10_001}, {"page_no": 0}]
)
async def test_arguments_that_the_api_would_change_in_silence(server: FaultyServer, arm: ArmClient, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        arm.customers.list(**wrong)
    assert not server.seen


# --- many by key --------------------------------------------------------------------------------------------------------


async def test_get_many_in_order_with_gaps_and_faults(server: FaultyServer, arm: ArmClient) -> None:
    failed: set[str] = set()

    def answer(seen: Seen) -> Any:
        number = seen.what.partition("/")[2]
        if int(number) % 3 == 0:
            return Answer(404, {})
        if int(number) % 7 == 0 and number not in failed:
            failed.add(number)
            return ["reset", Answer(500), Answer(429), Answer(200, {}, missing=9)][int(number) % 4]
        return None

    server.answer_read = answer
    numbers = [str(n) for n in range(200)]
    async with arm.customers.get_many(iter(numbers), concurrency=16) as found:
        got = [(number, record) async for number, record in found]
    assert [number for number, _ in got] == numbers
    assert all((record is None) == (int(number) % 3 == 0) for number, record in got)
    assert all(record is None or record.customer_no == number for number, record in got)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, []),
        Answer(200, b"\xff"),
        Answer(200),
        Answer(200, 5),
        Answer(204),
        Answer(500),
        Answer(403),
        # Of a gateway: it does not say that there is no such customer.
        Answer(404, b"<html>no such page</html>"),
    ],
)
async def test_get_many_with_an_odd_answer_is_an_error(server: FaultyServer, arm: ArmClient, answer: Answer) -> None:
    server.answer_read = lambda seen: answer if seen.what.endswith("/5") else None
    got = []
    with pytest.raises(ArmError):
        async with arm.customers.get_many([str(n) for n in range(20)]) as found:
            async for number, _ in found:
                got.append(number)
    assert got == ["0", "1", "2", "3", "4"]


async def test_get_many_from_a_source_that_waits_for_what_was_found(server: FaultyServer, arm: ArmClient) -> None:
    """The next number is known only when the one before was read: a slow source must not keep back what is there."""
    wanted: asyncio.Queue[str | None] = asyncio.Queue()
    wanted.put_nowait("0")

    async def source() -> Any:
        while (number := await wanted.get()) is not None:
            yield number

    async def program() -> int:
        count = 0
        async with arm.customers.get_many(source()) as found:
            async for number, _ in found:
                count += 1
                wanted.put_nowait(str(int(number) + 1) if int(number) < 5 else None)
        return count

    assert await ends(program(), 3) == 6


async def test_get_many_from_a_source_that_raises(server: FaultyServer, arm: ArmClient) -> None:
    def source() -> Any:
        yield from "0123"
        raise KeyError("x")

    got = []
    with pytest.raises(KeyError):
        async with arm.customers.get_many(source()) as found:
            async for number, _ in found:
                got.append(number)
    assert got == ["0", "1", "2", "3"]


async def test_get_many_left_early(server: FaultyServer, arm: ArmClient) -> None:
    server.answer_read = lambda seen: "stall" if seen.what.endswith(("/3", "/4")) else None
    async with arm.customers.get_many(str(n) for n in range(1000)) as found:
        async for number, _ in found:
            if number == "2":
                break
    await arm.aclose()
    server.release()
    await server.all_closed()
    assert len(server.seen) <= 12
