"""What docs/shared_runs.md shows works: its Python, its SQL, and the manifest for Kubernetes."""

from __future__ import annotations

import ast
import re
import shlex
from typing import Any

import pytest
import typer
import yaml

from amili_arm_async import ArmClient, part_of
from amili_arm_async.cli.app import app
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


def test_the_manifest() -> None:
    job = yaml.safe_load((ROOT / "examples/kubernetes/shared_run.yaml").read_text("utf-8"))
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert (job["apiVersion"], job["kind"], spec["completionMode"]) == ("batch/v1", "Job", "Indexed")
    # With backoffLimitPerIndex, and with a podFailurePolicy, Kubernetes takes no other.
    assert pod["restartPolicy"] == "Never"
    assert {rule["action"] for rule in spec["podFailurePolicy"]["rules"]} == {"FailJob", "FailIndex", "Ignore"}
    assert all(rule.get("onExitCodes", {}).get("containerName", "part") == container["name"] for rule in spec["podFailurePolicy"]["rules"])
    variables = {one["name"]: one.get("value") for one in container["env"]}
    text = container["args"][0].replace('"$(cat /export/run-id)"', "2026-11-20").replace('"$JOB_COMPLETION_INDEX"', "7")
    words = shlex.split(text.replace('"$JOURNAL"', variables["JOURNAL"]))
    assert words[:2] == ["exec", "amili-arm"]
    assert int(words[words.index("--parts") + 1]) == spec["completions"] >= spec["parallelism"]
    command: Any = typer.main.get_command(app)
    command.commands["push"].make_context("push", words[3:], parent=command.make_context("amili-arm", words[2:3]))
    assert {volume["name"] for volume in pod["volumes"]} == {mount["name"] for mount in container["volumeMounts"]}
    rows = dict(re.findall(r"^  (\w+): (\w+)$", PAGE.read_text("utf-8"), re.MULTILINE))
    assert rows == {name: str(spec[name]) for name in ("completionMode", "completions", "parallelism")}
