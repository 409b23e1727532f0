"""The PostgreSQL that stories of shared runs use."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from ..support.postgres import Server, running

__all__ = ["current", "served", "with_database"]

_SERVERS: list[Server] = []


def current() -> Server:
    """The server of the stories that are told now."""
    if not _SERVERS:
        raise RuntimeError("stories of this kind need a PostgreSQL: tell them within `served`")
    return _SERVERS[-1]


@contextlib.contextmanager
def served(server: Server) -> Iterator[None]:
    """Within it, stories use this server, each process of the program with a database of its own."""
    _SERVERS.append(server)
    try:
        yield
    finally:
        _SERVERS.pop()


@contextlib.contextmanager
def with_database() -> Iterator[bool]:
    """Within it there is a server for stories; yields False where PostgreSQL or psycopg is not installed."""
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(running())
        except pytest.skip.Exception:
            yield False
            return
        stack.enter_context(served(server))
        yield True
