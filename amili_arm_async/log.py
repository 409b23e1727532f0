"""Structured logging: silent by default, through the host's `logging` if that is configured, and without secrets or personal data.

The logger is `amili_arm_async`. Each event is a short name with fields out of `FIELDS`; a field that is not in that list is dropped,
so no token, body or name can slip into a line.
"""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from functools import cache
from typing import Any, Final

__all__ = ["FIELDS", "debug", "info", "warning"]

FIELDS: Final = frozenset(
    {
        "attempt",
        "batch",
        "batches",
        "bytes",
        "concurrency",
        "counts",
        "delay",
        "elapsed",
        "error",
        "operation",
        "outcome",
        "page",
        "reason",
        "records",
        "request_id",
        "status",
        "total_pages",
    }
)
"""The names of all fields that a log line of this library can have."""

_RESERVED: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}

_STDLIB: Final = logging.getLogger("amili_arm_async")
_STDLIB.addHandler(logging.NullHandler())


def _keep_listed(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {name: value for name, value in event.items() if name == "event" or name in FIELDS}


def _drop_reserved(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    # A word of the host's context that `logging` keeps for itself would make the line fail, and the call with it.
    return {name: value for name, value in event.items() if name not in _RESERVED}


@cache
def _logger() -> Any:
    # Imported at the first line that is really written: most programs never write one, and the import is not free.
    import structlog  # noqa: PLC0415

    return structlog.wrap_logger(
        _STDLIB,
        processors=[_keep_listed, structlog.contextvars.merge_contextvars, _drop_reserved, structlog.stdlib.render_to_log_kwargs],
        wrapper_class=structlog.stdlib.BoundLogger,
    )


def _write(level: int, event: str, fields: dict[str, Any]) -> None:
    if _STDLIB.isEnabledFor(level):
        _logger().log(level, event, **fields)


def debug(event: str, **fields: Any) -> None:
    """Logs a line for one request."""
    _write(logging.DEBUG, event, fields)


def info(event: str, **fields: Any) -> None:
    """Logs a line for a batch or a run."""
    _write(logging.INFO, event, fields)


def warning(event: str, **fields: Any) -> None:
    """Logs a line for something that a person should look at."""
    _write(logging.WARNING, event, fields)
