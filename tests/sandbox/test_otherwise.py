"""A sandbox set to behave otherwise than the library assumes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

import pytest

from amili_arm_async.sandbox import Fault, Sandbox

pytestmark = pytest.mark.quick

if TYPE_CHECKING:
    from collections.abc import Callable


async def test_an_operation_is_served_at_the_path_that_is_set_and_nowhere_else(calling: Callable[[Sandbox], Any]) -> None:
    paths = {"documents.list": "clients/{clientno}/docs", "customers.update": "PATCH clients/{clientno}/customers"}
    async with Sandbox(paths=paths) as sandbox:
        call = calling(sandbox)
        sandbox.customers.seed([call.customer("1")])
        sandbox.documents.seed(call.document(str(number)) for number in range(12))

        assert (await call("GET", "documents"))[0] == 405
        status, page = await call("GET", "docs?pagesize=10")
        assert status == 200
        assert page["summary"]["nextPage"].startswith(f"{sandbox.base_url}/clients/2218/docs?query=")
        status, following = await call("GET", page["summary"]["nextPage"])
        assert (status, len(following["documents"])) == (200, 2)
        assert (await call("PUT", "customers", call.customer("1")))[0] == 405
        assert (await call("PATCH", "customers", call.customer("1", phoneNo="18")))[0] == 200
        assert (await call("PATCH", "customers", call.customer("2")))[0] == 404, "it is still an update"
        assert sandbox.requests["GET /clients/{clientno}/docs"] == 2


async def test_the_link_to_a_batch_follows_its_path(calling: Callable[[Sandbox], Any]) -> None:
    async with Sandbox(paths={"batches.get": "/clients/{clientno}/jobs/{batchuuid}/result"}, entries_name="details") as sandbox:
        call = calling(sandbox)
        status, result = await call.batch("customers", call.customer("1"))

        assert status == 200
        assert "customers" not in result
        assert [entry["customerNo"] for entry in result["details"]] == ["1"]
        assert sandbox.requests["GET /clients/{clientno}/jobs/{batchuuid}/result"] == 1


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ({"nothing.get": "nothing"}, "no such operation: nothing.get"),
        ({"codes.get": "codes"}, "codes.get needs the variables of"),
        ({"codes.get": "FETCH clients/{clientno}/codes"}, "'FETCH' is none of GET"),
        ({"documents.list": "clients/{clientno}/customers"}, "documents.list and customers.list can't both be GET"),
    ],
)
def test_paths_that_cannot_be_served_are_refused(paths: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Sandbox(paths=paths)


def test_other_values_that_cannot_work_are_refused() -> None:
    with pytest.raises(ValueError, match=r"no lists: customers\.get"):
        Sandbox(list_names={"customers.get": "people"})
    with pytest.raises(ValueError, match="page_size_cap"):
        Sandbox(page_size_cap=0)


@pytest.mark.parametrize(
    ("style", "content_type", "message"),
    [
        ("arm", "application/json", lambda body: json.loads(body)["message"]),
        ("problem", "application/problem+json", lambda body: json.loads(body)["detail"]),
        ("text", "text/plain", lambda body: body.decode()),
        ("empty", "text/plain", lambda body: body.decode()),
    ],
)
async def test_errors_have_the_style_that_is_set(
    calling: Callable[[Sandbox], Any],
    style: Literal["arm", "problem", "text", "empty"],
    content_type: str,
    message: Callable[[bytes], str],
) -> None:
    async with Sandbox(error_style=style, max_body_bytes=100) as sandbox:
        call = calling(sandbox)
        sandbox.inject(Fault.status(503, retry_after=7), path="customers/9")
        refused = [
            (404, "no such customer", await call.raw("GET", "customers/1")),
            (400, "customerNo is missing", await call.raw("POST", "customers", {})),
            (503, "injected 503", await call.raw("GET", "customers/9")),
            (413, "the body is larger than 100 bytes", await call.raw("POST", "customers", b"x" * 101)),
            (401, "the token is missing or not valid", await call.raw("GET", "customers", token="wrong")),
            (404, "Not Found", await call.raw("GET", "nothing")),
        ]
        for expected, text, (status, headers, body) in refused:
            assert (status, headers.get("Content-Type", content_type).partition(";")[0]) == (expected, content_type)
            assert message(body) == ("" if style == "empty" else text)
        assert refused[2][2][1]["Retry-After"] == "7"
        assert (sandbox.customers.total_delivered, sandbox.customers.total_taken) == (1, 0)


async def test_a_body_that_a_fault_brings_is_left_alone(calling: Callable[[Sandbox], Any]) -> None:
    async with Sandbox(error_style="problem") as sandbox:
        sandbox.inject(Fault.status(502, body=b"<html>"))
        assert (await calling(sandbox).raw("GET", "customers"))[2] == b"<html>"


async def test_a_problem_has_the_fields_of_the_rfc(calling: Callable[[Sandbox], Any]) -> None:
    async with Sandbox(error_style="problem") as sandbox:
        sandbox.inject(Fault.status(599))
        _, problem = await calling(sandbox)("GET", "customers")
        assert problem == {"type": "about:blank", "title": "", "status": 599, "detail": "injected 599"}
        _, problem = await calling(sandbox)("GET", "customers/1")
        assert problem == {"type": "about:blank", "title": "Not Found", "status": 404, "detail": "no such customer"}


async def test_lists_have_the_names_that_are_set(calling: Callable[[Sandbox], Any]) -> None:
    async with Sandbox(list_names={"customers.list": "people"}) as sandbox:
        call = calling(sandbox)
        sandbox.customers.seed([call.customer("1")])

        _, page = await call("GET", "customers")
        assert list(page) == ["summary", "people"]
        assert page["people"][0]["customerNo"] == "1"
        assert list((await call("GET", "documents"))[1]) == ["summary", "documents"]


@pytest.mark.parametrize("style", ["bare", "wrapped", "listed"])
async def test_one_record_is_shown_in_the_style_that_is_set(
    calling: Callable[[Sandbox], Any], style: Literal["bare", "wrapped", "listed"]
) -> None:
    async with Sandbox(record_style=style) as sandbox:
        call = calling(sandbox)
        sandbox.customers.seed([call.customer("1")])
        sandbox.documents.seed([call.document("7")])

        for path, one, many, number in [("customers/1", "customer", "customers", "1"), ("documents/7", "document", "documents", "7")]:
            _, shown = await call("GET", path)
            record = {"bare": lambda s: s, "wrapped": lambda s, o=one: s[o], "listed": lambda s, m=many: s[m][0]}[style](shown)
            assert record[f"{one}No"] == number
            assert style == "bare" or len(shown) == 1


async def test_headers_are_named_as_set_or_not_there(calling: Callable[[Sandbox], Any]) -> None:
    async with Sandbox(request_id_header="X-Correlation-Id") as sandbox:
        headers = [(await calling(sandbox).raw("GET", path))[1] for path in ("customers", "customers/1", "nothing")]
        assert len({one["X-Correlation-Id"] for one in headers}) == 3
        assert all("X-Request-Id" not in one for one in headers)
    async with Sandbox(request_id_header=None) as sandbox:
        assert "X-Request-Id" not in (await calling(sandbox).raw("GET", "customers"))[1]


async def test_the_headers_of_a_rate_limit_count_down(calling: Callable[[Sandbox], Any]) -> None:
    async with Sandbox(rate_limit_headers=True) as sandbox:
        seen = [(await calling(sandbox).raw("GET", path))[1] for path in ("customers", "customers/1", "nothing")]
        assert [one["X-RateLimit-Remaining"] for one in seen] == ["599", "598", "597"]
        assert {one["X-RateLimit-Limit"] for one in seen} == {"600"}
        assert all(0 < int(one["X-RateLimit-Reset"]) <= 61 for one in seen)
    async with Sandbox() as sandbox:
        assert "X-RateLimit-Limit" not in (await calling(sandbox).raw("GET", "customers"))[1]


async def test_the_cap_of_a_page_can_be_set(calling: Callable[[Sandbox], Any]) -> None:
    async with Sandbox(page_size_cap=50) as sandbox:
        for asked, size in [("1000", 50), ("20", 20), ("1", 10), ("", 50)]:
            _, page = await calling(sandbox)("GET", f"customers?pagesize={asked}")
            assert page["summary"]["pageSizeLimit"] == size


async def test_a_fault_leaves_errors_in_their_style(calling: Callable[[Sandbox], Any]) -> None:
    async with Sandbox(error_style="text") as sandbox:
        sandbox.inject(Fault.no_uuid())
        _, headers, body = await calling(sandbox).raw("GET", "customers/1")
        assert (headers["Content-Type"].partition(";")[0], body) == ("text/plain", b"no such customer")
