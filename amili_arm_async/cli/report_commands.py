"""The command lines that settle what a night left: they are in its reports, ready to run."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass, fields
from enum import Enum
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
import typer

from ..bulk.outcomes import STATE_RULES
from ..database.url import shown
from ..nightly.report import Command, Part, PartName, Reason, ReportSchema
from .options import ConnectionOptions
from .settings import current_file

__all__ = ["Invocation"]

_CONNECTION: Final = frozenset(field.name for field in fields(ConnectionOptions))
_NOBODY_CAN: Final = frozenset({"batch_taken", "key_conflict"})
"""Reasons that no command settles: a person compares, or asks Amili."""
_RECONCILED_OTHERWISE: Final = frozenset({"absent", "not_looked_up", "sent_in_run"})
"""Reasons that a further reconcile settles, with other options or later."""
_STALE: Final = "stale_journal"
_LEFT_OUT: Final = frozenset({"on_end"})
"""Options that the commands of a report don't repeat: the command of --on-end may hold the secret address of a webhook."""
_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


@dataclass(frozen=True)
class Invocation:
    """How the night was called.

    Attributes:
        folder: the working directory.
        program: the words that start `amili-arm`.
        words: the arguments of the command line, its name among them.
        connection: those of them that say which service, client and identity.
        journal: path of the journal, or None.
        run_id: name of the run in the journal, or None.
        dead_letters: the paths of the dead letter files, by part.
    """

    folder: str
    program: tuple[str, ...]
    words: tuple[str, ...]
    connection: tuple[str, ...]
    journal: str | None = None
    run_id: str | None = None
    dead_letters: tuple[tuple[PartName, str], ...] = ()

    @classmethod
    def of(cls, context: typer.Context, **more: Any) -> Invocation:
        """Returns how a command was called.

        Args:
            context: of the command.
            **more: the other attributes.

        Returns:
            The call; what may be secret in a URL is replaced.
        """
        name = context.info_name or ""
        return cls(str(Path.cwd()), _program(), (name, *_given(context)), tuple(_given(context, _CONNECTION)), **more)

    def settles(self, reason: Reason) -> str | None:
        """Returns the reconcile that does more about documents than the one before.

        Args:
            reason: why they are left.

        Returns:
            The command; None where there is none.
        """
        return self._reconcile(reason) if reason.reason in _RECONCILED_OTHERWISE else None

    def add_to(self, schema: ReportSchema) -> ReportSchema:
        """Adds the commands to a report.

        Args:
            schema: the report.

        Returns:
            The report with them.
        """
        parts = [
            msgspec.structs.replace(part, reasons=[self._with_command(reason, part, schema) for reason in part.reasons])
            for part in schema.parts
        ]
        return msgspec.structs.replace(schema, parts=parts, commands=list(self._commands(parts, schema)))

    # --- for a reason -----------------------------------------------------------------------------------------------------

    def _with_command(self, reason: Reason, part: Part, schema: ReportSchema) -> Reason:
        if reason.state == "other":
            return reason
        if part.name == "documents" and STATE_RULES[reason.state].on_server != "no" and reason.reason != _STALE:
            # Without a journal, the replay of the dead letter looks them up.
            command = self._reconcile(reason) if self.journal is not None else self._replay(part.name)
            return msgspec.structs.replace(reason, command=command if reason.reason not in _NOBODY_CAN else None)
        rule = STATE_RULES[reason.state]
        needs_fix = rule.is_failure and rule.on_server == "no"
        command = self._again(schema) or self._replay(part.name)
        return msgspec.structs.replace(reason, command=command, needs_fix=needs_fix)

    def _reconcile(self, reason: Reason) -> str:
        """Returns the command that looks documents up in the journal."""
        words = ["reconcile", str(self.journal)]
        if self.run_id is not None and reason.reason != "sent_in_run":
            words += ["--run-id", self.run_id]
        words += ["--resend-absent"] if reason.reason == "absent" else []
        return self._line([*words, *self.connection])

    def _again(self, schema: ReportSchema) -> str | None:
        """Returns the command of the night; None where it would send documents twice."""
        sends_documents = any(part.name == "documents" and part.batches for part in schema.parts)
        return self._line(self.words) if self.journal is not None or not sends_documents else None

    def _replay(self, part: PartName) -> str | None:
        path = dict(self.dead_letters).get(part)
        return self._line(["replay", path, *self.connection]) if path is not None else None

    # --- for the night ----------------------------------------------------------------------------------------------------

    def _commands(self, parts: list[Part], schema: ReportSchema) -> Iterator[Command]:
        lookups = dict.fromkeys(
            reason.command for part in parts if part.name == "documents" for reason in part.reasons if _is_open(reason) and reason.command
        )
        for command in lookups if self.journal is not None else ():
            yield Command("reconcile", command, "documents whose outcome is not known")
        others = [reason for part in parts for reason in part.reasons if not (part.name == "documents" and _is_open(reason))]
        is_whole = not schema.not_begun and schema.error is None and all(part.shortfall is None for part in parts)
        again = self._again(schema)
        if again is not None and (others or not is_whole):
            what = "all that was not accepted" if schema.interrupted else "all that was not accepted, once its cause is fixed"
            yield Command("run again", again, f"{what}; what succeeded is not sent again")
        for part in parts:
            left = [reason for reason in part.reasons if reason.state != "other" and STATE_RULES[reason.state].on_server == "no"]
            # What was never read as a record has no payload. What is blocked is sent by the night that is run again, if it can be.
            looks_up = self.journal is None and any(map(_is_open, part.reasons))
            can_be_replayed = looks_up or any(
                reason.state != "invalid" and (self.journal is None or reason.state != "blocked") for reason in left
            )
            if can_be_replayed and (replay := self._replay(part.name)) is not None:
                yield Command("replay", replay, f"{part.name} that the dead letter holds, once their payloads are corrected")

    def _line(self, words: Collection[str]) -> str:
        return f"cd {_quoted(self.folder)} && {' '.join(map(_quoted, [*self.program, *words]))}"


