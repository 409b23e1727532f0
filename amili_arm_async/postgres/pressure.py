"""The row in which the runs of an account share what the server bears: one statement reads and writes it. Called in a thread.

All times are those of the clock of the database, and what leaves it is a number of seconds from now: the clocks of the machines don't
count.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

import msgspec

from .driver import connect, load

if TYPE_CHECKING:
    from ..database.url import DatabaseUrl

__all__ = ["Account", "Beat", "Member", "PartCount", "PressureTable", "Shared"]

_LONGEST: Final = 2.5
"""Beats, but at least 1 s, after which a statement is ended: it is never worth a long wait."""

_NAME: Final = "amili-arm-pressure"
"""What the connection is called in the database."""

_MISSED: Final = 5
"""Beats that a member may miss before it no longer counts."""

_CALM: Final = 1.5
"""Beats in which "too much" lowers the total once: until then, not all members have seen it."""

_STILL: Final = 3.0
"""Beats after the total was lowered in which "too much" means that it is still far too high."""

_WARY: Final = 10.0
"""Beats after "too much" in which the total does not come near what was too much."""

_NEAR: Final = 0.95
"""What remains of the batches at once that were too many, where all went well before."""

_FAR: Final = 0.75
"""What remains where the total is still too high."""

_FIRST: Final = 0.5
"""What remains at the first time: runs begin, and grow, without knowing of each other."""

_FEW: Final = 4
"""Where the server says how long to wait, the total is lowered no further: with fewer, each one less is much less, and a few that are
refused cost little."""

_RECOVERY: Final = (0.5, 0.05)
"""Batches at once by which the total grows each second while it is far below what was too much: a number, or a share, if that is more."""

_SEARCH: Final = (0.25, 0.01)
"""The same, where it is near."""

_ABANDONED: Final = 60.0
"""Seconds without any beat after which the total is forgotten."""

_ENOUGH: Final = 32
"""Batches at once for each member, from which on the total limits nobody."""

_LONGEST_HOLD: Final = 86_400.0
"""A Retry-After is a day at the most: what is longer was written before the clock of the database was set back."""

_FORGOTTEN: Final = 900.0
"""Seconds without any process of a shared run after which its failures count from 0 again."""

_KEPT: Final = 30 * 86_400.0

# Each transaction has one statement, and none waits for the disk: what is lost is written again at the next beat.
_SETTINGS: Final = (
    "SET LOCAL synchronous_commit TO off; SET LOCAL statement_timeout TO %(longest)s; SET LOCAL search_path TO amili_arm, pg_temp; "
)

_ENTER: Final = "INSERT INTO pressure (base_url, client_no) VALUES (%(base_url)s, %(client_no)s) ON CONFLICT DO NOTHING"

_BEAT: Final = f"""
WITH locked AS MATERIALIZED (
    SELECT * FROM pressure WHERE base_url = %(base_url)s AND client_no = %(client_no)s FOR UPDATE
), old AS MATERIALIZED (
    SELECT *, extract(epoch FROM clock_timestamp())::float8 AS now FROM locked
), live AS MATERIALIZED (
    SELECT key, value FROM old, jsonb_each(members)
    WHERE key <> %(me)s AND (value->>'until')::float8 BETWEEN now AND now + (value->>'lapse')::float8
    UNION ALL
    SELECT %(me)s, jsonb_build_object('wants', %(wants)s, 'uses', %(uses)s, 'lapse', %(lapse)s, 'until', now + %(lapse)s)
    FROM old WHERE NOT %(leaves)s
), asked AS MATERIALIZED (
    SELECT CASE WHEN %(finds_unknown)s THEN now
                WHEN now - %(answered)s::float8 >= unanswered THEN NULL
                ELSE unanswered END AS since
    FROM old
), measured AS MATERIALIZED (
    SELECT abs(now - lowered) AS age, greatest(0, now - beaten) AS passed, abs(now - beaten) > {_ABANDONED} AS is_abandoned,
        %(overloaded)s AND (lowered IS NULL OR abs(now - lowered) > %(calm)s) AS is_too_much,
        CASE WHEN total IS NULL OR abs(now - beaten) > {_ABANDONED} THEN (SELECT sum((value->>'wants')::float8) FROM live)
             ELSE least(total, (SELECT sum((value->>'uses')::float8) FROM live)) END AS at_once
    FROM old
), new AS MATERIALIZED (
    SELECT now, since AS unanswered,
        coalesce((SELECT jsonb_object_agg(key, value) FROM live), '{{{{}}}}') AS members,
        greatest(CASE WHEN held_until <= now + {_LONGEST_HOLD} THEN held_until END, now + %(held)s::float8) AS held_until,
        CASE WHEN is_too_much THEN greatest(1, CASE WHEN %(is_paced)s THEN least(at_once, {_FEW}) END, at_once * CASE
                WHEN total IS NULL OR is_abandoned THEN {_FIRST} WHEN age < %(still)s THEN {_FAR}
                WHEN %(is_paced)s THEN 1 ELSE {_NEAR} END)
             WHEN is_abandoned OR total > {_ENOUGH} * (SELECT count(*) FROM live) THEN NULL
             WHEN age > %(still)s AND total < {_NEAR} * peak
                THEN least({_NEAR} * peak, total + passed * greatest({_RECOVERY[0]}, {_RECOVERY[1]} * total))
             WHEN age > %(wary)s THEN total + passed * greatest({_SEARCH[0]}, {_SEARCH[1]} * total)
             ELSE total END AS total,
        CASE WHEN is_too_much THEN at_once ELSE peak END AS peak,
        CASE WHEN is_too_much THEN now ELSE lowered END AS lowered,
        CASE WHEN since IS NULL THEN NULL
             WHEN prober IN (SELECT key FROM live) THEN prober
             WHEN %(may_probe)s AND NOT %(leaves)s THEN %(me)s END AS prober
    FROM old, asked, measured
), counted AS (
    INSERT INTO failures (run_id, operation, client_no, base_url, part, failures, settled, seen)
    SELECT %(run_id)s, %(operation)s, %(client_no)s, %(base_url)s, %(part)s::int, %(failures)s, %(settled)s, now FROM new
    WHERE %(counts)s
    ON CONFLICT (run_id, operation, client_no, base_url, part)
    DO UPDATE SET failures = excluded.failures, settled = excluded.settled, seen = excluded.seen
)
UPDATE pressure SET members = new.members, held_until = new.held_until, total = new.total, peak = new.peak, lowered = new.lowered,
    unanswered = new.unanswered, prober = new.prober, beaten = now
