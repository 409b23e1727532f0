"""Loads psycopg, says which of its errors pass, and connects."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Generator
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from .. import clock
from ..errors import ConfigurationError, JournalError

if TYPE_CHECKING:
    from ..database.url import DatabaseUrl

__all__ = ["broken", "connect", "first_failure", "is_refused", "load", "passes", "pipeline"]

_DEFAULTS: Final = {
    "connect_timeout": "10",
    # A connection that was cut without a word is noticed within a lease.
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}
"""Parameters of a connection, where its URL does not give others."""

_LONGEST: Final = 45.0
"""Seconds after which a statement without an answer ends the connection."""

_PASSING: Final = ("InterfaceError", "OperationalError")
_PASSING_STATES: Final = frozenset({"25006", "25P03"})
"""States of other classes that pass: a standby that is not promoted yet; a transaction that was idle for too long."""

_REFUSED: Final = re.compile(
    r"authentication failed|no password supplied|no pg_hba\.conf entry|is not permitted to log in"
    r"|(role|user|database) \"[^\"]*\" does not exist|no such database|permission denied for database"
)
"""What a server says that refuses a connection for who asks, or for what. libpq has no state for it."""


def load() -> Any:
    """Returns psycopg.

    Raises:
        ConfigurationError: it is not installed, or can't be used.
    """
    try:
        import psycopg  # noqa: PLC0415
    except ImportError as exc:
        raise ConfigurationError(
            f'PostgreSQL needs a package that can\'t be imported: pip install "amili-arm-async[postgres]" ({exc})'
        ) from exc
    return psycopg


def connect(url: DatabaseUrl, longest: float = _LONGEST, name: str = "amili-arm") -> Any:
    """Connects to a database.

    The connection has no state of its own: neither settings nor prepared statements, so that a pooler may give each transaction another
    one.

    Args:
        url: of the database.
        longest: seconds after which a statement without an answer ends the connection.
        name: what the connection is called in the database, unless the URL gives another name.

    Returns:
        A connection in autocommit mode.

    Raises:
        ConfigurationError: the URL is malformed.
        psycopg.Error: it can't be reached, or refuses.
    """
    psycopg = load()
    try:
        given = psycopg.conninfo.conninfo_to_dict(url.conninfo)
    except psycopg.Error:
        # What it says may quote the password.
        raise ConfigurationError(
            f"{url} is no URL of PostgreSQL: check its parameters, and write special characters of user and password as %XX"
        ) from None
    parameters = {**_DEFAULTS, "application_name": name, **given, "client_encoding": "UTF8"}
    connection = _limited_kind().connect(**parameters, autocommit=True, prepare_threshold=None)
    connection.longest = longest
    return connection


@cache
def _limited_kind() -> Any:
    """Returns a kind of connection that does not wait for good: a server that hangs ends no statement, whatever its time-out is."""
    psycopg = load()

    class LimitedConnection(psycopg.Connection):  # type: ignore[misc, name-defined]
        longest = _LONGEST

        def wait(self, gen: Any, *arguments: Any, **settings: Any) -> Any:
            return super().wait(_limited(gen, self.longest, psycopg.OperationalError), *arguments, **settings)

    return LimitedConnection


def _limited(steps: Generator[Any, Any, Any], longest: float, failure: type[Exception]) -> Generator[Any, Any, Any]:
    """Passes on the steps of what waits for the server, until that takes too long; psycopg wakes it several times a second."""
    begun = clock.monotonic()
    ready = None
    while True:
        try:
            wanted = steps.send(ready)
        except StopIteration as done:
            return done.value
        ready = yield wanted
        if clock.monotonic() - begun > longest:
            steps.close()
            raise failure(f"the server has not answered for {longest:.0f} s")


def pipeline(connection: Any) -> contextlib.AbstractContextManager[Any]:
    """Returns a context in which statements are sent without waiting for answers; with a libpq older than 14, each waits for its own.

    Args:
        connection: of psycopg.
    """
    if load().Pipeline.is_supported():
        return connection.pipeline()  # type: ignore[no-any-return]
    return contextlib.nullcontext()


def first_failure(failure: BaseException) -> BaseException:
    """Returns the failure of a pipeline that all its later ones follow from.

    Args:
        failure: the last one.
    """
    aborted = load().errors.PipelineAborted
    while isinstance(failure, aborted) and failure.__context__ is not None:
        failure = failure.__context__
    return failure


def passes(failure: Exception) -> bool:
    """Returns whether a failure may pass: the database is away, restarts, is full, or chose this transaction to end a deadlock.

    Args:
        failure: what was raised.
    """
    psycopg = load()
    kinds = tuple(getattr(psycopg, name) for name in _PASSING)
    return isinstance(failure, kinds) or (isinstance(failure, psycopg.Error) and getattr(failure, "sqlstate", None) in _PASSING_STATES)


def is_refused(failure: Exception) -> bool:
    """Returns whether a server refused a connection for its credentials, or for the database: waiting does not help then.

    Where the server speaks another language than English this is not known, and it counts as a failure that may pass.

    Args:
        failure: what was raised.
    """
    return getattr(failure, "sqlstate", None) is None and _REFUSED.search(str(failure)) is not None


def broken(url: DatabaseUrl, failure: Exception, word: str, hint: str = "") -> JournalError:
    """Returns the error for a failure of a database.

    Args:
        url: of the database.
        failure: what was raised.
        word: what is kept there.
        hint: what follows; a sentence.

    Returns:
        The error, to be raised from `failure`.
    """
    text = " ".join(str(failure).split()) or type(failure).__name__
    return JournalError(f"the {word} {url} can't be used: {text}" + (f". {hint}" if hint else ""))
