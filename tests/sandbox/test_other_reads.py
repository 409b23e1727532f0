"""Lists and single records of the other kinds, AR items, actions, health and the identity service."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

import pytest

from amili_arm_async import endpoints
from amili_arm_async.sandbox import Fault, Sandbox
from amili_arm_async.sandbox.entities import KINDS
from amili_arm_async.sandbox.other_operations import OPERATIONS, get_entity, list_entities

if TYPE_CHECKING:
    from collections.abc import Callable

    import aiohttp

LISTS = [
    ("ar_items", "aritems", "arItems", "arItemId"),
    ("client_configs", "clientconfigs", "clientConfigs", "key"),
    ("document_bundles", "documentbundles", "documentBundles", "documentBundleId"),
    ("files", "files", "files", "fileId"),
    ("gl_items", "glitems", "glItems", "glItemId"),
    ("gl_movements", "glmovements", "glMovements", ""),
    ("log_items", "logitems", "logItems", "logItemId"),
]
ONES = [row for row in LISTS if row[3]]
SAMPLE: dict[str, Any] = {
    "clientno": 2218,
    "aritemid": "1",
    "autopostingmethod": "payment",
    "batchuuid": "x",
    "customerno": "1",
    "documentno": "1",
    "key": "defaultCurrency",
    "documentbundleid": "600001",
    "fileid": "1",
    "glitemid": "1",
    "logitemid": "800001",
}


@pytest.mark.parametrize("name", endpoints.OPERATIONS)
async def test_every_operation_of_the_table_is_served(sandbox: Sandbox, call: Any, name: str) -> None:
    row = endpoints.OPERATIONS[name]
    url = f"{sandbox.base_url}/{row.path.format(**SAMPLE)}"
    value = {} if row.method in ("POST", "PUT") else None

    status, body = await call(row.method, url, value)

    assert (status, body.get("message")) != (404, "Not Found")
    assert status in (200, 400, 404)
    assert sandbox.requests[f"{row.method} /{row.path}"] == 1


@pytest.mark.parametrize("name", [name for name, row in endpoints.OPERATIONS.items() if name != "health.check"])
async def test_every_operation_wants_a_token_and_a_client_that_is_allowed(calling: Callable[[Sandbox], Any], name: str) -> None:
    row = endpoints.OPERATIONS[name]
    value = {} if row.method in ("POST", "PUT") else None
    async with Sandbox(clients=[1]) as sandbox:
        url = f"{sandbox.base_url}/{row.path.format(**SAMPLE)}"
        assert (await calling(sandbox)(row.method, url, value, token="wrong"))[0] == 401
        assert (await calling(sandbox)(row.method, url, value))[0] == 403


@pytest.mark.parametrize(("kind", "path", "name", "key"), LISTS)
async def test_five_thousand_records_come_in_pages(sandbox: Sandbox, call: Any, kind: Any, path: str, name: str, key: str) -> None:
    assert sandbox.seed(kind, ({"number": number, **({key: number} if key else {})} for number in range(5000))) == 5000

    numbers: list[int] = []
    where, pages = f"{path}?pagesize=1000", 0
    while where:
        status, page = await call("GET", where)
        assert status == 200
        numbers += [record["number"] for record in page[name]]
        where, pages = page["summary"].get("nextPage"), pages + 1
    assert (numbers, pages) == (list(range(5000)), 5)


@pytest.mark.parametrize(("kind", "path", "name", "key"), LISTS)
async def test_two_clients_are_apart(sandbox: Sandbox, call: Any, kind: Any, path: str, name: str, key: str) -> None:
    sandbox.seed(kind, [{"here": "Blåbærsyltetøy"}])
    sandbox.seed(kind, [{"there": True}], client_no=2219)

    _, here = await call("GET", path)
    call.client_no = 2219
    _, there = await call("GET", path)

    assert [record["here"] for record in here[name]] == ["Blåbærsyltetøy"]
    assert [record["there"] for record in there[name]] == [True]
    assert (await call("GET", f"{path}?query={here['summary']['queryId']}"))[0] == 404
    if key:
        call.client_no = 2220
        found = here[name][0][key]
        assert (await call("GET", f"{path}/{found}"))[0] == (200 if kind in ("document_bundles", "log_items") else 404)


@pytest.mark.parametrize(("kind", "path", "name", "key"), ONES)
@pytest.mark.parametrize("style", ["bare", "wrapped", "listed"])
async def test_one_record_by_its_key(
    calling: Callable[[Sandbox], Any],
    kind: Any,
    path: str,
    name: str,
    key: str,
    style: Literal["bare", "wrapped", "listed"],
) -> None:
    async with Sandbox(record_style=style) as sandbox:
        call = calling(sandbox)
        sandbox.seed(kind, [{key: "Ærlig 1", "amount": 12.5}, {key: "other"}])

        status, found = await call("GET", f"{path}/%C3%A6RLIG%201")

        record = {key: "Ærlig 1", "amount": 12.5}
        assert status == 200
        assert found == {"bare": record, "wrapped": {name.removesuffix("s"): record}, "listed": {name: [record]}}[style]
        assert (await call("GET", f"{path}/nothing"))[0] == 404


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", [1, 2, 3]),
        ("customerno=A1", [1, 2]),
        ("customerno=a1&currency=nok", [1]),
        ("itemamount=12.50", [1]),
        ("itemamount=7", [2]),
        ("open=true", [3]),
        ("aritemid=2", [2]),
        ("itemamount=sNaN", []),
        ("nothing=1", []),
        ("lines=1", []),
        ("expand=all&options=x&userid=me", [1, 2, 3]),
        ("maximumcount=2", [1, 2]),
        ("customerno=", [1, 2, 3]),
    ],
)
async def test_a_filter_is_equality_of_the_field_of_the_same_name(sandbox: Sandbox, call: Any, query: str, found: list[int]) -> None:
    sandbox.seed(
        "ar_items",
        [
            {"arItemId": 1, "customerNo": "a1", "currency": "NOK", "itemAmount": 12.5, "open": False},
            {"arItemId": 2, "customerNo": "A1", "currency": "SEK", "itemAmount": 7},
            {"arItemId": 3, "customerNo": "b", "open": True, "lines": [1]},
        ],
    )
    _, page = await call("GET", f"aritems?{query}")
    assert [item["arItemId"] for item in page["arItems"]] == found


async def test_totals_count_all_where_that_is_set(calling: Callable[[Sandbox], Any]) -> None:
    async with Sandbox(list_cap=10, total_count="all", list_names={"gl_items.list": "rows", "codes.get": "list"}) as sandbox:
        sandbox.seed("gl_items", ({"even": number % 2 == 0} for number in range(30)))
        _, page = await calling(sandbox)("GET", "glitems?even=true")
        assert (page["summary"]["totalCount"], len(page["rows"])) == (15, 10)
        assert list((await calling(sandbox)("GET", "codes"))[1]) == ["list"]


@pytest.mark.parametrize("query", ["pageno=x", "pagesize=x", "maximumcount=x", "pageno=0"])
@pytest.mark.parametrize("path", ["glitems", "aritems", "files"])
async def test_bad_numbers_are_400(call: Any, path: str, query: str) -> None:
    assert (await call("GET", f"{path}?{query}"))[0] == 400


async def test_a_first_call_shows_something_until_a_test_seeds(sandbox: Sandbox, call: Any) -> None:
    shown = {path: await call("GET", path) for path in ("clientconfigs", "documentbundles", "logitems", "glmovements")}
    assert all(status == 200 and 2 <= page["summary"]["totalCount"] <= 3 for status, page in shown.values())
    assert (await call("GET", "clientconfigs/DEFAULTcurrency"))[1] == {"key": "defaultCurrency", "value": "NOK"}
    assert (await call("GET", "logitems/800001"))[0] == 200
    assert len((await call("GET", "codes"))[1]["codes"]) == 3
    assert len((await call("GET", "insights/adbintervals"))[1]["adbIntervals"]) == 3

    sandbox.seed("codes", [{"code": "X"}])
    sandbox.seed("codes", [{"code": "Y"}])
    sandbox.seed("log_items", [])

    assert (await call("GET", "codes"))[1] == {"codes": [{"code": "X"}, {"code": "Y"}]}
    assert (await call("GET", "logitems"))[1]["logItems"] == []
    assert (await call("GET", "logitems/800001"))[0] == 404


async def test_seeding_what_is_there_takes_its_place(sandbox: Sandbox, call: Any) -> None:
    sandbox.seed("gl_items", [{"glItemId": 900_001, "text": "old"}, {"text": "new number"}])
    sandbox.seed("gl_items", [{"glItemId": "900001", "text": "new"}])

    _, page = await call("GET", "glitems")
    assert [(item["glItemId"], item["text"]) for item in page["glItems"]] == [("900001", "new"), (900_002, "new number")]
    with pytest.raises(ValueError, match="no such kind: people"):
        sandbox.seed("people", [])  # type: ignore[arg-type]


async def test_the_latest_closed_period(sandbox: Sandbox, call: Any) -> None:
    status, latest = await call("GET", "glmovements/latestclosed")
    assert (status, latest["year"], latest["period"], len(latest["glMovements"])) == (200, 2026, 2, 1)

    sandbox.seed("gl_movements", [{"year": "x", "closed": True}, {"year": 2025, "period": 12, "closed": True}, {"year": 2027}])
    assert (await call("GET", "glmovements/latestclosed"))[1]["year"] == 2025

    sandbox.seed("gl_movements", [{"year": 2026}], client_no=2219)
    call.client_no = 2219
    assert (await call("GET", "glmovements/latestclosed"))[0] == 404


# -- AR items


async def test_a_document_makes_an_ar_item(sandbox: Sandbox, call: Any) -> None:
    sandbox.customers.seed([call.customer("1")])
    amounts = {"currencyAmounts": {"exclVat": 80, "vat": 20, "inclVat": 100.25}}
    await call("POST", "documents", call.document("7", **amounts))
    await call.batch("documents", call.document("8", currencyAmounts={"inclVat": -5}), call.document(None))
    sandbox.documents.seed([call.document("9", currencyAmounts="many"), call.document("10", currencyAmounts={"inclVat": "12"})])

    status, page = await call("GET", "aritems")

    assert status == 200
    assert [(item["documentNo"], item["itemAmount"], item["itemBalance"], item["customerNo"]) for item in page["arItems"]] == [
        ("7", 100.25, 100.25, "1"),
        ("8", -5, -5, "1"),
        ("", 0, 0, "1"),
        ("9", 0, 0, "1"),
        ("10", 0, 0, "1"),
    ]
    first = page["arItems"][0]
    assert (await call("GET", f"aritems/{first['arItemId']}"))[1] == first
    assert len((await call("GET", "aritems?documentno=8"))[1]["arItems"]) == 1
    assert len({item["arItemId"] for item in page["arItems"]}) == 5


async def test_a_document_that_cannot_be_read_harms_no_other(sandbox: Sandbox, call: Any) -> None:
    unreadable = b'{"a":%s}' % (b"[" * 1_000_000 + b"]" * 1_000_000)
    sandbox._running().ledger.store.add_documents([(2218, "deep", "", "1", unreadable)])
    sandbox.customers.seed([call.customer("1")])
    sandbox.documents.seed([call.document("7", kid="123")])

    assert [item["documentNo"] for item in (await call("GET", "aritems"))[1]["arItems"]] == ["", "7"]
    assert (await call("POST", "paymentreservations", {"paymentId": "1", "kid": "123"}))[0] == 200
    assert (await call("GET", "documents/deep"))[0] == 400
    assert (await call("GET", "documents/7"))[0] == 200


async def test_an_ar_item_is_updated_field_by_field(sandbox: Sandbox, call: Any) -> None:
    sandbox.seed("ar_items", [{"arItemId": 5, "customerNo": "1", "dueDate": "2026-01-01", "itemBalance": 10.10}])

    assert (await call("PUT", "aritems", {"arItemId": "5", "dueDate": None, "note": "Ærlig", "itemBalance": 0}))[0] == 200
    assert (await call("GET", "aritems/5"))[1] == {
        "arItemId": 5,
        "customerNo": "1",
        "dueDate": "2026-01-01",
        "itemBalance": 0,
        "note": "Ærlig",
    }
    assert (await call("PUT", "aritems", {"arItemId": 6}))[0] == 404
    assert (await call("PUT", "aritems", {"note": "x"}))[0] == 400
    call.client_no = 2219
    assert (await call("PUT", "aritems", {"arItemId": 5}))[0] == 404
    received = sandbox.received("ar_items.update")
    assert (received.delivered(), received.taken(), received.taken(2218), received.delivered(2219)) == (4, 1, 1, 1)
    assert [body["note"] for body in received.bodies()] == ["Ærlig"]


async def test_a_customer_with_ar_items_is_not_deleted(sandbox: Sandbox, call: Any) -> None:
    sandbox.customers.seed([call.customer("A1"), call.customer("2")])
    sandbox.seed("ar_items", [{"arItemId": 1, "customerNo": "a1"}])

    assert (await call("DELETE", "customers/A1"))[0] == 422
    assert (await call("PUT", "aritems", {"arItemId": 1, "customerNo": "2"}))[0] == 200
    assert (await call("DELETE", "customers/A1"))[0] == 200
    assert (await call("DELETE", "customers/2"))[0] == 422


# -- health and identity


async def test_health_needs_no_token(sandbox: Sandbox, call: Any, session: aiohttp.ClientSession) -> None:
    assert await call("GET", f"{sandbox.base_url}/health") == (200, {"status": "OK"})
    async with session.get(f"{sandbox.base_url}/health") as response:
        assert (response.status, await response.json()) == (200, {"status": "OK"})
    sandbox.inject(Fault.status(503), path="health")
    async with session.get(f"{sandbox.base_url}/health") as response:
        assert response.status == 503


async def test_the_identity_service_refreshes_and_verifies(sandbox: Sandbox, call: Any, session: aiohttp.ClientSession) -> None:
    async def ask(method: str, name: str, **form: str) -> tuple[int, Any]:
        async with session.request(method, f"{sandbox.identity_url}/{name}", data=form or None) as response:
            return response.status, json.loads(await response.read())

    status, granted = await ask("POST", "refresh", refresh_token=sandbox.token)
    assert status == 200
    assert granted["access_token"] != sandbox.token
    assert (await call("GET", "customers", token=granted["access_token"]))[0] == 200
    assert (await ask("POST", "refresh", refresh_token="wrong"))[0] == 400
    assert (await ask("POST", "refresh"))[0] == 400
    assert await ask("POST", "verify", token=granted["access_token"]) == (200, {"active": True})
    sandbox.revoke_tokens()
    assert (await ask("POST", "verify", token=granted["access_token"]))[0] == 401
    assert await ask("GET", "health") == (200, {"status": "OK"})
    assert sandbox.requests["POST /identity/refresh"] == 3
    assert sandbox.requests["GET /identity/health"] == 1
    assert sandbox.token_requests == 0
    sandbox.inject(Fault.status(503), path="identity/verify")
    assert (await ask("POST", "verify"))[0] == 503


def test_the_records_of_every_list_can_be_seeded() -> None:
    with_records = {operation.section for operation in OPERATIONS if operation.answer in {list_entities, get_entity}}
    assert with_records <= set(KINDS)
