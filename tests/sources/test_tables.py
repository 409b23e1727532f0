"""CSV as records: what each cell becomes, how the file is recognised, and what is said of rows that can't be read."""

from __future__ import annotations

import csv
import io
from contextlib import suppress
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amili_arm_async import ConfigurationError, RecordError, SourceError, UnreadableRecord, open_records
from amili_arm_async.sources.mapping import field_names

from ..support.examples import many


async def read(content, kind="customers", **options):
    """Each record with its place; of one that could not be read, the fault."""
    options = {"format": "csv", **options}
    records = open_records(io.BytesIO(content if isinstance(content, bytes) else content.encode()), kind, **options)
    found = [record async for record in records]
    return [(records.place(index), record.fault if isinstance(record, UnreadableRecord) else record) for index, record in enumerate(found)]


async def one(content, kind="customers", **options):
    ((_, record),) = await read(content, kind, **options)
    return record


async def fault(content, kind="customers", **options):
    with pytest.raises(SourceError) as raised:
        await read(content, kind, **options)
    return str(raised.value)


# --- cells ----------------------------------------------------------------------------------------------------------------


async def test_a_customer_of_a_norwegian_spreadsheet():
    header = "customerNo;name;postalAddress.cityName;postalAddress.postalCode;phoneNo;limitAmount;dueDays;dateOfBirth;vatLiable"
    header += ";emailAddressDocument"
    row = "000123;Åse Ødegård;Tromsø;0010;004790012345;1\u00a0234,50;14;17.05.1984;ja;a@b.no | c@d.no"
    expected = {
        "customerNo": "000123",
        "name": "Åse Ødegård",
        "postalAddress": {"cityName": "Tromsø", "postalCode": "0010"},
        "phoneNo": "004790012345",
        "limitAmount": Decimal("1234.50"),
        "dueDays": 14,
        "dateOfBirth": "1984-05-17",
        "vatLiable": True,
        "emailAddressDocument": ["a@b.no", "c@d.no"],
    }
    text = f"{header}\r\n{row}\r\n"
    for encoding in ("utf-8", "utf-8-sig", "cp1252", "utf-16"):
        assert await one(text.encode(encoding), format="auto") == expected


CELLS = [
    ("limitAmount", "1234,5", Decimal("1234.5")),
    ("limitAmount", "-1 234 567.05", Decimal("-1234567.05")),
    ("limitAmount", "1\u202f234,00", Decimal("1234.00")),
    ("limitAmount", "\u22125", Decimal(-5)),
    ("dueDays", "1 000", 1000),
    ("limitAmount", "1.234,50", Decimal("1234.50")),
    ("stopReminderUntil", "2026-02-28", "2026-02-28"),
    ("stopReminderUntil", "1.2.2026", "2026-02-01"),
    ("stopReminderUntil", "2026-02-28 00:00:00", "2026-02-28"),
    ("vatLiable", "NEI", False),
    ("vatLiable", "0", False),
    ("vatLiable", "SANN", True),
    ("vatLiable", "1", True),
    ("arRules", "NoBalFwd", ["NoBalFwd"]),
    ("name", "1,23E+09", "1,23E+09"),
]


@pytest.mark.parametrize(("name", "cell", "value"), CELLS)
async def test_a_cell_becomes_a_value_of_its_field(name, cell, value):
    assert (await one(f"customerNo;{name}\n1;{cell}"))[name] == value


@pytest.mark.parametrize(
    ("name", "cell", "words"),
    [
        ("limitAmount", "1.234", "two meanings"),
        ("limitAmount", "12 34", "not a number"),
        ("limitAmount", "NaN", "a word that tools write for a missing value"),
        ("limitAmount", "kr 5", "write the number alone"),
        ("dueDays", "14,5", "not a whole number"),
        ("dateOfBirth", "31.02.2026", "no such day"),
        ("dateOfBirth", "05/17/1984", "not a date"),
        ("vatLiable", "kanskje", "not a boolean"),
        ("phoneNo", "4,79001E+11", "shortened"),
    ],
)
async def test_a_cell_that_is_no_value_costs_its_row_only_and_is_not_quoted(name, cell, words):
    first, second = await read(f"customerNo;{name}\n7;{cell}\n8;\n")
    assert first[0] == "line 2"
    assert first[1].startswith(f"line 2, column {name}: ")
    assert words in first[1]
    assert cell not in first[1].partition(": ")[2].replace("such as 1 234,50", "")
    assert second == ("line 3", {"customerNo": "8"})


