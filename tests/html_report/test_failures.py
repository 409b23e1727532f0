"""The failures as CSV: what is in a row, what a spreadsheet makes of it, and how much memory a million rows take."""

from __future__ import annotations

import csv
import io
import os
import stat
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amili_arm_async import RecordOutcome
from amili_arm_async.bulk.reasons import explain
from amili_arm_async.cli.html_report.writers import Failure, write_failures

DANGEROUS = "=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"


def outcome(index=0, key="1", reason="400", message=None):
    return RecordOutcome(index, key, "rejected", reason, message)


def rows_of(path, delimiter=";"):
    text = path.read_bytes().decode("utf-8-sig" if delimiter == ";" else "utf-8")
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))


def test_a_row_for_each_failure(tmp_path) -> None:
    file = tmp_path / "failures.csv"
    failures = [Failure("customers", outcome(3, "Å;1", message="Kari"), 4), Failure("documents", outcome(9, None, ""), None)]
    assert write_failures(file, iter(failures)) == 2
    assert file.read_bytes().startswith("\ufeffpart;index;line;key;state;reason;meaning;remedy;message\r\n".encode())
    rows = [[*row[:6], row[8]] for row in rows_of(file)[1:]]
    assert rows == [["customers", "3", "4", "Å;1", "rejected", "400", ""], ["documents", "9", "", "", "rejected", "", ""]]
    assert rows_of(file)[1][6:8] == list(explain("rejected", "400", "customers"))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_messages_only_where_they_are_asked_for(tmp_path) -> None:
    file = tmp_path / "failures.csv"
    write_failures(file, [Failure("customers", outcome(message="=Kari"), 1)], messages=True)
    assert [row[-1] for row in rows_of(file)] == ["message", "'=Kari"]


def test_with_commas_for_programs(tmp_path) -> None:
    file = tmp_path / "failures.csv"
    write_failures(file, [Failure("customers", outcome(key="a,b"), 1)], delimiter=",")
    assert file.read_bytes().startswith(b"part,index,")
    assert rows_of(file, ",")[1][3] == "a,b"


@given(st.text() | st.builds(str.__add__, st.sampled_from([*DANGEROUS, " =", "\u00a0@"]), st.text()))
def test_no_cell_is_a_formula_and_every_cell_is_read_again(tmp_path_factory, key) -> None:
    file = tmp_path_factory.mktemp("csv") / "failures.csv"
    write_failures(file, [Failure("customers", outcome(key=key, reason=key), 1)])
    [_, row] = rows_of(file)
    assert len(row) == 9
    for cell in (row[3], row[5]):
        assert not cell.lstrip().startswith(tuple(DANGEROUS))
        assert cell.removeprefix("'") == key.replace("\x00", "\ufffd").removeprefix("'")


def test_half_a_surrogate_is_written_out(tmp_path) -> None:
    file = tmp_path / "failures.csv"
    write_failures(file, [Failure("customers", outcome(key="a\ud800"), 1)])
    assert rows_of(file)[1][3] == "a\\ud800"


@pytest.mark.proof
def test_memory_does_not_grow_with_the_rows(tmp_path) -> None:
    def peak(rows):
        tracemalloc.start()
        try:
            write_failures(tmp_path / "failures.csv", (Failure("documents", outcome(at, str(at)), at + 1) for at in range(rows)))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(10)
    assert peak(100_000) < peak(10_000) + 50_000


def test_a_source_that_raises_leaves_the_old_file(tmp_path) -> None:
    file = tmp_path / "failures.csv"
    file.write_bytes(b"old")

    def failures():
        yield Failure("customers", outcome(), 1)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_failures(file, failures())
    assert file.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["failures.csv"]
