"""The Dockerfile and the manifest for Kubernetes: what they run is there, and they say the same as the pages."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from amili_arm_async.sandbox import Sandbox

from .pages import ROOT
from .test_snippets import _parse

yaml = pytest.importorskip("yaml")

DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
MANIFESTS = {one["kind"]: one for one in yaml.safe_load_all((ROOT / "examples/kubernetes/nightly.yaml").read_text("utf-8"))}
JOB = MANIFESTS["CronJob"]["spec"]["jobTemplate"]["spec"]
POD = JOB["template"]["spec"]
(CONTAINER,) = POD["containers"]


def instructions(word: str) -> list[str]:
    return re.findall(rf"^\s*{word} (.+)$", DOCKERFILE, re.MULTILINE)


def test_every_file_that_is_copied_exists_and_is_let_through() -> None:
    let_through = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {name for line in instructions("COPY") if "--from" not in line for name in line.split()[:-1]}
    assert copied == let_through
    assert all((ROOT / name).exists() for name in copied)


def test_the_images_run_as_a_user_by_number_and_hold_no_secret() -> None:
    stages = re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[1:]
    assert [stage.split()[2] for stage in stages] == ["build", "base", "sandbox", "amili-arm"]
    assert instructions("USER") == ["10001:10001"]
    assert not re.search(r"SECRET|TOKEN|PASSWORD", DOCKERFILE)
    assert "VOLUME" not in DOCKERFILE  # a volume without a name would lose the journal


def test_what_the_images_run_is_known_to_the_command_line() -> None:
    assert instructions("ENTRYPOINT") == ['["amili-arm"]']
    sandbox, default = map(ast.literal_eval, re.findall(r"^CMD (.+)$", DOCKERFILE, re.MULTILINE))
    assert default == ["--help"]
    _parse(sandbox)


async def test_the_health_check_tells_a_sandbox_from_nothing() -> None:
    (line,) = instructions("HEALTHCHECK")
    _, option, code = ast.literal_eval(line.partition("CMD ")[2])

    def check(port: int) -> int:
        here = code.replace(":8080/", f":{port}/")
        return subprocess.run([sys.executable, option, here], capture_output=True, timeout=30, check=False).returncode

    assert ":8080/" in code
    with Sandbox() as sandbox:
        port = int(sandbox.origin.rpartition(":")[2])
        assert check(port) == 0
    assert check(port) != 0


def test_the_manifest_has_the_fields_that_kubernetes_needs() -> None:
    assert {kind: one["apiVersion"] for kind, one in MANIFESTS.items()} == {"PersistentVolumeClaim": "v1", "CronJob": "batch/v1"}
    assert all(re.fullmatch(r"[a-z0-9-]+", one["metadata"]["name"]) for one in MANIFESTS.values())
    spec = MANIFESTS["CronJob"]["spec"]
    assert len(spec["schedule"].split()) == 5
    assert spec["concurrencyPolicy"] == "Forbid"
    claim = MANIFESTS["PersistentVolumeClaim"]["spec"]
    assert claim["accessModes"] == ["ReadWriteOncePod"]
    assert claim["resources"]["requests"]["storage"]
    # Kubernetes takes a podFailurePolicy only with this restartPolicy, and only these actions and operators.
    assert POD["restartPolicy"] == "Never"
    rules = JOB["podFailurePolicy"]["rules"]
    assert [rule["action"] for rule in rules] == ["FailJob", "Ignore"]
    codes = rules[0]["onExitCodes"]
    assert (codes["containerName"], codes["operator"], codes["values"]) == (CONTAINER["name"], "In", [1, 2])
    assert JOB["backoffLimit"] > 0
    assert JOB["activeDeadlineSeconds"] > POD["terminationGracePeriodSeconds"]


def test_every_volume_is_mounted_and_every_mount_has_a_volume() -> None:
    volumes = {volume["name"]: volume for volume in POD["volumes"]}
    mounts = {mount["name"]: mount["mountPath"] for mount in CONTAINER["volumeMounts"]}
    assert volumes.keys() == mounts.keys()
    assert volumes["data"]["persistentVolumeClaim"]["claimName"] == MANIFESTS["PersistentVolumeClaim"]["metadata"]["name"]
    variables: dict[str, Any] = {one["name"]: one.get("value") for one in CONTAINER["env"]}
    secret = volumes["secret"]["secret"]["items"][0]["path"]
    assert variables["AMILI_ARM_CLIENT_SECRET_FILE"] == f"{mounts['secret']}/{secret}"
    assert "AMILI_ARM_CLIENT_SECRET" not in variables
    assert all(isinstance(value, str) for value in variables.values() if value is not None)


def test_the_pod_runs_a_command_that_there_is_and_has_time_to_end() -> None:
    assert CONTAINER["command"] == ["/bin/sh", "-c"]
    words = shlex.split(CONTAINER["args"][0].replace('"$(cat /export/run-id)"', "2026-11-20"))
    assert words[:2] == ["exec", "amili-arm"]
    _parse(words[2:])
    mounted = [mount["mountPath"] for mount in CONTAINER["volumeMounts"]]
    assert all(str(Path(word).parent) in mounted for word in words if word.startswith("/"))
    assert POD["terminationGracePeriodSeconds"] > float(words[words.index("--grace") + 1]) + 30  # and --on-end


def test_the_pod_is_the_user_of_the_image_and_may_do_little() -> None:
    assert POD["securityContext"]["runAsUser"] == 10001
    assert POD["securityContext"]["runAsNonRoot"]
    assert CONTAINER["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_the_page_says_the_values_of_the_manifest() -> None:
    text = (ROOT / "docs/kubernetes.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| `?([\w ]+)`? ", text, re.MULTILINE))
    spec = {**MANIFESTS["CronJob"]["spec"], **JOB, **POD, **POD["securityContext"], "accessModes": "ReadWriteOncePod"}
    for name in ("concurrencyPolicy", "restartPolicy", "backoffLimit", "activeDeadlineSeconds", "terminationGracePeriodSeconds"):
        assert rows[name].strip() == str(spec[name]), name
