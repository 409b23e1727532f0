"""One night of several client numbers: `[[clients]]` in the settings file, one after the other, in the order of the file."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from types import FrameType
from typing import Any, Final

import typer

from ..errors import AuthenticationError, ConfigurationError
from ..files import FileKind, JobFile, check_distinct
from . import output
from .clients_night import Night, of_night
from .monitoring import ARGUMENTS, current_run
from .options import ConnectionOptions, check_files, is_database
from .settings import current_client, current_file, resolve, use_client
from .wording import in_options

__all__ = ["clients_of_the_night", "run_client", "run_clients"]

_REPORTS: Final = ("report", "html", "failures")
"""Options whose file, without the placeholder, is the report over all."""

_FILES: Final[Mapping[str, FileKind]] = {
    "customers": "source",
    "documents": "source",
    "lines": "source",
    "state": "state",
    "journal": "journal",
    # Of one kind, since two clients can share neither: the later one would replace what the earlier one wrote.
    "dead_letter_customers": "report",
    "dead_letter_documents": "report",
    "report": "report",
    "html": "report",
    "failures": "report",
}
_PLACEHOLDER: Final = "{client_no}"
_INTERRUPTED: Final = 128
_NUMBER: Final = "AMILI_ARM_CLIENT_NO"


def clients_of_the_night(given: int | None) -> list[int] | None:
    """Returns the client numbers that a night is of.

    Args:
        given: the value of --client-no, or None.

    Returns:
        None where the settings list none, or one of them is being run.

    Raises:
        ConfigurationError: the client number is not in the list, or the environment has one.
    """
    file = current_file()
    if file is None or not file.clients or current_client() is not None:
        return None
    known = list(file.clients)
    if given is not None:
        if given not in known:
            numbers = ", ".join(map(str, known))
            raise ConfigurationError(f"--client-no {given} is not in [[clients]] of {output.plain(file.path)}, which has {numbers}")
        return [given]
    if os.environ.get(_NUMBER, "").strip():
        raise ConfigurationError(f"{_NUMBER} is set, and {output.plain(file.path)} has [[clients]]: unset it, or pick one with --client-no")
    return known


def run_client(context: typer.Context, number: int) -> int:
    """Runs the command for the one client number that --client-no picks.

    Args:
        context: of the command.
        number: the client number.

    Returns:
        The exit code.

    Raises:
        ConfigurationError: two of its files are the same, so nothing was sent.
    """
    file = current_file()
    assert file is not None
    of_all = resolve({}, replace(file, clients={}))
    shared = {
        name: path
        for name in _REPORTS
        if (source := context.get_parameter_source(name)) is not None
        and source.name != "COMMANDLINE"
        and (path := of_all.value(f"nightly.{name}"))
        and path == context.params.get(name)
        and _PLACEHOLDER not in path
    }
    found = _prepare(context, number, tuple(context.meta[ARGUMENTS]), shared)
    if shared and not isinstance(found, str):
        # What it says of the other client numbers would be lost.
        output.warn(
            f"--client-no picks one: not written is what is over all client numbers, {', '.join(map(output.plain, shared.values()))}"
        )
    _check_files([(number, found)] if not isinstance(found, str) else [], {})
    code = _run(number, found)
    current_run().end_client(number, code)
    return code


def run_clients(context: typer.Context, numbers: Sequence[int], *, as_json: bool, messages: bool) -> int:
    """Runs the command once for each client number. The failure of one does not stop the others; a signal does.

    Args:
        context: of the command.
        numbers: the client numbers.
        as_json: whether the report over all is printed.
        messages: whether the CSV of failures has the server's messages.

    Returns:
        The worst exit code.

    Raises:
        ConfigurationError: two clients have the same file, or a report can't be written, so nothing was sent.
    """
    shared = {name: path for name in _REPORTS if (path := context.params.get(name)) and _PLACEHOLDER not in path}
    # Each context that is made for a client notes its own arguments in the same place.
    arguments = tuple(context.meta[ARGUMENTS])
    prepared = [(number, _prepare(context, number, arguments, shared)) for number in numbers]
    _check_files([(number, found) for number, found in prepared if not isinstance(found, str)], shared)
    check_files([(f"--{name}", path, "report") for name, path in shared.items()])
    monitor = current_run()
    night = Night(numbers, shared, messages=messages)
    with of_night(night):
        codes = _run_all(night, prepared)
    all_written = night.end()
    report = night.as_json()
    monitor.report, monitor.error = report, report["error"]
    if as_json:
        output.print_json(report)
    night.print_end()
    # After a signal its code tells that there is more to do; otherwise what failed outweighs what was not begun.
    return codes[-1] if codes[-1] > _INTERRUPTED else max([*codes, 0 if all_written else 1], key=(0, 2, 1).index)


def _run_all(night: Night, prepared: Sequence[tuple[int, Any]]) -> list[int]:
    """Runs the command for each client number until a signal comes, and returns the exit codes."""
    codes: list[int] = []
    begun: int | None = None
    with _stopped_by_signals():
        try:
            for number, found in prepared:
                begun = number
                codes.append(_run_one(night, number, found))
                begun = None
                if codes[-1] > _INTERRUPTED:
                    break
        except _SignalError as exc:
            codes.append(exc.code)
    if begun is not None:
        # The signal came where its run does not handle it, such as before it began to send.
        current_run().end_client(begun, codes[-1])
        night.end_client(begun, codes[-1], "interrupted")
    return codes


def _run_one(night: Night, number: int, found: Any) -> int:
    """Runs the command for one client number, unless its credentials were refused before, and returns its exit code."""
    monitor = current_run()
    output.warn(f"client {number}")
    monitor.error = monitor.cause = monitor.report = None
    credentials = _credentials(number, found)
    if (other := night.refused_before(credentials)) is not None:
        code = 1
        monitor.error = f"not tried, since the identity service refused the same credentials for client {other}"
        output.warn(monitor.error)
    else:
        code = _run(number, found)
    if _is_refusal(monitor.cause) and credentials is not None:
        night.refuse(credentials, number)
    monitor.end_client(number, code)
    night.end_client(number, code, monitor.error)
    return code


def _is_refusal(cause: BaseException | None) -> bool:
    """Tells whether the identity service refused the credentials: 400, 401 or 403."""
    return isinstance(cause, AuthenticationError) and cause.lasting == "yes" and cause.status is not None


_IDENTITY: Final = ("identity_url", "client_id", *(f"client_secret{ending}" for ending in ("", "_file", "_keyring")))


def _credentials(number: int, found: Any) -> object:
    """Returns what the identity service is given for a client number; None where that is not known."""
    if isinstance(found, str):
        return None
    given = {field.name: found.params.get(field.name) for field in fields(ConnectionOptions) if field.name != "config"}
    with use_client(number):
        try:
            settings = ConnectionOptions(**given).settings()
        except ConfigurationError:
            return None
    return tuple(settings.get(f"connection.{name}").value for name in _IDENTITY)


class _SignalError(BaseException):
    """A signal came between the runs of two client numbers, where none of them handles it."""

    def __init__(self, code: int) -> None:
        self.code = code
        super().__init__(code)


@contextlib.contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Makes SIGINT and SIGTERM an error meanwhile; the run of a client handles them by itself."""

    def stop(number: int, _: FrameType | None) -> None:
        raise _SignalError(_INTERRUPTED + number)

    before: dict[signal.Signals, Any] = {}
    for one in (signal.SIGINT, signal.SIGTERM):
        # Only the main thread may set handlers.
        with contextlib.suppress(ValueError):
            if signal.getsignal(one) not in {signal.SIG_IGN, None}:
                before[one] = signal.signal(one, stop)
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _prepare(context: typer.Context, number: int, arguments: Sequence[str], shared: Mapping[str, str]) -> Any:
    """Returns the context of the command for one client, or what is wrong with its options."""
    with use_client(number):
        try:
            # As if it were picked: the commands that its report names are about this client.
            picked = ["--client-no", str(number)] if context.params.get("client_no") is None else []
            found: Any = context.command.make_context(context.info_name, [*picked, *arguments], parent=context.parent)
        except typer.Exit as exc:
            # It was printed.
            return "; ".join(getattr(exc, "__notes__", ())) or "its settings are wrong"
    for name, path in shared.items():
        if found.params.get(name) == path:
            # It is over all client numbers; the commands that the report names leave it alone, too.
            found.params[name] = None
            found.set_parameter_source(name, type(found.get_parameter_source(name)).DEFAULT)
    for name in _FILES:
        if isinstance(value := found.params.get(name), str):
            found.params[name] = value.replace(_PLACEHOLDER, str(number))
    return found


