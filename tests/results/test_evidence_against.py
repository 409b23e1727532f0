"""Evidence against beats the word for the whole: whatever a batch result names, lists or counts as a failure."""

from __future__ import annotations

import json
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amili_arm_async import BatchWords
from amili_arm_async.bulk.failure_evidence import names_failure
from amili_arm_async.bulk.outcomes import Outcome
from amili_arm_async.bulk.result_entries import Entries
from amili_arm_async.bulk.results import read_all, read_result

from ..support.examples import many

WORDS = BatchWords()
OK = {"status": "PROCESSED", "result": "OK"}
KEYS = ["1001", "1002", "1003", "1004"]

S, F, U, R = "succeeded", "failed", "unmapped", "unrecognised"
NONE_MADE_IT = [U] * 4
SECOND_FAILED = [U, F, U, U]


def judged(body: Any, keys: list[str | None] | None = None, status: int = 200, words: BatchWords = WORDS, **more: Any) -> list[Outcome]:
    keys = KEYS if keys is None else keys  # type: ignore[assignment]
    assert keys is not None
    reading = read_all("uuid", status, json.dumps(body).encode(), words, ("customerNo",), len(keys))
    common, others = reading.outcomes(keys, **more)
    assert all(0 <= place < len(keys) for place in others)
    return [others.get(place, common) for place in range(len(keys))]


def told(body: Any, keys: list[str | None] | None = None, **more: Any) -> list[str]:
    return [outcome.state if outcome.state != "accepted" else outcome.reason for outcome in judged(body, keys, **more)]


def own(*states: str) -> list[dict[str, Any]]:
    """An entry with a word of its own for each record."""
    return [{"customerNo": key, "status": "OK" if state == S else "FAILED"} for key, state in zip(KEYS, states, strict=False)]


# --- what must not count as success -------------------------------------------------------------------------------------------

