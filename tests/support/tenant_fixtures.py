"""One server for all tests of a process, which shares no code with the library; each test has a client number of its own on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ..proof.control import Tenant, TenantServer, serving

__all__ = ["tenant", "tenant_server"]


@pytest.fixture(scope="session")
def tenant_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TenantServer]:
    """The server, in a process of its own."""
    with serving(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
def tenant(tenant_server: TenantServer) -> Tenant:
    """A client number that nobody has used."""
    return tenant_server.tenant()
