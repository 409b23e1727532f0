"""Finds in a journal what a run sent after the records that have a line in a dead letter."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from itertools import chain

from ..matching import ENTRY_MAY_BE_ON_SERVER, TAKEN
from ..newer_records import NewerRecords
from .index import read_records
from .queries import ids_in_order, states_of, superseded

__all__ = ["newer_records", "place_of"]


def place_of(number: int, position: int) -> int:
    """Returns the place of a record in the order in which a run sent its records.

    Args:
        number: of its batch in that order.
        position: its position in the batch.
    """
    return (number << 32) + position


def newer_records(
    connection: sqlite3.Connection, run: int, names: Iterable[str], *, is_safe: bool, attempt: int, success: frozenset[str] | None
) -> NewerRecords:
    """Finds the last record that was taken of each one with a line in the dead letter; of documents, one that may have been taken.

    Args:
        connection: of the journal.
        run: the id of the run.
        names: the identities of the records that other runs have left there.
        is_safe: whether they are customers.
        attempt: the first attempt that counts.
        success: the states that count as success, where the lines of the run itself count, too; else None.

    Returns:
        The records.
    """
    batches = ids_in_order(connection, run, "state <> 'queued'")
    if success is not None:
        names = chain(names, _unsuccessful(connection, batches, success))
    newer, taken = NewerRecords(names), TAKEN if is_safe else ENTRY_MAY_BE_ON_SERVER
    for number, batch in enumerate(batches) if newer else ():
        if connection.execute("SELECT attempt FROM batches WHERE id = ?", (batch,)).fetchone()[0] < attempt:
            continue
        gone, states = superseded(connection, batch), states_of(connection, batch)
        found = enumerate(zip(read_records(connection, batch)[0], states, strict=True))
        newer.add((place_of(number, at), name) for at, (name, state) in found if state in taken and at not in gone)
    return newer


def _unsuccessful(connection: sqlite3.Connection, batches: Iterable[int], success: frozenset[str]) -> Iterator[str]:
    """Gives the identities of the records that did not succeed."""
    for batch in batches:
        states = states_of(connection, batch)
        if not success.issuperset(states):
            names = read_records(connection, batch)[0]
            yield from (name for name, state in zip(names, states, strict=True) if state not in success)
