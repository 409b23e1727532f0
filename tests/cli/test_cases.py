"""Files as tools and people make them, by all commands: what arrives, and what is refused by name, with the remedy and without the value.

Each file stands for a kind of fault. A case has what arrives, the lines that are refused with words of the reason, and those warned of.
"""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from .conftest import COMMAND, WAIT

REFUSED_FILE = 0
"""The line of a refusal of the whole file."""

DECIMAL = r"--decimal|decimal sign|decimal="


@dataclass
class Case:
    """A file, and what becomes of it.

    Attributes:
        name: of the case.
        kind: of its records.
        content: of the file.
        arrives: by key, some of what is stored.
        refused: by line, words of the reason; of several rows of a document, the first.
        warned: lines that are sent, and warned of.
        secrets: values that no command may print.
        options: of all commands.
        suffix: of the file's name.
        files: further files, by name; `{name}` in an option is the path of one.
    """

    name: str
    kind: str
    content: str | bytes
    arrives: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    refused: Mapping[int, str] = field(default_factory=dict)
    warned: Sequence[int] = ()
    secrets: Sequence[str] = ()
    options: Sequence[str] = ()
    suffix: str = ".csv"
    files: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        return self.name


def rows(*lines: str) -> str:
    return "".join(f"{line}\n" for line in lines)


HEAD = "documentType;customerNo;documentNo;documentDate;currency"
AMOUNTS = f"{HEAD};currencyAmounts.exclVat;currencyAmounts.vat;currencyAmounts.inclVat"
ONE = f"{HEAD};currencyAmounts.inclVat"


def invoice(number: int | str, *more: str, date: str = "20.11.2026") -> str:
    return ";".join(("IN", "1", str(number), date, "NOK", *more))


def total(amount: str) -> dict[str, Any]:
    return {"currencyAmounts": {"inclVat": Decimal(amount)}}


MONEY = [
    Case(
        "a point that may be of thousands",
        "documents",
        rows(AMOUNTS, invoice(1, "12.000", "3.000", "15.000"), invoice(2, "9.50", "0.50", "10.00")),
        # The cells of line 3 prove the point for each column.
        {
            "1": {"currencyAmounts": {"exclVat": Decimal(12), "vat": Decimal(3), "inclVat": Decimal(15)}},
            "2": total("10"),
        },
    ),
    Case(
        "two meanings and no proof",
        "documents",
        rows(ONE, invoice(1, "12.000"), invoice(2, "7"), invoice(3, "1,234"), invoice(4, "12 000"), invoice(5, "-1.000")),
        {"2": total("7"), "4": total("12000")},
        {2: DECIMAL, 4: DECIMAL, 6: DECIMAL},
        secrets=["12.000", "1,234", "1.000"],
    ),
    Case(
        "a proof by other cells, for a comma",
        "documents",
        rows(ONE, invoice(1, "12.000"), invoice(2, "1.234,50"), invoice(3, "2,5")),
        {"1": total("12000"), "2": total("1234.5"), "3": total("2.5")},
    ),
    Case(
        "a proof in one column holds for no other",
        "documents",
        rows(AMOUNTS, invoice(1, "12.000", "3.000", "15.000"), invoice(2, "1.234,50", "7", "8")),
        {"2": total("8")},
        {2: DECIMAL},
    ),
    Case(
        "proofs that contradict each other",
        "documents",
        rows(ONE, invoice(1, "12.000"), invoice(2, "1.234,50"), invoice(3, "12.50"), invoice(4, "5")),
        {"2": total("1234.5"), "3": total("12.5"), "4": total("5")},
        {2: "contradict"},
    ),
    Case(
        "the sign is told: a comma",
        "documents",
        rows(ONE, invoice(1, "12.000"), invoice(2, "1,5"), invoice(3, "1.234.567,89")),
        {"1": total("12000"), "2": total("1.5"), "3": total("1234567.89")},
        options=["--decimal", ","],
    ),
    Case(
        "the sign is told: a point",
        "documents",
        rows(ONE, invoice(1, "12.000"), invoice(2, "1,500.25"), invoice(3, "1,234")),
        {"1": total("12"), "2": total("1500.25"), "3": total("1234")},
        options=["--decimal", "."],
    ),
    Case(
        "the sign is told, and a cell contradicts it",
        "documents",
        rows(ONE, invoice(1, "12.50"), invoice(2, "3,5")),
        {"2": total("3.5")},
        {2: "."},
        options=["--decimal", ","],
    ),
    Case(
        "amounts that are no numbers",
        "documents",
        rows(
            ONE, *[invoice(place, text) for place, text in enumerate(["1.2.3", "12-", "(12)", "1e3", "#REF!", "x", "1,,5", "NaN", "٣"], 1)]
        ),
        {},
        dict.fromkeys(range(2, 11), "."),
        secrets=["#REF!", "1.2.3"],
    ),
    Case(
        "a whole number that became a decimal",
        "customers",
        rows("customerNo;name;dueDays;yearOfBirth", "1;A;14.0;1956.0", "2;B;14,00;1956", "3;C;14.5;1956"),
        {"1": {"dueDays": 14, "yearOfBirth": 1956}, "2": {"dueDays": 14}},
        {4: "whole"},
    ),
]

