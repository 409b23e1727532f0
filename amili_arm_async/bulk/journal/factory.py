"""Opens the journal of a run: the one place that chooses what keeps it. SQLite and psycopg are only loaded where they are needed."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

from ...database.url import database_url
from ...errors import ConfigurationError

if TYPE_CHECKING:
    from ...clock import ServiceClock
    from ...config import BulkOptions
    from ..parts import PartOfRun
    from .protocol import ReplayJournals, RunJournal
    from .run_key import RunKey

__all__ = ["new_run_id", "replay_journals", "run_journal", "runs_of"]


def new_run_id() -> str:
    """Makes a run id for a run that is not meant to be resumed.

    Returns:
        `run-` and 16 random hexadecimal digits.
    """
    return f"run-{secrets.token_hex(8)}"


def run_journal(
    key: RunKey,
    options: BulkOptions,
    service: ServiceClock,
    *,
    reads_source: bool = True,
    reads_all: bool = True,
    part: PartOfRun | None = None,
) -> RunJournal | None:
    """Makes the journal of a run; nothing is opened before its `begin`.

    Args:
        key: the run.
        options: the options of the run. With a `dead_letter` and no `journal`, the journal is a temporary file.
        service: the clock of the service.
        reads_source: False for a reconcile, which has no source.
        reads_all: False for a replay, whose source has only some records of an earlier attempt.
        part: the part of a shared run that the run is; None: it is a whole run.

    Returns:
        The journal, or None where the options ask for neither a journal nor a dead letter.

    Raises:
        ConfigurationError: this system can't keep one.
    """
    if options.journal is None and options.dead_letter is None:
        return None
    url = database_url(options.journal)
    if url is not None:
        if url.name:
            raise ConfigurationError(f"a database holds one journal, which has no name: leave out #{url.name}")
        if options.dry_run:
            from .postgres.dry_run import PostgresDryRunJournal  # noqa: PLC0415

            return PostgresDryRunJournal(url, key, options, service)
        from .postgres.journal import PostgresRunJournal  # noqa: PLC0415

        return PostgresRunJournal(url, key, options, service, reads_source=reads_source, reads_all=reads_all, part=part)
    try:
        from .sqlite.journal import SqliteRunJournal  # noqa: PLC0415
    except ImportError as exc:  # pragma: no cover - Windows has no fcntl
        raise ConfigurationError(f"a journal or dead letter can't be kept on this system: {exc}") from exc
    return SqliteRunJournal(key, options, service, reads_source=reads_source, reads_all=reads_all)


def replay_journals() -> ReplayJournals:
    """Returns what a replay reads journals with, whatever keeps each of them."""
    from .replay_journals import EveryReplayJournals  # noqa: PLC0415

    return EveryReplayJournals()


async def runs_of(path: str | os.PathLike[str], operation: str, client_no: int, run_id: str | None) -> list[tuple[str, float]]:
    """Lists the runs of one operation in a journal.

    Args:
        path: of the journal.
        operation: for example `documents.create_batch`.
        client_no: the client number.
        run_id: only this run; None for all.

    Returns:
        The run ids with their deadlines in seconds, the oldest first.

    Raises:
        JournalError: there is no journal or no such run, it was pruned, or the journal can't be read.
    """
    from anyio import to_thread  # noqa: PLC0415

    if (url := database_url(path)) is not None:
        from .postgres import inspect as database  # noqa: PLC0415

        return await to_thread.run_sync(database.runs_of, url, operation, client_no, run_id)
    from .sqlite import inspect  # noqa: PLC0415

    return await to_thread.run_sync(inspect.runs_of, path, operation, client_no, run_id)
