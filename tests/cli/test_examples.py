"""The examples are what they say: settings that are known, units that systemd takes, and the exit codes of the documentation."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest

from amili_arm_async.cli.config_file import read_config
from amili_arm_async.cli.runner import GRACE
from amili_arm_async.cli.settings import resolve
from amili_arm_async.cli.settings_schema import KNOWN

from .conftest import ROOT, WAIT

pytestmark = pytest.mark.quick

EXAMPLES = ROOT / "examples"


def test_the_settings_are_those_that_are_known(tmp_path):
    text = (EXAMPLES / "amili-arm.toml").read_text("utf-8")
    path = tmp_path / "config.toml"
    # What is shown as a comment is right too; a secret is in one place alone.
    path.write_text(re.sub(r"^# (?=\[|succeeded|\")", "", text, flags=re.MULTILINE), "utf-8")
    path.chmod(0o644)
    (tmp_path / "secret").write_text("s3cret")
    file = read_config(str(path), {})
    assert {key for key in KNOWN if key.startswith("nightly.")} <= set(file.values)
    found = resolve({}, file, {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert repr(found.client()) == "ArmClient(2218, base_url='https://api.staging.amili.no/arm/v1')"


def test_the_documentation_names_every_setting():
    text = (ROOT / "docs" / "running.md").read_text("utf-8")
    for setting in KNOWN.values():
        assert f"[{setting.table}" in text
        assert f"`{setting.name}`" in text or f"[{setting.key}]" in text
    for code in (0, 1, 2, 130, 143, 141):
        assert f"| {code} |" in text


def test_every_link_of_the_documentation_is_there():
    text = (ROOT / "docs" / "running.md").read_text("utf-8")
    targets = re.findall(r"\]\(\.\./([^)]+)\)", text)
    assert targets
    assert all((ROOT / target).exists() for target in targets)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="without systemd")
def test_systemd_takes_the_units(tmp_path):
    for unit in (EXAMPLES / "systemd").iterdir():
        (tmp_path / unit.name.replace("@", "@x")).write_text(unit.read_text("utf-8"), "utf-8")
    units = [str(path) for path in tmp_path.iterdir()]
    verified = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, timeout=WAIT, check=False)
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")


def test_systemd_waits_longer_than_the_grace():
    text = (EXAMPLES / "systemd" / "amili-arm-nightly.service").read_text("utf-8")
    assert int(re.search(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)[1]) > 2 * GRACE
    assert re.search(r"^SuccessExitStatus=143$", text, re.MULTILINE)


def run(script, folder):
    return subprocess.run(
        ["/bin/sh", "-c", script], env={"PATH": f"{folder}:/bin:/usr/bin"}, capture_output=True, text=True, timeout=WAIT, check=False
    )


@pytest.mark.skipif(sys.platform == "win32", reason="a shell")
@pytest.mark.parametrize(
    ("code", "words"), [(0, ""), (1, "ended with 1"), (2, "ended with 2"), (143, "cut off (143)"), (137, "cut off (137)")]
)
def test_the_script_for_cron_hands_the_code_on(tmp_path, code, words):
    export = tmp_path / "run-id"
    export.write_text("2026-11-21")
    script = (EXAMPLES / "cron" / "amili-arm-nightly").read_text("utf-8")
    script = script.replace("/var/lib/amili-arm", str(tmp_path)).replace("/srv/billing/export/run-id", str(export))
    command = tmp_path / "systemd-cat"
    command.write_text(f'#!/bin/sh\necho "$@" > called\nexit {code}\n')
    command.chmod(0o755)
    ended = run(script, tmp_path)
    assert ended.returncode == code
    assert words in ended.stdout
    assert bool(ended.stdout) == bool(code)
    assert (tmp_path / "called").read_text().endswith("--run-id 2026-11-21\n")
    export.unlink()
    (tmp_path / "called").unlink()
    ended = subprocess.run(
        ["/bin/sh", "-c", script], env={"PATH": f"{tmp_path}:/bin:/usr/bin"}, capture_output=True, timeout=WAIT, check=False
    )
    assert ended.returncode == 2
    assert not (tmp_path / "called").exists()
