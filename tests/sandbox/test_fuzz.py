"""Whatever a sandbox is sent, it never answers 500: that would be its own fault and look like the library's."""

from __future__ import annotations

import asyncio
import contextlib
import json
import urllib.parse
from typing import TYPE_CHECKING, Any, TypeAlias

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from yarl import URL

from amili_arm_async import endpoints
from amili_arm_async.sandbox import Sandbox

from ..support.examples import many

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROWS = list(endpoints.OPERATIONS.values())
WORDS = [
    "accountNo",
    "amount",
    "arItemId",
    "autoPostings",
    "closed",
    "content",
    "currencyAmounts",
    "customerNo",
    "customers",
    "distribution",
    "documentNo",
    "documentType",
    "documents",
    "fileId",
    "fileName",
    "files",
    "inclVat",
    "kid",
    "name",
    "options",
    "paymentId",
    "period",
    "postalAddress",
    "validateOnly",
    "year",
]
NAMES = st.sampled_from(WORDS)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(10**40), 10**40),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["1", "500001", "QUJD", "validateOnly", "sNaN", "1e999999999", "\x00", "\ud800"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.text(max_size=4), inner, max_size=5),
    max_leaves=12,
)
DEPTHS = st.integers(1, 1100) | st.integers(470, 500) | st.integers(900, 1000)
RECORD = b'{"customerNo":"1","documentType":"IN","name":"x","paymentId":"%d","kid":"1","arItemId":1,"amount":1,"%s":%s}'


def deep(name: str, wrapper: bytes, levels: int) -> bytes:
    """A record that every operation would take, with a field that is nested."""
    return wrapper % (RECORD % (levels, name.encode(), b"[" * levels + b"]" * levels))


BODIES = st.one_of(
    st.builds(lambda value: json.dumps(value).encode(), st.dictionaries(NAMES, VALUES, max_size=6) | VALUES),
    st.builds(
        lambda name, records: json.dumps({name: records}).encode(),
        st.sampled_from(["autoPostings", "customers", "documents", "files"]),
        st.lists(st.dictionaries(NAMES, VALUES, max_size=6), min_size=1, max_size=3),
    ),
    st.binary(max_size=40),
    st.builds(lambda opening, times: opening * times, st.sampled_from([b"[", b'{"a":']), st.integers(1, 3000)),
    st.builds(
        deep,
        st.sampled_from(["a", "currencyAmounts", "distribution", "files"]),
        st.sampled_from([b"%s", b'{"customers":[%s]}', b'{"documents":[%s]}', b'{"files":[%s]}', b"[%s]"]),
        DEPTHS,
    ),
)
PIECES = st.one_of(
    st.text(min_size=1, max_size=6).map(lambda text: urllib.parse.quote(text, safe="", errors="replace")),
    st.sampled_from(["1", "400001", "%ED%A0%80", "%00", "%FF", "9" * 40, "x%3Fy", "."]),
)
QUERIES = st.dictionaries(
    st.sampled_from(["accountno", "pageno", "pagesize", "maximumcount", "query", "customerno", "itemamount", "expand", "closed", "Ærlig"]),
    st.one_of(SCALARS.map(str), st.integers(-5, 5).map(str)),
    max_size=3,
)


Ask: TypeAlias = "Callable[..., tuple[int, bytes]]"


@contextlib.contextmanager
def asking() -> Iterator[Ask]:
    """Opens a sandbox, and gives what calls it."""
    with asyncio.Runner() as runner:
        rooms = contextlib.AsyncExitStack()

        async def enter() -> tuple[Sandbox, aiohttp.ClientSession]:
            sandbox = await rooms.enter_async_context(Sandbox(process_delay=0))
            sandbox.customers.seed([{"customerNo": "1", "name": "x"}])
            sandbox.seed("ar_items", [{"arItemId": 1, "customerNo": "1", "itemAmount": 1.5}])
            return sandbox, await rooms.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)))

        sandbox, session = runner.run(enter())

        async def send(method: str, path: str, body: bytes) -> tuple[int, bytes]:
            headers = {"Authorization": f"Bearer {sandbox.token}", "Accept-Encoding": "identity"}
            url = URL(f"{sandbox.origin}/{path}", encoded=True)
            async with session.request(method, url, headers=headers, data=body or None) as response:
                answer = response.status, await response.read()
            await sandbox.settled()  # raises what stopped the processing
            return answer

        yield lambda *given: runner.run(send(*given))
        runner.run(rooms.aclose())


@pytest.fixture(scope="module")
def ask() -> Iterator[Ask]:
    """Calls one sandbox that is open for all examples of hypothesis."""
    with asking() as ask:
        yield ask


@pytest.fixture(scope="module")
def ask_another() -> Iterator[Ask]:
    """Calls another one: hypothesis raises the limit of the stack, so that what is taken meanwhile may be too deep afterwards."""
    with asking() as ask:
        yield ask


def fill(row: endpoints.Endpoint, data: Any) -> str:
    """The path of an operation with anything in the place of its variables."""
    pieces = []
    for piece in row.path.split("/"):
        if piece == "{clientno}":
            pieces.append("2218")
        elif piece.startswith("{"):
            pieces.append(data.draw(PIECES))
        else:
            pieces.append(piece)
    return "arm/v1/" + "/".join(pieces)


@many(400, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(row=st.sampled_from(ROWS), query=QUERIES, body=BODIES, data=st.data())
def test_nothing_makes_it_answer_500(ask: Any, row: endpoints.Endpoint, query: dict[str, str], body: bytes, data: Any) -> None:
    asked = urllib.parse.urlencode(query, errors="replace")

    status, answer = ask(row.method, f"{fill(row, data)}?{asked}", body if row.method in ("POST", "PUT") else b"")

    assert status < 500
    json.loads(answer)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(name=st.sampled_from(["token", "refresh", "verify"]), body=st.binary(max_size=40) | st.text(max_size=20).map(str.encode))
def test_nothing_makes_the_identity_service_answer_500(ask: Any, name: str, body: bytes) -> None:
    status, answer = ask("POST", f"identity/{name}", body)
    assert status < 500
    json.loads(answer)


# Python 3.11 reads some 990 levels, 3.12 and 3.13 up to 10,000, and 3.14 what the stack holds: 20,000 and more, and skips ten times that.
LEVELS = [100, 400, 488, 491, 900, 940, 975, 977, 985, 1490, 9900, 9980, 20_000, 27_000, 80_000, 250_000]


@pytest.mark.parametrize("levels", LEVELS)
@pytest.mark.parametrize("kind", ["customers", "documents"])
def test_a_record_that_is_nested_deep_harms_no_other(ask_another: Ask, kind: str, levels: int) -> None:
    nested = b'{"customerNo":"1","documentType":"IN","a":%s}' % (b"[" * levels + b"]" * levels)
    assert ask_another("POST", f"arm/v1/clients/2218/{kind}", nested)[0] in (200, 400)
    assert ask_another("POST", f"arm/v1/clients/2218/{kind}/batches", b'{"%s":[%s]}' % (kind.encode(), nested))[0] in (202, 400)

    assert ask_another("POST", f"arm/v1/clients/2218/{kind}/batches", b'{"%s":[{"customerNo":"1"}]}' % kind.encode())[0] == 202
    assert ask_another("GET", f"arm/v1/clients/2218/{kind}", b"")[0] == 200
    assert ask_another("GET", "arm/v1/clients/2218/aritems", b"")[0] == 200
    assert ask_another("POST", "arm/v1/clients/2218/paymentreservations", b'{"paymentId":"unknown","kid":"unknown"}')[0] == 422
