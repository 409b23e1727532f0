"""What the driver does: checks, plans, runs the job of Spark, and reads the report over all parts from the journal."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, get_args

from .. import clock, log
from ..bulk.journal.postgres import shared_reading
from ..bulk.journal.run_key import RunKey
from ..bulk.outcomes import RecordOutcome, success_states
from ..bulk.parts import MOST_PARTS
from ..client import ArmClient
from ..config import BulkOptions, check_int
from ..database.url import DatabaseUrl, database_url
from ..errors import ArmError, ConfigurationError, FrameError, JournalError, SourceError
from ..nightly.shared_customers import read_customers, times_sent
from ..nightly.shared_report import customers_report
from ..postgres.schema import prepare_schema
from ..resources.shared_run import SharedReport, SharedRun, read_shared_report
from ..values.fields import KEYS, RecordKind

if TYPE_CHECKING:
    from .tasks import Reading, SendTask

__all__ = ["Connect", "FrameReport", "read_report", "send_frame", "send_stream"]

T = TypeVar("T")

Connect = Callable[[], ArmClient]
"""Makes a client: called on the driver, and in each task that sends."""

_OPERATION: Final = "documents.create_batch"

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


@dataclass(frozen=True, slots=True)
class FrameJob:
    """What is sent, and how; the arguments of `send_frame`.

    Attributes:
        url: of the database.
        connect: makes a client.
        run_id, parts, lease, options, user_id: of the shared run.
        reading: how rows are read.
    """

    url: DatabaseUrl
    connect: Connect = field(repr=False)
    run_id: str
    parts: int
    lease: float
    options: BulkOptions | None
    user_id: str | None
    reading: Reading

    def shared(self, arm: ArmClient) -> SharedRun:
        """Returns the shared run of the documents.

        Args:
            arm: the client.
        """
        return arm.documents.shared_run(
            self.url, run_id=self.run_id, parts=self.parts, lease=self.lease, options=self.options, user_id=self.user_id
        )

    def enter(self) -> RunKey:
        """Begins the shared run, so that what is wrong shows before Spark begins. Returns what identifies it."""

        async def enter() -> RunKey:
            async with self.connect() as arm, self.shared(arm):
                return RunKey(self.run_id, _OPERATION, arm.client_no, arm.base_url, safe=False)

        return in_loop(enter)

    def identify(self) -> RunKey:
        """Returns what identifies the run, and prepares the database, so that what is wrong shows before Spark begins."""
        prepare_schema(self.url, "journal")
        return identify(self.connect, self.run_id)

    def send(self, frame: Any, key: RunKey) -> dict[int, str]:
        """Sends the rows of a frame; blocks until Spark is done.

        Args:
            frame: the frame.
            key: of the shared run.

        Returns:
            By part, why it could not be sent to its end; empty where it was. Parts without rows are left out.
        """
        from .tasks import RESULT, PartSender, slots_of  # noqa: PLC0415 - with pyarrow

        slots = slots_of(self.parts)
        task = self._task(frame, key, slots)
        rows = in_parts(frame, self.reading, slots).mapInArrow(PartSender(task), RESULT).collect()
        return {row.part: f"{row.error} (on {row.host})" if row.error is not None else "" for row in rows}

    def send_customers(self, frame: Any, key: RunKey) -> tuple[str | None, list[RecordOutcome]]:
        """Sends the customers of a frame, in one task; blocks until Spark is done.

        Args:
            frame: the frame.
            key: of the shared run.

        Returns:
            Why they could not be sent to their end, or None; and those that did not succeed, the first ones if they are very many.
        """
        from .tasks import CUSTOMER_RESULT, CustomerSender  # noqa: PLC0415 - with pyarrow

        used = times_sent(self.url, self.run_id, key.client_no) or 0
        task = replace(self._task(frame, key, [0]), used=used)
        rows = in_parts(frame, self.reading, [0]).mapInArrow(CustomerSender(task), CUSTOMER_RESULT).collect()
        errors = [row.error for row in rows if row.error is not None]
        found = [RecordOutcome(row["index"], row.key, row.state, row.reason, row.message) for row in rows if row.error is None]
        return (errors[0] if errors else None), found

    def _task(self, frame: Any, key: RunKey, slots: list[int]) -> SendTask:
        from .tasks import SendTask  # noqa: PLC0415 - with pyarrow

        return SendTask(
            connect=self.connect,
            address=(key.client_no, key.base_url),
            journal=self.url,
            run_id=self.run_id,
            parts=self.parts,
            lease=self.lease,
            options=self.options,
            user_id=self.user_id,
            reading=self.reading,
            names=list(frame.columns),
            part_of_slot={slot: part for part, slot in enumerate(slots)},
        )

    def send_empty(self, parts: list[int]) -> None:
        """Records that parts have no rows.

        Args:
            parts: which.
        """

        async def send() -> None:
            async with self.connect() as arm, self.shared(arm) as run:
                for part in parts:
                    await run.send_part(part, [])

        if parts:
            in_loop(send)

    def report(self, key: RunKey) -> FrameReport:
        """Reads the report over all parts.

        Args:
            key: of the shared run.
        """
        return report_of(self.url, key, self.parts, self.options)


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
        options: how each part cuts, sends and waits; as those of `shared_run`. Default: `BulkOptions()`.
        lease: seconds for which a task owns its part after each thing that it records. Default 60.
        user_id: the user id that each batch names. Default: the client's.

    Returns:
        The report over all parts. Look at `report.ok`: documents that were refused are in it, and raise no error.

    Raises:
        ConfigurationError: the frame has columns or types that can't be sent, or an argument is wrong; nothing was sent.
        JournalError: the database can't be used.
        FrameError: some parts could not be sent to their end, or Spark gave up.
    """
    job = job_of(
        run_id=run_id,
        journal=journal,
        parts=parts,
        client=client,
        reading=_reading(kind, columns, constants, clear, decimal_sign, extra_columns=extra_columns),
        options=options,
        lease=lease,
        user_id=user_id,
    )
    check_frame(frame, job.reading)
    if kind == "customers":
        return send_all_customers(frame, job)
    key = job.enter()
    send_all(frame, job, key)
    return job.report(key)


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
    job = job_of(
        run_id=run_id,
        journal=journal,
        parts=parts,
        client=client,
        reading=_reading("documents", columns, constants, clear, decimal_sign, extra_columns=extra_columns),
        options=options,
        lease=lease,
        user_id=user_id,
    )
    return partial(_send_micro_batch, job)


