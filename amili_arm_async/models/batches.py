"""What the service answers to a write, and the result of a batch.

The 202 of a batch is on the pages (https://docs.amili.dev/post-create-a-batch-of-documents-3942668e0); the answers to single writes
and the body of GET batch (https://docs.amili.dev/get-one-batch-3942681e0) are not. So these are read with tolerance, and the raw
body is kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from .listing import Listed

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["BatchEntry", "BatchOutcomeWord", "BatchReceipt", "BatchResult", "Receipt", "put_off"]

BatchOutcomeWord: TypeAlias = Literal["pending", "succeeded", "failed", "partial", "done", "unrecognised", "gone"]


@dataclass(frozen=True, slots=True, repr=False)
class Receipt(Listed):
    """The answer to a write of one record. The fields are None where the answer has no such text.

    Attributes:
        http_status: the HTTP status, 2xx.
        status: the word of the answer's `status`.
        result: the word of the answer's `result`.
        message: the server's message.
        request_id: the request id that the server gave.
        body: the parsed JSON of the answer, as it came; None where it was empty or no JSON.
    """

    http_status: int
    status: str | None = None
    result: str | None = None
    message: str | None = field(default=None, repr=False)
    request_id: str | None = None
    body: Any = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, repr=False)
class BatchReceipt(Listed):
    """The 202 to a batch. Keep `batch_uuid`: it is the only way to the result.

    Attributes:
        batch_uuid: names the batch; 22 characters, case-sensitive.
        status: `"NOT-PROCESSED"` in the sample.
        result: `"PENDING"` in the sample.
        message: the server's message.
        get_result: the address of the result, as the server wrote it; this library builds its own from `batch_uuid`.
        request_id: the request id that the server gave.
    """

    batch_uuid: str
    status: str | None = None
    result: str | None = None
    message: str | None = field(default=None, repr=False)
    get_result: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True, repr=False)
class BatchEntry(Listed):
    """What a batch result says of one record.

    Attributes:
        key: the record's `customerNo` or `documentNo`, or None where the entry names none.
        outcome: what its words mean, by `BatchWords`.
        words: the words themselves, for example `"PROCESSED/FAILED"`.
        message: the server's message; it may hold personal data.
    """

    key: str | None
    outcome: BatchOutcomeWord
    words: str
    message: str | None = field(default=None, repr=False)


class _PutOff:
    """Room for how the entries of a result are read, and for whether one of them is pending."""

    __slots__ = ("_pending", "_read")

    _pending: bool
    _read: Callable[[], tuple[BatchEntry, ...]]


@dataclass(frozen=True, slots=True, repr=False)
class BatchResult(_PutOff, Listed):
    """What GET batch answered, read by `BatchWords`.

    Attributes:
        batch_uuid: the batch.
        http_status: 200, 202 or 206; from `wait_many` also 404 and 406.
        outcome: what the words for the whole batch mean; `"pending"` also for every 202; `"partial"` where they say success and
            something else in the answer names, lists or counts a failure; `"done"` where nothing says how it ended; `"gone"` for 404
            and 406.
        status: the word of the answer's `status`.
        result: the word of the answer's `result`.
        message: the server's message.
        entries: what the answer says of single records, its lists of what failed and of what succeeded included; empty where it has
            no such lists.
        body: the raw body.
    """

    batch_uuid: str
    http_status: int
    outcome: BatchOutcomeWord
    status: str | None = None
    result: str | None = None
    message: str | None = field(default=None, repr=False)
    entries: tuple[BatchEntry, ...] = field(default=(), repr=False)
    body: bytes = field(default=b"", repr=False)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            # Only asked for what is not there: the entries, until somebody looks at them.
            if name != "entries":
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)
            entries = self._read()
            object.__setattr__(self, "entries", entries)
            return entries

    @property
    def is_final(self) -> bool:
        """True when there is nothing to wait for: the words are known, and none says that something is still to come."""
        pending: bool | None = getattr(self, "_pending", None)
        if pending is None:
            pending = any(entry.outcome == "pending" for entry in self.entries)
        return self.outcome in {"succeeded", "failed", "partial", "done"} and not pending


def put_off(result: BatchResult, read: Callable[[], tuple[BatchEntry, ...]], *, pending: bool) -> None:
    """The entries of a result that was just made are read with `read` when somebody looks at them; most are never looked at."""
    object.__setattr__(result, "_read", read)
    object.__setattr__(result, "_pending", pending)
    object.__delattr__(result, "entries")
