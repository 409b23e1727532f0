"""The specification of a run: its records, where they go, and how."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import Struct

from ..config import BulkOptions, RetryPolicy, Timeout
from ..endpoints import Endpoint
from ..wire import Envelope, Request
from .chunking import RecordType

if TYPE_CHECKING:
    from .results import BatchRules

__all__ = ["RunSpec"]


class RunSpec(Struct, frozen=True):
    """What a run sends, where to and how.

    Attributes:
        client_no: the client number.
        record_type: the type of the records.
        request: the request without its body.
        envelope: what stands around the records.
        poll: makes the request for the result of a batch, from its batchUuid.
        look_up: makes the request for one document, from its documentNo.
        probe: the request for a cheap read, which shows that the server answers again.
        options: the run's options.
        rules: how batch results are read.
        timeout: the time-outs of each request.
        retry: how failed requests are repeated.
    """

    client_no: int
    record_type: RecordType
    request: Request
    envelope: Envelope
    poll: Callable[[str], Request]
    look_up: Callable[[str], Request]
    probe: Request
    options: BulkOptions
    rules: BatchRules
    timeout: Timeout
    retry: RetryPolicy

    @property
    def endpoint(self) -> Endpoint:
        """The operation that sends the batches."""
        return self.request.endpoint