def _send_micro_batch(job: FrameJob, frame: Any, number: int) -> None:
    check_frame(frame, job.reading)
    send_all(frame, job, job.enter(), is_stream=True)
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
    url, given = _url(journal), identify(client, run_id)
    for key, parts in shared_reading.keys_of_run(url, run_id, given.client_no):
        if key.base_url == given.base_url:
            return report_of(url, key, parts, options)
    return FrameReport(_customers_of(url, given), lambda: iter(()))


def identify(connect: Connect, run_id: str) -> RunKey:
    """Returns what identifies a run.

    Args:
        connect: makes a client.
        run_id: the name of the run.
    """

    async def run() -> RunKey:
        async with connect() as arm:
            return RunKey(run_id, _OPERATION, arm.client_no, arm.base_url, safe=False)

    return in_loop(run)


# --- what they share ------------------------------------------------------------------------------------------------------


def job_of(
    *,
    run_id: str,
    journal: str,
    parts: int,
    client: Connect,
    reading: Reading,
    options: BulkOptions | None,
    lease: float,
    user_id: str | None,
) -> FrameJob:
    """Checks the arguments of `send_frame`, and returns them."""
    check_int("parts", parts, least=1, most=MOST_PARTS)
    if not callable(client) or isinstance(client, ArmClient):
        raise ConfigurationError(
            "client must be a function that makes a client, such as ArmClient.from_env: a client can't go to another process, so each task "
            "makes its own"
        )
    if options is not None and options.dead_letter is not None:
        raise ConfigurationError("a dead letter would be a file of each executor: leave it out, and use report.failures()")
    return FrameJob(_url(journal), client, run_id, parts, lease, options, user_id, reading)


