"""`amili-arm replay`: what a dead letter file holds is sent again, through the same gate as the first time; see `replay_plan`."""

from __future__ import annotations

import os
from array import array
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Final

from anyio import to_thread

from .. import wire
from ..bulk.lookups import NOT_LOOKED_UP, accepted_after_look_up, found_outcome, is_refusal, not_found_outcome
from ..bulk.outcomes import SUCCESS, BatchOutcome, Outcome, can_be_looked_up
from ..bulk.report import BulkReport
from ..bulk.run import BulkRun
from ..client import ArmClient
from ..config import BulkOptions, Reconcile
from ..errors import ArmError, ConfigurationError, JournalError, NotFoundError
from ..models.batches import BatchResult
from ..resources.concurrent import ConcurrentMap
from . import output
from .dead_letters import OPERATIONS, DeadLetterFile, changed, read_letter
from .options import check_files
from .progress import UpdateBar, bar
from .replay_journals import keep_cut_off
from .replay_plan import Plan
from .replay_table import Group, LetterRow, LineTable
from .runner import GRACE, BatchLines, on_progress, send

__all__ = ["Replay"]

_SOME: Final = 500

_UNMAPPED: Final = Outcome(
    "accepted", "unmapped", "its batch did not fare alike, and without a number nobody can tell which record this is"
)
_GONE: Final = Outcome("accepted", "result_gone", "the server has no result of its batch any more")


