"""The parts of a run are mapped tasks of Airflow: `airflow dags test` runs the DAG of the examples twice."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import DOCUMENTS, PARTS, Job


def test_mapped_tasks_that_are_run_twice(job: Job) -> None:
    pytest.importorskip("airflow", reason="Airflow is not installed: docs/engines.md says how to run this test")
    (job.folder / "dags").mkdir()
    job.script("airflow_dag.py").rename(job.folder / "dags/airflow_dag.py")
    environment = {
        **job.environment,
        "AIRFLOW_HOME": str(job.folder),
        "AIRFLOW__CORE__DAGS_FOLDER": str(job.folder / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }
    airflow = str(Path(sys.executable).with_name("airflow"))

    def call(*words: str) -> str:
        done = subprocess.run([airflow, *words], check=False, env=environment, capture_output=True, text=True, timeout=250)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    call("db", "migrate")
    for _ in range(2):
        said = call("dags", "test", "invoices", "--dagfile-path", str(job.folder / "dags/airflow_dag.py"))
        assert f"{len(DOCUMENTS)} succeeded" in said, said
    assert job.sandbox.documents.total_taken == len(DOCUMENTS)
    assert [len(job.report().done), job.report().ok] == [PARTS, True]
