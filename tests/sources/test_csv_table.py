"""CSV as columns: both ways of cutting agree on any text, every line is accounted for, and what is broken is named."""

# ruff: noqa: RUF001 - encodings are about such characters

from __future__ import annotations

import csv
import io
import tracemalloc
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from amili_arm_async import SourceError
from amili_arm_async.sources import csv_table
from amili_arm_async.sources.csv_table import CsvTable

from ..support.examples import many

pytestmark = pytest.mark.quick

KNOWN = {"customerNo", "name", "Kundenr", "Navn"}


class CarefulTable(CsvTable):
    """Reads all line by line."""

    def _quick(self, block: bytes) -> None:
        return None


def cut(content: bytes, step: int = 0, table: type[CsvTable] = CsvTable, **options: Any) -> tuple[CsvTable, list[Any]]:
    """The table, and its rows and broken rows in their order: the number with the cells, or with the fault and the text."""
    made = table(KNOWN, **{"longest": 1_000_000, **options})
    blocks = []
    for begin in range(0, len(content), step or len(content) or 1):
        blocks += made.feed(content[begin : begin + step] if step else content)
    blocks += made.end()
    found: list[Any] = []
    for block in blocks:
        assert len(block.columns) == len(made.names)
        rows: list[Any] = list(zip(block.numbers, zip(*block.columns, strict=True), strict=True))
        assert all(len(column) == len(block.numbers) for column in block.columns)
        for broken in reversed(block.broken):
            rows.insert(broken.before, (broken.number, broken.fault, broken.as_read))
        found += rows
    return made, found


def rows(content: bytes | str, **options: Any) -> list[Any]:
    """The number and the cells, or the number and the fault, of each row."""
    found = cut(content if isinstance(content, bytes) else content.encode(), **options)[1]
    return [(row[0], list(row[1])) if len(row) == 2 else row[:2] for row in found]


HEADER = "customerNo;name\n"


# --- both ways agree --------------------------------------------------------------------------------------------------------

PIECES = [
    "1",
    "Å",
    ";",
    ";",
    ";",
    '"',
    '""',
    "\n",
    "\n",
    "\n",
    "\r\n",
    "\r",
    " ",
    "\x1a",
    "\ufeff",
    "\x1c",
    "\x85",
    "\0",
    "x,y",
    "1;A\n",
    '2;"B"\n',
]
PIECES += [";;\n", "3;C;\n", '"4";"D"\n']
texts = st.lists(st.sampled_from(PIECES), max_size=40).map("".join)
headers = st.sampled_from(
    [HEADER, 'customerNo;"name"\r\n', "customerNo;name;;\n", "\n;customerNo;;name\n", "customerNo\n", "sep=;\nname;customerNo\n"]
)


@many(600)
@given(headers, texts, st.booleans(), st.sampled_from(["utf-8", "cp1252", "cp865"]))
@example(HEADER, '1;"A\n";B\n2;C\n', False, "utf-8")
@example(HEADER, "1;A\n\x1a\n2;B\n\x1a\n\n", False, "utf-8")
@example(HEADER, 'x,yÅ2;"B"\nÅ2;"B"\n', False, "cp1252")
def test_the_quick_way_and_the_careful_one_agree(header, text, extra, encoding):
    content = (header + text).encode(encoding, "replace")
    # The rows begin with a block of their own: the one with the header is never cut quickly. What shows the encoding may be in the next.
    quick, found = cut(content, step=len(header), extra=extra)
    careful, expected = cut(content, step=len(header), table=CarefulTable, extra=extra)
    assert found == expected
    assert (quick.line_count, quick.blank_count, quick.names) == (careful.line_count, careful.blank_count, careful.names)


lines = st.lists(st.sampled_from(["1;A\n", "2;\n", ";B\n", ";\n", "3;C;\n", "4\n", ' ;"D"\n']), max_size=6).map("".join)


