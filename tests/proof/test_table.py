"""docs/faults.md says what the tests hold."""

from __future__ import annotations

from .control import ROOT
from .table import table

FAULTS_PAGE = ROOT / "docs" / "faults.md"


def test_the_page_holds_the_table_that_the_tests_hold() -> None:
    lines = [line for line in FAULTS_PAGE.read_text("utf-8").splitlines() if line.startswith("|")]
    made = list(table())
    assert lines[: len(made)] == made, "print it with: python -m tests.proof.table"
