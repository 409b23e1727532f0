"""Queries that read a run from its journal. Called in the journal's thread, or by functions that inspect a journal."""

from __future__ import annotations

import contextlib
import sqlite3
import zlib
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from .... import codec
from ....clock import Stamp
from ...chunking import split_json_objects
from ...fingerprints import content_name
from ...outcomes import ACCEPTED, MAY_BE_ON_SERVER, NOT_EXPLAINED, UNCERTAIN, Outcome, State, can_be_looked_up
from ..protocol import AcceptedBatch, UnknownBatch
from .index import Index, Records, read_records

__all__ = [
    "NEVER_SENT",
    "NOT_AWAITED",
    "SELECT_ROW",
    "SELECT_SUPERSEDED",
    "deadline_of",
    "entry_states_of",
    "ids",
    "ids_in_order",
    "left_behind",
    "packed",
    "parse_row",
    "places_of",
    "read_exceptions",
    "read_identified",
    "read_open",
    "read_outcomes",
    "read_row",
    "read_unknown",
    "runs_like",
    "slowest",
    "span_of",
    "states_of",
    "taken_ids",
    "taken_keys",
    "unknown_ids",
]

_SHIFT: Final = 32

_PACKED: Final = b"\0zlib"
"""How a text begins that is compressed."""

SELECT_ROW: Final = "SELECT records, state, final, reason, message, exceptions FROM batches WHERE id = ?"

NEVER_SENT: Final = "tries = 0 AND sent IS NULL AND state = 'settled'"
"""Which batches hold what was never sent, whatever is said of it."""

SELECT_SUPERSEDED: Final = "SELECT position FROM superseded WHERE batch = ?"

NOT_AWAITED: Final = Outcome("accepted", "not_awaited", "its result is still to come")


def span_of(run: int) -> tuple[int, int]:
    """Returns the smallest and the largest id that a batch of a run can have."""
    return run << _SHIFT, ((run + 1) << _SHIFT) - 1


def ids(connection: sqlite3.Connection, run: int, condition: str = "TRUE") -> Iterator[int]:
    """Yields the ids of the batches of a run, in order, a few at a time.

    Args:
        connection: of the journal.
        run: the id of the run.
        condition: SQL that the batches must satisfy; it must not contain data.

    Yields:
        The ids.
    """
    low, high = span_of(run)
    query = f"SELECT id FROM batches WHERE id BETWEEN ? AND ? AND ({condition}) ORDER BY id LIMIT 1000"  # noqa: S608 - our own words
    while rows := connection.execute(query, (low, high)).fetchall():
        yield from (row[0] for row in rows)
        low = rows[-1][0] + 1


def ids_in_order(connection: sqlite3.Connection, run: int, condition: str) -> array[int]:
    """Returns the ids of the batches of a run in the order in which their records are sent: by attempt, and in each by the source. That of
    the ids is another one: the parts of a batch that was split got theirs after batches that come later in the source.

    Args:
        connection: of the journal.
        run: the id of the run.
        condition: SQL that the batches must satisfy; it must not contain data.
    """
    query = (
        f"SELECT id FROM batches LEFT JOIN records ON batch = id WHERE id BETWEEN ? AND ? AND ({condition})"  # noqa: S608 - our own words
        " ORDER BY attempt, first, id"
    )
    return array("q", (row[0] for row in connection.execute(query, span_of(run)).fetchall()))


def read_exceptions(text: str | None) -> dict[int, Outcome]:
    """Decodes the outcomes of records that differ from the outcome of their batch.

    Args:
        text: the column `exceptions`.

    Returns:
        The outcomes by position.
    """
    found = codec.json_value(text.encode()) if text is not None else {}
    return {int(position): Outcome(*outcome) for position, outcome in found.items()}


def read_row(connection: sqlite3.Connection, batch: int) -> tuple[int, Outcome | None, dict[int, Outcome]]:
    """Reads the outcome of a batch.

    Args:
        connection: of the journal.
        batch: its id.

    Returns:
        The number of records, the outcome of the batch (None while it is not settled), and by position the outcomes that differ.
    """
    return parse_row(connection.execute(SELECT_ROW, (batch,)).fetchone())


