"""A user's program passes mypy --strict and pyright, and what is wrong in it does not."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PROGRAM = HERE / "typed_program.py"
ROOT = HERE.parent.parent


@pytest.fixture(scope="module")
def checkers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, subprocess.Popen[str]]]:
    """Both begin at once: neither is quick."""
    project = tmp_path_factory.mktemp("pyright")
    shutil.copy(PROGRAM, project)
    (project / "pyrightconfig.json").write_text(
        json.dumps(
            {
                "include": [PROGRAM.name],
                "extraPaths": [str(ROOT)],
                "typeCheckingMode": "strict",
                "enableTypeIgnoreComments": False,
                "reportUnnecessaryTypeIgnoreComment": "error",
                "pythonVersion": "3.11",
            }
        )
    )
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    environment = {**os.environ, "MYPYPATH": str(ROOT), "PYTHONPATH": path, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    commands = {
        "mypy": ["-m", "mypy", "--config-file=", "--strict", "--warn-unreachable", "--no-incremental", str(PROGRAM)],
        "pyright": ["-m", "pyright", "--pythonpath", sys.executable, "--outputjson", "--project", str(project)],
    }
    started = {
        name: subprocess.Popen(
            [sys.executable, *command], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for name, command in commands.items()
    }
    yield started
    for process in started.values():
        process.kill()
        process.communicate()


@pytest.mark.proof
def test_mypy_strict_takes_a_users_program(checkers) -> None:
    out, err = checkers["mypy"].communicate(timeout=300)
    if "No module named mypy" in err:
        pytest.skip("mypy is not installed")
    assert (checkers["mypy"].returncode, out + err) == (0, "Success: no issues found in 1 source file\n")


@pytest.mark.proof
def test_pyright_strict_takes_a_users_program(checkers) -> None:
    out, err = checkers["pyright"].communicate(timeout=300)
    if not out.lstrip().startswith("{"):
        pytest.skip(f"pyright does not start here: {(err or out).strip()[-200:]}")
    report = json.loads(out)
    assert report["summary"]["filesAnalyzed"] >= 1
    assert [f"{one['range']['start']['line'] + 1}: {one['message']}" for one in report["generalDiagnostics"]] == []
