"""`--metrics FILE`: numbers of a run as a text file for the textfile collector of the Prometheus node exporter."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

from ..bulk.outcomes import STATES, success_states
from ..bulk.report import BulkReport
from ..files import followed
from ..nightly.money import MoneyTotals

__all__ = ["FAMILIES", "MetricsFile", "RunNumbers"]

_MOST_CURRENCIES: Final = 20
"""Currencies with a sum of their own; a source with nonsense in that field must not make a thousand series."""

_LARGEST: Final = 10_000_000
_FIRST: Final = "# HELP amili_arm_"
_SAMPLE: Final = re.compile(r"(amili_arm_[a-z_]+)\{((?:[a-z_]+=\"[^\"\\\n]*\",?)+)\} (\S+)")
_LABEL: Final = re.compile(r"([a-z_]+)=\"([^\"\\\n]*)\"")

FAMILIES: Final[Mapping[str, str]] = {
    "amili_arm_run_in_progress": "1 while the run is going on, else 0",
    "amili_arm_run_start_timestamp_seconds": "Unix time of the start of the run",
    "amili_arm_run_end_timestamp_seconds": "Unix time of the end of the run; missing while it is going on",
    "amili_arm_run_exit_code": "Exit code of the run; missing while it is going on",
    "amili_arm_last_success_timestamp_seconds": "Unix time of the end of the last run that ended with exit code 0",
    "amili_arm_unknown_records": "Records that may or may not have been accepted, those of earlier attempts of the run included",
    "amili_arm_run_records": "Records of the run by final state",
    "amili_arm_run_read_records": "Records that the run has read",
    "amili_arm_run_batches": "Batches that the run has sent",
    "amili_arm_run_open_batches": "Batches that were accepted and whose result is still to come",
    "amili_arm_run_requests": "Requests with records that the run has sent, repeats included",
    "amili_arm_run_sent_bytes": "Size of the bodies of these requests",
    "amili_arm_run_duration_seconds": "Seconds that the run has taken",
    "amili_arm_run_waiting_seconds": "Seconds in which the server accepted nothing and the run waited",
    "amili_arm_run_money_at_risk": "Sum of the documents that did not succeed, in the main unit of the currency",
}
"""Each family with its help. All are gauges: they are of one run, and begin anew with the next."""

_KEPT: Final = frozenset({"amili_arm_last_success_timestamp_seconds", "amili_arm_unknown_records"})
"""Families whose samples stay until a later run says otherwise."""

Labels: TypeAlias = tuple[tuple[str, str], ...]
Samples: TypeAlias = dict[tuple[str, Labels], str]


class RunNumbers(NamedTuple):
    """What the file says of one run.

    Attributes:
        client_no: the client number; None where the run ended before it was known.
        started: Unix time.
        ended: Unix time; None while it is going on.
        exit_code: None while it is going on.
        waited: seconds in which the server accepted nothing.
        open_batches: batches whose result is still to come.
        reports: of the bulk runs, by the kind of their records.
        money: of the documents, or None.
    """

    client_no: int | None
    started: float
    ended: float | None
    exit_code: int | None
    waited: float
    open_batches: int
    reports: Mapping[str, BulkReport]
    money: MoneyTotals | None


class MetricsFile:
    """The file. What it says of other commands and client numbers stays, and so does the time of the last success.

    Args:
        path: of the file.
        command: name of the command, a label of every sample.
    """

    def __init__(self, path: str, command: str) -> None:
        self.path = path
        self._command = command
        self._before: Samples | None = None

    def text(self, runs: Iterable[RunNumbers]) -> str:
        """Returns the content for these runs of the command.

        Args:
            runs: one for each client number.

        Returns:
            The text format of Prometheus; also valid as OpenMetrics.

        Raises:
            OSError: there is a file already that can't be read, or that is no file of metrics of this command.
        """
        if self._before is None:
            self._before = _read(self.path)
        samples: Samples = {}
        for run in runs:
            samples.update({(name, labels): value for name, labels, value in self._samples(run)})
        ours = {dict(labels).get("client_no") for _, labels in samples}
        for (name, labels), value in self._before.items():
            given = dict(labels)
            is_of_this_run = given.get("command") == self._command and given.get("client_no") in {*ours, ""}
            if name in FAMILIES and (not is_of_this_run or (name in _KEPT and given.get("client_no"))):
                samples.setdefault((name, labels), value)
        return _render(samples)

    def write(self, text: str) -> None:
        """Writes the file in one step; others may read it, as the node exporter is another user.

        Args:
            text: its content.

        Raises:
            OSError: it can't be written; what was there stays.
        """
        real = Path(followed(self.path))
        draft = real.with_name(f"{real.name}.{secrets.token_hex(4)}.new")
        try:
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), "wb") as file:
                file.write(text.encode())
                if hasattr(os, "fchmod"):
                    # Whatever the umask is.
                    os.fchmod(file.fileno(), 0o644)
            draft.replace(real)
        finally:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)

    def _samples(self, run: RunNumbers) -> Iterator[tuple[str, Labels, str]]:
        labels: Labels = (("command", self._command), ("client_no", str(run.client_no or "")))
        yield "amili_arm_run_in_progress", labels, "0" if run.exit_code is not None else "1"
        yield "amili_arm_run_start_timestamp_seconds", labels, f"{run.started:.3f}"
        yield "amili_arm_run_waiting_seconds", labels, f"{run.waited:.3f}"
        if run.ended is not None and run.exit_code is not None:
            yield "amili_arm_run_end_timestamp_seconds", labels, f"{run.ended:.3f}"
            yield "amili_arm_run_exit_code", labels, str(run.exit_code)
            if run.exit_code == 0:
                yield "amili_arm_last_success_timestamp_seconds", labels, f"{run.ended:.3f}"
        yield "amili_arm_run_open_batches", labels, str(run.open_batches)
        for kind, report in run.reports.items():
            yield from _of_report((*labels, ("kind", kind)), report)
        if run.money is not None and (documents := run.reports.get("documents")) is not None:
            yield from _of_money((*labels, ("kind", "documents")), run.money, documents)


def _of_report(labels: Labels, report: BulkReport) -> Iterator[tuple[str, Labels, str]]:
    totals = report.totals
    yield "amili_arm_unknown_records", labels, str(report.counts["unknown"] + report.left_behind.get("unknown", 0))
    for state in STATES:
        yield "amili_arm_run_records", (*labels, ("state", state)), str(report.counts[state])
    yield "amili_arm_run_read_records", labels, str(totals.records_read)
    yield "amili_arm_run_batches", labels, str(totals.batches_sent)
    yield "amili_arm_run_requests", labels, str(totals.requests)
    yield "amili_arm_run_sent_bytes", labels, str(totals.bytes_sent)
    yield "amili_arm_run_duration_seconds", labels, f"{report.elapsed:.3f}"


def _of_money(labels: Labels, money: MoneyTotals, report: BulkReport) -> Iterator[tuple[str, Labels, str]]:
    successes = success_states(accepted_is_enough=not report.results_awaited)
    currencies = sorted(money.currencies, key=lambda one: -one.read.count)[:_MOST_CURRENCIES]
    for one in currencies:
        for state in STATES:
            if state not in successes:
                total = one.states[state].total if state in one.states else None
                yield "amili_arm_run_money_at_risk", (*labels, ("currency", one.currency or ""), ("state", state)), f"{total or 0:f}"


def _render(samples: Samples) -> str:
    lines = []
    for name, text in FAMILIES.items():
        found = [(labels, value) for (family, labels), value in samples.items() if family == name]
        if found:
            lines += [f"# HELP {name} {text}.", f"# TYPE {name} gauge"]
        for labels, value in found:
            shown = ",".join(f'{label}="{given}"' for label, given in labels)
            lines.append(f"{name}{{{shown}}} {value}")
    return "\n".join([*lines, "# EOF", ""])


def _read(path: str) -> Samples:
    """Returns the samples of the file as it was; none where there is no file, or an empty one.

    Raises:
        OSError: it can't be read, or is something else.
    """
    if Path(path).exists() and not Path(path).is_file():
        # A device would be replaced by a file, and a pipe waits for its writer.
        raise OSError(0, "it is no regular file")
    try:
        with Path(path).open("rb") as file:
            text = file.read(_LARGEST).decode("utf-8", "replace")
    except FileNotFoundError:
        return {}
    if text and not text.startswith(_FIRST):
        raise OSError(0, "there is a file already, and it is no file of metrics of this command: give another path, or remove it")
    found = (_SAMPLE.fullmatch(line) for line in text.splitlines())
    return {(sample[1], tuple(_LABEL.findall(sample[2]))): sample[3] for sample in found if sample is not None and _is_number(sample[3])}


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
