"""The sandbox and the client of the bulk tests."""

from ..bulk.conftest import arm, sandbox

__all__ = ["arm", "sandbox"]