IDENTIFIERS = [
    Case(
        "identifiers made into numbers",
        "documents",
        rows(
            "documentType,customerNo,documentNo,documentDate,currency,kid,salesOrderId,sellerReference",
            "IN,1,10001.0,2026-11-20,NOK,,,",
            "IN,1,10002,2026-11-20,NOK,2345676.0,,",
            "IN,1,10003,2026-11-20,NOK,,88.0,",
            "IN,1,10004,2026-11-20,NOK,,,17.0",
            "IN,1.0,10005,2026-11-20,NOK,,,",
            "IN,1,10006,2026-11-20,NOK,2345676,B-1.0,v1.0",
        ),
        {"10006": {"kid": "2345676", "salesOrderId": "B-1.0", "sellerReference": "v1.0"}},
        dict.fromkeys(range(2, 7), "text|number"),
        secrets=["10001.0", "2345676.0"],
    ),
    Case(
        "shortened numbers",
        "documents",
        rows(
            f"{HEAD};salesOrderId;kid;buyerReference",
            invoice(1, "4,79E+09", "", ""),
            invoice(2, "", "2,34568E+06", ""),
            invoice(3, "", "", "1.2E+12"),
            invoice("4,79E+09", "", "", ""),
            invoice(5, "5E12", "", "B12E4"),
        ),
        {"5": {"salesOrderId": "5E12", "buyerReference": "B12E4"}},
        dict.fromkeys(range(2, 6), "shortened|spreadsheet"),
        secrets=["4,79E+09"],
    ),
    Case(
        "shortened numbers in customers",
        "customers",
        rows(
            "customerNo;name;phoneNo;bankAccountNo;postalAddress.addressLine1",
            "1;5E12;;;",
            "2;B;4,7E+10;;",
            "3;C;;8,601E+10;",
            "4;D;;;1,2E+05",
            "5E12;E;;;",
            "6,1E+04;F;;;",
        ),
        {"1": {"name": "5E12"}, "5e12": {"name": "E"}},
        {3: "shortened|spreadsheet", 4: "shortened|spreadsheet", 5: "shortened|spreadsheet", 7: "shortened|spreadsheet"},
    ),
    Case(
        "formulas of a spreadsheet",
        "customers",
        rows(
            "customerNo;name;phoneNo;postalAddress.addressLine1",
            '"=""0123""";A;;',
            '2;B;"=""99887766""";',
            "3;C;;=A2",
            "4;D;;=HYPERLINK(1)",
        ),
        {},
        dict.fromkeys(range(2, 6), "formula"),
        secrets=["HYPERLINK", "0123"],
    ),
    Case(
        "lost zeros",
        "customers",
        rows(
            "customerNo;name;postalAddress.postalCode;postalAddress.countryCode",
            "1;A;0150;NO",
            "2;B;150;NO",
            "3;C;150;IS",
            "4;D;150;",
            "5;E;0150;",
        ),
        {"1": {}, "3": {}, "4": {}, "5": {}},
        {3: "zero|four digits"},
        warned=[5],
    ),
    Case(
        "organisation numbers",
        "customers",
        rows(
            "customerNo;name;organizationNo;organizationNoScheme",
            "1;A;984842252;0192",
            "2;B;NO 984 842 252 MVA;",
            "3;C;98484225;0192",
            "4;D;984842252.0;0192",
        ),
        {"1": {}, "2": {}},
        {4: "nine digits|zero", 5: "."},
    ),
]

DATES = [
    Case(
        "times of day",
        "documents",
        rows(
            f"{HEAD};dueDate",
            invoice(1, "20.11.2026 00:00"),
            invoice(2, "2026-11-20 00:00:00"),
            invoice(3, "2026-11-20T00:00:00"),
            invoice(4, "20.11.2026 14:30"),
            invoice(5, "2026-11-20 14:30:00"),
            invoice(6, "2026-11-19T23:00:00Z"),
            invoice(7, "2026-11-20T00:00:00+01:00"),
        ),
        {str(number): {"dueDate": "2026-11-20"} for number in (1, 2, 3, 7)},
        {5: "time", 6: "time", 7: "UTC"},
        secrets=["14:30"],
    ),
    Case(
        "dates with two meanings, serial numbers, years out of range",
        "documents",
        rows(
            f"{HEAD};dueDate",
            *[
                invoice(place, text)
                for place, text in enumerate(
                    ["11/12/2026", "46346", "20.11.0026", "20.11.206", "9999-12-31", "0001-01-01", "31.11.2026", "20.11.26", "1/2"], 1
                )
            ],
            invoice(77, "20.11.2026"),
        ),
        {"77": {"dueDate": "2026-11-20"}},
        dict.fromkeys(range(2, 11), "."),
        secrets=["46346", "11/12/2026"],
    ),
]

