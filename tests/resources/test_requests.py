"""Each operation of the face: method, address, query, headers and body."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from amili_arm_async import ArmClient, BatchResult, BulkOptions, Customer, Document, NotFoundError, Timeout

BASE = "https://api.example.no/arm/v1"
ANY = re.compile(".*")
RECEIPT = {"status": "PROCESSED", "result": "SUCCESS"}
ACCEPTED = {"status": "NOT-PROCESSED", "result": "PENDING", "batchUuid": "8NlwdOIM1YLVFP9-WOwkYQ"}
CUSTOMER = Customer(customer_no="7", name="Owe")
DOCUMENT = Document(document_no="9", customer_no="7")
AT_ONCE = BulkOptions(results="accepted")
PROCESSED = {"status": "PROCESSED", "result": "SUCCESS"}


@dataclass(frozen=True)
class Operation:
    """One call of the face, and the request it makes."""

    name: str
    call: Callable[[ArmClient], Awaitable[Any]]
    method: str
    path: str
    answer: dict[str, Any]
    query: dict[str, str] = field(default_factory=dict)
    body: Any = None
    status: int = 200


async def _everything(results: Any) -> list[Any]:
    async with results as entered:
        return [result async for result in entered]


PATH = "/clients/2218"
WIRE_CUSTOMER, WIRE_DOCUMENT = {"customerNo": "7", "name": "Owe"}, {"documentNo": "9", "customerNo": "7"}
CUSTOMERS, DOCUMENTS = {"customers": [WIRE_CUSTOMER]}, {"documents": [WIRE_DOCUMENT]}
PAGE = {"summary": {"pageNo": 1, "totalPages": 1, "totalCount": 1}}

OPERATIONS = [
    Operation("customers.create", lambda arm: arm.customers.create(CUSTOMER), "POST", f"{PATH}/customers", RECEIPT, body=WIRE_CUSTOMER),
    Operation("customers.update", lambda arm: arm.customers.update(CUSTOMER), "PUT", f"{PATH}/customers", RECEIPT, body=WIRE_CUSTOMER),
    Operation("customers.get", lambda arm: arm.customers.get("7"), "GET", f"{PATH}/customers/7", WIRE_CUSTOMER),
    Operation("customers.delete", lambda arm: arm.customers.delete("7"), "DELETE", f"{PATH}/customers/7", RECEIPT),
    Operation("customers.list", lambda arm: arm.customers.list().collect(), "GET", f"{PATH}/customers", {**PAGE, **CUSTOMERS}),
    Operation("customers.get_many", lambda arm: _everything(arm.customers.get_many(["7"])), "GET", f"{PATH}/customers/7", WIRE_CUSTOMER),
    Operation(
        "customers.create_batch",
        lambda arm: arm.customers.create_batch([CUSTOMER]),
        "POST",
        f"{PATH}/customers/batches",
        ACCEPTED,
        body=CUSTOMERS,
        status=202,
    ),
    Operation(
        "customers.update_batch",
        lambda arm: arm.customers.update_batch([CUSTOMER]),
        "PUT",
        f"{PATH}/customers/batches",
        ACCEPTED,
        body=CUSTOMERS,
        status=202,
    ),
    Operation(
        "customers.create_many",
        lambda arm: arm.customers.create_many([CUSTOMER], options=AT_ONCE),
        "POST",
        f"{PATH}/customers/batches",
        ACCEPTED,
        body=CUSTOMERS,
        status=202,
    ),
    Operation(
        "customers.update_many",
        lambda arm: arm.customers.update_many([CUSTOMER], options=AT_ONCE),
        "PUT",
        f"{PATH}/customers/batches",
        ACCEPTED,
        body=CUSTOMERS,
        status=202,
    ),
    Operation("documents.create", lambda arm: arm.documents.create(DOCUMENT), "POST", f"{PATH}/documents", RECEIPT, body=WIRE_DOCUMENT),
    Operation("documents.get", lambda arm: arm.documents.get("9"), "GET", f"{PATH}/documents/9", WIRE_DOCUMENT),
    Operation("documents.list", lambda arm: arm.documents.list().collect(), "GET", f"{PATH}/documents", {**PAGE, **DOCUMENTS}),
    Operation(
        "documents.create_batch",
        lambda arm: arm.documents.create_batch([DOCUMENT]),
        "POST",
        f"{PATH}/documents/batches",
        ACCEPTED,
        body=DOCUMENTS,
        status=202,
    ),
    Operation(
        "documents.create_many",
        lambda arm: arm.documents.create_many([DOCUMENT], options=AT_ONCE),
        "POST",
        f"{PATH}/documents/batches",
        ACCEPTED,
        body=DOCUMENTS,
        status=202,
    ),
    Operation("batches.get", lambda arm: arm.batches.get("8N-_"), "GET", f"{PATH}/batches/8N-_", PROCESSED),
    Operation("batches.wait", lambda arm: arm.batches.wait("8N-_"), "GET", f"{PATH}/batches/8N-_", PROCESSED),
    Operation("batches.wait_many", lambda arm: _everything(arm.batches.wait_many(["8N-_"])), "GET", f"{PATH}/batches/8N-_", PROCESSED),
    Operation(
        "request", lambda arm: arm.request("GET", "codes", params={"userid": "x"}), "GET", f"{PATH}/codes", {}, query={"userid": "x"}
    ),
]
WRITES = [one for one in OPERATIONS if one.method != "GET"]
BATCHES = [one for one in WRITES if one.status == 202]
READS = [one for one in OPERATIONS if one.method == "GET"]


def name_of(operation: Operation) -> str:
    return operation.name


@pytest.mark.parametrize("operation", OPERATIONS, ids=name_of)
async def test_the_request_of_each_operation(operation, wire, arm) -> None:
    wire.add(ANY, method=operation.method, status=operation.status, payload=operation.answer)
    await operation.call(arm)
    call = wire.call
    assert (call.method, call.path, call.query, call.body) == (operation.method, operation.path, operation.query, operation.body)
    assert call.headers == {"Authorization": "Bearer the-token", "Accept": "application/json"}
    assert call.content_type == ("application/json" if operation.body is not None else None)
    assert call.options["allow_redirects"] is False
    assert call.options["raise_for_status"] is False


def test_no_operation_of_the_face_is_left_out(arm) -> None:
    named = {
        f"{room}.{name}" for room in ("customers", "documents", "batches") for name in dir(getattr(arm, room)) if not name.startswith("_")
    }
    # What is no operation of the API: it uses several of them, or none.
    named -= {"documents.reconcile", "documents.check", "customers.check", "customers.sync", "documents.shared_run"}
    assert named | {"request"} == {operation.name for operation in OPERATIONS}


@pytest.mark.parametrize("operation", OPERATIONS, ids=name_of)
async def test_names_in_addresses_are_lower_case(operation, wire, arm) -> None:
    wire.add(ANY, method=operation.method, status=operation.status, payload=operation.answer)
    await operation.call(arm)
    assert wire.call.path.removesuffix("/8N-_").islower()
    assert all(name.islower() for name in wire.call.query)


# --- who asks, and in which language ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", OPERATIONS, ids=name_of)
async def test_the_clients_user_is_named_where_the_api_has_a_place_for_it(operation, wire) -> None:
    wire.add(ANY, method=operation.method, status=operation.status, payload=operation.answer)
    async with ArmClient(2218, auth="t", base_url=BASE, user_id="Ola") as arm:
        await operation.call(arm)
    if operation in BATCHES:
        assert (wire.call.query, wire.call.body["metadata"]) == ({}, {"userId": "Ola"})
    elif operation.name.startswith("batches.") or operation.name == "request":
        assert wire.call.query == operation.query
    else:
        assert wire.call.query == {"userid": "Ola"}


@pytest.mark.parametrize("operation", READS, ids=name_of)
async def test_the_clients_language_is_asked_for_in_reads(operation, wire) -> None:
    wire.add(ANY, method=operation.method, status=operation.status, payload=operation.answer)
    async with ArmClient(2218, auth="t", base_url=BASE, language="no") as arm:
        await operation.call(arm)
    assert wire.call.headers["Accept-Language"] == "no"


USER_CALLS: list[Callable[[ArmClient], Awaitable[Any]]] = [
    lambda arm: arm.customers.create(CUSTOMER, user_id="Kari"),
    lambda arm: arm.customers.update(CUSTOMER, user_id="Kari"),
    lambda arm: arm.customers.get("7", user_id="Kari"),
    lambda arm: arm.customers.delete("7", user_id="Kari"),
    lambda arm: arm.customers.list(user_id="Kari").collect(),
    lambda arm: _everything(arm.customers.get_many(["7"], user_id="Kari")),
    lambda arm: arm.documents.create(DOCUMENT, user_id="Kari"),
    lambda arm: arm.documents.get("9", user_id="Kari"),
    lambda arm: arm.documents.list(user_id="Kari").collect(),
]
USER_BATCHES: list[Callable[[ArmClient], Awaitable[Any]]] = [
    lambda arm: arm.customers.create_batch([CUSTOMER], user_id="Kari"),
    lambda arm: arm.customers.update_batch([CUSTOMER], user_id="Kari"),
    lambda arm: arm.customers.create_many([CUSTOMER], user_id="Kari", options=AT_ONCE),
    lambda arm: arm.customers.update_many([CUSTOMER], user_id="Kari", options=AT_ONCE),
    lambda arm: arm.documents.create_batch([DOCUMENT], user_id="Kari"),
    lambda arm: arm.documents.create_many([DOCUMENT], user_id="Kari", options=AT_ONCE),
]


@pytest.mark.parametrize("call", USER_CALLS)
async def test_a_call_names_a_user_of_its_own(call, wire) -> None:
    for method in ("GET", "POST", "PUT", "DELETE"):
        wire.add(ANY, method=method, payload={**WIRE_CUSTOMER, "customers": [WIRE_CUSTOMER], "documents": [WIRE_DOCUMENT]})
    async with ArmClient(2218, auth="t", base_url=BASE, user_id="Ola") as arm:
        await call(arm)
    assert wire.call.query == {"userid": "Kari"}


@pytest.mark.parametrize("call", USER_BATCHES)
async def test_a_batch_names_a_user_of_its_own(call, wire) -> None:
    for method in ("POST", "PUT"):
        wire.add(ANY, method=method, status=202, payload=ACCEPTED)
    async with ArmClient(2218, auth="t", base_url=BASE, user_id="Ola") as arm:
        await call(arm)
    assert wire.call.body["metadata"] == {"userId": "Kari"}
    assert wire.call.query == {}


@pytest.mark.parametrize(
    "call",
    [
        lambda arm: arm.customers.get("7", language="en"),
        lambda arm: arm.customers.list(language="en").collect(),
        lambda arm: _everything(arm.customers.get_many(["7"], language="en")),
        lambda arm: arm.documents.get("9", language="en"),
        lambda arm: arm.documents.list(language="en").collect(),
        lambda arm: arm.request("GET", "codes", language="en"),
    ],
)
async def test_a_read_has_a_language_of_its_own(call, wire) -> None:
    wire.get(ANY, payload={**WIRE_CUSTOMER, "customers": [WIRE_CUSTOMER], "documents": [WIRE_DOCUMENT]})
    async with ArmClient(2218, auth="t", base_url=BASE, language="no") as arm:
        await call(arm)
    assert wire.call.headers["Accept-Language"] == "en"


# --- what a record may be -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "record", [CUSTOMER, {"customerNo": "7", "name": "Owe"}, b'{"customerNo":"7","name":"Owe"}'], ids=["Struct", "mapping", "bytes"]
)
async def test_a_record_is_a_struct_a_mapping_or_bytes(record, wire, arm) -> None:
    wire.post(ANY, payload=RECEIPT)
    wire.post(ANY, status=202, payload=ACCEPTED)
    await arm.customers.create(record)
    await arm.customers.create_batch(iter([record, CUSTOMER]))
    assert [call.body for call in wire.calls] == [WIRE_CUSTOMER, {"customers": [WIRE_CUSTOMER, WIRE_CUSTOMER]}]


async def test_path_parameters_are_percent_encoded(wire, arm) -> None:
    wire.get(ANY, payload=WIRE_CUSTOMER)
    await arm.customers.get("a/b?c#d é%")
    assert wire.call.path == "/clients/2218/customers/a%2Fb%3Fc%23d%20%C3%A9%25"


async def test_a_batch_uuid_keeps_its_case(wire, arm) -> None:
    wire.get(ANY, payload=PROCESSED)
    result = await arm.batches.get("8NlwdOIM1YLVFP9-WOwkYQ")
    assert wire.call.path == "/clients/2218/batches/8NlwdOIM1YLVFP9-WOwkYQ"
    assert isinstance(result, BatchResult)


# --- get_many -------------------------------------------------------------------------------------------------------------------


async def test_get_many_gives_none_for_404_and_keeps_the_order(wire, arm) -> None:
    for number in ("1", "2", "3"):
        wire.get(f"{BASE}/clients/2218/customers/{number}", status=404 if number == "2" else 200, payload={"customerNo": number})
    found = await _everything(arm.customers.get_many(iter(["1", "2", "3"]), concurrency=2))
    assert [(number, record and record.customer_no) for number, record in found] == [("1", "1"), ("2", None), ("3", "3")]


async def test_get_many_takes_an_async_source_and_raises_what_is_no_404(wire, arm) -> None:
    async def numbers():
        yield "1"
        yield "2"

    wire.get(f"{BASE}/clients/2218/customers/1", payload={"customerNo": "1"})
    wire.get(f"{BASE}/clients/2218/customers/2", status=403)
    seen = []
    with pytest.raises(Exception, match="403"):
        async with arm.customers.get_many(numbers(), concurrency=1) as found:
            async for number, _ in found:
                seen.append(number)
    assert seen == ["1"]


async def test_leaving_get_many_early_leaves_nothing_behind_and_reads_no_further(wire, arm) -> None:
    never = asyncio.Event()

    async def hang(*_: Any, **__: Any) -> None:
        await never.wait()

    def numbers():
        for number in range(100):
            read.append(number)
            yield str(number)

    read: list[int] = []
    wire.get(f"{BASE}/clients/2218/customers/0", payload={"customerNo": "0"})
    wire.get(ANY, callback=hang, repeat=True)
    async with arm.customers.get_many(numbers(), concurrency=3) as found:
        async for number, _ in found:
            assert number == "0"
            break
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert len(read) <= 4


async def test_the_failure_of_a_source_comes_out_after_what_it_gave(wire, arm) -> None:
    def numbers():
        yield "1"
        raise ZeroDivisionError

    wire.get(ANY, payload={"customerNo": "1"})
    seen = []
    with pytest.raises(ZeroDivisionError):
        async with arm.customers.get_many(numbers()) as found:
            async for number, _ in found:
                seen.append(number)
    assert seen == ["1"]


async def test_a_single_get_raises_for_404(wire, arm) -> None:
    wire.get(ANY, status=404, payload={"message": "none"}, headers={"X-Request-Id": "r-1"})
    with pytest.raises(NotFoundError) as raised:
        await arm.customers.get("7")
    assert (raised.value.status, raised.value.request_id, raised.value.body) == (404, "r-1", {"message": "none"})


async def test_what_comes_beside_a_documents_fields_is_kept(wire, arm) -> None:
    wire.get(ANY, payload={"document": {"documentNo": "9", "balance": 1.10, "arItems": []}})
    record = await arm.documents.get("9", expand="aritems")
    assert (record.document_no, str(record.other["balance"]), record.other["arItems"]) == ("9", "1.1", [])
    assert wire.call.query == {"expand": "aritems"}


# --- waiting for a batch ----------------------------------------------------------------------------------------------------------


async def test_wait_asks_until_the_batch_is_processed(wire, arm, fake_clock) -> None:
    wire.get(ANY, status=202, payload=ACCEPTED)
    wire.get(ANY, payload={"status": "NOT-PROCESSED", "result": "PENDING"})
    wire.get(ANY, payload=PROCESSED)
    result = await arm.batches.wait("u", poll_first=1.0, poll_max=30.0)
    assert (result.outcome, len(wire.calls)) == ("succeeded", 3)
    assert fake_clock.slept == [1.0, 1.6]


async def test_wait_gives_the_last_answer_at_its_deadline(wire, arm, fake_clock) -> None:
    wire.get(ANY, status=202, payload=ACCEPTED, repeat=True)
    result = await arm.batches.wait("u", deadline=100.0, poll_max=7.0)
    assert (result.outcome, result.is_final, round(sum(fake_clock.slept), 6)) == ("pending", False, 100.0)
    assert max(fake_clock.slept) <= 7.0


async def test_wait_stops_when_words_that_nobody_knows_are_repeated(wire, arm, fake_clock) -> None:
    wire.get(ANY, payload={"status": "WUNDERBAR"}, repeat=True)
    result = await arm.batches.wait("u")
    assert (result.outcome, result.status, len(wire.calls)) == ("unrecognised", "WUNDERBAR", 2)


async def test_wait_many_gives_results_as_they_come(wire, arm) -> None:
    released = asyncio.Event()

    async def slow(*_: Any, **__: Any) -> None:
        await released.wait()

    wire.get(f"{BASE}/clients/2218/batches/slow", payload=PROCESSED, callback=slow)
    wire.get(f"{BASE}/clients/2218/batches/quick", payload=PROCESSED)
    came = []
    async with arm.batches.wait_many(["slow", "quick"]) as results:
        async for result in results:
            came.append(result.batch_uuid)
            released.set()
    assert came == ["quick", "slow"]


async def test_the_clients_own_words_are_used(wire) -> None:
    from amili_arm_async import BatchWords

    wire.get(ANY, payload={"status": "FERDIG"})
    async with ArmClient(2218, auth="t", base_url=BASE, batch_words=BatchWords(succeeded={"ferdig"})) as arm:
        assert (await arm.batches.get("u")).outcome == "succeeded"


# --- settings of a call -----------------------------------------------------------------------------------------------------------

SETTINGS = {"timeout": Timeout(connect=3, read=4)}
TIMED: list[Callable[[ArmClient], Awaitable[Any]]] = [
    lambda arm: arm.customers.create(CUSTOMER, **SETTINGS),
    lambda arm: arm.customers.update(CUSTOMER, **SETTINGS),
    lambda arm: arm.customers.get("7", **SETTINGS),
    lambda arm: arm.customers.delete("7", **SETTINGS),
    lambda arm: arm.customers.list(**SETTINGS).collect(),
    lambda arm: _everything(arm.customers.get_many(["7"], **SETTINGS)),
    lambda arm: arm.customers.create_batch([CUSTOMER], **SETTINGS),
    lambda arm: arm.customers.update_batch([CUSTOMER], **SETTINGS),
    lambda arm: arm.customers.create_many([CUSTOMER], options=AT_ONCE, **SETTINGS),
    lambda arm: arm.customers.update_many([CUSTOMER], options=AT_ONCE, **SETTINGS),
    lambda arm: arm.documents.create(DOCUMENT, **SETTINGS),
    lambda arm: arm.documents.get("9", **SETTINGS),
    lambda arm: arm.documents.list(**SETTINGS).collect(),
    lambda arm: arm.documents.create_batch([DOCUMENT], **SETTINGS),
    lambda arm: arm.documents.create_many([DOCUMENT], options=AT_ONCE, **SETTINGS),
    lambda arm: arm.batches.get("u", **SETTINGS),
    lambda arm: arm.batches.wait("u", **SETTINGS),
    lambda arm: _everything(arm.batches.wait_many(["u"], **SETTINGS)),
    lambda arm: arm.request("GET", "codes", **SETTINGS),
]


@pytest.mark.parametrize("call", TIMED)
async def test_every_call_takes_a_timeout_of_its_own_and_it_is_whole(call, wire, arm) -> None:
    for method in ("GET", "POST", "PUT", "DELETE"):
        wire.add(
            ANY, method=method, payload={**PROCESSED, **WIRE_CUSTOMER, **WIRE_DOCUMENT, "customers": [], "documents": [], "batchUuid": "u"}
        )
    await call(arm)
    timeout = wire.call.options["timeout"]
    assert (timeout.total, timeout.sock_connect, timeout.sock_read) == (None, 3, 4)


def test_every_call_of_the_face_is_timed_here() -> None:
    assert len(TIMED) == len(OPERATIONS)