def parse_row(row: Sequence[Any]) -> tuple[int, Outcome | None, dict[int, Outcome]]:
    """Returns what `read_row` does.

    Args:
        row: what `SELECT_ROW` selects.
    """
    records, state, *outcome, exceptions = row
    return records, Outcome(*outcome) if state == "settled" else None, read_exceptions(exceptions)


def states_of(connection: sqlite3.Connection, batch: int) -> list[str]:
    """Returns the state of each record of a batch; `open` while the batch is not settled."""
    records, outcome, exceptions = read_row(connection, batch)
    states: list[str] = [outcome.state if outcome is not None else "open"] * records
    for position, exception in exceptions.items():
        states[position] = exception.state
    return states


def entry_states_of(connection: sqlite3.Connection, batch: int) -> list[str]:
    """Returns the state of each record of a batch as a `ResumeEntry` has it: `ambiguous` for what failed where an earlier attempt may have
    been accepted, and `not_sent` for what is unknown only because it was not compared or looked up."""
    states = states_of(connection, batch)
    query = f"SELECT was_ambiguous, {NEVER_SENT} FROM batches WHERE id = ?"  # noqa: S608 - our own words
    was_ambiguous, never_sent = connection.execute(query, (batch,)).fetchone()
    if never_sent:
        return ["not_sent" if state in MAY_BE_ON_SERVER else state for state in states]
    if was_ambiguous:
        return [state if state == "open" or state in MAY_BE_ON_SERVER else "ambiguous" for state in states]
    return states


def superseded(connection: sqlite3.Connection, batch: int) -> set[int]:
    """Returns the positions of the records of a batch that were sent again in a later one."""
    return {row[0] for row in connection.execute(SELECT_SUPERSEDED, (batch,))}


def keys_of(connection: sqlite3.Connection, batch: int) -> list[str | None]:
    """Returns the keys of the records of a batch."""
    keys: list[str | None] = codec.json_value(connection.execute("SELECT keys FROM records WHERE batch = ?", (batch,)).fetchone()[0])
    return keys


def body_of(connection: sqlite3.Connection, batch: int) -> bytes | None:
    """Returns the JSON that was sent, or None if it was not kept."""
    row = connection.execute("SELECT body FROM bodies WHERE batch = ?", (batch,)).fetchone()
    return _unpacked(bytes(row[0])) if row is not None else None


def read_identified(connection: sqlite3.Connection, batch: int, *, is_document: bool) -> Records:
    """Reads the records of a batch as `read_records` does, and makes the identities that were not recorded because nothing was sent, where
    the text is kept.

    Args:
        connection: of the journal.
        batch: its id.
        is_document: whether they are documents.

    Returns:
        Their identities, fingerprints and places in the source.
    """
    names, prints, places = read_records(connection, batch)
    if any(name.startswith("?") for name in names) and (body := body_of(connection, batch)) is not None:
        # What could not be read has no identity.
        with contextlib.suppress(*codec.DecodeFailure, ValueError, RecursionError):
            found = zip(names, split_json_objects(body), strict=True)
            names = [content_name(text, document=is_document) if name.startswith("?") else name for name, text in found]
    return names, prints, places


def packed(pieces: Iterable[bytes]) -> bytes:
    """Compresses the text of a batch; `body_of` returns it as it was.

    Args:
        pieces: the JSON of its records.
    """
    return _PACKED + zlib.compress(b",".join(pieces), 1)


def _unpacked(body: bytes) -> bytes:
    if body.startswith(_PACKED):
        # A record that is no JSON may begin like that, too, and has no checksum.
        with contextlib.suppress(zlib.error):
            return zlib.decompress(memoryview(body)[len(_PACKED) :])
    return body


def read_open(connection: sqlite3.Connection, batch: int) -> AcceptedBatch:
    """Reads a batch that the server accepted.

    Args:
        connection: of the journal.
        batch: its id.

    Returns:
        The batch.
    """
    uuid, shared, *accepted = connection.execute(
        "SELECT uuid, shared, accepted, accepted_boot, boot_id, accepted_service FROM batches WHERE id = ?", (batch,)
    ).fetchone()
    _, outcome, exceptions = read_row(connection, batch)
    return AcceptedBatch(batch, uuid, Stamp(*accepted), keys_of(connection, batch), outcome, exceptions, bool(shared))


