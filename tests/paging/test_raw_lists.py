"""`list().raw()`: the JSON texts of records as the API wrote them, for lists that a page shows and for those that none does."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from amili_arm_async import ArmClient, ResponseError

TEXTS = [b'{"customerNo":"1","z":1.50,"unknown":{"a": 1}}', b'{"customerNo":2}', b'{"customerNo":null,"name":"\xc3\x86"}']
SUMMARY = b'"summary":{"totalCount":3}'


@pytest.fixture
async def served() -> AsyncIterator[dict[str, bytes]]:
    """A server that answers each list with `body`; gives the body to be set and the address."""
    state: dict[str, object] = {}

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=state["body"], content_type="application/json")

    app = web.Application()
    app.router.add_get("/{rest:.*}", answer)
    async with TestServer(app) as server:
        state["url"] = str(server.make_url("/"))
        yield state


@pytest.mark.parametrize("prefetch", [False, True])
async def test_customers_come_as_they_were_written(served, prefetch) -> None:
    served["body"] = b'{"customers":[' + b", ".join(TEXTS) + b"]," + SUMMARY + b"}"
    async with ArmClient(2218, auth="token", base_url=served["url"]) as arm:
        pager = arm.customers.list().raw()
        if prefetch:
            async with pager.prefetch(2) as texts:
                assert [text async for text in texts] == TEXTS
        else:
            assert await pager.collect() == TEXTS


@pytest.mark.parametrize(
    "body",
    [
        b'{"glItems": [%s], %s}',
        b'{"somethingElse": [%s], %s}',
        b'{"glItems": [%s], "others": [1, 2], %s}',
    ],
)
async def test_so_do_records_that_no_page_shows(served, body) -> None:
    served["body"] = body % (b" ,".join(TEXTS), SUMMARY)
    async with ArmClient(2218, auth="token", base_url=served["url"]) as arm:
        assert await arm.gl_items.list().raw().collect() == TEXTS


async def test_a_bare_list_and_a_null_one(served) -> None:
    async with ArmClient(2218, auth="token", base_url=served["url"]) as arm:
        served["body"] = b"[" + b",".join(TEXTS) + b"]"
        assert await arm.gl_items.list().raw().collect() == TEXTS
        served["body"] = b'{"glItems": null, "summary": {"totalCount": 0}}'
        assert await arm.gl_items.list().raw().collect() == []


async def test_what_is_no_list_is_an_error(served) -> None:
    served["body"] = b'{"message": "no"}'
    async with ArmClient(2218, auth="token", base_url=served["url"]) as arm:
        for pager in (arm.customers.list().raw(), arm.gl_items.list().raw()):
            with pytest.raises(ResponseError):
                await pager.collect()
