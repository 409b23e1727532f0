"""Creates and opens the SQLite file of a run. A file that is damaged, or of another kind or version, is refused and left untouched."""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..errors import JournalError
from ..files import followed, sync_folder
from .guard import FileGuard, refuse_untrusted

__all__ = ["FileFormat", "broken", "check", "connect", "open_file", "path_of", "temporary_database"]

_WAL_BYTES: Final = 64_000_000
"""Size of the write-ahead log before a checkpoint: what is obsolete by then is never copied into the file."""

_BUSY: Final = 60.0


@dataclass(frozen=True, slots=True)
class FileFormat:
    """A kind of file: a journal, or the state of a sync.

    Attributes:
        word: what error messages call it.
        application_id, version: as in the header of the file.
        page: page size in bytes.
        schema: the SQL that creates its tables.
        remedy: what a user should do with a damaged file; the end of an error message.
        outgrown: what a user should do with a file of an earlier version; the end of an error message.
    """

    word: str
    application_id: int
    version: int
    page: int
    schema: str
    remedy: str
    outgrown: str


def path_of(path: str | os.PathLike[str]) -> str:
    """Resolves a path to an absolute one without symbolic links, so that two spellings of a path are one journal.

    Args:
        path: of the file; it need not exist.

    Returns:
        The absolute path.

    Raises:
        JournalError: the path can't be resolved, or passes through a symbolic link that another user controls; see `followed`.
    """
    try:
        return followed(path)
    except OSError as exc:
        raise JournalError(f"{os.fsdecode(path)} can't be used: {exc.strerror}") from exc


def broken(path: str, failure: Exception, word: str) -> JournalError:
    """Returns the error for a failure of SQLite or of the operating system.

    Args:
        path: of the file.
        failure: what was raised.
        word: what to call the file.

    Returns:
        The error, to be raised from `failure`.
    """
    return JournalError(f"the {word} {path} can't be used: {failure}")


def open_file(
    path: str,
    form: FileFormat,
    *,
    create: bool = True,
    look: Callable[[sqlite3.Connection], None] | None = None,
    guard: FileGuard | None = None,
) -> sqlite3.Connection:
    """Opens the file at `path`, and creates it with mode 0600 if it does not exist.

    Args:
        path: of the file; the files beside it (`-wal`, `-shm`, `-lock`) belong to it. Empty: a temporary file.
        form: the kind of file.
        create: whether to create a missing file.
        look: called once the file can be read, before anything is written; an exception from it ends the opening.
        guard: learns which files were opened. Default: a new one.

    Returns:
        A connection in autocommit mode, for any thread.

    Raises:
        JournalError: the file is missing, damaged, of another kind or version, writable by another user, or can't be read or written. It is
            left as it was.
    """
    try:
        if not path:
            return temporary_database(form.schema, cache=2000, page=form.page)
        if not Path(path).exists():
            if not create:
                raise JournalError(f"there is no {form.word} at {path}")
            _make(path, form)
        guard = guard or FileGuard(path, form.word)
        guard.before_opening()
        _check(path, form)
        connection = connect(path, "rw")
        with _closed_on_failure(connection):
            connection.execute("PRAGMA synchronous = FULL")
            # Where a plain fsync does not reach the disk (macOS).
            connection.execute("PRAGMA fullfsync = 1")
            connection.execute(f"PRAGMA wal_autocheckpoint = {_WAL_BYTES // form.page}")
            connection.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}")
            # A writer does not block readers, but can block other writers for a long time: check before taking the write lock.
            if look is not None:
                look(connection)
            # Taking the write lock shows at once whether the file is writable.
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("COMMIT")
            guard.opened()
    except (sqlite3.Error, OSError) as exc:
        raise broken(path, exc, form.word) from exc
    return connection


def connect(path: str, mode: str) -> sqlite3.Connection:
    """Connects to an existing file.

    Args:
        path: of the file, absolute.
        mode: the `mode` of an SQLite URI, such as `ro` or `rw`; more URI parameters may follow.

    Returns:
        A connection in autocommit mode, for any thread.

    Raises:
        sqlite3.Error: the file can't be opened.
    """
    uri = f"{Path(path).as_uri()}?mode={mode}"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=_BUSY, check_same_thread=False)
    with _closed_on_failure(connection):
        connection.execute("PRAGMA cache_size = -4000")
    return connection


