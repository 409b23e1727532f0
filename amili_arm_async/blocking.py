"""For programs without an event loop: scripts, Django, Airflow and Spark tasks; and for notebooks, which have one running.

The client runs in an event loop in a thread of its own. Bulk jobs have a method each; everything else goes through `call`.
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sized
from itertools import islice
from queue import SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, TypeVar

from . import clock
from .bulk.chunking import RecordType
from .bulk.copies import snapshot
from .bulk.outcomes import RecordOutcome
from .bulk.report import BulkReport
from .bulk.source import FreshRecords
from .client import ArmClient
from .config import BulkOptions, RetryPolicy, Timeout
from .errors import ConfigurationError
from .resources.bulk import CUSTOMERS, DOCUMENTS
from .resources.customers import CustomerSource
from .resources.documents import DocumentSource
from .sources.arrow import ArrowStream

if TYPE_CHECKING:
    from .nightly.run import NightlyReport
    from .resources.shared_run import SharedReport, SharedRun
    from .sync.run import SyncReport
    from .validation.report import CheckReport

__all__ = ["BlockingClient", "BlockingSharedRun"]

T = TypeVar("T")
Kind: TypeAlias = Literal["customers", "documents"]
AnyRecords: TypeAlias = Iterable[CustomerSource | DocumentSource] | AsyncIterable[CustomerSource | DocumentSource] | ArrowStream
CustomerRecords: TypeAlias = Iterable[CustomerSource] | AsyncIterable[CustomerSource] | ArrowStream
DocumentRecords: TypeAlias = Iterable[DocumentSource] | AsyncIterable[DocumentSource] | ArrowStream

_KINDS: Final = {"customers": CUSTOMERS, "documents": DOCUMENTS}

_AT_ONCE: Final = 500
"""Records that are handed over to the event loop together."""

_AS_LONG: Final = 0.02
"""Seconds after which the records that were read are handed over, however few they are."""


class BlockingClient:
    """An `ArmClient` for code that is not async.

    ```python
    with BlockingClient(ArmClient.from_env()) as client:
        record = client.call(lambda arm: arm.customers.get("543210"))
        report = client.create_many("customers", customers)
    ```

    It starts with its first call, in a thread of its own, and may be shared by any number of threads. Each call waits until it is done;
    Ctrl-C cancels it, waits until it has ended, and then raises. Without `with`, call `close` at the end. A process that was forked needs
    one of its own.

    An iterable of records is read in the thread of the caller, so that a cursor or a session of a database may be used that belongs to it.
    `BulkOptions.on_progress` is called in the thread of the event loop.

    Args:
        arm: the client. It was not entered yet, and is used by nobody else; it is closed with this one.
    """

    def __init__(self, arm: ArmClient) -> None:
        if not isinstance(arm, ArmClient):
            raise ConfigurationError(f"arm must be an ArmClient, such as ArmClient.from_env(), not a {type(arm).__name__}")
        self._arm = arm
        self._thread = _LoopThread(arm)
        # Connections are closed where nobody did, at the end of the program at the latest.
        self._finalizer = weakref.finalize(self, self._thread.close)

    def __repr__(self) -> str:
        return f"BlockingClient({self._arm!r}{'' if self._finalizer.alive else ', closed'})"

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            hint = f": use call(lambda arm: arm.{name}...)" if hasattr(self.__dict__.get("_arm"), name) else ""
            raise AttributeError(f"BlockingClient has no attribute {name!r}{hint}", name=name, obj=self)

    def __enter__(self) -> BlockingClient:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Closes the client and ends its thread. Calls that other threads wait for are cancelled. May be called again."""
        self._finalizer()

    def call(self, function: Callable[[ArmClient], Awaitable[T]]) -> T:
        """Calls a function with the client, in the event loop, and waits for what it returns.

        Args:
            function: gets the `ArmClient` and returns what is awaited, for example `lambda arm: arm.customers.list().collect()`.

        Returns:
            The result.

        Raises:
            ConfigurationError: the function returns nothing that can be awaited, such as a list without `collect()`; the client is closed,
                or was closed meanwhile; it belongs to another process; or code that it runs itself calls it.
        """

        def job(arm: ArmClient, _: _Wrap) -> Awaitable[T]:
            result = function(arm)
            if not isinstance(result, Awaitable):
                raise ConfigurationError(
                    f"the function returned a {type(result).__name__}, which can't be awaited: return a call of the client, such as"
                    " arm.customers.get(...), arm.customers.list(...).collect() or .first()"
                )
            return result

        return self._thread.run(job)

    # --- jobs -----------------------------------------------------------------------------------------------------------------

    def create_many(
        self,
        kind: Kind,
        records: AnyRecords,
        *,
        options: BulkOptions | None = None,
        user_id: str | None = None,
        timeout: Timeout | None = None,
        retry: RetryPolicy | None = None,
        at_least: int | None = None,
    ) -> BulkReport:
        """Creates any number of customers or documents; see `arm.customers.create_many` and `arm.documents.create_many`.

        Args:
            kind: `"customers"` or `"documents"`.
            records: any iterable, or a table that supports the Arrow stream protocol, of any length.
            options: how it makes batches, sends them and waits. Default: `BulkOptions()`.
            user_id: the user id that each batch names. Default: the client's.
            timeout: time-outs of each request. Default: the client's.
            retry: retries of each request. Default: the client's.
            at_least: the minimum number of records in a complete source. Default None: any number.

        Returns:
            The report.

        Raises:
            ConfigurationError: the options contradict each other.
            BulkError: the run could not continue; `report` says what became of each record.
        """

        def job(arm: ArmClient, source_of: _Wrap) -> Awaitable[BulkReport]:
            source = source_of(records, _KINDS[kind], options)
            section = arm.customers if kind == "customers" else arm.documents
            return section.create_many(source, options=options, user_id=user_id, timeout=timeout, retry=retry, at_least=at_least)

        _check_kind(kind)
        return self._thread.run(job)

    def update_many(
        self,
        customers: CustomerRecords,
        *,
        options: BulkOptions | None = None,
        user_id: str | None = None,
        timeout: Timeout | None = None,
        retry: RetryPolicy | None = None,
        at_least: int | None = None,
    ) -> BulkReport:
        """Updates any number of customers; see `arm.customers.update_many`.

        Args:
            customers: any iterable, or a table that supports the Arrow stream protocol, of any length.
            options: how it makes batches, sends them and waits. Default: `BulkOptions()`.
            user_id: the user id that each batch names. Default: the client's.
            timeout: time-outs of each request. Default: the client's.
            retry: retries of each request. Default: the client's.
            at_least: the minimum number of records in a complete source. Default None: any number.

        Returns:
            The report.

        Raises:
            ConfigurationError: the options contradict each other.
            BulkError: the run could not continue; `report` says what became of each record.
        """

        def job(arm: ArmClient, source_of: _Wrap) -> Awaitable[BulkReport]:
            source = source_of(customers, CUSTOMERS, options)
            return arm.customers.update_many(source, options=options, user_id=user_id, timeout=timeout, retry=retry, at_least=at_least)

        return self._thread.run(job)

    def sync(
        self,
        customers: CustomerRecords,
        *,
        state: str | os.PathLike[str],
        full: bool = False,
        at_least: int | float | None = None,
        options: BulkOptions | None = None,
        user_id: str | None = None,
        timeout: Timeout | None = None,
        retry: RetryPolicy | None = None,
    ) -> SyncReport:
        """Sends the customers that have changed since they were last sent with success; see `arm.customers.sync`.

        Args:
            customers: all customers: any iterable, or a table that supports the Arrow stream protocol, of any length.
            state: the file that keeps what was sent with success.
            full: also send unchanged customers.
            at_least: how much the source holds at the least: a number of records, or a share of the customers in the state. Default: 0.5.
            options: how it makes batches, sends them and waits. Default: `BulkOptions()`.
            user_id: the user id that each batch names. Default: the client's.
            timeout: time-outs of each request. Default: the client's.
            retry: retries of each request. Default: the client's.

        Returns:
            The report.

        Raises:
            ConfigurationError: the options contradict each other, or the state can't be used.
            BulkError: the run could not continue; `report` says what became of each record.
        """

        def job(arm: ArmClient, source_of: _Wrap) -> Awaitable[SyncReport]:
            return arm.customers.sync(
                source_of(customers, CUSTOMERS, options),
                state=state,
                full=full,
                at_least=at_least,
                options=options,
                user_id=user_id,
                timeout=timeout,
                retry=retry,
            )

        return self._thread.run(job)

    def check(self, kind: Kind, records: AnyRecords, *, max_findings: int = 1000, max_bytes: int = 1_000_000) -> CheckReport:
        """Checks all records and names every problem of each, without the network; see `arm.customers.check` and `arm.documents.check`.

        Args:
            kind: `"customers"` or `"documents"`.
            records: any iterable, or a table that supports the Arrow stream protocol, of any length.
            max_findings: how many findings are kept; further ones are only counted. Default 1000.
            max_bytes: the largest body, in bytes, as `BulkOptions.max_bytes`. Default 1,000,000.

        Returns:
            The report.

        Raises:
            CheckError: the source raised; `report` has what was found before.
        """

        def job(arm: ArmClient, source_of: _Wrap) -> Awaitable[CheckReport]:
            source = source_of(records, _KINDS[kind], None)
            section = arm.customers if kind == "customers" else arm.documents
            return section.check(source, max_findings=max_findings, max_bytes=max_bytes)

        _check_kind(kind)
        return self._thread.run(job)

    def nightly(
        self,
        *,
        customers: CustomerRecords | None = None,
        documents: DocumentRecords | None = None,
        state: str | os.PathLike[str] | None = None,
        full: bool = False,
        customer_options: BulkOptions | None = None,
        document_options: BulkOptions | None = None,
        user_id: str | None = None,
        at_least_customers: int | float | None = None,
        at_least_documents: int | None = None,
        parts: int | None = None,
        part: int | None = None,
    ) -> NightlyReport:
        """Sends customers, then their documents, and reports on both; see `arm.nightly`.

        Args:
            customers: any iterable, or a table that supports the Arrow stream protocol; None: only documents.
            documents: any iterable, or a table that supports the Arrow stream protocol; None: only customers.
            state: a file that keeps what was sent with success: of the customers only those are sent that changed since.
            full: also send unchanged customers.
            customer_options: of the run of the customers.
            document_options: of the run of the documents, for example a journal with a run_id.
            user_id: the user id that each batch names.
            at_least_customers: the minimum content of their source: a number, or a share of the customers in the state.
            at_least_documents: the minimum number of documents.
            parts: the number of parts of a night that many processes share.
            part: the part of the documents that this process sends.

        Returns:
            The report.

        Raises:
            ConfigurationError: there is nothing to do, or the options contradict each other.
            BulkError: a run could not continue; `report` says what became of each record.
        """

        def job(arm: ArmClient, source_of: _Wrap) -> Awaitable[NightlyReport]:
            return arm.nightly(
                customers=source_of(customers, CUSTOMERS, customer_options) if customers is not None else None,
                documents=source_of(documents, DOCUMENTS, document_options) if documents is not None else None,
                state=state,
                full=full,
                customer_options=customer_options,
                document_options=document_options,
                user_id=user_id,
                at_least_customers=at_least_customers,
                at_least_documents=at_least_documents,
                parts=parts,
                part=part,
            )

        return self._thread.run(job)

    def shared_run(
        self,
        journal: str,
        *,
        run_id: str,
        parts: int,
        lease: float = 60.0,
        options: BulkOptions | None = None,
        user_id: str | None = None,
        timeout: Timeout | None = None,
        retry: RetryPolicy | None = None,
    ) -> BlockingSharedRun:
        """Makes a run of documents that many processes on many machines share; see `arm.documents.shared_run`.

        ```python
        with client.shared_run(journal, run_id="2026-11-20", parts=64) as run:
            report = run.send_part(7, documents)
        ```

        Args:
            journal: the URL of the PostgreSQL database.
            run_id: the name of the run, the same in every process.
            parts: the number of parts, the same in every process.
            lease: seconds for which a process owns its part after each thing that it records. Default 60.
            options: how each part cuts, sends and waits. Default: `BulkOptions()`.
            user_id: the user id that each batch names. Default: the client's.
            timeout: time-outs of each request. Default: the client's.
            retry: retries of each request. Default: the client's.

        Returns:
            The run, to be entered.

        Raises:
            ConfigurationError: `journal` is no URL of PostgreSQL, the options can't be used, or, when it is entered, the run was begun with
                another number of parts.
            JournalError: when it is entered: the database can't be used.
        """
        made = self._arm.documents.shared_run(
            journal, run_id=run_id, parts=parts, lease=lease, options=options, user_id=user_id, timeout=timeout, retry=retry
        )
        return BlockingSharedRun(self._thread, made)

    def reconcile(
        self,
        journal: str | os.PathLike[str],
        *,
        run_id: str | None = None,
        settle: float | None = None,
        resend_absent: bool = False,
        options: BulkOptions | None = None,
    ) -> BulkReport:
        """Finds out what became of the documents in a journal whose outcome is open; see `arm.documents.reconcile`.

        Args:
            journal: the path of the journal.
            run_id: the run. Default None: every run of documents of this client number.
            settle: seconds since a document was sent before it is looked up. Default: the run's `deadline` and a tenth more.
            resend_absent: resend documents that look-ups have proved absent. Default False.
            options: for what is resent, and for waiting for results.

        Returns:
            A report of the documents whose outcome was open.

        Raises:
            JournalError: the journal can't be used, has no such run, or another process runs it.
            ConfigurationError: `settle` is too short to resend documents.
            BulkError: the run could not continue.
        """
        return self.call(
            lambda arm: arm.documents.reconcile(journal, run_id=run_id, settle=settle, resend_absent=resend_absent, options=options)
        )


