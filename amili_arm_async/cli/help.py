"""The help of the commands: readable at 80 columns, with nothing cut, in panels of options that belong together."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from typer.core import TyperArgument, TyperGroup

from .command import CONNECTION, JOURNAL, OUTPUT, RUN, SOURCE
from .monitoring import MonitoredCommand
from .settings_schema import KNOWN

__all__ = ["ArmCommand", "ArmGroup", "Entry", "entry"]

_ARGUMENTS: Final = "Arguments"
_OPTIONS: Final = "Options"
_COMMANDS: Final = "Commands"
_ORDER: Final = (_ARGUMENTS, CONNECTION, SOURCE, RUN, JOURNAL, _OPTIONS, OUTPUT)

_WIDEST: Final = 100
"""Longer lines are hard to read."""
_NARROW: Final = 72
"""Terminals with fewer columns get the meaning of an option below its name."""
_NAMES: Final = 28
"""Columns for the names of options; a longer name has a line of its own."""
_PANEL: Final = 4
"""Columns of the border of a panel."""
_TYPES: Final = {
    "str": "TEXT",
    "int": "N",
    "integer": "N",
    "int range": "N",
    "integer range": "N",
    "float": "NUMBER",
    "float range": "NUMBER",
}


@dataclass(frozen=True)
class Entry:
    """What the help says of an option or argument.

    Attributes:
        name: its names and what it takes, such as `--journal FILE`.
        text: its meaning, with the default and the range.
        notes: further lines: settings, and the variable of the environment.
    """

    name: str
    text: str
    notes: tuple[str, ...]


def entry(parameter: Any, context: Any) -> Entry:
    """Returns what the help says of an option or argument.

    Args:
        parameter: of a command.
        context: of the command.

    Returns:
        The entry.
    """
    record, text = parameter.get_help_record(context) or ("", "")
    meaning = inspect.cleandoc(parameter.help or "")
    extra = text.removeprefix(parameter.help or "").strip().removeprefix("[").removesuffix("]")
    is_flag = bool(getattr(parameter, "is_flag", False))
    notes = "; ".join(_in_words(note) for note in extra.split("; ") if note and not (is_flag and note.startswith("default: ")))
    variable = _variable(parameter, context)
    first, *more = (" ".join(part.split()) for part in meaning.split("\n\n"))
    return Entry(
        _name(parameter, record, is_flag=is_flag),
        f"{first} [{notes}]" if notes and not isinstance(parameter, TyperArgument) else first,
        (*more, *([f"Env: {variable}"] if variable else [])),
    )


def _in_words(note: str) -> str:
    """Returns a default or a range without the notation of Python."""
    least = re.fullmatch(r"x>=([\d.]+)", note)
    between = re.fullmatch(r"([\d.]+)<=x<=([\d.]+)", note)
    return f"at least {least[1]}" if least else f"{between[1]} to {between[2]}" if between else note.removesuffix(".0")


def _name(parameter: Any, record: str, *, is_flag: bool) -> str:
    if isinstance(parameter, TyperArgument):
        return _argument(parameter)
    names = sorted(parameter.opts, key=len)
    if any(name == "--no-" + names[-1].removeprefix("--") for name in parameter.secondary_opts):
        names[-1] = "--[no-]" + names[-1].removeprefix("--")
    if is_flag:
        return ", ".join(names)
    taken = parameter.metavar or record.rpartition(parameter.opts[-1])[2].strip()
    bare = taken.removeprefix("<").removeprefix("[").removesuffix("]").removesuffix(">")
    return f"{', '.join(names)} {_TYPES.get(bare.lower(), bare)}"


def _argument(parameter: TyperArgument) -> str:
    return parameter.metavar or (parameter.name or "").upper()


def _variable(parameter: Any, context: Any) -> str | None:
    """Returns the environment variable that is the default of an option of a command with settings."""
    if not any(one.name == "config" for one in context.command.params):
        return None
    for table in ("connection", "bulk", "source", context.info_name):
        setting = KNOWN.get(f"{table}.{parameter.name}")
        if setting is not None:
            return setting.variable
    return None


# --- the page -------------------------------------------------------------------------------------------------------------


class _ReadableHelp:
    """What a command and a group of commands have in common."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Returns what stands behind the name of the command.

        Args:
            ctx: of the command.

        Returns:
            The parts of the line.
        """
        command: Any = self
        arguments = [parameter for parameter in command.params if isinstance(parameter, TyperArgument)]
        named = [_argument(one) if one.required else f"[{_argument(one)}]" for one in arguments]
        return ["[OPTIONS]", *named, *(["COMMAND [ARGS]..."] if isinstance(self, TyperGroup) else [])]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Prints the help.

        Args:
            ctx: of the command.
            formatter: not used.
        """
        command: Any = self
        console = Console(highlight=False, markup=False)
        width = min(console.width, _WIDEST)
        usage = command.get_usage(ctx)
        parts: list[RenderableType] = [Padding(Text(usage, "bold"), (1, 1)), *_paragraphs(command.help or "")]
        inner = max(width - _PANEL, 1)
        parts += [_panel(title, [_row(one, inner) for one in entries]) for title, entries in _panels(command, ctx)]
        if isinstance(command, TyperGroup):
            parts += [_panel(title, rows) for title, rows in _commands(command, ctx, inner)]
        for part in parts:
            console.print(part, width=width)


