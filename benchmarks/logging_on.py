"""What do log lines cost? The same bulk run with lines at INFO, written as JSON to a file by the caller's structlog, beside one without."""

import asyncio
import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from .bulk_send import CUSTOMERS, with_library
from .measure import ROUNDS, Row, in_turns, ratio
from .records import customers
from .sink import sink
from .table import show

LOGGER = logging.getLogger("amili_arm_async")


@contextmanager
def _json(path: Path) -> Iterator[None]:
    """As an application sets it up: all lines through structlog's formatter, at INFO."""
    handler = logging.FileHandler(path, encoding="utf-8")
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso"),
    ]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, structlog.processors.JSONRenderer()],
    )
    handler.setFormatter(formatter)
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.INFO)
    try:
        yield
    finally:
        LOGGER.setLevel(logging.NOTSET)
        LOGGER.removeHandler(handler)
        handler.close()


def measure(*, quick: bool = False) -> list[Row]:
    """One row."""
    count = CUSTOMERS // 4 if quick else CUSTOMERS
    records = list(customers(count))
    with sink() as address, tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "log.jsonl")

        def off() -> None:
            asyncio.run(with_library(address, "customers", records, 1000))

        def on() -> None:
            with _json(path):
                off()

        taken = in_turns({"on": on, "off": off}, 3 if quick else ROUNDS)
        assert path.read_text().count('"batch accepted"') > count // 1000
    unit = 1e6 / count
    return [ratio("send customers, log lines at INFO to JSON, beside none", taken["on"] * unit, taken["off"] * unit, "us a record", 1.05)]


if __name__ == "__main__":
    show(measure())
