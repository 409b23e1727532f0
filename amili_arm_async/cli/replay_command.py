"""`amili-arm replay`: sends the records of a dead letter file again."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated

import typer

from ..config import Reconcile, check_origin
from ..errors import JournalError
from . import output
from .options import Bisect, BisectOption, ConnectionOptions, OutputOptions, ResendAbsent, RunOptions, command
from .replay import ReplayJob
from .runner import run_to_end
from .signals import SignalHandler

__all__ = ["replay"]


@command
def replay(
    file: Annotated[str, typer.Argument(help="A dead letter file, as `push --dead-letter` writes it; it is rewritten.")],
    connection: ConnectionOptions,
    run: RunOptions,
    shown: OutputOptions,
    bisect: BisectOption = Bisect.safe,
    settle: Annotated[
        float | None,
        typer.Option(
            help="Seconds after sending from which a document that is not found is taken to be absent. Default: 0; with --resend-absent"
            " as for push."
        ),
    ] = None,
    resend_absent: ResendAbsent = False,
    extra_fields: Annotated[
        bool,
        typer.Option("--extra-fields", help="Also send lines with fields that the API documentation does not show; otherwise they stay."),
    ] = False,
) -> None:
    """Sends the records of a dead letter file again, and removes the lines that succeed from the file.

    A record that could not be read (state invalid) is never sent: fix the source, and run it again with the same --run-id.

    A document that may have been accepted is never resent on that ground: it is looked up, or left to the journal of its run. Each line is
    sent with that journal, or with FILE.journal if its run had none, so that a killed replay can be started again. Keep both files where
    they are until all lines are gone, and replay the file itself, not a copy: a document whose journal is gone is not sent.
    """
    output.require_file(file)
    reconcile = Reconcile(settle=0.0 if settle is None and not resend_absent else settle, resend_absent=resend_absent)
    options = run.bulk(bisect=bisect.value)
    reconcile.check_against(run.deadline)
    found = connection.settings()
    arm = found.client()
    # As the client writes it, so that it can be compared.
    address = check_origin("base_url", found.value("connection.base_url"))
    try:
        job = ReplayJob(arm, file, address, options, reconcile, grace=run.grace, quiet=shown.quiet, extra_fields=extra_fields)
    except OSError as exc:
        output.fail(f"{file} can't be read: {exc.strerror}")
    raise typer.Exit(_replay(job, server_messages=shown.server_messages, as_json=shown.as_json))


def _replay(job: ReplayJob, *, server_messages: bool, as_json: bool) -> int:
    with SignalHandler(durable=True) as signals, closing(job.replay) as replay:
        try:
            job.prepare()
            code = run_to_end(job.run(), signals)
            replay.finish()
        except OSError as exc:
            output.warn(f"{replay.path} can't be written: {exc.strerror}. What was sent is in the journals: fix that, and replay again")
            return 1
        except JournalError as exc:
            output.warn(f"nothing was sent: {exc}")
            return 1
        if as_json:
            output.print_json({**replay.to_dict(), "ok": replay.ok and not code})
        else:
            job.print_table()
        job.name_left(server_messages=server_messages)
        return code or (2 if replay.is_for_others else 0 if replay.ok else 1)
