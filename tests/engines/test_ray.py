"""The parts of a run are tasks of Ray, and a worker is killed while it sends one."""

from __future__ import annotations

import subprocess
import sys

import pytest

from .conftest import PARTS, Job


def test_a_worker_is_killed(job: Job) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: .ci/engines makes an environment for it")
    environment = {**job.environment, "RAY_USAGE_STATS_ENABLED": "0", "RAY_TMPDIR": "/tmp"}
    job.sandbox.hold_processing()
    script = subprocess.Popen(
        [sys.executable, str(job.script("ray_parts.py"))], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    job.kill_a_worker()
    said, _ = script.communicate(timeout=200)
    assert script.returncode in {0, 1}, said
    assert said.count("succeeded") >= PARTS, said
    job.assert_nothing_is_twice_or_lost()
