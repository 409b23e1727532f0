"""What is broken in a file costs neither memory nor the records behind it."""

from __future__ import annotations

import io
import itertools
import tracemalloc
from collections.abc import Iterable
from typing import Any

import pytest

from amili_arm_async import UnreadableRecord, open_records

HEADER = b"customerNo;name;dueDays\n"
ROWS = 30_000


class Stream(io.RawIOBase):
    """A file that is made while it is read."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return next(self._pieces, b"")


def rows(count: int = ROWS) -> Iterable[bytes]:
    return (b"%d;Navn;14\n" % number for number in range(count))


def blocks(*parts: Iterable[bytes]) -> Iterable[bytes]:
    """In pieces as large as those of a file."""
    every = itertools.chain(*parts)
    return iter(lambda: b"".join(itertools.islice(every, 1000)), b"")


async def read(pieces: Iterable[bytes], kind: Any = "customers", form: Any = "csv", **more: Any) -> tuple[int, list[str], int]:
    """How many good records there are, what is wrong with the others, and the most memory that was held."""
    good, faults = 0, []
    tracemalloc.start()
    try:
        async for record in open_records(Stream(pieces), kind, format=form, **more):
            if isinstance(record, UnreadableRecord):
                faults.append(record.fault)
            else:
                good += 1
        return good, faults, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.fixture
def short_cells(monkeypatch) -> None:
    """What a cell may hold is less than a block, so that a part of these files shows what a whole one of them costs."""
    monkeypatch.setattr("amili_arm_async.sources.csv_table._LONGEST_CELL", 2000)


@pytest.mark.usefixtures("short_cells")
@pytest.mark.parametrize("at", ["first", "last"])
async def test_one_unclosed_quotation_mark_costs_its_row_and_no_memory(at) -> None:
    stray = [b'x;"open;14\n']
    parts = [[HEADER], stray, rows()] if at == "first" else [[HEADER], rows(), stray]
    good, faults, peak = await read(blocks(*parts))
    line = 2 if at == "first" else ROWS + 2
    assert (good, faults) == (ROWS, [f"line {line}: a quotation mark opens a field that does not end, or ends before other text"])
    assert peak < 4_000_000


@pytest.mark.usefixtures("short_cells")
async def test_many_of_them_cost_their_rows_alone() -> None:
    some = (b'%d;"Navn;14\n' % number if number % 5000 == 0 else b"%d;Navn;14\n" % number for number in range(ROWS))
    good, faults, peak = await read(blocks([HEADER], some))
    assert good == ROWS - len(faults)
    assert [int(fault.split(":")[0][5:]) for fault in faults] == list(range(2, ROWS, 5000))
    assert peak < 4_000_000


@pytest.mark.usefixtures("short_cells")
async def test_doubled_marks_in_lines_behind_it_do_not_keep_it_open() -> None:
    """Each line holds marks, and none of them ends the field."""
    inner = (b'a ""b"" %d\n' % number for number in range(ROWS))
    _, faults, peak = await read(blocks([HEADER], [b'x;"open\n'], inner))
    assert faults[0].startswith("line 2: a quotation mark")
    assert len(faults) == ROWS + 1
    assert peak < 6_000_000


async def test_a_field_of_many_lines_is_read_whole() -> None:
    long = b"\n".join([b"x" * 99] * 1300)
    header = b"customerNo;customerMessage;dueDays\n"
    good, faults, _ = await read([header, b'1;"' + long + b'";14\n', b'2;"a\n"";b";14\n'])
    assert (good, faults) == (2, [])


@pytest.mark.parametrize("end", [b'1;"' + b"x" * 140_000 + b'";14\n', b'1;"' + b"xxxxxx\n" * 20_000 + b'";14\n'])
async def test_a_cell_that_is_too_long_is_named(end) -> None:
    good, faults, _ = await read([HEADER, end, b"2;B;14\n"])
    assert good == 1
    assert faults[0].startswith("line 2: ")


@pytest.mark.parametrize(("form", "begin", "end"), [
    ("jsonl", b'{"customerNo":"1"}\n{"name":"', b'"}\n{"customerNo":"3"}\n'),
    ("csv", HEADER + b"1;A;14\n2;", b";14\n3;B;14\n"),
    ("csv", HEADER + b'1;A;14\n2;"', b'";14\n3;B;14\n'),
])  # fmt: skip
async def test_a_line_without_end_is_named_and_not_kept(form, begin, end) -> None:
    good, faults, peak = await read(itertools.chain([begin], itertools.repeat(b"x" * 100_000, 1000), [end]), form=form, longest=1_000_000)
    assert good == 2
    assert faults == [f"line {3 if form == 'csv' else 2}: more than 1000000 bytes"]
    assert peak < 4_000_000


async def test_a_document_of_rows_without_end_is_named_and_not_kept(monkeypatch) -> None:
    monkeypatch.setattr("amili_arm_async.sources.documents.MOST_ROWS", 1000)
    header = b"documentNo;customerNo;documentType;documentLines.lineNo\n"
    lines = (b"1;1;IN;%d\n" % number for number in range(ROWS))
    good, faults, peak = await read(blocks([header], lines, [b"2;1;IN;1\n"]), "documents")
    assert (good, faults) == (1, ["line 1002: the document has more than 1000 rows"])
    assert peak < 8_000_000
