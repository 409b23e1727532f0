"""The journal of a run in PostgreSQL, as the sender uses it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from .... import clock
from ....config import BulkOptions
from ....database.url import DatabaseUrl
from ....database.worker import DatabaseWorker
from ....errors import JournalError
from ....postgres.connection import LEASE, Patience, PostgresConnection
from ....postgres.lease import take
from ....postgres.schema import prepare_schema
from ....postgres.worker import PostgresWorker
from ...chunking import Batch, split_json_objects
from ...outcomes import Outcome, State
from ...parts import own_places, refuse_foreign
from ...record_amounts import RecordAmounts
from ..recorder import SendDecision
from ..run_key import RunKey
from ..sqlite.find_run import find_run
from ..sqlite.journal import SqliteRunJournal
from .shared import enter_part, refuse_pruned, refuse_shared, write_report
from .store import WORD, PostgresRunStore

if TYPE_CHECKING:
    from ....clock import ServiceClock
    from ....postgres.owner import Owner
    from ...parts import PartOfRun

__all__ = ["PostgresRunJournal"]

_AFTER_AN_END = 10.0
"""Seconds to wait for a database that is away, once a run was ended for another reason."""


class PostgresRunJournal(SqliteRunJournal):
    """The journal of one run in PostgreSQL. See `RunJournal` and `Recorder` for the methods.

    Args:
        url: of the database.
        key: which run.
        options: of the run.
        service: the clock of the service.
        reads_source: False if there is no source.
        reads_all: False if the source has only some records of an earlier attempt.
        part: the part of a shared run that the run is; None: it is a whole run.
    """

    _kind = PostgresRunStore

    def __init__(
        self,
        url: DatabaseUrl,
        key: RunKey,
        options: BulkOptions,
        service: ServiceClock,
        *,
        reads_source: bool = True,
        reads_all: bool = True,
        part: PartOfRun | None = None,
    ) -> None:
        self._url = url
        self._part = part
        self._patience = Patience(options.patience)
        super().__init__(key, options, service, reads_source=reads_source, reads_all=reads_all)
        assert isinstance(self._store, PostgresRunStore)
        self._store.part = part

    def _place_of(self, options: BulkOptions) -> str:
        return str.__str__(self._url)

    def _amounts_of(self, indexes: Sequence[int]) -> RecordAmounts | None:
        return self._part.amounts(indexes) if self._part is not None else None

    def _make_thread(self) -> DatabaseWorker:
        return PostgresWorker(self._url, self._open_run, self._store.release, WORD, self._patience)

    def _open_run(self) -> tuple[PostgresConnection, Owner]:
        """Connects, and takes the run; called in the thread."""
        prepare_schema(self._url, WORD)
        lease = self._part.lease if self._part is not None else LEASE
        connection = PostgresConnection(self._url, WORD, patience=self._patience, lease=lease)
        try:
            connection.identify()
            run = self._enter_run(connection)
            taking = partial(take, token=secrets.token_hex(8), patience=self._patience, refuse=self._running_error)
            return connection, taking(connection, run, 0, waits=self._part is not None)
        except BaseException:
            connection.close()
            raise

    def _enter_run(self, connection: Any) -> int:
        key = self._key
        with connection.transaction():
            if self._part is None and self._reads_source:
                refuse_shared(connection, key)
            if (found := find_run(connection, self._path, key)) is not None:
                return found[0]
            if self._part is not None:
                enter_part(connection, key, self._part, deadline=self._options.deadline, process=os.getpid())
            else:
                connection.execute(
                    "INSERT INTO runs (run_id, operation, client_no, base_url, attempts, deadline, started, process)"
                    " VALUES (?, ?, ?, ?, 0, ?, ?, ?) ON CONFLICT DO NOTHING",
                    (key.run_id, key.operation, key.client_no, key.base_url, self._options.deadline, clock.unix_time(), os.getpid()),
                )
            entered = find_run(connection, self._path, key)
            if entered is None and self._part is not None:
                refuse_pruned(connection, key, self._part)
            assert entered is not None
            return entered[0]

    def _running_error(self, owner: Owner) -> JournalError:
        return JournalError(
            f"the run {self._key.run_id!r} ({self._key.operation}) of the journal {self._path} is already in progress in {owner}: wait "
            "until it ends"
        )

    async def decide(self, batch: Batch) -> SendDecision | None:
        """Decides which records of a batch are sent. See `Recorder`.

        Args:
            batch: the batch.

        Returns:
            The decision.

        Raises:
            RecordError: a record belongs to another part of the shared run.
        """
        if self._part is not None:
            refuse_foreign(self._part.hash, self._part.part, batch.keys, batch.indexes)
            batch = replace(batch, amounts=self._part.amounts(batch.indexes))
        return await super().decide(batch)

    def not_sent(self, indexes: Sequence[int], keys: Sequence[str | None], outcome: Outcome, body: bytes | None) -> None:
        """Records the outcome of records that were never sent: not of those of other parts, which a run that ends early names too."""
        if self._part is not None and len(own := own_places(self._part.hash, self._part.part, keys)) < len(keys):
            if not own:
                return
            texts = split_json_objects(body) if body is not None else []
            body = b",".join([texts[place] for place in own]) if texts else None
            indexes, keys = [indexes[place] for place in own], [keys[place] for place in own]
        super().not_sent(indexes, keys, outcome, body)

    async def end(self, *, complete: bool) -> dict[State, int]:
        """Writes the report of a part and the dead letter file, and closes the journal. See `Recorder`."""
        if not complete:
            self._patience.seconds = min(self._patience.seconds, _AFTER_AN_END)
        try:
            if self._part is not None and self._thread is not None and self._run is not None and self._reads_source:
                # A replay has not read the source of the part.
                is_whole = complete and self._reads_all
                report = self._part.report(is_whole)
                await self._call(partial(write_report, run=self._run.id, attempt=self._run.attempt, complete=is_whole, report=report))
        finally:
            left = await super().end(complete=complete)
        return left
