"""Auto postings: a set of postings that is accepted as a whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from .operations import ApiRequest, ApiResponse, Operation, Operations, refusal, reply
from .processing import JsonObject, fold

if TYPE_CHECKING:
    from collections.abc import Sequence

LIST = "autoPostings"


def of_body(value: Any) -> Sequence[Any]:
    """Returns the postings of a body: those under `autoPostings`, those of a list, or the one object."""
    if isinstance(value, dict):
        value = value.get(LIST, [value])
    if not isinstance(value, list):
        raise ValueError(f"the list named {LIST} is missing")
    if not value:
        raise ValueError("there is no posting")
    return value


def create(operations: Operations, operation: Operation, call: ApiRequest) -> ApiResponse:
    """POST auto postings: if one fails, none is posted, and those that would have passed are BATCH-REJECTED."""
    method = call.params["autopostingmethod"]
    methods = operations.settings.auto_posting_methods
    if methods is not None and fold(method) not in {fold(one) for one in methods}:
        return refusal(404, "no such auto posting method")
    faults = [_fault(operations, posting) for posting in call.entries]
    if any(fault is not None for fault in faults):
        return _failed(operations, call.entries, faults)
    validate_only = any(_validates_only(one) for one in (call.value, *call.entries))
    if not validate_only:
        _post(operations, call, method)
    words = operations.settings.words
    answer = {
        "status": words.processed,
        "result": words.succeeded,
        "message": f"{len(call.entries)} auto postings {'validated only' if validate_only else 'posted'}",
        LIST: [_entry(posting, words.succeeded, "") for posting in call.entries],
    }
    return reply(200, answer, taken=not validate_only)


def _failed(operations: Operations, entries: Sequence[Any], faults: Sequence[str | None]) -> ApiResponse:
    words = operations.settings.words
    rejected = "another posting of the batch failed"
    answer = {
        "status": words.processed,
        "result": words.failed,
        "message": f"{sum(fault is not None for fault in faults)} of {len(entries)} auto postings failed, none is posted",
        LIST: [
            _entry(posting, "BATCH-REJECTED" if fault is None else words.failed, fault or rejected)
            for posting, fault in zip(entries, faults, strict=True)
        ],
    }
    return reply(operations.settings.auto_posting_failure_status, answer)


def _entry(posting: Any, result_type: str, message: str) -> JsonObject:
    """Returns what is answered about one posting: the posting itself, and what became of it."""
    sent = posting if isinstance(posting, dict) else {}
    return {**sent, "resultType": result_type, "message": message}


def _fault(operations: Operations, posting: Any) -> str | None:
    if not isinstance(posting, dict):
        return "the posting is not an object"
    rejected = operations.ledger.rejected("auto_postings", posting)
    if rejected is not None:
        return rejected
    return "the posting has no amount" if _amount(posting) is None else None


def _amount(posting: Mapping[str, Any]) -> int | Decimal | None:
    """Returns the first number under a name with "amount" in it, or in an object under such a name; None if there is none."""
    for name, value in posting.items():
        if "amount" not in name.lower():
            continue
        for number in value.values() if isinstance(value, Mapping) else (value,):
            if isinstance(number, (int, Decimal)) and not isinstance(number, bool):
                return number
    return None


def _validates_only(value: Any) -> bool:
    """Returns whether a posting, or the whole body, says that it is only to be validated."""
    if not isinstance(value, dict):
        return False
    options = value.get("options")
    named = isinstance(options, list) and any(fold(option) == "validateonly" for option in options)
    return named or value.get("validateOnly") is True


def _post(operations: Operations, call: ApiRequest, method: str) -> None:
    """Makes the GL items of postings that passed: a debit and a credit of each. What ARM would post is not known."""
    with operations.ledger.store.transaction():
        for posting in call.entries:
            plain = {name: value for name, value in posting.items() if not isinstance(value, (dict, list)) and name != "glItemId"}
            amount = _amount(posting) or 0
            for side in (amount, -amount):
                made = {"clientNo": call.client_no, "autoPostingMethod": method, **plain, "amount": side}
                operations.entities.put("gl_items", call.client_no, made)
