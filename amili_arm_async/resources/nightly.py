"""`arm.nightly`: the runs that make up a night."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ..bulk.chunking import RecordType
from ..bulk.limits import SharedLimits
from ..bulk.observers import RunObserver
from ..bulk.parts import MOST_PARTS
from ..bulk.report import expectation_of
from ..bulk.run import BulkRun
from ..config import BulkOptions, check_int
from ..database.url import database_url
from ..errors import ConfigurationError
from ..files import check_distinct, check_writable
from ..nightly.run import NightlyProgress, NightlyRun, PartName, StartRun
from ..sources.arrow import ArrowStream
from ..sync.run import SyncRun
from .base import RequestContext
from .bulk import CUSTOMERS, DOCUMENTS, BulkWrites, files_of, state_file
from .customers import CustomerSource
from .documents import DocumentSource

if TYPE_CHECKING:
    from .shared_night import SharedNight

__all__ = ["plan"]


def plan(
    context: RequestContext,
    shared_limits: SharedLimits,
    customer_source: Iterable[CustomerSource] | AsyncIterable[CustomerSource] | ArrowStream | None,
    document_source: Iterable[DocumentSource] | AsyncIterable[DocumentSource] | ArrowStream | None,
    state: str | os.PathLike[str] | None,
    full: bool,
    customer_options: BulkOptions | None,
    document_options: BulkOptions | None,
    user_id: str | None,
    *,
    at_least_customers: int | float | None,
    at_least_documents: int | None,
    parts: int | None,
    part: int | None,
) -> NightlyRun:
    """Plans a night; see `ArmClient.nightly`.

    Args:
        context: the client number and the connections.
        shared_limits: limits that all runs of the client share.
        customer_source: the customers, or None.
        document_source: the documents, or None.
        state: path of the state of the customers' sync, or None.
        full: also send unchanged customers.
        customer_options: of the run of the customers, or None.
        document_options: of the run of the documents, or None.
        user_id: who is named as the user, or None.
        at_least_customers: minimum number of customers (int), or share of those in the state (float), or None.
        at_least_documents: minimum number of documents, or None.
        parts: the number of parts of a night that many processes share, or None.
        part: the part of the documents that this process sends, or None.

    Returns:
        The run, not started.

    Raises:
        ConfigurationError: there is nothing to do, or the arguments contradict each other.
    """
    _check_arguments(customer_source, document_source, state, full, customer_options, document_options)
    operations: dict[PartName, str] = {"customers": "customers.create_batch", "documents": "documents.create_batch"}
    _check_documents(operations["documents"], document_options if document_source is not None else None)
    expectations = {
        "customers": expectation_of(at_least_customers, has_state=state is not None),
        "documents": expectation_of(at_least_documents, has_state=False),
    }

    _check_files(
        state, customer_options if customer_source is not None else None, document_options if document_source is not None else None
    )

    def begin(
        name: PartName,
        kind: RecordType,
        source: Any,
        options: BulkOptions | None,
        observers: Sequence[RunObserver],
    ) -> BulkRun | SyncRun:
        writes: BulkWrites[Any] = BulkWrites(context, shared_limits, kind)
        if name == "customers" and state is not None:
            return writes.sync(
                operations[name],
                source,
                state,
                full=full,
                at_least=at_least_customers,
                options=options,
                user_id=user_id,
                observers=observers,
            )
        expectation = expectations[name]
        return writes.run(operations[name], source, options=options, user_id=user_id, observers=observers, expectation=expectation)

    start_documents: StartRun = partial(begin, "documents", DOCUMENTS, document_source, document_options)
    shared = None
    if parts is not None or part is not None:
        _check_parts(document_source, state, customer_options, at_least_documents)
        how = (document_options, parts, part, user_id, customer_source is not None)
        shared = _night_in_parts(BulkWrites(context, shared_limits, DOCUMENTS), document_source, *how)
        start_documents = shared.start
    run_ids = [options.run_id for options in (document_options, customer_options) if options is not None and options.run_id is not None]
    return NightlyRun(
        NightlyProgress(context.client_no, context.transport.base_url, run_ids[0] if run_ids else None),
        customers=partial(begin, "customers", CUSTOMERS, customer_source, customer_options) if customer_source is not None else None,
        documents=start_documents if document_source is not None else None,
        operations=operations,
        span=lambda: context.transport.instrumentation.job("nightly"),
        shared=shared,
    )


def _check_arguments(
    customer_source: object,
    document_source: object,
    state: str | os.PathLike[str] | None,
    full: bool,
    customer_options: BulkOptions | None,
    document_options: BulkOptions | None,
) -> None:
    """Refuses arguments that contradict each other."""
    if full and state is None:
        raise ConfigurationError("full=True needs a state: without one all customers are sent anyway")
    if customer_source is None and document_source is None:
        raise ConfigurationError("a night needs customers, documents or both")
    if customer_options is not None and customer_options.results != "wait":
        raise ConfigurationError("customer_options.results must be 'wait': documents of a customer that did not succeed are not sent")

    if customer_source is not None and document_source is not None:
        _refuse_half_dry(customer_options, document_options)


def _check_parts(
    documents: object, state: str | os.PathLike[str] | None, customer_options: BulkOptions | None, at_least_documents: int | None
) -> None:
    """Refuses what can't be done in parts. The options of the documents are checked by their shared run."""
    if documents is None:
        raise ConfigurationError("parts are for documents: a night without any is sent by one process")
    places = {"state": state, "customer_options.journal": customer_options.journal if customer_options is not None else None}
    for name, place in places.items():
        if place is not None and database_url(place) is None:
            raise ConfigurationError(
                f"{name} must be in PostgreSQL in a night in parts: any process may be the one that sends the customers"
            )
    if at_least_documents is not None:
        raise ConfigurationError("at_least_documents can't be used with parts")
    if customer_options is not None and (customer_options.dry_run or customer_options.limit is not None):
        raise ConfigurationError("customer_options can't have dry_run or limit with parts")


