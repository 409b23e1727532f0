"""Checks who else can write a journal, and whether the files at its paths are still the ones that were opened."""

from __future__ import annotations

import contextlib
import glob
import os
import stat
from pathlib import Path
from typing import Final

from .. import log
from ..errors import JournalError
from ..files import SIDES, is_mounted, trusted_owners

__all__ = ["FileGuard", "refuse_untrusted"]

_OPEN: Final = ("-wal", "-shm")
"""Suffixes of the files that SQLite keeps open beside the journal."""


def refuse_untrusted(path: str, word: str, *, removes_drafts: bool = True) -> None:
    """Refuses a file that another user may write, that has several names, or that is mounted without its folder.

    Args:
        path: of the file.
        word: what error messages call it.
        removes_drafts: whether a second name that a crash left behind is removed; if not, other names are not looked for.

    Raises:
        JournalError: it or a file beside it belongs to another user, is world-writable or not a regular file; or it is hard linked or a
            mount point.
        OSError: it can't be examined.
    """
    ours = trusted_owners()
    for place in (path, *(f"{path}{side}" for side in SIDES)):
        try:
            status = os.lstat(place)
        except FileNotFoundError:
            if place == path:
                raise
            continue
        if not stat.S_ISREG(status.st_mode):
            raise JournalError(f"{place} is not a regular file, so the {word} {path} is not used. Move it away, or give another path")
        if status.st_uid not in ours:
            raise JournalError(
                f"{place} belongs to user {status.st_uid}, and this runs as user {os.geteuid()}: the {word} is not used. "
                "Run as that user, or change the owner with chown if you trust the contents"
            )
        if status.st_mode & stat.S_IWOTH:
            raise JournalError(f"every user of this machine can write to {place}: the {word} is not used. Run `chmod o-w {place}` first")
        if status.st_mode & stat.S_IWGRP:
            log.warning("the group can write to this file: run `chmod g-w` on it", path=place)
    if is_mounted(path):
        raise JournalError(
            f"the {word} {path} is mounted as a single file: the files beside it ({', '.join(_OPEN)}, -mark) would not stay with it. "
            "Mount its folder instead"
        )
    if removes_drafts:
        _refuse_other_names(path, word)


def _refuse_other_names(path: str, word: str) -> None:
    """Refuses a hard-linked file: SQLite finds locks and log by name, so under another name the file would be written without them."""
    if os.stat(path).st_nlink > 1:  # noqa: PTH116 - a text, not a Path
        # A new file has two names for a moment, and keeps both if the process that creates it is killed then.
        for draft in glob.glob(f"{glob.escape(path)}.*.new"):  # noqa: PTH207 - a text, not a Path
            with contextlib.suppress(OSError):
                if Path(draft).samefile(path):
                    Path(draft).unlink()
    names = os.stat(path).st_nlink  # noqa: PTH116 - a text, not a Path
    if names > 1:
        raise JournalError(
            f"the {word} {path} has {names} names (hard links): each of them would be used as a separate file. Remove the other names"
        )


class FileGuard:
    """Detects that a file was removed or replaced while it was open.

    Args:
        path: of the file; empty for a temporary one.
        word: what error messages call it.
    """

    def __init__(self, path: str, word: str) -> None:
        self._path = path
        self._word = word
        self._known: dict[str, tuple[int, int]] = {}

    def before_opening(self) -> None:
        """Remembers which file is at the path. Call it before SQLite opens the file.

        Raises:
            OSError: there is no file, or it can't be examined.
        """
        self._known = {self._path: _identity(self._path)}

    def opened(self) -> None:
        """Remembers the files beside it and checks all. Call it once SQLite has them open.

        Raises:
            JournalError: a file was removed or replaced.
            OSError: a file beside it is missing.
        """
        for side in _OPEN:
            self.watch(f"{self._path}{side}")
        self.check()

    def watch(self, path: str) -> None:
        """Also watches another file from now on.

        Args:
            path: of the file, which exists.

        Raises:
            OSError: it can't be examined.
        """
        self._known[path] = _identity(path)

    def check(self) -> None:
        """Checks all watched files.

        Raises:
            JournalError: one was removed or replaced.
        """
        for path, known in self._known.items():
            try:
                same = _identity(path) == known
            except OSError:
                same = False
            if not same:
                raise JournalError(
                    f"{path} was removed or replaced while the {self._word} {self._path} was in use: nothing more is sent. "
                    "Find out who did that, then run again with the same run id"
                )


def _identity(path: str) -> tuple[int, int]:
    status = os.stat(path)  # noqa: PTH116 - a text, not a Path
    return status.st_dev, status.st_ino