AGAINST: dict[str, tuple[dict[str, Any], list[str]]] = {
    # lists of failures
    "keys": ({**OK, "failed": ["1002"]}, SECOND_FAILED),
    "numbers": ({**OK, "failed": [1002]}, SECOND_FAILED),
    "objects": ({**OK, "failed": [{"customerNo": "1002", "message": "x"}]}, SECOND_FAILED),
    "objects_with_a_number": ({**OK, "failed": [{"customerNo": 1002}]}, SECOND_FAILED),
    "another_name_for_the_key": ({**OK, "errors": [{"key": "1002", "message": "x"}]}, SECOND_FAILED),
    "the_record_inside": ({**OK, "errors": [{"customer": {"customerNo": "1002"}, "message": "x"}]}, SECOND_FAILED),
    "index": ({**OK, "errors": [{"index": 1}]}, SECOND_FAILED),
    "index_zero": ({**OK, "errors": [{"index": 0, "message": "x"}]}, [F, U, U, U]),
    "index_from_one": ({**OK, "errors": [{"index": 4}, {"index": 2}]}, [U, F, U, F]),
    "index_of_none": ({**OK, "errors": [{"index": 9}]}, NONE_MADE_IT),
    "row_from_where": ({**OK, "errors": [{"row": 1}]}, NONE_MADE_IT),
    "row_from_zero": ({**OK, "errors": [{"row": 0}, {"row": 1}]}, [F, F, U, U]),
    "row_from_one": ({**OK, "errors": [{"row": 4}, {"row": 2}]}, [U, F, U, F]),
    "list_of_indexes": ({**OK, "failedIndexes": [1]}, SECOND_FAILED),
    "list_with_a_zero": ({**OK, "failed": [0, 3]}, [F, U, U, F]),
    "numbers_of_nobody": ({**OK, "failed": [2]}, NONE_MADE_IT),
    "path": ({**OK, "errors": [{"path": "customers[1].name", "message": "x"}]}, SECOND_FAILED),
    "pointer": ({**OK, "errors": [{"pointer": "/customers/1/name"}]}, SECOND_FAILED),
    "by_key": ({**OK, "errors": {"1002": "name is missing"}}, SECOND_FAILED),
    "by_path": ({**OK, "errors": {"customers[1].name": ["is missing"]}}, SECOND_FAILED),
    "others": ({**OK, "failed": ["9"]}, NONE_MADE_IT),
    "whose_key_is_another": ({**OK, "errors": [{"customerNo": "9", "index": 1}]}, NONE_MADE_IT),
    "sentences": ({**OK, "errors": ["name is missing"]}, NONE_MADE_IT),
    "codes_are_no_keys": ({**OK, "errorCodes": ["1002"]}, NONE_MADE_IT),
    "below_data": ({**OK, "data": {"failed": ["1002"]}}, SECOND_FAILED),
    "below_a_list": ({**OK, "parts": [{"errors": [{"customerNo": "1002"}]}]}, SECOND_FAILED),
    "in_an_object": ({**OK, "failed": {"count": 1, "customers": ["1002"]}}, SECOND_FAILED),
    "snake_case": ({**OK, "failed_records": ["1002"]}, SECOND_FAILED),
    "rejected": ({**OK, "rejected": ["1002"]}, SECOND_FAILED),
    "invalid": ({**OK, "invalidCustomers": [{"customerNo": "1002"}]}, SECOND_FAILED),
    "not_processed": ({**OK, "notProcessed": ["1002"]}, SECOND_FAILED),
    "unprocessed": ({**OK, "unprocessed": ["1002"]}, SECOND_FAILED),
    "skipped": ({**OK, "skipped": ["1002"]}, SECOND_FAILED),
    "feil": ({**OK, "feil": [{"customerNo": "1002", "melding": "navn mangler"}]}, SECOND_FAILED),
    "feilet": ({**OK, "feilet": ["1002"]}, SECOND_FAILED),
    "avvist": ({**OK, "avvist": [1002]}, SECOND_FAILED),
    "two_lists": ({**OK, "failed": ["1002"], "rejected": ["1004"]}, [U, F, U, F]),
    # counts
    "numberRecordsFailed": ({"status": "COMPLETED", "result": "OK", "numberRecordsFailed": 1}, NONE_MADE_IT),
    "noOfErrors": ({**OK, "noOfErrors": 1}, NONE_MADE_IT),
    "as_text": ({**OK, "noOfErrors": "1"}, NONE_MADE_IT),
    "failedCount": ({**OK, "failedCount": 1}, NONE_MADE_IT),
    "summary.failed": ({**OK, "summary": {"failed": 1, "succeeded": 3}}, NONE_MADE_IT),
    "failed": ({**OK, "failed": 1}, NONE_MADE_IT),
    "antallFeil": ({**OK, "antallFeil": 1}, NONE_MADE_IT),
    "few_successes": ({**OK, "succeeded": 3}, NONE_MADE_IT),
    "few_successes_in_an_object": ({**OK, "success": {"count": 3}}, NONE_MADE_IT),
    "few_processed": ({**OK, "numberRecordsProcessed": 3}, NONE_MADE_IT),
    "some_pending": ({**OK, "pending": 1}, NONE_MADE_IT),
    "failed.count": ({**OK, "failed": {"count": 1}}, NONE_MADE_IT),
    "rate": ({**OK, "errorRate": 0.25}, NONE_MADE_IT),
    # flags, codes and words
    "hasErrors": ({**OK, "hasErrors": True}, NONE_MADE_IT),
    "not_noErrors": ({**OK, "noErrors": False}, NONE_MADE_IT),
    "no_success": ({**OK, "success": False}, NONE_MADE_IT),
    "isValid": ({**OK, "isValid": False}, NONE_MADE_IT),
    "error": ({**OK, "error": "the period is closed"}, NONE_MADE_IT),
    "error_object": ({**OK, "error": {"code": "E1", "message": "x"}}, NONE_MADE_IT),
    "errorCode": ({**OK, "errorCode": "E17"}, NONE_MADE_IT),
    "a_word_elsewhere": ({**OK, "batchOutcome": "FAILED"}, NONE_MADE_IT),
    "a_word_deeper": ({**OK, "steps": [{"status": "OK"}, {"status": "FAILED"}]}, NONE_MADE_IT),
    "a_status_deeper": ({**OK, "posting": {"httpStatus": 422}}, NONE_MADE_IT),
    # messages
    "message": ({**OK, "message": "Processed with 1 error(s)"}, NONE_MADE_IT),
    "messages": ({**OK, "messages": ["Read 4", "1 record was rejected"]}, NONE_MADE_IT),
    "message_below": ({**OK, "data": {"description": "Behandlet med 1 feil"}}, NONE_MADE_IT),
    "three_of_four": ({**OK, "message": "3 of 4 customers processed"}, NONE_MADE_IT),
    # done, and no word of success
    "done": ({"status": "PROCESSED"}, NONE_MADE_IT),
    "done_null": ({"status": "PROCESSED", "result": None}, NONE_MADE_IT),
    "completed": ({"status": "COMPLETED", "result": "DONE"}, NONE_MADE_IT),
    "done_entries": ({"status": "PROCESSED", "customers": [{"customerNo": key, "status": "PROCESSED"} for key in KEYS]}, NONE_MADE_IT),
    # entries with words of their own
    "own_words_stay": ({**OK, "failed": 1, "customers": own(S, F, S, S)}, [S, F, S, S]),
    "own_words_beside_a_count": ({**OK, "noOfErrors": 1, "customers": own(S, S, S, S)}, [S] * 4),
    "own_words_beside_a_message": ({**OK, "message": "1 error", "customers": own(S, S, S, S)}, [S] * 4),
    "failed_wins": ({**OK, "failed": ["1002"], "customers": own(S, S, S, S)}, [S, F, S, S]),
    "left_out": ({**OK, "customers": own(S, F)}, [S, F, U, U]),
    "its_own_errors": ({**OK, "customers": [*own(S), {"customerNo": "1002", "status": "OK", "errors": [{"code": "E1"}]}]}, [S, F, U, U]),
    "its_own_flag": ({**OK, "customers": [*own(S), {"customerNo": "1002", "status": "OK", "success": False}]}, [S, F, U, U]),
    "its_own_message_alone": ({**OK, "customers": [*own(S), {"customerNo": "1002", "errorMessage": "x"}]}, [S, F, U, U]),
    "done_beside_failed": ({**OK, "customers": [*own(F), *({"customerNo": key, "status": "DONE"} for key in KEYS[1:])]}, [F, U, U, U]),
    "entries_by_index": ({**OK, "results": [{"index": 1, "status": "FAILED"}]}, SECOND_FAILED),
    "entries_of_nobody": ({**OK, "details": [{"message": "1 record failed"}]}, NONE_MADE_IT),
    # parted in two lists
    "parted": ({**OK, "succeeded": ["1001", "1003", "1004"], "failed": ["1002"]}, [S, F, S, S]),
    "parted_in_part": ({**OK, "succeeded": ["1001"], "failed": ["1002"]}, [S, F, U, U]),
    "parted_in_places": ({**OK, "succeeded": [0, 2, 3], "failed": [1]}, [S, F, S, S]),
    "in_both": ({**OK, "succeeded": KEYS, "failed": ["1002"]}, [S, F, S, S]),
    "successes_alone": ({**OK, "succeeded": ["1001"]}, [S, U, U, U]),
    "a_failure_among_successes": ({**OK, "succeeded": own(S, F)}, [S, F, U, U]),
    "no_word_for_the_whole": ({"succeeded": ["1001"], "failed": ["1002"]}, [S, F, U, U]),
    "an_unknown_word_for_the_whole": ({"status": "WUNDERBAR", "succeeded": ["1001"], "failed": ["1002"]}, [R, F, R, R]),
    "the_vendors_other_api": (
        {
            "summary": {"status": "SUCCESS"},
            "data": {"status": "SUCCESS", "succeeded": [{"customerNo": 1001}, {"customerNo": 1003}], "failed": [{"customerNo": 1002}]},
        },
        [S, F, S, U],
    ),
    "the_vendors_other_api_partial": (
        {"summary": {"status": "SUCCESS"}, "data": {"status": "PARTIAL", "succeeded": KEYS[2:], "failed": KEYS[:2]}},
        [F, F, S, S],
    ),
    "the_vendors_other_api_queued": (
        {"summary": {"status": "SUCCESS"}, "data": {"status": "QUEUED", "succeeded": KEYS, "failed": []}},
        ["deadline"] * 4,
    ),
    # a failure of the whole
    "all_failed": ({"status": "FAILED"}, [F] * 4),
    "all_failed_for_a_reason": ({"status": "FAILED", "errors": [{"message": "x"}], "failed": 4}, [F] * 4),
    "failed_and_it_names_one": ({"status": "FAILED", "failed": ["1002"]}, SECOND_FAILED),
    "failed_and_it_counts_one": ({"status": "FAILED", "failedCount": 1}, NONE_MADE_IT),
    "failed_and_some_succeeded": ({"status": "FAILED", "succeeded": 3}, NONE_MADE_IT),
}


