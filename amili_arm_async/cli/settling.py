"""What a command says while it waits before it looks up documents whose outcome is not known. Pure but for the time zone."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from ..bulk.report import SettleWait
from .html_report.markup import duration, spaced
from .output import plain

__all__ = ["waiting_line", "waiting_lines"]


def waiting_line(wait: SettleWait) -> str:
    """Returns until when a command waits, and why, in one line.

    Args:
        wait: what it waits for.

    Returns:
        The line; the time of day is local.
    """
    return (
        f"{_documents(wait)} at {_time(wait)}, in {_duration(wait.left)}: until {_duration(wait.settle)} after sending a document may"
        f" still appear (--settle); {wait.cause}{_clocks(wait)}. {_remedy(wait)}. Ctrl-C ends the wait; {_again(wait)}"
    )


def waiting_lines(wait: SettleWait) -> str:
    """Returns the same for a terminal, below a countdown.

    Args:
        wait: what it waits for.

    Returns:
        Lines that fit into 80 columns, where the name of the run is not long.
    """
    return "\n".join(
        [
            f"{_documents(wait)} at {_time(wait)}",
            f"Until {_duration(wait.settle)} after sending a document may still appear (--settle)",
            *_wrapped(wait),
            _remedy(wait),
            f"Ctrl-C ends the wait; {_again(wait)}",
        ]
    )


def _documents(wait: SettleWait) -> str:
    of = f" of run {plain(wait.run_id, 40)}" if wait.run_id is not None else ""
    one = wait.documents == 1
    return f"{wait.documents:,} document{'' if one else 's'}{of} {'is' if one else 'are'} looked up"


def _time(wait: SettleWait) -> str:
    # Rounded up to the second.
    until = datetime.fromtimestamp(math.ceil(wait.until), UTC).astimezone()
    return until.strftime("%H:%M:%S" if wait.left < 12 * 3600 else "%Y-%m-%d %H:%M:%S")


def _duration(seconds: float) -> str:
    return spaced(duration(math.ceil(seconds)))


def _is_counted(wait: SettleWait) -> bool:
    return len(wait.clocks) > 1


def _clocks(wait: SettleWait) -> str:
    return f" by {_enumerated(wait.clocks)}" if _is_counted(wait) else ""


def _enumerated(words: tuple[str, ...]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]])


def _wrapped(wait: SettleWait) -> list[str]:
    first, comma, rest = wait.cause.partition(", ")
    lines = [f"{first[0].upper()}{first[1:]}{comma.strip()}", *([rest] if rest else [])]
    return [*lines, f"by {_enumerated(wait.clocks)}"] if _is_counted(wait) else lines


def _remedy(wait: SettleWait) -> str:
    if _is_counted(wait):
        return "--settle 0 looks at once, and leaves what is not found unknown"
    return "If you know that the time has passed, --settle 0 looks at once"


def _again(wait: SettleWait) -> str:
    return "the same command continues it" if wait.clocks else "the same command starts it again"
