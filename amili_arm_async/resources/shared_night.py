"""One part of a night that many processes share."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

from anyio import to_thread

from ..bulk.observers import RunObserver
from ..bulk.parts import part_run_id
from ..bulk.run import BulkRun
from ..config import BulkOptions
from ..nightly.money import MoneyObserver
from ..nightly.run import NightlyProgress, NightlyRun
from ..nightly.shared_customers import SharedCustomers, times_sent
from ..nightly.timeline import TimelineObserver
from ..postgres.connection import LEASE
from ..sync.run import SyncRun
from .bulk import BulkWrites
from .shared_run import OPERATION, SharedRun

if TYPE_CHECKING:
    from ..database.url import DatabaseUrl

__all__ = ["SharedNight", "night_of_customers"]


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
        has_customers: whether this process has the customers.

    Attributes:
        customers: says whose turn it is to send the customers; None where the night has none, as far as the database knows when it is
            entered.
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
        self.customers = self._customers() if has_customers else None

    def _customers(self, **more: Any) -> SharedCustomers:
        name = part_run_id(self.run_id, self._part, self.parts)
        return SharedCustomers(self._url, key=self._key, part_name=name, patience=self._options.patience, **more)

    async def __aenter__(self) -> SharedNight:
        await super().__aenter__()
        if self.customers is None and await to_thread.run_sync(times_sent, self._url, self._key) is not None:
            # Other processes were called with customers: their documents wait for them in this one, too.
            self.customers = self._customers(used=0, may_send=False)
        return self

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
            customers=(lambda: customers.times) if customers is not None else None,
        )


class _OnlyCustomers:
    """A night that has only customers; see `NightInParts`."""

    def __init__(self, customers: SharedCustomers) -> None:
        self.customers = customers

    async def __aenter__(self) -> None:
        """Does nothing."""

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Does nothing."""


def night_of_customers(
    bulk: BulkWrites[Any],
    source: Any,
    url: DatabaseUrl,
    run_id: str,
    *,
    used: int,
    options: BulkOptions,
    user_id: str | None,
    lease: float,
    state: DatabaseUrl | None = None,
) -> NightlyRun:
    """Makes the run of the customers of a night in parts, for one of several processes that may be started for it: the others wait.

    Args:
        bulk: writes customers.
        source: the customers.
        url: of the database.
        run_id: the name of the night.
        used: how often they had been sent when this sending was begun.
        options: of their run.
        user_id: the user in whose name they are sent, or None for that of the client.
        lease: seconds for which this process has its turn after each sign of life.
        state: of a sync, which sends only those that have changed, or None.

    Returns:
        The run; its report has no customers where another process has sent them.
    """
    operation, context = "customers.create_batch", bulk.context

    def start(observers: Sequence[RunObserver]) -> BulkRun | SyncRun:
        if state is not None:
            return bulk.sync(operation, source, state, full=False, at_least=None, options=options, user_id=user_id, observers=observers)
        return bulk.run(operation, source, options=options, user_id=user_id, observers=observers)

    customers = SharedCustomers(
        url,
        key=bulk.run_key(OPERATION, run_id),
        part_name="",
        patience=options.patience,
        lease=lease,
        used=used,
    )
    return NightlyRun(
        NightlyProgress(context.client_no, context.transport.base_url, run_id),
        customers=start,
        documents=None,
        operations={"customers": operation},
        shared=_OnlyCustomers(customers),
    )
