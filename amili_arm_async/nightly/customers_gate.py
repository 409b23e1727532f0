"""Blocks the documents of customers that did not succeed, where the database knows that their night has customers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from anyio import to_thread

from ..bulk.observers import RunObserver
from .blocked import BlockedDocuments
from .shared_customers import check_customers, failed_customers

if TYPE_CHECKING:
    from ..bulk.journal.protocol import RunJournal
    from ..bulk.journal.run_key import RunKey
    from ..bulk.outcomes import Outcome
    from ..database.url import DatabaseUrl

__all__ = ["CustomersGate"]


class CustomersGate(RunObserver):
    """Observes a run that sends documents of a night in parts, however its process was called: the database says who is blocked.

    Args:
        url: of the database.
        key: of the documents of the night; None: the run is of no night in parts.

    Attributes:
        key: likewise; it may be changed between two runs.
        times: how often the customers were sent to their end; 0 where the night has none.
    """

    def __init__(self, url: DatabaseUrl, key: RunKey | None = None) -> None:
        self.key = key
        self.times = 0
        self._url = url
        self._blocked: BlockedDocuments | None = None

    async def begin(self) -> None:
        """Refuses documents whose customers were not sent to their end."""
        if self.key is not None:
            await to_thread.run_sync(check_customers, self._url, self.key)

    async def begin_journal(self, journal: RunJournal) -> None:
        """Reads who is blocked. The journal has begun: a process that brings customers from now on finds the run begun without."""
        self._blocked, self.times = None, 0
        found = await to_thread.run_sync(failed_customers, self._url, self.key) if self.key is not None else None
        if found is not None:
            failed, self.times = found
            self._blocked = BlockedDocuments(failed)

    async def filter(self, records: Sequence[Any], first: int) -> Mapping[int, Outcome]:
        """Returns the outcome of each document whose customer did not succeed, by its position in `records`."""
        return await self._blocked.filter(records, first) if self._blocked is not None else {}
