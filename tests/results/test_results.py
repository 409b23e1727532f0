"""What a batch result says: tolerant of its shape, never of its meaning."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
import sys
from typing import Any
from unittest import mock

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from amili_arm_async import BatchResult, BatchWords
from amili_arm_async.bulk.outcomes import Outcome
from amili_arm_async.bulk.result_entries import Entries
from amili_arm_async.bulk.results import read_all, read_result

from ..support.examples import many

WORDS = BatchWords()
KEY_NAMES = ("documentNo", "customerNo")


def read(value: Any, status: int = 200, words: BatchWords = WORDS) -> BatchResult:
    return read_result("uuid", status, value if isinstance(value, bytes) else json.dumps(value).encode(), words)


def states(value: Any, keys: list[str | None], status: int = 200, words: BatchWords = WORDS) -> list[str]:
    """The state of each record; `accepted` with its reason."""
    return [v.state if v.state != "accepted" else v.reason for v in outcomes(value, keys, status, words)]


def outcomes(value: Any, keys: list[str | None], status: int = 200, words: BatchWords = WORDS, names: Any = KEY_NAMES) -> list[Outcome]:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    common, exceptions = read_all("uuid", status, body, words, names, len(keys)).outcomes(keys)
    assert all(0 <= place < len(keys) for place in exceptions)
    return [exceptions.get(place, common) for place in range(len(keys))]


def done(entries: list[dict[str, Any]] | None = None, result: str = "SUCCESS", **more: Any) -> dict[str, Any]:
    return {"status": "PROCESSED", "result": result, **more, **({"customers": entries} if entries is not None else {})}


def entry(key: str | None, result: str = "SUCCESS", **more: Any) -> dict[str, Any]:
    return {**({"customerNo": key} if key is not None else {}), "status": "PROCESSED", "result": result, **more}


# --- the words for the whole batch ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        ({"status": "NOT-PROCESSED", "result": "PENDING"}, "pending"),
        ({"status": "PROCESSED", "result": "PENDING"}, "pending"),
        ({"status": "PROCESSED", "result": "SUCCESS"}, "succeeded"),
        ({"status": "processed", "result": "Success"}, "succeeded"),
        ({"status": " PROCESSED ", "result": "SUCCESS\n"}, "succeeded"),
        ({"status": "PROCESSED"}, "done"),
        ({"status": "PROCESSED", "result": None}, "done"),
        ({"status": "Completed", "result": "DONE"}, "done"),
        ({"status": "OK", "result": "PROCESSED"}, "succeeded"),
        ({"result": "SUCCESS"}, "succeeded"),
        ({"resultType": "SUCCESS"}, "succeeded"),
        ({"status": "PROCESSED", "result": "FAILED"}, "failed"),
        ({"status": "PROCESSED", "result": "PARTIAL"}, "partial"),
        ({"status": "PROCESSED", "result": "WUNDERBAR"}, "unrecognised"),
        ({"status": "WUNDERBAR", "result": "SUCCESS"}, "unrecognised"),
        ({"status": "WUNDERBAR", "result": "FAILED"}, "unrecognised"),
        ({"status": "WUNDERBAR", "result": "PENDING"}, "pending"),
        ({"status": None, "result": ""}, "unrecognised"),
        ({"status": 200, "result": True}, "unrecognised"),
        ({}, "unrecognised"),
        ([], "unrecognised"),
        (None, "unrecognised"),
        (b"", "unrecognised"),
        (b"<html>", "unrecognised"),
        (b"\xff\xfe", "unrecognised"),
        (b'{"status":"PROCESSED","result":"SUCC', "unrecognised"),
    ],
)
def test_the_words_of_the_batch(body, outcome) -> None:
    result = read(body)
    assert result.outcome == outcome
    assert result.is_final == (outcome in {"succeeded", "failed", "partial", "done"})


@pytest.mark.parametrize("body", [done(), done(result="FAILED"), {}, b"", b"oops"])
def test_202_is_pending_whatever_the_words(body) -> None:
    assert read(body, 202).outcome == "pending"
    assert not read(body, 202).is_final


def test_words_can_be_replaced() -> None:
    words = BatchWords(pending={"venter"}, succeeded={"ferdig"}, failed={"feilet"}, partial={"delvis"})
    assert read({"status": "FERDIG"}, words=words).outcome == "succeeded"
    assert read({"status": "Venter"}, words=words).outcome == "pending"
    assert read({"status": "SUCCESS"}, words=words).outcome == "unrecognised"


def test_the_raw_body_and_the_words_are_kept() -> None:
    result = read(b' {"status":"PROCESSED","result":"SUCCESS","message":"fine","secret":1} ')
    assert result.body == b' {"status":"PROCESSED","result":"SUCCESS","message":"fine","secret":1} '
    assert (result.status, result.result, result.message, result.http_status) == ("PROCESSED", "SUCCESS", "fine", 200)
    assert "fine" not in repr(result)


def test_a_result_is_not_final_while_an_entry_is_pending() -> None:
    assert not read(done([entry("1"), entry("2", "PENDING")])).is_final


# --- without entries --------------------------------------------------------------------------------------------------------


def test_overall_success_without_entries_speaks_for_all() -> None:
    assert states(done(), ["1", None, "3"]) == ["succeeded"] * 3


def test_206_without_entries_speaks_for_none() -> None:
    assert states(done(), ["1", "2"], status=206) == ["unmapped"] * 2


def test_partial_success_without_entries_speaks_for_none() -> None:
    assert states(done(result="PARTIAL"), ["1", "2"]) == ["unmapped"] * 2


def test_overall_failure_without_entries_speaks_against_all_in_the_servers_words() -> None:
    (outcome,) = set(outcomes(done(result="FAILED", message="no such client"), ["1", "2"]))
    assert outcome == Outcome("failed", "FAILED", "no such client")


@pytest.mark.parametrize("body", [{"status": "WUNDERBAR"}, {}, [], b"", b"garbage"])
def test_unknown_words_are_accepted_and_unrecognised(body) -> None:
    assert states(body, ["1", "2"]) == ["unrecognised"] * 2


def test_pending_at_the_end_is_the_deadline() -> None:
    assert states({"status": "PENDING"}, ["1"]) == ["deadline"]
    assert states(done([entry("1")]), ["1"], status=202) == ["deadline"]


# --- entries and records ------------------------------------------------------------------------------------------------------


def test_entries_are_matched_by_key_in_any_order() -> None:
    body = done([entry("3", "FAILED"), entry("1"), entry("2", "PENDING")], "PARTIAL")
    assert states(body, ["1", "2", "3"]) == ["succeeded", "deadline", "failed"]


def test_keys_are_compared_without_case_and_as_text() -> None:
    assert states(done([{**entry(None), "customerNo": 7}, entry("ab")], "PARTIAL"), ["AB", "7"]) == ["succeeded"] * 2


def test_equal_keys_are_matched_by_occurrence() -> None:
    body = done([entry("1", "FAILED"), entry("2"), entry("1")], "PARTIAL")
    assert states(body, ["1", "1", "2"]) == ["failed", "succeeded", "succeeded"]


def test_of_equal_keys_the_one_without_an_entry_is_unmapped() -> None:
    assert states(done([entry("1")]), ["1", "1"]) == ["succeeded", "unmapped"]


def test_records_without_key_are_matched_by_position_if_the_counts_match() -> None:
    body = done([entry(None), entry(None, "FAILED"), entry("3")], "PARTIAL")
    assert states(body, [None, None, "3"]) == ["succeeded", "failed", "succeeded"]


def test_records_without_key_are_unmapped_where_the_counts_differ() -> None:
    body = done([entry(None, "FAILED"), entry("3")], "PARTIAL")
    assert states(body, [None, None, "3"]) == ["unmapped", "unmapped", "succeeded"]


def test_fewer_successes_without_key_than_records_leave_some_out() -> None:
    assert states(done([entry(None)]), ["1", "2", None]) == ["unmapped"] * 3
    assert states(done([entry(None)]), ["1"]) == ["succeeded"]


def test_a_record_without_key_never_takes_the_entry_of_another() -> None:
    body = done([entry("2"), entry(None, "FAILED")], "PARTIAL")
    assert states(body, [None, "2"]) == ["unmapped", "succeeded"]


def test_a_record_with_key_never_takes_an_entry_by_position() -> None:
    assert states(done([entry(None), entry("9")]), ["1", "2"]) == ["unmapped"] * 2


def test_a_record_that_the_list_leaves_out_is_unmapped_and_no_success() -> None:
    assert states(done([entry("1")]), ["1", "2"]) == ["succeeded", "unmapped"]
    assert states(done([entry("1", "FAILED")], "FAILED"), ["1", "2"]) == ["failed", "unmapped"]


def test_entries_of_others_are_no_records_of_ours() -> None:
    assert states(done([entry("8", "FAILED"), entry("1"), entry("9")]), ["1"]) == ["succeeded"]


def test_an_entry_of_unknown_words_spoils_only_its_record() -> None:
    assert states(done([entry("1"), entry("2", "WUNDERBAR")], "PARTIAL"), ["1", "2"]) == ["succeeded", "unrecognised"]


def test_an_entry_that_says_nothing_is_no_success() -> None:
    assert states(done([{"customerNo": "1"}, {"customerNo": "2", "status": None}]), ["1", "2"]) == ["unrecognised"] * 2


def test_no_entry_succeeds_where_the_words_for_the_whole_batch_are_unknown() -> None:
    body = {"status": "WUNDERBAR", "customers": [entry("1"), entry("2", "FAILED")]}
    assert states(body, ["1", "2", "3"]) == ["unrecognised", "failed", "unrecognised"]


def test_206_with_entries_is_what_the_entries_say() -> None:
    assert states(done([entry("1"), entry("2", "FAILED")], "PARTIAL"), ["1", "2", "3"], status=206) == ["succeeded", "failed", "unmapped"]


def test_a_failed_record_has_the_words_and_the_message_of_its_entry() -> None:
    (outcome,) = outcomes(done([entry("1", "FAILED", message="name is missing")]), ["1"])
    assert outcome == Outcome("failed", "PROCESSED/FAILED", "name is missing")


@pytest.mark.parametrize("name", ["customers", "documents", "results", "items", "records", "entries", "details", "kundeliste"])
def test_the_list_is_found_under_any_name(name) -> None:
    assert states({**done(), name: [entry("1", "FAILED")]}, ["1"]) == ["failed"]


def test_the_list_is_found_inside_an_object() -> None:
    assert states({**done(), "data": {"batch": {"records": [entry("1", "FAILED")]}}}, ["1"]) == ["failed"]


def test_a_list_of_something_else_is_no_list_of_records() -> None:
    assert states({**done(), "links": [{"href": "x"}], "tags": ["a"], "empty": []}, ["1"]) == ["succeeded"]


def test_entries_that_are_no_objects_keep_their_place() -> None:
    assert states(done([entry(None), 5, entry(None, "FAILED")], "PARTIAL"), [None, None, None]) == ["succeeded", "unrecognised", "failed"]


def test_a_document_is_named_by_its_own_number_and_not_by_its_customers() -> None:
    body = {"status": "PROCESSED", "result": "PARTIAL"}
    body["documents"] = [
        {"customerNo": "1", "documentNo": "A", "result": "SUCCESS"},
        {"customerNo": "1", "documentNo": "B", "result": "FAILED"},
    ]
    assert [v.state for v in outcomes(body, ["B", "A"], names=("documentNo",))] == ["failed", "succeeded"]


def test_a_list_alone_is_the_entries_and_they_speak_for_the_whole() -> None:
    assert states([entry("1"), entry("2", "FAILED")], ["1", "2", "3"]) == ["succeeded", "failed", "unmapped"]
    assert states([entry("1"), entry("2", "PENDING")], ["1", "2"]) == ["deadline"] * 2


@pytest.mark.parametrize("shape", [lambda entries: entries, lambda entries: {"results": entries}])
def test_entries_that_name_nobody_are_no_success_of_more_records_than_they_are(shape) -> None:
    assert "succeeded" not in states(shape([entry(None)]), ["1", "2"])
    assert "succeeded" not in states(shape([entry(None)]), [None, None])


# --- properties ---------------------------------------------------------------------------------------------------------------

RESULTS = {"SUCCESS": "succeeded", "FAILED": "failed", "WUNDERBAR": "unrecognised"}
RECORDS = st.lists(st.tuples(st.sampled_from(["1", "2", "3", "a", "B"]), st.sampled_from(sorted(RESULTS))), min_size=1, max_size=12)


@given(RECORDS, st.data())
def test_the_order_of_entries_of_different_keys_does_not_matter(records, data) -> None:
    entries = [entry(key, word) for key, word in records]
    waiting = {key: [one for one in entries if one["customerNo"] == key] for key, _ in records}
    shuffled = [waiting[key].pop(0) for key in data.draw(st.permutations([key for key, _ in records]))]
    expected = [RESULTS[word] for _, word in records]
    assert states(done(entries, "PARTIAL"), [key for key, _ in records]) == expected
    assert states(done(shuffled, "PARTIAL"), [key for key, _ in records]) == expected


@given(RECORDS, st.sets(st.integers(0, 11)))
def test_records_that_the_list_leaves_out_are_never_a_success(records, left_out) -> None:
    kept = {key for place, (key, _) in enumerate(records) if place not in left_out}
    entries = [entry(key, "SUCCESS") for key, _ in records if key in kept]
    found = states(done(entries or [entry("other")], "PARTIAL"), [key for key, _ in records])
    assert found == ["succeeded" if key in kept else "unmapped" for key, _ in records]


@given(st.lists(st.sampled_from(sorted(RESULTS)), min_size=1, max_size=12))
def test_records_without_keys_are_all_matched_by_position(results) -> None:
    body = done([entry(None, word) for word in results], "PARTIAL")
    assert states(body, [None] * len(results)) == [RESULTS[word] for word in results]


NAMES = st.sampled_from(["status", "result", "resultType", "message", "customers", "documents", "data", "customerNo", "documentNo", "x"])
SAID = st.sampled_from(["PROCESSED", "PENDING", "FAILED", "PARTIAL", "WUNDERBAR", "1", "2", ""])
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), SAID, st.text(max_size=4))
JSON = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=5), max_leaves=20)
KEYS = st.lists(st.none() | st.sampled_from(["1", "2", "A"]), min_size=1, max_size=6)


@many(300)
@given(JSON, KEYS, st.sampled_from([200, 202, 206]))
def test_no_json_raises_and_none_is_a_success_without_a_word_for_it(value, keys, status) -> None:
    found = outcomes(value, keys, status, BatchWords(succeeded={"HURRA"}))
    assert all(outcome.state in {"accepted", "failed"} for outcome in found)


@many(200)
@given(JSON, KEYS, st.sampled_from([200, 202, 206]))
def test_a_success_has_a_word_of_success_for_the_batch_and_for_the_record(value, keys, status) -> None:
    reading = read_all("uuid", status, json.dumps(value).encode(), WORDS, KEY_NAMES)
    succeeded = sum(outcome.state == "succeeded" for outcome in outcomes(value, keys, status))
    entries = reading.result.entries
    # A list that tells no records apart is no list of entries: then the words for the whole speak.
    if any(one.key is not None for one in entries) or (len(entries) == len(keys) and None in keys):
        assert succeeded <= sum(one.outcome in {"succeeded", "done"} for one in entries)
    if succeeded:
        assert status != 202
        assert reading.result.outcome in {"succeeded", "partial", "failed"}


@given(st.binary(max_size=40), st.sampled_from([200, 202, 206]))
def test_no_bytes_raise(body, status) -> None:
    assert all(outcome.state == "accepted" for outcome in outcomes(body, ["1", None], status))


def test_no_depth_raises() -> None:
    for depth in (*range(1, 300, 50), *range(850, 1010), 2_000, 5_000, 100_000):
        read(b'{"data":' * depth + b"{}" + b"}" * depth)
        read(b"[" * depth + b"]" * depth)


# --- at once, and record by record ----------------------------------------------------------------------------------------------

ODD = st.sampled_from([None, "", "  ", 0, True, 1.5, [], {}, ["SUCCESS"], "PENDING", "WUNDERBAR", "PARTIAL", " Success"])
OUR_KEYS = st.lists(st.sampled_from(["1", "2", "3", "a", "A", "b", "\u00df", "ss"]), min_size=1, max_size=5, unique=True)


@st.composite
def results_of(draw) -> tuple[list[str | None], Any, int]:
    """Keys that were sent, the body of a result, and its status: mostly as it should be, with something odd here and there."""
    keys: list[str | None] = list(draw(OUR_KEYS))
    few = st.sampled_from([False] * 12 + [True])
    words = st.just("SUCCESS") if draw(st.booleans()) else st.sampled_from(["SUCCESS", "SUCCESS", "FAILED"])
    made: list[Any] = [entry(key, draw(words), message=draw(st.sampled_from(["fine", "bad", 3]))) for key in keys]
    for place, one in enumerate(made):
        if draw(few):
            name = draw(st.sampled_from(["status", "result", "resultType", "message", "customerNo"]))
            made[place] = {**one, name: draw(ODD)} if draw(st.booleans()) else {k: v for k, v in one.items() if k != name}
        elif draw(few):
            made[place] = {**one, "customerNo": draw(st.sampled_from([" 1", "A", 7, "1", " "]))}
    if draw(few):
        made.append(draw(JSON))
    if draw(few):
        made.pop()
    if draw(few):
        keys[draw(st.integers(0, len(keys) - 1))] = draw(st.sampled_from([None, "1", "x", ""]))
    if draw(st.booleans()):
        made = draw(st.permutations(made))
    top = {} if draw(few) else {"status": "PROCESSED", "result": draw(st.sampled_from(["SUCCESS", "PARTIAL", "WUNDERBAR", "FAILED"]))}
    return keys, {**top, draw(st.sampled_from(["customers", "other"])): made}, draw(st.sampled_from([200, 200, 202, 206]))


def outcome_by_entry(result: BatchResult) -> str:
    """What the entries say of the whole, one after the other."""
    meanings = {one.outcome for one in result.entries}
    if not meanings or "unrecognised" in meanings:
        return "unrecognised"
    if "pending" in meanings:
        return "pending"
    return meanings.pop() if len(meanings) == 1 else "partial"


@many(500)
@example((["1", "2"], done([entry("1", "FAILED"), entry("2", "PENDING")], "PARTIAL"), 200), ("customerNo",))
@example((["1", ""], done([entry("1"), entry(" ")]), 200), ("customerNo",))
@example((["1", "2"], done([entry("1", documentNo="2"), entry("2", documentNo="1")]), 200), ("documentNo", "customerNo"))
@given(results_of(), st.sampled_from([("customerNo",), ("documentNo", "customerNo")]))
def test_what_is_judged_at_once_is_what_is_judged_record_by_record(made, key_names) -> None:
    keys, value, status = made
    body = json.dumps(value).encode()
    with mock.patch.object(Entries, "exceptions_by_position", return_value=None):
        one_by_one = read_all("uuid", status, body, WORDS, key_names).outcomes(keys)
    reading = read_all("uuid", status, body, WORDS, key_names)
    assert reading.outcomes(keys) == one_by_one
    assert reading.result.is_final == dataclasses.replace(reading.result).is_final
    if status != 202 and not {"status", "result", "resultType"} & value.keys():
        assert reading.result.outcome == outcome_by_entry(reading.result)


def calls_to_read(count: int) -> int:
    """Lines of Python that run to judge a result of so many entries, all of them a success."""
    keys = [str(number) for number in range(count)]
    body = json.dumps(done([entry(key, message=f"{key} is stored") for key in keys])).encode()
    lines = 0

    def note(frame: Any, event: str, _: object) -> Any:
        nonlocal lines
        # Others may run in between: hooks of the garbage collector.
        lines += "amili_arm_async" in frame.f_code.co_filename
        return note

    before = sys.gettrace()
    sys.settrace(note)
    try:
        reading = read_all("uuid", 200, body, WORDS, ("customerNo",), count)
        found = reading.outcomes(keys)
        assert reading.result.is_final
    finally:
        sys.settrace(before)
    assert found == (Outcome("succeeded"), {})
    return lines


def test_no_line_of_python_runs_for_each_record_where_all_succeeded() -> None:
    assert calls_to_read(1000) == calls_to_read(2)


def test_the_entries_are_there_for_who_looks_at_them() -> None:
    body = done([entry("1", message="fine"), entry("2", "FAILED")], "PARTIAL")
    first, second = read(body), read(body)
    assert [one.key for one in first.entries] == ["1", "2"]
    assert first.entries is first.entries
    assert first == second
    assert hash(first) == hash(second)
    assert repr(read(body)) == repr(first)
    for again in (
        pickle.loads(pickle.dumps(read(body))),
        copy.copy(read(body)),
        copy.deepcopy(read(body)),
        dataclasses.replace(read(body)),
    ):
        assert again == first
        assert again.is_final
    with pytest.raises(AttributeError, match="no attribute 'entrys'"):
        read(body).entrys  # noqa: B018
    with pytest.raises(dataclasses.FrozenInstanceError):
        first.entries = ()
