"""The lines of a dead letter file while it is replayed, and the rules that keep a line from being sent.

They are in a temporary SQLite file, so that a million of them take no memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from ....sqlite.file import temporary_database
from ...outcomes import Outcome
from ...parts import SharedPart
from ..protocol import JournalRecord
from .letters import DOCUMENTS, Letter, LinesNow, Piece

__all__ = ["OVERTAKEN", "SENT_ELSEWHERE", "Action", "LineGroup", "LineTable", "ReplayLine"]

Action: TypeAlias = Literal["send", "adopt", "look_up", "poll", "stay", "drop"]
"""What happens to a line. send: its record is sent with the journal of its run. adopt: the line is given to the replay's own journal before
anything is sent, and then sent. look_up: its document is looked up by number. poll: the result of its batch is asked for. stay: nothing.
drop: it is taken out, because the same line stands before it."""

OVERTAKEN: Final = "a later record of this customer was taken: push it by itself, or delete the line"
"""Why an older record of a customer is not sent."""

SENT_ELSEWHERE: Final = "another run has sent, or may have sent, a document with this number: delete the line"
"""Why a document is not sent whose line a run has marked."""

_SCHEMA: Final = """
CREATE TABLE lines (
    number INTEGER PRIMARY KEY, start INTEGER NOT NULL, size INTEGER NOT NULL, digest INTEGER NOT NULL,
    grp INTEGER NOT NULL, action TEXT NOT NULL, name TEXT, content INTEGER NOT NULL, note TEXT, reason TEXT,
    state TEXT NOT NULL, key TEXT, uuid TEXT, attempts INTEGER NOT NULL,
    done INTEGER NOT NULL DEFAULT 0, overtaken INTEGER NOT NULL DEFAULT 0, gone INTEGER NOT NULL DEFAULT 0,
    new_state TEXT, new_reason TEXT, new_message TEXT, new_uuid TEXT, new_attempts INTEGER);