@dataclass
class Replay:
    """One replay: what it is told, and what happened so far, right at any time.

    Attributes:
        arm: the client; it is closed at the end.
        path: of the dead letter file.
        base_url: where the client sends; lines of other addresses and client numbers stay.
        options: of the bulk runs.
        reconcile: how journals look documents up.
        grace: seconds that the batches on the wire have to end after a signal.
        quiet: whether nothing is shown or told while it goes on.
        extra_fields: whether lines with fields that the API does not show are sent.
        named: the first lines that are left, with their numbers in the file as it is now; of broken ones, what is wrong with them.
    """

    arm: ArmClient
    path: str
    base_url: str
    options: BulkOptions
    reconcile: Reconcile = field(default_factory=lambda: Reconcile(settle=0.0))
    grace: float = GRACE
    quiet: bool = False
    extra_fields: bool = False
    named: list[tuple[int, LetterRow | str]] = field(default_factory=list)
    _done: int = 0

    def __post_init__(self) -> None:
        self._lines = BatchLines("replay", quiet=self.quiet)
        self._open()

    def _open(self) -> None:
        self._file = DeadLetterFile(self.path)
        try:
            self._plan = self._make_plan()
            self._check_files()
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Closes the file, and forgets what was known of its lines."""
        self._file.close()
        self._table.close()

    def _make_plan(self) -> Plan:
        own_journal = f"{os.path.realpath(self.path)}.journal"
        plan = Plan(self._file, self.base_url, self.arm.client_no, own_journal, extra_fields=self.extra_fields)
        plan.make()
        return plan

    def _check_files(self) -> None:
        """Refuses a file that is one of the journals that its lines name, or that can't be replaced.

        Raises:
            ConfigurationError: the reason is in the message.
        """
        journals = {group.journal for group in self._plan.groups.values() if group.has_journal}
        check_files([("FILE", self.path, "dead letter"), *(("a journal that a line names", path, "journal") for path in journals)])

    @property
    def _table(self) -> LineTable:
        return self._plan.table

    def prepare(self) -> None:
        """Sees to it that every line that will be sent names the journal that it is sent with, before anything is.

        Raises:
            OSError: the file can't be written; nothing is sent.
            JournalError: the replay's own journal can't be written; nothing is sent.
        """
        if self._plan.needs_rewriting:
            if doubles := self._table.count("action = 'drop'"):
                output.warn(f"{doubles:,} lines were in the file twice: the second ones are taken out")
            self._plan.prepare()
            self.close()
            self._open()

    async def run(self) -> None:
        """Asks for results, looks documents up, and sends what may be sent, customers first.

        Raises:
            ArmError: it could not go on.
            InterruptedRunError: a signal ended it.
        """
        with bar("replay", self._table.count("action <> 'stay'"), quiet=self.quiet) as show:
            async with self.arm:
                await self._ask_for_results(show)
                await self._look_up(show)
                for operation in OPERATIONS:
                    for group in self._plan.groups.values():
                        if group.operation == operation and self._table.count("grp = ? AND action = 'send'", group.id):
                            await self._send(group, show)

    # --- what is only asked -----------------------------------------------------------------------------------------------

    async def _ask_for_results(self, show: UpdateBar | None) -> None:
        async with self.arm.batches.wait_many(self._table.uuids(), deadline=self.options.deadline) as results:
            async for result in results:
                self._take_result(result, show)

    def _take_result(self, result: BatchResult, show: UpdateBar | None) -> None:
        rows = list(self._table.rows("action = 'poll' AND uuid = ?", result.batch_uuid))
        if result.outcome == "gone" or not rows:
            verdict, others = _GONE, dict[int, Outcome]()
        else:
            is_document = self._plan.groups[rows[0].grp].is_document
            rules = self.arm._context.rules  # noqa: SLF001 - what a bulk run of this client reads results with
            key_names = ("documentNo",) if is_document else ("customerNo",)
            verdict, others = rules.read_some(result, [row.key for row in rows], key_names)
        said = [others.get(place, verdict) for place in range(len(rows))]
        # The lines of a file may be in any order: which of several records without a number is meant, no place tells.
        alike = len({one for row, one in zip(rows, said, strict=True) if row.key is None}) <= 1
        for row, one in zip(rows, said, strict=True):
            told = one if alike or row.key is not None else _UNMAPPED
            if row.key is not None and self._plan.groups[row.grp].is_document and can_be_looked_up(told):
                self._table.is_looked_up(row.number, told)
            else:
                self._settle(row, told, show)

    async def _look_up(self, show: UpdateBar | None) -> None:
        rows = self._table.rows("action = 'look'")
        async with ConcurrentMap(rows, self._ask, at_once=self.reconcile.concurrency, ordered=False) as answers:
            async for row, verdict in answers:
                before = Outcome("accepted", row.new_reason or "", row.new_message)
                self._settle(row, accepted_after_look_up(verdict, before) if row.state == "accepted" else verdict, show)

    async def _ask(self, row: LetterRow) -> tuple[LetterRow, Outcome]:
        """What the server has under the number of a document."""
        letter = read_letter(self._file.read([row.piece])[0])
        try:
            response = await self.arm.request("GET", f"documents/{wire.segment('documentNo', letter.key)}")
        except NotFoundError as exc:
            return row, not_found_outcome(exc)
        except ArmError as exc:
            if is_refusal(exc):
                raise
            return row, NOT_LOOKED_UP
        return row, found_outcome(str(letter.key), bytes(letter.payload), response)

    def _settle(self, row: LetterRow, verdict: Outcome, show: UpdateBar | None) -> None:
        if verdict.state in SUCCESS:
            self._table.mark_succeeded([row.number])
        else:
            self._table.stays(row.number, verdict)
        self._done += 1
        if show is not None:
            show(self._done, "")

    # --- what is sent -----------------------------------------------------------------------------------------------------

    async def _send(self, group: Group, show: UpdateBar | None) -> None:
        """Sends the lines of a run with its journal."""
        before = self._done
        payloads = _Payloads(self._file, self._table, group)
        moved: UpdateBar | None = None if show is None else lambda done, text, estimate=None: show(before + done, text)

        def told(outcome: BatchOutcome) -> None:
            self._note_tries(outcome, payloads)
            self._lines.on_settled(outcome)

        run = self._begin(group, payloads, on_progress(moved, lines=self._lines))
        try:
            await send(run, self.grace, told)
        except (JournalError, ConfigurationError) as exc:
            # Nothing of it was sent; that is no reason to keep back the others.
            group.trouble = str(exc)
        finally:
            self._take_report(run.report, payloads)
            if group.is_cut_off:
                keep_cut_off(group)
        self._done = before + len(payloads.numbers)

    def _begin(self, group: Group, payloads: _Payloads, tell: Any) -> BulkRun:
        is_document = group.is_document
        options = replace(
            self.options,
            journal=group.journal,
            run_id=group.run_id,
            reconcile=self.reconcile if is_document else False,
            on_progress=tell,
        )
        if is_document:
            return self.arm.documents.create_many(payloads, options=options)
        if group.operation == "customers.update_batch":
            return self.arm.customers.update_many(payloads, options=options)
        return self.arm.customers.create_many(payloads, options=options)

    def _note_tries(self, outcome: BatchOutcome, payloads: _Payloads) -> None:
        if outcome.attempts and not outcome.counts.keys() <= SUCCESS:
            for index in outcome.indexes:
                self._table.sent(payloads.numbers[index], outcome.attempts, outcome.batch_uuid)

    def _take_report(self, report: BulkReport, payloads: _Payloads) -> None:
        read = min(report.totals.records_read, len(payloads.numbers))
        self._table.mark_succeeded(payloads.numbers[:read])
        for failure in report.failures():
            self._table.stays(payloads.numbers[failure.index], Outcome(failure.state, failure.reason, failure.message))

    # --- the file ---------------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Rewrites the file: lines that made it are gone, the others say what is known of them now.

        Raises:
            OSError: it can't be written; it is as it was.
        """
        self._table.count_on()
        change = _Change(self._table, self._plan.faults, self.named)
        if self._table.count("gone OR new_state IS NOT NULL OR new_attempts IS NOT NULL"):
            self._file.rewrite(change)
        else:
            for _, line in self._file.lines():
                change(line)

    # --- what happened ----------------------------------------------------------------------------------------------------

    @property
    def ok(self) -> bool:
        """Whether no line is left."""
        return not self._table.count("NOT gone") and not self._plan.broken and not self._plan.refused

    @property
    def is_for_others(self) -> bool:
        """Whether all lines are of other addresses and client numbers."""
        return bool(self._plan.refused) and not self._plan.groups

    def as_json(self) -> dict[str, Any]:
        """For a program."""
        return {
            "lines": self._table.count("TRUE") + self._plan.broken + self._plan.refused.total(),
            "succeeded": self._table.count("gone"),
            "left": self._table.left(),
            "broken": self._plan.broken,
            "refused": self._plan.refused.total(),
        }

    def print_table(self) -> None:
        """For a person, on standard error."""
        told = self.as_json()
        left = {**told.pop("left"), "broken": told["broken"], "of others": told["refused"]}
        rows = [
            ("succeeded", f"{told['succeeded']:,}"),
            *[(f"left: {state}", f"{number:,}") for state, number in left.items() if number],
            (),
            ("lines", f"{told['lines']:,}"),
        ]
        output.table("replay", ("", "lines"), rows, stderr=True)

    def tell(self, *, server_messages: bool) -> None:
        """Says on standard error what is left and why: of whole runs, and the first lines."""
        for (base_url, client_no), number in self._plan.refused.items():
            output.warn(
                f"{number:,} lines are of client number {client_no} at {output.plain(base_url)}, and this is {self.arm.client_no} at "
                f"{self.base_url}: they stay"
            )
        for group in self._plan.groups.values():
            if group.trouble is not None:
                output.warn(f"{self._table.count('grp = ? AND NOT gone', group.id):,} lines stay: {group.trouble}")
        for number, found in self.named:
            output.warn(_words(number, found, server_messages=server_messages))
        if (more := self._table.count("NOT gone") + self._plan.broken - len(self.named)) > 0:
            output.warn(f"... and {more:,} more")


