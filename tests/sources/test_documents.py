"""Rows of documents put together, the passes over the whole of a file, and the texts that come of it."""

from __future__ import annotations

import asyncio
import io
import json
import os
import threading
from itertools import groupby
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from amili_arm_async import Customer, Document, SourceError, UnreadableRecord, codec, open_records
from amili_arm_async.bulk.chunking import RecordType
from amili_arm_async.sources import csv_table, documents, table_reader
from amili_arm_async.sync.digests import RecordDigests
from amili_arm_async.values.fields import fields_of

from ..support.examples import many

HEADER = "documentNo;customerNo;documentLines.lineNo;documentLines.lineText\n"


async def read(content, kind="documents", **options):
    source = io.BytesIO(content.encode()) if isinstance(content, str) and "\n" in content else content
    records = open_records(source, kind, **options)
    found = [record async for record in records]
    return [(records.line(index), record) for index, record in enumerate(found)]


rows = st.lists(
    st.tuples(
        st.sampled_from(["1", "2", "3", "a", "A", ""]),
        st.sampled_from(["7", "7", "7", "8", ""]),
        st.sampled_from(["1", "2", "x", ""]),
        st.sampled_from(["T", ""]),
    )
    | st.just("broken"),
    max_size=14,
)


def by_hand(lines):
    """The numbers of the documents that may be sent, with their lines; by the rules, row by row."""
    kept = [(number, row) for number, row in enumerate(lines, 2) if row == "broken" or any(row)]
    lost = {number for number, row in kept if row == "broken" or (not row[0] and (row[2] or row[3]))}
    # Broken rows within a document do not part it, and a line without a number does.
    rows_of = [(number, row) for number, row in kept if row != "broken"]
    runs = [(key, list(some)) for key, some in groupby(rows_of, lambda one: one[1][0].casefold() or one[0])]
    runs = [(key, some) for key, some in runs if some[0][0] not in lost]
    good = {}
    for place, (key, some) in enumerate(runs):
        first = some[0][1]
        before = runs[place - 1][1][-1][0] if place else 0
        after = runs[place + 1][1][0][0] if place + 1 < len(runs) else len(lines) + 3
        is_torn = isinstance(key, str) and [other for other, _ in runs].count(key) > 1
        differs = any(row[1] not in {"", first[1]} or row[0] not in {"", first[0]} for _, row in some)
        is_bad = any(row[2] == "x" for _, row in some)
        beside = any(before < number < after for number in lost)
        if not (is_torn or differs or is_bad or beside):
            good[some[0][0]] = [(row[2], row[3]) for _, row in some if row[2] or row[3]]
    return good


@many(150)
@given(rows)
async def test_the_documents_that_are_sent_are_those_that_are_sent_by_hand(lines):
    content = HEADER + "".join((row if row == "broken" else ";".join(row)) + "\n" for row in lines)
    found = await read(content, format="csv")
    expected = by_hand(lines)
    sent = {
        number: [(str(line.get("lineNo", "")), line.get("lineText", "")) for line in record.get("documentLines", [])]
        for number, record in found
        if isinstance(record, dict)
    }
    assert sent == expected


@settings(max_examples=50, deadline=None)
@given(rows, st.integers(1, 5))
async def test_the_size_of_blocks_changes_nothing(lines, size):
    content = HEADER + "".join((row if row == "broken" else ";".join(row)) + "\n" for row in lines)
    whole = await read(content, format="csv")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_table, "_BLOCK", size * 10)
        parts = await read(content, format="csv")
    assert [(number, _plain(record)) for number, record in parts] == [(number, _plain(record)) for number, record in whole]


