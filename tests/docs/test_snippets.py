"""Every Python block of README.md and of the pages runs against a sandbox, in the order of its page; every command is one that there is."""

from __future__ import annotations

import ast
import asyncio
import inspect
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from amili_arm_async.cli.app import app

from .pages import PAGES, ROOT, Snippet, commands, has, lines, snippets
from .stage import stage, variables, write_files

RUN = {"quickstart.md": {0}, "nightly.md": {0, 1}}
"""The pages whose commands are run, one after the other, and the exit codes that they may have; those of other pages are parsed."""

named = pytest.mark.parametrize(
    "page",
    [page for page in PAGES if has(page, "python") and page.name not in {"testing.md", "shared_runs.md", "spark.md"}],
    ids=lambda page: page.name,
)


@named
@pytest.mark.usefixtures("prompt_results")
async def test_the_python_of_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_files(tmp_path)
    async with stage() as names:
        for name, value in variables(names["sandbox"]).items():
            monkeypatch.setenv(name, value)
        for snippet in snippets(page, "python"):
            if "\ndef test_" in snippet.text or "\nasync def test_" in snippet.text:
                await asyncio.to_thread(_run_as_tests, snippet, tmp_path)
            else:
                await _run(snippet, names)


async def _run(snippet: Snippet, names: dict[str, Any]) -> None:
    code = compile(snippet.padded(), snippet.page.name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    if code.co_flags & inspect.CO_COROUTINE:
        await eval(code, names)
    else:
        # In a thread without a loop, where a program may begin its own.
        await asyncio.to_thread(exec, code, names)


def _run_as_tests(snippet: Snippet, folder: Path) -> None:
    file = folder / "test_snippet.py"
    file.write_text(snippet.padded(), "utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "asyncio_mode=auto", str(file)]
    ran = subprocess.run(command, cwd=folder, env=_environment(), capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, f"{snippet.page.name}, line {snippet.line}:\n{ran.stdout}{ran.stderr}"


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120"}


@pytest.mark.parametrize("page", [page for page in PAGES if has(page, "sh")], ids=lambda page: page.name)
def test_the_commands_of_a_page_are_known(page):
    for words in commands(page):
        _parse(words)


def _parse(words: list[str]) -> None:
    """Parses a call as the command line does, without calling anything: an unknown command or option raises."""
    command: Any = typer.main.get_command(app)
    context = command.make_context("amili-arm", list(words))
    while hasattr(command, "commands"):
        rest = [*context._protected_args, *context.args]
        name, command, rest = command.resolve_command(context, rest)
        context = command.make_context(name, rest, parent=context)


@pytest.mark.proof
@pytest.mark.parametrize("name", RUN)
async def test_the_commands_of_a_page_run(name, tmp_path):
    write_files(tmp_path)
    shell = f'amili-arm() {{ {shlex.quote(sys.executable)} -m amili_arm_async.cli "$@"; }}\n'
    async with stage() as names:
        if 1 in RUN[name]:
            names["sandbox"].reject_record("543212", "no such district")
        environment = _environment() | variables(names["sandbox"])
        for line in lines(ROOT / "docs" / name):
            if line.startswith("amili-arm"):
                ran = await asyncio.to_thread(
                    subprocess.run,
                    ["bash", "-c", shell + line],
                    cwd=tmp_path,
                    env=environment,
                    capture_output=True,
                    text=True,
                    timeout=60,
                    check=False,
                )
                assert ran.returncode in RUN[name], f"{name}: {line}\n{ran.stdout}{ran.stderr}"
