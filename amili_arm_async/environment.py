"""The settings of a client from environment variables: their names, what they mean, and which known one an unknown one is near to."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields
from itertools import takewhile
from typing import Any, Final

from .auth import Auth, ClientCredentials, TokenFile
from .config import DEFAULT, Limits, RetryPolicy, Timeout
from .errors import ConfigurationError
from .proxies import proxies_of
from .secret_files import SecretFile, expanded, from_keyring

__all__ = ["PREFIX", "SECRETS", "auth_of", "from_variables", "make_arguments", "nearest", "secret_of"]

PREFIX: Final = "AMILI_ARM_"

_TEXTS: Final = ("client_no", "base_url", "identity_url", "client_id", "user_id", "language", "proxy")
_PATHS: Final = ("ca_file", "client_cert", "client_key")
SECRETS: Final = ("client_secret", "token", "client_key_password")
"""Settings that are never shown. Each can also be in a file, whose path is the setting with `_file` at its end, or in a keyring, as
SERVICE:USER in the setting with `_keyring` at its end."""

_TABLES: Final[Mapping[str, type[Any]]] = {"timeout": Timeout, "retry": RetryPolicy, "limits": Limits}
_OTHER_TABLES: Final = ("BULK_", "SOURCE_", "NIGHTLY_", "SYNC_", "CONFIG")
"""Where the names of what only the command line reads begin."""

_SAME: Final = ("base_url", "user_id", "language", "identity_url", *_PATHS)
"""Settings that are arguments of the client as they are."""


def from_variables(variables: Mapping[str, str], given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the arguments of a client that environment variables name. Blank variables count as not set; files are read now.

    Args:
        variables: the environment.
        given: arguments that are given, which come first.

    Raises:
        ConfigurationError: a variable is missing or wrong; the message names it.
    """
    found: dict[str, Any] = {}
    for name in (*_TEXTS, *_PATHS, *SECRETS, *(f"{secret}_{kind}" for secret in SECRETS for kind in ("file", "keyring"))):
        where = PREFIX + name.upper()
        if text := variables.get(where, "").strip():
            is_secret_file = name.endswith("_file") and name not in _PATHS
            path = expanded(text, variables, where) if is_secret_file or name in _PATHS else text
            found[name] = SecretFile(path, where) if is_secret_file else path
    for secret in SECRETS:
        if f"{secret}_keyring" in found and "auth" not in given:
            found[f"{secret}_keyring"] = from_keyring(found[f"{secret}_keyring"], f"{PREFIX}{secret.upper()}_KEYRING")
    for name, cls in _TABLES.items():
        if name not in given and (values := dict(_numbers(name, cls, variables))):
            found[name] = cls(**values)
    _warn(variables)
    if "proxy" not in found:
        found["proxy"] = proxies_of(variables)
    return make_arguments(found, given)