@settings(max_examples=50, deadline=None)
@given(rows, st.integers(1, 5), st.booleans())
@example([("1", "7", "1", "T"), "broken", ("1", "7", "2", "T"), ("1", "7", "1", "T"), ("1", "7", "2", "T")], 3, False)
async def test_what_is_kept_of_a_long_document_changes_nothing_that_is_sent(lines, size, is_long):
    content = HEADER + "".join((row if row == "broken" else ";".join(row)) + "\n" for row in lines)
    whole = await read(content, format="csv")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_table, "_BLOCK", size * 10)
        patch.setattr(documents, "_MOST_BROKEN", 0)
        if is_long:
            patch.setattr(documents, "MOST_ROWS", 1)
        parts = await read(content, format="csv")
    sent = [(number, record) for number, record in parts if isinstance(record, dict)]
    if is_long:
        assert all(one in whole for one in sent)
    else:
        assert sent == [(number, record) for number, record in whole if isinstance(record, dict)]
    # Each row that can't be read is named once.
    assert sorted(number for number, record in parts if _is_broken(record)) == sorted(
        number for number, record in whole if _is_broken(record)
    )


def _is_broken(record):
    return isinstance(record, UnreadableRecord) and {code for code, _, _ in record.faults} == {"not_readable"}


def _plain(record):
    return sorted(record.fault.split("; ")) if isinstance(record, UnreadableRecord) else record


TORN = HEADER + "1;7;1;\n2;7;1;\n1;7;2;\n3;7;1;\n"


async def test_what_comes_through_a_pipe_is_looked_at_whole_too():
    ours, theirs = os.pipe()
    with open(ours, "rb", buffering=0) as file, open(theirs, "wb") as writer:
        thread = threading.Thread(target=lambda: (writer.write(TORN.encode()), writer.close()))
        thread.start()
        found = await read(file, format="csv")
        thread.join()
    assert [(number, isinstance(record, dict)) for number, record in found] == [(2, False), (3, True), (4, False), (5, True)]


async def test_a_stream_of_arrow_is_looked_at_whole_too():
    pa = pytest.importorskip("pyarrow")
    table = pa.table({"documentNo": ["1", "2", "1", "3"], "documentLines.lineNo": [1, 1, 2, 1]})
    found = await read(table.to_reader())
    assert [isinstance(record, dict) for _, record in found] == [False, True, False, True]


