"""Single calls: how often they go out under each fault, which error comes, and that a document or a delete is delivered once at most."""

from __future__ import annotations

import asyncio
import time
from email.utils import formatdate
from typing import Any

import aiohttp
import pytest

from amili_arm_async import (
    ArmClient,
    ArmError,
    ClientCredentials,
    NotSentError,
    OutcomeUnknownError,
    RateLimitedError,
    ResponseError,
    RetryPolicy,
    StatusError,
    Timeout,
)

from ..support.faulty_api import FaultyServer, RandomFaults
from ..support.faulty_runs import check, check_once, customer, document, ends, make_client, options, records, run_to_end
from ..support.http_server import Answer
from ..support.wire_faults import DURING_ANSWER, WHOLE_BODY, WRITE_FAULTS, WireFault

NO_ANSWER = sorted(name for name, fault in WRITE_FAULTS.items() if fault.ends in {"reset", "close", "stall"})
STALLS = {name for name, fault in WRITE_FAULTS.items() if fault.ends == "stall"}
REFUSED = ["400", "403", "404", "405", "406", "411", "413", "early_413", "414", "415", "422", "431", "301", "307", "308"]
AMBIGUOUS = [f"{status}{more}" for status in (408, 409, 425, 499, 500, 502, 503, 504) for more in ("", "_taken")]
UNREADABLE = ["not_utf8", "html_200", "bad_gzip", "cut_body", "bad_chunk"]


@pytest.mark.parametrize("fault", NO_ANSWER)
async def test_a_document_without_an_answer(server: FaultyServer, arm: ArmClient, fault: str) -> None:
    server.faults.extend([fault] * 9)
    with pytest.raises(OutcomeUnknownError):
        await ends(arm.documents.create(document("k1")))
    assert len(server.writes) == 1
    assert server.taken["k1"] <= 1


@pytest.mark.parametrize("fault", UNREADABLE)
async def test_a_document_whose_success_can_not_be_read(server: FaultyServer, arm: ArmClient, fault: str) -> None:
    server.faults.extend([fault] * 9)
    with pytest.raises(OutcomeUnknownError):
        await ends(arm.documents.create(document("k1")))
    with pytest.raises(OutcomeUnknownError):
        await ends(arm.documents.create_batch([document("k2")]))
    assert len(server.writes) == 2


@pytest.mark.parametrize("fault", AMBIGUOUS)
async def test_a_document_and_an_error_that_proves_nothing(server: FaultyServer, arm: ArmClient, fault: str) -> None:
    server.faults.extend([fault] * 9)
    with pytest.raises(ArmError):
        await ends(arm.documents.create(document("k1")))
    assert len(server.writes) == 1


@pytest.mark.parametrize("fault", ["taken_408", "taken_409", "taken_500", "taken_503"])
async def test_no_error_advises_to_send_an_invoice_again_that_may_be_there(server: FaultyServer, arm: ArmClient, fault: str) -> None:
    """Whatever its class: who catches it must not be told "try again", but that the outcome is unknown and what to do."""
    server.faults.append(fault)
    with pytest.raises(ArmError) as raised:
        await ends(arm.documents.create(document("k1")))
    assert "try again" not in str(raised.value)
    assert isinstance(raised.value, OutcomeUnknownError) or "look" in str(raised.value)


@pytest.mark.parametrize("fault", REFUSED)
async def test_a_document_that_is_refused(server: FaultyServer, arm: ArmClient, fault: str) -> None:
    server.faults.extend([fault] * 9)
    with pytest.raises(StatusError) as raised:
        await ends(arm.documents.create(document("k1")))
    assert raised.value.status == int(fault.removeprefix("early_"))
    assert not isinstance(raised.value, OutcomeUnknownError)
    assert len(server.writes) == 1


@pytest.mark.parametrize("what", ["customers", "documents"])
async def test_429_is_waited_for(server: FaultyServer, arm: ArmClient, what: str) -> None:
    server.faults.extend(["429"] * 4)
    record = records(what, 2)[1]
    receipt = await ends(getattr(arm, what).create(record, retry=RetryPolicy(base_delay=0.001, max_delay=1)))
    assert receipt.http_status == 200
    assert len(server.writes) == 5
    assert server.taken["k1"] == 1
    server.faults.extend(["429_bare"] * 9)
    with pytest.raises(RateLimitedError):
        await ends(getattr(arm, what).create(record))
    assert len(server.writes) == 10


