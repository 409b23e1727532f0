"""Locks each run of a journal for one process, so that no second process sends the same records at the same time.

These are advisory locks of the operating system on a file beside the journal, one byte for each run. They end with the process, however it
ends. They don't separate two runs of one process; a table in this module does.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import sys
from dataclasses import dataclass, field
from threading import Lock
from typing import Final

__all__ = ["RunLock", "is_locked", "is_open_here", "lock"]


@dataclass
class _File:
    """The lock file of a journal. It stays open while any of its runs is locked here: closing it anywhere would release all locks of the
    process.
    """

    fd: int
    runs: set[int] = field(default_factory=set)


# The layout of `struct flock`, from the headers of the system.
_LAYOUT: Final = (
    ("@qqihh", ("start", "length", "process", "type", "whence"))
    if sys.platform == "darwin"
    else ("@hhqqi4x", ("type", "whence", "start", "length", "process"))
)

# By device and inode, so that two paths or mounts of a file are one entry.
_FILES: dict[tuple[int, int], _File] = {}
_GUARD = Lock()


@dataclass(frozen=True)
class RunLock:
    """The lock of this process on a run, until it is released.

    Attributes:
        file: the lock file.
        run: the id of the run.
    """

    file: _File
    run: int

    def release(self) -> None:
        """Releases the lock."""
        with _GUARD:
            fcntl.lockf(self.file.fd, fcntl.LOCK_UN, 1, self.run)
            self.file.runs.discard(self.run)
            _close_idle(self.file)


def lock(path: str, run: int) -> RunLock | None:
    """Locks a run of a journal, without waiting.

    Args:
        path: of the journal, absolute.
        run: the id of the run.

    Returns:
        The lock; None if the run is already locked, by this process or another one.

    Raises:
        OSError: the lock file can't be opened or locked.
    """
    with _GUARD:
        file = _open_file(path) or _File(os.open(f"{path}-lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600))
        if run in file.runs or not _try(file.fd, run):
            _close_idle(file)
            return None
        file.runs.add(run)
        _FILES[_key(os.fstat(file.fd))] = file
        return RunLock(file, run)


def is_locked(path: str, run: int) -> bool:
    """Tells whether any process has locked a run. Creates and changes nothing, and does not keep others from locking it.

    Args:
        path: of the journal, absolute.
        run: the id of the run.

    Returns:
        Whether it is locked; False if there is no lock file.
    """
    with _GUARD:
        if (file := _open_file(path)) is not None:
            return run in file.runs or _is_held(file.fd, run)
        try:
            fd = os.open(f"{path}-lock", os.O_RDWR | os.O_NOFOLLOW)
        except OSError:
            return False
        try:
            return _is_held(fd, run)
        finally:
            os.close(fd)


def is_open_here(path: str) -> bool:
    """Tells whether this process has locked a run of a journal, so that it has the journal open.

    Args:
        path: of the journal, absolute.

    Returns:
        Whether it has.
    """
    with _GUARD:
        return _open_file(path) is not None


def _key(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _open_file(path: str) -> _File | None:
    """Returns the lock file of a journal if it is open here. Opening and closing it a second time would release its locks."""
    try:
        return _FILES.get(_key(os.stat(f"{path}-lock")))  # noqa: PTH116 - a text, not a Path
    except OSError:
        return None


def _is_held(fd: int, run: int) -> bool:
    """Returns whether another process holds the byte of a run, without taking it."""
    wanted = {"type": fcntl.F_WRLCK, "whence": os.SEEK_SET, "start": run, "length": 1, "process": 0}
    layout, names = _LAYOUT
    answer = fcntl.fcntl(fd, fcntl.F_GETLK, struct.pack(layout, *[wanted[name] for name in names]))
    return bool(dict(zip(names, struct.unpack(layout, answer), strict=True))["type"] != fcntl.F_UNLCK)


def _try(fd: int, run: int) -> bool:
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, run)
    except OSError as exc:
        if exc.errno in {errno.EACCES, errno.EAGAIN}:
            return False
        raise
    return True


def _close_idle(file: _File) -> None:
    if not file.runs:
        _FILES.pop(_key(os.fstat(file.fd)), None)
        os.close(file.fd)
