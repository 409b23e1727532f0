"""The settings file: where it is looked for, and how it is read and checked."""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ..environment import nearest
from ..errors import ConfigurationError
from ..secret_files import expanded
from .output import plain
from .settings_schema import KNOWN, PROXY, SECRETS

__all__ = ["ConfigFile", "places", "read_config"]

_HERE: Final = "amili-arm.toml"
_LARGEST: Final = 1_000_000
_TABLES: Final = frozenset(
    ".".join(parts[: length + 1]) for setting in KNOWN.values() for parts in [setting.table.split(".")] for length in range(len(parts))
)


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """The content of a settings file.

    Attributes:
        path: of the file.
        values: by the key of the setting; includes secrets.
        clients: the same for each client number of [[clients]]: what differs from `values`.
    """

    path: str
    values: Mapping[str, Any] = field(repr=False)
    clients: Mapping[int, Mapping[str, Any]] = field(default_factory=dict, repr=False)


# --- where it is ----------------------------------------------------------------------------------------------------------------


def places(variables: Mapping[str, str]) -> list[str]:
    """Returns the paths where a settings file is looked for by default.

    Args:
        variables: the environment.

    Returns:
        The paths, in their order.
    """
    base = variables.get("XDG_CONFIG_HOME", "")
    try:
        folder = Path(base) if Path(base).is_absolute() else Path("~/.config").expanduser()
    except RuntimeError:
        # A user without a home has no file there.
        return [_HERE]
    return [_HERE, str(folder / "amili-arm" / "config.toml")]


def read_config(given: str | None, variables: Mapping[str, str]) -> ConfigFile | None:
    """Reads the settings file.

    Args:
        given: path given with `--config`, or None.
        variables: the environment.

    Returns:
        The file; None where there is none.

    Raises:
        ConfigurationError: it can't be read, or something in it is wrong.
    """
    named = given if given is not None else variables.get("AMILI_ARM_CONFIG", "").strip() or None
    if named is not None:
        path = expanded(named, variables, "--config" if given is not None else "AMILI_ARM_CONFIG")
        return _read(path, is_named=True)
    for path in places(variables):
        if os.path.lexists(path):
            return _read(path, is_named=False)
    return None


# --- what is in it --------------------------------------------------------------------------------------------------------------


def _read(path: str, *, is_named: bool) -> ConfigFile:
    shown = plain(path)
    try:
        with Path(path).open("rb") as file:
            text, status = file.read(_LARGEST + 1), os.fstat(file.fileno())
    except (OSError, ValueError) as exc:
        raise ConfigurationError(f"{shown} can't be read: {getattr(exc, 'strerror', None) or 'no such path'}") from None
    if len(text) > _LARGEST:
        raise ConfigurationError(f"{shown} is too large for a settings file")
    if not is_named:
        _check_owner(shown, status)
    content = _parse(text, shown)
    clients = dict(_clients(content.pop("clients", []), shown))
    values = dict(_walk(content, "", shown))
    secrets = [key for given in (values, *clients.values()) for key in SECRETS if key in given]
    if any("@" in given.get(PROXY, "") for given in (values, *clients.values())):
        secrets.append(PROXY)
    if secrets and os.name == "posix" and status.st_mode & 0o077:
        raise ConfigurationError(f"{shown} holds {secrets[0]} and is open to other users of this machine: chmod 600 {shown}")
    return ConfigFile(path, values, clients)


_OF_THE_NIGHT: Final = ("nightly.on_end", "nightly.metrics")
"""Settings that no client has of its own."""


def _clients(found: Any, shown: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yields the client numbers of [[clients]], each with its settings."""
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise ConfigurationError(f"{shown}: clients must be a list of tables: [[clients]]")
    seen: set[int] = set()
    for place, entry in enumerate(found, 1):
        where = f"{shown}: [[clients]] {place}"
        if "client_no" not in entry:
            raise ConfigurationError(f"{where} has no client_no")
        number = KNOWN["connection.client_no"].checked(entry["client_no"], f"{where}: client_no")
        if number in seen:
            raise ConfigurationError(f"{where}: client number {number} is there twice")
        seen.add(number)
        values = dict(_walk({name: value for name, value in entry.items() if name != "client_no"}, "", where))
        for key in (*_OF_THE_NIGHT, "connection.client_no"):
            if key in values:
                remedy = "give client_no" if key not in _OF_THE_NIGHT else "it is for all clients: give it in [nightly]"
                raise ConfigurationError(f"{where}: {key} can't be given here: {remedy}")
        yield number, values


def _check_owner(shown: str, status: os.stat_result) -> None:
    """Refuses a default file that another user may have written: it could send our secret to another address."""
    if os.name == "posix" and (status.st_uid not in {0, os.geteuid()} or (stat.S_ISREG(status.st_mode) and status.st_mode & 0o002)):
        raise ConfigurationError(f"{shown} belongs to, or can be written by, somebody else: name it with --config to use it")


def _parse(text: bytes, shown: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text.decode("utf-8-sig"))
    except tomllib.TOMLDecodeError as exc:
        raise ConfigurationError(f"{shown} is not TOML: {_place_of(str(exc), text)}") from None
    except UnicodeDecodeError as exc:
        before = text[: exc.start].split(b"\n")
        place = f"line {len(before)}, column {len(before[-1]) + 1}"
        raise ConfigurationError(f"{shown} is not UTF-8 (at {place}): save it as UTF-8") from None
    except RecursionError:
        raise ConfigurationError(f"{shown} is not TOML: it is nested too deeply") from None


def _place_of(message: str, text: bytes) -> str:
    """Returns the message with line and column, also where the text ends too early."""
    lines = text.decode("utf-8-sig").splitlines() or [""]
    return plain(message.replace("(at end of document)", f"(at line {len(lines)}, column {len(lines[-1]) + 1}, the end)"))


def _walk(table: Mapping[str, Any], above: str, shown: str) -> Iterator[tuple[str, Any]]:
    """Yields the settings in a table and the tables below it."""
    for name, value in table.items():
        key = f"{above}.{name}" if above else name
        if (setting := KNOWN.get(key)) is not None:
            yield key, setting.checked(value, f"{shown}: {key}")
        elif key not in _TABLES:
            raise ConfigurationError(_unknown(name, above, isinstance(value, dict), shown))
        elif not isinstance(value, dict):
            raise ConfigurationError(f"{shown}: {key} must be a table: [{key}]")
        else:
            yield from _walk(value, key, shown)


def _unknown(name: str, above: str, is_table: bool, shown: str) -> str:
    """Returns a message about an unknown name: a similar name, the table where it belongs, or the known names."""
    where = f"{shown}: there is no {'table' if is_table else 'key'} {plain(name)!r}" + (f" in [{above}]" if above else "")
    here = sorted(key.rpartition(".")[2] for key in (*KNOWN, *_TABLES) if key.rpartition(".")[0] == above)
    if (near := nearest(name, here, 0.6)) is not None:
        return f"{where}; did you mean {near!r}?"
    others = {key.rpartition(".")[2]: key for key in (*KNOWN, *sorted(_TABLES))}
    if (near := nearest(name, others, 0.8)) is not None:
        return f"{where}; {near!r} belongs in [{others[near].rpartition('.')[0]}]"
    return f"{where}; expected one of: {', '.join(here)}"
