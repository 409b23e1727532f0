"""What a probe makes of what it saw: nothing that a service answers can break it, and nothing personal is in its words."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from amili_arm_async import BatchWords
from amili_arm_async.cli.probe.assumptions import ASSUMPTIONS, NONE, PAGED, findings, remedy
from amili_arm_async.cli.probe.evidence import Evidence, Exchange, Verdict
from amili_arm_async.cli.probe.lists import (
    UNDOCUMENTED,
    candidates,
    check_end,
    check_links,
    check_name,
    check_past,
    check_path,
    check_summary,
    query_of,
)
from amili_arm_async.cli.probe.masking import guess_word_set, shown_word
from amili_arm_async.cli.probe.records import (
    check_content_types,
    check_course,
    check_entries,
    check_entry_fields,
    check_one,
    check_same,
    check_status,
    check_token,
    check_words,
    key_in_list,
)
from amili_arm_async.endpoints import OPERATIONS, with_paths
from amili_arm_async.retry import Proof, proof_of_status
from amili_arm_async.wire import Response

CUSTOMERS = OPERATIONS["customers.list"]
SUMMARY = {
    "pageNo": 1,
    "currentPageSize": 5,
    "pageSizeLimit": 5,
    "totalPages": 2,
    "totalCount": 7,
    "maximumCount": 10_000,
    "nextPage": "https://h/arm/v1/clients/1/customers?query=q&pageno=2",
    "lastPage": "https://h/arm/v1/clients/1/customers?query=q&pageno=2",
    "queryId": "q",
}


def heard(name="customers.list", status=200, body=None, headers=None, query=(), template=None, complete=True):
    row = OPERATIONS[name]
    data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    response = Response(status, {"content-type": "application/json", **(headers or {})}, data, complete) if status else None
    proof = proof_of_status(status) if status else Proof.AMBIGUOUS
    return Exchange(name, row.method, template or row.path, query, proof, response, "" if status else "time-out")


def evidence(**replies):
    """`customers_list__pages=...` stands for the label `customers.list/pages`."""
    made = Evidence("https://h/arm/v1")
    for label, found in replies.items():
        section, _, more = label.partition("__")
        name = next(name for name in OPERATIONS if name.replace(".", "_") == section)
        for one in found if isinstance(found, list) else [found]:
            made.add(f"{name}/{more}" if more else name, one)
    return made


# --- whatever a service answers ---------------------------------------------------------------------------------------------

LABELS = [
    *(name for name, row in OPERATIONS.items() if row.method == "GET"),
    *(f"{name}/{what}" for name in PAGED for what in ("pages", "last", "most", "small", "large", "few", "past", "others")),
    *(f"{name}/{what}" for name in ("customers.get", "documents.get", "batches.get") for what in ("absent", "written", "polls")),
    "codes.get/others",
    "customers.create_batch",
    "documents.create",
]
PERSONS = ["Torbjørg Ankerås", "17057912345", "torbjorg@ankeras.example", "Fjellveien 81"]
NAMES = [
    "summary", "nextPage", "lastPage", "pageNo", "totalPages", "totalCount", "maximumCount", "customers", "customer", "documents",
    "arItems", "customerNo", "documentNo", "arItemId", "status", "result", "resultType", "message", "results", "batchUuid", "name",
]  # fmt: skip
LEAVES = st.none() | st.booleans() | st.integers(-5, 20) | st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(
    [*PERSONS, "SUCCESS", "PENDING", "NYTT-ORD", "", " ", "?query=1&pageno=2", "http://[::1", "https://x/y?query=a&pageno=2", "\udfff"[:0]]
)  # fmt: skip
BODIES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6), max_leaves=20
)
HEARD = st.builds(
    heard,
    name=st.just("customers.list"),
    status=st.sampled_from([200, 200, 200, 201, 202, 206, 0, 301, 400, 401, 403, 404, 405, 406, 422, 429, 500]),
    body=BODIES | st.binary(max_size=20),
    headers=st.sampled_from([{}, {"retry-after": "x"}, {"x-request-id": "1"}, {"x-ratelimit-a": "Kari"}, {"content-type": "\x1b[2J"}]),
    query=st.just((("maximumcount", "5"),)),
    complete=st.booleans(),
)


@given(st.dictionaries(st.sampled_from(LABELS), st.lists(HEARD, min_size=1, max_size=3), max_size=12), st.booleans())
@example({"batches.get": [heard("batches.get", body={"results": [{"customerNo": "1", "status": ["FAILED"]}]})]}, True)
@example({"batches.get": [heard("batches.get", body={"status": PERSONS[0], "result": PERSONS[1]})]}, True)
def test_nothing_that_is_answered_breaks_it_or_is_repeated(replies, written) -> None:
    seen = Evidence("https://h/arm/v1", replies)
    if written:
        seen.sent = {"customers": b'{"customerNo":"1","name":"Kari","more":{"a":[1]}}', "documents": b'{"documentNo":"1"}'}
    found = findings(seen, wrote=written)
    advice = remedy(seen, all_as_assumed=False)
    told = " ".join([advice, *(one.seen for one in found)])
    assert [trace for person in PERSONS for trace in person.split() if trace in told] == []
    assert "\x1b" not in told
    if "=" in advice:
        code = "\n".join(line for line in advice.splitlines() if not line.startswith("#"))
        assert set(eval(f"dict({code}\n)", {"BatchWords": BatchWords})) <= {"paths", "batch_words", "batch_reader"}


def test_nothing_seen_is_nothing_judged() -> None:
    seen = Evidence("https://h/arm/v1", ended="the time was up")
    found = findings(seen, wrote=True)
    assert {one.verdict for one in found} == {Verdict.NOT_SEEN}
    assert [one.id for one in found] == [one.id for one in ASSUMPTIONS]
    assert len({one.id for one in found}) == len(found)
    assert remedy(seen, all_as_assumed=True) == NONE
    assert not any(one.id.startswith("write.") for one in findings(seen, wrote=False))


# --- lists ----------------------------------------------------------------------------------------------------------------


def test_the_end_of_a_list() -> None:
    first = heard(body={"summary": SUMMARY, "customers": []})
    last = {**SUMMARY, "pageNo": 2}
    seen = evidence(customers_list=first)
    assert check_end(seen, CUSTOMERS)[1] == Verdict.NOT_SEEN
    for link, expected in [
        (None, ("null", Verdict.AS_ASSUMED)),
        (" ", ("blank", Verdict.AS_ASSUMED)),
        ("https://h/?query=q&pageno=1", ("a link", Verdict.DIFFERENT)),
        (False, ("neither a text nor null (bool)", Verdict.DIFFERENT)),
    ]:
        page = heard(body={"summary": {**last, "nextPage": link}})
        assert check_end(evidence(customers_list=first, customers_list__last=page), CUSTOMERS) == expected
    without = heard(body={"summary": {name: value for name, value in last.items() if name != "nextPage"}})
    assert check_end(evidence(customers_list=first, customers_list__pages=without), CUSTOMERS) == ("absent", Verdict.AS_ASSUMED)


@pytest.mark.parametrize(
    ("link", "seen", "verdict"),
    [
        (SUMMARY["nextPage"], "query, pageno on the same host", Verdict.AS_ASSUMED),
        ("https://H/x?pageno=2&query=q", "pageno, query on the same host", Verdict.AS_ASSUMED),
        ("/x?query=q&pageno=2", "query, pageno; without a host", Verdict.AS_ASSUMED),
        ("https://evil.example/x?query=q&pageno=2", "query, pageno; on another host (evil.example)", Verdict.AS_ASSUMED),
        ("https://h/x?cursor=abc", "cursor on the same host", Verdict.DIFFERENT),
        ("https://h/x", "a link without a query", Verdict.DIFFERENT),
        (None, "no link, and 2 pages", Verdict.DIFFERENT),
    ],
)
def test_links(link, seen, verdict) -> None:
    second = heard(body={"summary": {**SUMMARY, "pageNo": 2}})
    first = heard(body={"summary": {**SUMMARY, "nextPage": link}})
    assert check_links(evidence(customers_list=first, customers_list__pages=second), CUSTOMERS) == (seen, verdict)


def test_a_link_that_leads_back() -> None:
    first = heard(body={"summary": SUMMARY})
    assert check_links(evidence(customers_list=first, customers_list__pages=first), CUSTOMERS) == (
        "query, pageno on the same host; it does not lead to page 2",
        Verdict.DIFFERENT,
    )


def test_a_link_gives_its_query_and_nothing_else() -> None:
    assert query_of("https://elsewhere/x?query=a%20b&pageno=2") == {"query": "a b", "pageno": "2"}
    assert query_of(None) == query_of("https://[x") == query_of(7) == {}


def test_names_and_summaries() -> None:
    assert check_name(evidence(customers_list=heard(body=[])), CUSTOMERS) == ("a list alone", Verdict.DIFFERENT)
    assert check_name(evidence(customers_list=heard(body={"Kari N": []})), CUSTOMERS) == ("xxxx x", Verdict.DIFFERENT)
    assert check_name(evidence(customers_list=heard(body={"a": 1})), CUSTOMERS) == ("no list", Verdict.DIFFERENT)
    assert check_name(evidence(customers_list=heard(body=b"<p>")), CUSTOMERS) == ("no JSON object", Verdict.DIFFERENT)
    assert check_summary(evidence(customers_list=heard(body={"summary": {**SUMMARY, "firstPage": "x"}})), CUSTOMERS) == (
        "more: firstPage",
        Verdict.AS_ASSUMED,
    )
    odd = {**SUMMARY, "pageNo": "1", "totalCount": True}
    assert check_summary(evidence(customers_list=heard(body={"summary": odd})), CUSTOMERS) == (
        "of another kind: pageNo, totalCount",
        Verdict.DIFFERENT,
    )
    assert check_summary(evidence(customers_list=heard(body={"customers": []})), CUSTOMERS) == ("no summary", Verdict.DIFFERENT)


def test_a_list_that_no_page_shows_may_have_another_name_and_come_whole() -> None:
    row = OPERATIONS["log_items.list"]
    for body, name, verdict in [
        ({"lines": []}, "lines", Verdict.AS_ASSUMED),
        ([], "a list alone", Verdict.AS_ASSUMED),
        ({"a": [], "b": []}, "a, b", Verdict.DIFFERENT),
        ({"a": 1}, "no list", Verdict.DIFFERENT),
    ]:
        seen = evidence(log_items_list=heard("log_items.list", body=body))
        assert check_name(seen, row) == (name, verdict)
        assert check_summary(seen, row) == ("none: it comes whole", Verdict.AS_ASSUMED)


def test_past_the_end() -> None:
    for status, body, expected in [
        (200, {"customers": []}, ("200 without records", Verdict.AS_ASSUMED)),
        (200, {"customers": [{}]}, ("200 with records", Verdict.DIFFERENT)),
        (404, None, ("404", Verdict.DIFFERENT)),
        (204, None, ("204 without records", Verdict.AS_ASSUMED)),
    ]:
        assert check_past(evidence(customers_list__past=heard(status=status, body=body)), CUSTOMERS) == expected


# --- single records ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "seen", "verdict"),
    [
        ({"customerNo": "1"}, "the object itself", Verdict.AS_ASSUMED),
        ({"customer": {"customerNo": "1"}}, "under customer", Verdict.AS_ASSUMED),
        ({"customers": [{"customerNo": "1"}]}, "in the list customers", Verdict.AS_ASSUMED),
        ({"data": {"customerNo": "1"}}, "no customerNo is found in it: its fields are data", Verdict.DIFFERENT),
        ({"customers": []}, "no customerNo is found in it: its fields are customers", Verdict.DIFFERENT),
        ([], "no JSON object", Verdict.DIFFERENT),
    ],
)
def test_one_record(body, seen, verdict) -> None:
    assert check_one(evidence(customers_get=heard("customers.get", body=body)), "customers.get") == (seen, verdict)


def test_what_was_sent_and_what_is_there() -> None:
    sent = {
        "customerNo": "1",
        "name": " kari ",
        "dueDays": 14,
        "postalAddress": {"cityName": "Oslo", "a": {"b": 1}},
        "tags": ["a"],
        "gone": "",
    }
    shown = {"customerNo": 1, "name": "KARI", "dueDays": 14.0, "postalAddress": {"cityName": "Oslo", "a": {"b": 2}}, "tags": ["a", "b"]}
    seen = evidence(customers_get__written=heard("customers.get", body=shown))
    seen.sent["customers"] = json.dumps(sent).encode()
    assert check_same(seen, "customers") == ("postalAddress.a.b, tags differ", Verdict.DIFFERENT)
    gone = evidence(customers_get__written=heard("customers.get", status=404))
    gone.sent["customers"] = b'{"customerNo":"1"}'
    assert check_same(gone, "customers") == ("404: it is not there", Verdict.DIFFERENT)


def test_keys_in_lists() -> None:
    assert key_in_list(heard(body={"summary": {}, "x": [None, {"customerNo": " "}, {"customerNo": "7"}]}), "customerNo") == "7"
    assert key_in_list(heard(body=[{"customerNo": 7}]), "customerNo") == "7"
    assert key_in_list(heard(body={"x": [{"customerNo": ".."}]}), "customerNo") is None
    assert key_in_list(heard(status=404, body=[{"customerNo": 7}]), "customerNo") is None


def test_the_token_and_the_content_types() -> None:
    seen = evidence(customers_list=heard(headers={"content-type": "text/html"}, body=b"x"))
    assert check_content_types(seen) == ("text/html", Verdict.DIFFERENT)
    assert check_token(seen)[1] == Verdict.NOT_SEEN
    for fields, verdict in [
        (("access_token", "expires_on"), Verdict.AS_ASSUMED),
        (("access_token",), Verdict.DIFFERENT),
        ((), Verdict.DIFFERENT),
    ]:
        seen.token_fields = fields
        assert check_token(seen)[1] == verdict


# --- batches ----------------------------------------------------------------------------------------------------------------


def batch(status, body):
    return evidence(batches_get=heard("batches.get", status, body))


def test_statuses_of_a_batch() -> None:
    assert check_status(batch(200, {"status": "PROCESSED"})) == ("200 (done)", Verdict.AS_ASSUMED)
    assert check_status(batch(200, {"status": "PROCESSED", "result": "OK"})) == ("200 (succeeded)", Verdict.AS_ASSUMED)
    assert check_status(batch(202, {"status": "NOT-PROCESSED"})) == ("202 (pending)", Verdict.AS_ASSUMED)
    # The library waits at a 202, whatever it says: one that says that all is done would be waited for in vain.
    assert check_status(batch(202, {"status": "PROCESSED", "result": "SUCCESS"})) == ("202 (pending)", Verdict.DIFFERENT)
    assert check_status(batch(204, {}))[1] == Verdict.DIFFERENT
    assert check_status(batch(404, {})) == ("404 (nothing)", Verdict.AS_ASSUMED)
    assert check_status(batch(403, {}))[0] == "not seen (403: the token may not)"


@pytest.mark.parametrize(
    ("body", "seen", "verdict"),
    [
        ({"status": "PROCESSED", "customers": [{"customerNo": "1"}]}, "customers", Verdict.AS_ASSUMED),
        ({"status": "PROCESSED", "data": {"results": [{"customerNo": "1"}]}}, "data.results", Verdict.AS_ASSUMED),
        ([{"customerNo": "1", "status": "FAILED"}], "results", Verdict.AS_ASSUMED),
        ({"status": "PROCESSED", "rows": [{"no": "1"}]}, "none is found; there are lists: rows", Verdict.DIFFERENT),
        ({"status": "PROCESSED"}, "none, and the whole is done", Verdict.DIFFERENT),
        ({"status": "PROCESSED", "result": "OK"}, "none, and the success of the whole speaks for all", Verdict.NOT_SEEN),
        ({"status": "OK", "failed": ["1"]}, "in lists of what succeeded and what failed: failed", Verdict.AS_ASSUMED),
        ({"result": "PARTIAL"}, "none, and the whole is partial", Verdict.DIFFERENT),
    ],
)
def test_where_entries_are(body, seen, verdict) -> None:
    found = check_entries(batch(200, body))
    assert found[1] == verdict
    assert seen in found[0]


def test_fields_of_entries() -> None:
    good = [{"customerNo": "1", "status": "PROCESSED", "line": 1}, {"customerNo": "2", "result": "FAILED", "message": "Kari"}]
    assert check_entry_fields(batch(200, {"status": "PROCESSED", "results": good})) == (
        "named by customerNo; status, result speak; beside them: line, message",
        Verdict.AS_ASSUMED,
    )
    for bad in ({"customerNo": "3"}, {"status": "FAILED"}):
        assert check_entry_fields(batch(200, {"status": "PROCESSED", "results": [*good, bad]}))[1] == Verdict.DIFFERENT


def test_a_shape_that_no_rule_knows_needs_a_reader_of_the_callers() -> None:
    for body in ({"status": "PROCESSED", "rows": [{"no": "1"}]}, {"state": "done", "lines": 1}):
        advice = remedy(batch(200, body), all_as_assumed=False)
        assert f"(fields: {', '.join(body)})" in advice
        assert "batch_reader=" in advice
    for body in ({"status": "PROCESSED", "customers": [{"customerNo": "1"}]}, {"status": "OK"}, {"status": "WUNDERBAR"}):
        assert "batch_reader" not in remedy(batch(200, body), all_as_assumed=False)


def test_a_batch_that_is_only_done_may_be_a_success_where_its_customer_is_there() -> None:
    seen = evidence(batches_get=heard("batches.get", 200, {}))
    seen.add("batches.get/polls", heard("batches.get", 200, {"status": "PROCESSED", "result": None}))
    assert "succeeded" not in remedy(seen, all_as_assumed=False)
    seen.add("customers.get/written", heard("customers.get", 200, {"customerNo": "1"}))
    assert 'succeeded=BatchWords().succeeded | {"PROCESSED"},' in remedy(seen, all_as_assumed=False)


def test_words() -> None:
    assert check_words(batch(200, {"status": "processed", "result": "Success"})) == ("processed, Success", Verdict.AS_ASSUMED)
    assert check_words(batch(200, {"state": "done"})) == ("neither status nor result", Verdict.DIFFERENT)
    assert check_words(batch(200, {"results": [{"status": "AVVIST"}, {"status": "AVVIST"}]})) == ("unknown: AVVIST", Verdict.DIFFERENT)


@pytest.mark.parametrize(
    ("word", "status", "sort"),
    [
        ("FERDIG", 200, "succeeded"), ("AVVIST", 200, "failed"), ("DELVIS", 200, "partial"), ("VENTER", 200, "pending"),
        ("NOT-ACCEPTABLE-ERROR", 200, "failed"), ("NOT-OK-YET", 200, None), ("PARTLY-FAILED", 200, "partial"), ("ZYX", 200, None),
        ("ZYX", 206, "partial"), ("ZYX", 202, "pending"), ("INCOMPLETE", 200, None),
        ("BROKEN", 200, None), ("UNPROCESSED", 200, None), ("PREVENTED", 200, None), ("ALL-OK", 200, "succeeded"),
    ],
)  # fmt: skip
def test_where_a_word_probably_belongs(word, status, sort) -> None:
    assert guess_word_set(word, status) == sort


def test_which_words_are_shown() -> None:
    words = BatchWords()
    for word in ("ZYX", "processed", "Ferdig", "BATCH-REJECTED"):
        assert shown_word(word, words) == word
    for word in ("Kari", "KARI NORDMANN", "Kari er feil", "processed for Kari", "ÅSE"):
        assert "ari" not in shown_word(word, words)
        assert shown_word(word, words) != word


def test_the_course_of_a_batch() -> None:
    waiting = heard("batches.get", 202, {"status": "NOT-PROCESSED", "result": "PENDING"})
    done = heard("batches.get", 206, {"status": "PROCESSED", "result": "PARTIAL"})
    assert check_course(evidence(batches_get__polls=[waiting, waiting, done])) == (
        "202 NOT-PROCESSED/PENDING (2 x), then 206 PROCESSED/PARTIAL",
        Verdict.AS_ASSUMED,
    )
    assert check_course(evidence(batches_get__polls=[waiting]))[1] == Verdict.DIFFERENT
    assert check_course(evidence(batches_get__polls=[waiting, heard("batches.get", 0)]))[1] == Verdict.NOT_SEEN


# --- paths ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", UNDOCUMENTED, ids=lambda row: row.name)
def test_other_spellings(row) -> None:
    found = candidates(row)
    assert 2 <= len(found) <= 5
    assert len(set(found)) == len(found)
    assert row.path not in found
    for path in found:
        # Never at what another operation is, and never with anything to fill in but the client number.
        assert "{" not in path.replace("{clientno}", "")
        assert path not in {other.path for other in OPERATIONS.values()}
        assert with_paths({row.name: path})[row.name].path == path


def test_what_is_asked_is_all_that_is_inferred_and_can_be_asked() -> None:
    assert {row.name for row in UNDOCUMENTED} == {
        "client_configs.list", "codes.get", "document_bundles.list", "documents.list", "files.list", "gl_movements.latest_closed",
        "gl_movements.list", "insights.adb_intervals", "log_items.list", "health.check",
    }  # fmt: skip


def test_paths() -> None:
    row = OPERATIONS["codes.get"]
    lost = heard("codes.get", 404)
    assert check_path(evidence(codes_get=heard("codes.get", 204)), row) == ("204", Verdict.AS_ASSUMED)
    assert check_path(evidence(codes_get=lost), row) == ("404", Verdict.DIFFERENT)
    assert check_path(evidence(codes_get=lost, codes_get__others=[lost, lost]), row)[0] == "404; none of 2 other spellings answered"
    assert check_path(evidence(codes_get=heard("codes.get", 500)), row) == ("not seen (500)", Verdict.NOT_SEEN)
    assert check_path(evidence(codes_get=heard("codes.get", 0)), row) == ("not seen (no answer: time-out)", Verdict.NOT_SEEN)
    # A page for everything that is not there, with a 200, is no answer.
    page = heard("codes.get", template="codes", body=b"<html>")
    assert check_path(evidence(codes_get=lost, codes_get__others=[page]), row)[0] == "404; none of 1 other spellings answered"
    assert remedy(evidence(codes_get=lost, codes_get__others=[page]), all_as_assumed=False).startswith("none")
    found = evidence(codes_get=lost, codes_get__others=[lost, heard("codes.get", template="codes", body={})])
    assert check_path(found, row) == ("404; it is at codes", Verdict.DIFFERENT)
    assert remedy(found, all_as_assumed=False) == 'paths={\n    "codes.get": "codes",\n},'
