"""What the tests of the journal share: records, a run as a whole with all that it told, and what the server saw of it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import sqlite3
import threading
from collections import Counter
from collections.abc import AsyncIterable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from amili_arm_async import ArmClient, BatchWords, BulkOptions, BulkReport, JournalRun, RecordOutcome, RetryPolicy, Timeout, read_journal
from amili_arm_async.bulk.journal.sqlite import inspect as reading
from amili_arm_async.sandbox import Fault, Sandbox

QUICK = RetryPolicy(attempts=5, base_delay=0.005, max_delay=0.02)

BATCHES = "/batches"
"""Part of the path of every call that sends a batch, and of every question for a result."""

OPEN = {"accepted", "unknown"}
SUCCESS = {"succeeded", "done_before"}


def quick(**settings: Any) -> BulkOptions:
    """Options of a run against a server on this machine."""
    return BulkOptions(**{"poll_first": 0.005, "poll_max": 0.02, "patience": 10.0, "deadline": 10.0, **settings})


def client_of(sandbox: Sandbox, client_no: int = 2218, words: BatchWords | None = None) -> ArmClient:
    """A client of a sandbox."""
    timeout = Timeout(connect=5, read=5)
    return ArmClient(
        client_no, auth=sandbox.token, base_url=sandbox.base_url, retry=QUICK, timeout=timeout, batch_words=words or BatchWords()
    )


# --- records --------------------------------------------------------------------------------------------------------------


def invoice(number: str | None, amount: Any = 5, **more: Any) -> dict[str, Any]:
    """A document as a mapping; without number where that is None."""
    named = {} if number is None else {"documentNo": number}
    return {**named, "documentType": "IN", "customerNo": "1", "currencyAmounts": {"exclVat": amount, "vat": 1}, **more}


def invoices(count: int, start: int = 0) -> list[dict[str, Any]]:
    """Documents with the numbers D000 and so on, each with content of its own."""
    return [invoice(f"D{index:03}", index) for index in range(start, start + count)]


def bare_invoices(count: int, start: int = 0) -> list[dict[str, Any]]:
    """Documents without a number, each with content of its own."""
    return [invoice(None, index) for index in range(start, start + count)]


def customer(number: str, name: str) -> dict[str, Any]:
    return {"customerNo": number, "name": name}


def customers(count: int, name: str = "Kari") -> list[dict[str, Any]]:
    return [customer(f"{index:03}", f"{name} {index}") for index in range(count)]


# --- a run ----------------------------------------------------------------------------------------------------------------


@dataclass
class RunOutcome:
    """What a run told.

    Attributes:
        report: of the run.
        error: what it raised, or None.
        failures: by the place in the source, what became of those that did not succeed.
    """

    report: BulkReport
    error: BaseException | None = None
    failures: dict[int, RecordOutcome] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, int]:
        """The counts that are not 0."""
        return {state: number for state, number in self.report.counts.items() if number}

    @property
    def reasons(self) -> dict[str, int]:
        """How often each state with its reason is told, of what did not succeed."""
        return dict(Counter(f"{one.state}/{one.reason}" if one.reason else one.state for one in self.failures.values()))

    def state(self, index: int) -> str:
        """The state of a record; `success` for all that succeeded."""
        return self.failures[index].state if index in self.failures else "succeeded"

    @property
    def states(self) -> list[str]:
        """The state of each record that was read."""
        return [self.state(index) for index in range(self.report.totals.records_read)]


def outcome_of(report: BulkReport, error: BaseException | None = None) -> RunOutcome:
    """What a report tells, each record in exactly one state."""
    failures = list(report.failures())
    outcome = RunOutcome(report, error, {one.index: one for one in failures})
    assert sum(report.counts.values()) == report.totals.records_read, "the counts don't add up to what was read"
    assert len(outcome.failures) == len(failures) == report.failed_records, "a record is named twice, or not at all"
    assert all(0 <= index < report.totals.records_read for index in outcome.failures)
    named = Counter(one.state for one in failures)
    assert named.pop("accepted", 0) in {0, report.counts["accepted"]}
    assert {state: number for state, number in report.counts.items() if number and state not in {*SUCCESS, "accepted"}} == dict(named)
    return outcome


async def send(
    arm: ArmClient,
    source: Iterable[Any] | AsyncIterable[Any],
    *,
    kind: str = "documents",
    update: bool = False,
    raises: type[BaseException] | tuple[type[BaseException], ...] = (),
    **settings: Any,
) -> RunOutcome:
    """Does a run to its end; what it is expected to raise is in what it told."""
    resource = getattr(arm, kind)
    run = (resource.update_many if update else resource.create_many)(source, options=quick(**settings))
    error: BaseException | None = None
    try:
        await run
    except raises as exc:
        error = exc
    if raises:
        assert error is not None, f"it raised nothing: {run.report}"
    return outcome_of(run.report, error)


async def awaited(run: Any) -> BulkReport:
    """A run as a coroutine, for a task."""
    report: BulkReport = await run
    return report


def ends_after(records: Iterable[Any], error: Exception | None = None) -> Iterator[Any]:
    """A source that raises after these records."""
    yield from records
    raise error or LookupError("the export broke off")


async def slowly(records: Iterable[Any]) -> AsyncIterable[Any]:
    """An async source."""
    for record in records:
        await asyncio.sleep(0)
        yield record


async def the_run(path: Path, **which: Any) -> JournalRun:
    """The run of a journal that is meant; it is the only one."""
    runs = [run for run in await read_journal(path, keys=True) if all(getattr(run, name) == value for name, value in which.items())]
    assert len(runs) == 1, runs
    return runs[0]


def snapshot(path: Path, copy: Path) -> None:
    """A copy of a journal as it is on the disk now, as if its process had died; its own locks stay as they are."""
    with (
        contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as before,
        contextlib.closing(sqlite3.connect(copy)) as after,
    ):
        before.backup(after)
    # It stands for the journal itself, and not for a copy of it.
    reading.adopt(copy)


def lines_of(path: Path) -> list[dict[str, Any]]:
    """The lines of a dead letter file."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]


