"""Pure: one part of the report document, out of the report of a run and what those who watched it tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ..bulk.outcomes import safe_message

if TYPE_CHECKING:
    from ..bulk.outcomes import RecordOutcome
    from ..bulk.report import BulkReport
    from .money import Money
    from .timeline import Timeline

__all__ = ["FORMAT", "reasons_of", "report_part"]

FORMAT: Final = "amili-arm report 1"
"""Names what the report document looks like."""

_GROUPS: Final = 50
_EXAMPLES: Final = 10
_KEPT: Final = 2000
_LONGEST: Final = 200
_LONGEST_MESSAGE: Final = 500


@dataclass(slots=True)
class _Group:
    """Records with the same state and reason."""

    state: str
    reason: str
    count: int = 0
    examples: list[RecordOutcome] = field(default_factory=list)

    def take_in(self, record: RecordOutcome) -> None:
        self.count += 1
        if len(self.examples) < _EXAMPLES:
            self.examples.append(record)


def reasons_of(report: BulkReport, line_of: Callable[[int], int | None] | None = None) -> list[dict[str, Any]]:
    """The failures of a run by state and reason, the largest group first.

    At most fifty groups with ten examples each; all others are one more, the last, with the state "other" and no examples. The
    messages are those of this library: a server's words may hold personal data. Two thousand groups are told apart, for a server may
    give each record a reason of its own.

    Args:
        report: the report of the run; its failures are read once, one by one.
        line_of: gives the line of a source by the index of the record, or None.
    """
    groups: dict[tuple[str, str], _Group] = {}
    others = 0
    for record in report.failures():
        name = record.state, _short(record.reason)
        group = groups.get(name)
        if group is None:
            if len(groups) >= _KEPT:
                others += 1
                continue
            group = groups[name] = _Group(*name)
        group.take_in(record)
    # Those of the same size in the order in which they came.
    ordered = sorted(groups.values(), key=lambda group: -group.count)
    others += sum(group.count for group in ordered[_GROUPS:])
    rows = [_row(group, line_of) for group in ordered[:_GROUPS]]
    return [*rows, {"state": "other", "reason": "", "count": others, "examples": []}] if others else rows


def _short(text: str, most: int = _LONGEST) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _row(group: _Group, line_of: Callable[[int], int | None] | None) -> dict[str, Any]:
    examples = [
        {
            "index": record.index,
            "line": line_of(record.index) if line_of is not None else None,
            "key": record.key,
            "message": _short(message, _LONGEST_MESSAGE) if (message := safe_message(record)) is not None else None,
        }
        for record in group.examples
    ]
    return {"state": group.state, "reason": group.reason, "count": group.count, "examples": examples}


def report_part(
    name: str,
    operation: str,
    report: BulkReport,
    *,
    money: Money | None = None,
    timeline: Timeline | None = None,
    sync: Mapping[str, int] | None = None,
    failures_file: str | None = None,
    line_of: Callable[[int], int | None] | None = None,
) -> dict[str, Any]:
    """One of the `parts` of the report document.

    Args:
        name: `"customers"` or `"documents"`.
        operation: what was sent, for example `"documents.create_batch"`.
        report: the report of the run.
        money: has watched the run, or None.
        timeline: has watched the run, or None.
        sync: the numbers of a sync, or None.
        failures_file: name of the file that lists the failures, or None.
        line_of: gives the line of the source by the index of a record, or None.
    """
    totals = report.totals
    return {
        "name": name,
        "operation": operation,
        "read": totals.records_read,
        "source_exhausted": report.source_exhausted,
        "not_read": report.not_read,
        "counts": dict(report.counts),
        "expectation": report.expectation.as_json() if report.expectation is not None else None,
        "shortfall": report.shortfall,
        "batches": len(report.batches),
        "requests": totals.requests,
        "bytes_sent": totals.bytes_sent,
        "elapsed": report.elapsed,
        "sync": dict(sync) if sync is not None else None,
        "money": money.totals(report).as_json() if money is not None else None,
        "reasons": reasons_of(report, line_of),
        "timeline": timeline.as_json() if timeline is not None else None,
        "failures_file": failures_file,
    }
