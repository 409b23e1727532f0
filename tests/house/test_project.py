"""What is written down twice about the project agrees: versions of Python, extras, sessions and files."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
CLASSIFIED = [
    match[1] for name in PROJECT["project"]["classifiers"] if (match := re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", name))
]


def text(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def test_hosted_ci_tests_the_versions_of_python_that_the_classifiers_name() -> None:
    (matrix,) = re.findall(r"python: \[(.*)\]", text(".github/workflows/ci.yml"))
    assert re.findall(r"[\d.]+", matrix) == CLASSIFIED
    assert PROJECT["project"]["requires-python"] == f">={CLASSIFIED[0]}"


def test_the_audit_and_the_bill_of_materials_cover_every_extra_of_a_user() -> None:
    (extras,) = re.findall(r'^EXTRAS = "(.*)"$', text("noxfile.py"), re.MULTILINE)
    assert set(extras.split(",")) == set(PROJECT["project"]["optional-dependencies"]) - {"dev", "docs"}


def test_every_session_that_is_called_exists() -> None:
    sessions = set(re.findall(r"^@nox\.session.*\ndef (\w+)", text("noxfile.py"), re.MULTILINE))
    called: dict[str, set[str]] = {}
    for name in [".ci/run", "CONTRIBUTING.md", ".github/workflows/ci.yml", ".github/workflows/release.yml"]:
        for words in re.findall(r"nox (?:--no-venv )?(?:-s|--session) \"?([a-z][a-z ]*)", text(name)):
            called.setdefault(name, set()).update(words.split())
    assert {name: found - sessions for name, found in called.items() if found - sessions} == {}
    assert set(called) == {".ci/run", "CONTRIBUTING.md", ".github/workflows/ci.yml", ".github/workflows/release.yml"}


def test_every_file_that_the_source_distribution_names_exists() -> None:
    named = PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_file_that_a_contributor_is_sent_to_exists() -> None:
    named = set(
        re.findall(r"`((?:\.ci|\.github|amili_arm_async|docs|tests|tools)/[\w./-]*)`", text("CONTRIBUTING.md") + text("SECURITY.md"))
    )
    assert len(named) > 5
    assert {name for name in named if not (ROOT / name).exists()} == set()
