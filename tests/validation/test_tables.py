"""A table is checked by column: every record as it would be sent, and those that are refused by what a run says of them."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import msgspec
import pytest

from amili_arm_async import open_records
from amili_arm_async.cli import generate
from amili_arm_async.validation.run import CheckRun

pytestmark = pytest.mark.quick

CUSTOMERS = """customerNo;name;limitAmount;emailAddressDocument;organizationNo;organizationNoScheme;currency
1;Kari;1 234,50;a@b.no;984842252;0192;NOK
2;Ola;12,5;a@b;984842253;0192;nok
3;Null;;;;;kr
4;#REF!;abc;;;;kr
1;Per;;;;;
;Pål;;;;;
"""
AMOUNTS = "currencyAmounts.exclVat;{0}currencyAmounts.vat;{0}currencyAmounts.inclVat"
DOCUMENTS = f"""documentType;customerNo;documentNo;kid;dueDate;documentDate;{AMOUNTS.format("")};documentLines.lineNo;\
documentLines.{AMOUNTS.format("documentLines.")}
IN;7;A1;2345676;2026-02-01;2026-01-01;3,00;0,75;3,75;1;1,00;0,25;1,25
IN;7;A1;2345676;2026-02-01;2026-01-01;3,00;0,75;3,75;2;2,00;0,50;2,50
IN;8;A2;2345675;2026-01-01;2026-02-01;3,00;0,75;3,76;1;1,00;0,25;1,25
IN;8;A2;2345675;2026-01-01;2026-02-01;3,00;0,75;3,76;2;1,00;0,50;2,50
IN;7;A3;;2026-01-01 12:30;;;;;1;;;
"""


async def check(kind, text, **more):
    limits = {name: more.pop(name) for name in ("max_bytes", "customers") if name in more}
    records = open_records(io.BytesIO(text.encode()), kind, **more)
    run = CheckRun(kind, records, **({"max_findings": 1000, "max_bytes": 100_000} | limits))
    return records, await run


def told(records, report):
    return [(records.line(finding.index), finding.key, finding.code, finding.path) for finding in report.faults]


async def test_customers_of_a_table():
    records, report = await check("customers", CUSTOMERS)
    assert told(records, report) == [
        (3, "2", "email", "$.emailAddressDocument[0]"),
        (3, "2", "organization_no", "$.organizationNo"),
        (4, "3", "possible_null_word", "$.name"),
        (4, "3", "currency", "$.currency"),
        (5, "4", "error_word", "$.name"),
        (5, "4", "number", "$.limitAmount"),
        (6, "1", "duplicate", "$.customerNo"),
        (7, None, "missing", "$.customerNo"),
    ]
    assert (report.records_read, report.complete, report.ok) == (6, True, False)
    assert report.not_checked == ["anything else in 1 record of the table that can't be sent"]


async def test_documents_of_a_table():
    records, report = await check("documents", DOCUMENTS, customers=["7"])
    assert told(records, report) == [
        (4, "A2", "kid_check_digit", "$.kid"),
        (4, "A2", "due_before_date", "$.dueDate"),
        (4, "A2", "amounts", "$.currencyAmounts"),
        (4, "A2", "amounts", "$.documentLines[1].currencyAmounts"),
        (4, "A2", "lines", "$.currencyAmounts.exclVat"),
        (4, "A2", "lines", "$.currencyAmounts.inclVat"),
        (4, "A2", "unknown_customer", "$.customerNo"),
        (6, "A3", "time_of_day", "$.dueDate"),
    ]
    assert report.records_read == 3


async def test_rows_that_are_no_records():
    records, report = await check("customers", "customerNo;name\n1;Kari\ncustomerNo;name\n2\n")
    assert told(records, report)[:2] == [(3, "customerNo", "no_record", "$"), (4, None, "not_readable", "$")]


async def test_a_record_of_a_table_that_is_too_large():
    text = "customerNo;name\n1;" + "å" * 100 + "\n2;" + '"""' + "x" * 97 + '"\n3;' + "y" * 98 + "\n"
    records, report = await check("customers", text, max_bytes=126)
    assert told(records, report) == [(2, "1", "too_large", "$"), (3, "2", "too_large", "$")]
    assert len(json.dumps({"customerNo": "3", "name": "y" * 98}, separators=(",", ":"))) == 126


@pytest.mark.parametrize("kind", ["customers", "documents"])
async def test_a_file_of_json_lines_is_checked_as_its_records_are(kind):
    encode = msgspec.json.Encoder(decimal_format="number").encode
    made = generate.customers(1, 300) if kind == "customers" else generate.documents(1, 300, 300)
    texts = [encode(one) for one in made]
    texts[7] = texts[7].replace(b'"language":"no"', b'"language":"nor"').replace(b'"language":"nb"', b'"language":"nor"')
    texts[9] = b"{"
    _, of_file = await check(kind, b"\n".join(texts).decode())
    of_list = await CheckRun(kind, texts, max_findings=1000, max_bytes=None)
    # Of a line that is broken, a file says more.
    assert [replace(one, message="") for one in of_file.faults] == [replace(one, message="") for one in of_list.faults]
    assert of_file.records_read == of_list.records_read == 300
    assert of_file.counts["not_json"] == 1
