"""docs/check.md tells all codes with their severities, and no others."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from amili_arm_async.values.findings import SEVERITIES

pytestmark = pytest.mark.quick

PAGE = Path(__file__).parents[2] / "docs" / "check.md"


def test_the_page_has_every_code():
    told = re.findall(r"^\| `(\w+)` \| (error|warning) \| .+ \| .+ \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    assert len(told) == len(set(told))
    assert dict(told) == dict(SEVERITIES)
