"""An SQLite file of a run: made with care, opened with suspicion. What is not a sound file of its kind and version is left untouched."""

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
"""What is written and then not needed any more, within so many bytes, is never written twice."""

_BUSY: Final = 60.0


@dataclass(frozen=True, slots=True)
class FileFormat:
    """A kind of file: a journal, or the state of a sync.

    Attributes:
        word: what it is called.
        application_id, version: in its header.
        page: bytes of a page.
        schema: its tables.
        remedy: what to do when it is damaged.
        outgrown: what to do with one of an earlier version.
    """

    word: str
    application_id: int
    version: int
    page: int
    schema: str
    remedy: str
    outgrown: str


def path_of(path: str | os.PathLike[str]) -> str:
    """The whole path, without links, so that two ways to write it are one journal.

    Raises:
        JournalError: a link on the way may be of another user, see `followed`.
    """
    try:
        return followed(path)
    except OSError as exc:
        raise JournalError(f"{os.fsdecode(path)} can't be used: {exc.strerror}") from exc


def broken(path: str, failure: Exception, word: str) -> JournalError:
    """The error for what SQLite or the system says of a journal."""
    return JournalError(f"the {word} {path} can't be used: {failure}")


def open_file(
    path: str,
    form: FileFormat,
    *,
    create: bool = True,
    look: Callable[[sqlite3.Connection], None] | None = None,
    guard: FileGuard | None = None,
) -> sqlite3.Connection:
    """Opens the file at `path`; makes it with mode 0600 where there is none. An empty path is a temporary file.

    Args:
        path: of the file; what is beside it (`-wal`, `-shm`, `-lock`) belongs to it.
        form: which kind of file it is.
        create: whether a file that is not there is made.
        look: called when it can be read and nothing is written yet; what it raises ends the opening.
        guard: told of the files that are opened.

    Raises:
        JournalError: no journal, damaged, of another version, somebody else may write it, or it can't be read or written. The file is left
            as it is.
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
            # Who writes keeps nobody from reading, but may keep others from writing for long.
            if look is not None:
                look(connection)
            # Taking the right to write shows at once whether the file may be written.
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("COMMIT")
            guard.opened()
    except (sqlite3.Error, OSError) as exc:
        raise broken(path, exc, form.word) from exc
    return connection


def connect(path: str, mode: str) -> sqlite3.Connection:
    """A connection to an existing file, `mode` `ro` or `rw`."""
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
    """Opens a database in a file without a name, which only this process can read and which ends with it.

    Args:
        schema: SQL that makes its tables.
        cache: KiB of it that are kept in memory.
        page: bytes of a page.

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
    """Makes an empty journal under another name and gives it its own when it is whole: a crash leaves no half of one."""
    draft = f"{path}.{secrets.token_hex(4)}.new"
    os.close(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        with contextlib.closing(sqlite3.connect(draft, isolation_level=None)) as connection:
            connection.execute(f"PRAGMA page_size = {form.page}")
            header = f"PRAGMA application_id = {form.application_id}; PRAGMA user_version = {form.version};"
            connection.executescript(f"BEGIN; {header} {form.schema} COMMIT;")
            # Kept in the file: two who open it at once could not both switch to it.
            connection.execute("PRAGMA journal_mode = WAL")
        # Two processes may begin at once: a link never replaces what is there already.
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
        sync_folder(path)
    finally:
        # Whoever opened it since may have removed it.
        Path(draft).unlink(missing_ok=True)


def check(path: str, form: FileFormat) -> None:
    """Refuses what is no sound journal, without writing to it.

    Raises:
        JournalError: it is none.
    """
    try:
        _check(path, form)
    except (sqlite3.Error, OSError) as exc:
        raise broken(path, exc, form.word) from exc


def _check(path: str, form: FileFormat) -> None:
    if not Path(path).is_file():
        raise JournalError(f"{path} is no file, so it is no {form.word}. Give another path")
    refuse_untrusted(path, form.word)
    # Only ever through SQLite: to close the file anywhere else would end the locks that this process holds on it, and another process
    # could then take away the log of a run that is going on (https://sqlite.org/howtocorrupt.html, 2.2).
    if not Path(f"{path}-wal").exists():
        # Nobody has it open: it can be read without making a file beside it.
        try:
            _look(path, "ro&immutable=1", form)
        except (JournalError, sqlite3.Error):
            # Unless somebody has opened it since.
            if not Path(f"{path}-wal").exists():
                raise
        else:
            return
    _look(path, "ro", form)


def _look(path: str, mode: str, form: FileFormat) -> None:
    foreign = JournalError(f"{path} is no {form.word} of this library: it is left untouched. Give another path")
    try:
        with contextlib.closing(connect(path, mode)) as connection:
            application, version = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version"))
            if application != form.application_id:
                raise foreign
            if version > form.version:
                raise JournalError(f"the {form.word} {path} is of version {version}, made by a newer version of this library: use that one")
            if version < form.version:
                earlier = f"was written by an earlier version of this library (it is of version {version})"
                raise JournalError(f"the {form.word} {path} {earlier}, {form.outgrown}")
            said = [row[0] for row in connection.execute("PRAGMA quick_check(1)")]
            # SQLite reads what is missing of the last page as zeros.
            whole = mode == "ro" or Path(path).stat().st_size % connection.execute("PRAGMA page_size").fetchone()[0] == 0
    except sqlite3.DatabaseError as exc:
        raise foreign if exc.sqlite_errorname == "SQLITE_NOTADB" else exc from exc
    if said != ["ok"] or not whole:
        raise JournalError(f"the {form.word} {path} is damaged: it is left untouched. {form.remedy}")