CREATE INDEX lines_grp ON lines (grp, action, number);
CREATE INDEX lines_name ON lines (name, grp);
CREATE INDEX lines_digest ON lines (digest, number);
-- What journals say of the records with these names, in the order in which they were sent.
CREATE TABLE entries (grp INTEGER NOT NULL, name TEXT NOT NULL, state TEXT NOT NULL, content INTEGER NOT NULL);
CREATE INDEX entries_name ON entries (grp, name);
-- The lines that are in the file now; marked: as they were before a run marked them.
CREATE TABLE now (digest INTEGER NOT NULL, marked INTEGER NOT NULL);
CREATE INDEX now_digest ON now (digest, marked);
"""


@dataclass(slots=True)
class LineGroup:
    """The lines of one run.

    Attributes:
        id: of the group.
        operation: what was done with its records.
        client_no: for which client number.
        base_url: at which address.
        run_id: the run, or None.
        journal: the path of its journal, or None.
        has_journal: whether that journal is there.
        is_own: whether it is the replay's own journal.
        trouble: why nothing of it can be sent, or None.
        part: the part of a shared run that the run is, or None.
    """

    id: int
    operation: str
    client_no: int
    base_url: str
    run_id: str | None
    journal: str | None
    has_journal: bool = False
    is_own: bool = False
    trouble: str | None = None
    part: SharedPart | None = None

    @property
    def is_document(self) -> bool:
        """Whether its lines are documents."""
        return self.operation == DOCUMENTS


class ReplayLine(NamedTuple):
    """A line, and what is known of it now.

    Attributes:
        number: of the line, from 1.
        start: the byte at which it begins.
        size: its bytes.
        digest: shows whether it is still the same.
        grp: the id of its group.
        action: what happens to it.
        note: why it is never sent, or None.
        reason: why it has its state.
        state: its state in the file.
        key: its key, or None.
        uuid: its batchUuid, or None.
        done: whether its record succeeded, so that the line can go.
        overtaken: whether a later line of its customer was taken in this replay, or a run has marked the line since it was read.
        new_state: its state now; None where nothing more is known.
        new_reason: why.
        new_message: words to it.
        new_uuid: the batchUuid of its last batch, where it was sent.
        new_attempts: how often it was sent in all, where it was sent now.
    """

    number: int
    start: int
    size: int
    digest: int
    grp: int
    action: Action
    note: str | None
    reason: str | None
    state: str
    key: str | None
    uuid: str | None
    done: int
    overtaken: int
    new_state: str | None
    new_reason: str | None
    new_message: str | None
    new_uuid: str | None
    new_attempts: int | None

    @property
    def piece(self) -> Piece:
        """Its place in the file."""
        return Piece(self.number, self.start, self.size, self.digest)


class LineTable:
    """The lines of a file, by number, group and name."""

    def __init__(self) -> None:
        self._sql = temporary_database(_SCHEMA)
        self._sql.execute("BEGIN")

    def close(self) -> None:
        """Forgets all lines."""
        self._sql.close()

    def add(self, piece: Piece, group: LineGroup, letter: Letter, action: Action, name: str | None, content: int, note: str | None) -> None:
        """Adds a line.

        Args:
            piece: its place in the file.
            group: the lines of its run.
            letter: what it says.
            action: what happens to it, as far as the line alone shows.
            name: the identity of its record in a journal, or None.
            content: the fingerprint of a customer; 0 for a document.
            note: why it is never sent, or None.
        """
        fields = (letter.state, letter.key, letter.batch_uuid, letter.attempts, letter.reason, note)
        self._sql.execute(
            "INSERT INTO lines (number, start, size, digest, grp, action, name, content, state, key, uuid, attempts, reason, note)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*piece, group.id, action, name, content, *fields),
        )

    def add_records(self, group: LineGroup, records: Iterable[JournalRecord]) -> None:
        """Adds what a journal says of records; those that no line of the group is about are left out.

        Args:
            group: the lines of the run.
            records: the records of the run, in the order in which they were sent.
        """
        self._sql.executemany(
            "INSERT INTO entries SELECT ?1, ?2, ?3, ?4 WHERE EXISTS (SELECT 1 FROM lines WHERE grp = ?1 AND name = ?2)",
            ((group.id, *record) for record in records),
        )

    def apply_rules(self, group: LineGroup) -> None:
        """Takes back the lines of a group that must not be sent.

        Args:
            group: the group; what its journal says was added before.
        """
        rules: list[str] = []
        if group.has_journal:
            numberless = [_ENTRIES_MISSING, _EQUAL_SENT] if not group.is_own else [_EQUAL_SENT]
            rules += [_UNHEARD_OF, *numberless] if group.is_document else [_OVERTAKEN, _TAKEN_BEFORE, _SAME_WAY]
        if group.trouble is not None:
            rules.append(_IN_TROUBLE)
        if group.is_document:
            rules.append(_TWINS)
        for rule in rules:
            self._sql.execute(rule, {"grp": group.id})

    # --- reading ----------------------------------------------------------------------------------------------------------

    def rows(self, condition: str = "TRUE", *values: Any) -> Iterator[ReplayLine]:
        """Reads lines in their order, a few at a time: they may change meanwhile.

        Args:
            condition: SQL that they meet.
            *values: the values of its question marks.

        Returns:
            The lines.
        """
        last = 0
        query = f"SELECT {_COLUMNS} FROM lines WHERE ({condition}) AND number > ? ORDER BY number LIMIT 500"  # noqa: S608 - our own words
        while rows := [ReplayLine._make(row) for row in self._sql.execute(query, (*values, last))]:
            yield from rows
            last = rows[-1].number

    def count(self, condition: str = "TRUE", *values: Any) -> int:
        """Counts lines.

        Args:
            condition: SQL that they meet.
            *values: the values of its question marks.

        Returns:
            Their number.
        """
        number: int = self._sql.execute(f"SELECT count(*) FROM lines WHERE {condition}", values).fetchone()[0]  # noqa: S608
        return number

    def find(self, digest: int, first: int) -> ReplayLine | None:
        """Finds a line by its text.

        Args:
            digest: of its text.
            first: the number from which on to search.

        Returns:
            The first such line, or None.
        """
        query = f"SELECT {_COLUMNS} FROM lines WHERE digest = ? AND number >= ? ORDER BY number LIMIT 1"  # noqa: S608 - our own words
        row = self._sql.execute(query, (digest, first)).fetchone()
        return ReplayLine._make(row) if row is not None else None

    def is_to_send(self, number: int) -> bool:
        """Tells whether a line is still to be sent.

        Args:
            number: of the line.
        """
        return bool(self.count("number = ? AND action = 'send'", number))

    def uuids(self) -> Iterator[str]:
        """Lists the batches that are asked for.

        Returns:
            Their batchUuids, each once.
        """
        last = ""
        query = "SELECT DISTINCT uuid FROM lines WHERE action = 'poll' AND uuid > ? ORDER BY uuid LIMIT 500"
        while rows := self._sql.execute(query, (last,)).fetchall():
            yield from (uuid for (uuid,) in rows)
            last = rows[-1][0]

    def left(self) -> dict[str, int]:
        """Counts the lines that are left.

        Returns:
            Their numbers by state.
        """
        query = "SELECT coalesce(new_state, state), count(*) FROM lines WHERE NOT done AND NOT gone GROUP BY 1 ORDER BY 1"
        return dict(self._sql.execute(query))

    # --- what became of them ----------------------------------------------------------------------------------------------

    def mark_done(self, numbers: Iterable[int]) -> None:
        """The records of some lines succeeded: the lines can go.

        Args:
            numbers: of the lines.
        """
        self._sql.executemany("UPDATE lines SET done = 1 WHERE number = ?", ((number,) for number in numbers))

    def mark_left(self, number: int, outcome: Outcome) -> None:
        """A line stays. What the server may have is never called less than that, whatever a run that was cut off says of it.

        Args:
            number: of the line.
            outcome: what is known of its record now.
        """
        self._sql.execute(
            "UPDATE lines SET done = 0, new_reason = ?2, new_message = ?3,"
            " new_state = CASE WHEN state IN ('unknown', 'accepted') AND ?1 = 'invalid' THEN state ELSE ?1 END"
            " WHERE number = ?4 AND NOT (state IN ('unknown', 'accepted') AND ?1 = 'not_sent')",
            (*outcome, number),
        )
        self._sql.execute("UPDATE lines SET done = 0 WHERE number = ?", (number,))

    def mark_overtaken(self) -> None:
        """Finds customers of whom a later line was taken, of whichever run: what is older would win over it. And documents whose number
        another line has that was taken."""
        self._sql.execute(_LATER_ACCEPTED)
        self._sql.execute(_LATER_TAKEN)
        self._sql.execute(_NUMBER_TAKEN)

    def mark_changed(self, now: LinesNow) -> None:
        """Takes back the lines that a run has marked, or that are not in the file any more as they were: they must not be sent.

        Args:
            now: what the file holds.
        """
        self._sql.execute("DELETE FROM now")
        for marked, digests in enumerate(now):
            self._sql.executemany("INSERT INTO now VALUES (?, ?)", ((digest, marked) for digest in digests))
        self._sql.execute(_MARKED_SINCE, (SENT_ELSEWHERE, OVERTAKEN))
        self._sql.execute(_GONE)

    def keep_one_of_a_number(self) -> None:
        """Leaves documents whose number a later line of another run has: the journals of two runs may not know of each other."""
        self._sql.execute(_SAME_NUMBER, (_ANOTHER_LINE,))

    def mark_for_look_up(self, number: int, outcome: Outcome) -> None:
        """The result of its batch does not explain a document: it is looked up next.

        Args:
            number: of the line.
            outcome: what the result says of it.
        """
        self.mark_left(number, outcome)
        self._sql.execute("UPDATE lines SET action = 'look_up' WHERE number = ?", (number,))

    def mark_sent(self, number: int, attempts: int, uuid: str | None) -> None:
        """A line was sent in this replay.

        Args:
            number: of the line.
            attempts: how often.
            uuid: the batchUuid of its batch, or None.
        """
        self._sql.execute("UPDATE lines SET new_attempts = attempts + ?, new_uuid = ? WHERE number = ?", (attempts, uuid, number))


_COLUMNS: Final = ", ".join(ReplayLine._fields)

# --- the rules: each begins with the lines that are to be sent, and takes some back ---------------------------------------------

_SEND: Final = "grp = :grp AND action = 'send'"
_ENTRY: Final = "SELECT 1 FROM entries AS entry WHERE entry.grp = lines.grp AND entry.name = lines.name"
_TAKEN: Final = "state IN ('succeeded', 'open', 'accepted')"
_MAY_BE_ON_SERVER: Final = "state IN ('succeeded', 'open', 'accepted', 'unknown')"

_UNHEARD_OF: Final = f"""
UPDATE lines SET action = CASE WHEN state = 'unknown' THEN iif(key IS NULL, 'stay', 'look_up') ELSE iif(uuid IS NULL, 'stay', 'poll') END
WHERE {_SEND} AND name LIKE '=%' AND state IN ('unknown', 'accepted') AND NOT EXISTS ({_ENTRY})
"""  # noqa: S608 - our own words
"""A numbered document that the server may have, and that the journal has never heard of: the run would send it as something new."""

_EQUAL_SENT: Final = f"""
UPDATE lines SET action = 'stay', new_state = state, new_reason = 'equal_sent',
    new_message = 'the run has sent, or may have sent, an equal document, and without a number nothing tells whether it was this one: '
        || 'run the source again with the same run_id, or look it up by hand'