WORDS = [
    Case(
        "words for nothing in addresses, numbers and e-mail",
        "customers",
        rows(
            "customerNo;name;postalAddress.addressLine1;postalAddress.addressLine2;phoneNo;emailAddressDocument",
            "1;Ola AS;Gata 1;NULL;;",
            r"2;Kari;Gata 2;\N;;",
            "3;Per;nan;;;",
            "4;Pål;Gata 4;;#REF!;",
            "5;Eva;Gata 5;;#I/T;",
            "6;Ann;Gata 6;;;None",
            "#N/A;Jon;Gata 7;;;",
            "8;Liv;Gata 8;;;",
        ),
        {"8": {"name": "Liv"}},
        dict.fromkeys(range(2, 9), "missing value|formula failed"),
        secrets=["#REF!", "#I/T"],
    ),
    Case(
        "words for nothing in names and free texts",
        "customers",
        rows("customerNo;name;customerMessage", "1;Null;", "2;Kari;None", "3;Per;hello"),
        {"1": {"name": "Null"}, "2": {"customerMessage": "None"}, "3": {}},
        warned=[2, 3],
    ),
    Case(
        "several e-mail addresses in a cell",
        "customers",
        rows(
            "customerNo,name,emailAddressDocument",
            "1,A,a@example.no|b@example.no",
            "2,B,a@example.no; b@example.no",
            '3,C,"a@example.no, b@example.no"',
            "4,D,a@example.no b@example.no",
            "5,E,a@example.no",
        ),
        {"1": {"emailAddressDocument": ["a@example.no", "b@example.no"]}, "5": {"emailAddressDocument": ["a@example.no"]}},
        {3: r"\|", 4: r"\|", 5: r"\|"},
        secrets=["a@example.no; b@"],
    ),
]

ROWS = [
    Case(
        "headers, underlines, footers and sums",
        "customers",
        rows(
            "customerNo;name;postalAddress.cityName",
            "----------;----;----------------------",
            "1;Ola;Oslo",
            "customerNo;name;postalAddress.cityName",
            "2;Kari;Bergen",
            ";Sum;",
            "(2 rows affected)",
            "Total;;",
            "Totalt antall;2;",
            "Utskrift;20.11.2026;",
            "Kilde: Visma;;",
            "Alle kunder i Norge;;",
        ),
        {"1": {}, "2": {}},
        {2: "no record", 4: "header", 6: ".", 7: ".", 8: "no record|sum|total", **dict.fromkeys(range(9, 13), "no record")},
    ),
    Case(
        "sums under the columns of amounts",
        "customers",
        rows("Nr;Navn;Grense", "1;A;100", "2;B;200,50", ";;300,50", "Nr;Navn;Grense", ";SUM;300,50"),
        {"1": {}, "2": {"limitAmount": Decimal("200.5")}},
        {4: "sum", 5: "header", 6: "sum"},
        options=["--column", "Nr=customerNo", "--column", "Navn=name", "--column", "Grense=limitAmount"],
    ),
    Case(
        "a title above the header",
        "customers",
        rows("Kundeliste per 20.11.2026;;", "", "customerNo;name;phoneNo", "1;Ola;99887766"),
        {},
        {REFUSED_FILE: "line 3 looks like one: remove what stands above it"},
    ),
    Case(
        "a row without a value in any field",
        "customers",
        rows("customerNo;name;Saldo", "1;Ola;5", ";;5", "2;Kari;"),
        {"1": {}, "2": {}},
        {3: "without a value"},
        options=["--extra-columns"],
    ),
    Case(
        "a quotation mark that another one closes some rows below",
        "customers",
        rows("customerNo;name;phoneNo", '1;"Ola;99887766', "2;Kari;99887767", '3;5" Bar";99887768', '4;"Per"" X";99887769'),
        {"2": {}, "3": {}, "4": {"name": 'Per" X'}},
        {2: "quotation mark"},
    ),
    Case(
        "a text of several lines in the first column, and in another one",
        "customers",
        rows("customerMessage;customerNo;name", '"Hi', 'you";1;Ola', '"Hi; you', "and you", 'all";2;Kari', '"";3;"Per', 'and"'),
        {"1": {"customerMessage": "Hi\nyou"}, "2": {"customerMessage": "Hi; you\nand you\nall"}},
        {7: "control"},
    ),
    Case(
        "a text of several lines whose last line has as many cells as a row",
        "customers",
        rows("customerNo;customerMessage;name", '1;"Hi', 'you;dear";Ola', '2;"Hi', '3;dear";Kari', '4;"A', 'b;";Per'),
        {"1": {"customerMessage": "Hi\nyou;dear"}, "3": {"name": "Kari"}, "4": {"customerMessage": "A\nb;"}},
        {4: "quotation mark"},
    ),
    Case(
        "columns without a name, and behind the last",
        "customers",
        rows("customerNo;name;;;", "1;Ola;;;", ";;;;", "2;Kari;;;;;", "3;Per", "4"),
        {"1": {}, "2": {}, "3": {}},
        {6: "cell"},
    ),
    Case(
        "columns without a name that hold something",
        "customers",
        rows("customerNo;name;", "1;Ola;", "2;Kari;x"),
        {"1": {}},
        {3: "no name|without a name"},
    ),
    Case(
        "columns without a name that hold something, allowed",
        "customers",
        rows("customerNo;name;;name", "1;Ola;x;", "2;Kari;;"),
        {"1": {}, "2": {}},
        options=["--extra-columns"],
    ),
    Case(
        "rows of an invoice that do not stand together",
        "documents",
        rows(
            f"{HEAD};documentLines.lineNo;documentLines.articleName",
            invoice(77, "1", "A"),
            invoice(78, "1", "B"),
            invoice(77, "2", "C"),
            invoice(79, "1", "D"),
            invoice(79, "2", "E"),
        ),
        {"78": {}, "79": {}},
        {2: "together|not follow", 4: "together|not follow"},
    ),
    Case(
        "a header on each page of invoices",
        "documents",
        rows(
            f"{HEAD};documentLines.lineNo;documentLines.articleName",
            invoice(77, "1", "A"),
            f"{HEAD};documentLines.lineNo;documentLines.articleName",
            invoice(78, "1", "A"),
            f"{HEAD};documentLines.lineNo;documentLines.articleName",
            ";;2;B;;;;;x",
            invoice(79, "1", "A"),
            invoice(80, "1", "A"),
        ),
        # What can't be read may be a line of the invoice before the header.
        {"77": {}, "80": {}},
        {3: "header.*leave it out$", 4: "line 6", 5: "header.*leave it out$", 6: "cells", 7: "line 6"},
    ),
    Case(
        "a row with lines and no number",
        "documents",
        rows(
            f"{HEAD};documentLines.lineNo;documentLines.articleName",
            *(invoice(76, "1", "A"), invoice(77, "1", "A"), invoice("", "2", "B"), invoice(78, "1", "C"), invoice(79, "1", "D")),
        ),
        # It may be a line of the document before it, or of the one behind it.
        {"76": {}, "79": {}},
        {3: "line 4", 4: "documentNo", 5: "line 4"},
    ),
]