def make_arguments(found: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the arguments of a client.

    Args:
        found: settings by their names; a path of a secret is a `SecretFile`, and what comes from a keyring was read.
        given: arguments that are given, which come first.

    Raises:
        ConfigurationError: a setting is missing or wrong; the message names its variable.
    """
    for name in SECRETS:
        ways = [way for way in (name, f"{name}_file", f"{name}_keyring") if way in found]
        if len(ways) > 1:
            raise ConfigurationError(f"{PREFIX}{ways[0].upper()} and {PREFIX}{ways[1].upper()} are both set: keep one of them")
    arguments = {name: found[name] for name in (*_SAME, *_TABLES) if name in found}
    if "proxy" in found:
        arguments["proxy"] = None if found["proxy"] == "none" else found["proxy"]
    if (password := secret_of(found, "client_key_password")) is not None:
        arguments["client_key_password"] = password
    _check_missing(found, given)
    if "auth" not in given:
        arguments["auth"] = auth_of(found)
    arguments.update(given)
    number = arguments.pop("client_no", found.get("client_no"))
    if isinstance(number, str):
        if not number.isdecimal():
            raise ConfigurationError(f"{PREFIX}CLIENT_NO must be an integer")
        number = int(number)
    return {"client_no": number, **arguments}


def auth_of(found: Mapping[str, Any]) -> Auth:
    """Returns the token, or where tokens come from; `found` holds what is needed, as in `make_arguments`."""
    if "token_file" in found:
        return TokenFile.of(found["token_file"])
    token = found.get("token") or found.get("token_keyring")
    if token is not None:
        return str(token)
    secret = found.get("client_secret") or found.get("client_secret_keyring")
    return ClientCredentials(
        client_id=found["client_id"],
        client_secret=secret,
        client_secret_file=found["client_secret_file"] if secret is None else None,
        identity_url=found["identity_url"],
    )


def secret_of(found: Mapping[str, Any], name: str) -> str | None:
    """Returns a secret, wherever it is; `found` is as in `make_arguments`."""
    file = found.get(f"{name}_file")
    return file.read() if file is not None else found.get(name) or found.get(f"{name}_keyring")


def _has(found: Mapping[str, Any], name: str) -> bool:
    return name in found or (name in SECRETS and (f"{name}_file" in found or f"{name}_keyring" in found))


def _check_missing(found: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    wanted = ["client_no", "base_url"]
    if "auth" not in given and not _has(found, "token"):
        wanted += ["client_id", "client_secret", "identity_url"]
    missing = [f"{PREFIX}{name.upper()}" for name in wanted if not _has(found, name) and name not in given]
    if not missing:
        return
    credentials = {f"{PREFIX}CLIENT_ID", f"{PREFIX}CLIENT_SECRET", f"{PREFIX}IDENTITY_URL"}
    or_token = "" if credentials.isdisjoint(missing) else f" (or {PREFIX}TOKEN in place of client id, secret and identity url)"
    raise ConfigurationError(f"set {', '.join(missing)}{or_token}")


def _numbers(table: str, cls: type[Any], variables: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    """Yields the settings of a table of numbers."""
    for one in fields(cls):
        where = f"{PREFIX}{table.upper()}_{one.name.upper()}"
        text = variables.get(where, "").strip()
        if not text:
            continue
        value = _number(text, str(one.type), where)
        try:
            cls(**{one.name: value})
        except ConfigurationError as exc:
            raise ConfigurationError(f"{where} {str(exc).partition(' ')[2]}") from None
        yield one.name, value


def _number(text: str, kind: str, where: str) -> Any:
    if "Default" in kind and text in {"none", "default"}:
        return None if text == "none" else DEFAULT
    make: Callable[[str], Any] = int if kind == "int" else float
    try:
        return make(text)
    except ValueError:
        words = ", 'none' or 'default'" if "Default" in kind else ""
        raise ConfigurationError(f"{where} must be {'an integer' if kind == 'int' else 'a number'}{words}") from None


def _names() -> list[str]:
    secrets = [f"{name}{way}" for name in SECRETS for way in ("", "_file", "_keyring")]
    numbers = [f"{table}_{one.name}" for table, cls in _TABLES.items() for one in fields(cls)]
    return [PREFIX + name.upper() for name in (*_TEXTS, *_PATHS, *secrets, *numbers)]


def _warn(variables: Mapping[str, str]) -> None:
    """Warns of variables that look like a known one that is misspelt. Others may be the host's own."""
    known = _names()
    for name in variables:
        if name.startswith(PREFIX) and name not in known and not name.removeprefix(PREFIX).startswith(_OTHER_TABLES):
            near = nearest(name, known)
            if near is not None:
                warnings.warn(f"{name} in the environment is not a setting: did you mean {near}?", stacklevel=4)
    for name in SECRETS:
        path = variables.get(f"{PREFIX}{name.upper()}_FILE", "").strip()
        where = f"{PREFIX}{name.upper()}_FILE"
        if path and (warning := SecretFile(expanded(path, variables, where), where).warning()) is not None:
            warnings.warn(warning, stacklevel=4)


def nearest(name: str, known: Iterable[str], cutoff: float = 0.7) -> str | None:
    """Returns the known name that is nearest to a misspelt one: of those that are similar, the one that begins like it.

    Args:
        name: the misspelt name.
        known: the known names.
        cutoff: how similar it is at the least, from 0 to 1.
    """
    import difflib  # noqa: PLC0415 - only where a name is misspelt

    names = {one.removeprefix(PREFIX): one for one in known}
    short = name.removeprefix(PREFIX)
    # The most similar is the first, and `max` gives the first of equals.
    near = difflib.get_close_matches(short, names, 5, cutoff)
    return names[max(near, key=lambda one: _same_begin(one, short))] if near else None


def _same_begin(one: str, other: str) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