@many(600)
@given(headers, texts | lines, st.booleans(), st.sampled_from([0, 1]))
@example(HEADER, "1;A\n2;B\n", False, 0)
@example(HEADER, "1;A;\n2\n", False, 0)
def test_a_column_that_is_wanted_alone_is_the_same(header, text, extra, place):
    content = (header + text).encode()
    place = place if ";" in header else 0
    made = [CsvTable(KNOWN, longest=1_000_000, extra=extra, wanted=wanted) for wanted in (None, [place])]
    found = []
    for table in made:
        blocks = [*table.feed(header.encode()), *table.feed(content[len(header.encode()) :]), *table.end()]
        found.append(([cell for block in blocks for cell in block.columns[place]], [broken for block in blocks for broken in block.broken]))
    assert found[0] == found[1]


@many(500)
@given(headers, texts, st.integers(1, 50), st.sampled_from([8, 40, 1_000_000]))
def test_it_does_not_matter_how_the_bytes_come(header, text, step, longest):
    content = (header + text).encode()
    try:
        expected = cut(content, longest=longest)[1]
    except SourceError:
        with pytest.raises(SourceError):
            cut(content, step, longest=longest)
        return
    assert cut(content, step, longest=longest)[1] == expected


@many(600)
@given(headers, texts, st.integers(1, 200), st.booleans())
@example("customerNo\n", ';"\n\x1c"', 1, False)
def test_every_line_is_a_row_a_broken_row_a_part_of_one_or_blank(header, text, step, extra):
    content = (header + text).encode()
    table, found = cut(content, step, extra=extra)
    counted = sum(
        1 + "\n".join(row[1] if len(row) == 2 else [row[2]]).count("\n") - (len(row[1]) - 1 if len(row) == 2 else 0) for row in found
    )
    lines = content.count(b"\n") + (not content.endswith(b"\n"))
    assert table.line_count == lines
    told = counted + table.blank_count + table.header_count
    # A cell that is passed over may have had line ends in it.
    assert told == lines or (extra and told < lines and '"' in text)
    # What is blank holds nothing but blanks, delimiters, quotation marks and the Ctrl-Z at the end.
    kept = "".join("".join(row[1]) if len(row) == 2 else row[2] for row in found)
    for sign in "1Å\0":
        assert kept.count(sign) == text.count(sign) or extra


@many(200)
@given(
    st.lists(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\ufeff")), min_size=2, max_size=2)),
    st.sampled_from(";,\t"),
    st.sampled_from([0, 1]),
)
def test_what_is_written_is_read(cells, delimiter, quoting):
    file = io.StringIO()
    writer = csv.writer(file, delimiter=delimiter, quoting=quoting)
    writer.writerows([["customerNo", "name"], *cells])
    found = rows(file.getvalue())
    kept = [row for row in cells if any(cell.strip() or not cell.isprintable() for cell in row)]
    assert [row for _, row in found if any(map(str.strip, row))] == [row for row in kept if any(map(str.strip, row))]


def test_a_file_with_nothing_odd_is_cut_quickly(monkeypatch):
    monkeypatch.setattr(CsvTable, "_careful", None)
    table = CarefulTable(KNOWN, longest=1000)
    table.__class__ = CsvTable
    monkeypatch.undo()
    table.feed(HEADER.encode())
    monkeypatch.setattr(CsvTable, "_careful", None)
    for text in ("1;A\n2;B\n", "1;A\r\n2;B\r\n", '1;"A;""B"\n2;B\n', "1;A;;\n2;B;;\n", "1;Åse\n2;\n"):
        assert [list(block.columns[0]) for block in table.feed(text.encode())] == [["1", "2"]]


# --- the header -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", ["", "\ufeff", "sep=;\n", "\ufeffsep=;\r\n", '"sep=;"\n', '\ufeff"SEP=;"\r\n', "sep=;;;\n", "\n\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_what_stands_before_the_header(before, encoding):
    if encoding == "cp1252" and "\ufeff" in before:
        return
    table, found = cut(f"{before}Kundenr;Navn;Beløp, kr\n1;A;2,5\n".encode(encoding))
    assert table.names == ["Kundenr", "Navn", "Beløp, kr"]
    assert [cells for _, cells in found] == [("1", "A", "2,5")]
    assert found[0][0] == before.count("\n") + 2


@pytest.mark.parametrize("delimiter", [";", ",", "\t", "|"])
def test_the_delimiter_with_which_most_names_are_known_is_taken(delimiter):
    assert rows(f"Kundenr{delimiter}Navn{delimiter}a;b,c\td|e\n", delimiter=None) == []
    table, _ = cut(f"Kundenr{delimiter}Navn{delimiter}Annet\n".encode())
    assert table.names == ["Kundenr", "Navn", "Annet"]


def test_of_unknown_names_the_next_line_tells_the_delimiter():
    assert cut(b"No.;Name, full;a, b, c\n1;Ola;x\n")[0].names == ["No.", "Name, full", "a, b, c"]


def test_the_delimiter_is_told():
    assert rows("customerNo:name\n1:A\n", delimiter=":") == [(2, ["1", "A"])]
    assert rows("sep=:\ncustomerNo:name\n1:A\n") == [(3, ["1", "A"])]
    assert rows("customerNo\n1,5\n") == [(2, ["1,5"])]


def test_names_are_given_as_they_are():
    assert cut(b' customerNo ;name;name;;"x\r\ny"\n')[0].names == ["customerNo", "name", "name", "", "x y"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'"customerNo;name\n1;A\n', "quotation marks of the header"),
        (b'customerNo;name;"note\n1;A;x"\n', "quotation marks of the header"),
        (b"customerNo;name\r1;A\r2;B", "classic Mac OS"),
        (b";;\n1;A\n", "no column has a name"),
        ("Kundenr;Beløp\n".encode("cp865"), "perhaps cp865"),
        (b"x" * 3000, "more than 2000 bytes"),
    ],
)
def test_a_header_that_can_not_be_read_ends_it(content, words):
    with pytest.raises(SourceError, match=r"line [123]: ") as raised:
        cut(content, longest=2000)
    assert words in str(raised.value)


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xef\xbb\xbf", b"sep=;\n"])
def test_a_blank_file_has_no_header(content):
    table, found = cut(content)
    assert (table.names, found) == ([], [])