def _is_open(reason: Reason) -> bool:
    return reason.state != "other" and STATE_RULES[reason.state].on_server != "no" and reason.reason != _STALE


def _quoted(word: str) -> str:
    """Quotes a word for a shell; what can't be seen, or is no UTF-8, is written as bash and zsh read it."""
    if word.isprintable():
        return shlex.quote(word)
    signs = (chr(byte) if 0x20 <= byte < 0x7F and byte not in b"'\\" else f"\\x{byte:02x}" for byte in os.fsencode(word))
    return f"$'{''.join(signs)}'"


# --- the words of a command line --------------------------------------------------------------------------------------------


def _program() -> tuple[str, ...]:
    """Returns what starts this program in a shell with the same PATH."""
    started = Path(sys.argv[0])
    if started.stem == "amili-arm":
        found = shutil.which("amili-arm")
        return ("amili-arm",) if found is not None and Path(found).resolve() == started.resolve() else (str(started.absolute()),)
    is_module = started.name == "__main__.py" and started.parent.name == "cli"
    return (sys.executable, "-m", "amili_arm_async.cli") if is_module else ("amili-arm",)


def _given(context: typer.Context, only: Collection[str] | None = None) -> Iterator[str]:
    """Yields the options and arguments that were given on the command line, as the shell gave them."""
    arguments = []
    for parameter in context.command.params:
        name = parameter.name or ""
        source = context.get_parameter_source(name)
        if name == "config":
            if (file := current_file()) is not None:
                yield from ("--config", file.path)
        elif source is None or source.name != "COMMANDLINE" or name in _LEFT_OUT or (only is not None and name not in only):
            continue
        elif parameter.param_type_name == "argument":
            arguments.append(_shown(context.params[name]))
        else:
            yield from _option(parameter, context.params[name])
    yield from arguments


def _option(parameter: Any, value: Any) -> Iterator[str]:
    flag = max(parameter.opts, key=len)
    if isinstance(value, bool):
        yield flag if value else max(parameter.secondary_opts, key=len)
        return
    for one in value if isinstance(value, (list, tuple)) else (value,):
        yield from (flag, _shown(one))


def _shown(value: Any) -> str:
    text = str(value.value if isinstance(value, Enum) else value)
    text = text.removesuffix(".0") if isinstance(value, float) else text
    if text.lower().startswith("postgres"):
        return shown(text)
    if not _URL.match(text):
        return text
    split = urlsplit(text)
    user, at, host = split.netloc.rpartition("@")
    query = "?..." if split.query or split.fragment else ""
    return f"{split.scheme}://{'...' + at if ':' in user else user + at}{host}{split.path}{query}"