async def test_a_faulty_record_knows_its_key_and_what_was_read():
    records = open_records(io.BytesIO(b"customerNo;dueDays\n7;x"), format="csv")
    (record,) = [record async for record in records]
    assert record.get("customerNo") == "7"
    assert record.as_read == {"customerNo": "7", "dueDays": "x"}
    with pytest.raises(RecordError, match="line 2, column dueDays"):
        dict(record)
    assert "7" not in repr(record)


async def test_a_blank_cell_is_not_given_and_a_word_clears():
    content = "customerNo;name;dateOfBirth;arRules;dueDays\n1;;;;\n2;-;-;-;\n3;;;;-\n"
    found = await read(content, clear="-")
    assert found[0][1] == {"customerNo": "1"}
    assert found[1][1] == {"customerNo": "2", "name": "", "dateOfBirth": "", "arRules": []}
    assert found[2][1] == "line 4, column dueDays: a field of type integer can't be cleared by a blank"


async def test_every_field_can_be_a_column():
    for kind in ("customers", "documents"):
        header = ";".join(sorted(field_names(kind)))
        assert await read(f"{header}\n", kind) == []


# --- the header -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delimiter", [";", ",", "\t", "|"])
async def test_the_delimiter_is_found_in_the_header(delimiter):
    assert await one(f"customerNo{delimiter}name\n1{delimiter}A") == {"customerNo": "1", "name": "A"}


async def test_the_delimiter_is_told():
    assert await one("customerNo:name\n1:A", delimiter=":") == {"customerNo": "1", "name": "A"}
    assert await one("sep=:\ncustomerNo:name\n1:A") == {"customerNo": "1", "name": "A"}
    assert await one("customerNo\n1,5") == {"customerNo": "1,5"}


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (
            "customerNo;Name",
            '1 column is no field of customers: column 2, "Name" (did you mean name?): say which field each is, with columns=',
        ),
        ("name;dueDays", "no column is customerNo, the number of a record: say which column it is"),
        ("customerNo;postalAdress.cityName", "did you mean postalAddress.cityName?"),
        ("customerNo;cityName", "did you mean postalAddress.cityName?"),
        ("customerNo;postalAddress", 'no field of customers: column 2, "postalAddress"'),
        ("customerNo;\x1b[2J", 'no field of customers: column 2, "?[2J"'),
        ("\x22customerNo;name", "quotation marks of the header"),
        ("customerNo;name\r1;A\r2;B", "classic Mac OS"),
        ("customerNo;documentNo", 'no field of customers: column 2, "documentNo"'),
        ("x" * 5000, "..."),
    ],
)
async def test_a_header_that_is_wrong_ends_it(header, words):
    assert words in await fault(f"{header}\n1;2\n")


async def test_extra_columns_are_passed_over_where_that_is_allowed():
    assert await one("customerNo;saldo\n1;5", extra_columns=True) == {"customerNo": "1"}
    assert "no column is a field" in await fault("a;b\n1;2", extra_columns=True)


# --- rows -----------------------------------------------------------------------------------------------------------------


async def test_a_ragged_row_is_named_and_the_others_go_on():
    found = await read("customerNo;name\n1;A\n2\n3;B;C\n\n;\n4;D")
    assert found == [
        ("line 2", {"customerNo": "1", "name": "A"}),
        ("line 3", "line 3: 1 cell, and the header has 2"),
        ("line 4", "line 4: 3 cells, and the header has 2"),
        ("line 7", {"customerNo": "4", "name": "D"}),
    ]


async def test_a_field_in_quotation_marks_over_many_lines():
    content = 'customerNo;customerMessage;name\r\n1;"one; ""two""\r\n\r\nthree";A\r\n2;x;"B"\r\n'
    assert await read(content) == [
        ("line 2", {"customerNo": "1", "customerMessage": 'one; "two"\r\n\r\nthree', "name": "A"}),
        ("line 5", {"customerNo": "2", "customerMessage": "x", "name": "B"}),
    ]


async def test_quotation_marks_within_a_field_are_text():
    assert await one('customerNo;name\n1;5" pipe') == {"customerNo": "1", "name": '5" pipe'}


@pytest.mark.parametrize("end", ["", "\n"])
async def test_a_quotation_mark_that_is_never_closed_costs_its_line_only(end):
    found = await read(f'customerNo;name\n1;"A\n2;B\n3;C{end}')
    assert [place for place, _ in found] == ["line 2", "line 3", "line 4"]
    assert "does not end" in found[0][1]
    assert found[1:] == [("line 3", {"customerNo": "2", "name": "B"}), ("line 4", {"customerNo": "3", "name": "C"})]


