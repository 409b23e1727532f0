"""The files of the page on tests of one's own, copied from it as a user would, run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from .pages import ROOT

TEXT = (ROOT / "docs" / "testing.md").read_text("utf-8")
FILES = {
    found[2]: textwrap.dedent(found[0]).partition("\n")[2].rsplit("```", 1)[0]
    for found in re.finditer(r"^( *)```python\n *# (\w+\.py)\n.*?^ *```$", TEXT, re.MULTILINE | re.DOTALL)
}


def run(folder: Path, *names: str) -> str:
    for name in names:
        (folder / name).write_text(FILES[name], "utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "amili_arm_async.sandbox.pytest_plugin"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=90, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_every_file_of_the_page_is_run_here() -> None:
    assert set(FILES) == {
        "app.py",
        "conftest.py",
        "test_app.py",
        "views.py",
        "test_views.py",
        "test_job.py",
        "test_script.py",
        "test_options.py",
    }


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("names", "passed"),
    [
        (("app.py", "conftest.py", "test_app.py"), 9),
        (("views.py", "test_views.py", "test_job.py", "test_script.py", "test_options.py"), 8),
    ],
    ids=["FastAPI", "the others"],
)
def test_the_files_of_the_page(tmp_path: Path, names: tuple[str, ...], passed: int) -> None:
    assert f"{passed} passed" in run(tmp_path, *names)
