"""Batches: what became of records that were accepted for later processing."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable

from .. import clock
from ..config import RetryPolicy, Timeout, check_number
from ..errors import NotAcceptableError, NotFoundError
from ..models.batches import BatchResult
from .base import RequestContext
from .concurrent import ConcurrentMap

__all__ = ["Batches"]


class Batches:
    """`arm.batches`. Raises as every call: `NotSentError`, `ResponseError`, `StatusError` and its subclasses."""

    def __init__(self, context: RequestContext) -> None:
        self._context = context

    async def get(self, batch_uuid: str, *, timeout: Timeout | None = None, retry: RetryPolicy | None = None) -> BatchResult:
        """Fetches what is known of a batch now.

        Args:
            batch_uuid: the `batchUuid` from its receipt.
            timeout: time-outs of this call. Default: the client's.
            retry: retries of this call. Default: the client's.

        Returns:
            The result so far; `is_final` says whether it is processed.

        Raises:
            NotFoundError: the server knows no such batch, or no longer.
            NotAcceptableError: the same; the vendor's page lists this status without a meaning.
            ResponseError: the result is larger than 64 MB, or can't be read.

        https://docs.amili.dev/get-one-batch-3942681e0
        """
        request = self._context.request("batches.get", path={"batchuuid": batch_uuid})
        response = await self._context.transport.send(request, timeout=timeout, retry=retry)
        from ..bulk.results import read_result  # noqa: PLC0415 - with the first client

        return read_result(batch_uuid, response.status, response.body, self._context.rules.words)

    async def wait(
        self,
        batch_uuid: str,
        *,
        deadline: float = 3600.0,
        poll_first: float = 1.0,
        poll_max: float = 30.0,
        timeout: Timeout | None = None,
        retry: RetryPolicy | None = None,
    ) -> BatchResult:
        """Polls a batch until it is processed.

        If that takes longer than `deadline`, or the server repeats words that `BatchWords` does not know, the last response is returned
        as it is: look at `result.is_final` and `result.outcome`. A `batch_reader` is not used: it needs the keys of the records.

        Args:
            batch_uuid: the `batchUuid` from its receipt.
            deadline: the longest wait in seconds. Default 3600.
            poll_first: seconds between the first two polls. Default 1.
            poll_max: the maximum number of seconds between two polls. Default 30.
            timeout: time-outs of each poll. Default: the client's.
            retry: retries of each poll. Default: the client's.

        Returns:
            The result.

        Raises:
            ConfigurationError: a number of seconds is negative.
            NotFoundError: the server knows no such batch, or no longer.
            NotAcceptableError: the same; the vendor's page lists this status without a meaning.

        https://docs.amili.dev/get-one-batch-3942681e0
        """
        check_number("deadline", deadline, least=0)
        check_number("poll_first", poll_first, least=0)
        check_number("poll_max", poll_max, above=0)
        with self._context.transport.instrumentation.job("batches.wait"):
            return await self._wait(batch_uuid, deadline, poll_first, poll_max, timeout or self._context.transport.timeout, retry)

    async def _wait(
        self, batch_uuid: str, deadline: float, poll_first: float, poll_max: float, timeout: Timeout, retry: RetryPolicy | None
    ) -> BatchResult:
        end = clock.monotonic() + deadline
        delay = min(poll_first, poll_max)
        said: object = None
        while True:
            bounded = timeout.for_job().within(end - clock.monotonic())
            result = await self.get(batch_uuid, timeout=bounded, retry=retry)
            now = clock.monotonic()
            words = (result.http_status, result.status, result.result)
            if result.is_final or now >= end or (result.outcome == "unrecognised" and words == said):
                return result
            said = words
            await clock.sleep(min(delay, end - now))
            delay = min(max(delay, 0.001) * 1.6, poll_max)

    def wait_many(
        self,
        batch_uuids: Iterable[str] | AsyncIterable[str],
        *,
        concurrency: int = 8,
        deadline: float = 3600.0,
        poll_first: float = 1.0,
        poll_max: float = 30.0,
        timeout: Timeout | None = None,
        retry: RetryPolicy | None = None,
    ) -> ConcurrentMap[str, BatchResult]:
        """Polls many batches, several at once, and gives each result when it is there.

        A batch that the server does not know, or no longer, does not stop the others: its result has the outcome `"gone"`.

        `async with arm.batches.wait_many(uuids) as results: async for result in results: ...`

        Args:
            batch_uuids: any iterable or async iterable, of any length.
            concurrency: the number of batches polled at once. Default 8.
            deadline: the longest wait for each batch in seconds. Default 3600.
            poll_first: seconds between the first two polls of a batch. Default 1.
            poll_max: the maximum number of seconds between two polls of a batch. Default 30.
            timeout: time-outs of each poll. Default: the client's.
            retry: retries of each poll. Default: the client's.

        Returns:
            A context manager. Iterating it gives the results as they come.

        Raises:
            ConfigurationError: `concurrency` is less than 1.
        """

        async def one(batch_uuid: str) -> BatchResult:
            try:
                return await self.wait(
                    batch_uuid, deadline=deadline, poll_first=poll_first, poll_max=poll_max, timeout=timeout, retry=retry
                )
            except (NotFoundError, NotAcceptableError) as exc:
                return BatchResult(batch_uuid, exc.status, "gone")

        return ConcurrentMap(batch_uuids, one, at_once=concurrency, ordered=False)