WHERE {_SEND} AND name LIKE '#%' AND EXISTS ({_ENTRY} AND entry.{_MAY_BE_ON_SERVER})
"""  # noqa: S608 - our own words
"""A document without a number of which the server may have an equal one of the same run: it may be the line's own, sent since."""

_ENTRIES_MISSING: Final = f"""
UPDATE lines SET action = 'stay', new_state = state, new_reason = 'not_in_journal',
    new_message = 'its journal knows of fewer equal documents than there are lines, so nothing tells whether it was sent since: '
        || 'run the source again with the same run_id'
WHERE {_SEND} AND name LIKE '#%' AND name IN (
    SELECT name FROM lines WHERE {_SEND} GROUP BY name
    HAVING count(*) > (SELECT count(*) FROM entries WHERE entries.grp = :grp AND entries.name = lines.name))
"""  # noqa: S608 - our own words
"""Documents without a number of which the journal of their run knows fewer than there are lines: it may be another journal."""

_OVERTAKEN: Final = f"""
UPDATE lines SET action = 'stay', new_state = state, new_reason = 'overtaken',
    new_message = '{OVERTAKEN}'
WHERE {_SEND} AND EXISTS (
    {_ENTRY} AND entry.content IN (lines.content, -1) AND NOT entry.{_TAKEN} AND EXISTS (
        SELECT 1 FROM entries AS later
        WHERE later.grp = entry.grp AND later.name = entry.name AND later.{_TAKEN} AND later.rowid > entry.rowid))
"""  # noqa: S608 - our own words
"""A customer of which the run sent something newer with success: what is older would win over it now."""

