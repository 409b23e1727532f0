"""A run in parts, in a journal in PostgreSQL: its row, and the reports of its parts. Called in a thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .... import clock
from ....errors import ConfigurationError, JournalError
from ....postgres.connection import PostgresConnection
from ....postgres.schema import prepare_schema
from ...parts import HASH_KEY, HASH_VERSION, PartHash, part_of_name, part_run_id
from ..run_key import pruned_error
from .store import WORD

if TYPE_CHECKING:
    from ....database.url import DatabaseUrl
    from ...parts import PartOfRun
    from ..run_key import RunKey

__all__ = ["enter", "enter_part", "find", "is_begun", "refuse_pruned", "refuse_shared", "write_report"]

_NAMED: Final = "run_id = ? AND operation = ? AND client_no = ?"

_ENTER_PART: Final = f"""WITH whole AS (SELECT pruned FROM shared_runs WHERE {_NAMED} FOR SHARE)
INSERT INTO runs (run_id, operation, client_no, base_url, attempts, deadline, started, process)
SELECT ?, ?, ?::bigint, ?, 0, ?::float8, ?::float8, ?::bigint WHERE NOT EXISTS (SELECT 1 FROM whole WHERE pruned IS NOT NULL)
ON CONFLICT DO NOTHING"""  # noqa: S608 - our own words


def enter(url: DatabaseUrl, key: RunKey, parts: int) -> PartHash:
    """Begins a shared run, or finds it.

    Args:
        url: of the database.
        key: the whole run.
        parts: the number of its parts.

    Returns:
        What tells the part of each record.

    Raises:
        ConfigurationError: it was begun with another number of parts, without parts, or against another address.
        JournalError: it was begun by another version of the library, or pruned, or the database can't be used.
    """
    prepare_schema(url, WORD)
    connection = PostgresConnection(url, WORD)
    try:
        with connection.transaction():
            query = f"SELECT 1 FROM runs WHERE {_NAMED}"  # noqa: S608 - our own words
            if connection.execute(query, _named(key)).fetchone() is not None:
                raise ConfigurationError(
                    f"the run {key.run_id!r} of this journal was begun without parts: go on without, or use another run_id"
                )
            connection.execute(
                "INSERT INTO shared_runs (run_id, operation, client_no, base_url, parts, hash_key, hash_version, started)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (*_named(key), key.base_url, parts, HASH_KEY, HASH_VERSION, clock.unix_time()),
            )
            found = find(connection, key)
            assert found is not None
    finally:
        connection.close()
    if found.parts != parts:
        raise ConfigurationError(
            f"the run {key.run_id!r} of this journal was begun with {found.parts} parts, and now parts is {parts}: a number would be in "
            f"another part. Use {found.parts}, or another run_id"
        )
    return found


def _named(key: RunKey) -> tuple[str, str, int]:
    return key.run_id, key.operation, key.client_no


def find(connection: Any, key: RunKey) -> PartHash | None:
    """Finds a shared run.

    Args:
        connection: to the database.
        key: the whole run.

    Returns:
        What tells the part of each record; None where there is no such run.

    Raises:
        ConfigurationError: it was begun against another address.
        JournalError: it was begun by another version of the library, or pruned.
    """
    query = f"SELECT base_url, parts, hash_key, hash_version, pruned FROM shared_runs WHERE {_NAMED}"  # noqa: S608 - our own words
    row = connection.execute(query, _named(key)).fetchone()
    if row is None:
        return None
    base_url, parts, hash_key, version, pruned = row
    if base_url != key.base_url:
        raise ConfigurationError(
            f"the run {key.run_id!r} of this journal was started with base_url {base_url}, and now base_url is {key.base_url}: "
            "use another run_id or another journal"
        )
    if pruned is not None:
        raise pruned_error(None, key.run_id, key.operation, pruned)
    if version != HASH_VERSION:
        raise JournalError(
            f"the run {key.run_id!r} was begun by another version of the library, which puts numbers into other parts: finish it with "
            "that one"
        )
    return PartHash(parts, hash_key)


def is_begun(connection: Any, key: RunKey) -> bool:
    """Returns whether a part of a shared run was begun.

    Args:
        connection: to the database.
        key: the whole run.

    Raises:
        ConfigurationError: it was begun against another address.
        JournalError: it was begun by another version of the library.
    """
    if (found := find(connection, key)) is None:
        return False
    names = [part_run_id(key.run_id, part, found.parts) for part in range(found.parts)]
    query = "SELECT 1 FROM runs WHERE operation = ? AND client_no = ? AND run_id = ANY(?) AND pruned IS NULL LIMIT 1"
    return connection.execute(query, (key.operation, key.client_no, names)).fetchone() is not None


def refuse_shared(connection: Any, key: RunKey) -> None:
    """Refuses a run without parts that was begun with parts, or whose name is that of a part.

    Args:
        connection: to the database.
        key: the run.

    Raises:
        ConfigurationError: it was.
        JournalError: it was pruned.
    """
    if part_of_name(key.run_id) is not None:
        raise ConfigurationError(f"the run_id {key.run_id!r} has the form of a part of a shared run: use another one, or shared_run")
    query = f"SELECT parts, pruned FROM shared_runs WHERE {_NAMED}"  # noqa: S608 - our own words
    if (row := connection.execute(query, _named(key)).fetchone()) is not None:
        if row[1] is not None:
            raise pruned_error(None, key.run_id, key.operation, row[1])
        raise ConfigurationError(
            f"the run {key.run_id!r} of this journal was begun with {row[0]} parts: go on with shared_run (--parts {row[0]} --part N), or "
            "use another run_id"
        )


def enter_part(connection: Any, key: RunKey, part: PartOfRun, *, deadline: float, process: int) -> None:
    """Enters the run of a part, unless it is there, or the shared run was pruned; until the end of the transaction, that can't be.

    Args:
        connection: to the database, in a transaction.
        key: the run of the part.
        part: the part.
        deadline: of the attempt, in seconds.
        process: the id of this process.
    """
    run = (*_named(key), key.base_url, deadline, clock.unix_time(), process)
    connection.execute(_ENTER_PART, (part.run_id, key.operation, key.client_no, *run))


def refuse_pruned(connection: Any, key: RunKey, part: PartOfRun) -> None:
    """Refuses a part of a shared run that was pruned.

    Args:
        connection: to the database.
        key: the run of the part.
        part: the part.

    Raises:
        JournalError: it was pruned.
    """
    query = f"SELECT pruned FROM shared_runs WHERE {_NAMED}"  # noqa: S608 - our own words
    row = connection.execute(query, (part.run_id, key.operation, key.client_no)).fetchone()
    if row is not None and row[0] is not None:
        raise pruned_error(None, part.run_id, key.operation, row[0])


def write_report(connection: Any, *, run: int, attempt: int, complete: bool, report: bytes) -> None:
    """Writes the report of an attempt at a part.

    Args:
        connection: to the database, fenced.
        run: the id of the run of the part.
        attempt: the number of the attempt.
        complete: whether its source was read to the end and nothing stopped it.
        report: what to keep.
    """
    connection.execute(
        "INSERT INTO reports VALUES (?, ?, ?, ?) ON CONFLICT (run, attempt) DO UPDATE SET complete = excluded.complete,"
        " report = excluded.report",
        (run, attempt, complete, report),
    )
