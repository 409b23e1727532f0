"""`amili-arm status`, `prune`, `adopt` and `migrate`: show and maintain the runs of a journal.

No number of a record is shown unless --keys asks for it.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final, TypeAlias, TypeVar

import typer

from ..bulk.journal.inspect import (
    KEEP_NUMBERS,
    OLDER_THAN,
    JournalBatch,
    JournalRun,
    KeptBecause,
    adopt_journal,
    prune_journal,
    read_journal,
    stale_reason,
    whole_run,
)
from ..bulk.outcomes import STATES
from ..bulk.parts import part_of_name
from ..database.url import database_url, shown
from ..errors import ArmError, counted
from ..nightly.shared_report import CustomersOfNight
from . import output
from .command import acting_command, command
from .options import JournalArgument, JsonOption

__all__ = ["adopt", "migrate", "prune", "status"]

ResultT = TypeVar("ResultT")

Nights: TypeAlias = Mapping[tuple[str, int, str], CustomersOfNight]
"""By the name of the night, the client number and the address."""

_DAY: Final = 86_400

_SHOWN: Final = 50
"""Maximum number of batches shown of a run; `--json` gives all."""

_SHOWN_PRUNED: Final = 10

_OPERATIONS: Final[Mapping[str, str]] = {
    "customers.create_batch": "create customers",
    "customers.update_batch": "update customers",
    "documents.create_batch": "create documents",
}

_KEPT: Final[Mapping[KeptBecause, str]] = {
    "running": "it is in progress",
    "recent": "it is not old enough: see --older-than-days",
    "failures": "it has failed records: --with-failures removes it",
    "unfinished": "it is unfinished, or has records whose outcome is unknown: reconcile it, or --unfinished removes it",
    "night": "another run of its name is kept, and a night is repeated with both",
}


@command
def status(
    journal: JournalArgument,
    client_no: Annotated[int | None, typer.Option(metavar="N", help="Only the runs of this client number.")] = None,
    keys: Annotated[bool, typer.Option("--keys", help="Also show the numbers of the records that are pending or unknown.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Shows the runs of a journal, even while one is in progress: records by state, and the batches that are pending or unknown."""
    found = _read(journal, lambda: read_journal(journal, keys=keys, pruned=True))
    runs = [run for run in found if client_no is None or run.client_no == client_no]
    stale = _read(journal, lambda: stale_reason(journal))
    if stale is not None:
        output.warn(f"this journal is stale: {stale}. {output.STALE}")
    nights = {key: night for key, night in _nights(journal).items() if client_no is None or key[1] == client_no}
    if as_json:
        output.print_json({**_runs_as_json(journal, runs, keys=keys), "nights": _nights_as_json(nights), "stale": stale})
    else:
        _print_runs(journal, runs, nights, keys=keys)


@acting_command
def adopt(journal: JournalArgument) -> None:
    """Declares valid a journal whose file was moved or copied on purpose.

    Do this only for the journal that was used last, and use no other copy of it: what it does not know is sent again.
    """
    reason = _read(journal, lambda: adopt_journal(journal))
    if reason is None:
        typer.echo("The journal is not stale: nothing was changed.")
    else:
        typer.echo(f"It was stale: {reason}.\nIt is now marked as valid: what it does not know is sent without a look-up.")


@command
def migrate(
    database: Annotated[str, typer.Argument(metavar="DATABASE", help="The URL of a PostgreSQL database: postgresql://host/database.")],
) -> None:
    """Makes the tables of journals in a PostgreSQL database, or brings them to this version.

    The first run does so, too, where its role may. Give this command a role that may create a schema, and the runs one that may not.
    """
    try:
        if (url := database_url(database)) is None:
            output.fail("give the URL of a PostgreSQL database: postgresql://host/database")
        from ..postgres.schema import prepare_schema  # noqa: PLC0415 - needs psycopg

        is_changed = prepare_schema(url, "database")
    except ArmError as exc:
        output.fail(str(exc), code=1)
    typer.echo("The tables are ready." if is_changed else "The tables are up to date: nothing was changed.")


