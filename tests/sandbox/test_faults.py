"""Every fault: what the client sees, and what was delivered and taken."""

from __future__ import annotations

import asyncio
import json
import ssl
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from amili_arm_async.sandbox import Fault, Sandbox

pytestmark = pytest.mark.quick

if TYPE_CHECKING:
    from collections.abc import Callable


def counts(sandbox: Sandbox) -> tuple[int, int]:
    """How often document d1 was delivered and taken."""
    return sandbox.documents.delivered("d1"), sandbox.documents.taken("d1")


async def send(call: Any) -> tuple[int, Any, bytes]:
    """Send a batch of one document."""
    answer: tuple[int, Any, bytes] = await call.raw("POST", "documents/batches", {"documents": [call.document("d1")]})
    return answer


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until something is so."""
    async with asyncio.timeout(50):
        while not condition():
            await asyncio.sleep(0)


async def reset(call: Any) -> None:
    """Send, and see the connection reset: the error of the system, not only an end."""
    with pytest.raises(aiohttp.ClientOSError) as caught:
        await send(call)
    assert isinstance(caught.value, ConnectionResetError) or caught.value.errno is not None


@pytest.mark.parametrize("name", ["Content-Type", "content-type"])
async def test_a_status_with_a_content_type_of_its_own(sandbox: Sandbox, name: str) -> None:
    sandbox.inject(Fault.status(503, body=b"<html>busy</html>", headers={name: "text/html; charset=utf-8"}))
    address, headers = f"{sandbox.base_url}/clients/2218/customers/1", {"Authorization": f"Bearer {sandbox.token}"}
    async with aiohttp.ClientSession() as session, session.get(address, headers=headers) as answer:
        assert (answer.status, await answer.read()) == (503, b"<html>busy</html>")
        assert answer.headers.getall("Content-Type") == ["text/html; charset=utf-8"]


@pytest.mark.parametrize(("fault", "delivered", "taken"), [(Fault.reset_before(), 0, 0), (Fault.reset_after(), 1, 1)])
async def test_resets(sandbox: Sandbox, call: Any, fault: Fault, delivered: int, taken: int) -> None:
    await call("GET", "customers")
    sandbox.inject(fault)
    await reset(call)
    assert counts(sandbox) == (delivered, taken)
    assert sandbox.recent[-1].status is None
    assert (await send(call))[0] == 202
    assert counts(sandbox) == (delivered + 1, taken + 1)


@pytest.mark.parametrize(("fault", "taken"), [(Fault.reset_before(graceful=True), 0), (Fault.reset_after(graceful=True), 1)])
async def test_connections_that_end_without_a_reset(sandbox: Sandbox, call: Any, fault: Fault, taken: int) -> None:
    sandbox.inject(fault)
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await send(call)
    assert sandbox.documents.taken("d1") == taken


async def test_a_reset_while_a_large_body_is_on_its_way(sandbox: Sandbox, call: Any) -> None:
    sandbox.inject(Fault.reset_before())
    with pytest.raises(aiohttp.ClientError):
        await call("POST", "documents/batches", b'{"documents":[' + b" " * 20_000_000 + b"]}")


@pytest.mark.parametrize("taken", [False, True])
async def test_a_status_before_or_after_taking(sandbox: Sandbox, call: Any, taken: bool) -> None:
    sandbox.inject(Fault.status(503, retry_after=2.5, body=b"<busy>", taken=taken))
    status, headers, body = await send(call)
    assert (status, headers["Retry-After"], body) == (503, "2.5", b"<busy>")
    assert headers["X-Request-Id"]
    assert counts(sandbox) == (1, int(taken))


async def test_a_status_with_a_date_and_the_usual_body(sandbox: Sandbox, call: Any) -> None:
    date = "Sat, 21 Nov 2026 10:00:00 GMT"
    sandbox.inject(Fault.status(429, retry_after=date, headers={"X-Other": "1"}))
    status, headers, body = await send(call)
    assert (status, headers["Retry-After"], headers["X-Other"]) == (429, date, "1")
    assert json.loads(body)["message"]
    sandbox.inject(Fault.status(503, retry_after=120))
    assert (await send(call))[1]["Retry-After"] == "120"


async def test_a_redirect_takes_nothing(sandbox: Sandbox, call: Any) -> None:
    sandbox.inject(Fault.redirect(307, "http://elsewhere.example/"))
    status, headers, _ = await send(call)
    assert (status, headers["Location"]) == (307, "http://elsewhere.example/")
    assert counts(sandbox) == (1, 0)


@pytest.mark.parametrize(("fault", "taken"), [(Fault.hang_before(), 0), (Fault.hang_after(), 1)])
async def test_a_client_may_leave_a_request_that_hangs(sandbox: Sandbox, call: Any, fault: Fault, taken: int) -> None:
    hanging = sandbox.inject(fault)
    request = asyncio.create_task(send(call))
    await until(lambda: hanging.fired == 1 and sandbox.documents.delivered("d1") == 1)
    assert not request.done()
    assert sandbox.in_flight == 1
    request.cancel()
    await asyncio.wait([request])
    assert request.cancelled()
    await until(lambda: sandbox.in_flight == 0)
    assert counts(sandbox) == (1, taken)
    assert (await send(call))[0] == 202


async def test_half_an_answer(sandbox: Sandbox, call: Any) -> None:
    sandbox.inject(Fault.cut())
    with pytest.raises(aiohttp.ClientPayloadError):
        await send(call)
    assert counts(sandbox) == (1, 1)


async def test_an_answer_that_is_not_json(sandbox: Sandbox, call: Any) -> None:
    sandbox.inject(Fault.garbage())
    status, _, body = await send(call)
    assert status == 202
    with pytest.raises(json.JSONDecodeError):
        json.loads(body)
    assert counts(sandbox) == (1, 1)


async def test_an_answer_without_batch_uuid(sandbox: Sandbox, call: Any) -> None:
    sandbox.inject(Fault.no_uuid())
    status, _, body = await send(call)
    assert (status, set(json.loads(body))) == (202, {"status", "result", "message"})
    assert counts(sandbox) == (1, 1)


@pytest.mark.parametrize("after", [0.0, 0.001])
async def test_a_connection_that_closes_after_its_answer(sandbox: Sandbox, after: float) -> None:
    sandbox.inject(Fault.close_idle(after))
    port = int(sandbox.base_url.split(":")[2].split("/")[0])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = b'{"customerNo":"1","name":"Bill"}'
    head = (
        "POST /arm/v1/clients/1/customers HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: Bearer {sandbox.token}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    async with asyncio.timeout(50):
        answer = await reader.read()  # ends only when the connection does
    writer.close()
    await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert answer.endswith(b'"customerNo":"1"}')
    assert b"connection: close" not in answer.lower()
    assert sandbox.customers.taken("1") == 1


async def test_latency_comes_before_other_faults_and_adds_up(sandbox: Sandbox, call: Any) -> None:
    slow = [sandbox.inject(Fault.latency(0.001)), sandbox.inject(Fault.latency(0.001))]
    sandbox.inject(Fault.status(500))
    assert (await send(call))[0] == 500
    assert [injection.fired for injection in slow] == [1, 1]
    assert (await send(call))[0] == 202


async def test_faults_wait_for_the_requests_they_are_meant_for(sandbox: Sandbox, call: Any) -> None:
    sandbox.inject(Fault.status(500), method="post", path="documents", skip=1, times=2)
    sandbox.inject(Fault.status(501), path="/clients/*/customers/??")
    sandbox.inject(Fault.status(502), path="/batches/", times=None)
    assert (await call("GET", "documents"))[0] == 200
    assert [(await send(call))[0] for _ in range(4)] == [202, 500, 500, 202]
    assert (await call("GET", "customers/123"))[0] == 404
    assert [(await call("GET", "customers/12"))[0] for _ in range(2)] == [501, 404]
    assert [(await call("GET", "batches/x"))[0] for _ in range(3)] == [502, 502, 502]
    sandbox.clear_faults()
    assert (await call("GET", "batches/x"))[0] == 404


async def test_the_token_service_meets_only_faults_that_name_it(sandbox: Sandbox, session: aiohttp.ClientSession) -> None:
    sandbox.inject(Fault.status(500), times=None)
    sandbox.inject(Fault.status(503, retry_after=1), path="/identity/token")
    form = {"grant_type": "client_credentials", "client_id": "sandbox", "client_secret": "sandbox-secret"}
    for expected in (503, 200):
        async with session.post(f"{sandbox.identity_url}/token", data=form) as response:
            assert response.status == expected


async def test_chances_are_repeatable(calling: Callable[[Sandbox], Any]) -> None:
    seen: list[list[int]] = []
    for seed in (1, 1, 2):
        async with Sandbox(seed=seed) as sandbox:
            sandbox.inject(Fault.status(500), probability=0.5, times=None)
            seen.append([(await calling(sandbox)("GET", "customers"))[0] for _ in range(24)])
    assert seen[0] == seen[1] != seen[2]
    assert set(seen[0]) == {200, 500}


@pytest.mark.parametrize("wrong", [{"times": 0}, {"skip": -1}, {"probability": 0.0}, {"probability": 1.1}])
async def test_an_injection_that_cannot_be_is_refused(sandbox: Sandbox, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must"):
        sandbox.inject(Fault.status(500), **wrong)


async def test_requests_are_remembered_with_their_connections(sandbox: Sandbox, call: Any) -> None:
    await call("GET", "customers?userid=me")
    await send(call)
    first, second = sandbox.recent
    assert (first.method, first.path, first.query) == (
        "GET",
        "/arm/v1/clients/2218/customers",
        {"userid": "me"},
    )
    assert (first.connection, second.connection, sandbox.connections) == (1, 1, 1)
    assert (second.status, second.body_bytes > 0) == (202, True)
    assert second.headers["Authorization"] == f"Bearer {sandbox.token}"
    assert sandbox.requests["POST /clients/{clientno}/documents/batches"] == 1


async def test_the_same_over_tls(calling: Callable[[Sandbox], Any]) -> None:
    trustme = pytest.importorskip("trustme")
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    async with Sandbox(ssl_context=context) as sandbox:
        assert sandbox.base_url.startswith("https://127.0.0.1:")
        trust = ssl.create_default_context()
        authority.configure_trust(trust)
        call = calling(sandbox)
        status, body = await call("POST", "documents/batches", {"documents": [call.document("d1")]}, ssl=trust)
        assert (status, body["getResult"].startswith("https://127.0.0.1:")) == (202, True)
        sandbox.inject(Fault.reset_after())
        with pytest.raises(aiohttp.ClientError):
            await call("POST", "documents/batches", {"documents": [call.document("d1")]}, ssl=trust)
        assert counts(sandbox) == (2, 2)
        assert sandbox.connections == 1


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Fault("latncy"), "did you mean 'latency'?"),
        (lambda: Fault("reset"), "did you mean 'reset_"),
        (lambda: Fault("status"), "from 200 to 599, not 0"),
        (lambda: Fault.status(5030), "from 200 to 599, not 5030"),
        (lambda: Fault.status(100), "from 200 to 599, not 100"),
        (lambda: Fault.status("503"), "from 200 to 599, not '503'"),
        (lambda: Fault.status(204, body=b"x"), "204 has no body"),
        (lambda: Fault.status(429, retry_after=-1), "retry_after must be a number of at least 0"),
        (lambda: Fault.status(429, retry_after=float("nan")), "retry_after must be"),
        (lambda: Fault.status(429, retry_after=1, headers={"retry-after": "2"}), "twice"),
        (lambda: Fault.status(503, headers={"X": "a\nb"}), "can't be sent"),
        (lambda: Fault.status(503, headers={"content-length": "3"}), "is set by the server"),
        (lambda: Fault.status(503, body="busy"), "body must be bytes, not str"),
        (lambda: Fault.redirect(304, "/"), "307, 308, not 304"),
        (lambda: Fault.redirect(307, ""), "needs the address"),
        (lambda: Fault.latency(-1), "seconds must be a number of at least 0"),
        (lambda: Fault.latency("1"), "seconds must be"),
        (lambda: Fault("cut", taken=True), "a fault 'cut' has no taken"),
        (lambda: Fault("latency", seconds=1, code=503), "a fault 'latency' has no code"),
    ],
)
def test_a_fault_that_cannot_happen_is_refused_when_it_is_made(make: Callable[[], Fault], said: str) -> None:
    with pytest.raises(ValueError, match=said.replace("?", r"\?")):
        make()


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ({"operation": "documents.create_bach"}, "did you mean 'documents.create_batch'?"),
        ({"operation": "customers.get", "method": "GET"}, "either an operation, or a method and a path"),
        ({"method": "PSOT"}, "did you mean 'POST'?"),
        ({"path": "custmers"}, "did you mean 'customers'?"),
        ({"path": "/Documents/batches"}, "did you mean 'documents/batches'?"),
        ({"path": "documents/batch", "method": "GET"}, None),
        ({"path": "documents/batces", "method": "POST"}, "did you mean 'documents/batches'?"),
        ({"path": "customers/batches", "method": "DELETE"}, None),
        ({"path": "clients/2218/documents"}, None),
        ({"path": "identity/tokens"}, "did you mean 'identity/token'?"),
        ({"path": "*/documents/*"}, None),
        ({"path": "*/documnts/*", "method": "PUT"}, "no operation with PUT"),
        ({"times": 0}, "times .None: always. must be an integer of at least 1"),
        ({"times": 1.5}, "an integer of at least 1, not 1.5"),
        ({"times": True}, "an integer of at least 1, not True"),
        ({"skip": -1}, "skip must be"),
        ({"probability": 0}, "probability must be"),
    ],
)
def test_an_injection_that_can_hit_nothing_is_refused(target: dict[str, Any], said: str | None) -> None:
    sandbox = Sandbox()
    if said is None:
        sandbox.inject(Fault.cut(), **target)
    else:
        with pytest.raises(ValueError, match=said.replace("?", r"\?")):
            sandbox.inject(Fault.cut(), **target)


def test_a_fault_behind_one_that_always_happens_is_refused() -> None:
    sandbox = Sandbox()
    sandbox.inject(Fault.latency(0), times=None)
    sandbox.inject(Fault.status(503), method="post", times=None)
    sandbox.inject(Fault.cut(), method="GET")
    sandbox.inject(Fault.cut(), path="identity/token", method="POST")
    with pytest.raises(ValueError, match="could never happen"):
        sandbox.inject(Fault.cut(), method="POST", path="documents")
    sandbox.clear_faults()
    sandbox.inject(Fault.cut(), method="POST", path="documents")
    with pytest.raises(TypeError, match="a Fault is injected"):
        sandbox.inject(Fault.hang_before)  # type: ignore[arg-type]


async def test_a_fault_of_one_operation(sandbox: Sandbox, call: Any) -> None:
    hit = sandbox.inject(Fault.status(503), operation="customers.create_batch")
    assert (await call("POST", "customers", call.customer("1")))[0] == 200
    assert (await call("POST", "customers/batches", {"customers": [call.customer("1")]}))[0] == 503
    assert hit.fired == 1


def test_a_mark_of_no_kind_is_refused() -> None:
    with pytest.raises(ValueError, match=r"did you mean 'customers'\?"):
        Sandbox().reject_record("1", kind="customer")  # type: ignore[arg-type]
