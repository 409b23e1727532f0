"""Writes the pages of docs/reference from the package: the API from `__all__` and the docstrings, the commands from the command line."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

import typer
from sphinx.application import Sphinx

import amili_arm_async
from amili_arm_async import ArmClient, ArmError, blocking, errors, sandbox, spark
from amili_arm_async.bulk.outcomes import STATE_RULES
from amili_arm_async.bulk.reasons import REASONS, explain
from amili_arm_async.cli.app import app as commands
from amili_arm_async.cli.help import entry
from amili_arm_async.resources.shared_run import SharedReport
from amili_arm_async.values.findings import SEVERITIES

Section: TypeAlias = tuple[str, list[str]]

_ROOT = Path(__file__).parents[2]
_SETTINGS = "amili_arm_async.config"
_MODELS = "amili_arm_async.models"
_CLIENT = ("ArmClient", "ClientCredentials", "TokenFile", "TokenSource", "FileContent", "Page", "Pager", "Response", "STAGING")


def returned() -> list[str]:
    """The classes that a caller gets and never makes, and that are therefore not exported."""
    night = _client().nightly(customers=[])
    return [f"{cls.__module__}.{cls.__name__}" for cls in (type(night.report), type(night))]


def write_pages(folder: Path) -> None:
    """Writes every page; one that is as it was stays untouched, so that Sphinx does not read it again."""
    folder.mkdir(exist_ok=True)
    pages = {
        "api.rst": api(),
        "blocking.rst": page_of(blocking, "Blocking client", "BlockingClient"),
        "sandbox.rst": page_of(sandbox, "Sandbox", "Sandbox"),
        "spark.rst": page_of(spark, "Frames of Spark", "send_frame"),
        "cli.md": cli(),
        "results.md": results(),
        "reasons.md": reasons(),
        "contributing.md": contributing(),
    }
    for name, text in pages.items():
        path = folder / name
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")


# --- the API -----------------------------------------------------------------------------------------------------------


def api() -> str:
    """The page of all public names of the package, and of the sections that a client has."""
    lines = [*_title("Python API", "="), ".. py:currentmodule:: amili_arm_async", ""]
    for title, names in sections():
        lines += _title(title, "-")
        if title == "Errors":
            # The tree is in the docstring of the module.
            lines += [f".. automodule:: {errors.__name__}", "   :no-members:", "   :no-index:", ""]
        for name in names:
            lines += _entry(amili_arm_async, name)
        if title == "Client":
            lines += [*_title("Sections of a client", "-"), *_resources()]
    lines += _title("The night", "-")
    for path in returned():
        lines += [f".. autoclass:: {path}", "   :members:", ""]
    return "\n".join(lines)


def sections() -> Iterator[Section]:
    """The public names, by what they are."""
    left = dict.fromkeys(amili_arm_async.__all__)

    def take(wanted: Iterable[str]) -> list[str]:
        return [name for name in list(wanted) if left.pop(name, name) is None]

    yield "Client", take(_CLIENT)
    yield "Settings", take(name for name in list(left) if _module(name) == _SETTINGS)
    failures = [name for name in left if inspect.isclass(_value(name)) and issubclass(_value(name), ArmError)]
    yield "Errors", take(sorted(failures, key=lambda name: inspect.getsourcelines(_value(name))[1]))
    yield "Models", take(name for name in list(left) if _module(name).startswith(_MODELS))
    yield "Bulk runs, sources and reports", take(list(left))


def _resources() -> Iterator[str]:
    for name, value in vars(_client()).items():
        if not name.startswith("_"):
            kind = type(value)
            yield from _title(f"arm.{name}", "~")
            yield from (
                f".. autoclass:: {kind.__module__}.{kind.__name__}",
                "   :members:",
                "   :inherited-members:",
                "   :no-index-entry:",
                "",
            )


def page_of(module: ModuleType, title: str, first: str) -> str:
    """The page of a module that is public beside the package."""
    lines = [*_title(title, "="), f".. py:currentmodule:: {module.__name__}", ""]
    for name in sorted(module.__all__, key=lambda name: (name != first, name)):
        lines += _entry(module, name)
    return "\n".join(lines)


def _client() -> ArmClient:
    return ArmClient(1, auth="token", base_url="https://example.no")


def _title(text: str, mark: str) -> list[str]:
    return [text, mark * len(text), ""]


def _value(name: str) -> Any:
    return getattr(amili_arm_async, name)


def _module(name: str) -> str:
    return str(getattr(_value(name), "__module__", ""))


def _entry(module: ModuleType, name: str) -> Iterator[str]:
    value = getattr(module, name)
    if inspect.isclass(value):
        bases = ["   :show-inheritance:"] if issubclass(value, ArmError) else []
        # The entry of the class that it extends is on another page.
        inherited = ["   :inherited-members:"] if SharedReport in value.__bases__ else []
        yield from (f".. autoclass:: {module.__name__}.{name}", "   :members:", *bases, *inherited, "")
    elif inspect.isroutine(value):
        yield from (f".. autofunction:: {module.__name__}.{name}", "")
    else:
        yield from (f".. autodata:: {module.__name__}.{name}", "")


# --- the command line --------------------------------------------------------------------------------------------------


def cli() -> str:
    """The page of all commands with their arguments and options."""
    command: Any = typer.main.get_command(commands)
    context = command.make_context("amili-arm", [], resilient_parsing=True)
    lines = ["# Command line", "", "`amili-arm` comes with the extra `cli`. `amili-arm COMMAND --help` says the same.", ""]
    return "\n".join([*lines, *_command(command, context, 1)])


def _command(command: Any, context: Any, depth: int) -> Iterator[str]:
    if depth > 1:
        yield from ("#" * min(depth, 3) + f" {context.command_path}", "")
        yield from (inspect.cleandoc(command.help or ""), "")
    subcommands = getattr(command, "commands", {})
    if not subcommands:
        yield from ("```text", " ".join([context.command_path, *command.collect_usage_pieces(context)]), "```", "")
    entries = [entry(parameter, context) for parameter in command.params]
    if entries:
        yield from ("| option or argument | meaning |", "|---|---|")
        yield from (f"| `{_cell(one.name)}` | {_cell(' '.join([one.text, *one.notes]))} |" for one in entries)
        yield ""
    for name, subcommand in subcommands.items():
        yield from _command(subcommand, subcommand.make_context(name, [], parent=context, resilient_parsing=True), depth + 1)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


# --- states ------------------------------------------------------------------------------------------------------------


def reasons() -> str:
    """The page of all states and reasons, with the advice that the report of a night gives."""
    lines = ["# States and reasons", "", "What to do about a document, as the report of a [night](../nightly.md) says it."]
    for state, rule in STATE_RULES.items():
        lines += ["", f"## {state}", "", f"{rule.meaning[0].upper()}{rule.meaning[1:]}.", "", f"**What to do:** {rule.advice}"]
        rows = [(reason, *words) for (other, reason), words in REASONS.items() if other == state]
        if state == "invalid":
            named = {reason for reason, *_ in rows}
            rows += [(code, *explain(state, code)) for code, severity in SEVERITIES.items() if severity == "error" and code not in named]
        if rows:
            lines += ["", "| reason | meaning | what to do |", "|---|---|---|"]
            lines += [f"| `{reason}` | {_cell(meaning)} | {_cell(advice)} |" for reason, meaning, advice in rows]
    return "\n".join([*lines, ""])


# --- files from outside of this folder ----------------------------------------------------------------------------------


def results() -> str:
    """The last results of the benchmarks."""
    return _page("benchmarks/RESULTS.md")


def contributing() -> str:
    """How to contribute."""
    return _page("CONTRIBUTING.md")


def _page(file: str) -> str:
    """A page from the file of another folder. Links to pages lead there from here; other files are named."""
    text = re.sub(r"\]\(docs/([^)]+)\)", r"](../\1)", (_ROOT / file).read_text("utf-8"))
    return re.sub(r"\[([^]]+)\]\((?!https?:|\.\./)[^)]+\)", r"`\1`", text)


def setup(app: Sphinx) -> dict[str, bool]:
    """Writes the pages before Sphinx looks for them."""
    app.connect("builder-inited", lambda app: write_pages(Path(app.srcdir) / "reference"))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
