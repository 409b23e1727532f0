"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from pathlib import Path

__all__ = ["write_whole"]


def write_whole(path: str | Path, pieces: Iterable[bytes]) -> None:
    """Writes a file in one step: into another file of the same folder, to the disk, and into its place. Mode 0600.

    Raises:
        OSError: it can't be written; what was there before is as it was.
    """
    target = Path(path)
    draft = target.with_name(f"{target.name}.{secrets.token_hex(4)}.new")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        # That the name is there is on the disk too.
        os.fsync(folder)
    finally:
        os.close(folder)
