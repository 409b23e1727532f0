"""`--check-first` says what is wrong with a path that leads to no file, and that a pipe can't be read twice."""

from __future__ import annotations

import os

import pytest

pytestmark = pytest.mark.quick


def test_it_is_told_as_without_a_check(call, served, tmp_path):
    result = call("push", "documents", tmp_path / "missing.csv", "--no-journal", "--check-first", env=served.env)
    assert result.exit_code == 2
    assert "can't be read: No such file" in " ".join(result.stderr.split())
    assert "standard input" not in result.stderr


@pytest.mark.parametrize("more", [[], ["--check-first"]])
def test_a_folder_without_parts_is_no_success(call, served, tmp_path, more):
    (tmp_path / "folder").mkdir()
    result = call("push", "documents", tmp_path / "folder", "--no-journal", *more, env=served.env)
    assert result.exit_code == 1
    assert "Parquet" in result.stderr


def test_standard_input_can_not_be_read_twice(call, served):
    result = call("push", "documents", "-", "--no-journal", "--check-first", env=served.env)
    assert result.exit_code == 2
    assert "not standard input" in " ".join(result.stderr.split())


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_a_night_does_not_wait_for_a_pipe_that_it_refuses(call, served, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    files = ["--documents", tmp_path / "pipe", "--journal", tmp_path / "j.sqlite", "--run-id", "one"]
    result = call("nightly", *files, "--check-first", env=served.env)
    assert result.exit_code == 2
    assert "or a pipe" in " ".join(result.stderr.split())
