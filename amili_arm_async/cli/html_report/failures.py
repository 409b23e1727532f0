"""The failures as CSV: written as they are read, so that a million of them need no more memory than ten."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, Literal

from ...bulk.outcomes import RecordOutcome, safe_message
from ...files import AtomicFile

__all__ = ["write_failures", "write_whole"]


def write_whole(path: str | Path, pieces: Iterable[bytes]) -> None:
    """Writes a file in one step: into another file of the same folder, to the disk, and into its place. Mode 0600.

    Raises:
        OSError: it can't be written; what was there before is as it was.
    """
    with AtomicFile(path) as draft:
        for piece in pieces:
            draft.put(piece)
        draft.keep()


_COLUMNS: Final = ("part", "index", "line", "key", "state", "reason", "message")

# What a spreadsheet may take for a formula, the wide forms of East Asian keyboards among them.
_DANGEROUS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")

_PIECE: Final = 64_000


def write_failures(
    path: str | Path,
    failures: Iterable[tuple[str, RecordOutcome, int | None]],
    *,
    messages: bool = False,
    delimiter: Literal[";", ","] = ";",
) -> int:
    """Writes a row for each failure, in one step, and gives their number. Mode 0600.

    A cell that a spreadsheet would take for a formula begins with an apostrophe.

    Args:
        path: of the file.
        failures: the name of the part, what became of the record, and its line in the file, from 1, where it has one.
        messages: write the server's words too, which may hold personal data; this library's are always there.
        delimiter: `;` writes what a Norwegian Excel opens right, with a byte order mark; `,` what programs expect, without one.

    Raises:
        OSError: the file can't be written; it is as it was. What `failures` raises passes through, too.
    """
    written = 0

    def pieces() -> Iterator[bytes]:
        nonlocal written
        text = io.StringIO(newline="")
        rows = csv.writer(text, delimiter=delimiter, lineterminator="\r\n")
        text.write("\ufeff" if delimiter == ";" else "")
        rows.writerow(_COLUMNS)
        for part, outcome, line in failures:
            message = outcome.message if messages else safe_message(outcome)
            rows.writerow([_cell(part), outcome.index, line, _cell(outcome.key), outcome.state, _cell(outcome.reason), _cell(message)])
            written += 1
            if text.tell() >= _PIECE:
                yield _drain(text)
        yield _drain(text)

    write_whole(path, pieces())
    return written


def _drain(text: io.StringIO) -> bytes:
    # Half a surrogate pair, in what is broken anyway, is written out.
    piece = text.getvalue().encode("utf-8", "backslashreplace")
    text.seek(0)
    text.truncate()
    return piece


def _cell(text: str | None) -> str | None:
    """A text that stays a text; spaces before a formula do not hide it, and a NUL would end the file for some readers."""
    if text is None:
        return None
    text = text.replace("\x00", "\ufffd")
    return f"'{text}" if text.startswith(_DANGEROUS) or text.lstrip().startswith(_DANGEROUS) else text
