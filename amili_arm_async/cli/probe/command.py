"""`amili-arm probe`: compares the answers of a real service with what this library assumes."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Annotated, Any

import typer

from ... import wire
from ...config import RetryPolicy, Timeout, check_origin
from ...errors import ArmError, ConfigurationError, counted
from .. import output
from ..command import command
from ..options import ConnectionOptions
from ..progress import UpdateBar, bar
from ..runner import run_to_end
from ..settings import Settings
from ..signals import SignalHandler
from .evidence import Exchange, ProbeFinding, Verdict
from .masking import ReplyFiles
from .probe import MAX_REQUESTS, Probe, RecordsToWrite, check_host, read_records

__all__ = ["probe"]


@command
def probe(
    connection: ConnectionOptions,
    batch: Annotated[list[str] | None, typer.Option(metavar="UUID", help="The batchUuid of a finished batch of yours. Repeatable.")] = None,
    write: Annotated[
        bool,
        typer.Option(
            "--write",
            help="Also send one customer and one document of yours; to staging or this machine only, unless --production is given.",
        ),
    ] = False,
    customer: Annotated[Path | None, typer.Option(metavar="FILE", help="File with the customer to send: one JSON object.")] = None,
    document: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File with the document to send, exactly once: one JSON object.")
    ] = None,
    production: Annotated[bool, typer.Option("--production", help="Allow --write against a service that is not staging.")] = False,
    # Not named like the option, since [bulk] deadline is about bulk runs.
    batch_deadline: Annotated[
        float, typer.Option("--deadline", min=0, metavar="SECONDS", help="How long to wait for the result of the batch that was sent.")
    ] = 300.0,
    timeout: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="Maximum time for one request.")] = 30.0,
    save: Annotated[
        str | None,
        typer.Option(metavar="DIRECTORY", help="New directory for the replies, with personal data masked, to attach to a report."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON instead of a table.")] = False,
) -> None:
    """Checks with a real service what this library had to assume, and reports what is different. Without --write it only reads."""
    try:
        settings = connection.settings()
        records = _records(settings, customer, document, is_production=production) if _is_writing(write, customer, document) else None
        for uuid in batch or ():
            wire.segment("--batch", uuid)
        job = _probe(settings, timeout)
        job.batches, job.records, job.deadline = list(batch or ()), records, batch_deadline
        replies = ReplyFiles(save) if save is not None else None
    except ArmError as exc:
        output.fail(str(exc))
    with SignalHandler() as signals:
        with bar("probe", MAX_REQUESTS) as update:
            job.keep = _on_reply(replies, update)
            code = run_to_end(job.run(), signals)
        found = job.findings()
        if as_json:
            output.print_json(_as_json(job, found))
        else:
            _print(job, found)
        failed = _warn(job, replies)
    raise typer.Exit(code or (2 if failed else int(not _is_ok(job, found))))


# --- arguments ------------------------------------------------------------------------------------------------------------


def _is_writing(write: bool, customer: Path | None, document: Path | None) -> bool:
    if write == (customer is None and document is None):
        raise ConfigurationError("--write sends what is in --customer and --document: give it with one of them, or with both")
    return write


def _records(settings: Settings, customer: Path | None, document: Path | None, *, is_production: bool) -> RecordsToWrite:
    """Reads what is to be written. Refused, before anything is read or sent, where the host may be production."""
    check_host(check_origin("base_url", settings.value("connection.base_url")), is_production=is_production)
    return read_records(*[_read(path) if path is not None else None for path in (customer, document)])


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise ConfigurationError(f"{path} can't be read: {exc.strerror}") from None


def _probe(settings: Settings, seconds: float) -> Probe:
    """Makes the probe of the service that the settings name."""
    # Each request is sent once, that for a token too.
    timeout = Timeout(connect=min(10.0, seconds), read=seconds, total=seconds)
    arm = settings.client(timeout=timeout, retry=RetryPolicy(attempts=1))
    return Probe(arm, check_origin("base_url", settings.value("connection.base_url")), timeout)


def _on_reply(replies: ReplyFiles | None, update: UpdateBar | None) -> Callable[[Exchange], None]:
    """Returns what is called with each reply."""
    counter = count(1)

    def keep(exchange: Exchange) -> None:
        if replies is not None:
            replies.keep(exchange)
        if update is not None:
            update(next(counter), exchange.operation)

    return keep


# --- the result ----------------------------------------------------------------------------------------------------------


def _as_json(job: Probe, found: list[ProbeFinding]) -> dict[str, Any]:
    return {
        "base_url": job.base_url,
        "requests": job.asked,
        "ended": job.evidence.ended or None,
        "findings": found,
        "counts": {verdict: _count(found, verdict) for verdict in Verdict},
        "settings": job.remedy(),
        "document_unknown": job.records is not None and job.records.document_is_unknown,
        "ok": not job.unreachable and _is_ok(job, found),
    }


def _is_ok(job: Probe, found: list[ProbeFinding]) -> bool:
    """Returns whether nothing is different, and no document has an unknown outcome."""
    return not _count(found, Verdict.DIFFERENT) and not (job.records is not None and job.records.document_is_unknown)


def _count(found: list[ProbeFinding], verdict: Verdict) -> int:
    return sum(one.verdict == verdict for one in found)


def _print(job: Probe, found: list[ProbeFinding]) -> None:
    typer.echo(f"{output.plain(job.base_url)}: {counted(job.asked, 'request')}")
    # Control characters from the service must not reach the terminal.
    head = ("verdict", "assumption", "expected", "seen")
    rows = [(str(one.verdict), one.assumption, one.expected, output.plain(one.seen)) for one in found]

    def narrow(row: tuple[str, ...]) -> tuple[str, ...]:
        return (f"{row[0]}: {row[1]}", f"    expected: {row[2]}", f"    seen: {row[3]}") if row is not head else ()

    output.say_rows([head, *rows], narrow, widest=60)
    typer.echo()
    typer.echo(", ".join(f"{verdict}: {_count(found, verdict)}" for verdict in Verdict))
    typer.echo(f"\nSettings for ArmClient that fix what is different:\n{job.remedy()}")


def _warn(job: Probe, replies: ReplyFiles | None) -> bool:
    """Prints on standard error what went wrong, and returns whether the probe failed."""
    if job.evidence.ended:
        output.warn(output.plain(job.evidence.ended))
    if job.records is not None and job.records.document_is_unknown:
        output.warn("it is unknown whether the document was accepted: look it up, and do not send it again before you know")
    if replies is not None and replies.trouble:
        output.warn(replies.trouble)
    return job.unreachable or bool(replies is not None and replies.trouble)
