"""The rows of a frame, with Spark's shuffle done by hand: the parts hold together what one reader makes of the whole frame."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amili_arm_async import ArmClient, SourceError, part_of
from amili_arm_async.spark.job import FrameJob, Reading
from amili_arm_async.unreadable import UnreadableRecord

from .frames import PARTS, labelled_batches, no_spark, task_of

pa = pytest.importorskip("pyarrow")

__all__ = ["no_spark"]

pytestmark = pytest.mark.usefixtures("no_spark")

NUMBERS = st.sampled_from(["1", "2", "3", "F-1", "f-1", " 2 ", "", None, "1.0", "#REF!"])


def sent(reading: Reading, heads: Any, lines: Any = None) -> dict[int, list[Any]]:
    """By part, what its task reads of a frame."""
    job = FrameJob.of("postgresql://h/d", ArmClient.from_env, reading, run_id="1", parts=PARTS, options=None, lease=60.0, user_id=None)
    task = task_of(job, (1, "x"), heads.column_names, lines.column_names if lines is not None else None)

    async def read() -> dict[int, list[Any]]:
        parts = task.parts_of(labelled_batches(reading, heads, lines))
        return {part: [record async for record in records] for part, records in parts}

    return asyncio.run(read())


def whole(reading: Reading, heads: Any, lines: Any = None) -> list[Any]:
    async def read() -> list[Any]:
        return [record async for record in reading.of(iter(heads.to_batches()), iter(lines.to_batches()) if lines is not None else None)]

    return asyncio.run(read())


def good(records: list[Any]) -> dict[str, list[dict[str, Any]]]:
    """By their number, the lines of the documents that may be sent; without a number, none is."""
    found = [record for record in records if not isinstance(record, UnreadableRecord) and "documentNo" in record]
    return {record["documentNo"]: record.get("documentLines", []) for record in found}


def lines_by_hand(number: str, numbers: list[Any]) -> list[int]:
    """Which lines are of a document: in whatever case, with blanks around it, or made a number with decimals by a tool."""
    return [place for place, other in enumerate(numbers) if (other or "").strip().casefold().removesuffix(".0") == number.casefold()]


def codes(records: list[Any]) -> list[str]:
    return sorted(code for record in records if isinstance(record, UnreadableRecord) for code, *_ in record.faults)


@settings(max_examples=25)
@given(st.lists(NUMBERS, min_size=1, max_size=8), st.lists(NUMBERS, min_size=1, max_size=12), st.booleans())
def test_the_lines_of_another_frame_are_joined_as_one_reader_does_it(heads: list[Any], lines: list[Any], is_optional: bool) -> None:
    reading = Reading(has_lines=True, line_columns={"pris": "documentLines.price"}, lines_optional=is_optional)
    frame = pa.table({"documentNo": pa.array(heads, pa.string()), "customerNo": ["1"] * len(heads)})
    of_lines = pa.table({"pris": list(range(len(lines))), "documentNo": pa.array(lines, pa.string())})
    by_part = sent(reading, frame, of_lines)
    for part, records in by_part.items():
        assert {part_of(number, PARTS) for number in good(records)} <= {part}
    parts = [record for records in by_part.values() for record in records]
    expected = good(whole(reading, frame, of_lines))
    # A line without a number may be one of any document: in a frame, whose rows have no order, that is another one.
    numbers = [number.strip() for number in lines if number is not None]
    if all(number and number != "#REF!" for number in numbers) and None not in lines:
        assert good(parts) == expected
        assert codes(parts) == codes(whole(reading, frame, of_lines))
    for number, found in good(parts).items():
        assert [line["price"] for line in found] == lines_by_hand(number, lines)


@settings(max_examples=25)
@given(st.lists(NUMBERS, min_size=1, max_size=12))
def test_rows_of_one_document_are_in_one_part_wherever_they_stand(rows: list[Any]) -> None:
    frame = pa.table({"documentNo": pa.array(rows, pa.string()), "documentLines.price": list(range(len(rows)))})
    by_part = sent(Reading(), frame)
    found = good([record for records in by_part.values() for record in records])
    for number, lines in found.items():
        assert [line["price"] for line in lines] == lines_by_hand(number, rows)


def test_lists_of_lines_stay_with_their_document() -> None:
    lines = [[{"articleName": "a", "price": 1.5}], [], None, [{"articleName": "b", "price": 2.0}, {"articleName": "c", "price": None}]]
    frame = pa.table({"documentNo": ["1", "2", "3", "4"], "documentLines": lines})
    by_part = sent(Reading(), frame)
    assert len(by_part) > 1
    assert good([record for records in by_part.values() for record in records]) == good(whole(Reading(), frame))


def test_a_number_with_the_mark_of_a_spreadsheet_ends_the_job_before_anything_is_sent() -> None:
    # Its row may be one of the document without the mark, which is in another part.
    frame = pa.table({"documentNo": ["F1", "'F1", "2"]})
    with pytest.raises(SourceError, match=r"nothing was sent: 1 number of the column documentNo"):
        sent(Reading(), frame)
    reading = Reading(has_lines=True)
    by_part = sent(reading, pa.table({"documentNo": ["F1"]}), pa.table({"documentNo": ["F1", "'F1"], "price": [1, 2]}))
    assert {number: len(lines) for records in by_part.values() for number, lines in good(records).items()} == {"F1": 2}
    customers = sent(Reading("customers"), pa.table({"customerNo": ["'F1"]}))
    assert [record["customerNo"] for records in customers.values() for record in records] == ["'F1"]
