"""How much longer does `import amili_arm_async` take than importing aiohttp and msgspec, which every program of its kind imports?

Each import is in a fresh interpreter, whose start does not count. All modules are compiled, as they are where they are installed.
"""

import os
import subprocess
import sys
import tempfile
from functools import partial

from .measure import ROUNDS, Row, medians, ratio
from .table import show

CLOCKED = "import time; begin = time.process_time(); import {}; print(time.process_time() - begin)"


def _milliseconds(modules: str, compiled: str) -> float:
    command = [sys.executable, "-c", CLOCKED.format(modules)]
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": compiled, "PYTHONDONTWRITEBYTECODE": ""}
    return 1000 * float(subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout)


def measure(*, quick: bool = False) -> list[Row]:
    """One row."""
    ours, theirs = "amili_arm_async", "aiohttp, msgspec"
    with tempfile.TemporaryDirectory() as compiled:
        clocks = {modules: partial(_milliseconds, modules, compiled) for modules in (ours, theirs)}
        taken = medians(clocks, 5 if quick else ROUNDS)
    return [ratio(f"import {ours} beside {theirs}", taken[ours], taken[theirs], "ms", 1.2)]


if __name__ == "__main__":
    show(measure())
