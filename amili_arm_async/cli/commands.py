"""`amili-arm push` and `amili-arm pull`: their arguments, and what they make of them."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from enum import StrEnum
from typing import Annotated, Final, cast

import typer

from ..config import BulkOptions, Reconcile
from ..errors import ArmError, ConfigurationError, SourceError, TruncatedListError
from ..files import AtomicFile
from ..sources.records import Records
from . import output
from .options import (
    AtLeast,
    BaseUrl,
    Bisect,
    Clear,
    ClientId,
    ClientNo,
    Concurrency,
    Config,
    Deadline,
    Delimiter,
    ExtraColumns,
    Format,
    Grace,
    IdentityUrl,
    MaxBytes,
    MaxRecords,
    NoJournal,
    Patience,
    Quiet,
    RecordKind,
    ResendAbsent,
    ResendKnown,
    ServerMessages,
    Settle,
    SourceEncoding,
    SourceFormat,
    UserId,
    check_files,
    check_journal,
    open_input,
    parse_at_least,
    settings,
)
from .progress import bar
from .pull import Pull
from .push import Push, Task, longest
from .runner import GRACE, run_to_end
from .settings_schema import parse_share
from .signals import SignalHandler
from .stdout import StandardOutput

__all__ = ["pull_customers", "push"]

_DEFAULTS: Final = BulkOptions()
_BROKEN_PIPE: Final = 141


class Results(StrEnum):
    """How far a record is followed."""

    wait = "wait"
    accepted = "accepted"


class Encoding(StrEnum):
    """How the bodies of batches are compressed."""

    gzip = "gzip"
    zstd = "zstd"


# --- push ---------------------------------------------------------------------------------------------------------------


def push(
    kind: Annotated[RecordKind, typer.Argument(help="What the records are.")],
    file: Annotated[str, typer.Argument(help="JSON lines, CSV or Parquet, packed with gzip or zstd or not; - for standard input.")],
    config: Config = None,
    base_url: BaseUrl = None,
    client_no: ClientNo = None,
    user_id: UserId = None,
    identity_url: IdentityUrl = None,
    client_id: ClientId = None,
    update: Annotated[bool, typer.Option("--update", help="Update (PUT) instead of create; customers only.")] = False,
    max_records: MaxRecords = _DEFAULTS.max_records,
    max_bytes: MaxBytes = _DEFAULTS.max_bytes,
    concurrency: Concurrency = None,
    results: Annotated[Results, typer.Option(help="Wait for each batch's result, or be done when it is accepted.")] = Results.wait,
    bisect: Annotated[Bisect, typer.Option(help="Look for the bad record of a refused batch: in safe writes, all, or none.")] = Bisect.safe,
    patience: Patience = _DEFAULTS.patience,
    deadline: Deadline = _DEFAULTS.deadline,
    journal: Annotated[
        str | None,
        typer.Option(help="Keeps the run, so that the same command goes on after a crash. Documents need it, and a --run-id."),
    ] = None,
    run_id: Annotated[
        str | None,
        typer.Option(help="Names what is sent, in the journal: for example the export. The same one goes on; another is a new run."),
    ] = None,
    no_journal: NoJournal = False,
    resend_known: ResendKnown = False,
    dead_letter: Annotated[
        str | None, typer.Option(help="A file for the records that did not make it, for `amili-arm replay`; only its owner can read it.")
    ] = None,
    reconcile: Annotated[
        bool, typer.Option("--reconcile", help="At the end, look up by number the documents whose fate is open; needs a journal.")
    ] = False,
    settle: Settle = None,
    resend_absent: ResendAbsent = False,
    require_document_no: Annotated[
        bool,
        typer.Option(
            "--require-document-no/--no-require-document-no", help="Send no document without documentNo: nobody could look it up."
        ),
    ] = False,
    at_least: AtLeast = None,
    stop_after_failures: Annotated[
        str | None, typer.Option(help="End the run after so many failed records: a number, or a share such as 5% or 0.05.")
    ] = None,
    compression: Annotated[
        Encoding | None, typer.Option(help="Compress what is sent, for a slow uplink; only where Amili said that the service takes it.")
    ] = None,
    check_first: Annotated[
        bool, typer.Option("--check-first", help="Check the whole file before anything is sent; with errors nothing is sent.")
    ] = False,
    format: SourceFormat = Format.auto,
    delimiter: Delimiter = None,
    encoding: SourceEncoding = None,
    clear: Clear = None,
    extra_columns: ExtraColumns = False,
    grace: Grace = GRACE,
    server_messages: ServerMessages = False,
    quiet: Quiet = False,
    as_json: Annotated[bool, typer.Option("--json", help="The report as one line of JSON on standard output.")] = False,
) -> None:
    """Sends the records of FILE, and names on standard error the lines that did not make it.

    The secret comes from AMILI_ARM_CLIENT_SECRET, or a token from AMILI_ARM_TOKEN, or either from the settings file: an argument could
    be seen by every user of the machine. Options win over the environment, and that over the file.
    """
    try:
        options = BulkOptions(
            max_records=max_records,
            max_bytes=max_bytes,
            concurrency=concurrency,
            results=results.value,
            bisect=bisect.value,
            patience=patience,
            deadline=deadline,
            journal=journal,
            run_id=run_id,
            dead_letter=dead_letter,
            reconcile=_reconcile(reconcile, settle, resend_absent),
            resend_known=resend_known,
            require_document_no=require_document_no,
            stop_after_failures=parse_share(stop_after_failures, "--stop-after-failures") if stop_after_failures is not None else None,
            compression=compression.value if compression is not None else None,
        )
        task = _task(kind, update=update)
        check_journal(journal, no_journal=no_journal, documents=kind is RecordKind.documents)
        arm = settings(base_url, client_no, user_id, identity_url, client_id).client()
        made = Push(arm, task, options, server_messages, grace, quiet)
        made.at_least = cast("int | None", parse_at_least(at_least, "--at-least", has_state=False))

        def opened() -> Records:
            return open_input(file, kind.value, format, delimiter, encoding, clear, extra_columns, longest(options))

        if check_first:
            made.check_first(file, opened)
        check_files(
            [
                ("FILE", file if file != "-" else None, "source"),
                ("--journal", journal, "journal"),
                ("--dead-letter", dead_letter, "dead letter"),
            ]
        )
        records = opened()
    except (ConfigurationError, SourceError) as exc:
        output.fail(str(exc))
    with records, SignalHandler(durable=journal is not None) as interrupts:
        code = run_to_end(made.run(records), interrupts)
        if as_json:
            output.print_json({**made.as_json(), "ok": made.ok and not code})
        else:
            made.print_table()
        made.name_failures()
    raise typer.Exit(code or (0 if made.ok else 1))


def _task(kind: RecordKind, *, update: bool) -> Task:
    if kind is RecordKind.customers:
        return "update customers" if update else "create customers"
    if update:
        raise ConfigurationError("--update is for customers: the API has no update of documents")
    return "create documents"


def _reconcile(wanted: bool, settle: float | None, resend_absent: bool) -> Reconcile | bool:
    if not wanted and (settle is not None or resend_absent):
        raise ConfigurationError("--settle and --resend-absent say how to --reconcile: give that too")
    return Reconcile(settle=settle, resend_absent=resend_absent) if wanted else False


# --- pull ---------------------------------------------------------------------------------------------------------------


def pull_customers(
    config: Config = None,
    base_url: BaseUrl = None,
    client_no: ClientNo = None,
    user_id: UserId = None,
    identity_url: IdentityUrl = None,
    client_id: ClientId = None,
    customer_no: Annotated[str | None, typer.Option(help="The customer with this number.")] = None,
    account_no: Annotated[str | None, typer.Option(help="The customer with this account.")] = None,
    organization_no: Annotated[str | None, typer.Option(help="Customers with this organisation number.")] = None,
    name: Annotated[str | None, typer.Option(help="Customers with this name.")] = None,
    category: Annotated[str | None, typer.Option(help="Customers of this category, for example CONS.")] = None,
    expand: Annotated[str | None, typer.Option(help="As the API has it.")] = None,
    options: Annotated[str | None, typer.Option(help="As the API has it.")] = None,
    maximum_count: Annotated[int | None, typer.Option(help="Records at the most; a list that reaches it is no error then.")] = None,
    query: Annotated[str | None, typer.Option(help="Id of an earlier query, to read its pages again.")] = None,
    page_no: Annotated[int | None, typer.Option(help="The page to begin with.")] = None,
    page_size: Annotated[int, typer.Option(help="Records on a page, 5 to 1000.")] = 1000,
    language: Annotated[str | None, typer.Option(help="Accept-Language. [AMILI_ARM_LANGUAGE]")] = None,
    prefetch: Annotated[int, typer.Option(min=0, help="Pages fetched side by side; 0 is one after the other.")] = 4,
    allow_truncated: Annotated[
        bool, typer.Option("--allow-truncated", help="A list that hits the API's cap, or is not whole, is no error.")
    ] = False,
    target: Annotated[
        str | None, typer.Option("--output", "-o", help="A file to write, readable for its owner only; it appears when it is whole.")
    ] = None,
) -> None:
    """Writes the customers that meet all criteria to standard output, one on a line, as the API wrote them."""
    try:
        found = settings(base_url, client_no, user_id, identity_url, client_id)
    except ConfigurationError as exc:
        output.fail(str(exc))
    try:
        arm = found.client()
        pager = arm.customers.list(
            customer_no=customer_no,
            account_no=account_no,
            organization_no=organization_no,
            name=name,
            customer_category=category,
            expand=expand,
            options=options,
            maximum_count=maximum_count,
            query=query,
            page_no=page_no,
            page_size=page_size,
            language=language,
            allow_truncated=allow_truncated,
        )
        made = Pull(arm, pager.raw(), prefetch)
    except ConfigurationError as exc:
        output.fail(str(exc))
    raise typer.Exit(_pull(made, target if target != "-" else None))


def _pull(made: Pull, target: str | None) -> int:
    """Pulls into the file, or to standard output where it is None; gives the exit code."""
    with SignalHandler() as interrupts, _draft(target) if target is not None else nullcontext() as draft:
        try:
            code = run_to_end(_write(made, draft), interrupts)
            if draft is not None and not code:
                draft.keep()
        except BrokenPipeError:
            # Whoever read it has enough: the code of a program that such a pipe ended.
            return _BROKEN_PIPE
        except OSError as exc:
            output.warn(f"{target or 'standard output'} can't be written: {exc.strerror}")
            return 1
    if code and draft is not None:
        output.warn(f"{target} was not written")
    return code


async def _write(made: Pull, draft: AtomicFile | None) -> None:
    # On a terminal that shows the records, a bar would be in the midst of them.
    with bar("pull customers") if draft is not None or not sys.stdout.isatty() else nullcontext() as show:
        try:
            await made.run(draft.write if draft is not None else StandardOutput().write, show)
        except TruncatedListError as exc:
            again = "Pull it again" if exc.is_short else "Narrow the query, say by --category"
            raise ArmError(f"{exc.what}. {again}, or say --maximum-count or --allow-truncated where a part is enough") from None


def _draft(target: str) -> AtomicFile:
    try:
        return AtomicFile(target)
    except OSError as exc:
        output.fail(f"{target} can't be written: {exc.strerror}")
