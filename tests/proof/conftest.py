"""One process that forks for all proofs, beside the server."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ..support.tenant_fixtures import tenant, tenant_server
from .control import TenantServer
from .crash import OPTIONS, Trial
from .fork_server import ForkServer, fork_server
from .sources import Source

__all__ = ["tenant", "tenant_server"]


@pytest.fixture(scope="session")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkServer]:
    """What starts the children."""
    with fork_server(tmp_path_factory.mktemp("children")) as made:
        yield made


@pytest.fixture
def make_trial(tenant_server: TenantServer, forks: ForkServer, tmp_path: Path) -> Callable[..., Trial]:
    """Makes a run of so many records that can be killed and started again; `more` as in `Trial`."""

    numbers = itertools.count()

    def make(kind: str, count: int, *, seed: int = 1, numbered: float = 0.6, options: dict[str, Any] | None = None, **more: Any) -> Trial:
        source = Source(kind, seed, count, numbered)
        # The first of a test has a name to rely on; side by side each has its own.
        number = next(numbers)
        settings = {"journal": tmp_path / f"{kind}{number or ''}.sqlite", "operation": f"{kind}.create_many", **more}
        return Trial(tenant_server.tenant(), forks, source, options={**OPTIONS, **(options or {})}, **settings)

    return make
