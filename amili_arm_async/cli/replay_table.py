"""The lines of a dead letter file while it is replayed: in a temporary SQLite file, so that a million of them cost no memory."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from ..bulk.outcomes import Outcome
from .dead_letters import DOCUMENTS, Letter, Piece

__all__ = ["Action", "Group", "LetterRow", "LineTable"]

Action: TypeAlias = Literal["send", "adopt", "look", "poll", "stay", "drop"]
"""What is done with a line: sent with its run's journal; given to the replay's own journal first; its document looked up by number; its
batch asked for; nothing; taken out, for the same line is there before it."""

_SCHEMA: Final = """
CREATE TABLE lines (
    number INTEGER PRIMARY KEY, start INTEGER NOT NULL, size INTEGER NOT NULL, print INTEGER NOT NULL,
    grp INTEGER NOT NULL, action TEXT NOT NULL, name TEXT, content INTEGER NOT NULL, mark INTEGER, given INTEGER,
    note TEXT, reason TEXT,
    state TEXT NOT NULL, key TEXT, uuid TEXT, attempts INTEGER NOT NULL,
    gone INTEGER NOT NULL DEFAULT 0, new_state TEXT, new_reason TEXT, new_message TEXT, new_uuid TEXT, new_attempts INTEGER,
    new_mark INTEGER);
