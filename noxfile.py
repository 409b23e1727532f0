"""The checks of this repository, as sessions: `nox --list` names them, and `nox` alone runs the quick ones.

Each session makes its own environment. With `--no-venv` a session uses the tools on PATH instead: `.ci/run` does that with the environment
that README's second command has made.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nox
from nox.command import CommandFailed

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "types", "quick"]

PYTHONS = nox.project.python_versions(nox.project.load_toml("pyproject.toml"))
"""The versions of Python that the classifiers name."""

_SYSTEM = Path(f"/usr/bin/python{PYTHONS[0]}")
OLDEST = str(_SYSTEM) if _SYSTEM.exists() else PYTHONS[0]
"""That of the system is often the older patch release: Debian 12 has 3.11.2."""

QUICK = ["-m", "quick"]
"""Which tests are quick enough for the inner loop."""

_NEW_STORIES = (("--minutes", "2", "--from", "new"), ("--minutes", "0.33", "--from", "new", "--kind", "shared"))
"""How long the simulation looks for what nobody has seen before."""

EXTRAS = "arrow,cli,keyring,opentelemetry,postgres,remote,zstd"


def install_dev(session: nox.Session) -> None:
    """Installs the package with everything that the checks need, unless the session has no environment of its own."""
    if session.venv_backend != "none":
        session.install("--editable", ".[dev]")


def fresh_environment(session: nox.Session, requirement: str) -> Path:
    """Makes an environment with nothing but this requirement in it, and returns its folder of commands."""
    folder = Path(session.create_tmp()).resolve() / "fresh"
    session.run("python", "-m", "venv", "--clear", str(folder))
    session.run(str(folder / "bin" / "pip"), "install", "--quiet", requirement, external=True)
    return folder / "bin"


@nox.session
def quick(session: nox.Session) -> None:
    """The tests for the inner loop: under 30 seconds."""
    install_dev(session)
    session.run("python", "-m", "pytest", *QUICK, *session.posargs)


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """All tests on one version of Python, or what follows `--`."""
    install_dev(session)
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session
def proofs(session: nox.Session) -> None:
    """The slow proofs: processes are killed, memory is measured, properties have many examples; they are no part of `tests`."""
    install_dev(session)
    session.run("python", "-m", "pytest", "-m", "proof", *session.posargs)
    if not session.posargs:
        session.run("python", "-m", "pytest", "-m", "many_examples", env={"AMILI_ARM_TEST_EXAMPLES": "all"})


@nox.session
def simulation(session: nox.Session) -> None:
    """Stories that nobody has run before, for two minutes, and of shared runs for 20 seconds where PostgreSQL is installed.

    Options of `python -m tests.simulation` may follow `--`.
    """
    install_dev(session)
    found = False
    for options in [session.posargs] if session.posargs else _NEW_STORIES:
        try:
            session.run("python", "-m", "tests.simulation", *options)
        except CommandFailed:
            found = True
    if found:
        session.error("a story failed")


@nox.session(python=OLDEST, venv_backend="uv")
def lowest(session: nox.Session) -> None:
    """The quick tests, or what follows `--`, with the lowest version of every direct dependency, and the oldest Python that is here."""
    session.install("--resolution", "lowest-direct", "--editable", ".[dev]")
    session.run("python", "-m", "pytest", *(session.posargs or QUICK))


@nox.session
def lint(session: nox.Session) -> None:
    """Style, format, and complete docstrings of what is public."""
    install_dev(session)
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("python", "-m", "tools.docstrings")


@nox.session
def types(session: nox.Session) -> None:
    """Both type checkers: mypy --strict and pyright."""
    install_dev(session)
    session.run("mypy")
    python = str(session.run("python", "-c", "import sys; print(sys.executable)", silent=True)).strip()
    session.run("pyright", "--pythonpath", python)


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation site in docs/_build/html; a warning is an error."""
    session.install("--editable", ".[docs]")
    session.run("sphinx-build", "-W", "--keep-going", "-n", "-q", "-b", "html", "docs", "docs/_build/html")