@pytest.mark.parametrize("case", AGAINST)
def test_evidence_against_beats_the_word_for_the_whole(case: str) -> None:
    body, expected = AGAINST[case]
    assert told(body) == expected


@pytest.mark.parametrize("case", [case for case, (body, _) in AGAINST.items() if body.get("result") == "OK"])
def test_a_result_with_evidence_against_it_does_not_call_itself_succeeded(case: str) -> None:
    body, expected = AGAINST[case]
    counts = any(isinstance(body.get(name), (int, dict)) and not isinstance(body[name], bool) for name in ("succeeded", "success"))
    if expected == [S] * 4 or counts or case in {"few_processed", "left_out", "successes_alone"}:
        return  # what is short of the number of records only shows where that is known
    assert read_result("uuid", 200, json.dumps(body).encode(), WORDS).outcome == "partial"


# --- what must stay success ---------------------------------------------------------------------------------------------------

DENIED: dict[str, dict[str, Any]] = {
    "plain": {},
    "zero": {"failed": 0},
    "zero_text": {"noOfErrors": "0", "failedCount": "00"},
    "zero_number": {"errorRate": 0.0},
    "empty": {"failed": [], "errors": {}, "rejected": ""},
    "null": {"failed": None, "error": None, "errorCode": None, "errorMessage": None},
    "false": {"hasErrors": False, "success": True, "isValid": True},
    "noErrors": {"noErrors": True, "errorFree": True},
    "denied": {"errors": "none", "error": "No errors", "feil": "ingen feil", "failures": "0 errors", "errorText": "without errors."},
    "ok": {"errorCode": "OK", "errorStatus": "SUCCESS"},
    "in_an_object": {"failed": {"count": 0, "customers": []}, "errors": {"list": None}},
    "empty_items": {"errors": [None, "", {}, []]},
    "counts": {"succeeded": 4, "failed": 0, "total": 4, "numberRecordsProcessed": 4},
    "counts_as_text": {"summary": {"succeeded": "4", "failed": "0"}},
    "created_and_updated": {"created": 1, "updated": 3},
    "warnings": {"warnings": [{"customerNo": "1002", "message": "postal code failed a check"}], "warningCount": 3},
    "settings": {"maxErrors": 10, "stopOnError": True, "errorHandling": "CONTINUE", "ignoreErrors": True},
    "links": {"errorsUrl": "https://api.example/errors", "links": [{"href": "x", "rel": "failed"}]},
    "nothing_pending": {"pending": 0, "remaining": [], "queuedAt": "2026-11-28T01:02:03Z", "processedAt": "2026-11-28"},
    "both_lists_empty": {"succeeded": [], "failed": []},
    "all_listed": {"succeeded": KEYS, "failed": []},
    "all_listed_as_numbers": {"succeeded": [1004, 1003, 1002, 1001]},
    "entries": {"customers": [{"customerNo": key, "status": "PROCESSED", "result": "OK", "errors": [], "message": ""} for key in KEYS]},
    "entries_that_are_done": {"customers": [{"customerNo": key, "status": "PROCESSED"} for key in KEYS]},
    "entries_with_warnings": {
        "customers": [
            {"customerNo": key, "result": "OK", "warnings": ["the name is invalid"], "message": "1 error was mended"} for key in KEYS
        ]
    },
    "entries_that_deny": {"customers": [{"customerNo": key, "result": "OK", "errorCode": "0", "errorMessage": "No error"} for key in KEYS]},
    "message": {"message": "4 of 4 customers processed without errors"},
    "norwegian": {"message": "4 av 4 kunder er behandlet uten feil"},
    "details": {"details": [{"message": "Batch processed. No errors."}]},
    "echo": {"fileName": "failed-invoices-again.json", "tags": ["rejected"]},
}


