"""The description that the clients beside the library are generated from has the operations and the fields of the library."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

import amili_arm_async
from amili_arm_async.endpoints import OPERATIONS

DESCRIPTION = json.loads(Path(__file__).parents[2].joinpath("benchmarks", "peers", "openapi.json").read_text("utf-8"))
SCHEMAS = DESCRIPTION["components"]["schemas"]
NAMED = {
    "create_customers_batch": "customers.create_batch",
    "update_customers_batch": "customers.update_batch",
    "list_customers": "customers.list",
    "create_documents_batch": "documents.create_batch",
    "get_batch": "batches.get",
}
STRUCTS = ["PostalAddress", "Distribution", "Customer", "CustomerRecord", "CurrencyAmounts", "EinvoiceAddress", "DocumentLine", "Document"]


def test_the_operations_are_those_of_the_table() -> None:
    described = {
        operation["operationId"]: f"{method.upper()} {path.removeprefix('/')}"
        for path, operations in DESCRIPTION["paths"].items()
        for method, operation in operations.items()
    }
    assert described == {name: OPERATIONS[row].operation for name, row in NAMED.items()}


@pytest.mark.parametrize("name", STRUCTS)
def test_the_fields_of_a_schema_are_those_of_the_struct(name) -> None:
    on_the_wire = {field.encode_name for field in msgspec.structs.fields(getattr(amili_arm_async, name))}
    # A record keeps what it does not know in a field whose name no wire has.
    assert set(SCHEMAS[name]["properties"]) == {field for field in on_the_wire if field.isalnum()}


def test_every_reference_leads_somewhere() -> None:
    text = json.dumps(DESCRIPTION)
    referred = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert referred <= set(SCHEMAS)