@nox.session
def wheel(session: nox.Session) -> None:
    """The wheel, and its demo in a fresh environment."""
    install_dev(session)
    folder = Path(session.create_tmp()).resolve()
    shutil.rmtree(folder / "dist", ignore_errors=True)
    session.run("python", "-m", "build", "--wheel", "--outdir", str(folder / "dist"), silent=True)
    (built,) = (folder / "dist").glob("*.whl")
    commands = fresh_environment(session, f"{built}[cli]")
    with session.chdir(folder):
        session.run(str(commands / "amili-arm"), "demo", "--customers", "100000", "--documents", "20000", "--json", external=True)


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Every benchmark, short and rough; options of `python -m benchmarks` may follow `--`."""
    install_dev(session)
    session.run("python", "-m", "benchmarks", *(session.posargs or ["--quick"]))


@nox.session
def api(session: nox.Session) -> None:
    """Breaking changes of the public interface since the last release, or since the commit that follows `--`."""
    install_dev(session)
    releases = str(session.run("git", "tag", "--list", "v*", "--sort=-version:refname", external=True, silent=True)).split()
    base = session.posargs or releases[:1]
    if not base:
        session.skip("nothing is released yet: there is no interface to break")
    session.run("python", "-m", "tools.api", base[0])


@nox.session
def audit(session: nox.Session) -> None:
    """Known vulnerabilities of the dependencies; skipped where the advisory service can't be reached."""
    session.install("pip-audit>=2.9")
    commands = fresh_environment(session, f".[{EXTRAS}]")
    folder = Path(session.create_tmp()).resolve()
    frozen, report = folder / "requirements.txt", folder / "audit.json"
    listed = str(session.run(str(commands / "pip"), "freeze", "--exclude", "amili-arm-async", external=True, silent=True))
    frozen.write_text(listed, "utf-8")
    session.run(
        *("pip-audit", "--requirement", str(frozen), "--no-deps", "--disable-pip", "--format", "json", "--output", str(report)),
        success_codes=[0, 1],
    )
    dependencies = json.loads(report.read_text("utf-8"))["dependencies"]
    vulnerable = [f"{found['name']} {found['version']}: {fault['id']}" for found in dependencies for fault in found.get("vulns", [])]
    unread = [found["name"] for found in dependencies if "skip_reason" in found]
    if vulnerable:
        session.error(f"known vulnerabilities: {', '.join(vulnerable)}")
    if len(unread) == len(dependencies):
        session.skip("the advisory service can't be reached from here: nothing was audited")
    if unread:
        session.error(f"not audited: {', '.join(unread)}")


@nox.session
def sbom(session: nox.Session) -> None:
    """A bill of materials (CycloneDX) of the package with all its extras: build/sbom.cdx.json."""
    session.install("cyclonedx-bom>=6")
    commands = fresh_environment(session, f".[{EXTRAS}]")
    session.run(str(commands / "pip"), "uninstall", "--quiet", "--yes", "setuptools", "pip", external=True)
    target = Path("build", "sbom.cdx.json")
    target.parent.mkdir(exist_ok=True)
    session.run(
        *("cyclonedx-py", "environment", str(commands / "python"), "--pyproject", "pyproject.toml", "--mc-type", "library"),
        *("--output-reproducible", "--output-file", str(target)),
    )
    # The version is dynamic, so the tool does not find it in pyproject.toml.
    show = "import importlib.metadata; print(importlib.metadata.version('amili-arm-async'))"
    bom = json.loads(target.read_text("utf-8"))
    bom["metadata"]["component"]["version"] = str(session.run(str(commands / "python"), "-c", show, external=True, silent=True)).strip()
    target.write_text(json.dumps(bom, indent=2), "utf-8")
