"""Shared runs in code that is not async."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from amili_arm_async import ConfigurationError, RecordError
from amili_arm_async.blocking import BlockingClient
from amili_arm_async.sandbox import Sandbox

from ..support.sandbox_runs import client_of, quick
from .samples import DOCUMENTS, PARTS, RUN_ID, own


@pytest.fixture
def client(server: Sandbox) -> Iterator[BlockingClient]:
    with BlockingClient(client_of(server)) as client:
        yield client


def shared(client: BlockingClient, database: str, **more: Any) -> Any:
    return client.shared_run(database, **{"run_id": RUN_ID, "parts": PARTS, "options": quick(max_records=5), **more})


def test_threads_send_the_parts_of_a_run(client: BlockingClient, server: Sandbox, database: str) -> None:
    readers = set()

    def source() -> Iterator[dict[str, Any]]:
        readers.add(threading.current_thread())
        yield from DOCUMENTS

    server.reject_record("D0007", kind="documents")
    with shared(client, database) as run, ThreadPoolExecutor(2) as pool:
        assert (run.run_id, run.parts) == (RUN_ID, PARTS)
        reports = list(pool.map(lambda part: run.send_part(part, source(), pass_over=True), range(PARTS)))
        report = run.report()
        failures = list(run.failures())
    assert sum(one.counts["succeeded"] for one in reports) == 59
    assert report.counts == {"succeeded": 59, "failed": 1}
    assert [failure.key for failure in failures] == ["D0007"]
    assert server.documents.total_taken == 60
    # A cursor of a database belongs to the thread that made it.
    assert threading.main_thread() not in readers
    assert all(thread.name.startswith("ThreadPoolExecutor") for thread in readers)


def test_many_failures_are_read_in_their_order(client: BlockingClient, server: Sandbox, database: str) -> None:
    records = [{"documentNo": f"N{number:05}", "documentType": "IN", "customerNo": "1"} for number in range(1200)]
    for record in records:
        server.reject_record(record["documentNo"], kind="documents")
    with shared(client, database, parts=1, options=quick()) as run:
        run.send_part(0, records)
        assert [failure.index for failure in run.failures()] == list(range(1200))
        assert next(iter(run.failures())).state == "failed"


def test_what_is_refused(client: BlockingClient, server: Sandbox, database: str) -> None:
    with shared(client, database) as run:
        with pytest.raises(RecordError, match="belongs to part"):
            run.send_part(1, own(2))
        with pytest.raises(ConfigurationError, match="part must be"):
            run.send_part(PARTS, [])
    with pytest.raises(ConfigurationError, match="enter the shared run"):
        run.send_part(1, own(1))
    with pytest.raises(ConfigurationError, match="begun with 4 parts"), shared(client, database, parts=8):
        pass
    with pytest.raises(ConfigurationError, match="PostgreSQL"):
        shared(client, "a.sqlite")
    assert server.documents.total_taken == 0