class BlockingSharedRun:
    """A `SharedRun` for code that is not async; made by `BlockingClient.shared_run`. It may be shared by any number of threads.

    Attributes:
        run_id: the name of the run.
        parts: the number of its parts.
    """

    def __init__(self, thread: _LoopThread, run: SharedRun) -> None:
        self.run_id = run.run_id
        self.parts = run.parts
        self._thread = thread
        self._run = run

    def __enter__(self) -> BlockingSharedRun:
        self._thread.run(lambda _, __: self._run.__aenter__())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._thread.run(lambda _, __: self._run.__aexit__(kind, error, trace))

    def send_part(self, part: int, documents: DocumentRecords, *, pass_over: bool = False) -> BulkReport:
        """Sends the documents of one part; see `SharedRun.send_part`.

        Args:
            part: which part, from 0.
            documents: any iterable, or a table that supports the Arrow stream protocol, of any length.
            pass_over: whether documents of other parts are passed over, and counted as `other_part`. Default False: they are refused.

        Returns:
            The report of the part.

        Raises:
            ConfigurationError: there is no such part, or the run was not entered.
            RecordError: a list holds a document of another part; nothing was sent.
            BulkError: the run could not continue; `report` says what became of each record.
            JournalError: the journal can't be used.
        """

        def job(_: ArmClient, source_of: _Wrap) -> Awaitable[BulkReport]:
            return self._run.send_part(part, source_of(documents, DOCUMENTS, None), pass_over=pass_over)

        return self._thread.run(job)

    def report(self) -> SharedReport:
        """Adds up what the journal knows of all parts; see `SharedRun.report`.

        Returns:
            The report.

        Raises:
            JournalError: the journal can't be used.
        """
        return self._thread.run(lambda _, __: self._run.report())

    def failures(self) -> Iterator[RecordOutcome]:
        """Gives every document of all parts that did not succeed; see `SharedRun.failures`. They are read as you iterate.

        Yields:
            Index, key, state, reason and message of each.

        Raises:
            JournalError: the journal can't be used.
        """
        found = self._run.failures()

        async def some() -> list[RecordOutcome]:
            taken: list[RecordOutcome] = []
            async for one in found:
                taken.append(one)
                if len(taken) == _AT_ONCE:
                    break
            return taken

        while taken := self._thread.run(lambda _, __: some()):
            yield from taken


