"""Decides what a replay does with each line of a dead letter file, before anything is sent.

A document that the server may have is never sent because a line says so. A line whose run has a journal goes through that journal, which
knows what was sent, also by a replay that was killed. A line whose run never had one is given to a journal of the replay's own: the run is
written down there, and the file is rewritten so that the line names it, before the first byte is sent. A document whose journal is gone is
not sent: there is no record left of what was sent.

A document without a number is known to its journal by its content alone. It is sent only where the journal knows of no equal document that
the server may have; else the line stays, and says why.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import msgspec

from .... import codec
from ....errors import ArmError, JournalError
from ....models.customers import Customer
from ...field_names import FieldNameError
from ...fingerprints import Fingerprinter, content_name, keyed_name
from ...outcomes import UNCERTAIN
from ..dead_letter import number_in
from ..protocol import ReplayJournals
from ..run_key import RunKey
from .letters import DeadLetterFile, Letter, Piece, changed, read_letter
from .lines import OVERTAKEN, SENT_ELSEWHERE, Action, LineGroup, LineTable, ReplayLine

__all__ = ["ReplayPlan", "run_key"]

MAX_FAULTS: Final = 50
"""Lines that can't be read whose faults are kept."""

_NUMBER_WAS_SENT: Final = ("sent_in_run", "document_no_repeated")
"""Why a document was not sent whose number another one has that was."""

_COMPLETE: Final = frozenset({"too_large", "no_document_no"})
"""Reasons of `invalid` whose payload is the record as it would have been sent, and in whose place nothing was sent."""

_REMEDY: Final = "fix the source and run it again with the same run_id"
_REMEDY_WITHOUT_JOURNAL: Final = "fix the source and send the record from there"
_BLOCKED: Final = "its customer did not succeed: run the night again with the same run_id, and the document follows"
_FOREIGN: Final = (
    "its number belongs to part {} of {} of its run, and the line is one of part {}: correct the document in the source, and send the parts"
    " again"
)
_JOURNAL_GONE: Final = "nothing tells what was sent since. Put it back, or run the source again with the same run_id and journal"


class ReplayPlan:
    """The lines of a file, and what happens to each.

    Args:
        file: the dead letter file.
        base_url: the address that the replay sends to; lines of others are refused.
        client_no: the client number that it sends for; lines of others are refused.
        own_journal: the path of the replay's own journal.
        journals: reads journals.
        unknown_fields: given a payload and whether it is a document, says which of its fields the API does not have; an empty text where
            it has all. None where such fields are sent.

    Attributes:
        table: the lines.
        groups: the runs that they come from, by id.
        broken: number of lines that can't be read.
        faults: what is wrong with the first of them, by their digests.
        refused: number of lines of other addresses and client numbers.
    """

    def __init__(
        self,
        file: DeadLetterFile,
        base_url: str,
        client_no: int,
        own_journal: str,
        journals: ReplayJournals,
        unknown_fields: Callable[[bytes, bool], str] | None,
    ) -> None:
        self.table = LineTable()
        self.groups: dict[int, LineGroup] = {}
        self.broken = 0
        self.faults: dict[int, str] = {}
        self.refused: Counter[tuple[str, int]] = Counter()
        self._file = file
        self._here = (base_url, client_no)
        self._own_journal = own_journal
        self._journals = journals
        self._unknown_fields = unknown_fields
        self._fingerprinter = Fingerprinter(Customer)
        self._by_name: dict[tuple[Any, ...], LineGroup] = {}

    def make(self) -> None:
        """Reads the file and the journals, and decides."""
        for piece, line in self._file.lines():
            try:
                self._add(piece, read_letter(line))
            except ValueError as exc:
                self.broken += 1
                if len(self.faults) < MAX_FAULTS:
                    self.faults[piece.digest] = str(exc)
        for group in self.groups.values():
            if group.has_journal and group.trouble is None:
                self._consult(group)
            elif group.is_document and group.journal is not None and group.trouble is None:
                group.trouble = f"there is no journal {group.journal} any more: {_JOURNAL_GONE}"
            self.table.apply_rules(group)
        self.table.keep_one_of_a_number()

    def _consult(self, group: LineGroup) -> None:
        """Adds what the journal of a run says; where it can't be read, the group is in trouble."""
        try:
            is_there = self._journals.read_run(str(group.journal), run_key(group), partial(self.table.add_records, group))
        except JournalError as exc:
            group.trouble = str(exc)
            return
        if not is_there and group.is_document:
            group.trouble = f"the journal {group.journal} has no run {group.run_id!r} any more: nothing tells what was sent since"

    # --- one line ---------------------------------------------------------------------------------------------------------

    def _add(self, piece: Piece, letter: Letter) -> None:
        if (letter.base_url, letter.client_no) != self._here:
            self.refused[letter.base_url, letter.client_no] += 1
            return
        group = self._group_of(letter)
        text = bytes(letter.payload)
        numbered, name = _identity(letter, text)
        content = self._fingerprint(text) if not letter.is_document else 0
        note = self._why_never_sent(letter, text)
        action = _action(letter, group, text, note, numbered=numbered)
        if numbered and name is not None and (foreign := _why_foreign(group, name)) is not None:
            # The journal of its part knows nothing of that number, and the part that it belongs to would send it again.
            action, note = "stay", foreign
        if letter.index is not None and self.table.find(piece.digest, 1) is not None:
            # An index in the source of a run is that of one record: the file was put together from copies.
            action = "drop"
        self.table.add(piece, group, letter, action, name, content, note)

    def _fingerprint(self, text: bytes) -> int:
        try:
            return self._fingerprinter.of(text)
        except FieldNameError:
            # No run has sent that.
            return -2

    def _group_of(self, letter: Letter) -> LineGroup:
        name = (letter.journal, letter.run_id, letter.operation)
        group = self._by_name.get(name)
        if group is None:
            number = len(self.groups) + 1
            group = LineGroup(number, letter.operation, letter.client_no, letter.base_url, letter.run_id, letter.journal)
            group.has_journal = letter.journal is not None and letter.run_id is not None and self._journals.exists(letter.journal)
            group.is_own = letter.journal == self._own_journal
            if group.has_journal and group.is_document:
                try:
                    group.part = self._journals.shared_part(str(letter.journal), run_key(group))
                except ArmError as exc:
                    group.trouble = str(exc)
            self._by_name[name] = self.groups[number] = group
        return group

    def _why_never_sent(self, letter: Letter, payload: bytes) -> str | None:
        """Says why a line is never sent, whatever its journal says, and the remedy; None where it may be sent.

        What could not be read or encoded is kept as it was read, for a person: to send that would bill something else.
        """
        if letter.overtaken:
            return SENT_ELSEWHERE if letter.is_document else OVERTAKEN
        if letter.state == "blocked" and letter.journal not in {None, self._own_journal}:
            # Without a journal there is no run that can be repeated.
            return _BLOCKED
        remedy = _REMEDY if letter.journal is not None else _REMEDY_WITHOUT_JOURNAL
        if letter.state == "invalid" and letter.reason not in _COMPLETE:
            return f"it was refused before anything was sent, and is never sent by replay: {remedy}"
        if not payload.startswith(b"{"):
            return f"it could not be read as a record, and is never sent: {remedy}"
        if self._unknown_fields is not None and (unknown := self._unknown_fields(payload, letter.is_document)):
            return f"{unknown}: {remedy}, or pass --extra-fields if the service knows such a field"
        return None

    # --- before anything is sent ------------------------------------------------------------------------------------------

    @property
    def needs_rewriting(self) -> bool:
        """Whether lines must be given to the replay's own journal, or are there twice."""
        return bool(self.table.count("action IN ('adopt', 'drop')"))

    def prepare(self) -> None:
        """Rewrites the file, so that a replay that is killed can be started again.

        Raises:
            OSError: the file can't be written; it is as it was.
            JournalError: the replay's own journal can't be written.
        """
        run_ids = self._own_run_ids()
        self._journals.declare_runs(self._own_journal, [run_key(self.groups[group], run_id) for group, run_id in run_ids.items()])
        first = 1

        def change(line: bytes) -> bytes | None:
            nonlocal first
            found = self.table.find(hash(line), first)
            if found is None:
                return line
            first = found.number + 1
            return self._prepared(found, line, run_ids)

        self._file.rewrite(change)

    def _prepared(self, found: ReplayLine, line: bytes, run_ids: Mapping[int, str]) -> bytes | None:
        if found.action == "drop":
            return None
        return changed(line, {"journal": self._own_journal, "run_id": run_ids[found.grp]}) if found.action == "adopt" else line

    def _own_run_ids(self) -> dict[int, str]:
        """Returns by group the run of the replay's own journal that its lines are given to.

        The run id is made of the lines: if the file is put back as it was before a replay, the replay resumes that run.
        """
        digests: dict[int, Any] = {}
        for piece, line in self._file.lines():
            found = self.table.find(piece.digest, piece.number)
            if found is not None and found.action == "adopt":
                digests.setdefault(found.grp, hashlib.sha256()).update(line + b"\n")
        return {group: f"replay-{digest.hexdigest()[:16]} of {self.groups[group].run_id or 'a run'}" for group, digest in digests.items()}


