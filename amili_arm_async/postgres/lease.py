"""Takes a part of a run for this process, and gives it back: by a row with an epoch and a lease, as the clock of the database counts."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec

from .. import clock, log
from ..errors import JournalError
from .connection import BEAT, LOCKED, Fence, Patience, PostgresConnection
from .owner import Owner, is_dead, is_ours, release, this_process

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["give_back", "is_owned", "take", "try_take"]

_LOOK: Final = 0.5
"""Seconds between two looks at a lease that somebody else has."""

_TAKE: Final = """UPDATE parts SET owner = ?, epoch = epoch + 1, writes = 0,
    lease_until = clock_timestamp() + ? * interval '1 second'
WHERE run = ? AND part = ? AND epoch = ? AND writes = ? RETURNING epoch"""

_MAY_BE_SENT: Final = "UPDATE batches SET sender = ? WHERE state = 'sending' AND id BETWEEN ? AND ?"

_LEFT: Final = "coalesce(extract(epoch FROM lease_until - clock_timestamp())::float8, 0)"


def take(
    connection: PostgresConnection,
    run: int,
    part: int,
    *,
    token: str,
    patience: Patience,
    refuse: Callable[[Owner], Exception],
    waits: bool = False,
) -> Owner:
    """Takes a part of a run; from now on the transactions of the connection are fenced.

    Where another process has it, it is watched: it is refused as soon as it renews its lease, and taken over once its lease has ended, or
    its process is known to have. Where this one waits, it is not refused.

    Args:
        connection: to the database.
        run: the id of the run.
        part: the number of the part.
        token: a random name of this attempt.
        patience: ended where nobody waits for it any more.
        refuse: makes the error where another process goes on with it.
        waits: whether to wait until the other process has ended with it, for as long as that takes.

    Returns:
        The name of this process.

    Raises:
        JournalError: the database can't be used.
        Exception: what `refuse` made.
    """
    ours = this_process(token)
    try:
        has_told = False
        watched: tuple[Any, ...] | None = None
        begun = clock.monotonic()
        while True:
            now = clock.monotonic()
            owner, epoch, writes, left = connection.patiently(partial(_read, connection, run, part))
            # Whether this was the last attempt: what it had to wait for before was given time to end.
            is_late = now - max(begun, connection.reconnected) > connection.lease * (1 + BEAT)
            is_free = owner is None or left <= 0 or is_dead(owner)
            if is_free and _takes(connection, run, part, ours, epoch, writes, former=owner):
                return ours
            watched = watched or (epoch, writes)
            is_going_on = owner is not None and (watched != (epoch, writes) or is_ours(owner))
            is_refused = is_going_on or is_late
            if (is_refused and not waits) or not patience.wait(min(_LOOK, connection.lease * BEAT)):
                raise refuse(owner or ours)
            if is_refused and not has_told:
                has_told = True
                log.info(f"{owner} has this part of the run: this process waits until it has ended")
    except BaseException:
        release(ours)
        raise


def _read(connection: PostgresConnection, run: int, part: int) -> tuple[Owner | None, int, int, float]:
    query = f"SELECT owner, epoch, writes, {_LEFT} FROM parts WHERE run = ? AND part = ?"  # noqa: S608 - our own words
    with connection.transaction():
        row = connection.execute(query, (run, part)).fetchone()
        if row is None:
            # Only then: it would wait for a transaction that the owner has open, for as long as a process that is frozen keeps it so.
            connection.execute("INSERT INTO parts (run, part) VALUES (?, ?) ON CONFLICT DO NOTHING", (run, part))
            row = connection.execute(query, (run, part)).fetchone()
    text, epoch, writes, left = row
    owner = msgspec.json.decode(text, type=Owner) if text is not None else None
    return owner, epoch, writes, _with_grace(connection, left)


def _with_grace(connection: PostgresConnection, left: float) -> float:
    """Returns the seconds that are left of a lease. While the database was away its owner could not renew it, and has the time of a lease
    for that once it is back."""
    is_back = clock.monotonic() - connection.reconnected < connection.lease
    return max(left, connection.lease) if is_back else left


def _takes(connection: PostgresConnection, run: int, part: int, owner: Owner, epoch: int, writes: int, *, former: Owner | None) -> bool:
    """Takes a part that was found free; returns whether nobody else was faster. From then on the connection is fenced."""
    taken = connection.patiently(partial(_take, connection, run, part, owner, epoch, writes, former=former))
    if taken is not None:
        connection.fence = Fence(run, part, taken, 0)
    return taken is not None


def _take(
    connection: PostgresConnection, run: int, part: int, owner: Owner, epoch: int, writes: int, *, former: Owner | None
) -> int | None:
    """As `_takes`, in one attempt; returns the new epoch."""
    try:
        return _update(connection, run, part, owner, epoch, writes, former=former)
    except JournalError as exc:
        # Its owner has a transaction open, and is still there or about to be cut off.
        if getattr(exc.__cause__, "sqlstate", None) != LOCKED:
            raise
        return None


def _update(
    connection: PostgresConnection, run: int, part: int, owner: Owner, epoch: int, writes: int, *, former: Owner | None
) -> int | None:
    with connection.transaction():
        row = connection.execute(
            _TAKE,
            (_text_of(owner), connection.lease, run, part, epoch, writes),
        ).fetchone()
        if row is None:
            # The answer to an earlier attempt was lost, and it was committed.
            query = "SELECT epoch FROM parts WHERE run = ? AND part = ? AND owner = ?"
            row = connection.execute(query, (run, part, _text_of(owner))).fetchone()
        elif former is not None and not is_dead(former):
            # It may be frozen, and wake up: then it sends what it was about to send.
            connection.execute(_MAY_BE_SENT, (str(former), run << 32, ((run + 1) << 32) - 1))
    return int(row[0]) if row is not None else None


def _text_of(owner: Owner) -> str:
    return msgspec.json.encode(owner).decode()


def try_take(connection: PostgresConnection, run: int, part: int, *, token: str) -> Owner | None:
    """Takes a part of a run where nobody goes on with it, without waiting.

    Args:
        connection: to the database.
        run: the id of the run.
        part: the number of the part.
        token: a random name of this attempt.

    Returns:
        The name of this process; None where another one has the part.
    """
    owner, epoch, writes, left = connection.patiently(partial(_read, connection, run, part))
    if owner is not None and left > 0 and not is_dead(owner):
        return None
    ours = this_process(token)
    try:
        if _takes(connection, run, part, ours, epoch, writes, former=owner):
            return ours
    except BaseException:
        release(ours)
        raise
    release(ours)
    return None


def give_back(connection: PostgresConnection, owner: Owner) -> None:
    """Gives a part back, so that the next process need not wait for the end of its lease.

    Args:
        connection: the fenced connection.
        owner: the name of this process.
    """
    fence, connection.fence = connection.fence, None
    release(owner)
    if fence is None:
        return
    with connection.transaction():
        # Where a standby was promoted that lacks the last seconds, another process may own it in the same epoch.
        connection.execute(
            "UPDATE parts SET owner = NULL, lease_until = NULL WHERE run = ? AND part = ? AND epoch = ? AND owner = ?",
            (fence.run, fence.part, fence.epoch, _text_of(owner)),
        )


def is_owned(connection: PostgresConnection, run: int, part: int = 0) -> bool:
    """Returns whether a process is going on with a run.

    Args:
        connection: to the database.
        run: the id of the run.
        part: the number of the part in the table. Default 0: that of a whole run.
    """
    query = f"SELECT owner, {_LEFT} FROM parts WHERE run = ? AND part = ? AND owner IS NOT NULL"  # noqa: S608 - our own words
    rows = connection.execute(query, (run, part))
    return any(_with_grace(connection, left) > 0 and not is_dead(msgspec.json.decode(owner, type=Owner)) for owner, left in rows.fetchall())
