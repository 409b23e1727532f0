"""The lines of documents in a second file."""

from __future__ import annotations

import io
import os
import random

import pytest

from amili_arm_async import SourceError, UnreadableRecord, open_records

DOCUMENTS = "documentNo;customerNo\n3;1\n1;1\n2;2\n"
LINES = "Fakturanr;Linje;Sum\n1;1;10,50\n2;1;1.000\n3;1;5\n1;2;20\n"
COLUMNS = {"Fakturanr": "documentNo", "Linje": "lineNo", "Sum": "currencyAmounts.inclVat"}


async def read(documents, lines, **options):
    given = {"line_columns": COLUMNS} | options
    records = open_records(io.BytesIO(documents.encode()), "documents", lines=io.BytesIO(lines.encode()), **given)
    found = [record async for record in records]
    return [(records.place(index), record.fault if isinstance(record, UnreadableRecord) else record) for index, record in enumerate(found)]


def amounts(record):
    return [(line["lineNo"], str(line["currencyAmounts"]["inclVat"])) for line in record["documentLines"]]


async def test_lines_are_found_by_the_number_of_their_document_in_any_order():
    found = await read(DOCUMENTS, LINES)
    # 10,50 proves that the sign before decimals is a comma.
    assert [(record["documentNo"], amounts(record)) for _, record in found] == [
        ("3", [(1, "5")]),
        ("1", [(1, "10.50"), (2, "20")]),
        ("2", [(1, "1000")]),
    ]


async def test_what_has_no_counterpart_is_named_unless_it_is_allowed():
    documents, lines = DOCUMENTS + "4;1\n", LINES + "9;1;1,50\n9;2;2,50\n"
    found = await read(documents, lines)
    assert found[3] == (
        "line 5",
        "no line in the file has its documentNo: let documents have no lines (lines_optional=True, --lines-optional), or add them",
    )
    assert [place for place, _ in found[4:]] == ["the file, line 6", "the file, line 7"]
    assert all("no document has this documentNo" in fault for _, fault in found[4:])
    found = await read(documents, lines, lines_optional=True)
    assert [record.get("documentNo") for _, record in found] == ["3", "1", "2", "4"]
    assert "documentLines" not in found[3][1]


async def test_a_bad_line_refuses_its_document():
    found = await read(DOCUMENTS, LINES + "2;2;x\n")
    assert [isinstance(record, dict) for _, record in found] == [True, True, False]
    assert found[2][1].startswith("the file, line 6, column Sum (documentLines.currencyAmounts.inclVat): not a number")


@pytest.mark.parametrize("bad", ["broken", ";1;5"])
async def test_a_row_that_may_be_a_line_of_any_document_holds_those_beside_it(bad):
    found = await read(DOCUMENTS, f"Fakturanr;Linje;Sum\n1;1;1\n{bad}\n2;1;1\n3;1;5\n")
    told = dict(found)
    assert isinstance(told["line 2"], dict)
    assert "line 3 after its lines can't be read" in told["line 3"]
    assert "line 3 before its lines can't be read" in told["line 4"]
    assert told["the file, line 3"].startswith("the file, line 3: ")


async def test_rows_that_are_no_lines_are_named_alone():
    found = await read(DOCUMENTS, LINES + "Sum;;35,50\n")
    assert [isinstance(record, dict) for _, record in found] == [True, True, True, False]
    assert "no record" in found[3][1]


async def test_lines_may_have_the_names_of_the_api_in_full_or_below_the_lines():
    expected = [{"lineNo": 1, "price": 2}]
    for name in ("price", "documentLines.price"):
        (found,) = await read("documentNo\n1\n", f"documentNo;lineNo;{name}\n1;1;2\n", line_columns=None)
        assert found[1]["documentLines"] == expected