TEXTS = [
    Case(
        "an encoding that is none of the usual",
        "customers",
        rows("customerNo;name;postalAddress.cityName", "1;Grønn Mat;Tromsø", "2;Bjørn;Bodø").encode("cp865"),
        {},
        {REFUSED_FILE: "encoding"},
        secrets=["Troms\u203a"],
    ),
    Case(
        "an encoding that is told",
        "customers",
        rows("customerNo;name", "1;Grønn Mat", "2;Bjørn").encode("cp865"),
        {"1": {"name": "Grønn Mat"}, "2": {"name": "Bjørn"}},
        options=["--encoding", "cp865"],
    ),
    Case(
        "Windows-1252",
        "customers",
        rows("customerNo;name", "1;Grønn Mat", "2;Bjørn \u2013 Åse").encode("cp1252"),
        {"1": {"name": "Grønn Mat"}, "2": {"name": "Bjørn \u2013 Åse"}},
    ),
    Case(
        "control characters",
        "customers",
        rows("customerNo;name", "1;O\0la", *[f"{number};{'O' * 60}" for number in range(2, 60)], "60;O\0la", "61;O\x07la", "62;ok"),
        {"62": {}, **{str(number): {} for number in range(2, 60)}},
        {2: "control", 61: "control", 62: "control"},
    ),
    Case("a Ctrl-Z at the end", "customers", "customerNo;name\r\n1;Ola\r\n\x1a", {"1": {"name": "Ola"}}),
    Case("a quoted sep=", "customers", '"sep=;"\ncustomerNo;name\n1;Ola\n', {"1": {"name": "Ola"}}),
    Case("an HTML page", "customers", "<!DOCTYPE html>\n<html><body>Log in</body></html>\n", {}, {REFUSED_FILE: "HTML"}),
    Case(
        "a zipped CSV",
        "customers",
        gzip.compress(rows("customerNo;name;dueDays", "1;Ola;14.0").encode()),
        {"1": {"dueDays": 14}},
        suffix=".csv.gz",
    ),
]

