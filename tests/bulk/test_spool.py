"""The spool: rows come back in order, as often as wanted, whether they are in memory, on disk, or the disk is full."""

from __future__ import annotations

import errno
import gc
import os
import stat
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amili_arm_async.bulk import spool as spool_module
from amili_arm_async.bulk.spool import Spool

pytestmark = pytest.mark.quick


class Line(msgspec.Struct, array_like=True):
    number: int
    text: str


def filled(rows: list[Line]) -> Spool[Line]:
    made: Spool[Line] = Spool(Line)
    for row in rows:
        made.append(row)
    return made


@pytest.fixture(params=[0, 40, 262_144], ids=["always on disk", "a little in memory", "as it is"])
def in_memory(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(spool_module, "IN_MEMORY", request.param)
    return int(request.param)


ROWS = st.lists(st.builds(Line, st.integers(0, 2**40), st.text(st.characters(exclude_categories=["Cs"]), max_size=30)), max_size=40)


@settings(max_examples=80)
@given(ROWS, st.sampled_from([0, 40, 1000]), st.sampled_from([8, 64, 65_536]))
def test_rows_come_back_in_order_and_as_often_as_wanted(rows, in_memory, read) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spool_module, "IN_MEMORY", in_memory)
        patch.setattr(spool_module, "_READ", read)
        made = filled(rows)
        assert len(made) == len(rows)
        assert list(made) == list(made) == rows


def test_many_rows_keep_little_in_memory() -> None:
    made = filled([Line(number, "x" * 100) for number in range(20_000)])
    assert sum(map(len, made._memory)) <= spool_module.IN_MEMORY
    assert [row.number for row in made] == list(range(20_000))


def test_a_row_larger_than_what_is_read_at_a_time(in_memory) -> None:
    rows = [Line(1, "a"), Line(2, "x" * 300_000), Line(3, "b"), Line(4, "y" * 70_000), Line(5, "")]
    assert list(filled(rows)) == rows


def test_two_readers_and_a_writer_at_once(in_memory) -> None:
    made = filled([Line(number, "first") for number in range(50)])
    one, two = iter(made), iter(made)
    seen = [next(one).number for _ in range(10)]
    for number in range(50, 5000):
        made.append(Line(number, "later"))
    assert [row.number for row in two] == list(range(5000))
    assert seen + [row.number for row in one] == list(range(50))
    assert [row.number for row in made] == list(range(5000))


def test_a_full_disk_loses_no_row(monkeypatch, in_memory) -> None:
    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    made = filled([Line(number, "before") for number in range(3000)])
    monkeypatch.setattr(os, "pwrite", full)
    for number in range(3000, 9000):
        made.append(Line(number, "after"))
    assert [row.number for row in made] == list(range(9000))


def test_a_disk_that_fills_up_in_the_middle_of_a_write_loses_no_row(monkeypatch) -> None:
    monkeypatch.setattr(spool_module, "IN_MEMORY", 500)
    real, left = os.pwrite, [1234]

    def nearly_full(fd: int, data: Any, offset: int) -> int:
        number = min(len(data), 100, left[0])
        if not number:
            raise OSError(errno.ENOSPC, "No space left on device")
        left[0] -= number
        return real(fd, data[:number], offset)

    monkeypatch.setattr(os, "pwrite", nearly_full)
    made = filled([Line(number, "x" * 20) for number in range(500)])
    assert left == [0]
    assert [row.number for row in made] == list(range(500))


def test_no_temporary_directory_loses_no_row(monkeypatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(spool_module, "IN_MEMORY", 0)
    monkeypatch.setattr(spool_module.tempfile, "mkstemp", refuse)
    assert [row.number for row in filled([Line(number, "") for number in range(100)])] == list(range(100))


def test_the_file_has_no_name_is_private_and_goes_with_the_spool(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(spool_module, "IN_MEMORY", 0)
    monkeypatch.setattr(spool_module.tempfile, "tempdir", str(tmp_path))
    made = filled([Line(1, "secret")])
    fd = made._fd
    assert list(tmp_path.iterdir()) == []
    assert stat.S_IMODE(os.fstat(fd).st_mode) == 0o600
    del made
    gc.collect()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
