"""The report as files: the report as JSON, and the page."""

from __future__ import annotations

from pathlib import Path

import msgspec

from ...nightly.report import ReportSchema
from .failures import write_whole
from .page import render_page

__all__ = ["write_json", "write_page"]


def write_json(document: ReportSchema, path: str | Path) -> None:
    """Writes the document, in one step: whoever reads the file sees all of it. Mode 0600.

    Raises:
        OSError: the file can't be written; it is as it was.
    """
    text = msgspec.json.format(msgspec.json.encode(document), indent=1)
    write_whole(path, [text, b"\n"])


def write_page(document: ReportSchema, path: str | Path) -> None:
    """Writes the page, in one step, mode 0600. Times are in the zone of this machine.

    Raises:
        OSError: the file can't be written; it is as it was.
    """
    write_whole(path, [render_page(document).encode()])
