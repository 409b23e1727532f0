"""The process that is killed: `amili-arm` as it is, but for how soon it asks for results. Arguments: those seconds, a file for its peak of
memory, and the command."""

from __future__ import annotations

import functools
import sys
from pathlib import Path

from amili_arm_async import BulkOptions
from amili_arm_async.cli import main, nightly


def peak() -> str:
    """The most memory that this process had, in KB; not that of whoever started it."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((line.split()[1] for line in lines if line.startswith("VmHWM")), "0")


if __name__ == "__main__":
    seconds, figures, *command = sys.argv[1:]
    nightly.BulkOptions = functools.partial(BulkOptions, poll_first=float(seconds))  # type: ignore[attr-defined,misc,assignment]
    sys.argv[1:] = command
    try:
        main()
    finally:
        Path(figures).write_text(peak())
