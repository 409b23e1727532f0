"""Only what is in the table is told: no number of a customer or document, no name, token, address or query, whatever comes in."""

import contextlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from hypothesis import example, given
from hypothesis import strategies as st

from amili_arm_async import ArmClient, ArmError, BulkError, RecordOutcome, Timeout
from amili_arm_async.bulk.outcomes import STATES
from amili_arm_async.config import RetryPolicy
from amili_arm_async.endpoints import IDENTITY, OPERATIONS, unlisted, with_paths
from amili_arm_async.sandbox import Fault, Sandbox
from amili_arm_async.telemetry.table import ATTRIBUTES, METRICS, allowed, code, kind_of, method_of, template_of
from tests.support.operation_calls import CALLS
from tests.support.sandbox_fixtures import quick

from .conftest import Told

SECRETS = ("01019012345", "D7001234", "Nordmann", "Storgata", "hemmelig", "tøken", "543210987", "kari@example")
"""What stands for numbers, names, addresses and tokens; each in every place where the caller or the server may put one."""

KARI = {
    "customerNo": "01019012345",
    "name": "Kari Nordmann",
    "emailAddress": "kari@example.no",
    "postalAddress": {"street": "Storgata 1", "cityName": "Oslo"},
}
INVOICE = {"documentNo": "D7001234", "documentType": "IN", "customerNo": "01019012345", "text": "hemmelig"}


def check(told: Told) -> None:
    """Nothing but what is in the tables, and no secret in it."""
    text = told.everything()
    assert [secret for secret in SECRETS if secret.casefold() in text.casefold()] == []
    assert told.spans
    for span in told.spans:
        assert span.attributes is not None
        assert allowed(span.attributes) == dict(span.attributes)  # type: ignore[arg-type]
        assert re.fullmatch(r"(HTTP|[A-Z]+) /[\w{}./-]*|((bulk|batch|poll) )?[a-z_.]+", span.name)
        assert not span.links
        assert span.status.description is None
        for event in span.events:
            assert event.name == "exception"
            assert set(event.attributes or {}) == {"exception.type"}
    for name, metric in told.metrics().items():
        assert (metric.unit, metric.description) == (METRICS[name].unit, METRICS[name].meaning)
        for point in metric.data.data_points:
            assert set(point.attributes) <= set(METRICS[name].attributes)
            assert allowed(point.attributes) == dict(point.attributes)


class Echo:
    """A server that says back whatever it was told, in every place where it can."""

    def __init__(self) -> None:
        self.status = 200

    async def answer(self, request: web.Request) -> web.Response:
        body = {
            "batchUuid": "Kari Nordmann 01019012345",
            "message": "Kari Nordmann, Storgata 1",
            "status": "01019012345",
            "result": "Nordmann",
            "customers": [KARI],
            "documents": [INVOICE],
            "access_token": "hemmelig",
            "summary": {"nextPage": "/clients/1/customers?name=Nordmann"},
        }
        headers = {"X-Request-Id": "Nordmann-01019012345", "X-Correlation-Id": "D7001234", "Server": "Storgata"}
        return web.json_response(body, status=self.status, headers=headers)


@pytest.fixture
async def echo() -> Any:
    echo = Echo()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", echo.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server: Any = site._server
    echo.address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/Storgata/hemmelig"  # type: ignore[attr-defined]
    yield echo
    await runner.cleanup()


def client(echo: Any, told: Told, **more: Any) -> ArmClient:
    retry = RetryPolicy(attempts=2, base_delay=0.0, max_delay=0.0)
    settings = {"auth": "hemmelig", "user_id": "Nordmann", "retry": retry, "timeout": Timeout(connect=5, read=5), **more}
    return ArmClient(543210987, base_url=echo.address, telemetry=told.telemetry(propagate=True), **settings)


@pytest.mark.parametrize("status", [200, 202, 302, 401, 404, 409, 413, 422, 429, 500, 599])
async def test_every_operation_with_any_answer(echo: Any, told: Told, status: int) -> None:
    echo.status = status
    async with client(echo, told, identity_url=echo.address) as arm:
        for name in sorted(CALLS):
            await attempted(CALLS[name], arm)
    check(told)
    operations = {span.attributes["amili_arm.operation"] for span in told.spans if span.attributes}
    assert len(operations) > 30


async def attempted(call: Callable[[ArmClient], Any], arm: ArmClient) -> None:
    with contextlib.suppress(ArmError):
        await call(arm)