async def test_a_long_retry_after_is_raised_with_its_value(server: FaultyServer, arm: ArmClient) -> None:
    server.answer_read = lambda _: Answer(429, {}, (("Retry-After", "120"),))
    with pytest.raises(RateLimitedError) as raised:
        await ends(arm.customers.get("k1"))
    assert raised.value.retry_after == 120
    assert len(server.seen) == 1
    server.answer_read = lambda _: Answer(503, {}, (("Retry-After", formatdate(time.time() + 300, usegmt=True)),))
    with pytest.raises(StatusError) as other:
        await ends(arm.customers.get("k1"))
    assert 290 < (other.value.retry_after or 0) <= 300


@pytest.mark.parametrize("fault", ["408", "425", "499", "500", "502", "503", "504", *(name for name in NO_ANSWER if name not in STALLS)])
@pytest.mark.parametrize("method", ["create", "update"])
async def test_a_customer_is_sent_again(server: FaultyServer, arm: ArmClient, fault: str, method: str) -> None:
    server.faults.extend([fault] * 4)
    assert (await ends(getattr(arm.customers, method)(customer("k1")))).http_status == 200
    assert server.taken["k1"] >= 1


@pytest.mark.parametrize("fault", NO_ANSWER)
async def test_a_customer_without_an_answer_to_the_end(server: FaultyServer, arm: ArmClient, fault: str) -> None:
    server.faults.extend([fault] * 20)
    with pytest.raises(OutcomeUnknownError):
        await ends(arm.customers.create(customer("k1"), retry=RetryPolicy(attempts=3, base_delay=0.001)))
    assert len(server.writes) == 3


async def test_nothing_listens(server: FaultyServer) -> None:
    async with FaultyServer() as gone:
        url = gone.base_url
    async with make_client(server, base_url=url) as arm:
        for call in (arm.documents.create(document("k1")), arm.customers.get("1"), arm.customers.delete("1")):
            with pytest.raises(NotSentError):
                await ends(call)
        report, error = await run_to_end(arm.documents.create_many(records("documents", 20), options=options(patience=0.1)))
        assert error is not None
        assert report.counts["not_sent"] == 20


@pytest.mark.parametrize("fault", ["body_stall", "byte_stall", "taken_stall"])
async def test_the_total_time_out(server: FaultyServer, arm: ArmClient, fault: str) -> None:
    server.faults.extend([fault] * 9)
    with pytest.raises(OutcomeUnknownError):
        await ends(arm.documents.create(document("k1"), timeout=Timeout(connect=1, read=5, total=0.05)))
    with pytest.raises(OutcomeUnknownError):
        await ends(arm.customers.create(customer("k1"), timeout=Timeout(connect=1, read=5, total=0.05)))


async def test_the_total_time_out_of_a_read(server: FaultyServer, arm: ArmClient) -> None:
    """It left, and got no answer: that is no NotSentError ("nothing left this machine")."""
    server.answer_read = lambda _: "stall"
    with pytest.raises(ResponseError):
        await ends(arm.customers.get("1", timeout=Timeout(connect=1, read=5, total=0.05)))
    assert len(server.seen) == 1


async def test_the_total_time_out_while_it_waits_for_a_second_try(server: FaultyServer, arm: ArmClient) -> None:
    server.faults.extend(["429_bare"] * 9)
    with pytest.raises(ArmError) as raised:
        await ends(arm.documents.create(document("k1"), timeout=Timeout(total=0.1), retry=RetryPolicy(base_delay=5, max_delay=5)))
    assert isinstance(raised.value, (NotSentError, RateLimitedError)), "it was provably not taken"


# --- deletes, and connections that drop between requests ------------------------------------------------------------------


@pytest.mark.parametrize("after", ["then_close", "then_reset"])
@pytest.mark.parametrize("brought", [False, True])
async def test_a_delete_is_delivered_once_over_a_connection_that_drops(server: FaultyServer, after: str, brought: bool) -> None:
    """aiohttp resends DELETE by itself on a reused connection that drops. Here the server takes it, and drops the connection each time."""
    async with aiohttp.ClientSession() as session, make_client(server, session=session if brought else None) as arm:
        server.answer_read = lambda _: None
        await arm.customers.get("1")
        server.faults.append("taken_close")
        with pytest.raises(OutcomeUnknownError):
            await ends(arm.customers.delete("k1"))
        assert len(server.writes) == 1
        assert server.delivered["k1"] == 1
        server.faults.extend([after, "taken_reset"])
        await arm.customers.delete("k2")
        with pytest.raises(ArmError):
            await ends(arm.customers.delete("k3"))
        assert server.delivered["k3"] <= 1
        assert len(server.writes) <= 3
    await server.all_closed()


@pytest.mark.parametrize("fault", NO_ANSWER)
async def test_a_delete_without_an_answer(server: FaultyServer, arm: ArmClient, fault: str) -> None:
    server.faults.extend([fault] * 9)
    with pytest.raises(OutcomeUnknownError):
        await ends(arm.customers.delete("k1"))
    assert len(server.writes) == 1


