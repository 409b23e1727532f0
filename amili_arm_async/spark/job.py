"""What is sent, and how: what the driver and the tasks share. Pickled, and sent to the executors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from ..bulk.parts import MOST_PARTS
from ..client import ArmClient
from ..config import BulkOptions, check_int
from ..database.url import DatabaseUrl, database_url
from ..errors import ConfigurationError
from ..resources.bulk import DOCUMENTS, BulkWrites
from ..resources.shared_run import SharedRun
from ..sources.mapping import FieldMap, MappedColumn
from ..sources.records import Records, open_records
from ..values.fields import KEYS, RecordKind
from ..values.judge import ReadingOptions

__all__ = ["HEADS", "LINES", "Connect", "FrameJob", "Reading", "TableOfFrame"]

Connect: TypeAlias = Callable[[], ArmClient]
"""Makes a client: called on the driver, and in each task that sends."""

TableOfFrame: TypeAlias = Literal[0, 1]

LINES: Final = 0
"""The frame of lines. It is the lesser one, since the lines of a part are read before its documents."""

HEADS: Final = 1
"""The frame of records."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How the rows of a frame are read: as `open_records` does it.

    Attributes:
        kind, columns, constants, clear, decimal_sign, extra_columns, line_columns, lines_optional: its arguments.
        has_lines: whether the lines of documents are in a frame of their own.
    """

    kind: RecordKind = "documents"
    columns: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)
    clear: str | None = None
    decimal_sign: Any = None
    extra_columns: bool = False
    has_lines: bool = False
    line_columns: Mapping[str, str] = field(default_factory=dict)
    lines_optional: bool = False

    def check(self) -> None:
        """Refuses what makes no sense for any frame.

        Raises:
            ConfigurationError: the reason is in the message.
        """
        self.of(iter(()), iter(())).close()

    def of(self, rows: Iterable[Any], lines: Iterable[Any] | None) -> Records:
        """Returns the records of a frame.

        Args:
            rows: its batches.
            lines: those of the frame of lines; not looked at where there is none.
        """
        return open_records(
            rows,
            self.kind,
            columns=self.columns,
            constants=self.constants,
            clear=self.clear,
            decimal_sign=self.decimal_sign,
            extra_columns=self.extra_columns,
            lines=lines if self.has_lines else None,
            line_columns=self.line_columns,
            lines_optional=self.lines_optional,
        )

    def number_column(self, table: Any, which: TableOfFrame) -> MappedColumn | None:
        """Returns the column that has the number of the record, or of the document that a line is of; None where no column has it.

        Args:
            table: a table of Arrow, which has begun.
            which: which frame it is of.
        """
        if which == LINES:
            fields = FieldMap("documents", self.line_columns, extra=self.extra_columns, part="lines")
        else:
            options = ReadingOptions(decimal_sign=self.decimal_sign, clear=self.clear)
            fields = FieldMap(self.kind, self.columns, self.constants, extra=self.extra_columns, options=options)
        columns = fields.of(table.names, table.line_paths, table.lists).columns
        return next((one for one in columns if one.field.path == KEYS[self.kind]), None)


@dataclass(frozen=True, slots=True)
class FrameJob:
    """What is sent, and how; the arguments of `send_frame`.

    Attributes:
        url: of the database.
        connect: makes a client.
        run_id, parts, lease, options, user_id: of the shared run.
        reading: how rows are read.
        state: the URL of the state of a sync of customers, or None.
    """

    url: DatabaseUrl = field(repr=False)
    connect: Connect = field(repr=False)
    run_id: str
    parts: int
    lease: float
    options: BulkOptions | None
    user_id: str | None
    reading: Reading
    state: DatabaseUrl | None = field(default=None, repr=False)

    @classmethod
    def of(cls, journal: str, client: Connect, reading: Reading, *, parts: int, state: str | None = None, **more: Any) -> FrameJob:
        """Checks the arguments of `send_frame`, and returns them.

        Args:
            journal: the URL of the database.
            client: makes a client.
            reading: how rows are read.
            parts: the number of parts.
            state: the URL of the state of a sync of customers, or None.
            more: further attributes.

        Raises:
            ConfigurationError: one of them is wrong.
        """
        check_int("parts", parts, least=1, most=MOST_PARTS)
        if not callable(client) or isinstance(client, ArmClient):
            raise ConfigurationError(
                "client must be a function that makes a client, such as ArmClient.from_env: a client can't go to another process, so each "
                "task makes its own"
            )
        options = more["options"]
        if options is not None and options.dead_letter is not None:
            raise ConfigurationError("a dead letter would be a file of each executor: leave it out, and use report.failures()")
        if state is not None and reading.kind != "customers":
            raise ConfigurationError("a state is for customers")
        reading.check()
        of_state = _url("the state of customers", state) if state is not None else None
        return cls(_url("the journal of a frame of Spark", journal), client, parts=parts, reading=reading, state=of_state, **more)

    def shared(self, arm: ArmClient) -> SharedRun:
        """Returns the shared run of the documents.

        Args:
            arm: the client.
        """
        return SharedRun(
            # Its methods have no name for what only Spark needs.
            BulkWrites(arm._context, arm._pressure, DOCUMENTS),  # noqa: SLF001
            self.url,
            run_id=self.run_id,
            parts=self.parts,
            lease=self.lease,
            options=self.options,
            user_id=self.user_id,
            timeout=None,
            retry=None,
        )


def _url(what: str, given: str) -> DatabaseUrl:
    url = database_url(given)
    if url is None:
        raise ConfigurationError(f"{what} is in PostgreSQL: postgresql://host/database")
    return url
