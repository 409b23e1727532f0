"""The settings of a command: flags override the environment, which overrides the file, which overrides the defaults."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from ..client import ArmClient
from ..config import BatchWords, Limits, RetryPolicy, Timeout
from ..database.url import is_database
from ..environment import make_arguments, nearest
from ..errors import ConfigurationError
from ..proxies import proxies_of
from ..secret_files import SecretFile, expanded, from_keyring
from . import output
from .config_file import ConfigFile, read_config
from .settings_schema import KNOWN, SECRETS

__all__ = [
    "RUN_VARIABLES",
    "Found",
    "Settings",
    "current_client",
    "current_file",
    "pick_client",
    "resolve",
    "unknown_variables",
    "use_client",
    "use_file",
]

Origin: TypeAlias = Literal["flag", "environment", "file", "default"]
Layer: TypeAlias = Mapping[str, "Found"]

_IDENTITY: Final = (
    "connection.client_id",
    "connection.client_secret",
    "connection.client_secret_file",
    "connection.client_secret_keyring",
)
_SECRET_FILES: Final = frozenset(f"{key}_file" for key in SECRETS)
_CREDENTIALS: Final = frozenset(
    {"connection.client_cert", "connection.client_key", *SECRETS, *_SECRET_FILES, *(f"{key}_keyring" for key in SECRETS)}
)
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


_CLIENT: ContextVar[int | None] = ContextVar("_CLIENT", default=None)
_PICKED: ContextVar[int | None] = ContextVar("_PICKED", default=None)


@contextlib.contextmanager
def use_client(client_no: int) -> Iterator[None]:
    """Makes the settings those of a client number of [[clients]] meanwhile.

    Args:
        client_no: the client number.

    Yields:
        Nothing.
    """
    token, picked = _CLIENT.set(client_no), _PICKED.set(None)
    try:
        yield
    finally:
        _CLIENT.reset(token)
        _PICKED.reset(picked)


def current_client() -> int | None:
    """Returns the client number of [[clients]] whose settings are used, or None.

    Returns:
        The client number.
    """
    return _CLIENT.get()


def pick_client(client_no: int | None) -> None:
    """Notes the --client-no of the command that starts: its settings in [[clients]] are those of the command.

    Args:
        client_no: the client number, or None where none was given.
    """
    _PICKED.set(client_no)


def _of_client(flags: Layer, environment: Layer, file: ConfigFile | None) -> Layer:
    """Returns the settings of the client number that was chosen; they are of the file, and override what it says of all."""
    given = flags.get("connection.client_no")
    number = given.value if given is not None else current_client() or _PICKED.get()
    if number is None and "connection.client_no" in environment:
        number = environment["connection.client_no"].value
    if file is None or number is None or number not in file.clients:
        return {}
    return {key: Found(value, "file", file.path) for key, value in {"connection.client_no": number, **file.clients[number]}.items()}


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
        if KNOWN[key].is_path and found.value is not None and not is_database(found.value):
            return expanded(found.value, self._variables, found.where(key))
        return found.value

    def connection(self, *, with_secrets: bool = True) -> dict[str, Any]:
        """Returns the settings of the connection as `environment.make_arguments` takes them. What is in a keyring is read now.

        Args:
            with_secrets: whether secrets and the client certificate are among them; if not, neither a file nor a keyring is read.

        Returns:
            The settings by their names.

        Raises:
            ConfigurationError: a path can't be expanded, or the keyring not be read.
        """
        found: dict[str, Any] = {"proxy": proxies_of(self._variables)}
        for key, one in self.found.items():
            name = key.removeprefix("connection.")
            if KNOWN[key].table != "connection" or name == "paths" or (key in _CREDENTIALS and not with_secrets):
                continue
            found[name] = one.value if KNOWN[key].is_secret else self.value(key)
            if name.endswith("_keyring"):
                found[name] = from_keyring(one.value, one.where(key))
            elif key in _SECRET_FILES:
                found[name] = SecretFile(found[name], one.where(key))
        return found

    def client(self, **given: Any) -> ArmClient:
        """Returns a client with these settings; files that hold a secret are read now.

        Args:
            **given: arguments of `ArmClient` that override the settings. With `auth`, no secret is read.

        Returns:
            The client.

        Raises:
            ConfigurationError: a setting is missing or wrong.
        """
        objects = {name: self._value_object(name) for name in _OBJECTS}
        found = self.connection(with_secrets="auth" not in given)
        for one in found.values():
            if isinstance(one, SecretFile) and (warning := one.warning()) is not None:
                output.warn(warning)
        return ArmClient(**make_arguments(found, {**objects, "paths": self.value("connection.paths"), **given}))

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
    environment = _environment(variables)
    layers: Sequence[Layer] = (flags, environment, _of_client(flags, environment, file), in_file)
    found: dict[str, Found] = {}
    for layer in reversed(layers):
        found.update(_refuse_duplicate_secrets(layer))
        for key in SECRETS:
            # A secret, the path of its file and its place in a keyring are three ways to give the same.
            if any(way in layer for way in _ways(key)):
                for way in _ways(key):
                    if way not in layer:
                        found.pop(way, None)
        if any(key in layer for key in (*_IDENTITY, *(["connection.identity_url"] if layer is flags else []))):
            # An identity overrides a token of a lower layer.
            for key in _ways("connection.token"):
                if key not in layer:
                    found.pop(key, None)
    return Settings({key: found[key] for key in KNOWN if key in found}, variables)


def _ways(key: str) -> tuple[str, ...]:
    """Returns the settings that give a secret."""
    return (key, f"{key}_file", f"{key}_keyring")


def _refuse_duplicate_secrets(layer: Layer) -> Layer:
    for key in SECRETS:
        first, *others = [way for way in _ways(key) if way in layer] or [key]
        for other in others:
            raise ConfigurationError(f"{layer[other].where(other)}: {KNOWN[first].name} is given too: give one of them")
    return layer


def _environment(variables: Mapping[str, str]) -> Layer:
    """Returns the settings in the environment; blank variables are ignored."""
    found = {}
    for setting in KNOWN.values():
        name = setting.variable
        if name is not None and (text := variables.get(name, "")).strip():
            found[setting.key] = Found(setting.parse(text, name), "environment", name)
    return found


RUN_VARIABLES: Final = ("AMILI_ARM_COMMAND", "AMILI_ARM_OUTCOME", "AMILI_ARM_EXIT_CODE", "AMILI_ARM_SUMMARY")
"""What the command of --on-end finds in its environment."""

_NOT_SETTINGS: Final = frozenset({"AMILI_ARM_CONFIG", *RUN_VARIABLES})


def unknown_variables(variables: Mapping[str, str]) -> list[str]:
    """Returns a warning for each variable that looks like a setting and is none, with the nearest that is one.

    Args:
        variables: the environment.

    Returns:
        The warnings.
    """
    known = {setting.variable for setting in KNOWN.values() if setting.variable is not None} | _NOT_SETTINGS
    warnings = []
    for name in sorted(variables):
        if name.startswith("AMILI_ARM_") and name not in known:
            near = nearest(name, known)
            did_you = f": did you mean {near}?" if near is not None else ""
            warnings.append(f"{output.plain(name)} in the environment is not a setting{did_you}")
    return warnings
