"""`Snapshot`: a copy of an SQLite file with what is only in its log, while another connection writes."""

from __future__ import annotations

import errno
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from amili_arm_async import JournalError
from amili_arm_async.sqlite.snapshot import Snapshot


def rows(path):
    with closing(sqlite3.connect(path)) as connection:
        return [row[0] for row in connection.execute("SELECT a FROM t")]


@pytest.fixture
def writer(tmp_path):
    with closing(sqlite3.connect(tmp_path / "file.sqlite", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE t (a)")
        connection.execute("INSERT INTO t VALUES (1)")
        yield connection


def test_it_has_what_is_only_in_the_log(writer, tmp_path):
    path = str(tmp_path / "file.sqlite")
    before = {one.name: (one.stat().st_size, one.stat().st_mtime_ns) for one in tmp_path.iterdir()}
    with closing(Snapshot(path, "journal")) as copy:
        writer.execute("INSERT INTO t VALUES (2)")
        assert rows(copy.path) == [1]
        folder = Path(copy.path).parent
        assert folder.stat().st_mode & 0o777 == 0o700
    assert not folder.exists()
    assert before.keys() == {one.name for one in tmp_path.iterdir()}
    assert rows(path) == [1, 2]


def test_a_log_that_begins_again_meanwhile(writer, tmp_path, monkeypatch):
    path = str(tmp_path / "file.sqlite")
    copied = []

    def copy(source, target, **more):
        if not copied:
            writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            writer.execute("INSERT INTO t VALUES (2)")
        copied.append(source)
        return original(source, target, **more)

    from amili_arm_async.sqlite import snapshot

    original = snapshot.shutil.copyfile
    monkeypatch.setattr(snapshot.shutil, "copyfile", copy)
    with closing(Snapshot(path, "journal")) as found:
        assert rows(found.path) == [1, 2]
    assert copied.count(path) == 2


def test_a_file_that_never_rests(writer, tmp_path, monkeypatch):
    from amili_arm_async.sqlite import snapshot

    original = snapshot.shutil.copyfile

    def copy(source, target, **more):
        writer.execute("INSERT INTO t VALUES (2)")
        writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return original(source, target, **more)

    monkeypatch.setattr(snapshot.shutil, "copyfile", copy)
    with closing(Snapshot(str(tmp_path / "file.sqlite"), "journal")) as found:
        assert rows(found.path)[0] == 1
        assert set(rows(found.path)[1:]) == {2}


def test_a_file_that_others_may_write(writer, tmp_path):
    (tmp_path / "file.sqlite").chmod(0o666)
    with pytest.raises(JournalError, match="every user"):
        Snapshot(str(tmp_path / "file.sqlite"), "journal")


def test_no_file_gives_no_copy(tmp_path):
    with closing(Snapshot(str(tmp_path / "file.sqlite"), "journal")) as copy:
        assert not Path(copy.path).exists()


def test_a_folder_that_is_missing(tmp_path):
    with pytest.raises(JournalError, match="there is no folder"):
        Snapshot(str(tmp_path / "missing" / "file.sqlite"), "journal")


def test_a_full_disk_is_said(writer, tmp_path, monkeypatch):
    from amili_arm_async.sqlite import snapshot

    def full(*_, **more):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(snapshot.shutil, "copyfile", full)
    with pytest.raises(JournalError, match="No space left on device"):
        Snapshot(str(tmp_path / "file.sqlite"), "journal")