@contextlib.contextmanager
def _closed_on_failure(connection: sqlite3.Connection) -> Iterator[None]:
    try:
        yield
    except BaseException:
        connection.close()
        raise


def temporary_database(schema: str, *, cache: int = 8000, page: int = 4096) -> sqlite3.Connection:
    """Opens a database in an unnamed file, which only this process can read and which disappears when it is closed.

    Args:
        schema: SQL that creates its tables.
        cache: KiB to keep in memory.
        page: page size in bytes.

    Returns:
        A connection in autocommit mode, for any thread.
    """
    connection = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    connection.execute(f"PRAGMA page_size = {page}")
    for pragma in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{cache}"):
        connection.execute(f"PRAGMA {pragma}")
    connection.executescript(schema)
    return connection


def _make(path: str, form: FileFormat) -> None:
    """Creates an empty file under a temporary name and links it into place once it is complete, so that a crash leaves no partial file."""
    draft = f"{path}.{secrets.token_hex(4)}.new"
    os.close(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        with contextlib.closing(sqlite3.connect(draft, isolation_level=None)) as connection:
            connection.execute(f"PRAGMA page_size = {form.page}")
            header = f"PRAGMA application_id = {form.application_id}; PRAGMA user_version = {form.version};"
            connection.executescript(f"BEGIN; {header} {form.schema} COMMIT;")
            # The mode is stored in the file. Set it here: two processes that open the file at once could not both switch to it.
            connection.execute("PRAGMA journal_mode = WAL")
        # Two processes may create it at once: a link never replaces an existing file.
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
        sync_folder(path)
    finally:
        # A process that opened the file meanwhile may have removed the draft.
        Path(draft).unlink(missing_ok=True)


def check(path: str, form: FileFormat) -> None:
    """Checks that a file is sound and of the given kind and version, without writing to it.

    Args:
        path: of the file.
        form: the kind that it must be.

    Raises:
        JournalError: it is not, or can't be read.
    """
    try:
        _check(path, form)
    except (sqlite3.Error, OSError) as exc:
        raise broken(path, exc, form.word) from exc


def _check(path: str, form: FileFormat) -> None:
    if not Path(path).is_file():
        raise JournalError(f"there is no {form.word} at {path}: it is missing, or not a regular file. Give another path")
    refuse_untrusted(path, form.word)
    # Read it through SQLite only. Closing the file anywhere else would release the locks that this process holds on it, and another
    # process could then remove the log of a run in progress (https://sqlite.org/howtocorrupt.html, 2.2).
    if not Path(f"{path}-wal").exists():
        # No process has it open: it can be read without creating files beside it.
        try:
            _look(path, "ro&immutable=1", form)
        except (JournalError, sqlite3.Error):
            # Another process may have opened it meanwhile: then read it with its log.
            if not Path(f"{path}-wal").exists():
                raise
        else:
            return
    _look(path, "ro", form)


def _look(path: str, mode: str, form: FileFormat) -> None:
    foreign = JournalError(f"{path} is not a {form.word} of this library: it is left untouched. Give another path")
    try:
        with contextlib.closing(connect(path, mode)) as connection:
            application, version = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version"))
            if application != form.application_id:
                raise foreign
            if version > form.version:
                raise JournalError(
                    f"the {form.word} {path} has format version {version}, from a newer version of this library: use that one"
                )
            if version < form.version:
                earlier = f"was written by an earlier version of this library (format version {version})"
                raise JournalError(f"the {form.word} {path} {earlier}, {form.outgrown}")
            findings = [row[0] for row in connection.execute("PRAGMA quick_check(1)")]
            # SQLite reads the missing part of a truncated last page as zeros.
            whole = mode == "ro" or Path(path).stat().st_size % connection.execute("PRAGMA page_size").fetchone()[0] == 0
    except sqlite3.DatabaseError as exc:
        if exc.sqlite_errorname == "SQLITE_NOTADB":
            raise foreign from exc
        raise
    if findings != ["ok"] or not whole:
        raise JournalError(f"the {form.word} {path} is damaged: it is left untouched. {form.remedy}")