# --- the server -----------------------------------------------------------------------------------------------------------


def writes(sandbox: Sandbox) -> int:
    """How many requests that write have come."""
    return sum(number for name, number in sandbox.requests.items() if name.startswith(("POST", "PUT")) and "identity" not in name)


def questions(sandbox: Sandbox) -> int:
    """How often a batch was asked for."""
    return sum(number for name, number in sandbox.requests.items() if name.startswith("GET") and BATCHES in name)


def bodies(sandbox: Sandbox) -> int:
    """How many of the last 1000 requests had a body."""
    return sum(seen.body_bytes > 0 or seen.method not in {"GET", "HEAD"} for seen in sandbox.recent)


def plan(sandbox: Sandbox, faults: Sequence[Fault | None], *, method: str = "POST", path: str = "documents/batches") -> None:
    """Lets the n-th request that matches meet the n-th fault; None: it goes well, and so does what comes after the last."""
    for rank, (place, fault) in enumerate((place, fault) for place, fault in enumerate(faults) if fault is not None):
        # What an earlier fault has met does not come this far.
        sandbox.inject(fault, method=method, path=path, skip=place - rank)


FAULTS: dict[str, Fault | None] = {
    "ok": None,
    "refused": Fault.status(400),
    "unprocessable": Fault.status(422),
    "error": Fault.status(500),
    "error_taken": Fault.status(502, taken=True),
    "reset_before": Fault.reset_before(),
    "reset_after": Fault.reset_after(),
    "cut": Fault.cut(),
    "garbage": Fault.garbage(),
    "no_uuid": Fault.no_uuid(),
    "later": Fault.status(429),
    "forbidden": Fault.status(403),
}
"""What may happen to a batch of documents, by a name."""

TAKEN = {"error_taken", "reset_after", "cut", "garbage", "no_uuid"}
"""Faults after which the server has the batch, and the client can't know."""

UNKNOWN = TAKEN | {"error", "reset_before"}
"""Faults after which the client can't know."""


_TURNS = 1000
"""Turns of a loop in which what needs no other process is done."""


async def until(condition: Any) -> None:
    """Waits until something is true that the loop, or another process, brings about."""
    turns = 0
    async with asyncio.timeout(50):
        while not condition():
            turns += 1
            # A process that starts needs the processor.
            await asyncio.sleep(0 if turns < _TURNS else 0.005)


def journal_threads() -> list[threading.Thread]:
    """The threads of journals that are there."""
    return [thread for thread in threading.enumerate() if "journal" in thread.name]


_CLIENTS = itertools.count(100_000)


def new_client_no() -> int:
    """A client number that no test has used."""
    return next(_CLIENTS)
