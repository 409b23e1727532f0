"""The ARM API on this machine: a server to write and test against without an account.

It answers every operation, processes batches some time after it accepted them, counts how often each record was delivered and
accepted, and fails on demand. Where the public pages of the API say nothing, it makes assumptions.

The names are loaded when they are asked for: pytest imports this package in every project where it is
installed, to find the plugin, and only a test that uses a sandbox should pay for a web server.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .app import SeenRequest
    from .faults import Fault, Injection
    from .received import ReceivedView
    from .server import Sandbox
    from .views import RecordsView, TakenRecord

__all__ = ["Fault", "Injection", "ReceivedView", "RecordsView", "Sandbox", "SeenRequest", "TakenRecord"]

_HOMES = {
    "Fault": "faults",
    "Injection": "faults",
    "ReceivedView": "received",
    "RecordsView": "views",
    "Sandbox": "server",
    "SeenRequest": "app",
    "TakenRecord": "views",
}


def __getattr__(name: str) -> Any:
    """Loads a public name from its module, once."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Returns the public names, loaded or not."""
    return sorted({*globals(), *__all__})
