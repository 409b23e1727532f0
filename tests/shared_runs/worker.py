"""A process that sends one part of a shared run, and dies or freezes at a named point: `python -m tests.shared_runs.worker JSON`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import Any

import msgspec

from amili_arm_async import ArmClient, ArmError, BulkOptions, RetryPolicy, Timeout
from amili_arm_async.bulk.journal.postgres.journal import PostgresRunJournal

from .samples import PARTS, RUN_ID, own

POINTS = ("before the intent", "after the intent", "before the 202 is recorded", "after the 202 was recorded")


class Task(msgspec.Struct):
    """What a worker does.

    Attributes:
        database: the URL of the journal.
        base_url, token: of the service.
        part: the part that it sends.
        lease: seconds.
        point: where it dies or freezes, at its second batch; None: nowhere.
        freezes: whether it freezes there.
        reconcile: seconds after which it looks documents up whose outcome is unknown; None: it does not.
        patience: seconds for which it waits for a service or a database.
        slowly: seconds between two documents.
    """

    database: str
    base_url: str
    token: str
    part: int
    lease: float = 1.0
    point: str | None = None
    freezes: bool = False
    reconcile: bool = False
    patience: float = 30.0
    slowly: float = 0.0


class Point:
    """Kills or freezes this process when it is reached for the second time."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._reached = 0

    def at(self, point: str) -> None:
        if point == self._task.point:
            self._reached += 1
            if self._reached == 2:
                os.kill(os.getpid(), signal.SIGSTOP if self._task.freezes else signal.SIGKILL)


def instrument(task: Task) -> None:
    point = Point(task)
    before_send, accepted = PostgresRunJournal.before_send, PostgresRunJournal.accepted

    async def intend(self: PostgresRunJournal, in_flight: Any) -> Any:
        point.at(POINTS[0])
        found = await before_send(self, in_flight)
        point.at(POINTS[1])
        return found

    async def accept(self: PostgresRunJournal, in_flight: Any, batch_uuid: str, *, is_first: bool) -> bool:
        point.at(POINTS[2])
        found = await accepted(self, in_flight, batch_uuid, is_first=is_first)
        point.at(POINTS[3])
        return found

    PostgresRunJournal.before_send, PostgresRunJournal.accepted = intend, accept  # type: ignore[method-assign]


async def work(task: Task) -> dict[str, Any]:
    async def source() -> Any:
        for record in own(task.part):
            await asyncio.sleep(task.slowly)
            yield record

    options = BulkOptions(
        max_records=3, concurrency=1, poll_first=0.01, poll_max=0.05, patience=task.patience, deadline=30.0, reconcile=task.reconcile
    )
    arm = ArmClient(
        2218,
        auth=task.token,
        base_url=task.base_url,
        retry=RetryPolicy(base_delay=0.01, max_delay=0.05),
        timeout=Timeout(connect=5, read=5),
    )
    async with arm, arm.documents.shared_run(task.database, run_id=RUN_ID, parts=PARTS, lease=task.lease, options=options) as run:
        sending = run.send_part(task.part, source() if task.slowly else own(task.part))
        error: ArmError | None = None
        try:
            await sending
        except ArmError as exc:
            error = exc
        counts = {state: number for state, number in sending.report.counts.items() if number}
        return {"counts": counts, "error": str(error) if error is not None else None}


if __name__ == "__main__":
    chosen = msgspec.json.decode(sys.argv[1], type=Task)
    instrument(chosen)
    sys.stdout.write(msgspec.json.encode(asyncio.run(work(chosen))).decode())