CREATE INDEX lines_grp ON lines (grp, action, number);
CREATE INDEX lines_name ON lines (grp, name);
CREATE INDEX lines_print ON lines (print, number);
-- What journals say of the records with these names, in the order in which they were cut.
CREATE TABLE entries (grp INTEGER NOT NULL, name TEXT NOT NULL, state TEXT NOT NULL, content INTEGER NOT NULL);
CREATE INDEX entries_name ON entries (grp, name);
"""


@dataclass(slots=True)
class Group:
    """The lines of one run.

    Attributes:
        id: of the group.
        operation, client_no, base_url, run_id, journal: what its lines say.
        has_journal: whether that journal is there.
        is_cut_off: whether the run ended before its source was read to the end.
        trouble: why nothing of it can be sent, or None.
    """

    id: int
    operation: str
    client_no: int
    base_url: str
    run_id: str | None
    journal: str | None
    has_journal: bool = False
    is_cut_off: bool = False
    trouble: str | None = None

    @property
    def is_document(self) -> bool:
        """Whether its lines are documents."""
        return self.operation == DOCUMENTS


class LetterRow(NamedTuple):
    """A line, and what is known of it now; `new_state` is None where it is as it was, `note` says why it is never sent."""

    number: int
    start: int
    size: int
    print: int
    grp: int
    action: Action
    mark: int | None
    note: str | None
    reason: str | None
    state: str
    key: str | None
    uuid: str | None
    gone: int
    new_state: str | None
    new_reason: str | None
    new_message: str | None
    new_uuid: str | None
    new_attempts: int | None
    new_mark: int | None

    @property
    def piece(self) -> Piece:
        """Where it is."""
        return Piece(self.number, self.start, self.size, self.print)


class LineTable:
    """The lines, by number, group and name."""

    def __init__(self) -> None:
        # SQLite keeps it in a file without a name, that only this process can read and that ends with it.
        self.sql = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -4000"):
            self.sql.execute(f"PRAGMA {pragma}")
        self.sql.executescript(_SCHEMA)
        self.sql.execute("BEGIN")

    def close(self) -> None:
        """Forgets all."""
        self.sql.close()

    def add(self, piece: Piece, group: Group, letter: Letter, action: Action, name: str | None, content: int, note: str | None) -> None:
        """Takes in a line; `note` says why it is never sent, or is None."""
        said = (letter.state, letter.key, letter.batch_uuid, letter.attempts, letter.reason, note)
        self.sql.execute(
            "INSERT INTO lines"
            " (number, start, size, print, grp, action, name, content, mark, given, state, key, uuid, attempts, reason, note)"
            " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
            (*piece, group.id, action, name, content, letter.taken_before, *said),
        )

    # --- reading ----------------------------------------------------------------------------------------------------------

    def rows(self, condition: str = "TRUE", *values: Any) -> Iterator[LetterRow]:
        """The lines that meet a condition, in order, a few at a time: it may change meanwhile."""
        last = 0
        query = f"SELECT {', '.join(LetterRow._fields)} FROM lines WHERE ({condition}) AND number > ? ORDER BY number LIMIT 500"  # noqa: S608 - our own words
        while rows := [LetterRow._make(row) for row in self.sql.execute(query, (*values, last))]:
            yield from rows
            last = rows[-1].number

    def count(self, condition: str, *values: Any) -> int:
        """How many meet a condition."""
        number: int = self.sql.execute(f"SELECT count(*) FROM lines WHERE {condition}", values).fetchone()[0]  # noqa: S608
        return number

    def find(self, print: int, at_least: int) -> LetterRow | None:
        """The first line from number `at_least` on with this print."""
        query = f"SELECT {', '.join(LetterRow._fields)} FROM lines WHERE print = ? AND number >= ? ORDER BY number LIMIT 1"  # noqa: S608 - our own words
        row = self.sql.execute(query, (print, at_least)).fetchone()
        return LetterRow._make(row) if row is not None else None

    def uuids(self) -> Iterator[str]:
        """The batches that are asked for."""
        last = ""
        query = "SELECT DISTINCT uuid FROM lines WHERE action = 'poll' AND uuid > ? ORDER BY uuid LIMIT 500"
        while rows := self.sql.execute(query, (last,)).fetchall():
            yield from (uuid for (uuid,) in rows)
            last = rows[-1][0]

    def left(self) -> dict[str, int]:
        """How many lines are left, by state."""
        return dict(self.sql.execute("SELECT coalesce(new_state, state), count(*) FROM lines WHERE NOT gone GROUP BY 1 ORDER BY 1"))

    # --- what became of them ----------------------------------------------------------------------------------------------

    def mark_succeeded(self, numbers: Iterable[int]) -> None:
        """These lines can go."""
        self.sql.executemany("UPDATE lines SET gone = 1 WHERE number = ?", ((number,) for number in numbers))

    def stays(self, number: int, verdict: Outcome) -> None:
        """A line stays. What may have been taken is never called less than that, whatever a run that was cut off says of it."""
        self.sql.execute(
            "UPDATE lines SET gone = 0, new_reason = ?2, new_message = ?3,"
            " new_state = CASE WHEN state IN ('unknown', 'accepted') AND ?1 = 'invalid' THEN state ELSE ?1 END"
            " WHERE number = ?4 AND NOT (state IN ('unknown', 'accepted') AND ?1 = 'not_sent')",
            (*verdict, number),
        )
        self.sql.execute("UPDATE lines SET gone = 0 WHERE number = ?", (number,))

    def is_looked_up(self, number: int, verdict: Outcome) -> None:
        """The result of its batch does not explain a document: it is looked up next."""
        self.stays(number, verdict)
        self.sql.execute("UPDATE lines SET action = 'look' WHERE number = ?", (number,))

    def count_on(self) -> None:
        """Documents without number that can go are among those now that the journal holds as succeeded: the marks of the others say so."""
        self.sql.execute(
            "UPDATE lines SET new_mark = mark + found.number FROM (SELECT grp, name, count(*) AS number FROM lines WHERE gone AND mark >= 0"
            " GROUP BY grp, name) AS found WHERE lines.grp = found.grp AND lines.name = found.name AND NOT lines.gone AND mark >= 0"
        )

    def sent(self, number: int, times: int, uuid: str | None) -> None:
        """A line was sent so many times in this replay."""
        self.sql.execute("UPDATE lines SET new_attempts = attempts + ?, new_uuid = ? WHERE number = ?", (times, uuid, number))
