"""Batches and bulk runs, for the resources that have them."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from .. import codec
from ..bulk.chunking import Kind
from ..bulk.job import Job
from ..bulk.pressure import Pressure
from ..bulk.run import BulkRun
from ..bulk.source import Source
from ..config import BulkOptions, RetryPolicy, Timeout
from ..errors import ConfigurationError, RecordError
from ..models.base import Input
from ..models.batches import BatchReceipt
from ..wire import Envelope, Request
from .caller import Caller, SourceRecord

__all__ = ["BulkWrites"]

InputT = TypeVar("InputT", bound=Input)


@dataclass(frozen=True, slots=True)
class BulkWrites(Generic[InputT]):
    """Writes many records of one kind.

    Attributes:
        caller: the client number and the transport.
        pressure: what all runs of the client share.
        kind: the Struct, and the field that names a record.
    """

    caller: Caller
    pressure: Pressure = field(repr=False)
    kind: Kind = field(repr=False)

    async def batch(
        self,
        name: str,
        records: Iterable[SourceRecord],
        *,
        user_id: str | None,
        timeout: Timeout | None,
        retry: RetryPolicy | None,
    ) -> BatchReceipt:
        """Sends all records in one request."""
        if isinstance(records, (str, bytes, bytearray, Input)) or not isinstance(records, Iterable):
            raise ConfigurationError(f"records must be a list of records, not {type(records).__name__}")
        texts: list[bytes] = []
        for number, record in enumerate(records):
            try:
                texts.append(codec.encode_one(record, self.kind.cls))
            except RecordError as failure:
                raise RecordError(f"record {number}: {failure}") from None
        if not texts:
            raise ConfigurationError("a batch needs at least one record")
        return await self.caller.write_batch(name, texts, user_id=user_id, timeout=timeout, retry=retry)

    def run(
        self,
        name: str,
        records: Iterable[SourceRecord] | AsyncIterable[SourceRecord],
        *,
        options: BulkOptions | None,
        user_id: str | None,
        timeout: Timeout | None,
        retry: RetryPolicy | None,
    ) -> BulkRun:
        """A bulk run over any number of records."""
        caller = self.caller
        request = caller.request(name)
        probe = caller.request("customers.list", query={"maximumcount": 5, "pagesize": 5})
        job = Job(
            kind=self.kind,
            request=request,
            envelope=Envelope.of(request.endpoint.items, user_id if user_id is not None else caller.user_id),
            poll=self._poll,
            probe=probe,
            options=options or BulkOptions(),
            words=caller.words,
            timeout=timeout or caller.transport.timeout,
            retry=retry or caller.transport.retry,
        )
        return BulkRun(job, Source(records), caller.transport, self.pressure)

    def _poll(self, batch_uuid: str) -> Request:
        return self.caller.request("batches.get", path={"batchuuid": batch_uuid})