def read_outcomes(connection: sqlite3.Connection, places: Sequence[tuple[int, int]]) -> list[tuple[Outcome, str | None]]:
    """Reads the outcomes of records.

    Args:
        connection: of the journal.
        places: the records, as (batch, position).

    Returns:
        For each, its outcome and its batchUuid; `NOT_AWAITED` while the batch is not settled.
    """
    known: dict[int, tuple[Any, ...]] = {}
    found: list[tuple[Outcome, str | None]] = []
    for batch, position in places:
        if batch not in known:
            uuid = connection.execute("SELECT uuid FROM batches WHERE id = ?", (batch,)).fetchone()[0]
            known[batch] = (uuid, *read_row(connection, batch)[1:])
        uuid, outcome, exceptions = known[batch]
        found.append((exceptions.get(position, outcome or NOT_AWAITED), uuid))
    return found


def unknown_ids(connection: sqlite3.Connection, run: int) -> list[int]:
    """Lists the batches with records that are unknown, or accepted without an explanation, in the order in which they were cut."""
    reasons = ", ".join(f"'{reason}'" for reason in NOT_EXPLAINED)
    parts = ["final = 'unknown'", "exceptions LIKE '%\"unknown\"%'", f"(final = 'accepted' AND reason IN ({reasons}))"]
    parts += [f'exceptions LIKE \'%"accepted","{reason}"%\'' for reason in NOT_EXPLAINED]
    # What was not compared, or could not be decided on a stale journal, was not sent: the next attempt decides.
    return list(ids(connection, run, f"({' OR '.join(parts)}) AND reason NOT IN ('journal', 'stale_journal')"))


def number_unknown(connection: sqlite3.Connection, run: int) -> int:
    """Counts the records that are unknown, or accepted without an explanation."""
    number = 0
    for batch in unknown_ids(connection, run):
        records, outcome, exceptions = read_row(connection, batch)
        gone = superseded(connection, batch)
        if outcome is not None and can_be_looked_up(outcome):
            number += records - len(gone | exceptions.keys())
        number += sum(can_be_looked_up(one) for place, one in exceptions.items() if place not in gone)
    return number


def note_time(connection: sqlite3.Connection, batches: Sequence[int], now: Stamp) -> None:
    """Records that batches were sent before now, where the clocks can't tell when that was, or contradict each other.

    A later time is always safe: it makes a run wait longer.
    """
    query = "SELECT coalesce(sent, 0), boot, boot_id, service FROM batches WHERE id = ?"
    unclear = [batch for batch in batches if not Stamp(*connection.execute(query, (batch,)).fetchone()).passed(now)]
    # The other time of the row is of the same boot_id.
    update = "UPDATE batches SET sent = ?, boot = ?, boot_id = ?, service = ?, accepted_boot = NULL WHERE id = ?"
    connection.executemany(update, [(*now, batch) for batch in unclear])


def read_unknown(connection: sqlite3.Connection, batch: int) -> UnknownBatch:
    """Reads a batch with records that are unknown, or accepted without an explanation. Records that were sent again are left out.

    Args:
        connection: of the journal.
        batch: its id.

    Returns:
        The batch.
    """
    status, uuid, *sent = connection.execute(
        "SELECT status, uuid, coalesce(sent, 0), boot, boot_id, service FROM batches WHERE id = ?", (batch,)
    ).fetchone()
    records, outcome, exceptions = read_row(connection, batch)
    gone = superseded(connection, batch)
    outcomes = {place: exceptions.get(place, outcome or NOT_AWAITED) for place in range(records)}
    uncertain = {place: one for place, one in outcomes.items() if place not in gone and can_be_looked_up(one)}
    unknown = {place: one for place, one in uncertain.items() if one.state == "unknown"}
    accepted = {place: one for place, one in uncertain.items() if one.state == "accepted"}
    known = {place: one for place, one in outcomes.items() if place not in unknown}
    keys, body = keys_of(connection, batch), body_of(connection, batch)
    return UnknownBatch(batch, Stamp(*sent), status, uuid, keys, body, unknown, accepted, known)


