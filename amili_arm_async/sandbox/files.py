"""Uploaded files: several in one body, each with its own outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .contents import content_field, decoded
from .operations import ApiRequest, ApiResponse, Operation, Operations, refusal, reply
from .processing import JsonObject

if TYPE_CHECKING:
    from collections.abc import Sequence

LIST = "files"


def of_body(value: Any) -> Sequence[Any]:
    """Returns the files of a body: those under `files`, else the first list of objects under any name."""
    fields = value if isinstance(value, dict) else {}
    for found in (fields.get(LIST), *fields.values()):
        if isinstance(found, list) and found and all(isinstance(one, dict) for one in found):
            return found
    raise ValueError("a JSON object with a list of files is expected")


def upload(operations: Operations, operation: Operation, call: ApiRequest) -> ApiResponse:
    """POST files: 200 where all are stored, 207 where one is not."""
    with operations.ledger.store.transaction():
        outcomes = [_store(operations, call.client_no, file) for file in call.entries]
    failed = sum(outcome["status"] != 200 for outcome in outcomes)
    words = operations.settings.words
    answer = {
        "status": words.processed,
        "result": words.succeeded if not failed else words.failed if failed == len(outcomes) else words.partial,
        "message": f"{len(outcomes) - failed} of {len(outcomes)} files stored",
        LIST: outcomes,
    }
    return reply(207 if failed else 200, answer, taken=failed < len(outcomes))


def _store(operations: Operations, client_no: int, file: JsonObject) -> JsonObject:
    """Stores one file, unless a test wants it refused; returns what is answered about it."""
    named = {"fileName": file["fileName"]} if "fileName" in file else {}
    rejected = operations.ledger.rejected("files", file)
    if rejected is not None:
        return {**named, "status": 422, "message": rejected}
    given = {name: value for name, value in file.items() if name != "fileId"}
    stored = operations.entities.put("files", client_no, given)
    return {**named, "fileId": stored["fileId"], "status": 200, "message": "File stored"}


def get(operations: Operations, operation: Operation, call: ApiRequest) -> ApiResponse:
    """GET one file: the object that was stored, or what is in it."""
    found = operations.entities.get("files", call.client_no, call.params["fileid"])
    if found is None:
        return refusal(404, "no such file")
    record = found.record
    if operations.settings.file_style == "json":
        return operations.one(operation, record)
    field = content_field(record)
    content = b"" if field is None else decoded(record[field]) or b""
    return ApiResponse(200, content, content_type="application/octet-stream")
