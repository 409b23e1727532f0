"""Checks that every public callable documents all its parameters, what it returns and what it raises.

    python -m tools.docstrings                                 # the whole public interface
    python -m tools.docstrings amili_arm_async/resources       # only what is defined in this folder or file

Public is what a program can reach: the names in `__all__` of the packages below, the sections of a client, the methods of those classes,
and the classes that these return. Docstrings are in Google style. Dunder methods and overrides without a docstring of their own are
exempt; tests/house/test_exported.py checks the fields of dataclasses and Structs.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import pkgutil
import re
import sys
import textwrap
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "amili_arm_async"
PUBLIC = [PACKAGE, f"{PACKAGE}.sandbox"]

MADE_BY_A_PROGRAM = frozenset({"ArmClient", "ClientCredentials", "FileContent", "PaymentReservation", "Sandbox"})
"""Public classes whose constructor a program calls. Of the other ones it is handed an object, and the constructor is private."""


@dataclasses.dataclass(frozen=True)
class Member:
    """A public callable, with the name under which a program knows it."""

    name: str
    function: Callable[..., Any]
    docstring: str
    is_constructor: bool = False


def public_classes_and_functions() -> tuple[list[type], list[Callable[..., Any]]]:
    """Everything in the public `__all__`s, the sections of a client, and the classes that their members return."""
    found: dict[type, None] = {}
    functions = []
    for module in map(importlib.import_module, PUBLIC):
        for value in (getattr(module, name) for name in module.__all__):
            if inspect.isclass(value):
                found[value] = None
            elif inspect.isfunction(value):
                functions.append(value)
    client = importlib.import_module(PACKAGE).ArmClient(1, auth="token", base_url="https://localhost")
    found.update(dict.fromkeys(type(value) for name, value in vars(client).items() if not name.startswith("_")))
    classes = classes_of_the_package()
    waiting = list(found)
    while waiting:
        for function in [*functions, *(function for _, function in members(waiting.pop(), {"__aenter__", "__aiter__", "__await__"}))]:
            for word in re.findall(r"\w+", str(inspect.get_annotations(function).get("return", ""))):
                if word in classes and classes[word] not in found:
                    found[classes[word]] = None
                    waiting.append(classes[word])
    return list(found), functions


def classes_of_the_package() -> dict[str, type]:
    """All classes of the package that are not private, by name: an annotation may name one that is imported for type checkers alone."""
    names = [module.name for module in pkgutil.walk_packages(importlib.import_module(PACKAGE).__path__, f"{PACKAGE}.")]
    modules = [importlib.import_module(name) for name in names if not name.endswith("__main__")]
    defined = [(module.__name__, name, value) for module in modules for name, value in vars(module).items() if inspect.isclass(value)]
    return {name: value for module, name, value in defined if value.__module__ == module and not name.startswith("_")}


def members(cls: type, also: Collection[str] = ()) -> Iterator[tuple[str, Callable[..., Any]]]:
    """The public functions of a class, and those with a name in `also`; also those that it has from a base class of this package."""
    for name in dir(cls):
        if not name.startswith("_") or name in also:
            value = inspect.getattr_static(cls, name)
            function = getattr(value, "__func__", getattr(value, "fget", value))
            if inspect.isfunction(function) and function.__module__.startswith(PACKAGE):
                yield name, function


def checked(cls: type) -> Iterator[Member]:
    """What is checked of a class: its constructor, where a program calls it, and its public methods, but no properties."""
    init = vars(cls).get("__init__")
    if inspect.isfunction(init) and not dataclasses.is_dataclass(cls) and (cls.__name__ in MADE_BY_A_PROGRAM or issubclass(cls, Exception)):
        yield Member(
            cls.__name__, init, f"{inspect.cleandoc(cls.__doc__ or '')}\n{inspect.cleandoc(init.__doc__ or '')}", is_constructor=True
        )
    for name, function in members(cls):
        is_override = function.__doc__ is None and any(name in vars(base) for base in cls.__mro__[1:])
        if not is_override and not isinstance(inspect.getattr_static(cls, name), property):
            yield Member(function.__qualname__, function, inspect.cleandoc(function.__doc__ or ""))


def sections(docstring: str) -> dict[str, str]:
    """The sections of a Google docstring, by name: `Args`, `Returns`, ..."""
    return {match[1]: match[2] for match in re.finditer(r"^(\w+):\n((?:[ ]{4}.*(?:\n|$)|\n)+)", docstring, re.MULTILINE)}


def entries(section: str) -> list[str]:
    """The names that a section of a Google docstring explains."""
    return re.findall(r"^ {4}([*\w.]+)(?: \([^)]*\))?:", section, re.MULTILINE)


def raised(function: Callable[..., Any]) -> set[str]:
    """The exception classes that a function raises by name."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    calls = [node.exc.func if isinstance(node.exc, ast.Call) else node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise)]
    names = {node.id for node in calls if isinstance(node, ast.Name) and node.id[0].isupper()}
    return names - {"StopAsyncIteration", "StopIteration"}


def problems(member: Member) -> Iterator[str]:
    """What is missing in the docstring of one callable, or too much in it."""
    signature = inspect.signature(member.function)
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    parameters = [
        (stars.get(parameter.kind, "") + name)
        for place, (name, parameter) in enumerate(signature.parameters.items())
        if not (place == 0 and name in {"self", "cls"}) and not name.startswith("_")
    ]
    found = sections(member.docstring)
    explained = entries(found.get("Args", ""))
    if member.is_constructor:
        explained += entries(found.get("Attributes", ""))
    plain = {name.lstrip("*") for name in explained}
    yield from (f"no line in Args for {name!r}" for name in parameters if name.lstrip("*") not in plain)
    if not member.is_constructor:
        known = {name.lstrip("*") for name in parameters}
        yield from (f"Args explains {name!r}, which is no parameter" for name in explained if name.lstrip("*") not in known)
    gives = str(signature.return_annotation).strip("'\"")
    if not member.is_constructor and gives not in {"None", "NoReturn", "Never"} and not {"Returns", "Yields"} & set(found):
        yield "no section Returns"
    told = {name.rpartition(".")[2] for name in entries(found.get("Raises", ""))}
    yield from (f"no line in Raises for {name}" for name in sorted(raised(member.function) - told))


def check(paths: list[Path]) -> Iterator[str]:
    """The problems of everything public that is defined below one of `paths`, as lines to print."""
    classes, functions = public_classes_and_functions()
    every = [member for cls in classes for member in checked(cls)]
    every += [Member(function.__qualname__, function, inspect.cleandoc(function.__doc__ or "")) for function in functions]
    for member in {member.function: member for member in every}.values():
        source = Path(inspect.getsourcefile(member.function) or "").resolve()
        if any(source.is_relative_to(path) for path in paths):
            line = member.function.__code__.co_firstlineno
            yield from (f"{source.relative_to(ROOT)}:{line}: {member.name}: {problem}" for problem in problems(member))


def main() -> int:
    """Prints what is missing; 1 where something is."""
    lines = sorted(check([Path(argument).resolve() for argument in sys.argv[1:]] or [ROOT]))
    print(*lines, sep="\n", end="\n" if lines else "")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
