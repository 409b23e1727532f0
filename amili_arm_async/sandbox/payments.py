"""Payment reservations: announce a payment, once for each id."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import processing
from .operations import ApiRequest, ApiResponse, Operation, Operations, refusal
from .processing import fold

if TYPE_CHECKING:
    from collections.abc import Mapping

IDENTIFIERS = ("arItemId", "documentNo", "documentUuid", "referenceNo", "kid", "accountNo", "customerNo")
"""What names the document or the customer; at least one is needed."""


def create(operations: Operations, operation: Operation, call: ApiRequest) -> ApiResponse:
    """POST a payment reservation: of something that exists, under an id that does not."""
    given = {name: fold(call.value.get(name)) for name in IDENTIFIERS}
    given = {name: value for name, value in given.items() if value.strip()}
    key = fold(call.value.get("paymentId"))
    if not key.strip():
        return refusal(400, "paymentId is missing")
    if not given:
        return refusal(400, f"one of these is needed: {', '.join(IDENTIFIERS)}")
    if operations.entities.get("payment_reservations", call.client_no, key) is not None:
        return refusal(422, "paymentId exists already")
    unknown = [name for name, value in given.items() if not _known(operations, call.client_no, name, value)]
    if unknown:
        return refusal(422, f"nothing has this {unknown[0]}")
    operations.entities.put("payment_reservations", call.client_no, dict(call.value))
    return operations.done("Payment reservation created", paymentId=call.value["paymentId"])


def _known(operations: Operations, client: int, name: str, value: str) -> bool:
    """Returns whether a document or a customer has this."""
    store, entities = operations.ledger.store, operations.entities
    if name == "arItemId":
        return entities.get("ar_items", client, value) is not None
    if name == "documentNo" and store.document(client, value) is not None:
        return True
    if name == "customerNo":
        return store.customer(client, value) is not None
    if name == "accountNo":
        return _account(operations, client, value)
    if name == "kid" and _customer_kid(operations, client, value):
        return True
    return entities.document_with(client, name, value)


def _account(operations: Operations, client: int, value: str) -> bool:
    """Returns whether a customer has an account number."""
    if not (value.isascii() and value.isdigit() and len(value) < 19):
        return False
    wanted: Mapping[str, str | int] = {"accountno": int(value)}
    return operations.ledger.store.select("customers", client, wanted, 1, count=False)[1] > 0


def _customer_kid(operations: Operations, client: int, kid: str) -> bool:
    """Returns whether a payment identifier is a customer's: its account stands in it."""
    account = kid.removeprefix(f"500{client:04d}")[:-8]
    if not (account.isascii() and account.isdigit() and len(account) < 19):
        return False
    return processing.customer_kid(client, int(account)) == kid and _account(operations, client, account)
