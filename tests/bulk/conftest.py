"""The sandbox and a client of it."""

from ..support.sandbox_fixtures import arm, sandbox

__all__ = ["arm", "sandbox"]
