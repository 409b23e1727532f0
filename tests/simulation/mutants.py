"""Faults that the product once had, or might have: each a patch that takes a mend out. The simulation must find them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

from amili_arm_async import connections

__all__ = ["MUTANTS", "mutated"]

Patches = list[tuple[Any, str, Any]]
MUTANTS: dict[str, Callable[[], Patches]] = {}
"""By name, what returns the patches: the owner, the name and the value."""


def mutant(make: Callable[[], Patches]) -> Callable[[], Patches]:
    """Registers a function that returns patches; its docstring says what is wrong with them."""
    MUTANTS[make.__name__] = make
    return make


@contextlib.contextmanager
def mutated(name: str) -> Iterator[None]:
    """Within it the product has the fault of that name."""
    with contextlib.ExitStack() as stack:
        for owner, attribute, value in MUTANTS[name]():
            stack.enter_context(mock.patch.object(owner, attribute, value))
        yield


# --- connections ------------------------------------------------------------------------------------------------------------


@mutant
def early_answer_keeps_its_connection() -> Patches:
    """A connection whose answer came before its request had left is used again."""

    def feed_data(self: Any, data: Any, size: int = 0) -> None:
        message, payload = data
        if self.exchange is not None and message.code >= 200:
            if self.exchange.answered:
                self.force_close()
            else:
                self._answer = payload
                self.exchange.answer_comes(self.transport)
        super(connections._Watched, self).feed_data(data, size)

    return [(connections._Watched, "feed_data", feed_data)]


@mutant
def a_cancelled_close_leaves_sessions() -> Patches:
    """A client that is cancelled while it closes leaves the other connections open."""

    async def close(self: Any) -> None:
        sessions, self._own = self._own, {}
        for session in sessions.values():
            await session.close()

    return [(connections.Connections, "close", close)]
