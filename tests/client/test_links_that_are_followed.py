"""A file that is written goes through a link only where nobody else can have made it."""

import os
import re
import stat
from pathlib import Path

import pytest

from amili_arm_async import ConfigurationError
from amili_arm_async.files import AtomicFile, JobFile, check_distinct, check_writable, followed

pytestmark = pytest.mark.quick

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
OTHER = 4711


def link(folder: Path, owner: int | None, mode: int, folder_owner: int | None = None) -> Path:
    """A link to a file elsewhere, in a folder of its own."""
    shared = folder / "shared"
    shared.mkdir()
    (folder / "mine").mkdir()
    place = shared / "failed.jsonl"
    place.symlink_to(folder / "mine" / "target")
    if owner is not None:
        os.lchown(place, owner, -1)
    if folder_owner is not None:
        os.chown(shared, folder_owner, -1)
    shared.chmod(mode)
    return place


def test_real_paths_are_those_of_the_system(tmp_path, monkeypatch):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "to-b").symlink_to("a/b")
    (tmp_path / "a" / "b" / "up").symlink_to("../../a")
    monkeypatch.chdir(tmp_path)
    for path in ("x", "to-b/x", "to-b/up/b/x", "./a/../to-b//x", str(tmp_path / "to-b" / "nowhere" / "x"), "a/b/../x", "to-b/../x"):
        assert followed(path) == os.path.realpath(path), path


@pytest.mark.parametrize("mode", [0o755, 0o1777, 0o777, 0o775])
def test_our_own_link_is_followed(tmp_path, mode):
    assert followed(link(tmp_path, None, mode)) == str(tmp_path / "mine" / "target")


@needs_root
@pytest.mark.parametrize("mode", [0o1777, 0o777, 0o775])
def test_a_link_of_another_user_is_not_followed_where_others_can_write(tmp_path, mode):
    place = link(tmp_path, OTHER, mode)
    for use in (followed, AtomicFile):
        with pytest.raises(PermissionError, match="is not followed, since another user may have made it"):
            use(place)
    assert not (tmp_path / "mine" / "target").exists()


@needs_root
def test_a_link_of_another_user_is_followed_where_nobody_else_can_write(tmp_path):
    assert followed(link(tmp_path, OTHER, 0o755)) == str(tmp_path / "mine" / "target")


@needs_root
def test_a_folder_of_another_user_may_hold_anything(tmp_path):
    with pytest.raises(PermissionError):
        followed(link(tmp_path, None, 0o755, OTHER))


@needs_root
def test_a_folder_on_the_way_is_looked_at_too(tmp_path):
    (tmp_path / "shared").mkdir()
    (tmp_path / "mine").mkdir()
    (tmp_path / "shared" / "out").symlink_to(tmp_path / "mine")
    os.lchown(tmp_path / "shared" / "out", OTHER, -1)
    (tmp_path / "shared").chmod(0o1777)
    with pytest.raises(PermissionError):
        followed(tmp_path / "shared" / "out" / "failed.jsonl")


def test_links_that_never_end(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match="too many links"):
        followed(tmp_path / "a")


def test_a_draft_is_whole_or_not_there(tmp_path):
    with AtomicFile(tmp_path / "a") as draft:
        draft.put(b"text")
        assert not (tmp_path / "a").exists()
        draft.keep()
    assert (tmp_path / "a").read_bytes() == b"text"
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


# --- the files of one job -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("journal", "a"), ("dead letter", "a")),
        (("journal", "a"), ("dead letter", "a-wal")),
        (("journal", "a"), ("report", "a-shm")),
        (("journal", "a"), ("report", "a-lock")),
        (("journal", "a"), ("report", "a-mark")),
        (("journal", "a"), ("state", "a")),
        (("journal", "a-wal"), ("state", "a")),
        (("report", "a"), ("report", "a")),
        (("report", "a"), ("report", "./b/../a")),
        (("report", "a"), ("report", "a.0123abcd.new")),
        (("source", "a"), ("report", "a")),
        (("source", "a"), ("dead letter", "a")),
        (("report", "there"), ("report", "same-number")),
        (("report", "there"), ("report", "link")),
        (("dead letter", "there"), ("dead letter", "same-number")),
    ],
)
def test_two_files_that_are_one(tmp_path, monkeypatch, first, second):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "b").mkdir()
    (tmp_path / "there").touch()
    (tmp_path / "same-number").hardlink_to(tmp_path / "there")
    (tmp_path / "link").symlink_to("there")
    for one, other in ((first, second), (second, first)):
        files = [JobFile("--one", one[1], one[0]), JobFile("--other", other[1], other[0])]
        with pytest.raises(ConfigurationError, match=r"--one \(.*\) and --other \(.*\) are one file"):
            check_distinct(files)


@pytest.mark.parametrize("kind", ["journal", "dead letter", "source"])
def test_two_runs_may_share_these(tmp_path, kind):
    check_distinct([JobFile("--one", tmp_path / "a", kind), JobFile("--other", tmp_path / "a", kind)])


def test_others_are_distinct(tmp_path):
    kinds = ("journal", "state", "dead letter", "report", "report", "source")
    check_distinct([JobFile(f"--{number}", tmp_path / f"a{number}", kind) for number, kind in enumerate(kinds)])


@pytest.mark.parametrize("kind", ["journal", "state", "dead letter", "report"])
def test_what_can_not_be_written(tmp_path, kind):
    with pytest.raises(
        ConfigurationError, match=re.escape(f"--it: {tmp_path}/none/a can't be written: there is no folder {tmp_path}/none")
    ):
        check_writable([JobFile("--it", tmp_path / "none" / "a", kind)])
    with pytest.raises(ConfigurationError, match=r"--it: .*it is no regular file"):
        check_writable([JobFile("--it", tmp_path, kind)])


def test_a_folder_that_is_not_writable(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(ConfigurationError, match=r"--it: .*is not writable"):
        check_writable([JobFile("--it", tmp_path / "a", "report")])


def test_a_source_is_not_written(tmp_path):
    check_writable([JobFile("FILE", tmp_path / "none" / "a", "source")])