def _check_kind(kind: object) -> None:
    if kind not in _KINDS:
        raise ConfigurationError(f'kind must be "customers" or "documents", not {kind!r}')


# --- the thread of the event loop ---------------------------------------------------------------------------------------------


class _LoopThread:
    """An event loop in a thread of its own, in which a client is entered."""

    def __init__(self, arm: ArmClient) -> None:
        self._arm = arm
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._ready = threading.Event()
        self._process = 0
        self._is_closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._failure: BaseException | None = None

    def run(self, job: Callable[[ArmClient, _Wrap], Awaitable[T]]) -> T:
        """Runs a job in the loop, and waits for it; meanwhile this thread reads the job's sources."""
        if threading.current_thread() is self._thread:
            raise ConfigurationError("this code runs in the client's own event loop, which would wait for itself: use the ArmClient")
        reads = _Reads()

        async def whole() -> T:
            return await job(self._arm, reads.wrap)

        tasks: list[asyncio.Task[T]] = []

        def begin() -> None:
            tasks.append(asyncio.get_running_loop().create_task(whole()))
            tasks[0].add_done_callback(lambda _: reads.end())

        def cancel() -> None:
            if tasks and not tasks[0].done():
                tasks[0].cancel()
            else:
                # Ctrl-C came before the job began, or when its end was known already.
                reads.end()

        loop = None
        try:
            with self._lock:
                loop = self._started()
                # In the lock: what is begun here is cancelled by a `close` that comes later.
                loop.call_soon_threadsafe(begin)
            reads.serve()
        except BaseException:
            if loop is None:
                raise
            # Ctrl-C, or what a source raised that is no Exception: the job ends first, so that nothing goes on unseen.
            if _is_told(loop, cancel):
                reads.serve_nothing()
            if tasks and not tasks[0].cancelled():
                tasks[0].exception()
            raise
        if tasks[0].cancelled() and self._is_closed:
            raise ConfigurationError("the client was closed during this call: what it had sent may have been accepted")
        return tasks[0].result()

    def _started(self) -> asyncio.AbstractEventLoop:
        """Returns the loop, which is started with the first job."""
        if self._is_closed:
            raise ConfigurationError("the client is closed: make another one")
        if self._thread is None:
            self._process = os.getpid()
            self._thread = threading.Thread(target=self._main, name="amili-arm", daemon=True)
        # Ctrl-C may have come at any moment of an earlier call.
        if self._thread.ident is None:
            self._thread.start()
        if self._process == os.getpid():
            self._ready.wait()
        if self._process != os.getpid():
            raise ConfigurationError("the client was used before this process was forked: make one in each process")
        if self._failure is not None:
            raise self._failure
        assert self._loop is not None
        return self._loop

    def _main(self) -> None:
        async def live() -> None:
            self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
            async with self._arm:
                self._ready.set()
                await self._stop.wait()
                others = asyncio.all_tasks() - {asyncio.current_task()}
                for task in others:
                    task.cancel()
                await asyncio.gather(*others, return_exceptions=True)

        try:
            asyncio.run(live())
        except BaseException as exc:  # raised in the thread that calls
            self._failure = exc
        finally:
            self._ready.set()

    def close(self) -> None:
        """Cancels what still runs, closes the client and ends the thread."""
        with self._lock:
            self._is_closed = True
            thread, loop, stop = self._thread, self._loop, self._stop
            if thread is None or loop is None or stop is None or self._process != os.getpid() or not thread.is_alive():
                return
            _is_told(loop, stop.set)
        if thread is not threading.current_thread():
            thread.join()


