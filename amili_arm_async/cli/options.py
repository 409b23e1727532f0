"""The arguments that say what an input is, for every command that reads records."""

from __future__ import annotations

import os
from collections.abc import Iterable
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

import typer

from ..bulk.report import expectation_of
from ..errors import ConfigurationError
from ..files import FileKind, JobFile, check_distinct, check_writable
from ..sources.records import Records, open_records
from . import output
from .settings import Found, Settings, current_file, resolve, use_file
from .settings_schema import KNOWN, parse_share

if TYPE_CHECKING:
    from ..sources.columns import SourceKind

__all__ = [
    "AnyCommandsConfig",
    "AtLeast",
    "BaseUrl",
    "Bisect",
    "Clear",
    "ClientId",
    "ClientNo",
    "Concurrency",
    "Config",
    "Deadline",
    "Delimiter",
    "ExtraColumns",
    "Format",
    "Grace",
    "IdentityUrl",
    "MaxBytes",
    "MaxRecords",
    "NoJournal",
    "Patience",
    "Quiet",
    "RecordKind",
    "ResendAbsent",
    "ResendKnown",
    "ServerMessages",
    "Settle",
    "SourceEncoding",
    "SourceFormat",
    "UserId",
    "check_files",
    "check_journal",
    "defaults",
    "open_input",
    "parse_at_least",
    "settings",
]


def check_files(files: Iterable[tuple[str, str | os.PathLike[str] | None, FileKind]], *, writable: bool = True) -> None:
    """Refuses files of a command that are the same, or can't be written, before anything is sent.

    Args:
        files: of each the option, the path (None: not given), and what it is.
        writable: whether it is also seen to that they can be written; else who writes them tells.

    Raises:
        ConfigurationError: the options are in the message.
    """
    given = [JobFile(option, path, kind) for option, path, kind in files if path is not None]
    check_distinct(given)
    if writable:
        check_writable(given)


_NAMED: Final = "amili_arm.config"

BaseUrl: TypeAlias = Annotated[str | None, typer.Option(help="Address of the API. [AMILI_ARM_BASE_URL]")]
ClientNo: TypeAlias = Annotated[int | None, typer.Option(help="Client number. [AMILI_ARM_CLIENT_NO]")]
UserId: TypeAlias = Annotated[str | None, typer.Option(help="Who is named as the user. [AMILI_ARM_USER_ID]")]
IdentityUrl: TypeAlias = Annotated[str | None, typer.Option(help="Address of the identity service. [AMILI_ARM_IDENTITY_URL]")]
ClientId: TypeAlias = Annotated[str | None, typer.Option(help="Client id for the identity service. [AMILI_ARM_CLIENT_ID]")]

MaxRecords: TypeAlias = Annotated[int, typer.Option(help="Records in a batch at the most.")]
MaxBytes: TypeAlias = Annotated[int, typer.Option(help="Bytes of a request at the most.")]
Concurrency: TypeAlias = Annotated[int | None, typer.Option(help="Batches sent side by side; found by itself where it is not given.")]
Patience: TypeAlias = Annotated[float, typer.Option(help="Seconds to wait for a server that does not answer.")]
Deadline: TypeAlias = Annotated[float, typer.Option(help="Seconds to wait for the result of a batch.")]

Grace: TypeAlias = Annotated[float, typer.Option(min=0, help="Seconds that the batches on the wire have after Ctrl-C or SIGTERM.")]
Quiet: TypeAlias = Annotated[
    bool, typer.Option("--quiet", "-q", help="No progress: no bar on a terminal, and no line for each batch elsewhere.")
]
Settle: TypeAlias = Annotated[
    float | None,
    typer.Option(
        help="Seconds after which a document that is not there won't come any more. Two clocks must say that they have passed, else they"
        " are waited anew. [default: a tenth more than the deadline of the run, or than its slowest batch]"
    ),
]
ResendAbsent: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--resend-absent",
        help="Send again the documents that were looked up and are provably not there: others with such numbers are found.",
    ),
]

AtLeast: TypeAlias = Annotated[
    str | None,
    typer.Option(
        help="Records that FILE holds at the least, where it is whole. With fewer, what is there is sent, and the exit code is 1.",
    ),
]
NoJournal: TypeAlias = Annotated[
    bool,
    typer.Option("--no-journal", help="Send documents without a journal: to repeat the command sends all of them a second time."),
]
ResendKnown: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--resend-known/--no-resend-known",
        help="Send also documents whose number another run of this journal has sent; else they are invalid (sent_in_run).",
    ),
]