JSON = [
    Case("pretty-printed", "customers", '{\n  "customerNo": "1",\n  "name": "A"\n}\n', {"1": {"name": "A"}}, suffix=".json"),
    Case(
        "a list",
        "customers",
        '[{"customerNo": "1", "name": "A"},\n {"customerNo": "2", "name": "B"}]\n',
        {"1": {"name": "A"}, "2": {"name": "B"}},
        suffix=".json",
    ),
    Case(
        "the API's batch",
        "customers",
        '{"metadata": {"userId": "x"}, "customers": [{"customerNo": "1", "name": "A"}, {"customerNo": "2", "name": "B"}]}\n',
        {"1": {"name": "A"}, "2": {"name": "B"}},
        suffix=".json",
    ),
    Case(
        "a byte order mark inside",
        "customers",
        '{"customerNo":"1","name":"A"}\n\ufeff{"customerNo":"2","name":"B"}\n',
        {"1": {}, "2": {}},
        suffix=".jsonl",
    ),
    Case(
        "half an emoji",
        "customers",
        '{"customerNo":"1","name":"A \\ud83d"}\n{"customerNo":"2","name":"B \\ud83d\\ude00"}\n',
        {"2": {"name": "B 😀"}},
        {1: "surrogate|half|character"},
        suffix=".jsonl",
    ),
    Case(
        "the same rules as for a table",
        "customers",
        rows(
            '{"customerNo":"10001.0","name":"A"}',
            '{"customerNo":"2","name":"B","phoneNo":"4,7E+09"}',
            '{"customerNo":"3","name":"C","postalAddress":{"addressLine1":"#REF!"}}',
            '{"customerNo":"4","name":"D","emailAddressDocument":["a@example.no; b@example.no"]}',
            '{"customerNo":"5","name":"E","dateOfBirth":"0056-01-12"}',
            '{"customerNo":"6","name":"Null"}',
        ),
        {"6": {"name": "Null"}},
        dict.fromkeys(range(1, 6), "."),
        warned=[6],
        secrets=["#REF!", "4,7E+09"],
        suffix=".jsonl",
    ),
]

JSON_TYPES = [
    Case(
        "values of another type",
        "customers",
        rows(
            '{"customerNo":"1","name":"A","dueDays":14.0}',
            '{"customerNo":"2","name":"B","dueDays":14.5}',
            # A number beside it is for the server to judge.
            '{"customerNo":3,"name":"C","limitAmount":"12.000"}',
            '{"customerNo":"4","name":"D","emailAddressDocument":["d@example.no",null,"#REF!"]}',
            '{"customerNo":"5","name":"E","distribution":{"einvoiceCode":2.0}}',
        ),
        {"1": {"dueDays": 14}, "5": {"distribution": {"einvoiceCode": 2}}},
        {2: "whole", 3: "limitAmount.*not a number", 4: "formula failed"},
        secrets=["12.000"],
        suffix=".jsonl",
    ),
    Case(
        "blanks around texts that are sent with them",
        "customers",
        rows(
            '{"customerNo":"1\\u00a0","name":"A"}',
            '{"customerNo":"2\\n","name":"B"}',
            '{"customerNo":"3","name":"C\\r\\n"}',
            '{"customerNo":"4","name":"D","customerMessage":"Hi\\n"}',
        ),
        {"4": {"customerMessage": "Hi\n"}},
        {1: "invisible", 2: "control", 3: "control"},
        suffix=".jsonl",
    ),
]

NAMES = [
    Case(
        "own column names",
        "customers",
        rows("Kundenr;Navn;Adresse;Postnr;Poststed", "1;Åse Øy;Storgata 1;0150;Oslo", "2;Per;Gata 2;5003;Bergen"),
        {"1": {"name": "Åse Øy", "postalAddress": {"postalCode": "0150", "cityName": "Oslo"}}, "2": {}},
        options=[
            *("--column", "Kundenr=customerNo", "--column", "Navn=name", "--column", "Adresse=postalAddress.addressLine1"),
            *("--column", "Postnr=postalAddress.postalCode", "--column", "Poststed=postalAddress.cityName"),
        ],
    ),
    Case(
        "columns that are no fields, all at once",
        "customers",
        rows("customerNo;Nmae;Poststd;Saldo", "1;A;B;C"),
        {},
        {REFUSED_FILE: r"(?s)Nmae.*name.*Poststd.*Saldo"},
    ),
    Case(
        "constants and lines as rows",
        "documents",
        rows("Fakturanr;Kundenr;Beløp;Linje;Vare", "10;1;100,50;1;A", "10;1;100,50;2;B", "11;2;50,00;1;C"),
        {"10": {"documentType": "IN", "currency": "NOK", "currencyAmounts": {"inclVat": Decimal("100.5")}}, "11": {"customerNo": "2"}},
        options=[
            *("--column", "Fakturanr=documentNo", "--column", "Kundenr=customerNo", "--column", "Beløp=currencyAmounts.inclVat"),
            *("--column", "Linje=documentLines.lineNo", "--column", "Vare=documentLines.articleName"),
            *("--set", "documentType=IN", "--set", "currency=NOK"),
        ],
    ),
    Case(
        "lines in a second file, in another order",
        "documents",
        rows(HEAD, invoice(10), invoice(11), invoice(12)),
        {"10": {}, "11": {}},
        {4: "line"},
        options=["--lines", "{lines.csv}"],
        files={"lines.csv": rows("documentNo;documentLines.lineNo;documentLines.price", "11;1;5", "10;1;2,50", "10;2;3")},
    ),
]

