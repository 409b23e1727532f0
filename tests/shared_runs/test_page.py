"""What docs/shared_runs.md shows works: its Python and its SQL."""

from __future__ import annotations

import ast
import re
from typing import Any

import pytest

from amili_arm_async import ArmClient, part_of
from amili_arm_async.sandbox import Sandbox

from ..docs.pages import ROOT, snippets
from ..support.postgres import Server

PAGE = ROOT / "docs/shared_runs.md"
URL = "postgresql://sender@db.example/billing"


async def test_the_python_of_the_page(arm: ArmClient, sandbox: Sandbox, database: str, capsys: pytest.CaptureFixture[str]) -> None:
    documents = [{"documentNo": f"D{number}", "documentType": "IN", "customerNo": "1"} for number in range(300)]
    names: dict[str, Any] = {"arm": arm, "documents": documents}
    for snippet in snippets(PAGE, "python"):
        assert URL in snippet.text
        code = compile(snippet.padded().replace(URL, database), PAGE.name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        await eval(code, names)
    mine = sum(part_of(document["documentNo"], 64) == 7 for document in documents)
    assert f"{mine} succeeded; 1 of 64 parts are done; not done: 0, 1, 2" in capsys.readouterr().out
    assert sandbox.documents.total_taken == mine > 0


def test_a_database_computes_the_part(postgres: Server) -> None:
    (text,) = re.findall(r"```sql\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    computed = text[text.index("WHERE") + 5 : text.index("= 7")]
    numbers = [f"F-2026/{number:04}" for number in range(200)]
    rows = postgres.execute(f"SELECT number, {computed} FROM unnest(ARRAY{numbers}) AS number")
    assert dict(rows) == {number: part_of(number, 64) for number in numbers}
