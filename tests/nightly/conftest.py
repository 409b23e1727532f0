"""The sandbox and the client of the bulk tests."""

from ..support.sandbox_fixtures import arm, sandbox

__all__ = ["arm", "sandbox"]
