"""The table of operations: complete, without doubles, and unsafe unless the pages say otherwise."""

from __future__ import annotations

import re

import pytest

from amili_arm_async.endpoints import OPERATIONS, TOKEN_SERVICE, find

NAVIGATION = {
    "Actions": ["actions.create", "actions.create_report"],
    "ArItems": ["ar_items.list", "ar_items.update", "ar_items.get"],
    "AutoPostings": ["auto_postings.create"],
    "Batches": ["batches.get"],
    "ClientConfigs": ["client_configs.list", "client_configs.get"],
    "Codes": ["codes.get"],
    "Customers": [
        "customers.create",
        "customers.update",
        "customers.list",
        "customers.get",
        "customers.delete",
        "customers.create_batch",
        "customers.update_batch",
    ],
    "DocumentBundles": ["document_bundles.list", "document_bundles.get"],
    "Documents": ["documents.create", "documents.list", "documents.get", "documents.create_batch"],
    "Files": ["files.list", "files.upload", "files.get"],
    "GlItems": ["gl_items.get", "gl_items.list"],
    "GlMovements": ["gl_movements.latest_closed", "gl_movements.list"],
    "Insights": ["insights.adb_intervals"],
    "LogItems": ["log_items.get", "log_items.list"],
    "PaymentReservations": ["payment_reservations.create"],
    "Health": ["health.check"],
}
"""The sections and pages under "Accounts Receivable" in the navigation of the vendor's pages, in its order."""

SHOWN = {
    "customers.create": "POST clients/{clientno}/customers",
    "customers.update": "PUT clients/{clientno}/customers",
    "customers.list": "GET clients/{clientno}/customers",
    "customers.get": "GET clients/{clientno}/customers/{customerno}",
    "customers.delete": "DELETE clients/{clientno}/customers/{customerno}",
    "customers.create_batch": "POST clients/{clientno}/customers/batches",
    "customers.update_batch": "PUT clients/{clientno}/customers/batches",
    "batches.get": "GET clients/{clientno}/batches/{batchuuid}",
    "documents.create": "POST clients/{clientno}/documents",
    "documents.create_batch": "POST clients/{clientno}/documents/batches",
    "documents.get": "GET clients/{clientno}/documents/{documentno}",
    "ar_items.list": "GET clients/{clientno}/aritems",
    "ar_items.get": "GET clients/{clientno}/aritems/{aritemid}",
    "ar_items.update": "PUT clients/{clientno}/aritems",
    "auto_postings.create": "POST clients/{clientno}/autopostings/{autopostingmethod}",
    "payment_reservations.create": "POST clients/{clientno}/paymentreservations",
    "files.upload": "POST clients/{clientno}/files",
    "gl_items.get": "GET clients/{clientno}/glitems/{glitemid}",
    "gl_items.list": "GET clients/{clientno}/glitems",
}
"""Method and path of every operation whose page shows them."""

ALL = sorted(OPERATIONS)


def test_every_entry_of_the_navigation_is_there_and_nothing_else() -> None:
    assert sorted(OPERATIONS) == sorted(name for names in NAVIGATION.values() for name in names)


def test_what_the_pages_show_is_as_they_show_it_and_the_rest_is_marked() -> None:
    assert {name: row.operation for name, row in OPERATIONS.items() if row.documented} == SHOWN


def test_no_two_operations_are_the_same_call() -> None:
    calls = [re.sub(r"\{\w+\}", "{}", row.operation) for row in OPERATIONS.values()]
    assert len(set(calls)) == len(calls)


@pytest.mark.parametrize("name", ALL)
def test_only_reads_and_customer_upserts_are_safe(name) -> None:
    upserts = {"customers.create", "customers.update", "customers.create_batch", "customers.update_batch"}
    assert OPERATIONS[name].safe == (OPERATIONS[name].method == "GET" or name in upserts)


@pytest.mark.parametrize("name", ALL)
def test_names_in_paths_are_lower_case_without_separators(name) -> None:
    assert all(re.fullmatch(r"[a-z]+|\{[a-z]+\}", part) for part in OPERATIONS[name].path.split("/"))


@pytest.mark.parametrize("name", ALL)
def test_every_row_names_its_page(name) -> None:
    assert OPERATIONS[name].page.startswith("https://docs.amili.dev/")
    assert OPERATIONS[name].name == name


@pytest.mark.parametrize("name", [name for name in ALL if name.endswith((".list", ".create_batch", ".update_batch"))])
def test_lists_and_batches_name_their_items(name) -> None:
    assert OPERATIONS[name].items


def test_the_caps_that_the_pages_give() -> None:
    assert {name for name, row in OPERATIONS.items() if row.cap == 10_000} >= {"customers.list", "ar_items.list", "gl_items.list"}


@pytest.mark.parametrize("name", ALL)
def test_every_operation_is_found_by_its_method_and_a_real_path(name) -> None:
    row = OPERATIONS[name]
    real = re.sub(r"\{\w+\}", "4711", row.path)
    assert find(row.method, real) is row
    assert find(row.method, f"/{real}/") is row


@pytest.mark.parametrize(
    ("method", "path"),
    [("PATCH", "clients/1/customers"), ("GET", "clients/1"), ("GET", ""), ("GET", "clients/1/nothing"), ("get", "health")],
)
def test_what_is_not_in_the_table_is_not_found(method, path) -> None:
    assert find(method, path) is None


def test_the_batch_path_is_not_a_customer_called_batches() -> None:
    assert find("POST", "clients/1/customers/batches") is OPERATIONS["customers.create_batch"]
    assert find("PUT", "clients/1/customers/batches") is OPERATIONS["customers.update_batch"]


def test_the_token_service_is_no_operation_of_the_api() -> None:
    assert TOKEN_SERVICE.operation == "POST token"
    assert TOKEN_SERVICE.name not in OPERATIONS
