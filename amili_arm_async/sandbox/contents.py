"""Finds the field of an uploaded file that holds its content. No public page names it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any


def content_field(record: Mapping[str, Any]) -> str | None:
    """Returns the name of the field that holds the content in base64, or None: the one that is named so, else the longest."""
    found = {name: value for name, value in record.items() if isinstance(value, str) and value and decoded(value) is not None}
    named = [name for name in found if "content" in name.lower() or "data" in name.lower() or "base64" in name.lower()]
    return max(named or found, key=lambda name: len(found[name]), default=None)


def decoded(value: str) -> bytes | None:
    """Returns what a text in base64 holds, or None for any other text."""
    try:
        return base64.b64decode(value, validate=True)
    except (ValueError, binascii.Error):
        return None


def without_content(record: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a file as a list shows it."""
    field = content_field(record)
    return {name: value for name, value in record.items() if name != field}
