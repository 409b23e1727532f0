"""The parts of a run are tasks of Dask, and a worker is killed while it sends one."""

from __future__ import annotations

import subprocess
import sys

import pytest

from .conftest import PARTS, Job


def test_a_worker_is_killed(job: Job) -> None:
    distributed = pytest.importorskip("distributed", reason="Dask is not installed: .ci/engines makes an environment for it")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        job.sandbox.hold_processing()
        script = subprocess.Popen(
            [sys.executable, str(job.script("dask_parts.py")), cluster.scheduler_address],
            env=job.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        job.kill_a_worker()
        said, _ = script.communicate(timeout=200)
    assert script.returncode in {0, 1}, said
    assert said.count("succeeded") >= PARTS, said
    job.assert_nothing_is_twice_or_lost()
