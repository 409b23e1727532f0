"""What is known of a night of several client numbers, and the reports over all."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from .. import clock
from ..nightly.clients_report import ClientResult, ClientsReport, clients_report
from ..nightly.report import ReportSchema
from . import output
from .html_report.clients_page import client_verdict, clients_verdict, worst_first
from .html_report.markup import spaced
from .html_report.summary import summed_at_risk
from .html_report.writers import Failure, write_failures, write_json, write_page

__all__ = ["Night", "current_night", "of_night"]


@dataclass
class _Client:
    """What is known of one client number."""

    result: ClientResult
    failures: Callable[[], Iterable[Failure]] = tuple
    extra: Mapping[str, Any] | None = None


class Night:
    """The night of all client numbers, and the reports over all; correct at any time.

    Args:
        numbers: the client numbers.
        paths: of the reports over all, by option.
        messages: whether the CSV of failures has the server's messages.
    """

    def __init__(self, numbers: Sequence[int], paths: Mapping[str, str], *, messages: bool) -> None:
        self._clients = {number: _Client(ClientResult(number, ok=False, exit_code=None)) for number in numbers}
        self._paths = paths
        self._messages = messages
        self._started = clock.unix_time()
        self._ended: float | None = None
        self._refused: dict[Any, int] = {}

    # --- one client -------------------------------------------------------------------------------------------------------

    def add(self, client_no: int, schema: ReportSchema | None, failures: Callable[[], Iterable[Failure]], extra: Mapping[str, Any]) -> None:
        """Adds the report of one client number.

        Args:
            client_no: the client number.
            schema: its report; None where nothing was sent.
            failures: gives the records that failed.
            extra: what the report for programs has besides.
        """
        client = self._clients[client_no]
        if schema is not None and (path := self._paths.get("failures")) is not None:
            parts = [msgspec.structs.replace(part, failures_file=Path(path).name) for part in schema.parts]
            schema = msgspec.structs.replace(schema, parts=parts)
        client.result = msgspec.structs.replace(client.result, report=schema)
        client.failures, client.extra = failures, extra

    def end_client(self, client_no: int, exit_code: int, error: str | None) -> None:
        """Notes how one client number ended, and writes the reports over all as they are then.

        Args:
            client_no: the client number.
            exit_code: of its run.
            error: what ended it early, or None.
        """
        client = self._clients[client_no]
        client.result = msgspec.structs.replace(client.result, ok=not exit_code, exit_code=exit_code, error=error)
        if any(one.result.exit_code is None for one in self._clients.values()):
            # Whatever ends the process later: what was sent is named. What can't be written is told at the end.
            self._write()

    def refused_before(self, credentials: object) -> int | None:
        """Returns the client number for which the identity service has refused the same credentials, or None.

        Args:
            credentials: what the identity service is given.

        Returns:
            The client number.
        """
        return self._refused.get(credentials)

    def refuse(self, credentials: object, client_no: int) -> None:
        """Notes that the identity service refuses credentials.

        Args:
            credentials: what it was given.
            client_no: the client number.
        """
        self._refused.setdefault(credentials, client_no)

    # --- all --------------------------------------------------------------------------------------------------------------

    def schema(self) -> ClientsReport:
        """Returns the report over all, as it is now.

        Returns:
            The report.
        """
        ended = self._ended if self._ended is not None else clock.unix_time()
        return clients_report(
            [client.result for client in self._clients.values()],
            started=datetime.fromtimestamp(self._started, UTC),
            ended=datetime.fromtimestamp(ended, UTC) if self._ended is not None else None,
            elapsed=max(0.0, ended - self._started),
            files={name: str(Path(path).absolute()).encode("utf-8", "backslashreplace").decode() for name, path in self._paths.items()},
        )

    def as_json(self) -> dict[str, Any]:
        """Returns the report over all for programs.

        Returns:
            A JSON object.
        """
        found: dict[str, Any] = msgspec.to_builtins(self.schema())
        for one, client in zip(found["clients"], self._clients.values(), strict=True):
            if client.extra is not None and one["report"] is not None:
                one["report"] |= {"warnings": client.extra["warnings"]}
            elif client.extra is not None:
                one["checks"] = client.extra["checks"]
        return found

    def end(self) -> bool:
        """Ends the night, and writes the reports over all; one that can't be written is named on standard error.

        Returns:
            Whether all of them were written.
        """
        self._ended = clock.unix_time()
        faults = self._write()
        for fault in faults:
            output.warn(fault)
        return not faults

    def _write(self) -> list[str]:
        """Writes the reports over all, and returns what went wrong."""
        schema = self.schema()
        faults = []
        writers: Mapping[str, Callable[[str], object]] = {
            "report": partial(write_json, schema),
            "html": partial(write_page, schema),
            "failures": lambda path: write_failures(path, self._failures(), messages=self._messages, of_clients=True),
        }
        for name, path in self._paths.items():
            try:
                writers[name](path)
            except OSError as exc:
                faults.append(f"{path} can't be written: {exc.strerror}")
        return faults

    def _failures(self) -> Iterator[Failure]:
        for number, client in self._clients.items():
            for failure in client.failures():
                yield failure._replace(client_no=number)

    def print_end(self) -> None:
        """Prints the summary over all on standard error, the worst first."""
        schema = self.schema()
        output.warn(f"all client numbers: {spaced(clients_verdict(schema)[1])}")
        for client in worst_first(schema):
            code = "not started" if client.exit_code is None else f"exit code {client.exit_code}"
            sums = summed_at_risk(client.report.money_at_risk) if client.report is not None else []
            at_risk = f" Money at risk: {'; '.join(map(output.money_in_words, sums))}." if sums else ""
            said = f". {spaced(client_verdict(client, is_over=True)[1])}" if client.exit_code is not None else ""
            output.warn(f"client {client.client_no}: {code}{said}{at_risk}")
        for one in summed_at_risk(schema.money_at_risk):
            output.warn(f"money at risk over all: {output.money_in_words(one)}")
        if written := [path for path in self._paths.values() if Path(path).exists()]:
            output.warn(f"reports over all: {', '.join(written)}")


_NIGHT: ContextVar[Night | None] = ContextVar("_NIGHT", default=None)


def current_night() -> Night | None:
    """Returns the night of all client numbers; None where a command runs for one.

    Returns:
        The night.
    """
    return _NIGHT.get()


@contextlib.contextmanager
def of_night(night: Night) -> Iterator[None]:
    """Makes a night the current one meanwhile.

    Args:
        night: the night.

    Yields:
        Nothing.
    """
    token = _NIGHT.set(night)
    try:
        yield
    finally:
        _NIGHT.reset(token)