CASES = [*MONEY, *IDENTIFIERS, *DATES, *WORDS, *ROWS, *TEXTS, *JSON, *JSON_TYPES, *NAMES]


# --- the commands -------------------------------------------------------------------------------------------------------


@pytest.fixture
def write(tmp_path) -> Callable[[Case], tuple[Path, list[str]]]:
    """Writes the files of a case; gives the path and the options."""

    def make(case: Case) -> tuple[Path, list[str]]:
        paths = {}
        for name, text in case.files.items():
            paths[name] = tmp_path / name
            paths[name].write_text(text, "utf-8")
        path = tmp_path / f"{case.kind}{case.suffix}"
        path.write_bytes(case.content if isinstance(case.content, bytes) else case.content.encode())
        return path, [re.sub(r"\{(.+?)\}", lambda found: str(paths[found[1]]), option) for option in case.options]

    return make


@pytest.fixture
def with_customers(served):
    """A sandbox with customers 1 to 9."""
    served.ask(lambda sandbox: sandbox.customers.seed([{"customerNo": str(number), "name": "N"} for number in range(1, 10)]))
    return served


def for_nightly(options: Sequence[str], kind: str) -> list[str]:
    """The options of a kind have its name at their end."""
    return [f"{option}-{kind}" if option in {"--column", "--set"} else option for option in options]


def arguments(command: str, case: Case, path: Path, options: Sequence[str], folder: Path) -> list[object]:
    if command == "push":
        return ["push", case.kind, path, *options, *(["--no-journal"] if case.kind == "documents" else [])]
    if command == "sync":
        return ["sync", path, "--state", folder / "state.sqlite", *options]
    if command == "nightly":
        return ["nightly", f"--{case.kind}", path, *for_nightly(options, case.kind), "--no-journal"]
    return ["check", case.kind, path, *options]


def has_all(stored: Any, wanted: Any) -> bool:
    """Whether a record holds what is wanted, and perhaps more."""
    if isinstance(wanted, Mapping):
        return isinstance(stored, Mapping) and all(has_all(stored.get(name), value) for name, value in wanted.items())
    return bool(stored == wanted)


def lines_of(text: str, line: int) -> str:
    """What was said of a line."""
    return "\n".join(said for said in text.splitlines() if re.match(rf"(customers, |documents, )?(line|row) {line}\b", said))


@pytest.mark.parametrize("command", ["push", "sync", "nightly", "check"])
@pytest.mark.parametrize("case", CASES, ids=repr)
def test_what_arrives_and_what_is_refused(with_customers, call, write, tmp_path, case, command):
    if command == "sync" and case.kind == "documents":
        pytest.skip("sync is for customers")
    if command == "check" and REFUSED_FILE in case.refused:
        pytest.skip("its own test")
    before = with_customers.ask(lambda sandbox: {one.key: one.delivered for one in getattr(sandbox, case.kind)})
    path, options = write(case)
    result = call(*arguments(command, case, path, options, tmp_path), env=with_customers.env)
    said = result.stdout + result.stderr
    assert result.exit_code == (1 if case.refused else 0), said
    for line, words in case.refused.items():
        assert re.search(words, lines_of(said, line) if line else said, re.IGNORECASE), f"line {line} in:\n{said}"
    for secret in case.secrets:
        assert secret not in said
    arrived = with_customers.ask(lambda sandbox: {one.key: one.delivered for one in getattr(sandbox, case.kind)})
    sent = {key for key, times in arrived.items() if times != before.get(key, 0)}
    if command == "check":
        assert sent == set()
        assert {int(line) for line in re.findall(r"^(?:line|row) (\d+).*: error ", said, re.MULTILINE)} == set(case.refused), said
        return
    assert sent == set(case.arrives), said
    for key, wanted in case.arrives.items():
        stored = with_customers.ask(lambda sandbox, key=key: getattr(sandbox, case.kind).get(key))
        assert has_all(stored, wanted), stored
    for line in case.warned:
        assert re.search(r"warn", lines_of(said, line)), said


@pytest.mark.parametrize("case", [case for case in CASES if REFUSED_FILE in case.refused], ids=repr)
def test_a_check_of_a_file_that_is_refused(call, write, case):
    path, options = write(case)
    result = call("check", case.kind, path, *options)
    assert result.exit_code == 1
    assert re.search(case.refused[REFUSED_FILE], result.stdout + result.stderr, re.IGNORECASE)


