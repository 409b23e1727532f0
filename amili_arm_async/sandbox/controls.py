"""What a test does with a running sandbox: lay out faults, refuse records, process batches, look at what came."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, get_args

from .faults import Fault, FaultPlan, Injection
from .processing import fold
from .received import Received, ReceivedView
from .settings import MarkedKind, RecordKind, ThingKind
from .views import RecordsView

if TYPE_CHECKING:
    from collections import Counter, deque
    from collections.abc import Iterable

    from .app import App, SeenRequest
    from .entities import EntityStore
    from .ledger import Ledger
    from .worker import Worker

_LEDGER: Final[tuple[RecordKind, ...]] = get_args(RecordKind)


class Parts(NamedTuple):
    """What a running sandbox is made of."""

    ledger: Ledger
    things: EntityStore
    posts: Received
    worker: Worker
    gate: App


class Controls(abc.ABC):
    """The half of a sandbox that is for looking and meddling; the other half starts and stops it."""

    def __init__(self, faults: FaultPlan) -> None:
        self._faults = faults
        self.customers = RecordsView("customers", self._ledger)
        self.documents = RecordsView("documents", self._ledger)

    @abc.abstractmethod
    def _running(self) -> Parts:
        """Return the parts; a sandbox that does not run raises."""

    # -- faults and refusals

    def inject(
        self,
        fault: Fault,
        *,
        method: str | None = None,
        path: str | None = None,
        times: int | None = 1,
        skip: int = 0,
        probability: float = 1.0,
    ) -> Injection:
        """Let ``fault`` meet the next requests that match, and return a handle whose ``fired`` counts them.

        ``method``: only this one. ``path``: a part of the path below ``/arm/v1`` (``"customers/batches"``),
        or a pattern with ``*`` for all of it; the token service is meant only by a ``path`` that names
        ``identity``.
        ``times``: how often, None for always. ``skip``: how many matching requests pass first.
        ``probability``: above 0 and at most 1. Of several faults that match, the one injected first is met;
        latencies add to it.
        """
        injection = Injection(fault, method, path, times, skip, probability)
        self._faults.add(injection)
        return injection

    def clear_faults(self) -> None:
        """Forget the faults that wait. Requests that hang already go on hanging."""
        self._faults.clear()

    def reject_record(
        self,
        key: str | Mapping[str, Any],
        message: str = "the record was rejected",
        *,
        kind: MarkedKind | None = None,
    ) -> None:
        """Make one record fail: in a batch when it is processed, alone with 400, of another kind with 422.

        ``key`` is as in ``customers`` and ``documents``: a number, or a document without one. Of the other kinds it
        is any text or whole number at the top of a record. ``kind=None``: of customers and of documents.
        """
        for one in _marked(kind):
            self._ledger().rejects[one, self._key(one, key)] = message

    def reject_posting(self, key: str, message: str = "the posting was rejected") -> None:
        """Make an auto posting fail, and with it all of its batch; ``key`` is any text or whole number at its top."""
        self.reject_record(key, message, kind="auto_postings")

    def reject_file(self, name: str, message: str = "the file was rejected") -> None:
        """Make a file fail, alone among those of its body; ``name`` is any text or whole number at its top."""
        self.reject_record(name, message, kind="files")

    def poison_record(self, key: str | Mapping[str, Any], *, kind: MarkedKind | None = None) -> None:
        """Make every call that holds this record be answered 400, with nothing taken; see ``reject_record``."""
        for one in _marked(kind):
            self._ledger().poison.add((one, self._key(one, key)))

    def omit_result(self, key: str | Mapping[str, Any], *, kind: RecordKind | None = None) -> None:
        """Leave this record out of the result of every batch that holds it."""
        for one in _LEDGER if kind is None else (kind,):
            self._running().worker.omitted.add((one, self._view(one).key(key)))

    # -- processing

    def hold_processing(self) -> None:
        """Process no batch until ``release_processing``: all answer 202 until then."""
        self._running().worker.hold()

    def release_processing(self) -> None:
        """Process batches again."""
        self._running().worker.release()

    async def process_now(self) -> None:
        """Process what waits, at once, without its delay and even while processing is held.

        Return when it is done.
        """
        await self._running().worker.process_now()

    async def settled(self) -> None:
        """Return when every accepted batch is processed; while processing is held, not before its release."""
        await self._running().worker.settled()

    @property
    def open_batches(self) -> int:
        """How many batches are accepted and wait to be processed."""
        return self._running().worker.waiting

    # -- what is there, and what was seen

    def seed(self, kind: ThingKind, records: Iterable[Mapping[str, Any]], client_no: int = 2218) -> int:
        """Put records of another kind than customers and documents in, uncounted, and return how many.

        They take the place of the made-up ones of this kind, if it has any, and of those with the same key; a record
        without a key (``arItemId``, ``key`` and so on) is given one.
        """
        return self._running().things.seed(kind, client_no, records)

    def posts(self, operation: str) -> ReceivedView:
        """Return a view of the bodies that an operation was sent, such as ``payment_reservations.create``.

        Those of customers and documents are in ``customers`` and ``documents``.
        """
        return ReceivedView(operation, lambda: self._running().posts)

    @property
    def requests(self) -> Counter[str]:
        """How many requests came, by method and template: ``"POST /clients/{clientno}/customers/batches"``.

        Unknown paths and methods are counted as ``"GET *"``, tokens as ``"POST /identity/token"``.
        """
        return self._running().gate.requests

    @property
    def recent(self) -> deque[SeenRequest]:
        """The last 1000 requests, in the order they ended."""
        return self._running().gate.recent

    @property
    def connections(self) -> int:
        """How many connections have carried a request."""
        return self._running().gate.connections

    @property
    def in_flight(self) -> int:
        """How many requests are being answered now; one that hangs is."""
        return self._running().gate.in_flight

    @property
    def peak_in_flight(self) -> int:
        """The most requests that were being answered at the same time."""
        return self._running().gate.peak_in_flight

    def _ledger(self) -> Ledger:
        return self._running().ledger

    def _view(self, kind: RecordKind) -> RecordsView:
        return self.customers if kind == "customers" else self.documents

    def _key(self, kind: MarkedKind, key: str | Mapping[str, Any]) -> str:
        """Return the key under which a record is marked."""
        if kind in ("customers", "documents"):
            return self._view(kind).key(key)
        if isinstance(key, Mapping):
            raise ValueError(f"a record of {kind} is marked by a text that is in it")
        return fold(key)


def _marked(kind: MarkedKind | None) -> tuple[MarkedKind, ...]:
    return _LEDGER if kind is None else (kind,)