async def test_what_can_not_be_joined_is_said():
    with pytest.raises(SourceError, match="it has lines"):
        await read("documentNo;documentLines.lineNo\n1;1\n", LINES)
    with pytest.raises(SourceError, match="the lines in the file: no column is documentNo"):
        await read(DOCUMENTS, "lineNo;price\n1;1\n", line_columns=None)
    with pytest.raises(SourceError, match=r"--line-column"):
        await read(DOCUMENTS, "documentNo;Varepris\n1;1\n", line_columns=None)
    with pytest.raises(SourceError, match="are JSON"):
        await read(DOCUMENTS, '{"documentNo":"1"}\n', line_columns=None)
    with pytest.raises(SourceError, match="there is nothing in the file of lines"):
        await read(DOCUMENTS, "\n", line_columns=None)
    (found, *_) = await read("documentNo\ndocumentNo\n1\n", "documentNo;lineNo\n1;1\n", line_columns=None)
    assert found[1].endswith("the header again, and no record: leave it out")
    with pytest.raises(SourceError, match=r'1 column is no field of the lines of documents: column 2, "customerNo"'):
        await read(DOCUMENTS, "documentNo;customerNo;lineNo\n1;1;1\n", line_columns=None)


async def test_many_documents_and_lines_in_random_order():
    random.seed(3)
    numbers = list(range(3000))
    lines = [(number, place) for number in numbers for place in range(number % 4)]
    random.shuffle(numbers)
    random.shuffle(lines)
    documents = "documentNo\n" + "".join(f"{number}\n" for number in numbers)
    text = "documentNo;lineNo\n" + "".join(f"{number};{place}\n" for number, place in lines)
    found = await read(documents, text, line_columns=None, lines_optional=True)
    assert [record["documentNo"] for _, record in found] == list(map(str, numbers))
    for _, record in found:
        places = [line["lineNo"] for line in record.get("documentLines", [])]
        assert sorted(places) == list(range(int(record["documentNo"]) % 4))


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="it looks at the open files as Linux has them")
async def test_nothing_is_left_open_or_on_the_disk(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("SQLITE_TMPDIR", str(tmp_path))
    before = set(os.listdir("/proc/self/fd"))
    await read(DOCUMENTS, LINES)
    assert list(tmp_path.iterdir()) == []
    assert len(os.listdir("/proc/self/fd")) <= len(before)


async def test_whose_lines_they_are_is_not_known_where_documents_have_the_same_number():
    # The first of them would be sent with the lines of both.
    found = await read(DOCUMENTS + "1;2\n", LINES)
    told = dict(found)
    assert isinstance(told["line 2"], dict)
    assert isinstance(told["line 4"], dict)
    for place in ("line 3", "line 5"):
        assert "another line has this documentNo too" in told[place]


async def test_documents_of_a_table_that_is_read_once_are_compared_too():
    pa = pytest.importorskip("pyarrow")
    documents = pa.table({"documentNo": ["1", "1"], "customerNo": ["1", "2"]})
    records = open_records(documents, "documents", lines=io.BytesIO(LINES.encode()), line_columns=COLUMNS, lines_optional=True)
    assert [isinstance(record, UnreadableRecord) async for record in records] == [True, True]


async def test_a_number_alone_is_no_line():
    found = await read("documentNo\n1\n2\n", "Fakturanr;Linje;Sum\n1;1;1\n1;;\n2;;\n")
    assert amounts(found[0][1]) == [(1, "1")]
    assert "no line in the file has its documentNo" in found[1][1]


async def test_a_line_whose_number_was_changed_by_a_tool_is_of_the_document():
    found = await read("documentNo\n1\n", "Fakturanr;Linje;Sum\n1;1;1\n1.0;2;2\n")
    assert amounts(found[0][1]) == [(1, "1"), (2, "2")]


@pytest.mark.parametrize("broken", ["2;3;4;5", '"2;3;4', "2;9"])
async def test_a_broken_line_of_a_document_holds_it_wherever_it_stands(broken):
    found = await read(DOCUMENTS, f"Fakturanr;Linje;Sum\n2;1;1\n3;1;5\n{broken}\n3;2;5\n1;1;5\n")
    told = dict(found)
    assert "the file, line 4 can't be read, and may be one of its lines" in told["line 4"]
    assert isinstance(told["line 3"], dict)
