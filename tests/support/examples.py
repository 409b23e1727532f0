"""How many examples a property is tried with: fewer in the suite than in the proofs."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings

__all__ = ["HAS_ALL", "many"]

HAS_ALL = os.environ.get("AMILI_ARM_TEST_EXAMPLES") == "all"
"""Whether properties have all their examples."""


def many(examples: int, in_suite: int = 100, **more: Any) -> Callable[[Any], Any]:
    """Decorates a test that has this many examples in the proofs, where `AMILI_ARM_TEST_EXAMPLES` is `all`, and fewer in the suite."""
    decide = settings(max_examples=examples if HAS_ALL else in_suite, **more)
    return lambda test: pytest.mark.many_examples(decide(test))