def _words(number: int, found: LetterRow | str, *, server_messages: bool) -> str:
    if isinstance(found, str):
        return f"line {number} is no line of a dead letter: {output.plain(found)}"
    where = f"line {number}"
    if found.new_state is not None:
        return output.describe(where, found.key, found.new_state, found.new_reason, found.new_message, server_messages=server_messages)
    text = output.describe(where, found.key, found.state, found.reason, None, server_messages=server_messages)
    return f"{text} {output.plain(found.note)}" if found.note is not None else text


class _Change:
    """What becomes of each line of the file, as it is now, when it is rewritten: other runs may have written into it meanwhile.

    Args:
        table: the lines as they were.
        faults: what is wrong with broken ones, by their prints.
        named: gets the first lines that are left.
    """

    def __init__(self, table: LineTable, faults: Mapping[int, str], named: list[tuple[int, LetterRow | str]]) -> None:
        self._table = table
        self._faults = faults
        self._named = named
        self._at_least = 1
        self._number = 0

    def __call__(self, line: bytes) -> bytes | None:
        row = self._table.find(hash(line), self._at_least)
        self._at_least = row.number + 1 if row is not None else self._at_least
        if row is not None and row.gone:
            return None
        self._number += 1
        found = row or self._faults.get(hash(line))
        if found is not None and len(self._named) < output.MAX_NAMED:
            self._named.append((self._number, found))
        changes = _changes(row) if row is not None else {}
        return changed(line, changes) if changes else line


class _Payloads:
    """The records of a run's lines, in their order, for `create_many`.

    Attributes:
        numbers: the line of each record that was given; 0 for one that only takes the place of what is there already.
    """

    def __init__(self, file: DeadLetterFile, table: LineTable, group: Group) -> None:
        self.numbers = array("q")
        self._file = file
        self._table = table
        self._group = group.id

    async def __aiter__(self) -> AsyncIterator[bytes]:
        first = "action = 'send' AND mark > 0 AND number IN (SELECT min(number) FROM lines WHERE grp = ? AND action = 'send' GROUP BY name)"
        for row in self._table.rows(first, self._group):
            text = self._file.read([row.piece])[0]
            for _ in range(row.mark or 0):
                self.numbers.append(0)
                yield bytes(read_letter(text).payload)
        rows = self._table.rows("grp = ? AND action = 'send'", self._group)
        while some := list(islice(rows, _SOME)):
            texts = await to_thread.run_sync(self._file.read, [row.piece for row in some])
            for row, text in zip(some, texts, strict=True):
                self.numbers.append(row.number)
                yield bytes(read_letter(text).payload)


def _changes(row: LetterRow) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if row.new_state is not None:
        changes |= {"state": row.new_state, "reason": row.new_reason, "message": row.new_message}
    if row.new_attempts is not None:
        changes |= {"attempts": row.new_attempts, "batch_uuid": row.new_uuid}
    if row.new_mark is not None:
        changes["taken_before"] = row.new_mark
    return changes