def run_key(group: LineGroup, run_id: str | None = None) -> RunKey:
    """Makes the key of the run of some lines.

    Args:
        group: the lines.
        run_id: another run id than the one that they name.

    Returns:
        The key.
    """
    return RunKey(run_id or str(group.run_id), group.operation, group.client_no, group.base_url, not group.is_document)


def _why_foreign(group: LineGroup, name: str) -> str | None:
    """Says why a document whose number belongs to another part of its shared run is not sent; None where it does not."""
    if group.part is None or (part := group.part.hash.of_name(name)) == group.part.part:
        return None
    return _FOREIGN.format(part, group.part.hash.parts, group.part.part)


def _identity(letter: Letter, text: bytes) -> tuple[bool, str | None]:
    """Returns whether a record has a number, and its identity in a journal."""
    try:
        key = number_in(text, is_document=letter.is_document)
    except (*codec.DecodeFailure, msgspec.MsgspecError):
        # What can't be read is known by what the run said of it.
        return letter.key is not None, keyed_name(letter.key) if letter.key is not None else None
    if key is not None:
        return True, keyed_name(key)
    return False, content_name(text, document=True) if letter.is_document else None


def _action(letter: Letter, group: LineGroup, text: bytes, note: str | None, *, numbered: bool) -> Action:
    """Decides what happens to a line, as far as it alone shows; one with a note is not sent."""
    if not text.startswith(b"{") or (letter.is_document and letter.reason == "no_document_no" and not numbered):
        return "stay"
    if letter.is_document and letter.reason in _NUMBER_WAS_SENT:
        return "stay"
    uncertain = letter.state in UNCERTAIN and (letter.is_document or letter.state == "accepted")
    if note is not None and not (uncertain and (letter.is_document or not group.has_journal)):
        return "stay"
    if group.has_journal and (numbered or not letter.is_document or not uncertain):
        return "send"
    if not uncertain:
        return "stay" if letter.is_document and group.journal is not None else "adopt"
    if letter.state == "accepted":
        return "poll" if letter.batch_uuid else "stay"
    return "look_up" if letter.key is not None else "stay"