@acting_command
def prune(
    journal: JournalArgument,
    run_id: Annotated[str | None, typer.Option(metavar="NAME", help="Only this run.")] = None,
    older_than_days: Annotated[
        float, typer.Option(min=0, metavar="DAYS", help="Only runs with no activity for this many days.")
    ] = OLDER_THAN / _DAY,
    with_failures: Annotated[
        bool, typer.Option("--with-failures", help="Also runs with records that are failed, rejected, invalid or blocked.")
    ] = False,
    unfinished: Annotated[
        bool, typer.Option("--unfinished", help="Also runs that were cut off, or with records that are accepted, unknown or not sent.")
    ] = False,
    keep_numbers: Annotated[
        float,
        typer.Option(
            min=0, metavar="DAYS", help="How long to keep the document numbers of a removed run: no other run sends documents with them."
        ),
    ] = KEEP_NUMBERS / _DAY,
) -> None:
    """Removes old runs from a journal: by default those that ended at least 30 days ago with every record succeeded.

    Runs of one name and client number, such as the customers and the documents of a night, are removed together or not at all. So is a
    run in parts.

    The name of a removed run stays, so that the run is never resumed or started again. Its document numbers stay too, for
    --keep-numbers days.
    """
    kept: list[tuple[JournalRun, Sequence[KeptBecause]]] = []

    async def remove() -> int:
        return await prune_journal(
            journal,
            run_id=run_id,
            older_than=older_than_days * _DAY,
            with_failures=with_failures,
            unfinished=unfinished,
            keep_numbers=keep_numbers * _DAY,
            on_kept=lambda run, why: kept.append((run, why)),
        )

    removed = _read(journal, remove)
    typer.echo(f"{counted(removed, 'run')} removed")
    if run_id is not None and not removed and not kept:
        there = _read(journal, lambda: read_journal(journal, pruned=True))
        pruned = [run for run, _ in _joined(journal, [run for run in there if run.pruned is not None]) if run.run_id == run_id]
        output.warn(f"the journal has no run {run_id!r}" if not pruned else f"the run {run_id!r} was pruned before: only its name is left")
    _print_kept(kept)


def _read(journal: str, action: Callable[[], Coroutine[Any, Any, ResultT]]) -> ResultT:
    """Reads or changes a journal. A missing file is wrong use; an error of the journal ends with 1."""
    output.require_file(journal)
    try:
        return asyncio.run(action())
    except ArmError as exc:
        output.fail(str(exc), code=1)


# --- what is shown ------------------------------------------------------------------------------------------------------------


def _runs_as_json(journal: str, runs: Sequence[JournalRun], *, keys: bool) -> dict[str, list[dict[str, Any]]]:
    present = [run for run in runs if run.pruned is None]
    return {
        "runs": [_as_json(run, keys=keys) for run in present],
        "pruned": [{**_named(run), "pruned": _time(run.pruned)} for run, _ in _joined(journal, [run for run in runs if run.pruned])],
    }


def _named(run: JournalRun) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "operation": run.operation,
        "client_no": run.client_no,
        "base_url": run.base_url,
        "attempts": run.attempts,
        "started": _time(run.started),
        "ended": _time(run.ended),
    }


def _as_json(run: JournalRun, *, keys: bool) -> dict[str, Any]:
    part = part_of_name(run.run_id)
    return {
        **_named(run),
        "shared_run": {"run_id": part[0], "part": part[1], "parts": part[2]} if part is not None else None,
        "state": _state(run),
        "running": run.running,
        "counts": {state: run.counts.get(state, 0) for state in STATES},
        "open_batches": [_batch(batch, keys=keys) for batch in run.open_batches],
        "unknown_batches": [_batch(batch, keys=keys) for batch in run.unknown_batches],
    }


def _batch(batch: JournalBatch, *, keys: bool) -> dict[str, Any]:
    fields = {
        "batch_uuid": batch.batch_uuid,
        "records": batch.records,
        "state": batch.state,
        "reason": batch.reason,
        "sent": _time(batch.sent),
    }
    return {**fields, "keys": list(batch.keys)} if keys else fields


def _print_runs(journal: str, runs: Sequence[JournalRun], nights: Nights, *, keys: bool) -> None:
    if not runs and not nights:
        typer.echo("The journal holds no run.")
    nights = dict(nights)
    # A shared run is pruned as a whole.
    pruned = [run for run, _ in _joined(journal, [run for run in runs if run.pruned is not None])]
    for run, parts in _joined(journal, [run for run in runs if run.pruned is None]):
        title = _title(run)
        night = nights.pop((run.run_id, run.client_no, run.base_url), None) if parts is not None else None
        rows = [
            ("state", _state(run)) if parts is None else ("parts", parts),
            *([("customers", _customers_in_words(night))] if night is not None else []),
            ("started", str(_time(run.started))),
            *([("attempts", f"{run.attempts:,}")] if run.attempts > 1 else []),
            *([("ended", str(_time(run.ended)))] if run.ended is not None else []),
            (),
            *[(state, f"{run.counts[state]:,}") for state in STATES if run.counts.get(state)],
        ]
        output.table(title, ("", ""), rows)
        for line in (*_batch_lines("open", run.open_batches, keys=keys), *_batch_lines("unknown", run.unknown_batches, keys=keys)):
            output.say(line, err=False)
        if not run.running and (run.open_batches or run.unknown_batches) and run.operation.startswith("documents."):
            command = f"amili-arm reconcile {shlex.quote(shown(journal))} --run-id {shlex.quote(run.run_id)}"
            output.say(f"`{command}` asks for the results of what is open, and looks up what is unknown", err=False)
    for (run_id, client, base_url), customers in nights.items():
        title = f"{output.plain(run_id)}: customers of a night in parts, client {client}, {output.plain(base_url)}"
        output.table(title, ("", ""), [("customers", _customers_in_words(customers)), ("started", str(_time(customers.started)))])
    for run in pruned[-_SHOWN_PRUNED:]:
        typer.echo(f"pruned {_time(run.pruned)}: {_title(run)}; it can't be resumed, or started again")
    if len(pruned) > _SHOWN_PRUNED:
        typer.echo(f"... and {counted(len(pruned) - _SHOWN_PRUNED, 'run')} pruned before these; --json shows all")


