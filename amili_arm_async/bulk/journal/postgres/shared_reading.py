"""Reads a run in parts from a journal in PostgreSQL: what its parts have counted, and their failures. Called in a thread."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from ....errors import JournalError
from ....postgres.lease import is_owned
from ...outcomes import RecordOutcome, State
from ...parts import part_run_id
from ...record_amounts import AmountSum, added
from ..run_key import RunKey, pruned_error
from ..sqlite.index import read_records
from ..sqlite.queries import NOT_AWAITED, ids, keys_of, read_row, span_of, superseded
from .inspect import opened
from .shared import find
from .store import amounts_in

if TYPE_CHECKING:
    from ....database.url import DatabaseUrl

__all__ = ["AttemptReport", "PartSummary", "failures", "failures_in", "keys_of_run", "read", "snapshot"]


class AttemptReport(NamedTuple):
    """The report of an attempt at a part.

    Attributes:
        attempt: its number, from 1.
        is_complete: whether its source was read to the end and nothing stopped it.
        report: what `PartOfRun.report` made.
    """

    attempt: int
    is_complete: bool
    report: bytes


class PartSummary(NamedTuple):
    """A part as the journal knows it.

    Attributes:
        part: the part.
        run: the id of its run.
        started, ended: Unix times; `ended` is None where its source was not sent completely.
        is_running: whether a process is going on with it.
        attempts: how often it was begun; by a reconcile or a replay, too.
        counts: number of records by state.
        money: of its records by state, one sum for each currency.
        without_amount: number of records whose money the journal does not have.
        reports: of its attempts, in their order.
    """

    part: int
    run: int
    started: float
    ended: float | None
    is_running: bool
    attempts: int
    counts: dict[State, int]
    money: dict[State, list[AmountSum]]
    without_amount: int
    reports: list[AttemptReport]


@contextlib.contextmanager
def snapshot(url: DatabaseUrl) -> Iterator[Any]:
    """Opens a journal as it is at one moment: what is read belongs together, whatever others write meanwhile.

    Args:
        url: of the database.

    Yields:
        The connection.

    Raises:
        JournalError: there is no journal, or it can't be used.
    """
    with opened(url) as connection, connection.transaction(reads=True):
        yield connection


def read(connection: Any, url: DatabaseUrl, key: RunKey) -> list[PartSummary]:
    """Reads what is known of a shared run: also while it is going on.

    Args:
        connection: to the database; see `snapshot`.
        url: of the database, for error messages.
        key: the whole run.

    Returns:
        The parts that were begun, in order.

    Raises:
        JournalError: there is no such run, or a part of it was pruned.
        ConfigurationError: it was begun against another address.
    """
    found = find(connection, key)
    if found is None:
        raise JournalError(f"the journal {url} has no run {key.run_id!r} in parts ({key.operation}, client {key.client_no})")
    return [_summary(connection, part, *row) for part, row in _rows(connection, url, key, found.parts)]


def _rows(connection: Any, url: DatabaseUrl, key: RunKey, parts: int) -> list[tuple[int, Any]]:
    names = {part_run_id(key.run_id, part, parts): part for part in range(parts)}
    query = "SELECT run_id, pruned, id, started, ended, attempts FROM runs WHERE operation = ? AND client_no = ? AND run_id = ANY(?)"
    rows = connection.execute(query, (key.operation, key.client_no, list(names))).fetchall()
    for run_id, pruned, *_ in rows:
        if pruned is not None:
            raise pruned_error(url, run_id, key.operation, pruned)
    return sorted((names[run_id], row) for run_id, _, *row in rows)


def _summary(connection: Any, part: int, run: int, started: float, ended: float | None, attempts: int) -> PartSummary:
    rows = connection.execute("SELECT attempt, complete, report FROM reports WHERE run = ? ORDER BY attempt", (run,)).fetchall()
    reports = [AttemptReport(attempt, complete, bytes(report)) for attempt, complete, report in rows]
    found = _Sums()
    found.add_run(connection, run)
    money: dict[State, list[AmountSum]] = {state: list(sums.values()) for state, sums in found.money.items()}
    is_running = is_owned(connection, run)
    return PartSummary(part, run, started, ended, is_running, attempts, dict(found.counts), money, found.without_amount, reports)


_SUMS: Final = msgspec.json.Decoder(list[AmountSum])

_SIMPLE: Final = "exceptions IS NULL AND NOT EXISTS (SELECT 1 FROM superseded WHERE batch = batches.id)"


class _Sums:
    """Counts the records of a part by state, and sums up their money: each record in the state that it has now.

    Attributes:
        counts: number of records by state.
        money: of the records by state and currency.
        without_amount: number of records whose money the journal does not have.
    """

    def __init__(self) -> None:
        self.counts: Counter[State] = Counter()
        self.money: dict[State, dict[str | None, AmountSum]] = {}
        self.without_amount = 0

    def add_run(self, connection: Any, run: int) -> None:
        """Adds the records of a part.

        Args:
            connection: to the database.
            run: the id of its run.
        """
        rows = f"SELECT state, final, batches.records, sums FROM batches LEFT JOIN records ON batch = id WHERE id BETWEEN ? AND ? AND {_SIMPLE}"  # noqa: S608, E501
        for state, final, records, sums in connection.execute(rows, span_of(run)).fetchall():
            self._add(_state(state, final), records, _SUMS.decode(sums) if sums is not None else None)
        for batch in ids(connection, run, f"NOT ({_SIMPLE})"):
            records, outcome, exceptions = read_row(connection, batch)
            gone, amounts = superseded(connection, batch), amounts_in(connection, batch)
            (state,) = connection.execute("SELECT state FROM batches WHERE id = ?", (batch,)).fetchone()
            common = _state(state, outcome.state if outcome is not None else None)
            places: dict[State, list[int]] = {}
            for place in range(records):
                if place not in gone:
                    places.setdefault(exceptions[place].state if place in exceptions else common, []).append(place)
            for own, some in places.items():
                self._add(own, len(some), amounts.sums(some) if amounts is not None else None)

    def _add(self, state: State, records: int, sums: list[AmountSum] | None) -> None:
        self.counts[state] += records
        if sums is None:
            self.without_amount += records
            return
        self.money[state] = added([*self.money.get(state, {}).values(), *sums])


def _state(state: str, final: State | None) -> State:
    """Returns the state of the records of a batch; what is being sent, or waits for that, is not sent as far as is known."""
    if state == "settled":
        assert final is not None
        return final
    return {"open": "accepted", "sending": "unknown"}.get(state, "not_sent")  # type: ignore[return-value]


def keys_of_run(url: DatabaseUrl, run_id: str, client_no: int | None) -> list[tuple[RunKey, int]]:
    """Finds shared runs by their name.

    Args:
        url: of the database.
        run_id: the name.
        client_no: only of this client number; None: of all.

    Returns:
        The runs, with the number of their parts.

    Raises:
        JournalError: the database can't be used.
    """
    query = "SELECT run_id, operation, client_no, base_url, parts FROM shared_runs WHERE run_id = ? AND client_no = coalesce(?, client_no)"
    with opened(url) as connection:
        rows = connection.execute(f"{query} ORDER BY client_no, operation", (run_id, client_no)).fetchall()
    return [(RunKey(found, operation, number, base_url, safe=False), parts) for found, operation, number, base_url, parts in rows]


def failures(url: DatabaseUrl, key: RunKey, success: frozenset[State]) -> Iterator[RecordOutcome]:
    """Reads the records of a shared run that did not succeed, some at a time, each as it is then.

    Args:
        url: of the database.
        key: the whole run.
        success: the states that count as success.

    Yields:
        The records, part by part, with their place in the source of the worker that read them last.

    Raises:
        JournalError: there is no such run, or the database can't be used.
    """
    with opened(url) as connection:
        yield from failures_in(connection, url, key, success)


def failures_in(connection: Any, url: DatabaseUrl, key: RunKey, success: frozenset[State]) -> Iterator[RecordOutcome]:
    """Reads the records of a shared run that did not succeed, for who reads more of the same moment. See `failures`.

    Args:
        connection: to the database; see `snapshot`.
        url: of the database, for error messages.
        key: the whole run.
        success: the states that count as success.

    Yields:
        The records.
    """
    words = ", ".join(f"'{state}'" for state in sorted(success))
    is_odd = f"state <> 'queued' AND (exceptions IS NOT NULL OR state <> 'settled' OR final NOT IN ({words}))"
    found = find(connection, key)
    for _, (run, *_) in _rows(connection, url, key, found.parts) if found is not None else ():
        for batch in ids(connection, run, is_odd):
            yield from _failures_of(connection, batch, success)


def _failures_of(connection: Any, batch: int, success: frozenset[State]) -> Iterator[RecordOutcome]:
    records, outcome, exceptions = read_row(connection, batch)
    keys, gone, places = keys_of(connection, batch), superseded(connection, batch), read_records(connection, batch)[2]
    for position in range(records):
        own = exceptions.get(position, outcome or NOT_AWAITED)
        if position not in gone and own.state not in success:
            yield RecordOutcome(places[position], keys[position], *own)
