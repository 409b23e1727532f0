"""The options that several commands have, in bundles."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Annotated, Any, Final, TypeAlias

import typer

from ..bulk.parts import MOST_PARTS
from ..bulk.report import expectation_of
from ..client import ArmClient
from ..config import BulkOptions
from ..database.url import database_url
from ..errors import ConfigurationError
from ..files import FileKind, JobFile, check_distinct, check_writable, is_followed
from .command import CONNECTION, JOURNAL, OUTPUT, RUN, SOURCE, ClientNo, Config
from .monitoring import current_run
from .runner import GRACE
from .settings import Found, Settings, current_file, resolve
from .settings_schema import parse_share

__all__ = [
    "Bisect",
    "BisectOption",
    "ConnectionOptions",
    "JournalArgument",
    "JournalOptions",
    "JsonOption",
    "MonitoringOptions",
    "OnEnd",
    "OutputOptions",
    "PartOptions",
    "RehearsalOptions",
    "ResendAbsent",
    "RunOptions",
    "Settle",
    "StopAfterFailures",
    "check_files",
    "is_database",
    "parse_at_least",
    "parse_stop_after_failures",
]

_DEFAULTS: Final = BulkOptions()


@dataclass(frozen=True)
class ConnectionOptions:
    """Which service, client and identity. They override the environment and the settings file."""

    config: Config = None
    base_url: Annotated[str | None, typer.Option(metavar="URL", rich_help_panel=CONNECTION, help="Address of the API.")] = None
    client_no: ClientNo = None
    user_id: Annotated[
        str | None, typer.Option(metavar="ID", rich_help_panel=CONNECTION, help="User id that the API records as the author.")
    ] = None
    identity_url: Annotated[
        str | None, typer.Option(metavar="URL", rich_help_panel=CONNECTION, help="Address of the identity service.")
    ] = None
    client_id: Annotated[str | None, typer.Option(metavar="ID", rich_help_panel=CONNECTION, help="Client id for the identity service.")] = (
        None
    )
    proxy: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            rich_help_panel=CONNECTION,
            help="Proxy for the API and the identity service; none: no proxy. Default: the one that HTTPS_PROXY names.",
        ),
    ] = None
    ca_file: Annotated[
        str | None,
        typer.Option(metavar="FILE", rich_help_panel=CONNECTION, help="Certificates (PEM) of the authorities to trust, not the system's."),
    ] = None
    client_cert: Annotated[str | None, typer.Option(metavar="FILE", rich_help_panel=CONNECTION, help="Client certificate (PEM).")] = None
    client_key: Annotated[
        str | None, typer.Option(metavar="FILE", rich_help_panel=CONNECTION, help="Private key of the client certificate (PEM).")
    ] = None

    def settings(self) -> Settings:
        """Returns all settings: these options, then the environment, the settings file and the defaults.

        Returns:
            The settings.

        Raises:
            ConfigurationError: a setting is wrong.
        """
        given = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "config"}
        flags = {
            f"connection.{name}": Found(value, "flag", "--" + name.replace("_", "-")) for name, value in given.items() if value is not None
        }
        return resolve(flags, current_file())

    def client(self) -> ArmClient:
        """Returns a client with these settings; files that hold a secret are read now.

        Returns:
            The client.

        Raises:
            ConfigurationError: a setting is missing or wrong.
        """
        client = self.settings().client()
        current_run().client_no = client.client_no
        return client


@dataclass(frozen=True)
class RunOptions:
    """How a bulk run sends."""

    max_records: Annotated[int, typer.Option(metavar="N", rich_help_panel=RUN, help="Maximum number of records per batch.")] = (
        _DEFAULTS.max_records
    )
    max_bytes: Annotated[int, typer.Option(metavar="BYTES", rich_help_panel=RUN, help="Maximum size of a request.")] = _DEFAULTS.max_bytes
    concurrency: Annotated[
        int | None,
        typer.Option(metavar="N", rich_help_panel=RUN, help="Batches sent at the same time. Default: tuned automatically."),
    ] = None
    patience: Annotated[
        float,
        typer.Option(metavar="SECONDS", rich_help_panel=RUN, help="How long to keep trying while the server does not respond."),
    ] = _DEFAULTS.patience
    deadline: Annotated[float, typer.Option(metavar="SECONDS", rich_help_panel=RUN, help="How long to wait for the result of a batch.")] = (
        _DEFAULTS.deadline
    )
    grace: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            rich_help_panel=RUN,
            min=0,
            help="How long batches in flight get to finish after Ctrl-C or SIGTERM.",
        ),
    ] = GRACE

    def bulk(self, **more: Any) -> BulkOptions:
        """Returns these options for a bulk run.

        Args:
            **more: further arguments of `BulkOptions`.

        Returns:
            The options.

        Raises:
            ConfigurationError: a value can't work.
        """
        return BulkOptions(
            max_records=self.max_records,
            max_bytes=self.max_bytes,
            concurrency=self.concurrency,
            patience=self.patience,
            deadline=self.deadline,
            **more,
        )


@dataclass(frozen=True)
class RehearsalOptions:
    """How a job is tried out."""

    limit: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            rich_help_panel=SOURCE,
            help="Read only the first N records of each file. The same command without it sends the rest.",
        ),
    ] = None
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            rich_help_panel=RUN,
            help="Do everything except send, and report what would be sent. Journal and state are only read; no credentials are needed.",
        ),
    ] = False

    def client(self, connection: ConnectionOptions) -> ArmClient:
        """Returns the client of a job: that of a dry run has no credentials.

        Args:
            connection: which service and client number.

        Returns:
            The client.

        Raises:
            ConfigurationError: a setting is missing or wrong.
        """
        return connection.settings().client(auth=_no_token) if self.dry_run else connection.client()

    def of(self, options: BulkOptions) -> BulkOptions:
        """Returns the options of a bulk run with these.

        Args:
            options: of the run.

        Returns:
            A copy.
        """
        return replace(options, limit=self.limit, dry_run=self.dry_run)


async def _no_token() -> str:
    raise ConfigurationError("a dry run sends nothing")


class Bisect(StrEnum):
    """Which refused batches are split to find the bad record."""

    safe = "safe"
    all = "all"
    off = "off"


BisectOption: TypeAlias = Annotated[
    Bisect,
    typer.Option(
        rich_help_panel=RUN,
        help="Which refused batches are split to find the bad record: those where a repeat is safe, all, or none.",
    ),
]
StopAfterFailures: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="N",
        rich_help_panel=RUN,
        help="Stop the run after this many failed records: a number such as 100, or a share such as 5%.",
    ),
]
Settle: TypeAlias = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        rich_help_panel=JOURNAL,
        help="How long after sending a document that is not found counts as absent. Default: 10 % more than the deadline of the run, or"
        " than its slowest batch: 66 minutes with the default deadline. At least two clocks must agree that this time has passed; else it"
        " is waited from the start of the command. 0 looks at once: what is not found stays unknown.",
    ),
]
ResendAbsent: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--resend-absent",
        rich_help_panel=JOURNAL,
        help="Resend documents that a look-up has proved absent: documents with similar numbers are found, these are not.",
    ),
]
JsonOption: TypeAlias = Annotated[
    bool, typer.Option("--json", rich_help_panel=OUTPUT, help="Print the report as one line of JSON on standard output.")
]
JournalArgument: TypeAlias = Annotated[
    str, typer.Argument(metavar="JOURNAL", help="The journal, as given to push or nightly: a file, or the URL of a database.")
]


@dataclass(frozen=True)
class JournalOptions:
    """What is remembered of documents, and what happens to those whose outcome is unknown."""

    journal: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            rich_help_panel=JOURNAL,
            help="Journal: it records the run, so that the same command resumes after a crash. Documents need it, and a --run-id. A file,"
            " or a PostgreSQL database: postgresql://host/database.",
        ),
    ] = None
    run_id: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            rich_help_panel=JOURNAL,
            help="Name of the run in the journal, for example the name of the export. The same name resumes the run; another starts a"
            " new one.",
        ),
    ] = None
    no_journal: Annotated[
        bool,
        typer.Option(
            "--no-journal",
            rich_help_panel=JOURNAL,
            help="Send documents without a journal: repeating the command sends all of them again.",
        ),
    ] = False
    resend_known: Annotated[
        bool,
        typer.Option(
            "--resend-known/--no-resend-known",
            rich_help_panel=JOURNAL,
            help="Also send documents whose number another run of this journal has sent. Default: such a document is invalid"
            " (sent_in_run).",
        ),
    ] = False
    require_document_no: Annotated[
        bool,
        typer.Option(
            "--require-document-no/--no-require-document-no",
            rich_help_panel=JOURNAL,
            help="Do not send documents without documentNo: they could not be looked up.",
        ),
    ] = False
    reconcile: Annotated[
        bool,
        typer.Option(
            "--reconcile",
            rich_help_panel=JOURNAL,
            help="At the end, look up the documents whose outcome is unknown. Needs a journal.",
        ),
    ] = False
    settle: Settle = None
    resend_absent: ResendAbsent = False

    def __post_init__(self) -> None:
        """Hides the password of a database."""
        object.__setattr__(self, "journal", database_url(self.journal) or self.journal)

    def check(self, *, documents: bool) -> None:
        """Refuses to send documents without a journal and a run id, unless --no-journal says so.

        Args:
            documents: whether there are documents to send.

        Raises:
            ConfigurationError: neither a journal nor --no-journal was given, or both, or a journal without --run-id.
        """
        if self.journal is not None and self.no_journal:
            raise ConfigurationError(f"--no-journal and a journal ({self.journal}) are given: give one of them")
        if documents and self.journal is None and not self.no_journal:
            raise ConfigurationError(
                "without a journal, repeating the command sends every document a second time: give --journal FILE and a --run-id, or "
                "--no-journal if you want that"
            )
        if documents and self.journal is not None and self.run_id is None:
            raise ConfigurationError(
                "documents in a journal need --run-id NAME, for example the name of the export: the same name resumes the run and never "
                "sends a document twice; another name starts a new run"
            )


@dataclass(frozen=True)
class PartOptions:
    """Which part of a run on many machines is sent."""

    parts: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            max=MOST_PARTS,
            rich_help_panel=JOURNAL,
            help="Split the run into N parts, which any number of machines share: each command sends one. Needs a PostgreSQL journal.",
        ),
    ] = None
    part: Annotated[
        int | None,
        typer.Option(
            metavar="K",
            min=0,
            rich_help_panel=JOURNAL,
            help="The part to send, from 0 to N - 1. Documents of other parts are passed over, and counted as other_part.",
        ),
    ] = None

    def check(self, journal: JournalOptions, *, documents: bool, excluded: Mapping[str, object]) -> None:
        """Refuses options that can't work together.

        Args:
            journal: the journal.
            documents: whether documents are sent.
            excluded: options that can't be given with parts, with their values.

        Raises:
            ConfigurationError: they can't.
        """
        if (self.parts is None) != (self.part is None):
            raise ConfigurationError("--parts N and --part K belong together: give both")
        if self.parts is None or self.part is None:
            return
        if self.part >= self.parts:
            raise ConfigurationError(f"--part must be from 0 to {self.parts - 1}, and is {self.part}")
        if not documents:
            raise ConfigurationError("--parts is for documents: customers are sent by one process")
        if database_url(journal.journal) is None or journal.run_id is None:
            raise ConfigurationError(
                "--parts needs a journal in PostgreSQL and a run id: --journal postgresql://host/database --run-id NAME"
            )
        if given := [option for option, value in excluded.items() if value]:
            raise ConfigurationError(f"{given[0]} can't be used with --parts")


@dataclass(frozen=True)
class OutputOptions:
    """What is printed."""

    server_messages: Annotated[
        bool,
        typer.Option(
            "--server-messages",
            rich_help_panel=OUTPUT,
            help="Show the server's messages for failed records. They may contain personal data.",
        ),
    ] = False
    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet", "-q", rich_help_panel=OUTPUT, help="Show no progress: no bar on a terminal, and no line per batch elsewhere."
        ),
    ] = False
    as_json: JsonOption = False


OnEnd: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--on-end",
        metavar="COMMAND",
        rich_help_panel=OUTPUT,
        help="Run this shell command at the end, whatever ended the run, with the report as JSON on its standard input. It is stopped "
        "after 30 s, and never changes the exit code.",
    ),
]


@dataclass(frozen=True)
class MonitoringOptions:
    """Who else learns how the run goes. `command` reads them, for it sees every end of a run."""

    on_end: OnEnd = None
    metrics: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            rich_help_panel=OUTPUT,
            help="Write metrics to this file, for the textfile collector of the Prometheus node exporter: during the run and at its end.",
        ),
    ] = None


def check_files(files: Iterable[tuple[str, str | os.PathLike[str] | None, FileKind]], *, writable: bool = True) -> None:
    """Refuses files of a command that are the same, or can't be written, before anything is sent.

    Args:
        files: for each its option, its path (None: not given), and what it is.
        writable: also check that they can be written; else that shows when they are written.

    Raises:
        ConfigurationError: the message names the options.
    """
    run = current_run()
    given = [JobFile(option, path, kind) for option, path, kind in files if path is not None and not is_database(path, kind)]
    if (settings := current_file()) is not None:
        given.append(JobFile("the settings file", settings.path, "source"))
    metrics = run.metrics_path
    try:
        # Metrics that can't be written are no reason to send nothing; metrics in the place of a journal are.
        check_distinct([*given, JobFile("--metrics", metrics, "report")] if metrics is not None and is_followed(metrics) else given)
    except ConfigurationError:
        run.no_metrics()
        raise
    if writable:
        check_writable(given)


def is_database(path: str | os.PathLike[str], kind: FileKind) -> bool:
    """Returns whether what a command names is no file, but a database.

    Args:
        path: as it was given.
        kind: what it is.

    Raises:
        ConfigurationError: it is a database of another kind than PostgreSQL.
    """
    return kind in {"journal", "state"} and database_url(path) is not None


def parse_at_least(text: str | None, option: str, *, has_state: bool) -> int | float | None:
    """Returns how many records a file is expected to hold.

    Args:
        text: a number of records, or a share such as `90%`; None where the option is not given.
        option: name of the option, for the message.
        has_state: whether there is a state that a share can refer to.

    Returns:
        A number of records (int), a share from 0 to 1 (float), or None.

    Raises:
        ConfigurationError: it is neither a number nor a share, or a share and there is no state.
    """
    if text is None:
        return None
    least = parse_share(text, option)
    try:
        expectation_of(least, has_state=has_state)
    except ConfigurationError as exc:
        raise ConfigurationError(str(exc).replace("at_least", option)) from None
    return least


def parse_stop_after_failures(text: str | None) -> int | float | None:
    """Returns the value of --stop-after-failures.

    Args:
        text: a number of records, or a share such as `5%`; None where the option is not given.

    Returns:
        A number of records (int), a share from 0 to 1 (float), or None.

    Raises:
        ConfigurationError: it is neither.
    """
    return parse_share(text, "--stop-after-failures") if text is not None else None
