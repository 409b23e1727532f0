"""Lists of any length stay in constant memory."""

from __future__ import annotations

import json
import tracemalloc

import pytest
from aiohttp import web

from amili_arm_async import ArmClient

PER_PAGE = 1000


async def page(request: web.Request) -> web.Response:
    """A page of items made on the fly; the first names how many there are."""
    number, pages = int(request.query.get("pageno", 1)), int(request.query["query"])
    first = (number - 1) * PER_PAGE
    items = [{"itemId": first + place, "itemAmount": place, "text": "x" * 50} for place in range(PER_PAGE)]
    summary = {"pageNo": number, "totalPages": pages, "nextPage": f"/?query={pages}&pageno={number + 1}" if number < pages else None}
    body = json.dumps({"summary": summary, request.path.rpartition("/")[2]: items}).encode()
    return web.Response(body=body, content_type="application/json")


@pytest.mark.proof
@pytest.mark.parametrize("section", ["ar_items", "gl_items", "log_items"])
async def test_a_list_many_times_as_long_needs_no_more_memory(section) -> None:
    application = web.Application()
    application.router.add_get("/clients/1/{items}", page)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    peaks: dict[int, int] = {}
    try:
        async with ArmClient(1, auth="t", base_url=f"http://127.0.0.1:{site.port}") as arm:
            for pages in (1, 3, 20):
                tracemalloc.start()
                count = 0
                async for _ in getattr(arm, section).list(query=str(pages), allow_truncated=True):
                    count += 1
                assert count == pages * PER_PAGE
                peaks[pages] = tracemalloc.get_traced_memory()[1]
                tracemalloc.stop()
    finally:
        tracemalloc.stop()
        await runner.cleanup()
    assert peaks[20] < 1.2 * peaks[3]
