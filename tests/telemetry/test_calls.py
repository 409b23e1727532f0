"""Single calls: a span for the call, and below it one for each request on the wire."""

import asyncio
import threading
from typing import Any

import pytest
from opentelemetry.trace import SpanKind, StatusCode

from amili_arm_async import (
    ArmClient,
    ClientCredentials,
    ConfigurationError,
    NotFoundError,
    OutcomeUnknownError,
    ResponseError,
    RetryPolicy,
    Telemetry,
    Timeout,
)
from amili_arm_async.sandbox import Fault, Sandbox

from .conftest import Told

GET = "GET /clients/{clientno}/customers/{customerno}"
POST = "POST /clients/{clientno}/documents"
INVOICE = {"documentNo": "D1", "documentType": "IN", "customerNo": "543210"}


async def test_a_call_is_a_span_with_its_request_below_it(sandbox: Sandbox, arm: ArmClient, told: Told) -> None:
    sandbox.customers.seed([{"customerNo": "543210", "name": "Kari"}])
    await arm.customers.get("543210")
    assert told.tree == {"customers.get": [{GET: [{}]}]}
    call, request = told.one("customers.get"), told.one(GET)
    assert (call.kind, call.status.status_code, dict(call.attributes or {})) == (
        SpanKind.INTERNAL,
        StatusCode.UNSET,
        {"amili_arm.operation": "customers.get"},
    )
    assert (request.kind, request.status.status_code) == (SpanKind.CLIENT, StatusCode.UNSET)
    attributes = dict(request.attributes or {})
    assert attributes.pop("http.response.body.size") > 0
    assert attributes == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "network.protocol.version": "1.1",
        "server.address": "127.0.0.1",
        "server.port": int(sandbox.origin.rpartition(":")[2]),
        "url.scheme": "http",
        "url.template": "/clients/{clientno}/customers/{customerno}",
        "amili_arm.operation": "customers.get",
        "amili_arm.outcome": "done",
    }
    ((of_metric, count),) = told.points("http.client.request.duration")
    assert count == 1
    assert of_metric == {key: value for key, value in attributes.items() if not key.startswith("amili_arm")}
    metric = told.metrics()["http.client.request.duration"]
    assert (metric.unit, metric.data.data_points[0].explicit_bounds[:3]) == ("s", (0.005, 0.01, 0.025))


async def test_the_current_span_is_the_parent_and_is_current_again_afterwards(arm: ArmClient, told: Told) -> None:
    tracer = told.tracers.get_tracer("host")
    with tracer.start_as_current_span("handler"):
        with pytest.raises(NotFoundError):
            await arm.customers.get("543210")
        with tracer.start_as_current_span("afterwards"):
            pass
    assert told.tree == {"handler": [{"customers.get": [{GET: [{}]}], "afterwards": [{}]}]}


async def test_each_try_is_a_request_of_its_own(sandbox: Sandbox, arm: ArmClient, told: Told) -> None:
    sandbox.customers.seed([{"customerNo": "543210", "name": "Kari"}])
    sandbox.inject(Fault.status(503, retry_after=0.02), path="customers")
    sandbox.inject(Fault.cut(), path="customers")
    await arm.customers.get("543210")
    assert told.tree == {"customers.get": [{GET: [{}, {}, {}]}]}
    seen = [
        (span.attributes.get("http.request.resend_count"), span.attributes.get("error.type"), span.status.status_code)
        for span in told.named(GET)
        if span.attributes is not None
    ]
    assert [one for one, *_ in seen] == [None, 1, 2]
    assert seen[0][1:] == ("503", StatusCode.ERROR)
    assert seen[1][1:] == ("answer_cut_off", StatusCode.ERROR)
    assert seen[2][1:] == (None, StatusCode.UNSET)
    assert told.value("amili_arm.retry_after.held") == pytest.approx(0.02, abs=0.03)


async def test_not_found_is_an_error_of_request_and_call(arm: ArmClient, told: Told) -> None:
    with pytest.raises(NotFoundError):
        await arm.customers.get("543210")
    request, call = told.one(GET), told.one("customers.get")
    assert request.attributes is not None
    assert call.attributes is not None
    assert (request.attributes["error.type"], request.status.status_code) == ("404", StatusCode.ERROR)
    assert request.status.description is None
    assert (call.attributes["error.type"], call.status.status_code, call.status.description) == ("NotFoundError", StatusCode.ERROR, None)
    (event,) = call.events
    assert (event.name, dict(event.attributes or {})) == ("exception", {"exception.type": "NotFoundError"})


