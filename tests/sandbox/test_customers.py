"""One customer at a time: POST, PUT, GET, DELETE, and the rules of an update."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from amili_arm_async.sandbox import Sandbox

pytestmark = pytest.mark.quick

if TYPE_CHECKING:
    from collections.abc import Callable

ADDRESS = {
    "addressLine1": "Farm alley 9",
    "addressLine2": "Birchwood",
    "postalCode": "5432",
    "cityName": "Bergen",
    "countryCode": "NO",
}


async def test_a_new_customer_is_there_at_once(sandbox: Sandbox, call: Any) -> None:
    status, body = await call("POST", "customers", call.customer("543210"))
    assert status == 200
    assert body == {
        "status": "PROCESSED",
        "result": "SUCCESS",
        "message": "Customer created",
        "customerNo": "543210",
    }

    status, shown = await call("GET", "customers/543210")
    assert status == 200
    assert (shown["clientNo"], shown["accountNo"], shown["balanceTotal"]) == (2218, 500001, 0)
    assert shown["customerKid"].startswith("5002218500001")
    assert shown["postalAddress"]["addressLine3"] == ""
    assert shown["emailAddressDocument"] == []
    assert shown["dueDays"] == 0
    assert "dateOfBirth" not in shown
    assert (sandbox.customers.delivered("543210"), sandbox.customers.taken("543210")) == (1, 1)


async def test_missing_and_null_keep_and_blank_clears(call: Any) -> None:
    await call(
        "POST",
        "customers",
        call.customer("1", phoneNo="99", sellerReference="A", dateOfBirth="1980-03-01", arRules=["NoBalFwd"]),
    )

    status, _ = await call(
        "PUT",
        "customers",
        {"customerNo": "1", "phoneNo": None, "sellerReference": "", "dateOfBirth": "", "arRules": []},
    )

    assert status == 200
    _, shown = await call("GET", "customers/1")
    assert shown["name"] == "Customer 1"
    assert shown["phoneNo"] == "99"
    assert (shown["sellerReference"], shown["dateOfBirth"], shown["arRules"]) == ("", "", [])


async def test_the_postal_address_changes_as_a_group(call: Any) -> None:
    await call("POST", "customers", call.customer("1", postalAddress=ADDRESS))

    await call("PUT", "customers", {"customerNo": "1", "postalAddress": None})
    await call("PUT", "customers", {"customerNo": "1", "postalAddress": {"cityName": None}})
    assert (await call("GET", "customers/1"))[1]["postalAddress"]["cityName"] == "Bergen"

    await call("PUT", "customers", {"customerNo": "1", "postalAddress": {"addressLine1": "New road 1"}})
    _, shown = await call("GET", "customers/1")
    assert shown["postalAddress"] == {
        "addressLine1": "New road 1",
        "addressLine2": "",
        "addressLine3": "",
        "postalCode": "",
        "cityName": "",
        "countryText": "",
        "countryCode": "",
    }


async def test_the_distribution_merges_field_by_field(call: Any) -> None:
    await call("POST", "customers", call.customer("1", distribution={"type": "M", "einvoiceCode": 2}))
    await call("POST", "customers", {"customerNo": "1", "distribution": {"type": "H"}})
    _, shown = await call("GET", "customers/1")
    assert (shown["distribution"]["type"], shown["distribution"]["einvoiceCode"]) == ("H", 2)


async def test_amounts_survive_digit_by_digit(call: Any) -> None:
    body = b'{"customerNo":"1","name":"A","limitAmount":12345678901234567890.10,"discountRate":5.50}'
    await call("POST", "customers", body)
    await call("PUT", "customers", {"customerNo": "1", "phoneNo": "1"})
    _, _, shown = await call.raw("GET", "customers/1")
    assert b'"limitAmount":12345678901234567890.10' in shown
    assert b'"discountRate":5.50' in shown


async def test_numbers_compare_without_case(sandbox: Sandbox, call: Any) -> None:
    await call("POST", "customers", call.customer("Ærø-1"))
    await call("POST", "customers", {"customerNo": "ærØ-1", "phoneNo": "5"})
    status, shown = await call("GET", "customers/%C3%A6r%C3%B8-1")
    assert (status, shown["phoneNo"]) == (200, "5")
    assert len(sandbox.customers) == 1


@pytest.mark.parametrize("number", ["A/B 1", "50%", "a?b#c", "batches"])
async def test_any_number_can_be_asked_for(call: Any, number: str) -> None:
    await call("POST", "customers", call.customer(number))
    quoted = "".join(f"%{byte:02X}" for byte in number.encode())
    from yarl import URL

    url = URL(f"{call.sandbox.base_url}/clients/2218/customers/{quoted}", encoded=True)
    headers = {"Authorization": f"Bearer {call.sandbox.token}"}
    async with call.session.get(url, headers=headers) as response:
        assert response.status == 200
        assert (await response.json())["customerNo"] == number


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b"\xff{}", b"{}", b'{"customerNo":"","name":"A"}', b'{"customerNo":"1"}'],
)
async def test_what_cannot_be_a_customer_is_answered_400(sandbox: Sandbox, call: Any, body: bytes) -> None:
    status, answer = await call("POST", "customers", body)
    assert status == 400
    assert (answer["status"], answer["result"]) == ("ERROR", "FAILED")
    assert sandbox.customers.total_taken == 0


async def test_an_update_of_nobody_is_answered_404(calling: Callable[[Sandbox], Any], call: Any) -> None:
    assert (await call("PUT", "customers", call.customer("1")))[0] == 404
    async with Sandbox(update_creates=True) as sandbox:
        assert (await calling(sandbox)("PUT", "customers", call.customer("1")))[0] == 200


async def test_a_customer_is_deleted_unless_it_has_documents(sandbox: Sandbox, call: Any) -> None:
    sandbox.customers.seed([call.customer("1"), call.customer("2")])
    await call("POST", "documents", call.document("d", "1"))

    assert (await call("DELETE", "customers/1"))[0] == 422
    status, body = await call("DELETE", "customers/2")
    assert (status, body["result"]) == (200, "SUCCESS")
    assert (await call("DELETE", "customers/2"))[0] == 404
    assert (await call("GET", "customers/2"))[0] == 404


async def test_account_numbers_are_never_given_twice(call: Any) -> None:
    await call("POST", "customers", call.customer("1"))
    await call("DELETE", "customers/1")
    await call("POST", "customers", call.customer("1"))
    assert (await call("GET", "customers/1"))[1]["accountNo"] == 500002


async def test_fields_nobody_documented_are_kept_and_those_of_the_server_are_not_taken(call: Any) -> None:
    await call("POST", "customers", call.customer("1", newField="x", accountNo=7, balanceTotal=9, customerKid="k"))
    _, shown = await call("GET", "customers/1")
    assert shown["newField"] == "x"
    assert (shown["accountNo"], shown["balanceTotal"]) == (500001, 0)
    assert shown["customerKid"] != "k"


async def test_the_view_shows_what_get_shows(sandbox: Sandbox, call: Any) -> None:
    await call("POST", "customers", call.customer("1", limitAmount=5))
    assert sandbox.customers.get("1") == (await call("GET", "customers/1"))[1]
    assert sandbox.customers.get("2") is None
    assert "1" in sandbox.customers
    assert "2" not in sandbox.customers


def test_every_field_of_the_list_sample_is_shown() -> None:
    from amili_arm_async.sandbox.processing import show_customer

    given = {"customerNo": "1", "name": "A", "usingLanguage": "no", "dateOfBirth": "1999-01-01"}
    shown = show_customer(given, 2218, 500002)
    assert list(shown)[:4] == ["clientNo", "accountNo", "customerNo", "name"]
    assert list(shown)[-2:] == ["customerKid", "balanceTotal"]
    assert shown["customerKid"] == "500221850000200000006", "the digits of the pages' sample"
    json.dumps(shown)
