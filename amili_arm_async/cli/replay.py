"""`amili-arm replay`: sends the records of a dead letter file again."""

from __future__ import annotations

import shlex
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, closing
from dataclasses import replace
from itertools import islice
from typing import Annotated, Any, Final

import msgspec
import typer

from .. import codec, wire
from ..bulk.journal.replay.engine import Replay
from ..bulk.journal.replay.lines import ReplayLine
from ..bulk.outcomes import BatchOutcome
from ..bulk.parts import SharedPart
from ..bulk.run import BulkRun
from ..client import ArmClient
from ..config import BulkOptions, Reconcile, check_origin
from ..errors import JournalError, counted
from ..models.base import Input
from ..models.batches import BatchResult
from ..models.customers import Customer
from ..models.documents import Document
from ..validation.shapes import shape_faults
from ..values.json_columns import json_struct
from ..wire import Response
from . import output
from .command import JOURNAL, RUN, acting_command
from .monitoring import current_run
from .options import Bisect, BisectOption, ConnectionOptions, OnEnd, OutputOptions, ResendAbsent, RunOptions, check_files
from .progress import UpdateBar, bar
from .runner import BatchLines, on_progress, run_to_end, send
from .signals import SignalHandler
from .wording import PlacedTexts, in_options

__all__ = ["replay"]

_MAX_FIELDS: Final = 3
_UNKNOWN: Final = frozenset({"unknown_field", "misnamed_field"})


class _ReplayJob:
    """One replay as the command does it.

    Args:
        arm: the client; it is closed at the end.
        path: of the dead letter file.
        base_url: the address that the client sends to; lines of other addresses and client numbers stay.
        options: of the bulk runs.
        reconcile: how they look documents up.
        grace: seconds that batches in flight have to end after a signal.
        quiet: whether nothing is shown while it runs.
        extra_fields: whether lines with fields that the API does not have are sent.

    Raises:
        OSError: the file can't be read.
        ConfigurationError: the file is one of the journals that its lines name, or it can't be replaced.
    """

    def __init__(
        self,
        arm: ArmClient,
        path: str,
        base_url: str,
        options: BulkOptions,
        reconcile: Reconcile,
        *,
        grace: float,
        quiet: bool,
        extra_fields: bool,
    ) -> None:
        self._client = _Client(arm, base_url, options.deadline, grace, BatchLines("replay", quiet=quiet))
        self._quiet = quiet
        self.replay = Replay(
            self._client,
            path,
            options,
            reconcile,
            unknown_fields=None if extra_fields else _unknown_fields,
            max_named=output.MAX_NAMED,
        )
        try:
            journals = {group.journal for group in self.replay.groups if group.has_journal}
            check_files([("FILE", path, "dead letter"), *(("a journal that a line names", journal, "journal") for journal in journals)])
        except BaseException:
            self.replay.close()
            raise

    def prepare(self) -> None:
        """See `Replay.prepare`; says how many lines were copies.

        Raises:
            OSError: the file can't be written; nothing is sent.
            JournalError: the replay's own journal can't be written; nothing is sent.
        """
        if copies := self.replay.prepare():
            output.warn(f"{counted(copies, 'line')} {'was' if copies == 1 else 'were'} in the file twice: the copies are taken out")

    async def run(self) -> None:
        """Does the replay.

        Raises:
            ArmError: it could not continue.
            InterruptedRunError: a signal ended it.
        """
        with bar("replay", self.replay.table.count("action <> 'stay'"), quiet=self._quiet) as update:
            self._client.update = update
            self._client.done = lambda: self.replay.done
            async with self._client.arm as arm:
                with arm._context.transport.instrumentation.job("replay"):  # noqa: SLF001
                    await self.replay.run()

    def print_table(self) -> None:
        """Prints the counts for a person, on standard error."""
        counts = self.replay.to_dict()
        left = {**counts["left"], "broken": counts["broken"], "of others": counts["refused"]}
        rows = [
            ("succeeded", f"{counts['succeeded']:,}"),
            *[(f"left: {state}", f"{number:,}") for state, number in left.items() if number],
            *([("gone", f"{counts['gone']:,}")] if counts["gone"] else []),
            (),
            ("lines", f"{counts['lines']:,}"),
        ]
        output.table("replay", ("", "lines"), rows, stderr=True)

    def name_left(self, *, server_messages: bool) -> None:
        """Says on standard error what is left and why: of whole runs, and the first lines.

        Args:
            server_messages: whether the server's messages are shown, which may hold personal data.
        """
        replay, client = self.replay, self._client
        for (base_url, client_no), number in replay.refused.items():
            output.warn(
                f"{counted(number, 'line')} of client number {client_no} at {output.plain(base_url)}, and this is {client.client_no} at "
                f"{client.base_url}: left in the file"
            )
        for group in replay.groups:
            if group.trouble is not None:
                left = replay.table.count("grp = ? AND NOT done AND NOT gone", group.id)
                output.warn(f"{counted(left, 'line')} left in the file: {group.trouble}")
        found = PlacedTexts()
        for number, line in replay.named:
            place, text = _describe(number, line, server_messages=server_messages)
            found.add(text, number, place)
        for said in found.lines():
            output.say(said)
        if gone := replay.table.count("gone AND NOT done"):
            output.warn(f"{counted(gone, 'line')} gone: others have changed them or taken them out of the file since it was read")
        left = replay.table.count("NOT done AND NOT gone") + replay.broken
        if (more := left - len(replay.named)) > 0:
            output.say(f"... and {more:,} more")
        if left:
            output.warn_at_end(f"{counted(left, 'line')} left in {replay.path}{self._next_steps()}")

    def _next_steps(self) -> str:
        """Says what to do about the lines that are left."""
        left = self.replay.to_dict()["left"]
        steps = []
        if left.get("unknown"):
            steps.append(f"`amili-arm replay {shlex.quote(self.replay.path)} --resend-absent` sends those that are proved absent")
        if left.get("failed") or left.get("rejected"):
            steps.append("correct the payloads of those that failed in this file, and replay it again")
        if left.get("invalid"):
            steps.append("correct what is invalid in the source of the run")
        return ": " + "; ".join(steps) if steps else ""