def _night_in_parts(
    writes: BulkWrites[Any],
    documents: Any,
    options: BulkOptions | None,
    parts: int | None,
    part: int | None,
    user_id: str | None,
    has_customers: bool,
) -> SharedNight:
    """Makes the shared run of the documents of a night in parts."""
    from .shared_night import SharedNight  # noqa: PLC0415 - only few programs need it

    if parts is None or part is None:
        raise ConfigurationError("parts and part belong together: give both")
    check_int("parts", parts, least=1, most=MOST_PARTS)
    check_int("part", part, least=0, most=parts - 1)
    url = database_url(options.journal) if options is not None else None
    if options is None or url is None or options.run_id is None:
        raise ConfigurationError("a night in parts needs document_options with a journal in PostgreSQL, and with a run_id")
    return SharedNight(
        writes, url, options.run_id, parts=parts, part=part, source=documents, options=options, user_id=user_id, has_customers=has_customers
    )


def _check_documents(operation: str, options: BulkOptions | None) -> None:
    """Refuses options of the documents. Their run is made only after the customers were sent, so that an error would show late."""
    if options is not None:
        BulkWrites.check_options(operation, options)


def _refuse_half_dry(customer_options: BulkOptions | None, document_options: BulkOptions | None) -> None:
    if _is_dry(customer_options) != _is_dry(document_options):
        raise ConfigurationError("customer_options and document_options must both say dry_run=True, or neither")


def _is_dry(options: BulkOptions | None) -> bool:
    return options is not None and options.dry_run


def _check_files(state: str | os.PathLike[str] | None, customer_options: BulkOptions | None, document_options: BulkOptions | None) -> None:
    """Refuses files that are the same, or can't be written. Those of the documents are opened only after the customers were sent, so that
    an error would show late."""
    files = state_file(state) + files_of(customer_options, "customer_options.") + files_of(document_options, "document_options.")
    check_distinct(files)
    if not _is_dry(customer_options) and not _is_dry(document_options):
        check_writable(files)
