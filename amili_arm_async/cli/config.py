"""`amili-arm config show` and `config path`: which settings are in effect, and where each comes from. Secrets are masked completely."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer

from . import output
from .command import Config, command
from .config_file import places
from .help import ArmCommand, ArmGroup
from .options import ConnectionOptions
from .settings import Found, Settings, current_file
from .settings_schema import KNOWN

__all__ = ["config_app", "shown_value", "value_in_words"]

_WIDEST: Final = 60
"""Longer values do not widen their column."""

config_app = typer.Typer(cls=ArmGroup, help="Settings, from options, the environment, a file, or by default.", no_args_is_help=True)


@config_app.command(cls=ArmCommand)
@command
def show(
    connection: ConnectionOptions,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON on standard output.")] = False,
) -> None:
    """Shows every setting, its value, and where the value comes from. Secrets are masked."""
    found = connection.settings()
    file = current_file()
    if as_json:
        output.print_json({"file": file.path if file is not None else None, "settings": _as_json(found)})
    else:
        _print(found)


@config_app.command(cls=ArmCommand)
@command
def path(config: Config = None) -> None:
    """Shows the path of the settings file in use; exit code 1 if there is none."""
    file = current_file()
    if file is None:
        output.fail(f"there is no settings file; looked for {', '.join(map(output.plain, places(os.environ)))}", code=1)
    typer.echo(file.path)


def _as_json(settings: Settings) -> Mapping[str, Mapping[str, Any]]:
    values = {}
    for key in KNOWN:
        found = settings.get(key)
        values[key] = {"value": shown_value(key, found), "origin": found.origin, "place": found.place}
    return values


def shown_value(key: str, found: Found) -> Any:
    """Returns the value of a setting as it may be shown: secrets are masked completely.

    Args:
        key: of the setting.
        found: its value.

    Returns:
        The value, or a mask.
    """
    return KNOWN[key].shown(found.value)


def _print(settings: Settings) -> None:
    """Prints a line for each setting."""
    rows = [
        (key, value_in_words(shown_value(key, found)), output.plain(found.place or found.origin))
        for key in KNOWN
        for found in [settings.get(key)]
    ]
    output.say_rows(rows, lambda row: (f"{row[0]} = {row[1]} ({row[2]})",), widest=_WIDEST)


def value_in_words(value: Any) -> str:
    """Returns a value of a setting as people read it.

    Args:
        value: the value, without secrets.

    Returns:
        One line of text.
    """
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return output.plain(", ".join(value))
    if isinstance(value, dict):
        return output.plain(", ".join(f"{name} = {text}" for name, text in value.items()))
    return output.plain(str(value))
