"""The client: environment, views, any request, retries, tokens and a session that was brought."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl

import aiohttp
import pytest

from amili_arm_async import (
    STAGING,
    ArmClient,
    AuthenticationError,
    BadRequestError,
    ClientCredentials,
    ConfigurationError,
    Customer,
    Document,
    NotSentError,
    OutcomeUnknownError,
    RateLimitedError,
    RecordError,
    ResponseError,
    RetryPolicy,
    ServerError,
    StatusError,
    UnauthorizedError,
)

pytestmark = pytest.mark.quick

BASE = "https://api.example.no/arm/v1"
ANY = re.compile(".*")
ONE = re.compile(f"^{BASE}")
ENVIRONMENT = {"AMILI_ARM_CLIENT_NO": "2218", "AMILI_ARM_BASE_URL": BASE, "AMILI_ARM_TOKEN": "from-env"}
CREDENTIALS = {"AMILI_ARM_CLIENT_ID": "id", "AMILI_ARM_CLIENT_SECRET": "hunter2", "AMILI_ARM_IDENTITY_URL": "https://auth.example.no"}


# --- the environment ----------------------------------------------------------------------------------------------------------


async def test_a_client_from_the_environment(wire) -> None:
    wire.get(ANY, payload={"customerNo": "7"})
    variables = {**ENVIRONMENT, "AMILI_ARM_USER_ID": "Ola", "AMILI_ARM_LANGUAGE": "no"}
    async with ArmClient.from_env(variables) as arm:
        await arm.customers.get("7")
    assert wire.call.path == "/clients/2218/customers/7"
    assert wire.call.query == {"userid": "Ola"}
    assert (wire.call.headers["Authorization"], wire.call.headers["Accept-Language"]) == ("Bearer from-env", "no")


async def test_the_environment_is_that_of_the_process(monkeypatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    assert ArmClient.from_env().client_no == 2218


async def test_arguments_win_over_the_environment(wire) -> None:
    wire.get(ANY, payload={"customerNo": "7"})
    async with ArmClient.from_env(ENVIRONMENT, client_no=7, auth="mine", language="en") as arm:
        await arm.customers.get("7")
    assert (wire.call.path, wire.call.headers["Authorization"]) == ("/clients/7/customers/7", "Bearer mine")


async def test_credentials_from_the_environment_fetch_a_token(wire) -> None:
    wire.post("https://auth.example.no/token", payload={"access_token": "fresh", "expires_in": 3600})
    wire.get(ONE, payload={"customerNo": "7"})
    variables = {name: value for name, value in ENVIRONMENT.items() if name != "AMILI_ARM_TOKEN"} | CREDENTIALS
    async with ArmClient.from_env(variables) as arm:
        await arm.customers.get("7")
    (token_call,) = wire.requests["POST", aiohttp.client.URL("https://auth.example.no/token")]
    form = dict(parse_qsl(token_call.kwargs["data"].decode()))
    assert form == {"grant_type": "client_credentials", "client_id": "id", "client_secret": "hunter2"}
    assert "Authorization" not in (token_call.kwargs.get("headers") or {})
    (call,) = wire.requests["GET", aiohttp.client.URL(f"{BASE}/clients/2218/customers/7")]
    assert call.kwargs["headers"]["Authorization"] == "Bearer fresh"


@pytest.mark.parametrize("name", sorted(ENVIRONMENT))
def test_what_is_missing_is_named(name) -> None:
    variables = {key: value for key, value in ENVIRONMENT.items() if key != name}
    with pytest.raises(ConfigurationError, match=name):
        ArmClient.from_env(variables)
    with pytest.raises(ConfigurationError, match=name):
        ArmClient.from_env({**variables, name: "  "})


@pytest.mark.parametrize("name", sorted(CREDENTIALS))
def test_what_is_missing_of_the_credentials_is_named(name) -> None:
    variables = {key: value for key, value in {**ENVIRONMENT, **CREDENTIALS}.items() if key not in {name, "AMILI_ARM_TOKEN"}}
    with pytest.raises(ConfigurationError, match=name):
        ArmClient.from_env(variables)


@pytest.mark.parametrize("number", ["abc", "22.18", "-1", "٢²"])
def test_a_client_number_that_is_none_is_named_and_nothing_secret_is(number) -> None:
    with pytest.raises(ConfigurationError, match=r"(?i)client_no") as raised:
        ArmClient.from_env({**ENVIRONMENT, "AMILI_ARM_CLIENT_NO": number})
    assert "from-env" not in str(raised.value)


# --- views ----------------------------------------------------------------------------------------------------------------------


async def test_a_view_asks_for_another_client_over_the_same_connections(wire, arm) -> None:
    wire.get(ANY, payload={"customerNo": "7"}, repeat=True)
    view = arm.for_client(2219)
    await view.customers.get("7")
    await view.aclose()
    await arm.customers.get("7")
    assert [call.path for call in wire.calls] == ["/clients/2219/customers/7", "/clients/2218/customers/7"]
    assert [call.headers["Authorization"] for call in wire.calls] == ["Bearer the-token"] * 2
    assert (view.client_no, arm.client_no) == (2219, 2218)


async def test_a_view_has_the_user_the_language_and_the_words_of_its_client(wire) -> None:
    wire.get(ANY, payload={"customerNo": "7"})
    async with ArmClient(2218, auth="t", base_url=BASE, user_id="Ola", language="no") as arm, arm.for_client(2219) as view:
        await view.customers.get("7")
    assert (wire.call.query, wire.call.headers["Accept-Language"]) == ({"userid": "Ola"}, "no")


@pytest.mark.parametrize("number", [0, "2219", None])
async def test_a_view_is_of_a_client_number(number, arm) -> None:
    with pytest.raises(ConfigurationError, match="client_no"):
        arm.for_client(number)


async def test_a_closed_client_says_so(wire) -> None:
    async with ArmClient(2218, auth="t", base_url=BASE) as arm:
        view = arm.for_client(1)
    for closed in (arm, view):
        with pytest.raises(ConfigurationError, match="closed"):
            await closed.customers.get("7")
    assert wire.calls == []


def test_the_repr_shows_where_and_not_with_what() -> None:
    arm = ArmClient(2218, auth="the-token", base_url=STAGING)
    assert repr(arm) == f"ArmClient(2218, base_url='{STAGING}')"


# --- any request ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "full"),
    [
        ("codes", "/clients/2218/codes"),
        ("aritems/5", "/clients/2218/aritems/5"),
        ("/health", "/health"),
        ("clients/9/codes", "/clients/9/codes"),
        ("a%2Fb", "/clients/2218/a%2Fb"),
    ],
)
async def test_a_path_is_below_the_client_or_below_the_base(path, full, wire, arm) -> None:
    wire.get(ANY, payload=[1])
    assert (await arm.request("get", path)).json() == [1]
    assert (wire.call.method, wire.call.path) == ("GET", full)


@pytest.mark.parametrize(
    "path", ["", "/", "a//b", "../token", "a/../../b", "./a", "a?b=1", "a#b", "a b", "å", "a\\b", "a/", "https://evil.example/x"]
)
async def test_a_path_that_would_lead_elsewhere_is_refused(path, wire, arm) -> None:
    with pytest.raises(ConfigurationError, match="path"):
        await arm.request("GET", path)
    assert wire.calls == []


async def test_json_or_bytes_are_the_body(wire, arm) -> None:
    wire.post(ANY, payload={}, repeat=True)
    await arm.request("POST", "actions", json={"a": [1, None]})
    await arm.request("POST", "actions", body=b'{"b": 2}')
    assert [(call.body, call.content_type) for call in wire.calls] == [
        ({"a": [1, None]}, "application/json"),
        ({"b": 2}, "application/json"),
    ]


async def test_falsy_json_is_a_body_too(wire, arm) -> None:
    wire.post(ANY, payload={})
    await arm.request("POST", "actions", json=[])
    assert wire.call.body == []


async def test_json_and_bytes_together_are_refused(arm) -> None:
    with pytest.raises(ConfigurationError, match="not both"):
        await arm.request("POST", "actions", json={}, body=b"{}")


@pytest.mark.parametrize("value", [float("nan"), {"a": object()}, {"a": [float("inf")]}])
async def test_json_that_cannot_be_sent_is_refused_before_sending(value, wire, arm) -> None:
    with pytest.raises(RecordError):
        await arm.request("POST", "actions", json=value)
    assert wire.calls == []


async def test_the_answer_has_status_headers_request_id_and_body(wire, arm) -> None:
    wire.get(ANY, status=207, body=b'{"a":1.10}', headers={"X-Request-Id": "r-1", "X-Other": "y"})
    response = await arm.request("GET", "files", params={"a": 1, "b": None, "c": True})
    assert (response.status, response.request_id, response.headers["x-other"], response.body) == (207, "r-1", "y", b'{"a":1.10}')
    assert str(response.json()["a"]) == "1.10"
    assert wire.call.query == {"a": "1", "c": "true"}


async def test_no_message_holds_what_may_be_a_persons_number(wire, arm) -> None:
    wire.get(ANY, status=400)
    with pytest.raises(BadRequestError) as raised:
        await arm.request("GET", "somethings/01019921717/parts/01019921717")
    assert "01019921717" not in str(raised.value) + repr(raised.value) + raised.value.operation


# --- trying again -----------------------------------------------------------------------------------------------------------------

RETRY = RetryPolicy(attempts=3, base_delay=1.0, max_delay=10.0)
CUSTOMER, DOCUMENT = Customer(customer_no="7"), Document(document_no="9")


@pytest.fixture
async def stubborn():
    async with ArmClient(2218, auth="the-token", base_url=BASE, retry=RETRY) as client:
        yield client


@pytest.mark.parametrize("status", [500, 502, 503, 504, 408, 429])
async def test_a_read_is_tried_again_and_the_answer_tells_how_often(status, wire, stubborn, fake_clock) -> None:
    wire.get(ANY, status=status)
    wire.get(ANY, status=status)
    wire.get(ANY, payload={})
    assert (await stubborn.request("GET", "codes")).attempts == 3
    assert len(fake_clock.slept) == 2
    assert 0.5 <= fake_clock.slept[0] <= 1.0 <= fake_clock.slept[1] <= 2.0


async def test_tries_end_and_the_last_answer_is_the_error(wire, stubborn, fake_clock) -> None:
    wire.get(ANY, status=503, headers={"Retry-After": "2"}, repeat=True)
    with pytest.raises(ServerError) as raised:
        await stubborn.customers.get("7")
    assert (raised.value.status, raised.value.retry_after, len(wire.calls)) == (503, 2.0, 3)
    assert fake_clock.slept == [2.0, 2.0]


async def test_retry_after_beyond_the_longest_wait_raises_at_once_with_the_value(wire, stubborn, fake_clock) -> None:
    wire.get(ANY, status=429, headers={"Retry-After": "11"})
    with pytest.raises(RateLimitedError) as raised:
        await stubborn.customers.get("7")
    assert (raised.value.retry_after, fake_clock.slept) == (11.0, [])


@pytest.mark.parametrize("status", [400, 403, 404, 406, 413, 422, 301, 302, 303, 307, 308])
async def test_what_would_be_answered_the_same_is_not_tried_again(status, wire, stubborn, fake_clock) -> None:
    wire.get(ANY, status=status, headers={"Location": "https://evil.example"})
    with pytest.raises(StatusError):
        await stubborn.customers.get("7")
    assert len(wire.calls) == 1


@pytest.mark.parametrize("status", [500, 502, 503, 504, 408, 409, 425, 499])
async def test_an_invoice_is_never_sent_again_after_an_ambiguous_answer(status, wire, stubborn, fake_clock) -> None:
    wire.post(ANY, status=status)
    with pytest.raises((StatusError, OutcomeUnknownError)):
        await stubborn.documents.create(DOCUMENT)
    assert len(wire.calls) == 1


async def test_an_invoice_that_was_provably_not_taken_is_sent_again(wire, stubborn, fake_clock) -> None:
    wire.post(ANY, status=429, headers={"Retry-After": "3"})
    wire.post(ANY, payload={})
    await stubborn.documents.create(DOCUMENT)
    assert (len(wire.calls), fake_clock.slept) == (2, [3.0])


@pytest.mark.parametrize("call", [lambda arm: arm.customers.create(CUSTOMER), lambda arm: arm.customers.update(CUSTOMER)])
async def test_a_customer_is_sent_again(call, wire, stubborn, fake_clock) -> None:
    for method in ("POST", "PUT"):
        wire.add(ANY, method=method, status=500)
        wire.add(ANY, method=method, payload={})
    await call(stubborn)
    assert len(wire.calls) == 2


async def test_a_customer_is_not_deleted_again_when_in_doubt(wire, stubborn, fake_clock) -> None:
    wire.delete(ANY, status=500)
    with pytest.raises((StatusError, OutcomeUnknownError)):
        await stubborn.customers.delete("7")
    assert len(wire.calls) == 1


async def test_what_did_not_connect_is_tried_again_and_then_was_not_sent(wire, stubborn, fake_clock) -> None:
    refused = aiohttp.ClientConnectorError(_key(), OSError("refused"))
    wire.post(ANY, exception=refused, repeat=True)
    with pytest.raises(NotSentError):
        await stubborn.documents.create(DOCUMENT)
    assert len(wire.calls) == 3


def _key() -> Any:
    return aiohttp.client_reqrep.ConnectionKey("h", 443, True, True, None, None, None)


async def test_a_call_has_retries_of_its_own(wire, stubborn, fake_clock) -> None:
    wire.get(ANY, status=500, repeat=True)
    with pytest.raises(ServerError):
        await stubborn.customers.get("7", retry=RetryPolicy(attempts=1))
    assert (len(wire.calls), fake_clock.slept) == (1, [])


@pytest.mark.parametrize("body", [b"<html>", b'{"a":', b"\xff"])
async def test_a_success_that_cannot_be_read_is_told_by_what_can_be_done(body, wire, stubborn) -> None:
    wire.post(ANY, body=body, repeat=True)
    with pytest.raises(OutcomeUnknownError):
        await stubborn.documents.create(DOCUMENT)
    with pytest.raises(ResponseError):
        await stubborn.customers.create(CUSTOMER)
    with pytest.raises(OutcomeUnknownError):
        await stubborn.documents.create_batch([DOCUMENT])


# --- tokens -----------------------------------------------------------------------------------------------------------------------


async def test_a_refused_token_is_renewed_once_and_the_call_repeated(wire) -> None:
    tokens = iter(["old", "new"])

    async def fetch() -> str:
        return next(tokens)

    wire.post(ANY, status=401)
    wire.post(ANY, payload={})
    async with ArmClient(2218, auth=fetch, base_url=BASE, retry=RetryPolicy(attempts=1)) as arm:
        await arm.documents.create(DOCUMENT)
    assert [call.headers["Authorization"] for call in wire.calls] == ["Bearer old", "Bearer new"]


async def test_a_fresh_token_that_is_refused_too_is_an_error(wire) -> None:
    count = iter(range(99))

    async def fetch() -> str:
        return f"token-{next(count)}"

    wire.get(ANY, status=401, repeat=True)
    async with ArmClient(2218, auth=fetch, base_url=BASE) as arm:
        with pytest.raises(UnauthorizedError) as raised:
            await arm.customers.get("7")
    assert len(wire.calls) == 2
    assert "token-" not in str(raised.value)


async def test_a_token_of_ones_own_that_is_refused_is_not_sent_again(wire, arm) -> None:
    wire.get(ANY, status=401, repeat=True)
    with pytest.raises(UnauthorizedError):
        await arm.customers.get("7")
    assert len(wire.calls) == 1


async def test_without_a_token_nothing_is_sent_and_the_cause_is_chained(wire) -> None:
    async def fetch() -> str:
        raise ZeroDivisionError

    async with ArmClient(2218, auth=fetch, base_url=BASE) as arm:
        with pytest.raises(AuthenticationError) as raised:
            await arm.customers.get("7")
    assert isinstance(raised.value.__cause__, ZeroDivisionError)
    assert wire.calls == []


@pytest.mark.parametrize("status", [400, 401, 403])
async def test_a_refusal_of_the_identity_service_keeps_no_body(status, wire) -> None:
    wire.post("https://auth.example.no/token", status=status, payload={"client_secret": "hunter2"}, repeat=True)
    auth = ClientCredentials(client_id="id", client_secret="hunter2", identity_url="https://auth.example.no")
    async with ArmClient(2218, auth=auth, base_url=BASE) as arm:
        with pytest.raises(AuthenticationError) as raised:
            await arm.customers.get("7")
    cause = raised.value.__cause__
    assert isinstance(cause, StatusError)
    assert (raised.value.status, cause.status, cause.body) == (status, status, None)
    assert len(wire.requests) == 1


# --- a session that was brought -----------------------------------------------------------------------------------------------------


async def test_a_session_that_was_brought_is_used_and_left_open(wire) -> None:
    wire.get(ANY, payload={"customerNo": "7"})
    async with aiohttp.ClientSession(raise_for_status=True, headers={"X-Mine": "1"}) as session:
        async with ArmClient(2218, auth="t", base_url=BASE, session=session) as arm:
            await arm.customers.get("7")
        assert not session.closed
    assert len(wire.calls) == 1


async def test_a_session_that_was_brought_has_its_own_certificates_and_proxy() -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(ConfigurationError, match="proxy"):
            ArmClient(2218, auth="t", base_url=BASE, session=session, proxy="http://127.0.0.1:1")


async def test_a_proxy_of_the_client_is_used_for_every_call(wire) -> None:
    wire.get(ANY, payload={"customerNo": "7"})
    async with ArmClient(2218, auth="t", base_url=BASE, proxy="http://127.0.0.1:3128") as arm:
        await arm.customers.get("7")
    assert wire.call.options["proxy"] == "http://127.0.0.1:3128"
