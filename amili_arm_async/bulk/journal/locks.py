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

__all__ = ["is_locked", "lock", "unlock"]


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

_FILES: dict[str, _File] = {}
_GUARD = Lock()


def lock(path: str, run: int) -> bool:
    """Locks a run of the journal at `path`; False where another one, here or elsewhere, has it."""
    with _GUARD:
        file = _FILES.get(path) or _File(os.open(f"{path}-lock", os.O_RDWR | os.O_CREAT, 0o600))
        if run in file.runs or not _try(file.fd, run):
            _close_idle(path, file)
            return False
        file.runs.add(run)
        _FILES[path] = file
        return True


def unlock(path: str, run: int) -> None:
    """Lets a run go that is locked here."""
    with _GUARD:
        file = _FILES[path]
        fcntl.lockf(file.fd, fcntl.LOCK_UN, 1, run)
        file.runs.discard(run)
        _close_idle(path, file)


def is_locked(path: str, run: int) -> bool:
    """Whether anybody has a run. Nothing is made, nothing is changed, and nobody is kept from locking it meanwhile."""
    with _GUARD:
        if path in _FILES:
            return run in _FILES[path].runs or _is_held(_FILES[path].fd, run)
        try:
            fd = os.open(f"{path}-lock", os.O_RDWR)
        except OSError:
            return False
        try:
            return _is_held(fd, run)
        finally:
            os.close(fd)


def _is_held(fd: int, run: int) -> bool:
    """Whether another process holds the byte of a run: asks, and takes nothing."""
    wanted = {"type": fcntl.F_WRLCK, "whence": os.SEEK_SET, "start": run, "length": 1, "process": 0}
    layout, names = _LAYOUT
    answer = fcntl.fcntl(fd, fcntl.F_GETLK, struct.pack(layout, *[wanted[name] for name in names]))
    return bool(dict(zip(names, struct.unpack(layout, answer), strict=True))["type"] != fcntl.F_UNLCK)


def _try(fd: int, run: int) -> bool:
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, run)
    except OSError as failure:
        if failure.errno in {errno.EACCES, errno.EAGAIN}:
            return False
        raise
    return True


def _close_idle(path: str, file: _File) -> None:
    if not file.runs:
        _FILES.pop(path, None)
        os.close(file.fd)
