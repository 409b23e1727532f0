"""Looks up documents by number, and finds out for which numbers the answer "not found" is reliable.

The look-up is https://docs.amili.dev/get-one-document-3942667e0. The shape of its answer is not documented, so the answer is compared field
by field with what was sent; fields that the server added don't count.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable, Iterator
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
from .report import SettleWait
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
    "differing_fields",
    "found_outcome",
    "is_refusal",
    "is_written",
    "not_found_outcome",
    "record_in",
    "same_content",
    "settle_time",
]

_MARGIN: Final = 1.1


def settle_time(settle: float | None, deadline: float, slowest: float) -> float:
    """Computes how long after the last attempt a document that is not found can be considered absent, so that it may be sent.

    Args:
        settle: the time that the caller wants, in seconds; used if it is longer than the deadline.
        deadline: the longest deadline of the attempts that may have sent it, in seconds.
        slowest: seconds from the 202 to the result of the slowest batch.

    Returns:
        Seconds.
    """
    return max(settle if settle is not None and settle > deadline else _MARGIN * deadline, _MARGIN * slowest)


class Settling:
    """Measures the time to settle.

    It has passed once at least two clocks agree that it has, and none contradicts; a clock that was set forward does not shorten it. If
    fewer than two clocks can tell, it is waited for from the creation of this object. `settle` seconds after the creation it has passed in
    any case, by the monotonic clock.

    Args:
        spec: the run.
        transport: the connections.
        settle: seconds.

    Attributes:
        seconds: `settle`.
    """

    def __init__(self, spec: RunSpec, transport: Transport, settle: float) -> None:
        self.seconds = settle
        self._spec = spec
        self._transport = transport
        self._began = clock.monotonic()

    async def ask_for_the_time(self) -> None:
        """Asks the service for its time, with a cheap read, if no answer had a `Date` header yet. A failure is ignored."""
        if not self._transport.service_clock.is_known:
            await self._transport.ask(self._spec.probe, timeout=self._spec.timeout)

    def left(self, sent: Stamp | None) -> float:
        """Computes how long to wait still.

        Args:
            sent: when something was sent; None if that is not known.

        Returns:
            Seconds, 0 if the time has passed.
        """
        anew = self.seconds - (clock.monotonic() - self._began)
        passed = sent.passed(self._now()) if sent is not None else None
        return max(0.0, anew if passed is None else min(anew, self.seconds - passed))

    def wait_for(self, sent: Stamp, documents: int) -> SettleWait:
        """Says until when to wait after something was sent, and why.

        Args:
            sent: when it was sent.
            documents: how many documents wait.

        Returns:
            What the run waits for.
        """
        left, now = self.left(sent), self._now()
        passed = sent.passed(now)
        if passed is None:
            cause = "fewer than two clocks can tell when they were sent, so the full time is waited from now on"
        elif now.wall - sent.wall - passed > 60:
            cause = "the clock of this machine may have been set forward since they were sent, so it is not trusted alone"
        else:
            cause = "counted from when they were sent"
        return SettleWait(self._spec.options.run_id, documents, clock.unix_time() + left, left, self.seconds, sent.clocks(now), cause)

    def when(self, sent: Stamp | None) -> str:
        """Explains what to do about a document that is not found, and may have been sent too recently.

        Args:
            sent: when it may have been sent; None if that is not known.

        Returns:
            The explanation, for the message of an outcome.
        """
        left = self.left(sent)
        until = datetime.fromtimestamp(math.ceil(clock.unix_time() + left), UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        return f"it is not found, but may still appear: run again with the same run id after {until}"

    def _now(self) -> Stamp:
        return clock.stamp(self._transport.service_clock.earliest())


FOUND: Final = Outcome("succeeded")
CONFLICT: Final = Outcome("unknown", "key_conflict", "the server has a document with this documentNo and other content")
ABSENT: Final = Outcome("unknown", "absent", "the look-up did not find it")
NOT_LOOKED_UP: Final = Outcome("unknown", "not_looked_up", "the look-up was not answered")
_OTHER_DOCUMENT: Final = Outcome("unknown", "not_looked_up", "the answer to the look-up is not this document")
_PAGE: Final = Outcome("unknown", "not_looked_up", "the look-up was answered with a 404 web page, which does not come from the API")
_OTHER_CONTENT: Final = Outcome("accepted", CONFLICT.reason, CONFLICT.message)
_NOT_FOUND: Final = "a look-up did not find it"

_OTHER_SPELLING: Final = Outcome(
    "unknown", "not_looked_up", "not found under its normalized number, and it was sent with another spelling of the number"
)


def is_refusal(failure: ArmError) -> bool:
    """Returns whether every other look-up would fail for the same reason: no token, or no permission."""
    if isinstance(failure, AuthenticationError):
        return failure.lasting != "no"
    return isinstance(failure, StatusError) and rule_of(failure.status).look_up == "stop"


# --- what an answer says --------------------------------------------------------------------------------------------------


def same_content(sent: bytes, found: bytes) -> bool:
    """Compares what the server has with what was sent: every field that was sent must be there, with the same value.

    Numbers are compared as numbers, text regardless of case and surrounding blanks ("Data values are not case-sensitive",
    https://docs.amili.dev/about-355476m0). Fields sent as blank or null may be missing; fields that the server added don't count.

    Args:
        sent: the JSON that was sent.
        found: the JSON that the server returned.

    Returns:
        Whether they are the same; False if one is not a JSON object.
    """
    ours, theirs = codec.json_object(sent), codec.json_object(found)
    return ours is not None and theirs is not None and _is_same(ours, theirs)


def differing_fields(sent: bytes, found: bytes) -> list[str]:
    """Names the fields in which what the server has differs from what was sent, by the rules of `same_content`.

    Args:
        sent: the JSON that was sent, an object.
        found: the JSON that the server returned, an object.

    Returns:
        Their paths, sorted; none where the content is the same.
    """
    return sorted(_differences(codec.json_object(sent), codec.json_object(found)))


def _is_same(ours: Any, theirs: Any) -> bool:
    return next(_differences(ours, theirs), None) is None


def _differences(ours: Any, theirs: Any) -> Iterator[str]:
    """Yields the paths at which two values differ."""
    # A loop, because JSON may be nested deeper than the recursion limit.
    pairs = [("", ours, theirs)]
    while pairs:
        path, ours, theirs = pairs.pop()
        if _is_blank(ours):
            same = _is_blank(theirs)
        elif isinstance(ours, dict):
            same = isinstance(theirs, dict)
            pairs += [(f"{path}.{name}" if path else name, value, theirs.get(name)) for name, value in ours.items()] if same else ()
        elif isinstance(ours, list):
            same = isinstance(theirs, list) and len(ours) == len(theirs)
            pairs += [(f"{path}[{place}]", *both) for place, both in enumerate(zip(ours, theirs, strict=True))] if same else ()
        else:
            same = _is_same_value(ours, theirs)
        if not same:
            yield path


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


def record_in(number: str, response: Response, *, operation: str = "documents.get", key: str = "documentNo") -> bytes | None:
    """Returns the record in a 2xx answer to a look-up.

    Args:
        number: the number that was looked up.
        response: the answer.
        operation: the operation that looked it up.
        key: the field that holds the number.

    Returns:
        Its JSON; None where the answer is not that record.
    """
    text = wire.one_record(response.body, OPERATIONS[operation].items, key)
    return text if text is not None and _is_same(number, (codec.json_object(text) or {}).get(key)) else None


def found_outcome(number: str, sent: bytes | None, response: Response) -> Outcome:
    """Evaluates a 2xx answer to a look-up.

    Args:
        number: the documentNo that was looked up.
        sent: the JSON that was sent; None: any document of that number is `CONFLICT`.
        response: the answer.

    Returns:
        `FOUND`, `CONFLICT`, or an outcome with the reason `not_looked_up`.
    """
    text = record_in(number, response)
    if text is None:
        is_readable = wire.one_record(response.body, OPERATIONS["documents.get"].items, "documentNo") is not None
        return _OTHER_DOCUMENT if is_readable else NOT_LOOKED_UP
    return FOUND if sent is not None and same_content(sent, text) else CONFLICT


def not_found_outcome(failure: StatusError) -> Outcome:
    """Evaluates a 404 to a look-up: `ABSENT`, but nothing is proved if the answer is a web page, as from a gateway."""
    return _PAGE if wire.is_web_page(failure) else ABSENT


def accepted_after_look_up(found: Outcome, before: Outcome) -> Outcome:
    """Returns the outcome of an accepted document after its look-up. It may have failed since, and is never sent again.

    Args:
        found: what the look-up found.
        before: its outcome before the look-up.

    Returns:
        `FOUND`, or an outcome that is still `accepted`.
    """
    if found is FOUND:
        return FOUND
    if found is CONFLICT:
        return _OTHER_CONTENT
    if found is ABSENT and before.reason != CONFLICT.reason and not (before.message or "").endswith(_NOT_FOUND):
        return Outcome(before.state, before.reason, f"{before.message}; {_NOT_FOUND}" if before.message else _NOT_FOUND)
    return before


def is_written(number: str, sent: bytes, *, key: str = "documentNo") -> bool:
    """Returns whether a record was sent with its number spelled exactly as it is looked up.

    Args:
        number: the number that is looked up.
        sent: the JSON that was sent.
        key: the field that holds the number.
    """
    written = (codec.json_object(sent) or {}).get(key)
    return written == number or (isinstance(written, int) and str(written) == number)


# --- asking ---------------------------------------------------------------------------------------------------------------


class LookUps:
    """Looks up documents by number.

    Args:
        get: sends the look-up of a number and returns the answer; raises an `ArmError` for any answer but a 2xx.
        concurrency: how many documents are looked up at once.
        is_stopped: returns whether to stop looking up.
        on_refused: called if a look-up failed for a reason for which every other one would fail, too: no token, or no permission.

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
        """Looks up several documents concurrently.

        Args:
            documents: for each, an id that the caller chooses, its documentNo, and the JSON that was sent, or None.

        Returns:
            The outcomes by id, in order of the ids; documents that were not looked up because of a stop are missing.
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
                # Whether the service trims numbers or normalizes their Unicode is not documented.
                return not_found_outcome(exc) if sent is None or is_written(number, sent) else _OTHER_SPELLING
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
    """Proves for which forms of numbers look-ups work: a document with such a number, which must exist, is found.

    Without that proof, "not found" proves nothing: a gateway may not know the address.

    Args:
        look_ups: does the look-ups, and knows what was found already.
        candidates: returns numbers to look up, by kind of form; called with the longest length needed of each kind.
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
        """Finds the number forms for which there is no proof. Each kind and length is looked up only once.

        Args:
            forms: the forms that are needed.

        Returns:
            Those without a proof.
        """
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
            log.warning(f'no document with a number of this form is found ({form}), so "not found" proves nothing for such numbers')
        return missing

    async def _prove(self, kind: tuple[object, ...], candidates: Candidates) -> str | None:
        """Returns the longest number that is found. A document that must exist and is not found refutes the whole kind: None."""
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