def _is_told(loop: asyncio.AbstractEventLoop, what: Callable[[], object]) -> bool:
    """Has the loop call something soon; returns False where it has ended: the client was closed meanwhile, or could not be entered."""
    try:
        loop.call_soon_threadsafe(what)
    except RuntimeError:
        return False
    return True


_Wrap: TypeAlias = Callable[[Any, RecordType, BulkOptions | None], Any]


class _Reads:
    """The reads that a job in the loop asks of the thread that waits for it."""

    def __init__(self) -> None:
        self._asked: SimpleQueue[Callable[[], None] | None] = SimpleQueue()

    def end(self) -> None:
        """Tells the thread that the job has ended."""
        self._asked.put(None)

    def ask(self, read: Callable[[], None]) -> None:
        """Asks the thread to read."""
        self._asked.put(read)

    def serve(self) -> None:
        """Reads what is asked for, until the job has ended."""
        while (read := self._asked.get()) is not None:
            read()

    def serve_nothing(self) -> None:
        """Waits until a cancelled job has ended."""
        while self._asked.get() is not None:
            pass

    def wrap(self, records: Any, record_type: RecordType, options: BulkOptions | None) -> Any:
        """Returns a source that is read in the thread that waits; what no code of the caller gives is returned as it is."""
        is_own = isinstance(records, (list, tuple, FreshRecords, AsyncIterable)) or hasattr(records, "__arrow_c_stream__")
        # What is one record, or none, is refused by the job.
        if is_own or isinstance(records, (str, bytes, bytearray, Mapping)) or not isinstance(records, Iterable):
            return records
        iterable: Iterable[Any] = records
        return _ReadElsewhere(iterable, record_type, self, options.limit if isinstance(options, BulkOptions) else None)