# --- rows -------------------------------------------------------------------------------------------------------------------


def test_a_ragged_row_is_named_and_the_others_go_on():
    assert rows(HEADER + "1;A\n2\n3;B;C\n\n;\n4;D;;") == [
        (2, ["1", "A"]),
        (3, "1 cell, and the header has 2"),
        (4, "3 cells, and the header has 2"),
        (7, ["4", "D"]),
    ]


def test_columns_without_a_name_are_passed_over_where_they_are_blank():
    fault = "a value in column 3, which has no name in the header: name it there, or let extra columns be passed over"
    for content in ("customerNo;name;;\n1;A;;\n;;;\n2;B;x;\n3;C\n4;D; ;\n5;E;;;;\n",):
        assert rows(content) == [
            (2, ["1", "A", "", ""]),
            (4, fault),
            (5, ["3", "C", "", ""]),
            (6, ["4", "D", " ", ""]),
            (7, ["5", "E", "", ""]),
        ]
        assert rows(content, extra=True)[1] == (4, ["2", "B", "x", ""])
    assert rows("customerNo;;name\n1;x;A\n") == [(2, fault.replace("3", "2"))]
    assert rows(HEADER + "1;A;x\n", extra=True) == [(2, ["1", "A"])]
    assert rows(HEADER + "1;A;x\n2;B;y\n") == [(2, "3 cells, and the header has 2"), (3, "3 cells, and the header has 2")]


def test_a_field_in_quotation_marks_over_many_lines():
    content = 'customerNo;name\r\n1;"one; ""two""\r\n\r\nthree"\r\n2;"B"\r\n'
    assert rows(content) == [(2, ["1", 'one; "two"\r\n\r\nthree']), (5, ["2", "B"])]
    assert rows(HEADER + '1;"A\nB";C\n') == [(2, "3 cells (down to line 3), and the header has 2")]


def test_quotation_marks_within_a_field_are_text():
    assert rows(HEADER + '1;5" pipe\n') == [(2, ["1", '5" pipe'])]


@pytest.mark.parametrize("end", ["", "\n"])
def test_a_quotation_mark_that_is_never_closed_costs_its_line_only(end):
    named, *others = rows(HEADER + f'1;"A\n2;B\n3;C{end}')
    assert named[0] == 2
    assert "does not end" in named[1]
    assert others == [(3, ["2", "B"]), (4, ["3", "C"])]


