"""A record that its source could not read: it goes through a run like any other, and is named there as invalid with the reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .errors import RecordError

__all__ = ["UnreadableRecord"]


class UnreadableRecord(Mapping[str, Any]):
    """A record that a source could not read as it is. It can be asked for its key; whoever reads it whole gets a `RecordError`.

    Attributes:
        fault: the place and the reason; never a value of the record.
        as_read: what stood there, as far as it was read, for a dead letter; it may hold personal data.
        faults: of each of its fields that is at fault, the code, the path and the message; empty where the record could not be read at all.
    """

    def __init__(
        self, fault: str, known: Mapping[str, Any] | None = None, as_read: Any = None, faults: Sequence[tuple[str, str, str]] = ()
    ) -> None:
        self.fault = fault
        self.as_read = as_read
        self.faults = faults
        self._known = known or {}

    def __getitem__(self, name: str) -> Any:
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        raise RecordError(self.fault)

    def __len__(self) -> int:
        return len(self._known)

    def __repr__(self) -> str:
        return f"UnreadableRecord({self.fault!r})"