async def test_a_read_that_times_out(sandbox: Sandbox, arm: ArmClient, told: Told) -> None:
    sandbox.inject(Fault.hang_before(), path="customers", times=None)
    with pytest.raises(ResponseError):
        await arm.customers.get("543210", timeout=Timeout(read=0.05), retry=RetryPolicy(attempts=1))
    request = told.one(GET)
    assert request.attributes is not None
    assert (request.attributes["error.type"], request.attributes["amili_arm.outcome"]) == ("timeout", "ambiguous")
    assert "http.response.status_code" not in request.attributes
    with pytest.raises(ResponseError):
        await arm.customers.get("543210", timeout=Timeout(total=0.05))
    call = told.named("customers.get")[1]
    assert call.attributes is not None
    assert call.attributes["error.type"] == "ResponseError"
    assert len(told.named(GET)) == 2
    assert told.value("amili_arm.requests.in_flight") == 0


async def test_an_unsafe_write_with_an_unknown_outcome(sandbox: Sandbox, arm: ArmClient, told: Told) -> None:
    sandbox.inject(Fault.reset_after(), path="documents")
    with pytest.raises(OutcomeUnknownError):
        await arm.documents.create(INVOICE)
    assert told.tree == {"documents.create": [{POST: [{}]}]}
    request, call = told.one(POST), told.one("documents.create")
    assert request.attributes is not None
    assert call.attributes is not None
    assert request.attributes["amili_arm.outcome"] == "ambiguous"
    assert call.attributes["error.type"] == "OutcomeUnknownError"


async def test_a_port_where_nothing_listens(told: Told, unused_tcp_port: int) -> None:
    async with ArmClient(1, auth="t", base_url=f"http://127.0.0.1:{unused_tcp_port}", telemetry=told.telemetry()) as arm:
        with pytest.raises(Exception, match="refused"):
            await arm.customers.get("543210", retry=RetryPolicy(attempts=1))
    request = told.one(GET)
    assert request.attributes is not None
    assert request.attributes["error.type"] == "connection_refused"
    assert request.attributes["amili_arm.outcome"] == "not_sent"


async def test_a_cancelled_call_ends_its_spans(sandbox: Sandbox, arm: ArmClient, told: Told) -> None:
    sandbox.inject(Fault.hang_before(), path="customers", times=None)
    task = asyncio.create_task(arm.customers.get("543210"))
    while not sandbox.in_flight:
        await asyncio.sleep(0)
    assert told.value("amili_arm.requests.in_flight") == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert told.tree == {"customers.get": [{GET: [{}]}]}
    assert [span.attributes["error.type"] for span in told.spans if span.attributes] == ["CancelledError", "CancelledError"]
    assert told.value("amili_arm.requests.in_flight") == 0


async def test_the_pages_of_a_list_are_calls_of_their_own(sandbox: Sandbox, arm: ArmClient, told: Told) -> None:
    sandbox.customers.seed([{"customerNo": str(number), "name": "Kari"} for number in range(25)])
    with told.tracers.get_tracer("host").start_as_current_span("handler"):
        found = [record async for record in arm.customers.list(page_size=10)]
        async with arm.customers.list(page_size=10).prefetch(2) as records:
            again = [record async for record in records]
    assert len(found) == len(again) == 25
    (below,) = told.tree["handler"]
    assert below == {"customers.list": [{"GET /clients/{clientno}/customers": [{}]}] * 6}


async def test_the_token_is_a_request_of_the_call_that_needs_it(sandbox: Sandbox, told: Told) -> None:
    auth = ClientCredentials(client_id=sandbox.client_id, client_secret=sandbox.client_secret, identity_url=sandbox.identity_url)
    async with ArmClient(2218, auth=auth, base_url=sandbox.base_url, telemetry=told.telemetry(propagate=True)) as arm:
        sandbox.customers.seed([{"customerNo": "543210", "name": "Kari"}])
        await arm.customers.get("543210")
        sandbox.revoke_tokens()
        await arm.customers.get("543210")
    first, second = told.tree["customers.get"]
    assert set(first) == {GET, "POST /token"}
    assert len(second[GET]) == 2
    assert [span.attributes.get("http.request.resend_count") for span in told.named(GET) if span.attributes] == [None, None, 1]
    tokens = [request for request in sandbox.recent if request.path.endswith("/token")]
    assert tokens


