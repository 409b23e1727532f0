"""What is read of a run from its journal: called in the journal's thread, or by whoever looks at a journal."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final

from .... import codec
from ....clock import Stamp
from ...outcomes import ACCEPTED, MAY_BE_ON_SERVER, NOT_EXPLAINED, UNCERTAIN, Outcome, State, can_be_looked_up
from ..protocol import AcceptedBatch, UnknownBatch
from .index import Index, read_records

__all__ = [
    "NOT_AWAITED",
    "deadline_of",
    "ids",
    "left_behind",
    "places_of",
    "read_exceptions",
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

NOT_AWAITED: Final = Outcome("accepted", "not_awaited", "its result is still to come")


def span_of(run: int) -> tuple[int, int]:
    """The least and the greatest id that a batch of a run can have."""
    return run << _SHIFT, ((run + 1) << _SHIFT) - 1


def ids(connection: sqlite3.Connection, run: int, condition: str = "TRUE") -> Iterator[int]:
    """The ids of all batches of a run that meet a condition, in order, a few at a time."""
    low, high = span_of(run)
    query = f"SELECT id FROM batches WHERE id BETWEEN ? AND ? AND ({condition}) ORDER BY id LIMIT 1000"  # noqa: S608 - our own words
    while rows := connection.execute(query, (low, high)).fetchall():
        yield from (row[0] for row in rows)
        low = rows[-1][0] + 1


def read_exceptions(text: str | None) -> dict[int, Outcome]:
    """The records of a batch whose state differs from that of the batch, by position."""
    found = codec.json_value(text.encode()) if text is not None else {}
    return {int(position): Outcome(*outcome) for position, outcome in found.items()}


def read_row(connection: sqlite3.Connection, batch: int) -> tuple[int, Outcome | None, dict[int, Outcome]]:
    """Number of records of a batch, its verdict (None: its result is still to come), and the exceptions."""
    records, state, *outcome, exceptions = connection.execute(
        "SELECT records, state, final, reason, message, exceptions FROM batches WHERE id = ?", (batch,)
    ).fetchone()
    return records, Outcome(*outcome) if state == "settled" else None, read_exceptions(exceptions)


def states_of(connection: sqlite3.Connection, batch: int) -> list[str]:
    """The state of each record of a batch; `open` where its result is still to come."""
    records, outcome, exceptions = read_row(connection, batch)
    states: list[str] = [outcome.state if outcome is not None else "open"] * records
    for position, exception in exceptions.items():
        states[position] = exception.state
    return states


def superseded(connection: sqlite3.Connection, batch: int) -> set[int]:
    """The positions of the records of a batch that were sent again in a later one."""
    return {row[0] for row in connection.execute("SELECT position FROM superseded WHERE batch = ?", (batch,))}


def keys_of(connection: sqlite3.Connection, batch: int) -> list[str | None]:
    """The keys of a batch."""
    keys: list[str | None] = codec.json_value(connection.execute("SELECT keys FROM records WHERE batch = ?", (batch,)).fetchone()[0])
    return keys


def body_of(connection: sqlite3.Connection, batch: int) -> bytes | None:
    """What was sent, as far as it is kept."""
    row = connection.execute("SELECT body FROM bodies WHERE batch = ?", (batch,)).fetchone()
    return bytes(row[0]) if row is not None else None


def read_open(connection: sqlite3.Connection, batch: int) -> AcceptedBatch:
    """A batch that was accepted."""
    uuid, shared, *accepted = connection.execute(
        "SELECT uuid, shared, accepted, accepted_boot, boot_id, accepted_service FROM batches WHERE id = ?", (batch,)
    ).fetchone()
    _, outcome, exceptions = read_row(connection, batch)
    return AcceptedBatch(batch, uuid, Stamp(*accepted), keys_of(connection, batch), outcome, exceptions, bool(shared))


def read_outcomes(connection: sqlite3.Connection, places: Sequence[tuple[int, int]]) -> list[tuple[Outcome, str | None]]:
    """The final state of each of these records, given as (batch, position), and the batchUuid; of an open one, that it is accepted."""
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
    """The batches of a run of which records are unknown, or accepted without an explanation, in the order in which they were cut."""
    reasons = ", ".join(f"'{reason}'" for reason in NOT_EXPLAINED)
    parts = ["final = 'unknown'", "exceptions LIKE '%\"unknown\"%'", f"(final = 'accepted' AND reason IN ({reasons}))"]
    parts += [f'exceptions LIKE \'%"accepted","{reason}"%\'' for reason in NOT_EXPLAINED]
    # What could not be decided on a stale journal did not leave: the next attempt looks it up again.
    return list(ids(connection, run, f"({' OR '.join(parts)}) AND reason <> 'stale_journal'"))


def read_unknown(connection: sqlite3.Connection, batch: int) -> UnknownBatch:
    """A batch of which records are unknown, or accepted without an explanation; those that were sent again in a later one are left out."""
    status, uuid, *sent = connection.execute(
        "SELECT status, uuid, coalesce(sent, 0), boot, boot_id, service FROM batches WHERE id = ?", (batch,)
    ).fetchone()
    records, outcome, exceptions = read_row(connection, batch)
    gone = superseded(connection, batch)
    said = {place: exceptions.get(place, outcome or NOT_AWAITED) for place in range(records)}
    uncertain = {place: one for place, one in said.items() if place not in gone and can_be_looked_up(one)}
    unknown = {place: one for place, one in uncertain.items() if one.state == "unknown"}
    accepted = {place: one for place, one in uncertain.items() if one.state == "accepted"}
    known = {place: one for place, one in said.items() if place not in unknown}
    keys, body = keys_of(connection, batch), body_of(connection, batch)
    return UnknownBatch(batch, Stamp(*sent), status, uuid, keys, body, unknown, accepted, known)


def slowest(connection: sqlite3.Connection, run: int) -> float:
    """Seconds from the 202 to the result of the slowest batch of a run; 0 where none is known."""
    row = connection.execute(
        "SELECT max(took) FROM batches WHERE id BETWEEN ? AND ? AND final IN ('succeeded', 'failed')", span_of(run)
    ).fetchone()
    return max(0.0, row[0] or 0.0)


def deadline_of(connection: sqlite3.Connection, run: int) -> float:
    """The longest deadline that an attempt of a run had."""
    return float(connection.execute("SELECT deadline FROM runs WHERE id = ?", (run,)).fetchone()[0])


def runs_like(connection: sqlite3.Connection, run: int) -> list[int]:
    """A run and all others of the same operation, client number and address, it first and then the newest."""
    rows = connection.execute(
        "SELECT other.id FROM runs JOIN runs AS other USING (operation, client_no, base_url) WHERE runs.id = ?"
        " ORDER BY other.id = runs.id DESC, other.id DESC",
        (run,),
    )
    return [row[0] for row in rows]


def taken_ids(connection: sqlite3.Connection, run: int, near: int, most: int) -> list[int]:
    """Batches of a run of which records succeeded or were accepted, `most` of them, those next to the batch `near` first."""
    said = "final IN ('succeeded', 'accepted') OR exceptions LIKE '%\"succeeded\"%' OR exceptions LIKE '%\"accepted\"%'"
    query = f"SELECT id FROM batches WHERE id BETWEEN ? AND ? AND ({said}) ORDER BY abs(id - ?) LIMIT ?"  # noqa: S608 - our own words
    return [row[0] for row in connection.execute(query, (*span_of(run), near, most))]


def taken_keys(connection: sqlite3.Connection, batches: Sequence[int]) -> list[tuple[str, bool, Stamp]]:
    """The keys of these batches whose records succeeded or were accepted, whether they succeeded, and when they were taken."""
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
    """The places in the source of the records of a batch, by position; of an earlier attempt, those that were yielded again."""
    if current:
        return dict(enumerate(read_records(connection, batch)[2]))
    return index.claimed_of(batch) if index is not None else {}


def left_behind(connection: sqlite3.Connection, index: Index) -> dict[State, int]:
    """Numbers of records that may be with the server, and that the source did not yield this time."""
    found: Counter[State] = Counter()
    for places in index.unclaimed():
        found.update(outcome.state for outcome, _ in read_outcomes(connection, places))
    return {state: number for state, number in found.items() if state in UNCERTAIN}
