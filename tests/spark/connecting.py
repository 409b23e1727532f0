"""What the tests give as `client`: it makes a client, and may let the process die or freeze at a named point."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amili_arm_async import ArmClient, RetryPolicy, Timeout

from ..proof.control import Tenant

__all__ = ["Connecting", "Trouble"]


@dataclass(frozen=True)
class Trouble:
    """What goes wrong in the first attempt at one partition.

    Attributes:
        point: `"intent"`, after a batch was recorded as about to be sent, or `"accepted"`, before the 202 is recorded.
        signal: what the process sends there.
        to_executor: whether to the executor (a JVM) that it works for, rather than to itself.
        partition: of Spark.
        batch: at which batch of the process, from 1.
    """

    point: str
    signal: int = signal.SIGKILL
    to_executor: bool = False
    partition: int = 0
    batch: int = 2


@dataclass(frozen=True)
class Connecting:
    """Makes a client for a tenant.

    Attributes:
        client_no, base_url: of the tenant.
        folder: where each attempt at a task leaves a file, or None.
        trouble: what goes wrong.
        user: named in each batch: so the server knows whose it is.
    """

    client_no: int
    base_url: str
    folder: str | None = None
    trouble: Trouble | None = None
    user: str | None = None

    @classmethod
    def to(cls, tenant: Tenant, **more: Any) -> Connecting:
        return cls(tenant.client, tenant.base_url, **more)

    def __call__(self) -> ArmClient:
        _restore()
        context = _task()
        if context is not None and self.folder is not None:
            Path(self.folder, f"{context.partitionId()}-{context.attemptNumber()}-{os.getpid()}").touch()
        if (
            context is not None
            and self.trouble is not None
            and (context.partitionId(), context.attemptNumber()) == (self.trouble.partition, 0)
        ):
            _instrument(self.trouble)
        return ArmClient(
            self.client_no,
            auth="a-token",
            base_url=self.base_url,
            user_id=self.user,
            timeout=Timeout(connect=5, read=10),
            retry=RetryPolicy(base_delay=0.01, max_delay=0.05),
        )


def _task() -> Any:
    from pyspark import TaskContext

    return TaskContext.get()


def _executor() -> int:
    """The executor that this worker of Python works for: one of the processes above it."""
    process = os.getppid()
    while b"CoarseGrainedExecutorBackend" not in Path(f"/proc/{process}/cmdline").read_bytes():
        # "pid (name) state parent ...", where the name may have blanks and brackets.
        process = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    return process


_UNTOUCHED: dict[str, Any] = {}
"""The methods that `_instrument` has replaced."""


def _restore() -> None:
    """Takes the trouble of an earlier task out of this process: Spark uses one for many tasks, and those of the next test would meet it."""
    from amili_arm_async.bulk.journal.postgres.journal import PostgresRunJournal

    for name, method in _UNTOUCHED.items():
        setattr(PostgresRunJournal, name, method)


def _instrument(trouble: Trouble) -> None:
    from amili_arm_async.bulk.journal.postgres.journal import PostgresRunJournal

    reached = 0

    def at(point: str) -> None:
        nonlocal reached
        if point == trouble.point:
            reached += 1
            if reached == trouble.batch:
                os.kill(_executor() if trouble.to_executor else os.getpid(), trouble.signal)

    before_send, accepted = PostgresRunJournal.before_send, PostgresRunJournal.accepted
    _UNTOUCHED.update(before_send=before_send, accepted=accepted)

    async def intend(self: PostgresRunJournal, in_flight: Any) -> Any:
        found = await before_send(self, in_flight)
        at("intent")
        return found

    async def accept(self: PostgresRunJournal, in_flight: Any, batch_uuid: str, *, is_first: bool) -> bool:
        at("accepted")
        return await accepted(self, in_flight, batch_uuid, is_first=is_first)

    PostgresRunJournal.before_send, PostgresRunJournal.accepted = intend, accept  # type: ignore[method-assign]