@pytest.mark.parametrize("case", DENIED)
def test_what_is_zero_empty_or_denied_is_no_evidence(case: str) -> None:
    body = {**OK, **DENIED[case]}
    assert told(body) == [S] * 4
    assert read_result("uuid", 200, json.dumps(body).encode(), WORDS).outcome == "succeeded"


SENTENCES = {
    "Processed with 1 error(s)": True,
    "Processed with errors": True,
    "Completed. 1 record failed": True,
    "4 processed, 1 rejected": True,
    "without warnings, but 1 failed": True,
    "No errors in the first part; 2 failures in the second": True,
    "Errors: 1": True,
    "failed=2": True,
    "3 of 4 processed": True,
    "3/4 processed": True,
    "Not all customers were processed": True,
    "Some customers could not be stored": True,
    "Customer 1002 was not processed": True,
    "only 3 were stored": True,
    "Partially processed": True,
    "Behandlet med 1 feil": True,
    "1 kunde ble avvist": True,
    "Ikke alle ble lagret": True,
    "no such customer: rejected": True,
    "error 007": True,
    "": False,
    "OK": False,
    "Batch processed": False,
    "Processed with 0 errors": False,
    "Processed with 0 error(s)": False,
    "4 processed, 0 failed": False,
    "4 processed, failed 0": False,
    "Processed: 4, Failed: 0": False,
    "accepted=4; rejected=0": False,
    "Failed records: 0": False,
    "errors (0)": False,
    "4 processed (0 failed)": False,
    "4 ok (no errors)": False,
    "0 of 4 failed": False,
    "none of the 4 failed": False,
    "No errors": False,
    "no errors or warnings were found": False,
    "without any errors": False,
    "Without warnings or errors": False,
    "zero failures": False,
    "Errors: none": False,
    "error-free": False,
    "The batch is error free": False,
    "did not fail": False,
    "Uten feil": False,
    "Ingen feil": False,
    "Feilfritt": False,
    "Ingen kunder ble avvist": False,
    "Antall feil: 0": False,
    "4 of 4 processed without errors": False,
    "Document batch received 28/11/2026": False,
}


