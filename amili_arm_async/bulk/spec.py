"""What a run is told: the records, where they go, and how."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from ..config import BulkOptions, RetryPolicy, Timeout
from ..endpoints import Endpoint
from ..wire import Envelope, Request
from .chunking import RecordType
from .results import BatchRules

__all__ = ["RunSpec"]


class RunSpec(Struct, frozen=True):
    """What a run sends, where to and how.

    Attributes:
        client_no: whose ledger it is.
        kind: the records.
        request: the request without its body.
        envelope: what stands around the records.
        poll: the request for a batch's result.
        look_up: the request for one record by its key, where documents may be looked up.
        probe: the request for a cheap read, which shows that the server answers again.
        options: the run's options.
        rules: how batch results are read.
        timeout, retry: for each request.
    """

    client_no: int
    kind: RecordType
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
        """The operation."""
        return self.request.endpoint
