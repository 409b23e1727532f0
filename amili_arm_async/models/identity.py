"""What the identity service answers (https://docs.amili.dev/example-workflow-359631m0, a page of the Collection API)."""

from __future__ import annotations

from typing import ClassVar

from .base import Record

__all__ = ["IssuedToken"]


class IssuedToken(Record, kw_only=True, rename=None, gc=False):
    """The answer of `POST token`. Its `repr` shows nothing of it.

    Attributes:
        access_token: the bearer token, a JWT.
        token_type: `"Bearer"`.
        not_before: Unix time from which it is good.
        expires_in: seconds that it is good for, typically 3600.
        expires_on: Unix time when it expires.
        resource: a UUID.
    """

    _secret: ClassVar[tuple[str, ...]] = ("access_token",)

    access_token: str | None = None
    token_type: str | None = None
    not_before: int | None = None
    expires_in: int | None = None
    expires_on: int | None = None
    resource: str | None = None
