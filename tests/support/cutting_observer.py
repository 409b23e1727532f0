"""A watcher that cuts its run off."""

from __future__ import annotations

import asyncio

from amili_arm_async import BatchOutcome
from amili_arm_async.bulk.observers import RunObserver


class Cutting(RunObserver):
    """Cancels the run when so many records have their final state."""

    def __init__(self, settled: int) -> None:
        self.left = settled
        self.task: asyncio.Future[object] | None = None

    def on_settled(self, outcome: BatchOutcome) -> None:
        before, self.left = self.left, self.left - len(outcome)
        if self.left <= 0 < before and self.task is not None:
            self.task.cancel()
