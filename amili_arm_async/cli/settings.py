"""The settings of a command: flags over the environment over the file over the defaults, and a client that is made of them."""

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
    """A value, and where it comes from.

    Attributes:
        value: the value; it may be a secret.
        origin: the layer.
        place: the flag, the variable or the path of the file; None for a default.
    """

    value: Any
    origin: Origin
    place: str | None = None

    def where(self, key: str) -> str:
        """The words for its place in a message."""
        return f"{self.place}: {key}" if self.origin == "file" else self.place or key


# --- the file that a command uses -------------------------------------------------------------------------------------------------

_USED: ContextVar[ConfigFile | None] = ContextVar("_USED")


def use_file(given: str | None) -> ConfigFile | None:
    """Reads the settings file of the command that begins.

    Raises:
        ConfigurationError: it can't be read, or something in it is wrong.
    """
    file = read_config(given, os.environ)
    _USED.set(file)
    return file


def current_file() -> ConfigFile | None:
    """The settings file of the command that is going on, or None."""
    try:
        return _USED.get()
    except LookupError:
        return use_file(None)


# --- what holds -----------------------------------------------------------------------------------------------------------------------


class Settings:
    """Every setting with its value.

    Attributes:
        found: by key; only those that somebody gave.
    """

    def __init__(self, found: Mapping[str, Found], variables: Mapping[str, str]) -> None:
        self.found = found
        self._variables = variables
        # To refuse a word that is in two sets before anything is sent.
        self._made("batch_words")

    def __repr__(self) -> str:
        return f"<Settings: {', '.join(self.found)}>"

    def get(self, key: str) -> Found:
        """A setting, with its default where nobody gave it."""
        return self.found.get(key) or Found(KNOWN[key].default, "default")

    def value(self, key: str) -> Any:
        """The value of a setting that is no secret; paths are expanded.

        Raises:
            ConfigurationError: a path names a variable that is not there.
        """
        assert key not in SECRETS
        found = self.get(key)
        if KNOWN[key].kind == "path" and found.value is not None:
            return expanded(found.value, self._variables, found.where(key))
        return found.value

    def variables(self) -> dict[str, str]:
        """What `ArmClient.from_env` takes; files that hold a secret are read now.

        Raises:
            ConfigurationError: a file can't be read.
        """
        variables = {f"AMILI_ARM_{name.upper()}": str(found.value) for name in _FROM_ENV if (found := self.found.get(f"connection.{name}"))}
        for key in SECRETS:
            if (secret := self._secret(key)) is not None:
                variables[f"AMILI_ARM_{key.partition('.')[2].upper()}"] = secret
        return variables

    def client(self) -> ArmClient:
        """A client with these settings; files that hold a secret are read now.

        Raises:
            ConfigurationError: a setting is missing or wrong.
        """
        objects = {name: self._made(name) for name in _OBJECTS}
        return ArmClient.from_env(self.variables(), **objects, paths=self.value("connection.paths"))

    def _secret(self, key: str) -> str | None:
        if (found := self.found.get(key)) is not None:
            return str(found.value)
        if (found := self.found.get(f"{key}_file")) is None:
            return None
        return read_secret(self.value(f"{key}_file"), found.where(f"{key}_file"))

    def _made(self, name: str) -> Any:
        """The value object of a table."""
        table = f"connection.{name}"
        given = {KNOWN[key].name: found for key, found in self.found.items() if KNOWN[key].table == table}
        try:
            return _OBJECTS[name](**{word: found.value for word, found in given.items()})
        except ConfigurationError as exc:
            place = next(iter(given.values())).where(table)
            raise ConfigurationError(f"{place}: {exc}") from None


def resolve(flags: Mapping[str, Found], file: ConfigFile | None, variables: Mapping[str, str] | None = None) -> Settings:
    """What holds of the flags, the environment, the file and the defaults.

    Raises:
        ConfigurationError: a value is wrong, or a secret is given in two ways at once.
    """
    variables = os.environ if variables is None else variables
    in_file = {key: Found(value, "file", file.path) for key, value in file.values.items()} if file is not None else {}
    layers: Sequence[Layer] = (flags, _environment(variables), in_file)
    found: dict[str, Found] = {}
    for layer in reversed(layers):
        found.update(_with_one_way(layer))
        for key in SECRETS:
            # A secret and the path of one are two ways to give the same.
            for one, other in ((key, f"{key}_file"), (f"{key}_file", key)):
                if one in layer:
                    found.pop(other, None)
        if any(key in layer for key in (*_IDENTITY, *(["connection.identity_url"] if layer is flags else []))):
            # Who names an identity wants it used, and not a token that is left over further down.
            for key in ("connection.token", "connection.token_file"):
                if key not in layer:
                    found.pop(key, None)
    return Settings({key: found[key] for key in KNOWN if key in found}, variables)


def _with_one_way(layer: Layer) -> Layer:
    for key in SECRETS:
        if key in layer and (path := layer.get(f"{key}_file")) is not None:
            raise ConfigurationError(f"{path.where(f'{key}_file')}: {KNOWN[key].name} is given too: give one of them")
    return layer


def _environment(variables: Mapping[str, str]) -> Layer:
    """The settings in the environment; blank ones are none."""
    found = {}
    for setting in KNOWN.values():
        name = setting.variable
        if name is not None and (text := variables.get(name, "")).strip():
            found[setting.key] = Found(setting.parse(text, name), "environment", name)
    return found
