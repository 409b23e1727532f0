"""What a replay does with each line of a dead letter file, decided before anything is sent.

The rule it exists for: a document that may have been taken is never sent because a line says so. A line whose run has a journal goes
through that journal, which knows what was sent, also by a replay that was killed. A line that never had one is given to a journal of the
replay's own: its run is written down there, and then the file is rewritten, so that the line names it, before the first byte leaves. A
document whose journal is gone is not sent: nobody can tell any more what was.

A document without number is known to its journal by its content alone, and a run may hold equal ones. The lines of a file are not the
whole run: those that made it are missing. So the lines are marked with how many equal documents the journal already holds as succeeded
when the first replay looks, and that many copies go before them: they take the place of those, and none of the lines does.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import msgspec

from .. import codec
from ..bulk.chunking import as_key
from ..bulk.field_names import FieldNameError
from ..bulk.fingerprints import Fingerprinter, content_name, keyed_name
from ..bulk.outcomes import UNCERTAIN
from ..models.customers import Customer
from .dead_letters import DeadLetterFile, Letter, Piece, changed, read_letter
from .output import MAX_NAMED
from .replay_journals import begin_own, consult
from .replay_payloads import why_it_stays
from .replay_rules import apply
from .replay_table import Action, Group, LetterRow, LineTable

__all__ = ["Plan"]

_SENT_OTHERWISE: Final = ("sent_in_run", "document_no_repeated")
"""Why a document was not sent whose number another one has that was."""

_NOBODY_KNOWS: Final = "nobody can tell what was sent since. Put it back, or run the source again with the same run_id and journal"


class _Head(msgspec.Struct, rename="camel"):
    """What names a record."""

    document_no: Any = None
    customer_no: Any = None


_HEADS: Final = msgspec.json.Decoder(_Head, float_hook=Decimal)


class Plan:
    """The lines of a file, and what is done with each.

    Args:
        file: the dead letter file.
        base_url, client_no: where to send: lines of others are refused.
        own_journal: path of the replay's own journal.
        extra_fields: whether lines with fields that the API does not show are sent.

    Attributes:
        table: the lines.
        groups: the runs they come from.
        broken: number of lines that can't be read.
        faults: what is wrong with the first of them, by their prints.
        refused: number of lines of other addresses and client numbers.
    """

    def __init__(self, file: DeadLetterFile, base_url: str, client_no: int, own_journal: str, *, extra_fields: bool = False) -> None:
        self.table = LineTable()
        self.groups: dict[int, Group] = {}
        self.broken = 0
        self.faults: dict[int, str] = {}
        self.refused: Counter[tuple[str, int]] = Counter()
        self._file = file
        self._here = (base_url, client_no)
        self._own_journal = own_journal
        self._extra_fields = extra_fields
        self._prints = Fingerprinter(Customer)
        self._by_name: dict[tuple[Any, ...], Group] = {}

    def make(self) -> None:
        """Reads the file and decides."""
        for piece, line in self._file.lines():
            try:
                self._take(piece, read_letter(line))
            except ValueError as exc:
                self.broken += 1
                if len(self.faults) < MAX_NAMED:
                    self.faults[piece.print] = str(exc)
        for group in self.groups.values():
            if group.has_journal:
                consult(self.table, group, is_own=group.journal == self._own_journal)
            elif group.is_document and group.journal is not None:
                group.trouble = f"there is no journal {group.journal} any more: {_NOBODY_KNOWS}"
            apply(self.table, group)

    # --- one line ---------------------------------------------------------------------------------------------------------

    def _take(self, piece: Piece, letter: Letter) -> None:
        if (letter.base_url, letter.client_no) != self._here:
            self.refused[letter.base_url, letter.client_no] += 1
            return
        group = self._group_of(letter)
        text = bytes(letter.payload)
        numbered, name = _name_of(letter, text)
        content = self._content_of(text) if not letter.is_document else 0
        note = why_it_stays(letter, text, extra_fields=self._extra_fields)
        action = _action(letter, group, text, note, numbered=numbered)
        if letter.index is not None and self.table.find(piece.print, 1) is not None:
            # A place in the source of a run is that of one record: somebody put two copies of the file together.
            action = "drop"
        self.table.add(piece, group, letter, action, name, content, note)

    def _content_of(self, text: bytes) -> int:
        try:
            return self._prints.of(text)
        except FieldNameError:
            # No run has sent that.
            return -2

    def _group_of(self, letter: Letter) -> Group:
        name = (letter.journal, letter.run_id, letter.operation)
        group = self._by_name.get(name)
        if group is None:
            number = len(self.groups) + 1
            group = Group(number, letter.operation, letter.client_no, letter.base_url, letter.run_id, letter.journal)
            group.has_journal = letter.journal is not None and letter.run_id is not None and Path(letter.journal).exists()
            self._by_name[name] = self.groups[number] = group
        return group

    # --- before anything is sent ------------------------------------------------------------------------------------------

    @property
    def needs_rewriting(self) -> bool:
        """Whether lines must be given to the replay's own journal, or marked, or are there twice."""
        return bool(self.table.count("action IN ('adopt', 'drop') OR (action = 'send' AND mark IS NOT given)"))

    def prepare(self) -> None:
        """Rewrites the file, so that a replay that is killed goes on where it was.

        Raises:
            OSError: the file can't be written; it is as it was.
            JournalError: the replay's own journal can't be written.
        """
        runs = self._own_runs()
        begin_own(self._own_journal, [(run_id, self.groups[group]) for group, run_id in runs.items()])
        at_least = 1

        def change(line: bytes) -> bytes | None:
            nonlocal at_least
            row = self.table.find(hash(line), at_least)
            if row is None:
                return line
            at_least = row.number + 1
            if row.action == "drop":
                return None
            return changed(line, changes) if (changes := self._changes(row, runs)) else line

        self._file.rewrite(change)

    def _own_runs(self) -> dict[int, str]:
        """By group, the run of the replay's own journal that its lines are given to.

        Its name says which lines they are: who puts back the file as it was before a replay goes on with that run.
        """
        digests: dict[int, Any] = {}
        for piece, line in self._file.lines():
            row = self.table.find(piece.print, piece.number)
            if row is not None and row.action == "adopt":
                digests.setdefault(row.grp, hashlib.sha256()).update(line + b"\n")
        return {grp: f"replay-{digest.hexdigest()[:16]} of {self.groups[grp].run_id or 'a run'}" for grp, digest in digests.items()}

    def _changes(self, row: LetterRow, runs: Mapping[int, str]) -> dict[str, Any]:
        if row.action == "adopt":
            return {"journal": self._own_journal, "run_id": runs[row.grp], "taken_before": 0}
        return {"taken_before": row.mark} if row.action == "send" and row.mark is not None else {}


