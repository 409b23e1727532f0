"""What the driver does: checks, plans, runs the job of Spark, and reads the report over all parts from the journal."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from anyio import to_thread

from .. import clock, log
from ..bulk.journal.postgres import shared_reading
from ..bulk.journal.run_key import RunKey
from ..bulk.outcomes import RecordOutcome, success_states
from ..client import ArmClient
from ..config import BulkOptions
from ..database.url import DatabaseUrl
from ..errors import ArmError, ConfigurationError, FrameError, JournalError, SourceError
from ..nightly.shared_customers import check_customers, read_customers, times_sent
from ..nightly.shared_report import customers_report
from ..postgres.schema import prepare_schema
from ..resources.shared_run import OPERATION, SharedReport, read_shared_report
from ..values.fields import KEYS, RecordKind
from .job import HEADS, LINES, Connect, FrameJob, Reading, TableOfFrame

if TYPE_CHECKING:
    from .tasks import Sender, SendTask

__all__ = ["FrameReport", "read_report", "send_frame", "send_stream"]

T = TypeVar("T")

_MOST_NAMED: Final = 3

_REASON: Final = re.compile(r"^(?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*(?:Error|Exception|Failure|Interrupt)\b.*", re.MULTILINE)
"""A line of a traceback that names an exception."""


class FrameReport(SharedReport):
    """The report over all parts, as the journal knew them when it was read; see `SharedReport`.

    Args:
        report: that report.
        read_failures: reads the records that did not succeed.
    """

    def __init__(self, report: SharedReport, read_failures: Callable[[], Iterator[RecordOutcome]]) -> None:
        super().__init__(report.to_schema(), report.parts, report.done)
        self._read_failures = read_failures

    def failures(self) -> Iterator[RecordOutcome]:
        """Gives every record that did not succeed, as the journal knows them. They are read as you iterate.

        Yields:
            Index, key, state, reason and message of each; the index is its place among the rows of its part.

        Raises:
            JournalError: the journal can't be used.
        """
        yield from self._read_failures()

    def to_html(self) -> str:
        """Renders the report as a page, as `amili-arm report` does.

        Returns:
            HTML that loads nothing from elsewhere.
        """
        from ..cli.html_report.page import render_page  # noqa: PLC0415 - only for who wants a page

        return render_page(self.to_schema())


def send_frame(
    frame: Any,
    kind: RecordKind = "documents",
    *,
    run_id: str,
    journal: str,
    parts: int = 64,
    client: Connect = ArmClient.from_env,
    columns: Mapping[str, str] | None = None,
    constants: Mapping[str, str] | None = None,
    clear: str | None = None,
    decimal_sign: Literal[",", "."] | None = None,
    extra_columns: bool = False,
    lines: Any = None,
    line_columns: Mapping[str, str] | None = None,
    lines_optional: bool = False,
    state: str | None = None,
    options: BulkOptions | None = None,
    lease: float = 60.0,
    user_id: str | None = None,
) -> FrameReport:
    """Sends a frame of Spark. Whatever Spark repeats, or runs twice, no document is sent twice: see docs/spark.md.

    It blocks until all parts are sent. When it could not go on, or the driver died, call it again with the same `run_id`.

    Args:
        frame: a DataFrame of Spark, with a row for each document, or for each line of a document.
        kind: what the rows are: `"documents"`, or `"customers"`, which one task sends. Where customers were sent with the same `run_id`,
            documents of those that did not succeed are `blocked`, as in a night with one process.
        run_id: the name of the run. The same one resumes it.
        journal: the URL of a PostgreSQL database, which the driver and all executors can reach.
        parts: how many parts the documents are distributed to: so many tasks send them. It can't be changed for a run. Default 64.
        client: makes a client; called on the driver, and in each task that sends. Default: `ArmClient.from_env`, with the environment of
            the process that it is called in.
        columns: what the columns are, by their names: `{"fakturanr": "documentNo"}`. Columns whose name is that of a field need none.
        constants: fields that have the same value in all documents: `{"documentType": "IN"}`.
        clear: the text that clears a field.
        decimal_sign: `","` or `"."`: the sign before decimals, where numbers are texts.
        extra_columns: whether columns that are no field are passed over. Default False: they are refused.
        lines: a second DataFrame, with the lines of the documents, found by their `documentNo`, in any order. Default None: the lines are
            in `frame`, or there are none.
        line_columns: as `columns`, for `lines`.
        lines_optional: also send documents without lines there, and ignore lines there without a document. Default False: they are
            `invalid`.
        state: of customers: the URL of a PostgreSQL database that records what was sent, so that only customers that have changed since
            are sent, as by `customers.sync`; the frame has all customers. It may be that of the journal. Default None: all are sent.
        options: how each part cuts, sends and waits; as those of `shared_run`. Default: `BulkOptions()`.
        lease: seconds for which a task owns its part after each thing that it records. Default 60.
        user_id: the user id that each batch names. Default: the client's.

    Returns:
        The report over all parts. Look at `report.ok`: documents that were refused are in it, and raise no error.

    Raises:
        ConfigurationError: a frame has columns or types that can't be sent, or an argument is wrong; nothing was sent.
        JournalError: the database can't be used.
        FrameError: some parts could not be sent to their end, the customers of the run were not, or Spark gave up.
    """
    reading = Reading(
        kind,
        dict(columns or {}),
        dict(constants or {}),
        clear,
        decimal_sign,
        extra_columns,
        lines is not None,
        dict(line_columns or {}),
        lines_optional,
    )
    how: dict[str, Any] = {"run_id": run_id, "parts": parts, "options": options, "lease": lease, "user_id": user_id, "state": state}
    job = FrameJob.of(journal, client, reading, **how)
    check_frames(frame, lines, reading)
    if kind == "customers":
        return send_customers(frame, job)
    key = enter(job)
    send_documents(frame, lines, job, key)
    return report_of(job.url, key, job.parts, job.options)


def send_stream(
    *,
    run_id: str,
    journal: str,
    parts: int = 8,
    client: Connect = ArmClient.from_env,
    columns: Mapping[str, str] | None = None,
    constants: Mapping[str, str] | None = None,
    clear: str | None = None,
    decimal_sign: Literal[",", "."] | None = None,
    extra_columns: bool = False,
    options: BulkOptions | None = None,
    lease: float = 60.0,
    user_id: str | None = None,
) -> Callable[[Any, int], None]:
    """Returns a function that sends the micro-batches of a stream, for `foreachBatch`. The whole stream is one run.

    ```python
    stream.writeStream.foreachBatch(send_stream(run_id="2026-11", journal=url)).option("checkpointLocation", path).start()
    ```

    A document that comes again, in whatever micro-batch, is not sent again: neither where Spark repeats a micro-batch, nor where the
    checkpoint was lost and the stream begins anew. `read_report` reads the report, at any time.

    Args:
        run_id: the name of the run; the number of a micro-batch has no part in it. This and all others are as for `send_frame`.
        journal: the URL of a PostgreSQL database.
        parts: the number of parts: so many tasks send each micro-batch. Default 8.
        client: makes a client.
        columns: what the columns are.
        constants: fields that have the same value in all documents.
        clear: the text that clears a field.
        decimal_sign: the sign before decimals, where numbers are texts.
        extra_columns: whether columns that are no field are passed over.
        options: how each part cuts, sends and waits.
        lease: seconds for which a task owns its part.
        user_id: the user id that each batch names.

    Returns:
        The function. Where a part could not be sent to its end it raises `FrameError`, and the stream stops: start it again.

    Raises:
        ConfigurationError: an argument is wrong.
    """
    reading = Reading("documents", dict(columns or {}), dict(constants or {}), clear, decimal_sign, extra_columns)
    how: dict[str, Any] = {"run_id": run_id, "parts": parts, "options": options, "lease": lease, "user_id": user_id}
    return partial(_send_micro_batch, FrameJob.of(journal, client, reading, **how))


def _send_micro_batch(job: FrameJob, frame: Any, number: int) -> None:
    check_frames(frame, None, job.reading)
    send_documents(frame, None, job, enter(job), is_stream=True)
    log.info("a micro-batch was sent", batch=number)


def read_report(*, run_id: str, journal: str, client: Connect = ArmClient.from_env, options: BulkOptions | None = None) -> FrameReport:
    """Reads the report over all parts of a run, at any time, also while it goes on.

    Args:
        run_id: the name of the run.
        journal: the URL of the database.
        client: makes a client, for its client number and address.
        options: those of the run; they say whether `accepted` is a success.

    Returns:
        The report.

    Raises:
        JournalError: there is no such run, or the database can't be used.
        ConfigurationError: an argument is wrong.
    """
    job = FrameJob.of(journal, client, Reading(), run_id=run_id, parts=1, options=options, lease=60.0, user_id=None)
    given = identify(job)
    for key, parts in shared_reading.keys_of_run(job.url, run_id, given.client_no):
        if key.base_url == given.base_url:
            return report_of(job.url, key, parts, options)
    return FrameReport(_customers_of(job.url, given), lambda: iter(()))


# --- what can be sent -----------------------------------------------------------------------------------------------------


def check_frames(frame: Any, lines: Any, reading: Reading) -> None:
    """Refuses what is no frame, or has columns that can't be sent.

    Args:
        frame: what was given.
        lines: the frame of lines, or None.
        reading: how their rows are read.

    Raises:
        ConfigurationError: the reason is in the message.
    """
    from ..sources.arrow import arrow_table_of  # noqa: PLC0415
    from .tasks import FrameRows  # noqa: PLC0415 - with pyarrow

    empty = [no_rows(frame, "frame"), *([no_rows(lines, "lines")] if lines is not None else [])]

    async def read() -> None:
        """Reads them as a task does: whatever is wrong with their columns shows without a row."""
        rows, *more = [FrameRows(name, iter([batch])) for name, batch in zip(("the frame", "the frame of lines"), empty, strict=False)]
        async for _ in reading.of(rows, more[0] if more else None):
            pass

    table = arrow_table_of(empty[0])
    assert table is not None
    try:
        table.begin()
        if reading.number_column(table, HEADS) is None:
            raise SourceError(
                f"no column is {KEYS['documents']}, which tells the part of each document: rename one, or say which it is with columns="
            )
        in_loop(read)
    except SourceError as exc:
        raise ConfigurationError(f"the frame can't be sent: {exc}") from None
    finally:
        table.close()


def no_rows(frame: Any, name: str) -> Any:
    """Returns a batch of Arrow with the columns of a frame, and without rows.

    Args:
        frame: the frame.
        name: of the argument, for messages.

    Raises:
        ConfigurationError: it is no frame of Spark, it is a stream, or a column has a type that Arrow does not have.
    """
    import pyarrow as pa  # noqa: PLC0415

    if not hasattr(frame, "mapInArrow"):
        what = f"{type(frame).__module__.partition('.')[0]} {type(frame).__name__}"
        raise ConfigurationError(f"{name} must be a DataFrame of Spark, and is a {what}: create_many and shared_run take other tables")
    if frame.isStreaming:
        raise ConfigurationError(f"the {name} is a stream: use stream.writeStream.foreachBatch(send_stream(...))")
    from pyspark.sql.pandas.types import to_arrow_type  # pyright: ignore[reportMissingImports]  # noqa: PLC0415 - the user's

    fields = []
    for column in frame.schema.fields:
        try:
            fields.append(pa.field(column.name, to_arrow_type(column.dataType)))
        except Exception as exc:
            raise ConfigurationError(
                f"the {name} can't be sent: the column {column.name} has the type {column.dataType.simpleString()}, which can't be read: "
                "cast it, or leave it out with frame.drop"
            ) from exc
    return pa.RecordBatch.from_pylist([], pa.schema(fields))


# --- the job of Spark -----------------------------------------------------------------------------------------------------


def identify(job: FrameJob) -> RunKey:
    """Returns what identifies a run.

    Args:
        job: of the run.
    """

    async def run() -> RunKey:
        async with job.connect() as arm:
            return RunKey(job.run_id, OPERATION, arm.client_no, arm.base_url, safe=False)

    return in_loop(run)


def enter(job: FrameJob) -> RunKey:
    """Begins the shared run of documents, so that what is wrong shows before Spark begins. Returns what identifies it.

    Args:
        job: of the run.

    Raises:
        FrameError: the run has customers, which were not sent to their end.
        JournalError: the database can't be used.
    """
    key = identify(job)

    async def enter_and_leave() -> None:
        async with job.connect() as arm, job.shared(arm):
            await to_thread.run_sync(check_customers, job.url, key)

    try:
        in_loop(enter_and_leave)
    except (ConfigurationError, JournalError):
        raise
    except ArmError as exc:
        raise FrameError(str(exc), _report_if_possible(job, key), {}) from exc
    return key


def task_of(job: FrameJob, key: RunKey, frame: Any, lines: Any, slots: list[int], *, used: int = 0) -> SendTask:
    """Returns what a task that sends needs to know.

    Args:
        job: what is sent, and how.
        key: of the run.
        frame: the frame.
        lines: the frame of lines, or None.
        slots: for each part, what stands for it.
        used: how often the customers of the run had been sent.
    """
    from .tasks import SendTask  # noqa: PLC0415 - with pyarrow

    line_names = list(lines.columns) if lines is not None else []
    part_of_slot = {slot: part for part, slot in enumerate(slots)}
    return SendTask(job, (key.client_no, key.base_url), list(frame.columns), line_names, part_of_slot, used)


def run_job(sender: Sender, frame: Any, lines: Any, job: FrameJob, slots: list[int]) -> list[Any]:
    """Sends the rows of a frame; blocks until Spark is done.

    Args:
        sender: what the tasks do.
        frame: the frame.
        lines: the frame of lines, or None.
        job: what is sent, and how.
        slots: for each part, what stands for it: it has a partition of its own.

    Returns:
        The rows of the results.

    Raises:
        FrameError: Spark gave up.
    """
    from pyspark.sql.pandas.types import from_arrow_schema  # pyright: ignore[reportMissingImports]  # noqa: PLC0415 - the user's

    from .tasks import ADDED  # noqa: PLC0415 - with pyarrow

    try:
        rows = labelled(frame, job.reading, HEADS, slots)
        if lines is not None:
            rows = rows.unionByName(labelled(lines, job.reading, LINES, slots), allowMissingColumns=True)
        in_parts = rows.repartition(len(slots), next(iter(ADDED))).sortWithinPartitions(*ADDED)
        found: list[Any] = in_parts.mapInArrow(sender, from_arrow_schema(sender.schema)).collect()
    except Exception as exc:
        raise FrameError(f"Spark could not run the job to its end: {reason_of(exc)}. {_again(job)}", None, {}) from exc
    return found


def labelled(frame: Any, reading: Reading, which: TableOfFrame, slots: list[int]) -> Any:
    """Returns a frame with the columns of `ADDED`.

    Args:
        frame: the frame.
        reading: how its rows are read.
        which: which frame it is.
        slots: for each part, what stands for it.
    """
    from pyspark.sql.pandas.types import from_arrow_type  # pyright: ignore[reportMissingImports]  # noqa: PLC0415 - the user's

    from .tasks import ADDED, RowLabeller  # noqa: PLC0415 - with pyarrow

    names = list(frame.columns)
    plain = frame.toDF(*(f"_{which}_{place}" for place in range(len(names))))
    schema = type(plain.schema)(list(plain.schema.fields))
    for name, kind in ADDED.items():
        schema = schema.add(name, from_arrow_type(kind))
    return plain.mapInArrow(RowLabeller(reading, which, names, slots), schema)


def send_documents(frame: Any, lines: Any, job: FrameJob, key: RunKey, *, is_stream: bool = False) -> None:
    """Sends a frame of documents, and records which parts have no rows.

    Args:
        frame: the frame.
        lines: the frame of lines, or None.
        job: how.
        key: of the shared run.
        is_stream: whether it is a part of the whole: then only parts that were never sent are recorded as empty.

    Raises:
        FrameError: a part could not be sent to its end, or Spark gave up.
    """
    from .tasks import PartSender, slots_of  # noqa: PLC0415 - with pyarrow

    slots = slots_of(job.parts)
    try:
        rows = run_job(PartSender(task_of(job, key, frame, lines, slots)), frame, lines, job, slots)
    except FrameError as exc:
        raise FrameError(str(exc), _report_if_possible(job, key), {}) from exc.__cause__
    if failed := {row.part: f"{row.error} (on {row.host})" for row in sorted(rows, key=lambda row: row.part) if row.error is not None}:
        raise FrameError(_in_words(failed, job), _report_if_possible(job, key), failed)
    missing = set(range(job.parts)) - {row.part for row in rows}
    if is_stream and missing:
        with shared_reading.snapshot(job.url) as journal:
            missing -= {summary.part for summary in shared_reading.read(journal, job.url, key)}

    async def send_empty() -> None:
        async with job.connect() as arm, job.shared(arm) as run:
            for part in sorted(missing):
                await run.send_part(part, [])

    if missing:
        in_loop(send_empty)


def send_customers(frame: Any, job: FrameJob) -> FrameReport:
    """Sends the customers of a frame, in one task.

    Args:
        frame: the frame.
        job: how.

    Returns:
        The report, with those that did not succeed, the first ones if they are very many.

    Raises:
        FrameError: they could not be sent to their end, or Spark gave up.
    """
    from .tasks import CustomerSender  # noqa: PLC0415 - with pyarrow

    # What is wrong with the database shows before Spark begins.
    prepare_schema(job.url, "journal")
    key = identify(job)
    used = times_sent(job.url, key) or 0
    rows = run_job(CustomerSender(task_of(job, key, frame, None, [0], used=used)), frame, None, job, [0])
    if errors := [row.error for row in rows if row.error is not None]:
        raise FrameError(f"the customers could not be sent to their end: {errors[0]}. {_again(job)}", None, {})
    failures = [RecordOutcome(row["index"], row.key, row.state, row.reason, row.message) for row in rows]
    return FrameReport(_customers_of(job.url, key), lambda: iter(failures))


# --- what is said ---------------------------------------------------------------------------------------------------------


def _again(job: FrameJob) -> str:
    return f"What was sent is in the journal: call again with the run_id {job.run_id!r}"


def _in_words(failed: Mapping[int, str], job: FrameJob) -> str:
    by_reason: dict[str, list[int]] = {}
    for part, said in failed.items():
        by_reason.setdefault(said, []).append(part)
    reasons = [f"part {', '.join(map(str, parts))}: {text}" for text, parts in list(by_reason.items())[:_MOST_NAMED]]
    if len(by_reason) > _MOST_NAMED:
        reasons.append("...")
    return f"{len(failed)} of {job.parts} parts could not be sent to their end: {'; '.join(reasons)}. {_again(job)}"


def _report_if_possible(job: FrameJob, key: RunKey) -> FrameReport | None:
    try:
        return report_of(job.url, key, job.parts, job.options)
    except ArmError:
        return None


def _customers_of(url: DatabaseUrl, key: RunKey) -> SharedReport:
    found = read_customers(url, key)
    if found is None:
        raise JournalError(f"the journal {url} has no run {key.run_id!r} in parts (client {key.client_no}, {key.base_url})")
    schema = customers_report(found, now=clock.unix_time(), client_no=key.client_no, base_url=key.base_url, run_id=key.run_id)
    return SharedReport(schema, 1, (0,) if schema.source_exhausted else ())


def report_of(url: DatabaseUrl, key: RunKey, parts: int, options: BulkOptions | None) -> FrameReport:
    """Reads the report over all parts.

    Args:
        url: of the database.
        key: of the shared run.
        parts: their number.
        options: of the run.
    """
    is_enough = options is not None and options.results == "accepted"
    found = read_shared_report(url, key, parts, results_awaited=not is_enough)
    return FrameReport(found, partial(shared_reading.failures, url, key, success_states(accepted_is_enough=is_enough)))


def reason_of(error: BaseException) -> str:
    """Returns what Spark says of a job that failed, without its stack traces: the last exception of Python in it, or its first line.

    Args:
        error: what was raised.
    """
    text = str(error)
    if "No module named 'amili_arm_async" in text:
        return "amili-arm-async is not installed on the executors: install it there, in the same version as on the driver"
    python = text.partition("Driver stacktrace")[0].partition("JVM stacktrace")[0]
    found = [line for line in _REASON.findall(python) if not line.startswith(("org.apache.", "java."))]
    return (found[-1] if found and "Traceback" in python else text.strip().partition("\n")[0] or type(error).__name__).rstrip(".")


def in_loop(make: Callable[[], Awaitable[T]]) -> T:
    """Runs a coroutine to its end, also where a loop is running, as in a notebook.

    Args:
        make: makes it.
    """

    async def run() -> T:
        return await make()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(run())).result()
