"""A run without a journal: nothing is kept of it but the documentNos that it has sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    pass


import asyncio
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ..chunking import Batch, Invalid
from ..outcomes import REPEATED, BatchOutcome, Outcome, State
from .repeats import Repeats

if TYPE_CHECKING:
    from ...errors import ArmError
    from ..in_flight import InFlightBatch


__all__ = ["NullRecorder", "Recorder", "ResumeClaims"]

ResultT = TypeVar("ResultT")


class ResumeClaims(NamedTuple):
    """What of a batch is to be sent.

    Attributes:
        batch: the records that are sent, or None.
        row: their batch in the journal.
        outcomes: what became of the others.
        after: what must be settled before it is sent.
    """

    batch: Batch | None
    row: int
    outcomes: Sequence[BatchOutcome]
    after: Sequence[asyncio.Event]


class Recorder(Protocol):
    """What a run tells of itself while it goes on, to a journal or to nobody; `journal.run_journal` says what each call means."""

    @property
    def failure(self) -> ArmError | None: ...
    @property
    def ahead(self) -> int: ...
    @property
    def wants_payloads(self) -> bool: ...
    async def begin(self) -> None: ...
    async def end(self, *, complete: bool) -> dict[State, int]: ...
    async def claim(self, batch: Batch) -> ResumeClaims | None: ...
    async def sending(self, live: InFlightBatch) -> Mapping[int, Outcome]: ...
    def take_out(self, live: InFlightBatch, rest: Sequence[int], part: Batch | None, outcome: BatchOutcome) -> None: ...
    def put_back(self, live: InFlightBatch) -> None: ...
    def split(self, live: InFlightBatch, parts: Sequence[InFlightBatch]) -> None: ...
    async def accepted(self, live: InFlightBatch, batch_uuid: str, *, is_first: bool) -> bool: ...
    def settled(self, live: InFlightBatch, verdict: Outcome, exceptions: Mapping[int, Outcome]) -> None: ...
    def unsent(self, indexes: Sequence[int], keys: Sequence[str | None], verdict: Outcome, body: bytes | None) -> None: ...
    def invalid(self, refused: Invalid) -> None: ...
    def hold(self, live: InFlightBatch, outcome: BatchOutcome) -> bool: ...
    def release(self) -> Iterator[BatchOutcome]: ...
    async def catch_up(self) -> None: ...
    async def standing(
        self, indexes: Sequence[int], keys: Sequence[str | None], texts: Sequence[bytes], prints: Sequence[int]
    ) -> Mapping[int, Outcome]: ...


class NullRecorder:
    """Keeps nothing but what shows that a documentNo comes a second time.

    Args:
        safe: whether the records may be sent twice.
    """

    failure: ArmError | None = None
    wants_payloads = False
    ahead = 0

    def __init__(self, *, safe: bool) -> None:
        self._safe = safe
        self._repeats: Repeats | None = None

    async def begin(self) -> None:
        """Nothing to open but what keeps the numbers of documents."""
        if not self._safe:
            self._repeats = Repeats()

    async def end(self, *, complete: bool) -> dict[State, int]:
        """Nothing was left."""
        if self._repeats is not None:
            self._repeats.close()
        return {}

    async def claim(self, batch: Batch) -> ResumeClaims:
        """All of it is sent, but for documents whose number was in a batch before."""
        repeated = await self._repeats.find(batch.keys) if self._repeats is not None else ()
        if not repeated:
            return ResumeClaims(batch, 0, (), ())
        indexes, keys = [batch.indexes[place] for place in repeated], [batch.keys[place] for place in repeated]
        gone = frozenset(repeated)
        rest = [place for place in range(len(batch)) if place not in gone]
        outcome = BatchOutcome(batch.number, None, 0, None, indexes, keys, REPEATED)
        return ResumeClaims(batch.only(rest) if rest else None, 0, [outcome], ())

    async def sending(self, live: InFlightBatch) -> Mapping[int, Outcome]:
        """Nothing to keep, and nothing that may not leave."""
        return {}

    def take_out(self, live: InFlightBatch, rest: Sequence[int], part: Batch | None, outcome: BatchOutcome) -> None:
        """Nothing to keep."""

    def put_back(self, live: InFlightBatch) -> None:
        """Nothing to keep."""

    def split(self, live: InFlightBatch, parts: Sequence[InFlightBatch]) -> None:
        """Nothing to keep."""

    async def accepted(self, live: InFlightBatch, batch_uuid: str, *, is_first: bool) -> bool:
        """Nothing to keep, and nothing known of other batches."""
        return is_first

    def settled(self, live: InFlightBatch, verdict: Outcome, exceptions: Mapping[int, Outcome]) -> None:
        """Nothing to keep."""

    def unsent(self, indexes: Sequence[int], keys: Sequence[str | None], verdict: Outcome, body: bytes | None) -> None:
        """Nothing to keep."""

    def invalid(self, refused: Invalid) -> None:
        """Nothing to keep."""

    def hold(self, live: InFlightBatch, outcome: BatchOutcome) -> bool:
        """Nothing becomes known later."""
        return False

    def release(self) -> Iterator[BatchOutcome]:
        """Nobody waits."""
        return iter(())

    async def catch_up(self) -> None:
        """Nothing is behind."""

    async def standing(
        self, indexes: Sequence[int], keys: Sequence[str | None], texts: Sequence[bytes], prints: Sequence[int]
    ) -> Mapping[int, Outcome]:
        """There was no earlier attempt."""
        return {}
