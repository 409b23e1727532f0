"""Files and folders by URL, through fsspec: each file is fetched whole to an unnamed temporary file, which only this user can read.

So a run that goes on for hours needs no connection that lasts as long, a file can be read twice, and one that can't be fetched to its end
is known before anything of it is sent.
"""

from __future__ import annotations

import errno
import io
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, BinaryIO, Final, cast
from urllib.parse import urlsplit

from ..errors import SourceError
from .arrow import Part
from .locations import parquet_parts

__all__ = ["INSTALL", "RemoteFile", "check_packages", "remote_parts", "shown_url"]

_HTTP: Final = frozenset({"http", "https"})

INSTALL: Final = "pip install 'amili-arm-async[remote]'"

_BLOCK: Final = 1_000_000

_SILENCE: Final = 60.0
"""Seconds after which a server that sends nothing is given up."""

_CONTAINERS: Final = frozenset({"abfs", "abfss", "az", "wasb", "wasbs"})
"""Protocols in which a name before the `@` is a container, and no user."""


def shown_url(url: str) -> str:
    """Returns a URL without what may be secret: user and password, the query, the fragment.

    Args:
        url: the URL.
    """
    split = urlsplit(url)
    user, at, host = split.netloc.rpartition("@")
    is_container = split.scheme in _CONTAINERS and ":" not in user
    return f"{split.scheme}://{user + at if is_container else ''}{host}{split.path}"


def check_packages(url: str) -> str:
    """Returns the protocol of a URL.

    Args:
        url: the URL.

    Raises:
        SourceError: a package is not installed that it needs.
    """
    protocol = urlsplit(url).scheme
    try:
        import fsspec  # noqa: PLC0415 - an extra
    except ImportError:
        raise SourceError(f"a source by URL needs fsspec, which is not installed: {INSTALL}") from None
    try:
        fsspec.get_filesystem_class(protocol)
    except ImportError as exc:
        # fsspec says which package it is, and nothing of the URL.
        raise SourceError(f"{protocol}:// needs a package that is not installed: {exc}") from None
    except ValueError:
        raise SourceError(f"{protocol}:// is no protocol that fsspec knows") from None
    return protocol


def _file_system(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the path in it."""
    from fsspec.core import url_to_fs  # noqa: PLC0415 - an extra

    found: tuple[Any, str] = url_to_fs(url, **_options(urlsplit(url).scheme))
    return found


def _options(protocol: str) -> dict[str, Any]:
    if protocol not in _HTTP:
        return {}
    from aiohttp import ClientTimeout  # noqa: PLC0415 - fsspec has it here

    # fsspec's own time-out is five minutes for the whole file.
    return {"client_kwargs": {"timeout": ClientTimeout(total=None, connect=_SILENCE, sock_read=_SILENCE)}, "skip_instance_cache": True}


@contextmanager
def _without_secrets() -> Iterator[None]:
    """Makes each error an OSError that says what happened: what the packages raise holds the URL."""
    try:
        yield
    except Exception as exc:
        # Whatever hinders HTTP, fsspec says that a file is not there; the cause is below.
        error = exc.__cause__ or exc
        status = getattr(error, "status", None)
        known = {
            FileNotFoundError: "it is not there",
            PermissionError: "access is denied",
            TimeoutError: "the server was silent for too long",
        }
        reason = next((reason for cls, reason in known.items() if isinstance(error, cls)), type(error).__name__)
        reason = f"the server answered {status}" if isinstance(status, int) else reason
        raise OSError(errno.EIO, reason) from None


def _open(url: str) -> Any:
    system, path = _file_system(url)
    # One request for a whole file of HTTP: not every server can give parts.
    return system.open(path, "rb", **({"block_size": 0} if urlsplit(url).scheme in _HTTP else {}))


def _fetch(open_source: Callable[[], Any]) -> BinaryIO:
    """Fetches a file to an unnamed temporary one. Raises OSError."""
    copy = tempfile.TemporaryFile()  # noqa: SIM115 - it is returned
    try:
        with _without_secrets(), open_source() as source:
            shutil.copyfileobj(source, copy, _BLOCK)
            size = getattr(source, "size", None)
        if isinstance(size, int) and size != copy.tell():
            raise OSError(errno.EIO, "it ended before its end")
        copy.seek(0)
    except BaseException:
        copy.close()
        raise
    return cast("BinaryIO", copy)


class RemoteFile(io.RawIOBase):
    """What is at a URL, fetched when it is first read. It can be read from anywhere, and again.

    Args:
        url: the URL.

    Raises:
        SourceError: a package is not installed that it needs.
    """

    def __init__(self, url: str) -> None:
        super().__init__()
        # Python closes it, also where this raises.
        self._copy: BinaryIO | None = None
        check_packages(url)
        self.name = shown_url(url)
        self._url = url

    def _file(self) -> BinaryIO:
        if self._copy is None:
            self._copy = _fetch(partial(_open, self._url))
        return self._copy

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def fileno(self) -> int:
        if self._copy is None:
            raise io.UnsupportedOperation("fileno")
        return self._copy.fileno()

    def readinto(self, buffer: Any) -> int:
        data = self._file().read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file().seek(offset, whence)

    def tell(self) -> int:
        return 0 if self._copy is None else self._copy.tell()

    def close(self) -> None:
        if self._copy is not None:
            self._copy.close()
        super().close()


class _Footer(io.RawIOBase):
    """A file that is read where it is: of a Parquet file, only some bytes at its end are wanted."""

    def __init__(self, open_source: Callable[[], Any]) -> None:
        super().__init__()
        with _without_secrets():
            self._source = open_source()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with _without_secrets():
            data = self._source.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        with _without_secrets():
            return int(self._source.seek(offset, whence))

    def tell(self) -> int:
        return int(self._source.tell())

    def close(self) -> None:
        self._source.close()
        super().close()


def remote_parts(url: str) -> list[Part]:
    """Returns the Parquet files in a folder.

    Args:
        url: of the folder.

    Raises:
        SourceError: it can't be listed, or there is none.
    """
    try:
        with _without_secrets():
            system, folder = _file_system(url)
            paths = {path.removeprefix(folder).lstrip("/"): path for path in system.find(folder)}
    except OSError as exc:
        raise SourceError(f"the folder can't be listed: {exc.strerror}") from None

    def part(path: str) -> Part:
        open_source = partial(system.open, paths[path], "rb")
        return Part(path, partial(_fetch, open_source), partial(_footer, partial(open_source, cache_type="none")))

    return [part(path) for path in parquet_parts(paths)]


def _footer(open_source: Callable[[], Any]) -> BinaryIO:
    return cast("BinaryIO", _Footer(open_source))