async def test_a_quotation_mark_that_is_closed_by_the_next_line_costs_its_line_only():
    found = await read('customerNo;name\n1;"A\n2;"B"\n3;C')
    assert [place for place, _ in found] == ["line 2", "line 3", "line 4"]
    assert isinstance(found[0][1], str)
    assert found[1][1] == {"customerNo": "2", "name": "B"}


async def test_an_open_field_that_is_too_long_is_given_up():
    lines = "".join(f"{number};A\n" for number in range(2, 100))
    found = await read(f'customerNo;name\n1;"A\n{lines}', longest=100)
    assert len(found) == 99
    assert isinstance(found[0][1], str)
    assert all(isinstance(record, dict) for _, record in found[1:])


async def test_a_line_that_is_too_long():
    found = await read(f"customerNo;name\n1;{'x' * 200}\n2;B", longest=100)
    assert found == [("line 2", "line 2: more than 100 bytes"), ("line 3", {"customerNo": "2", "name": "B"})]


# --- encodings ------------------------------------------------------------------------------------------------------------


async def test_windows_1252_is_found_behind_much_plain_text():
    content = b"customerNo;name\n" + b"1;A\n" * 100_000 + "2;Ærlig Ås\n".encode("cp1252")
    assert (await read(content))[-1] == ("line 100002", {"customerNo": "2", "name": "Ærlig Ås"})


async def test_a_line_of_another_encoding_is_refused_and_never_guessed_at():
    rows = ["1;Åse", "2;Ås", "3;Bø"]
    head = b"customerNo;name\n"
    mixed = head + f"{rows[0]}\n{rows[1]}\n".encode() + rows[2].encode("cp1252")
    found = await read(mixed)
    assert found[0][1]["name"] == "Åse"
    assert found[2][1].startswith("line 4: not UTF-8, which the file is so far")
    mixed = head + f"{rows[0]}\n{rows[1]}\n".encode("cp1252") + rows[2].encode()
    found = await read(mixed)
    assert found[1][1]["name"] == "Ås"
    assert found[2][1].startswith("line 4: not Windows-1252, which the file is so far")


async def test_the_encoding_is_told():
    assert (await one("customerNo;name\n1;Åse".encode("latin-1"), encoding="latin-1"))["name"] == "Åse"
    assert (await one("customerNo;name\n1;Åse".encode("utf-16-le"), encoding="utf-16-le", format="auto"))["name"] == "Åse"
    found = await read("customerNo;name\n1;Åse\n2;B".encode("latin-1"), encoding="utf-8")
    assert found[0][1].startswith("line 2: not UTF-8")
    assert found[1][1] == {"customerNo": "2", "name": "B"}
    (record,) = [record async for record in open_records(io.BytesIO('{"a":"Å"}'.encode("utf-16")))]
    assert record == '{"a":"Å"}'.encode()


async def test_utf_16_that_is_cut_off_names_its_last_line():
    content = "customerNo;name\n1;A\n2;B".encode("utf-16")[:-1]
    found = await read(content)
    assert found[0][1] == {"customerNo": "1", "name": "A"}
    assert found[1][1].startswith("line 3: ")


@pytest.mark.parametrize(
    "options",
    [
        {"encoding": "ebcdic"},
        {"encoding": "base64"},
        {"encoding": "idna"},
        {"delimiter": ";;"},
        {"delimiter": '"'},
        {"format": "xml"},
        {"longest": 0},
    ],
)
def test_options_that_are_wrong(options):
    with pytest.raises(ConfigurationError):
        open_records(io.BytesIO(b""), **options)


# --- documents ------------------------------------------------------------------------------------------------------------

HEADER = "documentNo;customerNo;currencyAmounts.inclVat;documentLines.lineNo;documentLines.currencyAmounts.inclVat\n"


async def test_rows_of_one_document_are_put_together():
    found = await read(HEADER + "10;1;30,00;1;10,00\n10;1;30,00;2;20,00\n11;1;5;1;5\n12;1;;;\n", "documents", format="auto")
    lines = [
        {"lineNo": 1, "currencyAmounts": {"inclVat": Decimal("10.00")}},
        {"lineNo": 2, "currencyAmounts": {"inclVat": Decimal("20.00")}},
    ]
    first = {"documentNo": "10", "customerNo": "1", "currencyAmounts": {"inclVat": Decimal("30.00")}, "documentLines": lines}
    assert found[0] == ("line 2", first)
    assert found[1][0] == "line 4"
    assert found[1][1]["documentLines"] == [{"lineNo": 1, "currencyAmounts": {"inclVat": Decimal(5)}}]
    assert found[2] == ("line 5", {"documentNo": "12", "customerNo": "1"})