class _Client:
    """See `ReplayClient`: the client of the command, with its bar and its signals."""

    def __init__(self, arm: ArmClient, base_url: str, deadline: float, grace: float, lines: BatchLines) -> None:
        self.arm = arm
        self.base_url = base_url
        self.client_no = arm.client_no
        # What a bulk run of this client reads results with.
        self.rules = arm._context.rules  # noqa: SLF001
        self.update: UpdateBar | None = None
        self.done: Callable[[], int] = lambda: 0
        self._deadline = deadline
        self._grace = grace
        self._lines = lines

    def results(self, batch_uuids: Iterable[str]) -> AbstractAsyncContextManager[AsyncIterator[BatchResult]]:
        return self.arm.batches.wait_many(batch_uuids, deadline=self._deadline)

    async def get_document(self, number: str) -> Response:
        return await self.arm.request("GET", f"documents/{wire.segment('documentNo', number)}")

    async def begin(self, operation: str, payloads: AsyncIterable[bytes], options: BulkOptions, part: SharedPart | None) -> BulkRun:
        before, update = self.done(), self.update
        moved: UpdateBar | None = (
            None if update is None else lambda done, text, estimate=None, until=None: update(before + done, text, until=until)
        )
        options = replace(options, on_progress=on_progress(moved, lines=self._lines))
        if part is not None:
            from ..resources.replayed_part import run_replayed_part  # noqa: PLC0415 - needs psycopg

            return await run_replayed_part(self.arm.documents._bulk, payloads, options, part)  # noqa: SLF001
        if operation == "documents.create_batch":
            return self.arm.documents.create_many(payloads, options=options)
        if operation == "customers.update_batch":
            return self.arm.customers.update_many(payloads, options=options)
        return self.arm.customers.create_many(payloads, options=options)

    async def send(self, run: BulkRun, on_settled: Callable[[BatchOutcome], None]) -> None:
        def settled(outcome: BatchOutcome) -> None:
            on_settled(outcome)
            self._lines.on_settled(outcome)

        await send(run, self._grace, settled)

    def on_progress(self, done: int) -> None:
        if self.update is not None:
            self.update(done, "")


