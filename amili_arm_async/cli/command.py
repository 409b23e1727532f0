"""How a function becomes a command: its options, of bundles and of the settings file, and what it says when it fails."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from functools import wraps
from typing import Annotated, Any, Final, TypeAlias, get_type_hints

import typer

from ..errors import ConfigurationError, SourceError
from . import output
from .monitoring import monitored
from .settings import Settings, current_file, pick_client, resolve, unknown_variables, use_file
from .settings_schema import KNOWN
from .stdout import decide_exit_code

__all__ = [
    "CONNECTION",
    "JOURNAL",
    "OUTPUT",
    "RUN",
    "SOURCE",
    "AnyCommandsConfig",
    "ClientNo",
    "Config",
    "SettingsOf",
    "acting_command",
    "command",
    "defaults",
]

CONNECTION: Final = "Connection options"
SOURCE: Final = "Source options"
RUN: Final = "Run options"
JOURNAL: Final = "Journal options"
OUTPUT: Final = "Output options"
"""The panels of the help: each option has one of them as its `rich_help_panel`."""

_CONFIG_BEFORE_COMMAND: Final = "amili_arm.config"
_FILE_IS_READ: Final = "amili_arm.file_is_read"

_TELL_SETTINGS: Final = frozenset({"doctor"})
"""Commands whose result says what is wrong with the settings."""


def command(function: Callable[..., None]) -> Callable[..., None]:
    """Makes a function a command: each parameter that is a bundle (a dataclass) becomes the options that are its fields.

    What the user did wrong (`ConfigurationError`, `SourceError`) is printed, and ends the program with exit code 2.

    Args:
        function: the command. Its parameters may be in any order: all are passed by name.

    Returns:
        A function with the signature that typer expects.
    """
    hints = get_type_hints(function, include_extras=True)
    bundles: dict[str, type[Any]] = {}
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(function).parameters.values():
        hint = hints[parameter.name]
        if is_dataclass(hint) and isinstance(hint, type):
            bundles[parameter.name] = hint
            types = get_type_hints(hint, include_extras=True)
            parameters += [
                inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=types[field.name])
                for field in fields(hint)
            ]
        else:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hint))

    @wraps(function)
    def call(**given: Any) -> None:
        with monitored(function.__name__, given):
            try:
                for name, bundle in bundles.items():
                    # --config is handled before all others, and is not passed.
                    given[name] = bundle(**{field.name: given.pop(field.name) for field in fields(bundle) if field.name in given})
                function(**given)
            except (ConfigurationError, SourceError) as exc:
                output.fail(str(exc))
            finally:
                # Before the command of --on-end, which may take its time.
                output.print_last()

    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    vars(call)["__signature__"] = inspect.Signature(parameters)
    return call


def acting_command(function: Callable[..., None]) -> Callable[..., None]:
    """Makes a function a command whose output is only a report: its exit code is the same where the output can't be written.

    Args:
        function: the command.

    Returns:
        A function with the signature that typer expects.
    """

    @wraps(function)
    def call(**given: Any) -> None:
        decide_exit_code(None, None)
        function(**given)

    return command(call)


def _take_file(context: typer.Context, given: str | None) -> None:
    """Reads the settings file, named by `--config` after or before the command, before the other options of the command are parsed.

    What is in its tables [bulk] and [source], and in one that is named like the command, is the default of the options of these names.
    """
    if context.resilient_parsing:
        return
    with _ending_where_settings_are_wrong(context):
        use_file(given if given is not None else context.meta.get(_CONFIG_BEFORE_COMMAND))
        for warning in unknown_variables(os.environ):
            output.warn(warning)
        context.meta[_FILE_IS_READ] = True
        _set_defaults(context)


def _take_client(context: typer.Context, given: int | None) -> int | None:
    """Makes the settings those of the client number, before the other options are parsed. It may stand before or after --config."""
    if context.resilient_parsing:
        return given
    pick_client(given)
    if given is not None and context.meta.get(_FILE_IS_READ):
        with _ending_where_settings_are_wrong(context):
            _set_defaults(context)
    return given


def _set_defaults(context: typer.Context) -> None:
    """Makes the settings the defaults of the command's options."""
    context.default_map = defaults(resolve({}, current_file()), context.info_name or "")


@contextmanager
def _ending_where_settings_are_wrong(context: typer.Context) -> Iterator[None]:
    """Ends the program where the settings are wrong, unless the command is one whose result says so."""
    try:
        yield
    except ConfigurationError as exc:
        if context.info_name not in _TELL_SETTINGS:
            output.fail(str(exc))


def _name_file(context: typer.Context, given: str | None) -> None:
    """Keeps the `--config` that stands before the command."""
    context.meta[_CONFIG_BEFORE_COMMAND] = given


def defaults(found: Settings, command: str) -> dict[str, Any]:
    """Returns the settings that are defaults of a command's options.

    Args:
        found: all settings.
        command: name of the command, such as `push`.

    Returns:
        The values by the names of the options.

    Raises:
        ConfigurationError: a path names an environment variable that is not set.
    """
    keys = [key for key in found.found if KNOWN[key].table in {"bulk", "source", command}]
    return {KNOWN[key].name: found.value(key) for key in keys}


Config: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--config",
        callback=_take_file,
        is_eager=True,
        expose_value=False,
        metavar="FILE",
        rich_help_panel=CONNECTION,
        help="Settings file (TOML). Default: amili-arm.toml in this directory, or ~/.config/amili-arm/config.toml."
        "\n\nEnv: AMILI_ARM_CONFIG",
    ),
]
AnyCommandsConfig: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--config",
        callback=_name_file,
        is_eager=True,
        expose_value=False,
        metavar="FILE",
        help="Settings file (TOML). It may also stand after the command.",
    ),
]

ClientNo: TypeAlias = Annotated[
    int | None, typer.Option(callback=_take_client, is_eager=True, metavar="N", rich_help_panel=CONNECTION, help="Client number.")
]
SettingsOf: TypeAlias = Annotated[
    int | None,
    typer.Option(
        "--client-no",
        callback=_take_client,
        is_eager=True,
        expose_value=False,
        metavar="N",
        rich_help_panel=CONNECTION,
        help="Use the settings of this client number in [[clients]] of the settings file.",
    ),
]
