"""Copies an SQLite file as it stands, for a dry run: the file and those beside it are read, and neither changed nor locked."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import weakref
from pathlib import Path
from tempfile import mkdtemp
from typing import Final, NamedTuple

from ..errors import JournalError
from .file import broken, connect
from .guard import refuse_untrusted
from .lock import is_locked, is_open_here

__all__ = ["Snapshot"]

_ATTEMPTS: Final = 3
"""Attempts to copy a file while another process writes to it."""

_WAL_HEADER: Final = 32
"""Bytes of the header of a log, which changes when the log begins again."""


class _Version(NamedTuple):
    """What changes when the file does: SQLite writes to it only when it copies its log into it."""

    changed: int
    size: int
    inode: int
    log: bytes


class Snapshot:
    """A copy of a file in a temporary folder of its own, as long as it is not closed. Where there is no file, there is no copy.

    Args:
        path: of the file, absolute.
        word: what error messages call the file.

    Attributes:
        path: of the copy.

    Raises:
        JournalError: the file can't be read or copied, or another user may write it.
    """

    def __init__(self, path: str, word: str) -> None:
        folder = self._make_folder(path, Path(path).name)
        try:
            if not Path(path).parent.is_dir():
                raise JournalError(f"there is no folder {Path(path).parent} for the {word}")
            if Path(path).exists():
                refuse_untrusted(path, word, removes_drafts=False)
                _copy(path, self.path)
        except sqlite3.Error as exc:
            self.close()
            raise broken(path, exc, word) from exc
        except OSError as exc:
            self.close()
            text = f"the {word} {path} can't be copied into {folder}, which a dry run needs: {exc.strerror}. TMPDIR names another folder"
            raise JournalError(text) from exc
        except BaseException:
            self.close()
            raise

    def _make_folder(self, original: str, name: str) -> str:
        folder = mkdtemp(prefix="amili-arm-")
        self._remove = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self._original = original
        self.path = str(Path(folder).resolve() / name)
        return folder

    def is_running(self, run: int) -> bool:
        """Returns whether another process goes on with a run.

        Args:
            run: its id.
        """
        return is_locked(self._original, run)

    def named(self, error: JournalError) -> JournalError:
        """Returns an error about the copy as one about the file.

        Args:
            error: the error.

        Returns:
            An error that names the path of the file.
        """
        return JournalError(str(error).replace(self.path, self._original))

    def close(self) -> None:
        """Removes the copy."""
        self._remove()


def _copy(path: str, copy: str) -> None:
    # Closing the file here would release the locks that this process holds on it.
    for _ in range(_ATTEMPTS if not is_open_here(path) else 0):
        before = _version(path)
        shutil.copyfile(path, copy, follow_symlinks=False)
        Path(f"{copy}-wal").unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            shutil.copyfile(f"{path}-wal", f"{copy}-wal", follow_symlinks=False)
        if _version(path) == before:
            # What was appended to the log meanwhile is whole, or is passed over.
            Path(copy).chmod(0o600)
            return
    # A process has it open: so the files that SQLite wants to be there are there.
    for name in (copy, f"{copy}-wal"):
        Path(name).unlink(missing_ok=True)
    with contextlib.closing(connect(path, "ro")) as source, contextlib.closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    Path(copy).chmod(0o600)


def _version(path: str) -> _Version:
    status = os.stat(path)  # noqa: PTH116 - a text, not a Path
    log = b""
    with contextlib.suppress(FileNotFoundError), Path(f"{path}-wal").open("rb") as file:
        log = file.read(_WAL_HEADER)
    return _Version(status.st_mtime_ns, status.st_size, status.st_ino, log)