def _describe(number: int, line: ReplayLine | str, *, server_messages: bool) -> tuple[str, str]:
    """Returns where a line stands, with its number, and what became of it."""
    if isinstance(line, str):
        return f"line {number}", f"no line of a dead letter: {output.plain(line)}"
    place = f"line {number}{output.named(line.key)}"
    if line.new_state is not None:
        return place, output.why(line.new_state, line.new_reason, line.new_message, server_messages=server_messages)
    text = output.why(line.state, line.reason, None, server_messages=server_messages)
    return place, f"{text}; {in_options(output.plain(line.note))}" if line.note is not None else text


def _unknown_fields(payload: bytes, is_document: bool) -> str:
    """Names the fields that the API does not have, with what may be meant; an empty text where there are none."""
    cls = Document if is_document else Customer
    try:
        _DECODERS[cls].decode(payload)
        return ""
    except codec.DecodeFailure:
        pass
    value: Any = codec.json_object(payload)
    if not isinstance(value, Mapping):
        return ""
    unknown = (found for found in shape_faults(value, cls) if found.code in _UNKNOWN)
    return "; ".join([f"$.{found.path}: {found.message}" for found in islice(unknown, _MAX_FIELDS)])


_DECODERS: Final[Mapping[type[Input], msgspec.json.Decoder[msgspec.Struct]]] = {
    cls: msgspec.json.Decoder(json_struct(cls)) for cls in (Customer, Document)
}


@acting_command
def replay(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A dead letter file, as `push --dead-letter` writes it. It is rewritten.")],
    connection: ConnectionOptions,
    run: RunOptions,
    shown: OutputOptions,
    on_end: OnEnd = None,
    bisect: BisectOption = Bisect.safe,
    settle: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            rich_help_panel=JOURNAL,
            help="How long after sending a document that is not found counts as absent. Default: 0; with --resend-absent as for push.",
        ),
    ] = None,
    resend_absent: ResendAbsent = False,
    extra_fields: Annotated[
        bool,
        typer.Option(
            "--extra-fields",
            rich_help_panel=RUN,
            help="Also send lines with fields that the API documentation does not show. Default: they stay in the file.",
        ),
    ] = False,
) -> None:
    """Sends the records of a dead letter file again, and removes the lines that succeed from the file.

    A record that could not be read (state invalid) is never sent: fix the source, and run it again with the same --run-id.

    A document that may have been accepted is not simply resent: it is looked up, or left to the journal of its run. Each line is sent
    with that journal, or with FILE.journal if its run had none, so that a killed replay can be started again. Keep both files where
    they are until all lines are gone, and replay the file itself, not a copy: a document whose journal is gone is not sent.

    A line of a part of a shared run is sent as that part would send it: not while another process sends the part, not if its number
    belongs to another part, and not if its customer did not succeed.
    """
    output.require_file(file)
    reconcile = Reconcile(settle=0.0 if settle is None and not resend_absent else settle, resend_absent=resend_absent)
    options = run.bulk(bisect=bisect.value)
    reconcile.check_against(run.deadline)
    found = connection.settings()
    arm = found.client()
    # As the client writes it, so that it can be compared.
    address = check_origin("base_url", found.value("connection.base_url"))
    try:
        job = _ReplayJob(arm, file, address, options, reconcile, grace=run.grace, quiet=shown.quiet, extra_fields=extra_fields)
    except OSError as exc:
        output.fail(f"{file} can't be read: {exc.strerror}")
    raise typer.Exit(_replay(job, server_messages=shown.server_messages, as_json=shown.as_json))


def _replay(job: _ReplayJob, *, server_messages: bool, as_json: bool) -> int:
    with SignalHandler(durable=True) as signals, closing(job.replay) as replay:
        try:
            job.prepare()
            code = run_to_end(job.run(), signals)
            replay.finish()
        except OSError as exc:
            output.warn(f"{replay.path} can't be written: {exc.strerror}. What was sent is in the journals: fix that, and replay again")
            return 1
        except JournalError as exc:
            output.warn(f"nothing was sent: {exc}")
            return 1
        report = {**replay.to_dict(), "ok": replay.ok and not code}
        current_run().report = report
        if as_json:
            output.print_json(report)
        else:
            job.print_table()
        job.name_left(server_messages=server_messages)
        return code or (2 if replay.is_for_others else 0 if replay.ok else 1)