async def test_what_is_put_aside_is_on_no_disk_that_others_can_read(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("amili_arm_async.bulk.spool.IN_MEMORY", 10)
    pa = pytest.importorskip("pyarrow")
    table = pa.table({"documentNo": [str(number) for number in range(2000)], "documentLines.lineNo": [1] * 2000})
    assert len(await read(table.to_reader())) == 2000
    assert list(tmp_path.iterdir()) == []


async def test_numbers_are_proved_by_the_whole_file_and_not_by_a_stream(tmp_path):
    content = "customerNo;limitAmount\n" + "1;12.000\n" * 3000 + "2;5,5\n"
    found = await read(content, "customers")
    assert {record["limitAmount"] for _, record in found[:-1]} == {12000}
    path = tmp_path / "file.csv"
    path.write_text(content)
    assert [record for _, record in await read(str(path), "customers")] == [record for _, record in found]
    ours, theirs = os.pipe()
    with open(ours, "rb", buffering=0) as file, open(theirs, "wb") as writer:
        thread = threading.Thread(target=lambda: (writer.write(content.encode()), writer.close()))
        thread.start()
        found = await read(file, "customers", format="csv")
        thread.join()
    assert all("two meanings" in record.fault for _, record in found[:-1])
    assert isinstance(found[-1][1], dict)
    (_, record), *_ = await read("customerNo;limitAmount\n1;12.000\n", "customers", decimal_sign=".")
    assert str(record["limitAmount"]) == "12.000"


async def test_proofs_that_contradict_each_other_prove_nothing():
    found = await read("customerNo;limitAmount\n1;12.000\n2;5,5\n3;5.5\n", "customers")
    assert "contradict" in found[0][1].fault
    assert [str(record["limitAmount"]) for _, record in found[1:]] == ["5.5", "5.5"]


async def test_a_run_that_is_cancelled_in_a_pass_leaves_nothing_open(tmp_path, monkeypatch):
    path = tmp_path / "file.csv"
    path.write_text(HEADER + "".join(f"{number};7;1;\n" for number in range(50_000)))
    looked = asyncio.Event()
    real = table_reader.next_in_thread

    async def slowly(items):
        looked.set()
        await asyncio.sleep(0)
        return await real(items)

    monkeypatch.setattr(table_reader, "next_in_thread", slowly)
    records = open_records(path, "documents")
    task = asyncio.create_task(anext(aiter(records.blocks())))
    await looked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.get_running_loop().shutdown_asyncgens()
    opened = Path("/proc/self/fd")
    if opened.exists():
        assert path not in [Path(os.readlink(one)) for one in opened.iterdir() if one.exists()]


# --- texts ----------------------------------------------------------------------------------------------------------------


def _example(field):
    others = {"integer": "1999" if field.names[-1] == "yearOfBirth" else "3", "decimal": "12,50", "date": "2000-01-31", "boolean": "ja"}
    return others.get(field.type, {"email": "a@b.no", "identifier": "971524960"}.get(field.role, "AB"))


@pytest.mark.parametrize(("kind", "cls", "key"), [("customers", Customer, "customer_no"), ("documents", Document, "document_no")])
async def test_a_text_is_canonical_with_every_field(kind, cls, key):
    fields = list(fields_of(kind).values())
    header = ";".join(field.path for field in fields)
    row = ";".join(field.example or _example(field) for field in fields)
    records = open_records(io.BytesIO(f"{header}\n{row}\n".encode()), kind, format="csv")
    (block,) = [block async for block in records.blocks()]
    (text,) = block
    assert isinstance(text, bytes), text.fault
    assert block.is_canonical
    assert text == codec.encode_value(codec.json_value(text), sort=True)
    digests = RecordDigests(RecordType(cls, key))
    assert digests.of(block) == digests.of([bytes(text)]) == digests.of([json.loads(text)])


async def test_a_group_without_values_is_not_there():
    content = "customerNo;postalAddress.cityName;postalAddress.postalCode;name\n1;;;A\n2;Bø;;\n3;;0150;\n"
    found = await read(content, "customers")
    assert [record.get("postalAddress") for _, record in found] == [None, {"cityName": "Bø"}, {"postalCode": "0150"}]


async def test_blocks_have_keys_and_places_and_hold_a_thousand_records_at_the_most():
    content = "customerNo;dueDays\n" + "".join(f"{number};{'x' if number % 7 == 0 else 14}\n" for number in range(2500))
    records = open_records(io.BytesIO(content.encode()))
    blocks = [block async for block in records.blocks()]
    assert sum(map(len, blocks)) == 2500
    assert max(map(len, blocks)) <= 1000
    assert [key for block in blocks for key in block.keys] == [str(number) for number in range(2500)]
    assert [records.line(index) for index in range(2500)] == list(range(2, 2502))


async def test_warnings_are_counted_and_the_first_are_kept():
    content = "customerNo;Navn\n" + "".join(f"{number};NULL\n" for number in range(150))
    records = open_records(io.BytesIO(content.encode()), columns={"Navn": "name"})
    assert len([record async for record in records]) == 150
    assert records.warnings.counts == {"possible_null_word": 150}
    assert len(records.warnings.first) == 100
    place, code, path, message = records.warnings.first[1]
    assert (place, code, path) == ("line 3", "possible_null_word", "name")
    assert message.startswith("column Navn (name): ")


async def test_judged_blocks_give_values_with_what_is_refused_between_them():
    content = "customerNo;dueDays\n1;14\n2;x\nbroken\n3;15\n"
    records = open_records(io.BytesIO(content.encode()), format="csv")
    (block,) = [block async for block in records.judged_blocks()]
    assert [field.path for field in block.fields] == ["customerNo", "dueDays"]
    assert block.columns == [["1", "3"], [14, 15]]
    assert block.keys == ["1", "3"]
    assert [(one.before, one.number, one.record.faults[0].code) for one in block.refused] == [(1, 3, "number"), (1, 4, "not_readable")]
    assert [records.place(index) for index in range(4)] == ["line 2", "line 3", "line 4", "line 5"]


# --- JSON -----------------------------------------------------------------------------------------------------------------


async def test_json_stays_as_it_is_unless_a_rule_says_otherwise():
    lines = [
        b'{"name": "A",  "customerNo":"1"}',
        b'{"customerNo":2,"phoneNo":"#REF!"}',
        b'{"customerNo":"3","further":1,"dateOfBirth":"20.11.2006"}',
        b'{"customerNo":"4","customerNo":"5"}',
        b'{"customerNo":10001.0}',
        b'{"customerNo":"6","dueDays":"x"}',
        b"no json",
    ]
    records = open_records(io.BytesIO(b"\n".join(lines)))
    found = [record async for record in records]
    assert found[0] == lines[0]
    assert "line 2, column phoneNo: " in found[1].fault
    assert found[2] == b'{"customerNo":"3","further":1,"dateOfBirth":"2006-11-20"}'
    assert "occurs twice" in found[3].fault
    assert "a tool has made a number" in found[4].fault
    assert found[5] == lines[5]


async def test_rules_are_applied_to_the_records_that_are_asked_for():
    content = b'{"customerNo":"1","phoneNo":"NULL"}\n{"customerNo":"2","phoneNo":"NULL"}\n'
    (block,) = [block async for block in open_records(io.BytesIO(content), format="jsonl").blocks() if block]
    assert block.apply_rules([1]) == [1]
    assert isinstance(block[0], bytes)
    assert isinstance(block[1], UnreadableRecord)


@pytest.mark.parametrize("number", ["1.0", "1,00", "'1", "1\u200b", "1\x07", "NULL", "#REF!", "-", "=A2", "1,0E+00", "\u200b"])
async def test_an_invoice_is_not_sent_without_a_row_whose_number_a_tool_has_changed(number):
    found = await read(f"{HEADER}1;7;1;\n{number};7;2;\n2;7;1;\n3;7;1;\n")
    sent = {record["documentNo"]: len(record["documentLines"]) for _, record in found if not isinstance(record, UnreadableRecord)}
    assert "1" not in sent
    assert sent["3"] == 1


async def test_rows_with_one_number_in_two_forms_of_unicode_are_one_invoice():
    found = await read(f"{HEADER}\u00c51;7;1;\nA\u030a1;7;2;\n")
    assert len(found) == 1


async def test_a_constant_of_lines_needs_lines():
    with pytest.raises(SourceError, match="no column of lines"):
        await read("documentNo;customerNo\n1;1\n", constants={"documentLines.quantity": "1"})


@pytest.mark.parametrize("change", ["replace", "append"])
async def test_a_file_that_is_changed_between_two_passes_is_said_to_be(tmp_path, change):
    path = tmp_path / "documents.csv"
    text = HEADER + "".join(f"{number};7;1;\n" for number in range(40_000))
    path.write_text(text)
    records = open_records(path, "documents")
    if change == "replace":
        path.rename(tmp_path / "before.csv")
        path.write_text(text)
    with pytest.raises(SourceError, match="it was changed while it was read"):
        async for _ in records.blocks():
            if change == "append" and records.line(0):
                with path.open("a") as file:
                    file.write("1;7;2;\n")
                change = ""


@pytest.mark.parametrize("broken", ["1;7;2", '"1;7;2;T', "1;7;2;T;x", " 1 ;7;2;T;x", "1\x00;7"])
@pytest.mark.parametrize("is_piped", [False, True])
async def test_a_broken_row_of_an_invoice_holds_it_wherever_it_stands(broken, is_piped):
    source = io.BytesIO(f"{HEADER}1;7;1;\n2;7;1;\n3;7;1;\n{broken}\n4;7;1;\n5;7;1;\n".encode())
    if is_piped:
        source.seekable = lambda: False
    found = dict(await read(source))
    assert found[2].fault == "line 2: line 5 can't be read, and may be a line of it"
    assert [number for number, record in found.items() if isinstance(record, (dict, bytes))] == [3, 7]


async def test_a_line_without_a_value_is_none_in_a_list_as_in_rows():
    pa = pytest.importorskip("pyarrow")
    line, nothing = {"price": 5, "lineText": None}, {"price": None, "lineText": " "}
    lists = [[line, nothing, None], [nothing], [], None, [nothing, line]]
    table = pa.table({"documentNo": list("12345"), "documentLines": lists})
    found = await read(table, constants={"documentLines.quantity": "2"})
    assert [len(record.get("documentLines", ())) for _, record in found] == [1, 0, 0, 0, 1]
    assert found[4][1]["documentLines"] == [{"price": 5, "quantity": 2}]