@pytest.mark.parametrize("method", ["PUT", "DELETE", "POST", "PATCH"])
async def test_an_unsafe_request_of_ones_own_is_delivered_once(server: FaultyServer, arm: ArmClient, method: str) -> None:
    await arm.customers.get("1")
    server.faults.extend(["taken_close"] * 5)
    with pytest.raises(OutcomeUnknownError):
        await ends(arm.request(method, "aritems", json={"documentNo": "k1"}))
    assert len(server.writes) == 1


# --- a session that was brought -----------------------------------------------------------------------------------------


async def middleware_that_retries(request: Any, handler: Any) -> Any:
    for attempt in range(4):
        try:
            answer = await handler(request)
        except aiohttp.ClientError:
            if attempt == 3:
                raise
            continue
        if answer.status < 500 or attempt == 3:
            return answer
        answer.release()
    return None


async def middleware_that_rewrites(request: Any, handler: Any) -> Any:
    """Signs or copies the body, and puts plain bytes in its place."""
    if request.method != "GET":
        await request.update_body(await request.body.as_bytes())
    return await handler(request)


MIDDLEWARES = {"retries": (middleware_that_retries,), "rewrites": (middleware_that_rewrites,)}


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # aiohttp's word to the middleware that lets the first body go
@pytest.mark.parametrize("middleware", MIDDLEWARES)
@pytest.mark.parametrize(
    "fault", ["taken_500", "taken_reset", "taken_close", "half_reset", "taken_503", "taken_408", "cut_headers", "taken_stall"]
)
async def test_a_brought_session_delivers_a_document_once(server: FaultyServer, middleware: str, fault: str) -> None:
    async with aiohttp.ClientSession(middlewares=MIDDLEWARES[middleware], raise_for_status=True) as session:
        async with make_client(server, session=session) as arm:
            server.faults.extend([fault] * 3)
            with pytest.raises(ArmError) as raised:
                await ends(arm.documents.create(document("k0")))
            assert not isinstance(raised.value, NotSentError)
            assert server.delivered["k0"] <= 1
            check_once(server)
            server.faults.clear()
            server.faults.extend([fault] * 3)
            report, error = await run_to_end(arm.documents.create_many(records("documents", 20, start=1), options=options(concurrency=1)))
            assert error is None
            check(report, server, start=1)
            check_once(server)
        assert not session.closed
    server.release()
    await server.all_closed()


async def test_a_brought_session_under_random_faults_is_never_closed(server: FaultyServer) -> None:
    async with aiohttp.ClientSession() as session:
        async with make_client(server, session=session) as arm:
            server.random_faults = RandomFaults(
                11, ["taken_reset", "taken_500", "then_close", "null_uuid", "cut_body", "429", "half_reset"]
            )
            report, _ = await run_to_end(arm.documents.create_many(records("documents", 100), options=options()))
            check(report, server)
            check_once(server)
        assert not session.closed
        async with session.get(server.base_url + "/clients/1/customers") as answer:
            assert answer.status == 200
    await server.all_closed()


# --- tokens -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["customers", "documents"])
async def test_concurrent_401s_trigger_one_refresh(server: FaultyServer, what: str) -> None:
    auth = ClientCredentials(client_id="id", client_secret="secret", identity_url=server.origin)
    async with make_client(server, auth=auth) as arm:
        await arm.customers.get("1")
        assert server.tokens_given == 1
        for expected in (2, 3):
            server.valid_tokens = {"somebody else's"}
            report, error = await run_to_end(
                getattr(arm, what).create_many(records(what, 60, start=expected * 100), options=options(concurrency=8))
            )
            assert error is None
            check(report, server, start=expected * 100)
            assert report.counts["succeeded"] == 60
            assert server.tokens_given == expected
    check_once(server)
    await server.all_closed()


async def test_tokens_that_expire_all_the_time(server: FaultyServer) -> None:
    auth = ClientCredentials(client_id="id", client_secret="secret", identity_url=server.origin)

    def expire(_: object) -> None:
        if len(server.writes) % 5 == 0:
            server.valid_tokens = {"nobody's"}

    server.on_write = expire
    async with make_client(server, auth=auth) as arm:
        report, error = await run_to_end(arm.documents.create_many(records("documents", 100), options=options(concurrency=1)))
        assert error is None
        check(report, server)
        check_once(server)
        assert report.counts["succeeded"] == 100
    await server.all_closed()


