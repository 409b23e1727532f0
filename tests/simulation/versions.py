"""Which stories are told the same by which version of Python."""

from __future__ import annotations

import sys

import pytest

__all__ = ["same_turns"]

same_turns = pytest.mark.skipif(
    sys.version_info[:2] != (3, 11), reason="a story counts turns of the loop, which are others in another version of Python"
)
"""Of a test that needs the very story that once failed."""