@pytest.mark.parametrize("sentence", SENTENCES)
def test_a_sentence_tells_of_a_failure_unless_it_denies_it(sentence: str) -> None:
    assert names_failure(sentence) == SENTENCES[sentence]
    assert names_failure(sentence.upper()) == SENTENCES[sentence]
    assert told({**OK, "message": sentence}) == (NONE_MADE_IT if SENTENCES[sentence] else [S] * 4)


# --- messages -------------------------------------------------------------------------------------------------------------------

ERROR = {"code": "E17", "message": "name is missing"}


@pytest.mark.parametrize(
    "fields",
    [
        {"errors": [ERROR]},
        {"error": "x", "message": "E17: name is missing"},
        {"code": "E17", "reason": "name is missing", "failed": True},
        {"errorCode": "E17", "errorMessage": "name is missing"},
        {"errorCode": "E17", "description": "name is missing"},
    ],
)
def test_what_an_entry_says_to_its_failure_is_its_records_message(fields: dict[str, Any]) -> None:
    for body in ({**OK, "customers": [{"customerNo": "1002", **fields}]}, {**OK, "failed": [{"customerNo": "1002", **fields}]}):
        assert judged(body)[1] == Outcome("failed", "failed", "E17: name is missing")


def test_the_words_of_a_failed_entry_are_its_reason() -> None:
    assert judged({**OK, "failed": [{"customerNo": "1002", "status": "BATCH-REJECTED", "errors": [ERROR]}]})[1] == Outcome(
        "failed", "BATCH-REJECTED", "E17: name is missing"
    )


def test_entries_tell_what_the_lists_name() -> None:
    body = {**OK, "succeeded": [1001], "failed": [{"customerNo": "1002", "errors": [ERROR]}]}
    entries = read_result("uuid", 200, json.dumps(body).encode(), WORDS).entries
    assert [(one.key, one.outcome, one.message) for one in entries] == [
        ("1001", "succeeded", None),
        ("1002", "failed", "E17: name is missing"),
    ]


# --- documents ------------------------------------------------------------------------------------------------------------------


