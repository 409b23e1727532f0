"""Writes the replies, masked, to a directory of their own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import msgspec

from ... import codec
from ...errors import ConfigurationError
from ...files import followed
from .evidence import Exchange
from .masking import field_name, masked_body, masked_headers

__all__ = ["Replies"]

_NUMBERS: Final = frozenset({"pageno", "pagesize", "maximumcount"})


class Replies:
    """One JSON file for each reply, readable for its owner only.

    Args:
        path: a directory that does not exist, or is empty.

    Attributes:
        trouble: why no further reply was written, or "".

    Raises:
        ConfigurationError: it can't be had.
    """

    def __init__(self, path: str) -> None:
        self.trouble = ""
        self._count = 0
        try:
            self._path = Path(followed(path))
            self._path.mkdir(mode=0o700, parents=False, exist_ok=True)
            if next(self._path.iterdir(), None) is not None:
                raise ConfigurationError(f"{path} is not empty: name a directory that does not exist yet")
            self._path.chmod(0o700)
        except OSError as exc:
            raise ConfigurationError(f"{path} can't be made a directory for the replies: {exc.strerror}") from None

    def keep(self, heard: Exchange) -> None:
        """Writes one."""
        if self.trouble:
            return
        self._count += 1
        path = self._path / f"{self._count:03d}-{heard.operation}.json"
        try:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(msgspec.json.format(codec.ENCODER.encode(_shown(heard)), indent=2) + b"\n")
        except OSError as exc:
            # A probe that has begun tells what it saw, whatever becomes of its files.
            self.trouble = f"{self._path} can't be written: {exc.strerror}"


def _shown(heard: Exchange) -> dict[str, Any]:
    response = heard.response
    return {
        "operation": heard.operation,
        "method": heard.method,
        "path": heard.template,
        "query": {field_name(name): value if name in _NUMBERS and value.isdecimal() else "(not shown)" for name, value in heard.query},
        "status": heard.status,
        "reason": heard.reason,
        "whole": response.complete if response is not None else None,
        "headers": masked_headers(heard.headers),
        "body": masked_body(heard.body),
    }