def _url(journal: str) -> DatabaseUrl:
    url = database_url(journal)
    if url is None:
        raise ConfigurationError("a frame of Spark is sent with a journal in PostgreSQL: postgresql://host/database")
    return url


def _reading(kind: Any, columns: Any, constants: Any, clear: str | None, decimal_sign: Any, *, extra_columns: bool) -> Reading:
    try:
        from .tasks import Reading  # noqa: PLC0415 - with pyarrow
    except ImportError as exc:
        raise ConfigurationError(
            f"frames of Spark need pyarrow, which can't be imported ({exc}): pip install 'amili-arm-async[arrow]'"
        ) from exc
    if kind not in get_args(RecordKind):
        raise ConfigurationError('kind is "customers" or "documents"')
    reading = Reading(kind, dict(columns or {}), dict(constants or {}), clear, decimal_sign, extra_columns)
    reading.fields()
    return reading


def check_frame(frame: Any, reading: Reading) -> None:
    """Refuses what is no frame, or has columns that can't be sent.

    Args:
        frame: what was given.
        reading: how its rows are read.

    Raises:
        ConfigurationError: the reason is in the message.
    """
    from ..sources.arrow import arrow_table_of  # noqa: PLC0415

    if not hasattr(frame, "mapInArrow"):
        what = f"{type(frame).__module__.partition('.')[0]} {type(frame).__name__}"
        raise ConfigurationError(f"frame must be a DataFrame of Spark, and is a {what}: create_many and shared_run take other tables")
    if frame.isStreaming:
        raise ConfigurationError("the frame is a stream: use stream.writeStream.foreachBatch(send_stream(...))")
    table = arrow_table_of(arrow_schema(frame).empty_table())
    assert table is not None
    try:
        table.begin()
        found = reading.fields().of(table.names, table.line_paths)
        if reading.kind == "documents" and not any(column.field.path == KEYS["documents"] for column in found.columns):
            raise SourceError(
                f"no column is {KEYS['documents']}, which tells the part of each document: rename one, or say which it is with columns="
            )
        table.select({column.name for column in [*found.columns, *found.nested]})
    except SourceError as exc:
        raise ConfigurationError(f"the frame can't be sent: {exc}") from None
    finally:
        table.close()


def arrow_schema(frame: Any) -> Any:
    """Returns the schema of a frame as one of Arrow.

    Args:
        frame: the frame.

    Raises:
        ConfigurationError: a column has a type that Arrow does not have.
    """
    import pyarrow as pa  # noqa: PLC0415
    from pyspark.sql.pandas.types import to_arrow_type  # pyright: ignore[reportMissingImports]  # noqa: PLC0415 - the user's

    fields = []
    for column in frame.schema.fields:
        try:
            fields.append(pa.field(column.name, to_arrow_type(column.dataType)))
        except Exception as exc:
            raise ConfigurationError(
                f"the frame can't be sent: the column {column.name} has the type {column.dataType.simpleString()}, which can't be read: "
                "cast it, or leave it out with frame.drop"
            ) from exc
    return pa.schema(fields)


def in_parts(frame: Any, reading: Reading, slots: list[int]) -> Any:
    """Returns a frame with each part in a partition of its own, in the order of the numbers.

    Args:
        frame: the frame.
        reading: how its rows are read.
        slots: for each part, what stands for it.
    """
    from .tasks import ADDED, RowLabeller  # noqa: PLC0415 - with pyarrow

    names = list(frame.columns)
    plain = frame.toDF(*(f"_{place}" for place in range(len(names))))
    labelled = plain.mapInArrow(RowLabeller(reading, names, slots), labelled_schema(plain))
    return labelled.repartition(len(slots), ADDED[0]).sortWithinPartitions(*ADDED)


