"""docs/sources.md tells every fault of a value that a source refuses or warns of, as the rules have it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import amili_arm_async
from amili_arm_async.values.findings import SEVERITIES

pytestmark = pytest.mark.quick

PAGE = Path(__file__).parents[2] / "docs" / "sources.md"
ROOMS = [Path(amili_arm_async.__file__).parent / room for room in ("values", "sources")]
IN_CHECK_ONLY = {
    *("amounts", "country", "currency", "due_before_date", "duplicate", "email", "kid", "kid_check_digit", "language", "lines"),
    *("missing", "no_document_no", "odd_key", "organization_no", "source_error", "too_large", "unknown_customer", "unknown_field"),
    *("duplicate_field", "misnamed_field", "not_json", "not_object", "not_utf8", "wrong_type"),
}
"""Codes of docs/check.md alone: of relations between fields, of codes and check digits, of JSON."""


def told() -> dict[str, str]:
    found = re.findall(r"^\| (`.+?) \| (refused|warned of) \| .+ \| .+ \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    rows = [(code, meaning) for codes, meaning in found for code in re.findall(r"`(\w+)`", codes)]
    assert len(rows) == len({code for code, _ in rows})
    return dict(rows)


def test_the_page_has_every_code_with_what_it_means():
    severities = {"error": "refused", "warning": "warned of"}
    assert told() == {code: severities[severity] for code, severity in SEVERITIES.items() if code not in IN_CHECK_ONLY}


def test_every_code_that_the_rules_use_is_in_the_table_of_codes():
    used = set()
    for room in ROOMS:
        for path in room.glob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Call) and ast.unparse(node.func) in {"refused", "CellFault"} and node.args:
                    first = node.args[0]
                    if isinstance(first, ast.Constant) and isinstance(first.value, str):
                        used.add(first.value)
    assert len(used) > 10
    assert used <= set(SEVERITIES)
