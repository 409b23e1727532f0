"""The tables of the journal, and how its file is opened."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Final

from ....errors import JournalError
from ....sqlite import file
from ....sqlite.file import FileFormat
from ....sqlite.guard import FileGuard
from .mark import SCHEMA as MARK_SCHEMA

__all__ = ["JOURNAL", "broken", "open_journal"]

APPLICATION_ID: Final = 0x41524D6A
"""In the header of each journal: "ARMj"."""

VERSION: Final = 3
"""Of the schema; in the header too."""

_PAGE: Final = 65_536
"""The largest page size of SQLite: a body takes few pages."""


_SCHEMA: Final = f"""{MARK_SCHEMA}
-- The row of a pruned run stays, so that its name can't be used again; pruned: when that was. written: the last attempt that wrote its dead
-- letter, or that of a replay.
CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    run_id TEXT NOT NULL,
    operation TEXT NOT NULL,
    client_no INTEGER NOT NULL,
    base_url TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    deadline REAL NOT NULL,
    started REAL NOT NULL,
    ended REAL,
    process INTEGER NOT NULL,
    token TEXT,
    pruned REAL,
    written INTEGER NOT NULL DEFAULT 0,
    UNIQUE (run_id, operation, client_no)
);
-- One row for each batch that was cut; its id is the id of the run times 2^32 plus its number.
-- sent, boot, boot_id, service: when its last try began, by the clocks of a Stamp; accepted, accepted_boot, accepted_service: when the 202
-- came, with the same boot_id. took: seconds from the 202 to the result, where one attempt saw both.
-- was_ambiguous: whether an attempt before its last one may have been accepted: so only for customers.
-- shared: whether another batch got the same uuid: then a result proves something only about records that it names.
-- spans: the smallest and the largest of its documentNos, a pair for each length and prefix.
-- state: queued, sending, open (accepted, no result yet), settled. final, reason, message: of all its records but the exceptions.
CREATE TABLE batches (
    id INTEGER PRIMARY KEY,
    attempt INTEGER NOT NULL,
    records INTEGER NOT NULL,
    state TEXT NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0,
    sent REAL,
    boot REAL,
    boot_id TEXT,
    service REAL,
    accepted REAL,
    accepted_boot REAL,
    accepted_service REAL,
    took REAL,
    uuid TEXT,
    shared INTEGER NOT NULL DEFAULT 0,
    was_ambiguous INTEGER NOT NULL DEFAULT 0,
    status INTEGER,
    final TEXT,
    reason TEXT NOT NULL DEFAULT '',
    message TEXT,
    exceptions TEXT,
    spans TEXT
);
CREATE INDEX batch_uuids ON batches (lower(trim(uuid))) WHERE uuid IS NOT NULL;
-- Written once for each batch: keys as a JSON list, prints (fingerprints) as 32-bit integers, names of records without key by position,
-- places in the source as a first one or as 64-bit integers.
CREATE TABLE records (
    batch INTEGER PRIMARY KEY,
    keys BLOB NOT NULL,
    prints BLOB NOT NULL,
    names BLOB,
    first INTEGER NOT NULL,
    places BLOB
);
CREATE TABLE bodies (batch INTEGER PRIMARY KEY, body BLOB NOT NULL);
-- Records that were sent again in a later batch, which has their outcome.
CREATE TABLE superseded (batch INTEGER NOT NULL, position INTEGER NOT NULL, PRIMARY KEY (batch, position)) WITHOUT ROWID;
-- Customers that are not the newest of their number any more: another one was sent after them, and comes before them in the source.
CREATE TABLE overtaken (batch INTEGER NOT NULL, position INTEGER NOT NULL, PRIMARY KEY (batch, position)) WITHOUT ROWID;
-- The documentNos of pruned runs, about 1000 in a row. Ids are never reused, so that a block need not be read twice.
CREATE TABLE numbers (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    run INTEGER NOT NULL,
    least TEXT NOT NULL,
    greatest TEXT NOT NULL,
    packed BLOB NOT NULL
);
-- A covering index but for the numbers themselves: finding the blocks that may hold one reads none of them.
CREATE INDEX numbers_spans ON numbers (run, least, greatest);
"""

JOURNAL: Final = FileFormat(
    "journal",
    APPLICATION_ID,
    VERSION,
    _PAGE,
    _SCHEMA,
    "Do not restore an old copy: it does not know what was sent since. Move the journal away and leave the -mark file in place: a run "
    "with the same run id then looks up each document before sending it. Or finish the run by hand",
    "with different rules for which documents are the same. Finish its runs with the version of the library that began them; then start "
    "a new journal at another path",
)


def broken(path: str, failure: Exception) -> JournalError:
    """Returns the error for a failure of SQLite or of the operating system on a journal."""
    return file.broken(path, failure, JOURNAL.word)


def open_journal(
    path: str, *, create: bool = True, look: Callable[[sqlite3.Connection], None] | None = None, guard: FileGuard | None = None
) -> sqlite3.Connection:
    """Opens the journal at `path`: see `sqlite.file.open_file`.

    Args:
        path: of the journal; empty: a temporary one.
        create: whether to create a missing file.
        look: called once the file can be read, before anything is written.
        guard: learns which files were opened.

    Returns:
        A connection in autocommit mode, for any thread.

    Raises:
        JournalError: the journal is missing, damaged, of another kind or version, writable by another user, or can't be read or written.
            The file is left as it was.
    """
    return file.open_file(path, JOURNAL, create=create, look=look, guard=guard)
