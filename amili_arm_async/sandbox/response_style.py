"""What every response gets: the configured style of its error body, a request id, rate limit headers."""

from __future__ import annotations

import dataclasses
import http
import secrets
from typing import TYPE_CHECKING, Final

from .. import clock
from . import processing

if TYPE_CHECKING:
    from .operations import ApiResponse
    from .settings import SandboxSettings

_LIMIT: Final = 600
"""Requests in a minute, as the rate limit headers announce them. The number is made up, and not enforced."""
_MINUTE: Final = 60.0


class ResponseStyle:
    """Applies the configured style to responses."""

    def __init__(self, settings: SandboxSettings) -> None:
        self._settings = settings
        self._since = clock.monotonic()
        self._calls = 0

    def style(self, answer: ApiResponse) -> ApiResponse:
        """Returns a response as it goes over the wire; it keeps the headers that it has."""
        headers: dict[str, str] = {}
        if self._settings.request_id_header is not None:
            headers[self._settings.request_id_header] = secrets.token_hex(8)
        if self._settings.rate_limit_headers:
            headers.update(self._rate_limit())
        body, content_type = answer.body, answer.content_type
        if answer.error is not None:
            body, content_type = self._error(answer.status, answer.error, answer)
        return dataclasses.replace(answer, body=body, content_type=content_type, headers={**headers, **answer.headers})

    def _error(self, status: int, message: str, answer: ApiResponse) -> tuple[bytes, str]:
        """Returns the body of an error in the configured style, and its content type."""
        style = self._settings.error_style
        if style == "problem":
            title = http.HTTPStatus(status).phrase if status in set(http.HTTPStatus) else ""
            problem = {"type": "about:blank", "title": title, "status": status, "detail": message}
            return processing.encode(problem), "application/problem+json"
        if style == "text":
            return message.encode(), "text/plain"
        return (b"", "text/plain") if style == "empty" else (answer.body, answer.content_type)

    def _rate_limit(self) -> dict[str, str]:
        """Counts a request, and returns the headers that report it."""
        now = clock.monotonic()
        if now - self._since >= _MINUTE:
            self._since, self._calls = now, 0
        self._calls += 1
        return {
            "X-RateLimit-Limit": str(_LIMIT),
            "X-RateLimit-Remaining": str(max(0, _LIMIT - self._calls)),
            "X-RateLimit-Reset": str(int(self._since + _MINUTE - now) + 1),
        }
