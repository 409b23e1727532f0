"""Looks documents up by their numbers, and finds out for which numbers the answer "not there" can be believed.

https://docs.amili.dev/get-one-document-3942667e0 names the look-up; what its answer holds is on no public page, so it is compared field
by field with what was sent, and fields that the server added do not count.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import anyio

from .. import clock, codec, log, wire
from ..clock import Stamp
from ..endpoints import OPERATIONS
from ..errors import ArmError, AuthenticationError, StatusError
from ..retry import rule_of
from ..transport import Transport
from ..wire import Response
from .canonical import plain_text
from .number_forms import Candidates, NumberForm, form_of
from .outcomes import Outcome
from .spec import RunSpec

__all__ = [
    "ABSENT",
    "CONFLICT",
    "FOUND",
    "NOT_LOOKED_UP",
    "LookUpProofs",
    "LookUps",
    "Settling",
    "accepted_after_look_up",
    "found_outcome",
    "is_refusal",
    "not_found_outcome",
    "same_content",
    "settle_time",
]

_MARGIN: Final = 1.1


def settle_time(settle: float | None, deadline: float, slowest: float) -> float:
    """Seconds after which a document that is not there won't come any more, so that it may be sent.

    Args:
        settle: what the caller wants; used where it is longer than the deadline.
        deadline: the longest of the attempts that may have sent it.
        slowest: seconds from the 202 to the result of the slowest batch.
    """
    return max(settle if settle is not None and settle > deadline else _MARGIN * deadline, _MARGIN * slowest)


class Settling:
    """The time to settle. It has passed when two clocks at least say so, and none denies it; a clock that was set forward makes it no
    shorter. Where fewer than two can tell, it is waited anew; `settle` seconds after this object was made, it has passed in any case: that
    is measured by a clock that nobody can set.

    Args:
        job: the run.
        transport: the connections.
        settle: seconds.
    """

    def __init__(self, spec: RunSpec, transport: Transport, settle: float) -> None:
        self.seconds = settle
        self._spec = spec
        self._transport = transport
        self._began = clock.monotonic()

    async def ask_for_the_time(self) -> None:
        """Asks the service for its time, by a cheap read, where no answer had a `Date` yet. Without one, it is done without."""
        if not self._transport.service_clock.is_known:
            await self._transport.ask(self._spec.probe, timeout=self._spec.timeout)

    def left(self, sent: Stamp | None) -> float:
        """The seconds that are still to be waited after something was sent; None where nobody knows when it was."""
        anew = self.seconds - (clock.monotonic() - self._began)
        passed = sent.passed(self._now()) if sent is not None else None
        return max(0.0, anew if passed is None else min(anew, self.seconds - passed))

    def why(self, sent: Stamp | None) -> str:
        """Until when it is waited after something was sent, and why."""
        left, now = self.left(sent), self._now()
        # To the second, and not to the one before.
        until = datetime.fromtimestamp(math.ceil(clock.unix_time() + left), UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        if sent is None or sent.passed(now) is None:
            cause = "fewer than two clocks tell when they were sent, so all of it is waited now"
        elif now.wall - sent.wall - (sent.passed(now) or 0.0) > 60:
            cause = "the clock of this machine may have been set forward since they were sent, so it does not count alone"
        else:
            cause = "so many must pass after they were sent"
        return f"waiting until {until} before documents are looked up: the time to settle is {self.seconds:g} s, {cause}"

    def when(self, sent: Stamp | None) -> str:
        """What to do about a document that is not there, and may have been sent at a time that is not long enough ago."""
        left = self.left(sent)
        until = datetime.fromtimestamp(math.ceil(clock.unix_time() + left), UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        return f"it is not found, and may still come: run again with the same run id after {until}"

    def _now(self) -> Stamp:
        return clock.stamp(self._transport.service_clock.earliest())


FOUND: Final = Outcome("succeeded")
CONFLICT: Final = Outcome("unknown", "key_conflict", "the server has a document with this documentNo and other content")
ABSENT: Final = Outcome("unknown", "absent", "the look-up did not find it")
NOT_LOOKED_UP: Final = Outcome("unknown", "not_looked_up", "the look-up was not answered")
_OTHER_DOCUMENT: Final = Outcome("unknown", "not_looked_up", "the look-up was answered with something that is not this document")
_PAGE: Final = Outcome("unknown", "not_looked_up", "the look-up was answered 404 with a web page: that is no answer of the API")
_OTHER_CONTENT: Final = Outcome("accepted", CONFLICT.reason, CONFLICT.message)
_NOT_FOUND: Final = "a look-up did not find it"

_OTHER_SPELLING: Final = Outcome(
    "unknown", "not_looked_up", "not found under its number as it is compared, and it was sent with the number written otherwise"
)


def is_refusal(failure: ArmError) -> bool:
    """Whether a look-up failed for what every other one would fail for too: no token can be had, or it may not do this."""
    if isinstance(failure, AuthenticationError):
        return failure.lasting != "no"
    return isinstance(failure, StatusError) and rule_of(failure.status).look_up == "stop"


# --- what an answer says --------------------------------------------------------------------------------------------------


def same_content(sent: bytes, found: bytes) -> bool:
    """Whether what the server has is what was sent: every field that was sent is there and says the same.

    Numbers are compared as numbers, text without case and outer blanks ("Data values are not case-sensitive",
    https://docs.amili.dev/about-355476m0). What was sent as blank or null may be missing; what the server has beside it does not count.
    """
    ours, theirs = codec.json_object(sent), codec.json_object(found)
    return ours is not None and theirs is not None and _is_same(ours, theirs)


def _is_same(ours: Any, theirs: Any) -> bool:
    # A loop, since JSON that can be read may be nested deeper than functions can call each other.
    pairs = [(ours, theirs)]
    while pairs:
        ours, theirs = pairs.pop()
        if _is_blank(ours):
            same = _is_blank(theirs)
        elif isinstance(ours, dict):
            same = isinstance(theirs, dict)
            pairs += [(value, theirs.get(name)) for name, value in ours.items()] if same else ()
        elif isinstance(ours, list):
            same = isinstance(theirs, list) and len(ours) == len(theirs)
            pairs += zip(ours, theirs, strict=True) if same else ()
        else:
            same = _is_same_value(ours, theirs)
        if not same:
            return False
    return True


def _is_same_value(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, bool) or isinstance(theirs, bool):
        return ours is theirs
    first, second = _number(ours), _number(theirs)
    if first is not None and second is not None and not (isinstance(ours, str) and isinstance(theirs, str)):
        return first == second
    return isinstance(ours, str) and isinstance(theirs, str) and plain_text(ours).casefold() == plain_text(theirs).casefold()


def _is_blank(value: Any) -> bool:
    return value is None or value in ("", [], {}) or (isinstance(value, str) and not plain_text(value))


def _number(value: Any) -> Decimal | None:
    try:
        number = Decimal(value) if isinstance(value, (int, Decimal, str)) else None
    except ArithmeticError:
        return None
    return number if number is not None and number.is_finite() else None


def found_outcome(number: str, sent: bytes | None, response: Response) -> Outcome:
    """What a 2xx to the look-up of a number says; without what was `sent`, a document of that number is `key_conflict`."""
    text = wire.one_record(response.body, OPERATIONS["documents.get"].items, "documentNo")
    if text is None or not _is_same(number, (codec.json_object(text) or {}).get("documentNo")):
        return NOT_LOOKED_UP if text is None else _OTHER_DOCUMENT
    return FOUND if sent is not None and same_content(sent, text) else CONFLICT


def not_found_outcome(failure: StatusError) -> Outcome:
    """What a 404 to a look-up says: of a gateway that shows a web page, nothing."""
    return _PAGE if isinstance(failure.body, str) and failure.body.lstrip("\ufeff \t\r\n").startswith("<") else ABSENT


def accepted_after_look_up(found: Outcome, before: Outcome) -> Outcome:
    """What is known of an accepted document after its look-up. It was taken: it may have failed, and is never sent again."""
    if found is FOUND:
        return FOUND
    if found is CONFLICT:
        return _OTHER_CONTENT
    if found is ABSENT and before.reason != CONFLICT.reason and not (before.message or "").endswith(_NOT_FOUND):
        return Outcome(before.state, before.reason, f"{before.message}; {_NOT_FOUND}" if before.message else _NOT_FOUND)
    return before


def _is_written(number: str, sent: bytes) -> bool:
    """Whether a document was sent with its number as it is compared."""
    written = (codec.json_object(sent) or {}).get("documentNo")
    return written == number or (isinstance(written, int) and str(written) == number)


# --- asking ---------------------------------------------------------------------------------------------------------------


class LookUps:
    """Looks documents up by their numbers.

    Args:
        get: sends the look-up of a number and returns the answer; raises an `ArmError` for any answer but a 2xx.
        concurrency: how many documents are looked up at once.
        is_stopped: whether nothing more is to be looked up.
        on_refused: called where a look-up failed for a reason for which every other one would fail, too: no token can be had, or the
            credentials may not do this.

    Attributes:
        found: by kind of number form, the longest number of a document that was found.
    """

    def __init__(
        self,
        get: Callable[[str], Awaitable[Response]],
        *,
        concurrency: int,
        is_stopped: Callable[[], bool],
        on_refused: Callable[[ArmError], None],
    ) -> None:
        self._get = get
        self._semaphore = asyncio.Semaphore(concurrency)
        self._is_stopped = is_stopped
        self._on_refused = on_refused
        self.found: dict[tuple[object, ...], str] = {}

    async def look_up_all(self, documents: Iterable[tuple[int, str, bytes | None]]) -> dict[int, Outcome]:
        """Looks several documents up at once.

        Args:
            documents: for each, a number that identifies it here, its documentNo, and what was sent, or None.

        Returns:
            The outcomes by the first number, in their order; those that were not looked up because of a stop are missing.
        """
        outcomes: dict[int, Outcome] = {}

        async def look_up(place: int, number: str, sent: bytes | None) -> None:
            async with self._semaphore:
                if not self._is_stopped():
                    outcomes[place] = await self.look_up(number, sent)

        async with anyio.create_task_group() as group:
            for document in documents:
                group.start_soon(look_up, *document)
        return dict(sorted(outcomes.items()))

    async def look_up(self, number: str, sent: bytes | None = None) -> Outcome:
        """Looks one document up (https://docs.amili.dev/get-one-document-3942667e0).

        Args:
            number: its documentNo.
            sent: the JSON that was sent, or None: then any document of that number is `CONFLICT`.

        Returns:
            `FOUND`, `CONFLICT`, `ABSENT`, or an outcome with the reason `not_looked_up`, which proves nothing.
        """
        try:
            response = await self._get(number)
        except ArmError as exc:
            if isinstance(exc, StatusError) and rule_of(exc.status).look_up == "absent":
                # Whether the service trims a number, or composes its accents, is not known.
                return not_found_outcome(exc) if sent is None or _is_written(number, sent) else _OTHER_SPELLING
            if is_refusal(exc):
                self._on_refused(exc)
            return NOT_LOOKED_UP
        outcome = found_outcome(number, sent, response)
        if outcome in (FOUND, CONFLICT):
            kind = form_of(number).kind
            self.found[kind] = max(self.found.get(kind, ""), number, key=len)
        return outcome


# --- proofs ---------------------------------------------------------------------------------------------------------------


class LookUpProofs:
    """For which forms of numbers it is proved that look-ups work: a document of such a number, that must be there, is found now.

    Without that, "not found" says nothing: a gateway may not know the address.

    Args:
        look_ups: asks, and knows what was found already.
        candidates: gives numbers that can be asked for, by kind of form; it is given the longest length that is needed of each.
    """

    def __init__(
        self,
        look_ups: LookUps,
        candidates: Callable[[dict[tuple[object, ...], int]], Awaitable[dict[tuple[object, ...], Candidates]]],
    ) -> None:
        self._look_ups = look_ups
        self._candidates = candidates
        self._proved: dict[tuple[object, ...], int] = {}
        self._asked: dict[tuple[object, ...], int] = {}

    async def missing(self, forms: Iterable[NumberForm]) -> set[NumberForm]:
        """Those of these forms for which there is no proof. Each is asked for once."""
        forms = set(forms)
        needed: dict[tuple[object, ...], int] = {}
        for form in forms:
            if form.length > max(self._proved.get(form.kind, 0), self._asked.get(form.kind, 0)):
                needed[form.kind] = max(needed.get(form.kind, 0), form.length)
        if needed:
            found = await self._candidates(needed)
            for kind, length in needed.items():
                self._asked[kind] = length
                proof = await self._prove(kind, found.get(kind, Candidates([], [])))
                self._proved[kind] = max(self._proved.get(kind, 0), len(proof or ""))
        missing = {form for form in forms if form.length > self._proved.get(form.kind, 0)}
        for form in missing:
            log.warning(f"no document whose number has this form is found ({form}): that others are not found proves nothing")
        return missing

    async def _prove(self, kind: tuple[object, ...], candidates: Candidates) -> str | None:
        """The longest number that is found; one that must be there, and is not, refutes them all."""
        for number in sorted(candidates.succeeded, key=len, reverse=True):
            outcome = await self._look_ups.look_up(number)
            if outcome is CONFLICT:
                return number
            if outcome is ABSENT:
                return None
        others = candidates.accepted + ([self._look_ups.found[kind]] if kind in self._look_ups.found else [])
        for number in sorted(others, key=len, reverse=True):
            if await self._look_ups.look_up(number) is CONFLICT:
                return number
        return None
