"""What aioresponses can't see: the bytes on a real socket, and answers that break off."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import amili_arm_async
from amili_arm_async import (
    ArmClient,
    BulkOptions,
    Customer,
    Document,
    ForbiddenError,
    NotSentError,
    OutcomeUnknownError,
    ResponseError,
    RetryPolicy,
    StatusError,
    Timeout,
)

pytestmark = pytest.mark.quick

TOKEN = "very-secret-token"
PACKAGE = Path(amili_arm_async.__file__).parent


@dataclass
class Seen:
    """One request as it came over the socket."""

    line: str
    headers: dict[str, str]
    body: bytes


@dataclass
class RawServer:
    """Answers every request with the next of its answers; an answer is bytes, and the connection is closed after it."""

    answers: list[bytes]
    seen: list[Seen] = field(default_factory=list)
    port: int = 0

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/arm/v1"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = dict(line.split(": ", 1) for line in head[1:] if line)
            body = await reader.readexactly(int(headers.get("Content-Length", 0)))
            self.seen.append(Seen(head[0], headers, body))
            writer.write(self.answers.pop(0))
            await writer.drain()
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(*answers: bytes) -> AsyncIterator[RawServer]:
    made = RawServer(list(answers))
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        await server.wait_closed()


def answer(body: bytes, status: str = "200 OK", length: int | None = None) -> bytes:
    told = len(body) if length is None else length
    return f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {told}\r\nConnection: close\r\n\r\n".encode() + body


def client(server: RawServer, attempts: int = 1) -> ArmClient:
    return ArmClient(2218, auth=TOKEN, base_url=server.base_url, retry=RetryPolicy(attempts=attempts, base_delay=0), language="no")


async def test_a_write_on_the_wire() -> None:
    async with serving(answer(b"{}")) as server, client(server) as arm:
        await arm.customers.create(Customer(customer_no="7", name="Ærlig"), user_id="Ola & Co")
    (seen,) = server.seen
    assert seen.line == "POST /arm/v1/clients/2218/customers?userid=Ola+%26+Co HTTP/1.1"
    assert (seen.headers["Authorization"], seen.headers["Content-Type"]) == (f"Bearer {TOKEN}", "application/json")
    assert (seen.headers["Accept"], seen.headers["Accept-Language"]) == ("application/json", "no")
    assert json.loads(seen.body) == {"customerNo": "7", "name": "Ærlig"}
    assert "Transfer-Encoding" not in seen.headers


async def test_a_read_on_the_wire_keeps_its_percent_encoding() -> None:
    async with serving(answer(b'{"customerNo":"x"}')) as server, client(server) as arm:
        await arm.customers.get("a/b?c%2F..~é")
    assert server.seen[0].line == "GET /arm/v1/clients/2218/customers/a%2Fb%3Fc%252F..~%C3%A9 HTTP/1.1"
    assert server.seen[0].body == b""


@pytest.mark.parametrize("value", ["a+b", "a b", "a%2Bb", "a&b=c", "æ", "a;b", "#"])
async def test_query_values_arrive_as_they_were_given(value) -> None:
    from urllib.parse import parse_qs, urlsplit

    async with serving(answer(b'{"summary":{},"customers":[]}')) as server, client(server) as arm:
        await arm.customers.list(name=value).collect()
    target = server.seen[0].line.split(" ")[1]
    assert parse_qs(urlsplit(target).query) == {"name": [value]}


async def test_a_large_batch_arrives_whole() -> None:
    customers = [Customer(customer_no=str(number), name="x" * 500) for number in range(3000)]
    async with serving(answer(b'{"batchUuid":"u"}', "202 Accepted")) as server, client(server) as arm:
        receipt = await arm.customers.create_batch(customers)
    assert receipt.batch_uuid == "u"
    assert [one["customerNo"] for one in json.loads(server.seen[0].body)["customers"]] == [str(number) for number in range(3000)]


# --- answers that break off ---------------------------------------------------------------------------------------------------------

CUT = [answer(b'{"a":', length=500), b"HTTP/1.1 200 OK\r\nContent-Le", b""]
IDS = ["in the body", "in the headers", "before the status"]
Call = Callable[[ArmClient], Awaitable[object]]


@pytest.mark.parametrize("cut", CUT, ids=IDS)
@pytest.mark.parametrize(
    "call",
    [
        lambda arm: arm.documents.create(Document(document_no="9")),
        lambda arm: arm.documents.create_batch([Document(document_no="9")]),
        lambda arm: arm.customers.delete("7"),
        lambda arm: arm.request("POST", "paymentreservations", json={}),
        lambda arm: arm.request("PUT", "aritems", json={}),
    ],
    ids=["document", "batch of documents", "delete", "payment reservation", "AR item"],
)
async def test_an_unsafe_write_whose_answer_breaks_off_is_unknown_and_delivered_once(call: Call, cut: bytes) -> None:
    async with serving(cut, answer(b"{}")) as server, client(server, attempts=3) as arm:
        with pytest.raises(OutcomeUnknownError):
            await call(arm)
    assert len(server.seen) == 1


@pytest.mark.parametrize("cut", CUT, ids=IDS)
@pytest.mark.parametrize(
    "call",
    [
        lambda arm: arm.customers.get("7"),
        lambda arm: arm.customers.create(Customer(customer_no="7")),
        lambda arm: arm.customers.update(Customer(customer_no="7")),
        lambda arm: arm.customers.update_batch([Customer(customer_no="7")]),
        lambda arm: arm.batches.get("u"),
        lambda arm: arm.customers.list().collect(),
    ],
    ids=["get", "create", "update", "batch", "result", "list"],
)
async def test_what_is_safe_is_tried_again_when_its_answer_breaks_off(call: Call, cut: bytes) -> None:
    good = answer(b'{"customerNo":"7","batchUuid":"u","summary":{},"customers":[]}')
    async with serving(cut, good) as server, client(server, attempts=2) as arm:
        await call(arm)
    assert len(server.seen) == 2


@pytest.mark.parametrize("cut", CUT, ids=IDS)
async def test_a_read_that_gets_no_whole_answer_is_a_response_error(cut: bytes) -> None:
    async with serving(cut) as server, client(server) as arm:
        with pytest.raises(ResponseError):
            await arm.customers.get("7")


async def test_a_refusal_counts_even_where_its_body_breaks_off() -> None:
    async with serving(answer(b'{"mess', "403 Forbidden", length=500)) as server, client(server) as arm:
        with pytest.raises(ForbiddenError):
            await arm.documents.create(Document(document_no="9"))


async def test_a_redirect_is_not_followed() -> None:
    async with serving(answer(b"{}")) as other, serving() as server:
        server.answers.append(f"HTTP/1.1 307 T\r\nLocation: {other.base_url}/x\r\nContent-Length: 0\r\n\r\n".encode())
        async with client(server) as arm:
            with pytest.raises(StatusError, match="check base_url"):
                await arm.customers.create(Customer(customer_no="7"))
    assert other.seen == []


async def test_nobody_listening_is_not_sent() -> None:
    async with serving() as server:
        pass
    async with client(server, attempts=2) as arm:
        with pytest.raises(NotSentError):
            await arm.documents.create(Document(document_no="9"))


async def test_a_call_out_of_time_says_whether_it_may_have_been_done() -> None:
    answered = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answered.wait()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with ArmClient(2218, auth=TOKEN, base_url=base_url) as arm:
        with pytest.raises(OutcomeUnknownError):
            await arm.documents.create(Document(document_no="9"), timeout=Timeout(total=0.05))
        with pytest.raises(ResponseError):
            await arm.customers.get("7", timeout=Timeout(read=0.05), retry=RetryPolicy(attempts=1))
    answered.set()
    server.close()
    await server.wait_closed()


# --- what is logged and shown -------------------------------------------------------------------------------------------------------


async def test_no_line_of_a_real_call_holds_the_token_the_body_or_a_number(log_records) -> None:
    personal, number = "Owe Armstrong", "01019921717"
    body = json.dumps({"customerNo": number, "name": personal, "message": personal}).encode()
    answers = [
        answer(body),
        answer(body, "503 Busy"),
        answer(body),
        answer(body, "400 Bad"),
        answer(b'{"summary":{},"customers":[' + body + b"]}"),
    ]
    async with serving(*answers) as server, client(server, attempts=2) as arm:
        await arm.customers.get(number)
        await arm.customers.create(Customer(customer_no=number, name=personal), user_id=personal)
        with pytest.raises(StatusError):
            await arm.documents.create(Document(document_no=number, customer_message=personal))
        await arm.customers.list(name=personal).collect()
    lines = [str(vars(record)) for record in log_records]
    assert {record.getMessage() for record in log_records} >= {"request", "retry", "page"}
    assert not any(secret in line for line in lines for secret in (TOKEN, personal, number, "Armstrong"))


async def test_no_line_of_a_bulk_run_holds_the_token_a_body_or_a_number(log_records) -> None:
    personal, number = "Owe Armstrong", "01019921717"
    accepted = answer(b'{"batchUuid":"u-1","message":"Owe Armstrong"}', "202 Accepted")
    refused = answer(b'{"message":"Owe Armstrong"}', "400 Bad")
    customers = [
        Customer(customer_no=number, name=personal),
        {"customerNo": number, "name": float("nan")},
        Customer(customer_no="2", name=personal),
    ]
    options = BulkOptions(results="accepted", max_records=1, concurrency=1)
    async with serving(accepted, refused) as server, client(server) as arm:
        report = await arm.customers.create_many(customers, options=options)
    assert (report.counts["accepted"], report.counts["invalid"], report.counts["rejected"]) == (1, 1, 1)
    assert {record.getMessage() for record in log_records} >= {"bulk run begins", "batch accepted", "bulk run ended"}
    lines = [str(vars(record)) for record in log_records]
    assert not any(secret in line for line in lines for secret in (TOKEN, personal, number, "Armstrong"))


async def test_no_error_shows_the_token_or_the_body() -> None:
    import traceback

    body = b'{"message":"Owe Armstrong"}'
    async with serving(answer(body, "400 Bad"), b"", answer(b'{"x":"Owe Armstrong', length=999)) as server, client(server) as arm:
        for _ in range(3):
            with pytest.raises(Exception) as raised:  # noqa: PT011 - of whatever kind
                await arm.documents.create(Document(document_no="9", customer_message="Owe Armstrong"))
            shown = "".join(traceback.TracebackException.from_exception(raised.value, capture_locals=False).format()) + repr(raised.value)
            assert TOKEN not in shown
            assert "Armstrong" not in shown.replace('customer_message="Owe Armstrong"', "")


async def test_no_local_of_ours_in_a_traceback_shows_the_token() -> None:
    import traceback

    async with serving(answer(b"{}", "400 Bad"), b"") as server, client(server) as arm:
        for _ in range(2):
            with pytest.raises(Exception) as raised:  # noqa: PT011 - of whatever kind
                await arm.documents.create(Document(document_no="9"))
            frames = traceback.TracebackException.from_exception(raised.value, capture_locals=True).stack
            ours = [frame for frame in frames if Path(frame.filename).is_relative_to(PACKAGE)]
            assert ours
            assert TOKEN not in str([frame.locals for frame in ours])