@pytest.mark.parametrize("propagates", [False, True])
async def test_the_trace_is_passed_on_only_where_that_is_asked_for(sandbox: Sandbox, told: Told, propagates: bool) -> None:
    from aiohttp import web

    seen: list[dict[str, str]] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append({name.lower(): value for name, value in request.headers.items()})
        return web.json_response({"customers": [{"customerNo": "543210"}], "access_token": "abcdef", "expires_in": 3600})

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    address = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[union-attr]
    auth = ClientCredentials(client_id="one", client_secret="two", identity_url=address)
    try:
        async with ArmClient(1, auth=auth, base_url=address, telemetry=told.telemetry(propagate=propagates)) as arm:
            await arm.customers.get("543210")
    finally:
        await runner.cleanup()
    token, call = seen
    assert "traceparent" not in token
    assert ("traceparent" in call) is propagates
    assert "baggage" not in call
    if propagates:
        span = told.one(GET).context
        assert span is not None
        assert call["traceparent"].split("-")[1:3] == [f"{span.trace_id:032x}", f"{span.span_id:016x}"]


async def test_nothing_is_told_where_it_is_turned_off(sandbox: Sandbox) -> None:
    async with ArmClient(2218, auth=sandbox.token, base_url=sandbox.base_url, telemetry=None) as arm:
        assert arm._context.transport.instrumentation is arm._context.transport.instrumentation
        assert type(arm._context.transport.instrumentation).__name__ == "Instrumentation"
    with pytest.raises(ConfigurationError, match="telemetry"):
        ArmClient(2218, auth="t", base_url="https://h", telemetry=True)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [{"propagate": 1}, {"tracer_provider": object()}, {"meter_provider": "otlp"}])
def test_a_setting_that_makes_no_sense_is_refused_by_its_name(wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(ConfigurationError, match=f"Telemetry.{name}"):
        Telemetry(**wrong)


async def test_a_wait_for_a_batch_has_its_polls_below_it(sandbox: Sandbox, arm: ArmClient, told: Told) -> None:
    sandbox.hold_processing()
    receipt = await arm.customers.create_batch([{"customerNo": "1", "name": "Kari"}])
    result = asyncio.create_task(arm.batches.wait(receipt.batch_uuid, poll_first=0.01))
    while len(told.named("batches.get")) < 2:
        await asyncio.sleep(0.005)
    sandbox.release_processing()
    assert (await result).is_final
    (wait,) = told.tree["batches.wait"]
    assert set(wait) == {"batches.get"}
    assert len(wait["batches.get"]) >= 3


def test_the_span_of_a_thread_is_the_parent_of_what_it_has_done_in_another_one(told: Told) -> None:
    from amili_arm_async.blocking import BlockingClient

    ready, done = threading.Event(), threading.Event()
    address: list[str] = []

    def serve() -> None:
        async def live() -> None:
            async with Sandbox(process_delay=0.0) as sandbox:
                address.extend([sandbox.token, sandbox.base_url])
                ready.set()
                await asyncio.to_thread(done.wait)

        asyncio.run(live())

    thread = threading.Thread(target=serve)
    thread.start()
    ready.wait()
    try:
        token, base_url = address
        with (
            BlockingClient(ArmClient(2218, auth=token, base_url=base_url, telemetry=told.telemetry())) as client,
            told.tracers.get_tracer("host").start_as_current_span("handler"),
        ):
            client.call(lambda arm: arm.customers.list().collect())
            client.create_many("customers", iter([{"customerNo": "1", "name": "Kari"}]))
    finally:
        done.set()
        thread.join()
    (handler,) = told.tree["handler"]
    assert set(handler) == {"customers.list", "bulk customers.create_batch"}


async def test_what_is_suppressed_is_not_told(sandbox: Sandbox, arm: ArmClient, told: Told) -> None:
    from opentelemetry import context

    token = context.attach(context.set_value(context._SUPPRESS_INSTRUMENTATION_KEY, True))
    try:
        with pytest.raises(NotFoundError):
            await arm.customers.get("543210")
        await arm.customers.create_many([{"customerNo": "1", "name": "Kari"}])
    finally:
        context.detach(token)
    assert told.spans == []


async def test_a_span_that_is_not_sampled_costs_nothing_and_has_no_children(sandbox: Sandbox, told: Told) -> None:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

    exporter = InMemorySpanExporter()
    tracers = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    telemetry = Telemetry(tracer_provider=tracers, meter_provider=told.meters)
    async with ArmClient(2218, auth=sandbox.token, base_url=sandbox.base_url, telemetry=telemetry) as arm:
        report = await arm.customers.create_many([{"customerNo": "1", "name": "Kari"}])
    assert report.ok
    assert exporter.get_finished_spans() == ()
    assert told.value("amili_arm.records") == 1
