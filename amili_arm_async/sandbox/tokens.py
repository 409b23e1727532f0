"""The token service: `POST {identity_url}/token`, and which bearer tokens are valid."""

from __future__ import annotations

import secrets
import uuid
from typing import TYPE_CHECKING

import msgspec

from .. import clock
from .processing import batch_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .settings import SandboxSettings


class Tokens:
    """Hands out tokens shaped like a JWT (nothing in them is signed) and knows which are valid."""

    def __init__(self, settings: SandboxSettings) -> None:
        self._settings = settings
        self._resource = str(uuid.uuid4())
        self._good: dict[str, float] = {}
        self._own = ""
        self.requests = 0

    @property
    def has_own(self) -> bool:
        """Whether `own` is there and good."""
        return self._own in self._good

    @property
    def own(self) -> str:
        """A token that is good until tokens are revoked; after that, a new one."""
        if not self.has_own:
            self._own = self._make(clock.unix_time(), float("inf"))
        return self._own

    def is_good(self, token: str) -> bool:
        """Returns whether a token was handed out, is not revoked and has not expired."""
        return self._good.get(token, 0.0) > clock.unix_time()

    def revoke(self) -> None:
        """Makes every token that was handed out bad."""
        self._good.clear()

    def answer(self, name: str, form: Mapping[str, str]) -> tuple[int, dict[str, object]]:
        """Returns the status and the JSON object that answer one of the calls of the identity service."""
        if name == "token":
            return self.grant(form)
        if name == "health":
            return 200, {"status": "OK"}
        known = any(self.is_good(value) for value in form.values())
        if name == "verify":
            return (200, {"active": True}) if known else (401, {"active": False})
        return (200, self._granted()) if known else (400, {"error": "invalid_grant"})

    def grant(self, form: Mapping[str, object]) -> tuple[int, dict[str, object]]:
        """Returns the status and the JSON object that answer a token request."""
        self.requests += 1
        if form.get("grant_type") != "client_credentials":
            return 400, {"error": "unsupported_grant_type"}
        given = (form.get("client_id"), form.get("client_secret"))
        if given != (self._settings.client_id, self._settings.client_secret):
            return 401, {"error": "invalid_client"}
        return 200, self._granted()

    def _granted(self) -> dict[str, object]:
        """Returns the answer that brings a new token."""
        now = clock.unix_time()
        expires = now + self._settings.token_lifetime
        self._good = {token: end for token, end in self._good.items() if end > now}
        return {
            "access_token": self._make(now, expires),
            "token_type": "Bearer",
            "not_before": int(now),
            "expires_in": int(self._settings.token_lifetime),
            "expires_on": int(expires),
            "resource": self._resource,
        }

    def _make(self, now: float, expires: float) -> str:
        head = _part({"alg": "none", "typ": "JWT"})
        body = _part({"sub": self._settings.client_id, "iat": int(now), "jti": secrets.token_hex(8)})
        token = f"{head}.{body}.{secrets.token_urlsafe(24)}"
        self._good[token] = expires
        return token


def _part(claims: Mapping[str, object]) -> str:
    return batch_id(msgspec.json.encode(claims))
