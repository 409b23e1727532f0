"""Parses the records in the body of a request, and counts what was delivered and accepted."""

from __future__ import annotations

from . import files, postings, processing
from .operations import ApiRequest, ApiResponse, Operation, Operations, refusal


def read(operations: Operations, operation: Operation, call: ApiRequest) -> None:
    """Finds the records in the body of a write; `ValueError` says what is wrong with it."""
    if operation.writes in ("one", "body"):  # of a batch it would cost too much: the app and the ledger do that
        processing.refuse_depth(call.body)
    if operation.writes in ("one", "batch"):
        call.records = operations.pieces(operation, call.body)
    elif operation.name == "auto_postings.create":
        call.value = processing.decode(call.body)
        call.entries = postings.of_body(call.value)
    elif operation.name == "files.upload":
        call.value = processing.decode(call.body)
        call.entries = files.of_body(call.value)
    elif operation.writes == "body":
        call.value = processing.decode_object(call.body)
        call.entries = (call.value,)


def answer(operations: Operations, operation: Operation, call: ApiRequest) -> ApiResponse:
    """Returns the answer to a call whose records are found."""
    if operation.writes != "body":
        return operation.answer(operations, operation, call)
    if any(operations.ledger.poisoned(operation.section, entry) for entry in call.entries):
        return refusal(400, "a record of the body is not valid")
    if operation.section not in ("auto_postings", "files"):  # these fail one by one
        rejected = operations.ledger.rejected(operation.section, call.value)
        if rejected is not None:
            return refusal(422, rejected)
    return operation.answer(operations, operation, call)


def count(operations: Operations, operation: Operation, call: ApiRequest, *, taken: bool) -> None:
    """Counts what was delivered and taken."""
    if operation.writes == "body":
        operations.received.note(operation.name, call.client_no, call.body, taken=taken)
    elif call.records and operation.kind is not None:
        keys = operations.ledger.keys(operation.kind, call.records)
        operations.ledger.store.count(operation.kind, call.client_no, keys, taken=taken)
