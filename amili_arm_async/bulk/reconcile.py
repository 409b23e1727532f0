"""Finds out what became of documents whose fate nobody knows: each that has a number is looked up, after a time to settle.

https://docs.amili.dev/get-one-document-3942667e0 names the look-up; what its answer holds is on no public page, so it is compared field
by field with what was sent, and fields that the server added do not count.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import anyio

from .. import clock, codec, log, wire
from ..config import Reconcile
from ..errors import ArmError, NotFoundError, StatusError
from ..transport import Transport
from .account import Account
from .course import Course
from .delivery import Deliverer
from .job import Job
from .journal.reads import UnknownRow
from .journal.run_journal import RunJournal
from .states import Verdict
from .texts import split_texts

__all__ = ["Reconciler", "same_content"]

_FOUND: Final = Verdict("succeeded")
_CONFLICT: Final = Verdict("unknown", "key_conflict", "the server has a document with this documentNo and other content")
_ABSENT: Final = Verdict("unknown", "absent", "the server has no document with this documentNo")
_BATCH_TAKEN: Final = Verdict("unknown", "batch_taken", "not found, but others of its batch were: the batch was taken")
_NOT_LOOKED_UP: Final = Verdict("unknown", "not_looked_up", "the look-up was not answered")

_TELLING: Final = frozenset({"key_conflict", "batch_taken"})
"""What an earlier look-up found, and this one may have missed."""

_ABOUT_THE_CALL: Final = frozenset({401, 403, 405})
_MARGIN: Final = 1.1

_MOST_PROOFS: Final = 5
"""Accepted documents that are asked for: one that is not there may have failed since."""


def same_content(sent: bytes, found: bytes) -> bool:
    """Whether what the server has is what was sent: every field that was sent is there and says the same.

    Numbers are compared as numbers, text without case and outer blanks ("Data values are not case-sensitive",
    https://docs.amili.dev/about-355476m0). What was sent as blank or null may be missing; what the server has beside it does not count.
    """
    ours, theirs = codec.json_object(sent), codec.json_object(found)
    return ours is not None and theirs is not None and _says_the_same(ours, theirs)


def _says_the_same(ours: Any, theirs: Any) -> bool:
    if _is_blank(ours):
        return _is_blank(theirs)
    if isinstance(ours, dict):
        return isinstance(theirs, dict) and all(_says_the_same(value, theirs.get(name)) for name, value in ours.items())
    if isinstance(ours, list):
        return isinstance(theirs, list) and len(ours) == len(theirs) and all(map(_says_the_same, ours, theirs))
    if isinstance(ours, bool) or isinstance(theirs, bool):
        return ours is theirs
    first, second = _number(ours), _number(theirs)
    if first is not None and second is not None and not (isinstance(ours, str) and isinstance(theirs, str)):
        return first == second
    return isinstance(ours, str) and isinstance(theirs, str) and ours.strip().casefold() == theirs.strip().casefold()


def _is_blank(value: Any) -> bool:
    return value is None or value in ("", [], {}) or (isinstance(value, str) and not value.strip())


def _number(value: Any) -> Decimal | None:
    try:
        number = Decimal(value) if isinstance(value, (int, Decimal, str)) else None
    except ArithmeticError:
        return None
    return number if number is not None and number.is_finite() else None


class Reconciler:
    """Settles the unknown documents of a run, batch by batch.

    Args:
        job: the run.
        transport: the connections.
        journal: knows what was sent.
        account: takes in what becomes of each record.
        course: whether the run goes on.
        deliverer: sends again what is to be sent again.
        adopt: where there is no source, takes the records of a batch for one.
    """

    def __init__(
        self,
        job: Job,
        transport: Transport,
        journal: RunJournal,
        account: Account,
        course: Course,
        deliverer: Deliverer,
        adopt: Callable[[int], Awaitable[None]],
    ) -> None:
        self._job = job
        self._transport = transport
        self._account = account
        self._course = course
        self._deliverer = deliverer
        self._adopt = adopt
        self._unknowns = journal.unknowns
        self._settings = job.options.reconcile if isinstance(job.options.reconcile, Reconcile) else Reconcile()
        self._places = asyncio.Semaphore(self._settings.concurrency)
        # The number of a document that was found: look-ups work.
        self._found: str | None = None

    async def run(self) -> None:
        """Looks up every unknown document that has a number, and sends again what may be."""
        try:
            settle = await self._settle_time()
            absent: list[int] = []
            for number in await self._unknowns.batches():
                await self._adopt(number)
                row = await self._unknowns.read(number)
                # A clock that was put back must not make it wait for years.
                if not await self._wait_until(min(row.sent.wall, clock.unix_time()) + settle):
                    return
                if await self._look_up_batch(row):
                    absent.append(number)
            if absent and await self._look_ups_work(settle):
                for number in absent:
                    await self._send_again(number)
        except ArmError as failure:
            self._course.stop_for_journal(failure)

    async def _settle_time(self) -> float:
        """Seconds from the last try after which what is not there won't come any more."""
        settle = self._settings.settle
        if settle is not None and not self._settings.resend_absent:
            return settle
        slowest = _MARGIN * await self._unknowns.slowest()
        # Not that of this attempt alone: an earlier one may have given its batches more time.
        deadline = await self._unknowns.deadline()
        return max(settle if settle is not None and settle > deadline else _MARGIN * deadline, slowest)

    async def _wait_until(self, then: float) -> bool:
        """Waits until a Unix time; False where the run stops."""
        while self._course.reason is None and (left := then - clock.unix_time()) > 0:
            log.info("waiting before documents are looked up", delay=round(left))
            self._account.tell_progress("time to settle before documents are looked up")
            await clock.wait(self._course.stopping, left)
        return self._course.reason is None

    # --- one batch --------------------------------------------------------------------------------------------------------

    async def _look_up_batch(self, row: UnknownRow) -> bool:
        """Looks up the unknown documents of a batch; whether some of them may be sent again."""
        wanted = {position: key for position in row.unknown if (key := row.keys[position]) is not None}
        texts = split_texts(row.body) if row.body is not None else None
        found: dict[int, Verdict] = {}

        async def look(position: int, key: str) -> None:
            async with self._places:
                if self._course.reason is None:
                    found[position] = await self._look_up(key, texts[position] if texts is not None else None)

        async with anyio.create_task_group() as looking:
            for position, key in wanted.items():
                looking.start_soon(look, position, key)
        told = any(one.reason in _TELLING for one in row.unknown.values())
        if told or row.has_taken or any(verdict in (_FOUND, _CONFLICT) for verdict in found.values()):
            found = {position: _no_less(verdict, row.unknown[position]) for position, verdict in found.items()}
        verdicts = {position: found.get(position, row.unknown[position]) for position in row.unknown}
        log.info("batch reconciled", records=len(verdicts), counts=_counted(verdicts))
        # Each of its numbers must have been answered now, and none ever otherwise: one that was not may be the sibling that is there.
        sure = all(verdict is _ABSENT for verdict in found.values())
        again = frozenset(found) if sure and texts is not None and not _is_success(row.status) else frozenset[int]()
        held = again if self._settings.resend_absent else frozenset[int]()
        for outcome in self._unknowns.looked_up(row, verdicts, held):
            self._account.tell(outcome)
        return bool(held)

    async def _look_ups_work(self, settle: float) -> bool:
        """Whether a document that must be there is found now: else one that is not found may be there all the same, as where a gateway
        does not know this address and says 404 to everything."""
        key = await self._unknowns.succeeded()
        if key is not None:
            proofs = [key]
            text = "a document of the run that succeeded is not found either"
        else:
            proofs = await self._unknowns.accepted(before=clock.unix_time() - settle, most=_MOST_PROOFS)
            if self._found is not None:
                proofs.insert(0, self._found)
            text = "no document that the server took is found, so that it does not find others proves nothing"
        for proof in proofs:
            if await self._is_found(proof):
                return True
        log.warning(f"nothing is sent again: {text}", records=len(proofs))
        return False

    async def _is_found(self, key: str) -> bool:
        """Whether the look-up of a number gives a document of that number."""
        self._found = None
        await self._look_up(key, None)
        return self._found is not None

    async def _look_up(self, key: str, sent: bytes | None) -> Verdict:
        try:
            request = self._job.look_up(key)
            response = await self._transport.send(request, timeout=self._job.timeout, retry=self._job.retry)
        except NotFoundError:
            return _ABSENT
        except ArmError as failure:
            if isinstance(failure, StatusError) and failure.status in _ABOUT_THE_CALL:
                self._course.stop(Verdict("not_sent", str(failure.status), str(failure)), failure)
            return _NOT_LOOKED_UP
        text = wire.one_record(response.body, request.endpoint.items, "documentNo")
        if text is None:
            return _NOT_LOOKED_UP
        if _says_the_same(key, (codec.json_object(text) or {}).get("documentNo")):
            self._found = key
        return _FOUND if sent is not None and same_content(sent, text) else _CONFLICT

    async def _send_again(self, number: int) -> None:
        """Sends the documents of a batch again that are provably not there."""
        if self._course.reason is not None:
            return
        found = await self._unknowns.again(number)
        if found is not None:
            live, _ = self._account.enter(*found)
            await self._deliverer.deliver(live)


def _no_less(verdict: Verdict, before: Verdict) -> Verdict:
    """The verdict for a document of a batch that was taken: what an earlier look-up found is not forgotten where this one found less."""
    if verdict in (_ABSENT, _NOT_LOOKED_UP) and before.reason == _CONFLICT.reason:
        return before
    if verdict is _NOT_LOOKED_UP and before.reason == _BATCH_TAKEN.reason:
        return before
    return _BATCH_TAKEN if verdict is _ABSENT else verdict


def _is_success(status: int | None) -> bool:
    return status is not None and 200 <= status < 300


def _counted(verdicts: Mapping[int, Verdict]) -> str:
    words: Sequence[str] = sorted({verdict.reason or verdict.state for verdict in verdicts.values()})
    return ", ".join(f"{sum((verdict.reason or verdict.state) == word for verdict in verdicts.values())} {word}" for word in words)
