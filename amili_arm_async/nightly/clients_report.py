"""The schema of the report over several client numbers, and how it is built from the report of each. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Context, Decimal
from itertools import chain, zip_longest
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from ..bulk.outcomes import STATES, State
from ..errors import ConfigurationError
from .report import AtRisk, Command, FirstFailure, Instant, ReportSchema, Seconds, check_instants, format_of, read_report

__all__ = ["CLIENTS_FORMAT", "ClientCommand", "ClientFailure", "ClientResult", "ClientsReport", "clients_report", "read_any_report"]

CLIENTS_FORMAT: Final = "amili-arm clients report 1"
"""The name and number of the format."""

_FIRST: Final = 10
_EXACT: Final = Context(prec=1000)


class ClientFailure(FirstFailure, frozen=True, kw_only=True):
    """One of the first records that failed.

    Attributes:
        client_no: the client number.
    """

    client_no: int


class ClientCommand(Command, frozen=True, kw_only=True):
    """A command that settles failures of one client number.

    Attributes:
        client_no: the client number.
    """

    client_no: int


class ClientResult(Struct, frozen=True):
    """How the run of one client number ended.

    Attributes:
        client_no: the client number.
        ok: whether everything succeeded.
        exit_code: of its run; None where it was not started, or had not ended when this was written.
        error: what ended it early, or why it was not tried, or None.
        report: its report; None where nothing of it was sent.
    """

    client_no: int
    ok: bool
    exit_code: int | None
    error: str | None = None
    report: ReportSchema | None = None


class ClientsReport(Struct, frozen=True):
    """What happened in a night of several client numbers.

    Attributes:
        format: the name and number of this format.
        started: when it began, with its offset.
        ended: when it ended; None where it had not when this was written.
        elapsed: seconds.
        ok: whether everything succeeded for every client number.
        error: what failed, or None.
        clients: the client numbers, in the order of the settings file.
        not_started: the client numbers that were not started; empty before the night ended, when it is not known.
        money_at_risk: count and sum of the documents that did not succeed, by currency and state, of all.
        first_failures: the first records that failed, ten at most, of each client number in turn.
        commands: the commands that settle what is left, in the order of the client numbers.
        files: the paths of the reports over all.
    """

    format: Literal["amili-arm clients report 1"]
    started: Instant
    ended: Instant | None
    elapsed: Seconds
    ok: bool
    error: str | None
    clients: list[ClientResult]
    not_started: list[int]
    money_at_risk: list[AtRisk] = []
    first_failures: list[ClientFailure] = []
    commands: list[ClientCommand] = []
    files: dict[str, str] = {}


def clients_report(
    clients: Sequence[ClientResult], *, started: datetime, ended: datetime | None, elapsed: float, files: Mapping[str, str]
) -> ClientsReport:
    """Builds the report over all.

    Args:
        clients: the client numbers with their reports, in the order of the settings file.
        started: when the night began.
        ended: when it ended, or None.
        elapsed: seconds.
        files: the paths of the reports over all.

    Returns:
        The report.
    """
    found = [(client.client_no, client.report) for client in clients if client.report is not None]
    failures = [[ClientFailure(**_fields(one), client_no=number) for one in report.first_failures] for number, report in found]
    in_turn = (one for row in zip_longest(*failures) for one in row if one is not None)
    failed = [f"client {client.client_no}: exit code {client.exit_code}" for client in clients if client.exit_code]
    return ClientsReport(
        format=CLIENTS_FORMAT,
        started=started,
        ended=ended,
        elapsed=elapsed,
        ok=ended is not None and all(client.ok for client in clients),
        error="; ".join(failed) or None,
        clients=list(clients),
        not_started=[client.client_no for client in clients if client.exit_code is None and ended is not None],
        money_at_risk=list(_summed(chain.from_iterable(report.money_at_risk for _, report in found))),
        first_failures=[one for one, _ in zip(in_turn, range(_FIRST), strict=False)],
        commands=[ClientCommand(**_fields(one), client_no=number) for number, report in found for one in report.commands],
        files=dict(files),
    )


def _fields(of: Struct) -> dict[str, Any]:
    return msgspec.structs.asdict(of)


def _summed(amounts: Iterator[AtRisk]) -> Iterator[AtRisk]:
    """Yields the sums by currency and state; in each currency, what may bill twice comes first."""
    sums: dict[str | None, dict[State, tuple[int, Decimal | None]]] = {}
    for one in amounts:
        of = sums.setdefault(one.currency, {})
        count, total = of.get(one.state, (0, None))
        if one.total is not None:
            total = _EXACT.add(total or Decimal(0), Decimal(one.total))
        of[one.state] = count + one.count, total
    for currency, of in sums.items():
        for state in sorted(of, key=lambda state: (state != "unknown", STATES.index(state))):
            count, total = of[state]
            yield AtRisk(state, currency, count, format(total, "f") if total is not None else None)


# --- reading ------------------------------------------------------------------------------------------------------------


_DECODER: Final = msgspec.json.Decoder(ClientsReport)


def read_any_report(data: bytes) -> ReportSchema | ClientsReport:
    """Reads a report of one client number, or over several, from JSON. Unknown fields are ignored.

    Args:
        data: the JSON text, as `amili-arm nightly --report` writes it.

    Returns:
        The report.

    Raises:
        ConfigurationError: it is no such report; the message has the JSON path of what is wrong.
    """
    if format_of(data) != CLIENTS_FORMAT:
        return read_report(data)
    try:
        report = _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise ConfigurationError(f"not a report: {exc}") from exc
    check_instants(report)
    for place, client in enumerate(report.clients):
        if client.report is not None:
            check_instants(client.report, f"$.clients[{place}].report")
    return report
