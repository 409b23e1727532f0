"""What Spark repeats, runs twice or loses: no document is taken twice, and each has its state in the report."""

from __future__ import annotations

import shutil
import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from amili_arm_async.spark import FrameReport, read_report, send_frame, send_stream

from ..proof.control import Tenant
from .connecting import Connecting, Trouble
from .test_frames import PARTS, RUN_ID, documents, quick, taken, total

COUNT = 200

SHORT = {"lease": 5.0}
"""Where the next attempt waits until the lease of the one before has ended. Elsewhere it is long, so that no slow machine ends one."""


def send(spark: Any, tenant: Tenant, database: str, connecting: Connecting, **more: Any) -> FrameReport:
    settings = {
        "run_id": RUN_ID,
        "parts": PARTS,
        "client": connecting,
        "options": quick(max_records=10, concurrency=1),
        **more,
    }
    return send_frame(documents(spark, COUNT), journal=database, **settings)


def assert_nothing_is_twice_or_lost(report: FrameReport, tenant: Tenant, count: int = COUNT) -> None:
    seen = taken(tenant)
    assert set(seen.values()) == {1}
    assert sum(report.counts.values()) == count
    assert report.counts.keys() <= {"succeeded", "unknown"}
    # Whatever is not known to have succeeded is named; the others were taken.
    unknown = {failure.key for failure in report.failures()}
    assert len(unknown) == report.counts.get("unknown", 0)
    assert {f"D{number:05}" for number in range(count)} - unknown <= seen.keys()
    assert total(report) == sum(number + 1 for number in range(count) if f"D{number:05}" not in unknown)


def attempts(folder: Path) -> Counter[int]:
    """How many attempts there were at the task of each partition."""
    return Counter(int(name.name.partition("-")[0]) for name in folder.iterdir())


@pytest.mark.parametrize("point", ["intent", "accepted"])
def test_a_task_that_dies_is_repeated_by_spark(spark: Any, tenant: Tenant, database: str, tmp_path: Path, point: str) -> None:
    report = send(spark, tenant, database, Connecting.to(tenant, folder=str(tmp_path), trouble=Trouble(point)))
    assert attempts(tmp_path)[0] > 1
    # A batch, and one more that was about to leave.
    assert report.counts["unknown"] in {10, 20}
    assert_nothing_is_twice_or_lost(report, tenant)
    # Every part has had a task of its own.
    assert set(attempts(tmp_path)) == set(range(PARTS))


def test_speculation_starts_a_twin_of_a_task_that_is_frozen(spark: Any, tenant: Tenant, database: str, tmp_path: Path) -> None:
    report = send(spark, tenant, database, Connecting.to(tenant, folder=str(tmp_path), trouble=Trouble("intent", signal.SIGSTOP)), **SHORT)
    assert attempts(tmp_path)[0] > 1
    assert report.counts["unknown"] >= 10
    assert_nothing_is_twice_or_lost(report, tenant)


def test_an_executor_that_is_killed_loses_nothing(spark: Any, tenant: Tenant, database: str, tmp_path: Path) -> None:
    report = send(
        spark, tenant, database, Connecting.to(tenant, folder=str(tmp_path), trouble=Trouble("intent", to_executor=True)), **SHORT
    )
    assert attempts(tmp_path)[0] > 1
    assert_nothing_is_twice_or_lost(report, tenant)


def test_two_drivers_that_send_the_same_run(spark: Any, tenant: Tenant, database: str) -> None:
    with ThreadPoolExecutor(2) as pool:
        sending = [pool.submit(send, spark, tenant, database, Connecting.to(tenant)) for _ in range(2)]
        reports = [one.result() for one in sending]
    assert [report.counts for report in reports] == [{"succeeded": COUNT}] * 2, list(reports[0].failures())
    # One report may have been read while the other driver went through a part again: that is not done then.
    report = read_report(run_id=RUN_ID, journal=database, client=Connecting.to(tenant))
    assert_nothing_is_twice_or_lost(report, tenant)


def test_a_stream_whose_checkpoint_is_lost(spark: Any, tenant: Tenant, database: str, tmp_path: Path) -> None:
    frame, folder, checkpoint = documents(spark, COUNT), tmp_path / "export", tmp_path / "checkpoint"
    frame.repartitionByRange(5, "documentNo").write.json(str(folder))

    def stream(files: int) -> FrameReport:
        sender = send_stream(run_id=RUN_ID, journal=database, parts=2, client=Connecting.to(tenant), options=quick(), extra_columns=True)
        rows = spark.readStream.schema(frame.schema).option("maxFilesPerTrigger", files).json(str(folder))
        query = rows.writeStream.foreachBatch(sender).option("checkpointLocation", str(checkpoint)).trigger(availableNow=True).start()
        query.awaitTermination()
        return read_report(run_id=RUN_ID, journal=database, client=Connecting.to(tenant))

    report = stream(2)
    assert report.ok
    assert_nothing_is_twice_or_lost(report, tenant)
    shutil.rmtree(checkpoint)
    report = stream(3)
    assert report.ok
    assert_nothing_is_twice_or_lost(report, tenant)
