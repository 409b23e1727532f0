"""Names this process in a database, and tells whether a process with such a name has ended."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import msgspec

from .. import clock

__all__ = ["Owner", "is_dead", "is_ours", "release", "this_process"]

_OURS: set[str] = set()
"""The tokens of the attempts of this process that are going on."""


class Owner(msgspec.Struct, frozen=True):
    """A process that owns a part of a run.

    Attributes:
        token: a random name of the attempt.
        host: the name of its machine.
        process: its process id.
        started: when it was started, as its machine counts.
        space: what its process id is unique in: a start of a machine, and a namespace of processes.
    """

    token: str
    host: str
    process: int
    started: int | None = None
    space: str | None = None

    def __str__(self) -> str:
        return f"process {self.process} on {self.host}"


def this_process(token: str) -> Owner:
    """Returns the name of this process.

    Args:
        token: a random name of the attempt.
    """
    process = os.getpid()
    _OURS.add(token)
    return Owner(token, socket.gethostname(), process, _started(process), _space())


def release(owner: Owner) -> None:
    """An attempt of this process is over.

    Args:
        owner: its name.
    """
    _OURS.discard(owner.token)


def is_ours(owner: Owner) -> bool:
    """Returns whether it is another attempt of this process, which is going on.

    Args:
        owner: the process.
    """
    return owner.token in _OURS


def is_dead(owner: Owner) -> bool:
    """Returns whether a process is known to have ended: it ran on this machine, and is not there any more.

    Args:
        owner: the process.
    """
    if owner.space is None or owner.started is None or owner.space != _space():
        return False
    if owner.process == os.getpid() and owner.started == _started(owner.process):
        return owner.token not in _OURS
    return _started(owner.process) != owner.started


def _space() -> str | None:
    boot = clock.boot_id()
    try:
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}" if boot is not None else None
    except OSError:
        return None


def _started(process: int) -> int | None:
    """Returns when a process was started, in ticks since the start of its machine; None where it has ended, or can't be seen."""
    try:
        # The name of the program, in brackets, may hold anything.
        state, *fields = Path(f"/proc/{process}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        return int(fields[18]) if state not in {"Z", "X"} else None
    except (OSError, ValueError, IndexError):
        return None