FROM new WHERE base_url = %(base_url)s AND client_no = %(client_no)s
RETURNING now, greatest(0, new.held_until - now), new.total, new.members::text, new.unanswered IS NOT NULL, new.prober,
    (SELECT coalesce(sum(f.failures), 0)::bigint FROM failures f WHERE {{others}}),
    (SELECT coalesce(sum(f.settled), 0)::bigint FROM failures f WHERE {{others}})
"""  # noqa: S608 - our own words
_OF_RUN: Final = "f.run_id = %(run_id)s AND f.operation = %(operation)s AND f.client_no = %(client_no)s AND f.base_url = %(base_url)s"
_BEAT_OF_PART: Final = _BEAT.format(others=f"{_OF_RUN} AND f.part <> %(part)s")

_FORGET: Final = f"""
WITH recent AS (SELECT extract(epoch FROM clock_timestamp())::float8 AS now)
DELETE FROM failures AS f USING recent WHERE f.seen < now - {_KEPT} OR ({_OF_RUN}
    AND NOT EXISTS (SELECT 1 FROM failures AS g
        WHERE (g.run_id, g.operation, g.client_no, g.base_url) = (f.run_id, f.operation, f.client_no, f.base_url)
            AND abs(now - g.seen) < {_FORGOTTEN}))
