"""Secrets in files of their own, as systemd, Docker and Kubernetes provide them, and in a keyring."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from .errors import ConfigurationError

__all__ = ["SecretFile", "expanded", "from_keyring", "printable"]

_LARGEST: Final = 64_000
_VARIABLE: Final = re.compile(r"\$(\w+|\{[^}]*\})")
_INSTALL_KEYRING: Final = 'pip install "amili-arm-async[keyring]"'


class SecretFile:
    """A file that holds one secret, on one line.

    Args:
        path: of the file.
        where: names the setting in a message.
    """

    def __init__(self, path: str | os.PathLike[str], where: str) -> None:
        if not isinstance(path, (str, os.PathLike)):
            raise ConfigurationError(f"{where} must be the path of a file, not {type(path).__name__}")
        self.path = os.fspath(path)
        self.where = where

    def __repr__(self) -> str:
        return f"<SecretFile: {printable(self.path)}>"

    def read(self) -> str:
        """Returns the secret, without blanks and line breaks around it.

        Raises:
            ConfigurationError: it can't be read, or holds something else. The message contains nothing of it.
        """
        shown = f"{self.where}: {printable(self.path)}"
        try:
            with Path(self.path).open("rb") as file:
                if os.name == "posix" and os.fstat(file.fileno()).st_mode & 0o002 and stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise ConfigurationError(f"{shown} can be written by every user of this machine: chmod 600 {printable(self.path)}")
                text = file.read(_LARGEST + 1)
            secret = text.decode("utf-8-sig").strip()
        except UnicodeDecodeError:
            raise ConfigurationError(f"{shown} is not UTF-8") from None
        except OSError as exc:
            raise ConfigurationError(f"{shown} can't be read: {exc.strerror or type(exc).__name__}") from None
        except ValueError as exc:
            if isinstance(exc, ConfigurationError):
                raise
            raise ConfigurationError(f"{shown} can't be read: no such path") from None
        if not text.strip():
            raise ConfigurationError(f"{shown} is empty: it must hold the secret on one line, and nothing else")
        if not secret or len(text) > _LARGEST or not secret.isprintable():
            raise ConfigurationError(f"{shown} must hold the secret on one line, and nothing else")
        return secret

    def read_again(self) -> str | None:
        """Returns the secret as it is now; None where it can't be read now, or can be read only once, such as a pipe."""
        try:
            return self.read() if Path(self.path).is_file() else None
        except (ConfigurationError, OSError, ValueError):
            return None

    def warning(self) -> str | None:
        """Returns a warning where every user of this machine can read the file, or None.

        The files of containers are made to be read by all who are in there: a read-only mount, what is below /run, and the links of
        Kubernetes are as they should be.
        """
        try:
            mode, real = Path(self.path).stat().st_mode, Path(self.path).resolve()
            is_mount = bool(os.statvfs(self.path).f_flag & os.ST_RDONLY)
        except (OSError, ValueError, AttributeError):
            return None
        is_container = is_mount or real.is_relative_to("/run") or os.path.lexists(real.parent.parent / "..data")
        if not stat.S_ISREG(mode) or not mode & 0o004 or is_container:
            return None
        return f"{self.where}: {printable(self.path)} can be read by every user of this machine: chmod 600 {printable(self.path)}"


def expanded(path: str, variables: Mapping[str, str], where: str) -> str:
    """Expands `~` and variables such as `$CREDENTIALS_DIRECTORY` in a path.

    Args:
        path: the path.
        variables: the environment.
        where: names the place of the path in a message.

    Returns:
        The expanded path.

    Raises:
        ConfigurationError: a variable is not set, or there is no such home.
    """

    def value(found: re.Match[str]) -> str:
        name = found[1].strip("{}")
        if not variables.get(name):
            raise ConfigurationError(f"{where} names ${printable(name)}, and there is no such variable in the environment")
        return variables[name]

    expanded_path = _VARIABLE.sub(value, path)
    try:
        return str(Path(expanded_path).expanduser()) if expanded_path.startswith("~") else expanded_path
    except RuntimeError:
        raise ConfigurationError(f"{where} names {printable(expanded_path)}, and there is no such home") from None


def from_keyring(entry: str, where: str) -> str:
    """Returns a secret from the keyring of this machine.

    Args:
        entry: the service and the user name under which it is kept, with a colon between them.
        where: names the setting in a message.

    Raises:
        ConfigurationError: there is no keyring, or it has no such secret.
    """
    service, colon, user = entry.rpartition(":")
    if not colon or not service or not user:
        raise ConfigurationError(f"{where} must be SERVICE:USER, as in `keyring set SERVICE USER`")
    try:
        import keyring  # noqa: PLC0415 - an extra
        import keyring.errors  # noqa: PLC0415
    except ImportError:
        raise ConfigurationError(f"{where} needs a package: {_INSTALL_KEYRING}") from None
    try:
        found = keyring.get_password(service, user)
    except keyring.errors.NoKeyringError:
        raise ConfigurationError(f"{where}: this machine has no keyring that can be used; give the secret in a file") from None
    except keyring.errors.KeyringError as exc:
        raise ConfigurationError(f"{where}: the keyring can't be read ({type(exc).__name__}): unlock it") from None
    except Exception as exc:  # each kind of keyring has errors of its own; what they say may quote anything
        raise ConfigurationError(f"{where}: the keyring can't be read ({type(exc).__name__}): does `keyring get` work?") from None
    secret = found.strip() if isinstance(found, str) else ""
    if not secret or not secret.isprintable():
        which = f"the service {printable(service)} and the user {printable(user)}"
        raise ConfigurationError(f"{where}: the keyring has no secret for {which}: `keyring set` stores one")
    return secret


def printable(text: str) -> str:
    """Returns a text from outside with control characters replaced, for a message."""
    return "".join(sign if sign.isprintable() else "?" for sign in text[:500])
