"""Asyncio client for Amili's ARM (Accounts Receivable Management) REST API, made for bulk: docs/quickstart.md has a first call."""

import typing

from .auth import ClientCredentials, TokenFile, TokenSource
from .client import ArmClient
from .config import DEFAULT, STAGING, BatchWords, BulkOptions, Limits, Reconcile, RetryPolicy, Timeout
from .errors import (
    AmbiguousConflictError,
    AmbiguousServerError,
    AmbiguousStatusError,
    ArmError,
    AuthenticationError,
    BadRequestError,
    BulkError,
    CheckError,
    ConfigurationError,
    ConflictError,
    ForbiddenError,
    FrameError,
    JournalError,
    NotAcceptableError,
    NotFoundError,
    NotSentError,
    OutcomeUnknownError,
    PayloadTooLargeError,
    RateLimitedError,
    RecordError,
    ResponseError,
    ServerError,
    SourceError,
    StatusError,
    TruncatedListError,
    UnauthorizedError,
    UnprocessableError,
)
from .models.base import CurrencyAmounts, CurrencyAmountsRecord, PageSummary
from .models.batches import BatchEntry, BatchReceipt, BatchResult, Receipt
from .models.customers import Customer, CustomerRecord, Distribution, DistributionRecord, PostalAddress, PostalAddressRecord
from .models.documents import Document, DocumentLine, DocumentLineRecord, DocumentRecord, EinvoiceAddress, EinvoiceAddressRecord
from .models.identity import IssuedToken
from .models.json_records import ArItem, AutoPostingReply, GlItem, JsonRecord, PaymentReservation, Reply, UploadReply
from .paging import Page, Pager
from .telemetry.base import Telemetry
from .unreadable import UnreadableRecord
from .uploads import FileContent
from .wire import Response

if typing.TYPE_CHECKING:
    from .bulk.journal.inspect import JournalBatch, JournalRun, adopt_journal, prune_journal, read_journal
    from .bulk.outcomes import BatchOutcome, BatchReader, RecordOutcome, State
    from .bulk.parts import part_of
    from .bulk.report import BatchLog, BatchSummary, BulkReport, Progress, Totals
    from .bulk.run import BulkRun
    from .nightly.money import CurrencyTotals, MoneySum, MoneyTotals
    from .resources.shared_run import SharedReport, SharedRun
    from .sources.records import Records, open_records
    from .sync.run import SyncReport, SyncRun
    from .validation.report import CheckReport, Finding
    from .validation.run import CheckRun

__version__ = "0.1.0"

__all__ = [
    "DEFAULT",
    "STAGING",
    "AmbiguousConflictError",
    "AmbiguousServerError",
    "AmbiguousStatusError",
    "ArItem",
    "ArmClient",
    "ArmError",
    "AuthenticationError",
    "AutoPostingReply",
    "BadRequestError",
    "BatchEntry",
    "BatchLog",
    "BatchOutcome",
    "BatchReader",
    "BatchReceipt",
    "BatchResult",
    "BatchSummary",
    "BatchWords",
    "BulkError",
    "BulkOptions",
    "BulkReport",
    "BulkRun",
    "CheckError",
    "CheckReport",
    "CheckRun",
    "ClientCredentials",
    "ConfigurationError",
    "ConflictError",
    "CurrencyAmounts",
    "CurrencyAmountsRecord",
    "CurrencyTotals",
    "Customer",
    "CustomerRecord",
    "Distribution",
    "DistributionRecord",
    "Document",
    "DocumentLine",
    "DocumentLineRecord",
    "DocumentRecord",
    "EinvoiceAddress",
    "EinvoiceAddressRecord",
    "FileContent",
    "Finding",
    "ForbiddenError",
    "FrameError",
    "GlItem",
    "IssuedToken",
    "JournalBatch",
    "JournalError",
    "JournalRun",
    "JsonRecord",
    "Limits",
    "MoneySum",
    "MoneyTotals",
    "NotAcceptableError",
    "NotFoundError",
    "NotSentError",
    "OutcomeUnknownError",
    "Page",
    "PageSummary",
    "Pager",
    "PayloadTooLargeError",
    "PaymentReservation",
    "PostalAddress",
    "PostalAddressRecord",
    "Progress",
    "RateLimitedError",
    "Receipt",
    "Reconcile",
    "RecordError",
    "RecordOutcome",
    "Records",
    "Reply",
    "Response",
    "ResponseError",
    "RetryPolicy",
    "ServerError",
    "SharedReport",
    "SharedRun",
    "SourceError",
    "State",
    "StatusError",
    "SyncReport",
    "SyncRun",
    "Telemetry",
    "Timeout",
    "TokenFile",
    "TokenSource",
    "Totals",
    "TruncatedListError",
    "UnauthorizedError",
    "UnprocessableError",
    "UnreadableRecord",
    "UploadReply",
    "adopt_journal",
    "open_records",
    "part_of",
    "prune_journal",
    "read_journal",
]

_LATER: typing.Final = {
    "bulk.journal.inspect": ("JournalBatch", "JournalRun", "adopt_journal", "prune_journal", "read_journal"),
    "bulk.outcomes": ("BatchOutcome", "BatchReader", "RecordOutcome", "State"),
    "bulk.parts": ("part_of",),
    "bulk.report": ("BatchLog", "BatchSummary", "BulkReport", "Progress", "Totals"),
    "bulk.run": ("BulkRun",),
    "nightly.money": ("CurrencyTotals", "MoneySum", "MoneyTotals"),
    "resources.shared_run": ("SharedReport", "SharedRun"),
    "sources.records": ("Records", "open_records"),
    "sync.run": ("SyncReport", "SyncRun"),
    "validation.report": ("CheckReport", "Finding"),
    "validation.run": ("CheckRun",),
}
"""Modules that a service needs not for its calls, with what is public in them: they are imported where they are first asked for."""


def __getattr__(name: str) -> typing.Any:
    """Returns what is imported later."""
    from importlib import import_module  # noqa: PLC0415 - only for these

    for module, names in _LATER.items():
        if name in names:
            found = globals()[name] = getattr(import_module(f".{module}", __name__), name)
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Returns all names, those that are imported later too."""
    return sorted({*globals(), *__all__})