def _name_of(letter: Letter, text: bytes) -> tuple[bool, str | None]:
    """Whether a record has a number, and its identity in a journal."""
    try:
        head = _HEADS.decode(text)
    except (*codec.DecodeFailure, msgspec.MsgspecError):
        # What can't be read is known by what the run said of it.
        return letter.key is not None, keyed_name(letter.key) if letter.key is not None else None
    key = as_key(head.document_no if letter.is_document else head.customer_no)
    if key is not None:
        return True, keyed_name(key)
    return False, content_name(text, document=True) if letter.is_document else None


def _action(letter: Letter, group: Group, text: bytes, note: str | None, *, numbered: bool) -> Action:
    """What is done with a line, as far as it alone tells; one with a note is not sent."""
    if not text.startswith(b"{") or (letter.is_document and letter.reason == "no_document_no" and not numbered):
        return "stay"
    if letter.is_document and letter.reason in _SENT_OTHERWISE:
        return "stay"
    unsure = letter.state in UNCERTAIN and (letter.is_document or letter.state == "accepted")
    if note is not None and not (unsure and (letter.is_document or not group.has_journal)):
        return "stay"
    if group.has_journal:
        return "send"
    if not unsure:
        return "stay" if letter.is_document and group.journal is not None else "adopt"
    if letter.state == "accepted":
        return "poll" if letter.batch_uuid else "stay"
    return "look" if letter.key is not None else "stay"
