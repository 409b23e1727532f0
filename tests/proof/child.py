"""The programs that are killed: one bulk run with a journal, written with nothing but the public face of the library; one command."""

from __future__ import annotations

import asyncio
import faulthandler
import json
import os
import resource
import signal
import sys
import traceback
from collections.abc import AsyncIterator
from typing import Any

import amili_arm_async
from amili_arm_async import ArmClient, BulkError, BulkOptions, BulkReport, ClientCredentials, RetryPolicy, Timeout

from .kill_points import arm_kill
from .sources import Source

__all__ = ["run", "run_command"]


async def _send(instructions: dict[str, Any]) -> BulkReport:
    source = Source(**instructions["source"])
    records = source.yielded(instructions["places"], instructions["attempt"])
    options = dict(instructions["options"])
    if options.get("reconcile"):
        options["reconcile"] = amili_arm_async.Reconcile(**options["reconcile"])
    auth = ClientCredentials(client_id="proof", client_secret="proof", identity_url=instructions["identity_url"])
    async with ArmClient(
        instructions["client"],
        auth=auth,
        base_url=instructions["base_url"],
        user_id=instructions["user"],
        timeout=Timeout(connect=2, read=instructions.get("read", 2.0)),
        retry=RetryPolicy(base_delay=0.002, max_delay=0.02),
    ) as arm:
        resource_, _, method = instructions["operation"].partition(".")
        given: Any = (record for record in records) if instructions["attempt"] % 2 else records
        if "shared" in instructions:
            return await _send_part(arm, given, options, **instructions["shared"])
        if "beside" in instructions:
            given = _with_others_beside(records, instructions["beside"], options["journal"])
        return await getattr(getattr(arm, resource_), method)(given, options=BulkOptions(**options))


async def _send_part(arm: ArmClient, records: Any, options: dict[str, Any], *, part: int, parts: int, lease: float) -> BulkReport:
    """One part of a shared run; records of other parts are passed over."""
    journal, run_id = options.pop("journal"), options.pop("run_id")
    async with arm.documents.shared_run(journal, run_id=run_id, parts=parts, lease=lease, options=BulkOptions(**options)) as run:
        return await run.send_part(part, records, pass_over=True)


async def _with_others_beside(records: list[Any], when: int, journal: str) -> AsyncIterator[Any]:
    """The records; in the middle of them this process and then another one read the journal, as a person does who looks how far it is."""
    for number, record in enumerate(records):
        if number == when:
            assert (await amili_arm_async.read_journal(journal))[0].running
            program = "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute('SELECT count(*) FROM runs').fetchone())"
            process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, journal)
            assert await process.wait() == 0
        yield record


def _summary_of(report: BulkReport) -> dict[str, Any]:
    failures = [[failure.index, failure.key, failure.state, failure.reason] for failure in report.failures()]
    return {
        "counts": dict(report.counts),
        "failures": failures,
        "read": report.totals.records_read,
        "left_behind": dict(getattr(report, "left_behind", {})),
        "requests": report.totals.requests,
    }


def run(instructions: dict[str, Any]) -> None:
    """Does what it is told and writes what came of it; never returns where a kill is armed and reached."""
    signal.alarm(90)
    # One that hangs is ended with SIGABRT.
    faulthandler.enable()
    # Opened now: later this process may be another user, or have no room on the disk.
    out = os.open(instructions["result"], os.O_WRONLY | os.O_CREAT, 0o600)
    if "file_size" in instructions:
        resource.setrlimit(resource.RLIMIT_FSIZE, (instructions["file_size"], resource.RLIM_INFINITY))
    if "user_number" in instructions and os.geteuid() == 0:
        os.setgroups([])
        os.setgid(instructions["user_number"])
        os.setuid(instructions["user_number"])
    os.umask(instructions.get("umask", 0o022))
    os.chdir(instructions.get("folder", "/"))
    arm_kill(instructions.get("kill"))
    try:
        result = {"ended": "report", **_summary_of(asyncio.run(_send(instructions)))}
    except BulkError as error:
        cause = error.__cause__
        result = {"ended": "BulkError", "cause": type(cause).__name__, "text": f"{error} / {cause}", **_summary_of(error.report)}
    except Exception as error:
        result = {"ended": type(error).__name__, "text": f"{error}", "traceback": traceback.format_exc()}
    if "file_size" in instructions:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    os.write(out, json.dumps(result).encode())


def run_command(instructions: dict[str, Any]) -> None:
    """Runs `amili-arm` with these words and writes what it printed and its exit code."""
    from amili_arm_async.cli import main

    signal.alarm(90)
    out = os.open(instructions["result"], os.O_WRONLY | os.O_CREAT, 0o600)
    # What it prints goes to where errors go; what it prints for a program is asked for by `--json`, the last line.
    printed = os.open(f"{instructions['result']}.out", os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(printed, 1)
    os.environ.update(instructions["environment"])
    os.chdir(instructions["folder"])
    sys.argv = ["amili-arm", *instructions["command"]]
    code: Any = 0
    try:
        main()
    except SystemExit as ended:
        code = ended.code
    sys.stdout.flush()
    text = os.pread(printed, 100_000_000, 0).decode()
    os.write(out, json.dumps({"code": code, "printed": text}).encode())
