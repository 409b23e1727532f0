"""What must hold of the lines of a dead letter of customers: which are marked as overtaken, and which a replay must not send."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import msgspec

from amili_arm_async import Customer
from amili_arm_async.bulk.fingerprints import Fingerprinter, keyed_name
from amili_arm_async.bulk.journal.sqlite.queries import ids_in_order
from amili_arm_async.bulk.journal.sqlite.replay import records_of

from .registry import customer_name, text_of

__all__ = ["LineName", "name_of_line", "operation_of", "seen_at", "too_old", "unmarked", "wrongly_marked"]

Line = Mapping[str, Any]
Run = tuple[str, str]
"""The name of a run, and its operation."""
LineName = tuple[str, str, str, str, int, str | None]
"""What tells a line from others, and shows that its record was not sent since."""

_read_names = records_of
_in_order = ids_in_order
"""As they are before a mutant changes them."""


def operation_of(*, update: bool) -> str:
    """The operation of a run of customers."""
    return f"customers.{'update' if update else 'create'}_batch"


def name_of_line(line: Line) -> LineName:
    """Returns what tells a line from others. It has another name once its record was sent again."""
    return text_of(line["payload"]), line["run_id"], line["operation"], line["state"], line["attempts"], line["batch_uuid"]


def _with_payload(lines: Iterable[Line]) -> Iterator[Line]:
    return (line for line in lines if line["payload"] is not None)


def seen_at(lines: Iterable[Line], before: Mapping[LineName, int], now: int, written: Set[Run]) -> dict[LineName, int]:
    """Says since when each line is there: after how many records that were taken.

    Args:
        lines: the lines.
        before: what it said before.
        now: how many records were taken.
        written: the runs that may have written their lines again, as new ones.
    """
    return {
        name: before.get(name, now) if (line["run_id"], line["operation"]) not in written else now
        for line in _with_payload(lines)
        for name in (name_of_line(line),)
    }


def unmarked(lines: Iterable[Line], since: Mapping[LineName, int], own: Run | None, taken: Mapping[str, int]) -> Iterator[str]:
    """Names the lines of other runs that a run has overtaken, and that do not say so.

    Args:
        lines: the lines.
        since: since when each is there; those that are not in it are not looked at.
        own: the run and its operation; None where it has no journal.
        taken: by customer, when the last record of its source was taken, where that is what succeeded.
    """
    for line in _with_payload(lines):
        is_own = (line["run_id"], line["operation"]) == own
        name = customer_name(line["payload"])
        if not is_own and not line.get("overtaken") and taken.get(name, -1) > since.get(name_of_line(line), 10**9):
            yield f"{text_of(line['payload'])} of {line['run_id']} is overtaken, and its line does not say so"


def wrongly_marked(lines: Iterable[Line], sent: Mapping[int, Mapping[str, int]], writers: Mapping[Run, Sequence[int]]) -> Iterator[str]:
    """Names the lines that are said to be overtaken, though nothing else of their customers was taken.

    Args:
        lines: the lines.
        sent: by process, how often each record was taken, also one that failed: not all results are read.
        writers: by run, its processes, where they are known.
    """
    for line in _with_payload(lines):
        if not line.get("overtaken"):
            continue
        text, mine = text_of(line["payload"]), writers.get((line["run_id"], line["operation"]), ())
        others = sum(
            (said != text or pid not in mine) and customer_name(json.loads(said)) == customer_name(line["payload"])
            for pid, records in sent.items()
            for said in records
        )
        # It may be there itself, and then something equal may have come after it.
        most = 1 if line["state"] in {"accepted", "unknown"} else 0
        if not others and sum(sent[pid].get(text, 0) for pid in mine if pid in sent) <= most:
            yield f"{text} of {line['run_id']} is said to be overtaken, and nothing else was taken"


class _Line(msgspec.Struct):
    operation: str
    client_no: int
    base_url: str
    run_id: str
    journal: str | None = None
    payload: msgspec.Raw = msgspec.Raw(b"null")

    @property
    def name(self) -> str:
        """The identity of its record in a journal."""
        return keyed_name(str(msgspec.json.decode(self.payload)["customerNo"]))


def too_old(path: Path) -> frozenset[str]:
    """Finds the lines of which a later line of the customer succeeded, as its journal says: what they say must not come last.

    Args:
        path: of the dead letter.

    Returns:
        What their records say, but for those that such a later line says, too.
    """
    read = msgspec.json.Decoder(_Line).decode
    lines = [line for line in map(read, path.read_bytes().splitlines()) if bytes(line.payload) != b"null"]
    fingerprint, succeeded = Fingerprinter(Customer).of, dict[tuple[str | None, str, str], frozenset[tuple[str, int]]]()
    found, newer = set[str](), dict[str, set[str]]()
    for line in reversed(lines):
        group = line.journal, line.run_id, line.operation
        if group not in succeeded:
            succeeded[group] = _succeeded(line)
        text = text_of(msgspec.json.decode(line.payload))
        if newer.get(line.name, {text}) != {text} and text not in newer[line.name]:
            found.add(text)
        if (line.name, fingerprint(bytes(line.payload))) in succeeded[group]:
            newer.setdefault(line.name, set()).add(text)
    return frozenset(found)


def _succeeded(line: _Line) -> frozenset[tuple[str, int]]:
    """The records of the run of a line that succeeded wherever they come in its source: their identities and fingerprints."""
    if line.journal is None or not Path(line.journal).exists():
        return frozenset()
    found: dict[bool, set[tuple[str, int]]] = {True: set(), False: set()}
    with contextlib.closing(sqlite3.connect(f"{Path(line.journal).as_uri()}?mode=ro", uri=True)) as connection:
        query = "SELECT id FROM runs WHERE run_id = ? AND operation = ? AND pruned IS NULL"
        for (run,) in connection.execute(query, (line.run_id, line.operation)).fetchall():
            # Also what was never sent: an equal record may come later in the source than the one that succeeded.
            for batch in _in_order(connection, run, "TRUE"):
                for one in _read_names(connection, batch, is_document=False):
                    found[one.state == "succeeded"].add((one.name, one.fingerprint))
    return frozenset(found[True] - found[False])
