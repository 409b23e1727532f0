"""The command line `amili-arm` (extra `cli`): one module for each command, and `options` for what they share."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from .stdout import code_at_end, steady_streams

__all__ = ["main"]

_EXTRA = frozenset({"typer", "rich"})


def main() -> None:
    """Runs `amili-arm`. Without the extra `cli` it says how to install it, and exits with 2."""
    with steady_streams():
        try:
            with _all_stays():
                from .app import app  # noqa: PLC0415 - fails without the extra
        except ModuleNotFoundError as exc:
            if (exc.name or "").partition(".")[0] not in _EXTRA:
                raise
            sys.stderr.write('amili-arm: the command line needs typer and rich: pip install "amili-arm-async[cli]"\n')
            sys.exit(2)
        try:
            app(prog_name="amili-arm")
        except SystemExit as exc:
            sys.exit(code_at_end(exc.code if isinstance(exc.code, int) else 0))


@contextmanager
def _all_stays() -> Iterator[None]:
    """What is imported here is not looked through for garbage, now, while the command runs, or at its end: a quarter of a short command."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()