class _ReadElsewhere(FreshRecords):
    """An iterable that is read in the thread that waits for the job."""

    def __init__(self, records: Iterable[Any], record_type: RecordType, reads: _Reads, limit: int | None) -> None:
        self.ends = isinstance(records, Sized)
        self._records = records
        self._record_type = record_type
        self._reads = reads
        # What is beyond the limit of a run is not taken from the source.
        self._left = float("inf") if limit is None else limit
        self._iterator: Iterator[Any] | None = None

    async def __aiter__(self) -> AsyncIterator[Any]:
        loop = asyncio.get_running_loop()
        has_more = True
        while has_more:
            answer: asyncio.Future[tuple[list[Any], bool, Exception | None]] = loop.create_future()

            def read(answer: asyncio.Future[Any] = answer) -> None:
                found = self._read()
                _is_told(loop, lambda: None if answer.done() else answer.set_result(found))

            self._reads.ask(read)
            records, has_more, failure = await answer
            for record in records:
                yield record
            if failure is not None:
                raise failure

    def _read(self) -> tuple[list[Any], bool, Exception | None]:
        """Reads some records, each of which may change as soon as the next one is read; whether there may be more; what it raised."""
        records: list[Any] = []
        until = clock.monotonic() + _AS_LONG
        number = int(min(_AT_ONCE, self._left))
        try:
            if self._iterator is None:
                self._iterator = iter(self._records)
            for record in islice(self._iterator, number):
                records.append(snapshot(record, self._record_type))
                if clock.monotonic() > until:
                    return records, True, None
        except Exception as exc:  # the run says that the source raised it
            return records, False, exc
        finally:
            self._left -= len(records)
        return records, 0 < len(records) == number, None
