"""The settings of a sandbox: one frozen object that every part of it reads."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Literal, TypeAlias

from .encodings import ENCODINGS
from .routes import LISTS, routes

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

RecordKind: TypeAlias = Literal["customers", "documents"]
"""The two sorts of records that the ledger keeps."""
EntityKind: TypeAlias = Literal[
    "adb_intervals",
    "ar_items",
    "client_configs",
    "codes",
    "document_bundles",
    "files",
    "gl_items",
    "gl_movements",
    "log_items",
    "payment_reservations",
]
"""The other sorts of records."""
MarkedKind: TypeAlias = Literal["customers", "documents", "actions", "ar_items", "auto_postings", "files", "payment_reservations"]
"""What can be sent, and so be refused: ledger records, and the bodies of other operations by their section."""


@dataclasses.dataclass(frozen=True, slots=True)
class Words:
    """The words in the responses about batches. Only `NOT-PROCESSED` and `PENDING` are in the public pages.

    `unprocessed` and `processed` are values of `status`; `pending`, `succeeded`, `failed` and
    `partial` are values of `result`.
    """

    unprocessed: str = "NOT-PROCESSED"
    processed: str = "PROCESSED"
    pending: str = "PENDING"
    succeeded: str = "SUCCESS"
    failed: str = "FAILED"
    partial: str = "PARTIAL"

    @classmethod
    def of(cls, changes: Mapping[str, str] | None) -> Words:
        """Returns the default words with `changes` put over them; an unknown name is a `ValueError`."""
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(changes or ()) - known)
        if unknown:
            raise ValueError(f"no such word: {', '.join(unknown)}; there are {', '.join(sorted(known))}")
        return cls(**dict(changes or {}))


@dataclasses.dataclass(frozen=True, slots=True)
class SandboxSettings:
    """Everything about a sandbox that does not change while it runs.

    See `Sandbox` for what each one means.
    """

    clients: Collection[int] | None = None
    client_id: str = "sandbox"
    client_secret: str = dataclasses.field(default="sandbox-secret", repr=False)
    token_lifetime: float = 3600.0
    result_style: Literal["entries", "summary"] = "entries"
    partial_status: Literal[200, 206] = 206
    words: Words = dataclasses.field(default_factory=Words)
    max_body_bytes: int = 5_000_000
    max_batch_records: int | None = None
    content_encodings: Collection[str] = ENCODINGS
    list_cap: int = 10_000
    total_count: Literal["capped", "all"] = "capped"
    next_page_end: Literal["absent", "null", "blank"] = "absent"
    require_customers: bool = True
    duplicate_documents: Literal["store", "fail"] = "store"
    update_creates: bool = False
    number_documents: bool = False
    paths: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])
    error_style: Literal["arm", "problem", "text", "empty"] = "arm"
    list_names: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])
    record_style: Literal["bare", "wrapped", "listed"] = "bare"
    entries_name: str | None = None
    request_id_header: str | None = "X-Request-Id"
    rate_limit_headers: bool = False
    page_size_cap: int = 1000
    auto_posting_methods: Collection[str] | None = None
    auto_posting_failure_status: int = 200
    file_style: Literal["json", "bytes"] = "json"

    def __post_init__(self) -> None:
        """Refuses values that cannot work, when they are made."""
        if self.token_lifetime <= 0:
            raise ValueError("token_lifetime must be greater than 0 seconds")
        if self.max_body_bytes < 1:
            raise ValueError("max_body_bytes must be at least 1")
        if self.max_batch_records is not None and self.max_batch_records < 1:
            raise ValueError("max_batch_records must be at least 1, or None for no limit")
        unreadable = sorted(set(self.content_encodings) - set(ENCODINGS))
        if unreadable:
            raise ValueError(f"content_encodings must be some of {', '.join(ENCODINGS)}, and not {', '.join(unreadable)}")
        if self.list_cap < 1:
            raise ValueError("list_cap must be at least 1")
        if self.page_size_cap < 1:
            raise ValueError("page_size_cap must be at least 1")
        if not 200 <= self.auto_posting_failure_status <= 599:
            raise ValueError("auto_posting_failure_status must be an HTTP status from 200 to 599")
        routes(self.paths)  # raises for what can't be served
        no_lists = sorted(set(self.list_names) - LISTS)
        if no_lists:
            raise ValueError(f"list_names: these are no lists: {', '.join(no_lists)}")
