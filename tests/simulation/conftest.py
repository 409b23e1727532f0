"""What all tests of the simulation share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .graveyard import collect


@pytest.fixture(autouse=True)
def collect_leftovers() -> Iterator[None]:
    """What a story leaves of its killed processes, such as open sessions, is thrown away before the next test could be blamed for it."""
    yield
    collect()