def _check_files(prepared: Sequence[tuple[int, Any]], shared: Mapping[str, str]) -> None:
    """Refuses a file that two clients would write, and documents that would be sent for two clients."""
    files: list[JobFile] = []
    documents: dict[str, int] = {}
    for number, context in prepared:
        seen: set[str] = set()
        for name, kind in _FILES.items():
            path = context.params.get(name)
            if not isinstance(path, str) or path in seen or is_database(path, kind):
                # One client may have the same file for two purposes; its own run refuses what is wrong with that.
                continue
            seen.add(path)
            if path == "-" and len(prepared) > 1:
                raise ConfigurationError(f"--{name} is standard input, which only one client can read: give each a file")
            if name == "documents" and (other := documents.setdefault(os.path.realpath(path), number)) != number:
                raise ConfigurationError(
                    f"--documents of client {other} and of client {number} are one file ({output.plain(path)}), so each document would be"
                    f" billed twice: give each client its own, such as one with {_PLACEHOLDER} in its path. Nothing was sent"
                )
            files.append(JobFile(f"--{name.replace('_', '-')} of client {number}", path, kind))
    files += [JobFile(f"--{name}", path, "report") for name, path in shared.items()]
    if (metrics := current_run().metrics_path) is not None:
        files.append(JobFile("--metrics", metrics, "report"))
    try:
        check_distinct(files)
    except ConfigurationError as exc:
        current_run().no_metrics()
        raise ConfigurationError(f"{exc}, such as one with {_PLACEHOLDER} in it. Nothing was sent") from None


def _run(number: int, found: Any) -> int:
    """Runs the command for one client, and returns its exit code."""
    monitor = current_run()
    if isinstance(found, str):
        monitor.error = found
        return 2
    with use_client(number):
        try:
            found.command.invoke(found)
        except typer.Exit as exc:
            monitor.error = monitor.error or in_options("; ".join(getattr(exc, "__notes__", ()))) or None
            return exc.exit_code
    return 0
