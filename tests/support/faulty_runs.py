"""What the tests here have in common: records, sources of each kind, quick settings, and what must be true after every run."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Iterator
from typing import Any, TypeVar

from amili_arm_async import ArmClient, BulkError, BulkOptions, BulkReport, Customer, Document, RetryPolicy, Timeout

from .faulty_api import FaultyServer

T = TypeVar("T")

SUCCESS = {"succeeded", "unchanged", "done_before"}
NOT_TAKEN = {"rejected", "invalid", "not_sent", "unchanged", "done_before", "blocked"}


def make_client(server: FaultyServer, **more: Any) -> ArmClient:
    settings: dict[str, Any] = {
        "auth": server.token,
        "base_url": server.base_url,
        "timeout": Timeout(connect=1, read=0.25),
        "retry": RetryPolicy(base_delay=0.002, max_delay=0.02),
    }
    return ArmClient(2218, **{**settings, **more})


def options(**more: Any) -> BulkOptions:
    settings: dict[str, Any] = {"max_records": 5, "concurrency": 4, "poll_first": 0.002, "poll_max": 0.02, "patience": 3.0, "deadline": 5.0}
    return BulkOptions(**{**settings, **more})


async def ends(work: Awaitable[T], seconds: float = 20.0) -> T:
    """The work, which must not hang."""

    async def whole() -> T:
        return await work

    return await asyncio.wait_for(whole(), seconds)


# --- records ------------------------------------------------------------------------------------------------------------


def document(number: str, kind: int = 0) -> Any:
    """A document as Struct, mapping or bytes."""
    value = {"documentType": "IN", "customerNo": "1", "documentNo": number}
    if kind % 3 == 0:
        return Document(document_type="IN", customer_no="1", document_no=number)
    return value if kind % 3 == 1 else json.dumps(value).encode()


def customer(number: str, kind: int = 0, name: str = "Somebody") -> Any:
    """A customer as Struct, mapping or bytes."""
    value = {"customerNo": number, "name": name}
    if kind % 3 == 0:
        return Customer(customer_no=number, name=name)
    return value if kind % 3 == 1 else json.dumps(value).encode()


def records(what: str, count: int, *, mixed: bool = True, start: int = 0) -> list[Any]:
    make = document if what == "documents" else customer
    return [make(f"k{n}", n if mixed else 0) for n in range(start, start + count)]


def in_form(items: list[Any], form: str) -> Any:
    """The same records as a list, a generator or an async generator."""

    def plain() -> Iterator[Any]:
        yield from items

    async def waiting() -> AsyncIterator[Any]:
        for number, item in enumerate(items):
            if number % 7 == 0:
                await asyncio.sleep(0)
            yield item

    return {"list": items, "generator": plain(), "async": waiting()}[form]


# --- what must be true --------------------------------------------------------------------------------------------------


def check(
    report: BulkReport, server: FaultyServer, *, start: int = 0, keys: list[str] | None = None, accepted_is_enough: bool = False
) -> dict[int, str]:
    """Whatever happened: the state of each record by its index, after the rules that hold for every report."""
    read = report.totals.records_read
    assert sum(report.counts.values()) == read, (dict(report.counts), read)
    failures = list(report.failures())
    states = {failure.index: failure.state for failure in failures}
    assert len(states) == len(failures), "a record is named twice"
    success = SUCCESS | ({"accepted"} if accepted_is_enough else set())
    expected = {state: number for state, number in report.counts.items() if number and state not in success}
    assert Counter(states.values()) == expected
    for failure in failures:
        key = keys[failure.index] if keys is not None else f"k{failure.index + start}"
        assert failure.key == key, (failure, key)
    rest = "accepted" if accepted_is_enough else "succeeded"
    for index in range(read):
        key = keys[index] if keys is not None else f"k{index + start}"
        state = states.setdefault(index, rest)
        if state in NOT_TAKEN:
            assert not server.taken[key], f"{key} was taken, and is called {state}"
        elif state in {"succeeded", "accepted", "failed"}:
            assert server.taken[key], f"{key} was not taken, and is called {state}"
        if state == "succeeded":
            assert key in server.said_succeeded, f"nobody said that {key} succeeded"
        if state == "failed":
            assert key in server.said_failed, f"nobody said that {key} failed"
    return states


def check_once(server: FaultyServer) -> None:
    """No document was taken twice."""
    twice = {key: count for key, count in server.taken.items() if count > 1}
    assert not twice


async def run_to_end(run: Any, seconds: float = 20.0) -> tuple[BulkReport, BulkError | None]:
    """The report of a run, and the error if it could not continue."""
    try:
        return await ends(run, seconds), None
    except BulkError as error:
        if error.report is not run.report or error.__cause__ is None:
            raise AssertionError("the error has another report, or no cause") from error
        return run.report, error