async def test_rows_without_a_number_are_documents_of_their_own_where_they_have_no_lines():
    found = await read("documentNo;customerNo\n;1\n;2\n", "documents")
    assert found == [("line 2", {"customerNo": "1"}), ("line 3", {"customerNo": "2"})]
    assert "no column is documentNo" in await fault("customerNo;documentLines.lineNo\n1;1\n1;2\n", "documents")


async def test_a_line_without_a_number_holds_the_documents_beside_it():
    found = await read(HEADER + "9;1;1;1;1\n10;1;30;1;10\n;;;2;20\n11;1;1;1;1\n12;1;1;1;1\n", "documents")
    assert [place for place, _ in found] == ["line 2", "line 3", "line 4", "line 5", "line 6"]
    assert [isinstance(record, str) for _, record in found] == [False, True, True, True, False]
    assert found[2][1] == "line 4: a line without documentNo: give it the number of its document"


async def test_of_a_document_whose_rows_do_not_stand_together_no_part_is_given():
    rows = "10;1;30;1;10\n10;1;30;2;10\n11;1;1;1;1\n10;1;30;3;10\n12;1;1;1;1\n"
    found = await read(HEADER + rows, "documents")
    assert [place for place, _ in found] == ["line 2", "line 4", "line 5", "line 6"]
    words = "column documentNo: the lines of this document do not stand together"
    assert found[0][1] == f"line 2, {words} (lines 2 to 3 too): sort the file by documentNo"
    assert found[2][1] == f"line 5, {words}: sort the file by documentNo"
    assert [isinstance(record, dict) for _, record in found] == [False, True, False, True]


async def test_fields_of_the_header_must_agree():
    found = await read(HEADER + "10;1;30;1;10\n10;;;2;20\n10;2;30;3;0\n11;1;1;1;1\n", "documents")
    differs = "not as on line 2, the first of the document: give the same in all its lines"
    assert found[0] == ("line 2", f"line 4, column customerNo: {differs}")
    assert found[1][0] == "line 5"
    assert isinstance(found[1][1], dict)


async def test_a_fault_in_one_row_holds_its_whole_document():
    found = await read(HEADER + "10;1;30;1;10\n10;1;30;2;x\n11;1;1;1;1\n", "documents")
    assert found[0][1].startswith("line 3, column documentLines.currencyAmounts.inclVat: not a number")
    assert isinstance(found[1][1], dict)


async def test_a_row_that_can_not_be_cut_holds_the_document_that_it_is_in():
    found = await read(HEADER + "10;1;30;1;10\n10;1;30\n10;1;30;3;x\n11;1;1;1;1\n", "documents")
    assert found[0][1].startswith("line 2: line 3 can't be read, and may be a line of it; line 4, column")
    assert found[1] == ("line 3", "line 3: 3 cells, and the header has 5")
    assert isinstance(found[2][1], dict)


async def test_a_row_that_can_not_be_cut_holds_the_documents_beside_it():
    found = await read(HEADER + "10;1;30;1;10\nbroken\n11;1;1;1;1\n12;1;1;1;1", "documents")
    assert [place for place, _ in found] == ["line 2", "line 3", "line 4", "line 5"]
    assert found[0][1] == "line 2: line 3 after it can't be read, and may be a line of it"
    assert found[1][1].startswith("line 3: 1 cell")
    assert found[2][1] == "line 4: line 3 before it can't be read, and may be a line of it"
    assert isinstance(found[3][1], dict)


async def test_many_broken_rows_are_all_named():
    found = await read(HEADER + "10;1;30;1;10\n" + "broken\n" * 2500 + "11;1;1;1;1\n", "documents")
    assert len(found) == 2502
    assert all(isinstance(record, str) for _, record in found)
    assert [place for place, _ in found] == [f"line {number}" for number in range(2, 2504)]


async def test_a_document_that_is_too_long_is_named_and_not_kept():
    found = await read(HEADER + "10;1;30;1;10\n" * 1000 + "11;1;1;1;1\n", "documents", longest=200)
    assert len(found) == 2
    assert "the document has more than 200 bytes" in found[0][1]


# --- properties -----------------------------------------------------------------------------------------------------------

