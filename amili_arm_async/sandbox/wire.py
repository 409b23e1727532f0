"""Reads bodies, sends responses whole or broken, and drops connections."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import socket
import struct
from typing import TYPE_CHECKING

from aiohttp import web

from . import processing
from .operations import ApiResponse, refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from .faults import Fault

DROPPED: web.RequestKey[bool] = web.RequestKey("dropped", bool)
"""Set on a request that was never answered."""
BODY_BYTES: web.RequestKey[int] = web.RequestKey("body_bytes", int)
"""The size of the body of a request, once it is read whole."""
_DRAIN = 64_000_000
"""Bytes of a too large body that are read and thrown away: the client should hear the 413 and not a reset."""


async def read(request: web.Request, limit: int) -> bytes | None:
    """Returns the whole body, or None if it is larger than `limit` bytes.

    Such a body is read and thrown away.
    """
    pieces: list[bytes] = []
    size = 0
    async for piece in request.content.iter_any():
        size += len(piece)
        if size <= limit:
            pieces.append(piece)
        else:
            pieces.clear()
        if size > max(limit, _DRAIN):
            break
    return b"".join(pieces) if size <= limit else None


def response(answer: ApiResponse) -> web.Response:
    """Returns an answer as aiohttp sends it."""
    return web.Response(status=answer.status, body=answer.body, headers=_headers(answer))


def _headers(answer: ApiResponse) -> dict[str, str]:
    """Returns the headers of an answer; a fault may bring a Content-Type of its own."""
    has_type = any(name.lower() == "content-type" for name in answer.headers)
    return {**answer.headers} if has_type else {**answer.headers, "Content-Type": answer.content_type}


def refused(fault: Fault | None) -> ApiResponse | None:
    """Returns the answer of a fault that keeps the records from being taken, or None for any other."""
    if fault is None:
        return None
    if fault.kind == "hang_before":
        return ApiResponse(503, b"")  # never sent
    return _in_its_place(fault) if fault.refuses else None


async def send(
    request: web.Request, answer: ApiResponse, fault: Fault | None, style: Callable[[ApiResponse], ApiResponse]
) -> web.StreamResponse:
    """Sends an answer the way the fault wants it; `style` gives it the look that every answer has."""
    kind = None if fault is None else fault.kind
    if fault is None:
        return response(style(answer))
    if kind == "reset_after":
        return await drop(request, graceful=fault.graceful)
    if kind == "status":
        return response(style(_in_its_place(fault)))
    if kind == "garbage":
        return response(style(ApiResponse(answer.status, fault.body or b"", answer.headers)))
    if kind == "no_uuid":
        return response(style(dataclasses.replace(answer, body=_without_uuid(answer.body))))
    if kind == "cut":
        return await _send_half(request, style(answer))
    if kind == "close_idle":
        return await _send_and_close(request, style(answer), fault.seconds)
    return response(style(answer))


async def drop(request: web.Request, *, graceful: bool) -> web.StreamResponse:
    """Ends the connection with no answer: with a reset, or `graceful` with an ordinary close.

    The answer that is returned goes nowhere; aiohttp wants one.
    """
    request[DROPPED] = True
    if graceful:
        # A close with unread bytes in the socket would be a reset after all.
        with contextlib.suppress(ConnectionError, web.RequestPayloadError):
            await read(request, 0)
    transport = request.transport
    if transport is not None and graceful:
        transport.close()
    elif transport is not None:
        connection = transport.get_extra_info("socket")
        if connection is not None:
            # To linger for no time at all makes the kernel send a reset when the socket closes.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return web.Response(status=503)


async def _send_half(request: web.Request, answer: ApiResponse) -> web.StreamResponse:
    """Announces the whole answer, sends half of it and closes the connection."""
    stream = web.StreamResponse(status=answer.status, headers=_headers(answer))
    stream.content_length = len(answer.body)
    await stream.prepare(request)
    await stream.write(answer.body[: len(answer.body) // 2])
    if request.transport is not None:
        request.transport.close()
    return stream


async def _send_and_close(request: web.Request, answer: ApiResponse, after: float) -> web.StreamResponse:
    """Sends the whole answer, and closes the connection `after` seconds later without having announced it."""
    whole = response(answer)
    await whole.prepare(request)
    await whole.write_eof()
    if request.transport is not None:
        if after > 0:
            asyncio.get_running_loop().call_later(after, request.transport.close)
        else:
            request.transport.close()
    return whole


def _in_its_place(fault: Fault) -> ApiResponse:
    """Returns the answer that a status or a redirect fault gives."""
    if fault.body is not None:
        return ApiResponse(fault.code, fault.body, dict(fault.headers))
    answer = refusal(fault.code, f"injected {fault.code}")
    answer.headers.update(fault.headers)
    return answer


def _without_uuid(body: bytes) -> bytes:
    try:
        value = processing.decode_object(body)
    except ValueError:
        return body
    value.pop("batchUuid", None)
    value.pop("getResult", None)
    return processing.encode(value)
