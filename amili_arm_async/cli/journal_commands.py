"""`amili-arm status`, `prune`, `reconcile` and `replay`: their arguments, and what they make of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import typer

from ..bulk.journal.inspect import (
    KEEP_NUMBERS,
    OLDER_THAN,
    JournalRun,
    KeptBecause,
    adopt_journal,
    prune_journal,
    read_journal,
    stale_reason,
)
from ..config import BulkOptions, Reconcile, check_origin
from ..errors import ArmError, ConfigurationError, JournalError
from . import output
from .options import (
    BaseUrl,
    Bisect,
    ClientId,
    ClientNo,
    Concurrency,
    Config,
    Deadline,
    Grace,
    IdentityUrl,
    MaxBytes,
    MaxRecords,
    Patience,
    Quiet,
    ResendAbsent,
    ServerMessages,
    Settle,
    UserId,
    settings,
)
from .output import STALE
from .reconcile import Reconciling
from .replay import Replay
from .runner import GRACE, run_to_end
from .signals import SignalHandler
from .status import as_json as runs_as_json
from .status import print_kept, print_runs

__all__ = ["adopt", "prune", "reconcile", "replay", "status"]

ResultT = TypeVar("ResultT")

_DEFAULTS: Final = BulkOptions()
_DAY: Final = 86_400


Journal = Annotated[str, typer.Argument(help="The journal, as it was given to push.")]


def status(
    journal: Journal,
    keys: Annotated[bool, typer.Option("--keys", help="Also show the numbers of the records that are open or unknown.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON on standard output.")] = False,
) -> None:
    """Shows the runs of a journal, also while one is going on: how many records are in which state, and what is open or unknown."""
    runs = _of(journal, lambda: read_journal(journal, keys=keys, pruned=True))
    stale = _of(journal, lambda: stale_reason(journal))
    if stale is not None:
        output.warn(f"this journal is stale: {stale}. {STALE}")
    if as_json:
        output.print_json({**runs_as_json(runs, keys=keys), "stale": stale})
    else:
        print_runs(runs, keys=keys)


def adopt(journal: Journal) -> None:
    """Says that a journal is the right one, though its file was moved or copied on purpose.

    Do it only for the journal that was used last, and use no other copy of it: what it does not know is sent again.
    """
    reason = _of(journal, lambda: adopt_journal(journal))
    if reason is None:
        typer.echo("The journal is not stale: nothing was changed.")
    else:
        typer.echo(f"It was stale: {reason}.\nNow its mark says that it is the right one: what it does not know is sent without a look-up.")


def prune(
    journal: Journal,
    run_id: Annotated[str | None, typer.Option(help="Only this run.")] = None,
    older_than_days: Annotated[float, typer.Option(min=0, help="Only runs in which nothing was done for so many days.")] = OLDER_THAN
    / _DAY,
    with_failures: Annotated[
        bool, typer.Option("--with-failures", help="Also runs in which records are failed, rejected, invalid or blocked.")
    ] = False,
    unfinished: Annotated[
        bool, typer.Option("--unfinished", help="Also runs that were cut off, or in which records are accepted, unknown or not sent.")
    ] = False,
    keep_numbers: Annotated[
        float, typer.Option(min=0, help="Days for which the numbers of the documents of a removed run are kept: no other run sends them.")
    ] = KEEP_NUMBERS / _DAY,
) -> None:
    """Removes old runs from a journal: those that ended 30 days ago or more, and in which every record succeeded.

    What else is to be removed must be asked for. The name of a removed run stays: that run is never gone on with, or begun again. The
    numbers of its documents stay too, for --keep-numbers days.
    """
    kept: list[tuple[JournalRun, Sequence[KeptBecause]]] = []

    async def removing() -> int:
        return await prune_journal(
            journal,
            run_id=run_id,
            older_than=older_than_days * _DAY,
            with_failures=with_failures,
            unfinished=unfinished,
            keep_numbers=keep_numbers * _DAY,
            on_kept=lambda run, why: kept.append((run, why)),
        )

    removed = _of(journal, removing)
    typer.echo(f"{removed:,} runs removed" if removed != 1 else "1 run removed")
    if run_id is not None and not removed and not kept:
        gone = [run for run in _of(journal, lambda: read_journal(journal, pruned=True)) if run.run_id == run_id]
        output.warn(f"the journal has no run {run_id!r}" if not gone else f"the run {run_id!r} was pruned before: only its name is left")
    print_kept(kept)


def _of(journal: str, ask: Callable[[], Coroutine[Any, Any, ResultT]]) -> ResultT:
    """Asks something of a journal; where there is none, it was named wrongly."""
    _check_is_there(journal)
    try:
        return asyncio.run(ask())
    except ArmError as exc:
        output.fail(str(exc), code=1)


def _check_is_there(file: str) -> None:
    if not Path(file).is_file():
        output.fail(f"there is no file {file}")


def reconcile(
    journal: Journal,
    run_id: Annotated[str | None, typer.Option(help="Only this run.")] = None,
    config: Config = None,
    base_url: BaseUrl = None,
    client_no: ClientNo = None,
    user_id: UserId = None,
    identity_url: IdentityUrl = None,
    client_id: ClientId = None,
    settle: Settle = None,
    resend_absent: ResendAbsent = False,
    # Not what [bulk] says of batches.
    side_by_side: Annotated[int, typer.Option("--concurrency", help="Documents looked up side by side.")] = 4,
    patience: Patience = _DEFAULTS.patience,
    as_json: Annotated[bool, typer.Option("--json", help="The report as one line of JSON on standard output.")] = False,
) -> None:
    """Finds out what became of the documents of a journal whose fate is open: asks for batch results, then looks up those that are
    unknown, and those that were accepted and that their result does not explain.

    What it finds is in the journal. It can be interrupted and begun again at any time.
    """
    _check_is_there(journal)
    try:
        made = Reconciling(
            settings(base_url, client_no, user_id, identity_url, client_id).client(),
            journal,
            run_id,
            settle,
            resend_absent,
            side_by_side,
            BulkOptions(patience=patience),
        )
    except ConfigurationError as exc:
        output.fail(str(exc))
    with SignalHandler(durable=True) as interrupts:
        code = run_to_end(made.run(), interrupts)
        if as_json:
            output.print_json({**made.as_json(), "ok": made.ok and not code})
        else:
            made.print_table()
        made.name_failures()
    raise typer.Exit(code or (0 if made.ok else 1))


def replay(
    file: Annotated[str, typer.Argument(help="A dead letter file, as `push --dead-letter` writes it; it is rewritten.")],
    config: Config = None,
    base_url: BaseUrl = None,
    client_no: ClientNo = None,
    user_id: UserId = None,
    identity_url: IdentityUrl = None,
    client_id: ClientId = None,
    max_records: MaxRecords = _DEFAULTS.max_records,
    max_bytes: MaxBytes = _DEFAULTS.max_bytes,
    concurrency: Concurrency = None,
    bisect: Annotated[Bisect, typer.Option(help="Look for the bad record of a refused batch: in safe writes, all, or none.")] = Bisect.safe,
    patience: Patience = _DEFAULTS.patience,
    deadline: Deadline = _DEFAULTS.deadline,
    settle: Annotated[
        float | None,
        typer.Option(
            help="Seconds after which a document that is not there won't come any more. [default: 0, with --resend-absent as push]"
        ),
    ] = None,
    resend_absent: ResendAbsent = False,
    grace: Grace = GRACE,
    server_messages: ServerMessages = False,
    extra_fields: Annotated[
        bool, typer.Option("--extra-fields", help="Send lines with fields that the API's pages do not show; without it they stay.")
    ] = False,
    quiet: Quiet = False,
    as_json: Annotated[bool, typer.Option("--json", help="The report as one line of JSON on standard output.")] = False,
) -> None:
    """Sends the records of a dead letter file again; lines that make it are taken out of the file.

    A record that could not be read (state invalid) is never sent: mend the source, and run it again with the same --run-id.

    A document that may have been taken is never sent for that: it is looked up, or left to the journal of its run. Each line goes
    through that journal, or through FILE.journal where its run had none, so a replay that was killed can be begun again. Keep both files
    where they are until all lines are gone, and replay the file itself, not a copy: a document whose journal is gone is not sent.
    """
    _check_is_there(file)
    try:
        found = settings(base_url, client_no, user_id, identity_url, client_id)
        reconciled = Reconcile(settle=0.0 if settle is None and not resend_absent else settle, resend_absent=resend_absent)
        options = BulkOptions(
            max_records=max_records,
            max_bytes=max_bytes,
            concurrency=concurrency,
            bisect=bisect.value,
            patience=patience,
            deadline=deadline,
        )
        reconciled.check_against(deadline)
        arm = found.client()
        # As the client writes it, so that it can be compared.
        address = check_origin("base_url", found.value("connection.base_url"))
        made = Replay(arm, file, address, options, reconciled, grace, quiet, extra_fields)
    except ConfigurationError as exc:
        output.fail(str(exc))
    except OSError as exc:
        output.fail(f"{file} can't be read: {exc.strerror}")
    raise typer.Exit(_replay(made, server_messages=server_messages, as_json=as_json))


def _replay(made: Replay, *, server_messages: bool, as_json: bool) -> int:
    with SignalHandler(durable=True) as interrupts, closing(made):
        try:
            made.prepare()
            code = run_to_end(made.run(), interrupts)
            made.finish()
        except OSError as exc:
            output.warn(f"{made.path} can't be written: {exc.strerror}. What was sent is in the journals: mend that, and replay again")
            return 1
        except JournalError as exc:
            output.warn(f"nothing was sent: {exc}")
            return 1
        if as_json:
            output.print_json({**made.as_json(), "ok": made.ok and not code})
        else:
            made.print_table()
        made.tell(server_messages=server_messages)
        return code or (2 if made.is_for_others else 0 if made.ok else 1)
