"""Reads the journals of other runs for a replay, wherever each of them is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ...database.url import database_url
from ..parts import SharedPart
from .protocol import JournalRecord
from .run_key import RunKey
from .sqlite.replay import SqliteReplayJournals

__all__ = ["EveryReplayJournals"]


class EveryReplayJournals:
    """See `ReplayJournals`. The replay's own journal is always a file."""

    def __init__(self) -> None:
        self._files = SqliteReplayJournals()

    def exists(self, path: str) -> bool:
        """See `ReplayJournals`. Whether there is one in a database shows when it is read."""
        return database_url(path) is not None or self._files.exists(path)

    def declare_runs(self, path: str, runs: Iterable[RunKey]) -> None:
        """See `ReplayJournals`."""
        self._files.declare_runs(path, runs)

    def read_run(self, path: str, run: RunKey, on_records: Callable[[Iterable[JournalRecord]], None]) -> bool:
        """See `ReplayJournals`."""
        if (url := database_url(path)) is None:
            return self._files.read_run(path, run, on_records)
        from .postgres import replay  # noqa: PLC0415 - needs psycopg

        return replay.read_run(url, run, on_records)

    def shared_part(self, path: str, run: RunKey) -> SharedPart | None:
        """See `ReplayJournals`. Only a database has shared runs."""
        if (url := database_url(path)) is None:
            return None
        from .postgres import replay  # noqa: PLC0415 - needs psycopg

        return replay.shared_part(url, run)

    def note_written(self, path: str, run: RunKey) -> None:
        """See `ReplayJournals`."""
        if (url := database_url(path)) is None:
            self._files.note_written(path, run)
            return
        from .postgres import replay  # noqa: PLC0415 - needs psycopg

        replay.note_written(url, run)
