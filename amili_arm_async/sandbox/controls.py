"""What a test does with a running sandbox: inject faults, reject records, process batches, look at what arrived."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TypeVar, get_args

from .fault_checks import check_target, one_of
from .faults import Fault, FaultPlan, Injection
from .processing import fold
from .received import Received, ReceivedView
from .serving import ServingLoop, on_server
from .settings import EntityKind, MarkedKind, RecordKind
from .views import RecordsView

if TYPE_CHECKING:
    from collections import Counter, deque
    from collections.abc import Awaitable, Callable, Coroutine, Iterable

    from .app import App, SeenRequest
    from .entities import EntityStore
    from .ledger import Ledger
    from .routes import Route
    from .worker import Worker

T = TypeVar("T")

_LEDGER: Final[tuple[RecordKind, ...]] = get_args(RecordKind)


class Call(Protocol):
    """Runs a function in the thread that serves, and returns what it returns."""

    def __call__(self, function: Callable[[], T], /) -> T: ...


class Parts(NamedTuple):
    """The parts of a running sandbox."""

    ledger: Ledger
    entities: EntityStore
    received: Received
    worker: Worker
    app: App


class Controls(abc.ABC):
    """The half of a sandbox with which a test controls and observes it; the other half starts and stops it."""

    def __init__(self, faults: FaultPlan, routes: Mapping[str, Route]) -> None:
        self._routes = routes
        self._faults = faults
        self._home: ServingLoop | None = None
        self.customers = RecordsView("customers", self._ledger, self._call)
        self.documents = RecordsView("documents", self._ledger, self._call)

    @abc.abstractmethod
    def _running(self) -> Parts:
        """Returns the parts; a sandbox that does not run raises."""

    def _call(self, function: Callable[[], T], /) -> T:
        """Runs a function in the thread that serves; where nothing is served yet, in this one."""
        return function() if self._home is None else self._home.call(function)

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
        operation: str | None = None,
    ) -> Injection:
        """Makes the next matching requests meet a fault.

        Of several faults that match, a request meets the one that was injected first; latencies add up.

        Args:
            fault: what happens, for example `Fault.reset_after()`.
            method: the method of the requests. Default None: any.
            path: a part of their path below `/arm/v1`, such as `"customers/batches"`, or a pattern with `*` for all of it. Default None:
                any. The token service is hit only by a path that names `identity`.
            times: how often; None: always. Default 1.
            skip: how many matching requests pass first. Default 0.
            probability: the chance that a matching request is hit, above 0 and at most 1. Default 1.
            operation: the name of an operation, such as `documents.create_batch`, instead of a method and a path. Default None: any.

        Returns:
            A handle whose `fired` counts the requests that were hit.

        Raises:
            ValueError: it could never happen: no operation has that name, method or path, a number is out of range, or a fault that was
                injected before always hits the same requests.
        """
        check_target(method, path, operation, self._routes)
        injection = Injection(fault, method, path, times, skip, probability, operation)
        self._call(lambda: self._faults.add(injection))
        return injection

    @on_server
    def clear_faults(self) -> None:
        """Removes the faults that wait. Requests that hang already go on hanging."""
        self._faults.clear()

    @on_server
    def reject_record(
        self,
        key: str | Mapping[str, Any],
        message: str = "the record was rejected",
        *,
        kind: MarkedKind | None = None,
    ) -> None:
        """Makes one record fail: in a batch when it is processed; alone with 400, or 422 if it is of another kind.

        Args:
            key: a customerNo or documentNo, or a document without a number; of the other kinds, any text or integer at the top level of
                the record.
            message: the reason that the server gives.
            kind: what the record is. Default None: a customer or a document.
        """
        for one in _marked(kind):
            self._ledger().rejects[one, self._key(one, key)] = message

    def reject_posting(self, key: str, message: str = "the posting was rejected") -> None:
        """Makes an auto posting fail, and with it its whole batch.

        Args:
            key: any text or integer at the top level of the posting.
            message: the reason that the server gives.
        """
        self.reject_record(key, message, kind="auto_postings")

    def reject_file(self, name: str, message: str = "the file was rejected") -> None:
        """Makes a file fail, alone among those of its body.

        Args:
            name: any text or integer at the top level of the file, such as its name.
            message: the reason that the server gives.
        """
        self.reject_record(name, message, kind="files")

    @on_server
    def poison_record(self, key: str | Mapping[str, Any], *, kind: MarkedKind | None = None) -> None:
        """Answers every request that contains this record with 400; nothing of the request is accepted.

        Args:
            key: as in `reject_record`.
            kind: what the record is. Default None: a customer or a document.
        """
        for one in _marked(kind):
            self._ledger().poison.add((one, self._key(one, key)))

    @on_server
    def omit_result(self, key: str | Mapping[str, Any], *, kind: RecordKind | None = None) -> None:
        """Leaves this record out of the result of every batch that contains it.

        Args:
            key: a customerNo or documentNo, or a document without a number.
            kind: what the record is. Default None: a customer or a document.
        """
        if kind is not None:
            one_of("kind", kind, _LEDGER)
        for one in _LEDGER if kind is None else (kind,):
            self._running().worker.omitted.add((one, self._view(one).key(key)))

    # -- processing

    @on_server
    def hold_processing(self) -> None:
        """Processes no batch until `release_processing`: GET batch answers 202 until then."""
        self._running().worker.hold()

    @on_server
    def release_processing(self) -> None:
        """Processes batches again."""
        self._running().worker.release()

    def process_now(self) -> Awaitable[None]:
        """Processes all waiting batches at once, without delay and even while processing is held.

        Returns:
            In async code, what is to be awaited. In plain code, all is done when it returns.
        """
        return self._finish(self._running().worker.process_now)

    def settled(self) -> Awaitable[None]:
        """Waits until every accepted batch is processed; while processing is held, not before its release.

        Returns:
            In async code, what is to be awaited. In plain code, all is done when it returns.
        """
        return self._finish(self._running().worker.settled)

    def _finish(self, make: Callable[[], Coroutine[Any, Any, None]]) -> Awaitable[None]:
        self._running()
        assert self._home is not None
        return self._home.finish(make)

    @property
    @on_server
    def open_batches(self) -> int:
        """How many batches are accepted and wait to be processed."""
        return self._running().worker.waiting

    # -- what is there, and what was seen

    def seed(self, kind: EntityKind, records: Iterable[Mapping[str, Any]], client_no: int = 2218) -> int:
        """Stores records of another kind than customers and documents, without counting them.

        They replace the made-up records of this kind, and those with the same key. A record without a key (`arItemId`, `key` and so on)
        is given one.

        Args:
            kind: what the records are.
            records: mappings with the API's names.
            client_no: the client number.

        Returns:
            How many were stored.
        """
        listed = list(records)
        return self._call(lambda: self._running().entities.seed(kind, client_no, listed))

    def received(self, operation: str) -> ReceivedView:
        """Returns a view of the bodies that an operation was sent. Customers and documents have `customers` and `documents` instead.

        Args:
            operation: the name of the operation, such as `payment_reservations.create`.

        Returns:
            The live view.
        """
        return ReceivedView(operation, lambda: self._running().received, self._call)

    @property
    def requests(self) -> Counter[str]:
        """How many requests came, by method and path template: `"POST /clients/{clientno}/customers/batches"`.

        Unknown paths and methods are counted as `"GET *"`, tokens as `"POST /identity/token"`. From another thread than the one that
        serves, it is a copy.
        """
        counted = self._running().app.requests
        return counted if self._is_here else self._call(counted.copy)

    @property
    def recent(self) -> deque[SeenRequest]:
        """The last 1000 requests, in the order they ended. From another thread than the one that serves, it is a copy."""
        ended = self._running().app.recent
        return ended if self._is_here else self._call(ended.copy)

    @on_server
    def forget_requests(self) -> None:
        """Empties `requests` and `recent`, for example after what a test prepares."""
        app = self._running().app
        app.requests.clear()
        app.recent.clear()

    @property
    @on_server
    def connections(self) -> int:
        """How many connections have carried a request."""
        return self._running().app.connections

    @property
    @on_server
    def in_flight(self) -> int:
        """How many requests are being answered now, those that hang included."""
        return self._running().app.in_flight

    @property
    @on_server
    def peak_in_flight(self) -> int:
        """The most requests that were being answered at the same time."""
        return self._running().app.peak_in_flight

    @property
    def _is_here(self) -> bool:
        return self._home is None or self._home.is_here

    def _ledger(self) -> Ledger:
        return self._running().ledger

    def _view(self, kind: RecordKind) -> RecordsView:
        return self.customers if kind == "customers" else self.documents

    def _key(self, kind: MarkedKind, key: str | Mapping[str, Any]) -> str:
        """Returns the key under which a record is marked."""
        if kind in ("customers", "documents"):
            return self._view(kind).key(key)
        if isinstance(key, Mapping):
            raise ValueError(f"a record of {kind} is marked by a text that is in it")
        return fold(key)


def _marked(kind: MarkedKind | None) -> tuple[MarkedKind, ...]:
    if kind is None:
        return _LEDGER
    one_of("kind", kind, get_args(MarkedKind))
    return (kind,)
