"""One part of a night that many processes share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from ..bulk.observers import RunObserver
from ..bulk.parts import part_run_id
from ..bulk.run import BulkRun
from ..config import BulkOptions
from ..nightly.money import MoneyObserver
from ..nightly.shared_customers import SharedCustomers
from ..nightly.timeline import TimelineObserver
from ..postgres.connection import LEASE
from .bulk import BulkWrites
from .shared_run import OPERATION, SharedRun

if TYPE_CHECKING:
    from ..database.url import DatabaseUrl

__all__ = ["SharedNight"]


class SharedNight(SharedRun):
    """The shared run of the documents of a night, of which this process sends one part.

    Args:
        bulk: writes documents.
        url: of the journal.
        run_id: the name of the night.
        parts: the number of parts.
        part: the part that is sent.
        source: the documents of all parts.
        options: of their run.
        user_id: the user in whose name they are sent, or None for that of the client.
        has_customers: whether the night has customers.

    Attributes:
        customers: says whose turn it is to send the customers; None where the night has none.
    """

    def __init__(
        self,
        bulk: BulkWrites[Any],
        url: DatabaseUrl,
        run_id: str,
        *,
        parts: int,
        part: int,
        source: Any,
        options: BulkOptions,
        user_id: str | None,
        has_customers: bool,
    ) -> None:
        super().__init__(bulk, url, run_id=run_id, parts=parts, lease=LEASE, options=options, user_id=user_id, timeout=None, retry=None)
        self._source = source
        self._part = part
        self.customers = (
            SharedCustomers(
                url,
                run_id=run_id,
                client_no=bulk.context.client_no,
                operation=OPERATION,
                part_name=part_run_id(run_id, part, parts),
                patience=options.patience,
            )
            if has_customers
            else None
        )

    def start(self, observers: Sequence[RunObserver]) -> BulkRun:
        """Makes the run of the part.

        Args:
            observers: those of the night: of its timeline, of its money, and what filters the documents.

        Returns:
            The run.
        """
        timeline, money, *filters = observers
        customers = self.customers
        return self._run_part(
            self._part,
            self._source,
            cast("MoneyObserver", money),
            cast("TimelineObserver", timeline),
            filters,
            pass_over=True,
            customers=lambda: customers.times if customers is not None else 0,
        )