def test_an_open_field_is_given_up_where_it_is_too_long(monkeypatch):
    monkeypatch.setattr(csv_table, "_LONGEST_CELL", 2000)
    lines = [f"{number};A" for number in range(3, 2000)]
    for options in ({}, {"longest": 100}):
        named, *others = rows(HEADER + '1;"A\n' + "\n".join(lines), **options)
        assert "does not end" in named[1]
        assert others == [(number, [str(number), "A"]) for number in range(3, 2000)]


def test_a_line_that_is_too_long_is_named_and_not_kept():
    content = HEADER + f"1;{'x' * 200}\n2;B\n3;{'y' * 200}"
    expected = [(2, "more than 100 bytes"), (3, ["2", "B"]), (4, "more than 100 bytes")]
    assert rows(content, longest=100) == rows(content, longest=100, step=7) == expected
    table = CsvTable(KNOWN, longest=1000)
    table.feed(HEADER.encode())
    tracemalloc.start()
    try:
        for _ in range(1000):
            table.feed(b"x" * 10_000)
        assert tracemalloc.get_traced_memory()[1] < 200_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("end", ["\x1a", "\x1a\x1a\x1a", "\n\x1a", "\r\n\x1a\r\n", "\n\x1a\n\n", "\n\x1a \n\n\x1a"])
def test_ctrl_z_at_the_end_is_passed_over(end):
    assert rows(HEADER + f"1;A{end}") == [(2, ["1", "A"])]


def test_control_characters_are_characters_wherever_they_stand():
    assert rows(HEADER + "1;O\0la\n2;\x1aB\n\x1a\n3;\x1a\n") == [
        (2, ["1", "O\0la"]),
        (3, ["2", "\x1aB"]),
        (4, "1 cell, and the header has 2"),
        (5, ["3", "\x1a"]),
    ]
    assert rows("customerNo\n\x1a\n5\n") == [(2, ["\x1a"]), (3, ["5"])]
    assert rows(HEADER + "\x1c;\x0b\n") == [(2, ["\x1c", "\x0b"])]


def test_a_byte_order_mark_at_the_beginning_of_a_line_is_dropped():
    assert rows(HEADER + "1;A\n\ufeffcustomerNo;name\n\ufeff2;\ufeffB\n") == [
        (2, ["1", "A"]),
        (3, ["customerNo", "name"]),
        (4, ["2", "\ufeffB"]),
    ]


# --- encodings --------------------------------------------------------------------------------------------------------------


def test_windows_1252_is_found_behind_much_plain_text():
    content = HEADER.encode() + b"1;A\n" * 50_000 + "2;Ærlig Ås\n3;Müller – Søn\n".encode("cp1252")
    assert rows(content, step=10_000)[-2:] == [(50_002, ["2", "Ærlig Ås"]), (50_003, ["3", "Müller – Søn"])]


def test_lines_that_contradict_the_file_are_refused():
    latin = [f"{number};Bjørn Ødegård\n".encode("cp1252") for number in range(1000)]
    strange = ["x;Troms›\n".encode("cp1252"), "x;Bjørn\n".encode()]
    found = rows(HEADER.encode() + b"".join([*latin, *strange, *latin]), step=5000)
    assert [row for row in found if isinstance(row[1], str)] == [
        (number, "not Windows-1252, which the file is so far: save it in one encoding, or say which it has (encoding=, --encoding)")
        for number in (1002, 1003)
    ]
    assert len(found) == 2002


def test_an_encoding_that_is_not_sure_is_refused_line_by_line():
    content = "customerNo;name\n1;Grønn Mat\n2;Plain\n3;Bjørn\n".encode("cp865")
    first, second, third = rows(content)
    assert second == (3, ["2", "Plain"])
    assert first[1].startswith(
        "neither UTF-8 nor surely Windows-1252: say which encoding the file has, perhaps cp865 (encoding=, --encoding)"
    )
    assert third[1] == first[1]


def test_half_an_emoji_is_refused_by_its_line():
    content = HEADER.encode() + "1;Å\n".encode() + b"2;\xed\xa0\xbd\n3;B\n"
    found = rows(content)
    assert [row[0] for row in found] == [2, 3, 4]
    assert "half an emoji" in found[1][1]
