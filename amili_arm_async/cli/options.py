"""The options that several commands have, in bundles, and the decorator that gives a command the options of its bundles."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from enum import StrEnum
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias, get_type_hints

import typer

from ..bulk.parts import MOST_PARTS
from ..bulk.report import expectation_of
from ..client import ArmClient
from ..config import BulkOptions
from ..database.url import database_url
from ..errors import ConfigurationError, SourceError
from ..files import FileKind, JobFile, check_distinct, check_writable, is_followed
from ..sources.records import Records, open_records
from . import output
from .monitoring import current_run, monitored
from .runner import GRACE
from .settings import Found, Settings, current_file, pick_client, resolve, unknown_variables, use_file
from .settings_schema import KNOWN, parse_share
from .stdout import decide_exit_code

if TYPE_CHECKING:
    from ..values.fields import RecordKind as SourceKind

__all__ = [
    "CONNECTION",
    "JOURNAL",
    "OUTPUT",
    "RUN",
    "SOURCE",
    "AnyCommandsConfig",
    "Bisect",
    "BisectOption",
    "ClientNo",
    "ColumnOptions",
    "Config",
    "ConnectionOptions",
    "JournalArgument",
    "JournalOptions",
    "JsonOption",
    "KindArgument",
    "LineOptions",
    "MonitoringOptions",
    "OnEnd",
    "OutputOptions",
    "PartOptions",
    "RecordFile",
    "RecordKind",
    "RehearsalOptions",
    "ResendAbsent",
    "RunOptions",
    "SettingsOf",
    "Settle",
    "SourceOptions",
    "StopAfterFailures",
    "TableColumns",
    "acting_command",
    "check_files",
    "command",
    "defaults",
    "is_database",
    "parse_at_least",
    "parse_stop_after_failures",
    "table_columns",
]

CONNECTION: Final = "Connection options"
SOURCE: Final = "Source options"
RUN: Final = "Run options"
JOURNAL: Final = "Journal options"
OUTPUT: Final = "Output options"
"""The panels of the help: each option has one of them as its `rich_help_panel`."""

_DEFAULTS: Final = BulkOptions()
_CONFIG_BEFORE_COMMAND: Final = "amili_arm.config"
_FILE_IS_READ: Final = "amili_arm.file_is_read"

_TELL_SETTINGS: Final = frozenset({"doctor"})
"""Commands whose result says what is wrong with the settings."""


# --- bundles ----------------------------------------------------------------------------------------------------------------


def command(function: Callable[..., None]) -> Callable[..., None]:
    """Makes a function a command: each parameter that is a bundle (a dataclass) becomes the options that are its fields.

    What the user did wrong (`ConfigurationError`, `SourceError`) is printed, and ends the program with exit code 2.

    Args:
        function: the command. Its parameters may be in any order: all are passed by name.

    Returns:
        A function with the signature that typer expects.
    """
    hints = get_type_hints(function, include_extras=True)
    bundles: dict[str, type[Any]] = {}
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(function).parameters.values():
        hint = hints[parameter.name]
        if is_dataclass(hint) and isinstance(hint, type):
            bundles[parameter.name] = hint
            types = get_type_hints(hint, include_extras=True)
            parameters += [
                inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=types[field.name])
                for field in fields(hint)
            ]
        else:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hint))

    @wraps(function)
    def call(**given: Any) -> None:
        with monitored(function.__name__, given):
            try:
                for name, bundle in bundles.items():
                    # --config is handled before all others, and is not passed.
                    given[name] = bundle(**{field.name: given.pop(field.name) for field in fields(bundle) if field.name in given})
                function(**given)
            except (ConfigurationError, SourceError) as exc:
                output.fail(str(exc))
            finally:
                # Before the command of --on-end, which may take its time.
                output.print_last()

    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    vars(call)["__signature__"] = inspect.Signature(parameters)
    return call


def acting_command(function: Callable[..., None]) -> Callable[..., None]:
    """Makes a function a command whose output is only a report: its exit code is the same where the output can't be written.

    Args:
        function: the command.

    Returns:
        A function with the signature that typer expects.
    """

    @wraps(function)
    def call(**given: Any) -> None:
        decide_exit_code(None, None)
        function(**given)

    return command(call)


def _take_file(context: typer.Context, given: str | None) -> None:
    """Reads the settings file, named by `--config` after or before the command, before the other options of the command are parsed.

    What is in its tables [bulk] and [source], and in one that is named like the command, is the default of the options of these names.
    """
    if context.resilient_parsing:
        return
    try:
        file = use_file(given if given is not None else context.meta.get(_CONFIG_BEFORE_COMMAND))
        for warning in unknown_variables(os.environ):
            output.warn(warning)
        context.meta[_FILE_IS_READ] = True
        context.default_map = defaults(resolve({}, file), context.info_name or "")
    except ConfigurationError as exc:
        if context.info_name not in _TELL_SETTINGS:
            output.fail(str(exc))


def _take_client(context: typer.Context, given: int | None) -> int | None:
    """Makes the settings those of the client number, before the other options are parsed. It may stand before or after --config."""
    if context.resilient_parsing:
        return given
    pick_client(given)
    if given is not None and context.meta.get(_FILE_IS_READ):
        try:
            context.default_map = defaults(resolve({}, current_file()), context.info_name or "")
        except ConfigurationError as exc:
            if context.info_name not in _TELL_SETTINGS:
                output.fail(str(exc))
    return given


def _name_file(context: typer.Context, given: str | None) -> None:
    """Keeps the `--config` that stands before the command."""
    context.meta[_CONFIG_BEFORE_COMMAND] = given


def defaults(found: Settings, command: str) -> dict[str, Any]:
    """Returns the settings that are defaults of a command's options.

    Args:
        found: all settings.
        command: name of the command, such as `push`.

    Returns:
        The values by the names of the options.

    Raises:
        ConfigurationError: a path names an environment variable that is not set.
    """
    keys = [key for key in found.found if KNOWN[key].table in {"bulk", "source", command}]
    return {KNOWN[key].name: found.value(key) for key in keys}


Config: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--config",
        callback=_take_file,
        is_eager=True,
        expose_value=False,
        metavar="FILE",
        rich_help_panel=CONNECTION,
        help="Settings file (TOML). Default: amili-arm.toml in this directory, or ~/.config/amili-arm/config.toml."
        "\n\nEnv: AMILI_ARM_CONFIG",
    ),
]
AnyCommandsConfig: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--config",
        callback=_name_file,
        is_eager=True,
        expose_value=False,
        metavar="FILE",
        help="Settings file (TOML). It may also stand after the command.",
    ),
]

ClientNo: TypeAlias = Annotated[
    int | None, typer.Option(callback=_take_client, is_eager=True, metavar="N", rich_help_panel=CONNECTION, help="Client number.")
]
SettingsOf: TypeAlias = Annotated[
    int | None,
    typer.Option(
        "--client-no",
        callback=_take_client,
        is_eager=True,
        expose_value=False,
        metavar="N",
        rich_help_panel=CONNECTION,
        help="Use the settings of this client number in [[clients]] of the settings file.",
    ),
]


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


# --- sources ----------------------------------------------------------------------------------------------------------------


class RecordKind(StrEnum):
    """What the records of a file are."""

    customers = "customers"
    documents = "documents"


class Format(StrEnum):
    """The format of a file."""

    auto = "auto"
    jsonl = "jsonl"
    csv = "csv"
    parquet = "parquet"


RecordFile: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="FILE",
        help="CSV, Parquet or JSON; it may be compressed (gzip, zstd). A path, a URL, a folder of Parquet files, or - for standard input.",
    ),
]
KindArgument: TypeAlias = Annotated[RecordKind, typer.Argument(metavar="KIND", help="What the records are: customers or documents.")]


class Decimal(StrEnum):
    """The decimal sign of numbers."""

    comma = ","
    point = "."


@dataclass(frozen=True)
class TableColumns:
    """Which columns of a table are which fields.

    Attributes:
        columns: for names of the header, the field that each is.
        constants: for fields, the value that each has in every record.
        lines: path of the file that has the lines of the documents, or None.
        line_columns: for names of its header, the field that each is.
        lines_optional: whether documents may have no lines in that file.
    """

    columns: Mapping[str, str] | None = None
    constants: Mapping[str, str] | None = None
    lines: str | None = None
    line_columns: Mapping[str, str] | None = None
    lines_optional: bool = False


ColumnOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        metavar="COLUMN=FIELD",
        rich_help_panel=SOURCE,
        help="Read a column of the table as this field: Kundenr=customerNo. Repeatable.\n\n"
        "Settings: [columns.customers], [columns.documents]",
    ),
]
SetOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="FIELD=VALUE",
        rich_help_panel=SOURCE,
        help="Give a field the same value in all records: documentType=IN. Repeatable.\n\n"
        "Settings: [constants.customers], [constants.documents]",
    ),
]


@dataclass(frozen=True)
class ColumnOptions:
    """Which columns are which fields, for a command with records of one kind."""

    column: ColumnOption = None
    set_: SetOption = None

    def of(self, kind: SourceKind) -> TableColumns:
        """Returns what these options and the settings file say of a kind of record.

        Args:
            kind: what the records are.

        Returns:
            The columns.

        Raises:
            ConfigurationError: an option has no `=`, or names a column or field twice.
        """
        return table_columns(kind, self.column, self.set_)


@dataclass(frozen=True)
class LineOptions:
    """Where the lines of documents are."""

    lines: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            rich_help_panel=SOURCE,
            help="File with the lines of the documents, joined by documentNo: CSV or Parquet, in any order.",
        ),
    ] = None
    line_column: Annotated[
        list[str] | None,
        typer.Option(
            "--line-column",
            metavar="COLUMN=FIELD",
            rich_help_panel=SOURCE,
            help="As --column, for the file of --lines.\n\nSettings: [columns.lines]",
        ),
    ] = None
    lines_optional: Annotated[
        bool,
        typer.Option(
            "--lines-optional",
            rich_help_panel=SOURCE,
            help="Also send documents without lines in the file of --lines, and ignore lines without a document.",
        ),
    ] = False

    def add_to(self, columns: TableColumns, kind: SourceKind) -> TableColumns:
        """Returns the columns with these options.

        Args:
            columns: of the records.
            kind: what the records are.

        Returns:
            The columns of documents and lines.

        Raises:
            ConfigurationError: an option needs --lines or documents, has no `=`, or names a column twice.
        """
        if self.lines is None:
            if self.line_column or self.lines_optional:
                raise ConfigurationError("--line-column and --lines-optional need --lines: give that too")
            return columns
        if kind != "documents":
            raise ConfigurationError("--lines is for documents: customers have no lines")
        mapping = _pairs("--line-column", self.line_column) or _setting("columns.lines")
        return replace(columns, lines=self.lines, line_columns=mapping, lines_optional=self.lines_optional)


def table_columns(kind: SourceKind, columns: Sequence[str] | None, constants: Sequence[str] | None, ending: str = "") -> TableColumns:
    """Returns what options and the settings file say of the columns of a table. Options replace the table of the file.

    Args:
        kind: what the records are.
        columns: the values of --column.
        constants: the values of --set.
        ending: of the names of the options, for messages: `-customers`.

    Returns:
        The columns.

    Raises:
        ConfigurationError: an option has no `=`, or names a column or field twice.
    """
    return TableColumns(
        _pairs(f"--column{ending}", columns) or _setting(f"columns.{kind}"),
        _pairs(f"--set{ending}", constants, is_first=True) or _setting(f"constants.{kind}"),
    )


def _setting(key: str) -> Mapping[str, str] | None:
    found: Mapping[str, str] | None = resolve({}, current_file()).value(key)
    return found


def _pairs(option: str, given: Sequence[str] | None, *, is_first: bool = False) -> dict[str, str]:
    """Returns the two sides of options such as Kundenr=customerNo. Only the name of a column, and a value, may hold a further `=`."""
    pairs: dict[str, str] = {}
    for text in given or ():
        left, sign, right = text.partition("=") if is_first else text.rpartition("=")
        if not (sign and left.strip() and right.strip()):
            example = "FIELD=VALUE, such as documentType=IN" if is_first else "COLUMN=FIELD, such as Kundenr=customerNo"
            raise ConfigurationError(f"{option} {output.plain(text)!r} is not {example}")
        if left in pairs:
            raise ConfigurationError(f"{option} {output.plain(left)} is given twice")
        pairs[left] = right
    return pairs


@dataclass(frozen=True)
class SourceOptions:
    """How files of records are read."""

    format: Annotated[Format, typer.Option(rich_help_panel=SOURCE, help="File format; auto detects it from the first bytes.")] = Format.auto
    delimiter: Annotated[
        str | None,
        typer.Option(metavar="SIGN", rich_help_panel=SOURCE, help="CSV delimiter: ; or , or tab. Default: detected."),
    ] = None
    encoding: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            rich_help_panel=SOURCE,
            help="Text encoding: utf-8, windows-1252, cp865 or any other that Python knows. Default: detected.",
        ),
    ] = None
    decimal: Annotated[
        Decimal | None,
        typer.Option(
            rich_help_panel=SOURCE,
            help="Decimal sign of the numbers in tables. Without it, 12.000 is refused unless other cells prove what it means.",
        ),
    ] = None
    clear: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            rich_help_panel=SOURCE,
            help="A CSV cell with this text clears its field. An empty cell leaves the field as it is.",
        ),
    ] = None
    extra_columns: Annotated[
        bool, typer.Option("--extra-columns", rich_help_panel=SOURCE, help="Ignore columns that are not fields of the API.")
    ] = False

    def open(self, file: str, kind: SourceKind, longest: int, columns: TableColumns) -> Records:
        """Opens a file of records.

        Args:
            file: path, or `-` for standard input.
            kind: what its records are.
            longest: maximum bytes of a record.
            columns: which columns of a table are which fields.

        Returns:
            The records; whoever opens them closes them.

        Raises:
            ConfigurationError: an option does not fit the file.
            SourceError: the file can't be read.
        """
        if file == columns.lines == "-":
            raise ConfigurationError("standard input can't be both the documents and their lines")
        return open_records(
            file,
            kind,
            format=self.format.value,
            delimiter="\t" if self.delimiter in {"tab", "\\t"} else self.delimiter,
            encoding=self.encoding,
            decimal_sign=self.decimal.value if self.decimal is not None else None,
            clear=self.clear,
            extra_columns=self.extra_columns,
            longest=longest,
            columns=columns.columns,
            constants=columns.constants,
            lines=columns.lines,
            line_columns=columns.line_columns,
            lines_optional=columns.lines_optional,
        )


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
