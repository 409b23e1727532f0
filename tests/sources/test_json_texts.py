"""Records in JSON: lines, lists, objects on several lines, bodies of the API; whatever the cuts, and whatever stands beside them."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amili_arm_async import open_records
from amili_arm_async.sources.json_faults import fault_of
from amili_arm_async.sources.json_texts import JsonTexts
from amili_arm_async.unreadable import UnreadableRecord
from amili_arm_async.validation.run import CheckRun

pytestmark = pytest.mark.quick

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
RECORD = st.builds(lambda number, more: {"customerNo": str(number), **more}, st.integers(0, 999), st.dictionaries(TEXT, VALUE, max_size=3))
RECORDS = st.lists(RECORD, max_size=12)
CUTS = st.lists(st.integers(1, 60), max_size=20)


def lines(records: list) -> str:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def lines_with_marks(records: list) -> str:
    return "".join(f"\ufeff{json.dumps(record)} \r\n\n" for record in records)


def one_list(records: list) -> str:
    return json.dumps(records)


def list_with_a_line_each(records: list) -> str:
    return "[\n" + ",\n".join(json.dumps(record) for record in records) + "\n]\n"


def indented_list(records: list) -> str:
    return "\ufeff" + json.dumps(records, indent=2, ensure_ascii=False)


def indented_objects(records: list) -> str:
    return "\n".join(json.dumps(record, indent=4) for record in records)


def body(records: list) -> str:
    return json.dumps({"metadata": {"userId": "u"}, "customers": records, "more": [1]})


def indented_body(records: list) -> str:
    return json.dumps({"metadata": {"userId": "u"}, "customers": records}, indent=1).replace("\n", "\r\n")


FORMS = [lines, lines_with_marks, one_list, list_with_a_line_each, indented_list, indented_objects, body, indented_body]


def read(text: str | bytes, cuts: list[int] = (), longest: int = 100_000) -> list:  # type: ignore[assignment]
    data = text.encode() if isinstance(text, str) else text
    reader, parts, place = JsonTexts(longest), [], 0
    for cut in cuts:
        parts.append(reader.feed(data[place : place + cut]))
        place += cut
    parts += [reader.feed(data[place:]), reader.end()]
    return [pair for numbers, records in parts for pair in zip(numbers, records, strict=True)]


def values(found: list) -> list:
    """What was found, decoded; what can't be is None, and named by those who decode it (test_json_records)."""
    return [None if isinstance(record, UnreadableRecord) or fault_of(record) is not None else json.loads(record) for _, record in found]


@pytest.mark.parametrize("form", FORMS)
@given(RECORDS, CUTS)
def test_every_form_gives_the_records(form, records, cuts) -> None:
    found = read(form(records), cuts)
    assert values(found) == records
    assert [number for number, _ in found] == sorted(number for number, _ in found)
    assert all(b"\n" not in record for _, record in found)


@given(RECORDS)
def test_lines_are_given_as_they_stand_with_their_numbers(records) -> None:
    expected = [(number, json.dumps(record).encode()) for number, record in enumerate(records, 1)]
    assert read("".join(json.dumps(record) + "\n" for record in records)) == expected


BROKEN = ['{"customerNo": "7", "name": ', '{"customerNo": "7", "name": "A}', '{"customerNo": "7" "name": "A"}', "{'customerNo': '7'}"]