def test_standard_input_has_no_second_pass_so_only_the_option_counts(with_customers):
    content = rows(ONE, invoice(1, "12.000"), invoice(2, "1.234,50")).encode()
    environment = {**with_customers.env, "PATH": "", "PYTHONPATH": str(Path(__file__).parents[2])}

    def push(*options: str) -> subprocess.CompletedProcess[bytes]:
        command = [*COMMAND, "push", "documents", "-", "--no-journal", "-q", *options]
        return subprocess.run(command, input=content, capture_output=True, env=environment, timeout=WAIT, check=False)

    refused = push()
    assert refused.returncode == 1
    assert re.search(rb"line 2, key 1: invalid .*decimal", refused.stderr)
    assert with_customers.ask(lambda sandbox: sandbox.documents.get("2"))["currencyAmounts"]["inclVat"] == Decimal("1234.5")
    assert push("--decimal", ",").returncode == 0
    assert with_customers.ask(lambda sandbox: sandbox.documents.get("1"))["currencyAmounts"]["inclVat"] == 12000


def parquet(path: Path, **columns: Any) -> Path:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    pq.write_table(pa.table(columns), path)
    return path


def test_an_instant_in_parquet_is_no_date(with_customers, call, tmp_path):
    pa = pytest.importorskip("pyarrow")
    from datetime import UTC, datetime

    midnight_in_oslo = pa.array([datetime(2026, 11, 19, 23, tzinfo=UTC)] * 2, pa.timestamp("us", tz="UTC"))
    path = parquet(
        tmp_path / "f.parquet", documentType=["IN", "IN"], customerNo=["1", "2"], documentNo=["1", "2"], documentDate=midnight_in_oslo
    )
    result = call("push", "documents", path, "--no-journal", env=with_customers.env)
    assert result.exit_code == 1
    assert re.search(r"row 1, key 1: invalid .*(time|zone|instant)", result.stderr)
    assert with_customers.ask(lambda sandbox: len(sandbox.documents)) == 0


def test_numbers_of_parquet(with_customers, call, tmp_path):
    pa = pytest.importorskip("pyarrow")
    path = parquet(
        tmp_path / "c.parquet",
        customerNo=["1", "2", "3"],
        dueDays=pa.array([14.0, 1.5, None], pa.float64()),
        discountRate=pa.array([0.1, 0.1, 12.0], pa.float32()),
        limitAmount=pa.array([Decimal("12345678901234.05"), None, Decimal("1.00")], pa.decimal128(20, 2)),
    )
    result = call("push", "customers", path, env=with_customers.env)
    assert result.exit_code == 1
    assert re.search("row 2, key 2: invalid .*whole", result.stderr)
    stored = with_customers.ask(lambda sandbox: [sandbox.customers.get(key) for key in ("1", "3")])
    assert [one["discountRate"] for one in stored] == [Decimal("0.1"), 12]
    assert stored[0]["limitAmount"] == Decimal("12345678901234.05")
    assert stored[0]["dueDays"] == 14


def test_identifiers_of_parquet_that_became_floats_are_refused_or_read_exactly(with_customers, call, tmp_path):
    path = parquet(tmp_path / "c.parquet", customerNo=["1", "2"], phoneNo=[99887766.0, float("nan")])
    call("push", "customers", path, env=with_customers.env)
    stored = with_customers.ask(lambda sandbox: [sandbox.customers.get(key) for key in ("1", "2")])
    assert [(one or {}).get("phoneNo") for one in stored if one] != ["99887766.0", "nan"]
    assert all("." not in str((one or {}).get("phoneNo", "")) for one in stored)


def test_a_long_window_of_zstd_is_read(with_customers, call, tmp_path):
    zstandard = pytest.importorskip("zstandard") if sys.version_info < (3, 14) else None
    text = rows("customerNo;name", *[f"{number};{'x' * 50}{number}" for number in range(100, 200)]).encode()
    path = tmp_path / "c.csv.zst"
    if zstandard is None:
        pytest.skip("made with the package zstandard")
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=30, enable_ldm=True)
    made = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    path.write_bytes(made.compress(text) + made.flush())
    result = call("push", "customers", path, env=with_customers.env)
    if result.exit_code:
        assert re.search(r"window|--long|zstd -d", result.stderr), result.stderr
    else:
        assert with_customers.ask(lambda sandbox: len(sandbox.customers)) == 109


