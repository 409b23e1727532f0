"""Sends lines of a dead letter again that are of a part of a shared run."""

from __future__ import annotations

from collections.abc import AsyncIterable
from dataclasses import replace
from typing import Any

from anyio import to_thread

from ..bulk.parts import SharedPart
from ..bulk.run import BulkRun
from ..config import BulkOptions
from ..database.url import database_url
from ..nightly.shared_customers import check_customers
from ..postgres.connection import LEASE
from .bulk import BulkWrites
from .shared_run import OPERATION, SharedRun

__all__ = ["run_replayed_part"]


async def run_replayed_part(bulk: BulkWrites[Any], payloads: AsyncIterable[bytes], options: BulkOptions, part: SharedPart) -> BulkRun:
    """Makes the run that sends some documents of a part again, with all that holds for who sends the part.

    So it takes the lease of the part, and waits for a process that has it; it sends no document of another part, and none whose customer
    did not succeed.

    Args:
        bulk: writes documents.
        payloads: the documents, as JSON.
        options: of the run, with the journal.
        part: the part.

    Returns:
        The run, not begun.

    Raises:
        ArmError: the customers of its night were not sent to their end.
        JournalError: the journal can't be used, or the run was pruned.
    """
    url = database_url(options.journal)
    assert url is not None
    await to_thread.run_sync(check_customers, url, bulk.run_key(OPERATION, part.run_id))
    own = replace(options, run_id=part.run_id)
    run = SharedRun(bulk, url, run_id=part.run_id, parts=part.hash.parts, lease=LEASE, options=own, user_id=None, timeout=None, retry=None)
    async with run:
        return run.send_part(part.part, payloads)
