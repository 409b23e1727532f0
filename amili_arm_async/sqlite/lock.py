"""Who runs what: each run of a journal is locked by its process, so that no second one sends the same records beside it.

The locks are those of the operating system on a file beside the journal, a byte for each run: they end with the process, however it
ends. Within one process they would not keep two apart, so a table here does.
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

__all__ = ["RunLock", "is_locked", "lock"]


@dataclass
class _File:
    """The lock file of a journal, open while a run of it is locked here: closing it anywhere would end all locks of the process."""

    fd: int
    runs: set[int] = field(default_factory=set)


# `struct flock`, as the system's headers have it.
_LAYOUT: Final = (
    ("@qqihh", ("start", "length", "process", "type", "whence"))
    if sys.platform == "darwin"
    else ("@hhqqi4x", ("type", "whence", "start", "length", "process"))
)

# By device and number of the file: two ways to write a path, or to mount it, are one file.
_FILES: dict[tuple[int, int], _File] = {}
_GUARD = Lock()


@dataclass(frozen=True)
class RunLock:
    """The right of this process to a run, until it is released."""

    file: _File
    run: int

    def release(self) -> None:
        """Lets the run go."""
        with _GUARD:
            fcntl.lockf(self.file.fd, fcntl.LOCK_UN, 1, self.run)
            self.file.runs.discard(self.run)
            _close_idle(self.file)


def lock(path: str, run: int) -> RunLock | None:
    """Locks a run of the journal at `path`; None where another one, here or elsewhere, has it."""
    with _GUARD:
        file = _open_file(path) or _File(os.open(f"{path}-lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600))
        if run in file.runs or not _try(file.fd, run):
            _close_idle(file)
            return None
        file.runs.add(run)
        _FILES[_key(os.fstat(file.fd))] = file
        return RunLock(file, run)


def is_locked(path: str, run: int) -> bool:
    """Whether anybody has a run. Nothing is made, nothing is changed, and nobody is kept from locking it meanwhile."""
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


def _key(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _open_file(path: str) -> _File | None:
    """The lock file of a journal, where it is open here; to open and close it once more would end its locks."""
    try:
        return _FILES.get(_key(os.stat(f"{path}-lock")))  # noqa: PTH116 - a text, not a Path
    except OSError:
        return None


def _is_held(fd: int, run: int) -> bool:
    """Whether another process holds the byte of a run: asks, and takes nothing."""
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
