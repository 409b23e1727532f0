"""What keeps a line of a dead letter file from being sent, by what the journal of its run says: SQL over the table of the lines.

Each rule begins with the lines that are to be sent, and takes some back.
"""

from __future__ import annotations

from typing import Final

from .replay_table import Group, LineTable

__all__ = ["apply"]

_NO_MARK: Final = -1
"""The mark of a document without number that its journal does not know as the line tells it."""

_SEND: Final = "grp = :grp AND action = 'send'"
_ENTRY: Final = "SELECT 1 FROM entries AS entry WHERE entry.grp = lines.grp AND entry.name = lines.name"
_TAKEN: Final = "state IN ('succeeded', 'open', 'accepted')"

_UNHEARD_OF: Final = f"""
UPDATE lines SET action = CASE WHEN state = 'unknown' THEN iif(key IS NULL, 'stay', 'look') ELSE iif(uuid IS NULL, 'stay', 'poll') END
WHERE {_SEND} AND name LIKE '=%' AND state IN ('unknown', 'accepted') AND NOT EXISTS ({_ENTRY})
"""  # noqa: S608 - our own words
"""A numbered document that may have been taken, and that the journal has never heard of: it would send it as something new."""

_MARK: Final = f"""
WITH found AS (
    SELECT name, lines, unsure, given, coalesce(done, 0) AS done, coalesce(unsettled, 0) AS unsettled, coalesce(pending, 0) AS pending
    FROM (
        SELECT name, count(*) AS lines, sum(state IN ('unknown', 'accepted')) AS unsure, max(given) AS given
        FROM lines WHERE {_SEND} AND name LIKE '#%' GROUP BY name
    ) LEFT JOIN (
        SELECT name, sum(state = 'succeeded') AS done, sum(state <> 'succeeded') AS unsettled,
               sum(state IN ('open', 'accepted', 'unknown')) AS pending
        FROM entries WHERE grp = :grp GROUP BY name
    ) USING (name))
UPDATE lines SET mark = CASE
    WHEN found.given IS NULL THEN iif(lines <= unsettled AND unsure <= pending, done, {_NO_MARK})
    ELSE iif(found.given <= done AND unsure <= pending + done - found.given, found.given, {_NO_MARK}) END
FROM found WHERE {_SEND} AND lines.name = found.name
"""  # noqa: S608 - our own words
"""Documents without number: the mark that a replay wrote into them, or the number of equal ones that the journal holds as succeeded.

Where the journal has fewer of them than there are lines, some were sent since the lines were written, or it is another journal.
"""

_MISFITS: Final = f"""
UPDATE lines SET action = 'stay', new_state = state, new_reason = 'not_in_journal',
    new_message = 'its journal has fewer unsettled documents like it than there are lines: some may have been sent since'
WHERE {_SEND} AND name LIKE '#%' AND mark = {_NO_MARK}
"""  # noqa: S608 - our own words

_OVERTAKEN: Final = f"""
UPDATE lines SET action = 'stay', new_state = state, new_reason = 'overtaken',
    new_message = 'a later record of this customer was taken: push it by itself, or delete the line'
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

_IN_TROUBLE: Final = f"UPDATE lines SET action = 'stay' WHERE {_SEND}"  # noqa: S608 - our own words

_TWINS: Final = """
UPDATE lines SET action = 'stay'
WHERE grp = :grp AND action IN ('send', 'adopt') AND name IN (
    SELECT name FROM lines WHERE grp = :grp AND name LIKE '=%' AND state IN ('unknown', 'accepted') AND action IN ('look', 'poll', 'stay'))
"""
"""A document with the number of one that may have been taken."""


def apply(table: LineTable, group: Group) -> None:
    """Takes back the lines of a run that may not be sent."""
    is_document = group.is_document
    rules: list[str] = []
    if group.has_journal:
        rules += [_UNHEARD_OF, _MARK, _MISFITS] if is_document else [_OVERTAKEN, _TAKEN_BEFORE]
    if group.trouble is not None:
        rules.append(_IN_TROUBLE)
    if is_document:
        rules.append(_TWINS)
    for rule in rules:
        table.sql.execute(rule, {"grp": group.id})
