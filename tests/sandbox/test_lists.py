"""Lists: filters, pages, caps and links."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import pytest

from amili_arm_async.sandbox import Sandbox

pytestmark = pytest.mark.quick

if TYPE_CHECKING:
    from collections.abc import Callable


async def walk(call: Any, path: str) -> tuple[list[str], list[Any]]:
    """Follow nextPage to the end; return the customer numbers and the summaries."""
    numbers: list[str] = []
    summaries: list[Any] = []
    while path:
        status, page = await call("GET", path)
        assert status == 200
        numbers += [record["customerNo"] for record in page["customers"]]
        summaries.append(page["summary"])
        path = page["summary"].get("nextPage") or ""
    return numbers, summaries


async def test_every_record_is_on_exactly_one_page(sandbox: Sandbox, call: Any) -> None:
    numbers = [str(number) for number in range(23)]
    sandbox.customers.seed(call.customer(number) for number in numbers)

    found, summaries = await walk(call, "customers?pagesize=10")

    assert found == numbers
    assert [summary["currentPageSize"] for summary in summaries] == [10, 10, 3]
    query = summaries[0]["queryId"]
    assert len(query) == 22
    root = f"{sandbox.base_url}/clients/2218/customers?query={query}&pageno="
    assert summaries[0] == {
        "pageNo": 1,
        "currentPageSize": 10,
        "pageSizeLimit": 10,
        "totalPages": 3,
        "totalCount": 23,
        "maximumCount": 10_000,
        "nextPage": f"{root}2",
        "lastPage": f"{root}3",
        "queryId": query,
    }
    assert "nextPage" not in summaries[2]


@pytest.mark.parametrize(("asked", "size"), [("", 100), ("4", 10), ("0", 10), ("5", 5), ("1000", 1000), ("1001", 1000)])
async def test_page_sizes_have_a_floor_and_a_cap(call: Any, asked: str, size: int) -> None:
    _, page = await call("GET", f"customers?pagesize={asked}")
    assert page["summary"]["pageSizeLimit"] == size
    assert page["summary"]["totalPages"] == 1
    assert page["customers"] == []


@pytest.mark.parametrize(("total", "count"), [("capped", 20), ("all", 30)])
async def test_a_list_ends_at_its_cap(calling: Callable[[Sandbox], Any], total: Literal["capped", "all"], count: int) -> None:
    async with Sandbox(list_cap=20, total_count=total) as sandbox:
        call = calling(sandbox)
        sandbox.customers.seed(call.customer(str(number)) for number in range(30))

        found, summaries = await walk(call, "customers?pagesize=15&maximumcount=99999")
        assert len(found) == 20
        assert (summaries[0]["maximumCount"], summaries[0]["totalCount"], summaries[0]["totalPages"]) == (
            20,
            count,
            2,
        )

        found, summaries = await walk(call, "customers?maximumcount=7")
        assert len(found) == 7
        assert summaries[0]["maximumCount"] == 7


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ("customerno=A1", ["a1"]),
        ("customercategory=cons", ["a1", "a2"]),
        ("customercategory=CONS&organizationno=98", ["a2"]),
        ("name=owe%20ARMSTRONG", ["a1"]),
        ("accountno=500003", ["a3"]),
        ("name=Nobody", []),
        ("userid=x&expand=y&options=z", ["a1", "a2", "a3"]),
    ],
)
async def test_filters_compare_without_case(sandbox: Sandbox, call: Any, filters: str, found: list[str]) -> None:
    sandbox.customers.seed(
        [
            {"customerNo": "a1", "name": "Owe Armstrong", "customerCategory": "CONS"},
            {"customerNo": "a2", "name": "Bill", "customerCategory": "Cons", "organizationNo": "98"},
            {"customerNo": "a3", "name": "Ann", "customerCategory": "CORP", "organizationNo": "98"},
        ]
    )
    assert (await walk(call, f"customers?{filters}"))[0] == found


async def test_an_update_moves_a_customer_to_another_filter(sandbox: Sandbox, call: Any) -> None:
    sandbox.customers.seed([call.customer("1", customerCategory="A")])
    await call("PUT", "customers", {"customerNo": "1", "customerCategory": "B"})
    assert (await walk(call, "customers?customercategory=a"))[0] == []
    assert (await walk(call, "customers?customercategory=b"))[0] == ["1"]


async def test_pages_do_not_move_when_records_come_and_go(sandbox: Sandbox, call: Any) -> None:
    sandbox.customers.seed(call.customer(str(number)) for number in range(12))
    _, first = await call("GET", "customers?pagesize=6")
    await call("DELETE", "customers/0")
    await call("DELETE", "customers/7")
    await call("POST", "customers", call.customer("99"))

    _, second = await call("GET", first["summary"]["nextPage"])

    assert [record["customerNo"] for record in second["customers"]] == ["6", "8", "9", "10", "11"]
    assert second["summary"]["totalCount"] == 12


async def test_queries_that_do_not_exist_and_pages_past_the_end(sandbox: Sandbox, call: Any) -> None:
    sandbox.customers.seed([call.customer("1")])
    _, page = await call("GET", "customers")
    query = page["summary"]["queryId"]
    assert (await call("GET", f"customers?query={query[::-1]}&pageno=2"))[0] == 404
    assert (await call("GET", f"documents?query={query}&pageno=1"))[0] == 404
    status, past = await call("GET", f"customers?query={query}&pageno=9")
    assert (status, past["customers"], past["summary"]["pageNo"]) == (200, [], 9)
    for wrong in ("pageno=x", "pageno=0", "pagesize=x", "maximumcount=x", "accountno=x"):
        assert (await call("GET", f"customers?{wrong}"))[0] == 400


@pytest.mark.parametrize(("end", "value"), [("null", None), ("blank", "")])
async def test_the_last_page_says_so_in_three_ways(
    calling: Callable[[Sandbox], Any], end: Literal["null", "blank"], value: str | None
) -> None:
    async with Sandbox(next_page_end=end) as sandbox:
        _, page = await calling(sandbox)("GET", "customers")
        assert page["summary"]["nextPage"] == value


async def test_links_follow_the_host_of_the_request(sandbox: Sandbox, call: Any) -> None:
    url = f"{sandbox.base_url}/clients/2218/customers"
    headers = {"Authorization": f"Bearer {sandbox.token}", "Host": "arm.example"}
    async with call.session.get(url, headers=headers) as response:
        page = await response.json()
    assert page["summary"]["lastPage"].startswith("http://arm.example/arm/v1/clients/2218/customers?query=")


async def test_documents_are_listed_in_the_same_way(sandbox: Sandbox, call: Any) -> None:
    sandbox.customers.seed([call.customer("1"), call.customer("2")])
    sandbox.documents.seed([call.document("d1", "1"), call.document(None, "2"), call.document("d3", "1")])
    _, page = await call("GET", "documents?customerno=1")
    assert [record["documentNo"] for record in page["documents"]] == ["d1", "d3"]
    assert page["summary"]["totalCount"] == 2
    assert sandbox.documents.total_delivered == 0, "what was seeded was not delivered"


@pytest.mark.parametrize("number", [10**30, -(10**30)])
async def test_an_account_number_beyond_all_finds_nothing(sandbox: Sandbox, call: Any, number: int) -> None:
    sandbox.customers.seed([call.customer("1")])
    status, page = await call("GET", f"customers?accountno={number}")
    assert (status, page["customers"]) == (200, [])
