"""The operations beyond customers, documents and batches: lists and single records, AR items, actions, health."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from . import files, payments, postings
from .lists import EntitySource
from .operations import ApiRequest, ApiResponse, Operation, Operations, refusal, reply
from .processing import JsonObject, fold

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .settings import EntityKind

_ALL: Final = 10_000
"""The most records of an answer that has no pages."""


def list_entities(operations: Operations, operation: Operation, call: ApiRequest) -> ApiResponse:
    """GET a page of a list."""
    return operations.list_from(EntitySource(_kind(operation), operations.entities), operation, call)


def get_entity(operations: Operations, operation: Operation, call: ApiRequest) -> ApiResponse:
    """GET one record by the last variable of its path."""
    (key,) = (value for name, value in call.params.items() if name != "clientno")
    found = operations.entities.get(_kind(operation), call.client_no, key)
    return refusal(404, "no such record") if found is None else operations.one(operation, found.record)


def update_ar_item(operations: Operations, operation: Operation, call: ApiRequest) -> ApiResponse:
    """PUT an AR item: the fields that are given, and are not null, take the place of those that are there.

    The page says that it can also create a credit note; how is not seen, and this does not.
    """
    key = fold(call.value.get("arItemId"))
    if not key.strip():
        return refusal(400, "arItemId is missing")
    found = operations.entities.get("ar_items", call.client_no, key)
    if found is None:
        return refusal(404, "no such AR item")
    before = found.record
    given = {name: value for name, value in call.value.items() if value is not None and name != "arItemId"}
    operations.entities.put("ar_items", call.client_no, {**before, **given})
    return operations.done("AR item updated", arItemId=before["arItemId"])


def take(operations: Operations, operation: Operation, call: ApiRequest) -> ApiResponse:
    """POST an action: it is taken, and nothing comes of it."""
    return operations.done("Action accepted")


def get_all(operations: Operations, operation: Operation, call: ApiRequest) -> ApiResponse:
    """GET all records of a kind at once, without pages."""
    kind: EntityKind = "codes" if operation.name == "codes.get" else "adb_intervals"
    usual = "codes" if kind == "codes" else "adbIntervals"
    name = operations.settings.list_names.get(operation.name, usual)
    ids, _ = operations.entities.find(kind, call.client_no, {}, _ALL)
    return reply(200, {name: operations.entities.page(ids)})


def latest_closed(operations: Operations, operation: Operation, call: ApiRequest) -> ApiResponse:
    """GET the movements of the latest period that is closed."""
    ids, _ = operations.entities.find("gl_movements", call.client_no, {"closed": "true"}, _ALL)
    found = operations.entities.page(ids)
    if not found:
        return refusal(404, "no period is closed")
    latest = max(_period(record) for record in found)
    year, period = latest
    return reply(200, {"year": year, "period": period, "glMovements": [record for record in found if _period(record) == latest]})


def health(operations: Operations, operation: Operation, call: ApiRequest) -> ApiResponse:
    """GET the health of the API."""
    return reply(200, {"status": "OK"})


def _period(record: JsonObject) -> tuple[int, int]:
    """Returns the year and the period of a movement; what is no whole number is 0."""
    year, period = (value if isinstance(value, int) else 0 for value in (record.get("year"), record.get("period")))
    return year, period


def _kind(operation: Operation) -> EntityKind:
    """Returns the kind of an operation's records: its section has the same name."""
    return cast("EntityKind", operation.section)


OPERATIONS: Sequence[Operation] = (
    Operation("actions.create", None, "body", take),
    Operation("actions.create_report", None, "body", take),
    Operation("ar_items.list", None, None, list_entities),
    Operation("ar_items.get", None, None, get_entity),
    Operation("ar_items.update", None, "body", update_ar_item),
    Operation("auto_postings.create", None, "body", postings.create),
    Operation("client_configs.list", None, None, list_entities),
    Operation("client_configs.get", None, None, get_entity),
    Operation("codes.get", None, None, get_all),
    Operation("document_bundles.list", None, None, list_entities),
    Operation("document_bundles.get", None, None, get_entity),
    Operation("files.list", None, None, list_entities),
    Operation("files.upload", None, "body", files.upload),
    Operation("files.get", None, None, files.get),
    Operation("gl_items.list", None, None, list_entities),
    Operation("gl_items.get", None, None, get_entity),
    Operation("gl_movements.latest_closed", None, None, latest_closed),
    Operation("gl_movements.list", None, None, list_entities),
    Operation("insights.adb_intervals", None, None, get_all),
    Operation("log_items.list", None, None, list_entities),
    Operation("log_items.get", None, None, get_entity),
    Operation("payment_reservations.create", None, "body", payments.create),
    Operation("health.check", None, None, health),
)