"""  # noqa: S608 - our own words
_COUNT: Final = f"SELECT coalesce(sum(f.failures), 0)::bigint, coalesce(sum(f.settled), 0)::bigint FROM failures f WHERE {_OF_RUN}"  # noqa: S608


class PartCount(msgspec.Struct, frozen=True):
    """A part of a shared run, whose failures count together with those of the others.

    Attributes:
        run_id, operation: of the whole run.
        part: the part.
    """

    run_id: str
    operation: str
    part: int


class Account(msgspec.Struct, frozen=True):
    """Whose pressure it is.

    Attributes:
        base_url: the address.
        client_no: the client number.
        part: the part of a shared run that takes part; None: a whole run.
    """

    base_url: str
    client_no: int
    part: PartCount | None = None


class Beat(msgspec.Struct, frozen=True):
    """What a run tells the others.

    Attributes:
        wants: batches that it would send at once.
        uses: batches that it had on the wire at once since its last beat, at the most.
        held: seconds for which a Retry-After that it got still lasts; None: it got none.
        overloaded: whether the server said "too much" since its last beat.
        is_paced: whether it said then how long to wait. Where it says so only now and then, that is enough.
        finds_unknown: whether it does not know what became of a batch of documents since its last beat.
        answered: seconds since it began a read that the server then answered, for others to go on; None: none.
        may_probe: whether it sends documents, and would ask the server in place of one that has gone.
        counts: whether the failures of this attempt count.
        failures, settled: records of this attempt that failed, and all that have a final state.
    """

    wants: int = 0
    uses: int = 0
    held: float | None = None
    overloaded: bool = False
    is_paced: bool = False
    finds_unknown: bool = False
    answered: float | None = None
    may_probe: bool = False
    counts: bool = False
    failures: int = 0
    settled: int = 0


class Member(msgspec.Struct, frozen=True):
    """A run that takes part.

    Attributes:
        wants: batches that it would send at once.
    """

    wants: int


class Shared(msgspec.Struct, frozen=True):
    """What all runs of the account know together.

    Attributes:
        now: seconds by the clock of the database.
        held: seconds until anything may be sent.
        total: batches that all may send at once; None: no limit is known.
        members: the runs, by name.
        is_unanswered: whether the server has to answer a read before more documents are sent.
        prober: the run that asks it.
        failures, settled: of the other parts of the shared run.
    """

    now: float
    held: float
    total: float | None
    members: Mapping[str, Member]
    is_unanswered: bool
    prober: str | None
    failures: int
    settled: int


_MEMBERS: Final = msgspec.json.Decoder(dict[str, Member])


class PressureTable:
    """The row of an account, on a connection of its own: a beat never waits for the journal, nor the journal for it.

    Args:
        url: of the database.
        account: which row.
        me: a random name of the run that takes part.
        beat: seconds between two beats.
    """

    def __init__(self, url: DatabaseUrl, account: Account, me: str, beat: float) -> None:
        self._url = url
        part = account.part
        self._longest = max(1.0, beat * _LONGEST)
        self._values: dict[str, Any] = {
            "base_url": account.base_url,
            "client_no": account.client_no,
            "me": me,
            "lapse": beat * _MISSED,
            "calm": beat * _CALM,
            "still": beat * _STILL,
            "wary": beat * _WARY,
            "longest": int(self._longest * 1000),
            "run_id": part.run_id if part is not None else None,
            "operation": part.operation if part is not None else None,
            "part": part.part if part is not None else None,
        }
        self._statement = _SETTINGS + (_BEAT_OF_PART if part is not None else _BEAT.format(others="false"))
        self._raw: Any = None
        self._lock = Lock()
        self._is_closed = False

    def enter(self) -> tuple[int, int]:
        """Makes the row where there is none.

        Returns:
            The failed and the settled records of all parts of the shared run so far, earlier attempts at this one included.

        Raises:
            Exception: the database can't be used.
        """
        with self._lock:
            self._execute(_SETTINGS + _ENTER)
            if self._values["part"] is None:
                return 0, 0
            self._execute(_SETTINGS + _FORGET)
            found = self._execute(_SETTINGS + _COUNT)
            assert found is not None
            return found[0], found[1]

    def beat(self, beat: Beat) -> Shared | None:
        """Tells the others, and learns what all know.

        Args:
            beat: what to tell.

        Returns:
            What all know; None where the row is gone.

        Raises:
            Exception: the database can't be used.
        """
        with self._lock:
            found = self._execute(self._statement, self._told(beat, leaves=False))
            if found is None:
                return None
            now, held, total, members, *rest = found
            return Shared(now, held or 0.0, total, _MEMBERS.decode(members), *rest)

    def leave(self, beat: Beat) -> None:
        """Tells the others a last time, and that this run is over; then closes the connection. Never raises.

        Args:
            beat: what to tell.
        """
        self._is_closed = True
        # Where a beat hangs, the others notice by themselves that this one is gone.
        if not self._lock.acquire(blocking=False):
            return
        try:
            with contextlib.suppress(Exception):
                if self._raw is not None:
                    self._execute(self._statement, self._told(beat, leaves=True))
        finally:
            self._close()
            self._lock.release()

    def _told(self, beat: Beat, *, leaves: bool) -> dict[str, Any]:
        told = msgspec.structs.asdict(beat)
        return {**told, "leaves": leaves, "counts": beat.counts and self._values["part"] is not None}

    def _execute(self, statement: str, values: Mapping[str, Any] | None = None) -> tuple[Any, ...] | None:
        """Executes a statement; returns the one row of its answer."""
        try:
            if self._raw is None:
                self._raw = connect(self._url, 2 * self._longest, name=_NAME)
            # One message: so the transaction ends, and its locks, also where this process is stopped now.
            cursor = load().ClientCursor(self._raw).execute(statement, {**self._values, **(values or {})})
            while cursor.nextset():
                pass
            row: tuple[Any, ...] | None = cursor.fetchone() if cursor.description is not None else None
        except BaseException:
            self._close()
            raise
        if self._is_closed and not (values or {}).get("leaves"):
            # Its run did not wait for it any more.
            self._close()
        return row

    def _close(self) -> None:
        raw, self._raw = self._raw, None
        if raw is not None:
            with contextlib.suppress(Exception):
                raw.close()
