"""The result of a batch in forms that are rare: what the API's pages leave open, and the library reads all the same. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["odd_result", "rare_result"]

_Records = Sequence[dict[str, Any]]


def rare_result(uuid: str, records: _Records, failed: set[int], draw: float) -> tuple[int, Any]:
    """Returns a result of a batch, in one of several forms: each is true, and some say less than others.

    Args:
        uuid: of the batch.
        records: its records.
        failed: the positions of those that failed.
        draw: which form it is, from 0 to 1.
    """
    made = _FORMS[int(draw * len(_FORMS))](records, failed)
    return 200, {"batchUuid": uuid, **made}


def odd_result(uuid: str, records: _Records, failed: set[int], draw: float) -> tuple[int, Any]:
    """Returns a result of a batch that can be read as more than it says.

    Args:
        uuid: of the batch.
        records: its records.
        failed: the positions of those that failed.
        draw: which form it is, from 0 to 1.
    """
    made = (_one_flag, _twice_each, _of_customers)[int(draw * 3)](records, failed)
    return 200, {"batchUuid": uuid, **made}


def _one_flag(records: _Records, failed: set[int]) -> dict[str, Any]:
    """A flag for the whole, where that is true."""
    if len(failed) not in {0, len(records)}:
        return _counted_as_text(records, failed)
    return {"success": not failed}


def _twice_each(records: _Records, failed: set[int]) -> dict[str, Any]:
    """An entry for each of two steps, of which only the second one may have failed."""
    steps = [[{"documentNo": _number(one), "status": "SUCCEEDED"} for one in records] for _ in range(2)]
    for place in failed:
        steps[1][place]["status"] = "FAILED"
    return {"status": "DONE", "documents": [entry for both in zip(*steps, strict=True) for entry in both]}


def _of_customers(records: _Records, failed: set[int]) -> dict[str, Any]:
    """Entries of the customers, of whom none has failed."""
    entries = [{"customerNo": one.get("customerNo"), "status": "SUCCEEDED"} for one in records]
    return {"status": "PARTIAL" if failed else "SUCCEEDED", "customers": entries}


def _number(record: dict[str, Any]) -> Any:
    return record.get("documentNo")


def _in_another_order(records: _Records, failed: set[int]) -> dict[str, Any]:
    """Entries backwards, with numbers in other letters; records without a number are known by their place alone."""
    entries = [
        {"documentNo": number and number.swapcase(), "status": "FAILED" if place in failed else "SUCCEEDED"}
        for place, number in enumerate(map(_number, records))
    ]
    return {"documents": entries if None in map(_number, records) else entries[::-1], "status": "PARTIAL" if failed else "SUCCEEDED"}


def _all_failed_and_some_did(records: _Records, failed: set[int]) -> dict[str, Any]:
    return {"status": "FAILED" if failed else "SUCCEEDED", "numberRecordsFailed": len(failed)}


def _some_succeeded(records: _Records, failed: set[int]) -> dict[str, Any]:
    return {"status": "FAILED" if failed else "SUCCEEDED", "succeeded": len(records) - len(failed)}


def _by_index(records: _Records, failed: set[int]) -> dict[str, Any]:
    return {"status": "SUCCEEDED", "errors": [{"index": place, "message": "bad"} for place in sorted(failed)]}


def _by_path(records: _Records, failed: set[int]) -> dict[str, Any]:
    # The word is that of the worst record.
    errors = [{"path": f"documents[{place}].customerNo", "message": "bad"} for place in sorted(failed)]
    return {"status": "FAILED" if failed else "SUCCEEDED", "errors": errors}


def _in_a_sentence(records: _Records, failed: set[int]) -> dict[str, Any]:
    return {"status": "SUCCEEDED", "message": f"{len(records) - len(failed)} of {len(records)} documents were processed"}


def _counted_as_text(records: _Records, failed: set[int]) -> dict[str, Any]:
    return {"result": {"status": "DONE"}, "status": "SUCCEEDED", "counts": {"failed": str(len(failed))}}


def _under_its_number(records: _Records, failed: set[int]) -> dict[str, Any]:
    numbers = [_number(records[place]) for place in sorted(failed)]
    if None in numbers:
        return _counted_as_text(records, failed)
    return {"status": "SUCCEEDED", "rejected": dict.fromkeys(numbers, "no such customer")}


def _with_errors_in_entries(records: _Records, failed: set[int]) -> dict[str, Any]:
    entries = [{"documentNo": _number(one), "errors": ["bad"] if place in failed else []} for place, one in enumerate(records)]
    return {"status": "SUCCEEDED", "documents": entries}


def _with_flags(records: _Records, failed: set[int]) -> dict[str, Any]:
    entries = [{"documentNo": _number(one), "success": place not in failed} for place, one in enumerate(records)]
    return {"status": "SUCCEEDED", "documents": entries}


def _failures_apart(records: _Records, failed: set[int]) -> dict[str, Any]:
    return {
        "status": "SUCCEEDED",
        "data": {"failedDocuments": [{"documentNo": _number(records[place]), "row": place + 1} for place in sorted(failed)]},
    }


_FORMS: tuple[Callable[[_Records, set[int]], dict[str, Any]], ...] = (
    _in_another_order,
    _all_failed_and_some_did,
    _some_succeeded,
    _by_index,
    _by_path,
    _in_a_sentence,
    _counted_as_text,
    _under_its_number,
    _with_errors_in_entries,
    _with_flags,
    _failures_apart,
)
