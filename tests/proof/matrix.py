"""One cell of the fault matrix: a run of two batches whose first one meets a fault, and the next run with the same `run_id`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amili_arm_async import BulkError, BulkReport

from ..support.wire_faults import BEFORE_CONNECT, WIRE_FAULTS
from .accounts import Account, account_of, check, check_once, make_client, quick
from .cases import MARKED, Case
from .control import Tenant, Truth

__all__ = ["CaseResult", "run_case"]

RECORDS = 10
BATCH = 5

SILENT = {name for name, fault in WIRE_FAULTS.items() if fault.ends == "stall" or "stall" in name or name == "poll_drops"}
"""Faults that a time-out ends: for the others the client waits long, so that no slow machine makes one."""


@dataclass(frozen=True)
class CaseResult:
    """What a run told, what the server knows, and whether the run could not continue."""

    account: Account
    truth: Truth
    error: BulkError | None


def records_of(case: Case, operation: str, *, fixed: bool) -> list[dict[str, Any]]:
    """Ten records; the marked one asks the server for its fault."""
    documents = operation.startswith("documents")
    name = "documentNo" if documents else "customerNo"
    records: list[dict[str, Any]] = [
        {name: f"k{number}", **({"documentType": "IN", "customerNo": "1"} if documents else {"name": "Somebody"})}
        for number in range(RECORDS)
    ]
    if case.mark is not None and not (fixed and case.mark.startswith("bad")):
        records[MARKED]["buyerReference"] = case.mark
    return records


async def run_case(tenant: Tenant, case: Case, operation: str, journal: Path | None) -> list[CaseResult]:
    """The run that meets the fault, checked against the server's truth; with a journal also the next one."""
    base_url, open_up = _prepare(tenant, case)
    outcomes = []
    for attempt in range(1 if journal is None else 2):
        if attempt:
            tenant.plan(well=True)
            open_up()
        records = records_of(case, operation, fixed=bool(attempt))
        settings = dict(case.options)
        if journal is not None:
            settings |= {"journal": str(journal), "run_id": "matrix"}

        def progress(now: Any) -> None:
            if now.trouble is not None:
                open_up()

        read = 0.5 if case.name in SILENT else 5.0
        report, error = await _run(tenant, operation, records, base_url, read, {**settings, "on_progress": progress})
        truth = await asyncio.to_thread(tenant.truth)
        account = account_of(report, RECORDS)
        check(operation.partition(".")[0], records, account, truth)
        check_once(records, truth)
        outcomes.append(CaseResult(account, truth, error))
    return outcomes


def _prepare(tenant: Tenant, case: Case) -> tuple[str | None, Callable[[], None]]:
    """Tells the server of the fault; gives the address for the run, and what ends a fault of the connection."""
    modes = {"refused": "refuse", "connect_stalls": "stall", "accept_reset": "reset", "accept_close": "close"}
    if case.name in modes:
        port = tenant.bad_port(modes[case.name])
        left = [port] if case.name in {"refused", "connect_stalls"} else []
        return f"http://127.0.0.1:{port}/arm/v1", lambda: tenant.open_port(left.pop()) if left else None
    if case.name == "tls_fails":
        return tenant.base_url.replace("http:", "https:"), lambda: None
    if case.fault.point == BEFORE_CONNECT:
        tenant.plan(tokens=[int(case.name.removeprefix("token_"))])
    elif case.mark is None or not case.mark.startswith("bad"):
        tenant.plan(faults=[case.name])
    return None, lambda: None


async def _run(
    tenant: Tenant, operation: str, records: list[dict[str, Any]], base_url: str | None, read: float, options: dict[str, Any]
) -> tuple[BulkReport, BulkError | None]:
    resource, _, method = operation.partition(".")
    async with make_client(tenant, read=read, base_url=base_url) as arm:
        run = getattr(getattr(arm, resource), method)(records, options=quick(**options))
        try:
            return await asyncio.wait_for(_whole(run), 30), None
        except BulkError as error:
            if error.report is not run.report or error.__cause__ is None:
                raise AssertionError("the error has another report, or no cause") from error
            return run.report, error


async def _whole(run: Any) -> Any:
    return await run
