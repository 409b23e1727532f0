"""A line of JSON for each batch, on standard error where that is no terminal: for the log of a job that nobody watches."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Any

import msgspec

from .. import clock
from ..bulk.states import BatchOutcome
from .output import plain

__all__ = ["BatchLines"]


class BatchLines:
    """Tells of each batch when it is settled, and when the server lets the run wait. No key of a record, nothing that is in one.

    Args:
        task: what is done, in words.
        quiet: whether nothing is told.
    """

    def __init__(self, task: str, *, quiet: bool = False) -> None:
        self._task = task
        self._is_silent = quiet or sys.stderr.isatty()
        self._settled = 0
        self._trouble: str | None = None

    def on_settled(self, outcome: BatchOutcome) -> None:
        """The final state of a batch. Records that were in none are only counted: there may be one such outcome for each of them."""
        self._settled += len(outcome)
        if outcome.number:
            self._write(
                "batch",
                batch=outcome.number,
                batch_uuid=plain(outcome.batch_uuid) if outcome.batch_uuid is not None else None,
                records=len(outcome),
                counts=outcome.counts,
                settled=self._settled,
            )

    def waiting(self, trouble: str | None) -> None:
        """What the run waits for, or None; told once each time it changes to something."""
        if trouble != self._trouble:
            self._trouble = trouble
            if trouble is not None:
                self._write("waiting", trouble=plain(trouble), settled=self._settled)

    def _write(self, event: str, **told: Any) -> None:
        if self._is_silent:
            return
        now = datetime.fromtimestamp(clock.unix_time(), UTC).isoformat(timespec="milliseconds")
        line = msgspec.json.encode({"time": now, "event": event, "task": self._task, **told})
        try:
            sys.stderr.write(line.decode() + "\n")
            sys.stderr.flush()
        except (OSError, ValueError):
            # Whoever read the log is gone: that is no reason to end the run.
            self._is_silent = True
