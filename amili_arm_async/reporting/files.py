"""Files that are there whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..files import AtomicFile

__all__ = ["write_whole"]


def write_whole(path: str | Path, pieces: Iterable[bytes]) -> None:
    """Writes a file in one step: into another file of the same folder, to the disk, and into its place. Mode 0600.

    Raises:
        OSError: it can't be written; what was there before is as it was.
    """
    with AtomicFile(path) as draft:
        for piece in pieces:
            draft.put(piece)
        draft.keep()