ServerMessages: TypeAlias = Annotated[
    bool, typer.Option("--server-messages", help="Show the server's words to failed records; they may hold personal data.")
]


class RecordKind(StrEnum):
    """What the records of a file are."""

    customers = "customers"
    documents = "documents"


class Bisect(StrEnum):
    """Which refused batches are taken apart."""

    safe = "safe"
    all = "all"
    off = "off"


def check_journal(journal: str | None, *, no_journal: bool, documents: bool) -> None:
    """Refuses to send documents without a journal, unless that was asked for.

    Raises:
        ConfigurationError: neither a journal nor --no-journal was given, or both.
    """
    if journal is not None and no_journal:
        raise ConfigurationError(f"--no-journal and a journal ({journal}) are given: give one of them")
    if documents and journal is None and not no_journal:
        raise ConfigurationError(
            "without a journal, to repeat the command sends every document a second time: give --journal FILE and a --run-id, or "
            "--no-journal where that is meant"
        )


def settings(base_url: str | None, client_no: int | None, user_id: str | None, identity_url: str | None, client_id: str | None) -> Settings:
    """What was given as an option, put over the environment, the settings file and the defaults.

    Raises:
        ConfigurationError: something in them is wrong.
    """
    given = {"base_url": base_url, "client_no": client_no, "user_id": user_id, "identity_url": identity_url, "client_id": client_id}
    flags = {
        f"connection.{name}": Found(value, "flag", "--" + name.replace("_", "-")) for name, value in given.items() if value is not None
    }
    return resolve(flags, current_file())


def take_file(context: typer.Context, given: str | None) -> None:
    """Reads the settings file, `--config` of the command or of the whole, before the other options of the command are looked at.

    What is in its table [bulk], and in a table that is named like the command, is the default of options of the same names.
    """
    if context.resilient_parsing:
        return
    try:
        file = use_file(given if given is not None else context.meta.get(_NAMED))
        context.default_map = defaults(resolve({}, file), context.info_name or "")
    except ConfigurationError as exc:
        output.fail(str(exc))


def name_file(context: typer.Context, given: str | None) -> None:
    """Keeps the `--config` that stands before the command."""
    context.meta[_NAMED] = given


def parse_at_least(text: str | None, option: str, *, has_state: bool) -> int | float | None:
    """How much a file holds at the least; None where nobody said.

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


def defaults(found: Settings, command: str) -> dict[str, Any]:
    """The settings that are defaults of a command's options, by the names of these."""
    keys = [key for key in found.found if KNOWN[key].table in {"bulk", command}]
    return {KNOWN[key].name: found.value(key) for key in keys}


Config: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--config",
        callback=take_file,
        is_eager=True,
        expose_value=False,
        help="Settings file (TOML). [AMILI_ARM_CONFIG; else amili-arm.toml here, or ~/.config/amili-arm/config.toml]",
    ),
]
AnyCommandsConfig: TypeAlias = Annotated[
    str | None,
    typer.Option("--config", callback=name_file, is_eager=True, expose_value=False, help="Settings file (TOML); also after the command."),
]


class Format(StrEnum):
    """What a file is."""

    auto = "auto"
    jsonl = "jsonl"
    csv = "csv"
    parquet = "parquet"


SourceFormat: TypeAlias = Annotated[Format, typer.Option("--format", help="What the file is; auto finds it by its first bytes.")]
Delimiter: TypeAlias = Annotated[str | None, typer.Option(help="Between the cells of CSV: ; or , or tab; found where it is not given.")]
SourceEncoding: TypeAlias = Annotated[
    str | None, typer.Option("--encoding", help="Of the text: utf-8, windows-1252, utf-16, ...; found where it is not given.")
]
Clear: TypeAlias = Annotated[
    str | None, typer.Option(help="A cell of CSV with this text clears its field; a blank cell leaves the field out.")
]
ExtraColumns: TypeAlias = Annotated[bool, typer.Option("--extra-columns", help="Pass over columns that are no field.")]


def open_input(
    file: str,
    kind: SourceKind,
    format: Format,
    delimiter: str | None,
    encoding: str | None,
    clear: str | None,
    extra_columns: bool,
    longest: int,
) -> Records:
    """Opens what was given on the command line.

    Raises:
        ConfigurationError, SourceError: as `open_records`.
    """
    return open_records(
        file,
        kind,
        format=format.value,
        delimiter="\t" if delimiter in {"tab", "\\t"} else delimiter,
        encoding=encoding,
        clear=clear,
        extra_columns=extra_columns,
        longest=longest,
    )
