"""What the books of the service, the report of a run and its journal must agree on. Pure: each check gives what is wrong, in words."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

from amili_arm_async import BulkReport
from amili_arm_async.bulk.journal.inspect import JournalRun
from amili_arm_async.bulk.journal.sqlite import inspect
from amili_arm_async.bulk.outcomes import FAILURES
from amili_arm_async.nightly.money import MoneyTotals

from .service import Batch, name_of

__all__ = [
    "a_batch_given_up",
    "another_batch_uuid",
    "money_is_lost",
    "read_runs",
    "seen_since",
    "total_of",
    "unknown_with_uuid",
    "what_a_journal_lost",
    "what_a_journal_says_otherwise",
    "what_a_report_says_of_its_source",
    "what_has_two_rows",
    "what_is_taken_out",
    "what_is_there_twice",
]

_MAY_BE_TAKEN = ("succeeded", "accepted", "unknown", "failed")


def total_of(place: int) -> int:
    """The total of a document: a sum of several says which documents they are."""
    return 8**place


def read_runs(journal: Path) -> list[JournalRun]:
    """Reads the runs of a journal; none where there is no journal yet."""
    if not journal.exists():
        return []
    # As `read_journal` does, but for its checks of the file: these are many, and take most of its time.
    with closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True)) as connection:
        try:
            rows = connection.execute("SELECT id FROM runs WHERE pruned IS NULL").fetchall()
        except sqlite3.OperationalError:
            # Its process was killed before it had made it.
            return []
        return [inspect.read_run(connection, run, keys=False, running=False) for (run,) in rows]


def unknown_with_uuid(journal: Path) -> int:
    """Returns how many batches of a journal are unknown, and have a batchUuid of their own."""
    if not journal.exists():
        return 0
    with closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True)) as connection:
        try:
            query = "SELECT count(*) FROM batches WHERE uuid IS NOT NULL AND shared = 0 AND state = 'settled' AND final = 'unknown'"
            return int(connection.execute(query).fetchone()[0])
        except sqlite3.DatabaseError:
            # There is none yet, or somebody took away a part of it.
            return 0


def what_a_journal_lost(runs: Iterable[JournalRun], taken: Mapping[str, int]) -> str | None:
    """What was taken is known to the journal as something that may have been, whatever ended the process."""
    known = sum(run.counts.get(state, 0) for run in runs for state in _MAY_BE_TAKEN)
    number = sum(taken.values())
    return f"{number} documents were taken, and it knows of {known}" if number > known else None


def what_is_there_twice(run: JournalRun, given: int) -> str | None:
    """A journal has each document of a run once, but for those that it was not compared with: a run that was cut off can't say of them that
    they are new."""
    there = sum(run.counts.get(state, 0) for state in _MAY_BE_TAKEN)
    there -= sum(batch.records for batch in run.unknown_batches if batch.reason == "journal")
    return f"{there} documents may have been taken, and {given} were given" if there > given else None


def what_has_two_rows(run: JournalRun, given: int) -> str | None:
    """Whatever became of the records of a run, its journal has each once. What is invalid may have a row beside that of what was sent with
    its number."""
    there = sum(number for state, number in run.counts.items() if state != "invalid")
    return f"{dict(run.counts)} in the journal, and {given} were given" if there > given else None


def what_a_journal_says_otherwise(run: JournalRun, report: BulkReport, *, is_all: bool) -> str | None:
    """After a run that came to its end, its journal counts what its report does.

    Args:
        run: as the journal has it.
        report: of the run.
        is_all: whether its source has all that it ever had: what never left, and the source has no longer, is in no report.
    """
    said = Counter(report.counts) + Counter(report.left_behind)
    said["succeeded"] += said.pop("done_before", 0)
    # A document that has the number of another one has a row of its own only where that was not sent in another run.
    open_states = ("accepted", "unknown", "not_sent", "rejected") if is_all else ("accepted", "unknown")
    differ = [state for state in open_states if run.counts.get(state, 0) != said[state]]
    return ", ".join(f"{run.counts.get(state, 0)} {state} in the journal, {said[state]} in the report" for state in differ) or None


def money_is_lost(
    totals: MoneyTotals, read: int, source: Sequence[Mapping[str, Any]], states: Mapping[int, str], success: AbstractSet[str]
) -> Iterator[str]:
    """Compares the sums of a run with those of the documents that it named: `states` has the state of each that did not succeed."""
    if not totals.adds_up:
        yield "the money does not add up"
    expected: Counter[tuple[str, str]] = Counter()
    for index in range(read):
        expected[states.get(index, "success"), str(source[index].get("currency"))] += int(source[index]["currencyAmounts"]["inclVat"])
    found: dict[tuple[str, str], Decimal] = {}
    for currency in totals.currencies:
        for state, part in currency.states.items():
            name = "success" if state in success else state, str(currency.currency)
            found[name] = found.get(name, Decimal(0)) + (part.total or 0)
    for name in sorted({*expected, *found}):
        if found.get(name, Decimal(0)) != expected[name]:
            yield f"{found.get(name, 0)} {name[1]} are {name[0]}, and the documents of that state have {expected[name]}"


def what_a_report_says_of_its_source(report: BulkReport, wanted: int, *, is_list: bool, stop_after: int | None) -> str | None:
    """A report is right about how much of its source was read, and a run whose records fail ends.

    Args:
        report: of the run.
        wanted: how many records it was to read.
        is_list: whether the source has an end for sure.
        stop_after: after how many failures it ends; None: at no number, or something else ended it.
    """
    read = report.totals.records_read
    if read < wanted and (report.source_exhausted or report.ok):
        return f"it is called read to its end, and {read} of {wanted} were read"
    if read < wanted and report.error is not None and is_list:
        return f"{read} of {wanted} records are named of a list, and a failure ended the run"
    failures = sum(report.counts[state] for state in FAILURES)
    if stop_after is not None and failures >= stop_after:
        return f"{failures} records failed, it was to end after {stop_after}, and it did not"
    return None


def another_batch_uuid(report: BulkReport, source: Sequence[Mapping[str, Any]], batches: Mapping[str, Batch]) -> str | None:
    """The batchUuid of a batch in a report is one that the service gave to its records."""
    for batch in report.batches:
        if batch.batch_uuid is not None:
            name, there = name_of(dict(source[batch.first_index])), batches.get(batch.batch_uuid)
            if there is None or name not in map(name_of, there.records):
                return f"{name} has the batchUuid of another batch"
    return None


def a_batch_given_up(report: BulkReport, batches: Mapping[str, Batch], deadline: float, now: float) -> str | None:
    """The result of a batch that this run sent is waited for until the deadline."""
    reasons = {failure.index: failure.reason for failure in report.failures()}
    for batch in report.batches:
        there = batches.get(batch.batch_uuid or "")
        if batch.attempts and there is not None and reasons.get(batch.first_index) == "deadline" and now - there.taken_at < deadline:
            return f"{there.uuid} was waited for for {now - there.taken_at:.0f} s"
    return None


def what_is_taken_out(
    before: Mapping[bytes, int], after: Mapping[bytes, int], taken: Mapping[str, int], since: Mapping[bytes, int]
) -> list[str]:
    """Returns the documents that a replay took out of a dead letter, and that the service has not taken, or not so many of them.

    Args:
        before: its lines before, each with how often it was there.
        after: its lines afterwards.
        taken: by name, how often each document was taken.
        since: by line, how often its document had been taken when the line was first seen.
    """
    names, left = ({name for name, _, _ in _of_lines(lines)} for lines in (before, after))
    found = {name for name in names - left if not taken[name]}
    # Of what is equal, each line that says that it was not taken needs one of its own.
    gone, first = Counter[str](), dict[str, int]()
    for name, line, number in _of_lines(before):
        if name.startswith("content ") and json.loads(line)["state"] in {"failed", "rejected", "not_sent"}:
            gone[name] += number
            first[name] = min(first.get(name, since[line]), since[line])
    for name, _, number in _of_lines(after):
        gone[name] -= number
    return sorted(found | {name for name in first if gone[name] > taken[name] - first[name]})


def _of_lines(lines: Mapping[bytes, int]) -> Iterator[tuple[str, bytes, int]]:
    """The documents of the lines of a dead letter: their names, the lines, and how often each is there."""
    for line, number in lines.items():
        if (payload := json.loads(line)["payload"]) is not None:
            yield name_of(payload), line, number


def seen_since(lines: Mapping[bytes, int], before: Mapping[bytes, int], taken: Mapping[str, int]) -> dict[bytes, int]:
    """Says of each line of a dead letter how often its document had been taken when the line was first seen.

    Args:
        lines: the lines.
        before: what it said before.
        taken: by name, how often each document was taken.
    """
    return {line: min(before.get(line, taken[name]), taken[name]) for name, line, _ in _of_lines(lines)}