def test_a_document_is_not_taken_for_failed_by_the_number_of_a_customer() -> None:
    body = {**OK, "failed": [{"customerNo": "1002", "message": "x"}]}
    common, others = read_all("uuid", 200, json.dumps(body).encode(), WORDS, ("documentNo",), 4).outcomes(KEYS)
    assert (common.reason, others) == ("unmapped", {})


def test_records_without_a_key_are_found_by_their_place() -> None:
    assert told({**OK, "errors": [{"index": 1}]}, [None] * 3) == [U, F, U]
    assert told({**OK, "errors": [{"message": "x"}]}, [None] * 3) == [U] * 3


def test_of_some_of_the_records_no_place_and_no_count_tells_anything() -> None:
    assert told({**OK, "errors": [{"index": 0}]}, complete=False) == NONE_MADE_IT
    assert told({**OK, "succeeded": 999}, complete=False) == NONE_MADE_IT
    assert told({**OK, "succeeded": 999, "failed": 0}, complete=False) == [S] * 4
    assert told({**OK, "failed": ["1002"]}, complete=False) == SECOND_FAILED
    assert told(OK, complete=False) == [S] * 4


def test_a_shared_batch_uuid_leaves_only_what_names_a_record() -> None:
    assert told(OK, shared=True) == NONE_MADE_IT
    assert told({**OK, "customers": own(S, F)}, shared=True) == [S, F, U, U]
    assert told({**OK, "errors": [{"index": 0}]}, shared=True) == NONE_MADE_IT
    assert told({**OK, "customers": [{"result": "OK"}] * 2}, [None, None], shared=True) == [U, U]
    assert told({"status": "FAILED"}, shared=True) == NONE_MADE_IT


def test_a_word_of_the_callers_own_may_say_that_done_is_success() -> None:
    assert told({"status": "PROCESSED", "result": None}, words=BatchWords(succeeded={"PROCESSED"})) == [S] * 4


# --- properties -------------------------------------------------------------------------------------------------------------------

FAILURE_NAMES = st.sampled_from(
    ["failed", "errors", "numberRecordsFailed", "noOfErrors", "rejected", "feil", "not_processed", "errorMessage"]
)
FAILURES = st.one_of(
    st.integers(1, 5),
    st.just(True),
    st.sampled_from(["1", "x", "name is missing"]),
    st.lists(
        st.one_of(st.sampled_from(KEYS), st.integers(0, 1005), st.just({"index": 1}), st.just({"customerNo": "1002"})),
        min_size=1,
        max_size=3,
    ),
    st.dictionaries(st.sampled_from([*KEYS, "x"]), st.just("y"), min_size=1, max_size=2),
)
BODIES = st.fixed_dictionaries(
    {"status": st.sampled_from(["PROCESSED", "OK", "FAILED", "PARTIAL"])},
    optional={
        "result": st.sampled_from(["OK", "SUCCESS", "PARTIAL", None]),
        "message": st.sampled_from(["fine", "no errors", "1 error"]),
        "customers": st.lists(
            st.fixed_dictionaries(
                {"customerNo": st.sampled_from(KEYS)},
                optional={"status": st.sampled_from(["OK", "FAILED", "DONE", "WHAT"]), "errors": st.sampled_from([[], ["x"], None])},
            ),
            max_size=6,
        ),
        "succeeded": st.lists(st.sampled_from(KEYS), max_size=4) | st.integers(0, 5),
        "failed": st.lists(st.sampled_from(KEYS), max_size=2) | st.integers(0, 1),
    },
)


@many(400)
@given(BODIES, FAILURE_NAMES, FAILURES, st.sampled_from(["top", "data", "summary"]))
def test_evidence_of_a_failure_never_makes_more_successes(body, name, failure, where) -> None:
    more = dict(body)
    if where == "top":
        more.setdefault(name, failure)
    else:
        more[where] = {name: failure}
    before, after = told(body), told(more)
    assert all(old == S for old, new in zip(before, after, strict=True) if new == S)


@many(300)
@given(BODIES, st.permutations(KEYS))
def test_at_once_and_one_by_one_say_the_same(body, keys) -> None:
    with mock.patch.object(Entries, "exceptions_by_position", return_value=None):
        one_by_one = judged(body, keys)
    assert judged(body, keys) == one_by_one
