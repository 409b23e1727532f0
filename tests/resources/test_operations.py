"""Every operation once over real sockets against the sandbox: its success, each error that its page lists, and doubt."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest

from amili_arm_async import (
    ArmClient,
    ArmError,
    ClientCredentials,
    ConfigurationError,
    NotFoundError,
    OutcomeUnknownError,
    PaymentReservation,
    ResponseError,
    RetryPolicy,
    StatusError,
    UnprocessableError,
)
from amili_arm_async.endpoints import IDENTITY, OPERATIONS
from amili_arm_async.errors import status_error
from amili_arm_async.sandbox import Fault, Sandbox

from ..support.operation_calls import CALLS, IDENTITY_CALLS, furnish

QUICK = RetryPolicy(attempts=3, base_delay=0.001, max_delay=0.002)
ALL = sorted(CALLS)
UNSAFE = [name for name in ALL if not OPERATIONS[name].safe]
ERRORS = [(name, status) for name in ALL for status in OPERATIONS[name].statuses if status >= 400]


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(process_delay=0.0) as sandbox:
        furnish(sandbox)
        yield sandbox


@pytest.fixture
async def arm(sandbox: Sandbox) -> AsyncIterator[ArmClient]:
    auth = ClientCredentials(client_id="sandbox", client_secret="sandbox-secret", identity_url=sandbox.identity_url)
    async with ArmClient(2218, auth=auth, base_url=sandbox.base_url, retry=QUICK) as arm:
        yield arm


def served(sandbox: Sandbox, name: str) -> int:
    """How many requests of an operation came."""
    row = OPERATIONS[name]
    return sandbox.requests[f"{row.method} /{row.path}"]


def test_no_operation_is_left_out() -> None:
    assert sorted(CALLS) == sorted(OPERATIONS)
    assert sorted(IDENTITY_CALLS) == sorted(IDENTITY)


@pytest.mark.parametrize("name", ALL)
async def test_each_operation_is_answered(name, sandbox, arm) -> None:
    if name == "batches.get":
        receipt = await arm.customers.create_batch([{"customerNo": "2", "name": "x"}])
        assert (await arm.batches.wait(receipt.batch_uuid, poll_first=0.01)).outcome == "succeeded"
    else:
        assert await CALLS[name](arm) is not None
    assert served(sandbox, name) >= 1


@pytest.mark.parametrize(("name", "status"), ERRORS)
async def test_each_error_that_a_page_lists(name, status, sandbox, arm) -> None:
    row = OPERATIONS[name]
    sandbox.inject(Fault.status(status), method=row.method, path=row.path.partition("{clientno}/")[2].partition("/{")[0], times=None)
    with pytest.raises(StatusError) as caught:
        await CALLS[name](arm)
    assert type(caught.value) is type(status_error(status, operation=""))
    assert (caught.value.status, caught.value.operation) == (status, row.operation)
    assert caught.value.request_id
    # Not taken, and said so: only a 401 is asked once more, with a fresh token.
    assert served(sandbox, name) == (2 if status == 401 else 1)


@pytest.mark.parametrize(
    "name", ["ar_items.get", "gl_items.get", "customers.get", "documents.get", "batches.get", "log_items.get", "files.get"]
)
async def test_what_is_not_there_is_not_found(name, sandbox) -> None:
    async with ArmClient(7, auth=sandbox.token, base_url=sandbox.base_url) as other, asyncio.timeout(50):
        with pytest.raises(NotFoundError):
            await CALLS[name](other)


@pytest.mark.parametrize("name", UNSAFE)
@pytest.mark.parametrize("fault", [Fault.reset_after(), Fault.status(500), Fault.cut(), Fault.garbage()], ids=lambda fault: fault.kind)
async def test_an_unsafe_write_of_unknown_outcome_is_delivered_once(name, fault, sandbox, arm) -> None:
    row = OPERATIONS[name]
    sandbox.inject(fault, method=row.method, times=None)
    with pytest.raises(OutcomeUnknownError):
        await CALLS[name](arm)
    assert served(sandbox, name) == 1


@pytest.mark.parametrize("name", sorted(set(ALL) - set(UNSAFE)))
async def test_what_is_safe_is_tried_again(name, sandbox, arm) -> None:
    row = OPERATIONS[name]
    sandbox.inject(Fault.reset_after(), method=row.method, times=1)
    sandbox.inject(Fault.status(503), method=row.method, times=1)
    if name == "batches.get":
        with pytest.raises(NotFoundError):
            await CALLS[name](arm)
    else:
        await CALLS[name](arm)
    assert served(sandbox, name) == 3


@pytest.mark.parametrize("name", UNSAFE)
async def test_an_unsafe_write_that_is_cancelled_is_not_sent_again(name, sandbox, arm) -> None:
    row = OPERATIONS[name]
    injection = sandbox.inject(Fault.hang_after(), method=row.method, times=None)
    task = asyncio.ensure_future(CALLS[name](arm))
    async with asyncio.timeout(50):
        while not injection.fired or not sandbox.in_flight:
            await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert served(sandbox, name) == 1


# --- what the pages say of single operations -----------------------------------------------------------------------------------


async def test_the_identity_service(sandbox, arm) -> None:
    token = (await arm.identity.token()).access_token
    assert token
    assert (await arm.identity.verify({"token": token}))["active"] is True
    assert (await arm.identity.health()).http_status == 200
    for call in (arm.identity.verify({"token": "no"}), arm.identity.refresh({"refresh_token": "no"})):
        with pytest.raises(StatusError):
            await call
    seen = [dict(one.headers) for one in sandbox.recent if "/identity" in one.path]
    assert seen
    assert all("Authorization" not in headers for headers in seen)


async def test_items_are_debit_or_credit_and_open_or_closed(sandbox, arm) -> None:
    sandbox.seed("ar_items", [{"arItemId": 2, "itemAmount": Decimal("-12.50"), "itemBalance": Decimal("-2.50")}])
    items = {item["arItemId"]: item async for item in arm.ar_items.list(parameters={"aritemid": 2})}
    assert (items[2].side("itemAmount"), items[2].state("itemBalance")) == ("credit", "open")
    item = await arm.ar_items.get(1)
    assert (item.side("itemAmount"), item.state("itemBalance"), item["itemAmount"]) == ("debit", "closed", Decimal(100))
    assert isinstance(item["itemAmount"], Decimal)


async def test_auto_postings_are_all_or_nothing_and_that_is_seen(sandbox, arm) -> None:
    reply = await arm.auto_postings.create("payment", {"autoPostings": [{"id": 1, "amount": 1}, {"id": 2}]})
    assert (reply.http_status, reply.is_rejected) == (200, True)
    assert [one["id"] for one in reply.batch_rejected] == [1]
    assert sandbox.received("auto_postings.create").taken() == 0
    reply = await arm.auto_postings.create("payment", {"autoPostings": [{"amount": 1, "validateOnly": True}]})
    assert (reply.validate_only, reply.is_rejected) == (True, False)
    assert sandbox.received("auto_postings.create").taken() == 0
    reply = await arm.auto_postings.create("payment", {"autoPostings": [{"amount": 1}]})
    assert (reply.validate_only, reply.is_rejected) == (False, False)
    assert sandbox.received("auto_postings.create").taken() == 1


async def test_a_payment_id_counts_once_also_for_two_at_once(sandbox, arm) -> None:
    reservation = PaymentReservation(payment_id="P 1", customer_no="1", more={"amount": Decimal("9.90")})
    made = await asyncio.gather(*(arm.payment_reservations.create(reservation) for _ in range(2)), return_exceptions=True)
    assert sorted(type(one).__name__ for one in made) == ["Reply", "UnprocessableError"]
    with pytest.raises(UnprocessableError):
        await arm.payment_reservations.create(reservation)
    assert sandbox.received("payment_reservations.create").taken() == 1
    assert sandbox.received("payment_reservations.create").bodies()[0]["paymentId"] == "P 1"


async def test_files_that_do_not_fare_alike_are_told_one_by_one(sandbox, arm) -> None:
    sandbox.reject_file("bad.pdf")
    reply = await arm.files.upload({"files": [{"fileName": "good.pdf", "content": "YQ=="}, {"fileName": "bad.pdf", "content": "YQ=="}]})
    assert reply.is_multi_status
    assert [one["status"] for one in reply.files] == [200, 422]
    assert len([one for one in await arm.files.list().collect() if one.get("fileName") == "good.pdf"]) == 1


async def test_clients_are_apart(sandbox, arm) -> None:
    other = arm.for_client(2219)
    await other.actions.create({"actionType": "x"})
    assert sandbox.received("actions.create").taken(2219) == 1
    assert sandbox.received("actions.create").taken(2218) == 0
    with pytest.raises(NotFoundError):
        await other.ar_items.get(1)


async def test_a_service_with_other_paths_is_reached_where_they_are_set() -> None:
    paths = {"codes.get": "clients/{clientno}/systemcodes", "gl_movements.latest_closed": "clients/{clientno}/glmovements/latest"}
    async with Sandbox(paths=paths) as sandbox:
        async with ArmClient(2218, auth=sandbox.token, base_url=sandbox.base_url) as arm:
            with pytest.raises(NotFoundError, match="inferred"):
                await arm.codes.get()
        async with ArmClient(2218, auth=sandbox.token, base_url=sandbox.base_url, paths=paths) as arm:
            assert (await arm.codes.get()).http_status == 200
            assert (await arm.gl_movements.latest_closed()).http_status == 200
    with pytest.raises(ConfigurationError):
        ArmClient(1, auth="t", base_url="https://h", paths={"codes": "x"})


async def test_a_long_list_is_read_in_pages(sandbox, arm) -> None:
    sandbox.seed("gl_items", ({"glItemId": number, "itemAmount": number} for number in range(2, 3000)))
    items = [item async for item in arm.gl_items.list(page_size=500)]
    assert len(items) == 2999
    assert sum(item.decimal("itemAmount") for item in items) == sum(range(2, 3000)) - 5
    assert served(sandbox, "gl_items.list") == 6


async def test_nothing_is_left_open_when_the_server_goes_away() -> None:
    async with Sandbox() as sandbox:
        arm = ArmClient(2218, auth=sandbox.token, base_url=sandbox.base_url, retry=QUICK)
        await arm.codes.get()
    async with arm:
        for name in ("codes.get", "payment_reservations.create", "ar_items.list"):
            with pytest.raises(ArmError) as caught:
                await CALLS[name](arm)
            assert not isinstance(caught.value, ResponseError | OutcomeUnknownError)
