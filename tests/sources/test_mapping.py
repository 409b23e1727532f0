"""Which field each column is: own names, constants, and what is said of a header that is wrong."""

from __future__ import annotations

import io

import pytest

from amili_arm_async import ConfigurationError, SourceError, open_records

pytestmark = pytest.mark.quick


async def read(content, kind="customers", **options):
    records = open_records(io.BytesIO(content.encode()), kind, format="csv", **options)
    return [record async for record in records]


async def test_own_names_and_constants():
    columns = {"Kundenr": "customerNo", "Navn": "name", "Poststed": "postalAddress.cityName"}
    constants = {"currency": "NOK", "postalAddress.countryCode": "NO", "dueDays": "14", "limitAmount": "1 000,50"}
    (record,) = await read("Kundenr;Navn;Poststed;phoneNo\n7;Åse;Bø;1\n", columns=columns, constants=constants)
    assert (record["customerNo"], record["name"], record["phoneNo"], record["dueDays"]) == ("7", "Åse", "1", 14)
    assert record["postalAddress"] == {"cityName": "Bø", "countryCode": "NO"}
    assert str(record["limitAmount"]) == "1000.50"


async def test_a_constant_of_lines_is_in_every_line_and_makes_none():
    content = "documentNo;documentLines.lineNo\n1;1\n1;2\n2;\n"
    first, second = await read(content, "documents", constants={"documentLines.lineType": "PLH", "documentType": "IN"})
    assert first["documentLines"] == [{"lineNo": 1, "lineType": "PLH"}, {"lineNo": 2, "lineType": "PLH"}]
    assert second == {"documentNo": "2", "documentType": "IN"}


async def test_all_unknown_columns_are_named_at_once_with_what_is_wanted():
    with pytest.raises(SourceError) as raised:
        await read("customerno;Nmae;Saldo\n1;A;5\n")
    said = str(raised.value)
    assert '3 columns are no field of customers: column 1, "customerno" (did you mean customerNo?); column 2, "Nmae"' in said
    assert 'columns={"customerno": "customerNo", "Nmae": "name"} (--column customerno=customerNo --column Nmae=name)' in said
    assert "--extra-columns" in said
    with pytest.raises(SourceError, match=r"40 columns are no field .* and 20 more"):
        await read(";".join(f"Spalte {number}" for number in range(40)) + "\n")


@pytest.mark.parametrize(
    "row",
    ["1;Kari Hemmelig;15057912345;Gata 1", "Kari Hemmelig;kari@example.no", "1;NO;1979-05-15;Oslo", "a;15.05.1979", "a;+47 999 99 999"],
)
@pytest.mark.parametrize("options", [{}, {"columns": {"Kundenr": "customerNo"}}, {"extra_columns": True}], ids=str)
async def test_a_file_without_a_header_shows_no_value(row, options):
    with pytest.raises(SourceError) as raised:
        await read(f"{row}\n{row}\n", **options)
    assert not [value for value in row.split(";")[1:] if value in str(raised.value)]


@pytest.mark.parametrize(
    ("header", "options", "words"),
    [
        ("customerNo", {"columns": {"Kundenr": "customerNo"}}, 'this mapped column is not in the header: "Kundenr"'),
        ("kundenr", {"columns": {"Kundenr": "customerNo"}}, 'did you mean "kundenr"?'),
        ("Kundenr;customerNo", {"columns": {"Kundenr": "customerNo"}}, 'columns 1, "Kundenr", and 2, "customerNo", are both customerNo'),
        ("customerNo;name", {"constants": {"name": "A"}}, 'column 2, "name", gives name, which is a constant too'),
        ("name;phoneNo", {}, "no column is customerNo, the number of a record"),
        ("saldo;beløp", {"extra_columns": True}, "no column is a field of customers"),
    ],
)
async def test_a_header_that_does_not_fit(header, options, words):
    with pytest.raises(SourceError) as raised:
        await read(f"{header}\n1;2\n", **options)
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"columns": {"Kundenr": "customerNumber"}},
            '"Kundenr": "customerNumber" is no field of customers; did you mean customerNo?',
        ),
        ({"columns": {"A": "name", "B": "name"}}, 'columns: "A" and "B" are both name'),
        ({"columns": {"A": "name"}, "constants": {"name": "x"}}, 'constants: name is the column "A" too'),
        ({"constants": {"currencies": "NOK"}}, '"currencies" is no field of customers; did you mean currency?'),
        ({"constants": {"dueDays": "x"}}, "constants: dueDays: "),
        ({"constants": {"dueDays": ""}}, "constants: dueDays: give the value as a text"),
        ({"constants": {"customerNo": "1"}}, "constants: customerNo is the number of a record"),
        ({"line_columns": {"A": "lineNo"}}, "line_columns and lines_optional need lines"),
        ({"lines": "x.csv"}, "lines are for documents"),
        ({"decimal_sign": ";"}, "decimal_sign is"),
    ],
)
def test_a_mapping_that_is_wrong_is_refused_before_anything_is_opened(options, words):
    with pytest.raises(ConfigurationError) as raised:
        open_records("not there.csv", **options)
    assert words in str(raised.value)


async def test_a_column_that_is_there_twice_may_be_blank():
    first, second = await read("customerNo;name;name\n1;A;\n2;B;C\n")
    assert first == {"customerNo": "1", "name": "A"}
    assert 'two columns are named "name"' in second.fault
    assert [record["name"] for record in await read("customerNo;name;name\n1;A;\n2;B;C\n", extra_columns=True)] == ["A", "B"]


async def test_a_fault_names_the_column_as_its_owner_does():
    (record,) = await read("Kundenr;Frist\n1;x\n", columns={"Kundenr": "customerNo", "Frist": "dueDays"})
    assert record.fault.startswith("line 2, column Frist (dueDays): ")
    assert record.faults[0][:2] == ("number", "dueDays")
    assert record["customerNo"] == "1"
    assert record.as_read == {"Kundenr": "1", "Frist": "x"}


async def test_names_that_exports_have_are_understood_in_the_message():
    with pytest.raises(SourceError) as raised:
        await read("Kundenr;Navn;Postnr;Poststed\n1;A;0150;Oslo\n")
    wanted = 'columns={"Kundenr": "customerNo", "Navn": "name", "Postnr": "postalAddress.postalCode", "Poststed": "postalAddress.cityName"}'
    assert wanted in str(raised.value)
    assert "--column Kundenr=customerNo --column Navn=name" in str(raised.value)