def slowest(connection: sqlite3.Connection, run: int) -> float:
    """Returns the seconds from the 202 to the result of the slowest batch of a run; 0 if none is known."""
    row = connection.execute(
        "SELECT max(took) FROM batches WHERE id BETWEEN ? AND ? AND final IN ('succeeded', 'failed')", span_of(run)
    ).fetchone()
    return max(0.0, row[0] or 0.0)


def deadline_of(connection: sqlite3.Connection, run: int) -> float:
    """Returns the longest deadline, in seconds, that an attempt of a run had."""
    return float(connection.execute("SELECT deadline FROM runs WHERE id = ?", (run,)).fetchone()[0])


def runs_like(connection: sqlite3.Connection, run: int) -> list[int]:
    """Lists a run and all others of the same operation, client number and address: that run first, then the newest."""
    rows = connection.execute(
        "SELECT other.id FROM runs JOIN runs AS other USING (operation, client_no, base_url) WHERE runs.id = ?"
        " ORDER BY other.id = runs.id DESC, other.id DESC",
        (run,),
    )
    return [row[0] for row in rows]


def taken_ids(connection: sqlite3.Connection, run: int, near: int, most: int) -> list[int]:
    """Lists batches with records that succeeded or were accepted.

    Args:
        connection: of the journal.
        run: the id of the run.
        near: the id of a batch; the nearest ones come first.
        most: the most to return.

    Returns:
        Their ids.
    """
    condition = "final IN ('succeeded', 'accepted') OR exceptions LIKE '%\"succeeded\"%' OR exceptions LIKE '%\"accepted\"%'"
    query = f"SELECT id FROM batches WHERE id BETWEEN ? AND ? AND ({condition}) ORDER BY abs(id - ?) LIMIT ?"  # noqa: S608 - our own words
    return [row[0] for row in connection.execute(query, (*span_of(run), near, most))]


def taken_keys(connection: sqlite3.Connection, batches: Sequence[int]) -> list[tuple[str, bool, Stamp]]:
    """Reads the keys of the records of some batches that succeeded or were accepted.

    Args:
        connection: of the journal.
        batches: the ids of the batches.

    Returns:
        For each such record with a key: the key, whether it succeeded, and when its batch was accepted (or sent, if that is not known).
    """
    found: list[tuple[str, bool, Stamp]] = []
    query = "SELECT coalesce(accepted, sent, 0), coalesce(accepted_boot, boot), boot_id, coalesce(accepted_service, service) FROM batches"
    for batch in batches:
        taken = Stamp(*connection.execute(f"{query} WHERE id = ?", (batch,)).fetchone())
        states, gone = states_of(connection, batch), superseded(connection, batch)
        for position, key in enumerate(keys_of(connection, batch)):
            if key is not None and position not in gone and (state := states[position]) in ACCEPTED & MAY_BE_ON_SERVER:
                found.append((key, state == "succeeded", taken))
    return found


def places_of(connection: sqlite3.Connection, batch: int, index: Index | None, *, current: bool) -> dict[int, int]:
    """Reads where the records of a batch are in the source.

    Args:
        connection: of the journal.
        batch: its id.
        index: the index of earlier attempts, if there is one.
        current: whether the batch was cut in this attempt.

    Returns:
        The places by position; of an earlier attempt, only of records that the source yielded again.
    """
    if current:
        return dict(enumerate(read_records(connection, batch)[2]))
    return index.claimed_of(batch) if index is not None else {}


def left_behind(connection: sqlite3.Connection, index: Index) -> dict[State, int]:
    """Counts the records that may be with the server, and that the source did not yield this time.

    Args:
        connection: of the journal.
        index: the index of earlier attempts.

    Returns:
        The numbers by state.
    """
    found: Counter[State] = Counter()
    for places in index.unclaimed():
        found.update(outcome.state for outcome, _ in read_outcomes(connection, places))
    return {state: number for state, number in found.items() if state in UNCERTAIN}
