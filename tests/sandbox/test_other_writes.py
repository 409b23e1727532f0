"""Actions, auto postings, payment reservations and files: what is taken, what is refused, and how it is counted."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from amili_arm_async import endpoints
from amili_arm_async.sandbox import Fault, Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable

WRITES = {
    "actions.create": ("POST", "actions", {"actionType": "x", "mark": "me"}),
    "actions.create_report": ("POST", "actions/reports", {"reportType": "Årsoppgjør", "mark": "me"}),
    "ar_items.update": ("PUT", "aritems", {"arItemId": 1, "mark": "me"}),
    "auto_postings.create": ("POST", "autopostings/payment", {"autoPostings": [{"amount": 1, "mark": "me"}]}),
    "files.upload": ("POST", "files", {"files": [{"fileName": "a.txt", "mark": "me"}]}),
    "payment_reservations.create": ("POST", "paymentreservations", {"paymentId": "p1", "customerNo": "1", "mark": "me"}),
}
CASES = [pytest.param(name, *given, id=name) for name, given in WRITES.items()]


@pytest.fixture(autouse=True)
def something(sandbox: Sandbox, call: Any) -> None:
    """A customer, a document and an AR item to speak about."""
    sandbox.customers.seed([call.customer("1")])
    sandbox.documents.seed([call.document("77", kid="123456", referenceNo="R-1")])
    sandbox.seed("ar_items", [{"arItemId": 1, "customerNo": "1", "documentUuid": "AbC"}])


@pytest.mark.parametrize(("name", "method", "path", "body"), CASES)
async def test_a_body_is_taken_and_counted_once(sandbox: Sandbox, call: Any, name: str, method: str, path: str, body: Any) -> None:
    status, answer = await call(method, path, body)

    received = sandbox.received(name)
    assert (status, answer["result"]) == (200, "SUCCESS")
    assert (received.delivered(), received.taken(), received.bodies()) == (1, 1, [body])
    assert (received.delivered(2218), received.taken(2219), received.bodies(2219)) == (1, 0, [])


@pytest.mark.parametrize(("name", "method", "path", "body"), CASES)
@pytest.mark.parametrize("garbage", [b"", b"[]", b"12", b"null", b'"x"', b"{", b"\xff\xfe", b"[1]", b'{"a":"\\ud800"}', b"[" * 3000])
async def test_a_body_of_a_wrong_type_is_400(
    sandbox: Sandbox, call: Any, name: str, method: str, path: str, body: Any, garbage: bytes
) -> None:
    status, _, _ = await call.raw(method, path, garbage)

    if name == "auto_postings.create" and garbage == b"[1]":
        assert status == 200, "a list is a batch of postings, and this one fails"
    else:
        assert status == 400
    assert sandbox.received(name).taken() == 0
    assert sandbox.received(name).delivered() == 1


@pytest.mark.parametrize(("name", "method", "path", "body"), CASES)
async def test_a_poisoned_record_refuses_the_call(sandbox: Sandbox, call: Any, name: str, method: str, path: str, body: Any) -> None:
    sandbox.poison_record("ME", kind=name.partition(".")[0])  # type: ignore[arg-type]
    assert (await call(method, path, body))[0] == 400
    assert (sandbox.received(name).delivered(), sandbox.received(name).taken()) == (1, 0)


@pytest.mark.parametrize("name", ["actions.create", "actions.create_report", "ar_items.update", "payment_reservations.create"])
async def test_a_rejected_record_alone_is_422(sandbox: Sandbox, call: Any, name: str) -> None:
    sandbox.reject_record("me", "not today", kind=name.partition(".")[0])  # type: ignore[arg-type]
    status, answer = await call(*WRITES[name])
    assert (status, answer["message"]) == (422, "not today")
    assert sandbox.received(name).taken() == 0


async def test_a_whole_record_marks_only_customers_and_documents(sandbox: Sandbox, call: Any) -> None:
    sandbox.reject_record({"documentType": "IN", "customerNo": "1"})
    assert (await call("POST", "documents", {"documentType": "IN", "customerNo": "1"}))[0] == 400
    assert (await call(*WRITES["actions.create"]))[0] == 200
    with pytest.raises(ValueError, match="marked by a text"):
        sandbox.poison_record({}, kind="files")


async def test_what_is_refused_of_one_kind_is_taken_of_another(sandbox: Sandbox, call: Any) -> None:
    sandbox.poison_record("me")
    sandbox.reject_record("me")
    sandbox.reject_posting("me")
    sandbox.reject_file("p1")
    for name in ("actions.create", "ar_items.update", "files.upload", "payment_reservations.create"):
        assert (await call(*WRITES[name]))[0] == 200


# Not the PUT: on a connection that breaks, aiohttp's client sends that again by itself.
@pytest.mark.parametrize(("name", "method", "path", "body"), [case for case in CASES if case.values[1] == "POST"])
@pytest.mark.parametrize(
    ("fault", "delivered", "taken"),
    [
        (Fault.status(503), 1, 0),
        (Fault.status(500, taken=True), 1, 1),
        (Fault.redirect(302, "https://example.com"), 1, 0),
        (Fault.reset_before(), 0, 0),
        (Fault.reset_after(), 1, 1),
        (Fault.cut(), 1, 1),
        (Fault.garbage(), 1, 1),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else "",
)
async def test_faults_meet_it(
    sandbox: Sandbox, call: Any, name: str, method: str, path: str, body: Any, fault: Fault, delivered: int, taken: int
) -> None:
    injected = sandbox.inject(fault, path=path)
    try:
        await call.raw(method, path, body)
    except aiohttp.ClientError:
        assert fault.kind in ("reset_before", "reset_after", "cut")
    assert injected.fired == 1
    assert (sandbox.received(name).delivered(), sandbox.received(name).taken()) == (delivered, taken)


async def test_only_the_last_bodies_are_kept_and_all_are_counted(sandbox: Sandbox) -> None:
    received = sandbox._running().received
    for number in range(1100):
        received.note("actions.create", 2218 + number % 2, b'{"n":%d}' % number, taken=True)
    view = sandbox.received("actions.create")
    assert [body["n"] for body in view.bodies()] == list(range(100, 1100))
    assert len(view.bodies(2219)) == 500
    assert (view.taken(), view.taken(2219)) == (1100, 550)


def test_there_is_no_view_of_what_is_not_kept() -> None:
    with pytest.raises(ValueError, match=r"no such operation: people\.create"):
        Sandbox().received("people.create")
    with pytest.raises(ValueError, match=r"no bodies are kept of customers\.create"):
        Sandbox().received("customers.create")
    assert set(WRITES) <= set(endpoints.OPERATIONS)


# -- auto postings


@pytest.mark.parametrize(
    "body",
    [
        {"autoPostings": [{"amount": 10.5, "text": "a"}, {"currencyAmounts": {"inclVat": 5}, "text": "b"}]},
        [{"amount": 10.5, "text": "a"}, {"itemAmount": 5, "text": "b"}],
    ],
)
async def test_auto_postings_make_gl_items(sandbox: Sandbox, call: Any, body: Any) -> None:
    status, answer = await call("POST", "autopostings/payment", body)

    assert status == 200
    assert [(one["text"], one["resultType"]) for one in answer["autoPostings"]] == [("a", "SUCCESS"), ("b", "SUCCESS")]
    _, page = await call("GET", "glitems")
    assert [(item["text"], item["amount"]) for item in page["glItems"]] == [("a", 10.5), ("a", -10.5), ("b", 5), ("b", -5)]
    first = page["glItems"][0]
    assert (await call("GET", f"glitems/{first['glItemId']}"))[1] == first
    assert first["autoPostingMethod"] == "payment"


async def test_one_object_is_one_posting(call: Any) -> None:
    _, answer = await call("POST", "autopostings/x", {"amount": 1})
    assert answer["autoPostings"] == [{"amount": 1, "resultType": "SUCCESS", "message": ""}]


@pytest.mark.parametrize("bad", [{"amount": "12"}, {"amount": True}, {"text": "none"}, 7, None, {"amount": 1, "text": "Marked"}])
@pytest.mark.parametrize("failure", [200, 422])
async def test_one_posting_that_fails_rejects_all(calling: Callable[[Sandbox], Any], bad: Any, failure: int) -> None:
    async with Sandbox(auto_posting_failure_status=failure) as sandbox:
        call = calling(sandbox)
        sandbox.reject_posting("marked", "not this one")

        status, answer = await call("POST", "autopostings/payment", {"autoPostings": [{"amount": 1}, bad]})

        assert (status, answer["result"]) == (failure, "FAILED")
        assert [one["resultType"] for one in answer["autoPostings"]] == ["BATCH-REJECTED", "FAILED"]
        assert all(one["message"] for one in answer["autoPostings"])
        assert (await call("GET", "glitems"))[1]["glItems"] == []
        assert sandbox.received("auto_postings.create").taken() == 0


@pytest.mark.parametrize(
    "body",
    [
        [{"amount": 1}, {"amount": 2, "validateOnly": True}],
        [{"amount": 1}, {"amount": 2, "options": ["validateOnly"]}],
        {"validateOnly": True, "autoPostings": [{"amount": 1}]},
    ],
)
async def test_a_batch_is_only_validated_where_one_posting_says_so(sandbox: Sandbox, call: Any, body: Any) -> None:
    status, answer = await call("POST", "autopostings/payment", body)
    assert (status, answer["result"]) == (200, "SUCCESS")
    assert "validated only" in answer["message"]
    assert (await call("GET", "glitems"))[1]["glItems"] == []
    assert sandbox.received("auto_postings.create").taken() == 0


async def test_methods_that_are_not_there_are_404(calling: Callable[[Sandbox], Any]) -> None:
    async with Sandbox(auto_posting_methods=["Payment"]) as sandbox:
        assert (await calling(sandbox)("POST", "autopostings/payment", {"amount": 1}))[0] == 200
        assert (await calling(sandbox)("POST", "autopostings/other", {"amount": 1}))[0] == 404
    with pytest.raises(ValueError, match="auto_posting_failure_status"):
        Sandbox(auto_posting_failure_status=99)


# -- payment reservations


@pytest.mark.parametrize(
    "named",
    [
        {"arItemId": 1},
        {"documentNo": "77"},
        {"documentUuid": "abc"},
        {"referenceNo": "r-1"},
        {"kid": "123456"},
        {"kid": 123456},
        {"accountNo": 500001},
        {"accountNo": "500001"},
        {"customerNo": "1"},
        {"customerNo": "1", "documentNo": "77"},
    ],
)
async def test_a_payment_is_reserved_for_what_exists(sandbox: Sandbox, call: Any, named: Any) -> None:
    assert await call("POST", "paymentreservations", {"paymentId": "P1", **named}) == (
        200,
        {"status": "PROCESSED", "result": "SUCCESS", "message": "Payment reservation created", "paymentId": "P1"},
    )


async def test_a_payment_is_reserved_by_the_kid_of_a_customer(sandbox: Sandbox, call: Any) -> None:
    _, customer = await call("GET", "customers/1")
    assert (await call("POST", "paymentreservations", {"paymentId": 1, "kid": customer["customerKid"]}))[0] == 200
    other = customer["customerKid"].replace("500001", "500002")
    assert (await call("POST", "paymentreservations", {"paymentId": 2, "kid": other}))[0] == 422


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"customerNo": "1"}, 400),
        ({"paymentId": " ", "customerNo": "1"}, 400),
        ({"paymentId": [], "customerNo": "1"}, 400),
        ({"paymentId": "p"}, 400),
        ({"paymentId": "p", "customerNo": ""}, 400),
        ({"paymentId": "p", "customerNo": "2"}, 422),
        ({"paymentId": "p", "customerNo": "1", "documentNo": "2"}, 422),
        ({"paymentId": "p", "arItemId": 9}, 422),
        ({"paymentId": "p", "accountNo": 10**30}, 422),
        ({"paymentId": "p", "accountNo": "x"}, 422),
        ({"paymentId": "p", "kid": "x"}, 422),
    ],
)
async def test_other_payments_are_refused(sandbox: Sandbox, call: Any, body: Any, status: int) -> None:
    assert (await call("POST", "paymentreservations", body))[0] == status
    assert sandbox.received("payment_reservations.create").taken() == 0


async def test_of_two_equal_payments_exactly_one_is_taken(sandbox: Sandbox, call: Any) -> None:
    bodies = [{"paymentId": "Same" if number % 2 else "sAME", "customerNo": "1"} for number in range(20)]
    answers = await asyncio.gather(*(call("POST", "paymentreservations", body) for body in bodies))

    assert sorted(status for status, _ in answers) == [200] + [422] * 19
    assert sandbox.received("payment_reservations.create").taken() == 1
    call.client_no = 2219
    sandbox.customers.seed([call.customer("1")], client_no=2219)
    assert (await call("POST", "paymentreservations", bodies[0]))[0] == 200, "another client has its own ids"


# -- files


async def test_files_are_stored_and_given_back(sandbox: Sandbox, call: Any) -> None:
    content = base64.b64encode("Blåbær".encode()).decode()
    given = [{"fileName": "å.txt", "fileContent": content}, {"fileName": "b.txt", "fileContent": "", "fileId": "mine"}]

    status, answer = await call("POST", "files", {"documents": given, "note": []})

    assert status == 200
    assert [(one["fileName"], one["status"]) for one in answer["files"]] == [("å.txt", 200), ("b.txt", 200)]
    number = answer["files"][0]["fileId"]
    assert await call("GET", f"files/{number}") == (200, {"fileId": number, **given[0]})
    _, page = await call("GET", "files")
    assert page["files"][0] == {"fileId": number, "fileName": "å.txt"}, "a list leaves the content out"
    assert page["files"][1]["fileId"] != "mine"
    call.client_no = 2219
    assert (await call("GET", f"files/{number}"))[0] == 404


async def test_a_file_comes_back_as_bytes_where_that_is_set(calling: Callable[[Sandbox], Any]) -> None:
    async with Sandbox(file_style="bytes") as sandbox:
        call = calling(sandbox)
        content = bytes(range(256)) * 10
        files = [{"fileName": "test", "fileContent": base64.b64encode(content).decode()}, {"fileName": "empty.txt"}]
        _, answer = await call("POST", "files", {"files": files})

        first, second = (one["fileId"] for one in answer["files"])
        status, headers, body = await call.raw("GET", f"files/{first}")
        assert (status, headers["Content-Type"], body) == (200, "application/octet-stream", content)
        assert (await call.raw("GET", f"files/{second}"))[2] == b""


async def test_a_file_that_fails_has_a_status_of_its_own(sandbox: Sandbox, call: Any) -> None:
    sandbox.reject_file("Bad.txt", "no")
    both = {"files": [{"fileName": "bad.TXT"}, {"fileName": "good.txt"}]}

    status, answer = await call("POST", "files", both)

    assert (status, answer["result"]) == (207, "PARTIAL")
    assert answer["files"][0] == {"fileName": "bad.TXT", "status": 422, "message": "no"}
    assert answer["files"][1]["status"] == 200
    assert len((await call("GET", "files"))[1]["files"]) == 1
    status, answer = await call("POST", "files", {"files": [{"fileName": "bad.txt"}]})
    assert (status, answer["result"]) == (207, "FAILED")
    assert sandbox.received("files.upload").bodies() == [both], "where no file is stored, nothing was taken"


@pytest.mark.parametrize("body", [{}, {"files": []}, {"files": [1]}, {"files": {}}, {"name": "x"}, {"files": [{}, 1]}])
async def test_a_body_without_files_is_400(call: Any, body: Any) -> None:
    assert (await call("POST", "files", body))[0] == 400
