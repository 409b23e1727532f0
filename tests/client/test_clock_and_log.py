"""The one clock, and a log that is silent until the host listens and never tells what it must not."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import time

import pytest
import structlog

from amili_arm_async import clock, log

# --- the clock ------------------------------------------------------------------------------------------------------------------


async def test_sleeping_gives_others_a_turn_even_for_no_time() -> None:
    turns: list[str] = []
    other = asyncio.create_task(_note(turns))
    await clock.sleep(-1)
    assert turns == ["other"]
    await other


async def _note(turns: list[str]) -> None:
    turns.append("other")


async def test_waiting_ends_with_the_event_or_with_the_time() -> None:
    event = asyncio.Event()
    assert await clock.wait(event, 0) is False
    asyncio.get_running_loop().call_soon(event.set)
    assert await clock.wait(event, None) is True
    assert await clock.wait(event, 0) is True


def test_the_clocks_are_those_of_the_system() -> None:
    assert clock.monotonic() <= time.monotonic() <= clock.monotonic()
    assert clock.unix_time() <= time.time() <= clock.unix_time()


# --- the log --------------------------------------------------------------------------------------------------------------------


def test_by_default_nothing_is_written_anywhere() -> None:
    program = """
import asyncio
from amili_arm_async import ArmClient, NotSentError, RetryPolicy, log

async def main():
    log.warning("look", reason="x")
    log.info("batch", records=5)
    log.debug("request", status=200)
    async with ArmClient(1, auth="token", base_url="http://127.0.0.1:1", retry=RetryPolicy(attempts=2, base_delay=0)) as arm:
        try:
            await arm.customers.get("7")
        except NotSentError:
            pass
        else:
            raise SystemExit(5)

asyncio.run(main())
"""
    ran = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, timeout=60, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"", b"")


def test_structlog_is_not_imported_or_configured_before_a_line_is_written() -> None:
    program = "import sys, amili_arm_async as a; a.log.info('x'); assert 'structlog' not in sys.modules"
    program = program.replace("a.log", "__import__('amili_arm_async.log').log")
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


@pytest.mark.parametrize(("write", "level"), [(log.debug, logging.DEBUG), (log.info, logging.INFO), (log.warning, logging.WARNING)])
def test_a_host_that_listens_gets_fields_and_not_text(log_records, write, level) -> None:
    write("request", operation="GET customers", status=200, elapsed=0.1)
    (record,) = log_records
    assert (record.name, record.levelno, record.getMessage()) == ("amili_arm_async", level, "request")
    assert (record.operation, record.status, record.elapsed) == ("GET customers", 200, 0.1)


def test_what_is_not_listed_is_dropped(log_records) -> None:
    log.info("request", status=200, token="abc", body=b"Armstrong", name="Armstrong", customer_no="7", args=(1,))
    (record,) = log_records
    assert record.status == 200
    assert "abc" not in str(vars(record))
    assert "Armstrong" not in str(vars(record))
    assert not hasattr(record, "customer_no")


def test_the_level_of_the_host_counts(log_records) -> None:
    logging.getLogger("amili_arm_async").setLevel(logging.WARNING)
    log.info("a")
    log.debug("b")
    log.warning("c")
    assert [record.getMessage() for record in log_records] == ["c"]


def test_the_hosts_own_context_comes_along(log_records) -> None:
    with structlog.contextvars.bound_contextvars(job="nightly"):
        log.info("batch", records=5)
    assert (log_records[0].job, log_records[0].records) == ("nightly", 5)


@pytest.mark.parametrize("name", ["name", "message", "args", "module", "filename", "process"])
def test_no_word_in_the_hosts_context_makes_a_line_fail(log_records, name) -> None:
    with structlog.contextvars.bound_contextvars(**{name: "x"}):
        log.info("batch", records=5)
    assert log_records[0].records == 5


def test_no_listed_field_is_a_word_that_logging_keeps_for_itself() -> None:
    reserved = set(vars(logging.LogRecord("n", 1, "p", 1, "m", (), None))) | {
        "message",
        "asctime",
        "exc_info",
        "stack_info",
        "stacklevel",
        "extra",
    }
    assert not reserved & log.FIELDS
