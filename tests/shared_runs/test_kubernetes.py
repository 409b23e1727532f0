"""The manifests for Kubernetes whose journal is in PostgreSQL: they are well formed, and their commands run as they are written."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from amili_arm_async.cli.app import app
from amili_arm_async.sandbox import Fault, Sandbox

from ..docs.pages import ROOT
from ..support.postgres import Server

yaml = pytest.importorskip("yaml")

pytestmark = pytest.mark.timeout(240)

CUSTOMERS = [{"customerNo": str(number), "name": "Kari"} for number in range(10)]
DOCUMENTS = [{"documentNo": f"D{number}", "documentType": "IN", "customerNo": str(number % 10)} for number in range(30)]


def loaded(name: str) -> Any:
    return yaml.safe_load((ROOT / "examples/kubernetes" / name).read_text("utf-8"))


SHARED = loaded("shared_run.yaml")
CRON = loaded("nightly_without_volume.yaml")
JOBS = {"shared_run.yaml": SHARED["spec"], "nightly_without_volume.yaml": CRON["spec"]["jobTemplate"]["spec"]}


def container(name: str) -> Any:
    (one,) = JOBS[name]["template"]["spec"]["containers"]
    return one


@pytest.mark.parametrize("name", JOBS)
def test_the_fields_that_kubernetes_needs(name: str) -> None:
    spec = JOBS[name]
    pod, one = spec["template"]["spec"], container(name)
    # With backoffLimitPerIndex, and with a podFailurePolicy, Kubernetes takes no other.
    assert pod["restartPolicy"] == "Never"
    rules = spec["podFailurePolicy"]["rules"]
    assert {rule["action"] for rule in rules} <= {"FailJob", "FailIndex", "Ignore"}
    assert all(rule.get("onExitCodes", {}).get("containerName", one["name"]) == one["name"] for rule in rules)
    volumes = {volume["name"] for volume in pod["volumes"]}
    assert volumes == {mount["name"] for mount in one["volumeMounts"]}
    # Nothing but the database, and the export, which it only reads.
    assert all(volume.get("persistentVolumeClaim", {}).get("readOnly", True) for volume in pod["volumes"])
    variables = {variable["name"]: variable.get("value") for variable in one["env"]}
    assert ":" not in variables["JOURNAL"].partition("://")[2].partition("@")[0]
    words = shlex.split(one["args"][0])
    command: Any = typer.main.get_command(app)
    command.commands["nightly"].make_context(
        "nightly", words[3:], parent=command.make_context("amili-arm", words[2:3]), resilient_parsing=True
    )
    assert pod["terminationGracePeriodSeconds"] > float(words[words.index("--grace") + 1]) + 30  # and --on-end


def test_the_index_of_a_pod_is_its_part() -> None:
    spec = JOBS["shared_run.yaml"]
    assert (SHARED["apiVersion"], SHARED["kind"], spec["completionMode"]) == ("batch/v1", "Job", "Indexed")
    words = shlex.split(container("shared_run.yaml")["args"][0])
    assert int(words[words.index("--parts") + 1]) == spec["completions"] >= spec["parallelism"]
    assert words[words.index("--part") + 1] == "$JOB_COMPLETION_INDEX"
    page = (ROOT / "docs/engines.md").read_text("utf-8")
    rows = dict(re.findall(r"^  (\w+): (\w+)$", page, re.MULTILINE))
    assert rows == {name: str(spec[name]) for name in ("completionMode", "completions", "parallelism")}


# --- their commands -------------------------------------------------------------------------------------------------------


class Node:
    """A node, with the image and the export."""

    def __init__(self, name: str, folder: Path, server: Sandbox, database: str) -> None:
        export, programs = folder / "export", folder / "bin"
        for made in (folder, export, programs):
            made.mkdir()
        for kind, records in (("customers", CUSTOMERS), ("invoices", DOCUMENTS)):
            (export / f"{kind}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
        (export / "run-id").write_text("2026-11-20\n")
        program = programs / "amili-arm"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m tests.shared_runs.machine {name} "$@"\n')
        program.chmod(0o755)
        self._folder = folder
        self._environment = {
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "HOME": str(folder),
            "JOURNAL": database,
            "AMILI_ARM_BASE_URL": server.base_url,
            "AMILI_ARM_TOKEN": server.token,
            "AMILI_ARM_CLIENT_NO": "2218",
        }

    def start(self, manifest: str, *, parts: int = 64, **variables: str) -> subprocess.Popen[str]:
        """Starts the container of a manifest; its mounts are in the folder of the node."""
        one = container(manifest)
        (text,) = one["args"]
        text = text.replace("/export/", f"{self._folder}/export/").replace("--parts 64", f"--parts {parts}")
        pipe = subprocess.PIPE
        return subprocess.Popen(
            [*one["command"], text], cwd=self._folder, env={**self._environment, **variables}, stdout=pipe, stderr=pipe, text=True
        )


def ended(process: subprocess.Popen[str]) -> dict[str, Any]:
    said, errors = process.communicate(timeout=120)
    assert process.returncode in {0, 1}, errors
    found: dict[str, Any] = json.loads(said)
    return found


@pytest.mark.proof
def test_the_pods_of_an_indexed_job(server: Sandbox, database: str, tmp_path: Path) -> None:
    pods = [
        Node(name, tmp_path / name, server, database).start("shared_run.yaml", parts=2, JOB_COMPLETION_INDEX=index)
        for name, index in (("first", "0"), ("second", "1"))
    ]
    reports = [ended(pod) for pod in pods]
    assert [report["ok"] for report in reports] == [True, True]
    assert sum(part["name"] == "customers" for report in reports for part in report["parts"]) == 1
    assert server.documents.total_taken == len(DOCUMENTS)


@pytest.mark.proof
def test_a_cron_job_takes_over_its_own_run_on_another_node(server: Sandbox, database: str, postgres: Server, tmp_path: Path) -> None:
    server.inject(Fault.hang_after(), method="POST", path="documents/batches")
    first = Node("first", tmp_path / "first", server, database).start("nightly_without_volume.yaml")
    # A fault counts as fired when the head of a request is there, its body may not be.
    while not server.documents.total_taken:
        assert first.poll() is None, first.communicate()
    first.send_signal(signal.SIGKILL)
    first.communicate()
    # A minute passes.
    postgres.execute("UPDATE amili_arm.parts SET lease_until = lease_until - interval '60 seconds'")
    report = ended(Node("second", tmp_path / "second", server, database).start("nightly_without_volume.yaml"))
    customers, documents = report["parts"]
    assert customers["sync"]["unchanged"] == len(CUSTOMERS)
    assert documents["counts"]["unknown"] == len(DOCUMENTS) == server.documents.total_taken
    assert {reason["reason"] for reason in documents["reasons"]} == {"crashed"}