@pytest.mark.parametrize("form", [lines, list_with_a_line_each, indented_list, indented_objects, indented_body])
@given(st.sampled_from(BROKEN), st.lists(RECORD, min_size=1, max_size=5), st.lists(RECORD, min_size=1, max_size=5), CUTS)
def test_a_broken_one_costs_only_itself(form, broken, before, after, cuts) -> None:
    marker = {"customerNo": "the marker"}
    whole = form([*before, marker, *after])
    indented = "\n" in json.dumps(marker, indent=1)
    place = whole.index('"the marker"')
    begin, end = whole.rindex("{", 0, place), whole.index("}", place) + 1
    assert indented
    found = read(whole[:begin] + broken + whole[end:], cuts)
    assert [value for value in values(found) if value is not None] == before + after
    assert None in values(found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"customerNo":"1"}{"customerNo":"2"}', "several objects on one line"),
        ('{"customerNo":"1"} x', "text behind the object"),
        ('{"customerNo":NaN}', "NaN or Infinity"),
        ("{'customerNo':'1'}", "single quotes"),
        ('{"customerNo":"1",}', "a comma behind the last value"),
        ('{"customerNo":"1"},', "a comma behind the object"),
        ('{"customerNo":"1"} // first', "a comment"),
        ('{"customerNo":"1\\ud83d"}', "half of a character"),
        ('{"customerNo":None}', "None"),
        ('{customerNo:"1"}', "without quotation marks"),
        ('{"customerNo":01}', "a leading zero"),
        ('"customerNo"', "not a JSON object"),
        ('{"customerNo":"1', "does not end"),
        (b'{"customerNo":"\xe6"}', "not UTF-8"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(text, expected) -> None:
    data = text if isinstance(text, bytes) else text.encode()
    found = read(b'{"customerNo":"0"}\n' + data + b'\n{"customerNo":"9"}\n')
    assert values(found) == [{"customerNo": "0"}, None, {"customerNo": "9"}]
    number, record = found[1]
    assert number == 2
    if isinstance(record, UnreadableRecord):
        assert record.fault.startswith("line 2: ")
        assert expected in record.fault
    else:
        assert expected in (fault_of(record) or "")


@pytest.mark.parametrize("form", FORMS)
def test_a_record_that_is_too_long_is_named_and_not_kept(form) -> None:
    records = [{"customerNo": str(number)} for number in range(30)]
    records[10]["name"] = "x" * 5000
    found = read(form(records), [100] * 300, longest=1000)
    assert [value for value in values(found) if value is not None] == [*records[:10], *records[11:]]
    (refused,) = [record for _, record in found if isinstance(record, UnreadableRecord)]
    assert "more than 1000 bytes" in refused.fault
    assert refused.as_read is None


@pytest.mark.parametrize("form", [one_list, list_with_a_line_each, indented_list, body, indented_body])
def test_a_list_that_is_cut_off_says_so(form) -> None:
    text = form([{"customerNo": str(number)} for number in range(5)])
    found = values(read(text[: text.index('"3"') + 4]))
    assert found[:3] == [{"customerNo": str(number)} for number in range(3)]
    assert found[-1] is None


@given(st.binary(max_size=200), CUTS)
def test_no_bytes_make_it_raise_or_depend_on_the_cuts(data, cuts) -> None:
    whole = [(number, getattr(record, "fault", record)) for number, record in read(data)]
    assert [(number, getattr(record, "fault", record)) for number, record in read(data, cuts)] == whole


async def test_a_day_in_another_form_is_written_as_the_api_has_it_and_a_check_says_nothing_of_it() -> None:
    lines = b'{"documentNo":"1","documentDate":"20.11.2026 00:00","x":1.50}\n{"documentNo":"2","documentDate":"2026-11-20T12:00:00"}\n'
    (block,) = [block async for block in open_records(io.BytesIO(lines), "documents").blocks()]
    block.apply_rules()
    assert json.loads(block[0], parse_float=str) == {"documentNo": "1", "documentDate": "2026-11-20", "x": "1.50"}
    assert isinstance(block[1], UnreadableRecord)
    report = await CheckRun("documents", open_records(io.BytesIO(lines), "documents"), max_findings=10, max_bytes=None)
    assert [(one.index, one.code) for one in report.faults if "Date" in one.path] == [(1, "time_of_day")]


def test_a_brace_too_many_in_a_list_costs_no_record():
    first, named, second = JsonTexts(1000).feed(b'[{"customerNo":"1"}},{"customerNo":"2"}]').records
    assert (first, second) == (b'{"customerNo":"1"}', b'{"customerNo":"2"}')
    assert named.fault == "line 1: a } too many in the list: remove it"
