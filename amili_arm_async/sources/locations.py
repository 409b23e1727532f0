"""Where a source is: a path, a URL, a folder of Parquet files."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple, cast
from urllib.parse import unquote, urlsplit

from ..errors import SourceError
from .arrow import Part, parquet_folder

if TYPE_CHECKING:
    from .arrow_table import ArrowTable

__all__ = ["Location", "locate", "parquet_parts"]

_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
"""Not `C://`, which is a path."""

_OF_TOOLS: Final = re.compile(r"[._].*|.*_\$folder\$")
"""Names of files and folders that tools leave beside the parts, such as `_SUCCESS`."""


class Location(NamedTuple):
    """A source, by its path or URL. What is neither a file nor a table is a path to open.

    Attributes:
        name: for messages: without what may be secret in a URL.
        path: of a file or folder on this machine; empty for a URL.
        file: what is at a URL; it is fetched when it is first read, and can be read again.
        table: what is in a folder of Parquet files.
    """

    name: str
    path: str = ""
    file: BinaryIO | None = None
    table: ArrowTable | None = None


def locate(path: str) -> Location:
    """Returns what is at a path or URL. A URL is a folder where it ends with a slash. Nothing is fetched.

    Args:
        path: a path on this machine, or a URL with a protocol of fsspec.

    Raises:
        SourceError: a package is not installed that it needs.
    """
    if _URL.match(path):
        if not path.lower().startswith("file://"):
            return _remote(path)
        path = _local_path(path)
    return Location(path, path, table=parquet_folder(path, partial(_local_parts, path)) if Path(path).is_dir() else None)


def _remote(url: str) -> Location:
    from .remote import RemoteFile, check_packages, remote_parts, shown_url  # noqa: PLC0415 - only for who has one

    name = shown_url(url)
    if urlsplit(url).path.endswith("/"):
        if check_packages(url) in {"http", "https"}:
            raise SourceError("a web server lists no folder: give the URL of a file")
        return Location(name, table=parquet_folder(name, partial(remote_parts, url)))
    return Location(name, file=cast("BinaryIO", RemoteFile(url)))


def _local_path(url: str) -> str:
    split = urlsplit(url)
    if split.netloc not in {"", "localhost"}:
        raise SourceError("a file:// URL has three slashes before the path: file:///data/customers.csv")
    return unquote(split.path)


def _local_parts(folder: str) -> list[Part]:
    files = [path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file()]
    return [Part(path, partial(_open, Path(folder, path))) for path in parquet_parts(files)]


def _open(path: Path) -> BinaryIO:
    return path.open("rb")


def parquet_parts(paths: Iterable[str]) -> list[str]:
    """Returns the paths of the parts of a folder, in their order.

    Args:
        paths: of all files in the folder and below it, from the folder on.

    Raises:
        SourceError: there is none.
    """
    found = sorted(path for path in paths if not any(_OF_TOOLS.fullmatch(name) for name in path.split("/")))
    if not found:
        raise SourceError("it is a folder without a Parquet file")
    return found