def labelled_schema(frame: Any) -> Any:
    """Returns the schema of a frame with the columns of `ADDED`.

    Args:
        frame: the frame.
    """
    from .tasks import ADDED  # noqa: PLC0415 - with pyarrow

    schema = type(frame.schema)(list(frame.schema.fields))
    for name, kind in zip(ADDED, ("integer", "string", "long"), strict=True):
        schema = schema.add(name, kind)
    return schema


def send_all(frame: Any, job: FrameJob, key: RunKey, *, is_stream: bool = False) -> None:
    """Sends a frame, and records which parts have no rows.

    Args:
        frame: the frame.
        job: how.
        key: of the shared run.
        is_stream: whether it is a part of the whole: then only parts that were never sent are recorded as empty.

    Raises:
        FrameError: a part could not be sent to its end, or Spark gave up.
    """
    try:
        results = job.send(frame, key)
    except Exception as exc:
        raise FrameError(
            f"Spark could not run the job to its end: {reason_of(exc)}. What was sent is in the journal: call again with the run_id "
            f"{job.run_id!r}",
            _report_if_possible(job, key),
            {},
        ) from exc
    if failed := {part: said for part, said in sorted(results.items()) if said}:
        raise FrameError(_in_words(failed, job), _report_if_possible(job, key), failed)
    missing = set(range(job.parts)) - results.keys()
    if is_stream and missing:
        missing -= {summary.part for summary in shared_reading.read(job.url, key)}
    job.send_empty(sorted(missing))


def send_all_customers(frame: Any, job: FrameJob) -> FrameReport:
    """Sends the customers of a frame.

    Args:
        frame: the frame.
        job: how.

    Returns:
        The report.

    Raises:
        FrameError: they could not be sent to their end, or Spark gave up.
    """
    key = job.identify()
    try:
        error, failures = job.send_customers(frame, key)
    except Exception as exc:
        raise FrameError(f"Spark could not run the job to its end: {reason_of(exc)}. {_AGAIN} {job.run_id!r}", None, {}) from exc
    if error is not None:
        raise FrameError(f"the customers could not be sent to their end: {error}. {_AGAIN} {job.run_id!r}", None, {})
    return FrameReport(_customers_of(job.url, key), lambda: iter(failures))


_AGAIN: Final = "Call again with the run_id"


def _customers_of(url: DatabaseUrl, key: RunKey) -> SharedReport:
    found = read_customers(url, key.run_id, key.client_no)
    if found is None:
        raise JournalError(f"the journal {url} has no run {key.run_id!r} in parts (client {key.client_no}, {key.base_url})")
    schema = customers_report(found, now=clock.unix_time(), client_no=key.client_no, base_url=key.base_url, run_id=key.run_id)
    return SharedReport(schema, 1, (0,) if schema.source_exhausted else ())


def _in_words(failed: Mapping[int, str], job: FrameJob) -> str:
    by_reason: dict[str, list[int]] = {}
    for part, said in failed.items():
        by_reason.setdefault(said, []).append(part)
    reasons = [f"part {', '.join(map(str, parts))}: {text}" for text, parts in list(by_reason.items())[:_MOST_NAMED]]
    if len(by_reason) > _MOST_NAMED:
        reasons.append("...")
    return (
        f"{len(failed)} of {job.parts} parts could not be sent to their end: {'; '.join(reasons)}. What was sent is in the journal: call "
        f"again with the run_id {job.run_id!r}"
    )


def _report_if_possible(job: FrameJob, key: RunKey) -> FrameReport | None:
    try:
        return job.report(key)
    except ArmError:
        return None


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