texts = st.text("abc\xc5\xf8 ;,|\"'", max_size=30).map(str.strip)
messages = st.text("abc\xc5\xf8 ;,|\"'\n", max_size=30).map(str.strip)
cells = {
    "customerNo": st.from_regex(r"[A-Z][0-9]{1,6}", fullmatch=True),
    "name": texts,
    "customerMessage": messages,
    "postalAddress.cityName": texts,
    "limitAmount": st.decimals(min_value=-(10**9), max_value=10**9, places=2),
    "dueDays": st.integers(-1000, 10**6),
    "dateOfBirth": st.dates(date(1900, 1, 1), date(2026, 1, 1)),
    "vatLiable": st.booleans(),
}


def written(value, comma):
    if isinstance(value, Decimal):
        return str(value).replace(".", ",") if comma else str(value)
    return {True: "ja", False: "nei"}[value] if isinstance(value, bool) else str(value)


def flat(record):
    return {
        **{name: value for name, value in record.items() if name != "postalAddress"},
        **{f"postalAddress.{name}": value for name, value in record.get("postalAddress", {}).items()},
    }


@many(150)
@given(st.lists(st.fixed_dictionaries(cells), max_size=8), st.sampled_from(";,\t"), st.booleans(), st.sampled_from([0, 1]))
async def test_what_is_written_is_read(customers, delimiter, comma, quoting):
    file = io.StringIO()
    writer = csv.writer(file, delimiter=delimiter, quoting=quoting)
    writer.writerow(cells)
    for customer in customers:
        writer.writerow([written(customer[name], comma) for name in cells])
    found = await read(file.getvalue())
    expected = [{name: value for name, value in customer.items() if value != ""} for customer in customers]
    for customer in expected:
        customer["dateOfBirth"] = customer["dateOfBirth"].isoformat()
    assert [flat(record) for _, record in found] == expected


@many(300)
@given(
    st.binary(max_size=300),
    st.sampled_from([b"", b"customerNo;name\n", b'{"customerNo":"1"}\n', b"\xff\xfe", b"\x1f\x8b", b"PAR1", b"(\xb5/\xfd"]),
)
async def test_any_bytes_are_records_or_a_clear_error(content, before):
    records = open_records(io.BytesIO(before + content), longest=100)
    index = -1
    with suppress(SourceError):
        async for record in records:
            index += 1
            assert isinstance(record, (bytes, dict, UnreadableRecord))
            assert records.place(index).startswith(("line ", "row "))


@many(200)
@given(st.lists(st.sampled_from(['1;"A', '2;B"', "3;C", '4;"D"', '"', "5;E;F", "", '6;"x""', "\xc5;y"]), max_size=12))
async def test_no_line_goes_missing(lines):
    content = "customerNo;name\n" + "\n".join(lines)
    records = open_records(io.BytesIO(content.encode()), format="csv")
    found = [record async for record in records]
    told = {records.place(index) for index in range(len(found))}
    whole = " ".join(str(record.as_read if isinstance(record, UnreadableRecord) else record) for record in found)
    for number, line in enumerate(lines, 2):
        # Each line that is not blank is a record, or a line of a field in one that is named.
        if line and f"line {number}" not in told:
            assert line.split('"')[0] in whole


@pytest.mark.parametrize(
    "line",
    [
        "==========",
        "(2 rows affected)",
        "-- end --",
        "Antall poster: 2",
        "<EOF>",
        "Side 1 av 2",
        "Sum",
        "documentNo",
        "Rapport 20.11.2026",
    ],
)
async def test_a_line_of_a_tool_between_documents_or_within_one_is_no_line_of_them(line):
    rows = ["1;IN;1;1;A", "1;IN;1;2;B", "2;IN;1;1;C"]
    for place in range(4):
        lines = [*rows[:place], line, *rows[place:]]
        text = "\n".join(["documentNo;documentType;customerNo;documentLines.lineNo;documentLines.articleName", *lines, ""])
        found = [record async for record in open_records(io.BytesIO(text.encode()), "documents")]
        good = [record for record in found if not isinstance(record, UnreadableRecord)]
        (refused,) = [record for record in found if isinstance(record, UnreadableRecord)]
        assert [(record["documentNo"], len(record["documentLines"])) for record in good] == [("1", 2), ("2", 1)]
        assert refused.faults[0][0] == "no_record"
        assert refused.fault.startswith(f"line {place + 2}: ")


async def test_blank_lines_are_counted():
    content = b"customerNo;name\n1;A\n\n ; \n;;;\n2;B\nx\n\x1a"
    records = open_records(io.BytesIO(content), format="csv")
    found = [record async for record in records]
    # With the header, each line is accounted for.
    assert (len(found), records.blank_lines) == (3, 4)
    assert 1 + len(found) + records.blank_lines == content.count(b"\n") + 1
