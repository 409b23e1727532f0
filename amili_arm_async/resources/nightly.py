"""`arm.nightly`: the runs that make up a night."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, Iterable, Sequence
from functools import partial
from typing import Any

from ..bulk.chunking import RecordType
from ..bulk.limits import SharedLimits
from ..bulk.observers import RunObserver
from ..bulk.report import expectation_of
from ..bulk.run import BulkRun
from ..config import BulkOptions
from ..errors import ConfigurationError
from ..files import check_distinct, check_writable
from ..nightly.run import NightlyProgress, NightlyRun, PartName
from ..sources.arrow import ArrowStream
from ..sync.run import SyncRun
from .base import RequestContext
from .bulk import CUSTOMERS, DOCUMENTS, BulkWrites, files_of, state_file
from .customers import CustomerSource
from .documents import DocumentSource

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

    Returns:
        The run, not started.

    Raises:
        ConfigurationError: there is nothing to do, or the arguments contradict each other.
    """
    if full and state is None:
        raise ConfigurationError("full=True needs a state: without one all customers are sent anyway")
    if customer_source is None and document_source is None:
        raise ConfigurationError("a night needs customers, documents or both")
    if customer_options is not None and customer_options.results != "wait":
        raise ConfigurationError("customer_options.results must be 'wait': documents of a customer that did not succeed are not sent")

    if customer_source is not None and document_source is not None:
        _refuse_half_dry(customer_options, document_options)
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
        source: Iterable[Any] | AsyncIterable[Any] | ArrowStream,
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

    run_ids = [options.run_id for options in (document_options, customer_options) if options is not None and options.run_id is not None]
    return NightlyRun(
        NightlyProgress(context.client_no, context.transport.base_url, run_ids[0] if run_ids else None),
        customers=partial(begin, "customers", CUSTOMERS, customer_source, customer_options) if customer_source is not None else None,
        documents=partial(begin, "documents", DOCUMENTS, document_source, document_options) if document_source is not None else None,
        operations=operations,
        span=lambda: context.transport.instrumentation.job("nightly"),
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
