"""How much longer does `import amili_arm_async` take than importing aiohttp and msgspec, which every program of its kind imports?

Each import is in a fresh interpreter, whose start does not count. All modules are compiled, as they are where they are installed.
"""

import os
import statistics
import subprocess
import sys
import tempfile

from .measure import ROUNDS, Row, ratio, show

CLOCKED = "import time; begin = time.process_time(); import {}; print(time.process_time() - begin)"


def _milliseconds(modules: str, compiled: str) -> float:
    command = [sys.executable, "-c", CLOCKED.format(modules)]
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": compiled, "PYTHONDONTWRITEBYTECODE": ""}
    return 1000 * float(subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout)


def measure() -> list[Row]:
    """One row."""
    ours: list[float] = []
    theirs: list[float] = []
    with tempfile.TemporaryDirectory() as compiled:
        for turn in range(ROUNDS + 1):
            taken = _milliseconds("amili_arm_async", compiled), _milliseconds("aiohttp, msgspec", compiled)
            if turn:
                ours.append(taken[0])
                theirs.append(taken[1])
    question = "import amili_arm_async beside aiohttp, msgspec"
    return [ratio(question, statistics.median(ours), statistics.median(theirs), "ms")]


if __name__ == "__main__":
    show(measure())
