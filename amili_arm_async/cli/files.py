"""The files that the options of a command name."""

from __future__ import annotations

import os
from collections.abc import Iterable

from ..files import FileKind, JobFile, check_distinct, check_writable

__all__ = ["check_files"]


def check_files(files: Iterable[tuple[str, str | os.PathLike[str] | None, FileKind]], *, writable: bool = True) -> None:
    """Refuses files of a command that are the same, or can't be written, before anything is sent.

    Args:
        files: of each the option, the path (None: not given), and what it is.
        writable: whether it is also seen to that they can be written; else who writes them tells.

    Raises:
        ConfigurationError: the options are in the message.
    """
    given = [JobFile(option, path, kind) for option, path, kind in files if path is not None]
    check_distinct(given)
    if writable:
        check_writable(given)