@pytest.mark.parametrize("status", [200, 202, 400, 401, 409, 413, 500])
async def test_runs_with_any_answer(echo: Any, told: Told, tmp_path: Path, status: int) -> None:
    echo.status = status
    options = quick(patience=0.05, deadline=0.05, journal=tmp_path / "Nordmann", run_id="D7001234")
    async with client(echo, told) as arm:
        for run in (
            arm.documents.create_many([INVOICE] * 2, options=options),
            arm.customers.create_many([KARI], options=quick(patience=0.05)),
        ):
            with contextlib.suppress(BulkError):
                await run
        await arm.documents.reconcile(tmp_path / "Nordmann", settle=0.0)
    check(told)


async def test_what_the_caller_makes_of_results_and_sources(sandbox: Sandbox, told: Told) -> None:
    def read(status: int, body: bytes, keys: Any) -> Any:
        return [RecordOutcome(0, key, "failed", "Nordmann 01019012345", "Kari Nordmann") for key in keys]

    def source() -> Any:
        yield KARI
        raise LookupError("Kari Nordmann 01019012345")

    async with ArmClient(
        2218, auth=sandbox.token, base_url=sandbox.base_url, telemetry=told.telemetry(), batch_reader=read, timeout=Timeout(read=5)
    ) as arm:
        await arm.customers.create_many([KARI], options=quick())
        with pytest.raises(BulkError):
            await arm.customers.create_many(source(), options=quick())
        sandbox.inject(Fault.garbage(b"Kari Nordmann 01019012345"), method="POST")
        await attempted(lambda arm: arm.customers.create(KARI), arm)
    check(told)


async def test_any_request_and_paths_of_the_caller(echo: Any, told: Told) -> None:
    paths = {"codes.get": "clients/543210987/codes", "customers.get": "v2/01019012345/{customerno}"}
    async with client(echo, told, paths=paths) as arm:
        for method, path in [
            ("GET", "persons/x/Nordmann"),
            ("PATCH", "/Nordmann"),
            ("GET", "customers/01019012345"),
            ("DELETE", "/clients/543210987/customers/Nordmann/hemmelig"),
            ("NORDMANN", "customers/01019012345"),
            ("GET", "/customers/543210987/D7001234"),
        ]:
            await attempted(lambda arm, method=method, path=path: arm.request(method, path, params={"q": "Nordmann"}), arm)  # type: ignore[misc]
        await attempted(lambda arm: arm.codes.get(), arm)
        await attempted(lambda arm: arm.customers.get("01019012345"), arm)
    check(told)
    assert {span.name for span in told.spans} >= {
        "GET /clients/{...}/codes",
        "GET /v2/{...}/{customerno}",
        "PATCH /{...}",
        "HTTP /clients/{...}/customers/{...}",
    }


@given(
    st.dictionaries(st.sampled_from([*ATTRIBUTES, "name", "amili_arm.records.Nordmann", "url.full"]), st.one_of(st.text(), st.integers()))
)
@example({"server.address": "h", "url.full": "https://h/1"})
def test_what_is_not_in_the_table_is_dropped(attributes: dict[str, str | int]) -> None:
    for name, value in allowed(attributes).items():
        rule = ATTRIBUTES[name]
        assert isinstance(value, int) if rule.values is None else isinstance(value, str)
        assert name not in {"name", "url.full", "amili_arm.records.Nordmann"}
        assert not isinstance(value, str) or not (set(value) & set(" \n@?=&;"))


@given(st.text(), st.text())
def test_a_template_of_any_path_holds_only_words_of_the_table(method: str, path: str) -> None:
    template = template_of(unlisted(method, path))
    words = {part for row in (*OPERATIONS.values(), *IDENTITY.values()) for part in row.path.split("/")}
    assert set(template[1:].split("/")) <= words | {"{...}"}
    assert method_of(unlisted(method, path)) in {"_OTHER", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"}


@given(st.text())
def test_a_code_is_one_short_word(text: str) -> None:
    assert allowed({"error.type": code(text)})


def test_every_operation_has_a_template_that_is_told() -> None:
    for row in with_paths({}).values():
        assert template_of(row) == f"/{row.path}"
        assert allowed(
            {"url.template": template_of(row), "http.request.method": method_of(row), "amili_arm.operation": row.name}
        ).keys() == {
            "url.template",
            "http.request.method",
            "amili_arm.operation",
        }
        assert kind_of(row) in {"customers", "documents", "_OTHER"}


def test_every_state_is_told() -> None:
    for state in STATES:
        assert len(allowed({"amili_arm.record.state": state, f"amili_arm.records.{state}": 1, "error.type": state})) == 3
