"""One night of several client numbers: `[[clients]]` in the settings file, one after the other, in the order of the file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Final

import typer

from ..errors import ConfigurationError
from ..files import FileKind, JobFile, check_distinct
from . import output
from .monitoring import ARGUMENTS, current_run
from .settings import current_client, current_file, use_client

__all__ = ["clients_of_the_night", "run_clients"]

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


def run_clients(context: typer.Context, numbers: Sequence[int], *, as_json: bool) -> int:
    """Runs the command once for each client number. The failure of one does not stop the others; a signal does.

    Args:
        context: of the command.
        numbers: the client numbers.
        as_json: whether each prints its report.

    Returns:
        The worst exit code.

    Raises:
        ConfigurationError: two clients have the same file, so nothing was sent.
    """
    # Each context that is made for a client notes its own arguments in the same place.
    arguments = tuple(context.meta[ARGUMENTS])
    prepared = [(number, _prepare(context, number, arguments)) for number in numbers]
    _check_files([(number, found) for number, found in prepared if not isinstance(found, str)])
    monitor = current_run()
    reports: list[dict[str, Any]] = []
    codes: list[int] = []
    for number, found in prepared:
        if not as_json:
            output.warn(f"client {number}")
        monitor.error = monitor.report = None
        code = _run(number, found)
        monitor.end_client(number, code)
        codes.append(code)
        reports.append({"client_no": number, **(monitor.report or {}), "ok": not code, "exit_code": code})
        reports[-1]["error"] = reports[-1].get("error") or monitor.error
        if code > _INTERRUPTED:
            break
    left = list(numbers[len(codes) :])
    if left:
        output.warn(f"not started: client {', '.join(map(str, left))}")
    failed = [f"client {number}: exit code {code}" for number, code in zip(numbers, codes, strict=False) if code]
    for line in failed if len(numbers) > 1 else ():
        output.warn(line)
    monitor.error = "; ".join(failed) or None
    monitor.report = {"ok": not failed and not left, "error": monitor.error, "clients": reports, "not_started": left}
    # After a signal its code tells that there is more to do; otherwise what failed outweighs what was not begun.
    return codes[-1] if codes[-1] > _INTERRUPTED else max(codes, key=(0, 2, 1).index)


def _prepare(context: typer.Context, number: int, arguments: Sequence[str]) -> Any:
    """Returns the context of the command for one client, or what is wrong with its options."""
    with use_client(number):
        try:
            # As if it were picked: the commands that its report names are about this client.
            picked = ["--client-no", str(number)] if context.params.get("client_no") is None else []
            found: Any = context.command.make_context(context.info_name, [*picked, *arguments], parent=context.parent)
        except typer.Exit as exc:
            # It was printed.
            return "; ".join(getattr(exc, "__notes__", ())) or "its settings are wrong"
    for name in _FILES:
        if isinstance(value := found.params.get(name), str):
            found.params[name] = value.replace(_PLACEHOLDER, str(number))
    return found


def _check_files(prepared: Sequence[tuple[int, Any]]) -> None:
    """Refuses a file that two clients would write."""
    files: list[JobFile] = []
    for number, context in prepared:
        seen: set[str] = set()
        for name, kind in _FILES.items():
            path = context.params.get(name)
            if not isinstance(path, str) or path in seen:
                # One client may have the same file for two purposes; its own run refuses what is wrong with that.
                continue
            seen.add(path)
            if path == "-" and len(prepared) > 1:
                raise ConfigurationError(f"--{name} is standard input, which only one client can read: give each a file")
            files.append(JobFile(f"--{name.replace('_', '-')} of client {number}", path, kind))
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
            monitor.error = monitor.error or "; ".join(getattr(exc, "__notes__", ())) or None
            return exc.exit_code
    return 0
