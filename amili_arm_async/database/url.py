"""Pure: the address of a database, which shows its password to nobody but the driver."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from ..errors import ConfigurationError

if TYPE_CHECKING:
    import os

__all__ = ["DatabaseUrl", "database_url", "is_database", "shown"]

_SCHEMES: Final = ("postgresql://", "postgres://")
_ELSEWHERE: Final = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_ODD: Final = re.compile(r"\s*(?:jdbc:|postgres(?:ql)?:)|.*\bpassword\s*=", re.IGNORECASE)
_HOSTS: Final = re.compile(r"(?:(?:\[[^\]]*\]|[^:,\[\]]*)(?::\d*)?(?:,|$))*")
_IN_PATH: Final = re.compile(r"[;&,\s]\w*password\b.*", re.IGNORECASE)
_SECRET: Final = frozenset({"password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key"})


class DatabaseUrl(str):
    """The URL of a PostgreSQL database, without its passwords: so no message, log line or report can show them.

    Attributes:
        conninfo: the URL with its passwords, for the driver alone.
        name: what follows a `#`, which names a state among those in the database; empty where there is none.
    """

    __slots__ = ("conninfo", "name")

    conninfo: str
    name: str

    def __new__(cls, url: str) -> DatabaseUrl:
        """Makes one of a URL as a user gives it."""
        whole, mark, name = url.rpartition("#")
        if not mark or "@" in name or "/" in name:
            whole, mark, name = url, "", ""
        made = super().__new__(cls, _without_passwords(whole) + mark + name)
        made.conninfo, made.name = whole, name
        return made

    def __getnewargs__(self) -> tuple[str]:
        """Copies are made of the whole URL."""
        return (f"{self.conninfo}#{self.name}" if self.name else self.conninfo,)


def shown(place: str) -> str:
    """Returns a place as it may be shown: the URL of a database without its passwords.

    Args:
        place: the URL of a database, or anything else.
    """
    return str.__str__(DatabaseUrl(place)) if is_database(place) else place


def is_database(place: str) -> bool:
    """Returns whether a place is the URL of a database; any other URL, or a path, may be that of a source.

    Args:
        place: a URL or a path.
    """
    return place.lower().startswith(_SCHEMES)


def database_url(place: str | os.PathLike[str] | None) -> DatabaseUrl | None:
    """Returns the address of a database; None where a place is the path of a file.

    Args:
        place: the URL of a database, or a path.

    Raises:
        ConfigurationError: it is the URL of something that is no PostgreSQL.
    """
    if isinstance(place, DatabaseUrl) or place is None:
        return place
    if not isinstance(place, str):
        if str(place).lower().startswith(tuple(scheme[:-1] for scheme in _SCHEMES)):
            raise ConfigurationError("the URL of a database must be a str: a Path drops one of its slashes")
        return None
    if is_database(place):
        return DatabaseUrl(place)
    if (scheme := _ELSEWHERE.match(place)) is not None:
        raise ConfigurationError(
            f"a journal or state can't be kept at a URL that begins with {scheme[0]}: give the path of a file, or a URL of PostgreSQL, "
            "postgresql://host/database"
        )
    if _ODD.match(place) is not None:
        # It may hold a password, so it is not in the message.
        raise ConfigurationError("a journal or state is the path of a file, or a URL of PostgreSQL: postgresql://host/database")
    return None


def _without_passwords(url: str) -> str:
    """Returns a URL without the passwords in it, also where it is malformed."""
    scheme, _, rest = url.partition("://")
    before, _, query = rest.partition("?")
    is_user_known = "@" in before or _HOSTS.fullmatch(before.partition("/")[0]) is not None
    if "@" in query and not (is_user_known and "=" in query.partition("@")[0]):
        # A password with a question mark that should have been written as %3F.
        user, _, rest = rest.rpartition("@")
        rest = f"{user.partition(':')[0]}@{rest}"
    rest, mark, query = rest.partition("?")
    if "@" in rest:
        # The last one: a password may hold others, and slashes, that should have been written as %40 and %2F.
        user, _, rest = rest.rpartition("@")
        user = f"{user.partition(':')[0]}@"
    else:
        user = ""
    hosts, slash, path = rest.partition("/")
    if _HOSTS.fullmatch(hosts) is None:
        hosts = f"{hosts.partition(':')[0]}:***"
    path = _IN_PATH.sub("", path)
    shown = [part for part in query.split("&") if part and unquote(part.partition("=")[0]).strip().lower() not in _SECRET]
    return f"{scheme.lower()}://{user}{hosts}{slash}{path}" + (f"?{'&'.join(shown)}" if mark and shown else "")
