"""A call of every operation of the API and of the identity service, by its name in the table of operations."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from amili_arm_async import ArmClient, Customer, Document, FileContent, PaymentReservation
from amili_arm_async.sandbox import Sandbox

CUSTOMER = Customer(customer_no="1", name="Owe Armstrong")
DOCUMENT = Document(document_no="77", document_type="IN", customer_no="1")

Call = Callable[[ArmClient], Awaitable[Any]]

CALLS: dict[str, Call] = {
    "actions.create": lambda arm: arm.actions.create({"actionType": "x"}),
    "actions.create_report": lambda arm: arm.actions.create_report({"reportType": "Årsoppgjør"}),
    "ar_items.list": lambda arm: arm.ar_items.list().collect(),
    "ar_items.get": lambda arm: arm.ar_items.get(1),
    "ar_items.update": lambda arm: arm.ar_items.update({"arItemId": 1, "note": "x"}),
    "auto_postings.create": lambda arm: arm.auto_postings.create("payment", {"autoPostings": [{"amount": 1}]}),
    "batches.get": lambda arm: arm.batches.get("8NlwdOIM1YLVFP9-WOwkYQ"),
    "client_configs.list": lambda arm: arm.client_configs.list().collect(),
    "client_configs.get": lambda arm: arm.client_configs.get("key"),
    "codes.get": lambda arm: arm.codes.get(),
    "customers.create": lambda arm: arm.customers.create(CUSTOMER),
    "customers.update": lambda arm: arm.customers.update(CUSTOMER),
    "customers.list": lambda arm: arm.customers.list().collect(),
    "customers.get": lambda arm: arm.customers.get("1"),
    "customers.delete": lambda arm: arm.customers.delete("2"),
    "customers.create_batch": lambda arm: arm.customers.create_batch([CUSTOMER]),
    "customers.update_batch": lambda arm: arm.customers.update_batch([CUSTOMER]),
    "document_bundles.list": lambda arm: arm.document_bundles.list().collect(),
    "document_bundles.get": lambda arm: arm.document_bundles.get(1),
    "documents.create": lambda arm: arm.documents.create(DOCUMENT),
    "documents.list": lambda arm: arm.documents.list().collect(),
    "documents.get": lambda arm: arm.documents.get("77"),
    "documents.create_batch": lambda arm: arm.documents.create_batch([DOCUMENT]),
    "files.list": lambda arm: arm.files.list().collect(),
    "files.upload": lambda arm: arm.files.upload({"files": [{"fileName": "a.txt", "content": FileContent(b"abc")}]}),
    "files.get": lambda arm: arm.files.get("1"),
    "gl_items.get": lambda arm: arm.gl_items.get(1),
    "gl_items.list": lambda arm: arm.gl_items.list().collect(),
    "gl_movements.latest_closed": lambda arm: arm.gl_movements.latest_closed(),
    "gl_movements.list": lambda arm: arm.gl_movements.list().collect(),
    "insights.adb_intervals": lambda arm: arm.insights.adb_intervals().collect(),
    "log_items.get": lambda arm: arm.log_items.get(1),
    "log_items.list": lambda arm: arm.log_items.list().collect(),
    "payment_reservations.create": lambda arm: arm.payment_reservations.create(PaymentReservation(payment_id="P1", customer_no="1")),
    "health.check": lambda arm: arm.health.check(),
}

IDENTITY_CALLS: dict[str, Call] = {
    "identity.token": lambda arm: arm.identity.token(),
    "identity.refresh": lambda arm: arm.identity.refresh({"refresh_token": "x"}),
    "identity.verify": lambda arm: arm.identity.verify({"token": "x"}),
    "identity.health": lambda arm: arm.identity.health(),
}


def furnish(sandbox: Sandbox) -> None:
    """One of each record that the calls ask for."""
    sandbox.customers.seed([{"customerNo": "1", "name": "Owe Armstrong"}, {"customerNo": "2", "name": "No documents"}])
    sandbox.documents.seed([{"documentNo": "77", "documentType": "IN", "customerNo": "1"}])
    sandbox.seed("ar_items", [{"arItemId": 1, "customerNo": "1", "itemAmount": 100, "itemBalance": 0}])
    sandbox.seed("gl_items", [{"glItemId": 1, "itemAmount": -5}])
    sandbox.seed("client_configs", [{"key": "key", "value": "v"}])
    sandbox.seed("document_bundles", [{"documentBundleId": 1}])
    sandbox.seed("log_items", [{"logItemId": 1}])
    sandbox.seed("files", [{"fileId": "1", "fileName": "a.txt"}])
