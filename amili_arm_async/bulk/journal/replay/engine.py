"""The replay of a dead letter file, without a screen: asks for results, looks documents up, sends what may be sent, rewrites the file."""

from __future__ import annotations

import contextlib
import os
from array import array
from collections import Counter
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from itertools import islice
from typing import Any, Final, Protocol

from anyio import to_thread

from ....config import BulkOptions, Reconcile, is_storable
from ....errors import ArmError, ConfigurationError, JournalError
from ....models.batches import BatchResult
from ....wire import Response
from ...lookups import LookUps, accepted_after_look_up
from ...outcomes import SUCCESS, BatchOutcome, Outcome, can_be_looked_up
from ...parts import SharedPart
from ...report import BulkReport
from ...results import BatchRules
from ...run import BulkRun
from ...source import SomeRecords
from ..factory import replay_journals
from .letters import DeadLetterFile, changed, read_letter, unmarked
from .lines import LineGroup, LineTable, ReplayLine
from .plan import ReplayPlan, run_key

__all__ = ["Replay", "ReplayClient"]

_AT_ONCE: Final = 500
"""Lines that are read, or looked up, at a time."""

_UNMAPPED: Final = Outcome(
    "accepted", "unmapped", "the outcomes in its batch differ, and without a number nothing tells which of them is that of this record"
)
_GONE: Final = Outcome("accepted", "result_gone", "the server has no result of its batch any more")


class ReplayClient(Protocol):
    """What a replay needs of a client.

    Attributes:
        base_url: the address that it sends to.
        client_no: the client number that it sends for.
        rules: how it reads the results of batches.
    """

    base_url: str
    client_no: int
    rules: BatchRules

    def results(self, batch_uuids: Iterable[str]) -> AbstractAsyncContextManager[AsyncIterator[BatchResult]]:
        """Waits for the results of batches.

        Args:
            batch_uuids: their batchUuids.

        Returns:
            A context in which the results are iterated.
        """
        ...

    async def get_document(self, number: str) -> Response:
        """Asks for a document.

        Args:
            number: its documentNo.

        Returns:
            The answer.

        Raises:
            ArmError: any answer but a 2xx.
        """
        ...

    async def begin(self, operation: str, payloads: AsyncIterable[bytes], options: BulkOptions, part: SharedPart | None) -> BulkRun:
        """Makes a bulk run.

        Args:
            operation: for example `documents.create_batch`.
            payloads: the records, as JSON.
            options: of the run.
            part: the part of a shared run that it is, or None.

        Returns:
            The run, not begun.

        Raises:
            ArmError: nothing of the part may be sent.
        """
        ...

    async def send(self, run: BulkRun, on_settled: Callable[[BatchOutcome], None]) -> None:
        """Does a run.

        Args:
            run: the run.
            on_settled: called with each outcome.

        Raises:
            ArmError: it could not continue.
        """
        ...

    def on_progress(self, done: int) -> None:
        """So many lines are done.

        Args:
            done: their number.
        """
        ...