def test_the_settings_file_has_columns_constants_and_the_decimal_sign(with_customers, call, tmp_path):
    settings = tmp_path / "settings.toml"
    settings.write_text(
        '[source]\ndecimal = ","\n[columns.documents]\nFakturanr = "documentNo"\nKundenr = "customerNo"\n'
        '"Beløp inkl. mva" = "currencyAmounts.inclVat"\n[constants.documents]\ndocumentType = "IN"\ncurrency = "NOK"\n'
        '[columns.customers]\nKundenr = "customerNo"\nNavn = "name"\n',
        "utf-8",
    )
    invoices, customers = tmp_path / "f.csv", tmp_path / "k.csv"
    invoices.write_text(rows("Fakturanr;Kundenr;Beløp inkl. mva", "10;1;12.000"), "utf-8")
    customers.write_text(rows("Kundenr;Navn", "1;Åse"), "utf-8")
    files = ("--customers", customers, "--documents", invoices)
    assert call("check", "documents", invoices, "--customers", customers, "--config", settings).exit_code == 0
    result = call("nightly", *files, "--no-journal", "--check-first", "--config", settings, env=with_customers.env)
    assert result.exit_code == 0, result.stderr
    stored = with_customers.ask(lambda sandbox: sandbox.documents.get("10"))
    assert (stored["documentType"], stored["currencyAmounts"]["inclVat"]) == ("IN", 12000)
    shown = json.loads(call("config", "show", "--json", "--config", settings).stdout)["settings"]
    assert shown["columns.documents"]["value"]["Fakturanr"] == "documentNo"
    assert shown["source.decimal"] == {"value": ",", "origin": "file", "place": str(settings)}


def test_warnings_are_in_the_report_for_programs(with_customers, call, write):
    case = next(case for case in WORDS if case.warned)
    path, _ = write(case)
    result = call("push", "customers", path, "--json", env=with_customers.env)
    assert result.exit_code == 0
    assert sum(json.loads(result.stdout)["warnings"].values()) == 2


def test_an_unchanged_night_sends_nothing_and_refuses_again(with_customers, call, write, tmp_path):
    case = next(case for case in WORDS if case.refused)
    path, _ = write(case)
    for expected in (1, 0):
        result = call("sync", path, "--state", tmp_path / "state.sqlite", "--json", env=with_customers.env)
        assert result.exit_code == 1
        told = json.loads(result.stdout)
        assert (told["counts"]["invalid"], told["counts"].get("succeeded", 0)) == (len(case.refused), expected)


# --- folders and URLs ---------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    """Customers in two parts."""
    path = tmp_path / "parts"
    path.mkdir()
    parquet(path / "part-0.parquet", Kundenr=["10", "11"], Navn=["A", "B"])
    parquet(path / "part-1.parquet", Kundenr=["12", "4,79E+09"], Navn=["C", "D"])
    (path / "_SUCCESS").touch()
    return path


COLUMNS = ("--column", "Kundenr=customerNo", "--column", "Navn=name")


@pytest.mark.parametrize("as_url", [False, True])
def test_a_folder_of_parts(served, call, folder, tmp_path, as_url):
    path = f"file://{folder}" if as_url else folder
    for more in ((), ("--check-first",)):
        result = call("push", "customers", path, *COLUMNS, *more, env=served.env)
        assert result.exit_code == 1
        assert re.search("row .*shortened", result.stderr), result.stderr
        assert served.ask(lambda sandbox: len(sandbox.customers)) == 3
    assert call("sync", path, "--state", tmp_path / "s.sqlite", *COLUMNS, env=served.env).exit_code == 1
    assert call("check", "customers", path, *COLUMNS).exit_code == 1
    names = [one["field"] for one in json.loads(call("columns", "customers", path, "--json").stdout)["columns"]]
    assert names == ["customerNo", "name"]


@pytest.fixture
def web(tmp_path):
    """The address of a web server that has the files of the folder."""
    import functools
    import http.server
    import threading

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            """Says nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_url(served, call, web, tmp_path):
    pytest.importorskip("fsspec")
    (tmp_path / "k.csv").write_text(rows("Kundenr;Navn", "1;Åse", "2;Per"), "utf-8")
    url = f"{web}/k.csv?sig=s3cret"
    for command in (["push", "customers", url, "--check-first"], ["nightly", "--customers", url, "--check-first", "--no-journal"]):
        options = for_nightly(COLUMNS, "customers") if command[0] == "nightly" else COLUMNS
        result = call(*command, *options, env=served.env)
        assert result.exit_code == 0, result.stderr
        assert "s3cret" not in result.output
    assert served.ask(lambda sandbox: sandbox.customers.get("1"))["name"] == "Åse"
    missing = call("push", "customers", f"{web}/none.csv?sig=s3cret", env=served.env)
    assert missing.exit_code in {1, 2}
    assert "s3cret" not in missing.output


def test_standard_input_is_not_two_files(call, served):
    result = call("push", "documents", "-", "--lines", "-", "--no-journal", env=served.env)
    assert result.exit_code == 2
    assert "both the documents and their lines" in result.stderr
