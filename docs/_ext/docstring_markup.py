"""Reads docstrings as they are written here: single backticks, Markdown fences and lists.

A name in single backticks that begins with a capital letter, such as `BulkOptions.patience`, is a reference, and Sphinx checks that it is
documented. Everything else in single backticks is code.
"""

from __future__ import annotations

import builtins
import re
from typing import Any

from docutils import nodes
from generated_reference import returned
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

import amili_arm_async
from amili_arm_async import blocking, config, sandbox

_CODE = re.compile(r"(?<![:`\w])`([^`]+)`(?!`)")
_NAME = re.compile(r"(?:sandbox\.)?[A-Z][A-Za-z]*[a-z][A-Za-z]*(?:\.[a-z_]\w*)?(?:\(\))?")
_FENCE = re.compile(r"^(\s*)```(\w*)\s*$")
_COLON = "\ufdd0"
_HEADERS = frozenset({"Date"})
_PUBLIC = (
    {name: f"amili_arm_async.{name}" for name in amili_arm_async.__all__}
    | {name: f"amili_arm_async.blocking.{name}" for name in blocking.__all__}
    | {f"sandbox.{name}": f"amili_arm_async.sandbox.{name}" for name in sandbox.__all__}
    | {path.rpartition(".")[2]: path for path in returned()}
)


def markup(text: str) -> str:
    """Turns single backticks into references or code."""
    return _CODE.sub(_role, text)


def _role(match: re.Match[str]) -> str:
    text = match[1]
    if _NAME.fullmatch(text) and text not in _HEADERS and not hasattr(builtins, text):
        return f":py:obj:`{text.removesuffix('()')}`"
    return f"``{text}``"


def convert(lines: list[str]) -> list[str]:
    """Turns a docstring of this project into reStructuredText."""
    made: list[str] = []
    fence: str | None = None
    for line in lines:
        mark = _FENCE.match(line)
        if mark and fence is None:
            fence = mark[1]
            made += [*([""] if made and made[-1].strip() else []), f"{fence}.. code-block:: {mark[2] or 'text'}", ""]
        elif mark and fence is not None:
            made.append("")
            fence = None
        elif fence is not None:
            made.append(f"   {line}" if line.strip() else "")
        else:
            made.append(line)
    joined = "\n".join(made)
    # Code that is broken over two lines is joined by the pattern, which knows no lines; fenced blocks have no backticks.
    return markup(joined).split("\n")


def _process(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    lines[:] = convert(lines)
    if what in {"attribute", "data", "property"} and lines:
        # Napoleon takes what is before a colon in the first line for the type of the attribute.
        lines[0] = lines[0].replace(":", _COLON)


def _restore(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    lines[:] = [line.replace(_COLON, ":") for line in lines]


def _signature(
    app: Sphinx, what: str, name: str, obj: object, options: object, signature: str | None, returns: str | None
) -> tuple[str, str | None] | None:
    """Leaves out the arguments of classes that a program is handed and never makes."""
    if what != "class" or signature is None:
        return None
    made_by_programs = "Args:" in (obj.__doc__ or "") or obj.__module__ == config.__name__ or "UNSET" in signature
    return None if made_by_programs else ("", returns)


def _resolve(app: Sphinx, env: BuildEnvironment, node: addnodes.pending_xref, content: nodes.Element) -> nodes.Element | None:
    """Finds a public name under the module in which it is defined, or by itself."""
    if node.get("refdomain") != "py":
        return None
    domain: Any = env.get_domain("py")
    target = node["reftarget"].lstrip(".")
    for name in _candidates(target):
        found = domain.objects.get(name)
        if found is not None:
            made: nodes.Element = domain.resolve_xref(env, node["refdoc"], app.builder, "obj", name, node, content)
            return made
    return None


def _candidates(target: str) -> list[str]:
    parts = target.split(".")
    head = next((place for place, part in enumerate(parts) if part[:1].isupper()), None)
    if head is None:
        return []
    cls, rest = parts[head], parts[head + 1 :]
    homes = [_PUBLIC.get(cls), _PUBLIC.get(f"sandbox.{cls}")]
    if "sandbox" in parts[:head]:
        homes.reverse()
    return [".".join([home, *rest]) for home in homes if home is not None]


def setup(app: Sphinx) -> dict[str, bool]:
    """Registers the handlers."""
    # Before napoleon, which reads the sections.
    app.connect("autodoc-process-docstring", _process, priority=400)
    app.connect("autodoc-process-docstring", _restore, priority=600)
    app.connect("autodoc-process-signature", _signature)
    app.connect("missing-reference", _resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
