"""The settings of a command: flags override the environment, which overrides the file, which overrides the defaults."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from ..client import ArmClient
from ..config import BatchWords, Limits, RetryPolicy, Timeout
from ..errors import ConfigurationError
from .config_file import ConfigFile, expanded, read_config, read_secret
from .settings_schema import KNOWN, SECRETS

__all__ = ["Found", "Settings", "current_file", "resolve", "use_file"]

Origin: TypeAlias = Literal["flag", "environment", "file", "default"]
Layer: TypeAlias = Mapping[str, "Found"]

_IDENTITY: Final = ("connection.client_id", "connection.client_secret", "connection.client_secret_file")
_FROM_ENV: Final = ("base_url", "client_no", "identity_url", "client_id", "user_id", "language")
_OBJECTS: Final[Mapping[str, type[Any]]] = {"timeout": Timeout, "retry": RetryPolicy, "limits": Limits, "batch_words": BatchWords}


@dataclass(frozen=True, slots=True, repr=False)
class Found:
    """The value of a setting, and where it comes from.

    Attributes:
        value: the value; it may be a secret.
        origin: which layer gave it.
        place: the flag, the variable, or the path of the file; None for a default.
    """

    value: Any
    origin: Origin
    place: str | None = None

    def where(self, key: str) -> str:
        """Returns the name of its place, for a message.

        Args:
            key: of the setting.

        Returns:
            The flag, the variable, or file and key.
        """
        return f"{self.place}: {key}" if self.origin == "file" else self.place or key


# --- the file that a command uses -------------------------------------------------------------------------------------------------

_USED: ContextVar[ConfigFile | ConfigurationError | None] = ContextVar("_USED")


def use_file(given: str | None) -> ConfigFile | None:
    """Reads the settings file of the command that starts, and remembers it.

    Args:
        given: path given with `--config`, or None.

    Returns:
        The file; None where there is none.

    Raises:
        ConfigurationError: it can't be read, or something in it is wrong.
    """
    try:
        file = read_config(given, os.environ)
    except ConfigurationError as exc:
        _USED.set(exc)
        raise
    _USED.set(file)
    return file


def current_file() -> ConfigFile | None:
    """Returns the settings file of the current command, or None.

    Returns:
        The file.

    Raises:
        ConfigurationError: it can't be read, or something in it is wrong.
    """
    try:
        found = _USED.get()
    except LookupError:
        return use_file(None)
    if isinstance(found, ConfigurationError):
        raise found
    return found


# --- all settings ---------------------------------------------------------------------------------------------------------------------


class Settings:
    """Every setting with its value.

    Args:
        found: the settings that were given, by key.
        variables: the environment, for paths.

    Attributes:
        found: the settings that were given, by key.
    """

    def __init__(self, found: Mapping[str, Found], variables: Mapping[str, str]) -> None:
        self.found = found
        self._variables = variables
        # Refuses a word that is in two sets before anything is sent.
        self._value_object("batch_words")

    def __repr__(self) -> str:
        return f"<Settings: {', '.join(self.found)}>"

    def get(self, key: str) -> Found:
        """Returns a setting, or its default.

        Args:
            key: such as `connection.base_url`.

        Returns:
            The value and its origin.
        """
        return self.found.get(key) or Found(KNOWN[key].default, "default")

    def value(self, key: str) -> Any:
        """Returns the value of a setting that is no secret; paths are expanded.

        Args:
            key: such as `connection.base_url`.

        Returns:
            The value.

        Raises:
            ConfigurationError: a path names an environment variable that is not set.
        """
        assert key not in SECRETS
        found = self.get(key)
        if KNOWN[key].is_path and found.value is not None:
            return expanded(found.value, self._variables, found.where(key))
        return found.value

    def variables(self) -> dict[str, str]:
        """Returns the variables for `ArmClient.from_env`; files that hold a secret are read now.

        Returns:
            Values by the names of environment variables.

        Raises:
            ConfigurationError: a file can't be read.
        """
        variables = {f"AMILI_ARM_{name.upper()}": str(found.value) for name in _FROM_ENV if (found := self.found.get(f"connection.{name}"))}
        for key in SECRETS:
            if (secret := self._secret(key)) is not None:
                variables[f"AMILI_ARM_{key.partition('.')[2].upper()}"] = secret
        return variables

    def client(self, **given: Any) -> ArmClient:
        """Returns a client with these settings; files that hold a secret are read now.

        Args:
            **given: further arguments of `ArmClient`, which override the settings.

        Returns:
            The client.

        Raises:
            ConfigurationError: a setting is missing or wrong.
        """
        objects = {name: self._value_object(name) for name in _OBJECTS}
        return ArmClient.from_env(self.variables(), **{**objects, "paths": self.value("connection.paths"), **given})

    def _secret(self, key: str) -> str | None:
        if (found := self.found.get(key)) is not None:
            return str(found.value)
        if (found := self.found.get(f"{key}_file")) is None:
            return None
        return read_secret(self.value(f"{key}_file"), found.where(f"{key}_file"))

    def _value_object(self, name: str) -> Any:
        """Returns the settings of a table as `ArmClient` takes them."""
        table = f"connection.{name}"
        given = {KNOWN[key].name: found for key, found in self.found.items() if KNOWN[key].table == table}
        try:
            return _OBJECTS[name](**{field: KNOWN[f"{table}.{field}"].argument(found.value) for field, found in given.items()})
        except ConfigurationError as exc:
            place = next(iter(given.values())).where(table)
            raise ConfigurationError(f"{place}: {exc}") from None


def resolve(flags: Mapping[str, Found], file: ConfigFile | None, variables: Mapping[str, str] | None = None) -> Settings:
    """Merges the flags, the environment, the file and the defaults.

    Args:
        flags: given on the command line, by key.
        file: the settings file, or None.
        variables: the environment; None: that of this process.

    Returns:
        The settings.

    Raises:
        ConfigurationError: a value is wrong, or a secret is given in two ways at once.
    """
    variables = os.environ if variables is None else variables
    in_file = {key: Found(value, "file", file.path) for key, value in file.values.items()} if file is not None else {}
    layers: Sequence[Layer] = (flags, _environment(variables), in_file)
    found: dict[str, Found] = {}
    for layer in reversed(layers):
        found.update(_refuse_duplicate_secrets(layer))
        for key in SECRETS:
            # A secret and the path of its file are two ways to give the same.
            for one, other in ((key, f"{key}_file"), (f"{key}_file", key)):
                if one in layer:
                    found.pop(other, None)
        if any(key in layer for key in (*_IDENTITY, *(["connection.identity_url"] if layer is flags else []))):
            # An identity overrides a token of a lower layer.
            for key in ("connection.token", "connection.token_file"):
                if key not in layer:
                    found.pop(key, None)
    return Settings({key: found[key] for key in KNOWN if key in found}, variables)


def _refuse_duplicate_secrets(layer: Layer) -> Layer:
    for key in SECRETS:
        if key in layer and (path := layer.get(f"{key}_file")) is not None:
            raise ConfigurationError(f"{path.where(f'{key}_file')}: {KNOWN[key].name} is given too: give one of them")
    return layer


def _environment(variables: Mapping[str, str]) -> Layer:
    """Returns the settings in the environment; blank variables are ignored."""
    found = {}
    for setting in KNOWN.values():
        name = setting.variable
        if name is not None and (text := variables.get(name, "")).strip():
            found[setting.key] = Found(setting.parse(text, name), "environment", name)
    return found