class ArmCommand(_ReadableHelp, MonitoredCommand):
    """A command whose help is readable at 80 columns."""


class ArmGroup(_ReadableHelp, TyperGroup):
    """A group of commands whose help is readable at 80 columns."""


def _panel(title: str, rows: Sequence[RenderableType]) -> Panel:
    return Panel(Group(*rows), title=title, title_align="left", border_style="dim")


def _paragraphs(text: str) -> Iterator[RenderableType]:
    for part in inspect.cleandoc(text).split("\n\n"):
        if part:
            yield Padding(Text(" ".join(part.split())), (0, 1, 1, 1))


def _panels(command: Any, context: Any) -> Iterator[tuple[str, list[Entry]]]:
    """Yields the panels that a command has, each with its entries."""
    found: dict[str, list[Entry]] = {}
    *parameters, last = command.get_params(context)
    for parameter in parameters:
        if not getattr(parameter, "hidden", False):
            default = _ARGUMENTS if isinstance(parameter, TyperArgument) else _OPTIONS
            found.setdefault(getattr(parameter, "rich_help_panel", None) or default, []).append(entry(parameter, context))
    # --help stands at the very end.
    known = [title for title in _ORDER if title in found]
    panels = [*known, *(title for title in found if title not in known)]
    if not panels or panels[-1] == _ARGUMENTS:
        panels.append(_OPTIONS)
    found.setdefault(panels[-1], []).append(entry(last, context))
    yield from ((title, found[title]) for title in panels)


def _row(shown: Entry, width: int) -> RenderableType:
    name, meaning = _styled(shown.name), Text(shown.text)
    for note in shown.notes:
        meaning.append("\n" + note, "dim")
    if width < _NARROW - _PANEL or len(shown.name) > _NAMES:
        indent = 4 if width < _NARROW - _PANEL else _NAMES + 2
        return Group(name, Padding(meaning, (0, 0, 0, indent)))
    return _columns(name, meaning, _NAMES, width)


def _columns(name: Text, meaning: Text, names: int, width: int) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=names, overflow="fold")
    table.add_column(width=max(width - names - 2, 1), overflow="fold")
    table.add_row(name, meaning)
    return table


def _styled(name: str) -> Text:
    styled = Text(overflow="fold")
    for number, word in enumerate(name.split(" ")):
        styled.append(" " if number else "")
        styled.append(word, "bold cyan" if word.startswith("-") else "yellow")
    return styled


def _commands(group: Any, context: Any, width: int) -> Iterator[tuple[str, list[RenderableType]]]:
    commands = [command for name in group.list_commands(context) if not (command := group.get_command(context, name)).hidden]
    names = max(len(command.name) for command in commands)
    found: dict[str, list[RenderableType]] = {}
    for command in commands:
        text = command.short_help or inspect.cleandoc(command.help or "").partition("\n\n")[0]
        row = _columns(Text(command.name, "bold cyan"), Text(" ".join(text.split())), names, width)
        found.setdefault(getattr(command, "rich_help_panel", None) or _COMMANDS, []).append(row)
    yield from found.items()
