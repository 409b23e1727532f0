"""A run without a journal: the same questions, answered by nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from .chunking import Batch, Invalid
from .states import BatchOutcome, State, Verdict

if TYPE_CHECKING:
    from ..errors import ArmError
    from .account import Live

__all__ = ["Claimed", "Keeper", "Unrecorded"]


class Claimed(NamedTuple):
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


class Keeper(Protocol):
    """What a run tells of itself while it goes on, to a journal or to nobody; `journal.run_journal` says what each call means."""

    @property
    def failure(self) -> ArmError | None: ...
    @property
    def ahead(self) -> int: ...
    @property
    def wants_payloads(self) -> bool: ...
    async def begin(self) -> None: ...
    async def end(self, *, complete: bool) -> dict[State, int]: ...
    async def claim(self, batch: Batch) -> Claimed: ...
    async def sending(self, live: Live) -> None: ...
    def put_back(self, live: Live) -> None: ...
    def split(self, live: Live, parts: Sequence[Live]) -> None: ...
    async def accepted(self, live: Live, batch_uuid: str) -> None: ...
    def settled(self, live: Live, verdict: Verdict, exceptions: Mapping[int, Verdict]) -> None: ...
    def unsent(self, indexes: Sequence[int], keys: Sequence[str | None], verdict: Verdict, body: bytes | None) -> None: ...
    def invalid(self, refused: Invalid) -> None: ...
    def hold(self, live: Live, outcome: BatchOutcome) -> bool: ...
    def release(self) -> Iterator[BatchOutcome]: ...
    async def catch_up(self) -> None: ...
    async def standing(
        self, indexes: Sequence[int], keys: Sequence[str | None], texts: Sequence[bytes], prints: Sequence[int]
    ) -> Mapping[int, Verdict]: ...


class Unrecorded:
    """Keeps nothing."""

    failure: ArmError | None = None
    wants_payloads = False
    ahead = 0

    async def begin(self) -> None:
        """Nothing to open."""

    async def end(self, *, complete: bool) -> dict[State, int]:
        """Nothing to close, and nothing that was left."""
        return {}

    async def claim(self, batch: Batch) -> Claimed:
        """All of it is sent."""
        return Claimed(batch, 0, (), ())

    async def sending(self, live: Live) -> None:
        """Nothing to keep."""

    def put_back(self, live: Live) -> None:
        """Nothing to keep."""

    def split(self, live: Live, parts: Sequence[Live]) -> None:
        """Nothing to keep."""

    async def accepted(self, live: Live, batch_uuid: str) -> None:
        """Nothing to keep."""

    def settled(self, live: Live, verdict: Verdict, exceptions: Mapping[int, Verdict]) -> None:
        """Nothing to keep."""

    def unsent(self, indexes: Sequence[int], keys: Sequence[str | None], verdict: Verdict, body: bytes | None) -> None:
        """Nothing to keep."""

    def invalid(self, refused: Invalid) -> None:
        """Nothing to keep."""

    def hold(self, live: Live, outcome: BatchOutcome) -> bool:
        """Nothing becomes known later."""
        return False

    def release(self) -> Iterator[BatchOutcome]:
        """Nobody waits."""
        return iter(())

    async def catch_up(self) -> None:
        """Nothing is behind."""

    async def standing(
        self, indexes: Sequence[int], keys: Sequence[str | None], texts: Sequence[bytes], prints: Sequence[int]
    ) -> Mapping[int, Verdict]:
        """There was no earlier attempt."""
        return {}
