"""Certificates from files: which authorities are trusted, and the certificate that this client shows."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import TypeAlias

from .errors import ConfigurationError

__all__ = ["FilePath", "tls_context"]

FilePath: TypeAlias = str | os.PathLike[str]


def tls_context(
    *,
    ca_file: FilePath | None = None,
    client_cert: FilePath | None = None,
    client_key: FilePath | None = None,
    client_key_password: str | None = None,
) -> ssl.SSLContext | None:
    """Returns what TLS uses, or None where nothing is given.

    Args:
        ca_file: the authorities that are trusted, in PEM, in place of those of the system: a file, or a directory that OpenSSL has hashed.
        client_cert: the client certificate with its chain, in PEM.
        client_key: its private key, in PEM; None: it is in the same file.
        client_key_password: password of the key.

    Raises:
        ConfigurationError: a file can't be read, or is not what it should be.
    """
    if client_cert is None and (client_key is not None or client_key_password is not None):
        raise ConfigurationError("client_key and client_key_password belong to client_cert: give that too")
    if ca_file is None and client_cert is None:
        return None
    context = _trusting(ca_file)
    if client_cert is not None:
        _load(context, client_cert, client_key, client_key_password)
    return context


def _trusting(ca_file: FilePath | None) -> ssl.SSLContext:
    if ca_file is None:
        return ssl.create_default_context()
    if Path(ca_file).is_dir():
        return ssl.create_default_context(capath=os.fspath(ca_file))
    _read("ca_file", ca_file)
    try:
        return ssl.create_default_context(cafile=os.fspath(ca_file))
    except ssl.SSLError:
        raise ConfigurationError(f"ca_file {_shown(ca_file)} holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)") from None


def _load(context: ssl.SSLContext, cert: FilePath, key: FilePath | None, password: str | None) -> None:
    """Loads the client certificate. A key that is encrypted never asks for its password on the terminal."""
    asked = False

    def give() -> str:
        nonlocal asked
        asked = True
        return password or ""

    _read("client_cert", cert)
    name, place = ("client_key", key) if key is not None else ("client_cert", cert)
    if b"PRIVATE KEY" not in _read(name, place):
        more = "" if key is not None else ": give the key as client_key"
        raise ConfigurationError(f"{name} {_shown(place)} holds no private key in PEM form{more}")
    try:
        context.load_cert_chain(os.fspath(cert), os.fspath(place), give)
    except (ssl.SSLError, ValueError) as exc:
        if asked:
            what = (
                "is encrypted: give its password as client_key_password" if password is None else "can't be opened with client_key_password"
            )
            raise ConfigurationError(f"{name} {_shown(place)} {what}") from None
        if getattr(exc, "reason", None) == "KEY_VALUES_MISMATCH":
            raise ConfigurationError(f"{name} {_shown(place)} is not the private key of client_cert {_shown(cert)}") from None
        raise ConfigurationError(f"client_cert {_shown(cert)} holds no certificate in PEM form that can be used with its key") from None


def _read(name: str, path: FilePath) -> bytes:
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as exc:
        raise ConfigurationError(f"{name} {_shown(path)} can't be read: {getattr(exc, 'strerror', None) or 'no such path'}") from None


def _shown(path: FilePath) -> str:
    return "".join(sign if sign.isprintable() else "?" for sign in os.fsdecode(path))
