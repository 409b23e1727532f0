"""What `amili-arm status` shows of a journal: its runs, and what is open in them. No key of a record, unless that was asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import typer

from ..bulk.journal.inspect import JournalBatch, JournalRun, KeptBecause
from ..bulk.outcomes import STATES
from . import output

__all__ = ["as_json", "print_kept", "print_runs"]

_SHOWN: Final = 50
"""Batches of a run that are shown at the most; `--json` gives all."""

_SHOWN_PRUNED: Final = 10

_KEPT: Final[Mapping[KeptBecause, str]] = {
    "running": "it is going on",
    "recent": "it is not old enough: see --older-than-days",
    "failures": "records did not make it: --with-failures removes it",
    "unfinished": "it is not done, or nobody knows what became of some records: reconcile it, or --unfinished removes it",
}


def as_json(runs: Sequence[JournalRun], *, keys: bool) -> dict[str, list[dict[str, Any]]]:
    """For a program."""
    there = [run for run in runs if run.pruned is None]
    return {
        "runs": [_as_json(run, keys=keys) for run in there],
        "pruned": [{**_named(run), "pruned": _time(run.pruned)} for run in runs if run.pruned is not None],
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
    return {
        **_named(run),
        "state": _state(run),
        "running": run.running,
        "counts": {state: run.counts.get(state, 0) for state in STATES},
        "open_batches": [_batch(batch, keys=keys) for batch in run.open_batches],
        "unknown_batches": [_batch(batch, keys=keys) for batch in run.unknown_batches],
    }


def _batch(batch: JournalBatch, *, keys: bool) -> dict[str, Any]:
    shown = {
        "batch_uuid": batch.batch_uuid,
        "records": batch.records,
        "state": batch.state,
        "reason": batch.reason,
        "sent": _time(batch.sent),
    }
    return {**shown, "keys": list(batch.keys)} if keys else shown


def print_runs(runs: Sequence[JournalRun], *, keys: bool) -> None:
    """For a person, on standard output."""
    if not runs:
        typer.echo("The journal holds no run.")
    pruned = [run for run in runs if run.pruned is not None]
    for run in runs:
        if run.pruned is not None:
            continue
        title = _title(run)
        rows = [
            ("state", _state(run)),
            ("begun", f"{run.attempts:,} x, first {_time(run.started)}"),
            *([("ended", str(_time(run.ended)))] if run.ended is not None else []),
            (),
            *[(state, f"{run.counts[state]:,}") for state in STATES if run.counts.get(state)],
        ]
        output.table(title, ("", ""), rows)
        for line in (*_lines("open", run.open_batches, keys=keys), *_lines("unknown", run.unknown_batches, keys=keys)):
            typer.echo(line)
    for run in pruned[-_SHOWN_PRUNED:]:
        typer.echo(f"pruned {_time(run.pruned)}: {_title(run)}; it can't be gone on with, or begun again")
    if len(pruned) > _SHOWN_PRUNED:
        typer.echo(f"... and {len(pruned) - _SHOWN_PRUNED:,} runs that were pruned before these; --json shows all")


def print_kept(kept: Sequence[tuple[JournalRun, Sequence[KeptBecause]]]) -> None:
    """Says on standard error which runs were not removed, and what would remove them."""
    for run, why in kept[:_SHOWN]:
        counts = ", ".join(f"{run.counts[state]:,} {state}" for state in STATES if run.counts.get(state))
        typer.echo(f"kept {_title(run)} ({counts or 'no record'}): {'; '.join(_KEPT[reason] for reason in why)}", err=True)
    if len(kept) > _SHOWN:
        typer.echo(f"... and {len(kept) - _SHOWN:,} more runs are kept; `amili-arm status` shows all", err=True)


def _title(run: JournalRun) -> str:
    return f"{output.plain(run.run_id)}: {run.operation}, client {run.client_no}, {output.plain(run.base_url)}"


def _lines(name: str, batches: Sequence[JournalBatch], *, keys: bool) -> Iterator[str]:
    for batch in batches[:_SHOWN]:
        reason = f" ({output.plain(batch.reason)})" if batch.reason else ""
        words = [f"{name}: {batch.records:,} records{reason}"]
        words += [f"sent {_time(batch.sent)}"] if batch.sent is not None else []
        words += [f"batchUuid {output.plain(batch.batch_uuid)}"] if batch.batch_uuid is not None else []
        yield ", ".join(words)
        if keys:
            yield from (f"    {output.plain(key) if key is not None else '(without key)'}" for key in batch.keys)
    if len(batches) > _SHOWN:
        yield f"... and {len(batches) - _SHOWN:,} more batches ({name}); --json shows all"


def _state(run: JournalRun) -> str:
    if run.running:
        return "running"
    if run.ended is None:
        return "cut off"
    return "finished" if run.is_finished else "ended, not all settled"


def _time(seconds: float | None) -> str | None:
    """A Unix time as people of this machine write it."""
    return datetime.fromtimestamp(seconds, UTC).astimezone().isoformat(" ", "seconds") if seconds is not None else None
