"""The operations beside customers, documents and batches: method, address, query, headers and body, and what they give."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest

from amili_arm_async import (
    ArItem,
    ArmClient,
    AutoPostingReply,
    ClientCredentials,
    ConfigurationError,
    FileContent,
    GlItem,
    JsonRecord,
    NotFoundError,
    OutcomeUnknownError,
    Pager,
    PaymentReservation,
    RecordError,
    Reply,
    Response,
    ResponseError,
    RetryPolicy,
    StatusError,
    TruncatedListError,
    UploadReply,
)

pytestmark = pytest.mark.quick

BASE = "https://api.example.no/arm/v1"
ANY = re.compile(".*")
PATH = "/clients/2218"
QUICK = RetryPolicy(attempts=5, base_delay=0.001, max_delay=0.001)
BODY = {"reference": "R 1", "lines": [{"amount": 10}]}


@dataclass(frozen=True)
class Operation:
    """One call, and the request it makes."""

    name: str
    call: Callable[[ArmClient], Awaitable[Any]]
    method: str
    path: str
    gives: type
    body: Any = None
    query: dict[str, str] = field(default_factory=dict)
    user: bool = False
    answer: Any = field(default_factory=lambda: {"some": "thing", "list": [{"id": 1}]})


def listed(name: str, items: str, path: str, cls: type = JsonRecord) -> Operation:
    section, _, method = name.partition(".")

    async def call(arm: ArmClient) -> Any:
        (only,) = await getattr(getattr(arm, section), method)(parameters={"x": "y"}).collect()
        return only

    return Operation(name, call, "GET", PATH + path, cls, query={"x": "y"}, user=True, answer={"summary": {}, items: [{"id": 1}]})


OPERATIONS = [
    Operation("actions.create", lambda arm: arm.actions.create(BODY), "POST", f"{PATH}/actions", Reply, BODY, user=True),
    Operation(
        "actions.create_report", lambda arm: arm.actions.create_report(BODY), "POST", f"{PATH}/actions/reports", Reply, BODY, user=True
    ),
    listed("ar_items.list", "arItems", "/aritems", ArItem),
    Operation(
        "ar_items.get",
        lambda arm: arm.ar_items.get(77, expand="all"),
        "GET",
        f"{PATH}/aritems/77",
        ArItem,
        query={"expand": "all"},
        user=True,
    ),
    Operation("ar_items.update", lambda arm: arm.ar_items.update(BODY), "PUT", f"{PATH}/aritems", Reply, BODY),
    Operation(
        "auto_postings.create",
        lambda arm: arm.auto_postings.create("payment/x", [BODY]),
        "POST",
        f"{PATH}/autopostings/payment%2Fx",
        AutoPostingReply,
        [BODY],
        user=True,
    ),
    listed("client_configs.list", "clientConfigs", "/clientconfigs"),
    Operation("client_configs.get", lambda arm: arm.client_configs.get("k"), "GET", f"{PATH}/clientconfigs/k", Reply),
    Operation("codes.get", lambda arm: arm.codes.get(parameters={"a": 1}), "GET", f"{PATH}/codes", Reply, query={"a": "1"}),
    listed("document_bundles.list", "documentBundles", "/documentbundles"),
    Operation("document_bundles.get", lambda arm: arm.document_bundles.get(3), "GET", f"{PATH}/documentbundles/3", Reply),
    listed("files.list", "files", "/files"),
    Operation("files.upload", lambda arm: arm.files.upload(BODY), "POST", f"{PATH}/files", UploadReply, BODY, user=True),
    Operation("files.get", lambda arm: arm.files.get("f 1"), "GET", f"{PATH}/files/f%201", Response),
    Operation("gl_items.get", lambda arm: arm.gl_items.get(5), "GET", f"{PATH}/glitems/5", GlItem),
    listed("gl_items.list", "glItems", "/glitems", GlItem),
    Operation("gl_movements.latest_closed", lambda arm: arm.gl_movements.latest_closed(), "GET", f"{PATH}/glmovements/latestclosed", Reply),
    listed("gl_movements.list", "glMovements", "/glmovements"),
    listed("insights.adb_intervals", "whatever", "/insights/adbintervals"),
    Operation("log_items.get", lambda arm: arm.log_items.get(9), "GET", f"{PATH}/logitems/9", Reply),
    listed("log_items.list", "logItems", "/logitems"),
    Operation(
        "payment_reservations.create",
        lambda arm: arm.payment_reservations.create(PaymentReservation(payment_id="P1", kid="123", more={"amount": Decimal("1.50")})),
        "POST",
        f"{PATH}/paymentreservations",
        Reply,
        {"amount": 1.5, "paymentId": "P1", "kid": "123"},
        user=True,
    ),
    Operation("health.check", lambda arm: arm.health.check(), "GET", "/health", Reply),
]
WRITES = [one for one in OPERATIONS if one.body is not None]
LISTS = [one for one in OPERATIONS if one.name.endswith(("list", "adb_intervals"))]


def name_of(operation: Operation) -> str:
    return operation.name


@pytest.mark.parametrize("operation", OPERATIONS, ids=name_of)
async def test_the_request_of_each_operation_and_what_it_gives(operation, wire, arm) -> None:
    wire.add(ANY, method=operation.method, payload=operation.answer)
    given = await operation.call(arm)
    call = wire.call
    assert (call.method, call.path, call.query, call.body) == (operation.method, operation.path, operation.query, operation.body)
    assert call.headers == {
        "Authorization": "Bearer the-token",
        "Accept": "*/*" if operation.name == "files.get" else "application/json",
    }
    assert call.options["allow_redirects"] is False
    assert type(given) is operation.gives


def test_no_operation_is_left_out(arm) -> None:
    sections = {name for name in vars(arm) if not name.startswith("_")} - {"customers", "documents", "batches", "identity"}
    named = {f"{section}.{name}" for section in sections for name in dir(getattr(arm, section)) if not name.startswith("_")}
    assert named == {operation.name for operation in OPERATIONS}


@pytest.mark.parametrize("operation", OPERATIONS, ids=name_of)
async def test_the_clients_user_is_named_where_it_is_usual(operation, wire) -> None:
    wire.add(ANY, method=operation.method, payload=operation.answer)
    async with ArmClient(2218, auth="t", base_url=BASE, user_id="Ola") as arm:
        await operation.call(arm)
    assert wire.call.query == {**operation.query, **({"userid": "Ola"} if operation.user else {})}


async def test_the_page_of_ar_item_updates_shows_no_query_so_the_user_is_only_named_where_it_is_given(wire, arm) -> None:
    wire.put(ANY, payload={})
    await arm.ar_items.update(BODY, user_id="Kari")
    assert wire.call.query == {"userid": "Kari"}


# --- what is sent ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", WRITES, ids=name_of)
@pytest.mark.parametrize("status", [500, 503, 408, 409])
async def test_no_write_is_repeated_in_doubt(operation, status, wire) -> None:
    wire.add(ANY, method=operation.method, status=status, repeat=True)
    async with ArmClient(2218, auth="t", base_url=BASE, retry=QUICK) as arm:
        with pytest.raises(OutcomeUnknownError) as caught:
            await operation.call(arm)
    assert isinstance(caught.value, StatusError)
    assert len(wire.calls) == 1


@pytest.mark.parametrize("operation", WRITES, ids=name_of)
@pytest.mark.parametrize("body", [b"<html>", b'{"a":', b"\xff", b"[1]]"])
async def test_a_success_that_can_not_be_read_is_no_success(operation, body, wire) -> None:
    wire.add(ANY, method=operation.method, body=body, repeat=True)
    async with ArmClient(2218, auth="t", base_url=BASE, retry=QUICK) as arm:
        with pytest.raises(OutcomeUnknownError, match="can't be read"):
            await operation.call(arm)
    assert len(wire.calls) == 1


WRITERS: list[Callable[[ArmClient, Any], Awaitable[Any]]] = [
    lambda arm, body: arm.actions.create(body),
    lambda arm, body: arm.actions.create_report(body),
    lambda arm, body: arm.ar_items.update(body),
    lambda arm, body: arm.auto_postings.create("m", body),
    lambda arm, body: arm.files.upload(body),
]


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("body", [{}, [], "text", 7, None, {1, 2}])
async def test_what_is_empty_or_no_body_is_refused_before_anything_is_sent(writer, body, wire, arm) -> None:
    with pytest.raises(ConfigurationError, match="sends"):
        await writer(arm, body)
    assert wire.calls == []


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("body", [b"", b"{", b"\xff", {"a": float("nan")}, {"a": object()}, [{"a": Decimal("Infinity")}]])
async def test_what_json_can_not_say_is_refused_before_anything_is_sent(writer, body, wire, arm) -> None:
    with pytest.raises(RecordError, match=r"\$"):
        await writer(arm, body)
    assert wire.calls == []


async def test_bytes_go_out_as_they_are(wire, arm) -> None:
    wire.post(ANY, payload={})
    await arm.actions.create(b'{"a": 1.10}')
    assert wire.calls[0].options["data"].decode() == '{"a": 1.10}'


async def test_a_record_that_came_back_can_be_sent_as_it_is(wire, arm) -> None:
    wire.get(ANY, payload={"arItemId": 7, "amount": 10, "note": None})
    wire.put(ANY, payload={})
    await arm.ar_items.update(await arm.ar_items.get(7))
    assert wire.calls[1].body == {"arItemId": 7, "amount": 10, "note": None}


@pytest.mark.parametrize(
    ("reservation", "missing"),
    [
        ({"kid": "1"}, "paymentId"),
        ({"paymentId": " ", "kid": "1"}, "paymentId"),
        ({"paymentId": "P"}, "no document and no customer"),
        ({}, "paymentId"),
        (b'{"paymentId": "P"}', "no document and no customer"),
        (PaymentReservation(payment_id="", kid="1"), "paymentId"),
    ],
)
async def test_a_reservation_needs_a_payment_id_and_whom_it_is_for(reservation, missing, wire, arm) -> None:
    with pytest.raises(RecordError, match=missing):
        await arm.payment_reservations.create(reservation)
    assert wire.calls == []


async def test_a_reservation_may_be_laid_out_otherwise(wire, arm) -> None:
    wire.post(ANY, payload={})
    await arm.payment_reservations.create({"reservations": [{"paymentId": "P", "document": {"documentNo": "9"}}]})
    assert len(wire.calls) == 1


# --- what comes back --------------------------------------------------------------------------------------------------------------


async def test_a_reply_is_a_mapping_with_the_status_and_the_request_id(wire, arm) -> None:
    wire.get(ANY, body=b'{"a": 1.10, "b": [1]}', headers={"X-Request-Id": "r1"})
    reply = await arm.codes.get()
    assert dict(reply) == {"a": Decimal("1.10"), "b": [1]}
    assert (reply.http_status, reply.request_id) == (200, "r1")
    assert repr(reply) == "<Reply http_status=200 request_id='r1' (2 fields; show() to see them)>"


@pytest.mark.parametrize(("body", "value"), [(b"[1, 2]", [1, 2]), (b"", None), (b'"x"', "x"), (b"7", 7)])
async def test_a_reply_that_is_no_object_has_its_value(body, value, wire, arm) -> None:
    wire.get(ANY, body=body)
    reply = await arm.codes.get()
    assert reply.value == value
    assert dict(reply) == {}


async def test_a_read_that_can_not_be_read_may_be_tried_again(wire, arm) -> None:
    wire.get(ANY, body=b"<html>")
    with pytest.raises(ResponseError, match="can't be read"):
        await arm.codes.get()


@pytest.mark.parametrize("body", [b"[]", b"{", b"7", b"", b"null", b"\xff"])
async def test_an_item_that_is_none_is_an_error(body, wire, arm) -> None:
    wire.get(ANY, body=body)
    with pytest.raises(ResponseError):
        await arm.gl_items.get(1)


@pytest.mark.parametrize(
    "answer", [{"glItemId": 1, "amount": 5}, {"glItem": {"glItemId": 1, "amount": 5}}, {"glItems": [{"glItemId": 1, "amount": 5}]}]
)
async def test_an_item_may_be_wrapped(answer, wire, arm) -> None:
    wire.get(ANY, payload=answer)
    assert dict(await arm.gl_items.get(1)) == {"glItemId": 1, "amount": Decimal(5)}


async def test_a_file_is_given_as_it_came(wire, arm) -> None:
    wire.get(ANY, body=b"%PDF\xff\x00", content_type="application/pdf")
    response = await arm.files.get("f")
    assert (response.body, response.headers["content-type"]) == (b"%PDF\xff\x00", "application/pdf")


async def test_a_multi_status_tells_of_each_file(wire, arm) -> None:
    wire.post(ANY, status=207, payload={"message": "some", "results": [{"fileName": "a", "status": 200}, {"fileName": "b", "status": 422}]})
    reply = await arm.files.upload(BODY)
    assert reply.is_multi_status
    assert [dict(one) for one in reply.files] == [{"fileName": "a", "status": 200}, {"fileName": "b", "status": 422}]


@pytest.mark.parametrize("answer", [{}, {"files": []}, {"names": ["a"]}, []])
async def test_an_upload_whose_answer_tells_of_no_file_has_none(answer, wire, arm) -> None:
    wire.post(ANY, payload=answer)
    reply = await arm.files.upload(BODY)
    assert (reply.is_multi_status, reply.files) == (False, [])


async def test_a_rejected_batch_of_auto_postings_is_seen(wire, arm) -> None:
    good, bad = {"id": 1, "resultType": "BATCH-REJECTED"}, {"id": 2, "resultType": "Failed", "inner": {"x": 1}}
    wire.post(ANY, payload={"result": "FAILED", "autoPostings": [good, bad]})
    reply = await arm.auto_postings.create("m", [BODY, BODY])
    assert reply.is_rejected
    assert [one["id"] for one in reply.batch_rejected] == [1]
    assert [one["id"] for one in reply.postings] == [1, 2]
    assert not reply.validate_only


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"validateOnly": True}, True),
        ([{"a": 1}, {"options": ["x", "validateOnly"]}], True),
        ({"a": {"option": "validateonly"}}, True),
        (b'[{"options": "validateOnly"}]', True),
        ({"validateOnly": False}, False),
        ({"validateOnly": None}, False),
        ({"text": "please validateOnly this"}, False),
    ],
)
async def test_that_postings_were_only_validated_is_seen(body, said, wire, arm) -> None:
    wire.post(ANY, payload={"result": "SUCCESS"})
    reply = await arm.auto_postings.create("m", body)
    assert (reply.validate_only, reply.is_rejected) == (said, False)


def test_debit_credit_open_and_closed_are_as_the_page_defines_them() -> None:
    item = ArItem({"amount": 10, "itemBalance": Decimal("0.00"), "note": "x", "text": "-1.5", "flag": True, "odd": "NaN"})
    assert (item.side("amount"), item.side("text"), item.side("itemBalance")) == ("debit", "credit", None)
    assert (item.state("amount"), item.state("itemBalance")) == ("open", "closed")
    for name in ("note", "flag", "odd"):
        with pytest.raises(ValueError, match=name):
            item.side(name)
    with pytest.raises(KeyError):
        item.state("nothing")


def test_money_is_decimal_at_every_depth_and_other_numbers_stay_as_they_are() -> None:
    item = GlItem({"itemAmount": 5, "id": 7, "vatLiable": True, "lines": [{"exclVat": 4, "price": Decimal("1.1"), "count": 2}]})
    lines = item["lines"][0]
    assert [type(value) for value in (item["itemAmount"], item["id"], item["vatLiable"])] == [Decimal, int, bool]
    assert [type(lines[name]) for name in ("exclVat", "price", "count")] == [Decimal, Decimal, int]


def test_records_are_equal_by_what_they_hold_and_show_nothing_of_it() -> None:
    record = JsonRecord({"name": "Owe Armstrong"})
    assert record == JsonRecord({"name": "Owe Armstrong"}) == {"name": "Owe Armstrong"}
    assert record != JsonRecord({})
    assert record != 7
    assert (repr(record), repr(JsonRecord(["Owe"]))) == ("<JsonRecord (1 field; show() to see it)>", "<JsonRecord (no fields)>")
    assert "Owe" not in repr(PaymentReservation(payment_id="1", customer_no="Owe", more={"a": "Owe"}))


# --- lists ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", LISTS, ids=name_of)
async def test_a_list_is_walked_by_its_links(operation, wire, arm) -> None:
    section, _, method = operation.name.partition(".")
    items = next(name for name in operation.answer if name != "summary")
    wire.get(ANY, payload={"summary": {"nextPage": "https://elsewhere.no/x?query=Q&pageno=2"}, items: [{"id": 1}]})
    wire.get(ANY, payload={"summary": {"nextPage": ""}, items: [{"id": 2}, "odd"]})
    pager: Pager[Any] = getattr(getattr(arm, section), method)(page_size=5)
    assert [record.value for record in await pager.collect()] == [{"id": 1}, {"id": 2}, "odd"]
    assert [call.query for call in wire.calls] == [{"pagesize": "5"}, {"query": "Q", "pageno": "2"}]
    assert {call.path for call in wire.calls} == {operation.path}


@pytest.mark.parametrize(
    ("answer", "records"),
    [
        ([{"id": 1}], [{"id": 1}]),
        ({"things": [{"id": 1}]}, [{"id": 1}]),
        ({"summary": {}}, []),
        ({"logItems": None}, []),
        ({"logItems": [], "others": [{"id": 1}]}, []),
    ],
)
async def test_a_list_whose_shape_no_page_shows_may_have_any(answer, records, wire, arm) -> None:
    wire.get(ANY, payload=answer)
    assert [record.value for record in await arm.log_items.list().collect()] == records


@pytest.mark.parametrize("answer", [{}, {"error": "x"}, {"a": [1], "b": [2]}, {"logItems": {"id": 1}}, 7, "x", None])
async def test_what_holds_no_list_is_no_list(answer, wire, arm) -> None:
    wire.get(ANY, payload=answer)
    with pytest.raises(ResponseError, match="can't be read"):
        await arm.log_items.list().collect()


async def test_the_caps_are_those_of_the_own_endpoint(wire, arm) -> None:
    wire.get(ANY, payload={"summary": {"totalCount": 10_000}, "arItems": []})
    with pytest.raises(TruncatedListError):
        await arm.ar_items.list().collect()
    wire.get(ANY, payload={"summary": {"totalCount": 10_000}, "logItems": []})
    assert await arm.log_items.list(page_size=5000, maximum_count=50_000).collect() == []
    for call in (lambda: arm.gl_items.list(page_size=1001), lambda: arm.ar_items.list(maximum_count=10_001)):
        with pytest.raises(ConfigurationError):
            call()
    with pytest.raises(ConfigurationError, match="10 for anything below 5"):
        arm.log_items.list(page_size=4)
    with pytest.raises(TypeError):
        arm.log_items.list(pagesize=5)


# --- paths of the caller's own, and the hint ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [404, 405])
async def test_a_404_on_an_inferred_path_says_so_and_how_to_set_it(status, wire, arm) -> None:
    wire.get(ANY, status=status)
    with pytest.raises(StatusError, match=r"inferred; .*ArmClient\(paths=\{'codes.get': ...\}\)"):
        await arm.codes.get()


async def test_a_404_on_a_path_that_was_given_or_is_documented_says_nothing_of_that(wire, arm) -> None:
    wire.get(ANY, status=404, repeat=True)
    with pytest.raises(NotFoundError) as documented:
        await arm.ar_items.get(1)
    async with ArmClient(2218, auth="t", base_url=BASE, paths={"codes.get": "clients/{clientno}/systemcodes"}) as other:
        with pytest.raises(NotFoundError) as given:
            await other.codes.get()
    assert "inferred" not in str(documented.value) + str(given.value)
    assert wire.calls[-1].path == "/clients/2218/systemcodes"


async def test_a_view_keeps_the_paths(wire) -> None:
    wire.post(ANY, payload={})
    async with ArmClient(2218, auth="t", base_url=BASE, paths={"codes.get": "POST clients/{clientno}/codes"}) as arm:
        await arm.for_client(7).codes.get()
    assert (wire.call.method, wire.call.path) == ("POST", "/clients/7/codes")


# --- the identity service -------------------------------------------------------------------------------------------------------------


IDENTITY = "https://auth.example.no"


async def test_the_identity_service_gets_what_it_is_given_and_never_the_clients_token(wire_anywhere) -> None:
    for path in ("refresh", "verify"):
        wire_anywhere.post(f"{IDENTITY}/{path}", payload={"active": True})
    wire_anywhere.get(f"{IDENTITY}/health", payload={"status": "OK"})
    async with ArmClient(2218, auth="the-token", base_url=BASE, identity_url=f"{IDENTITY}/") as arm:
        assert (await arm.identity.refresh({"refresh_token": "a b&c"}))["active"] is True
        assert (await arm.identity.verify({"token": "t"})).http_status == 200
        assert (await arm.for_client(3).identity.health())["status"] == "OK"
    made = [kwargs for calls in wire_anywhere.requests.values() for kwargs in (one.kwargs for one in calls)]
    assert [one["data"].decode() if one["data"] is not None else None for one in made] == ["refresh_token=a+b%26c", "token=t", None]
    assert made[0]["data"].content_type == "application/x-www-form-urlencoded"
    assert all("Authorization" not in one["headers"] for one in made)


async def test_a_token_by_name(wire_anywhere) -> None:
    wire_anywhere.post(f"{IDENTITY}/token", payload={"access_token": "abc", "token_type": "Bearer", "expires_in": 3600, "new": 1})
    wire_anywhere.post(f"{IDENTITY}/token", body="<html>")
    auth = ClientCredentials(client_id="id", client_secret="secret", identity_url=IDENTITY)
    async with ArmClient(2218, auth=auth, base_url=BASE) as arm:
        token = await arm.identity.token()
        with pytest.raises(ResponseError):
            await arm.identity.token(auth)
    assert (token.access_token, token.expires_in) == ("abc", 3600)
    assert "abc" not in repr(token)


async def test_the_words_of_the_identity_service_are_not_kept(wire_anywhere) -> None:
    wire_anywhere.post(f"{IDENTITY}/verify", status=400, payload={"token": "the-secret-token"})
    async with ArmClient(2218, auth="t", base_url=BASE, identity_url=IDENTITY) as arm:
        with pytest.raises(StatusError) as caught:
            await arm.identity.verify({"token": "the-secret-token"})
    assert caught.value.body is None


async def test_without_an_identity_service_nothing_is_sent(wire, arm) -> None:
    for call in (arm.identity.token(), arm.identity.health(), arm.identity.refresh({})):
        with pytest.raises(ConfigurationError, match=r"credentials|ClientCredentials"):
            await call
    async with ArmClient(1, auth="t", base_url=BASE, identity_url=IDENTITY) as other:
        with pytest.raises(ConfigurationError, match="a mapping of texts"):
            await other.identity.refresh({"token": 7})  # type: ignore[dict-item]
    assert wire.calls == []


async def test_a_file_stands_in_the_body_as_base64(wire, arm, tmp_path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(b"\x00\xff" * 5)
    wire.post(ANY, payload={})
    body = {"files": [{"name": "æ", "content": FileContent(path)}, {"content": FileContent(b"abc")}, {"content": FileContent(b"")}]}
    await arm.files.upload(body)
    pieces = wire.requests[next(iter(wire.requests))][0].kwargs["data"]
    assert pieces.size == len('{"files":[{"name":"æ","content":"AP8A/wD/AP8A/w=="},{"content":"YWJj"},{"content":""}]}'.encode())
