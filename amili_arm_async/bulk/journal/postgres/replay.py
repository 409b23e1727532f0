"""Reads journals in PostgreSQL for a replay."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from ....errors import JournalError
from ....postgres.lease import is_owned
from ...parts import SharedPart, part_of_name
from ..protocol import JournalRecord
from ..run_key import RunKey
from ..sqlite import replay
from ..sqlite.queries import ids_in_order
from ..sqlite.replay import find_named, records_of
from .inspect import opened
from .shared import find

if TYPE_CHECKING:
    from ....database.url import DatabaseUrl

__all__ = ["note_written", "read_run", "shared_part"]


def read_run(url: DatabaseUrl, run: RunKey, on_records: Callable[[Iterable[JournalRecord]], None]) -> bool:
    """See `ReplayJournals`."""
    with opened(url) as connection:
        found = find_named(connection, url, run)
        if found is None:
            return False
        if is_owned(connection, found):
            raise JournalError(f"the run {run.run_id!r} of the journal {url} is in progress: wait until it ends")
        for batch in ids_in_order(connection, found, "state <> 'queued'"):
            on_records(records_of(connection, batch, is_document=not run.safe))
    return True


def shared_part(url: DatabaseUrl, run: RunKey) -> SharedPart | None:
    """See `ReplayJournals`."""
    name = part_of_name(run.run_id)
    if name is None:
        return None
    run_id, part, parts = name
    with opened(url) as connection:
        found = find(connection, replace(run, run_id=run_id))
    return SharedPart(run_id, part, found) if found is not None and found.parts == parts else None


def note_written(url: DatabaseUrl, run: RunKey) -> None:
    """See `ReplayJournals`."""
    with opened(url) as connection:
        replay.note_written(connection, find_named(connection, url, run))
