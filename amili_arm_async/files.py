"""Written files: which links are followed, how a complete file gets its name, and that no two files of a job are the same."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Literal, NamedTuple, TypeAlias

from .errors import ConfigurationError

__all__ = [
    "SIDES",
    "AtomicFile",
    "FileKind",
    "JobFile",
    "alone",
    "check_distinct",
    "check_writable",
    "followed",
    "is_followed",
    "is_mounted",
    "sync_folder",
    "trusted_owners",
]

SIDES: Final = ("-wal", "-shm", "-lock", "-mark", "-journal")
"""What may be beside a journal or a sync state, by the end of its name."""

_MOST_LINKS: Final = 40

_MOUNTED: Final = "the file is mounted by itself: mount its folder instead"


# --- links ------------------------------------------------------------------------------------------------------------------


def trusted_owners() -> frozenset[int]:
    """Returns the users whose files are trusted: root, and the user who runs this."""
    return frozenset({0, os.geteuid()})


def followed(path: str | os.PathLike[str]) -> str:
    """The real path of a file that is to be written, as `os.path.realpath` gives it.

    A link is followed only where it and its folder are of root or of the user who runs this, or where nobody else can write to its
    folder: in a folder such as `/tmp` another user may have planted it.

    Raises:
        OSError: a link is not followed, or there are too many.
    """
    whole = os.fsdecode(path)
    if not hasattr(os, "geteuid"):  # pragma: no cover - Windows
        return os.path.realpath(whole)
    here = "/" if whole.startswith("/") else os.getcwd()  # noqa: PTH109 - a text, not a Path
    rest, links = deque(whole.split("/")), 0
    while rest:
        name = rest.popleft()
        if name in {"", "."}:
            continue
        if name == "..":
            here = os.path.dirname(here)  # noqa: PTH120 - a text, not a Path
            continue
        place = os.path.join(here, name)  # noqa: PTH118 - a text, not a Path
        try:
            status = os.lstat(place)
        except (FileNotFoundError, NotADirectoryError):
            status = None
        if status is None or not stat.S_ISLNK(status.st_mode):
            here = place
            continue
        links += 1
        if links > _MOST_LINKS:
            raise OSError(errno.ELOOP, "too many links", place)
        _refuse_planted(place, status, os.stat(here))  # noqa: PTH116 - a text, not a Path
        target = os.readlink(place)  # noqa: PTH115 - a text, not a Path
        here = "/" if target.startswith("/") else here
        rest.extendleft(reversed(target.split("/")))
    return here


def is_followed(path: str | os.PathLike[str]) -> bool:
    """Tells whether all links of a path are followed, see `followed`."""
    try:
        followed(path)
    except OSError:
        return False
    return True


def _refuse_planted(link: str, status: os.stat_result, folder: os.stat_result) -> None:
    ours = trusted_owners()
    is_closed = not folder.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if folder.st_uid in ours and (status.st_uid in ours or is_closed):
        return
    raise PermissionError(
        errno.EACCES,
        f"the link {link} is not followed, since another user may have made it: give the path of the file itself, or a folder that only "
        "you can write to",
        link,
    )


def is_mounted(path: str | os.PathLike[str]) -> bool:
    """Tells whether a file is mounted on its own, as containers do with a single file of the host.

    Then its folder on the host is another one: what belongs beside a journal would not stay there, and no other file can replace it.
    Known on Linux only.

    Args:
        path: its real path.
    """
    try:
        mounts = Path("/proc/self/mountinfo").read_bytes().splitlines()
    except OSError:
        return False
    wanted = b"".join(b"\\%03o" % byte if byte in b" \t\n\\" else b"%c" % byte for byte in os.fsencode(path))
    return any(fields[4] == wanted for fields in map(bytes.split, mounts) if len(fields) > 4)


# --- whole or not at all ------------------------------------------------------------------------------------------------------


class AtomicFile:
    """A file that is written under another name beside its own, with mode 0600, and gets its name in one step: `keep`.

    Leaving without `keep` leaves what was there before, if anything was.

    Args:
        path: its name; where that is a link, the file that it leads to, see `followed`.

    Raises:
        OSError: the file can't be made.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(followed(path))
        if os.path.lexists(self.path) and not self.path.is_file():
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        if is_mounted(self.path):
            raise OSError(errno.EBUSY, _MOUNTED, str(path))
        self._draft = self.path.with_name(f"{self.path.name}.{secrets.token_hex(4)}.new")
        self._file: BinaryIO = os.fdopen(os.open(self._draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")

    def __enter__(self) -> AtomicFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with contextlib.suppress(OSError):
            # What could not be written to a full disk can't be written now either.
            self._file.close()
        self._draft.unlink(missing_ok=True)

    async def write(self, data: bytes | bytearray) -> None:
        """Writes all of the data."""
        self.put(data)

    def put(self, data: bytes | bytearray) -> None:
        """Writes all of the data, for callers outside the event loop."""
        self._file.write(data)

    def keep(self) -> None:
        """Renames it to its final name. It is flushed to disk first, so that a power loss leaves the old file or the new one."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._draft.replace(self.path)
        sync_folder(self.path)


def sync_folder(path: str | os.PathLike[str]) -> None:
    """Makes the name of a new file as durable as its content."""
    folder = os.open(Path(path).parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextlib.contextmanager
def alone(path: str | os.PathLike[str]) -> Iterator[None]:
    """Keeps other processes from replacing `path` meanwhile: each of them locks its folder first."""
    import fcntl  # noqa: PLC0415 - not on every system

    folder = os.open(Path(path).parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


# --- the files of one job -----------------------------------------------------------------------------------------------------

FileKind: TypeAlias = Literal["journal", "state", "dead letter", "report", "source"]

_DATABASES: Final = frozenset({"journal", "state"})
_SHARED: Final = frozenset({"journal", "dead letter", "source"})
"""Kinds of which two runs of one job may use the same file."""


class JobFile(NamedTuple):
    """A file that one job reads or writes.

    Attributes:
        option: how the caller names it, for errors.
        path: of the file.
        kind: what it is. Only a `source` is not written.
    """

    option: str
    path: str | os.PathLike[str]
    kind: FileKind


def check_distinct(files: Iterable[JobFile]) -> None:
    """Checks that all files of a job are distinct, and that none has a name that belongs to another one, such as its `-wal`.

    Raises:
        ConfigurationError: two are the same, or a link leads where another user may want it; the options are in the message.
    """
    seen: list[tuple[JobFile, str, frozenset[object]]] = []
    for file in files:
        real = _real(file)
        claimed = _claimed(file, real)
        for other, path, taken in seen:
            if file.kind == other.kind and file.kind in _SHARED and real == path:
                continue
            if claimed & taken or _is_draft(real, path) or _is_draft(path, real):
                raise ConfigurationError(
                    f"{other.option} ({os.fsdecode(other.path)}) and {file.option} ({os.fsdecode(file.path)}) are one file, or one has "
                    "a name that belongs to the other: give each a name of its own"
                )
        seen.append((file, real, claimed))


def check_writable(files: Iterable[JobFile]) -> None:
    """Checks before a job begins that all files that it writes can be created or replaced. It writes nothing.

    Raises:
        ConfigurationError: one can't; its option is in the message.
    """
    for file in files:
        if file.kind == "source":
            continue
        real = Path(_real(file))
        reason = None
        if not real.parent.is_dir():
            reason = f"there is no folder {real.parent}"
        elif not os.access(real.parent, os.W_OK | os.X_OK):
            reason = f"the folder {real.parent} is not writable"
        elif os.path.lexists(real) and not real.is_file():
            reason = "it is no regular file"
        elif is_mounted(real):
            reason = _MOUNTED
        elif file.kind in _DATABASES and real.exists() and not os.access(real, os.R_OK | os.W_OK):
            reason = "its permissions do not allow it"
        if reason is not None:
            raise ConfigurationError(f"{file.option}: {os.fsdecode(file.path)} can't be written: {reason}. Nothing was sent")


def _real(file: JobFile) -> str:
    if file.kind == "source":
        return os.path.realpath(os.fsdecode(file.path))
    try:
        return followed(file.path)
    except OSError as exc:
        raise ConfigurationError(f"{file.option}: {os.fsdecode(file.path)} can't be written: {exc.strerror}") from exc


def _claimed(file: JobFile, real: str) -> frozenset[object]:
    """Returns what belongs to one file alone: paths, and existing files by device and number."""
    paths = [real, *(f"{real}{side}" for side in SIDES if file.kind in _DATABASES)]
    found: set[object] = set(paths)
    for path in paths:
        with contextlib.suppress(OSError):
            status = os.stat(path)  # noqa: PTH116 - a text, not a Path
            # Two may write to one terminal or read one pipe.
            if stat.S_ISREG(status.st_mode):
                found.add((status.st_dev, status.st_ino))
    return frozenset(found)


def _is_draft(path: str, of: str) -> bool:
    """Tells whether a path may be the temporary name of another file while that is written."""
    return path.startswith(f"{of}.") and path.endswith(".new")
