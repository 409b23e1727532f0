"""The command line on a machine of another name: `python -m tests.shared_runs.machine NAME WORDS...`."""

from __future__ import annotations

import socket
import sys
from typing import Any

from amili_arm_async import BulkOptions
from amili_arm_async.cli import main
from amili_arm_async.postgres import owner


def begin(name: str) -> None:
    """Lets this process be on that machine: nobody on another one can see whether it is there."""
    socket.gethostname = lambda: name
    owner._space = lambda: name
    init = BulkOptions.__init__

    def quickly(self: BulkOptions, *args: Any, **settings: Any) -> None:
        init(self, *args, **{"poll_first": 0.01, "poll_max": 0.05, **settings})

    BulkOptions.__init__ = quickly  # type: ignore[method-assign]


if __name__ == "__main__":
    begin(sys.argv.pop(1))
    main()
