"""A batch's body compressed, right before it is sent: only what is about to be on the wire is held in this form too."""

from __future__ import annotations

from typing import Final

from anyio import to_thread
from msgspec.structs import replace

from ..compression import Compression, compress
from ..errors import StatusError
from ..tries import Attempt
from ..wire import Request
from .job import RunSpec

__all__ = ["compressed", "with_advice"]

_UNSUPPORTED: Final = 415


async def compressed(request: Request, encoding: Compression) -> Request:
    """The request with its body compressed. Nothing of it has left meanwhile, so to be cancelled here leaves no doubt.

    In a worker thread, since zlib and zstd let the others run while they work: the loop goes on, and the next batch is encoded.
    """
    plain = [piece for piece in request.body if isinstance(piece, bytes)]
    # What is cancelled does not wait: the thread has nothing to lose but its result.
    body = await to_thread.run_sync(compress, plain, encoding, abandon_on_cancel=True)
    return replace(request, body=(body,), encoding=encoding)


def with_advice(tried: Attempt, job: RunSpec) -> Attempt:
    """The try, with an error that says what to change where the server does not take what is compressed."""
    said = tried.error_of(job.endpoint)
    if said is None or said.status != _UNSUPPORTED or job.options.compression is None:
        return tried
    hint = f"the server does not take bodies that are compressed with {job.options.compression}: remove compression="
    error = StatusError(said.status, operation=said.operation, body=said.body, request_id=said.request_id, hint=hint)
    return replace(tried, fatal=error)
