"""Prunes journals in PostgreSQL: a shared run and all runs of a night as a whole or not at all. Called in a thread."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import msgspec

from .... import clock
from ....errors import ConfigurationError, JournalError
from ....postgres.connection import LOCKED
from ....postgres.lease import is_owned
from ...outcomes import State
from ...parts import part_of_name
from ..inspect import JournalRun, whole_run
from ..sqlite.inspect import Judged, Why, keep_together, last_activity, read_run, reasons_to_keep, remove_records, report_kept
from ..sqlite.sent_numbers import forget_numbers
from .inspect import opened
from .store import note_change

if TYPE_CHECKING:
    from ....database.url import DatabaseUrl
    from ..inspect import KeptBecause

__all__ = ["prune"]

_LONG: Final = 600.0
"""Seconds that a statement may take that removes a run."""

_CUSTOMERS: Final = "customers.create_batch"

_OF_CUSTOMERS: Final = 1
"""The part in the table `parts` of who sends the customers of a night. Part 0 is a run, or a state."""

_OWNED: Final = "SELECT unnest(?::bigint[]), unnest(?::int[])"


class _SentCustomers(msgspec.Struct):
    """What the report of the customers of a night says of them, as far as it is needed here."""

    counts: dict[State, int]
    elapsed: float = 0.0


@dataclass
class _Unit:
    """What is removed together: a run; or a shared run with all its parts; or the customers of a night, with the documents if it has any.

    Attributes:
        run_id: the name of the whole.
        operation: what it does.
        client_no: its client number.
        parts: the number of the parts of a shared run; 0 where it is none.
        base_url: the address.
        started: Unix time.
        runs: the ids of its runs.
        night: the id of the row of its customers, or None.
    """

    run_id: str
    operation: str
    client_no: int
    parts: int
    base_url: str
    started: float
    runs: list[int] = field(default_factory=list)
    night: int | None = None

    @property
    def name(self) -> tuple[str, str, int]:
        """What identifies the whole in the journal."""
        return self.run_id, self.operation, self.client_no

    @property
    def owned(self) -> tuple[list[int], list[int]]:
        """What a process takes to go on with it: runs and parts, as in the table `parts`."""
        of_night = [(-self.night, _OF_CUSTOMERS)] if self.night is not None else []
        owned = [*((run, 0) for run in self.runs), *of_night]
        return [run for run, _ in owned], [part for _, part in owned]


def prune(
    url: DatabaseUrl,
    run_id: str | None,
    older_than: float,
    *,
    with_failures: bool,
    unfinished: bool,
    keep: float,
    kept: Callable[[JournalRun, Sequence[KeptBecause]], object],
) -> int:
    """Removes runs. See `prune_journal`; `keep` is its `keep_numbers`, `kept` its `on_kept`."""
    removed = 0
    now = clock.unix_time()
    why = reasons_to_keep(now, older_than, with_failures=with_failures, unfinished=unfinished)
    with opened(url, statement=_LONG) as connection:
        with connection.transaction():
            forget_numbers(connection, now - keep)
        with connection.transaction(reads=True):
            units = _units(connection)
        _refuse_part(units, run_id)
        for night in _nights(unit for unit in units if run_id in {None, unit.run_id}):
            removed += report_kept(_prune(connection, night, why, keep), kept)
    return removed


def _refuse_part(units: Sequence[_Unit], run_id: str | None) -> None:
    part = part_of_name(run_id) if run_id is not None else None
    if part is not None and any((unit.run_id, unit.parts) == (part[0], part[2]) for unit in units):
        raise ConfigurationError(f"the run {run_id!r} is a part of the shared run {part[0]!r}, which is pruned as a whole: give that name")


def _nights(units: Iterable[_Unit]) -> list[list[_Unit]]:
    """Returns the units by night, the oldest first: all of a name and a client number, since whoever repeats a night needs all of them."""
    found: dict[tuple[str, int], list[_Unit]] = {}
    for unit in sorted(units, key=lambda unit: (min(unit.runs, default=0), unit.started)):
        found.setdefault((unit.run_id, unit.client_no), []).append(unit)
    return list(found.values())


def _units(connection: Any) -> list[_Unit]:
    """Finds what can be removed."""
    query = "SELECT run_id, operation, client_no, parts, base_url, started FROM shared_runs WHERE pruned IS NULL ORDER BY started"
    shared = {row[:3]: _Unit(*row) for row in connection.execute(query).fetchall()}
    by_name = {(unit.run_id, unit.client_no): unit for unit in shared.values()}
    single: list[_Unit] = []
    query = "SELECT id, run_id, operation, client_no, base_url, started FROM runs WHERE pruned IS NULL ORDER BY id"
    for run, run_id, operation, client_no, base_url, started in connection.execute(query).fetchall():
        part = part_of_name(run_id)
        whole = shared.get((part[0], operation, client_no)) if part is not None else None
        if part is None or whole is None or whole.parts != part[2]:
            whole = _Unit(run_id, operation, client_no, 0, base_url, started)
            single.append(whole)
            if operation == _CUSTOMERS:
                by_name.setdefault((run_id, client_no), whole)
        whole.runs.append(run)
    query = "SELECT id, run_id, client_no, base_url, started FROM nights ORDER BY id"
    for night, run_id, client_no, base_url, started in connection.execute(query).fetchall():
        of = by_name.get((run_id, client_no))
        if of is None:
            of = _Unit(run_id, _CUSTOMERS, client_no, 0, base_url, started)
            single.append(of)
        of.night = night
    return [*shared.values(), *single]


def _prune(connection: Any, night: Sequence[_Unit], why: Why, keep: float) -> list[Judged]:
    """Removes all units of a night in one transaction, unless one has a reason to stay. What another process has removed is left out."""
    # Two that prune lock them in the same order.
    night = sorted(night, key=lambda unit: unit.name)
    try:
        with connection.transaction():
            free = [_lock(connection, unit) for unit in night]
            there = [(unit, is_free) for unit, is_free in zip(night, free, strict=True) if not _is_gone(connection, unit)]
            last = max((last_activity(connection, run) for unit, _ in there for run in unit.runs), default=0.0)
            if there and _has_grown(connection, night):
                return [_running(connection, unit) for unit, _ in there]
            judged = [_judge(connection, unit, why, last) if is_free else _running(connection, unit) for unit, is_free in there]
            if not keep_together(judged):
                for unit, _ in there:
                    _remove(connection, unit, keep)
            return judged
    except JournalError as exc:
        # Its owner has a transaction open, or somebody is about to begin it.
        if getattr(exc.__cause__, "sqlstate", None) != LOCKED:
            raise
    with connection.transaction(reads=True):
        return [_running(connection, unit) for unit in night if not _is_gone(connection, unit)]


def _has_grown(connection: Any, night: Sequence[_Unit]) -> bool:
    """Tells whether something of a night was begun after its units were found."""
    of_name = "WHERE run_id = ? AND client_no = ?"
    query = (
        f"SELECT 1 FROM runs {of_name} AND pruned IS NULL AND id <> ALL(?::bigint[]) "  # noqa: S608 - our own words
        f"UNION ALL SELECT 1 FROM shared_runs {of_name} AND pruned IS NULL AND operation <> ALL(?::text[]) "
        f"UNION ALL SELECT 1 FROM nights {of_name} AND id <> ALL(?::bigint[]) LIMIT 1"
    )
    name = night[0].run_id, night[0].client_no
    runs = [run for unit in night for run in unit.runs]
    nights = [unit.night for unit in night if unit.night is not None]
    values = (*name, runs, *name, [unit.operation for unit in night if unit.parts], *name, nights)
    return connection.execute(query, values).fetchone() is not None


def _running(connection: Any, unit: _Unit) -> Judged:
    return _summary(connection, unit, running=True), ["running"]


def _judge(connection: Any, unit: _Unit, why: Why, last: float) -> Judged:
    """Returns a unit as a run, and the reasons why it is not removed; last: Unix time of the last activity of the night."""
    run = _summary(connection, unit, running=False)
    reasons = why(run, max(last, unit.started))
    if unit.night is not None:
        customers, until = _customers(connection, unit)
        of_customers = why(customers, max(last, unit.started, until))
        run = run if reasons else customers
        reasons.extend(reason for reason in of_customers if reason not in reasons)
    return run, reasons


def _lock(connection: Any, unit: _Unit) -> bool:
    """Locks all that is removed until the end of the transaction; returns False where a process is going on with some of it.

    So nobody can take a part meanwhile, nor begin one.
    """
    if unit.parts:
        query = "SELECT parts FROM shared_runs WHERE run_id = ? AND operation = ? AND client_no = ? FOR UPDATE"
        connection.execute(query, unit.name).fetchone()
        # A part may have been begun since.
        unit.runs = _runs_of(connection, unit)
    runs, parts = unit.owned
    connection.execute(f"INSERT INTO parts (run, part) {_OWNED} ON CONFLICT DO NOTHING", (runs, parts))
    rows = f"SELECT run FROM parts WHERE (run, part) IN ({_OWNED}) ORDER BY run, part FOR UPDATE"  # noqa: S608 - our own words
    connection.execute(rows, (runs, parts)).fetchall()
    return not any(is_owned(connection, run, part) for run, part in zip(runs, parts, strict=True))


def _is_gone(connection: Any, unit: _Unit) -> bool:
    if unit.parts:
        query, names = "SELECT 1 FROM shared_runs WHERE run_id = ? AND operation = ? AND client_no = ? AND pruned IS NULL", unit.name
        return connection.execute(query, names).fetchone() is None
    if unit.runs:
        return connection.execute("SELECT 1 FROM runs WHERE id = ? AND pruned IS NULL", (unit.runs[0],)).fetchone() is None
    return connection.execute("SELECT 1 FROM nights WHERE id = ?", (unit.night,)).fetchone() is None


def _runs_of(connection: Any, unit: _Unit) -> list[int]:
    query = "SELECT id, run_id FROM runs WHERE operation = ? AND client_no = ? AND pruned IS NULL ORDER BY id"
    rows = connection.execute(query, (unit.operation, unit.client_no)).fetchall()
    return [run for run, run_id in rows if (part := part_of_name(run_id)) is not None and (part[0], part[2]) == (unit.run_id, unit.parts)]


def _summary(connection: Any, unit: _Unit, *, running: bool) -> JournalRun:
    if not unit.parts and unit.runs:
        return read_run(connection, unit.runs[0], keys=False, running=running)
    if not unit.parts:
        return _customers(connection, unit, running=running)[0]
    parts = [read_run(connection, run, keys=False, running=running) for run in unit.runs]
    begun = JournalRun(unit.run_id, unit.operation, unit.client_no, unit.base_url, 0, unit.started, None, 0.0, running, {}, [], [])
    return whole_run(unit.run_id, parts, unit.parts) if parts else begun


def _customers(connection: Any, unit: _Unit, *, running: bool = False) -> tuple[JournalRun, float]:
    """Returns the customers of a night as a run, and the Unix time until which they were sent."""
    sent, error, report = connection.execute("SELECT sent, error, report FROM nights WHERE id = ?", (unit.night,)).fetchone()
    found = msgspec.json.decode(report, type=_SentCustomers) if report is not None else _SentCustomers({})
    until = unit.started + found.elapsed
    # Where they could not be sent the last time, the night is not over.
    ended = until if report is not None and error is None else None
    named = (unit.run_id, _CUSTOMERS, unit.client_no, unit.base_url)
    counts: dict[State, int] = {state: number for state, number in found.counts.items() if number}
    return JournalRun(*named, sent, unit.started, ended, 0.0, running, counts, [], []), until


def _remove(connection: Any, unit: _Unit, keep: float) -> None:
    for run in unit.runs:
        remove_records(connection, run, keep)
    connection.execute("DELETE FROM reports WHERE run = ANY(?)", (unit.runs,))
    # Whoever had a part, and is only frozen, is refused when it wakes up.
    taken = f"UPDATE parts SET epoch = epoch + 1, owner = NULL, lease_until = NULL WHERE (run, part) IN ({_OWNED})"  # noqa: S608
    connection.execute(taken, unit.owned)
    if unit.night is not None:
        connection.execute("DELETE FROM failed_customers WHERE night = ?", (unit.night,))
        connection.execute("DELETE FROM nights WHERE id = ?", (unit.night,))
    if unit.parts:
        connection.execute("DELETE FROM failures WHERE run_id = ? AND operation = ? AND client_no = ?", unit.name)
        statement = "UPDATE shared_runs SET pruned = ? WHERE run_id = ? AND operation = ? AND client_no = ?"
        connection.execute(statement, (clock.unix_time(), *unit.name))
    if unit.runs:
        # As the last: all senders of the account wait for it.
        note_change(connection, unit.operation, unit.client_no, unit.base_url)