_TAKEN_BEFORE: Final = f"""
UPDATE lines SET action = 'adopt'
WHERE {_SEND} AND EXISTS ({_ENTRY} AND entry.content IN (lines.content, -1) AND NOT entry.{_TAKEN})
    AND EXISTS ({_ENTRY} AND entry.content = lines.content AND entry.{_TAKEN})
"""  # noqa: S608 - our own words
"""A customer whose equal was taken before it in the run, with another in between: the journal would take the line for that one."""

_SAME_WAY: Final = f"""
UPDATE lines SET action = 'adopt'
WHERE {_SEND} AND name IN (SELECT name FROM lines WHERE grp = :grp AND action = 'adopt')
"""  # noqa: S608 - our own words
"""Others of such a customer: through two journals, what is older might be sent after what is newer."""

_LATER_TAKEN: Final = """
UPDATE lines SET overtaken = 1, action = 'stay'
WHERE NOT done AND content <> 0 AND EXISTS (
    SELECT 1 FROM lines AS later
    WHERE later.name = lines.name AND later.content <> 0 AND later.number > lines.number AND (later.done OR EXISTS (
        SELECT 1 FROM entries WHERE entries.grp = later.grp AND entries.name = later.name
            AND entries.content = later.content AND entries.state = 'succeeded')))
"""
"""Also where only the journal of the later line says so: an earlier replay was killed, or its run went on without the file."""