class Replay:
    """One replay of a dead letter file; what it says of itself is correct at any time.

    Args:
        client: sends and asks.
        path: of the dead letter file, which is rewritten.
        options: of the bulk runs.
        reconcile: how the runs look documents up.
        unknown_fields: see `ReplayPlan`.
        max_named: how many of the lines that are left are named.

    Attributes:
        path: of the file.
        named: the first lines that are left, with their numbers in the file as it is now; of lines that can't be read, what is wrong.
        done: number of lines that were dealt with.

    Raises:
        OSError: the file can't be read.
    """

    def __init__(
        self,
        client: ReplayClient,
        path: str,
        options: BulkOptions,
        reconcile: Reconcile,
        *,
        unknown_fields: Callable[[bytes, bool], str] | None,
        max_named: int,
    ) -> None:
        self.path = path
        self.named: list[tuple[int, ReplayLine | str]] = []
        self.done = 0
        self._client = client
        self._options = options
        self._reconcile = reconcile
        self._unknown_fields = unknown_fields
        self._max_named = max_named
        self._journals = replay_journals()
        self._refused: ArmError | None = None
        # The groups of customers that were sent.
        self._sent: list[LineGroup] = []
        self._look_ups = LookUps(
            client.get_document,
            concurrency=reconcile.concurrency,
            is_stopped=lambda: self._refused is not None,
            on_refused=self._refuse,
        )
        self._open()

    def _open(self) -> None:
        self._file = DeadLetterFile(self.path)
        try:
            own_journal = f"{os.path.realpath(self.path)}.journal"
            if not is_storable(own_journal):
                raise ConfigurationError("its lines name the journal beside the file, so the path must be UTF-8: move or rename the file")
            client = self._client
            self._plan = ReplayPlan(self._file, client.base_url, client.client_no, own_journal, self._journals, self._unknown_fields)
            self._plan.make()
        except BaseException:
            self._file.close()
            raise

    def _refuse(self, error: ArmError) -> None:
        self._refused = self._refused or error

    def close(self) -> None:
        """Closes the file, and forgets its lines."""
        self._file.close()
        self._plan.table.close()

    @property
    def table(self) -> LineTable:
        """The lines."""
        return self._plan.table

    @property
    def groups(self) -> Iterable[LineGroup]:
        """The runs that the lines come from."""
        return self._plan.groups.values()

    @property
    def refused(self) -> Counter[tuple[str, int]]:
        """Number of lines by their address and client number, where these are not the client's."""
        return self._plan.refused

    @property
    def broken(self) -> int:
        """Number of lines that can't be read."""
        return self._plan.broken

    def prepare(self) -> int:
        """Sees to it that every line that will be sent names the journal that it is sent with, before anything is.

        Returns:
            How many lines were taken out because they were in the file twice.

        Raises:
            OSError: the file can't be written; nothing is sent.
            JournalError: the replay's own journal can't be written; nothing is sent.
        """
        copies = self.table.count("action = 'drop'")
        if self._plan.needs_rewriting:
            self._plan.prepare()
            self.close()
            self._open()
        return copies

    async def run(self) -> None:
        """Asks for results, looks documents up, and sends what may be sent, customers first.

        Raises:
            ArmError: it could not continue.
        """
        await self._ask_for_results()
        self.table.mark_overtaken()
        await self._look_up()
        # Customers in the order of the file, created or updated: the newest of each is the last. A document needs its customer.
        for group in sorted(self._plan.groups.values(), key=lambda group: group.is_document):
            await self._look_again()
            if self.table.count("grp = ? AND action = 'send'", group.id):
                await self._send(group)

    # --- what is only asked -----------------------------------------------------------------------------------------------

    async def _ask_for_results(self) -> None:
        async with self._client.results(self.table.uuids()) as results:
            async for result in results:
                self._take_result(result)

    def _take_result(self, result: BatchResult) -> None:
        lines = list(self.table.rows("action = 'poll' AND uuid = ?", result.batch_uuid))
        if result.outcome == "gone" or not lines:
            common, exceptions = _GONE, dict[int, Outcome]()
        else:
            key_names = ("documentNo",) if self._plan.groups[lines[0].grp].is_document else ("customerNo",)
            common, exceptions = self._client.rules.read_some(result, [line.key for line in lines], key_names)
        outcomes = [exceptions.get(place, common) for place in range(len(lines))]
        # The lines of a file may be in any order: their positions do not show which of several records without a number is meant.
        is_same = len({outcome for line, outcome in zip(lines, outcomes, strict=True) if line.key is None}) <= 1
        for line, found in zip(lines, outcomes, strict=True):
            outcome = found if is_same or line.key is not None else _UNMAPPED
            if line.key is not None and self._plan.groups[line.grp].is_document and can_be_looked_up(outcome):
                self.table.mark_for_look_up(line.number, outcome)
            else:
                self._settle(line, outcome)

    async def _look_up(self) -> None:
        lines = self.table.rows("action = 'look_up'")
        while some := {line.number: line for line in islice(lines, _AT_ONCE)}:
            letters = dict(zip(some, self._file.read([line.piece for line in some.values()]), strict=True))
            documents = [(number, str(line.key), bytes(read_letter(letters[number]).payload)) for number, line in some.items()]
            for number, outcome in (await self._look_ups.look_up_all(documents)).items():
                line = some[number]
                before = Outcome("accepted", line.new_reason or line.reason or "", line.new_message)
                self._settle(line, accepted_after_look_up(outcome, before) if line.state == "accepted" else outcome)
            if self._refused is not None:
                raise self._refused

    def _settle(self, line: ReplayLine, outcome: Outcome) -> None:
        if outcome.state in SUCCESS:
            self.table.mark_done([line.number])
        else:
            self.table.mark_left(line.number, outcome)
        self.done += 1
        self._client.on_progress(self.done)

    async def _look_again(self) -> None:
        """Takes back what must not be sent any more: others write the file while the replay asks, waits and sends."""
        try:
            now = await to_thread.run_sync(self._file.now)
        except OSError as exc:
            raise ArmError(f"{self._file.path} can't be read any more: {exc.strerror}") from exc
        if now is not None:
            self.table.mark_changed(now)

    # --- what is sent -----------------------------------------------------------------------------------------------------

    async def _send(self, group: LineGroup) -> None:
        """Sends the lines of a run with its journal."""
        before = self.done
        payloads = _Payloads(self._file, self.table, group, self._look_again)

        def on_settled(outcome: BatchOutcome) -> None:
            if outcome.attempts and not outcome.counts.keys() <= SUCCESS:
                for index in outcome.indexes:
                    self.table.mark_sent(payloads.numbers[index], outcome.attempts, outcome.batch_uuid)

        reconcile = self._reconcile if group.is_document else False
        options = replace(self._options, journal=group.journal, run_id=group.run_id, reconcile=reconcile)
        try:
            run = await self._client.begin(group.operation, payloads, options, group.part)
        except ArmError as exc:
            group.trouble = str(exc)
            return
        try:
            await self._client.send(run, on_settled)
        except (JournalError, ConfigurationError) as exc:
            # Nothing of it was sent; that is no reason not to send the others.
            group.trouble = str(exc)
        finally:
            self._take_report(run.report, payloads.numbers)
            if not group.is_document:
                self._sent.append(group)
        self.done = before + len(payloads.numbers)

    def _take_report(self, report: BulkReport, numbers: Sequence[int]) -> None:
        self.table.mark_done(numbers[: min(report.totals.records_read, len(numbers))])
        for failure in report.failures():
            self.table.mark_left(numbers[failure.index], Outcome(failure.state, failure.reason, failure.message))

    # --- the file ---------------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Rewrites the file: lines whose records succeeded are taken out, the others say what is known of them now.

        Raises:
            OSError: it can't be written; it is as it was.
        """
        change = _Change(self.table, self._plan.faults, self.named, self._max_named)
        if (now := self._file.now()) is not None:
            self.table.mark_changed(now)
        self.table.mark_overtaken()
        if self.table.count("done OR overtaken OR gone OR new_state IS NOT NULL OR new_attempts IS NOT NULL"):
            self._file.rewrite(change)
        else:
            for _, line in self._file.lines():
                change(line)
        for group in self._sent:
            # Where that fails, the next attempt of the run marks more lines than it must, which loses nothing.
            with contextlib.suppress(JournalError):
                self._journals.note_written(str(group.journal), run_key(group))

    # --- what happened ----------------------------------------------------------------------------------------------------

    @property
    def ok(self) -> bool:
        """Whether no line is left."""
        return not self.table.count("NOT done") and not self.broken and not self.refused

    @property
    def is_for_others(self) -> bool:
        """Whether all lines are of other addresses and client numbers."""
        return bool(self.refused) and not self._plan.groups

    def to_dict(self) -> dict[str, Any]:
        """Counts the lines.

        Returns:
            `lines`, `succeeded`, `left` (by state), `gone` (others have changed them or taken them out since), `broken` and `refused`.
        """
        return {
            "lines": self.table.count() + self.broken + self.refused.total(),
            "succeeded": self.table.count("done"),
            "left": self.table.left(),
            "gone": self.table.count("gone AND NOT done"),
            "broken": self.broken,
            "refused": self.refused.total(),
        }


class _Change:
    """Makes the new text of each line of the file, as it is now: other runs may have written into it meanwhile.

    Args:
        table: the lines as they were.
        faults: what is wrong with lines that can't be read, by their digests.
        named: gets the first lines that are left.
        max_named: how many.
    """

    def __init__(self, table: LineTable, faults: Mapping[int, str], named: list[tuple[int, ReplayLine | str]], max_named: int) -> None:
        self._table = table
        self._faults = faults
        self._named = named
        self._max_named = max_named
        self._first = 1
        self._number = 0

    def __call__(self, line: bytes) -> bytes | None:
        found = self._table.find(hash(line), self._first)
        if found is None and (was := unmarked(line)) is not None:
            found = self._table.find(hash(was), self._first)
        self._first = found.number + 1 if found is not None else self._first
        if found is not None and found.done:
            return None
        self._number += 1
        name = found or self._faults.get(hash(line))
        if name is not None and len(self._named) < self._max_named:
            self._named.append((self._number, name))
        changes = _changes(found) if found is not None else {}
        return changed(line, changes) if changes else line


def _changes(line: ReplayLine) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if line.new_state is not None:
        changes |= {"state": line.new_state, "reason": line.new_reason, "message": line.new_message}
    if line.new_attempts is not None:
        changes |= {"attempts": line.new_attempts, "batch_uuid": line.new_uuid}
    if line.overtaken:
        changes["overtaken"] = True
    return changes


class _Payloads(SomeRecords):
    """The records of a run's lines, in their order, for `create_many`.

    Args:
        file: the dead letter file.
        table: its lines.
        group: the lines of the run.
        look_again: takes back what must not be sent any more; called before some lines are read.

    Attributes:
        numbers: the line of each record that was given.
    """

    def __init__(self, file: DeadLetterFile, table: LineTable, group: LineGroup, look_again: Callable[[], Awaitable[None]]) -> None:
        self.numbers = array("q")
        self._file = file
        self._table = table
        self._group = group.id
        self._look_again = look_again

    async def check(self, indexes: Iterable[int]) -> None:
        """Looks at the file again. See `SomeRecords`.

        Args:
            indexes: of the records that are about to leave.

        Raises:
            ArmError: the line of one of them must not be sent any more.
        """
        await self._look_again()
        if not all(self._table.is_to_send(self.numbers[index]) for index in indexes):
            raise ArmError("others have sent or changed what was about to be sent, as the file says now: start the replay again")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        lines = self._table.rows("grp = ? AND action = 'send'", self._group)
        while True:
            await self._look_again()
            if not (some := list(islice(lines, _AT_ONCE))):
                return
            texts = await to_thread.run_sync(self._file.read, [line.piece for line in some])
            for line, text in zip(some, texts, strict=True):
                self.numbers.append(line.number)
                yield bytes(read_letter(text).payload)