def _nights(journal: str) -> Nights:
    """Returns what is known of the customers of nights in parts, which only a database has."""
    if (url := database_url(journal)) is None:
        return {}
    from ..nightly.shared_customers import read_nights  # noqa: PLC0415 - needs psycopg

    try:
        return read_nights(url)
    except ArmError as exc:
        output.fail(str(exc), code=1)


def _nights_as_json(nights: Nights) -> list[dict[str, Any]]:
    return [
        {
            "run_id": run_id,
            "client_no": client_no,
            "base_url": base_url,
            "started": _time(customers.started),
            "running": customers.running,
            "sent": customers.report is not None,
            "counts": dict(customers.report.counts) if customers.report is not None else None,
            "error": customers.error,
        }
        for (run_id, client_no, base_url), customers in nights.items()
    ]


def _customers_in_words(customers: CustomersOfNight) -> str:
    said = [customers.not_sent] if customers.not_sent is not None else []
    if customers.report is not None:
        said = [", ".join(f"{number:,} {state}" for state, number in customers.report.counts.items() if number) or "none"]
    return "; ".join([*said, *(["being sent"] if customers.running else [])])


def _joined(journal: str, runs: Sequence[JournalRun]) -> Iterator[tuple[JournalRun, str | None]]:
    """Yields the runs; of a run in parts, which only a database has, all parts as one, with what is said of them."""
    shared: dict[tuple[str, str, int, int], list[JournalRun]] = {}
    for run in runs:
        part = part_of_name(run.run_id) if database_url(journal) is not None else None
        if part is not None:
            shared.setdefault((part[0], run.operation, run.client_no, part[2]), []).append(run)
    for run in runs:
        part = part_of_name(run.run_id)
        of = shared.pop((part[0], run.operation, run.client_no, part[2]), None) if part is not None else None
        if of is not None and part is not None:
            yield whole_run(part[0], of, part[2]), _parts_in_words(of, part[2])
        elif part is None or database_url(journal) is None:
            yield run, None


def _parts_in_words(begun: Sequence[JournalRun], parts: int) -> str:
    running = sum(part.running for part in begun)
    done = sum(part.ended is not None and not part.running for part in begun)
    others = {"running": running, "cut off": len(begun) - running - done, "not begun": parts - len(begun)}
    return ", ".join([f"{done} of {parts} done", *(f"{number} {word}" for word, number in others.items() if number)])


def _print_kept(kept: Sequence[tuple[JournalRun, Sequence[KeptBecause]]]) -> None:
    """Prints on standard error which runs were not removed, and which option removes them."""
    for run, why in kept[:_SHOWN]:
        counts = ", ".join(f"{run.counts[state]:,} {state}" for state in STATES if run.counts.get(state))
        output.say(f"kept {_title(run)} ({counts or 'no record'}): {'; '.join(_KEPT[reason] for reason in why)}")
    if len(kept) > _SHOWN:
        typer.echo(f"... and {counted(len(kept) - _SHOWN, 'more run')} kept; `amili-arm status` shows all", err=True)


def _title(run: JournalRun) -> str:
    return (
        f"{output.plain(run.run_id)}: {_OPERATIONS.get(run.operation, run.operation)}, client {run.client_no}, {output.plain(run.base_url)}"
    )


def _batch_lines(name: str, batches: Sequence[JournalBatch], *, keys: bool) -> Iterator[str]:
    for batch in batches[:_SHOWN]:
        reason = f" ({output.plain(batch.reason)})" if batch.reason else ""
        parts = [f"{name}: {counted(batch.records, 'record')}{reason}"]
        parts += [f"sent {_time(batch.sent)}"] if batch.sent is not None else []
        parts += [f"batchUuid {output.plain(batch.batch_uuid)}"] if batch.batch_uuid is not None else []
        yield ", ".join(parts)
        if keys:
            yield from (f"    {output.plain(key) if key is not None else '(without key)'}" for key in batch.keys)
    if len(batches) > _SHOWN:
        yield f"... and {counted(len(batches) - _SHOWN, 'more batch')} ({name}); --json shows all"


def _state(run: JournalRun) -> str:
    if run.running:
        return "running"
    if run.ended is None:
        return "cut off"
    return "finished" if run.is_finished else "ended, not all settled"


def _time(seconds: float | None) -> str | None:
    """Returns a Unix time as local time."""
    return datetime.fromtimestamp(seconds, UTC).astimezone().isoformat(" ", "seconds") if seconds is not None else None