_LATER_ACCEPTED: Final = """
UPDATE lines SET action = 'stay'
WHERE NOT done AND content <> 0 AND EXISTS (
    SELECT 1 FROM lines AS later
    WHERE later.name = lines.name AND later.content <> 0 AND later.number > lines.number
        AND coalesce(later.new_state, later.state) = 'accepted')
"""
"""It may fail yet, so the line is not marked."""

_NUMBER_TAKEN: Final = """
UPDATE lines SET overtaken = 1, action = 'stay'
WHERE NOT done AND content = 0 AND name LIKE '=%' AND coalesce(new_state, state) NOT IN ('unknown', 'accepted') AND EXISTS (
    SELECT 1 FROM lines AS other WHERE other.name = lines.name AND other.content = 0 AND other.grp <> lines.grp AND other.done)
"""

_MARKED_SINCE: Final = """
UPDATE lines SET overtaken = 1, action = 'stay', note = iif(content = 0, ?, ?)
WHERE NOT done AND digest IN (SELECT digest FROM now WHERE marked)
"""

_GONE: Final = """
UPDATE lines SET gone = 1, action = 'stay'
WHERE NOT done AND number IN (
    SELECT number FROM (SELECT number, digest, row_number() OVER (PARTITION BY digest ORDER BY number) AS nth FROM lines) AS equal
    WHERE nth > (SELECT count(*) FROM now WHERE now.digest = equal.digest))
"""
"""Of equal lines, as many are still there as the file has."""

_ANOTHER_LINE: Final = "a line of another run has this number, too: delete one of them"

_SAME_NUMBER: Final = """
UPDATE lines SET action = 'stay', note = ?
WHERE content = 0 AND action IN ('send', 'adopt') AND name LIKE '=%' AND state NOT IN ('unknown', 'accepted') AND EXISTS (
    SELECT 1 FROM lines AS other
    WHERE other.name = lines.name AND other.content = 0 AND other.grp <> lines.grp AND other.action <> 'drop'
        AND (other.number > lines.number AND other.action IN ('send', 'adopt') OR other.state IN ('unknown', 'accepted')))
"""

_IN_TROUBLE: Final = f"UPDATE lines SET action = 'stay' WHERE {_SEND}"  # noqa: S608 - our own words

_TWINS: Final = """
UPDATE lines SET action = 'stay'
WHERE grp = :grp AND action IN ('send', 'adopt') AND name IN (
    SELECT name FROM lines
    WHERE grp = :grp AND name LIKE '=%' AND state IN ('unknown', 'accepted') AND action IN ('look_up', 'poll', 'stay'))
"""
"""A document with the number of one that the server may have."""
