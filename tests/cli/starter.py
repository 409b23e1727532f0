"""Starts the command line quickly: one process has imported it, and forks a process for each run, with standard streams that are broken.

Reads a line of JSON for each run, and answers with its exit code. What a run writes to a stream that is whole goes to a file.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import sys
from dataclasses import fields
from functools import cache
from typing import Any

import typer.main

BROKEN = ("closed", "full", "dead pipe")


def _break(number: int, how: str) -> None:
    """Makes a descriptor what the shell makes of `>&-`, `>/dev/full`, `| head -0`, or a file."""
    if how == "closed":
        os.close(number)
        return
    if how == "dead pipe":
        reader, writer = os.pipe()
        os.close(reader)
    else:
        writer = os.open("/dev/full" if how == "full" else how, os.O_WRONLY | os.O_CREAT, 0o600)
    os.dup2(writer, number)
    os.close(writer)


def _reopened(number: int, how: str, **more: Any) -> Any:
    """Returns the stream that an interpreter makes when it starts."""
    return None if how == "closed" else open(number, "w", encoding="utf-8", closefd=False, **more)


def _run(order: dict[str, Any]) -> None:
    """Becomes the command; the interpreter ends as it does for the command."""
    os.environ.update(order["env"])
    os.chdir(order["folder"])
    _break(1, order["stdout"])
    _break(2, order["stderr"])
    sys.stdout = sys.__stdout__ = _reopened(1, order["stdout"])  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = _reopened(2, order["stderr"], errors="backslashreplace", buffering=1)  # type: ignore[misc]
    sys.argv = ["amili-arm", *order["arguments"]]
    # Not a child of a test: what it imported is the program's.
    from amili_arm_async.cli import main

    main()


def serve() -> None:
    import amili_arm_async
    from amili_arm_async import BulkOptions

    for module in pkgutil.walk_packages(amili_arm_async.__path__, "amili_arm_async."):
        if not module.name.endswith((".__main__", "pytest_plugin")):
            importlib.import_module(module.name)

    importlib.import_module("anyio._backends._asyncio")
    # The commands are made here, and not in each child.
    from amili_arm_async.cli.app import app

    typer.main.get_command = cache(typer.main.get_command)
    typer.main.get_command(app)
    # Results are asked for at once: the sandbox has them then.
    names = [field.name for field in fields(BulkOptions)]
    defaults = list(BulkOptions.__init__.__defaults__ or ())
    defaults[names.index("poll_first") - len(names)] = 0.01
    BulkOptions.__init__.__defaults__ = tuple(defaults)
    gc.collect()
    gc.freeze()
    # No file object: one would be closed again at the end of a child.
    answers = os.dup(1)
    for line in sys.stdin:
        child = os.fork()
        if not child:
            os.close(answers)
            _run(json.loads(line))
            sys.exit(0)
        os.write(answers, b"%d\n" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


if __name__ == "__main__":
    serve()
