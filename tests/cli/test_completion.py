"""Completion in a shell: commands, choices and options; where there is nothing to choose from, the shell completes files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import COMMAND

BASH = shutil.which("bash")


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The command under its name, on the PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "amili-arm"
    script.write_text(f'#!/bin/sh\nexec {" ".join(COMMAND)} "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path))
    return str(script)


def run(*words: str, **env: str) -> str:
    done = subprocess.run(
        words, env={**os.environ, **env}, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr == ""
    return done.stdout


@pytest.mark.proof
@pytest.mark.skipif(BASH is None or sys.platform == "win32", reason="there is no bash")
def test_bash_completes_with_the_script_that_is_installed(command, tmp_path):
    run("bash", "-c", "amili-arm --install-completion; true")
    words = {
        "pu": ["push", "pull"],
        "push cust": ["customers"],
        "push customers file --format ": ["auto", "jsonl", "csv", "parquet"],
        "push customers file --run-i": ["--run-id"],
        "pull ": ["customers"],
        "columns li": ["lines"],
        "push customers fi": [],
        "push customers file --journal fi": [],
    }
    script = f"source {tmp_path / '.bashrc'}; complete -p amili-arm\n"
    for line in words:
        given = line.split(" ")
        array = " ".join(f"'{word}'" for word in ["amili-arm", *given])
        script += f'COMP_WORDS=({array}); COMP_CWORD={len(given)}; _amili_arm_completion amili-arm; echo "${{COMPREPLY[*]}}"\n'
    registered, *found = run("bash", "--norc", "-c", script).splitlines()
    assert "-o default" in registered
    assert dict(zip(words, map(str.split, found), strict=True)) == words


@pytest.mark.proof
@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_get_choices_and_files(shell, command):
    variables = {"_AMILI_ARM_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    kinds = run(command, **variables, _TYPER_COMPLETE_ARGS="amili-arm push ")
    assert "customers" in kinds
    assert "documents" in kinds
    assert run(command, **variables, _TYPER_COMPLETE_ARGS="amili-arm push customers f").strip() == ("_files" if shell == "zsh" else "")


def test_an_eager_option_prints_nothing_while_a_line_is_completed(command):
    words = run(command, _AMILI_ARM_COMPLETE="complete_bash", COMP_WORDS="amili-arm --version pus", COMP_CWORD="2")
    assert words.split() == ["push"]
