"""Writes the report of a night: as JSON, as an HTML page, and its failures as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, Literal, NamedTuple

import msgspec

from ...bulk.outcomes import RecordOutcome, is_from_server, safe_message
from ...bulk.reasons import Kind, explain
from ...files import AtomicFile
from ...nightly.clients_report import ClientsReport
from ...nightly.report import ReportSchema
from ..wording import in_options
from .clients_page import render_clients_page
from .page import render_page

__all__ = ["Failure", "write_failures", "write_json", "write_page"]


class Failure(NamedTuple):
    """One row of the CSV of failures.

    Attributes:
        part: "customers" or "documents".
        outcome: what became of the record.
        line: its line in the file, from 1, or None.
        cause: what the server's message is about; see `reasons.cause_of`.
        client_no: the client number, where the file is of several.
    """

    part: Kind
    outcome: RecordOutcome
    line: int | None
    cause: str = ""
    client_no: int | None = None


def write_json(report: ReportSchema | ClientsReport, path: str | Path) -> None:
    """Writes the report as JSON, in one step. Mode 0600.

    Args:
        report: the report.
        path: of the file.

    Raises:
        OSError: the file can't be written; the previous file is unchanged.
    """
    text = msgspec.json.format(msgspec.json.encode(report), indent=1)
    _write_atomically(path, [text, b"\n"])


def write_page(report: ReportSchema | ClientsReport, path: str | Path) -> None:
    """Writes the report as an HTML page, in one step. Mode 0600. Times are in the time zone of this machine.

    Args:
        report: the report.
        path: of the file.

    Raises:
        OSError: the file can't be written; the previous file is unchanged.
    """
    page = render_page(report) if isinstance(report, ReportSchema) else render_clients_page(report)
    _write_atomically(path, [page.encode()])


def _write_atomically(path: str | Path, pieces: Iterable[bytes]) -> None:
    """Writes a file in one step. Mode 0600. On an error the previous file is unchanged."""
    with AtomicFile(path) as draft:
        for piece in pieces:
            draft.put(piece)
        draft.keep()


_COLUMNS: Final = ("part", "index", "line", "key", "state", "reason", "meaning", "remedy", "message")

# What a spreadsheet may interpret as a formula, including the full-width forms of East Asian keyboards.
_DANGEROUS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")

_PIECE: Final = 64_000


def write_failures(
    path: str | Path,
    failures: Iterable[Failure],
    *,
    messages: bool = False,
    delimiter: Literal[";", ","] = ";",
    of_clients: bool = False,
) -> int:
    """Writes a CSV file with a row for each failure, in one step. Mode 0600.

    The rows are written as they are read, so that a million of them need no more memory than ten. A cell that a spreadsheet would
    interpret as a formula begins with an apostrophe.

    Args:
        path: of the file.
        failures: the rows.
        messages: also write the server's messages, which may contain personal data; those of this library are always written.
        delimiter: `;` is what a Norwegian Excel expects, with a byte order mark; `,` what programs expect, without one.
        of_clients: begin each row with the client number.

    Returns:
        The number of rows.

    Raises:
        OSError: the file can't be written; the previous file is unchanged.
    """
    written = 0

    def pieces() -> Iterator[bytes]:
        nonlocal written
        text = io.StringIO(newline="")
        rows = csv.writer(text, delimiter=delimiter, lineterminator="\r\n")
        text.write("\ufeff" if delimiter == ";" else "")
        rows.writerow(["client_no", *_COLUMNS] if of_clients else _COLUMNS)
        for part, outcome, line, cause, client_no in failures:
            message = outcome.message if messages else safe_message(outcome)
            if message is not None and not is_from_server(outcome.state, outcome.reason):
                message = in_options(message)
            words = map(in_options, explain(outcome.state, outcome.reason, part, cause))
            row = [part, outcome.index, line, _cell(outcome.key), outcome.state, _cell(outcome.reason), *words, _cell(message)]
            rows.writerow([client_no, *row] if of_clients else row)
            written += 1
            if text.tell() >= _PIECE:
                yield _drain(text)
        yield _drain(text)

    _write_atomically(path, pieces())
    return written


def _drain(text: io.StringIO) -> bytes:
    # Half a surrogate pair, in broken input, is escaped.
    piece = text.getvalue().encode("utf-8", "backslashreplace")
    text.seek(0)
    text.truncate()
    return piece


def _cell(text: str | None) -> str | None:
    """Returns a text that stays a text: leading spaces do not hide a formula, and a NUL would end the file for some readers."""
    if text is None:
        return None
    text = text.replace("\x00", "\ufffd")
    return f"'{text}" if text.startswith(_DANGEROUS) or text.lstrip().startswith(_DANGEROUS) else text