@pytest.mark.parametrize(
    "answer",
    [
        Answer(401),
        Answer(400),
        Answer(200, {}),
        Answer(200, b"\xff"),
        Answer(200, {"access_token": "a b"}),
        Answer(302, {}, (("Location", "{elsewhere}/token"),)),
    ],
)
async def test_credentials_that_are_refused_end_a_run(server: FaultyServer, answer: Answer) -> None:
    server.answer_token = lambda: answer
    auth = ClientCredentials(client_id="id", client_secret="s3cr3t", identity_url=server.origin)
    async with make_client(server, auth=auth) as arm:
        report, error = await run_to_end(arm.documents.create_many(records("documents", 40), options=options()))
        assert error is not None
        assert "s3cr3t" not in repr(error) + str(error) + repr(error.__cause__) + str(error.__cause__)
        check(report, server)
        assert report.counts["not_sent"] == 40
        assert not server.writes
    await server.all_closed()


async def test_a_token_service_that_is_out_for_a_moment(server: FaultyServer) -> None:
    give, bad = server.answer_token, [Answer(500), Answer(503), Answer(429), Answer(200, {}, missing=5)] * 2
    server.answer_token = lambda: bad.pop() if bad else give()
    auth = ClientCredentials(client_id="id", client_secret="secret", identity_url=server.origin)
    async with make_client(server, auth=auth) as arm:
        report, error = await run_to_end(arm.documents.create_many(records("documents", 40), options=options()))
        assert error is None
        check(report, server)
        assert report.counts["succeeded"] == 40
    await server.all_closed()


@pytest.mark.parametrize("status", ["301", "302", "303", "307", "308"])
async def test_no_redirect_takes_the_token_elsewhere(server: FaultyServer, arm: ArmClient, status: str) -> None:
    async with FaultyServer() as evil:
        server.elsewhere = evil.origin
        server.decide = lambda _: status
        server.answer_read = lambda _: Answer(int(status), {}, (("Location", evil.origin + "/arm/v1/x"),))
        calls = (
            arm.documents.create(document("k1")), arm.customers.create(customer("k1")), arm.customers.delete("1"), arm.customers.get("1"),
            arm.customers.list().collect(), arm.batches.get("b"), arm.request("GET", "codes"), arm.request("POST", "actions", json={}),
        )  # fmt: skip
        for call in calls:
            with pytest.raises(ArmError):
                await ends(call)
        for what in ("customers", "documents"):
            _, error = await run_to_end(getattr(arm, what).create_many(records(what, 20), options=options()))
            assert error is not None
        assert not evil.seen


# --- answers that are hard to read --------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 413, 429])
@pytest.mark.parametrize("kind", ["bad_gzip", "cut_body"])
async def test_a_status_that_proves_counts_whatever_the_body(server: FaultyServer, arm: ArmClient, status: int, kind: str) -> None:
    """ "The status line and headers prove that it was not taken, whatever its body"."""
    answer = {
        "bad_gzip": Answer(status, b"no gzip", (("Content-Encoding", "gzip"),)),
        "cut_body": Answer(status, b"{", missing=7),
    }[kind]
    server.faults.append(WireFault(WHOLE_BODY, "odd", answer=answer, ends="close"))
    report, error = await run_to_end(arm.documents.create_many(records("documents", 10), options=options(max_records=10)))
    assert error is None
    check(report, server)
    assert report.counts["rejected" if status == 400 else "succeeded"] == 10


async def test_a_huge_answer_is_not_read_to_its_end(server: FaultyServer, arm: ArmClient) -> None:
    answer = Answer(202, b'{"batchUuid":"' + b"x" * 66_000_000 + b'"}')
    server.faults.append(WireFault(DURING_ANSWER, "huge", takes=True, answer=answer, ends="close"))
    report, error = await run_to_end(arm.documents.create_many(records("documents", 10), options=options(concurrency=1)))
    assert error is None
    check(report, server)
    assert report.counts["unknown"] == 5


async def test_a_retry_after_of_nothing_is_no_reason_to_hammer(server: FaultyServer, arm: ArmClient) -> None:
    """`Retry-After: 0`, or a date that has passed by a clock that differs: there is a pause all the same."""
    fault = WireFault(WHOLE_BODY, "Retry-After: 0", answer=Answer(429, {}, (("Retry-After", "0"),)))
    server.decide = lambda _: fault
    made = options(patience=0.3, concurrency=1)
    await run_to_end(arm.customers.create_many(records("customers", 5), options=made, retry=RetryPolicy(base_delay=0.05, max_delay=0.05)))
    assert len(server.writes) <= 40


async def test_two_clients_share_nothing_but_the_server(server: FaultyServer) -> None:
    async with make_client(server) as one, make_client(server) as two:
        await asyncio.gather(one.customers.create(customer("a")), two.customers.create(customer("b")))
        await one.aclose()
        with pytest.raises(ArmError):
            await one.customers.get("1")
        assert (await two.customers.get("1")).customer_no == "1"
    await server.all_closed()
