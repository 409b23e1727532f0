"""A pytest fixture: `arm_sandbox`, a started `Sandbox` for one test.

The installed package registers it automatically (the `pytest11` entry point); without that, say in
`conftest.py`::

    pytest_plugins = ["amili_arm_async.sandbox.pytest_plugin"]

The sandbox serves from a thread of its own, so that any test can use it, with a loop or without::

    def test_lookup(arm_sandbox):
        arm_sandbox.customers.seed([{"customerNo": "543210", "name": "Owe Armstrong"}])
        ...

One server serves all tests of a session, at one address; after each test everything in it is forgotten. Loading the plugin imports
neither the server nor aiohttp, for pytest loads it in every project where the package is installed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .server import Sandbox


@pytest.fixture(scope="session")
def _arm_sandbox_of_session() -> Iterator[Sandbox]:
    from .server import Sandbox  # noqa: PLC0415 - only a test that uses the fixture pays for the server

    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def arm_sandbox_options() -> dict[str, Any]:
    """The arguments of `Sandbox` for `arm_sandbox`; override it in a module or in `conftest.py`."""
    return {}


@pytest.fixture
def arm_sandbox(request: pytest.FixtureRequest, arm_sandbox_options: dict[str, Any]) -> Iterator[Sandbox]:
    """A started sandbox, empty, that serves from a thread of its own."""
    from .server import Sandbox  # noqa: PLC0415 - only a test that uses the fixture pays for the server

    if arm_sandbox_options:
        with Sandbox(**arm_sandbox_options) as sandbox:
            yield sandbox
        return
    shared: Sandbox = request.getfixturevalue("_arm_sandbox_of_session")
    yield shared
    shared._reset_from_outside()  # noqa: SLF001 - one feature
