"""Pure: records that a source of this library has made together, with what it knows of them, so that nothing is worked out twice."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Protocol

from ..unreadable import UnreadableRecord

__all__ = ["BlockSource", "RecordBlock"]


class RecordBlock(list[bytes | UnreadableRecord]):
    """Records that follow each other, as JSON texts, and those between them that can't be read.

    Args:
        records: the texts.
        keys: the key of each record, None where it has none.
        is_canonical: whether each text is one object of known fields in the order of their names, each once and with a value of its type.
        judge: the rules that were not applied yet: takes positions, and returns what those records are instead, which are not to be sent.
            None: all were.
    """

    __slots__ = ("is_canonical", "judge", "keys")

    def __init__(
        self,
        records: Iterable[bytes | UnreadableRecord],
        keys: Sequence[str | None],
        *,
        is_canonical: bool,
        judge: Callable[[Sequence[int]], Mapping[int, bytes | UnreadableRecord]] | None = None,
    ) -> None:
        super().__init__(records)
        self.keys = keys
        self.is_canonical = is_canonical
        self.judge = judge


class BlockSource(Protocol):
    """A source that gives blocks.

    Attributes:
        rules: names the version of the rules and the options by which its records are judged: equal texts of two sources with equal `rules`
            are judged equally.
    """

    rules: str

    def blocks(self) -> AsyncIterator[RecordBlock]:
        """Gives the blocks; once. Raises SourceError."""
        ...
