"""Who may have a journal in his hands, and whether the files at its paths are still those that were opened."""

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
"""What SQLite has open as long as the journal is."""


def refuse_untrusted(path: str, word: str) -> None:
    """Refuses a journal that somebody else may write, that has more than one name, or whose folder does not stay with it.

    Raises:
        JournalError: another user owns it or what is beside it, everybody can write to it, it is hard linked, or mounted by itself.
        OSError: it can't be looked at.
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
            raise JournalError(f"{place} is no regular file, so the {word} {path} is not used. Move it away, or give another path")
        if status.st_uid not in ours:
            raise JournalError(
                f"{place} belongs to user {status.st_uid}, and this runs as user {os.geteuid()}: the {word} is not used. "
                "Run as that user, or take it over with chown if you trust what it holds"
            )
        if status.st_mode & stat.S_IWOTH:
            raise JournalError(f"every user of this machine can write to {place}: the {word} is not used. Say `chmod o-w {place}` first")
        if status.st_mode & stat.S_IWGRP:
            log.warning("the group can write to this file: `chmod g-w` it", path=place)
    if is_mounted(path):
        raise JournalError(
            f"the {word} {path} is a file that is mounted by itself: what belongs beside it ({', '.join(_OPEN)}, -mark) would not stay "
            "with it. Mount its folder"
        )
    _refuse_other_names(path, word)


def _refuse_other_names(path: str, word: str) -> None:
    """SQLite's locks and its log go by the name: under another one, the same file would be written without them."""
    if os.stat(path).st_nlink > 1:  # noqa: PTH116 - a text, not a Path
        # One that was just made has two names for a moment, and keeps them where its maker was killed then.
        for draft in glob.glob(f"{glob.escape(path)}.*.new"):  # noqa: PTH207 - a text, not a Path
            with contextlib.suppress(OSError):
                if Path(draft).samefile(path):
                    Path(draft).unlink()
    names = os.stat(path).st_nlink  # noqa: PTH116 - a text, not a Path
    if names > 1:
        raise JournalError(
            f"the {word} {path} has {names} names (hard links): under each of them it would be used as a file of its own. "
            "Remove the other names"
        )


class FileGuard:
    """Sees to it that what is written is the file at its path, and not one that was taken away while it was open.

    Args:
        path: of the journal; an empty text for one that has no name.
        word: what it is called, for errors.
    """

    def __init__(self, path: str, word: str) -> None:
        self._path = path
        self._word = word
        self._known: dict[str, tuple[int, int]] = {}

    def before_opening(self) -> None:
        """To be called when the file is there and not open yet."""
        self._known = {self._path: _identity(self._path)}

    def opened(self) -> None:
        """To be called when SQLite has all its files open."""
        for side in _OPEN:
            self.watch(f"{self._path}{side}")
        self.check()

    def watch(self, path: str) -> None:
        """From now on the file at `path` must stay there, too."""
        self._known[path] = _identity(path)

    def check(self) -> None:
        """Looks at all of them.

        Raises:
            JournalError: one is not the one that was opened.
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
